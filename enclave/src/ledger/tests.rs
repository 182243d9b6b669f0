//! The committer and recovery against a store that misbehaves.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::ledger::checkpoint::NoteAlgorithms;
use redoubt_attestation::ledger::{NoteKey, TrustedBoot};
use redoubt_attestation::sign::Ed25519Signer;
use redoubt_shared::store::StoredRecord;
use redoubt_shared::{LedgerId, TenantId, UserId, VerificationId};

use super::*;
use crate::core::{Command, Refusal, TenantKeySeeds, TermContext};
use crate::keys::{EpochKey, Keyring, Place, Pool, ReceiptIds, Root};

mod commits;
mod erasure;
mod fake_store;
mod handover;
mod model;
mod recovery;
mod retention;
mod setup;
mod snapshots;
mod witnesses;

use fake_store::{FakeStore, Mood};
use setup::*;

const APPLIANCE: LedgerId = LedgerId::from_bytes([1; 16]);
const TENANT: LedgerId = LedgerId::from_bytes([2; 16]);
