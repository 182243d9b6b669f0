//! The lines of an export: a tenant's entries for its auditors, as JSON Lines.
//!
//! Protects against an export that shows less than the ledger holds: every entry
//! brings its header and every commitment, so that leaving out, adding or
//! changing one moves the root that the last line's checkpoint signs. Claims of
//! erased subjects are commitments only, and everything still verifies.

use redoubt_shared::{LedgerId, TenantId};
use serde::{Deserialize, Serialize};

use super::entry::{self, EventKind, Hash, Header};
use crate::encode::{Digest32, as_text, from_b64u, from_hex};

/// The `type` of the first line of a page.
pub const EXPORT_TYPE: &str = "redoubt/export/v1";
/// The `type` of the last line of a page.
pub const EXPORT_END_TYPE: &str = "redoubt/export-end/v1";
/// Longest line read, in bytes: an entry with a full batch of claims.
pub const LINE_MAX: usize = 16 * 1024 * 1024;

/// First line of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportBegin {
    /// [`EXPORT_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Which ledger.
    #[serde(with = "as_text")]
    pub ledger: LedgerId,
    /// Whose it is.
    pub tenant: TenantId,
    /// First entry of this page.
    pub from: u64,
    /// Behind the last one.
    pub to: u64,
    /// Entries of the ledger when it was exported.
    pub size: u64,
    /// Complete subtrees before the first entry, largest first, hex.
    pub peaks: Vec<Digest32>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportEntry {
    /// Its place.
    pub index: u64,
    /// Its 69 clear bytes, hex.
    pub header: String,
    /// Its events, in order.
    pub events: Vec<ExportEvent>,
}

/// One event: a commitment, and of a claim that is not dark its text and salt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportEvent {
    /// The commitment, hex.
    pub commitment: Digest32,
    /// The claim, JSON text exactly as committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
    /// Its salt, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

/// Last line of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportEnd {
    /// [`EXPORT_END_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// From the tree behind the last entry to the checkpoint's, hex.
    pub consistency: Vec<Digest32>,
    /// Signed note of the ledger at `size`.
    pub checkpoint: String,
}

/// Why an entry does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The header is no header.
    #[error("the header is not 69 bytes of a known version")]
    Header,
    /// A claim without salt or the other way round, or a salt of another length.
    #[error("event {0}: a claim needs a salt of 32 bytes, and a salt a claim")]
    Salt(usize),
    /// A claim that is not what its commitment says.
    #[error("event {0}: the claim is not what its commitment commits to")]
    Claim(usize),
    /// The events are not those of the header.
    #[error("the commitments are not those that the header's events root is over")]
    OtherEvents,
}

impl ExportEntry {
    /// Checks claims → commitments → header; returns the header.
    pub fn verify(&self) -> Result<Header, ExportError> {
        let header = from_hex(&self.header).ok();
        let header = header.and_then(|bytes| Header::decode(&bytes));
        let header = header.ok_or(ExportError::Header)?;
        for (at, event) in self.events.iter().enumerate() {
            event.verify(at)?;
        }
        let commitments = self.events.iter().map(|event| event.commitment.0);
        match entry::events_tree(commitments).root() == header.events_root {
            true => Ok(header),
            false => Err(ExportError::OtherEvents),
        }
    }
}

impl ExportEvent {
    fn verify(&self, at: usize) -> Result<(), ExportError> {
        let (claims, salt) = match (&self.claims, &self.salt) {
            (None, None) => return Ok(()),
            (Some(claims), Some(salt)) => (claims, salt),
            _ => return Err(ExportError::Salt(at)),
        };
        let salt: Option<Hash> = from_b64u(salt).ok().and_then(|bytes| bytes.try_into().ok());
        let salt = salt.ok_or(ExportError::Salt(at))?;
        match entry::commit(EventKind::Claims, &salt, claims.as_bytes()) == self.commitment.0 {
            true => Ok(()),
            false => Err(ExportError::Claim(at)),
        }
    }
}
