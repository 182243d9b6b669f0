//! Files that hold notes and documents: notes, receipts, artefacts, and the
//! `evidence.json` of a trust folder.
//!
//! Protects against guessing: what a file is follows from its content, and a
//! file that is none of these is named.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use redoubt_attestation::artefact::{Boot, KeptDocument, Trust};
use redoubt_attestation::ledger::Receipt;
use serde_json::Value;

/// Largest file read whole, in bytes.
const FILE_MAX: u64 = 8 * 1024 * 1024;

/// Notes and documents of some files.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Notes, each with the name of its file.
    pub notes: Vec<(String, String)>,
    /// Notes of the appliance's ledger in receipts' anchors, likewise.
    pub anchors: Vec<(String, String)>,
    /// Documents, each with the name of its file.
    pub documents: Vec<(String, KeptDocument)>,
}

impl Inputs {
    /// Adds what a file holds.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(bytes).with_context(|| format!("{name}: not UTF-8"))?;
        if !text.trim_start().starts_with('{') {
            self.notes.push((name.to_owned(), text.to_owned()));
            return Ok(());
        }
        let shape: Value = serde_json::from_str(text).with_context(|| name.to_owned())?;
        if shape.get("payload").is_some() {
            return self.add_receipt(name, shape["receipt"].clone());
        }
        if shape.get("checkpoint").is_some() {
            return self.add_receipt(name, shape);
        }
        if shape.get("document").is_none() {
            bail!("{name}: neither a note nor a receipt, an artefact or an attestation document");
        }
        let kept = serde_json::from_value(shape).with_context(|| name.to_owned())?;
        self.documents.push((name.to_owned(), kept));
        Ok(())
    }

    fn add_receipt(&mut self, name: &str, shape: Value) -> Result<()> {
        let receipt: Receipt = serde_json::from_value(shape).with_context(|| name.to_owned())?;
        self.notes.push((name.to_owned(), receipt.checkpoint));
        if let Some(anchor) = receipt.anchor {
            let name = format!("{name} (anchor)");
            self.anchors.push((name, anchor.checkpoint));
        }
        for evidence in &receipt.evidence {
            let kept = KeptDocument::try_from(evidence).with_context(|| name.to_owned())?;
            self.documents.push((name.to_owned(), kept));
        }
        Ok(())
    }

    /// All notes.
    pub fn every_note(&self) -> impl Iterator<Item = &(String, String)> {
        self.notes.iter().chain(&self.anchors)
    }

    /// The boots of all documents, or the name of the file whose document is refused.
    /// Those under a manifest before the pinned one are passed over.
    pub fn boots(
        &self,
        trust: &Trust,
    ) -> Result<Vec<Boot>, (String, redoubt_attestation::appraise::Refusal)> {
        let boot = |(name, kept): &(String, KeptDocument)| {
            trust.boot(kept).map_err(|refusal| (name.clone(), refusal))
        };
        let present = self.documents.iter();
        let present = present.filter(|(_, kept)| !trust.is_before(kept));
        present.map(boot).collect()
    }
}

/// Unix milliseconds of RFC 3339 or Unix seconds.
pub fn parse_time(text: &str) -> Result<u64, String> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(seconds.saturating_mul(1000));
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok())
        .ok_or_else(|| "use RFC 3339 (2026-01-31T12:00:00Z) or Unix seconds".to_owned())
}

/// Reads a text file of at most 8 MiB.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).with_context(|| path.display().to_string())
}

/// Reads a file of at most 8 MiB.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(name)?;
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(name)?;
    anyhow::ensure!(
        bytes.len() as u64 <= FILE_MAX,
        "{}: larger than {FILE_MAX} bytes",
        path.display()
    );
    Ok(bytes)
}
