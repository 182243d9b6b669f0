use proptest::prelude::*;

use super::*;
use crate::onnx::Tensor;

fn operation<'a>(op: &'a str, inputs: &[&'a str], output: &'a str) -> Operation<'a> {
    Operation {
        op,
        inputs: inputs.to_vec(),
        outputs: vec![output],
        ..Operation::default()
    }
}

fn normalisation<'a>(input: &'a str, output: &'a str) -> Operation<'a> {
    operation(
        "BatchNormalization",
        &[input, "three", "three", "three", "three"],
        output,
    )
}

fn plan<'a>(operations: Vec<Operation<'a>>, output: &'a str) -> Result<Plan, String> {
    let tensor = |dims: &[usize]| Tensor {
        dims: dims.to_vec(),
        values: vec![0.5; dims.iter().product()],
    };
    let constants = [
        ("one", tensor(&[1])),
        ("three", tensor(&[3])),
        ("slopes", tensor(&[3, 1, 1])),
        ("pixel", tensor(&[3, 3, 1, 1])),
        ("window", tensor(&[3, 3, 3, 3])),
        ("wide", tensor(&[9000, 3, 1, 1])),
        ("rows", tensor(&[2, 192])),
        ("two", tensor(&[2])),
    ];
    let graph = Graph {
        operations,
        constants: constants.into(),
        input: "image",
        outputs: vec![output],
    };
    Plan::new(&graph, 3, 8).map_err(|error| error.to_string())
}

fn convolution<'a>(weights: &'a str, side: i64, input: &'a str, output: &'a str) -> Operation<'a> {
    let mut made = operation("Conv", &[input, weights], output);
    made.set("kernel_shape", vec![side, side]);
    made
}

#[test]
fn a_chain_becomes_steps_with_normalisations_folded_in() {
    let chain = vec![
        operation("Sub", &["image", "one"], "a"),
        convolution("pixel", 1, "a", "b"),
        normalisation("b", "c"),
        operation("PRelu", &["c", "slopes"], "d"),
        normalisation("d", "e"),
        operation("Flatten", &["e"], "f"),
        Operation {
            inputs: vec!["f", "rows", "two"],
            ..with(operation("Gemm", &[], "g"), "transB", 1)
        },
    ];
    let plan = plan(chain, "g").unwrap();
    let kernels: Vec<_> = plan.steps.iter().map(|step| step.kernel).collect();
    assert_eq!(kernels, [Kernel::Scale, Kernel::Pointwise, Kernel::Join]);
    assert_eq!((plan.input, plan.output, plan.widest), (192, 2, 192));
}

fn with<'a>(mut operation: Operation<'a>, name: &'a str, number: i64) -> Operation<'a> {
    operation.set(name, vec![number]);
    operation
}

/// Each with the operation that is to blame, and how the refusal begins behind it.
#[test]
fn what_the_kernels_cannot_do_is_refused_by_name() {
    let foreign = Operation {
        domain: "somebody",
        ..operation("Identity", &["image"], "a")
    };
    let cases: Vec<(Vec<Operation<'_>>, &str, &str)> = vec![
        (
            vec![operation("Softmax", &["image"], "a")],
            "Softmax making \"a\"",
            "there is no kernel",
        ),
        (
            vec![
                operation("Sub", &["image", "one"], "a"),
                operation("Mul", &["image", "one"], "b"),
            ],
            "Mul making \"b\"",
            "it does not take",
        ),
        (
            vec![foreign],
            "Identity making \"a\"",
            "its operator is not",
        ),
        (
            vec![operation("Identity", &["image"], "a")],
            "Identity making \"a\"",
            "there is nothing",
        ),
        (
            vec![operation("PRelu", &["image", "slopes"], "a")],
            "PRelu making \"a\"",
            "no layer",
        ),
        (
            vec![
                convolution("pixel", 1, "image", "a"),
                operation("PRelu", &["a", "three"], "b"),
            ],
            "PRelu making \"b\"",
            "its slopes are not one for each channel",
        ),
        (
            vec![convolution("pixel", 3, "image", "a")],
            "Conv making \"a\"",
            "its groups",
        ),
        (
            vec![convolution("pixel", 1 << 40, "image", "a")],
            "Conv making \"a\"",
            "its window is too",
        ),
        (
            vec![convolution("rows", 8, "image", "a")],
            "Conv making \"a\"",
            "its weights have",
        ),
        (
            vec![normalisation("image", "a")],
            "BatchNormalization making \"a\"",
            "no layer takes it",
        ),
        (
            vec![normalisation("image", "a"), normalisation("a", "b")],
            "BatchNormalization making \"b\"",
            "a normalisation stands before it",
        ),
        (
            vec![
                normalisation("image", "a"),
                operation("Sub", &["a", "one"], "b"),
            ],
            "Sub making \"b\"",
            "a normalisation stands before it",
        ),
        (
            vec![
                normalisation("image", "a"),
                convolution("window", 3, "a", "b"),
            ],
            "Conv making \"b\"",
            "a normalisation stands before it",
        ),
    ];
    for (operations, blamed, why) in cases {
        let last = operations.last().unwrap().outputs[0];
        let said = plan(operations, last).unwrap_err();
        let rest = said
            .strip_prefix(blamed)
            .unwrap_or_else(|| panic!("{said}"));
        assert!(rest.starts_with(&format!(": {why}")), "{said}");
    }
    let said = plan(vec![convolution("pixel", 1, "image", "a")], "elsewhere").unwrap_err();
    assert!(said.contains("it is not the graph's one answer"), "{said}");
}

/// 9000 channels of 112² fit one image, but not a batch.
#[test]
fn what_a_whole_batch_cannot_index_is_refused() {
    let tensor = Tensor {
        dims: vec![9000, 3, 1, 1],
        values: vec![0.5; 27_000],
    };
    let graph = Graph {
        operations: vec![convolution("wide", 1, "image", "a")],
        constants: [("wide", tensor)].into(),
        input: "image",
        outputs: vec!["a"],
    };
    assert!(Plan::new(&graph, 3, 8).is_ok());
    let said = Plan::new(&graph, 3, 112).unwrap_err().to_string();
    assert!(said.contains("it is too large for the kernels"), "{said}");
}

proptest! {
    #[test]
    fn odd_numbers_are_refused_or_stay_inside(
        side: i64, stride in -3i64..5, pad: i64, small in 0i64..4, group in -1i64..5, which in 0usize..5,
    ) {
        let weights = ["pixel", "window", "slopes", "rows", "wide"][which];
        for (side, pad) in [(side, pad), (small, small), (small, pad)] {
            let mut made = convolution(weights, side, "image", "a");
            made.set("strides", vec![stride, stride]);
            made.set("pads", vec![pad; 4]);
            made.set("group", vec![group]);
            if let Ok(plan) = plan(vec![made], "a") {
                let shape = plan.steps[0].shape;
                let taps = shape.kernel * shape.kernel;
                let depth = if plan.steps[0].kernel == Kernel::Depthwise { 1 } else { shape.in_channels };
                prop_assert_eq!(plan.steps[0].weights.len() as i32, shape.out_channels * depth * taps);
                prop_assert_eq!(plan.steps[0].affine.len() as i32, shape.out_channels * 2);
                prop_assert!(plan.widest >= plan.input.max(plan.output));
            }
        }
    }
}
