//! How a head is turned and raised, and how open its eyes are.
//!
//! Three networks: 68 landmarks find the eyes, a second looks at each, a third tells the
//! angles of the head. What they say of photographs is measured in docs/liveness.md.

use ort::environment::Environment;
use redoubt_shared::worker::SampleRefusal;

use super::detect::Face;
use super::network::{Network, NetworkError};
use super::pixels::{Pixels, luma};
use super::{PipelineError, failed};
use crate::manifest::Manifest;
use crate::onnx::{InputSize, mend};

/// Sides of what the networks take, in pixels.
const LANDMARK_SIDE: usize = 64;
const EYE_SIDE: usize = 24;
const POSE_SIDE: usize = 224;
/// Points of a face (iBUG's 68).
const POINTS: usize = 68;
/// The first of the six points around each eye; the first and fourth are its corners.
const EYES: [usize; 2] = [36, 42];
/// How wide the square around an eye is, as a multiple of the eye.
const EYE_SURROUNDINGS: f32 = 1.6;
/// How much of the face's box is added on each side for the pose.
const POSE_MARGIN: f32 = 0.25;
/// Means and deviations of ImageNet's colours, red first.
const COLOURS: [(f32, f32); 3] = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
/// Steps of an angle, degrees of each, and the first.
const STEPS: usize = 66;
const STEP: f32 = 3.0;
const FIRST: f32 = -99.0;
/// Names of the angles among the outputs of the network.
const YAW: &str = "output";
const PITCH: &str = "617";

/// The three graphs.
#[derive(Debug)]
pub(super) struct Graphs([(String, Vec<u8>); 3]);

impl Graphs {
    /// All of them, or none.
    pub(super) fn read(manifest: &Manifest) -> Result<Option<Self>, PipelineError> {
        let mut graphs = Vec::new();
        for role in ["face_landmarks", "face_eyes", "face_pose"] {
            for file in manifest.models(role)? {
                let graph = mend(&file.bytes, InputSize::Fixed)?;
                graphs.push((role, (file.id, graph)));
            }
        }
        let roles: Vec<&str> = graphs.iter().map(|(role, _)| *role).collect();
        match roles[..] {
            [] => Ok(None),
            ["face_landmarks", "face_eyes", "face_pose"] => {
                let graphs: Vec<_> = graphs.into_iter().map(|(_, graph)| graph).collect();
                let graphs = graphs.try_into().map_err(|_| PipelineError::Roles)?;
                Ok(Some(Self(graphs)))
            }
            _ => Err(PipelineError::Roles),
        }
    }
}

/// The networks of one thread.
#[derive(Debug)]
pub(super) struct Moves {
    landmarks: Network,
    eyes: Network,
    pose: Network,
}

impl Moves {
    pub(super) fn load(
        environment: &Environment,
        graphs: &Graphs,
        threads: usize,
    ) -> Result<Self, NetworkError> {
        let [landmarks, eyes, pose] = &graphs.0;
        let load = |(id, graph): &(String, Vec<u8>)| Network::load(environment, id, graph, threads);
        Ok(Self {
            landmarks: load(landmarks)?,
            eyes: load(eyes)?,
            pose: load(pose)?,
        })
    }

    /// Runs each once on a blank input.
    pub(super) fn warm_up(&mut self) -> Result<(), NetworkError> {
        points(&mut self.landmarks, &[0.0; LANDMARK_SIDE * LANDMARK_SIDE])?;
        openness(&mut self.eyes, &[0.0; EYE_SIDE * EYE_SIDE])?;
        angles(&mut self.pose, &vec![0.0; 3 * POSE_SIDE * POSE_SIDE])?;
        Ok(())
    }

    /// Degrees that the head is turned to the person's own left, and raised.
    pub(super) fn pose(
        &mut self,
        image: &Pixels,
        face: &Face,
    ) -> Result<(f32, f32), SampleRefusal> {
        let part = Part {
            left: face.x - face.width * POSE_MARGIN,
            top: face.y - face.height * POSE_MARGIN,
            width: face.width * (1.0 + 2.0 * POSE_MARGIN),
            height: face.height * (1.0 + 2.0 * POSE_MARGIN),
        };
        let square = part.scaled(image, POSE_SIDE).ok_or(SampleRefusal::NoFace)?;
        let plane = |channel: usize| {
            let (mean, deviation) = COLOURS[channel];
            let colour = move |rgb: &[f32; 3]| (rgb[channel] / 255.0 - mean) / deviation;
            square.iter().map(colour)
        };
        let input: Vec<f32> = (0..3).flat_map(plane).collect();
        let (yaw, pitch) = angles(&mut self.pose, &input).map_err(failed)?;
        match yaw.is_finite() && pitch.is_finite() {
            // The network counts turns to the person's right.
            true => Ok((-yaw, pitch)),
            false => Err(SampleRefusal::Failed),
        }
    }

    /// How open each eye is, 0 to 1; the one at the picture's left first.
    pub(super) fn eyes(&mut self, image: &Pixels, face: &Face) -> Result<[f32; 2], SampleRefusal> {
        let part = Part {
            left: face.x,
            top: face.y,
            width: face.width,
            height: face.height,
        };
        let square = part
            .scaled(image, LANDMARK_SIDE)
            .ok_or(SampleRefusal::NoFace)?;
        let input: Vec<f32> = square.into_iter().map(|rgb| luma(rgb) / 256.0).collect();
        let points = points(&mut self.landmarks, &input).map_err(failed)?;
        let mut open = [0.0; 2];
        for (open, first) in open.iter_mut().zip(EYES) {
            let around = part.eye(&points, first).ok_or(SampleRefusal::NoFace)?;
            let square = around
                .scaled(image, EYE_SIDE)
                .ok_or(SampleRefusal::NoFace)?;
            let input: Vec<f32> = square.into_iter().map(|rgb| luma(rgb) / 255.0).collect();
            let seen = openness(&mut self.eyes, &input).map_err(failed)?;
            *open = Some(seen)
                .filter(|seen| seen.is_finite())
                .ok_or(SampleRefusal::Failed)?;
        }
        Ok(open)
    }
}

/// Landmarks as parts of the box: x and y in turn.
fn points(network: &mut Network, input: &[f32]) -> Result<Vec<f32>, NetworkError> {
    network.run([1, 1, LANDMARK_SIDE, LANDMARK_SIDE], input, |outputs| {
        Ok(outputs.only(2 * POINTS)?.to_vec())
    })
}

fn openness(network: &mut Network, input: &[f32]) -> Result<f32, NetworkError> {
    network.run([1, 1, EYE_SIDE, EYE_SIDE], input, |outputs| {
        let logits = outputs.only(2)?;
        Ok(1.0 / (1.0 + (logits[0] - logits[1]).exp()))
    })
}

/// Yaw and pitch in the network's own directions, in degrees.
fn angles(network: &mut Network, input: &[f32]) -> Result<(f32, f32), NetworkError> {
    network.run([1, 3, POSE_SIDE, POSE_SIDE], input, |outputs| {
        let angle = |name| Ok::<_, NetworkError>(degrees(outputs.named(name, STEPS)?));
        Ok((angle(YAW)?, angle(PITCH)?))
    })
}

/// What a distribution over steps expects.
fn degrees(logits: &[f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let powers = logits.iter().map(|logit| (logit - most).exp());
    let (mut sum, mut weighed) = (0.0, 0.0);
    for (at, power) in powers.enumerate() {
        sum += power;
        weighed += power * at as f32;
    }
    FIRST + STEP * weighed / sum
}

/// A part of the picture, in its pixels; it may reach beyond.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    left: f32,
    top: f32,
    width: f32,
    height: f32,
}

impl Part {
    /// The square around the eye whose six points begin with `first`.
    fn eye(&self, points: &[f32], first: usize) -> Option<Self> {
        let point = |at: usize| {
            let (x, y) = (points[2 * at], points[2 * at + 1]);
            [self.left + x * self.width, self.top + y * self.height]
        };
        let lids = [1, 2, 4, 5].map(|at| point(first + at));
        let middle = |axis: usize| lids.iter().map(|lid| lid[axis]).sum::<f32>() / 4.0;
        let side = (point(first + 3)[0] - point(first)[0]) * EYE_SURROUNDINGS;
        let around = Self {
            left: middle(0) - side / 2.0,
            top: middle(1) - side / 2.0,
            width: side,
            height: side,
        };
        (side >= 1.0 && around.left.is_finite() && around.top.is_finite()).then_some(around)
    }

    /// Scaled to a square: RGB 0 to 255 row by row, black outside the picture. `None`
    /// where nothing of it lies inside.
    fn scaled(&self, image: &Pixels, side: usize) -> Option<Vec<[f32; 3]>> {
        let inside = |from: f32, length: f32, end: usize| {
            let start = (from.floor().max(0.0) as usize).min(end);
            (start, ((from + length).ceil().max(0.0) as usize).min(end))
        };
        let (left, right) = inside(self.left, self.width, image.width);
        let (top, bottom) = inside(self.top, self.height, image.height);
        if right <= left || bottom <= top {
            return None;
        }
        // Means of whole pixels first where it shrinks by more than two.
        let shrinks = self.width.min(self.height) / side as f32;
        let part = image.cropped(left, top, right - left, bottom - top);
        let factor = (shrinks as usize).clamp(1, part.width.min(part.height));
        let part = part.reduced(factor);
        let along = |at: usize, from: f32, length: f32, cut: usize| {
            let point = from + (at as f32 + 0.5) * length / side as f32 - cut as f32;
            point / factor as f32 - 0.5
        };
        let mut square = Vec::with_capacity(side * side);
        for row in 0..side {
            let y = along(row, self.top, self.height, top);
            let row = (0..side).map(|at| part.sample(along(at, self.left, self.width, left), y));
            square.extend(row);
        }
        Some(square)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_angle_is_what_the_steps_expect() {
        let mut logits = [-1000.0f32; STEPS];
        logits[33] = 5.0;
        assert_eq!(degrees(&logits), 0.0);
        logits[43] = 5.0;
        assert_eq!(degrees(&logits), 15.0);
        assert!(degrees(&[f32::NAN; STEPS]).is_nan());
    }

    #[test]
    fn a_part_is_scaled_wherever_it_lies() {
        let rgb = (0..40 * 30).flat_map(|i| [(i % 40) as u8 * 6, (i / 40) as u8 * 8, 9]);
        let image = Pixels {
            width: 40,
            height: 30,
            rgb: rgb.collect(),
        };
        let part = |left: f32, top: f32, width: f32, height: f32| Part {
            left,
            top,
            width,
            height,
        };
        let same = part(8.0, 4.0, 16.0, 16.0).scaled(&image, 16).unwrap();
        assert_eq!(same[0], [48.0, 32.0, 9.0]);
        assert_eq!(same[5 * 16 + 3], [66.0, 72.0, 9.0]);
        let halved = part(8.0, 4.0, 16.0, 16.0).scaled(&image, 8).unwrap();
        assert_eq!(halved[0], [51.0, 36.0, 9.0]);
        let beyond = part(-20.0, -20.0, 30.0, 30.0).scaled(&image, 30).unwrap();
        assert_eq!(beyond[0], [0.0; 3]);
        assert_eq!(beyond[25 * 30 + 25], [30.0, 40.0, 9.0]);
        for (left, top) in [(40.0, 0.0), (-9.0, 0.0), (0.0, 99.0), (f32::NAN, f32::NAN)] {
            let seen = part(left, top, 9.0, 9.0).scaled(&image, 8);
            assert!(seen.is_none() || left.is_nan(), "{left} {top}");
        }
        let large = part(0.0, 0.0, 4000.0, 4000.0).scaled(&image, 4).unwrap();
        assert_eq!(large.len(), 16);
    }

    #[test]
    fn an_eye_without_width_is_none() {
        let part = Part {
            left: 0.0,
            top: 0.0,
            width: 100.0,
            height: 100.0,
        };
        let mut points = vec![0.5; 2 * POINTS];
        assert_eq!(part.eye(&points, 36), None);
        points[2 * 39] = 0.7;
        let eye = part.eye(&points, 36).unwrap();
        assert!((eye.width - 32.0).abs() < 1e-3 && (eye.left - 34.0).abs() < 1e-3);
        points[3 + 2 * 36] = f32::NAN;
        assert_eq!(part.eye(&points, 36), None);
    }
}
