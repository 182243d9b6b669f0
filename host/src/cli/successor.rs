//! `redoubt genesis successor`: the next manifest of the same appliance.
//!
//! Officers leave and join, images are allowed or withdrawn, thresholds and the
//! witnesses' policy change; the secret and every share are new, so that old shares
//! open nothing that is sealed from then on. Valid only with enough of the old
//! officers' signatures. Witnesses and custodians stay: a new witness remembers no
//! head, and k of the old list and k of the new one may have nobody in common.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{
    ClientPolicy, Config, Genesis, GenesisError, Officer, SignedFileError, VerifiedGenesis,
};
use redoubt_attestation::shares::OfficersSecret;
use serde_json::json;

use super::ceremony::{
    PUBLIC, Signers, check_threshold, into_new_folder, new_signers, officers, signed_by,
    write_keys, write_public, write_shares,
};
use super::genesis::thumbprints;
use super::images::ImageChanges;
use super::peers::PeerArgs;
use super::record::{self, Said};
use super::signing::{OfficerKey, officer};
use super::{Report, now_ms, read, read_config, read_genesis};
use crate::files::write_new;

/// Flags of `redoubt genesis successor`.
#[derive(Debug, clap::Args)]
pub(super) struct SuccessorArgs {
    /// The policy file that pins the manifest to succeed, or that manifest alone. The next
    /// policy names every manifest that this file does
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
    /// A present officer's private key, a file or pkcs11:..., to sign; repeat until their
    /// threshold is met
    #[arg(long, value_name = "KEY", required = true)]
    officer_key: Vec<String>,
    /// The present signed configuration: a copy for the new manifest is signed and put
    /// beside it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A new officer's own key, a file or pkcs11:...; repeat for more. The keys of the
    /// other new officers are made here
    #[arg(long, value_name = "KEY")]
    new_key: Vec<String>,
    #[command(flatten)]
    images: ImageChanges,
    #[command(flatten)]
    peers: PeerArgs,
}

pub(super) fn successor(args: &SuccessorArgs) -> anyhow::Result<Report> {
    check_threshold(args.threshold, args.officers)?;
    let before = line(&args.from)?;
    let old = before.first().context("no manifest")?;
    let present: Signers = args
        .officer_key
        .iter()
        .map(|key| officer(key, old))
        .collect::<Result<_, _>>()?;
    let genesis = into_new_folder(&args.out, |dir| hold(args, &before, &present, dir))?;
    let json = json!({
        "out": args.out.display().to_string(),
        "genesis": genesis.digest,
        "previous": old.digest,
        "counter": genesis.manifest.counter,
        "threshold": genesis.manifest.threshold,
        "officers": thumbprints(&genesis),
    });
    let text = format!(
        "{}\nGive it to the appliance: redoubt rotate URL --policy (the old policy.json) \
         --genesis genesis.json --config config.json --share ...\n",
        record::text(&genesis)
    );
    Ok(Report::yes(text, json))
}

/// The manifest to succeed, and those before it as far as the file names them.
fn line(from: &Path) -> anyhow::Result<Vec<VerifiedGenesis>> {
    let Ok((policy, pinned)) = ClientPolicy::verify(&read(from)?) else {
        return Ok(vec![read_genesis(from)?]);
    };
    let mut line = policy.line(&pinned)?;
    line.insert(0, pinned);
    Ok(line)
}

fn hold(
    args: &SuccessorArgs,
    before: &[VerifiedGenesis],
    present: &Signers,
    dir: &Path,
) -> anyhow::Result<VerifiedGenesis> {
    let old = before.first().context("no manifest")?;
    let secret = OfficersSecret::generate(&SystemEntropy)?;
    let counter = old.manifest.counter + 1;
    let joining = joining(args, counter)?;
    let mut all = staying(&args.keep, old)?;
    all.extend(officers(&joining));
    let mut manifest = Genesis {
        counter,
        threshold: args.threshold,
        officers: all,
        secret_commitment: secret.commitment(),
        previous: Some(old.digest),
        created_ms: now_ms(),
        ..old.manifest.clone()
    };
    args.images.put_into(&mut manifest)?;
    args.peers.put_into(&mut manifest)?;
    same_peers(&old.manifest, &manifest)?;
    manifest.validate()?;
    let signed = signed_by(present.iter().chain(&joining), &manifest)?;
    let genesis = old
        .successor(&signed.to_json())
        .map_err(|error| too_few(error, old))?;
    write_keys(dir, &joining[args.new_key.len()..])?;
    write_shares(dir, &manifest, genesis.digest, &secret)?;
    write_public(dir, &genesis, before, &Said::default())?;
    if let Some(path) = &args.config {
        let config = carry_config(path, old, &genesis, present.iter().chain(&joining))?;
        write_new(&dir.join("config.json"), &config, PUBLIC)?;
    }
    Ok(genesis)
}

/// An appliance takes no successor with others; better to hear it before the ceremony.
fn same_peers(old: &Genesis, new: &Genesis) -> anyhow::Result<()> {
    let peers = |manifest: &Genesis| {
        let (witnesses, custodians) = (&manifest.witnesses, &manifest.custodians);
        let threshold = manifest.custodian_threshold;
        (witnesses.clone(), custodians.clone(), threshold)
    };
    ensure!(
        peers(old) == peers(new),
        "witnesses, custodians and the custodians' threshold must stay as the present manifest \
         lists them, in its order; docs/operations/upgrade.md, B, says why"
    );
    Ok(())
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

/// New officers' keys, their own first. A new key has a new name: officer-COUNTER-1, ...
fn joining(args: &SuccessorArgs, counter: u64) -> anyhow::Result<Signers> {
    let (kept, own) = (args.keep.len(), args.new_key.len());
    let new = usize::from(args.officers)
        .checked_sub(kept)
        .with_context(|| format!("{kept} officers stay, {} are to be", args.officers))?;
    ensure!(own <= new, "{new} officers are new, {own} --new-key");
    let mut ids = (1..=new).map(|n| format!("officer-{counter}-{n}"));
    let brought = args.new_key.iter().zip(ids.by_ref());
    let mut all: Signers = brought
        .map(|(key, id)| Ok((id, OfficerKey::open(key)?)))
        .collect::<anyhow::Result<_>>()?;
    all.extend(new_signers(ids)?);
    Ok(all)
}

fn staying(ids: &[String], old: &VerifiedGenesis) -> anyhow::Result<Vec<Officer>> {
    ids.iter()
        .map(|id| {
            let mut present = old.manifest.officers.iter();
            let known = present.find(|officer| officer.id == *id).cloned();
            known.with_context(|| format!("--keep {id}: is no officer of the present manifest"))
        })
        .collect()
}

/// The same configuration for the new manifest, signed by its officers.
fn carry_config<'k>(
    path: &Path,
    old: &VerifiedGenesis,
    new: &VerifiedGenesis,
    keys: impl Iterator<Item = &'k (String, OfficerKey)>,
) -> anyhow::Result<Vec<u8>> {
    let mut config = read_config(path, old)?.config;
    config.genesis = new.digest;
    config.counter += 1;
    let theirs = keys.filter(|(id, _)| new.manifest.officers.iter().any(|o| o.id == *id));
    let signed = signed_by(theirs, &config)?.to_json();
    Config::verify(&signed, new).context("the configuration for the new manifest")?;
    Ok(signed)
}
