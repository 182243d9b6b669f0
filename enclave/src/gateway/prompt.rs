//! A future that wakes itself is polled again at once.
//!
//! Spares a turn through the scheduler, and the other threads it wakes: reading what has
//! come of a request's body tells its connection that there is room, and the connection
//! is who reads. At most [`TURNS`] in a row, so that others get theirs.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// Polls in a row: one that reads a request, one that reads what came of its body, and one
/// that finds nothing. The connection's own protocol may take several requests in each.
const TURNS: usize = 3;

/// Nobody polls: who wakes, wakes the task.
const WAITING: u8 = 0;
/// It is being polled and was not woken meanwhile.
const POLLED: u8 = 1;
/// It was woken: while it is polled, to be polled again.
const WOKEN: u8 = 2;

/// Polls one future, and is what wakes it.
#[derive(Default)]
pub(super) struct Prompt {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Prompt {
    /// Polls, and again while it woke itself; always with the same future.
    pub(super) fn poll<F: Future>(
        self: &Arc<Self>,
        mut future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        self.task.register(cx.waker());
        let waker = Waker::from(Arc::clone(self));
        for _ in 0..TURNS {
            // Each of these also reads, so that what was done before a wake is seen.
            self.state.swap(POLLED, Ordering::SeqCst);
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() || self.rests() {
                return polled;
            }
        }
        self.state.swap(WAITING, Ordering::SeqCst);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether nothing woke it while it was polled. From then on wakes are the task's.
    fn rests(&self) -> bool {
        let order = Ordering::SeqCst;
        let rests = self.state.compare_exchange(POLLED, WAITING, order, order);
        rests.is_ok()
    }
}

impl Wake for Prompt {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let before = self.state.fetch_or(WOKEN, Ordering::SeqCst);
        if before & POLLED == 0 {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// How often the task itself was woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Count {
        fn seen(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn what_wakes_itself_is_polled_again_without_its_task() {
        let (prompt, count) = (Arc::<Prompt>::default(), Arc::<Count>::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut polls = 0;
        let mut once = pin!(poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        let cx = &mut Context::from_waker(&waker);
        assert!(prompt.poll(once.as_mut(), cx).is_ready());
        assert_eq!(count.seen(), 0);
    }

    #[test]
    fn what_never_rests_gives_way_and_is_woken() {
        let (prompt, count) = (Arc::<Prompt>::default(), Arc::<Count>::default());
        let waker = Waker::from(Arc::clone(&count));
        let polls = AtomicUsize::new(0);
        let mut never = pin!(poll_fn(|cx| {
            polls.fetch_add(1, Ordering::SeqCst);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        let cx = &mut Context::from_waker(&waker);
        assert!(prompt.poll(never.as_mut(), cx).is_pending());
        assert_eq!((polls.load(Ordering::SeqCst), count.seen()), (TURNS, 1));
    }

    #[test]
    fn whoever_wakes_it_later_wakes_the_task_of_its_last_poll() {
        let (prompt, count) = (Arc::<Prompt>::default(), Arc::<Count>::default());
        let mut kept = None;
        let mut waits = pin!(poll_fn(|cx| {
            kept = Some(cx.waker().clone());
            Poll::<()>::Pending
        }));
        for _ in 0..2 {
            let first = Waker::from(Arc::<Count>::default());
            let cx = &mut Context::from_waker(&first);
            assert!(prompt.poll(waits.as_mut(), cx).is_pending());
        }
        let waker = Waker::from(Arc::clone(&count));
        let cx = &mut Context::from_waker(&waker);
        assert!(prompt.poll(waits.as_mut(), cx).is_pending());
        assert_eq!(count.seen(), 0);
        kept.unwrap().wake();
        assert_eq!(count.seen(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_of_another_thread_is_lost() {
        for _ in 0..200 {
            let (sender, mut receiver) = tokio::sync::mpsc::channel::<u32>(1);
            let sent = std::thread::spawn(move || {
                for number in 0..50 {
                    sender.blocking_send(number).unwrap();
                }
            });
            let prompt = Arc::<Prompt>::default();
            let mut all = pin!(async {
                let mut sum = 0;
                while let Some(number) = receiver.recv().await {
                    sum += number;
                }
                sum
            });
            let sum = poll_fn(|cx| prompt.poll(all.as_mut(), cx));
            let waited = tokio::time::timeout(std::time::Duration::from_secs(20), sum);
            assert_eq!(waited.await, Ok(1225));
            sent.join().unwrap();
        }
    }
}
