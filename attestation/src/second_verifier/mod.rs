//! `verify-py/verify.py` against this crate: another language, other libraries,
//! the same verdict under the same name, for good evidence and for bad.
//!
//! Needs a Python with `cryptography` (`REDOUBT_PYTHON`; `cargo xtask test` makes one).

mod documents;
mod receipts;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::artefact::tests::court::Court;
use crate::genesis::ClientPolicy;
use crate::testkit::signed;

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

/// Neither a traceback nor the status of a no: nothing was judged.
#[test]
fn wrong_usage_and_unreadable_files_are_status_2() {
    let Some(second) = Second::find("wrong_usage_and_unreadable_files_are_status_2") else {
        return;
    };
    let court = Court::new();
    let put = |name: &str, bytes: &[u8]| second.put(name, bytes).display().to_string();
    let document = put("document", &court.evidence.0);
    let note = put("note", court.receipt("{}").checkpoint.as_bytes());
    let policy = second.policy(&court);
    let text = std::fs::read_to_string(&policy).unwrap();
    let policy = policy.display().to_string();
    let mut shapes: Vec<String> = ["", "[1]", "{}", "null", "\u{ff}", "{\"payload\":1}"]
        .iter()
        .enumerate()
        .map(|(at, text)| put(&format!("shape{at}"), text.as_bytes()))
        .collect();
    shapes.push(put("bytes", b"\xff\xfe"));
    shapes.push(put("deep", &[b'['; 100_000]));
    shapes.push(put("half", &text.as_bytes()[..text.len() / 2]));
    shapes.push(second.folder.path().display().to_string());
    shapes.push("/nonexistent".into());
    let mut cases: Vec<Vec<&str>> = vec![
        vec![],
        vec!["/nonexistent"],
        vec![second.folder.path().to_str().unwrap()],
        vec![&note],
        vec![&document, "--at", "yesterday"],
        vec![&document, "--at", "1969-12-31T00:00:00Z"],
        vec![&document, "--at", "2026-01-31T12:00:00"],
        vec![&document, "--kind", "poem"],
        vec![&note, "--key", "x"],
        vec![&note, "--key", "a+b+c"],
        vec![&document, "--policy", &policy, "--root", &policy],
    ];
    for shape in &shapes {
        cases.push(vec![&document, "--policy", shape]);
        cases.push(vec![&document, "--root", shape]);
        cases.push(vec![&note, "--evidence", shape]);
    }
    let mut manifest = bent_policies(&court);
    let (line, bent) = crate::artefact::tests::line::lines();
    manifest.extend(bent.iter().map(ClientPolicy::to_json));
    let line = second.put("line.json", &line.to_json());
    let line = second.reports(&[document.clone().into()], &[("--policy", &line)]);
    assert_eq!(line[0]["code"], "root_not_pinned", "{line:?}");
    let files: Vec<String> = manifest
        .iter()
        .enumerate()
        .map(|(at, policy)| put(&format!("policy{at}"), policy))
        .collect();
    cases.extend(
        files
            .iter()
            .map(|file| vec![&document[..], "--policy", file]),
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/verify-py/verify.py");
    for case in cases {
        let out = Command::new(&second.python)
            .arg(script)
            .args(&case)
            .output();
        let out = out.unwrap();
        let error = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{case:?}: {error}");
        assert!(!error.contains("Traceback"), "{case:?}: {error}");
        assert!(out.stdout.is_empty(), "{case:?}");
    }
}

/// Policies whose manifests have a member of the wrong type, whoever signed them.
fn bent_policies(court: &Court) -> Vec<Vec<u8>> {
    let officer = &court.bench.officers[0];
    let manifest = serde_json::to_value(&court.bench.genesis.manifest).unwrap();
    let wrong = [json!(null), json!(7.5), json!([1]), json!({"0": {}})];
    let bent = |member: &String, value: &Value| {
        let mut manifest = manifest.clone();
        manifest[member] = value.clone();
        let envelope: Value = serde_json::from_slice(&signed(&manifest, &[officer])).unwrap();
        let policy = json!({
            "type": "redoubt/client-policy/v1", "genesis": "00".repeat(32),
            "genesis_jws": envelope, "minimum_counter": 1, "allow_debug": false,
        });
        policy.to_string().into_bytes()
    };
    let members = manifest.as_object().unwrap().keys();
    members
        .flat_map(|member| wrong.iter().map(|value| bent(member, value)))
        .collect()
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
