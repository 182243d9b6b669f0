//! Witnesses as the committer sees them: leases and cosignatures.
//!
//! Protects against a copy: nothing is released unless k of n witnesses have
//! cosigned this term's head within the lease, counted on the monotonic clock
//! from before the request was sent. A witness that has seen a later term, or a
//! history this one does not continue, refuses; when too few are left, the
//! enclave halts. Fewer than that can delay, never stop for good.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redoubt_attestation::ledger::entry::Hash;
use tokio::sync::mpsc;

use super::book::Book;
use super::errors::HaltReason;

/// How long a witness that failed is left alone.
const RETRY: Duration = Duration::from_millis(100);

/// What an answer of a witness means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CosignError {
    /// Not reached, or it failed: ask again.
    Passing(String),
    /// It wants this much time to pass first.
    Wait(Duration),
    /// Its head has this size, not the one the request said.
    Size(u64),
    /// It will not cosign this history under this key.
    Refused(String),
}

/// What asking a witness ends in: signature lines under its key, checked.
pub type Cosigning = Pin<Box<dyn Future<Output = Result<Vec<String>, CosignError>> + Send>>;

/// One witness.
pub trait Cosigner: Send + Sync {
    /// Its name in the genesis manifest.
    fn name(&self) -> &str;
    /// Asks it to cosign `note`, whose tree grew from `old` leaves as `proof` shows.
    fn cosign(&self, old: u64, proof: Vec<Hash>, note: String) -> Cosigning;
}

/// What the genesis manifest asks of witnesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Whether each batch waits for cosignatures over its own head.
    pub strict: bool,
    /// Cosignatures needed.
    pub quorum: usize,
    /// For how long one counts.
    pub lease: Duration,
}

struct Member {
    cosigner: Arc<dyn Cosigner>,
    /// Size of the head it cosigned last, as far as is known here.
    size: u64,
    /// Lines over that head, if it cosigned in this boot.
    lines: Vec<String>,
    /// When the request was sent that led to them.
    asked: Option<Instant>,
    busy: bool,
    not_before: Instant,
    refused: Option<String>,
}

struct Done {
    member: usize,
    old: u64,
    size: u64,
    asked: Instant,
    answer: Result<Vec<String>, CosignError>,
}

/// A head with the cosignatures of a quorum.
#[derive(Debug, Clone)]
pub struct Cosigned {
    /// Entries of the appliance's ledger it covers.
    pub size: u64,
    /// The note with the witnesses' lines.
    pub note: String,
}

/// All witnesses of the appliance.
pub struct Witnessing {
    freshness: Option<Freshness>,
    members: Vec<Member>,
    results: mpsc::UnboundedReceiver<Done>,
    report: mpsc::UnboundedSender<Done>,
    /// The note of the head last asked about, without cosignatures.
    asking: Option<(u64, String)>,
    best: Option<Cosigned>,
}

impl Witnessing {
    /// Without witnesses everything is released at once, and receipts say so.
    pub fn none() -> Self {
        Self::build(None, Vec::new())
    }

    /// Witnesses, none of them asked yet: each says at first what it knows.
    pub fn new(freshness: Freshness, witnesses: Vec<Arc<dyn Cosigner>>) -> Self {
        Self::build(Some(freshness), witnesses)
    }

    fn build(freshness: Option<Freshness>, witnesses: Vec<Arc<dyn Cosigner>>) -> Self {
        let (report, results) = mpsc::unbounded_channel();
        let now = Instant::now();
        let member = |cosigner| Member {
            cosigner,
            size: 0,
            lines: Vec::new(),
            asked: None,
            busy: false,
            not_before: now,
            refused: None,
        };
        Self {
            freshness,
            members: witnesses.into_iter().map(member).collect(),
            results,
            report,
            asking: None,
            best: None,
        }
    }

    /// The newest head a quorum cosigned.
    pub fn best(&self) -> Option<&Cosigned> {
        self.best.as_ref()
    }

    /// Whether there are witnesses.
    pub fn present(&self) -> bool {
        self.freshness.is_some()
    }

    /// How soon [`Self::renew`] wants to be called again.
    pub fn tick(&self) -> Duration {
        self.freshness
            .map_or(Duration::from_secs(3600), |f| f.lease / 4)
    }

    /// Sizes from which proofs are needed for the next requests.
    pub fn positions(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.size).collect()
    }

    /// Whether a quorum's cosignatures count now, over heads of at least `size`.
    fn holds(&self, freshness: Freshness, size: u64) -> bool {
        let counts = |member: &&Member| {
            member.size >= size
                && member
                    .asked
                    .is_some_and(|asked| asked.elapsed() < freshness.lease)
        };
        self.members.iter().filter(counts).count() >= freshness.quorum
    }

    /// Waits until what `book` holds may be released. `wrote`: there is something new in it.
    pub async fn release(
        &mut self,
        book: &Book,
        note: &(dyn Fn() -> Result<String, HaltReason> + Sync),
        wrote: bool,
    ) -> Result<(), HaltReason> {
        let Some(freshness) = self.freshness else {
            return Ok(());
        };
        let size = match freshness.strict && wrote {
            true => book.size(),
            false => 0,
        };
        self.wait_for(size, book, note).await
    }

    /// Waits until a quorum has cosigned the very head that `book` has now.
    pub async fn open(
        &mut self,
        book: &Book,
        note: &(dyn Fn() -> Result<String, HaltReason> + Sync),
    ) -> Result<(), HaltReason> {
        self.wait_for(book.size(), book, note).await
    }

    async fn wait_for(
        &mut self,
        size: u64,
        book: &Book,
        note: &(dyn Fn() -> Result<String, HaltReason> + Sync),
    ) -> Result<(), HaltReason> {
        let Some(freshness) = self.freshness else {
            return Ok(());
        };
        loop {
            self.take_answers(book.size())?;
            if self.holds(freshness, size) {
                return Ok(());
            }
            self.renew(book, note)?;
            tokio::select! {
                Some(done) = self.results.recv() => self.take(done, book.size()),
                () = tokio::time::sleep(RETRY / 2) => {}
            }
        }
    }

    /// Asks every witness that is idle and has something to cosign, or whose
    /// cosignature is half spent.
    pub fn renew(
        &mut self,
        book: &Book,
        note: &(dyn Fn() -> Result<String, HaltReason> + Sync),
    ) -> Result<(), HaltReason> {
        let Some(freshness) = self.freshness else {
            return Ok(());
        };
        self.take_answers(book.size())?;
        let now = Instant::now();
        for at in 0..self.members.len() {
            let member = &self.members[at];
            let spent = member
                .asked
                .is_none_or(|asked| asked.elapsed() > freshness.lease / 2);
            let due = member.size < book.size() || spent;
            if member.busy || member.refused.is_some() || !due || member.not_before > now {
                continue;
            }
            let Some(proof) = book.tree().consistency(member.size, book.size()) else {
                continue;
            };
            let text = self.note_of(book.size(), note)?;
            self.ask(at, book.size(), proof, text);
        }
        Ok(())
    }

    fn note_of(
        &mut self,
        size: u64,
        note: &(dyn Fn() -> Result<String, HaltReason> + Sync),
    ) -> Result<String, HaltReason> {
        if let Some((known, text)) = &self.asking
            && *known == size
        {
            return Ok(text.clone());
        }
        let text = note()?;
        self.asking = Some((size, text.clone()));
        Ok(text)
    }

    fn ask(&mut self, at: usize, size: u64, proof: Vec<Hash>, note: String) {
        let member = &mut self.members[at];
        member.busy = true;
        let (cosigner, report, old) = (member.cosigner.clone(), self.report.clone(), member.size);
        tokio::spawn(async move {
            let asked = Instant::now();
            let answer = cosigner.cosign(old, proof, note).await;
            // Nobody listens any more when the committer ended.
            let _ = report.send(Done {
                member: at,
                old,
                size,
                asked,
                answer,
            });
        });
    }

    fn take_answers(&mut self, own: u64) -> Result<(), HaltReason> {
        while let Ok(done) = self.results.try_recv() {
            self.take(done, own);
        }
        let Some(freshness) = self.freshness else {
            return Ok(());
        };
        let refused: Vec<String> = self
            .members
            .iter()
            .filter_map(|member| member.refused.clone())
            .collect();
        if self.members.len() - refused.len() < freshness.quorum {
            return Err(HaltReason::Superseded(refused.join("; ")));
        }
        Ok(())
    }

    fn take(&mut self, done: Done, own: u64) {
        let member = &mut self.members[done.member];
        let name = member.cosigner.name();
        member.busy = false;
        match done.answer {
            Ok(lines) => {
                member.size = done.size;
                member.lines = lines;
                member.asked = Some(done.asked);
                self.settle(done.size);
            }
            Err(CosignError::Size(size)) if size <= own && size != done.old => {
                // What it cosigned before is not what it knows now.
                member.lines.clear();
                member.asked = None;
                member.size = size;
                member.not_before = Instant::now() + RETRY / 10;
            }
            Err(CosignError::Size(size)) => {
                let text = match size == done.old {
                    true => format!("{name} has seen another history of {size} entries"),
                    false => {
                        format!("{name} has seen {size} entries of this ledger; here are {own}")
                    }
                };
                tracing::error!(text, "a witness contradicts");
                member.refused = Some(text);
            }
            Err(CosignError::Refused(text)) => {
                tracing::error!(witness = name, text, "a witness refuses");
                member.refused = Some(format!("{name}: {text}"));
            }
            Err(CosignError::Wait(wait)) => member.not_before = Instant::now() + wait,
            Err(CosignError::Passing(text)) => {
                tracing::warn!(witness = name, text, "a witness gave no cosignature");
                member.not_before = Instant::now() + RETRY;
            }
        }
    }

    /// Keeps the newest note that a quorum cosigned.
    fn settle(&mut self, size: u64) {
        let (Some(freshness), Some((asked, text))) = (self.freshness, &self.asking) else {
            return;
        };
        let agree = |member: &&Member| {
            member.size == size && member.asked.is_some() && !member.lines.is_empty()
        };
        let members: Vec<&Member> = self.members.iter().filter(agree).collect();
        let known = self.best.as_ref().map_or(0, |best| best.size);
        if *asked == size && size >= known && members.len() >= freshness.quorum {
            let lines = members.into_iter().flat_map(|member| &member.lines);
            let lines: String = lines.map(String::as_str).collect();
            let note = format!("{text}{lines}");
            self.best = Some(Cosigned { size, note });
        }
    }
}
