//! Shows that what must stay inside never came out.
//!
//! Protects against a leak nobody thought of: whatever the untrusted side could
//! record (relayed bytes, stored files, logs, the metrics page) is searched for
//! known secrets in every encoding in which bytes usually travel. Because a
//! search that cannot find anything also finds nothing, every run plants each
//! secret into a copy of each capture and must find it there; an empty capture
//! counts as a failure.

mod control;
mod encodings;
mod index;
mod markers;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

pub use index::{Finding, Index};
pub use markers::{Markers, NamedBytes, NamedImage, NamedText, NamedVector};

/// What one capture showed.
#[derive(Debug, Clone, Serialize)]
pub struct CaptureReport {
    /// The file or folder.
    pub capture: String,
    /// Bytes searched.
    pub bytes: u64,
    /// Distinct markers found; must be 0.
    pub markers_found: usize,
    /// Planted markers that the control run found; must equal `control_planted`.
    pub control_found: usize,
    /// Markers planted in the control run, one per secret and encoding.
    pub control_planted: usize,
    /// What was found, by name.
    pub found: Vec<Finding>,
    /// Planted and not found, by name.
    pub control_missed: Vec<String>,
    /// Nothing found, everything planted was found, and there was something to search.
    pub ok: bool,
}

/// Searches every capture and runs the control on each.
pub fn search(captures: &[PathBuf], markers: &Markers) -> Result<Vec<CaptureReport>> {
    let index = Index::build(markers)?;
    captures
        .iter()
        .map(|capture| search_one(capture, &index))
        .collect()
}

fn search_one(capture: &Path, index: &Index) -> Result<CaptureReport> {
    let files = files_below(capture)?;
    let mut bytes = 0;
    let mut found: Vec<Finding> = Vec::new();
    let mut largest = Vec::new();
    for file in &files {
        let content = std::fs::read(file).with_context(|| file.display().to_string())?;
        bytes += content.len() as u64;
        for finding in index.scan(&content) {
            let seen = |f: &Finding| f.marker == finding.marker && f.encoding == finding.encoding;
            if !found.iter().any(seen) {
                found.push(finding);
            }
        }
        if content.len() > largest.len() {
            largest = content;
        }
    }
    let control = control::run(&largest, index);
    let ok = bytes > 0 && found.is_empty() && control.missed.is_empty() && control.planted > 0;
    Ok(CaptureReport {
        capture: capture.display().to_string(),
        bytes,
        markers_found: found.len(),
        control_found: control.planted - control.missed.len(),
        control_planted: control.planted,
        found,
        control_missed: control.missed,
        ok,
    })
}

/// The file itself, or every regular file below a folder.
fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    let kind = std::fs::symlink_metadata(path)
        .with_context(|| format!("{}: the capture to be searched is missing", path.display()))?;
    if !kind.is_dir() {
        return Ok(if kind.is_file() {
            vec![path.to_path_buf()]
        } else {
            Vec::new()
        });
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        files.extend(files_below(&entry)?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
