//! Who is asking, as the TLS session proved it.
//!
//! Protects against: authority taken from a name. A tenant is the one anchor
//! that validated the client's chain; nothing inside a certificate can choose it.

use std::fmt;
use std::sync::Arc;

use redoubt_shared::TenantId;
use serde::{Deserialize, Serialize};

/// What a tenant lets one of its own certificates do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything of its tenant.
    Bank,
    /// Reads of its tenant only.
    ReadOnly,
}

/// A role of the appliance itself; no bank's CA can grant one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplianceRole {
    /// Reads evidence.
    Auditor,
    /// Holds a share.
    Officer,
    /// Runs the host.
    Operator,
}

/// Who the one anchor that validated the chain says the peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A tenant's client. `role` is empty when the tenant maps this leaf to none.
    Tenant {
        /// The tenant of the anchor.
        tenant: TenantId,
        /// The tenant's mapping of the leaf.
        role: Option<Role>,
    },
    /// Someone known to the appliance itself.
    Appliance(ApplianceRole),
}

/// The certificate holder at the other end of a TLS session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who that is.
    pub identity: Identity,
    /// SHA-256 of the leaf certificate.
    pub leaf_sha256: [u8; 32],
    /// End of the leaf's validity, Unix seconds.
    pub not_after: u64,
}

/// A tenant's client with a role, making one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant of the anchor that validated the chain.
    pub tenant: TenantId,
    /// The tenant's mapping of the leaf.
    pub role: Role,
    /// SHA-256 of the leaf certificate.
    pub leaf_sha256: [u8; 32],
    /// Of this request.
    pub request_id: RequestId,
}

/// Who asks for a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// A tenant: its own receipts only.
    Tenant(Caller),
    /// The appliance's auditor: receipts of every tenant.
    Auditor {
        /// SHA-256 of the auditor's leaf certificate.
        leaf_sha256: [u8; 32],
        /// Of this request.
        request_id: RequestId,
    },
}

/// Names one request in replies and logs. A UUID: it can carry nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// From 16 random bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let mut text = uuid::Uuid::encode_buffer();
        Self(Arc::from(&*uuid.hyphenated().encode_lower(&mut text)))
    }

    /// A client's own id, if it is a UUID in the usual hyphenated form.
    pub fn from_client(text: &str) -> Option<Self> {
        if text.len() != 36 {
            return None;
        }
        let uuid = uuid::Uuid::try_parse(text).ok()?;
        let mut canonical = uuid::Uuid::encode_buffer();
        Some(Self(Arc::from(
            &*uuid.hyphenated().encode_lower(&mut canonical),
        )))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_is_taken_over_from_a_client() {
        let own = RequestId::from_bytes([7; 16]);
        assert_eq!(RequestId::from_client(own.as_str()), Some(own));
        for wrong in [
            "",
            "customer-4711",
            "{07070707-0707-4707-8707-07070707070}",
            "urn:uuid:07070707-0707-4707-8707-070",
            "07070707070747078707070707070707",
        ] {
            assert_eq!(RequestId::from_client(wrong), None, "{wrong}");
        }
    }
}
