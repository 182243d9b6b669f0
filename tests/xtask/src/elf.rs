//! Whether a program is static, read from its ELF header.
//!
//! Protects the promise that the enclave and the auditor's program bring
//! everything with them: a program that names an interpreter has libraries
//! loaded into it from the machine it runs on.

use std::path::Path;

use anyhow::{Context, Result, ensure};

const PT_INTERP: u32 = 3;

/// How a program gets its libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linkage {
    /// Everything inside.
    Static,
    /// An interpreter loads libraries.
    Dynamic,
}

/// Reads the file's linkage.
pub(crate) fn linkage(path: &Path) -> Result<Linkage> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    linkage_of(&bytes).with_context(|| path.display().to_string())
}

fn linkage_of(bytes: &[u8]) -> Result<Linkage> {
    let is_elf64 = bytes.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]);
    ensure!(is_elf64, "not a 64-bit little-endian ELF program");
    let table = u64_at(bytes, 32)?;
    let size = u64::from(u16_at(bytes, 54)?);
    let count = u64::from(u16_at(bytes, 56)?);
    ensure!(size >= 56 && count > 0, "no program headers");
    for index in 0..count {
        let at = size
            .checked_mul(index)
            .and_then(|offset| offset.checked_add(table))
            .context("program headers out of range")?;
        if u32_at(bytes, at)? == PT_INTERP {
            return Ok(Linkage::Dynamic);
        }
    }
    Ok(Linkage::Static)
}

fn field<const N: usize>(bytes: &[u8], at: u64) -> Result<[u8; N]> {
    let at = usize::try_from(at)?;
    let end = at.checked_add(N).context("header out of range")?;
    let field = bytes.get(at..end).context("the file is cut short")?;
    Ok(field.try_into()?)
}

fn u16_at(bytes: &[u8], at: u64) -> Result<u16> {
    Ok(u16::from_le_bytes(field(bytes, at)?))
}

fn u32_at(bytes: &[u8], at: u64) -> Result<u32> {
    Ok(u32::from_le_bytes(field(bytes, at)?))
}

fn u64_at(bytes: &[u8], at: u64) -> Result<u64> {
    Ok(u64::from_le_bytes(field(bytes, at)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with program headers of these types.
    fn program(types: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56 * types.len()];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = types.len() as u8;
        for (index, kind) in types.iter().enumerate() {
            bytes[64 + 56 * index] = *kind as u8;
        }
        bytes
    }

    #[test]
    fn a_program_with_an_interpreter_is_dynamic_and_one_without_is_static() {
        assert_eq!(linkage_of(&program(&[6, 3, 1])).unwrap(), Linkage::Dynamic);
        assert_eq!(linkage_of(&program(&[1, 1, 2])).unwrap(), Linkage::Static);
    }

    #[test]
    fn this_test_program_is_read_as_the_system_sees_it() {
        let me = std::env::current_exe().unwrap();
        assert_eq!(linkage(&me).unwrap(), Linkage::Dynamic);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(linkage_of(b"#!/bin/sh").is_err());
        let mut cut = program(&[1, 3]);
        cut.truncate(100);
        assert!(linkage_of(&cut).is_err());
        let mut far = program(&[1]);
        far[32..40].fill(0xff);
        assert!(linkage_of(&far).is_err());
    }
}
