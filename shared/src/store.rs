//! Enclave to host: the ledger store. The host sees lengths, counts and times,
//! never contents; whatever it answers is checked by the enclave.

use serde::{Deserialize, Serialize};

use crate::ids::LedgerId;

/// A request or its answer on the store's stream. An answer has the number of
/// its request, so that one that is late or repeated answers nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered<T> {
    /// Grows with every request on a stream.
    pub number: u64,
    /// What is asked or answered.
    pub body: T,
}

/// One sealed ledger entry as the host keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecord {
    /// The ledger it belongs to.
    pub ledger: LedgerId,
    /// Its position in that ledger, from 0.
    pub index: u64,
    /// Opaque sealed bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// What the enclave asks of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreRequest {
    /// The signed genesis manifest and the signed configuration.
    Boot,
    /// The ledgers kept and the number of records of each.
    Heads,
    /// Make every record durable, all or none. Each must be the next of its
    /// ledger, or byte-identical to one already kept (a retry).
    Append {
        /// Records of one batch, in order.
        records: Vec<StoredRecord>,
    },
    /// Consecutive records from an index on, as many as fit.
    Read {
        /// Which ledger.
        ledger: LedgerId,
        /// First index wanted.
        from: u64,
        /// At most this many records.
        limit: u32,
    },
    /// Make a blob durable under its name, the SHA-256 of its bytes.
    PutBlob {
        /// SHA-256 of `bytes`.
        name: [u8; 32],
        /// At most [`BLOB_MAX`] opaque bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// A blob by its name.
    GetBlob {
        /// SHA-256 of its bytes.
        name: [u8; 32],
    },
    /// Remember, durably, which blobs begin snapshots, newest first; afterwards
    /// delete every blob that is not in `keep`.
    SetSnapshot {
        /// First blobs of snapshots, newest first.
        latest: Vec<[u8; 32]>,
        /// Every blob still needed, those of `latest` among them.
        keep: Vec<[u8; 32]>,
    },
    /// What the last `SetSnapshot` named.
    Snapshot,
    /// Records below these indices may be deleted, as whole segments; the
    /// counts of their ledgers stay.
    Drop {
        /// (ledger, first index still needed).
        below: Vec<(LedgerId, u64)>,
    },
}

/// Most bytes of one blob.
pub const BLOB_MAX: usize = 1024 * 1024;

/// What the store answers, in the order of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreResponse {
    /// Answer to `Boot`: the bytes of both files.
    Boot {
        /// `genesis.json` as kept.
        #[serde(with = "serde_bytes")]
        genesis: Vec<u8>,
        /// `config.json` as kept.
        #[serde(with = "serde_bytes")]
        config: Vec<u8>,
    },
    /// Answer to `Heads`: (ledger, record count).
    Heads(Vec<(LedgerId, u64)>),
    /// Answer to `Append`: durable (fdatasync returned).
    Appended,
    /// Answer to `Read`; empty when `from` is past the end.
    Records(Vec<StoredRecord>),
    /// The request was not carried out.
    Refused {
        /// Why, as a stable code.
        reason: StoreRefusal,
        /// For the operator.
        detail: String,
    },
    /// Answer to `PutBlob`, `SetSnapshot` and `Drop`: durable.
    Stored,
    /// Answer to `GetBlob`.
    Blob {
        /// As put.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Answer to `Snapshot`.
    Snapshot {
        /// First blobs of snapshots, newest first.
        latest: Vec<[u8; 32]>,
    },
}

/// Why the store refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreRefusal {
    /// A record is neither the next of its ledger nor one already kept.
    OutOfOrder,
    /// A record differs from the one kept at its index.
    Different,
    /// The disk is full, read-only or failing: nothing of the batch was acknowledged.
    Storage,
    /// A bound was exceeded.
    TooLarge,
    /// No such blob, or the record was dropped.
    Missing,
}
