//! Keys of the workers that are connected.
//!
//! Protects against a host that connects one worker twice and lets it stand for two:
//! a worker makes its TLS key when it starts, and no two sessions have the same.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// SubjectPublicKeyInfo of a worker, for as long as its session is held.
pub(super) struct Key(Vec<u8>);

/// Those of all workers of one enclave.
#[derive(Default)]
pub(super) struct Keys(Mutex<Vec<Weak<Key>>>);

impl Keys {
    /// Holds a key until what is returned is dropped; nothing where it is held already.
    pub(super) fn take(&self, spki: &[u8]) -> Option<Arc<Key>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|one| one.strong_count() > 0);
        let known = held.iter().filter_map(Weak::upgrade);
        if known.into_iter().any(|key| key.0 == spki) {
            return None;
        }
        let key = Arc::new(Key(spki.to_vec()));
        held.push(Arc::downgrade(&key));
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_once_at_a_time() {
        let keys = Keys::default();
        let one = keys.take(b"one").unwrap();
        assert!(keys.take(b"one").is_none());
        assert!(keys.take(b"two").is_some());
        drop(one);
        assert!(keys.take(b"one").is_some());
    }
}
