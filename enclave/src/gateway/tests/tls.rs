//! Handshakes: versions, groups, tickets, anchors, time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::ExtendedKeyUsagePurpose;
use rustls::NamedGroup;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::client::Door;
use super::pki::{Ca, Chain, Leaf, NOW};
use crate::api::{Anchor, Grants, Role, Trust, TrustError};

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

/// What a client with this chain gets from a bank route.
async fn outcome(door: &Door, chain: Option<Chain>) -> Result<u16, String> {
    let mut client = door.http1(chain).await?;
    let answer = client.try_post(LOGIN, &json!({"user_id": "alice"})).await?;
    Ok(answer.status())
}

async fn refused(door: &Door, chain: Chain) {
    let before = door.fake.callers.lock().unwrap().len();
    let outcome = outcome(door, Some(chain)).await;
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(door.fake.callers.lock().unwrap().len(), before);
}

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

#[tokio::test]
async fn a_certificate_of_an_unknown_ca_ends_the_handshake() {
    let door = Door::open().await;
    let stranger = Ca::new("bank a");
    let leaf = Leaf {
        dns: vec!["api.a.example"],
        ..Leaf::default()
    };
    refused(&door, stranger.issue(leaf)).await;
}

#[tokio::test]
async fn tenant_b_s_names_under_anchor_a_are_tenant_a() {
    let door = Door::open().await;
    let chain = door.world.bank_a.issue(Leaf {
        common_name: "bank-b",
        dns: vec!["bank-b", "api.b.example", "api.a.example"],
        ..Leaf::default()
    });
    assert_eq!(outcome(&door, Some(chain)).await, Ok(200));
    let caller = door.fake.callers.lock().unwrap().pop().unwrap();
    assert_eq!(caller.tenant.as_str(), "bank-a");

    let chain = door.world.bank_b.issue(Leaf::default());
    let leaf = chain.certificates[0].clone();
    assert_eq!(outcome(&door, Some(chain)).await, Ok(200));
    let caller = door.fake.callers.lock().unwrap().pop().unwrap();
    assert_eq!(caller.tenant.as_str(), "bank-b");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf);
    assert_eq!(caller.leaf_sha256, digest.as_ref());
}

#[tokio::test]
async fn names_choose_only_among_the_roles_their_own_tenant_recorded() {
    let door = Door::open().await;
    let with = |ca: &Ca, dns: Vec<&'static str>, uri| {
        Some(ca.issue(Leaf {
            dns,
            uri,
            ..Leaf::default()
        }))
    };
    let (a, b) = (&door.world.bank_a, &door.world.bank_b);
    assert_eq!(
        outcome(&door, with(a, vec!["API.a.example"], None)).await,
        Ok(200)
    );
    assert_eq!(
        outcome(&door, with(a, vec![], Some("urn:a:api"))).await,
        Ok(200)
    );
    assert_eq!(
        outcome(&door, with(a, vec![], Some("URN:a:api"))).await,
        Ok(403)
    );
    assert_eq!(
        outcome(&door, with(a, vec![], None)).await,
        Ok(403),
        "no default"
    );
    let both = vec!["api.a.example", "reader.a.example"];
    assert_eq!(
        outcome(&door, with(a, both, None)).await,
        Ok(403),
        "first mapping decides"
    );
    let foreign = with(b, vec!["reader.a.example"], None);
    assert_eq!(
        outcome(&door, foreign).await,
        Ok(200),
        "another tenant's mapping"
    );
    let auditor = door.world.auditor.issue(Leaf {
        dns: vec!["api.a.example"],
        ..Leaf::default()
    });
    assert_eq!(outcome(&door, Some(auditor)).await, Ok(403));
}

#[tokio::test]
async fn validity_is_judged_by_the_appliances_time() {
    let door = Door::open().await;
    let lasting = |from, until| {
        door.world.bank_b.issue(Leaf {
            from,
            until,
            ..Leaf::default()
        })
    };
    refused(&door, lasting(NOW - 100, NOW - 1)).await;
    refused(&door, lasting(NOW + 60, NOW + 100)).await;
    let good = lasting(NOW - 100, NOW + 100);
    assert_eq!(outcome(&door, Some(good.clone())).await, Ok(200));
    *door.fake.now_ms.lock().unwrap() = Some((NOW as u64 + 101) * 1000);
    refused(&door, good.clone()).await;
    *door.fake.now_ms.lock().unwrap() = None;
    refused(&door, good).await;
}

#[tokio::test]
async fn a_connection_ends_with_the_certificate_that_opened_it() {
    let door = Door::open().await;
    let chain = door.world.bank_b.issue(Leaf {
        until: NOW + 1,
        ..Leaf::default()
    });
    let mut client = door.http1(Some(chain)).await.unwrap();
    assert_eq!(
        client
            .post(LOGIN, &json!({"user_id": "alice"}))
            .await
            .status(),
        200
    );
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert!(
        client
            .try_post(LOGIN, &json!({"user_id": "alice"}))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_certificate_for_servers_does_not_open_the_door() {
    let door = Door::open().await;
    let used_for = |usages| {
        door.world.bank_b.issue(Leaf {
            usages,
            ..Leaf::default()
        })
    };
    refused(&door, used_for(vec![ExtendedKeyUsagePurpose::ServerAuth])).await;
    assert_eq!(outcome(&door, Some(used_for(vec![]))).await, Ok(200));
}

#[tokio::test]
async fn a_chain_may_have_intermediates_but_not_many() {
    let door = Door::open().await;
    let first = door.world.bank_b.intermediate("b issuing 1");
    let second = first.intermediate("b issuing 2");
    let chain = second.issue(Leaf::default());
    let complete = chain.clone().with(&second).with(&first);
    assert_eq!(outcome(&door, Some(complete)).await, Ok(200));
    refused(&door, chain.clone().with(&second)).await;
    let long = chain.with(&second).with(&first);
    let long = (0..3).fold(long, |chain, _| chain.with(&first));
    refused(&door, long).await;
}

#[tokio::test]
async fn a_chain_that_two_anchors_validate_is_nobodys() {
    let door = Door::open().await;
    let crossed = door.world.bank_b.intermediate("crossed");
    let chain = crossed.issue(Leaf::default()).with(&crossed);
    assert_eq!(outcome(&door, Some(chain.clone())).await, Ok(200));
    let mut anchors = door.world.anchors();
    anchors.push(Anchor {
        certificate: crossed.certificate.clone(),
        grants: Grants::Tenant {
            tenant: "bank-c".parse().unwrap(),
            roles: vec![],
            default_role: Some(Role::Bank),
        },
    });
    *door.fake.trust.lock().unwrap() = Arc::new(door.world.trust_with(anchors));
    refused(&door, chain).await;
}

#[tokio::test]
async fn renewed_trust_holds_for_new_sessions_and_old_ones_go_on() {
    let door = Door::open().await;
    let mut old = door.bank().await;
    let none = door.world.trust_with(vec![]);
    let renewed = none.server().cert[0].clone();
    *door.fake.trust.lock().unwrap() = Arc::new(none);
    assert_eq!(
        old.post(LOGIN, &json!({"user_id": "alice"})).await.status(),
        200
    );
    refused(&door, door.world.client_a()).await;
    let stream = door.raw(door.config(None, &[])).await.unwrap();
    let (_, connection) = stream.get_ref();
    assert_eq!(connection.peer_certificates().unwrap()[0], renewed);
}

#[test]
fn anchors_that_share_a_key_are_refused() {
    let world = super::pki::World::new();
    let mut anchors = world.anchors();
    anchors[1].certificate = anchors[0].certificate.clone();
    let chain = world.server.issue(Leaf::default());
    let error = Trust::new(chain.certificates, chain.key, anchors).unwrap_err();
    assert!(
        matches!(
            error,
            TrustError::SameKey {
                first: 0,
                second: 1
            }
        ),
        "{error}"
    );
}
