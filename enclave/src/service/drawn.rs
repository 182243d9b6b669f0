//! Challenges that are drawn here and answered in person: good once, for a minute, for
//! one customer.
//!
//! Protects against replay, and against asking until a challenge comes that a recording
//! fits: while one is open, whoever asks again is given the same. They live in memory
//! only, so a crash leaves every one of them unknown, which is as good as spent. Nothing
//! here looks for the customer, so that nothing tells who is one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redoubt_shared::{ChallengeId, TenantId, UserId};

/// Challenges of one kind that one tenant may have open.
const OPEN_PER_TENANT: usize = 100_000;
/// How long one is open, in milliseconds.
const OPEN_MS: u64 = 60_000;
/// For how long a name is asked for the same until an answer was judged.
const SAME_MS: u64 = 15 * 60_000;

/// A challenge that asks for `A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn<A> {
    pub(super) id: ChallengeId,
    pub(super) asked: A,
    pub(super) expires_ms: u64,
    /// Whether somebody answered it; what came of that is not known.
    spent: bool,
    same_until_ms: u64,
}

impl<A> Drawn<A> {
    pub(super) fn new(id: ChallengeId, asked: A, now_ms: u64) -> Self {
        Self {
            id,
            asked,
            expires_ms: now_ms.saturating_add(OPEN_MS),
            spent: false,
            same_until_ms: now_ms.saturating_add(SAME_MS),
        }
    }

    fn is_open(&self, now_ms: u64) -> bool {
        !self.spent && self.expires_ms > now_ms
    }
}

/// Every challenge of one kind that may still be answered, one for each name.
pub(super) struct DrawnChallenges<A>(Mutex<OfTenants<A>>);

type OfTenants<A> = HashMap<TenantId, HashMap<UserId, Drawn<A>>>;

impl<A> Default for DrawnChallenges<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<A: Copy> DrawnChallenges<A> {
    /// The open challenge of this name, or `fresh`, asking for what the last one did if no
    /// answer to that was judged. `None`: this tenant has too many open.
    pub(super) fn open(
        &self,
        tenant: &TenantId,
        user: &UserId,
        fresh: Drawn<A>,
        now_ms: u64,
    ) -> Option<Drawn<A>> {
        let mut all = self.lock();
        let open = all.entry(tenant.clone()).or_default();
        if let Some(known) = open.get_mut(user).filter(|one| one.same_until_ms > now_ms) {
            if !known.is_open(now_ms) {
                let (asked, same_until_ms) = (known.asked, known.same_until_ms);
                *known = Drawn {
                    asked,
                    same_until_ms,
                    ..fresh
                };
            }
            return Some(*known);
        }
        if open.len() >= OPEN_PER_TENANT {
            open.retain(|_, known| known.same_until_ms > now_ms);
        }
        if open.len() >= OPEN_PER_TENANT {
            open.retain(|_, known| known.is_open(now_ms));
        }
        if open.len() >= OPEN_PER_TENANT {
            return None;
        }
        open.insert(user.clone(), fresh);
        Some(fresh)
    }

    /// Spends a challenge: whatever comes of the answer, it is gone. `None` if it is not
    /// open for exactly this tenant and user.
    pub(super) fn spend(
        &self,
        tenant: &TenantId,
        user: &UserId,
        id: ChallengeId,
        now_ms: u64,
    ) -> Option<A> {
        let mut all = self.lock();
        let open = all.get_mut(tenant)?;
        let known = open.get_mut(user).filter(|known| known.id == id)?;
        let was_open = known.is_open(now_ms);
        known.spent = true;
        was_open.then_some(known.asked)
    }

    /// Forgets the challenge of one user: an answer was judged, or they are erased.
    pub(super) fn forget(&self, tenant: &TenantId, user: &UserId) {
        if let Some(open) = self.lock().get_mut(tenant) {
            open.remove(user);
        }
    }

    fn lock(&self) -> MutexGuard<'_, OfTenants<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Digits = [u8; 2];

    fn open(id: u8, expires_ms: u64) -> Drawn<Digits> {
        Drawn {
            id: ChallengeId::from_bytes([id; 16]),
            asked: [id; 2],
            expires_ms,
            spent: false,
            same_until_ms: expires_ms + 100,
        }
    }

    #[test]
    fn a_challenge_is_good_once_for_its_own_tenant_and_user_and_time() {
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (x, y): (UserId, UserId) = ("x".parse().unwrap(), "y".parse().unwrap());
        let challenges = DrawnChallenges::default();
        let one = open(1, 100);
        assert_eq!(challenges.open(&a, &x, one, 0), Some(one));
        assert_eq!(challenges.spend(&b, &x, one.id, 50), None);
        assert_eq!(challenges.spend(&a, &y, one.id, 50), None);
        assert_eq!(challenges.spend(&a, &x, open(2, 0).id, 50), None);
        assert_eq!(challenges.spend(&a, &x, one.id, 50), Some(one.asked));
        assert_eq!(challenges.spend(&a, &x, one.id, 50), None, "spent");
        challenges.forget(&a, &x);
        challenges.open(&a, &x, one, 0);
        assert_eq!(challenges.spend(&a, &x, one.id, 100), None, "expired");
        challenges.forget(&a, &x);
        challenges.open(&a, &x, one, 0);
        challenges.forget(&a, &x);
        assert_eq!(challenges.spend(&a, &x, one.id, 50), None, "forgotten");
    }

    /// Nobody asks until something comes that a recording fits: neither by waiting nor by
    /// answers that nobody can judge.
    #[test]
    fn who_asks_again_is_asked_for_the_same_until_an_answer_was_judged() {
        let (a, x): (TenantId, UserId) = ("a".parse().unwrap(), "x".parse().unwrap());
        let challenges = DrawnChallenges::default();
        let (one, two, three) = (open(1, 100), open(2, 150), open(3, 400));
        assert_ne!(one.asked, two.asked);
        assert_eq!(challenges.open(&a, &x, one, 0), Some(one));
        assert_eq!(challenges.open(&a, &x, two, 99), Some(one));
        let again = challenges.open(&a, &x, two, 100).unwrap();
        assert_eq!((again.id, again.asked), (two.id, one.asked), "it ran out");
        assert_eq!(again.same_until_ms, one.same_until_ms, "not for ever");
        assert_eq!(challenges.spend(&a, &x, two.id, 120), Some(one.asked));
        let again = challenges.open(&a, &x, three, 130).unwrap();
        assert_eq!((again.id, again.asked), (three.id, one.asked), "not judged");
        challenges.forget(&a, &x);
        assert_eq!(challenges.open(&a, &x, two, 130), Some(two), "judged");
        assert_eq!(challenges.open(&a, &x, three, 250), Some(three), "over");
    }

    #[test]
    fn one_is_open_for_a_minute_and_asks_for_the_same_for_fifteen() {
        let one = Drawn::new(ChallengeId::from_bytes([1; 16]), [1], 5);
        assert_eq!((one.expires_ms, one.same_until_ms), (60_005, 900_005));
        assert!(one.is_open(60_004) && !one.is_open(60_005));
    }

    #[test]
    fn a_tenant_has_a_bounded_number_open_and_what_is_over_makes_room() {
        let a: TenantId = "a".parse().unwrap();
        let challenges = DrawnChallenges::default();
        let user = |number: usize| -> UserId { format!("u{number}").parse().unwrap() };
        let asked = |number, one, now_ms| challenges.open(&a, &user(number), one, now_ms);
        for number in 0..OPEN_PER_TENANT {
            assert!(asked(number, open(1, 100), 0).is_some());
        }
        assert!(asked(OPEN_PER_TENANT, open(1, 100), 0).is_none());
        assert!(asked(0, open(2, 100), 0).is_some(), "its own");
        assert!(asked(OPEN_PER_TENANT, open(1, 300), 100).is_some());
    }
}
