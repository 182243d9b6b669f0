//! All samples compared with all, as the enclave compares: a template's int8 against
//! an embedding.

use crate::stats::{Histogram, Scores, Trial};
use crate::templates::{kept, transforms, unit};

/// Of more impostor comparisons than that only the strictest are kept.
const KEPT: u64 = 4_000_000;
const BINS: usize = 2000;

/// Samples in one space; those that failed have none.
#[derive(Debug, Clone)]
pub struct Samples {
    /// Whose each is.
    pub persons: Vec<u32>,
    vectors: Vec<Option<(Vec<f32>, Vec<f32>)>>,
}

impl Samples {
    /// From embeddings in one space, unit vectors. Each is a template under a transform of
    /// its own, and what that keeps is compared: angles are those under the transform.
    pub fn new(persons: Vec<u32>, vectors: Vec<Option<Vec<f32>>>) -> Self {
        let transforms = transforms();
        let numbered = (1..).zip(vectors);
        let both = |(number, vector): (u32, Option<Vec<f32>>)| {
            vector.map(|vector| (kept(&transforms, number, &vector), unit(&vector)))
        };
        Self {
            persons,
            vectors: numbered.map(both).collect(),
        }
    }

    /// The same without int8: embeddings compared with embeddings.
    pub fn exact(&self) -> Self {
        let plain = |(_, vector): &(Vec<f32>, Vec<f32>)| (vector.clone(), vector.clone());
        Self {
            persons: self.persons.clone(),
            vectors: self.vectors.iter().map(|v| v.as_ref().map(plain)).collect(),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty()
    }

    /// Cosine of one as a template and the other; minus infinity if one failed.
    pub fn score(&self, one: usize, other: usize) -> f32 {
        match (&self.vectors[one], &self.vectors[other]) {
            (Some((template, _)), Some((_, embedding))) => dot(template, embedding),
            _ => f32::NEG_INFINITY,
        }
    }

    /// Every genuine comparison, those that failed among them, and every impostor one
    /// of samples that are there.
    pub fn scores(&self) -> Scores {
        self.keeping(KEPT)
    }

    fn keeping(&self, kept: u64) -> Scores {
        let mut samples = vec![0u32; self.persons.iter().max().map_or(0, |p| *p as usize + 1)];
        let there = |(at, _): (usize, &_)| self.persons[at] as usize;
        let enrolled = self.vectors.iter().enumerate();
        let enrolled = enrolled.filter(|(_, vector)| vector.is_some());
        enrolled.map(there).for_each(|person| samples[person] += 1);
        let all = samples.iter().map(|n| u64::from(*n)).sum::<u64>();
        let own = samples.iter().map(|n| u64::from(*n).pow(2)).sum::<u64>();
        let impostors = (all.pow(2) - own) / 2;
        if impostors <= kept {
            let (genuine, impostor, _) = self.pass(f32::NEG_INFINITY);
            return Scores::new(genuine, impostor);
        }
        let (_, _, histogram) = self.pass(f32::INFINITY);
        let mut above = 0;
        let floor = (0..BINS).rev().find(|bin| {
            above += histogram.counts[*bin];
            above > kept
        });
        let floor = histogram.edge(floor.map_or(0, |bin| bin + 1));
        let (genuine, impostor, histogram) = self.pass(floor);
        Scores::strictest(genuine, impostor, samples, histogram)
    }

    /// Genuine comparisons, impostor ones from `floor` on, and all of the latter counted.
    fn pass(&self, floor: f32) -> (Vec<Trial>, Vec<Trial>, Histogram) {
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        std::thread::scope(|scope| {
            let work = |thread| scope.spawn(move || self.rows(thread, threads, floor));
            let running: Vec<_> = (0..threads).map(work).collect();
            let mut all = (Vec::new(), Vec::new(), Histogram::new(-1.0, 1.0, BINS));
            for part in running {
                let (genuine, impostor, histogram) = part.join().expect("no thread panics");
                all.0.extend(genuine);
                all.1.extend(impostor);
                all.2.merge(&histogram);
            }
            all
        })
    }

    /// Every `of`-th sample as a template, with those behind it.
    fn rows(&self, first: usize, of: usize, floor: f32) -> (Vec<Trial>, Vec<Trial>, Histogram) {
        let mut histogram = Histogram::new(-1.0, 1.0, BINS);
        let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
        for a in (first..self.len()).step_by(of) {
            for b in a + 1..self.len() {
                let (score, one, other) = (self.score(a, b), self.persons[a], self.persons[b]);
                let trial = Trial { score, one, other };
                if one == other {
                    genuine.push(trial);
                } else if score.is_finite() {
                    histogram.add(score);
                    if score >= floor {
                        impostor.push(trial);
                    }
                }
            }
        }
        (genuine, impostor, histogram)
    }
}

/// In lanes, so that the compiler uses wide registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::templates::{OWNER, embedding, stored};

    /// Nine persons, four samples each, one of them failed.
    fn samples() -> Samples {
        let vector = |at: usize| {
            let value = |i: usize| ((i * (at / 4 + 3) + at * at % 5) as f32 * 0.7).sin();
            (at != 7).then(|| unit(&(0..20).map(value).collect::<Vec<_>>()))
        };
        let persons = (0..36).map(|at| at / 4).collect();
        Samples::new(persons, (0..36).map(vector).collect())
    }

    #[test]
    fn every_pair_is_compared_once_and_failures_are_genuine_losses_only() {
        let scores = samples().scores();
        assert_eq!((scores.genuine(), scores.lost()), (9 * 6, 3));
        assert_eq!(scores.impostors(), (35 * 35 - (8 * 16 + 9)) / 2);
    }

    #[test]
    fn keeping_the_strictest_only_changes_no_rate() {
        let samples = samples();
        let (whole, part) = (samples.scores(), samples.keeping(200));
        assert_eq!(whole.impostors(), part.impostors());
        assert_eq!(whole.at_far(0.1), part.at_far(0.1));
        assert!(whole.at_far(0.1).is_some());
    }

    #[test]
    fn a_score_is_the_cosine_the_enclave_would_find() {
        let samples = samples();
        let vector = |at: usize| samples.vectors[at].as_ref().unwrap().1.as_slice();
        let transforms = transforms();
        for (a, b) in [(0, 9), (4, 5), (12, 35)] {
            let template = stored(&transforms, a as u32 + 1, vector(a)).unwrap();
            let found = transforms.cosine(&OWNER, &template, &embedding(vector(b)));
            assert!((samples.score(a, b) - found.unwrap()).abs() < 2e-5);
            let exact = dot(vector(a), vector(b));
            assert!((samples.score(a, b) - exact).abs() < 1e-3);
            assert_eq!(samples.exact().score(a, b), exact);
        }
        assert_eq!(samples.score(0, 7), f32::NEG_INFINITY);
    }
}
