//! What customers and the bank answer to an approval.

use redoubt_attestation::artefact::{Assertion as Evidence, ChallengeInput};
use redoubt_attestation::encode::{Digest32, b64u};
use redoubt_shared::{ApprovalId, TenantId, UserId};

use super::super::assertions::{Named, verify_assertion};
use super::super::boot::Appliance;
use super::super::customers::known;
use super::super::problems::{commit, in_part, internal};
use super::super::receipts::to_json;
use super::super::samples::modality_of;
use super::super::serving::Serving;
use super::{Found, find, idempotency, must_be_open, next_challenge, status};
use crate::api::{
    self, AnswerOptions, AnswerPurpose, ApprovalVerified, AuthenticationResponse, Caller, Document,
    IdempotencyKey, Presented, Problem, Rejection, RequestOptions, Verification, VerifyRequest,
};
use crate::core::{Approval, ApprovalStatus, Command, Proof, Reply, SubjectHandle};
use crate::ledger::Claim;
use crate::passkeys::{Assertion, CredentialRecord};

/// Longest client data and authenticator data an artefact carries, in bytes.
const EVIDENCE_PART_MAX: usize = 4096;

impl Appliance {
    pub(in crate::service) async fn answer_options(
        &self,
        caller: &Caller,
        id: ApprovalId,
        query: AnswerOptions,
    ) -> Result<RequestOptions, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let found = find(&serving, caller, id).await?;
        let handle = found.person(&query.user_id)?;
        must_be_open(&found.approval, now_ms)?;
        let rp_id = &serving.tenant(&caller.tenant)?.config.rp.id;
        let known = known(&serving, caller, &query.user_id).await?;
        let known = known.ok_or_else(Problem::no_passkey)?;
        Ok(match query.purpose {
            AnswerPurpose::Approval => self.options(rp_id, &found.approval, handle, &known)?,
            AnswerPurpose::Rejection => {
                let challenge = rejection(caller, rp_id, &found, handle, &query.user_id)?;
                self.options_over(rp_id, &found.approval, handle, &known, &challenge)
            }
        })
    }

    pub(in crate::service) async fn verify_approval(
        &self,
        caller: &Caller,
        id: ApprovalId,
        request: Presented<AuthenticationResponse>,
    ) -> Result<ApprovalVerified, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let found = find(&serving, caller, id).await?;
        let handle = found.person(&request.user_id)?;
        must_be_open(&found.approval, now_ms)?;
        must_be_asked(&found.approval, handle)?;
        let challenge = next_challenge(&found.approval, handle)?;
        let (user, answer) = (request.user_id, &request.credential);
        let proof = self
            .proof(&serving, caller, id, &user, &challenge, answer)
            .await?;
        let command = || Command::GiveApproval {
            id,
            user: user.clone(),
            proof: Box::new(proof.clone()),
        };
        let decided = self.decide_ruled(&serving, caller, command, now_ms);
        let (reply, claim) = decided.await?;
        if reply == Reply::Refused {
            return Err(Problem::authentication_failed());
        }
        serving.listeners.tell(&caller.tenant, id);
        let claim = claim.ok_or_else(|| internal("an answer made no claim"))?;
        let status = match reply {
            Reply::Granted { complete: true } => api::ApprovalStatus::Approved,
            _ => api::ApprovalStatus::Pending,
        };
        self.answered(&serving, caller, id, status, &claim)
            .await
            .map_err(in_part)
    }

    /// An attempt on the customer's budget, for this approval.
    pub(in crate::service) async fn approval_sample(
        &self,
        caller: &Caller,
        (id, asked): (ApprovalId, api::Modality),
        request: VerifyRequest,
    ) -> Result<Verification, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let found = find(&serving, caller, id).await?;
        let handle = found.person(&request.user_id)?;
        must_be_open(&found.approval, now_ms)?;
        // Nobody's attempts are spent on what would not count.
        must_be_asked(&found.approval, handle)?;
        let modality = modality_of(asked)?;
        let approval = &found.approval;
        if !approval.terms.factors.has(modality) || approval.has(handle, modality) {
            return Err(Problem::already_answered());
        }
        let factor = Some((id, modality));
        let verification = self.verify_for(caller, request, factor).await?;
        serving.listeners.tell(&caller.tenant, id);
        Ok(verification)
    }

    pub(in crate::service) async fn reject_approval(
        &self,
        caller: &Caller,
        id: ApprovalId,
        request: Rejection,
        key: Option<IdempotencyKey>,
    ) -> Result<ApprovalVerified, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let found = find(&serving, caller, id).await?;
        let user = request.user_id;
        let handle = found.person(&user)?;
        let key = idempotency(key, &[b"reject", id.as_bytes(), user.as_str().as_bytes()]);
        if self.is_done(&serving, caller, key, now_ms).await? {
            return self.rejected(&serving, caller, id, handle, None).await;
        }
        let proof = match &request.credential {
            None => None,
            Some(answer) => {
                must_be_open(&found.approval, now_ms)?;
                must_be_asked(&found.approval, handle)?;
                let rp_id = &serving.tenant(&caller.tenant)?.config.rp.id;
                let challenge = rejection(caller, rp_id, &found, handle, &user)?;
                let proof = self
                    .proof(&serving, caller, id, &user, &challenge, answer)
                    .await?;
                Some(Box::new(proof))
            }
        };
        let command = Command::RejectApproval {
            id,
            user,
            proof,
            idempotency: key,
        };
        let (reply, claim) = self.decide(&serving, caller, command, now_ms).await?;
        if reply == Reply::Refused {
            return Err(Problem::authentication_failed());
        }
        serving.listeners.tell(&caller.tenant, id);
        let rejected = self.rejected(&serving, caller, id, handle, claim);
        rejected.await.map_err(in_part)
    }

    /// The reply to a rejection; without its claim to one that an idempotency key finds.
    async fn rejected(
        &self,
        serving: &Serving,
        caller: &Caller,
        id: ApprovalId,
        handle: SubjectHandle,
        claim: Option<Claim>,
    ) -> Result<ApprovalVerified, Problem> {
        let approval = find(serving, caller, id).await?.approval;
        let claim = match claim {
            Some(claim) => claim,
            None => {
                let rejected = approval.approver(handle).and_then(|one| one.rejected);
                self.claim_of(serving, caller, rejected).await?
            }
        };
        let status = status(&approval, self.time()?);
        self.answered(serving, caller, id, status, &claim).await
    }

    pub(in crate::service) async fn cancel_approval(
        &self,
        caller: &Caller,
        id: ApprovalId,
        key: Option<IdempotencyKey>,
    ) -> Result<ApprovalVerified, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let idempotency = idempotency(key, &[b"cancel", id.as_bytes()]);
        let command = Command::CancelApproval { id, idempotency };
        let (_, claim) = self.decide(&serving, caller, command, now_ms).await?;
        serving.listeners.tell(&caller.tenant, id);
        let claim = match claim {
            Some(claim) => claim,
            None => {
                let cancelled = match find(&serving, caller, id).await?.approval.status {
                    ApprovalStatus::Cancelled(receipt) => Some(receipt),
                    _ => None,
                };
                self.claim_of(&serving, caller, cancelled).await?
            }
        };
        let status = api::ApprovalStatus::Cancelled;
        self.answered(&serving, caller, id, status, &claim)
            .await
            .map_err(in_part)
    }

    /// Whether this very request was decided before, by its key: then nothing that comes
    /// with it is looked at again.
    async fn is_done(
        &self,
        serving: &Serving,
        caller: &Caller,
        key: Option<([u8; 32], [u8; 32])>,
        now_ms: u64,
    ) -> Result<bool, Problem> {
        let (Some((key, request)), tenant) = (key, caller.tenant.clone()) else {
            return Ok(false);
        };
        let kept = serving.ledgers.look(move |core| {
            let state = &core.tenants.get(&tenant)?.state;
            state.idempotency.get(&key).copied()
        });
        let kept = kept.await.map_err(|error| commit(error, 0))?;
        match kept.filter(|kept| kept.expires_ms > now_ms) {
            None => Ok(false),
            Some(kept) if kept.request == request => Ok(true),
            Some(_) => Err(Problem::idempotency_conflict()),
        }
    }

    /// The claim that an idempotent retry finds.
    async fn claim_of(
        &self,
        serving: &Serving,
        caller: &Caller,
        receipt: Option<redoubt_shared::ReceiptId>,
    ) -> Result<Claim, Problem> {
        let receipt = receipt.ok_or_else(|| internal("a kept key without its claim"))?;
        let claim = serving.ledgers.fetch(&caller.tenant, receipt).await;
        claim.map_err(|error| commit(error, 0))
    }

    async fn answered(
        &self,
        serving: &Serving,
        caller: &Caller,
        id: ApprovalId,
        status: api::ApprovalStatus,
        claim: &Claim,
    ) -> Result<ApprovalVerified, Problem> {
        Ok(ApprovalVerified {
            approval_id: id,
            status,
            artefact: self.artefact_if_any(serving, &caller.tenant, claim).await?,
            receipt: to_json(&claim.receipt())?,
        })
    }

    /// The artefact of a claim in which customers decided; none of any other.
    pub(super) async fn artefact_if_any(
        &self,
        serving: &Serving,
        tenant: &TenantId,
        claim: &Claim,
    ) -> Result<Option<Document>, Problem> {
        match redoubt_attestation::artefact::artefact_typ(&claim.text) {
            Some(_) => self.artefact(serving, tenant, claim).await.map(Some),
            None => Ok(None),
        }
    }

    /// Verifies an assertion over a challenge of this approval; a wrong one is recorded.
    async fn proof(
        &self,
        serving: &Serving,
        caller: &Caller,
        id: ApprovalId,
        user: &UserId,
        challenge: &[u8; 32],
        answer: &AuthenticationResponse,
    ) -> Result<Proof, Problem> {
        let tenant = serving.tenant(&caller.tenant)?;
        let rp = &tenant.config.rp;
        let known = known(serving, caller, user)
            .await?
            .ok_or_else(Problem::authentication_failed)?;
        let (origins, named) = (&rp.approval_origins, Named::ByTheBank);
        let verified = verify_assertion(tenant, origins, challenge, answer, &known, named)
            .and_then(|(record, assertion)| {
                let evidence = lasting_evidence(&rp.id, challenge, answer, &record, &assertion)?;
                Ok((record, assertion, evidence))
            });
        let (record, assertion, evidence) = match verified {
            Ok(verified) => verified,
            Err(reason) => {
                let user = user.clone();
                let credential_id = answer.raw_id.as_slice().to_vec();
                let refuse = Command::RefuseApproval {
                    id,
                    user,
                    credential_id,
                    reason,
                };
                self.decide(serving, caller, refuse, self.time()?).await?;
                return Err(Problem::authentication_failed());
            }
        };
        let (es256, mldsa65) = tenant.signer.jwks();
        Ok(Proof {
            assertion: to_json(&evidence)?,
            credential_id: record.id,
            sign_count: assertion.sign_count,
            backup_state: assertion.backup_state,
            tenant_keys: [es256.kid(), mldsa65.kid()],
            rp_id: rp.id.clone(),
            challenge: *challenge,
        })
    }
}

/// Somebody who rejected, or gave all that was asked of them, is asked no more.
fn must_be_asked(approval: &Approval, handle: SubjectHandle) -> Result<(), Problem> {
    match approval.still_asks(handle) {
        true => Ok(()),
        false => Err(Problem::already_answered()),
    }
}

/// The challenge by which somebody rejects.
fn rejection(
    caller: &Caller,
    rp_id: &str,
    found: &Found,
    handle: SubjectHandle,
    user: &UserId,
) -> Result<[u8; 32], Problem> {
    let approval: &Approval = &found.approval;
    let ask = approval.approver(handle).and_then(|one| one.asks.first());
    let ask = ask.ok_or_else(|| internal("somebody is asked nothing"))?;
    let input = ChallengeInput {
        domain: ChallengeInput::DOMAIN.to_owned(),
        tenant: caller.tenant.clone(),
        rp_id: rp_id.to_owned(),
        user_id: user.clone(),
        purpose: ChallengeInput::REJECTION.to_owned(),
        expires_ms: approval.expires_ms,
        nonce: ask.nonce,
        transaction_jcs: approval.transaction_jcs.clone(),
    };
    Ok(input.challenge().0)
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
