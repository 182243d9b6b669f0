//! Epochs: a new secret at custodians, a snapshot under it, the old one deleted;
//! and officers who come and go.
//!
//! Protects against a rotation that dies half way: every step can be repeated,
//! and only the one in the ledger's room decides which secret holds. Without
//! custodians there is nothing that a new epoch alone could delete: asking for
//! one is refused, unless officers change with it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use redoubt_attestation::genesis::{Config, VerifiedGenesis};
use redoubt_attestation::shares::OfficersSecret;
use redoubt_shared::{ErasureId, TenantId};
use serde_json::Value;
use zeroize::Zeroizing;

use super::boot::Appliance;
use super::epochs::EpochSecret;
use super::problems::{commit, internal};
use super::serving::Serving;
use super::unseal::Shares;
use crate::api::{EpochStatus, Problem, RotateEpoch, Rotation, ShareAccepted, ShareSubmission};
use crate::core::{Command, Deletion, ErasureStatus, MARK_MAX, TenantState};
use crate::ledger::{ApplianceEvent, CommitError, Core, Rotate};

/// Pause before custodians that deleted nothing are asked again.
const AGAIN: Duration = Duration::from_secs(10);

/// The officers' secret of now, and the rotation under way.
pub(super) struct Epochs(Mutex<Held>);

struct Held {
    /// None once it was given to another enclave.
    officers: Option<Arc<OfficersSecret>>,
    /// The manifest whose officers hold it, once it is another than this boot's.
    genesis: Option<VerifiedGenesis>,
    stage: Stage,
    /// Rotations since this boot.
    rotations: u32,
}

enum Stage {
    Idle,
    Awaiting(Box<VerifiedGenesis>, Shares),
    /// Towards an epoch, once it is known which.
    Running(Option<u32>, &'static str),
}

/// A rotation that waits for shares, put aside by a handover.
pub(super) struct Aside(Stage);

impl Epochs {
    pub(super) fn new(officers: OfficersSecret) -> Self {
        Self(Mutex::new(Held {
            officers: Some(Arc::new(officers)),
            genesis: None,
            stage: Stage::Idle,
            rotations: 0,
        }))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn hold(&self, officers: Arc<OfficersSecret>, genesis: VerifiedGenesis) {
        let mut held = self.held();
        held.officers = Some(officers);
        held.genesis = Some(genesis);
        held.rotations += 1;
    }

    /// The manifest in force, once it is another than this boot's.
    pub(super) fn genesis(&self) -> Option<VerifiedGenesis> {
        self.held().genesis.clone()
    }

    fn rotations(&self) -> u32 {
        self.held().rotations
    }

    /// Takes up again what a handover that was refused had put aside.
    pub(super) fn resume(&self, aside: Aside) {
        self.held().stage = aside.0;
    }

    /// The officers' secret is another enclave's now, whoever still holds this.
    pub(super) fn forget(&self) {
        self.held().officers = None;
    }

    /// Nothing is under way any more.
    pub(super) fn rest(&self) {
        self.held().stage = Stage::Idle;
    }

    /// Whether new officers' shares are expected.
    pub(super) fn awaits_shares(&self) -> bool {
        matches!(self.held().stage, Stage::Awaiting(..))
    }

    fn say(&self, epoch: u32, stage: &'static str) {
        self.held().stage = Stage::Running(Some(epoch), stage);
    }

    /// The rotation under way; `epoch` is the one in force.
    fn rotation(&self, epoch: u32) -> Option<Rotation> {
        match &self.held().stage {
            Stage::Idle => None,
            Stage::Awaiting(_, shares) => Some(Rotation {
                epoch: epoch + 1,
                stage: "awaiting_shares",
                shares_received: shares.received(),
                shares_needed: shares.needed(),
            }),
            Stage::Running(towards, stage) => Some(Rotation {
                epoch: towards.unwrap_or(epoch + 1),
                stage,
                shares_received: 0,
                shares_needed: 0,
            }),
        }
    }
}

impl Appliance {
    pub(super) async fn epoch_status(&self) -> Result<EpochStatus, Problem> {
        let serving = self.serving()?;
        let looked = serving.ledgers.look(|core| {
            let tenants = core.tenants.values();
            let pending = tenants.map(|tenant| tenant.state.pending_erasures.len() as u64);
            (core.epoch().epoch(), pending.sum())
        });
        let (epoch, pending_erasures) = looked.await.map_err(|error| commit(error, 0))?;
        Ok(EpochStatus {
            epoch,
            pending_erasures,
            rotation: serving.epochs.rotation(epoch),
        })
    }

    pub(super) async fn rotate_epoch(
        self: &Arc<Self>,
        request: RotateEpoch,
    ) -> Result<EpochStatus, Problem> {
        let serving = self.serving()?;
        match request.successor {
            Some((genesis, config)) => self.expect_officers(&serving, &genesis, &config)?,
            None => {
                if self.peers.custodians().is_empty() {
                    return Err(Problem::custodian_unavailable()
                        .detail("The genesis manifest of this appliance names no custodians."));
                }
                let (officers, genesis) = self.claim_rotation(&serving)?;
                self.spawn_rotation(serving, officers, genesis).await?;
            }
        }
        self.epoch_status().await
    }

    /// Takes note of the next manifest; its officers' shares complete the change.
    fn expect_officers(
        &self,
        serving: &Serving,
        genesis: &Value,
        config: &Value,
    ) -> Result<(), Problem> {
        let refused = |error: &dyn std::fmt::Display| {
            Problem::malformed_request().detail(format!("The successor is refused: {error}"))
        };
        let mut held = serving.epochs.held();
        if matches!(held.stage, Stage::Running(..)) {
            return Err(Problem::rotation_in_progress());
        }
        let present = held.genesis.as_ref().unwrap_or(&self.genesis);
        let next = present
            .successor(genesis.to_string().as_bytes())
            .map_err(|e| refused(&e))?;
        Config::verify(config.to_string().as_bytes(), &next).map_err(|e| refused(&e))?;
        let (old, new) = (&self.genesis.manifest, &next.manifest);
        let peers = (&old.witnesses, &old.custodians, old.custodian_threshold);
        if peers != (&new.witnesses, &new.custodians, new.custodian_threshold) {
            return Err(refused(
                &"change officers and peers in two steps: witnesses and custodians must stay",
            ));
        }
        let shares = Shares::new(next.manifest.threshold);
        held.stage = Stage::Awaiting(Box::new(next), shares);
        Ok(())
    }

    /// Takes a share of officers to come.
    pub(super) async fn take_successor_share(
        self: &Arc<Self>,
        serving: Arc<Serving>,
        submission: ShareSubmission,
    ) -> Result<ShareAccepted, Problem> {
        let (accepted, ready) = {
            let mut held = serving.epochs.held();
            let Stage::Awaiting(genesis, shares) = &mut held.stage else {
                return Err(Problem::not_serving().detail(
                    "No rotation waits for shares here. One that waited when another enclave \
                     handed over to this one was put aside: begin it again (redoubt rotate).",
                ));
            };
            let (officer, head, share) = self.opened_share(&submission, genesis)?;
            shares.add(officer, head, share)?;
            let accepted = ShareAccepted {
                received: shares.received(),
                needed: shares.needed(),
                phase: self.current_phase(),
            };
            if accepted.received < accepted.needed {
                return Ok(accepted);
            }
            let officers = shares.combined(genesis)?;
            let genesis = VerifiedGenesis::clone(genesis);
            held.stage = Stage::Running(None, "custodians");
            (accepted, (Arc::new(officers), genesis))
        };
        let (officers, genesis) = ready;
        self.spawn_rotation(serving, officers, genesis).await?;
        Ok(accepted)
    }

    /// The officers' secret and their manifest; no other rotation begins before
    /// [`Epochs::rest`].
    pub(super) fn claim_rotation(
        &self,
        serving: &Serving,
    ) -> Result<(Arc<OfficersSecret>, VerifiedGenesis), Problem> {
        let mut held = serving.epochs.held();
        match held.stage {
            Stage::Idle => self.claimed(&mut held, "custodians"),
            _ => Err(Problem::rotation_in_progress()),
        }
    }

    /// The same for a handover, which k officers ordered. A rotation that one of them
    /// asked for, and for which shares are still to come, is put aside: nothing of it
    /// happened yet, and it does not go on at the other enclave.
    pub(super) fn claim_handover(
        &self,
        serving: &Serving,
    ) -> Result<(Arc<OfficersSecret>, VerifiedGenesis, Aside), Problem> {
        let mut held = serving.epochs.held();
        if matches!(held.stage, Stage::Running(..)) {
            return Err(Problem::rotation_in_progress());
        }
        let aside = Aside(std::mem::replace(&mut held.stage, Stage::Idle));
        let (officers, genesis) = self.claimed(&mut held, "handover")?;
        Ok((officers, genesis, aside))
    }

    fn claimed(
        &self,
        held: &mut Held,
        stage: &'static str,
    ) -> Result<(Arc<OfficersSecret>, VerifiedGenesis), Problem> {
        let officers = held.officers.clone().ok_or_else(Problem::handing_over)?;
        held.stage = Stage::Running(None, stage);
        let genesis = held.genesis.clone().unwrap_or_else(|| self.genesis.clone());
        Ok((officers, genesis))
    }

    /// In its own task: an officer who hangs up leaves no half rotation behind.
    async fn spawn_rotation(
        self: &Arc<Self>,
        serving: Arc<Serving>,
        officers: Arc<OfficersSecret>,
        genesis: VerifiedGenesis,
    ) -> Result<(), Problem> {
        let appliance = Arc::clone(self);
        let task = tokio::spawn(async move {
            let done = appliance.rotate(&serving, &officers, &genesis).await;
            if done.is_ok() {
                // The epoch is another one: who holds it is, too, whatever follows.
                serving.epochs.hold(officers, genesis);
                // What is not settled now is tried again for as long as it takes.
                let settled = appliance.settle(&serving).await;
                if !matches!(settled, Ok(true)) {
                    appliance.finish_retirement(&serving);
                }
            }
            serving.epochs.rest();
            done
        });
        task.await
            .map_err(|_| internal("the rotation task failed"))?
    }

    async fn rotate(
        &self,
        serving: &Serving,
        officers: &OfficersSecret,
        genesis: &VerifiedGenesis,
    ) -> Result<(), Problem> {
        let failed = |error: CommitError| commit(error, 0);
        let epoch = serving.ledgers.look(|core| core.epoch().epoch());
        let next = epoch.await.map_err(failed)? + 1;
        serving.epochs.say(next, "custodians");
        let mut secret: Option<EpochSecret> = None;
        if !self.peers.custodians().is_empty() {
            let drawn = self.pool.draw().map_err(|_| internal("no entropy"))?;
            let drawn = Box::new(Zeroizing::new(drawn));
            let left = self.deposit(serving.term, next, &drawn).await;
            left.map_err(|why| Problem::custodian_unavailable().detail(why))?;
            secret = Some(drawn);
        }
        let key = self.epoch_key(officers, secret.as_ref(), next);
        let rotate = Rotate {
            next: key.map_err(|_| internal("no key of the next epoch"))?,
            genesis: genesis.digest.0,
        };
        serving.epochs.say(next, "snapshot");
        serving.ledgers.rotate(rotate).await.map_err(failed)?;
        serving.epochs.say(next, "deletion");
        Ok(())
    }

    /// Asks custodians to delete, until all have or the next rotation asks them.
    pub(super) fn finish_retirement(self: &Arc<Self>, serving: &Arc<Serving>) {
        if self.peers.custodians().is_empty() {
            return;
        }
        let rotations = serving.epochs.rotations();
        let (appliance, serving) = (Arc::downgrade(self), Arc::downgrade(serving));
        tokio::spawn(async move {
            loop {
                let (Some(appliance), Some(serving)) = (appliance.upgrade(), serving.upgrade())
                else {
                    return;
                };
                if serving.epochs.rotations() != rotations {
                    return;
                }
                match appliance.settle(&serving).await {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "erasures were not marked; trying again"),
                }
                drop((appliance, serving));
                tokio::time::sleep(AGAIN).await;
            }
        });
    }

    /// Has custodians delete what came before the present epoch, records what they
    /// signed and what became dark by it. Whether nothing is left to do.
    async fn settle(&self, serving: &Serving) -> Result<bool, CommitError> {
        let custodians = self.peers.custodians().len();
        let looked = serving.ledgers.look(move |core| {
            let epoch = core.epoch().epoch();
            let known = core.appliance.retired.as_ref();
            let known = known.filter(|(below, _)| *below == epoch);
            let signed = known.map(|(_, statements)| statements.len());
            let pending = waiting(core, epoch);
            let untold = untold(core, &pending);
            (epoch, signed, pending, untold)
        });
        let (epoch, signed, pending, untold) = looked.await?;
        let whole = signed == Some(custodians);
        if epoch == 0 || custodians == 0 || (whole && pending.is_empty()) {
            return Ok(true);
        }
        let retired = self.retire(serving.term, epoch).await;
        if !whole && !untold && signed.is_some_and(|signed| retired.statements.len() <= signed) {
            // Nothing new to record.
            return Ok(retired.silent.is_empty());
        }
        let statements: Vec<Deletion> = retired
            .statements
            .iter()
            .filter_map(|signed| {
                Some(Deletion {
                    statement: String::from_utf8(signed.statement.clone()).ok()?,
                    signature: signed.signature.to_vec(),
                })
            })
            .collect();
        let signed = retired.statements.iter();
        let event = ApplianceEvent::EpochRetired {
            below: epoch,
            statements: signed.map(|signed| signed.statement.clone()).collect(),
        };
        serving.ledgers.record(event).await?;
        let depends_on = self.depends_on(&retired.silent);
        for (tenant, erasures) in pending {
            for erasures in erasures.chunks(MARK_MAX) {
                let command = Command::MarkDark {
                    erasures: erasures.to_vec(),
                    statements: statements.clone(),
                    depends_on: depends_on.clone(),
                };
                match serving.ledgers.decide(&tenant, command).await {
                    Ok(_) | Err(CommitError::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(retired.silent.is_empty())
    }
}

/// Erasures that wait for epochs before `epoch` to be deleted.
fn waiting(core: &Core, epoch: u32) -> Vec<(TenantId, Vec<ErasureId>)> {
    let Some(last) = epoch.checked_sub(1) else {
        return Vec::new();
    };
    let of = |state: &TenantState| state.erasures_waiting_for(last, usize::MAX);
    core.tenants
        .iter()
        .map(|(id, tenant)| (id.clone(), of(&tenant.state)))
        .filter(|(_, erasures)| !erasures.is_empty())
        .collect()
}

/// Whether one of them was never told on whom it depends.
fn untold(core: &Core, waiting: &[(TenantId, Vec<ErasureId>)]) -> bool {
    waiting.iter().any(|(id, erasures)| {
        let state = core.tenants.get(id).map(|tenant| &tenant.state);
        erasures.iter().any(|id| {
            let erasure = state.and_then(|state| state.erasures.get(id));
            erasure.is_some_and(|e| e.status == ErasureStatus::Pending)
        })
    })
}
