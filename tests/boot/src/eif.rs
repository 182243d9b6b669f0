//! The measurements of an enclave image, computed from its bytes.
//!
//! Protects against trusting the packer, or the machine, with its own word: this
//! reads the finished file and shares no code with what made it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha384};

const MAGIC: &[u8] = b".eif";
/// Magic, version, flags, memory, processors, one reserved word.
const COUNT_AT: usize = 26;
const OFFSETS_AT: usize = 28;
const SECTIONS_MAX: usize = 32;
/// Type, flags, size.
const SECTION_HEADER: usize = 12;
const KERNEL: u16 = 1;
const COMMAND_LINE: u16 = 2;
const RAMDISK: u16 = 3;

/// What is measured of an image.
#[derive(Debug)]
pub(crate) struct Image {
    /// Kernel, then command line.
    boot: Vec<Vec<u8>>,
    ramdisks: Vec<Vec<u8>>,
}

impl Image {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Self::parse(&bytes).with_context(|| path.display().to_string())
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(
            bytes.starts_with(MAGIC),
            "no enclave image: it does not begin with .eif"
        );
        let count = usize::from(u16::from_be_bytes(array(bytes, COUNT_AT)?));
        ensure!(
            count <= SECTIONS_MAX,
            "{count} sections; images have at most {SECTIONS_MAX}"
        );
        let (mut kernel, mut command_line, mut ramdisks) = (None, None, Vec::new());
        for index in 0..count {
            let (kind, data) = section(bytes, index).with_context(|| format!("section {index}"))?;
            match kind {
                KERNEL => ensure!(kernel.replace(data).is_none(), "two kernels"),
                COMMAND_LINE => {
                    ensure!(command_line.replace(data).is_none(), "two command lines");
                }
                RAMDISK => ramdisks.push(data),
                _ => {}
            }
        }
        let boot = vec![
            kernel.context("no kernel")?,
            command_line.context("no command line")?,
        ];
        ensure!(!ramdisks.is_empty(), "no ramdisk");
        Ok(Self { boot, ramdisks })
    }

    /// Index to hexadecimal value: PCR 0 measures everything, 1 kernel, command
    /// line and first ramdisk, 2 the other ramdisks.
    pub(crate) fn pcrs(&self) -> BTreeMap<u8, String> {
        let (first, others) = self.ramdisks.split_at(1);
        let parts: [(u8, Vec<&Vec<u8>>); 3] = [
            (0, self.boot.iter().chain(&self.ramdisks).collect()),
            (1, self.boot.iter().chain(first).collect()),
            (2, others.iter().collect()),
        ];
        let extended = |(index, parts): (u8, Vec<&Vec<u8>>)| (index, extend(&parts));
        parts.into_iter().map(extended).collect()
    }
}

/// A register that was zero, extended once with the parts' digest.
fn extend(parts: &[&Vec<u8>]) -> String {
    let mut data = Sha384::new();
    parts.iter().for_each(|part| data.update(part));
    let mut register = Sha384::new();
    register.update([0; 48]);
    register.update(data.finalize());
    hex::encode(register.finalize())
}

fn section(bytes: &[u8], index: usize) -> Result<(u16, Vec<u8>)> {
    let offset = u64::from_be_bytes(array(bytes, OFFSETS_AT + 8 * index)?);
    let at = usize::try_from(offset)?;
    let kind = u16::from_be_bytes(array(bytes, at)?);
    let size = usize::try_from(u64::from_be_bytes(array(bytes, at.saturating_add(4))?))?;
    let start = at.saturating_add(SECTION_HEADER);
    let data = bytes.get(start..start.saturating_add(size));
    Ok((kind, data.context("it ends after the file")?.to_vec()))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let part = bytes.get(at..at.saturating_add(N));
    Ok(part.context("the file is too short")?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(sections: &[(u16, &[u8])]) -> Vec<u8> {
        let mut header = vec![0; 548];
        header[..4].copy_from_slice(MAGIC);
        header[COUNT_AT..COUNT_AT + 2].copy_from_slice(&(sections.len() as u16).to_be_bytes());
        let mut body = Vec::new();
        for (index, (kind, data)) in sections.iter().enumerate() {
            let offset = (548 + body.len()) as u64;
            let at = OFFSETS_AT + 8 * index;
            header[at..at + 8].copy_from_slice(&offset.to_be_bytes());
            body.extend(kind.to_be_bytes());
            body.extend([0, 0]);
            body.extend((data.len() as u64).to_be_bytes());
            body.extend(*data);
        }
        [header, body].concat()
    }

    fn pcr(text: &str) -> String {
        extend(&[&text.as_bytes().to_vec()])
    }

    #[test]
    fn registers_measure_what_the_machine_loads_and_nothing_else() {
        let sections: [(u16, &[u8]); 5] = [
            (KERNEL, b"kernel"),
            (COMMAND_LINE, b"words"),
            (5, b"metadata"),
            (RAMDISK, b"init"),
            (RAMDISK, b"enclave"),
        ];
        let pcrs = Image::parse(&image(&sections)).unwrap().pcrs();
        assert_eq!(pcrs[&0], pcr("kernelwordsinitenclave"));
        assert_eq!(pcrs[&1], pcr("kernelwordsinit"));
        assert_eq!(pcrs[&2], pcr("enclave"));
    }

    #[test]
    fn what_is_no_whole_image_is_refused() {
        let whole = image(&[(KERNEL, b"k"), (COMMAND_LINE, b"c"), (RAMDISK, b"r")]);
        Image::parse(&whole).unwrap();
        for length in 0..whole.len() {
            assert!(Image::parse(&whole[..length]).is_err(), "{length}");
        }
        let refused = |sections: &[(u16, &[u8])], why: &str| {
            let error = Image::parse(&image(sections)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        refused(&[(KERNEL, b"k"), (RAMDISK, b"r")], "no command line");
        refused(&[(KERNEL, b"k"), (KERNEL, b"k")], "two kernels");
        refused(&[(KERNEL, b"k"), (COMMAND_LINE, b"c")], "no ramdisk");
    }
}
