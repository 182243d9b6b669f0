//! A running appliance: the host with its worker, and the enclave.
//!
//! Protects against a half-started one: every wait watches that the processes
//! live, and says what their logs say if they do not.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::health::Health;
use super::layout::{Layout, Sockets};
use crate::process::{self, Process};
use crate::repo::Repo;

const PATIENCE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(5);

/// What to start and with what.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) layout: Layout,
    /// The folder of verified models.
    pub(crate) models: PathBuf,
    /// Port for banks; 0 takes a free one.
    pub(crate) port: u16,
    /// Where the host writes every byte its relays move, if at all.
    pub(crate) capture: Option<PathBuf>,
}

/// The running processes. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Appliance {
    enclave: Process,
    host: Process,
    plan: Plan,
    /// Where banks connect.
    pub(crate) port: u16,
    /// Where the host answers on loopback.
    pub(crate) admin_port: u16,
    _sockets: Sockets,
}

/// Process ids of the three parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Pids {
    pub(crate) host: u32,
    pub(crate) enclave: u32,
    pub(crate) worker: Option<u32>,
}

impl Appliance {
    /// Starts host and enclave; returns when the enclave waits for its officers.
    pub(crate) fn start(repo: &Repo, plan: &Plan) -> Result<Self> {
        let sockets = plan.layout.sockets()?;
        let port_files = ["port", "admin.port"].map(|name| plan.layout.run(name));
        for file in &port_files {
            let _ = fs::remove_file(file);
        }
        let mut host = host_command(repo, plan, &sockets, &port_files);
        let host = Process::start("redoubt-host", &mut host, &plan.layout.log("host"))?;
        let mut enclave = enclave_command(plan, &sockets);
        let log = plan.layout.log("enclave");
        let enclave = Process::start("redoubt-enclave", &mut enclave, &log)?;
        let mut appliance = Self {
            enclave,
            host,
            plan: plan.clone(),
            port: 0,
            admin_port: 0,
            _sockets: sockets,
        };
        let [port, admin_port] = &port_files;
        appliance.port = appliance.wait_for_port(port)?;
        appliance.admin_port = appliance.wait_for_port(admin_port)?;
        appliance.wait_for_phase(&["awaitingunseal"])?;
        Ok(appliance)
    }

    /// Gives the officer's share; returns when the enclave serves.
    pub(crate) fn unseal(&mut self, repo: &Repo, share: &Path, memory: &Path) -> Result<()> {
        let mut redoubt = Command::new(repo.bin("redoubt"));
        redoubt.arg("unseal").arg(self.url());
        redoubt.arg("--policy").arg(self.plan.layout.policy());
        redoubt.arg("--share").arg(share);
        redoubt.arg("--memory").arg(memory);
        process::output_of(&mut redoubt)?;
        self.wait_for_phase(&["serving"])
    }

    /// Has the auditor verify the appliance and write the CA to pin.
    pub(crate) fn trust(&self, repo: &Repo) -> Result<()> {
        let mut audit = Command::new(repo.bin("redoubt-audit"));
        audit.arg("trust").arg(self.url());
        audit.arg("--policy").arg(self.plan.layout.policy());
        audit.arg("--out").arg(self.plan.layout.trust());
        process::output_of(&mut audit).map(drop)
    }

    /// `https://…`; both names stand in the certificate.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The host's loopback pages.
    pub(crate) fn admin_url(&self, page: &str) -> String {
        format!("http://127.0.0.1:{}{page}", self.admin_port)
    }

    /// Waits for a worker and returns all three process ids.
    pub(crate) fn pids(&mut self) -> Result<Pids> {
        let worker = self.wait_for("a worker process", |health| health.worker_pid())?;
        Ok(Pids {
            worker: Some(worker),
            ..self.known_pids()
        })
    }

    /// The same without waiting.
    pub(crate) fn pids_now(&self) -> Pids {
        Pids {
            worker: Health::ask(self.admin_port).and_then(|health| health.worker_pid()),
            ..self.known_pids()
        }
    }

    fn known_pids(&self) -> Pids {
        Pids {
            host: self.host.pid(),
            enclave: self.enclave.pid(),
            worker: None,
        }
    }

    /// An error as soon as the host or the enclave has ended.
    pub(crate) fn require_running(&mut self) -> Result<()> {
        self.host.require_running()?;
        self.enclave.require_running()
    }

    /// SIGKILL for all three, as a power cut would: no order, no farewell.
    pub(crate) fn kill(mut self) {
        if let Some(worker) = self.pids_now().worker {
            process::kill(worker);
        }
        self.host.kill();
        self.enclave.kill();
    }

    /// Ends all three in order: no new work, then the enclave.
    pub(crate) fn end(mut self) {
        self.host.end(GRACE);
        self.enclave.end(GRACE);
    }

    fn wait_for_phase(&mut self, phases: &[&str]) -> Result<()> {
        let what = format!("the enclave's phase {}", phases.join(" or "));
        self.wait_for(&what, |health| {
            phases.contains(&health.phase().as_str()).then_some(())
        })
    }

    fn wait_for<T>(&mut self, what: &str, ready: impl Fn(&Health) -> Option<T>) -> Result<T> {
        let waited = process::wait_for(what, PATIENCE, || {
            self.require_running()?;
            Ok(Health::ask(self.admin_port).and_then(|health| ready(&health)))
        });
        let logs = self.plan.layout.logs();
        waited.with_context(|| {
            format!(
                "the appliance did not start; its logs are in {}",
                logs.display()
            )
        })
    }

    fn wait_for_port(&mut self, file: &Path) -> Result<u16> {
        process::wait_for("the host's port", PATIENCE, || {
            self.require_running()?;
            let text = fs::read_to_string(file).unwrap_or_default();
            Ok(text.trim().parse().ok())
        })
    }
}

fn host_command(repo: &Repo, plan: &Plan, sockets: &Sockets, port_files: &[PathBuf; 2]) -> Command {
    let layout = &plan.layout;
    let mut host = Command::new(repo.bin("redoubt-host"));
    host.arg("run");
    host.arg("--listen").arg(format!("127.0.0.1:{}", plan.port));
    host.arg("--port-file").arg(&port_files[0]);
    host.arg("--ingress").arg(sockets.endpoint("ingress"));
    host.arg("--store").arg(sockets.endpoint("store"));
    host.arg("--store-dir").arg(layout.store());
    host.arg("--boot-dir").arg(layout.boot());
    host.arg("--supervise").arg(sockets.endpoint("supervise"));
    host.args(["--admin", "127.0.0.1:0"]);
    host.arg("--admin-port-file").arg(&port_files[1]);
    host.arg("--worker").arg(sockets.endpoint("worker"));
    host.arg("--worker-bin")
        .arg(layout.program("redoubt-worker"));
    host.arg("--worker-log").arg(layout.log("worker"));
    let worker_arguments = [
        ("--models", plan.models.clone()),
        ("--manifest", layout.models_toml()),
        ("--dangerous-emulated-attester", layout.attester()),
    ];
    for (flag, path) in worker_arguments {
        host.arg(format!("--worker-arg={flag}"));
        host.arg(format!("--worker-arg={}", path.display()));
    }
    if let Some(capture) = &plan.capture {
        host.arg("--capture").arg(capture);
    }
    host
}

fn enclave_command(plan: &Plan, sockets: &Sockets) -> Command {
    let mut enclave = Command::new(plan.layout.program("redoubt-enclave"));
    for stream in ["ingress", "store", "worker", "supervise"] {
        enclave
            .arg(format!("--{stream}"))
            .arg(sockets.endpoint(stream));
    }
    enclave
        .arg("--dangerous-emulated-attester")
        .arg(plan.layout.attester());
    enclave
}

/// `port` if it is free, else 0: a resumed appliance keeps its address if it can.
pub(crate) fn free_or_any(port: u16) -> u16 {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => port,
        Err(_) => 0,
    }
}
