//! Two workers, one of which lies: neither is believed where both were asked.

use std::collections::HashSet;
use std::time::Duration;

use redoubt_shared::worker::{FaceSample, SampleRefusal};

use super::fake::{Lie, honest_frame, honest_reading, honest_sample, honest_voice};
use super::{Bench, Relaxed, Rules, WorkerError};

fn one_in(recompute_one_in: u32) -> Rules {
    Rules {
        recompute_one_in,
        renew_again: Duration::from_millis(50),
        ..Rules::NONE
    }
}

#[tokio::test]
async fn honest_workers_agree_and_the_checked_jobs_are_as_many_as_drawn() {
    let bench = Bench::ruled(&[Lie::None], one_in(4)).await;
    for _ in 0..400 {
        assert_eq!(bench.face().await.unwrap().0, honest_sample());
    }
    let checked = bench.count("worker_recomputed");
    // Binomial of 400 and 1/4: outside only once in a hundred thousand times.
    assert!((62..=140).contains(&checked), "{checked}");
    assert_eq!(bench.count("worker_disagreed"), 0);
    let jobs = bench.world.jobs();
    assert_eq!(jobs.iter().sum::<usize>() as u64, 400 + checked, "{jobs:?}");
    // Both are asked first as often: neither knows which answers are looked at.
    assert!(jobs.iter().all(|one| (190..=330).contains(one)), "{jobs:?}");
}

#[tokio::test]
async fn without_a_policy_nobody_is_asked_twice() {
    let bench = Bench::ruled(&[Lie::None], one_in(0)).await;
    for _ in 0..20 {
        bench.face().await.unwrap();
    }
    assert_eq!(bench.world.jobs(), [20]);
}

type Spoil = fn(&mut FaceSample);

#[tokio::test]
async fn a_lie_of_one_of_two_is_used_for_nothing_and_ends_both() {
    let cases: [Spoil; 4] = [
        |s| {
            // Still of unit norm: nothing else here can tell.
            let vector = &mut s.embeddings[0].vector;
            let (a, b) = (vector[0], vector[1]);
            let (sin, cos) = 0.09_f32.sin_cos();
            (vector[0], vector[1]) = (a * cos - b * sin, a * sin + b * cos);
            assert!(((a - vector[0]).abs() - 1e-2).abs() < 3e-3);
        },
        |s| s.liveness = s.liveness.map(|live| 1.0 - live),
        |s| s.quality.score = 0.6,
        |s| s.quality.sharpness *= 1.01,
    ];
    for spoil in cases {
        let lies = [Lie::None, Lie::Answer(spoil), Lie::None];
        let bench = Bench::ruled(&lies, one_in(1)).await;
        assert_eq!(bench.face().await.unwrap_err(), WorkerError::Disagreed);
        assert_eq!(bench.told.load(Relaxed), 1);
        assert_eq!(bench.count("worker_disagreed"), 1);
        let ended = |bench: &Bench| bench.count("worker_sessions") == 4;
        bench.until("two fresh workers", ended).await;
        // Nobody is asked until both are there again; then they agree.
        assert_eq!(again(&bench).await, honest_sample());
        assert_eq!(bench.world.jobs(), [1, 1, 1, 1]);
        assert_eq!(bench.world.open(), 2);
    }
}

/// The next answer after a session was distrusted, for which requests are refused a moment.
async fn again(bench: &Bench) -> FaceSample {
    for _ in 0..200 {
        match bench.face().await {
            Ok((sample, _)) => return sample,
            Err(WorkerError::Untrusted(_)) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("no worker is trusted again");
}

#[tokio::test]
async fn a_refusal_that_the_other_does_not_share_is_a_lie_too() {
    let lies = [Lie::None, Lie::Refuse(SampleRefusal::NoFace)];
    let bench = Bench::ruled(&lies, one_in(1)).await;
    assert_eq!(bench.face().await.unwrap_err(), WorkerError::Disagreed);
    let both = [Lie::Refuse(SampleRefusal::NoFace)];
    let bench = Bench::ruled(&both, one_in(1)).await;
    let refused = WorkerError::Refused(SampleRefusal::NoFace);
    assert_eq!(bench.face().await.unwrap_err(), refused);
    assert_eq!(bench.count("worker_recomputed"), 1);
}

#[tokio::test]
async fn voices_and_frames_are_doubted_as_faces_are() {
    let bench = Bench::ruled(&[Lie::None], one_in(1)).await;
    assert_eq!(bench.voice().await.unwrap().0, honest_voice());
    assert_eq!(bench.frames(9).await.unwrap().0, vec![honest_frame(); 9]);
    assert_eq!(bench.spoken().await.unwrap().0, honest_reading());
    for lie in [
        Lie::Recite(|s| s.words[2].digits[0] = 0.05f32.ln()),
        Lie::Recite(|s| s.halves[1].vector.iter_mut().for_each(|v| *v = -*v)),
        Lie::Recite(|s| s.words[15].to_ms -= 1),
        Lie::Recite(|s| s.words.truncate(15)),
    ] {
        let bench = Bench::ruled(&[Lie::None, lie], one_in(1)).await;
        assert_eq!(bench.spoken().await.unwrap_err(), WorkerError::Disagreed);
    }
    let lie = Lie::Hear(|s| s.quality.speech_seconds = 5.0);
    let bench = Bench::ruled(&[Lie::None, lie], one_in(1)).await;
    assert_eq!(bench.voice().await.unwrap_err(), WorkerError::Disagreed);
    for lie in [
        Lie::Follow(|f| f[8].yaw += 1.0),
        Lie::Follow(|f| f[3].eyes[0] = 0.1),
        Lie::Follow(|f| f[3].place[1] = 0.1),
        Lie::Follow(|f| f[3].print[0] ^= 1),
        Lie::RefuseFrame(2, SampleRefusal::NoFace),
    ] {
        let bench = Bench::ruled(&[Lie::None, lie], one_in(1)).await;
        assert_eq!(
            bench.frames(9).await.unwrap_err(),
            WorkerError::Disagreed,
            "{lie:?}"
        );
    }
}

#[tokio::test]
async fn one_in_many_is_caught_in_time_and_the_lie_is_told_to_the_metrics() {
    let lie = Lie::Answer(|s| s.liveness = Some(0.5));
    let bench = Bench::ruled(&[Lie::None, lie, Lie::None], one_in(5)).await;
    let mut seen = HashSet::new();
    for _ in 0..400 {
        match bench.face().await {
            Ok((sample, _)) => drop(seen.insert(sample.liveness.map(f32::to_bits))),
            Err(WorkerError::Disagreed) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.count("worker_disagreed"), 1, "{seen:?}");
}

#[tokio::test]
async fn an_opinion_that_does_not_come_is_owed_until_one_does() {
    let late = Lie::Refuse(SampleRefusal::Deadline);
    let bench = Bench::ruled(&[Lie::None, late], one_in(3)).await;
    let mut answered = 0;
    while bench.count("worker_recomputed_not") == 0 {
        match bench.face().await {
            Ok(_) => answered += 1,
            Err(why) => assert_eq!(why, WorkerError::Deadline),
        }
        assert!(answered < 1000);
    }
    // The honest one is ended with it: its answer may be what was not to be looked at.
    let ended = |bench: &Bench| bench.count("worker_sessions") == 3;
    bench.until("a fresh worker", ended).await;
    // From here on every answer would be looked at, and nobody looks: there is none.
    for _ in 0..30 {
        bench.face().await.unwrap_err();
    }
    assert_eq!(bench.count("worker_recomputed"), 0);
}

#[tokio::test]
async fn without_a_second_worker_nothing_is_measured() {
    let alone = Bench::ruled(&[Lie::None, Lie::Shut], one_in(1000)).await;
    let twice = Bench::ruled(&[Lie::SameKey], one_in(1000)).await;
    let (alone_answer, twice_answer) = futures::future::join(alone.face(), twice.face()).await;
    assert_eq!(alone_answer.unwrap_err(), WorkerError::Unavailable);
    let Err(WorkerError::Untrusted(why)) = twice_answer else {
        panic!("one worker stood for two");
    };
    assert!(why.contains("one process cannot stand for two"), "{why}");
    for bench in [alone, twice] {
        assert_eq!(bench.world.jobs().iter().sum::<usize>(), 0);
    }
}
