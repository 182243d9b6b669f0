//! What the pipeline says of portraits and of what can be made of them.
//!
//! Needs REDOUBT_MODELS_DIR and REDOUBT_MEDIA_DIR (obama.jpg, obama2.jpg,
//! obama3.jpg, biden.jpg).

mod common;

use std::io::Cursor;
use std::path::Path;

use common::{cosine, far, folder};
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageFormat, RgbImage};
use redoubt_shared::worker::{FaceSample, SampleRefusal};
use redoubt_worker::pipeline::Pipeline;

/// Cosine of the manifest at one false match in 10,000.
const THRESHOLD: f32 = 0.415;

/// What OpenCV's detector and resampling and the same network under Python gave.
const LIVE: [(&str, f32); 4] = [
    ("obama.jpg", 0.99983),
    ("obama2.jpg", 0.98930),
    ("obama3.jpg", 0.99986),
    ("biden.jpg", 0.99991),
];

type Outcome = Result<FaceSample, SampleRefusal>;

fn png(image: &RgbImage) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

fn portrait(media: &Path, name: &str) -> RgbImage {
    let bytes = std::fs::read(media.join(name)).unwrap();
    image::load_from_memory(&bytes).unwrap().to_rgb8()
}

fn face(pipeline: &mut Pipeline, image: &RgbImage) -> Outcome {
    pipeline.face(&png(image), false, far()).0
}

/// A portrait at a quarter of its size, then changed.
fn changed(original: &RgbImage, change: impl Fn(f32) -> f32) -> RgbImage {
    let mut image = original.clone();
    image
        .iter_mut()
        .for_each(|value| *value = change(f32::from(*value)).clamp(0.0, 255.0) as u8);
    image
}

fn scaled(original: &RgbImage, factor: f32) -> RgbImage {
    let side = |length: u32| ((length as f32 * factor) as u32).max(1);
    imageops::resize(
        original,
        side(original.width()),
        side(original.height()),
        FilterType::Triangle,
    )
}

fn side_by_side(left: &RgbImage, right: &RgbImage) -> RgbImage {
    let width = left.width() + right.width();
    let mut both = RgbImage::new(width, left.height().max(right.height()));
    imageops::replace(&mut both, left, 0, 0);
    imageops::replace(&mut both, right, i64::from(left.width()), 0);
    both
}

fn ready(test: &str) -> Option<(std::path::PathBuf, std::path::PathBuf)> {
    Some((
        folder("REDOUBT_MODELS_DIR", test)?,
        folder("REDOUBT_MEDIA_DIR", test)?,
    ))
}

// One test: only one inference environment may exist in a process.
#[test]
fn portraits_are_told_apart_and_spoiled_ones_are_refused_for_their_own_reason() {
    let test = "portraits_are_told_apart_and_spoiled_ones_are_refused_for_their_own_reason";
    let Some((models, media)) = ready(test) else {
        return;
    };
    let (_environment, mut pipeline) = common::pipeline(&models);
    the_same_person_matches_and_another_does_not(&mut pipeline, &media);
    spoiled_portraits(&mut pipeline, &media);
    turned_and_recoded_portraits_stay_the_same_person(&mut pipeline, &media);
    what_is_no_picture(&mut pipeline, &media);
}

fn the_same_person_matches_and_another_does_not(pipeline: &mut Pipeline, media: &Path) {
    let mut sample = |name: &str| {
        let bytes = std::fs::read(media.join(name)).unwrap();
        let (outcome, times) = pipeline.face(&bytes, true, far());
        let sample = outcome.unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
        println!("{name}: {:?} {times:?}", sample.quality);
        assert!(sample.quality.score >= 0.5);
        let live = sample.liveness.expect("asked for");
        let expected = LIVE.iter().find(|(of, _)| *of == name).unwrap().1;
        assert!((live - expected).abs() < 0.05, "{name}: {live}");
        let norm: f32 = sample.embeddings[0].vector.iter().map(|v| v * v).sum();
        assert!((norm - 1.0).abs() < 1e-4);
        sample
    };
    let (one, two, three) = (
        sample("obama.jpg"),
        sample("obama2.jpg"),
        sample("obama3.jpg"),
    );
    let other = sample("biden.jpg");
    println!(
        "same {:.3} {:.3} {:.3}, different {:.3} {:.3}",
        cosine(&one, &two),
        cosine(&one, &three),
        cosine(&two, &three),
        cosine(&one, &other),
        cosine(&two, &other)
    );
    assert!(cosine(&one, &two) > THRESHOLD && cosine(&one, &three) > THRESHOLD);
    for sample in [one, two, three] {
        assert!(cosine(&sample, &other) < THRESHOLD - 0.1);
    }
}

fn spoiled_portraits(pipeline: &mut Pipeline, media: &Path) {
    let obama = scaled(&portrait(media, "obama.jpg"), 0.5);
    let biden = scaled(&portrait(media, "biden.jpg"), 0.5);
    let blank = RgbImage::from_pixel(400, 400, image::Rgb([120, 130, 140]));
    let mut tiny = RgbImage::from_pixel(obama.width(), obama.height(), image::Rgb([128; 3]));
    imageops::replace(&mut tiny, &scaled(&obama, 0.12), 150, 150);
    let cases = [
        (
            "dark",
            changed(&obama, |v| v * 0.15),
            SampleRefusal::TooDark,
        ),
        (
            "bright",
            changed(&obama, |v| v * 0.3 + 220.0),
            SampleRefusal::TooBright,
        ),
        ("tiny", tiny, SampleRefusal::FaceTooSmall),
        (
            "blurred",
            imageops::blur(&obama, 6.0),
            SampleRefusal::Blurred,
        ),
        (
            "two faces",
            side_by_side(&obama, &biden),
            SampleRefusal::ManyFaces,
        ),
        ("blank", blank, SampleRefusal::NoFace),
    ];
    for (name, image, expected) in cases {
        let outcome = face(pipeline, &image);
        println!(
            "{name}: {:?}",
            outcome.as_ref().map(|sample| sample.quality)
        );
        assert_eq!(outcome.err(), Some(expected), "{name}");
    }
}

fn turned_and_recoded_portraits_stay_the_same_person(pipeline: &mut Pipeline, media: &Path) {
    let obama = portrait(media, "obama2.jpg");
    let reference = face(pipeline, &obama).unwrap();
    for format in [ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Png] {
        let mut out = Cursor::new(Vec::new());
        DynamicImage::from(obama.clone())
            .write_to(&mut out, format)
            .unwrap();
        let sample = pipeline.face(&out.into_inner(), false, far()).0.unwrap();
        assert!(cosine(&reference, &sample) > 0.95, "{format:?}");
    }
    for factor in [0.3, 0.6, 1.7] {
        let sample = face(pipeline, &scaled(&obama, factor)).unwrap();
        let near = cosine(&reference, &sample);
        println!("scaled {factor}: {near:.3}");
        assert!(near > 0.8, "{factor}: {near}");
    }
}

fn what_is_no_picture(pipeline: &mut Pipeline, media: &Path) {
    let whole = std::fs::read(media.join("obama.jpg")).unwrap();
    for bytes in [&whole[..whole.len() / 2], b"", b"%PDF-1.7", &[0; 4096]] {
        let outcome = pipeline.face(bytes, true, far()).0;
        assert_eq!(outcome.err(), Some(SampleRefusal::NotAnImage));
    }
    let late = std::time::Instant::now();
    assert_eq!(
        pipeline.face(&whole, true, late).0.err(),
        Some(SampleRefusal::Deadline)
    );
}
