//! Archives made here stand in for the registries; everything else is the real path.

use std::cell::Cell;
use std::process::Command;

use super::*;
use crate::digest::sha256_hex;

/// A wheel with one file, its manifest and a place for the cache.
struct Case {
    dir: tempfile::TempDir,
    archive: PathBuf,
    downloads: Cell<u32>,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("p.whl");
        let script = "import sys, zipfile\n\
            box = zipfile.ZipFile(sys.argv[1], 'w')\n\
            box.writestr('in/side.bin', b'weights')\n\
            box.writestr('in/other.bin', b'other')\n\
            box.close()";
        let status = Command::new("python3")
            .args(["-c", script])
            .arg(&archive)
            .status();
        assert!(status.unwrap().success());
        Self {
            dir,
            archive,
            downloads: Cell::new(0),
        }
    }

    fn manifest(&self, file_digest: &str) -> Manifest {
        let archive = digest::sha256_file(&self.archive).unwrap();
        let text = format!(
            "format = 1\n[[package]]\nid = \"p\"\nregistry = \"pypi\"\nname = \"p\"\n\
             version = \"1\"\nkind = \"wheel\"\nsha256 = \"{archive}\"\n\
             [[file]]\nid = \"f\"\npackage = \"p\"\npath = \"in/side.bin\"\n\
             sha256 = \"{file_digest}\"\ninstall = \"f.bin\"\n"
        );
        Manifest::parse(text.as_bytes()).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("cache").join("folder")
    }

    fn fetch(&self, manifest: &Manifest) -> Result<()> {
        fetch_into(manifest, &self.folder(), &|_, dir| {
            self.downloads.set(self.downloads.get() + 1);
            let copy = dir.join("p.whl");
            fs::copy(&self.archive, &copy)?;
            Ok(copy)
        })
    }
}

#[test]
fn a_pinned_file_is_installed_once() {
    let case = Case::new();
    let manifest = case.manifest(&sha256_hex(b"weights"));
    case.fetch(&manifest).unwrap();
    assert_eq!(fs::read(case.folder().join("f.bin")).unwrap(), b"weights");
    case.fetch(&manifest).unwrap();
    assert_eq!(case.downloads.get(), 1);
    assert!(problems(&manifest, &case.folder()).is_empty());
}

#[test]
fn a_changed_archive_is_refused_and_nothing_is_installed() {
    let case = Case::new();
    let manifest = case.manifest(&sha256_hex(b"weights"));
    let mut bytes = fs::read(&case.archive).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&case.archive, bytes).unwrap();
    let error = format!("{:#}", case.fetch(&manifest).unwrap_err());
    assert!(
        error.contains("the archive p 1 is not what is pinned"),
        "{error}"
    );
    assert!(!case.folder().exists());
    assert_eq!(
        fs::read_dir(case.folder().with_extension("partial"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_changed_file_in_a_right_archive_is_refused() {
    let case = Case::new();
    let manifest = case.manifest(&sha256_hex(b"other weights"));
    let error = format!("{:#}", case.fetch(&manifest).unwrap_err());
    assert!(
        error.contains("in/side.bin in p 1 is not what is pinned"),
        "{error}"
    );
    assert!(!case.folder().exists());
}

#[test]
fn a_damaged_cache_is_noticed_and_mended() {
    let case = Case::new();
    let manifest = case.manifest(&sha256_hex(b"weights"));
    case.fetch(&manifest).unwrap();
    fs::write(case.folder().join("f.bin"), b"weightz").unwrap();
    assert_eq!(
        problems(&manifest, &case.folder()),
        ["f.bin: not what is pinned"]
    );
    case.fetch(&manifest).unwrap();
    assert_eq!(fs::read(case.folder().join("f.bin")).unwrap(), b"weights");
}

#[test]
fn an_interrupted_fetch_goes_on_where_it_stopped() {
    let case = Case::new();
    let manifest = case.manifest(&sha256_hex(b"weights"));
    let partial = case.folder().with_extension("partial");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("f.bin"), b"weights").unwrap();
    case.fetch(&manifest).unwrap();
    assert_eq!(case.downloads.get(), 0);
    assert!(case.folder().join("f.bin").exists());
}

#[test]
fn a_file_the_archive_lacks_is_named() {
    let case = Case::new();
    let mut manifest = case.manifest(&sha256_hex(b"weights"));
    manifest.files[0].path = "in/nowhere.bin".into();
    let error = format!("{:#}", case.fetch(&manifest).unwrap_err());
    assert!(
        error.contains("no such file") && error.contains("nowhere.bin"),
        "{error}"
    );
}

#[test]
fn what_a_killed_run_left_is_removed_and_what_is_at_work_is_not() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["dead.partial", "dead.partial.p", "busy.partial", "made"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let busy = lock(&dir.path().join("busy.lock")).unwrap();
    clear_leftovers_in(dir.path()).unwrap();
    let there = |name: &str| dir.path().join(name).exists();
    assert!(!there("dead.partial") && !there("dead.partial.p"));
    assert!(there("busy.partial") && there("made"));
    drop(busy);
    clear_leftovers_in(dir.path()).unwrap();
    assert!(!there("busy.partial"));
}

#[test]
fn a_file_of_the_repository_is_taken_if_it_is_what_is_pinned() {
    let case = Case::new();
    let own = case.dir.path().join("own.txt");
    fs::write(&own, b"head").unwrap();
    let partial = case.dir.path().join("partial");
    fs::create_dir(&partial).unwrap();
    let file = |bytes: &[u8]| PinnedFile {
        id: "own".into(),
        package: REPOSITORY.into(),
        path: "own.txt".into(),
        sha256: sha256_hex(bytes),
        install: "installed.txt".into(),
    };
    assert!(copy_own(&file(b"other"), case.dir.path(), &partial).is_err());
    assert!(!partial.join("installed.txt").exists());
    copy_own(&file(b"head"), case.dir.path(), &partial).unwrap();
    assert_eq!(fs::read(partial.join("installed.txt")).unwrap(), b"head");
}
