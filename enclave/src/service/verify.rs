//! Verification: the attempt is spent and durable before the sample goes anywhere.

use std::sync::Arc;

use redoubt_shared::worker::FaceSample;
use redoubt_shared::{ApprovalId, UserId, VerificationId};

use super::boot::{Appliance, Counters};
use super::enroll::only_facial;
use super::problems::{self, internal};
use super::receipts::to_json;
use super::serving::Serving;
use super::watch::{flags, verdict};
use crate::api::{
    ActionTaken, Caller, Modality, Problem, Sample, Timestamp, Verification, VerifyRequest,
};
use crate::biometrics;
use crate::core::{Band, Command, Comparison, Reply, SampleUse, Template, Whereabouts};

/// An attempt with its outcome.
struct Concluded {
    user: UserId,
    id: VerificationId,
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
        only_facial(request.modality)?;
        let user = request.user_id.clone();
        let from = serving.tenant(&caller.tenant)?.tags.whereabouts(&request);
        let id = VerificationId::from_bytes(self.pool.draw().map_err(|_| internal("no entropy"))?);
        let reserve = Command::ReserveAttempt {
            user: user.clone(),
            id,
            from,
        };
        self.decide(&serving, caller, reserve, now_ms).await?;
        let attempt = (user, id, approval);
        let sample = (request.biometric_data, from);
        let ended = self.attempt(&serving, caller, attempt, sample);
        ended.await.map_err(problems::in_part)
    }

    /// What follows an attempt that is reserved.
    async fn attempt(
        &self,
        serving: &Serving,
        caller: &Caller,
        (user, id, approval): (UserId, VerificationId, Option<ApprovalId>),
        (sample, from): (Sample, Whereabouts),
    ) -> Result<Verification, Problem> {
        Counters::add(&self.counters.samples);
        match self.measure(serving, caller, &user, sample).await {
            Ok(mut comparison) => {
                comparison.from = from;
                let concluded = Concluded {
                    user,
                    id,
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
        user: &UserId,
        sample: Sample,
    ) -> Result<Comparison, (Problem, &'static str)> {
        let measured = serving.worker.face(sample.into_bytes()).await;
        let (sample, tier) = measured.map_err(|error| problems::sample(&error))?;
        let template = face_template(serving, caller, user).await;
        let template = template.map_err(|problem| (problem, "no_template"))?;
        self.compare(&template, &sample, tier.name())
            .ok_or_else(|| (Problem::not_enrolled(), "template_not_comparable"))
    }

    fn compare(&self, template: &Template, sample: &FaceSample, tier: &str) -> Option<Comparison> {
        // What a tier that policy no longer accepts enrolled, counts as not enrolled.
        let accepted = &self.config.config.policy.accepted_tiers;
        if !accepted
            .iter()
            .any(|tier| tier.name() == template.worker_tier)
        {
            return None;
        }
        // What an older space enrolled is compared there, as long as the manifest has it.
        let space = self.manifest.space(&template.model)?;
        let cosine = biometrics::cosine(template, &space.of(sample)?)?;
        let rate = biometrics::false_match_rate(&space.calibration, cosine);
        let limit = self.config.config.policy.face_false_matches_per_million;
        Some(Comparison {
            accepted: biometrics::accepts(rate, limit),
            confidence: biometrics::confidence(rate),
            sample: SampleUse {
                model: template.model.clone(),
                worker_tier: tier.to_owned(),
                template_tier: template.worker_tier.clone(),
                quality: sample.quality.score,
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
            comparison,
            approval,
        } = concluded;
        let confidence_score = comparison.confidence;
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
        } = reply
        else {
            return Err(internal("a comparison without a verdict"));
        };
        Ok(Verification {
            verification_id: id,
            user_id: user,
            result: verdict(ending),
            confidence_score,
            modality: Modality::Facial,
            timestamp: Timestamp(now_ms),
            liveness_passed: None,
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

async fn face_template(
    serving: &Serving,
    caller: &Caller,
    user: &UserId,
) -> Result<Arc<Template>, Problem> {
    let (tenant, user) = (caller.tenant.clone(), user.clone());
    serving
        .ledgers
        .look(move |core| {
            core.tenants
                .get(&tenant)?
                .state
                .subject(&user)?
                .1
                .face
                .clone()
        })
        .await
        .map_err(|error| problems::commit(error, 0))?
        .ok_or_else(Problem::not_enrolled)
}
