//! The committer: the one task that decides, applies, seals and makes durable.
//!
//! Protects against answers that outrun the disk: concurrent commands share a
//! batch, at most one batch is outstanding, and nothing derived from it, reads
//! included, leaves before the store has it.

use std::collections::HashMap;
use std::sync::Arc;

use redoubt_attestation::encode::b64u;
use redoubt_attestation::ledger::entry::{EventKind, Hash, commit};
use redoubt_attestation::ledger::{Receipt, receipt::RECEIPT_TYPE};
use redoubt_attestation::sign::Ed25519Signer;
use redoubt_shared::store::StoredRecord;
use redoubt_shared::{LedgerId, ReceiptId, TenantId};
use tokio::sync::{mpsc, oneshot};

use super::appliance::{ApplianceEvent, ApplianceState};
use super::body::{self, Event as BodyEvent};
use super::book::{Book, BookError, Committed};
use super::store::{StoreClient, StoreError};
use crate::core::{
    Command, Content, Facts, Position, Refusal, Reply, SubjectHandle, TenantState, TermContext,
    apply, decide,
};
use crate::keys::{EpochKey, Pool};

/// Most jobs one batch takes.
const BATCH_JOBS: usize = 512;
/// Jobs that may wait for the next batch.
const QUEUE: usize = 4096;

/// A command got no decision.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The core said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger stopped; the outcome of what was under way is unknown.
    #[error("the ledger stopped")]
    Halted,
    /// Too much is waiting.
    #[error("the ledger's queue is full")]
    Busy,
    /// No such tenant.
    #[error("no such tenant")]
    UnknownTenant,
    /// No such receipt in this ledger.
    #[error("no such receipt")]
    UnknownReceipt,
    /// The store returned something else than was written; only this read fails.
    #[error("the store returned a damaged entry")]
    Damaged,
}

/// What ends the committer.
#[derive(Debug, thiserror::Error)]
pub enum HaltReason {
    /// The store lies or lost something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Sealing or signing failed.
    #[error(transparent)]
    Book(#[from] BookError),
    /// No trusted time.
    #[error("there is no trusted time: the attester's clock cannot be read or disagrees")]
    Time,
}

/// What a committed command leads to.
#[derive(Debug)]
pub struct Outcome {
    /// From the core.
    pub reply: Reply,
    /// The claim it made, if it made one.
    pub claim: Option<Claim>,
}

/// A committed claim and how to prove it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The JSON text.
    pub text: String,
    /// Its salt.
    pub salt: [u8; 32],
    /// Which event of its entry.
    pub event: u32,
    /// Its entry.
    pub entry: Arc<Committed>,
}

impl Claim {
    /// The receipt, without evidence.
    pub fn receipt(&self) -> Receipt {
        let hexes = |path: Vec<Hash>| path.iter().map(hex::encode).collect();
        let count = self.entry.events.size();
        let path = self.entry.events.inclusion(u64::from(self.event), count);
        Receipt {
            kind: RECEIPT_TYPE.to_owned(),
            claims: self.text.clone(),
            salt: b64u(&self.salt),
            event_index: u64::from(self.event),
            event_count: count,
            event_path: hexes(path.unwrap_or_default()),
            header: hex::encode(self.entry.header.encode()),
            tree_size: self.entry.size,
            leaf_path: hexes(self.entry.leaf_path.clone()),
            checkpoint: self.entry.note.clone(),
            evidence: Vec::new(),
        }
    }
}

/// One tenant inside the committer.
pub struct TenantCore {
    /// The fold of its ledger.
    pub state: TenantState,
    /// Its ledger.
    pub book: Book,
    /// What its claims repeat.
    pub context: TermContext,
    pending: Vec<(BodyEvent, Hash)>,
}

impl TenantCore {
    /// A tenant as recovered.
    pub fn new(state: TenantState, book: Book, context: TermContext) -> Self {
        Self {
            state,
            book,
            context,
            pending: Vec::new(),
        }
    }
}

/// Everything the committer owns.
pub struct Core {
    /// By tenant.
    pub tenants: HashMap<TenantId, TenantCore>,
    /// The fold of the appliance's ledger.
    pub appliance: ApplianceState,
    /// The appliance's ledger.
    pub appliance_book: Book,
    epoch: Arc<EpochKey>,
    term: u64,
    signer: Arc<Ed25519Signer>,
    pool: Arc<Pool>,
}

type Release = Box<dyn FnOnce(&HashMap<LedgerId, Arc<Committed>>) + Send>;
type Look = Box<dyn FnOnce(&Core) -> Box<dyn FnOnce() + Send> + Send>;

enum Job {
    Decide {
        tenant: TenantId,
        command: Box<Command>,
        done: oneshot::Sender<Result<Outcome, CommitError>>,
    },
    Look(Look),
    Fetch {
        tenant: TenantId,
        receipt: ReceiptId,
        done: oneshot::Sender<Result<Claim, CommitError>>,
    },
}

#[derive(Default)]
struct Batch {
    records: Vec<StoredRecord>,
    releases: Vec<Release>,
    committed: HashMap<LedgerId, Arc<Committed>>,
    fetches: Vec<(
        TenantId,
        ReceiptId,
        oneshot::Sender<Result<Claim, CommitError>>,
    )>,
}

impl Core {
    /// A core about to begin `term`.
    pub fn new(
        tenants: HashMap<TenantId, TenantCore>,
        appliance: ApplianceState,
        appliance_book: Book,
        epoch: Arc<EpochKey>,
        term: u64,
        signer: Arc<Ed25519Signer>,
        pool: Arc<Pool>,
    ) -> Self {
        Self {
            tenants,
            appliance,
            appliance_book,
            epoch,
            term,
            signer,
            pool,
        }
    }

    /// Begins the term: records the appliance's events and, in every tenant's
    /// ledger, the tenant's opening if it is new and the term. Durable on return.
    pub async fn begin_term(
        &mut self,
        store: &mut StoreClient,
        now_ms: u64,
        events: Vec<ApplianceEvent>,
        new_tenants: Vec<(TenantId, Command)>,
    ) -> Result<(), HaltReason> {
        let mut batch = Batch::default();
        let term = self.term;
        let mut commands = new_tenants;
        commands.extend(
            self.tenants
                .keys()
                .map(|id| (id.clone(), Command::BeginTerm { term })),
        );
        for (tenant, command) in commands {
            let facts = self.facts(now_ms)?;
            // These two commands are never refused.
            let _ = self.run(&tenant, command, &facts)?;
        }
        self.write(&mut batch, events)?;
        store.append(batch.records).await?;
        Ok(())
    }

    fn facts(&self, now_ms: u64) -> Result<Facts, HaltReason> {
        let drawn: [u8; 80] = self.pool.draw().map_err(BookError::from)?;
        let part = |at: usize| {
            let mut out = [0; 16];
            out.copy_from_slice(&drawn[at..at + 16]);
            out
        };
        let mut subject_key = [0; 32];
        subject_key.copy_from_slice(&drawn[48..]);
        Ok(Facts {
            now_ms,
            receipt: ReceiptId::from_bytes(part(0)),
            handle: SubjectHandle(part(16)),
            user_handle: part(32),
            subject_key,
        })
    }

    /// Decides and applies one command; its events wait for the batch to be written.
    fn run(
        &mut self,
        tenant: &TenantId,
        command: Command,
        facts: &Facts,
    ) -> Result<Ran, HaltReason> {
        let Some(core) = self.tenants.get_mut(tenant) else {
            return Ok(Err(CommitError::UnknownTenant));
        };
        let decision = match decide(&core.state, &core.context, command, facts) {
            Ok(decision) => decision,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let mut claim = None;
        for recorded in &decision.events {
            let at = Position {
                entry: core.book.size(),
                event: core.pending.len() as u32,
            };
            apply(&mut core.state, recorded, at);
            let encoded =
                body::encode_event(recorded, &core.state, &self.pool).map_err(BookError::from)?;
            if let Content::Claims { text, .. } = &recorded.content {
                claim = Some((text.clone(), encoded.salt, at.event));
            }
            core.pending.push((encoded.event, encoded.commitment));
        }
        Ok(Ok((core.book.ledger(), decision.reply, claim)))
    }

    /// Writes one entry per touched tenant and one of the appliance.
    fn write(
        &mut self,
        batch: &mut Batch,
        mut appliance: Vec<ApplianceEvent>,
    ) -> Result<(), HaltReason> {
        let mut heads = Vec::new();
        for core in self
            .tenants
            .values_mut()
            .filter(|core| !core.pending.is_empty())
        {
            let (events, commitments) = std::mem::take(&mut core.pending).into_iter().unzip();
            let (record, committed) = core.book.write(
                self.epoch.epoch(),
                self.term,
                events,
                commitments,
                &self.signer,
            )?;
            heads.push((core.book.ledger(), core.book.size(), core.book.root()));
            batch.records.push(record);
            batch
                .committed
                .insert(core.book.ledger(), Arc::new(committed));
        }
        if heads.is_empty() && appliance.is_empty() {
            return Ok(());
        }
        appliance.push(ApplianceEvent::Heads(heads));
        self.write_appliance(batch, &appliance)
    }

    fn write_appliance(
        &mut self,
        batch: &mut Batch,
        events: &[ApplianceEvent],
    ) -> Result<(), HaltReason> {
        let mut encoded = Vec::new();
        let mut commitments = Vec::new();
        for event in events {
            self.appliance.apply(event);
            let bytes =
                postcard::to_stdvec(event).map_err(|_| BookError::from(body::BodyError::Encode))?;
            let salt = self.pool.draw().map_err(BookError::from)?;
            commitments.push(commit(EventKind::State, &salt, &bytes));
            encoded.push(BodyEvent::Clear {
                kind: 0,
                salt,
                bytes,
            });
        }
        let epoch = self.epoch.epoch();
        let (record, committed) =
            self.appliance_book
                .write(epoch, self.term, encoded, commitments, &self.signer)?;
        batch
            .committed
            .insert(self.appliance_book.ledger(), Arc::new(committed));
        batch.records.push(record);
        Ok(())
    }

    fn batch(&mut self, jobs: Vec<Job>, now_ms: u64) -> Result<Batch, HaltReason> {
        let mut batch = Batch::default();
        for job in jobs {
            match job {
                Job::Decide {
                    tenant,
                    command,
                    done,
                } => {
                    let facts = self.facts(now_ms)?;
                    let ran = self.run(&tenant, *command, &facts)?;
                    batch.releases.push(Box::new(move |committed| {
                        // A caller that went away needs no answer.
                        let _ = done.send(ran.and_then(|ran| outcome(ran, committed)));
                    }));
                }
                Job::Look(look) => {
                    let answer = look(self);
                    batch.releases.push(Box::new(move |_| answer()));
                }
                Job::Fetch {
                    tenant,
                    receipt,
                    done,
                } => batch.fetches.push((tenant, receipt, done)),
            }
        }
        self.write(&mut batch, Vec::new())?;
        Ok(batch)
    }

    /// Reads a claim back from the store, checks it against the tree and proves
    /// it under the present head.
    async fn fetch(
        &self,
        store: &mut StoreClient,
        tenant: &TenantId,
        receipt: ReceiptId,
    ) -> Result<Claim, CommitError> {
        let core = self.tenants.get(tenant).ok_or(CommitError::UnknownTenant)?;
        let at = *core
            .state
            .receipts
            .get(&receipt)
            .ok_or(CommitError::UnknownReceipt)?;
        let stored = store.read_one(core.book.ledger(), at.entry).await;
        let stored = stored.map_err(|_| CommitError::Damaged)?;
        self.prove(core, &stored, at).map_err(|error| {
            tracing::error!(%error, "the store returned a damaged entry");
            CommitError::Damaged
        })
    }

    fn prove(
        &self,
        core: &TenantCore,
        stored: &StoredRecord,
        at: Position,
    ) -> Result<Claim, BookError> {
        let (header, events) = core.book.reopen(&self.epoch, stored, at.entry)?;
        let entry = core.book.prove(header, &events, &self.signer)?;
        let event = events
            .into_iter()
            .nth(at.event as usize)
            .ok_or(BookError::Missing)?;
        let opened = body::open_event(event, &core.state)?;
        let text = String::from_utf8(opened.bytes).map_err(|_| BookError::Missing)?;
        Ok(Claim {
            text,
            salt: opened.salt,
            event: at.event,
            entry: Arc::new(entry),
        })
    }
}

type Claimed = Option<(String, [u8; 32], u32)>;
type Ran = Result<(LedgerId, Reply, Claimed), CommitError>;

fn outcome(
    (ledger, reply, claimed): (LedgerId, Reply, Claimed),
    committed: &HashMap<LedgerId, Arc<Committed>>,
) -> Result<Outcome, CommitError> {
    let claim = match claimed {
        None => None,
        Some((text, salt, event)) => {
            let entry = committed.get(&ledger).ok_or(CommitError::Halted)?.clone();
            Some(Claim {
                text,
                salt,
                event,
                entry,
            })
        }
    };
    Ok(Outcome { reply, claim })
}

/// The handle everyone else holds.
#[derive(Clone)]
pub struct Ledgers {
    jobs: mpsc::Sender<Job>,
}

impl Ledgers {
    /// Starts the committer. `now` is trusted time in Unix milliseconds;
    /// `halted` is called once, when the committer ends.
    pub fn start(
        mut core: Core,
        mut store: StoreClient,
        now: impl Fn() -> Option<u64> + Send + 'static,
        halted: impl FnOnce(HaltReason) + Send + 'static,
    ) -> Self {
        let (jobs, mut queue) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            while let Some(first) = queue.recv().await {
                let mut taken = vec![first];
                while taken.len() < BATCH_JOBS
                    && let Ok(next) = queue.try_recv()
                {
                    taken.push(next);
                }
                if let Err(reason) = step(&mut core, &mut store, taken, now()).await {
                    halted(reason);
                    return;
                }
            }
        });
        Self { jobs }
    }

    /// Decides one command and waits until its batch is durable.
    pub async fn decide(
        &self,
        tenant: &TenantId,
        command: Command,
    ) -> Result<Outcome, CommitError> {
        let (done, answer) = oneshot::channel();
        let job = Job::Decide {
            tenant: tenant.clone(),
            command: Box::new(command),
            done,
        };
        self.submit(job)?;
        answer.await.map_err(|_| CommitError::Halted)?
    }

    /// Looks at the state; the answer leaves when everything it may show is durable.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Result<T, CommitError> {
        let (done, answer) = oneshot::channel();
        self.submit(Job::Look(Box::new(move |core| {
            let seen = look(core);
            Box::new(move || {
                let _ = done.send(seen);
            })
        })))?;
        answer.await.map_err(|_| CommitError::Halted)
    }

    /// A claim from the store with a proof under the present head.
    pub async fn fetch(&self, tenant: &TenantId, receipt: ReceiptId) -> Result<Claim, CommitError> {
        let (done, answer) = oneshot::channel();
        self.submit(Job::Fetch {
            tenant: tenant.clone(),
            receipt,
            done,
        })?;
        answer.await.map_err(|_| CommitError::Halted)?
    }

    fn submit(&self, job: Job) -> Result<(), CommitError> {
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommitError::Halted,
        })
    }
}

async fn step(
    core: &mut Core,
    store: &mut StoreClient,
    jobs: Vec<Job>,
    now: Option<u64>,
) -> Result<(), HaltReason> {
    let batch = core.batch(jobs, now.ok_or(HaltReason::Time)?)?;
    if !batch.records.is_empty() {
        store.append(batch.records).await?;
    }
    for release in batch.releases {
        release(&batch.committed);
    }
    for (tenant, receipt, done) in batch.fetches {
        let claim = core.fetch(store, &tenant, receipt).await;
        let _ = done.send(claim);
    }
    Ok(())
}
