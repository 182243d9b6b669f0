//! A word's samples as the networks take them.
//!
//! Frequencies above 3.7 kHz are taken away, so that recordings of 8 kHz, telephones among
//! them, and of more sound alike; words are made equally loud, and stand in the middle of
//! silence. `tests/eval/digits/features.py` does the same for training.

use std::f64::consts::PI;

/// Fewest samples handed over: 92 frames, which hold three windows eight frames apart.
pub(super) const LENGTH: usize = 15_072;
/// Weights of the filter, and where it lets half through.
const TAPS: usize = 63;
const CUTOFF_HZ: f64 = 3700.0;
/// Root mean square of each word: a tenth of full scale in 16 bits.
const LOUDNESS: f32 = 3276.8;
/// Added to the root mean square of the word, so that silence stays silence.
const NOTHING: f32 = 1e-9;

/// The filter, made once.
#[derive(Debug)]
pub(super) struct Prepare {
    taps: Vec<f32>,
}

impl Default for Prepare {
    fn default() -> Self {
        Self { taps: low_pass() }
    }
}

/// A windowed sinc (Hann).
pub(super) fn low_pass() -> Vec<f32> {
    let narrow = 2.0 * CUTOFF_HZ / super::super::RATE as f64;
    let tap = |at: usize| {
        let away = at as f64 - (TAPS / 2) as f64;
        let turn = PI * narrow * away;
        let sinc = if turn == 0.0 { 1.0 } else { turn.sin() / turn };
        sinc * (0.5 + 0.5 * (2.0 * PI * away / (TAPS + 1) as f64).cos())
    };
    let taps: Vec<f64> = (0..TAPS).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.into_iter().map(|tap| (tap / sum) as f32).collect()
}

/// The word through a symmetric filter, as long as it was.
pub(super) fn filtered(samples: &[f32], taps: &[f32]) -> Vec<f32> {
    let half = taps.len() / 2;
    let at = |middle: usize| {
        let first = middle.saturating_sub(half);
        let skipped = half.saturating_sub(middle);
        let heard = samples[first..].iter().zip(&taps[skipped..]);
        heard.map(|(sample, tap)| sample * tap).sum()
    };
    (0..samples.len()).map(at).collect()
}

impl Prepare {
    /// Of samples at 16 kHz, full scale at 1: at least [`LENGTH`], scaled to 16 bits.
    pub(super) fn word(&self, samples: &[f32]) -> Vec<f32> {
        let word = filtered(samples, &self.taps);
        let power = word.iter().map(|s| s * s).sum::<f32>() / word.len().max(1) as f32;
        let scale = LOUDNESS / (power.sqrt() + NOTHING);
        let mut made = vec![0.0; word.len().max(LENGTH)];
        let first = (made.len() - word.len()) / 2;
        for (made, sample) in made[first..].iter_mut().zip(word) {
            *made = sample * scale;
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_loudness_and_length_are_as_loud_and_in_the_middle() {
        let prepare = Prepare::default();
        let tone = |length: usize, loud: f32| {
            let at = |n: usize| loud * (n as f32 * 0.3).sin();
            prepare.word(&(0..length).map(at).collect::<Vec<_>>())
        };
        for length in [1, 62, 63, 64, 1000, LENGTH, 30_000] {
            let (soft, loud) = (tone(length, 0.001), tone(length, 0.9));
            assert_eq!(loud.len(), length.max(LENGTH));
            let first = (loud.len() - length) / 2;
            assert!(loud[..first].iter().all(|sample| *sample == 0.0));
            let power = loud.iter().map(|s| s * s).sum::<f32>() / length as f32;
            assert!(length < 64 || (power.sqrt() / LOUDNESS - 1.0).abs() < 1e-3);
            let apart = soft.iter().zip(&loud).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 1.0, "{length}");
        }
        assert!(tone(500, 0.0).iter().all(|sample| *sample == 0.0));
        assert_eq!(prepare.word(&[]).len(), LENGTH);
    }

    #[test]
    fn what_a_telephone_does_not_carry_is_taken_away() {
        let tone = |hertz: f32| -> Vec<f32> {
            let at = |n: usize| (n as f32 * hertz / 16_000.0 * 2.0 * PI as f32).sin();
            (0..4000).map(at).collect()
        };
        let left = |hertz| {
            let heard = filtered(&tone(hertz), &low_pass());
            heard[100..3900].iter().copied().fold(0.0, f32::max)
        };
        assert!((left(1000.0) - 1.0).abs() < 0.01);
        assert!(left(5000.0) < 0.01);
    }
}
