//! Samples: forms, sizes, and bodies that are far too large.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Door, request};
use crate::gateway::Limits;

const MULTIPART: &str = "multipart/form-data; boundary=xx";

fn submit() -> String {
    let id = "0".repeat(32);
    format!("/api/v1/enroll/submit?enrollment_id={id}&session_token=t")
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, data) in parts {
        let head = format!(
            "--xx\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xx--\r\n");
    body
}

#[tokio::test]
async fn a_form_has_one_file_under_its_name() {
    let door = Door::open().await;
    let mut client = door.bank().await;
    let file = vec![7u8; 300_000];
    let good = form(&[("biometric_file", &file)]);
    let both = |one, two| form(&[(one, b"a"), (two, b"b")]);
    let cases: [(Vec<u8>, u16); 10] = [
        (good.clone(), 200),
        (both("biometric_file", "biometric_file_3"), 200),
        (both("biometric_file_2", "biometric_file_3"), 400),
        (both("biometric_file_2", "biometric_file"), 400),
        (form(&[]), 400),
        (form(&[("biometric_file", b"")]), 400),
        (form(&[("photo", &file)]), 400),
        (
            form(&[("biometric_file", b"a"), ("biometric_file", b"b")]),
            400,
        ),
        (good[..good.len() - 100].to_vec(), 400),
        (form(&[("biometric_file", &vec![7; 9 * 1024 * 1024])]), 413),
    ];
    for (number, (body, status)) in cases.into_iter().enumerate() {
        let answer = client
            .send(request("POST", &submit(), Some(MULTIPART), body))
            .await;
        assert_eq!(answer.unwrap().status(), status, "case {number}");
        if status == 413 {
            client = door.bank().await;
        }
    }
    assert_eq!(*door.fake.samples.lock().unwrap(), [300_000, 1, 1]);
    let no_boundary = request("POST", &submit(), Some("multipart/form-data"), good.clone());
    assert_eq!(client.send(no_boundary).await.unwrap().status(), 400);
    let bad_query = "/api/v1/enroll/submit?enrollment_id=1&session_token=t";
    let answer = client
        .send(request("POST", bad_query, Some(MULTIPART), good))
        .await;
    let answer = answer.unwrap();
    assert_eq!(answer.problem(), (400, "malformed_request".to_owned()));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("enrollment_id"), "{detail}");
}

#[tokio::test]
async fn samples_up_to_their_limit_arrive_whole() {
    use base64::Engine;
    let door = Door::open().await;
    for (megabytes, status) in [(1, 200), (8, 200)] {
        let text = base64::engine::general_purpose::STANDARD.encode(vec![9; megabytes << 20]);
        let body = json!({"user_id": "a", "modality": "facial", "biometric_data": text});
        for client in [door.http1(Some(door.world.client_a()))] {
            let answer = client.await.unwrap().post("/api/v1/verify", &body).await;
            assert_eq!(answer.status(), status);
        }
        let mut http2 = door.http2(Some(door.world.client_a())).await.unwrap();
        assert_eq!(http2.post("/api/v1/verify", &body).await.status(), status);
    }
    let text = base64::engine::general_purpose::STANDARD.encode(vec![9; (8 << 20) + 1]);
    let body = json!({"user_id": "a", "modality": "facial", "biometric_data": text});
    let answer = door.bank().await.post("/api/v1/verify", &body).await;
    assert_eq!(answer.problem(), (413, "body_too_large".to_owned()));
}

/// Sends 200 MB without waiting for an invitation and returns the reply and how
/// much was taken.
async fn flood(door: &Door, head: &str, chunked: bool) -> (String, usize) {
    let config = door.config(Some(door.world.client_a()), &["http/1.1"]);
    let stream = door.raw(config).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let head = head.to_owned();
    let sender = tokio::spawn(async move {
        writer.write_all(head.as_bytes()).await.unwrap();
        let mut chunk = vec![b' '; 64 * 1024];
        if chunked {
            chunk.splice(..0, *b"10000\r\n");
            chunk.extend(*b"\r\n");
        }
        for sent in 0..3200 {
            if writer.write_all(&chunk).await.is_err() {
                return sent * 64 * 1024;
            }
        }
        200 << 20
    });
    let mut reply = Vec::new();
    let read = reader.read_to_end(&mut reply);
    let _ = tokio::time::timeout(Duration::from_secs(15), read)
        .await
        .unwrap();
    (
        String::from_utf8_lossy(&reply).into_owned(),
        sender.await.unwrap(),
    )
}

#[tokio::test]
async fn two_hundred_megabytes_are_refused_and_the_refusal_arrives() {
    let door = Door::open().await;
    let head = |path: &str, kind: &str, length: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n{length}\r\n\r\n"
        )
    };
    let declared = "content-length: 209715200";
    let json = "application/json";
    let cases = [
        (head("/api/v1/verify", json, declared), false, 413),
        (head(&submit(), MULTIPART, declared), false, 413),
        (
            head("/api/v1/verify", json, "transfer-encoding: chunked"),
            true,
            413,
        ),
        (
            head("/api/v1/approvals", json, "transfer-encoding: chunked"),
            true,
            413,
        ),
        (head("/api/v1/nothing", json, declared), false, 404),
        (head("/api/v1/verify", "text/plain", declared), false, 415),
    ];
    for (head, chunked, status) in cases {
        let started = Instant::now();
        let (reply, taken) = flood(&door, &head, chunked).await;
        assert!(
            reply.starts_with(&format!("HTTP/1.1 {status}")),
            "{head} {reply:.200}"
        );
        assert!(reply.contains("application/problem+json"));
        assert!(taken < 128 << 20, "{taken} bytes were taken");
        assert!(started.elapsed() < Duration::from_secs(12));
    }
    assert!(door.fake.samples.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_before_it_sends() {
    let door = Door::open().await;
    let config = door.config(Some(door.world.client_a()), &["http/1.1"]);
    let mut stream = door.raw(config).await.unwrap();
    let head = "POST /api/v1/verify HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
        content-type: application/json\r\ncontent-length: 209715200\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    let reply = String::from_utf8_lossy(&reply);
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
    assert!(!reply.contains("100 Continue"));
}

#[tokio::test]
async fn http2_refuses_the_stream_and_keeps_the_connection() {
    let door = Door::open().await;
    let config = door.config(Some(door.world.client_a()), &["h2"]);
    let stream = door.raw(config).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let chunk = Bytes::from(vec![b' '; 64 * 1024]);
        let frames = (0..3200).map(move |_| Ok::<_, std::io::Error>(Frame::data(chunk.clone())));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed();
        let ask = http::Request::builder()
            .method("POST")
            .uri("https://localhost/api/v1/verify")
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        sender.ready().await.unwrap();
        let answer = sender.send_request(ask).await.unwrap();
        assert_eq!(answer.status(), 413);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("body_too_large"));
    }
}

#[tokio::test]
async fn samples_beyond_the_memory_budget_wait_for_room() {
    use base64::Engine;
    let limits = Limits {
        sample_bodies: 3 << 20,
        ..Limits::default()
    };
    let door = Door::with(limits).await;
    let text = base64::engine::general_purpose::STANDARD.encode(vec![9; 1 << 20]);
    let body = json!({"user_id": "slow", "modality": "facial", "biometric_data": text});
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let (mut client, body) = (door.bank().await, body.clone());
        tasks.push(tokio::spawn(async move {
            client.post("/api/v1/verify", &body).await.status()
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(1100),
        "two at a time, not four: {took:?}"
    );
}

#[tokio::test]
async fn curl_reads_the_refusal_of_two_hundred_megabytes() {
    let curl = || tokio::process::Command::new("curl");
    if curl().arg("--version").output().await.is_err() {
        println!("skipped: curl_reads_the_refusal: curl is not installed");
        return;
    }
    let door = Door::open().await;
    let folder = tempfile::tempdir().unwrap();
    let chain = door.world.client_a();
    let [cert, key, body] = ["cert", "key", "body"].map(|name| folder.path().join(name));
    std::fs::write(&cert, pem("CERTIFICATE", &chain.certificates[0])).unwrap();
    std::fs::write(&key, pem("PRIVATE KEY", chain.key.secret_der())).unwrap();
    std::fs::File::create(&body)
        .unwrap()
        .set_len(200 << 20)
        .unwrap();
    let file = |prefix: &str| format!("{prefix}@{}", body.display());
    let (data, form) = (file(""), file("biometric_file="));
    let submit = submit();
    let json = [
        "--data-binary",
        &data,
        "-H",
        "content-type: application/json",
    ];
    for version in ["--http1.1", "--http2"] {
        for (path, send, hurry) in [
            ("/api/v1/verify", json.as_slice(), true),
            ("/api/v1/verify", json.as_slice(), false),
            (submit.as_str(), ["-F", &form].as_slice(), true),
            (submit.as_str(), ["-F", &form].as_slice(), false),
        ] {
            let mut curl = curl();
            // The appliance's time in these tests is not curl's: -k.
            curl.args(["-sSkv", version, "-w", " %{http_code}", "--max-time", "60"])
                .arg("--unix-socket")
                .arg(&door.socket)
                .arg("--cert")
                .arg(&cert)
                .arg("--key")
                .arg(&key)
                .args(send);
            if hurry {
                curl.args(["-H", "expect:"]);
            }
            let answer = curl.arg(format!("https://localhost{path}")).output().await;
            let answer = answer.unwrap();
            let reply = String::from_utf8(answer.stdout).unwrap();
            let said = String::from_utf8_lossy(&answer.stderr);
            let told = reply.contains("body_too_large") && reply.ends_with(" 413");
            assert!(
                told,
                "{version} {path} expect off: {hurry}: {reply:?} {said}"
            );
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}
