//! Durable appends against a raw fdatasync loop of the same bytes, in one run.
//!
//! Ignored by default, as it takes seconds and tells about the disk more than
//! about the code: `cargo test --release -p redoubt-host --test append_rate -- --ignored --nocapture`

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::record;
use redoubt_host::store::service::{StoreHandle, StorePaths};
use redoubt_host::store::session;
use redoubt_shared::store::{StoreRequest, StoreResponse};
use redoubt_shared::{Endpoint, read_frame, write_frame};

const RECORD: usize = 4096;
const ROUND: Duration = Duration::from_millis(1500);

struct Rate {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn rate(batch: usize, mut times: Vec<Duration>) -> Rate {
    let total: Duration = times.iter().sum();
    times.sort();
    Rate {
        per_second: (times.len() * batch) as f64 / total.as_secs_f64(),
        p50: times[times.len() / 2],
        p99: times[times.len() * 99 / 100],
    }
}

fn raw(dir: &Path, batch: usize) -> Rate {
    let path = dir.join("raw");
    let file = File::create(&path).unwrap();
    let bytes = vec![0x5a; batch * RECORD];
    let (mut times, mut at, began) = (Vec::new(), 0, Instant::now());
    while began.elapsed() < ROUND {
        let one = Instant::now();
        file.write_all_at(&bytes, at).unwrap();
        file.sync_data().unwrap();
        times.push(one.elapsed());
        at += bytes.len() as u64;
    }
    std::fs::remove_file(path).unwrap();
    rate(batch, times)
}

/// As the enclave does it: frames over a socket, one batch outstanding.
async fn ours(dir: &Path, batch: usize) -> Rate {
    let paths = StorePaths {
        store_dir: dir.join(format!("store-{batch}")),
        boot_dir: dir.to_owned(),
    };
    let (store, thread) = StoreHandle::start(paths.clone(), Arc::default()).unwrap();
    let endpoint = Endpoint::Unix(dir.join("s"));
    let listener = endpoint.listen().await.unwrap();
    let task = tokio::spawn(session::serve(listener, store.clone(), Arc::default()));
    let mut enclave = endpoint.connect().await.unwrap();
    let (mut times, mut next, began) = (Vec::new(), 0u64, Instant::now());
    while began.elapsed() < ROUND {
        let records = (next..next + batch as u64).map(|n| record(1, n, &[0x5a; RECORD]));
        let request = StoreRequest::Append {
            records: records.collect(),
        };
        let one = Instant::now();
        write_frame(&mut enclave, &request).await.unwrap();
        let answer: StoreResponse = read_frame(&mut enclave).await.unwrap();
        times.push(one.elapsed());
        assert_eq!(answer, StoreResponse::Appended);
        next += batch as u64;
    }
    task.abort();
    store.stop();
    thread.join().unwrap();
    std::fs::remove_dir_all(paths.store_dir).unwrap();
    rate(batch, times)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures the disk; run alone with --ignored --nocapture"]
async fn durable_appends_against_a_raw_loop() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for batch in [1, 64] {
        for round in 0..3 {
            let (peer, own) = (raw(folder.path(), batch), ours(folder.path(), batch).await);
            println!(
                "batch {batch:>2} round {round}: ours {:>8.0}/s (p50 {:?} p99 {:?})  raw {:>8.0}/s (p50 {:?} p99 {:?})  ratio {:.2}",
                own.per_second,
                own.p50,
                own.p99,
                peer.per_second,
                peer.p50,
                peer.p99,
                own.per_second / peer.per_second
            );
            assert!(own.per_second > 0.0);
        }
    }
}
