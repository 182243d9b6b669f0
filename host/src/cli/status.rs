//! `redoubt status`: how an appliance is, from the host's admin page.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::Report;

const PATIENCE: Duration = Duration::from_secs(5);
const REPLY_MAX: u64 = 1024 * 1024;

/// Flags of `redoubt status`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// The host's admin address, 127.0.0.1:PORT or http://127.0.0.1:PORT
    #[arg(value_name = "ADMIN")]
    target: String,
}

pub(super) fn status(args: &StatusArgs) -> anyhow::Result<Report> {
    let target = args.target.trim_end_matches('/');
    let admin = target.strip_prefix("http://").unwrap_or(target);
    let (code, body) = get(admin, "/healthz")?;
    let health: Value = serde_json::from_slice(&body).context("/healthz: no JSON")?;
    let yes = code == 200;
    Ok(Report {
        yes,
        text: page(&health),
        json: json!({ "ok": yes, "health": health, "verified": false }),
    })
}

/// What the host says. The host is not to be believed about the enclave; whom
/// one talks to only attestation shows.
fn page(health: &Value) -> String {
    let said = |pointer: &str| match health.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "unknown".into(),
        Some(other) => other.to_string(),
    };
    let mut lines = vec![
        format!("appliance  {}", said("/status")),
        format!("enclave    {}", said("/enclave/phase")),
        format!("store      {}", said("/store/state")),
    ];
    if let Some(detail) = health.pointer("/store/detail").and_then(Value::as_str) {
        lines.push(format!("           {detail}"));
    }
    lines.push(format!("worker     {}", said("/worker/state")));
    lines.push(format!(
        "open       {} connections",
        said("/connections_open")
    ));
    lines.push("(as the host says; not attested)".into());
    lines.join("\n")
}

fn get(admin: &str, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    let addresses: Vec<SocketAddr> = admin
        .to_socket_addrs()
        .with_context(|| format!("{admin}: write 127.0.0.1:PORT or http://127.0.0.1:PORT"))?
        .collect();
    let address = addresses.first().with_context(|| admin.to_owned())?;
    let asked = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {admin}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut reply = Vec::new();
        stream.take(REPLY_MAX).read_to_end(&mut reply)?;
        Ok(reply)
    };
    let reply = asked().with_context(|| format!("{admin}: the host does not answer"))?;
    let split = reply.windows(4).position(|four| four == b"\r\n\r\n");
    let split = split.context("the host's reply has no head")?;
    let head = String::from_utf8_lossy(&reply[..split]);
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let code = code.context("the host's reply has no status")?;
    ensure!(
        (100..600).contains(&code),
        "the host's reply has status {code}"
    );
    Ok((code, reply[split + 4..].to_vec()))
}
