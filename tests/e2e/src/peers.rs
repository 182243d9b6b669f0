//! Witnesses and custodians as `redoubt-audit witness` runs them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::appliance::wait_for;
use crate::environment::Environment;
use crate::process::{Part, run_ok};

/// What a peer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Cosigns heads.
    Witness,
    /// Keeps shares of the epoch secret.
    Custodian,
}

/// Peers on disk, running or not.
pub struct PeerSet {
    environment: Environment,
    dir: PathBuf,
    names: Vec<String>,
    running: Vec<Option<(Part, u16)>>,
}

impl PeerSet {
    /// Makes keys for `count` peers in `dir`.
    pub fn init(environment: &Environment, dir: &Path, count: usize) -> Result<Self> {
        let names: Vec<String> = (1..=count).map(|n| format!("peer-{n}")).collect();
        for name in &names {
            let output = run_ok(
                Command::new(environment.program("redoubt-audit"))
                    .arg("witness")
                    .arg("--dir")
                    .arg(dir.join(name))
                    .args(["--init", "--name", name]),
            )?;
            std::fs::write(dir.join(format!("{name}.json")), output.stdout)?;
        }
        Ok(Self {
            environment: environment.clone(),
            dir: dir.to_path_buf(),
            running: names.iter().map(|_| None).collect(),
            names,
        })
    }

    /// How a ceremony names them.
    pub fn ceremony(&self, duty: Duty, needed: usize) -> Vec<OsString> {
        let (flag, threshold) = match duty {
            Duty::Witness => ("--witness", "--witness-k"),
            Duty::Custodian => ("--custodian", "--custodian-threshold"),
        };
        let mut arguments = Vec::new();
        for name in &self.names {
            let entry = self.dir.join(format!("{name}.json"));
            arguments.extend([flag.into(), entry.into()]);
        }
        arguments.extend([threshold.into(), needed.to_string().into()]);
        arguments
    }

    /// Starts those that do not run.
    pub fn start(&mut self, policy: &Path) -> Result<()> {
        for (name, slot) in self.names.iter().zip(&mut self.running) {
            if slot.is_none() {
                let mut command = Command::new(self.environment.program("redoubt-audit"));
                let port_file = self.dir.join(format!("{name}.port"));
                let _ = std::fs::remove_file(&port_file);
                command.arg("witness").arg("--dir").arg(self.dir.join(name));
                command.args(["--listen", "127.0.0.1:0"]);
                command.arg("--policy").arg(policy);
                command.arg("--port-file").arg(&port_file);
                let log = self.dir.join(format!("{name}.log"));
                let part = Part::start("peer", command, &log)?;
                let port = wait_for(Duration::from_secs(10), "a peer's port", || {
                    let text = std::fs::read_to_string(&port_file).ok()?;
                    text.trim().parse::<u16>().ok()
                })?;
                *slot = Some((part, port));
            }
        }
        Ok(())
    }

    /// SIGKILL to one of them.
    pub fn kill(&mut self, at: usize) {
        self.running[at] = None;
    }

    /// SIGKILL to all of them.
    pub fn kill_all(&mut self) {
        self.running.iter_mut().for_each(|slot| *slot = None);
    }

    /// `NAME=HOST:PORT` of those that run.
    pub fn addresses(&self) -> Vec<String> {
        self.names
            .iter()
            .zip(&self.running)
            .filter_map(|(name, slot)| {
                let (_, port) = slot.as_ref()?;
                Some(format!("{name}=127.0.0.1:{port}"))
            })
            .collect()
    }

    /// Copies everything they remember.
    pub fn copy_to(&self, to: &Path) -> Result<()> {
        copy(&self.dir, to)
    }

    /// Puts a copy in place of what they remember; none may run.
    pub fn put_back(&self, from: &Path) -> Result<()> {
        replace(from, &self.dir)
    }
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Replaces a folder by a copy of another.
pub fn replace(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    copy(from, to)
}
