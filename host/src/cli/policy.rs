//! `redoubt policy sign`: checks an appraisal policy as clients will, then signs it.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use redoubt_attestation::appraise::{AppraisalPolicy, PolicyError};
use redoubt_attestation::genesis::{SignedFile, SignedFileError, VerifiedGenesis};
use serde_json::json;

use super::config::officer;
use super::{Report, read, read_genesis};
use crate::files::write_atomically;

/// Flags of `redoubt policy sign`.
#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// The signed genesis manifest
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The appraisal policy: plain JSON, or one that other officers signed already
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// An officer's private key (PKCS#8 PEM); repeat for more officers
    #[arg(long, value_name = "FILE", required = true)]
    officer_key: Vec<PathBuf>,
    /// Where the signed policy goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn sign(args: &SignArgs) -> anyhow::Result<Report> {
    let genesis = read_genesis(&args.genesis)?;
    let mut signed = open(&args.policy, &genesis)?;
    let mut signers = Vec::new();
    for path in &args.officer_key {
        let (officer, key) = officer(path, &genesis)?;
        signed.sign(&officer, &key)?;
        signers.push(officer);
    }
    let missing = match AppraisalPolicy::verify(&signed.to_json(), &genesis) {
        Ok(_) => 0,
        Err(PolicyError::Signed(SignedFileError::TooFew { present, needed })) => needed - present,
        Err(error) => return Err(error.into()),
    };
    write_atomically(&args.out, &signed.to_json())?;
    let digest = signed.digest()?;
    let next = match missing {
        0 => "complete: clients may judge under it (redoubt-audit trust --appraisal)".to_owned(),
        more => format!("{more} more signatures are needed: give this file to the next officer"),
    };
    let text = format!(
        "{}: appraisal policy {digest} signed by {}\n{next}",
        args.out.display(),
        signers.join(", ")
    );
    let json = json!({
        "out": args.out.display().to_string(),
        "policy": digest,
        "signed_by": signers,
        "signatures_missing": missing,
    });
    Ok(Report::yes(text, json))
}

/// A plain policy without signatures, or a signed one with those it has.
fn open(path: &Path, genesis: &VerifiedGenesis) -> anyhow::Result<SignedFile> {
    let file = path.display();
    let bytes = read(path)?;
    let signed = SignedFile::parse(&bytes).unwrap_or_else(|_| SignedFile::unsigned(&bytes));
    let payload = signed.payload()?;
    let policy: AppraisalPolicy =
        serde_json::from_slice(&payload).with_context(|| file.to_string())?;
    // Before anybody signs: with no signature yet, verifying would not get this far.
    policy.validate(genesis).with_context(|| file.to_string())?;
    let listed = genesis.manifest.measurements.iter();
    let images: Vec<_> = listed.filter_map(|image| image.pcrs.get(&0)).collect();
    let unknown = policy.withdrawn.iter().find(|pcr0| !images.contains(pcr0));
    ensure!(
        unknown.is_none(),
        "{file}: withdrawn: the manifest lists no image with PCR0 {}",
        unknown.map_or("", String::as_str)
    );
    Ok(signed)
}
