//! The real enclave with a hostile host around it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use redoubt_bank::{Bank, Connection};
use redoubt_e2e::appliance::Tenant;
use redoubt_e2e::peers::Ports;
use redoubt_e2e::process::{Part, run};
use tokio::net::{TcpListener, UnixStream};

use crate::disk::Disk;
use crate::lab::Lab;
use crate::store::{Store, Trick, honest};
use crate::witnesses::PeerRelay;

/// How long an opening may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One enclave, its store, and the way in.
pub struct Running {
    /// Its store.
    pub store: Store,
    /// Its way to witnesses, if its genesis names any.
    pub peers: Option<PeerRelay>,
    /// Sockets and log.
    pub place: PathBuf,
    part: Part,
    port: u16,
    relay: tokio::task::JoinHandle<()>,
}

/// Where an opening led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It answers banks.
    Serving,
    /// It stopped for good and said why.
    Halted(String),
    /// It ended by itself, before or after the officers.
    Ended(String),
    /// Neither: it goes on trying; the last thing it said.
    Waiting(String),
}

impl Lab {
    /// Starts an enclave over a disk, with a trick from the first request on.
    pub fn start_with(&self, disk: Disk, trick: Trick) -> Result<Running> {
        self.start_among(disk, trick, self.lasting_peers().as_ref())
    }

    /// The same, with witnesses that the host lets it reach.
    pub fn start_among(
        &self,
        disk: Disk,
        trick: Trick,
        witnesses: Option<&Ports>,
    ) -> Result<Running> {
        let place = self.place()?;
        let _context = self.runtime.enter();
        let store = Store::listen(&place.join("store"), disk, trick, self.nonces.clone())?;
        let peers = match witnesses {
            Some(witnesses) => Some(PeerRelay::listen(&place.join("peers"), witnesses)?),
            None => None,
        };
        let part = self.enclave(&place, peers.is_some())?;
        let (port, relay) = relay(place.join("ingress"))?;
        let mut running = Running {
            store,
            place,
            peers,
            part,
            port,
            relay,
        };
        running.wait_for_door()?;
        Ok(running)
    }

    /// Starts an enclave over a disk that is served honestly.
    pub fn start(&self, disk: Disk) -> Result<Running> {
        self.start_with(disk, honest())
    }

    /// Starts, unseals with officers who remember nothing, waits for the end.
    pub fn open(&self, disk: Disk) -> Result<(Running, End)> {
        let running = self.start(disk)?;
        let end = running.unseal(self, None, PATIENCE)?;
        Ok((running, end))
    }

    /// Starts and unseals an enclave that reaches these witnesses.
    pub fn open_among(&self, disk: Disk, witnesses: &Ports) -> Result<(Running, End)> {
        let running = self.start_among(disk, honest(), Some(witnesses))?;
        let end = running.unseal(self, None, PATIENCE)?;
        Ok((running, end))
    }

    fn enclave(&self, place: &Path, peers: bool) -> Result<Part> {
        let mut command = Command::new(self.appliance.program("redoubt-enclave"));
        let streams = ["ingress", "store", "worker", "supervise", "peers"];
        for stream in &streams[..if peers { 5 } else { 4 }] {
            let endpoint = format!("unix:{}", place.join(stream).display());
            command.arg(format!("--{stream}")).arg(endpoint);
        }
        command.arg("--dangerous-emulated-attester");
        command.arg(self.appliance.genesis_dir().join("emulated"));
        Part::start("enclave", command, &place.join("log"))
    }
}

impl Running {
    /// Waits until it listens; one that ends instead is found by [`Self::ended`].
    fn wait_for_door(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let door = self.place.join("ingress");
        while std::os::unix::net::UnixStream::connect(&door).is_err() {
            if self.part.ended().is_some() {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the enclave does not listen: {}", self.log()?);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The officer's share, with or without a memory, and where it led.
    pub fn unseal(&self, lab: &Lab, memory: Option<&Path>, wait: Duration) -> Result<End> {
        let share = redoubt_e2e::appliance::only_file(&lab.appliance.genesis_dir(), "share")?;
        let fresh = self.place.join("memory.json");
        let output = run(Command::new(lab.appliance.program("redoubt"))
            .arg("unseal")
            .arg(self.url())
            .arg("--policy")
            .arg(lab.appliance.policy())
            .arg("--share")
            .arg(share)
            .arg("--memory")
            .arg(memory.unwrap_or(&fresh))
            .arg("--wait")
            .arg(wait.as_secs().to_string()))?;
        if output.status.success() {
            return Ok(End::Serving);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let log = self.log()?;
        if let Some(reason) = halted(&log) {
            return Ok(End::Halted(reason));
        }
        if let Some(reason) = self.ended()? {
            return Ok(End::Ended(reason));
        }
        match warning(&log) {
            Some(warning) => Ok(End::Waiting(warning)),
            None => bail!("unsealing failed: {said}\n{log}"),
        }
    }

    /// Why it ended by itself.
    pub fn ended(&self) -> Result<Option<String>> {
        let log = self.log()?;
        let mut lines = log.lines();
        let said = lines.find_map(|line| line.strip_prefix("redoubt-enclave: "));
        Ok(said.map(str::to_owned))
    }

    /// Why it halted, waiting for that a while.
    pub fn halted(&self, patience: Duration) -> Result<Option<String>> {
        let end = Instant::now() + patience;
        loop {
            let reason = halted(&self.log()?);
            if reason.is_some() || Instant::now() > end {
                return Ok(reason);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything it logged.
    pub fn log(&self) -> Result<String> {
        let bytes = std::fs::read(self.place.join("log"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The process is still there.
    pub fn is_alive(&mut self) -> bool {
        self.part.ended().is_none()
    }

    /// SIGKILL; the disk as it was then.
    pub fn kill(mut self) -> Disk {
        self.part.kill();
        self.store.snapshot()
    }

    /// Where banks connect.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A client of a tenant.
    pub fn bank(&self, lab: &Lab, tenant: &Tenant) -> Result<Bank> {
        Bank::open(&Connection {
            url: self.url(),
            ca: lab.appliance.ca()?,
            client: Some(tenant.pem.clone()),
            http2: false,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.part.kill();
        self.relay.abort();
    }
}

/// The text after `halted reason=`.
fn halted(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains(" halted "))?;
    let (_, reason) = line.split_once("reason=")?;
    Some(reason.to_owned())
}

fn warning(log: &str) -> Option<String> {
    let mut lines = log.lines().rev();
    let line = lines.find(|line| line.contains(" WARN ") && !line.contains("EMULATED"))?;
    let (_, text) = line.split_once(" WARN ")?;
    Some(text.trim().to_owned())
}

/// From a port of the loopback to the enclave's door.
fn relay(door: PathBuf) -> Result<(u16, tokio::task::JoinHandle<()>)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let listener = TcpListener::from_std(listener).context("relay")?;
    let task = tokio::spawn(async move {
        while let Ok((mut outer, _)) = listener.accept().await {
            let door = door.clone();
            tokio::spawn(async move {
                let _ = outer.set_nodelay(true);
                if let Ok(mut inner) = UnixStream::connect(&door).await {
                    // Either side may end at any time.
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                }
            });
        }
    });
    Ok((port, task))
}
