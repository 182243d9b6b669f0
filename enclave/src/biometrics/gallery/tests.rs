//! Who is found and who is not: vectors of a fixed sequence.

use redoubt_shared::EnrollmentId;
use redoubt_shared::worker::Embedding;

use super::*;
use crate::biometrics::protected_tests::Draws;
use crate::biometrics::{CalibrationPoint, Made};
use crate::core::{Erasure, ErasureScope, ErasureStatus, Searched, apply};

const TABLE: [CalibrationPoint; 2] = [
    CalibrationPoint {
        false_match_rate: 1e-2,
        cosine: 0.4,
    },
    CalibrationPoint {
        false_match_rate: 1e-5,
        cosine: 0.6,
    },
];
/// One search in a hundred.
const ASKED: u32 = 10_000;

fn seeds(tenant: u8) -> TenantKeySeeds {
    TenantKeySeeds {
        es256: [tenant; 32],
        mldsa65: [9; 32],
    }
}

fn person(n: u8) -> SubjectHandle {
    SubjectHandle([n; 16])
}

/// Faces at random, and their templates as one tenant keeps them.
struct Room {
    tenant: u8,
    draws: Draws,
    gallery: Gallery,
}

impl Room {
    fn new(tenant: u8) -> Self {
        Self {
            tenant,
            draws: Draws(5),
            gallery: Gallery::new(&seeds(tenant)),
        }
    }

    fn face(&mut self, model: &str) -> Embedding {
        embedding(model, &self.draws.direction(256))
    }

    /// Another picture of somebody, at this cosine.
    fn again(&mut self, face: &Embedding, cosine: f64) -> Embedding {
        let before: Vec<f64> = face.vector.iter().map(|value| f64::from(*value)).collect();
        embedding(&face.model, &self.draws.near(&before, cosine))
    }

    fn template(&self, of: SubjectHandle, number: u32, face: &Embedding) -> Box<Template> {
        let made = Made {
            quality: 1.0,
            worker_tier: "process",
            at_ms: 1,
        };
        let owner = Owner {
            subject: of,
            modality: Modality::Face,
        };
        let transforms = Transforms::new(&seeds(self.tenant));
        Box::new(transforms.protected(&owner, number, face, made).unwrap())
    }

    fn enrol(&mut self, n: u8, face: &Embedding) -> Recorded {
        let event = state(Event::FaceEnrolled {
            id: EnrollmentId::from_bytes([n; 16]),
            handle: person(n),
            template: self.template(person(n), 1, face),
        });
        self.gallery.follow(&event);
        event
    }

    fn begin(&self, n: u8, face: &Embedding) -> Search {
        let view = self.gallery.view(&face.model, face.vector.len()).unwrap();
        view.search(person(n), face, &TABLE, ASKED).unwrap()
    }

    fn search(&self, n: u8, face: &Embedding) -> Searched {
        self.begin(n, face).settled(&self.gallery).unwrap()
    }
}

fn embedding(model: &str, vector: &[f64]) -> Embedding {
    Embedding {
        model: model.into(),
        vector: vector.iter().map(|value| *value as f32).collect(),
    }
}

fn state(event: Event) -> Recorded {
    Recorded {
        owner: None,
        content: Content::State(Box::new(event)),
    }
}

fn erased(n: u8) -> Recorded {
    state(Event::SubjectErased {
        handle: person(n),
        id: redoubt_shared::ErasureId::from_bytes([n; 16]),
        erasure: Erasure {
            scope: ErasureScope::Subject,
            epoch: 0,
            requested_ms: 1,
            receipt: redoubt_shared::ReceiptId::from_bytes([n; 16]),
            status: ErasureStatus::Pending,
            depends_on: Vec::new(),
            statements: Vec::new(),
        },
    })
}

#[test]
fn the_same_face_under_another_name_is_found_and_nobody_else() {
    let mut room = Room::new(1);
    let faces: Vec<Embedding> = (0..50).map(|_| room.face("m")).collect();
    for (n, face) in faces.iter().enumerate() {
        room.enrol(n as u8, face);
    }
    for (n, face) in faces.iter().enumerate() {
        let again = room.again(face, 0.7);
        let found = room.search(200, &again);
        assert_eq!((found.people, found.found), (50, Some(person(n as u8))));
        // Who enrols again is no duplicate of themselves.
        let own = room.search(n as u8, &again);
        assert_eq!((own.people, own.found), (49, None));
        let stranger = room.face("m");
        assert_eq!(room.search(201, &stranger).found, None);
    }
    // 0.4 is one in a hundred; among fifty that is not enough for one in a hundred searches.
    let near = room.again(&faces[3], 0.45);
    assert_eq!(room.search(200, &near).found, None);
    assert_eq!(room.search(200, &near).per_million, ASKED);
}

#[test]
fn the_bound_is_told_where_the_table_ends() {
    let mut room = Room::new(1);
    for n in 0..200 {
        let face = room.face("m");
        room.enrol(n, &face);
    }
    let face = room.face("m");
    let view = room.gallery.view("m", 256).unwrap();
    let told = |per_million| {
        let search = view.search(person(250), &face, &TABLE, per_million);
        search.unwrap().settled(&room.gallery).unwrap().per_million
    };
    // 200 × 1e-5 are 2000 in a million: less was not measured.
    assert_eq!(
        [told(10_000), told(2000), told(1999), told(1)],
        [10_000, 2000, 2000, 2000]
    );
    assert!(view.search(person(1), &face, &[], ASKED).is_none());
}

#[test]
fn another_model_s_faces_and_another_tenant_s_are_not_compared() {
    let (mut room, mut other) = (Room::new(1), Room::new(2));
    let face = room.face("m");
    room.enrol(1, &face);
    other.enrol(1, &face);
    assert_eq!(room.search(2, &face).found, Some(person(1)));
    // The same vector, called by another model's name.
    let strange = embedding(
        "other",
        &face
            .vector
            .iter()
            .map(|v| f64::from(*v))
            .collect::<Vec<_>>(),
    );
    let found = room.search(2, &strange);
    assert_eq!(
        (found.people, found.incomparable, found.found),
        (0, 1, None)
    );
    // The same model's name at another size; also of who is there themselves.
    let large = embedding("m", &room.draws.direction(512));
    for (whose, incomparable) in [(2, 1), (1, 0)] {
        let found = room.search(whose, &large);
        let expected = (0, incomparable, None);
        assert_eq!((found.people, found.incomparable, found.found), expected);
    }
    // Two tenants' rows of one face are not alike.
    let (one, two) = (
        room.gallery.view("m", 256).unwrap(),
        other.gallery.view("m", 256).unwrap(),
    );
    let sample = rows::Sample::of(&one.transform.apply(&face.vector).unwrap()).unwrap();
    let cosine = |view: &View| view.rows.near(&sample, -2.0)[0].1;
    assert!(
        cosine(&one) > 0.995 && cosine(&two).abs() < 0.3,
        "{} {}",
        cosine(&one),
        cosine(&two)
    );
}

#[test]
fn who_is_erased_enrols_again_or_is_renewed_is_found_as_they_are_now() {
    let mut room = Room::new(1);
    let faces: Vec<Embedding> = (0..3).map(|_| room.face("m")).collect();
    for (n, face) in faces.iter().enumerate() {
        room.enrol(n as u8, face);
    }
    room.gallery.follow(&erased(0));
    assert_eq!(room.search(9, &faces[0]).found, None);
    assert_eq!(
        room.search(9, &faces[2]).found,
        Some(person(2)),
        "its row moved"
    );
    // Another face under the name: the one before is gone.
    let new = room.face("m");
    room.enrol(1, &new);
    assert_eq!(room.search(9, &faces[1]).found, None);
    assert_eq!(room.search(9, &new).found, Some(person(1)));
    let owner = Owner {
        subject: person(2),
        modality: Modality::Face,
    };
    let template = room.template(person(2), 1, &faces[2]);
    let renewed = Transforms::new(&seeds(1))
        .renewed(&owner, &template, 2)
        .unwrap();
    let template = Box::new(renewed);
    room.gallery.follow(&state(Event::FaceRenewed {
        handle: person(2),
        template,
    }));
    assert_eq!(room.search(9, &faces[2]).found, Some(person(2)));
    assert_eq!(room.gallery.count(), 2);
    // A record that is none is nobody's, and takes its place away.
    let mut broken = room.template(person(2), 3, &faces[2]);
    broken.values.truncate(5);
    room.gallery.follow(&state(Event::FaceRenewed {
        handle: person(2),
        template: broken,
    }));
    let found = room.search(9, &faces[2]);
    let expected = (1, 1, None);
    assert_eq!((found.people, found.incomparable, found.found), expected);
    room.gallery.follow(&erased(2));
    assert_eq!(room.search(9, &faces[2]).incomparable, 0);
}

#[test]
fn what_is_stored_or_erased_while_a_search_goes_on_counts_when_it_is_settled() {
    let mut room = Room::new(1);
    let face = room.face("m");
    let again = room.again(&face, 0.8);
    // Two at once: both searches begin before either is stored.
    let (one, two) = (room.begin(1, &face), room.begin(2, &again));
    assert_eq!(one.settled(&room.gallery).unwrap().found, None);
    room.enrol(1, &face);
    let found = two.settled(&room.gallery).unwrap();
    assert_eq!((found.people, found.found), (1, Some(person(1))));
    // Erased in between: not found, though the copy that was searched has the row.
    let search = room.begin(3, &again);
    room.gallery.follow(&erased(1));
    assert_eq!(search.settled(&room.gallery).unwrap().found, None);
    // Another face in between, under a name that was found.
    room.enrol(1, &face);
    let search = room.begin(3, &again);
    let new = room.face("m");
    room.enrol(1, &new);
    assert_eq!(search.settled(&room.gallery).unwrap().found, None);
    // More were found than are kept, all that are kept are gone, and who came since is a
    // stranger: it is made again, since one who was cut off may be found.
    for n in 10..28 {
        room.enrol(n, &again);
    }
    let search = room.begin(3, &again);
    assert!(search.settled(&room.gallery).unwrap().found.is_some());
    let kept: Vec<u8> = search.found.iter().map(|(one, _)| one.0[0]).collect();
    kept.iter()
        .for_each(|one| room.gallery.follow(&erased(*one)));
    room.enrol(28, &new);
    assert!(kept.len() == search::KEPT && search.settled(&room.gallery).is_none());
    let made_again = room.search(3, &again).found.unwrap();
    assert!(!kept.contains(&made_again.0[0]));
    // More than is remembered: it is made again.
    let search = room.begin(3, &again);
    for _ in 0..LATEST {
        room.enrol(4, &new);
    }
    assert!(search.settled(&room.gallery).is_some());
    room.enrol(4, &new);
    assert!(search.settled(&room.gallery).is_none());
}

#[test]
fn a_gallery_made_of_a_state_finds_what_the_one_that_followed_finds() {
    let mut room = Room::new(1);
    let mut whole = TenantState {
        keys: Some(seeds(1)),
        ..TenantState::default()
    };
    let mut faces = Vec::new();
    for n in 0..40 {
        let key = crate::core::SubjectKey::new([n; 32]);
        let handle = person(n);
        apply(&mut whole, &state(Event::SubjectOpened { handle, key }));
        let face = room.face(if n % 4 == 0 { "old" } else { "m" });
        apply(&mut whole, &room.enrol(n, &face));
        faces.push(face);
    }
    // As a start finds it behind a snapshot.
    let mut restored = TenantState::default();
    whole.pieces().for_each(|piece| restored.absorb(piece));
    let made = Gallery::of(&restored).unwrap();
    assert_eq!((made.count(), room.gallery.count()), (40, 40));
    let mut again = Room {
        gallery: made,
        ..Room::new(1)
    };
    for (n, face) in faces.iter().enumerate() {
        let sample = again.again(face, 0.75);
        let (one, other) = (room.search(77, &sample), again.search(77, &sample));
        assert_eq!(one, other);
        assert_eq!(one.found, Some(person(n as u8)));
    }
    assert_eq!(again.search(77, &faces[1]).incomparable, 10);
    assert!(Gallery::of(&TenantState::default()).is_none());
}
