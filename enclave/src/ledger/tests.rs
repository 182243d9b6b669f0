//! The committer and recovery against a store that misbehaves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::ledger::checkpoint::NoteAlgorithms;
use redoubt_attestation::ledger::{NoteKey, TrustedBoot};
use redoubt_attestation::sign::Ed25519Signer;
use redoubt_shared::store::{Numbered, StoreRefusal, StoreRequest, StoreResponse, StoredRecord};
use redoubt_shared::{
    Endpoint, LedgerId, TenantId, UserId, VerificationId, read_frame, write_frame,
};

use super::*;
use crate::core::{Command, Refusal, TenantKeySeeds, TermContext};
use crate::keys::{EpochKey, Keyring, Pool, Root};

mod commits;
mod erasure;
mod fake_store;
mod recovery;
mod setup;
mod snapshots;
mod witnesses;

use fake_store::*;
use setup::*;

const APPLIANCE: LedgerId = LedgerId::from_bytes([1; 16]);
const TENANT: LedgerId = LedgerId::from_bytes([2; 16]);
