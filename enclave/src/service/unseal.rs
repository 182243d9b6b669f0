//! Taking officers' shares until k of them open the root.
//!
//! Protects against shares that were meant for another boot, another appliance
//! or another history: each is sealed to this boot's attested key, under data
//! that names an unseal document issued here, the genesis, its counter and the
//! highest ledger head its officer has seen, and all k must name the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use redoubt_attestation::binding::Head;
use redoubt_attestation::genesis::VerifiedGenesis;
use redoubt_attestation::shares::{OfficersSecret, Share, UnsealAad, combine};
use redoubt_shared::supervise::Phase;

use super::boot::{Appliance, Stage};
use super::problems::internal;
use super::recover::Opening;
use crate::api::{Problem, ShareAccepted, ShareSubmission};
use crate::ledger::StoreClient;

/// Shares received at this boot, by officer.
pub(super) struct Shares {
    needed: u8,
    received: BTreeMap<String, (Option<Head>, Share)>,
}

impl Shares {
    pub(super) fn new(needed: u8) -> Self {
        Self {
            needed,
            received: BTreeMap::new(),
        }
    }

    pub(super) fn received(&self) -> u32 {
        self.received.len() as u32
    }

    pub(super) fn needed(&self) -> u32 {
        u32::from(self.needed)
    }

    /// Combines the shares; on failure all are forgotten so that officers can begin again.
    pub(super) fn combined(
        &mut self,
        genesis: &VerifiedGenesis,
    ) -> Result<OfficersSecret, Problem> {
        let received = std::mem::take(&mut self.received);
        let list: Vec<Share> = received.into_values().map(|(_, share)| share).collect();
        let secret = combine(&list).map_err(|_| {
            Problem::share_refused()
                .detail("The shares do not fit together; all must be sent again.")
        })?;
        if secret.commitment() != genesis.manifest.secret_commitment {
            return Err(Problem::share_refused()
                .detail("The shares do not open this appliance; all must be sent again."));
        }
        Ok(secret)
    }

    /// Adds one. All must name the same head: one that does not ends this round,
    /// so that nobody's earlier or false share can hold the officers up.
    pub(super) fn add(
        &mut self,
        officer: String,
        head: Option<Head>,
        share: Share,
    ) -> Result<(), Problem> {
        let others = self.received.iter().filter(|(other, _)| **other != officer);
        if others.into_iter().any(|(_, (other, _))| *other != head) {
            self.received.clear();
            return Err(Problem::shares_disagree());
        }
        self.received.insert(officer, (head, share));
        Ok(())
    }
}

impl Appliance {
    /// Takes one share. With the last one needed, recovery starts; while serving,
    /// shares are of officers to come.
    pub(super) async fn take_share(
        self: &Arc<Self>,
        submission: ShareSubmission,
    ) -> Result<ShareAccepted, Problem> {
        match self.serving() {
            Ok(serving) => self.take_successor_share(serving, submission).await,
            Err(_) => self.take_unseal_share(&submission),
        }
    }

    /// Opens a share for the officers of `genesis`.
    pub(super) fn opened_share(
        &self,
        submission: &ShareSubmission,
        genesis: &VerifiedGenesis,
    ) -> Result<(String, Option<Head>, Share), Problem> {
        let aad = self.checked_aad(submission.aad.as_slice(), genesis)?;
        let officer = submission.officer.as_str().to_owned();
        let officers = &genesis.manifest.officers;
        let Some(place) = officers.iter().position(|known| known.id == officer) else {
            return Err(
                Problem::share_refused().detail("The genesis manifest names no such officer.")
            );
        };
        let share = self
            .keys
            .unseal
            .open_share(
                submission.aad.as_slice(),
                submission.enc.as_slice(),
                submission.ciphertext.as_slice(),
            )
            .map_err(|_| Problem::share_refused())?;
        let fits = share.officer == officer
            && usize::from(share.index) == place + 1
            && share.k == genesis.manifest.threshold
            && usize::from(share.n) == officers.len();
        if !fits {
            return Err(
                Problem::share_refused().detail("The share belongs to another officer or set.")
            );
        }
        Ok((officer, aad.head, share))
    }

    fn take_unseal_share(
        self: &Arc<Self>,
        submission: &ShareSubmission,
    ) -> Result<ShareAccepted, Problem> {
        let (officer, head, share) = self.opened_share(submission, &self.genesis)?;
        let mut stage = self.stage();
        let Stage::Awaiting { shares, .. } = &mut *stage else {
            return Err(Problem::not_serving());
        };
        shares.add(officer, head, share)?;
        let (received, needed) = (shares.received(), shares.needed());
        if received < needed {
            return Ok(ShareAccepted {
                received,
                needed,
                phase: Phase::AwaitingUnseal,
            });
        }
        let secret = shares.combined(&self.genesis)?;
        if let Stage::Awaiting { store, .. } = std::mem::replace(&mut *stage, Stage::Recovering) {
            let appliance = Arc::clone(self);
            let opening = Opening {
                secret,
                remembered: head,
                taken: None,
            };
            tokio::spawn(async move { appliance.recover(opening, store).await });
        }
        Ok(ShareAccepted {
            received,
            needed,
            phase: Phase::Recovering,
        })
    }

    fn checked_aad(&self, bytes: &[u8], genesis: &VerifiedGenesis) -> Result<UnsealAad, Problem> {
        let aad = UnsealAad::parse(bytes).map_err(|_| Problem::share_refused())?;
        let issued = self
            .unseal_documents
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if !issued.contains(&aad.document) {
            return Err(Problem::unknown_document());
        }
        if aad.genesis != genesis.digest || aad.counter != genesis.manifest.counter {
            return Err(Problem::share_refused()
                .detail("The share was sealed for another genesis manifest."));
        }
        Ok(aad)
    }

    /// Recovery, as its own task: ends in serving or halted.
    pub(super) async fn recover(self: Arc<Self>, opening: Opening, store: StoreClient) {
        match self.open_ledgers(opening, store).await {
            Ok(serving) => {
                let mut stage = self.stage();
                if matches!(*stage, Stage::Recovering) {
                    *stage = Stage::Serving(serving);
                    tracing::info!("serving");
                }
            }
            Err(reason) => self.halt(&reason),
        }
    }

    /// Whether the enclave serves, or the problem that says it does not.
    pub(super) fn serving(&self) -> Result<Arc<super::serving::Serving>, Problem> {
        match &*self.stage() {
            Stage::Serving(serving) => Ok(Arc::clone(serving)),
            Stage::HandingOver => Err(Problem::handing_over()),
            _ => Err(Problem::not_serving()),
        }
    }

    /// Trusted time, or the problem that there is none.
    pub(super) fn time(&self) -> Result<u64, Problem> {
        self.clock
            .now_ms()
            .ok_or_else(|| internal("no trusted time"))
    }
}
