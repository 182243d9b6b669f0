//! Verification: the attempt is spent and durable before the sample goes anywhere.

use std::sync::Arc;

use redoubt_attestation::genesis::Tier;
use redoubt_shared::{ApprovalId, UserId, VerificationId};

use super::boot::{Appliance, Counters};
use super::problems::{self, internal};
use super::receipts::to_json;
use super::samples::{Given, Measured, Refused, Sent, means_of};
use super::serving::{Serving, TenantService};
use super::watch::{flags, verdict};
use crate::api::{
    ActionTaken, ActiveLiveness, Caller, Problem, SpokenDigits, Timestamp, Verification,
    VerifyRequest,
};
use crate::biometrics::{self, Limits, Made, Owner};
use crate::core::{
    Band, Command, Comparison, Means, Modality, Reply, SampleUse, SubjectHandle, Template,
    Whereabouts,
};

const ONE_FORM: &str = "Send a face as biometric_data or as liveness, a voice as biometric_data (beside a \
     face as voice_data) or as spoken, and nothing else.";

/// A template and whose it is.
type Kept = (SubjectHandle, Arc<Template>);

/// An attempt with its outcome.
struct Concluded {
    user: UserId,
    id: VerificationId,
    means: Means,
    comparison: Comparison,
    approval: Option<ApprovalId>,
}

/// A sample beside a template.
struct Likeness {
    modality: Modality,
    cosine: f32,
    /// The false-match rate it stands for.
    rate: f64,
    /// Whether policy refuses the sample for how live it looks, or for what it read.
    barred: bool,
    sample: SampleUse,
}

impl Appliance {
    pub(super) async fn verify_sample(
        &self,
        caller: &Caller,
        request: VerifyRequest,
    ) -> Result<Verification, Problem> {
        self.verify_for(caller, request, None).await
    }

    /// The same, for an approval that asks for a face or a voice: for that one, and no other.
    pub(super) async fn verify_for(
        &self,
        caller: &Caller,
        request: VerifyRequest,
        factor: Option<(ApprovalId, Modality)>,
    ) -> Result<Verification, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let means = means_of(request.modality);
        if factor.is_some_and(|(_, modality)| means != Means::from(modality)) {
            return Err(Problem::unsupported_modality());
        }
        let approval = factor.map(|(approval, _)| approval);
        if means == Means::Both && self.manifest.newest_multimodal().is_none() {
            return Err(Problem::unsupported_modality());
        }
        let user = request.user_id.clone();
        let from = serving.tenant(&caller.tenant)?.tags.whereabouts(&request);
        if !request.is_one() {
            return Err(Problem::modality_mismatch().detail(ONE_FORM));
        }
        let sent = self.sent(&serving, caller, means, request)?;
        let id = VerificationId::from_bytes(self.pool.draw().map_err(|_| internal("no entropy"))?);
        let reserve = Command::ReserveAttempt {
            user: user.clone(),
            means,
            id,
            from,
        };
        self.decide(&serving, caller, reserve, now_ms).await?;
        let attempt = (user, id, means, approval);
        let ended = self.attempt(&serving, caller, attempt, (sent, from));
        ended.await.map_err(problems::in_part)
    }

    /// What a request has of each modality, the challenges that it answers spent.
    fn sent(
        &self,
        serving: &Serving,
        caller: &Caller,
        means: Means,
        request: VerifyRequest,
    ) -> Result<Sent, Problem> {
        let user = &request.user_id;
        // Nothing is spent where an answer lacks.
        if means != Means::Face {
            self.digits_due(request.spoken.as_ref())?;
        }
        // Where there is a face, it is challenged.
        let modality = match means {
            Means::Voice => Modality::Voice,
            Means::Face | Means::Both => Modality::Face,
        };
        let answered = self.challenged(serving, caller, (user, modality), request.liveness)?;
        let spoken = request
            .spoken
            .map(|answer| self.recited(serving, caller, user, answer));
        let read = spoken.transpose()?.map(Given::Digits);
        let (data, frames) = (
            Given::Sample(request.biometric_data),
            answered.map(Given::Frames),
        );
        let voice = read.or(request.voice_data.map(Given::Sample));
        Ok(match (means, voice) {
            (Means::Voice, voice) => Sent::One(Modality::Voice, voice.unwrap_or(data)),
            (Means::Face, _) => Sent::One(Modality::Face, frames.unwrap_or(data)),
            (Means::Both, Some(voice)) => Sent::Both(frames.unwrap_or(data), voice),
            (Means::Both, None) => return Err(Problem::modality_mismatch()),
        })
    }

    /// What follows an attempt that is reserved.
    async fn attempt(
        &self,
        serving: &Serving,
        caller: &Caller,
        (user, id, means, approval): (UserId, VerificationId, Means, Option<ApprovalId>),
        (sent, from): (Sent, Whereabouts),
    ) -> Result<Verification, Problem> {
        Counters::add(&self.counters.samples);
        match self.measure(serving, caller, &user, sent).await {
            Ok(mut comparison) => {
                comparison.from = from;
                // A challenge was judged: the next one of its kind is another.
                if comparison.sample.performed.is_some() {
                    serving.moves.forget(&caller.tenant, &user);
                }
                if comparison.sample.spoken.is_some() {
                    serving.digits.forget(&caller.tenant, &user);
                }
                let concluded = Concluded {
                    user,
                    id,
                    means,
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

    /// Samples to comparison; the error is what to say and what to record.
    async fn measure(
        &self,
        serving: &Serving,
        caller: &Caller,
        user: &UserId,
        sent: Sent,
    ) -> Result<Comparison, Refused> {
        let unmade = || (internal("no template could be made up"), "no_template");
        let tenant = serving.tenant(&caller.tenant);
        let tenant = tenant.map_err(|problem| (problem, "no_template"))?;
        let (mut own, mut made_up) = (Some(Vec::new()), Vec::new());
        for (modality, sample) in self.all_measured(serving, sent).await? {
            let template = template(serving, caller, user, modality).await;
            let template = template.map_err(|problem| (problem, "no_template"))?;
            // Made up and compared for everybody, and twice for whoever has none, so that
            // it takes the same time.
            let nobody = self.nobody(tenant, (user, modality), &sample);
            let nobody = (SubjectHandle::NOBODY, nobody.ok_or_else(unmade)?);
            let alike = |(subject, template): &Kept| {
                let subject = *subject;
                self.likeness(tenant, &Owner { subject, modality }, template, &sample)
            };
            made_up.push(alike(&nobody).ok_or_else(unmade)?);
            let compared = alike(template.as_ref().unwrap_or(&nobody));
            let compared = compared.filter(|_| template.is_some());
            // Of two, one without its template is as none with both.
            own = own.zip(compared).map(|(mut all, one)| {
                all.push(one);
                all
            });
        }
        let made_up = self.judged(made_up).ok_or_else(unmade)?;
        // A rejection, whatever it was alike.
        let made_up = Comparison {
            accepted: false,
            ..made_up
        };
        let instead = Box::new((made_up.sample.clone(), made_up.parts.clone()));
        Ok(match own.and_then(|own| self.judged(own)) {
            Some(mut own) if own.accepted => {
                // Whose moves are refused yet shall not learn what it is alike.
                if let Some(performed) = &mut own.sample.performed {
                    performed.instead = Some(instead);
                }
                own
            }
            // What a template is of would tell that there is one; and a score of two
            // samples, which of them is like it.
            Some(own) if own.parts.is_empty() => Comparison {
                confidence: own.confidence,
                ..made_up
            },
            _ if !made_up.parts.is_empty() => Comparison {
                confidence: 0.0,
                ..made_up
            },
            _ => made_up,
        })
    }

    /// Nobody's template: what is compared with it is rejected, whatever it was alike.
    fn nobody(
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

    fn likeness(
        &self,
        tenant: &TenantService,
        owner: &Owner,
        template: &Template,
        sample: &Measured,
    ) -> Option<Likeness> {
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
        let whole = biometrics::false_match_rate(&space.calibration, cosine);
        let throughout = self.throughout(tenant, (owner, template), space, &sample.halves);
        Some(Likeness {
            modality,
            cosine,
            // Half of somebody is nobody.
            rate: if throughout { whole } else { 1.0 },
            barred: self.bars(modality, sample.liveness) || self.bars_reading(sample.spoken),
            sample: SampleUse {
                model: template.model.clone(),
                worker_tier: sample.tier.name().to_owned(),
                template_tier: template.worker_tier.clone(),
                quality: sample.quality,
                liveness: sample.liveness,
                performed: sample.performed.clone(),
                spoken: sample.spoken,
            },
        })
    }

    /// The verdict on one sample, or on a picture and a recording together; nothing where
    /// theirs are no spaces that are compared together.
    fn judged(&self, alike: Vec<Likeness>) -> Option<Comparison> {
        let barred = alike.iter().any(|one| one.barred);
        let (accepted, rate, sample, parts) = match <[Likeness; 2]>::try_from(alike) {
            Ok([face, voice]) => {
                let models = (&*face.sample.model, &*voice.sample.model);
                let both = self.manifest.multimodal_of(models.0, models.1)?;
                let rate = both.rate(both.score(face.cosine, voice.cosine));
                let limits = Limits {
                    face: self.limit(Modality::Face),
                    voice: self.limit(Modality::Voice),
                };
                let accepted = limits.accept(rate, face.rate, voice.rate);
                let sample = of_both(&both.id, &face.sample, &voice.sample);
                let parts = [face, voice].map(|one| (one.modality, one.sample));
                (accepted, rate, sample, parts.into())
            }
            Err(mut one) => {
                let one = one.pop().filter(|_| one.is_empty())?;
                let accepted = biometrics::accepts(one.rate, self.limit(one.modality));
                (accepted, one.rate, one.sample, Vec::new())
            }
        };
        Some(Comparison {
            accepted: accepted && !barred,
            // A picture or a recording of the customer shall not learn that it matches.
            confidence: match barred {
                true => 0.0,
                false => biometrics::confidence(rate),
            },
            sample,
            parts,
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
            means,
            comparison,
            approval,
        } = concluded;
        let performed = comparison.sample.performed.as_ref();
        let barred = performed.is_some_and(|one| one.required);
        let challenged = performed.is_some();
        let spoken = comparison.sample.spoken;
        let (confidence_score, seen) = (comparison.confidence, comparison.sample.liveness);
        let conclude = || match approval {
            None => Command::ConcludeAttempt {
                user: user.clone(),
                id,
                comparison: comparison.clone(),
            },
            Some(approval) => Command::ConcludeApprovalSample {
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
            modality: means.into(),
            timestamp: Timestamp(now_ms),
            liveness_passed: seen.map(|seen| seen.passed),
            active_liveness: challenged.then(|| ActiveLiveness::new(lapse)),
            spoken_digits: spoken.map(SpokenDigits::new),
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

/// What holds of a face and a voice that were compared together, under the name of how.
fn of_both(how: &str, face: &SampleUse, voice: &SampleUse) -> SampleUse {
    let weaker = |one: &SampleUse| tier_rank(&one.template_tier);
    let template = if weaker(voice) < weaker(face) {
        voice
    } else {
        face
    };
    SampleUse {
        model: how.to_owned(),
        worker_tier: face.worker_tier.clone(),
        template_tier: template.template_tier.clone(),
        quality: face.quality.min(voice.quality),
        liveness: face.liveness,
        performed: face.performed.clone(),
        spoken: voice.spoken,
    }
}

/// The weaker a tier, the less; least, what is none.
fn tier_rank(name: &str) -> Option<usize> {
    let tiers = [Tier::Process, Tier::Enclave, Tier::ConfidentialGpu];
    tiers.iter().position(|tier| tier.name() == name)
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
