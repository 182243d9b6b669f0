//! An enclave's front door as far as officers meet it: attests, takes shares.
#![allow(unreachable_pub, dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use redoubt_attestation::attester::{AttestRequest, Attester, EmulatedAttester};
use redoubt_attestation::binding::{
    Binding, BindingType, BootKeys, EXPORTER_LABEL, Head, NonceInput, Purpose, user_data,
};
use redoubt_attestation::encode::{Digest32, b64u, from_b64u};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{Config, Genesis, VerifiedConfig, VerifiedGenesis};
use redoubt_attestation::shares::{OpenedShare, SealedShare, UnsealKey, open_share};
use redoubt_attestation::sign::{Ed25519Signer, HybridSigner};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// How this enclave behaves.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    pub program: &'static [u8],
    pub needed: usize,
    pub fixed_nonce: bool,
    pub always_serve: bool,
    pub halts: bool,
    /// Serves from the start.
    pub unsealed: bool,
    /// Closes the connection instead of answering the order to rotate.
    pub loses_answer: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            program: b"the enclave",
            needed: 1,
            fixed_nonce: false,
            always_serve: false,
            halts: false,
            unsealed: false,
            loses_answer: false,
        }
    }
}

pub struct Enclave {
    address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    script: Script,
    state: Mutex<State>,
    attester: EmulatedAttester,
    unseal: UnsealKey,
    keys: BootKeys,
    tls: Arc<ServerConfig>,
    shares: Mutex<Vec<OpenedShare>>,
    connections: Mutex<usize>,
}

#[derive(Clone)]
struct State {
    genesis: VerifiedGenesis,
    config: VerifiedConfig,
    epoch: u64,
    orders: usize,
    /// Questions about epochs until the rotation is done.
    plain: Option<usize>,
    next: Option<(VerifiedGenesis, VerifiedConfig)>,
    after: Option<(VerifiedGenesis, VerifiedConfig)>,
}

impl Enclave {
    pub fn start(ceremony: &Path, config: &Path, script: Script) -> Self {
        let text = |name: &str| std::fs::read_to_string(ceremony.join(name)).unwrap();
        let genesis = Genesis::verify(text("genesis.json").as_bytes()).unwrap();
        let config = Config::verify(&std::fs::read(config).unwrap(), &genesis).unwrap();
        let (root, key) = (text("emulated/root.pem"), text("emulated/root.key"));
        let attester = EmulatedAttester::dangerous_new(&root, &key, script.program, 0).unwrap();
        let (tls, tls_spki) = tls();
        let unseal = UnsealKey::generate(&SystemEntropy).unwrap();
        let signer = HybridSigner::generate(&SystemEntropy).unwrap();
        let checkpoint = Ed25519Signer::generate(&SystemEntropy).unwrap();
        let (es256, mldsa65) = signer.jwks();
        let keys = BootKeys {
            tls_spki,
            receipt_es256: es256.clone(),
            receipt_mldsa65: mldsa65.clone(),
            checkpoint_ed25519: checkpoint.jwk().clone(),
            unseal_xwing: unseal.public().to_vec(),
        };
        let inner = Arc::new(Inner {
            script,
            state: Mutex::new(State {
                genesis,
                config,
                epoch: 0,
                orders: 0,
                plain: None,
                next: None,
                after: None,
            }),
            attester,
            unseal,
            keys,
            tls,
            shares: Mutex::default(),
            connections: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = inner.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                *accepting.connections.lock().unwrap() += 1;
                let inner = accepting.clone();
                std::thread::spawn(move || inner.serve(stream.unwrap()));
            }
        });
        Self { address, inner }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Shares opened so far; taken away.
    pub fn shares(&self) -> Vec<OpenedShare> {
        std::mem::take(&mut self.inner.shares.lock().unwrap())
    }

    pub fn secret_commitment(&self) -> Digest32 {
        self.inner
            .state
            .lock()
            .unwrap()
            .genesis
            .manifest
            .secret_commitment
    }

    /// Started again, from the files it was rotated to.
    pub fn restart(&self) {
        let mut state = self.inner.state.lock().unwrap();
        let (genesis, config) = state.after.take().expect("rotated");
        (state.genesis, state.config) = (genesis, config);
    }

    /// Orders to rotate that were carried out.
    pub fn orders(&self) -> usize {
        self.inner.state.lock().unwrap().orders
    }

    pub fn connections(&self) -> usize {
        *self.inner.connections.lock().unwrap()
    }
}

fn tls() -> (Arc<ServerConfig>, Vec<u8>) {
    use rcgen::PublicKeyData;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let spki = key.subject_public_key_info();
    let private = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private.into())
        .unwrap();
    (Arc::new(config), spki)
}

impl Inner {
    fn serve(&self, mut socket: TcpStream) {
        let mut connection = ServerConnection::new(self.tls.clone()).unwrap();
        while connection.is_handshaking() {
            if connection.complete_io(&mut socket).is_err() {
                return;
            }
        }
        let exporter = connection
            .export_keying_material([0; 32], EXPORTER_LABEL, None)
            .unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        while let Some((target, body)) = read_request(&mut stream) {
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let (status, reply) = match path {
                "/.well-known/attestation" => ("200 OK", self.attest(query, &exporter)),
                "/api/v1/epochs" => ("200 OK", self.epochs()),
                "/api/v1/epochs/rotate" => {
                    let reply = self.rotate(&body);
                    if self.script.loses_answer {
                        return;
                    }
                    reply
                }
                _ => ("202 Accepted", self.take(&body)),
            };
            let reply = reply.to_string();
            let length = reply.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
            if stream
                .write_all(format!("{head}{reply}").as_bytes())
                .is_err()
            {
                return;
            }
        }
    }

    fn phase(&self) -> &'static str {
        let shares = self.shares.lock().unwrap().len();
        match (
            self.script.unsealed || shares >= self.script.needed,
            self.script.halts,
        ) {
            (false, _) => "awaiting_unseal",
            (true, true) => "halted",
            (true, false) => "serving",
        }
    }

    fn attest(&self, query: &str, exporter: &[u8; 32]) -> Value {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).unwrap().1
        };
        let mut nonce = from_b64u(value("nonce")).unwrap();
        if self.script.fixed_nonce {
            nonce = vec![7; 32];
        }
        let purpose = match self.script.always_serve {
            true => Purpose::Serve,
            false => value("purpose").parse().unwrap(),
        };
        let phase = self.phase();
        let state = self.state.lock().unwrap().clone();
        let head = (phase == "serving").then_some(Head {
            size: 3,
            root: Digest32([1; 32]),
        });
        let binding = Binding {
            kind: BindingType::V1,
            purpose,
            genesis: state.genesis.digest,
            genesis_counter: state.genesis.manifest.counter,
            ledgers: vec![],
            config: state.config.digest,
            policy: state.config.policy_digest,
            models: Digest32([5; 32]),
            boot_keys: self.keys.clone(),
            ca_spki_sha256: None,
            head,
            term: None,
        };
        let preimage = binding.to_preimage();
        let nonce = NonceInput::Session {
            client_nonce: &nonce,
            exporter,
        };
        let request = AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce: Some(nonce.hash().0.to_vec()),
        };
        let document = self.attester.attest(&request).unwrap();
        json!({
            "document": b64u(&document),
            "preimage": b64u(&preimage),
            "mode": "session",
            "phase": phase,
            "genesis": state.genesis.envelope,
            "config": state.config.envelope,
            "ca_certificate": null,
            "head": head,
        })
    }

    fn take(&self, body: &[u8]) -> Value {
        let sealed: SealedShare = serde_json::from_slice(body).unwrap();
        let opened = open_share(&self.unseal, &sealed).unwrap();
        let state = self.state.lock().unwrap().clone();
        let expected = state.next.as_ref().map_or(&state.genesis, |(next, _)| next);
        assert_eq!(opened.aad.genesis, expected.digest);
        assert_eq!(opened.aad.counter, expected.manifest.counter);
        let mut shares = self.shares.lock().unwrap();
        shares.push(opened);
        let received = shares.len();
        if let Some((next, config)) = state.next {
            let needed = usize::from(next.manifest.threshold);
            if received >= needed {
                let mut state = self.state.lock().unwrap();
                (state.epoch, state.next) = (state.epoch + 1, None);
                // It attests under the manifest of its boot until it is started again.
                state.after = Some((next, config));
            }
            return json!({ "received": received, "needed": needed, "phase": "serving" });
        }
        drop(shares);
        json!({ "received": received, "needed": self.script.needed, "phase": self.phase() })
    }
}

impl Inner {
    fn epochs(&self) -> Value {
        let mut state = self.state.lock().unwrap();
        match state.plain {
            Some(0) => (state.plain, state.epoch) = (None, state.epoch + 1),
            left => state.plain = left.map(|left| left - 1),
        }
        let shares = self.shares.lock().unwrap().len();
        let rotation = match (state.plain, &state.next) {
            (None, None) => Value::Null,
            (Some(_), _) => json!({ "epoch": 1, "stage": "snapshot" }),
            (None, Some((next, _))) => json!({
                "epoch": 1,
                "stage": "awaiting_shares",
                "shares_received": shares,
                "shares_needed": next.manifest.threshold,
            }),
        };
        json!({ "epoch": state.epoch, "pending_erasures": 0, "rotation": rotation })
    }

    fn rotate(&self, body: &[u8]) -> (&'static str, Value) {
        let order: Value = serde_json::from_slice(body).unwrap();
        let mut state = self.state.lock().unwrap();
        if state.plain.is_some() || state.next.is_some() {
            return ("409 Conflict", json!({ "code": "rotation_in_progress" }));
        }
        state.orders += 1;
        if order == json!({}) {
            state.plain = Some(2);
        } else {
            let next = state
                .genesis
                .successor(order["genesis"].to_string().as_bytes());
            let next = next.unwrap();
            let config = Config::verify(order["config"].to_string().as_bytes(), &next).unwrap();
            state.next = Some((next, config));
        }
        ("202 Accepted", json!({}))
    }
}

/// Target and body of the next request; none at the end.
fn read_request(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head.split(' ').nth(1)?.to_owned(), body))
}
