//! From a receipt with evidence to a claim that a genuine enclave recorded.

use redoubt_shared::TenantId;
use serde::Deserialize;

use super::fresh::{Fresh, FreshnessError};
use super::{Refusal, Trust};
use crate::appraise::Appraised;
use crate::binding::Binding;
use crate::encode::{Digest32, exactly, from_b64u};
use crate::genesis::Environment;
use crate::jwk::{AkpMlDsa65Jwk, OkpEd25519Jwk};
use crate::ledger::checkpoint::NoteAlgorithms;
use crate::ledger::receipt::{Evidence, TrustedBoot};
use crate::ledger::{NoteKey, Receipt, VerifiedAnchor, VerifiedReceipt};
use crate::sign::both;

/// Largest receipt or artefact read, in bytes.
pub(super) const FILE_MAX: usize = 4 * 1024 * 1024;
/// Most documents one receipt may bring.
const EVIDENCE_MAX: usize = 16;

/// A receipt that holds, and the boot that made its claim.
#[derive(Debug, Clone)]
pub struct JudgedReceipt {
    /// Claim, entry, head.
    pub receipt: VerifiedReceipt,
    /// What the claim's own document binds.
    pub binding: Binding,
    /// What the document of the boot that signed the head binds; the same boot
    /// countersigns an artefact, and it may be a later one than the claim's.
    pub head_binding: Binding,
    /// How fresh its head was, as witnesses saw it.
    pub fresh: Fresh,
    /// SHA-256 of that document.
    pub document: Digest32,
    /// Whose root signed it.
    pub environment: Environment,
    /// Whether somebody signed every document behind it.
    pub signed: bool,
    /// Debug mode, which the policy allowed.
    pub debug: bool,
}

/// What every claim repeats of the term it was made in.
#[derive(Deserialize)]
struct CommonClaims {
    tenant: TenantId,
    environment: String,
    document: Digest32,
    policy: Digest32,
    config: Digest32,
    models: Digest32,
    freshness: String,
    unwitnessed_ms: Option<u64>,
}

/// Judges a receipt with its evidence.
pub fn verify_receipt(receipt: &Receipt, trust: &Trust) -> Result<JudgedReceipt, Refusal> {
    // 1. Each document is genuine, of this appliance, and for serving.
    let boots = appraise_all(&receipt.evidence, trust)?;
    let trusted: Vec<TrustedBoot> = boots
        .iter()
        .map(|boot| trusted_boot(&boot.1, &boot.0))
        .collect();
    // 2. The claim is in the ledger under a head one of those boots signed.
    let verified = receipt.verify(&trusted, NOTE_ALGORITHMS)?;
    // A head that lost its ML-DSA-65 line is no lasting evidence.
    if !verified.post_quantum {
        return Err(
            crate::ledger::ReceiptError::from(crate::ledger::NoteError::NotPostQuantum).into(),
        );
    }
    // 3. The claim says of its term what the term's document says.
    let claims: CommonClaims = serde_json::from_value(verified.claims.clone())
        .map_err(|error| Refusal::malformed("claims", error))?;
    let head_binding = boots
        .get(verified.signer)
        .map(|(_, binding)| binding.clone())
        .ok_or(crate::ledger::ReceiptError::UnknownDocument)?;
    let bindings: Vec<Binding> = boots.iter().map(|(_, binding)| binding.clone()).collect();
    trust.check_head(verified.signer, &bindings)?;
    let signed = boots.iter().all(|(appraised, _)| appraised.signed);
    let (appraised, binding) = boots
        .into_iter()
        .find(|(appraised, _)| appraised.document_sha256 == claims.document)
        .ok_or(crate::ledger::ReceiptError::UnknownDocument)?;
    check_claims(&claims, &appraised, &binding)?;
    // 4. That document binds the ledger to the claim's tenant.
    let bound = binding.ledgers.iter().any(|bound| {
        bound.ledger == verified.header.ledger && bound.tenant.as_ref() == Some(&claims.tenant)
    });
    if !bound {
        return Err(Refusal::OtherLedger);
    }
    // 5. The head is as fresh as the claim says.
    let claimed = (claims.freshness.as_str(), claims.unwitnessed_ms);
    let asked = trust.asked(&binding, claimed)?;
    let anchor = judge_anchor(receipt, &verified, &trusted, &bindings, trust)?;
    let fresh = asked.judge(anchor)?;
    Ok(JudgedReceipt {
        receipt: verified,
        fresh,
        binding,
        head_binding,
        document: appraised.document_sha256,
        environment: appraised.environment,
        signed,
        debug: appraised.debug,
    })
}

/// Checks the anchor, if there is one: recorded in the ledger that its signer's
/// document names as the appliance's.
fn judge_anchor(
    receipt: &Receipt,
    verified: &VerifiedReceipt,
    trusted: &[TrustedBoot],
    bindings: &[Binding],
    trust: &Trust,
) -> Result<Option<VerifiedAnchor>, Refusal> {
    let Some(anchor) = &receipt.anchor else {
        return Ok(None);
    };
    let keys: Vec<NoteKey> = trusted.iter().map(|boot| boot.note_key.clone()).collect();
    let witnesses = &trust.genesis.manifest.witnesses;
    let anchor = anchor.verify(&verified.checkpoint, &keys, witnesses, NOTE_ALGORITHMS);
    let anchor = anchor.map_err(FreshnessError::from)?;
    trust.check_head(anchor.signer, bindings)?;
    let appliance = bindings
        .get(anchor.signer)
        .and_then(Binding::appliance_ledger);
    if appliance != Some(anchor.checkpoint.ledger) {
        return Err(FreshnessError::OtherLedger.into());
    }
    Ok(Some(anchor))
}

fn appraise_all(
    evidence: &[Evidence],
    trust: &Trust,
) -> Result<Vec<(Appraised, Binding)>, Refusal> {
    if evidence.is_empty() {
        return Err(Refusal::NoEvidence);
    }
    if evidence.len() > EVIDENCE_MAX {
        return Err(Refusal::malformed("evidence", "more than 16 documents"));
    }
    let decode =
        |text: &str| from_b64u(text).map_err(|error| Refusal::malformed("evidence", error));
    let mut boots = Vec::new();
    for (index, one) in evidence.iter().enumerate() {
        let appraised = trust
            .appraise(&decode(&one.document)?, &decode(&one.preimage)?)
            .map_err(|source| Refusal::Evidence { index, source })?;
        if let Some(binding) = appraised.enclave().cloned() {
            boots.push((appraised, binding));
        }
    }
    Ok(boots)
}

fn trusted_boot(binding: &Binding, appraised: &Appraised) -> TrustedBoot {
    TrustedBoot {
        document: appraised.document_sha256.0,
        note_key: NoteKey {
            ed25519: *binding.boot_keys.checkpoint_ed25519.as_bytes(),
            mldsa65: binding.boot_keys.receipt_mldsa65.as_bytes().to_vec(),
        },
    }
}

fn check_claims(
    claims: &CommonClaims,
    appraised: &Appraised,
    binding: &Binding,
) -> Result<(), Refusal> {
    let CommonClaims {
        tenant: _,
        environment,
        document: _,
        policy,
        config,
        models,
        freshness: _,
        unwitnessed_ms: _,
    } = claims;
    let attested = appraised.environment.name();
    if environment != attested {
        return Err(contradiction("environment", environment, attested));
    }
    let digests = [
        ("policy", policy, &binding.policy),
        ("config", config, &binding.config),
        ("models", models, &binding.models),
    ];
    match digests.into_iter().find(|(_, said, bound)| said != bound) {
        Some((field, said, bound)) => Err(contradiction(field, said, bound)),
        None => Ok(()),
    }
}

fn contradiction(field: &'static str, said: impl ToString, bound: impl ToString) -> Refusal {
    Refusal::Contradiction {
        field,
        said: said.to_string(),
        bound: bound.to_string(),
    }
}

/// Notes verify only if both implementations say so.
pub(crate) const NOTE_ALGORITHMS: NoteAlgorithms = NoteAlgorithms {
    ed25519: |public, message, signature| {
        exactly(public)
            .map(OkpEd25519Jwk::from_bytes)
            .is_ok_and(|key| both::verify_ed25519(&key, message, signature).is_ok())
    },
    mldsa65: |public, message, signature| {
        AkpMlDsa65Jwk::from_bytes(public)
            .is_some_and(|key| both::verify_ml_dsa_65(&key, message, signature).is_ok())
    },
};
