//! Witnesses as the auditor runs them, and the host's relay to them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use redoubt_e2e::Environment;
use redoubt_e2e::peers::{Duty, PeerSet, Ports};
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

/// New peers of a kind of lab, and how a ceremony names them; nobody in a lab alone.
pub fn appoint(
    environment: &Environment,
    dir: &Path,
    kind: Kind,
) -> Result<Option<(PeerSet, Vec<OsString>)>> {
    let freshness = match kind {
        Kind::Alone => return Ok(None),
        Kind::Custodian => {
            let peers = PeerSet::init(environment, dir, 1)?;
            let ceremony = peers.ceremony(Duty::Custodian, 1);
            return Ok(Some((peers, ceremony)));
        }
        Kind::Strict => "strict",
        Kind::Lease => "lease",
    };
    let peers = PeerSet::init(environment, dir, WITNESSES)?;
    let mut ceremony = peers.ceremony(Duty::Witness, NEEDED);
    let lease = LEASE.as_millis().to_string();
    ceremony.extend(["--freshness", freshness, "--lease-ms", &lease].map(OsString::from));
    Ok(Some((peers, ceremony)))
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
    pub fn listen(path: &Path, witnesses: &Ports) -> Result<Self> {
        let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
        let cut = Arc::<Mutex<BTreeSet<String>>>::default();
        let streams = Arc::new(Mutex::new(JoinSet::new()));
        let (closed, open, ports) = (cut.clone(), streams.clone(), witnesses.clone());
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
            names: witnesses.keys().cloned().collect(),
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
    ports: &Ports,
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
