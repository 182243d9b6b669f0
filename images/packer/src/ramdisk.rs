//! A ramdisk: one archive, compressed with gzip without name or time.

use std::io::{Read, Write};

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use crate::cpio::{self, CpioError, Entry};

/// The most a ramdisk may unpack to.
const LIMIT: u64 = 4 << 30;

/// What is wrong with a ramdisk.
#[derive(Debug, thiserror::Error)]
pub enum RamdiskError {
    /// Its archive.
    #[error(transparent)]
    Archive(#[from] CpioError),
    /// Its compression.
    #[error("not one gzip stream: {0}")]
    Compression(#[from] std::io::Error),
}

/// Packs `files` and the empty `folders`. The compressor is part of this program
/// (pinned in Cargo.lock), so equal files give equal bytes on every machine.
pub fn pack(files: &[Entry], folders: &[&str]) -> Result<Vec<u8>, RamdiskError> {
    let archive = cpio::write(files, folders)?;
    let mut gzip: GzEncoder<Vec<u8>> = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(&archive)?;
    Ok(gzip.finish()?)
}

/// The files of a ramdisk that [`pack`] wrote.
pub fn unpack(ramdisk: &[u8]) -> Result<Vec<Entry>, RamdiskError> {
    let mut gzip = GzDecoder::new(ramdisk);
    let mut archive = Vec::new();
    gzip.by_ref().take(LIMIT).read_to_end(&mut archive)?;
    if !gzip.into_inner().is_empty() {
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
        // No name, no time, no operating system in the header of the stream.
        assert_eq!(ramdisk[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    }

    #[test]
    fn what_is_no_ramdisk_is_refused() {
        let ramdisk = pack(&[file("init", b"init")], &[]).unwrap();
        assert!(unpack(&ramdisk[..ramdisk.len() - 1]).is_err());
        assert!(unpack(&[&ramdisk[..], b"x"].concat()).is_err());
        assert!(unpack(b"").is_err());
    }
}
