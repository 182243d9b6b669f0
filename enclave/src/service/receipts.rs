//! Receipts with everything a court needs, and artefacts around them.
//!
//! Protects a bank years later: what is handed out here holds the claim, its
//! path, a head under two signatures, where the appliance's own ledger records it
//! under witnesses' eyes, and the documents behind all keys.

use redoubt_attestation::artefact::{APPROVAL_V2_TYP, artefact_typ};
use redoubt_attestation::encode::{Digest32, b64u};
use redoubt_attestation::ledger::checkpoint;
use redoubt_attestation::ledger::receipt::Evidence;
use redoubt_attestation::ledger::{Anchor, Hash, Receipt};
use redoubt_shared::{ReceiptId, TenantId};
use serde_json::Value;

use super::boot::Appliance;
use super::problems::{commit, internal};
use super::serving::Serving;
use crate::api::{Document, Problem, Reader};
use crate::ledger::{Claim, CommitError, TermRecord};

impl Appliance {
    /// Answers `GET /api/v1/receipts/{id}`: a tenant sees its own, an auditor any.
    pub(super) async fn receipt(&self, reader: Reader, id: ReceiptId) -> Result<Document, Problem> {
        let serving = self.serving()?;
        let tenants: Vec<TenantId> = match reader {
            Reader::Tenant(caller) => vec![caller.tenant],
            Reader::Auditor { .. } => serving.tenants.keys().cloned().collect(),
        };
        let mut refused = Problem::unknown_receipt();
        for tenant in tenants {
            match serving.ledgers.fetch(&tenant, id).await {
                Ok(claim) => {
                    let receipt = self.lasting_receipt(&serving, &claim).await?;
                    return to_json(&receipt);
                }
                Err(CommitError::UnknownReceipt) => {}
                // Another tenant's id may lead there by chance.
                Err(gone @ (CommitError::Expired | CommitError::Erased)) => {
                    refused = commit(gone, 0);
                }
                Err(other) => return Err(commit(other, 0)),
            }
        }
        Err(refused)
    }

    /// The receipt with evidence, its head under ML-DSA-65 as well.
    pub(super) async fn lasting_receipt(
        &self,
        serving: &Serving,
        claim: &Claim,
    ) -> Result<Receipt, Problem> {
        let mut receipt = claim.receipt();
        receipt.checkpoint = self.with_mldsa65(&receipt.checkpoint)?;
        receipt.anchor = anchor(serving, claim).await?;
        let named =
            named_document(&claim.text).ok_or_else(|| internal("a claim names no document"))?;
        let terms = serving
            .ledgers
            .look(move |core| {
                let current = core.appliance.terms.last().cloned();
                (core.appliance.term_of(&named).cloned(), current)
            })
            .await
            .map_err(|error| commit(error, 0))?;
        let (Some(then), Some(now)) = terms else {
            return Err(internal("a claim's document is not in the ledger"));
        };
        receipt.evidence.push(evidence(&then));
        if then.term != now.term {
            receipt.evidence.push(evidence(&now));
        }
        Ok(receipt)
    }

    fn with_mldsa65(&self, note: &str) -> Result<String, Problem> {
        let body = note.split_once("\n\n").map(|(body, _)| format!("{body}\n"));
        let checkpoint = body
            .and_then(|body| checkpoint::Checkpoint::parse_body(&body).ok())
            .ok_or_else(|| internal("our own note does not parse"))?;
        let signature = self
            .keys
            .receipt
            .sign_ml_dsa_65(checkpoint.body().as_bytes())
            .map_err(|_| internal("ML-DSA-65 signing failed"))?;
        let (_, mldsa65) = self.keys.receipt.jwks();
        Ok(format!(
            "{note}{}",
            checkpoint.mldsa65_line(mldsa65.as_bytes(), &signature)
        ))
    }

    /// The artefact around an approval's claim: four signatures, the receipt, and the
    /// receipts of the answers before it.
    pub(super) async fn artefact(
        &self,
        serving: &Serving,
        tenant: &TenantId,
        claim: &Claim,
    ) -> Result<Document, Problem> {
        let typ = artefact_typ(&claim.text).ok_or_else(|| internal("a claim of no artefact"))?;
        let signer = &serving.tenant(tenant)?.signer;
        let payload = claim.text.as_bytes();
        let failed = |_| internal("signing an artefact failed");
        let mut signatures = signer.sign_jws(payload, typ).map_err(failed)?.to_vec();
        signatures.extend(self.keys.receipt.sign_jws(payload, typ).map_err(failed)?);
        let (es256, mldsa65) = signer.jwks();
        let receipt = self.lasting_receipt(serving, claim).await?;
        let mut artefact = serde_json::json!({
            "payload": b64u(payload),
            "signatures": to_json(&signatures)?,
            "tenant_keys": [to_json(es256)?, to_json(mldsa65)?],
            "receipt": to_json(&receipt)?,
        });
        if typ == APPROVAL_V2_TYP {
            let mut grants = Vec::new();
            for id in earlier_answers(&claim.text) {
                let answer = serving.ledgers.fetch(tenant, id).await;
                let answer = answer.map_err(|error| commit(error, 0))?;
                grants.push(to_json(&self.lasting_receipt(serving, &answer).await?)?);
            }
            artefact["grants"] = grants.into();
        }
        Ok(artefact)
    }
}

/// Where the appliance's ledger records the head behind a claim.
async fn anchor(serving: &Serving, claim: &Claim) -> Result<Option<Anchor>, Problem> {
    let Some(recorded) = claim.entry.anchor.clone() else {
        return Ok(None);
    };
    let proven = serving.ledgers.prove(recorded.clone()).await;
    let proven = proven.map_err(|error| commit(error, 0))?;
    let hexes = |path: Vec<Hash>| path.iter().map(hex::encode).collect();
    let count = recorded.events.size();
    let path = recorded.events.inclusion(recorded.event_index, count);
    let path = path.ok_or_else(|| internal("a recorded head is not in its entry"))?;
    Ok(Some(Anchor {
        event: b64u(&recorded.event),
        salt: b64u(&recorded.salt),
        event_index: recorded.event_index,
        event_count: count,
        event_path: hexes(path),
        header: hex::encode(recorded.header.encode()),
        tree_size: proven.tree_size,
        leaf_path: hexes(proven.leaf_path),
        checkpoint: proven.note,
    }))
}

fn evidence(term: &TermRecord) -> Evidence {
    Evidence {
        document: b64u(&term.document),
        preimage: b64u(&term.preimage),
    }
}

/// The receipts of the answers that a completing claim names.
fn earlier_answers(claims: &str) -> Vec<ReceiptId> {
    #[derive(serde::Deserialize)]
    struct Completing {
        grants: Vec<Named>,
    }
    #[derive(serde::Deserialize)]
    struct Named {
        receipt_id: String,
    }
    let named = serde_json::from_str::<Completing>(claims).map(|completing| completing.grants);
    let ids = named.into_iter().flatten();
    ids.filter_map(|named| named.receipt_id.parse().ok())
        .collect()
}

fn named_document(claims: &str) -> Option<Digest32> {
    serde_json::from_str::<Value>(claims).ok()?["document"]
        .as_str()?
        .parse()
        .ok()
}

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<Value, Problem> {
    serde_json::to_value(value).map_err(|_| internal("a reply does not serialise"))
}
