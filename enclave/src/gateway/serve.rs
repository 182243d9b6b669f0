//! The gateway as a whole: accepts connections and answers requests.
//!
//! Protects against: one request harming another. Each is done to its end
//! ([`Whole`]), a panic is one 500 and a client that hangs up leaves no half-done work;
//! requests at once, their time, and connections are bounded.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;
use redoubt_shared::Listener;
use rustls::pki_types::UnixTime;
use tokio::sync::Semaphore;
use tower::Service;

use super::admit::Exchange;
use super::body::Lingering;
use super::connection;
use super::counters::Counters;
use super::limits::Limits;
use super::rate::Bucket;
use super::reply::{REQUEST_ID, finish};
use super::routes::table;
use super::tls::{Clock, Session, Tls};
use super::whole::{Panicked, Whole};
use crate::api::{Problem, RequestId, Services};

/// Where the officers' secret, or shares of it, come in. Worked on where its connection
/// waits, what is made of them would stay on a stack that nothing else gets as deep into.
pub(super) const SECRETS: [&str; 2] = ["/api/v1/unseal/share", "/api/v1/handover/take"];

/// What handlers share.
pub(super) struct Shared<S> {
    pub(super) services: Arc<S>,
    pub(super) limits: Limits,
    pub(super) openapi: Bytes,
    /// Kibibytes of sample bodies that may still be held.
    pub(super) sample_bodies: Arc<Semaphore>,
    /// For clients with a certificate, and for those without.
    pub(super) attestations: [Bucket; 2],
}

impl<S: Services> Shared<S> {
    pub(super) fn new(services: Arc<S>, limits: Limits) -> Self {
        let document = super::openapi::document::<S>();
        let bucket = || Bucket::new(limits.attestations_per_second, limits.attestation_burst);
        Self {
            services,
            openapi: serde_json::to_vec(&document).unwrap_or_default().into(),
            sample_bodies: Arc::new(Semaphore::new(limits.sample_bodies / 1024)),
            attestations: [bucket(), bucket()],
            limits,
        }
    }
}

/// The front door.
pub struct Gateway<S: Services> {
    pub(super) services: Arc<S>,
    pub(super) limits: Limits,
    pub(super) counters: Arc<Counters>,
    router: Router,
    requests: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    pub(super) anonymous: Arc<Semaphore>,
    tls: RwLock<Option<Arc<Tls>>>,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
}

impl<S: Services> Gateway<S> {
    /// Builds router and document from the route table.
    pub fn new(services: Arc<S>, limits: Limits, counters: Arc<Counters>) -> Arc<Self> {
        let shared = Arc::new(Shared::new(services.clone(), limits.clone()));
        let (http1, http2) = connection::builders(&limits);
        Arc::new(Self {
            router: router(&services, shared),
            requests: Arc::new(Semaphore::new(limits.requests)),
            connections: Arc::new(Semaphore::new(limits.connections)),
            anonymous: Arc::new(Semaphore::new(limits.anonymous_connections)),
            tls: RwLock::new(None),
            services,
            limits,
            counters,
            http1,
            http2,
        })
    }

    /// Answers on a listener until the task is dropped.
    pub async fn serve(self: Arc<Self>, mut listener: Listener) {
        loop {
            let Ok(permit) = self.connections.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok(stream) => {
                    let gateway = self.clone();
                    tokio::spawn(async move {
                        connection::run(gateway, stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    let kind = error.kind();
                    tracing::warn!(%kind, "the ingress listener failed to accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Handshake material of the trust in force; rebuilt only when that changes.
    pub(super) fn tls(&self) -> Result<Arc<Tls>, webpki::Error> {
        let trust = self.services.trust();
        let current = self
            .tls
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(tls) = current
            && Arc::ptr_eq(tls.trust(), &trust)
        {
            return Ok(tls);
        }
        let tls = Arc::new(Tls::new(trust, self.clock())?);
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(tls.clone());
        Ok(tls)
    }

    fn clock(&self) -> Clock {
        let services = self.services.clone();
        Arc::new(move || {
            let now = Duration::from_millis(services.now_ms()?);
            Some(UnixTime::since_unix_epoch(now))
        })
    }

    /// Answers one request.
    pub(super) async fn answer(
        &self,
        session: Arc<Session>,
        request: Request<Incoming>,
    ) -> Response {
        let started = Instant::now();
        self.counters.requests_total.add();
        let exchange = Arc::new(Exchange {
            session,
            request_id: request_id(&request),
            route: OnceLock::new(),
        });
        let method = method_name(request.method());
        let version = request.version();
        let response = self.dispatch(&exchange, request).await;
        let (response, problem) = finish(response, &exchange.request_id, version);
        self.record(&exchange, method, &response, problem.as_ref(), started);
        response
    }

    async fn dispatch(&self, exchange: &Arc<Exchange>, request: Request<Incoming>) -> Response {
        let Ok(permit) = self.requests.clone().try_acquire_owned() else {
            return Problem::busy()
                .because("too many requests at once")
                .into_response();
        };
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        let body = Body::new(Lingering::new(&head, body, &self.limits));
        let mut request = head.map(|()| body);
        request.extensions_mut().insert(exchange.clone());
        let apart = SECRETS.contains(&request.uri().path());
        let mut router = self.router.clone();
        let work = Whole::new(async move {
            let response = router.call(request).await;
            drop(permit);
            response
        });
        let work = if apart { work.apart() } else { work };
        match tokio::time::timeout(self.limits.request, work).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(Panicked)) => {
                self.counters.panics_total.add();
                Problem::internal_error()
                    .because("a handler panicked")
                    .into_response()
            }
            Err(_) => Problem::request_deadline().into_response(),
        }
    }

    /// Method, route, status, time, request id, code: the whole list of what is
    /// logged. Causes only of the appliance's own failures: the host reads the
    /// log, and which check refused somebody is not for it to learn.
    fn record(
        &self,
        exchange: &Exchange,
        method: &'static str,
        response: &Response,
        problem: Option<&Problem>,
        started: Instant,
    ) {
        let route = exchange
            .route
            .get()
            .map_or("none", |route| route.template.as_str());
        let status = response.status().as_u16();
        let millis = started.elapsed().as_millis() as u64;
        let request_id = exchange.request_id.as_str();
        let code = problem.map_or("", Problem::code);
        let cause = problem.and_then(Problem::internal).unwrap_or("");
        match status {
            0..400 => {
                self.counters.replies_ok_total.add();
                tracing::debug!(method, route, status, millis, request_id, "answered");
            }
            400..500 => {
                self.counters.replies_refused_total.add();
                tracing::info!(method, route, status, millis, request_id, code, "refused");
            }
            _ => {
                self.counters.replies_failed_total.add();
                tracing::warn!(
                    method, route, status, millis, request_id, code, cause, "failed"
                );
            }
        }
    }
}

pub(super) fn router<S: Services>(services: &Arc<S>, shared: Arc<Shared<S>>) -> Router {
    let rows = table::<S>().into_iter();
    let routed = rows.fold(utoipa_axum::router::OpenApiRouter::new(), |router, row| {
        router.routes(row.gated(services))
    });
    let (router, _) = routed.split_for_parts();
    router
        .fallback(|| async { Problem::route_not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(shared)
}

fn request_id(request: &Request<Incoming>) -> RequestId {
    let theirs = request.headers().get(REQUEST_ID);
    theirs
        .and_then(|value| value.to_str().ok())
        .and_then(RequestId::from_client)
        .unwrap_or_else(|| {
            let mut bytes = [0; 16];
            // Only a name: if the generator fails, the name is all zeros.
            let _ = aws_lc_rs::rand::fill(&mut bytes);
            RequestId::from_bytes(bytes)
        })
}

fn method_name(method: &http::Method) -> &'static str {
    match *method {
        http::Method::GET => "GET",
        http::Method::HEAD => "HEAD",
        http::Method::POST => "POST",
        http::Method::PUT => "PUT",
        http::Method::PATCH => "PATCH",
        http::Method::DELETE => "DELETE",
        http::Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
