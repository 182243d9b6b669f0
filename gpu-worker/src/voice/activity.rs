//! Where somebody speaks, by the network of the crate earshot.

use earshot::Detector;

/// Samples that are judged at once: 16 milliseconds.
pub(super) const STEP: usize = 256;
/// From here on it is speech.
const SPEECH: f32 = 0.5;

/// Speech or not, and the energy, of each whole [`STEP`] in turn.
pub(super) struct Activity {
    pub(super) steps: Vec<(bool, f32)>,
}

impl Activity {
    /// Of mono samples in [-1, 1] at 16 kHz.
    pub(super) fn of(samples: &[f32]) -> Self {
        let mut detector = Detector::default_boxed();
        let judge = |step: &[f32; STEP]| {
            let speech = detector.predict_f32(step) >= SPEECH;
            (speech, energy(step))
        };
        Self {
            steps: samples.as_chunks::<STEP>().0.iter().map(judge).collect(),
        }
    }
}

/// Mean square about the mean.
fn energy(step: &[f32; STEP]) -> f32 {
    let mean = step.iter().sum::<f32>() / STEP as f32;
    step.iter().map(|s| (s - mean).powi(2)).sum::<f32>() / STEP as f32
}
