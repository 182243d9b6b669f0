//! Writes a graph: just enough of ONNX (operators of version 13) for networks that
//! come in another format.

use super::tensor::FLOAT;
use super::wire::{put_bytes_field, put_varint_field};
use super::{
    GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_NODE, GRAPH_OUTPUT, MODEL_GRAPH, shapeless, value_info,
};

/// ONNX `TensorProto.DataType` INT64.
const INT64: u64 = 7;
/// ONNX `AttributeProto.AttributeType` INTS.
const INTS: u64 = 7;
/// Version of the format.
const IR_VERSION: u64 = 8;
/// Version of the operators.
const OPERATORS: u64 = 13;

/// A graph under construction.
#[derive(Debug, Default)]
pub struct Writer {
    graph: Vec<u8>,
}

impl Writer {
    /// An input of f32 with its shape.
    pub fn input(&mut self, name: &str, dims: &[usize]) {
        let mut shape = Vec::new();
        for size in dims {
            let mut dim = Vec::new();
            put_varint_field(&mut dim, 1, *size as u64);
            put_bytes_field(&mut shape, 1, &dim);
        }
        put_bytes_field(
            &mut self.graph,
            GRAPH_INPUT,
            &value_info(name, Some(&shape)),
        );
    }

    /// An output of f32, its shape left to follow.
    pub fn output(&mut self, name: &str) {
        put_bytes_field(&mut self.graph, GRAPH_OUTPUT, &shapeless(name));
    }

    /// A constant of f32, row-major.
    pub fn numbers(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        let raw: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.constant(name, FLOAT, dims, &raw);
    }

    /// A constant of 64-bit integers.
    pub fn integers(&mut self, name: &str, dims: &[usize], values: &[i64]) {
        let raw: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.constant(name, INT64, dims, &raw);
    }

    fn constant(&mut self, name: &str, data_type: u64, dims: &[usize], raw: &[u8]) {
        let mut tensor = Vec::with_capacity(raw.len() + 64);
        for size in dims {
            put_varint_field(&mut tensor, 1, *size as u64);
        }
        put_varint_field(&mut tensor, 2, data_type);
        put_bytes_field(&mut tensor, 8, name.as_bytes());
        put_bytes_field(&mut tensor, 9, raw);
        put_bytes_field(&mut self.graph, GRAPH_INITIALIZER, &tensor);
    }

    /// An operation of one output; settings are lists of integers.
    pub fn node(&mut self, op: &str, inputs: &[&str], output: &str, settings: &[(&str, &[i64])]) {
        let mut node = Vec::new();
        for input in inputs {
            put_bytes_field(&mut node, 1, input.as_bytes());
        }
        put_bytes_field(&mut node, 2, output.as_bytes());
        put_bytes_field(&mut node, 3, output.as_bytes());
        put_bytes_field(&mut node, 4, op.as_bytes());
        for (name, values) in settings {
            let mut attribute = Vec::new();
            put_bytes_field(&mut attribute, 1, name.as_bytes());
            for value in *values {
                put_varint_field(&mut attribute, 8, value.cast_unsigned());
            }
            put_varint_field(&mut attribute, 20, INTS);
            put_bytes_field(&mut node, 5, &attribute);
        }
        put_bytes_field(&mut self.graph, GRAPH_NODE, &node);
    }

    /// The model file.
    pub fn finish(mut self) -> Vec<u8> {
        put_bytes_field(&mut self.graph, 2, b"graph");
        let mut operators = Vec::new();
        put_varint_field(&mut operators, 2, OPERATORS);
        let mut model = Vec::with_capacity(self.graph.len() + 32);
        put_varint_field(&mut model, 1, IR_VERSION);
        put_bytes_field(&mut model, MODEL_GRAPH, &self.graph);
        put_bytes_field(&mut model, 8, &operators);
        model
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::Graph;

    #[test]
    fn what_is_written_reads_back() {
        let mut writer = Writer::default();
        writer.input("face", &[1, 3, 5, 5]);
        writer.numbers("w", &[2, 1], &[0.5, -3.0]);
        writer.integers("pads", &[2], &[0, -1]);
        writer.node("Conv", &["face", "w"], "y", &[("strides", &[2, 2])]);
        writer.output("y");
        let model = writer.finish();
        let graph = Graph::read(&model).unwrap();
        assert_eq!(
            (graph.input, graph.outputs.as_slice()),
            ("face", ["y"].as_slice())
        );
        assert_eq!(graph.constants["w"].values, [0.5, -3.0]);
        assert_eq!(graph.constants["pads"].dims, [2]);
        let conv = &graph.operations[0];
        assert_eq!(
            (conv.op, conv.inputs.as_slice()),
            ("Conv", ["face", "w"].as_slice())
        );
        assert_eq!(conv.integers("strides"), [2, 2]);
    }
}
