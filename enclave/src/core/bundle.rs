//! A tenant's bundles of Rego: which is in force, and which were.
//!
//! Protects against going back silently: versions only grow, and an order to use an
//! earlier one again names the activation it follows, so it is good once.

use std::sync::Arc;

use imbl::OrdMap;
use redoubt_shared::ReceiptId;
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::state::TenantState;

/// Bundles whose text is kept; the lowest version that is not in force gives way.
const BUNDLES_MAX: usize = 8;
/// Activations that are listed; the oldest gives way, and stays in the ledger.
const ACTIVATIONS_MAX: usize = 64;

/// A bundle that was verified, compiled and tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Its number, from 1.
    pub version: u64,
    /// SHA-256 of the signed payload.
    pub digest: [u8; 32],
    /// Path and text of each module.
    pub modules: Vec<(String, String)>,
}

/// From when on which bundle rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// Counts from 1.
    pub ordinal: u64,
    /// The bundle's version; 0: none, the typed rules alone.
    pub version: u64,
    /// Its digest; none if none.
    pub digest: Option<[u8; 32]>,
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// The claim that says so.
    pub receipt: ReceiptId,
    /// Whether an order went back to it.
    pub rollback: bool,
}

/// A tenant's bundles. A clone shares everything with its original.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Bundles {
    /// Text, by version.
    pub kept: OrdMap<u64, Arc<Bundle>>,
    /// Activations, by ordinal.
    pub activations: OrdMap<u64, Arc<Activation>>,
    /// The highest version there ever was.
    pub highest: u64,
}

impl Bundles {
    /// The last activation.
    pub fn last(&self) -> Option<&Arc<Activation>> {
        self.activations.get_max().map(|(_, last)| last)
    }

    /// How many activations there were.
    pub fn ordinal(&self) -> u64 {
        self.last().map_or(0, |last| last.ordinal)
    }

    /// The bundle in force.
    pub fn active(&self) -> Option<&Arc<Bundle>> {
        self.kept.get(&self.last()?.version)
    }

    /// Takes over an activation, in any order.
    pub(super) fn list(&mut self, activation: Activation) {
        self.activations
            .insert(activation.ordinal, Arc::new(activation));
        if self.activations.len() > ACTIVATIONS_MAX {
            self.activations = self.activations.without_min().1;
        }
    }

    /// Takes over a bundle, in any order.
    pub(super) fn keep(&mut self, bundle: Bundle) {
        self.highest = self.highest.max(bundle.version);
        self.kept.insert(bundle.version, Arc::new(bundle));
    }

    fn take(&mut self, bundle: Bundle) {
        self.keep(bundle);
        if self.kept.len() > BUNDLES_MAX {
            let active = self.last().map_or(0, |last| last.version);
            let mut versions = self.kept.keys().copied();
            let gone = versions.find(|version| *version != active);
            gone.map(|version| self.kept.remove(&version));
        }
    }
}

/// The events of this room.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::BundleTaken { bundle, activation } => {
            state.bundles.list(activation.clone());
            state.bundles.take(Bundle::clone(bundle));
        }
        Event::BundleChosen { activation } => state.bundles.list(activation.clone()),
        _ => {}
    }
}
