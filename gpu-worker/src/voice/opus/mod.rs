//! Opus (RFC 6716) out of Ogg or WebM. Protects against files built to hurt a
//! decoder: both readers go over the bytes once and keep no more than they were given,
//! every packet's length in time is added up before one is decoded, and what the
//! decoder panics on is no recording.

mod head;
mod ogg;
mod packets;
mod webm;

use std::panic::catch_unwind;

use redoubt_shared::worker::SampleRefusal;
use ropus::{Channels, DecodeMode, Decoder};

use super::decode::check;
use head::Head;
use packets::{PACKET_MAX, Packets};

/// Samples per second of each channel that a decoder makes, and that containers count in.
pub(super) const RATE: u32 = 48_000;

/// How an Ogg file begins.
pub(super) use ogg::MARK as OGG;
/// How a WebM file begins.
pub(super) use webm::MARK as WEBM;

/// One stream as its container has it.
struct Stream {
    head: Head,
    packets: Packets,
    /// Samples of each channel that count, those before the sound begins among them.
    length: u64,
}

/// One channel at [`RATE`] of an Ogg file, full scale at 1.
pub(super) fn from_ogg(bytes: &[u8]) -> Result<Vec<f32>, SampleRefusal> {
    decoded(&ogg::read(bytes)?)
}

/// One channel at [`RATE`] of a WebM file, full scale at 1.
pub(super) fn from_webm(bytes: &[u8]) -> Result<Vec<f32>, SampleRefusal> {
    decoded(&webm::read(bytes)?)
}

fn decoded(stream: &Stream) -> Result<Vec<f32>, SampleRefusal> {
    let skip = usize::from(stream.head.pre_skip);
    let kept = stream.length.saturating_sub(skip as u64);
    check(RATE, stream.head.channels.into(), kept)?;
    let mut samples = catch_unwind(|| mixed(stream)).unwrap_or(Err(SampleRefusal::NotAudio))?;
    samples.truncate(stream.length as usize);
    samples.drain(..skip.min(samples.len()));
    Ok(samples)
}

/// Every packet decoded, both channels made one.
fn mixed(stream: &Stream) -> Result<Vec<f32>, SampleRefusal> {
    let (layout, channels) = match stream.head.channels {
        1 => (Channels::Mono, 1),
        _ => (Channels::Stereo, 2),
    };
    let mut decoder = Decoder::new(RATE, layout).map_err(|_| SampleRefusal::Failed)?;
    let scale = stream.head.gain() / channels as f32;
    let mut samples = Vec::with_capacity(stream.packets.samples() as usize);
    let mut buffer = vec![0.0; PACKET_MAX * channels];
    for (packet, length) in stream.packets.iter() {
        let made = decoder.decode_float(packet, &mut buffer, DecodeMode::Normal);
        if made.map_err(|_| SampleRefusal::NotAudio)? != length {
            return Err(SampleRefusal::NotAudio);
        }
        let frames = buffer[..length * channels].chunks_exact(channels);
        samples.extend(frames.map(|frame| frame.iter().sum::<f32>() * scale));
    }
    Ok(samples)
}
