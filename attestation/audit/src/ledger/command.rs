//! `redoubt-audit ledger verify`.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use redoubt_attestation::artefact::{Boot, Trust};
use serde_json::{Value, json};

use super::{Export, Heads, LedgerError, LedgerFacts, Progress, verify_folder};
use crate::inputs::{Inputs, read};
use crate::report::Report;
use crate::{sandbox, trust};

/// What can be done with a ledger.
#[derive(Subcommand)]
pub enum LedgerCommand {
    /// Check a copy of the host's store folder, or an export; no key is needed.
    Verify(VerifyLedger),
}

/// Arguments of `ledger verify`.
#[derive(Args)]
pub struct VerifyLedger {
    /// Store folder, or export file (JSON Lines).
    path: PathBuf,
    /// A note, receipt or artefact whose head must be one of this history; repeatable.
    #[arg(long)]
    checkpoint: Vec<PathBuf>,
    /// Policy file that pins the genesis: signatures of checkpoints are then checked.
    #[arg(long, conflicts_with = "trust")]
    policy: Option<PathBuf>,
    /// Folder that `trust` wrote; its policy and its document are used.
    #[arg(long)]
    trust: Option<PathBuf>,
    /// A document (evidence.json) or receipt that shows a boot's key; repeatable.
    #[arg(long)]
    evidence: Vec<PathBuf>,
    /// Show progress even where standard error is no terminal.
    #[arg(long)]
    progress: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Who may have signed what.
struct Signers {
    boots: Option<Vec<Boot>>,
    /// Whether there is a signature to check: segments hold none, checkpoints do.
    signed: bool,
}

impl Signers {
    fn word(&self) -> &'static str {
        match self.boots {
            Some(_) if self.signed => "verified",
            _ => "not checked",
        }
    }
}

/// Runs it; sockets are denied first.
pub fn verify(args: &VerifyLedger) -> Result<Report> {
    sandbox::deny_sockets()?;
    let trust = match (&args.policy, &args.trust) {
        (Some(policy), _) => {
            let trust = Trust::from_policy(&read(policy)?);
            Some(trust.with_context(|| policy.display().to_string())?)
        }
        (None, Some(folder)) => Some(trust::read(folder)?),
        (None, None) => None,
    };
    let mut kept = Inputs::default();
    for path in &args.checkpoint {
        kept.add(&path.display().to_string(), &read(path)?)?;
    }
    // An export is of one tenant's ledger; anchors are heads of the appliance's.
    if !args.path.is_dir() {
        kept.anchors.clear();
    }
    let mut heads = Heads::default();
    for (name, note) in kept.every_note() {
        if let Err(error) = heads.add(name, note) {
            return Ok(no("checkpoint", format!("{name}: {error}")));
        }
    }
    let own = args.trust.iter().map(|folder| folder.join(trust::EVIDENCE));
    let mut shown = kept.clone();
    for path in own.chain(args.evidence.iter().cloned()) {
        shown.add(&path.display().to_string(), &read(&path)?)?;
    }
    let signed = !args.path.is_dir() || kept.every_note().next().is_some();
    let signers = match signers(&shown, trust.as_ref(), signed) {
        Ok(signers) => signers,
        Err(report) => return Ok(*report),
    };
    if let Some(boots) = &signers.boots {
        let signed = |note: &str| boots.iter().any(|boot| boot.open(note).is_ok());
        if let Some((name, _)) = kept.every_note().find(|(_, note)| !signed(note)) {
            let text = format!("{name}: no boot whose document was given signed it");
            return Ok(no("checkpoint_unsigned", text));
        }
    }
    match args.path.is_dir() {
        true => folder(args, heads, &signers),
        false => export(args, heads, &signers),
    }
}

fn signers(shown: &Inputs, trust: Option<&Trust>, signed: bool) -> Result<Signers, Box<Report>> {
    let Some(trust) = trust else {
        let boots = None;
        return Ok(Signers { boots, signed });
    };
    let boots = shown.boots(trust);
    let boots = boots.map_err(|(name, refusal)| {
        Box::new(no(refusal.code(), format!("{name}: document: {refusal}")))
    })?;
    let boots = Some(boots);
    Ok(Signers { boots, signed })
}

fn no(code: &'static str, text: String) -> Report {
    Report::no(&[], None, code, text)
}

const FOLDER_CHECKS: [&str; 3] = [
    "every batch and record is whole and in its place",
    "each root follows from the entries before it; terms and epochs never go back",
    "no pair of key and nonce stands twice",
];
const EXPORT_CHECKS: [&str; 3] = [
    "every entry holds what its header commits to, and is in its place",
    "each page's checkpoint continues its entries",
    "each page continues the one before it",
];
const HEADS_CHECK: &str = "the checkpoints given are heads of this history";

fn folder(args: &VerifyLedger, heads: Heads, signers: &Signers) -> Result<Report> {
    let (folder, verdict) = match verify_folder(&args.path, heads, args.progress) {
        Ok(run) => run,
        Err(error) => return refused(error, json!({"kind": "segments"})),
    };
    let mut facts = json!({
        "kind": "segments",
        "records": folder.history.records(),
        "torn_tail": folder.facts.torn_tail,
        "base": folder.facts.base,
        "segments": folder.facts.segments,
        "batches": folder.facts.batches,
    });
    describe(
        &mut facts,
        folder.history.facts(),
        &folder.history.heads,
        &folder.progress,
        signers,
    );
    match verdict {
        Ok(()) => Ok(yes(&FOLDER_CHECKS, &folder.history.heads, facts)),
        Err(error) => refused(error, facts),
    }
}

fn export(args: &VerifyLedger, heads: Heads, signers: &Signers) -> Result<Report> {
    let name = || args.path.display().to_string();
    let file = File::open(&args.path).with_context(name)?;
    let bytes = file.metadata().with_context(name)?.len();
    let progress = Progress::new(bytes, args.progress);
    let mut export = Export::new(heads, progress, signers.boots.as_deref());
    let verdict = export.verify(BufReader::with_capacity(1 << 20, file));
    let mut facts = json!({"kind": "export"});
    if let (Value::Object(facts), Ok(Value::Object(own))) =
        (&mut facts, serde_json::to_value(&export.facts))
    {
        facts.extend(own);
    }
    let ledgers = export.ledgers();
    describe(
        &mut facts,
        ledgers,
        &export.heads,
        &export.progress,
        signers,
    );
    match verdict {
        Ok(()) => Ok(yes(&EXPORT_CHECKS, &export.heads, facts)),
        Err(error) => refused(error, facts),
    }
}

/// What both kinds tell.
fn describe(
    facts: &mut Value,
    ledgers: Vec<LedgerFacts>,
    heads: &Heads,
    progress: &Progress,
    signers: &Signers,
) {
    let heads = heads.list().iter().map(|source| {
        json!({
            "name": source.name,
            "ledger": source.head.ledger.to_string(),
            "size": source.head.size,
            "root": hex::encode(source.head.root),
        })
    });
    facts["ledgers"] = json!(ledgers);
    facts["checkpoints"] = heads.collect();
    facts["signature"] = signers.word().into();
    facts["bytes"] = progress.bytes().into();
    facts["seconds"] = progress.seconds().into();
    facts["bytes_per_second"] = progress.bytes_per_second().into();
}

fn yes(checks: &[&'static str], heads: &Heads, facts: Value) -> Report {
    let mut checks = checks.to_vec();
    if !heads.is_empty() {
        checks.push(HEADS_CHECK);
    }
    Report::yes(&checks, facts)
}

fn refused(error: LedgerError, facts: Value) -> Result<Report> {
    match error {
        LedgerError::Found(finding) => Ok(Report {
            facts: Report::yes(&[], facts).facts,
            ..no(finding.code, finding.text)
        }),
        LedgerError::Io(text) => anyhow::bail!(text),
    }
}
