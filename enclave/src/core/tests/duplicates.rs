//! Duplicates: what a search that was made leads to, and what it never tells.

use redoubt_shared::ErasureId;

use super::*;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn rules(refuse: bool) -> DuplicateRules {
    DuplicateRules {
        refuse,
        per_million: 10_000,
        refused_per_day: 2,
    }
}

fn name(n: u8) -> UserId {
    format!("customer-{n}").parse().unwrap()
}

fn alone() -> Searched {
    Searched {
        people: 7,
        incomparable: 1,
        per_million: 70,
        found: None,
    }
}

impl World {
    fn looking(refuse: bool) -> Self {
        let mut world = Self::new();
        world.enrol(&name(1));
        world.context.duplicates = Some(rules(refuse));
        world
    }

    /// The search of an enrolment that finds the first customer.
    fn finds(&self) -> Searched {
        self.finds_one(1)
    }

    fn finds_one(&self, n: u8) -> Searched {
        let found = self.state.users.get(&name(n)).copied();
        Searched { found, ..alone() }
    }

    fn offer(&mut self, user: &UserId, searched: Option<Searched>) -> Result<Reply, Refusal> {
        let id = self.offered(user)?;
        self.complete(user, id, searched)
    }

    fn offered(&mut self, user: &UserId) -> Result<EnrollmentId, Refusal> {
        let id = EnrollmentId::from_bytes(self.draw());
        self.run(Command::BeginEnrollment {
            modality: Modality::Face,
            user: user.clone(),
            id,
            token_hash: [1; 32],
            consent_given: true,
        })
        .unwrap();
        let token_hash = [1; 32];
        let reserved = self.run(Command::ReserveEnrollmentSample { id, token_hash });
        reserved.map(|_| id)
    }

    fn complete(
        &mut self,
        user: &UserId,
        id: EnrollmentId,
        searched: Option<Searched>,
    ) -> Result<Reply, Refusal> {
        let template = Box::new(template(self.next_transform(user)));
        self.run(Command::CompleteEnrollment {
            id,
            template,
            liveness: None,
            performed: None,
            searched,
        })
    }

    fn alerts(&self) -> Vec<(SubjectHandle, AlertKind)> {
        let alerts = self.state.watch.alerts();
        alerts.map(|alert| (alert.subject, alert.kind)).collect()
    }

    fn has_face(&self, user: &UserId) -> bool {
        let found = self.state.subject(user);
        found.is_some_and(|(_, subject)| subject.face.is_some())
    }
}

fn completed() -> Result<Reply, Refusal> {
    Ok(Reply::Enrolled { lapse: None })
}

#[test]
fn a_duplicate_that_is_reported_is_enrolled_and_only_the_security_team_learns_whose_it_is() {
    let mut world = World::looking(false);
    let finds = world.finds();
    assert_eq!(world.offer(&name(2), Some(finds)), completed());
    let claim = world.last_claim();
    let told = serde_json::json!({
        "mode": "report", "people": 7, "incomparable": 1,
        "false_positives_per_million": 70, "as_asked": true, "found": true,
    });
    assert_eq!(
        (&claim["duplicate_search"], &claim["alert"]),
        (&told, &"duplicate_face".into())
    );
    assert_eq!(
        (&claim["status"], &claim["user_id"]),
        (&"completed".into(), &"customer-2".into())
    );
    assert!(!claim.to_string().contains("customer-1"));
    let (one, other) = (world.state.users[&name(1)], world.state.users[&name(2)]);
    assert!(!claim.to_string().contains(&hex::encode(one.0)));
    let mut told = world.alerts();
    told.sort_by_key(|(subject, _)| *subject);
    let mut pair = [(one, other), (other, one)];
    pair.sort();
    let pair = pair.map(|(whose, other)| (whose, AlertKind::DuplicateFace { other }));
    assert_eq!(told, pair);
    assert!(world.has_face(&name(2)) && world.replayed() == world.state);
    assert_eq!(world.offer(&name(3), Some(alone())), completed());
    assert_eq!(world.last_claim()["duplicate_search"]["found"], false);
    assert!(world.last_claim()["alert"].is_null());
    assert_eq!(world.alerts().len(), 2);
}

#[test]
fn a_duplicate_that_is_refused_is_not_stored_ends_its_enrolment_and_is_told_of() {
    let mut world = World::looking(true);
    let finds = world.finds();
    let id = world.offered(&name(2)).unwrap();
    assert_eq!(
        world.complete(&name(2), id, Some(finds)),
        Ok(Reply::Duplicate)
    );
    let claim = world.last_claim();
    assert_eq!(
        (&claim["status"], &claim["reason"]),
        (&"refused".into(), &"duplicate_face".into())
    );
    assert_eq!(
        (&claim["duplicate_search"]["found"], &claim["model"]),
        (&true.into(), &"m".into())
    );
    assert!(!world.has_face(&name(2)) && world.alerts().len() == 2);
    // It is over, and says why to whoever lost the first answer: neither another sample
    // nor the same search takes it up again.
    let token_hash = [1; 32];
    let again = world.run(Command::ReserveEnrollmentSample { id, token_hash });
    assert_eq!(again, Err(Refusal::DuplicateFace));
    let again = world.complete(&name(2), id, Some(alone()));
    assert_eq!(again, Err(Refusal::EnrollmentClosed));
    assert!(world.replayed() == world.state);
    // Who is alone is enrolled.
    assert_eq!(world.offer(&name(3), Some(alone())), completed());
}

#[test]
fn an_enrolment_without_its_search_is_not_decided_and_voices_need_none() {
    let mut world = World::looking(true);
    assert_eq!(world.offer(&name(2), None), Err(Refusal::TemplateMoved));
    assert!(!world.has_face(&name(2)));
    world.enrol_voice(&name(3));
    assert!(world.last_claim().get("duplicate_search").is_none());
    // Where nobody looks, what somebody found decides nothing and is not told.
    world.context.duplicates = None;
    let finds = world.finds();
    assert_eq!(world.offer(&name(4), Some(finds)), completed());
    assert!(world.last_claim().get("duplicate_search").is_none());
    assert!(world.alerts().is_empty());
}

#[test]
fn a_search_that_finds_strangers_more_often_than_was_asked_refuses_nobody() {
    let mut world = World::looking(true);
    let finds = Searched {
        per_million: 10_001,
        ..world.finds()
    };
    assert_eq!(world.offer(&name(2), Some(finds)), completed());
    let claim = world.last_claim();
    assert_eq!(claim["duplicate_search"]["as_asked"], false);
    assert_eq!((world.alerts().len(), world.has_face(&name(2))), (2, true));
    let just = Searched {
        per_million: 10_000,
        ..world.finds()
    };
    assert_eq!(world.offer(&name(3), Some(just)), Ok(Reply::Duplicate));
}

#[test]
fn so_many_refusals_a_day_are_all_whatever_names_are_tried_and_what_follows_tells_nothing() {
    let mut world = World::looking(true);
    assert_eq!(world.offer(&name(11), Some(alone())), completed());
    let finds = world.finds();
    let first_ms = world.now_ms;
    // One waits with its sample while two others are refused.
    let waiting = world.offered(&name(9)).unwrap();
    for (n, found) in [(2, 1), (3, 11)] {
        let finds = world.finds_one(found);
        assert_eq!(world.offer(&name(n), Some(finds)), Ok(Reply::Duplicate));
        world.now_ms += MINUTE;
    }
    let until_ms = first_ms + DAY;
    let shut = Err(Refusal::EnrollmentsShut { until_ms });
    for searched in [finds, alone()] {
        assert_eq!(world.offer(&name(4), Some(searched)), shut, "found or not");
        assert_eq!(world.complete(&name(9), waiting, Some(searched)), shut);
    }
    assert_eq!(world.alerts().len(), 4);
    // Neither a new term nor an erasure opens it; voices go on.
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    let erase = Command::EraseSubject {
        user: name(2),
        id: ErasureId::from_bytes([9; 16]),
        salt: [1; 32],
    };
    world.run(erase).unwrap();
    assert_eq!(world.offer(&name(5), Some(alone())), shut);
    world.enrol_voice(&name(6));
    assert!(world.replayed() == world.state);
    world.now_ms = until_ms;
    assert_eq!(world.offer(&name(5), Some(alone())), completed());
    assert_eq!(world.offer(&name(7), Some(finds)), Ok(Reply::Duplicate));
    let kept: Vec<_> = world.state.duplicates_refused.iter().collect();
    assert_eq!(kept.len(), 2, "those of a day are kept: {kept:?}");
    // Officers who report only refuse nobody, and are not shut out.
    world.context.duplicates = Some(rules(false));
    assert_eq!(world.offer(&name(8), Some(finds)), completed());
}

#[test]
fn one_face_that_is_tried_again_and_again_counts_once_and_shuts_nobody_out() {
    let mut world = World::looking(true);
    for n in 2..=9 {
        let finds = world.finds();
        assert_eq!(
            world.offer(&name(n % 3 + 2), Some(finds)),
            Ok(Reply::Duplicate)
        );
        world.now_ms += MINUTE;
    }
    assert_eq!(world.state.duplicates_refused.len(), 1);
    assert_eq!(world.offer(&name(20), Some(alone())), completed());
    // It counts from the first time on, not from the last.
    let (first_ms, _) = world.state.duplicates_refused.get_min().copied().unwrap();
    world.now_ms = first_ms + DAY;
    assert_eq!(world.state.duplicates_shut_until(1, world.now_ms), None);
    let finds = world.finds();
    assert_eq!(world.offer(&name(2), Some(finds)), Ok(Reply::Duplicate));
    let until_ms = world.state.duplicates_shut_until(1, world.now_ms);
    assert!(until_ms > Some(world.now_ms + DAY - MINUTE), "{until_ms:?}");
    assert!(world.replayed() == world.state);
}

#[test]
fn duplicates_push_out_duplicates_and_not_what_attempts_raised() {
    let mut world = World::looking(false);
    let finds = world.finds();
    world.offer(&name(2), Some(finds)).unwrap();
    let pair: Vec<_> = world.state.watch.alerts().cloned().collect();
    let (subject, first_ms) = (pair[0].subject, pair[0].at_ms);
    let raised = |n: u64, kind| Alert {
        at_ms: first_ms + n,
        kind,
        ..Alert::clone(&pair[0])
    };
    let duplicate = AlertKind::DuplicateFace { other: subject };
    for n in 1..=500 {
        world.state.watch.raise(raised(n, AlertKind::AccountLocked));
    }
    for n in 1000..2000 {
        world.state.watch.raise(raised(n, duplicate));
    }
    let kinds = |world: &World, kind: AlertKind| {
        let all = world.state.watch.alerts();
        all.filter(|alert| alert.kind == kind).count()
    };
    assert_eq!(kinds(&world, AlertKind::AccountLocked), 500);
    assert_eq!(kinds(&world, duplicate), 500);
    // Duplicates have no more than their half, and no less.
    for n in 3000..5000 {
        world.state.watch.raise(raised(n, AlertKind::HighRisk));
    }
    assert_eq!(kinds(&world, AlertKind::HighRisk), 1000);
}

#[test]
fn whoever_asked_erases_nothing_that_is_told_of_whom_they_found() {
    for refuse in [false, true] {
        let mut world = World::looking(refuse);
        let finds = world.finds();
        world.offer(&name(2), Some(finds)).unwrap();
        let (one, other) = (world.state.users[&name(1)], world.state.users[&name(2)]);
        world
            .run(Command::EraseSubject {
                user: name(2),
                id: ErasureId::from_bytes([9; 16]),
                salt: [1; 32],
            })
            .unwrap();
        assert_eq!(world.alerts(), [(one, AlertKind::DuplicateFace { other })]);
        assert!(world.replayed() == world.state);
    }
}

#[test]
fn an_alert_outlives_the_other_customer_and_goes_with_its_own() {
    let mut world = World::looking(false);
    let finds = world.finds();
    world.offer(&name(2), Some(finds)).unwrap();
    assert_eq!(world.alerts().len(), 2);
    let erase = |n: u8| Command::EraseSubject {
        user: name(n),
        id: ErasureId::from_bytes([n; 16]),
        salt: [1; 32],
    };
    world.run(erase(1)).unwrap();
    assert_eq!(world.alerts().len(), 1);
    world.run(erase(2)).unwrap();
    assert!(world.alerts().is_empty() && world.replayed() == world.state);
}

#[test]
fn a_refused_duplicate_and_its_alert_are_recorded_in_golden_bytes() {
    let refused = Event::DuplicateRefused {
        id: EnrollmentId::from_bytes([1; 16]),
        at_ms: 5,
        found: SubjectHandle([2; 16]),
    };
    let bytes = postcard::to_stdvec(&refused).unwrap();
    let golden = [&[55][..], &[1; 16], &[5], &[2; 16]].concat();
    assert_eq!(bytes, golden);
    let decoded: Event = redoubt_shared::frame::decode_canonical(&golden).unwrap();
    assert!(decoded == refused);
    let kinds = [
        AlertKind::HighRisk,
        AlertKind::AccountLocked,
        AlertKind::SignCountNotIncreased,
        AlertKind::DeviceCompromised,
    ];
    for (byte, kind) in kinds.into_iter().enumerate() {
        assert_eq!(postcard::to_stdvec(&kind).unwrap(), [byte as u8]);
    }
    let other = SubjectHandle([2; 16]);
    let duplicate = postcard::to_stdvec(&AlertKind::DuplicateFace { other }).unwrap();
    assert_eq!(duplicate, [&[4][..], &[2; 16]].concat());
    let ended = [
        EnrollmentStatus::Pending,
        EnrollmentStatus::InProgress,
        EnrollmentStatus::Completed,
        EnrollmentStatus::Refused,
    ];
    for (byte, status) in ended.into_iter().enumerate() {
        assert_eq!(postcard::to_stdvec(&status).unwrap(), [byte as u8]);
    }
    let piece = Piece::DuplicatesRefused(vec![(5, SubjectHandle([1; 16]))]);
    let golden = [&[29, 1, 5][..], &[1; 16]].concat();
    assert_eq!(postcard::to_stdvec(&piece).unwrap(), golden);
}
