//! A customer as the core knows them now, for ceremonies.

use redoubt_shared::UserId;

use super::problems::commit;
use super::serving::Serving;
use crate::api::{Caller, Problem};
use crate::core::{Subject, TenantState};
use crate::passkeys::CredentialRecord;

/// A customer's passkeys and handle, as the core knows them now.
pub(super) struct Known {
    pub(super) user_handle: [u8; 16],
    pub(super) passkeys: Vec<CredentialRecord>,
    /// Ids of those that are out of use for good.
    pub(super) closed: Vec<Vec<u8>>,
}

impl Known {
    pub(super) fn of(state: &TenantState, subject: &Subject) -> Self {
        let is_closed = |id: &&Vec<u8>| state.device(subject.device_id(id)).state.is_final();
        Self {
            user_handle: subject.user_handle,
            passkeys: subject.passkeys.values().cloned().collect(),
            closed: subject.passkeys.keys().filter(is_closed).cloned().collect(),
        }
    }

    /// What options may name: passkeys that are not out of use for good.
    pub(super) fn usable(&self) -> Vec<CredentialRecord> {
        let all = self.passkeys.iter();
        all.filter(|record| !self.closed.contains(&record.id))
            .cloned()
            .collect()
    }

    /// What login options name. With nothing left to log in with they look as
    /// before, and the login fails.
    pub(super) fn offered(&self) -> Vec<CredentialRecord> {
        let usable = self.usable();
        if usable.is_empty() {
            self.passkeys.clone()
        } else {
            usable
        }
    }
}

/// What the core knows of a customer.
pub(super) async fn known(
    serving: &Serving,
    caller: &Caller,
    user: &UserId,
) -> Result<Option<Known>, Problem> {
    let (tenant, user) = (caller.tenant.clone(), user.clone());
    serving
        .ledgers
        .look(move |core| {
            let state = &core.tenants.get(&tenant)?.state;
            let (_, subject) = state.subject(&user)?;
            Some(Known::of(state, subject))
        })
        .await
        .map_err(|error| commit(error, 0))
}
