//! `ledger verify` and `compare` as people and scripts run them.

use std::path::Path;
use std::process::{Command, Output};

use redoubt_attestation::attester::{
    AttestRequest, Attester, EmulatedAttester, emulated_root, measure,
};
use redoubt_attestation::binding::{
    Binding, BindingType, BootKeys, BoundLedger, NonceInput, Purpose, user_data,
};
use redoubt_attestation::encode::{Digest32, b64u};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{ClientPolicy, Genesis, SignedFile};
use redoubt_attestation::ledger::{Checkpoint, Header, Tree};
use redoubt_attestation::sign::{Ed25519Signer, Es256Signer, HybridSigner};
use redoubt_shared::LedgerId;
use redoubt_shared::store::StoredRecord;
use serde_json::{Value, json};

const OWN: LedgerId = LedgerId::from_bytes([0xaa; 16]);

fn audit(args: &[&str]) -> (Output, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_redoubt-audit"))
        .args(args)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, report)
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// An appliance on paper whose boots can be attested.
struct Appliance {
    attester: EmulatedAttester,
    genesis: redoubt_attestation::genesis::VerifiedGenesis,
}

struct Boot {
    keys: HybridSigner,
    checkpoints: Ed25519Signer,
}

impl Appliance {
    fn new(folder: &Path) -> (Self, String) {
        let officer = Es256Signer::generate(&SystemEntropy).unwrap();
        let (root, key) = emulated_root("root").unwrap();
        let pcr0 = measure(b"x").to_hex()[&0].clone();
        let manifest = json!({
            "type": "redoubt/genesis/v1", "name": "test", "environment": "emulated", "counter": 1,
            "threshold": 1, "officers": [{"id": "officer", "key": officer.jwk()}],
            "secret_commitment": "00".repeat(32),
            "vendor_roots": [{"kind": "nitro_emulated", "pem": root}],
            "measurements": [{"role": "enclave", "tier": "process", "pcrs": {"0": pcr0}}],
            "witnesses": [], "custodians": [], "created_ms": 1,
        });
        let mut file = SignedFile::unsigned(manifest.to_string().as_bytes());
        file.sign("officer", &officer).unwrap();
        let genesis = Genesis::verify(&file.to_json()).unwrap();
        let policy = ClientPolicy::pin(&genesis).to_json();
        let policy = put(folder, "policy.json", &policy);
        let attester = EmulatedAttester::dangerous_new(&root, &key, b"x", 0).unwrap();
        (Self { attester, genesis }, policy)
    }

    /// A fresh boot and its document, as `evidence.json` keeps it.
    fn boot(&self, term: u64) -> (Boot, Vec<u8>) {
        let boot = Boot {
            keys: HybridSigner::generate(&SystemEntropy).unwrap(),
            checkpoints: Ed25519Signer::generate(&SystemEntropy).unwrap(),
        };
        let binding = Binding {
            kind: BindingType::V1,
            purpose: Purpose::Serve,
            genesis: self.genesis.digest,
            genesis_counter: 1,
            ledgers: vec![BoundLedger {
                tenant: None,
                ledger: OWN,
            }],
            config: Digest32([1; 32]),
            policy: Digest32([2; 32]),
            models: Digest32([3; 32]),
            boot_keys: BootKeys {
                tls_spki: boot.keys.jwks().0.to_spki(),
                receipt_es256: boot.keys.jwks().0.clone(),
                receipt_mldsa65: boot.keys.jwks().1.clone(),
                checkpoint_ed25519: boot.checkpoints.jwk().clone(),
                unseal_xwing: vec![7; 1216],
            },
            ca_spki_sha256: None,
            head: None,
            term: Some(term),
        };
        let preimage = binding.to_preimage();
        let request = AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce: Some(NonceInput::NoSession.hash().0.to_vec()),
        };
        let document = self.attester.attest(&request).unwrap();
        let kept = json!({"document": b64u(&document), "preimage": b64u(&preimage)});
        (boot, kept.to_string().into_bytes())
    }
}

fn note(boot: &Boot, size: u64, root: [u8; 32]) -> Vec<u8> {
    let head = Checkpoint {
        ledger: OWN,
        size,
        root,
    };
    let signature = boot.checkpoints.sign(head.body().as_bytes()).unwrap();
    let line = head.ed25519_line(boot.checkpoints.jwk().as_bytes(), &signature);
    head.note(&[line]).into_bytes()
}

#[derive(serde::Serialize)]
struct Sealed {
    version: u8,
    #[serde(with = "serde_bytes")]
    header: Vec<u8>,
    drawn: [u8; 32],
    counter: u64,
    root_before: [u8; 32],
    #[serde(with = "serde_bytes")]
    ciphertext: Vec<u8>,
}

fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes);
    bytes.extend(crc.to_be_bytes());
    bytes
}

/// Writes a log of `batches` batches of one record per ledger, bodies of `body`
/// bytes; returns the appliance's tree and the bytes written.
fn write_log(folder: &Path, ledgers: &[LedgerId], batches: u64, body: usize) -> (Tree, u64) {
    let mut trees = vec![Tree::new(); ledgers.len()];
    let (mut segment, mut number, mut written) = (Vec::new(), 0u64, 0);
    let ciphertext = vec![0x5a; body];
    for sequence in 0..batches {
        if segment.is_empty() {
            segment.extend(b"RDBTSEG\0");
            segment.extend(1u32.to_be_bytes());
            segment.extend(number.to_be_bytes());
            segment.extend(sequence.to_be_bytes());
            segment = with_crc(segment);
        }
        let records: Vec<StoredRecord> = ledgers
            .iter()
            .zip(&mut trees)
            .map(|(ledger, tree)| {
                let header = Header {
                    ledger: *ledger,
                    index: sequence,
                    epoch: 0,
                    term: 1,
                    events_root: [sequence as u8; 32],
                };
                let sealed = Sealed {
                    version: 2,
                    header: header.encode().to_vec(),
                    drawn: [ledger.as_bytes()[0]; 32],
                    counter: sequence,
                    root_before: tree.root(),
                    ciphertext: ciphertext.clone(),
                };
                tree.push(header.leaf());
                StoredRecord {
                    ledger: *ledger,
                    index: sequence,
                    bytes: postcard::to_stdvec(&sealed).unwrap(),
                }
            })
            .collect();
        let mut payload = sequence.to_be_bytes().to_vec();
        payload = postcard::to_extend(&records, payload).unwrap();
        let length = (payload.len() as u32).to_be_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&length), &payload);
        segment.extend(length);
        segment.extend(crc.to_be_bytes());
        segment.extend(payload);
        if segment.len() > 60 * 1024 * 1024 || sequence + 1 == batches {
            std::fs::write(folder.join(format!("{number:010}.segment")), &segment).unwrap();
            written += segment.len() as u64;
            number += 1;
            segment.clear();
        }
    }
    (trees.swap_remove(0), written)
}

#[test]
fn a_store_folder_is_checked_against_signed_heads_and_the_verdict_is_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let (appliance, policy) = Appliance::new(folder.path());
    let (boot, document) = appliance.boot(1);
    let evidence = put(folder.path(), "evidence.json", &document);
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let (tree, bytes) = write_log(&store, &[OWN], 40, 100);
    let path = store.to_str().unwrap();
    let root = |size| tree.root_at(size).unwrap();
    let good = put(folder.path(), "good", &note(&boot, 17, root(17)));
    let forked = put(folder.path(), "forked", &note(&boot, 17, root(18)));

    let (output, report) = audit(&["ledger", "verify", path, "--json", "--progress"]);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(report["signature"], "not checked");
    assert_eq!(
        (&report["bytes"], &report["records"]),
        (&json!(bytes), &json!(40))
    );
    assert_eq!(report["ledgers"][0]["root"], hex::encode(tree.root()));
    assert_eq!(report["torn_tail"], Value::Null);
    let signed = ["--policy", &policy, "--evidence", &evidence];
    let with = |checkpoint: &str, signed: &[&str]| {
        let mut args = vec![
            "ledger",
            "verify",
            path,
            "--json",
            "--checkpoint",
            checkpoint,
        ];
        args.extend(signed);
        let (output, report) = audit(&args);
        let code = report["code"].as_str().unwrap_or("ok").to_owned();
        (
            output.status.code().unwrap(),
            code,
            report["signature"].clone(),
        )
    };
    // Segments hold no signatures: without a checkpoint there is none to check.
    let args = ["ledger", "verify", path, "--json"];
    let (_, report) = audit(&[&args[..], &signed].concat());
    assert_eq!(report["signature"], "not checked");
    assert_eq!(with(&good, &signed), (0, "ok".into(), json!("verified")));
    assert_eq!(with(&good, &[]), (0, "ok".into(), json!("not checked")));
    assert_eq!(with(&forked, &signed).1, "other_history");
    // A head that a stranger signed is told apart from a fork.
    let (stranger, _) = appliance.boot(1);
    let unsigned = put(folder.path(), "unsigned", &note(&stranger, 17, root(17)));
    assert_eq!(with(&unsigned, &signed).1, "checkpoint_unsigned");
    let text = audit(&["ledger", "verify", path]).0.stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("✓ no pair of key and nonce stands twice"),
        "{text}"
    );
    assert!(text.contains("ledgers.0.size: 40"), "{text}");

    let segment = store.join("0000000000.segment");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (output, report) = audit(&["ledger", "verify", path, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["code"], "batch_damaged");
    assert!(
        report["reason"]
            .as_str()
            .unwrap()
            .contains("0000000000.segment")
    );
    assert_eq!(
        audit(&["ledger", "verify", "/nonexistent"]).0.status.code(),
        Some(2)
    );
    let (output, report) = audit(&["ledger", "verify", &good, "--json"]);
    assert_eq!(
        (output.status.code(), &report["code"]),
        (Some(1), &json!("malformed"))
    );
}

#[test]
fn two_heads_that_contradict_become_a_proof_that_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (appliance, policy) = Appliance::new(folder.path());
    let (first, first_document) = appliance.boot(1);
    let (second, second_document) = appliance.boot(2);
    let put = |name: &str, bytes: &[u8]| put(folder.path(), name, bytes);
    let one = put("one.json", &first_document);
    let two = put("two.json", &second_document);
    let a = put("a", &note(&first, 9, [1; 32]));
    let b = put("b", &note(&second, 9, [2; 32]));
    let c = put("c", &note(&second, 10, [3; 32]));
    let proof = folder.path().join("proof.json");
    let out = proof.to_str().unwrap();
    let both = [
        "--policy",
        &policy,
        "--evidence",
        &one,
        "--evidence",
        &two,
        "--json",
    ];
    let run = |args: &[&str]| {
        let (output, report) = audit(&[&["compare"], args, &both].concat());
        (output.status.code().unwrap(), report)
    };
    let (status, report) = run(&[&a, &c, "--out", out]);
    assert_eq!((status, &report["contradiction"]), (0, &json!(false)));
    assert!(!proof.exists());
    let (status, report) = run(&[&a, &b, "--out", out]);
    assert_eq!(
        (status, &report["code"]),
        (1, &json!("two_roots")),
        "{report}"
    );

    let check = |policy: &str| {
        let (output, report) = audit(&["compare", "--check", out, "--policy", policy, "--json"]);
        (output.status.code().unwrap(), report)
    };
    let (status, report) = check(&policy);
    assert_eq!((status, &report["code"]), (1, &json!("two_roots")));
    assert_eq!(report["second"]["signed"]["root"], "02".repeat(32));
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, other) = Appliance::new(elsewhere.path());
    let (status, report) = check(&other);
    assert_eq!((status, &report["code"]), (0, &json!("root_not_pinned")));
    // Without the document that shows its key, a note says nothing.
    let (output, _) = audit(&["compare", &a, &b, "--policy", &policy, "--evidence", &one]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        audit(&["compare", &a, "--policy", &policy]).0.status.code(),
        Some(2)
    );
}

/// `REDOUBT_AUDIT_BYTES=1000000000` measures on a gigabyte.
#[test]
fn a_history_is_checked_about_as_fast_as_its_bytes_are_hashed() {
    let wanted: u64 = std::env::var("REDOUBT_AUDIT_BYTES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(40_000_000);
    let folder = tempfile::tempdir().unwrap();
    let tenant = LedgerId::from_bytes([0xbb; 16]);
    // What one verification of a tenant's customer leaves: its entry and the appliance's.
    let body = 2400;
    let (_, bytes) = write_log(folder.path(), &[OWN, tenant], wanted / 5200, body);
    let path = folder.path().to_str().unwrap();
    let (output, report) = audit(&["ledger", "verify", path, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{report}");
    let ours = report["seconds"].as_f64().unwrap();
    let began = std::time::Instant::now();
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    for name in names {
        context.update(&std::fs::read(name).unwrap());
    }
    let _ = context.finish();
    let sha256 = began.elapsed().as_secs_f64();
    let speed = |seconds: f64| bytes as f64 / seconds / 1e6;
    println!(
        "{bytes} bytes: ledger verify {ours:.3} s ({:.0} MB/s), SHA-256 {sha256:.3} s ({:.0} MB/s), ratio {:.2}",
        speed(ours),
        speed(sha256),
        sha256 / ours
    );
    assert!(ours < sha256 * 10.0 + 1.0, "{ours} s against {sha256} s");
}
