//! Erasure of one modality or of a whole customer, and the epochs it waits for.
//!
//! Protects against: an erasure that is only said. A reply names the epoch whose
//! secret still opens sealed copies, and on whom its deletion depends.

use redoubt_shared::ErasureId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Document;
use super::text::{Timestamp, id};
use crate::passkeys::Base64Url;

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErasureStage {
    /// Out of use; sealed copies can be opened until the epoch's secret is deleted.
    PendingEpoch,
    /// Nobody can open a copy any more.
    Dark,
    /// The epoch is over; those named in `depends_on` gave no deletion statement.
    Depends,
}

/// What an erasure covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureCovers {
    /// One modality's template.
    Modality,
    /// Everything of one customer.
    Subject,
}

/// An erasure took effect.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Erased {
    /// Names the erasure.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub erasure_id: ErasureId,
    /// `pending-epoch`.
    pub status: ErasureStage,
    /// On whom darkness depends, beside the custodians' deletion.
    pub depends_on: Vec<String>,
    /// Dark once the secrets of this epoch and of all before are deleted.
    pub epoch: u32,
    /// The receipt.
    #[schema(value_type = Object)]
    pub receipt: Document,
}

/// A custodian's signed word that it deleted its share of an epoch's secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeletionStatement {
    /// JSON text of the statement (base64url).
    pub statement: Base64Url,
    /// Ed25519 over it, by the custodian's key in the genesis manifest (base64url).
    pub signature: Base64Url,
}

/// An erasure as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Erasure {
    /// Names the erasure.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub erasure_id: ErasureId,
    /// How far it is.
    pub status: ErasureStage,
    /// What it covers.
    pub scope: ErasureCovers,
    /// On whom darkness depends.
    pub depends_on: Vec<String>,
    /// Dark once the secrets of this epoch and of all before are deleted.
    pub epoch: u32,
    /// When it was asked for (RFC 3339, UTC).
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// Since when it is dark (RFC 3339, UTC).
    #[schema(value_type = Option<String>, format = DateTime)]
    pub dark_at: Option<Timestamp>,
    /// The custodians' statements it rests on.
    pub statements: Vec<DeletionStatement>,
}

/// Asks for a new epoch; with both members, for new officers too.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(try_from = "RotateMembers")]
pub struct RotateEpoch {
    /// The next genesis manifest and its configuration, each a JWS in JSON.
    pub successor: Option<(Document, Document)>,
}

/// The body of `POST /api/v1/epochs/rotate`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RotateEpoch)]
pub struct RotateMembers {
    /// The next genesis manifest (JWS), when officers change; only with `config`.
    #[schema(value_type = Option<Object>)]
    genesis: Option<Document>,
    /// The configuration for it (JWS); only with `genesis`.
    #[schema(value_type = Option<Object>)]
    config: Option<Document>,
}

impl TryFrom<RotateMembers> for RotateEpoch {
    type Error = &'static str;
    fn try_from(members: RotateMembers) -> Result<Self, Self::Error> {
        let successor = match (members.genesis, members.config) {
            (None, None) => None,
            (Some(genesis), Some(config)) => Some((genesis, config)),
            _ => return Err("send genesis and config together, or neither"),
        };
        Ok(Self { successor })
    }
}

/// A rotation under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rotation {
    /// The epoch it leads to.
    pub epoch: u32,
    /// What it is doing: a stable word.
    pub stage: &'static str,
    /// New officers' shares received, when officers change.
    pub shares_received: u32,
    /// New officers' shares needed; 0 when officers stay.
    pub shares_needed: u32,
}

/// Where epochs stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EpochStatus {
    /// The epoch in force.
    pub epoch: u32,
    /// Erasures that are not dark, over all tenants.
    pub pending_erasures: u64,
    /// The rotation under way, if any.
    pub rotation: Option<Rotation>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn officers_change_with_both_files_or_not_at_all() {
        let read = |text| serde_json::from_str::<RotateEpoch>(text);
        assert_eq!(read("{}").unwrap().successor, None);
        let both = read(r#"{"genesis":{"payload":"a"},"config":{"payload":"b"}}"#).unwrap();
        assert_eq!(both.successor.unwrap().1["payload"], "b");
        for wrong in [
            r#"{"genesis":{}}"#,
            r#"{"config":{}}"#,
            r#"{"other":1}"#,
            "[]",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn stages_are_spelt_as_the_contract_says() {
        let text = |stage| serde_json::to_string(&stage).unwrap();
        assert_eq!(text(ErasureStage::PendingEpoch), "\"pending-epoch\"");
        assert_eq!(text(ErasureStage::Dark), "\"dark\"");
        assert_eq!(text(ErasureStage::Depends), "\"depends\"");
    }
}
