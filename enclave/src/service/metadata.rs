//! FIDO metadata: verified at trusted time, kept, acted on.
//!
//! Protects against acting on half of it: a model that is compromised is barred
//! by the event that says so, and the work that follows is found in the state
//! after a crash, not in a task's memory.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_shared::TenantId;
use zeroize::Zeroizing;

use super::boot::Appliance;
use super::devices::put;
use super::problems::{commit, internal};
use super::serving::Serving;
use crate::api::{Caller, MetadataStatus, MetadataTaken, ModelStatus, Problem};
use crate::core::{Aaguid, Command, ModelsChanged, Refusal, Reply};
use crate::ledger::CommitError;
use crate::passkeys::metadata::{
    Condensed, Expectation, Metadata, MetadataError, Overdue, SIGNER, Seen, spelt, verify,
};

/// How often reports that come into force later are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

impl Appliance {
    pub(super) async fn put_metadata(
        &self,
        caller: &Caller,
        blob: Zeroizing<Vec<u8>>,
    ) -> Result<MetadataTaken, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let roots = serving.tenant(&caller.tenant)?.rules.metadata_roots();
        let roots = roots.ok_or_else(Problem::metadata_not_configured)?;
        let last = metadata(&serving, &caller.tenant).await?;
        let last = last.map(|metadata| metadata.seen());
        // Some milliseconds of parsing: not where other requests wait.
        let judged = tokio::task::spawn_blocking(move || judge(&blob, &roots, now_ms, last));
        let judged = judged.await.map_err(|_| internal("a task failed"))?;
        let condensed = judged.map_err(refused)?;
        let condensed = condensed.ok_or_else(|| refused(MetadataError::TooLarge))?;
        let (number, models) = (condensed.seen().number, condensed.models_at(now_ms).count());
        let next_update = condensed.next_update().map(|day| day.to_string());
        let overdue = condensed.is_overdue_at(now_ms);
        let command = Command::TakeMetadata {
            metadata: Box::new(condensed),
        };
        let (reply, _) = self.decide(&serving, caller, command, now_ms).await?;
        let Reply::Models(changed) = reply else {
            return Err(internal("metadata without a change"));
        };
        let acted = act(&serving, &caller.tenant).await;
        let ModelsChanged {
            compromised,
            cleared,
        } = *changed;
        Ok(MetadataTaken {
            number,
            previous_number: last.map(|last| last.number),
            next_update,
            overdue,
            models: models as u64,
            compromised: compromised
                .iter()
                .map(|(aaguid, status)| shown(aaguid, status.compromise()))
                .collect(),
            cleared: cleared.iter().map(spelt).collect(),
            suspended: acted.map_err(|error| commit(error, now_ms))?,
        })
    }

    pub(super) async fn get_metadata(&self, caller: &Caller) -> Result<MetadataStatus, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let tenant = caller.tenant.clone();
        let look = serving.ledgers.look(move |core| {
            let models = core.tenants.get(&tenant).map(|core| &core.state.models);
            models.cloned().unwrap_or_default()
        });
        let models = look.await.map_err(|error| commit(error, now_ms))?;
        let metadata = models.metadata.as_ref();
        let listed = metadata.into_iter().flat_map(|m| m.models_at(now_ms));
        let listed: Vec<ModelStatus> = listed
            .map(|(aaguid, report)| shown(&aaguid, report.and_then(|r| r.status.compromise())))
            .collect();
        let next_update = metadata.and_then(|metadata| metadata.next_update());
        Ok(MetadataStatus {
            number: metadata.map(|metadata| metadata.seen().number),
            next_update: next_update.map(|day| day.to_string()),
            overdue: metadata.is_some_and(|metadata| metadata.is_overdue_at(now_ms)),
            compromised: listed.iter().filter(|model| model.status.is_some()).count() as u64,
            suspended: models
                .acting
                .values()
                .fold(models.suspended, |sum, n| sum + n),
            acting: !models.acting.is_empty(),
            models: listed,
        })
    }

    /// Goes on with what a crash left, then looks again from time to time, for as
    /// long as this serving lives.
    pub(super) fn watch_models(self: &Arc<Self>, serving: &Arc<Serving>) {
        let serving: Weak<Serving> = Arc::downgrade(serving);
        tokio::spawn(async move {
            while let Some(serving) = serving.upgrade() {
                for tenant in serving.tenants.keys() {
                    if let Err(error) = look_again(&serving, tenant).await {
                        tracing::warn!(%error, "models were not looked at; the next hour will");
                    }
                }
                drop(serving);
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
    }
}

/// What is kept of the last BLOB.
pub(super) async fn metadata(
    serving: &Serving,
    tenant: &TenantId,
) -> Result<Option<Arc<Condensed>>, Problem> {
    let tenant = tenant.clone();
    let look = serving
        .ledgers
        .look(move |core| core.tenants.get(&tenant)?.state.models.metadata.clone());
    look.await.map_err(|error| commit(error, 0))
}

fn judge(
    blob: &[u8],
    roots: &[Vec<u8>],
    now_ms: u64,
    last: Option<Seen>,
) -> Result<Option<Condensed>, MetadataError> {
    let expected = Expectation {
        roots,
        signer: SIGNER,
        now_ms,
        last,
        // Late news of a compromise is better than none.
        overdue: Overdue::Accept,
    };
    // Editors end files with a line break; it is no part of a JWS.
    let blob = blob.strip_suffix(b"\n").unwrap_or(blob);
    let blob = blob.strip_suffix(b"\r").unwrap_or(blob);
    verify(blob, &expected).map(|metadata: Metadata| Condensed::of(&metadata))
}

/// A BLOB that is not taken.
pub(super) fn refused(error: MetadataError) -> Problem {
    let hint = match error {
        MetadataError::Untrusted => {
            " Its root is none of passkeys.metadata.roots in the tenant's signed configuration."
        }
        _ => "",
    };
    Problem::metadata_refused()
        .detail(format!("{}: {error}.{hint}", error.reason()))
        .because(error.reason())
}

async fn look_again(serving: &Serving, tenant: &TenantId) -> Result<(), CommitError> {
    serving.ledgers.decide(tenant, Command::JudgeModels).await?;
    act(serving, tenant).await.map(drop)
}

/// Suspends every device of the models that are acted on; answers how many.
/// Each has a claim of its own; those of a step share a batch. One at a time for a
/// tenant, so that nobody is told twice.
async fn act(serving: &Serving, tenant: &TenantId) -> Result<u64, CommitError> {
    let turn = serving.tenants.get(tenant).map(|own| &own.acting);
    let _turn = match turn {
        Some(turn) => Some(turn.lock().await),
        None => None,
    };
    let acting = {
        let tenant = tenant.clone();
        let look = move |core: &crate::ledger::Core| -> Option<Vec<Aaguid>> {
            let models = &core.tenants.get(&tenant)?.state.models;
            Some(models.acting.keys().copied().collect())
        };
        serving.ledgers.look(look).await?.unwrap_or_default()
    };
    if acting.is_empty() {
        return Ok(0);
    }
    let (mut behind, mut suspended) = (None, 0);
    loop {
        let step = {
            let tenant = tenant.clone();
            let look = serving.ledgers.look(move |core| {
                let core = core.tenants.get(&tenant);
                core.map(|core| core.state.to_suspend(behind))
            });
            look.await?.unwrap_or_default()
        };
        let found = step.found.into_iter();
        let suspensions = found.map(|device| put(serving, tenant, device));
        for outcome in futures::future::join_all(suspensions).await {
            match outcome {
                Ok(_) => suspended += 1,
                // Erased in between, or out of use for good.
                Err(CommitError::Refused(
                    Refusal::UnknownSubject | Refusal::UnknownDevice | Refusal::DeviceClosed,
                )) => {}
                Err(error) => return Err(error),
            }
        }
        behind = step.next;
        if behind.is_none() {
            break;
        }
    }
    let conclude = Command::ConcludeModels { models: acting };
    serving.ledgers.decide(tenant, conclude).await?;
    Ok(suspended)
}

fn shown(aaguid: &Aaguid, status: Option<&'static str>) -> ModelStatus {
    ModelStatus {
        aaguid: spelt(aaguid),
        status,
    }
}
