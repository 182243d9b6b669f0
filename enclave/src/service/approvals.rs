//! Approvals: a challenge that is the payment, an assertion over it, an artefact.

use std::sync::Arc;

use redoubt_attestation::artefact::{Assertion as Evidence, ChallengeInput};
use redoubt_attestation::encode::{Digest32, b64u, sha256};
use redoubt_attestation::jcs::to_jcs;
use redoubt_shared::{ApprovalId, ReceiptId, UserId};
use serde_json::json;

use super::boot::Appliance;
use super::passkeys::{Known, known, verify_assertion};
use super::problems::{commit, in_part, internal};
use super::receipts::to_json;
use super::serving::Serving;
use crate::api::{
    self, ApprovalCreated, ApprovalRequest, ApprovalVerified, AuthenticationResponse, Caller,
    IdempotencyKey, Presented, Problem, RequestOptions, Timestamp,
};
use crate::core::{Approval, ApprovalStatus, Command, CreateApproval, Reply, Transaction};
use crate::passkeys::{Algorithm, Assertion, CredentialDescriptor, CredentialRecord};

/// Longest client data and authenticator data an artefact carries, in bytes.
const EVIDENCE_PART_MAX: usize = 4096;

impl Appliance {
    pub(super) async fn create_approval(
        &self,
        caller: &Caller,
        request: ApprovalRequest,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<ApprovalCreated, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let customer = known(&serving, caller, &request.user_id).await?;
        let approves = |known: &Known| {
            known
                .passkeys
                .iter()
                .any(|p| p.algorithm == Algorithm::Es256)
        };
        if !customer.as_ref().is_some_and(approves) {
            return Err(Problem::no_passkey());
        }
        let rp_id = serving.tenant(&caller.tenant)?.config.rp.id.clone();
        let transaction_jcs =
            to_jcs(&request.transaction).map_err(|_| Problem::invalid_transaction())?;
        let nonce = self.pool.draw().map_err(|_| internal("no entropy"))?;
        let id = ApprovalId::from_bytes(self.pool.draw().map_err(|_| internal("no entropy"))?);
        let lifetime_ms = u64::from(self.config.config.policy.approval_seconds) * 1000;
        let expires_ms = now_ms.saturating_add(lifetime_ms);
        let input = ChallengeInput {
            domain: ChallengeInput::DOMAIN.to_owned(),
            tenant: caller.tenant.clone(),
            rp_id,
            user_id: request.user_id.clone(),
            purpose: ChallengeInput::PURPOSE.to_owned(),
            expires_ms,
            nonce,
            transaction_jcs: transaction_jcs.clone(),
        };
        let asked = sha256(&[
            request.user_id.as_str().as_bytes(),
            b"\0",
            transaction_jcs.as_bytes(),
        ])
        .0;
        let repeatable = idempotency_key.is_some();
        let idempotency = idempotency_key.map(|key| (sha256(&[key.as_str().as_bytes()]).0, asked));
        let command = Command::CreateApproval(Box::new(CreateApproval {
            id,
            user: request.user_id.clone(),
            transaction: transaction(&request.transaction),
            transaction_jcs,
            nonce,
            challenge: input.challenge().0,
            expires_ms,
            idempotency,
        }));
        let (reply, _) = self.decide(&serving, caller, command, now_ms).await?;
        let Reply::Approval(id) = reply else {
            return Err(internal("an approval without an id"));
        };
        let created = self.approval_created(&serving, caller, request, id).await;
        created.map_err(|problem| match repeatable {
            true => problem,
            false => in_part(problem),
        })
    }

    /// The reply for an approval, new or found again by its idempotency key.
    async fn approval_created(
        &self,
        serving: &Serving,
        caller: &Caller,
        request: ApprovalRequest,
        id: ApprovalId,
    ) -> Result<ApprovalCreated, Problem> {
        let (approval, _) = find(serving, caller, id).await?;
        let known = known(serving, caller, &request.user_id)
            .await?
            .ok_or_else(Problem::no_passkey)?;
        let rp_id = &serving.tenant(&caller.tenant)?.config.rp.id;
        Ok(ApprovalCreated {
            approval_id: id,
            status: self.status(&approval)?,
            expires_at: Timestamp(approval.expires_ms),
            transaction: request.transaction,
            options: self.approval_options(rp_id, &approval, &known),
        })
    }

    fn approval_options(&self, rp_id: &str, approval: &Approval, known: &Known) -> RequestOptions {
        // Artefacts are judged offline, where only ES256 is understood so far.
        let allowed = known
            .passkeys
            .iter()
            .filter(|record| record.algorithm == Algorithm::Es256)
            .map(|record| CredentialDescriptor::new(&record.id, &record.transports))
            .collect();
        let mut options = RequestOptions::passkey(rp_id, &approval.challenge, allowed);
        options.timeout = Some(u64::from(self.config.config.policy.approval_seconds) * 1000);
        options
    }

    fn status(&self, approval: &Approval) -> Result<api::ApprovalStatus, Problem> {
        let now_ms = self.time()?;
        Ok(match approval.status {
            ApprovalStatus::Approved(_) => api::ApprovalStatus::Approved,
            ApprovalStatus::Pending if approval.expires_ms <= now_ms => {
                api::ApprovalStatus::Expired
            }
            ApprovalStatus::Pending => api::ApprovalStatus::Pending,
        })
    }

    pub(super) async fn get_approval(
        &self,
        caller: &Caller,
        id: ApprovalId,
    ) -> Result<api::Approval, Problem> {
        let serving = self.serving()?;
        let (approval, _) = find(&serving, caller, id).await?;
        let artefact = match approval.status {
            ApprovalStatus::Pending => None,
            ApprovalStatus::Approved(receipt) => {
                Some(self.stored_artefact(&serving, caller, receipt).await?)
            }
        };
        Ok(api::Approval {
            approval_id: id,
            status: self.status(&approval)?,
            expires_at: Timestamp(approval.expires_ms),
            transaction: reply_transaction(&approval.transaction)?,
            artefact,
        })
    }

    async fn stored_artefact(
        &self,
        serving: &Serving,
        caller: &Caller,
        receipt: ReceiptId,
    ) -> Result<api::Document, Problem> {
        let claim = serving
            .ledgers
            .fetch(&caller.tenant, receipt)
            .await
            .map_err(|error| commit(error, 0))?;
        self.artefact(serving, &caller.tenant, &claim).await
    }

    pub(super) async fn verify_approval(
        &self,
        caller: &Caller,
        id: ApprovalId,
        request: Presented<AuthenticationResponse>,
    ) -> Result<ApprovalVerified, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let (approval, owner) = find(&serving, caller, id).await?;
        if owner != request.user_id {
            return Err(Problem::unknown_approval());
        }
        match self.status(&approval)? {
            api::ApprovalStatus::Pending => {}
            api::ApprovalStatus::Expired => return Err(Problem::approval_expired()),
            _ => return Err(Problem::approval_closed()),
        }
        let tenant = serving.tenant(&caller.tenant)?;
        let rp = &tenant.config.rp;
        let known = known(&serving, caller, &owner)
            .await?
            .ok_or_else(Problem::authentication_failed)?;
        let answer = &request.credential;
        let origins = &rp.approval_origins;
        let verified = verify_assertion(&rp.id, origins, &approval.challenge, answer, &known)
            .and_then(|(record, assertion)| {
                let evidence =
                    lasting_evidence(&rp.id, &approval.challenge, answer, &record, &assertion)?;
                Ok((record, assertion, evidence))
            });
        let (record, assertion, evidence) = match verified {
            Ok(verified) => verified,
            Err(reason) => {
                let refuse = Command::RefuseApproval {
                    id,
                    user: owner,
                    reason,
                };
                self.decide(&serving, caller, refuse, now_ms).await?;
                return Err(Problem::authentication_failed());
            }
        };
        let (es256, mldsa65) = tenant.signer.jwks();
        let command = Command::GiveApproval {
            id,
            user: owner,
            assertion: to_json(&evidence)?,
            credential_id: record.id,
            sign_count: assertion.sign_count,
            backup_state: assertion.backup_state,
            tenant_keys: [es256.kid(), mldsa65.kid()],
            rp_id: rp.id.clone(),
        };
        let claim = self.decide_claim(&serving, caller, command, now_ms).await?;
        let artefact = self.artefact(&serving, &caller.tenant, &claim);
        Ok(ApprovalVerified {
            approval_id: id,
            status: api::ApprovalStatus::Approved,
            artefact: artefact.await.map_err(in_part)?,
            receipt: to_json(&claim.receipt())?,
        })
    }
}

/// The assertion as the claim will carry it, judged as an auditor will judge it:
/// an approval that the auditor's program would refuse is not given.
fn lasting_evidence(
    rp_id: &str,
    challenge: &[u8; 32],
    answer: &AuthenticationResponse,
    record: &CredentialRecord,
    assertion: &Assertion,
) -> Result<Evidence, &'static str> {
    let response = &answer.response;
    let parts = [
        response.client_data_json.as_slice(),
        response.authenticator_data.as_slice(),
    ];
    if parts.iter().any(|part| part.len() > EVIDENCE_PART_MAX) {
        return Err("assertion_too_long");
    }
    let evidence = Evidence {
        credential_id: b64u(&record.id),
        public_key_cose: record.public_key.clone(),
        authenticator_data: response.authenticator_data.as_slice().to_vec(),
        client_data_json: response.client_data_json.as_slice().to_vec(),
        signature: response.signature.as_slice().to_vec(),
        sign_count: assertion.sign_count,
        user_verified: assertion.user_verified,
        origin: assertion.origin.clone(),
    };
    evidence
        .verify(rp_id, &Digest32(*challenge))
        .map_err(|error| error.code())?;
    Ok(evidence)
}

/// An approval of this tenant and whom it asks.
async fn find(
    serving: &Serving,
    caller: &Caller,
    id: ApprovalId,
) -> Result<(Arc<Approval>, UserId), Problem> {
    let tenant = caller.tenant.clone();
    serving
        .ledgers
        .look(move |core| {
            let state = &core.tenants.get(&tenant)?.state;
            let approval = state.approvals.get(&id)?.clone();
            let user = state.subjects.get(&approval.subject)?.user.clone();
            Some((approval, user))
        })
        .await
        .map_err(|error| commit(error, 0))?
        .ok_or_else(Problem::unknown_approval)
}

fn transaction(asked: &api::Transaction) -> Transaction {
    Transaction {
        amount: asked.amount.as_str().to_owned(),
        currency: asked.currency.as_str().to_owned(),
        payee_name: asked.payee.name.as_str().to_owned(),
        payee_account: asked.payee.account.as_str().to_owned(),
        reference: asked.reference.as_str().to_owned(),
    }
}

fn reply_transaction(kept: &Transaction) -> Result<api::Transaction, Problem> {
    serde_json::from_value(json!({
        "amount": kept.amount,
        "currency": kept.currency,
        "payee": { "name": kept.payee_name, "account": kept.payee_account },
        "reference": kept.reference,
    }))
    .map_err(|_| internal("a kept transaction does not read back"))
}
