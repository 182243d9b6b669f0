//! Devices: described, suspended, resumed, revoked, flagged.

use redoubt_shared::{DeviceId, UserId};
use serde_json::json;

use super::{Cx, Decision, owned, session};
use crate::core::{
    AlertKind, DescribeDevice, DeviceState, Event, Refusal, Reply, Risk, SetDeviceState, Subject,
};
use crate::passkeys::SIGN_COUNT_NOT_INCREASED;

pub(super) fn describe(cx: &Cx<'_>, asked: DescribeDevice) -> Result<Decision, Refusal> {
    let (handle, subject) = cx
        .subject(&asked.user)
        .map_err(|_| Refusal::UnknownSubject)?;
    let record = subject.credential_of(asked.device);
    record.ok_or(Refusal::UnknownDevice)?;
    let known = cx.state.device(asked.device);
    let described = Event::DeviceDescribed {
        handle,
        device: asked.device,
        name: asked.name.unwrap_or_else(|| known.name.clone()),
        kind: asked.kind.unwrap_or_else(|| known.kind.clone()),
        os: asked.os.unwrap_or_else(|| known.os.clone()),
    };
    Ok(cx.done(vec![owned(handle, described)]))
}

/// What is not active any more has no session any more, in the same entry.
pub(super) fn set_state(cx: &Cx<'_>, asked: SetDeviceState) -> Result<Decision, Refusal> {
    let SetDeviceState {
        user,
        device,
        next,
        reason,
        source,
    } = asked;
    let (handle, subject) = cx.subject(&user).map_err(|_| Refusal::UnknownSubject)?;
    let record = subject.credential_of(device);
    let record = record.ok_or(Refusal::UnknownDevice)?;
    if !cx.state.device(device).state.may_become(next) {
        return Err(Refusal::DeviceClosed);
    }
    if next == DeviceState::Active && cx.state.is_compromised(&record.aaguid, cx.facts.now_ms) {
        return Err(Refusal::DeviceBarred);
    }
    let mut events = Vec::new();
    let mut ended = Vec::new();
    if next != DeviceState::Active {
        let (event, ids) = session::ending(cx, handle, Some(device));
        events.extend(event);
        ended = ids;
    }
    let compromised = next == DeviceState::Compromised;
    let alert = compromised.then_some(AlertKind::DeviceCompromised);
    let own = json!({
        "alert": alert.map(AlertKind::name),
        "device_id": device.to_string(),
        "state": next.name(),
        "reason": reason,
        "source": source,
        "sessions_ended": session::names(&ended),
    });
    let set = Event::DeviceStateSet {
        handle,
        device,
        next,
        reason,
        at_ms: cx.facts.now_ms,
    };
    events.push(owned(handle, set));
    events.extend(alert.map(|kind| cx.alert(handle, kind, Risk::default())));
    events.push(cx.claim(handle, "device_state", &user, None, own));
    Ok(Decision {
        events,
        reply: Reply::Ended(ended.len()),
    })
}

impl Cx<'_> {
    /// Why this device may not be used now, as the tenant's audit names it.
    pub(super) fn unusable(&self, subject: &Subject, device: DeviceId) -> Option<&'static str> {
        match self.state.standing(subject, device) {
            DeviceState::Active => None,
            DeviceState::Suspended => Some("device_suspended"),
            DeviceState::Revoked => Some("device_revoked"),
            DeviceState::Compromised => Some("device_compromised"),
        }
    }
}

/// What the security team is told of a refusal, if anything.
pub(super) fn copied(reason: &str) -> Option<AlertKind> {
    (reason == SIGN_COUNT_NOT_INCREASED).then_some(AlertKind::SignCountNotIncreased)
}

/// A refused answer that named one of the customer's own devices.
pub(super) fn count_refusal(
    cx: &Cx<'_>,
    user: &UserId,
    credential_id: &[u8],
    reason: &str,
) -> Option<crate::core::Recorded> {
    let (handle, subject) = cx.subject(user).ok()?;
    subject.passkeys.get(credential_id)?;
    let refused = Event::DeviceRefused {
        handle,
        device: subject.device_id(credential_id),
        counter: reason == SIGN_COUNT_NOT_INCREASED,
    };
    Some(owned(handle, refused))
}
