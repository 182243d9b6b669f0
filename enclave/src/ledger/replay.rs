//! Recovery: read every ledger back, check each entry against its place, fold.
//!
//! Protects against a store that was edited, truncated or rolled back in part:
//! the appliance's ledger names the head of every tenant's, and each must be
//! met exactly. A store rolled back as a whole is not caught here; witnesses and
//! remembered heads do that.

use std::collections::HashMap;

use redoubt_attestation::ledger::entry::Hash;
use redoubt_attestation::ledger::merkle::Tree;
use redoubt_shared::frame::decode_canonical;
use redoubt_shared::{LedgerId, TenantId};

use super::appliance::{ApplianceEvent, ApplianceState};
use super::body::{self, Carried, Event, Unwrap};
use super::book::{Book, BookError};
use super::snapshot::{self, Loaded, Mark, Root, SnapshotError};
use super::store::{StoreClient, StoreError};
use crate::core::{Content, Event as CoreEvent, Position, Recorded, TenantState, apply};
use crate::keys::{EpochKey, Keyring, Pool};

/// The state cannot be proven from what the store holds.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry does not hold.
    #[error("ledger {ledger} entry {index}: {source}")]
    Entry {
        /// Which ledger.
        ledger: LedgerId,
        /// Which entry.
        index: u64,
        /// What is wrong with it.
        source: BookError,
    },
    /// An event inside a good entry cannot be read: written by a newer version.
    #[error(
        "ledger {ledger} entry {index}: an event of an unknown kind; use the version that wrote it"
    )]
    UnknownEvent {
        /// Which ledger.
        ledger: LedgerId,
        /// Which entry.
        index: u64,
    },
    /// A tenant's ledger is not where the appliance's says it is.
    #[error(
        "ledger {ledger} stands at {found} entries, the appliance's ledger says {expected} of {}: the store was rolled back or edited",
        if found == expected { "another history" } else { "this history" }
    )]
    Rewound {
        /// Which ledger.
        ledger: LedgerId,
        /// In the store.
        found: u64,
        /// Recorded.
        expected: u64,
    },
    /// This boot's sealing key could not be made, or hashes are not as stored.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The ledger a restore goes on from is not at the head the officers named.
    #[error(
        "the restore order goes on from {expected} entries of ledger {ledger}; the store has {found}, or another history"
    )]
    Restore {
        /// The ledger before.
        ledger: LedgerId,
        /// In the store.
        found: u64,
        /// In the order.
        expected: u64,
    },
    /// A snapshot that opened leads nowhere.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// What recovery yields.
pub struct Recovered {
    /// The appliance's ledger, folded.
    pub appliance: (ApplianceState, Book),
    /// Every tenant's.
    pub tenants: Vec<(TenantId, TenantState, Book)>,
    /// The epoch's keys, with those of earlier epochs.
    pub keys: Keyring,
    /// What the store keeps besides entries.
    pub stored: Stored,
    /// Entries read behind the snapshot.
    pub replayed: u64,
}

/// The ledgers a restore goes on from.
pub struct Origin {
    /// The appliance's.
    pub appliance: LedgerId,
    /// The tenants'.
    pub tenants: Vec<(TenantId, LedgerId)>,
    /// Where the appliance's must stand.
    pub found: (u64, Hash),
}

/// Where reading a ledger begins: a fold, and the tree it is of.
type Start<S> = Option<(S, Option<Mark>)>;

/// Blobs of the store that are in use.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// The last snapshot: its first blob and every other one it needs.
    pub snapshot: Option<([u8; 32], Vec<[u8; 32]>)>,
    /// Blobs of leaf hashes, by ledger.
    pub leaves: HashMap<LedgerId, Vec<[u8; 32]>>,
}

impl Stored {
    /// Blobs that hold the leaf hashes of a ledger.
    pub fn leaves_of(&self, ledger: LedgerId) -> &[[u8; 32]] {
        self.leaves.get(&ledger).map_or(&[], Vec::as_slice)
    }
}

/// The newest snapshot the store names, as far as its clear part tells.
pub async fn newest_snapshot(store: &mut StoreClient) -> Result<Option<Root>, StoreError> {
    for name in store.snapshots().await? {
        if let Some(bytes) = store.get_blob(name).await?
            && let Ok(root) = Root::decode(&bytes)
        {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

/// Reads back the leaf hashes needed for proofs that touch `positions`.
pub(super) async fn bring(
    store: &mut StoreClient,
    book: &mut Book,
    names: &[[u8; 32]],
    positions: &[u64],
) -> Result<(), ReplayError> {
    for chunk in book.tree().missing(positions) {
        let name = names.get(chunk).ok_or(BookError::Hashes)?;
        let bytes = store.get_blob(*name).await?.ok_or(BookError::Hashes)?;
        book.attach(chunk, &bytes)?;
    }
    Ok(())
}

/// Reads, checks and folds everything: from the newest snapshot of this epoch
/// that holds, else from the first entry. `position`: a size of the appliance's
/// ledger whose root will be asked for. `origin`: these ledgers go on from
/// others, unless a snapshot of their own says more.
pub async fn recover(
    store: &mut StoreClient,
    mut keys: Keyring,
    pool: &Pool,
    appliance: LedgerId,
    tenants: &[(TenantId, LedgerId)],
    position: Option<u64>,
    origin: Option<&Origin>,
) -> Result<Recovered, ReplayError> {
    let (loaded, snapshot) = match load(store, keys.current(), appliance).await? {
        Some((name, loaded)) => {
            let needs = loaded.needs.clone();
            (Some(loaded), Some((name, needs)))
        }
        None => (None, None),
    };
    let mut stored = Stored {
        snapshot,
        leaves: HashMap::new(),
    };
    let (mut start, mut starts) = (None, HashMap::new());
    let mut carried = Carried::default();
    match (loaded, origin) {
        (Some(loaded), _) => {
            loaded.earlier.into_iter().for_each(|key| keys.learn(key));
            carried = loaded.carried;
            let (state, mark) = loaded.appliance;
            start = Some((state, Some(mark)));
            let tenants = loaded.tenants.into_iter();
            starts.extend(tenants.map(|(id, (state, mark))| (id, (state, Some(mark)))));
        }
        (None, Some(origin)) => {
            let before = Box::pin(recover_origin(store, keys, pool, origin)).await?;
            (keys, stored.snapshot) = (before.keys, before.stored.snapshot);
            let mut state = before.appliance.0;
            state.heads.clear();
            start = Some((state, None));
            let tenants = before.tenants.into_iter();
            starts.extend(tenants.map(|(id, state, _)| (id, (state, None))));
        }
        (None, None) => {}
    }
    let mut replay = Replay {
        store,
        keys,
        pool,
        stored,
        carried,
        replayed: 0,
    };
    let (state, mut book) = replay.appliance(appliance, start).await?;
    let names = replay.stored.leaves_of(appliance).to_vec();
    let positions: Vec<u64> = position.into_iter().collect();
    bring(replay.store, &mut book, &names, &positions).await?;
    let mut recovered = Vec::new();
    for (tenant, ledger) in tenants {
        let expected = state.heads.get(ledger).copied();
        let start = starts.remove(tenant);
        let (tenant_state, tenant_book) = replay.tenant(*ledger, start, expected).await?;
        recovered.push((tenant.clone(), tenant_state, tenant_book));
    }
    let Replay {
        keys,
        stored,
        replayed,
        ..
    } = replay;
    Ok(Recovered {
        appliance: (state, book),
        tenants: recovered,
        keys,
        stored,
        replayed,
    })
}

/// The ledgers before a restore, which must stand where the order says.
async fn recover_origin(
    store: &mut StoreClient,
    keys: Keyring,
    pool: &Pool,
    origin: &Origin,
) -> Result<Recovered, ReplayError> {
    let (ledger, tenants) = (origin.appliance, &origin.tenants);
    let before = recover(store, keys, pool, ledger, tenants, None, None).await?;
    let book = &before.appliance.1;
    let (expected, root) = origin.found;
    if (book.size(), book.root()) != (expected, root) {
        return Err(ReplayError::Restore {
            ledger,
            found: book.size(),
            expected,
        });
    }
    Ok(before)
}

/// The newest snapshot of this epoch that holds.
async fn load(
    store: &mut StoreClient,
    epoch: &EpochKey,
    ledger: LedgerId,
) -> Result<Option<([u8; 32], Loaded)>, ReplayError> {
    for name in store.snapshots().await? {
        let Some(bytes) = store.get_blob(name).await? else {
            continue;
        };
        let root = match Root::decode(&bytes) {
            Ok(root) if root.epoch == epoch.epoch() => root,
            _ => continue,
        };
        match snapshot::read(store, &root, epoch, ledger).await {
            Ok(loaded) => return Ok(Some((name, loaded))),
            Err(SnapshotError::Store(error)) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "a snapshot does not hold, trying an older one"),
        }
    }
    Ok(None)
}

/// Reading one ledger after another.
struct Replay<'a> {
    store: &'a mut StoreClient,
    keys: Keyring,
    pool: &'a Pool,
    stored: Stored,
    carried: Carried,
    replayed: u64,
}

impl Replay<'_> {
    async fn appliance(
        &mut self,
        ledger: LedgerId,
        start: Start<ApplianceState>,
    ) -> Result<(ApplianceState, Book), ReplayError> {
        let (mut state, mark) = start.unwrap_or_default();
        let book = self
            .ledger(ledger, mark, |index, _, events, _, _| {
                for event in events {
                    let event = appliance_event(event)
                        .ok_or(ReplayError::UnknownEvent { ledger, index })?;
                    state.apply(&event);
                }
                Ok(())
            })
            .await?;
        Ok((state, book))
    }

    async fn tenant(
        &mut self,
        ledger: LedgerId,
        start: Start<TenantState>,
        expected: Option<(u64, Hash)>,
    ) -> Result<(TenantState, Book), ReplayError> {
        let (mut state, mark) = start.unwrap_or_default();
        let book = self
            .ledger(ledger, mark, |index, epoch, events, keys, carried| {
                let unwrap = match epoch == keys.current().epoch() {
                    true => Unwrap::Epoch(keys.current()),
                    false => Unwrap::Carried(carried),
                };
                for (at, event) in events.into_iter().enumerate() {
                    let mut recorded = tenant_event(event, &state, unwrap)
                        .map_err(|source| ReplayError::Entry {
                            ledger,
                            index,
                            source,
                        })?
                        .ok_or(ReplayError::UnknownEvent { ledger, index })?;
                    if epoch != keys.current().epoch() {
                        wait_for(&mut recorded, keys.current().epoch());
                    }
                    let at = Position {
                        entry: index,
                        event: at as u32,
                    };
                    apply(&mut state, &recorded, at);
                }
                Ok(())
            })
            .await?;
        let (size, root) =
            expected.unwrap_or((0, redoubt_attestation::ledger::merkle::empty_root()));
        if (book.size(), book.root()) != (size, root) {
            return Err(ReplayError::Rewound {
                ledger,
                found: book.size(),
                expected: size,
            });
        }
        Ok((state, book))
    }

    /// Reads a ledger, entry by entry, from where the snapshot ends.
    async fn ledger(
        &mut self,
        ledger: LedgerId,
        mark: Option<Mark>,
        mut fold: impl FnMut(u64, u32, Vec<Event>, &Keyring, &Carried) -> Result<(), ReplayError>,
    ) -> Result<Book, ReplayError> {
        let tree = match &mark {
            Some(mark) if mark.ledger == ledger => mark.tree()?,
            Some(_) => return Err(SnapshotError::Malformed.into()),
            None => Tree::new(),
        };
        let names = mark.map_or_else(Vec::new, |mark| mark.names());
        self.stored.leaves.insert(ledger, names);
        let entries = self.keys.current().entries();
        let mut book = Book::new(ledger, tree, entries, self.pool)?;
        loop {
            let records = self.store.read(ledger, book.size()).await?;
            if records.is_empty() {
                return Ok(book);
            }
            for record in &records {
                let index = record.index;
                let (header, events) =
                    book.read(&self.keys, record)
                        .map_err(|source| ReplayError::Entry {
                            ledger,
                            index,
                            source,
                        })?;
                fold(index, header.epoch, events, &self.keys, &self.carried)?;
                self.replayed += 1;
            }
            tracing::info!(entries = book.size(), "replaying a ledger");
        }
    }
}

fn appliance_event(event: Event) -> Option<ApplianceEvent> {
    match event {
        Event::Clear { kind: 0, bytes, .. } => decode_canonical(&bytes).ok(),
        _ => None,
    }
}

/// What was erased after the snapshot of this epoch was begun is in that snapshot:
/// it is dark only when this epoch is over, too.
fn wait_for(recorded: &mut Recorded, epoch: u32) {
    if let Content::State(event) = &mut recorded.content
        && let CoreEvent::FaceErased { erasure, .. } | CoreEvent::SubjectErased { erasure, .. } =
            &mut **event
    {
        erasure.epoch = erasure.epoch.max(epoch);
    }
}

fn tenant_event(
    event: Event,
    state: &TenantState,
    unwrap: Unwrap<'_>,
) -> Result<Option<Recorded>, BookError> {
    let owner = match &event {
        Event::Owned { owner, .. } => Some(*owner),
        Event::Clear { .. } | Event::Wrapped { .. } => None,
    };
    let opened = body::open_event(event, state, unwrap)?;
    let content = match opened.kind {
        0 => decode_canonical::<CoreEvent>(&opened.bytes)
            .ok()
            .map(|event| Content::State(Box::new(event))),
        1 => Content::claims_from_text(opened.text()?),
        _ => None,
    };
    Ok(content.map(|content| Recorded { owner, content }))
}
