//! Snapshots and rotations under way, beside the committer's batches.
//!
//! Protects against a stall and against a crash in the middle: a thread writes
//! from a frozen copy while batches go on, the store gets one blob between two
//! batches, and only when every blob is durable does the store learn of the
//! snapshot. A rotation takes effect with that one step: before it the old
//! secret opens everything, after it the new one does.

use std::collections::HashMap;
use std::sync::Arc;

use redoubt_shared::LedgerId;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::appliance::ApplianceEvent;
use super::commit::Core;
use super::errors::{CommitError, HaltReason};
use super::jobs::{Answer, Batch};
use super::recover::Stored;
use super::snapshot::{self, Finished, Frozen, FrozenBook, Out};
use super::store::{StoreClient, StoreError};
use crate::keys::{EntryKey, EpochKey};

/// Blobs that wait for the store.
const AHEAD: usize = 2;
/// Full chunks of leaf hashes of each ledger that stay in memory.
const CHUNKS_HERE: usize = 4;

/// Why a snapshot or rotation did not happen. Nothing was lost by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFailed {
    /// Another one is being written.
    #[error("a snapshot or rotation is under way; wait for it")]
    UnderWay,
    /// The store did not take it.
    #[error("the snapshot was not written: {0}")]
    Refused(String),
}

/// A rotation: everything from its end on is sealed under the next epoch's key.
pub struct Rotate {
    /// The next epoch.
    pub next: EpochKey,
    /// Digest of the genesis manifest whose officers open it.
    pub genesis: [u8; 32],
}

/// One being written.
pub(super) struct UnderWay {
    out: mpsc::Receiver<Out>,
    rotation: Option<(Arc<EpochKey>, [u8; 32])>,
    /// Whether what came before must go when it is over.
    pub(super) rotates: bool,
    size: u64,
    /// Bytes put so far.
    pub(super) bytes: u64,
    /// Entries of each ledger that recovery from it does not need.
    pub(super) covers: HashMap<LedgerId, u64>,
    done: Option<Answer<()>>,
    /// Nothing more may be decided until it ends: its last part is written.
    pub(super) ending: bool,
}

/// What one step led to.
pub(super) enum Step {
    /// Goes on.
    More,
    /// Over: an entry to commit, and whom to tell.
    Over(Batch, Option<Answer<()>>),
    /// Given up; whoever asked was told.
    Failed,
}

impl Core {
    /// Freezes the state and starts the thread that writes it.
    pub(super) fn begin_snapshot(
        &mut self,
        rotate: Option<Box<Rotate>>,
        done: Option<Answer<()>>,
    ) -> UnderWay {
        let rotation = rotate.map(|rotate| (Arc::new(rotate.next), rotate.genesis));
        let sealing = match &rotation {
            Some((next, _)) => next.clone(),
            None => self.keys.current().clone(),
        };
        let earlier = self
            .keys
            .all()
            .filter(|key| key.epoch() != sealing.epoch())
            .map(|key| EntryKey::from_bytes(key.epoch(), *key.expose()));
        let book = |book| FrozenBook::of(book, self.stored.leaves_of(book.ledger()));
        let frozen = Frozen {
            genesis: rotation
                .as_ref()
                .map_or(self.genesis, |(_, genesis)| *genesis),
            earlier: earlier.collect(),
            appliance: (self.appliance.clone(), book(&self.appliance_book)),
            tenants: self
                .tenants
                .iter()
                .map(|(id, core)| (id.clone(), core.state.clone(), book(&core.book)))
                .collect(),
            rotates: rotation.is_some(),
            epoch: sealing,
        };
        if let Some((next, _)) = &rotation {
            self.carrying = Some(Vec::new());
            // What is erased from here on is in the snapshot: it waits for the epoch after.
            self.wait_for_epoch(next.epoch());
        }
        self.unsnapshotted = 0;
        let (send, out) = mpsc::channel(AHEAD);
        let pool = self.pool.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = snapshot::write(frozen, &pool, send) {
                tracing::warn!(%error, "a snapshot was given up");
            }
        });
        UnderWay {
            out,
            rotates: rotation.is_some(),
            rotation,
            size: self.appliance_book.size(),
            bytes: 0,
            covers: self.sizes(),
            done,
            ending: false,
        }
    }

    /// Takes the next part, if it is there (or waits for it, near the end).
    pub(super) async fn step_snapshot(
        &mut self,
        way: &mut UnderWay,
        store: &mut StoreClient,
        now_ms: u64,
    ) -> Result<Step, HaltReason> {
        let part = match way.ending {
            true => way.out.recv().await,
            false => match way.out.try_recv() {
                Ok(part) => Some(part),
                Err(mpsc::error::TryRecvError::Empty) => return Ok(Step::More),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
            },
        };
        let outcome = match part {
            None => Err(SnapshotFailed::Refused("its writer ended".into())),
            Some(Out::Blob(bytes)) => {
                way.bytes += bytes.len() as u64;
                put(store, bytes).await.map(|_| None)
            }
            Some(Out::Tail(reply)) => {
                way.ending = true;
                let carried: Vec<(_, Zeroizing<Vec<u8>>)> =
                    self.carrying.take().unwrap_or_default();
                // A writer that ended is noticed at the next step.
                let _ = reply.send(carried);
                Ok(None)
            }
            Some(Out::Done(finished)) => self.install(way, store, finished, now_ms).await?,
        };
        match outcome {
            Ok(None) => Ok(Step::More),
            Ok(Some(batch)) => Ok(Step::Over(batch, way.done.take())),
            Err(why) => {
                // Erasures go on waiting for the epoch that was tried: the store may
                // hold all of its snapshot.
                self.carrying = None;
                tracing::warn!(%why, "no snapshot this time");
                if let Some(done) = way.done.take() {
                    let _ = done.send(Err(CommitError::Snapshot(why)));
                }
                Ok(Step::Failed)
            }
        }
    }

    /// Every blob but the first is durable: names the snapshot, and with a
    /// rotation goes on in the next epoch.
    async fn install(
        &mut self,
        way: &mut UnderWay,
        store: &mut StoreClient,
        finished: Finished,
        now_ms: u64,
    ) -> Result<Result<Option<Batch>, SnapshotFailed>, HaltReason> {
        let name = match put(store, finished.root).await {
            Ok(name) => name,
            Err(why) => return Ok(Err(why)),
        };
        let (mut latest, mut keep) = (vec![name], finished.needs.clone());
        keep.push(name);
        if let Some((before, needs)) = &self.stored.snapshot {
            latest.push(*before);
            keep.push(*before);
            keep.extend(needs);
        }
        if let Err(error) = store.set_snapshot(latest, keep).await {
            // Whether it took effect is unknown. A snapshot more does no harm, but
            // of a rotation one secret must hold.
            return match (way.rotation.is_some(), &error) {
                (true, StoreError::Refused(_)) | (false, _) => Ok(Err(refused(error))),
                (true, _) => Err(error.into()),
            };
        }
        self.stored = Stored {
            snapshot: Some((name, finished.needs)),
            leaves: finished.leaves,
        };
        self.detach();
        let size = way.size;
        let mut events = vec![ApplianceEvent::SnapshotTaken { name, size }];
        if let Some((next, genesis)) = way.rotation.take() {
            let epoch = next.epoch();
            self.advance(next, genesis)?;
            events.push(ApplianceEvent::EpochBegan {
                epoch,
                at_ms: now_ms,
                genesis,
            });
        }
        Ok(Ok(Some(self.write_events(events)?)))
    }

    /// From here on erasures wait until this epoch's secret is deleted.
    fn wait_for_epoch(&mut self, epoch: u32) {
        for core in self.tenants.values_mut() {
            core.context.epoch = epoch;
        }
    }

    fn advance(&mut self, next: Arc<EpochKey>, genesis: [u8; 32]) -> Result<(), HaltReason> {
        self.keys.advance(next);
        self.genesis = genesis;
        let entries = self.keys.current().entries();
        self.appliance_book.rekey(entries, &self.pool)?;
        for core in self.tenants.values_mut() {
            core.book.rekey(entries, &self.pool)?;
        }
        Ok(())
    }

    /// Forgets leaf hashes the store keeps, but the newest.
    fn detach(&mut self) {
        let tenants = self.tenants.values_mut().map(|core| &mut core.book);
        for book in tenants.chain(std::iter::once(&mut self.appliance_book)) {
            let stored = self.stored.leaves.get(&book.ledger()).map_or(0, Vec::len);
            for chunk in 0..stored.saturating_sub(CHUNKS_HERE) {
                book.detach(chunk);
            }
        }
    }

    /// Tells the store to keep nothing but the last snapshot: those before it were
    /// sealed in an epoch that is over.
    pub(super) async fn keep_only_last(&self, store: &mut StoreClient) -> Result<(), StoreError> {
        let Some((name, needs)) = self.stored.snapshot.clone() else {
            return Ok(());
        };
        let mut keep = needs;
        keep.push(name);
        store.set_snapshot(vec![name], keep).await
    }
}

async fn put(store: &mut StoreClient, bytes: Vec<u8>) -> Result<[u8; 32], SnapshotFailed> {
    store.put_blob(bytes).await.map_err(refused)
}

fn refused(error: StoreError) -> SnapshotFailed {
    SnapshotFailed::Refused(error.to_string())
}
