//! Retention: sealed entries older than a tenant keeps them are let go.
//!
//! Protects customers from a memory longer than their bank may have, and the
//! bank from losing what is younger: entries are dropped only below a size that
//! the ledger is known to have had long enough ago, and only when every snapshot
//! that recovery could begin from covers them. Leaf hashes stay, so every proof of
//! what is kept goes on verifying. What the host does with bodies it was told to
//! delete cannot be seen from here; erasure does not rest on it.

use std::collections::HashMap;

use redoubt_shared::{LedgerId, TenantId};

use super::appliance::ApplianceEvent;
use super::commit::Core;

/// How far apart marks are.
const MARK_EVERY_MS: u64 = 24 * 60 * 60 * 1000;
/// How often it is looked whether something is old enough.
const LOOK_EVERY_MS: u64 = 60 * 60 * 1000;

/// How long tenants' entries are kept.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// In milliseconds; a tenant that is not named keeps everything.
    pub keep_ms: HashMap<TenantId, u64>,
}

/// When it was last looked.
pub(super) struct Keeper {
    retention: Retention,
    looked_ms: Option<u64>,
    /// Whether a snapshot now would let something go.
    pub(super) due: bool,
    /// Entries of each ledger that recovery from the last snapshot does not need, if
    /// this boot wrote it. The next one keeps that snapshot, to fall back on.
    pub(super) covered: Option<HashMap<LedgerId, u64>>,
}

impl Keeper {
    pub(super) fn new(retention: Retention) -> Self {
        Self {
            retention,
            looked_ms: None,
            due: false,
            covered: None,
        }
    }

    /// Whether it is time to look again.
    pub(super) fn looks(&mut self, now_ms: u64) -> bool {
        let lately = |looked: u64| now_ms < looked.saturating_add(LOOK_EVERY_MS);
        if self.looked_ms.is_some_and(lately) {
            return false;
        }
        self.looked_ms = Some(now_ms);
        true
    }

    /// First entries to keep from now on, of the ledgers in which that moves on.
    /// `covered`: entries of each ledger that recovery does not need.
    pub(super) fn expired(
        &self,
        core: &Core,
        now_ms: u64,
        covered: &HashMap<LedgerId, u64>,
    ) -> Vec<(LedgerId, u64)> {
        let mut longest = Some(0);
        let mut ledgers = Vec::new();
        for (id, tenant) in &core.tenants {
            let keep = self.retention.keep_ms.get(id).copied();
            longest = longest.zip(keep).map(|(a, b)| a.max(b));
            ledgers.extend(keep.map(|keep| (tenant.book.ledger(), keep)));
        }
        // The appliance's own entries stay as long as anybody's.
        ledgers.extend(longest.map(|keep| (core.appliance_book.ledger(), keep)));
        let cut = |(ledger, keep)| {
            let old_ms = now_ms.checked_sub(keep)?;
            let covered = *covered.get(&ledger)?;
            let marks = core.appliance.marks.get(&ledger)?.iter();
            let old = marks.filter(|(at, size)| *at <= old_ms && *size <= covered);
            let first = old.map(|(_, size)| *size).max()?;
            let kept = core.appliance.kept_from.get(&ledger).copied();
            (first > kept.unwrap_or(0)).then_some((ledger, first))
        };
        let mut cuts: Vec<_> = ledgers.into_iter().filter_map(cut).collect();
        cuts.sort_unstable();
        cuts
    }
}

impl Core {
    /// Entries of every ledger.
    pub(super) fn sizes(&self) -> HashMap<LedgerId, u64> {
        let books = self.tenants.values().map(|core| &core.book);
        let books = books.chain(std::iter::once(&self.appliance_book));
        books.map(|book| (book.ledger(), book.size())).collect()
    }

    /// How far every ledger has come, once a day. What is pending does not count.
    pub(super) fn mark(&self, now_ms: u64) -> Option<ApplianceEvent> {
        let marks = &self.appliance.marks;
        let newest = marks.values().filter_map(|marks| marks.last());
        let newest = newest.map(|(at, _)| *at).max();
        if newest.is_some_and(|at| now_ms < at.saturating_add(MARK_EVERY_MS)) {
            return None;
        }
        let grew = |(ledger, size): &(LedgerId, u64)| {
            let last = marks.get(ledger).and_then(|marks| marks.last());
            *size > last.map_or(self.kept_from(*ledger), |(_, size)| *size)
        };
        let mut sizes: Vec<_> = self.sizes().into_iter().filter(grew).collect();
        sizes.sort_unstable();
        let at_ms = now_ms;
        // The appliance's own ledger grows with every mark: that alone is no reason for one.
        let own = self.appliance_book.ledger();
        let grown = sizes.iter().any(|(ledger, _)| *ledger != own);
        grown.then_some(ApplianceEvent::Marked { at_ms, sizes })
    }

    /// First entry of a ledger that is kept.
    pub(super) fn kept_from(&self, ledger: LedgerId) -> u64 {
        self.appliance.kept_from.get(&ledger).copied().unwrap_or(0)
    }
}
