//! `redoubt status`: how an appliance is: from the enclave itself, attested, or
//! from the host's admin page, which is the host's word.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use redoubt_attestation::binding::Purpose;
use redoubt_audit::fetch::AttestedConnection;
use serde_json::{Value, json};

use super::Report;
use super::memory::Memory;
use super::unseal::pinned;

const PATIENCE: Duration = Duration::from_secs(5);
const REPLY_MAX: u64 = 1024 * 1024;

/// Flags of `redoubt status`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// The appliance, https://HOST:PORT (with --policy), or the host's admin
    /// address, 127.0.0.1:PORT or http://127.0.0.1:PORT
    #[arg(value_name = "URL|ADMIN")]
    target: String,
    /// The policy file that pins the genesis
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// An officer's memory: refuse a lower ledger head, remember a higher one
    #[arg(long, value_name = "FILE", requires = "policy")]
    memory: Option<PathBuf>,
}

pub(super) fn status(args: &StatusArgs) -> anyhow::Result<Report> {
    if args.target.starts_with("https://") {
        return attested(args);
    }
    ensure!(
        args.policy.is_none(),
        "--policy goes with https://HOST:PORT: the admin page cannot be attested"
    );
    as_the_host_says(args)
}

/// What the enclave proves of itself in this session.
fn attested(args: &StatusArgs) -> anyhow::Result<Report> {
    let policy = args
        .policy
        .as_ref()
        .context("an appliance is believed only under a pinned genesis: add --policy FILE")?;
    let enclave = AttestedConnection::open(&args.target, &pinned(policy)?, Purpose::Serve, None)?;
    let (binding, phase) = (&enclave.binding, &enclave.reply.phase);
    let yes = phase == "serving";
    if let Some(path) = args.memory.as_ref().filter(|_| yes) {
        Memory::load(path)?.advance(binding.head, path)?;
    }
    let head = match binding.head {
        Some(head) => format!("{} entries, root {}", head.size, head.root),
        None => "not known before unsealing".into(),
    };
    let text = format!(
        "phase        {phase}\nenvironment  {}\ngenesis      {}\nconfig       {}\nledger       {head}\n(attested in this session)",
        enclave.appraised.environment.name(),
        binding.genesis,
        binding.config,
    );
    let json = json!({
        "ok": yes,
        "verified": true,
        "phase": phase,
        "environment": enclave.appraised.environment,
        "genesis": binding.genesis,
        "config": binding.config,
        "policy": binding.policy,
        "models": binding.models,
        "term": binding.term,
        "head": binding.head,
    });
    Ok(Report { yes, text, json })
}

fn as_the_host_says(args: &StatusArgs) -> anyhow::Result<Report> {
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
