//! Packets of one stream, in their order, each with its length in time (RFC 6716,
//! section 3), added up before one is decoded.

use redoubt_shared::worker::SampleRefusal;

use super::RATE;
use crate::voice::SECONDS_MAX;

/// Most samples of each channel in one packet: 120 ms.
pub(super) const PACKET_MAX: usize = 5760;
/// Most samples of each channel in all of them: what is thrown away at the beginning
/// and the end comes on top of the longest recording.
const SAMPLES_MAX: u64 = RATE as u64 * (SECONDS_MAX as u64 + 2);

/// Packets, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Packets {
    bytes: Vec<u8>,
    /// Where each ends in `bytes`, and its samples of each channel.
    ends: Vec<(usize, usize)>,
    samples: u64,
}

impl Packets {
    /// Puts one more behind the others.
    pub(super) fn push(&mut self, packet: &[u8]) -> Result<(), SampleRefusal> {
        let samples = samples(packet).ok_or(SampleRefusal::NotAudio)?;
        self.samples += samples as u64;
        if self.samples > SAMPLES_MAX {
            return Err(SampleRefusal::TooLong);
        }
        self.bytes.extend(packet);
        self.ends.push((self.bytes.len(), samples));
        Ok(())
    }

    /// Samples of each channel in all of them.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Each with its samples of each channel.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let mut from = 0;
        self.ends.iter().map(move |(end, samples)| {
            let packet = &self.bytes[from..*end];
            from = *end;
            (packet, *samples)
        })
    }
}

/// Samples of each channel at 48 kHz, by a packet's first two bytes.
fn samples(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let size = usize::from(first >> 3 & 3);
    let frame = match first >> 3 {
        0..12 => [480, 960, 1920, 2880][size],
        12..16 => [480, 960][size & 1],
        _ => 120 << size,
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => usize::from(packet.get(1)? & 63),
    };
    let samples = frame * frames;
    (1..=PACKET_MAX).contains(&samples).then_some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6716, table 2: configurations 0 to 31.
    #[test]
    fn every_configuration_has_its_length() {
        let speech = [10.0, 20.0, 40.0, 60.0];
        let both = [10.0, 20.0];
        let sound = [2.5, 5.0, 10.0, 20.0];
        let lengths = [speech, speech, speech].concat();
        let lengths = [lengths, [both, both].concat(), [sound; 4].concat()].concat();
        assert_eq!(lengths.len(), 32);
        for (config, ms) in (0u8..).zip(lengths) {
            let frame = (ms * 48.0) as usize;
            let first = config << 3;
            assert_eq!(samples(&[first]), Some(frame));
            assert_eq!(
                samples(&[first | 1, 0]),
                (2 * frame <= 5760).then_some(2 * frame)
            );
            for frames in 0..64 {
                let all = frame * usize::from(frames);
                let counted = (1..=5760).contains(&all).then_some(all);
                assert_eq!(samples(&[first | 7, frames]), counted);
            }
            assert_eq!(samples(&[first | 3]), None);
        }
        assert_eq!(samples(&[]), None);
    }
}
