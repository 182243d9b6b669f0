//! Sessions: opened by a login, ended by time, by number and by whoever says so.

use redoubt_shared::{ErasureId, SessionId};

use super::*;

pub(super) const HOUR_MS: u64 = 3_600_000;

/// A session as the shell would draw it.
pub(super) fn session(n: u8) -> OpenSession {
    OpenSession {
        id: SessionId::from_bytes([n; 16]),
        hash: [n; 32],
        client: [0xc1; 32],
        idle_ms: 300_000,
        absolute_ms: HOUR_MS,
    }
}

pub(super) fn login(session: OpenSession) -> Command {
    Command::ConcludeLogin {
        user: user(),
        credential_id: b"credential".to_vec(),
        sign_count: 0,
        backup_state: false,
        user_verified: true,
        session: Box::new(session),
    }
}

fn open(world: &mut World, n: u8) -> Session {
    match world.run(login(session(n))).unwrap() {
        Reply::Session { session, .. } => *session,
        other => panic!("{other:?}"),
    }
}

fn end(n: u8) -> Command {
    Command::EndSession { hash: [n; 32] }
}

#[test]
fn a_login_opens_one_session_in_its_own_entry() {
    let mut world = World::new();
    with_passkey(&mut world);
    let opened = open(&mut world, 1);
    let (handle, subject) = world.state.subject(&user()).unwrap();
    assert_eq!(opened.device, subject.device_id(b"credential"));
    assert_eq!((opened.subject, opened.client), (handle, [0xc1; 32]));
    assert_eq!(opened.expires_ms, world.now_ms + HOUR_MS);
    assert_eq!(world.state.sessions.len(), 1);
    let kept = world.state.sessions.get(&[1; 32]).unwrap();
    assert_eq!(**kept, opened);
    let claim = world.last_claim();
    assert_eq!(claim["verdict"], "accepted");
    assert_eq!(claim["session_id"], opened.id.to_string());
    assert_eq!(claim["device_id"], opened.device.to_string());
    assert_eq!(claim["acr"], "urn:redoubt:acr:aal2");
    assert!(world.replayed() == world.state);
    // A login that fails opens none.
    let facts = world.facts();
    let refused = Command::ConcludeLogin {
        user: user(),
        credential_id: b"another".to_vec(),
        sign_count: 0,
        backup_state: false,
        user_verified: true,
        session: Box::new(session(2)),
    };
    assert!(decide(&world.state, &context(), refused, &facts).is_err());
}

#[test]
fn a_session_ends_by_its_token() {
    let mut world = World::new();
    with_passkey(&mut world);
    let opened = open(&mut world, 1);
    assert_eq!(world.run(end(2)), Err(Refusal::UnknownSession));
    assert_eq!(world.run(end(1)).unwrap(), Reply::Ended(1));
    let claim = world.last_claim();
    assert_eq!(
        (&claim["type"], &claim["scope"]),
        (&"session_end".into(), &"token".into())
    );
    assert_eq!(claim["sessions"][0], opened.id.to_string());
    assert!(world.state.sessions.is_empty());
    assert_eq!(world.run(end(1)), Err(Refusal::UnknownSession), "again");
    assert!(world.replayed() == world.state);
}

#[test]
fn sessions_end_by_device_by_user_and_by_tenant() {
    let mut world = World::new();
    with_passkey(&mut world);
    let device = open(&mut world, 1).device;
    open(&mut world, 2);
    let by = |device| Command::EndSessions {
        user: user(),
        device,
    };
    let other = redoubt_shared::DeviceId::from_bytes([9; 16]);
    assert_eq!(world.run(by(Some(other))), Err(Refusal::UnknownDevice));
    assert_eq!(world.run(by(Some(device))).unwrap(), Reply::Ended(2));
    assert_eq!(world.last_claim()["scope"], "device");
    open(&mut world, 3);
    assert_eq!(world.run(by(None)).unwrap(), Reply::Ended(1));
    assert_eq!(world.last_claim()["scope"], "user");
    assert_eq!(
        world.run(by(None)).unwrap(),
        Reply::Ended(0),
        "still a decision"
    );
    open(&mut world, 4);
    assert_eq!(world.run(Command::EndAllSessions).unwrap(), Reply::Ended(1));
    let claim = world.last_claim();
    assert_eq!(
        (&claim["scope"], &claim["count"]),
        (&"tenant".into(), &1.into())
    );
    assert_eq!(claim["user_id"], serde_json::Value::Null);
    assert!(world.state.sessions.is_empty());
    let stranger = Command::EndSessions {
        user: "nobody".parse().unwrap(),
        device: None,
    };
    assert_eq!(world.run(stranger), Err(Refusal::UnknownSubject));
    assert!(world.replayed() == world.state);
}

#[test]
fn what_is_over_leaves_the_state_with_the_next_login_and_with_a_term() {
    let mut world = World::new();
    with_passkey(&mut world);
    open(&mut world, 1);
    world.now_ms += HOUR_MS - 1;
    open(&mut world, 2);
    assert_eq!(world.state.sessions.len(), 2);
    world.now_ms += 1;
    assert_eq!(world.run(end(1)), Err(Refusal::UnknownSession), "over");
    open(&mut world, 3);
    let held = |world: &World, n: u8| world.state.sessions.get(&[n; 32]).is_some();
    assert!(!held(&world, 1) && held(&world, 2) && held(&world, 3));
    world.now_ms += HOUR_MS;
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert!(
        world.state.sessions == Sessions::default(),
        "and no index of them"
    );
    assert!(world.replayed() == world.state);
}

#[test]
fn the_oldest_session_gives_way_to_one_too_many() {
    let mut world = World::new();
    with_passkey(&mut world);
    let most = SESSIONS_MAX as u8;
    for n in 1..=most + 3 {
        world.now_ms += 1;
        open(&mut world, n);
    }
    assert_eq!(world.state.sessions.len(), SESSIONS_MAX);
    for n in 1..=most + 3 {
        let held = world.state.sessions.get(&[n; 32]).is_some();
        assert_eq!(held, n > 3, "{n}");
    }
    assert!(world.replayed() == world.state);
}

#[test]
fn a_term_ends_no_session_and_a_restore_ends_all() {
    let mut world = World::new();
    with_passkey(&mut world);
    open(&mut world, 1);
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert_eq!(world.state.sessions.len(), 1);
    let entries = (5, 9);
    world.run(Command::Restore { entries }).unwrap();
    assert!(
        world.state.sessions.is_empty(),
        "an end may be among what was lost"
    );
}

#[test]
fn a_face_that_matched_is_known_until_it_is_erased() {
    let mut world = World::new();
    with_passkey(&mut world);
    world.enrol(&user());
    let (handle, _) = world.state.subject(&user()).unwrap();
    let id = world.reserve(&user()).unwrap();
    world.conclude(&user(), id, false).unwrap();
    assert!(world.state.faces_matched.is_empty(), "it did not match");
    let id = world.reserve(&user()).unwrap();
    world.conclude(&user(), id, true).unwrap();
    assert_eq!(world.state.faces_matched.get(&handle), Some(&world.now_ms));
    let id = ErasureId::from_bytes([1; 16]);
    let user = user();
    world
        .run(Command::EraseModality {
            user,
            modality: Modality::Face,
            id,
        })
        .unwrap();
    assert!(world.state.faces_matched.is_empty());
    assert!(world.replayed() == world.state);
}
