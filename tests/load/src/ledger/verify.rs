//! `redoubt-audit ledger verify` over segments and over an export, beside
//! SHA-256 over the same bytes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use aws_lc_rs::digest::{self, SHA256};
use redoubt_audit::ledger::{Export, Heads, Progress, verify_folder};
use redoubt_enclave::ledger::Ledgers;
use redoubt_host::store::segment::number_of;
use redoubt_shared::TenantId;

use super::rig::TENANT;
use crate::rows::Row;

/// Each is measured this often; the fastest counts.
const TIMES: usize = 3;
/// About how much is exported.
const EXPORT: usize = 32 * 1024 * 1024;

pub(super) async fn run(
    ledgers: &Ledgers,
    tenant: &TenantId,
    store_dir: &Path,
) -> Result<Vec<Row>> {
    let segments = segments(store_dir)?;
    let bytes = segments.iter().map(|path| Ok(path.metadata()?.len()));
    let bytes = bytes.sum::<Result<u64>>()?;
    let folder = || -> Result<()> {
        let (_, verdict) = verify_folder(store_dir, Heads::default(), false)?;
        Ok(verdict?)
    };
    let hashed = || -> Result<()> {
        let (mut hash, mut buffer) = (digest::Context::new(&SHA256), Vec::new());
        for path in &segments {
            buffer.clear();
            File::open(path)?.read_to_end(&mut buffer)?;
            hash.update(&buffer);
        }
        std::hint::black_box(hash.finish());
        Ok(())
    };
    let export = export(ledgers, tenant).await?;
    let lines = || -> Result<()> {
        let progress = Progress::new(export.len() as u64, false);
        let mut reading = Export::new(Heads::default(), progress, None);
        Ok(reading.verify(&export[..])?)
    };
    let hashed_lines = || -> Result<()> {
        std::hint::black_box(digest::digest(&SHA256, &export));
        Ok(())
    };
    Ok(vec![
        row("a store folder", bytes, folder, hashed)?,
        row("an export", export.len() as u64, lines, hashed_lines)?,
    ])
}

/// Bytes a second of the verifier, and of SHA-256 over the same.
fn row(
    what: &str,
    bytes: u64,
    verify: impl Fn() -> Result<()>,
    hash: impl Fn() -> Result<()>,
) -> Result<Row> {
    let mib = bytes as f64 / f64::from(1 << 20);
    let (ours, peer) = (mib / fastest(verify)?, mib / fastest(hash)?);
    let name = format!("ledger: verifying {what} of {mib:.0} MiB, against its SHA-256");
    Ok(Row::new(name, ours, peer, "MiB/s", TIMES))
}

/// Seconds of the fastest.
fn fastest(work: impl Fn() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..TIMES {
        let began = Instant::now();
        work()?;
        best = best.min(began.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn segments(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if number_of(&entry.file_name().to_string_lossy()).is_some() {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

/// Pages as the gateway writes them.
async fn export(ledgers: &Ledgers, tenant: &TenantId) -> Result<Vec<u8>> {
    let (mut lines, mut from) = (Vec::new(), 0);
    while lines.len() < EXPORT {
        let page = ledgers.page(tenant, from, 64).await?;
        if page.entries.is_empty() {
            break;
        }
        from += page.entries.len() as u64;
        page.export(TENANT, tenant, &mut lines)?;
    }
    if lines.is_empty() {
        bail!("there is nothing to export");
    }
    Ok(lines)
}
