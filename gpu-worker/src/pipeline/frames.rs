//! Frames of one face that moves: each measured like a picture, and how it moves.
//!
//! Protects against a batch built to hurt: how many there are, and how many pixels each
//! has, is looked at before any is decoded; one deadline holds for all. What the moves
//! mean is decided in the enclave, not here.

use std::time::Instant;

use redoubt_shared::limits::{FRAME_PIXELS_MAX, FRAMES_MAX, FRAMES_MIN};
use redoubt_shared::worker::{FaceSample, FrameRefusal, FrameSample, SampleRefusal};

use super::align::{Square, align};
use super::detect::{Face, detect};
use super::pixels::{Pixels, luma};
use super::{Clock, Pipeline, decode, failed, liveness, quality, subject};

/// A face does not reach further than this many pictures.
const PLACE_MOST: f32 = 4.0;
/// Rows, and bits of a row, of what a picture looks like from afar.
const PRINT: usize = 16;

impl Pipeline {
    /// One measure for each frame, or which of them has none and why.
    pub fn frames(
        &mut self,
        frames: &[Vec<u8>],
        liveness: bool,
        deadline: Instant,
    ) -> Result<Vec<FrameSample>, FrameRefusal> {
        let refused = |frame: usize| {
            move |why| FrameRefusal {
                frame: frame as u8,
                why,
            }
        };
        if self.moves.is_none() {
            return Err(refused(0)(SampleRefusal::NotSupported));
        }
        if !(FRAMES_MIN..=FRAMES_MAX).contains(&frames.len()) {
            return Err(refused(0)(SampleRefusal::FrameCount));
        }
        let each = frames.iter().enumerate();
        each.map(|(at, frame)| self.frame(frame, liveness, deadline).map_err(refused(at)))
            .collect()
    }

    /// One frame without others, for measuring.
    pub fn frame_alone(
        &mut self,
        frame: &[u8],
        deadline: Instant,
    ) -> Result<FrameSample, SampleRefusal> {
        self.frame(frame, false, deadline)
    }

    fn frame(
        &mut self,
        frame: &[u8],
        liveness: bool,
        deadline: Instant,
    ) -> Result<FrameSample, SampleRefusal> {
        Clock::start(deadline).in_time()?;
        let pixels = decode::decode_within(frame, FRAME_PIXELS_MAX)?;
        let faces = detect(&mut self.detector, &pixels).map_err(failed)?;
        let face = subject(&faces, &pixels)?;
        let moves = self.moves.as_mut().ok_or(SampleRefusal::NotSupported)?;
        let (yaw, pitch) = moves.pose(&pixels, &face)?;
        let eyes = moves.eyes(&pixels, &face)?;
        let (width, height) = (pixels.width as f32, pixels.height as f32);
        let place = [
            face.x / width,
            face.y / height,
            face.width / width,
            face.height / height,
        ];
        // What the enclave would take for a broken worker's word.
        if !place.iter().all(|part| part.abs() <= PLACE_MOST) {
            return Err(SampleRefusal::NoFace);
        }
        Ok(FrameSample {
            yaw,
            pitch,
            eyes,
            place,
            picture: [pixels.width as u32, pixels.height as u32],
            print: print(&pixels),
            face: self.ungated(&pixels, &face, liveness)?,
        })
    }

    /// A face's measures whatever its quality is.
    fn ungated(
        &mut self,
        pixels: &Pixels,
        face: &Face,
        liveness: bool,
    ) -> Result<FaceSample, SampleRefusal> {
        let cut = |square| align(pixels, &face.landmarks, square).ok_or(SampleRefusal::NoFace);
        let aligned = self.squares.iter().map(cut);
        let aligned: Vec<Vec<f32>> = aligned.collect::<Result<_, _>>()?;
        debug_assert_eq!(self.squares[0], Square::ARCFACE);
        let mut measures = quality::measure(pixels, face, &aligned[0]);
        let network = self.liveness.as_mut().filter(|_| liveness);
        let look = |network| liveness::measure(network, pixels, face);
        let liveness = network.map(look).transpose()?;
        let mut embeddings = Vec::with_capacity(self.embedders.len());
        for (at, embedder) in self.embedders.iter_mut().enumerate() {
            let (norm, embedding) = embedder.embed(&aligned[embedder.square]).map_err(failed)?;
            if at == 0 {
                // The score tells; the enclave takes none below the gate for comparison.
                let _ = quality::conclude(&mut measures, norm, embedder.norm_min);
            }
            embeddings.push(embedding);
        }
        Ok(FaceSample {
            embeddings,
            quality: measures,
            liveness,
        })
    }
}

/// Sixteen rows of cells, and of each neighbouring two whether the right one is lighter
/// (a difference hash).
fn print(image: &Pixels) -> [u8; 32] {
    let mut print = [0; 32];
    for row in 0..PRINT {
        let cells: Vec<f32> = (0..=PRINT).map(|column| cell(image, column, row)).collect();
        for (column, pair) in cells.windows(2).enumerate() {
            let at = row * PRINT + column;
            print[at / 8] |= u8::from(pair[1] > pair[0]) << (at % 8);
        }
    }
    print
}

/// Mean luma of one cell, 0 to 255.
fn cell(image: &Pixels, column: usize, row: usize) -> f32 {
    let bounds = |at: usize, of: usize, side: usize| {
        let start = (at * side / of).min(side - 1);
        (start, ((at + 1) * side / of).max(start + 1))
    };
    let (left, right) = bounds(column, PRINT + 1, image.width);
    let (top, bottom) = bounds(row, PRINT, image.height);
    let mut sum = [0u64; 3];
    for y in top..bottom {
        let row = &image.rgb[(y * image.width + left) * 3..(y * image.width + right) * 3];
        for pixel in row.as_chunks::<3>().0 {
            for (sum, value) in sum.iter_mut().zip(pixel) {
                *sum += u64::from(*value);
            }
        }
    }
    let count = ((right - left) * (bottom - top)) as f32;
    luma(sum.map(|sum| sum as f32 / count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Pixels {
        let at = |i: usize| [value(i % width, i / width); 3];
        Pixels {
            width,
            height,
            rgb: (0..width * height).flat_map(at).collect(),
        }
    }

    fn apart(one: &Pixels, other: &Pixels) -> u32 {
        let pairs = print(one).into_iter().zip(print(other));
        pairs.map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    #[test]
    fn a_print_tells_where_it_grows_lighter_at_any_size() {
        let lighter = picture(170, 160, |x, _| x as u8);
        assert_eq!(print(&lighter), [0xff; 32]);
        assert_eq!(print(&picture(170, 160, |x, _| 255 - x as u8)), [0; 32]);
        assert_eq!(print(&picture(1, 1, |_, _| 9)), [0; 32]);
        assert_eq!(print(&picture(5, 3, |_, _| 9)), [0; 32]);
        let waves = |scale: usize| {
            picture(120 * scale, 96 * scale, |x, y| {
                let (x, y) = (x as f32 / scale as f32, y as f32 / scale as f32);
                (128.0 + 90.0 * (x / 9.0).sin() * (y / 13.0).cos()) as u8
            })
        };
        assert!(apart(&waves(1), &waves(3)) <= 6);
        assert!(apart(&waves(1), &lighter) > 60);
    }
}
