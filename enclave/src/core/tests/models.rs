//! Models that become compromised, and their credentials.

use std::collections::BTreeSet;

use super::approvals::{Asking, give_by};
use super::*;
use crate::passkeys::metadata::{Condensed, Entry, Metadata, Seen, Status, StatusReport};
use crate::passkeys::{Algorithm, AttestationFormat, CredentialRecord};

const BROKEN: Aaguid = [7; 16];
const SOUND: Aaguid = [8; 16];

fn report(status: Status, day: Option<i32>) -> StatusReport {
    StatusReport {
        status,
        effective: day.map(|day| time::Date::from_ordinal_date(1970, day as u16).unwrap()),
    }
}

/// A BLOB with one report of each model.
fn blob(number: u64, broken: StatusReport) -> Command {
    blob_of([number as u8; 32], number, broken)
}

fn blob_of(digest: [u8; 32], number: u64, broken: StatusReport) -> Command {
    let entry = |aaguid, report| Entry {
        aaguid: Some(aaguid),
        aaid: None,
        key_identifiers: Vec::new(),
        roots: Vec::new(),
        unreadable_roots: 0,
        reports: vec![report],
    };
    let metadata = Metadata {
        seen: Seen { number, digest },
        next_update: None,
        overdue: false,
        entries: vec![
            entry(BROKEN, broken),
            entry(SOUND, report(Status::Certification, None)),
        ],
    };
    Command::TakeMetadata {
        metadata: Box::new(Condensed::of(&metadata).unwrap()),
    }
}

/// The largest that is kept: every model compromised, one root.
fn largest(number: u64, root_bytes: usize) -> Option<Condensed> {
    let entries = (1..=8192_u16).map(|model| Entry {
        aaguid: Some([model.to_be_bytes(); 8].concat().try_into().unwrap()),
        aaid: None,
        key_identifiers: Vec::new(),
        roots: match model {
            1 => vec![vec![7; root_bytes]],
            _ => Vec::new(),
        },
        unreadable_roots: 0,
        reports: vec![report(Status::Revoked, None)],
    });
    Condensed::of(&Metadata {
        seen: Seen {
            number,
            digest: [1; 32],
        },
        next_update: None,
        overdue: false,
        entries: entries.collect(),
    })
}

fn register(world: &mut World, number: usize, aaguid: Aaguid) -> Result<Reply, Refusal> {
    let record = CredentialRecord {
        id: format!("credential-{number}").into_bytes(),
        public_key: vec![1; 77],
        algorithm: Algorithm::Es256,
        sign_count: 0,
        uv_initialized: true,
        transports: Vec::new(),
        backup_eligible: false,
        backup_state: false,
        attestation_format: AttestationFormat::None,
        attestation_trusted: false,
        aaguid,
        created_ms: 1,
    };
    world.run(Command::RegisterPasskey {
        user: format!("customer-{number}").parse().unwrap(),
        user_handle: [9; 16],
        record: Box::new(record),
    })
}

fn login(world: &mut World, number: usize) -> bool {
    let reply = world.run(Command::ConcludeLogin {
        user: format!("customer-{number}").parse().unwrap(),
        credential_id: format!("credential-{number}").into_bytes(),
        sign_count: 0,
        backup_state: false,
        user_verified: true,
        session: Box::new(session(number as u8)),
    });
    match reply.unwrap() {
        Reply::Session { .. } => true,
        Reply::Refused => {
            assert_eq!(world.last_claim()["reason"], "device_suspended");
            false
        }
        other => panic!("{other:?}"),
    }
}

fn resume(world: &mut World, number: usize) -> Result<Reply, Refusal> {
    let user: UserId = format!("customer-{number}").parse().unwrap();
    let (_, subject) = world.state.subject(&user).unwrap();
    let device = subject.device_id(format!("credential-{number}").as_bytes());
    world.run(Command::SetDeviceState(Box::new(SetDeviceState {
        user,
        device,
        next: DeviceState::Active,
        reason: "checked".into(),
        source: "bank",
    })))
}

/// As the service does it; stops after some steps.
fn act(world: &mut World, steps: usize) {
    let models: Vec<Aaguid> = world.state.models.acting.keys().copied().collect();
    let mut behind = None;
    for _ in 0..steps {
        let step = world.state.to_suspend(behind);
        assert!(step.found.len() <= 64, "a step is bounded");
        for device in step.found {
            let command = Command::SetDeviceState(Box::new(device));
            world.run(command).unwrap();
        }
        behind = step.next;
        if behind.is_none() {
            world.run(Command::ConcludeModels { models }).unwrap();
            return;
        }
    }
}

fn suspended(world: &World) -> usize {
    let devices = world.state.devices.values();
    devices
        .filter(|device| device.state == DeviceState::Suspended)
        .count()
}

#[test]
fn no_credential_of_a_broken_model_is_accepted_from_the_event_on() {
    let mut world = World::new();
    world
        .run(blob(1, report(Status::Certification, None)))
        .unwrap();
    for number in 0..200 {
        let model = if number % 4 == 0 { SOUND } else { BROKEN };
        register(&mut world, number, model).unwrap();
    }
    assert!(login(&mut world, 1));
    world.run(blob(2, report(Status::Revoked, None))).unwrap();
    let told = world.last_claim();
    assert_eq!(told["compromised"][0]["status"], "REVOKED");
    assert_eq!(suspended(&world), 0, "records follow");
    for number in 0..200 {
        let expected = number % 4 == 0;
        assert_eq!(login(&mut world, number), expected, "{number}");
    }
    let refused = register(&mut world, 999, BROKEN);
    assert_eq!(refused, Err(Refusal::ModelCompromised));

    // A crash in the middle: the state of the ledger goes on where it stands.
    act(&mut world, 1);
    assert!(suspended(&world) > 0 && suspended(&world) < 150);
    world.state = world.replayed();
    act(&mut world, 1);
    world.state = through_pieces(&world.state);
    act(&mut world, usize::MAX);
    assert_eq!(suspended(&world), 150);
    let told = world.last_claim();
    assert_eq!(
        (&told["type"], &told["credentials"]),
        (&"models_suspended".into(), &150.into())
    );
    assert!(world.state.models.acting.is_empty());
    assert_eq!(world.state.models.suspended, 150);
    assert!(!login(&mut world, 1));
    assert!(login(&mut world, 0));

    // Each customer's own record says so, once.
    let claims = world
        .log
        .iter()
        .filter_map(|recorded| match &recorded.content {
            Content::Claims { text } => serde_json::from_str::<serde_json::Value>(text).ok(),
            Content::State(_) => None,
        });
    let told: Vec<String> = claims
        .filter(|claim| claim["type"] == "device_state")
        .inspect(|claim| {
            let reason = "REVOKED is reported of model 07070707-0707-0707-0707-070707070707";
            assert_eq!(claim["reason"], reason);
            assert_eq!(claim["source"], "metadata");
        })
        .map(|claim| claim["user_id"].to_string())
        .collect();
    assert_eq!(told.len(), 150);
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), 150);
}

#[test]
fn a_model_that_is_cleared_may_register_and_what_was_suspended_stays_so() {
    let mut world = World::new();
    register(&mut world, 1, BROKEN).unwrap();
    world.run(blob(1, report(Status::Revoked, None))).unwrap();
    assert_eq!(resume(&mut world, 1), Err(Refusal::DeviceBarred));
    act(&mut world, usize::MAX);
    assert_eq!(resume(&mut world, 1), Err(Refusal::DeviceBarred));
    let reply = world
        .run(blob(2, report(Status::Certification, None)))
        .unwrap();
    let Reply::Models(changed) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (changed.cleared, changed.compromised),
        (vec![BROKEN], vec![])
    );
    assert!(!login(&mut world, 1));
    register(&mut world, 2, BROKEN).unwrap();
    assert!(login(&mut world, 2));
    // The bank may take it up again now.
    resume(&mut world, 1).unwrap();
    assert!(login(&mut world, 1));
    // Broken again: the new one too.
    world
        .run(blob(3, report(Status::UserKeyRemoteCompromise, None)))
        .unwrap();
    assert!(!login(&mut world, 2));
    act(&mut world, usize::MAX);
    assert_eq!(suspended(&world), 2);
}

#[test]
fn sessions_of_a_broken_model_end_with_its_devices_in_one_entry() {
    let mut world = World::new();
    register(&mut world, 1, BROKEN).unwrap();
    register(&mut world, 2, SOUND).unwrap();
    assert!(login(&mut world, 1) && login(&mut world, 2));
    world.run(blob(1, report(Status::Revoked, None))).unwrap();
    // Its own state has not followed yet, and counts already.
    let session = world.state.sessions.get(&[1; 32]).unwrap();
    let subject = &world.state.subjects[&session.subject];
    let standing = world.state.standing(subject, session.device);
    assert_eq!(standing, DeviceState::Suspended);
    let step = world.state.to_suspend(None);
    let asked = step.found.into_iter().next().unwrap();
    let reply = world.run(Command::SetDeviceState(Box::new(asked))).unwrap();
    assert_eq!(reply, Reply::Ended(1));
    assert_eq!(
        world.last_claim()["sessions_ended"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert!(world.state.sessions.get(&[1; 32]).is_none());
    assert!(world.state.sessions.get(&[2; 32]).is_some());
}

#[test]
fn the_number_never_goes_back_whatever_was_compared_before() {
    let mut world = World::new();
    world.run(blob(5, report(Status::Revoked, None))).unwrap();
    let older = world.run(blob(4, report(Status::Certification, None)));
    assert_eq!(older, Err(Refusal::MetadataRolledBack));
    let other = blob_of([6; 32], 5, report(Status::Certification, None));
    assert_eq!(world.run(other), Err(Refusal::MetadataForked));
    let events = world.log.len();
    world.run(blob(5, report(Status::Revoked, None))).unwrap();
    assert_eq!(world.log.len(), events, "the same again records nothing");
    assert_eq!(
        world.state.models.metadata.as_ref().unwrap().seen().number,
        5
    );
}

#[test]
fn a_report_that_comes_into_force_later_is_acted_on_then() {
    let mut world = World::new();
    register(&mut world, 1, BROKEN).unwrap();
    // From 1970-01-03 on; now it is the first.
    world
        .run(blob(1, report(Status::Revoked, Some(3))))
        .unwrap();
    world.run(Command::JudgeModels).unwrap();
    assert!(login(&mut world, 1));
    register(&mut world, 2, BROKEN).unwrap();
    world.now_ms = 3 * 86_400_000;
    assert_eq!(
        register(&mut world, 3, BROKEN),
        Err(Refusal::ModelCompromised)
    );
    world.run(Command::JudgeModels).unwrap();
    assert!(!login(&mut world, 1));
    act(&mut world, usize::MAX);
    assert_eq!(suspended(&world), 2);
    let events = world.log.len();
    world.run(Command::JudgeModels).unwrap();
    assert_eq!(world.log.len(), events, "nothing new, nothing recorded");
}

#[test]
fn who_registers_between_two_looks_is_no_gap() {
    let mut world = World::new();
    let broken = |from| report(Status::Revoked, Some(from));
    world.now_ms = 2 * 86_400_000;
    world.run(blob(1, broken(1))).unwrap();
    act(&mut world, usize::MAX);
    // A later BLOB clears it from tomorrow on; nobody has looked since that came.
    let entry = Entry {
        aaguid: Some(BROKEN),
        aaid: None,
        key_identifiers: Vec::new(),
        roots: Vec::new(),
        unreadable_roots: 0,
        reports: vec![broken(1), report(Status::Certification, Some(4))],
    };
    let metadata = Metadata {
        seen: Seen {
            number: 2,
            digest: [2; 32],
        },
        next_update: None,
        overdue: false,
        entries: vec![entry],
    };
    let metadata = Box::new(Condensed::of(&metadata).unwrap());
    world.run(Command::TakeMetadata { metadata }).unwrap();
    world.now_ms = 4 * 86_400_000;
    let early = register(&mut world, 1, BROKEN);
    assert_eq!(early, Err(Refusal::ModelCompromised));
    world.run(Command::JudgeModels).unwrap();
    register(&mut world, 1, BROKEN).unwrap();
    world.run(blob(3, broken(4))).unwrap();
    assert!(!login(&mut world, 1));
}

/// The one answer that was given, of two that are asked for, by a device whose model
/// is broken.
#[test]
fn what_a_broken_model_answered_counts_no_more_from_the_event_on() {
    let mut world = World::new();
    register(&mut world, 1, BROKEN).unwrap();
    register(&mut world, 2, SOUND).unwrap();
    let both = ["customer-1", "customer-2"];
    world.run(Asking::of(1, &both, 2).command()).unwrap();
    world.run(Asking::of(2, &both, 2).command()).unwrap();
    let given = world.run(give_by(1, "customer-1", b"credential-1"));
    assert_eq!(given, Ok(Reply::Granted { complete: false }));
    let given = world.run(give_by(2, "customer-2", b"credential-2"));
    assert_eq!(given, Ok(Reply::Granted { complete: false }));
    world.run(blob(1, report(Status::Revoked, None))).unwrap();
    assert_eq!(suspended(&world), 0, "no device's own state has followed");
    let second = world.run(give_by(1, "customer-2", b"credential-2"));
    assert_eq!(second, Ok(Reply::Granted { complete: false }));
    let again = world.run(give_by(1, "customer-1", b"credential-1"));
    assert_eq!(again, Ok(Reply::Refused));
    let late = world.run(give_by(2, "customer-1", b"credential-1"));
    assert_eq!(late, Ok(Reply::Refused));
    let sound = &world.approval(2).grants;
    assert_eq!(sound.len(), 1, "what a sound model answered counts on");
    act(&mut world, usize::MAX);
    assert!(world.replayed() == world.state);
}

/// A snapshot's chunk has room for half a blob of the store.
#[test]
fn the_largest_metadata_that_is_kept_fits_the_pieces_of_a_snapshot() {
    let most = redoubt_shared::store::BLOB_MAX / 2 - 64;
    let fits = (0..600 * 1024).rev().step_by(1024);
    let mut fits = fits.filter_map(|root_bytes| largest(1, root_bytes));
    let metadata = fits.next().unwrap();
    assert!(metadata.stored_bytes() > 498 * 1024);
    let mut world = World::new();
    let metadata = Box::new(metadata);
    world.run(Command::TakeMetadata { metadata }).unwrap();
    assert_eq!(world.state.models.acting.len(), 8192);
    for piece in world.state.pieces() {
        assert!(postcard::to_stdvec(&piece).unwrap().len() <= most);
    }
    assert!(largest(2, 600 * 1024).is_none());
}

#[test]
fn an_erased_customers_suspension_goes_with_them() {
    let mut world = World::new();
    register(&mut world, 1, BROKEN).unwrap();
    world.run(blob(1, report(Status::Revoked, None))).unwrap();
    act(&mut world, usize::MAX);
    let id = redoubt_shared::ErasureId::from_bytes([1; 16]);
    let user = "customer-1".parse().unwrap();
    let salt = [1; 32];
    world.run(Command::EraseSubject { user, id, salt }).unwrap();
    assert_eq!(suspended(&world), 0);
}

#[test]
fn what_is_no_model_suspends_nobody() {
    let mut world = World::new();
    register(&mut world, 1, [0; 16]).unwrap();
    let zeros = Metadata {
        seen: Seen {
            number: 1,
            digest: [1; 32],
        },
        next_update: None,
        overdue: false,
        entries: vec![Entry {
            aaguid: Some([0; 16]),
            aaid: None,
            key_identifiers: Vec::new(),
            roots: Vec::new(),
            unreadable_roots: 0,
            reports: vec![report(Status::Revoked, None)],
        }],
    };
    let metadata = Box::new(Condensed::of(&zeros).unwrap());
    world.run(Command::TakeMetadata { metadata }).unwrap();
    assert!(login(&mut world, 1));
}
