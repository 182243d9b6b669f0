//! `redoubt policy sign`: checks an appraisal policy as clients will, then signs it.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use redoubt_attestation::appraise::{AppraisalPolicy, PolicyError};
use redoubt_attestation::genesis::{SignedFile, SignedFileError, VerifiedGenesis};

use super::Report;
use super::signing::{self, Kind, Signing};

/// Flags of `redoubt policy sign`.
#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// The appraisal policy: plain JSON, or one that other officers signed already
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    #[command(flatten)]
    signing: Signing,
}

const POLICY: Kind = Kind {
    name: "appraisal policy",
    member: "policy",
    complete: "clients may judge under it (redoubt-audit trust --appraisal)",
};

pub(super) fn sign(args: &SignArgs) -> anyhow::Result<Report> {
    let genesis = args.signing.genesis()?;
    let signed = open(&args.policy, &genesis)?;
    let lacks = |file: &[u8]| match AppraisalPolicy::verify(file, &genesis) {
        Ok(_) => Ok(0),
        Err(PolicyError::Signed(SignedFileError::TooFew { present, needed })) => {
            Ok(needed - present)
        }
        Err(error) => Err(error.into()),
    };
    args.signing.sign(signed, &genesis, &POLICY, lacks)
}

fn open(path: &Path, genesis: &VerifiedGenesis) -> anyhow::Result<SignedFile> {
    let file = path.display();
    let (signed, payload) = signing::open(path)?;
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
