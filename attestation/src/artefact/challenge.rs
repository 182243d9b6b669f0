//! The challenge that *is* the payment.
//!
//! Protects against an assertion being reused for another transaction, person,
//! tenant or purpose: all of them are hashed into the challenge, framed, so that
//! no two inputs share a digest.

use redoubt_shared::{TenantId, UserId};
use serde::{Deserialize, Serialize};

use crate::encode::{Digest32, b64u_array, sha256};

/// What an approval's challenge is the digest of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeInput {
    /// Always [`ChallengeInput::DOMAIN`].
    pub domain: String,
    /// Whose customer.
    pub tenant: TenantId,
    /// WebAuthn relying party id.
    pub rp_id: String,
    /// Which customer.
    pub user_id: UserId,
    /// [`ChallengeInput::PURPOSE`] or [`ChallengeInput::REJECTION`].
    pub purpose: String,
    /// Until when it may be answered, Unix milliseconds.
    pub expires_ms: u64,
    /// Single use, made inside the enclave.
    #[serde(with = "b64u_array")]
    pub nonce: [u8; 32],
    /// The transaction in JCS (RFC 8785).
    pub transaction_jcs: String,
}

impl ChallengeInput {
    /// The domain of approvals.
    pub const DOMAIN: &'static str = "redoubt/approval/v1";
    /// The purpose of approvals.
    pub const PURPOSE: &'static str = "approval";
    /// The purpose of rejections: no answer to one is an answer to the other.
    pub const REJECTION: &'static str = "rejection";

    /// SHA-256 over the members in their order, each framed by its u32
    /// big-endian length.
    pub fn challenge(&self) -> Digest32 {
        let Self {
            domain,
            tenant,
            rp_id,
            user_id,
            purpose,
            expires_ms,
            nonce,
            transaction_jcs,
        } = self;
        let expires = expires_ms.to_be_bytes();
        let members: [&[u8]; 8] = [
            domain.as_bytes(),
            tenant.as_str().as_bytes(),
            rp_id.as_bytes(),
            user_id.as_str().as_bytes(),
            purpose.as_bytes(),
            &expires,
            nonce,
            transaction_jcs.as_bytes(),
        ];
        let lengths = members.map(|member| (member.len() as u32).to_be_bytes());
        let frames: Vec<&[u8]> = lengths
            .iter()
            .zip(members)
            .flat_map(|(length, member)| [&length[..], member])
            .collect();
        sha256(&frames)
    }
}
