//! TLS clients that ask for what they should not get.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use redoubt_bank::tls::{ClientPem, client_config};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a probe waits.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A handshake to `localhost` with any configuration.
pub async fn handshake(port: u16, config: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("localhost")?;
    let tls = TlsConnector::from(config).connect(name, tcp);
    Ok(tokio::time::timeout(PATIENCE, tls)
        .await
        .context("handshake")??)
}

/// The usual configuration, shared so that sessions could be resumed.
pub fn config(ca: &[u8], client: Option<&ClientPem>) -> Result<Arc<ClientConfig>> {
    Ok(Arc::new(client_config(ca, client, false)?))
}

/// One HTTP/1.1 request over an open session; answers status and body text.
pub async fn get(tls: &mut TlsStream<TcpStream>, path: &str) -> Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let read = tls.read_to_end(&mut answer);
    // A server may end without close_notify once the answer is complete.
    let _ = tokio::time::timeout(PATIENCE, read)
        .await
        .context("answer")?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    let Some(status) = status else {
        bail!("no HTTP answer: {text:?}")
    };
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    Ok((status, body.unwrap_or_default()))
}

/// The `legacy_version` of a hello that offers no TLS 1.3.
#[derive(Debug, Clone, Copy)]
pub enum OldVersion {
    /// 1.0
    Tls10 = 0x0301,
    /// 1.1
    Tls11 = 0x0302,
    /// 1.2
    Tls12 = 0x0303,
}

/// What a server says to a hello that offers an older version only.
pub async fn old_hello(port: u16, version: OldVersion) -> Result<Vec<u8>> {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.write_all(&client_hello(version as u16)).await?;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut answer))
        .await
        .context("the server neither answers nor closes")?;
    Ok(answer)
}

/// A complete hello as a TLS 1.2 client would send it: no supported_versions.
fn client_hello(version: u16) -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, body: &[u8]| {
        extensions.extend_from_slice(&kind.to_be_bytes());
        extensions.extend_from_slice(&(body.len() as u16).to_be_bytes());
        extensions.extend_from_slice(body);
    };
    extension(0, b"\x00\x0c\x00\x00\x09localhost");
    extension(10, b"\x00\x04\x00\x1d\x00\x17");
    extension(11, b"\x01\x00");
    extension(13, b"\x00\x08\x04\x03\x08\x04\x04\x01\x05\x03");
    extension(23, b"");
    extension(0xff01, b"\x00");
    let mut hello = version.to_be_bytes().to_vec();
    hello.extend_from_slice(&[0x42; 32]);
    hello.push(0);
    hello.extend_from_slice(b"\x00\x08\xc0\x2b\xc0\x2f\xc0\x2c\xc0\x30");
    hello.extend_from_slice(b"\x01\x00");
    hello.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    hello.extend_from_slice(&extensions);
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend_from_slice(&(hello.len() as u16 + 4).to_be_bytes());
    record.push(0x01);
    record.extend_from_slice(&(hello.len() as u32).to_be_bytes()[1..]);
    record.extend_from_slice(&hello);
    record
}
