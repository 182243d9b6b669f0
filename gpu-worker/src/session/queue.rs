//! Jobs waiting for a thread, bounded in number and in bytes.
//!
//! Protects against a peer that sends faster than the threads compute: beyond
//! the bounds a job is refused at once, so memory stays flat and the peer can
//! tell its own caller to come back later.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use redoubt_shared::limits::JOBS_IN_FLIGHT;

/// Most bytes of samples waiting.
pub(super) const BYTES_MAX: usize = 64 * 1024 * 1024;

/// A bounded queue between the session and the job threads.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<(usize, T)>,
    bytes: usize,
    open: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::with_capacity(JOBS_IN_FLIGHT),
                bytes: 0,
                open: true,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds one item of `bytes`; hands it back if the queue is full or closed.
    pub fn push(&self, item: T, bytes: usize) -> Result<(), T> {
        let mut state = self.lock();
        let full = state.waiting.len() >= JOBS_IN_FLIGHT || state.bytes + bytes > BYTES_MAX;
        if full || !state.open {
            return Err(item);
        }
        state.bytes += bytes;
        state.waiting.push_back((bytes, item));
        self.changed.notify_one();
        Ok(())
    }

    /// The next item; waits for one. `None` once closed.
    pub fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if !state.open {
                return None;
            }
            if let Some((bytes, item)) = state.waiting.pop_front() {
                state.bytes -= bytes;
                return Some(item);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends every wait and drops what is left.
    pub fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        state.waiting.clear();
        state.bytes = 0;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_hands_the_job_back() {
        let queue = Queue::default();
        for job in 0..JOBS_IN_FLIGHT {
            assert_eq!(queue.push(job, 1), Ok(()));
        }
        assert_eq!(queue.push(99, 1), Err(99));
        assert_eq!(queue.pop(), Some(0));
        assert_eq!(queue.push(99, 1), Ok(()));
    }

    #[test]
    fn large_samples_fill_the_queue_sooner() {
        let queue = Queue::default();
        assert_eq!(queue.push('a', BYTES_MAX - 1), Ok(()));
        assert_eq!(queue.push('b', 2), Err('b'));
        assert_eq!(queue.push('b', 1), Ok(()));
        assert_eq!(queue.pop(), Some('a'));
        assert_eq!(queue.push('c', 2), Ok(()));
    }

    #[test]
    fn closing_ends_every_wait_and_refuses_more() {
        let queue = std::sync::Arc::new(Queue::<u8>::default());
        let waiting = std::sync::Arc::clone(&queue);
        let thread = std::thread::spawn(move || waiting.pop());
        queue.close();
        assert_eq!(thread.join().unwrap(), None);
        assert_eq!(queue.push(1, 1), Err(1));
    }
}
