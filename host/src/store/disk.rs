//! The few file operations the segments need, behind a trait.
//!
//! Protects against believing a write that no completed `fdatasync` covers:
//! tests put a disk behind this trait that forgets exactly those.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A folder of the store.
pub trait Disk: Send {
    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file; creates it empty if `create` is set and it is not there.
    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>>;
    /// Makes creations durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Gives a file another name in one step; a file of that name is replaced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// A folder in this one; made, durably, if `create` is set and it is not there.
    fn folder(&self, name: &str, create: bool) -> io::Result<Box<dyn Disk>>;
    /// Finds out whether `bytes` more bytes could be written now.
    fn probe(&self, bytes: usize) -> io::Result<()>;
}

/// Ends the name of a file that is not whole yet.
pub const UNFINISHED: &str = ".tmp";

/// Writes a small file so that after any crash it is there whole or as before.
pub fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = format!("{name}{UNFINISHED}");
    let written = || {
        let file = disk.open(&unfinished, true)?;
        file.truncate(0)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        disk.rename(&unfinished, name)
    };
    if let Err(error) = written() {
        // On a full disk every byte counts; what stays is overwritten next time.
        let _ = disk.remove(&unfinished);
        return Err(error);
    }
    disk.sync_dir()
}

/// Reads a whole file of at most `most` bytes; `None` if it is not there.
pub fn read_whole(disk: &dyn Disk, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(name, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len()?;
    if len > most as u64 {
        let message = format!("{name} has {len} bytes; it never has more than {most}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}

/// One file.
#[allow(clippy::len_without_is_empty)]
pub trait DiskFile: Send {
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all bytes at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// `fdatasync`.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
}

/// A real folder, locked against a second host process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held by the store's own folder; those in it need none.
    _lock: Option<File>,
}

impl Folder {
    /// Creates the folder if need be and takes its lock.
    pub fn lock(path: &Path) -> io::Result<Self> {
        if !path.exists() {
            std::fs::create_dir_all(path).map_err(|error| named(path, error))?;
            // The folder's own entry must outlive a power cut as well.
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let lock_path = path.join("lock");
        let lock = open_options()
            .create(true)
            .open(&lock_path)
            .map_err(|error| named(&lock_path, error))?;
        lock.try_lock().map_err(|error| {
            let error = io::Error::from(error);
            let hint = "another redoubt-host uses this store; stop it first";
            io::Error::new(
                error.kind(),
                format!("{}: {hint} ({error})", lock_path.display()),
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            _lock: Some(lock),
        })
    }
}

fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(|error| named(&self.path, error))? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path.join(name);
        let file = match open_options().create(create).open(&path) {
            // A read-only disk can still be read; writing to it then fails with its reason.
            Err(error) if !create && unwritable(&error) => File::open(&path),
            other => other,
        };
        Ok(Box::new(RealFile(
            file.map_err(|error| named(&path, error))?,
        )))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let to = self.path.join(to);
        std::fs::rename(self.path.join(from), &to).map_err(|error| named(&to, error))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        std::fs::remove_file(&path).map_err(|error| named(&path, error))
    }

    fn folder(&self, name: &str, create: bool) -> io::Result<Box<dyn Disk>> {
        let path = self.path.join(name);
        if create && !path.exists() {
            std::fs::create_dir(&path).map_err(|error| named(&path, error))?;
            self.sync_dir()?;
        }
        Ok(Box::new(Folder { path, _lock: None }))
    }

    fn probe(&self, bytes: usize) -> io::Result<()> {
        let path = self.path.join("probe.tmp");
        let written = open_options()
            .create(true)
            .truncate(true)
            .open(&path)
            .and_then(|file| {
                file.write_all_at(&vec![0; bytes], 0)?;
                file.sync_data()
            });
        let removed = std::fs::remove_file(&path);
        written.and(removed)
    }
}

fn unwritable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()?;
        // Bytes synced into a file without a name are gone at the next start.
        if self.0.metadata()?.nlink() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the segment file was removed while in use; stop the host and restore it",
            ));
        }
        Ok(())
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}
