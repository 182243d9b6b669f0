//! The front door from outside: real sockets, real handshakes, fake decisions.

mod anchors;
mod audit;
mod bounds;
mod client;
mod connections;
mod contract;
mod erasure;
mod examples;
mod fake;
mod feed;
mod logs;
mod overhead;
mod parsing;
mod pki;
mod replies;
mod sessions;
mod table;
mod tls;
mod uploads;
