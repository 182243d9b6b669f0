//! Digits that a customer is asked to read where their voice is verified.
//!
//! Protects against a recording of before: what is to be heard is drawn here, for one
//! customer, good once. Whoever the name is of, or whether it is anybody's, makes no
//! difference to what is asked, worked on and told.

use redoubt_attestation::genesis::LivenessMode;
use redoubt_shared::UserId;
use redoubt_shared::worker::Embedding;

use super::boot::Appliance;
use super::problems::{self, internal};
use super::samples::{Measured, Refused};
use super::serving::{Serving, TenantService};
use crate::api::{Caller, Problem, Sample, SpokenAnswer};
use crate::biometrics::spoken::{self, DIGITS, SpokenLapse};
use crate::biometrics::{Owner, Space};
use crate::core::Template;

pub(super) type Digits = [u8; DIGITS];

/// A recording, and the digits that it is to be of.
pub(super) struct Recited {
    digits: Digits,
    audio: Sample,
}

impl Appliance {
    pub(super) fn digits_mode(&self) -> LivenessMode {
        self.config.config.policy.digits()
    }

    /// Whether a voice that is sent may come with this answer, or without one; nothing is
    /// spent.
    pub(super) fn digits_due(&self, answer: Option<&SpokenAnswer>) -> Result<(), Problem> {
        match (self.digits_mode(), answer) {
            (LivenessMode::Off, Some(_)) => Err(Problem::challenges_off()),
            (LivenessMode::Require, None) => Err(Problem::challenge_required()),
            _ => Ok(()),
        }
    }

    /// Spends the challenge that is answered.
    pub(super) fn recited(
        &self,
        serving: &Serving,
        caller: &Caller,
        user: &UserId,
        answer: SpokenAnswer,
    ) -> Result<Recited, Problem> {
        let (id, now_ms) = (answer.challenge_id, self.time()?);
        let digits = serving.digits.spend(&caller.tenant, user, id, now_ms);
        Ok(Recited {
            digits: digits.ok_or_else(Problem::unknown_challenge)?,
            audio: answer.audio,
        })
    }

    /// The voice that is compared, and whether it read its digits.
    pub(super) async fn listened(
        &self,
        serving: &Serving,
        recited: Recited,
    ) -> Result<Measured, Refused> {
        let Recited { digits, audio } = recited;
        let heard = serving.worker.spoken(audio.into_bytes()).await;
        let (sample, tier) = heard.map_err(|error| problems::sample(&error))?;
        let voices = self.manifest.voice_spaces().first();
        let space = voices.map(|voices| &voices.single);
        let space = space.ok_or_else(|| (internal("no space for voices"), "no_space"))?;
        let judged = spoken::judge(&digits, &sample, space);
        Ok(Measured {
            embeddings: sample.voice.embeddings,
            quality: sample.voice.quality.score,
            liveness: None,
            performed: None,
            spoken: Some(judged),
            halves: match self.digits_mode() {
                LivenessMode::Require => sample.halves,
                LivenessMode::Off | LivenessMode::Report => Vec::new(),
            },
            tier,
        })
    }

    /// Whether each half is like this template: nobody lends the customer a voice for some
    /// of the digits. What comes of it is told as a wrong voice is, and not otherwise.
    pub(super) fn throughout(
        &self,
        tenant: &TenantService,
        (owner, template): (&Owner, &Template),
        space: &Space,
        halves: &[Embedding],
    ) -> bool {
        let alike = |half: &Embedding| {
            let there = space.of(std::slice::from_ref(half))?;
            tenant.transforms.cosine(owner, template, &there)
        };
        let enough = |half| alike(half).is_some_and(|cosine| cosine >= spoken::HALF_LEAST);
        // Each is looked at, so that it takes the same time whoever it is.
        halves.iter().map(enough).fold(true, |all, one| all & one)
    }

    /// Whether policy refuses a voice for what it read.
    pub(super) fn bars_reading(&self, spoken: Option<Result<(), SpokenLapse>>) -> bool {
        self.digits_mode() == LivenessMode::Require && matches!(spoken, Some(Err(_)))
    }
}
