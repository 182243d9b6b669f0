//! `redoubt`, the operator's and officers' tool.
//!
//! Protects officers against giving their share to anything but their own
//! enclave, and against starting over what exists: nothing here overwrites a
//! key, a share or a manifest. Exit codes: 0 yes, 1 no, 2 usage.

mod ask;
mod ceremony;
mod config;
mod development;
mod genesis;
mod guided;
mod halt;
mod handover;
mod images;
mod measure;
mod memory;
mod pcrs;
mod peers;
mod policy;
mod record;
mod restore;
mod rotate;
mod signing;
mod status;
mod successor;
mod token;
mod unseal;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use redoubt_attestation::appraise::PolicyError;
use redoubt_attestation::genesis::{Config, Genesis, VerifiedConfig, VerifiedGenesis};
use redoubt_audit::fetch::FetchError;
use serde_json::{Value, json};

/// Sets up, unseals and watches a Redoubt appliance.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 yes, 1 no or failed, 2 wrong usage."
)]
pub struct Cli {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The officers' founding ceremony, step by step; or check its record
    Ceremony(guided::CeremonyArgs),
    /// The founding ceremony and later ones in one step each
    #[command(subcommand)]
    Genesis(GenesisCommand),
    /// The signed configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What officers ask of evidence: its age, images withdrawn
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Give one officer's share to the attested enclave
    Unseal(unseal::UnsealArgs),
    /// A new epoch secret or new officers, while the appliance serves
    Rotate(rotate::RotateArgs),
    /// A running enclave gives its secret to another one, by officers' order
    #[command(subcommand)]
    Handover(handover::HandoverCommand),
    /// Officers end one enclave for good
    #[command(subcommand)]
    Halt(halt::HaltCommand),
    /// Print what a program measures as an emulated enclave
    Measure(measure::MeasureArgs),
    /// Say how an appliance is; 0 if it serves
    Status(status::StatusArgs),
    /// For development only: certificates of two tenants and the offices, and a
    /// configuration to sign
    DevCredentials(development::DevArgs),
}

#[derive(Debug, Subcommand)]
enum GenesisCommand {
    /// Make officers' keys, their shares of a new secret, and the signed manifest
    Init(genesis::InitArgs),
    /// Make the next manifest: other officers, images, thresholds, or policy of the witnesses
    Successor(successor::SuccessorArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check a configuration and sign it; also adds signatures to a signed one
    Sign(config::SignArgs),
    /// BREAK-GLASS: make the order to go on after the end of the ledger was lost
    Restore(restore::RestoreArgs),
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Check an appraisal policy and sign it; also adds signatures to a signed one
    Sign(policy::SignArgs),
}

/// What a command found.
pub(crate) struct Report {
    /// 0 or 1.
    pub(crate) yes: bool,
    /// For people.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: Value,
}

impl Report {
    pub(crate) fn yes(text: String, json: Value) -> Self {
        Self {
            yes: true,
            text,
            json,
        }
    }
}

/// Runs the command line.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Ceremony(args) => guided::ceremony(&args),
        Command::Genesis(GenesisCommand::Init(args)) => genesis::init(&args),
        Command::Genesis(GenesisCommand::Successor(args)) => successor::successor(&args),
        Command::Config(ConfigCommand::Sign(args)) => config::sign(&args),
        Command::Config(ConfigCommand::Restore(args)) => restore::restore(&args),
        Command::Policy(PolicyCommand::Sign(args)) => policy::sign(&args),
        Command::Unseal(args) => unseal::unseal(&args),
        Command::Rotate(args) => rotate::rotate(&args),
        Command::Handover(command) => handover::handover(&command),
        Command::Halt(command) => halt::halt(&command),
        Command::Measure(args) => measure::measure_file(&args),
        Command::Status(args) => status::status(&args),
        Command::DevCredentials(args) => development::issue(&args),
    };
    let report = match (outcome, cli.json) {
        (Ok(report), _) => report,
        (Err(error), true) => Report {
            yes: false,
            text: String::new(),
            json: json!({ "ok": false, "code": code(&error), "error": format!("{error:#}") }),
        },
        (Err(error), false) => {
            let code = code(&error).map(|code| format!(" ({code})"));
            eprintln!("redoubt: {error:#}{}", code.unwrap_or_default());
            return ExitCode::FAILURE;
        }
    };
    if cli.json {
        println!("{:#}", report.json);
    } else {
        println!("{}", report.text.trim_end());
    }
    ExitCode::from(u8::from(!report.yes))
}

/// The stable name of a refusal, as runbooks list them.
fn code(error: &anyhow::Error) -> Option<&'static str> {
    let fetched = error.downcast_ref::<FetchError>().map(FetchError::code);
    fetched.or_else(|| error.downcast_ref::<PolicyError>().map(PolicyError::code))
}

/// Reads a file; the error names it.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

/// Reads a text file; the error names it.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Reads the signed genesis manifest; the error names the file.
fn read_genesis(path: &Path) -> anyhow::Result<VerifiedGenesis> {
    Genesis::verify(&read(path)?).with_context(|| path.display().to_string())
}

/// Reads the signed configuration of a manifest; the error names the file.
fn read_config(path: &Path, genesis: &VerifiedGenesis) -> anyhow::Result<VerifiedConfig> {
    Config::verify(&read(path)?, genesis).with_context(|| path.display().to_string())
}

/// Unix milliseconds of this machine's clock.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
