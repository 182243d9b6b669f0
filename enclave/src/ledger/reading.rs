//! Claims and proofs of entries that are no longer in memory.
//!
//! Protects against a store that returns something else: each entry is checked
//! against the tree before a word of it is said.

use std::sync::Arc;

use redoubt_shared::store::StoredRecord;
use redoubt_shared::{ReceiptId, TenantId};

use super::body::{self, Event as BodyEvent, Opened, Unwrap};
use super::book::{Anchor, BookError};
use super::claim::{Anchored, Claim};
use super::commit::{Core, TenantCore};
use super::errors::{CommitError, damaged};
use super::recover::bring;
use super::store::StoreClient;
use super::witnessing::Cosigned;
use crate::keys::Place;

impl Core {
    /// Reads back the leaf hashes of a tenant's ledger that proofs need.
    pub(super) async fn bring(
        &mut self,
        store: &mut StoreClient,
        tenant: Option<&TenantId>,
        positions: &[u64],
    ) -> Result<(), CommitError> {
        let book = match tenant {
            None => &mut self.appliance_book,
            Some(tenant) => {
                let core = self.tenants.get_mut(tenant);
                &mut core.ok_or(CommitError::UnknownTenant)?.book
            }
        };
        let names = self.stored.leaves_of(book.ledger());
        let brought = bring(store, book, names, positions).await;
        brought.map_err(|error| damaged(&error))
    }

    /// Reads a claim back from the store, checks it against the tree and proves
    /// it under the present head.
    pub(super) async fn fetch(
        &mut self,
        store: &mut StoreClient,
        tenant: &TenantId,
        receipt: ReceiptId,
    ) -> Result<Claim, CommitError> {
        let core = self.tenants.get_mut(tenant);
        let core = core.ok_or(CommitError::UnknownTenant)?;
        let at = match core.ids().map_err(|error| damaged(&error))? {
            Some(ids) => ids.place(receipt).map_err(|error| damaged(&error))?,
            None => return Err(CommitError::UnknownReceipt),
        };
        let (ledger, size) = (core.book.ledger(), core.book.size());
        if at.entry >= size {
            return Err(CommitError::UnknownReceipt);
        }
        if at.entry < self.kept_from(ledger) {
            return Err(CommitError::Expired);
        }
        self.bring(store, Some(tenant), &[at.entry]).await?;
        let stored = store.try_read_one(ledger, at.entry).await;
        let stored = stored.map_err(|error| damaged(&error))?;
        let core = self.tenants.get(tenant).ok_or(CommitError::UnknownTenant)?;
        let claim = self.prove(core, &stored, at, receipt);
        claim.map_err(|error| match error {
            BookError::Body(body::BodyError::Dark) => CommitError::Erased,
            BookError::Missing => CommitError::UnknownReceipt,
            error => damaged(&error),
        })
    }

    fn prove(
        &self,
        core: &TenantCore,
        stored: &StoredRecord,
        at: Place,
        receipt: ReceiptId,
    ) -> Result<Claim, BookError> {
        let (header, events) = core.book.reopen(&self.keys, stored, at.entry)?;
        let anchor = self.anchors.get(&core.book.ledger()).cloned();
        let entry = core.book.prove(header, &events, &self.signer, anchor)?;
        let mut dark = None;
        for (nth, event) in (0..).zip(events).skip(at.event as usize) {
            let opened = match self.open(event, core, header.epoch) {
                Err(body::BodyError::Dark) => {
                    dark = Some(body::BodyError::Dark);
                    continue;
                }
                opened => opened?,
            };
            if opened.receipt() == Some(receipt) {
                return Ok(Claim {
                    text: opened.text()?,
                    salt: opened.salt,
                    event: nth,
                    entry: Arc::new(entry),
                });
            }
        }
        Err(dark.map_or(BookError::Missing, BookError::Body))
    }

    /// Opens one event of an entry that was read back.
    pub(super) fn open(
        &self,
        event: BodyEvent,
        core: &TenantCore,
        epoch: u32,
    ) -> Result<Opened, body::BodyError> {
        let none = body::Carried::new();
        let unwrap = match epoch == self.keys.current().epoch() {
            true => Unwrap::Epoch(self.keys.current()),
            false => Unwrap::Carried(&none),
        };
        body::open_event(event, &core.state, unwrap)
    }

    /// Where the appliance's ledger records a head: under the newest head that
    /// witnesses cosigned, if any did, else under the present one.
    pub(super) async fn anchored(
        &mut self,
        store: &mut StoreClient,
        anchor: &Anchor,
        cosigned: Option<&Cosigned>,
    ) -> Result<Anchored, CommitError> {
        let (size, note) = match cosigned {
            Some(cosigned) => (cosigned.size, cosigned.note.clone()),
            None => {
                let note = self.appliance_note().map_err(|_| CommitError::Halted)?;
                (self.appliance_book.size(), note)
            }
        };
        let index = anchor.header.index;
        self.bring(store, None, &[index, size]).await?;
        let path = self.appliance_book.tree().inclusion(index, size);
        Ok(Anchored {
            tree_size: size,
            leaf_path: path.ok_or(CommitError::Damaged)?,
            note,
        })
    }
}
