//! A frozen TensorFlow graph as nodes in order.
//!
//! Protects against a file that lies about its own lengths: fields are borrowed, every
//! length is checked against what is left, and nothing is allocated by a declared size
//! but up to 65,536 numbers where one stands for all.
//!
//! Source: TensorFlow's `graph.proto`, `node_def.proto`, `attr_value.proto`,
//! `tensor.proto` and `tensor_shape.proto`; the numbers below are their fields.

use std::collections::HashMap;

use super::TensorflowError;
use crate::onnx::{Field, Value, fields, packed_varints};

/// `DataType`.
const FLOAT: u64 = 1;
const INT32: u64 = 3;
/// Most numbers that one stands for.
const REPEATED_MAX: usize = 65_536;

/// One `NodeDef`.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) op: &'a str,
    pub(super) inputs: Vec<&'a str>,
    attributes: HashMap<&'a str, &'a [u8]>,
}

/// A constant; the list of the other type is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Array {
    pub(super) dims: Vec<usize>,
    pub(super) floats: Vec<f32>,
    pub(super) integers: Vec<i32>,
}

/// `GraphDef`: nodes 1.
pub(super) fn nodes(file: &[u8]) -> Result<Vec<Node<'_>>, TensorflowError> {
    let mut found = Vec::new();
    for field in fields(file) {
        let field = field?;
        if let (1, Some(body)) = (field.number, field.bytes()) {
            found.push(Node::read(body)?);
        }
    }
    Ok(found)
}

impl<'a> Node<'a> {
    /// `NodeDef`: name 1, op 2, inputs 3, attributes 5 (key 1, value 2).
    fn read(message: &'a [u8]) -> Result<Self, TensorflowError> {
        let mut node = Self::default();
        for field in fields(message) {
            let field = field?;
            let Some(body) = field.bytes() else { continue };
            match field.number {
                1 => node.name = text(body),
                2 => node.op = text(body),
                // What must only have run before gives it nothing.
                3 if text(body).starts_with('^') => {}
                3 => node.inputs.push(output_of(text(body))),
                5 => {
                    let (key, value) = (part(body, 1)?, part(body, 2)?);
                    node.attributes.insert(text(key), value);
                }
                _ => {}
            }
        }
        Ok(node)
    }

    fn attribute(&self, name: &str) -> &'a [u8] {
        self.attributes.get(name).copied().unwrap_or_default()
    }

    /// `AttrValue`: text 2. Empty if absent.
    pub(super) fn text(&self, name: &str) -> Result<&'a str, TensorflowError> {
        Ok(text(part(self.attribute(name), 2)?))
    }

    /// `AttrValue`: list 1 of integers 3, packed or not. Empty if absent.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<u64>, TensorflowError> {
        numbers(part(self.attribute(name), 1)?, 3)
    }

    /// `AttrValue`: float 4.
    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, TensorflowError> {
        let float = |field: &Field<'_>| match field.value {
            Value::Fixed32(bytes) if field.number == 4 => Some(f32::from_le_bytes(bytes)),
            _ => None,
        };
        first(self.attribute(name), float)
    }

    /// `AttrValue`: truth 5.
    pub(super) fn truth(&self, name: &str) -> Result<Option<bool>, TensorflowError> {
        let truth = |field: &Field<'_>| field.varint().filter(|_| field.number == 5);
        Ok(first(self.attribute(name), truth)?.map(|number| number != 0))
    }

    /// `AttrValue`: tensor 8, of a `Const`.
    pub(super) fn constant(&self) -> Result<Array, TensorflowError> {
        let mut array = tensor(part(self.attribute("value"), 8)?)?;
        let dims = array.dims.iter();
        let count = dims.fold(1usize, |all, dim| all.saturating_mul(*dim));
        // One number said may stand for all.
        if let ([float], 2..=REPEATED_MAX) = (array.floats.as_slice(), count) {
            array.floats = vec![*float; count];
        }
        if count != array.floats.len() + array.integers.len() {
            return Err(TensorflowError::shape(
                self.name,
                "numbers that do not fill its shape",
            ));
        }
        Ok(array)
    }
}

/// `TensorProto`: type 1, shape 2, bytes 4, floats 5, integers 7.
fn tensor(message: &[u8]) -> Result<Array, TensorflowError> {
    let kind = first(message, |field| {
        field.varint().filter(|_| field.number == 1)
    })?;
    let dims = dims(part(message, 2)?)?;
    let content = part(message, 4)?;
    let words = content.as_chunks::<4>().0;
    let (mut floats, mut integers) = (Vec::new(), Vec::new());
    match kind {
        Some(FLOAT) if content.is_empty() => {
            for field in fields(message) {
                match field? {
                    Field {
                        number: 5,
                        value: Value::Fixed32(bytes),
                        ..
                    } => {
                        floats.push(f32::from_le_bytes(bytes));
                    }
                    Field {
                        number: 5,
                        value: Value::Bytes(packed),
                        ..
                    } => {
                        let packed = packed.as_chunks::<4>().0;
                        floats.extend(packed.iter().map(|bytes| f32::from_le_bytes(*bytes)));
                    }
                    _ => {}
                }
            }
        }
        Some(FLOAT) => floats.extend(words.iter().map(|bytes| f32::from_le_bytes(*bytes))),
        Some(INT32) if content.is_empty() => {
            let values = numbers(message, 7)?;
            integers.extend(values.iter().map(|value| *value as i32));
        }
        Some(INT32) => integers.extend(words.iter().map(|bytes| i32::from_le_bytes(*bytes))),
        _ => {}
    }
    Ok(Array {
        dims,
        floats,
        integers,
    })
}

/// `TensorShapeProto`: dims 2, each with its size 1.
fn dims(message: &[u8]) -> Result<Vec<usize>, TensorflowError> {
    let mut found = Vec::new();
    for field in fields(message) {
        let field = field?;
        if let (2, Some(body)) = (field.number, field.bytes()) {
            let size = first(body, |field| field.varint().filter(|_| field.number == 1))?;
            found.push(usize::try_from(size.unwrap_or_default()).unwrap_or(usize::MAX));
        }
    }
    Ok(found)
}

/// The first thing that `of` finds.
fn first<T>(
    message: &[u8],
    of: impl Fn(&Field<'_>) -> Option<T>,
) -> Result<Option<T>, TensorflowError> {
    for field in fields(message) {
        if let Some(found) = of(&field?) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A field that holds bytes; empty if absent.
fn part(message: &[u8], number: u32) -> Result<&[u8], TensorflowError> {
    for field in fields(message) {
        let field = field?;
        if let (true, Some(body)) = (field.number == number, field.bytes()) {
            return Ok(body);
        }
    }
    Ok(&[])
}

/// Varints of one field, packed or not.
fn numbers(message: &[u8], number: u32) -> Result<Vec<u64>, TensorflowError> {
    let mut found = Vec::new();
    for field in fields(message) {
        match field? {
            Field {
                number: at,
                value: Value::Varint(value),
                ..
            } if at == number => {
                found.push(value);
            }
            Field {
                number: at,
                value: Value::Bytes(packed),
                ..
            } if at == number => {
                found.extend(packed_varints(packed)?);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// `name:0` is the first output of `name`, as `name` alone is.
fn output_of(name: &str) -> &str {
    name.strip_suffix(":0").unwrap_or(name)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
