//! What the network hears: log energies of mel bands, as the Kaldi toolkit
//! defines them (`compute-fbank-feats` without dither), each band less its mean.

use std::f32::consts::PI;

use super::RATE;
use super::fft::Fft;

/// Bands.
pub const MELS: usize = 80;
/// Samples of a frame, and from one frame to the next: 25 and 10 milliseconds.
pub const FRAME: usize = 400;
pub(super) const STEP: usize = 160;
const FFT: usize = 512;
const LOWEST_HZ: f32 = 20.0;
const HIGHEST_HZ: f32 = 8000.0;
const PRE_EMPHASIS: f32 = 0.97;
/// Energies below are taken for this: the step between 1 and the next f32.
const FLOOR: f32 = f32::EPSILON;

/// Tables made once.
#[derive(Debug)]
pub struct Features {
    window: Vec<f32>,
    /// First bin of each band, and its weights from there on.
    bands: Vec<(usize, Vec<f32>)>,
    fft: Fft,
}

impl Default for Features {
    fn default() -> Self {
        let hann = |n| 0.5 - 0.5 * (2.0 * PI * n as f32 / (FRAME - 1) as f32).cos();
        Self {
            window: (0..FRAME).map(|n| hann(n).powf(0.85)).collect(),
            bands: (0..MELS).map(band).collect(),
            fft: Fft::new(FFT),
        }
    }
}

fn mel(hertz: f32) -> f32 {
    1127.0 * (1.0 + hertz / 700.0).ln()
}

/// A triangle over mels, as its first bin that counts and the weights from there on.
fn band(number: usize) -> (usize, Vec<f32>) {
    let width = (mel(HIGHEST_HZ) - mel(LOWEST_HZ)) / (MELS + 1) as f32;
    let left = mel(LOWEST_HZ) + number as f32 * width;
    let weight = |bin: usize| {
        let at = mel((bin * RATE) as f32 / FFT as f32) - left;
        (at / width).min(2.0 - at / width)
    };
    let inside: Vec<usize> = (0..FFT / 2).filter(|bin| weight(*bin) > 0.0).collect();
    let first = inside.first().copied().unwrap_or_default();
    (first, inside.into_iter().map(weight).collect())
}

impl Features {
    /// `[MELS, frames]`, row-major, of mono samples in [-1, 1] at 16 kHz; one frame
    /// for each whole [`FRAME`], every ten milliseconds.
    pub fn of(&self, samples: &[f32]) -> (usize, Vec<f32>) {
        let frames = match samples.len().checked_sub(FRAME) {
            Some(rest) => rest / STEP + 1,
            None => 0,
        };
        let mut bands = vec![0.0; MELS * frames];
        let mut spectrum = self.fft.buffer();
        for frame in 0..frames {
            let samples = &samples[frame * STEP..][..FRAME];
            self.prepare(samples, &mut spectrum);
            let power = self.fft.power(&mut spectrum);
            for (band, (first, weights)) in self.bands.iter().enumerate() {
                let bins = power[*first..].iter().zip(weights);
                let energy: f32 = bins.map(|(power, weight)| power * weight).sum();
                bands[band * frames + frame] = energy.max(FLOOR).ln();
            }
        }
        for band in bands.chunks_exact_mut(frames.max(1)) {
            let mean = band.iter().sum::<f32>() / band.len() as f32;
            band.iter_mut().for_each(|value| *value -= mean);
        }
        (frames, bands)
    }

    /// Mean removed, high tones lifted, windowed.
    fn prepare(&self, samples: &[f32], spectrum: &mut [[f32; 2]]) {
        spectrum.fill([0.0; 2]);
        let mean = samples.iter().sum::<f32>() / FRAME as f32;
        let mut before = samples[0] - mean;
        for (at, sample) in samples.iter().enumerate() {
            let sample = sample - mean;
            spectrum[at][0] = (sample - PRE_EMPHASIS * before) * self.window[at];
            before = sample;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_stands_out_in_its_band_alone() {
        let features = Features::default();
        for hertz in [300.0, 1000.0, 3000.0, 7000.0] {
            // Silence before it: a steady tone alone would be its own mean.
            let tone = (0..RATE).map(|n| {
                let sounds = if n < RATE / 2 { 0.0 } else { 0.5 };
                sounds * (2.0 * PI * hertz * n as f32 / RATE as f32).sin()
            });
            let (frames, bands) = features.of(&tone.collect::<Vec<_>>());
            assert_eq!(frames, 98);
            let last: Vec<f32> = bands.chunks_exact(frames).map(|band| band[97]).collect();
            let loudest = (0..MELS).max_by(|a, b| last[*a].total_cmp(&last[*b]));
            let width = (mel(HIGHEST_HZ) - mel(LOWEST_HZ)) / (MELS + 1) as f32;
            let expected = (mel(hertz) - mel(LOWEST_HZ)) / width - 1.0;
            assert!((loudest.unwrap() as f32 - expected).abs() < 1.0, "{hertz}");
        }
    }

    #[test]
    fn every_band_has_a_mean_of_zero_and_loudness_does_not_matter() {
        let noise = |gain: f32| {
            let mut state = 1u32;
            let next = move |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                gain * ((state >> 8) as f32 / (1 << 24) as f32 - 0.5)
            };
            (0..RATE).map(next).collect::<Vec<f32>>()
        };
        let features = Features::default();
        let (frames, loud) = features.of(&noise(1.0));
        for band in loud.chunks_exact(frames) {
            assert!((band.iter().sum::<f32>() / frames as f32).abs() < 1e-4);
        }
        let (_, quiet) = features.of(&noise(0.1));
        let apart = loud.iter().zip(&quiet).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-2);
        assert_eq!(features.of(&noise(1.0)[..FRAME - 1]), (0, Vec::new()));
    }
}
