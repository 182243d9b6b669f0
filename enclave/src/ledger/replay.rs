//! Replay: read a ledger back, check each entry against its place, fold.
//!
//! Protects against a store that was edited, truncated or rolled back in part:
//! the appliance's ledger names the head of every tenant's, and each must be
//! met exactly. A store rolled back as a whole is not caught here; witnesses and
//! remembered heads do that.

use redoubt_attestation::ledger::entry::Hash;
use redoubt_attestation::ledger::merkle::Tree;
use redoubt_shared::LedgerId;
use redoubt_shared::frame::decode_canonical;

use super::appliance::{ApplianceEvent, ApplianceState};
use super::body::{self, Carried, Event, Unwrap};
use super::book::{Book, BookError};
use super::recover::Stored;
use super::snapshot::{Mark, SnapshotError};
use super::store::{StoreClient, StoreError};
use crate::core::{Content, Event as CoreEvent, Recorded, TenantState, apply};
use crate::keys::{Keyring, Pool};

/// The state cannot be proven from what the store holds.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry does not hold.
    #[error("ledger {ledger} entry {index}: {source}")]
    Entry {
        /// Which ledger.
        ledger: LedgerId,
        /// Which entry.
        index: u64,
        /// What is wrong with it.
        source: BookError,
    },
    /// An event inside a good entry cannot be read: written by a newer version.
    #[error(
        "ledger {ledger} entry {index}: an event of an unknown kind; use the version that wrote it"
    )]
    UnknownEvent {
        /// Which ledger.
        ledger: LedgerId,
        /// Which entry.
        index: u64,
    },
    /// A tenant's ledger is not where the appliance's says it is.
    #[error(
        "ledger {ledger} stands at {found} entries, the appliance's ledger says {expected} of {}: the store was rolled back or edited",
        if found == expected { "another history" } else { "this history" }
    )]
    Rewound {
        /// Which ledger.
        ledger: LedgerId,
        /// In the store.
        found: u64,
        /// Recorded.
        expected: u64,
    },
    /// This boot's sealing key could not be made, or hashes are not as stored.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The ledger a restore goes on from is not at the head the officers named.
    #[error(
        "the restore order goes on from {expected} entries of ledger {ledger}; the store has {found}, or another history"
    )]
    Restore {
        /// The ledger before.
        ledger: LedgerId,
        /// In the store.
        found: u64,
        /// In the order.
        expected: u64,
    },
    /// A snapshot that opened leads nowhere.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Where reading a ledger begins: a fold, and the tree it is of.
pub(super) type Start<S> = Option<(S, Option<Mark>)>;

/// Reading one ledger after another.
pub(super) struct Replay<'a> {
    pub(super) store: &'a mut StoreClient,
    pub(super) keys: Keyring,
    pub(super) pool: &'a Pool,
    pub(super) stored: Stored,
    pub(super) carried: Carried,
    /// Entries read so far.
    pub(super) replayed: u64,
}

impl Replay<'_> {
    pub(super) async fn appliance(
        &mut self,
        ledger: LedgerId,
        start: Start<ApplianceState>,
    ) -> Result<(ApplianceState, Book), ReplayError> {
        let (mut state, mark) = start.unwrap_or_default();
        let book = self
            .ledger(ledger, mark, |index, _, events, _, _| {
                for event in events {
                    let event = appliance_event(event)
                        .ok_or(ReplayError::UnknownEvent { ledger, index })?;
                    state.apply(&event);
                }
                Ok(())
            })
            .await?;
        Ok((state, book))
    }

    pub(super) async fn tenant(
        &mut self,
        ledger: LedgerId,
        start: Start<TenantState>,
        expected: Option<(u64, Hash)>,
    ) -> Result<(TenantState, Book), ReplayError> {
        let (mut state, mark) = start.unwrap_or_default();
        let book = self
            .ledger(ledger, mark, |index, epoch, events, keys, carried| {
                let unwrap = match epoch == keys.current().epoch() {
                    true => Unwrap::Epoch(keys.current()),
                    false => Unwrap::Carried(carried),
                };
                for event in events {
                    let mut recorded = tenant_event(event, &state, unwrap)
                        .map_err(|source| ReplayError::Entry {
                            ledger,
                            index,
                            source,
                        })?
                        .ok_or(ReplayError::UnknownEvent { ledger, index })?;
                    if epoch != keys.current().epoch() {
                        wait_for(&mut recorded, keys.current().epoch());
                    }
                    apply(&mut state, &recorded);
                }
                Ok(())
            })
            .await?;
        let (size, root) =
            expected.unwrap_or((0, redoubt_attestation::ledger::merkle::empty_root()));
        if (book.size(), book.root()) != (size, root) {
            return Err(ReplayError::Rewound {
                ledger,
                found: book.size(),
                expected: size,
            });
        }
        Ok((state, book))
    }

    /// Reads a ledger, entry by entry, from where the snapshot ends.
    async fn ledger(
        &mut self,
        ledger: LedgerId,
        mark: Option<Mark>,
        mut fold: impl FnMut(u64, u32, Vec<Event>, &Keyring, &Carried) -> Result<(), ReplayError>,
    ) -> Result<Book, ReplayError> {
        let tree = match &mark {
            Some(mark) if mark.ledger == ledger => mark.tree()?,
            Some(_) => return Err(SnapshotError::Malformed.into()),
            None => Tree::new(),
        };
        let names = mark.map_or_else(Vec::new, |mark| mark.names());
        self.stored.leaves.insert(ledger, names);
        let entries = self.keys.current().entries();
        let mut book = Book::new(ledger, tree, entries, self.pool)?;
        loop {
            let records = self.store.read(ledger, book.size()).await?;
            if records.is_empty() {
                return Ok(book);
            }
            for record in &records {
                let index = record.index;
                let (header, events) =
                    book.read(&self.keys, record)
                        .map_err(|source| ReplayError::Entry {
                            ledger,
                            index,
                            source,
                        })?;
                fold(index, header.epoch, events, &self.keys, &self.carried)?;
                self.replayed += 1;
            }
            tracing::info!(entries = book.size(), "replaying a ledger");
        }
    }
}

fn appliance_event(event: Event) -> Option<ApplianceEvent> {
    match event {
        Event::Clear { kind: 0, bytes, .. } => decode_canonical(&bytes).ok(),
        _ => None,
    }
}

/// What was erased after the snapshot of this epoch was begun is in that snapshot:
/// it is dark only when this epoch is over, too.
fn wait_for(recorded: &mut Recorded, epoch: u32) {
    if let Content::State(event) = &mut recorded.content
        && let CoreEvent::FaceErased { erasure, .. }
        | CoreEvent::VoiceErased { erasure, .. }
        | CoreEvent::SubjectErased { erasure, .. } = &mut **event
    {
        erasure.epoch = erasure.epoch.max(epoch);
    }
}

fn tenant_event(
    event: Event,
    state: &TenantState,
    unwrap: Unwrap<'_>,
) -> Result<Option<Recorded>, BookError> {
    let owner = match &event {
        Event::Owned { owner, .. } => Some(*owner),
        Event::Clear { .. } | Event::Wrapped { .. } => None,
    };
    let opened = body::open_event(event, state, unwrap)?;
    let content = match opened.kind {
        0 => decode_canonical::<CoreEvent>(&opened.bytes)
            .ok()
            .map(|event| Content::State(Box::new(event))),
        1 => Some(Content::Claims {
            text: opened.text()?,
        }),
        _ => None,
    };
    Ok(content.map(|content| Recorded { owner, content }))
}
