use super::*;

fn trial(score: f32, one: u32, other: u32) -> Trial {
    Trial { score, one, other }
}

fn genuine(scores: &[f32]) -> Vec<Trial> {
    scores.iter().map(|score| trial(*score, 0, 0)).collect()
}

fn impostor(scores: &[f32]) -> Vec<Trial> {
    scores.iter().map(|score| trial(*score, 0, 1)).collect()
}

#[test]
fn rates_of_a_small_set_are_what_one_counts_by_hand() {
    let scores = Scores::new(
        genuine(&[0.9, 0.8, 0.7, 0.2]),
        impostor(&[0.75, 0.5, 0.4, 0.3, 0.1]),
    );
    // None of five passes from .8 on; one of five from .7 on.
    assert_eq!(scores.at_far(0.1), None, "half a comparison is none");
    let at = scores.at_far(0.2).unwrap();
    assert_eq!((at.threshold, at.fmr, at.fnmr), (0.7, 0.2, 0.25));
    let at = scores.at_far(0.999).unwrap();
    assert_eq!((at.threshold, at.fmr, at.fnmr), (0.2, 0.8, 0.0));
    assert_eq!(scores.at(0.85).unwrap().fnmr, 0.75);
    assert_eq!(scores.at(0.95).unwrap().fnmr, 1.0);
    // At .7: one of five against one of four.
    assert!((scores.eer().unwrap() - 0.225).abs() < 1e-12);
}

#[test]
fn ties_pass_together_or_not_at_all() {
    let scores = Scores::new(genuine(&[0.9, 0.5, 0.5]), impostor(&[0.5, 0.5, 0.5, 0.1]));
    let at = scores.at_far(0.5).unwrap();
    assert_eq!((at.threshold, at.fmr), (0.9, 0.0));
    assert_eq!(scores.at_far(0.75).unwrap().fmr, 0.75);
    let same = Scores::new(genuine(&[0.5; 4]), impostor(&[0.5; 4]));
    assert_eq!(same.at_far(0.25), None, "no threshold tells them apart");
    assert_eq!(same.eer(), Some(0.5));
}

#[test]
fn perfect_and_hopeless_sets_have_the_rates_they_should() {
    let perfect = Scores::new(genuine(&[0.9, 0.8]), impostor(&[0.1, 0.2]));
    assert_eq!(perfect.eer(), Some(0.0));
    assert_eq!(perfect.at_far(0.5).unwrap().fnmr, 0.0);
    let inverted = Scores::new(genuine(&[0.1, 0.2]), impostor(&[0.9, 0.8]));
    assert_eq!(inverted.eer(), Some(1.0));
    assert_eq!(inverted.at_far(0.5).unwrap().tar(), 0.0);
}

#[test]
fn without_impostors_or_genuine_ones_no_rate_is_stated() {
    let alone = Scores::new(genuine(&[0.9, 0.8]), Vec::new());
    assert_eq!((alone.at_far(0.01), alone.eer()), (None, None));
    assert_eq!(
        alone.tar_intervals([0.01], Replicates::default()),
        [None; 1]
    );
    let strangers = Scores::new(Vec::new(), impostor(&[0.9, 0.8]));
    assert_eq!((strangers.at_far(0.5), strangers.eer()), (None, None));
    let nothing = Scores::new(Vec::new(), Vec::new());
    assert_eq!((nothing.eer(), nothing.det(100)), (None, Vec::new()));
}

#[test]
fn what_could_not_be_compared_counts_as_not_recognised() {
    let lost = f32::NEG_INFINITY;
    let scores = Scores::new(genuine(&[0.9, 0.8, 0.7, lost]), impostor(&[0.1, 0.2]));
    assert_eq!((scores.genuine(), scores.lost()), (4, 1));
    assert_eq!(scores.at_far(0.5).unwrap().fnmr, 0.25);
    assert_eq!(scores.compared().at_far(0.5).unwrap().fnmr, 0.0);
}

/// Twelve persons, three samples each, all compared with all.
fn crowd() -> (Vec<Trial>, Vec<Trial>) {
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    let noise = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) % 1000) / 1000.0;
    for a in 0..36u32 {
        for b in a + 1..36 {
            let score = noise(a * 36 + b) as f32;
            match a / 3 == b / 3 {
                true => genuine.push(trial(score * 0.5 + 0.45, a / 3, a / 3)),
                false => impostor.push(trial(score * 0.6, a / 3, b / 3)),
            }
        }
    }
    (genuine, impostor)
}

#[test]
fn the_strictest_comparisons_alone_give_the_same_rates_and_intervals() {
    let (genuine, impostor) = crowd();
    let whole = Scores::new(genuine.clone(), impostor.clone());
    let strict = impostor.iter().copied().filter(|t| t.score >= 0.4);
    let histogram = whole.impostor_histogram().clone();
    let part = Scores::strictest(genuine, strict.collect(), vec![3; 12], histogram);
    assert_eq!(part.impostors(), whole.impostors());
    assert_eq!(part.at_far(0.05), whole.at_far(0.05));
    assert_eq!(part.eer(), whole.eer());
    let few = Replicates { count: 50, seed: 1 };
    assert_eq!(
        part.tar_intervals([0.02, 0.05], few),
        whole.tar_intervals([0.02, 0.05], few)
    );
    assert_eq!(part.at_far(0.9), None, "what was not kept is not known");
    assert_eq!(part.at(0.2), None);
}

#[test]
fn intervals_hold_the_rate_and_follow_from_their_seed() {
    let (genuine, impostor) = crowd();
    let scores = Scores::new(genuine, impostor);
    let seed = |seed| Replicates { count: 200, seed };
    let [first] = scores.tar_intervals([0.05], seed(7));
    assert_eq!([first], scores.tar_intervals([0.05], seed(7)));
    assert_ne!([first], scores.tar_intervals([0.05], seed(8)));
    let (interval, tar) = (first.unwrap(), scores.at_far(0.05).unwrap().tar());
    assert!(
        interval.low < tar && tar < interval.high,
        "{interval:?} {tar}"
    );
    let (eer, around) = (scores.eer().unwrap(), scores.eer_interval(seed(7)).unwrap());
    assert!(around.low <= eer && eer <= around.high);
    let wrong = scores.fmr_interval(0.5, seed(7)).unwrap();
    let fmr = scores.at(0.5).unwrap().fmr;
    assert!(wrong.low < fmr && fmr < wrong.high, "{wrong:?} {fmr}");
}

#[test]
fn bounds_of_a_share_are_those_of_the_tables() {
    // Clopper and Pearson's own charts, and the rule of three at zero.
    for (hits, trials, low, high) in [
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (32, 325_000, 6.735e-5, 1.3900e-4),
    ] {
        let found = clopper_pearson(hits, trials);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-3 * b.max(0.1 * high);
        assert!(
            near(found.low, low) && near(found.high, high),
            "{hits} of {trials}: {found:?}"
        );
    }
}

fn decided(score: f32, same: bool, fold: usize) -> Decided {
    Decided { score, same, fold }
}

#[test]
fn each_part_is_decided_by_the_threshold_of_the_others() {
    // Part 1 alone would choose .15; with the threshold of part 0, .5, it has one wrong.
    let pairs = [
        decided(0.9, true, 0),
        decided(0.1, false, 0),
        decided(0.2, true, 1),
        decided(0.1, false, 1),
    ];
    let found = accuracy(&pairs).unwrap();
    assert_eq!((found.mean, found.folds), (0.75, 2));
    assert!((found.standard_error - 0.25).abs() < 1e-12);
    assert!((found.threshold - (0.15 + 0.5) / 2.0).abs() < 1e-6);
    assert_eq!(accuracy(&pairs[..2]), None, "one part has no others");
}

#[test]
fn pairs_that_could_not_be_compared_are_decided_as_different() {
    let lost = f32::NEG_INFINITY;
    let mut pairs = vec![
        decided(0.9, true, 0),
        decided(lost, true, 0),
        decided(0.1, false, 0),
        decided(lost, false, 0),
        decided(0.8, true, 0),
        decided(0.2, false, 0),
    ];
    pairs.extend(pairs.clone());
    in_parts(&mut pairs, 2);
    assert_eq!(pairs.iter().filter(|pair| pair.fold == 0).count(), 6);
    assert!((accuracy(&pairs).unwrap().mean - 5.0 / 6.0).abs() < 1e-12);
}

#[test]
fn a_curve_runs_from_strict_to_loose() {
    let (genuine, impostor) = crowd();
    let points = Scores::new(genuine, impostor).det(100);
    assert!(points.len() > 10);
    for two in points.windows(2) {
        assert!(two[0].threshold > two[1].threshold);
        assert!(two[0].fmr <= two[1].fmr && two[0].fnmr >= two[1].fnmr);
    }
}
