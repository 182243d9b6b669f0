//! `redoubt-conformance`: judges whole folders of evidence that others recorded,
//! and tells the blindness search which embeddings to look for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use redoubt_attestation::conformance as documents;
use redoubt_attestation::document::VendorRoot;
use redoubt_attestation::genesis::RootKind;
use redoubt_attestation::nvidia::{self, NVIDIA_DEVICE_ROOT};
use redoubt_bank::blindness::Markers;
use redoubt_e2e::embeddings;
use redoubt_e2e::metadata::{self, Judging};
use redoubt_enclave::passkeys::conformance as ceremonies;
use serde::Serialize;

/// Judges recorded evidence, one row each. Verdicts are rows, not exit codes.
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    /// Every `.cose` document below a folder
    Nitro {
        /// The folder
        dir: PathBuf,
        /// PEM of the vendor root [default: AWS Nitro Enclaves root G1]
        #[arg(long, value_name = "PEM")]
        root: Option<PathBuf>,
        /// Judge at this time, RFC 3339 or Unix seconds [default: each document's own]
        #[arg(long, value_name = "TIME", value_parser = time_ms)]
        at: Option<u64>,
        /// The rows
        #[arg(long, value_name = "FILE")]
        json: PathBuf,
    },
    /// Every file of NVIDIA GPU evidence (`.json`) below a folder
    Nvidia {
        /// The folder
        dir: PathBuf,
        /// PEM of the device root [default: NVIDIA Device Identity CA]
        #[arg(long, value_name = "PEM")]
        root: Option<PathBuf>,
        /// Judge at this time, RFC 3339 or Unix seconds [default: now]
        #[arg(long, value_name = "TIME", value_parser = time_ms)]
        at: Option<u64>,
        /// Serial numbers of certificates revoked or on hold, hexadecimal, one a line
        /// [default: nobody asks for their status]
        #[arg(long, value_name = "FILE")]
        revoked: Option<PathBuf>,
        /// The rows
        #[arg(long, value_name = "FILE")]
        json: PathBuf,
    },
    /// Every FIDO metadata BLOB (`.jwt`, `.jws`, `.blob`) below a folder, in the order
    /// of their names: one with a lower number than one accepted before is a rollback
    Mds {
        /// The folder
        dir: PathBuf,
        /// PEM or DER of the root [default: GlobalSign Root CA - R3, by its digest, in the folder]
        #[arg(long, value_name = "PEM")]
        root: Option<PathBuf>,
        /// Judge at this time, RFC 3339, a day, or Unix seconds [default: now]
        #[arg(long, value_name = "TIME", value_parser = time_ms)]
        at: Option<u64>,
        /// Refuse a BLOB once the day of its next update has passed
        #[arg(long)]
        refuse_overdue: bool,
        /// The rows
        #[arg(long, value_name = "FILE")]
        json: PathBuf,
    },
    /// Every recorded WebAuthn ceremony of a file
    Webauthn {
        /// The file
        file: PathBuf,
        /// The rows
        #[arg(long, value_name = "FILE")]
        json: PathBuf,
    },
    /// Add the embedding of every image of a markers file to it, so that the
    /// bank's blindness search looks for embeddings too
    Embeddings {
        /// The models folder
        #[arg(long, value_name = "DIR", env = "REDOUBT_MODELS_DIR")]
        models: PathBuf,
        /// The model manifest (images/models.toml)
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
        /// The file, as `redoubt-bank story` writes it
        #[arg(long, value_name = "FILE")]
        markers: PathBuf,
    },
}

#[derive(Serialize)]
struct DocumentRow {
    file: String,
    #[serde(flatten)]
    row: documents::Row,
}

#[derive(Serialize)]
struct GpuRow {
    file: String,
    #[serde(flatten)]
    row: documents::GpuRow,
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Nitro {
            dir,
            root,
            at,
            json,
        } => nitro(&dir, root.as_deref(), at, &json),
        Command::Nvidia {
            dir,
            root,
            at,
            revoked,
            json,
        } => gpus(&dir, root.as_deref(), at, revoked.as_deref(), &json),
        Command::Mds {
            dir,
            root,
            at,
            refuse_overdue,
            json,
        } => now_or(at).and_then(|at_ms| {
            let root = root.as_deref();
            let judging = Judging {
                root,
                at_ms,
                refuse_overdue,
            };
            blobs(&dir, &judging, &json)
        }),
        Command::Webauthn { file, json } => webauthn(&file, &json),
        Command::Embeddings {
            models,
            manifest,
            markers,
        } => add_embeddings(&models, &manifest, &markers),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redoubt-conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn nitro(dir: &Path, root: Option<&Path>, at: Option<u64>, json: &Path) -> Result<()> {
    let root = vendor_root(root)?;
    let files = files_below(dir, "cose")?;
    let mut rows = Vec::with_capacity(files.len());
    for path in files {
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let name = path.strip_prefix(dir).unwrap_or(&path);
        rows.push(DocumentRow {
            file: name.display().to_string(),
            row: documents::row(&bytes, &root, at),
        });
    }
    let accepted = rows
        .iter()
        .filter(|row| row.row.verdict == documents::Verdict::Accept);
    println!("{} of {} documents accepted", accepted.count(), rows.len());
    write(json, &rows)
}

fn vendor_root(path: Option<&Path>) -> Result<VendorRoot> {
    let Some(path) = path else {
        return Ok(VendorRoot::aws_nitro());
    };
    let pem = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    VendorRoot::from_pem(RootKind::Nitro, &pem).with_context(|| path.display().to_string())
}

fn gpus(
    dir: &Path,
    root: Option<&Path>,
    at: Option<u64>,
    revoked: Option<&Path>,
    json: &Path,
) -> Result<()> {
    let text =
        |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let root = match root {
        Some(path) => nvidia::root_of_pem(&text(path)?).map_err(anyhow::Error::msg)?,
        None => NVIDIA_DEVICE_ROOT,
    };
    let at = now_or(at)?;
    let revoked = revoked.map(|path| serials(&text(path)?)).transpose()?;
    let mut rows = Vec::new();
    for path in files_below(dir, "json")? {
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let file = path
            .strip_prefix(dir)
            .unwrap_or(&path)
            .display()
            .to_string();
        let judged = documents::gpu_rows(&bytes, root, at, revoked.as_ref()).into_iter();
        rows.extend(judged.map(|row| GpuRow {
            file: file.clone(),
            row,
        }));
    }
    let accepted = rows
        .iter()
        .filter(|row| row.row.verdict == documents::Verdict::Accept);
    println!("{} of {} devices accepted", accepted.count(), rows.len());
    write(json, &rows)
}

fn now_or(at: Option<u64>) -> Result<u64> {
    match at {
        Some(at) => Ok(at),
        None => Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64),
    }
}

fn blobs(dir: &Path, judging: &Judging<'_>, json: &Path) -> Result<()> {
    let rows = metadata::judge(dir, judging)?;
    let accepted = rows.iter().filter(|row| row.row.verdict == "ok");
    println!("{} of {} BLOBs accepted", accepted.count(), rows.len());
    write(json, &rows)
}

/// Serial numbers as certificates carry them: a positive number whose first bit is
/// set has a zero byte in front.
fn serials(text: &str) -> Result<BTreeSet<Vec<u8>>> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let digits = line.replace(':', "");
        let bytes = hex::decode(digits).with_context(|| format!("{line}: no serial number"))?;
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            found.insert([&[0], &bytes[..]].concat());
        }
        found.insert(bytes);
    }
    Ok(found)
}

/// Files with this ending below a folder; none is an error.
fn files_below(dir: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(dir, ending, &mut found)?;
    ensure!(
        !found.is_empty(),
        "{}: no .{ending} file below it",
        dir.display()
    );
    found.sort();
    Ok(found)
}

fn collect(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, ending, found)?;
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    Ok(())
}

fn webauthn(file: &Path, json: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let rows = ceremonies::rows(&text)?;
    let agree = rows.iter().filter(|row| row.expect == row.verdict);
    println!("{} of {} verdicts agree", agree.count(), rows.len());
    write(json, &rows)
}

fn add_embeddings(models: &Path, manifest: &Path, path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut markers: Markers = serde_json::from_slice(&bytes).context("markers file")?;
    markers.vectors.clear();
    let added = embeddings::add(models, manifest, &mut markers)?;
    ensure!(added > 0, "no image of {} shows a face", path.display());
    println!("{added} embeddings");
    write(path, &markers)
}

fn write(path: &Path, content: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(content)?;
    std::fs::write(path, text + "\n").with_context(|| path.display().to_string())
}

/// RFC 3339, the beginning of a UTC day, or Unix seconds.
fn time_ms(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(1000).ok_or_else(|| "too late".into());
    }
    let format = &time::format_description::well_known::Rfc3339;
    let moment = time::OffsetDateTime::parse(text, format)
        .or_else(|_| time::OffsetDateTime::parse(&format!("{text}T00:00:00Z"), format))
        .map_err(|_| "write RFC 3339, as 2026-01-31T12:00:00Z, or Unix seconds".to_owned())?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).map_err(|_| "before 1970".to_owned())
}
