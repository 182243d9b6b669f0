//! Enrolment: consent and session first, then its samples through the worker.

use redoubt_attestation::encode::{b64u, sha256};
use redoubt_shared::{EnrollmentId, UserId};

use super::boot::{Appliance, Counters};
use super::liveness::answer_among;
use super::problems::{self, internal};
use super::receipts::to_json;
use super::samples::{Enrolling, Refused, modality_of};
use super::serving::Serving;
use crate::api::{
    ActiveLiveness, Caller, EnrollInitiate, EnrollInitiated, EnrollSubmit, Enrolled, Problem,
    Sample, SessionToken, Timestamp,
};
use crate::biometrics::Owner;
use crate::core::{Command, Lapse, Modality, Reply, SubjectHandle};

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
        let made = self
            .made(serving, caller, (handle, modality), samples)
            .await;
        let enrolling = match made {
            Ok(made) => made,
            Err(refused) => return self.give_back(serving, caller, id, refused).await,
        };
        let (done_ms, seen) = (enrolling.fresh.at_ms, enrolling.liveness);
        let challenged = enrolling.performed.is_some();
        let owner = Owner {
            subject: handle,
            modality,
        };
        let stored = self.store_template(serving, caller, (id, owner), &enrolling);
        let (reply, claim) = match stored.await {
            Err(problem) => {
                let reason = match problem.is(Problem::challenge_failed) {
                    true => Lapse::SeenBefore.name(),
                    false => problem.kind().code,
                };
                return self.give_back(serving, caller, id, (problem, reason)).await;
            }
            Ok(completed) => completed,
        };
        let lapse = match reply {
            Reply::Enrolled { lapse } => lapse,
            Reply::Duplicate => return Err(Problem::duplicate_face()),
            _ => return Err(internal("an enrolment without its reply")),
        };
        let user_id = name_of(serving, caller, handle).await?;
        if challenged {
            serving.moves.forget(&caller.tenant, &user_id);
        }
        let fresh = enrolling.fresh;
        Ok(Enrolled {
            enrollment_id: id,
            user_id,
            modality: modality.into(),
            status: "completed",
            embedding_version: fresh.embedding.model,
            quality_score: fresh.quality,
            liveness_result: seen.into(),
            liveness_confidence: seen.map(|seen| seen.confidence),
            active_liveness: challenged.then(|| ActiveLiveness::new(lapse)),
            encrypted: true,
            enrollment_date: Timestamp(done_ms),
            receipt: to_json(&claim.receipt())?,
        })
    }

    /// No template came of the sample: another may follow.
    async fn give_back(
        &self,
        serving: &Serving,
        caller: &Caller,
        id: EnrollmentId,
        (problem, reason): Refused,
    ) -> Result<Enrolled, Problem> {
        let worker_tier = problems::seen_at(&problem, serving);
        let release = Command::ReleaseEnrollmentSample {
            id,
            worker_tier,
            reason,
        };
        match self.decide(serving, caller, release, self.time()?).await {
            // It is gone, or complete after all: what was wrong before is what counts.
            Err(refused) if refused.status() < 500 => Err(problem),
            released => released.and(Err(problem)),
        }
    }

    /// Samples, or frames that answer a challenge, to what they make.
    async fn made(
        &self,
        serving: &Serving,
        caller: &Caller,
        (handle, modality): (SubjectHandle, Modality),
        samples: Vec<Sample>,
    ) -> Result<Enrolling, Refused> {
        let wrong = |problem: Problem| {
            let reason = problem.kind().code;
            (problem, reason)
        };
        let answer = match modality {
            Modality::Face => answer_among(&samples).map_err(wrong)?,
            _ => None,
        };
        let user = name_of(serving, caller, handle).await.map_err(wrong)?;
        let answered = self.challenged(serving, caller, (&user, modality), answer);
        let answered = answered.map_err(wrong)?;
        self.fresh(serving, modality, samples, answered).await
    }
}

/// The bank's name for a subject. Erased since: its enrolment went with it.
async fn name_of(
    serving: &Serving,
    caller: &Caller,
    handle: SubjectHandle,
) -> Result<UserId, Problem> {
    let tenant = caller.tenant.clone();
    let found = serving.ledgers.look(move |core| {
        let state = &core.tenants.get(&tenant)?.state;
        Some(state.subjects.get(&handle)?.user.clone())
    });
    let found = found.await.map_err(|error| problems::commit(error, 0))?;
    found.ok_or_else(Problem::unknown_enrollment)
}
