//! Runs a plan on a device, and leaves nothing of it there.

use super::plan::{Kernel, Plan, Shape, Step};

/// What a device can do. Lengths are counted in f32.
pub trait Device {
    /// Memory on it.
    type Buffer;
    /// What goes wrong.
    type Error;
    /// Memory that holds zeros.
    fn zeros(&mut self, length: usize) -> Result<Self::Buffer, Self::Error>;
    /// Copies to the front of a buffer.
    fn write(&mut self, to: &mut Self::Buffer, numbers: &[f32]) -> Result<(), Self::Error>;
    /// Copies from the front of a buffer, once everything launched is done.
    fn read(&mut self, from: &Self::Buffer, numbers: &mut [f32]) -> Result<(), Self::Error>;
    /// Overwrites the front of a buffer.
    fn wipe(&mut self, buffer: &mut Self::Buffer, length: usize) -> Result<(), Self::Error>;
    /// Starts a kernel.
    fn launch(
        &mut self,
        kernel: Kernel,
        shape: &Shape,
        buffers: Buffers<'_, Self::Buffer>,
    ) -> Result<(), Self::Error>;
}

/// What a kernel takes and makes.
#[derive(Debug)]
pub struct Buffers<'b, B> {
    /// Taken.
    pub input: &'b B,
    /// Taken.
    pub weights: &'b B,
    /// Taken.
    pub affine: &'b B,
    /// Made.
    pub output: &'b mut B,
}

struct Loaded<B> {
    kernel: Kernel,
    shape: Shape,
    weights: B,
    affine: B,
}

/// A network whose weights are on the device.
pub struct Engine<D: Device> {
    device: D,
    steps: Vec<Loaded<D::Buffer>>,
    front: D::Buffer,
    back: D::Buffer,
    input: usize,
    output: usize,
    widest: usize,
    most: usize,
}

impl<D: Device> Engine<D> {
    /// Copies the weights there and makes room for `most` images at a time.
    pub fn load(mut device: D, plan: &Plan, most: usize) -> Result<Self, D::Error> {
        let steps = plan.steps.iter();
        let steps = steps.map(|step| load(&mut device, step));
        let steps = steps.collect::<Result<_, _>>()?;
        Ok(Self {
            front: device.zeros(plan.widest * most)?,
            back: device.zeros(plan.widest * most)?,
            steps,
            device,
            input: plan.input,
            output: plan.output,
            widest: plan.widest,
            most,
        })
    }

    /// The most images one run takes.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Numbers in one image.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Numbers in one answer.
    pub fn output(&self) -> usize {
        self.output
    }

    /// Runs whole images, at most [`Engine::most`]; the answers, one behind the other.
    /// Whatever the outcome, what was between the layers is overwritten.
    ///
    /// # Panics
    /// Where `images` is no whole number of them, or too many.
    pub fn run(&mut self, images: &[f32]) -> Result<Vec<f32>, D::Error> {
        let count = images.len() / self.input;
        assert!(count * self.input == images.len() && (1..=self.most).contains(&count));
        let outcome = self.forward(images, count);
        let front = self.device.wipe(&mut self.front, self.widest * count);
        let back = self.device.wipe(&mut self.back, self.widest * count);
        let answers = outcome?;
        front.and(back)?;
        Ok(answers)
    }

    fn forward(&mut self, images: &[f32], count: usize) -> Result<Vec<f32>, D::Error> {
        self.device.write(&mut self.front, images)?;
        let (mut from, mut to) = (&mut self.front, &mut self.back);
        for step in &self.steps {
            let mut shape = step.shape;
            shape.images = i32::try_from(count).unwrap_or(i32::MAX);
            let buffers = Buffers {
                input: from,
                weights: &step.weights,
                affine: &step.affine,
                output: to,
            };
            self.device.launch(step.kernel, &shape, buffers)?;
            std::mem::swap(&mut from, &mut to);
        }
        let mut answers = vec![0.0; self.output * count];
        self.device.read(from, &mut answers)?;
        Ok(answers)
    }

    /// Everything that is in the memory between the layers: zeros, after a run.
    pub fn leftovers(&mut self) -> Result<Vec<f32>, D::Error> {
        let mut numbers = vec![1.0; self.widest * self.most * 2];
        let (front, back) = numbers.split_at_mut(self.widest * self.most);
        self.device.read(&self.front, front)?;
        self.device.read(&self.back, back)?;
        Ok(numbers)
    }
}

fn load<D: Device>(device: &mut D, step: &Step) -> Result<Loaded<D::Buffer>, D::Error> {
    let mut put = |numbers: &[f32]| {
        let mut buffer = device.zeros(numbers.len())?;
        device.write(&mut buffer, numbers)?;
        Ok(buffer)
    };
    Ok(Loaded {
        kernel: step.kernel,
        shape: step.shape,
        weights: put(&step.weights)?,
        affine: put(&step.affine)?,
    })
}
