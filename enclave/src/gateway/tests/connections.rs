//! Connections that do too little, ask too much, or are too many.

use std::time::{Duration, Instant};

use redoubt_shared::supervise::{Phase, SuperviseRequest, SuperviseResponse};
use redoubt_shared::{Endpoint, read_frame, write_frame};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_rustls::client::TlsStream;

use super::client::{Door, request};
use crate::gateway::{Limits, supervise};

fn hurried() -> Limits {
    Limits {
        handshake: Duration::from_millis(300),
        body_read: Duration::from_millis(300),
        linger: Duration::from_millis(300),
        ..Limits::default()
    }
}

async fn read_all(stream: &mut TlsStream<UnixStream>) -> (String, Duration) {
    let (started, mut reply) = (Instant::now(), Vec::new());
    let read = stream.read_to_end(&mut reply);
    let _ = tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .expect("the connection ends");
    (
        String::from_utf8_lossy(&reply).into_owned(),
        started.elapsed(),
    )
}

async fn tls(door: &Door, alpn: &str) -> TlsStream<UnixStream> {
    let config = door.config(Some(door.world.client_a()), &[alpn]);
    door.raw(config).await.unwrap()
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_not_waited_for() {
    let door = Door::with(hurried()).await;
    let mut stream = UnixStream::connect(&door.socket).await.unwrap();
    let mut nothing = [0; 1];
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut nothing));
    assert_eq!(ended.await.unwrap().unwrap(), 0);
    assert_eq!(door.counters.handshakes_refused_total.get(), 1);
}

#[tokio::test]
async fn headers_that_drip_end_the_connection() {
    let limits = Limits {
        header_read: Duration::from_millis(300),
        ..Limits::default()
    };
    let door = Door::with(limits).await;
    for opening in ["", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: "] {
        let mut stream = tls(&door, "http/1.1").await;
        stream.write_all(opening.as_bytes()).await.unwrap();
        let drip = async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if !opening.is_empty() && stream.write_all(b"a").await.is_err() {
                    return;
                }
                let mut byte = [0; 64];
                let read = stream.read(&mut byte);
                let patience = Duration::from_millis(10);
                if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(patience, read).await {
                    return;
                }
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(3), drip).await;
        assert!(ended.is_ok(), "{opening:?}");
    }
}

#[tokio::test]
async fn a_body_that_drips_is_refused() {
    let door = Door::with(hurried()).await;
    let mut stream = tls(&door, "http/1.1").await;
    let head = "POST /api/v1/passkeys/authenticate/options HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/json\r\ncontent-length: 20\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (reply, _) = read_all(&mut stream).await;
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
    assert!(reply.contains("request_timeout"), "{reply}");
}

#[tokio::test]
async fn an_idle_connection_is_ended_whatever_it_speaks() {
    let limits = Limits {
        idle: Duration::from_millis(300),
        goodbye: Duration::from_millis(300),
        ..Limits::default()
    };
    let door = Door::with(limits).await;
    for alpn in ["h2", "http/1.1"] {
        let mut stream = tls(&door, alpn).await;
        let (_, took) = read_all(&mut stream).await;
        assert!(took < Duration::from_secs(3), "{alpn} {took:?}");
    }
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_refused() {
    let door = Door::open().await;
    let mut many = String::from("GET /healthz HTTP/1.1\r\nhost: localhost\r\n");
    (0..100).for_each(|n| many.push_str(&format!("x-{n}: 1\r\n")));
    let long = format!(
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n",
        "a".repeat(64 * 1024)
    );
    for head in [many, long] {
        let mut stream = tls(&door, "http/1.1").await;
        let _ = stream.write_all(format!("{head}\r\n").as_bytes()).await;
        let (reply, _) = read_all(&mut stream).await;
        assert!(reply.starts_with("HTTP/1.1 431"), "{reply}");
    }
    let mut client = door.http2(Some(door.world.client_a())).await.unwrap();
    let mut ask = request("GET", "/healthz", None, "");
    let long = "a".repeat(20 * 1024).parse().unwrap();
    ask.headers_mut().insert("x", long);
    let answer = client.send(ask).await;
    assert!(answer.is_err() || answer.unwrap().status() == 431);
    assert_eq!(client.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn strangers_cannot_take_every_connection() {
    let limits = Limits {
        anonymous_connections: 2,
        ..Limits::default()
    };
    let door = Door::with(limits).await;
    let mut first = door.http1(None).await.unwrap();
    let mut second = door.http1(None).await.unwrap();
    assert_eq!(first.get("/healthz").await.status(), 200);
    assert_eq!(second.get("/healthz").await.status(), 200);
    if let Ok(mut third) = door.http1(None).await {
        assert!(
            third
                .send(request("GET", "/healthz", None, ""))
                .await
                .is_err()
        );
    }
    assert_eq!(door.counters.anonymous_refused_total.get(), 1);
    assert_eq!(door.bank().await.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let door = Door::with(limits).await;
    let first = door.bank().await;
    let waiting = tokio::time::timeout(Duration::from_millis(300), door.bank()).await;
    assert!(waiting.is_err());
    drop(first);
    let mut next = tokio::time::timeout(Duration::from_secs(5), door.bank())
        .await
        .unwrap();
    assert_eq!(next.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn many_streams_of_one_connection_are_answered() {
    let door = Door::open().await;
    let chain = door.world.client_a();
    let config = door.config(Some(chain), &["h2"]);
    let stream = door.raw(config).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let body = json!({"user_id": "alice"}).to_string();
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let mut sender = sender.clone();
            let path = "https://localhost/api/v1/passkeys/authenticate/options";
            let ask = request("POST", path, Some("application/json"), body.clone());
            tokio::spawn(async move {
                sender.ready().await.unwrap();
                sender.send_request(ask).await.unwrap().status().as_u16()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn the_supervisor_reads_phase_and_counters() {
    let door = Door::open().await;
    assert_eq!(door.bank().await.get("/healthz").await.status(), 200);
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::Unix(folder.path().join("supervise"));
    let listener = endpoint.listen().await.unwrap();
    tokio::spawn(supervise(
        door.fake.clone(),
        door.counters.clone(),
        listener,
    ));
    let mut stream = endpoint.connect().await.unwrap();
    for _ in 0..2 {
        write_frame(&mut stream, &SuperviseRequest::Status)
            .await
            .unwrap();
        let SuperviseResponse::Status { phase, counters } = read_frame(&mut stream).await.unwrap();
        assert_eq!(phase, Phase::Serving);
        let value = |name: &str| counters.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
        assert_eq!(value("gateway_requests_total"), Some(1));
        assert_eq!(value("decisions"), Some(3));
    }
    stream.write_all(&[0, 0, 0, 2, 9, 9]).await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "a malformed frame ends the conversation");
}
