//! The store as the enclave meets it: frames over a stream.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use common::{ledger, record};
use redoubt_attestation::encode::sha256;
use redoubt_host::metrics::Metrics;
use redoubt_host::store::segment::file_name;
use redoubt_host::store::service::{StoreHandle, StoreHealth, StorePaths};
use redoubt_host::store::session;
use redoubt_shared::store::{Numbered, StoreRefusal, StoreRequest, StoreResponse, StoredRecord};
use redoubt_shared::{Endpoint, Stream, encode, read_frame, write_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Host {
    folder: tempfile::TempDir,
    endpoint: Endpoint,
    store: StoreHandle,
    metrics: Arc<Metrics>,
    task: tokio::task::JoinHandle<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Host {
    async fn start(folder: tempfile::TempDir) -> Self {
        let metrics = Arc::new(Metrics::default());
        let paths = StorePaths {
            store_dir: folder.path().join("store"),
            boot_dir: folder.path().join("boot"),
        };
        let (store, thread) = StoreHandle::start(paths, metrics.clone()).unwrap();
        let endpoint = Endpoint::Unix(folder.path().join("store.sock"));
        let listener = endpoint.listen().await.unwrap();
        let task = tokio::spawn(session::serve(listener, store.clone(), metrics.clone()));
        Self {
            folder,
            endpoint,
            store,
            metrics,
            task,
            thread: Some(thread),
        }
    }

    fn segment(&self) -> std::path::PathBuf {
        self.folder.path().join("store").join(file_name(0))
    }

    async fn restart(mut self, edit: impl FnOnce(&Path)) -> Self {
        self.task.abort();
        self.store.stop();
        self.thread.take().unwrap().join().unwrap();
        edit(&self.segment());
        Self::start(self.folder).await
    }

    async fn connect(&self) -> Stream {
        self.endpoint.connect().await.unwrap()
    }
}

async fn host() -> Host {
    Host::start(tempfile::tempdir().unwrap()).await
}

async fn ask(stream: &mut Stream, request: StoreRequest) -> StoreResponse {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Relaxed);
    let request = Numbered {
        number,
        body: request,
    };
    write_frame(stream, &request).await.unwrap();
    let answer: Numbered<_> = read_frame(stream).await.unwrap();
    assert_eq!(answer.number, number);
    answer.body
}

fn append(records: &[StoredRecord]) -> StoreRequest {
    StoreRequest::Append {
        records: records.to_vec(),
    }
}

fn reason(response: &StoreResponse) -> StoreRefusal {
    match response {
        StoreResponse::Refused { reason, detail } => {
            assert!(!detail.is_empty());
            *reason
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn an_enclave_appends_reads_and_is_refused_by_code() {
    let host = host().await;
    let mut enclave = host.connect().await;
    assert_eq!(
        ask(&mut enclave, StoreRequest::Heads).await,
        StoreResponse::Heads(vec![])
    );
    let batch = [record(1, 0, b"a"), record(2, 0, b"b")];
    assert_eq!(
        ask(&mut enclave, append(&batch)).await,
        StoreResponse::Appended
    );
    assert_eq!(
        ask(&mut enclave, append(&batch)).await,
        StoreResponse::Appended
    );
    let other = ask(&mut enclave, append(&[record(1, 0, b"A")])).await;
    assert_eq!(reason(&other), StoreRefusal::Different);
    let gap = ask(&mut enclave, append(&[record(1, 2, b"c")])).await;
    assert_eq!(reason(&gap), StoreRefusal::OutOfOrder);
    let large = ask(&mut enclave, append(&[record(1, 1, &vec![0; 9 << 20])])).await;
    assert_eq!(reason(&large), StoreRefusal::TooLarge);
    let heads = vec![(ledger(1), 1), (ledger(2), 1)];
    assert_eq!(
        ask(&mut enclave, StoreRequest::Heads).await,
        StoreResponse::Heads(heads)
    );
    let read = StoreRequest::Read {
        ledger: ledger(2),
        from: 0,
        limit: 10,
    };
    assert_eq!(
        ask(&mut enclave, read).await,
        StoreResponse::Records(vec![batch[1].clone()])
    );
    assert_eq!(host.metrics.records.load(Relaxed), 2);
}

#[tokio::test]
async fn boot_files_are_handed_over_byte_for_byte_or_named() {
    let host = host().await;
    let mut enclave = host.connect().await;
    let missing = ask(&mut enclave, StoreRequest::Boot).await;
    assert_eq!(reason(&missing), StoreRefusal::Storage);
    assert!(format!("{missing:?}").contains("genesis.json"));
    let boot = host.folder.path().join("boot");
    std::fs::create_dir(&boot).unwrap();
    std::fs::write(boot.join("genesis.json"), b"g\xff").unwrap();
    std::fs::write(boot.join("config.json"), b"c").unwrap();
    let expected = StoreResponse::Boot {
        genesis: b"g\xff".to_vec(),
        config: b"c".to_vec(),
    };
    assert_eq!(ask(&mut enclave, StoreRequest::Boot).await, expected);
}

#[tokio::test]
async fn a_new_session_supersedes_the_old_one() {
    let host = host().await;
    let mut old = host.connect().await;
    assert_eq!(
        ask(&mut old, append(&[record(1, 0, b"old")])).await,
        StoreResponse::Appended
    );
    // Sent, and not waited for: carried out whole before the new session reads, or not at all.
    write_frame(&mut old, &append(&[record(1, 1, b"in flight")]))
        .await
        .unwrap();
    let mut new = host.connect().await;
    let StoreResponse::Heads(before) = ask(&mut new, StoreRequest::Heads).await else {
        panic!("no heads");
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        ask(&mut new, StoreRequest::Heads).await,
        StoreResponse::Heads(before)
    );
    let mut rest = Vec::new();
    let _ = old.read_to_end(&mut rest).await;
    let heads = Numbered {
        number: 1,
        body: StoreRequest::Heads,
    };
    assert!(
        write_frame(&mut old, &heads).await.is_err() || {
            read_frame::<Numbered<StoreResponse>, _>(&mut old)
                .await
                .is_err()
        }
    );
}

#[tokio::test]
async fn acknowledged_records_outlive_a_restart_and_a_torn_tail_is_counted() {
    let host = host().await;
    let mut enclave = host.connect().await;
    for index in 0..5 {
        let batch = append(&[record(1, index, &index.to_be_bytes())]);
        assert_eq!(ask(&mut enclave, batch).await, StoreResponse::Appended);
    }
    let host = host
        .restart(|segment| {
            let mut bytes = std::fs::read(segment).unwrap();
            bytes.extend([1, 2, 3, 4, 5]);
            std::fs::write(segment, bytes).unwrap();
        })
        .await;
    let mut enclave = host.connect().await;
    let heads = ask(&mut enclave, StoreRequest::Heads).await;
    assert_eq!(heads, StoreResponse::Heads(vec![(ledger(1), 5)]));
    assert_eq!(host.metrics.torn_tail_cuts.load(Relaxed), 1);
    assert_eq!(host.metrics.acknowledged_lost.load(Relaxed), 0);
    assert_eq!(host.store.health(), StoreHealth::Open);
}

#[tokio::test]
async fn blobs_snapshots_and_drops_are_answered_and_outlive_a_restart() {
    let host = host().await;
    let mut enclave = host.connect().await;
    let bytes = b"sealed chunk".to_vec();
    let name = *sha256(&[&bytes]).as_bytes();
    let put = StoreRequest::PutBlob {
        name,
        bytes: bytes.clone(),
    };
    let get = StoreRequest::GetBlob { name };
    let set = StoreRequest::SetSnapshot {
        latest: vec![name],
        keep: vec![name],
    };
    assert_eq!(
        reason(&ask(&mut enclave, get.clone()).await),
        StoreRefusal::Missing
    );
    assert_eq!(
        reason(&ask(&mut enclave, set.clone()).await),
        StoreRefusal::Missing
    );
    assert_eq!(ask(&mut enclave, put).await, StoreResponse::Stored);
    assert_eq!(ask(&mut enclave, set).await, StoreResponse::Stored);
    let drop = StoreRequest::Drop {
        below: vec![(ledger(1), 7)],
    };
    assert_eq!(ask(&mut enclave, drop).await, StoreResponse::Stored);

    let host = host.restart(|_| {}).await;
    let mut enclave = host.connect().await;
    let latest = vec![name];
    assert_eq!(
        ask(&mut enclave, StoreRequest::Snapshot).await,
        StoreResponse::Snapshot { latest }
    );
    assert_eq!(ask(&mut enclave, get).await, StoreResponse::Blob { bytes });
    use std::os::unix::fs::PermissionsExt;
    let blob = host
        .folder
        .path()
        .join("store/blobs")
        .join(hex::encode(name));
    let mode = std::fs::metadata(blob).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_blob_the_disk_refuses_is_said_and_taken_once_it_is_mended() {
    let host = host().await;
    let mut enclave = host.connect().await;
    let bytes = b"sealed chunk".to_vec();
    let name = *sha256(&[&bytes]).as_bytes();
    let put = StoreRequest::PutBlob { name, bytes };
    ask(&mut enclave, StoreRequest::Heads).await;
    let in_the_way = host.folder.path().join("store/blobs");
    std::fs::write(&in_the_way, b"no folder").unwrap();
    let refused = ask(&mut enclave, put.clone()).await;
    assert_eq!(reason(&refused), StoreRefusal::Storage);
    assert!(matches!(host.store.health(), StoreHealth::Failing { .. }));
    std::fs::remove_file(&in_the_way).unwrap();
    assert_eq!(ask(&mut enclave, put).await, StoreResponse::Stored);
    assert_eq!(host.store.health(), StoreHealth::Open);
}

#[tokio::test]
async fn a_damaged_store_is_refused_with_segment_and_offset_until_it_is_restored() {
    let host = host().await;
    let mut enclave = host.connect().await;
    for index in 0..3 {
        ask(&mut enclave, append(&[record(1, index, b"sealed")])).await;
    }
    let mut original = Vec::new();
    let host = host
        .restart(|segment| {
            original = std::fs::read(segment).unwrap();
            let mut bytes = original.clone();
            bytes[50] ^= 1;
            std::fs::write(segment, bytes).unwrap();
        })
        .await;
    let mut enclave = host.connect().await;
    let refused = ask(&mut enclave, StoreRequest::Heads).await;
    assert_eq!(reason(&refused), StoreRefusal::Storage);
    let text = format!("{refused:?}");
    assert!(
        text.contains("0000000000.segment") && text.contains("offset 32"),
        "{text}"
    );
    assert!(matches!(host.store.health(), StoreHealth::Refused { .. }));

    std::fs::write(host.segment(), original).unwrap();
    for _ in 0..100 {
        if host.store.health() == StoreHealth::Open {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let heads = ask(&mut enclave, StoreRequest::Heads).await;
    assert_eq!(heads, StoreResponse::Heads(vec![(ledger(1), 3)]));
}

#[tokio::test]
async fn rot_found_while_reading_closes_the_store() {
    let host = host().await;
    let mut enclave = host.connect().await;
    for index in 0..3 {
        ask(&mut enclave, append(&[record(1, index, b"sealed")])).await;
    }
    let mut bytes = std::fs::read(host.segment()).unwrap();
    bytes[50] ^= 1;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(host.segment())
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    let read = StoreRequest::Read {
        ledger: ledger(1),
        from: 0,
        limit: 10,
    };
    let refused = ask(&mut enclave, read).await;
    assert_eq!(reason(&refused), StoreRefusal::Storage);
    assert!(format!("{refused:?}").contains("offset 32"), "{refused:?}");
    assert!(matches!(host.store.health(), StoreHealth::Refused { .. }));
}

#[tokio::test]
async fn a_second_host_is_kept_out_of_the_folder() {
    let host = host().await;
    let mut enclave = host.connect().await;
    ask(&mut enclave, StoreRequest::Heads).await;
    let paths = StorePaths {
        store_dir: host.folder.path().join("store"),
        boot_dir: host.folder.path().into(),
    };
    let (second, _thread) = StoreHandle::start(paths, Arc::default()).unwrap();
    let session = second.begin_session();
    let refused = second.call(session, StoreRequest::Heads).await.unwrap();
    assert!(
        format!("{refused:?}").contains("another redoubt-host"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn arbitrary_bytes_end_their_session_and_nothing_else() {
    let host = host().await;
    let valid = encode(&append(&[record(1, 0, b"x")])).unwrap();
    let mut trailing = valid.clone();
    trailing.push(0);
    trailing[3] += 1;
    let mut cases: Vec<Vec<u8>> = vec![
        vec![0, 0, 0, 0],
        vec![0xff; 64],
        // Declares 16 MiB and sends nothing: memory must not follow the declaration.
        vec![1, 0, 0, 0, 1],
        vec![0, 0, 0, 2, 2, 1],
        // Declares 2^60 records.
        vec![
            0, 0, 0, 11, 1, 2, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10,
        ],
        trailing,
    ];
    let mut state = 1u64;
    for round in 0..200 {
        let mut bytes = valid.clone();
        for _ in 0..=round % 4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 20) as u8;
        }
        cases.push(bytes);
    }
    for bytes in cases {
        let mut peer = host.connect().await;
        let _ = peer.write_all(&bytes).await;
        let _ = peer.shutdown().await;
        let mut answer = Vec::new();
        let _ = peer.read_to_end(&mut answer).await;
    }
    assert!(host.metrics.malformed_frames.load(Relaxed) > 4);
    let mut enclave = host.connect().await;
    assert!(matches!(
        ask(&mut enclave, StoreRequest::Heads).await,
        StoreResponse::Heads(_)
    ));
}

#[tokio::test]
async fn one_that_waits_reads_beside_the_writer_and_takes_the_pen_with_its_first_write() {
    let host = host().await;
    let door = Endpoint::Unix(host.folder.path().join("standby.sock"));
    let listener = door.listen().await.unwrap();
    tokio::spawn(session::serve(
        listener,
        host.store.clone(),
        host.metrics.clone(),
    ));
    let mut writer = host.connect().await;
    let first = ask(&mut writer, append(&[record(1, 0, b"a")])).await;
    assert_eq!(first, StoreResponse::Appended);

    let mut waiter = door.connect().await.unwrap();
    let heads = |count| StoreResponse::Heads(vec![(ledger(1), count)]);
    assert_eq!(ask(&mut waiter, StoreRequest::Heads).await, heads(1));
    let second = ask(&mut writer, append(&[record(1, 1, b"b")])).await;
    assert_eq!(second, StoreResponse::Appended);
    assert_eq!(ask(&mut waiter, StoreRequest::Heads).await, heads(2));

    let third = ask(&mut waiter, append(&[record(1, 2, b"c")])).await;
    assert_eq!(third, StoreResponse::Appended);
    // The one before may still look, and writes no more.
    assert_eq!(ask(&mut writer, StoreRequest::Heads).await, heads(3));
    let late = Numbered {
        number: u64::MAX,
        body: append(&[record(1, 3, b"d")]),
    };
    write_frame(&mut writer, &late).await.unwrap();
    let answer: Result<Numbered<StoreResponse>, _> = read_frame(&mut writer).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(ask(&mut waiter, StoreRequest::Heads).await, heads(3));
}
