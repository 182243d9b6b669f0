//! CAM++, a network that tells speakers apart, as a graph made of its checkpoint.
//!
//! The architecture is that of Wang, Zheng, Chen, Cheng and Chen, "CAM++: A Fast
//! and Efficient Network for Speaker Verification Using Context-Aware Masking"
//! (Interspeech 2023), with the sizes of 3D-Speaker's published models. Two
//! things differ from a literal transcription, neither in what comes out: a
//! normalisation behind a convolution is folded into it, and a mask is computed
//! once for each segment of [`SEGMENT`] steps, since it depends on no more.
//!
//! *No ReLU follows the last normalisation*: the embedding has negative numbers.

mod net;

use net::{Conv, Net};

use crate::onnx::{Attribute, Side, Writer};
use crate::torch::{TorchError, Weights};

use super::features::MELS;

/// Length of an embedding.
pub const DIMENSION: usize = 192;
/// Channels of the two-dimensional head.
const HEAD: usize = 32;
/// Channels that enter the first dense block, and that each layer of it adds.
const FIRST: usize = 128;
const GROWTH: usize = 32;
/// Channels inside a dense layer, and inside its mask.
const INNER: usize = 4 * GROWTH;
const MASK: usize = INNER / 2;
/// Layers and dilation of the three dense blocks.
const BLOCKS: [(usize, usize); 3] = [(12, 1), (24, 2), (16, 2)];
/// Steps of time that share a mask.
const SEGMENT: usize = 100;

/// An ONNX graph from `[1, 1, MELS, frames]` to an embedding, not yet of unit length.
pub fn graph(weights: &Weights<'_>) -> Result<Vec<u8>, TorchError> {
    let mut net = Net {
        weights,
        writer: Writer::default(),
    };
    let sides = [
        Side::Fixed(1),
        Side::Fixed(1),
        Side::Fixed(MELS),
        Side::Free("frames"),
    ];
    let input = net.writer.input(&sides);
    let head = net.head(&input)?;
    let mut x = net.conv(
        &head,
        Conv {
            weight: "xvector.tdnn.linear",
            norm: Some("xvector.tdnn.nonlinear.batchnorm"),
            shape: &[FIRST, HEAD * MELS / 8, 5],
            strides: &[2],
            ..Conv::default()
        },
    )?;
    x = net.relu(&x);
    let (steps, segments) = net.segments(&x);
    let mut channels = FIRST;
    for (block, (layers, dilation)) in BLOCKS.into_iter().enumerate() {
        let block = block + 1;
        for layer in 1..=layers {
            let name = format!("xvector.block{block}.tdnnd{layer}");
            let added = net.dense_layer(&name, &x, channels, dilation, &segments)?;
            x = net.writer.node("Concat", &[&x, &added], &[axis(1)]);
            channels += GROWTH;
        }
        let name = format!("xvector.transit{block}");
        x = net.norm_relu(&format!("{name}.nonlinear.batchnorm"), &x, channels)?;
        let halved = channels / 2;
        x = net.conv(
            &x,
            Conv {
                weight: &format!("{name}.linear"),
                shape: &[halved, channels, 1],
                ..Conv::default()
            },
        )?;
        channels = halved;
    }
    x = net.norm_relu("xvector.out_nonlinear.batchnorm", &x, channels)?;
    let pooled = net.statistics(&x, &steps);
    let embedding = net.conv(
        &pooled,
        Conv {
            weight: "xvector.dense.linear",
            norm: Some("xvector.dense.nonlinear.batchnorm"),
            plain_norm: true,
            shape: &[DIMENSION, 2 * channels, 1],
            ..Conv::default()
        },
    )?;
    Ok(net.writer.finish(&embedding))
}

fn axis(axis: i64) -> (&'static str, Attribute) {
    ("axis", Attribute::Integer(axis))
}

impl Net<'_> {
    /// The residual head over bands and time: `[1, 1, MELS, n]` to `[1, HEAD * MELS / 8, n]`.
    fn head(&mut self, x: &str) -> Result<String, TorchError> {
        let three = |inputs| [HEAD, inputs, 3, 3];
        let mut x = self.conv_norm("head.conv1", "head.bn1", x, &three(1), 1)?;
        x = self.relu(&x);
        for (part, stride) in [
            ("head.layer1.0", 2),
            ("head.layer1.1", 1),
            ("head.layer2.0", 2),
            ("head.layer2.1", 1),
        ] {
            let [first, second] =
                [1, 2].map(|n| (format!("{part}.conv{n}"), format!("{part}.bn{n}")));
            let inner = self.conv_norm(&first.0, &first.1, &x, &three(HEAD), stride)?;
            let inner = self.relu(&inner);
            let inner = self.conv_norm(&second.0, &second.1, &inner, &three(HEAD), 1)?;
            if stride != 1 {
                let shortcut = [0, 1].map(|n| format!("{part}.shortcut.{n}"));
                let shape = [HEAD, HEAD, 1, 1];
                x = self.conv_norm(&shortcut[0], &shortcut[1], &x, &shape, stride)?;
            }
            let sum = self.writer.node("Add", &[&inner, &x], &[]);
            x = self.relu(&sum);
        }
        x = self.conv_norm("head.conv2", "head.bn2", &x, &three(HEAD), 2)?;
        x = self.relu(&x);
        let flat = self
            .writer
            .integers(&[3], &[1, (HEAD * MELS / 8) as i64, -1]);
        Ok(self.writer.node("Reshape", &[&x, &flat], &[]))
    }

    /// A convolution over bands and time; the stride is along the bands.
    fn conv_norm(
        &mut self,
        weight: &str,
        norm: &str,
        x: &str,
        shape: &[usize],
        stride: usize,
    ) -> Result<String, TorchError> {
        let conv = Conv {
            weight,
            norm: Some(norm),
            shape,
            strides: &[stride, 1],
            ..Conv::default()
        };
        self.conv(x, conv)
    }

    /// The number of steps, and the segment that each of them lies in.
    fn segments(&mut self, x: &str) -> (String, String) {
        let shape = self.writer.node("Shape", &[x], &[]);
        let [zero, one, two] = [0, 1, 2].map(|n| self.writer.integers(&[], &[n]));
        let length = self.writer.integers(&[], &[SEGMENT as i64]);
        let steps = self.writer.node("Gather", &[&shape, &two], &[axis(0)]);
        let each = self.writer.node("Range", &[&zero, &steps, &one], &[]);
        (steps, self.writer.node("Div", &[&each, &length], &[]))
    }

    fn dense_layer(
        &mut self,
        name: &str,
        x: &str,
        channels: usize,
        dilation: usize,
        segments: &str,
    ) -> Result<String, TorchError> {
        let inner = self.norm_relu(&format!("{name}.nonlinear1.batchnorm"), x, channels)?;
        let inner = self.conv(
            &inner,
            Conv {
                weight: &format!("{name}.linear1"),
                norm: Some(&format!("{name}.nonlinear2.batchnorm")),
                shape: &[INNER, channels, 1],
                ..Conv::default()
            },
        )?;
        let inner = self.relu(&inner);
        let local = self.conv(
            &inner,
            Conv {
                weight: &format!("{name}.cam_layer.linear_local"),
                shape: &[GROWTH, INNER, 3],
                dilation,
                ..Conv::default()
            },
        )?;
        let mask = self.mask(&format!("{name}.cam_layer"), &inner)?;
        let mask = self.writer.node("Gather", &[&mask, segments], &[axis(2)]);
        Ok(self.writer.node("Mul", &[&local, &mask], &[]))
    }

    /// What to listen to in each segment, from it and from the whole.
    fn mask(&mut self, name: &str, inner: &str) -> Result<String, TorchError> {
        let whole = self.mean(inner);
        let length = || Attribute::Integers(vec![SEGMENT as i64]);
        let pool = [
            ("kernel_shape", length()),
            ("strides", length()),
            ("ceil_mode", Attribute::Integer(1)),
        ];
        let segment = self.writer.node("AveragePool", &[inner], &pool);
        let context = self.writer.node("Add", &[&segment, &whole], &[]);
        let squeezed = self.conv(
            &context,
            Conv {
                weight: &format!("{name}.linear1"),
                biased: true,
                shape: &[MASK, INNER, 1],
                ..Conv::default()
            },
        )?;
        let squeezed = self.relu(&squeezed);
        let mask = self.conv(
            &squeezed,
            Conv {
                weight: &format!("{name}.linear2"),
                biased: true,
                shape: &[GROWTH, MASK, 1],
                ..Conv::default()
            },
        )?;
        Ok(self.writer.node("Sigmoid", &[&mask], &[]))
    }

    /// Mean and standard deviation over time, the latter over one less than the steps.
    fn statistics(&mut self, x: &str, steps: &str) -> String {
        let mean = self.mean(x);
        let away = self.writer.node("Sub", &[x, &mean], &[]);
        let squares = self.writer.node("Mul", &[&away, &away], &[]);
        let variance = self.mean(&squares);
        let one = self.writer.floats(&[], &[1.0]);
        let float = ("to", Attribute::Integer(1));
        let steps = self.writer.node("Cast", &[steps], &[float]);
        let less = self.writer.node("Sub", &[&steps, &one], &[]);
        let factor = self.writer.node("Div", &[&steps, &less], &[]);
        let variance = self.writer.node("Mul", &[&variance, &factor], &[]);
        let deviation = self.writer.node("Sqrt", &[&variance], &[]);
        self.writer.node("Concat", &[&mean, &deviation], &[axis(1)])
    }
}
