//! Erasing: nothing of the person stays, and nobody gains an attempt by it.

use redoubt_shared::ErasureId;

use super::*;

impl World {
    fn erase_face(&mut self, user: &UserId) -> Result<ErasureId, Refusal> {
        let id = ErasureId::from_bytes(self.draw());
        let user = user.clone();
        self.run(Command::EraseModality {
            user,
            modality: Modality::Face,
            id,
        })
        .map(|_| id)
    }

    pub(super) fn erase_subject(&mut self, user: &UserId) -> Result<ErasureId, Refusal> {
        let id = ErasureId::from_bytes(self.draw());
        let (user, salt) = (user.clone(), [id.as_bytes()[7]; 32]);
        self.run(Command::EraseSubject { user, id, salt })
            .map(|_| id)
    }

    fn lock(&mut self, user: &UserId) -> u64 {
        for _ in 0..3 {
            let id = self.reserve(user).unwrap();
            self.conclude(user, id, false).unwrap();
        }
        match self.reserve(user) {
            Err(Refusal::Locked { until_ms }) => until_ms,
            other => panic!("not locked: {other:?}"),
        }
    }
}

fn deletion(custodian: &str) -> Deletion {
    Deletion {
        statement: format!("{{\"custodian\":\"{custodian}\"}}"),
        signature: vec![7; 64],
    }
}

/// Everything the state holds, as a snapshot would keep it.
fn bytes(state: &TenantState) -> Vec<u8> {
    postcard::to_stdvec(&state.pieces().collect::<Vec<_>>()).unwrap()
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle)
}

#[test]
fn an_erased_face_is_gone_and_the_rest_of_the_subject_stays() {
    let mut world = World::new();
    with_passkey(&mut world);
    world.enrol(&user());
    let id = world.erase_face(&user()).unwrap();
    let (_, subject) = world.state.subject(&user()).unwrap();
    assert!(subject.face.is_none() && subject.enrollment.is_none());
    assert_eq!(subject.passkeys.len(), 1);
    assert!(world.state.enrollments.is_empty());
    assert_eq!(world.erase_face(&user()), Err(Refusal::NotEnrolled));
    let claim = world.last_claim();
    assert_eq!(claim["type"], "erasure");
    assert_eq!(claim["erasure_id"], id.to_string());
    assert_eq!(claim["scope"], "modality");
    assert_eq!(claim["modality"], "facial");
    assert_eq!(claim["status"], "pending-epoch");
    assert_eq!(
        (&claim["epoch"], &claim["freshness"]),
        (&0.into(), &"none".into())
    );
    // What is tried without a face is tried in vain.
    let tried = world.tried(&user(), true, Whereabouts::default());
    assert_eq!(tried.0, Ending::Failed);
    world.enrol(&user());
    world.reserve(&user()).unwrap();
    assert!(world.replayed() == world.state);
}

#[test]
fn nothing_of_an_erased_subject_is_left_in_the_state() {
    let mut world = World::new();
    with_passkey(&mut world);
    world.enrol(&user());
    world
        .run(approval(1, Some(([1; 32], [2; 32])), 2_000_000))
        .unwrap();
    world.run(approval(2, None, 2_000_000)).unwrap();
    world.run(give(2, b"credential")).unwrap();
    let (handle, subject) = world.state.subject(&user()).unwrap();
    let key = *subject.key.expose();
    let traces: [&[u8]; 5] = [b"customer-1", b"credential", b"250.00", &handle.0, &key];
    let before = bytes(&world.state);
    assert!(traces.iter().all(|trace| holds(&before, trace)));
    let id = world.erase_subject(&user()).unwrap();
    let after = bytes(&world.state);
    for trace in traces {
        assert!(!holds(&after, trace), "{trace:?}");
    }
    let state = &world.state;
    assert!(state.users.is_empty() && state.subjects.is_empty() && state.credentials.is_empty());
    assert!(state.enrollments.is_empty() && state.approvals.is_empty());
    assert!(state.approvals_of.is_empty() && state.idempotency.is_empty());
    assert!(state.kept.by_name.is_empty(), "nothing was spent");
    let claim = world.last_claim();
    assert_eq!(
        (&claim["scope"], &claim["modality"]),
        (&"subject".into(), &serde_json::Value::Null)
    );
    assert_eq!(world.state.erasures[&id].status, ErasureStatus::Pending);
    assert_eq!(world.erase_subject(&user()), Err(Refusal::UnknownSubject));
    assert!(world.replayed() == world.state);
}

#[test]
fn the_claim_comes_before_the_event_that_takes_its_key() {
    let mut world = World::new();
    world.enrol(&user());
    let (handle, _) = world.state.subject(&user()).unwrap();
    world.reserve(&user()).unwrap();
    let command = Command::EraseSubject {
        user: user(),
        id: ErasureId::from_bytes([1; 16]),
        salt: [1; 32],
    };
    let facts = world.facts();
    let events = decide(&world.state, &context(), command, &facts)
        .unwrap()
        .events;
    assert_eq!(events[0].owner, Some(handle));
    assert!(matches!(events[0].content, Content::Claims { .. }));
    assert!(events[1..].iter().all(|recorded| recorded.owner.is_none()));
    let last = &events.last().unwrap().content;
    assert!(
        matches!(last, Content::State(event) if matches!(**event, Event::SubjectErased { .. }))
    );
    // What nobody owns can be read as long as the ledger: it names no one.
    for recorded in &events[1..] {
        let Content::State(event) = &recorded.content else {
            panic!("a claim that is nobody's")
        };
        assert!(!holds(&postcard::to_stdvec(event).unwrap(), b"customer-1"));
    }
}

#[test]
fn a_name_enrolled_again_is_a_new_subject_with_a_new_key() {
    let mut world = World::new();
    world.enrol(&user());
    let (first, _) = world.state.subject(&user()).unwrap();
    world.erase_subject(&user()).unwrap();
    let mut facts = world.facts();
    facts.subject_key = [8; 32];
    let begin = Command::BeginEnrollment {
        modality: Modality::Face,
        user: user(),
        id: EnrollmentId::from_bytes([9; 16]),
        token_hash: [1; 32],
        consent_given: true,
    };
    let decision = decide(&world.state, &context(), begin, &facts).unwrap();
    for recorded in &decision.events {
        apply(&mut world.state, recorded);
    }
    let (second, subject) = world.state.subject(&user()).unwrap();
    assert_ne!(first, second);
    assert_eq!(subject.key.expose(), &[8; 32]);
    assert!(subject.face.is_none() && subject.passkeys.is_empty());
}

#[test]
fn work_under_way_when_its_subject_is_erased_ends_in_a_refusal() {
    let mut world = World::new();
    with_passkey(&mut world);
    world.enrol(&user());
    world.run(approval(1, None, 2_000_000)).unwrap();
    let attempt = world.reserve(&user()).unwrap();
    let enrollment = EnrollmentId::from_bytes([3; 16]);
    let begin = || Command::BeginEnrollment {
        modality: Modality::Face,
        user: user(),
        id: enrollment,
        token_hash: [1; 32],
        consent_given: true,
    };
    let sample = || Command::ReserveEnrollmentSample {
        id: enrollment,
        token_hash: [1; 32],
    };
    world.run(begin()).unwrap();
    world.run(sample()).unwrap();
    world.erase_subject(&user()).unwrap();
    let before = bytes(&world.state);
    let after_erasure = |world: &mut World| {
        assert_eq!(
            world.conclude(&user(), attempt, true),
            Err(Refusal::NotEnrolled)
        );
        let release = Command::ReleaseAttempt {
            user: user(),
            id: attempt,
            worker_tier: None,
            reason: "no_face",
        };
        assert_eq!(world.run(release), Err(Refusal::NotEnrolled));
    };
    after_erasure(&mut world);
    let complete = || Command::CompleteEnrollment {
        id: enrollment,
        template: Box::new(template(1)),
        liveness: None,
        performed: None,
        searched: None,
    };
    assert_eq!(world.run(complete()), Err(Refusal::UnknownEnrollment));
    let release = Command::ReleaseEnrollmentSample {
        id: enrollment,
        worker_tier: None,
        reason: "no_face",
    };
    assert_eq!(world.run(release), Err(Refusal::UnknownEnrollment));
    assert_eq!(
        world.run(give(1, b"credential")),
        Err(Refusal::UnknownApproval)
    );
    assert_eq!(bytes(&world.state), before);
    // Nor does an old verdict count for whoever comes back under the name.
    world.enrol(&user());
    assert_eq!(
        world.conclude(&user(), attempt, true),
        Err(Refusal::UnknownAttempt)
    );
}

#[test]
fn a_verdict_about_an_erased_template_is_refused_and_its_attempt_spent() {
    let mut world = World::new();
    world.enrol(&user());
    let attempt = world.reserve(&user()).unwrap();
    world.erase_face(&user()).unwrap();
    assert_eq!(
        world.conclude(&user(), attempt, true),
        Err(Refusal::UnknownAttempt)
    );
    world.enrol(&user());
    assert_eq!(
        world.conclude(&user(), attempt, true),
        Err(Refusal::UnknownAttempt)
    );
    assert_eq!((0..9).filter(|_| world.reserve(&user()).is_ok()).count(), 2);
}

#[test]
fn erasing_a_face_with_every_attempt_under_way_locks_and_does_not_hang() {
    let mut world = World::new();
    world.enrol(&user());
    for _ in 0..3 {
        world.reserve(&user()).unwrap();
    }
    world.erase_face(&user()).unwrap();
    world.enrol(&user());
    let Err(Refusal::Locked { until_ms }) = world.reserve(&user()) else {
        panic!("not locked")
    };
    world.now_ms = until_ms;
    world.reserve(&user()).unwrap();
}

#[test]
fn erasing_ends_an_enrolment_whose_sample_is_at_the_worker() {
    let mut world = World::new();
    let id = EnrollmentId::from_bytes([3; 16]);
    world
        .run(Command::BeginEnrollment {
            modality: Modality::Face,
            user: user(),
            id,
            token_hash: [1; 32],
            consent_given: true,
        })
        .unwrap();
    world
        .run(Command::ReserveEnrollmentSample {
            id,
            token_hash: [1; 32],
        })
        .unwrap();
    world.erase_face(&user()).unwrap();
    let complete = Command::CompleteEnrollment {
        id,
        template: Box::new(template(1)),
        liveness: None,
        performed: None,
        searched: None,
    };
    assert_eq!(world.run(complete), Err(Refusal::UnknownEnrollment));
    // What is tried without a face is tried in vain.
    let tried = world.tried(&user(), true, Whereabouts::default());
    assert_eq!(tried.0, Ending::Failed);
}

#[test]
fn leaving_and_coming_back_does_not_end_a_lock() {
    let mut world = World::new();
    world.enrol(&user());
    let until_ms = world.lock(&user());
    world.erase_subject(&user()).unwrap();
    assert!(!holds(&bytes(&world.state), b"customer-1"));
    world.now_ms += 60_000;
    world.enrol(&user());
    let locked = Err(Refusal::Locked { until_ms });
    assert_eq!(world.reserve(&user()), locked);
    // Nor does doing it twice, with another salt or a restart between.
    world.erase_subject(&user()).unwrap();
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    world.enrol(&user());
    assert_eq!(world.reserve(&user()), locked);
    world.now_ms = until_ms;
    world.reserve(&user()).unwrap();
    assert!(world.replayed() == world.state);
}

#[test]
fn a_lock_is_its_own_names_only_and_forgotten_when_it_ends() {
    let mut world = World::new();
    world.enrol(&user());
    let until_ms = world.lock(&user());
    world.erase_subject(&user()).unwrap();
    let other: UserId = "customer-2".parse().unwrap();
    world.enrol(&other);
    world.reserve(&other).unwrap();
    assert_eq!(world.state.kept.by_name.len(), 1);
    world.now_ms = until_ms;
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert!(world.state.kept == KeptBudgets::default(), "salt and hash");
    world.enrol(&user());
    assert_eq!((0..9).filter(|_| world.reserve(&user()).is_ok()).count(), 3);
}

#[test]
fn attempts_spent_before_leaving_stay_spent_for_the_time_of_a_lock() {
    let mut world = World::new();
    world.enrol(&user());
    let id = world.reserve(&user()).unwrap();
    world.conclude(&user(), id, false).unwrap();
    world.reserve(&user()).unwrap();
    world.erase_subject(&user()).unwrap();
    world.enrol(&user());
    let last = world.reserve(&user()).unwrap();
    assert_eq!(world.reserve(&user()), Err(Refusal::AttemptsInProgress));
    let verdict = world.conclude(&user(), last, false).unwrap();
    let Reply::Verdict {
        locked_until_ms, ..
    } = verdict
    else {
        panic!()
    };
    assert!(locked_until_ms.is_some());
    // All three under way: that is a lock.
    world.now_ms = locked_until_ms.unwrap();
    for _ in 0..3 {
        world.reserve(&user()).unwrap();
    }
    world.erase_subject(&user()).unwrap();
    world.enrol(&user());
    assert!(matches!(
        world.reserve(&user()),
        Err(Refusal::Locked { .. })
    ));
    // Without attempts, time alone gives the budget back.
    let other: UserId = "customer-2".parse().unwrap();
    world.enrol(&other);
    world.reserve(&other).unwrap();
    world.erase_subject(&other).unwrap();
    world.now_ms += 30 * 60_000;
    world.enrol(&other);
    assert_eq!((0..9).filter(|_| world.reserve(&other).is_ok()).count(), 3);
}

#[test]
fn a_budget_kept_under_a_looser_policy_locks_instead_of_hanging() {
    let mut world = World::new();
    world.enrol(&user());
    for _ in 0..2 {
        let id = world.reserve(&user()).unwrap();
        world.conclude(&user(), id, false).unwrap();
    }
    world.erase_subject(&user()).unwrap();
    let stricter = TermContext {
        max_failures: 2,
        ..context()
    };
    let facts = world.facts();
    let begin = Command::BeginEnrollment {
        modality: Modality::Face,
        user: user(),
        id: EnrollmentId::from_bytes([3; 16]),
        token_hash: [1; 32],
        consent_given: true,
    };
    let decision = decide(&world.state, &stricter, begin, &facts).unwrap();
    for recorded in &decision.events {
        apply(&mut world.state, recorded);
    }
    let (_, subject) = world.state.subject(&user()).unwrap();
    assert!(subject.attempts.locked_until_ms.is_some());
}

#[test]
fn erasures_become_dark_once_and_the_claim_names_no_one() {
    let mut world = World::new();
    world.enrol(&user());
    let face = world.erase_face(&user()).unwrap();
    let whole = world.erase_subject(&user()).unwrap();
    let waiting = world.state.erasures_waiting_for(0, 10);
    assert_eq!(waiting.len(), 2);
    assert_eq!(world.state.erasures_waiting_for(0, 1).len(), 1);
    let mark = |erasures, statements, depends_on| Command::MarkDark {
        erasures,
        statements,
        depends_on,
    };
    // One custodian is silent: that is said, and nothing is dark.
    world
        .run(mark(waiting.clone(), vec![deletion("a")], vec!["b".into()]))
        .unwrap();
    assert_eq!(world.last_claim()["status"], "depends");
    assert_eq!(world.state.erasures[&face].status, ErasureStatus::Depends);
    assert_eq!(world.state.erasures_waiting_for(0, 10), waiting);
    // It answers later.
    let both = vec![deletion("a"), deletion("b")];
    world
        .run(mark(waiting.clone(), both.clone(), vec![]))
        .unwrap();
    let claim = world.last_claim();
    assert_eq!(claim["type"], "erasure_dark");
    assert_eq!(claim["user_id"], serde_json::Value::Null);
    let named: Vec<String> = waiting.iter().map(ToString::to_string).collect();
    assert_eq!(claim["erasures"], serde_json::json!(named));
    let digests: Vec<String> = both.iter().map(|d| hex::encode(d.digest())).collect();
    assert_eq!(claim["statements"], serde_json::json!(digests));
    let erasure = &world.state.erasures[&whole];
    assert!(matches!(erasure.status, ErasureStatus::Dark { at_ms, .. } if at_ms == world.now_ms));
    assert!(erasure.depends_on.is_empty());
    assert_eq!(*world.state.deletions[&erasure.statements[1]], both[1]);
    assert!(world.state.erasures_waiting_for(u32::MAX, 10).is_empty());
    let again = world.run(mark(waiting, both, vec![]));
    assert_eq!(again, Err(Refusal::UnknownErasure));
    let too_many = vec![face; MARK_MAX + 1];
    assert_eq!(
        world.run(mark(too_many, vec![], vec![])),
        Err(Refusal::TooMany)
    );
    assert!(world.replayed() == world.state);
}

#[test]
fn an_erasure_waits_for_the_epoch_it_was_asked_in() {
    let mut world = World::new();
    let other: UserId = "customer-2".parse().unwrap();
    world.enrol(&user());
    world.enrol(&other);
    let early = world.erase_subject(&user()).unwrap();
    let facts = world.facts();
    let later = TermContext {
        epoch: 1,
        depends_on: vec!["officers".into()],
        freshness: "lease".into(),
        unwitnessed_ms: Some(2000),
        restore_count: 3,
        ..context()
    };
    let id = ErasureId::from_bytes([5; 16]);
    let (user, salt) = (other, [0; 32]);
    let command = Command::EraseSubject { user, id, salt };
    let decision = decide(&world.state, &later, command, &facts).unwrap();
    let named = vec!["officers".to_owned()];
    let (epoch, depends_on) = (1, named.clone());
    assert_eq!(decision.reply, Reply::Erasure { epoch, depends_on });
    for recorded in decision.events {
        apply(&mut world.state, &recorded);
        world.log.push(recorded);
    }
    let claim = world.last_claim();
    assert_eq!(claim["depends_on"], serde_json::json!(named));
    assert_eq!(
        (&claim["epoch"], &claim["restore_count"]),
        (&1.into(), &3.into())
    );
    assert_eq!(
        (&claim["freshness"], &claim["unwitnessed_ms"]),
        (&"lease".into(), &2000.into())
    );
    assert_eq!(world.state.erasures_waiting_for(0, 10), vec![early]);
    assert_eq!(world.state.erasures_waiting_for(1, 10), vec![early, id]);
}

#[derive(Debug, Clone)]
enum Step {
    Enrol(usize),
    Reserve(usize),
    Conclude { at: usize, accepted: bool },
    EraseFace(usize),
    EraseSubject(usize),
    Crash,
    Wait { ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..2usize).prop_map(Step::Enrol),
        4 => (0..2usize).prop_map(Step::Reserve),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(at, accepted)| Step::Conclude { at, accepted }),
        1 => (0..2usize).prop_map(Step::EraseFace),
        2 => (0..2usize).prop_map(Step::EraseSubject),
        1 => Just(Step::Crash),
        1 => (0u64..40 * 60_000).prop_map(|ms| Step::Wait { ms }),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    /// Whatever is erased and enrolled again between: within the time of a lock
    /// no name gets more than three comparisons without a success, replay and
    /// pieces lead to the same state, and nobody erased is named in it.
    #[test]
    fn no_order_of_erasures_buys_a_fourth_comparison(steps in steps()) {
        let mut world = World::new();
        let users: [UserId; 2] = ["customer-1".parse().unwrap(), "customer-2".parse().unwrap()];
        let mut open: Vec<(usize, VerificationId)> = Vec::new();
        let mut dead: Vec<(usize, VerificationId)> = Vec::new();
        let mut spent: [Vec<u64>; 2] = Default::default();
        for step in steps {
            match step {
                Step::Enrol(who) => {
                    let waiting = world.state.subject(&users[who]).is_some_and(|(_, s)| s.face.is_some());
                    if !waiting { world.enrol(&users[who]); }
                }
                Step::Reserve(who) => {
                    if let Ok(id) = world.reserve(&users[who]) {
                        open.push((who, id));
                        let now_ms = world.now_ms;
                        spent[who].retain(|at| at + 30 * 60_000 > now_ms);
                        spent[who].push(now_ms);
                        prop_assert!(spent[who].len() <= 3, "{:?}", spent[who]);
                    }
                }
                Step::Conclude { at, accepted } if !open.is_empty() => {
                    let (who, id) = open.remove(at % open.len());
                    world.conclude(&users[who], id, accepted).unwrap();
                    // A success makes the budget whole.
                    if accepted {
                        let under_way = open.iter().filter(|(other, _)| *other == who).count();
                        spent[who] = vec![world.now_ms; under_way];
                    }
                }
                Step::EraseFace(who) if world.erase_face(&users[who]).is_ok() => {
                    dead.extend(open.extract_if(.., |(other, _)| *other == who));
                }
                Step::EraseSubject(who) if world.erase_subject(&users[who]).is_ok() => {
                    dead.extend(open.extract_if(.., |(other, _)| *other == who));
                    prop_assert!(!holds(&bytes(&world.state), users[who].as_str().as_bytes()));
                }
                Step::Crash => {
                    world.run(Command::BeginTerm { term: 2 }).unwrap();
                    dead.append(&mut open);
                }
                Step::Wait { ms } => world.now_ms += ms,
                _ => {}
            }
            for (who, id) in &dead {
                prop_assert!(world.conclude(&users[*who], *id, true).is_err());
            }
        }
        prop_assert!(world.replayed() == world.state);
    }
}
