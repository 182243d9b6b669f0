//! Spoken digits: what the worker hears of recordings put together of single digits, and
//! what it makes of recordings that hold none.
//!
//! Needs REDOUBT_MODELS_DIR (the fetched models), and for digits that people read
//! REDOUBT_DATA (a folder with `digits`: `SPEAKER/DIGIT_SPEAKER_N.wav`).

mod common;

use std::path::Path;

use common::audio::{Wav, buzz};
use common::{far, folder};
use redoubt_shared::limits::WORDS_MAX;
use redoubt_shared::worker::{SampleRefusal, SpokenSample};
use redoubt_worker::pipeline::Pipeline;
use redoubt_worker::voice::{RATE, decoded};

/// Every 24th of what `tests/eval/digits/features.py` makes of [`reference`].
const FEATURES: [f32; 12] = [
    -9.7214, -9.6273, 6.0650, 12.2206, -3.2145, -5.1754, 19.0001, 6.6650, -1.0961, -9.9461,
    18.2333, 7.6059,
];

/// Half a second of 120 Hz with overtones that come and go.
fn reference() -> Vec<f32> {
    let at = |n: usize| {
        let t = n as f64 / RATE as f64;
        let tone = |k: u32| (t * 120.0 * f64::from(k) * std::f64::consts::TAU).sin() / f64::from(k);
        (0.1 * (0.5 + 0.5 * (18.0 * t).sin()) * (1..20).map(tone).sum::<f64>()) as f32
    };
    (0..RATE / 2).map(at).collect()
}

struct Noise(u32);

impl Noise {
    /// In [-1, 1].
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn below(&mut self, most: usize) -> usize {
        ((self.next() + 1.0) / 2.0 * most as f32) as usize % most
    }
}

fn spoken(pipeline: &mut Pipeline, samples: &[f32]) -> Result<SpokenSample, SampleRefusal> {
    let file = Wav::floats(samples, RATE as u32).file();
    pipeline.spoken(&file, far()).0
}

// One test: a process has one inference library.
#[test]
fn digits_are_heard_and_what_holds_none_is_refused_or_has_no_words() {
    let test = "digits_are_heard_and_what_holds_none_is_refused_or_has_no_words";
    let Some(models) = folder("REDOUBT_MODELS_DIR", test) else {
        return;
    };
    let (_environment, mut pipeline) = common::pipeline(&models);
    features_are_those_the_head_was_trained_on(&mut pipeline);
    hostile_recordings_cost_nothing_but_themselves(&mut pipeline);
    let Some(data) = folder("REDOUBT_DATA", test) else {
        return;
    };
    people_who_read_digits_are_heard(&mut pipeline, &data.join("digits"));
}

fn features_are_those_the_head_was_trained_on(pipeline: &mut Pipeline) {
    let features = pipeline.digit_features(&reference()).unwrap().unwrap();
    assert_eq!(features.len(), redoubt_worker::voice::digits::FEATURES);
    for (found, expected) in features.iter().step_by(24).zip(FEATURES) {
        assert!((found - expected).abs() < 1e-3, "{found} {expected}");
    }
}

fn hostile_recordings_cost_nothing_but_themselves(pipeline: &mut Pipeline) {
    let mut noise = Noise(1);
    let mut hiss = |seconds: usize, loud: f32| -> Vec<f32> {
        (0..seconds * RATE).map(|_| loud * noise.next()).collect()
    };
    let refused = [
        (vec![0.0; 5 * RATE], SampleRefusal::Silent),
        (Vec::new(), SampleRefusal::Silent),
        (vec![f32::NAN; RATE], SampleRefusal::NotFinite),
        (vec![0.0; 61 * RATE], SampleRefusal::TooLong),
    ];
    for (samples, refusal) in refused {
        assert_eq!(spoken(pipeline, &samples).err(), Some(refusal));
    }
    let file = Wav::floats(&buzz(RATE as u32, 3.0), RATE as u32).file();
    let late = pipeline.spoken(&file, std::time::Instant::now()).0;
    assert_eq!(late.err(), Some(SampleRefusal::Deadline));
    assert_eq!(
        pipeline.spoken(b"RIFF", far()).0.err(),
        Some(SampleRefusal::NotAudio)
    );
    let click = |at: usize| if at % 3200 < 160 { 0.9 } else { 0.0 };
    let clicks: Vec<f32> = (0..60 * RATE).map(click).collect();
    let beat = |at: usize| at % 4800 < 2400;
    let beats: Vec<f32> = buzz(RATE as u32, 60.0)
        .into_iter()
        .enumerate()
        .map(|(at, sample)| if beat(at) { sample } else { 0.0 })
        .collect();
    let one: Vec<f32> = [vec![0.0; RATE], buzz(RATE as u32, 0.5), vec![0.0; RATE]].concat();
    for (name, samples) in [
        ("clicks", clicks),
        ("beats", beats),
        ("hiss", hiss(60, 0.3)),
        ("one", one),
    ] {
        let began = std::time::Instant::now();
        let outcome = spoken(pipeline, &samples);
        println!(
            "{name}: {:?} in {:?}",
            outcome.as_ref().map(|heard| heard.words.len()),
            began.elapsed()
        );
        let Ok(heard) = outcome else { continue };
        well_formed(&heard, samples.len());
    }
}

fn well_formed(heard: &SpokenSample, length: usize) {
    assert!(heard.words.len() <= WORDS_MAX);
    assert_eq!(
        heard.halves.len(),
        if heard.words.len() < 2 { 0 } else { 2 }
    );
    let mut before = 0;
    for word in &heard.words {
        assert!(before <= word.from_ms && word.from_ms < word.to_ms);
        before = word.to_ms;
        let sum: f32 = word.digits.iter().map(|log| log.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-3 && word.digits.iter().all(|log| *log <= 0.0));
    }
    assert!(before as usize <= length * 1000 / RATE);
}

/// Six words of somebody, with pauses and a little noise, and how loud.
fn reads(
    folder: &Path,
    speaker: &str,
    digits: [usize; 6],
    noise: &mut Noise,
    gain: f32,
) -> Vec<f32> {
    let mut said = vec![0.0; RATE / 10 + noise.below(RATE / 2)];
    for digit in digits {
        let file = format!("{digit}_{speaker}_{}.wav", noise.below(50));
        let bytes = std::fs::read(folder.join(speaker).join(file)).unwrap();
        said.extend(decoded(&bytes).unwrap());
        said.extend(vec![0.0; RATE / 5 + noise.below(RATE / 3)]);
    }
    let level = (said.iter().map(|s| s * s).sum::<f32>() / said.len() as f32).sqrt();
    for sample in &mut said {
        *sample = ((*sample + 0.03 * level * noise.next()) * gain).clamp(-1.0, 1.0);
    }
    said
}

/// The head was trained on these speakers: this holds the machinery, not its accuracy
/// with others (docs/voices.md).
fn people_who_read_digits_are_heard(pipeline: &mut Pipeline, folder: &Path) {
    let mut noise = Noise(7);
    let (mut six, mut right, mut words, mut all) = (0, 0, 0, 0);
    for speaker in ["george", "jackson", "lucas", "nicolas"] {
        for round in 0..15 {
            let digits = [(); 6].map(|()| noise.below(10));
            let gain = [1.0, 0.2, 0.05][round % 3];
            let samples = reads(folder, speaker, digits, &mut noise, gain);
            let heard = spoken(pipeline, &samples).unwrap();
            well_formed(&heard, samples.len());
            let file = Wav::floats(&samples, RATE as u32).file();
            assert_eq!(heard.voice, pipeline.voice(&file, far()).0.unwrap());
            all += 1;
            if heard.words.len() != digits.len() {
                continue;
            }
            six += 1;
            for (word, digit) in heard.words.iter().zip(digits) {
                let most = (0..10).max_by(|a, b| word.digits[*a].total_cmp(&word.digits[*b]));
                words += 1;
                right += usize::from(most == Some(digit));
            }
        }
    }
    println!("{six} of {all} recordings have six words, {right} of {words} words are right");
    assert!(six * 100 >= 95 * all, "{six} of {all}");
    assert!(right * 100 >= 93 * words, "{right} of {words}");
}
