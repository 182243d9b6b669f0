//! The members of an archive that compresses none of them (APPNOTE 6.3.10,
//! 4.3.7, 4.3.12 and 4.3.16).

use std::collections::HashMap;

use super::TorchError;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
/// Bytes of the end record without its comment, and of either header without its names.
const END_BYTES: usize = 22;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
/// An end record stands within its own length and the longest comment of the end.
const COMMENT_MAX: usize = u16::MAX as usize;

/// Every member's bytes by its name.
pub(super) fn members(file: &[u8]) -> Result<HashMap<&str, &[u8]>, TorchError> {
    let end = end_record(file).ok_or(TorchError::Archive("it is no archive"))?;
    let count = number::<2>(file, end + 10)?;
    let mut at = number::<4>(file, end + 16)?;
    let mut found = HashMap::new();
    for _ in 0..count {
        let header = slice(file, at, CENTRAL_BYTES)?;
        if !header.starts_with(CENTRAL) {
            return Err(TorchError::Archive("its directory is broken"));
        }
        let compressed = number::<2>(header, 10)? != 0 || number::<2>(header, 8)? & 1 != 0;
        let (packed, size) = (number::<4>(header, 20)?, number::<4>(header, 24)?);
        if compressed || packed != size {
            return Err(TorchError::Archive("a member is compressed or encrypted"));
        }
        let name = slice(file, at + CENTRAL_BYTES, number::<2>(header, 28)?)?;
        let name = std::str::from_utf8(name);
        let name = name.map_err(|_| TorchError::Archive("a member's name is not UTF-8"))?;
        let bytes = member(file, number::<4>(header, 42)?, size)?;
        if found.insert(name, bytes).is_some() {
            return Err(TorchError::Archive("a member stands in it twice"));
        }
        let names = number::<2>(header, 28)? + number::<2>(header, 30)?;
        at += CENTRAL_BYTES + names + number::<2>(header, 32)?;
    }
    Ok(found)
}

fn end_record(file: &[u8]) -> Option<usize> {
    let last = file.len().checked_sub(END_BYTES)?;
    let first = last.saturating_sub(COMMENT_MAX);
    (first..=last).rev().find(|at| file[*at..].starts_with(END))
}

fn member(file: &[u8], at: usize, size: usize) -> Result<&[u8], TorchError> {
    let header = slice(file, at, LOCAL_BYTES)?;
    if !header.starts_with(LOCAL) {
        return Err(TorchError::Archive(
            "a member does not stand where it should",
        ));
    }
    let names = number::<2>(header, 26)? + number::<2>(header, 28)?;
    slice(file, at + LOCAL_BYTES + names, size)
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], TorchError> {
    let end = at.checked_add(length);
    let found = end.and_then(|end| bytes.get(at..end));
    found.ok_or(TorchError::Archive("it ends too soon"))
}

/// A little-endian number of `N` bytes, at most four.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<usize, TorchError> {
    let digits = slice(bytes, at, N)?;
    let digits = digits.iter().rev();
    Ok(digits.fold(0, |number, digit| number << 8 | usize::from(*digit)))
}
