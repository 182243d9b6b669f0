//! A worker that speaks the protocol well and lies as told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redoubt_attestation::attester::{
    AttestRequest, Attester, EmulatedAttester, emulated_root, measure,
};
use redoubt_attestation::binding::{
    Backend, EXPORTER_BYTES, EXPORTER_LABEL, NonceInput, WorkerBinding, user_data,
};
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{
    Environment, Genesis, GenesisType, MeasuredRole, Measurement, Officer, RootKind, SignedFile,
    Tier, VendorRootEntry, VerifiedGenesis,
};
use redoubt_attestation::sign::Es256Signer;
use redoubt_shared::worker::{
    Embedding, FaceQuality, FaceSample, FrameRefusal, FrameSample, SampleRefusal, SpokenSample,
    SpokenWord, VoiceQuality, VoiceSample, WorkerRequest, WorkerResponse,
};
use redoubt_shared::{Endpoint, JobId, Stream, read_frame, write_frame};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::worker_link::canary;
use crate::worker_link::manifest::{Embedder, Manifest};

pub(super) const PROGRAM: &[u8] = b"the worker's program";
const ENCLAVE: &[u8] = b"the enclave's program";

/// What one session of the fake does wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lie {
    None,
    // evidence
    OtherProgram,
    OtherSession,
    OtherNonce,
    OtherKey,
    OtherModels,
    HigherTier,
    OtherPreimage,
    NoEvidence,
    // answers
    Answer(fn(&mut FaceSample)),
    Hear(fn(&mut VoiceSample)),
    Recite(fn(&mut SpokenSample)),
    Follow(fn(&mut Vec<FrameSample>)),
    RefuseFrame(u8, SampleRefusal),
    OtherKind,
    OtherJob,
    Twice,
    Refuse(SampleRefusal),
    EvidenceUnasked,
    BadFrame,
    Hangup,
    // sessions
    /// The host brings no worker.
    Shut,
    /// The key of every other session that says this.
    SameKey,
    /// Answers late.
    Slow(Duration),
    /// From its n-th job on its pictures are sharper than they are.
    BreaksAt(usize),
    /// Hangs up at its n-th job.
    HangupAt(usize),
}

/// The world the enclave believes in.
pub(super) struct World {
    root: (String, String),
    pub(super) genesis: Arc<VerifiedGenesis>,
    same: (Arc<ServerConfig>, Vec<u8>),
    /// Jobs of each session so far, in the order of the sessions.
    jobs: Mutex<Vec<usize>>,
    /// Sessions that are open.
    open: AtomicUsize,
}

impl World {
    pub(super) fn new() -> Self {
        let root = emulated_root("worker link test").unwrap();
        let officer = Es256Signer::generate(&SystemEntropy).unwrap();
        let manifest = genesis(&root.0, &officer);
        let mut file = SignedFile::unsigned(&serde_json::to_vec(&manifest).unwrap());
        file.sign("officer-1", &officer).unwrap();
        let genesis = Arc::new(Genesis::verify(&file.to_json()).unwrap());
        Self {
            root,
            genesis,
            same: tls(),
            jobs: Mutex::default(),
            open: AtomicUsize::new(0),
        }
    }

    /// Jobs that each session was sent, in their order.
    pub(super) fn jobs(&self) -> Vec<usize> {
        self.jobs.lock().unwrap().clone()
    }

    /// Sessions that are open now.
    pub(super) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    fn attester(&self, lie: Lie) -> EmulatedAttester {
        let program: &[u8] = match lie {
            Lie::OtherProgram => b"a patched worker",
            _ => PROGRAM,
        };
        EmulatedAttester::dangerous_new(&self.root.0, &self.root.1, program, 0).unwrap()
    }

    /// Accepts one session per lie, in order; after that the last one for good.
    pub(super) async fn listen(self: Arc<Self>, endpoint: &Endpoint, lies: &[Lie]) {
        let mut listener = endpoint.listen().await.unwrap();
        let mut lies: VecDeque<Lie> = lies.iter().copied().collect();
        tokio::spawn(async move {
            while let Ok(stream) = listener.accept().await {
                let lie = if lies.len() > 1 {
                    lies.pop_front()
                } else {
                    lies.front().copied()
                };
                let world = Arc::clone(&self);
                let number = {
                    let mut jobs = self.jobs.lock().unwrap();
                    jobs.push(0);
                    jobs.len() - 1
                };
                tokio::spawn(async move {
                    world.open.fetch_add(1, Relaxed);
                    world.session(stream, lie.unwrap(), number).await;
                    world.open.fetch_sub(1, Relaxed);
                });
            }
        });
    }

    async fn session(&self, stream: Stream, mut lie: Lie, number: usize) -> Option<()> {
        let (config, spki) = match lie {
            Lie::Shut => return None,
            Lie::SameKey => self.same.clone(),
            _ => tls(),
        };
        let mut stream = TlsAcceptor::from(config).accept(stream).await.ok()?;
        loop {
            let request = read_frame(&mut stream).await.ok()?;
            if !matches!(request, WorkerRequest::Prove { .. }) {
                let jobs = {
                    let mut jobs = self.jobs.lock().unwrap();
                    jobs[number] += 1;
                    jobs[number]
                };
                match lie {
                    Lie::Slow(wait) => tokio::time::sleep(wait).await,
                    Lie::BreaksAt(first) if jobs >= first => {
                        lie = Lie::Answer(|s| s.quality.sharpness *= 2.0);
                    }
                    Lie::HangupAt(last) if jobs >= last => return None,
                    _ => {}
                }
            }
            match request {
                WorkerRequest::Prove { nonce } => {
                    let evidence = self.evidence(lie, nonce, spki.clone(), &stream);
                    write_frame(&mut stream, &evidence).await.ok()?;
                }
                WorkerRequest::Face { job, image, .. } => {
                    answer(&mut stream, lie, (job, image)).await?;
                }
                WorkerRequest::Voice { job, audio, .. } => {
                    hear(&mut stream, lie, (job, audio)).await?;
                }
                WorkerRequest::Frames { job, frames, .. } => {
                    follow(&mut stream, lie, (job, frames)).await?;
                }
                WorkerRequest::Spoken { job, audio, .. } => {
                    recite(&mut stream, lie, (job, audio)).await?;
                }
            }
        }
    }

    fn evidence(
        &self,
        lie: Lie,
        mut nonce: [u8; 32],
        spki: Vec<u8>,
        stream: &TlsStream<Stream>,
    ) -> WorkerResponse {
        let mut exporter = [0; EXPORTER_BYTES];
        let (_, session) = stream.get_ref();
        session
            .export_keying_material(&mut exporter, EXPORTER_LABEL, None)
            .unwrap();
        let mut models = Manifest::built_in().digest();
        let (mut tier, mut key) = (Tier::Process, spki);
        match lie {
            Lie::OtherSession => exporter = [1; EXPORTER_BYTES],
            Lie::OtherNonce => nonce[0] ^= 1,
            Lie::OtherKey => key = tls().1,
            Lie::OtherModels => models = Digest32([0; 32]),
            Lie::HigherTier => tier = Tier::ConfidentialGpu,
            Lie::NoEvidence => return unasked(JobId::from_bytes([0; 16])),
            _ => {}
        }
        let mut preimage =
            WorkerBinding::new(tier, models, Backend::Cpu, key.clone()).to_preimage();
        let nonce = NonceInput::Session {
            client_nonce: &nonce,
            exporter: &exporter,
        };
        let request = AttestRequest {
            public_key: Some(key),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce: Some(nonce.hash().0.to_vec()),
        };
        let document = self.attester(lie).attest(&request).unwrap();
        if matches!(lie, Lie::OtherPreimage) {
            preimage.push(b' ');
        }
        WorkerResponse::Evidence { document, preimage }
    }
}

async fn answer(
    stream: &mut TlsStream<Stream>,
    lie: Lie,
    (job, image): (JobId, Vec<u8>),
) -> Option<()> {
    let mut sample = match *image == *canary::picture() {
        true => canary::Expected::built_in().face.clone(),
        false => honest_sample(),
    };
    let mut named = job;
    match lie {
        Lie::Answer(spoil) => spoil(&mut sample),
        Lie::OtherJob => named = JobId::from_bytes([0xee; 16]),
        Lie::Refuse(refusal) => {
            let outcome = Err(refusal);
            return write_frame(stream, &WorkerResponse::Face { job, outcome })
                .await
                .ok();
        }
        Lie::EvidenceUnasked => {
            let (document, preimage) = (vec![], vec![]);
            let evidence = WorkerResponse::Evidence { document, preimage };
            return write_frame(stream, &evidence).await.ok();
        }
        Lie::BadFrame => {
            stream.write_all(&[0, 0, 0, 2, 9, 9]).await.ok()?;
            return stream.flush().await.ok();
        }
        Lie::Hangup => return None,
        Lie::OtherKind => {
            let outcome = Ok(honest_voice());
            let response = WorkerResponse::Voice { job, outcome };
            return write_frame(stream, &response).await.ok();
        }
        _ => {}
    }
    let response = WorkerResponse::Face {
        job: named,
        outcome: Ok(sample),
    };
    write_frame(stream, &response).await.ok()?;
    if matches!(lie, Lie::Twice) {
        write_frame(stream, &response).await.ok()?;
    }
    Some(())
}

async fn hear(
    stream: &mut TlsStream<Stream>,
    lie: Lie,
    (job, audio): (JobId, Vec<u8>),
) -> Option<()> {
    let mut sample = match *audio == *canary::recording() {
        true => canary::Expected::built_in().voice.clone(),
        false => honest_voice(),
    };
    let response = match lie {
        Lie::OtherKind => unasked(job),
        Lie::Refuse(refusal) => WorkerResponse::Voice {
            job,
            outcome: Err(refusal),
        },
        lie => {
            if let Lie::Hear(spoil) = lie {
                spoil(&mut sample);
            }
            WorkerResponse::Voice {
                job,
                outcome: Ok(sample),
            }
        }
    };
    write_frame(stream, &response).await.ok()
}

async fn recite(
    stream: &mut TlsStream<Stream>,
    lie: Lie,
    (job, audio): (JobId, Vec<u8>),
) -> Option<()> {
    let known = canary::Expected::built_in().spoken.clone();
    let known = known.filter(|_| *audio == *canary::reading());
    let mut sample = known.unwrap_or_else(honest_reading);
    let response = match lie {
        // A voice is what it is asked for, and not all of it.
        Lie::OtherKind => WorkerResponse::Voice {
            job,
            outcome: Ok(sample.voice),
        },
        Lie::Refuse(refusal) => WorkerResponse::Spoken {
            job,
            outcome: Err(refusal),
        },
        lie => {
            if let Lie::Recite(spoil) = lie {
                spoil(&mut sample);
            }
            WorkerResponse::Spoken {
                job,
                outcome: Ok(sample),
            }
        }
    };
    write_frame(stream, &response).await.ok()
}

async fn follow(
    stream: &mut TlsStream<Stream>,
    lie: Lie,
    (job, film): (JobId, Vec<Vec<u8>>),
) -> Option<()> {
    let known = canary::Expected::built_in().frames.as_ref();
    let mut frames = match known.filter(|_| film == canary::film()) {
        Some(both) => both.iter().cycle().take(film.len()).cloned().collect(),
        None => vec![honest_frame(); film.len()],
    };
    let response = match lie {
        Lie::OtherKind => unasked(job),
        Lie::RefuseFrame(frame, why) => WorkerResponse::Frames {
            job,
            outcome: Err(FrameRefusal { frame, why }),
        },
        lie => {
            if let Lie::Follow(spoil) = lie {
                spoil(&mut frames);
            }
            WorkerResponse::Frames {
                job,
                outcome: Ok(frames),
            }
        }
    };
    write_frame(stream, &response).await.ok()
}

/// Of a quality below the gate, as frames may be.
pub(super) fn honest_frame() -> FrameSample {
    let mut face = honest_sample();
    face.quality.score = 0.2;
    FrameSample {
        face,
        yaw: 3.0,
        pitch: -8.0,
        eyes: [0.9, 0.8],
        place: [0.2, -0.1, 0.4, 0.6],
        picture: [640, 480],
        print: [7; 32],
    }
}

fn unasked(job: JobId) -> WorkerResponse {
    let outcome = Ok(honest_sample());
    WorkerResponse::Face { job, outcome }
}

fn embeddings(embedders: &[Embedder]) -> Vec<Embedding> {
    let embedding = |embedder: &Embedder| Embedding {
        model: embedder.id.clone(),
        vector: vec![(embedder.dimension as f32).sqrt().recip(); embedder.dimension],
    };
    embedders.iter().map(embedding).collect()
}

pub(super) fn honest_voice() -> VoiceSample {
    VoiceSample {
        embeddings: embeddings(Manifest::built_in().voice_embedders()),
        quality: VoiceQuality {
            speech_seconds: 4.0,
            level_db: -24.0,
            clipped: 0.0,
            signal_to_noise_db: 30.0,
            embedding_norm: 6.5,
            score: 0.9,
        },
    }
}

/// As many words as there may be, none sure to be any digit.
pub(super) fn honest_reading() -> SpokenSample {
    let word = |at: u32| SpokenWord {
        from_ms: 700 * at,
        to_ms: 700 * at + 700,
        digits: [0.1f32.ln(); 10],
    };
    let voice = honest_voice();
    let half = voice.embeddings[0].clone();
    SpokenSample {
        voice,
        words: (0..16).map(word).collect(),
        halves: vec![half.clone(), half],
    }
}

pub(super) fn honest_sample() -> FaceSample {
    FaceSample {
        embeddings: embeddings(Manifest::built_in().embedders()),
        quality: FaceQuality {
            detection: 0.9,
            eye_distance: 80.0,
            brightness: 120.0,
            sharpness: 300.0,
            embedding_norm: 11.0,
            score: 0.9,
        },
        liveness: Some(0.97),
    }
}

fn tls() -> (Arc<ServerConfig>, Vec<u8>) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["redoubt-worker".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    (Arc::new(config), spki)
}

fn genesis(root: &str, officer: &Es256Signer) -> Genesis {
    let allowed = |role, program: &[u8]| {
        let mut pcrs = measure(program).to_hex();
        pcrs.retain(|index, _| *index < 3);
        Measurement {
            role,
            tier: Tier::Process,
            pcrs,
        }
    };
    Genesis {
        kind: GenesisType::V1,
        name: "worker link test".into(),
        environment: Environment::Emulated,
        counter: 1,
        threshold: 1,
        officers: vec![Officer {
            id: "officer-1".into(),
            key: officer.jwk().clone(),
        }],
        secret_commitment: Digest32([9; 32]),
        vendor_roots: vec![VendorRootEntry {
            kind: RootKind::NitroEmulated,
            pem: root.to_owned(),
        }],
        measurements: vec![
            allowed(MeasuredRole::Enclave, ENCLAVE),
            allowed(MeasuredRole::Worker, PROGRAM),
        ],
        witnesses: vec![],
        witness_policy: None,
        custodians: vec![],
        custodian_threshold: None,
        previous: None,
        created_ms: 1,
    }
}
