//! What the founding and every later ceremony share: officers with new keys, a
//! folder that appears under its name only when complete, and the files in it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{ClientPolicy, Genesis, Officer, SignedFile, VerifiedGenesis};
use redoubt_attestation::shares::OfficersSecret;
use redoubt_attestation::sign::Es256Signer;
use serde::Serialize;

use super::record::{self, Said};
use super::signing::OfficerKey;
use crate::files::{write_atomically, write_new};

pub(super) const SECRET: u32 = 0o600;
pub(super) const PUBLIC: u32 = 0o644;
/// The record, as text and as a page.
pub(super) const RECORD_TEXT: &str = "record.txt";
pub(super) const RECORD_PAGE: &str = "record.html";

/// Officers' ids and the keys they sign with.
pub(super) type Signers = Vec<(String, OfficerKey)>;

pub(super) fn check_threshold(threshold: u8, officers: u8) -> anyhow::Result<()> {
    ensure!(
        threshold <= officers,
        "--threshold {threshold} of {officers} officers: use 1 to the number of officers"
    );
    Ok(())
}

/// A new key for each id.
pub(super) fn new_signers(ids: impl Iterator<Item = String>) -> anyhow::Result<Signers> {
    ids.map(|id| {
        let key = Es256Signer::generate(&SystemEntropy)?;
        Ok((id, OfficerKey::File(key)))
    })
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
    signers: impl IntoIterator<Item = &'k (String, OfficerKey)>,
    payload: &impl Serialize,
) -> anyhow::Result<SignedFile> {
    let mut signed = SignedFile::unsigned(&serde_json::to_vec(payload)?);
    for (id, key) in signers {
        key.sign(&mut signed, id)?;
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

pub(super) fn refuse_existing(out: &Path) -> anyhow::Result<()> {
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

/// Keys that were made here, readable by their owner only.
pub(super) fn write_keys(dir: &Path, new: &[(String, OfficerKey)]) -> anyhow::Result<()> {
    for (id, key) in new {
        if let OfficerKey::File(key) = key {
            let pem = key.expose_pkcs8_pem()?;
            write_new(&dir.join(format!("{id}.key.pem")), pem.as_bytes(), SECRET)?;
        }
    }
    Ok(())
}

/// One share per officer of the manifest of this digest, readable by their owner only.
pub(super) fn write_shares(
    dir: &Path,
    manifest: &Genesis,
    digest: Digest32,
    secret: &OfficersSecret,
) -> anyhow::Result<()> {
    let ids: Vec<String> = manifest.officers.iter().map(|o| o.id.clone()).collect();
    let digest = Some(digest);
    let shares = secret.split(manifest.threshold, &ids, 0, digest, &SystemEntropy)?;
    for (id, share) in ids.iter().zip(&shares) {
        let json = share.expose_json();
        write_new(&dir.join(format!("{id}.share.json")), &json, SECRET)?;
    }
    Ok(())
}

/// The manifest, the clients' policy with the manifests before it, the pages to print.
pub(super) fn write_public(
    dir: &Path,
    genesis: &VerifiedGenesis,
    before: &[VerifiedGenesis],
    said: &Said,
) -> anyhow::Result<()> {
    let put = |name: &str, bytes: &[u8]| write_atomically(&dir.join(name), bytes);
    put("genesis.json", &genesis.envelope.to_json())?;
    let policy = ClientPolicy::pin_after(genesis, before);
    put("policy.json", &policy.to_json())?;
    put(RECORD_TEXT, record::text(genesis).as_bytes())?;
    put(RECORD_PAGE, record::page(genesis, said).as_bytes())?;
    Ok(())
}
