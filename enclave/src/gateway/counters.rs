//! What the front door counts: a fixed list of names, no labels, so that
//! nothing a request carried can become a metric.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of the gateway.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
        }

        impl Counters {
            /// Names and values, in a fixed order.
            pub fn read(&self) -> Vec<(&'static str, u64)> {
                vec![$((concat!("gateway_", stringify!($name)), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    /// Streams accepted.
    connections_total,
    /// Streams open now.
    connections_open,
    /// TLS handshakes that failed or took too long.
    handshakes_refused_total,
    /// Connections turned away because too many had no certificate.
    anonymous_refused_total,
    /// Requests received.
    requests_total,
    /// Replies below 400.
    replies_ok_total,
    /// Replies from 400 to 499.
    replies_refused_total,
    /// Replies from 500 on.
    replies_failed_total,
    /// Requests whose handler panicked.
    panics_total,
}

/// One number.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more until the guard is dropped.
    pub fn hold(&self) -> Held<'_> {
        self.add();
        Held(self)
    }
}

/// Takes one off a [`Counter`] when dropped.
#[derive(Debug)]
pub struct Held<'a>(&'a Counter);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
