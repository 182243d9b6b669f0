//! A tenant's own policy as its people sign and send it.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use redoubt_attestation::genesis::SignedFile;
use redoubt_attestation::sign::Es256Signer;
use redoubt_bank::client::whole;
use redoubt_bank::{Bank, BankError};
use serde_json::{Value, json};

use crate::{Appliance, Options};

/// Where bundles go.
pub const PATH: &str = "/api/v1/admin/policy";
/// The published example that asks for more, and its tests.
pub const STRICTER: [&str; 2] = [
    include_str!("../../../docs/policy/stricter.rego"),
    include_str!("../../../docs/policy/stricter_test.rego"),
];

/// Three people, of whom two sign.
pub struct Signers(Vec<(String, Es256Signer)>);

impl Signers {
    /// With keys of their own.
    pub fn new() -> Result<Self> {
        let make = |name: &str| {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let signer = Es256Signer::from_pkcs8_pem(&key.serialize_pem())?;
            anyhow::Ok((name.to_owned(), signer))
        };
        let all = ["ada", "bert", "cleo"].into_iter().map(make);
        Ok(Self(all.collect::<Result<_>>()?))
    }

    /// An appliance whose first tenant names them, without a worker.
    pub fn options(&self) -> Options {
        let named = self.0.iter();
        let named = named.map(|(id, key)| json!({ "id": id, "key": key.jwk() }));
        let signers: Vec<Value> = named.collect();
        Options {
            policy_signers: Some(json!({ "signers": signers, "threshold": 2 })),
            without_worker: true,
            ..Options::default()
        }
    }

    /// Signed by so many of them.
    pub fn sign(&self, payload: &Value, by: usize) -> Result<Value> {
        let mut file = SignedFile::unsigned(payload.to_string().as_bytes());
        for (id, key) in &self.0[..by] {
            file.sign(id, key)?;
        }
        Ok(serde_json::from_slice(&file.to_json())?)
    }
}

/// The ledger of the first tenant, which everything signed must name.
pub fn ledger_of(appliance: &Appliance) -> Result<String> {
    let plain = std::fs::read(appliance.dir().join("config.plain.json"))?;
    let plain: Value = serde_json::from_slice(&plain)?;
    let ledger = plain["tenants"][0]["ledger"].as_str();
    Ok(ledger.context("ledger")?.to_owned())
}

/// The payload of a bundle of these modules.
pub fn bundle(ledger: &str, version: u64, modules: &[&str]) -> Value {
    let numbered = modules.iter().enumerate();
    let modules: Vec<Value> = numbered
        .map(|(at, rego)| json!({ "path": format!("{at}.rego"), "rego": rego }))
        .collect();
    json!({
        "type": "redoubt/policy-bundle/v1", "tenant": "bank-a", "ledger": ledger,
        "version": version, "modules": modules,
    })
}

/// Sends a signed bundle.
pub async fn put(bank: &Bank, signed: &Value) -> Result<Value, BankError> {
    let body = json!({ "bundle": signed }).to_string();
    let headers = [("content-type", "application/json")];
    let body = whole(Bytes::from(body));
    bank.send(Method::PUT, PATH, &headers, body).await?.read()
}
