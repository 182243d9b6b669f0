//! Which digits a recording reads: cut into words, each word through two networks to 288
//! numbers, and by a linear head to a probability of each digit.
//!
//! Networks and preparation are openWakeWord's (Apache-2.0); the head is this repository's
//! own (`images/models/spoken-digits.txt`, trained by `tests/eval/digits/train.py`).
//!
//! Not covered: who or what reads. A synthesiser, a clone, or words cut out of recordings
//! and put together sound like digits too.

pub mod head;
mod prepare;
pub mod words;

use ort::environment::Environment;

use crate::manifest::{Manifest, ModelFile};
use crate::onnx::{InputSize, mend};
use crate::pipeline::{Network, NetworkError, PipelineError};
use head::Head;
use prepare::{LENGTH, Prepare};

/// Mel values of a frame.
const MELS: usize = 32;
/// Samples of a frame's window, and from one frame to the next.
const FRAME: usize = 512;
const STEP: usize = 160;
/// Frames embedded at once, and how many numbers come out of them.
const WINDOW: usize = 76;
const EMBEDDING: usize = 96;
/// Windows of a word.
const WINDOWS: usize = 3;
/// Numbers that the head reads of a word.
pub const FEATURES: usize = WINDOWS * EMBEDDING;

/// The two graphs and the head.
#[derive(Debug)]
pub(crate) struct Graphs {
    spectrogram: (String, Vec<u8>),
    embedder: (String, Vec<u8>),
    head: Head,
}

impl Graphs {
    /// All of them, or none.
    pub(crate) fn read(manifest: &Manifest) -> Result<Option<Self>, PipelineError> {
        let mut files = Vec::new();
        for role in ["speech_spectrogram", "speech_embedder", "spoken_digits"] {
            files.push(manifest.models(role)?);
        }
        if files.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let only = |files: Vec<ModelFile>| <[ModelFile; 1]>::try_from(files).ok();
        let files: Option<Vec<_>> = files.into_iter().map(only).collect();
        let files = files.and_then(|files| <[[ModelFile; 1]; 3]>::try_from(files).ok());
        let [[spectrogram], [embedder], [head]] = files.ok_or(PipelineError::Roles)?;
        let graph = |file: ModelFile| {
            let graph = mend(&file.bytes, InputSize::Fixed)?;
            Ok::<_, PipelineError>((file.id, graph))
        };
        Ok(Some(Self {
            spectrogram: graph(spectrogram)?,
            embedder: graph(embedder)?,
            head: Head::read(&head.bytes)?,
        }))
    }
}

/// The networks of one thread.
#[derive(Debug)]
pub(crate) struct Digits {
    spectrogram: Network,
    embedder: Network,
    head: Head,
    prepare: Prepare,
}

impl Digits {
    pub(crate) fn load(
        environment: &Environment,
        graphs: &Graphs,
        threads: usize,
    ) -> Result<Self, NetworkError> {
        let load = |(id, graph): &(String, Vec<u8>)| Network::load(environment, id, graph, threads);
        Ok(Self {
            spectrogram: load(&graphs.spectrogram)?,
            embedder: load(&graphs.embedder)?,
            head: graphs.head.clone(),
            prepare: Prepare::default(),
        })
    }

    /// Runs each once on a blank input.
    pub(crate) fn warm_up(&mut self) -> Result<(), NetworkError> {
        self.logs(&[0.0; LENGTH]).map(drop)
    }

    /// Natural logarithms of the probabilities of 0 to 9, of a word's samples at 16 kHz.
    pub(crate) fn logs(&mut self, word: &[f32]) -> Result<[f32; 10], NetworkError> {
        let features = self.features(word)?;
        Ok(self.head.logs(&features))
    }

    /// What the head reads of a word: [`FEATURES`] numbers.
    pub(crate) fn features(&mut self, word: &[f32]) -> Result<Vec<f32>, NetworkError> {
        let samples = self.prepare.word(word);
        let frames = (samples.len() - FRAME) / STEP + 1;
        let mel = self
            .spectrogram
            .run([1, samples.len()], &samples, |outputs| {
                let mel = outputs.only(frames * MELS)?.iter();
                Ok(mel.map(|value| value / 10.0 + 2.0).collect::<Vec<f32>>())
            })?;
        let last = frames - WINDOW;
        let windows = [0, last / 2, last].map(|at| &mel[at * MELS..][..WINDOW * MELS]);
        let shape = [WINDOWS, WINDOW, MELS, 1];
        self.embedder.run(shape, &windows.concat(), |outputs| {
            Ok(outputs.only(FEATURES)?.to_vec())
        })
    }
}
