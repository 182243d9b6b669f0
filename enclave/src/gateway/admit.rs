//! Admission: may this session use this route in this phase?
//!
//! Protects against: a handler that forgets to ask. The check is made of the
//! route table alone, wraps every route when the router is built, and runs
//! before a byte of the body is read.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::{BoxFuture, Either};
use http::HeaderMap;
use redoubt_shared::supervise::Phase;
use tower::{Layer, Service};

use super::routes::Route;
use super::tls::Session;
use crate::api::{ApplianceRole, Caller, Identity, Problem, Reader, RequestId, Role, Services};

/// The header with a checkpoint that the client remembers.
pub(super) const CHECKPOINT: &str = "Redoubt-Checkpoint";

/// What a session may be, as the route table names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Badge {
    Bank,
    ReadOnly,
    Auditor,
    Officer,
    Operator,
}

impl Badge {
    /// As certificates' roles are spelt in the configuration and in the contract.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Badge::Bank => "bank",
            Badge::ReadOnly => "read_only",
            Badge::Auditor => "auditor",
            Badge::Officer => "officer",
            Badge::Operator => "operator",
        }
    }
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// With or without a certificate.
    Anyone,
    /// Only these.
    Holders(&'static [Badge]),
}

impl Access {
    /// Whether a tenant's client may hold what this asks for.
    pub(super) fn admits_tenants(self) -> bool {
        let Access::Holders(holders) = self else {
            return false;
        };
        holders.contains(&Badge::Bank) || holders.contains(&Badge::ReadOnly)
    }
}

/// One request on its way: what the session proved, what to call it, and where it went.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) session: Arc<Session>,
    pub(super) request_id: RequestId,
    pub(super) route: OnceLock<Arc<Route>>,
}

impl Session {
    pub(super) fn badge(&self) -> Option<Badge> {
        match &self.peer.as_ref()?.identity {
            Identity::Tenant { role, .. } => role.map(|role| match role {
                Role::Bank => Badge::Bank,
                Role::ReadOnly => Badge::ReadOnly,
            }),
            Identity::Appliance(role) => Some(match role {
                ApplianceRole::Auditor => Badge::Auditor,
                ApplianceRole::Officer => Badge::Officer,
                ApplianceRole::Operator => Badge::Operator,
            }),
        }
    }
}

impl Exchange {
    /// The tenant's client behind this request.
    pub(super) fn caller(&self) -> Result<Caller, Problem> {
        let peer = self.session.peer.as_ref();
        let peer = peer.ok_or_else(Problem::client_certificate_required)?;
        match &peer.identity {
            Identity::Tenant {
                tenant,
                role: Some(role),
            } => Ok(Caller {
                tenant: tenant.clone(),
                role: *role,
                leaf_sha256: peer.leaf_sha256,
                request_id: self.request_id.clone(),
            }),
            _ => Err(Problem::role_not_allowed()),
        }
    }

    /// The tenant's client or the auditor behind this request.
    pub(super) fn reader(&self) -> Result<Reader, Problem> {
        match &self.session.peer {
            Some(peer) if peer.identity == Identity::Appliance(ApplianceRole::Auditor) => {
                Ok(Reader::Auditor {
                    leaf_sha256: peer.leaf_sha256,
                    request_id: self.request_id.clone(),
                })
            }
            _ => self.caller().map(Reader::Tenant),
        }
    }
}

/// The table's answer: phase first, then certificate, then role.
pub(super) fn admit(route: &Route, phase: Phase, session: &Session) -> Result<(), Problem> {
    if !route.phases.contains(&phase) {
        // Soon another enclave serves it; until then nothing new begins.
        let later = phase == Phase::HandingOver && route.phases.contains(&Phase::Serving);
        return Err(match later {
            true => Problem::handing_over(),
            false => Problem::not_serving().because(phase.name()),
        });
    }
    let Access::Holders(holders) = route.access else {
        return Ok(());
    };
    if session.peer.is_none() {
        return Err(Problem::client_certificate_required());
    }
    match session.badge() {
        Some(badge) if holders.contains(&badge) => Ok(()),
        _ => Err(Problem::role_not_allowed()),
    }
}

/// The checkpoint note a request carries.
fn checkpoint_note(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(CHECKPOINT).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let absent = !headers.contains_key(CHECKPOINT);
        return match absent {
            true => Ok(None),
            false => Err(Problem::checkpoint_refused().detail("Send the header once.")),
        };
    };
    let note = URL_SAFE_NO_PAD.decode(value.as_bytes()).ok();
    note.and_then(|note| String::from_utf8(note).ok())
        .map(Some)
        .ok_or_else(Problem::checkpoint_refused)
}

/// What goes before the handler: nothing, or the judgement of a checkpoint.
fn brought(
    route: &Route,
    exchange: &Exchange,
    headers: &HeaderMap,
) -> Result<Option<(Caller, String)>, Problem> {
    if !route.access.admits_tenants() {
        return Ok(None);
    }
    // An auditor on a tenants' route has no ledger of its own to compare with.
    let Ok(caller) = exchange.caller() else {
        return Ok(None);
    };
    Ok(checkpoint_note(headers)?.map(|note| (caller, note)))
}

/// Wraps a route with its row of the table.
pub(super) struct Gate<S> {
    pub(super) route: Arc<Route>,
    pub(super) services: Arc<S>,
}

impl<S> Clone for Gate<S> {
    fn clone(&self) -> Self {
        Self {
            route: self.route.clone(),
            services: self.services.clone(),
        }
    }
}

impl<I, S> Layer<I> for Gate<S> {
    type Service = Gated<I, S>;

    fn layer(&self, inner: I) -> Gated<I, S> {
        Gated {
            inner,
            gate: self.clone(),
        }
    }
}

/// A route behind its gate.
pub(super) struct Gated<I, S> {
    inner: I,
    gate: Gate<S>,
}

impl<I: Clone, S> Clone for Gated<I, S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            gate: self.gate.clone(),
        }
    }
}

impl<I, S> Service<Request> for Gated<I, S>
where
    I: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    I::Future: Send,
    S: Services,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<
        Ready<Result<Response, Infallible>>,
        Either<I::Future, BoxFuture<'static, Result<Response, Infallible>>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let admitted = match request.extensions().get::<Arc<Exchange>>() {
            Some(exchange) => {
                exchange.route.get_or_init(|| self.gate.route.clone());
                let (route, services) = (&self.gate.route, &self.gate.services);
                admit(route, services.phase(), &exchange.session)
                    .and_then(|()| brought(route, exchange, request.headers()))
            }
            None => Err(Problem::internal_error().because("a request without a session")),
        };
        match admitted {
            Ok(None) => Either::Right(Either::Left(self.inner.call(request))),
            Ok(Some((caller, note))) => {
                // The clone is not polled ready; the one that was goes along.
                let next = self.inner.clone();
                let mut ready = std::mem::replace(&mut self.inner, next);
                let services = self.gate.services.clone();
                Either::Right(Either::Right(Box::pin(async move {
                    match services.checkpoint(caller, note).await {
                        Ok(()) => ready.call(request).await,
                        Err(problem) => Ok(problem.into_response()),
                    }
                })))
            }
            Err(problem) => Either::Left(ready(Ok(problem.into_response()))),
        }
    }
}
