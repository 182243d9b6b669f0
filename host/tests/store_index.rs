//! The index is a cache: lost, damaged or lying, it changes nothing.

mod common;

use std::path::Path;

use common::{MemDisk, ledger, record};
use redoubt_host::store::index::{Index, Location, Position};
use redoubt_host::store::{OpenReport, Store};
use redoubt_shared::store::StoredRecord;

fn open(disk: &MemDisk, index: &Path) -> (Store, OpenReport) {
    Store::open(Box::new(disk.clone()), Index::open(index)).unwrap()
}

fn fill(disk: &MemDisk, index: &Path) -> Vec<StoredRecord> {
    let (mut store, _) = open(disk, index);
    let records: Vec<_> = (0..40)
        .map(|n| record(1, n, format!("sealed {n}").as_bytes()))
        .collect();
    for pair in records.chunks(2) {
        store.append(pair).unwrap();
    }
    records
}

#[test]
fn an_intact_index_is_used_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let disk = MemDisk::default();
    let records = fill(&disk, folder.path());
    let (mut store, report) = open(&disk, folder.path());
    assert!(!report.index_rebuilt);
    assert_eq!(store.read(ledger(1), 0, 99).unwrap(), records);
}

#[test]
fn a_deleted_index_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let disk = MemDisk::default();
    let records = fill(&disk, folder.path());
    std::fs::remove_dir_all(folder.path()).unwrap();
    let (mut store, report) = open(&disk, folder.path());
    assert!(report.index_rebuilt);
    assert_eq!(store.read(ledger(1), 0, 99).unwrap(), records);
}

#[test]
fn a_corrupted_index_is_made_anew() {
    for pattern in [0x00, 0xff, 0x5a] {
        let folder = tempfile::tempdir().unwrap();
        let disk = MemDisk::default();
        let records = fill(&disk, folder.path());
        for name in ["db", "conf"] {
            let path = folder.path().join(name);
            let len = std::fs::metadata(&path).unwrap().len() as usize;
            std::fs::write(path, vec![pattern; len]).unwrap();
        }
        let (mut store, _) = open(&disk, folder.path());
        assert_eq!(
            store.read(ledger(1), 0, 99).unwrap(),
            records,
            "{pattern:#x}"
        );
    }
}

#[test]
fn an_index_that_is_behind_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = MemDisk::default();
    let mut records = fill(&disk, folder.path());
    let (mut store, _) = Store::open(Box::new(disk.clone()), Index::in_memory()).unwrap();
    records.push(record(1, 40, b"the index on disk never saw this"));
    store.append(&records[40..]).unwrap();
    drop(store);
    let (mut store, report) = open(&disk, folder.path());
    assert!(report.index_rebuilt);
    assert_eq!(report.acknowledged_lost, 0);
    assert_eq!(store.read(ledger(1), 0, 99).unwrap(), records);
}

#[test]
fn an_index_that_lies_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let disk = MemDisk::default();
    let records = fill(&disk, folder.path());
    let mut index = Index::open(folder.path());
    let reached = index.position();
    let elsewhere = index.find(ledger(1), 0).unwrap().unwrap();
    let nowhere = Location {
        segment: 0,
        offset: 77,
    };
    let missing = Location {
        segment: 9,
        offset: 32,
    };
    let lies = [
        (ledger(1), 10, elsewhere),
        (ledger(1), 20, nowhere),
        (ledger(1), 30, missing),
    ];
    index.insert(&lies, reached).unwrap();
    for (_, at, _) in lies {
        let (mut store, _) = Store::open(Box::new(disk.clone()), index).unwrap();
        assert_eq!(
            store.read(ledger(1), at, 1).unwrap(),
            records[at as usize..][..1]
        );
        drop(store);
        index = Index::open(folder.path());
        index.insert(&lies, reached).unwrap();
    }
    index.insert(&[], Position::default()).unwrap();
    let (mut store, _) = Store::open(Box::new(disk), index).unwrap();
    assert_eq!(store.read(ledger(1), 0, 99).unwrap(), records);
}
