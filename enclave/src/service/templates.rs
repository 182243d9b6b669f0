//! Templates: each stored under a transform of its own, and renewed without its customer.
//!
//! Protects against two templates of one customer under one transform: a number that
//! another template took meanwhile is not used, the template is made again.

use redoubt_attestation::genesis::Tier;
use redoubt_shared::worker::Embedding;
use redoubt_shared::{EnrollmentId, UserId};

use super::boot::{Appliance, Counters};
use super::problems::{commit, internal, refused};
use super::receipts::to_json;
use super::samples::{Enrolling, modality_of};
use super::serving::Serving;
use crate::api::{self, Caller, Problem, Renewed, Timestamp};
use crate::biometrics::{Made, Owner};
use crate::core::{Command, Refusal, Reply, TenantState};
use crate::ledger::{Claim, CommitError, TenantCore};

/// How often a template is made again because another was stored meanwhile.
const ROUNDS: usize = 16;

/// What an enrolment's samples gave, before it is anybody's template.
pub(super) struct Fresh {
    pub(super) embedding: Embedding,
    /// 0 to 1.
    pub(super) quality: f32,
    pub(super) tier: Tier,
    /// Unix milliseconds.
    pub(super) at_ms: u64,
}

impl Appliance {
    /// Stores an enrolment's template under the next transform of its owner.
    pub(super) async fn store_template(
        &self,
        serving: &Serving,
        caller: &Caller,
        (id, owner): (EnrollmentId, Owner),
        enrolling: &Enrolling,
    ) -> Result<(Reply, Claim), Problem> {
        let fresh = &enrolling.fresh;
        let transforms = &serving.tenant(&caller.tenant)?.transforms;
        let made = Made {
            quality: fresh.quality,
            worker_tier: fresh.tier.name(),
            at_ms: fresh.at_ms,
        };
        for _ in 0..ROUNDS {
            let next = move |state: &TenantState| state.next_transform(&owner.subject);
            let number = self.in_state(serving, caller, next).await?;
            let template = transforms.protected(&owner, number, &fresh.embedding, made);
            let template = template.ok_or_else(|| internal("no template could be made"))?;
            let search = self.sought(serving, caller, &owner, fresh).await?;
            let (liveness, performed) = (enrolling.liveness, enrolling.performed.clone());
            let command = move |core: &TenantCore| Command::CompleteEnrollment {
                id,
                template: Box::new(template),
                liveness,
                performed,
                searched: search
                    .as_ref()
                    .zip(core.gallery.as_ref())
                    .and_then(|(search, gallery)| search.settled(gallery)),
            };
            let stored = self.unless_moved(serving, caller, command, fresh.at_ms);
            if let Some(stored) = stored.await? {
                return Ok(stored);
            }
        }
        Err(refused(Refusal::TemplateMoved, fresh.at_ms))
    }

    /// Puts a customer's template under another transform.
    pub(super) async fn renew_template(
        &self,
        caller: &Caller,
        user_id: UserId,
        modality: api::Modality,
    ) -> Result<Renewed, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let of = modality_of(modality)?;
        let transforms = &serving.tenant(&caller.tenant)?.transforms;
        for _ in 0..ROUNDS {
            let user = user_id.clone();
            let looked = self.in_state(&serving, caller, move |state| {
                let (subject, _) = state.subject(&user)?;
                let before = state.template(&subject, of)?;
                Some((subject, before, state.next_transform(&subject)?))
            });
            let (subject, before, number) = looked.await?;
            let owner = Owner {
                subject,
                modality: of,
            };
            let template = transforms.renewed(&owner, &before, number);
            let command = Command::RenewTemplate {
                user: user_id.clone(),
                modality: of,
                from: before.transform,
                template: Box::new(template.ok_or_else(|| internal("a template is malformed"))?),
            };
            let command = move |_: &TenantCore| command;
            let done = self.unless_moved(&serving, caller, command, now_ms).await?;
            let Some((Reply::Renewed { epoch }, claim)) = done else {
                continue;
            };
            return Ok(Renewed {
                user_id,
                modality,
                transform: number,
                renewed_at: Timestamp(now_ms),
                epoch,
                receipt: to_json(&claim.receipt())?,
            });
        }
        Err(refused(Refusal::TemplateMoved, now_ms))
    }

    /// Something of a tenant's state; nothing there is to be found: not enrolled.
    async fn in_state<T: Send + 'static>(
        &self,
        serving: &Serving,
        caller: &Caller,
        look: impl Fn(&TenantState) -> Option<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let tenant = caller.tenant.clone();
        let looked = serving
            .ledgers
            .look(move |core| look(&core.tenants.get(&tenant)?.state));
        let found = looked.await.map_err(|error| commit(error, 0))?;
        found.ok_or_else(Problem::not_enrolled)
    }

    /// A command about a template that was made for what was stored then; `None` if
    /// another was stored since.
    async fn unless_moved(
        &self,
        serving: &Serving,
        caller: &Caller,
        command: impl FnOnce(&TenantCore) -> Command + Send + 'static,
        now_ms: u64,
    ) -> Result<Option<(Reply, Claim)>, Problem> {
        match serving.ledgers.decide_from(&caller.tenant, command).await {
            Err(CommitError::Refused(Refusal::TemplateMoved)) => Ok(None),
            outcome => {
                let outcome = outcome.map_err(|error| commit(error, now_ms))?;
                Counters::add(&self.counters.decisions);
                let claim = outcome
                    .claim
                    .ok_or_else(|| internal("a template made no claim"))?;
                Ok(Some((outcome.reply, claim)))
            }
        }
    }
}
