//! A worker that measures the known samples otherwise serves nobody, at first or later.

use std::time::Duration;

use redoubt_shared::worker::SampleRefusal;

use super::fake::{Lie, honest_sample};
use super::{Bench, Rules, WorkerError};

const EVERY: Rules = Rules {
    canary_jobs: 10,
    renew_again: Duration::from_millis(50),
    ..Rules::NONE
};

#[tokio::test]
async fn a_sound_worker_answers_before_its_first_job_and_now_and_then() {
    let bench = Bench::ruled(&[Lie::None], EVERY).await;
    for _ in 0..35 {
        assert_eq!(bench.face().await.unwrap().0, honest_sample());
    }
    // Four at first; four after each ten jobs, their own among them.
    let sung = |bench: &Bench| bench.count("worker_canaries") >= 16;
    bench.until("three rounds", sung).await;
    assert_eq!(bench.count("worker_canaries_failed"), 0);
    let sung = bench.count("worker_canaries") as usize;
    assert_eq!(bench.world.jobs(), [35 + sung]);
}

#[tokio::test]
async fn a_worker_that_answers_otherwise_is_not_served_by_anybody() {
    for (lie, why) in [
        (
            Lie::Answer(|s| turn(&mut s.embeddings[0].vector)),
            "embedding",
        ),
        (
            Lie::Answer(|s| turn(&mut s.embeddings[1].vector)),
            "embedding",
        ),
        (Lie::Answer(|s| s.liveness = Some(0.5)), "liveness"),
        (
            Lie::Answer(|s| s.quality.embedding_norm *= 1.1),
            "embedding_norm",
        ),
        (
            Lie::Hear(|s| turn(&mut s.embeddings[0].vector)),
            "embedding",
        ),
        (
            Lie::Hear(|s| s.quality.speech_seconds += 0.5),
            "speech_seconds",
        ),
        (Lie::Follow(|frames| frames[1].yaw += 1.0), "yaw"),
        (Lie::Follow(|frames| frames[0].pitch -= 1.0), "pitch"),
        (Lie::Follow(|frames| frames[7].eyes[1] = 0.5), "eye"),
        (Lie::Follow(|frames| frames.swap(0, 1)), "embedding"),
        (Lie::RefuseFrame(3, SampleRefusal::NoFace), "refusal"),
        (
            Lie::Recite(|s| s.words[6].digits = [0.1f32.ln(); 10]),
            "digit",
        ),
        (Lie::Recite(|s| s.words[2].to_ms -= 10), "words"),
        (Lie::Recite(|s| s.halves.swap(0, 1)), "embedding"),
        (Lie::Refuse(SampleRefusal::NoFace), "refusal"),
    ] {
        let bench = Bench::ruled(&[lie], EVERY).await;
        match bench.face().await {
            Err(WorkerError::Untrusted(said)) => assert!(said.contains(why), "{why}: {said}"),
            other => panic!("{why}: {other:?}"),
        }
        assert!(bench.count("worker_canaries_failed") >= 1);
    }
    // The next one is sound.
    let lies = [Lie::Answer(|s| s.liveness = Some(0.5)), Lie::None];
    let bench = Bench::ruled(&lies, EVERY).await;
    let sound = |bench: &Bench| bench.count("worker_sessions") == 1;
    bench.until("a sound worker", sound).await;
    assert_eq!(bench.face().await.unwrap().0, honest_sample());
}

/// Another vector of the same norm.
fn turn(vector: &mut [f32]) {
    vector.rotate_left(1);
}

#[tokio::test]
async fn a_worker_that_breaks_later_ends_and_one_that_renews_it_sings_first() {
    // Sound for its first twelve answers, then another quality.
    let bench = Bench::ruled(&[Lie::BreaksAt(12), Lie::None], EVERY).await;
    let mut ended = false;
    for _ in 0..40 {
        match bench.face().await {
            Ok(_) => {}
            Err(WorkerError::Untrusted(why)) => {
                assert!(why.contains("whose answer is known"), "{why}");
                ended = true;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let next = |bench: &Bench| bench.count("worker_sessions") == 2;
    bench.until("another worker", next).await;
    assert_eq!(bench.count("worker_canaries_failed"), 1, "told {ended}");
    let renewing = Rules {
        renew_jobs: 25,
        ..EVERY
    };
    let lies = [
        Lie::None,
        Lie::Answer(|s| s.liveness = Some(0.5)),
        Lie::None,
    ];
    let bench = Bench::ruled(&lies, renewing).await;
    for _ in 0..20 {
        assert_eq!(bench.face().await.unwrap().0, honest_sample());
    }
    // The broken one did not replace it, the sound one did.
    let renewed = |bench: &Bench| bench.count("worker_renewals") >= 1;
    bench.until("a renewal", renewed).await;
    assert_eq!(bench.count("worker_renewals_late"), 1);
}

#[tokio::test]
async fn a_worker_that_serves_beyond_its_turn_goes_on_being_watched() {
    // Its turn ends at forty jobs, nobody replaces it, and its canaries are due at sixty.
    let rules = Rules {
        canary_jobs: 60,
        renew_jobs: 40,
        renew_again: Duration::from_millis(10),
        ..Rules::NONE
    };
    let bench = Bench::ruled(&[Lie::BreaksAt(50), Lie::Shut], rules).await;
    let mut told = None;
    while told.is_none() && bench.world.jobs().first().is_none_or(|jobs| *jobs < 75) {
        told = bench.face().await.err();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(told, Some(WorkerError::Untrusted(_))), "{told:?}");
    assert_eq!(bench.count("worker_canaries_failed"), 1);
    assert!(bench.count("worker_renewals_late") >= 1);
}
