//! What a template under its transform keeps, and what it gives away: vectors are made
//! by a fixed sequence, so that figures are the same in each run.

use redoubt_attestation::encode::sha256;
use redoubt_shared::worker::Embedding;

use super::int8::{self, Probe};
use super::*;
use crate::core::{Modality, SubjectHandle, Template, TenantKeySeeds};

pub(super) const OWNER: Owner = Owner {
    subject: SubjectHandle([7; 16]),
    modality: Modality::Face,
};
const MADE: Made<'static> = Made {
    quality: 0.9,
    worker_tier: "process",
    at_ms: 5,
};

pub(super) fn transforms() -> Transforms {
    of_tenant(1)
}

fn of_tenant(seed: u8) -> Transforms {
    Transforms::new(&TenantKeySeeds {
        es256: [seed; 32],
        mldsa65: [2; 32],
    })
}

/// A template as they are stored now.
pub(super) fn stored(embedding: &Embedding) -> Template {
    transforms().protected(&OWNER, 1, embedding, MADE).unwrap()
}

/// A record of version 1: int8 with one step, without a transform.
pub(super) fn as_before(embedding: &Embedding) -> Template {
    let largest = embedding
        .vector
        .iter()
        .fold(0f32, |most, v| most.max(v.abs()));
    let scale = largest / 127.0;
    let steps = embedding.vector.iter().map(|v| (v / scale).round() as i8);
    Template {
        version: 1,
        model: embedding.model.clone(),
        transform: 0,
        dimension: embedding.vector.len() as u16,
        scale,
        values: steps.collect(),
        quality: 0.9,
        worker_tier: "process".into(),
        enrolled_ms: 5,
    }
}

pub(super) fn cosine(template: &Template, sample: &Embedding) -> Option<f32> {
    transforms().cosine(&OWNER, template, sample)
}

/// SplitMix64, and normal deviates from it (Box and Muller).
pub(super) struct Draws(pub(super) u64);

impl Draws {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    pub(super) fn direction(&mut self, dimension: usize) -> Vec<f64> {
        unit((0..dimension).map(|_| self.normal()).collect())
    }

    /// All but four components are zero: what a transform must spread.
    fn spiky(&mut self, dimension: usize) -> Vec<f64> {
        let mut vector = vec![0.0; dimension];
        for _ in 0..4 {
            vector[self.word() as usize % dimension] = self.normal();
        }
        unit(vector)
    }

    /// Another at this cosine.
    pub(super) fn near(&mut self, one: &[f64], cosine: f64) -> Vec<f64> {
        let drawn = self.direction(one.len());
        let along = dot(&drawn, one);
        let across = drawn.iter().zip(one).map(|(d, o)| d - along * o).collect();
        let across = unit(across).into_iter().zip(one);
        let sine = (1.0 - cosine * cosine).sqrt();
        across.map(|(a, o)| cosine * o + sine * a).collect()
    }
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

fn unit(vector: Vec<f64>) -> Vec<f64> {
    let norm = dot(&vector, &vector).sqrt();
    vector.into_iter().map(|value| value / norm).collect()
}

fn embedding(vector: &[f64]) -> Embedding {
    Embedding {
        model: "m".into(),
        vector: vector.iter().map(|value| *value as f32).collect(),
    }
}

fn wide(vector: &[f32]) -> Vec<f64> {
    vector.iter().copied().map(f64::from).collect()
}

#[test]
fn a_transform_keeps_lengths_and_angles_and_is_undone_by_its_key_alone() {
    let mut draws = Draws(1);
    for dimension in [2, 128, 192, 256, 300, 512, 768] {
        let transform = transforms().of(&OWNER, 1, dimension).unwrap();
        let one = draws.direction(dimension);
        let other = draws.near(&one, 0.3);
        let [one, other] = [one, other].map(|vector| embedding(&vector).vector);
        let (a, b) = (
            transform.apply(&one).unwrap(),
            transform.apply(&other).unwrap(),
        );
        assert_eq!(a.len(), dimension.next_power_of_two().max(256));
        let (before, after) = (dot(&wide(&one), &wide(&other)), dot(&wide(&a), &wide(&b)));
        assert!(
            (before - after).abs() < 1e-6,
            "{dimension}: {before} {after}"
        );
        let same = |found: &[f32]| one.iter().zip(found).all(|(x, y)| (x - y).abs() < 1e-6);
        assert!(same(&transform.undo(&a).unwrap()));
        let next = transforms().of(&OWNER, 2, dimension).unwrap();
        assert!(!same(&next.undo(&a).unwrap()));
        assert_eq!(transform.apply(&vec![1.0; a.len() + 1]), None);
        assert_eq!(transform.undo(&one[..dimension - 1]), None);
    }
}

#[test]
fn tenant_subject_purpose_and_number_each_make_another_transform() {
    let vector = Draws(2).direction(256);
    let under = |transforms: &Transforms, owner: &Owner, number| {
        let transform = transforms.of(owner, number, 256).unwrap();
        wide(&transform.apply(&embedding(&vector).vector).unwrap())
    };
    let first = under(&transforms(), &OWNER, 1);
    assert_eq!(first, under(&transforms(), &OWNER, 1));
    let subject = SubjectHandle([8; 16]);
    let modality = Modality::Voice;
    let others = [
        under(&of_tenant(3), &OWNER, 1),
        under(&transforms(), &Owner { subject, ..OWNER }, 1),
        under(&transforms(), &Owner { modality, ..OWNER }, 1),
        under(&transforms(), &OWNER, 2),
        under(&transforms(), &OWNER, u32::MAX),
    ];
    for (at, one) in others.iter().enumerate() {
        // Four standard deviations of what two strangers' vectors have.
        assert!(dot(&first, one).abs() < 0.25, "{at}");
        for other in &others[..at] {
            assert!(dot(other, one).abs() < 0.25, "{at}");
        }
    }
}

/// Templates of today are opened by every later version: this never changes.
#[test]
fn a_stored_template_is_the_same_bytes_in_every_version() {
    let raw = (0..192).map(|at: i32| f64::from((at * 37 + 11) % 64 - 32));
    let made = stored(&embedding(&raw.collect::<Vec<_>>()));
    let values: Vec<u8> = made
        .values
        .iter()
        .map(|value| value.cast_unsigned())
        .collect();
    let found = (made.version, made.transform, made.dimension, values.len());
    assert_eq!(found, (2, 1, 192, 384));
    assert_eq!(
        hex::encode(sha256(&[&values]).0),
        "df94a085082747632b22898462be9a4acd9b24f2cbdd3dceb6ccf28f99f8143d"
    );
}

#[test]
fn a_template_of_before_keeps_verifying_and_can_be_renewed() {
    let mut draws = Draws(3);
    for dimension in [128, 192, 256] {
        let enrolled = draws.direction(dimension);
        let sample = draws.near(&enrolled, 0.7);
        let old = as_before(&embedding(&enrolled));
        let found = cosine(&old, &embedding(&sample)).unwrap();
        assert!((found - 0.7).abs() < 4e-3, "{found}");
        let renewed = transforms().renewed(&OWNER, &old, 1).unwrap();
        assert_eq!((renewed.version, renewed.transform), (2, 1));
        assert_eq!(usize::from(renewed.dimension), dimension);
        let after = cosine(&renewed, &embedding(&sample)).unwrap();
        assert!((after - found).abs() < 1e-3, "{after} {found}");
    }
}

/// Largest and root-mean-square difference of cosines, and how many are above 1e-3.
struct Difference {
    most: f64,
    squares: f64,
    above: usize,
    pairs: usize,
}

impl Difference {
    const NONE: Self = Self {
        most: 0.0,
        squares: 0.0,
        above: 0,
        pairs: 0,
    };

    fn add(&mut self, found: f32, exact: f64) {
        let difference = (f64::from(found) - exact).abs();
        self.most = self.most.max(difference);
        self.squares += difference * difference;
        self.above += usize::from(difference > 1e-3);
        self.pairs += 1;
    }

    fn rms(&self) -> f64 {
        (self.squares / self.pairs as f64).sqrt()
    }
}

/// Cosines from -0.2 to 1, and as many of strangers', who are nearly at right angles.
#[test]
fn int8_keeps_a_hundred_thousand_cosines_to_a_thousandth() {
    let mut draws = Draws(4);
    let mut all = Difference::NONE;
    for number in 1..=1000 {
        let dimension = if number % 2 == 0 { 192 } else { 256 };
        let enrolled = draws.direction(dimension);
        let made = transforms().protected(&OWNER, number, &embedding(&enrolled), MADE);
        let (made, own) = (
            made.unwrap(),
            transforms().of(&OWNER, number, dimension).unwrap(),
        );
        for at in 0..100 {
            let exact = if at % 2 == 0 {
                draws.share() * 1.2 - 0.2
            } else {
                0.0
            };
            let sample = draws.near(&enrolled, exact);
            let sample = own.apply(&embedding(&sample).vector).unwrap();
            let probe = Probe::new(&sample, made.scale, &made.values).unwrap();
            all.add(probe.cosine(&made.values), exact);
        }
    }
    println!(
        "most {:.2e}, rms {:.2e}, above {}",
        all.most,
        all.rms(),
        all.above
    );
    assert_eq!((all.pairs, all.above), (100_000, 0), "most {}", all.most);
    assert!(all.rms() < 2.2e-4, "{}", all.rms());
}

#[test]
fn ten_renewals_move_a_cosine_by_less_than_four_thousandths() {
    let mut draws = Draws(5);
    let mut all = Difference::NONE;
    for person in 0..300u16 {
        let subject = SubjectHandle(
            [&person.to_be_bytes()[..], &[0; 14]]
                .concat()
                .try_into()
                .unwrap(),
        );
        let owner = Owner { subject, ..OWNER };
        let enrolled = draws.direction(256);
        let made = transforms().protected(&owner, 1, &embedding(&enrolled), MADE);
        let mut made = made.unwrap();
        for number in 2..=11 {
            let next = transforms().renewed(&owner, &made, number).unwrap();
            assert_ne!(next.values, made.values);
            let kept = |one: &Template| (one.model.clone(), one.dimension, one.enrolled_ms);
            assert_eq!(kept(&next), kept(&made));
            made = next;
        }
        for _ in 0..4 {
            let exact = draws.share();
            let sample = draws.near(&enrolled, exact);
            let found = transforms().cosine(&owner, &made, &embedding(&sample));
            all.add(found.unwrap(), exact);
        }
    }
    println!(
        "most {:.2e}, rms {:.2e}, above {}",
        all.most,
        all.rms(),
        all.above
    );
    assert!(
        all.most < 4e-3 && all.rms() < 8e-4,
        "{} {}",
        all.most,
        all.rms()
    );
}

/// Two-sample statistic of Kolmogorov and Smirnov: the largest distance of two shares.
fn distance(mut one: Vec<f64>, mut other: Vec<f64>) -> f64 {
    one.sort_by(f64::total_cmp);
    other.sort_by(f64::total_cmp);
    let share =
        |all: &[f64], up_to: f64| all.partition_point(|x| *x <= up_to) as f64 / all.len() as f64;
    let at = one.iter().chain(&other);
    let apart = at.map(|x| (share(&one, *x) - share(&other, *x)).abs());
    apart.fold(0.0, f64::max)
}

/// What somebody without keys compares: components, and components by size, which neither
/// signs nor an order alone would hide.
fn looks(template: &Template) -> [Vec<f64>; 2] {
    let vector = int8::decode(
        template.scale,
        &template.values,
        padded(template.dimension.into()),
    );
    let plain = wide(&vector.unwrap());
    let mut sizes: Vec<f64> = plain.iter().map(|value| value.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
    let sizes = unit(sizes.iter().map(|size| size - mean).collect());
    [plain, sizes]
}

/// Pairs of templates, one under `first` number and one under `second`, of samples of one
/// person or of two; cosines of both looks.
fn pairs(spiky: bool, one_person: bool, (first, second): (u32, u32), seed: u64) -> [Vec<f64>; 2] {
    let mut draws = Draws(seed);
    let mut cosines = [Vec::new(), Vec::new()];
    for person in 0..2000u32 {
        let mut subject = [0; 16];
        subject[..4].copy_from_slice(&person.to_be_bytes());
        let owner = Owner {
            subject: SubjectHandle(subject),
            ..OWNER
        };
        let mut draw = || {
            if spiky {
                draws.spiky(256)
            } else {
                draws.direction(256)
            }
        };
        let (own, others) = (draw(), draw());
        let sample = if one_person { &own } else { &others };
        let made = |vector: &[f64], number| {
            let made = transforms().protected(&owner, number, &embedding(vector), MADE);
            looks(&made.unwrap())
        };
        let (a, b) = (made(&own, first), made(sample, second));
        for (look, (a, b)) in cosines.iter_mut().zip(a.iter().zip(&b)) {
            look.push(dot(a, b));
        }
    }
    cosines
}

/// Beyond this one in a thousand tests of two like distributions would be:
/// c(α) √((n + m) / nm), c(0.001) = 1.949.
fn critical(n: f64) -> f64 {
    1.949 * (2.0 / n).sqrt()
}

#[test]
fn two_transforms_of_one_face_are_like_those_of_two_people() {
    for (spiky, seed) in [(false, 100), (true, 200)] {
        let own = pairs(spiky, true, (1, 2), seed);
        let strangers = pairs(spiky, false, (1, 2), seed + 1);
        for (own, strangers) in own.into_iter().zip(strangers) {
            let apart = distance(own, strangers);
            println!("spiky {spiky}: {apart:.4} of {:.4}", critical(2000.0));
            assert!(apart < critical(2000.0), "{apart}");
        }
        // The test sees what it looks for: under one transform one person is told at once.
        let [same, _] = pairs(spiky, true, (1, 1), seed + 2);
        let [others, _] = pairs(spiky, false, (1, 1), seed + 3);
        assert!(distance(same, others) > 0.99);
    }
}

#[test]
fn records_that_are_none_are_nobodys_and_nothing_overflows() {
    let sample = embedding(&Draws(6).direction(192));
    let good = stored(&sample);
    assert!(cosine(&good, &sample).unwrap() > 0.999);
    let changed = |change: &dyn Fn(&mut Template)| {
        let mut template = good.clone();
        change(&mut template);
        cosine(&template, &sample)
    };
    assert_eq!(changed(&|t| t.model = "other".into()), None);
    assert_eq!(changed(&|t| t.dimension = 191), None);
    assert_eq!(changed(&|t| t.dimension = 0), None);
    assert_eq!(changed(&|t| t.values.truncate(383)), None);
    assert_eq!(changed(&|t| t.values.clear()), None);
    assert_eq!(changed(&|t| t.values.push(0)), None);
    assert_eq!(changed(&|t| t.transform = 0), None);
    let zero = embedding(&[0.0; 192]);
    assert_eq!(cosine(&good, &zero), None);
    assert!(transforms().protected(&OWNER, 1, &zero, MADE).is_none());
    assert!(transforms().protected(&OWNER, 0, &sample, MADE).is_none());
    for length in [256, 512, 1024, 65536] {
        let flat = vec![1f32; length];
        for one in [i8::MIN, i8::MAX] {
            let mut values = vec![one; length];
            values.extend(vec![-1i8; length / 2]);
            let scale = 1.0 / (f32::from(one).abs() * 255.0 * (length as f32).sqrt());
            let found = Probe::new(&flat, scale, &values).unwrap().cosine(&values);
            assert!((found.abs() - 1.0).abs() < 1e-3, "{length}: {found}");
        }
    }
}

#[test]
fn a_made_up_template_has_the_form_of_a_real_one_and_is_like_nobody() {
    let mut draws = Draws(8);
    let real = stored(&embedding(&draws.direction(192)));
    let components: Vec<i8> = (0..256).map(|_| draws.word() as i8).collect();
    let made = made_up("m", 192, &components, MADE);
    let form = |one: &Template| (one.version, one.transform, one.dimension, one.values.len());
    assert_eq!(form(&made), form(&real));
    for _ in 0..200 {
        let found = cosine(&made, &embedding(&draws.direction(192))).unwrap();
        assert!(found.abs() < 0.3, "{found}");
    }
}
