//! The artefact of an approval: the claim as a JWS with four signatures, its
//! receipt, and the customer's assertion inside.

use redoubt_shared::{TenantId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evidence::FILE_MAX;
use super::grants::{self, Asked, Named};
use super::{
    Assertion, ChallengeInput, JudgedReceipt, Refusal, Trust, transaction, verify_receipt,
};
use crate::encode::{Digest32, b64u_array, from_b64u};
use crate::jcs::to_jcs;
use crate::jwk::{AkpMlDsa65Jwk, EcP256Jwk};
use crate::ledger::Receipt;
use crate::sign::both;
use crate::sign::jws::{JwsSignature, Protected};

/// `typ` of every signature of an artefact of one answer.
pub const APPROVAL_TYP: &str = "redoubt-approval+jws";
/// `typ` where the approval took several answers: no reader of one takes it for the other.
pub const APPROVAL_V2_TYP: &str = "redoubt-approval-v2+jws";
/// `typ` of a rejection that the customer signed.
pub const REJECTION_TYP: &str = "redoubt-rejection+jws";
/// The claims' version where there were several answers; claims of one answer name none.
pub(super) const SEVERAL: u64 = 2;

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
    /// Receipts of the answers before the one that completed the approval, in the
    /// order the claim names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Receipt>,
}

/// An approval, or a rejection, that holds.
#[derive(Debug, Clone)]
pub struct VerifiedArtefact {
    /// Its receipt.
    pub receipt: JudgedReceipt,
    /// `approved` or `rejected`.
    pub decision: String,
    /// Whether a rejection ended the approval; if not, others may have approved it yet.
    pub closes: Option<bool>,
    /// Who answered so.
    pub people: Vec<UserId>,
    /// What was asked for, where it was more than one answer of one person.
    pub asked: Option<Asked>,
    /// The transaction.
    pub transaction: Value,
    /// Origin of the page that asked, as the customer's browser signed it.
    pub origin: String,
    /// Digest the customer's key signed.
    pub challenge: Digest32,
}

/// The claims of one answer that a customer signed.
#[derive(Deserialize)]
pub(super) struct Signed {
    #[serde(default)]
    pub(super) version: Option<u64>,
    pub(super) tenant: TenantId,
    pub(super) user_id: UserId,
    time_ms: u64,
    pub(super) decision: String,
    #[serde(default)]
    closes: Option<bool>,
    #[serde(default)]
    pub(super) approval_id: Option<String>,
    pub(super) transaction: Value,
    pub(super) challenge_input: ChallengeInput,
    #[serde(with = "b64u_array")]
    challenge: [u8; 32],
    pub(super) assertion: Assertion,
    #[serde(default)]
    pub(super) asked: Option<Asked>,
    #[serde(default)]
    pub(super) grants: Option<Vec<Named>>,
}

/// The tenant's keys, as the claims of an artefact name them.
#[derive(Deserialize)]
struct TenantKeyNames {
    tenant_key_es256: String,
    tenant_key_mldsa65: String,
}

/// The `typ` that signatures over these claims bear; `None` if they make no artefact.
pub fn artefact_typ(claims: &str) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "type")]
        kind: String,
        decision: String,
        #[serde(default)]
        version: Option<u64>,
        #[serde(default)]
        assertion: Value,
    }
    let head: Head = serde_json::from_str(claims).ok()?;
    if head.kind != "approval" || head.assertion.is_null() {
        return None;
    }
    match (head.decision.as_str(), head.version) {
        ("approved", None) => Some(APPROVAL_TYP),
        ("approved", Some(SEVERAL)) => Some(APPROVAL_V2_TYP),
        ("rejected", None) => Some(REJECTION_TYP),
        _ => None,
    }
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
    let typ = artefact_typ(&artefact.receipt.claims)
        .ok_or_else(|| Refusal::NotAnApproval(named(&receipt.receipt.claims)))?;
    let claims: Signed = read(&payload)?;
    // 3. Tenant and boot signed it, each with both algorithms.
    check_tenant_keys(&artefact, &read(&payload)?)?;
    check_signatures(&artefact, &payload, &receipt, typ)?;
    // 4. The challenge is made from this transaction and nothing else.
    let purpose = match typ {
        REJECTION_TYP => ChallengeInput::REJECTION,
        _ => ChallengeInput::PURPOSE,
    };
    let challenge = check_challenge(&claims, purpose)?;
    // 5. The customer's own key answered it.
    claims
        .assertion
        .verify(&claims.challenge_input.rp_id, &challenge)?;
    // 6. So did everybody else who had to.
    let people = match typ {
        APPROVAL_V2_TYP => grants::check(&claims, challenge, &artefact.grants, trust)?,
        _ if artefact.grants.is_empty() => vec![claims.user_id],
        _ => return Err(Refusal::Grants("answers where none belong")),
    };
    Ok(VerifiedArtefact {
        receipt,
        decision: claims.decision,
        closes: claims.closes,
        people,
        asked: claims.asked,
        transaction: claims.transaction,
        origin: claims.assertion.origin,
        challenge,
    })
}

fn read<T: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(payload).map_err(|error| Refusal::malformed("claims", error))
}

/// What a claim says it is, for whoever expected an approval.
fn named(claims: &Value) -> String {
    let member = |name: &str| claims[name].as_str().unwrap_or("?").to_owned();
    format!("{} {}", member("type"), member("decision"))
}

fn check_tenant_keys(artefact: &Artefact, claims: &TenantKeyNames) -> Result<(), Refusal> {
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
    typ: &str,
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
        let wanted = Protected::new(alg, &kid, Some(typ));
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

pub(super) fn check_challenge(claims: &Signed, purpose: &str) -> Result<Digest32, Refusal> {
    let input = &claims.challenge_input;
    let jcs = to_jcs(&claims.transaction).map_err(|error| Refusal::malformed("claims", error))?;
    let same = [
        ("domain", input.domain == ChallengeInput::DOMAIN),
        ("purpose", input.purpose == purpose),
        ("tenant", input.tenant == claims.tenant),
        ("user_id", input.user_id == claims.user_id),
        ("transaction", input.transaction_jcs == jcs),
    ];
    if let Some((name, _)) = same.iter().find(|(_, equal)| !equal) {
        return Err(Refusal::Challenge(name));
    }
    transaction::check(&claims.transaction)?;
    if claims.time_ms > input.expires_ms {
        return Err(Refusal::Expired);
    }
    let challenge = input.challenge();
    if challenge.0 != claims.challenge {
        return Err(Refusal::Challenge("challenge"));
    }
    Ok(challenge)
}
