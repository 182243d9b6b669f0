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
        let mut sums = vec![0u32; width * 3];
        for y in 0..height {
            sums.fill(0);
            for row in 0..factor {
                let start = (y * factor + row) * self.width * 3;
                let row = &self.rgb[start..start + width * factor * 3];
                for (sum, square) in sums.chunks_exact_mut(3).zip(row.chunks_exact(factor * 3)) {
                    for pixel in square.chunks_exact(3) {
                        sum[0] += u32::from(pixel[0]);
                        sum[1] += u32::from(pixel[1]);
                        sum[2] += u32::from(pixel[2]);
                    }
                }
            }
            rgb.extend(sums.iter().map(|sum| ((sum + area / 2) / area) as u8));
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
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let (left, top) = (left as i64, top as i64);
        let weights = [
            (1.0 - fx) * (1.0 - fy),
            fx * (1.0 - fy),
            (1.0 - fx) * fy,
            fx * fy,
        ];
        let mut out = [0.0; 3];
        for (pixel, weight) in self.around(left, top).into_iter().zip(weights) {
            for (sum, value) in out.iter_mut().zip(pixel) {
                *sum += weight * f32::from(value);
            }
        }
        out
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
