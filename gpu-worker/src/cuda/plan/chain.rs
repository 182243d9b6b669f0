//! Folds operations into steps, one after the other.

use std::collections::HashMap;

use super::window::Window;
use super::{Kernel, Plan, Shape, Step};
use crate::cuda::BATCH;
use crate::onnx::{Graph, Operation, Tensor};

/// A step while things are still folded into it.
struct Draft {
    kernel: Kernel,
    shape: Shape,
    weights: Vec<f64>,
    bias: Vec<f64>,
    slope: Option<Vec<f32>>,
}

/// What was folded so far.
pub(super) struct Chain<'g> {
    constants: HashMap<&'g str, Tensor>,
    current: &'g str,
    size: [usize; 3],
    /// The most numbers that one image had anywhere.
    widest: usize,
    drafts: Vec<Draft>,
    /// Scale and shift of each channel, to be folded into what follows.
    waiting: Option<Vec<[f64; 2]>>,
}

type Folded = Result<(), &'static str>;

const TOO_LARGE: &str = "it is too large for the kernels";
const LATE_NORMALISATION: &str = "a normalisation stands before it that no layer took";

impl<'g> Chain<'g> {
    pub(super) fn new(graph: &Graph<'g>, channels: usize, side: usize) -> Self {
        Self {
            constants: graph.constants.clone(),
            current: graph.input,
            size: [channels, side, side],
            widest: channels * side * side,
            drafts: Vec::new(),
            waiting: None,
        }
    }

    /// The next operation, or why there are no kernels for it.
    pub(super) fn take(&mut self, operation: &Operation<'g>) -> Folded {
        if !["", "ai.onnx"].contains(&operation.domain) {
            return Err("its operator is not one of ONNX's own");
        }
        if operation.op == "Constant" {
            return Ok(()); // a drop-out's ratio, which inference has no use for
        }
        let first = operation.inputs.first().copied().unwrap_or_default();
        if operation.op == "Reshape"
            && let Some(tensor) = self.constants.get(first)
        {
            // Its numbers count from here on, not the shape it had.
            let alias = Tensor {
                dims: Vec::new(),
                values: tensor.values.clone(),
            };
            let name = operation.outputs.first().copied().unwrap_or_default();
            self.constants.insert(name, alias);
            return Ok(());
        }
        if first != self.current {
            return Err("it does not take what the operation before it made");
        }
        match operation.op {
            "Sub" | "Mul" => self.scale(operation),
            "Conv" => self.convolution(operation),
            "BatchNormalization" => self.normalisation(operation),
            "PRelu" => self.slope(operation),
            "Gemm" => self.join(operation),
            "Dropout" | "Identity" => Ok(()),
            "Flatten" if operation.integer("axis", 1) == 1 => Ok(()),
            _ => Err("there is no kernel for it"),
        }?;
        self.current = operation.outputs.first().copied().unwrap_or_default();
        Ok(())
    }

    fn constant(&self, operation: &Operation<'_>, at: usize) -> Result<&Tensor, &'static str> {
        let name = operation.inputs.get(at).copied().unwrap_or_default();
        self.constants.get(name).ok_or("a constant is missing")
    }

    fn numbers(&self, operation: &Operation<'_>, at: usize) -> Result<&[f32], &'static str> {
        Ok(&self.constant(operation, at)?.values)
    }

    fn scale(&mut self, operation: &Operation<'_>) -> Folded {
        let [number] = *self.numbers(operation, 1)? else {
            return Err("one number is needed");
        };
        if self.waiting.is_some() {
            return Err(LATE_NORMALISATION);
        }
        let ([
            Draft {
                kernel: Kernel::Scale,
                ..
            },
        ]
        | []) = self.drafts.as_slice()
        else {
            return Err("it stands behind other layers");
        };
        if self.drafts.is_empty() {
            let shape = self.shape(self.size)?;
            self.drafts.push(Draft {
                kernel: Kernel::Scale,
                shape,
                weights: vec![0.0],
                bias: vec![0.0],
                slope: Some(vec![1.0]),
            });
        }
        let draft = &mut self.drafts[0];
        let factor = f64::from(draft.slope.as_ref().map_or(1.0, |slope| slope[0]));
        // (x - a) * b - c = (x - (a + c / b)) * b
        match operation.op {
            "Sub" => draft.bias[0] += f64::from(number) / factor,
            _ => draft.slope = Some(vec![(factor * f64::from(number)) as f32]),
        }
        Ok(())
    }

    /// From the present size to `out`. The kernels count in 32 bits: whatever a whole
    /// batch has anywhere must fit.
    fn shape(&mut self, out: [usize; 3]) -> Result<Shape, &'static str> {
        let [channels, height, width] = self.size;
        let numbers = out
            .iter()
            .try_fold(1, |all: usize, one| all.checked_mul(*one));
        let whole = numbers.and_then(|numbers| numbers.checked_mul(BATCH));
        if whole.is_none_or(|whole| i32::try_from(whole).is_err()) {
            return Err(TOO_LARGE);
        }
        self.widest = self.widest.max(numbers.unwrap_or(0));
        Ok(Shape {
            images: 0,
            in_channels: count(channels)?,
            in_height: count(height)?,
            in_width: count(width)?,
            out_channels: count(out[0])?,
            out_height: count(out[1])?,
            out_width: count(out[2])?,
            kernel: 1,
            stride: 1,
            pad: 0,
        })
    }

    fn convolution(&mut self, operation: &Operation<'_>) -> Folded {
        if self.waiting.is_some() {
            return Err(LATE_NORMALISATION);
        }
        let window = Window::read(operation)?;
        let [channels, height, width] = self.size;
        let groups = usize::try_from(operation.integer("group", 1)).unwrap_or(0);
        let (weights, dims) = {
            let constant = self.constant(operation, 1)?;
            (widen(&constant.values), constant.dims.clone())
        };
        let depth = if groups == 1 { channels } else { 1 };
        let each = depth * window.side * window.side;
        let outputs = weights.len() / each;
        let whole = outputs > 0 && outputs * each == weights.len();
        if !whole || (groups != 1 && (groups != channels || outputs != channels)) {
            return Err("its groups are neither one nor one for each channel");
        }
        fits(&dims, &[outputs, depth, window.side, window.side])?;
        let out = [outputs, window.along(height)?, window.along(width)?];
        let mut shape = self.shape(out)?;
        (shape.kernel, shape.stride, shape.pad) = window.numbers()?;
        count(weights.len())?;
        let kernel = match (groups, window) {
            (
                1,
                Window {
                    side: 1,
                    stride: 1,
                    pad: 0,
                },
            ) => Kernel::Pointwise,
            (1, _) => Kernel::Dense,
            _ => Kernel::Depthwise,
        };
        let bias = match operation.inputs.len() {
            2 => vec![0.0; outputs],
            _ => widen(self.numbers(operation, 2)?),
        };
        if bias.len() != outputs {
            return Err("its bias has another length");
        }
        self.push(kernel, shape, weights, bias);
        self.size = out;
        Ok(())
    }

    fn push(&mut self, kernel: Kernel, shape: Shape, weights: Vec<f64>, bias: Vec<f64>) {
        self.drafts.push(Draft {
            kernel,
            shape,
            weights,
            bias,
            slope: None,
        });
    }

    fn normalisation(&mut self, operation: &Operation<'_>) -> Folded {
        let [gamma, beta, mean, variance] =
            [1, 2, 3, 4].map(|at| self.numbers(operation, at).map(widen));
        let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
        let epsilon = f64::from(operation.float("epsilon", 1e-5));
        let channels = self.size[0];
        if [&gamma, &beta, &mean, &variance]
            .iter()
            .any(|of| of.len() != channels)
        {
            return Err("its constants have another length");
        }
        let affine = (0..channels).map(|c| {
            let scale = gamma[c] / (variance[c] + epsilon).sqrt();
            [scale, beta[c] - mean[c] * scale]
        });
        let affine: Vec<_> = affine.collect();
        if operation.integer("training_mode", 0) != 0 {
            return Err("it is still learning");
        }
        match self.drafts.last_mut() {
            Some(draft) if draft.slope.is_none() => draft.fold(&affine),
            _ if self.waiting.is_some() => return Err(LATE_NORMALISATION),
            _ => self.waiting = Some(affine),
        }
        Ok(())
    }

    fn slope(&mut self, operation: &Operation<'_>) -> Folded {
        let [channels, height, width] = self.size;
        let Tensor { dims, values } = self.constant(operation, 1)?;
        // ONNX broadcasts from the right: [C] is one slope a channel only where a
        // channel is one number.
        let apart = matches!(dims.as_slice(), [c, 1, 1] | [1, c, 1, 1] if *c == channels);
        let slope = match *values.as_slice() {
            [one] => vec![one; channels],
            ref many if many.len() == channels && (apart || height * width == 1) => many.to_vec(),
            _ => return Err("its slopes are not one for each channel"),
        };
        match self.drafts.last_mut() {
            Some(draft) if draft.slope.is_none() => draft.slope = Some(slope),
            _ => return Err("no layer stands before it"),
        }
        Ok(())
    }

    fn join(&mut self, operation: &Operation<'_>) -> Folded {
        let plain = operation.integer("transB", 0) == 1
            && operation.integer("transA", 0) == 0
            && operation.float("alpha", 1.0) == 1.0
            && operation.float("beta", 1.0) == 1.0;
        let length: usize = self.size.iter().product();
        let (mut weights, dims) = {
            let constant = self.constant(operation, 1)?;
            (widen(&constant.values), constant.dims.clone())
        };
        let outputs = weights.len() / length;
        if !plain || outputs == 0 || weights.len() != outputs * length {
            return Err("only x·Wᵀ + b is understood");
        }
        fits(&dims, &[outputs, length])?;
        count(weights.len())?;
        let mut bias = widen(self.numbers(operation, 2)?);
        if bias.len() != outputs {
            return Err("its bias has another length");
        }
        if let Some(affine) = self.waiting.take() {
            let plane = length / self.size[0];
            for (row, bias) in weights.chunks_mut(length).zip(&mut bias) {
                for (at, weight) in row.iter_mut().enumerate() {
                    let [scale, shift] = affine[at / plane];
                    *bias += *weight * shift;
                    *weight *= scale;
                }
            }
        }
        let shape = self.shape([outputs, 1, 1])?;
        self.push(Kernel::Join, shape, weights, bias);
        self.size = [outputs, 1, 1];
        Ok(())
    }

    /// The plan of a graph that says its one answer is what was made last.
    pub(super) fn finish(self, outputs: &[&str]) -> Result<Plan, &'static str> {
        if self.waiting.is_some() {
            return Err("no layer takes it, and it is the last");
        }
        if outputs != [self.current] {
            return Err("it is not the graph's one answer");
        }
        let output = self.size.iter().product();
        let steps: Vec<Step> = self.drafts.into_iter().map(Draft::finish).collect();
        let first = steps.first().ok_or("there is nothing to compute")?.shape;
        let input = [first.in_channels, first.in_height, first.in_width];
        Ok(Plan {
            widest: self.widest,
            input: input
                .iter()
                .map(|side| side.unsigned_abs() as usize)
                .product(),
            output,
            steps,
        })
    }
}

impl Draft {
    fn fold(&mut self, affine: &[[f64; 2]]) {
        let each = self.weights.len() / self.bias.len();
        let rows = self.weights.chunks_mut(each).zip(&mut self.bias);
        for ((row, bias), [scale, shift]) in rows.zip(affine) {
            row.iter_mut().for_each(|weight| *weight *= scale);
            *bias = *bias * scale + shift;
        }
    }

    fn finish(self) -> Step {
        let slopes = self.slope.unwrap_or_else(|| vec![1.0; self.bias.len()]);
        let pairs = self.bias.iter().zip(slopes);
        let affine = pairs
            .flat_map(|(bias, slope)| [*bias as f32, slope])
            .collect();
        let narrow = |number: &f64| *number as f32;
        let weights = match self.kernel {
            Kernel::Pointwise => {
                let (outs, ins) = (self.bias.len(), self.weights.len() / self.bias.len());
                let at = |k: usize| narrow(&self.weights[k % outs * ins + k / outs]);
                (0..ins * outs).map(at).collect()
            }
            _ => self.weights.iter().map(narrow).collect(),
        };
        Step {
            kernel: self.kernel,
            shape: self.shape,
            weights,
            affine,
        }
    }
}

/// As the kernels count.
pub(super) fn count(number: usize) -> Result<i32, &'static str> {
    i32::try_from(number).map_err(|_| TOO_LARGE)
}

/// Whether a constant has the shape its numbers are read in, as far as that is known.
fn fits(dims: &[usize], wanted: &[usize]) -> Folded {
    match dims.is_empty() || dims == wanted {
        true => Ok(()),
        false => Err("its weights have another shape"),
    }
}

fn widen(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|number| f64::from(*number)).collect()
}
