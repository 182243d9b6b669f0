//! Feeds: they go on past idle limits, stall nobody, and hold no request's place.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
