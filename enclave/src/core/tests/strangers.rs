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
