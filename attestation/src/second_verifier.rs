//! `verify-py/verify.py` against this crate: another language, other libraries,
//! the same verdict under the same name, for good evidence and for bad.
//!
//! Needs a Python with `cryptography` (`REDOUBT_PYTHON`; `cargo xtask test` makes one).

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::artefact::tests::court::Court;
use crate::artefact::tests::fresh::{Watched, anchor};
use crate::artefact::{Trust, verify_artefact, verify_receipt};
use crate::document::tests::{chains, parsing};
use crate::document::{Time, VendorRoot, verify};
use crate::genesis::{ClientPolicy, RootKind, WitnessMode};
use crate::ledger::{Checkpoint, Receipt};

/// The other verifier, and a folder for what it reads.
struct Second {
    python: String,
    folder: tempfile::TempDir,
}

impl Second {
    fn find(test: &str) -> Option<Self> {
        let Ok(python) = std::env::var("REDOUBT_PYTHON") else {
            println!("skipped: {test}: REDOUBT_PYTHON is not set");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        Some(Self { python, folder })
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn root(&self, der: &[u8]) -> PathBuf {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        self.put("root.pem", pem.as_bytes())
    }

    fn policy(&self, court: &Court) -> PathBuf {
        let policy = ClientPolicy::pin(&court.bench.genesis);
        self.put("policy.json", &policy.to_json())
    }

    /// One report per file, in their order.
    fn reports(&self, files: &[PathBuf], options: &[(&str, &Path)]) -> Vec<Value> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/verify-py/verify.py");
        let mut command = Command::new(&self.python);
        command.arg(script).arg("--json").args(files);
        for (option, value) in options {
            command.arg(option).arg(value);
        }
        let out = command.output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let reports: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let error = String::from_utf8_lossy(&out.stderr);
        assert_eq!(reports.len(), files.len(), "{error}");
        let all_well = reports.iter().all(|report| report["ok"] == true);
        assert_eq!(out.status.code(), Some(i32::from(!all_well)), "{error}");
        reports
    }

    /// The verdicts' names, `accepted` for a yes.
    fn verdicts(&self, bytes: &[Vec<u8>], options: &[(&str, &Path)]) -> Vec<String> {
        let put = |(at, bytes): (usize, &Vec<u8>)| self.put(&format!("{at}"), bytes);
        let files: Vec<PathBuf> = bytes.iter().enumerate().map(put).collect();
        let name = |report: Value| report["code"].as_str().unwrap_or("accepted").to_owned();
        self.reports(&files, options)
            .into_iter()
            .map(name)
            .collect()
    }
}

fn first(bytes: &[u8], root: &VendorRoot, at: Time) -> &'static str {
    verify(bytes, root, at).map_or_else(|refusal| refusal.code(), |_| "accepted")
}

#[test]
fn malformed_documents_are_refused_under_the_same_names() {
    let Some(second) = Second::find("malformed_documents_are_refused_under_the_same_names") else {
        return;
    };
    let cases = parsing::recorded();
    let bytes: Vec<Vec<u8>> = cases.iter().map(|(bytes, _)| bytes.clone()).collect();
    let kind = ("--kind", Path::new("document"));
    let verdicts = second.verdicts(&bytes, &[kind]);
    for (at, (theirs, (bytes, expected))) in verdicts.iter().zip(&cases).enumerate() {
        let ours = first(bytes, &VendorRoot::aws_nitro(), Time::OfDocument);
        assert_eq!((theirs.as_str(), ours), (*expected, *expected), "case {at}");
    }
}

#[test]
fn certification_paths_get_the_same_verdicts() {
    let Some(second) = Second::find("certification_paths_get_the_same_verdicts") else {
        return;
    };
    for (at, (bytes, root, expected)) in chains::recorded().into_iter().enumerate() {
        let root = second.root(&root);
        let verdicts = second.verdicts(&[bytes], &[("--root", &root)]);
        assert_eq!(verdicts, [expected], "case {at}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_by_both() {
    let Some(second) = Second::find("a_flipped_bit_anywhere_is_refused_by_both") else {
        return;
    };
    let court = Court::new();
    let good = court.evidence.0.clone();
    let pin = VendorRoot::from_pem(RootKind::NitroEmulated, &court.bench.root.0).unwrap();
    let root = second.put("root.pem", court.bench.root.0.as_bytes());
    let bent = (0..good.len()).step_by(3).map(|at| {
        let mut bent = good.clone();
        bent[at] ^= 1 << (at % 8);
        bent
    });
    let documents: Vec<Vec<u8>> = std::iter::once(good.clone()).chain(bent).collect();
    let verdicts = second.verdicts(&documents, &[("--root", &root)]);
    assert_eq!(verdicts[0], "accepted");
    for (bytes, theirs) in documents.iter().zip(&verdicts).skip(1) {
        assert_ne!(theirs, "accepted");
        assert_ne!(first(bytes, &pin, Time::OfDocument), "accepted");
    }
    // Half a day later, and a day before.
    let made = verify(&good, &pin, Time::OfDocument).unwrap().document;
    for (shift, expected) in [
        (43_200, "certificate_expired"),
        (-86_400, "certificate_not_yet_valid"),
    ] {
        let seconds = (made.timestamp_ms / 1000).saturating_add_signed(shift);
        assert_eq!(first(&good, &pin, Time::At(seconds * 1000)), expected);
        let at = seconds.to_string();
        let options = [("--root", root.as_path()), ("--at", Path::new(&at))];
        assert_eq!(second.verdicts(&documents[..1], &options), [expected]);
    }
}

/// Claims changed by a lying enclave, and artefacts changed by anybody.
fn bent_artefacts(court: &Court) -> Vec<Value> {
    let text = |value: &'static str| Value::from(value);
    let zero = "00".repeat(32);
    let changes: Vec<(&str, Value)> = vec![
        ("/transaction/amount", text("250.01")),
        ("/challenge_input/domain", text("x")),
        ("/challenge_input/purpose", text("login")),
        ("/challenge_input/tenant", text("bank-b")),
        ("/challenge_input/user_id", text("customer-2")),
        ("/challenge_input/rp_id", text("evil.example")),
        ("/challenge_input/expires_ms", 2001.into()),
        ("/time_ms", 2001.into()),
        ("/challenge", crate::encode::b64u(&[1; 32]).into()),
        ("/config", zero.clone().into()),
        ("/policy", zero.clone().into()),
        ("/models", zero.clone().into()),
        ("/document", zero.into()),
        ("/environment", text("hardware")),
        ("/tenant", text("bank-b")),
        ("/type", text("verification")),
        ("/decision", text("refused")),
        ("/freshness", text("strict")),
        ("/tenant_key_es256", text("x")),
        ("/assertion/origin", text("https://evil.example")),
        ("/assertion/sign_count", 8.into()),
        ("/assertion/user_verified", false.into()),
        ("/assertion/signature", text("AAAA")),
        ("/assertion/public_key_cose", text("oA")),
        ("/assertion/authenticator_data", text("AAAA")),
        ("/assertion/client_data_json", text("e30")),
    ];
    let lies = changes.into_iter().map(|(pointer, value)| {
        let mut claims = court.claims();
        *claims.pointer_mut(pointer).unwrap() = value;
        serde_json::to_value(court.artefact(&claims)).unwrap()
    });
    let good = serde_json::to_value(court.artefact(&court.claims())).unwrap();
    let edits: Vec<(&str, Value)> = vec![
        ("/payload", text("e30")),
        (
            "/signatures/0/signature",
            good["signatures"][2]["signature"].clone(),
        ),
        (
            "/signatures/1/signature",
            good["signatures"][3]["signature"].clone(),
        ),
        (
            "/signatures/2/protected",
            good["signatures"][0]["protected"].clone(),
        ),
        ("/signatures/3/protected", text("e30")),
        ("/signatures", Value::Array(vec![])),
        ("/tenant_keys/0/x", crate::encode::b64u(&[1; 32]).into()),
        ("/receipt/salt", crate::encode::b64u(&[7; 32]).into()),
        ("/receipt/event_index", 1.into()),
        ("/receipt/event_count", 2.into()),
        ("/receipt/tree_size", 2.into()),
        ("/receipt/header", text("00")),
        ("/receipt/type", text("redoubt/receipt/v2")),
        ("/receipt/checkpoint", text("no note")),
        ("/receipt/evidence", Value::Array(vec![])),
        ("/receipt/evidence/0/preimage", text("e30")),
        ("/receipt/evidence/0/document", text("AAAA")),
    ];
    let edited = edits.into_iter().map(|(pointer, value)| {
        let mut bent = good.clone();
        *bent.pointer_mut(pointer).unwrap() = value;
        bent
    });
    let first = good.clone();
    std::iter::once(first).chain(lies).chain(edited).collect()
}

#[test]
fn artefacts_and_lies_get_the_same_verdicts() {
    let Some(second) = Second::find("artefacts_and_lies_get_the_same_verdicts") else {
        return;
    };
    let court = Court::new();
    let policy = second.policy(&court);
    let trust = Trust::from_policy(&std::fs::read(&policy).unwrap()).unwrap();
    let cases: Vec<Vec<u8>> = bent_artefacts(&court)
        .iter()
        .map(|artefact| serde_json::to_vec(artefact).unwrap())
        .collect();
    let ours: Vec<&str> = cases
        .iter()
        .map(|bytes| verify_artefact(bytes, &trust).map_or_else(|r| r.code(), |_| "accepted"))
        .collect();
    assert_eq!(ours.iter().filter(|code| **code == "accepted").count(), 1);
    let theirs = second.verdicts(&cases, &[("--policy", &policy)]);
    for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "case {at}");
    }
}

fn receipts(second: &Second, court: &Court, cases: &[Receipt]) {
    let policy = second.policy(court);
    let trust = Trust::from_policy(&std::fs::read(&policy).unwrap()).unwrap();
    let bytes: Vec<Vec<u8>> = cases
        .iter()
        .map(|r| serde_json::to_vec(r).unwrap())
        .collect();
    let theirs = second.verdicts(&bytes, &[("--policy", &policy)]);
    for (at, (receipt, theirs)) in cases.iter().zip(&theirs).enumerate() {
        let ours = verify_receipt(receipt, &trust).map_or_else(|r| r.code(), |_| "accepted");
        assert_eq!(ours, theirs, "case {at}");
    }
}

#[test]
fn anchors_and_cosignatures_get_the_same_verdicts() {
    let Some(second) = Second::find("anchors_and_cosignatures_get_the_same_verdicts") else {
        return;
    };
    let watched = Watched::new(WitnessMode::Lease);
    let good = watched.receipt("lease", Some(2000), &[0, 2]);
    let bend = |change: &dyn Fn(&mut crate::ledger::anchor::Anchor)| {
        let mut bent = good.clone();
        change(bent.anchor.as_mut().unwrap());
        bent
    };
    let stranger = Watched::new(WitnessMode::Lease).receipt("lease", Some(2000), &[0, 2]);
    let cases = [
        good.clone(),
        watched.receipt("lease", Some(2000), &[0, 1, 2]),
        watched.receipt("lease", Some(2000), &[1, 1]),
        watched.receipt("lease", Some(2001), &[0, 2]),
        watched.receipt("lease", None, &[0, 2]),
        watched.receipt("strict", Some(0), &[0, 2]),
        Receipt {
            anchor: None,
            ..good.clone()
        },
        Receipt {
            anchor: stranger.anchor.clone(),
            ..good.clone()
        },
        stranger,
        bend(&|a| a.event = "AgE".into()),
        bend(&|a| a.salt = crate::encode::b64u(&[7; 32])),
        bend(&|a| a.event_index = 0),
        bend(&|a| a.tree_size = 4),
        bend(&|a| a.leaf_path.clear()),
        bend(&|a| a.event_path.push("00".repeat(32))),
        bend(&|a| a.header.replace_range(0..2, "02")),
        bend(&|a| a.checkpoint = a.checkpoint.replace("\n5\n", "\n6\n")),
        bend(&|a| a.checkpoint.truncate(a.checkpoint.len() - 1)),
    ];
    receipts(&second, &watched.court, &cases);
    let alone = Court::new();
    let mut anchored = alone.receipt(&alone.common().to_string());
    let bare = anchored.clone();
    anchored.anchor = Some(anchor(&alone, &anchored, |_| vec![]));
    receipts(&second, &alone, &[bare, anchored]);
}

#[test]
fn checkpoints_get_the_same_verdicts() {
    let Some(second) = Second::find("checkpoints_get_the_same_verdicts") else {
        return;
    };
    let court = Court::new();
    let receipt = court.receipt(&court.common().to_string());
    let other = Court::new();
    let note = receipt.checkpoint.clone();
    let (body, lines) = note.split_once("\n\n").unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    let unbound = Checkpoint {
        ledger: "ab".repeat(16).parse().unwrap(),
        size: 1,
        root: [1; 32],
    };
    let forged = other.receipt(&other.common().to_string()).checkpoint;
    let forged = forged.split_once("\n\n").unwrap().1;
    let cases = [
        note.clone(),
        format!("{body}\n\n{}\n", lines[0]),
        format!("{body}\n\n{}\n{}\n", lines[1], lines[0]),
        format!("{body}\n\n{}\n", lines[1]),
        format!("{body}\n\n{forged}"),
        format!("{body}\n\n{}{}\n", forged, lines[0]),
        note.replace("\n1\n", "\n2\n"),
        note.replace("\n1\n", "\n01\n"),
        note.replace("\n1\n", "\n+1\n"),
        note.replace("\u{2014} ", "- "),
        note.trim_end().to_owned(),
        note.replacen("\n\n", "\n", 1),
        note.replacen("redoubt.example/ledger/", "redoubt.example/ledger/0", 1),
        format!("{body}\nmore\n\n{}\n", lines[0]),
        format!("{body}\n\n{}AAAA\n", lines[0]),
        court.bench.note(&unbound),
        String::new(),
    ];
    let trust = court.trust();
    let kept = crate::artefact::KeptDocument::try_from(&receipt.evidence[0]).unwrap();
    let boot = trust.boot(&kept).unwrap();
    let evidence = second.put("evidence.json", &serde_json::to_vec(&receipt).unwrap());
    let policy = second.policy(&court);
    let options = [
        ("--policy", policy.as_path()),
        ("--evidence", &evidence),
        ("--kind", Path::new("checkpoint")),
    ];
    let bytes: Vec<Vec<u8>> = cases.iter().map(|note| note.as_bytes().to_vec()).collect();
    let theirs = second.verdicts(&bytes, &options);
    for (at, (note, theirs)) in cases.iter().zip(&theirs).enumerate() {
        let ours = boot
            .open(note)
            .map_or_else(|error| error.code(), |_| "accepted");
        assert_eq!(ours, theirs, "case {at}");
    }
    // The same note under the boot's key alone proves less, and says so.
    let key = verifier_key(&court);
    let options = [("--key", Path::new(&key))];
    let report = &second.reports(&[second.put("note", note.as_bytes())], &options)[0];
    assert_eq!(report["ok"], true);
    assert!(
        report["unverified"][0]
            .as_str()
            .unwrap()
            .contains("evidence")
    );
}

/// The boot's checkpoint key as C2SP writes it.
fn verifier_key(court: &Court) -> String {
    use base64::Engine as _;
    let name = crate::ledger::checkpoint::origin(crate::testkit::Bench::ledger());
    let public = court.bench.checkpoints.jwk().as_bytes();
    let id = crate::encode::sha256(&[name.as_bytes(), b"\n\x01", public]);
    let data = [&[1], &public[..]].concat();
    let encoded = base64::engine::general_purpose::STANDARD.encode(data);
    format!("{name}+{}+{encoded}", hex::encode(&id.0[..4]))
}

#[test]
fn what_the_second_verifier_cannot_judge_it_calls_unverified() {
    let test = "what_the_second_verifier_cannot_judge_it_calls_unverified";
    let Some(second) = Second::find(test) else {
        return;
    };
    let court = Court::new();
    let artefact = court.artefact(&court.claims());
    let file = second.put("artefact", &serde_json::to_vec(&artefact).unwrap());
    // An installation without ML-DSA.
    let script = "import sys; sys.path.insert(0, sys.argv[1]); import verify; \
        from redoubt_verify import signatures; signatures.mldsa = None; \
        sys.exit(verify.main(sys.argv[2:]))";
    let out = Command::new(&second.python)
        .args([
            "-B",
            "-c",
            script,
            concat!(env!("CARGO_MANIFEST_DIR"), "/verify-py"),
        ])
        .arg(&file)
        .args(["--json", "--policy"])
        .arg(second.policy(&court))
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    let unverified = report["unverified"].as_array().unwrap();
    assert_eq!(
        unverified.len(),
        3,
        "a checkpoint's line and two signatures: {report}"
    );
    // Without a policy only the vendor's root is pinned.
    let root = second.put("root.pem", court.bench.root.0.as_bytes());
    let report = &second.reports(&[file], &[("--root", &root)])[0];
    assert_eq!(report["ok"], true, "{report}");
    let unverified = report["unverified"].to_string();
    assert!(unverified.contains("measurement") && unverified.contains("witnesses"));
}

#[test]
fn recorded_documents_get_the_same_verdicts() {
    let Some(second) = Second::find("recorded_documents_get_the_same_verdicts") else {
        return;
    };
    let Ok(vectors) = std::env::var("REDOUBT_VECTORS") else {
        println!("skipped: recorded_documents_get_the_same_verdicts: REDOUBT_VECTORS is not set");
        return;
    };
    let mut files = Vec::new();
    for folder in ["nitro", "nitro/negative"] {
        let entries = std::fs::read_dir(Path::new(&vectors).join(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        files.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "cose")));
    }
    assert!(files.len() >= 11);
    let late = "2032-01-01T00:00:00Z";
    let late_ms = 1_956_528_000_000;
    for (at, options) in [
        (Time::OfDocument, vec![]),
        (Time::At(late_ms), vec![("--at", Path::new(late))]),
    ] {
        let reports = second.reports(&files, &options);
        for (file, report) in files.iter().zip(&reports) {
            let ours = first(&std::fs::read(file).unwrap(), &VendorRoot::aws_nitro(), at);
            let theirs = report["code"].as_str().unwrap_or("accepted");
            assert_eq!(ours, theirs, "{}", file.display());
        }
    }
}
