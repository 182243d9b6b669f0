//! Is this recording worth embedding? Measures, their limits, and one message each.
//!
//! Every measure maps to [0, 1] with 0.5 at its limit; the score is the lowest,
//! the gate passes from 0.5 on, and the measure that failed names the refusal.
//! The limits were set so that read speech recorded by anybody at home passes
//! (see `tests/voices.rs`, which holds them to it), and the same recordings made
//! short, faint, overloud or noisy do not.

use redoubt_shared::worker::{SampleRefusal, VoiceQuality};

use super::RATE;
use super::activity::{Activity, STEP};

/// Least seconds of speech.
pub(super) const SPEECH_MIN: f32 = 0.3;
/// Least level of the speech, in decibels below full scale.
pub(super) const LEVEL_MIN: f32 = -65.0;
/// Greatest part of the samples at full scale.
pub(super) const CLIPPED_MAX: f32 = 0.01;
/// Least signal to noise, in decibels, and by how much more it is good.
pub(super) const NOISE_MIN: f32 = 3.0;
const NOISE_SPAN: f32 = 10.0;
/// Nothing is said to be cleaner.
const NOISE_BEST: f32 = 60.0;
/// A level at which only the recorder's own steps are heard.
const SILENCE: f32 = -80.0;
/// A sample from here on stands at full scale.
const FULL: f32 = 0.999;

/// Part of the samples at full scale, as recorded.
pub(super) fn clipped(samples: &[f32]) -> f32 {
    let full = samples.iter().filter(|sample| sample.abs() >= FULL);
    full.count() as f32 / samples.len().max(1) as f32
}

/// Measures taken before any embedding.
pub(super) fn measure(activity: &Activity, clipped: f32) -> VoiceQuality {
    let steps = &activity.steps;
    let all: Vec<f32> = steps.iter().map(|step| step.1).collect();
    let speech: Vec<f32> = steps.iter().filter(|s| s.0).map(|s| s.1).collect();
    let heard = match speech.is_empty() {
        true => mean(&all),
        false => mean(&speech),
    };
    VoiceQuality {
        speech_seconds: (speech.len() * STEP) as f32 / RATE as f32,
        level_db: decibels(heard),
        clipped,
        signal_to_noise_db: signal_to_noise(heard, noise(all)),
        embedding_norm: 0.0,
        score: 0.0,
    }
}

/// Refuses what no embedding can save. The reason is the one whose cure cures most.
pub(super) fn gate(quality: &VoiceQuality) -> Result<(), SampleRefusal> {
    if quality.level_db <= SILENCE {
        Err(SampleRefusal::Silent)
    } else if quality.clipped > CLIPPED_MAX {
        Err(SampleRefusal::Clipped)
    } else if quality.speech_seconds < SPEECH_MIN {
        Err(SampleRefusal::TooLittleSpeech)
    } else if quality.level_db < LEVEL_MIN {
        Err(SampleRefusal::TooQuiet)
    } else if quality.signal_to_noise_db < NOISE_MIN {
        Err(SampleRefusal::TooNoisy)
    } else {
        Ok(())
    }
}

/// Adds what the embedding tells, and the score.
pub(super) fn conclude(quality: &mut VoiceQuality, norm: f32) {
    quality.embedding_norm = norm;
    let above = |value: f32, limit: f32| (value / limit / 2.0).clamp(0.0, 1.0);
    quality.score = [
        above(quality.speech_seconds, SPEECH_MIN),
        above(quality.level_db - SILENCE, LEVEL_MIN - SILENCE),
        1.0 - (quality.clipped / CLIPPED_MAX / 2.0).clamp(0.0, 1.0),
        above(
            quality.signal_to_noise_db - NOISE_MIN + NOISE_SPAN,
            NOISE_SPAN,
        ),
    ]
    .into_iter()
    .fold(1.0, f32::min);
}

fn mean(energies: &[f32]) -> f32 {
    energies.iter().sum::<f32>() / energies.len().max(1) as f32
}

/// Of an energy, with full scale at zero; silence is not below twice [`SILENCE`].
fn decibels(energy: f32) -> f32 {
    (10.0 * energy.log10()).clamp(2.0 * SILENCE, 0.0)
}

/// Energy of the faintest tenth of the steps: what is there when nobody speaks.
fn noise(mut all: Vec<f32>) -> f32 {
    all.sort_by(f32::total_cmp);
    mean(&all[..all.len().div_ceil(10)])
}

/// Decibels between what of the speech is not noise, and the noise.
fn signal_to_noise(heard: f32, noise: f32) -> f32 {
    let signal = (heard - noise).max(0.0);
    let ratio = 10.0 * (signal / noise.max(f32::MIN_POSITIVE)).log10();
    ratio.clamp(-NOISE_BEST, NOISE_BEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> VoiceQuality {
        VoiceQuality {
            speech_seconds: 3.0,
            level_db: -25.0,
            clipped: 0.0,
            signal_to_noise_db: 25.0,
            embedding_norm: 0.0,
            score: 0.0,
        }
    }

    #[test]
    fn each_failing_measure_has_its_own_refusal_and_a_score_below_a_half() {
        assert_eq!(gate(&good()), Ok(()));
        type Spoil = fn(&mut VoiceQuality);
        let cases: [(Spoil, SampleRefusal); 5] = [
            (|q| q.level_db = -90.0, SampleRefusal::Silent),
            (|q| q.clipped = 0.02, SampleRefusal::Clipped),
            (|q| q.speech_seconds = 0.2, SampleRefusal::TooLittleSpeech),
            (|q| q.level_db = -70.0, SampleRefusal::TooQuiet),
            (|q| q.signal_to_noise_db = 2.0, SampleRefusal::TooNoisy),
        ];
        for (spoil, refusal) in cases {
            let mut quality = good();
            spoil(&mut quality);
            assert_eq!(gate(&quality), Err(refusal));
            conclude(&mut quality, 10.0);
            assert!(quality.score < 0.5, "{refusal:?}");
        }
    }

    #[test]
    fn what_just_passes_scores_a_half() {
        let mut quality = VoiceQuality {
            speech_seconds: SPEECH_MIN,
            level_db: LEVEL_MIN,
            clipped: CLIPPED_MAX,
            signal_to_noise_db: NOISE_MIN,
            ..good()
        };
        assert_eq!(gate(&quality), Ok(()));
        conclude(&mut quality, 10.0);
        assert!((quality.score - 0.5).abs() < 1e-6);
    }

    #[test]
    fn noise_is_measured_in_the_faintest_tenth_of_the_steps() {
        let steps = |speech: usize, pauses: usize| Activity {
            steps: [vec![(true, 0.101); speech], vec![(false, 0.001); pauses]].concat(),
        };
        let measured = measure(&steps(100, 50), 0.0);
        assert!((measured.signal_to_noise_db - 20.0).abs() < 0.01);
        assert!((measured.speech_seconds - 1.6).abs() < 1e-6);
        assert!((measured.level_db + 9.957).abs() < 0.01);
        // Of one loudness throughout, as much is noise as is speech.
        let drone = measure(&steps(100, 0), 0.0);
        assert_eq!(gate(&drone), Err(SampleRefusal::TooNoisy));
        let nothing = measure(&steps(0, 0), 0.0);
        assert_eq!(gate(&nothing), Err(SampleRefusal::Silent));
        let numbers = [
            nothing.level_db,
            nothing.signal_to_noise_db,
            nothing.speech_seconds,
        ];
        assert!(numbers.iter().all(|number| number.is_finite()));
    }
}
