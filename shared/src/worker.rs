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
        /// JPEG, PNG or WebP bytes as the bank sent them.
        image: Vec<u8>,
    },
}

/// What the worker answers. Face answers may come in another order than asked.
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
}

/// One face, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceSample {
    /// One embedding per embedder of the model manifest, in its order.
    pub embeddings: Vec<Embedding>,
    /// Measures behind the quality gate.
    pub quality: FaceQuality,
    /// Passive liveness in [0, 1] (1 = live), if a model for it is loaded.
    pub liveness: Option<f32>,
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
}
