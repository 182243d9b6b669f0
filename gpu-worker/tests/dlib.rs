//! dlib's network against dlib: the same picture, the same vector.
//!
//! Needs REDOUBT_MODELS_DIR. `tests/dlib/peer.py` made `tests/dlib/expected.txt`.

mod common;

use redoubt_worker::manifest::Manifest;
use redoubt_worker::pipeline::Graphs;
use redoubt_worker::runtime;

const EXPECTED: &str = include_str!("dlib/expected.txt");
const SIDE: usize = 150;

#[test]
fn the_graph_made_of_dlibs_file_answers_as_dlib_does() {
    let test = "the_graph_made_of_dlibs_file_answers_as_dlib_does";
    let Some(models) = common::folder("REDOUBT_MODELS_DIR", test) else {
        return;
    };
    let lines = EXPECTED.lines().filter(|line| !line.starts_with('#'));
    let expected: Vec<f32> = lines.map(|line| line.parse().unwrap()).collect();
    let pixel = |plane: usize, at: usize| {
        let (x, y) = (at % SIDE, at / SIDE);
        ((x * 7 + y * 3 + x * y / 9 + 50 * plane) % 256) as f32
    };
    let planes = (0..3).flat_map(|plane| (0..SIDE * SIDE).map(move |at| pixel(plane, at)));
    let picture: Vec<f32> = planes.collect();
    let manifest = Manifest::open(&common::manifest_path(), &models).unwrap();
    let environment = runtime::load(&manifest).unwrap();
    let graphs = Graphs::read(&manifest).unwrap();
    let mut network = graphs.reference(&environment, "dlib-resnet-v1").unwrap();
    let found = network(&picture).unwrap();
    assert_eq!((found.len(), expected.len()), (128, 128));
    let apart = |(a, b): (&f32, &f32)| (a - b).abs();
    let most = found.iter().zip(&expected).map(apart).fold(0.0, f32::max);
    println!("largest difference from dlib: {most:e}");
    assert!(most < 1e-5, "{most:e}");
}
