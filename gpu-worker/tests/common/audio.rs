//! Recordings made by hand, so that every part of them can be wrong.

/// What a WAV file says of itself and holds.
#[derive(Clone)]
pub(crate) struct Wav {
    pub(crate) tag: u16,
    pub(crate) channels: u16,
    pub(crate) rate: u32,
    pub(crate) bits: u16,
    /// What the data chunk says of its length; the truth if left out.
    pub(crate) claimed: Option<u32>,
    pub(crate) data: Vec<u8>,
}

/// Whole numbers, and floats, as format tags.
pub(crate) const PCM: u16 = 1;
pub(crate) const FLOAT: u16 = 3;

impl Wav {
    /// Of 16 bits.
    pub(crate) fn of(samples: &[f32], rate: u32, channels: u16) -> Self {
        let int = |sample: &f32| ((sample * 32767.0) as i16).to_le_bytes();
        Self {
            tag: PCM,
            channels,
            rate,
            bits: 16,
            claimed: None,
            data: samples.iter().flat_map(int).collect(),
        }
    }

    /// Of floats.
    pub(crate) fn floats(samples: &[f32], rate: u32) -> Self {
        Self {
            tag: FLOAT,
            bits: 32,
            data: samples.iter().flat_map(|s| s.to_le_bytes()).collect(),
            ..Self::of(&[], rate, 1)
        }
    }

    pub(crate) fn format(&self) -> Vec<u8> {
        let align = self.channels.wrapping_mul(self.bits.div_ceil(8));
        let speed = self.rate.wrapping_mul(align.into());
        [
            b"fmt \x10\0\0\0".as_slice(),
            &self.tag.to_le_bytes(),
            &self.channels.to_le_bytes(),
            &self.rate.to_le_bytes(),
            &speed.to_le_bytes(),
            &align.to_le_bytes(),
            &self.bits.to_le_bytes(),
        ]
        .concat()
    }

    pub(crate) fn data(&self) -> Vec<u8> {
        let length = self.claimed.unwrap_or(self.data.len() as u32);
        [b"data".as_slice(), &length.to_le_bytes(), &self.data].concat()
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        riff(&[&self.format(), &self.data()])
    }
}

/// Chunks in a WAV file's frame.
pub(crate) fn riff(chunks: &[&[u8]]) -> Vec<u8> {
    let body = chunks.concat();
    let length = (body.len() as u32 + 4).to_le_bytes();
    [b"RIFF".as_slice(), &length, b"WAVE", &body].concat()
}

/// What a FLAC file says of itself.
#[derive(Clone, Copy)]
pub(crate) struct Flac {
    pub(crate) rate: u32,
    pub(crate) channels: u8,
    /// Samples of each channel; zero for unknown.
    pub(crate) total: u64,
}

impl Flac {
    pub(crate) fn head(&self) -> Vec<u8> {
        let bits = 16u64 - 1;
        let packed = u64::from(self.rate) << 44
            | u64::from(self.channels - 1) << 41
            | bits << 36
            | self.total;
        [
            b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0".as_slice(),
            &packed.to_be_bytes(),
            &[0; 16],
        ]
        .concat()
    }
}

/// A frame of up to 65,535 samples of each channel, each channel's body given.
pub(crate) fn flac_frame(number: u8, length: u16, channels: u8, bodies: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xff, 0xf8, 0x70, (channels - 1) << 4 | 0b1000, number];
    frame.extend((length - 1).to_be_bytes());
    frame.push(crc8(&frame));
    frame.extend(bodies);
    frame.extend(crc16(&frame).to_be_bytes());
    frame
}

/// A body that holds each sample as it is.
pub(crate) fn verbatim(samples: &[f32]) -> Vec<u8> {
    let int = |sample: &f32| ((sample * 32767.0) as i16).to_be_bytes();
    [vec![0x02], samples.iter().flat_map(int).collect()].concat()
}

/// One channel of 16 bits, at most 127 frames of 4096.
pub(crate) fn flac(samples: &[f32], rate: u32) -> Vec<u8> {
    let head = Flac {
        rate,
        channels: 1,
        total: samples.len() as u64,
    };
    let frames = samples
        .chunks(4096)
        .enumerate()
        .map(|(number, part)| flac_frame(number as u8, part.len() as u16, 1, &verbatim(part)));
    [head.head(), frames.collect::<Vec<_>>().concat()].concat()
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc: u8, byte| {
        (0..8).fold(crc ^ byte, |crc, _| (crc << 1) ^ ((crc >> 7) * 0x07))
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        let crc = crc ^ u16::from(*byte) << 8;
        (0..8).fold(crc, |crc, _| (crc << 1) ^ ((crc >> 15) * 0x8005))
    })
}

/// A second of something like a voice: a buzz of 120 Hz that comes and goes.
pub(crate) fn buzz(rate: u32, seconds: f32) -> Vec<f32> {
    let at = |n: usize| {
        let t = n as f32 / rate as f32;
        let loud = 0.5 + 0.5 * (t * 18.0).sin();
        let tone = |k: usize| (t * 120.0 * k as f32 * std::f32::consts::TAU).sin() / k as f32;
        0.25 * loud * (1..20).map(tone).sum::<f32>() * 0.5
    };
    (0..(rate as f32 * seconds) as usize).map(at).collect()
}
