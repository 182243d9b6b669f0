//! Recordings of single digits, and recordings of six that are put together of them:
//! silence, a digit, a pause, a digit. What is drawn follows from the seed alone.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use redoubt_enclave::biometrics::spoken::DIGITS;

use super::Kind;
use crate::stats::SplitMix;

/// Milliseconds of silence at both ends, and between two digits: from and to.
const ENDS_MS: (usize, usize) = (100, 600);
const PAUSE_MS: (usize, usize) = (200, 600);
/// Noise in all of it: its amplitude at most, as a part of full scale.
const NOISE: f32 = 0.0005;

/// A recording to be judged.
pub(super) struct Trial {
    pub(super) speaker: usize,
    pub(super) spoken: [u8; DIGITS],
    /// Against which digits it is judged, and as what.
    pub(super) asked: Vec<(Kind, [u8; DIGITS])>,
    pub(super) file: Vec<u8>,
}

/// Who there is, and their recordings of each digit.
pub(super) struct Speakers {
    pub(super) names: Vec<String>,
    files: Vec<[Vec<PathBuf>; 10]>,
}

impl Speakers {
    /// All of a folder, at any depth; two speakers at least, each with every digit.
    pub(super) fn find(root: &Path) -> Result<Self> {
        let mut found: BTreeMap<String, [Vec<PathBuf>; 10]> = BTreeMap::new();
        let mut open = vec![root.to_path_buf()];
        while let Some(folder) = open.pop() {
            let inside =
                std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
            for entry in inside {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                } else if let Some((digit, speaker)) = named(&path) {
                    found.entry(speaker).or_default()[digit].push(path);
                }
            }
        }
        for (speaker, digits) in &mut found {
            digits.iter_mut().for_each(|files| files.sort());
            let every = digits.iter().all(|files| !files.is_empty());
            ensure!(every, "{speaker} has no recording of some digit");
        }
        ensure!(
            found.len() >= 2,
            "{}: recordings of two speakers are needed, named DIGIT_SPEAKER_N.wav",
            root.display()
        );
        let (names, files) = found.into_iter().unzip();
        Ok(Self { names, files })
    }

    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// What a speaker reads, and the same begun by the speaker and ended by another.
    pub(super) fn trial(&self, speaker: usize, draw: &mut SplitMix) -> Result<[Trial; 2]> {
        let spoken = [(); DIGITS].map(|()| draw.below(10) as u8);
        let other = spoken.map(|digit| (digit + 1 + draw.below(9) as u8) % 10);
        let mut one = spoken;
        let at = draw.below(DIGITS);
        one[at] = other[at];
        let own = self.recording(&spoken.map(|digit| (speaker, digit)), draw)?;
        let stranger = (speaker + 1 + draw.below(self.count() - 1)) % self.count();
        let mut by = spoken.map(|digit| (speaker, digit));
        by[DIGITS / 2..]
            .iter_mut()
            .for_each(|word| word.0 = stranger);
        let two = self.recording(&by, draw)?;
        let asked = vec![
            (Kind::Genuine, spoken),
            (Kind::AllOther, other),
            (Kind::OneOther, one),
        ];
        let trial = |asked, file| Trial {
            speaker,
            spoken,
            asked,
            file,
        };
        Ok([
            trial(asked, own),
            trial(vec![(Kind::TwoVoices, spoken)], two),
        ])
    }

    /// A WAV file of these words, each by its speaker.
    fn recording(&self, words: &[(usize, u8)], draw: &mut SplitMix) -> Result<Vec<u8>> {
        let (mut said, mut rate) = (Vec::new(), None);
        let mut pause = between(ENDS_MS, draw);
        for (speaker, digit) in words {
            let files = &self.files[*speaker][usize::from(*digit)];
            let path = &files[draw.below(files.len())];
            let (own, samples) = read(path)?;
            let same = *rate.get_or_insert(own) == own;
            ensure!(
                same,
                "{}: another rate than the word before",
                path.display()
            );
            said.extend(silence(pause, own, draw));
            said.extend(samples);
            pause = between(PAUSE_MS, draw);
        }
        let rate = rate.context("no words")?;
        said.extend(silence(between(ENDS_MS, draw), rate, draw));
        wav(&said, rate)
    }
}

/// Digit and speaker of `DIGIT_SPEAKER_N.wav`.
fn named(path: &Path) -> Option<(usize, String)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".wav")?;
    let (digit, rest) = name.split_once('_')?;
    let (speaker, number) = rest.rsplit_once('_')?;
    let digit: usize = digit.parse().ok().filter(|digit| *digit < 10)?;
    number.parse::<u32>().ok()?;
    Some((digit, speaker.to_owned()))
}

/// Rate and samples of a WAV file of one channel and 16 bits.
fn read(path: &Path) -> Result<(u32, Vec<i16>)> {
    let named = || path.display().to_string();
    let file = hound::WavReader::open(path).with_context(named)?;
    let spec = file.spec();
    let plain = (spec.channels, spec.bits_per_sample) == (1, 16);
    ensure!(plain, "{}: no WAV of one channel and 16 bits", named());
    let samples = file.into_samples().collect::<Result<_, _>>();
    Ok((spec.sample_rate, samples.with_context(named)?))
}

fn between((from, to): (usize, usize), draw: &mut SplitMix) -> usize {
    from + draw.below(to - from)
}

/// Nearly: as a quiet room is.
fn silence(ms: usize, rate: u32, draw: &mut SplitMix) -> Vec<i16> {
    let count = ms * rate as usize / 1000;
    let amplitude = f32::from(i16::MAX) * NOISE;
    let sample = |part: usize| ((part as f32 / 500.0 - 1.0) * amplitude) as i16;
    (0..count).map(|_| sample(draw.below(1001))).collect()
}

fn wav(samples: &[i16], rate: u32) -> Result<Vec<u8>> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec)?;
    samples
        .iter()
        .try_for_each(|sample| writer.write_sample(*sample))?;
    writer.finalize()?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (number, speaker) in ["ada", "ben_two"].iter().enumerate() {
            for digit in 0..10i16 {
                let samples = vec![1000 * digit + number as i16 + 100; 800];
                let path = folder.path().join(format!("{digit}_{speaker}_0.wav"));
                std::fs::write(path, wav(&samples, 8000).unwrap()).unwrap();
            }
        }
        folder
    }

    #[test]
    fn what_is_put_together_is_what_was_drawn_and_follows_from_the_seed() {
        let folder = folder();
        let speakers = Speakers::find(folder.path()).unwrap();
        assert_eq!(speakers.names, ["ada", "ben_two"]);
        let trials = |seed| speakers.trial(1, &mut SplitMix::new(seed)).unwrap();
        let [own, two] = trials(3);
        assert_eq!(own.file, trials(3)[0].file);
        assert_ne!(own.file, trials(4)[0].file);
        let path = folder.path().join("made.wav");
        let words = |file: &[u8]| {
            std::fs::write(&path, file).unwrap();
            let (rate, samples) = read(&path).unwrap();
            assert_eq!(rate, 8000);
            let mut words: Vec<i16> = samples.into_iter().filter(|s| *s >= 100).collect();
            words.dedup();
            words
        };
        let said = |by: i16, digit: &u8| 1000 * i16::from(*digit) + by + 100;
        let mut expected: Vec<i16> = own.spoken.iter().map(|digit| said(1, digit)).collect();
        expected.dedup();
        assert_eq!(words(&own.file), expected);
        let by = two.spoken.iter().enumerate();
        let mut expected: Vec<i16> = by.map(|(at, d)| said(i16::from(at < 3), d)).collect();
        expected.dedup();
        assert_eq!(words(&two.file), expected);
        let differ = |kind| {
            let asked = own
                .asked
                .iter()
                .find(|(other, _)| *other == kind)
                .unwrap()
                .1;
            asked
                .iter()
                .zip(own.spoken)
                .filter(|(a, b)| **a != *b)
                .count()
        };
        assert_eq!(
            [Kind::Genuine, Kind::AllOther, Kind::OneOther].map(differ),
            [0, 6, 1]
        );
    }

    #[test]
    fn a_folder_without_speakers_or_with_too_few_digits_is_named() {
        let folder = folder();
        std::fs::remove_file(folder.path().join("7_ada_0.wav")).unwrap();
        let told = Speakers::find(folder.path()).err().unwrap().to_string();
        assert!(told.contains("ada has no recording"), "{told}");
        let none = tempfile::tempdir().unwrap();
        let told = Speakers::find(none.path()).err().unwrap().to_string();
        assert!(told.contains("two speakers"), "{told}");
    }
}
