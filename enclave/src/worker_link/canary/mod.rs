//! Samples whose answers are known: a worker that does not give them serves nobody.
//!
//! Protects against faults: wrong weights or options, a broken library, processor or
//! memory. A face is drawn and a voice made here, both of nobody; what a sound worker
//! makes of them was measured once and is part of this program. Each worker answers both
//! before its first job, and again after every so many.
//!
//! Not covered: the networks that follow moves or hear digits, which neither sample needs;
//! and a liar, who knows these two as everybody does. Second opinions
//! are for that.

mod draw;
mod speak;

use std::sync::OnceLock;

use redoubt_attestation::entropy::draw as random;
use redoubt_shared::JobId;
use redoubt_shared::worker::{FaceSample, VoiceSample};
use serde::{Deserialize, Serialize};

use super::WorkerError;
use super::keeper::Common;
use super::rules::Counts;
use super::second::{Tolerance, agree};
use super::session::{Handed, Kind, Measured, Session};

pub use draw::picture;
pub use speak::recording;

/// What is tolerated of other processors and devices: far above what they differ by, far
/// below any fault.
const TOLERANCE: Tolerance = Tolerance {
    embedding: 1e-2,
    measure: 1e-2,
};

/// What a sound worker makes of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// Of [`picture`], with its passive liveness.
    pub face: FaceSample,
    /// Of [`recording`].
    pub voice: VoiceSample,
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
}

/// Has a worker measure both samples. Busy, it is asked another time.
pub(super) async fn sing(session: &Session, common: &Common) -> Result<(), WorkerError> {
    let Expected { face, voice } = Expected::built_in();
    let mut face = face.clone();
    let liveness = common.manifest.has_liveness();
    if !liveness {
        face.liveness = None;
    }
    let picture = Handed::One(picture().to_vec().into());
    let recording = Handed::One(recording().to_vec().into());
    let seen = ask(session, common, Kind::Face { liveness }, picture);
    let heard = ask(session, common, Kind::Voice, recording);
    let (seen, heard) = futures::future::join(seen, heard).await;
    for (answer, expected) in [(seen, Measured::Face(face)), (heard, voice.clone().into())] {
        let answer = match answer {
            Err(none @ (WorkerError::Busy | WorkerError::Deadline | WorkerError::Unavailable)) => {
                return Err(none);
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
    Ok(())
}

async fn ask(
    session: &Session,
    common: &Common,
    kind: Kind,
    sample: Handed,
) -> Result<Measured, WorkerError> {
    let id = random(&*common.trust.entropy).map_err(|_| WorkerError::Unavailable)?;
    let place = session.enlist(JobId::from_bytes(id), kind, &mut None)?;
    session.measure(place, sample).await
}

impl From<VoiceSample> for Measured {
    fn from(voice: VoiceSample) -> Self {
        Self::Voice(voice)
    }
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
    }

    /// Other bytes would have other measures: they are the same on every machine.
    #[test]
    fn the_samples_are_the_same_bytes_everywhere() {
        let digest = |bytes: &[u8]| sha256(&[bytes]).to_string();
        assert_eq!(digest(picture()), PICTURE);
        assert_eq!(digest(recording()), RECORDING);
    }

    const PICTURE: &str = "36198230dc4eb7230c28870bf8ac5ba9168b7e533e72aeb63dc72b4914cf9ba1";
    const RECORDING: &str = "05f80465650412c513d13328e78aba64b40e110d60db6cb55b67c973a4ce7328";
}
