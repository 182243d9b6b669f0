//! `redoubt config sign`: checks a configuration as the enclave will, then signs it.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use redoubt_attestation::entropy::{SystemEntropy, draw};
use redoubt_attestation::genesis::{
    Config, GenesisError, SignedFile, SignedFileError, VerifiedGenesis,
};
use redoubt_attestation::sign::Es256Signer;
use redoubt_shared::LedgerId;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Report, read, read_genesis, read_text};
use crate::files::write_atomically;

/// Flags of `redoubt config sign`.
#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// The signed genesis manifest
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The configuration: plain JSON, or one that other officers signed already
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// An officer's private key (PKCS#8 PEM); repeat for more officers
    #[arg(long, value_name = "FILE", required = true)]
    officer_key: Vec<PathBuf>,
    /// Where the signed configuration goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn sign(args: &SignArgs) -> anyhow::Result<Report> {
    let genesis = read_genesis(&args.genesis)?;
    let mut signed = open(&args.config, &genesis)?;
    let mut signers = Vec::new();
    for path in &args.officer_key {
        let (officer, key) = officer(path, &genesis)?;
        signed.sign(&officer, &key)?;
        signers.push(officer);
    }
    let digest = signed.digest()?;
    let missing = match Config::verify(&signed.to_json(), &genesis) {
        Ok(_) => 0,
        Err(GenesisError::Signed(SignedFileError::TooFew { present, needed })) => needed - present,
        Err(error) => return Err(error.into()),
    };
    write_atomically(&args.out, &signed.to_json())?;
    let next = match missing {
        0 => "complete: the host may carry it (boot folder, config.json)".to_owned(),
        more => format!("{more} more signatures are needed: give this file to the next officer"),
    };
    let text = format!(
        "{}: configuration {digest} signed by {}\n{next}",
        args.out.display(),
        signers.join(", ")
    );
    let json = json!({
        "out": args.out.display().to_string(),
        "config": digest,
        "signed_by": signers,
        "signatures_missing": missing,
    });
    Ok(Report::yes(text, json))
}

/// A plain configuration without signatures, or a signed one with those it has.
fn open(path: &Path, genesis: &VerifiedGenesis) -> anyhow::Result<SignedFile> {
    let file = path.display();
    let bytes = read(path)?;
    let signed = SignedFile::parse(&bytes).unwrap_or_else(|_| SignedFile::unsigned(&bytes));
    let payload = signed.payload()?;
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

/// Whose key this is, according to the manifest.
pub(super) fn officer(
    path: &Path,
    genesis: &VerifiedGenesis,
) -> anyhow::Result<(String, Es256Signer)> {
    let file = path.display();
    let pem = Zeroizing::new(read_text(path)?);
    let key = Es256Signer::from_pkcs8_pem(&pem)
        .with_context(|| format!("{file}: no P-256 private key in PKCS#8 PEM"))?;
    let mut officers = genesis.manifest.officers.iter();
    let officer = officers
        .find(|officer| officer.key == *key.jwk())
        .with_context(|| format!("{file}: belongs to no officer of this genesis manifest"))?;
    Ok((officer.id.clone(), key))
}
