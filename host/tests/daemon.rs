//! The host as a process: flags, health, its worker, and how it ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redoubt_shared::ids::LedgerId;
use redoubt_shared::store::{Numbered, StoreRequest, StoreResponse, StoredRecord};
use redoubt_shared::supervise::{Phase, SuperviseRequest, SuperviseResponse};
use redoubt_shared::{Endpoint, read_frame, write_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends back what it gets; says what environment and arguments it has.
const ECHO: &str = "env >&2; echo started $$ >&2; exec cat <&$1 >&$1";
/// Looks at nothing and would never end by itself.
const STUBBORN: &str = "trap '' TERM HUP; echo started $$ >&2; while true; do sleep 1; done";
const CRASHING: &str = "exit 3";

struct Host {
    folder: Arc<tempfile::TempDir>,
    process: Child,
}

impl Host {
    fn start(worker: &str) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), worker)
    }

    fn start_in(folder: Arc<tempfile::TempDir>, worker: &str) -> Self {
        let _ = std::fs::remove_file(folder.path().join("port"));
        let process = command(folder.path(), "127.0.0.1:0")
            .arg("--worker-bin=/bin/bash")
            .arg(format!("--worker={}", endpoint(folder.path(), "worker")))
            .arg("--worker-arg=-c")
            .arg(format!("--worker-arg={worker}"))
            .arg(path_flag("--worker-pid-file", folder.path(), "worker.pid"))
            .arg(path_flag("--worker-log", folder.path(), "worker.log"))
            .env("REDOUBT_TEST_SECRET", "not for the worker")
            .spawn()
            .unwrap();
        let host = Self { folder, process };
        host.wait_for("port");
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn wait_for(&self, name: &str) -> String {
        let path = self.path(name);
        until(|| {
            std::fs::read_to_string(&path)
                .ok()
                .filter(|text| !text.is_empty())
        })
    }

    fn get(&self, page: &str) -> (u16, String) {
        let port: u16 = self.wait_for("admin.port").trim().parse().unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(
            stream,
            "GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let status = reply.split(' ').nth(1).unwrap().parse().unwrap();
        let body = reply.split_once("\r\n\r\n").unwrap().1.to_owned();
        (status, body)
    }

    fn health_with(&self, text: &str) -> (u16, String) {
        until(|| Some(self.get("/healthz")).filter(|(_, body)| body.contains(text)))
    }

    fn worker_pid(&self) -> u32 {
        self.wait_for("worker.pid").trim().parse().unwrap()
    }

    fn end(&mut self, signal: i32) -> ExitStatus {
        send(self.process.id(), signal);
        self.process.wait().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(folder: &Path, admin: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redoubt-host"));
    command
        .args(["run", "--listen=127.0.0.1:0"])
        .arg(path_flag("--port-file", folder, "port"))
        .arg(format!("--ingress={}", endpoint(folder, "ingress")))
        .arg(format!("--store={}", endpoint(folder, "store")))
        .arg(path_flag("--store-dir", folder, "store"))
        .arg(path_flag("--boot-dir", folder, "boot"))
        .arg(format!("--supervise={}", endpoint(folder, "supervise")))
        .arg(format!("--admin={admin}"))
        .arg(path_flag("--admin-port-file", folder, "admin.port"))
        .stderr(Stdio::piped());
    command
}

fn endpoint(folder: &Path, name: &str) -> Endpoint {
    Endpoint::Unix(folder.join(format!("{name}.sock")))
}

fn path_flag(flag: &str, folder: &Path, name: &str) -> String {
    format!("{flag}={}", folder.join(name).display())
}

fn until<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = what() {
            return value;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "did not happen within 20 seconds"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(pid: u32, signal: i32) {
    let kill = Command::new("/bin/bash")
        .args(["-c", &format!("kill -{signal} {pid}")])
        .status();
    assert!(kill.unwrap().success());
}

fn until_gone(pid: u32) {
    until(|| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

async fn answer_supervisor(folder: PathBuf, phase: Phase) {
    let mut listener = endpoint(&folder, "supervise").listen().await.unwrap();
    let mut stream = listener.accept().await.unwrap();
    while let Ok(SuperviseRequest::Status) = read_frame(&mut stream).await {
        let counters = vec![("handshakes".to_owned(), 7)];
        let status = SuperviseResponse::Status { phase, counters };
        write_frame(&mut stream, &status).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_well_only_when_the_enclave_serves() {
    let host = Host::start(ECHO);
    let (status, body) = host.get("/healthz");
    assert_eq!(status, 503);
    assert!(body.contains("\"reachable\":false"), "{body}");
    tokio::spawn(answer_supervisor(
        host.folder.path().to_owned(),
        Phase::Serving,
    ));
    let (status, body) = host.health_with("\"phase\":\"serving\"");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"store\":{\"state\":\"open\"}"), "{body}");
    assert!(body.contains("\"state\":\"ready\""), "{body}");
    let (_, page) = host.get("/metrics");
    assert!(page.contains("redoubt_enclave_phase{phase=\"serving\"} 1\n"));
    assert!(page.contains("redoubt_enclave_counter{name=\"handshakes\"} 7\n"));
    assert!(page.contains("redoubt_store_bytes "));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_enclave_session_gets_a_fresh_worker() {
    let mut host = Host::start(ECHO);
    let mut seen = Vec::new();
    for _ in 0..3 {
        host.health_with("\"state\":\"ready\"");
        let pid = host.worker_pid();
        let mut enclave = endpoint(host.folder.path(), "worker")
            .connect()
            .await
            .unwrap();
        enclave.write_all(b"hello").await.unwrap();
        let mut echo = [0; 5];
        enclave.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"hello");
        drop(enclave);
        until_gone(pid);
        assert!(!seen.contains(&pid));
        seen.push(pid);
        until(|| (host.worker_pid() != pid).then_some(()));
    }
    let log = host.wait_for("worker.log");
    assert!(
        log.contains("started") && !log.contains("REDOUBT_TEST_SECRET"),
        "{log}"
    );
    assert!(!log.contains("CARGO_MANIFEST_DIR"), "{log}");
    let last = host.worker_pid();
    assert!(host.end(15).success());
    until_gone(last);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_at_once_have_processes_of_their_own_and_the_first_outlives_the_second() {
    let host = Host::start(ECHO);
    host.health_with("\"state\":\"ready\"");
    let echoed = async |stream: &mut redoubt_shared::Stream, said: u8| {
        stream.write_all(&[said]).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), said);
    };
    let door = endpoint(host.folder.path(), "worker");
    let mut first = door.connect().await.unwrap();
    echoed(&mut first, 1).await;
    let old = host.worker_pid();
    let mut second = door.connect().await.unwrap();
    echoed(&mut second, 2).await;
    let new = host.worker_pid();
    assert_ne!(old, new);
    echoed(&mut first, 3).await;
    drop(first);
    until_gone(old);
    echoed(&mut second, 4).await;
    host.health_with(&format!("\"state\":\"in_use\",\"pid\":{new}"));
    // More than any enclave needs are closed, and the others served.
    let mut more = Vec::new();
    for said in 0..5 {
        more.push(door.connect().await.unwrap());
        echoed(more.last_mut().unwrap(), said).await;
    }
    let mut refused = door.connect().await.unwrap();
    assert_eq!(refused.read(&mut [0; 1]).await.unwrap(), 0);
    echoed(&mut second, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_end_by_itself_is_ended() {
    let mut host = Host::start(STUBBORN);
    let first = host.worker_pid();
    host.health_with("\"state\":\"ready\"");
    drop(
        endpoint(host.folder.path(), "worker")
            .connect()
            .await
            .unwrap(),
    );
    until_gone(first);
    let second = until(|| Some(host.worker_pid()).filter(|pid| *pid != first));
    assert!(host.end(2).success(), "SIGINT ends it cleanly");
    until_gone(second);
}

#[test]
fn a_killed_host_leaves_no_worker_behind() {
    let mut host = Host::start(STUBBORN);
    until(|| Some(host.wait_for("worker.log")).filter(|log| log.contains("started")));
    let pid = host.worker_pid();
    assert!(!host.end(9).success());
    until_gone(pid);
}

#[test]
fn a_crashing_worker_is_started_again_with_growing_pauses() {
    let host = Host::start(CRASHING);
    std::thread::sleep(Duration::from_secs(2));
    let (_, page) = host.get("/metrics");
    let restarts: u64 = page
        .lines()
        .find_map(|line| line.strip_prefix("redoubt_worker_restarts_total "))
        .unwrap()
        .parse()
        .unwrap();
    assert!((2..=6).contains(&restarts), "{restarts} in two seconds");
    let (status, _) = host.health_with("\"state\":\"backing_off\"");
    assert_eq!(status, 503);
}

#[test]
fn admin_pages_beyond_loopback_are_refused() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9000"] {
        let folder = tempfile::tempdir().unwrap();
        let output = command(folder.path(), address).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("loopback only"), "{error}");
        assert!(!folder.path().join("port").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_sigkill_in_the_middle_of_appends() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let ledger = LedgerId::from_bytes([1; 16]);
    let mut kept: u64 = 0;
    for round in 0..6 {
        let mut host = Host::start_in(folder.clone(), ECHO);
        let mut store = endpoint(folder.path(), "store").connect().await.unwrap();
        let mut number = 0;
        let mut numbered = |body| {
            number += 1;
            Numbered { number, body }
        };
        let request = numbered(StoreRequest::Heads);
        write_frame(&mut store, &request).await.unwrap();
        let answer: Numbered<StoreResponse> = read_frame(&mut store).await.unwrap();
        let StoreResponse::Heads(heads) = answer.body else {
            panic!("{answer:?}");
        };
        let found = heads.first().map_or(0, |(_, count)| *count);
        assert!(
            (kept..=kept + 1).contains(&found),
            "round {round}: {found} of {kept}"
        );
        kept = found;
        let pid = host.process.id();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60 + round * 25));
            send(pid, 9);
        });
        loop {
            let record = StoredRecord {
                ledger,
                index: kept,
                bytes: kept.to_be_bytes().repeat(500),
            };
            let request = numbered(StoreRequest::Append {
                records: vec![record],
            });
            if write_frame(&mut store, &request).await.is_err() {
                break;
            }
            let Ok(answer) = read_frame::<Numbered<_>, _>(&mut store).await else {
                break;
            };
            let body = StoreResponse::Appended;
            let Numbered { number, .. } = request;
            assert_eq!(answer, Numbered { number, body });
            kept += 1;
        }
        killer.join().unwrap();
        host.process.wait().unwrap();
    }
    assert!(kept > 0);
}
