//! Feeds: they go on past idle limits, stall nobody, and hold no request's place.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_rustls::client::TlsStream;

use super::client::Door;
use crate::gateway::Limits;

const FEED: &str = "/api/v1/approvals/00000000000000000000000000000000/events";

#[tokio::test]
async fn a_feed_tells_each_change_and_outlasts_an_idle_limit() {
    let door = Door::with(Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    let chain = door.world.client_a();
    for http2 in [false, true] {
        let mut client = match http2 {
            true => door.http2(Some(chain.clone())).await.unwrap(),
            false => door.http1(Some(chain.clone())).await.unwrap(),
        };
        let begun = Instant::now();
        let answer = client.get(FEED).await;
        assert!(
            begun.elapsed() > Duration::from_millis(900),
            "it ended early"
        );
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("content-type"), "text/event-stream");
        assert_eq!(answer.header("cache-control"), "no-store");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let events: Vec<&str> = text
            .split("\n\n")
            .filter(|event| !event.is_empty())
            .collect();
        assert_eq!(events.len(), 21, "{text}");
        assert!(events[0].starts_with("event: status\ndata: {"), "{text}");
        assert!(events[0].contains("\"status\":\"pending\""), "{text}");
        assert!(events[1..20].iter().all(|event| *event == ":"), "{text}");
        assert!(events[20].contains("\"status\":\"approved\""), "{text}");
    }
}

/// Listeners who read nothing take neither the requests' places nor anybody's time.
#[tokio::test]
async fn listeners_who_do_not_read_keep_nobody_waiting() {
    let door = Door::with(Limits {
        requests: 2,
        ..Limits::default()
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let config = door.config(Some(door.world.client_a()), &["http/1.1"]);
        let mut stream = door.raw(config).await.unwrap();
        let head = format!("GET {FEED} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // Seen to have begun; the rest is never read.
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        silent.push(stream);
    }
    let mut client = door.bank().await;
    for _ in 0..20 {
        assert_eq!(client.get("/healthz").await.status(), 200);
    }
    drop(silent);
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A connection that asked to become a WebSocket, and the head of the reply.
async fn changed(door: &Door, version: &str) -> (TlsStream<UnixStream>, String) {
    let config = door.config(Some(door.world.client_a()), &["http/1.1"]);
    let mut stream = door.raw(config).await.unwrap();
    let head = format!(
        "GET {FEED} HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-key: {KEY}\r\nsec-websocket-version: {version}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n\r\n") {
        reply.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(reply).unwrap().to_lowercase())
}

/// The next frame: its kind and content.
async fn frame(stream: &mut TlsStream<UnixStream>) -> (u8, Vec<u8>) {
    let [first, second] = [
        stream.read_u8().await.unwrap(),
        stream.read_u8().await.unwrap(),
    ];
    assert_eq!(first & 0xf0, 0x80, "whole, and no extension");
    let length = match second {
        126 => stream.read_u16().await.unwrap().into(),
        length => usize::from(length),
    };
    assert!(second <= 126, "a server masks nothing");
    let mut content = vec![0; length];
    stream.read_exact(&mut content).await.unwrap();
    (first & 0x0f, content)
}

#[tokio::test]
async fn a_websocket_tells_each_change_outlasts_an_idle_limit_and_closes() {
    let door = Door::with(Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    let (mut stream, head) = changed(&door, "13").await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="));
    let (kind, first) = frame(&mut stream).await;
    let first: serde_json::Value = serde_json::from_slice(&first).unwrap();
    assert_eq!((kind, &first["status"]), (1, &"pending".into()));
    // Asked whether it lives, it repeats the question.
    stream
        .write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i'])
        .await
        .unwrap();
    let mut pongs = 0;
    let last = loop {
        match frame(&mut stream).await {
            (9, asked) if asked.is_empty() => {
                stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.unwrap();
            }
            (10, repeated) => {
                assert_eq!(repeated, b"hi");
                pongs += 1;
            }
            (1, last) => break last,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(pongs, 1);
    assert!(String::from_utf8(last).unwrap().contains("\"approved\""));
    assert_eq!(frame(&mut stream).await, (8, vec![3, 0xe8]));
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "it ends");
}

#[tokio::test]
async fn who_sends_data_bends_a_frame_or_never_answers_is_let_go() {
    let door = Door::open().await;
    for (sent, status) in [
        (&[0x81, 0x81, 0, 0, 0, 0, b'x'][..], 1003),
        (&[0x89, 0x01, b'x'], 1002),
        (&[0xf9, 0x80, 0, 0, 0, 0], 1002),
        (&[0x88, 0x80, 0, 0, 0, 0], 1000),
    ] {
        let (mut stream, _) = changed(&door, "13").await;
        frame(&mut stream).await;
        stream.write_all(sent).await.unwrap();
        let closed = loop {
            match frame(&mut stream).await {
                (9, _) => {}
                (8, closed) => break closed,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(closed, u16::to_be_bytes(status), "{sent:?}");
    }
    // Two questions, and nobody answers the first.
    let (mut silent, _) = changed(&door, "13").await;
    frame(&mut silent).await;
    let (begun, mut rest) = (Instant::now(), Vec::new());
    let _ = silent.read_to_end(&mut rest).await;
    assert_eq!(rest, [0x89, 0]);
    assert!(begun.elapsed() < Duration::from_millis(900), "it went on");
}

#[tokio::test]
async fn a_websocket_keeps_its_connections_place_and_no_age_beyond_it() {
    let door = Door::with(Limits {
        connection_age: Duration::from_millis(400),
        ..Limits::default()
    })
    .await;
    let (mut stream, _) = changed(&door, "13").await;
    let closed = loop {
        match frame(&mut stream).await {
            (9, _) => stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.unwrap(),
            (8, closed) => break closed,
            (kind, _) => assert_eq!(kind, 1),
        }
    };
    assert_eq!(closed, [3, 0xe9], "going away");
    assert_eq!(door.counters.connections_open.get(), 1);
    drop(stream);
    let (_, head) = changed(&door, "8").await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert!(head.contains("sec-websocket-version: 13"), "{head}");
}
