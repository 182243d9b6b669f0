//! `redoubt config sign`: checks a configuration as the enclave will, then signs it.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use redoubt_attestation::entropy::{SystemEntropy, draw};
use redoubt_attestation::genesis::{
    Config, GenesisError, SignedFile, SignedFileError, VerifiedGenesis,
};
use redoubt_shared::LedgerId;

use super::Report;
use super::signing::{self, Kind, Signing};

/// Flags of `redoubt config sign`.
#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// The configuration: plain JSON, or one that other officers signed already
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    signing: Signing,
}

const CONFIG: Kind = Kind {
    name: "configuration",
    member: "config",
    complete: "the host may carry it (boot folder, config.json)",
};

pub(super) fn sign(args: &SignArgs) -> anyhow::Result<Report> {
    let genesis = args.signing.genesis()?;
    let signed = open(&args.config, &genesis)?;
    let lacks = |file: &[u8]| match Config::verify(file, &genesis) {
        Ok(_) => Ok(0),
        Err(GenesisError::Signed(SignedFileError::TooFew { present, needed })) => {
            Ok(needed - present)
        }
        Err(error) => Err(error.into()),
    };
    args.signing.sign(signed, &genesis, &CONFIG, lacks)
}

fn open(path: &Path, genesis: &VerifiedGenesis) -> anyhow::Result<SignedFile> {
    let file = path.display();
    let (signed, payload) = signing::open(path)?;
    let config: Config = serde_json::from_slice(&payload).with_context(|| file.to_string())?;
    config.validate().with_context(|| file.to_string())?;
    ensure!(
        config.genesis == genesis.digest,
        "{file}: its member genesis is {}; this manifest has digest {}",
        config.genesis,
        genesis.digest
    );
    Ok(signed)
}

/// An id that no ledger had before.
pub(super) fn new_ledger() -> anyhow::Result<LedgerId> {
    Ok(LedgerId::from_bytes(draw(&SystemEntropy)?))
}
