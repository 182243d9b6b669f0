//! Names that are no customer's: what is recorded of them is as much as of a customer,
//! says nothing of them, and does not grow.

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
    world.now_ms += context().lockout_ms + 1;
    let known = face(&mut world, "customer-1");
    assert!(known.is_ok());
    assert_eq!(face(&mut world, "stranger"), known);
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
    let (reply, _) = face(&mut world, "stranger").unwrap();
    let Reply::Verdict {
        locked_until_ms, ..
    } = reply
    else {
        panic!()
    };
    assert!(locked_until_ms.is_some());
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
