//! A graph as the steps a device runs, worked out once.
//!
//! Only chains are understood: every operation takes what the one before it made.
//! Batch normalisation is folded into the convolution before it, or the fully
//! connected layer behind it, in f64; PReLU rides along with its convolution.

mod chain;
mod window;

use crate::onnx::Graph;
use chain::Chain;

/// Why a graph cannot be run by the kernels there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{op} making {output:?}: {why}; leave out --cuda to run this model on the CPU")]
pub struct PlanError {
    op: String,
    output: String,
    why: &'static str,
}

/// One of the kernels in `kernels.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// `(x - a) * b`
    Scale,
    /// Convolution over all channels.
    Dense,
    /// Convolution of each channel by itself.
    Depthwise,
    /// Convolution of one pixel.
    Pointwise,
    /// Fully connected.
    Join,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Kernel; 5] = [
        Kernel::Scale,
        Kernel::Dense,
        Kernel::Depthwise,
        Kernel::Pointwise,
        Kernel::Join,
    ];

    /// Its name in the source.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Scale => "scale",
            Kernel::Dense => "dense",
            Kernel::Depthwise => "depthwise",
            Kernel::Pointwise => "pointwise",
            Kernel::Join => "join",
        }
    }

    /// Blocks (x, y) and threads in a block that cover `shape`. The tile sizes are
    /// those of the source.
    pub fn grid(self, shape: &Shape) -> ([u32; 2], u32) {
        let pixels = shape.images * shape.out_height * shape.out_width;
        let blocks = |of: i32, by: u32| of.cast_unsigned().div_ceil(by);
        match self {
            Kernel::Scale => ([blocks(pixels * shape.in_channels, 256), 1], 256),
            Kernel::Dense => ([blocks(pixels, 128), blocks(shape.out_channels, 8)], 128),
            Kernel::Depthwise => ([blocks(pixels * shape.out_channels, 256), 1], 256),
            Kernel::Pointwise => ([blocks(pixels, 128), blocks(shape.out_channels, 64)], 128),
            Kernel::Join => (
                [blocks(shape.out_channels, 4), blocks(shape.images, 8)],
                256,
            ),
        }
    }
}

/// `struct shape` of the source. Counts and pixels.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// Images in this run; zero in a plan.
    pub images: i32,
    /// What goes in.
    pub in_channels: i32,
    /// Rows.
    pub in_height: i32,
    /// Columns.
    pub in_width: i32,
    /// What comes out.
    pub out_channels: i32,
    /// Rows.
    pub out_height: i32,
    /// Columns.
    pub out_width: i32,
    /// Side of the convolution's window.
    pub kernel: i32,
    /// Its step.
    pub stride: i32,
    /// Zeros around the image.
    pub pad: i32,
}

/// One launch: weights as its kernel wants them, and for each output channel bias
/// and slope.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which kernel.
    pub kernel: Kernel,
    /// For one image.
    pub shape: Shape,
    /// Weights.
    pub weights: Vec<f32>,
    /// Bias and slope of each channel.
    pub affine: Vec<f32>,
}

/// A whole network.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// Numbers in one image.
    pub input: usize,
    /// Numbers of one image's answer.
    pub output: usize,
    /// The most numbers that one image has between two steps.
    pub widest: usize,
}

impl Plan {
    /// Works out the steps for images of `channels` × `side` × `side`.
    pub fn new(graph: &Graph<'_>, channels: usize, side: usize) -> Result<Self, PlanError> {
        let mut chain = Chain::new(graph, channels, side);
        for operation in &graph.operations {
            chain.take(operation).map_err(|why| PlanError {
                op: operation.op.to_owned(),
                output: operation.outputs.first().unwrap_or(&"").to_string(),
                why,
            })?;
        }
        Ok(chain.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{Operation, Tensor};

    fn operation<'a>(op: &'a str, input: &'a str, output: &'a str) -> Operation<'a> {
        let mut made = Operation::default();
        made.op = op;
        made.inputs = vec![input, "constant"];
        made.outputs = vec![output];
        made
    }

    fn refusal(operations: Vec<Operation<'_>>) -> String {
        let graph = Graph {
            operations,
            constants: [("constant", vec![2.0])]
                .map(|(name, values)| {
                    (
                        name,
                        Tensor {
                            dims: vec![1],
                            values,
                        },
                    )
                })
                .into(),
            input: "image",
        };
        Plan::new(&graph, 3, 8).unwrap_err().to_string()
    }

    #[test]
    fn what_no_kernel_does_is_refused_by_name() {
        let said = refusal(vec![operation("Softmax", "image", "a")]);
        assert!(
            said.starts_with("Softmax making \"a\": there is no kernel for it"),
            "{said}"
        );
        let branch = [
            operation("Sub", "image", "a"),
            operation("Mul", "image", "b"),
        ];
        let said = refusal(branch.into());
        assert!(
            said.starts_with("Mul making \"b\": it does not take"),
            "{said}"
        );
        let said = refusal(vec![operation("Conv", "image", "a")]);
        assert!(said.starts_with("Conv making \"a\": its window"), "{said}");
        let said = refusal(vec![operation("PRelu", "image", "a")]);
        assert!(said.starts_with("PRelu making \"a\": no layer"), "{said}");
    }
}
