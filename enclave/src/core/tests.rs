//! The core against a model: random commands, and the budget and single-use
//! rules that must hold after each.

use proptest::prelude::*;
use redoubt_shared::{EnrollmentId, ReceiptId, UserId, VerificationId};

use super::*;

mod approvals;
mod devices;
mod duplicates;
mod erasure;
mod frames;
mod fused;
mod models;
mod policy;
mod renewal;
mod risk;
mod room;
mod sessions;
mod spoken;
mod strangers;
mod throttle;
mod voice;

use sessions::session;

use approvals::{approval, give};

fn context() -> TermContext {
    TermContext {
        tenant: "bank-a".parse().unwrap(),
        environment: "emulated".into(),
        time_source: "emulated-attester".into(),
        document: "00".repeat(32),
        policy: "11".repeat(32),
        config: "22".repeat(32),
        models: "33".repeat(32),
        counters_are_reported: false,
        max_failures: 3,
        lockout_ms: 30 * 60_000,
        enrollment_ms: 30 * 60_000,
        epoch: 0,
        depends_on: Vec::new(),
        freshness: "none".into(),
        unwitnessed_ms: None,
        second_device_above: None,
        throttle: Limits {
            device: 10,
            source: 20,
            tenant: 1000,
        },
        restore_count: 0,
        duplicates: None,
    }
}

/// A state with its log, so that replay can be compared with it.
struct World {
    state: TenantState,
    log: Vec<Recorded>,
    now_ms: u64,
    drawn: u64,
    /// What commands run under.
    context: TermContext,
    /// What is drawn for keys and salts.
    key: [u8; 32],
}

impl World {
    fn new() -> Self {
        Self {
            state: TenantState::default(),
            log: Vec::new(),
            now_ms: 1_000_000,
            drawn: 0,
            context: context(),
            key: [7; 32],
        }
    }

    fn draw(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.drawn.to_be_bytes());
        out
    }

    fn facts(&mut self) -> Facts {
        Facts {
            now_ms: self.now_ms,
            receipt: ReceiptId::from_bytes(self.draw()),
            handle: SubjectHandle(self.draw()),
            user_handle: self.draw(),
            subject_key: self.key,
        }
    }

    fn run(&mut self, command: Command) -> Result<Reply, Refusal> {
        let context = self.context.clone();
        self.run_under(&context, command)
    }

    fn run_under(&mut self, context: &TermContext, command: Command) -> Result<Reply, Refusal> {
        let facts = self.facts();
        let command = approvals::answering(&self.state, command);
        let decision = decide(&self.state, context, command, &facts)?;
        for recorded in decision.events {
            apply(&mut self.state, &recorded);
            self.log.push(recorded);
        }
        assert!(through_pieces(&self.state) == self.state, "pieces differ");
        Ok(decision.reply)
    }

    fn last_claim(&self) -> serde_json::Value {
        let claims = self.log.iter().rev().find_map(|recorded| {
            let Content::Claims { text } = &recorded.content else {
                return None;
            };
            Some(serde_json::from_str(text).unwrap())
        });
        claims.unwrap()
    }

    fn replayed(&self) -> TenantState {
        let mut state = TenantState::default();
        for recorded in &self.log {
            apply(&mut state, recorded);
        }
        state
    }

    fn enrol(&mut self, user: &UserId) {
        let id = EnrollmentId::from_bytes(self.draw());
        let begin = Command::BeginEnrollment {
            modality: Modality::Face,
            user: user.clone(),
            id,
            token_hash: [1; 32],
            consent_given: true,
        };
        self.run(begin).unwrap();
        self.run(Command::ReserveEnrollmentSample {
            id,
            token_hash: [1; 32],
        })
        .unwrap();
        self.run(Command::CompleteEnrollment {
            id,
            template: Box::new(template(self.next_transform(user))),
            liveness: None,
            performed: None,
            searched: None,
        })
        .unwrap();
    }

    /// The number that this customer's next template is under.
    fn next_transform(&self, user: &UserId) -> u32 {
        let (handle, _) = self.state.subject(user).unwrap();
        self.state.next_transform(&handle).unwrap()
    }

    fn reserve(&mut self, user: &UserId) -> Result<VerificationId, Refusal> {
        self.reserve_from(user, Whereabouts::default())
    }

    fn reserve_from(
        &mut self,
        user: &UserId,
        from: Whereabouts,
    ) -> Result<VerificationId, Refusal> {
        let id = VerificationId::from_bytes(self.draw());
        self.run(Command::ReserveAttempt {
            means: Means::Face,
            user: user.clone(),
            id,
            from,
        })
        .map(|_| id)
    }

    fn conclude(
        &mut self,
        user: &UserId,
        id: VerificationId,
        accepted: bool,
    ) -> Result<Reply, Refusal> {
        let comparison = comparison(accepted);
        self.run(Command::ConcludeAttempt {
            user: user.clone(),
            id,
            comparison,
        })
    }
}

/// The state, taken apart, through bytes, and put together again.
fn through_pieces(state: &TenantState) -> TenantState {
    let mut again = TenantState::default();
    for piece in state.pieces() {
        let bytes = postcard::to_stdvec(&piece).unwrap();
        again.absorb(redoubt_shared::frame::decode_canonical(&bytes).unwrap());
    }
    again
}

fn sample_of(model: &str) -> SampleUse {
    SampleUse {
        model: model.into(),
        worker_tier: "process".into(),
        template_tier: "process".into(),
        quality: 0.9,
        liveness: None,
        performed: None,
        spoken: None,
    }
}

fn comparison(accepted: bool) -> Comparison {
    Comparison {
        accepted,
        confidence: 0.5,
        sample: sample_of("m"),
        parts: Vec::new(),
        from: Whereabouts::default(),
    }
}

fn template(transform: u32) -> Template {
    Template {
        version: 2,
        model: "m".into(),
        transform,
        dimension: 2,
        scale: 1.0,
        values: vec![1, 2],
        quality: 0.9,
        worker_tier: "process".into(),
        enrolled_ms: 1,
    }
}

fn user() -> UserId {
    "customer-1".parse().unwrap()
}

#[test]
fn two_hundred_parallel_attempts_get_three_comparisons() {
    let mut world = World::new();
    world.enrol(&user());
    let reserved: Vec<_> = (0..200)
        .filter_map(|_| world.reserve(&user()).ok())
        .collect();
    assert_eq!(reserved.len(), 3);
    for id in reserved {
        world.conclude(&user(), id, false).unwrap();
    }
    assert!(matches!(
        world.reserve(&user()),
        Err(Refusal::Locked { .. })
    ));
}

#[test]
fn the_lock_ends_after_its_time_and_the_budget_is_whole_again() {
    let mut world = World::new();
    world.enrol(&user());
    for _ in 0..3 {
        let id = world.reserve(&user()).unwrap();
        world.conclude(&user(), id, false).unwrap();
    }
    let Err(Refusal::Locked { until_ms }) = world.reserve(&user()) else {
        panic!("not locked")
    };
    assert_eq!(until_ms, world.now_ms + 30 * 60_000);
    world.now_ms = until_ms - 1;
    assert!(world.reserve(&user()).is_err());
    world.now_ms = until_ms;
    assert_eq!((0..9).filter(|_| world.reserve(&user()).is_ok()).count(), 3);
}

#[test]
fn what_a_dead_term_left_reserved_stays_spent() {
    let mut world = World::new();
    world.enrol(&user());
    let first = world.reserve(&user()).unwrap();
    world.reserve(&user()).unwrap();
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert_eq!(
        world.conclude(&user(), first, true),
        Err(Refusal::UnknownAttempt)
    );
    let last = world.reserve(&user()).unwrap();
    assert_eq!(world.reserve(&user()), Err(Refusal::AttemptsInProgress));
    let verdict = world.conclude(&user(), last, false).unwrap();
    assert!(matches!(
        verdict,
        Reply::Verdict {
            locked_until_ms: Some(_),
            ..
        }
    ));
}

#[test]
fn a_crash_with_every_attempt_reserved_locks() {
    let mut world = World::new();
    world.enrol(&user());
    for _ in 0..3 {
        world.reserve(&user()).unwrap();
    }
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert!(matches!(
        world.reserve(&user()),
        Err(Refusal::Locked { .. })
    ));
}

#[test]
fn after_a_restore_what_could_have_been_spent_counts_as_spent() {
    let mut world = World::new();
    with_passkey(&mut world);
    world.enrol(&user());
    world.run(approval(1, None, 2_000_000)).unwrap();
    world.reserve(&user()).unwrap();
    let entries = (5, 9);
    world.run(Command::Restore { entries }).unwrap();
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    let Err(Refusal::Locked { until_ms }) = world.reserve(&user()) else {
        panic!("not locked")
    };
    assert_eq!(until_ms, world.now_ms + 30 * 60_000);
    assert_eq!(
        world.run(give(1, b"credential")),
        Err(Refusal::ApprovalExpired)
    );
    let claim = world.last_claim();
    assert_eq!(claim["type"], "restore");
    assert_eq!(claim["user_id"], serde_json::Value::Null);
    assert_eq!(
        (&claim["entries_found"], &claim["entries_lost"]),
        (&5.into(), &4.into())
    );
    assert!(world.replayed() == world.state);
    world.now_ms = until_ms;
    assert_eq!((0..9).filter(|_| world.reserve(&user()).is_ok()).count(), 3);
}

#[test]
fn a_budget_used_up_under_a_stricter_policy_locks_instead_of_hanging() {
    let mut world = World::new();
    world.enrol(&user());
    for _ in 0..2 {
        let id = world.reserve(&user()).unwrap();
        world.conclude(&user(), id, false).unwrap();
    }
    let stricter = TermContext {
        max_failures: 2,
        ..context()
    };
    let facts = world.facts();
    let term = decide(
        &world.state,
        &stricter,
        Command::BeginTerm { term: 2 },
        &facts,
    )
    .unwrap();
    for recorded in &term.events {
        apply(&mut world.state, recorded);
    }
    assert!(matches!(
        world.reserve(&user()),
        Err(Refusal::Locked { .. })
    ));
}

#[test]
fn of_two_assertions_with_one_counter_only_the_first_counts() {
    let mut world = World::new();
    with_passkey(&mut world);
    let login = |sign_count| Command::ConcludeLogin {
        user: user(),
        credential_id: b"credential".to_vec(),
        sign_count,
        backup_state: false,
        user_verified: true,
        session: Box::new(session(sign_count as u8)),
    };
    world.run(login(6)).unwrap();
    for stale in [6, 5] {
        assert_eq!(world.run(login(stale)).unwrap(), Reply::Refused);
        assert_eq!(world.last_claim()["reason"], "sign_count_not_increased");
    }
    let (_, subject) = world.state.subject(&user()).unwrap();
    let device = world.state.device(subject.device_id(b"credential"));
    assert_eq!((device.failures, device.counter_anomalies), (2, 2));
    world.run(login(7)).unwrap();
}

#[test]
fn an_enrolment_needs_consent_its_token_and_its_time() {
    let mut world = World::new();
    let id = EnrollmentId::from_bytes([1; 16]);
    let begin = |consent_given| Command::BeginEnrollment {
        modality: Modality::Face,
        user: user(),
        id,
        token_hash: [1; 32],
        consent_given,
    };
    assert_eq!(world.run(begin(false)), Err(Refusal::ConsentRequired));
    let Reply::Until(expires_ms) = world.run(begin(true)).unwrap() else {
        panic!()
    };
    let reserve = |token_hash| Command::ReserveEnrollmentSample { id, token_hash };
    assert_eq!(world.run(reserve([2; 32])), Err(Refusal::UnknownEnrollment));
    world.run(reserve([1; 32])).unwrap();
    assert_eq!(world.run(reserve([1; 32])), Err(Refusal::EnrollmentBusy));
    world
        .run(Command::ReleaseEnrollmentSample {
            id,
            worker_tier: None,
            reason: "no_face",
        })
        .unwrap();
    world.now_ms = expires_ms;
    assert_eq!(world.run(reserve([1; 32])), Err(Refusal::EnrollmentExpired));
}

fn passkey(id: &[u8], backup_eligible: bool) -> crate::passkeys::CredentialRecord {
    crate::passkeys::CredentialRecord {
        id: id.to_vec(),
        public_key: [b"key of ", id].concat(),
        algorithm: crate::passkeys::Algorithm::DEFAULT[0],
        sign_count: 0,
        uv_initialized: true,
        transports: vec![],
        backup_eligible,
        backup_state: false,
        attestation_format: crate::passkeys::AttestationFormat::None,
        attestation_trusted: false,
        aaguid: [0; 16],
        created_ms: 1,
    }
}

fn with_passkey(world: &mut World) {
    let record = passkey(b"credential", false);
    let command = |record| Command::RegisterPasskey {
        user: user(),
        user_handle: [9; 16],
        record,
    };
    world.run(command(Box::new(record.clone()))).unwrap();
    assert_eq!(
        world.run(command(Box::new(record))),
        Err(Refusal::CredentialTaken)
    );
}

#[test]
fn a_snapshot_shares_what_does_not_change_and_stays_as_it_was() {
    let mut world = World::new();
    let users: Vec<UserId> = (0..300).map(|n| format!("u{n}").parse().unwrap()).collect();
    users.iter().for_each(|user| world.enrol(user));
    let snapshot = world.state.clone();
    assert!(snapshot.subjects.ptr_eq(&world.state.subjects));
    let before = postcard::to_stdvec(&snapshot.pieces().collect::<Vec<_>>()).unwrap();
    world.reserve(&users[7]).unwrap();
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    for (handle, subject) in &snapshot.subjects {
        let same = std::sync::Arc::ptr_eq(subject, &world.state.subjects[handle]);
        assert_eq!(same, subject.user != users[7], "{}", subject.user);
    }
    let (_, then) = snapshot.subject(&users[7]).unwrap();
    let (_, now) = world.state.subject(&users[7]).unwrap();
    assert_eq!((then.attempts.failures, now.attempts.failures), (0, 1));
    let face = |subject: &Subject| std::sync::Arc::as_ptr(subject.face.as_ref().unwrap());
    assert_eq!(face(then), face(now), "the template is not copied");
    let after = postcard::to_stdvec(&snapshot.pieces().collect::<Vec<_>>()).unwrap();
    assert_eq!(before, after);
}

#[test]
fn equal_states_give_equal_pieces_and_groups_stay_bounded() {
    let mut world = World::new();
    for n in 0..300 {
        world.enrol(&format!("u{n}").parse().unwrap());
    }
    let bytes = |state: &TenantState| -> Vec<Vec<u8>> {
        state
            .pieces()
            .map(|piece| postcard::to_stdvec(&piece).unwrap())
            .collect()
    };
    let pieces = bytes(&world.state);
    assert!(pieces == bytes(&world.replayed()));
    assert!(pieces.iter().all(|piece| piece.len() < 64 * 1024));
    // In any order.
    let mut again = TenantState::default();
    let mut backwards: Vec<Piece> = world.state.pieces().collect();
    backwards.reverse();
    backwards.into_iter().for_each(|piece| again.absorb(piece));
    assert!(again == world.state);
}

#[derive(Debug, Clone)]
enum Step {
    Reserve,
    Conclude { at: usize, accepted: bool },
    Release { at: usize },
    Crash,
    Wait { ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Reserve),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(at, accepted)| Step::Conclude { at, accepted }),
        1 => any::<usize>().prop_map(|at| Step::Release { at }),
        1 => Just(Step::Crash),
        1 => (0u64..40 * 60_000).prop_map(|ms| Step::Wait { ms }),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    /// Between two successes, or two ends of a lock, no more than three
    /// comparisons fail; and replay always leads to the same budget.
    #[test]
    fn no_order_of_events_buys_a_fourth_failure(steps in steps()) {
        let mut world = World::new();
        world.enrol(&user());
        let mut open: Vec<VerificationId> = Vec::new();
        let mut failures = 0u32;
        let mut locked_until = 0u64;
        for step in steps {
            match step {
                Step::Reserve => {
                    if let Ok(id) = world.reserve(&user()) {
                        prop_assert!(world.now_ms >= locked_until);
                        if locked_until != 0 { failures = 0; locked_until = 0; }
                        open.push(id);
                        prop_assert!(failures as usize + open.len() <= 3);
                    }
                }
                Step::Conclude { at, accepted } if !open.is_empty() => {
                    let id = open.remove(at % open.len());
                    let reply = world.conclude(&user(), id, accepted).unwrap();
                    failures = if accepted { 0 } else { failures + 1 };
                    if let Reply::Verdict { locked_until_ms: Some(until), .. } = reply { locked_until = until; }
                    prop_assert!(failures <= 3);
                }
                Step::Release { at } if !open.is_empty() => {
                    let id = open.remove(at % open.len());
                    world.run(Command::ReleaseAttempt { user: user(), id, worker_tier: None, reason: "no_face" }).unwrap();
                }
                Step::Crash => {
                    failures += open.len() as u32;
                    world.run(Command::BeginTerm { term: 2 }).unwrap();
                    if !open.is_empty() && failures >= 3 { locked_until = world.now_ms + 30 * 60_000; }
                    open.clear();
                }
                Step::Wait { ms } => world.now_ms += ms,
                _ => {}
            }
            let (_, now) = world.state.subject(&user()).unwrap();
            let replayed = world.replayed();
            let (_, then) = replayed.subject(&user()).unwrap();
            prop_assert_eq!(&now.attempts, &then.attempts);
        }
    }
}
