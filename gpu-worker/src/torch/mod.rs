//! Weights out of a PyTorch checkpoint, without Python and without unpickling.
//!
//! Protects against a checkpoint that is a program: a pickle may call anything.
//! What is read here knows the few steps of which a table of tensors consists
//! ([`pickle`]) and calls nothing; every length is compared before a byte is
//! touched. The file is an archive of stored, never compressed, members ([`zip`]).

mod pickle;
mod zip;

use std::collections::HashMap;

use pickle::{Kind, Tensor};

/// Why a checkpoint cannot be used. The file is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TorchError {
    /// Not an archive of stored members.
    #[error("checkpoint: {0}; fetch the file again")]
    Archive(&'static str),
    /// Not a table of tensors.
    #[error("checkpoint: {0}; only a plain table of tensors is read")]
    Pickle(String),
    /// A tensor is missing or has another shape, kind or length.
    #[error("checkpoint: tensor {0:?} is missing, or of another shape than its use")]
    Tensor(String),
}

/// Tensors by name, their numbers borrowed from the file.
#[derive(Debug)]
pub struct Weights<'a> {
    tensors: HashMap<&'a str, (Tensor<'a>, &'a [u8])>,
}

impl<'a> Weights<'a> {
    /// Reads the bytes of a `.pt` file in the archive format (PyTorch 1.6 and later).
    pub fn read(file: &'a [u8]) -> Result<Self, TorchError> {
        let members = zip::members(file)?;
        let table = members.iter().find_map(|(name, bytes)| {
            let folder = name.strip_suffix("data.pkl")?;
            Some((folder, *bytes))
        });
        let (folder, table) = table.ok_or(TorchError::Archive("it holds no data.pkl"))?;
        let mut tensors = HashMap::new();
        for (name, tensor) in pickle::tensors(table)? {
            let storage = members.get(format!("{folder}data/{}", tensor.storage).as_str());
            let bytes = storage.ok_or_else(|| TorchError::Tensor(name.to_owned()))?;
            tensors.insert(name, (tensor, *bytes));
        }
        Ok(Self { tensors })
    }

    /// The numbers of an f32 tensor of exactly this shape (row-major).
    pub fn floats(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, TorchError> {
        let misfit = || TorchError::Tensor(name.to_owned());
        let (tensor, bytes) = self.tensors.get(name).ok_or_else(misfit)?;
        if tensor.kind != Kind::Float || tensor.dims != dims {
            return Err(misfit());
        }
        let count = dims
            .iter()
            .try_fold(4usize, |product, dim| product.checked_mul(*dim));
        let count = count.ok_or_else(misfit)?;
        let start = tensor.offset.checked_mul(4).ok_or_else(misfit)?;
        let end = start.checked_add(count).ok_or_else(misfit)?;
        let (numbers, _) = bytes.get(start..end).ok_or_else(misfit)?.as_chunks::<4>();
        Ok(numbers.iter().map(|le| f32::from_le_bytes(*le)).collect())
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}

#[cfg(test)]
mod tests;
