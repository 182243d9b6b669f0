//! One ledger being written: its tree, its sealing key of this boot, its counter.

use std::sync::Arc;

use redoubt_attestation::entropy::EntropyError;
use redoubt_attestation::ledger::Checkpoint;
use redoubt_attestation::ledger::entry::{Hash, Header, events_tree};
use redoubt_attestation::ledger::merkle::Tree;
use redoubt_attestation::sign::{Ed25519Signer, SignerError};
use redoubt_shared::LedgerId;
use redoubt_shared::store::StoredRecord;

use super::body::{self, BodyError, Event};
use super::record::{self, ENTRY_LABEL, RecordError, SealedRecord};
use crate::keys::{EntryKey, Keyring, ObjectKey, Pool, SealError};

/// An entry could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// Sealing or opening.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Encoding or opening the body.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Signing the checkpoint.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Key of this boot.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// No receipt id could be made or read.
    #[error("receipt ids: {0}")]
    Ids(#[from] SealError),
    /// The entry has no such claim.
    #[error("the entry has no claim with this receipt")]
    Missing,
    /// Hashes of a part of the tree that the store keeps are not those it was built over.
    #[error("the store returned other hashes than this ledger's tree was built over")]
    Hashes,
}

/// One ledger.
pub struct Book {
    ledger: LedgerId,
    tree: Tree,
    key: ObjectKey,
    key_random: [u8; 32],
    counter: u64,
}

/// Where a batch put an entry and how to prove it.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its header.
    pub header: Header,
    /// Paths from each event to the header's root, by event.
    pub events: Arc<Tree>,
    /// Size of the ledger after it.
    pub size: u64,
    /// Path from its leaf to the root at `size`.
    pub leaf_path: Vec<Hash>,
    /// Signed checkpoint at `size`.
    pub note: String,
    /// Of a tenant's entry: where the appliance's ledger records this head.
    pub anchor: Option<Arc<Anchor>>,
}

/// The event by which the appliance's ledger records one head of a tenant's.
#[derive(Debug)]
pub struct Anchor {
    /// The event, postcard.
    pub event: Vec<u8>,
    /// Its salt.
    pub salt: [u8; 32],
    /// Its place in its entry.
    pub event_index: u64,
    /// Over the events of its entry.
    pub events: Arc<Tree>,
    /// Its entry.
    pub header: Header,
}

/// A sealed entry whose head is not signed yet: it may not be durable.
pub struct Written {
    header: Header,
    events: Arc<Tree>,
    leaf_path: Vec<Hash>,
    checkpoint: Checkpoint,
}

impl Written {
    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Over its events.
    pub fn events(&self) -> &Arc<Tree> {
        &self.events
    }

    /// Signs the head, now that the entry is durable.
    pub fn sign(
        self,
        signer: &Ed25519Signer,
        anchor: Option<Arc<Anchor>>,
    ) -> Result<Committed, SignerError> {
        let note = sign_note(&self.checkpoint, signer)?;
        let Self {
            header,
            events,
            leaf_path,
            checkpoint,
        } = self;
        Ok(Committed {
            header,
            events,
            size: checkpoint.size,
            leaf_path,
            note,
            anchor,
        })
    }
}

/// A sealing key of this boot: never used before, so its counter starts at 0.
fn fresh_key(
    ledger: LedgerId,
    entries: &EntryKey,
    pool: &Pool,
) -> Result<(ObjectKey, [u8; 32]), BookError> {
    let random = pool.draw()?;
    let key = entries
        .object(ENTRY_LABEL, ledger.as_bytes(), &random)
        .map_err(RecordError::from)?;
    Ok((key, random))
}

impl Book {
    /// A ledger that goes on from `tree`, with a sealing key of this boot.
    pub fn new(
        ledger: LedgerId,
        tree: Tree,
        entries: &EntryKey,
        pool: &Pool,
    ) -> Result<Self, BookError> {
        let (key, key_random) = fresh_key(ledger, entries, pool)?;
        Ok(Self {
            ledger,
            tree,
            key,
            key_random,
            counter: 0,
        })
    }

    /// Seals under a key of another epoch from here on.
    pub fn rekey(&mut self, entries: &EntryKey, pool: &Pool) -> Result<(), BookError> {
        let (key, key_random) = fresh_key(self.ledger, entries, pool)?;
        (self.key, self.key_random, self.counter) = (key, key_random, 0);
        Ok(())
    }

    /// Its id.
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// Entries so far, which is the index of the next.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Root so far.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The tree, for proofs.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Takes hashes of a part of the tree back from the store, checked.
    pub fn attach(&mut self, chunk: usize, bytes: &[u8]) -> Result<(), BookError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        let good = rest.is_empty() && self.tree.attach(chunk, hashes.iter().copied());
        good.then_some(()).ok_or(BookError::Hashes)
    }

    /// Forgets the leaves of a full chunk that the store keeps.
    pub fn detach(&mut self, chunk: usize) {
        self.tree.detach(chunk);
    }

    /// The head as a checkpoint.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            ledger: self.ledger,
            size: self.size(),
            root: self.root(),
        }
    }

    /// The head, signed.
    pub fn note(&self, signer: &Ed25519Signer) -> Result<String, SignerError> {
        sign_note(&self.checkpoint(), signer)
    }

    /// Seals and appends one entry, its body padded to `class` bytes at least.
    pub fn write(
        &mut self,
        epoch: u32,
        term: u64,
        events: Vec<Event>,
        commitments: Vec<Hash>,
        class: usize,
    ) -> Result<(StoredRecord, Written), BookError> {
        let (ledger, index, root_before) = (self.ledger, self.size(), self.root());
        let tree = events_tree(commitments);
        let header = Header {
            ledger,
            index,
            epoch,
            term,
            events_root: tree.root(),
        };
        let padded = body::pad(&events, class)?;
        self.tree.push(header.leaf());
        let counter = self.counter;
        self.counter += 1;
        let bytes = record::seal(
            &self.key,
            &self.key_random,
            counter,
            &header,
            &root_before,
            padded,
        )?;
        let leaf_path = self.tree.inclusion(index, index + 1).unwrap_or_default();
        let checkpoint = self.checkpoint();
        let written = Written {
            header,
            events: Arc::new(tree),
            leaf_path,
            checkpoint,
        };
        Ok((
            StoredRecord {
                ledger,
                index,
                bytes,
            },
            written,
        ))
    }

    /// Checks and opens the next stored entry, and appends it to the tree.
    pub fn read(
        &mut self,
        keys: &Keyring,
        stored: &StoredRecord,
    ) -> Result<(Header, Vec<Event>), BookError> {
        let (header, events) = self.open_at(keys, stored, self.size(), &self.root())?;
        self.tree.push(header.leaf());
        Ok((header, events))
    }

    /// Checks and opens an earlier stored entry against the tree.
    pub fn reopen(
        &self,
        keys: &Keyring,
        stored: &StoredRecord,
        index: u64,
    ) -> Result<(Header, Vec<Event>), BookError> {
        let before = self.tree.root_at(index).ok_or(RecordError::Misplaced)?;
        let (header, events) = self.open_at(keys, stored, index, &before)?;
        if self.tree.leaf(index) != Some(header.leaf()) {
            return Err(RecordError::Misplaced.into());
        }
        Ok((header, events))
    }

    /// How to prove an earlier entry under the present head.
    pub fn prove(
        &self,
        header: Header,
        events: &[Event],
        signer: &Ed25519Signer,
        anchor: Option<Arc<Anchor>>,
    ) -> Result<Committed, BookError> {
        let commitments: Option<Vec<Hash>> = events.iter().map(body::commitment_of).collect();
        let events = Arc::new(events_tree(commitments.ok_or(RecordError::OtherEvents)?));
        let size = self.size();
        let leaf_path = self
            .tree
            .inclusion(header.index, size)
            .ok_or(RecordError::Misplaced)?;
        let note = sign_note(&self.checkpoint(), signer)?;
        Ok(Committed {
            header,
            events,
            size,
            leaf_path,
            note,
            anchor,
        })
    }

    fn open_at(
        &self,
        keys: &Keyring,
        stored: &StoredRecord,
        index: u64,
        before: &Hash,
    ) -> Result<(Header, Vec<Event>), BookError> {
        let record = SealedRecord::decode(&stored.bytes)?;
        let header = record.header()?;
        if header.ledger != self.ledger || header.index != index || stored.index != index {
            return Err(RecordError::Misplaced.into());
        }
        let events = body::unpad(&record.open(keys, before)?)?;
        let commitments: Option<Vec<Hash>> = events.iter().map(body::commitment_of).collect();
        let commitments = commitments.ok_or(RecordError::OtherEvents)?;
        if events_tree(commitments).root() != header.events_root {
            return Err(RecordError::OtherEvents.into());
        }
        Ok((header, events))
    }
}

fn sign_note(checkpoint: &Checkpoint, signer: &Ed25519Signer) -> Result<String, SignerError> {
    let signature = signer.sign(checkpoint.body().as_bytes())?;
    let line = checkpoint.ed25519_line(signer.jwk().as_bytes(), &signature);
    Ok(checkpoint.note(&[line]))
}
