//! `redoubt-audit witness`: a witness that cosigns heads and a custodian that
//! keeps shares of the epoch secret, in one small server.
//!
//! Protects the appliance's clients against whoever runs its host: a rollback or
//! a fork needs the cosignature of a witness that remembers better, and erased
//! data needs a share that a custodian deleted. It trusts nobody that asks: every
//! change stands on an attestation document of the pinned appliance.
//!
//! Not covered: a witness whose own folder is set back. That is one of the f
//! failures the manifest allows for; never restore this folder from a backup.

mod answer;
mod cosigner;
mod custody;
mod files;
mod identity;
pub mod log;
mod pinned;
mod serve;
mod service;
pub mod vault;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

pub use identity::init;
pub use serve::Server;
pub use service::Service;

/// Serves a folder until SIGTERM or SIGINT.
pub fn run(
    dir: &Path,
    listen: SocketAddr,
    policy: Option<&[u8]>,
    port_file: Option<&Path>,
) -> Result<()> {
    let service = Service::open(dir, policy)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let name = service.entry().name.clone();
        let server = Server::bind(service, listen).await?;
        let address = server.address()?;
        if let Some(path) = port_file {
            let port = format!("{}\n", address.port());
            files::replace(path, port.as_bytes()).with_context(|| path.display().to_string())?;
        }
        eprintln!("redoubt-audit witness: {name} listens on {address}");
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        server.run(stop).await
    })
}
