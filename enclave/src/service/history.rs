//! What was recovered against what was signed: nothing goes back, but by order.
//!
//! Protects against an appliance that is led to an older manifest, configuration
//! or history than its officers and its own ledger know, and against a restore
//! that nobody ordered.

use redoubt_attestation::binding::{Binding, Head};
use redoubt_attestation::genesis::Restore;

use super::boot::Appliance;
use super::recover::RecoverError;
use crate::ledger::{ApplianceState, Origin, Recovered, TermRecord};

impl Appliance {
    /// Nothing signed goes back: neither history, nor manifest, nor configuration,
    /// nor time, nor a ledger to another tenant.
    pub(super) fn check_history(
        &self,
        recovered: &Recovered,
        remembered: Option<Head>,
        now_ms: u64,
    ) -> Result<(), RecoverError> {
        let (state, book) = &recovered.appliance;
        let custodians = self.custodians_digest();
        if state.custodians.is_some_and(|known| known != custodians) {
            return Err(RecoverError::CustodiansChanged);
        }
        let restoring = self.restoring(state)?;
        let remembered = match restoring {
            // It is of the ledger before, and no higher than the officers knew.
            Some(restore) => remembered.filter(|head| head.size > restore.lost.size),
            None => remembered,
        };
        if let Some(head) = remembered
            && book.tree().root_at(head.size) != Some(head.root.0)
        {
            return Err(RecoverError::RolledBack {
                remembered: head.size,
                found: book.size(),
            });
        }
        for (id, tenant, _) in &recovered.tenants {
            if tenant.tenant.as_ref().is_some_and(|owner| owner != id) {
                return Err(RecoverError::ForeignLedger);
            }
        }
        let Some(last) = state.terms.last() else {
            return Ok(());
        };
        let manifest = (self.genesis.manifest.counter, self.genesis.digest.0);
        if !supersedes(manifest, (last.genesis_counter, last.genesis)) {
            let (offered, recorded) = (manifest.0, last.genesis_counter);
            return Err(RecoverError::OldGenesis { offered, recorded });
        }
        let config = (self.config.config.counter, self.config.digest.0);
        if !supersedes(config, (last.config_counter, last.config)) {
            let (offered, recorded) = (config.0, last.config_counter);
            return Err(RecoverError::OldConfig { offered, recorded });
        }
        if now_ms < last.at_ms {
            return Err(RecoverError::TimeWentBack);
        }
        match restoring {
            Some(_) => Ok(()),
            None => self.check_ledgers(last),
        }
    }

    /// The ledgers that the configuration's restore goes on from.
    pub(super) fn origin(&self) -> Option<Origin> {
        let restore = self.config.config.restore.as_ref()?;
        let tenants = restore.tenants.iter();
        Some(Origin {
            appliance: restore.ledger,
            tenants: tenants
                .map(|old| (old.tenant.clone(), old.ledger))
                .collect(),
            found: (restore.found.size, restore.found.root.0),
        })
    }

    /// The restore to be recorded now, if it is not yet.
    pub(super) fn restoring(
        &self,
        state: &ApplianceState,
    ) -> Result<Option<&Restore>, RecoverError> {
        let Some(restore) = &self.config.config.restore else {
            return Ok(None);
        };
        let recorded = state.restores();
        match restore.count {
            count if count == recorded => Ok(None),
            count if count == recorded + 1 => Ok(Some(restore)),
            ordered => Err(RecoverError::RestoreCount { ordered, recorded }),
        }
    }

    /// A tenant keeps the ledger that the last term's document bound to it.
    fn check_ledgers(&self, last: &TermRecord) -> Result<(), RecoverError> {
        let bound = Binding::parse(&last.preimage).map_err(|_| RecoverError::OwnPreimage)?;
        let moved = self.config.config.tenants.iter().any(|tenant| {
            bound.ledgers.iter().any(|ledger| {
                ledger.tenant.as_ref() == Some(&tenant.id) && ledger.ledger != tenant.ledger
            })
        });
        if moved {
            Err(RecoverError::ForeignLedger)
        } else {
            Ok(())
        }
    }
}

/// Whether (counter, digest) may follow what was recorded: the same file, or a higher counter.
pub(super) fn supersedes(offered: (u64, [u8; 32]), recorded: (u64, [u8; 32])) -> bool {
    offered == recorded || offered.0 > recorded.0
}
