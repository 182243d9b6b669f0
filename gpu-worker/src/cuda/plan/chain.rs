//! Folds operations into steps, one after the other.

use std::collections::HashMap;

use super::window::Window;
use super::{Kernel, Plan, Shape, Step};
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
    drafts: Vec<Draft>,
    /// Scale and shift of each channel, to be folded into what follows.
    waiting: Option<Vec<[f64; 2]>>,
}

type Folded = Result<(), &'static str>;

impl<'g> Chain<'g> {
    pub(super) fn new(graph: &Graph<'g>, channels: usize, side: usize) -> Self {
        Self {
            constants: graph.constants.clone(),
            current: graph.input,
            size: [channels, side, side],
            drafts: Vec::new(),
            waiting: None,
        }
    }

    /// The next operation, or why there are no kernels for it.
    pub(super) fn take(&mut self, operation: &Operation<'g>) -> Folded {
        if operation.op == "Constant" {
            return Ok(()); // a drop-out's ratio, which inference has no use for
        }
        let first = operation.inputs.first().copied().unwrap_or_default();
        if operation.op == "Reshape"
            && let Some(tensor) = self.constants.get(first)
        {
            let alias = tensor.clone();
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

    fn numbers(&self, operation: &Operation<'_>, at: usize) -> Result<&[f32], &'static str> {
        let name = operation.inputs.get(at).copied().unwrap_or_default();
        let tensor = self.constants.get(name).ok_or("a constant is missing")?;
        Ok(&tensor.values)
    }

    fn scale(&mut self, operation: &Operation<'_>) -> Folded {
        let [number] = *self.numbers(operation, 1)? else {
            return Err("one number is needed");
        };
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
            let shape = self.shape(self.size);
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

    fn shape(&self, out: [usize; 3]) -> Shape {
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let [channels, height, width] = self.size;
        Shape {
            images: 0,
            in_channels: count(channels),
            in_height: count(height),
            in_width: count(width),
            out_channels: count(out[0]),
            out_height: count(out[1]),
            out_width: count(out[2]),
            kernel: 1,
            stride: 1,
            pad: 0,
        }
    }

    fn convolution(&mut self, operation: &Operation<'_>) -> Folded {
        if self.waiting.is_some() {
            return Err("a normalisation stands before it that no layer took");
        }
        let window = Window::read(operation)?;
        let [channels, height, width] = self.size;
        let groups = usize::try_from(operation.integer("group", 1)).unwrap_or(0);
        let weights = self.numbers(operation, 1)?;
        let each = if groups == 1 { channels } else { 1 } * window.side * window.side;
        let outputs = weights.len() / each;
        let whole = outputs > 0 && outputs * each == weights.len();
        if !whole || (groups != 1 && (groups != channels || outputs != channels)) {
            return Err("its groups are neither one nor one for each channel");
        }
        let out = [outputs, window.along(height)?, window.along(width)?];
        let mut shape = self.shape(out);
        (shape.kernel, shape.stride, shape.pad) = window.numbers();
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
        let weights = widen(weights);
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
        match self.drafts.last_mut() {
            Some(draft) if draft.slope.is_none() => draft.fold(&affine),
            _ => self.waiting = Some(affine),
        }
        Ok(())
    }

    fn slope(&mut self, operation: &Operation<'_>) -> Folded {
        let channels = self.size[0];
        let slope = match *self.numbers(operation, 1)? {
            [one] => vec![one; channels],
            ref many if many.len() == channels => many.to_vec(),
            _ => return Err("its slopes have another length"),
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
        let mut weights = widen(self.numbers(operation, 1)?);
        let outputs = weights.len() / length;
        if !plain || outputs == 0 || weights.len() != outputs * length {
            return Err("only x·Wᵀ + b is understood");
        }
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
        let shape = self.shape([outputs, 1, 1]);
        self.push(Kernel::Join, shape, weights, bias);
        self.size = [outputs, 1, 1];
        Ok(())
    }

    pub(super) fn finish(self) -> Plan {
        let steps: Vec<Step> = self.drafts.into_iter().map(Draft::finish).collect();
        let numbers = |sides: [i32; 3]| -> usize {
            sides
                .iter()
                .map(|side| side.unsigned_abs() as usize)
                .product()
        };
        let ins = |s: &Shape| numbers([s.in_channels, s.in_height, s.in_width]);
        let outs = |s: &Shape| numbers([s.out_channels, s.out_height, s.out_width]);
        let every = steps
            .iter()
            .flat_map(|step| [ins(&step.shape), outs(&step.shape)]);
        Plan {
            widest: every.max().unwrap_or(0),
            input: steps.first().map_or(0, |step| ins(&step.shape)),
            output: steps.last().map_or(0, |step| outs(&step.shape)),
            steps,
        }
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

fn widen(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|number| f64::from(*number)).collect()
}
