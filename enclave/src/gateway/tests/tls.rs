//! Handshakes: versions, groups, tickets, exporters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::NamedGroup;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::client::Door;
use super::pki::NOW;

/// The appliance's time, for the client side.
#[derive(Debug)]
pub(super) struct FixedTime;

impl TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        let now = std::time::Duration::from_secs(NOW as u64);
        Some(UnixTime::since_unix_epoch(now))
    }
}

const LOGIN: &str = "/api/v1/passkeys/authenticate/options";

/// A TLS 1.2 ClientHello: no supported_versions extension.
fn client_hello_tls12() -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x2c, 1, 0]);
    let extensions: &[u8] = &[
        0, 10, 0, 4, 0, 2, 0, 23, // supported_groups: P-256
        0, 11, 0, 2, 1, 0, // ec_point_formats
        0, 13, 0, 4, 0, 2, 4, 3, // signature_algorithms: ECDSA P-256
    ];
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut handshake = vec![1, 0];
    handshake.extend((hello.len() as u16).to_be_bytes());
    handshake.extend(hello);
    let mut record = vec![22, 3, 1];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let door = Door::open().await;
    let mut stream = UnixStream::connect(&door.socket).await.unwrap();
    stream.write_all(&client_hello_tls12()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer.first(), Some(&21), "an alert");
    let (level, description) = (answer[5], answer[6]);
    assert_eq!((level, description), (2, 70), "fatal protocol_version");
    assert_eq!(door.counters.handshakes_refused_total.get(), 1);
}

#[tokio::test]
async fn the_hybrid_group_comes_first_and_a_classical_client_is_served() {
    let door = Door::open().await;
    let group = async |config| {
        let stream = door.raw(config).await.unwrap();
        let (_, connection) = stream.get_ref();
        connection.negotiated_key_exchange_group().unwrap().name()
    };
    let config = door.config(None, &["h2"]);
    assert_eq!(group(config).await, NamedGroup::X25519MLKEM768);

    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    assert_eq!(group(speaking(provider, &door)).await, NamedGroup::X25519);
}

fn speaking(provider: rustls::crypto::CryptoProvider, door: &Door) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(door.world.server.certificate.clone()).unwrap();
    rustls::ClientConfig::builder_with_details(Arc::new(provider), Arc::new(FixedTime))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Counts the tickets a server sends.
#[derive(Debug)]
struct Tickets(ClientSessionMemoryCache, AtomicU64);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(name, group);
    }
    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(name)
    }
    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(name, value);
    }
    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(name)
    }
    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.0.remove_tls12_session(name);
    }
    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.insert_tls13_ticket(name, value);
    }
    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(name)
    }
}

#[tokio::test]
async fn there_are_no_tickets_to_resume_with_and_no_early_data() {
    let door = Door::open().await;
    let tickets = Arc::new(Tickets(ClientSessionMemoryCache::new(8), AtomicU64::new(0)));
    for _ in 0..2 {
        let mut config = door.config(None, &["http/1.1"]);
        config.enable_early_data = true;
        config.resumption = Resumption::store(tickets.clone());
        let name = ServerName::try_from("localhost").unwrap();
        let mut attempt = rustls::ClientConnection::new(Arc::new(config.clone()), name).unwrap();
        assert!(attempt.early_data().is_none(), "nothing to send it under");
        let mut stream = door.raw(config).await.unwrap();
        // Whatever the server wanted to send after the handshake has come with the reply.
        let ask = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        assert!(reply.starts_with(b"HTTP/1.1 200"));
        let (_, connection) = stream.get_ref();
        let kind = connection.handshake_kind();
        assert!(
            !matches!(kind, Some(rustls::HandshakeKind::Resumed)),
            "{kind:?}"
        );
    }
    assert_eq!(tickets.1.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_exporter_is_the_clients_own_and_differs_per_session() {
    let door = Door::open().await;
    let nonce = "00".repeat(16);
    let path = format!("/.well-known/attestation?nonce={nonce}");
    let mut first = door.http1(None).await.unwrap();
    let mut second = door.http2(Some(door.world.client_a())).await.unwrap();
    assert_eq!(first.get(&path).await.status(), 200);
    assert_eq!(second.get(&path).await.status(), 200);
    let seen = door.fake.exporters.lock().unwrap().clone();
    assert_eq!(seen, [first.exporter, second.exporter]);
    assert_ne!(seen[0], seen[1]);
}

#[tokio::test]
async fn without_a_certificate_banks_are_refused_and_evidence_is_given() {
    let door = Door::open().await;
    let mut client = door.http1(None).await.unwrap();
    let answer = client.post(LOGIN, &json!({"user_id": "alice"})).await;
    let expected = (401, "client_certificate_required".to_owned());
    assert_eq!(answer.problem(), expected);
    let evidence = client
        .get("/.well-known/attestation?nonce=AAAAAAAAAAAAAAA")
        .await;
    assert_eq!(evidence.status(), 200);
}
