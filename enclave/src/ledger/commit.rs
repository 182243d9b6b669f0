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
use redoubt_shared::{LedgerId, ReceiptId, TenantId};
use zeroize::Zeroizing;

use super::appliance::{ApplianceEvent, ApplianceState};
use super::body::{self, Event as BodyEvent, LastSubject};
use super::book::{Anchor, Book, BookError};
use super::claim::Claim;
use super::errors::{CommitError, HaltReason};
use super::jobs::{Batch, Heads, Job};
use super::recover::Stored;
use super::store::StoreClient;
use crate::biometrics::Gallery;
use crate::core::{
    Command, Content, Facts, Reply, SubjectHandle, TenantState, TermContext, apply, decide,
};
use crate::keys::{EpochKey, Keyring, Place, Pool, RANDOM_BYTES, ReceiptIds, SealError};

/// A batch takes no further command once its events have this many bytes.
const BATCH_BYTES: usize = 1024 * 1024;

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
    /// Its customers' faces, where duplicates are looked for; follows the state.
    pub gallery: Option<Gallery>,
    /// Of its receipts, once it has keys.
    ids: Option<ReceiptIds>,
    pending: Vec<(BodyEvent, Hash)>,
}

impl TenantCore {
    /// A tenant as recovered.
    pub fn new(state: TenantState, book: Book, context: TermContext) -> Self {
        Self {
            state,
            book,
            context,
            gallery: None,
            ids: None,
            pending: Vec::new(),
        }
    }

    /// The cipher of its receipt ids; none before it is open.
    pub(super) fn ids(&mut self) -> Result<Option<&ReceiptIds>, SealError> {
        if let (None, Some(seeds)) = (&self.ids, &self.state.keys) {
            self.ids = Some(ReceiptIds::new(seeds, self.book.ledger())?);
        }
        Ok(self.ids.as_ref())
    }

    /// Where the next command's first event will stand.
    fn next(&self) -> Place {
        Place {
            entry: self.book.size(),
            event: self.pending.len() as u32,
        }
    }

    /// What is drawn for one command, from 80 random bytes.
    fn facts(&mut self, now_ms: u64, drawn: &[u8; 80]) -> Result<Facts, SealError> {
        let part = |at: usize| {
            let mut out = [0; 16];
            out.copy_from_slice(&drawn[at..at + 16]);
            out
        };
        let (mut subject_key, mut random) = ([0; 32], [0; RANDOM_BYTES]);
        subject_key.copy_from_slice(&drawn[48..]);
        random.copy_from_slice(&drawn[..RANDOM_BYTES]);
        let next = self.next();
        let receipt = match self.ids()? {
            Some(ids) => ids.id(next, random)?,
            // What opens a tenant claims nothing.
            None => ReceiptId::from_bytes(part(0)),
        };
        Ok(Facts {
            now_ms,
            receipt,
            handle: SubjectHandle(part(16)),
            user_handle: part(32),
            subject_key,
        })
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
    /// What the store keeps besides entries.
    pub stored: Stored,
    /// Digest of the genesis manifest in force.
    pub genesis: [u8; 32],
    pub(super) keys: Keyring,
    pub(super) pool: Arc<Pool>,
    /// What was wrapped since the snapshot of a rotation was begun.
    pub(super) carrying: Option<Vec<(Hash, Zeroizing<Vec<u8>>)>>,
    /// Bytes sealed since the last snapshot.
    pub(super) unsnapshotted: u64,
    pub(super) anchors: HashMap<LedgerId, Arc<Anchor>>,
    term: u64,
    pub(super) signer: Arc<Ed25519Signer>,
    pending_bytes: usize,
}

/// What a core is made of, besides what was recovered.
pub struct Making {
    /// The term it begins.
    pub term: u64,
    /// Signs checkpoints.
    pub signer: Arc<Ed25519Signer>,
    /// Entropy.
    pub pool: Arc<Pool>,
    /// Digest of the genesis manifest in force.
    pub genesis: [u8; 32],
}

impl Core {
    /// A core about to begin a term.
    pub fn new(
        tenants: HashMap<TenantId, TenantCore>,
        appliance: (ApplianceState, Book),
        keys: Keyring,
        stored: Stored,
        making: Making,
    ) -> Self {
        let (appliance, appliance_book) = appliance;
        Self {
            tenants,
            appliance,
            appliance_book,
            stored,
            genesis: making.genesis,
            keys,
            pool: making.pool,
            carrying: None,
            unsnapshotted: 0,
            anchors: HashMap::new(),
            term: making.term,
            signer: making.signer,
            pending_bytes: 0,
        }
    }

    /// Begins the term: records the appliance's events and, in every tenant's
    /// ledger, the tenant's opening if it is new and the term. Durable on return.
    pub async fn begin_term(
        &mut self,
        store: &mut StoreClient,
        now_ms: u64,
        mut events: Vec<ApplianceEvent>,
        first: Vec<(TenantId, Command)>,
    ) -> Result<(), HaltReason> {
        let mut batch = Batch::default();
        events.extend(self.mark(now_ms));
        let term = self.term;
        let mut commands = first;
        commands.extend(
            self.tenants
                .keys()
                .map(|id| (id.clone(), Command::BeginTerm { term })),
        );
        for (tenant, command) in commands {
            // These commands are never refused.
            let _ = self.run(&tenant, command, now_ms)?;
        }
        self.write(&mut batch, events)?;
        store.append(std::mem::take(&mut batch.records)).await?;
        self.anchors.extend(batch.anchors);
        Ok(())
    }

    /// The term it writes.
    pub(super) fn term(&self) -> u64 {
        self.term
    }

    /// The epoch at hand.
    pub fn epoch(&self) -> &Arc<EpochKey> {
        self.keys.current()
    }

    /// The note of the appliance's head; the caller sees to it that it is durable.
    pub fn appliance_note(&self) -> Result<String, HaltReason> {
        let book = &self.appliance_book;
        Ok(book.note(&self.signer).map_err(BookError::from)?)
    }

    /// Decides and applies one command; its events wait for the batch to be written.
    fn run(&mut self, tenant: &TenantId, command: Command, now_ms: u64) -> Result<Ran, HaltReason> {
        let Some(core) = self.tenants.get_mut(tenant) else {
            return Ok(Err(CommitError::UnknownTenant));
        };
        let drawn = self.pool.draw().map_err(BookError::from)?;
        let facts = core.facts(now_ms, &drawn).map_err(BookError::from)?;
        let decision = match decide(&core.state, &core.context, command, &facts) {
            Ok(decision) => decision,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let mut claim = None;
        let mut last = LastSubject::default();
        for recorded in &decision.events {
            // Before it is applied: what erases a key is still sealed under it.
            let epoch = self.keys.current();
            let encoded = body::encode_event(recorded, &core.state, (epoch, &mut last), &self.pool)
                .map_err(BookError::from)?;
            apply(&mut core.state, recorded);
            if let Some(gallery) = &mut core.gallery {
                gallery.follow(recorded);
            }
            if let (Some(carrying), Some(opened)) = (&mut self.carrying, &encoded.wrapped) {
                carrying.push((encoded.commitment, opened.to_bytes().into()));
            }
            if let Content::Claims { text } = &recorded.content {
                claim = Some((text.clone(), encoded.salt, core.pending.len() as u32));
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
        let epoch = self.keys.current().epoch();
        let mut heads = 0;
        for core in self
            .tenants
            .values_mut()
            .filter(|core| !core.pending.is_empty())
        {
            let (events, commitments) = std::mem::take(&mut core.pending).into_iter().unzip();
            let class = body::TENANT_CLASS;
            let (record, written) =
                core.book
                    .write(epoch, self.term, events, commitments, class)?;
            heads += 1;
            let head = (core.book.ledger(), core.book.size(), core.book.root());
            appliance.push(ApplianceEvent::Heads(vec![head]));
            batch.records.push(record);
            batch.written.push(written);
        }
        if heads == 0 && appliance.is_empty() {
            return Ok(());
        }
        self.write_appliance(batch, &appliance)
    }

    fn write_appliance(
        &mut self,
        batch: &mut Batch,
        events: &[ApplianceEvent],
    ) -> Result<(), HaltReason> {
        let mut encoded = Vec::new();
        let mut commitments = Vec::new();
        let mut shown = Vec::new();
        for event in events {
            self.appliance.apply(event);
            let bytes =
                postcard::to_stdvec(event).map_err(|_| BookError::from(body::BodyError::Encode))?;
            let salt = self.pool.draw().map_err(BookError::from)?;
            if let ApplianceEvent::Heads(heads) = event {
                let ledgers = heads.iter().map(|(ledger, ..)| *ledger);
                let at = encoded.len() as u64;
                shown.extend(ledgers.map(|ledger| (ledger, at, salt, bytes.clone())));
            }
            commitments.push(commit(EventKind::State, &salt, &bytes));
            encoded.push(BodyEvent::Clear {
                kind: 0,
                salt,
                bytes,
            });
        }
        let (epoch, class) = (self.keys.current().epoch(), body::APPLIANCE_CLASS);
        let (record, written) =
            self.appliance_book
                .write(epoch, self.term, encoded, commitments, class)?;
        for (ledger, event_index, salt, event) in shown {
            let anchor = Anchor {
                event,
                salt,
                event_index,
                events: written.events().clone(),
                header: *written.header(),
            };
            batch.anchors.insert(ledger, Arc::new(anchor));
        }
        batch.records.push(record);
        batch.written.push(written);
        let bytes = batch.records.iter().map(|record| record.bytes.len() as u64);
        self.unsnapshotted += bytes.sum::<u64>();
        Ok(())
    }

    /// Writes one entry of the appliance's ledger alone.
    pub(super) fn write_events(
        &mut self,
        events: Vec<ApplianceEvent>,
    ) -> Result<Batch, HaltReason> {
        let mut batch = Batch::default();
        self.write(&mut batch, events)?;
        Ok(batch)
    }

    /// Takes jobs, in order, until none is left or the batch is full.
    pub(super) fn batch(
        &mut self,
        jobs: &mut VecDeque<Job>,
        now_ms: Option<u64>,
    ) -> Result<Batch, HaltReason> {
        let mut batch = Batch::default();
        let mut events = Vec::new();
        while self.pending_bytes < BATCH_BYTES
            && let Some(job) = jobs.pop_front()
        {
            match job {
                Job::Decide {
                    tenant,
                    command,
                    done,
                } => {
                    let ran = match (now_ms, self.tenants.get(&tenant)) {
                        (Some(now_ms), Some(core)) => {
                            let command = command(core);
                            self.run(&tenant, command, now_ms)?
                        }
                        (None, _) => Err(CommitError::NoTime),
                        (_, None) => Err(CommitError::UnknownTenant),
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
                Job::Read(reading) => batch.readings.push(reading),
                Job::Record { event, done } => {
                    events.push(*event);
                    batch.releases.push(Box::new(move |_| {
                        let _ = done.send(Ok(()));
                    }));
                }
                Job::Snapshot(done) => batch.snapshots.push((None, done)),
                Job::Rotate(rotate, done) => batch.snapshots.push((Some(rotate), done)),
                Job::HandOver(order, done) => {
                    // What came before it is answered first, what comes after it waits.
                    batch.handover = Some((order, done));
                    break;
                }
            }
        }
        self.write(&mut batch, events)?;
        Ok(batch)
    }

    /// Signs the heads of a batch that is durable now.
    pub(super) fn sign(&mut self, batch: &mut Batch) -> Result<Heads, HaltReason> {
        let mut heads = Heads::new();
        for written in std::mem::take(&mut batch.written) {
            let anchor = batch.anchors.get(&written.header().ledger).cloned();
            let committed = written
                .sign(&self.signer, anchor)
                .map_err(BookError::from)?;
            heads.insert(committed.header.ledger, Arc::new(committed));
        }
        self.anchors.extend(std::mem::take(&mut batch.anchors));
        Ok(heads)
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
