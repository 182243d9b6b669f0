//! `redoubt-audit document`: one attestation document, whoever was meant.
//!
//! Protects against taking a document that nobody signed for evidence: such a
//! document is judged only where the auditor asks for it, under an emulated
//! genesis that names it, and the answer says what it is worth.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use redoubt_attestation::artefact::Trust;
use redoubt_attestation::document::{Document, Refusal, Time, VendorRoot, verify_twice};
use redoubt_attestation::encode::sha256;
use redoubt_attestation::genesis::{Environment, RootKind};
use serde_json::{Value, json};

use crate::inputs::{parse_time, read, read_text};
use crate::report::{NOBODY_SIGNED, Report};
use crate::sandbox;

/// Arguments of `document`.
#[derive(Args)]
pub struct DocumentArgs {
    /// COSE document.
    file: PathBuf,
    /// Root certificate, PEM; AWS Nitro Enclaves root G1 without it.
    #[arg(long)]
    root: Option<PathBuf>,
    /// Judge at this time (RFC 3339, or Unix seconds); the document's own without it.
    #[arg(long, value_parser = parse_time)]
    at: Option<u64>,
    /// Judge a document that NOBODY SIGNED, of an emulated machine. The policy file
    /// must pin an emulated genesis that takes such documents. Proves nothing.
    #[arg(long, value_name = "POLICY", conflicts_with_all = ["root", "at"])]
    unsigned: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

const SIGNED: [&str; 1] = ["signed under the pinned root, by two implementations"];
const UNSIGNED: [&str; 2] = [
    "the pinned genesis is emulated and takes documents that nobody signed",
    "bears every marker of documents that nobody signs",
];

/// Runs it; sockets are denied first.
pub fn run(args: &DocumentArgs) -> Result<Report> {
    sandbox::deny_sockets()?;
    let bytes = read(&args.file)?;
    match (&args.unsigned, &args.root) {
        (Some(policy), _) => unsigned(&bytes, policy),
        (None, Some(path)) => {
            let root = VendorRoot::from_pem(RootKind::NitroEmulated, &read_text(path)?)
                .with_context(|| path.display().to_string())?;
            Ok(signed(&bytes, &root, args.at))
        }
        (None, None) => Ok(signed(&bytes, &VendorRoot::aws_nitro(), args.at)),
    }
}

fn signed(bytes: &[u8], root: &VendorRoot, at: Option<u64>) -> Report {
    match verify_twice(bytes, root, at.map_or(Time::OfDocument, Time::At)) {
        Ok(verified) => Report::yes(&SIGNED, facts(bytes, &verified.document, true)),
        Err(refusal) => no(&SIGNED, 0, &refusal),
    }
}

fn unsigned(bytes: &[u8], policy: &Path) -> Result<Report> {
    let trust = Trust::from_policy(&read(policy)?).with_context(|| policy.display().to_string())?;
    let genesis = &trust.genesis;
    if genesis.manifest.environment == Environment::Hardware {
        let code = "emulated_under_hardware_genesis";
        let reason = "the pinned genesis is of hardware: there a document counts only signed";
        return Ok(Report::no(&UNSIGNED, Some(0), code, reason));
    }
    if !genesis.roots().contains(&VendorRoot::unsigned()) {
        let reason = "the pinned genesis takes no documents that nobody signed (nitro_unsigned)";
        return Ok(Report::no(&UNSIGNED, Some(0), "unsigned", reason));
    }
    Ok(
        match verify_twice(bytes, &VendorRoot::unsigned(), Time::OfDocument) {
            Ok(verified) => Report::yes(&UNSIGNED, facts(bytes, &verified.document, false))
                .unverified(NOBODY_SIGNED),
            Err(refusal) => no(&UNSIGNED, 1, &refusal),
        },
    )
}

/// A refusal; what is no document failed no check.
fn no(checks: &[&'static str], at: usize, refusal: &Refusal) -> Report {
    match refusal {
        Refusal::Document(error) => Report::no(&[], None, error.code(), error),
        _ => Report::no(checks, Some(at), refusal.code(), refusal),
    }
}

fn facts(bytes: &[u8], document: &Document, signed: bool) -> Value {
    let length = |field: &Option<Vec<u8>>| field.as_ref().map(Vec::len);
    json!({
        "signed": signed,
        "module_id": document.module_id,
        "timestamp_ms": document.timestamp_ms,
        "debug": document.pcrs.is_debug(),
        "pcrs": document.pcrs.to_hex(),
        "user_data_len": length(&document.user_data),
        "nonce_len": length(&document.nonce),
        "public_key_len": length(&document.public_key),
        "sha256": sha256(&[bytes]),
    })
}
