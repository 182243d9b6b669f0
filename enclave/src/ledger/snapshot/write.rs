//! Writing a snapshot from a frozen copy, on a thread of its own.

use std::collections::HashMap;
use std::sync::Arc;

use redoubt_attestation::encode::sha256;
use redoubt_attestation::ledger::entry::Hash;
use redoubt_shared::store::BLOB_MAX;
use redoubt_shared::{LedgerId, TenantId};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::{Item, Mark, Root, SnapshotError, VERSION};
use crate::core::{Piece, TenantState};
use crate::keys::{EntryKey, EpochKey, ObjectKey, Pool};
use crate::ledger::appliance::ApplianceState;
use crate::ledger::book::Book;

/// Bytes of items after which a chunk is sealed.
const CHUNK_BYTES: usize = BLOB_MAX / 2;
/// Smallest sealed chunk, in bytes.
const CHUNK_CLASS: usize = 4096;

/// A ledger at the moment of the snapshot.
pub(in crate::ledger) struct FrozenBook {
    ledger: LedgerId,
    roots: Vec<Hash>,
    /// Blobs of the chunks stored before.
    known: Vec<[u8; 32]>,
    fresh: Vec<Vec<Hash>>,
    tail: Vec<Hash>,
}

impl FrozenBook {
    /// `known`: names of the blobs that hold its first full chunks.
    pub(in crate::ledger) fn of(book: &Book, known: &[[u8; 32]]) -> Self {
        let tree = book.tree();
        let roots = tree.chunk_roots().to_vec();
        let fresh = known.len()..roots.len();
        Self {
            ledger: book.ledger(),
            known: known.to_vec(),
            fresh: fresh
                .filter_map(|chunk| tree.chunk_leaves(chunk).map(<[Hash]>::to_vec))
                .collect(),
            roots,
            tail: tree.tail_leaves().to_vec(),
        }
    }
}

/// Everything at the moment of the snapshot.
pub(in crate::ledger) struct Frozen {
    /// Whose key seals it.
    pub epoch: Arc<EpochKey>,
    /// Digest of the manifest whose officers open it.
    pub genesis: [u8; 32],
    /// Entry keys of earlier epochs.
    pub earlier: Vec<EntryKey>,
    /// The appliance's ledger.
    pub appliance: (ApplianceState, FrozenBook),
    /// The tenants'.
    pub tenants: Vec<(TenantId, TenantState, FrozenBook)>,
    /// Whether what the entries since then wrapped must be carried over.
    pub rotates: bool,
}

/// What the writer hands to the committer, in order.
pub(in crate::ledger) enum Out {
    /// A blob to make durable.
    Blob(Vec<u8>),
    /// Asks for what was wrapped since; nothing more may be wrapped after the answer.
    Tail(oneshot::Sender<Vec<(Hash, Zeroizing<Vec<u8>>)>>),
    /// The first blob, once all others are durable.
    Done(Finished),
}

/// A written snapshot.
pub(in crate::ledger) struct Finished {
    /// The first blob.
    pub root: Vec<u8>,
    /// Every other blob it needs.
    pub needs: Vec<[u8; 32]>,
    /// Blobs of leaf hashes, by ledger.
    pub leaves: HashMap<LedgerId, Vec<[u8; 32]>>,
}

struct Writer {
    root: Root,
    key: ObjectKey,
    buffer: Vec<u8>,
    items: u64,
    out: mpsc::Sender<Out>,
    needs: Vec<[u8; 32]>,
}

/// Writes a snapshot. Blocking: runs on its own thread, and as slowly as `out` is read.
pub(in crate::ledger) fn write(
    frozen: Frozen,
    pool: &Pool,
    out: mpsc::Sender<Out>,
) -> Result<(), SnapshotError> {
    let ledger = frozen.appliance.1.ledger;
    let random = pool.draw()?;
    let key = frozen.epoch.snapshot(ledger.as_bytes(), &random)?;
    let root = Root {
        version: VERSION,
        epoch: frozen.epoch.epoch(),
        genesis: frozen.genesis,
        ledger,
        random,
        chunks: Vec::new(),
    };
    let mut writer = Writer {
        root,
        key,
        buffer: Vec::new(),
        items: 0,
        out,
        needs: Vec::new(),
    };
    let mut leaves = HashMap::new();
    for key in &frozen.earlier {
        writer.put(&Item::Entries(key.epoch(), *key.expose()))?;
    }
    let (state, book) = frozen.appliance;
    for event in state.events() {
        writer.put(&Item::Appliance(event))?;
    }
    writer.book(book, &mut leaves)?;
    for (tenant, state, book) in frozen.tenants {
        writer.put(&Item::Tenant(tenant))?;
        writer.book(book, &mut leaves)?;
        for piece in state.pieces() {
            // What the keys of templates come from shares no chunk with a template.
            let apart = matches!(piece, Piece::Tenant { .. });
            if apart {
                writer.cut()?;
            }
            writer.put(&Item::Piece(Box::new(piece)))?;
            if apart {
                writer.cut()?;
            }
        }
    }
    if frozen.rotates {
        let (ask, answer) = oneshot::channel();
        writer.send(Out::Tail(ask))?;
        let carried = answer.blocking_recv().map_err(|_| SnapshotError::Cut)?;
        for (commitment, bytes) in carried {
            writer.put(&Item::Carried(commitment, bytes.to_vec()))?;
        }
    }
    writer.put(&Item::End(writer.items))?;
    writer.seal()?;
    let root = postcard::to_stdvec(&writer.root).map_err(|_| SnapshotError::Malformed)?;
    let needs = std::mem::take(&mut writer.needs);
    writer.send(Out::Done(Finished {
        root,
        needs,
        leaves,
    }))
}

impl Writer {
    fn send(&mut self, out: Out) -> Result<(), SnapshotError> {
        self.out.blocking_send(out).map_err(|_| SnapshotError::Cut)
    }

    fn put(&mut self, item: &Item) -> Result<(), SnapshotError> {
        let bytes = postcard::to_stdvec(item).map_err(|_| SnapshotError::Malformed)?;
        let bytes = Zeroizing::new(bytes);
        if !self.buffer.is_empty() && self.buffer.len() + bytes.len() + 4 > CHUNK_BYTES {
            self.seal()?;
        }
        self.buffer
            .extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        self.buffer.extend_from_slice(&bytes);
        self.items += 1;
        Ok(())
    }

    /// What follows is in another chunk.
    fn cut(&mut self) -> Result<(), SnapshotError> {
        match self.buffer.is_empty() {
            true => Ok(()),
            false => self.seal(),
        }
    }

    /// Seals what is buffered as the next chunk, padded to a size class.
    fn seal(&mut self) -> Result<(), SnapshotError> {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.resize(bytes.len().next_power_of_two().max(CHUNK_CLASS), 0);
        let index = self.root.chunks.len() as u64;
        self.key.seal(index, &self.root.aad(index), &mut bytes)?;
        let name = sha256(&[&bytes]).0;
        self.root.chunks.push(name);
        self.needs.push(name);
        self.send(Out::Blob(bytes))
    }

    fn book(
        &mut self,
        book: FrozenBook,
        leaves: &mut HashMap<LedgerId, Vec<[u8; 32]>>,
    ) -> Result<(), SnapshotError> {
        let mut names = book.known;
        for chunk in book.fresh {
            let bytes = chunk.concat();
            names.push(sha256(&[&bytes]).0);
            self.send(Out::Blob(bytes))?;
        }
        self.needs.extend(&names);
        leaves.insert(book.ledger, names.clone());
        self.put(&Item::Book(Mark {
            ledger: book.ledger,
            chunks: book.roots.into_iter().zip(names).collect(),
            tail: book.tail,
        }))
    }
}
