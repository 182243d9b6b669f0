//! `redoubt` as officers and operators use it.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use redoubt_attestation::appraise::AppraisalPolicy;
use redoubt_attestation::attester::measure;
use redoubt_attestation::encode::sha256;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{
    ClientPolicy, Config, Environment, Genesis, MeasuredRole, RootKind, Tier,
};
use redoubt_attestation::shares::{OfficersSecret, Share};
use redoubt_attestation::sign::{Ed25519Signer, Es256Signer};
use serde_json::Value;

fn redoubt(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redoubt"))
        .args(args)
        .output()
        .unwrap()
}

fn yes(args: &[&str]) -> Value {
    let output = redoubt(&[args, &["--json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{args:?}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn no(args: &[&str]) -> String {
    let output = redoubt(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A ceremony of k of n over two small programs.
fn ceremony(folder: &Path, k: &str, n: &str) -> std::path::PathBuf {
    std::fs::write(folder.join("enclave"), b"the enclave").unwrap();
    std::fs::write(folder.join("worker"), b"the worker").unwrap();
    let out = folder.join("genesis");
    let (enclave, worker) = (folder.join("enclave"), folder.join("worker"));
    let made = yes(&[
        "genesis",
        "init",
        "--out",
        text(&out),
        "--name",
        "test",
        "--officers",
        n,
        "--threshold",
        k,
        "--emulated",
        "--enclave-bin",
        text(&enclave),
        "--worker-bin",
        text(&worker),
    ]);
    let genesis = Genesis::verify(&std::fs::read(out.join("genesis.json")).unwrap()).unwrap();
    assert_eq!(made["genesis"], genesis.digest.to_string());
    out
}

#[test]
fn a_ceremony_makes_shares_that_restore_what_the_manifest_commits_to() {
    let folder = tempfile::tempdir().unwrap();
    let out = ceremony(folder.path(), "2", "3");
    let policy = std::fs::read(out.join("policy.json")).unwrap();
    let (_, genesis) = ClientPolicy::verify(&policy).unwrap();
    let share = |n: u8| {
        let path = out.join(format!("officer-{n}.share.json"));
        Share::parse(&std::fs::read(path).unwrap()).unwrap()
    };
    let commitment = genesis.manifest.secret_commitment;
    OfficersSecret::combine(&[share(3), share(1)], &commitment).unwrap();
    assert!(OfficersSecret::combine(&[share(2)], &commitment).is_err());
    let pcrs = &genesis.manifest.measurements[0].pcrs;
    let expected = hex::encode(&measure(b"the enclave").0[&0]);
    assert_eq!(pcrs[&0], expected);
    let record = std::fs::read_to_string(out.join("record.txt")).unwrap();
    let digest = genesis.digest.to_string();
    assert!(record.replace(' ', "").contains(&digest), "{record}");
    assert!(record.contains("2 of 3") && record.contains("EMULATED"));
}

/// An entry as a witness prints it.
fn peer_entry(folder: &Path, name: &str) -> std::path::PathBuf {
    let key = Ed25519Signer::generate(&SystemEntropy).unwrap();
    let path = folder.join(format!("{name}.json"));
    let pin = sha256(&[name.as_bytes()]);
    let entry = serde_json::json!({ "name": name, "key": key.jwk(), "tls_spki_sha256": pin });
    std::fs::write(&path, entry.to_string()).unwrap();
    path
}

#[test]
fn witnesses_and_custodians_stand_in_the_manifest_and_the_record() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("enclave"), b"the enclave").unwrap();
    let (enclave, out) = (folder.path().join("enclave"), folder.path().join("genesis"));
    let peers = ["w1", "w2", "w3"].map(|name| peer_entry(folder.path(), name));
    let mut args = vec![
        "genesis",
        "init",
        "--name",
        "x",
        "--emulated",
        "--enclave-bin",
        text(&enclave),
    ];
    for peer in &peers {
        args.extend(["--witness", text(peer), "--custodian", text(peer)]);
    }
    let too_few = [&args[..], &["--out", text(&out), "--witness-k", "1"]].concat();
    assert!(no(&too_few).contains("witness_policy"), "{too_few:?}");
    args.extend([
        "--out",
        text(&out),
        "--freshness",
        "lease",
        "--lease-ms",
        "1500",
    ]);
    yes(&args);
    let genesis = Genesis::verify(&std::fs::read(out.join("genesis.json")).unwrap()).unwrap();
    let policy = genesis.manifest.witness_policy.unwrap();
    assert_eq!((policy.k, policy.f, policy.lease_ms), (2, 0, 1500));
    assert_eq!(policy.mode.name(), "lease");
    assert_eq!(genesis.manifest.custodian_threshold, Some(2));
    assert_eq!(genesis.manifest.witnesses.len(), 3);
    let record = std::fs::read_to_string(out.join("record.txt")).unwrap();
    assert!(
        record.contains("2 of 3 must agree, freshness lease"),
        "{record}"
    );
}

#[test]
fn secrets_are_readable_by_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let out = ceremony(folder.path(), "1", "1");
    let mode = |name: &str| {
        let metadata = std::fs::metadata(out.join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    for secret in [
        "officer-1.key.pem",
        "officer-1.share.json",
        "emulated/root.key",
    ] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    assert_eq!(mode(""), 0o700);
}

#[test]
fn an_existing_ceremony_is_never_touched() {
    let folder = tempfile::tempdir().unwrap();
    let out = ceremony(folder.path(), "1", "1");
    let before = std::fs::read(out.join("officer-1.key.pem")).unwrap();
    let enclave = folder.path().join("enclave");
    let error = no(&[
        "genesis",
        "init",
        "--out",
        text(&out),
        "--name",
        "again",
        "--emulated",
        "--enclave-bin",
        text(&enclave),
    ]);
    assert!(error.contains("never overwritten"), "{error}");
    assert_eq!(
        std::fs::read(out.join("officer-1.key.pem")).unwrap(),
        before
    );
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 3, "no draft is left behind");
}

#[test]
fn a_failed_ceremony_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("genesis");
    let error = no(&[
        "genesis",
        "init",
        "--out",
        text(&out),
        "--name",
        "x",
        "--emulated",
        "--enclave-bin",
        "/nonexistent/enclave",
    ]);
    assert!(error.contains("/nonexistent/enclave"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_emulated_machine_is_founded_on_an_images_measurements_and_names_no_root() {
    let folder = tempfile::tempdir().unwrap();
    let pcrs = folder.path().join("pcrs.json");
    let value = "ab".repeat(48);
    std::fs::write(&pcrs, format!("{{\"PCR0\":\"{value}\"}}")).unwrap();
    let out = folder.path().join("genesis");
    let init = "genesis init --name x --emulated-machine --out";
    let mut args: Vec<&str> = init.split(' ').collect();
    args.push(text(&out));
    let usage = |args: &[&str]| redoubt(args).status.code();
    assert_eq!(usage(&args), Some(2), "an image must be measured");
    args.extend(["--enclave-pcrs", text(&pcrs)]);
    let both = [&args[..], &["--emulated", "--enclave-bin", "x"]].concat();
    assert_eq!(
        usage(&both),
        Some(2),
        "it is one kind of emulation or the other"
    );
    yes(&args);
    let genesis = Genesis::verify(&std::fs::read(out.join("genesis.json")).unwrap()).unwrap();
    let manifest = &genesis.manifest;
    assert_eq!(manifest.environment, Environment::Emulated);
    assert_eq!(manifest.vendor_roots.len(), 1);
    assert_eq!(manifest.vendor_roots[0].kind, RootKind::NitroUnsigned);
    assert_eq!(manifest.measurements[0].pcrs[&0], value);
    let record = std::fs::read_to_string(out.join("record.txt")).unwrap();
    assert!(record.contains("signed by nobody"), "{record}");
    assert!(!out.join("emulated").exists());
}

#[test]
fn a_hardware_manifest_takes_measurements_of_images_only() {
    let folder = tempfile::tempdir().unwrap();
    let pcrs = folder.path().join("pcrs.json");
    let value = "ab".repeat(48);
    let json = format!("{{\"Measurements\":{{\"HashAlgorithm\":\"x\",\"PCR0\":\"{value}\"}}}}");
    std::fs::write(&pcrs, json).unwrap();
    let out = folder.path().join("genesis");
    yes(&[
        "genesis",
        "init",
        "--out",
        text(&out),
        "--name",
        "x",
        "--enclave-pcrs",
        text(&pcrs),
    ]);
    let genesis = Genesis::verify(&std::fs::read(out.join("genesis.json")).unwrap()).unwrap();
    assert_eq!(genesis.manifest.environment.name(), "hardware");
    assert_eq!(genesis.manifest.measurements[0].pcrs[&0], value);
    assert!(!out.join("emulated").exists());
}

#[test]
fn both_images_are_allowed_as_the_repository_measures_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("measurements.json");
    let value = |digit: &str| digit.repeat(96);
    let image = |digit| serde_json::json!({ "measurements": { "pcr0": value(digit) } });
    let json = serde_json::json!({ "image": image("a"), "worker": image("b"), "inputs": {} });
    std::fs::write(&file, json.to_string()).unwrap();
    let out = folder.path().join("genesis");
    let pcrs = text(&file);
    let init = ["genesis", "init", "--name", "x", "--out", text(&out)];
    yes(&[&init[..], &["--enclave-pcrs", pcrs, "--worker-pcrs", pcrs]].concat());
    let genesis = Genesis::verify(&std::fs::read(out.join("genesis.json")).unwrap()).unwrap();
    let measured = genesis.manifest.measurements.iter();
    let measured: Vec<_> = measured
        .map(|entry| (entry.role, entry.tier, entry.pcrs[&0].clone()))
        .collect();
    let wanted = [
        (MeasuredRole::Enclave, Tier::Enclave, value("a")),
        (MeasuredRole::Worker, Tier::Enclave, value("b")),
    ];
    assert_eq!(measured, wanted);
}

#[test]
fn a_configuration_passes_from_officer_to_officer_until_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let out = ceremony(folder.path(), "2", "3");
    let genesis_path = out.join("genesis.json");
    let credentials = folder.path().join("credentials");
    yes(&[
        "dev-credentials",
        "--out",
        text(&credentials),
        "--genesis",
        text(&genesis_path),
    ]);
    let genesis = Genesis::verify(&std::fs::read(&genesis_path).unwrap()).unwrap();
    let sign = |config: &Path, officer: u8, out_file: &Path| {
        let key = out.join(format!("officer-{officer}.key.pem"));
        yes(&[
            "config",
            "sign",
            "--genesis",
            text(&genesis_path),
            "--config",
            text(config),
            "--officer-key",
            text(&key),
            "--out",
            text(out_file),
        ])
    };
    let (half, whole) = (
        folder.path().join("half.json"),
        folder.path().join("config.json"),
    );
    let first = sign(&credentials.join("config.plain.json"), 3, &half);
    assert_eq!(first["signatures_missing"], 1);
    assert!(Config::verify(&std::fs::read(&half).unwrap(), &genesis).is_err());
    let second = sign(&half, 1, &whole);
    assert_eq!(second["signatures_missing"], 0);
    let config = Config::verify(&std::fs::read(&whole).unwrap(), &genesis)
        .unwrap()
        .config;
    assert_eq!(config.tenants.len(), 2);
    assert_eq!(config.tenants[0].rp.id, "localhost");

    let key = out.join("officer-1.key.pem");
    let again = no(&[
        "config",
        "sign",
        "--genesis",
        text(&genesis_path),
        "--config",
        text(&whole),
        "--officer-key",
        text(&key),
        "--out",
        text(&half),
    ]);
    assert!(again.contains("signed more than once"), "{again}");
}

#[test]
fn an_appraisal_policy_passes_from_officer_to_officer_until_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let out = ceremony(folder.path(), "2", "3");
    let genesis = out.join("genesis.json");
    let verified = Genesis::verify(&std::fs::read(&genesis).unwrap()).unwrap();
    let image = &verified.manifest.measurements[0].pcrs[&0];
    let write = |name: &str, withdrawn: &str| {
        let policy = serde_json::json!({
            "type": "redoubt/appraisal-policy/v1", "genesis": verified.digest, "counter": 1,
            "not_after_ms": u64::MAX, "max_age_ms": 60_000, "withdrawn": [withdrawn],
        });
        let path = folder.path().join(name);
        std::fs::write(&path, policy.to_string()).unwrap();
        path
    };
    let signed = folder.path().join("signed.json");
    let sign = |policy: &Path, officer: u8| {
        let key = out.join(format!("officer-{officer}.key.pem"));
        [
            "policy",
            "sign",
            "--genesis",
            text(&genesis),
            "--policy",
            text(policy),
        ]
        .into_iter()
        .chain(["--officer-key", text(&key), "--out", text(&signed)])
        .map(str::to_owned)
        .collect::<Vec<_>>()
    };
    let run = |args: Vec<String>| yes(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let first = run(sign(&write("plain.json", image), 1));
    assert_eq!(first["signatures_missing"], 1);
    assert_eq!(run(sign(&signed, 3))["signatures_missing"], 0);
    let bytes = std::fs::read(&signed).unwrap();
    AppraisalPolicy::verify(&bytes, &verified).unwrap();
    // An image that the manifest never allowed is a slip of the pen.
    let args = sign(&write("slip.json", &"00".repeat(48)), 1);
    let error = no(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(error.contains("lists no image"), "{error}");
}

#[test]
fn a_stranger_cannot_sign_and_another_appliances_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = ceremony(folder.path(), "1", "1");
    let genesis = out.join("genesis.json");
    let credentials = folder.path().join("credentials");
    yes(&[
        "dev-credentials",
        "--out",
        text(&credentials),
        "--genesis",
        text(&genesis),
    ]);
    let plain = credentials.join("config.plain.json");
    let stranger = folder.path().join("stranger.pem");
    let key = Es256Signer::generate(&SystemEntropy)
        .unwrap()
        .expose_pkcs8_pem()
        .unwrap();
    std::fs::write(&stranger, key.as_bytes()).unwrap();
    let target = folder.path().join("config.json");
    let sign = |config: &Path, key: &Path| {
        no(&[
            "config",
            "sign",
            "--genesis",
            text(&genesis),
            "--config",
            text(config),
            "--officer-key",
            text(key),
            "--out",
            text(&target),
        ])
    };
    let error = sign(&plain, &stranger);
    assert!(error.contains("no officer of this genesis"), "{error}");
    let text_of = std::fs::read_to_string(&plain).unwrap();
    let mut other: Value = serde_json::from_str(&text_of).unwrap();
    other["genesis"] = "0".repeat(64).into();
    let other_path = folder.path().join("other.json");
    std::fs::write(&other_path, other.to_string()).unwrap();
    let error = sign(&other_path, &out.join("officer-1.key.pem"));
    assert!(error.contains("this manifest has digest"), "{error}");
    other["surprise"] = 1.into();
    std::fs::write(&other_path, other.to_string()).unwrap();
    let error = sign(&other_path, &out.join("officer-1.key.pem"));
    assert!(error.contains("surprise"), "{error}");
    assert!(!target.exists());
}

#[test]
fn development_credentials_verify_under_their_own_anchor() {
    let folder = tempfile::tempdir().unwrap();
    let out = ceremony(folder.path(), "1", "1");
    let credentials = folder.path().join("credentials");
    let made = yes(&[
        "dev-credentials",
        "--out",
        text(&credentials),
        "--genesis",
        text(&out.join("genesis.json")),
        "--tenants",
        "a,b",
    ]);
    assert!(
        made["warning"]
            .as_str()
            .unwrap()
            .contains("development only")
    );
    for name in ["a", "b", "auditor", "officer", "operator"] {
        let dir = credentials.join(name);
        let verified = Command::new("openssl")
            .args(["verify", "-purpose", "sslclient", "-CAfile"])
            .arg(dir.join("anchor.pem"))
            .arg(dir.join("cert.pem"))
            .output();
        match verified {
            Ok(output) => assert!(output.status.success(), "{name}: {output:?}"),
            Err(_) => println!("skipped: chain of {name}: openssl is not installed"),
        }
    }
    let error = no(&[
        "dev-credentials",
        "--out",
        text(&credentials),
        "--genesis",
        text(&out.join("genesis.json")),
    ]);
    assert!(error.contains("exists"), "{error}");
}

#[test]
fn measure_prints_what_the_attester_would_claim() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::write(&program, b"bytes").unwrap();
    let measured = yes(&["measure", text(&program)]);
    assert_eq!(measured["pcrs"]["0"], hex::encode(&measure(b"bytes").0[&0]));
    assert_eq!(measured["pcrs"].as_object().unwrap().len(), 3);
}

#[test]
fn status_follows_the_hosts_page() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        for status in ["200 OK", "503 Service Unavailable"] {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            let body = r#"{"status":"x","enclave":{"phase":"serving"},"store":{"state":"failing","detail":"disk full"}}"#;
            write!(stream, "HTTP/1.1 {status}\r\n\r\n{body}").unwrap();
        }
    });
    assert_eq!(
        yes(&["status", &format!("http://{address}/")])["health"]["enclave"]["phase"],
        "serving"
    );
    let output = redoubt(&["status", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("disk full")
    );
    server.join().unwrap();
    assert!(no(&["status", &address]).contains("does not answer"));
}

#[test]
fn wrong_usage_is_told_apart_from_no() {
    for args in [
        &["genesis", "init"][..],
        &["config", "sign", "--config", "x"],
        &["nonsense"],
        &[
            "genesis",
            "init",
            "--out",
            "x",
            "--name",
            "x",
            "--officers",
            "0",
        ],
    ] {
        assert_eq!(redoubt(args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(redoubt(&["--help"]).status.code(), Some(0));
}
