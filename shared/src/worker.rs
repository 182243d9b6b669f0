//! Enclave to sealed worker, inside their attested TLS session. The worker
//! learns a random job id and a sample: no tenant, subject, template, score or verdict.

use serde::{Deserialize, Serialize};

use crate::ids::JobId;

/// What the enclave asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum WorkerRequest {
    /// First message of a session: prove what you are, bound to this session.
    Prove {
        /// Fresh from the enclave.
        nonce: [u8; 32],
    },
    /// Find one face and embed it.
    Face {
        /// Random per job.
        job: JobId,
        /// Milliseconds after which the enclave no longer waits.
        deadline_ms: u32,
        /// Whether a passive liveness is wanted.
        liveness: bool,
        /// JPEG, PNG or WebP bytes as the bank sent them.
        image: Vec<u8>,
    },
    /// Embed the one voice of a recording.
    Voice {
        /// Random per job.
        job: JobId,
        /// Milliseconds after which the enclave no longer waits.
        deadline_ms: u32,
        /// WAV, FLAC, Ogg or WebM bytes as the bank sent them.
        audio: Vec<u8>,
    },
    /// Follow one face through frames, [`FRAMES_MIN`](crate::limits::FRAMES_MIN) to
    /// [`FRAMES_MAX`](crate::limits::FRAMES_MAX) of them.
    Frames {
        /// Random per job.
        job: JobId,
        /// Milliseconds after which the enclave no longer waits.
        deadline_ms: u32,
        /// Whether a passive liveness of each is wanted.
        liveness: bool,
        /// JPEG, PNG or WebP bytes of each, in the order they were taken.
        frames: Vec<Vec<u8>>,
    },
    /// Embed the one voice of a recording and hear which digits it reads.
    Spoken {
        /// Random per job.
        job: JobId,
        /// Milliseconds after which the enclave no longer waits.
        deadline_ms: u32,
        /// WAV, FLAC, Ogg or WebM bytes as the bank sent them.
        audio: Vec<u8>,
    },
}

/// What the worker answers. Answers to jobs may come in another order than asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum WorkerResponse {
    /// Answer to `Prove`.
    Evidence {
        /// COSE attestation document.
        document: Vec<u8>,
        /// JSON whose SHA-384 is the document's `user_data`.
        preimage: Vec<u8>,
    },
    /// Answer to `Face`.
    Face {
        /// The job answered.
        job: JobId,
        /// Embeddings, or why there are none.
        outcome: Result<FaceSample, SampleRefusal>,
    },
    /// Answer to `Voice`.
    Voice {
        /// The job answered.
        job: JobId,
        /// Embeddings, or why there are none.
        outcome: Result<VoiceSample, SampleRefusal>,
    },
    /// Answer to `Frames`.
    Frames {
        /// The job answered.
        job: JobId,
        /// One measure for each frame, in their order, or why there are none.
        outcome: Result<Vec<FrameSample>, FrameRefusal>,
    },
    /// Answer to `Spoken`.
    Spoken {
        /// The job answered.
        job: JobId,
        /// The voice and its words, or why there are none.
        outcome: Result<SpokenSample, SampleRefusal>,
    },
}

/// One frame of a face that moves, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameSample {
    /// The face. Its quality is measured and not gated: moving faces blur.
    pub face: FaceSample,
    /// Degrees that the head is turned, to the person's own left.
    pub yaw: f32,
    /// Degrees that the head is raised.
    pub pitch: f32,
    /// How open each eye is, in [0, 1]; the one at the picture's left first.
    pub eyes: [f32; 2],
    /// The face's box as parts of the picture: left, top, width, height.
    pub place: [f32; 4],
    /// Columns and rows of the picture.
    pub picture: [u32; 2],
    /// What the picture looks like from afar: 16 rows of 16 bits, each telling whether
    /// it grows lighter to the right. Alike pictures differ in few bits.
    pub print: [u8; 32],
}

/// Which frame gave no measure, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRefusal {
    /// Counted from zero.
    pub frame: u8,
    /// Why.
    pub why: SampleRefusal,
}

/// One face, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceSample {
    /// One embedding per embedder of the model manifest, in its order.
    pub embeddings: Vec<Embedding>,
    /// Measures behind the quality gate.
    pub quality: FaceQuality,
    /// Passive liveness in [0, 1] (1 = live), if asked for and a model for it is loaded.
    pub liveness: Option<f32>,
}

/// One voice, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VoiceSample {
    /// One embedding per voice embedder of the model manifest, in its order.
    pub embeddings: Vec<Embedding>,
    /// Measures behind the quality gate.
    pub quality: VoiceQuality,
}

/// A recording of somebody who reads digits, cut into words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpokenSample {
    /// What [`WorkerRequest::Voice`] gives for the same bytes.
    pub voice: VoiceSample,
    /// In the order they were spoken; at most [`WORDS_MAX`](crate::limits::WORDS_MAX).
    pub words: Vec<SpokenWord>,
    /// By the first voice embedder: the first half of the words and the second half, the
    /// word in the middle of an odd number in the first. Empty with fewer than two words.
    pub halves: Vec<Embedding>,
}

/// One word of a recording, and which digit it sounds like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpokenWord {
    /// Milliseconds from the beginning of the recording to that of the word.
    pub from_ms: u32,
    /// And to its end.
    pub to_ms: u32,
    /// Natural logarithms of the probabilities of the digits 0 to 9: each at most 0,
    /// and the probabilities at most 1 together.
    pub digits: [f32; 10],
}

/// An L2-normalised vector and the model that made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Model id of the manifest (`images/models.toml`).
    pub model: String,
    /// Unit-norm components.
    pub vector: Vec<f32>,
}

/// Quality measures of a face image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FaceQuality {
    /// Detector confidence in [0, 1].
    pub detection: f32,
    /// Distance between the eyes, in pixels of the image as sent.
    pub eye_distance: f32,
    /// Mean luma of the face box, 0 to 255.
    pub brightness: f32,
    /// Variance of the Laplacian over the aligned face.
    pub sharpness: f32,
    /// Norm of the first embedding before normalisation.
    pub embedding_norm: f32,
    /// The measures folded into [0, 1]; the gate passes from 0.5 on.
    pub score: f32,
}

/// Quality measures of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VoiceQuality {
    /// Seconds in which somebody speaks.
    pub speech_seconds: f32,
    /// Root mean square of the speech, in decibels below full scale (0 and less).
    pub level_db: f32,
    /// Part of the samples that stand at full scale, in [0, 1].
    pub clipped: f32,
    /// Power of the speech over that of the pauses, in decibels; at most 60.
    pub signal_to_noise_db: f32,
    /// Norm of the first embedding before normalisation.
    pub embedding_norm: f32,
    /// The measures folded into [0, 1]; the gate passes from 0.5 on.
    pub score: f32,
}

/// Why a sample gave no embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SampleRefusal {
    /// Neither JPEG, PNG nor WebP, or broken.
    NotAnImage,
    /// More pixels than the worker decodes.
    TooManyPixels,
    /// No face found.
    NoFace,
    /// More than one face.
    ManyFaces,
    /// The face is too small in the image.
    FaceTooSmall,
    /// The face is too dark.
    TooDark,
    /// The face is too bright.
    TooBright,
    /// The face is out of focus.
    Blurred,
    /// The deadline passed before the job was done.
    Deadline,
    /// The queue is full: try again later.
    Busy,
    /// The worker failed at this job.
    Failed,
    /// Neither WAV, FLAC, Ogg nor WebM, or broken.
    NotAudio,
    /// A rate, number of channels or kind of samples that the worker does not decode.
    AudioNotSupported,
    /// More seconds than the worker decodes.
    TooLong,
    /// Samples that are no numbers, or far beyond full scale.
    NotFinite,
    /// Nothing but silence.
    Silent,
    /// The recording was too loud for its microphone.
    Clipped,
    /// Too few seconds of speech.
    TooLittleSpeech,
    /// The voice is too quiet.
    TooQuiet,
    /// Too much noise behind the voice.
    TooNoisy,
    /// Fewer or more frames than a challenge is answered with.
    FrameCount,
    /// No model for it is loaded.
    NotSupported,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken_digits_have_golden_bytes(id: &[u8]) {
        let asked = WorkerRequest::Spoken {
            job: job(),
            deadline_ms: 1000,
            audio: b"fLaC".to_vec(),
        };
        let expected = [&[4][..], id, &[0xe8, 7, 4], b"fLaC"].concat();
        assert_eq!(bytes(&asked), expected);
        let half = |x: f32| Embedding {
            model: "m".into(),
            vector: vec![x],
        };
        let quality = VoiceQuality {
            speech_seconds: 1.0,
            level_db: -1.0,
            clipped: 0.0,
            signal_to_noise_db: 1.0,
            embedding_norm: 2.0,
            score: 0.5,
        };
        let sample = SpokenSample {
            voice: VoiceSample {
                embeddings: Vec::new(),
                quality,
            },
            words: vec![SpokenWord {
                from_ms: 300,
                to_ms: 700,
                digits: [-1.0; 10],
            }],
            halves: vec![half(1.0), half(-1.0)],
        };
        let answer = WorkerResponse::Spoken {
            job: job(),
            outcome: Ok(sample),
        };
        let [one, less, zero, two, middle] = [1.0f32, -1.0, 0.0, 2.0, 0.5].map(f32::to_le_bytes);
        let voice = [&[0][..], &[one, less, zero, one, two, middle].concat()].concat();
        // Milliseconds are varints, the ten logarithms stand without a count.
        let word = [&[1, 0xac, 2, 0xbc, 5][..], &less.repeat(10)].concat();
        let halves = [&[2, 1, b'm', 1][..], &one, &[1, b'm', 1], &less].concat();
        let expected = [&[4][..], id, &[0], &voice, &word, &halves].concat();
        assert_eq!(bytes(&answer), expected);
        let refused = WorkerResponse::Spoken {
            job: job(),
            outcome: Err(SampleRefusal::NotSupported),
        };
        assert_eq!(bytes(&refused), [&[4][..], id, &[1, 21]].concat());
    }

    fn bytes(message: &impl Serialize) -> Vec<u8> {
        postcard::to_allocvec(message).unwrap()
    }

    fn job() -> JobId {
        JobId::from_bytes([4; 16])
    }

    /// An enclave and a worker of different builds would misread each other where a
    /// variant moved, so new ones stand behind the others.
    #[test]
    fn messages_have_golden_bytes() {
        let face = WorkerRequest::Face {
            job: job(),
            deadline_ms: 1000,
            liveness: true,
            image: vec![0xff, 0xd8],
        };
        let voice = WorkerRequest::Voice {
            job: job(),
            deadline_ms: 1000,
            audio: b"fLaC".to_vec(),
        };
        let id = bytes(&job());
        assert_eq!(bytes(&WorkerRequest::Prove { nonce: [1; 32] })[0], 0);
        assert_eq!(
            bytes(&face),
            [&[1][..], &id, &[0xe8, 7, 1, 2, 0xff, 0xd8]].concat()
        );
        assert_eq!(
            bytes(&voice),
            [&[2][..], &id, &[0xe8, 7, 4], b"fLaC"].concat()
        );
        let sample = VoiceSample {
            embeddings: vec![Embedding {
                model: "m".into(),
                vector: vec![1.0],
            }],
            quality: VoiceQuality {
                speech_seconds: 1.0,
                level_db: -1.0,
                clipped: 0.0,
                signal_to_noise_db: 1.0,
                embedding_norm: 2.0,
                score: 0.5,
            },
        };
        let [one, less, zero, two, half] = [1.0f32, -1.0, 0.0, 2.0, 0.5].map(f32::to_le_bytes);
        let answer = WorkerResponse::Voice {
            job: job(),
            outcome: Ok(sample),
        };
        let head = [&[2][..], &id, &[0, 1, 1, b'm', 1]].concat();
        let floats = [one, one, less, zero, one, two, half].concat();
        assert_eq!(bytes(&answer), [head, floats].concat());
        let refusals = [
            (SampleRefusal::NotAnImage, 0),
            (SampleRefusal::Failed, 10),
            (SampleRefusal::NotAudio, 11),
            (SampleRefusal::AudioNotSupported, 12),
            (SampleRefusal::TooLong, 13),
            (SampleRefusal::NotFinite, 14),
            (SampleRefusal::Silent, 15),
            (SampleRefusal::Clipped, 16),
            (SampleRefusal::TooLittleSpeech, 17),
            (SampleRefusal::TooQuiet, 18),
            (SampleRefusal::TooNoisy, 19),
            (SampleRefusal::FrameCount, 20),
            (SampleRefusal::NotSupported, 21),
        ];
        let frames = WorkerRequest::Frames {
            job: job(),
            deadline_ms: 1000,
            liveness: false,
            frames: vec![vec![7], vec![8, 9]],
        };
        let expected = [&[3][..], &id, &[0xe8, 7, 0, 2, 1, 7, 2, 8, 9]].concat();
        assert_eq!(bytes(&frames), expected);
        let refused = WorkerResponse::Frames {
            job: job(),
            outcome: Err(FrameRefusal {
                frame: 6,
                why: SampleRefusal::NoFace,
            }),
        };
        assert_eq!(bytes(&refused), [&[3][..], &id, &[1, 6, 2]].concat());
        spoken_digits_have_golden_bytes(&id);
        for (refusal, number) in refusals {
            assert_eq!(bytes(&refusal), [number], "{refusal:?}");
            let answer = WorkerResponse::Voice {
                job: job(),
                outcome: Err(refusal),
            };
            assert_eq!(bytes(&answer), [&[2][..], &id, &[1, number]].concat());
        }
    }
}
