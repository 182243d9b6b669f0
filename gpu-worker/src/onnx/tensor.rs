//! Constant tensors of a graph: read, and unpacked from blocked int8 to f32.
//!
//! Protects against shapes that do not match their data: every product is
//! checked and every length compared before a value is touched.

use super::wire::{Field, Value, WireError, fields, packed_varints};
use super::{Tensor, write};

/// ONNX `TensorProto.DataType` FLOAT.
pub(super) const FLOAT: u64 = 1;
/// ONNX `TensorProto.DataType` INT8.
const INT8: u64 = 3;

/// Why a constant could not be used. The file is at fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TensorError {
    /// Not a protobuf message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Type, shape and data of a constant do not agree.
    #[error("model file: constant {0:?} has a type, shape or length that does not fit its use")]
    Shape(String),
}

/// One `TensorProto`, its payload borrowed.
#[derive(Debug, Default)]
pub(crate) struct Constant<'a> {
    pub(crate) name: &'a str,
    dims: Vec<usize>,
    data_type: u64,
    raw: &'a [u8],
    packed: &'a [u8],
}

impl<'a> Constant<'a> {
    pub(crate) fn read(message: &'a [u8]) -> Result<Self, TensorError> {
        let mut constant = Constant::default();
        for field in fields(message) {
            constant.take(field?)?;
        }
        Ok(constant)
    }

    fn take(&mut self, field: Field<'a>) -> Result<(), TensorError> {
        match (field.number, field.value) {
            (1, Value::Varint(dim)) => self.dims.push(self.dim(dim)?),
            (1, Value::Bytes(packed)) => {
                for dim in packed_varints(packed)? {
                    self.dims.push(self.dim(dim)?);
                }
            }
            (2, Value::Varint(data_type)) => self.data_type = data_type,
            (8, Value::Bytes(name)) => self.name = std::str::from_utf8(name).unwrap_or_default(),
            (4, Value::Bytes(packed)) => self.packed = packed,
            (9, Value::Bytes(raw)) => self.raw = raw,
            _ => {}
        }
        Ok(())
    }

    fn dim(&self, dim: u64) -> Result<usize, TensorError> {
        u32::try_from(dim)
            .map(|dim| dim as usize)
            .map_err(|_| self.misfit())
    }

    fn misfit(&self) -> TensorError {
        TensorError::Shape(self.name.to_owned())
    }

    fn elements(&self) -> Result<usize, TensorError> {
        self.dims
            .iter()
            .try_fold(1usize, |product, dim| product.checked_mul(*dim))
            .ok_or_else(|| self.misfit())
    }

    fn int8(&self) -> Result<&'a [u8], TensorError> {
        if self.data_type != INT8 || self.raw.len() != self.elements()? {
            return Err(self.misfit());
        }
        Ok(self.raw)
    }

    /// Shape and numbers; no numbers where they are not f32.
    pub(super) fn tensor(&self) -> Result<Tensor, TensorError> {
        let values = match self.data_type {
            FLOAT => self.float()?,
            _ => Vec::new(),
        };
        Ok(Tensor {
            dims: self.dims.clone(),
            values,
        })
    }

    fn float(&self) -> Result<Vec<f32>, TensorError> {
        let expected = self
            .elements()?
            .checked_mul(4)
            .ok_or_else(|| self.misfit())?;
        // `raw_data`, or the packed `float_data` with the same bytes in it.
        let bytes = if self.raw.is_empty() {
            self.packed
        } else {
            self.raw
        };
        if self.data_type != FLOAT || bytes.len() != expected {
            return Err(self.misfit());
        }
        let (values, _) = bytes.as_chunks::<4>();
        Ok(values
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect())
    }
}

/// `DequantizeLinear` over constants: `(q - zero) * scale`, one scale and zero
/// point per `block` elements along `axis`. Returns a FLOAT `TensorProto` named `name`.
pub(crate) fn dequantise(
    name: &str,
    quantised: &Constant<'_>,
    scales: &Constant<'_>,
    zeros: &Constant<'_>,
    axis: usize,
    block: usize,
) -> Result<Vec<u8>, TensorError> {
    let (q, scale, zero) = (quantised.int8()?, scales.float()?, zeros.int8()?);
    let length = *quantised.dims.get(axis).ok_or_else(|| quantised.misfit())?;
    if block == 0 || length == 0 {
        return Err(quantised.misfit());
    }
    let blocks = length.div_ceil(block);
    let mut expected = quantised.dims.clone();
    expected[axis] = blocks;
    if scales.dims != expected || zeros.dims != expected {
        return Err(scales.misfit());
    }
    let inner: usize = quantised.dims[axis + 1..].iter().product();
    let mut values = Vec::with_capacity(q.len());
    for (at, value) in q.iter().enumerate() {
        let (outer, along, within) = (at / (length * inner), at / inner % length, at % inner);
        let group = (outer * blocks + along / block) * inner + within;
        let difference = i32::from(*value as i8) - i32::from(zero[group] as i8);
        values.push(difference as f32 * scale[group]);
    }
    Ok(write::tensor(name, &quantised.dims, &values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::wire::{put_bytes_field, put_varint_field};

    fn tensor(name: &str, dims: &[usize], data_type: u64, raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for dim in dims {
            put_varint_field(&mut out, 1, *dim as u64);
        }
        put_varint_field(&mut out, 2, data_type);
        put_bytes_field(&mut out, 8, name.as_bytes());
        put_bytes_field(&mut out, 9, raw);
        out
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn each_block_uses_its_own_scale_and_zero_point() {
        let q = tensor("w", &[2, 3], INT8, &[1, 2, 3, 0xff, 0xfe, 0xfd]);
        let s = tensor("s", &[2, 2], FLOAT, &floats(&[0.5, 2.0, 1.0, 10.0]));
        let z = tensor("z", &[2, 2], INT8, &[0, 1, 0xff, 0]);
        let (q, s, z) = (
            Constant::read(&q).unwrap(),
            Constant::read(&s).unwrap(),
            Constant::read(&z).unwrap(),
        );
        let out = dequantise("f", &q, &s, &z, 1, 2).unwrap();
        let read = Constant::read(&out).unwrap();
        assert_eq!((read.name, read.dims.as_slice()), ("f", [2, 3].as_slice()));
        assert_eq!(read.float().unwrap(), [0.5, 1.0, 4.0, 0.0, -1.0, -30.0]);
        // blocks along the first axis: one scale per column here
        let s = tensor("s", &[1, 3], FLOAT, &floats(&[1.0, 2.0, 3.0]));
        let z = tensor("z", &[1, 3], INT8, &[0, 0, 0]);
        let (s, z) = (Constant::read(&s).unwrap(), Constant::read(&z).unwrap());
        let out = dequantise("f", &q, &s, &z, 0, 64).unwrap();
        let read = Constant::read(&out).unwrap().float().unwrap();
        assert_eq!(read, [1.0, 4.0, 9.0, -1.0, -4.0, -9.0]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let q = tensor("w", &[2, 3], INT8, &[0; 5]);
        let s = tensor("s", &[2, 2], FLOAT, &floats(&[1.0; 4]));
        let z = tensor("z", &[2, 1], INT8, &[0; 2]);
        let (short, s, z) = (
            Constant::read(&q).unwrap(),
            Constant::read(&s).unwrap(),
            Constant::read(&z).unwrap(),
        );
        let whole = tensor("w", &[2, 3], INT8, &[0; 6]);
        let whole = Constant::read(&whole).unwrap();
        for (q, axis, block) in [
            (&short, 1, 2),
            (&whole, 1, 2),
            (&whole, 2, 2),
            (&whole, 1, 0),
        ] {
            assert!(dequantise("f", q, &s, &z, axis, block).is_err());
        }
        let endless = tensor("w", &[u32::MAX as usize; 4], INT8, &[]);
        assert!(Constant::read(&endless).unwrap().int8().is_err());
    }
}
