//! Passkeys: the ceremonies themselves are verified before they get here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redoubt_shared::UserId;
use serde_json::json;

use super::{Cx, Decision, owned};
use crate::core::{Event, Refusal, Subject};
use crate::passkeys::CredentialRecord;

/// Passkeys one customer may have.
const PASSKEYS_MAX: usize = 32;

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
    if cx.state.is_compromised(&record.aaguid, cx.facts.now_ms) {
        return Err(Refusal::ModelCompromised);
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
        .is_some_and(|(_, known)| known.passkeys.len() >= PASSKEYS_MAX)
    {
        return Err(Refusal::TooMany);
    }
    let (handle, mut events) = cx.open_subject(&user, user_handle);
    let own = json!({
        "credential_id": URL_SAFE_NO_PAD.encode(&record.id),
        "public_key_cose": URL_SAFE_NO_PAD.encode(&record.public_key),
        "attestation_format": record.attestation_format.name(),
        "aaguid": hex::encode(record.aaguid),
    });
    events.push(owned(handle, Event::PasskeyRegistered { handle, record }));
    events.push(cx.claim(handle, "passkey_registration", &user, None, own));
    Ok(cx.done(events))
}

pub(super) fn conclude_login(
    cx: &Cx<'_>,
    user: UserId,
    used: Used,
    user_verified: bool,
) -> Result<Decision, Refusal> {
    let (handle, subject) = cx.subject(&user)?;
    let counted = used.check(cx, subject)?;
    let mut own = json!({
        "verdict": "accepted",
        "credential_id": URL_SAFE_NO_PAD.encode(&used.credential_id),
        "user_verified": user_verified,
    });
    if !counted {
        own["sign_count_grew"] = false.into();
    }
    let claim = cx.claim(handle, "passkey_authentication", &user, None, own);
    Ok(cx.done(vec![owned(handle, used.event(handle)), claim]))
}

/// A name that is no customer's is recorded too, without the name: whoever was
/// erased stays so, and the reply takes as long.
pub(super) fn refuse_login(cx: &Cx<'_>, user: UserId, reason: &str) -> Decision {
    let own = json!({ "verdict": "refused", "reason": reason });
    let kind = "passkey_authentication";
    let claim = match cx.subject(&user) {
        Ok((handle, _)) => cx.claim(handle, kind, &user, None, own),
        Err(_) => cx.claim_about_nobody(kind, own),
    };
    cx.done(vec![claim])
}

/// A login by a user handle alone is nobody's until it is verified.
pub(super) fn refuse_unnamed(cx: &Cx<'_>, reason: &str) -> Decision {
    let own = json!({ "verdict": "refused", "reason": reason });
    cx.done(vec![cx.claim_about_nobody("passkey_authentication", own)])
}

impl Used {
    /// The passkey is still this customer's, and its counter moves on. Checked
    /// here once more: two assertions verified against one state may be decided
    /// one after the other (WebAuthn Level 3 section 7.2 step 22). Answers whether
    /// the counter grew, or is not in use.
    pub(super) fn check(&self, cx: &Cx<'_>, subject: &Subject) -> Result<bool, Refusal> {
        let record = subject
            .passkeys
            .get(&self.credential_id)
            .ok_or(Refusal::UnknownCredential)?;
        if cx.state.barred(record).is_some() {
            return Err(Refusal::CredentialSuspended);
        }
        let unused = self.sign_count == 0 && record.sign_count == 0;
        let counted = unused || self.sign_count > record.sign_count;
        if counted || cx.context.counters_are_reported {
            return Ok(counted);
        }
        Err(Refusal::SignCount)
    }

    /// The counters' move, as an event.
    pub(super) fn event(self, handle: crate::core::SubjectHandle) -> Event {
        Event::PasskeyUsed {
            handle,
            credential_id: self.credential_id,
            sign_count: self.sign_count,
            backup_state: self.backup_state,
        }
    }
}
