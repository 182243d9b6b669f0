//! Blobs and the pointer to snapshots: whole or absent, whatever happens to the disk.

mod common;

use common::{MemDisk, Trouble, coin};
use redoubt_attestation::encode::sha256;
use redoubt_host::store::index::Index;
use redoubt_host::store::{Refusal, Store, blobs};
use redoubt_shared::store::{BLOB_MAX, StoreRefusal};

fn open(disk: &MemDisk) -> Store {
    let index = Index::in_memory();
    Store::open(Box::new(disk.clone()), index).unwrap().0
}

fn name(bytes: &[u8]) -> blobs::Name {
    *sha256(&[bytes]).as_bytes()
}

fn put(store: &mut Store, bytes: &[u8]) -> blobs::Name {
    store.put_blob(name(bytes), bytes).unwrap();
    name(bytes)
}

fn file(name: blobs::Name) -> String {
    format!("blobs/{}", hex::encode(name))
}

#[test]
fn a_blob_comes_back_under_the_digest_of_its_bytes_and_no_other() {
    let disk = MemDisk::default();
    let mut store = open(&disk);
    let kept = put(&mut store, b"sealed chunk");
    assert_eq!(store.get_blob(kept).unwrap(), b"sealed chunk");
    put(&mut store, b"sealed chunk");
    let misnamed = store.put_blob(kept, b"other bytes").unwrap_err();
    assert_eq!(misnamed.code(), StoreRefusal::Different);
    let absent = store.get_blob([9; 32]).unwrap_err();
    assert!(matches!(absent, Refusal::NoBlob { .. }));
    assert_eq!(absent.code(), StoreRefusal::Missing);

    let largest = vec![1; BLOB_MAX];
    put(&mut store, &largest);
    let larger = vec![1; BLOB_MAX + 1];
    let refused = store.put_blob(name(&larger), &larger).unwrap_err();
    assert_eq!(refused.code(), StoreRefusal::TooLarge);
}

#[test]
fn a_blob_that_rots_is_missing_with_the_reason_and_can_be_put_again() {
    let disk = MemDisk::default();
    let mut store = open(&disk);
    let kept = put(&mut store, b"sealed chunk");
    for wrong in [&b"sealed chunX"[..], b"sealed", b"", &[0; 2 * BLOB_MAX]] {
        disk.replace(&file(kept), wrong.to_vec());
        let rotten = store.get_blob(kept).unwrap_err();
        assert_eq!(rotten.code(), StoreRefusal::Missing);
        let text = rotten.to_string();
        assert!(
            text.contains("damaged") && text.contains(&hex::encode(kept)),
            "{text}"
        );
        put(&mut store, b"sealed chunk");
        assert_eq!(store.get_blob(kept).unwrap(), b"sealed chunk");
    }
}

#[test]
fn a_snapshot_names_its_blobs_and_deletes_the_others() {
    let disk = MemDisk::default();
    let mut store = open(&disk);
    assert!(store.snapshot().unwrap().is_empty());
    let [old, first, more] = [b"old", b"1st", b"2nd"].map(|bytes| put(&mut store, bytes));
    disk.replace("blobs/notes.txt", b"somebody's".to_vec());
    disk.replace(&format!("{}.tmp", file(old)), b"half".to_vec());
    assert_eq!(store.set_snapshot(&[first], &[first, more]).unwrap(), 2);
    drop(store);
    let store = open(&disk);
    assert_eq!(store.snapshot().unwrap(), [first]);
    assert_eq!(store.get_blob(more).unwrap(), b"2nd");
    assert_eq!(
        store.get_blob(old).unwrap_err().code(),
        StoreRefusal::Missing
    );
    assert!(disk.names().contains(&"blobs/notes.txt".to_owned()));
}

#[test]
fn a_snapshot_whose_newest_blob_is_not_kept_is_refused_and_nothing_deleted() {
    let disk = MemDisk::default();
    let mut store = open(&disk);
    let kept = put(&mut store, b"kept");
    store.set_snapshot(&[kept], &[kept]).unwrap();
    let refused = store.set_snapshot(&[[7; 32]], &[[7; 32]]).unwrap_err();
    assert_eq!(refused.code(), StoreRefusal::Missing);
    assert_eq!(store.snapshot().unwrap(), [kept]);
    assert_eq!(store.get_blob(kept).unwrap(), b"kept");
}

#[test]
fn a_damaged_pointer_is_said_not_guessed() {
    let disk = MemDisk::default();
    let mut store = open(&disk);
    let kept = put(&mut store, b"kept");
    store.set_snapshot(&[kept], &[kept]).unwrap();
    let whole = disk.bytes(blobs::POINTER);
    for len in 0..whole.len() {
        disk.replace(blobs::POINTER, whole[..len].to_vec());
        let refused = store.snapshot().unwrap_err();
        assert!(matches!(refused, Refusal::DamagedPointer), "{len}");
    }
    disk.replace(blobs::POINTER, whole);
    assert_eq!(store.snapshot().unwrap(), [kept]);
}

#[test]
fn a_full_or_failing_disk_refuses_and_keeps_what_was_there() {
    for trouble in [
        Trouble::Full(0),
        Trouble::Full(5),
        Trouble::Sync,
        Trouble::ReadOnly,
    ] {
        let disk = MemDisk::default();
        let mut store = open(&disk);
        let kept = put(&mut store, b"kept");
        store.set_snapshot(&[kept], &[kept]).unwrap();
        disk.trouble(trouble);
        let refused = store.put_blob(name(b"more bytes"), b"more bytes");
        assert!(matches!(refused, Err(Refusal::Storage(_))), "{trouble:?}");
        let refused = store.set_snapshot(&[kept], &[]);
        assert!(matches!(refused, Err(Refusal::Storage(_))), "{trouble:?}");
        disk.crash(|| false);
        let mut store = open(&disk);
        assert_eq!(store.snapshot().unwrap(), [kept]);
        assert_eq!(store.get_blob(kept).unwrap(), b"kept");
        let more = put(&mut store, b"more bytes");
        store.set_snapshot(&[more], &[]).unwrap();
        assert_eq!(store.snapshot().unwrap(), [more]);
    }
}

/// The power goes between any two steps; what survives of the rest is up to `seed`.
#[test]
fn after_a_power_cut_at_any_step_the_pointer_leads_to_whole_blobs() {
    let mut cut_at = 0;
    loop {
        let mut finished = false;
        for seed in 0..40u64 {
            let disk = MemDisk::default();
            let mut store = open(&disk);
            let old = put(&mut store, b"old snapshot");
            store.set_snapshot(&[old], &[old]).unwrap();

            disk.dies_after(cut_at);
            let new = name(b"new snapshot");
            let put = store.put_blob(new, b"new snapshot");
            let set = put
                .as_ref()
                .ok()
                .map(|()| store.set_snapshot(&[new], &[new]));
            let acknowledged = matches!(set, Some(Ok(_)));
            finished = acknowledged && !disk.died();
            drop(store);
            disk.crash(coin(seed));

            let mut store = open(&disk);
            let latest = store.snapshot().unwrap();
            assert!(latest == [old] || latest == [new], "cut at {cut_at}");
            assert!(!acknowledged || latest == [new], "cut at {cut_at}");
            store.get_blob(latest[0]).unwrap();
            if put.is_ok() {
                assert_eq!(store.get_blob(new).unwrap(), b"new snapshot");
            }
            store.put_blob(new, b"new snapshot").unwrap();
            store.set_snapshot(&[new], &[new]).unwrap();
            let left: Vec<String> = disk.names();
            let left = left.iter().filter(|name| name.starts_with("blobs/"));
            assert_eq!(left.collect::<Vec<_>>(), [&file(new)], "cut at {cut_at}");
        }
        if finished {
            break;
        }
        cut_at += 1;
    }
    assert!(cut_at > 6, "{cut_at} steps");
}
