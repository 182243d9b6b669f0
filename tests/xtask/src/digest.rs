//! SHA-256 of bytes and files, and the one sentence for a file that is not what
//! was pinned.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// Lowercase hexadecimal SHA-256.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The same over a file.
pub(crate) fn sha256_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Refuses a file whose digest is not the pinned one.
pub(crate) fn require(path: &Path, pinned: &str, what: &str) -> Result<()> {
    let found = sha256_file(path)?;
    ensure!(
        found == pinned,
        "{what} is not what is pinned, so nothing of it was installed.\n  \
         pinned  sha256 {pinned}\n  arrived sha256 {found}\n  \
         Either the registry serves something else now or the transfer was damaged: \
         try again, and if it stays so do not use it."
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_refused_and_both_digests_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        std::fs::write(&path, b"weights").unwrap();
        let pinned = sha256_hex(b"weights");
        require(&path, &pinned, "weights").unwrap();
        std::fs::write(&path, b"weightz").unwrap();
        let error = require(&path, &pinned, "weights").unwrap_err().to_string();
        assert!(
            error.contains(&pinned) && error.contains(&sha256_hex(b"weightz")),
            "{error}"
        );
    }
}
