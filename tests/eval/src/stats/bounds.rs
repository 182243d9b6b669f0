//! Exact bounds of a share (Clopper and Pearson 1934).

use super::bootstrap::Interval;

/// The 95 % interval of a probability of which `hits` of `trials` independent tries
/// came true.
pub fn clopper_pearson(hits: u64, trials: u64) -> Interval {
    let (k, n) = (hits as f64, trials as f64);
    // The bound at which the tail beyond what was seen holds 2.5 %.
    let solve = |a: f64, b: f64, share: f64| {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..100 {
            let middle = (low + high) / 2.0;
            match incomplete_beta(a, b, middle) < share {
                true => low = middle,
                false => high = middle,
            }
        }
        (low + high) / 2.0
    };
    Interval {
        low: match hits {
            0 => 0.0,
            _ => solve(k, n - k + 1.0, 0.025),
        },
        high: match hits >= trials {
            true => 1.0,
            false => solve(k + 1.0, n - k, 0.975),
        },
    }
}

/// The regularised incomplete beta function, by its continued fraction (Abramowitz
/// and Stegun 26.5.8), evaluated as Lentz does.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let ln_front = a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    const LEAST: f64 = 1e-300;
    let off_zero = |value: f64| if value.abs() < LEAST { LEAST } else { value };
    let (mut c, mut d) = (1.0, 1.0 / off_zero(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for step in 1..300 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for term in [even, odd] {
            d = 1.0 / off_zero(1.0 + term * d);
            c = off_zero(1.0 + term / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-14 {
            break;
        }
    }
    ln_front.exp() / a * fraction
}

/// Stirling's series (Abramowitz and Stegun 6.1.41), the argument raised to where it
/// is exact.
fn ln_gamma(mut x: f64) -> f64 {
    let mut raised = 0.0;
    while x < 15.0 {
        raised -= x.ln();
        x += 1.0;
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    raised + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}
