//! A vector in bytes: int8 components, and a step for each two of them.
//!
//! Protects the figures that thresholds were measured at: after a rotation components
//! are like drawn from a normal distribution, and one step for all is too coarse for
//! cosines to stay within 1e-3.

/// Components that share a step.
const BLOCK: usize = 2;
/// The largest component, in steps.
const MOST: f32 = 127.0;
/// The largest step, in parts of the vector's scale.
const STEPS: f32 = 255.0;
/// Products that fit 32 bits when summed, whatever they are.
const SUMMED: usize = 512;

/// Bytes that a vector of `length` components is kept in; `length` is even.
pub(super) const fn bytes(length: usize) -> usize {
    length + length / BLOCK
}

/// A vector as bytes, components first, then each block's step (unsigned); and the scale
/// with which it is of length 1 again: component × step × scale. Zero stays zero.
pub(super) fn encode(vector: &[f32]) -> (f32, Vec<i8>) {
    let largest = |block: &[f32]| block.iter().fold(0f32, |most, value| most.max(value.abs()));
    let blocks = vector.chunks(BLOCK);
    let part = largest(vector) / MOST / STEPS;
    let step = |block: &[f32]| (largest(block) / MOST / part).ceil().clamp(1.0, STEPS);
    let steps: Vec<f32> = match part > 0.0 {
        true => blocks.clone().map(step).collect(),
        false => vec![1.0; blocks.len()],
    };
    let mut values = Vec::with_capacity(bytes(vector.len()));
    let mut square = 0f64;
    for (block, step) in blocks.zip(&steps) {
        for value in block {
            let one = match part > 0.0 {
                true => (value / (step * part)).round().clamp(-MOST, MOST),
                false => 0.0,
            };
            square += f64::from(one * step).powi(2);
            values.push(one as i8);
        }
    }
    values.extend(steps.iter().map(|step| (*step as u8).cast_signed()));
    let scale = if square > 0.0 {
        square.sqrt().recip()
    } else {
        1.0
    };
    (scale as f32, values)
}

/// Components and steps of what [`encode`] made of `length` components.
fn parts(values: &[i8], length: usize) -> Option<(&[i8], &[i8])> {
    (values.len() == bytes(length)).then(|| values.split_at(length))
}

/// Each block's step, as a factor of its components.
fn steps(steps: &[i8]) -> impl Iterator<Item = f32> {
    let steps = steps.iter().map(|step| f32::from(step.cast_unsigned()));
    steps.flat_map(|step| [step; BLOCK])
}

/// The vector again; `None` if the bytes are not of `length` components.
pub(super) fn decode(scale: f32, values: &[i8], length: usize) -> Option<Vec<f32>> {
    let (components, factors) = parts(values, length)?;
    let all = components.iter().zip(steps(factors));
    Some(
        all.map(|(one, step)| f32::from(*one) * step * scale)
            .collect(),
    )
}

/// A sample, ready to be compared with one template: the template's steps are in it, so
/// that a comparison is one product of integers.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    values: Vec<i16>,
    scale: f32,
}

impl Probe {
    /// A sample under the template's transform; `None` if it is not as long as the
    /// template, or zero.
    pub(super) fn new(sample: &[f32], scale: f32, template: &[i8]) -> Option<Self> {
        let (_, factors) = parts(template, sample.len())?;
        let norm = sample.iter().map(|value| value * value).sum::<f32>().sqrt();
        let stepped = sample.iter().zip(steps(factors));
        let stepped: Vec<f32> = stepped.map(|(value, step)| value * step).collect();
        let most = stepped
            .iter()
            .fold(0f32, |most, value| most.max(value.abs()));
        if !(norm > 0.0 && norm.is_finite() && most > 0.0) {
            return None;
        }
        let unit = most / f32::from(i16::MAX);
        Some(Self {
            values: stepped
                .iter()
                .map(|value| (value / unit).round() as i16)
                .collect(),
            scale: unit * scale / norm,
        })
    }

    /// The cosine with the template that it was made for: int8 times int16, summed in 32 bits.
    pub fn cosine(&self, template: &[i8]) -> f32 {
        let template = &template[..self.values.len().min(template.len())];
        let parts = template.chunks(SUMMED).zip(self.values.chunks(SUMMED));
        let sum: i64 = parts
            .map(|(one, other)| i64::from(product(one, other)))
            .sum();
        sum as f32 * self.scale
    }
}

fn product(one: &[i8], other: &[i16]) -> i32 {
    let pairs = one.iter().zip(other);
    pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}
