//! Face enrolment: consent and session first, then one sample through the worker.

use redoubt_attestation::encode::{b64u, sha256};
use redoubt_shared::EnrollmentId;

use super::boot::{Appliance, Counters};
use super::problems::{self, internal};
use super::receipts::to_json;
use super::serving::Serving;
use crate::api::{
    Caller, EnrollInitiate, EnrollInitiated, EnrollSubmit, Enrolled, Modality, Problem, Sample,
    SessionToken, Timestamp,
};
use crate::biometrics::{self, liveness};
use crate::core::{Command, Reply, SubjectHandle};

const INSTRUCTIONS: &str = "Send one photograph of the customer's face, alone in the picture, looking at the \
     camera, in even light, as multipart field biometric_file to /api/v1/enroll/submit.";

impl Appliance {
    pub(super) async fn enroll_initiate(
        &self,
        caller: &Caller,
        request: EnrollInitiate,
    ) -> Result<EnrollInitiated, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        only_facial(request.modality)?;
        let id = EnrollmentId::from_bytes(self.pool.draw().map_err(|_| internal("no entropy"))?);
        let token = b64u(&self.pool.draw::<32>().map_err(|_| internal("no entropy"))?);
        let command = Command::BeginEnrollment {
            user: request.user_id,
            id,
            token_hash: sha256(&[token.as_bytes()]).0,
            consent_given: request.consent_given,
        };
        let (reply, _) = self.decide(&serving, caller, command, now_ms).await?;
        let Reply::Until(expires_ms) = reply else {
            return Err(internal("an enrolment without an end"));
        };
        Ok(EnrollInitiated {
            enrollment_id: id,
            session_token: SessionToken::new(token),
            expires_at: Timestamp(expires_ms),
            instructions: INSTRUCTIONS.to_owned(),
        })
    }

    pub(super) async fn enroll_submit(
        &self,
        caller: &Caller,
        request: EnrollSubmit,
        sample: Sample,
    ) -> Result<Enrolled, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let id = request.enrollment_id;
        let token_hash = sha256(&[request.session_token.expose().as_bytes()]).0;
        let reserve = Command::ReserveEnrollmentSample { id, token_hash };
        let (reply, _) = self.decide(&serving, caller, reserve, now_ms).await?;
        let Reply::Subject(handle) = reply else {
            return Err(internal("an enrolment without a subject"));
        };
        let ended = self.enroll_sample(&serving, caller, (id, handle), sample);
        ended.await.map_err(problems::in_part)
    }

    /// What follows a sample whose place is reserved.
    async fn enroll_sample(
        &self,
        serving: &Serving,
        caller: &Caller,
        (id, handle): (EnrollmentId, SubjectHandle),
        sample: Sample,
    ) -> Result<Enrolled, Problem> {
        Counters::add(&self.counters.samples);
        let policy = self.config.config.policy.liveness();
        let measured = serving.worker.face(sample.into_bytes(), self.looks());
        let judged = measured.await.map_err(|error| problems::sample(&error));
        let judged = judged.and_then(|(sample, tier)| {
            let seen = liveness::judged(policy, sample.liveness);
            match liveness::refused(policy, seen) {
                true => Err((Problem::not_live(), "not_live")),
                false => Ok((sample, tier, seen)),
            }
        });
        let (sample, tier, seen) = match judged {
            Ok(judged) => judged,
            Err((problem, reason)) => {
                let worker_tier = problems::seen_at(&problem, serving);
                let release = Command::ReleaseEnrollmentSample {
                    id,
                    worker_tier,
                    reason,
                };
                self.decide(serving, caller, release, self.time()?).await?;
                return Err(problem);
            }
        };
        let space = self.manifest.spaces().first();
        let embedding = space
            .and_then(|space| space.of(&sample.embeddings))
            .ok_or_else(|| internal("a sample without an embedding"))?;
        let done_ms = self.time()?;
        let template = biometrics::template(sample.quality.score, &embedding, tier.name(), done_ms);
        let (version, quality) = (template.model.clone(), template.quality);
        let complete = Command::CompleteEnrollment {
            id,
            template: Box::new(template),
            liveness: seen,
        };
        let claim = self
            .decide_claim(serving, caller, complete, done_ms)
            .await?;
        let tenant = caller.tenant.clone();
        let user_id = serving
            .ledgers
            .look(move |core| {
                Some(
                    core.tenants
                        .get(&tenant)?
                        .state
                        .subjects
                        .get(&handle)?
                        .user
                        .clone(),
                )
            })
            .await
            .map_err(|error| problems::commit(error, done_ms))?
            // Erased since: the template went with its subject.
            .ok_or_else(Problem::unknown_enrollment)?;
        Ok(Enrolled {
            enrollment_id: id,
            user_id,
            modality: Modality::Facial,
            status: "completed",
            embedding_version: version,
            quality_score: quality,
            liveness_result: seen.into(),
            liveness_confidence: seen.map(|seen| seen.confidence),
            encrypted: true,
            enrollment_date: Timestamp(done_ms),
            receipt: to_json(&claim.receipt())?,
        })
    }
}

pub(super) fn only_facial(modality: Modality) -> Result<(), Problem> {
    match modality {
        Modality::Facial => Ok(()),
        Modality::Voice | Modality::Multimodal => Err(Problem::unsupported_modality()),
    }
}
