//! Mends model files in memory, so that the bytes on disk stay the ones pinned
//! by digest while ONNX Runtime gets a graph it can run.
//!
//! Three mends, each only where it applies:
//! - constants that are also listed as graph inputs are no inputs;
//! - `DequantizeLinear` over constants becomes the f32 constant it stands for
//!   (blocked int8 is slower than f32 here, and older runtimes refuse it);
//! - a fixed input size becomes free in height and width, if asked.

mod graph;
mod slopes;
mod tensor;
mod wire;
mod write;

use std::collections::{HashMap, HashSet};

pub use graph::{Graph, Operation, Tensor};
pub use slopes::spell_out_slopes;
pub use tensor::TensorError;
pub(crate) use wire::packed_varints;
pub use wire::{Field, Fields, Value, WireError, fields};
pub use write::{Attribute, Side, Writer};

use tensor::{Constant, dequantise};
use wire::{put_bytes_field, put_varint_field};

const MODEL_GRAPH: u32 = 7;
const GRAPH_NODE: u32 = 1;
const GRAPH_INITIALIZER: u32 = 5;
const GRAPH_INPUT: u32 = 11;
const GRAPH_OUTPUT: u32 = 12;
const GRAPH_VALUE_INFO: u32 = 13;

/// What the caller wants of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputSize {
    /// As the file says.
    Fixed,
    /// Planar image of any height and width: `[1, 3, height, width]`.
    AnyImage,
}

/// A model that ONNX Runtime accepts, made from the bytes of a model file.
pub fn mend(model: &[u8], size: InputSize) -> Result<Vec<u8>, TensorError> {
    let mut out = Vec::with_capacity(model.len() * 4);
    for field in fields(model) {
        let field = field?;
        match field.bytes() {
            Some(graph) if field.number == MODEL_GRAPH => {
                put_bytes_field(&mut out, MODEL_GRAPH, &mend_graph(graph, size)?);
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    Ok(out)
}

fn mend_graph(graph: &[u8], size: InputSize) -> Result<Vec<u8>, TensorError> {
    let constants = constants(graph)?;
    let (folded, spent) = fold(graph, &constants)?;
    let mut out = Vec::with_capacity(graph.len() * 4);
    for field in fields(graph) {
        let field = field?;
        let Some(body) = field.bytes() else {
            out.extend_from_slice(field.raw);
            continue;
        };
        match field.number {
            GRAPH_NODE if is_folded(&Operation::read(body)?, &folded) => {}
            GRAPH_INITIALIZER if spent.contains(Constant::read(body)?.name) => {}
            GRAPH_INPUT if constants.contains_key(name_of(body)?) => {}
            GRAPH_INPUT if size == InputSize::AnyImage => {
                put_bytes_field(&mut out, GRAPH_INPUT, &any_image(name_of(body)?));
            }
            GRAPH_OUTPUT if size == InputSize::AnyImage => {
                put_bytes_field(&mut out, GRAPH_OUTPUT, &shapeless(name_of(body)?));
            }
            GRAPH_VALUE_INFO => {} // hints only, and stale after either mend
            _ => out.extend_from_slice(field.raw),
        }
    }
    for constant in folded.values() {
        put_bytes_field(&mut out, GRAPH_INITIALIZER, constant);
    }
    Ok(out)
}

fn constants(graph: &[u8]) -> Result<HashMap<&str, Constant<'_>>, TensorError> {
    let mut found = HashMap::new();
    for field in fields(graph) {
        let field = field?;
        if let (GRAPH_INITIALIZER, Some(body)) = (field.number, field.bytes()) {
            let constant = Constant::read(body)?;
            found.insert(constant.name, constant);
        }
    }
    Ok(found)
}

/// Names folded to f32 constants with their tensors, and the constants used up by that.
type Folded<'a> = (HashMap<&'a str, Vec<u8>>, HashSet<&'a str>);

fn fold<'a>(
    graph: &'a [u8],
    constants: &HashMap<&'a str, Constant<'a>>,
) -> Result<Folded<'a>, TensorError> {
    let (mut folded, mut spent) = (HashMap::new(), HashSet::new());
    for field in fields(graph) {
        let field = field?;
        let (GRAPH_NODE, Some(body)) = (field.number, field.bytes()) else {
            continue;
        };
        let node = Operation::read(body)?;
        let ("DequantizeLinear", [q, s, z], [output]) =
            (node.op, node.inputs.as_slice(), node.outputs.as_slice())
        else {
            continue;
        };
        let (Some(quantised), Some(scales), Some(zeros)) =
            (constants.get(q), constants.get(s), constants.get(z))
        else {
            continue;
        };
        let count = |name, absent| usize::try_from(node.integer(name, absent));
        let (axis, block) = (count("axis", 1), count("block_size", 0));
        let (axis, block) = (axis.unwrap_or(usize::MAX), block.unwrap_or(usize::MAX));
        if block == 0 {
            continue;
        }
        let tensor = dequantise(output, quantised, scales, zeros, axis, block)?;
        folded.insert(*output, tensor);
        spent.extend([*q, *s, *z]);
    }
    Ok((folded, spent))
}

fn is_folded(node: &Operation<'_>, folded: &HashMap<&str, Vec<u8>>) -> bool {
    node.op == "DequantizeLinear" && node.outputs.iter().all(|name| folded.contains_key(name))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn name_of(value_info: &[u8]) -> Result<&str, WireError> {
    for field in fields(value_info) {
        let field = field?;
        if let (1, Some(name)) = (field.number, field.bytes()) {
            return Ok(text(name));
        }
    }
    Ok("")
}

fn any_image(name: &str) -> Vec<u8> {
    let mut shape = Vec::new();
    for (number, parameter) in [
        (1, None),
        (3, None),
        (0, Some("height")),
        (0, Some("width")),
    ] {
        let mut dim = Vec::new();
        match parameter {
            None => put_varint_field(&mut dim, 1, number),
            Some(parameter) => put_bytes_field(&mut dim, 2, parameter.as_bytes()),
        }
        put_bytes_field(&mut shape, 1, &dim);
    }
    value_info(name, Some(&shape))
}

fn shapeless(name: &str) -> Vec<u8> {
    value_info(name, None)
}

fn value_info(name: &str, shape: Option<&[u8]>) -> Vec<u8> {
    let mut tensor = Vec::new();
    put_varint_field(&mut tensor, 1, 1);
    if let Some(shape) = shape {
        put_bytes_field(&mut tensor, 2, shape);
    }
    let mut kind = Vec::new();
    put_bytes_field(&mut kind, 1, &tensor);
    let mut out = Vec::new();
    put_bytes_field(&mut out, 1, name.as_bytes());
    put_bytes_field(&mut out, 2, &kind);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_mended_or_refused_without_a_crash(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = mend(&bytes, InputSize::AnyImage);
            let mut wrapped = Vec::new();
            put_bytes_field(&mut wrapped, MODEL_GRAPH, &bytes);
            let _ = mend(&wrapped, InputSize::Fixed);
        }
    }

    #[test]
    fn constants_listed_as_inputs_are_no_inputs_any_more() {
        let mut constant = Vec::new();
        put_bytes_field(&mut constant, 8, b"weight");
        let mut graph = Vec::new();
        put_bytes_field(&mut graph, GRAPH_INITIALIZER, &constant);
        put_bytes_field(&mut graph, GRAPH_INPUT, &shapeless("data"));
        put_bytes_field(&mut graph, GRAPH_INPUT, &shapeless("weight"));
        let mended = mend_graph(&graph, InputSize::Fixed).unwrap();
        let inputs: Vec<_> = fields(&mended)
            .map(Result::unwrap)
            .filter(|field| field.number == GRAPH_INPUT)
            .map(|field| name_of(field.bytes().unwrap()).unwrap().to_owned())
            .collect();
        assert_eq!(inputs, ["data"]);
    }
}
