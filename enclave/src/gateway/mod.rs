//! The enclave's front door: TLS, HTTP, admission.
//!
//! Protects against: everything that can be wrong with a request before it
//! means anything. TLS 1.3 ends here, mutual, without early data, tickets or
//! resumption; a tenant is the one anchor that validated the chain; a route
//! exists only in the phases and for the roles of one table ([`routes`]); every
//! byte, header, stream and second is bounded ([`Limits`]); logs name routes,
//! never what travelled on them. It decides nothing: see
//! [`Services`](crate::api::Services).

mod admit;
mod body;
mod connection;
mod counters;
mod devices;
mod exact;
mod extract;
mod feed;
mod handlers;
mod identity;
mod limits;
mod openapi;
mod policy;
mod prompt;
mod rate;
mod reply;
mod routes;
mod serve;
mod sessions;
mod supervise;
mod templates;
mod tls;
mod watch;
pub mod websocket;
mod whole;

#[cfg(test)]
mod tests;

pub use counters::Counters;
pub use limits::Limits;
pub use openapi::document as openapi_document;
pub use serve::Gateway;
pub use supervise::supervise;
pub use tls::EXPORTER_LABEL;
