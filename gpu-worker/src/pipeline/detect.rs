//! Faces in a picture: YuNet (2023mar) and the decoding of its outputs.
//!
//! The picture is scaled down so that its longer side is [`COARSE`] pixels; if
//! the best face found there is small, or none is, again at [`FINE`]. Small
//! pictures are never scaled up.

use super::network::{Network, NetworkError, Outputs};
use super::pixels::Pixels;

/// Longer side of the first pass, in pixels.
pub(super) const COARSE: usize = 320;
/// Longer side of the second pass, in pixels.
pub(super) const FINE: usize = 640;
/// A face at least this wide in the first pass needs no second, in pixels of that pass.
const COARSE_FACE: f32 = 48.0;
/// Lowest confidence of anything called a face.
const CONFIDENCE: f32 = 0.6;
/// Boxes that overlap more than this (intersection over union) are one face.
const OVERLAP: f32 = 0.3;
/// YuNet's grids, in pixels per cell.
const STRIDES: [usize; 3] = [8, 16, 32];

/// A face in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Face {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width of the box.
    pub width: f32,
    /// Height of the box.
    pub height: f32,
    /// Eyes, nose, mouth corners; image-left first.
    pub landmarks: [[f32; 2]; 5],
    /// Confidence in [0, 1].
    pub confidence: f32,
}

impl Face {
    /// Distance between the eyes.
    pub(super) fn eye_distance(&self) -> f32 {
        let [left, right, ..] = self.landmarks;
        (right[0] - left[0]).hypot(right[1] - left[1])
    }

    /// Middle of the box.
    pub(super) fn centre(&self) -> [f32; 2] {
        [self.x + self.width / 2.0, self.y + self.height / 2.0]
    }

    fn overlap(&self, other: &Face) -> f32 {
        let along = |a: f32, a_len: f32, b: f32, b_len: f32| {
            ((a + a_len).min(b + b_len) - a.max(b)).max(0.0)
        };
        let both = along(self.x, self.width, other.x, other.width)
            * along(self.y, self.height, other.y, other.height);
        both / (self.width * self.height + other.width * other.height - both)
    }

    fn scaled(&self, factor: f32) -> Face {
        Face {
            x: self.x * factor,
            y: self.y * factor,
            width: self.width * factor,
            height: self.height * factor,
            landmarks: self
                .landmarks
                .map(|[x, y]| [(x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5]),
            confidence: self.confidence,
        }
    }
}

/// Every face, the most confident first.
pub(super) fn detect(network: &mut Network, image: &Pixels) -> Result<Vec<Face>, NetworkError> {
    let longer = image.width.max(image.height);
    let coarse = pass(network, image, COARSE)?;
    let enough = coarse
        .iter()
        .any(|face| face.width * COARSE as f32 >= COARSE_FACE * longer as f32);
    if enough || longer <= COARSE {
        return Ok(coarse);
    }
    pass(network, image, FINE)
}

fn pass(network: &mut Network, image: &Pixels, longer: usize) -> Result<Vec<Face>, NetworkError> {
    let input = Input::new(image, longer);
    let size = [input.height, input.width];
    let faces = input.run(network, |outputs| candidates(outputs, size))?;
    let factor = input.source_per_pixel;
    Ok(distinct(faces)
        .iter()
        .map(|face| face.scaled(factor))
        .collect())
}

/// The picture as YuNet takes it: planar BGR 0 to 255, sides multiples of 32.
#[derive(Debug)]
pub(super) struct Input {
    width: usize,
    height: usize,
    planar: Vec<f32>,
    source_per_pixel: f32,
}

impl Input {
    /// Its longer side at most `longer` pixels.
    pub(super) fn new(image: &Pixels, longer: usize) -> Self {
        let scale = (image.width.max(image.height) as f32 / longer as f32).max(1.0);
        let factor = scale as usize;
        if factor > 1 {
            return Self::resampled(&image.reduced(factor), scale, scale / factor as f32);
        }
        Self::resampled(image, scale, scale)
    }

    /// What the network says of it.
    pub(super) fn run<T>(
        &self,
        network: &mut Network,
        read: impl FnOnce(&Outputs<'_, '_>) -> Result<T, NetworkError>,
    ) -> Result<T, NetworkError> {
        network.run([1, 3, self.height, self.width], &self.planar, read)
    }

    /// `step`: pixels of `image` per pixel of the input.
    fn resampled(image: &Pixels, source_per_pixel: f32, step: f32) -> Self {
        let used = |side: usize| ((side as f32 / step).round() as usize).max(1);
        let (used_width, used_height) = (used(image.width), used(image.height));
        let (width, height) = (
            used_width.next_multiple_of(32),
            used_height.next_multiple_of(32),
        );
        let plane = width * height;
        let mut planar = vec![0.0; 3 * plane];
        let along = |used: usize| -> Vec<f32> {
            let at = |cell: usize| (cell as f32 + 0.5) * step - 0.5;
            (0..used).map(at).collect()
        };
        image.grid(
            &along(used_width),
            &along(used_height),
            |x, y, [r, g, b]| {
                let cell = y * width + x;
                planar[cell] = b;
                planar[plane + cell] = g;
                planar[2 * plane + cell] = r;
            },
        );
        Self {
            width,
            height,
            planar,
            source_per_pixel,
        }
    }
}

fn candidates(outputs: &Outputs<'_, '_>, size: [usize; 2]) -> Result<Vec<Face>, NetworkError> {
    let mut faces = Vec::new();
    for stride in STRIDES {
        let columns = size[1] / stride;
        let cells = columns * (size[0] / stride);
        let class = outputs.named(&format!("cls_{stride}"), cells)?;
        let object = outputs.named(&format!("obj_{stride}"), cells)?;
        let boxes = outputs.named(&format!("bbox_{stride}"), cells * 4)?;
        let points = outputs.named(&format!("kps_{stride}"), cells * 10)?;
        let rows = boxes
            .as_chunks::<4>()
            .0
            .iter()
            .zip(points.as_chunks::<10>().0);
        for (cell, (bounds, points)) in rows.enumerate() {
            let confidence = (class[cell].clamp(0.0, 1.0) * object[cell].clamp(0.0, 1.0)).sqrt();
            if confidence >= CONFIDENCE {
                let corner = [(cell % columns) as f32, (cell / columns) as f32];
                let face = decode_cell(corner, stride as f32, bounds, points, confidence);
                faces.extend(face);
            }
        }
    }
    Ok(faces)
}

fn decode_cell(
    [column, row]: [f32; 2],
    stride: f32,
    bounds: &[f32; 4],
    points: &[f32; 10],
    confidence: f32,
) -> Option<Face> {
    let (width, height) = (bounds[2].exp() * stride, bounds[3].exp() * stride);
    let mut landmarks = [[0.0; 2]; 5];
    for (landmark, [x, y]) in landmarks.iter_mut().zip(points.as_chunks::<2>().0) {
        *landmark = [(x + column) * stride, (y + row) * stride];
    }
    let face = Face {
        x: (column + bounds[0]) * stride - width / 2.0,
        y: (row + bounds[1]) * stride - height / 2.0,
        width,
        height,
        landmarks,
        confidence,
    };
    let numbers = [face.x, face.y, width, height, confidence];
    let finite = numbers
        .iter()
        .chain(landmarks.as_flattened())
        .all(|n| n.is_finite());
    finite.then_some(face)
}

/// Non-maximum suppression: of overlapping boxes the most confident stays.
fn distinct(mut faces: Vec<Face>) -> Vec<Face> {
    faces.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut kept: Vec<Face> = Vec::new();
    for face in faces {
        if kept.iter().all(|other| other.overlap(&face) <= OVERLAP) {
            kept.push(face);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, confidence: f32) -> Face {
        Face {
            x,
            y: 0.0,
            width: 10.0,
            height: 10.0,
            landmarks: [[0.0; 2]; 5],
            confidence,
        }
    }

    #[test]
    fn overlapping_boxes_are_one_face_and_the_most_confident_stays() {
        let kept = distinct(vec![face(0.0, 0.7), face(1.0, 0.9), face(20.0, 0.8)]);
        assert_eq!(kept.iter().map(|f| f.x).collect::<Vec<_>>(), [1.0, 20.0]);
    }

    #[test]
    fn a_cell_decodes_around_its_corner() {
        let mut points = [0.0; 10];
        points[2] = 1.5;
        let face = decode_cell([2.0, 3.0], 8.0, &[0.5, 0.5, 0.0, 1.0], &points, 0.9).unwrap();
        assert_eq!((face.x, face.width), (16.0, 8.0));
        assert!((face.y + face.height / 2.0 - 28.0).abs() < 1e-4);
        assert_eq!(face.landmarks[1], [28.0, 24.0]);
        assert!(decode_cell([0.0, 0.0], 8.0, &[0.0, 0.0, 1e9, 0.0], &points, 0.9).is_none());
    }

    #[test]
    fn large_pictures_are_scaled_down_and_small_ones_kept() {
        let image = Pixels {
            width: 1000,
            height: 500,
            rgb: vec![7; 1000 * 500 * 3],
        };
        let input = Input::new(&image, 320);
        assert_eq!((input.width, input.height), (320, 160));
        assert!((input.source_per_pixel - 3.125).abs() < 1e-6);
        let input = Input::new(&image.reduced(10), 320);
        assert_eq!((input.width, input.height), (128, 64));
        assert_eq!(input.source_per_pixel, 1.0);
        assert_eq!(input.planar[99], 7.0);
        assert_eq!(input.planar[100], 0.0);
    }
}
