//! Risk as the core uses it: remembered with every attempt, told, and never a way in.

use super::*;

const VIENNA: Place = Place {
    lat: 4821,
    lng: 1637,
};
const SYDNEY: Place = Place {
    lat: -3387,
    lng: 15121,
};

fn at(place: Place, device: u8) -> Whereabouts {
    Whereabouts {
        place: Some(place),
        device: Some(Tag([device; 16])),
        source: None,
    }
}

impl World {
    pub(super) fn tried(
        &mut self,
        user: &UserId,
        accepted: bool,
        from: Whereabouts,
    ) -> (Ending, f64) {
        let id = self.reserve_from(user, from).unwrap();
        let comparison = Comparison {
            from,
            ..comparison(accepted)
        };
        let conclude = Command::ConcludeAttempt {
            user: user.clone(),
            id,
            comparison,
        };
        let Reply::Verdict { ending, risk, .. } = self.run(conclude).unwrap() else {
            panic!("no verdict");
        };
        (ending, risk.score())
    }

    fn activity(&self, user: &UserId) -> Activity {
        let (handle, _) = self.state.subject(user).unwrap();
        let activity = self.state.watch.activity(&handle);
        activity.map_or_else(Activity::default, |activity| Activity::clone(activity))
    }
}

fn user() -> UserId {
    "customer".parse().unwrap()
}

#[test]
fn a_match_from_the_other_side_of_the_world_is_suspicious_and_opens_nothing() {
    let (mut world, user) = (World::new(), user());
    world.enrol(&user);
    assert_eq!(
        world.tried(&user, true, at(VIENNA, 1)),
        (Ending::Accepted, 0.0)
    );
    let (handle, _) = world.state.subject(&user).unwrap();
    let matched = world.state.face_matched(&handle, world.now_ms);
    world.now_ms += 600_000;
    let (ending, score) = world.tried(&user, true, at(SYDNEY, 2));
    assert_eq!((ending, score), (Ending::Suspicious, 0.7));
    // It is no match that sessions tell of, and nothing that makes the budget whole.
    assert_eq!(world.state.faces_matched.get(&handle), matched.as_ref());
    let claim = world.last_claim();
    assert_eq!(claim["verdict"], "suspicious");
    assert_eq!(claim["alert"], "high_risk");
    assert_eq!(claim["anomalies"][0], "impossible_travel");
    let alert = world.state.watch.alerts().next().unwrap();
    assert_eq!(
        alert.receipt.to_string(),
        claim["receipt_id"].as_str().unwrap()
    );
    // Where the customer is stays where they were: back home nothing is unusual.
    world.now_ms += 600_000;
    assert_eq!(world.tried(&user, true, at(VIENNA, 1)).0, Ending::Accepted);
    assert!(world.replayed() == world.state);
}

#[test]
fn a_suspicious_match_does_not_give_spent_failures_back() {
    let (mut world, user) = (World::new(), user());
    world.enrol(&user);
    world.tried(&user, true, at(VIENNA, 1));
    for _ in 0..2 {
        world.now_ms += 60_000;
        assert_eq!(world.tried(&user, false, at(SYDNEY, 2)).0, Ending::Failed);
    }
    world.now_ms += 60_000;
    assert_eq!(
        world.tried(&user, true, at(SYDNEY, 2)).0,
        Ending::Suspicious
    );
    let failures = |world: &World| world.state.subject(&user).unwrap().1.attempts.failures;
    assert_eq!(failures(&world), 2);
    world.now_ms += 60_000;
    world.tried(&user, false, at(SYDNEY, 2));
    let alert = world.state.watch.alerts().next().unwrap();
    assert_eq!(alert.kind, AlertKind::AccountLocked);
}

#[test]
fn failures_do_not_push_out_what_the_customer_did() {
    let (mut world, user) = (World::new(), user());
    world.enrol(&user);
    world.tried(&user, true, at(VIENNA, 1));
    for _ in 0..2 * HISTORY_MAX {
        world.now_ms += 31 * 60_000;
        world.tried(&user, false, at(SYDNEY, 2));
        let lock = world
            .state
            .subject(&user)
            .unwrap()
            .1
            .attempts
            .locked_until_ms;
        world.now_ms = lock.unwrap_or(world.now_ms).max(world.now_ms);
    }
    let activity = world.activity(&user);
    assert_eq!(activity.moments.len(), HISTORY_MAX);
    assert_eq!(activity.moments[0].ending, Ending::Accepted);
    assert_eq!(activity.counts.faces_rejected as usize, 2 * HISTORY_MAX);
    // Long enough for the journey; the device is a strange one all the same.
    world.now_ms += 3_600_000;
    assert_eq!(world.tried(&user, true, at(SYDNEY, 2)).1, 0.25);
}

#[test]
fn a_device_of_many_customers_speaks_until_they_leave() {
    let mut world = World::new();
    let users: Vec<UserId> = (0..4)
        .map(|n| format!("customer-{n}").parse().unwrap())
        .collect();
    for user in &users {
        world.enrol(user);
        world.now_ms += 3_600_000;
        let (_, score) = world.tried(user, true, at(VIENNA, 9));
        let last = user == users.last().unwrap();
        assert_eq!(score, if last { 0.35 } else { 0.0 });
    }
    let id = redoubt_shared::ErasureId::from_bytes(world.draw());
    let erase = Command::EraseSubject {
        user: users[0].clone(),
        id,
        salt: [3; 32],
    };
    world.run(erase).unwrap();
    world.now_ms += 3_600_000;
    assert_eq!(world.tried(&users[3], true, at(VIENNA, 9)).1, 0.0);
}

#[test]
fn an_erased_customer_leaves_no_moment_and_no_alert() {
    let (mut world, user) = (World::new(), user());
    world.enrol(&user);
    world.tried(&user, true, at(VIENNA, 1));
    world.now_ms += 60_000;
    world.tried(&user, true, at(SYDNEY, 2));
    assert_eq!(world.state.watch.alerts().count(), 1);
    let id = redoubt_shared::ErasureId::from_bytes(world.draw());
    let erase = Command::EraseSubject {
        user,
        id,
        salt: [3; 32],
    };
    world.run(erase).unwrap();
    assert!(world.state.watch == Watch::default());
}

#[test]
fn logins_are_remembered_and_a_copied_key_is_told() {
    let mut world = World::new();
    with_passkey(&mut world);
    let login = |world: &mut World, n, sign_count| {
        let mut command = sessions::login(session(n));
        if let Command::ConcludeLogin {
            sign_count: said, ..
        } = &mut command
        {
            *said = sign_count;
        }
        world.run(command)
    };
    login(&mut world, 1, 5).unwrap();
    assert_eq!(login(&mut world, 2, 5), Ok(Reply::Refused));
    let activity = world.activity(&super::user());
    let counts = activity.counts;
    assert_eq!((counts.logins, counts.logins_refused), (1, 1));
    let alert = world.state.watch.alerts().next().unwrap();
    assert_eq!(alert.kind, AlertKind::SignCountNotIncreased);
    assert_eq!(world.last_claim()["alert"], "sign_count_not_increased");
}

/// What the request's claim says of a payment, which is then approved.
pub(super) fn paid(world: &mut World, id: u8, amount: &str, account: &str) -> serde_json::Value {
    let asking = approvals::Asking {
        jcs: format!(
            r#"{{"amount":"{amount}","currency":"EUR","payee":{{"account":"{account}"}}}}"#
        ),
        expires_ms: world.now_ms + 60_000,
        ..approvals::Asking::of(id, &["customer-1"], 1)
    };
    world.run(asking.command()).unwrap();
    let said = world.last_claim()["anomalies"].clone();
    world.run(give(id, b"credential")).unwrap();
    said
}

#[test]
fn a_large_payment_to_a_stranger_is_said_in_its_claim() {
    let mut world = World::new();
    with_passkey(&mut world);
    let none = serde_json::json!([]);
    assert_eq!(paid(&mut world, 1, "10.00", "A"), none);
    assert_eq!(paid(&mut world, 2, "29.00", "B"), none);
    assert_eq!(
        paid(&mut world, 3, "1000.00", "B"),
        none,
        "to a known payee"
    );
    assert_eq!(paid(&mut world, 4, "3000.00", "C"), none, "not much more");
    let unusual = serde_json::json!(["new_payee_large_amount"]);
    assert_eq!(paid(&mut world, 5, "9000.01", "D"), unusual);
    assert_eq!(paid(&mut world, 6, "30000.00", "D"), none, "known by now");
}

#[test]
fn logins_do_not_push_out_where_faces_came_from() {
    let mut world = World::new();
    with_passkey(&mut world);
    let user = super::user();
    world.enrol(&user);
    world.tried(&user, true, at(VIENNA, 1));
    for n in 0..2 * HISTORY_MAX {
        world.now_ms += 1000 + 300 * n as u64;
        world.run(sessions::login(session(n as u8 + 1))).unwrap();
    }
    assert_eq!(world.activity(&user).moments.len(), HISTORY_MAX);
    assert_eq!(
        world.tried(&user, true, at(SYDNEY, 2)).0,
        Ending::Suspicious
    );
}

#[test]
fn nothing_that_is_remembered_of_one_customer_grows_without_end() {
    let mut world = World::new();
    with_passkey(&mut world);
    for n in 0..200_u16 {
        let letter = |n: u16| char::from(b'A' + (n % 26) as u8);
        let currency: String = [letter(n), letter(n / 26), 'X'].iter().collect();
        let event = Event::PaymentNoted {
            handle: world.state.subject(&super::user()).unwrap().0,
            payees: vec![Tag([n as u8; 16])],
            currency,
            amount: 1,
        };
        let recorded = Recorded {
            owner: None,
            content: Content::State(Box::new(event)),
        };
        apply(&mut world.state, &recorded);
    }
    let activity = world.activity(&super::user());
    assert_eq!((activity.largest.len(), activity.payees.len()), (16, 64));
    assert_eq!(
        activity.largest.back().unwrap().0,
        "RHX",
        "the latest stays"
    );
}

#[test]
fn what_several_people_pay_is_nobodys_habit() {
    let mut world = World::new();
    with_passkey(&mut world);
    let batch = r#"{"currency":"EUR","payments":[{"amount":"5.00","payee":{"account":"A"}},{"amount":"7.00","payee":{"account":"B"}}],"total":"12.00"}"#;
    let asking = |id, users: &[&str], needed| approvals::Asking {
        jcs: batch.to_owned(),
        expires_ms: 1_060_000,
        ..approvals::Asking::of(id, users, needed)
    };
    world.run(asking(1, &["customer-1"], 1).command()).unwrap();
    world.run(give(1, b"credential")).unwrap();
    let largest = world.activity(&super::user()).largest;
    let batch = [("EUR".to_owned(), 70_000)];
    assert_eq!(largest, batch, "of a batch the largest");
    let mut world = World::new();
    approvals::people(&mut world, &[("anna", &["a"]), ("ben", &["b"])]);
    world.run(asking(2, &["anna", "ben"], 2).command()).unwrap();
    world.run(approvals::give_by(2, "anna", b"a")).unwrap();
    let last = world.run(approvals::give_by(2, "ben", b"b"));
    assert_eq!(last, Ok(Reply::Granted { complete: true }));
    for name in ["anna", "ben"] {
        let largest = world.activity(&name.parse().unwrap()).largest;
        assert!(largest.is_empty(), "{name}");
    }
}

/// Every alert is found by its claim, whatever raised it.
#[test]
fn the_claim_of_every_alert_names_it() {
    let mut world = World::new();
    with_passkey(&mut world);
    let user = super::user();
    world.enrol(&user);
    let named = |world: &World| {
        let alert = world.state.watch.alerts().next().unwrap();
        let claim = world.last_claim();
        assert_eq!(claim["receipt_id"], alert.receipt.to_string());
        assert_eq!(claim["alert"], alert.kind.name());
        alert.kind
    };
    world.tried(&user, true, at(VIENNA, 1));
    world.now_ms += 600_000;
    world.tried(&user, true, at(SYDNEY, 2));
    assert_eq!(named(&world), AlertKind::HighRisk);
    for _ in 0..3 {
        world.now_ms += 600_000;
        world.tried(&user, false, at(VIENNA, 1));
    }
    assert_eq!(named(&world), AlertKind::AccountLocked);
    let count = |world: &mut World, n| {
        world.now_ms += 1;
        let mut command = sessions::login(session(n));
        if let Command::ConcludeLogin { sign_count, .. } = &mut command {
            *sign_count = 5;
        }
        world.run(command).unwrap()
    };
    count(&mut world, 1);
    assert_eq!(count(&mut world, 2), Reply::Refused);
    assert_eq!(named(&world), AlertKind::SignCountNotIncreased);
    world.now_ms += 1;
    let asking = approvals::Asking {
        expires_ms: world.now_ms + 60_000,
        ..approvals::Asking::of(1, &["customer-1"], 1)
    };
    world.run(asking.command()).unwrap();
    // Its counter is 0 where 5 was seen.
    assert_eq!(world.run(give(1, b"credential")), Ok(Reply::Refused));
    assert_eq!(named(&world), AlertKind::SignCountNotIncreased);
    world.now_ms += 1;
    let (_, subject) = world.state.subject(&user).unwrap();
    let flag = SetDeviceState {
        user: user.clone(),
        device: subject.device_id(b"credential"),
        next: DeviceState::Compromised,
        reason: "lost".into(),
        source: "bank",
    };
    world.run(Command::SetDeviceState(Box::new(flag))).unwrap();
    assert_eq!(named(&world), AlertKind::DeviceCompromised);
    assert_eq!(world.state.watch.alerts().count(), 5);
}
