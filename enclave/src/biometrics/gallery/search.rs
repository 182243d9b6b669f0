//! One search: over a copy, beside the task that owns the state, and settled there.
//!
//! Protects against two who enrol one face at the same moment: neither search finds what
//! the other is about to store, so that what was stored since is compared when it is decided.

use std::sync::Arc;

use redoubt_shared::worker::Embedding;

use super::rows::{Rows, Sample};
use super::{Faces, Gallery, Place};
use crate::biometrics::transform::Transform;
use crate::biometrics::{CalibrationPoint, threshold_at};
use crate::core::{Searched, SubjectHandle};

/// Who is kept of those found, the most alike first: some may be gone when it is decided.
pub(super) const KEPT: usize = 16;
const MILLION: f64 = 1e6;

/// Faces of one model, as they were when this was made.
pub struct View {
    pub(super) model: String,
    pub(super) transform: Arc<Transform>,
    pub(super) rows: Rows,
    pub(super) stored: u64,
}

/// A search that waits to be settled.
pub struct Search {
    whose: SubjectHandle,
    model: String,
    sample: Sample,
    calibration: Vec<CalibrationPoint>,
    per_million: u32,
    /// The cosine that was to be reached, and the false-match rate of one comparison there.
    least: f32,
    rate: f64,
    pub(super) found: Vec<(SubjectHandle, f32)>,
    /// Whether more were found than are kept.
    more: bool,
    stored: u64,
}

impl View {
    /// Looks for another than `whose` with this face. Among n people a comparison may be
    /// false once in n × 1 000 000 / `per_million`, so that a search is false `per_million`
    /// times in a million at most; where the table does not go that far it ends there.
    /// `None` if the sample is no vector, or nothing was measured.
    pub fn search(
        &self,
        whose: SubjectHandle,
        sample: &Embedding,
        calibration: &[CalibrationPoint],
        per_million: u32,
    ) -> Option<Search> {
        let sample = Sample::of(&self.transform.apply(&sample.vector)?)?;
        let (least, rate) = threshold(calibration, per_million, self.rows.count())?;
        let mut found = self.rows.near(&sample, least);
        found.retain(|(person, _)| *person != whose);
        found.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let more = found.len() > KEPT;
        found.truncate(KEPT);
        Some(Search {
            whose,
            model: self.model.clone(),
            sample,
            calibration: calibration.to_vec(),
            per_million,
            least,
            rate,
            found,
            more,
            stored: self.stored,
        })
    }
}

impl Search {
    /// What it comes to, now that it is decided: with faces that were stored since, without
    /// those that are gone. `None` if too many were: it is to be made again.
    pub fn settled(&self, gallery: &Gallery) -> Option<Searched> {
        let since: Vec<SubjectHandle> = gallery.stored_since(self.stored)?.collect();
        let own = gallery.places.get(&self.whose);
        let all = gallery.count() - usize::from(gallery.has(&self.whose));
        let rows = self.faces(gallery).map_or(0, |faces| faces.rows.count());
        let at = gallery.known(&self.model, self.sample.length());
        let own_row = own.is_some_and(|place| Some(place.space) == at);
        let people = rows - usize::from(own_row);
        // More people than were searched ask for more; fewer for no less than was searched.
        let (least, rate) = threshold(&self.calibration, self.per_million, people)?;
        let (least, rate) = (least.max(self.least), rate.min(self.rate));
        let gone = |person| !gallery.places.contains_key(person) || since.contains(person);
        let before = self
            .found
            .iter()
            .filter(|(person, _)| !gone(person))
            .copied();
        let others = since.iter().filter(|person| **person != self.whose);
        let others = others.filter_map(|one| Some((*one, self.cosine(gallery, *one)?)));
        let found = before.chain(others);
        let found = found.filter(|(_, cosine)| *cosine >= least);
        let best = found.max_by(|(_, one), (_, other)| one.total_cmp(other));
        if best.is_none() && self.more {
            return None;
        }
        // A hair of tolerance, as where a single comparison is judged.
        let bound = people as f64 * rate * MILLION * (1.0 - 1e-9);
        Some(Searched {
            people: people as u64,
            incomparable: (all - people) as u64,
            per_million: bound.ceil().min(MILLION) as u32,
            found: best.map(|(person, _)| person),
        })
    }

    /// Where faces are that this sample is comparable with.
    fn faces<'a>(&self, gallery: &'a Gallery) -> Option<&'a Faces> {
        let at = gallery.known(&self.model, self.sample.length())?;
        gallery.spaces.get(at)
    }

    fn cosine(&self, gallery: &Gallery, person: SubjectHandle) -> Option<f32> {
        let Place { space, row } = *gallery.places.get(&person)?;
        let faces = gallery.spaces.get(space)?;
        let comparable = faces.model == self.model;
        comparable.then(|| faces.rows.cosine(row, &self.sample))?
    }
}

fn threshold(table: &[CalibrationPoint], per_million: u32, people: usize) -> Option<(f32, f64)> {
    threshold_at(
        table,
        f64::from(per_million) / MILLION / people.max(1) as f64,
    )
}
