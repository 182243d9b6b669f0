//! A second place on the same host, where the enclave waits that is to take over.
//! It uses the same store, worker and peers through endpoints of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use redoubt_shared::Endpoint;

/// Flags of the second place. All or none of the first four.
#[derive(Debug, clap::Args)]
pub struct StandbyArgs {
    /// Where officers reach a second enclave, whether banks reach it or not; port 0
    /// takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", requires_all = ["standby_ingress", "standby_store", "standby_supervise"])]
    pub standby_listen: Option<SocketAddr>,
    /// Write the port taken by --standby-listen here
    #[arg(long, value_name = "FILE", requires = "standby_listen")]
    pub standby_port_file: Option<PathBuf>,
    /// Where officers reach the first enclave, whether banks reach it or not: to hand
    /// over back to its place
    #[arg(long, value_name = "ADDRESS:PORT", requires = "standby_listen")]
    pub first_listen: Option<SocketAddr>,
    /// Write the port taken by --first-listen here
    #[arg(long, value_name = "FILE", requires = "first_listen")]
    pub first_port_file: Option<PathBuf>,
    /// Where a second enclave accepts streams
    #[arg(long, value_name = "ENDPOINT", requires = "standby_listen")]
    pub standby_ingress: Option<Endpoint>,
    /// Where it connects for the ledger; this host listens
    #[arg(long, value_name = "ENDPOINT", requires = "standby_listen")]
    pub standby_store: Option<Endpoint>,
    /// Where it answers its supervisor
    #[arg(long, value_name = "ENDPOINT", requires = "standby_listen")]
    pub standby_supervise: Option<Endpoint>,
    /// Where it connects for a worker; this host listens
    #[arg(long, value_name = "ENDPOINT", requires_all = ["standby_listen", "worker"])]
    pub standby_worker: Option<Endpoint>,
    /// Where it connects for witnesses and custodians; this host listens
    #[arg(long, value_name = "ENDPOINT", requires_all = ["standby_listen", "peers"])]
    pub standby_peers: Option<Endpoint>,
}
