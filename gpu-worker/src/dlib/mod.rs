//! dlib's face recognition network (a residual network of 29 convolutions, King
//! 2017) as a graph that ONNX Runtime runs, made from the file dlib saved.
//!
//! Layers as in dlib's `dnn_face_recognition_ex.cpp`: a convolution and a maximum
//! pooling, then residual blocks of two convolutions, some of which halve the image;
//! the mean of what is left, and one fully connected layer. Each convolution takes
//! the affine layer behind it, and the first one the subtraction of the mean, into
//! its own weights. Where two sizes meet in an addition the smaller one is filled up
//! with zeros, at the right, at the bottom and in channels behind.

mod read;
#[cfg(test)]
mod tests;

use crate::onnx::{Attribute, Side, Writer};
use read::{Convolution, Input, Reader};

/// Why a file is not that network. The file is at fault: fetch it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DlibError {
    /// It ends in the middle of a layer.
    #[error("dlib model: the file ends within {0:?}; fetch it again")]
    Truncated(&'static str),
    /// A layer is absent.
    #[error("dlib model: there is no {0:?} where one belongs; fetch the file again")]
    Missing(&'static str),
    /// A layer's sizes do not agree with each other, or with its neighbours.
    #[error("dlib model: {layer:?} has {what}; fetch the file again")]
    Shape {
        /// Which kind of layer.
        layer: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// A weight that is no number.
    #[error("dlib model: {0:?} holds a number that is not finite; fetch the file again")]
    NotFinite(&'static str),
}

/// What is between two layers.
#[derive(Debug, Clone)]
struct Between {
    name: String,
    channels: usize,
    side: usize,
}

/// The graph as ONNX: planar RGB 0 to 255 of `side` pixels square in, a vector of
/// `dimension` numbers out.
pub fn graph(file: &[u8], side: usize, dimension: usize) -> Result<Vec<u8>, DlibError> {
    let mut reader = Reader::new(file);
    let input = reader.input()?;
    if input.side != side {
        let what = "another side than the manifest says";
        return Err(DlibError::Shape {
            layer: "input_rgb_image_sized",
            what,
        });
    }
    let mut graph = Builder::default();
    let mut at = Between {
        name: graph.onnx.input(&[1, 3, side, side].map(Side::Fixed)),
        channels: 3,
        side,
    };
    let mut first = folded(&mut reader)?;
    take_in(&mut first, &input)?;
    at = graph.convolution(&first, &at)?;
    at = graph.relu(at);
    at = graph.pool("MaxPool", at, 3)?;
    while reader.is_ahead("con_4") {
        let (one, two) = (folded(&mut reader)?, folded(&mut reader)?);
        at = graph.block(&one, &two, &at)?;
    }
    let join = reader.join()?;
    if join.inputs != at.channels || join.outputs != dimension {
        let what = "another count of numbers than its neighbours";
        let layer = "fc_2";
        return Err(DlibError::Shape { layer, what });
    }
    let size = [join.inputs, join.outputs];
    Ok(graph.finish(&at, &join.weights, size))
}

/// A convolution with the affine layer behind it.
fn folded(reader: &mut Reader<'_>) -> Result<Convolution, DlibError> {
    let mut convolution = reader.convolution()?;
    let (scale, shift) = reader.affine(convolution.filters)?;
    let each = convolution.weights.len() / convolution.filters;
    for (filter, weights) in convolution.weights.chunks_mut(each.max(1)).enumerate() {
        weights
            .iter_mut()
            .for_each(|weight| *weight *= scale[filter]);
        let bias = &mut convolution.biases[filter];
        *bias = *bias * scale[filter] + shift[filter];
    }
    Ok(convolution)
}

/// dlib hands its first layer `(x - mean) / 256`. Without a border of zeros that is
/// the same as other weights.
fn take_in(first: &mut Convolution, input: &Input) -> Result<(), DlibError> {
    if first.channels != 3 || first.pad != 0 {
        let what = "no three colours, or a border, in the first layer";
        let layer = "con_4";
        return Err(DlibError::Shape { layer, what });
    }
    let window = first.side * first.side;
    for (filter, weights) in first.weights.chunks_mut(3 * window).enumerate() {
        let mut less = 0.0;
        for (colour, weights) in weights.chunks_mut(window).enumerate() {
            weights.iter_mut().for_each(|weight| *weight /= 256.0);
            let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            less += sum * f64::from(input.mean[colour]);
        }
        first.biases[filter] -= less as f32;
    }
    Ok(())
}

/// Writes layers and names what is between them.
#[derive(Default)]
struct Builder {
    onnx: Writer,
}

impl Builder {
    fn then(&mut self, op: &str, of: &[&str], settings: &[(&'static str, &[i64])]) -> String {
        let integers =
            |(name, values): &(&'static str, &[i64])| (*name, Attribute::Integers(values.to_vec()));
        let settings: Vec<_> = settings.iter().map(integers).collect();
        self.onnx.node(op, of, &settings)
    }

    fn convolution(&mut self, layer: &Convolution, at: &Between) -> Result<Between, DlibError> {
        let padded = at.side + 2 * layer.pad;
        if layer.channels != at.channels || padded < layer.side {
            let what = "other channels than the layer before it, or a window beyond the image";
            let layer = "con_4";
            return Err(DlibError::Shape { layer, what });
        }
        let dims = [layer.filters, layer.channels, layer.side, layer.side];
        let weights = self.onnx.floats(&dims, &layer.weights);
        let biases = self.onnx.floats(&[layer.filters], &layer.biases);
        let [side, stride, pad] = [layer.side, layer.stride, layer.pad].map(|n| n as i64);
        let settings: [(&'static str, &[i64]); 3] = [
            ("kernel_shape", &[side; 2]),
            ("strides", &[stride; 2]),
            ("pads", &[pad; 4]),
        ];
        Ok(Between {
            name: self.then("Conv", &[&at.name, &weights, &biases], &settings),
            channels: layer.filters,
            side: (padded - layer.side) / layer.stride + 1,
        })
    }

    fn relu(&mut self, at: Between) -> Between {
        let name = self.then("Relu", &[&at.name], &[]);
        Between { name, ..at }
    }

    /// Squares of `window` pixels, two apart.
    fn pool(&mut self, op: &str, at: Between, window: usize) -> Result<Between, DlibError> {
        if at.side < window {
            let what = "an image smaller than a pooling's window";
            let layer = "con_4";
            return Err(DlibError::Shape { layer, what });
        }
        let settings: [(&'static str, &[i64]); 2] =
            [("kernel_shape", &[window as i64; 2]), ("strides", &[2; 2])];
        Ok(Between {
            name: self.then(op, &[&at.name], &settings),
            channels: at.channels,
            side: (at.side - window) / 2 + 1,
        })
    }

    /// Two convolutions beside a way around them, added.
    fn block(
        &mut self,
        one: &Convolution,
        two: &Convolution,
        at: &Between,
    ) -> Result<Between, DlibError> {
        let inner = self.convolution(one, at)?;
        let inner = self.relu(inner);
        let inner = self.convolution(two, &inner)?;
        let around = match one.stride {
            1 => at.clone(),
            _ => self.pool("AveragePool", at.clone(), 2)?,
        };
        let (channels, side) = (
            inner.channels.max(around.channels),
            inner.side.max(around.side),
        );
        let [inner, around] = [inner, around].map(|at| self.filled(at, channels, side));
        let name = self.then("Add", &[&inner, &around], &[]);
        Ok(self.relu(Between {
            name,
            channels,
            side,
        }))
    }

    /// Zeros behind, up to this size.
    fn filled(&mut self, at: Between, channels: usize, side: usize) -> String {
        let (more, wider) = ((channels - at.channels) as i64, (side - at.side) as i64);
        if (more, wider) == (0, 0) {
            return at.name;
        }
        let behind = [0, 0, 0, 0, 0, more, wider, wider];
        let pads = self.onnx.integers(&[behind.len()], &behind);
        self.then("Pad", &[&at.name, &pads], &[])
    }

    fn finish(mut self, at: &Between, weights: &[f32], size: [usize; 2]) -> Vec<u8> {
        let mean = self.then("GlobalAveragePool", &[&at.name], &[]);
        let flat = self.then("Flatten", &[&mean], &[]);
        let join = self.onnx.floats(&size, weights);
        let embedding = self.then("MatMul", &[&flat, &join], &[]);
        self.onnx.finish(&embedding)
    }
}
