//! `redoubt-bank`: tells the story, makes load, and looks for leaks.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use redoubt_bank::blindness::{self, Markers};
use redoubt_bank::load::{self, Kind, Plan};
use redoubt_bank::receipts::{self, Auditor, Journal};
use redoubt_bank::story::{self, Part, Setting};
use redoubt_bank::{Bank, Connection, Dev, sealed_run};
use serde_json::json;

/// The reference bank: what a tenant would do, against a running appliance.
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    /// Tell the story of one customer
    Story {
        /// `dev.json` of the running appliance
        #[arg(long, value_name = "FILE")]
        dev: PathBuf,
        /// Folder with obama.jpg, obama2.jpg, obama3.jpg and biden.jpg
        #[arg(long, value_name = "DIR", env = "REDOUBT_MEDIA_DIR")]
        media: PathBuf,
        /// The auditor's program
        #[arg(long, value_name = "FILE")]
        audit_bin: PathBuf,
        /// Steps and verdicts; state, markers.json, samples and artefact go beside it
        #[arg(long, value_name = "FILE")]
        report: PathBuf,
        /// Only up to the kill, or only after the restart
        #[arg(long)]
        part: Option<Part>,
    },
    /// Bounded load with fresh challenges; keeps every acknowledged receipt
    Load(LoadArgs),
    /// Fetch every receipt of a file again and have the auditor verify it
    Receipts {
        /// `dev.json` of the running appliance
        #[arg(long, value_name = "FILE")]
        dev: PathBuf,
        /// Receipts that `load` kept
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The auditor's program
        #[arg(long, value_name = "FILE")]
        audit_bin: PathBuf,
        /// The outcome
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Search captured bytes for secrets, with a control run on each capture
    Blindness {
        /// Files or folders
        #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
        captures: Vec<PathBuf>,
        /// What to search for, as `story` writes it
        #[arg(long, value_name = "FILE")]
        markers: PathBuf,
        /// The outcome
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Run a program that can open no socket
    NoSockets {
        /// Program and arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, clap::Args)]
struct LoadArgs {
    /// `dev.json` of the running appliance
    #[arg(long, value_name = "FILE")]
    dev: PathBuf,
    /// What each client repeats
    #[arg(long)]
    kind: Kind,
    /// Clients at once
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// How long
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// One HTTP/2 connection for all clients instead of one HTTP/1.1 connection each
    #[arg(long)]
    http2: bool,
    /// Sample photographs, for `verify`
    #[arg(long, value_name = "DIR", env = "REDOUBT_MEDIA_DIR")]
    media: Option<PathBuf>,
    /// Acknowledged receipts [default: beside --json, ending in .receipts.jsonl]
    #[arg(long, value_name = "FILE")]
    receipts: Option<PathBuf>,
    /// The measurements
    #[arg(long, value_name = "FILE")]
    json: PathBuf,
}

fn main() -> ExitCode {
    let command = Command::parse();
    if let Command::NoSockets { command } = &command {
        return no_sockets(command);
    }
    let outcome = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(command)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redoubt-bank: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn no_sockets(command: &[OsString]) -> ExitCode {
    match sealed_run::become_without_sockets(&command[0], &command[1..]) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("redoubt-bank no-sockets: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Story {
            dev,
            media,
            audit_bin,
            report,
            part,
        } => {
            let setting = Setting {
                dev: Dev::read(&dev)?,
                media,
                audit_bin,
                bank_bin: std::env::current_exe()?,
                report,
            };
            story::tell(&setting, part).await
        }
        Command::Load(args) => run_load(args).await,
        Command::Receipts {
            dev,
            file,
            audit_bin,
            json,
        } => check_receipts(&Dev::read(&dev)?, file, audit_bin, json).await,
        Command::Blindness {
            captures,
            markers,
            json,
        } => blindness(captures, markers, json),
        Command::NoSockets { .. } => Ok(()),
    }
}

async fn run_load(args: LoadArgs) -> Result<()> {
    let dev = Dev::read(&args.dev)?;
    let bank = Bank::open(&Connection::from_dev(&dev, Some(&dev.bank), args.http2)?)?;
    let receipts = args.receipts;
    let plan = Plan {
        kind: args.kind,
        clients: args.clients,
        duration: Duration::from_secs(args.seconds),
        media: args.media,
        receipts: receipts.unwrap_or_else(|| args.json.with_extension("receipts.jsonl")),
    };
    let measured = load::run(&bank, &plan).await?;
    std::fs::write(&args.json, serde_json::to_string_pretty(&measured)?)?;
    println!(
        "{} rounds, {:.0}/s, p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, errors {:?}",
        measured.ok,
        measured.per_second,
        measured.p50_ms,
        measured.p95_ms,
        measured.p99_ms,
        measured.errors
    );
    Ok(())
}

async fn check_receipts(
    dev: &Dev,
    file: PathBuf,
    audit_bin: PathBuf,
    json: Option<PathBuf>,
) -> Result<()> {
    let bank = Bank::open(&Connection::from_dev(dev, Some(&dev.bank), false)?)?;
    let auditor = Auditor {
        program: audit_bin,
        trust: dev.trust_dir(),
        without_sockets: Some(std::env::current_exe()?),
    };
    let kept = Journal::read(&file)?;
    let checked = receipts::check_all(&bank, &auditor, &kept).await?;
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_string_pretty(&checked)?)?;
    }
    println!("{} of {} receipts verify", checked.good, checked.checked);
    ensure!(checked.bad.is_empty(), "refused: {:?}", checked.bad);
    Ok(())
}

fn blindness(captures: Vec<PathBuf>, markers: PathBuf, json: Option<PathBuf>) -> Result<()> {
    let bytes = std::fs::read(&markers).with_context(|| markers.display().to_string())?;
    let markers: Markers = serde_json::from_slice(&bytes).context("markers file")?;
    let reports = blindness::search(&captures, &markers)?;
    let ok = reports.iter().all(|report| report.ok);
    for report in &reports {
        println!(
            "  {} {:>12} bytes, {} found, control {} of {}  {}",
            if report.ok { "ok    " } else { "FAILED" },
            report.bytes,
            report.markers_found,
            report.control_found,
            report.control_planted,
            report.capture
        );
        for finding in &report.found {
            println!("         found {} ({})", finding.marker, finding.encoding);
        }
    }
    if let Some(path) = json {
        let outcome = json!({"ok": ok, "blindness": reports});
        std::fs::write(path, serde_json::to_string_pretty(&outcome)?)?;
    }
    ensure!(
        ok,
        "a capture holds a secret, is empty, or fails its control"
    );
    Ok(())
}
