//! Officers sign a file one after the other: with which keys, and how many lack.

use std::path::{Path, PathBuf};

use anyhow::Context;
use redoubt_attestation::genesis::{SignedFile, SignedFileError, VerifiedGenesis};
use redoubt_attestation::jwk::EcP256Jwk;
use redoubt_attestation::sign::jws::Protected;
use redoubt_attestation::sign::{Es256Signer, SignerError};
use serde_json::{Map, json};
use zeroize::Zeroizing;

use super::token::{self, TokenKey};
use super::{Report, read, read_genesis, read_text};
use crate::files::write_atomically;

/// Flags of every command that signs.
#[derive(Debug, clap::Args)]
pub(super) struct Signing {
    /// The signed genesis manifest
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// An officer's private key: a file (PKCS#8 PEM), or in a token,
    /// pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE; repeat for more
    #[arg(long, value_name = "KEY", required = true)]
    officer_key: Vec<String>,
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
        for key in &self.officer_key {
            let (officer, key) = officer(key, genesis)?;
            key.sign(&mut signed, &officer)?;
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

/// How many signatures lack.
pub(super) fn missing(
    signed: &SignedFile,
    genesis: &VerifiedGenesis,
) -> Result<usize, SignedFileError> {
    let manifest = &genesis.manifest;
    match signed.verify(&manifest.officers, manifest.threshold.into()) {
        Ok(_) => Ok(0),
        Err(SignedFileError::TooFew { present, needed }) => Ok(needed - present),
        Err(error) => Err(error),
    }
}

/// A plain file without signatures, or a signed one with those it has; and its payload.
pub(super) fn open(path: &Path) -> anyhow::Result<(SignedFile, Vec<u8>)> {
    let bytes = read(path)?;
    let signed = SignedFile::parse(&bytes).unwrap_or_else(|_| SignedFile::unsigned(&bytes));
    let payload = signed.payload()?;
    Ok((signed, payload))
}

/// What an officer signs with.
pub(super) enum OfficerKey {
    /// Read from a file, or made here.
    File(Es256Signer),
    /// In a token, which it never leaves.
    Token(TokenKey),
}

impl OfficerKey {
    /// Reads the file, or finds and unlocks the token.
    pub(super) fn open(place: &str) -> anyhow::Result<Self> {
        if place.starts_with(token::SCHEME) {
            return Ok(Self::Token(TokenKey::open(place)?));
        }
        let pem = Zeroizing::new(read_text(Path::new(place))?);
        let key = Es256Signer::from_pkcs8_pem(&pem)
            .with_context(|| format!("{place}: no P-256 private key in PKCS#8 PEM"))?;
        Ok(Self::File(key))
    }

    /// The public half.
    pub(super) fn jwk(&self) -> &EcP256Jwk {
        match self {
            Self::File(key) => key.jwk(),
            Self::Token(key) => key.jwk(),
        }
    }

    /// Adds this officer's signature.
    pub(super) fn sign(&self, file: &mut SignedFile, officer: &str) -> anyhow::Result<()> {
        let key = match self {
            Self::File(key) => return Ok(file.sign(officer, key)?),
            Self::Token(key) => key,
        };
        let mut failed = None;
        let signature = Protected::new("ES256", officer, None).sign(&file.payload()?, |input| {
            key.sign(input).map_err(|error| {
                failed = Some(error);
                SignerError::Signing("a token")
            })
        });
        file.add(signature.map_err(|error| failed.unwrap_or_else(|| error.into()))?);
        Ok(())
    }
}

/// Whose key this is, according to the manifest.
pub(super) fn officer(
    place: &str,
    genesis: &VerifiedGenesis,
) -> anyhow::Result<(String, OfficerKey)> {
    let key = OfficerKey::open(place)?;
    let mut officers = genesis.manifest.officers.iter();
    let officer = officers
        .find(|officer| officer.key == *key.jwk())
        .with_context(|| format!("{place}: belongs to no officer of this genesis manifest"))?;
    Ok((officer.id.clone(), key))
}
