//! Blobs under the digest of their bytes, and the pointer to the newest snapshots.
//!
//! Protects against a snapshot that is half there: a blob gets its name only
//! once its bytes are durable, the pointer names it only after that, and what
//! the pointer no longer needs goes only after the pointer is durable. Rot is
//! found by the digest and said, so that the enclave can take another way.

use std::collections::BTreeSet;
use std::io;

use redoubt_attestation::encode;
use redoubt_shared::store::BLOB_MAX;

use super::Refusal;
use super::disk::{Disk, UNFINISHED, read_whole, replace};

/// Folder of the blobs.
pub const FOLDER: &str = "blobs";
/// File with the pointer.
pub const POINTER: &str = "snapshot";

const MAGIC: [u8; 8] = *b"RDBTSNP\0";
const VERSION: u32 = 1;
const HEAD_LEN: usize = 16;
const CRC_LEN: usize = 4;
/// Most snapshots a pointer names.
pub const LATEST_MAX: usize = 64;

/// A blob's name: SHA-256 of its bytes.
pub type Name = [u8; 32];

fn sha256(bytes: &[u8]) -> Name {
    *encode::sha256(&[bytes]).as_bytes()
}

/// Makes a blob durable under its name.
pub(super) fn put(disk: &dyn Disk, name: Name, bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() > BLOB_MAX {
        return Err(Refusal::BlobTooLarge(bytes.len()));
    }
    if sha256(bytes) != name {
        return Err(Refusal::Misnamed { name });
    }
    let folder = disk.folder(FOLDER, true)?;
    let file = hex::encode(name);
    if read_whole(&*folder, &file, BLOB_MAX).is_ok_and(|kept| kept.as_deref() == Some(bytes)) {
        // A killed process may have left bytes or a name that only the cache holds.
        folder.open(&file, false)?.sync_data()?;
        return Ok(folder.sync_dir()?);
    }
    Ok(replace(&*folder, &file, bytes)?)
}

/// A blob by its name.
pub(super) fn get(disk: &dyn Disk, name: Name) -> Result<Vec<u8>, Refusal> {
    let kept = disk
        .folder(FOLDER, false)
        .and_then(|folder| read_whole(&*folder, &hex::encode(name), BLOB_MAX));
    match kept {
        Ok(Some(bytes)) if sha256(&bytes) == name => Ok(bytes),
        Ok(Some(_)) => Err(Refusal::Rotten { name }),
        Ok(None) => Err(Refusal::NoBlob { name }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Refusal::Rotten { name }),
        Err(error) => Err(error.into()),
    }
}

/// Remembers `latest`, durably; then deletes every blob that is not in `keep`.
/// Returns how many were deleted.
pub(super) fn set_latest(disk: &dyn Disk, latest: &[Name], keep: &[Name]) -> Result<u64, Refusal> {
    if latest.len() > LATEST_MAX {
        return Err(Refusal::TooManySnapshots(latest.len()));
    }
    if let Some(newest) = latest.first() {
        get(disk, *newest)?;
    }
    replace(disk, POINTER, &encode_pointer(latest))?;
    let keep: BTreeSet<&Name> = keep.iter().chain(latest).collect();
    // What is left over is deleted by the next pointer.
    Ok(delete_others(disk, &keep).unwrap_or_else(|error| {
        tracing::warn!(%error, "blobs that are no longer needed stay until the next snapshot");
        0
    }))
}

fn delete_others(disk: &dyn Disk, keep: &BTreeSet<&Name>) -> io::Result<u64> {
    let folder = disk.folder(FOLDER, false)?;
    let names = match folder.list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        names => names?,
    };
    let mut deleted = 0;
    for file in names {
        let digits = file.strip_suffix(UNFINISHED);
        let Some(name) = name_of(digits.unwrap_or(&file)) else {
            continue;
        };
        if digits.is_some() || !keep.contains(&name) {
            folder.remove(&file)?;
            deleted += 1;
        }
    }
    folder.sync_dir()?;
    Ok(deleted)
}

fn name_of(file: &str) -> Option<Name> {
    let bytes = hex::decode(file).ok()?;
    let name = Name::try_from(bytes).ok()?;
    (hex::encode(name) == file).then_some(name)
}

/// What the last pointer named; nothing if there never was one.
pub(super) fn latest(disk: &dyn Disk) -> Result<Vec<Name>, Refusal> {
    let most = HEAD_LEN + LATEST_MAX * 32 + CRC_LEN;
    match read_whole(disk, POINTER, most) {
        Ok(None) => Ok(Vec::new()),
        Ok(Some(bytes)) => decode_pointer(&bytes).ok_or(Refusal::DamagedPointer),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Refusal::DamagedPointer),
        Err(error) => Err(error.into()),
    }
}

fn encode_pointer(latest: &[Name]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_be_bytes());
    out.extend((latest.len() as u32).to_be_bytes());
    out.extend(latest.iter().flatten());
    let crc = crc32c::crc32c(&out);
    out.extend(crc.to_be_bytes());
    out
}

fn decode_pointer(bytes: &[u8]) -> Option<Vec<Name>> {
    let names = bytes.get(HEAD_LEN..bytes.len().checked_sub(CRC_LEN)?)?;
    let (names, []) = names.as_chunks::<32>() else {
        return None;
    };
    // One way to write each pointer: what differs from it anywhere is damage.
    (encode_pointer(names) == bytes).then(|| names.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_pointer_are_fixed() {
        let bytes = encode_pointer(&[[7; 32]]);
        let head = "52444254534e50000000000100000001";
        assert_eq!(hex::encode(&bytes[..16]), head);
        assert_eq!(&bytes[16..48], &[7; 32]);
        assert_eq!(decode_pointer(&bytes), Some(vec![[7; 32]]));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_pointer_is_noticed() {
        let bytes = encode_pointer(&[[7; 32], [8; 32]]);
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_pointer(&wrong), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(decode_pointer(&bytes[..len]), None, "{len}");
        }
    }

    #[test]
    fn only_lowercase_digests_are_blobs() {
        assert_eq!(name_of(&"ab".repeat(32)), Some([0xab; 32]));
        assert_eq!(name_of(&"AB".repeat(32)), None);
        assert_eq!(name_of("ab"), None);
    }
}
