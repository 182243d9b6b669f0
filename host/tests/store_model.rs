//! The store against a model: whatever crashes and failures come, what was
//! acknowledged is there, in order, and nothing else but the one batch whose
//! outcome was unknown.

mod common;

use std::collections::BTreeMap;

use common::{MemDisk, Trouble, coin, ledger, record};
use proptest::prelude::*;
use redoubt_host::store::index::Index;
use redoubt_host::store::{Refusal, Store};
use redoubt_shared::store::StoredRecord;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u8, u16)>),
    Retry,
    Gap(u8),
    Fail(Trouble, Vec<(u8, u16)>),
    Crash {
        in_flight: bool,
        seed: u64,
    },
    LoseIndex,
    Reopen,
    /// Of each ledger, in hundredths of its records.
    Drop([u8; 3]),
}

/// Small, so that a few steps fill several.
const SEGMENT: u64 = 4096;

fn batch() -> impl Strategy<Value = Vec<(u8, u16)>> {
    prop::collection::vec((0u8..3, 1u16..600), 1..5)
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        (0usize..900).prop_map(Trouble::Full),
        Just(Trouble::Sync),
        Just(Trouble::SyncAndTruncate),
        Just(Trouble::ReadOnly),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => batch().prop_map(Step::Append),
        1 => Just(Step::Retry),
        1 => (0u8..3).prop_map(Step::Gap),
        3 => (trouble(), batch()).prop_map(|(trouble, batch)| Step::Fail(trouble, batch)),
        3 => (any::<bool>(), any::<u64>())
            .prop_map(|(in_flight, seed)| Step::Crash { in_flight, seed }),
        1 => Just(Step::LoseIndex),
        1 => Just(Step::Reopen),
        2 => [0u8..=100, 0u8..=100, 0u8..=100].prop_map(Step::Drop),
    ]
}

struct World {
    disk: MemDisk,
    index: tempfile::TempDir,
    store: Option<Store>,
    kept: BTreeMap<u8, Vec<StoredRecord>>,
    /// The first record of each ledger that was not dropped.
    first: BTreeMap<u8, u64>,
    last: Vec<StoredRecord>,
    /// Refused while the disk failed so badly that the bytes of one of these may still be there.
    unknown: Vec<Vec<StoredRecord>>,
    made: u8,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            disk: MemDisk::default(),
            index: tempfile::tempdir().unwrap(),
            store: None,
            kept: BTreeMap::new(),
            first: BTreeMap::new(),
            last: Vec::new(),
            unknown: Vec::new(),
            made: 0,
        };
        world.open();
        world
    }

    fn open(&mut self) {
        self.store = None;
        let index = Index::open(&self.index.path().join("index"));
        let disk = Box::new(self.disk.clone());
        let (mut store, report) = Store::open_sized(disk, index, SEGMENT).unwrap();
        assert_eq!(report.acknowledged_lost, 0);
        store.mend(1).unwrap();
        self.store = Some(store);
        self.adopt();
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    /// New records, each the next of its ledger, no two batches alike.
    fn make(&mut self, shape: &[(u8, u16)]) -> Vec<StoredRecord> {
        self.made = self.made.wrapping_add(1);
        let mut next: BTreeMap<u8, u64> = BTreeMap::new();
        shape
            .iter()
            .map(|(number, size)| {
                let kept = self.kept.get(number).map_or(0, Vec::len) as u64;
                let index = next.entry(*number).or_insert(kept);
                *index += 1;
                record(*number, *index - 1, &vec![self.made; *size as usize])
            })
            .collect()
    }

    fn keep(&mut self, batch: Vec<StoredRecord>) {
        for record in &batch {
            let number = record.ledger.as_bytes()[0];
            self.kept.entry(number).or_default().push(record.clone());
        }
        self.last = batch;
        self.unknown.clear();
    }

    /// At opening, one batch whose outcome was unknown is there whole, or none.
    fn adopt(&mut self) {
        for unknown in std::mem::take(&mut self.unknown) {
            let first = unknown[0].clone();
            let found = self.store().read(first.ledger, first.index, 1).unwrap();
            if found == [first] {
                return self.keep(unknown);
            }
        }
    }

    fn check(&mut self) {
        let kept = self.kept.clone();
        let heads: Vec<_> = kept
            .iter()
            .map(|(n, all)| (ledger(*n), all.len() as u64))
            .collect();
        assert_eq!(self.store().heads(), heads);
        for (number, all) in kept {
            let first = self.first.get(&number).copied().unwrap_or(0);
            let read = self.store().read(ledger(number), first, u32::MAX);
            assert_eq!(read.unwrap(), all[first as usize..]);
            if let Some(dropped) = first.checked_sub(1) {
                let refused = self.store().read(ledger(number), dropped, 1);
                assert!(matches!(refused, Err(Refusal::Dropped { .. })));
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(shape) => {
                let batch = self.make(&shape);
                assert_eq!(self.store().append(&batch).unwrap(), batch.len());
                self.keep(batch);
            }
            Step::Retry => {
                let batch = self.last.clone();
                assert_eq!(self.store().append(&batch).unwrap(), 0);
            }
            Step::Gap(number) => {
                let head = self.kept.get(&number).map_or(0, Vec::len) as u64;
                let refused = self.store().append(&[record(number, head + 1, b"gap")]);
                assert!(matches!(refused, Err(Refusal::OutOfOrder { .. })));
            }
            Step::Fail(trouble, shape) => {
                let batch = self.make(&shape);
                self.disk.trouble(trouble);
                match self.store().append(&batch) {
                    Ok(_) => self.keep(batch),
                    Err(refusal) => {
                        assert!(matches!(refusal, Refusal::Storage(_)));
                        if trouble == Trouble::SyncAndTruncate {
                            self.unknown.push(batch);
                        }
                    }
                }
                self.disk.trouble(Trouble::None);
            }
            Step::Crash { in_flight, seed } => self.crash(in_flight, seed),
            Step::LoseIndex => {
                self.store = None;
                std::fs::remove_dir_all(self.index.path().join("index")).unwrap();
                self.open();
            }
            Step::Reopen => self.open(),
            Step::Drop(shares) => self.drop_below(shares),
        }
    }

    /// As much as asked may go and no more; what went is what can no longer be read.
    fn drop_below(&mut self, shares: [u8; 3]) {
        let below: Vec<(u8, u64)> = (0..3)
            .zip(shares)
            .map(|(number, share)| {
                let kept = self.kept.get(&number).map_or(0, Vec::len) as u64;
                (number, kept * u64::from(share) / 100)
            })
            .collect();
        let asked: Vec<_> = below.iter().map(|(n, at)| (ledger(*n), *at)).collect();
        self.store().drop_below(&asked).unwrap();
        for (number, asked) in below {
            let before = self.first.get(&number).copied().unwrap_or(0);
            let gone = |at: &u64| {
                self.store
                    .as_mut()
                    .unwrap()
                    .read(ledger(number), *at, 1)
                    .is_err()
            };
            let first = before + (before..asked).take_while(gone).count() as u64;
            self.first.insert(number, first);
        }
        // A retry of the last batch is only recognised while it is kept.
        let first = self.first.clone();
        let kept = |record: &StoredRecord| {
            let number = record.ledger.as_bytes()[0];
            record.index >= first.get(&number).copied().unwrap_or(0)
        };
        self.last.retain(kept);
    }

    fn crash(&mut self, in_flight: bool, seed: u64) {
        if in_flight {
            self.take(Step::Fail(
                Trouble::SyncAndTruncate,
                vec![(0, 300), (1, 200), (0, 5)],
            ));
        }
        self.store = None;
        self.disk.crash(coin(seed | 1));
        self.open();
    }
}

/// Few by default, since each case opens sled some times; PROPTEST_CASES asks for more.
fn config() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if asked { default.cases } else { 48 },
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_acknowledged_is_lost_and_nothing_else_appears(
        steps in prop::collection::vec(step(), 1..24)
    ) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check();
        }
    }
}
