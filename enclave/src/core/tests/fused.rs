//! A face and a voice in one attempt: of the one budget, with both or not at all, and in
//! the place of neither.

use redoubt_shared::{ApprovalId, ErasureId};

use super::*;

/// Of which a place in an array stands for.
const KINDS: [Means; 3] = [Means::Face, Means::Voice, Means::Both];

impl World {
    fn attempt(&mut self, user: &str, means: Means) -> Result<VerificationId, Refusal> {
        let id = VerificationId::from_bytes(self.draw());
        let (user, from) = (user.parse().unwrap(), Whereabouts::default());
        self.run(Command::ReserveAttempt {
            user,
            means,
            id,
            from,
        })
        .map(|_| id)
    }

    fn verdict(&mut self, user: &str, id: VerificationId, accepted: bool) -> Reply {
        let (user, comparison) = (user.parse().unwrap(), compared(accepted));
        let conclude = Command::ConcludeAttempt {
            user,
            id,
            comparison,
        };
        self.run(conclude).unwrap()
    }

    fn tried_with(&mut self, means: Means, accepted: bool) {
        let id = self.attempt("customer-1", means).unwrap();
        self.verdict("customer-1", id, accepted);
        assert_eq!(self.last_claim()["modality"], means.name());
    }

    fn failed_in_a_row(&self) -> u32 {
        self.state.subject(&user()).unwrap().1.attempts.failures
    }

    fn with(modalities: &[Modality]) -> Self {
        let mut world = Self::new();
        for modality in modalities {
            world.enrol_one(*modality);
        }
        world
    }

    fn enrol_one(&mut self, modality: Modality) {
        let id = EnrollmentId::from_bytes(self.draw());
        let token_hash = [1; 32];
        self.run(Command::BeginEnrollment {
            modality,
            user: user(),
            id,
            token_hash,
            consent_given: true,
        })
        .unwrap();
        self.run(Command::ReserveEnrollmentSample { id, token_hash })
            .unwrap();
        let template = Box::new(template(self.next_transform(&user())));
        self.run(Command::CompleteEnrollment {
            id,
            template,
            liveness: None,
            performed: None,
            searched: None,
        })
        .unwrap();
    }

    fn both_enrolled() -> Self {
        Self::with(&[Modality::Face, Modality::Voice])
    }
}

fn one(model: &str, quality: f32) -> SampleUse {
    SampleUse {
        quality,
        ..sample_of(model)
    }
}

fn compared(accepted: bool) -> Comparison {
    Comparison {
        accepted,
        confidence: 0.8,
        sample: one("face-voice-1", 0.7),
        parts: vec![
            (Modality::Face, one("faces", 0.9)),
            (Modality::Voice, one("voices", 0.7)),
        ],
        from: Whereabouts::default(),
    }
}

fn failed(reply: &Reply) -> bool {
    matches!(
        reply,
        Reply::Verdict {
            ending: Ending::Failed,
            ..
        }
    )
}

#[test]
fn a_claim_names_both_and_what_holds_of_them_together() {
    let mut world = World::both_enrolled();
    world.tried_with(Means::Both, true);
    let claim = world.last_claim();
    assert_eq!(
        (
            &claim["model"],
            &claim["confidence_score"],
            &claim["verdict"]
        ),
        (&"face-voice-1".into(), &0.8.into(), &"verified".into())
    );
    let parts = claim["parts"].as_array().unwrap();
    let told = |at: usize| {
        (
            &parts[at]["modality"],
            &parts[at]["model"],
            &parts[at]["quality_score"],
        )
    };
    assert_eq!(told(0), (&"facial".into(), &"faces".into(), &0.9.into()));
    assert_eq!(told(1), (&"voice".into(), &"voices".into(), &0.7.into()));
    assert_eq!(parts.len(), 2);
    let (handle, _) = world.state.subject(&user()).unwrap();
    assert_eq!(
        world.state.face_matched(&handle, world.now_ms),
        None,
        "is no face"
    );
    let activity = world.state.watch.activity(&handle).unwrap();
    assert_eq!(activity.moments.back().unwrap().act, Act::Both);
    assert_eq!(activity.counts.faces, 1);
    // One alone says nothing of parts, as before there were any.
    let id = world.reserve(&user()).unwrap();
    world.conclude(&user(), id, true).unwrap();
    assert_eq!(world.last_claim().get("parts"), None);
}

#[test]
fn one_template_of_two_is_as_none() {
    for modalities in [&[][..], &[Modality::Face], &[Modality::Voice]] {
        let mut world = World::with(modalities);
        if modalities.is_empty() {
            with_passkey(&mut world);
        }
        let id = world.attempt("customer-1", Means::Both).unwrap();
        let reply = world.verdict("customer-1", id, true);
        assert!(failed(&reply), "{modalities:?}");
        assert_eq!(world.failed_in_a_row(), 1);
        let claim = world.last_claim();
        assert_eq!(claim["verdict"], "rejected");
    }
}

#[test]
fn a_stranger_s_claim_says_what_a_customer_s_says() {
    let mut world = World::new();
    let keys = TenantKeySeeds {
        es256: [1; 32],
        mldsa65: [2; 32],
    };
    world.run(Command::OpenTenant { keys }).unwrap();
    world.run(Command::BeginTerm { term: 1 }).unwrap();
    world.enrol_one(Modality::Face);
    let mut claims = Vec::new();
    for name in ["customer-1", "stranger"] {
        let id = world.attempt(name, Means::Both).unwrap();
        assert!(failed(&world.verdict(name, id, true)));
        let mut claim = world.last_claim();
        for own in ["receipt_id", "user_id", "verification_id"] {
            claim[own] = serde_json::Value::Null;
        }
        claims.push(claim);
    }
    assert_eq!(claims[0], claims[1]);
    assert!(!world.state.fused.contains_key(&SubjectHandle::NOBODY));
    // And one at which nothing was compared.
    for name in ["customer-1", "stranger"] {
        let id = world.attempt(name, Means::Both).unwrap();
        let release = Command::ReleaseAttempt {
            user: name.parse().unwrap(),
            id,
            worker_tier: None,
            reason: "too_noisy",
        };
        world.run(release).unwrap();
        assert_eq!(world.last_claim()["modality"], "multimodal");
    }
    assert!(world.replayed() == world.state);
}

#[test]
fn a_match_of_both_gives_back_what_both_failed_and_nothing_else() {
    let mut world = World::both_enrolled();
    for (fails, matches, left) in [
        (Means::Face, Means::Both, 1),
        (Means::Voice, Means::Both, 2),
    ] {
        world.tried_with(fails, false);
        world.tried_with(matches, true);
        assert_eq!(world.failed_in_a_row(), left, "{fails:?}");
    }
    world.tried_with(Means::Face, true);
    world.tried_with(Means::Voice, true);
    assert_eq!(world.failed_in_a_row(), 0);
    // Nor does one alone give back what both failed: a recording would for the voice.
    world.tried_with(Means::Both, false);
    world.tried_with(Means::Voice, true);
    assert_eq!(world.failed_in_a_row(), 1);
    world.tried_with(Means::Face, true);
    assert_eq!(world.failed_in_a_row(), 1);
    world.tried_with(Means::Both, true);
    assert_eq!(world.failed_in_a_row(), 0);
    assert!(world.state.fused.is_empty(), "nothing is left to know");
    assert!(world.replayed() == world.state);
}

#[test]
fn failures_of_all_three_lock_together_and_a_crash_gives_none_back() {
    let mut world = World::both_enrolled();
    world.tried_with(Means::Face, false);
    world.tried_with(Means::Voice, false);
    world.attempt("customer-1", Means::Both).unwrap();
    for means in KINDS {
        let full = world.attempt("customer-1", means);
        assert_eq!(full, Err(Refusal::AttemptsInProgress));
    }
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert_eq!(world.failed_in_a_row(), 3);
    for means in KINDS {
        let locked = world.attempt("customer-1", means);
        assert!(matches!(locked, Err(Refusal::Locked { .. })));
    }
    world.now_ms += 30 * 60_000;
    world.tried_with(Means::Both, false);
    world.tried_with(Means::Both, true);
    assert_eq!(world.failed_in_a_row(), 0);
    assert!(world.replayed() == world.state);
}

#[test]
fn what_is_erased_of_two_spends_what_was_compared_with_both() {
    for modality in [Modality::Face, Modality::Voice] {
        let mut world = World::both_enrolled();
        let other = match modality {
            Modality::Face => Means::Voice,
            Modality::Voice => Means::Face,
        };
        let both = world.attempt("customer-1", Means::Both).unwrap();
        let stays = world.attempt("customer-1", other).unwrap();
        let erase = Command::EraseModality {
            user: user(),
            modality,
            id: ErasureId::from_bytes([5; 16]),
        };
        world.run(erase).unwrap();
        assert_eq!(world.failed_in_a_row(), 1, "{modality:?}");
        let late = Command::ConcludeAttempt {
            user: user(),
            id: both,
            comparison: compared(true),
        };
        assert_eq!(world.run(late), Err(Refusal::UnknownAttempt));
        world.conclude(&user(), stays, true).unwrap();
        assert_eq!(world.failed_in_a_row(), 1, "what both failed");
        let id = world.attempt("customer-1", Means::Both).unwrap();
        assert!(failed(&world.verdict("customer-1", id, true)));
        assert!(world.replayed() == world.state);
    }
    let mut world = World::both_enrolled();
    world.attempt("customer-1", Means::Both).unwrap();
    let erase = Command::EraseSubject {
        user: user(),
        id: ErasureId::from_bytes([1; 16]),
        salt: [1; 32],
    };
    world.run(erase).unwrap();
    assert!(world.state.fused.is_empty());
}

#[test]
fn both_together_answer_no_approval() {
    let mut world = World::both_enrolled();
    let id = world.attempt("customer-1", Means::Both).unwrap();
    let as_a_factor = Command::ConcludeApprovalSample {
        approval: ApprovalId::from_bytes([1; 16]),
        user: user(),
        id,
        comparison: compared(true),
    };
    assert_eq!(world.run(as_a_factor), Err(Refusal::UnknownAttempt));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Reserve(usize),
    Conclude(usize, bool),
    Crash,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0usize..3).prop_map(Step::Reserve),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(at, accepted)| Step::Conclude(at, accepted)),
        1 => Just(Step::Crash),
        1 => (0u64..40 * 60_000).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..100)
}

proptest! {
    /// Whatever matches in between, no more than three comparisons of all three kinds fail
    /// between two matches of the same kind or two ends of a lock.
    #[test]
    fn no_match_of_one_kind_buys_a_failure_of_another(steps in steps()) {
        let mut world = World::both_enrolled();
        let mut open: Vec<(VerificationId, usize)> = Vec::new();
        let mut failed = [0u32; 3];
        let mut locked_until = 0u64;
        for step in steps {
            match step {
                Step::Reserve(kind) => {
                    let reserved = world.attempt("customer-1", KINDS[kind]);
                    if locked_until != 0 && world.now_ms >= locked_until {
                        (failed, locked_until) = ([0; 3], 0);
                    }
                    let room = failed.iter().sum::<u32>() as usize + open.len() < 3;
                    prop_assert_eq!(reserved.is_ok(), room && locked_until == 0);
                    open.extend(reserved.map(|id| (id, kind)));
                }
                Step::Conclude(at, accepted) if !open.is_empty() => {
                    let (id, kind) = open.remove(at % open.len());
                    world.conclude(&user(), id, accepted).unwrap();
                    failed[kind] = if accepted { 0 } else { failed[kind] + 1 };
                }
                Step::Crash => {
                    world.run(Command::BeginTerm { term: 2 }).unwrap();
                    open.drain(..).for_each(|(_, kind)| failed[kind] += 1);
                }
                Step::Wait(ms) => world.now_ms += ms,
                Step::Conclude(..) => {}
            }
            if failed.iter().sum::<u32>() >= 3 && locked_until == 0 {
                locked_until = world.now_ms + 30 * 60_000;
            }
        }
        prop_assert!(world.replayed() == world.state);
    }
}

/// Entries of before read as they did: what is new stands behind them.
#[test]
fn what_was_recorded_before_keeps_its_numbers() {
    let bytes = |event: &Event| postcard::to_stdvec(event).unwrap();
    let (handle, id) = (SubjectHandle([2; 16]), VerificationId::from_bytes([1; 16]));
    let voice = bytes(&Event::VoiceTried { handle, id });
    let both = bytes(&Event::FusedTried { handle, id });
    assert_eq!(both[1..], voice[1..]);
    let golden = [&[53][..], &[2; 16], &[1; 16]].concat();
    assert_eq!(both, golden);
    let number = |act: Act| postcard::to_stdvec(&act).unwrap();
    assert_eq!(
        [Act::Login, Act::Face, Act::Voice, Act::Both].map(number),
        [[0], [1], [2], [3]]
    );
    let place = |place: PolicyPlace| postcard::to_stdvec(&place).unwrap();
    assert_eq!(place(PolicyPlace::Voice), [4]);
    assert_eq!(place(PolicyPlace::FaceAndVoice), [5]);
}
