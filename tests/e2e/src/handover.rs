//! The officers' side of a handover: orders, signatures, and carrying them out.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use redoubt_attestation::encode::from_b64u;
use redoubt_attestation::genesis::SignedFile;
use redoubt_attestation::sign::Es256Signer;
use redoubt_bank::{Bank, Reply};
use serde_json::{Value, json};

use crate::appliance::Appliance;
use crate::pki;
use crate::process::{run, run_ok};

/// The papers of one appliance's officer.
pub struct Papers {
    redoubt: PathBuf,
    genesis: PathBuf,
    /// The policy of the manifest in force.
    pub policy: PathBuf,
    /// The policy of the manifest that the giver was booted with, where it took over
    /// another since.
    pub before: Option<PathBuf>,
    boot: PathBuf,
    officer: redoubt_bank::dev::Identity,
    dir: PathBuf,
}

impl Papers {
    /// Papers that go into a folder.
    pub fn new(appliance: &Appliance, dir: &Path) -> Result<Self> {
        Ok(Self {
            redoubt: appliance.program("redoubt"),
            genesis: appliance.genesis_dir(),
            policy: appliance.policy(),
            before: None,
            boot: appliance.boot_dir(),
            officer: pki::write(dir, "officer", &appliance.banks.officer.1)?,
            dir: dir.to_path_buf(),
        })
    }

    /// `redoubt handover COMMAND` between two enclaves.
    fn command(&self, command: &str, from: &str, to: &str) -> Command {
        let mut redoubt = Command::new(&self.redoubt);
        redoubt.args(["handover", command, "--from", from, "--to", to]);
        redoubt.arg("--policy").arg(&self.policy);
        if let Some(before) = &self.before {
            redoubt.arg("--from-policy").arg(before);
        }
        redoubt
    }

    /// A plain order from one enclave to another.
    pub fn order(&self, from: &str, to: &str) -> Result<Value> {
        let plain = self.dir.join("order.plain.json");
        run_ok(self.command("order", from, to).arg("--out").arg(&plain))?;
        Ok(serde_json::from_slice(&std::fs::read(plain)?)?)
    }

    /// What the tool says instead of making an order.
    pub fn try_order(&self, from: &str, to: &str) -> Result<Value> {
        let mut command = self.command("order", from, to);
        command.arg("--out").arg(self.dir.join("tried.plain.json"));
        let output = run(command.arg("--json"))?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// An order as the officer's tool signs it.
    pub fn signed(&self, from: &str, to: &str) -> Result<PathBuf> {
        self.order(from, to)?;
        let signed = self.dir.join("order.json");
        let mut command = Command::new(&self.redoubt);
        command.args(["handover", "sign", "--order"]);
        command.arg(self.dir.join("order.plain.json"));
        command
            .arg("--genesis")
            .arg(self.genesis.join("genesis.json"));
        command.arg("--officer-key").arg(self.key_file());
        run_ok(command.arg("--out").arg(&signed))?;
        Ok(signed)
    }

    /// What the officer's tool says of the plain order made last, with more flags.
    pub fn try_sign(&self, more: &[&Path]) -> Result<Value> {
        let mut command = Command::new(&self.redoubt);
        command.args(["--json", "handover", "sign", "--order"]);
        command.arg(self.dir.join("order.plain.json"));
        command
            .arg("--genesis")
            .arg(self.genesis.join("genesis.json"));
        command.arg("--officer-key").arg(self.key_file()).args(more);
        let output = run(command.arg("--out").arg(self.dir.join("tried.json")))?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Any order under the officer's signature, whatever their tool would say.
    pub fn sign_blindly(&self, order: &Value) -> Result<Value> {
        let mut file = SignedFile::unsigned(&serde_json::to_vec(order)?);
        let key = Es256Signer::from_pkcs8_pem(&std::fs::read_to_string(self.key_file())?)?;
        file.sign("officer-1", &key)?;
        Ok(serde_json::from_slice(&file.to_json())?)
    }

    fn key_file(&self) -> PathBuf {
        self.genesis.join("officer-1.key.pem")
    }

    /// `redoubt handover run`.
    pub fn run(&self, from: &str, to: &str, signed: &Path) -> Command {
        let mut command = self.command("run", from, to);
        command.arg("--order").arg(signed);
        command.arg("--officer-cert").arg(&self.officer.cert);
        command.arg("--officer-key").arg(&self.officer.key);
        command
    }

    /// `redoubt halt COMMAND` about one enclave.
    fn halting(&self, command: &str, at: &str) -> Command {
        let mut redoubt = Command::new(&self.redoubt);
        redoubt.args(["halt", command, "--at", at]);
        redoubt.arg("--policy").arg(&self.policy);
        redoubt
    }

    /// The signed order that halts the enclave at an address.
    pub fn halt_order(&self, at: &str) -> Result<PathBuf> {
        let (plain, signed) = (self.dir.join("halt.plain.json"), self.dir.join("halt.json"));
        run_ok(self.halting("order", at).arg("--out").arg(&plain))?;
        let mut sign = Command::new(&self.redoubt);
        sign.args(["halt", "sign", "--order"]).arg(&plain);
        sign.arg("--genesis").arg(self.genesis.join("genesis.json"));
        sign.arg("--officer-key").arg(self.key_file());
        run_ok(sign.arg("--out").arg(&signed))?;
        Ok(signed)
    }

    /// `redoubt halt run`.
    pub fn halt(&self, at: &str, signed: &Path) -> Command {
        let mut run = self.halting("run", at);
        run.arg("--order").arg(signed);
        run.arg("--officer-cert").arg(&self.officer.cert);
        run.arg("--officer-key").arg(&self.officer.key);
        run
    }

    /// What the enclave at an address binds, as a stranger is told it.
    pub fn evidence(&self, url: &str) -> Result<Vec<u8>> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure"]);
        curl.arg(format!(
            "{url}/.well-known/attestation?nonce={}",
            "00".repeat(8)
        ));
        let reply: Value = serde_json::from_slice(&run_ok(&mut curl)?.stdout)?;
        let preimage = reply["preimage"].as_str().context("no preimage")?;
        Ok(from_b64u(preimage)?)
    }

    /// The request to the taker alone; the answer is printed.
    pub fn take(&self, url: &str, order: &Value) -> Command {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--insecure",
            "--header",
            "content-type: application/json",
        ]);
        curl.arg("--data")
            .arg(json!({ "order": order }).to_string());
        curl.arg("--cert").arg(&self.officer.cert);
        curl.arg("--key").arg(&self.officer.key);
        curl.arg(format!("{url}/api/v1/handover/take"));
        curl
    }

    /// The request to the giver alone, under an officer's certificate.
    pub async fn give(&self, officer: &Bank, signed: &Value) -> Result<Reply> {
        let config = std::fs::read(self.boot.join("config.json"))?;
        let config: Value = serde_json::from_slice(&config)?;
        let body = json!({ "order": signed, "config": config });
        officer
            .post("/api/v1/handover", &body)
            .await
            .context("the order")
    }
}

/// A signed order as the giver reads it.
pub fn read(signed: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(signed)?)?)
}
