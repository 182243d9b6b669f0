//! A fast Fourier transform of one length (Cooley and Tukey, radix two, in place).

use std::f32::consts::PI;

/// Tables for one length, a power of two.
#[derive(Debug)]
pub(super) struct Fft {
    length: usize,
    turns: Vec<[f32; 2]>,
}

impl Fft {
    pub(super) fn new(length: usize) -> Self {
        debug_assert!(length.is_power_of_two());
        let turn = |k: usize| {
            let (sine, cosine) = (-2.0 * PI * k as f32 / length as f32).sin_cos();
            [cosine, sine]
        };
        Self {
            length,
            turns: (0..length / 2).map(turn).collect(),
        }
    }

    /// Room for one transform: real and imaginary parts.
    pub(super) fn buffer(&self) -> Vec<[f32; 2]> {
        vec![[0.0; 2]; self.length]
    }

    /// Squared magnitudes of the first half of the spectrum of what `buffer` holds.
    pub(super) fn power(&self, buffer: &mut [[f32; 2]]) -> Vec<f32> {
        self.transform(buffer);
        let half = buffer[..self.length / 2].iter();
        half.map(|[re, im]| re * re + im * im).collect()
    }

    fn transform(&self, buffer: &mut [[f32; 2]]) {
        let shift = usize::BITS - self.length.trailing_zeros();
        for at in 0..self.length {
            let mirrored = at.reverse_bits() >> shift;
            if at < mirrored {
                buffer.swap(at, mirrored);
            }
        }
        let mut half = 1;
        while half < self.length {
            let stride = self.length / 2 / half;
            for group in buffer.chunks_exact_mut(2 * half) {
                let (low, high) = group.split_at_mut(half);
                for (at, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let [cosine, sine] = self.turns[at * stride];
                    let turned = [b[0] * cosine - b[1] * sine, b[0] * sine + b[1] * cosine];
                    *b = [a[0] - turned[0], a[1] - turned[1]];
                    *a = [a[0] + turned[0], a[1] + turned[1]];
                }
            }
            half *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_transform_by_its_definition() {
        let fft = Fft::new(16);
        let signal: Vec<f32> = (0..16).map(|n| ((n * n * 7 + 3) % 11) as f32).collect();
        let mut buffer = fft.buffer();
        for (place, value) in buffer.iter_mut().zip(&signal) {
            place[0] = *value;
        }
        let power = fft.power(&mut buffer);
        for (k, power) in power.iter().enumerate() {
            let part = |turn: fn(f32) -> f32| {
                let each = signal.iter().enumerate();
                let angle = |n| 2.0 * PI * (k * n) as f32 / 16.0;
                each.map(|(n, value)| value * turn(angle(n))).sum::<f32>()
            };
            let expected = part(f32::cos).powi(2) + part(f32::sin).powi(2);
            assert!((power - expected).abs() < 1e-3 * expected.max(1.0), "{k}");
        }
    }
}
