//! The program as people and scripts run it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use redoubt_attestation::attester::{
    AttestRequest, Attester, EmulatedAttester, emulated_root, measure,
};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{ClientPolicy, Genesis, SignedFile, VerifiedGenesis};
use redoubt_attestation::sign::Es256Signer;
use serde_json::{Value, json};

fn audit(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redoubt-audit"))
        .args(args)
        .output()
        .unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// An appliance that exists on paper only.
fn appliance() -> (Es256Signer, VerifiedGenesis) {
    let (root, _) = emulated_root("root").unwrap();
    appliance_under("emulated", &json!({"kind": "nitro_emulated", "pem": root}))
}

fn appliance_under(environment: &str, root: &Value) -> (Es256Signer, VerifiedGenesis) {
    let officer = Es256Signer::generate(&SystemEntropy).unwrap();
    let manifest = json!({
        "type": "redoubt/genesis/v1", "name": "test", "environment": environment, "counter": 1,
        "threshold": 1, "officers": [{"id": "officer", "key": officer.jwk()}],
        "secret_commitment": "00".repeat(32),
        "vendor_roots": [root],
        "measurements": [{"role": "enclave", "tier": "process", "pcrs": {"0": measure(b"x").to_hex()[&0]}}],
        "witnesses": [], "custodians": [], "created_ms": 1,
    });
    let mut file = SignedFile::unsigned(manifest.to_string().as_bytes());
    file.sign("officer", &officer).unwrap();
    let genesis = Genesis::verify(&file.to_json()).unwrap();
    (officer, genesis)
}

/// A trust folder for such an appliance.
fn trust_folder(folder: &Path) -> String {
    let (_, genesis) = appliance();
    put(
        folder,
        "policy.json",
        &ClientPolicy::pin(&genesis).to_json(),
    );
    folder.to_str().unwrap().to_owned()
}

#[test]
fn a_good_document_is_a_yes_and_a_bent_one_a_no() {
    let folder = tempfile::tempdir().unwrap();
    let (root, key) = emulated_root("root").unwrap();
    let attester = EmulatedAttester::dangerous_new(&root, &key, b"x", 0).unwrap();
    let document = attester.attest(&AttestRequest::default()).unwrap();
    let root = put(folder.path(), "root.pem", root.as_bytes());
    let good = put(folder.path(), "good.cose", &document);
    let yes = audit(&["document", &good, "--root", &root, "--json"]);
    assert_eq!(yes.status.code(), Some(0));
    assert_eq!(json_of(&yes)["ok"], true);
    assert_eq!(json_of(&yes)["pcrs"]["0"], measure(b"x").to_hex()[&0]);

    let mut bent = document;
    *bent.last_mut().unwrap() ^= 1;
    let bent = put(folder.path(), "bent.cose", &bent);
    let no = audit(&["document", &bent, "--root", &root, "--json"]);
    assert_eq!(no.status.code(), Some(1));
    assert_eq!(json_of(&no)["code"], "bad_signature");

    let late = audit(&[
        "document",
        &good,
        "--root",
        &root,
        "--at",
        "2100-01-01T00:00:00Z",
    ]);
    assert_eq!(late.status.code(), Some(1));
    let text = String::from_utf8(late.stdout).unwrap();
    assert!(
        text.contains("✗") && text.contains("certificate_expired"),
        "{text}"
    );

    let aws = audit(&["document", &good, "--json"]);
    assert_eq!(json_of(&aws)["code"], "root_not_pinned");
}

/// What QEMU's emulated security module writes, with this as its signature.
fn unsigned_document(signature: &[u8]) -> Vec<u8> {
    use ciborium::Value;
    let bytes = |length| Value::Bytes(vec![0; length]);
    let pcrs = measure(b"x").0.into_iter();
    let pcrs = pcrs.map(|(index, pcr)| (index.into(), Value::Bytes(pcr)));
    let fields = [
        ("module_id", "i-1".into()),
        ("digest", "SHA384".into()),
        ("timestamp", 1_700_000_000_000_u64.into()),
        ("pcrs", Value::Map(pcrs.collect())),
        ("certificate", bytes(64)),
        ("cabundle", Value::Array(vec![bytes(64)])),
    ];
    let fields = fields.map(|(name, value)| (name.into(), value));
    let encoded = |value: &Value| {
        let mut out = Vec::new();
        ciborium::into_writer(value, &mut out).unwrap();
        out
    };
    encoded(&Value::Array(vec![
        Value::Bytes(vec![0xa1, 0x01, 0x20]),
        Value::Map(vec![]),
        Value::Bytes(encoded(&Value::Map(fields.into()))),
        Value::Bytes(signature.to_vec()),
    ]))
}

#[test]
fn a_document_nobody_signed_is_judged_only_where_an_emulated_genesis_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let good = put(folder.path(), "good.cose", &unsigned_document(&[0; 64]));
    let bent = put(folder.path(), "bent.cose", &unsigned_document(&[0; 96]));
    let policy = |name, environment, root: Value| {
        let (_, genesis) = appliance_under(environment, &root);
        put(folder.path(), name, &ClientPolicy::pin(&genesis).to_json())
    };
    let (pem, key) = emulated_root("root").unwrap();
    let names_it = policy(
        "a",
        "emulated",
        json!({"kind": "nitro_unsigned", "pem": ""}),
    );
    let signs = policy(
        "b",
        "emulated",
        json!({"kind": "nitro_emulated", "pem": pem}),
    );
    let hardware = policy("c", "hardware", json!({"kind": "nitro", "pem": ""}));

    let yes = audit(&["document", &good, "--unsigned", &names_it, "--json"]);
    assert_eq!(yes.status.code(), Some(0));
    let said = json_of(&yes);
    assert_eq!(
        (&said["ok"], &said["signed"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(said["pcrs"]["0"], measure(b"x").to_hex()[&0]);
    let text = audit(&["document", &good, "--unsigned", &names_it]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("? NOBODY SIGNED"), "{text}");

    let attester = EmulatedAttester::dangerous_new(&pem, &key, b"x", 0).unwrap();
    let signed = attester.attest(&AttestRequest::default()).unwrap();
    let signed = put(folder.path(), "signed.cose", &signed);
    for (file, policy, code) in [
        (&good, &hardware, "emulated_under_hardware_genesis"),
        (&good, &signs, "unsigned"),
        (&bent, &names_it, "unsigned_marker"),
        (&signed, &names_it, "not_unsigned"),
    ] {
        let no = audit(&["document", file, "--unsigned", policy, "--json"]);
        assert_eq!(no.status.code(), Some(1), "{code}");
        assert_eq!(json_of(&no)["code"], code);
    }
    // Nobody asked for it.
    let root = put(folder.path(), "root.pem", pem.as_bytes());
    for options in [&[][..], &["--root", &root]] {
        let no = audit(&[&["document", &good, "--json"], options].concat());
        assert_eq!(no.status.code(), Some(1));
        assert_eq!(json_of(&no)["code"], "unsigned");
    }
    for (option, value) in [("--root", root.as_str()), ("--at", "1")] {
        let both = audit(&["document", &good, "--unsigned", &names_it, option, value]);
        assert_eq!(both.status.code(), Some(2), "{option}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = put(folder.path(), "none.cose", b"none");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let status = Command::new(env!("CARGO_BIN_EXE_redoubt-audit"))
        .args(["document", &file])
        .stdout(full.unwrap())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn wrong_usage_and_missing_files_are_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let trust = trust_folder(folder.path());
    let document = put(folder.path(), "document", &unsigned_document(&[0; 64]));
    for args in [
        &["verify"][..],
        &["document", &document, "--root", &document],
        &["document", &document, "--unsigned", &document],
        &["document", &document, "--unsigned", "/nonexistent"],
        &["ledger", "verify", "/nonexistent"],
        &["ledger", "verify", &trust, "--policy", &document],
        &["compare", &document, &document, "--policy", &document],
        &["verify", "--artefact", &document, "--trust", &document],
        &["document", "/nonexistent"],
        &["document", "x", "--at", "yesterday"],
        &["verify", "--artefact", "/nonexistent", "--trust", &trust],
        &["verify", "--artefact", &trust, "--trust", "/nonexistent"],
        &[
            "trust",
            "https://localhost:1",
            "--policy",
            "/nonexistent",
            "--out",
            &trust,
        ],
    ] {
        assert_eq!(audit(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn what_is_no_receipt_is_a_no_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let trust = trust_folder(folder.path());
    for (name, text, code) in [
        ("a.json", "not json", "malformed"),
        ("b.json", "{}", "malformed"),
        ("c.json", r#"{"payload":"","signatures":[]}"#, "malformed"),
        (
            "d.json",
            r#"{"type":"redoubt/receipt/v1","claims":"{}","salt":"","event_index":0,"event_count":1,
                "event_path":[],"header":"","tree_size":1,"leaf_path":[],"checkpoint":""}"#,
            "no_evidence",
        ),
    ] {
        let file = put(folder.path(), name, text.as_bytes());
        let output = audit(&["verify", "--artefact", &file, "--trust", &trust, "--json"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert_eq!(json_of(&output)["code"], code, "{name}");
    }
}

#[test]
fn an_appliance_that_cannot_be_reached_is_a_no() {
    let folder = tempfile::tempdir().unwrap();
    trust_folder(folder.path());
    let policy = folder.path().join("policy.json");
    let out = folder.path().join("out");
    let (policy, out) = (policy.to_str().unwrap(), out.to_str().unwrap());
    let output = audit(&[
        "trust",
        "https://127.0.0.1:1",
        "--policy",
        policy,
        "--out",
        out,
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json_of(&output)["code"], "connect");
    assert!(!Path::new(out).exists(), "nothing is written without proof");
}

/// A policy that an officer signed, in a file.
fn appraisal_policy(
    folder: &Path,
    officer: &Es256Signer,
    genesis: &VerifiedGenesis,
    counter: u64,
) -> String {
    let payload = json!({
        "type": "redoubt/appraisal-policy/v1", "genesis": genesis.digest, "counter": counter,
        "not_after_ms": u64::MAX, "max_age_ms": 60_000, "withdrawn": [],
    });
    let mut file = SignedFile::unsigned(payload.to_string().as_bytes());
    file.sign("officer", officer).unwrap();
    put(folder, &format!("{counter}.json"), &file.to_json())
}

/// The reason why there is no trust in an appliance that nobody runs.
fn trusted(policy: &str, out: &Path, appraisal: Option<&str>) -> String {
    let (out, url) = (out.to_str().unwrap(), "https://127.0.0.1:1");
    let mut args = vec!["trust", url, "--policy", policy, "--out", out, "--json"];
    args.extend(appraisal.iter().flat_map(|file| ["--appraisal", file]));
    let output = audit(&args);
    if output.status.code() == Some(2) {
        return String::from_utf8(output.stderr).unwrap();
    }
    json_of(&output)["code"].as_str().unwrap().to_owned()
}

#[test]
fn an_older_appraisal_policy_than_one_seen_before_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (officer, genesis) = appliance();
    let policy = ClientPolicy::pin(&genesis).to_json();
    let policy = put(folder.path(), "policy.json", &policy);
    let out = folder.path().join("out");
    let signed = |counter| appraisal_policy(folder.path(), &officer, &genesis, counter);
    let trust = |appraisal: &str| trusted(&policy, &out, Some(appraisal));
    // Nobody listens there; a policy that may be used gets as far as asking.
    assert_eq!(trust(&signed(4)), "connect");
    assert_eq!(trust(&signed(6)), "connect");
    assert_eq!(trust(&signed(5)), "policy_rolled_back");
    assert_eq!(trust(&policy), "policy_not_signed");
    // What is remembered but cannot be read is not forgotten.
    std::fs::remove_file(out.join("appraisal.json")).unwrap();
    std::fs::create_dir(out.join("appraisal.json")).unwrap();
    let told = trusted(&policy, &out, None);
    assert!(told.contains("appraisal.json"), "{told}");
}

#[test]
fn after_a_change_of_the_manifest_only_a_newer_appraisal_policy_of_the_new_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (officer, then) = appliance();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    put(&out, "genesis.json", &then.envelope.to_json());
    let old = appraisal_policy(folder.path(), &officer, &then, 4);
    std::fs::copy(old, out.join("appraisal.json")).unwrap();
    let (officer, now) = appliance();
    let policy = put(
        folder.path(),
        "policy.json",
        &ClientPolicy::pin(&now).to_json(),
    );
    let signed = |counter| appraisal_policy(folder.path(), &officer, &now, counter);
    assert_ne!(trusted(&policy, &out, None), "connect");
    assert_eq!(
        trusted(&policy, &out, Some(&signed(3))),
        "policy_rolled_back"
    );
    assert_eq!(trusted(&policy, &out, Some(&signed(5))), "connect");
    assert_eq!(
        trusted(&policy, &out, Some(&signed(4))),
        "policy_rolled_back"
    );
}

/// The artefact is a pipe that stays empty: while the program waits for its
/// first byte, the kernel already says that its system calls are filtered.
#[test]
fn sockets_are_denied_before_the_artefact_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let trust = trust_folder(folder.path());
    let pipe = folder.path().join("artefact");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_redoubt-audit"))
        .args([
            "verify",
            "--artefact",
            pipe.to_str().unwrap(),
            "--trust",
            &trust,
            "--json",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Opening for writing returns once the program has opened it for reading.
    let mut writer = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let filtered = status
        .lines()
        .find(|line| line.starts_with("Seccomp:"))
        .unwrap();
    assert_eq!(filtered.split_whitespace().last(), Some("2"), "{status}");
    std::io::Write::write_all(&mut writer, b"{}").unwrap();
    drop(writer);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
