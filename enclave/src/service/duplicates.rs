//! Looking for who enrols a face among the tenant's other customers.
//!
//! Protects the one task that owns the state: it hands a copy out and settles what a search
//! on another thread came to.

use redoubt_attestation::genesis::Tenant;

use super::boot::Appliance;
use super::problems::{commit, internal};
use super::serving::Serving;
use super::templates::Fresh;
use crate::api::{Caller, Problem};
use crate::biometrics::{Owner, Search};
use crate::core::{DuplicateRules, Modality};

/// What this tenant's officers decided; none where nobody is looked for.
pub(super) fn rules(tenant: &Tenant) -> Option<DuplicateRules> {
    let policy = tenant.duplicate_faces.filter(|policy| policy.is_on())?;
    Some(DuplicateRules {
        refuse: policy.refuses(),
        per_million: policy.false_positives(),
        refused_per_day: policy.refused_per_day(),
    })
}

impl Appliance {
    /// The search that an enrolment is decided with; none of a voice, nor where nobody is
    /// looked for.
    pub(super) async fn sought(
        &self,
        serving: &Serving,
        caller: &Caller,
        owner: &Owner,
        fresh: &Fresh,
    ) -> Result<Option<Search>, Problem> {
        let rules = rules(&serving.tenant(&caller.tenant)?.config);
        let Some(rules) = rules.filter(|_| owner.modality == Modality::Face) else {
            return Ok(None);
        };
        let embedding = fresh.embedding.clone();
        let space = self.space(Modality::Face, &embedding.model);
        let calibration = space.map(|space| space.calibration.clone());
        let calibration = calibration.ok_or_else(|| internal("a face of no space"))?;
        let (tenant, whose) = (caller.tenant.clone(), owner.subject);
        let (model, dimension) = (embedding.model.clone(), embedding.vector.len());
        let view = serving.ledgers.look(move |core| {
            let gallery = core.tenants.get(&tenant)?.gallery.as_ref()?;
            gallery.view(&model, dimension)
        });
        let view = view.await.map_err(|error| commit(error, fresh.at_ms))?;
        let view = view.ok_or_else(|| internal("there is nothing to search"))?;
        let search = move || view.search(whose, &embedding, &calibration, rules.per_million);
        let search = tokio::task::spawn_blocking(search).await;
        let search = search.map_err(|_| internal("a search ended without an answer"))?;
        Ok(Some(
            search.ok_or_else(|| internal("no search could be made"))?,
        ))
    }
}
