//! The real process: sealed, attested, fed good and hostile pictures and recordings.
//!
//! Needs REDOUBT_MODELS_DIR, REDOUBT_MEDIA_DIR and, for recordings, REDOUBT_DATA.
//! With REDOUBT_GPU, the folder of the CUDA compiler, the worker runs its face
//! embedder on the NVIDIA GPU.

mod common;
#[path = "process/voices.rs"]
mod voices;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::client::connect;
use common::folder;
use redoubt_attestation::attester::{emulated_root, measure};
use redoubt_attestation::binding::{Backend, NonceInput, WorkerBinding, user_data};
use redoubt_attestation::document::{Time, VendorRoot, verify};
use redoubt_attestation::encode::sha256;
use redoubt_attestation::genesis::RootKind;
use redoubt_shared::worker::{
    FaceSample, SampleRefusal, VoiceSample, WorkerRequest, WorkerResponse,
};
use redoubt_shared::{JobId, read_frame, write_frame};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio_rustls::client::TlsStream;

const PROGRAM: &str = env!("CARGO_BIN_EXE_redoubt-worker");

struct Worker {
    child: Child,
    stream: UnixStream,
    root: VendorRoot,
    _attester: tempfile::TempDir,
}

/// Its attester's folder, the root to judge by, and the program with flags that
/// every start has.
fn program(models: &Path) -> (tempfile::TempDir, VendorRoot, Command) {
    let attester = tempfile::tempdir().unwrap();
    let (certificate, key) = emulated_root("worker test").unwrap();
    std::fs::write(attester.path().join("root.pem"), &certificate).unwrap();
    std::fs::write(attester.path().join("root.key"), key).unwrap();
    let root = VendorRoot::from_pem(RootKind::NitroEmulated, &certificate).unwrap();
    let mut command = Command::new(PROGRAM);
    let gpu = std::env::var_os("REDOUBT_GPU");
    command
        .args(
            gpu.iter()
                .flat_map(|folder| ["--cuda".as_ref(), folder.as_os_str()]),
        )
        .args(["--threads", "2", "--models"])
        .arg(models)
        .arg("--manifest")
        .arg(common::manifest_path())
        .arg("--dangerous-emulated-attester")
        .arg(attester.path())
        .stdout(Stdio::null());
    (attester, root, command)
}

/// Starts the program; its stream is its standard input.
fn start(models: &Path) -> Worker {
    let (attester, root, mut command) = program(models);
    let (ours, theirs) = StdUnixStream::pair().unwrap();
    let child = command
        .args(["--stream-fd", "0"])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    ours.set_nonblocking(true).unwrap();
    Worker {
        child,
        stream: UnixStream::from_std(ours).unwrap(),
        root,
        _attester: attester,
    }
}

/// Starts the program listening at the path, and connects once it does.
async fn listening(models: &Path, path: &Path) -> Worker {
    let (attester, root, mut command) = program(models);
    let child = command
        .arg("--listen")
        .arg(format!("unix:{}", path.display()))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let stream = loop {
        match UnixStream::connect(path).await {
            Ok(stream) => break stream,
            Err(error) => assert!(began.elapsed().as_secs() < 60, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    Worker {
        child,
        stream,
        root,
        _attester: attester,
    }
}

fn ready(test: &str) -> Option<(PathBuf, PathBuf)> {
    Some((
        folder("REDOUBT_MODELS_DIR", test)?,
        folder("REDOUBT_MEDIA_DIR", test)?,
    ))
}

/// Every thread of the process is under a seccomp filter and can gain nothing.
fn assert_sealed(pid: u32) {
    let mut threads = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .flatten()
    {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap();
        assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
        threads += 1;
    }
    assert!(
        threads >= 3,
        "a main thread and two job threads, not {threads}"
    );
}

struct Session {
    stream: TlsStream<UnixStream>,
    jobs: u8,
}

impl Session {
    async fn face(
        &mut self,
        image: Vec<u8>,
        deadline_ms: u32,
    ) -> Result<FaceSample, SampleRefusal> {
        self.jobs += 1;
        let id = JobId::from_bytes([self.jobs; 16]);
        let request = WorkerRequest::Face {
            job: id,
            deadline_ms,
            liveness: true,
            image,
        };
        write_frame(&mut self.stream, &request).await.unwrap();
        match read_frame(&mut self.stream).await.unwrap() {
            WorkerResponse::Face { job, outcome } if job == id => outcome,
            other => panic!("{other:?}"),
        }
    }

    async fn voice(&mut self, audio: Vec<u8>) -> Result<VoiceSample, SampleRefusal> {
        self.jobs += 1;
        let id = JobId::from_bytes([self.jobs; 16]);
        let request = WorkerRequest::Voice {
            job: id,
            deadline_ms: 10_000,
            audio,
        };
        write_frame(&mut self.stream, &request).await.unwrap();
        match read_frame(&mut self.stream).await.unwrap() {
            WorkerResponse::Voice { job, outcome } if job == id => outcome,
            other => panic!("{other:?}"),
        }
    }
}

/// Handshake, proof, and what the proof must say.
async fn proven(worker: &mut Worker) -> Session {
    let (ours, _) = StdUnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let placeholder = UnixStream::from_std(ours).unwrap();
    let stream = std::mem::replace(&mut worker.stream, placeholder);
    let (mut stream, exporter) = connect(stream).await.unwrap();
    let nonce = [5; 32];
    write_frame(&mut stream, &WorkerRequest::Prove { nonce })
        .await
        .unwrap();
    let WorkerResponse::Evidence { document, preimage } = read_frame(&mut stream).await.unwrap()
    else {
        panic!("no evidence");
    };
    let document = verify(&document, &worker.root, Time::OfDocument)
        .unwrap()
        .document;
    let bound = NonceInput::Session {
        client_nonce: &nonce,
        exporter: &exporter,
    };
    assert_eq!(document.nonce.unwrap(), bound.hash().0);
    assert_eq!(document.user_data.unwrap(), user_data(&preimage));
    assert_eq!(document.pcrs, measure(&std::fs::read(PROGRAM).unwrap()));
    let binding = WorkerBinding::parse(&preimage).unwrap();
    let manifest = std::fs::read(common::manifest_path()).unwrap();
    assert_eq!(binding.models, sha256(&[&manifest]));
    let backend = match std::env::var_os("REDOUBT_GPU") {
        Some(_) => Backend::Cuda,
        None => Backend::Cpu,
    };
    assert_eq!(binding.backend, backend);
    Session { stream, jobs: 0 }
}

#[tokio::test]
async fn a_sealed_process_embeds_faces_and_outlives_hostile_pictures() {
    let test = "a_sealed_process_embeds_faces_and_outlives_hostile_pictures";
    let Some((models, media)) = ready(test) else {
        return;
    };
    let began = Instant::now();
    let mut worker = start(&models);
    let mut session = proven(&mut worker).await;
    println!("ready and proven after {:?}", began.elapsed());
    assert_sealed(worker.child.id());
    let portrait = std::fs::read(media.join("obama.jpg")).unwrap();
    let before = session.face(portrait.clone(), 10_000).await.unwrap();
    for (name, image, expected) in hostile(&portrait) {
        let refusal = session.face(image, 10_000).await.err();
        assert_eq!(refusal, Some(expected), "{name}");
    }
    assert_eq!(
        session.face(portrait.clone(), 0).await.err(),
        Some(SampleRefusal::Deadline)
    );
    let began = Instant::now();
    let after = session.face(portrait, 10_000).await.unwrap();
    println!("one job over the session: {:?}", began.elapsed());
    assert_eq!(before, after, "nothing of the jobs between may be left");
    assert_sealed(worker.child.id());
    session.stream.shutdown().await.unwrap();
    drop(session);
    assert!(worker.child.wait().unwrap().success());
}

/// Pictures made to hurt, and what each must be refused as.
fn hostile(portrait: &[u8]) -> Vec<(&'static str, Vec<u8>, SampleRefusal)> {
    let mut bomb = portrait.to_vec();
    // the last frame header: an earlier one belongs to the thumbnail
    let frame = bomb
        .windows(2)
        .rposition(|w| w == [0xff, 0xc0] || w == [0xff, 0xc2])
        .unwrap();
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let pdf = [b"%PDF-1.7\n".as_slice(), portrait].concat();
    let half = portrait[..portrait.len() / 2].to_vec();
    let not_an_image = SampleRefusal::NotAnImage;
    vec![
        ("empty", Vec::new(), not_an_image),
        ("text", b"hello".to_vec(), not_an_image),
        ("truncated", half, not_an_image),
        ("a document with a picture inside", pdf, not_an_image),
        ("huge dimensions", bomb, SampleRefusal::TooManyPixels),
    ]
}

#[tokio::test]
async fn a_listening_worker_takes_one_stream_and_shuts_the_door() {
    let test = "a_listening_worker_takes_one_stream_and_shuts_the_door";
    let Some((models, media)) = ready(test) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut worker = listening(&models, &path).await;
    let mut session = proven(&mut worker).await;
    assert_sealed(worker.child.id());
    let second = UnixStream::connect(&path).await.unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::ConnectionRefused);
    let portrait = std::fs::read(media.join("obama.jpg")).unwrap();
    session.face(portrait, 10_000).await.unwrap();
    drop(session);
    assert!(worker.child.wait().unwrap().success());
    // Nor does a peer that talks nonsense make it end otherwise.
    let mut worker = listening(&models, &path).await;
    worker
        .stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert!(worker.child.wait().unwrap().success());
}

#[tokio::test]
async fn an_unused_worker_ends_well_when_its_stream_closes() {
    let test = "an_unused_worker_ends_well_when_its_stream_closes";
    let Some((models, _)) = ready(test) else {
        return;
    };
    let mut worker = start(&models);
    drop(worker.stream);
    assert!(worker.child.wait().unwrap().success());
}

#[tokio::test]
async fn a_model_with_other_bytes_stops_the_start() {
    let test = "a_model_with_other_bytes_stops_the_start";
    let Some((models, _)) = ready(test) else {
        return;
    };
    let other = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&models).unwrap().flatten() {
        std::fs::copy(entry.path(), other.path().join(entry.file_name())).unwrap();
    }
    let model = other.path().join("yunet.onnx");
    let mut bytes = std::fs::read(&model).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let mut worker = start(other.path());
    let status = worker.child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
}
