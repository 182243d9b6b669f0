//! Renewal: one template in the place of another, and no number twice.

use redoubt_shared::ErasureId;

use super::*;

impl World {
    fn handle(&self) -> SubjectHandle {
        self.state.subject(&user()).unwrap().0
    }

    fn kept(&self, modality: Modality) -> Option<std::sync::Arc<Template>> {
        let handle = self.state.users.get(&user())?;
        self.state.template(handle, modality)
    }

    fn renew_to(&mut self, modality: Modality, from: u32, to: u32) -> Result<Reply, Refusal> {
        let template = Box::new(marked(to));
        let user = user();
        self.run(Command::RenewTemplate {
            user,
            modality,
            from,
            template,
        })
    }

    fn renew(&mut self, modality: Modality) -> Result<u32, Refusal> {
        let before = self.kept(modality).ok_or(Refusal::NotEnrolled)?.transform;
        let next = self.next_transform(&user());
        self.renew_to(modality, before, next).map(|_| next)
    }
}

/// A template whose components say which it is.
fn marked(transform: u32) -> Template {
    let mut made = template(transform);
    made.values = vec![transform as i8; 30];
    made
}

fn bytes(piece: &Piece) -> Vec<u8> {
    postcard::to_stdvec(piece).unwrap()
}

fn holds(state: &TenantState, needle: &[u8]) -> bool {
    let found = |piece: Piece| {
        bytes(&piece)
            .windows(needle.len())
            .any(|part| part == needle)
    };
    state.pieces().any(found)
}

#[test]
fn a_renewal_takes_the_place_of_the_template_and_says_so() {
    let mut world = World::new();
    world.enrol(&user());
    let attempt = world.reserve(&user()).unwrap();
    assert_eq!(world.renew(Modality::Face), Ok(2));
    assert_eq!(world.renew(Modality::Face), Ok(3));
    let claim = world.last_claim();
    assert_eq!(claim["type"], "template_renewal");
    assert_eq!(
        (&claim["modality"], &claim["model"]),
        (&"facial".into(), &"m".into())
    );
    assert_eq!(
        (&claim["transform"], &claim["transform_before"]),
        (&3.into(), &2.into())
    );
    assert_eq!(
        (&claim["epoch"], &claim["user_id"]),
        (&0.into(), &"customer-1".into())
    );
    assert!(holds(&world.state, &[3; 30]), "the test finds nothing");
    assert!(!holds(&world.state, &[2; 30]));
    assert!(world.replayed() == world.state);
    // What was under way goes on, and counts.
    let reply = world.conclude(&user(), attempt, true).unwrap();
    assert!(matches!(
        reply,
        Reply::Verdict {
            ending: Ending::Accepted,
            ..
        }
    ));
}

#[test]
fn faces_and_voices_share_their_numbers_and_not_their_templates() {
    let mut world = World::new();
    world.enrol(&user());
    world.enrol_voice(&user());
    assert_eq!(world.renew(Modality::Face), Ok(3));
    assert_eq!(world.renew(Modality::Voice), Ok(4));
    assert_eq!(world.last_claim()["modality"], "voice");
    let kept = |modality| world.kept(modality).unwrap().transform;
    assert_eq!((kept(Modality::Face), kept(Modality::Voice)), (3, 4));
}

#[test]
fn what_was_stored_meanwhile_is_not_written_over() {
    let mut world = World::new();
    assert_eq!(
        world.renew_to(Modality::Face, 0, 1),
        Err(Refusal::NotEnrolled)
    );
    world.enrol(&user());
    let before = world.state.clone();
    for (from, to) in [(0, 2), (2, 2), (1, 1), (1, 0), (1, 3), (1, u32::MAX)] {
        let refused = world.renew_to(Modality::Face, from, to);
        assert_eq!(refused, Err(Refusal::TemplateMoved), "{from} {to}");
    }
    assert_eq!(
        world.renew_to(Modality::Voice, 1, 2),
        Err(Refusal::NotEnrolled)
    );
    let mut template = marked(2);
    template.enrolled_ms += 1;
    let other = Command::RenewTemplate {
        user: user(),
        modality: Modality::Face,
        from: 1,
        template: Box::new(template),
    };
    assert_eq!(world.run(other), Err(Refusal::TemplateMoved));
    assert!(world.state == before);
    // Nor does an enrolment store a number of before.
    let id = EnrollmentId::from_bytes(world.draw());
    let token_hash = [1; 32];
    for command in [
        Command::BeginEnrollment {
            user: user(),
            modality: Modality::Face,
            id,
            token_hash,
            consent_given: true,
        },
        Command::ReserveEnrollmentSample { id, token_hash },
    ] {
        world.run(command).unwrap();
    }
    for number in [0, 1, 3] {
        let stale = Command::CompleteEnrollment {
            id,
            template: Box::new(marked(number)),
            liveness: None,
            performed: None,
            searched: None,
        };
        assert_eq!(world.run(stale), Err(Refusal::TemplateMoved));
    }
}

/// Entries of before transforms read as they did, and lead on from there.
#[test]
fn a_template_without_a_transform_is_the_first_that_is_renewed() {
    let mut world = World::new();
    world
        .run(Command::BeginEnrollment {
            user: user(),
            modality: Modality::Face,
            id: EnrollmentId::from_bytes([1; 16]),
            token_hash: [1; 32],
            consent_given: true,
        })
        .unwrap();
    let handle = world.handle();
    let mut old = marked(0);
    old.version = 1;
    let event = Event::FaceEnrolled {
        id: EnrollmentId::from_bytes([1; 16]),
        handle,
        template: Box::new(old),
    };
    let recorded = Recorded {
        owner: Some(handle),
        content: Content::State(Box::new(event)),
    };
    apply(&mut world.state, &recorded);
    world.log.push(recorded);
    assert!(world.state.transforms.is_empty());
    assert_eq!(world.renew(Modality::Face), Ok(1));
    assert!(world.replayed() == world.state);
}

#[test]
fn no_record_holds_a_template_and_what_its_key_comes_from() {
    let mut world = World::new();
    let keys = TenantKeySeeds {
        es256: [0xa5; 32],
        mldsa65: [0x5a; 32],
    };
    world.run(Command::OpenTenant { keys }).unwrap();
    world.enrol(&user());
    world.enrol_voice(&user());
    world.renew(Modality::Face).unwrap();
    let has = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    let seeds = |bytes: &[u8]| has(bytes, &[0xa5; 32]) || has(bytes, &[0x5a; 32]);
    let pieces: Vec<_> = world.state.pieces().map(|piece| bytes(&piece)).collect();
    let events = world
        .log
        .iter()
        .filter_map(|recorded| match &recorded.content {
            Content::State(event) => Some(postcard::to_stdvec(event).unwrap()),
            Content::Claims { .. } => None,
        });
    let all: Vec<_> = pieces.into_iter().chain(events).collect();
    assert_eq!(all.iter().filter(|bytes| seeds(bytes)).count(), 2);
    assert_eq!(all.iter().filter(|bytes| has(bytes, &[3; 30])).count(), 2);
    assert!(!all.iter().any(|bytes| seeds(bytes) && has(bytes, &[3; 30])));
}

#[test]
fn renewals_and_their_numbers_are_appended_to_what_was_written_before() {
    let handle = SubjectHandle([2; 16]);
    let written = |event: &Event| postcard::to_stdvec(event).unwrap();
    let face = written(&Event::FaceRenewed {
        handle,
        template: Box::new(template(3)),
    });
    let golden = [
        &[50][..],
        &[2; 16],
        &[
            2, 1, b'm', 3, 2, 0, 0, 0x80, 0x3f, 2, 1, 2, 0x66, 0x66, 0x66, 0x3f, 7,
        ],
        b"process\x01",
    ]
    .concat();
    assert_eq!(face, golden);
    let voice = written(&Event::VoiceRenewed {
        handle,
        template: Box::new(template(3)),
    });
    assert_eq!((voice[0], &voice[1..]), (face[0] + 1, &face[1..]));
    let piece = bytes(&Piece::Transforms(vec![(handle, 300)]));
    assert_eq!(piece, [&[24, 1][..], &[2; 16], &[0xac, 2]].concat());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Enrol(bool),
    Renew(bool),
    Erase(bool),
    Crash,
    Lose,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => any::<bool>().prop_map(Step::Enrol),
        4 => any::<bool>().prop_map(Step::Renew),
        1 => any::<bool>().prop_map(Step::Erase),
        1 => Just(Step::Crash),
        1 => Just(Step::Lose),
    ];
    proptest::collection::vec(step, 1..40)
}

fn modality(voice: bool) -> Modality {
    if voice {
        Modality::Voice
    } else {
        Modality::Face
    }
}

proptest! {
    /// Whatever is enrolled, renewed, erased, and lost of it: no two templates of one
    /// customer are ever under one number, and replay leads to the same state.
    #[test]
    fn no_number_comes_back(steps in steps()) {
        let mut world = World::new();
        world.enrol(&user());
        let mut seen = vec![1];
        for step in steps {
            let next = world.next_transform(&user());
            let made = match step {
                Step::Enrol(true) => { world.enrol_voice(&user()); Some(next) }
                Step::Enrol(false) => { world.enrol(&user()); Some(next) }
                Step::Renew(voice) => world.renew(modality(voice)).ok(),
                Step::Erase(voice) => {
                    let (user, id) = (user(), ErasureId::from_bytes(world.draw()));
                    let modality = modality(voice);
                    let _ = world.run(Command::EraseModality { user, modality, id });
                    None
                }
                Step::Crash => { world.run(Command::BeginTerm { term: 2 }).unwrap(); None }
                Step::Lose => {
                    let (state, entries) = (world.state.clone(), world.log.len());
                    let lost = (0..3).filter_map(|_| world.renew(Modality::Face).ok());
                    seen.extend(lost);
                    // The disk comes back as it was before, and officers go on from there.
                    world.state = state;
                    world.log.truncate(entries);
                    world.run(Command::Restore { entries: (1, 2) }).unwrap();
                    None
                }
            };
            if let Some(number) = made {
                prop_assert!(!seen.contains(&number), "{number} again");
                seen.push(number);
            }
        }
        prop_assert!(world.replayed() == world.state);
    }
}
