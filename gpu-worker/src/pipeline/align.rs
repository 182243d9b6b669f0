//! Landmarks to the square that an embedder was trained on: the least-squares
//! similarity (Umeyama 1991, without reflection) from the five points found to
//! where that square has them, then a warp.

use super::pixels::Pixels;

/// Side of ArcFace's square, in which quality is measured, in pixels.
pub(super) const SIDE: usize = 112;

/// A square, and where a face's points lie in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Square {
    /// In pixels.
    pub side: usize,
    /// Eyes, nose, mouth corners; image-left first.
    pub points: [[f32; 2]; 5],
}

impl Square {
    /// ArcFace's, at 112 px.
    pub const ARCFACE: Self = Self {
        side: SIDE,
        points: [
            [38.2946, 51.6963],
            [73.5318, 51.5014],
            [56.0252, 71.7366],
            [41.5493, 92.3655],
            [70.7299, 92.2041],
        ],
    };
}

/// `x' = a·x − b·y + tx`, `y' = b·x + a·y + ty`, from aligned square to image.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Similarity {
    a: f32,
    b: f32,
    tx: f32,
    ty: f32,
}

impl Similarity {
    fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        (
            self.a * x - self.b * y + self.tx,
            self.b * x + self.a * y + self.ty,
        )
    }

    fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }

    fn inverse(&self) -> Option<Similarity> {
        let square = self.a * self.a + self.b * self.b;
        if !square.is_normal() {
            return None;
        }
        let (a, b) = (self.a / square, -self.b / square);
        Some(Similarity {
            a,
            b,
            tx: -(a * self.tx - b * self.ty),
            ty: -(b * self.tx + a * self.ty),
        })
    }
}

/// Least squares from `from` to `to`.
fn umeyama(from: &[[f32; 2]; 5], to: &[[f32; 2]; 5]) -> Option<Similarity> {
    let (mean_from, mean_to) = (mean(from), mean(to));
    let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
    for (p, q) in from.iter().zip(to) {
        let (x, y) = (p[0] - mean_from[0], p[1] - mean_from[1]);
        let (u, v) = (q[0] - mean_to[0], q[1] - mean_to[1]);
        along += x * u + y * v;
        across += x * v - y * u;
        spread += x * x + y * y;
    }
    if !spread.is_normal() {
        return None;
    }
    let (a, b) = (along / spread, across / spread);
    Some(Similarity {
        a,
        b,
        tx: mean_to[0] - (a * mean_from[0] - b * mean_from[1]),
        ty: mean_to[1] - (b * mean_from[0] + a * mean_from[1]),
    })
}

fn mean(points: &[[f32; 2]; 5]) -> [f32; 2] {
    let sum = points
        .iter()
        .fold([0.0, 0.0], |sum, p| [sum[0] + p[0], sum[1] + p[1]]);
    [sum[0] / 5.0, sum[1] / 5.0]
}

/// The aligned face as planar RGB in 0 to 255, or `None` where the points
/// coincide. Where the face is larger than the square its surroundings are
/// first reduced by a whole factor, so that nothing aliases.
pub(super) fn align(
    image: &Pixels,
    landmarks: &[[f32; 2]; 5],
    square: &Square,
) -> Option<Vec<f32>> {
    let to_image = umeyama(landmarks, &square.points)?.inverse()?;
    let side = square.side;
    let factor = to_image.scale().round() as usize;
    if factor < 2 {
        return Some(warp(image, to_image, side));
    }
    let (part, left, top) = surroundings(image, to_image, factor, side)?;
    // Pixel centres: x in the image is (x - left + 0.5) / factor - 0.5 in the reduced part.
    let shrink = 1.0 / factor as f32;
    let moved = |offset: f32, start: usize| (offset - start as f32 + 0.5) * shrink - 0.5;
    let to_part = Similarity {
        a: to_image.a * shrink,
        b: to_image.b * shrink,
        tx: moved(to_image.tx, left),
        ty: moved(to_image.ty, top),
    };
    Some(warp(&part, to_part, side))
}

/// What the square covers of the image, reduced, and where it begins.
fn surroundings(
    image: &Pixels,
    to_image: Similarity,
    factor: usize,
    side: usize,
) -> Option<(Pixels, usize, usize)> {
    let end = side as f32;
    let corners =
        [(0.0, 0.0), (end, 0.0), (0.0, end), (end, end)].map(|(x, y)| to_image.apply(x, y));
    let bounds = |values: [f32; 4], side: usize| {
        let margin = 2.0 * factor as f32;
        let low = values.into_iter().fold(f32::MAX, f32::min) - margin;
        let high = values.into_iter().fold(f32::MIN, f32::max) + margin;
        let low = (low.max(0.0) as usize).min(side);
        (low, (high.max(0.0) as usize).min(side))
    };
    let (left, right) = bounds(corners.map(|(x, _)| x), image.width);
    let (top, bottom) = bounds(corners.map(|(_, y)| y), image.height);
    if right < left + factor || bottom < top + factor {
        return None;
    }
    let part = image.cropped(left, top, right - left, bottom - top);
    Some((part.reduced(factor), left, top))
}

fn warp(image: &Pixels, to_image: Similarity, side: usize) -> Vec<f32> {
    let plane = side * side;
    let mut planar = vec![0.0; 3 * plane];
    for y in 0..side {
        for x in 0..side {
            let (ix, iy) = to_image.apply(x as f32, y as f32);
            let at = y * side + x;
            for (channel, value) in image.sample(ix, iy).into_iter().enumerate() {
                planar[channel * plane + at] = value;
            }
        }
    }
    planar
}

/// The same face seen in a mirror.
pub(super) fn mirrored(planar: &[f32], side: usize) -> Vec<f32> {
    let rows = planar.chunks_exact(side);
    rows.flat_map(|row| row.iter().rev().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: [[f32; 2]; 5] = Square::ARCFACE.points;

    fn align(image: &Pixels, landmarks: &[[f32; 2]; 5]) -> Option<Vec<f32>> {
        super::align(image, landmarks, &Square::ARCFACE)
    }

    #[test]
    fn a_turned_scaled_and_moved_template_is_found_exactly() {
        let truth = Similarity {
            a: 1.7,
            b: -0.6,
            tx: 40.0,
            ty: -12.0,
        };
        let moved = TEMPLATE.map(|[x, y]| {
            let (x, y) = truth.apply(x, y);
            [x, y]
        });
        let found = umeyama(&TEMPLATE, &moved).unwrap();
        for (got, want) in [
            (found.a, truth.a),
            (found.b, truth.b),
            (found.tx, truth.tx),
            (found.ty, truth.ty),
        ] {
            assert!((got - want).abs() < 1e-3, "{found:?}");
        }
        let back = found.inverse().unwrap().apply(moved[0][0], moved[0][1]);
        assert!((back.0 - TEMPLATE[0][0]).abs() < 1e-3 && (back.1 - TEMPLATE[0][1]).abs() < 1e-3);
    }

    #[test]
    fn the_identity_copies_the_picture() {
        let rgb: Vec<u8> = (0..SIDE * SIDE)
            .flat_map(|i| [i as u8, (i / SIDE) as u8, 9])
            .collect();
        let image = Pixels {
            width: SIDE,
            height: SIDE,
            rgb: rgb.clone(),
        };
        let planar = align(&image, &TEMPLATE).unwrap();
        for at in [0, 1, 5 * SIDE + 70, 111 * SIDE + 100] {
            for plane in 0..3 {
                let got = planar[plane * SIDE * SIDE + at];
                assert!((got - f32::from(rgb[at * 3 + plane])).abs() < 0.2);
            }
        }
    }

    #[test]
    fn a_face_four_times_larger_aligns_to_the_same_square() {
        let large = Pixels {
            width: SIDE * 4,
            height: SIDE * 4,
            rgb: (0..SIDE * SIDE * 16)
                .flat_map(|i| [(i % (SIDE * 4) / 2) as u8, (i / (SIDE * 8)) as u8, 9])
                .collect(),
        };
        let landmarks = TEMPLATE.map(|[x, y]| [(x + 0.5) * 4.0 - 0.5, (y + 0.5) * 4.0 - 0.5]);
        let small = align(&large.reduced(4), &TEMPLATE).unwrap();
        let aligned = align(&large, &landmarks).unwrap();
        for at in [60 * SIDE + 60, 5 * SIDE + 100, 100 * SIDE + 7] {
            for plane in 0..3 {
                let (one, two) = (
                    small[plane * SIDE * SIDE + at],
                    aligned[plane * SIDE * SIDE + at],
                );
                assert!((one - two).abs() < 1.0, "{one} {two}");
            }
        }
    }

    #[test]
    fn a_square_outside_the_picture_aligns_nothing() {
        let image = Pixels {
            width: 20,
            height: 20,
            rgb: vec![0; 1200],
        };
        let far = TEMPLATE.map(|[x, y]| [x * 5.0 + 5000.0, y * 5.0 + 5000.0]);
        assert!(align(&image, &far).is_none());
    }

    #[test]
    fn a_mirror_turns_rows_and_leaves_planes() {
        let planar: Vec<f32> = (0..12u8).map(f32::from).collect();
        let turned = mirrored(&planar, 2);
        assert_eq!(turned[..6], [1.0, 0.0, 3.0, 2.0, 5.0, 4.0]);
        assert_eq!(mirrored(&turned, 2), planar);
    }

    #[test]
    fn another_square_has_the_points_where_it_wants_them() {
        let square = Square {
            side: 150,
            points: TEMPLATE.map(|[x, y]| [x + 30.0, y + 20.0]),
        };
        let mut image = Pixels {
            width: SIDE,
            height: SIDE,
            rgb: vec![0; SIDE * SIDE * 3],
        };
        image.rgb[(60 * SIDE + 50) * 3] = 255;
        let planar = super::align(&image, &TEMPLATE, &square).unwrap();
        assert_eq!(planar.len(), 3 * 150 * 150);
        assert!((planar[80 * 150 + 80] - 255.0).abs() < 1.0);
    }

    #[test]
    fn coinciding_points_align_nothing() {
        let image = Pixels {
            width: 1,
            height: 1,
            rgb: vec![0; 3],
        };
        assert!(align(&image, &[[3.0, 3.0]; 5]).is_none());
    }
}
