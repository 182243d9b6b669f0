//! `redoubt-enclave`: chooses transport and attester, starts the appliance, and
//! opens the front door.
//!
//! Protects against: configuration from outside the measured image. What to
//! serve comes from files that officers signed; the command line names only
//! where the streams are and which attester there is, and nothing is read from
//! the environment.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgGroup, Parser};
use redoubt_attestation::attester::{Attester, EmulatedAttester, NsmAttester};
use redoubt_enclave::gateway::{Counters, Gateway, Limits, supervise};
use redoubt_enclave::ledger::SNAPSHOT_BYTES;
use redoubt_enclave::rego;
use redoubt_enclave::service::{Appliance, BootConfig, Front};
use redoubt_shared::{Endpoint, Listener};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// What the enclave frees is wiped.
#[global_allocator]
static HEAP: redoubt_enclave::wiping::Wiping = redoubt_enclave::wiping::Wiping;

/// The attested enclave of a Redoubt appliance: ends the banks' TLS, decides,
/// signs, and keeps its state in a sealed ledger that the host only carries.
///
/// Endpoints are vsock:CID:PORT, unix:PATH, or unix:PATH:PORT.
#[derive(Debug, Parser)]
#[command(version, about, group(
    ArgGroup::new("attester").required(true).args(["nsm", "dangerous_emulated_attester"])
))]
struct Arguments {
    /// Listen here for the banks' TLS connections, relayed by the host.
    #[arg(long, value_name = "ENDPOINT")]
    ingress: Endpoint,
    /// Connect here to the host's ledger store.
    #[arg(long, value_name = "ENDPOINT")]
    store: Endpoint,
    /// Connect here to a sealed worker, relayed by the host.
    #[arg(long, value_name = "ENDPOINT")]
    worker: Endpoint,
    /// Listen here for the host's supervisor.
    #[arg(long, value_name = "ENDPOINT")]
    supervise: Endpoint,
    /// Connect here to witnesses and custodians, relayed by the host. Needed when
    /// the genesis manifest names any.
    #[arg(long, value_name = "ENDPOINT")]
    peers: Option<Endpoint>,
    /// Write a snapshot of the state after this many bytes of entries.
    #[arg(long, value_name = "BYTES", default_value_t = SNAPSHOT_BYTES)]
    snapshot_bytes: u64,
    /// Attest with the Nitro security module of this machine.
    #[arg(long)]
    nsm: bool,
    /// DANGEROUS: attest with a key from a file (DIR/root.pem, DIR/root.key).
    /// Whoever can read that key can forge any evidence; only a genesis manifest
    /// that says `emulated` accepts it.
    #[arg(long, value_name = "DIR")]
    dangerous_emulated_attester: Option<PathBuf>,
    /// DANGEROUS: move the emulated attester's clock by so many milliseconds.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 0,
        requires = "dangerous_emulated_attester",
        conflicts_with = "nsm",
        allow_negative_numbers = true
    )]
    dangerous_time_offset_ms: i64,
    /// How much of this program's own log to write to stderr: error, warn, info or debug.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: LevelFilter,
}

fn main() -> ExitCode {
    // The same program is the room of a tenant's policy: without any of the below.
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(rego::ARGUMENT) && words.next().is_none() {
        return rego::main();
    }
    appliance()
}

#[tokio::main]
async fn appliance() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.log);
    std::panic::set_hook(Box::new(report_panic));
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text)) => {
            eprintln!("redoubt-enclave: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Why the enclave did not start, for the operator.
struct Failure(String);

impl Failure {
    fn because(what: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let attester = choose_attester(&arguments)?;
    let appliance = Appliance::boot(BootConfig {
        attester,
        store: arguments.store,
        worker: arguments.worker,
        peers: arguments.peers,
        snapshot_bytes: arguments.snapshot_bytes,
        // This very program, whatever happens to its file.
        policy_program: "/proc/self/exe".into(),
    })
    .await
    .map_err(|error| Failure::because("boot", error))?;
    let services = Arc::new(Front(appliance));
    let counters = Arc::new(Counters::default());
    let supervisor = listen("--supervise", &arguments.supervise).await?;
    let ingress = listen("--ingress", &arguments.ingress).await?;
    let gateway = Gateway::new(services.clone(), Limits::default(), counters.clone());
    let stop = stop_signal().map_err(|error| Failure::because("signals", error))?;
    tracing::info!("listening");
    tokio::select! {
        () = gateway.serve(ingress) => {}
        () = supervise(services, counters, supervisor) => {}
        () = stop => tracing::info!("asked to stop"),
    }
    Ok(())
}

/// Exactly one attester; the hardware one has no fall-back.
fn choose_attester(arguments: &Arguments) -> Result<Arc<dyn Attester>, Failure> {
    let Some(folder) = &arguments.dangerous_emulated_attester else {
        let nsm = NsmAttester::open().map_err(|error| Failure::because("--nsm", error))?;
        return Ok(Arc::new(nsm));
    };
    tracing::warn!("the attester is EMULATED: its evidence proves nothing about this machine");
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| Failure::because(&path.display().to_string(), error))
    };
    let text = |name: &str| {
        let path = folder.join(name);
        String::from_utf8(read(&path)?)
            .map_err(|error| Failure::because(&path.display().to_string(), error))
    };
    let program = read(Path::new("/proc/self/exe"))?;
    let offset = arguments.dangerous_time_offset_ms;
    EmulatedAttester::dangerous_new(&text("root.pem")?, &text("root.key")?, &program, offset)
        .map(|attester| Arc::new(attester) as Arc<dyn Attester>)
        .map_err(|error| Failure::because("--dangerous-emulated-attester", error))
}

async fn listen(flag: &str, endpoint: &Endpoint) -> Result<Listener, Failure> {
    let listener = endpoint.listen().await;
    listener.map_err(|error| Failure::because(&format!("{flag} {endpoint}"), error))
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Only this program's own lines: libraries may name what a request carried.
fn start_log(level: LevelFilter) {
    let own = Targets::new()
        .with_target("redoubt_enclave", level)
        .with_target("redoubt_attestation", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_filter(own);
    tracing_subscriber::registry().with(lines).init();
}

/// Where, never what: a panic's message may hold data.
fn report_panic(info: &std::panic::PanicHookInfo<'_>) {
    let place = info.location();
    let file = place.map_or("unknown", |place| place.file());
    let line = place.map_or(0, |place| place.line());
    tracing::error!(file, line, "panicked");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(rest: &str) -> bool {
        let streams = "x --ingress unix:/a --store unix:/b --worker unix:/c --supervise unix:/d";
        let words = streams.split(' ').chain(rest.split(' '));
        Arguments::try_parse_from(words.filter(|word| !word.is_empty())).is_ok()
    }

    #[test]
    fn there_is_exactly_one_attester_and_only_the_emulated_clock_moves() {
        assert!(accepted("--nsm"));
        assert!(accepted("--dangerous-emulated-attester d"));
        assert!(accepted(
            "--dangerous-emulated-attester d --dangerous-time-offset-ms -5"
        ));
        assert!(!accepted(""));
        assert!(!accepted("--nsm --dangerous-emulated-attester d"));
        assert!(!accepted("--nsm --dangerous-time-offset-ms 5"));
        assert!(!accepted("--dangerous-time-offset-ms 5"));
    }
}
