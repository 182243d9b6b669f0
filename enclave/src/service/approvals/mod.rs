//! Approvals: a challenge that is the payment, assertions over it, an artefact.

mod answers;
mod feed;

pub(super) use feed::Listeners;

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::hmac;
use redoubt_attestation::artefact::{Assertion as Evidence, ChallengeInput};
use redoubt_attestation::encode::sha256;
use redoubt_attestation::jcs::to_jcs;
use redoubt_shared::{ApprovalId, ReceiptId, TenantId, UserId};

use super::boot::Appliance;
use super::customers::{Known, known};
use super::problems::{commit, in_part, internal, refused};
use super::serving::Serving;
use crate::api::{
    self, Answered, ApprovalCreated, ApprovalRequest, ApproverOptions, ApproverState, Caller,
    Factor, IdempotencyKey, Problem, RequestOptions, Timestamp,
};
use crate::core::{
    APPROVERS_MAX, Approval, ApprovalStatus, Ask, AskedOf, Command, CreateApproval, Factors,
    Modality, Refusal, Reply, SubjectHandle,
};
use crate::ledger::CommitError;
use crate::passkeys::CredentialDescriptor;

/// Longest canonical transaction, in bytes: it stands in claims twice.
const TRANSACTION_MAX: usize = 32 * 1024;
/// And times the answers that an artefact repeats it in, so that verifiers read it
/// (4 MiB): JSON in JSON in base64url takes eight bytes of one at most.
const REPEATED_MAX: usize = 256 * 1024;
/// Passkeys that one person answers with at most.
const DEVICES_MAX: usize = 2;

/// An approval and the names of those it asks.
pub(super) struct Found {
    approval: Arc<Approval>,
    people: Vec<(SubjectHandle, UserId)>,
}

impl Found {
    /// Somebody it asks; to others it does not exist.
    fn person(&self, user: &UserId) -> Result<SubjectHandle, Problem> {
        let mut people = self.people.iter();
        let found = people.find(|(_, name)| name == user);
        found
            .map(|(handle, _)| *handle)
            .ok_or_else(Problem::unknown_approval)
    }
}

/// A key as the core keeps it, hashed, with a digest of what was asked under it: HMAC-SHA-256
/// (RFC 2104) by the key itself, so that nobody can try names against what is kept.
fn idempotency(key: Option<IdempotencyKey>, asked: &[&[u8]]) -> Option<([u8; 32], [u8; 32])> {
    let key = key?;
    let lengths: Vec<_> = asked
        .iter()
        .map(|part| (part.len() as u32).to_be_bytes())
        .collect();
    let parts = lengths.iter().zip(asked);
    let framed: Vec<&[u8]> = parts
        .flat_map(|(length, part)| [&length[..], part])
        .collect();
    let by = hmac::Key::new(hmac::HMAC_SHA256, key.as_str().as_bytes());
    let digest = hmac::sign(&by, &framed.concat());
    let digest = digest.as_ref().try_into().ok()?;
    Some((sha256(&[key.as_str().as_bytes()]).0, digest))
}

impl Appliance {
    pub(super) async fn create_approval(
        &self,
        caller: &Caller,
        request: ApprovalRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<ApprovalCreated, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let repeatable = key.is_some();
        let (users, needed) = asked_of(&request)?;
        let factors = factors_of(&request)?;
        let transaction_jcs =
            to_jcs(&request.transaction).map_err(|_| Problem::invalid_transaction())?;
        let repeated = transaction_jcs.len() * usize::from(needed) * DEVICES_MAX;
        if !request.transaction.adds_up()
            || !request.transaction.shows()
            || transaction_jcs.len() > TRANSACTION_MAX
            || (users.len() > 1 && repeated > REPEATED_MAX)
        {
            return Err(Problem::invalid_transaction());
        }
        let rp_id = &serving.tenant(&caller.tenant)?.config.rp.id;
        let id = ApprovalId::from_bytes(self.pool.draw().map_err(|_| internal("no entropy"))?);
        let lifetime_ms = u64::from(self.config.config.policy.approval_seconds) * 1000;
        let expires_ms = now_ms.saturating_add(lifetime_ms);
        let mut approvers = Vec::new();
        for user in &users {
            let customer = known(&serving, caller, user).await?;
            if !customer.as_ref().is_some_and(approves) {
                return Err(Problem::no_passkey());
            }
            let ask = || {
                let nonce = self.pool.draw().map_err(|_| internal("no entropy"))?;
                let input = ChallengeInput {
                    domain: ChallengeInput::DOMAIN.to_owned(),
                    tenant: caller.tenant.clone(),
                    rp_id: rp_id.clone(),
                    user_id: user.clone(),
                    purpose: ChallengeInput::PURPOSE.to_owned(),
                    expires_ms,
                    nonce,
                    transaction_jcs: transaction_jcs.clone(),
                };
                let challenge = input.challenge().0;
                Ok::<_, Problem>(Ask { nonce, challenge })
            };
            approvers.push(AskedOf {
                user: user.clone(),
                asks: [ask()?, ask()?],
            });
        }
        let terms = [needed.to_be_bytes(), [factors.bits(), 0]].concat();
        let mut asked: Vec<&[u8]> = vec![b"create", transaction_jcs.as_bytes(), &terms];
        asked.extend(users.iter().map(|user| user.as_str().as_bytes()));
        let idempotency = idempotency(key, &asked);
        let (amount, currency) = request.transaction.amount();
        let asked = Box::new(CreateApproval {
            id,
            approvers,
            needed,
            factors,
            currency: currency.as_str().to_owned(),
            amount: amount.exact(),
            transaction_jcs,
            expires_ms,
            idempotency,
        });
        let command = || Command::CreateApproval(asked.clone());
        let decided = self.decide_ruled(&serving, caller, command, now_ms);
        let id = match decided.await?.0 {
            Reply::Approval(id) => id,
            Reply::Denied => return Err(Problem::policy_denied()),
            _ => return Err(internal("an approval without an id")),
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
        let found = find(serving, caller, id).await?;
        let rp_id = &serving.tenant(&caller.tenant)?.config.rp.id;
        let mut approvers = Vec::new();
        for (handle, user) in &found.people {
            let known = known(serving, caller, user).await?;
            let known = known.ok_or_else(Problem::no_passkey)?;
            approvers.push(ApproverOptions {
                user_id: user.clone(),
                options: self.options(rp_id, &found.approval, *handle, &known)?,
            });
        }
        let alone = found.approval.terms.approvers == 1;
        let mut options = None;
        if alone {
            options = approvers.pop().map(|only| only.options);
        }
        Ok(ApprovalCreated {
            approval_id: id,
            status: status(&found.approval, self.time()?),
            expires_at: Timestamp(found.approval.expires_ms),
            transaction: request.transaction,
            options,
            approvers,
        })
    }

    /// Options for the answer that comes next from one of those asked.
    fn options(
        &self,
        rp_id: &str,
        approval: &Approval,
        handle: SubjectHandle,
        known: &Known,
    ) -> Result<RequestOptions, Problem> {
        let challenge = next_challenge(approval, handle)?;
        Ok(self.options_over(rp_id, approval, handle, known, &challenge))
    }

    /// Options that offer the passkeys which may still count: not out of use for good,
    /// judged offline, not used for this approval, and of copies only one.
    fn options_over(
        &self,
        rp_id: &str,
        approval: &Approval,
        handle: SubjectHandle,
        known: &Known,
        challenge: &[u8; 32],
    ) -> RequestOptions {
        let counts = |record: &&crate::passkeys::CredentialRecord| {
            Evidence::judges(&record.public_key)
                && approval.passkeys_of(handle).all(|used| {
                    used.credential_id != record.id
                        && !(used.backup_eligible && record.backup_eligible)
                })
        };
        let usable = known.usable();
        let allowed = usable.iter().filter(counts);
        let allowed = allowed
            .map(|record| CredentialDescriptor::new(&record.id, &record.transports))
            .collect();
        let mut options = RequestOptions::passkey(rp_id, challenge, allowed);
        options.timeout = Some(u64::from(self.config.config.policy.approval_seconds) * 1000);
        options
    }

    pub(super) async fn get_approval(
        &self,
        caller: &Caller,
        id: ApprovalId,
    ) -> Result<api::Approval, Problem> {
        let serving = self.serving()?;
        let Found { approval, people } = find(&serving, caller, id).await?;
        let artefact = match approval.status {
            ApprovalStatus::Pending | ApprovalStatus::Cancelled(_) => None,
            ApprovalStatus::Approved(receipt) | ApprovalStatus::Rejected(receipt) => {
                self.stored_artefact(&serving, caller, receipt).await?
            }
        };
        let mut factors = vec![Factor::Passkey];
        factors.extend(
            approval
                .terms
                .factors
                .each()
                .map(|modality| match modality {
                    Modality::Face => Factor::Face,
                    Modality::Voice => Factor::Voice,
                }),
        );
        let approvers = people.into_iter().map(|(handle, user_id)| ApproverState {
            user_id,
            answer: answered(&approval, handle),
        });
        Ok(api::Approval {
            approval_id: id,
            status: status(&approval, self.time()?),
            expires_at: Timestamp(approval.expires_ms),
            transaction: serde_json::from_str(&approval.transaction_jcs)
                .map_err(|_| internal("a kept transaction does not read back"))?,
            approvers: approvers.collect(),
            required: approval.terms.needed,
            devices: approval.terms.devices,
            factors,
            artefact,
        })
    }

    /// The artefact of an approval that ended; none where the customer signed nothing,
    /// or a part of it is no longer kept.
    async fn stored_artefact(
        &self,
        serving: &Serving,
        caller: &Caller,
        receipt: ReceiptId,
    ) -> Result<Option<api::Document>, Problem> {
        let claim = match serving.ledgers.fetch(&caller.tenant, receipt).await {
            Ok(claim) => claim,
            Err(CommitError::Erased | CommitError::Expired) => return Ok(None),
            Err(error) => return Err(commit(error, 0)),
        };
        match self.artefact_if_any(serving, &caller.tenant, &claim).await {
            Err(gone) if gone.is(Problem::receipt_erased) || gone.is(Problem::receipt_expired) => {
                Ok(None)
            }
            made => made,
        }
    }
}

/// Who is asked, and how many of them must approve.
fn asked_of(request: &ApprovalRequest) -> Result<(Vec<UserId>, u16), Problem> {
    match (&request.user_id, &request.approvers, request.required) {
        (Some(user), None, None) => Ok((vec![user.clone()], 1)),
        (None, Some(users), Some(required)) => {
            let distinct: BTreeSet<_> = users.iter().collect();
            let fits = (1..=APPROVERS_MAX).contains(&users.len())
                && (1..=users.len()).contains(&required.into());
            match (fits, distinct.len() == users.len()) {
                (true, true) => Ok((users.clone(), required)),
                (true, false) => Err(refused(Refusal::OnePersonTwice, 0)),
                (false, _) => Err(refused(Refusal::ImpossibleTerms, 0)),
            }
        }
        _ => Err(Problem::malformed_request().detail("Give user_id, or approvers and required.")),
    }
}

fn factors_of(request: &ApprovalRequest) -> Result<Factors, Problem> {
    let (face, voice) = match request.factors.as_deref() {
        None | Some([Factor::Passkey]) => (false, false),
        Some([Factor::Passkey, Factor::Face]) => (true, false),
        Some([Factor::Passkey, Factor::Voice]) => (false, true),
        Some([Factor::Passkey, Factor::Face, Factor::Voice]) => (true, true),
        _ => {
            return Err(Problem::malformed_request().detail(
                "factors: use \"passkey\", and behind it \"face\", \"voice\" or both, in this order.",
            ));
        }
    };
    Ok(Factors { face, voice })
}

/// Whether a customer has a passkey whose answers are judged offline.
fn approves(known: &Known) -> bool {
    let usable = known.usable();
    let mut passkeys = usable.iter();
    passkeys.any(|record| Evidence::judges(&record.public_key))
}

/// What somebody is asked next; the last again, once they answered all.
fn next_challenge(approval: &Approval, handle: SubjectHandle) -> Result<[u8; 32], Problem> {
    let next = approval.passkeys_of(handle).count();
    let approver = approval.approver(handle);
    approver
        .and_then(|one| one.asks.get(next).or(one.asks.last()))
        .map(|ask| ask.challenge)
        .ok_or_else(|| internal("somebody is asked nothing"))
}

fn status(approval: &Approval, now_ms: u64) -> api::ApprovalStatus {
    match approval.open(now_ms) {
        Ok(()) => api::ApprovalStatus::Pending,
        Err(Refusal::ApprovalSpent) => api::ApprovalStatus::Approved,
        Err(Refusal::ApprovalRejected) => api::ApprovalStatus::Rejected,
        Err(Refusal::ApprovalCancelled) => api::ApprovalStatus::Cancelled,
        Err(_) => api::ApprovalStatus::Expired,
    }
}

fn answered(approval: &Approval, handle: SubjectHandle) -> Answered {
    let alone = approval.terms.approvers == 1;
    let approved = matches!(approval.status, ApprovalStatus::Approved(_)) && alone;
    if approval.rejected_by(handle) {
        Answered::Rejected
    } else if approved || approval.complete(handle) {
        Answered::Approved
    } else {
        Answered::Pending
    }
}

/// Why an approval cannot be answered any more, by name.
fn must_be_open(approval: &Approval, now_ms: u64) -> Result<(), Problem> {
    approval
        .open(now_ms)
        .map_err(|refusal| refused(refusal, now_ms))
}

/// Approvals that wait for this customer.
pub(super) async fn waiting(
    serving: &Serving,
    tenant: &TenantId,
    user: &UserId,
) -> Result<Vec<ApprovalId>, CommitError> {
    let (tenant, user) = (tenant.clone(), user.clone());
    let waiting = serving.ledgers.look(move |core| {
        let (_, subject) = core.tenants.get(&tenant)?.state.subject(&user)?;
        Some(subject.approvals.clone())
    });
    waiting.await.map(Option::unwrap_or_default)
}

/// An approval of this tenant and whom it asks.
async fn find(serving: &Serving, caller: &Caller, id: ApprovalId) -> Result<Found, Problem> {
    let tenant = caller.tenant.clone();
    serving
        .ledgers
        .look(move |core| {
            let state = &core.tenants.get(&tenant)?.state;
            let approval = state.approvals.get(&id)?.clone();
            let name = |subject: SubjectHandle| {
                let known = state.subjects.get(&subject)?;
                Some((subject, known.user.clone()))
            };
            let asked = approval.approvers.iter();
            let people = asked.filter_map(|one| name(one.subject)).collect();
            Some(Found { approval, people })
        })
        .await
        .map_err(|error| commit(error, 0))?
        .ok_or_else(Problem::unknown_approval)
}
