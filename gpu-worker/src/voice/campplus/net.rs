//! The pieces of which such networks consist, from PyTorch's tensors.

use crate::onnx::{Attribute, Writer};
use crate::torch::{TorchError, Weights};

/// PyTorch's default.
const EPSILON: f32 = 1e-5;

/// A convolution: padded so that a stride of one keeps the length.
#[derive(Default)]
pub(super) struct Conv<'a> {
    /// Prefix of the tensors `weight` and, where there is one, `bias`.
    pub(super) weight: &'a str,
    pub(super) biased: bool,
    /// Prefix of the normalisation behind it.
    pub(super) norm: Option<&'a str>,
    /// Whether that normalisation has no scale and shift of its own.
    pub(super) plain_norm: bool,
    /// Outputs, inputs and the window's sides.
    pub(super) shape: &'a [usize],
    /// One for each side of the window if left out.
    pub(super) strides: &'a [usize],
    /// The same along every side; zero means one.
    pub(super) dilation: usize,
}

/// A graph that grows, and where its weights come from.
pub(super) struct Net<'a> {
    pub(super) weights: &'a Weights<'a>,
    pub(super) writer: Writer,
}

impl Net<'_> {
    pub(super) fn conv(&mut self, x: &str, conv: Conv<'_>) -> Result<String, TorchError> {
        let name = format!("{}.weight", conv.weight);
        let mut weight = self.weights.floats(&name, conv.shape)?;
        let outputs = conv.shape[0];
        let mut bias = match conv.biased {
            true => self
                .weights
                .floats(&format!("{}.bias", conv.weight), &[outputs])?,
            false => vec![0.0; outputs],
        };
        if let Some(norm) = conv.norm {
            let (scale, shift) = self.norm(norm, outputs, conv.plain_norm)?;
            let each = weight.len() / outputs;
            for (at, value) in weight.iter_mut().enumerate() {
                *value *= scale[at / each];
            }
            for ((bias, scale), shift) in bias.iter_mut().zip(scale).zip(shift) {
                *bias = *bias * scale + shift;
            }
        }
        let window = &conv.shape[2..];
        let dilation = conv.dilation.max(1);
        let integers = |numbers: Vec<usize>| {
            Attribute::Integers(numbers.into_iter().map(|n| n as i64).collect())
        };
        let pads: Vec<usize> = window
            .iter()
            .map(|side| (side - 1) / 2 * dilation)
            .collect();
        let strides = match conv.strides {
            [] => vec![1; window.len()],
            given => given.to_vec(),
        };
        let attributes = [
            ("kernel_shape", integers(window.to_vec())),
            ("pads", integers([pads.clone(), pads].concat())),
            ("strides", integers(strides)),
            ("dilations", integers(vec![dilation; window.len()])),
        ];
        let weight = self.writer.floats(conv.shape, &weight);
        let bias = self.writer.floats(&[outputs], &bias);
        Ok(self.writer.node("Conv", &[x, &weight, &bias], &attributes))
    }

    /// Scale and shift that a normalisation comes to.
    fn norm(
        &self,
        name: &str,
        channels: usize,
        plain: bool,
    ) -> Result<(Vec<f32>, Vec<f32>), TorchError> {
        let read = |part: &str| self.weights.floats(&format!("{name}.{part}"), &[channels]);
        let (mean, variance) = (read("running_mean")?, read("running_var")?);
        let (mut scale, mut shift) = match plain {
            true => (vec![1.0; channels], vec![0.0; channels]),
            false => (read("weight")?, read("bias")?),
        };
        for (at, scale) in scale.iter_mut().enumerate() {
            *scale /= (variance[at] + EPSILON).sqrt();
            shift[at] -= mean[at] * *scale;
        }
        Ok((scale, shift))
    }

    pub(super) fn relu(&mut self, x: &str) -> String {
        self.writer.node("Relu", &[x], &[])
    }

    pub(super) fn norm_relu(
        &mut self,
        name: &str,
        x: &str,
        channels: usize,
    ) -> Result<String, TorchError> {
        let (scale, shift) = self.norm(name, channels, false)?;
        let scale = self.writer.floats(&[channels, 1], &scale);
        let shift = self.writer.floats(&[channels, 1], &shift);
        let scaled = self.writer.node("Mul", &[x, &scale], &[]);
        let shifted = self.writer.node("Add", &[&scaled, &shift], &[]);
        Ok(self.relu(&shifted))
    }

    pub(super) fn mean(&mut self, x: &str) -> String {
        let time = [
            ("axes", Attribute::Integers(vec![2])),
            ("keepdims", Attribute::Integer(1)),
        ];
        self.writer.node("ReduceMean", &[x], &time)
    }
}
