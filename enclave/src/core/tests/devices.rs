//! Devices: what may not be used is used for nothing, and what is known of one
//! goes with its owner.

use redoubt_shared::DeviceId;

use super::sessions::{login, session};
use super::*;

fn device(world: &World) -> DeviceId {
    let (_, subject) = world.state.subject(&user()).unwrap();
    subject.device_id(b"credential")
}

fn put(device: DeviceId, next: DeviceState) -> Command {
    Command::SetDeviceState(Box::new(SetDeviceState {
        user: user(),
        device,
        next,
        reason: "it was stolen".into(),
        source: "bank",
    }))
}

fn register_another(world: &mut World) {
    let record = crate::passkeys::CredentialRecord {
        id: b"another".to_vec(),
        public_key: vec![1],
        algorithm: crate::passkeys::Algorithm::DEFAULT[0],
        sign_count: 0,
        uv_initialized: true,
        transports: vec![],
        backup_eligible: true,
        backup_state: true,
        attestation_format: crate::passkeys::AttestationFormat::None,
        attestation_trusted: false,
        aaguid: [0; 16],
        created_ms: world.now_ms,
    };
    world
        .run(Command::RegisterPasskey {
            user: user(),
            user_handle: [9; 16],
            record: Box::new(record),
        })
        .unwrap();
}

#[test]
fn a_device_id_is_no_credential_id_and_no_other_tenants() {
    let mut world = World::new();
    with_passkey(&mut world);
    let id = device(&world);
    let claim = world.last_claim();
    assert_eq!(claim["device_id"], id.to_string());
    let other = SubjectKey::new([8; 32]).device_id(b"credential");
    assert_ne!(id, other, "the same credential under another key");
    assert_ne!(id, SubjectKey::new([7; 32]).device_id(b"credentiam"));
}

#[test]
fn what_is_not_active_neither_logs_in_nor_approves_and_has_no_session() {
    for next in [
        DeviceState::Suspended,
        DeviceState::Revoked,
        DeviceState::Compromised,
    ] {
        let mut world = World::new();
        with_passkey(&mut world);
        world.run(approval(1, None, 2_000_000)).unwrap();
        world.run(login(session(1))).unwrap();
        let id = device(&world);
        assert_eq!(world.run(put(id, next)).unwrap(), Reply::Ended(1));
        assert!(world.state.sessions.is_empty(), "{next:?}");
        let claim = world.last_claim();
        assert_eq!(claim["type"], "device_state");
        assert_eq!(
            (&claim["state"], &claim["reason"]),
            (&next.name().into(), &"it was stolen".into())
        );
        assert_eq!(claim["sessions_ended"].as_array().unwrap().len(), 1);
        assert_eq!(world.run(login(session(2))).unwrap(), Reply::Refused);
        assert_eq!(
            world.last_claim()["reason"],
            format!("device_{}", next.name())
        );
        assert!(world.state.sessions.is_empty());
        assert_eq!(world.run(give(1, b"credential")).unwrap(), Reply::Refused);
        let claim = world.last_claim();
        assert_eq!(claim["decision"], "refused");
        assert_eq!(claim["reason"], format!("device_{}", next.name()));
        assert!(world.replayed() == world.state);
    }
}

#[test]
fn a_suspended_device_comes_back_and_a_closed_one_never() {
    use DeviceState::*;
    let mut world = World::new();
    with_passkey(&mut world);
    let id = device(&world);
    world.run(put(id, Suspended)).unwrap();
    world.run(put(id, Suspended)).unwrap();
    world.run(put(id, Active)).unwrap();
    assert!(matches!(
        world.run(login(session(1))).unwrap(),
        Reply::Session { .. }
    ));
    world.run(put(id, Compromised)).unwrap();
    for back in [Active, Suspended] {
        assert_eq!(world.run(put(id, back)), Err(Refusal::DeviceClosed));
    }
    world.run(put(id, Revoked)).unwrap();
    for back in [Active, Suspended, Compromised] {
        assert_eq!(world.run(put(id, back)), Err(Refusal::DeviceClosed));
    }
    world.run(put(id, Revoked)).unwrap();
    let nobodys = DeviceId::from_bytes([3; 16]);
    assert_eq!(
        world.run(put(nobodys, Suspended)),
        Err(Refusal::UnknownDevice)
    );
}

#[test]
fn a_compromised_device_asks_for_a_new_passkey_until_there_is_one() {
    let mut world = World::new();
    with_passkey(&mut world);
    let must = |world: &World| {
        let (_, subject) = world.state.subject(&user()).unwrap();
        world.state.must_enrol_again(subject)
    };
    assert!(!must(&world));
    let id = device(&world);
    world.run(put(id, DeviceState::Suspended)).unwrap();
    assert!(!must(&world));
    world.run(put(id, DeviceState::Compromised)).unwrap();
    assert!(must(&world));
    world.now_ms += 1;
    register_another(&mut world);
    assert!(!must(&world));
    assert_eq!(world.run(login(session(1))).unwrap(), Reply::Refused);
    // Saying it again asks for no other one.
    world.now_ms += 1;
    world.run(put(id, DeviceState::Compromised)).unwrap();
    assert!(!must(&world));
    assert!(world.replayed() == world.state);
}

#[test]
fn descriptions_failures_and_uses_are_kept_and_erased() {
    let mut world = World::new();
    with_passkey(&mut world);
    let id = device(&world);
    let describe = |name: Option<&str>, os: Option<&str>| {
        Command::DescribeDevice(Box::new(DescribeDevice {
            user: user(),
            device: id,
            name: name.map(str::to_owned),
            kind: None,
            os: os.map(str::to_owned),
        }))
    };
    world.run(describe(Some("my telephone"), None)).unwrap();
    world.run(describe(None, Some("iOS 19"))).unwrap();
    let refuse = |reason| Command::RefuseLogin {
        user: user(),
        credential_id: b"credential".to_vec(),
        reason,
    };
    world.run(refuse("signature_invalid")).unwrap();
    world.run(refuse("sign_count_not_increased")).unwrap();
    let known = world.state.device(id);
    assert_eq!(
        (known.name.as_str(), known.os.as_str()),
        ("my telephone", "iOS 19")
    );
    assert_eq!((known.failures, known.counter_anomalies), (2, 1));
    world.run(login(session(1))).unwrap();
    let known = world.state.device(id);
    assert_eq!((known.failures, known.counter_anomalies), (0, 1));
    assert_eq!(known.last_used_ms, Some(world.now_ms));
    let before = postcard::to_stdvec(&world.state.pieces().collect::<Vec<_>>()).unwrap();
    let traces: [&[u8]; 4] = [b"my telephone", b"iOS 19", id.as_bytes(), &[1; 32]];
    let holds = |all: &[u8], trace: &[u8]| all.windows(trace.len()).any(|part| part == trace);
    assert!(traces.iter().all(|trace| holds(&before, trace)));
    let erase = Command::EraseSubject {
        user: user(),
        id: redoubt_shared::ErasureId::from_bytes([5; 16]),
        salt: [6; 32],
    };
    world.run(erase).unwrap();
    let after = postcard::to_stdvec(&world.state.pieces().collect::<Vec<_>>()).unwrap();
    assert!(traces.iter().all(|trace| !holds(&after, trace)));
    assert!(world.state.devices.is_empty() && world.state.sessions == Sessions::default());
    assert!(world.replayed() == world.state);
}

#[test]
fn passkeys_out_of_use_make_room_for_new_ones() {
    let mut world = World::new();
    let register = |world: &mut World, n: u32| {
        let record = crate::passkeys::CredentialRecord {
            id: n.to_be_bytes().to_vec(),
            public_key: vec![1],
            algorithm: crate::passkeys::Algorithm::DEFAULT[0],
            sign_count: 0,
            uv_initialized: true,
            transports: vec![],
            backup_eligible: true,
            backup_state: true,
            attestation_format: crate::passkeys::AttestationFormat::None,
            attestation_trusted: false,
            aaguid: [0; 16],
            created_ms: 1,
        };
        world.run(Command::RegisterPasskey {
            user: user(),
            user_handle: [9; 16],
            record: Box::new(record),
        })
    };
    for n in 0..32 {
        register(&mut world, n).unwrap();
    }
    assert_eq!(register(&mut world, 32), Err(Refusal::TooManyDevices));
    let (_, subject) = world.state.subject(&user()).unwrap();
    let id = subject.device_id(&5u32.to_be_bytes());
    world.run(put(id, DeviceState::Suspended)).unwrap();
    assert_eq!(
        register(&mut world, 32),
        Err(Refusal::TooManyDevices),
        "it may come back"
    );
    world.run(put(id, DeviceState::Revoked)).unwrap();
    assert_eq!(register(&mut world, 5), Err(Refusal::CredentialTaken));
    register(&mut world, 32).unwrap();
    assert_eq!(register(&mut world, 33), Err(Refusal::TooManyDevices));
}

#[test]
fn trust_is_the_sum_of_its_reasons() {
    const DAY: u64 = 24 * 3_600_000;
    let record = |backup_eligible, attestation_trusted| crate::passkeys::CredentialRecord {
        id: vec![1],
        public_key: vec![1],
        algorithm: crate::passkeys::Algorithm::DEFAULT[0],
        sign_count: 0,
        uv_initialized: true,
        transports: vec![],
        backup_eligible,
        backup_state: backup_eligible,
        attestation_format: crate::passkeys::AttestationFormat::Packed,
        attestation_trusted,
        aaguid: [0; 16],
        created_ms: 0,
    };
    let used = |at_ms| Device {
        last_used_ms: Some(at_ms),
        ..Device::default()
    };
    let failing = |failures, counter_anomalies| Device {
        failures,
        counter_anomalies,
        ..used(40 * DAY)
    };
    for (record, device, now_ms, score, reasons) in [
        (
            record(false, true),
            used(40 * DAY),
            40 * DAY,
            0.9,
            "attested_hardware known_for_30_days",
        ),
        (
            record(false, false),
            used(40 * DAY),
            40 * DAY,
            0.7,
            "device_bound known_for_30_days",
        ),
        (
            record(true, true),
            used(40 * DAY),
            40 * DAY,
            0.5,
            "synced known_for_30_days",
        ),
        (
            record(true, false),
            Device::default(),
            DAY - 1,
            0.3,
            "synced new",
        ),
        (
            record(true, false),
            Device::default(),
            180 * DAY,
            0.4,
            "synced known_for_30_days unused_for_180_days",
        ),
        (
            record(true, false),
            failing(1, 0),
            41 * DAY,
            0.4,
            "synced known_for_30_days failure",
        ),
        (
            record(true, false),
            failing(2, 0),
            41 * DAY,
            0.3,
            "synced known_for_30_days failures",
        ),
        (
            record(true, false),
            failing(9, 2),
            41 * DAY,
            0.0,
            "synced known_for_30_days failures counter_anomaly",
        ),
    ] {
        let found = trust(&record, &device, now_ms);
        let named: Vec<_> = found.reasons.iter().map(|(reason, _)| *reason).collect();
        assert_eq!(named.join(" "), reasons);
        assert_eq!(found.score, score, "{reasons}");
    }
    let revoked = Device {
        state: DeviceState::Revoked,
        ..used(40 * DAY)
    };
    assert_eq!(trust(&record(false, true), &revoked, 40 * DAY).score, 0.0);
}

#[test]
fn a_counter_that_policy_only_reports_is_remembered_of_its_device() {
    let mut world = World::new();
    with_passkey(&mut world);
    let signed = |count| {
        let mut command = login(session(1));
        if let Command::ConcludeLogin { sign_count, .. } = &mut command {
            *sign_count = count;
        }
        command
    };
    world.run(signed(5)).unwrap();
    assert_eq!(world.run(signed(5)), Ok(Reply::Refused));
    let reports = TermContext {
        counters_are_reported: true,
        ..context()
    };
    let known = |world: &World| world.state.device(device(world));
    assert_eq!(
        (known(&world).counter_anomalies, known(&world).failures),
        (1, 1)
    );
    let reply = world.run_under(&reports, signed(5)).unwrap();
    assert!(matches!(reply, Reply::Session { .. }), "{reply:?}");
    assert_eq!(world.last_claim()["sign_count_grew"], false);
    assert_eq!(
        (known(&world).counter_anomalies, known(&world).failures),
        (2, 0)
    );
    world.run_under(&reports, signed(6)).unwrap();
    assert_eq!(
        world.last_claim()["sign_count_grew"],
        serde_json::Value::Null
    );
    assert_eq!(known(&world).counter_anomalies, 2);
    // Nor is an approval silent about it.
    let asked = approvals::Asking::of(1, &["customer-1"], 1);
    world.run_under(&reports, asked.command()).unwrap();
    let given = world.run_under(&reports, approvals::give(1, b"credential"));
    assert_eq!(given, Ok(Reply::Granted { complete: true }));
    let claim = world.last_claim();
    assert_eq!(claim["sign_count_grew"], false);
    assert_eq!(claim["alert"], "sign_count_not_increased");
    let alert = world.state.watch.alerts().next().unwrap();
    assert_eq!(
        alert.receipt.to_string(),
        claim["receipt_id"].as_str().unwrap()
    );
    assert_eq!(known(&world).counter_anomalies, 3);
}
