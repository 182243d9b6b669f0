//! Everybody's face of one tenant, made ready to be searched: whether who enrols is a
//! customer already, under another name (ISO/IEC 2382-37: a gallery; ISO/IEC 19795-1: a
//! search, with its false-positive identification rate).
//!
//! Protects what must not be kept for it: the rows stand in memory only, made of the
//! templates that are stored anyway, under one transform whose key is the tenant's alone. So
//! no row is left of somebody who was erased, and rows of two tenants compare to nothing.
//! (An alert about somebody else goes on holding the random handle they had.)

mod rows;
mod search;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use zeroize::Zeroizing;

use self::rows::{BLOCK, Row, Rows};
pub use self::search::{Search, View};
use super::transform::{Owner, Transform, Transforms, padded};
use crate::core::{
    Content, Event, Modality, Recorded, SubjectHandle, Template, TenantKeySeeds, TenantState,
};
use crate::keys::{Prk, expand, of_tenant};

const DOMAIN: &[u8] = b"redoubt/duplicates-transform/v1";
/// Faces stored lately whose order is known. A search that took longer is made again.
const LATEST: usize = 4096;

/// One tenant's faces.
pub struct Gallery {
    templates: Arc<Transforms>,
    key: Prk,
    spaces: Vec<Faces>,
    places: BTreeMap<SubjectHandle, Place>,
    /// Whose records are malformed: there, and comparable with nobody.
    unread: BTreeSet<SubjectHandle>,
    /// Faces stored since this was made, and the latest of them with their numbers.
    stored: u64,
    latest: VecDeque<(u64, SubjectHandle)>,
}

/// Faces of one model.
struct Faces {
    model: String,
    transform: Arc<Transform>,
    rows: Rows,
}

/// Whose, and their row in which model's; none of a malformed record.
type Made = (SubjectHandle, Option<(usize, Row)>);

/// Where a face is: which model's, which row.
#[derive(Clone, Copy)]
struct Place {
    space: usize,
    row: usize,
}

impl Gallery {
    /// Of the tenant with these seeds, without anybody.
    pub fn new(seeds: &TenantKeySeeds) -> Self {
        Self {
            templates: Arc::new(Transforms::new(seeds)),
            key: of_tenant(seeds, DOMAIN),
            spaces: Vec::new(),
            places: BTreeMap::new(),
            unread: BTreeSet::new(),
            stored: 0,
            latest: VecDeque::new(),
        }
    }

    /// Of everybody in this state, by as many threads as there are processors. `None`
    /// before the tenant has keys, and if somebody would be left out.
    pub fn of(state: &TenantState) -> Option<Self> {
        let mut gallery = Self::new(state.keys.as_ref()?);
        let people = state.subjects.iter();
        let faces = people.filter_map(|(handle, one)| Some((*handle, one.face.as_deref()?)));
        let faces: Vec<(SubjectHandle, &Template)> = faces.collect();
        for (_, template) in &faces {
            gallery.space(template);
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // In parts, so that few rows are in memory twice.
        for part in faces.chunks(threads * BLOCK) {
            for (handle, row) in gallery.made(part)? {
                gallery.place(handle, row);
            }
        }
        Some(gallery)
    }

    /// Rows of these, a thread for each block of them; `None` if a thread ended before its end.
    fn made(&self, faces: &[(SubjectHandle, &Template)]) -> Option<Vec<Made>> {
        let make = |part: &[(SubjectHandle, &Template)]| -> Vec<Made> {
            let rows = part.iter();
            rows.map(|(handle, face)| (*handle, self.row(*handle, face)))
                .collect()
        };
        std::thread::scope(|scope| {
            let parts = faces.chunks(BLOCK);
            let running: Vec<_> = parts.map(|part| scope.spawn(move || make(part))).collect();
            let ended: Result<Vec<_>, _> = running.into_iter().map(|one| one.join()).collect();
            Some(ended.ok()?.into_iter().flatten().collect())
        })
    }

    /// Keeps up with what was applied to the state.
    pub fn follow(&mut self, recorded: &Recorded) {
        let Content::State(event) = &recorded.content else {
            return;
        };
        match &**event {
            Event::FaceEnrolled {
                handle, template, ..
            }
            | Event::FaceRenewed { handle, template } => {
                self.put(*handle, template);
            }
            Event::FaceErased { handle, .. } | Event::SubjectErased { handle, .. } => {
                self.remove(handle);
            }
            _ => {}
        }
    }

    /// How many faces there are, those of malformed records among them.
    pub fn count(&self) -> usize {
        self.places.len() + self.unread.len()
    }

    fn has(&self, person: &SubjectHandle) -> bool {
        self.places.contains_key(person) || self.unread.contains(person)
    }

    /// A copy to search in, of what is comparable with vectors of this model and size.
    /// `None` if the library refuses.
    pub fn view(&self, model: &str, dimension: usize) -> Option<View> {
        let unknown;
        let known = self.known(model, dimension);
        let faces = match known.and_then(|at| self.spaces.get(at)) {
            Some(known) => known,
            None => {
                unknown = self.without_rows(model, dimension)?;
                &unknown
            }
        };
        Some(View {
            model: model.to_owned(),
            transform: Arc::clone(&faces.transform),
            rows: faces.rows.clone(),
            stored: self.stored,
        })
    }

    fn put(&mut self, handle: SubjectHandle, template: &Template) {
        self.space(template);
        let row = self.row(handle, template);
        self.place(handle, row);
    }

    /// Where faces of this template's model are; made if there is none yet.
    fn space(&mut self, template: &Template) {
        let (model, dimension) = (&template.model, template.dimension.into());
        if self.known(model, dimension).is_none() {
            let made = self.without_rows(model, dimension);
            self.spaces.extend(made);
        }
    }

    fn without_rows(&self, model: &str, dimension: usize) -> Option<Faces> {
        let length = padded(dimension);
        let mut key = Zeroizing::new([0u8; 32]);
        let info = [&(length as u64).to_be_bytes()[..], model.as_bytes()];
        expand(&self.key, &info, &mut key[..]).ok()?;
        Some(Faces {
            model: model.to_owned(),
            transform: Arc::new(Transform::new(&key, length)?),
            rows: Rows::new(length),
        })
    }

    fn known(&self, model: &str, dimension: usize) -> Option<usize> {
        let mut all = self.spaces.iter();
        all.position(|one| one.model == model && one.rows.length() == padded(dimension))
    }

    /// A template as a row under the tenant's transform; `None` if its record is malformed.
    fn row(&self, handle: SubjectHandle, template: &Template) -> Option<(usize, Row)> {
        let space = self.known(&template.model, template.dimension.into())?;
        let owner = Owner {
            subject: handle,
            modality: Modality::Face,
        };
        let vector = Zeroizing::new(self.templates.revealed(&owner, template)?);
        let vector = Zeroizing::new(self.spaces.get(space)?.transform.apply(&vector)?);
        Some((space, Row::of(&vector)?))
    }

    /// A row in the place of the one before, or none.
    fn place(&mut self, handle: SubjectHandle, row: Option<(usize, Row)>) {
        self.remove(&handle);
        let Some((space, row)) = row else {
            self.unread.insert(handle);
            return;
        };
        let Some(faces) = self.spaces.get_mut(space) else {
            return;
        };
        let row = faces.rows.push(handle, &row);
        self.places.insert(handle, Place { space, row });
        self.stored += 1;
        self.latest.push_back((self.stored, handle));
        if self.latest.len() > LATEST {
            self.latest.pop_front();
        }
    }

    fn remove(&mut self, handle: &SubjectHandle) {
        self.unread.remove(handle);
        let Some(Place { space, row }) = self.places.remove(handle) else {
            return;
        };
        let faces = self.spaces.get_mut(space);
        if let Some(moved) = faces.and_then(|faces| faces.rows.take_out(row)) {
            self.places.insert(moved, Place { space, row });
        }
    }

    /// Faces stored behind that number, some of which may be gone; `None` if that is not
    /// known any more.
    fn stored_since(&self, number: u64) -> Option<impl Iterator<Item = SubjectHandle>> {
        let missing = self.stored.saturating_sub(number);
        let behind = self
            .latest
            .iter()
            .filter(move |(stored, _)| *stored > number);
        let known = missing <= self.latest.len() as u64;
        known.then(|| behind.map(|(_, handle)| *handle))
    }
}

#[cfg(test)]
mod tests;
