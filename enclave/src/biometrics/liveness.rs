//! What policy makes of a passive liveness.

use redoubt_attestation::genesis::{LivenessMode, PassiveLiveness};

use super::STEPS;
use crate::core::Liveness;

/// Whether a worker shall look.
pub fn wanted(policy: PassiveLiveness) -> bool {
    policy.mode != LivenessMode::Off
}

/// A measured probability of a live face, judged. The confidence that leaves is in
/// twentieths: fine scores feed hill-climbing.
pub fn judged(policy: PassiveLiveness, measured: Option<f32>) -> Option<Liveness> {
    let measured = measured.filter(|_| wanted(policy))?;
    Some(Liveness {
        confidence: (measured * STEPS).floor() / STEPS,
        passed: measured * 100.0 >= policy.percent as f32,
    })
}

/// Whether policy refuses what was judged so. Where a live face is required, one that
/// nobody looked at is none.
pub fn refused(policy: PassiveLiveness, seen: Option<Liveness>) -> bool {
    policy.mode == LivenessMode::Require && !seen.is_some_and(|seen| seen.passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(mode: LivenessMode, percent: u32) -> PassiveLiveness {
        PassiveLiveness { mode, percent }
    }

    #[test]
    fn only_where_it_is_required_does_it_refuse() {
        let modes = [
            (LivenessMode::Off, false),
            (LivenessMode::Report, false),
            (LivenessMode::Require, true),
        ];
        for (mode, refuses) in modes {
            let policy = at(mode, 90);
            assert_eq!(refused(policy, judged(policy, Some(0.89))), refuses);
            assert_eq!(refused(policy, judged(policy, None)), refuses);
            assert!(!refused(policy, judged(policy, Some(0.9))));
        }
    }

    #[test]
    fn the_limit_itself_passes_and_what_leaves_is_coarse() {
        let policy = at(LivenessMode::Report, 50);
        let seen = |measured| judged(policy, Some(measured)).unwrap();
        assert!(seen(0.5).passed && !seen(0.4999).passed);
        assert_eq!(seen(0.4999).confidence, 0.45);
        assert_eq!(seen(1.0).confidence, 1.0);
        assert_eq!(judged(at(LivenessMode::Off, 50), Some(0.9)), None);
    }
}
