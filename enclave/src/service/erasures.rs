//! Erasure: out of the state at once, and what can be said of sealed copies.

use redoubt_shared::{ErasureId, UserId};

use super::approvals::waiting;
use super::boot::Appliance;
use super::problems::{commit, internal};
use super::receipts::to_json;
use super::samples::modality_of;
use super::serving::Serving;
use crate::api::{
    self, Caller, DeletionStatement, Erased, ErasureCovers, ErasureStage, Modality, Problem,
    Timestamp,
};
use crate::core::{Command, Erasure, ErasureScope, ErasureStatus, Reply, TenantState};

impl Appliance {
    pub(super) async fn erase_modality(
        &self,
        caller: &Caller,
        user: UserId,
        modality: Modality,
    ) -> Result<Erased, Problem> {
        let modality = modality_of(modality)?;
        let serving = self.serving()?;
        let id = self.erasure_id()?;
        let command = Command::EraseModality {
            user: user.clone(),
            modality,
            id,
        };
        self.erase(&serving, caller, &user, command, id).await
    }

    pub(super) async fn erase_subject(
        &self,
        caller: &Caller,
        user: UserId,
    ) -> Result<Erased, Problem> {
        let serving = self.serving()?;
        let id = self.erasure_id()?;
        let salt = self.pool.draw().map_err(|_| internal("no entropy"))?;
        // Before and after: what a ceremony under way would register is gone too.
        serving.challenges.forget(&caller.tenant, &user);
        serving.moves.forget(&caller.tenant, &user);
        serving.digits.forget(&caller.tenant, &user);
        let command = Command::EraseSubject {
            user: user.clone(),
            id,
            salt,
        };
        let erased = self.erase(&serving, caller, &user, command, id).await?;
        serving.challenges.forget(&caller.tenant, &user);
        serving.moves.forget(&caller.tenant, &user);
        serving.digits.forget(&caller.tenant, &user);
        Ok(erased)
    }

    pub(super) async fn get_erasure(
        &self,
        caller: &Caller,
        id: ErasureId,
    ) -> Result<api::Erasure, Problem> {
        let (serving, tenant) = (self.serving()?, caller.tenant.clone());
        let looked = serving
            .ledgers
            .look(move |core| shown(&core.tenants.get(&tenant)?.state, id));
        let found = looked.await.map_err(|error| commit(error, 0))?;
        found.ok_or_else(Problem::unknown_erasure)
    }

    fn erasure_id(&self) -> Result<ErasureId, Problem> {
        let drawn = self.pool.draw().map_err(|_| internal("no entropy"))?;
        Ok(ErasureId::from_bytes(drawn))
    }

    async fn erase(
        &self,
        serving: &Serving,
        caller: &Caller,
        user: &UserId,
        command: Command,
        erasure_id: ErasureId,
    ) -> Result<Erased, Problem> {
        let now_ms = self.time()?;
        let waiting = waiting(serving, &caller.tenant, user).await;
        let waiting = waiting.map_err(|error| commit(error, now_ms))?;
        let (reply, claim) = self.decide(serving, caller, command, now_ms).await?;
        serving.listeners.tell_all(&caller.tenant, &waiting);
        let claim = claim.ok_or_else(|| internal("an erasure made no claim"))?;
        let Reply::Erasure { epoch, depends_on } = reply else {
            return Err(internal("an erasure without an epoch"));
        };
        Ok(Erased {
            erasure_id,
            status: ErasureStage::PendingEpoch,
            depends_on,
            epoch,
            receipt: to_json(&claim.receipt())?,
        })
    }
}

/// An erasure of this tenant as its bank sees it.
fn shown(state: &TenantState, id: ErasureId) -> Option<api::Erasure> {
    let erasure = state.erasures.get(&id)?;
    let (status, dark_at) = match erasure.status {
        ErasureStatus::Pending => (ErasureStage::PendingEpoch, None),
        ErasureStatus::Dark { at_ms, .. } => (ErasureStage::Dark, Some(Timestamp(at_ms))),
        ErasureStatus::Depends => (ErasureStage::Depends, None),
    };
    Some(api::Erasure {
        erasure_id: id,
        status,
        scope: match erasure.scope {
            ErasureScope::Face | ErasureScope::Voice => ErasureCovers::Modality,
            ErasureScope::Subject => ErasureCovers::Subject,
        },
        depends_on: erasure.depends_on.clone(),
        epoch: erasure.epoch,
        requested_at: Timestamp(erasure.requested_ms),
        dark_at,
        statements: statements(state, erasure),
    })
}

fn statements(state: &TenantState, erasure: &Erasure) -> Vec<DeletionStatement> {
    let kept = erasure.statements.iter();
    kept.filter_map(|digest| state.deletions.get(digest))
        .map(|deletion| DeletionStatement {
            statement: deletion.statement.as_bytes().to_vec().into(),
            signature: deletion.signature.clone().into(),
        })
        .collect()
}
