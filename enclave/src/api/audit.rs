//! A tenant's ledger for its auditors: claims by filter, and whole pages with proofs.
//!
//! Protects against: a search that holds up everybody else. One request scans a
//! bounded number of entries and hands out a cursor, whether it found something or not.

use redoubt_shared::{TenantId, UserId};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Document;
use super::text::parse_instant;

/// Which claims are asked for. All filters must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// `type` of the claim, for instance `verification`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Of this customer.
    #[param(value_type = Option<String>, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub user_id: Option<UserId>,
    /// Not before this time (RFC 3339).
    #[serde(default, deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<u64>,
    /// Before this time (RFC 3339).
    #[serde(default, deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<u64>,
    /// `next` of the reply before.
    #[param(value_type = Option<String>, pattern = r"^(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,8})$")]
    pub after: Option<Cursor>,
    /// Most claims in the reply, 1 to 500; 100 if absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// Whose ledger. Needed for auditors; a tenant's own otherwise.
    #[param(value_type = Option<String>, min_length = 1, max_length = 64, pattern = "^[a-z0-9-]+$")]
    pub tenant: Option<TenantId>,
}

/// Which entries are exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// First entry; 0 if absent.
    #[serde(default)]
    pub from: u64,
    /// Most entries, 1 to 256; 64 if absent.
    #[param(minimum = 1, maximum = 256)]
    pub limit: Option<u16>,
    /// Whose ledger. Needed for auditors; a tenant's own otherwise.
    #[param(value_type = Option<String>, min_length = 1, max_length = 64, pattern = "^[a-z0-9-]+$")]
    pub tenant: Option<TenantId>,
}

/// The place where the next request goes on: an entry, and an event in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// The entry.
    pub entry: u64,
    /// The event.
    pub event: u32,
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        format!("{}.{}", cursor.entry, cursor.event)
    }
}

impl TryFrom<String> for Cursor {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let read = || {
            let (entry, event) = text.split_once('.')?;
            let (entry, event) = (entry.parse().ok()?, event.parse().ok()?);
            let cursor = Self { entry, event };
            (String::from(cursor) == text).then_some(cursor)
        };
        read().ok_or("after: use the next of the reply before")
    }
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_instant(&text)
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom("use RFC 3339, for instance 2026-01-31T12:00:00Z"))
}

/// Claims that matched.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventsPage {
    /// In the order of the ledger. Those of erased customers are dark and not here.
    pub events: Vec<AuditEvent>,
    /// For the next request; null at the end of the ledger or of the time asked for.
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
    /// First entry of the ledger that is kept; 0 unless the tenant's time for keeping entries is over.
    pub kept_from: u64,
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEvent {
    /// Names its receipt.
    pub receipt_id: String,
    /// `type` of the claim.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, Unix milliseconds.
    pub time_ms: u64,
    /// Whose; null if nobody's.
    pub user_id: Option<String>,
    /// Entry of the ledger.
    pub entry: u64,
    /// Event of that entry.
    pub event: u32,
    /// The whole claim.
    #[schema(value_type = Object)]
    pub claims: Document,
}

/// Pages of an export, JSON Lines (`enclave/SPEC.md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonLines(pub Vec<u8>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_have_one_spelling() {
        let cursor = Cursor {
            entry: 12,
            event: 3,
        };
        assert_eq!(Cursor::try_from(String::from(cursor)), Ok(cursor));
        for wrong in [
            "",
            "12",
            "12.",
            ".3",
            "012.3",
            "12.03",
            "+12.3",
            "12.3.4",
            "-1.0",
            "1.4294967296",
        ] {
            assert!(Cursor::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
        assert!(
            Cursor { entry: 2, event: 9 }
                < Cursor {
                    entry: 10,
                    event: 0
                }
        );
    }
}
