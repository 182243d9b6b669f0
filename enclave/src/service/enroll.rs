//! Enrolment: consent and session first, then its samples through the worker.

use redoubt_attestation::encode::{b64u, sha256};
use redoubt_shared::EnrollmentId;

use super::boot::{Appliance, Counters};
use super::problems::{self, internal};
use super::receipts::to_json;
use super::samples::modality_of;
use super::serving::Serving;
use crate::api::{
    Caller, EnrollInitiate, EnrollInitiated, EnrollSubmit, Enrolled, Problem, Sample, SessionToken,
    Timestamp,
};
use crate::biometrics::Owner;
use crate::core::{Command, Modality, Reply, SubjectHandle};

const FACE: &str = "Send one photograph of the customer's face, alone in the picture, looking at the \
     camera, in even light, as multipart field biometric_file to /api/v1/enroll/submit.";
const VOICE: &str = "Send three recordings of the customer speaking for some seconds each, alone and in a quiet \
     place, as multipart fields biometric_file, biometric_file_2 and biometric_file_3 to /api/v1/enroll/submit.";

impl Appliance {
    pub(super) async fn enroll_initiate(
        &self,
        caller: &Caller,
        request: EnrollInitiate,
    ) -> Result<EnrollInitiated, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let modality = modality_of(request.modality)?;
        let id = EnrollmentId::from_bytes(self.pool.draw().map_err(|_| internal("no entropy"))?);
        let token = b64u(&self.pool.draw::<32>().map_err(|_| internal("no entropy"))?);
        let command = Command::BeginEnrollment {
            user: request.user_id,
            modality,
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
            instructions: match modality {
                Modality::Face => FACE,
                Modality::Voice => VOICE,
            }
            .to_owned(),
        })
    }

    pub(super) async fn enroll_submit(
        &self,
        caller: &Caller,
        request: EnrollSubmit,
        samples: Vec<Sample>,
    ) -> Result<Enrolled, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let id = request.enrollment_id;
        let token_hash = sha256(&[request.session_token.expose().as_bytes()]).0;
        let reserve = Command::ReserveEnrollmentSample { id, token_hash };
        let (reply, _) = self.decide(&serving, caller, reserve, now_ms).await?;
        let Reply::Enrolling { subject, modality } = reply else {
            return Err(internal("an enrolment without a subject"));
        };
        let enrolling = (id, subject, modality);
        let ended = self.enroll_samples(&serving, caller, enrolling, samples);
        ended.await.map_err(problems::in_part)
    }

    /// What follows samples whose place is reserved.
    async fn enroll_samples(
        &self,
        serving: &Serving,
        caller: &Caller,
        (id, handle, modality): (EnrollmentId, SubjectHandle, Modality),
        samples: Vec<Sample>,
    ) -> Result<Enrolled, Problem> {
        Counters::add(&self.counters.samples);
        let (fresh, seen) = match self.fresh(serving, modality, samples).await {
            Ok(made) => made,
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
        let done_ms = fresh.at_ms;
        let owner = Owner {
            subject: handle,
            modality,
        };
        let stored = self.store_template(serving, caller, (id, owner), (&fresh, seen));
        let claim = stored.await?;
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
            modality: modality.into(),
            status: "completed",
            embedding_version: fresh.embedding.model,
            quality_score: fresh.quality,
            liveness_result: seen.into(),
            liveness_confidence: seen.map(|seen| seen.confidence),
            encrypted: true,
            enrollment_date: Timestamp(done_ms),
            receipt: to_json(&claim.receipt())?,
        })
    }
}
