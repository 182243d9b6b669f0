//! Authenticator models: what FIDO metadata says of them, and the credentials
//! that were suspended for it.
//!
//! Protects against a model that is known to be broken and used all the same.
//! From the event that says so on, no credential of the model is accepted; the
//! record of each customer follows, step by step, and a crash between two steps
//! loses none.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::state::{SubjectHandle, TenantState};
use crate::passkeys::CredentialRecord;
use crate::passkeys::metadata::{Condensed, Status};

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
    /// Suspended credentials by id.
    pub suspended: OrdMap<Arc<[u8]>, Suspension>,
}

/// Why a credential is suspended. Stored: fields are fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Its model.
    pub aaguid: Aaguid,
    /// What was reported of it.
    pub status: Status,
    /// When, Unix milliseconds.
    pub at_ms: u64,
}

/// What one step of the walk over all subjects found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Credentials to suspend, with their owners.
    pub found: Vec<(SubjectHandle, Vec<u8>)>,
    /// Where the next step begins; none at the end.
    pub next: Option<SubjectHandle>,
}

impl TenantState {
    /// Why a credential may not be used now, as a stable reason.
    pub fn barred(&self, record: &CredentialRecord) -> Option<&'static str> {
        let models = &self.models;
        let barred = models.suspended.contains_key(&*record.id)
            || models.acting.contains_key(&record.aaguid);
        barred.then_some("credential_suspended")
    }

    /// Whether a model may not be registered at a time in Unix milliseconds.
    pub fn is_compromised(&self, aaguid: &Aaguid, now_ms: u64) -> bool {
        let metadata = self.models.metadata.as_ref();
        self.models.acting.contains_key(aaguid)
            || metadata.is_some_and(|metadata| metadata.is_compromised_at(aaguid, now_ms))
    }

    /// Credentials of models that are acted on, of subjects behind one.
    pub fn to_suspend(&self, behind: Option<SubjectHandle>) -> Step {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let mut step = Step::default();
        let subjects = self.subjects.range((from, Bound::Unbounded));
        for (seen, (handle, subject)) in subjects.enumerate() {
            let records = subject.passkeys.values();
            let concerned = records.filter(|record| {
                self.models.acting.contains_key(&record.aaguid)
                    && !self.models.suspended.contains_key(&*record.id)
            });
            step.found
                .extend(concerned.map(|record| (*handle, record.id.clone())));
            if seen + 1 == STEP_SUBJECTS || step.found.len() >= STEP_FOUND {
                step.next = Some(*handle);
                break;
            }
        }
        step
    }
}

/// The one way in which a credential becomes suspended.
fn suspend(state: &mut TenantState, credential_id: &[u8], suspension: &Suspension) {
    if !state.credentials.contains_key(credential_id) {
        return;
    }
    if let Some(count) = state.models.acting.get_mut(&suspension.aaguid) {
        *count += 1;
    }
    let id = Arc::from(credential_id);
    state.models.suspended.insert(id, suspension.clone());
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
        }
        Event::CredentialSuspended {
            credential_id,
            suspension,
            ..
        } => suspend(state, credential_id, suspension),
        Event::ModelsActedOn { models } => {
            for aaguid in models {
                state.models.acting.remove(aaguid);
            }
        }
        _ => {}
    }
}
