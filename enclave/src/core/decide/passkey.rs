//! Passkeys: the ceremonies themselves are verified before they get here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redoubt_shared::UserId;
use serde_json::json;

use super::policy::{self, Ruled};
use super::risk::Noted;
use super::{Cx, Decision, device, owned, session};
use crate::core::{
    Act, AlertKind, Effect, Ending, Event, Input, OpenSession, PolicyPlace, Recorded, Refusal,
    Reply, Subject, SubjectHandle, SubjectKey, Whereabouts,
};
use crate::passkeys::{CredentialRecord, SIGN_COUNT_NOT_INCREASED};

const KIND: &str = "passkey_authentication";
/// Reason of an answer that names no passkey of whom it was asked of.
pub const CREDENTIAL_UNKNOWN: &str = "credential_unknown";
/// Passkeys one customer may have that are not out of use for good.
const PASSKEYS_MAX: usize = 32;
/// And with those that are.
const PASSKEYS_EVER: usize = 128;

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
    let known = cx.state.subject(&user).map(|(_, known)| known);
    if known.is_some_and(|known| known.user_handle != user_handle) {
        return Err(Refusal::StaleOptions);
    }
    if known.is_some_and(|known| is_full(cx, known)) {
        return Err(Refusal::TooManyDevices);
    }
    let (handle, mut events) = cx.open_subject(&user, user_handle);
    let key = known.map_or_else(
        || SubjectKey::new(cx.facts.subject_key),
        |known| known.key.clone(),
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
    if let Some(reason) = used.why_not(cx, subject)? {
        let own =
            json!({ "verdict": "refused", "device_id": device.to_string(), "reason": reason });
        let events = refused(cx, handle, &user, &used.credential_id, reason, own);
        return Ok(Decision {
            events,
            reply: Reply::Refused,
        });
    }
    let risk = cx.assess(Act::Login, handle, Whereabouts::default());
    let ruled = cx.ruled(
        handle,
        Input {
            place: PolicyPlace::Login,
            risk: risk.clone(),
            device: cx.device_seen(subject, &used.credential_id, Some(user_verified)),
            sample: None,
            payment: None,
            asked: None,
        },
    )?;
    if ruled.denies() {
        let noted = Noted::login(Ending::Failed, risk);
        return Ok(denied(cx, (handle, subject), &user, &used, noted, ruled));
    }
    // A step-up leaves the session at the lowest level: what needs more asks for more.
    let level = user_verified && ruled.effect() == Effect::Allow;
    let opened = session::opened(cx, handle, device, record, level, asked);
    let gives_way = session::gives_way(cx, handle);
    let mut noted = Noted::login(Ending::Accepted, risk.clone());
    let mut own = json!({
        "verdict": "accepted",
        "credential_id": URL_SAFE_NO_PAD.encode(&used.credential_id),
        "user_verified": user_verified,
        "device_id": device.to_string(),
        "session_id": opened.id.to_string(),
        "acr": opened.assurance().acr,
        "expires_ms": opened.expires_ms,
        "client": URL_SAFE_NO_PAD.encode(opened.client),
        "sessions_ended": session::names(&gives_way),
    });
    if let Some(kind) = used.copied(subject) {
        own["sign_count_grew"] = false.into();
        noted.alert = Some(kind);
    }
    noted.tell(&mut own);
    ruled.tell(&mut own);
    let claim = cx.claim(handle, KIND, &user, None, own);
    let session = Event::SessionOpened {
        hash: asked.hash,
        session: Box::new(opened.clone()),
    };
    let mut events = used.events(cx, handle, subject);
    events.push(owned(handle, session));
    events.extend(cx.noted(handle, noted));
    events.push(ruled.event());
    events.push(claim);
    Ok(Decision {
        events,
        reply: Reply::Session {
            session: Box::new(opened),
            risk,
        },
    })
}

/// The tenant's policy said no: recorded. Nothing counts against the device but a
/// counter that did not move on; nor is the passkey used, for that would raise its trust.
fn denied(
    cx: &Cx<'_>,
    (handle, subject): (SubjectHandle, &Subject),
    user: &UserId,
    used: &Used,
    mut noted: Noted,
    ruled: Ruled,
) -> Decision {
    let device = subject.device_id(&used.credential_id);
    let mut own = json!({
        "verdict": "refused", "device_id": device.to_string(), "reason": policy::DENIED,
    });
    noted.alert = used.copied(subject);
    if noted.alert.is_some() {
        own["sign_count_grew"] = false.into();
    }
    noted.tell(&mut own);
    ruled.tell(&mut own);
    let claim = cx.claim(handle, KIND, user, None, own);
    let mut events = vec![ruled.event()];
    events.extend(used.anomaly(handle, subject));
    events.extend(cx.noted(handle, noted));
    events.push(claim);
    Decision {
        events,
        reply: Reply::Refused,
    }
}

pub(super) fn refuse_login(
    cx: &Cx<'_>,
    user: UserId,
    credential_id: &[u8],
    reason: &str,
) -> Decision {
    let own = json!({ "verdict": "refused", "reason": reason });
    cx.done(match cx.subject(&user) {
        Ok((handle, _)) => refused(cx, handle, &user, credential_id, reason, own),
        Err(_) => refused_to_nobody(cx, reason, own),
    })
}

/// A name that is no customer's is recorded too, without the name: whoever was
/// erased stays so. All such names together are remembered as one customer is, in as
/// many events as one's, so that the reply takes as long and the state stays bounded.
fn refused_to_nobody(cx: &Cx<'_>, reason: &str, mut own: serde_json::Value) -> Vec<Recorded> {
    let handle = SubjectHandle::NOBODY;
    let Some(nobody) = cx.state.subjects.get(&handle) else {
        return vec![cx.claim_about_nobody(KIND, own)];
    };
    let risk = cx.assess(Act::Login, handle, Whereabouts::default());
    let noted = Noted::login(Ending::Failed, risk);
    noted.tell(&mut own);
    // The passkey that options made up counts as one device, whatever its id was.
    let counted = (reason != CREDENTIAL_UNKNOWN).then(|| Event::DeviceRefused {
        handle,
        device: nobody.device_id(&[]),
        counter: false,
    });
    let counted = counted.map(|event| owned(handle, event));
    let claim = cx.claim_of_nobody(KIND, own);
    let noted = cx.noted(handle, noted);
    counted.into_iter().chain(noted).chain([claim]).collect()
}

/// A customer's login that was refused: counted against its device, remembered.
fn refused(
    cx: &Cx<'_>,
    handle: SubjectHandle,
    user: &UserId,
    credential_id: &[u8],
    reason: &str,
    mut own: serde_json::Value,
) -> Vec<Recorded> {
    let risk = cx.assess(Act::Login, handle, Whereabouts::default());
    let mut noted = Noted::login(Ending::Failed, risk);
    noted.alert = device::copied(reason);
    noted.tell(&mut own);
    let counted = device::count_refusal(cx, user, credential_id, reason);
    let claim = cx.claim(handle, KIND, user, None, own);
    let noted = cx.noted(handle, noted);
    counted.into_iter().chain(noted).chain([claim]).collect()
}

/// A login by a user handle alone is nobody's until it is verified.
pub(super) fn refuse_unnamed(cx: &Cx<'_>, reason: &str) -> Decision {
    let own = json!({ "verdict": "refused", "reason": reason });
    cx.done(vec![cx.claim_about_nobody(KIND, own)])
}

impl Used {
    /// Why the passkey's answer does not count, as the tenant's audit names it: it may
    /// not be used, or its counter did not move on and policy minds. Checked here once more: two
    /// assertions verified against one state may be decided one after the other
    /// (WebAuthn Level 3 section 7.2 step 22).
    pub(super) fn why_not(
        &self,
        cx: &Cx<'_>,
        subject: &Subject,
    ) -> Result<Option<&'static str>, Refusal> {
        let record = self.record(subject)?;
        let device = subject.device_id(&self.credential_id);
        let stays = !self.moves_on(record) && !cx.context.counters_are_reported;
        let stays = stays.then_some(SIGN_COUNT_NOT_INCREASED);
        Ok(cx.unusable(subject, device).or(stays))
    }

    fn record<'a>(&self, subject: &'a Subject) -> Result<&'a CredentialRecord, Refusal> {
        let record = subject.passkeys.get(&self.credential_id);
        record.ok_or(Refusal::UnknownCredential)
    }

    fn moves_on(&self, record: &CredentialRecord) -> bool {
        let unused = self.sign_count == 0 && record.sign_count == 0;
        unused || self.sign_count > record.sign_count
    }

    /// What the security team is told of an answer that counts, its counter being
    /// only reported.
    pub(super) fn copied(&self, subject: &Subject) -> Option<AlertKind> {
        let record = subject.passkeys.get(&self.credential_id)?;
        (!self.moves_on(record)).then_some(AlertKind::SignCountNotIncreased)
    }

    /// A counter that did not move on and is only reported is remembered of the device.
    pub(super) fn anomaly(&self, handle: SubjectHandle, subject: &Subject) -> Option<Recorded> {
        let refused = self.copied(subject).map(|_| Event::DeviceRefused {
            handle,
            device: subject.device_id(&self.credential_id),
            counter: true,
        });
        refused.map(|event| owned(handle, event))
    }

    /// The counters' move, as events, and that one did not.
    pub(super) fn events(
        self,
        cx: &Cx<'_>,
        handle: SubjectHandle,
        subject: &Subject,
    ) -> Vec<Recorded> {
        let anomaly = self.anomaly(handle, subject);
        let used = Event::DeviceUsed {
            handle,
            credential_id: self.credential_id,
            sign_count: self.sign_count,
            backup_state: self.backup_state,
            at_ms: cx.facts.now_ms,
        };
        let used = owned(handle, used);
        anomaly.into_iter().chain([used]).collect()
    }
}
