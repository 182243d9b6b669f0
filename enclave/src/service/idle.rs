//! When sessions were last asked about: in memory, so that asking writes nothing.
//!
//! Protects against a session that a restart lengthens: who starts without this
//! memory takes the login for the last question.

use std::collections::HashMap;
use std::sync::Mutex;

use redoubt_attestation::genesis::SESSION_IDLE_SECONDS;

/// The greatest idle limit there is.
const IDLE_MOST_MS: u64 = SESSION_IDLE_SECONDS as u64 * 1000;

/// When sessions were last asked about.
#[derive(Default)]
pub(super) struct Idle(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    last_ms: HashMap<[u8; 32], u64>,
    prune_at_ms: u64,
}

impl Idle {
    /// Whether the session was asked about, or opened, less than `limit_ms` ago (at
    /// most what policy may allow); if so, it is now.
    pub(super) fn touch(&self, hash: [u8; 32], opened_ms: u64, limit_ms: u64, now_ms: u64) -> bool {
        let mut seen = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let last_ms = seen.last_ms.get(&hash).copied().unwrap_or(opened_ms);
        if now_ms >= last_ms.saturating_add(limit_ms) {
            return false;
        }
        seen.last_ms.insert(hash, last_ms.max(now_ms));
        if now_ms >= seen.prune_at_ms {
            // What is idle for the limit is over without its entry too: the login was earlier.
            seen.last_ms
                .retain(|_, last_ms| now_ms < last_ms.saturating_add(IDLE_MOST_MS));
            seen.prune_at_ms = now_ms.saturating_add(IDLE_MOST_MS);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use redoubt_attestation::encode::sha256;

    use super::*;

    const LIMIT: u64 = IDLE_MOST_MS;

    #[test]
    fn a_session_idles_from_its_login_and_from_every_question() {
        let idle = Idle::default();
        let asked = |now_ms| idle.touch([1; 32], 1_000, LIMIT, now_ms);
        assert!(asked(1_000 + LIMIT - 1));
        assert!(asked(2 * LIMIT));
        assert!(!asked(3 * LIMIT), "the limit itself is too late");
        assert!(
            !asked(3 * LIMIT + 1),
            "and a refused question does not count"
        );
        assert!(
            !idle.touch([2; 32], 1_000, LIMIT, 1_000 + LIMIT),
            "never asked about"
        );
    }

    #[test]
    fn a_restart_never_lengthens_a_session() {
        let before = Idle::default();
        assert!(before.touch([1; 32], 0, LIMIT, LIMIT - 1));
        let after = Idle::default();
        assert!(
            !after.touch([1; 32], 0, LIMIT, LIMIT),
            "only the login is known"
        );
        assert!(before.touch([1; 32], 0, LIMIT, LIMIT));
    }

    #[test]
    fn what_idles_takes_no_memory_and_does_not_come_back() {
        let idle = Idle::default();
        let hash = |n: u64| sha256(&[&n.to_be_bytes()]).0;
        for n in 0..100_000u64 {
            assert!(idle.touch(hash(n), n, LIMIT, n));
        }
        let later = 100_000 + LIMIT;
        assert!(idle.touch([1; 32], later, LIMIT, later));
        assert_eq!(idle.0.lock().unwrap().last_ms.len(), 1);
        assert!((0..100_000).all(|n| !idle.touch(hash(n), n, LIMIT, later)));
    }

    #[test]
    fn an_older_question_does_not_shorten_a_session() {
        let idle = Idle::default();
        assert!(idle.touch([1; 32], 0, LIMIT, 200));
        assert!(
            idle.touch([1; 32], 0, LIMIT, 100),
            "it overtook another one"
        );
        assert!(idle.touch([1; 32], 0, LIMIT, 199 + LIMIT));
    }
}
