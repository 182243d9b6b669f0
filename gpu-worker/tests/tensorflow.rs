//! Frozen TensorFlow graphs: made here and computed in plain loops, bent, and FaceNet's.
//!
//! Needs REDOUBT_MODELS_DIR; FaceNet's where that folder holds `inception_resnet_v1.pb`
//! (images/embedders/facenet.toml). `tests/tensorflow/peer.py` made `expected.txt`.

mod common;

use common::graphdef::{Graphdef, Numbers};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;
use proptest::prelude::*;
use redoubt_worker::manifest::Manifest;
use redoubt_worker::runtime;
use redoubt_worker::tensorflow::{TensorflowError, graph};

const SIDE: usize = 16;
const EXPECTED: &str = include_str!("tensorflow/expected.txt");

/// Numbers of every sign, the same each time.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// One of every operation, at the size of a stamp.
fn small() -> Graphdef {
    let mut def = Graphdef::default();
    let image = Numbers::of;
    def.placeholder("input");
    def.floats("w1", &image(&[3, 3, 3, 4], numbers(1, 108)));
    def.convolution("c1", ["input:0", "w1"], 2, "VALID");
    def.floats("b1", &image(&[4], numbers(2, 4)));
    def.node("a1", "BiasAdd", &["c1", "b1"]);
    def.node("r1", "Relu", &["a1"]);
    def.floats("w2", &image(&[1, 3, 4, 2], numbers(3, 24)));
    def.convolution("c2", ["r1", "w2"], 1, "SAME");
    def.integers("axis", &[3]);
    def.node("j", "ConcatV2", &["r1", "c2", "axis"]);
    def.floats("w3", &image(&[1, 1, 6, 6], numbers(4, 36)));
    def.convolution("c3", ["j", "w3"], 1, "VALID");
    def.floats("by", &image(&[], vec![0.25]));
    def.node("m", "Mul", &["by", "c3"]);
    def.node("s", "Add", &["j", "m"]);
    def.pool("p", "MaxPool", "s", 3, 2);
    def.pool("q", "AvgPool", "p", 3, 1);
    def.integers("shape", &[-1, 6]);
    def.node("f", "Reshape", &["q", "shape"]);
    def.floats("w4", &image(&[6, 5], numbers(5, 30)));
    def.node("d", "MatMul", &["f", "w4"]);
    for (name, seed) in [("scale", 6), ("offset", 7), ("mean", 8)] {
        def.floats(name, &image(&[5], numbers(seed, 5)));
    }
    def.repeated("variance", 5, 0.5);
    def.normalisation("n", &["d", "scale", "offset", "mean", "variance"], 1e-3);
    def.node("sq", "Square", &["n"]);
    def.node("never", "Rsqrt", &["sq"]);
    // A file has its nodes in any order.
    def.turned_round()
}

/// The same in loops over rows, columns and channels, channels last as TensorFlow has them.
fn by_hand(picture: &[f32]) -> Vec<f32> {
    let at = |y: usize, x: usize, c: usize| picture[c * SIDE * SIDE + y * SIDE + x];
    let (w1, b1, w2) = (numbers(1, 108), numbers(2, 4), numbers(3, 24));
    let (w3, w4) = (numbers(4, 36), numbers(5, 30));
    let side = (SIDE - 3) / 2 + 1;
    let mut joined = vec![[0.0f32; 6]; side * side];
    for y in 0..side {
        for x in 0..side {
            for o in 0..4 {
                let mut sum = b1[o];
                for (dy, dx, i) in (0..27).map(|n| (n / 9, n / 3 % 3, n % 3)) {
                    sum += at(2 * y + dy, 2 * x + dx, i) * w1[((dy * 3 + dx) * 3 + i) * 4 + o];
                }
                joined[y * side + x][o] = sum.max(0.0);
            }
        }
    }
    let first = joined.clone();
    for y in 0..side {
        for x in 0..side {
            for o in 0..2 {
                for (dx, i) in (0..12).map(|n| (n / 4, n % 4)) {
                    if (1..=side).contains(&(x + dx)) {
                        let seen = first[y * side + x + dx - 1][i];
                        joined[y * side + x][4 + o] += seen * w2[(dx * 4 + i) * 2 + o];
                    }
                }
            }
        }
    }
    let summed: Vec<[f32; 6]> = joined
        .iter()
        .map(|cell| {
            std::array::from_fn(|o| {
                let more: f32 = (0..6).map(|i| cell[i] * w3[i * 6 + o]).sum();
                cell[o] + 0.25 * more
            })
        })
        .collect();
    let pooled = (side - 3) / 2 + 1;
    assert_eq!(pooled, 3);
    let mut mean = [0.0f32; 6];
    for (y, x, c) in (0..54).map(|n| (n / 18, n / 6 % 3, n % 6)) {
        let window = (0..9).map(|n| summed[(2 * y + n / 3) * side + 2 * x + n % 3][c]);
        mean[c] += window.fold(f32::MIN, f32::max) / 9.0;
    }
    let [scale, offset, middle] = [6, 7, 8].map(|seed| numbers(seed, 5));
    (0..5)
        .map(|o| {
            let sum: f32 = (0..6).map(|i| mean[i] * w4[i * 5 + o]).sum();
            (sum - middle[o]) * scale[o] / (0.5f32 + 1e-3).sqrt() + offset[o]
        })
        .collect()
}

fn answer(environment: &Environment, graph: &[u8], side: usize, picture: &[f32]) -> Vec<f32> {
    let builder = Session::builder(environment).unwrap();
    let mut session = builder
        .with_intra_threads(1)
        .unwrap()
        .commit_from_memory(graph)
        .unwrap();
    let input = TensorRef::from_array_view(([1, 3, side, side], picture)).unwrap();
    let outputs = session.run(ort::inputs![input]).unwrap();
    outputs[0].try_extract_tensor::<f32>().unwrap().1.to_vec()
}

fn farthest(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let apart = |(a, b): (&f32, &f32)| (a - b).abs();
    ours.iter().zip(theirs).map(apart).fold(0.0, f32::max)
}

#[test]
fn a_frozen_graph_answers_as_its_operations_say() {
    let test = "a_frozen_graph_answers_as_its_operations_say";
    let Some(models) = common::folder("REDOUBT_MODELS_DIR", test) else {
        return;
    };
    let manifest = Manifest::open(&common::manifest_path(), &models).unwrap();
    let environment = runtime::load(&manifest).unwrap();
    let made = graph(&small().bytes(), SIDE, 5).unwrap();
    let picture = numbers(99, 3 * SIDE * SIDE);
    let apart = farthest(
        &answer(&environment, &made, SIDE, &picture),
        &by_hand(&picture),
    );
    assert!(apart < 1e-4, "{apart:e}");

    let file = models.join("inception_resnet_v1.pb");
    let Ok(file) = std::fs::read(file) else {
        println!("skipped: FaceNet's graph: inception_resnet_v1.pb is not among the models");
        return;
    };
    let pixel = |plane: usize, at: usize| {
        let (x, y) = (at % 160, at / 160);
        (((x * 7 + y * 3 + x * y / 9 + 50 * plane) % 256) as f32 - 127.5) / 128.0
    };
    let planes = (0..3).flat_map(|plane| (0..160 * 160).map(move |at| pixel(plane, at)));
    let picture: Vec<f32> = planes.collect();
    let vector = answer(
        &environment,
        &graph(&file, 160, 512).unwrap(),
        160,
        &picture,
    );
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    let vector: Vec<f32> = vector.iter().map(|value| value / length).collect();
    let lines = EXPECTED.lines().filter(|line| !line.starts_with('#'));
    let expected: Vec<f32> = lines.map(|line| line.parse().unwrap()).collect();
    let apart = farthest(&vector, &expected);
    println!("largest difference from OpenCV: {apart:e}; length {length}");
    assert!(apart < 1e-5, "{apart:e}");
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let bent = |change: fn(&mut Graphdef)| {
        let mut def = Graphdef::default();
        def.placeholder("input");
        def.floats("w", &Numbers::of(&[3, 3, 3, 2], numbers(1, 54)));
        change(&mut def);
        graph(&def.bytes(), SIDE, 5).unwrap_err()
    };
    let named = |error: &TensorflowError| match error {
        TensorflowError::Operation { name, .. } | TensorflowError::Shape { name, .. } => {
            name.clone()
        }
        TensorflowError::Wire(_) => String::new(),
    };
    let cases: [fn(&mut Graphdef); 11] = [
        |def| def.node("x", "Softmax", &["input"]),
        |def| def.node("x", "Relu", &["later"]),
        |def| def.convolution("x", ["input", "w"], 2, "SAME"),
        |def| def.convolution("x", ["input", "nothing"], 1, "VALID"),
        |def| def.convolution("x", ["input", "w"], 0, "VALID"),
        |def| def.pool("x", "MaxPool", "input", 17, 1),
        |def| def.node("x", "Reshape", &["input"]),
        |def| def.node("x", "ConcatV2", &[]),
        |def| def.node("x", "BiasAdd", &["input", "w"]),
        |def| def.node("x", "MatMul", &["input", "w"]),
        |def| def.floats("x", &Numbers::of(&[usize::MAX, 2], vec![1.0])),
    ];
    for (at, case) in cases.into_iter().enumerate() {
        let error = bent(case);
        assert_eq!(named(&error), "x", "{at}: {error}");
    }
    assert_eq!(
        named(&bent(|def| def.node("r", "Relu", &["input"]))),
        "graph"
    );
    assert_eq!(named(&graph(&[], SIDE, 5).unwrap_err()), "graph");
    let nan = Numbers::of(&[3], vec![0.0, f32::NAN, 0.0]);
    let mut def = Graphdef::default();
    def.placeholder("input");
    def.floats("b", &nan);
    def.node("x", "BiasAdd", &["input", "b"]);
    assert_eq!(named(&graph(&def.bytes(), SIDE, 5).unwrap_err()), "x");
}

proptest! {
    #[test]
    fn bent_graphs_are_made_or_refused_without_a_crash(at in 0..4000usize, to in any::<u8>(), cut in 0..4000usize) {
        let mut bytes = small().bytes();
        let at = at % bytes.len();
        bytes[at] = to;
        let _ = graph(&bytes, SIDE, 5);
        let _ = graph(&bytes[..cut % bytes.len()], SIDE, 5);
    }
}
