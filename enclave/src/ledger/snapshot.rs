//! Snapshots: the fold of every ledger, sealed and chunked, so that a restart
//! reads the state and not the history.
//!
//! Protects against a snapshot that was altered, cut, mixed with another or
//! moved to another appliance: every chunk is sealed to its index under a key
//! drawn for this snapshot alone, the stream says where it ends, and what it
//! says of each ledger must lead to the entries behind it. An old snapshot with
//! the entries that follow it leads to the same state; fewer entries are a
//! rollback, which heads and witnesses catch as ever.

use std::collections::HashMap;
use std::sync::Arc;

use redoubt_attestation::encode::sha256;
use redoubt_attestation::ledger::entry::Hash;
use redoubt_attestation::ledger::merkle::Tree;
use redoubt_shared::frame::decode_canonical;
use redoubt_shared::store::BLOB_MAX;
use redoubt_shared::{LedgerId, TenantId};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::appliance::{ApplianceEvent, ApplianceState};
use super::body::Carried;
use super::book::Book;
use super::store::{StoreClient, StoreError};
use crate::core::{Piece, TenantState};
use crate::keys::{EntryKey, EpochKey, ObjectKey, Pool, SealError};

const SEAL_DOMAIN: &[u8] = b"redoubt/snapshot-seal/v1";
const VERSION: u8 = 1;
/// Bytes of items after which a chunk is sealed.
const CHUNK_BYTES: usize = BLOB_MAX / 2;
/// Smallest sealed chunk, in bytes.
const CHUNK_CLASS: usize = 4096;

/// A snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A chunk is not there, or not as it was put.
    #[error("a chunk of the snapshot is missing or altered")]
    Missing,
    /// Not in the format.
    #[error("the snapshot is malformed")]
    Malformed,
    /// Altered, or another appliance's, or under another secret.
    #[error("snapshot: {0}")]
    Seal(#[from] SealError),
    /// It ends early.
    #[error("the snapshot ends early")]
    Cut,
    /// No entropy.
    #[error(transparent)]
    Entropy(#[from] redoubt_attestation::entropy::EntropyError),
}

/// The first blob: what names the key, and the chunks in order. In clear.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Root {
    version: u8,
    /// Epoch whose key opens it.
    pub epoch: u32,
    /// Digest of the genesis manifest whose officers open it.
    pub genesis: [u8; 32],
    ledger: LedgerId,
    random: [u8; 32],
    /// The chunks, in order.
    pub chunks: Vec<[u8; 32]>,
}

impl Root {
    /// Reads a first blob.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let root: Self = decode_canonical(bytes).map_err(|_| SnapshotError::Malformed)?;
        match root.version {
            VERSION => Ok(root),
            _ => Err(SnapshotError::Malformed),
        }
    }

    fn aad(&self, index: u64) -> Vec<u8> {
        let place = [&self.epoch.to_be_bytes()[..], &index.to_be_bytes()].concat();
        let fields: [&[u8]; 5] = [
            SEAL_DOMAIN,
            &self.genesis,
            self.ledger.as_bytes(),
            &self.random,
            &place,
        ];
        fields.concat()
    }
}

/// Where a ledger stands, and where the hashes of its leaves are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Which ledger.
    pub ledger: LedgerId,
    /// Root and blob of each full chunk of leaf hashes.
    pub chunks: Vec<(Hash, [u8; 32])>,
    /// Leaf hashes behind them.
    pub tail: Vec<Hash>,
}

impl Mark {
    /// The tree it stands for, its full chunks away.
    pub(super) fn tree(&self) -> Result<Tree, SnapshotError> {
        let roots = self.chunks.iter().map(|(root, _)| *root).collect();
        Tree::from_chunks(roots, self.tail.clone()).ok_or(SnapshotError::Malformed)
    }

    /// Blobs of its full chunks.
    pub(super) fn names(&self) -> Vec<[u8; 32]> {
        self.chunks.iter().map(|(_, name)| *name).collect()
    }
}

#[derive(Serialize, Deserialize)]
enum Item {
    Entries(u32, [u8; 32]),
    Appliance(ApplianceEvent),
    Book(Mark),
    Tenant(TenantId),
    Piece(Box<Piece>),
    Carried(Hash, Vec<u8>),
    /// Number of items before it.
    End(u64),
}

/// A ledger at the moment of the snapshot.
pub(super) struct FrozenBook {
    ledger: LedgerId,
    roots: Vec<Hash>,
    /// Blobs of the chunks stored before.
    known: Vec<[u8; 32]>,
    fresh: Vec<Vec<Hash>>,
    tail: Vec<Hash>,
}

impl FrozenBook {
    /// `known`: names of the blobs that hold its first full chunks.
    pub(super) fn of(book: &Book, known: &[[u8; 32]]) -> Self {
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
pub(super) struct Frozen {
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
pub(super) enum Out {
    /// A blob to make durable.
    Blob(Vec<u8>),
    /// Asks for what was wrapped since; nothing more may be wrapped after the answer.
    Tail(oneshot::Sender<Vec<(Hash, Zeroizing<Vec<u8>>)>>),
    /// The first blob, once all others are durable.
    Done(Finished),
}

/// A written snapshot.
pub(super) struct Finished {
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
pub(super) fn write(
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
            writer.put(&Item::Piece(Box::new(piece)))?;
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

/// A snapshot read back.
pub(super) struct Loaded {
    /// Entry keys of earlier epochs.
    pub earlier: Vec<EntryKey>,
    /// The appliance's ledger.
    pub appliance: (ApplianceState, Mark),
    /// The tenants', with their names.
    pub tenants: HashMap<TenantId, (TenantState, Mark)>,
    /// What entries of the epoch before wrapped after the snapshot was begun.
    pub(super) carried: Carried,
    /// Every blob it needs.
    pub needs: Vec<[u8; 32]>,
}

/// Reads a snapshot whose first blob is `root`.
pub(super) async fn read(
    store: &mut StoreClient,
    root: &Root,
    epoch: &EpochKey,
    ledger: LedgerId,
) -> Result<Loaded, SnapshotError> {
    if root.ledger != ledger {
        return Err(SealError::NotOurs.into());
    }
    let key = epoch.snapshot(ledger.as_bytes(), &root.random)?;
    let mut reader = Reader::default();
    for (index, name) in root.chunks.iter().enumerate() {
        let sealed = store.get_blob(*name).await?.ok_or(SnapshotError::Missing)?;
        let bytes = key.open(index as u64, &root.aad(index as u64), sealed)?;
        reader.take(&bytes)?;
        tracing::info!(
            read = index + 1,
            of = root.chunks.len(),
            "reading a snapshot"
        );
    }
    reader.finish(root)
}

#[derive(Default)]
struct Reader {
    items: u64,
    ended: bool,
    earlier: Vec<EntryKey>,
    state: ApplianceState,
    mark: Option<Mark>,
    tenants: Vec<(TenantId, TenantState, Option<Mark>)>,
    carried: Carried,
}

impl Reader {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), SnapshotError> {
        while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length == 0 {
                break;
            }
            let (item, rest) = rest
                .split_at_checked(length)
                .ok_or(SnapshotError::Malformed)?;
            self.item(decode_canonical(item).map_err(|_| SnapshotError::Malformed)?)?;
            bytes = rest;
        }
        Ok(())
    }

    fn item(&mut self, item: Item) -> Result<(), SnapshotError> {
        if self.ended {
            return Err(SnapshotError::Malformed);
        }
        match item {
            Item::Entries(epoch, bytes) => self.earlier.push(EntryKey::from_bytes(epoch, bytes)),
            Item::Appliance(event) => self.state.apply(&event),
            Item::Tenant(tenant) => self.tenants.push((tenant, TenantState::default(), None)),
            Item::Book(mark) => match self.tenants.last_mut() {
                None => self.mark = Some(mark),
                Some((_, _, place)) => *place = Some(mark),
            },
            Item::Piece(piece) => match self.tenants.last_mut() {
                None => return Err(SnapshotError::Malformed),
                Some((_, state, _)) => state.absorb(*piece),
            },
            Item::Carried(commitment, bytes) => {
                self.carried.insert(commitment, bytes.into());
            }
            Item::End(items) if items == self.items => self.ended = true,
            Item::End(_) => return Err(SnapshotError::Malformed),
        }
        self.items += 1;
        Ok(())
    }

    fn finish(self, root: &Root) -> Result<Loaded, SnapshotError> {
        if !self.ended {
            return Err(SnapshotError::Cut);
        }
        let mut needs = root.chunks.clone();
        let mark = self.mark.ok_or(SnapshotError::Malformed)?;
        needs.extend(mark.names());
        let mut tenants = HashMap::new();
        for (tenant, state, mark) in self.tenants {
            let mark = mark.ok_or(SnapshotError::Malformed)?;
            needs.extend(mark.names());
            tenants.insert(tenant, (state, mark));
        }
        Ok(Loaded {
            earlier: self.earlier,
            appliance: (self.state, mark),
            tenants,
            carried: self.carried,
            needs,
        })
    }
}
