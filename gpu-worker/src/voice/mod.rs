//! One recording to one embedded voice: decode → one channel at 16 kHz → voice
//! activity → quality → features → embed. Holds nothing between jobs but the network.
//! A recording of spoken digits is also cut into words, and its halves are embedded alone.
//!
//! Not covered: a voice that a machine makes live, or that somebody imitates. The
//! embedder tells speakers apart, not people from machines.

mod activity;
pub mod campplus;
mod decode;
pub mod digits;
pub mod features;
mod fft;
mod opus;
mod quality;
mod resample;

use std::ops::Range;
use std::time::{Duration, Instant};

use redoubt_shared::worker::{
    Embedding, SampleRefusal, SpokenSample, SpokenWord, VoiceQuality, VoiceSample,
};

pub use decode::{CHANNELS_MAX, RATES, SECONDS_MAX};

use crate::pipeline::{Clock, Network, NetworkError, failed, normalised};
use activity::Activity;
use digits::Digits;
use digits::words::words;
use features::{Features, MELS};

/// Samples per second of everything behind the decoder.
pub const RATE: usize = 16_000;
/// Longest piece embedded at once, in frames of ten milliseconds: memory stays
/// bounded. A longer recording is cut into pieces of one length.
const PIECE: usize = 4000;
/// Frames of the blank input that warms the network up.
const BLANK: usize = 300;

/// Only the decoding: the samples of a recording, one channel in [-1, 1] at [`RATE`].
pub fn decoded(audio: &[u8]) -> Result<Vec<f32>, SampleRefusal> {
    Ok(decode::decode(audio)?.into_samples())
}

/// How long each stage of one job took.
#[derive(Debug, Clone, Copy, Default)]
pub struct VoiceTimes {
    /// Bytes to samples at 16 kHz.
    pub decode: Duration,
    /// Samples to speech and pauses, with the quality measures.
    pub activity: Duration,
    /// Samples to features.
    pub features: Duration,
    /// Features to an embedding; for spoken digits, those of both halves too.
    pub embed: Duration,
    /// Samples to words, and words to digits; zero where nobody asked.
    pub digits: Duration,
}

/// The voice embedder of one thread.
#[derive(Debug)]
pub(crate) struct Voice {
    model: String,
    network: Network,
    features: Features,
}

impl Voice {
    /// Around a network that [`campplus::graph`] made.
    pub(crate) fn new(model: &str, network: Network) -> Self {
        Self {
            model: model.to_owned(),
            network,
            features: Features::default(),
        }
    }

    /// Runs once on a blank input.
    pub(crate) fn warm_up(&mut self) -> Result<(), NetworkError> {
        self.run(BLANK, &[0.0; MELS * BLANK]).map(drop)
    }

    /// One job.
    pub(crate) fn sample(
        &mut self,
        audio: &[u8],
        deadline: Instant,
    ) -> (Result<VoiceSample, SampleRefusal>, VoiceTimes) {
        let mut times = VoiceTimes::default();
        let outcome = self.stages(audio, deadline, &mut times);
        (outcome, times)
    }

    fn stages(
        &mut self,
        audio: &[u8],
        deadline: Instant,
        times: &mut VoiceTimes,
    ) -> Result<VoiceSample, SampleRefusal> {
        let mut clock = Clock::start(deadline);
        let heard = heard(audio, &mut clock, times)?;
        self.whole(heard.samples, heard.measures, &mut clock, times)
    }

    /// One job with spoken digits: the voice, each word, and the voice of each half.
    pub(crate) fn spoken(
        &mut self,
        digits: &mut Digits,
        audio: &[u8],
        deadline: Instant,
        times: &mut VoiceTimes,
    ) -> Result<SpokenSample, SampleRefusal> {
        let mut clock = Clock::start(deadline);
        let Heard {
            samples,
            activity,
            measures,
        } = heard(audio, &mut clock, times)?;
        let places = words(&samples, &activity);
        let mut words = Vec::with_capacity(places.len());
        for place in &places {
            clock.in_time()?;
            words.push(word(digits, &samples, place)?);
            times.digits += clock.lap();
        }
        let halves = self.halves(&samples, &places).map_err(failed)?;
        times.embed = clock.lap();
        clock.in_time()?;
        let embedded = times.embed;
        let voice = self.whole(samples, measures, &mut clock, times)?;
        times.embed += embedded;
        Ok(SpokenSample {
            voice,
            words,
            halves,
        })
    }

    /// The voice of the first half of the words and of the second, pauses left out. Both
    /// lose one mean, that of all words: what differs between them is kept.
    fn halves(
        &mut self,
        samples: &[f32],
        places: &[Range<usize>],
    ) -> Result<Vec<Embedding>, NetworkError> {
        if places.len() < 2 {
            return Ok(Vec::new());
        }
        let middle = places.len().div_ceil(2);
        let spoken = places.iter().flat_map(|place| &samples[place.clone()]);
        let (frames, bands) = self.features.of(&spoken.copied().collect::<Vec<f32>>());
        let first: usize = places[..middle].iter().map(ExactSizeIterator::len).sum();
        let cut = frames.min(first / features::STEP);
        let mut embed = |part: Range<usize>| {
            let bands = bands
                .chunks_exact(frames)
                .flat_map(|band| &band[part.clone()]);
            let bands: Vec<f32> = bands.copied().collect();
            let (_, embedding) = self.embed(part.len(), &bands)?;
            Ok::<_, NetworkError>(embedding)
        };
        Ok(vec![embed(0..cut)?, embed(cut..frames)?])
    }

    fn whole(
        &mut self,
        samples: Vec<f32>,
        mut measures: VoiceQuality,
        clock: &mut Clock,
        times: &mut VoiceTimes,
    ) -> Result<VoiceSample, SampleRefusal> {
        let (frames, bands) = self.features.of(&samples);
        drop(samples);
        times.features = clock.lap();
        clock.in_time()?;
        let (norm, embedding) = self.embed(frames, &bands).map_err(failed)?;
        quality::conclude(&mut measures, norm);
        times.embed = clock.lap();
        Ok(VoiceSample {
            embeddings: vec![embedding],
            quality: measures,
        })
    }

    /// Norm before normalisation, and the unit vector: the mean over the pieces.
    fn embed(&mut self, frames: usize, bands: &[f32]) -> Result<(f32, Embedding), NetworkError> {
        let pieces = frames.div_ceil(PIECE).max(1);
        let mut sum = vec![0.0; campplus::DIMENSION];
        for piece in 0..pieces {
            let (from, to) = (piece * frames / pieces, (piece + 1) * frames / pieces);
            let cut = bands.chunks_exact(frames.max(1)).flat_map(|b| &b[from..to]);
            let cut: Vec<f32> = cut.copied().collect();
            let vector = self.run(to - from, &cut)?;
            for (sum, value) in sum.iter_mut().zip(vector) {
                *sum += value / pieces as f32;
            }
        }
        normalised(&self.model, campplus::DIMENSION, sum)
    }

    fn run(&mut self, frames: usize, bands: &[f32]) -> Result<Vec<f32>, NetworkError> {
        self.network.run([1, 1, MELS, frames], bands, |outputs| {
            Ok(outputs.only(campplus::DIMENSION)?.to_vec())
        })
    }
}

/// A recording that is worth more work.
struct Heard {
    /// One channel in [-1, 1] at [`RATE`].
    samples: Vec<f32>,
    activity: Activity,
    measures: VoiceQuality,
}

/// Decoded, and past the quality gate.
fn heard(audio: &[u8], clock: &mut Clock, times: &mut VoiceTimes) -> Result<Heard, SampleRefusal> {
    clock.in_time()?;
    let recording = decode::decode(audio)?;
    let clipped = quality::clipped(recording.samples());
    let samples = recording.into_samples();
    times.decode = clock.lap();
    clock.in_time()?;
    let activity = Activity::of(&samples);
    let measures = quality::measure(&activity, clipped);
    quality::gate(&measures)?;
    times.activity = clock.lap();
    Ok(Heard {
        samples,
        activity,
        measures,
    })
}

/// Which digit a word sounds like.
fn word(
    digits: &mut Digits,
    samples: &[f32],
    place: &Range<usize>,
) -> Result<SpokenWord, SampleRefusal> {
    let logs = digits.logs(&samples[place.clone()]).map_err(failed)?;
    if !logs.iter().all(|log| log.is_finite()) {
        return Err(SampleRefusal::Failed);
    }
    let ms = |sample: usize| (sample * 1000 / RATE) as u32;
    Ok(SpokenWord {
        from_ms: ms(place.start),
        to_ms: ms(place.end),
        digits: logs,
    })
}
