//! Another sampling rate, by a windowed sinc (Kaiser): frequencies that the
//! slower of both rates cannot carry are removed, the others stay as they are.

use std::f64::consts::PI;

use super::RATE;

/// Zero crossings of the sinc on each side, at the slower rate.
const CROSSINGS: f64 = 24.0;
/// Where the filter lets half through, as a part of what the slower rate can carry.
const CUTOFF: f64 = 0.94;
/// Shape of the window: leaks stay 80 dB below.
const BETA: f64 = 8.0;

/// The same sound at [`RATE`].
pub(super) fn resample(samples: Vec<f32>, rate: u32) -> Vec<f32> {
    let rate = rate as usize;
    if rate == RATE {
        return samples;
    }
    let common = gcd(rate, RATE);
    // Every `phases` samples made, `step` were taken, and the filter's places repeat.
    let (phases, step) = (RATE / common, rate / common);
    let narrow = CUTOFF * (RATE as f64 / rate as f64).min(1.0);
    let reach = (CROSSINGS / narrow).ceil() as isize;
    let filters: Vec<Vec<f32>> = (0..phases)
        .map(|phase| {
            filter(
                (phase * step % phases) as f64 / phases as f64,
                narrow,
                reach,
            )
        })
        .collect();
    let length = samples.len() * phases / step;
    let made = (0..length).map(|at| {
        let middle = (at * step / phases).cast_signed();
        let first = middle - reach + 1;
        let filter = &filters[at % phases];
        // What stands before the beginning and behind the end is silence.
        let skipped = usize::try_from(-first).unwrap_or_default();
        let from = usize::try_from(first)
            .unwrap_or_default()
            .min(samples.len());
        let heard = samples[from..]
            .iter()
            .zip(&filter[skipped.min(filter.len())..]);
        heard.map(|(sample, weight)| sample * weight).sum()
    });
    made.collect()
}

/// Weights of the samples from `1 - reach` to `reach` around a place `part` of a
/// sample behind one of them.
fn filter(part: f64, narrow: f64, reach: isize) -> Vec<f32> {
    let weight = |at: isize| {
        let away = at as f64 - part;
        let edge = away / (reach as f64);
        let window = match edge.abs() < 1.0 {
            true => bessel(BETA * (1.0 - edge * edge).sqrt()) / bessel(BETA),
            false => 0.0,
        };
        let turn = PI * narrow * away;
        let sinc = if turn == 0.0 { 1.0 } else { turn.sin() / turn };
        narrow * sinc * window
    };
    let weights: Vec<f64> = (1 - reach..=reach).map(weight).collect();
    // A constant stays what it is.
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| (w / sum) as f32).collect()
}

/// The modified Bessel function of order zero, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..40 {
        term *= (x / 2.0 / f64::from(n)).powi(2);
        sum += term;
    }
    sum
}

fn gcd(a: usize, b: usize) -> usize {
    match b {
        0 => a,
        _ => gcd(b, a % b),
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::RATES;
    use super::*;

    fn tone(hertz: f64, rate: usize) -> Vec<f32> {
        let at = |n: usize| (2.0 * PI * hertz * n as f64 / rate as f64).sin() as f32;
        (0..rate).map(at).collect()
    }

    /// Largest difference away from both ends.
    fn apart(a: &[f32], b: &[f32]) -> f32 {
        let pairs = a.iter().zip(b).skip(400).take(RATE - 800);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_tone_is_the_same_tone_at_every_rate() {
        for rate in RATES {
            for hertz in [120.0, 1000.0, 3300.0] {
                let made = resample(tone(hertz, rate as usize), rate);
                assert_eq!(made.len(), RATE, "{rate}");
                let error = apart(&made, &tone(hertz, RATE));
                assert!(error < 2e-3, "{hertz} Hz at {rate}: {error}");
            }
        }
    }

    #[test]
    fn what_the_slower_rate_cannot_carry_is_gone() {
        for (rate, hertz) in [(48_000, 9000.0), (44_100, 12_000.0), (96_000, 40_000.0)] {
            let made = resample(tone(hertz, rate as usize), rate);
            let left = apart(&made, &vec![0.0; RATE]);
            assert!(left < 2e-3, "{hertz} Hz at {rate}: {left}");
        }
    }

    #[test]
    fn no_length_is_too_short() {
        for rate in RATES {
            for length in 0..40 {
                let made = resample(vec![0.5; length], rate);
                assert!(made.len() <= 2 * length);
            }
        }
    }
}
