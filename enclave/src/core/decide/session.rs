//! Sessions: opened by a login and by nothing else, ended by whoever says so.

use redoubt_shared::{DeviceId, SessionId, UserId};
use serde_json::json;

use super::{Cx, Decision, owned, unowned};
use crate::core::{
    Event, KeyCustody, OpenSession, Recorded, Refusal, Reply, SESSIONS_MAX, Session, SubjectHandle,
};
use crate::passkeys::CredentialRecord;

/// The session that a login opens now.
pub(super) fn opened(
    cx: &Cx<'_>,
    subject: SubjectHandle,
    device: DeviceId,
    record: &CredentialRecord,
    user_verified: bool,
    asked: &OpenSession,
) -> Session {
    let opened_ms = cx.facts.now_ms;
    Session {
        id: asked.id,
        subject,
        device,
        client: asked.client,
        opened_ms,
        idle_ms: asked.idle_ms,
        expires_ms: opened_ms.saturating_add(asked.absolute_ms),
        key: KeyCustody::of(record),
        user_verified,
    }
}

/// The sessions that give way to one that this subject opens now.
pub(super) fn gives_way(cx: &Cx<'_>, subject: SubjectHandle) -> Vec<SessionId> {
    let sessions = &cx.state.sessions;
    let all = sessions.of(subject).filter_map(|hash| sessions.get(&hash));
    let open: Vec<_> = all.filter(|session| cx.is_open(session)).collect();
    let over = (open.len() + 1).saturating_sub(SESSIONS_MAX);
    open.iter().take(over).map(|session| session.id).collect()
}

/// By its token, shown by any client of its bank.
pub(super) fn end_one(cx: &Cx<'_>, hash: [u8; 32]) -> Result<Decision, Refusal> {
    let session = cx.state.sessions.get(&hash);
    let session = session
        .filter(|session| cx.is_open(session))
        .ok_or(Refusal::UnknownSession)?;
    let subject = cx.state.subjects.get(&session.subject);
    let user = subject.ok_or(Refusal::UnknownSession)?.user.clone();
    let hashes = vec![hash];
    let own = json!({
        "scope": "token",
        "device_id": session.device.to_string(),
        "sessions": [session.id.to_string()],
    });
    let handle = session.subject;
    let claim = cx.claim(handle, "session_end", &user, None, own);
    let ended = owned(handle, Event::SessionsEnded { hashes });
    Ok(done(vec![ended, claim], 1))
}

/// All of a customer's, or of one of their devices.
pub(super) fn end_of_subject(
    cx: &Cx<'_>,
    user: UserId,
    device: Option<DeviceId>,
) -> Result<Decision, Refusal> {
    let (handle, subject) = cx.subject(&user).map_err(|_| Refusal::UnknownSubject)?;
    if let Some(device) = device {
        subject
            .credential_of(device)
            .ok_or(Refusal::UnknownDevice)?;
    }
    let (event, ids) = ending(cx, handle, device);
    let own = json!({
        "scope": if device.is_some() { "device" } else { "user" },
        "device_id": device.map(|device| device.to_string()),
        "sessions": names(&ids),
    });
    let mut events: Vec<Recorded> = event.into_iter().collect();
    events.push(cx.claim(handle, "session_end", &user, None, own));
    Ok(done(events, ids.len()))
}

/// All of the tenant's.
pub(super) fn end_all(cx: &Cx<'_>) -> Decision {
    let all = cx.state.sessions.iter();
    let count = all.filter(|(_, session)| cx.is_open(session)).count();
    let own = json!({ "scope": "tenant", "count": count });
    let claim = cx.claim_about_nobody("session_end", own);
    done(vec![unowned(Event::AllSessionsEnded), claim], count)
}

/// The end of a subject's sessions (of one device, if one is named), and their names.
pub(super) fn ending(
    cx: &Cx<'_>,
    handle: SubjectHandle,
    device: Option<DeviceId>,
) -> (Option<Recorded>, Vec<SessionId>) {
    let sessions = &cx.state.sessions;
    let (hashes, ids): (Vec<_>, Vec<_>) = sessions
        .of(handle)
        .filter_map(|hash| Some((hash, sessions.get(&hash)?)))
        .filter(|(_, session)| device.is_none_or(|device| session.device == device))
        .filter(|(_, session)| cx.is_open(session))
        .map(|(hash, session)| (hash, session.id))
        .unzip();
    let some = !hashes.is_empty();
    let event = some.then(|| owned(handle, Event::SessionsEnded { hashes }));
    (event, ids)
}

impl Cx<'_> {
    /// Whether a session's time is not over; it may idle.
    fn is_open(&self, session: &Session) -> bool {
        session.expires_ms > self.facts.now_ms
    }
}

/// Ids as claims show them.
pub(super) fn names(ids: &[SessionId]) -> Vec<String> {
    ids.iter().map(SessionId::to_string).collect()
}

fn done(events: Vec<Recorded>, count: usize) -> Decision {
    let reply = Reply::Ended(count);
    Decision { events, reply }
}
