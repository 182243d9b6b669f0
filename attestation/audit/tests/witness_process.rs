//! The witness as a process: its command line, its signals, its HTTP, and what
//! is left of it after kill -9.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use redoubt_attestation::attester::{
    AttestRequest, Attester, EmulatedAttester, emulated_root, measure,
};
use redoubt_attestation::binding::{
    Binding, BindingType, BootKeys, BoundLedger, NonceInput, Purpose, user_data,
};
use redoubt_attestation::encode::{Digest32, sha256};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{ClientPolicy, Genesis, PeerEntry, SignedFile, VerifiedGenesis};
use redoubt_attestation::ledger::Tree;
use redoubt_attestation::ledger::checkpoint::{Checkpoint, NoteAlgorithms};
use redoubt_attestation::ledger::cosignature::verify_line;
use redoubt_attestation::ledger::merkle::leaf_hash;
use redoubt_attestation::ledger::witness_wire::{AddCheckpoint, parse_lines, parse_size};
use redoubt_attestation::peers::{
    EpochRequest, EpochStatement, RETIRE, SignedDeletion, TERMS, TermRequest,
};
use redoubt_attestation::sign::{Ed25519Signer, Es256Signer, HybridSigner};
use redoubt_audit::fetch::handshake;
use redoubt_shared::LedgerId;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};

const PROGRAM: &[u8] = b"x";

fn audit(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redoubt-audit"))
        .args(args)
        .output()
        .unwrap()
}

/// A folder with keys, a policy that names them, and an enclave on paper.
struct Stage {
    folder: tempfile::TempDir,
    entry: PeerEntry,
    officer: Es256Signer,
    manifest: Value,
    genesis: VerifiedGenesis,
    attester: EmulatedAttester,
    receipt: HybridSigner,
    checkpoint: Ed25519Signer,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("state");
        let made = audit(&[
            "witness",
            "--dir",
            text(&dir),
            "--init",
            "--name",
            "w1.example",
        ]);
        assert_eq!(made.status.code(), Some(0));
        let entry: PeerEntry = serde_json::from_slice(&made.stdout).unwrap();
        let (root, key) = emulated_root("root").unwrap();
        let officer = Es256Signer::generate(&SystemEntropy).unwrap();
        let manifest = json!({
            "type": "redoubt/genesis/v1", "name": "test", "environment": "emulated", "counter": 1,
            "threshold": 1, "officers": [{"id": "officer", "key": officer.jwk()}],
            "secret_commitment": "00".repeat(32),
            "vendor_roots": [{"kind": "nitro_emulated", "pem": root}],
            "measurements": [{"role": "enclave", "tier": "process", "pcrs": {"0": measure(PROGRAM).to_hex()[&0]}}],
            "witnesses": [entry], "witness_policy": {"k": 1, "f": 0, "mode": "lease", "lease_ms": 500},
            "custodians": [], "created_ms": 1,
        });
        Self {
            genesis: pin(folder.path(), &manifest, &officer),
            attester: EmulatedAttester::dangerous_new(&root, &key, PROGRAM, 0).unwrap(),
            receipt: HybridSigner::generate(&SystemEntropy).unwrap(),
            checkpoint: Ed25519Signer::generate(&SystemEntropy).unwrap(),
            officer,
            manifest,
            entry,
            folder,
        }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn command(&self, policy: bool) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redoubt-audit"));
        command
            .args(["witness", "--listen", "127.0.0.1:0", "--dir"])
            .arg(self.dir())
            .arg("--port-file")
            .arg(self.folder.path().join("port"))
            .stderr(Stdio::piped());
        if policy {
            let file = self.folder.path().join("policy.json");
            command.arg("--policy").arg(file);
        }
        command
    }

    fn start(&self, policy: bool) -> Running {
        let port = self.folder.path().join("port");
        let _ = std::fs::remove_file(&port);
        let mut child = self.command(policy).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while !port.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended at once");
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "it never listened"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let port = std::fs::read_to_string(&port).unwrap();
        Running {
            child,
            port: port.trim().parse().unwrap(),
            pin: self.entry.tls_spki_sha256,
        }
    }

    /// The manifest's successor, without this peer.
    fn leave(&mut self) {
        self.manifest["previous"] = json!(self.genesis.digest);
        self.manifest["counter"] = json!(2);
        self.manifest["witnesses"] = json!([]);
        let members = self.manifest.as_object_mut().unwrap();
        members.remove("witness_policy").unwrap();
        self.genesis = pin(self.folder.path(), &self.manifest, &self.officer);
    }

    fn introduction(&self) -> Vec<u8> {
        let (document, preimage) = self.evidence();
        serde_json::to_vec(&TermRequest {
            config: None,
            document,
            preimage,
            genesis: vec![],
        })
        .unwrap()
    }

    fn retirement(&self, below: u32) -> Vec<u8> {
        let (document, preimage) = self.evidence();
        let appliance = ledger();
        let statement = EpochStatement::Retire { appliance, below }.to_json();
        serde_json::to_vec(&EpochRequest {
            signature: self.receipt.sign_es256(&statement).unwrap(),
            statement,
            document,
            preimage,
            genesis: vec![],
        })
        .unwrap()
    }

    /// A document of this boot under the manifest in force, and its preimage.
    fn evidence(&self) -> (Vec<u8>, Vec<u8>) {
        let (es256, mldsa65) = self.receipt.jwks();
        let binding = Binding {
            kind: BindingType::V1,
            purpose: Purpose::Serve,
            genesis: self.genesis.digest,
            genesis_counter: self.genesis.manifest.counter,
            ledgers: vec![BoundLedger {
                tenant: None,
                ledger: ledger(),
            }],
            config: Digest32([1; 32]),
            policy: Digest32([2; 32]),
            models: Digest32([3; 32]),
            boot_keys: BootKeys {
                tls_spki: es256.to_spki(),
                receipt_es256: es256.clone(),
                receipt_mldsa65: mldsa65.clone(),
                checkpoint_ed25519: self.checkpoint.jwk().clone(),
                unseal_xwing: vec![7; 1216],
            },
            ca_spki_sha256: None,
            head: None,
            term: Some(1),
        };
        let preimage = binding.to_preimage();
        let request = AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce: Some(NonceInput::NoSession.hash().0.to_vec()),
        };
        (self.attester.attest(&request).unwrap(), preimage)
    }

    fn growth(&self, tree: &Tree, old: u64, new: u64) -> (Checkpoint, Vec<u8>) {
        let checkpoint = Checkpoint {
            ledger: ledger(),
            size: new,
            root: tree.root_at(new).unwrap(),
        };
        let signature = self.checkpoint.sign(checkpoint.body().as_bytes()).unwrap();
        let line = checkpoint.ed25519_line(self.checkpoint.jwk().as_bytes(), &signature);
        let request = AddCheckpoint {
            old_size: old,
            proof: tree.consistency(old, new).unwrap(),
            note: checkpoint.note(&[line]),
        };
        (checkpoint, request.to_text().into_bytes())
    }
}

/// Signs a manifest and writes the policy that pins it.
fn pin(folder: &Path, manifest: &Value, officer: &Es256Signer) -> VerifiedGenesis {
    let mut file = SignedFile::unsigned(manifest.to_string().as_bytes());
    file.sign("officer", officer).unwrap();
    let genesis = Genesis::verify(&file.to_json()).unwrap();
    let policy = ClientPolicy::pin(&genesis).to_json();
    std::fs::write(folder.join("policy.json"), policy).unwrap();
    genesis
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ledger() -> LedgerId {
    LedgerId::from_bytes([6; 16])
}

struct Running {
    child: Child,
    port: u16,
    pin: Digest32,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn connect(&self) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        let name = "w1.example".try_into().unwrap();
        let session = handshake(socket, name, None).map_err(std::io::Error::other)?;
        assert_eq!(sha256(&[&session.peer_spki]), self.pin);
        Ok(session.stream)
    }

    /// Status, head and body of one request on a connection of its own.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<(u16, String, String)> {
        let mut stream = self.connect()?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )?;
        // A refused body is answered before it is all sent.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            end?;
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        let status = head[9..12].parse().unwrap();
        Ok((status, head.to_owned(), body.to_owned()))
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }
}

#[test]
fn keys_are_made_once_and_wrong_usage_is_status_2() {
    let stage = Stage::new();
    let dir = stage.dir();
    let dir = text(&dir);
    for args in [
        &["--dir", dir, "--init", "--name", "w1.example"][..],
        &["--dir", "/nonexistent/x", "--init", "--name", "W1"],
        &["--dir", dir, "--init"],
        &["--dir", dir],
        &["--dir", dir, "--listen", "127.0.0.1:0"],
        &["--dir", "/nonexistent", "--listen", "127.0.0.1:0"],
    ] {
        let refused = audit(&[&["witness"], args].concat());
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
    }
    let unpinned = audit(&["witness", "--dir", dir, "--listen", "127.0.0.1:0"]);
    let error = String::from_utf8(unpinned.stderr).unwrap();
    assert!(error.contains("give --policy FILE"), "{error}");
    let entry = std::fs::read(stage.dir().join("peer.json")).unwrap();
    assert_eq!(
        serde_json::from_slice::<PeerEntry>(&entry).unwrap(),
        stage.entry
    );
}

#[test]
fn a_policy_that_does_not_name_this_peer_is_refused() {
    let (stage, other) = (Stage::new(), Stage::new());
    let policy = other.folder.path().join("policy.json");
    let dir = stage.dir();
    let refused = audit(&[
        "witness",
        "--dir",
        text(&dir),
        "--listen",
        "127.0.0.1:0",
        "--policy",
        text(&policy),
    ]);
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("does not name this peer"), "{error}");
}

#[test]
fn sigterm_ends_it_cleanly_and_one_folder_has_one_process() {
    let stage = Stage::new();
    let mut running = stage.start(true);
    let second = stage.command(true).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(
        error.contains("another process serves this folder"),
        "{error}"
    );
    // An idle connection does not hold it up.
    let mut idle = running.connect().unwrap();
    idle.write_all(b"POST ").unwrap();
    let begun = Instant::now();
    running.signal("-TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5));
    // The policy is needed the first time only.
    let again = stage.start(false);
    assert_eq!(again.ask("POST", "/x", b"").unwrap().0, 404);
}

#[test]
fn a_peer_that_left_the_manifest_still_deletes_after_a_restart() {
    let mut stage = Stage::new();
    drop(stage.start(true));
    stage.leave();
    drop(stage.start(true));
    let running = stage.start(false);
    let introduced = running.ask("POST", TERMS, &stage.introduction()).unwrap();
    assert_eq!(introduced.0, 403, "{}", introduced.2);
    assert!(introduced.2.contains("as a witness"), "{}", introduced.2);
    let (status, _, body) = running.ask("POST", RETIRE, &stage.retirement(3)).unwrap();
    assert_eq!(status, 200, "{body}");
    let signed: SignedDeletion = serde_json::from_str(&body).unwrap();
    assert_eq!(signed.verify(&stage.entry).unwrap().below, 3);
}

#[test]
fn requests_that_are_none_are_refused_by_kind() {
    let stage = Stage::new();
    let running = stage.start(true);
    let large = vec![b'a'; 100 * 1024];
    let huge = vec![b' '; 1024 * 1024 + 1];
    for (method, path, body, status) in [
        ("GET", "/add-checkpoint", &b""[..], 405),
        ("POST", "/", b"", 404),
        ("POST", "/add-checkpoint", b"old 1", 400),
        ("POST", "/add-checkpoint", &large, 413),
        ("POST", "/redoubt/v1/terms", b"{}", 400),
        ("POST", "/redoubt/v1/terms", &huge, 413),
        ("POST", "/redoubt/v1/epochs/deposit", b"[]", 400),
        ("POST", "/redoubt/v1/epochs/release", b"", 400),
        ("POST", "/redoubt/v1/epochs/retire", b"null", 400),
    ] {
        let (found, head, _) = running.ask(method, path, body).unwrap();
        assert_eq!(found, status, "{method} {path}: {head}");
    }
}

#[test]
fn the_wire_is_that_of_tlog_witness() {
    let stage = Stage::new();
    let running = stage.start(true);
    let tree = Tree::from_leaves((0..9u8).map(|i| leaf_hash(&[i])));
    let introduced = running.ask("POST", "/redoubt/v1/terms", &stage.introduction());
    let (status, head, body) = introduced.unwrap();
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(body, r#"{"head":null,"wait_ms":0}"#);
    let (checkpoint, request) = stage.growth(&tree, 0, 5);
    let (status, _, body) = running.ask("POST", "/add-checkpoint", &request).unwrap();
    assert_eq!(status, 200, "{body}");
    let lines = parse_lines(body.as_bytes()).unwrap();
    let time = verify_line(&lines[0], &checkpoint, &stage.entry, NoteAlgorithms::NATIVE)
        .unwrap()
        .unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(time) < 60, "{time}");
    let (_, rollback) = stage.growth(&tree, 0, 4);
    let (status, head, body) = running.ask("POST", "/add-checkpoint", &rollback).unwrap();
    assert_eq!((status, body.as_str()), (409, "5\n"));
    assert!(head.contains("content-type: text/x.tlog.size"), "{head}");
}

#[test]
fn nothing_cosigned_is_forgotten_by_kill_9() {
    let stage = Stage::new();
    let tree = Tree::from_leaves((0..2000u64).map(|i| leaf_hash(&i.to_be_bytes())));
    let mut acknowledged = 0;
    for round in 0..8u64 {
        let running = stage.start(true);
        let introduced = running.ask("POST", "/redoubt/v1/terms", &stage.introduction());
        let (status, _, body) = introduced.unwrap();
        assert_eq!(status, 200);
        let reply: serde_json::Value = serde_json::from_str(&body).unwrap();
        let head = reply["head"]["size"].as_u64().unwrap_or(0);
        // What was answered is there; at most what was under way besides.
        assert!(
            head == acknowledged || head == acknowledged + 1,
            "{head} {acknowledged}"
        );
        acknowledged = head;
        let kill_at = Duration::from_millis(40 + 37 * round);
        let id = running.child.id().to_string();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(kill_at);
            let killed = Command::new("kill").args(["-KILL", &id]).status().unwrap();
            assert!(killed.success());
        });
        loop {
            let (_, request) = stage.growth(&tree, acknowledged, acknowledged + 1);
            match running.ask("POST", "/add-checkpoint", &request) {
                Ok((200, ..)) => acknowledged += 1,
                Ok((status, _, body)) => {
                    panic!("{status} {body} {:?}", parse_size(body.as_bytes()))
                }
                Err(_) => break,
            }
        }
        killer.join().unwrap();
    }
    assert!(acknowledged > 0);
}
