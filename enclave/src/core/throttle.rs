//! Failures by where they come from, over all customers.
//!
//! Protects against guessing in breadth: one device or one address that tries many
//! customers a few times each stays below every customer's own limit. An attempt
//! counts from when it begins, and one that a crash leaves open has failed.

use imbl::{OrdMap, OrdSet};
use redoubt_shared::VerificationId;
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::risk::{Tag, Whereabouts};
use super::state::{SubjectHandle, TenantState};

/// What is counted. Variants are append-only: postcard numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Gate {
    /// A device, as the bank reports it.
    Device(Tag),
    /// A network address, as the bank reports it.
    Source(Tag),
    /// All of the tenant's.
    Tenant,
}

/// Failures of one gate since the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// How many.
    pub failures: u32,
    /// Forgotten after this, Unix milliseconds.
    pub until_ms: u64,
}

/// An attempt under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// Whose.
    pub subject: SubjectHandle,
    /// Whence.
    pub from: Whereabouts,
    /// How long its failure counts from when it is known, in milliseconds.
    pub counts_ms: u64,
}

/// How many failures each gate takes within the time of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one device.
    pub device: u32,
    /// Of one address.
    pub source: u32,
    /// Of all customers together.
    pub tenant: u32,
}

impl Limits {
    /// None that anybody reaches.
    pub const NONE: Self = Self {
        device: u32::MAX,
        source: u32::MAX,
        tenant: u32::MAX,
    };

    fn of(&self, gate: Gate) -> u32 {
        match gate {
            Gate::Device(_) => self.device,
            Gate::Source(_) => self.source,
            Gate::Tenant => self.tenant,
        }
    }
}

/// What one tenant counts. A clone shares everything with its original.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Throttle {
    windows: OrdMap<Gate, Window>,
    ends: OrdSet<(u64, Gate)>,
    under_way: OrdMap<VerificationId, UnderWay>,
    /// How many are under way at each gate.
    open: OrdMap<Gate, u32>,
}

/// Windows that are over and leave with one that opens: the work of one is bounded.
const PRUNED_MAX: usize = 16;

fn gates(from: &Whereabouts) -> impl Iterator<Item = Gate> + use<> {
    let (device, source) = (from.device, from.source);
    let device = device.map(Gate::Device).into_iter();
    device.chain(source.map(Gate::Source)).chain([Gate::Tenant])
}

impl Throttle {
    /// Until when an attempt from there has to wait, Unix milliseconds, if it has to.
    pub fn waits_until(&self, from: &Whereabouts, limits: &Limits, now_ms: u64) -> Option<u64> {
        let shut = |gate: Gate| {
            let window = self
                .windows
                .get(&gate)
                .filter(|window| window.until_ms > now_ms);
            let failures = window.map_or(0, |window| window.failures);
            let open = self.open.get(&gate).copied().unwrap_or(0);
            let limit = limits.of(gate);
            match window {
                Some(window) if failures >= limit => Some(window.until_ms),
                // What is under way ends within seconds.
                _ if failures.saturating_add(open) >= limit => Some(now_ms.saturating_add(1000)),
                _ => None,
            }
        };
        gates(from).filter_map(shut).max()
    }

    /// Everything counted, for a snapshot.
    pub fn windows(&self) -> impl Iterator<Item = (Gate, Window)> {
        self.windows.iter().map(|(gate, window)| (*gate, *window))
    }

    /// Everything under way, for a snapshot.
    pub fn under_way(&self) -> impl Iterator<Item = (VerificationId, UnderWay)> {
        self.under_way.iter().map(|(id, one)| (*id, *one))
    }

    /// Takes over a window.
    pub(super) fn keep(&mut self, gate: Gate, window: Window) {
        if let Some(old) = self.windows.insert(gate, window) {
            self.ends.remove(&(old.until_ms, gate));
        }
        self.ends.insert((window.until_ms, gate));
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, id: VerificationId, one: UnderWay) {
        for gate in gates(&one.from) {
            let open = self.open.get(&gate).copied().unwrap_or(0);
            self.open.insert(gate, open.saturating_add(1));
        }
        self.under_way.insert(id, one);
    }

    /// It ends; a failure at `at_ms` is counted.
    fn end(&mut self, id: &VerificationId, failed_ms: Option<u64>) {
        let Some(one) = self.under_way.remove(id) else {
            return;
        };
        for gate in gates(&one.from) {
            match self.open.get(&gate).copied() {
                Some(open) if open > 1 => self.open.insert(gate, open - 1),
                _ => self.open.remove(&gate),
            };
            if let Some(at_ms) = failed_ms {
                self.fail(gate, at_ms, one.counts_ms);
            }
        }
    }

    fn fail(&mut self, gate: Gate, at_ms: u64, counts_ms: u64) {
        self.prune(at_ms, PRUNED_MAX);
        let known = self.windows.get(&gate).copied();
        let window = known.filter(|window| window.until_ms > at_ms);
        let window = window.unwrap_or(Window {
            failures: 0,
            until_ms: at_ms.saturating_add(counts_ms),
        });
        let failures = window.failures.saturating_add(1);
        self.keep(gate, Window { failures, ..window });
    }

    fn prune(&mut self, now_ms: u64, most: usize) {
        let over = self
            .ends
            .iter()
            .take_while(|(until_ms, _)| *until_ms <= now_ms);
        let over: Vec<_> = over.take(most).copied().collect();
        for (until_ms, gate) in over {
            self.ends.remove(&(until_ms, gate));
            self.windows.remove(&gate);
        }
    }

    /// What a dead term left under way has failed.
    pub(super) fn begin_term(&mut self, at_ms: u64) {
        self.prune(at_ms, usize::MAX);
        let all: Vec<_> = self.under_way.keys().copied().collect();
        all.iter().for_each(|id| self.end(id, Some(at_ms)));
    }

    /// What a customer who leaves has under way counts as failed: leaving gives no
    /// attempt back.
    pub(super) fn leave(&mut self, subject: &SubjectHandle, at_ms: u64) {
        self.prune(at_ms, usize::MAX);
        let all = self.under_way.iter();
        let own: Vec<_> = all
            .filter(|(_, one)| one.subject == *subject)
            .map(|(id, _)| *id)
            .collect();
        own.iter().for_each(|id| self.end(id, Some(at_ms)));
    }
}

/// The events of this room.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::AttemptBegun {
            handle,
            id,
            from,
            counts_ms,
        } => {
            let one = UnderWay {
                subject: *handle,
                from: *from,
                counts_ms: *counts_ms,
            };
            state.throttle.begin(*id, one);
        }
        Event::AttemptEnded { id, failed_ms } => state.throttle.end(id, *failed_ms),
        _ => {}
    }
}
