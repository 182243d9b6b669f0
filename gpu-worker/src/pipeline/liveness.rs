//! Is this a person, or a picture of one? One look at the texture around the face.
//!
//! A signal, not a proof: it tells some prints and screens from people, and it
//! misses others. What it does to people is measured (docs/liveness.md); what it
//! does to attacks was not, for want of recorded ones.

use redoubt_shared::worker::SampleRefusal;

use super::detect::Face;
use super::network::{Network, NetworkError};
use super::pixels::Pixels;

/// Side of the square the network takes, in pixels.
pub(super) const SIDE: usize = 128;
/// How much of the surroundings belongs to it, as a multiple of the face's box.
const SURROUNDINGS: f32 = 2.7;
/// A live person, a print, a screen.
const CLASSES: usize = 3;

/// Probability in [0, 1] that the face is live.
pub(super) fn measure(
    network: &mut Network,
    image: &Pixels,
    face: &Face,
) -> Result<f32, SampleRefusal> {
    let logits = run(network, &surroundings(image, face)).map_err(super::failed)?;
    live(logits).ok_or(SampleRefusal::Failed)
}

/// What the network takes of a face: planar, blue first, 0 to 255.
pub(super) fn surroundings(image: &Pixels, face: &Face) -> Vec<f32> {
    Part::around(face, image).planar(image)
}

/// The network's answer to a planar image, blue first, 0 to 255.
pub(super) fn run(network: &mut Network, input: &[f32]) -> Result<[f32; CLASSES], NetworkError> {
    network.run([1, 3, SIDE, SIDE], input, |outputs| {
        let mut logits = [0.0; CLASSES];
        logits.copy_from_slice(outputs.only(CLASSES)?);
        Ok(logits)
    })
}

/// The first class's share (softmax).
fn live(logits: [f32; CLASSES]) -> Option<f32> {
    let most = logits.into_iter().fold(f32::MIN, f32::max);
    let powers = logits.map(|logit| (logit - most).exp());
    let share = powers[0] / powers.iter().sum::<f32>();
    share.is_finite().then_some(share)
}

/// A part of the picture, in its pixels.
#[derive(Debug, PartialEq)]
struct Part {
    left: f32,
    top: f32,
    width: f32,
    height: f32,
}

impl Part {
    /// The face with its surroundings: as much of them as the picture has on its
    /// narrower side, moved to lie inside.
    fn around(face: &Face, image: &Pixels) -> Self {
        let (across, down) = (image.width as f32 - 1.0, image.height as f32 - 1.0);
        let scale = SURROUNDINGS
            .min(across / face.width)
            .min(down / face.height);
        let (width, height) = (face.width * scale, face.height * scale);
        let [x, y] = face.centre();
        let inside =
            |middle: f32, length: f32, end: f32| (middle - length / 2.0).min(end - length).max(0.0);
        Self {
            left: inside(x, width, across).floor(),
            top: inside(y, height, down).floor(),
            width: width.floor().max(1.0),
            height: height.floor().max(1.0),
        }
    }

    /// Scaled to the network's square: planar, blue first, 0 to 255.
    fn planar(&self, image: &Pixels) -> Vec<f32> {
        const PLANE: usize = SIDE * SIDE;
        let along = |from: f32, length: f32| -> Vec<f32> {
            let point = |at: usize| (at as f32 + 0.5) * length / SIDE as f32 - 0.5;
            (0..SIDE)
                .map(|at| from + point(at).clamp(0.0, length - 1.0))
                .collect()
        };
        let (xs, ys) = (along(self.left, self.width), along(self.top, self.height));
        let mut out = vec![0.0; 3 * PLANE];
        image.grid(&xs, &ys, |column, row, [r, g, b]| {
            let at = row * SIDE + column;
            (out[at], out[PLANE + at], out[2 * PLANE + at]) = (b, g, r);
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, y: f32, width: f32, height: f32) -> Face {
        Face {
            x,
            y,
            width,
            height,
            landmarks: [[0.0; 2]; 5],
            confidence: 0.9,
        }
    }

    fn picture(width: usize, height: usize) -> Pixels {
        let column = |at: usize| [(at % width) as u8, (at / width) as u8, 7];
        Pixels {
            width,
            height,
            rgb: (0..width * height).flat_map(column).collect(),
        }
    }

    #[test]
    fn the_surroundings_lie_in_the_picture_wherever_the_face_is() {
        let picture = picture(200, 150);
        let middle = Part::around(&face(90.0, 65.0, 20.0, 20.0), &picture);
        assert_eq!((middle.left, middle.top), (73.0, 48.0));
        assert_eq!((middle.width, middle.height), (54.0, 54.0));
        for (x, y, width, height) in [
            (-30.0, -30.0, 60.0, 60.0),
            (180.0, 140.0, 60.0, 60.0),
            (0.0, 0.0, 400.0, 30.0),
            (20.0, -10.0, 100.0, 300.0),
            (10.0, 10.0, 0.5, 0.5),
        ] {
            let part = Part::around(&face(x, y, width, height), &picture);
            assert!(part.left >= 0.0 && part.top >= 0.0, "{part:?}");
            assert!(part.left + part.width <= 200.0, "{part:?}");
            assert!(part.top + part.height <= 150.0, "{part:?}");
            assert!(part.width >= 1.0 && part.height >= 1.0, "{part:?}");
        }
    }

    #[test]
    fn the_square_is_planar_with_blue_first() {
        let picture = picture(128, 128);
        let whole = Part {
            left: 0.0,
            top: 0.0,
            width: 128.0,
            height: 128.0,
        };
        let square = whole.planar(&picture);
        let plane = SIDE * SIDE;
        let at = 5 * SIDE + 9;
        assert_eq!(square.len(), 3 * plane);
        assert_eq!(
            [square[at], square[plane + at], square[2 * plane + at]],
            [7.0, 5.0, 9.0]
        );
    }

    #[test]
    fn what_is_no_number_is_no_liveness() {
        assert_eq!(live([0.0, 0.0, f32::NAN]), None);
        assert_eq!(live([f32::INFINITY, 0.0, 0.0]), None);
        assert!((live([0.0; 3]).unwrap() - 1.0 / 3.0).abs() < 1e-6);
        assert!(live([9.0, 0.0, 0.0]).unwrap() > 0.999);
    }
}
