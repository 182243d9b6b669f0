//! A voice of nobody: pulses through the resonances of a vocal tract, as WAV.

use std::sync::OnceLock;

/// Samples a second.
const RATE: u32 = 16_000;
/// Samples of a syllable, and of the pause after it: in what is one word, and between words.
const SYLLABLE: u32 = 3_200;
const PAUSE: u32 = 960;
const BETWEEN: u32 = 4_800;
const SYLLABLES: usize = 7;
/// Radius of each resonance's poles: 60 to 180 Hz wide.
const RADII: [f64; 5] = [0.988_288, 0.982_484, 0.976_713, 0.970_977, 0.965_274];
/// Cosine of their angle, for an open, a front and a back vowel (Peterson and Barney,
/// 1952) and two resonances that all have.
const VOWELS: [[f64; 5]; 3] = [
    [0.959_191, 0.909_780, 0.575_005, 0.195_090, -0.195_090],
    [0.994_384, 0.622_173, 0.379_052, 0.195_090, -0.195_090],
    [0.975_053, 0.946_085, 0.584_604, 0.195_090, -0.195_090],
];

/// The recording: 1.8 seconds at 16 kHz, 16 bits, WAV. Made of sums and products alone,
/// which are the same on every processor.
pub fn recording() -> &'static [u8] {
    static RECORDING: OnceLock<Vec<u8>> = OnceLock::new();
    RECORDING.get_or_init(|| wav(&speech(PAUSE)))
}

/// The same syllables as words of their own, as digits are read: 3.5 seconds.
pub fn reading() -> &'static [u8] {
    static RECORDING: OnceLock<Vec<u8>> = OnceLock::new();
    RECORDING.get_or_init(|| wav(&speech(BETWEEN)))
}

fn speech(pause: u32) -> Vec<f64> {
    let (mut noise, mut past) = (Noise(1), [[0.0; 2]; 5]);
    let (mut phase, mut dull, mut out) = (0.0, 0.0, Vec::new());
    for at in 0..SYLLABLES {
        let vowel = &VOWELS[at % VOWELS.len()];
        for step in 0..SYLLABLE {
            let part = f64::from(step) / f64::from(SYLLABLE);
            let arch = 4.0 * part * (1.0 - part);
            // 100 to 130 pulses a second.
            phase += (100.0 + 3.0 * at as f64 + 12.0 * arch) / f64::from(RATE);
            let pulse = if phase >= 1.0 { 8.0 } else { 0.0 };
            phase = if phase >= 1.0 { phase - 1.0 } else { phase };
            dull = 0.6 * dull + 0.4 * pulse;
            let source = (dull + 0.004 * noise.next()) * arch;
            out.push(shaped(source, vowel, &mut past));
        }
        out.extend((0..pause).map(|_| 0.001 * noise.next()));
    }
    let peak = out
        .iter()
        .fold(0.0f64, |most, sample| most.max(sample.abs()));
    out.iter().map(|sample| 0.3 * sample / peak).collect()
}

/// One sample through the resonances, one after the other.
fn shaped(source: f64, vowel: &[f64; 5], past: &mut [[f64; 2]; 5]) -> f64 {
    let mut sample = source;
    for ((radius, cosine), [one, two]) in RADII.iter().zip(vowel).zip(past) {
        let turn = 2.0 * radius * cosine;
        let gain = 1.0 - turn + radius * radius;
        let made = gain * sample + turn * *one - radius * radius * *two;
        (*two, *one) = (*one, made);
        sample = made;
    }
    sample
}

/// Numbers from -1 to 1 that look random.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 8) / f64::from(1 << 23) - 1.0
    }
}

fn wav(samples: &[f64]) -> Vec<u8> {
    let sound = samples.iter().map(|sample| (sample * 32767.0) as i16);
    let data: Vec<u8> = sound.flat_map(i16::to_le_bytes).collect();
    let length = data.len() as u32;
    [
        b"RIFF".as_slice(),
        &(36 + length).to_le_bytes(),
        // PCM, one channel, samples and bytes a second, bytes and bits of a sample.
        b"WAVEfmt \x10\0\0\0\x01\0\x01\0",
        &RATE.to_le_bytes(),
        &(2 * RATE).to_le_bytes(),
        b"\x02\0\x10\0data",
        &length.to_le_bytes(),
        &data,
    ]
    .concat()
}
