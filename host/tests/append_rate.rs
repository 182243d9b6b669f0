//! Durable appends against a raw fdatasync loop of the same bytes, in one run.
//!
//! Ignored by default, as it takes seconds and tells about the disk more than
//! about the code: `cargo test --release -p redoubt-host --test append_rate -- --ignored --nocapture`

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use common::record;
use redoubt_host::store::Store;
use redoubt_host::store::disk::Folder;
use redoubt_host::store::index::Index;
use redoubt_shared::store::{StoreRequest, StoredRecord};
use redoubt_shared::{decode, encode};

const RECORD: usize = 4096;
const ROUNDS: usize = 400;

#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let value = work();
        self.0.push(began.elapsed());
        value
    }

    fn per_second(&self, batch: usize) -> f64 {
        let total: Duration = self.0.iter().sum();
        (self.0.len() * batch) as f64 / total.as_secs_f64()
    }

    fn show(&mut self, name: &str, batch: usize) {
        self.0.sort();
        let (p50, p99) = (self.0[self.0.len() / 2], self.0[self.0.len() * 99 / 100]);
        let rate = self.per_second(batch);
        println!("batch {batch:>2} {name:<28} {rate:>8.0}/s  p50 {p50:>10.1?}  p99 {p99:>10.1?}");
    }
}

fn batch_from(next: u64, batch: usize) -> Vec<StoredRecord> {
    (next..next + batch as u64)
        .map(|n| record(1, n, &[0x5a; RECORD]))
        .collect()
}

/// One append of each kind in turn, so that both meet the same disk.
fn compare(dir: &Path, batch: usize) {
    let raw = File::create(dir.join("raw")).unwrap();
    let bytes = vec![0x5a; batch * RECORD];
    let disk = Folder::lock(&dir.join("store")).unwrap();
    let index = Index::open(&dir.join("store/index"));
    let (mut store, _) = Store::open(Box::new(disk), index).unwrap();
    let (mut peer, mut ours, mut wire) = (Times::default(), Times::default(), Times::default());
    for round in 0..ROUNDS {
        let at = (round * bytes.len()) as u64;
        peer.time(|| {
            raw.write_all_at(&bytes, at).unwrap();
            raw.sync_data().unwrap();
        });
        let records = batch_from((round * batch) as u64, batch);
        let request = StoreRequest::Append { records };
        let records = wire.time(|| {
            let frame = encode(&request).unwrap();
            match decode(&frame[4..]).unwrap() {
                StoreRequest::Append { records } => records,
                other => panic!("{other:?}"),
            }
        });
        ours.time(|| store.append(&records).unwrap());
    }
    let ratio = ours.per_second(batch) / peer.per_second(batch);
    peer.show("raw write + fdatasync", batch);
    ours.show("store append", batch);
    wire.show("frame there and back (CPU)", batch);
    println!("batch {batch:>2} store / raw: {ratio:.2}");
    assert!(ratio > 0.1, "appends cost ten times the disk");
}

#[test]
#[ignore = "measures the disk; run alone with --ignored --nocapture"]
fn durable_appends_against_a_raw_loop() {
    for batch in [1, 64] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        compare(folder.path(), batch);
    }
}
