//! Something like speech, made by a formula: pulses at a pitch through the resonances of
//! a vocal tract, syllable after syllable. Good for trying an interface without anybody's
//! recording; it says nothing of error rates.

use std::f64::consts::{PI, TAU};

/// Samples a second.
const RATE: f64 = 16_000.0;
/// The first three resonances of some vowels, in hertz (a man's, after Peterson and
/// Barney, 1952).
const VOWELS: [[f64; 3]; 5] = [
    [730.0, 1090.0, 2440.0],
    [270.0, 2290.0, 3010.0],
    [300.0, 870.0, 2240.0],
    [530.0, 1840.0, 2480.0],
    [570.0, 840.0, 2410.0],
];
const SYLLABLES: usize = 16;

/// A speaker who does not exist.
#[derive(Debug, Clone, Copy)]
pub struct Speaker {
    /// Pulses a second.
    pitch: f64,
    /// Resonances as a part of a man's.
    tract: f64,
    /// How dull the pulses are, 0 to 1.
    tilt: f64,
}

/// Low and dull.
pub const BASS: Speaker = Speaker {
    pitch: 75.0,
    tract: 0.82,
    tilt: 0.85,
};
/// High and bright.
pub const CHILD: Speaker = Speaker {
    pitch: 300.0,
    tract: 1.4,
    tilt: 0.35,
};

/// Numbers from -1 to 1 that look random.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 8) / f64::from(1 << 23) - 1.0
    }
}

impl Speaker {
    /// About four seconds at 16 kHz, within 0.3 of full scale: other words for each seed.
    pub fn says(&self, seed: u32) -> Vec<f32> {
        let mut noise = Noise(seed);
        let words: Vec<usize> = (0..SYLLABLES)
            .map(|_| (noise.next().abs() * 5.0) as usize % VOWELS.len())
            .collect();
        let (mut out, mut phase, mut dull) = (Vec::new(), 0.0, 0.0);
        let mut past = [[0.0f64; 2]; 5];
        for (at, vowel) in words.iter().enumerate() {
            let next = words[(at + 1) % words.len()];
            let length = RATE * (0.16 + 0.06 * noise.next().abs());
            let pitch = self.pitch * (1.0 + 0.12 * noise.next());
            for step in 0..length as usize {
                let part = step as f64 / length;
                let loud = (PI * part).sin().max(0.0).sqrt();
                let now = pitch * (1.0 + 0.08 * (PI * part).sin()) * (1.0 + 0.01 * noise.next());
                phase += now / RATE;
                let pulse = if phase >= 1.0 { 8.0 } else { 0.0 };
                phase = phase.fract();
                dull = self.tilt * dull + (1.0 - self.tilt) * pulse;
                let source = (dull + 0.004 * noise.next()) * loud;
                let towards = ((part - 0.6) / 0.8).max(0.0);
                out.push(self.shaped(source, *vowel, next, towards, &mut past));
            }
            let pause = RATE * (0.03 + 0.05 * noise.next().abs());
            out.extend((0..pause as usize).map(|_| 0.001 * noise.next()));
        }
        let peak = out.iter().fold(0f64, |most, sample| most.max(sample.abs()));
        out.iter()
            .map(|sample| (0.3 * sample / peak) as f32)
            .collect()
    }

    /// One sample through the resonances, one after the other.
    fn shaped(
        &self,
        source: f64,
        vowel: usize,
        next: usize,
        towards: f64,
        past: &mut [[f64; 2]; 5],
    ) -> f64 {
        let (from, to) = (VOWELS[vowel], VOWELS[next]);
        let at = |k: usize| from[k] + (to[k] - from[k]) * towards;
        let resonances = [at(0), at(1), at(2), 3500.0, 4500.0];
        let mut sample = source;
        for (k, (hertz, [one, two])) in resonances.iter().zip(past).enumerate() {
            let radius = (-PI * (60.0 + 30.0 * k as f64) / RATE).exp();
            let turn = 2.0 * radius * (TAU * hertz * self.tract / RATE).cos();
            let gain = 1.0 - turn + radius * radius;
            let made = gain * sample + turn * *one - radius * radius * *two;
            (*two, *one) = (*one, made);
            sample = made;
        }
        sample
    }
}

/// A WAV file of one or several channels, 16 bits.
pub fn wav(samples: &[f32], rate: u32, channels: u16) -> Vec<u8> {
    let data = samples.iter().flat_map(|sample| {
        let whole = (sample.clamp(-1.0, 1.0) * 32767.0) as i16;
        whole.to_le_bytes()
    });
    riff(1, 16, rate, channels, &data.collect::<Vec<u8>>())
}

/// A WAV file of one channel of floats.
pub fn wav_of_floats(samples: &[f32], rate: u32) -> Vec<u8> {
    let data = samples.iter().flat_map(|sample| sample.to_le_bytes());
    riff(3, 32, rate, 1, &data.collect::<Vec<u8>>())
}

fn riff(tag: u16, bits: u16, rate: u32, channels: u16, data: &[u8]) -> Vec<u8> {
    let align = channels * (bits / 8);
    let length = data.len() as u32;
    [
        b"RIFF".as_slice(),
        &(36 + length).to_le_bytes(),
        b"WAVEfmt \x10\0\0\0",
        &tag.to_le_bytes(),
        &channels.to_le_bytes(),
        &rate.to_le_bytes(),
        &(rate * u32::from(align)).to_le_bytes(),
        &align.to_le_bytes(),
        &bits.to_le_bytes(),
        b"data",
        &length.to_le_bytes(),
        data,
    ]
    .concat()
}
