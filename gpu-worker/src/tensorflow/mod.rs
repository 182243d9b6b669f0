//! A frozen TensorFlow graph of an embedder, such as FaceNet's InceptionResnetV1
//! (Schroff and others 2015; Szegedy and others 2016), as a graph that ONNX Runtime runs.
//!
//! Only what such a graph has is known: convolutions and poolings over images laid out
//! with their channels last, sums, products by a number, joined channels, one or more
//! fully connected layers and folded normalisation. Everything else is refused by name.
//! Its own division by the vector's length is left out, since that length tells how good
//! the picture is.

mod order;
mod read;

use std::collections::HashMap;

use crate::onnx::{Attribute, Side, WireError, Writer};
use read::{Array, Node};

/// Why a file is no graph that can be run. The file is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorflowError {
    /// Not a protobuf message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// An operation that is not known here.
    #[error(
        "TensorFlow model: {name:?} is a {op:?}, which is not known here; freeze the graph for \
         inference, or bring it as ONNX"
    )]
    Operation {
        /// The node.
        name: String,
        /// What it does.
        op: String,
    },
    /// A node whose sizes or settings do not fit.
    #[error("TensorFlow model: {name:?} has {what}")]
    Shape {
        /// The node.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl TensorflowError {
    fn shape(name: &str, what: &'static str) -> Self {
        let name = name.to_owned();
        Self::Shape { name, what }
    }
}

/// What a node makes: an image, or a plain list where it has no sides.
#[derive(Debug, Clone)]
struct Made {
    name: String,
    channels: usize,
    sides: Option<[usize; 2]>,
}

/// The graph as ONNX: a planar RGB square of `side` pixels in, scaled as the manifest
/// says; a vector of `dimension` numbers out.
pub fn graph(file: &[u8], side: usize, dimension: usize) -> Result<Vec<u8>, TensorflowError> {
    let nodes = order::ordered(read::nodes(file)?)?;
    let mut builder = Builder::default();
    let mut last = None;
    for node in &nodes {
        match node.op {
            "Const" => {
                builder.constants.insert(node.name, node.constant()?);
                continue;
            }
            // From here on the file divides by the vector's length.
            "Square" => {
                last = Some(builder.made(node, 0)?.clone());
                break;
            }
            _ => {}
        }
        let made = builder.node(node, side)?;
        builder.made.insert(node.name, made.clone());
        last = Some(made);
    }
    match last {
        Some(Made {
            name,
            channels,
            sides: None,
        }) if channels == dimension => Ok(builder.onnx.finish(&name)),
        Some(_) => Err(TensorflowError::shape(
            "graph",
            "another answer than a vector as long as the manifest says",
        )),
        None => Err(TensorflowError::shape("graph", "no operation")),
    }
}

#[derive(Default)]
struct Builder<'a> {
    onnx: Writer,
    constants: HashMap<&'a str, Array>,
    made: HashMap<&'a str, Made>,
}

impl<'a> Builder<'a> {
    fn node(&mut self, node: &Node<'a>, side: usize) -> Result<Made, TensorflowError> {
        match node.op {
            "Placeholder" if self.made.is_empty() => Ok(Made {
                name: self.onnx.input(&[1, 3, side, side].map(Side::Fixed)),
                channels: 3,
                sides: Some([side; 2]),
            }),
            "Conv2D" => self.convolution(node),
            "BiasAdd" => self.bias(node),
            "Relu" => {
                let of = self.made(node, 0)?.clone();
                Ok(self.like(of, "Relu"))
            }
            "MaxPool" => self.pool(node, "MaxPool"),
            "AvgPool" => self.pool(node, "AveragePool"),
            "ConcatV2" => self.join(node),
            "Mul" => self.scaled(node),
            "Add" | "AddV2" => self.sum(node),
            "Reshape" => self.flat(node),
            "MatMul" => self.connected(node),
            "FusedBatchNorm" | "FusedBatchNormV3" => self.normalised(node),
            op => Err(TensorflowError::Operation {
                name: node.name.to_owned(),
                op: op.to_owned(),
            }),
        }
    }

    fn made(&self, node: &Node<'_>, at: usize) -> Result<&Made, TensorflowError> {
        let found = node.inputs.get(at).and_then(|input| self.made.get(*input));
        found.ok_or_else(|| {
            TensorflowError::shape(node.name, "an input that nothing before it makes")
        })
    }

    /// Numbers of a constant among the inputs, and its shape.
    fn floats(&self, node: &Node<'_>, at: usize) -> Result<&Array, TensorflowError> {
        let found = node
            .inputs
            .get(at)
            .and_then(|input| self.constants.get(*input));
        let floats = found.filter(|array| !array.floats.is_empty());
        let finite = floats.filter(|array| array.floats.iter().all(|number| number.is_finite()));
        finite.ok_or_else(|| {
            TensorflowError::shape(node.name, "no finite numbers where its weights belong")
        })
    }

    fn like(&mut self, of: Made, op: &str) -> Made {
        let name = self.onnx.node(op, &[&of.name], &[]);
        Made { name, ..of }
    }

    fn convolution(&mut self, node: &Node<'_>) -> Result<Made, TensorflowError> {
        let of = self.made(node, 0)?.clone();
        let weights = self.floats(node, 1)?;
        let wrong = |what| TensorflowError::shape(node.name, what);
        let [high, wide, inputs, outputs] = weights.dims[..] else {
            return Err(wrong("weights that are no windows"));
        };
        if inputs != of.channels {
            return Err(wrong("other channels than what it is given"));
        }
        let window = Window::of(node, [high, wide])?;
        let sides = window.over(node, &of)?;
        // Rows, columns, inputs, outputs become outputs, inputs, rows, columns.
        let mut turned = Vec::with_capacity(weights.floats.len());
        for output in 0..outputs {
            for input in 0..inputs {
                let at = |place: usize| (place * inputs + input) * outputs + output;
                turned.extend((0..high * wide).map(|place| weights.floats[at(place)]));
            }
        }
        let weights = self.onnx.floats(&[outputs, inputs, high, wide], &turned);
        let name = self
            .onnx
            .node("Conv", &[&of.name, &weights], &window.settings());
        Ok(Made {
            name,
            channels: outputs,
            sides: Some(sides),
        })
    }

    fn pool(&mut self, node: &Node<'_>, op: &str) -> Result<Made, TensorflowError> {
        let of = self.made(node, 0)?.clone();
        let [1, high, wide, 1] = node.integers("ksize")?[..] else {
            return Err(TensorflowError::shape(
                node.name,
                "a window over more than an image",
            ));
        };
        let window = Window::of(node, [high as usize, wide as usize])?;
        if window.pads != [0, 0] {
            return Err(TensorflowError::shape(
                node.name,
                "a border, which poolings have none of here",
            ));
        }
        let sides = window.over(node, &of)?;
        let name = self.onnx.node(op, &[&of.name], &window.settings());
        Ok(Made {
            name,
            sides: Some(sides),
            ..of
        })
    }

    /// One number for each channel, added.
    fn bias(&mut self, node: &Node<'_>) -> Result<Made, TensorflowError> {
        let of = self.made(node, 0)?.clone();
        let numbers = self.floats(node, 1)?.floats.clone();
        self.each_channel(node, "Add", of, &numbers)
    }

    fn each_channel(
        &mut self,
        node: &Node<'_>,
        op: &str,
        of: Made,
        numbers: &[f32],
    ) -> Result<Made, TensorflowError> {
        if numbers.len() != of.channels {
            return Err(TensorflowError::shape(
                node.name,
                "not one number for each channel",
            ));
        }
        let dims: &[usize] = match of.sides {
            Some(_) => &[of.channels, 1, 1],
            None => &[of.channels],
        };
        let numbers = self.onnx.floats(dims, numbers);
        let name = self.onnx.node(op, &[&of.name, &numbers], &[]);
        Ok(Made { name, ..of })
    }

    fn join(&mut self, node: &Node<'_>) -> Result<Made, TensorflowError> {
        let wrong = |what| TensorflowError::shape(node.name, what);
        let (axis, parts) = node.inputs.split_last().ok_or_else(|| wrong("no inputs"))?;
        let axis = self
            .constants
            .get(axis)
            .map(|array| array.integers.as_slice());
        if !matches!(axis, Some([3] | [-1])) {
            return Err(wrong("another axis than the channels"));
        }
        let made = (0..parts.len()).map(|at| self.made(node, at).cloned());
        let made: Vec<Made> = made.collect::<Result<_, _>>()?;
        let first = made.first().ok_or_else(|| wrong("no inputs"))?;
        if first.sides.is_none() || made.iter().any(|part| part.sides != first.sides) {
            return Err(wrong("images of several sizes"));
        }
        let names: Vec<&str> = made.iter().map(|part| part.name.as_str()).collect();
        let name = self
            .onnx
            .node("Concat", &names, &[("axis", Attribute::Integer(1))]);
        let channels = made.iter().map(|part| part.channels).sum();
        Ok(Made {
            name,
            channels,
            sides: first.sides,
        })
    }

    /// By one number.
    fn scaled(&mut self, node: &Node<'_>) -> Result<Made, TensorflowError> {
        let at = usize::from(self.made(node, 0).is_err());
        let of = self.made(node, at)?.clone();
        let [number] = self.floats(node, 1 - at)?.floats[..] else {
            return Err(TensorflowError::shape(
                node.name,
                "more than one number to multiply by",
            ));
        };
        let number = self.onnx.floats(&[], &[number]);
        let name = self.onnx.node("Mul", &[&of.name, &number], &[]);
        Ok(Made { name, ..of })
    }

    fn sum(&mut self, node: &Node<'_>) -> Result<Made, TensorflowError> {
        let (one, other) = (self.made(node, 0)?.clone(), self.made(node, 1)?.clone());
        if (one.channels, one.sides) != (other.channels, other.sides) {
            return Err(TensorflowError::shape(node.name, "parts of two shapes"));
        }
        let name = self.onnx.node("Add", &[&one.name, &other.name], &[]);
        Ok(Made { name, ..one })
    }

    /// An image of one pixel becomes a list; of more, the order would be another.
    fn flat(&mut self, node: &Node<'_>) -> Result<Made, TensorflowError> {
        let of = self.made(node, 0)?.clone();
        match of.sides {
            None => Ok(of),
            Some([1, 1]) => {
                let flat = Made { sides: None, ..of };
                Ok(self.like(flat, "Flatten"))
            }
            Some(_) => Err(TensorflowError::shape(
                node.name,
                "an image of more than one pixel to make a list of",
            )),
        }
    }

    fn connected(&mut self, node: &Node<'_>) -> Result<Made, TensorflowError> {
        let of = self.made(node, 0)?.clone();
        let weights = self.floats(node, 1)?.clone();
        let turned = [node.truth("transpose_a")?, node.truth("transpose_b")?];
        let turned = turned.contains(&Some(true));
        match weights.dims[..] {
            [inputs, outputs] if inputs == of.channels && of.sides.is_none() && !turned => {
                let weights = self.onnx.floats(&[inputs, outputs], &weights.floats);
                let name = self.onnx.node("MatMul", &[&of.name, &weights], &[]);
                Ok(Made {
                    name,
                    channels: outputs,
                    sides: None,
                })
            }
            _ => Err(TensorflowError::shape(
                node.name,
                "weights that do not fit the list it is given",
            )),
        }
    }

    /// Scale, offset, mean and variance of each channel, in two operations.
    fn normalised(&mut self, node: &Node<'_>) -> Result<Made, TensorflowError> {
        let of = self.made(node, 0)?.clone();
        let mut four = Vec::new();
        for at in 1..5 {
            let numbers = self.floats(node, at)?.floats.clone();
            if numbers.len() != of.channels {
                return Err(TensorflowError::shape(
                    node.name,
                    "not one number for each channel",
                ));
            }
            four.push(numbers);
        }
        // TensorFlow's value where the file says none.
        let epsilon = node.float("epsilon")?.unwrap_or(1e-4);
        let scale = |at: usize| four[0][at] / (four[3][at] + epsilon).sqrt();
        let scales: Vec<f32> = (0..of.channels).map(scale).collect();
        let offset = |at: usize| four[1][at] - four[2][at] * scales[at];
        let offsets: Vec<f32> = (0..of.channels).map(offset).collect();
        if node.truth("is_training")?.unwrap_or(true)
            || scales.iter().chain(&offsets).any(|n| !n.is_finite())
        {
            return Err(TensorflowError::shape(
                node.name,
                "a variance to be learnt, or none",
            ));
        }
        let scaled = self.each_channel(node, "Mul", of, &scales)?;
        self.each_channel(node, "Add", scaled, &offsets)
    }
}

/// A window that goes over an image.
struct Window {
    sides: [usize; 2],
    stride: usize,
    pads: [usize; 2],
}

impl Window {
    fn of(node: &Node<'_>, sides: [usize; 2]) -> Result<Self, TensorflowError> {
        let wrong = |what| TensorflowError::shape(node.name, what);
        let strides = node.integers("strides")?;
        let stride = match strides[..] {
            [1, down, across, 1] if down == across && (1..=8).contains(&down) => down as usize,
            _ => return Err(wrong("strides other than one for rows and columns")),
        };
        if !matches!(node.text("data_format")?, "" | "NHWC") {
            return Err(wrong("images with their channels first"));
        }
        if node.integers("dilations")?.iter().any(|step| *step != 1) {
            return Err(wrong("windows with gaps"));
        }
        let odd = sides.iter().all(|side| side % 2 == 1);
        let pads = match node.text("padding")? {
            "VALID" => [0, 0],
            "SAME" if stride == 1 && odd => sides.map(|side| side / 2),
            _ => return Err(wrong("a border that depends on the picture's size")),
        };
        Ok(Self {
            sides,
            stride,
            pads,
        })
    }

    /// Sides of what comes out.
    fn over(&self, node: &Node<'_>, of: &Made) -> Result<[usize; 2], TensorflowError> {
        let wrong =
            || TensorflowError::shape(node.name, "a window that does not fit what it is given");
        let image = of.sides.ok_or_else(wrong)?;
        let mut out = [0; 2];
        for (at, side) in out.iter_mut().enumerate() {
            let (padded, window) = (image[at] + 2 * self.pads[at], self.sides[at]);
            if window == 0 || padded < window {
                return Err(wrong());
            }
            *side = (padded - window) / self.stride + 1;
        }
        Ok(out)
    }

    fn settings(&self) -> Vec<(&'static str, Attribute)> {
        let list = |numbers: &[usize]| {
            Attribute::Integers(numbers.iter().map(|number| *number as i64).collect())
        };
        let [down, across] = self.pads;
        vec![
            ("kernel_shape", list(&self.sides)),
            ("strides", list(&[self.stride; 2])),
            ("pads", list(&[down, across, down, across])),
        ]
    }
}
