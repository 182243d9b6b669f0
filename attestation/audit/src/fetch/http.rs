//! As much HTTP/1.1 as asking an appliance a question takes.
//!
//! Protects against a server that sends without end or never: head and body are
//! bounded, the whole exchange has one deadline, and ambiguous framing is refused.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use super::url::HttpsUrl;
use super::{FetchError, TIMEOUT};

const HEAD_MAX: usize = 16 * 1024;
const BODY_MAX: usize = 4 * 1024 * 1024;
const HEADERS_MAX: usize = 64;
/// Bytes of a refusal's body shown to people.
const DETAIL_MAX: usize = 300;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body of a 2xx answer; anything else as an error that shows the problem.
    pub fn successful(self, path: &str) -> Result<Vec<u8>, FetchError> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        Err(FetchError::Status {
            status: self.status,
            path: path.split('?').next().unwrap_or(path).to_owned(),
            detail: detail(&self.body),
        })
    }
}

/// `code: detail` of a problem document (RFC 9457), or the start of any text.
fn detail(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let member = |name| problem.as_ref().and_then(|p| p.get(name)?.as_str());
    let text = match (member("code"), member("detail")) {
        (Some(code), Some(detail)) => format!("{code}: {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    let shown: String = text.chars().filter(|c| !c.is_control()).collect();
    shown.chars().take(DETAIL_MAX).collect()
}

/// What is left until the deadline; an error when nothing is.
pub(super) fn time_left(deadline: Instant) -> Result<Duration, FetchError> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(left),
        _ => Err(FetchError::TimedOut),
    }
}

pub(super) fn io_error(error: std::io::Error) -> FetchError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => FetchError::TimedOut,
        _ => FetchError::Io(error),
    }
}

pub(super) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    host: String,
    deadline: Instant,
    /// Bytes received and not yet used.
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) fn new(
        stream: StreamOwned<ClientConnection, TcpStream>,
        url: &HttpsUrl,
        deadline: Instant,
    ) -> Self {
        Self {
            stream,
            host: url.address(),
            deadline,
            buffer: Vec::new(),
        }
    }

    pub(super) fn get(&mut self, path: &str) -> Result<Reply, FetchError> {
        self.exchange("GET", path, None)
    }

    pub(super) fn post_json(&mut self, path: &str, body: &[u8]) -> Result<Reply, FetchError> {
        // Every question after the first has its own time.
        self.deadline = Instant::now() + TIMEOUT;
        self.exchange("POST", path, Some(body))
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Reply, FetchError> {
        let length = body.map_or(String::new(), |body| {
            format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            )
        });
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n{length}\r\n",
            self.host
        );
        let request = [head.as_bytes(), body.unwrap_or_default()].concat();
        self.stream.write_all(&request).map_err(io_error)?;
        self.stream.flush().map_err(io_error)?;
        let head = self.read_head()?;
        let body = match head.framing {
            Framing::Length(length) => self.read_exactly(length)?,
            Framing::Chunked => self.read_chunks()?,
        };
        Ok(Reply {
            status: head.status,
            body,
        })
    }

    /// Receives at least one more byte.
    fn receive(&mut self) -> Result<(), FetchError> {
        let left = time_left(self.deadline)?;
        self.stream.sock.set_read_timeout(Some(left))?;
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk).map_err(io_error)? {
            0 => Err(FetchError::Http("it ends too early".into())),
            count => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(())
            }
        }
    }

    fn read_head(&mut self) -> Result<Head, FetchError> {
        loop {
            if let Some((head, used)) = parse_head(&self.buffer)? {
                self.buffer.drain(..used);
                return Ok(head);
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(FetchError::Http("its head is larger than 16 KiB".into()));
            }
            self.receive()?;
        }
    }

    fn read_exactly(&mut self, length: usize) -> Result<Vec<u8>, FetchError> {
        if length > BODY_MAX {
            return Err(FetchError::Http("its body is larger than 4 MiB".into()));
        }
        while self.buffer.len() < length {
            self.receive()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn read_line(&mut self) -> Result<Vec<u8>, FetchError> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let mut line = self.read_exactly(end + 2)?;
                line.truncate(end);
                return Ok(line);
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(FetchError::Http(
                    "a chunk line is larger than 16 KiB".into(),
                ));
            }
            self.receive()?;
        }
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, FetchError> {
        let mut body = Vec::new();
        loop {
            let length = chunk_length(&self.read_line()?)?;
            if length == 0 {
                // Trailers are read and dropped.
                while !self.read_line()?.is_empty() {}
                return Ok(body);
            }
            if body.len() + length > BODY_MAX {
                return Err(FetchError::Http("its body is larger than 4 MiB".into()));
            }
            body.extend(self.read_exactly(length)?);
            if !self.read_line()?.is_empty() {
                return Err(FetchError::Http("a chunk is longer than it says".into()));
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    framing: Framing,
}

fn chunk_length(line: &[u8]) -> Result<usize, FetchError> {
    let digits = line.split(|b| *b == b';').next().unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|digits| usize::from_str_radix(digits, 16).ok())
        .filter(|length| *length <= BODY_MAX)
        .ok_or_else(|| FetchError::Http("a chunk has no valid length".into()))
}

/// Status, framing and bytes used, once the whole head is there.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, FetchError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let used = match response.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(FetchError::Http(format!("not HTTP/1.1: {error}"))),
    };
    let values = |name: &str| {
        let of = response.headers.iter();
        let of = of.filter(|header| header.name.eq_ignore_ascii_case(name));
        of.map(|header| header.value).collect::<Vec<_>>()
    };
    let framing = match (
        &values("transfer-encoding")[..],
        &values("content-length")[..],
    ) {
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        ([], [length]) => std::str::from_utf8(length)
            .ok()
            .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .map(Framing::Length)
            .ok_or_else(|| FetchError::Http("its length is no number".into()))?,
        ([], []) if response.code == Some(204) => Framing::Length(0),
        _ => {
            return Err(FetchError::Http(
                "its framing is missing or ambiguous".into(),
            ));
        }
    };
    let status = response.code.unwrap_or_default();
    Ok(Some((Head { status, framing }, used)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_framing_is_refused() {
        let head = |lines: &str| parse_head(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes());
        let framing = |lines| head(lines).unwrap().unwrap().0.framing;
        assert_eq!(framing("Content-Length: 5\r\n"), Framing::Length(5));
        assert_eq!(framing("transfer-encoding: chunked\r\n"), Framing::Chunked);
        for wrong in [
            "",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Content-Length: +5\r\n",
        ] {
            assert!(head(wrong).is_err(), "{wrong}");
        }
        assert!(
            parse_head(b"HTTP/1.1 200 OK\r\nContent-")
                .unwrap()
                .is_none()
        );
        assert!(parse_head(b"SSH-2.0-x\r\n\r\n").is_err());
    }

    #[test]
    fn a_problem_is_shown_without_control_characters() {
        let body = br#"{"code":"not_serving","detail":"wait\u001b[2J"}"#;
        assert_eq!(detail(body), "not_serving: wait[2J");
        assert_eq!(detail(b"plain\ntext"), "plaintext");
    }
}
