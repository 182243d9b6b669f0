//! Renewal of templates (ISO/IEC 24745:2022), without their customers.
//!
//! Protects against: a renewal that is only said. A reply names the epoch whose secret
//! still opens sealed copies of the template before.

use redoubt_shared::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use super::Document;
use super::biometrics::Modality;
use super::text::Timestamp;

/// A template is under another transform.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Renewed {
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Of what.
    pub modality: Modality,
    /// Number of the transform: one more than that of the customer's last template.
    pub transform: u32,
    /// RFC 3339, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub renewed_at: Timestamp,
    /// Sealed copies of the template before can be opened until the secrets of this epoch
    /// and of all before are deleted.
    pub epoch: u32,
    /// Signed proof of the ledger entry.
    #[schema(value_type = Object)]
    pub receipt: Document,
}
