//! Every bound of the front door in one place.

use std::time::Duration;

use redoubt_shared::limits::{BODY_MAX, SAMPLE_MAX};

/// What the gateway gives one connection, one request, and all of them together.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; more wait at the host.
    pub connections: usize,
    /// Of these, how many may be without a client certificate.
    pub anonymous_connections: usize,
    /// From the first byte to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the end of one reply to the end of the next request's headers (HTTP/1.1).
    pub header_read: Duration,
    /// Bytes of one HTTP/1.1 request head; also its read buffer.
    pub head_bytes: usize,
    /// Number of header fields.
    pub headers: usize,
    /// Bytes of one HTTP/2 header list.
    pub header_list: u32,
    /// HTTP/2 streams open at once per connection.
    pub streams: u32,
    /// Requests being answered at once, over all connections.
    pub requests: usize,
    /// Without a request in progress.
    pub idle: Duration,
    /// After that a connection is asked to end, whatever it does.
    pub connection_age: Duration,
    /// How long a connection asked to end may take.
    pub goodbye: Duration,
    /// From the first to the last byte of a body.
    pub body_read: Duration,
    /// From the end of a request's headers to the reply.
    pub request: Duration,
    /// How long the rest of a refused body is thrown away, so that the refusal arrives.
    pub linger: Duration,
    /// How much of it.
    pub linger_bytes: usize,
    /// Body of a request without a sample.
    pub small_body: usize,
    /// Body of a request with a sample.
    pub sample_body: usize,
    /// A FIDO metadata BLOB; the real one had 4.2 MB in 2025.
    pub metadata_body: usize,
    /// The sample itself.
    pub sample: usize,
    /// Bytes of sample bodies held at once, over all connections.
    pub sample_bodies: usize,
    /// Attestation requests a second, each for clients with and without certificate.
    pub attestations_per_second: u32,
    /// Attestation requests at once.
    pub attestation_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            anonymous_connections: 512,
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(30),
            head_bytes: 32 * 1024,
            headers: 64,
            header_list: 16 * 1024,
            streams: 128,
            requests: 2048,
            idle: Duration::from_secs(120),
            connection_age: Duration::from_secs(3600),
            goodbye: Duration::from_secs(40),
            body_read: Duration::from_secs(30),
            request: Duration::from_secs(60),
            linger: Duration::from_secs(5),
            linger_bytes: 64 * 1024 * 1024,
            small_body: 128 * 1024,
            sample_body: BODY_MAX,
            metadata_body: 8 * 1024 * 1024,
            sample: SAMPLE_MAX,
            sample_bodies: 256 * 1024 * 1024,
            attestations_per_second: 20,
            attestation_burst: 40,
        }
    }
}
