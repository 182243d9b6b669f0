//! Samples of either modality, through the sealed worker to what is compared.
//!
//! Protects against comparing what is not of one kind: a template is looked for where
//! its own modality is compared, and nowhere else.

use futures::future::{join, join_all};
use redoubt_attestation::genesis::Tier;
use redoubt_shared::worker::{Embedding, VoiceSample};

use super::boot::Appliance;
use super::liveness::Answered;
use super::problems;
use super::serving::Serving;
use super::spoken::Recited;
use super::templates::Fresh;
use crate::api::{self, Problem, Sample};
use crate::biometrics::{self, Space, liveness};
use crate::core::{Liveness, Means, Modality, Performed, SpokenLapse};
use crate::worker_link::WorkerError;

/// What to say, and what to record.
pub(super) type Refused = (Problem, &'static str);

/// One sample, measured.
pub(super) struct Measured {
    pub(super) embeddings: Vec<Embedding>,
    /// 0 to 1.
    pub(super) quality: f32,
    /// Where somebody looked.
    pub(super) liveness: Option<Liveness>,
    /// Where a challenge was answered.
    pub(super) performed: Option<Performed>,
    /// Where digits were read.
    pub(super) spoken: Option<Result<(), SpokenLapse>>,
    /// Of digits that policy requires: both halves, each of which is to be the customer's.
    pub(super) halves: Vec<Embedding>,
    pub(super) tier: Tier,
}

/// What an enrolment's samples make.
pub(super) struct Enrolling {
    pub(super) fresh: Fresh,
    pub(super) liveness: Option<Liveness>,
    pub(super) performed: Option<Performed>,
}

pub(super) fn modality_of(asked: api::Modality) -> Result<Modality, Problem> {
    match asked {
        api::Modality::Facial => Ok(Modality::Face),
        api::Modality::Voice => Ok(Modality::Voice),
        api::Modality::Multimodal => Err(Problem::unsupported_modality()),
    }
}

/// What a verification is made with.
pub(super) fn means_of(asked: api::Modality) -> Means {
    match asked {
        api::Modality::Facial => Means::Face,
        api::Modality::Voice => Means::Voice,
        api::Modality::Multimodal => Means::Both,
    }
}

impl From<Means> for api::Modality {
    fn from(means: Means) -> Self {
        match means {
            Means::Face => Self::Facial,
            Means::Voice => Self::Voice,
            Means::Both => Self::Multimodal,
        }
    }
}

impl From<Modality> for api::Modality {
    fn from(modality: Modality) -> Self {
        match modality {
            Modality::Face => Self::Facial,
            Modality::Voice => Self::Voice,
        }
    }
}

impl Serving {
    /// Several recordings at once, in their order; the first that is refused by its number.
    async fn heard(&self, samples: Vec<Sample>) -> Result<(Vec<VoiceSample>, Tier), Refused> {
        let jobs = samples
            .into_iter()
            .map(|one| self.worker.voice(one.into_bytes()));
        let mut heard = Vec::new();
        for (at, answer) in join_all(jobs).await.into_iter().enumerate() {
            heard.push(answer.map_err(|error| numbered(at, &error))?);
        }
        let tier = heard.first().map(|(_, tier)| *tier);
        // Another worker took over in between: the claim names one tier.
        let one = tier.filter(|tier| heard.iter().all(|(_, other)| other == tier));
        let tier = one.ok_or_else(|| problems::sample(&WorkerError::Unavailable))?;
        let heard = heard.into_iter().map(|(sample, _)| sample).collect();
        Ok((heard, tier))
    }
}

/// What is looked at or listened to.
pub(super) enum Given {
    /// A picture or a recording.
    Sample(Sample),
    /// Of a face: frames that answer a challenge.
    Frames(Answered),
    /// Of a voice: a recording that answers one.
    Digits(Recited),
}

/// What a verification sends.
pub(super) enum Sent {
    /// Of one modality.
    One(Modality, Given),
    /// A face and a voice.
    Both(Given, Given),
}

impl Appliance {
    /// Everything a verification sent, in the order of its means' modalities.
    pub(super) async fn all_measured(
        &self,
        serving: &Serving,
        sent: Sent,
    ) -> Result<Vec<(Modality, Measured)>, Refused> {
        let (face, voice) = match sent {
            Sent::One(modality, given) => {
                let one = self.looked_at(serving, modality, given).await?;
                return Ok(vec![(modality, one)]);
            }
            Sent::Both(face, voice) => (face, voice),
        };
        let voice_in = match voice {
            Given::Digits(_) => "spoken",
            Given::Sample(_) | Given::Frames(_) => "voice_data",
        };
        let face = self.looked_at(serving, Modality::Face, face);
        let voice = self.looked_at(serving, Modality::Voice, voice);
        let (face, voice) = join(face, voice).await;
        let face = face.map_err(|refused| told("biometric_data", refused))?;
        let voice = voice.map_err(|refused| told(voice_in, refused))?;
        // Another worker took over in between: the claim names one tier.
        if face.tier != voice.tier {
            return Err(problems::sample(&WorkerError::Unavailable));
        }
        Ok(vec![(Modality::Face, face), (Modality::Voice, voice)])
    }

    async fn looked_at(
        &self,
        serving: &Serving,
        modality: Modality,
        given: Given,
    ) -> Result<Measured, Refused> {
        match given {
            Given::Sample(sample) => self.measured(serving, modality, sample).await,
            Given::Frames(answered) => self.followed(serving, answered).await,
            Given::Digits(recited) => self.listened(serving, recited).await,
        }
    }

    /// One sample to its embeddings.
    pub(super) async fn measured(
        &self,
        serving: &Serving,
        modality: Modality,
        sample: Sample,
    ) -> Result<Measured, Refused> {
        let (sample, policy) = (sample.into_bytes(), self.config.config.policy.liveness());
        let looks = liveness::wanted(policy) && self.manifest.has_liveness();
        let measured = match modality {
            Modality::Face => {
                let face = serving.worker.face(sample, looks).await;
                face.map(|(face, tier)| Measured {
                    embeddings: face.embeddings,
                    quality: face.quality.score,
                    liveness: liveness::judged(policy, face.liveness),
                    performed: None,
                    spoken: None,
                    halves: Vec::new(),
                    tier,
                })
            }
            Modality::Voice => {
                let voice = serving.worker.voice(sample).await;
                voice.map(|(voice, tier)| Measured {
                    embeddings: voice.embeddings,
                    quality: voice.quality.score,
                    liveness: None,
                    performed: None,
                    spoken: None,
                    halves: Vec::new(),
                    tier,
                })
            }
        };
        measured.map_err(|error| problems::sample(&error))
    }

    /// Whether policy refuses a sample for how live it looks. Nobody looks at voices.
    pub(super) fn bars(&self, modality: Modality, seen: Option<Liveness>) -> bool {
        let policy = self.config.config.policy.liveness();
        modality == Modality::Face && liveness::refused(policy, seen)
    }

    /// Where templates of that name were made and samples are compared with them.
    pub(super) fn space(&self, modality: Modality, model: &str) -> Option<&Space> {
        match modality {
            Modality::Face => self.manifest.space(model),
            Modality::Voice => self.manifest.voice_space(model),
        }
    }

    /// Where templates are made.
    pub(super) fn newest_space(&self, modality: Modality) -> Option<&Space> {
        match modality {
            Modality::Face => self.manifest.spaces().first(),
            Modality::Voice => self
                .manifest
                .voice_spaces()
                .first()
                .map(|voices| &voices.template),
        }
    }

    /// False matches per million comparisons that policy accepts.
    pub(super) fn limit(&self, modality: Modality) -> u32 {
        let policy = &self.config.config.policy;
        match modality {
            Modality::Face => policy.face_false_matches_per_million,
            Modality::Voice => policy.voice_false_matches(),
        }
    }

    /// An enrolment's samples to what its template is made of.
    pub(super) async fn fresh(
        &self,
        serving: &Serving,
        modality: Modality,
        mut samples: Vec<Sample>,
        answered: Option<Answered>,
    ) -> Result<Enrolling, Refused> {
        let unmade = || (problems::internal("no space for templates"), "no_space");
        let mut performed = None;
        let (embedding, quality, tier, seen) = match modality {
            Modality::Face => {
                let face = match answered {
                    Some(answered) => self.followed(serving, answered).await?,
                    None => {
                        let sample = samples.pop().filter(|_| samples.is_empty());
                        let sample =
                            sample.ok_or_else(|| problems::unfit(biometrics::Unfit::Incomplete))?;
                        self.measured(serving, modality, sample).await?
                    }
                };
                let lapse = |one: &Performed| one.lapse.filter(|_| one.required);
                if let Some(lapse) = face.performed.as_ref().and_then(lapse) {
                    return Err((problems::challenge_failed(lapse), lapse.name()));
                }
                if self.bars(modality, face.liveness) {
                    return Err((Problem::not_live(), "not_live"));
                }
                let space = self.manifest.spaces().first();
                let embedding = space.and_then(|space| space.of(&face.embeddings));
                performed = face.performed;
                (
                    embedding.ok_or_else(unmade)?,
                    face.quality,
                    face.tier,
                    face.liveness,
                )
            }
            Modality::Voice => {
                let voices = self.manifest.voice_spaces().first().ok_or_else(unmade)?;
                if samples.len() != voices.recordings {
                    return Err(problems::unfit(biometrics::Unfit::Incomplete));
                }
                let (heard, tier) = serving.heard(samples).await?;
                let embedding = voices.enrolled(&heard, self.limit(modality));
                let scores = heard.iter().map(|one| one.quality.score);
                let quality = scores.fold(1.0, f32::min);
                (embedding.map_err(problems::unfit)?, quality, tier, None)
            }
        };
        let at_ms = self.time().map_err(|problem| (problem, "no_time"))?;
        let fresh = Fresh {
            embedding,
            quality,
            tier,
            at_ms,
        };
        Ok(Enrolling {
            fresh,
            liveness: seen,
            performed,
        })
    }
}

/// Which of several recordings a refusal is about.
fn numbered(at: usize, error: &WorkerError) -> Refused {
    told(&format!("Recording {}", at + 1), problems::sample(error))
}

/// Says of which of several samples a refusal is.
fn told(which: &str, (problem, reason): Refused) -> Refused {
    let detail = format!("{which}: {}", problem.kind().detail);
    match problem.status() {
        422 => (problem.detail(detail), reason),
        _ => (problem, reason),
    }
}
