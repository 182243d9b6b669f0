//! Bank bytes to samples. Protects against files built to hurt a decoder: the
//! kind is read from the bytes, rate, channels and seconds are checked before a
//! sample is decoded, half a recording is no recording. Runs inside the sandbox
//! only, on decoders written in Rust; that of Opus has inner loops that index unchecked.

use std::io::Cursor;

use claxon::{FlacReader, FlacReaderOptions};
use hound::{SampleFormat, WavReader};
use redoubt_shared::worker::SampleRefusal;

use super::opus;
use super::resample::resample;

/// Sampling rates decoded, in hertz.
pub const RATES: [u32; 11] = [
    8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000,
];
/// Most channels decoded; they are mixed to one.
pub const CHANNELS_MAX: u32 = 2;
/// Longest recording decoded, in seconds.
pub const SECONDS_MAX: u32 = 60;
/// Floats this far beyond full scale are no sound.
const BEYOND: f32 = 8.0;

/// One channel as it was recorded, full scale at 1 (floats may go beyond).
pub(super) struct Recording {
    rate: u32,
    samples: Vec<f32>,
}

/// Decodes WAV (whole numbers of 8, 16, 24 and 32 bits, floats of 32), FLAC, or Opus in
/// Ogg or WebM.
pub(super) fn decode(bytes: &[u8]) -> Result<Recording, SampleRefusal> {
    let recording = match bytes {
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'A',
            b'V',
            b'E',
            ..,
        ] => wav(bytes),
        [b'f', b'L', b'a', b'C', ..] => flac(bytes),
        _ if bytes.starts_with(opus::OGG) => opus::from_ogg(bytes).map(at_48_khz),
        _ if bytes.starts_with(opus::WEBM) => opus::from_webm(bytes).map(at_48_khz),
        _ => Err(SampleRefusal::NotAudio),
    }?;
    let sound = |sample: &f32| sample.is_finite() && sample.abs() <= BEYOND;
    match recording.samples.iter().all(sound) {
        true => Ok(recording),
        false => Err(SampleRefusal::NotFinite),
    }
}

impl Recording {
    /// Its samples in [-1, 1] at [`RATE`](super::RATE).
    pub(super) fn into_samples(self) -> Vec<f32> {
        let mut samples = resample(self.samples, self.rate);
        let within = |sample: &mut f32| *sample = sample.clamp(-1.0, 1.0);
        samples.iter_mut().for_each(within);
        samples
    }

    /// As recorded, for what resampling would hide.
    pub(super) fn samples(&self) -> &[f32] {
        &self.samples
    }
}

fn at_48_khz(samples: Vec<f32>) -> Recording {
    Recording {
        rate: opus::RATE,
        samples,
    }
}

/// Whether so many samples of each channel are decoded.
pub(super) fn check(rate: u32, channels: u32, length: u64) -> Result<(), SampleRefusal> {
    if !RATES.contains(&rate) || !(1..=CHANNELS_MAX).contains(&channels) {
        return Err(SampleRefusal::AudioNotSupported);
    }
    match length > u64::from(rate) * u64::from(SECONDS_MAX) {
        true => Err(SampleRefusal::TooLong),
        false => Ok(()),
    }
}

fn wav(bytes: &[u8]) -> Result<Recording, SampleRefusal> {
    let mut reader = WavReader::new(Cursor::new(bytes)).map_err(wav_refusal)?;
    let spec = reader.spec();
    let channels = u32::from(spec.channels);
    if channels == 0 {
        return Err(SampleRefusal::AudioNotSupported);
    }
    check(spec.sample_rate, channels, reader.duration().into())?;
    let interleaved: Result<Vec<f32>, hound::Error> =
        match (spec.sample_format, spec.bits_per_sample) {
            (SampleFormat::Float, 32) => reader.samples::<f32>().collect(),
            (SampleFormat::Int, bits @ (8 | 16 | 24 | 32)) => {
                let full = (1u32 << (bits - 1)) as f32;
                let samples = reader.samples::<i32>();
                samples.map(|sample| Ok(sample? as f32 / full)).collect()
            }
            _ => return Err(SampleRefusal::AudioNotSupported),
        };
    let interleaved = interleaved.map_err(wav_refusal)?;
    let frames = interleaved.chunks_exact(channels as usize);
    Ok(Recording {
        rate: spec.sample_rate,
        samples: frames
            .map(|f| f.iter().sum::<f32>() / channels as f32)
            .collect(),
    })
}

fn wav_refusal(error: hound::Error) -> SampleRefusal {
    match error {
        hound::Error::Unsupported => SampleRefusal::AudioNotSupported,
        _ => SampleRefusal::NotAudio,
    }
}

fn flac(bytes: &[u8]) -> Result<Recording, SampleRefusal> {
    // Tags are skipped: they are of no use here and say their own lengths.
    let options = FlacReaderOptions {
        metadata_only: false,
        read_vorbis_comment: false,
    };
    let reader = FlacReader::new_ext(Cursor::new(bytes), options);
    let mut reader = reader.map_err(flac_refusal)?;
    let info = reader.streaminfo();
    // It may not say how many samples of each channel there are.
    check(
        info.sample_rate,
        info.channels,
        info.samples.unwrap_or_default(),
    )?;
    let full = 2f32.powi(info.bits_per_sample as i32 - 1) * info.channels as f32;
    let (mut samples, mut buffer) = (Vec::new(), Vec::new());
    let mut blocks = reader.blocks();
    while let Some(block) = blocks.read_next_or_eof(buffer).map_err(flac_refusal)? {
        if block.channels() != info.channels {
            return Err(SampleRefusal::NotAudio);
        }
        for at in 0..block.duration() {
            let sum: f32 = (0..info.channels).map(|c| block.sample(c, at) as f32).sum();
            samples.push(sum / full);
        }
        check(info.sample_rate, info.channels, samples.len() as u64)?;
        buffer = block.into_buffer();
    }
    match info.samples {
        Some(said) if said != samples.len() as u64 => Err(SampleRefusal::NotAudio),
        _ => Ok(Recording {
            rate: info.sample_rate,
            samples,
        }),
    }
}

fn flac_refusal(error: claxon::Error) -> SampleRefusal {
    match error {
        claxon::Error::Unsupported(_) => SampleRefusal::AudioNotSupported,
        _ => SampleRefusal::NotAudio,
    }
}
