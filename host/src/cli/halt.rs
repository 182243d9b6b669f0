//! `redoubt halt`: officers end one enclave for good.
//!
//! Protects against an enclave that a host keeps in reserve: it is named by its boot
//! key, and only its own answer, over a session bound to its evidence, counts.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use redoubt_attestation::binding::Purpose;
use redoubt_attestation::genesis::SignedFile;
use redoubt_attestation::handover::{HaltOrder, HaltOrderType, boot_key};
use redoubt_audit::fetch::{AttestedConnection, ClientIdentity};
use serde_json::{Value, json};

use super::signing::{self, Kind, Signing};
use super::unseal::pinned;
use super::{Report, now_ms, read_text};
use crate::files::write_atomically;

const HALT: &str = "/api/v1/halt";
const MINUTE_MS: u64 = 60_000;

#[derive(Debug, clap::Subcommand)]
pub(super) enum HaltCommand {
    /// Make the order: from the evidence of the enclave that is to halt
    Order(OrderArgs),
    /// Check an order and sign it; also adds signatures to a signed one
    Sign(SignArgs),
    /// Carry a signed order out; it succeeds only on that enclave's own answer
    Run(RunArgs),
}

/// The enclave.
#[derive(Debug, clap::Args)]
pub(super) struct At {
    /// Where the host leads to it, https://HOST:PORT
    #[arg(long, value_name = "URL")]
    at: String,
    /// The policy file that pins the manifest it was booted with
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
}

/// Flags of `redoubt halt order`.
#[derive(Debug, clap::Args)]
pub(super) struct OrderArgs {
    #[command(flatten)]
    at: At,
    /// For how long it is good, at most a day
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Where the order goes, for `redoubt halt sign`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Flags of `redoubt halt sign`.
#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// The order: plain JSON, or one that other officers signed already
    #[arg(long, value_name = "FILE")]
    order: PathBuf,
    #[command(flatten)]
    signing: Signing,
}

/// Flags of `redoubt halt run`.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    at: At,
    /// The signed order
    #[arg(long, value_name = "FILE")]
    order: PathBuf,
    /// Certificate of an officer (API access, not the signing key)
    #[arg(long, value_name = "PEM")]
    officer_cert: PathBuf,
    /// Its private key
    #[arg(long, value_name = "PEM")]
    officer_key: PathBuf,
}

const ORDER: Kind = Kind {
    name: "halt order",
    member: "order",
    complete: "it can be carried out (redoubt halt run)",
};

pub(super) fn halt(command: &HaltCommand) -> anyhow::Result<Report> {
    match command {
        HaltCommand::Order(args) => make(args),
        HaltCommand::Sign(args) => sign(args),
        HaltCommand::Run(args) => run(args),
    }
}

impl At {
    fn open(&self, identity: Option<&ClientIdentity>) -> anyhow::Result<AttestedConnection> {
        let pins = pinned(&self.policy)?;
        AttestedConnection::open(&self.at, &pins, Purpose::Serve, identity)
            .with_context(|| format!("--at {}", self.at))
    }
}

fn make(args: &OrderArgs) -> anyhow::Result<Report> {
    let enclave = args.at.open(None)?;
    let genesis = pinned(&args.at.policy)?.genesis;
    let appliance = enclave.binding.appliance_ledger();
    let order = HaltOrder {
        kind: HaltOrderType::V1,
        appliance: appliance.context("the enclave names no ledger of the appliance")?,
        genesis: genesis.digest,
        counter: genesis.manifest.counter,
        boot: boot_key(&enclave.binding.boot_keys),
        not_after_ms: now_ms() + args.minutes * MINUTE_MS,
    };
    write_atomically(&args.out, &serde_json::to_vec_pretty(&order)?)?;
    let out = args.out.display();
    let (text, phase) = (describe(&order), &enclave.reply.phase);
    let text = format!("{out}: {text}\nit is {phase} now\nk officers sign it: redoubt halt sign");
    let json = json!({ "ok": true, "out": out.to_string(), "boot": order.boot, "phase": phase });
    Ok(Report::yes(text, json))
}

/// What an officer is asked to agree to.
fn describe(order: &HaltOrder) -> String {
    format!(
        "halts boot {} for good\nledger {}, manifest {} ({}), good until {} ms",
        order.boot, order.appliance, order.genesis, order.counter, order.not_after_ms
    )
}

fn sign(args: &SignArgs) -> anyhow::Result<Report> {
    let genesis = args.signing.genesis()?;
    let (signed, order) = read_order(&args.order)?;
    order.judge(&genesis, now_ms())?;
    let mut report = args.signing.sign(signed, &genesis, &ORDER, |file| {
        Ok(signing::missing(&SignedFile::parse(file)?, &genesis)?)
    })?;
    report.text = format!("{}\n{}", describe(&order), report.text);
    Ok(report)
}

fn read_order(path: &std::path::Path) -> anyhow::Result<(SignedFile, HaltOrder)> {
    let (signed, payload) = signing::open(path)?;
    let order = serde_json::from_slice(&payload);
    Ok((signed, order.with_context(|| path.display().to_string())?))
}

fn run(args: &RunArgs) -> anyhow::Result<Report> {
    let (signed, order) = read_order(&args.order)?;
    let identity = ClientIdentity {
        certificates: read_text(&args.officer_cert)?,
        key: read_text(&args.officer_key)?,
    };
    let mut enclave = args.at.open(Some(&identity))?;
    let found = boot_key(&enclave.binding.boot_keys);
    ensure!(
        found == order.boot,
        "--at leads to the enclave with boot key {found}, not to {}; without an answer of that \
         one nothing says that it halted",
        order.boot
    );
    let reply = enclave.post_json(HALT, &serde_json::to_vec(&json!({ "order": signed }))?)?;
    if reply.status != 200 {
        let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        bail!(
            "it does not halt, {}: {}",
            problem["code"],
            problem["detail"]
        );
    }
    let text = format!(
        "the enclave with boot key {} has halted for good",
        order.boot
    );
    Ok(Report::yes(text, json!({ "ok": true, "boot": order.boot })))
}
