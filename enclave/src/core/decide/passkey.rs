//! Passkeys: the ceremonies themselves are verified before they get here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redoubt_shared::UserId;
use serde_json::json;

use super::{Cx, Decision, device, owned, session};
use crate::core::{Event, OpenSession, Refusal, Reply, Subject, SubjectHandle, SubjectKey};
use crate::passkeys::CredentialRecord;

/// Passkeys one customer may have that are not out of use for good.
const PASSKEYS_MAX: usize = 32;
/// And with those that are.
const PASSKEYS_EVER: usize = 256;

/// A passkey that signed, and where its counters stand now.
pub(super) struct Used {
    pub(super) credential_id: Vec<u8>,
    pub(super) sign_count: u32,
    pub(super) backup_state: bool,
}

pub(super) fn register(
    cx: &Cx<'_>,
    user: UserId,
    user_handle: [u8; 16],
    record: Box<CredentialRecord>,
) -> Result<Decision, Refusal> {
    if cx.state.credentials.contains_key(&*record.id) {
        return Err(Refusal::CredentialTaken);
    }
    if cx
        .state
        .subject(&user)
        .is_some_and(|(_, known)| known.user_handle != user_handle)
    {
        return Err(Refusal::StaleOptions);
    }
    if cx
        .state
        .subject(&user)
        .is_some_and(|(_, known)| is_full(cx, known))
    {
        return Err(Refusal::TooMany);
    }
    let (handle, mut events) = cx.open_subject(&user, user_handle);
    let known = cx.state.subject(&user);
    let key = known.map_or_else(
        || SubjectKey::new(cx.facts.subject_key),
        |(_, known)| known.key.clone(),
    );
    let device = key.device_id(&record.id);
    let own = json!({
        "device_id": device.to_string(),
        "credential_id": URL_SAFE_NO_PAD.encode(&record.id),
        "public_key_cose": URL_SAFE_NO_PAD.encode(&record.public_key),
        "attestation_format": record.attestation_format.name(),
        "aaguid": hex::encode(record.aaguid),
    });
    events.push(owned(handle, Event::PasskeyRegistered { handle, record }));
    events.push(cx.claim(handle, "passkey_registration", &user, None, own));
    Ok(Decision {
        events,
        reply: Reply::Device(device),
    })
}

/// Passkeys out of use for good make room, but are remembered.
fn is_full(cx: &Cx<'_>, subject: &Subject) -> bool {
    let state = |id: &Vec<u8>| cx.state.device(subject.device_id(id)).state;
    let all = subject.passkeys.keys();
    let usable = all.filter(|id| !state(id).is_final()).count();
    usable >= PASSKEYS_MAX || subject.passkeys.len() >= PASSKEYS_EVER
}

/// A device that may not be used is refused here, where its state is certain: the
/// caller learns what anybody learns whose login fails, and the audit learns why.
pub(super) fn conclude_login(
    cx: &Cx<'_>,
    user: UserId,
    used: Used,
    user_verified: bool,
    asked: &OpenSession,
) -> Result<Decision, Refusal> {
    let (handle, subject) = cx.subject(&user)?;
    let record = used.record(subject)?;
    let device = subject.device_id(&used.credential_id);
    if let Some(reason) = cx.unusable(device) {
        let own =
            json!({ "verdict": "refused", "device_id": device.to_string(), "reason": reason });
        let claim = cx.claim(handle, "passkey_authentication", &user, None, own);
        return Ok(Decision {
            events: vec![claim],
            reply: Reply::Refused,
        });
    }
    used.moves_on(record)?;
    let opened = session::opened(cx, handle, device, record, user_verified, asked);
    let own = json!({
        "verdict": "accepted",
        "credential_id": URL_SAFE_NO_PAD.encode(&used.credential_id),
        "user_verified": user_verified,
        "device_id": device.to_string(),
        "session_id": opened.id.to_string(),
        "acr": opened.assurance(None, cx.facts.now_ms).acr,
        "expires_ms": opened.expires_ms,
    });
    let claim = cx.claim(handle, "passkey_authentication", &user, None, own);
    let session = Event::SessionOpened {
        hash: asked.hash,
        session: Box::new(opened.clone()),
    };
    let events = vec![
        owned(handle, used.event(cx, handle)),
        owned(handle, session),
        claim,
    ];
    Ok(Decision {
        events,
        reply: Reply::Session(Box::new(opened)),
    })
}

pub(super) fn refuse_login(
    cx: &Cx<'_>,
    user: UserId,
    credential_id: &[u8],
    reason: &str,
) -> Result<Decision, Refusal> {
    let (handle, _) = cx.subject(&user)?;
    let own = json!({ "verdict": "refused", "reason": reason });
    let mut events: Vec<_> = device::refused(cx, &user, credential_id, reason)
        .into_iter()
        .collect();
    events.push(cx.claim(handle, "passkey_authentication", &user, None, own));
    Ok(cx.done(events))
}

impl Used {
    /// The passkey is still this customer's and may be used, and its counter moves
    /// on. Checked here once more: two assertions verified against one state may be
    /// decided one after the other (WebAuthn Level 3 section 7.2 step 22).
    pub(super) fn check(&self, cx: &Cx<'_>, subject: &Subject) -> Result<(), Refusal> {
        let record = self.record(subject)?;
        let device = subject.device_id(&self.credential_id);
        match cx.unusable(device) {
            Some(_) => Err(Refusal::DeviceNotActive),
            None => self.moves_on(record),
        }
    }

    fn record<'a>(&self, subject: &'a Subject) -> Result<&'a CredentialRecord, Refusal> {
        let record = subject.passkeys.get(&self.credential_id);
        record.ok_or(Refusal::UnknownCredential)
    }

    fn moves_on(&self, record: &CredentialRecord) -> Result<(), Refusal> {
        let unused = self.sign_count == 0 && record.sign_count == 0;
        if unused || self.sign_count > record.sign_count {
            return Ok(());
        }
        Err(Refusal::SignCount)
    }

    /// The counters' move, as an event.
    pub(super) fn event(self, cx: &Cx<'_>, handle: SubjectHandle) -> Event {
        Event::DeviceUsed {
            handle,
            credential_id: self.credential_id,
            sign_count: self.sign_count,
            backup_state: self.backup_state,
            at_ms: cx.facts.now_ms,
        }
    }
}
