//! Graphs with their slopes spelled out, against the graphs as they come.
//!
//! Needs REDOUBT_MODELS_DIR.

mod common;

use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;
use redoubt_worker::manifest::Manifest;
use redoubt_worker::onnx::{InputSize, mend, spell_out_slopes};
use redoubt_worker::runtime;

/// Noise, which has every sign in every layer.
fn picture(side: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        ((state >> 56) as u8) as f32
    };
    (0..3 * side * side).map(|_| next()).collect()
}

fn answer(environment: &Environment, graph: &[u8], side: usize) -> Vec<f32> {
    let builder = Session::builder(environment).unwrap();
    let mut session = builder
        .with_intra_threads(1)
        .unwrap()
        .commit_from_memory(graph)
        .unwrap();
    let picture = picture(side);
    let input = TensorRef::from_array_view(([1, 3, side, side], picture.as_slice())).unwrap();
    let outputs = session.run(ort::inputs![input]).unwrap();
    outputs[0].try_extract_tensor::<f32>().unwrap().1.to_vec()
}

#[test]
fn slopes_spelled_out_answer_as_the_runtime_s_own() {
    let test = "slopes_spelled_out_answer_as_the_runtime_s_own";
    let Some(models) = common::folder("REDOUBT_MODELS_DIR", test) else {
        return;
    };
    let manifest = Manifest::open(&common::manifest_path(), &models).unwrap();
    let environment = runtime::load(&manifest).unwrap();
    for (role, side) in [("face_embedder", 112), ("face_liveness", 128)] {
        let model = manifest.models(role).unwrap().remove(0);
        let graph = mend(&model.bytes, InputSize::Fixed).unwrap();
        let spelled = spell_out_slopes(&graph).unwrap();
        assert_ne!(graph, spelled, "{role}");
        let (own, ours) = (
            answer(&environment, &graph, side),
            answer(&environment, &spelled, side),
        );
        let length = own.iter().map(|value| value * value).sum::<f32>().sqrt();
        let apart = |(a, b): (&f32, &f32)| (a - b).abs() / length;
        let most = own.iter().zip(&ours).map(apart).fold(0.0, f32::max);
        println!("{role}: apart by {most:e} of the vector's length");
        assert!(most < 1e-5, "{role}: {most:e}");
    }
}
