//! Genesis and configuration: two tenants, an auditor, an officer, an operator.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redoubt_bank::dev::Identity;
use redoubt_bank::tls::ClientPem;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Appliance;
use crate::pki::{self, Authority};
use crate::process::run_ok;

/// One tenant: its authority and one client of it.
pub struct Tenant {
    /// Tenant id.
    pub id: &'static str,
    /// Issues its clients.
    pub authority: Authority,
    /// A client certificate.
    pub pem: ClientPem,
    /// The same as files.
    pub files: Identity,
    /// Relying party id.
    pub rp_id: &'static str,
    /// Origin of its login page.
    pub origin: &'static str,
    /// Origin of its approval page.
    pub approval_origin: &'static str,
}

/// Every role with an anchor of its own.
pub struct Banks {
    /// First tenant.
    pub a: Tenant,
    /// Second tenant.
    pub b: Tenant,
    /// The auditor's client and anchor.
    pub auditor: (Authority, ClientPem),
    /// The officer's client and anchor.
    pub officer: (Authority, ClientPem),
    /// The operator's client and anchor.
    pub operator: (Authority, ClientPem),
}

impl Banks {
    /// Fresh authorities and clients, written below `dir`.
    pub fn new(dir: &Path) -> Result<Self> {
        let role = |name: &str| -> Result<(Authority, ClientPem)> {
            let authority = Authority::new(&format!("{name} CA"))?;
            let client = authority.client(name, &[&format!("{name}.example")])?;
            Ok((authority, client))
        };
        Ok(Self {
            a: Tenant::new(
                dir,
                "bank-a",
                [
                    "bank-a.example",
                    "https://login.bank-a.example",
                    "https://approve.bank-a.example",
                ],
            )?,
            b: Tenant::new(
                dir,
                "bank-b",
                [
                    "bank-b.example",
                    "https://login.bank-b.example",
                    "https://approve.bank-b.example",
                ],
            )?,
            auditor: role("auditor")?,
            officer: role("officer")?,
            operator: role("operator")?,
        })
    }
}

impl Tenant {
    fn new(dir: &Path, id: &'static str, sites: [&'static str; 3]) -> Result<Self> {
        let authority = Authority::new(&format!("{id} CA"))?;
        let pem = authority.client(
            &format!("{id} gateway"),
            &[&format!("gateway.{}", sites[0])],
        )?;
        let files = pki::write(dir, id, &pem)?;
        let [rp_id, origin, approval_origin] = sites;
        Ok(Self {
            id,
            authority,
            pem,
            files,
            rp_id,
            origin,
            approval_origin,
        })
    }

    fn plain(&self, ledger: &str) -> Value {
        json!({
            "id": self.id,
            "name": self.id,
            "anchor": self.authority.anchor,
            "ledger": ledger,
            "rp": {
                "id": self.rp_id,
                "name": self.id,
                "origins": [self.origin],
                "approval_origins": [self.approval_origin],
            },
            "roles": [],
            "default_role": "bank",
        })
    }
}

impl Appliance {
    pub(super) fn make_genesis(&self, ceremony: &[OsString]) -> Result<()> {
        run_ok(
            Command::new(self.program("redoubt"))
                .args(["genesis", "init", "--name", "e2e"])
                .args(["--officers", "1", "--threshold", "1"])
                .args(ceremony)
                .arg("--out")
                .arg(self.genesis_dir())
                .args(self.measured()),
        )?;
        std::fs::copy(
            self.genesis_dir().join("genesis.json"),
            self.boot_dir().join("genesis.json"),
        )?;
        Ok(())
    }

    /// What the officers measure: an image, or the programs.
    fn measured(&self) -> Vec<OsString> {
        if let Some(machine) = &self.options.machine {
            return machine.ceremony();
        }
        vec![
            "--emulated".into(),
            "--enclave-bin".into(),
            self.program("redoubt-enclave").into(),
            "--worker-bin".into(),
            self.program("redoubt-worker").into(),
        ]
    }

    pub(super) fn sign_config(&self) -> Result<()> {
        let genesis = self.genesis_dir().join("genesis.json");
        let plain = self.dir().join("config.plain.json");
        let payload = serde_json::to_vec_pretty(&self.plain_config(&genesis)?)?;
        std::fs::write(&plain, payload)?;
        self.sign(&plain)
    }

    /// The officer signs a configuration, which the next boot gets.
    pub fn sign(&self, plain: &Path) -> Result<()> {
        run_ok(
            Command::new(self.program("redoubt"))
                .args(["config", "sign", "--genesis"])
                .arg(self.genesis_dir().join("genesis.json"))
                .arg("--config")
                .arg(plain)
                .arg("--officer-key")
                .arg(self.genesis_dir().join("officer-1.key.pem"))
                .arg("--out")
                .arg(self.boot_dir().join("config.json")),
        )?;
        Ok(())
    }

    fn plain_config(&self, genesis: &Path) -> Result<Value> {
        let signed: Value = serde_json::from_slice(&std::fs::read(genesis)?)?;
        let payload = signed["payload"].as_str().context("genesis payload")?;
        let digest = Sha256::digest(URL_SAFE_NO_PAD.decode(payload)?);
        let banks = &self.banks;
        let tier = match &self.options.machine {
            Some(_) => "enclave",
            None => "process",
        };
        let mut first = banks.a.plain(&random_ledger());
        if let Some(policy) = &self.options.passkeys {
            first["passkeys"] = policy.clone();
        }
        if let Some(signers) = &self.options.policy_signers {
            first["policy_signers"] = signers.clone();
        }
        Ok(json!({
            "type": "redoubt/config/v1",
            "genesis": hex::encode(digest),
            "counter": 1,
            "server_names": ["localhost", "127.0.0.1"],
            "anchors": {
                "auditor": banks.auditor.0.anchor,
                "officer": banks.officer.0.anchor,
                "operator": banks.operator.0.anchor,
            },
            "tenants": [first, banks.b.plain(&random_ledger())],
            "appliance_ledger": random_ledger(),
            "policy": {
                "face_false_matches_per_million": 100,
                "max_failed_attempts": 3,
                "lockout_minutes": 30,
                "accepted_tiers": [tier],
                "enrollment_minutes": 30,
                "challenge_seconds": 300,
                "approval_seconds": 300,
            },
        }))
    }
}

fn random_ledger() -> String {
    let name = format!(
        "{}{}",
        redoubt_bank::random_name("x"),
        redoubt_bank::random_name("y")
    );
    hex::encode(&Sha256::digest(name)[..16])
}
