//! A graph as the steps a device runs, worked out once.
//!
//! Only chains are understood: every operation takes what the one before it made.
//! Batch normalisation is folded into the convolution before it, or the fully
//! connected layer behind it, in f64; PReLU rides along with its convolution.

mod chain;
mod window;

use crate::onnx::{Graph, Operation};
use chain::Chain;

/// Why a graph cannot be run by the kernels there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{op} making {output:?}: {why}; the kernels do not run this model, the CPU does")]
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
            chain
                .take(operation)
                .map_err(|why| refused(operation, why))?;
        }
        let last = graph.operations.last();
        let refused = |why| last.map_or_else(|| nothing(why), |last| refused(last, why));
        chain.finish(&graph.outputs).map_err(refused)
    }
}

fn refused(operation: &Operation<'_>, why: &'static str) -> PlanError {
    PlanError {
        op: operation.op.to_owned(),
        output: operation.outputs.first().unwrap_or(&"").to_string(),
        why,
    }
}

fn nothing(why: &'static str) -> PlanError {
    refused(&Operation::default(), why)
}

#[cfg(test)]
mod tests;
