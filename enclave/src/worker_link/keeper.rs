//! Keeps one place filled with a worker that proved itself, and renews it.
//!
//! Protects against what gathers in a process that runs for long: after so many jobs,
//! or so much time, a fresh one takes the next job and the old one answers what it has.
//! The enclave decides, and the host only brings the second worker. Where it brings
//! none the old one goes on, for twice as long; then it is ended first, and jobs wait
//! for the next. No job is lost by either.
//!
//! Not covered: a host that brings no worker at all, which is denial of service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redoubt_shared::Endpoint;
use rustls::ClientConfig;
use tokio::sync::{Mutex, watch};

use super::keys::Keys;
use super::manifest::Manifest;
use super::rules::{Counts, Rules};
use super::session::{self, ANSWER_WITHIN, Session};
use super::{State, WorkerError, WorkerTrust, canary, tls};

/// Time to connect, shake hands and prove.
const PROVE_WITHIN: Duration = Duration::from_secs(20);
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
/// Short enough that a job waits for a worker that starts elsewhere.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// How often it is looked at whether a retired worker has answered.
const DRAIN_STEP: Duration = Duration::from_millis(5);
/// A worker is ended without another one beside it once it served so many times as
/// long as it should.
const OVERDUE: u32 = 2;

/// What all places have in common.
pub(super) struct Common {
    pub(super) endpoint: Endpoint,
    pub(super) config: Arc<ClientConfig>,
    pub(super) manifest: Arc<Manifest>,
    pub(super) trust: WorkerTrust,
    pub(super) rules: Rules,
    pub(super) keys: Keys,
    pub(super) counts: Arc<Counts>,
    /// Held while a worker is renewed: one after the other, as memory is dear.
    pub(super) renewing: Mutex<()>,
}

pub(super) struct Keeper {
    pub(super) common: Arc<Common>,
    pub(super) publish: watch::Sender<State>,
}

/// Why another worker is looked for.
enum Due {
    /// This one is over.
    Ended(WorkerError),
    /// This one has served its turn.
    Turn,
    /// No other is: this one is to show that it is sound.
    Canary,
}

impl Keeper {
    pub(super) async fn run(self) {
        let mut back_off = BACK_OFF_MIN;
        loop {
            let why = match self.connected().await {
                Ok(session) => {
                    back_off = BACK_OFF_MIN;
                    self.serve(session).await
                }
                Err(why) => why,
            };
            say(&why);
            self.publish.send_replace(State::Down(why));
            tokio::time::sleep(back_off).await;
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
    }

    async fn connected(&self) -> Result<Session, WorkerError> {
        let connected = tokio::time::timeout(PROVE_WITHIN, self.connect()).await;
        let connected = connected.unwrap_or(Err(WorkerError::Unavailable));
        if connected.is_ok() {
            Counts::add(&self.common.counts.sessions);
        }
        connected
    }

    async fn connect(&self) -> Result<Session, WorkerError> {
        let unavailable = |_| WorkerError::Unavailable;
        let Common {
            endpoint,
            config,
            manifest,
            trust,
            keys,
            ..
        } = &*self.common;
        let stream = endpoint.connect().await.map_err(unavailable)?;
        let unproven = tls::handshake(Arc::clone(config), stream).await;
        let unproven = unproven.map_err(unavailable)?;
        let session = session::prove(unproven, trust, manifest, keys).await?;
        let tier = session.tier().name();
        tracing::info!(tier, "a sealed worker proved itself");
        if self.common.rules.canary_jobs > 0 {
            let sung = canary::sing(&session, &self.common).await;
            // Too slow for now is not there yet.
            sung.map_err(|why| match why {
                WorkerError::Busy | WorkerError::Deadline => WorkerError::Unavailable,
                why => why,
            })?;
        }
        tracing::info!(tier, "a sealed worker is connected");
        Ok(session)
    }

    fn up(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        self.publish.send_replace(State::Up(Arc::clone(&session)));
        session
    }

    /// Serves with one worker after the other, until one ends before the next is there.
    async fn serve(&self, first: Session) -> WorkerError {
        let rules = &self.common.rules;
        let mut session = self.up(first);
        let mut limit = Limit::first(rules);
        loop {
            match limit.reached(&session).await {
                Due::Ended(why) => return why,
                Due::Turn if limit.last(&session, rules) => return self.end(session).await,
                Due::Canary => {
                    let sung = self.sings(&session).await;
                    limit.canary = next_canary(session.taken(), rules, sung);
                    continue;
                }
                Due::Turn => {}
            }
            match self.beside(&session).await {
                Some(Ok(next)) => {
                    Counts::add(&self.common.counts.renewals);
                    // Whoever has a job at the old one holds it until it is answered.
                    session = self.up(next);
                    limit = Limit::first(rules);
                }
                Some(Err(gone)) => return gone,
                None => {
                    Counts::add(&self.common.counts.renewals_late);
                    tracing::warn!(
                        jobs = session.taken(),
                        "a sealed worker has served its turn and no other one came; it goes on"
                    );
                    limit = limit.again(&session, rules);
                }
            }
        }
    }

    /// Has a worker measure what is known, and whether it did. One that answers otherwise
    /// is over; one that has no time is asked again soon.
    async fn sings(&self, session: &Session) -> bool {
        let sung = canary::sing(session, &self.common).await;
        if let Err(why) = &sung {
            tracing::debug!(%why, "a sealed worker gave no answer that is known");
        }
        sung.is_ok()
    }

    /// A new worker while the old one serves, if one came. Where the old one ended
    /// meanwhile and none came, why it did.
    async fn beside(&self, old: &Session) -> Option<Result<Session, WorkerError>> {
        let fresh = async {
            let _turn = self.common.renewing.lock().await;
            self.connected().await
        };
        tokio::pin!(fresh);
        let gone = tokio::select! {
            fresh = &mut fresh => return fresh.inspect_err(say).ok().map(Ok),
            gone = old.ended() => gone,
        };
        say(&gone);
        self.publish.send_replace(State::Down(gone.clone()));
        Some(fresh.await.map_err(|_| gone))
    }

    /// Ends a worker that answers what it has first.
    async fn end(&self, session: Arc<Session>) -> WorkerError {
        Counts::add(&self.common.counts.renewals_in_turn);
        tracing::info!("no worker came beside the one that served its turn: it ends first");
        session.retire();
        self.publish
            .send_replace(State::Down(WorkerError::Unavailable));
        let answered = async {
            while session.has_jobs() && !session.is_ended() {
                tokio::time::sleep(DRAIN_STEP).await;
            }
        };
        let _ = tokio::time::timeout(ANSWER_WITHIN, answered).await;
        WorkerError::Unavailable
    }
}

/// Says that a worker is not trusted, and why; of one that is not there the host knows.
fn say(why: &WorkerError) {
    if let WorkerError::Untrusted(problem) = why {
        tracing::warn!(problem, "a sealed worker was refused");
    }
}

/// Until when a worker serves.
struct Limit {
    jobs: u64,
    at: Option<Instant>,
    /// Whether another one was looked for already.
    tried: bool,
    /// After how many jobs it is to measure what is known.
    canary: u64,
}

impl Limit {
    /// The turn of a worker that just proved itself.
    fn first(rules: &Rules) -> Self {
        Self {
            jobs: rules.renew_jobs,
            at: Instant::now().checked_add(rules.renew_after),
            tried: false,
            canary: next_canary(0, rules, true),
        }
    }

    /// When to look for another one again: soon, and at the latest when this one is
    /// to end without. Canaries go on as they do.
    fn again(&self, session: &Session, rules: &Rules) -> Self {
        let (jobs, last) = overdue(session, rules);
        let soon = Instant::now().checked_add(rules.renew_again);
        Self {
            jobs,
            at: soon.into_iter().chain(last).min(),
            tried: true,
            canary: self.canary,
        }
    }

    /// Whether this one is to end, as no other one came in all that time.
    fn last(&self, session: &Session, rules: &Rules) -> bool {
        let (jobs, at) = overdue(session, rules);
        let late = at.is_some_and(|at| at <= Instant::now());
        self.tried && (late || session.taken() >= jobs)
    }

    async fn reached(&self, session: &Session) -> Due {
        let late = async {
            match self.at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            why = session.ended() => Due::Ended(why),
            () = session.took(self.jobs) => Due::Turn,
            () = late => Due::Turn,
            () = session.took(self.canary) => Due::Canary,
        }
    }
}

/// After how many jobs, and when, a worker ends without another one beside it.
fn overdue(session: &Session, rules: &Rules) -> (u64, Option<Instant>) {
    let after = rules.renew_after.checked_mul(OVERDUE);
    let at = after.and_then(|after| session.since().checked_add(after));
    (rules.renew_jobs.saturating_mul(OVERDUE.into()), at)
}

/// After how many jobs the next one is due; a tenth of them where the last had no answer.
fn next_canary(taken: u64, rules: &Rules, sung: bool) -> u64 {
    match (rules.canary_jobs, sung) {
        (0, _) => u64::MAX,
        (jobs, true) => taken.saturating_add(jobs),
        (jobs, false) => taken.saturating_add(jobs.div_ceil(10)),
    }
}
