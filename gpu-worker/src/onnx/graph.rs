//! A graph as nodes in order and f32 constants, for whoever runs it without ONNX Runtime.

use std::collections::HashMap;

use super::tensor::Constant;
use super::wire::{Field, Value, WireError, fields, packed_varints};
use super::{
    GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_NODE, GRAPH_OUTPUT, MODEL_GRAPH, TensorError, name_of,
    text,
};

/// One operation of a graph.
#[derive(Debug, Default)]
pub struct Operation<'a> {
    /// ONNX operator, such as `Conv`.
    pub op: &'a str,
    /// Names of what it takes, in order.
    pub inputs: Vec<&'a str>,
    /// Names of what it makes.
    pub outputs: Vec<&'a str>,
    /// Whose operator it is; empty for ONNX's own.
    pub domain: &'a str,
    pub(crate) integers: HashMap<&'a str, Vec<i64>>,
    pub(crate) floats: HashMap<&'a str, f32>,
    pub(crate) texts: HashMap<&'a str, &'a str>,
}

/// A constant: its shape, and its numbers if they are f32 (row-major).
#[derive(Debug, Clone, Default)]
pub struct Tensor {
    /// Shape.
    pub dims: Vec<usize>,
    /// Numbers; empty if they are of another type.
    pub values: Vec<f32>,
}

/// A whole graph.
#[derive(Debug)]
pub struct Graph<'a> {
    /// Operations, each after those it depends on (ONNX demands that order).
    pub operations: Vec<Operation<'a>>,
    /// Constants by name.
    pub constants: HashMap<&'a str, Tensor>,
    /// The first input that is no constant.
    pub input: &'a str,
    /// What it answers.
    pub outputs: Vec<&'a str>,
}

impl<'a> Graph<'a> {
    /// Reads a mended model file.
    pub fn read(model: &'a [u8]) -> Result<Self, TensorError> {
        let mut found = Self {
            operations: Vec::new(),
            constants: HashMap::new(),
            input: "",
            outputs: Vec::new(),
        };
        for field in fields(model) {
            let field = field?;
            if let (MODEL_GRAPH, Some(body)) = (field.number, field.bytes()) {
                found.take(body)?;
            }
        }
        Ok(found)
    }

    fn take(&mut self, graph: &'a [u8]) -> Result<(), TensorError> {
        for field in fields(graph) {
            let field = field?;
            let Some(body) = field.bytes() else { continue };
            match field.number {
                GRAPH_NODE => self.operations.push(Operation::read(body)?),
                GRAPH_INITIALIZER => {
                    let constant = Constant::read(body)?;
                    self.constants.insert(constant.name, constant.tensor()?);
                }
                GRAPH_OUTPUT => self.outputs.push(name_of(body)?),
                GRAPH_INPUT if self.input.is_empty() => self.input = name_of(body)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Operation<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut operation = Self::default();
        for field in fields(message) {
            let field = field?;
            let Some(body) = field.bytes() else { continue };
            match field.number {
                1 => operation.inputs.push(text(body)),
                2 => operation.outputs.push(text(body)),
                4 => operation.op = text(body),
                5 => operation.attribute(body)?,
                7 => operation.domain = text(body),
                _ => {}
            }
        }
        Ok(operation)
    }

    /// `AttributeProto`: name 1, float 2, integer 3, text 4, integers 8 (packed or not).
    fn attribute(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        let (mut name, mut integers) = ("", Vec::new());
        let (mut float, mut said) = (None, None);
        for field in fields(message) {
            match field? {
                Field {
                    number: 1,
                    value: Value::Bytes(bytes),
                    ..
                } => name = text(bytes),
                Field {
                    number: 4,
                    value: Value::Bytes(bytes),
                    ..
                } => said = Some(text(bytes)),
                Field {
                    number: 2,
                    value: Value::Fixed32(bytes),
                    ..
                } => float = Some(f32::from_le_bytes(bytes)),
                Field {
                    number: 3 | 8,
                    value: Value::Varint(value),
                    ..
                } => integers.push(value.cast_signed()),
                Field {
                    number: 8,
                    value: Value::Bytes(packed),
                    ..
                } => integers.extend(packed_varints(packed)?.into_iter().map(u64::cast_signed)),
                _ => {}
            }
        }
        if let Some(float) = float {
            self.floats.insert(name, float);
        }
        if let Some(said) = said {
            self.texts.insert(name, said);
        }
        self.set(name, integers);
        Ok(())
    }

    /// Gives an attribute its integers.
    pub fn set(&mut self, name: &'a str, integers: Vec<i64>) {
        self.integers.insert(name, integers);
    }

    /// An attribute's text; empty if it is absent.
    pub fn text(&self, name: &str) -> &'a str {
        self.texts.get(name).copied().unwrap_or_default()
    }

    /// An attribute's integers; empty if it is absent.
    pub fn integers(&self, name: &str) -> &[i64] {
        self.integers.get(name).map_or(&[], Vec::as_slice)
    }

    /// An attribute's integer.
    pub fn integer(&self, name: &str, absent: i64) -> i64 {
        self.integers(name).first().copied().unwrap_or(absent)
    }

    /// An attribute's float.
    pub fn float(&self, name: &str, absent: f32) -> f32 {
        self.floats.get(name).copied().unwrap_or(absent)
    }
}
