//! `redoubt-audit`: is this my appliance, and did it really say that?
//!
//! Exit status: 0 yes, 1 no, 2 wrong usage or unreadable input.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use redoubt_attestation::appraise::CHECKS as APPRAISAL_CHECKS;
use redoubt_attestation::artefact::{self, JudgedReceipt, RECEIPT_CHECKS, Trust};
use redoubt_attestation::binding::Purpose;
use redoubt_attestation::ledger::Receipt;
use redoubt_audit::compare::{self, Compare};
use redoubt_audit::document::{self, DocumentArgs};
use redoubt_audit::fetch::{AttestedConnection, ClientIdentity, FetchError, Pinned};
use redoubt_audit::gpu::{self, GpuArgs};
use redoubt_audit::inputs::{read, read_text};
use redoubt_audit::ledger::command::{self, LedgerCommand};
use redoubt_audit::report::{NOBODY_SIGNED, Report};
use redoubt_audit::{sandbox, trust, witness};
use serde_json::{Value, json};

/// Verifies a Redoubt appliance and what it signed.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 yes, 1 no, 2 wrong usage or unreadable input."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prove that a URL is the appliance of a pinned genesis; write the CA to pin.
    Trust(TrustArgs),
    /// Judge an artefact or a receipt offline; sockets are denied first.
    Verify(VerifyArgs),
    /// Judge one Nitro attestation document; sockets are denied first.
    Document(DocumentArgs),
    /// Judge evidence of NVIDIA GPUs; sockets are denied first.
    Gpu(GpuArgs),
    /// Check a whole ledger without keys; sockets are denied first.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Prove that two heads contradict each other; sockets are denied first.
    Compare(Compare),
    /// Serve as a witness and custodian of one appliance.
    Witness(WitnessArgs),
}

#[derive(Args)]
struct TrustArgs {
    /// https://HOST:PORT of the appliance.
    url: String,
    /// Policy file that pins the genesis.
    #[arg(long)]
    policy: PathBuf,
    /// Appraisal policy that the officers signed [default: the one the folder remembers].
    #[arg(long)]
    appraisal: Option<PathBuf>,
    /// Folder to write ca.pem, genesis.json, policy.json and evidence.json to.
    #[arg(long)]
    out: PathBuf,
    /// Client certificate chain, PEM (not needed for evidence).
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// Key of the client certificate, PEM.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct VerifyArgs {
    /// Artefact or receipt, JSON.
    #[arg(long)]
    artefact: PathBuf,
    /// Folder that `trust` wrote.
    #[arg(long)]
    trust: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct WitnessArgs {
    /// Folder of keys and state. One process, one folder; never restore it from
    /// a backup.
    #[arg(long)]
    dir: PathBuf,
    /// Address to listen on.
    #[arg(long, required_unless_present = "init")]
    listen: Option<SocketAddr>,
    /// Policy file that pins the genesis; needed the first time.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// File to write the port to, once it listens.
    #[arg(long)]
    port_file: Option<PathBuf>,
    /// Make the keys, print the entry for the genesis manifest, and end.
    #[arg(long, requires = "name", conflicts_with_all = ["listen", "policy", "port_file"])]
    init: bool,
    /// Name in the genesis manifest.
    #[arg(long, requires = "init")]
    name: Option<String>,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let (result, as_json) = match &command {
        Command::Trust(args) => (establish(args), args.json),
        Command::Verify(args) => (judge(args), args.json),
        Command::Document(args) => (document::run(args), args.json),
        Command::Gpu(args) => (gpu::run(args), args.json),
        Command::Ledger(LedgerCommand::Verify(args)) => (command::verify(args), args.json),
        Command::Compare(args) => (compare::run(args), args.json),
        Command::Witness(args) => {
            return match serve_witness(args) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            };
        }
    };
    match result {
        Ok(report) => match report.print(as_json) {
            Ok(status) => ExitCode::from(status),
            Err(error) => failed(&anyhow::Error::new(error).context("standard output")),
        },
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("redoubt-audit: {error:#}");
    ExitCode::from(2)
}

fn serve_witness(args: &WitnessArgs) -> Result<()> {
    if let (true, Some(name)) = (args.init, &args.name) {
        let entry = witness::init(&args.dir, name)?;
        println!("{}", serde_json::to_string_pretty(&entry)?);
        return Ok(());
    }
    let listen = args.listen.context("--listen is missing")?;
    let policy = args.policy.as_deref().map(read).transpose()?;
    witness::run(
        &args.dir,
        listen,
        policy.as_deref(),
        args.port_file.as_deref(),
    )
}

fn establish(args: &TrustArgs) -> Result<Report> {
    let mut pinned = Pinned::from_policy(&read(&args.policy)?)
        .with_context(|| args.policy.display().to_string())?;
    let given = args.appraisal.as_deref().map(read).transpose()?;
    let remembered = trust::Remembered::read(&args.out)?;
    match remembered.appraisal(given.as_deref(), &pinned.genesis) {
        Ok(None) => {}
        Ok(Some((bytes, policy))) => {
            // Before anything is asked: a policy seen is a policy remembered.
            trust::remember(&args.out, &bytes)?;
            pinned.appraisal = Some(policy);
        }
        Err(error) => return Ok(Report::no(&[], None, error.code(), error)),
    }
    let identity = match (&args.cert, &args.key) {
        (Some(certificates), Some(key)) => Some(ClientIdentity {
            certificates: read_text(certificates)?,
            key: read_text(key)?,
        }),
        _ => None,
    };
    let proven =
        match AttestedConnection::open(&args.url, &pinned, Purpose::Serve, identity.as_ref()) {
            Ok(proven) => proven,
            Err(FetchError::Refused(refusal)) => return Ok(Report::not_appraised(&refusal)),
            Err(error) => return Ok(Report::no(&[], None, error.code(), error)),
        };
    let Some(ca) = &proven.reply.ca_certificate else {
        let reason = "the enclave is genuine but has no CA yet: unseal it first (redoubt unseal)";
        return Ok(Report::no(&[], None, "nothing_to_pin", reason));
    };
    trust::write(&args.out, &pinned, &proven, ca)?;
    let manifest = &pinned.genesis.manifest;
    let facts = json!({
        "url": args.url,
        "name": manifest.name,
        "environment": proven.appraised.environment,
        "signed": proven.appraised.signed,
        "debug": proven.appraised.debug,
        "genesis": pinned.genesis.digest,
        "genesis_counter": manifest.counter,
        "config": proven.config.digest,
        "policy": proven.config.policy_digest,
        "models": proven.binding.models,
        "phase": proven.reply.phase,
        "term": proven.binding.term,
        "head": proven.binding.head,
        "document": proven.appraised.document_sha256,
        "pcrs": proven.appraised.document.pcrs.to_hex(),
        "ca": args.out.join(trust::CA),
    });
    let report = Report::yes(&APPRAISAL_CHECKS, facts);
    Ok(match proven.appraised.signed {
        true => report,
        false => report.unverified(NOBODY_SIGNED),
    })
}

fn judge(args: &VerifyArgs) -> Result<Report> {
    sandbox::deny_sockets()?;
    let trust = trust::read(&args.trust)?;
    let bytes = read(&args.artefact)?;
    let shape: Value = match serde_json::from_slice(&bytes) {
        Ok(shape) => shape,
        Err(error) => {
            return Ok(Report::no(
                &[],
                None,
                "malformed",
                format!("no JSON: {error}"),
            ));
        }
    };
    let judged = if shape.get("payload").is_some() {
        judge_artefact(&bytes, &trust)
    } else {
        judge_receipt(&bytes, &trust)
    };
    Ok(judged.unwrap_or_else(|refusal| Report::not_judged(&refusal)))
}

fn judge_artefact(bytes: &[u8], trust: &Trust) -> Result<Report, artefact::Refusal> {
    let verified = artefact::verify_artefact(bytes, trust)?;
    let mut facts = receipt_facts(&verified.receipt);
    facts["kind"] = "artefact".into();
    facts["decision"] = verified.decision.into();
    if let Some(closes) = verified.closes {
        facts["closes"] = closes.into();
    }
    let people: Vec<&str> = verified.people.iter().map(|user| user.as_str()).collect();
    facts["people"] = serde_json::json!(people);
    facts["transaction"] = verified.transaction;
    facts["origin"] = verified.origin.into();
    facts["challenge"] = verified.challenge.to_string().into();
    let report = Report::yes(&artefact::CHECKS, facts);
    Ok(told(report, &verified.receipt))
}

fn judge_receipt(bytes: &[u8], trust: &Trust) -> Result<Report, artefact::Refusal> {
    let receipt: Receipt =
        serde_json::from_slice(bytes).map_err(|error| artefact::Refusal::Malformed {
            what: "receipt",
            problem: error.to_string(),
        })?;
    let judged = artefact::verify_receipt(&receipt, trust)?;
    let facts = receipt_facts(&judged);
    let report = Report::yes(&artefact::CHECKS[..RECEIPT_CHECKS], facts);
    Ok(told(report, &judged))
}

/// Says so where nobody signed a document behind it.
fn told(report: Report, judged: &JudgedReceipt) -> Report {
    match judged.signed {
        true => report,
        false => report.unverified(NOBODY_SIGNED),
    }
}

fn receipt_facts(judged: &JudgedReceipt) -> Value {
    let JudgedReceipt {
        receipt,
        binding,
        head_binding: _,
        fresh,
        document,
        environment,
        signed,
        debug,
    } = judged;
    let claim = |name: &str| receipt.claims.get(name).cloned();
    json!({
        "kind": "receipt",
        "type": claim("type"),
        "receipt_id": claim("receipt_id"),
        "tenant": claim("tenant"),
        "time_ms": claim("time_ms"),
        "freshness": fresh.mode,
        "unwitnessed_ms": fresh.unwitnessed_ms,
        "cosigned": cosigned(&fresh.cosigned),
        "anchor": fresh.anchor.map(|head| json!({
            "ledger": head.ledger.to_string(),
            "tree_size": head.size,
            "root": sha256_text(&head.root),
        })),
        "worker_tier": claim("worker_tier"),
        "policy_bundle": claim("policy_bundle"),
        "policy_ruling": claim("policy_ruling"),
        "environment": environment,
        "signed": signed,
        "debug": debug,
        "genesis": binding.genesis,
        "document": document,
        "ledger": receipt.header.ledger.to_string(),
        "index": receipt.header.index,
        "tree_size": receipt.checkpoint.size,
        "root": sha256_text(&receipt.checkpoint.root),
        "post_quantum_head": receipt.post_quantum,
        "claims": receipt.claims,
    })
}

/// Who cosigned the appliance's head, and when.
fn cosigned(lines: &[(String, u64)]) -> Value {
    let times = lines.iter().map(|(name, seconds)| {
        let time = i64::try_from(*seconds)
            .ok()
            .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|time| {
                time.format(&time::format_description::well_known::Rfc3339)
                    .ok()
            });
        (name.clone(), json!(time.unwrap_or(seconds.to_string())))
    });
    Value::Object(times.collect())
}

fn sha256_text(hash: &[u8; 32]) -> String {
    redoubt_attestation::encode::Digest32(*hash).to_string()
}
