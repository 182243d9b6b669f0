//! Typed frames between the parts: length, version byte, postcard body.

use redoubt_shared::frame::{decode, encode};
use redoubt_shared::peers::{PeerRequest, PeerResponse};
use redoubt_shared::store::{StoreRefusal, StoreRequest, StoreResponse, StoredRecord};
use redoubt_shared::supervise::{Phase, SuperviseRequest, SuperviseResponse};
use redoubt_shared::worker::{
    Embedding, FaceQuality, FaceSample, FrameRefusal, FrameSample, SampleRefusal, SpokenSample,
    SpokenWord, VoiceQuality, VoiceSample, WorkerRequest, WorkerResponse,
};
use redoubt_shared::{JobId, LedgerId, read_frame};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Prepared;

/// A message as it stands behind its length.
fn body(message: &impl Serialize) -> Vec<u8> {
    let mut frame = encode(message).expect("messages made here are short");
    frame.split_off(4)
}

/// What decodes must encode to the very same bytes.
fn read<T: Serialize + DeserializeOwned>(input: &[u8]) {
    if let Ok(message) = decode::<T>(input) {
        assert_eq!(body(&message), input, "two encodings of one message");
    }
}

fn record() -> StoredRecord {
    StoredRecord {
        ledger: LedgerId::from_bytes([5; 16]),
        index: 3,
        bytes: vec![7; 300],
    }
}

pub(super) fn store() -> Prepared {
    let name = [1; 32];
    let requests = [
        StoreRequest::Boot,
        StoreRequest::Heads,
        StoreRequest::Append {
            records: vec![record(), record()],
        },
        StoreRequest::Read {
            ledger: LedgerId::from_bytes([5; 16]),
            from: 1,
            limit: 100,
        },
        StoreRequest::PutBlob {
            name,
            bytes: vec![9; 100],
        },
        StoreRequest::GetBlob { name },
        StoreRequest::SetSnapshot {
            latest: vec![name],
            keep: vec![name, [2; 32]],
        },
        StoreRequest::Snapshot,
        StoreRequest::Drop {
            below: vec![(LedgerId::from_bytes([5; 16]), 9)],
        },
    ];
    let responses = [
        StoreResponse::Boot {
            genesis: b"{}".to_vec(),
            config: b"{}".to_vec(),
        },
        StoreResponse::Heads(vec![(LedgerId::from_bytes([5; 16]), 4)]),
        StoreResponse::Appended,
        StoreResponse::Records(vec![record()]),
        StoreResponse::Refused {
            reason: StoreRefusal::Different,
            detail: "why".into(),
        },
        StoreResponse::Stored,
        StoreResponse::Blob {
            bytes: vec![3; 100],
        },
        StoreResponse::Snapshot { latest: vec![name] },
    ];
    let seeds = requests.iter().map(body).chain(responses.iter().map(body));
    let seeds = seeds.collect();
    let both = |input: &[u8]| {
        read::<StoreRequest>(input);
        read::<StoreResponse>(input);
    };
    (Box::new(both), seeds)
}

pub(super) fn worker() -> Prepared {
    let job = JobId::from_bytes([4; 16]);
    let requests = [
        WorkerRequest::Prove { nonce: [1; 32] },
        WorkerRequest::Face {
            job,
            deadline_ms: 1000,
            liveness: true,
            image: vec![0xff, 0xd8, 0xff],
        },
        WorkerRequest::Voice {
            job,
            deadline_ms: 1000,
            audio: b"fLaC".to_vec(),
        },
        WorkerRequest::Frames {
            job,
            deadline_ms: 1000,
            liveness: true,
            frames: vec![vec![0xff, 0xd8, 0xff], b"RIFF".to_vec()],
        },
        WorkerRequest::Spoken {
            job,
            deadline_ms: 1000,
            audio: b"fLaC".to_vec(),
        },
    ];
    let sample = FaceSample {
        embeddings: vec![Embedding {
            model: "sface-2021dec".into(),
            vector: vec![0.5; 16],
        }],
        quality: FaceQuality {
            detection: 0.9,
            eye_distance: 60.0,
            brightness: 120.0,
            sharpness: 100.0,
            embedding_norm: 3.5,
            score: 0.8,
        },
        liveness: Some(0.5),
    };
    let answer = |outcome| WorkerResponse::Face { job, outcome };
    let responses = [
        WorkerResponse::Evidence {
            document: vec![1; 100],
            preimage: b"{}".to_vec(),
        },
        answer(Ok(sample.clone())),
        WorkerResponse::Frames {
            job,
            outcome: Ok(vec![frame(sample)]),
        },
        WorkerResponse::Frames {
            job,
            outcome: Err(FrameRefusal {
                frame: 3,
                why: SampleRefusal::NoFace,
            }),
        },
        answer(Err(SampleRefusal::NoFace)),
        WorkerResponse::Voice {
            job,
            outcome: Ok(voice()),
        },
        WorkerResponse::Spoken {
            job,
            outcome: Ok(spoken()),
        },
        WorkerResponse::Spoken {
            job,
            outcome: Err(SampleRefusal::NotSupported),
        },
    ];
    let seeds = requests.iter().map(body).chain(responses.iter().map(body));
    let seeds = seeds.collect();
    // A float's bits are compared as bits: a number that is none is not itself.
    let both = |input: &[u8]| {
        read::<WorkerRequest>(input);
        read::<WorkerResponse>(input);
    };
    (Box::new(both), seeds)
}

fn frame(face: FaceSample) -> FrameSample {
    FrameSample {
        face,
        yaw: 12.5,
        pitch: -8.0,
        eyes: [0.9, 0.1],
        place: [0.3, 0.2, 0.4, 0.5],
        picture: [640, 480],
        print: [0x5a; 32],
    }
}

fn voice() -> VoiceSample {
    VoiceSample {
        embeddings: vec![Embedding {
            model: "campplus-zh-en-common".into(),
            vector: vec![0.25; 16],
        }],
        quality: VoiceQuality {
            speech_seconds: 3.0,
            level_db: -24.0,
            clipped: 0.0,
            signal_to_noise_db: 30.0,
            embedding_norm: 6.5,
            score: 0.9,
        },
    }
}

fn spoken() -> SpokenSample {
    let voice = voice();
    let half = voice.embeddings[0].clone();
    SpokenSample {
        voice,
        words: vec![
            SpokenWord {
                from_ms: 210,
                to_ms: 590,
                digits: [-2.5; 10],
            };
            6
        ],
        halves: vec![half.clone(), half],
    }
}

pub(super) fn host() -> Prepared {
    let seeds = vec![
        body(&PeerRequest {
            name: "w.example".into(),
        }),
        body(&PeerResponse::Connected),
        body(&PeerResponse::Refused {
            detail: "no route".into(),
        }),
        body(&SuperviseRequest::Status),
        body(&SuperviseResponse::Status {
            phase: Phase::Serving,
            counters: vec![("requests".into(), 7)],
        }),
    ];
    let all = |input: &[u8]| {
        read::<PeerRequest>(input);
        read::<PeerResponse>(input);
        read::<SuperviseRequest>(input);
        read::<SuperviseResponse>(input);
    };
    (Box::new(all), seeds)
}

/// Whole streams, lengths included: as many frames as there are.
pub(super) fn stream() -> Prepared {
    let frame = |message: &StoreResponse| encode(message).expect("messages made here are short");
    let two = [
        frame(&StoreResponse::Appended),
        frame(&StoreResponse::Records(vec![record()])),
    ];
    let read = |input: &[u8]| {
        let mut rest = input;
        // Reading a slice never waits, so one poll is the whole future.
        while now(read_frame::<StoreResponse, _>(&mut rest)).is_some_and(|read| read.is_ok()) {}
    };
    (Box::new(read), vec![two.concat(), two[1].clone()])
}

fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

/// What a listener may send over a WebSocket, frame after frame.
pub(super) fn websocket() -> Prepared {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let head = |first: u8, length: u8| [&[first, 0x80 | length][..], &mask].concat();
    let seeds = vec![
        head(0x8a, 0),
        [head(0x89, 5), vec![0x7f, 0x9f, 0x4d, 0x51, 0x58]].concat(),
        [head(0x88, 2), vec![0x34, 0x12]].concat(),
        head(0x81, 0),
    ];
    let read = |input: &[u8]| {
        let mut rest = input;
        while let Ok(Some((_, taken))) = redoubt_enclave::gateway::websocket::read(rest) {
            assert!((6..=131).contains(&taken), "a frame has an end");
            rest = &rest[taken..];
        }
    };
    (Box::new(read), seeds)
}
