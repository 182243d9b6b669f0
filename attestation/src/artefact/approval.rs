//! The artefact of an approval: the claim as a JWS with four signatures, its
//! receipt, and the customer's assertion inside.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evidence::FILE_MAX;
use super::{Assertion, ChallengeInput, JudgedReceipt, Refusal, Trust, verify_receipt};
use crate::encode::{Digest32, b64u_array, from_b64u};
use crate::jcs::to_jcs;
use crate::jwk::{AkpMlDsa65Jwk, EcP256Jwk};
use crate::ledger::Receipt;
use crate::sign::both;
use crate::sign::jws::{JwsSignature, Protected};

/// `typ` of every signature of an artefact.
pub const APPROVAL_TYP: &str = "redoubt-approval+jws";

/// An artefact as JSON carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// Base64url of the approval's claims, byte for byte as receipted.
    pub payload: String,
    /// ES256 and ML-DSA-65 by the tenant's keys and by the boot's.
    pub signatures: Vec<JwsSignature>,
    /// Proof that the claim is in the ledger, with evidence.
    pub receipt: Receipt,
    /// The tenant's public keys; the claim holds their thumbprints.
    pub tenant_keys: (EcP256Jwk, AkpMlDsa65Jwk),
}

/// An approval that holds.
#[derive(Debug, Clone)]
pub struct VerifiedArtefact {
    /// Its receipt.
    pub receipt: JudgedReceipt,
    /// The transaction approved.
    pub transaction: Value,
    /// Origin of the page that asked, as the customer's browser signed it.
    pub origin: String,
    /// Digest the customer's key signed.
    pub challenge: Digest32,
}

#[derive(Deserialize)]
struct ApprovalClaims {
    #[serde(rename = "type")]
    kind: String,
    tenant: redoubt_shared::TenantId,
    user_id: redoubt_shared::UserId,
    time_ms: u64,
    decision: String,
    transaction: Value,
    challenge_input: ChallengeInput,
    #[serde(with = "b64u_array")]
    challenge: [u8; 32],
    assertion: Assertion,
    tenant_key_es256: String,
    tenant_key_mldsa65: String,
}

/// Judges an artefact. Nothing in it is believed before step 1 held.
pub fn verify_artefact(bytes: &[u8], trust: &Trust) -> Result<VerifiedArtefact, Refusal> {
    if bytes.len() > FILE_MAX {
        return Err(Refusal::malformed("artefact", "larger than 4 MiB"));
    }
    let artefact: Artefact =
        serde_json::from_slice(bytes).map_err(|error| Refusal::malformed("artefact", error))?;
    // 1. A genuine enclave of this appliance recorded the claim.
    let receipt = verify_receipt(&artefact.receipt, trust)?;
    // 2. The payload is that claim, byte for byte.
    let payload =
        from_b64u(&artefact.payload).map_err(|error| Refusal::malformed("artefact", error))?;
    if payload != artefact.receipt.claims.as_bytes() {
        return Err(Refusal::OtherClaim);
    }
    let claims: ApprovalClaims =
        serde_json::from_slice(&payload).map_err(|error| Refusal::malformed("claims", error))?;
    if claims.kind != "approval" || claims.decision != "approved" {
        return Err(Refusal::NotAnApproval(format!(
            "{} {}",
            claims.kind, claims.decision
        )));
    }
    // 3. Tenant and boot signed it, each with both algorithms.
    check_tenant_keys(&artefact, &claims)?;
    check_signatures(&artefact, &payload, &receipt)?;
    // 4. The challenge is made from this transaction and nothing else.
    let challenge = check_challenge(&claims)?;
    // 5. The customer's own key answered it.
    claims
        .assertion
        .verify(&claims.challenge_input.rp_id, &challenge)?;
    Ok(VerifiedArtefact {
        receipt,
        transaction: claims.transaction,
        origin: claims.assertion.origin,
        challenge,
    })
}

fn check_tenant_keys(artefact: &Artefact, claims: &ApprovalClaims) -> Result<(), Refusal> {
    let (es256, mldsa65) = &artefact.tenant_keys;
    if es256.kid() == claims.tenant_key_es256 && mldsa65.kid() == claims.tenant_key_mldsa65 {
        Ok(())
    } else {
        Err(Refusal::TenantKeys)
    }
}

enum Key<'a> {
    Es256(&'a EcP256Jwk),
    MlDsa65(&'a AkpMlDsa65Jwk),
}

impl Key<'_> {
    fn alg_and_kid(&self) -> (&'static str, String) {
        match self {
            Key::Es256(key) => ("ES256", key.kid()),
            Key::MlDsa65(key) => ("ML-DSA-65", key.kid()),
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Key::Es256(key) => both::verify_es256(key, message, signature).is_ok(),
            Key::MlDsa65(key) => both::verify_ml_dsa_65(key, message, signature).is_ok(),
        }
    }
}

/// Exactly four signatures: each expected key once, no other.
fn check_signatures(
    artefact: &Artefact,
    payload: &[u8],
    receipt: &JudgedReceipt,
) -> Result<(), Refusal> {
    let (tenant_es256, tenant_mldsa65) = &artefact.tenant_keys;
    let boot = &receipt.head_binding.boot_keys;
    let expected = [
        ("tenant's ES256", Key::Es256(tenant_es256)),
        ("tenant's ML-DSA-65", Key::MlDsa65(tenant_mldsa65)),
        ("enclave's ES256", Key::Es256(&boot.receipt_es256)),
        ("enclave's ML-DSA-65", Key::MlDsa65(&boot.receipt_mldsa65)),
    ];
    if artefact.signatures.len() != expected.len() {
        return Err(Refusal::Signatures(format!(
            "{} where 4 belong",
            artefact.signatures.len()
        )));
    }
    let headers = headers(artefact)?;
    for (name, key) in expected {
        let (alg, kid) = key.alg_and_kid();
        let wanted = Protected::new(alg, &kid, Some(APPROVAL_TYP));
        let found = headers.iter().position(|header| *header == wanted);
        let index =
            found.ok_or_else(|| Refusal::Signatures(format!("the {name} one is missing")))?;
        let signature = &artefact.signatures[index];
        let bytes = signature
            .signature_bytes()
            .map_err(|source| Refusal::Jws { index, source })?;
        if !key.verifies(&signature.signing_input(payload), &bytes) {
            return Err(Refusal::BadSignature(name));
        }
    }
    Ok(())
}

fn headers(artefact: &Artefact) -> Result<Vec<Protected>, Refusal> {
    let signatures = artefact.signatures.iter().enumerate();
    signatures
        .map(|(index, signature)| {
            signature
                .header()
                .map_err(|source| Refusal::Jws { index, source })
        })
        .collect()
}

fn check_challenge(claims: &ApprovalClaims) -> Result<Digest32, Refusal> {
    let input = &claims.challenge_input;
    let jcs = to_jcs(&claims.transaction).map_err(|error| Refusal::malformed("claims", error))?;
    let same = [
        ("domain", input.domain == ChallengeInput::DOMAIN),
        ("purpose", input.purpose == ChallengeInput::PURPOSE),
        ("tenant", input.tenant == claims.tenant),
        ("user_id", input.user_id == claims.user_id),
        ("transaction", input.transaction_jcs == jcs),
    ];
    if let Some((name, _)) = same.iter().find(|(_, equal)| !equal) {
        return Err(Refusal::Challenge(name));
    }
    if claims.time_ms > input.expires_ms {
        return Err(Refusal::Expired);
    }
    let challenge = input.challenge();
    if challenge.0 != claims.challenge {
        return Err(Refusal::Challenge("challenge"));
    }
    Ok(challenge)
}
