//! A running enclave gives its secret to exactly one other; that one takes it.
//!
//! Protects the secret: it leaves only by an order that k officers of the manifest
//! in force signed, sealed to the one boot key the order names, together with the
//! last entry this enclave ever writes; then it is dropped here. Protects the
//! taker: it serves only over a ledger that ends with that very entry.

use std::sync::Arc;
use std::time::Duration;

use redoubt_attestation::binding::Head;
use redoubt_attestation::encode::{Digest32, sha256};
use redoubt_attestation::genesis::{Config, VerifiedConfig, VerifiedGenesis};
use redoubt_attestation::handover::{
    Accepted, Giver, HaltOrder, HandoverOrder, OrderRefusal, boot_key,
};
use redoubt_attestation::shares::{Envelope, EnvelopeAad, OfficersSecret};
use redoubt_shared::supervise::Phase;

use super::boot::{Appliance, Stage};
use super::history::supersedes;
use super::problems::{commit, internal};
use super::recover::{Opening, RecoverError};
use super::serving::Serving;
use crate::api::{
    HaltRequest, Halted, HandedOver, HandoverRequest, Problem, TakeRequest, TakingOver, TreeHead,
};
use crate::ledger::{
    CommitError, HandOver, Handed, Recovered, Sealing, StoreClient, read_envelope,
};
use crate::worker_link::LONGEST_JOB;

/// How long requests that were begun may take to end before the secret goes: the
/// longest job, so that no attempt that was reserved is lost, and a commit on either
/// side of it.
const DRAIN: Duration = LONGEST_JOB.saturating_add(Duration::from_secs(3));
const STEP: Duration = Duration::from_millis(5);

/// What must be the ledger's last entry.
pub(super) struct HandoverClaim {
    before: Head,
    order_digest: Digest32,
    recipient: Digest32,
    envelope: Digest32,
}

impl Appliance {
    /// What orders name this boot by.
    fn boot_key(&self) -> Digest32 {
        boot_key(&self.keys.public())
    }

    /// Obeys an order. In its own task: an officer who hangs up leaves no half
    /// handover behind.
    pub(super) async fn hand_over(
        self: &Arc<Self>,
        request: HandoverRequest,
    ) -> Result<HandedOver, Problem> {
        let appliance = Arc::clone(self);
        let task = tokio::spawn(async move {
            let serving = appliance.serving()?;
            let (officers, genesis, aside) = appliance.claim_handover(&serving)?;
            let given = appliance.give(&serving, officers, genesis, request).await;
            if given.is_err() {
                serving.epochs.resume(aside);
            }
            given
        });
        task.await
            .map_err(|_| internal("the handover task failed"))?
    }

    async fn give(
        self: &Arc<Self>,
        serving: &Arc<Serving>,
        officers: Arc<OfficersSecret>,
        genesis: VerifiedGenesis,
        request: HandoverRequest,
    ) -> Result<HandedOver, Problem> {
        let now_ms = self.time()?;
        let failed = |error| commit(error, now_ms);
        let spent = serving
            .ledgers
            .look(|core| core.appliance.handovers.clone());
        let spent = spent.await.map_err(failed)?;
        let giver = Giver {
            genesis: &genesis,
            appliance: self.config.config.appliance_ledger,
            boot: self.boot_key(),
            term: serving.term,
            now_ms,
        };
        let order = request.order.to_string();
        let known = |order: &Digest32| spent.iter().any(|record| record.order == order.0);
        let accepted = HandoverOrder::check(order.as_bytes(), &giver, known).map_err(refused)?;
        self.check_config(&genesis, &accepted, request.config.to_string().as_bytes())?;
        let order = HandOver {
            order: accepted.order.order.0,
            order_digest: accepted.digest.0,
            recipient: accepted.order.recipient,
            not_after_ms: accepted.order.not_after_ms,
            seal: self.sealing(officers, accepted),
        };
        self.drain(serving).await?;
        match serving.ledgers.hand_over(order).await {
            Ok(handed) => {
                *self.stage() = Stage::Halted;
                self.let_go(serving).await;
                let recipient = Digest32(handed.record.recipient);
                tracing::warn!(%recipient, "handed over; nothing is answered here any more");
                Ok(reply(&handed))
            }
            Err(error) => {
                let mut stage = self.stage();
                if matches!(*stage, Stage::HandingOver) {
                    *stage = Stage::Serving(Arc::clone(serving));
                }
                Err(failed(error))
            }
        }
    }

    /// The other enclave would halt over a configuration that goes back: better to
    /// find that out while this one still serves.
    fn check_config(
        &self,
        genesis: &VerifiedGenesis,
        accepted: &Accepted,
        bytes: &[u8],
    ) -> Result<(), Problem> {
        let other = |why: String| Problem::order_other_config().detail(why);
        let next = Config::verify(bytes, genesis)
            .map_err(|error| other(format!("The configuration is refused: {error}")))?;
        if next.digest != accepted.order.config {
            return Err(other(
                "The configuration sent is not the one the order names.".to_owned(),
            ));
        }
        if !follows(&next, &self.config) {
            return Err(other(format!(
                "Configuration {} does not follow configuration {}, which is in force here.",
                next.config.counter, self.config.config.counter
            )));
        }
        Ok(())
    }

    /// Seals the secret for one head and forgets it. Whatever halted this enclave
    /// meanwhile ended the handover, too.
    fn sealing(self: &Arc<Self>, officers: Arc<OfficersSecret>, accepted: Accepted) -> Sealing {
        let appliance = Arc::clone(self);
        Box::new(move |head| {
            if !appliance.hands_over() {
                return Err(CommitError::Halted);
            }
            let aad = EnvelopeAad {
                order: accepted.digest,
                appliance: accepted.order.appliance,
                head,
                genesis: accepted.order.genesis,
                recipient: accepted.order.recipient,
                not_after_ms: accepted.order.not_after_ms,
            };
            let key = &accepted.recipient.boot_keys.unseal_xwing;
            let sealed = Envelope::seal(&officers, key, &aad, &*appliance.pool);
            let envelope = sealed.map_err(|_| CommitError::NotSealed)?;
            Ok(envelope.to_json())
        })
    }

    /// Takes nothing new, and lets what was begun come to its end: whoever works on
    /// a request holds what serves.
    async fn drain(&self, serving: &Arc<Serving>) -> Result<(), Problem> {
        {
            let mut stage = self.stage();
            if !matches!(*stage, Stage::Serving(_)) {
                return Err(Problem::not_serving());
            }
            *stage = Stage::HandingOver;
        }
        // The task of this handover is the last holder.
        let ended = async {
            while Arc::strong_count(serving) > 1 && self.hands_over() {
                tokio::time::sleep(STEP).await;
            }
        };
        if tokio::time::timeout(DRAIN, ended).await.is_err() {
            tracing::warn!("requests are still under way; they will be told to come again");
        }
        Ok(())
    }

    /// The secret is another enclave's: it goes here at once, and the officer is
    /// answered once nobody holds the keys of tenants and CA either. Whoever still
    /// does finds no ledger for a next step, and has at most a job to wait for.
    async fn let_go(&self, serving: &Arc<Serving>) {
        serving.epochs.forget();
        let held = async {
            while Arc::strong_count(serving) > 1 {
                tokio::time::sleep(STEP).await;
            }
        };
        if tokio::time::timeout(LONGEST_JOB, held).await.is_err() {
            tracing::warn!("a request still holds keys of what was handed over");
        }
    }

    /// Whether nothing halted this enclave while it drains.
    fn hands_over(&self) -> bool {
        matches!(*self.stage(), Stage::HandingOver)
    }

    /// Ends this enclave for good, whatever it does: it gives, takes and opens nothing
    /// any more. Asked again it says so again.
    pub(super) async fn halt_by_order(&self, request: HaltRequest) -> Result<Halted, Problem> {
        let serving = self.serving().ok();
        let genesis = serving
            .as_ref()
            .and_then(|serving| serving.epochs.genesis());
        let genesis = genesis.unwrap_or_else(|| self.genesis.clone());
        let (appliance, boot) = (self.config.config.appliance_ledger, self.boot_key());
        let order = request.order.to_string();
        HaltOrder::check(order.as_bytes(), &genesis, appliance, boot, self.time()?)
            .map_err(refused)?;
        self.halt(&"officers ordered it");
        if let Some(serving) = serving {
            self.let_go(&serving).await;
        }
        Ok(Halted {
            boot: boot.to_string(),
            phase: Phase::Halted,
        })
    }

    /// Whether this enclave waits for a secret.
    pub(super) fn awaiting(&self) -> Result<(), Problem> {
        match self.current_phase() {
            Phase::AwaitingUnseal => Ok(()),
            _ => Err(Problem::not_serving().detail("This enclave does not wait for a secret.")),
        }
    }

    /// Takes what another enclave left for this boot in the store.
    pub(super) async fn take_over(
        self: &Arc<Self>,
        request: TakeRequest,
    ) -> Result<TakingOver, Problem> {
        self.awaiting()?;
        let appliance = self.config.config.appliance_ledger;
        let mut store = StoreClient::new(self.store.clone());
        let own = self.boot_key();
        let read = read_envelope(&mut store, appliance, &own, &request.order).await;
        let bytes = read
            .map_err(|_| Problem::store_unavailable().because("no envelope could be read"))?
            .ok_or_else(Problem::no_envelope)?;
        let (secret, claim) = self.opened(&bytes)?;
        let before = tree_head(&claim.before);
        let mut stage = self.stage();
        let Stage::Awaiting { .. } = &*stage else {
            return Err(Problem::not_serving());
        };
        *stage = Stage::Recovering;
        let opening = Opening {
            secret,
            remembered: Some(claim.before),
            taken: Some(claim),
        };
        tokio::spawn(Arc::clone(self).recover(opening, store));
        Ok(TakingOver {
            phase: Phase::Recovering,
            before,
        })
    }

    fn opened(&self, bytes: &[u8]) -> Result<(OfficersSecret, HandoverClaim), Problem> {
        let foreign = || Problem::no_envelope().detail("The envelope is not for this enclave.");
        let envelope = Envelope::parse(bytes).map_err(|_| foreign())?;
        let (secret, aad) = self
            .keys
            .unseal
            .open_envelope(&envelope)
            .map_err(|_| foreign())?;
        let own = (self.config.config.appliance_ledger, self.genesis.digest);
        let fits = (aad.appliance, aad.genesis) == own
            && aad.recipient == self.boot_key()
            // Anybody can seal something to a public key.
            && secret.commitment() == self.genesis.manifest.secret_commitment;
        if !fits {
            return Err(foreign());
        }
        if self.time()? > aad.not_after_ms {
            return Err(Problem::order_expired()
                .detail("The order by which the secret was left here is not good any more."));
        }
        let claim = HandoverClaim {
            before: aad.head,
            order_digest: aad.order,
            recipient: aad.recipient,
            envelope: sha256(&[bytes]),
        };
        Ok((secret, claim))
    }
}

/// The ledger's last entry is the handover to this boot. That the head before it is
/// the one the giver saw was checked as a remembered head is.
pub(super) fn check_taken(
    recovered: &Recovered,
    claim: &HandoverClaim,
) -> Result<(), RecoverError> {
    let (state, book) = &recovered.appliance;
    let ends = state.handovers.last().is_some_and(|record| {
        let said = (record.order_digest, record.recipient, record.envelope);
        said == (claim.order_digest.0, claim.recipient.0, claim.envelope.0)
    });
    match ends && book.size() == claim.before.size + 1 {
        true => Ok(()),
        false => Err(RecoverError::NotHandedOver),
    }
}

/// Whether an enclave over this ledger opens under `next` after `present`.
fn follows(next: &VerifiedConfig, present: &VerifiedConfig) -> bool {
    let marks = |verified: &VerifiedConfig| (verified.config.counter, verified.digest.0);
    let restores = |verified: &VerifiedConfig| verified.config.restore.as_ref().map(|r| r.count);
    let stays = present.config.tenants.iter().all(|tenant| {
        let mut same = next.config.tenants.iter().filter(|t| t.id == tenant.id);
        same.all(|t| t.ledger == tenant.ledger)
    });
    supersedes(marks(next), marks(present))
        && next.config.appliance_ledger == present.config.appliance_ledger
        && restores(next) == restores(present)
        && stays
}

fn refused(refusal: OrderRefusal) -> Problem {
    let problem = match refusal {
        OrderRefusal::Json(_) => Problem::malformed_request(),
        OrderRefusal::Signed(_) => Problem::order_not_signed(),
        OrderRefusal::OtherManifest { .. } => Problem::order_other_manifest(),
        OrderRefusal::OtherLedger(_) => Problem::order_other_ledger(),
        OrderRefusal::Spent => Problem::order_spent(),
        OrderRefusal::OtherGiver { .. } | OrderRefusal::OtherBoot(_) => {
            Problem::order_other_giver()
        }
        OrderRefusal::Expired { .. } | OrderRefusal::TooLong => Problem::order_expired(),
        OrderRefusal::Recipient(_) => Problem::order_recipient_refused(),
        OrderRefusal::OtherRecipient => Problem::order_other_recipient(),
        OrderRefusal::OtherConfig => Problem::order_other_config(),
    };
    problem.detail(refusal.to_string())
}

fn reply(handed: &Handed) -> HandedOver {
    HandedOver {
        order: Digest32(handed.record.order).to_string(),
        recipient: Digest32(handed.record.recipient).to_string(),
        envelope: Digest32(handed.record.envelope).to_string(),
        before: tree_head(&handed.before),
    }
}

fn tree_head(head: &Head) -> TreeHead {
    TreeHead {
        size: head.size,
        root: head.root.to_string(),
    }
}
