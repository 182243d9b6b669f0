//! Host to enclave: what the supervisor may ask. Answers are an allow-list of
//! numbers; nothing here can name a tenant or a subject.

use serde::{Deserialize, Serialize};

/// What the host asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SuperviseRequest {
    /// Phase and counters.
    Status,
}

/// What the enclave answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SuperviseResponse {
    /// Answer to `Status`.
    Status {
        /// Where the enclave stands.
        phase: Phase,
        /// Named counters, from a fixed list inside the enclave.
        counters: Vec<(String, u64)>,
    },
}

/// The phases of an enclave. Routes exist only in the phases that list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Measuring itself and reading genesis.
    Booted,
    /// Waiting for the officers' shares.
    AwaitingUnseal,
    /// Replaying the ledger.
    Recovering,
    /// Answering banks.
    Serving,
    /// Stopped for good: the state can no longer be proven, or is another enclave's.
    Halted,
    /// Giving its secret to another enclave: nothing new is taken.
    HandingOver,
}

impl Phase {
    /// The stable name used in JSON, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Booted => "booted",
            Phase::AwaitingUnseal => "awaiting_unseal",
            Phase::Recovering => "recovering",
            Phase::Serving => "serving",
            Phase::Halted => "halted",
            Phase::HandingOver => "handing_over",
        }
    }
}
