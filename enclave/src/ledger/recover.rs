//! Recovery: from the newest snapshot that holds, or from the first entry, to
//! the state of every ledger.

use std::collections::HashMap;

use redoubt_attestation::ledger::entry::Hash;
use redoubt_shared::{LedgerId, TenantId};

use super::appliance::ApplianceState;
use super::body::Carried;
use super::book::{Book, BookError};
use super::replay::{Replay, ReplayError};
use super::snapshot::{self, Loaded, Root, SnapshotError};
use super::store::{StoreClient, StoreError};
use crate::core::TenantState;
use crate::keys::{EpochKey, Keyring, Pool};

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
