//! Writes a graph as an ONNX model file, for weights that come without one.

use super::tensor::FLOAT;
use super::wire::{put_bytes_field, put_fixed32_field, put_varint_field};
use super::{
    GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_NODE, GRAPH_OUTPUT, MODEL_GRAPH, shapeless, value_info,
};

/// ONNX intermediate representation and operator set of what is written.
const IR_VERSION: u64 = 8;
const OPSET: u64 = 13;
/// `TensorProto.DataType`.
const INT64: u64 = 7;

/// An attribute of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// One float.
    Float(f32),
    /// One integer.
    Integer(i64),
    /// Some integers.
    Integers(Vec<i64>),
}

/// One side of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side<'a> {
    /// This long.
    Fixed(usize),
    /// As long as each run makes it; the name is for the reader.
    Free(&'a str),
}

/// A graph that grows. Values are known by the names it gives them.
#[derive(Debug, Default)]
pub struct Writer {
    graph: Vec<u8>,
    names: usize,
}

impl Writer {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    /// An f32 input.
    pub fn input(&mut self, sides: &[Side<'_>]) -> String {
        let (name, mut shape) = (self.name(), Vec::new());
        for side in sides {
            let mut dim = Vec::new();
            match side {
                Side::Fixed(length) => put_varint_field(&mut dim, 1, *length as u64),
                Side::Free(name) => put_bytes_field(&mut dim, 2, name.as_bytes()),
            }
            put_bytes_field(&mut shape, 1, &dim);
        }
        let input = value_info(&name, Some(&shape));
        put_bytes_field(&mut self.graph, GRAPH_INPUT, &input);
        name
    }

    /// An f32 constant, row-major; `values` must be as many as `dims` say.
    pub fn floats(&mut self, dims: &[usize], values: &[f32]) -> String {
        debug_assert_eq!(dims.iter().product::<usize>(), values.len());
        let name = self.name();
        put_bytes_field(
            &mut self.graph,
            GRAPH_INITIALIZER,
            &tensor(&name, dims, values),
        );
        name
    }

    /// An i64 constant: a list, or a single number where `dims` is empty.
    pub fn integers(&mut self, dims: &[usize], values: &[i64]) -> String {
        debug_assert_eq!(dims.iter().product::<usize>(), values.len());
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let name = self.name();
        let tensor = tensor_of(INT64, &name, dims, &raw);
        put_bytes_field(&mut self.graph, GRAPH_INITIALIZER, &tensor);
        name
    }

    /// An operation of ONNX's own with one output, whose name is returned.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        let name = self.name();
        let node = node(operator, inputs, &name, attributes);
        put_bytes_field(&mut self.graph, GRAPH_NODE, &node);
        name
    }

    /// The model file, answering with `output` alone.
    pub fn finish(mut self, output: &str) -> Vec<u8> {
        put_bytes_field(&mut self.graph, 2, b"graph");
        put_bytes_field(&mut self.graph, GRAPH_OUTPUT, &shapeless(output));
        let (mut model, mut operators) = (Vec::with_capacity(self.graph.len() + 64), Vec::new());
        put_varint_field(&mut model, 1, IR_VERSION);
        put_varint_field(&mut operators, 2, OPSET);
        put_bytes_field(&mut model, 8, &operators);
        put_bytes_field(&mut model, MODEL_GRAPH, &self.graph);
        model
    }
}

/// `NodeProto` of one output: inputs 1, outputs 2, operator 4, attributes 5.
pub(super) fn node(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[(&str, Attribute)],
) -> Vec<u8> {
    let mut out = Vec::new();
    for input in inputs {
        put_bytes_field(&mut out, 1, input.as_bytes());
    }
    put_bytes_field(&mut out, 2, output.as_bytes());
    put_bytes_field(&mut out, 4, operator.as_bytes());
    for (attribute, value) in attributes {
        put_bytes_field(&mut out, 5, &attribute_bytes(attribute, value));
    }
    out
}

/// `TensorProto` of f32 numbers.
pub(super) fn tensor(name: &str, dims: &[usize], values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor_of(FLOAT, name, dims, &raw)
}

/// `TensorProto`: dims 1, type 2, name 8, bytes 9.
fn tensor_of(data_type: u64, name: &str, dims: &[usize], raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + 64);
    for dim in dims {
        put_varint_field(&mut out, 1, *dim as u64);
    }
    put_varint_field(&mut out, 2, data_type);
    put_bytes_field(&mut out, 8, name.as_bytes());
    put_bytes_field(&mut out, 9, raw);
    out
}

/// `AttributeProto`: name 1, float 2, integer 3, integers 8, type 20.
fn attribute_bytes(name: &str, value: &Attribute) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes_field(&mut out, 1, name.as_bytes());
    let kind = match value {
        Attribute::Float(number) => {
            put_fixed32_field(&mut out, 2, number.to_le_bytes());
            1
        }
        Attribute::Integer(number) => {
            put_varint_field(&mut out, 3, number.cast_unsigned());
            2
        }
        Attribute::Integers(numbers) => {
            for number in numbers {
                put_varint_field(&mut out, 8, number.cast_unsigned());
            }
            7
        }
    };
    put_varint_field(&mut out, 20, kind);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::Graph;

    #[test]
    fn what_is_written_reads_back() {
        let mut writer = Writer::default();
        let x = writer.input(&[Side::Fixed(1), Side::Free("frames")]);
        let w = writer.floats(&[2], &[0.5, -3.0]);
        let attributes = [
            ("axes", Attribute::Integers(vec![0, -1])),
            ("keepdims", Attribute::Integer(1)),
            ("epsilon", Attribute::Float(1e-5)),
        ];
        let sum = writer.node("Add", &[&x, &w], &[]);
        let mean = writer.node("ReduceMean", &[&sum], &attributes);
        let model = writer.finish(&mean);
        let graph = Graph::read(&model).unwrap();
        assert_eq!(
            (graph.input, graph.outputs.as_slice()),
            (x.as_str(), [mean.as_str()].as_slice())
        );
        assert_eq!(graph.constants[w.as_str()].values, [0.5, -3.0]);
        let [add, reduce] = graph.operations.as_slice() else {
            panic!("{:?}", graph.operations);
        };
        assert_eq!(
            (add.op, add.inputs.as_slice()),
            ("Add", [x.as_str(), &w].as_slice())
        );
        assert_eq!(reduce.integers("axes"), [0, -1]);
        assert_eq!(reduce.integer("keepdims", 0), 1);
        assert_eq!(reduce.float("epsilon", 0.0), 1e-5);
    }
}
