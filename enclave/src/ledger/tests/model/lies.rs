//! What a host may do to a disk between two boots.

use proptest::prelude::*;
use redoubt_shared::LedgerId;

use super::super::fake_store::FakeStore;
use super::super::{APPLIANCE, TENANT};

#[derive(Debug, Clone, Copy)]
pub(super) enum Lie {
    /// So many records off the end: the tenant's, the appliance's.
    Cut(u8, u8),
    /// Two records change places.
    Swap(bool, u8, u8),
    /// One bit of one record.
    Flip(bool, u8, u16),
    /// A record of the other ledger in its place.
    Foreign(bool, u8, u8),
    /// One bit of one blob.
    BendBlob(u8, u16),
    /// A blob is gone.
    LoseBlob(u8),
    /// The pointer to the snapshot is gone.
    NoSnapshot,
    /// The snapshot as it was once, with the records of now.
    OldSnapshot,
    /// The records as they were once, with the snapshot of now.
    OldRecords,
    /// The whole disk as it was once.
    OldDisk,
}

pub(super) fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        3 => (0u8..4, 0u8..4).prop_map(|(a, b)| Lie::Cut(a, b)),
        1 => (any::<bool>(), any::<u8>(), any::<u8>()).prop_map(|(l, a, b)| Lie::Swap(l, a, b)),
        1 => (any::<bool>(), any::<u8>(), any::<u16>()).prop_map(|(l, a, b)| Lie::Flip(l, a, b)),
        1 => (any::<bool>(), any::<u8>(), any::<u8>()).prop_map(|(l, a, b)| Lie::Foreign(l, a, b)),
        1 => (any::<u8>(), any::<u16>()).prop_map(|(at, byte)| Lie::BendBlob(at, byte)),
        1 => any::<u8>().prop_map(Lie::LoseBlob),
        1 => Just(Lie::NoSnapshot),
        2 => Just(Lie::OldSnapshot),
        1 => Just(Lie::OldRecords),
        2 => Just(Lie::OldDisk),
    ]
}

impl Lie {
    /// Whether the records themselves are all there and as they were.
    pub(super) fn spares_records(self) -> bool {
        use Lie::*;
        matches!(self, BendBlob(..) | LoseBlob(_) | NoSnapshot | OldSnapshot)
    }

    /// Tells it on this disk.
    pub(super) fn tell(self, disk: &FakeStore, once: Option<&FakeStore>) {
        let ledger = |tenants: bool| if tenants { TENANT } else { APPLIANCE };
        let mut disk = disk.disk.lock().unwrap();
        let once = once.map(|once| once.disk.lock().unwrap());
        let length = |records: &[_]| records.len().max(1);
        match self {
            Lie::Cut(tenant, appliance) => {
                for (ledger, off) in [(TENANT, tenant), (APPLIANCE, appliance)] {
                    let records = disk.records.entry(ledger).or_default();
                    records.truncate(records.len().saturating_sub(off.into()));
                }
            }
            Lie::Swap(tenants, a, b) => {
                let records = disk.records.entry(ledger(tenants)).or_default();
                let (a, b) = (
                    usize::from(a) % length(records),
                    usize::from(b) % length(records),
                );
                if let (Some(one), Some(two)) = (records.get(a), records.get(b)) {
                    let (one, two) = (one.bytes.clone(), two.bytes.clone());
                    (records[a].bytes, records[b].bytes) = (two, one);
                }
            }
            Lie::Flip(tenants, at, byte) => {
                let records = disk.records.entry(ledger(tenants)).or_default();
                let at = usize::from(at) % length(records);
                if let Some(record) = records.get_mut(at) {
                    flip(&mut record.bytes, byte);
                }
            }
            Lie::Foreign(tenants, from, to) => {
                let other: LedgerId = ledger(!tenants);
                let others = disk.records.entry(other).or_default();
                let from = usize::from(from) % length(others);
                let bytes = others.get(from).map(|record| record.bytes.clone());
                let records = disk.records.entry(ledger(tenants)).or_default();
                let to = usize::from(to) % length(records);
                if let (Some(record), Some(bytes)) = (records.get_mut(to), bytes) {
                    record.bytes = bytes;
                }
            }
            Lie::BendBlob(at, byte) => {
                let mut names: Vec<_> = disk.blobs.keys().copied().collect();
                names.sort_unstable();
                if let Some(name) = names.get(usize::from(at) % names.len().max(1)) {
                    flip(disk.blobs.get_mut(name).unwrap(), byte);
                }
            }
            Lie::LoseBlob(at) => {
                let mut names: Vec<_> = disk.blobs.keys().copied().collect();
                names.sort_unstable();
                if let Some(name) = names.get(usize::from(at) % names.len().max(1)) {
                    disk.blobs.remove(name);
                }
            }
            Lie::NoSnapshot => disk.latest.clear(),
            Lie::OldSnapshot => {
                if let Some(once) = once {
                    disk.latest = once.latest.clone();
                    let blobs = once.blobs.iter();
                    disk.blobs
                        .extend(blobs.map(|(name, bytes)| (*name, bytes.clone())));
                }
            }
            Lie::OldRecords => {
                if let Some(once) = once {
                    disk.records = once.records.clone();
                    disk.first = once.first.clone();
                }
            }
            Lie::OldDisk => {
                if let Some(once) = once {
                    disk.records = once.records.clone();
                    disk.first = once.first.clone();
                    disk.blobs = once.blobs.clone();
                    disk.latest = once.latest.clone();
                }
            }
        }
    }
}

fn flip(bytes: &mut [u8], at: u16) {
    let length = bytes.len().max(1);
    if let Some(byte) = bytes.get_mut(usize::from(at) % length) {
        *byte ^= 1 << (at % 8);
    }
}
