//! How well a score sorts fraud before everything else.

/// One payment that was scored.
#[derive(Debug, Clone, Copy)]
pub struct Scored {
    /// The greater, the more suspicious.
    pub score: f64,
    /// Whether it was fraud.
    pub fraud: bool,
}

/// Average precision: the precision at each score that occurs, weighted with what that
/// score adds to the recall; equal scores count at once, so that their order decides
/// nothing. What a score that knows nothing gets is the share of frauds. `None`
/// without any.
pub fn average_precision(scored: impl Iterator<Item = Scored>) -> Option<f64> {
    let mut all: Vec<Scored> = scored.collect();
    all.sort_by(|one, other| other.score.total_cmp(&one.score));
    let frauds = all.iter().filter(|one| one.fraud).count();
    let (mut seen, mut found, mut sum) = (0, 0, 0.0);
    for equal in all.chunk_by(|one, other| one.score == other.score) {
        let more = equal.iter().filter(|one| one.fraud).count();
        (seen, found) = (seen + equal.len(), found + more);
        sum += more as f64 * found as f64 / seen as f64;
    }
    (frauds > 0).then(|| sum / frauds as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(all: &[(f64, bool)]) -> Option<f64> {
        let all = all.iter();
        average_precision(all.map(|&(score, fraud)| Scored { score, fraud }))
    }

    #[test]
    fn average_precision_is_that_of_worked_examples() {
        // Precision 1 at recall 1/2, 2/3 at recall 1.
        let worked = of(&[(0.9, true), (0.8, false), (0.7, true), (0.1, false)]).unwrap();
        assert!((worked - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12, "{worked}");
        assert_eq!(of(&[(0.9, true), (0.1, false)]), Some(1.0));
        assert_eq!(of(&[(0.9, false)]), None);
    }

    #[test]
    fn a_score_that_knows_nothing_gets_the_share_of_frauds_in_any_order() {
        let one = [(0.5, true), (0.5, false), (0.5, false), (0.5, false)];
        let mut other = one;
        other.reverse();
        assert_eq!((of(&one), of(&other)), (Some(0.25), Some(0.25)));
    }
}
