//! Samples whose answers are known: a worker that does not give them serves nobody.
//!
//! Protects against faults: wrong weights or options, a broken library, processor or
//! memory. A face is drawn, still and in frames of which some are turned aside with eyes
//! shut, and a voice made, of one word and of several; all of nobody. What a sound worker
//! makes of them was measured once and is part of this program. Each worker answers all
//! that its networks are for before its first job, and again after every so many.
//!
//! Not covered: a liar, who knows them as everybody does. Second opinions are for that.

mod draw;
mod speak;

use std::sync::OnceLock;

use redoubt_attestation::entropy::draw as random;
use redoubt_shared::JobId;
use redoubt_shared::limits::FRAMES_MIN;
use redoubt_shared::worker::{FaceSample, FrameSample, SpokenSample, VoiceSample};
use serde::{Deserialize, Serialize};

use super::WorkerError;
use super::keeper::Common;
use super::manifest::Manifest;
use super::rules::Counts;
use super::second::{Tolerance, agree};
use super::session::{Handed, Kind, Measured, Session};

pub use draw::{picture, turned};
pub use speak::{reading, recording};

/// What is tolerated of other processors and devices: far above what they differ by, far
/// below any fault.
const TOLERANCE: Tolerance = Tolerance {
    embedding: 1e-2,
    measure: 1e-2,
};

/// What a sound worker makes of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// Of [`picture`], with its passive liveness.
    pub face: FaceSample,
    /// Of [`recording`].
    pub voice: VoiceSample,
    /// Of the two pictures in frames, without their liveness; none where no network
    /// follows moves.
    #[serde(default)]
    pub frames: Option<[FrameSample; 2]>,
    /// Of [`reading`]; none where no network hears digits.
    #[serde(default)]
    pub spoken: Option<SpokenSample>,
}

/// Both pictures in turns: as few frames as a worker takes.
pub fn film() -> Vec<Vec<u8>> {
    let both = [picture(), turned()].into_iter().cycle();
    both.take(FRAMES_MIN).map(<[u8]>::to_vec).collect()
}

impl Expected {
    /// As measured when the models were last changed.
    pub fn built_in() -> &'static Self {
        static EXPECTED: OnceLock<Expected> = OnceLock::new();
        EXPECTED.get_or_init(|| {
            serde_json::from_str(include_str!("expected.json"))
                .expect("what canaries answer is part of this program, and tested")
        })
    }

    /// Whether a worker that gave these measures is sound; the error names one that is
    /// another.
    pub fn is_met_by(&self, measured: &Self) -> Result<(), &'static str> {
        let all = |expected: &Self| {
            let Self {
                face,
                voice,
                frames,
                spoken,
            } = expected.clone();
            let some = [Measured::Face(face), Measured::Voice(voice)].into_iter();
            let frames = frames.map(|both| Measured::Frames(both.to_vec()));
            some.chain(frames)
                .chain(spoken.map(Measured::Spoken))
                .collect::<Vec<_>>()
        };
        let (expected, measured) = (all(self), all(measured));
        if expected.len() != measured.len() {
            return Err("number of measures");
        }
        let mut each = expected.into_iter().zip(measured);
        each.try_for_each(|(one, other)| agree(&Ok(one), &Ok(other), &TOLERANCE))
    }

    /// Each sample that models of this manifest are for, and what is expected of it.
    fn questions(&self, manifest: &Manifest) -> Vec<(Kind, Handed, Measured)> {
        let one = |bytes: &[u8]| Handed::One(bytes.to_vec().into());
        let liveness = manifest.has_liveness();
        let mut face = self.face.clone();
        face.liveness = face.liveness.filter(|_| liveness);
        let voice = self.voice.clone();
        let mut all = vec![
            (
                Kind::Face { liveness },
                one(picture()),
                Measured::Face(face),
            ),
            (Kind::Voice, one(recording()), Measured::Voice(voice)),
        ];
        if let Some(both) = self.frames.as_ref().filter(|_| manifest.has_moves()) {
            let expected = both.iter().cycle().take(FRAMES_MIN).cloned().collect();
            let kind = Kind::Frames {
                liveness: false,
                count: FRAMES_MIN,
            };
            let film = Handed::Frames(film().into());
            all.push((kind, film, Measured::Frames(expected)));
        }
        if let Some(spoken) = self.spoken.clone().filter(|_| manifest.has_digits()) {
            all.push((Kind::Spoken, one(reading()), Measured::Spoken(spoken)));
        }
        all
    }
}

/// Has a worker measure all of them. What it answers is judged, whatever else it leaves
/// out; what it left out it is asked another time.
pub(super) async fn sing(session: &Session, common: &Common) -> Result<(), WorkerError> {
    let questions = Expected::built_in().questions(&common.manifest);
    let answers = questions
        .into_iter()
        .map(async |(kind, sample, expected)| (ask(session, common, kind, sample).await, expected));
    let mut left_out = None;
    for (answer, expected) in futures::future::join_all(answers).await {
        let answer = match answer {
            Err(none @ (WorkerError::Busy | WorkerError::Deadline | WorkerError::Unavailable)) => {
                left_out.get_or_insert(none);
                continue;
            }
            opinion => opinion,
        };
        Counts::add(&common.counts.canaries);
        if let Err(measure) = agree(&answer, &Ok(expected), &TOLERANCE) {
            Counts::add(&common.counts.canaries_failed);
            let problem = format!("of a sample whose answer is known it gave another {measure}");
            session.distrust(&problem);
            return Err(WorkerError::Untrusted(problem));
        }
    }
    left_out.map_or(Ok(()), Err)
}

async fn ask(
    session: &Session,
    common: &Common,
    kind: Kind,
    sample: Handed,
) -> Result<Measured, WorkerError> {
    let id = random(&*common.trust.entropy).map_err(|_| WorkerError::Unavailable)?;
    let place = session.enlist(JobId::from_bytes(id), kind)?;
    session.measure(place, sample).await
}

#[cfg(test)]
mod tests {
    use redoubt_attestation::encode::sha256;

    use super::*;
    use crate::worker_link::check;
    use crate::worker_link::manifest::Manifest;

    #[test]
    fn what_is_expected_is_of_the_models_of_this_build() {
        let (expected, manifest) = (Expected::built_in(), Manifest::built_in());
        check::face(&expected.face, &manifest).unwrap();
        check::voice(&expected.voice, &manifest).unwrap();
        assert!(expected.face.liveness.is_some());
        let frames = expected
            .frames
            .as_ref()
            .expect("there are networks for moves");
        check::frames(frames, &manifest).unwrap();
        let spoken = expected.spoken.as_ref().expect("there are some for digits");
        check::spoken(spoken, &manifest).unwrap();
        assert_eq!(expected.questions(&manifest).len(), 4);
    }

    /// What is asked shows what it is to show: a head that turns, eyes that shut, words.
    #[test]
    fn the_networks_of_moves_and_digits_have_something_to_tell() {
        let Expected { frames, spoken, .. } = Expected::built_in();
        let [ahead, aside] = frames.as_ref().unwrap();
        assert!((ahead.yaw - aside.yaw).abs() > 5.0, "{ahead:?} {aside:?}");
        let opened = [0, 1].map(|eye| ahead.eyes[eye] - aside.eyes[eye]);
        assert!(opened.iter().all(|more| *more > 0.3), "{opened:?}");
        let spoken = spoken.as_ref().unwrap();
        assert_eq!((spoken.words.len(), spoken.halves.len()), (7, 2));
    }

    /// Other bytes would have other measures: they are the same on every machine.
    #[test]
    fn the_samples_are_the_same_bytes_everywhere() {
        let digest = |bytes: &[u8]| sha256(&[bytes]).to_string();
        assert_eq!(digest(picture()), PICTURE);
        assert_eq!(digest(recording()), RECORDING);
        assert_eq!(digest(turned()), TURNED);
        assert_eq!(digest(reading()), READING);
    }

    const PICTURE: &str = "36198230dc4eb7230c28870bf8ac5ba9168b7e533e72aeb63dc72b4914cf9ba1";
    const TURNED: &str = "53f5c1470ea1ec3c3e8dc0164991d6e8059dc54e10fce042520af01ffc5edb62";
    const READING: &str = "3123cc91e87aeca269d2482aebcadd0a2b659faac94a0886af9d8fcf353ff4d3";
    const RECORDING: &str = "05f80465650412c513d13328e78aba64b40e110d60db6cb55b67c973a4ce7328";
}
