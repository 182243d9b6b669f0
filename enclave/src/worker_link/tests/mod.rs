//! Lies a worker could tell, each refused for its own reason.

mod canary;
mod fake;
mod renewal;
mod second;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use fake::{Lie, World, honest_frame, honest_reading, honest_sample, honest_voice};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::Tier;
use redoubt_shared::Endpoint;
use redoubt_shared::worker::{FaceSample, FrameSample, SampleRefusal, SpokenSample, VoiceSample};

use super::manifest::Manifest;
use super::{Rules, Watching, WorkerError, WorkerLink, WorkerTrust};

struct Bench {
    link: WorkerLink,
    world: Arc<World>,
    /// Times that somebody was told of a disagreement.
    told: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(lies: &[Lie]) -> Self {
        Self::accepting(lies, &[Tier::Process]).await
    }

    async fn accepting(lies: &[Lie], tiers: &[Tier]) -> Self {
        Self::make(lies, tiers, Rules::NONE).await
    }

    async fn ruled(lies: &[Lie], rules: Rules) -> Self {
        Self::make(lies, &[Tier::Process], rules).await
    }

    async fn make(lies: &[Lie], tiers: &[Tier], rules: Rules) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::Unix(folder.path().join("worker"));
        let world = Arc::new(World::new());
        Arc::clone(&world).listen(&endpoint, lies).await;
        let trust = WorkerTrust {
            genesis: Arc::clone(&world.genesis),
            accepted_tiers: tiers.to_vec(),
            entropy: Arc::new(SystemEntropy),
            now_ms: Arc::new(now_ms),
        };
        let told = Arc::new(AtomicUsize::new(0));
        let telling = Arc::clone(&told);
        let watching = Watching {
            rules,
            counts: Arc::default(),
            disagreed: Arc::new(move |tier| {
                let told = Arc::clone(&telling);
                Box::pin(async move {
                    assert_eq!(tier, Tier::Process);
                    told.fetch_add(1, Relaxed);
                })
            }),
        };
        Self {
            link: WorkerLink::new(endpoint, trust, &Manifest::built_in(), watching).unwrap(),
            world,
            told,
            _folder: folder,
        }
    }

    /// A counter of the link by its name.
    fn count(&self, name: &str) -> u64 {
        let all = self.link.common.counts.list();
        all.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Waits for something to come about.
    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} did not come: {:?}", self.link.common.counts);
    }

    async fn face(&self) -> Result<(FaceSample, Tier), WorkerError> {
        self.link.face(vec![1, 2, 3].into(), true).await
    }

    async fn frames(&self, count: u8) -> Result<(Vec<FrameSample>, Tier), WorkerError> {
        let frames: Vec<Vec<u8>> = (0..count).map(|at| vec![at; 9]).collect();
        self.link.frames(frames.into(), true).await
    }

    async fn voice(&self) -> Result<(VoiceSample, Tier), WorkerError> {
        self.link.voice(vec![1, 2, 3].into()).await
    }

    async fn spoken(&self) -> Result<(SpokenSample, Tier), WorkerError> {
        self.link.spoken(vec![1, 2, 3].into()).await
    }
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}

/// The reason for which the fake's first session was not trusted.
async fn distrust(lie: Lie) -> String {
    match Bench::new(&[lie]).await.face().await {
        Err(WorkerError::Untrusted(why)) => why,
        other => panic!("{lie:?}: {other:?}"),
    }
}

#[tokio::test]
async fn an_honest_worker_is_believed_and_its_tier_told() {
    let bench = Bench::new(&[Lie::None]).await;
    let (sample, tier) = bench.face().await.unwrap();
    assert_eq!((sample, tier), (honest_sample(), Tier::Process));
    assert_eq!(bench.link.tier(), Some(Tier::Process));
}

#[tokio::test]
async fn many_jobs_share_the_one_session() {
    let bench = Bench::new(&[Lie::None, Lie::OtherProgram]).await;
    let jobs = (0..40).map(|_| bench.face());
    for outcome in futures::future::join_all(jobs).await {
        assert_eq!(outcome.unwrap().1, Tier::Process);
    }
}

#[tokio::test]
async fn evidence_that_is_not_of_this_worker_here_and_now_is_refused() {
    for (lie, why) in [
        (Lie::OtherProgram, "measurement"),
        (Lie::OtherSession, "nonce"),
        (Lie::OtherNonce, "nonce"),
        (Lie::OtherKey, "peer of this session"),
        (Lie::OtherModels, "another model manifest"),
        (Lie::HigherTier, "tier"),
        (Lie::OtherPreimage, "preimage"),
        (Lie::NoEvidence, "before it was asked"),
    ] {
        let said = distrust(lie).await;
        assert!(said.contains(why), "{lie:?}: {said}");
    }
}

#[tokio::test]
async fn a_tier_that_policy_does_not_accept_is_refused() {
    let bench = Bench::accepting(&[Lie::None], &[Tier::Enclave]).await;
    let Err(WorkerError::Untrusted(why)) = bench.face().await else {
        panic!("a process was accepted");
    };
    assert!(why.contains("tier process"), "{why}");
}

#[tokio::test]
async fn malformed_samples_are_refused_for_their_own_reason() {
    type Spoil = fn(&mut FaceSample);
    let cases: [(Spoil, &str); 17] = [
        (|s| s.embeddings[0].vector[7] = f32::NAN, "not finite"),
        (|s| s.embeddings[0].vector[7] = f32::INFINITY, "not finite"),
        (
            |s| s.embeddings[0].vector.iter_mut().for_each(|v| *v *= 1.01),
            "unit norm",
        ),
        (|s| s.embeddings[0].vector.fill(0.0), "unit norm"),
        (
            |s| s.embeddings[0].vector = vec![1.0],
            "1 numbers where 128",
        ),
        (
            |s| s.embeddings[0].vector.push(0.0),
            "129 numbers where 128",
        ),
        (
            |s| s.embeddings[0].model = "another".into(),
            "another model",
        ),
        (|s| s.embeddings.clear(), "0 embeddings"),
        (
            |s| s.embeddings.push(s.embeddings[0].clone()),
            "3 embeddings",
        ),
        (|s| s.embeddings.truncate(1), "1 embeddings where 2"),
        (|s| s.embeddings.swap(0, 1), "another model"),
        (|s| s.embeddings[1].vector[0] = f32::NAN, "not finite"),
        (|s| s.quality.sharpness = f32::NAN, "sharpness"),
        (|s| s.quality.score = 0.1, "score"),
        (|s| s.liveness = Some(1.5), "liveness"),
        (|s| s.liveness = Some(f32::NAN), "liveness"),
        (|s| s.liveness = None, "something else than it was asked"),
    ];
    for (spoil, why) in cases {
        let said = distrust(Lie::Answer(spoil)).await;
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[tokio::test]
async fn voices_are_asked_for_and_judged_as_faces_are() {
    let bench = Bench::new(&[Lie::None]).await;
    let heard = (honest_voice(), Tier::Process);
    assert_eq!(bench.voice().await.unwrap(), heard);
    assert_eq!(bench.face().await.unwrap().0, honest_sample());
    type Spoil = fn(&mut VoiceSample);
    let cases: [(Spoil, &str); 8] = [
        (|s| s.embeddings[0].vector[7] = f32::NAN, "not finite"),
        (|s| s.embeddings[0].vector.fill(0.0), "unit norm"),
        (
            |s| s.embeddings[0].vector.push(0.0),
            "193 numbers where 192",
        ),
        (
            |s| s.embeddings[0].model = "sface-2021dec".into(),
            "another model",
        ),
        (|s| s.embeddings.clear(), "0 embeddings"),
        (|s| s.quality.level_db = f32::NAN, "level_db"),
        (|s| s.quality.clipped = 1.5, "clipped"),
        (|s| s.quality.score = 0.1, "score"),
    ];
    for (spoil, why) in cases {
        match Bench::new(&[Lie::Hear(spoil)]).await.voice().await {
            Err(WorkerError::Untrusted(said)) => assert!(said.contains(why), "{why}: {said}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    let refused = Bench::new(&[Lie::Refuse(SampleRefusal::TooQuiet)]).await;
    let refusal = WorkerError::Refused(SampleRefusal::TooQuiet);
    assert_eq!(refused.voice().await.unwrap_err(), refusal);
}

#[tokio::test]
async fn a_face_in_place_of_a_voice_ends_the_session_and_the_reverse() {
    let why = distrust(Lie::OtherKind).await;
    assert!(why.contains("something else"), "{why}");
    match Bench::new(&[Lie::OtherKind]).await.voice().await {
        Err(WorkerError::Untrusted(why)) => assert!(why.contains("something else"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn measures_of_frames_are_one_for_each_and_well_formed() {
    let bench = Bench::new(&[Lie::None]).await;
    let seen = bench.frames(9).await.unwrap();
    assert_eq!(seen, (vec![honest_frame(); 9], Tier::Process));
    assert_eq!(bench.face().await.unwrap().0, honest_sample());
    type Spoil = fn(&mut Vec<FrameSample>);
    let cases: [(Spoil, &str); 17] = [
        (|f| f.truncate(8), "something else"),
        (|f| f.push(f[0].clone()), "something else"),
        (|f| f.clear(), "something else"),
        (|f| f[8].face.liveness = None, "something else"),
        (
            |f| f[8].face.embeddings[0].vector[7] = f32::NAN,
            "not finite",
        ),
        (|f| f[8].face.embeddings[1].vector.fill(0.0), "unit norm"),
        (|f| f[3].face.embeddings.clear(), "0 embeddings"),
        (|f| f[3].face.quality.score = 1.1, "score"),
        (|f| f[3].face.liveness = Some(-0.1), "liveness"),
        (|f| f[0].yaw = f32::NAN, "yaw"),
        (|f| f[0].yaw = 101.0, "yaw"),
        (|f| f[0].pitch = f32::NEG_INFINITY, "pitch"),
        (|f| f[0].eyes[1] = 1.01, "eye"),
        (|f| f[0].place[2] = f32::NAN, "place"),
        (|f| f[0].place[0] = -9.0, "place"),
        (|f| f[0].picture = [0, 480], "pixels"),
        (|f| f[0].picture = [u32::MAX; 2], "pixels"),
    ];
    for (spoil, why) in cases {
        match Bench::new(&[Lie::Follow(spoil)]).await.frames(9).await {
            Err(WorkerError::Untrusted(said)) => assert!(said.contains(why), "{why}: {said}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    match Bench::new(&[Lie::OtherKind]).await.frames(9).await {
        Err(WorkerError::Untrusted(said)) => assert!(said.contains("something else"), "{said}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn words_are_in_their_order_and_of_a_recording_and_sure_of_no_more_than_all() {
    let bench = Bench::new(&[Lie::None]).await;
    let heard = (honest_reading(), Tier::Process);
    assert_eq!(bench.spoken().await.unwrap(), heard);
    assert_eq!(bench.voice().await.unwrap().0, honest_voice());
    type Spoil = fn(&mut SpokenSample);
    let fine: [Spoil; 4] = [
        |s| (s.words.clear(), s.halves.clear()).1,
        |s| s.halves.clear(),
        |s| (s.words.truncate(1), s.halves.clear()).1,
        |s| s.words[3].digits = [0.0, -9e9, -1e3, -1e3, -1e3, -1e3, -1e3, -1e3, -1e3, -1e3],
    ];
    for (at, spoil) in fine.into_iter().enumerate() {
        let mut wanted = honest_reading();
        spoil(&mut wanted);
        let heard = Bench::new(&[Lie::Recite(spoil)]).await.spoken().await;
        assert_eq!(heard.unwrap().0, wanted, "{at}");
    }
    let cases: [(Spoil, &str); 25] = [
        (|s| s.voice.embeddings.clear(), "0 embeddings"),
        (|s| s.voice.embeddings[0].vector.fill(0.0), "unit norm"),
        (|s| s.voice.quality.score = 0.1, "score"),
        (|s| s.words.push(s.words[15]), "17 words"),
        (|s| s.words.swap(3, 4), "a word before"),
        (|s| s.words[4] = s.words[3], "a word before"),
        (|s| s.words[3].to_ms = s.words[3].from_ms, "a word before"),
        (|s| s.words[3].to_ms += 1, "a word before"),
        (|s| s.words[15].to_ms = 61_001, "a word before"),
        (|s| s.words[15].to_ms = u32::MAX, "a word before"),
        (|s| s.words[0].digits[9] = f32::NAN, "logarithm"),
        (|s| s.words[0].digits[9] = f32::NEG_INFINITY, "logarithm"),
        (|s| s.words[0].digits[9] = f32::INFINITY, "logarithm"),
        (|s| s.words[0].digits[9] = 1e-6, "logarithm"),
        (|s| s.words[9].digits = [-2.2; 10], "sum of digits"),
        (|s| s.words[9].digits = [0.0; 10], "sum of digits"),
        (|s| s.words.clear(), "2 halves of 0 words"),
        (|s| s.words.truncate(1), "2 halves of 1 words"),
        (|s| s.halves.truncate(1), "1 halves"),
        (|s| s.halves.push(s.halves[0].clone()), "3 halves"),
        (|s| s.halves[1].vector.fill(0.0), "unit norm"),
        (|s| s.halves[1].vector[0] = f32::NAN, "not finite"),
        (
            |s| s.halves[0].vector.iter_mut().for_each(|v| *v *= 1.01),
            "unit norm",
        ),
        (|s| s.halves[0].vector.push(0.0), "193 numbers where 192"),
        (|s| s.halves[0].model = "another".into(), "another model"),
    ];
    for (spoil, why) in cases {
        match Bench::new(&[Lie::Recite(spoil)]).await.spoken().await {
            Err(WorkerError::Untrusted(said)) => assert!(said.contains(why), "{why}: {said}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    match Bench::new(&[Lie::OtherKind]).await.spoken().await {
        Err(WorkerError::Untrusted(said)) => assert!(said.contains("something else"), "{said}"),
        other => panic!("{other:?}"),
    }
    let refused = Bench::new(&[Lie::Refuse(SampleRefusal::TooLong)]).await;
    let refusal = WorkerError::Refused(SampleRefusal::TooLong);
    assert_eq!(refused.spoken().await.unwrap_err(), refusal);
}

#[tokio::test]
async fn a_refusal_names_a_frame_that_was_sent() {
    let lie = |frame| Lie::RefuseFrame(frame, SampleRefusal::NoFace);
    let bench = Bench::new(&[lie(8), Lie::OtherProgram]).await;
    let refused = WorkerError::FrameRefused(8, SampleRefusal::NoFace);
    for _ in 0..2 {
        assert_eq!(bench.frames(9).await.unwrap_err(), refused);
    }
    let busy = Lie::RefuseFrame(0, SampleRefusal::Busy);
    let busy = Bench::new(&[busy]).await.frames(9).await;
    assert_eq!(busy.unwrap_err(), WorkerError::Busy);
    match Bench::new(&[lie(9)]).await.frames(9).await {
        Err(WorkerError::Untrusted(said)) => assert!(said.contains("something else"), "{said}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_nobody_waits_for_end_the_session() {
    for (lie, why) in [
        (Lie::OtherJob, "not waiting"),
        (Lie::EvidenceUnasked, "evidence unasked"),
        (Lie::BadFrame, "frame version"),
    ] {
        let said = distrust(lie).await;
        assert!(said.contains(why), "{lie:?}: {said}");
    }
    let bench = Bench::new(&[Lie::Twice, Lie::OtherProgram]).await;
    bench.face().await.unwrap();
    let mut state = bench.link.seats[0].state.clone();
    let down = state.wait_for(|state| matches!(state, super::State::Down(_)));
    let state = down.await.unwrap().clone();
    let Err(WorkerError::Untrusted(why)) = state.session() else {
        panic!("a second answer was accepted");
    };
    assert!(why.contains("not waiting"), "{why}");
}

#[tokio::test]
async fn refusals_of_the_sample_are_passed_on_and_keep_the_session() {
    for (refusal, expected) in [
        (
            SampleRefusal::NoFace,
            WorkerError::Refused(SampleRefusal::NoFace),
        ),
        (SampleRefusal::Busy, WorkerError::Busy),
        (SampleRefusal::Deadline, WorkerError::Deadline),
    ] {
        let bench = Bench::new(&[Lie::Refuse(refusal), Lie::OtherProgram]).await;
        for _ in 0..2 {
            assert_eq!(bench.face().await.unwrap_err(), expected);
        }
    }
}

#[tokio::test]
async fn a_worker_that_dies_costs_its_jobs_and_the_next_one_serves() {
    let bench = Bench::new(&[Lie::Hangup, Lie::None]).await;
    assert_eq!(bench.face().await.unwrap_err(), WorkerError::Unavailable);
    assert_eq!(bench.face().await.unwrap().1, Tier::Process);
}

#[tokio::test]
async fn after_a_lie_the_next_worker_must_prove_itself_anew() {
    let bench = Bench::new(&[Lie::OtherJob, Lie::OtherSession, Lie::None]).await;
    assert!(matches!(bench.face().await, Err(WorkerError::Untrusted(_))));
    let mut state = bench.link.seats[0].state.clone();
    let down = |state: &super::State| matches!(state, super::State::Down(_));
    state.wait_for(down).await.unwrap();
    state
        .wait_for(|state| matches!(state, super::State::Up(_)))
        .await
        .unwrap();
    assert_eq!(bench.face().await.unwrap().1, Tier::Process);
}
