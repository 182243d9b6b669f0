//! `redoubt-worker`: loads, closes the world, serves one attested session, ends.

mod door;

use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use door::Door;
use redoubt_attestation::attester::{Attester, EmulatedAttester, NsmAttester};
use redoubt_attestation::binding::{Backend, WorkerBinding};
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::genesis::Tier;
use redoubt_shared::Endpoint;
use redoubt_worker::cuda::{Compared, Cuda, Handle};
use redoubt_worker::manifest::Manifest;
use redoubt_worker::pipeline::{Graphs, Pipeline, Settings, helper_threads};
use redoubt_worker::sandbox::{self, Descriptors, selftest};
use redoubt_worker::session::{FirstRun, Identity, Queue, serve, spawn};
use redoubt_worker::{runtime, wipe};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: wipe::WipeOnFree = wipe::WipeOnFree;

/// The sealed inference worker: serves one attested session, then ends. Started by
/// the host on an inherited stream, or by the init of an image of its own, where
/// it listens; used by the enclave.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Seal this process, try to break out, print one JSON line per attempt.
    #[arg(long)]
    sandbox_selftest: bool,
    /// Folder with the fetched model files.
    #[arg(long, required_unless_present = "sandbox_selftest")]
    models: Option<PathBuf>,
    /// The model manifest (images/models.toml).
    #[arg(long, required_unless_present = "sandbox_selftest")]
    manifest: Option<PathBuf>,
    /// Inherited descriptor of the stream: one end of a Unix socket pair.
    #[arg(long, required_unless_present_any = ["sandbox_selftest", "cuda_check", "listen"])]
    stream_fd: Option<RawFd>,
    /// Listen here once everything is loaded, take one stream, and close the door.
    #[arg(long, value_name = "ENDPOINT", conflicts_with = "stream_fd")]
    listen: Option<Endpoint>,
    /// Sign evidence with root.pem and root.key of this folder. Proves nothing:
    /// accepted only under a genesis of environment `emulated`.
    #[arg(long, value_name = "DIR")]
    dangerous_emulated_attester: Option<PathBuf>,
    /// Take evidence from the Nitro security module.
    #[arg(long, conflicts_with = "dangerous_emulated_attester")]
    nsm: bool,
    /// What this worker claims to be; the genesis manifest must agree.
    #[arg(long, default_value = "process", value_parser = tier)]
    tier: Tier,
    /// Job threads; one per core if left out.
    #[arg(long)]
    threads: Option<usize>,
    /// Run the embedders there are kernels for on the NVIDIA GPU. The folder holds its compiler, as
    /// images/cuda.toml pins it. Without agreement with the CPU, nothing is served.
    #[arg(long, value_name = "DIR")]
    cuda: Option<PathBuf>,
    /// Compare the GPU with the CPU, measure both, print JSON, end.
    #[arg(long, requires = "cuda", requires = "models", requires = "manifest")]
    cuda_check: bool,
    /// Threads inside one run of a network.
    #[arg(long, default_value_t = 1)]
    intra_threads: usize,
    /// Embed each face together with its mirror image, in twice the time. For evaluations:
    /// the manifest's calibration is of faces alone.
    #[arg(long)]
    mirrored: bool,
}

fn tier(text: &str) -> Result<Tier, String> {
    [Tier::Process, Tier::Enclave, Tier::ConfidentialGpu]
        .into_iter()
        .find(|tier| tier.name() == text)
        .ok_or_else(|| "use process, enclave or confidential_gpu".to_owned())
}

fn main() {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    say_only_where_on_panic();
    let ended = match &arguments.cuda {
        _ if arguments.sandbox_selftest => print_selftest(),
        Some(cuda) if arguments.cuda_check => print_cuda_check(&arguments, cuda),
        _ => catch_unwind(AssertUnwindSafe(|| run(&arguments)))
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the worker panicked"))),
    };
    if let Err(error) = &ended {
        tracing::error!("{error:#}");
    }
    // Job threads may be in the middle of a network: nothing is taken from under them.
    sandbox::end(i32::from(ended.is_err()))
}

/// A panic's message may carry a piece of the sample that caused it.
fn say_only_where_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a job panicked");
    }));
}

fn print_selftest() -> anyhow::Result<()> {
    sandbox::harden(None)?;
    for outcome in selftest::run()? {
        println!("{}", serde_json::to_string(&outcome)?);
    }
    Ok(())
}

fn print_cuda_check(arguments: &Arguments, cuda: &Path) -> anyhow::Result<()> {
    let (Some(models), Some(manifest)) = (&arguments.models, &arguments.manifest) else {
        anyhow::bail!("--models and --manifest are needed");
    };
    let manifest = Manifest::open(manifest, models)?;
    let environment = runtime::load(&manifest)?;
    let reports = Cuda::open(cuda)?.check(&environment, &Graphs::read(&manifest)?)?;
    println!("{}", serde_json::to_string_pretty(&reports)?);
    Ok(())
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (Some(models), Some(manifest)) = (&arguments.models, &arguments.manifest) else {
        anyhow::bail!("--models and --manifest are needed");
    };
    sandbox::harden(arguments.stream_fd)?;
    let manifest = Manifest::open(manifest, models)?;
    let identity = identity(arguments, &manifest)?;
    // Job threads use it until the process ends.
    let environment = ManuallyDrop::new(runtime::load(&manifest)?);
    let graphs = Graphs::read(&manifest)?;
    let gpu = Device::open(arguments, &environment, &graphs)?;
    let pipelines = pipelines(arguments, &environment, &graphs, &gpu.embedders)?;
    let reactor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    sandbox::check_threads(1 + helper_threads() + gpu.threads)?;
    let queue = Arc::new(Queue::default());
    let threads = pipelines.len();
    let listening = arguments.listen.is_some();
    let first = match listening {
        true => FirstRun::Behind,
        false => FirstRun::Awaited,
    };
    // Job threads give up files before their first run.
    spawn(pipelines, &queue, first)
        .map_err(|error| anyhow::anyhow!("starting job threads: {error}"))?;
    let mut descriptors = Descriptors::take_stock(&[2])?;
    let door = reactor.block_on(Door::open(arguments))?;
    // From here on nothing is opened: first no files, then nothing at all.
    sandbox::forbid_files()?;
    if listening {
        tracing::info!("loaded; waiting for the one stream");
    }
    let stream = reactor.block_on(door.stream())?;
    descriptors.writable.push(stream.as_raw_fd());
    sandbox::seal(&descriptors)?;
    tracing::info!(threads, "sealed and ready");
    let ended = reactor.block_on(serve(stream, &identity, &queue));
    queue.close();
    match ended {
        // Whoever starts it again need not ask how the peer behaved.
        Err(error) if listening => tracing::warn!("the session ended early: {error}"),
        ended => ended.context("the session ended early")?,
    }
    Ok(())
}

/// Embedders on a GPU, and the threads that came with them: the driver's own, which
/// only the last layer of the sandbox reaches, and one for each embedder.
#[derive(Default)]
struct Device {
    embedders: Vec<(String, Handle)>,
    threads: usize,
}

impl Device {
    fn open(
        arguments: &Arguments,
        environment: &ort::environment::Environment,
        graphs: &Graphs,
    ) -> anyhow::Result<Self> {
        let Some(folder) = &arguments.cuda else {
            return Ok(Self::default());
        };
        let compared = Compared::all(environment, graphs)?;
        // Whatever is there now is ours; what comes is the driver's and the device's.
        let before = 1 + helper_threads();
        sandbox::check_threads(before)?;
        let embedders = Cuda::open(folder)?.embedders(compared)?;
        Ok(Self {
            embedders,
            threads: sandbox::threads()? - before,
        })
    }
}

fn pipelines(
    arguments: &Arguments,
    environment: &ort::environment::Environment,
    graphs: &Graphs,
    gpu: &[(String, Handle)],
) -> anyhow::Result<Vec<Pipeline>> {
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let threads = arguments.threads.unwrap_or(cores).max(1);
    let settings = Settings {
        threads: arguments.intra_threads.max(1),
        mirrored: arguments.mirrored,
    };
    let load = |_| Ok(Pipeline::load(environment, graphs, settings, gpu)?);
    (0..threads).map(load).collect()
}

fn identity(arguments: &Arguments, manifest: &Manifest) -> anyhow::Result<Identity> {
    let attester: Box<dyn Attester> = match &arguments.dangerous_emulated_attester {
        Some(folder) => Box::new(emulated(folder)?),
        None if arguments.nsm => Box::new(NsmAttester::open()?),
        None => anyhow::bail!("choose --nsm or --dangerous-emulated-attester DIR"),
    };
    // Where it says so and the GPU cannot be used, this process ends before it serves.
    let backend = match arguments.cuda {
        Some(_) => Backend::Cuda,
        None => Backend::Cpu,
    };
    let (tier, models) = (arguments.tier, Digest32(manifest.digest()));
    let bind = |spki| WorkerBinding::new(tier, models, backend, spki);
    Ok(Identity::generate(attester, bind)?)
}

fn emulated(folder: &Path) -> anyhow::Result<EmulatedAttester> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let program = std::fs::read("/proc/self/exe").context("reading this program to measure it")?;
    let attester =
        EmulatedAttester::dangerous_new(&read("root.pem")?, &read("root.key")?, &program, 0)?;
    Ok(attester)
}
