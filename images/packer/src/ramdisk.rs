//! A ramdisk: one archive, compressed into one frame of Zstandard (RFC 8878), which the
//! kernel unpacks sooner than gzip, from fewer bytes.

use std::io::Read;

use zstd::bulk::Compressor;
use zstd::stream::read::Decoder;
use zstd::zstd_safe::CParameter;

use crate::cpio::{self, CpioError, Entry};

/// The most a ramdisk may unpack to.
const LIMIT: u64 = 4 << 30;
/// Beyond it a second of packing saves nothing worth a second.
const LEVEL: i32 = 19;

/// What is wrong with a ramdisk.
#[derive(Debug, thiserror::Error)]
pub enum RamdiskError {
    /// Its archive.
    #[error(transparent)]
    Archive(#[from] CpioError),
    /// Its compression.
    #[error("not one frame of Zstandard: {0}")]
    Compression(#[from] std::io::Error),
}

/// Packs `files` and the empty `folders`. The compressor is part of this program
/// (pinned in Cargo.lock), so equal files give equal bytes on every machine.
pub fn pack(files: &[Entry], folders: &[&str]) -> Result<Vec<u8>, RamdiskError> {
    let archive = cpio::write(files, folders)?;
    let mut frame = Compressor::new(LEVEL)?;
    frame.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(frame.compress(&archive)?)
}

/// The files of a ramdisk that [`pack`] wrote.
pub fn unpack(ramdisk: &[u8]) -> Result<Vec<Entry>, RamdiskError> {
    let mut frame = Decoder::with_buffer(ramdisk)?.single_frame();
    let mut archive = Vec::new();
    frame.by_ref().take(LIMIT).read_to_end(&mut archive)?;
    if !frame.finish().is_empty() {
        return Err(std::io::Error::other("bytes follow its end").into());
    }
    Ok(cpio::read(&archive)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, bytes: &[u8]) -> Entry {
        Entry {
            path: path.into(),
            executable: true,
            bytes: bytes.into(),
        }
    }

    #[test]
    fn a_ramdisk_gives_back_its_files_and_is_the_same_every_time() {
        let files = [file("bin/a", &[7; 100_000]), file("init", b"init")];
        let ramdisk = pack(&files, &["dev"]).unwrap();
        assert_eq!(ramdisk, pack(&files, &["dev"]).unwrap());
        assert_eq!(unpack(&ramdisk).unwrap(), files);
        // RFC 8878 section 3.1.1: a frame of known size with a checksum, no dictionary.
        assert_eq!(ramdisk[..4], [0x28, 0xb5, 0x2f, 0xfd]);
        assert_eq!(ramdisk[4] & 0b0000_0111, 0b100);
    }

    #[test]
    fn what_is_no_ramdisk_is_refused() {
        let ramdisk = pack(&[file("init", b"init")], &[]).unwrap();
        assert!(unpack(&ramdisk[..ramdisk.len() - 1]).is_err());
        assert!(unpack(&[&ramdisk[..], b"x"].concat()).is_err());
        assert!(unpack(b"").is_err());
    }
}
