//! Is this face worth embedding? Measures, their limits, and one message each.
//!
//! Every measure maps to [0, 1] with 0.5 at its limit; the score is the lowest,
//! the gate passes from 0.5 on, and the measure that failed names the refusal.
//! The limits were set on photographs from the wild so that nearly all of them
//! pass (see `tests/lfw.rs`, which holds them to it), and so that the same faces
//! made tiny, dark, overexposed or blurred do not.

use redoubt_shared::worker::{FaceQuality, SampleRefusal};

use super::align::SIDE;
use super::detect::Face;
use super::pixels::{Pixels, luma};

/// Least distance between the eyes, in pixels of the picture as sent.
pub(super) const EYE_DISTANCE_MIN: f32 = 24.0;
/// Least mean luma of the face box, 0 to 255.
pub(super) const BRIGHTNESS_MIN: f32 = 40.0;
/// Greatest mean luma of the face box, 0 to 255.
pub(super) const BRIGHTNESS_MAX: f32 = 230.0;
/// Least variance of the Laplacian over the aligned face.
pub(super) const SHARPNESS_MIN: f32 = 15.0;
/// Least norm of the embedding before it is normalised, where the manifest says none.
pub const NORM_MIN: f32 = 2.0;

/// Measures taken before any embedding.
pub(super) fn measure(image: &Pixels, face: &Face, aligned: &[f32]) -> FaceQuality {
    FaceQuality {
        detection: face.confidence,
        eye_distance: face.eye_distance(),
        brightness: brightness(image, face),
        sharpness: sharpness(aligned),
        embedding_norm: 0.0,
        score: 0.0,
    }
}

/// Refuses what no embedding can save, cheapest reason first.
pub(super) fn gate(quality: &FaceQuality) -> Result<(), SampleRefusal> {
    if quality.eye_distance < EYE_DISTANCE_MIN {
        Err(SampleRefusal::FaceTooSmall)
    } else if quality.brightness < BRIGHTNESS_MIN {
        Err(SampleRefusal::TooDark)
    } else if quality.brightness > BRIGHTNESS_MAX {
        Err(SampleRefusal::TooBright)
    } else if quality.sharpness < SHARPNESS_MIN {
        Err(SampleRefusal::Blurred)
    } else {
        Ok(())
    }
}

/// Adds what the embedding tells: a weak one is a face the network barely sees.
pub(super) fn conclude(
    quality: &mut FaceQuality,
    norm: f32,
    least: f32,
) -> Result<(), SampleRefusal> {
    quality.embedding_norm = norm;
    quality.score = score(quality, least);
    if norm < least {
        return Err(SampleRefusal::Blurred);
    }
    Ok(())
}

fn score(quality: &FaceQuality, norm_min: f32) -> f32 {
    let above = |value: f32, limit: f32| (value / limit / 2.0).clamp(0.0, 1.0);
    let below = |value: f32, limit: f32| ((255.0 - value) / (255.0 - limit) / 2.0).clamp(0.0, 1.0);
    [
        quality.detection,
        above(quality.eye_distance, EYE_DISTANCE_MIN),
        above(quality.brightness, BRIGHTNESS_MIN),
        below(quality.brightness, BRIGHTNESS_MAX),
        above(quality.sharpness, SHARPNESS_MIN),
        above(quality.embedding_norm, norm_min),
    ]
    .into_iter()
    .fold(1.0, f32::min)
}

/// Mean luma of the part of the face box that lies in the picture.
fn brightness(image: &Pixels, face: &Face) -> f32 {
    let clip = |value: f32, end: usize| (value.max(0.0) as usize).min(end);
    let (left, right) = (
        clip(face.x, image.width),
        clip(face.x + face.width, image.width),
    );
    let (top, bottom) = (
        clip(face.y, image.height),
        clip(face.y + face.height, image.height),
    );
    let mut sum = [0u64; 3];
    for y in top..bottom {
        let row = &image.rgb[(y * image.width + left) * 3..(y * image.width + right) * 3];
        for pixel in row.as_chunks::<3>().0 {
            for (sum, value) in sum.iter_mut().zip(pixel) {
                *sum += u64::from(*value);
            }
        }
    }
    let count = (right.saturating_sub(left) * bottom.saturating_sub(top)).max(1) as f32;
    luma(sum.map(|sum| sum as f32 / count))
}

/// Variance of the 4-neighbour Laplacian of the aligned face's luma.
fn sharpness(aligned: &[f32]) -> f32 {
    let plane = SIDE * SIDE;
    let gray: Vec<f32> = (0..plane)
        .map(|at| luma([aligned[at], aligned[plane + at], aligned[2 * plane + at]]))
        .collect();
    let (mut sum, mut squares, mut count) = (0.0f64, 0.0f64, 0.0f64);
    for y in 1..SIDE - 1 {
        for x in 1..SIDE - 1 {
            let at = y * SIDE + x;
            let around = gray[at - 1] + gray[at + 1] + gray[at - SIDE] + gray[at + SIDE];
            let value = f64::from(around - 4.0 * gray[at]);
            sum += value;
            squares += value * value;
            count += 1.0;
        }
    }
    (squares / count - (sum / count).powi(2)).max(0.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> FaceQuality {
        FaceQuality {
            detection: 0.9,
            eye_distance: 80.0,
            brightness: 120.0,
            sharpness: 200.0,
            embedding_norm: 0.0,
            score: 0.0,
        }
    }

    #[test]
    fn each_failing_measure_has_its_own_refusal() {
        assert_eq!(gate(&good()), Ok(()));
        type Spoil = fn(&mut FaceQuality);
        let cases: [(Spoil, SampleRefusal); 4] = [
            (|q| q.eye_distance = 10.0, SampleRefusal::FaceTooSmall),
            (|q| q.brightness = 12.0, SampleRefusal::TooDark),
            (|q| q.brightness = 250.0, SampleRefusal::TooBright),
            (|q| q.sharpness = 1.0, SampleRefusal::Blurred),
        ];
        for (spoil, refusal) in cases {
            let mut quality = good();
            spoil(&mut quality);
            assert_eq!(gate(&quality), Err(refusal));
            let _ = conclude(&mut quality, 9.0, NORM_MIN);
            assert!(quality.score < 0.5, "{refusal:?}");
        }
        let mut faint = good();
        assert_eq!(
            conclude(&mut faint, 0.5, NORM_MIN),
            Err(SampleRefusal::Blurred)
        );
        assert!(faint.score < 0.5);
    }

    #[test]
    fn what_passes_scores_at_least_a_half() {
        let mut quality = FaceQuality {
            detection: 0.6,
            eye_distance: EYE_DISTANCE_MIN,
            brightness: BRIGHTNESS_MIN,
            sharpness: SHARPNESS_MIN,
            ..good()
        };
        assert_eq!(gate(&quality), Ok(()));
        assert_eq!(conclude(&mut quality, NORM_MIN, NORM_MIN), Ok(()));
        assert!((quality.score - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_flat_face_has_no_sharpness_and_a_chequered_one_much() {
        let flat = vec![90.0; 3 * SIDE * SIDE];
        assert_eq!(sharpness(&flat), 0.0);
        let chequered: Vec<f32> = (0..3 * SIDE * SIDE)
            .map(|i| {
                if (i % SIDE + i / SIDE).is_multiple_of(2) {
                    0.0
                } else {
                    255.0
                }
            })
            .collect();
        assert!(sharpness(&chequered) > 10_000.0);
    }
}
