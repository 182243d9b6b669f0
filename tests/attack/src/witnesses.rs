//! Witnesses as the auditor runs them, and the host's relay to them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use redoubt_e2e::Environment;
use redoubt_e2e::appliance::wait_for;
use redoubt_e2e::process::{Part, run_ok};
use redoubt_shared::peers::{PeerRequest, PeerResponse};
use redoubt_shared::{read_frame, write_frame};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::lab::Kind;

/// How many witnesses a witnessed lab has, and how many must agree.
pub const WITNESSES: usize = 3;
/// k of the policy.
pub const NEEDED: usize = 2;
/// The lease, as by default.
pub const LEASE: Duration = Duration::from_millis(2000);

fn names() -> impl Iterator<Item = String> {
    (1..=WITNESSES).map(|number| format!("witness-{number}"))
}

/// Keys and state of witnesses on disk; none of them runs.
#[derive(Debug, Clone)]
pub struct State(PathBuf);

/// Running witnesses. They end with their owner.
pub struct Witnesses {
    /// Where each listens, by name.
    pub ports: BTreeMap<String, u16>,
    _parts: Vec<Part>,
}

impl State {
    /// New witnesses, and how a ceremony names them.
    pub fn init(
        environment: &Environment,
        dir: &Path,
        kind: Kind,
    ) -> Result<(Self, Vec<OsString>)> {
        let (role, count) = match kind {
            Kind::Custodian => ("--custodian", 1),
            _ => ("--witness", WITNESSES),
        };
        let mut arguments: Vec<OsString> = Vec::new();
        for name in names().take(count) {
            let output = run_ok(
                Command::new(environment.program("redoubt-audit"))
                    .arg("witness")
                    .arg("--dir")
                    .arg(dir.join(&name))
                    .args(["--init", "--name", &name]),
            )?;
            let entry = dir.join(format!("{name}.json"));
            std::fs::write(&entry, output.stdout)?;
            arguments.extend([role.into(), entry.into()]);
        }
        let freshness = match kind {
            Kind::Alone | Kind::Custodian => return Ok((Self(dir.to_path_buf()), arguments)),
            Kind::Strict => "strict",
            Kind::Lease => "lease",
        };
        let lease = LEASE.as_millis().to_string();
        for (flag, value) in [
            ("--witness-k", NEEDED.to_string().as_str()),
            ("--freshness", freshness),
            ("--lease-ms", &lease),
        ] {
            arguments.extend([flag.into(), value.into()]);
        }
        Ok((Self(dir.to_path_buf()), arguments))
    }

    /// A copy of everything they remember.
    pub fn copy_to(&self, dir: &Path) -> Result<Self> {
        copy(&self.0, dir)?;
        Ok(Self(dir.to_path_buf()))
    }

    /// Starts them on this state.
    pub fn start(&self, environment: &Environment, policy: &Path) -> Result<Witnesses> {
        let mut ports = BTreeMap::new();
        let mut parts = Vec::new();
        for name in names().filter(|name| self.0.join(name).is_dir()) {
            let port_file = self.0.join(format!("{name}.port"));
            let _ = std::fs::remove_file(&port_file);
            let mut command = Command::new(environment.program("redoubt-audit"));
            command.arg("witness").arg("--dir").arg(self.0.join(&name));
            command.args(["--listen", "127.0.0.1:0"]);
            command.arg("--policy").arg(policy);
            command.arg("--port-file").arg(&port_file);
            let log = self.0.join(format!("{name}.log"));
            parts.push(Part::start("witness", command, &log)?);
            let text = wait_for(Duration::from_secs(10), "a witness's port", || {
                let text = std::fs::read_to_string(&port_file).ok()?;
                text.trim().parse::<u16>().ok()
            })?;
            ports.insert(name, text);
        }
        Ok(Witnesses {
            ports,
            _parts: parts,
        })
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
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

/// The host's relay: the names it lets through, and where they lead.
pub struct PeerRelay {
    cut: Arc<Mutex<BTreeSet<String>>>,
    streams: Arc<Mutex<JoinSet<()>>>,
    task: tokio::task::JoinHandle<()>,
    names: Vec<String>,
}

impl PeerRelay {
    /// Listens where the enclave connects.
    pub fn listen(path: &Path, witnesses: &Witnesses) -> Result<Self> {
        let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
        let cut = Arc::<Mutex<BTreeSet<String>>>::default();
        let streams = Arc::new(Mutex::new(JoinSet::new()));
        let (closed, open, ports) = (cut.clone(), streams.clone(), witnesses.ports.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (closed, ports) = (closed.clone(), ports.clone());
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                open.spawn(async move {
                    // A stream that breaks is the enclave's to open again.
                    let _ = connect(stream, &ports, &closed).await;
                });
            }
        });
        Ok(Self {
            cut,
            streams,
            task,
            names: witnesses.ports.keys().cloned().collect(),
        })
    }

    /// From now on only so many witnesses can be reached; open streams end.
    pub fn allow(&self, count: usize) {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        *cut = self.names.iter().skip(count).cloned().collect();
        let mut open = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        open.abort_all();
    }
}

impl Drop for PeerRelay {
    fn drop(&mut self) {
        self.task.abort();
        let mut open = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        open.abort_all();
    }
}

async fn connect(
    mut stream: UnixStream,
    ports: &BTreeMap<String, u16>,
    cut: &Mutex<BTreeSet<String>>,
) -> Result<()> {
    let PeerRequest { name } = read_frame(&mut stream).await?;
    let is_cut = cut
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .contains(&name);
    let port = ports.get(&name).filter(|_| !is_cut);
    let Some(port) = port else {
        let detail = "cut off by the host".to_owned();
        write_frame(&mut stream, &PeerResponse::Refused { detail }).await?;
        return Ok(());
    };
    let mut peer = TcpStream::connect(("127.0.0.1", *port)).await?;
    peer.set_nodelay(true)?;
    write_frame(&mut stream, &PeerResponse::Connected).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut peer).await?;
    Ok(())
}
