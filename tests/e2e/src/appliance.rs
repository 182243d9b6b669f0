//! One appliance: genesis, configuration, credentials, and the processes.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use redoubt_bank::client::{Bank, Connection};
use redoubt_bank::dev::Identity;
use redoubt_bank::receipts::Auditor;
use redoubt_bank::tls::ClientPem;
use serde_json::Value;
use tempfile::TempDir;

use crate::environment::Environment;
use crate::process::{Part, run_ok, signal};

mod config;
mod machine;
mod sign;
mod start;
mod wait;

use machine::Enclave;

pub use config::{Banks, Tenant};
pub use machine::{Emulator, Founded, Guest, Machine, WorkerElsewhere, endpoint};
pub use wait::{only_file, wait_for};

/// How to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Added to the emulated clock.
    pub time_offset_ms: i64,
    /// Record everything the relays move.
    pub capture: bool,
    /// Log filter of every part.
    pub log_filter: Option<&'static str>,
    /// Streams that go through the test: the enclave uses `e.NAME`, the host `h.NAME`.
    pub interposed: bool,
    /// The host starts no worker: no faces, and a quick start.
    pub without_worker: bool,
    /// Witnesses and custodians the host can reach, `NAME=HOST:PORT`.
    pub peers: Vec<String>,
    /// The host has a second place, for an enclave that is to take over.
    pub standby: bool,
    /// Passkey policy of the first tenant.
    pub passkeys: Option<Value>,
    /// Who signs the first tenant's own policy.
    pub policy_signers: Option<Value>,
    /// Another program than the built one as the enclave.
    pub enclave: Option<PathBuf>,
    /// Another program than the built one as the worker.
    pub worker: Option<PathBuf>,
    /// The enclave is no process but an image booted here. A worker is then in a
    /// machine of its own, or absent.
    pub machine: Option<Machine>,
}

/// A started appliance. Its processes end with it.
pub struct Appliance {
    environment: Environment,
    /// What it was started with.
    pub options: Options,
    dir: Option<TempDir>,
    path: PathBuf,
    enclave: Option<Enclave>,
    standby: Option<Enclave>,
    host: Option<Part>,
    keep: AtomicBool,
    /// Tenants, roles and their certificates.
    pub banks: Banks,
    port: u16,
}

/// A path below the appliance's folder.
macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident => $file:expr;)*) => {
        $($(#[$doc])* pub fn $name(&self) -> PathBuf { self.path.join($file) })*
    };
}

impl Appliance {
    paths! {
        /// Genesis, officers' keys and shares.
        genesis_dir => "genesis";
        /// What the host hands to the enclave at boot.
        boot_dir => "boot";
        /// The host's ledger store.
        store_dir => "store";
        /// What `redoubt-audit trust` wrote.
        trust_dir => "trust";
        /// The client policy that pins the genesis.
        policy => "genesis/policy.json";
        /// Everything the relays moved.
        capture_file => "capture.bin";
        /// Logs of all parts.
        log_dir => "logs";
        /// The current worker's process id.
        worker_pid_file => "worker.pid";
    }

    /// Makes genesis and configuration; starts nothing.
    pub fn prepare(environment: &Environment, options: Options) -> Result<Self> {
        Self::prepare_with(environment, options, &[])
    }

    /// The same with further arguments for `redoubt genesis init`, such as witnesses.
    pub fn prepare_with(
        environment: &Environment,
        options: Options,
        ceremony: &[OsString],
    ) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("rdt").tempdir()?;
        let path = dir.path().to_path_buf();
        let banks = Banks::new(&path)?;
        let appliance = Self {
            environment: environment.clone(),
            options,
            dir: Some(dir),
            path,
            enclave: None,
            standby: None,
            host: None,
            keep: AtomicBool::new(false),
            banks,
            port: 0,
        };
        for dir in [
            appliance.boot_dir(),
            appliance.store_dir(),
            appliance.log_dir(),
        ] {
            std::fs::create_dir_all(dir)?;
        }
        appliance.make_genesis(ceremony)?;
        appliance.sign_config()?;
        Ok(appliance)
    }

    /// Prepares, starts, unseals, and fetches the auditor's trust.
    pub fn serving(environment: &Environment, options: Options) -> Result<Self> {
        let mut appliance = Self::prepare(environment, options)?;
        appliance.keep_on_failure(Self::bring_up)?;
        Ok(appliance)
    }

    /// Starts what is not running, unseals, and waits until it serves.
    pub fn bring_up(&mut self) -> Result<()> {
        self.start()?;
        self.unseal()?;
        self.wait_for_phase("serving")?;
        self.trust()
    }

    /// Starts what is not running.
    pub fn start(&mut self) -> Result<()> {
        if self.enclave.is_none() {
            self.enclave = Some(self.start_enclave("")?);
        }
        if self.host.is_none() {
            self.host = Some(self.start_host()?);
            self.port = self.read_port("port")?;
        }
        Ok(())
    }

    /// Starts an enclave in the second place; whatever ran there ends.
    pub fn start_standby(&mut self) -> Result<()> {
        self.launch_standby()?;
        wait_for(Duration::from_secs(15), "the enclave that waits", || {
            let phase = self.phase_at(&self.standby_url().ok()?).ok()?;
            (phase == "awaiting_unseal").then_some(())
        })
    }

    /// The same without waiting for it.
    pub fn launch_standby(&mut self) -> Result<()> {
        self.standby = None;
        self.standby = Some(self.start_enclave("standby-")?);
        Ok(())
    }

    /// The process in the second place is still there.
    pub fn standby_is_alive(&mut self) -> bool {
        let standby = self.standby.as_mut();
        standby.is_some_and(|part| part.ended().is_none())
    }

    /// The process in the first place.
    pub fn enclave_pid(&self) -> Option<u32> {
        self.enclave.as_ref().map(Enclave::pid)
    }

    /// The process in the second place.
    pub fn standby_pid(&self) -> Option<u32> {
        self.standby.as_ref().map(Enclave::pid)
    }

    /// SIGKILL to the enclave in the second place.
    pub fn kill_standby(&mut self) {
        self.standby = None;
    }

    /// Where officers reach the first place, whoever is in front.
    pub fn first_url(&self) -> Result<String> {
        let port = self.read_port("first.port")?;
        Ok(format!("https://localhost:{port}"))
    }

    /// Where officers reach the second place, whoever is in front.
    pub fn standby_url(&self) -> Result<String> {
        let port = self.read_port("standby.port")?;
        Ok(format!("https://localhost:{port}"))
    }

    /// The folder with everything in it.
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// What was found outside the repository.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// A built program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.environment.program(name)
    }

    /// Where banks connect.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The socket that stands for a booted enclave's vsock.
    pub fn vsock(&self) -> PathBuf {
        machine::socket(&self.path)
    }

    /// The sign of life that a booted image's init sent.
    pub fn sign_of_life(&self) -> Option<u8> {
        self.enclave.as_ref().and_then(Enclave::sign)
    }

    /// The port banks connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the host shows metrics and health.
    pub fn admin_url(&self) -> Result<String> {
        Ok(format!(
            "http://127.0.0.1:{}",
            self.read_port("admin.port")?
        ))
    }

    /// PEM of the CA to pin.
    pub fn ca(&self) -> Result<Vec<u8>> {
        let path = self.trust_dir().join("ca.pem");
        std::fs::read(&path).with_context(|| path.display().to_string())
    }

    /// A client under a tenant's certificate.
    pub fn bank(&self, tenant: &Tenant) -> Result<Bank> {
        self.client(Some(tenant.pem.clone()), false)
    }

    /// A client under any certificate, or none.
    pub fn client(&self, client: Option<ClientPem>, http2: bool) -> Result<Bank> {
        Bank::open(&Connection {
            url: self.url(),
            ca: self.ca()?,
            client,
            http2,
        })
    }

    /// The auditor's program with this appliance's trust.
    pub fn auditor(&self) -> Auditor {
        Auditor {
            program: self.program("redoubt-audit"),
            trust: self.trust_dir(),
            without_sockets: Some(self.program("redoubt-bank")),
        }
    }

    /// Process ids: enclave, host, worker.
    pub fn pids(&self) -> Result<[u32; 3]> {
        let enclave = self.enclave.as_ref().map(Enclave::pid);
        let host = self.host.as_ref().map(Part::pid);
        let running = |id: Option<u32>| id.context("not running");
        Ok([running(enclave)?, running(host)?, self.worker_pid()?])
    }

    /// Process ids of all workers that run now.
    pub fn workers(&self) -> Result<Vec<u32>> {
        let host = self.host.as_ref().map(Part::pid).context("not running")?;
        let mut all = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{host}/task"))? {
            let children = std::fs::read_to_string(task?.path().join("children"))?;
            let ids = children.split_whitespace().map(str::parse);
            all.extend(ids.collect::<Result<Vec<u32>, _>>()?);
        }
        Ok(all)
    }

    /// A counter of the enclave, as the host's metrics show it.
    pub fn enclave_counter(&self, name: &str) -> Result<u64> {
        let port = self.read_port("admin.port")?;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes())?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let head = format!("redoubt_enclave_counter{{name=\"{name}\"}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&head));
        Ok(value
            .with_context(|| format!("no counter {name}"))?
            .parse()?)
    }

    /// Changes the policy of the next boot, and boots.
    pub fn set_policy(&mut self, counter: u64, change: impl FnOnce(&mut Value)) -> Result<()> {
        self.set_config(counter, |config| change(&mut config["policy"]))
    }

    /// Changes the configuration of the next boot, and boots.
    pub fn set_config(&mut self, counter: u64, change: impl FnOnce(&mut Value)) -> Result<()> {
        self.kill_all()?;
        let plain = self.dir().join("config.plain.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&plain)?)?;
        config["counter"] = counter.into();
        change(&mut config);
        std::fs::write(&plain, config.to_string())?;
        self.sign(&plain)?;
        self.bring_up()
    }

    /// The current worker's process id.
    pub fn worker_pid(&self) -> Result<u32> {
        let text = std::fs::read_to_string(self.worker_pid_file())?;
        text.trim().parse().context("worker.pid")
    }

    /// SIGKILL to enclave, host and worker.
    pub fn kill_all(&mut self) -> Result<()> {
        let worker = self.worker_pid();
        self.enclave = None;
        self.standby = None;
        self.host = None;
        if let Ok(pid) = worker {
            // It may have ended already, since its stream closed.
            let _ = signal(pid, libc::SIGKILL);
        }
        Ok(())
    }

    /// SIGKILL to the host alone.
    pub fn kill_host(&mut self) {
        self.host = None;
    }

    /// SIGKILL to the enclave alone.
    pub fn kill_enclave(&mut self) {
        self.enclave = None;
    }

    /// The enclave's process is still there.
    pub fn enclave_is_alive(&mut self) -> bool {
        self.enclave
            .as_mut()
            .is_some_and(|part| part.ended().is_none())
    }

    /// The host's process is still there.
    pub fn host_is_alive(&mut self) -> bool {
        self.host
            .as_mut()
            .is_some_and(|part| part.ended().is_none())
    }

    /// Ends the host by SIGTERM.
    pub fn end_host(&mut self) -> Result<std::process::ExitStatus> {
        let mut host = self.host.take().context("the host is not running")?;
        host.terminate(Duration::from_secs(10))
    }

    /// Ends the enclave by SIGTERM.
    pub fn end_enclave(&mut self) -> Result<std::process::ExitStatus> {
        let mut enclave = self.enclave.take().context("the enclave is not running")?;
        enclave.terminate(Duration::from_secs(10))
    }

    /// Everything at this address stays on disk after the test.
    pub fn keep_files(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }

    /// Every log as text, for searching and for failure messages.
    pub fn logs(&self) -> Result<String> {
        let mut all = String::new();
        for entry in std::fs::read_dir(self.log_dir())? {
            let path = entry?.path();
            let text = std::fs::read(&path)?;
            all += &format!("--- {}\n", path.display());
            all += &String::from_utf8_lossy(&text);
        }
        Ok(all)
    }

    /// Does something; if it fails, the files stay and the ends of the logs are shown.
    pub fn keep_on_failure(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let outcome = work(self);
        if outcome.is_err() {
            self.keep_files();
            let logs = self.logs().unwrap_or_default();
            let lines: Vec<&str> = logs.lines().collect();
            let tail = &lines[lines.len().saturating_sub(60)..];
            eprintln!("{}", tail.join("\n"));
        }
        outcome
    }

    fn read_port(&self, file: &str) -> Result<u16> {
        let path = self.path.join(file);
        let text = wait_for(Duration::from_secs(15), &format!("{file} written"), || {
            std::fs::read_to_string(&path)
                .ok()
                .filter(|text| text.ends_with('\n'))
        })?;
        text.trim().parse().context(file.to_owned())
    }

    /// The phase that the enclave answers to anybody.
    pub fn phase(&self) -> Result<String> {
        self.phase_at(&self.url())
    }

    /// The phase of an enclave, wherever it is reached.
    pub fn phase_at(&self, url: &str) -> Result<String> {
        let output = run_ok(Command::new("curl").args([
            "--silent",
            "--insecure",
            "--max-time",
            "5",
            &format!("{url}/healthz"),
        ]))?;
        let health: Value = serde_json::from_slice(&output.stdout)?;
        Ok(health["phase"].as_str().context("no phase")?.to_owned())
    }

    /// Waits until the enclave is in a phase.
    pub fn wait_for_phase(&self, phase: &str) -> Result<()> {
        wait_for(Duration::from_secs(30), &format!("phase {phase}"), || {
            self.phase().ok().filter(|now| now == phase)
        })?;
        Ok(())
    }

    /// The officer's share, sealed to the attested boot key.
    pub fn unseal(&self) -> Result<()> {
        self.wait_for_phase("awaiting_unseal")?;
        self.unseal_at(&self.url())
    }

    /// The same, wherever the enclave is reached.
    pub fn unseal_at(&self, url: &str) -> Result<()> {
        let share = only_file(&self.genesis_dir(), "share")?;
        run_ok(
            Command::new(self.program("redoubt"))
                .arg("unseal")
                .arg(url)
                .arg("--policy")
                .arg(self.policy())
                .arg("--share")
                .arg(share)
                .arg("--memory")
                .arg(self.path.join("officer-memory.json")),
        )?;
        Ok(())
    }

    /// The auditor verifies the enclave and writes the CA to pin.
    pub fn trust(&self) -> Result<()> {
        run_ok(&mut self.trust_command(&self.url(), &self.policy(), &self.trust_dir()))?;
        Ok(())
    }

    /// `redoubt-audit trust` against any address and policy.
    pub fn trust_command(&self, url: &str, policy: &Path, out: &Path) -> Command {
        let mut command = Command::new(self.program("redoubt-audit"));
        command.arg("trust").arg(url);
        command.arg("--policy").arg(policy);
        command.arg("--out").arg(out).arg("--json");
        command
    }

    /// The tenant's certificate and key as files.
    pub fn identity(&self, tenant: &Tenant) -> Identity {
        tenant.files.clone()
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        self.enclave = None;
        self.standby = None;
        self.host = None;
        if (self.keep.load(Ordering::Relaxed) || std::thread::panicking())
            && let Some(dir) = self.dir.take()
        {
            eprintln!("kept for inspection: {}", dir.keep().display());
        }
    }
}
