//! What the founding and every later ceremony share: a folder that appears
//! under its name only when complete, and the files in it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{ClientPolicy, SignedFile, VerifiedGenesis};
use redoubt_attestation::shares::OfficersSecret;
use redoubt_attestation::sign::Es256Signer;

use super::genesis::record;
use crate::files::write_new;

pub(super) const SECRET: u32 = 0o600;
pub(super) const PUBLIC: u32 = 0o644;

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

/// An officer's new key, readable by its owner only.
pub(super) fn write_key(dir: &Path, id: &str, key: &Es256Signer) -> anyhow::Result<()> {
    let pem = key.expose_pkcs8_pem()?;
    Ok(write_new(
        &dir.join(format!("{id}.key.pem")),
        pem.as_bytes(),
        SECRET,
    )?)
}

/// One share per officer, the manifest, the clients' policy, the page to print.
pub(super) fn write_results(
    dir: &Path,
    genesis: &VerifiedGenesis,
    signed: &SignedFile,
    secret: &OfficersSecret,
) -> anyhow::Result<()> {
    let manifest = &genesis.manifest;
    let ids: Vec<String> = manifest.officers.iter().map(|o| o.id.clone()).collect();
    let digest = Some(genesis.digest);
    let shares = secret.split(manifest.threshold, &ids, 0, digest, &SystemEntropy)?;
    for (id, share) in ids.iter().zip(&shares) {
        let json = share.expose_json();
        write_new(&dir.join(format!("{id}.share.json")), &json, SECRET)?;
    }
    let policy = ClientPolicy::pin(genesis).to_json();
    write_new(&dir.join("genesis.json"), &signed.to_json(), PUBLIC)?;
    write_new(&dir.join("policy.json"), &policy, PUBLIC)?;
    write_new(&dir.join("record.txt"), record(genesis).as_bytes(), PUBLIC)?;
    Ok(())
}
