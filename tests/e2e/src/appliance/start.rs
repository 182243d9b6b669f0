//! The command lines of the parts.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::Appliance;
use super::machine::{self, Enclave};
use crate::process::Part;

impl Appliance {
    /// An address of one stream as the given side uses it.
    pub fn stream(&self, side: char, name: &str) -> PathBuf {
        if self.options.interposed {
            self.path.join(format!("{side}.{name}"))
        } else {
            self.path.join(format!("s.{name}"))
        }
    }

    fn endpoint(&self, side: char, name: &str) -> String {
        if self.options.machine.is_some() {
            return machine::endpoint(&self.path, name);
        }
        format!("unix:{}", self.stream(side, name).display())
    }

    /// `place` is empty, or names the second place's streams.
    pub(super) fn start_enclave(&self, place: &str) -> Result<Enclave> {
        if let Some(machine) = &self.options.machine {
            return machine.boot(&self.path, &self.log_dir());
        }
        let built = || self.program("redoubt-enclave");
        let mut command = self.command(self.options.enclave.clone().unwrap_or_else(built));
        for stream in ["ingress", "store", "worker", "supervise"] {
            command.arg(format!("--{stream}"));
            command.arg(self.endpoint('e', &format!("{place}{stream}")));
        }
        if !self.options.peers.is_empty() {
            let endpoint = self.endpoint('e', &format!("{place}peers"));
            command.arg("--peers").arg(endpoint);
        }
        command.arg("--dangerous-emulated-attester");
        command.arg(self.genesis_dir().join("emulated"));
        if self.options.time_offset_ms != 0 {
            let offset = self.options.time_offset_ms.to_string();
            command.args(["--dangerous-time-offset-ms", &offset]);
        }
        let log = self.log_dir().join(format!("{place}enclave.log"));
        let part = Part::start("enclave", command, &log)?;
        Ok(Enclave::Process(part))
    }

    pub(super) fn start_host(&self) -> Result<Part> {
        for stale in ["port", "admin.port", "standby.port", "first.port"] {
            let _ = std::fs::remove_file(self.path.join(stale));
        }
        let mut command = self.command(self.program("redoubt-host"));
        let listen = format!("127.0.0.1:{}", self.port);
        command.args(["run", "--listen", &listen, "--admin", "127.0.0.1:0"]);
        for stream in ["ingress", "store", "supervise"] {
            command.arg(format!("--{stream}"));
            command.arg(self.endpoint('h', stream));
        }
        for (flag, path) in [
            ("--store-dir", self.store_dir()),
            ("--boot-dir", self.boot_dir()),
            ("--port-file", self.path.join("port")),
            ("--admin-port-file", self.path.join("admin.port")),
        ] {
            command.arg(flag).arg(path);
        }
        if !self.options.without_worker {
            self.add_worker(&mut command);
        }
        if self.options.standby {
            self.add_standby(&mut command);
        }
        if !self.options.peers.is_empty() {
            command.arg("--peers").arg(self.endpoint('h', "peers"));
            for peer in &self.options.peers {
                command.arg("--peer").arg(peer);
            }
        }
        if self.options.capture {
            command.arg("--capture").arg(self.capture_file());
        }
        Part::start("host", command, &self.log_dir().join("host.log"))
    }

    fn add_standby(&self, command: &mut Command) {
        command.args(["--standby-listen", "127.0.0.1:0", "--standby-port-file"]);
        command.arg(self.path.join("standby.port"));
        command.args(["--first-listen", "127.0.0.1:0", "--first-port-file"]);
        command.arg(self.path.join("first.port"));
        let (worker, peers) = (!self.options.without_worker, !self.options.peers.is_empty());
        for (stream, there) in [
            ("ingress", true),
            ("store", true),
            ("supervise", true),
            ("worker", worker),
            ("peers", peers),
        ] {
            if there {
                let name = format!("standby-{stream}");
                command.arg(format!("--{name}"));
                command.arg(self.endpoint('h', &name));
            }
        }
    }

    fn add_worker(&self, command: &mut Command) {
        command.arg("--worker").arg(self.endpoint('h', "worker"));
        let machine = self.options.machine.as_ref();
        if let Some(worker) = machine.and_then(|machine| machine.worker.as_ref()) {
            command.arg("--worker-at").arg(&worker.endpoint);
            return;
        }
        let built = || self.program("redoubt-worker");
        let program = self.options.worker.clone().unwrap_or_else(built);
        for (flag, path) in [
            ("--worker-bin", program),
            ("--worker-pid-file", self.worker_pid_file()),
            ("--worker-log", self.log_dir().join("worker.log")),
        ] {
            command.arg(flag).arg(path);
        }
        for argument in self.worker_arguments() {
            command.arg("--worker-arg").arg(argument);
        }
    }

    fn worker_arguments(&self) -> Vec<PathBuf> {
        let mut arguments: Vec<PathBuf> = Vec::new();
        for (flag, value) in [
            ("--models", self.environment.models().clone()),
            ("--manifest", self.environment.manifest()),
            (
                "--dangerous-emulated-attester",
                self.genesis_dir().join("emulated"),
            ),
        ] {
            arguments.push(flag.into());
            arguments.push(value);
        }
        arguments
    }

    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        match self.options.log_filter {
            Some(filter) => command.env("RUST_LOG", filter),
            None => command.env_remove("RUST_LOG"),
        };
        command
    }
}
