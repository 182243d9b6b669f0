//! The last entry of an enclave that gives its secret away.
//!
//! Protects against two enclaves that both go on, and against an envelope without
//! its entry: what is under way is answered first, the entry and the envelope are
//! one batch, and the committer writes nothing behind them. The envelope stands
//! under the head before the entry, so that its recipient knows where the ledger
//! ends.

use std::time::Duration;

use redoubt_attestation::binding::Head;
use redoubt_attestation::encode::{Digest32, sha256};
use redoubt_attestation::ledger::entry::Header;
use redoubt_attestation::shares::envelope_ledger;
use redoubt_shared::LedgerId;
use redoubt_shared::store::StoredRecord;

use super::appliance::{ApplianceEvent, HandoverRecord};
use super::book::BookError;
use super::commit::Core;
use super::committer::Committer;
use super::errors::{CommitError, HaltReason};
use super::jobs::Answer;
use super::record::{self, SealedRecord};
use super::rotation::SnapshotFailed;
use super::stall::On;
use super::store::{StoreClient, StoreError};

/// How long witnesses are waited for: before the secret is sealed, and for the last
/// entry, which the recipient's term has cosigned anyway.
const WITNESSED_WITHIN: Duration = Duration::from_secs(5);

/// Makes the envelope for a head, unless who orders the sealing does not want it any
/// more.
pub type Sealing = Box<dyn FnOnce(Head) -> Result<Vec<u8>, CommitError> + Send>;

/// An order that was found good.
pub struct HandOver {
    /// Its name, 32 bytes.
    pub order: [u8; 32],
    /// SHA-256 of its payload.
    pub order_digest: [u8; 32],
    /// The recipient's boot key, as the order names it.
    pub recipient: Digest32,
    /// Until when it is good, Unix milliseconds.
    pub not_after_ms: u64,
    /// Makes the envelope.
    pub seal: Sealing,
}

/// What was handed over, durably.
#[derive(Debug, Clone)]
pub struct Handed {
    /// The head before the last entry.
    pub before: Head,
    /// The entry's words.
    pub record: HandoverRecord,
}

impl Core {
    /// Ledgers of envelopes, which nobody needs once another term began.
    pub(super) fn envelopes(&self) -> impl Iterator<Item = (LedgerId, u64)> {
        let appliance = self.appliance_book.ledger();
        let handovers = self.appliance.handovers.iter();
        handovers.map(move |record| {
            let (recipient, order) = (Digest32(record.recipient), Digest32(record.order));
            (envelope_ledger(appliance, &recipient, &order), 1)
        })
    }

    fn appliance_head(&self) -> Head {
        Head {
            size: self.appliance_book.size(),
            root: Digest32(self.appliance_book.root()),
        }
    }

    /// The record that carries an envelope.
    fn envelope_record(
        &self,
        record: &HandoverRecord,
        envelope: Vec<u8>,
    ) -> Result<StoredRecord, BookError> {
        let (recipient, order) = (Digest32(record.recipient), Digest32(record.order));
        let ledger = envelope_ledger(self.appliance_book.ledger(), &recipient, &order);
        let header = Header {
            ledger,
            index: 0,
            epoch: self.epoch().epoch(),
            term: self.term(),
            events_root: record.envelope,
        };
        let bytes = record::carry(&header, self.pool.draw()?, envelope)?;
        Ok(StoredRecord {
            ledger,
            index: 0,
            bytes,
        })
    }
}

impl Committer {
    /// Writes the last entry. `false`: refused, and the ledger goes on. The order was
    /// good when it arrived; what counts is `now_ms`, when the secret is sealed.
    pub(super) async fn hand_over(
        &mut self,
        order: HandOver,
        now_ms: Option<u64>,
        done: Answer<Handed>,
    ) -> Result<bool, HaltReason> {
        let refused = match self
            .may_hand_over(order.order, order.not_after_ms, now_ms)
            .await?
        {
            Err(refused) => refused,
            Ok(at_ms) => {
                let before = self.core.appliance_head();
                match (order.seal)(before) {
                    Err(refused) => refused,
                    Ok(envelope) => {
                        let record = HandoverRecord {
                            order: order.order,
                            order_digest: order.order_digest,
                            recipient: order.recipient.0,
                            envelope: sha256(&[&envelope]).0,
                            at_ms,
                        };
                        self.write_last(record.clone(), envelope).await?;
                        // Who asked and went away finds the entry in the ledger.
                        let _ = done.send(Ok(Handed { before, record }));
                        return Ok(true);
                    }
                }
            }
        };
        let _ = done.send(Err(refused));
        Ok(false)
    }

    /// Whether an order still holds now, and the time. Witnesses that know a later
    /// term halt this enclave instead.
    async fn may_hand_over(
        &mut self,
        name: [u8; 32],
        not_after_ms: u64,
        now_ms: Option<u64>,
    ) -> Result<Result<u64, CommitError>, HaltReason> {
        let rotates = self.way.as_ref().is_some_and(|way| way.rotates);
        Ok(match now_ms {
            None => Err(CommitError::NoTime),
            Some(now_ms) if now_ms > not_after_ms => Err(CommitError::OrderExpired),
            Some(_) if rotates => Err(CommitError::Snapshot(SnapshotFailed::UnderWay)),
            Some(_) if self.core.appliance.is_spent(&name) => Err(CommitError::OrderSpent),
            Some(_) if !self.vouched_for().await? => Err(CommitError::NotFresh),
            Some(now_ms) => Ok(now_ms),
        })
    }

    /// Whether a quorum of witnesses vouches for this term now, where there are any.
    async fn vouched_for(&mut self) -> Result<bool, HaltReason> {
        let released = self
            .core
            .release(&mut self.store, &mut self.witnessing, false);
        match tokio::time::timeout(WITNESSED_WITHIN, released).await {
            Ok(released) => released.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    async fn write_last(
        &mut self,
        record: HandoverRecord,
        envelope: Vec<u8>,
    ) -> Result<(), HaltReason> {
        let carrier = self.core.envelope_record(&record, envelope)?;
        let event = ApplianceEvent::HandedOver(record);
        let mut batch = self.core.write_events(vec![event])?;
        batch.records.push(carrier);
        let records = std::mem::take(&mut batch.records);
        self.stall
            .patiently(On::Store, self.store.append(records))
            .await?;
        // A snapshot under way is not needed any more; what waits is asked elsewhere.
        self.way = None;
        self.stall.handed_over();
        let released = self
            .core
            .release(&mut self.store, &mut self.witnessing, true);
        match tokio::time::timeout(WITNESSED_WITHIN, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last entry was not cosigned"),
            Err(_) => tracing::warn!("the last entry was not cosigned in time"),
        }
        Ok(())
    }
}

/// The envelope of an order to a boot key, as the store shows it; nothing if there is
/// none, or none that is whole.
pub async fn read_envelope(
    store: &mut StoreClient,
    appliance: LedgerId,
    recipient: &Digest32,
    order: &Digest32,
) -> Result<Option<Vec<u8>>, StoreError> {
    let ledger = envelope_ledger(appliance, recipient, order);
    let record = store.try_read(ledger, 0, 1).await?.pop();
    Ok(record.and_then(|record| {
        let carried = SealedRecord::decode(&record.bytes).ok()?.carried()?;
        Some(carried).filter(|_| record.ledger == ledger)
    }))
}
