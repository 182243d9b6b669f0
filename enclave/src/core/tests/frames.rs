//! Answers to challenges: told in the claim, decisive where required, and never twice.

use super::*;
use crate::core::frames::FRAMES_KEPT;
use crate::core::{FrameMark, Lapse, Move, Performed};

fn world() -> World {
    let mut world = World::new();
    let (es256, mldsa65) = ([1; 32], [2; 32]);
    let keys = TenantKeySeeds { es256, mldsa65 };
    world.run(Command::OpenTenant { keys }).unwrap();
    world.run(Command::BeginTerm { term: 1 }).unwrap();
    world.enrol(&user());
    world
}

/// Marks of frames that have nothing in common with those of another number.
fn marks(of: u8, count: u8) -> Vec<FrameMark> {
    let mark = |at: u8| {
        let mut print = [0; 32];
        for (byte, value) in print.iter_mut().enumerate() {
            let seed = (u32::from(of) * 31 + u32::from(at)) * 32 + byte as u32;
            *value = (seed.wrapping_mul(2_654_435_761) >> 13) as u8;
        }
        let mut digest = [of; 8];
        digest[7] = at;
        FrameMark { digest, print }
    };
    (0..count).map(mark).collect()
}

fn performed(marks: Vec<FrameMark>, lapse: Option<Lapse>, required: bool) -> Performed {
    Performed {
        lapse,
        required,
        marks,
        instead: None,
    }
}

impl World {
    /// A matching face with an answer.
    fn answer(&mut self, user: &UserId, performed: Performed) -> (Ending, Option<Lapse>) {
        let id = self.reserve(user).unwrap();
        let comparison = Comparison {
            confidence: 0.95,
            sample: SampleUse {
                performed: Some(performed),
                ..sample_of("m")
            },
            ..comparison(true)
        };
        let user = user.clone();
        let conclude = Command::ConcludeAttempt {
            user,
            id,
            comparison,
        };
        match self.run(conclude).unwrap() {
            Reply::Verdict { ending, lapse, .. } => (ending, lapse),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_wrong_answer_decides_where_one_is_required_and_is_told_everywhere() {
    let mut world = world();
    let lapse = Some(Lapse::NotDone(Move::TurnLeft));
    let told = world.answer(&user(), performed(marks(1, 9), lapse, false));
    assert_eq!(told, (Ending::Accepted, lapse));
    let claim = world.last_claim();
    assert_eq!(claim["active_liveness"], "failed");
    assert_eq!(claim["active_liveness_lapse"], "not_done");
    assert_eq!(claim["active_liveness_move"], "turn_left");
    assert_eq!(claim["confidence_score"], 0.95);
    let told = world.answer(&user(), performed(marks(2, 9), lapse, true));
    assert_eq!(told, (Ending::Failed, lapse));
    let claim = world.last_claim();
    assert_eq!(
        (&claim["verdict"], &claim["confidence_score"]),
        (&"rejected".into(), &0.0.into())
    );
    let told = world.answer(&user(), performed(marks(3, 9), None, true));
    assert_eq!(told, (Ending::Accepted, None));
    assert_eq!(world.last_claim()["active_liveness"], "passed");
    assert!(world.last_claim().get("active_liveness_lapse").is_none());
    let id = world.reserve(&user()).unwrap();
    world.conclude(&user(), id, true).unwrap();
    assert!(world.last_claim().get("active_liveness").is_none());
    assert!(world.replayed() == world.state && through_pieces(&world.state) == world.state);
}

#[test]
fn frames_of_an_earlier_answer_are_none_whether_it_passed_or_not() {
    let mut world = world();
    let seen = (Ending::Failed, Some(Lapse::SeenBefore));
    for (number, lapse) in [(1, None), (2, Some(Lapse::Jumped))] {
        world.answer(&user(), performed(marks(number, 12), lapse, true));
        // One file of it among others.
        let mut one = marks(number + 10, 12);
        one[7] = marks(number, 12)[3];
        assert_eq!(world.answer(&user(), performed(one, None, true)), seen);
        assert_eq!(world.last_claim()["active_liveness_lapse"], "seen_before");
        // The same pictures, recoded: other files, and a few bits of their prints.
        let mut recoded = marks(number, 12);
        for (at, mark) in recoded.iter_mut().enumerate() {
            mark.digest = [200 + number; 8];
            mark.digest[7] = at as u8;
            mark.print[at] ^= 0b0001_0100;
            mark.print[30] ^= 0b0000_0110;
        }
        assert_eq!(world.answer(&user(), performed(recoded, None, true)), seen);
        // Any lock is over by then.
        world.now_ms += 4_000_000;
        let id = world.reserve(&user()).unwrap();
        world.conclude(&user(), id, true).unwrap();
    }
    let fresh = world.answer(&user(), performed(marks(50, 12), None, true));
    assert_eq!(fresh, (Ending::Accepted, None));
}

#[test]
fn frames_that_look_like_others_are_a_replay_once_they_are_most() {
    let mut world = world();
    world.answer(&user(), performed(marks(1, 12), None, true));
    let alike = |count: usize| {
        let mut frames = marks(2 + count as u8, 12);
        for (frame, known) in frames.iter_mut().zip(marks(1, 12)).take(count) {
            frame.print = known.print;
        }
        frames
    };
    let some = world.answer(&user(), performed(alike(8), None, true));
    assert_eq!(some.1, None);
    let most = world.answer(&user(), performed(alike(9), None, true));
    assert_eq!(most.1, Some(Lapse::SeenBefore));
}

#[test]
fn what_is_kept_is_bounded_sealed_with_its_customer_and_goes_with_them() {
    let mut world = world();
    let other: UserId = "customer-2".parse().unwrap();
    world.enrol(&other);
    for number in 0..20 {
        world.answer(&user(), performed(marks(number, 30), None, false));
    }
    world.answer(&other, performed(marks(100, 30), None, false));
    let (handle, _) = world.state.subject(&user()).unwrap();
    let kept = &world.state.frames_seen[&handle];
    assert_eq!(kept.len(), FRAMES_KEPT);
    assert_eq!(kept[FRAMES_KEPT - 30..], marks(19, 30));
    let of_frames = |one: &&Recorded| match &one.content {
        Content::State(event) => matches!(**event, Event::FramesSeen { .. }),
        Content::Claims { .. } => false,
    };
    assert!(
        world
            .log
            .iter()
            .filter(of_frames)
            .all(|one| one.owner.is_some())
    );
    assert!(through_pieces(&world.state) == world.state);
    // Another customer's frames are not one's own.
    let lent = world.answer(&other, performed(marks(19, 30), None, true));
    assert_eq!(lent.1, None);
    let (id, salt) = (redoubt_shared::ErasureId::from_bytes([9; 16]), [7; 32]);
    let user = user();
    world.run(Command::EraseSubject { user, id, salt }).unwrap();
    assert!(!world.state.frames_seen.contains_key(&handle));
    assert!(world.replayed() == world.state);
}

#[test]
fn a_stranger_s_answer_records_and_learns_as_much_as_a_customer_s() {
    let mut world = world();
    let stranger: UserId = "stranger".parse().unwrap();
    let shapes = |world: &World, from: usize| -> Vec<(String, bool)> {
        let shape = |one: &Recorded| match &one.content {
            Content::State(event) => {
                let bytes = postcard::to_stdvec(event).unwrap();
                (bytes[0].to_string(), one.owner.is_some())
            }
            Content::Claims { text } => {
                let claim: serde_json::Value = serde_json::from_str(text).unwrap();
                (
                    claim["active_liveness_lapse"].to_string(),
                    one.owner.is_some(),
                )
            }
        };
        world.log[from..].iter().map(shape).collect()
    };
    // Begun before: both have a lapse, so that both fail.
    let lapse = Some(Lapse::NotFrontal);
    for (number, expected) in [(1, lapse), (1, Some(Lapse::SeenBefore))] {
        let mut both = [user(), stranger.clone()].map(|name| {
            let id = world.reserve(&name).unwrap();
            let from = world.log.len();
            let comparison = Comparison {
                confidence: 0.0,
                sample: SampleUse {
                    performed: Some(performed(marks(number, 9), lapse, true)),
                    ..sample_of("m")
                },
                ..comparison(false)
            };
            let user = name;
            let conclude = Command::ConcludeAttempt {
                user,
                id,
                comparison,
            };
            let Reply::Verdict { ending, lapse, .. } = world.run(conclude).unwrap() else {
                panic!("no verdict");
            };
            assert_eq!((ending, lapse), (Ending::Failed, expected));
            shapes(&world, from)
        });
        // A stranger's failure is kept by name, where a customer's is in the attempt.
        for one in &mut both {
            one.retain(|(what, _)| what.starts_with('"') || *what == frames_seen());
        }
        assert_eq!(both[0], both[1]);
        assert_eq!(both[0].len(), 2);
    }
}

/// Frames that another name was answered with tell nobody that this one has no customer.
#[test]
fn a_stranger_s_frames_are_known_under_their_own_name_alone() {
    let mut world = world();
    let (first, second): (UserId, UserId) =
        ("nobody-1".parse().unwrap(), "nobody-2".parse().unwrap());
    let frames = || performed(marks(7, 9), None, true);
    assert_eq!(world.answer(&first, frames()).1, None);
    assert_eq!(world.answer(&second, frames()).1, None);
    assert_eq!(world.answer(&second, frames()).1, Some(Lapse::SeenBefore));
}

/// A face that matches an older template, or one of another tier, and was played again.
#[test]
fn a_rejection_names_a_made_up_template_where_a_right_face_did_not_do_its_moves() {
    let mut world = world();
    let with_instead = || {
        let mut performed = performed(marks(3, 9), None, true);
        let made_up = SampleUse {
            template_tier: "made-up".into(),
            ..sample_of("newest")
        };
        performed.instead = Some(Box::new((made_up, Vec::new())));
        performed
    };
    world.answer(&user(), with_instead());
    assert_eq!(world.last_claim()["model"], "m", "it matched");
    let (ending, lapse) = world.answer(&user(), with_instead());
    assert_eq!((ending, lapse), (Ending::Failed, Some(Lapse::SeenBefore)));
    let claim = world.last_claim();
    assert_eq!(
        (&claim["model"], &claim["template_tier"]),
        (&"newest".into(), &"made-up".into())
    );
    assert_eq!(claim["active_liveness_lapse"], "seen_before");
}

/// The number of the variant.
fn frames_seen() -> String {
    let event = Event::FramesSeen {
        handle: SubjectHandle([1; 16]),
        marks: marks(1, 1),
    };
    postcard::to_stdvec(&event).unwrap()[0].to_string()
}

#[test]
fn frames_are_recorded_in_golden_bytes() {
    let event = Event::FramesSeen {
        handle: SubjectHandle([1; 16]),
        marks: vec![FrameMark {
            digest: [2; 8],
            print: [3; 32],
        }],
    };
    let bytes = postcard::to_stdvec(&event).unwrap();
    let golden = [&[52][..], &[1; 16], &[1], &[2; 8], &[3; 32]].concat();
    assert_eq!(bytes, golden);
    let decoded: Event = redoubt_shared::frame::decode_canonical(&golden).unwrap();
    assert!(decoded == event);
}

#[test]
fn an_enrolment_takes_no_wrong_answer_where_one_is_required_and_goes_on_waiting() {
    let mut world = world();
    world.answer(&user(), performed(marks(1, 9), None, true));
    let id = EnrollmentId::from_bytes(world.draw());
    let token_hash = [1; 32];
    world
        .run(Command::BeginEnrollment {
            modality: Modality::Face,
            user: user(),
            id,
            token_hash,
            consent_given: true,
        })
        .unwrap();
    let next = world.next_transform(&user());
    let complete = |performed| Command::CompleteEnrollment {
        id,
        template: Box::new(template(next)),
        liveness: None,
        performed: Some(performed),
        searched: None,
    };
    world
        .run(Command::ReserveEnrollmentSample { id, token_hash })
        .unwrap();
    let refused = world.run(complete(performed(marks(1, 9), None, true)));
    assert_eq!(
        refused.err(),
        Some(Refusal::ChallengeFailed(Lapse::SeenBefore))
    );
    world
        .run(complete(performed(marks(2, 9), None, true)))
        .unwrap();
    assert_eq!(world.last_claim()["active_liveness"], "passed");
}
