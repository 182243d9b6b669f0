//! Deciding, applying and sealing batches.
//!
//! Protects against answers that outrun the disk: what is applied here waits
//! for its batch, and the committer releases it only when the store has it.
//! Heads are signed after that, so that no signed head ever names an entry
//! that was not kept.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use redoubt_attestation::ledger::entry::{EventKind, Hash, commit};
use redoubt_attestation::sign::Ed25519Signer;
use redoubt_shared::store::StoredRecord;
use redoubt_shared::{LedgerId, ReceiptId, TenantId};
use tokio::sync::oneshot;

use super::appliance::{ApplianceEvent, ApplianceState};
use super::body::{self, Event as BodyEvent};
use super::book::{Book, BookError, Committed, Written};
use super::claim::Claim;
use super::store::{StoreClient, StoreError};
use crate::core::{
    Command, Content, Facts, Position, Refusal, Reply, SubjectHandle, TenantState, TermContext,
    apply, decide,
};
use crate::keys::{EpochKey, Pool};

/// A batch takes no further command once its events have this many bytes.
const BATCH_BYTES: usize = 1024 * 1024;

/// A command got no decision.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The core said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger stopped; the outcome of what was under way is unknown.
    #[error("the ledger stopped")]
    Halted,
    /// There is no trusted time now.
    #[error("there is no trusted time")]
    NoTime,
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
    /// The task that decides died.
    #[error("the committer panicked")]
    Panicked,
}

/// What a committed command leads to.
#[derive(Debug)]
pub struct Outcome {
    /// From the core.
    pub reply: Reply,
    /// The claim it made, if it made one.
    pub claim: Option<Claim>,
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
    pending_bytes: usize,
}

type Release = Box<dyn FnOnce(&Heads) + Send>;
/// Looks at the core and returns what hands the answer over.
pub(super) type Look = Box<dyn FnOnce(&Core) -> Box<dyn FnOnce() + Send> + Send>;
/// Signed heads of the ledgers a batch touched.
pub(super) type Heads = HashMap<LedgerId, Arc<Committed>>;
pub(super) type Answer<T> = oneshot::Sender<Result<T, CommitError>>;

/// One thing asked of the committer.
pub(super) enum Job {
    Decide {
        tenant: TenantId,
        command: Box<Command>,
        done: Answer<Outcome>,
    },
    Look(Look),
    Fetch {
        tenant: TenantId,
        receipt: ReceiptId,
        done: Answer<Claim>,
    },
}

/// What one round led to: to be made durable, then released.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<StoredRecord>,
    pub(super) releases: Vec<Release>,
    pub(super) fetches: Vec<(TenantId, ReceiptId, Answer<Claim>)>,
    written: Vec<Written>,
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
        let pending_bytes = 0;
        Self {
            tenants,
            appliance,
            appliance_book,
            epoch,
            term,
            signer,
            pool,
            pending_bytes,
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
            self.pending_bytes += encoded.event.bytes();
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
        self.pending_bytes = 0;
        let mut heads = Vec::new();
        for core in self
            .tenants
            .values_mut()
            .filter(|core| !core.pending.is_empty())
        {
            let (events, commitments) = std::mem::take(&mut core.pending).into_iter().unzip();
            let class = body::TENANT_CLASS;
            let (record, written) =
                core.book
                    .write(self.epoch.epoch(), self.term, events, commitments, class)?;
            heads.push((core.book.ledger(), core.book.size(), core.book.root()));
            batch.records.push(record);
            batch.written.push(written);
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
        let (epoch, class) = (self.epoch.epoch(), body::APPLIANCE_CLASS);
        let (record, written) =
            self.appliance_book
                .write(epoch, self.term, encoded, commitments, class)?;
        batch.records.push(record);
        batch.written.push(written);
        Ok(())
    }

    /// Takes jobs, in order, until none is left or the batch is full.
    pub(super) fn batch(
        &mut self,
        jobs: &mut VecDeque<Job>,
        now_ms: Option<u64>,
    ) -> Result<Batch, HaltReason> {
        let mut batch = Batch::default();
        while self.pending_bytes < BATCH_BYTES
            && let Some(job) = jobs.pop_front()
        {
            match job {
                Job::Decide {
                    tenant,
                    command,
                    done,
                } => {
                    let ran = match now_ms {
                        Some(now_ms) => {
                            let facts = self.facts(now_ms)?;
                            self.run(&tenant, *command, &facts)?
                        }
                        None => Err(CommitError::NoTime),
                    };
                    batch.releases.push(Box::new(move |heads| {
                        // A caller that went away needs no answer.
                        let _ = done.send(ran.and_then(|ran| outcome(ran, heads)));
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

    /// Signs the heads of a batch that is durable now.
    pub(super) fn sign(&self, batch: &mut Batch) -> Result<Heads, HaltReason> {
        let mut heads = Heads::new();
        for written in std::mem::take(&mut batch.written) {
            let committed = written.sign(&self.signer).map_err(BookError::from)?;
            heads.insert(committed.header.ledger, Arc::new(committed));
        }
        Ok(heads)
    }

    /// Reads a claim back from the store, checks it against the tree and proves
    /// it under the present head.
    pub(super) async fn fetch(
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
        let stored = store.try_read_one(core.book.ledger(), at.entry).await;
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
        let text = std::str::from_utf8(&opened.bytes)
            .map_err(|_| BookError::Missing)?
            .to_owned();
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
    heads: &Heads,
) -> Result<Outcome, CommitError> {
    let claim = match claimed {
        None => None,
        Some((text, salt, event)) => {
            let entry = heads.get(&ledger).ok_or(CommitError::Halted)?.clone();
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
