//! Searches among all persons, as an enrolment makes them: the enclave's own gallery, rows
//! and threshold. Each person's first image stands in it.

use anyhow::{Context, Result};
use redoubt_enclave::biometrics::{Gallery, Made, Owner, Transforms};
use redoubt_enclave::core::{Content, Event, Modality, Recorded, SubjectHandle, TenantKeySeeds};
use redoubt_shared::EnrollmentId;
use redoubt_shared::worker::Embedding;
use serde_json::{Value, json};

use super::{Run, vector};

/// Searches for strangers that may find somebody, of a million.
const ASKED: [u32; 3] = [1_000, 10_000, 100_000];
/// Who has no face here.
const NOBODY: SubjectHandle = SubjectHandle([0xff; 16]);

fn handle(person: u32) -> SubjectHandle {
    let mut handle = [0; 16];
    handle[..4].copy_from_slice(&person.to_be_bytes());
    SubjectHandle(handle)
}

/// How many further images find their person, and how many images of persons who are left
/// out find somebody.
pub(super) fn count(run: &Run) -> Result<Vec<Value>> {
    let seeds = TenantKeySeeds {
        es256: [1; 32],
        mldsa65: [2; 32],
    };
    let (transforms, mut gallery) = (Transforms::new(&seeds), Gallery::new(&seeds));
    let (mut there, mut images) = (None, Vec::new());
    for (image, outcome) in run.images.iter().zip(&run.outcomes) {
        let Some(vector) = vector(&run.space, outcome)? else {
            continue;
        };
        let model = run.space.id.clone();
        let face = Embedding { model, vector };
        let first = there.replace(image.person) != Some(image.person);
        if first {
            let subject = handle(image.person);
            gallery.follow(&enrolled(&transforms, subject, &face)?);
        }
        images.push((image.person, face, first));
    }
    let counted = ASKED
        .iter()
        .map(|asked| one(run, &gallery, &images, *asked));
    counted.collect()
}

fn one(
    run: &Run,
    gallery: &Gallery,
    images: &[(u32, Embedding, bool)],
    asked: u32,
) -> Result<Value> {
    let [mut further, mut found, mut others, mut false_finds] = [0u32; 4];
    for (person, face, first) in images {
        let view = gallery.view(&face.model, face.vector.len());
        let view = view.context("no view")?;
        let search = |whose| {
            let search = view.search(whose, face, &run.space.calibration, asked);
            let searched = search.and_then(|search| search.settled(gallery));
            searched.map(|searched| searched.found).context("no search")
        };
        if !first {
            let who = search(NOBODY)?;
            further += 1;
            found += u32::from(who == Some(handle(*person)));
            others += u32::from(who.is_some_and(|who| who != handle(*person)));
        }
        // Their own row is not looked at.
        false_finds += u32::from(search(handle(*person))?.is_some());
    }
    Ok(json!({
        "asked_per_million": asked,
        "people": gallery.count(),
        "further_images": further,
        "found": found,
        "found_another": others,
        "strangers_searched": images.len(),
        "strangers_found": false_finds,
    }))
}

fn enrolled(transforms: &Transforms, subject: SubjectHandle, face: &Embedding) -> Result<Recorded> {
    let owner = Owner {
        subject,
        modality: Modality::Face,
    };
    let made = Made {
        quality: 1.0,
        worker_tier: "process",
        at_ms: 0,
    };
    let template = transforms.protected(&owner, 1, face, made);
    let event = Event::FaceEnrolled {
        id: EnrollmentId::from_bytes([0; 16]),
        handle: subject,
        template: Box::new(template.context("no template")?),
    };
    Ok(Recorded {
        owner: None,
        content: Content::State(Box::new(event)),
    })
}
