//! What the founding and every later ceremony share: officers with new keys, a
//! folder that appears under its name only when complete, and the files in it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{ClientPolicy, Officer, SignedFile, VerifiedGenesis};
use redoubt_attestation::shares::OfficersSecret;
use redoubt_attestation::sign::Es256Signer;
use serde::Serialize;

use super::genesis::record;
use crate::files::write_new;

pub(super) const SECRET: u32 = 0o600;
pub(super) const PUBLIC: u32 = 0o644;

/// Officers' ids and the keys they sign with.
pub(super) type Signers = Vec<(String, Es256Signer)>;

pub(super) fn check_threshold(threshold: u8, officers: u8) -> anyhow::Result<()> {
    ensure!(
        threshold <= officers,
        "--threshold {threshold} of {officers} officers: use 1 to the number of officers"
    );
    Ok(())
}

/// A new key for each id.
pub(super) fn new_signers(ids: impl Iterator<Item = String>) -> anyhow::Result<Signers> {
    ids.map(|id| Ok((id, Es256Signer::generate(&SystemEntropy)?)))
        .collect()
}

/// As the manifest lists them.
pub(super) fn officers(signers: &Signers) -> impl Iterator<Item = Officer> {
    signers.iter().map(|(id, key)| Officer {
        id: id.clone(),
        key: key.jwk().clone(),
    })
}

/// The file with everybody's signature.
pub(super) fn signed_by<'k>(
    signers: impl IntoIterator<Item = &'k (String, Es256Signer)>,
    payload: &impl Serialize,
) -> anyhow::Result<SignedFile> {
    let mut signed = SignedFile::unsigned(&serde_json::to_vec(payload)?);
    for (id, key) in signers {
        signed.sign(id, key)?;
    }
    Ok(signed)
}

/// Fills a folder of its own and gives it its name when everything is in it.
pub(super) fn into_new_folder<T>(
    out: &Path,
    fill: impl FnOnce(&Path) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    refuse_existing(out)?;
    let draft = draft_folder(out)?;
    let made = fill(&draft).and_then(|made| {
        std::fs::rename(&draft, out).with_context(|| out.display().to_string())?;
        Ok(made)
    });
    if made.is_err() {
        let _ = std::fs::remove_dir_all(&draft);
    }
    made
}

fn refuse_existing(out: &Path) -> anyhow::Result<()> {
    let exists = match std::fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if exists {
        bail!(
            "{}: is there already; a ceremony is never overwritten, name another folder",
            out.display()
        );
    }
    Ok(())
}

fn draft_folder(out: &Path) -> anyhow::Result<PathBuf> {
    let mut name = out.as_os_str().to_owned();
    name.push(format!(".draft-{}", std::process::id()));
    let draft = PathBuf::from(name);
    if let Some(parent) = out.parent() {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    let made = DirBuilder::new().mode(0o700).create(&draft);
    made.with_context(|| draft.display().to_string())?;
    Ok(draft)
}

/// The new keys, one share per officer, the manifest, the clients' policy, the page
/// to print. Keys and shares are readable by their owner only.
pub(super) fn write_results(
    dir: &Path,
    genesis: &VerifiedGenesis,
    secret: &OfficersSecret,
    new: &Signers,
) -> anyhow::Result<()> {
    for (id, key) in new {
        let pem = key.expose_pkcs8_pem()?;
        write_new(&dir.join(format!("{id}.key.pem")), pem.as_bytes(), SECRET)?;
    }
    let manifest = &genesis.manifest;
    let ids: Vec<String> = manifest.officers.iter().map(|o| o.id.clone()).collect();
    let digest = Some(genesis.digest);
    let shares = secret.split(manifest.threshold, &ids, 0, digest, &SystemEntropy)?;
    for (id, share) in ids.iter().zip(&shares) {
        let json = share.expose_json();
        write_new(&dir.join(format!("{id}.share.json")), &json, SECRET)?;
    }
    let policy = ClientPolicy::pin(genesis).to_json();
    let signed = genesis.envelope.to_json();
    write_new(&dir.join("genesis.json"), &signed, PUBLIC)?;
    write_new(&dir.join("policy.json"), &policy, PUBLIC)?;
    write_new(&dir.join("record.txt"), record(genesis).as_bytes(), PUBLIC)?;
    Ok(())
}
