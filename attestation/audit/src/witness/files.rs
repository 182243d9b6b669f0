//! Files that are there, whole, when they are said to be, or gone when they are
//! said to be gone.
//!
//! Protects against a power cut between an answer and the disk, and against
//! shares that linger: new content is complete and durable before its name
//! points at it; erasing overwrites before it unlinks. Not covered: copies that
//! a file system or a drive keeps of overwritten blocks (see the operator notes).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// Largest file read back, in bytes.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Makes a folder that only its owner enters, durably.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Replaces a file: temporary, fdatasync, rename, fsync of the folder.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    write_new(&temporary, bytes)?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Writes a file that nothing refers to yet, durably, for its owner only.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_new(path, bytes)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Reads a whole file; `None` if it is not there.
pub(super) fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    // Sized beforehand, so that no part of a secret stays in outgrown memory.
    let length = file.metadata()?.len().min(FILE_MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Overwrites with zeros, makes that durable, unlinks, makes that durable.
pub(super) fn erase(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let length = file.metadata()?.len().min(FILE_MAX);
    file.write_all(&vec![0; length as usize])?;
    file.sync_all()?;
    std::fs::remove_file(path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_replaced_file_is_whole_and_its_owners_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        replace(&path, b"long first content").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(&**read(&path).unwrap().unwrap(), b"second");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(read(&dir.path().join("b")).unwrap().is_none());
    }

    #[test]
    fn an_erased_file_is_overwritten_before_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("share");
        write(&path, b"secret bytes").unwrap();
        // A second name for the same blocks shows what became of them.
        let kept = dir.path().join("kept");
        std::fs::hard_link(&path, &kept).unwrap();
        erase(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(std::fs::read(&kept).unwrap(), [0; 12]);
        erase(&path).unwrap();
    }
}
