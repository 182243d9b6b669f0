//! Names that are no customer's: what is recorded of them is as much as of a customer,
//! says nothing of them, and does not grow.

use std::collections::BTreeMap;

use super::*;

fn refuse(user: &str, credential_id: &[u8], reason: &'static str) -> Command {
    Command::RefuseLogin {
        user: user.parse().unwrap(),
        credential_id: credential_id.to_vec(),
        reason,
    }
}

/// A world in its term, with one customer.
fn world() -> World {
    let mut world = World::new();
    let (es256, mldsa65) = ([1; 32], [2; 32]);
    let keys = TenantKeySeeds { es256, mldsa65 };
    world.run(Command::OpenTenant { keys }).unwrap();
    world.run(Command::BeginTerm { term: 1 }).unwrap();
    with_passkey(&mut world);
    world
}

/// What a command records, as far as its cost tells: the variant of each event,
/// whether it is sealed under a subject's key, and about how long it is.
fn recorded(world: &mut World, command: Command) -> Vec<(String, bool, usize)> {
    let before = world.log.len();
    world.run(command).unwrap();
    let shape = |one: &Recorded| match &one.content {
        Content::State(event) => {
            let bytes = postcard::to_stdvec(event).unwrap();
            (format!("{}", bytes[0]), one.owner.is_some(), bytes.len())
        }
        Content::Claims { text } => ("claim".into(), one.owner.is_some(), text.len()),
    };
    world.log[before..].iter().map(shape).collect()
}

#[test]
fn a_stranger_s_refusal_records_as_much_as_a_customer_s() {
    for (credential, reason) in [
        (&b"credential"[..], "signature_invalid"),
        (b"another's", CREDENTIAL_UNKNOWN),
    ] {
        let mut world = world();
        for _ in 0..2 * HISTORY_MAX {
            let of_customer = recorded(&mut world, refuse("customer-1", credential, reason));
            let of_stranger = recorded(&mut world, refuse("stranger", credential, reason));
            assert_eq!(of_customer.len(), of_stranger.len(), "{reason}");
            for (ours, theirs) in of_customer.iter().zip(&of_stranger) {
                assert_eq!((&ours.0, ours.1), (&theirs.0, theirs.1), "{reason}");
                assert!(ours.2.abs_diff(theirs.2) <= 16, "{ours:?} {theirs:?}");
            }
        }
        assert!(world.replayed() == world.state);
    }
}

#[test]
fn strangers_names_are_kept_nowhere_and_their_number_takes_no_room() {
    let mut world = world();
    let size = |world: &World| -> usize {
        let pieces = world.state.pieces();
        pieces
            .map(|piece| postcard::to_stdvec(&piece).unwrap().len())
            .sum()
    };
    let mut sizes = Vec::new();
    for number in 0..4 * HISTORY_MAX {
        let (name, credential) = (format!("stranger-{number}"), [number as u8; 40]);
        world.now_ms += 977 * number as u64;
        world
            .run(refuse(&name, &credential, "signature_invalid"))
            .unwrap();
        assert_eq!(world.last_claim()["user_id"], serde_json::Value::Null);
        sizes.push(size(&world));
    }
    let room = sizes[HISTORY_MAX - 1] + 256;
    assert!(sizes.iter().all(|size| *size <= room), "{sizes:?}");
    assert_eq!(
        (world.state.users.len(), world.state.subjects.len()),
        (1, 2)
    );
    let unnamed = "unnamed".parse().unwrap();
    assert!(through_pieces(&world.state).subject(&unnamed).is_none());
    assert!(world.replayed() == world.state);
}

/// What one more wrong face in this name is answered, and what its receipt would say.
fn face(world: &mut World, user: &str) -> Result<(Reply, serde_json::Value), Refusal> {
    let user: UserId = user.parse().unwrap();
    let id = world.reserve(&user)?;
    let before = world.log.len();
    let reply = world.conclude(&user, id, false)?;
    let mut claim = world.last_claim();
    for own in ["user_id", "verification_id", "receipt_id"] {
        assert!(claim[own].is_string(), "{own}");
        claim[own] = serde_json::Value::Null;
    }
    assert!(world.log[before..].iter().any(|one| one.owner.is_some()));
    Ok((reply, claim))
}

#[test]
fn a_face_in_a_stranger_s_name_is_answered_like_a_customer_s_up_to_the_lock() {
    let mut world = world();
    world.enrol(&"customer-1".parse().unwrap());
    for turn in 0..4 {
        let known = face(&mut world, "customer-1");
        assert_eq!(face(&mut world, "stranger"), known, "{turn}");
        assert_eq!(known.is_ok(), turn < 3);
        assert!(world.replayed() == world.state);
    }
    // The lock is over for both, and was no alert of a stranger's.
    assert_eq!(world.state.watch.alerts().count(), 1);
    world.now_ms += world.context.lockout_ms + 1;
    let known = face(&mut world, "customer-1");
    assert!(known.is_ok());
    assert_eq!(face(&mut world, "stranger"), known);
}

/// What is answered in this name and in a customer's, at once.
fn both(world: &mut World, mut act: impl FnMut(&mut World, &UserId) -> Told) -> Told {
    let known = act(world, &"customer-1".parse().unwrap());
    let strange = act(world, &"stranger".parse().unwrap());
    assert_eq!(known, strange);
    assert!(world.replayed() == world.state);
    assert!(through_pieces(&world.state) == world.state);
    known
}

/// Of a conclusion whether it locked and what was unusual; of a refusal its name.
type Told = Result<(bool, Vec<Signal>), Refusal>;

fn told(reply: Result<Reply, Refusal>) -> Told {
    reply.map(|reply| match reply {
        Reply::Verdict {
            locked_until_ms,
            risk,
            ..
        } => (locked_until_ms.is_some(), risk.signals),
        _ => panic!(),
    })
}

fn wrong(world: &mut World, user: &UserId) -> Told {
    let id = world.reserve(user)?;
    told(world.conclude(user, id, false))
}

fn enrolled() -> World {
    let mut world = world();
    world.enrol(&"customer-1".parse().unwrap());
    world
}

/// Under a lock as long as failures speak, and under a shorter one.
fn locks() -> impl Iterator<Item = World> {
    [30, 5].into_iter().map(|minutes| {
        let mut world = enrolled();
        world.context.lockout_ms = minutes * 60_000;
        world
    })
}

#[test]
fn of_tries_at_once_the_last_locks_in_both_names() {
    let mut world = enrolled();
    let mut ids = BTreeMap::new();
    let _ = both(&mut world, |world, user| {
        let all: Vec<_> = (0..3).map(|_| world.reserve(user).unwrap()).collect();
        ids.insert(user.clone(), all);
        world.reserve(user).map(|_| (false, Vec::new()))
    });
    for turn in 0..3 {
        let (locked, _) = both(&mut world, |world, user| {
            let id = ids.get_mut(user).unwrap().pop().unwrap();
            told(world.conclude(user, id, false))
        })
        .unwrap();
        assert_eq!(locked, turn == 2);
    }
    assert!(matches!(
        both(&mut world, wrong),
        Err(Refusal::Locked { .. })
    ));
}

#[test]
fn a_crash_with_tries_under_way_locks_both_names() {
    let cases = (1..=3).flat_map(|under_way| locks().map(move |world| (under_way, world)));
    for (under_way, mut world) in cases {
        let _ = both(&mut world, |world, user| {
            for _ in 0..under_way {
                world.reserve(user).unwrap();
            }
            Ok((false, Vec::new()))
        });
        world.run(Command::BeginTerm { term: 2 }).unwrap();
        for _ in under_way..3 {
            both(&mut world, wrong).unwrap();
        }
        assert!(matches!(
            both(&mut world, wrong),
            Err(Refusal::Locked { .. })
        ));
        world.now_ms += world.context.lockout_ms + 1;
        both(&mut world, wrong).unwrap();
    }
}

#[test]
fn after_a_restore_both_names_are_locked_and_whole_again() {
    for mut world in locks() {
        both(&mut world, wrong).unwrap();
        world.run(Command::Restore { entries: (1, 2) }).unwrap();
        assert!(matches!(
            both(&mut world, wrong),
            Err(Refusal::Locked { .. })
        ));
        let never: UserId = "never-tried".parse().unwrap();
        assert_eq!(wrong(&mut world, &never), both(&mut world, wrong));
        world.now_ms += world.context.lockout_ms + 1;
        for turn in 0..3 {
            assert_eq!(both(&mut world, wrong).unwrap().0, turn == 2);
        }
    }
}

#[test]
fn failures_speak_in_both_names_over_a_restart_and_a_restore_after_a_short_lock() {
    let term = |world: &mut World| {
        world.key[0] += 1;
        world.run(Command::BeginTerm { term: 2 }).unwrap();
    };
    let restore = |world: &mut World| {
        world.run(Command::Restore { entries: (1, 2) }).unwrap();
        term(world);
        world.now_ms += world.context.lockout_ms + 1;
        term(world);
    };
    let events: [&dyn Fn(&mut World); 2] = [&term, &restore];
    for event in events {
        let mut world = enrolled();
        world.context.lockout_ms = 5 * 60_000;
        (0..3).for_each(|_| drop(both(&mut world, wrong).unwrap()));
        world.now_ms += world.context.lockout_ms + 1;
        event(&mut world);
        let (_, signals) = both(&mut world, wrong).unwrap();
        assert!(signals.contains(&Signal::RepeatedFailures));
        // A month later nothing of it is kept, the salt neither.
        world.now_ms += 31 * 24 * 3_600_000;
        term(&mut world);
        assert!(world.state.kept == KeptBudgets::default());
        assert!(world.state.strangers == Default::default());
    }
}

#[test]
fn a_budget_used_up_under_a_stricter_policy_locks_both_names() {
    let mut world = enrolled();
    let _ = (0..2).map(|_| both(&mut world, wrong).unwrap()).last();
    world.context.max_failures = 2;
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert!(matches!(
        both(&mut world, wrong),
        Err(Refusal::Locked { .. })
    ));
    // A further term does not make the lock longer.
    world.now_ms += 60_000;
    world.run(Command::BeginTerm { term: 3 }).unwrap();
    world.now_ms += world.context.lockout_ms - 60_000;
    assert!(!both(&mut world, wrong).unwrap().0);
    assert!(both(&mut world, wrong).unwrap().0);
}

#[test]
fn failures_are_remembered_in_both_names_and_speak_for_half_an_hour() {
    for mut world in locks() {
        both(&mut world, wrong).unwrap();
        world.now_ms += 30 * 60_000 + 1;
        both(&mut world, wrong).unwrap();
        world.now_ms += 20 * 24 * 3_600_000;
        let (locked, signals) = both(&mut world, wrong).unwrap();
        assert!(locked, "two failures, a wait, a third");
        assert!(!signals.contains(&Signal::RepeatedFailures));
    }
    for mut world in locks() {
        let last = (0..3).map(|_| both(&mut world, wrong).unwrap()).last();
        assert!(last.unwrap().1.contains(&Signal::RepeatedFailures));
    }
}

#[test]
fn faces_and_voices_speak_apart_in_a_stranger_s_name() {
    let mut world = world();
    let user: UserId = "stranger".parse().unwrap();
    let mut last = Vec::new();
    for means in [Means::Face, Means::Voice, Means::Face] {
        let id = VerificationId::from_bytes(world.draw());
        let from = Whereabouts::default();
        let (user, of) = (user.clone(), user.clone());
        world
            .run(Command::ReserveAttempt {
                user,
                means,
                id,
                from,
            })
            .unwrap();
        last = told(world.conclude(&of, id, false)).unwrap().1;
    }
    assert!(!last.contains(&Signal::RepeatedFailures), "one of its kind");
}

#[test]
fn the_table_of_strangers_is_bounded_and_keeps_locks() {
    let mut world = world();
    let locked: UserId = "locked".parse().unwrap();
    (0..3).for_each(|_| drop(wrong(&mut world, &locked)));
    let salt = world.state.kept.salt.unwrap();
    let later = world.now_ms + 20 * 24 * 3_600_000;
    for number in world.state.kept.by_name.len()..16_384 {
        let mut name = [7; 32];
        name[..8].copy_from_slice(&number.to_be_bytes());
        let budget = KeptBudget {
            failures: 1,
            locked_until_ms: None,
            expires_ms: later + number as u64,
        };
        world.state.kept.keep(salt, name, budget);
    }
    for number in 0..5 {
        let user: UserId = format!("further-{number}").parse().unwrap();
        for turn in 0..3 {
            assert_eq!(wrong(&mut world, &user).unwrap().0, turn == 2, "{number}");
        }
        assert!(world.state.kept.by_name.len() <= 16_385);
    }
    assert!(matches!(
        wrong(&mut world, &locked),
        Err(Refusal::Locked { .. })
    ));
}

#[test]
fn an_attempt_in_a_stranger_s_name_is_recorded_in_golden_bytes() {
    let event = Event::StrangerTried {
        name: [3; 32],
        id: VerificationId::from_bytes([1; 16]),
        act: Act::Both,
    };
    let golden = [&[54][..], &[3; 32], &[1; 16], &[3]].concat();
    assert_eq!(postcard::to_stdvec(&event).unwrap(), golden);
}

#[test]
fn parallel_tries_crashes_and_coming_back_buy_a_stranger_nothing() {
    let mut world = world();
    let user: UserId = "stranger".parse().unwrap();
    let ids: Vec<_> = (0..3).map(|_| world.reserve(&user).unwrap()).collect();
    assert_eq!(world.reserve(&user), Err(Refusal::AttemptsInProgress));
    // One at which nothing was compared is given back.
    let release = Command::ReleaseAttempt {
        user: user.clone(),
        id: ids[0],
        worker_tier: None,
        reason: "no_face",
    };
    world.run(release).unwrap();
    world.conclude(&user, ids[1], true).unwrap();
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert_eq!(
        world.conclude(&user, ids[2], true),
        Err(Refusal::NotEnrolled)
    );
    assert!(wrong(&mut world, &user).unwrap().0);
    // Whoever becomes a customer takes over what was spent in their name.
    world.enrol(&user);
    assert!(matches!(world.reserve(&user), Err(Refusal::Locked { .. })));
    assert!(world.replayed() == world.state);
}

#[test]
fn a_match_in_a_stranger_s_name_is_none() {
    let mut world = world();
    let user: UserId = "stranger".parse().unwrap();
    let id = world.reserve(&user).unwrap();
    let Reply::Verdict { ending, .. } = world.conclude(&user, id, true).unwrap() else {
        panic!()
    };
    assert_eq!(ending, Ending::Failed);
    assert!(world.state.subject(&user).is_none() && world.state.faces_matched.is_empty());
}

/// Gives an attempt back, or ends it with a wrong face.
fn end(world: &mut World, user: &UserId, id: VerificationId, back: bool) {
    let release = Command::ReleaseAttempt {
        user: user.clone(),
        id,
        worker_tier: None,
        reason: "no_face",
    };
    match back {
        true => world.run(release).map(drop).unwrap(),
        false => world.conclude(user, id, false).map(drop).unwrap(),
    }
}

#[test]
fn attempts_of_before_a_customer_came_and_left_change_nothing_that_is_kept_of_them() {
    let user: UserId = "stranger".parse().unwrap();
    for back in [true, false] {
        // Used up: whoever enrols is locked, and so is the name after they left.
        let mut world = world();
        let held: Vec<_> = (0..3).map(|_| world.reserve(&user).unwrap()).collect();
        world.enrol(&user);
        let locked = world.reserve(&user);
        assert!(matches!(locked, Err(Refusal::Locked { .. })));
        world.erase_subject(&user).unwrap();
        let kept = world.state.kept.clone();
        for id in held {
            end(&mut world, &user, id, back);
            assert!(world.state.kept == kept);
            assert_eq!(world.reserve(&user), locked);
        }
        assert!(world.replayed() == world.state);
        // One of three, and one of the customer's own: both stay spent, and nothing more.
        let mut world = self::world();
        let held = world.reserve(&user).unwrap();
        world.enrol(&user);
        assert!(!wrong(&mut world, &user).unwrap().0);
        world.erase_subject(&user).unwrap();
        end(&mut world, &user, held, back);
        assert!(wrong(&mut world, &user).unwrap().0, "the third");
        assert!(world.replayed() == world.state);
    }
}
