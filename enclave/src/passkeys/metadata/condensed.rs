//! What is kept of a BLOB: models that an AAGUID names, what is reported of each,
//! and their roots, each once.
//!
//! Protects against a state that grows with a file of megabytes: the real BLOB
//! of 4 MB becomes about 125 kB, and one that would stay too large is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::Date;

use super::super::attestation::TrustRoot;
use super::status::{Status, StatusReport, deciding};
use super::{Entry, Metadata, Seen, day_of};

/// Bytes of what is kept. With it a piece of a snapshot fits half a blob of the store,
/// as it has to.
const MAX_BYTES: usize = 500 * 1024;

/// A BLOB that was accepted, as far as it is acted on. Stored: fields are fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condensed {
    number: u64,
    digest: [u8; 32],
    /// Julian day.
    next_update: Option<i32>,
    roots: Vec<Vec<u8>>,
    models: Vec<Model>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Model {
    aaguid: [u8; 16],
    /// Julian days.
    reports: Vec<(Status, Option<i32>)>,
    /// Places among all roots.
    roots: Vec<u16>,
}

impl Model {
    /// The report that decides on a day.
    fn deciding(&self, day: Date) -> Option<StatusReport> {
        let reports: Vec<StatusReport> = self.reports.iter().map(read).collect();
        deciding(&reports, day).cloned()
    }
}

impl Condensed {
    /// Of a BLOB that verified; none if too much would have to be kept. Entries
    /// without AAGUID are left out, and so is the AAGUID of zeros: it names no model.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let mut roots: Vec<Vec<u8>> = Vec::new();
        let mut models = Vec::new();
        for entry in &metadata.entries {
            let Some(aaguid) = entry.aaguid.filter(|aaguid| *aaguid != [0; 16]) else {
                continue;
            };
            models.push(Model {
                aaguid,
                reports: entry.reports.iter().map(stored).collect(),
                roots: places(entry, &mut roots)?,
            });
        }
        let condensed = Self {
            number: metadata.seen.number,
            digest: metadata.seen.digest,
            next_update: metadata.next_update.map(Date::to_julian_day),
            roots,
            models,
        };
        (condensed.stored_bytes() <= MAX_BYTES).then_some(condensed)
    }

    /// Bytes that it takes in the ledger.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        postcard::to_stdvec(self).map_or(usize::MAX, |bytes| bytes.len())
    }

    /// Which BLOB it was.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen {
            number: self.number,
            digest: self.digest,
        }
    }

    /// The day by which the next one is there.
    #[must_use]
    pub fn next_update(&self) -> Option<Date> {
        Date::from_julian_day(self.next_update?).ok()
    }

    /// Whether that day has passed at a time in Unix milliseconds.
    #[must_use]
    pub fn is_overdue_at(&self, now_ms: u64) -> bool {
        self.next_update().is_some_and(|day| day < day_of(now_ms))
    }

    /// Each model with the report that decides at a time in Unix milliseconds.
    pub fn models_at(&self, now_ms: u64) -> impl Iterator<Item = ([u8; 16], Option<StatusReport>)> {
        let day = day_of(now_ms);
        let models = self.models.iter();
        models.map(move |model| (model.aaguid, model.deciding(day)))
    }

    /// The models that are revoked or compromised at a time in Unix milliseconds.
    /// One of several entries of a model is enough.
    #[must_use]
    pub fn compromised_at(&self, now_ms: u64) -> BTreeMap<[u8; 16], Status> {
        let models = self.models_at(now_ms);
        let deciding = models.filter_map(|(aaguid, report)| Some((aaguid, report?.status)));
        deciding
            .filter(|(_, status)| status.compromise().is_some())
            .collect()
    }

    /// Whether one model is.
    #[must_use]
    pub fn is_compromised_at(&self, aaguid: &[u8; 16], now_ms: u64) -> bool {
        let day = day_of(now_ms);
        let entries = self.models.iter().filter(|model| model.aaguid == *aaguid);
        let mut reports = entries.filter_map(|model| model.deciding(day));
        reports.any(|report| report.status.compromise().is_some())
    }

    /// Every model's roots, for judging attestation statements.
    #[must_use]
    pub fn trust_roots(&self) -> Vec<TrustRoot> {
        let mut all = Vec::new();
        for model in &self.models {
            let roots = model.roots.iter();
            let roots = roots.filter_map(|place| self.roots.get(usize::from(*place)));
            all.extend(roots.map(|der| TrustRoot::of_read(der, model.aaguid)));
        }
        all
    }
}

fn stored(report: &StatusReport) -> (Status, Option<i32>) {
    (report.status, report.effective.map(Date::to_julian_day))
}

fn read((status, day): &(Status, Option<i32>)) -> StatusReport {
    StatusReport {
        status: *status,
        effective: day.and_then(|day| Date::from_julian_day(day).ok()),
    }
}

/// Where an entry's roots are, after those that are new were added.
fn places(entry: &Entry, roots: &mut Vec<Vec<u8>>) -> Option<Vec<u16>> {
    let mut places = Vec::new();
    for der in &entry.roots {
        let at = roots.iter().position(|known| known == der);
        let at = at.unwrap_or_else(|| {
            roots.push(der.clone());
            roots.len() - 1
        });
        places.push(u16::try_from(at).ok()?);
    }
    Some(places)
}
