//! Second opinions: some samples are measured by another worker as well.
//!
//! Protects against a worker that lies now and then, in a form that nothing else here
//! can tell from the truth. Which of two workers is asked first is drawn anew for each
//! sample, and whether the other one is asked as well only once the first has answered:
//! neither of them, nor the host between, knows beforehand which answer will be looked
//! at. An opinion that does not come is owed by the next sample, and ends the worker
//! whose answer it was to be of. Without a second worker nothing is measured.
//!
//! Not covered: workers that lie alike. At tier `process` root on the host makes both
//! answers. A host that helps a liar sees that another one is asked, and can cut that one
//! off: the lie is not told, at the price of the liar's process.

mod agree;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use redoubt_attestation::entropy::draw;
use redoubt_attestation::genesis::Tier;
use tokio::time::{Instant, timeout_at};

use super::rules::Counts;
use super::session::{ANSWER_WITHIN, Handed, Kind, Measured, Session};
use super::{Seat, WorkerError, WorkerLink};
pub(super) use agree::{Tolerance, agree};

/// What is tolerated of two workers: far above what honest ones on one kind of processor
/// differ by. On two kinds a picture at the limit of a refusal may part them.
const TOLERANCE: Tolerance = Tolerance {
    embedding: 1e-3,
    measure: 1e-3,
};
const PROBLEM: &str = "it and another worker disagree about a sample";
const UNDOUBTED: &str = "no second opinion of its answer came";

/// What a worker made of a sample: measures, or a refusal that is about the sample.
pub(super) type Opinion = Result<Measured, WorkerError>;

impl WorkerLink {
    /// One sample at one of two workers, and at the other as well where that is drawn.
    pub(super) async fn doubted(
        &self,
        [one, another]: [&Seat; 2],
        kind: Kind,
        sample: Handed,
        until: Instant,
    ) -> Result<(Measured, Tier), WorkerError> {
        let (first, second) = match self.draw()? % 2 {
            0 => (one, another),
            _ => (another, one),
        };
        // Whoever cannot be doubted is not asked.
        second.session(until).await?;
        let kept = sample.clone();
        let (session, answer) = self.ask(first, kind, sample, until).await?;
        let answer = opinion(answer)?;
        if self.is_drawn()? {
            let again = self.ask(second, kind, kept, until);
            let again = timeout_at(until + ANSWER_WITHIN, again).await;
            let again = again.unwrap_or(Err(WorkerError::Deadline));
            let again = again.and_then(|(other, again)| Ok((other, opinion(again)?)));
            self.owed.store(again.is_err(), Relaxed);
            match again {
                Ok((other, again)) => self.compare((&session, &answer), (&other, &again)).await?,
                Err(why) => {
                    Counts::add(&self.common.counts.recomputed_not);
                    // Whoever holds the other one up may do it for this one's answer.
                    if why != WorkerError::Busy {
                        session.distrust(UNDOUBTED);
                    }
                    return Err(why);
                }
            }
        }
        Ok((answer?, session.tier()))
    }

    async fn compare(
        &self,
        (first, answer): (&Arc<Session>, &Opinion),
        (second, again): (&Arc<Session>, &Opinion),
    ) -> Result<(), WorkerError> {
        let counts = &self.common.counts;
        Counts::add(&counts.recomputed);
        let Err(measure) = agree(answer, again, &TOLERANCE) else {
            return Ok(());
        };
        Counts::add(&counts.disagreed);
        tracing::error!(
            measure,
            "two sealed workers disagree about a sample: both are ended"
        );
        first.distrust(PROBLEM);
        second.distrust(PROBLEM);
        (self.disagreed)(first.tier()).await;
        Err(WorkerError::Disagreed)
    }

    fn draw(&self) -> Result<u64, WorkerError> {
        let drawn = draw(&*self.common.trust.entropy);
        drawn
            .map(u64::from_be_bytes)
            .map_err(|_| WorkerError::Unavailable)
    }

    /// Whether a second opinion is wanted of a sample that was answered.
    fn is_drawn(&self) -> Result<bool, WorkerError> {
        let one_in = u64::from(self.common.rules.recompute_one_in.max(1));
        Ok(self.draw()? % one_in == 0 || self.owed.load(Relaxed))
    }
}

/// An answer that is about the sample; any other is none.
fn opinion(answer: Result<Measured, WorkerError>) -> Result<Opinion, WorkerError> {
    match answer {
        Ok(measured) => Ok(Ok(measured)),
        Err(refused @ (WorkerError::Refused(_) | WorkerError::FrameRefused(..))) => {
            Ok(Err(refused))
        }
        Err(none) => Err(none),
    }
}
