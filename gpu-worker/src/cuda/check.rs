//! Does the device compute what the CPU computes? Asked at every start, and by
//! `redoubt-worker --cuda-check`, which also says how fast it is.

use std::time::Instant;

use serde::Serialize;

use super::CudaError;
use super::engine::{Device, Engine};

/// Largest distance from the CPU's vector, as a part of that vector's length.
pub const TOLERANCE: f64 = 1e-4;

/// Images, one behind the other, and what the CPU makes of each.
#[derive(Debug, Clone)]
pub struct Expected {
    images: Vec<f32>,
    answers: Vec<Vec<f32>>,
}

impl Expected {
    /// A blank image and `count` less one that look like nothing, of `length` numbers.
    pub fn compute<E>(
        count: usize,
        length: usize,
        mut reference: impl FnMut(&[f32]) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let mut images = images(count, length);
        images[..length].fill(0.0);
        let answers = images.chunks(length).map(&mut reference);
        let answers = answers.collect::<Result<_, _>>()?;
        Ok(Self { images, answers })
    }
}

/// What agreed, and how well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Answers compared.
    pub compared: usize,
    /// Largest distance, as a part of the CPU's vector's length.
    pub largest: f64,
    /// Numbers of device memory read back, all of them zero.
    pub wiped: usize,
}

/// What `--cuda-check` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The device, as it calls itself.
    pub device: String,
    /// Its compute capability.
    pub compute_capability: String,
    /// The network.
    pub model: String,
    /// Compiling the kernels.
    pub compile_ms: f64,
    /// Images compared with the CPU.
    pub compared: usize,
    /// Largest distance, as a part of the CPU's vector's length.
    pub largest_difference: f64,
    /// What is allowed.
    pub tolerance: f64,
    /// Numbers of device memory read back after a batch, all of them zero.
    pub wiped: usize,
    /// One image on one thread of the CPU, the median.
    pub cpu_ms: f64,
    /// Batches on the device with copies and wiping, the median, by images.
    pub device_ms: Vec<(usize, f64)>,
}

/// Images that look like nothing, the same in every run.
pub fn images(count: usize, length: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 65_793.0 // 0 to 255
    };
    std::iter::repeat_with(next).take(count * length).collect()
}

/// Compares all images in one batch, and the last one alone; then looks for leftovers.
pub fn agree<D: Device<Error = CudaError>>(
    engine: &mut Engine<D>,
    expected: &Expected,
) -> Result<Agreement, CudaError> {
    let Expected { images, answers } = expected;
    let together = engine.run(images)?;
    let alone = engine.run(&images[images.len() - engine.input()..])?;
    let found = together.chunks(engine.output()).chain([alone.as_slice()]);
    let wanted = answers.iter().chain(answers.last());
    let apart = found
        .zip(wanted)
        .map(|(found, wanted)| distance(found, wanted));
    let largest = apart.fold(0.0, f64::max);
    if largest > TOLERANCE {
        return Err(CudaError::Differs { found: largest });
    }
    let memory = engine.leftovers()?;
    if memory.iter().any(|number| number.to_bits() != 0) {
        return Err(CudaError::Leftovers);
    }
    Ok(Agreement {
        compared: answers.len() + 1,
        largest,
        wiped: memory.len(),
    })
}

/// ‖found − wanted‖ / ‖wanted‖; infinite where the lengths differ or a number is none.
pub fn distance(found: &[f32], wanted: &[f32]) -> f64 {
    let square = |number: f32| f64::from(number) * f64::from(number);
    let apart: f64 = found.iter().zip(wanted).map(|(a, b)| square(a - b)).sum();
    let length: f64 = wanted.iter().map(|number| square(*number)).sum();
    let part = (apart / length).sqrt();
    match found.len() == wanted.len() && part.is_finite() {
        true => part,
        false => f64::INFINITY,
    }
}

/// The median of `rounds` runs, in milliseconds.
pub fn median_ms<E>(rounds: usize, mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
