//! A page as an auditor takes it away: JSON Lines that need nothing else to be
//! checked again (SPEC, "Export").

use redoubt_attestation::encode::{Digest32, b64u};
use redoubt_attestation::ledger::entry::Hash;
use redoubt_attestation::ledger::export::{
    EXPORT_END_TYPE, EXPORT_TYPE, ExportBegin, ExportEnd, ExportEntry, ExportEvent,
};
use redoubt_shared::{LedgerId, TenantId};
use serde::Serialize;

use super::page::{Page, PageEntry, PageEvent};

impl Page {
    /// Appends the page's lines: what it begins from, its entries, what it ends at.
    pub fn export(
        self,
        ledger: LedgerId,
        tenant: &TenantId,
        lines: &mut Vec<u8>,
    ) -> Result<(), serde_json::Error> {
        let digests = |hashes: Vec<Hash>| hashes.into_iter().map(Digest32).collect();
        let begin = ExportBegin {
            kind: EXPORT_TYPE.to_owned(),
            ledger,
            tenant: tenant.clone(),
            from: self.from,
            to: self.from + self.entries.len() as u64,
            size: self.size,
            peaks: digests(self.peaks),
        };
        line(lines, &begin)?;
        for entry in self.entries {
            line(lines, &exported(entry))?;
        }
        let end = ExportEnd {
            kind: EXPORT_END_TYPE.to_owned(),
            consistency: digests(self.consistency),
            checkpoint: self.note,
        };
        line(lines, &end)
    }
}

fn line(lines: &mut Vec<u8>, value: &impl Serialize) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *lines, value)?;
    lines.push(b'\n');
    Ok(())
}

fn exported(entry: PageEntry) -> ExportEntry {
    let event = |PageEvent { commitment, claim }: PageEvent| {
        let (claims, salt) = claim.unzip();
        ExportEvent {
            commitment: Digest32(commitment),
            claims,
            salt: salt.map(|salt| b64u(&salt)),
        }
    };
    ExportEntry {
        index: entry.header.index,
        header: hex::encode(entry.header.encode()),
        events: entry.events.into_iter().map(event).collect(),
    }
}
