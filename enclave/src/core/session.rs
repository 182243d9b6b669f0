//! Sessions: what a token that a bank holds for its customer stands for.
//!
//! Protects against a stolen token: the state knows its SHA-256 only, and it is
//! good for one client certificate, one device and a bounded time. What is over
//! leaves the state with sessions that open, so many with each, and with every term.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use redoubt_shared::{DeviceId, SessionId};
use serde::{Deserialize, Serialize};

use super::device::KeyCustody;
use super::event::Event;
use super::state::{SubjectHandle, TenantState};

/// Sessions one customer may have; the oldest gives way.
pub const SESSIONS_MAX: usize = 16;
/// Sessions that are over and leave with one that opens: the work of one login is bounded.
const PRUNED_MAX: usize = 64;

/// One session. Its token is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Names it in claims and replies.
    pub id: SessionId,
    /// Whose.
    pub subject: SubjectHandle,
    /// Which device logged in.
    pub device: DeviceId,
    /// SHA-256 of the client certificate it is bound to (RFC 8705 `x5t#S256`).
    pub client: [u8; 32],
    /// Opened at, Unix milliseconds.
    pub opened_ms: u64,
    /// Longest time without a question about it, in milliseconds.
    pub idle_ms: u64,
    /// Over at, whatever happens, Unix milliseconds.
    pub expires_ms: u64,
    /// What is known of where the device keeps its key.
    pub key: KeyCustody,
    /// Whether the authenticator verified the user at the login.
    pub user_verified: bool,
}

/// How much a session is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assurance {
    /// Authentication assurance level in the words of NIST SP 800-63B.
    pub acr: &'static str,
    /// Methods, by the names of RFC 8176.
    pub amr: Vec<&'static str>,
}

impl Session {
    /// The session's level: without user verification AAL1, with it AAL2, and with
    /// it on a key that is proven to stay in hardware AAL3.
    pub fn assurance(&self) -> Assurance {
        let acr = match (self.user_verified, self.key) {
            (false, _) => "urn:redoubt:acr:aal1",
            (true, KeyCustody::Hardware) => "urn:redoubt:acr:aal3",
            (true, _) => "urn:redoubt:acr:aal2",
        };
        let custody = match self.key {
            KeyCustody::Hardware => "hwk",
            KeyCustody::Synced => "swk",
            KeyCustody::Unproven => "pop",
        };
        let mut amr = vec![custody, "user"];
        amr.extend(self.user_verified.then_some("mfa"));
        Assurance { acr, amr }
    }
}

/// A tenant's sessions. A clone shares everything with its original.
#[derive(Clone, Default, PartialEq)]
pub struct Sessions {
    by_hash: OrdMap<[u8; 32], Arc<Session>>,
    of_subject: OrdSet<(SubjectHandle, u64, [u8; 32])>,
    by_expiry: OrdSet<(u64, [u8; 32])>,
}

impl Sessions {
    /// The session of a token with this SHA-256, over or not.
    pub fn get(&self, hash: &[u8; 32]) -> Option<&Arc<Session>> {
        self.by_hash.get(hash)
    }

    /// All, with the hashes of their tokens, in the order of those.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8; 32], &Arc<Session>)> {
        self.by_hash.iter()
    }

    /// How many the state holds, expired ones among them.
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Token hashes of one subject's sessions, oldest first.
    pub(super) fn of(&self, subject: SubjectHandle) -> impl Iterator<Item = [u8; 32]> + '_ {
        let all = (subject, 0, [0; 32])..=(subject, u64::MAX, [0xff; 32]);
        self.of_subject.range(all).map(|(_, _, hash)| *hash)
    }

    /// How many of a subject's sessions are open on one device.
    pub fn open_on(&self, subject: SubjectHandle, device: DeviceId, now_ms: u64) -> usize {
        let all = self.of(subject).filter_map(|hash| self.get(&hash));
        all.filter(|session| session.device == device && session.expires_ms > now_ms)
            .count()
    }

    pub(super) fn keep(&mut self, hash: [u8; 32], session: Session) {
        self.of_subject
            .insert((session.subject, session.opened_ms, hash));
        self.by_expiry.insert((session.expires_ms, hash));
        self.by_hash.insert(hash, Arc::new(session));
    }

    fn open(&mut self, hash: [u8; 32], session: Session) {
        let subject = session.subject;
        let now_ms = session.opened_ms;
        self.prune(now_ms, PRUNED_MAX);
        let own = self
            .of(subject)
            .filter_map(|hash| Some((hash, self.get(&hash)?)));
        let over: Vec<_> = own
            .filter(|(_, own)| own.expires_ms <= now_ms)
            .map(|(hash, _)| hash)
            .collect();
        over.iter().for_each(|hash| self.end(hash));
        self.keep(hash, session);
        let over = self.of(subject).count().saturating_sub(SESSIONS_MAX);
        let oldest: Vec<_> = self.of(subject).take(over).collect();
        oldest.iter().for_each(|hash| self.end(hash));
    }

    fn end(&mut self, hash: &[u8; 32]) {
        if let Some(session) = self.by_hash.remove(hash) {
            self.of_subject
                .remove(&(session.subject, session.opened_ms, *hash));
            self.by_expiry.remove(&(session.expires_ms, *hash));
        }
    }

    pub(super) fn end_all_of(&mut self, subject: SubjectHandle) {
        let all: Vec<_> = self.of(subject).collect();
        all.iter().for_each(|hash| self.end(hash));
    }

    /// Forgets what is over, so many at most.
    pub(super) fn prune(&mut self, now_ms: u64, most: usize) {
        let over = self.by_expiry.iter();
        let over = over.take_while(|(expires_ms, _)| *expires_ms <= now_ms);
        let hashes: Vec<_> = over.take(most).map(|(_, hash)| *hash).collect();
        hashes.iter().for_each(|hash| self.end(hash));
    }
}

/// The events of this room.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::SessionOpened { hash, session } => {
            state.sessions.open(*hash, Session::clone(session));
        }
        Event::SessionsEnded { hashes } => {
            hashes.iter().for_each(|hash| state.sessions.end(hash));
        }
        Event::AllSessionsEnded => state.sessions = Sessions::default(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(key: KeyCustody, user_verified: bool) -> Session {
        Session {
            id: SessionId::from_bytes([1; 16]),
            subject: SubjectHandle([1; 16]),
            device: DeviceId::from_bytes([1; 16]),
            client: [1; 32],
            opened_ms: 0,
            idle_ms: 300_000,
            expires_ms: 1_000_000,
            key,
            user_verified,
        }
    }

    #[test]
    fn the_level_follows_from_user_verification_and_custody() {
        use KeyCustody::*;
        let aal = |n: u8| format!("urn:redoubt:acr:aal{n}");
        for (key, verified, acr, amr) in [
            (Hardware, true, 3, "hwk user mfa"),
            (Hardware, false, 1, "hwk user"),
            (Synced, true, 2, "swk user mfa"),
            (Synced, false, 1, "swk user"),
            (Unproven, true, 2, "pop user mfa"),
            (Unproven, false, 1, "pop user"),
        ] {
            let found = session(key, verified).assurance();
            assert_eq!(found.acr, aal(acr), "{key:?} {verified}");
            assert_eq!(found.amr.join(" "), amr, "{key:?} {verified}");
        }
    }
}
