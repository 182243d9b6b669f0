//! `redoubt-audit compare`: do two heads contradict each other?
//!
//! Protects whoever holds a receipt: if the appliance was rolled back or runs
//! twice, two notes of it become a proof that needs nothing but the pinned
//! genesis to be checked.
//!
//! Exit status: 0 no contradiction shown, 1 contradiction proven, 2 usage.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use redoubt_attestation::artefact::Trust;
use redoubt_attestation::contradiction::{self, Judged, Proof, Rule};
use serde_json::{Value, json};

use crate::inputs::{Inputs, read};
use crate::report::Report;
use crate::sandbox;

/// Arguments of `compare`.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 no contradiction shown, 1 contradiction proven, 2 wrong usage."
)]
pub struct Compare {
    /// Receipts or artefacts with evidence, or notes (then with --evidence).
    #[arg(num_args = 2, value_names = ["A", "B"], required_unless_present = "check")]
    files: Vec<PathBuf>,
    /// Policy file that pins the genesis.
    #[arg(long)]
    policy: PathBuf,
    /// A document (evidence.json) or receipt that shows a boot's key; repeatable.
    #[arg(long)]
    evidence: Vec<PathBuf>,
    /// Write the proof here, if there is one.
    #[arg(long, conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Judge this proof instead.
    #[arg(long, conflicts_with_all = ["files", "evidence"])]
    check: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs it; sockets are denied first.
pub fn run(args: &Compare) -> Result<Report> {
    sandbox::deny_sockets()?;
    let trust = Trust::from_policy(&read(&args.policy)?)
        .with_context(|| args.policy.display().to_string())?;
    match &args.check {
        Some(path) => check(path, &trust),
        None => compare(args, &trust),
    }
}

fn check(path: &Path, trust: &Trust) -> Result<Report> {
    let proof: Proof =
        serde_json::from_slice(&read(path)?).with_context(|| path.display().to_string())?;
    Ok(match contradiction::check(&proof, trust) {
        Ok(sides) => proven(proof.rule, &sides),
        Err(error) => Report::yes(
            &[],
            json!({"contradiction": false, "code": error.code(), "why": error.to_string()}),
        ),
    })
}

fn compare(args: &Compare, trust: &Trust) -> Result<Report> {
    let mut inputs = Inputs::default();
    for path in args.files.iter().chain(&args.evidence) {
        inputs.add(&path.display().to_string(), &read(path)?)?;
    }
    ensure!(
        !inputs.notes.is_empty(),
        "neither file holds a checkpoint: give receipts or notes"
    );
    let boots = inputs
        .boots(trust)
        .map_err(|(name, refusal)| anyhow::anyhow!("{name}: its document is refused: {refusal}"))?;
    // A note nobody signed says nothing; whoever gave it should know.
    for (name, note) in inputs.every_note() {
        ensure!(
            boots.iter().any(|boot| boot.open(note).is_ok()),
            "{name}: no boot whose document was given signed this checkpoint; add --evidence"
        );
    }
    let notes: Vec<String> = inputs.every_note().map(|(_, note)| note.clone()).collect();
    let documents: Vec<_> = inputs.documents.into_iter().map(|(_, kept)| kept).collect();
    let Some(proof) = contradiction::find(&notes, &documents, trust) else {
        let facts = json!({
            "contradiction": false,
            "checkpoints": notes.len(),
            "documents": documents.len(),
        });
        return Ok(Report::yes(
            &["every checkpoint is signed by an attested boot"],
            facts,
        ));
    };
    if let Some(out) = &args.out {
        std::fs::write(out, serde_json::to_vec_pretty(&proof)?)
            .with_context(|| out.display().to_string())?;
    }
    let sides = contradiction::check(&proof, trust)?;
    let mut report = proven(proof.rule, &sides);
    let written = args.out.as_ref().map(|out| out.display().to_string());
    report.facts.insert("proof".to_owned(), json!(written));
    Ok(report)
}

fn proven(rule: Rule, sides: &(Judged, Judged)) -> Report {
    let code = match rule {
        Rule::TwoRoots => "two_roots",
        Rule::TwoBootsInOneTerm => "two_boots_in_one_term",
        Rule::Rewound => "rewound",
    };
    let facts = json!({
        "contradiction": true,
        "first": side(&sides.0),
        "second": side(&sides.1),
    });
    Report {
        facts: Report::yes(&[], facts).facts,
        ..Report::no(
            &[],
            None,
            code,
            format!("contradiction proven: {}", rule.text()),
        )
    }
}

fn side(judged: &Judged) -> Value {
    let Judged { boot, head } = judged;
    json!({
        "document": boot.document,
        "term": boot.binding.term,
        "found": boot.binding.head,
        "checkpoint_key": boot.binding.boot_keys.checkpoint_ed25519,
        "signed": head.map(|head| json!({
            "ledger": head.ledger.to_string(),
            "size": head.size,
            "root": hex::encode(head.root),
        })),
    })
}
