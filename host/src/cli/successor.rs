//! `redoubt genesis successor`: the next manifest of the same appliance.
//!
//! Officers leave and join, their threshold and the peers change; the secret
//! and every share are new, so that old shares open nothing that is sealed
//! from then on. Valid only with enough of the old officers' signatures.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{
    Config, Genesis, GenesisError, Officer, SignedFile, SignedFileError, VerifiedGenesis,
};
use redoubt_attestation::shares::OfficersSecret;
use redoubt_attestation::sign::Es256Signer;
use serde_json::json;

use super::ceremony::{PUBLIC, into_new_folder, write_key, write_results};
use super::config::officer;
use super::genesis::{fingerprints, record};
use super::peers::PeerArgs;
use super::{Report, now_ms, read};
use crate::files::write_new;

/// Flags of `redoubt genesis successor`.
#[derive(Debug, clap::Args)]
pub(super) struct SuccessorArgs {
    /// The manifest to succeed
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Folder to make; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of officers from then on
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    officers: u8,
    /// How many of them unseal the appliance and sign its configuration
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    threshold: u8,
    /// An officer who stays, with the same key; repeat for each. The others are new
    #[arg(long, value_name = "ID")]
    keep: Vec<String>,
    /// A present officer's private key, to sign; repeat until their threshold is met
    #[arg(long, value_name = "FILE", required = true)]
    officer_key: Vec<PathBuf>,
    /// The present signed configuration: a copy for the new manifest is signed and put
    /// beside it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    peers: PeerArgs,
}

type Signers = Vec<(String, Es256Signer)>;

pub(super) fn successor(args: &SuccessorArgs) -> anyhow::Result<Report> {
    ensure!(
        args.threshold <= args.officers,
        "--threshold {} of {} officers: use 1 to the number of officers",
        args.threshold,
        args.officers
    );
    let old =
        Genesis::verify(&read(&args.from)?).with_context(|| args.from.display().to_string())?;
    let present: Signers = args
        .officer_key
        .iter()
        .map(|path| officer(path, &old))
        .collect::<Result<_, _>>()?;
    let genesis = into_new_folder(&args.out, |dir| hold(args, &old, &present, dir))?;
    let json = json!({
        "out": args.out.display().to_string(),
        "genesis": genesis.digest,
        "previous": old.digest,
        "counter": genesis.manifest.counter,
        "threshold": genesis.manifest.threshold,
        "officers": fingerprints(&genesis).into_iter()
            .map(|(id, key)| json!({ "id": id, "key_thumbprint": key }))
            .collect::<Vec<_>>(),
    });
    let text = format!(
        "{}\nGive it to the appliance: redoubt rotate URL --policy (the old policy.json) \
         --genesis genesis.json --config config.json --share ...\n",
        record(&genesis)
    );
    Ok(Report::yes(text, json))
}

fn hold(
    args: &SuccessorArgs,
    old: &VerifiedGenesis,
    present: &Signers,
    dir: &Path,
) -> anyhow::Result<VerifiedGenesis> {
    let secret = OfficersSecret::generate(&SystemEntropy)?;
    let counter = old.manifest.counter + 1;
    let joining = joining(args, counter)?;
    let mut manifest = Genesis {
        counter,
        threshold: args.threshold,
        officers: officers(args, old, &joining)?,
        secret_commitment: secret.commitment(),
        previous: Some(old.digest),
        created_ms: now_ms(),
        ..old.manifest.clone()
    };
    args.peers.put_into(&mut manifest)?;
    manifest.validate()?;
    let mut signed = SignedFile::unsigned(&serde_json::to_vec(&manifest)?);
    for (id, key) in present.iter().chain(&joining) {
        signed.sign(id, key)?;
    }
    let genesis = old
        .successor(&signed.to_json())
        .map_err(|error| too_few(error, old))?;
    for (id, key) in &joining {
        write_key(dir, id, key)?;
    }
    write_results(dir, &genesis, &signed, &secret)?;
    if let Some(path) = &args.config {
        let config = carry_config(path, old, &genesis, present.iter().chain(&joining))?;
        write_new(&dir.join("config.json"), &config, PUBLIC)?;
    }
    Ok(genesis)
}

fn too_few(error: GenesisError, old: &VerifiedGenesis) -> anyhow::Error {
    match error {
        GenesisError::Signed(SignedFileError::TooFew { present, needed }) => anyhow::anyhow!(
            "{present} of {needed} signatures: {} of the present officers and as many of the new \
             ones as --threshold says must sign; give more --officer-key",
            old.manifest.threshold
        ),
        other => other.into(),
    }
}

/// New officers' keys. A new key has a new name: officer-COUNTER-1, ...
fn joining(args: &SuccessorArgs, counter: u64) -> anyhow::Result<Signers> {
    let kept = args.keep.len();
    let new = usize::from(args.officers)
        .checked_sub(kept)
        .with_context(|| format!("{kept} officers stay, {} are to be", args.officers))?;
    (1..=new)
        .map(|n| {
            let key = Es256Signer::generate(&SystemEntropy)?;
            Ok((format!("officer-{counter}-{n}"), key))
        })
        .collect()
}

fn officers(
    args: &SuccessorArgs,
    old: &VerifiedGenesis,
    joining: &Signers,
) -> anyhow::Result<Vec<Officer>> {
    let mut officers = Vec::new();
    for id in &args.keep {
        match old.manifest.officers.iter().find(|o| o.id == *id) {
            Some(officer) => officers.push(officer.clone()),
            None => bail!("--keep {id}: is no officer of the present manifest"),
        }
    }
    officers.extend(joining.iter().map(|(id, key)| Officer {
        id: id.clone(),
        key: key.jwk().clone(),
    }));
    Ok(officers)
}

/// The same configuration for the new manifest, signed by its officers.
fn carry_config<'k>(
    path: &Path,
    old: &VerifiedGenesis,
    new: &VerifiedGenesis,
    keys: impl Iterator<Item = &'k (String, Es256Signer)>,
) -> anyhow::Result<Vec<u8>> {
    let present = Config::verify(&read(path)?, old).with_context(|| path.display().to_string())?;
    let mut config: serde_json::Value = serde_json::from_slice(&present.envelope.payload()?)?;
    let digest: Digest32 = new.digest;
    config["genesis"] = json!(digest);
    config["counter"] = json!(present.config.counter + 1);
    let mut signed = SignedFile::unsigned(&serde_json::to_vec(&config)?);
    for (id, key) in keys {
        if new.manifest.officers.iter().any(|o| o.id == *id) {
            signed.sign(id, key)?;
        }
    }
    Config::verify(&signed.to_json(), new).context("the configuration for the new manifest")?;
    Ok(signed.to_json())
}
