//! Bank connections: one TCP connection, one stream to the enclave, raw bytes.
//!
//! Protects against one address or a flood taking every stream: bounded in all
//! and per source, closed and counted beyond that. It sees TLS records only
//! and parses nothing.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::capture::Capture;
use crate::metrics::{Metrics, Refused, Relay};
use crate::places::Door;
use crate::relay::{Ended, Tap, relay};

/// Bounds of the ingress relay.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// Connections at once.
    pub total: usize,
    /// Connections at once from one address.
    pub per_source: usize,
    /// Time the enclave has to accept a stream.
    pub connect: Duration,
    /// Time without a byte after which a connection is ended.
    pub idle: Duration,
}

/// The relay, shared by all connections.
#[derive(Debug)]
pub struct Ingress {
    /// Which enclave takes a connection.
    pub enclave: Door,
    /// Bounds.
    pub quotas: Quotas,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where to write every relayed byte, if at all.
    pub capture: Option<Capture>,
}

/// Relays connections of `listener` for ever.
pub async fn serve(listener: TcpListener, ingress: Arc<Ingress>) {
    let seats = Arc::new(Seats::default());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly: out of descriptors. Others end and give theirs back.
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        match Seats::take(&seats, peer, &ingress.quotas) {
            Ok(seat) => {
                let ingress = ingress.clone();
                tokio::spawn(async move {
                    ingress.metrics.connection_opened();
                    ingress.connection(stream).await;
                    ingress.metrics.connection_closed();
                    drop(seat);
                });
            }
            Err(why) => ingress.metrics.refused(why),
        }
    }
}

impl Ingress {
    async fn connection(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut way = self.enclave.way();
        let connect = tokio::time::timeout(self.quotas.connect, way.enclave.connect());
        let mut inner = match connect.await {
            Ok(Ok(inner)) => inner,
            Ok(Err(_)) => return self.metrics.refused(Refused::Enclave),
            Err(_) => return self.metrics.refused(Refused::ConnectTimeout),
        };
        let capture = self.capture.as_ref();
        let mut outer = Tap::new(stream, Relay::Ingress, self.metrics.clone(), capture);
        // When another enclave took over, this one has nothing to say any more: the
        // bank connects again and finds the other.
        tokio::select! {
            ended = relay(&mut outer, &mut inner, self.quotas.idle) => {
                if let Ended::Idle = ended {
                    self.metrics.refused(Refused::Idle);
                }
            }
            () = way.moved() => {}
        }
    }
}

/// Who holds connections now.
#[derive(Debug, Default)]
struct Seats(Mutex<HashMap<IpAddr, usize>>);

/// One connection's place; given back when dropped.
#[derive(Debug)]
struct Seat {
    seats: Arc<Seats>,
    source: IpAddr,
}

impl Seats {
    fn take(seats: &Arc<Self>, peer: SocketAddr, quotas: &Quotas) -> Result<Seat, Refused> {
        let source = peer.ip().to_canonical();
        let mut held = seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.values().sum::<usize>() >= quotas.total {
            return Err(Refused::Total);
        }
        let of_source = held.get(&source).copied().unwrap_or(0);
        if of_source >= quotas.per_source {
            return Err(Refused::PerSource);
        }
        held.insert(source, of_source + 1);
        Ok(Seat {
            seats: seats.clone(),
            source,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut held = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(&self.source)),
        }
    }
}
