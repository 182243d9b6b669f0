//! The identification header of a stream (RFC 7845, section 5.1), which both
//! containers carry.

use redoubt_shared::worker::SampleRefusal;

/// What a stream says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// One or two.
    pub(super) channels: u8,
    /// Samples of each channel that are decoded and thrown away, at 48 kHz.
    pub(super) pre_skip: u16,
    /// Decibels of 1/256.
    gain: i16,
}

impl Head {
    /// Only the mapping of one or two channels is taken (family 0).
    pub(super) fn read(bytes: &[u8]) -> Result<Self, SampleRefusal> {
        let Some(rest) = bytes.strip_prefix(b"OpusHead") else {
            // Vorbis, FLAC, Speex and others go in the same containers.
            return Err(SampleRefusal::AudioNotSupported);
        };
        let [
            version,
            channels,
            skip_low,
            skip_high,
            _,
            _,
            _,
            _,
            gain_low,
            gain_high,
            family,
            ..,
        ] = *rest
        else {
            return Err(SampleRefusal::NotAudio);
        };
        // The upper half is the incompatible part of the version.
        if version >> 4 != 0 || family != 0 || channels > 2 {
            return Err(SampleRefusal::AudioNotSupported);
        }
        if channels == 0 {
            return Err(SampleRefusal::NotAudio);
        }
        Ok(Self {
            channels,
            pre_skip: u16::from_le_bytes([skip_low, skip_high]),
            gain: i16::from_le_bytes([gain_low, gain_high]),
        })
    }

    /// What samples are multiplied by.
    pub(super) fn gain(self) -> f32 {
        10f32.powf(f32::from(self.gain) / (20.0 * 256.0))
    }
}
