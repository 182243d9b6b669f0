//! Reading a snapshot back, chunk by chunk, each checked in its place.

use std::collections::HashMap;

use redoubt_shared::frame::decode_canonical;
use redoubt_shared::{LedgerId, TenantId};

use super::{Item, Mark, Root, SnapshotError};
use crate::core::TenantState;
use crate::keys::{EntryKey, EpochKey, SealError};
use crate::ledger::appliance::ApplianceState;
use crate::ledger::body::Carried;
use crate::ledger::store::StoreClient;

/// A snapshot read back.
pub(in crate::ledger) struct Loaded {
    /// Entry keys of earlier epochs.
    pub earlier: Vec<EntryKey>,
    /// The appliance's ledger.
    pub appliance: (ApplianceState, Mark),
    /// The tenants', with their names.
    pub tenants: HashMap<TenantId, (TenantState, Mark)>,
    /// What entries of the epoch before wrapped after the snapshot was begun.
    pub(in crate::ledger) carried: Carried,
    /// Every blob it needs.
    pub needs: Vec<[u8; 32]>,
}

/// Reads a snapshot whose first blob is `root`.
pub(in crate::ledger) async fn read(
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
