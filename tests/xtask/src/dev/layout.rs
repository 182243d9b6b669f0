//! What lies where in an appliance's folder.
//!
//! Protects against socket paths the kernel would cut: a Unix socket's path has
//! about 107 bytes, so a long folder gets a short temporary one for its sockets.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// With the longest socket name a path must stay below this.
const SOCKET_PATH_MAX: usize = 100;
const LONGEST_SOCKET: &str = "supervise.sock";

/// What is made in it.
const FOLDERS: &[&str] = &[
    "bin",
    "boot",
    "credentials",
    "store",
    "trust",
    "logs",
    "run",
];

/// Says that a folder is an appliance's: nothing is removed from any other.
const MARKER: &str = ".redoubt-dev";

/// Makes the folder, or takes one that an earlier run made: programs in it are
/// run and parts of it are made anew, so it must be ours and nobody else's.
fn make_own(dir: &Path) -> Result<()> {
    let shown = || dir.display().to_string();
    if !dir.exists() {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent
            .map_or(Ok(()), fs::create_dir_all)
            .with_context(shown)?;
        fs::DirBuilder::new()
            .mode(0o700)
            .create(dir)
            .with_context(shown)?;
    }
    let all = FOLDERS.iter().chain(&["genesis"]);
    let taken = all.into_iter().find(|name| dir.join(name).exists());
    let (own, me) = (
        fs::metadata(dir).with_context(shown)?,
        fs::metadata("/proc/self")?,
    );
    anyhow::ensure!(
        own.uid() == me.uid() && own.mode() & 0o002 == 0,
        "{}: anyone may write to this folder, or it is not yours; name one that is",
        dir.display()
    );
    if let (Some(name), false) = (taken, dir.join(MARKER).exists()) {
        anyhow::bail!(
            "{}: holds a {name} that this command did not make; name a new folder",
            dir.display()
        );
    }
    fs::write(dir.join(MARKER), "made by cargo xtask dev\n").with_context(shown)
}

/// An appliance's folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the folders that are absent.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        make_own(dir)?;
        let root = dir.canonicalize()?;
        let layout = Self { root };
        for folder in FOLDERS {
            fs::create_dir_all(layout.root.join(folder))?;
        }
        Ok(layout)
    }

    /// `DIR/dev.json`
    pub(crate) fn dev_json(&self) -> PathBuf {
        self.root.join("dev.json")
    }

    /// Held while a `dev` keeps this folder.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("run/dev.lock")
    }

    /// The programs this appliance's genesis admits.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// The model manifest those programs attest.
    pub(crate) fn models_toml(&self) -> PathBuf {
        self.root.join("bin/models.toml")
    }

    /// What the officers' ceremony wrote.
    pub(crate) fn genesis_dir(&self) -> PathBuf {
        self.root.join("genesis")
    }

    /// The emulated attester's root and key.
    pub(crate) fn attester(&self) -> PathBuf {
        self.genesis_dir().join("emulated")
    }

    /// The policy that clients pin.
    pub(crate) fn policy(&self) -> PathBuf {
        self.genesis_dir().join("policy.json")
    }

    /// What the host hands to the enclave: genesis.json and config.json.
    pub(crate) fn boot(&self) -> PathBuf {
        self.root.join("boot")
    }

    /// Client identities, one folder each.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.root.join("credentials")
    }

    /// The ledger's segments.
    pub(crate) fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// What `redoubt-audit trust` wrote.
    pub(crate) fn trust(&self) -> PathBuf {
        self.root.join("trust")
    }

    /// Logs of the three processes.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// One process's log.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// Port and pid files.
    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.root.join("run").join(name)
    }

    /// A folder for sockets.
    pub(crate) fn sockets(&self) -> Result<Sockets> {
        let beside = self.root.join("run");
        if fits(&beside) {
            return Ok(Sockets {
                dir: beside,
                temporary: false,
            });
        }
        let name = format!("redoubt-{}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        let dir = if fits(&dir) {
            dir
        } else {
            Path::new("/tmp").join(name)
        };
        private_folder(&dir)?;
        Ok(Sockets {
            dir,
            temporary: true,
        })
    }
}

fn fits(dir: &Path) -> bool {
    dir.join(LONGEST_SOCKET).as_os_str().len() < SOCKET_PATH_MAX
}

/// Makes a folder that nobody else may enter; one that exists is not taken over.
pub(crate) fn private_folder(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .mode(0o700)
        .create(dir)
        .with_context(|| dir.display().to_string())
}

/// A folder for sockets; removed at the end if it is a temporary one.
#[derive(Debug)]
pub(crate) struct Sockets {
    dir: PathBuf,
    temporary: bool,
}

impl Sockets {
    /// `unix:…` for one stream.
    pub(crate) fn endpoint(&self, name: &str) -> String {
        format!("unix:{}", self.dir.join(format!("{name}.sock")).display())
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_folder_keeps_its_sockets_beside_everything_else() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        let endpoint = layout.sockets().unwrap().endpoint("ingress");
        assert!(endpoint.contains("/run/ingress.sock"), "{endpoint}");
    }

    #[test]
    fn a_long_folder_gets_a_short_one_for_its_sockets_that_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(60)).join("e".repeat(60));
        let layout = Layout::open(&deep).unwrap();
        let sockets = layout.sockets().unwrap();
        let endpoint = sockets.endpoint("supervise");
        assert!(
            endpoint.len() < SOCKET_PATH_MAX + "unix:".len(),
            "{endpoint}"
        );
        let short = sockets.dir.clone();
        assert!(short.is_dir());
        drop(sockets);
        assert!(!short.exists());
    }
}
