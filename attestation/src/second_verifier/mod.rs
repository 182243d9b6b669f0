//! `verify-py/verify.py` against this crate: another language, other libraries,
//! the same verdict under the same name, for good evidence and for bad.
//!
//! Needs a Python with `cryptography` (`REDOUBT_PYTHON`; `cargo xtask test` makes one).

mod documents;
mod receipts;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::artefact::tests::court::Court;
use crate::genesis::ClientPolicy;

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
