//! A room for a ceremony: a folder with programs, keys and answers.
#![allow(dead_code, unreachable_pub)]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use redoubt_attestation::encode::sha256;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::sign::Ed25519Signer;
use serde_json::{Value, json};

pub struct Room {
    folder: tempfile::TempDir,
}

impl Room {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("enclave"), b"the enclave").unwrap();
        Self { folder }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.at(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.at(name), bytes).unwrap();
    }

    /// A private key of its own, as an officer brings it.
    pub fn key(&self, name: &str, kind: &'static rcgen::SignatureAlgorithm) {
        let key = rcgen::KeyPair::generate_for(kind).unwrap();
        self.write(name, key.serialize_pem().as_bytes());
    }

    /// An entry as a witness prints it.
    pub fn peer(&self, name: &str) {
        let key = Ed25519Signer::generate(&SystemEntropy).unwrap();
        let pin = sha256(&[name.as_bytes()]);
        let entry = json!({ "name": name, "key": key.jwk(), "tls_spki_sha256": pin });
        self.write(name, entry.to_string().as_bytes());
    }

    /// Two of two officers over a program, changed as `more` says; `null` leaves out.
    pub fn answers(&self, more: Value) -> String {
        let mut answers = json!({
            "name": "test", "environment": "emulated", "enclave": "enclave",
            "officers": 2, "threshold": 2,
        });
        for (name, value) in more.as_object().unwrap() {
            answers[name] = value.clone();
        }
        let answers = answers.as_object_mut().unwrap();
        answers.retain(|_, value| !value.is_null());
        let text = serde_json::to_vec(&answers).unwrap();
        self.write("answers.json", &text);
        "answers.json".into()
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redoubt"));
        command.current_dir(self.folder.path());
        command.args(line.split(' ')).arg("--json");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        command
    }

    pub fn run(&self, line: &str) -> Result<Value, String> {
        answer(&mut self.command(line))
    }

    pub fn hold(&self, more: Value) -> Result<Value, String> {
        let answers = self.answers(more);
        self.run(&format!("ceremony --out out --answers {answers}"))
    }
}

/// Runs a command that prints JSON.
pub fn answer(command: &mut Command) -> Result<Value, String> {
    let output = command.output().unwrap();
    let json: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    match output.status.code() {
        Some(0) => Ok(json),
        Some(1) => Err(json["error"].as_str().unwrap_or("no").to_owned()),
        other => panic!("{command:?}: {other:?}: {output:?}"),
    }
}
