//! The enclave's streams to named peers.

use std::sync::Arc;
use std::time::Duration;

use redoubt_host::capture::Capture;
use redoubt_host::metrics::Metrics;
use redoubt_host::peers::{self, Limits, Peers};
use redoubt_shared::peers::{PeerRequest, PeerResponse};
use redoubt_shared::{Endpoint, Stream, encode, read_frame, write_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LIMITS: Limits = Limits {
    total: 2,
    request: Duration::from_millis(300),
    connect: Duration::from_millis(300),
    idle: Duration::from_millis(600),
};

struct World {
    folder: tempfile::TempDir,
    endpoint: Endpoint,
    witness: TcpListener,
    metrics: Arc<Metrics>,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::Unix(folder.path().join("peers.sock"));
    let witness = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = Arc::new(Metrics::default());
    let addresses = [("w1", &witness), ("gone", &nobody)]
        .map(|(name, at)| (name.to_owned(), at.local_addr().unwrap().to_string()));
    let relay = Peers {
        addresses: addresses.into(),
        limits: LIMITS,
        metrics: metrics.clone(),
        capture: Some(Capture::open(&folder.path().join("capture")).unwrap()),
    };
    let listener = endpoint.listen().await.unwrap();
    tokio::spawn(peers::serve(listener, Arc::new(relay)));
    World {
        folder,
        endpoint,
        witness,
        metrics,
    }
}

impl World {
    async fn ask(&self, name: &str) -> (Stream, PeerResponse) {
        let mut stream = self.endpoint.connect().await.unwrap();
        let request = PeerRequest { name: name.into() };
        write_frame(&mut stream, &request).await.unwrap();
        let answer = read_frame(&mut stream).await.unwrap();
        (stream, answer)
    }

    async fn pair(&self) -> (Stream, TcpStream) {
        let (stream, answer) = self.ask("w1").await;
        assert_eq!(answer, PeerResponse::Connected);
        (stream, self.witness.accept().await.unwrap().0)
    }

    async fn refused(&self, name: &str) -> String {
        match self.ask(name).await.1 {
            PeerResponse::Refused { detail } => detail,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn has(&self, line: &str) {
        let page = self.metrics.render();
        assert!(page.contains(&format!("{line}\n")), "{line} in\n{page}");
    }
}

#[tokio::test]
async fn a_named_peer_is_reached_and_bytes_go_both_ways_unchanged() {
    let world = world().await;
    let (mut enclave, mut witness) = world.pair().await;
    enclave.write_all(b"client hello").await.unwrap();
    enclave.shutdown().await.unwrap();
    let mut heard = Vec::new();
    witness.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"client hello");
    witness.write_all(b"server hello").await.unwrap();
    drop(witness);
    heard.clear();
    enclave.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"server hello");
    world.has("redoubt_peer_streams_total 1");
    world.has("redoubt_relayed_bytes_total{relay=\"peer\",direction=\"in\"} 12");
    let captured = std::fs::read(world.folder.path().join("capture")).unwrap();
    let text = String::from_utf8_lossy(&captured);
    assert!(
        text.contains("# peer ") && text.contains("client hello"),
        "{text}"
    );
}

#[tokio::test]
async fn bytes_sent_right_behind_the_request_reach_the_peer() {
    let world = world().await;
    let mut stream = world.endpoint.connect().await.unwrap();
    let mut bytes = encode(&PeerRequest { name: "w1".into() }).unwrap();
    bytes.extend(b"early");
    stream.write_all(&bytes).await.unwrap();
    let mut early = [0; 5];
    let (mut witness, _) = world.witness.accept().await.unwrap();
    witness.read_exact(&mut early).await.unwrap();
    assert_eq!(&early, b"early");
}

#[tokio::test]
async fn unknown_unreachable_and_impossible_names_are_refused_with_the_way_to_mend_it() {
    let world = world().await;
    let detail = world.refused("w2").await;
    assert!(detail.contains("--peer w2=HOST:PORT"), "{detail}");
    let detail = world.refused("gone").await;
    assert!(detail.contains("peer gone at 127.0.0.1:"), "{detail}");
    for impossible in ["", "W1", "w1\n"] {
        world.refused(impossible).await;
    }
    world.refused(&"a".repeat(70)).await;
    world.has("redoubt_peer_refused_total{reason=\"unknown\"} 1");
    world.has("redoubt_peer_refused_total{reason=\"unreachable\"} 1");
    world.has("redoubt_peer_refused_total{reason=\"malformed\"} 4");
    world.pair().await;
}

#[tokio::test]
async fn silence_huge_declarations_and_garbage_cost_one_stream() {
    let world = world().await;
    for bytes in [
        &b""[..],
        &[0, 0],
        &[1, 0, 0, 0, 1],
        &[0xff; 64],
        &[0, 0, 0, 3, 1, 9, b'w'],
    ] {
        let mut stream = world.endpoint.connect().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let answer: PeerResponse = read_frame(&mut stream).await.unwrap();
        assert!(matches!(answer, PeerResponse::Refused { .. }), "{bytes:?}");
    }
    world.has("redoubt_peer_refused_total{reason=\"malformed\"} 5");
    world.pair().await;
}

#[tokio::test]
async fn streams_beyond_the_quota_and_silent_ones_are_ended() {
    let world = world().await;
    let (mut first, _kept) = world.pair().await;
    let _second = world.pair().await;
    assert!(world.refused("w1").await.contains("too many"));
    world.has("redoubt_peer_refused_total{reason=\"total\"} 1");
    // Both fall silent; their places are given back.
    let ended = first.read(&mut [0; 1]).await;
    assert!(matches!(ended, Ok(0) | Err(_)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.has("redoubt_peer_refused_total{reason=\"idle\"} 2");
    world.pair().await;
}
