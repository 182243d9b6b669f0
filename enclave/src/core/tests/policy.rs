//! The tenant's own policy: asked, never trusted, never asked again by a replay.
//!
//! Promises: docs/PROMISES.md, policy.

use super::approvals::{Asking, give, people};
use super::risk::paid;
use super::sessions::login;
use super::*;

const DIGEST: [u8; 32] = [0xb1; 32];

fn bundle(version: u64, digest: u8) -> Command {
    Command::TakeBundle {
        bundle: Box::new(Bundle {
            version,
            digest: [digest; 32],
            modules: vec![("a".into(), "package redoubt".into())],
        }),
        signers: vec!["ada".into(), "bert".into()],
    }
}

fn choose(version: u64, after: u64) -> Command {
    Command::ChooseBundle {
        version,
        after,
        signers: vec!["ada".into(), "bert".into()],
    }
}

fn ruling(effect: Effect) -> Ruling {
    Ruling {
        effect,
        reasons: vec!["because".into()],
    }
}

/// A customer with a face and a passkey, of a tenant whose bundle is in force.
fn world() -> World {
    let mut world = World::new();
    people(&mut world, &[("customer-1", &["credential", "second"])]);
    world.enrol(&user());
    world.run(bundle(1, 0xb1)).unwrap();
    world
}

impl World {
    /// The command, with what the policy says to whatever it is asked.
    fn ruled(&mut self, command: impl Fn() -> Command, effect: Effect) -> Result<Reply, Refusal> {
        self.ruled_under(&context(), command, effect)
    }

    fn ruled_under(
        &mut self,
        context: &TermContext,
        command: impl Fn() -> Command,
        effect: Effect,
    ) -> Result<Reply, Refusal> {
        let question = match self.run_under(context, command()) {
            Err(Refusal::PolicyAsks(question)) => question,
            outcome => return outcome,
        };
        let answer = Box::new(Answer::Given {
            question: *question,
            ruling: ruling(effect),
        });
        let command = Box::new(command());
        self.run_under(context, Command::Ruled { answer, command })
    }

    fn face(&mut self, accepted: bool, effect: Effect) -> Result<Reply, Refusal> {
        let id = self.reserve(&user()).unwrap();
        let conclude = || Command::ConcludeAttempt {
            user: user(),
            id,
            comparison: comparison(accepted),
        };
        self.ruled(conclude, effect)
    }

    fn ending(&mut self, accepted: bool, effect: Effect) -> Ending {
        match self.face(accepted, effect).unwrap() {
            Reply::Verdict { ending, .. } => ending,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn versions_only_grow_and_an_order_to_go_back_is_good_once() {
    let mut world = World::new();
    assert_eq!(world.run(choose(1, 0)), Err(Refusal::UnknownBundle));
    world.run(bundle(3, 3)).unwrap();
    for old in 1..=3 {
        assert_eq!(world.run(bundle(old, 9)), Err(Refusal::BundleRolledBack));
    }
    world.run(bundle(5, 5)).unwrap();
    let active = |world: &World| world.state.bundles.active().map(|one| one.version);
    assert_eq!(active(&world), Some(5));
    assert_eq!(world.run(choose(3, 1)), Err(Refusal::ActivationMoved));
    assert_eq!(world.run(choose(4, 2)), Err(Refusal::UnknownBundle));
    world.run(choose(3, 2)).unwrap();
    assert_eq!(active(&world), Some(3));
    let claim = world.last_claim();
    assert_eq!(claim["type"], "policy_activation");
    assert_eq!(claim["rollback"], true);
    assert_eq!(
        (&claim["version"], &claim["previous_version"]),
        (&3.into(), &5.into())
    );
    // The same order again, and the bundle that was left: neither.
    assert_eq!(world.run(choose(3, 2)), Err(Refusal::ActivationMoved));
    assert_eq!(world.run(bundle(5, 5)), Err(Refusal::BundleRolledBack));
    world.run(choose(0, 3)).unwrap();
    assert_eq!(active(&world), None);
    assert!(world.replayed() == world.state);
}

#[test]
fn so_many_bundles_are_kept_and_the_one_in_force_among_them() {
    let mut world = World::new();
    for version in 1..=20 {
        world.run(bundle(version, version as u8)).unwrap();
        if version == 4 {
            world.run(choose(1, 4)).unwrap();
        }
    }
    let bundles = &world.state.bundles;
    assert_eq!(bundles.kept.len(), 8);
    assert_eq!(bundles.active().unwrap().version, 20);
    world.run(choose(13, 21)).unwrap();
    for version in 21..=40 {
        world.run(bundle(version, version as u8)).unwrap();
    }
    assert_eq!(world.state.bundles.active().unwrap().version, 40);
    for version in 41..=120 {
        world.run(bundle(version, version as u8)).unwrap();
    }
    assert_eq!(world.state.bundles.activations.len(), 64);
    assert!(world.replayed() == world.state);
}

#[test]
fn a_login_that_policy_denies_opens_nothing_and_says_why_in_its_claim_alone() {
    let mut world = world();
    let reply = world.ruled(|| login(session(1)), Effect::Deny).unwrap();
    assert_eq!(reply, Reply::Refused);
    assert!(world.state.sessions.is_empty());
    let claim = world.last_claim();
    assert_eq!(claim["reason"], "policy_denied");
    assert_eq!(claim["policy_ruling"]["reasons"][0], "because");
    assert_eq!(claim["policy_bundle"], hex::encode(DIGEST));
    // Nor does it count against the device.
    let failures = |world: &World| {
        world
            .state
            .devices
            .values()
            .map(|one| one.failures)
            .sum::<u32>()
    };
    assert_eq!(failures(&world), 0);
    world.ruled(|| login(session(1)), Effect::Allow).unwrap();
    assert_eq!(world.last_claim()["acr"], "urn:redoubt:acr:aal2");
    world.ruled(|| login(session(2)), Effect::StepUp).unwrap();
    assert_eq!(world.last_claim()["acr"], "urn:redoubt:acr:aal1");
    assert!(world.replayed() == world.state);
}

#[test]
fn a_face_that_policy_does_not_allow_is_no_match_and_locks_nobody() {
    let mut world = world();
    assert_eq!(world.ending(true, Effect::Allow), Ending::Accepted);
    let (handle, _) = world.state.subject(&user()).unwrap();
    let matched = world.state.faces_matched[&handle];
    world.now_ms += 60_000;
    for effect in [
        Effect::StepUp,
        Effect::Deny,
        Effect::Deny,
        Effect::Deny,
        Effect::Deny,
    ] {
        world.now_ms += 600_000;
        assert_eq!(world.ending(true, effect), Ending::Suspicious);
    }
    assert_eq!(world.state.faces_matched[&handle], matched);
    assert_eq!(world.state.subject(&user()).unwrap().1.attempts.failures, 0);
    // Nor is it a failure of the device, the address or the tenant.
    assert_eq!(world.state.throttle.windows().count(), 0);
    assert_eq!(world.ending(false, Effect::Allow), Ending::Failed);
    assert_ne!(world.state.throttle.windows().count(), 0);
    assert!(world.replayed() == world.state);
}

#[test]
fn no_answer_makes_a_typed_no_a_yes() {
    let mut world = world();
    // A face that does not match: nobody is asked, and three of them lock.
    for _ in 0..3 {
        assert_eq!(world.ending(false, Effect::Allow), Ending::Failed);
    }
    assert!(matches!(
        world.reserve(&user()),
        Err(Refusal::Locked { .. })
    ));
    // A device that may not be used.
    let (_, subject) = world.state.subject(&user()).unwrap();
    let device = subject.device_id(b"credential");
    let suspend = Command::SetDeviceState(Box::new(SetDeviceState {
        user: user(),
        device,
        next: DeviceState::Suspended,
        reason: "lost".into(),
        source: "bank",
    }));
    world.run(suspend).unwrap();
    let reply = world.ruled(|| login(session(1)), Effect::Allow).unwrap();
    assert_eq!(reply, Reply::Refused);
    assert_eq!(world.last_claim()["reason"], "device_suspended");
    // A limit above which two devices sign: policy cannot make it one.
    let strict = TermContext {
        second_device_above: Some([("EUR".to_owned(), 1)].into()),
        ..context()
    };
    let asked = || Asking::of(1, &["customer-1"], 1).command();
    let refused = world.run_under(&strict, asked());
    assert_eq!(refused, Err(Refusal::SecondDeviceNeeded));
    people(&mut world, &[("customer-1", &["third"])]);
    let Err(Refusal::PolicyAsks(question)) = world.run_under(&strict, asked()) else {
        panic!("not asked");
    };
    let answer = Box::new(Answer::Given {
        question: *question,
        ruling: ruling(Effect::Allow),
    });
    let command = Box::new(asked());
    let ruled = Command::Ruled { answer, command };
    world.run_under(&strict, ruled).unwrap();
    assert_eq!(world.approval(1).terms.devices, 2);
}

#[test]
fn an_answer_counts_for_its_very_question_alone() {
    let mut world = world();
    let Err(Refusal::PolicyAsks(question)) = world.run(login(session(1))) else {
        panic!("not asked");
    };
    let with = |question: Question| Command::Ruled {
        answer: Box::new(Answer::Given {
            question,
            ruling: ruling(Effect::Allow),
        }),
        command: Box::new(login(session(1))),
    };
    let mut of_another = (*question).clone();
    of_another.bundle = [9; 32];
    let mut about_another = (*question).clone();
    about_another.input.risk.signals.push(Signal::Velocity);
    for stale in [of_another, about_another] {
        assert_eq!(
            world.run(with(stale)),
            Err(Refusal::PolicyAsks(question.clone()))
        );
    }
    // The facts change: a bundle comes in between.
    world.run(bundle(2, 0xb2)).unwrap();
    assert!(matches!(
        world.run(with(*question)),
        Err(Refusal::PolicyAsks(_))
    ));
    // Facts that never stand still are a no.
    let unsettled = Command::Ruled {
        answer: Box::new(Answer::Unsettled),
        command: Box::new(login(session(1))),
    };
    assert_eq!(world.run(unsettled), Ok(Reply::Refused));
    let claim = world.last_claim();
    assert_eq!(claim["policy_ruling"]["reasons"][0], "policy_unsettled");
    assert!(world.state.sessions.is_empty());
}

#[test]
fn an_approval_takes_a_second_device_where_policy_asks_for_more() {
    let mut world = world();
    let ask = |id| move || Asking::of(id, &["customer-1"], 1).command();
    assert_eq!(world.ruled(ask(1), Effect::Deny), Ok(Reply::Denied));
    assert!(world.state.approvals.is_empty());
    assert_eq!(world.last_claim()["verdict"], "refused");
    world.ruled(ask(2), Effect::Allow).unwrap();
    assert_eq!(world.approval(2).terms.devices, 1);
    world.ruled(ask(3), Effect::StepUp).unwrap();
    assert_eq!(world.approval(3).terms.devices, 2);
    // An answer that is denied, or that would need more than this approval asks for,
    // leaves it waiting.
    for effect in [Effect::Deny, Effect::StepUp] {
        let reply = world.ruled(|| give(2, b"credential"), effect);
        assert_eq!(reply, Ok(Reply::Refused));
        assert_eq!(world.last_claim()["reason"], "policy_denied");
        assert_eq!(world.approval(2).status, ApprovalStatus::Pending);
    }
    let given = |complete| Ok(Reply::Granted { complete });
    assert_eq!(
        world.ruled(|| give(2, b"credential"), Effect::Allow),
        given(true)
    );
    assert_eq!(world.last_claim()["policy_ruling"]["effect"], "allow");
    // Two devices meet a step-up.
    assert_eq!(
        world.ruled(|| give(3, b"credential"), Effect::StepUp),
        given(false)
    );
    assert_eq!(
        world.ruled(|| give(3, b"second"), Effect::StepUp),
        given(true)
    );
    assert!(world.replayed() == world.state);
}

#[test]
fn a_copied_passkey_is_told_where_policy_denies_too() {
    let mut world = world();
    let reports = TermContext {
        counters_are_reported: true,
        ..context()
    };
    let signed = || {
        let mut command = login(session(1));
        if let Command::ConcludeLogin { sign_count, .. } = &mut command {
            *sign_count = 5;
        }
        command
    };
    world.ruled(signed, Effect::Allow).unwrap();
    world
        .ruled(
            || Asking::of(1, &["customer-1"], 1).command(),
            Effect::Allow,
        )
        .unwrap();
    let known = |world: &World| {
        let (_, subject) = world.state.subject(&user()).unwrap();
        world.state.device(subject.device_id(b"credential"))
    };
    let used_ms = known(&world).last_used_ms;
    let denied: [&dyn Fn() -> Command; 2] = [&signed, &|| give(1, b"credential")];
    for (nth, command) in denied.into_iter().enumerate() {
        world.now_ms += 1000;
        let reply = world.ruled_under(&reports, command, Effect::Deny);
        assert_eq!(reply, Ok(Reply::Refused));
        let claim = world.last_claim();
        assert_eq!(claim["reason"], "policy_denied");
        assert_eq!(claim["sign_count_grew"], false);
        assert_eq!(claim["alert"], "sign_count_not_increased");
        let alerts = world.state.watch.alerts();
        let said = claim["receipt_id"].as_str().unwrap();
        assert_eq!(
            alerts.filter(|one| one.receipt.to_string() == said).count(),
            1
        );
        assert_eq!(known(&world).counter_anomalies, nth as u32 + 1);
        // What was denied is no use that would raise its trust.
        assert_eq!(known(&world).last_used_ms, used_ms);
    }
    assert!(world.replayed() == world.state);
}

#[test]
fn of_several_people_policy_is_told_no_ones_risk() {
    let mut world = World::new();
    people(
        &mut world,
        &[("customer-1", &["credential"]), ("customer-2", &["other"])],
    );
    paid(&mut world, 1, "10.00", "A");
    paid(&mut world, 2, "29.00", "B");
    for (id, who) in [(3, &["customer-1"][..]), (4, &["customer-1", "customer-2"])] {
        let asking = Asking {
            jcs: r#"{"amount":"9000.01","currency":"EUR","payee":{"account":"D"}}"#.to_owned(),
            expires_ms: world.now_ms + 60_000,
            ..Asking::of(id, who, 1)
        };
        world.run(asking.command()).unwrap();
    }
    world.run(bundle(1, 0xb1)).unwrap();
    for (id, signals) in [(3, 1), (4, 0)] {
        let Err(Refusal::PolicyAsks(question)) = world.run(give(id, b"credential")) else {
            panic!("not asked");
        };
        assert_eq!(question.input.risk.signals.len(), signals);
    }
}

#[test]
fn what_is_remembered_is_bounded_and_leaves_with_its_customer() {
    let mut world = world();
    for nth in 0..DECISIONS_MAX + 10 {
        world.now_ms += 1000;
        world
            .ruled(|| login(session(nth as u8)), Effect::Allow)
            .unwrap();
    }
    assert_eq!(world.state.decisions.len(), DECISIONS_MAX);
    let first = world.state.decisions.values().next().unwrap();
    assert_eq!(first.bundle, Some(DIGEST));
    let erase = Command::EraseSubject {
        user: user(),
        id: redoubt_shared::ErasureId::from_bytes([1; 16]),
        salt: [1; 32],
    };
    world.run(erase).unwrap();
    assert!(world.state.decisions.is_empty());
    assert!(world.replayed() == world.state);
}

#[test]
fn without_a_bundle_nobody_is_asked_and_decisions_are_remembered_for_a_dry_run() {
    let mut world = World::new();
    people(&mut world, &[("customer-1", &["credential"])]);
    world.run(login(session(1))).unwrap();
    let claim = world.last_claim();
    assert!(claim.get("policy_bundle").is_none() && claim.get("policy_ruling").is_none());
    let kept = world.state.decisions.values().next().unwrap();
    assert_eq!((kept.bundle, &kept.ruling), (None, &Ruling::NONE));
    assert_eq!(kept.input.to_json()["device"]["user_verified"], true);
}
