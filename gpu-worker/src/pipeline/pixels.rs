//! Decoded pixels and the two ways they are resampled.

/// 8-bit RGB, rows without padding. Its memory is wiped when it is freed
/// (see [`crate::wipe`]).
#[derive(Debug, Clone)]
pub(super) struct Pixels {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` triples.
    pub rgb: Vec<u8>,
}

impl Pixels {
    /// Mean over `factor` × `factor` squares; what does not fill a square at
    /// the right and bottom edge is dropped.
    pub(super) fn reduced(&self, factor: usize) -> Pixels {
        let (width, height) = (self.width / factor, self.height / factor);
        let area = (factor * factor) as u32;
        let mut rgb = Vec::with_capacity(width * height * 3);
        let mut columns = vec![0u32; width * factor * 3];
        for y in 0..height {
            columns.fill(0);
            // Rows first, which go many numbers at once.
            for row in y * factor..(y + 1) * factor {
                let start = row * self.width * 3;
                let row = &self.rgb[start..start + columns.len()];
                for (sum, value) in columns.iter_mut().zip(row) {
                    *sum += u32::from(*value);
                }
            }
            for square in columns.chunks_exact(factor * 3) {
                for channel in 0..3 {
                    let sum: u32 = square[channel..].iter().step_by(3).sum();
                    rgb.push(((sum + area / 2) / area) as u8);
                }
            }
        }
        Pixels { width, height, rgb }
    }

    /// The part from `left` and `top` on, `width` by `height`, as far as it lies inside.
    pub(super) fn cropped(&self, left: usize, top: usize, width: usize, height: usize) -> Pixels {
        let (left, top) = (left.min(self.width), top.min(self.height));
        let width = width.min(self.width - left);
        let height = height.min(self.height - top);
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in top..top + height {
            let start = (y * self.width + left) * 3;
            rgb.extend_from_slice(&self.rgb[start..start + width * 3]);
        }
        Pixels { width, height, rgb }
    }

    /// Bilinear sample at a point (pixel centres at whole numbers); black outside.
    pub(super) fn sample(&self, x: f32, y: f32) -> [f32; 3] {
        let ((left, across), (top, down)) = (split(x), split(y));
        mixed(self.around(left, top), across, down)
    }

    /// [`Self::sample`] at every crossing of these columns and rows: `put(column, row, rgb)`
    /// with their places in the lists.
    pub(super) fn grid(&self, xs: &[f32], ys: &[f32], mut put: impl FnMut(usize, usize, [f32; 3])) {
        let columns: Vec<(i64, f32)> = xs.iter().map(|x| split(*x)).collect();
        for (row, y) in ys.iter().enumerate() {
            let (top, down) = split(*y);
            for (column, (left, across)) in columns.iter().enumerate() {
                put(column, row, mixed(self.around(*left, top), *across, down));
            }
        }
    }

    /// A pixel, the one to its right, and the two below them; black outside.
    fn around(&self, left: i64, top: i64) -> [[u8; 3]; 4] {
        let inside = left >= 0 && top >= 0 && left + 1 < self.width as i64;
        if inside && top + 1 < self.height as i64 {
            let at = (top as usize * self.width + left as usize) * 3;
            let below = at + self.width * 3;
            let two = |at: usize| self.rgb.get(at..at + 6)?.first_chunk::<6>();
            if let (Some(&[a, b, c, d, e, f]), Some(&[g, h, i, j, k, l])) = (two(at), two(below)) {
                return [[a, b, c], [d, e, f], [g, h, i], [j, k, l]];
            }
        }
        [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(x, y)| {
            let pixel = self.pixel(left + x, top + y);
            pixel.unwrap_or_default()
        })
    }

    fn pixel(&self, x: i64, y: i64) -> Option<[u8; 3]> {
        if x < 0 || y < 0 || x >= self.width as i64 || y >= self.height as i64 {
            return None;
        }
        let at = (y as usize * self.width + x as usize) * 3;
        self.rgb.get(at..at + 3).map(|p| [p[0], p[1], p[2]])
    }
}

/// The whole number below, and what is left of it.
fn split(at: f32) -> (i64, f32) {
    let below = at.floor();
    (below as i64, at - below)
}

/// Four pixels by how far the point lies across and down between them.
fn mixed(pixels: [[u8; 3]; 4], across: f32, down: f32) -> [f32; 3] {
    let weights = [
        (1.0 - across) * (1.0 - down),
        across * (1.0 - down),
        (1.0 - across) * down,
        across * down,
    ];
    let mut out = [0.0; 3];
    for (pixel, weight) in pixels.into_iter().zip(weights) {
        for (sum, value) in out.iter_mut().zip(pixel) {
            *sum += weight * f32::from(value);
        }
    }
    out
}

/// ITU-R BT.601 luma of an RGB triple, in the range of its input.
pub(super) fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reducing_takes_the_mean_and_drops_the_rest() {
        let rgb = (0..5 * 3).flat_map(|i| [i as u8 * 10; 3]).collect();
        let small = Pixels {
            width: 5,
            height: 3,
            rgb,
        }
        .reduced(2);
        assert_eq!((small.width, small.height), (2, 1));
        assert_eq!(small.rgb, [30, 30, 30, 50, 50, 50]);
    }

    #[test]
    fn cropping_keeps_the_part_inside() {
        let pixels = Pixels {
            width: 3,
            height: 2,
            rgb: (0..6).flat_map(|i| [i; 3]).collect(),
        };
        let part = pixels.cropped(1, 1, 9, 9);
        assert_eq!((part.width, part.height), (2, 1));
        assert_eq!(part.rgb, [4, 4, 4, 5, 5, 5]);
        assert!(pixels.cropped(7, 7, 1, 1).rgb.is_empty());
    }

    #[test]
    fn a_grid_is_sampled_like_its_points() {
        let rgb = (0..7 * 5 * 3).map(|at| (at * 37 % 256) as u8).collect();
        let (width, height) = (7, 5);
        let pixels = Pixels { width, height, rgb };
        let (xs, ys) = (
            [-3.0, -0.5, 0.0, 2.25, 5.9, 6.0, 6.5, 90.0],
            [-1.0, 0.5, 3.75, 4.0, 5.0],
        );
        let mut seen = 0;
        pixels.grid(&xs, &ys, |column, row, rgb| {
            assert_eq!(rgb, pixels.sample(xs[column], ys[row]));
            seen += 1;
        });
        assert_eq!(seen, xs.len() * ys.len());
    }

    #[test]
    fn sampling_between_pixels_mixes_them_and_is_black_outside() {
        let pixels = Pixels {
            width: 2,
            height: 1,
            rgb: vec![0, 0, 0, 100, 200, 40],
        };
        assert_eq!(pixels.sample(0.5, 0.0), [50.0, 100.0, 20.0]);
        assert_eq!(pixels.sample(1.0, 0.0), [100.0, 200.0, 40.0]);
        assert_eq!(pixels.sample(5.0, -3.0), [0.0; 3]);
    }
}
