use super::*;
use crate::onnx::Graph;
use proptest::prelude::*;

fn integer(out: &mut Vec<u8>, value: i64) {
    let bytes = value.unsigned_abs().to_le_bytes();
    let length = (8 - value.unsigned_abs().leading_zeros() as usize / 8).max(1);
    out.push(length as u8 | if value < 0 { 0x80 } else { 0 });
    out.extend_from_slice(&bytes[..length]);
}

fn integers(out: &mut Vec<u8>, values: &[i64]) {
    values.iter().for_each(|value| integer(out, *value));
}

fn named(out: &mut Vec<u8>, layer: &str) {
    integer(out, layer.len() as i64);
    out.extend_from_slice(layer.as_bytes());
}

fn tensor(out: &mut Vec<u8>, count: usize, value: impl Fn(usize) -> f32) {
    integers(out, &[2, count as i64, 1, 1, 1]);
    (0..count).for_each(|at| out.extend_from_slice(&value(at).to_le_bytes()));
}

fn small(at: usize) -> f32 {
    (at % 7) as f32 * 0.1 - 0.3
}

fn convolution(out: &mut Vec<u8>, [filters, channels, side, stride, pad]: [usize; 5]) {
    named(out, "con_4");
    tensor(out, filters * (channels * side * side + 1), small);
    let [f, c, s, t, p] = [filters, channels, side, stride, pad].map(|n| n as i64);
    integers(out, &[f, s, s, t, t, p, p, 1, f, c, s, s, 1, 1, f, 1, 1]);
    named(out, "affine_");
    tensor(out, filters * 2, |at| if at < filters { 2.0 } else { 0.5 });
}

/// A network like dlib's, of five convolutions over 16 pixels.
fn file() -> Vec<u8> {
    let mut out = b"loss".to_vec();
    named(&mut out, "input_rgb_image_sized");
    integers(&mut out, &[122, 0, 117, 0, 104 * 4, -2, 16, 16]);
    convolution(&mut out, [4, 3, 7, 2, 0]);
    convolution(&mut out, [4, 4, 3, 1, 1]);
    convolution(&mut out, [4, 4, 3, 1, 1]);
    named(&mut out, "fc_2");
    integers(&mut out, &[6, 4]);
    tensor(&mut out, 24, small);
    out
}

#[test]
fn layers_become_one_graph_with_affine_and_mean_folded_in() {
    let model = graph(&file(), 16, 6).unwrap();
    let graph = Graph::read(&model).unwrap();
    let ops: Vec<&str> = graph.operations.iter().map(|op| op.op).collect();
    assert_eq!(
        ops,
        [
            "Conv",
            "Relu",
            "MaxPool",
            "Conv",
            "Relu",
            "Conv",
            "Add",
            "Relu",
            "GlobalAveragePool",
            "Flatten",
            "MatMul"
        ]
    );
    let first = &graph.operations[0];
    let (weights, biases) = (
        &graph.constants[first.inputs[1]],
        &graph.constants[first.inputs[2]],
    );
    assert_eq!(weights.dims, [4, 3, 7, 7]);
    assert!((weights.values[1] - small(1) * 2.0 / 256.0).abs() < 1e-7);
    let mean = |at: usize| [122.0, 117.0, 104.0][at / 49 % 3];
    let less: f32 = (0..147).map(|at| small(at) * 2.0 / 256.0 * mean(at)).sum();
    let bias = small(4 * 147) * 2.0 + 0.5 - less;
    assert!((biases.values[0] - bias).abs() < 1e-4, "{biases:?} {bias}");
}

#[test]
fn a_block_that_halves_is_filled_up_with_zeros_where_sizes_differ() {
    let whole = file();
    let at = whole.windows(4).position(|part| part == b"fc_2").unwrap() - 2;
    let mut longer = whole[..at].to_vec();
    // 16 pixels, 5 after the first layer, 2 after pooling: 2 and a pooled 1.
    convolution(&mut longer, [6, 4, 1, 2, 1]);
    convolution(&mut longer, [6, 6, 3, 1, 1]);
    named(&mut longer, "fc_2");
    integers(&mut longer, &[6, 6]);
    tensor(&mut longer, 36, small);
    let model = graph(&longer, 16, 6).unwrap();
    let graph = Graph::read(&model).unwrap();
    let pads = graph.operations.iter().filter(|op| op.op == "Pad").count();
    assert_eq!(pads, 1);
}

#[test]
fn a_file_that_is_not_the_network_is_refused_by_name() {
    let whole = file();
    assert_eq!(
        graph(b"", 16, 6),
        Err(DlibError::Missing("input_rgb_image_sized"))
    );
    let cut = whole.windows(5).position(|part| part == b"con_4").unwrap();
    assert_eq!(
        graph(&whole[..cut], 16, 6),
        Err(DlibError::Missing("con_4"))
    );
    assert_eq!(
        graph(&whole[..cut + 90], 16, 6),
        Err(DlibError::Truncated("con_4"))
    );
    let end = whole.len();
    assert_eq!(
        graph(&whole[..end - 1], 16, 6),
        Err(DlibError::Truncated("fc_2"))
    );
    for (side, dimension) in [(32, 6), (16, 7)] {
        let refused = graph(&whole, side, dimension);
        assert!(matches!(refused, Err(DlibError::Shape { .. })));
    }
    let mut endless = whole.clone();
    endless[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert_eq!(graph(&endless, 16, 6), Err(DlibError::NotFinite("fc_2")));
}

proptest! {
    #[test]
    fn bent_bytes_make_a_graph_or_a_named_refusal_and_never_a_crash(
        bends in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut bent = file();
        for (at, byte) in bends {
            let at = at.index(bent.len());
            bent[at] = byte;
        }
        if let Ok(model) = graph(&bent, 16, 6) {
            prop_assert!(Graph::read(&model).is_ok());
        }
        bent.truncate(cut.index(bent.len()));
        let refused = graph(&bent, 16, 6).is_err();
        prop_assert!(refused, "a part of the file is not the network");
    }

    #[test]
    fn sizes_between_layers_that_are_bent_never_crash(sizes in proptest::array::uniform5(0usize..12)) {
        let mut out = Vec::new();
        named(&mut out, "input_rgb_image_sized");
        integers(&mut out, &[122, 0, 117, 0, 104, 0, 16, 16]);
        convolution(&mut out, sizes);
        let _ = graph(&out, 16, 6);
    }
}
