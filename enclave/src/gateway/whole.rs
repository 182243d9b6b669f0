//! A request's work, done to its end.
//!
//! Protects against half-done work and against a panic that takes a connection along:
//! the work is polled where its connection waits for it, which spares a task and its
//! wake-ups, or in a task of its own; if nobody waits any more, since the client hung up
//! or the time is over, it goes on all the same.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// The work panicked; nothing is known of how far it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panicked;

/// Work that goes on when it is dropped.
pub(super) struct Whole<T: Send + 'static> {
    /// Polled by whoever waits.
    here: Option<BoxFuture<'static, T>>,
    /// Polled by nobody but its own task.
    apart: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Whole<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            here: Some(Box::pin(work)),
            apart: None,
        }
    }

    /// From now on in a task of its own.
    pub(super) fn apart(mut self) -> Self {
        if let Some(work) = self.here.take() {
            self.apart = Some(tokio::spawn(work));
        }
        self
    }
}

impl<T: Send + 'static> Future for Whole<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(task) = &mut self.apart {
            return Pin::new(task).poll(cx).map_err(|_| Panicked);
        }
        let Some(work) = &mut self.here else {
            return Poll::Ready(Err(Panicked));
        };
        // It is never polled again after a panic.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        let polled = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(_) => Err(Panicked),
        };
        self.here = None;
        Poll::Ready(polled)
    }
}

impl<T: Send + 'static> Drop for Whole<T> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.here.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_done_all_the_same() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, heard) = oneshot::channel();
        let work = Whole::new(async move {
            let _ = gone.await;
            let _ = done.send(7);
        });
        let waited = tokio::time::timeout(Duration::from_millis(5), work).await;
        assert!(waited.is_err(), "its time is over");
        go.send(()).unwrap();
        assert_eq!(heard.await, Ok(7));
        // Nor does it need to have begun.
        let (done, heard) = oneshot::channel();
        drop(Whole::new(async move { done.send(8) }));
        assert_eq!(heard.await, Ok(8));
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_alone() {
        let work = Whole::new(async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
        let ended: Result<(), Panicked> = work.await;
        assert_eq!(ended, Err(Panicked));
        assert_eq!(Whole::new(async { 1 }).await, Ok(1));
    }

    #[tokio::test]
    async fn work_apart_is_another_task_s() {
        let here = tokio::task::try_id();
        let task = async { tokio::task::try_id() };
        assert_eq!(Whole::new(task).await, Ok(here));
        let task = async { tokio::task::try_id() };
        let there = Whole::new(task).apart().await.unwrap();
        assert!(there.is_some() && there != here);
        let panics = Whole::new(async { panic!("on purpose") }).apart();
        let ended: Result<(), Panicked> = panics.await;
        assert_eq!(ended, Err(Panicked));
    }
}
