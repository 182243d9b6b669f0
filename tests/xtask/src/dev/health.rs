//! The host's `/healthz` and `/metrics`, read over loopback.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

const PATIENCE: Duration = Duration::from_secs(2);

/// What the host says about the parts.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Health {
    enclave: Enclave,
    worker: Worker,
}

#[derive(Debug, Clone, Deserialize)]
struct Enclave {
    phase: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Worker {
    pid: Option<u32>,
}

impl Health {
    /// Asks the host; none if it does not answer yet.
    pub(crate) fn ask(admin_port: u16) -> Option<Self> {
        serde_json::from_slice(&get(admin_port, "/healthz").ok()?).ok()
    }

    /// The enclave's phase, in lowercase letters only.
    pub(crate) fn phase(&self) -> String {
        plain(self.enclave.phase.as_deref().unwrap_or_default())
    }

    /// The worker's process id.
    pub(crate) fn worker_pid(&self) -> Option<u32> {
        self.worker.pid
    }
}

/// `AwaitingUnseal`, `awaiting_unseal` and `awaiting-unseal` are one phase.
fn plain(phase: &str) -> String {
    phase
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// The body of a page, whatever its status.
pub(crate) fn get(port: u16, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    )?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let head = reply.windows(4).position(|four| four == b"\r\n\r\n");
    let body = head.context("a reply without a head")? + 4;
    Ok(reply.split_off(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn phase_and_worker_are_read_from_an_unavailable_page_too() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Read to the end: closing with unread bytes would reset the connection.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0; 1];
                stream.read_exact(&mut byte).unwrap();
                request.extend_from_slice(&byte);
            }
            let page = r#"{"status":"unavailable","enclave":{"reachable":true,
                "phase":"awaiting_unseal"},"worker":{"state":"ready","pid":7}}"#;
            write!(stream, "HTTP/1.0 503 x\r\n\r\n{page}").unwrap();
        });
        let health = Health::ask(port).unwrap();
        server.join().unwrap();
        assert_eq!(health.phase(), "awaitingunseal");
        assert_eq!(health.worker_pid(), Some(7));
        assert_eq!(plain("AwaitingUnseal"), plain("awaiting_unseal"));
    }
}
