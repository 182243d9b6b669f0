//! Recordings of somebody who reads digits, put together of recordings of single ones.
//!
//! The data set is the caller's: a folder with `DIGIT_SPEAKER_N.wav` for each speaker, as
//! the Free Spoken Digit Dataset has them (8 kHz, 16 bits, one channel).

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::speech::wav;

/// Samples a second of those recordings.
const RATE: u32 = 8_000;
/// Between two digits, in samples.
const PAUSE: usize = 2_800;

/// Somebody who reads, word by word from recordings of theirs.
#[derive(Debug, Clone)]
pub struct Reader {
    folder: PathBuf,
    name: String,
    /// Which recording of a digit is taken next: none twice.
    next: usize,
}

impl Reader {
    /// A speaker of the folder.
    pub fn new(folder: PathBuf, name: &str) -> Self {
        Self {
            folder,
            name: name.to_owned(),
            next: 0,
        }
    }

    /// Takes recordings from the first one on again.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    /// Samples of these digits, each followed by a pause; every time other recordings.
    pub fn says(&mut self, digits: &str) -> Result<Vec<f32>> {
        let mut said = pause(PAUSE);
        for digit in digits.chars() {
            said.extend(self.word(digit)?);
            said.extend(pause(PAUSE));
        }
        self.next += 1;
        Ok(said)
    }

    /// The same as a file.
    pub fn reads(&mut self, digits: &str) -> Result<Vec<u8>> {
        Ok(file(&self.says(digits)?))
    }

    fn word(&self, digit: char) -> Result<Vec<f32>> {
        let file = format!("{digit}_{}_{}.wav", self.name, self.next);
        let path = self.folder.join(&self.name).join(file);
        let named = || path.display().to_string();
        let file = hound::WavReader::open(&path).with_context(named)?;
        let spec = file.spec();
        let known = (spec.sample_rate, spec.channels, spec.bits_per_sample) == (RATE, 1, 16);
        ensure!(known, "{}: no WAV of 8 kHz, one channel, 16 bits", named());
        let samples = file.into_samples::<i16>();
        let samples = samples.map(|sample| Ok(f32::from(sample?) / 32_768.0));
        samples.collect()
    }
}

/// A WAV file of what is said.
pub fn file(samples: &[f32]) -> Vec<u8> {
    wav(samples, RATE, 1)
}

/// Nearly silent, as a room is.
fn pause(samples: usize) -> Vec<f32> {
    let noise = |at: usize| ((at * 7_919) % 101) as f32 / 101.0 - 0.5;
    (0..samples).map(|at| 0.0005 * noise(at)).collect()
}
