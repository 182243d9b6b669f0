//! What is asked of the committer, and what one round of it leads to.

use std::collections::HashMap;
use std::sync::Arc;

use redoubt_attestation::ledger::entry::Hash;
use redoubt_shared::store::StoredRecord;
use redoubt_shared::{LedgerId, ReceiptId, TenantId};
use tokio::sync::oneshot;

use super::appliance::ApplianceEvent;
use super::book::{Anchor, Committed, Written};
use super::claim::{Anchored, Claim};
use super::commit::{Core, Outcome, TenantCore};
use super::errors::CommitError;
use super::handover::{HandOver, Handed};
use super::page::Page;
use super::rotation::Rotate;
use crate::core::Command;

type Release = Box<dyn FnOnce(&Heads) + Send>;
/// Looks at the core and returns what hands the answer over.
pub(super) type Look = Box<dyn FnOnce(&Core) -> Box<dyn FnOnce() + Send> + Send>;
/// Makes a command when it is its turn, from what is known then.
pub(super) type Make = Box<dyn FnOnce(&TenantCore) -> Command + Send>;
/// Signed heads of the ledgers a batch touched.
pub(super) type Heads = HashMap<LedgerId, Arc<Committed>>;
pub(super) type Answer<T> = oneshot::Sender<Result<T, CommitError>>;

/// One thing asked of the committer.
pub(super) enum Job {
    Decide {
        tenant: TenantId,
        command: Make,
        done: Answer<Outcome>,
    },
    Look(Look),
    Read(Reading),
    Record {
        event: Box<ApplianceEvent>,
        done: Answer<()>,
    },
    Snapshot(Answer<()>),
    Rotate(Box<Rotate>, Answer<()>),
    HandOver(Box<HandOver>, Answer<Handed>),
}

/// What needs the store to be answered.
pub(super) enum Reading {
    /// A claim from its receipt.
    Fetch {
        tenant: TenantId,
        receipt: ReceiptId,
        done: Answer<Claim>,
    },
    /// Where the appliance's ledger records a head, under a head of its own.
    Prove {
        anchor: Arc<Anchor>,
        done: Answer<Anchored>,
    },
    /// Entries of a tenant's ledger.
    Page {
        tenant: TenantId,
        from: u64,
        limit: u64,
        done: Answer<Page>,
    },
    /// The root of a ledger at a size; `None` beyond its end.
    RootAt {
        tenant: Option<TenantId>,
        size: u64,
        done: Answer<Option<Hash>>,
    },
}

/// What one round led to: to be made durable, then released.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<StoredRecord>,
    pub(super) releases: Vec<Release>,
    pub(super) readings: Vec<Reading>,
    pub(super) snapshots: Vec<(Option<Box<Rotate>>, Answer<()>)>,
    pub(super) handover: Option<(Box<HandOver>, Answer<Handed>)>,
    pub(super) written: Vec<Written>,
    pub(super) anchors: HashMap<LedgerId, Arc<Anchor>>,
}
