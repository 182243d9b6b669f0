//! Bank connections through the relay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redoubt_host::capture::Capture;
use redoubt_host::ingress::{self, Ingress, Quotas};
use redoubt_host::metrics::{Metrics, Refused};
use redoubt_shared::{Endpoint, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const QUOTAS: Quotas = Quotas {
    total: 3,
    per_source: 2,
    connect: Duration::from_millis(500),
    idle: Duration::from_millis(900),
};

struct World {
    _folder: tempfile::TempDir,
    address: SocketAddr,
    enclave: redoubt_shared::Listener,
    metrics: Arc<Metrics>,
    capture: std::path::PathBuf,
}

async fn world(quotas: Quotas) -> World {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::Unix(folder.path().join("ingress.sock"));
    let enclave = endpoint.listen().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::default());
    let capture = folder.path().join("capture");
    let ingress = Ingress {
        enclave: endpoint.into(),
        quotas,
        metrics: metrics.clone(),
        capture: Some(Capture::open(&capture).unwrap()),
    };
    tokio::spawn(ingress::serve(listener, Arc::new(ingress)));
    World {
        _folder: folder,
        address,
        enclave,
        metrics,
        capture,
    }
}

impl World {
    async fn pair(&mut self) -> (TcpStream, Stream) {
        let bank = TcpStream::connect(self.address).await.unwrap();
        (bank, self.enclave.accept().await.unwrap())
    }

    async fn from(&self, source: &str) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..200 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not happen within two seconds");
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn each_side_may_close_its_half_and_still_hear_the_other() {
    let mut world = world(QUOTAS).await;
    let (mut bank, mut enclave) = world.pair().await;
    bank.write_all(b"question").await.unwrap();
    bank.shutdown().await.unwrap();
    let mut question = Vec::new();
    enclave.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    enclave
        .write_all(b"answer after the question's end")
        .await
        .unwrap();
    enclave.shutdown().await.unwrap();
    let mut answer = Vec::new();
    bank.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer after the question's end");
    until(|| world.metrics.connections_open() == 0).await;
    let page = world.metrics.render();
    assert!(page.contains("redoubt_relayed_bytes_total{relay=\"ingress\",direction=\"in\"} 8\n"));
    assert!(page.contains("redoubt_relayed_bytes_total{relay=\"ingress\",direction=\"out\"} 31\n"));
    let seen = std::fs::read(&world.capture).unwrap();
    for text in [&b"question"[..], b"answer after"] {
        assert!(seen.windows(text.len()).any(|window| window == text));
    }
}

#[tokio::test]
async fn megabytes_pass_unchanged_both_ways_at_once() {
    let mut world = world(Quotas {
        idle: Duration::from_secs(20),
        ..QUOTAS
    })
    .await;
    let (bank, enclave) = world.pair().await;
    let sent: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    let echo = tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(enclave);
        tokio::io::copy(&mut from, &mut to).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let (mut from, mut to) = bank.into_split();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    from.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, expected);
    writer.await.unwrap();
    echo.await.unwrap();
}

#[tokio::test]
async fn one_source_cannot_take_every_seat() {
    let mut world = world(QUOTAS).await;
    let first = world.pair().await;
    let _second = world.pair().await;
    let mut third = TcpStream::connect(world.address).await.unwrap();
    assert!(is_closed(&mut third).await);
    assert_eq!(world.metrics.refused_count(Refused::PerSource), 1);

    let _elsewhere = world.from("127.0.0.2").await;
    until(|| world.metrics.connections_open() == 3).await;
    let mut beyond = world.from("127.0.0.3").await;
    assert!(is_closed(&mut beyond).await);
    assert_eq!(world.metrics.refused_count(Refused::Total), 1);

    drop(first);
    until(|| world.metrics.connections_open() == 2).await;
    let mut again = TcpStream::connect(world.address).await.unwrap();
    again.write_all(b"x").await.unwrap();
    until(|| world.metrics.connections_open() == 3).await;
}

#[tokio::test]
async fn silence_ends_a_connection_and_traffic_keeps_it() {
    let mut world = world(QUOTAS).await;
    let (mut bank, mut enclave) = world.pair().await;
    for _ in 0..6 {
        tokio::time::sleep(QUOTAS.idle / 3).await;
        enclave.write_all(b".").await.unwrap();
        bank.read_exact(&mut [0; 1]).await.unwrap();
    }
    assert_eq!(world.metrics.refused_count(Refused::Idle), 0);
    assert!(is_closed(&mut bank).await);
    assert_eq!(world.metrics.refused_count(Refused::Idle), 1);
    assert_eq!(enclave.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn without_an_enclave_connections_are_closed_and_counted() {
    let World {
        address,
        enclave,
        metrics,
        ..
    } = world(QUOTAS).await;
    drop(enclave);
    let mut bank = TcpStream::connect(address).await.unwrap();
    assert!(is_closed(&mut bank).await);
    assert_eq!(metrics.refused_count(Refused::Enclave), 1);
}

#[tokio::test]
async fn an_enclave_that_does_not_accept_in_time_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v");
    // A forwarding back end that takes the connection and never answers CONNECT.
    let backend = tokio::net::UnixListener::bind(&path).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::default());
    let ingress = Ingress {
        enclave: Endpoint::UnixConnect { path, port: 5 }.into(),
        quotas: QUOTAS,
        metrics: metrics.clone(),
        capture: None,
    };
    tokio::spawn(ingress::serve(listener, Arc::new(ingress)));
    let mut bank = TcpStream::connect(address).await.unwrap();
    let _held = backend.accept().await.unwrap();
    assert!(is_closed(&mut bank).await);
    assert_eq!(metrics.refused_count(Refused::ConnectTimeout), 1);
}
