//! The committer and recovery against a model: random commands, crashes at any
//! step, unknown outcomes, witnesses that are away, forks, and disks that lie.
//!
//! After every restart over an honest disk the state is exactly the fold of what
//! was acknowledged, plus at most the one batch whose outcome was unknown, whole.
//! A disk that lies leads to a refusal or to a state that once was; with
//! witnesses only to a refusal or to the state of now. Nothing is released that
//! is not kept (and cosigned), and no key and nonce seals two records.

mod acts;
mod lies;
mod notary;
mod world;

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::fake_store::{Crash, Mood};
use acts::Act;
use lies::Lie;
use world::World;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// Commands that arrive together.
    Batch(Vec<Act>),
    /// The same, while a snapshot is written.
    Snapshot(Vec<Act>),
    /// The same, while the epoch changes.
    Rotate(Vec<Act>),
    /// One of the above, and everything stops at some request that writes.
    Crash(Crash, Box<Step>),
    /// A restart, perhaps stopped while it begins its term.
    Restart(Option<Crash>),
    /// What the store does to the next batches, without losing any.
    Moods(Vec<Mood>),
    /// Time passes.
    Seconds(u32),
    Days(u8),
    /// Somebody copies the disk.
    Remember,
    /// A copy of the disk is bent, and an enclave started over it.
    Lie(Lie),
    /// A witness goes away or comes back.
    Witness(u8, bool),
    /// A second enclave is started over a copy of the disk, beside the first.
    Fork(Vec<Act>),
    /// The store betrays the next batch for good.
    Betray(Mood, Vec<Act>),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(acts::act(), 1..6)
}

fn crash() -> impl Strategy<Value = Crash> {
    (0u32..6, any::<bool>()).prop_map(|(after, keeps)| Crash { after, keeps })
}

fn working() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => acts().prop_map(Step::Batch),
        2 => acts().prop_map(Step::Snapshot),
        1 => acts().prop_map(Step::Rotate),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let mood = prop_oneof![
        Just(Mood::KeepsSilently),
        Just(Mood::AnswersTwice),
        Just(Mood::Loses),
        Just(Mood::Full),
        Just(Mood::ClaimsDifferent),
        Just(Mood::AnswersAnother),
    ];
    let betrayal = prop_oneof![Just(Mood::Forgets), Just(Mood::KeepsAnother)];
    prop_oneof![
        12 => working(),
        8 => (crash(), working()).prop_map(|(crash, step)| Step::Crash(crash, Box::new(step))),
        3 => prop::option::of(crash()).prop_map(Step::Restart),
        3 => prop::collection::vec(mood, 1..4).prop_map(Step::Moods),
        1 => (1u32..120).prop_map(Step::Seconds),
        2 => (1u8..3).prop_map(Step::Days),
        2 => Just(Step::Remember),
        6 => lies::lie().prop_map(Step::Lie),
        1 => (0u8..3, any::<bool>()).prop_map(|(nth, up)| Step::Witness(nth, up)),
        1 => acts().prop_map(Step::Fork),
        1 => (betrayal, acts()).prop_map(|(mood, acts)| Step::Betray(mood, acts)),
    ]
}

/// Few cases in every run of the tests; `PROPTEST_CASES` for more.
fn config() -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok();
    Config {
        cases: asked.and_then(|cases| cases.parse().ok()).unwrap_or(48),
        max_shrink_iters: 400,
        failure_persistence: None,
        ..Config::default()
    }
}

fn play(witnessed: bool, snapshot_bytes: u64, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(witnessed, snapshot_bytes).await;
        for step in steps {
            if !world.step(step).await {
                break;
            }
        }
        world.finish().await;
    });
    runtime.shutdown_background();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn recovery_yields_what_was_acknowledged_or_refuses_a_lie(
        witnessed in any::<bool>(),
        snapshot_bytes in prop_oneof![Just(20_000u64), Just(1 << 25)],
        steps in prop::collection::vec(step(), 4..24),
    ) {
        play(witnessed, snapshot_bytes, steps);
    }
}
