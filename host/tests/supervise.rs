//! The supervisor against an enclave that answers anything.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redoubt_host::metrics::Metrics;
use redoubt_host::places::Places;
use redoubt_host::supervise::poll;
use redoubt_shared::supervise::{Phase, SuperviseRequest, SuperviseResponse};
use redoubt_shared::{Endpoint, encode, read_frame, write_frame};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn answers_that_are_none_are_counted_and_the_next_good_one_counts_again() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::Unix(folder.path().join("s"));
    let mut listener = endpoint.listen().await.unwrap();
    let metrics = Arc::new(Metrics::default());
    let place = Places::new(endpoint.clone(), None).watched(0);
    tokio::spawn(poll(endpoint, place, metrics.clone()));
    let good = SuperviseResponse::Status {
        phase: Phase::Serving,
        counters: vec![("n".into(), 1)],
    };
    let mut trailing = encode(&good).unwrap();
    trailing[3] += 1;
    trailing.push(0);
    let bad: [&[u8]; 5] = [
        &[0, 0, 0, 0],
        &[0xff; 32],
        &[0, 0, 0, 2, 9, 9],
        &[
            0, 0, 0, 10, 1, 0, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f,
        ],
        &trailing,
    ];
    for (number, bytes) in bad.iter().enumerate() {
        let mut stream = listener.accept().await.unwrap();
        let SuperviseRequest::Status = read_frame(&mut stream).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        while metrics.malformed_frames.load(Relaxed) <= number as u64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(metrics.phase(), None);
    }
    let mut stream = listener.accept().await.unwrap();
    let SuperviseRequest::Status = read_frame(&mut stream).await.unwrap();
    write_frame(&mut stream, &good).await.unwrap();
    while metrics.phase() != Some(Phase::Serving) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
