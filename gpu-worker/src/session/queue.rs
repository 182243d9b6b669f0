//! Jobs waiting for a thread, bounded in number, in bytes and in time.
//!
//! Protects against a peer that sends faster than the threads compute: beyond
//! the bounds a job is refused at once, so memory stays flat, what is accepted is
//! answered in time, and the peer can tell its own caller to come back later.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use redoubt_shared::limits::JOBS_IN_FLIGHT;

use super::wait::{Means, Running, Work, bearable, expected};

/// Most bytes of samples waiting.
pub(super) const BYTES_MAX: usize = 64 * 1024 * 1024;

/// A bounded queue between the session and the job threads.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// Names a job that a thread has.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Waiting<T> {
    bytes: usize,
    work: Work,
    item: T,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<Waiting<T>>,
    bytes: usize,
    open: bool,
    threads: usize,
    running: Vec<Running>,
    means: Means,
    tickets: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::with_capacity(JOBS_IN_FLIGHT),
                bytes: 0,
                open: true,
                threads: 0,
                running: Vec::new(),
                means: Means::default(),
                tickets: 0,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<T> State<T> {
    fn push(&mut self, item: T, (bytes, work): (usize, Work), now: Instant) -> Result<(), T> {
        let full = self.waiting.len() >= JOBS_IN_FLIGHT || self.bytes + bytes > BYTES_MAX;
        let waiting = self.waiting.iter().map(|one| &one.work);
        let wait = expected(self.threads, (&self.running, &self.means), waiting, now);
        if full || !self.open || !bearable(wait, self.means.of(work)) {
            return Err(item);
        }
        self.bytes += bytes;
        self.waiting.push_back(Waiting { bytes, work, item });
        Ok(())
    }

    fn take(&mut self, now: Instant) -> Option<(Ticket, T)> {
        let Waiting { bytes, work, item } = self.waiting.pop_front()?;
        self.bytes -= bytes;
        self.tickets += 1;
        let (ticket, since) = (self.tickets, now);
        self.running.push(Running {
            ticket,
            work,
            since,
        });
        Some((Ticket(ticket), item))
    }

    fn done(&mut self, ticket: &Ticket, measured: bool, now: Instant) {
        let found = self.running.iter().position(|one| one.ticket == ticket.0);
        let Some(at) = found else { return };
        let Running { work, since, .. } = self.running.swap_remove(at);
        if measured {
            let took = now.saturating_duration_since(since);
            self.means.learn(work, took);
        }
    }
}

impl<T> Queue<T> {
    /// One more thread takes jobs from here.
    pub fn join(&self) {
        self.lock().threads += 1;
    }

    /// Adds one item of so many bytes and such work; hands it back if the queue is full
    /// or closed, or the item would wait too long.
    pub fn push(&self, item: T, bytes: usize, work: Work) -> Result<(), T> {
        self.lock().push(item, (bytes, work), Instant::now())?;
        self.changed.notify_one();
        Ok(())
    }

    /// The next item; waits for one. `None` once closed.
    pub fn pop(&self) -> Option<(Ticket, T)> {
        let mut state = self.lock();
        loop {
            if !state.open {
                return None;
            }
            if let Some(taken) = state.take(Instant::now()) {
                return Some(taken);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A thread is done with what it took. `measured`: it did all the work, so that its
    /// time tells what such work takes.
    pub fn done(&self, ticket: &Ticket, measured: bool) {
        self.lock().done(ticket, measured, Instant::now());
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
mod tests;
