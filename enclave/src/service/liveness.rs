//! Challenges before a camera: drawn here, good once, for a minute, for one customer.
//!
//! Protects against replay, and against asking until a challenge comes that a recording
//! fits: while one is open, whoever asks again is given the same. They live in memory
//! only, so a crash leaves every one of them unknown, which is as good as spent. Nothing
//! here looks for the customer, so that nothing tells who is one.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redoubt_attestation::encode::sha256;
use redoubt_attestation::genesis::LivenessMode;
use redoubt_shared::limits::{FRAMES_MAX, FRAMES_MIN};
use redoubt_shared::{ChallengeId, TenantId, UserId};
use zeroize::Zeroizing;

use super::boot::Appliance;
use super::problems::{self, internal};
use super::samples::{Measured, Refused};
use super::serving::Serving;
use crate::api::{
    Caller, ChallengeRequest, LivenessAnswer, LivenessChallenge, Problem, Sample, Timestamp,
};
use crate::biometrics::{challenge, liveness};
use crate::core::{FrameMark, Lapse, Modality, Move, Performed};

/// Challenges one tenant may have open.
const OPEN_PER_TENANT: usize = 100_000;
/// How long one is open, in milliseconds.
const OPEN_MS: u64 = 60_000;
/// For how long a name is asked for the same moves until an answer was judged.
const SAME_MOVES_MS: u64 = 15 * 60_000;

type Moves = [Move; challenge::MOVES];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    id: ChallengeId,
    moves: Moves,
    expires_ms: u64,
    /// Whether somebody answered it; what came of that is not known.
    spent: bool,
    same_until_ms: u64,
}

impl Open {
    fn is_open(&self, now_ms: u64) -> bool {
        !self.spent && self.expires_ms > now_ms
    }
}

/// Every challenge that may still be answered, one for each name.
#[derive(Default)]
pub(super) struct LiveChallenges(Mutex<HashMap<TenantId, HashMap<UserId, Open>>>);

impl LiveChallenges {
    /// The open challenge of this name, or `fresh`, for the moves of the last one if no
    /// answer to that was judged. `None`: this tenant has too many open.
    fn open(&self, tenant: &TenantId, user: &UserId, fresh: Open, now_ms: u64) -> Option<Open> {
        let mut all = self.lock();
        let open = all.entry(tenant.clone()).or_default();
        if let Some(known) = open.get_mut(user).filter(|one| one.same_until_ms > now_ms) {
            if !known.is_open(now_ms) {
                let (moves, same_until_ms) = (known.moves, known.same_until_ms);
                *known = Open {
                    moves,
                    same_until_ms,
                    ..fresh
                };
            }
            return Some(*known);
        }
        if open.len() >= OPEN_PER_TENANT {
            open.retain(|_, known| known.same_until_ms > now_ms);
        }
        if open.len() >= OPEN_PER_TENANT {
            open.retain(|_, known| known.is_open(now_ms));
        }
        if open.len() >= OPEN_PER_TENANT {
            return None;
        }
        open.insert(user.clone(), fresh);
        Some(fresh)
    }

    /// Spends a challenge: whatever comes of the answer, it is gone. `None` if it is not
    /// open for exactly this tenant and user.
    fn spend(
        &self,
        tenant: &TenantId,
        user: &UserId,
        id: ChallengeId,
        now_ms: u64,
    ) -> Option<Moves> {
        let mut all = self.lock();
        let open = all.get_mut(tenant)?;
        let known = open.get_mut(user).filter(|known| known.id == id)?;
        let was_open = known.is_open(now_ms);
        known.spent = true;
        was_open.then_some(known.moves)
    }

    /// Forgets the challenge of one user: an answer was judged, or they are erased.
    pub(super) fn forget(&self, tenant: &TenantId, user: &UserId) {
        if let Some(open) = self.lock().get_mut(tenant) {
            open.remove(user);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, HashMap<UserId, Open>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frames, and the moves they are to show.
pub(super) struct Answered {
    moves: Moves,
    frames: Vec<Sample>,
}

impl Appliance {
    pub(super) async fn liveness_challenge(
        &self,
        caller: &Caller,
        request: ChallengeRequest,
    ) -> Result<LivenessChallenge, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        if self.challenges_mode() == LivenessMode::Off {
            return Err(Problem::challenges_off());
        }
        let drawn = || self.pool.draw::<16>().map_err(|_| internal("no entropy"));
        let random = u64::from_le_bytes(*drawn()?.first_chunk().unwrap_or(&[0; 8]));
        let fresh = Open {
            id: ChallengeId::from_bytes(drawn()?),
            moves: challenge::drawn(random),
            expires_ms: now_ms.saturating_add(OPEN_MS),
            spent: false,
            same_until_ms: now_ms.saturating_add(SAME_MOVES_MS),
        };
        let challenges = &serving.live_challenges;
        let open = challenges.open(&caller.tenant, &request.user_id, fresh, now_ms);
        let open = open.ok_or_else(Problem::too_many_requests)?;
        Ok(LivenessChallenge {
            challenge_id: open.id,
            actions: open.moves.map(Into::into).to_vec(),
            expires_at: Timestamp(open.expires_ms),
            frames_min: FRAMES_MIN,
            frames_max: FRAMES_MAX,
        })
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
        let (challenges, now_ms) = (&serving.live_challenges, self.time()?);
        let moves = challenges.spend(&caller.tenant, user, answer.challenge_id, now_ms);
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

    fn open(id: u8, expires_ms: u64) -> Open {
        Open {
            id: ChallengeId::from_bytes([id; 16]),
            moves: challenge::drawn(u64::from(id)),
            expires_ms,
            spent: false,
            same_until_ms: expires_ms + 100,
        }
    }

    #[test]
    fn a_challenge_is_good_once_for_its_own_tenant_and_user_and_time() {
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (x, y): (UserId, UserId) = ("x".parse().unwrap(), "y".parse().unwrap());
        let challenges = LiveChallenges::default();
        let one = open(1, 100);
        assert_eq!(challenges.open(&a, &x, one, 0), Some(one));
        assert_eq!(challenges.spend(&b, &x, one.id, 50), None);
        assert_eq!(challenges.spend(&a, &y, one.id, 50), None);
        assert_eq!(challenges.spend(&a, &x, open(2, 0).id, 50), None);
        assert_eq!(challenges.spend(&a, &x, one.id, 50), Some(one.moves));
        assert_eq!(challenges.spend(&a, &x, one.id, 50), None, "spent");
        challenges.forget(&a, &x);
        challenges.open(&a, &x, one, 0);
        assert_eq!(challenges.spend(&a, &x, one.id, 100), None, "expired");
        challenges.forget(&a, &x);
        challenges.open(&a, &x, one, 0);
        challenges.forget(&a, &x);
        assert_eq!(challenges.spend(&a, &x, one.id, 50), None, "forgotten");
    }

    /// Nobody asks until moves come that a recording fits: neither by waiting nor by
    /// answers that nobody can judge.
    #[test]
    fn who_asks_again_is_asked_for_the_same_moves_until_an_answer_was_judged() {
        let (a, x): (TenantId, UserId) = ("a".parse().unwrap(), "x".parse().unwrap());
        let challenges = LiveChallenges::default();
        let (one, two, three) = (open(1, 100), open(2, 150), open(3, 400));
        assert_ne!(one.moves, two.moves);
        assert_eq!(challenges.open(&a, &x, one, 0), Some(one));
        assert_eq!(challenges.open(&a, &x, two, 99), Some(one));
        let again = challenges.open(&a, &x, two, 100).unwrap();
        assert_eq!((again.id, again.moves), (two.id, one.moves), "it ran out");
        assert_eq!(again.same_until_ms, one.same_until_ms, "not for ever");
        assert_eq!(challenges.spend(&a, &x, two.id, 120), Some(one.moves));
        let again = challenges.open(&a, &x, three, 130).unwrap();
        assert_eq!((again.id, again.moves), (three.id, one.moves), "not judged");
        challenges.forget(&a, &x);
        assert_eq!(challenges.open(&a, &x, two, 130), Some(two), "judged");
        assert_eq!(challenges.open(&a, &x, three, 250), Some(three), "over");
    }

    #[test]
    fn a_tenant_has_a_bounded_number_open_and_what_is_over_makes_room() {
        let a: TenantId = "a".parse().unwrap();
        let challenges = LiveChallenges::default();
        let user = |number: usize| -> UserId { format!("u{number}").parse().unwrap() };
        for number in 0..OPEN_PER_TENANT {
            assert!(
                challenges
                    .open(&a, &user(number), open(1, 100), 0)
                    .is_some()
            );
        }
        assert!(
            challenges
                .open(&a, &user(OPEN_PER_TENANT), open(1, 100), 0)
                .is_none()
        );
        assert!(
            challenges.open(&a, &user(0), open(2, 100), 0).is_some(),
            "its own"
        );
        assert!(
            challenges
                .open(&a, &user(OPEN_PER_TENANT), open(1, 300), 100)
                .is_some()
        );
    }

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
