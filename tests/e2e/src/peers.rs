//! Witnesses and custodians as `redoubt-audit witness` runs them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::appliance::wait_for;
use crate::environment::Environment;
use crate::folder::{copy, replace};
use crate::process::{Part, run_ok};

/// What a peer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Cosigns heads.
    Witness,
    /// Keeps shares of the epoch secret.
    Custodian,
}

/// Where each peer listens on the loopback, by name.
pub type Ports = BTreeMap<String, u16>;

/// Peers on disk, running or not. They end with their owner.
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
        Ok(Self::stopped(environment, dir, names))
    }

    fn stopped(environment: &Environment, dir: &Path, names: Vec<String>) -> Self {
        Self {
            environment: environment.clone(),
            dir: dir.to_path_buf(),
            running: names.iter().map(|_| None).collect(),
            names,
        }
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
        for at in 0..self.names.len() {
            if self.running[at].is_none() {
                self.running[at] = Some(self.start_one(&self.names[at], policy)?);
            }
        }
        Ok(())
    }

    fn start_one(&self, name: &str, policy: &Path) -> Result<(Part, u16)> {
        let port_file = self.dir.join(format!("{name}.port"));
        let _ = std::fs::remove_file(&port_file);
        let mut command = Command::new(self.environment.program("redoubt-audit"));
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
        Ok((part, port))
    }

    /// SIGKILL to one of them.
    pub fn kill(&mut self, at: usize) {
        self.running[at] = None;
    }

    /// SIGKILL to all of them.
    pub fn kill_all(&mut self) {
        self.running.iter_mut().for_each(|slot| *slot = None);
    }

    /// Of those that run.
    pub fn ports(&self) -> Ports {
        let slots = self.names.iter().zip(&self.running);
        slots
            .filter_map(|(name, slot)| Some((name.clone(), slot.as_ref()?.1)))
            .collect()
    }

    /// `NAME=HOST:PORT` of those that run.
    pub fn addresses(&self) -> Vec<String> {
        let ports = self.ports().into_iter();
        ports
            .map(|(name, port)| format!("{name}=127.0.0.1:{port}"))
            .collect()
    }

    /// The same peers in another folder, with all they remember; none of them runs.
    pub fn copy_to(&self, dir: &Path) -> Result<Self> {
        copy(&self.dir, dir)?;
        Ok(Self::stopped(&self.environment, dir, self.names.clone()))
    }

    /// Puts what a copy remembers in place of what these do; none may run.
    pub fn put_back(&self, copy: &Self) -> Result<()> {
        replace(&copy.dir, &self.dir)
    }
}
