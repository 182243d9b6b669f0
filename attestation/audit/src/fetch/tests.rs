//! Against real TLS servers on loopback: honest ones, and machines in between.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use redoubt_attestation::attester::{
    AttestRequest, Attester, EmulatedAttester, emulated_root, measure,
};
use redoubt_attestation::binding::{BindingType, BootKeys, EXPORTER_LABEL, user_data};
use redoubt_attestation::encode::{from_b64u, sha256};
use redoubt_attestation::genesis::{Genesis, SignedFile, spki_of};
use redoubt_attestation::sign::{Ed25519Signer, Es256Signer, HybridSigner};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use super::*;

const PROGRAM: &[u8] = b"program";

/// An appliance that serves evidence.
struct Appliance {
    pinned: Pinned,
    config: SignedFile,
    attester: EmulatedAttester,
    tls: Arc<ServerConfig>,
    binding: Binding,
    ca: Option<String>,
}

fn tls_server() -> (Arc<ServerConfig>, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let spki = spki_of(certificate.der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13])
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![certificate.der().clone()],
        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    )
    .unwrap();
    (Arc::new(config), spki)
}

fn sign(payload: &Value, officer: &Es256Signer) -> SignedFile {
    let mut file = SignedFile::unsigned(payload.to_string().as_bytes());
    file.sign("officer", officer).unwrap();
    file
}

fn config_json(genesis: &str) -> Value {
    let anchor = |name: &str| emulated_root(name).unwrap().0;
    json!({
        "type": "redoubt/config/v1", "genesis": genesis, "counter": 1, "server_names": ["localhost"],
        "anchors": {"auditor": anchor("a"), "officer": anchor("o"), "operator": anchor("p")},
        "tenants": [{
            "id": "bank-a", "name": "Bank", "anchor": anchor("b"), "ledger": "01".repeat(16),
            "rp": {"id": "localhost", "name": "Bank", "origins": ["https://localhost"], "approval_origins": ["https://localhost"]},
            "roles": [], "default_role": "bank",
        }],
        "appliance_ledger": "02".repeat(16),
        "policy": {
            "face_false_matches_per_million": 100, "max_failed_attempts": 3, "lockout_minutes": 30,
            "accepted_tiers": ["process"], "enrollment_minutes": 30, "challenge_seconds": 300, "approval_seconds": 300,
        },
    })
}

impl Appliance {
    fn new() -> Self {
        let (root, root_key) = emulated_root("root").unwrap();
        let officer = Es256Signer::generate(&SystemEntropy).unwrap();
        let manifest = json!({
            "type": "redoubt/genesis/v1", "name": "test", "environment": "emulated", "counter": 1,
            "threshold": 1, "officers": [{"id": "officer", "key": officer.jwk()}],
            "secret_commitment": "00".repeat(32),
            "vendor_roots": [{"kind": "nitro_emulated", "pem": root}],
            "measurements": [{"role": "enclave", "tier": "process", "pcrs": {"0": measure(PROGRAM).to_hex()[&0]}}],
            "witnesses": [], "custodians": [], "created_ms": 1,
        });
        let genesis = Genesis::verify(&sign(&manifest, &officer).to_json()).unwrap();
        let config = sign(&config_json(&genesis.digest.to_string()), &officer);
        let verified =
            redoubt_attestation::genesis::Config::verify(&config.to_json(), &genesis).unwrap();
        let pinned = Pinned::from_policy(&ClientPolicy::pin(&genesis).to_json()).unwrap();
        let boot = HybridSigner::generate(&SystemEntropy).unwrap();
        let (tls, tls_spki) = tls_server();
        let binding = Binding {
            kind: BindingType::V1,
            purpose: Purpose::Serve,
            genesis: genesis.digest,
            genesis_counter: 1,
            ledgers: vec![],
            config: verified.digest,
            policy: verified.policy_digest,
            models: sha256(&[]),
            boot_keys: BootKeys {
                tls_spki,
                receipt_es256: boot.jwks().0.clone(),
                receipt_mldsa65: boot.jwks().1.clone(),
                checkpoint_ed25519: Ed25519Signer::generate(&SystemEntropy)
                    .unwrap()
                    .jwk()
                    .clone(),
                unseal_xwing: vec![0; 1216],
            },
            ca_spki_sha256: None,
            head: None,
            term: None,
        };
        Self {
            attester: EmulatedAttester::dangerous_new(&root, &root_key, PROGRAM, 0).unwrap(),
            pinned,
            config,
            tls,
            binding,
            ca: None,
        }
    }

    /// Evidence for a nonce and an exporter, whoever's they are.
    fn evidence(&self, client_nonce: &[u8], exporter: &[u8; 32]) -> Value {
        let preimage = self.binding.to_preimage();
        let nonce = NonceInput::Session {
            client_nonce,
            exporter,
        };
        let document = self
            .attester
            .attest(&AttestRequest {
                public_key: Some(self.binding.public_key()),
                user_data: Some(user_data(&preimage).to_vec()),
                nonce: Some(nonce.hash().0.to_vec()),
            })
            .unwrap();
        json!({
            "document": b64u(&document), "preimage": b64u(&preimage), "mode": "session", "phase": "serving",
            "genesis": self.pinned.genesis.envelope, "config": self.config,
            "ca_certificate": self.ca, "head": self.binding.head,
        })
    }

    /// Serves one connection; every request is answered by `answer`.
    fn serve(self, chunked: bool) -> (SocketAddr, Pinned) {
        let pinned = self.pinned.clone();
        let address = serve_with(
            Arc::clone(&self.tls),
            chunked,
            move |path, exporter, body| {
                if path.starts_with("/.well-known/attestation?") {
                    (
                        200,
                        self.evidence(&client_nonce(path), exporter).to_string(),
                    )
                } else {
                    (
                        202,
                        json!({"path": path, "body": String::from_utf8_lossy(body)}).to_string(),
                    )
                }
            },
        );
        (address, pinned)
    }
}

fn client_nonce(path: &str) -> Vec<u8> {
    let query = path.split_once("nonce=").unwrap().1;
    from_b64u(query.split('&').next().unwrap()).unwrap()
}

fn serve_with(
    config: Arc<ServerConfig>,
    chunked: bool,
    answer: impl Fn(&str, &[u8; 32], &[u8]) -> (u16, String) + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(config).unwrap();
        let mut stream = BufReader::new(StreamOwned::new(connection, socket));
        loop {
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                if line == "\r\n" {
                    break;
                }
                lines.push(line);
            }
            let path = lines[0].split(' ').nth(1).unwrap().to_owned();
            let length = lines
                .iter()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            let mut body = vec![0; length.map_or(0, |text| text.trim().parse().unwrap())];
            stream.read_exact(&mut body).unwrap();
            let exporter = stream
                .get_ref()
                .conn
                .export_keying_material([0; 32], EXPORTER_LABEL, None)
                .unwrap();
            let (status, text) = answer(&path, &exporter, &body);
            let reply = if chunked {
                let (a, b) = text.split_at(text.len() / 2);
                format!(
                    "HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{a}\r\n{:X};x=y\r\n{b}\r\n0\r\nT: 1\r\n\r\n",
                    a.len(),
                    b.len()
                )
            } else {
                format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                )
            };
            stream.get_mut().write_all(reply.as_bytes()).unwrap();
        }
    });
    address
}

fn open(address: SocketAddr, pinned: &Pinned) -> Result<AttestedConnection, FetchError> {
    let url = format!("https://localhost:{}", address.port());
    AttestedConnection::open(&url, pinned, Purpose::Serve, None)
}

fn refusal(address: SocketAddr, pinned: &Pinned) -> &'static str {
    open(address, pinned)
        .err()
        .expect("this server must be refused")
        .code()
}

#[test]
fn an_honest_appliance_is_proven_and_the_connection_can_be_used_on() {
    for chunked in [false, true] {
        let (address, pinned) = Appliance::new().serve(chunked);
        let mut proven = open(address, &pinned).unwrap();
        assert_eq!(proven.binding.genesis, pinned.genesis.digest);
        assert_eq!(proven.config.config.server_names, ["localhost"]);
        let reply = proven
            .post_json("/api/v1/unseal/share", b"{\"a\":1}")
            .unwrap();
        assert_eq!(reply.status, 202);
        let seen: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(seen["body"], "{\"a\":1}");
    }
}

#[test]
fn a_relay_with_its_own_session_is_refused() {
    // The relay asks the genuine appliance with our nonce, and shows us its answer.
    let appliance = Appliance::new();
    let pinned = appliance.pinned.clone();
    let (relay, _) = tls_server();
    let address = serve_with(relay, false, move |path, _, _| {
        (
            200,
            appliance
                .evidence(&client_nonce(path), &[1; 32])
                .to_string(),
        )
    });
    assert_eq!(refusal(address, &pinned), "wrong_nonce");
}

#[test]
fn a_relay_that_passes_our_exporter_on_as_a_nonce_is_refused() {
    let appliance = Appliance::new();
    let pinned = appliance.pinned.clone();
    let (relay, _) = tls_server();
    let address = serve_with(relay, false, move |path, exporter, _| {
        let both = [client_nonce(path), exporter.to_vec()].concat();
        (200, appliance.evidence(&both, &[1; 32]).to_string())
    });
    assert_eq!(refusal(address, &pinned), "wrong_nonce");
}

#[test]
fn evidence_for_another_key_than_the_sessions_is_refused() {
    // Should a relay ever learn to match the exporter, the key would still differ.
    let appliance = Appliance::new();
    let pinned = appliance.pinned.clone();
    let (relay, _) = tls_server();
    let address = serve_with(relay, false, move |path, exporter, _| {
        (
            200,
            appliance
                .evidence(&client_nonce(path), exporter)
                .to_string(),
        )
    });
    assert_eq!(refusal(address, &pinned), "other_session_key");
}

#[test]
fn a_genuine_appliance_under_another_genesis_is_refused() {
    let (address, _) = Appliance::new().serve(false);
    let (_, ours) = Appliance::new().serve(false);
    assert_eq!(refusal(address, &ours), "root_not_pinned");
}

#[test]
fn what_is_served_beside_the_evidence_must_be_what_it_binds() {
    let other = emulated_root("mallory").unwrap().0;
    let mut appliance = Appliance::new();
    appliance.ca = Some(other.clone());
    let (address, pinned) = appliance.serve(false);
    assert_eq!(refusal(address, &pinned), "beside_evidence");

    let mut appliance = Appliance::new();
    appliance.binding.ca_spki_sha256 = Some(sha256(&[]));
    let (address, pinned) = appliance.serve(false);
    assert_eq!(refusal(address, &pinned), "beside_evidence");

    let mut appliance = Appliance::new();
    appliance.binding.config = sha256(&[b"another"]);
    let (address, pinned) = appliance.serve(false);
    assert_eq!(refusal(address, &pinned), "beside_evidence");

    let mut appliance = Appliance::new();
    let der = redoubt_attestation::genesis::anchor_der(&other).unwrap();
    appliance.binding.ca_spki_sha256 = Some(sha256(&[&spki_of(&der).unwrap()]));
    appliance.ca = Some(other);
    let (address, pinned) = appliance.serve(false);
    open(address, &pinned).unwrap();
}

#[test]
fn refusals_and_nonsense_of_the_server_are_told_apart() {
    let pinned = Appliance::new().pinned;
    let (tls, _) = tls_server();
    let answer = |status, text: &'static str| {
        serve_with(Arc::clone(&tls), false, move |_, _, _| {
            (status, text.to_owned())
        })
    };
    assert_eq!(
        refusal(answer(503, r#"{"code":"booting"}"#), &pinned),
        "status"
    );
    assert_eq!(refusal(answer(200, "{}"), &pinned), "evidence_malformed");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(refusal(closed, &pinned), "connect");
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        plain
            .accept()
            .unwrap()
            .0
            .write_all(b"HTTP/1.1 400 no\r\n\r\n")
    });
    assert_eq!(refusal(address, &pinned), "tls");
}

#[test]
fn a_body_without_end_is_cut_off() {
    let pinned = Appliance::new().pinned;
    let (tls, _) = tls_server();
    let address = serve_with(tls, false, |_, _, _| (200, "x".repeat(5 * 1024 * 1024)));
    assert_eq!(refusal(address, &pinned), "http");
}
