//! Voices: one budget with the face, one way through it, and neither in the other's place.

use redoubt_shared::ErasureId;

use super::*;

impl World {
    pub(super) fn enrol_voice(&mut self, user: &UserId) -> EnrollmentId {
        let id = EnrollmentId::from_bytes(self.draw());
        self.run(begin(user, Modality::Voice, id)).unwrap();
        let token_hash = [1; 32];
        let reserve = Command::ReserveEnrollmentSample { id, token_hash };
        let Reply::Enrolling { modality, .. } = self.run(reserve).unwrap() else {
            panic!("no sample's turn")
        };
        assert_eq!(modality, Modality::Voice);
        let template = Box::new(spoken(self.next_transform(user)));
        self.run(Command::CompleteEnrollment {
            id,
            template,
            liveness: None,
            performed: None,
            searched: None,
        })
        .unwrap();
        id
    }

    fn speak(&mut self, user: &UserId) -> Result<VerificationId, Refusal> {
        let id = VerificationId::from_bytes(self.draw());
        let (user, from) = (user.clone(), Whereabouts::default());
        self.run(Command::ReserveAttempt {
            user,
            means: Means::Voice,
            id,
            from,
        })
        .map(|_| id)
    }

    fn spoken(&mut self, accepted: bool) {
        let id = self.speak(&user()).unwrap();
        self.conclude(&user(), id, accepted).unwrap();
        assert_eq!(self.last_claim()["modality"], "voice");
    }

    fn shown(&mut self, accepted: bool) {
        let id = self.reserve(&user()).unwrap();
        self.conclude(&user(), id, accepted).unwrap();
        assert_eq!(self.last_claim()["modality"], "facial");
    }

    fn erase(&mut self, modality: Modality) -> Result<ErasureId, Refusal> {
        let (user, id) = (user(), ErasureId::from_bytes(self.draw()));
        self.run(Command::EraseModality { user, modality, id })
            .map(|_| id)
    }

    fn failures(&self) -> u32 {
        self.state.subject(&user()).unwrap().1.attempts.failures
    }

    fn both() -> Self {
        let mut world = Self::new();
        world.enrol(&user());
        world.enrol_voice(&user());
        world
    }
}

fn begin(user: &UserId, modality: Modality, id: EnrollmentId) -> Command {
    Command::BeginEnrollment {
        user: user.clone(),
        modality,
        id,
        token_hash: [1; 32],
        consent_given: true,
    }
}

fn spoken(transform: u32) -> Template {
    let mut made = template(transform);
    made.model = "voices".into();
    made
}

fn is_failed(reply: &Reply) -> bool {
    matches!(
        reply,
        Reply::Verdict {
            ending: Ending::Failed,
            ..
        }
    )
}

#[test]
fn a_voice_is_enrolled_beside_a_face_and_neither_stands_for_the_other() {
    let mut world = World::new();
    world.enrol(&user());
    let id = world.speak(&user()).unwrap();
    let unlike = world.conclude(&user(), id, true).unwrap();
    assert!(is_failed(&unlike), "a voice matched where none is enrolled");
    world.enrol_voice(&user());
    let claim = world.last_claim();
    assert_eq!(
        (&claim["type"], &claim["modality"], &claim["model"]),
        (&"enrollment".into(), &"voice".into(), &"voices".into())
    );
    let (handle, _) = world.state.subject(&user()).unwrap();
    let model = |modality| {
        let template = world.state.template(&handle, modality);
        template.map(|template| template.model.clone())
    };
    assert_eq!(model(Modality::Face).as_deref(), Some("m"));
    assert_eq!(model(Modality::Voice).as_deref(), Some("voices"));
    let mut other = World::new();
    other.enrol_voice(&user());
    let id = other.reserve(&user()).unwrap();
    let unlike = other.conclude(&user(), id, true).unwrap();
    assert!(is_failed(&unlike), "a face matched where none is enrolled");
    assert!(world.replayed() == world.state && other.replayed() == other.state);
}

#[test]
fn enrolments_of_a_face_and_of_a_voice_wait_beside_each_other() {
    let mut world = World::new();
    let [face, voice, again] = [1, 2, 3].map(|n| EnrollmentId::from_bytes([n; 16]));
    world.run(begin(&user(), Modality::Face, face)).unwrap();
    world.run(begin(&user(), Modality::Voice, voice)).unwrap();
    world.run(begin(&user(), Modality::Voice, again)).unwrap();
    let reserve = |id| Command::ReserveEnrollmentSample {
        id,
        token_hash: [1; 32],
    };
    assert_eq!(world.run(reserve(voice)), Err(Refusal::UnknownEnrollment));
    for (id, expected) in [(face, Modality::Face), (again, Modality::Voice)] {
        let reply = world.run(reserve(id)).unwrap();
        let Reply::Enrolling { modality, .. } = reply else {
            panic!("{reply:?}")
        };
        assert_eq!(modality, expected);
    }
    let busy = begin(&user(), Modality::Voice, EnrollmentId::from_bytes([4; 16]));
    assert_eq!(world.run(busy), Err(Refusal::EnrollmentBusy));
    // A term that ends in between lets both try again.
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    world.run(reserve(again)).unwrap();
    let release = Command::ReleaseEnrollmentSample {
        id: again,
        worker_tier: None,
        reason: "too_noisy",
    };
    world.run(release).unwrap();
    assert_eq!(world.last_claim()["modality"], "voice");
}

#[test]
fn failures_of_both_lock_together() {
    let mut world = World::both();
    world.shown(false);
    world.spoken(false);
    world.spoken(false);
    assert!(world.last_claim()["locked_until_ms"].is_u64());
    for refused in [world.reserve(&user()), world.speak(&user())] {
        assert!(matches!(refused, Err(Refusal::Locked { .. })));
    }
    // The lock over, the budget is whole for both.
    world.now_ms += 30 * 60_000;
    world.spoken(false);
    world.spoken(true);
    assert_eq!(world.failures(), 0);
}

#[test]
fn a_voice_that_matches_gives_back_no_attempt_that_a_face_failed() {
    let mut world = World::both();
    world.shown(false);
    world.spoken(false);
    world.spoken(true);
    assert_eq!(world.failures(), 1, "the face's");
    world.shown(false);
    world.spoken(true);
    assert_eq!(world.failures(), 2);
    let last = world.reserve(&user()).unwrap();
    assert_eq!(world.speak(&user()), Err(Refusal::AttemptsInProgress));
    world.conclude(&user(), last, true).unwrap();
    assert_eq!(world.failures(), 0);
    // Nor a face one that a voice failed.
    world.spoken(false);
    world.shown(false);
    world.shown(true);
    assert_eq!(world.failures(), 1, "the voice's");
    assert!(world.replayed() == world.state);
}

#[test]
fn what_a_dead_term_left_under_way_is_failed_by_what_it_was() {
    let mut world = World::both();
    world.speak(&user()).unwrap();
    world.reserve(&user()).unwrap();
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert_eq!(world.failures(), 2);
    world.spoken(true);
    assert_eq!(world.failures(), 1, "the face's");
    world.shown(true);
    assert_eq!(world.failures(), 0);
}

#[test]
fn an_erased_voice_is_gone_with_its_attempts_and_the_face_stays() {
    let mut world = World::both();
    let (handle, _) = world.state.subject(&user()).unwrap();
    let (face, voice) = (world.reserve(&user()), world.speak(&user()));
    world.erase(Modality::Voice).unwrap();
    let claim = world.last_claim();
    assert_eq!(
        (&claim["scope"], &claim["modality"]),
        (&"modality".into(), &"voice".into())
    );
    assert!(world.state.template(&handle, Modality::Voice).is_none());
    assert_eq!(world.failures(), 1, "what was under way is spent");
    let late = world.conclude(&user(), voice.unwrap(), true);
    assert_eq!(late, Err(Refusal::UnknownAttempt));
    world.conclude(&user(), face.unwrap(), true).unwrap();
    assert_eq!(world.erase(Modality::Voice), Err(Refusal::NotEnrolled));
    // And the reverse.
    world.enrol_voice(&user());
    let (face, voice) = (world.reserve(&user()), world.speak(&user()));
    world.erase(Modality::Face).unwrap();
    let late = world.conclude(&user(), face.unwrap(), true);
    assert_eq!(late, Err(Refusal::UnknownAttempt));
    world.conclude(&user(), voice.unwrap(), true).unwrap();
    assert!(world.replayed() == world.state);
}

#[test]
fn nothing_of_a_voice_outlives_its_subject() {
    let mut world = World::both();
    world.speak(&user()).unwrap();
    let waits = EnrollmentId::from_bytes([9; 16]);
    world.run(begin(&user(), Modality::Voice, waits)).unwrap();
    let erase = Command::EraseSubject {
        user: user(),
        id: ErasureId::from_bytes([1; 16]),
        salt: [1; 32],
    };
    world.run(erase).unwrap();
    assert!(world.state.voices.is_empty() && world.state.enrollments.is_empty());
    assert!(world.replayed() == world.state);
    world.enrol_voice(&user());
    assert_eq!(world.failures(), 1, "kept for the name");
}

#[test]
fn a_voice_is_no_face_for_introspection_history_or_an_approval() {
    let mut world = World::both();
    let (handle, _) = world.state.subject(&user()).unwrap();
    world.spoken(true);
    assert_eq!(world.state.face_matched(&handle, world.now_ms), None);
    let activity = world.state.watch.activity(&handle).unwrap();
    assert_eq!(activity.moments.back().unwrap().act, Act::Voice);
    assert_eq!(activity.counts.faces, 1);
    let id = world.speak(&user()).unwrap();
    let comparison = Comparison {
        sample: sample_of("voices"),
        ..comparison(true)
    };
    let as_a_face = Command::ConcludeApprovalSample {
        approval: redoubt_shared::ApprovalId::from_bytes([1; 16]),
        user: user(),
        id,
        comparison,
    };
    // What it answers is a voice, where one was asked for: here nothing was.
    world.run(as_a_face).unwrap();
    assert!(world.state.approvals.is_empty());
    assert_eq!(world.state.face_matched(&handle, world.now_ms), None);
}

/// Entries of before voices read as they did: what is new stands behind it.
#[test]
fn events_of_faces_keep_their_numbers_and_voices_follow() {
    let id = EnrollmentId::from_bytes([1; 16]);
    let handle = SubjectHandle([2; 16]);
    let enrollment = Enrollment {
        subject: handle,
        token_hash: [3; 32],
        expires_ms: 4,
        status: EnrollmentStatus::Pending,
    };
    let began = |event: &Event| postcard::to_stdvec(event).unwrap();
    let face = Event::EnrollmentBegan {
        id,
        enrollment: enrollment.clone(),
    };
    let bytes = began(&face);
    let golden = [&[6][..], &[1; 16], &[2; 16], &[3; 32], &[4, 0]].concat();
    assert_eq!(bytes, golden);
    let decoded: Event = redoubt_shared::frame::decode_canonical(&golden).unwrap();
    assert!(decoded == face);
    let voice = began(&Event::VoiceEnrollmentBegan { id, enrollment });
    assert_eq!(voice[1..], bytes[1..]);
    let numbers = [
        voice[0],
        began(&Event::VoiceEnrolled {
            id,
            handle,
            template: Box::new(spoken(1)),
        })[0],
        began(&Event::VoiceTried {
            handle,
            id: VerificationId::from_bytes([1; 16]),
        })[0],
    ];
    let last = began(&Event::ModelsActedOn { models: vec![] })[0];
    assert_eq!(numbers, [last + 1, last + 2, last + 3]);
}
