//! Made-up measures against the rules of a challenge.

use super::*;
use crate::biometrics::{CalibrationPoint, Part};
use redoubt_shared::worker::{Embedding, FaceQuality, FaceSample};

const LEFT: (f32, f32) = (25.0, 0.0);
const RIGHT: (f32, f32) = (-25.0, 0.0);
const UP: (f32, f32) = (0.0, 18.0);
const REST: (f32, f32) = (1.0, -1.0);

fn space() -> Space {
    let row = |false_match_rate, cosine| CalibrationPoint {
        false_match_rate,
        cosine,
    };
    Space {
        id: "s".into(),
        parts: vec![Part {
            model: "m".into(),
            weight: 1.0,
        }],
        calibration: vec![row(1e-2, 0.6), row(1e-3, 0.7), row(1e-4, 0.8)],
    }
}

/// A face at these angles from a face that looks 5 degrees aside and 8 down.
fn at((yaw, pitch): (f32, f32)) -> FrameSample {
    FrameSample {
        face: FaceSample {
            embeddings: person(0.0),
            quality: FaceQuality {
                detection: 0.9,
                eye_distance: 80.0,
                brightness: 120.0,
                sharpness: 100.0,
                embedding_norm: 5.0,
                score: 0.8,
            },
            liveness: None,
        },
        yaw: yaw + 5.0,
        pitch: pitch - 8.0,
        eyes: [0.97, 0.93],
        place: [0.3, 0.2, 0.4, 0.6],
        picture: [640, 480],
        print: [0; 32],
    }
}

/// Somebody, so far from the person.
fn person(angle: f32) -> Vec<Embedding> {
    let vector = vec![angle.cos(), angle.sin()];
    let model = "m".into();
    vec![Embedding { model, vector }]
}

fn shut() -> FrameSample {
    FrameSample {
        eyes: [0.1, 0.2],
        ..at(REST)
    }
}

/// Frames of moves, with a look into the camera before, between and after.
fn of(moves: &[Move]) -> Vec<FrameSample> {
    let mut frames = vec![at((0.0, 0.0)), at(REST)];
    for one in moves {
        match one {
            Move::TurnLeft => frames.extend([at((10.0, 1.0)), at(LEFT), at((9.5, 0.0))]),
            Move::TurnRight => frames.extend([at((-10.0, 1.0)), at(RIGHT)]),
            Move::LookUp => frames.extend([at((0.0, 7.0)), at(UP)]),
            Move::Blink => frames.push(shut()),
        }
        frames.extend([at(REST), at((-1.0, 2.0))]);
    }
    frames
}

fn told(asked: &[Move], frames: &[FrameSample]) -> Result<(), Lapse> {
    // No two pictures of a camera are alike.
    let mut frames = frames.to_vec();
    for (at, frame) in frames.iter_mut().enumerate() {
        frame.print[0] = at as u8;
    }
    judge(asked, &frames, best(&frames).unwrap(), &space())
}

fn every_challenge() -> Vec<[Move; MOVES]> {
    (0..24).map(drawn).collect()
}

#[test]
fn every_order_of_three_of_the_four_moves_is_drawn_as_often() {
    let all = every_challenge();
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), 24);
    assert!(all.iter().all(|[a, b, c]| a != b && b != c && a != c));
}

#[test]
fn whoever_does_what_was_asked_passes_and_nobody_else() {
    for asked in every_challenge() {
        for done in every_challenge() {
            let outcome = told(&asked, &of(&done));
            let moves = |of: &[Move]| -> Vec<Move> {
                of.iter()
                    .copied()
                    .filter(|one| *one != Move::Blink)
                    .collect()
            };
            match asked == done {
                true => assert_eq!(outcome, Ok(())),
                false => assert!(outcome.is_err(), "{asked:?} {done:?}"),
            }
            if moves(&asked) != moves(&done) {
                assert!(matches!(
                    outcome,
                    Err(Lapse::OtherMove(_) | Lapse::NotDone(_))
                ));
            }
        }
    }
}

#[test]
fn every_move_over_and_over_answers_nothing() {
    let all = [
        Move::TurnLeft,
        Move::Blink,
        Move::TurnRight,
        Move::Blink,
        Move::LookUp,
    ];
    for asked in every_challenge() {
        let frames = of(&all.repeat(2));
        let lapse = told(&asked, &frames).expect_err("it answers everything");
        let moved = matches!(lapse, Lapse::OtherMove(_) | Lapse::NotDone(Move::Blink));
        assert!(moved, "{asked:?} {lapse:?}");
    }
}

#[test]
fn people_may_blink_where_nobody_asked_and_must_where_somebody_did() {
    use Move::{Blink, LookUp, TurnLeft, TurnRight};
    let asked = [TurnLeft, LookUp, TurnRight];
    let often = [Blink, TurnLeft, Blink, Blink, LookUp, TurnRight, Blink];
    assert_eq!(told(&asked, &of(&often)), Ok(()));
    let asked = [TurnLeft, Blink, LookUp];
    assert_eq!(told(&asked, &of(&often[..5])), Ok(()));
    let elsewhere = of(&[Blink, TurnLeft, LookUp, Blink]);
    assert_eq!(told(&asked, &elsewhere), Err(Lapse::NotDone(Blink)));
    // Eyes that stay shut are no blink, nor is one eye.
    let mut asleep = of(&[TurnLeft, LookUp]);
    asleep.extend([shut(), shut()]);
    let asked = [TurnLeft, LookUp, Blink];
    assert_eq!(told(&asked, &asleep), Err(Lapse::NotDone(Blink)));
    asleep.push(at(REST));
    assert_eq!(told(&asked, &asleep), Ok(()));
    let mut wink = of(&[TurnLeft, LookUp, Blink]);
    let at = wink.iter().position(|frame| frame.eyes[0] < 0.5).unwrap();
    wink[at].eyes[1] = 0.9;
    assert_eq!(told(&asked, &wink), Err(Lapse::NotDone(Blink)));
}

#[test]
fn a_still_a_small_move_and_frames_backwards_are_told_what_is_missing() {
    use Move::{Blink, LookUp, TurnLeft};
    let asked = [TurnLeft, Blink, LookUp];
    assert_eq!(
        told(&asked, &vec![at(REST); 12]),
        Err(Lapse::NotDone(TurnLeft))
    );
    let mut small = of(&asked);
    for frame in &mut small {
        frame.yaw = frame.yaw.min(5.0 + TURNED - 0.5);
    }
    assert_eq!(told(&asked, &small), Err(Lapse::OtherMove(LookUp)));
    let mut backwards = of(&asked);
    backwards.reverse();
    assert_eq!(told(&asked, &backwards), Err(Lapse::OtherMove(LookUp)));
}

#[test]
fn a_head_that_does_not_come_back_between_turns_did_them_all_the_same() {
    let frames = [(0.0, 0.0), (0.0, 0.0), LEFT, RIGHT, UP, REST, REST, REST].map(at);
    let asked = [Move::TurnLeft, Move::TurnRight, Move::LookUp];
    assert_eq!(told(&asked, &frames), Ok(()));
}

#[test]
fn it_begins_with_a_look_into_the_camera() {
    let asked = [Move::TurnLeft, Move::Blink, Move::LookUp];
    type Spoil = fn(&mut FrameSample);
    let spoils: [Spoil; 4] = [
        |frame| frame.yaw = 21.0,
        |frame| frame.yaw = -21.0,
        |frame| frame.pitch = 21.0,
        |frame| frame.eyes[1] = 0.4,
    ];
    for spoil in spoils {
        let mut frames = of(&asked);
        spoil(&mut frames[0]);
        assert_eq!(told(&asked, &frames), Err(Lapse::NotFrontal));
    }
}

#[test]
fn somebody_else_in_any_frame_is_found() {
    let asked = [Move::TurnLeft, Move::Blink, Move::LookUp];
    let frames = of(&asked);
    for at in 0..frames.len() {
        let mut frames = frames.clone();
        frames[at].face.embeddings = person(0.9);
        assert_eq!(told(&asked, &frames), Err(Lapse::SeveralPeople), "{at}");
        frames[at].face.embeddings = person(0.7);
        assert_eq!(told(&asked, &frames), Ok(()), "{at}");
    }
}

#[test]
fn another_camera_or_a_face_that_jumps_is_found() {
    let asked = [Move::TurnLeft, Move::Blink, Move::LookUp];
    type Spoil = fn(&mut FrameSample);
    let spoils: [Spoil; 5] = [
        |frame| frame.picture = [480, 640],
        |frame| frame.place[0] += 0.31,
        |frame| frame.place[1] -= 0.5,
        |frame| frame.place[2] *= 1.7,
        |frame| frame.yaw += 61.0,
    ];
    for spoil in spoils {
        let mut frames = of(&asked);
        spoil(&mut frames[3]);
        assert_eq!(told(&asked, &frames), Err(Lapse::Jumped));
    }
}

#[test]
fn what_is_compared_is_the_best_look_into_the_camera() {
    let mut frames = of(&[Move::TurnLeft, Move::Blink, Move::LookUp]);
    frames[3].face.quality.score = 0.99;
    frames[1].face.quality.score = 0.9;
    assert_eq!(best(&frames), Some(1));
    frames[1].eyes[0] = 0.2;
    assert_eq!(best(&frames), Some(0));
    for frame in &mut frames {
        frame.face.quality.score = 0.49;
    }
    assert_eq!(best(&frames), None);
    frames[3].face.quality.score = 0.5;
    assert_eq!(best(&frames), Some(3), "better turned away than not at all");
    assert_eq!(best(&[]), None);
    assert_eq!(judge(&[], &[], 0, &space()), Err(Lapse::NotFrontal));
}

#[test]
fn one_picture_in_two_files_is_found_by_its_measures() {
    let frame = |number: u16| FrameSample {
        yaw: 5.0 + f32::from(number) / 1000.0,
        ..at(REST)
    };
    let mut frames: Vec<FrameSample> = (0..30).map(frame).collect();
    assert!(!repeats(&frames));
    frames[29] = frames[3].clone();
    assert!(repeats(&frames));
    let refused = judge(&[Move::Blink], &frames, 0, &space());
    assert_eq!(refused, Err(Lapse::FrameRepeated));
    frames[29].print[31] ^= 1;
    assert!(!repeats(&frames));
}

/// A picture that looks more alive than the frames with the moves does not stand for them.
#[test]
fn the_least_live_calm_look_counts_and_no_turned_one() {
    let looks = |angles, liveness| {
        let mut frame = at(angles);
        frame.face.liveness = liveness;
        frame
    };
    let mut frames = vec![
        looks(REST, Some(0.3)),
        looks(LEFT, Some(0.1)),
        looks(REST, Some(0.9)),
    ];
    assert_eq!(least_live(&frames, 2), Some(0.3));
    frames[0].face.liveness = None;
    assert_eq!(least_live(&frames, 2), None, "nobody looked");
    assert_eq!(least_live(&[], 0), None);
}
