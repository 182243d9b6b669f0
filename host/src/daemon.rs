//! `redoubt-host run`: puts the parts together and ends them cleanly.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use redoubt_shared::Endpoint;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{self, Admin};
use crate::capture::Capture;
use crate::files::write_atomically;
use crate::ingress::{self, Ingress, Quotas};
use crate::metrics::Metrics;
use crate::peers::{self, PeerAddress, Peers};
use crate::places::Places;
use crate::standby::StandbyArgs;
use crate::store::service::{StoreHandle, StorePaths};
use crate::store::session;
use crate::supervise;
use crate::worker::{self, Elsewhere, Launch, Parent, Supervisor, WorkerState};

/// Flags of `redoubt-host run`. Endpoints: vsock:CID:PORT, unix:PATH, unix:PATH:PORT.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Where banks connect; port 0 takes a free one (see --port-file)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Write the port taken by --listen here once it accepts connections
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Where the enclave accepts bank streams
    #[arg(long, value_name = "ENDPOINT")]
    ingress: Endpoint,
    /// Where the enclave connects for its ledger; this host listens
    #[arg(long, value_name = "ENDPOINT")]
    store: Endpoint,
    /// Folder of the ledger's segments
    #[arg(long, value_name = "DIR")]
    store_dir: PathBuf,
    /// Folder with genesis.json and config.json
    #[arg(long, value_name = "DIR")]
    boot_dir: PathBuf,
    /// Where the enclave connects for a worker; this host listens
    #[arg(long, value_name = "ENDPOINT", requires = "worker_source")]
    worker: Option<Endpoint>,
    /// The worker's program
    #[arg(
        long,
        value_name = "FILE",
        requires = "worker",
        group = "worker_source"
    )]
    worker_bin: Option<PathBuf>,
    /// In place of a program: where a worker listens that runs elsewhere, such as in
    /// an image of its own; repeat for a second one, which policy may ask for
    #[arg(
        long = "worker-at",
        value_name = "ENDPOINT",
        requires = "worker",
        group = "worker_source"
    )]
    worker_at: Vec<Endpoint>,
    /// One argument for the worker; repeat, as --worker-arg=--models --worker-arg=DIR
    #[arg(long = "worker-arg", value_name = "ARG", allow_hyphen_values = true)]
    worker_args: Vec<OsString>,
    /// Write the worker's process id here at every start
    #[arg(long, value_name = "FILE")]
    worker_pid_file: Option<PathBuf>,
    /// Append the worker's standard error here [default: this program's own]
    #[arg(long, value_name = "FILE")]
    worker_log: Option<PathBuf>,
    /// Where the enclave answers its supervisor
    #[arg(long, value_name = "ENDPOINT")]
    supervise: Endpoint,
    /// Where the enclave connects for witnesses and custodians; this host listens
    #[arg(long, value_name = "ENDPOINT")]
    peers: Option<Endpoint>,
    /// Where a witness or custodian of the genesis manifest listens; repeat for each
    #[arg(long = "peer", value_name = "NAME=HOST:PORT", requires = "peers")]
    peer: Vec<PeerAddress>,
    /// Where /healthz and /metrics are served; loopback only
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: SocketAddr,
    /// Write the port taken by --admin here
    #[arg(long, value_name = "FILE")]
    admin_port_file: Option<PathBuf>,
    /// Bank connections at once
    #[arg(long, value_name = "N", default_value_t = 4096)]
    max_connections: usize,
    /// Bank connections at once from one address
    #[arg(long, value_name = "N", default_value_t = 1024)]
    max_connections_per_source: usize,
    /// Seconds the enclave has to accept a stream
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    connect_timeout: u64,
    /// Seconds without a byte after which a bank connection is ended
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    idle_timeout: u64,
    /// For showing blindness, not for production: append every byte the relays
    /// move, ingress and worker, both directions, to this file. It holds what a
    /// curious host can see
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    #[command(flatten)]
    standby: StandbyArgs,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let admin_address = admin::require_loopback(args.admin)?;
    raise_file_limit();
    let metrics = Arc::new(Metrics::default());
    let capture = args.capture.as_deref().map(Capture::open).transpose();
    let capture = capture.context("--capture")?;
    let mut tasks = JoinSet::new();

    let paths = StorePaths {
        store_dir: args.store_dir.clone(),
        boot_dir: args.boot_dir.clone(),
    };
    let (store, store_thread) = StoreHandle::start(paths, metrics.clone())?;
    for (flag, door) in [
        ("--store", Some(&args.store)),
        ("--standby-store", args.standby.standby_store.as_ref()),
    ] {
        if let Some(endpoint) = door {
            let listener = endpoint.listen().await.context(flag)?;
            tasks.spawn(session::serve(listener, store.clone(), metrics.clone()));
        }
    }

    let state = WorkerState::none();
    let (stop, stopped) = watch::channel(false);
    let supervisor = start_worker(&args, &state, &metrics, &capture, stopped, &mut tasks).await?;
    start_peers(&args, &metrics, &capture, &mut tasks).await?;
    let places = Places::new(args.ingress.clone(), args.standby.standby_ingress.clone());
    let supervised = [
        Some(&args.supervise),
        args.standby.standby_supervise.as_ref(),
    ];
    for (at, endpoint) in supervised.into_iter().flatten().enumerate() {
        let place = places.watched(at);
        tasks.spawn(supervise::poll(endpoint.clone(), place, metrics.clone()));
    }

    let pages = Admin {
        metrics: metrics.clone(),
        store: store.clone(),
        worker: state,
    };
    let admin_listener = TcpListener::bind(admin_address).await.context("--admin")?;
    announce(&admin_listener, args.admin_port_file.as_deref(), "admin")?;
    tasks.spawn(async move {
        if let Err(error) = admin::serve(admin_listener, pages).await {
            tracing::error!(%error, "the admin pages ended");
        }
    });

    let StandbyArgs {
        standby_listen,
        standby_port_file,
        first_listen,
        first_port_file,
        ..
    } = &args.standby;
    for (address, port_file, what, fixed) in [
        (Some(args.listen), &args.port_file, "ingress", None),
        (*first_listen, first_port_file, "first", Some(0)),
        (*standby_listen, standby_port_file, "standby", Some(1)),
    ] {
        let Some(address) = address else {
            continue;
        };
        let listener = bind_ingress(address)?;
        announce(&listener, port_file.as_deref(), what)?;
        let ingress = Arc::new(Ingress {
            quotas: args.quotas(),
            enclave: places.door(fixed),
            metrics: metrics.clone(),
            capture: capture.clone(),
        });
        tasks.spawn(ingress::serve(listener, ingress));
    }

    wait_for_signal().await?;
    tracing::info!("ending");
    let _ = stop.send(true);
    if let Some(supervisor) = supervisor {
        let _ = supervisor.await;
    }
    tasks.shutdown().await;
    store.stop();
    let _ = tokio::task::spawn_blocking(move || store_thread.join()).await;
    Ok(())
}

impl RunArgs {
    fn quotas(&self) -> Quotas {
        Quotas {
            total: self.max_connections,
            per_source: self.max_connections_per_source,
            connect: Duration::from_secs(self.connect_timeout),
            idle: Duration::from_secs(self.idle_timeout),
        }
    }
}

async fn start_peers(
    args: &RunArgs,
    metrics: &Arc<Metrics>,
    capture: &Option<Capture>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let addresses = peers::addresses(&args.peer)?;
    let Some(endpoint) = &args.peers else {
        return Ok(());
    };
    let relay = Arc::new(Peers {
        addresses,
        limits: peers::Limits::default(),
        metrics: metrics.clone(),
        capture: capture.clone(),
    });
    let standby = args.standby.standby_peers.iter();
    for endpoint in std::iter::once(endpoint).chain(standby) {
        let listener = endpoint.listen().await;
        let listener = listener.with_context(|| format!("--peers {endpoint}"))?;
        tasks.spawn(peers::serve(listener, relay.clone()));
    }
    Ok(())
}

async fn start_worker(
    args: &RunArgs,
    state: &WorkerState,
    metrics: &Arc<Metrics>,
    capture: &Option<Capture>,
    stopped: watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    let Some(endpoint) = &args.worker else {
        return Ok(None);
    };
    let (sender, sessions) = worker::queue();
    let standby = args.standby.standby_worker.iter();
    for endpoint in std::iter::once(endpoint).chain(standby) {
        let listener = endpoint.listen().await;
        let listener = listener.with_context(|| format!("--worker {endpoint}"))?;
        tasks.spawn(worker::accept(listener, sender.clone()));
    }
    let (state, metrics, capture) = (state.clone(), metrics.clone(), capture.clone());
    if !args.worker_at.is_empty() {
        let elsewhere = Elsewhere {
            endpoints: args.worker_at.clone(),
            state,
            metrics,
            capture,
        };
        tasks.spawn(elsewhere.run(sessions));
        return Ok(None);
    }
    let program = args.worker_bin.clone().context("--worker-bin")?;
    let supervisor = Supervisor {
        parent: Parent::new(Launch {
            program,
            arguments: args.worker_args.clone(),
            log: args.worker_log.clone(),
            pid_file: args.worker_pid_file.clone(),
        })?,
        state,
        metrics,
        capture,
    };
    Ok(Some(tokio::spawn(supervisor.run(sessions, stopped))))
}

/// A deep queue, so that a burst of banks is met by quotas, not by the kernel.
fn bind_ingress(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        TcpListener::from_std(socket.into())
    };
    bind().with_context(|| format!("--listen {address}"))
}

fn announce(
    listener: &TcpListener,
    port_file: Option<&std::path::Path>,
    what: &str,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    if let Some(path) = port_file {
        write_atomically(path, format!("{}\n", address.port()).as_bytes())?;
    }
    tracing::info!(%address, what, "listening");
    Ok(())
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Every connection takes two descriptors; the usual soft limit is 1024.
fn raise_file_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a valid pointer to a limit of this process.
    #[allow(unsafe_code)]
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
