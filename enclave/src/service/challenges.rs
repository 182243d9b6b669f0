//! Login and registration challenges: drawn here, single-use, short-lived.
//!
//! Protects against replay: a challenge is removed before the answer to it is
//! looked at. They live in memory only, so a crash leaves every one of them
//! unknown, which is as good as spent.

use std::collections::HashMap;
use std::sync::Mutex;

use redoubt_shared::{TenantId, UserId};

/// Challenges one tenant may have open.
const OPEN_PER_TENANT: usize = 100_000;

/// What a challenge was drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ceremony {
    /// Creating a passkey; the options named this user handle.
    Registration {
        /// WebAuthn user handle.
        user_handle: [u8; 16],
    },
    /// Using one.
    Login,
}

#[derive(Debug, Clone)]
struct Open {
    user: Option<UserId>,
    ceremony: Ceremony,
    expires_ms: u64,
}

/// Every challenge that may still be answered.
#[derive(Default)]
pub(super) struct Challenges {
    open: Mutex<HashMap<TenantId, HashMap<[u8; 32], Open>>>,
}

impl Challenges {
    /// Opens a challenge, for one user or for whoever answers. `false`: this tenant has too many open.
    pub(super) fn open(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
        ceremony: Ceremony,
        challenge: [u8; 32],
        now_ms: u64,
        expires_ms: u64,
    ) -> bool {
        let mut all = self
            .open
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let of_tenant = all.entry(tenant.clone()).or_default();
        if of_tenant.len() >= OPEN_PER_TENANT {
            of_tenant.retain(|_, open| open.expires_ms > now_ms);
        }
        if of_tenant.len() >= OPEN_PER_TENANT {
            return false;
        }
        of_tenant.insert(
            challenge,
            Open {
                user: user.cloned(),
                ceremony,
                expires_ms,
            },
        );
        true
    }

    /// Spends a challenge: whatever comes of the answer, it is gone. `None` if it
    /// was not open for exactly this tenant and user (or for no named one), or its time is over.
    pub(super) fn spend(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
        challenge: &[u8],
        now_ms: u64,
    ) -> Option<Ceremony> {
        let challenge: [u8; 32] = challenge.try_into().ok()?;
        let mut all = self
            .open
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let open = all.get_mut(tenant)?.remove(&challenge)?;
        (open.user.as_ref() == user && open.expires_ms > now_ms).then_some(open.ceremony)
    }
}

impl Challenges {
    /// Forgets every challenge of one user.
    pub(super) fn forget(&self, tenant: &TenantId, user: &UserId) {
        let mut all = self
            .open
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(of_tenant) = all.get_mut(tenant) {
            of_tenant.retain(|_, open| open.user.as_ref() != Some(user));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_good_once_for_its_own_tenant_and_user_and_time() {
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (x, y): (UserId, UserId) = ("x".parse().unwrap(), "y".parse().unwrap());
        let challenges = Challenges::default();
        let open = |c| assert!(challenges.open(&a, Some(&x), Ceremony::Login, [c; 32], 0, 100));
        open(1);
        assert_eq!(challenges.spend(&b, Some(&x), &[1; 32], 50), None);
        assert_eq!(
            challenges.spend(&a, Some(&x), &[1; 32], 50),
            Some(Ceremony::Login)
        );
        assert_eq!(challenges.spend(&a, Some(&x), &[1; 32], 50), None, "spent");
        open(2);
        assert_eq!(challenges.spend(&a, Some(&y), &[2; 32], 50), None);
        assert_eq!(
            challenges.spend(&a, Some(&x), &[2; 32], 50),
            None,
            "a wrong user spends it too"
        );
        open(3);
        assert_eq!(
            challenges.spend(&a, Some(&x), &[3; 32], 100),
            None,
            "expired"
        );
        assert_eq!(challenges.spend(&a, Some(&x), b"short", 50), None);
    }

    #[test]
    fn a_challenge_for_nobody_in_particular_is_spent_without_a_name_only() {
        let a: TenantId = "a".parse().unwrap();
        let x: UserId = "x".parse().unwrap();
        let challenges = Challenges::default();
        assert!(challenges.open(&a, None, Ceremony::Login, [1; 32], 0, 100));
        assert_eq!(challenges.spend(&a, Some(&x), &[1; 32], 50), None);
        assert_eq!(challenges.spend(&a, None, &[1; 32], 50), None, "spent");
        assert!(challenges.open(&a, Some(&x), Ceremony::Login, [2; 32], 0, 100));
        assert_eq!(challenges.spend(&a, None, &[2; 32], 50), None);
        assert!(challenges.open(&a, None, Ceremony::Login, [3; 32], 0, 100));
        let spent = challenges.spend(&a, None, &[3; 32], 50);
        assert_eq!(spent, Some(Ceremony::Login));
    }

    #[test]
    fn an_erased_user_has_no_challenge_left_and_others_keep_theirs() {
        let a: TenantId = "a".parse().unwrap();
        let (x, y): (UserId, UserId) = ("x".parse().unwrap(), "y".parse().unwrap());
        let challenges = Challenges::default();
        let user_handle = [7; 16];
        let ceremony = Ceremony::Registration { user_handle };
        assert!(challenges.open(&a, Some(&x), ceremony, [1; 32], 0, 100));
        assert!(challenges.open(&a, Some(&y), ceremony, [2; 32], 0, 100));
        challenges.forget(&a, &x);
        assert_eq!(challenges.spend(&a, Some(&x), &[1; 32], 50), None);
        assert_eq!(challenges.spend(&a, Some(&y), &[2; 32], 50), Some(ceremony));
    }
}
