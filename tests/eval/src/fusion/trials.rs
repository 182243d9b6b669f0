//! Pairs of chimeric customers: what each alone says of them, and both together.

use super::Run;
use crate::stats::{SplitMix, Trial};

/// Of more impostor pairs than that so many are drawn.
const IMPOSTORS_MAX: u64 = 2_000_000;

/// One pair: a template of one customer and samples of another, or of the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    /// Whose the template is.
    pub(super) one: u32,
    /// Whose the samples are.
    pub(super) other: u32,
    /// Cosine of the faces; minus infinity if one was refused.
    pub(super) face: f32,
    /// Cosine of the voices; likewise.
    pub(super) voice: f32,
}

/// Every pair that is counted.
#[derive(Default)]
pub(super) struct Pairs {
    /// Of one person with one voice.
    pub(super) genuine: Vec<Pair>,
    /// Of two persons with two voices; those that could be compared.
    pub(super) impostor: Vec<Pair>,
    /// A stranger's face with the customer's own voice: a recording of it, played.
    pub(super) stolen_voice: Vec<Pair>,
    /// The customer's own face with a stranger's voice: a picture of it, shown.
    pub(super) stolen_face: Vec<Pair>,
    /// Pairs of two persons who were given one voice: neither kind, and left out.
    pub(super) same_voice: u64,
    /// Pairs of two persons there are, drawn or not.
    pub(super) of_two: u64,
}

impl Pair {
    /// As a comparison with the score that `of` makes of both: lost, if what it looks at is.
    pub(super) fn trial(&self, of: impl Fn(f32, f32) -> f32) -> Trial {
        let score = of(self.face, self.voice);
        Trial {
            score: match score.is_finite() {
                true => score,
                false => f32::NEG_INFINITY,
            },
            one: self.one,
            other: self.other,
        }
    }

    fn is_compared(&self) -> bool {
        self.face.is_finite() && self.voice.is_finite()
    }
}

impl Pairs {
    /// All of a run, drawn alike for the same seed.
    pub(super) fn of(run: &Run) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        let of_two = of_two(&run.faces.samples.persons);
        std::thread::scope(|scope| {
            let work = |first| scope.spawn(move || rows(run, first, threads, of_two));
            let running: Vec<_> = (0..threads).map(work).collect();
            let mut all = Self {
                of_two,
                ..Self::default()
            };
            for part in running {
                let part = part.join().expect("no thread panics");
                all.genuine.extend(part.genuine);
                all.impostor.extend(part.impostor);
                all.stolen_voice.extend(part.stolen_voice);
                all.stolen_face.extend(part.stolen_face);
                all.same_voice += part.same_voice;
            }
            all
        })
    }
}

/// Pairs of images of two persons.
fn of_two(persons: &[u32]) -> u64 {
    let mut images = vec![0u64; persons.iter().max().map_or(0, |most| *most as usize + 1)];
    persons
        .iter()
        .for_each(|person| images[*person as usize] += 1);
    let all = persons.len() as u64;
    (all * all - images.iter().map(|count| count * count).sum::<u64>()) / 2
}

/// Every `of`-th image as a template, with those behind it.
fn rows(run: &Run, first: usize, of: usize, of_two: u64) -> Pairs {
    let samples = &run.faces.samples;
    let share = IMPOSTORS_MAX as f64 / of_two.max(1) as f64;
    let mut pairs = Pairs::default();
    for a in (first..samples.len()).step_by(of) {
        for b in a + 1..samples.len() {
            // Of the pair alone: the same on any number of threads.
            let place = (a as u64) << 32 | b as u64;
            let mut random = SplitMix::new(run.seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let (one, other) = (samples.persons[a], samples.persons[b]);
            let drawn = one == other || share >= 1.0 || random.unit() < share;
            if drawn {
                pairs.add(run, (a, b), (one, other), &mut random);
            }
        }
    }
    pairs
}

impl Pairs {
    fn add(
        &mut self,
        run: &Run,
        (a, b): (usize, usize),
        (one, other): (u32, u32),
        random: &mut SplitMix,
    ) {
        let face = run.faces.samples.score(a, b);
        let own = run.customers.speaker(one);
        let theirs = run.customers.speaker(other);
        let pair = |voice| Pair {
            one,
            other,
            face,
            voice,
        };
        if one == other {
            self.genuine.push(pair(run.voices.score(own, own, random)));
            let stranger = run.voices.another(own, random);
            let stolen = pair(run.voices.score(own, stranger, random));
            self.stolen_face
                .extend(stolen.is_compared().then_some(stolen));
            return;
        }
        let stolen = pair(run.voices.score(own, own, random));
        self.stolen_voice
            .extend(stolen.is_compared().then_some(stolen));
        if own == theirs {
            self.same_voice += 1;
            return;
        }
        let two = pair(run.voices.score(own, theirs, random));
        self.impostor.extend(two.is_compared().then_some(two));
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::run;
    use super::*;

    #[test]
    fn every_pair_is_of_its_kind_and_drawn_alike_again() {
        let run = run();
        let pairs = Pairs::of(&run);
        let images = run.faces.samples.len() as u64;
        let genuine = pairs.genuine.len() as u64;
        assert_eq!(genuine + pairs.of_two, images * (images - 1) / 2);
        assert!(pairs.genuine.iter().all(|pair| pair.one == pair.other));
        for pair in &pairs.impostor {
            let [one, other] = [pair.one, pair.other].map(|who| run.customers.speaker(who));
            assert!(pair.one != pair.other && one != other && pair.voice < 0.5);
        }
        assert!(pairs.same_voice > 0 && pairs.impostor.len() > 100);
        for stolen in &pairs.stolen_voice {
            assert!(stolen.voice > 0.5 && stolen.one != stolen.other);
        }
        for stolen in &pairs.stolen_face {
            assert!(stolen.voice < 0.5 && stolen.one == stolen.other);
        }
        let lost = pairs
            .genuine
            .iter()
            .filter(|pair| !pair.is_compared())
            .count();
        assert!(lost > 0, "a refused sample is a loss, and no impostor");
        let mut again = Pairs::of(&run).impostor;
        let mut all = pairs.impostor;
        let place = |pair: &Pair| (pair.one, pair.other, pair.face.to_bits());
        again.sort_by_key(place);
        all.sort_by_key(place);
        assert_eq!(again, all);
    }
}
