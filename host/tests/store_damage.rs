//! What the store does with files that are not as it left them.

mod common;

use common::{MemDisk, Trouble, ledger, record};
use redoubt_host::store::index::Index;
use redoubt_host::store::scan::OpenError;
use redoubt_host::store::segment::{HEADER_LEN, file_name};
use redoubt_host::store::{OpenReport, Refusal, Store};

fn open(disk: &MemDisk) -> Result<(Store, OpenReport), OpenError> {
    Store::open(Box::new(disk.clone()), Index::in_memory())
}

/// Three batches; returns the offsets at which they begin, and the end.
fn three_batches(disk: &MemDisk) -> Vec<usize> {
    let (mut store, _) = open(disk).unwrap();
    let mut ends = vec![HEADER_LEN as usize];
    for index in 0..3 {
        let batch = [
            record(1, index, format!("sealed {index}").as_bytes()),
            record(2, index, b"other ledger"),
        ];
        assert_eq!(store.append(&batch).unwrap(), 2);
        ends.push(store.bytes() as usize);
    }
    ends
}

fn damaged_at(error: OpenError) -> u64 {
    match error {
        OpenError::Damaged { name, offset, .. } => {
            assert_eq!(name, file_name(0));
            offset
        }
        other => panic!("not damage: {other}"),
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_at_the_last_whole_batch() {
    let disk = MemDisk::default();
    let ends = three_batches(&disk);
    let whole = disk.bytes(&file_name(0));
    for len in ends[2] + 1..ends[3] {
        disk.replace(&file_name(0), whole[..len].to_vec());
        let (mut store, report) = open(&disk).unwrap();
        let cut = report.cut.expect("the cut is reported");
        assert_eq!(
            (cut.offset, cut.bytes),
            (ends[2] as u64, (len - ends[2]) as u64)
        );
        assert_eq!(store.heads(), vec![(ledger(1), 2), (ledger(2), 2)]);
        let again = [record(1, 2, b"sealed again")];
        store.append(&again).unwrap();
        assert_eq!(store.read(ledger(1), 2, 9).unwrap(), again);
        drop(store);
        assert_eq!(open(&disk).unwrap().1.cut, None, "{len}");
    }
}

#[test]
fn a_tail_of_garbage_or_zeros_is_cut() {
    let disk = MemDisk::default();
    let ends = three_batches(&disk);
    let whole = disk.bytes(&file_name(0));
    for garbage in [vec![0; 5000], vec![0xff; 3], vec![0x41; 70_000]] {
        disk.replace(&file_name(0), [&whole[..], &garbage[..]].concat());
        let (store, report) = open(&disk).unwrap();
        assert_eq!(report.cut.unwrap().offset as usize, ends[3]);
        assert_eq!(store.heads(), vec![(ledger(1), 3), (ledger(2), 3)]);
    }
}

#[test]
fn a_flipped_bit_before_a_whole_batch_is_damage_and_named() {
    let disk = MemDisk::default();
    let ends = three_batches(&disk);
    let whole = disk.bytes(&file_name(0));
    for at in 0..ends[2] {
        let mut wrong = whole.clone();
        wrong[at] ^= 1 << (at % 8);
        disk.replace(&file_name(0), wrong);
        let begins = ends.iter().rev().find(|begin| **begin <= at).unwrap_or(&0);
        assert_eq!(
            damaged_at(open(&disk).err().unwrap()) as usize,
            *begins,
            "byte {at}"
        );
    }
}

#[test]
fn batches_dropped_swapped_or_repeated_are_damage() {
    let disk = MemDisk::default();
    let ends = three_batches(&disk);
    let whole = disk.bytes(&file_name(0));
    let part = |number: usize| &whole[ends[number]..ends[number + 1]];
    let header = &whole[..ends[0]];
    for (order, offset) in [
        (vec![1, 2], ends[0]),
        (vec![0, 2], ends[1]),
        (vec![1, 0, 2], ends[0]),
        (vec![0, 2, 1], ends[1]),
        (vec![0, 1, 1, 2], ends[2]),
    ] {
        let mut bytes = header.to_vec();
        order.iter().for_each(|number| bytes.extend(part(*number)));
        disk.replace(&file_name(0), bytes);
        assert_eq!(
            damaged_at(open(&disk).err().unwrap()) as usize,
            offset,
            "{order:?}"
        );
    }
}

#[test]
fn garbage_between_batches_is_damage_not_a_tail() {
    let disk = MemDisk::default();
    let ends = three_batches(&disk);
    let whole = disk.bytes(&file_name(0));
    let bytes = [&whole[..ends[2]], &[7; 33], &whole[ends[2]..]].concat();
    disk.replace(&file_name(0), bytes);
    assert_eq!(damaged_at(open(&disk).err().unwrap()) as usize, ends[2]);
}

#[test]
fn a_missing_segment_is_named() {
    let disk = MemDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    let big = vec![0x5a; 7 * 1024 * 1024];
    for index in 0..20 {
        store.append(&[record(1, index, &big)]).unwrap();
    }
    assert_eq!(store.segments(), 3);
    assert_eq!(store.read(ledger(1), 11, 1).unwrap()[0].bytes, big);
    drop(store);
    disk.remove(&file_name(1));
    let error = open(&disk).err().unwrap().to_string();
    assert!(
        error.contains("segment 0000000001.segment is missing"),
        "{error}"
    );
}

#[test]
fn a_torn_new_segment_is_written_again() {
    let disk = MemDisk::default();
    three_batches(&disk);
    for header in [vec![], vec![1; 5], vec![0; HEADER_LEN as usize]] {
        disk.replace(&file_name(1), header);
        let (mut store, _) = open(&disk).unwrap();
        assert_eq!(store.heads(), vec![(ledger(1), 3), (ledger(2), 3)]);
        store.append(&[]).unwrap();
        drop(store);
        disk.remove(&file_name(1));
    }
    disk.replace(&file_name(1), vec![]);
    let (mut store, _) = open(&disk).unwrap();
    store.append(&[record(1, 3, b"after")]).unwrap();
    drop(store);
    let (mut store, report) = open(&disk).unwrap();
    assert_eq!(report.cut, None);
    assert_eq!(
        store.read(ledger(1), 3, 1).unwrap(),
        [record(1, 3, b"after")]
    );
}

#[test]
fn an_acknowledged_batch_that_rots_is_refused_and_one_cut_short_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let disk = MemDisk::default();
    let with_index = || Store::open(Box::new(disk.clone()), Index::open(folder.path()));
    let (mut store, _) = with_index().unwrap();
    store.append(&[record(1, 0, b"first")]).unwrap();
    let begins = store.bytes();
    store.append(&[record(1, 1, b"second")]).unwrap();
    drop(store);
    let whole = disk.bytes(&file_name(0));

    let mut rotten = whole.clone();
    *rotten.last_mut().unwrap() ^= 1;
    disk.replace(&file_name(0), rotten);
    let error = with_index().err().unwrap();
    assert!(error.to_string().contains("was acknowledged"), "{error}");
    assert_eq!(damaged_at(error), begins);

    disk.replace(&file_name(0), whole[..whole.len() - 1].to_vec());
    let (_, report) = with_index().unwrap();
    assert_eq!(report.acknowledged_lost, 1);
    assert!(report.cut.is_some() && report.index_rebuilt);
}

#[test]
fn retries_are_recognised_and_everything_else_out_of_place_is_refused() {
    let disk = MemDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    let batch = [record(1, 0, b"a"), record(1, 1, b"b"), record(2, 0, b"c")];
    assert_eq!(store.append(&batch).unwrap(), 3);
    let syncs = disk.syncs();
    assert_eq!(store.append(&batch).unwrap(), 0);
    assert_eq!(disk.syncs(), syncs, "a retry writes nothing");
    assert_eq!(
        store
            .append(&[record(2, 0, b"c"), record(2, 1, b"d")])
            .unwrap(),
        1
    );
    let same_twice = [record(2, 2, b"e"), record(2, 2, b"e")];
    assert_eq!(store.append(&same_twice).unwrap(), 1);

    let different = [record(1, 2, b"new"), record(1, 1, b"B")];
    assert!(matches!(
        store.append(&different),
        Err(Refusal::Different { index: 1, .. })
    ));
    let twice = [record(1, 2, b"x"), record(1, 2, b"y")];
    assert!(matches!(
        store.append(&twice),
        Err(Refusal::Different { index: 2, .. })
    ));
    let gap = [record(1, 2, b"new"), record(1, 4, b"far")];
    assert!(matches!(
        store.append(&gap),
        Err(Refusal::OutOfOrder { expected: 3, .. })
    ));
    let huge = [record(1, 2, &vec![0; 9 << 20])];
    assert!(matches!(store.append(&huge), Err(Refusal::TooLarge(_))));
    assert_eq!(
        store.heads(),
        vec![(ledger(1), 2), (ledger(2), 3)],
        "nothing of these was kept"
    );
}

#[test]
fn trouble_leaves_nothing_behind_and_ends_when_mended() {
    for trouble in [
        Trouble::Full(0),
        Trouble::Full(25),
        Trouble::Sync,
        Trouble::SyncAndTruncate,
        Trouble::ReadOnly,
    ] {
        let disk = MemDisk::default();
        let (mut store, _) = open(&disk).unwrap();
        store.append(&[record(1, 0, b"kept")]).unwrap();
        disk.trouble(trouble);
        for _ in 0..2 {
            let refused = store.append(&[record(1, 1, &[9; 100])]);
            assert!(matches!(refused, Err(Refusal::Storage(_))), "{trouble:?}");
            assert!(store.mend(65536).is_err(), "{trouble:?}");
        }
        assert_eq!(
            store.read(ledger(1), 0, 9).unwrap(),
            [record(1, 0, b"kept")]
        );
        disk.trouble(Trouble::None);
        store.mend(65536).unwrap();
        // Another batch than the one refused: that one was never there.
        store.append(&[record(1, 1, b"other")]).unwrap();
        drop(store);
        disk.crash(|| false);
        let (mut store, report) = open(&disk).unwrap();
        assert_eq!(report.cut, None);
        assert_eq!(
            store.read(ledger(1), 1, 9).unwrap(),
            [record(1, 1, b"other")]
        );
    }
}

#[test]
fn trouble_while_a_segment_is_created_is_survived() {
    for trouble in [
        Trouble::Full(0),
        Trouble::Full(10),
        Trouble::Sync,
        Trouble::ReadOnly,
    ] {
        let disk = MemDisk::default();
        let (mut store, _) = open(&disk).unwrap();
        disk.trouble(trouble);
        assert!(store.append(&[record(1, 0, b"x")]).is_err());
        disk.trouble(Trouble::None);
        store.append(&[record(1, 0, b"y")]).unwrap();
        drop(store);
        disk.crash(|| false);
        let (mut store, _) = open(&disk).unwrap();
        assert_eq!(store.read(ledger(1), 0, 9).unwrap(), [record(1, 0, b"y")]);
    }
}

#[test]
fn a_read_is_bounded_and_always_advances() {
    let disk = MemDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    let three_mib = vec![1; 3 << 20];
    let batch = [
        record(1, 0, &three_mib),
        record(1, 1, &three_mib),
        record(1, 2, b""),
    ];
    store.append(&batch).unwrap();
    store.append(&[record(1, 3, &vec![2; 5 << 20])]).unwrap();
    let indices = |records: Vec<redoubt_shared::store::StoredRecord>| {
        records
            .iter()
            .map(|record| record.index)
            .collect::<Vec<_>>()
    };
    assert_eq!(indices(store.read(ledger(1), 0, 9).unwrap()), [0]);
    assert_eq!(indices(store.read(ledger(1), 1, 9).unwrap()), [1, 2]);
    assert_eq!(indices(store.read(ledger(1), 1, 1).unwrap()), [1]);
    assert_eq!(indices(store.read(ledger(1), 3, 9).unwrap()), [3]);
    assert!(store.read(ledger(1), 4, 9).unwrap().is_empty());
    assert!(store.read(ledger(1), u64::MAX, 9).unwrap().is_empty());
    assert!(store.read(ledger(9), 0, u32::MAX).unwrap().is_empty());
    assert!(store.read(ledger(1), 0, 0).unwrap().is_empty());
}
