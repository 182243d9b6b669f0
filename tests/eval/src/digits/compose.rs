//! Recordings of single digits, and recordings of six that are put together of them:
//! silence, a digit, a pause, a digit. What is drawn follows from the seed alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use redoubt_enclave::biometrics::spoken::DIGITS;

use super::Kind;

/// Milliseconds of silence at both ends, and between two digits: from and to.
const ENDS_MS: (usize, usize) = (100, 600);
const PAUSE_MS: (usize, usize) = (200, 600);
/// Noise in all of it: its amplitude at most, as a part of full scale.
const NOISE: f32 = 0.0005;

/// A generator (SplitMix64, Steele et al. 2014): evaluations repeat, secrets are not drawn.
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    fn between(&mut self, (from, to): (usize, usize)) -> usize {
        from + self.below(to - from)
    }

    fn digit(&mut self) -> u8 {
        self.below(10) as u8
    }
}

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
    pub(super) fn trial(&self, speaker: usize, draw: &mut Draw) -> Result<[Trial; 2]> {
        let spoken = [(); DIGITS].map(|()| draw.digit());
        let other = spoken.map(|digit| (digit + 1 + draw.digit() % 9) % 10);
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
    fn recording(&self, words: &[(usize, u8)], draw: &mut Draw) -> Result<Vec<u8>> {
        let (mut said, mut rate) = (Vec::new(), None);
        let mut pause = draw.between(ENDS_MS);
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
            pause = draw.between(PAUSE_MS);
        }
        let rate = rate.context("no words")?;
        said.extend(silence(draw.between(ENDS_MS), rate, draw));
        Ok(wav(&said, rate))
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
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let wrong = || format!("{}: no WAV of one channel and 16 bits", path.display());
    let mut rest = bytes.strip_prefix(b"RIFF").and_then(|bytes| bytes.get(8..));
    let mut rate = None;
    while let Some([a, b, c, d, l0, l1, l2, l3, body @ ..]) = rest {
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        let inside = &body[..length.min(body.len())];
        match [*a, *b, *c, *d] {
            [b'f', b'm', b't', b' '] => {
                let head: &[u8; 16] = inside.first_chunk().with_context(wrong)?;
                let plain = head[..4] == [1, 0, 1, 0] && head[14..] == [16, 0];
                ensure!(plain, wrong());
                rate = Some(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
            }
            [b'd', b'a', b't', b'a'] => {
                let (pairs, _) = inside.as_chunks::<2>();
                let samples = pairs.iter().map(|pair| i16::from_le_bytes(*pair));
                return Ok((rate.with_context(wrong)?, samples.collect()));
            }
            _ => {}
        }
        rest = body.get(length + length % 2..);
    }
    anyhow::bail!(wrong())
}

/// Nearly: as a quiet room is.
fn silence(ms: usize, rate: u32, draw: &mut Draw) -> Vec<i16> {
    let count = ms * rate as usize / 1000;
    let amplitude = f32::from(i16::MAX) * NOISE;
    let sample = |part: usize| ((part as f32 / 500.0 - 1.0) * amplitude) as i16;
    (0..count).map(|_| sample(draw.below(1001))).collect()
}

fn wav(samples: &[i16], rate: u32) -> Vec<u8> {
    let data: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let length = data.len() as u32;
    [
        b"RIFF".as_slice(),
        &(36 + length).to_le_bytes(),
        b"WAVEfmt \x10\0\0\0\x01\0\x01\0",
        &rate.to_le_bytes(),
        &(2 * rate).to_le_bytes(),
        b"\x02\0\x10\0data",
        &length.to_le_bytes(),
        &data,
    ]
    .concat()
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
                std::fs::write(path, wav(&samples, 8000)).unwrap();
            }
        }
        folder
    }

    #[test]
    fn what_is_put_together_is_what_was_drawn_and_follows_from_the_seed() {
        let folder = folder();
        let speakers = Speakers::find(folder.path()).unwrap();
        assert_eq!(speakers.names, ["ada", "ben_two"]);
        let trials = |seed| speakers.trial(1, &mut Draw::new(seed)).unwrap();
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
