//! Made-up words, each as sure as told, and everything that is no answer.

use redoubt_shared::worker::{Embedding, SpokenSample, SpokenWord, VoiceQuality, VoiceSample};

use super::*;
use crate::biometrics::Part;

const ASKED: [u8; DIGITS] = [4, 0, 2, 9, 1, 7];

fn space() -> Space {
    Space {
        id: "v".into(),
        parts: vec![Part {
            model: "v".into(),
            weight: 1.0,
        }],
        calibration: Vec::new(),
    }
}

/// Sounds like `digit` with this probability, and like each other one alike.
fn word(at: usize, digit: u8, probability: f32) -> SpokenWord {
    let mut digits = [((1.0 - probability) / 9.0).ln(); 10];
    digits[usize::from(digit)] = probability.ln();
    let from_ms = 800 * at as u32;
    SpokenWord {
        from_ms,
        to_ms: from_ms + 400,
        digits,
    }
}

fn half(angle: f32) -> Embedding {
    Embedding {
        model: "v".into(),
        vector: vec![angle.cos(), angle.sin()],
    }
}

/// These digits, heard with this probability, in halves with this cosine.
fn heard(digits: &[u8], probability: f32, cosine: f32) -> SpokenSample {
    let words = digits.iter().enumerate();
    SpokenSample {
        voice: VoiceSample {
            embeddings: vec![half(0.0)],
            quality: VoiceQuality {
                speech_seconds: 3.0,
                level_db: -20.0,
                clipped: 0.0,
                signal_to_noise_db: 20.0,
                embedding_norm: 6.0,
                score: 0.9,
            },
        },
        words: words
            .map(|(at, digit)| word(at, *digit, probability))
            .collect(),
        halves: vec![half(0.0), half(cosine.acos())],
    }
}

fn judged(sample: &SpokenSample) -> Result<(), SpokenLapse> {
    judge(&ASKED, sample, &space())
}

#[test]
fn a_word_longer_than_a_digit_is_none() {
    for (millis, judged) in [
        (WORD_MS_MAX, Ok(())),
        (WORD_MS_MAX + 1, Err(SpokenLapse::WordsCount)),
        (7000, Err(SpokenLapse::WordsCount)),
    ] {
        for at in 0..DIGITS {
            let mut sample = heard(&ASKED, 0.99, 0.9);
            sample.words[at].to_ms = sample.words[at].from_ms + millis;
            assert_eq!(judge(&ASKED, &sample, &space()), judged, "{at}: {millis}");
        }
    }
}

#[test]
fn every_string_of_six_digits_is_drawn_as_often() {
    let mut seen = vec![false; 1_000_000];
    for random in 0..1_000_000 {
        let digits = drawn(random);
        assert!(digits.iter().all(|digit| *digit < 10));
        let number = digits
            .iter()
            .fold(0, |all, one| all * 10 + usize::from(*one));
        assert!(!seen[number], "{digits:?} twice");
        seen[number] = true;
        // What lies above a million changes nothing.
        let higher = drawn(random + 1_000_000 * (random % 18_446_744));
        assert_eq!(digits, higher);
    }
    assert!(drawn(u64::MAX).iter().all(|digit| *digit < 10));
}

#[test]
fn the_digits_asked_for_in_their_order_are_an_answer() {
    for probability in [0.3, 0.6, 0.9, 0.999, 1.0] {
        let sample = heard(&ASKED, probability, 0.6);
        assert_eq!(judged(&sample), Ok(()), "{probability}");
        let mean = score(&ASKED, &sample).unwrap();
        assert!((mean - probability.ln()).abs() < 1e-5, "{mean}");
        assert_eq!(beaten(&ASKED, &sample), Some(0.0));
    }
    // One word that is heard badly, and not as another.
    let mut sample = heard(&ASKED, 0.95, 0.6);
    sample.words[3] = word(3, 9, 0.1);
    assert_eq!(judged(&sample), Ok(()));
}

#[test]
fn any_one_other_digit_is_none() {
    for at in 0..DIGITS {
        for digit in (0..10).filter(|digit| *digit != ASKED[at]) {
            for probability in [0.95, 0.99, 1.0] {
                let mut digits = ASKED;
                digits[at] = digit;
                let sample = heard(&digits, probability, 0.6);
                assert_eq!(judged(&sample), Err(SpokenLapse::OtherDigits), "{digits:?}");
            }
        }
    }
}

#[test]
fn any_other_order_is_none() {
    for at in 0..DIGITS {
        for other in 0..at {
            let mut digits = ASKED;
            digits.swap(at, other);
            let sample = heard(&digits, 0.99, 0.6);
            assert_eq!(judged(&sample), Err(SpokenLapse::OtherDigits), "{digits:?}");
        }
        let mut digits = ASKED;
        digits.rotate_left(at.max(1));
        let sample = heard(&digits, 0.99, 0.6);
        assert_eq!(judged(&sample), Err(SpokenLapse::OtherDigits), "{digits:?}");
    }
}

#[test]
fn a_word_too_few_or_too_many_is_none() {
    for count in (0..=16).filter(|count| *count != DIGITS) {
        let digits: Vec<u8> = ASKED.into_iter().cycle().take(count).collect();
        let sample = heard(&digits, 0.99, 0.6);
        assert_eq!(judged(&sample), Err(SpokenLapse::WordsCount), "{count}");
        assert_eq!(score(&ASKED, &sample), None);
    }
}

#[test]
fn words_that_might_be_anything_are_none() {
    let sample = heard(&ASKED, 0.1, 0.6);
    assert_eq!(judged(&sample), Err(SpokenLapse::OtherDigits));
    for wrong in [f32::NAN, f32::NEG_INFINITY] {
        let mut sample = heard(&ASKED, 0.9, 0.6);
        sample.words[2].digits = [wrong; 10];
        assert_eq!(judged(&sample), Err(SpokenLapse::OtherDigits), "{wrong}");
    }
}

#[test]
fn halves_of_two_people_or_no_halves_are_none() {
    let two = Err(SpokenLapse::SeveralPeople);
    for cosine in [-1.0, 0.0, HALVES_LEAST - 0.01] {
        assert_eq!(judged(&heard(&ASKED, 0.9, cosine)), two, "{cosine}");
    }
    assert_eq!(judged(&heard(&ASKED, 0.9, HALVES_LEAST + 0.01)), Ok(()));
    type Spoil = fn(&mut SpokenSample);
    let spoils: [Spoil; 6] = [
        |sample| sample.halves.clear(),
        |sample| sample.halves.truncate(1),
        |sample| sample.halves.push(half(0.0)),
        |sample| sample.halves[1].model = "another".into(),
        |sample| sample.halves[0].vector.push(0.0),
        |sample| sample.halves[1].vector = vec![f32::NAN, 0.0],
    ];
    for (at, spoil) in spoils.into_iter().enumerate() {
        let mut sample = heard(&ASKED, 0.9, 0.9);
        spoil(&mut sample);
        assert_eq!(judged(&sample), two, "{at}");
    }
}
