//! Devices: what is known of a customer's credentials beside the ceremony.
//!
//! Protects against a credential that somebody else holds: one that is not
//! active neither logs in nor approves, a revoked one never comes back, and a
//! compromised one ends in a new registration only.

use std::sync::Arc;

use redoubt_attestation::encode::sha256;
use redoubt_shared::DeviceId;
use serde::{Deserialize, Serialize};

use super::event::{Event, SubjectKey};
use super::state::{Subject, SubjectHandle, TenantState};
use crate::passkeys::CredentialRecord;

const ID_DOMAIN: &[u8] = b"redoubt/device-id/v1";

/// What is known of one device. A credential without a record is active and was
/// never used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// What its owner calls it.
    pub name: String,
    /// What kind it is, as the bank reports.
    pub kind: String,
    /// Its operating system, as the bank reports.
    pub os: String,
    /// Whether it may be used.
    pub state: DeviceState,
    /// Why, as whoever set it said.
    pub reason: String,
    /// Since when, Unix milliseconds.
    pub since_ms: u64,
    /// Last used at, Unix milliseconds.
    pub last_used_ms: Option<u64>,
    /// Answers refused since one was accepted.
    pub failures: u32,
    /// Times the signature counter did not move on.
    pub counter_anomalies: u32,
    /// When it was first called compromised, Unix milliseconds; stays so.
    pub compromised_ms: Option<u64>,
}

/// Whether a device may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceState {
    /// It may.
    #[default]
    Active,
    /// Not for now.
    Suspended,
    /// Never again.
    Revoked,
    /// Never again: somebody else may have its key.
    Compromised,
}

impl DeviceState {
    /// The stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Compromised => "compromised",
        }
    }

    /// Whether a device may go from here to there: nothing leads back from
    /// revoked, and from compromised only to revoked. Saying the same again is
    /// allowed, so that a retry finds it done.
    pub(super) fn may_become(self, next: Self) -> bool {
        match self {
            Self::Active | Self::Suspended => true,
            Self::Compromised => matches!(next, Self::Compromised | Self::Revoked),
            Self::Revoked => next == Self::Revoked,
        }
    }

    /// Whether it is over for good.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Revoked | Self::Compromised)
    }
}

impl SubjectKey {
    /// The device id of a credential of the subject with this key: random to
    /// everybody who has not the key, and gone with it.
    pub fn device_id(&self, credential_id: &[u8]) -> DeviceId {
        let hash = sha256(&[ID_DOMAIN, self.expose(), credential_id]).0;
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        DeviceId::from_bytes(id)
    }
}

impl Subject {
    /// The device id of one of this subject's credentials.
    pub fn device_id(&self, credential_id: &[u8]) -> DeviceId {
        self.key.device_id(credential_id)
    }

    /// The credential that is this device.
    pub fn credential_of(&self, device: DeviceId) -> Option<&CredentialRecord> {
        let mut all = self.passkeys.values();
        all.find(|record| self.device_id(&record.id) == device)
    }
}

impl TenantState {
    /// What is known of a device.
    pub fn device(&self, id: DeviceId) -> Arc<Device> {
        self.devices.get(&id).cloned().unwrap_or_default()
    }

    /// Whether the bank must ask for a new passkey: one of this subject's is
    /// or was compromised, and none was registered since that is not out of use for good.
    pub fn must_enrol_again(&self, subject: &Subject) -> bool {
        let flagged = subject
            .passkeys
            .values()
            .filter_map(|record| self.device(subject.device_id(&record.id)).compromised_ms);
        let Some(last_ms) = flagged.max() else {
            return false;
        };
        let mut all = subject.passkeys.values();
        !all.any(|record| {
            let device = self.device(subject.device_id(&record.id));
            record.created_ms > last_ms && !device.state.is_final()
        })
    }
}

/// Where an authenticator keeps a key, as far as it was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyCustody {
    /// Bound to one device, and an attestation that policy trusts says so.
    Hardware,
    /// May be copied to other devices (backup eligible).
    Synced,
    /// Said to be bound to one device; nobody vouches for it.
    Unproven,
}

impl KeyCustody {
    /// What a registration showed.
    pub fn of(record: &CredentialRecord) -> Self {
        match (record.backup_eligible, record.attestation_trusted) {
            (true, _) => Self::Synced,
            (false, true) => Self::Hardware,
            (false, false) => Self::Unproven,
        }
    }
}

/// How far a device is to be trusted, 0 to 1, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustScore {
    /// Two decimals.
    pub score: f64,
    /// What counted, with its weight.
    pub reasons: Vec<(&'static str, f64)>,
}

const DAY_MS: u64 = 24 * 3_600_000;
/// Every device starts here.
const BASE: f64 = 0.5;

/// The trust score. Starts at 0.5 and adds the weight of each reason that holds;
/// a device that is not active has 0.
pub fn trust(record: &CredentialRecord, device: &Device, now_ms: u64) -> TrustScore {
    if device.state != DeviceState::Active {
        let reasons = vec![(device.state.name(), -1.0)];
        return TrustScore {
            score: 0.0,
            reasons,
        };
    }
    let age_ms = now_ms.saturating_sub(record.created_ms);
    let idle_ms = now_ms.saturating_sub(device.last_used_ms.unwrap_or(record.created_ms));
    let custody = KeyCustody::of(record);
    let rules = [
        (custody == KeyCustody::Hardware, "attested_hardware", 0.3),
        (custody == KeyCustody::Unproven, "device_bound", 0.1),
        (record.backup_state, "synced", -0.1),
        (age_ms >= 30 * DAY_MS, "known_for_30_days", 0.1),
        (age_ms < DAY_MS, "new", -0.1),
        (idle_ms >= 180 * DAY_MS, "unused_for_180_days", -0.1),
        (device.failures == 1, "failure", -0.1),
        (device.failures == 2, "failures", -0.2),
        (device.failures > 2, "failures", -0.3),
        (device.counter_anomalies > 0, "counter_anomaly", -0.4),
    ];
    let held = rules.into_iter().filter(|(holds, ..)| *holds);
    let reasons: Vec<_> = held.map(|(_, reason, weight)| (reason, weight)).collect();
    let sum = BASE + reasons.iter().map(|(_, weight)| weight).sum::<f64>();
    TrustScore {
        score: (sum.clamp(0.0, 1.0) * 100.0).round() / 100.0,
        reasons,
    }
}

fn with(state: &mut TenantState, id: DeviceId, change: impl FnOnce(&mut Device)) {
    let mut device = state.device(id);
    change(Arc::make_mut(&mut device));
    state.devices.insert(id, device);
}

/// The events of this room. Those of a subject that is gone change nothing.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::DeviceUsed {
            handle,
            credential_id,
            sign_count,
            backup_state,
            at_ms,
        } => {
            super::apply::use_passkey(state, handle, credential_id, *sign_count, *backup_state);
            let Some(subject) = state.subjects.get(handle) else {
                return;
            };
            let id = subject.device_id(credential_id);
            with(state, id, |device| {
                device.last_used_ms = Some(*at_ms);
                device.failures = 0;
            });
        }
        Event::DeviceRefused {
            handle,
            device,
            counter,
        } if state.subjects.contains_key(handle) => with(state, *device, |device| {
            device.failures = device.failures.saturating_add(1);
            let anomalies = &mut device.counter_anomalies;
            *anomalies = anomalies.saturating_add(u32::from(*counter));
        }),
        Event::DeviceDescribed {
            handle,
            device,
            name,
            kind,
            os,
        } if state.subjects.contains_key(handle) => with(state, *device, |device| {
            device.name.clone_from(name);
            device.kind.clone_from(kind);
            device.os.clone_from(os);
        }),
        Event::DeviceStateSet {
            handle,
            device,
            next,
            reason,
            at_ms,
        } if state.subjects.contains_key(handle) => {
            let subject = state.subjects.get(handle);
            let credential = subject.and_then(|subject| subject.credential_of(*device));
            let credential = credential.map(|record| record.id.clone());
            if let Some(id) = credential
                && *next != DeviceState::Active
            {
                super::approval::withdraw(state, handle, |grant| {
                    let with = grant.with.passkey().map(|passkey| &passkey.credential_id);
                    with == Some(&id)
                });
            }
            with(state, *device, |device| {
                // Said again, it is since the first time.
                if device.state != *next {
                    device.since_ms = *at_ms;
                }
                if *next == DeviceState::Compromised {
                    device.compromised_ms.get_or_insert(*at_ms);
                }
                device.state = *next;
                device.reason.clone_from(reason);
            })
        }
        _ => {}
    }
}

/// Forgets the devices of a subject that leaves.
pub(super) fn forget(state: &mut TenantState, handle: &SubjectHandle) {
    let Some(subject) = state.subjects.get(handle) else {
        return;
    };
    let ids: Vec<_> = subject
        .passkeys
        .keys()
        .map(|id| subject.device_id(id))
        .collect();
    for id in ids {
        state.devices.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synced_key_is_no_hardware_key_whoever_attests_it() {
        let record = |backup_eligible, attestation_trusted| CredentialRecord {
            id: vec![1],
            public_key: vec![1],
            algorithm: crate::passkeys::Algorithm::Es256,
            sign_count: 0,
            uv_initialized: true,
            transports: vec![],
            backup_eligible,
            backup_state: false,
            attestation_format: crate::passkeys::AttestationFormat::Packed,
            attestation_trusted,
            aaguid: [0; 16],
            created_ms: 0,
        };
        assert_eq!(KeyCustody::of(&record(true, true)), KeyCustody::Synced);
        assert_eq!(KeyCustody::of(&record(false, true)), KeyCustody::Hardware);
        assert_eq!(KeyCustody::of(&record(false, false)), KeyCustody::Unproven);
    }
}
