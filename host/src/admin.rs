//! `/healthz` and `/metrics`, on loopback only.
//!
//! Protects against publishing the host's view by accident: any other address
//! is refused at start.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use redoubt_shared::supervise::Phase;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::metrics::Metrics;
use crate::store::service::{StoreHandle, StoreHealth};
use crate::worker::{WorkerHealth, WorkerState};

/// What the pages show.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Counters and the enclave's phase.
    pub metrics: Arc<Metrics>,
    /// The store.
    pub store: StoreHandle,
    /// The worker.
    pub worker: WorkerState,
}

/// The answer of `/healthz`.
#[derive(Debug, Serialize)]
pub struct Health {
    status: &'static str,
    enclave: EnclaveHealth,
    store: StoreHealth,
    worker: WorkerPage,
    connections_open: i64,
}

#[derive(Debug, Serialize)]
struct EnclaveHealth {
    reachable: bool,
    phase: Option<Phase>,
}

#[derive(Debug, Serialize)]
struct WorkerPage {
    state: WorkerHealth,
    pid: Option<u32>,
}

/// The address is not on loopback.
#[derive(Debug, thiserror::Error)]
#[error(
    "--admin {0}: the admin pages are served on loopback only; use 127.0.0.1:PORT or [::1]:PORT"
)]
pub struct NotLoopback(SocketAddr);

/// Checks the address.
pub fn require_loopback(address: SocketAddr) -> Result<SocketAddr, NotLoopback> {
    if address.ip().to_canonical().is_loopback() {
        Ok(address)
    } else {
        Err(NotLoopback(address))
    }
}

/// Serves both pages for ever.
pub async fn serve(listener: TcpListener, admin: Admin) -> std::io::Result<()> {
    axum::serve(listener, router(admin)).await
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

impl Admin {
    /// Everything well: the enclave serves, the store takes appends, the worker can be used.
    pub fn health(&self) -> (bool, Health) {
        let phase = self.metrics.phase();
        let store = self.store.health();
        let worker = self.worker.health();
        let well = phase == Some(Phase::Serving)
            && store == StoreHealth::Open
            && worker != WorkerHealth::BackingOff;
        let health = Health {
            status: if well { "ok" } else { "unavailable" },
            enclave: EnclaveHealth {
                reachable: phase.is_some(),
                phase,
            },
            store,
            worker: WorkerPage {
                state: worker,
                pid: self.worker.pid(),
            },
            connections_open: self.metrics.connections_open(),
        };
        (well, health)
    }
}

async fn healthz(State(admin): State<Admin>) -> impl IntoResponse {
    let (well, health) = admin.health();
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health))
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], admin.metrics.render())
}
