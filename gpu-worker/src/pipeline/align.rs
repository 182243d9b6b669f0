//! Landmarks to the 112 px square that embedders were trained on: the
//! least-squares similarity (Umeyama 1991, without reflection) from the five
//! points found to the ArcFace template, then a warp.

use super::pixels::Pixels;

/// Side of the aligned square, in pixels.
pub(super) const SIDE: usize = 112;

/// ArcFace five-point template at 112 px: eyes, nose, mouth corners, image-left first.
const TEMPLATE: [[f32; 2]; 5] = [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
];

/// Above this many source pixels per target pixel the warp averages.
const SUBSAMPLES_MAX: usize = 8;

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
/// coincide. Where the face is larger than the square each target pixel is the
/// mean of a grid of samples, so that nothing aliases.
pub(super) fn align(image: &Pixels, landmarks: &[[f32; 2]; 5]) -> Option<Vec<f32>> {
    let to_image = umeyama(landmarks, &TEMPLATE)?.inverse()?;
    let grid = (to_image.scale().round() as usize).clamp(1, SUBSAMPLES_MAX);
    let step = 1.0 / grid as f32;
    let weight = step * step;
    let mut planar = vec![0.0; 3 * SIDE * SIDE];
    for y in 0..SIDE {
        for x in 0..SIDE {
            let mut sum = [0.0; 3];
            for sub in 0..grid * grid {
                let dx = ((sub % grid) as f32 + 0.5) * step - 0.5;
                let dy = ((sub / grid) as f32 + 0.5) * step - 0.5;
                let (ix, iy) = to_image.apply(x as f32 + dx, y as f32 + dy);
                let sample = image.sample(ix, iy);
                sum.iter_mut().zip(sample).for_each(|(s, v)| *s += v);
            }
            for (plane, value) in sum.iter().enumerate() {
                planar[plane * SIDE * SIDE + y * SIDE + x] = value * weight;
            }
        }
    }
    Some(planar)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn coinciding_points_align_nothing() {
        let image = Pixels {
            width: 1,
            height: 1,
            rgb: vec![0; 3],
        };
        assert!(align(&image, &[[3.0, 3.0]; 5]).is_none());
    }
}
