//! Devices: what the bank sees of a customer's credentials, and one way to put
//! one out of use.

use std::sync::Arc;

use redoubt_shared::{DeviceId, TenantId, UserId};

use super::approvals::waiting;
use super::boot::Appliance;
use super::problems::{commit, in_part, internal};
use super::receipts::to_json;
use super::serving::Serving;
use crate::api::{
    self, Caller, DeviceStateSet, DeviceTrust, Devices, Problem, Timestamp, TrustReason,
};
use crate::core::{
    Command, DescribeDevice, DeviceState, Reply, SetDeviceState, Subject, SubjectHandle,
    TenantState, trust,
};
use crate::ledger::{CommitError, Outcome};
use crate::passkeys::CredentialRecord;

impl Appliance {
    pub(super) async fn devices(&self, caller: &Caller, user: UserId) -> Result<Devices, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let tenant = caller.tenant.clone();
        serving
            .ledgers
            .look(move |core| shown(&core.tenants.get(&tenant)?.state, user, now_ms))
            .await
            .map_err(|error| commit(error, now_ms))?
            .ok_or_else(Problem::unknown_subject)
    }

    pub(super) async fn describe_device(
        &self,
        caller: &Caller,
        user: UserId,
        device: DeviceId,
        request: api::DescribeDevice,
    ) -> Result<api::Device, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let command = Command::DescribeDevice(Box::new(DescribeDevice {
            user: user.clone(),
            device,
            name: request.name.map(|text| text.into_string()),
            kind: request.kind.map(|text| text.into_string()),
            os: request.os.map(|text| text.into_string()),
        }));
        self.decide(&serving, caller, command, now_ms).await?;
        let devices = self.devices(caller, user).await.map_err(in_part)?;
        let mut described = devices.devices.into_iter();
        described
            .find(|shown| shown.device_id == device)
            .ok_or_else(Problem::unknown_device)
    }

    pub(super) async fn set_device_state(
        &self,
        caller: &Caller,
        user: UserId,
        device: DeviceId,
        request: api::SetDeviceState,
    ) -> Result<DeviceStateSet, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let asked = SetDeviceState {
            user,
            device,
            next: request.state.into(),
            reason: request.reason.into_string(),
            source: "bank",
        };
        let outcome = put(&serving, &caller.tenant, asked).await;
        let outcome = outcome.map_err(|error| commit(error, now_ms))?;
        let (Reply::Ended(sessions_ended), Some(claim)) = (outcome.reply, outcome.claim) else {
            return Err(internal("a device's state without a count or a claim"));
        };
        Ok(DeviceStateSet {
            device_id: device,
            state: request.state,
            sessions_ended,
            receipt: to_json(&claim.receipt())?,
        })
    }
}

/// Puts a device into a state, whoever asks for it: the bank, or what else watches
/// over authenticators. Replies how many sessions ended with it.
pub(super) async fn put(
    serving: &Serving,
    tenant: &TenantId,
    asked: SetDeviceState,
) -> Result<Outcome, CommitError> {
    // What was begun with the device must not end after it is out of use.
    let (user, next) = (asked.user.clone(), asked.next);
    let forget = || {
        if next != DeviceState::Active {
            serving.challenges.forget(tenant, &user);
        }
    };
    forget();
    let waiting = waiting(serving, tenant, &user).await?;
    let command = Command::SetDeviceState(Box::new(asked));
    let outcome = serving.ledgers.decide(tenant, command).await?;
    forget();
    serving.listeners.tell_all(tenant, &waiting);
    Ok(outcome)
}

fn shown(state: &TenantState, user: UserId, now_ms: u64) -> Option<Devices> {
    let (handle, subject) = state.subject(&user)?;
    let records = subject.passkeys.values();
    let mut devices: Vec<_> = records
        .map(|record| device(state, handle, subject, record, now_ms))
        .collect();
    devices.sort_by_key(|device| (device.created_at, device.device_id));
    Some(Devices {
        user_id: user,
        re_enrollment_required: state.must_enrol_again(subject),
        devices,
    })
}

fn device(
    state: &TenantState,
    handle: SubjectHandle,
    subject: &Subject,
    record: &CredentialRecord,
    now_ms: u64,
) -> api::Device {
    let device_id = subject.device_id(&record.id);
    let mut device = state.device(device_id);
    let standing = state.standing(subject, device_id);
    if device.state != standing {
        Arc::make_mut(&mut device).state = standing;
    }
    let trusted = trust(record, &device, now_ms);
    let reasons = trusted.reasons.into_iter();
    api::Device {
        device_id,
        name: device.name.clone(),
        kind: device.kind.clone(),
        os: device.os.clone(),
        state: device.state.into(),
        reason: device.reason.clone(),
        state_since: (device.since_ms > 0).then_some(Timestamp(device.since_ms)),
        created_at: Timestamp(record.created_ms),
        last_used_at: device.last_used_ms.map(Timestamp),
        aaguid: hex::encode(record.aaguid),
        attestation_format: record.attestation_format.name().to_owned(),
        attestation_trusted: record.attestation_trusted,
        backup_eligible: record.backup_eligible,
        backup_state: record.backup_state,
        transports: record.transports.clone(),
        sessions: state.sessions.open_on(handle, device_id, now_ms),
        trust: DeviceTrust {
            score: trusted.score,
            reasons: reasons
                .map(|(reason, weight)| TrustReason { reason, weight })
                .collect(),
        },
    }
}

impl From<DeviceState> for api::DeviceState {
    fn from(state: DeviceState) -> Self {
        match state {
            DeviceState::Active => Self::Active,
            DeviceState::Suspended => Self::Suspended,
            DeviceState::Revoked => Self::Revoked,
            DeviceState::Compromised => Self::Compromised,
        }
    }
}

impl From<api::DeviceState> for DeviceState {
    fn from(state: api::DeviceState) -> Self {
        match state {
            api::DeviceState::Active => Self::Active,
            api::DeviceState::Suspended => Self::Suspended,
            api::DeviceState::Revoked => Self::Revoked,
            api::DeviceState::Compromised => Self::Compromised,
        }
    }
}
