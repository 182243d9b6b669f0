//! Recovery: read every ledger back, check each entry against its place, fold.
//!
//! Protects against a store that was edited, truncated or rolled back in part:
//! the appliance's ledger names the head of every tenant's, and each must be
//! met exactly. A store rolled back as a whole is not caught here; witnesses and
//! remembered heads do that.

use redoubt_attestation::ledger::entry::Hash;
use redoubt_shared::frame::decode_canonical;
use redoubt_shared::{LedgerId, TenantId};

use super::appliance::{ApplianceEvent, ApplianceState};
use super::body::{self, Event};
use super::book::{Book, BookError};
use super::store::{StoreClient, StoreError};
use crate::core::{Content, Event as CoreEvent, Position, Recorded, TenantState, apply};
use crate::keys::{EpochKey, Pool};

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
        "ledger {ledger} stands at {found} entries, the appliance's ledger says {expected}: the store was rolled back or edited"
    )]
    Rewound {
        /// Which ledger.
        ledger: LedgerId,
        /// In the store.
        found: u64,
        /// Recorded.
        expected: u64,
    },
    /// This boot's sealing key could not be made.
    #[error(transparent)]
    Book(#[from] BookError),
}

/// What recovery yields.
pub struct Recovered {
    /// The appliance's ledger, folded.
    pub appliance: (ApplianceState, Book),
    /// Every tenant's.
    pub tenants: Vec<(TenantId, TenantState, Book)>,
}

/// Reads, checks and folds everything.
pub async fn recover(
    store: &mut StoreClient,
    epoch: &EpochKey,
    pool: &Pool,
    appliance: LedgerId,
    tenants: &[(TenantId, LedgerId)],
) -> Result<Recovered, ReplayError> {
    let (state, book) = replay_appliance(store, epoch, pool, appliance).await?;
    let mut recovered = Vec::new();
    for (tenant, ledger) in tenants {
        let expected = state.heads.get(ledger).copied();
        let (tenant_state, tenant_book) =
            replay_tenant(store, epoch, pool, *ledger, expected).await?;
        recovered.push((tenant.clone(), tenant_state, tenant_book));
    }
    Ok(Recovered {
        appliance: (state, book),
        tenants: recovered,
    })
}

async fn replay_appliance(
    store: &mut StoreClient,
    epoch: &EpochKey,
    pool: &Pool,
    ledger: LedgerId,
) -> Result<(ApplianceState, Book), ReplayError> {
    let mut state = ApplianceState::default();
    let book = replay(store, epoch, pool, ledger, |index, events| {
        for event in events {
            let event =
                appliance_event(event).ok_or(ReplayError::UnknownEvent { ledger, index })?;
            state.apply(&event);
        }
        Ok(())
    })
    .await?;
    Ok((state, book))
}

fn appliance_event(event: Event) -> Option<ApplianceEvent> {
    match event {
        Event::Clear { kind: 0, bytes, .. } => decode_canonical(&bytes).ok(),
        _ => None,
    }
}

async fn replay_tenant(
    store: &mut StoreClient,
    epoch: &EpochKey,
    pool: &Pool,
    ledger: LedgerId,
    expected: Option<(u64, Hash)>,
) -> Result<(TenantState, Book), ReplayError> {
    let mut state = TenantState::default();
    let book = replay(store, epoch, pool, ledger, |index, events| {
        for (at, event) in events.into_iter().enumerate() {
            let recorded = tenant_event(event, &state)
                .map_err(|source| ReplayError::Entry {
                    ledger,
                    index,
                    source,
                })?
                .ok_or(ReplayError::UnknownEvent { ledger, index })?;
            apply(
                &mut state,
                &recorded,
                Position {
                    entry: index,
                    event: at as u32,
                },
            );
        }
        Ok(())
    })
    .await?;
    let (size, root) = expected.unwrap_or((0, redoubt_attestation::ledger::merkle::empty_root()));
    if (book.size(), book.root()) != (size, root) {
        return Err(ReplayError::Rewound {
            ledger,
            found: book.size(),
            expected: size,
        });
    }
    Ok((state, book))
}

fn tenant_event(event: Event, state: &TenantState) -> Result<Option<Recorded>, BookError> {
    let owner = match &event {
        Event::Owned { owner, .. } => Some(*owner),
        Event::Clear { .. } => None,
    };
    let opened = body::open_event(event, state)?;
    let content = match opened.kind {
        0 => decode_canonical::<CoreEvent>(&opened.bytes)
            .ok()
            .map(|event| Content::State(Box::new(event))),
        1 => String::from_utf8(opened.bytes.to_vec())
            .ok()
            .and_then(Content::claims_from_text),
        _ => None,
    };
    Ok(content.map(|content| Recorded { owner, content }))
}

/// Reads a whole ledger, entry by entry.
async fn replay(
    store: &mut StoreClient,
    epoch: &EpochKey,
    pool: &Pool,
    ledger: LedgerId,
    mut fold: impl FnMut(u64, Vec<Event>) -> Result<(), ReplayError>,
) -> Result<Book, ReplayError> {
    let mut book = Book::new(ledger, epoch, pool)?;
    loop {
        let records = store.read(ledger, book.size()).await?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            let index = record.index;
            let (_, events) = book
                .read(epoch, record)
                .map_err(|source| ReplayError::Entry {
                    ledger,
                    index,
                    source,
                })?;
            fold(index, events)?;
        }
        tracing::info!(entries = book.size(), "replaying a ledger");
    }
    Ok(book)
}
