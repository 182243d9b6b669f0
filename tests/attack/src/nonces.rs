//! Every key and nonce ever shown to a store, over all copies and forks.
//!
//! A sealed record names its key by 32 drawn bytes and its nonce by a counter.
//! Two different records that share both would give the host their difference.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use redoubt_shared::store::StoreRequest;
use sha2::{Digest, Sha256};

use crate::record::{Sealed, SnapshotRoot};

type Seen = HashMap<([u8; 32], u64), [u8; 32]>;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Nonces {
    seen: Mutex<Seen>,
    wrong: Mutex<Vec<String>>,
}

impl Nonces {
    /// Looks at what the enclave sends.
    pub fn note(&self, request: &StoreRequest) {
        match request {
            StoreRequest::Append { records } => {
                for record in records {
                    self.note_record(&record.bytes);
                }
            }
            StoreRequest::PutBlob { bytes, .. } => {
                // Only the first blob tells under which key and nonces the others are.
                let root = SnapshotRoot::read(bytes);
                let chunks = root.iter().flat_map(|root| root.chunks.iter().zip(0..));
                let random = root.as_ref().map(|root| root.random).unwrap_or_default();
                for (chunk, nonce) in chunks {
                    self.keep((random, nonce), *chunk);
                }
            }
            _ => {}
        }
    }

    fn note_record(&self, bytes: &[u8]) {
        match Sealed::read(bytes) {
            Ok(sealed) => {
                let name = (sealed.key_random, sealed.counter);
                self.keep(name, Sha256::digest(bytes).into());
            }
            Err(error) => self.complain(format!("a record cannot be read: {error:#}")),
        }
    }

    fn keep(&self, name: ([u8; 32], u64), digest: [u8; 32]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // A retry sends identical bytes; anything else under the same name is a reuse.
        let before = *seen.entry(name).or_insert(digest);
        if before != digest {
            let (key, counter) = (hex::encode(&name.0[..8]), name.1);
            self.complain(format!("key {key}… sealed twice with nonce {counter}"));
        }
    }

    fn complain(&self, text: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.push(text);
    }

    /// How many pairs were seen, and what is wrong with them.
    pub fn report(&self) -> (usize, Vec<String>) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.len(), wrong.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redoubt_shared::LedgerId;
    use redoubt_shared::store::StoredRecord;

    fn append(counter: u64, body: u8) -> StoreRequest {
        let sealed = Sealed {
            version: 1,
            header: vec![0; 69],
            key_random: [1; 32],
            counter,
            root_before: [0; 32],
            ciphertext: vec![body; 20],
        };
        let record = StoredRecord {
            ledger: LedgerId::from_bytes([0; 16]),
            index: counter,
            bytes: sealed.write().unwrap(),
        };
        StoreRequest::Append {
            records: vec![record],
        }
    }

    #[test]
    fn a_retry_is_no_reuse_and_another_body_is() {
        let nonces = Nonces::default();
        for request in [append(0, 1), append(1, 2), append(0, 1)] {
            nonces.note(&request);
        }
        assert_eq!(nonces.report(), (2, vec![]));
        nonces.note(&append(1, 3));
        assert_eq!(nonces.report().1.len(), 1);
    }
}
