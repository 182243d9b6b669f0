//! Officers sign a file one after the other: with which keys, and how many lack.

use std::path::{Path, PathBuf};

use anyhow::Context;
use redoubt_attestation::genesis::{SignedFile, VerifiedGenesis};
use redoubt_attestation::sign::Es256Signer;
use serde_json::{Map, json};
use zeroize::Zeroizing;

use super::{Report, read, read_genesis, read_text};
use crate::files::write_atomically;

/// Flags of every command that signs.
#[derive(Debug, clap::Args)]
pub(super) struct Signing {
    /// The signed genesis manifest
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// An officer's private key (PKCS#8 PEM); repeat for more officers
    #[arg(long, value_name = "FILE", required = true)]
    officer_key: Vec<PathBuf>,
    /// Where the signed file goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// A kind of file that officers sign.
pub(super) struct Kind {
    /// In texts.
    pub(super) name: &'static str,
    /// The member of the JSON report with its digest.
    pub(super) member: &'static str,
    /// What may be done once it is complete.
    pub(super) complete: &'static str,
}

impl Signing {
    /// The manifest whose officers sign.
    pub(super) fn genesis(&self) -> anyhow::Result<VerifiedGenesis> {
        read_genesis(&self.genesis)
    }

    /// Adds the signatures and writes the file, unless `lacks` finds more wrong with
    /// it than that so many signatures are missing.
    pub(super) fn sign(
        &self,
        mut signed: SignedFile,
        genesis: &VerifiedGenesis,
        kind: &Kind,
        lacks: impl FnOnce(&[u8]) -> anyhow::Result<usize>,
    ) -> anyhow::Result<Report> {
        let mut signers = Vec::new();
        for path in &self.officer_key {
            let (officer, key) = officer(path, genesis)?;
            signed.sign(&officer, &key)?;
            signers.push(officer);
        }
        let missing = lacks(&signed.to_json())?;
        write_atomically(&self.out, &signed.to_json())?;
        let (out, digest) = (self.out.display().to_string(), signed.digest()?);
        let next = match missing {
            0 => format!("complete: {}", kind.complete),
            more => {
                format!("{more} more signatures are needed: give this file to the next officer")
            }
        };
        let text = format!(
            "{out}: {} {digest} signed by {}\n{next}",
            kind.name,
            signers.join(", ")
        );
        let mut report = Map::new();
        report.insert("out".to_owned(), out.into());
        report.insert(kind.member.to_owned(), json!(digest));
        report.insert("signed_by".to_owned(), json!(signers));
        report.insert("signatures_missing".to_owned(), missing.into());
        Ok(Report::yes(text, report.into()))
    }
}

/// A plain file without signatures, or a signed one with those it has; and its payload.
pub(super) fn open(path: &Path) -> anyhow::Result<(SignedFile, Vec<u8>)> {
    let bytes = read(path)?;
    let signed = SignedFile::parse(&bytes).unwrap_or_else(|_| SignedFile::unsigned(&bytes));
    let payload = signed.payload()?;
    Ok((signed, payload))
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
