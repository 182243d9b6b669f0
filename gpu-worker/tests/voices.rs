//! The voice pipeline on recordings from the wild: how well it tells people apart,
//! what it refuses, and how long each stage takes.
//!
//! Needs REDOUBT_MODELS_DIR (the fetched models) and REDOUBT_DATA (a folder with
//! `librispeech`: a folder of FLAC files per speaker).

mod common;

use std::path::{Path, PathBuf};

use common::audio::Wav;
use common::{far, folder};
use redoubt_shared::worker::{SampleRefusal, VoiceQuality, VoiceSample};
use redoubt_worker::pipeline::Pipeline;
use redoubt_worker::voice::{RATE, VoiceTimes, decoded};

/// Cosine of the manifest at one false match in a thousand.
const THRESHOLD: f32 = 0.451;

struct Heard {
    speaker: String,
    sample: VoiceSample,
    times: VoiceTimes,
}

fn recordings(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for speaker in std::fs::read_dir(root).unwrap().flatten() {
        let name = speaker.file_name().to_string_lossy().into_owned();
        for file in std::fs::read_dir(speaker.path()).unwrap().flatten() {
            found.push((name.clone(), file.path()));
        }
    }
    found.sort();
    found
}

fn cosine(a: &VoiceSample, b: &VoiceSample) -> f32 {
    let (a, b) = (&a.embeddings[0].vector, &b.embeddings[0].vector);
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn report(name: &str, mut values: Vec<f32>) {
    values.sort_by(f32::total_cmp);
    let at = |part: f32| values[((values.len() - 1) as f32 * part) as usize];
    let shown = [0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0].map(|part| format!("{:.3}", at(part)));
    println!("{name}: min 1% 5% 50% 95% 99% max = {}", shown.join(" "));
}

/// What PyTorch 1.13.1 makes of the first recording, with a public transcription of
/// the network and torchaudio's features: norm, and the first of the unit vector.
const NORM: f32 = 6.563_234;
const FIRST: [f32; 8] = [
    -0.001_703, -0.037_575, -0.019_734, 0.062_521, 0.110_108, 0.091_617, -0.058_320, -0.061_843,
];

fn an_embedding_is_the_one_that_its_makers_code_gives(pipeline: &mut Pipeline, file: &[u8]) {
    let sample = pipeline.voice(file, far()).0.unwrap();
    assert!((sample.quality.embedding_norm - NORM).abs() < 1e-3);
    for (found, expected) in sample.embeddings[0].vector.iter().zip(FIRST) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

// One test: a process has one inference library.
#[test]
fn voices_are_told_apart_and_what_is_no_voice_is_refused_by_name() {
    let test = "voices_are_told_apart_and_what_is_no_voice_is_refused_by_name";
    let (Some(models), Some(data)) = (
        folder("REDOUBT_MODELS_DIR", test),
        folder("REDOUBT_DATA", test),
    ) else {
        return;
    };
    let (_environment, mut pipeline) = common::pipeline(&models);
    let recordings = recordings(&data.join("librispeech"));
    let file = std::fs::read(&recordings[0].1).unwrap();
    an_embedding_is_the_one_that_its_makers_code_gives(&mut pipeline, &file);
    a_spoiled_recording_is_refused_for_what_is_wrong_with_it(&mut pipeline, &file);
    a_voice_sent_at_another_rate_width_or_loudness_stays_the_same_person(&mut pipeline, &file);
    recordings_from_the_wild_pass_the_gate_and_speakers_are_told_apart(&mut pipeline, &recordings);
}

/// A recording and what can be made of it, each with what it must be refused as.
fn spoiled(file: &[u8]) -> Vec<(&'static str, Vec<f32>, SampleRefusal)> {
    let good = decoded(file).unwrap();
    let louder = |gain: f32| good.iter().map(|s| (s * gain).clamp(-1.0, 1.0)).collect();
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let hiss: Vec<f32> = (0..3 * RATE).map(|_| 0.1 * noise()).collect();
    let drowned = good.iter().map(|s| s + 0.25 * noise()).collect();
    vec![
        ("silence", vec![0.0; 3 * RATE], SampleRefusal::Silent),
        ("nothing", Vec::new(), SampleRefusal::Silent),
        ("overloud", louder(60.0), SampleRefusal::Clipped),
        (
            "a syllable",
            good[RATE..RATE + RATE / 5].to_vec(),
            SampleRefusal::TooLittleSpeech,
        ),
        ("hiss alone", hiss, SampleRefusal::TooLittleSpeech),
        ("faint", louder(0.003), SampleRefusal::TooQuiet),
        ("drowned in hiss", drowned, SampleRefusal::TooNoisy),
    ]
}

fn a_spoiled_recording_is_refused_for_what_is_wrong_with_it(pipeline: &mut Pipeline, file: &[u8]) {
    let before = pipeline.voice(file, far()).0.unwrap();
    for (name, samples, refusal) in spoiled(file) {
        let wav = Wav::floats(&samples, RATE as u32).file();
        let outcome = pipeline.voice(&wav, far()).0;
        println!("{name}: {outcome:?}");
        assert_eq!(outcome.err(), Some(refusal), "{name}");
    }
    let late = pipeline.voice(file, std::time::Instant::now()).0;
    assert_eq!(late.err(), Some(SampleRefusal::Deadline));
    let after = pipeline.voice(file, far()).0.unwrap();
    assert_eq!(before, after, "nothing of the jobs between may be left");
}

fn a_voice_sent_at_another_rate_width_or_loudness_stays_the_same_person(
    pipeline: &mut Pipeline,
    file: &[u8],
) {
    let samples = decoded(file).unwrap();
    let before = pipeline.voice(file, far()).0.unwrap();
    let quiet: Vec<f32> = samples.iter().map(|s| s * 0.3).collect();
    // Every third sample three times: a rate of 48 kHz, clumsily made.
    let fast: Vec<f32> = samples.iter().flat_map(|s| [*s; 3]).collect();
    // Longer than one piece.
    let long = samples.repeat(3);
    let kinds = [
        ("quieter", Wav::floats(&quiet, 16_000), 0.99),
        ("16 bits", Wav::of(&samples, 16_000, 1), 0.999),
        ("48 kHz", Wav::of(&fast, 48_000, 1), 0.95),
        ("three times over", Wav::of(&long, 16_000, 1), 0.98),
    ];
    for (name, wav, least) in kinds {
        let sample = pipeline.voice(&wav.file(), far()).0.unwrap();
        let near = cosine(&before, &sample);
        println!("{name}: {near:.4}");
        assert!(near > least, "{name}: {near}");
    }
}

fn recordings_from_the_wild_pass_the_gate_and_speakers_are_told_apart(
    pipeline: &mut Pipeline,
    recordings: &[(String, PathBuf)],
) {
    let (mut heard, mut refused) = (Vec::new(), Vec::new());
    for (speaker, path) in recordings {
        match pipeline.voice(&std::fs::read(path).unwrap(), far()) {
            (Ok(sample), times) => heard.push(Heard {
                speaker: speaker.clone(),
                sample,
                times,
            }),
            (Err(refusal), _) => refused.push((path, refusal)),
        }
    }
    type Measure = fn(&VoiceQuality) -> f32;
    let measures: [(&str, Measure); 6] = [
        ("speech_seconds", |q| q.speech_seconds),
        ("level_db", |q| q.level_db),
        ("clipped", |q| q.clipped),
        ("signal_to_noise_db", |q| q.signal_to_noise_db),
        ("embedding_norm", |q| q.embedding_norm),
        ("score", |q| q.score),
    ];
    for (name, measure) in measures {
        report(
            name,
            heard.iter().map(|h| measure(&h.sample.quality)).collect(),
        );
    }
    type Stage = fn(&VoiceTimes) -> std::time::Duration;
    let stages: [(&str, Stage); 4] = [
        ("decode ms", |t| t.decode),
        ("activity ms", |t| t.activity),
        ("features ms", |t| t.features),
        ("embed ms", |t| t.embed),
    ];
    for (name, stage) in stages {
        let millis = heard.iter().map(|h| stage(&h.times).as_secs_f32() * 1e3);
        report(name, millis.collect());
    }
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    for (at, a) in heard.iter().enumerate() {
        for b in &heard[at + 1..] {
            let cosine = cosine(&a.sample, &b.sample);
            match a.speaker == b.speaker {
                true => genuine.push(cosine),
                false => impostor.push(cosine),
            }
        }
    }
    println!(
        "{} genuine, {} impostor pairs; refused {refused:?}",
        genuine.len(),
        impostor.len()
    );
    report("genuine", genuine.clone());
    report("impostor", impostor.clone());
    let accepted = genuine
        .iter()
        .filter(|cosine| **cosine >= THRESHOLD)
        .count();
    let matched = impostor
        .iter()
        .filter(|cosine| **cosine >= THRESHOLD)
        .count();
    println!("at {THRESHOLD}: {accepted} accepted, {matched} matched");
    assert!(refused.is_empty(), "{refused:?}");
    assert!(
        accepted * 1000 >= 979 * genuine.len(),
        "{accepted} of {}",
        genuine.len()
    );
    assert_eq!(matched, 0);
}
