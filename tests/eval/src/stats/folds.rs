//! Accuracy as LFW reports it (Huang et al. 2007, view 2): each part is decided with
//! the threshold that is best on the others.

/// Parts that pairs are cut into.
pub const PARTS: usize = 10;

/// One pair to decide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decided {
    /// The greater, the more alike. Minus infinity: could not be compared, and is
    /// decided as different.
    pub score: f32,
    /// Whether both are one person.
    pub same: bool,
    /// Which part it is in.
    pub fold: usize,
}

/// How many pairs were decided rightly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Mean over the parts.
    pub mean: f64,
    /// Standard error of that mean over the parts.
    pub standard_error: f64,
    /// Mean of the thresholds.
    pub threshold: f32,
    /// Parts.
    pub folds: usize,
}

/// Pairs of one part cut into `parts`, same and different ones in turn.
pub fn in_parts(pairs: &mut [Decided], parts: usize) {
    let mut seen = [0, 0];
    for pair in pairs {
        let count = &mut seen[usize::from(pair.same)];
        pair.fold = *count % parts;
        *count += 1;
    }
}

/// Accuracy over as many pairs of the larger kind, evenly taken, as there are of the
/// smaller, `most` at most, each of ten parts decided with the threshold that is best on
/// the others.
pub fn balanced(genuine: &[f32], impostor: &[f32], most: usize) -> Option<Accuracy> {
    let count = genuine.len().min(impostor.len()).min(most);
    let taken = |scores: &[f32], same: bool| {
        let each = (0..count).map(|n| scores[n * scores.len() / count]);
        let decided = |score| Decided {
            score,
            same,
            fold: 0,
        };
        each.map(decided).collect::<Vec<_>>()
    };
    let mut pairs = [taken(genuine, true), taken(impostor, false)].concat();
    in_parts(&mut pairs, PARTS);
    accuracy(&pairs)
}

/// `None` where there are fewer than two parts.
pub fn accuracy(pairs: &[Decided]) -> Option<Accuracy> {
    let mut folds: Vec<usize> = pairs.iter().map(|pair| pair.fold).collect();
    folds.sort_unstable();
    folds.dedup();
    if folds.len() < 2 {
        return None;
    }
    let decided = |fold: &usize| {
        let (inside, others): (Vec<_>, Vec<_>) =
            pairs.iter().copied().partition(|pair| pair.fold == *fold);
        let threshold = best_threshold(others);
        let right = |pair: &&Decided| (pair.score >= threshold) == pair.same;
        let right = inside.iter().filter(right).count() as f64;
        (right / inside.len() as f64, threshold)
    };
    let all: Vec<(f64, f32)> = folds.iter().map(decided).collect();
    let count = all.len() as f64;
    let mean = all.iter().map(|(share, _)| share).sum::<f64>() / count;
    let spread = all.iter().map(|(share, _)| (share - mean).powi(2));
    let deviation = (spread.sum::<f64>() / (count - 1.0)).sqrt();
    Some(Accuracy {
        mean,
        standard_error: deviation / count.sqrt(),
        threshold: all.iter().map(|(_, at)| at).sum::<f32>() / count as f32,
        folds: all.len(),
    })
}

/// The middle between the two neighbouring scores where the fewest are wrong; of
/// equals the strictest. What could not be compared has no say.
fn best_threshold(mut pairs: Vec<Decided>) -> f32 {
    pairs.retain(|pair| pair.score.is_finite());
    pairs.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    let (mut wrong, mut fewest) = (0i64, 0i64);
    let mut best = pairs.first().map_or(0.0, |pair| pair.score.next_up());
    for (at, pair) in pairs.iter().enumerate() {
        // Wrong pairs more than with nobody accepted.
        wrong += if pair.same { -1 } else { 1 };
        let next = pairs.get(at + 1).map_or(pair.score, |next| next.score);
        if wrong < fewest && (next < pair.score || at + 1 == pairs.len()) {
            (fewest, best) = (wrong, (pair.score + next) / 2.0);
        }
    }
    best
}
