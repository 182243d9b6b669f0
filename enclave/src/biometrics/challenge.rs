//! Did one person do what the challenge asked, in order?
//!
//! Protects against a recording made for another challenge and against a second face lent
//! for the moves: the moves seen must be exactly those asked for, each
//! followed by a return, and every frame must show the person who is compared. A video
//! made to follow the challenge and put in behind the camera passes (docs/threat-model.md).

use redoubt_shared::worker::FrameSample;

use super::{Space, accepts, angle, false_match_rate};
use crate::core::{Lapse, Move};

/// How many moves a challenge asks for.
pub const MOVES: usize = 3;
/// Degrees from where the face began: from here on it is turned.
const TURNED: f32 = 12.0;
/// The same of raising it. Lids that shut alone raised it by up to six, as the network
/// measures it.
const RAISED: f32 = 10.0;
/// Up to here it is where it began.
const AT_REST: [f32; 2] = [7.0, 7.0];
/// A face looks into the camera up to these degrees of yaw, and within these of pitch,
/// which the network measures some degrees too low.
const FRONTAL_YAW: f32 = 20.0;
const FRONTAL_PITCH: [f32; 2] = [-30.0, 20.0];
/// Eyes are shut below this.
const OPEN: f32 = 0.5;
/// A face does not turn further than this from one frame to the next, in degrees.
const TURN_MOST: f32 = 60.0;
/// Nor does it move further than this part of its width,
const STEP_MOST: f32 = 0.75;
/// nor grow or shrink to more or less than this.
const GROWTH_MOST: f32 = 1.6;
/// False matches per million at which two frames show one person.
const ONE_PERSON_PER_MILLION: u32 = 1000;

/// Three different moves in an order of their own, by a uniform number.
pub fn drawn(random: u64) -> [Move; MOVES] {
    let mut left = vec![Move::TurnLeft, Move::TurnRight, Move::LookUp, Move::Blink];
    let mut random = random;
    [(); MOVES].map(|()| {
        let of = left.len() as u64;
        let at = random % of;
        random /= of;
        left.remove(at as usize)
    })
}

/// The frame to compare: the best among those that look most into the camera, where the
/// face began, with open eyes. `None` where no frame is good enough.
pub fn best(frames: &[FrameSample]) -> Option<usize> {
    let first = frames.first()?;
    let good = |(_, frame): &(usize, &FrameSample)| frame.face.quality.score >= 0.5;
    let calm = |(_, frame): &(usize, &FrameSample)| is_open(frame) && is_at_rest(first, frame);
    let by_score = |a: &(usize, &FrameSample), b: &(usize, &FrameSample)| {
        let scores = (a.1.face.quality.score, b.1.face.quality.score);
        scores.0.total_cmp(&scores.1).then(b.0.cmp(&a.0))
    };
    let all = || frames.iter().enumerate().filter(good);
    let found = all().filter(calm).max_by(by_score);
    found.or_else(|| all().max_by(by_score)).map(|(at, _)| at)
}

/// The least live look of those that look into the camera, the one that is compared among
/// them: no better picture stands for the moves.
pub fn least_live(frames: &[FrameSample], compared: usize) -> Option<f32> {
    let first = frames.first()?;
    let calm = |frame: &&FrameSample| is_open(frame) && is_at_rest(first, frame);
    let looks = frames.iter().filter(calm).chain(frames.get(compared));
    let seen: Option<Vec<f32>> = looks.map(|frame| frame.face.liveness).collect();
    seen?.into_iter().min_by(f32::total_cmp)
}

/// Judges frames against what was asked, the one that is compared among them.
pub fn judge(
    asked: &[Move],
    frames: &[FrameSample],
    compared: usize,
    space: &Space,
) -> Result<(), Lapse> {
    if repeats(frames) {
        return Err(Lapse::FrameRepeated);
    }
    continuous(frames)?;
    frontal(frames)?;
    one_person(frames, compared, space)?;
    in_order(asked, &seen(frames))
}

/// Whether two frames are one picture, in whatever files: measures alike to the last bit.
fn repeats(frames: &[FrameSample]) -> bool {
    let same = |a: &FrameSample, b: &FrameSample| {
        (a.print, a.yaw, a.pitch) == (b.print, b.yaw, b.pitch)
            && a.face.embeddings == b.face.embeddings
    };
    let mut each = frames.iter().enumerate();
    each.any(|(at, one)| frames[..at].iter().any(|other| same(one, other)))
}

fn is_open(frame: &FrameSample) -> bool {
    frame.eyes.iter().all(|eye| *eye >= OPEN)
}

fn is_shut(frame: &FrameSample) -> bool {
    frame.eyes.iter().all(|eye| *eye < OPEN)
}

fn is_at_rest(first: &FrameSample, frame: &FrameSample) -> bool {
    (frame.yaw - first.yaw).abs() <= AT_REST[0] && (frame.pitch - first.pitch).abs() <= AT_REST[1]
}

/// One camera, and a face that does not jump.
fn continuous(frames: &[FrameSample]) -> Result<(), Lapse> {
    let follows = |pair: &[FrameSample]| {
        let [one, next] = pair else { return true };
        let [left, top, width, height] = one.place;
        let [to_left, to_top, to_width, to_height] = next.place;
        let across = ((to_left + to_width / 2.0) - (left + width / 2.0)).abs();
        let down = ((to_top + to_height / 2.0) - (top + height / 2.0)).abs();
        let alike = |a: f32, b: f32| a <= b * GROWTH_MOST && b <= a * GROWTH_MOST;
        one.picture == next.picture
            && (next.yaw - one.yaw).abs() <= TURN_MOST
            && (next.pitch - one.pitch).abs() <= TURN_MOST
            && across <= STEP_MOST * width.max(to_width)
            && down <= STEP_MOST * height.max(to_height)
            && alike(width, to_width)
            && alike(height, to_height)
    };
    match frames.windows(2).all(follows) {
        true => Ok(()),
        false => Err(Lapse::Jumped),
    }
}

/// The first frame is what all others are measured from.
fn frontal(frames: &[FrameSample]) -> Result<(), Lapse> {
    let looks = |frame: &FrameSample| {
        let [low, high] = FRONTAL_PITCH;
        frame.yaw.abs() <= FRONTAL_YAW && (low..=high).contains(&frame.pitch) && is_open(frame)
    };
    match frames.first().is_some_and(looks) {
        true => Ok(()),
        false => Err(Lapse::NotFrontal),
    }
}

/// Every frame shows the person of the frame that is compared.
fn one_person(frames: &[FrameSample], compared: usize, space: &Space) -> Result<(), Lapse> {
    let of = |frame: &FrameSample| space.of(&frame.face.embeddings);
    let reference = frames.get(compared).and_then(of);
    let reference = reference.ok_or(Lapse::SeveralPeople)?;
    let same = |frame: &FrameSample| {
        let cosine = of(frame).and_then(|own| angle(reference.vector.iter().copied(), &own.vector));
        cosine.is_some_and(|cosine| {
            let rate = false_match_rate(&space.calibration, cosine);
            accepts(rate, ONE_PERSON_PER_MILLION)
        })
    };
    match frames.iter().all(same) {
        true => Ok(()),
        false => Err(Lapse::SeveralPeople),
    }
}

/// Moves in the order in which they were seen. A turn counts once until the face was at
/// rest again; a blink once the eyes are open again.
fn seen(frames: &[FrameSample]) -> Vec<Move> {
    let mut seen = Vec::new();
    let Some(first) = frames.first() else {
        return seen;
    };
    let (mut away, mut shut) = (None, false);
    for frame in frames {
        match turned(first, frame) {
            Some(one) if away != Some(one) => {
                (away, shut) = (Some(one), false);
                seen.push(one);
            }
            Some(_) => {}
            None => {
                if is_at_rest(first, frame) {
                    away = None;
                }
                if shut && is_open(frame) {
                    seen.push(Move::Blink);
                }
                shut = is_shut(frame) || (shut && !is_open(frame));
            }
        }
    }
    seen
}

/// Where the head is turned, most of all.
fn turned(first: &FrameSample, frame: &FrameSample) -> Option<Move> {
    let (yaw, pitch) = (frame.yaw - first.yaw, frame.pitch - first.pitch);
    let degrees = [
        (Move::TurnLeft, yaw / TURNED),
        (Move::TurnRight, -yaw / TURNED),
        (Move::LookUp, pitch / RAISED),
    ];
    let most = degrees.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    most.filter(|(_, part)| *part >= 1.0).map(|(one, _)| one)
}

/// The moves seen are those asked for and no others. People blink without being asked,
/// so that blinks in other places are nothing.
fn in_order(asked: &[Move], seen: &[Move]) -> Result<(), Lapse> {
    let mut seen = seen.iter().copied().peekable();
    for asked in asked {
        if *asked == Move::Blink {
            seen.next_if_eq(&Move::Blink)
                .ok_or(Lapse::NotDone(Move::Blink))?;
        }
        while seen.next_if_eq(&Move::Blink).is_some() {}
        if *asked != Move::Blink {
            match seen.next() {
                Some(done) if done == *asked => {}
                Some(other) => return Err(Lapse::OtherMove(other)),
                None => return Err(Lapse::NotDone(*asked)),
            }
        }
    }
    match seen.find(|one| *one != Move::Blink) {
        Some(other) => Err(Lapse::OtherMove(other)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "challenge_tests.rs"]
mod tests;
