//! Epochs as officers see them.
//!
//! Without custodians there is nothing that a new epoch could delete: asking
//! for one is refused, and every erasure goes on waiting.

use super::boot::Appliance;
use super::problems::commit;
use crate::api::{EpochStatus, Problem, RotateEpoch};

impl Appliance {
    pub(super) async fn rotate_epoch(&self, _: RotateEpoch) -> Result<EpochStatus, Problem> {
        self.serving()?;
        Err(Problem::custodian_unavailable()
            .detail("The genesis manifest of this appliance names no custodians."))
    }

    pub(super) async fn epoch_status(&self) -> Result<EpochStatus, Problem> {
        let serving = self.serving()?;
        let looked = serving.ledgers.look(|core| {
            let tenants = core.tenants.values();
            tenants.fold((0, 0), |(epoch, pending), tenant| {
                let more = tenant.state.pending_erasures.len() as u64;
                (tenant.context.epoch.max(epoch), pending + more)
            })
        });
        let (epoch, pending_erasures) = looked.await.map_err(|error| commit(error, 0))?;
        Ok(EpochStatus {
            epoch,
            pending_erasures,
            rotation: None,
        })
    }
}
