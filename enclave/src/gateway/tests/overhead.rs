//! What the front door costs per request, in server CPU time, beside a bare
//! server on the same TLS that answers every request with the same bytes.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use serde_json::json;
use tokio::net::UnixListener;

use super::client::{Door, request};

const REQUESTS: usize = 20_000;
const PATH: &str = "/api/v1/passkeys/authenticate/options";

/// CPU microseconds of this process's threads whose name starts with `prefix`.
fn cpu_micros(prefix: &str) -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let name = std::fs::read_to_string(path.join("comm")).ok()?;
            let spent = std::fs::read_to_string(path.join("schedstat")).ok()?;
            let nanos: f64 = spent.split(' ').next()?.parse().ok()?;
            name.starts_with(prefix).then_some(nanos / 1000.0)
        })
        .sum()
}

fn runtime(name: &'static str) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .unwrap()
}

/// TLS and HTTP as in the gateway, and nothing else.
async fn bare(door: &Door, socket: PathBuf) {
    let trust = door.world.trust();
    let clock =
        Arc::new(|| rustls::time_provider::TimeProvider::current_time(&super::tls::FixedTime));
    let tls = crate::gateway::tls::Tls::new(Arc::new(trust), clock).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let config = tls.handshake().unwrap().config;
        tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            let stream = acceptor.accept(stream).await.unwrap();
            let answer = service_fn(|request: http::Request<hyper::body::Incoming>| async {
                request.into_body().collect().await.unwrap();
                let body = Full::new(Bytes::from_static(&[b'x'; 170]));
                Ok::<_, std::convert::Infallible>(http::Response::new(body))
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn load(socket: &PathBuf, config: ClientConfig, streams: usize) {
    let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let http2 = config.alpn_protocols == [b"h2"];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TokioIo::new(connector.connect(name, stream).await.unwrap());
    let body = json!({"user_id": "alice"}).to_string();
    let json = Some("application/json");
    if !http2 {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..REQUESTS {
            sender.ready().await.unwrap();
            let ask = request("POST", PATH, json, body.clone());
            let answer = sender.send_request(ask).await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.into_body().collect().await.unwrap();
        }
        return;
    }
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let one = |_| {
        let (mut sender, body) = (sender.clone(), body.clone());
        tokio::spawn(async move {
            for _ in 0..REQUESTS / streams {
                let uri = format!("https://localhost{PATH}");
                let ask = request("POST", &uri, json, body.clone());
                sender.ready().await.unwrap();
                let answer = sender.send_request(ask).await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.into_body().collect().await.unwrap();
            }
        })
    };
    for task in (0..streams).map(one).collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Run alone: `cargo test --release -p redoubt-enclave overhead -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn overhead_per_request() {
    let (server, plain, client) = (runtime("door"), runtime("bare"), runtime("bank"));
    let door = Arc::new(server.block_on(server.spawn(Door::open())).unwrap());
    let other = door.socket.with_extension("bare");
    let (socket, fixture) = (other.clone(), door.clone());
    plain.spawn(async move { bare(&fixture, socket).await });
    std::thread::sleep(std::time::Duration::from_millis(100));
    for _ in 0..3 {
        for (name, alpn, streams) in [("http/1.1", "http/1.1", 1), ("h2 × 64", "h2", 64)] {
            let mut each = [0.0; 2];
            let sides = [("door", &door.socket), ("bare", &other)];
            for (slot, (threads, socket)) in each.iter_mut().zip(sides) {
                let config = door.config(Some(door.world.client_a()), &[alpn]);
                let before = cpu_micros(threads);
                client.block_on(load(socket, config, streams));
                *slot = (cpu_micros(threads) - before) / REQUESTS as f64;
            }
            let [ours, bare] = each;
            let added = ours - bare;
            println!("{name}: {ours:.1} µs a request, bare {bare:.1}, added {added:.1}");
        }
    }
}
