//! Dropping old segments: only what was asked, never half, and found again at opening.

mod common;

use std::path::Path;

use common::{MemDisk, Trouble, coin, ledger, record};
use redoubt_host::store::base;
use redoubt_host::store::index::Index;
use redoubt_host::store::scan::OpenError;
use redoubt_host::store::segment::{self, file_name};
use redoubt_host::store::{OpenReport, Refusal, Store};
use redoubt_shared::store::{StoreRefusal, StoredRecord};

const SEGMENT: u64 = 400;

fn open_with(disk: &MemDisk, index: Index) -> Result<(Store, OpenReport), OpenError> {
    Store::open_sized(Box::new(disk.clone()), index, SEGMENT)
}

fn open(disk: &MemDisk) -> Store {
    open_with(disk, Index::in_memory()).unwrap().0
}

fn entry(number: u8, index: u64) -> StoredRecord {
    record(number, index, format!("{number}:{index:0>60}").as_bytes())
}

/// Thirty batches: ledger 1 in each, ledger 2 in every fifth, ledger 3 in the first two.
fn fill(store: &mut Store) {
    for index in 0..30 {
        let mut batch = vec![entry(1, index)];
        if index % 5 == 0 {
            batch.push(entry(2, index / 5));
        }
        if index < 2 {
            batch.push(entry(3, index));
        }
        store.append(&batch).unwrap();
    }
}

fn segments(disk: &MemDisk) -> Vec<u64> {
    let names = disk.names();
    names
        .iter()
        .filter_map(|name| segment::number_of(name))
        .collect()
}

/// The first index of a ledger that can still be read; everything behind it must be whole.
fn first_kept(store: &mut Store, number: u8, count: u64) -> u64 {
    let first = (0..count).find(|at| store.read(ledger(number), *at, 1).is_ok());
    let first = first.unwrap_or(count);
    for at in 0..count {
        match store.read(ledger(number), at, 1) {
            Ok(records) => assert_eq!(records, [entry(number, at)]),
            Err(refusal) => {
                assert!(at < first, "ledger {number}, record {at}: {refusal}");
                assert_eq!(refusal.code(), StoreRefusal::Missing);
            }
        }
    }
    first
}

#[test]
fn only_whole_segments_below_every_given_index_go() {
    let disk = MemDisk::default();
    let mut store = open(&disk);
    fill(&mut store);
    let all = segments(&disk);
    let heads = store.heads();
    assert!(all.len() > 5);

    let nothing = [
        vec![],
        vec![(ledger(1), 30)],
        vec![(ledger(1), 30), (ledger(2), 6)],
        vec![(ledger(1), 0), (ledger(2), 6), (ledger(3), 2)],
        vec![(ledger(9), 7)],
    ];
    for below in nothing {
        assert_eq!(store.drop_below(&below).unwrap(), 0, "{below:?}");
    }
    assert_eq!(segments(&disk), all);

    let below = [(ledger(1), 12), (ledger(2), 3), (ledger(3), 2)];
    let deleted = store.drop_below(&below).unwrap();
    assert!(deleted > 0);
    assert_eq!(segments(&disk), all[deleted as usize..]);
    assert_eq!(store.segments(), all.len() as u64 - deleted);
    assert_eq!(store.heads(), heads, "counts stay");
    let first = first_kept(&mut store, 1, 30);
    assert!(first <= 12 && first > 6, "{first}");
    assert!(first_kept(&mut store, 2, 6) <= 3);
    assert_eq!(first_kept(&mut store, 3, 2), 2);
    assert_eq!(store.drop_below(&below).unwrap(), 0);
}

#[test]
fn the_last_segment_stays_and_the_log_goes_on() {
    let disk = MemDisk::default();
    let mut store = open(&disk);
    fill(&mut store);
    let last = *segments(&disk).last().unwrap();
    let everything = [1, 2, 3].map(|number| (ledger(number), u64::MAX));
    store.drop_below(&everything).unwrap();
    assert_eq!(segments(&disk), [last]);
    for index in 30..50 {
        store.append(&[entry(1, index)]).unwrap();
    }
    assert!(segments(&disk).len() > 2);
    let retried = store.append(&[entry(1, 49)]).unwrap();
    assert_eq!(retried, 0);
    let dropped = store.append(&[entry(1, 3)]).unwrap_err();
    assert!(matches!(dropped, Refusal::Dropped { index: 3, .. }));
    store.drop_below(&everything).unwrap();
    let mut store = open(&disk);
    assert!(first_kept(&mut store, 1, 50) > 30);
}

#[test]
fn opening_and_a_new_index_honour_the_base() {
    let folder = tempfile::tempdir().unwrap();
    let index = |name: &str| Index::open(&folder.path().join(name));
    let disk = MemDisk::default();
    let (mut store, _) = open_with(&disk, index("kept")).unwrap();
    fill(&mut store);
    let below = [(ledger(1), 20), (ledger(2), 4), (ledger(3), 2)];
    store.drop_below(&below).unwrap();
    let (heads, bytes, kept) = (store.heads(), store.bytes(), store.segments());
    let first = first_kept(&mut store, 1, 30);
    drop(store);
    for (name, rebuilt) in [("kept", false), ("new", true)] {
        let (mut store, report) = open_with(&disk, index(name)).unwrap();
        assert_eq!(report.index_rebuilt, rebuilt, "{name}");
        assert_eq!((report.acknowledged_lost, report.cut), (0, None));
        assert_eq!(store.heads(), heads);
        assert_eq!((store.bytes(), store.segments()), (bytes, kept));
        assert_eq!(first_kept(&mut store, 1, 30), first);
    }
}

#[test]
fn an_index_from_before_the_drop_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let disk = MemDisk::default();
    let old = |path: &Path| Index::open(path);
    let (mut store, _) = open_with(&disk, old(folder.path())).unwrap();
    store.append(&[entry(1, 0)]).unwrap();
    drop(store);
    let mut store = open(&disk);
    for index in 1..30 {
        store.append(&[entry(1, index)]).unwrap();
    }
    store.drop_below(&[(ledger(1), 20)]).unwrap();
    let first = first_kept(&mut store, 1, 30);
    drop(store);
    let (mut store, report) = open_with(&disk, old(folder.path())).unwrap();
    assert!(report.index_rebuilt);
    assert_eq!(report.acknowledged_lost, 0);
    assert_eq!(first_kept(&mut store, 1, 30), first);
}

#[test]
fn a_missing_kept_segment_a_missing_base_and_a_damaged_base_are_named() {
    let disk = MemDisk::default();
    let mut store = open(&disk);
    fill(&mut store);
    store
        .drop_below(&[(ledger(1), 20), (ledger(2), 4), (ledger(3), 2)])
        .unwrap();
    drop(store);
    let refused = |what: &str| {
        let error = open_with(&disk, Index::in_memory()).err().unwrap();
        assert!(error.to_string().contains(what), "{error}");
    };
    let (first, whole) = (segments(&disk)[0], disk.bytes(base::FILE));

    let bytes = disk.bytes(&file_name(first));
    disk.remove(&file_name(first));
    refused(&format!("{} is missing", file_name(first)));
    disk.replace(&file_name(first), bytes);

    disk.remove(base::FILE);
    refused(&format!("{} is missing", file_name(0)));

    for at in 0..whole.len() {
        let mut wrong = whole.clone();
        wrong[at] ^= 1 << (at % 8);
        disk.replace(base::FILE, wrong);
        refused("the file `base` is damaged");
    }
    disk.replace(base::FILE, whole);
    open(&disk);
}

#[test]
fn a_disk_that_takes_no_base_refuses_the_drop_and_keeps_everything() {
    for trouble in [Trouble::Full(3), Trouble::Sync, Trouble::ReadOnly] {
        let disk = MemDisk::default();
        let mut store = open(&disk);
        fill(&mut store);
        let all = segments(&disk);
        disk.trouble(trouble);
        let everything = [1, 2, 3].map(|number| (ledger(number), 20));
        let refused = store.drop_below(&everything);
        assert!(matches!(refused, Err(Refusal::Storage(_))), "{trouble:?}");
        assert_eq!(segments(&disk), all);
        assert_eq!(first_kept(&mut store, 1, 30), 0);
        disk.trouble(Trouble::None);
        assert!(store.drop_below(&everything).unwrap() > 0);
    }
}

#[test]
fn after_a_power_cut_at_any_step_of_a_drop_nothing_kept_is_missing() {
    let below = [(ledger(1), 20), (ledger(2), 4), (ledger(3), 2)];
    let mut cut_at = 0;
    loop {
        let mut finished = false;
        for seed in 0..20u64 {
            let disk = MemDisk::default();
            let mut store = open(&disk);
            fill(&mut store);
            let heads = store.heads();
            disk.dies_after(cut_at);
            let dropped = store.drop_below(&below);
            finished = !disk.died();
            drop(store);
            disk.crash(coin(seed));
            let mut store = open(&disk);
            assert_eq!(store.heads(), heads, "cut at {cut_at}");
            let first = first_kept(&mut store, 1, 30);
            assert!(first <= 20, "cut at {cut_at}");
            if dropped.is_ok() {
                assert!(first > 10, "cut at {cut_at}: a drop is durable");
            }
            store.drop_below(&below).unwrap();
            store.append(&[entry(1, 30)]).unwrap();
            let at = first_kept(&mut store, 1, 31);
            assert!(segments(&disk).len() as u64 == store.segments());
            assert!(at > 10 && at <= 20);
        }
        if finished {
            break;
        }
        cut_at += 1;
    }
    assert!(cut_at > 6, "{cut_at} steps");
}
