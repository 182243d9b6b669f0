//! Recorded FIDO metadata BLOBs of a folder, one after the other.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use redoubt_enclave::passkeys::metadata::conformance::{self, Row};
use redoubt_enclave::passkeys::metadata::{Expectation, Overdue, SIGNER};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// SHA-256 of the DER of GlobalSign Root CA - R3, under which the service signs.
const SERVICE_ROOT: &str = "cbb522d7b7f127ad6a0113865bdf1cd4102e7d0759af635a7cf4720dc963c53b";
const BLOBS: [&str; 3] = ["jwt", "jws", "blob"];
const CERTIFICATES: [&str; 4] = ["pem", "der", "crt", "cer"];

/// How a folder of BLOBs is judged.
#[derive(Debug, Clone, Copy)]
pub struct Judging<'a> {
    /// Certificates in PEM or DER, instead of the service's own root.
    pub root: Option<&'a Path>,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Whether a BLOB is refused once its `nextUpdate` has passed.
    pub refuse_overdue: bool,
}

/// One BLOB.
#[derive(Debug, Serialize)]
pub struct FileRow {
    /// Path below the folder.
    pub file: String,
    /// What came of it.
    #[serde(flatten)]
    pub row: Row,
}

/// Judges the BLOBs below `dir` as if they came in the order of their paths' bytes,
/// remembering the last that was accepted.
///
/// # Errors
/// If a file cannot be read, or there is no BLOB or no root.
pub fn judge(dir: &Path, judging: &Judging<'_>) -> Result<Vec<FileRow>> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.sort();
    let roots = match judging.root {
        Some(path) => certificates(path)?,
        None => service_roots(&files)?,
    };
    ensure!(
        !roots.is_empty(),
        "no root: give --root PEM, or put GlobalSign Root CA - R3 into {}",
        dir.display()
    );
    let mut expected = Expectation {
        roots: &roots,
        signer: SIGNER,
        now_ms: judging.at_ms,
        last: None,
        overdue: match judging.refuse_overdue {
            true => Overdue::Refuse,
            false => Overdue::Accept,
        },
    };
    let mut rows = Vec::new();
    for path in files.iter().filter(|path| ends_in(path, &BLOBS)) {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let name = path.strip_prefix(dir).unwrap_or(path);
        rows.push(FileRow {
            file: name.display().to_string(),
            row: conformance::row(without_line_end(&bytes), &mut expected),
        });
    }
    ensure!(
        !rows.is_empty(),
        "{}: no .{} file below it",
        dir.display(),
        BLOBS.join(", .")
    );
    Ok(rows)
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, found)?,
            false => found.push(path),
        }
    }
    Ok(())
}

fn ends_in(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().map(|found| found.to_ascii_lowercase());
    ending.is_some_and(|found| endings.iter().any(|known| found == *known))
}

/// Certificates among the files that are the service's root; others are trusted
/// for nothing, whatever they are called.
fn service_roots(files: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    let mut roots = Vec::new();
    for path in files.iter().filter(|path| ends_in(path, &CERTIFICATES)) {
        roots.extend(certificates(path)?);
    }
    roots.retain(|der| hex::encode(Sha256::digest(der)) == SERVICE_ROOT);
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    if !bytes.starts_with(b"-----") {
        return Ok(vec![bytes]);
    }
    CertificateDer::pem_slice_iter(&bytes)
        .map(|der| Ok(der?.to_vec()))
        .collect::<Result<_>>()
        .with_context(|| path.display().to_string())
}

/// Editors end files with a line break; it is no part of a JWS.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}
