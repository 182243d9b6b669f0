//! Counters of the host: a fixed list of names with bounded labels.
//!
//! Protects against metrics becoming a side channel: there is no way to make a
//! name or a label at run time, except for the enclave's counters, whose names
//! are checked against an alphabet, a length and a number.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redoubt_shared::supervise::Phase;

/// Upper bounds of the append latency histogram, in seconds.
const LATENCY_BOUNDS: [f64; 14] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0,
    4.0,
];
/// At most this many counters are taken from the enclave.
const ENCLAVE_COUNTERS_MAX: usize = 64;

/// Why a connection was turned away or ended by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many connections in all.
    Total,
    /// Too many connections from this address.
    PerSource,
    /// The enclave does not accept streams.
    Enclave,
    /// The enclave did not accept the stream in time.
    ConnectTimeout,
    /// Nothing was said for too long.
    Idle,
}

const REFUSED: [(Refused, &str); 5] = [
    (Refused::Total, "total"),
    (Refused::PerSource, "per_source"),
    (Refused::Enclave, "enclave_unreachable"),
    (Refused::ConnectTimeout, "connect_timeout"),
    (Refused::Idle, "idle"),
];

/// Why a stream to a peer was refused or ended by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRefused {
    /// Too many streams to peers.
    Total,
    /// No request, or none a peer's name is in.
    Malformed,
    /// The operator named no such peer.
    Unknown,
    /// The peer's address does not accept.
    Unreachable,
    /// The peer did not accept in time.
    Timeout,
    /// Nothing was said for too long.
    Idle,
}

const PEER_REFUSED: [(PeerRefused, &str); 6] = [
    (PeerRefused::Total, "total"),
    (PeerRefused::Malformed, "malformed"),
    (PeerRefused::Unknown, "unknown"),
    (PeerRefused::Unreachable, "unreachable"),
    (PeerRefused::Timeout, "connect_timeout"),
    (PeerRefused::Idle, "idle"),
];

/// Which relay moved bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relay {
    /// Bank to enclave.
    Ingress,
    /// Enclave to worker.
    Worker,
    /// Enclave to a witness or custodian.
    Peer,
}

const RELAYS: [&str; 3] = ["ingress", "worker", "peer"];

impl Relay {
    /// Its label.
    pub fn name(self) -> &'static str {
        RELAYS[self as usize]
    }
}

/// Bytes towards the enclave's peer and back.
#[derive(Debug, Default)]
struct Bytes {
    inward: AtomicU64,
    outward: AtomicU64,
}

/// All counters.
#[derive(Debug, Default)]
pub struct Metrics {
    connections_open: AtomicI64,
    connections_total: AtomicU64,
    refused: [AtomicU64; REFUSED.len()],
    relayed: [Bytes; RELAYS.len()],
    peer_streams: AtomicU64,
    peer_refused: [AtomicU64; PEER_REFUSED.len()],
    /// Store sessions opened by an enclave.
    pub store_sessions: AtomicU64,
    /// Store or supervise frames that were no valid request or answer.
    pub malformed_frames: AtomicU64,
    /// Batches made durable.
    pub appends: AtomicU64,
    /// Records made durable.
    pub records: AtomicU64,
    /// Batches refused.
    pub appends_refused: AtomicU64,
    append_buckets: [AtomicU64; LATENCY_BOUNDS.len()],
    append_nanos: AtomicU64,
    append_count: AtomicU64,
    /// Bytes in segment files.
    pub store_bytes: AtomicU64,
    /// Segment files.
    pub store_segments: AtomicU64,
    /// Torn tails cut at opening.
    pub torn_tail_cuts: AtomicU64,
    /// Batches that were acknowledged and are gone.
    pub acknowledged_lost: AtomicU64,
    /// Times the index was made anew or completed.
    pub index_rebuilds: AtomicU64,
    /// Blobs made durable.
    pub blobs_put: AtomicU64,
    /// Times a blob or the pointer to snapshots was found damaged.
    pub blobs_rotten: AtomicU64,
    /// Segments deleted because their records are no longer needed.
    pub segments_dropped: AtomicU64,
    /// Workers started after the first.
    pub worker_restarts: AtomicU64,
    /// Sessions between the enclave and a worker.
    pub worker_sessions: AtomicU64,
    enclave: Mutex<Enclave>,
}

/// What the supervisor last heard.
#[derive(Debug, Clone, Default)]
struct Enclave {
    phase: Option<Phase>,
    counters: Vec<(String, u64)>,
}

impl Metrics {
    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.connections_open.fetch_add(1, Relaxed);
        self.connections_total.fetch_add(1, Relaxed);
    }

    /// An accepted connection has ended.
    pub fn connection_closed(&self) {
        self.connections_open.fetch_sub(1, Relaxed);
    }

    /// Connections open now.
    pub fn connections_open(&self) -> i64 {
        self.connections_open.load(Relaxed)
    }

    /// A connection was turned away or ended.
    pub fn refused(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Relaxed);
    }

    /// How often that happened.
    pub fn refused_count(&self, why: Refused) -> u64 {
        self.refused[why as usize].load(Relaxed)
    }

    /// A stream to a peer was opened.
    pub fn peer_stream_opened(&self) {
        self.peer_streams.fetch_add(1, Relaxed);
    }

    /// A stream to a peer was refused or ended.
    pub fn peer_refused(&self, why: PeerRefused) {
        self.peer_refused[why as usize].fetch_add(1, Relaxed);
    }

    /// Bytes relayed towards the enclave (ingress) or the worker.
    pub fn relayed_inward(&self, relay: Relay, bytes: usize) {
        self.relayed[relay as usize]
            .inward
            .fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes relayed back.
    pub fn relayed_outward(&self, relay: Relay, bytes: usize) {
        self.relayed[relay as usize]
            .outward
            .fetch_add(bytes as u64, Relaxed);
    }

    /// One append, from request to `fdatasync`.
    pub fn append_took(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        for (bound, bucket) in LATENCY_BOUNDS.iter().zip(&self.append_buckets) {
            if seconds <= *bound {
                bucket.fetch_add(1, Relaxed);
            }
        }
        self.append_nanos.fetch_add(took.as_nanos() as u64, Relaxed);
        self.append_count.fetch_add(1, Relaxed);
    }

    /// What the enclave answered; `None` when it did not.
    pub fn enclave_seen(&self, status: Option<(Phase, Vec<(String, u64)>)>) {
        let mut enclave = self.enclave();
        match status {
            None => enclave.phase = None,
            Some((phase, counters)) => {
                enclave.phase = Some(phase);
                enclave.counters = counters
                    .into_iter()
                    .filter(|(name, _)| is_counter_name(name))
                    .take(ENCLAVE_COUNTERS_MAX)
                    .collect();
            }
        }
    }

    /// The enclave's phase, if it answers.
    pub fn phase(&self) -> Option<Phase> {
        self.enclave().phase
    }

    fn enclave(&self) -> MutexGuard<'_, Enclave> {
        self.enclave.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prometheus text exposition format 0.0.4.
    pub fn render(&self) -> String {
        let mut page = Page(String::with_capacity(4096));
        self.render_relays(&mut page);
        self.render_peers(&mut page);
        self.render_store(&mut page);
        page.counter("redoubt_worker_restarts_total", &self.worker_restarts);
        page.counter("redoubt_worker_sessions_total", &self.worker_sessions);
        self.render_enclave(&mut page);
        page.0
    }

    fn render_relays(&self, page: &mut Page) {
        page.head("redoubt_connections_open", "gauge");
        page.line("redoubt_connections_open", "", self.connections_open());
        page.counter("redoubt_connections_total", &self.connections_total);
        page.head("redoubt_connections_refused_total", "counter");
        for ((_, reason), count) in REFUSED.iter().zip(&self.refused) {
            let label = format!("{{reason=\"{reason}\"}}");
            page.line(
                "redoubt_connections_refused_total",
                &label,
                count.load(Relaxed),
            );
        }
        page.head("redoubt_relayed_bytes_total", "counter");
        for (relay, bytes) in RELAYS.iter().zip(&self.relayed) {
            for (direction, count) in [("in", &bytes.inward), ("out", &bytes.outward)] {
                let label = format!("{{relay=\"{relay}\",direction=\"{direction}\"}}");
                page.line("redoubt_relayed_bytes_total", &label, count.load(Relaxed));
            }
        }
    }

    fn render_peers(&self, page: &mut Page) {
        page.counter("redoubt_peer_streams_total", &self.peer_streams);
        page.head("redoubt_peer_refused_total", "counter");
        for ((_, reason), count) in PEER_REFUSED.iter().zip(&self.peer_refused) {
            let label = format!("{{reason=\"{reason}\"}}");
            page.line("redoubt_peer_refused_total", &label, count.load(Relaxed));
        }
    }

    fn render_store(&self, page: &mut Page) {
        page.counter("redoubt_store_sessions_total", &self.store_sessions);
        page.counter("redoubt_malformed_frames_total", &self.malformed_frames);
        page.counter("redoubt_store_appends_total", &self.appends);
        page.counter("redoubt_store_appends_refused_total", &self.appends_refused);
        page.counter("redoubt_store_records_total", &self.records);
        self.render_latency(page);
        page.gauge("redoubt_store_bytes", &self.store_bytes);
        page.gauge("redoubt_store_segments", &self.store_segments);
        page.counter("redoubt_store_torn_tail_cuts_total", &self.torn_tail_cuts);
        page.counter(
            "redoubt_store_acknowledged_lost_total",
            &self.acknowledged_lost,
        );
        page.counter("redoubt_store_index_rebuilds_total", &self.index_rebuilds);
        page.counter("redoubt_store_blobs_put_total", &self.blobs_put);
        page.counter("redoubt_store_blobs_rotten_total", &self.blobs_rotten);
        page.counter(
            "redoubt_store_segments_dropped_total",
            &self.segments_dropped,
        );
    }

    fn render_latency(&self, page: &mut Page) {
        let name = "redoubt_store_append_seconds";
        page.head(name, "histogram");
        let bucket = format!("{name}_bucket");
        for (bound, count) in LATENCY_BOUNDS.iter().zip(&self.append_buckets) {
            page.line(&bucket, &format!("{{le=\"{bound}\"}}"), count.load(Relaxed));
        }
        let count = self.append_count.load(Relaxed);
        page.line(&bucket, "{le=\"+Inf\"}", count);
        let seconds = self.append_nanos.load(Relaxed) as f64 / 1e9;
        page.line(&format!("{name}_sum"), "", seconds);
        page.line(&format!("{name}_count"), "", count);
    }

    fn render_enclave(&self, page: &mut Page) {
        let enclave = self.enclave().clone();
        page.head("redoubt_enclave_up", "gauge");
        page.line("redoubt_enclave_up", "", u8::from(enclave.phase.is_some()));
        page.head("redoubt_enclave_phase", "gauge");
        for phase in [
            Phase::Booted,
            Phase::AwaitingUnseal,
            Phase::Recovering,
            Phase::Serving,
            Phase::HandingOver,
            Phase::Halted,
        ] {
            let label = format!("{{phase=\"{}\"}}", phase.name());
            page.line(
                "redoubt_enclave_phase",
                &label,
                u8::from(enclave.phase == Some(phase)),
            );
        }
        page.head("redoubt_enclave_counter", "gauge");
        for (name, value) in &enclave.counters {
            page.line(
                "redoubt_enclave_counter",
                &format!("{{name=\"{name}\"}}"),
                value,
            );
        }
    }
}

/// Whether a counter's name is short and of an alphabet that needs no escaping.
fn is_counter_name(name: &str) -> bool {
    (1..=48).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
    }
    fn line(&mut self, name: &str, label: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{label} {value}");
    }
    fn counter(&mut self, name: &str, value: &AtomicU64) {
        self.head(name, "counter");
        self.line(name, "", value.load(Relaxed));
    }
    fn gauge(&mut self, name: &str, value: &AtomicU64) {
        self.head(name, "gauge");
        self.line(name, "", value.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_the_enclave_outside_the_alphabet_are_dropped() {
        let metrics = Metrics::default();
        let counters = vec![
            ("handshakes".to_owned(), 4),
            ("alice@bank".to_owned(), 1),
            ("x\"} 1\nforged".to_owned(), 1),
            ("a".repeat(49), 1),
        ];
        metrics.enclave_seen(Some((Phase::Serving, counters)));
        let page = metrics.render();
        assert!(page.contains("redoubt_enclave_counter{name=\"handshakes\"} 4\n"));
        assert_eq!(page.matches("redoubt_enclave_counter{").count(), 1);
        assert!(page.contains("redoubt_enclave_phase{phase=\"serving\"} 1\n"));
    }

    #[test]
    fn an_endless_list_of_counters_is_bounded() {
        let metrics = Metrics::default();
        let counters = (0..1000).map(|n| (format!("c{n}"), n)).collect();
        metrics.enclave_seen(Some((Phase::Booted, counters)));
        let count = metrics.render().matches("redoubt_enclave_counter{").count();
        assert_eq!(count, ENCLAVE_COUNTERS_MAX);
    }

    #[test]
    fn the_append_histogram_is_cumulative() {
        let metrics = Metrics::default();
        metrics.append_took(Duration::from_micros(700));
        metrics.append_took(Duration::from_secs(9));
        let page = metrics.render();
        assert!(page.contains("_bucket{le=\"0.0005\"} 0\n"));
        assert!(page.contains("_bucket{le=\"0.001\"} 1\n"));
        assert!(page.contains("_bucket{le=\"4\"} 1\n"));
        assert!(page.contains("_bucket{le=\"+Inf\"} 2\n"));
        assert!(page.contains("_count 2\n"));
    }
}
