//! `PRelu` in operations that a processor does on many numbers at once.
//!
//! ONNX Runtime's own takes one number after another and branches on its sign, which
//! nobody can foretell in a picture: on a face that is half the time of an embedder
//! of 27 such layers. For a constant slope s, `PRelu(x)` is `x * s + Relu(x) * (1 - s)`,
//! the same but for rounding.

use std::collections::HashMap;

use super::graph::Operation;
use super::tensor::{Constant, TensorError};
use super::wire::{fields, put_bytes_field};
use super::write::{node, tensor};
use super::{GRAPH_INITIALIZER, GRAPH_NODE, MODEL_GRAPH, constants};

/// The model with every `PRelu` of a constant slope spelled out so. Others stay.
pub fn spell_out_slopes(model: &[u8]) -> Result<Vec<u8>, TensorError> {
    let mut out = Vec::with_capacity(model.len());
    for field in fields(model) {
        let field = field?;
        match field.bytes() {
            Some(graph) if field.number == MODEL_GRAPH => {
                put_bytes_field(&mut out, MODEL_GRAPH, &in_graph(graph)?);
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    Ok(out)
}

fn in_graph(graph: &[u8]) -> Result<Vec<u8>, TensorError> {
    let constants = constants(graph)?;
    let mut out = Vec::with_capacity(graph.len());
    for field in fields(graph) {
        let field = field?;
        let spelled = match field.bytes() {
            Some(body) if field.number == GRAPH_NODE => {
                spelled_out(&Operation::read(body)?, &constants)?
            }
            _ => None,
        };
        match spelled {
            Some(spelled) => out.extend_from_slice(&spelled),
            None => out.extend_from_slice(field.raw),
        }
    }
    Ok(out)
}

/// Fields of the graph that stand for the operation, if it is one of those.
fn spelled_out(
    operation: &Operation<'_>,
    constants: &HashMap<&str, Constant<'_>>,
) -> Result<Option<Vec<u8>>, TensorError> {
    let ("PRelu", "", [x, slope], [y]) = (
        operation.op,
        operation.domain,
        operation.inputs.as_slice(),
        operation.outputs.as_slice(),
    ) else {
        return Ok(None);
    };
    let Some(constant) = constants.get(slope) else {
        return Ok(None);
    };
    let slopes = constant.tensor()?;
    if slopes.values.is_empty() {
        return Ok(None);
    }
    let named = |part: &str| format!("{y}/{part}");
    let [rest, sloped, positive, rested] = ["rest", "sloped", "positive", "rested"].map(named);
    let rests: Vec<f32> = slopes.values.iter().map(|slope| 1.0 - slope).collect();
    let mut out = Vec::new();
    let rests = tensor(&rest, &slopes.dims, &rests);
    put_bytes_field(&mut out, GRAPH_INITIALIZER, &rests);
    for (operator, inputs, output) in [
        ("Mul", [*x, *slope].as_slice(), sloped.as_str()),
        ("Relu", &[*x], &positive),
        ("Mul", &[&positive, &rest], &rested),
        ("Add", &[&sloped, &rested], y),
    ] {
        let node = node(operator, inputs, output, &[]);
        put_bytes_field(&mut out, GRAPH_NODE, &node);
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{Graph, Side, Writer};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_spelled_out_or_refused_without_a_crash(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = spell_out_slopes(&bytes);
            let mut wrapped = Vec::new();
            put_bytes_field(&mut wrapped, MODEL_GRAPH, &bytes);
            let _ = spell_out_slopes(&wrapped);
        }
    }

    #[test]
    fn constant_slopes_are_spelled_out_and_others_stay() {
        let mut writer = Writer::default();
        let x = writer.input(&[Side::Fixed(1), Side::Fixed(2)]);
        let slopes = writer.floats(&[2, 1], &[0.25, 1.5]);
        let y = writer.node("PRelu", &[&x, &slopes], &[]);
        let z = writer.node("PRelu", &[&y, &x], &[]);
        let model = spell_out_slopes(&writer.finish(&z)).unwrap();
        let graph = Graph::read(&model).unwrap();
        let operations: Vec<&str> = graph.operations.iter().map(|found| found.op).collect();
        assert_eq!(operations, ["Mul", "Relu", "Mul", "Add", "PRelu"]);
        assert_eq!(graph.operations[3].outputs, [y.as_str()]);
        let rest = &graph.constants[format!("{y}/rest").as_str()];
        assert_eq!(
            (rest.dims.as_slice(), rest.values.as_slice()),
            ([2, 1].as_slice(), [0.75, -0.5].as_slice())
        );
    }
}
