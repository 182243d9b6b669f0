//! Authenticator models: what FIDO metadata says of them, and the devices to
//! suspend for it.
//!
//! Protects against a model that is known to be broken and used all the same.
//! From the event that says so on, no credential of the model is accepted; the
//! state of each device follows, step by step, and a crash between two steps
//! loses none.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use redoubt_shared::DeviceId;

use super::approval;
use super::command::SetDeviceState;
use super::device::DeviceState;
use super::event::Event;
use super::state::{Subject, SubjectHandle, TenantState};
use crate::passkeys::CredentialRecord;
use crate::passkeys::metadata::{Condensed, Status, spelt};

/// Subjects that one step looks at, and credentials that it finds.
const STEP_SUBJECTS: usize = 4096;
const STEP_FOUND: usize = 64;

/// An authenticator model.
pub type Aaguid = [u8; 16];

/// What is known of models.
#[derive(Clone, Default, PartialEq)]
pub struct Models {
    /// The last BLOB that was taken.
    pub metadata: Option<Arc<Condensed>>,
    /// What was compromised when that was last looked at.
    pub compromised: BTreeMap<Aaguid, Status>,
    /// Models whose credentials are being suspended, with how many were so far.
    pub acting: BTreeMap<Aaguid, u64>,
    /// How many were suspended for the models before those.
    pub suspended: u64,
}

/// What one step of the walk over all subjects found.
#[derive(Default)]
pub struct Step {
    /// Devices to suspend.
    pub found: Vec<SetDeviceState>,
    /// Where the next step begins; none at the end.
    pub next: Option<SubjectHandle>,
}

impl TenantState {
    /// Whether a device may be used: as it was put, but that none of a model that is
    /// acted on is active, whether its own state has followed or not.
    pub fn standing(&self, subject: &Subject, device: DeviceId) -> DeviceState {
        let state = self.device(device).state;
        let acting = &self.models.acting;
        if acting.is_empty() || state != DeviceState::Active {
            return state;
        }
        match subject.credential_of(device) {
            Some(record) if acting.contains_key(&record.aaguid) => DeviceState::Suspended,
            _ => state,
        }
    }

    /// Whether a model may not be registered at a time in Unix milliseconds. What was
    /// compromised at the last look is until the next: what registers between them
    /// would be new to neither.
    pub fn is_compromised(&self, aaguid: &Aaguid, now_ms: u64) -> bool {
        let metadata = self.models.metadata.as_ref();
        self.models.acting.contains_key(aaguid)
            || self.models.compromised.contains_key(aaguid)
            || metadata.is_some_and(|metadata| metadata.is_compromised_at(aaguid, now_ms))
    }

    /// Active devices of models that are acted on, of subjects behind one.
    pub fn to_suspend(&self, behind: Option<SubjectHandle>) -> Step {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let mut step = Step::default();
        let subjects = self.subjects.range((from, Bound::Unbounded));
        for (seen, (handle, subject)) in subjects.enumerate() {
            let records = subject.passkeys.values();
            step.found
                .extend(records.filter_map(|record| self.suspension(subject, record)));
            if seen + 1 == STEP_SUBJECTS || step.found.len() >= STEP_FOUND {
                step.next = Some(*handle);
                break;
            }
        }
        step
    }

    fn suspension(&self, subject: &Subject, record: &CredentialRecord) -> Option<SetDeviceState> {
        let models = &self.models;
        models.acting.get(&record.aaguid)?;
        let device = subject.device_id(&record.id);
        if self.device(device).state != DeviceState::Active {
            return None;
        }
        // Cleared since: it was barred all the same.
        let status = models.compromised.get(&record.aaguid);
        let status = status.and_then(|status| status.compromise());
        Some(SetDeviceState {
            user: subject.user.clone(),
            device,
            next: DeviceState::Suspended,
            reason: format!(
                "{} is reported of model {}",
                status.unwrap_or("a compromise"),
                spelt(&record.aaguid)
            ),
            source: "metadata",
        })
    }
}

/// Counts a device of a model that is acted on, which is about to be suspended.
pub(super) fn count(state: &mut TenantState, event: &Event) {
    let Event::DeviceStateSet {
        handle,
        device,
        next: DeviceState::Suspended,
        ..
    } = event
    else {
        return;
    };
    if state.models.acting.is_empty() || state.device(*device).state != DeviceState::Active {
        return;
    }
    let subject = state.subjects.get(handle);
    let record = subject.and_then(|subject| subject.credential_of(*device));
    let Some(aaguid) = record.map(|record| record.aaguid) else {
        return;
    };
    if let Some(count) = state.models.acting.get_mut(&aaguid) {
        *count += 1;
    }
}

/// Takes back what devices of these models answered to approvals that are open:
/// none completes with it, whether the device's own state has followed or not.
fn take_back(state: &mut TenantState, newly: &[Aaguid]) {
    if newly.is_empty() {
        return;
    }
    let broken: BTreeSet<&Aaguid> = newly.iter().collect();
    let grants = state.approvals.values().flat_map(|open| &open.grants);
    let people: BTreeSet<SubjectHandle> = grants.map(|grant| grant.by).collect();
    for handle in people {
        let Some(subject) = state.subjects.get(&handle).cloned() else {
            continue;
        };
        approval::withdraw(state, &handle, |grant| {
            let with = grant.with.passkey();
            let record = with.and_then(|with| subject.passkeys.get(&with.credential_id));
            record.is_some_and(|record| broken.contains(&record.aaguid))
        });
    }
}

/// The events of this room.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::MetadataTaken { metadata } => {
            state.models.metadata = Some(Arc::new(Condensed::clone(metadata)));
        }
        Event::ModelsJudged { compromised, newly } => {
            state.models.compromised = compromised.iter().copied().collect();
            for aaguid in newly {
                state.models.acting.entry(*aaguid).or_default();
            }
            take_back(state, newly);
        }
        Event::ModelsActedOn { models } => {
            for aaguid in models {
                let count = state.models.acting.remove(aaguid);
                state.models.suspended += count.unwrap_or_default();
            }
        }
        _ => {}
    }
}
