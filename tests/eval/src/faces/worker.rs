//! The real worker in a process of its own, and the enclave's own end of its stream:
//! what it is and that its answers are well-formed is checked as an enclave does.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use redoubt_attestation::attester::{emulated_root, measure};
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{
    Environment, Genesis, GenesisType, MeasuredRole, Measurement, Officer, RootKind, SignedFile,
    Tier, VendorRootEntry,
};
use redoubt_attestation::sign::Es256Signer;
use redoubt_enclave::worker_link::manifest::Manifest;
use redoubt_enclave::worker_link::{Watching, WorkerError, WorkerLink, WorkerTrust};
use redoubt_shared::Endpoint;
use redoubt_shared::worker::{FaceSample, FrameSample, SampleRefusal, SpokenSample, VoiceSample};

use super::times::{Stages, stages};

/// The manifest that this program and its enclave were built with.
const MODELS: &str = include_str!("../../../../images/models.toml");
/// A worker loads its networks in this time, even on a busy machine.
const LOADED_WITHIN: Duration = Duration::from_secs(120);

/// How it is started.
#[derive(Debug, Clone)]
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// The folder of fetched models.
    pub models: PathBuf,
    /// Whether faces are embedded together with their mirror images.
    pub mirrored: bool,
}

/// A worker that serves.
pub struct Worker {
    child: Child,
    link: WorkerLink,
    times: Arc<Mutex<Vec<Stages>>>,
    _folder: tempfile::TempDir,
}

impl Worker {
    /// Starts it and waits until it has proven itself. Call within a runtime.
    pub async fn start(start: &Start, manifest: &Manifest) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (certificate, key) = emulated_root("evaluation")?;
        let root = |name: &str, bytes: &str| std::fs::write(folder.path().join(name), bytes);
        root("root.pem", &certificate)?;
        root("root.key", &key)?;
        root("models.toml", MODELS)?;
        let endpoint = Endpoint::Unix(folder.path().join("worker"));
        let mut child = command(start, folder.path())
            .spawn()
            .with_context(|| format!("{}: run `cargo xtask build`", start.program.display()))?;
        let times = Arc::<Mutex<Vec<Stages>>>::default();
        if let Some(log) = child.stderr.take() {
            let times = Arc::clone(&times);
            std::thread::spawn(move || follow(BufReader::new(log), &times));
        }
        let program = std::fs::read(&start.program)?;
        let genesis = genesis(certificate, &program)?;
        let trust = WorkerTrust {
            genesis: Arc::new(genesis),
            accepted_tiers: vec![Tier::Process],
            entropy: Arc::new(SystemEntropy),
            now_ms: Arc::new(now_ms),
        };
        let link = WorkerLink::new(endpoint, trust, manifest, Watching::none())?;
        let mut worker = Self {
            child,
            link,
            times,
            _folder: folder,
        };
        let began = Instant::now();
        while worker.link.tier().is_none() {
            if let Some(status) = worker.child.try_wait()? {
                anyhow::bail!("the worker ended ({status}); its messages are above");
            }
            anyhow::ensure!(
                began.elapsed() < LOADED_WITHIN,
                "the worker did not start; its messages are above"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(worker)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One image. What may pass is tried again.
    pub async fn face(&self, image: Vec<u8>) -> Result<FaceSample, WorkerError> {
        let asked = patiently(async || self.link.face(image.clone().into(), false).await);
        asked.await.map(|(sample, _)| sample)
    }

    /// One image with its passive liveness. What may pass is tried again.
    pub async fn live(&self, image: Vec<u8>) -> Result<FaceSample, WorkerError> {
        let asked = patiently(async || self.link.face(image.clone().into(), true).await);
        asked.await.map(|(sample, _)| sample)
    }

    /// Frames in their order. What may pass is tried again.
    pub async fn frames(&self, frames: Vec<Vec<u8>>) -> Result<Vec<FrameSample>, WorkerError> {
        let asked = patiently(async || self.link.frames(frames.clone().into(), false).await);
        asked.await.map(|(frames, _)| frames)
    }

    /// One recording. What may pass is tried again.
    pub async fn voice(&self, audio: Vec<u8>) -> Result<VoiceSample, WorkerError> {
        let asked = patiently(async || self.link.voice(audio.clone().into()).await);
        asked.await.map(|(sample, _)| sample)
    }

    /// One recording of spoken digits. What may pass is tried again.
    pub async fn spoken(&self, audio: Vec<u8>) -> Result<SpokenSample, WorkerError> {
        let asked = patiently(async || self.link.spoken(audio.clone().into()).await);
        asked.await.map(|(sample, _)| sample)
    }

    /// How long the stages of each job took so far, taken away from here.
    pub fn times(&self) -> Vec<Stages> {
        std::mem::take(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Asks until there is an answer about the sample, or patience ends: a worker that is
/// slow for a moment does not end an evaluation.
async fn patiently<T>(
    mut ask: impl AsyncFnMut() -> Result<T, WorkerError>,
) -> Result<T, WorkerError> {
    for seconds in [1, 2, 4, 8, 15] {
        match ask().await {
            Err(
                WorkerError::Busy
                | WorkerError::Deadline
                | WorkerError::Refused(
                    SampleRefusal::Busy | SampleRefusal::Deadline | SampleRefusal::Failed,
                ),
            ) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            answer => return answer,
        }
    }
    // The worker's want of time is nothing about the sample: it ends the run, which goes
    // on later.
    match ask().await {
        Err(WorkerError::Refused(SampleRefusal::Busy)) => Err(WorkerError::Busy),
        Err(WorkerError::Refused(SampleRefusal::Deadline)) => Err(WorkerError::Deadline),
        answer => answer,
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(start: &Start, folder: &Path) -> Command {
    let mut command = Command::new(&start.program);
    let listen = format!("unix:{}", folder.join("worker").display());
    command
        .args(["--listen", &listen, "--models"])
        .arg(&start.models)
        .arg("--manifest")
        .arg(folder.join("models.toml"))
        .arg("--dangerous-emulated-attester")
        .arg(folder)
        .args(start.mirrored.then_some("--mirrored"))
        .env("RUST_LOG", "warn,redoubt_worker::session=debug")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Its log: times are kept, everything else is passed on.
fn follow(log: impl BufRead, times: &Mutex<Vec<Stages>>) {
    for line in log.lines().map_while(Result::ok) {
        match stages(&line) {
            Some(found) => times
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(found),
            None => eprintln!("  worker: {line}"),
        }
    }
}

fn genesis(root: String, program: &[u8]) -> Result<redoubt_attestation::genesis::VerifiedGenesis> {
    let officer = Es256Signer::generate(&SystemEntropy).map_err(|error| anyhow!("{error}"))?;
    let mut pcrs = measure(program).to_hex();
    pcrs.retain(|index, _| *index < 3);
    let measured = |role| Measurement {
        role,
        tier: Tier::Process,
        pcrs: pcrs.clone(),
    };
    let manifest = Genesis {
        kind: GenesisType::V1,
        name: "evaluation".into(),
        environment: Environment::Emulated,
        counter: 1,
        threshold: 1,
        officers: vec![Officer {
            id: "evaluation".into(),
            key: officer.jwk().clone(),
        }],
        secret_commitment: Digest32([9; 32]),
        vendor_roots: vec![VendorRootEntry {
            kind: RootKind::NitroEmulated,
            pem: root,
        }],
        measurements: vec![
            measured(MeasuredRole::Enclave),
            measured(MeasuredRole::Worker),
        ],
        witnesses: vec![],
        witness_policy: None,
        custodians: vec![],
        custodian_threshold: None,
        previous: None,
        created_ms: 1,
    };
    let mut file = SignedFile::unsigned(&serde_json::to_vec(&manifest)?);
    file.sign("evaluation", &officer)?;
    Ok(Genesis::verify(&file.to_json())?)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
