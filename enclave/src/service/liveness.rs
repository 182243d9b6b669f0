//! Challenges before a camera, and what answers them.
//!
//! Protects against a recording of before: what is to be seen is drawn here, for one
//! customer, good once. Whoever the name is of, or whether it is anybody's, makes no
//! difference to what is asked, worked on and told.

use std::collections::HashSet;

use redoubt_attestation::encode::sha256;
use redoubt_attestation::genesis::LivenessMode;
use redoubt_shared::{ChallengeId, UserId};
use zeroize::Zeroizing;

use super::boot::Appliance;
use super::drawn::{Drawn, DrawnChallenges};
use super::problems::{self, internal};
use super::samples::{Measured, Refused};
use super::serving::Serving;
use crate::api::{
    Caller, ChallengeModality, ChallengeRequest, LivenessAnswer, LivenessChallenge, Problem,
    Sample, Timestamp,
};
use crate::biometrics::{challenge, liveness, spoken};
use crate::core::{FrameMark, Lapse, Modality, Move, Performed};

pub(super) type Moves = [Move; challenge::MOVES];

/// Frames, and the moves they are to show.
pub(super) struct Answered {
    moves: Moves,
    frames: Vec<Sample>,
}

impl Appliance {
    /// What a customer is asked for, before a camera or a microphone.
    pub(super) async fn liveness_challenge(
        &self,
        caller: &Caller,
        request: ChallengeRequest,
    ) -> Result<LivenessChallenge, Problem> {
        let (serving, user) = (self.serving()?, &request.user_id);
        match request.modality {
            ChallengeModality::Facial => {
                let (moves, asked) = (&serving.moves, challenge::drawn);
                let open = self.draw((self.challenges_mode(), moves), caller, user, asked)?;
                let actions = open.asked.map(Into::into);
                let (id, ends) = (open.id, Timestamp(open.expires_ms));
                Ok(LivenessChallenge::moves(id, &actions, ends))
            }
            ChallengeModality::Voice => {
                let (digits, asked) = (&serving.digits, spoken::drawn);
                let open = self.draw((self.digits_mode(), digits), caller, user, asked)?;
                let (id, ends) = (open.id, Timestamp(open.expires_ms));
                Ok(LivenessChallenge::digits(id, &open.asked, ends))
            }
        }
    }

    /// The open challenge of a name; who asks again is asked for the same.
    fn draw<A: Copy>(
        &self,
        (mode, challenges): (LivenessMode, &DrawnChallenges<A>),
        caller: &Caller,
        user: &UserId,
        asked: fn(u64) -> A,
    ) -> Result<Drawn<A>, Problem> {
        if mode == LivenessMode::Off {
            return Err(Problem::challenges_off());
        }
        let (no_entropy, now_ms) = (|_| internal("no entropy"), self.time()?);
        let asked = asked(u64::from_le_bytes(self.pool.draw().map_err(no_entropy)?));
        let id = ChallengeId::from_bytes(self.pool.draw().map_err(no_entropy)?);
        let fresh = Drawn::new(id, asked, now_ms);
        let open = challenges.open(&caller.tenant, user, fresh, now_ms);
        open.ok_or_else(Problem::too_many_requests)
    }

    fn challenges_mode(&self) -> LivenessMode {
        self.config.config.policy.challenges()
    }

    /// Spends the challenge that is answered, if one is; refuses where one is missing.
    /// Whoever the user is, or whether there is one, makes no difference.
    pub(super) fn challenged(
        &self,
        serving: &Serving,
        caller: &Caller,
        (user, modality): (&UserId, Modality),
        answer: Option<LivenessAnswer>,
    ) -> Result<Option<Answered>, Problem> {
        let mode = self.challenges_mode();
        let Some(answer) = answer else {
            let missing = mode == LivenessMode::Require && modality != Modality::Voice;
            return match missing {
                true => Err(Problem::challenge_required()),
                false => Ok(None),
            };
        };
        if mode == LivenessMode::Off {
            return Err(Problem::challenges_off());
        }
        if modality != Modality::Face {
            return Err(Problem::unsupported_modality());
        }
        if !answer.is_counted() {
            return Err(Problem::frame_count());
        }
        let (id, now_ms) = (answer.challenge_id, self.time()?);
        let moves = serving.moves.spend(&caller.tenant, user, id, now_ms);
        Ok(Some(Answered {
            moves: moves.ok_or_else(Problem::unknown_challenge)?,
            frames: answer.frames,
        }))
    }

    /// The face that is compared, and what came of the challenge as far as its frames
    /// alone tell.
    pub(super) async fn followed(
        &self,
        serving: &Serving,
        answered: Answered,
    ) -> Result<Measured, Refused> {
        let Answered { moves, frames } = answered;
        let policy = self.config.config.policy.liveness();
        let looks = liveness::wanted(policy) && self.manifest.has_liveness();
        let digest = |frame: &Sample| sha256(&[frame.as_bytes()]).0;
        let digests: Vec<[u8; 32]> = frames.iter().map(digest).collect();
        let mut bytes = Zeroizing::new(Vec::with_capacity(frames.len()));
        let taken = frames.into_iter().map(Sample::into_bytes);
        bytes.extend(taken.map(|mut frame| std::mem::take(&mut *frame)));
        let seen = serving.worker.frames(bytes, looks).await;
        let (mut frames, tier) = seen.map_err(|error| problems::sample(&error))?;
        let none = (Problem::blurred(), "blurred");
        let compared = challenge::best(&frames).ok_or(none)?;
        let space = self.newest_space(Modality::Face);
        let space = space.ok_or_else(|| (internal("no space for faces"), "no_space"))?;
        let files = digests.iter().collect::<HashSet<_>>().len();
        let judged = match files == digests.len() {
            true => challenge::judge(&moves, &frames, compared, space),
            false => Err(Lapse::FrameRepeated),
        };
        let marks = digests
            .iter()
            .zip(&frames)
            .map(|(digest, frame)| FrameMark {
                digest: *digest.first_chunk().unwrap_or(&[0; 8]),
                print: frame.print,
            });
        let performed = Performed {
            lapse: judged.err(),
            required: self.challenges_mode() == LivenessMode::Require,
            marks: marks.collect(),
            instead: None,
        };
        let least_live = challenge::least_live(&frames, compared);
        let face = frames.swap_remove(compared).face;
        Ok(Measured {
            embeddings: face.embeddings,
            quality: face.quality.score,
            liveness: liveness::judged(policy, least_live),
            performed: Some(performed),
            spoken: None,
            halves: Vec::new(),
            tier,
        })
    }
}

/// An enrolment's one file may be a JSON text that answers a challenge; a picture never
/// begins like one.
pub(super) fn answer_among(samples: &[Sample]) -> Result<Option<LivenessAnswer>, Problem> {
    let [one] = samples else { return Ok(None) };
    if !one.as_bytes().starts_with(b"{") {
        return Ok(None);
    }
    let answer = serde_json::from_slice(one.as_bytes());
    answer.map(Some).map_err(|_| {
        let wrong = "biometric_file: use challenge_id and frames, as /openapi.json names them in \
                     LivenessAnswer.";
        Problem::malformed_request().detail(wrong)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enrolment_file_is_an_answer_or_a_picture() {
        let sample = |text: &str| vec![Sample::new(text.as_bytes().to_vec())];
        assert_eq!(answer_among(&sample("\u{ff}")).unwrap(), None);
        assert_eq!(answer_among(&[]).unwrap(), None);
        let id = "0".repeat(32);
        let whole = format!(r#"{{"challenge_id":"{id}","frames":["AAAA","AAAB"]}}"#);
        let answer = answer_among(&sample(&whole)).unwrap().unwrap();
        assert_eq!(
            (answer.frames.len(), answer.is_counted(), answer.bytes()),
            (2, false, 6)
        );
        for wrong in ["{", "{}", &whole.replace("frames", "frame"), &whole[1..]] {
            let read = answer_among(&sample(wrong));
            assert_eq!(read.is_err(), wrong.starts_with('{'), "{wrong}");
        }
    }
}
