//! Where the words of a recording are: stretches louder than the pauses between them.
//!
//! For digits read one by one. A closure inside a word ("six", "eight") is shorter than a
//! pause, and what follows it is short and fainter: it stays with its word. Words that run
//! into each other are one here.

use std::ops::Range;

use redoubt_shared::limits::WORDS_MAX;

use super::super::RATE;
use super::super::activity::{Activity, STEP};
use super::prepare::{filtered, low_pass};

/// Samples of an energy: ten milliseconds. Lengths below are counted in such.
const FRAME: usize = RATE / 100;
/// Part of the one sample before that is taken from each, so that hisses are heard.
const PRE_EMPHASIS: f32 = 0.9;
/// Energies in decibels are not below.
const FLOOR: f32 = -90.0;
/// Parts of the energies that lie below the noise, and below the loudest words.
const QUIET: f32 = 0.1;
const LOUD: f32 = 0.98;
/// A recording that varies less, in decibels, has no words.
const SPAN_LEAST: f32 = 8.0;
/// A word is this much above the noise, and at most this much below the loudest.
const ABOVE: f32 = 5.0;
const BELOW: f32 = 30.0;
/// Its loudest part is more above, and at most this much below the loudest.
const CORE_ABOVE: f32 = 4.0;
const CORE_BELOW: f32 = 22.0;
/// Both at most these parts of the way from the noise to the loudest.
const ABOVE_PART: f32 = 0.5;
const CORE_PART: f32 = 0.4;
/// A pause this short is inside a word.
const JOINED: usize = 8;
/// Or this short, where what follows is a burst: so short, and fainter by so much.
const BURST_JOINED: usize = 18;
const BURST: usize = 12;
const BURST_FAINTER: f32 = 6.0;
/// No word is shorter; a click is.
const LEAST: usize = 8;
/// No sound is shorter.
const RUN_LEAST: usize = 2;
/// What is cut out reaches this far beyond the word, or halfway to the next.
const MARGIN: usize = 3;

/// The words of mono samples at 16 kHz, as samples, [`WORDS_MAX`] at most; `activity` is
/// of the same samples.
pub(in crate::voice) fn words(samples: &[f32], activity: &Activity) -> Vec<Range<usize>> {
    let energies = energies(samples);
    let spoken = |word: &Range<usize>| {
        let steps = word.start * FRAME / STEP..(word.end * FRAME).div_ceil(STEP);
        let steps = activity.steps.iter().take(steps.end).skip(steps.start);
        steps.filter(|step| step.0).count() > 0
    };
    let mut found = loud(&energies);
    found.retain(spoken);
    found.truncate(WORDS_MAX);
    widened(&found, energies.len())
}

/// Decibels of each [`FRAME`], smoothed over three.
fn energies(samples: &[f32]) -> Vec<f32> {
    let heard = filtered(samples, &low_pass());
    let lifted = |at: usize| {
        let before = at.checked_sub(1).map_or(0.0, |before| heard[before]);
        heard[at] - PRE_EMPHASIS * before
    };
    let frame = |number: usize| {
        let all = number * FRAME..(number + 1) * FRAME;
        all.map(|at| lifted(at).powi(2)).sum::<f32>() / FRAME as f32
    };
    let each: Vec<f32> = (0..samples.len() / FRAME).map(frame).collect();
    let last = each.len().saturating_sub(1);
    let smooth =
        |at: usize| (each[at.saturating_sub(1)] + each[at] + each[(at + 1).min(last)]) / 3.0;
    let decibels = |at: usize| (10.0 * smooth(at).log10()).max(FLOOR);
    (0..each.len()).map(decibels).collect()
}

/// Stretches of energies that are words by their loudness and length.
fn loud(energies: &[f32]) -> Vec<Range<usize>> {
    let mut sorted = energies.to_vec();
    sorted.sort_by(f32::total_cmp);
    let part = |part: f32| sorted.get((part * sorted.len() as f32) as usize).copied();
    let (Some(noise), Some(top)) = (part(QUIET), part(LOUD)) else {
        return Vec::new();
    };
    let span = top - noise;
    if span < SPAN_LEAST {
        return Vec::new();
    }
    let low = (noise + ABOVE)
        .max(top - BELOW)
        .min(noise + ABOVE_PART * span);
    let core = (low + CORE_ABOVE).min(noise + CORE_PART * span);
    let core = core.max(top - CORE_BELOW);
    let peak = |word: &Range<usize>| energies[word.clone()].iter().copied().fold(FLOOR, f32::max);
    let mut words: Vec<Range<usize>> = Vec::new();
    for run in runs(energies, low) {
        match words.last_mut() {
            Some(word) if belongs(word, &run, peak) => word.end = run.end,
            _ => words.push(run),
        }
    }
    words.retain(|word| word.len() >= LEAST && peak(word) > core);
    words
}

/// Whether what was heard next is of the same word.
fn belongs(word: &Range<usize>, next: &Range<usize>, peak: impl Fn(&Range<usize>) -> f32) -> bool {
    let pause = next.start - word.end;
    let burst = next.len() < BURST && peak(next) < peak(word) - BURST_FAINTER;
    pause < JOINED || (burst && pause < BURST_JOINED)
}

/// Stretches above a level.
fn runs(energies: &[f32], level: f32) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, energy) in energies.iter().enumerate() {
        match found.last_mut() {
            _ if *energy <= level => {}
            Some(run) if run.end == at => run.end = at + 1,
            _ => found.push(at..at + 1),
        }
    }
    found.retain(|run| run.len() >= RUN_LEAST);
    found
}

/// With their margins, as samples; none reaches into another.
fn widened(words: &[Range<usize>], frames: usize) -> Vec<Range<usize>> {
    let half = |end: usize, start: usize| end + (start - end) / 2;
    let wide = |(at, word): (usize, &Range<usize>)| {
        let before = at
            .checked_sub(1)
            .map_or(0, |before| half(words[before].end, word.start));
        let behind = words
            .get(at + 1)
            .map_or(frames, |next| half(word.end, next.start));
        let from = word.start.saturating_sub(MARGIN).max(before);
        let to = (word.end + MARGIN).min(behind);
        from * FRAME..to * FRAME
    };
    words.iter().enumerate().map(wide).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Energies: pauses of -60 dB between stretches of so many frames and decibels.
    fn energies_of(parts: &[(usize, f32)]) -> Vec<f32> {
        let part = |(length, energy): &(usize, f32)| vec![*energy; *length];
        parts.iter().flat_map(part).collect()
    }

    const PAUSE: f32 = -60.0;

    #[test]
    fn each_word_is_one_and_a_closure_inside_does_not_cut_it() {
        // "six": a hiss, a vowel, 70 ms of nothing, a hiss; "eight": a vowel, 150 ms of
        // nothing, a faint burst.
        let energies = energies_of(&[
            (30, PAUSE),
            (20, -20.0),
            (25, PAUSE),
            (8, -30.0),
            (10, -20.0),
            (7, PAUSE),
            (14, -28.0),
            (25, PAUSE),
            (20, -18.0),
            (15, PAUSE),
            (5, -35.0),
            (25, PAUSE),
            (30, -22.0),
            (30, PAUSE),
        ]);
        assert_eq!(loud(&energies), [30..50, 75..114, 139..179, 204..234]);
    }

    #[test]
    fn clicks_and_what_is_of_one_loudness_are_no_words() {
        assert_eq!(loud(&[]), []);
        assert_eq!(loud(&[PAUSE; 500]), []);
        assert_eq!(loud(&[0.0; 500]), []);
        let clicks: Vec<f32> = (0..500)
            .map(|at| if at % 20 < 3 { -10.0 } else { PAUSE })
            .collect();
        assert_eq!(loud(&clicks), []);
        assert_eq!(loud(&[f32::NAN; 500]), []);
    }

    #[test]
    fn margins_do_not_overlap_and_stay_inside() {
        let wide = widened(&[1..10, 12..30, 60..99], 100);
        assert_eq!(
            wide,
            [
                0..11 * FRAME,
                11 * FRAME..33 * FRAME,
                57 * FRAME..100 * FRAME
            ]
        );
    }

    #[test]
    fn there_are_never_more_words_than_are_told_of() {
        let tone = |n: usize| (n as f32 * 0.5).sin() * if n % 6400 < 3200 { 0.3 } else { 0.0 };
        let samples: Vec<f32> = (0..60 * RATE).map(tone).collect();
        let steps = vec![(true, 0.1); samples.len() / STEP];
        let found = words(&samples, &Activity { steps });
        assert_eq!(found.len(), WORDS_MAX);
        let silent = vec![(false, 0.1); samples.len() / STEP];
        assert_eq!(words(&samples, &Activity { steps: silent }), []);
    }
}
