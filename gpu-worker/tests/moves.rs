//! What the networks that follow a face say of photographs, and of one that is made to
//! move.
//!
//! Needs REDOUBT_MODELS_DIR and REDOUBT_MEDIA_DIR; with REDOUBT_DATA, the photographs of
//! LFW's fold 1 below it too.

mod common;
#[path = "../../tests/bank/src/moving.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the bank's own module, read here once more"
)]
mod moving;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{cosine, far, folder};
use moving::{Camera, Portrait, Stance};
use redoubt_shared::limits::{FRAMES_MAX, FRAMES_MIN};
use redoubt_shared::worker::{FrameRefusal, FrameSample, SampleRefusal};
use redoubt_worker::pipeline::Pipeline;

// One test: only one inference environment may exist in a process.
#[test]
fn moves_of_a_face_are_followed_and_what_is_no_frame_is_refused_by_its_number() {
    let test = "moves_of_a_face_are_followed_and_what_is_no_frame_is_refused_by_its_number";
    let (Some(models), Some(media)) = (
        folder("REDOUBT_MODELS_DIR", test),
        folder("REDOUBT_MEDIA_DIR", test),
    ) else {
        return;
    };
    let (_environment, mut pipeline) = common::pipeline(&models);
    let read = |name: &str| std::fs::read(media.join(name)).unwrap();
    let person = Portrait::person(&read("obama3.jpg")).unwrap();
    let other = Portrait::other(&read("biden.jpg")).unwrap();
    for portrait in [&person, &other] {
        turns_and_lids_are_followed(&mut pipeline, portrait);
    }
    refusals(&mut pipeline, &person);
    if let Some(data) = folder("REDOUBT_DATA", test) {
        is_plausible_on_photographs(&mut pipeline, &data.join("lfw-fold1"));
    }
}

fn turns_and_lids_are_followed(pipeline: &mut Pipeline, portrait: &Portrait) {
    let yaws = [-30.0f32, -15.0, 0.0, 15.0, 30.0];
    let pitches = [-20.0f32, 0.0, 20.0];
    let of = |yaw, pitch, shut| Stance { yaw, pitch, shut };
    let mut stances: Vec<Stance> = yaws.iter().map(|yaw| of(*yaw, 0.0, false)).collect();
    stances.extend(pitches.map(|pitch| of(0.0, pitch, false)));
    stances.extend([of(0.0, 0.0, true), of(0.0, 0.0, false)]);
    let mut camera = Camera::new(1);
    let frames = stances
        .iter()
        .map(|one| camera.taken(portrait, *one).unwrap());
    let frames: Vec<Vec<u8>> = frames.collect();
    let began = Instant::now();
    let seen = pipeline.frames(&frames, true, far()).unwrap();
    println!("{} frames in {:?}", seen.len(), began.elapsed());
    for (stance, frame) in stances.iter().zip(&seen) {
        let FrameSample {
            yaw, pitch, eyes, ..
        } = frame;
        let like = cosine(&seen[2].face, &frame.face);
        println!("{stance:?}: yaw {yaw:.1} pitch {pitch:.1} eyes {eyes:.2?} like {like:.3}");
        assert!(like > 0.5, "it stays the same person: {like}");
        assert!(frame.face.liveness.is_some() && frame.picture == [400, 400]);
    }
    let rising = |values: Vec<f32>, least: f32| {
        let steps = values.windows(2).all(|pair| pair[1] > pair[0]);
        assert!(
            steps && values[values.len() - 1] - values[0] > least,
            "{values:?}"
        );
    };
    rising(seen[..5].iter().map(|frame| frame.yaw).collect(), 24.0);
    rising(seen[5..8].iter().map(|frame| frame.pitch).collect(), 8.0);
    assert!(
        seen[8].eyes.iter().all(|eye| *eye < 0.5),
        "{:?}",
        seen[8].eyes
    );
    assert!(
        seen[9].eyes.iter().all(|eye| *eye > 0.5),
        "{:?}",
        seen[9].eyes
    );
}

fn refusals(pipeline: &mut Pipeline, person: &Portrait) {
    let mut camera = Camera::new(2);
    let frame = camera.taken(person, Stance::default()).unwrap();
    let mut told = |frames: &[Vec<u8>], deadline| {
        let outcome = pipeline.frames(frames, false, deadline);
        outcome
            .map(|frames| frames.len())
            .map_err(|FrameRefusal { frame, why }| (frame, why))
    };
    let all = |count: usize| vec![frame.clone(); count];
    for count in [0, FRAMES_MIN - 1, FRAMES_MAX + 1] {
        assert_eq!(
            told(&all(count), far()),
            Err((0, SampleRefusal::FrameCount))
        );
    }
    assert_eq!(told(&all(FRAMES_MIN), far()), Ok(FRAMES_MIN));
    let late = Instant::now() - Duration::from_millis(1);
    assert_eq!(
        told(&all(FRAMES_MIN), late),
        Err((0, SampleRefusal::Deadline))
    );
    let mut hostile = frame.clone();
    hostile.truncate(900);
    let huge = {
        let image = image::RgbImage::from_pixel(2001, 2000, image::Rgb([90; 3]));
        let mut out = std::io::Cursor::new(Vec::new());
        image.write_to(&mut out, image::ImageFormat::Png).unwrap();
        out.into_inner()
    };
    for (one, why) in [
        (hostile, SampleRefusal::NotAnImage),
        (b"<svg>".to_vec(), SampleRefusal::NotAnImage),
        (Vec::new(), SampleRefusal::NotAnImage),
        (huge, SampleRefusal::TooManyPixels),
    ] {
        let mut frames = all(FRAMES_MIN);
        frames[6] = one;
        assert_eq!(told(&frames, far()), Err((6, why)));
    }
}

/// Press photographs: most look about into the camera with open eyes.
fn is_plausible_on_photographs(pipeline: &mut Pipeline, folder: &Path) {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|person| {
            std::fs::read_dir(person.unwrap().path())
                .into_iter()
                .flatten()
        })
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "jpg"))
        .collect();
    files.sort();
    let (mut yaws, mut shut, mut refused) = (Vec::new(), 0, 0);
    for path in files.iter().step_by(2) {
        match pipeline.frame_alone(&std::fs::read(path).unwrap(), far()) {
            Ok(frame) => {
                yaws.push(frame.yaw);
                shut += usize::from(frame.eyes.iter().all(|eye| *eye < 0.5));
            }
            Err(_) => refused += 1,
        }
    }
    yaws.sort_by(f32::total_cmp);
    let part = |share: f32| yaws[(share * (yaws.len() - 1) as f32) as usize];
    println!(
        "{} photographs, {refused} refused: yaw at 5, 50, 95 percent {:.1} {:.1} {:.1}; both eyes shut in {shut}",
        yaws.len(),
        part(0.05),
        part(0.5),
        part(0.95)
    );
    assert!(part(0.5).abs() < 8.0 && part(0.05) < -10.0 && part(0.95) > 10.0);
    assert!(shut * 20 < yaws.len(), "{shut} of {}", yaws.len());
}
