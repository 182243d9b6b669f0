//! The appliance's side: one process for each tenant that has a bundle in force.
//!
//! Protects everybody else: a process that does not answer in time is killed, and its
//! tenant's decision is a no. Tenants share no process. So many run at once, over all
//! tenants: where one more is wanted, the one that was asked longest ago ends; a tenant
//! waits for another's only where all of them are at work.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use redoubt_shared::TenantId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::room::ARGUMENT;
use super::wire::{self, Ask, Refused, Texts, Told};
use crate::core::{Bundle, Ruling};

/// Processes at once that rule, over all tenants; each may take 256 MiB.
pub(super) const PROCESSES: usize = 8;
/// And those that check or try a bundle.
pub(super) const TRIALS: usize = 2;
/// Of these, those that may be at a dry run, which anybody at a tenant asks for: an
/// upload, which takes its signers, finds a place beside them.
const DRY_RUNS: usize = 1;
/// One ruling, start and way included: for what the budget inside does not see.
const RULING: Duration = Duration::from_secs(3);
/// Decisions of a tenant at once, the one that is asked included.
const WAITING: usize = 32;
/// How long a decision waits for others of its tenant.
const QUEUE: Duration = Duration::from_secs(3);
/// How often whoever waits for a place looks for a process that became idle meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// Compiling and every unit test.
const CHECK: Duration = Duration::from_secs(5);
/// Rulings on everything that is remembered.
const DRY_RUN: Duration = Duration::from_secs(10);

/// A policy process; it ends with this.
struct Process {
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// A process that waits for its tenant's next decision.
struct Kept {
    /// Of the bundle it holds.
    digest: [u8; 32],
    process: Process,
    /// Its place among all.
    place: OwnedSemaphorePermit,
    /// Larger than of those asked before.
    asked: u64,
}

/// Whoever waits for a tenant's process.
pub(super) struct Slot {
    pub(super) places: Semaphore,
    process: Mutex<Option<Kept>>,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            places: Semaphore::new(WAITING),
            process: Mutex::default(),
        }
    }
}

#[cfg(test)]
impl Slot {
    /// Whether a process waits for the next decision.
    pub(super) fn runs(&self) -> bool {
        self.process.try_lock().is_ok_and(|kept| kept.is_some())
    }

    /// As if a decision were under way.
    pub(super) fn work(&self) -> impl Drop + use<'_> {
        self.process.try_lock().expect("nobody is at work")
    }
}

/// Counts somebody who waits for a place, for as long as they do.
struct Wanted<'a>(&'a AtomicUsize);

impl<'a> Wanted<'a> {
    fn one_more(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A tenant's turn to check or to try a bundle.
pub struct Turn {
    _own: OwnedMutexGuard<()>,
    _dry: Option<OwnedSemaphorePermit>,
    _place: OwnedSemaphorePermit,
}

/// Every tenant's.
pub struct Evaluators {
    program: PathBuf,
    slots: Lock<HashMap<TenantId, Arc<Slot>>>,
    /// Checks and dry runs, one at a time for each tenant.
    trials: Lock<HashMap<TenantId, Arc<Mutex<()>>>>,
    /// Places of processes that rule, and how many wait for one.
    pub(super) ruling: Arc<Semaphore>,
    wanted: AtomicUsize,
    trying: Arc<Semaphore>,
    dry: Arc<Semaphore>,
    /// Decisions so far.
    asked: AtomicU64,
}

impl Evaluators {
    /// None runs yet. `program` runs [`main`](super::main) when its only argument is
    /// [`ARGUMENT`].
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            slots: Lock::default(),
            trials: Lock::default(),
            ruling: Arc::new(Semaphore::new(PROCESSES)),
            wanted: AtomicUsize::new(0),
            trying: Arc::new(Semaphore::new(TRIALS)),
            dry: Arc::new(Semaphore::new(DRY_RUNS)),
            asked: AtomicU64::new(0),
        }
    }

    /// What a bundle says to an input. It always says something: whatever goes wrong is
    /// a no, and the process is a new one next time.
    pub async fn rule(&self, tenant: &TenantId, bundle: &Bundle, input: String) -> Ruling {
        let slot = self.slot(tenant);
        let Ok(_place) = slot.places.try_acquire() else {
            return Ruling::failed("policy_busy");
        };
        let Ok(mut slot) = timeout(QUEUE, slot.process.lock()).await else {
            return Ruling::failed("policy_busy");
        };
        // Out of the slot while it works: a caller that hangs up leaves no half-read answer.
        let kept = slot.take().filter(|kept| kept.digest == bundle.digest);
        let (kept, place) = match kept {
            Some(kept) => (Some(kept.process), kept.place),
            None => match self.place().await {
                Some(place) => (None, place),
                None => return Ruling::failed("policy_busy"),
            },
        };
        let ruled = async {
            let mut process = match kept {
                Some(process) => process,
                None => {
                    let mut fresh = Process::start(&self.program)?;
                    let texts = bundle.modules.clone();
                    matches!(fresh.ask(Ask::Load(texts)).await?, Told::Loaded(_))
                        .then_some(fresh)?
                }
            };
            let ruling = process.rule(input).await?;
            Some((process, ruling))
        };
        match timeout(RULING, ruled).await {
            Ok(Some((process, ruling))) => {
                // Whoever waits for a place gets this one.
                let wanted = self.wanted.load(Ordering::Relaxed) > 0;
                *slot = (!wanted).then_some(Kept {
                    digest: bundle.digest,
                    process,
                    place,
                    asked: self.asked.fetch_add(1, Ordering::Relaxed),
                });
                ruling
            }
            Ok(None) => Ruling::failed("policy_crashed"),
            Err(_) => Ruling::failed("policy_budget"),
        }
    }

    /// A place for one more process: a free one, or that of whoever was asked longest ago
    /// of those that are not at work, or one that comes free in time.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let free = || Arc::clone(&self.ruling).try_acquire_owned().ok();
        if let Some(place) = free() {
            return Some(place);
        }
        let _wanted = Wanted::one_more(&self.wanted);
        let mut free = pin!(Arc::clone(&self.ruling).acquire_owned());
        // A decision that ended just before anybody waited keeps its place: it is idle only
        // a moment later, and wakes nobody.
        let found = async {
            loop {
                if let Some(place) = self.take_idle() {
                    return Some(place);
                }
                if let Ok(place) = timeout(LOOK, free.as_mut()).await {
                    return place.ok();
                }
            }
        };
        timeout(QUEUE, found).await.ok()?
    }

    /// Ends the process that was asked longest ago, if one is not at work.
    fn take_idle(&self) -> Option<OwnedSemaphorePermit> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = slots.values().filter_map(|slot| {
            let slot = slot.process.try_lock().ok()?;
            let asked = slot.as_ref()?.asked;
            Some((asked, slot))
        });
        let (_, mut slot) = idle.min_by_key(|(asked, _)| *asked)?;
        slot.take().map(|kept| kept.place)
    }

    pub(super) fn slot(&self, tenant: &TenantId) -> Arc<Slot> {
        of(&self.slots, tenant)
    }

    /// The tenant's turn to have an upload checked, unless it has a check or dry run
    /// already, or as many others have as there may be.
    pub fn turn(&self, tenant: &TenantId) -> Option<Turn> {
        let trial = of(&self.trials, tenant);
        Some(Turn {
            _own: trial.try_lock_owned().ok()?,
            _dry: None,
            _place: Arc::clone(&self.trying).try_acquire_owned().ok()?,
        })
    }

    /// The same for a dry run, which takes no place that uploads need.
    pub fn dry_turn(&self, tenant: &TenantId) -> Option<Turn> {
        let dry = Arc::clone(&self.dry).try_acquire_owned().ok()?;
        let turn = self.turn(tenant)?;
        Some(Turn {
            _dry: Some(dry),
            ..turn
        })
    }

    /// Compiles modules and runs their unit tests, in a process of its own; answers the
    /// tests' names.
    pub async fn check(&self, turn: Turn, texts: Texts) -> Result<Vec<String>, Refused> {
        Ok(self.try_out(turn, texts, Vec::new()).await?.0)
    }

    /// The same, and then a ruling on each of these inputs.
    pub async fn try_out(
        &self,
        _turn: Turn,
        texts: Texts,
        inputs: Vec<String>,
    ) -> Result<(Vec<String>, Vec<Ruling>), Refused> {
        let gone = || Refused::new("crashed", "the policy process ended: less memory or depth");
        let mut process = Process::start(&self.program).ok_or_else(gone)?;
        let checked = timeout(CHECK, process.ask(Ask::Check(texts))).await;
        let tests = match checked {
            Ok(Some(Told::Loaded(tests))) => tests,
            Ok(Some(Told::Refused(refused))) => return Err(refused),
            Ok(_) => return Err(gone()),
            Err(_) => {
                return Err(Refused::new(
                    "over_budget",
                    "compiling and testing took 5 s",
                ));
            }
        };
        let rulings = async {
            let mut rulings = Vec::new();
            for input in inputs {
                rulings.push(process.rule(input).await.ok_or_else(gone)?);
            }
            Ok(rulings)
        };
        let over = |_| Refused::new("over_budget", "the recorded decisions took 10 s");
        let rulings = timeout(DRY_RUN, rulings).await.map_err(over)??;
        Ok((tests, rulings))
    }
}

fn of<T: Default>(all: &Lock<HashMap<TenantId, Arc<T>>>, tenant: &TenantId) -> Arc<T> {
    let mut all = all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    Arc::clone(all.entry(tenant.clone()).or_default())
}

impl Process {
    /// A fresh one: no environment, no descriptor but its pipes (every other one is
    /// closed by its start), killed when it is dropped.
    fn start(program: &PathBuf) -> Option<Self> {
        let mut child = Command::new(program)
            .arg(ARGUMENT)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let (input, output) = (child.stdin.take()?, child.stdout.take()?);
        Some(Self {
            _child: child,
            input,
            output,
        })
    }

    async fn rule(&mut self, input: String) -> Option<Ruling> {
        self.ask(Ask::Rule(input)).await?.ruling()
    }

    async fn ask(&mut self, ask: Ask) -> Option<Told> {
        self.input.write_all(&wire::framed(&ask)?).await.ok()?;
        let mut header = [0; 4];
        self.output.read_exact(&mut header).await.ok()?;
        let mut body = vec![0; wire::length(header)?];
        self.output.read_exact(&mut body).await.ok()?;
        wire::read(&body)
    }
}
