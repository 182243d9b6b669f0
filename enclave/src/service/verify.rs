//! Verification: the attempt is spent and durable before the sample goes anywhere.

use std::sync::Arc;

use redoubt_shared::{ApprovalId, UserId, VerificationId};

use super::boot::{Appliance, Counters};
use super::liveness::Answered;
use super::problems::{self, internal};
use super::receipts::to_json;
use super::samples::{Measured, Refused, modality_of};
use super::serving::{Serving, TenantService};
use super::watch::{flags, verdict};
use crate::api::{
    ActionTaken, ActiveLiveness, Caller, Problem, Sample, Timestamp, Verification, VerifyRequest,
};
use crate::biometrics::{self, Made, Owner};
use crate::core::{
    Band, Command, Comparison, Modality, Reply, SampleUse, SubjectHandle, Template, Whereabouts,
};

/// A template and whose it is.
type Kept = (SubjectHandle, Arc<Template>);

/// A sample, or frames that answer a challenge.
struct Given(Sample, Option<Answered>);

/// An attempt with its outcome.
struct Concluded {
    user: UserId,
    id: VerificationId,
    modality: Modality,
    comparison: Comparison,
    approval: Option<ApprovalId>,
}

impl Appliance {
    pub(super) async fn verify_sample(
        &self,
        caller: &Caller,
        request: VerifyRequest,
    ) -> Result<Verification, Problem> {
        self.verify_for(caller, request, None).await
    }

    /// The same, for an approval that asks for a face.
    pub(super) async fn verify_for(
        &self,
        caller: &Caller,
        request: VerifyRequest,
        approval: Option<ApprovalId>,
    ) -> Result<Verification, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let modality = modality_of(request.modality)?;
        if approval.is_some() && modality != Modality::Face {
            return Err(Problem::unsupported_modality());
        }
        let user = request.user_id.clone();
        let answered = self.challenged(
            &serving,
            caller,
            (&user, modality),
            request.liveness.clone(),
        )?;
        let from = serving.tenant(&caller.tenant)?.tags.whereabouts(&request);
        let id = VerificationId::from_bytes(self.pool.draw().map_err(|_| internal("no entropy"))?);
        let reserve = Command::ReserveAttempt {
            user: user.clone(),
            modality,
            id,
            from,
        };
        self.decide(&serving, caller, reserve, now_ms).await?;
        let attempt = (user, id, modality, approval);
        let sample = (Given(request.biometric_data, answered), from);
        let ended = self.attempt(&serving, caller, attempt, sample);
        ended.await.map_err(problems::in_part)
    }

    /// What follows an attempt that is reserved.
    async fn attempt(
        &self,
        serving: &Serving,
        caller: &Caller,
        (user, id, modality, approval): (UserId, VerificationId, Modality, Option<ApprovalId>),
        (sample, from): (Given, Whereabouts),
    ) -> Result<Verification, Problem> {
        Counters::add(&self.counters.samples);
        match self
            .measure(serving, caller, (&user, modality), sample)
            .await
        {
            Ok(mut comparison) => {
                comparison.from = from;
                let concluded = Concluded {
                    user,
                    id,
                    modality,
                    comparison,
                    approval,
                };
                self.conclude(serving, caller, concluded).await
            }
            Err((problem, reason)) => {
                // No comparison was made: the attempt is given back.
                let worker_tier = problems::seen_at(&problem, serving);
                let release = Command::ReleaseAttempt {
                    user,
                    id,
                    worker_tier,
                    reason,
                };
                self.decide(serving, caller, release, self.time()?).await?;
                Err(problem)
            }
        }
    }

    /// Sample to comparison; the error is what to say and what to record.
    async fn measure(
        &self,
        serving: &Serving,
        caller: &Caller,
        (user, modality): (&UserId, Modality),
        Given(sample, answered): Given,
    ) -> Result<Comparison, Refused> {
        let sample = match answered {
            Some(answered) => self.followed(serving, answered).await?,
            None => self.measured(serving, modality, sample).await?,
        };
        let template = template(serving, caller, user, modality).await;
        let template = template.map_err(|problem| (problem, "no_template"))?;
        let tenant = serving.tenant(&caller.tenant);
        let tenant = tenant.map_err(|problem| (problem, "no_template"))?;
        // Made up and compared for everybody, and twice for whoever has none, so that it
        // takes the same time.
        let unmade = || (internal("no template could be made up"), "no_template");
        let nobody = self.made_up(tenant, (user, modality), &sample);
        let nobody = (SubjectHandle::NOBODY, nobody.ok_or_else(unmade)?);
        let compare = |(subject, template): &Kept| {
            let (subject, modality) = (*subject, modality);
            self.compare(tenant, &Owner { subject, modality }, template, &sample)
        };
        let made_up = Comparison {
            accepted: false,
            ..compare(&nobody).ok_or_else(unmade)?
        };
        let compared = compare(template.as_ref().unwrap_or(&nobody));
        let compared = compared.filter(|_| template.is_some());
        Ok(match compared {
            Some(own) if own.accepted => own,
            // What a template is of would tell that there is one.
            Some(own) => Comparison {
                confidence: own.confidence,
                ..made_up
            },
            None => made_up,
        })
    }

    /// Nobody's template: what is compared with it is rejected, whatever it was alike.
    fn made_up(
        &self,
        tenant: &TenantService,
        (user, modality): (&UserId, Modality),
        sample: &Measured,
    ) -> Option<Arc<Template>> {
        let space = self.newest_space(modality)?;
        let dimension = space.of(&sample.embeddings)?.vector.len();
        let length = biometrics::padded(dimension);
        let components = tenant.decoys.template(user, length)?;
        let made = Made {
            quality: 0.0,
            worker_tier: sample.tier.name(),
            at_ms: 0,
        };
        let dimension = u16::try_from(dimension).ok()?;
        let template = biometrics::made_up(&space.id, dimension, &components, made);
        Some(Arc::new(template))
    }

    fn compare(
        &self,
        tenant: &TenantService,
        owner: &Owner,
        template: &Template,
        sample: &Measured,
    ) -> Option<Comparison> {
        let modality = owner.modality;
        // What a tier that policy no longer accepts enrolled, counts as not enrolled.
        let accepted = &self.config.config.policy.accepted_tiers;
        if !accepted
            .iter()
            .any(|tier| tier.name() == template.worker_tier)
        {
            return None;
        }
        // What an older space enrolled is compared there, as long as the manifest has it.
        let space = self.space(modality, &template.model)?;
        let sample_there = space.of(&sample.embeddings)?;
        let cosine = tenant.transforms.cosine(owner, template, &sample_there)?;
        let rate = biometrics::false_match_rate(&space.calibration, cosine);
        let barred = self.bars(modality, sample.liveness);
        Some(Comparison {
            accepted: biometrics::accepts(rate, self.limit(modality)) && !barred,
            // A picture of the customer shall not learn that it matches.
            confidence: match barred {
                true => 0.0,
                false => biometrics::confidence(rate),
            },
            sample: SampleUse {
                model: template.model.clone(),
                worker_tier: sample.tier.name().to_owned(),
                template_tier: template.worker_tier.clone(),
                quality: sample.quality,
                liveness: sample.liveness,
                performed: sample.performed.clone(),
            },
            from: Whereabouts::default(),
        })
    }

    async fn conclude(
        &self,
        serving: &Serving,
        caller: &Caller,
        concluded: Concluded,
    ) -> Result<Verification, Problem> {
        let now_ms = self.time()?;
        let Concluded {
            user,
            id,
            modality,
            comparison,
            approval,
        } = concluded;
        let performed = comparison.sample.performed.as_ref();
        let barred = performed.is_some_and(|one| one.required);
        let challenged = performed.is_some();
        let (confidence_score, seen) = (comparison.confidence, comparison.sample.liveness);
        let conclude = || match approval {
            None => Command::ConcludeAttempt {
                user: user.clone(),
                id,
                comparison: comparison.clone(),
            },
            Some(approval) => Command::ConcludeApprovalFace {
                approval,
                user: user.clone(),
                id,
                comparison: comparison.clone(),
            },
        };
        let decided = self.decide_ruled(serving, caller, conclude, now_ms);
        let (reply, claim) = decided.await?;
        let claim = claim.ok_or_else(|| internal("a verdict made no claim"))?;
        let Reply::Verdict {
            locked_until_ms,
            ending,
            risk,
            lapse,
        } = reply
        else {
            return Err(internal("a comparison without a verdict"));
        };
        Ok(Verification {
            verification_id: id,
            user_id: user,
            result: verdict(ending),
            // A face that did not do what it was asked shall not learn that it matches.
            confidence_score: if barred && lapse.is_some() {
                0.0
            } else {
                confidence_score
            },
            modality: modality.into(),
            timestamp: Timestamp(now_ms),
            liveness_passed: seen.map(|seen| seen.passed),
            active_liveness: challenged.then(|| ActiveLiveness::new(lapse)),
            quality_passed: true,
            security_flags: flags(&risk),
            action_taken: match (locked_until_ms, risk.band()) {
                (Some(_), _) => ActionTaken::AccountLocked,
                (None, Band::High) => ActionTaken::AlertSent,
                (None, _) => ActionTaken::Logged,
            },
            receipt: to_json(&claim.receipt())?,
        })
    }
}

async fn template(
    serving: &Serving,
    caller: &Caller,
    user: &UserId,
    modality: Modality,
) -> Result<Option<Kept>, Problem> {
    let (tenant, user) = (caller.tenant.clone(), user.clone());
    serving
        .ledgers
        .look(move |core| {
            let state = &core.tenants.get(&tenant)?.state;
            let (handle, _) = state.subject(&user)?;
            Some((handle, state.template(&handle, modality)?))
        })
        .await
        .map_err(|error| problems::commit(error, 0))
}
