//! The kernels of the CUDA backend: compiled for a GPU by the pinned compiler, and
//! run on the processor from the same source, where they must agree with ONNX
//! Runtime.
//!
//! Needs REDOUBT_CUDA_DIR for the first, REDOUBT_MODELS_DIR for the second.

mod common;

#[path = "cuda/processor.rs"]
mod processor;

use common::folder;
use ort::environment::Environment;
use processor::Processor;
use redoubt_worker::cuda::check::Expected;
use redoubt_worker::cuda::compiler::{CompileError, Compiler};
use redoubt_worker::cuda::engine::Engine;
use redoubt_worker::cuda::plan::{Kernel, Plan, Shape, Step};
use redoubt_worker::cuda::{CudaError, TOLERANCE, check};
use redoubt_worker::manifest::Manifest;
use redoubt_worker::onnx::Graph;
use redoubt_worker::pipeline::Graphs;
use redoubt_worker::runtime;

fn embedder(test: &str) -> Option<(Environment, Graphs)> {
    let models = folder("REDOUBT_MODELS_DIR", test)?;
    let manifest = Manifest::open(&common::manifest_path(), &models).unwrap();
    let environment = runtime::load(&manifest).unwrap();
    Some((environment, Graphs::read(&manifest).unwrap()))
}

#[test]
fn the_pinned_compiler_compiles_the_kernels_for_every_device_we_name() {
    let Some(folder) = folder("REDOUBT_CUDA_DIR", "compile") else {
        return;
    };
    let compiler = Compiler::load(&folder).unwrap();
    // Turing, Ampere, Ada, Hopper, Blackwell.
    for capability in [(7, 5), (8, 0), (8, 9), (9, 0), (10, 0)] {
        let code = compiler.kernels(capability).unwrap();
        assert_eq!(&code[..4], b"\x7fELF", "{capability:?}");
        for kernel in Kernel::ALL {
            let name = [kernel.name().as_bytes(), b"\0"].concat();
            assert!(code.windows(name.len()).any(|at| at == name), "{kernel:?}");
        }
    }
    let refused = compiler.kernels((1, 0)).unwrap_err();
    assert!(matches!(refused, CompileError::Refused { .. }), "{refused}");
}

#[test]
fn a_compiler_that_is_not_the_pinned_one_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["libnvrtc.so.12", "libnvrtc-builtins.so.12.8"] {
        std::fs::write(folder.path().join(name), b"\x7fELF").unwrap();
    }
    let refused = Compiler::load(folder.path()).unwrap_err();
    assert!(
        refused.to_string().contains("the manifest pins"),
        "{refused}"
    );
}

#[test]
fn the_kernels_agree_with_onnx_runtime_and_leave_nothing() {
    let Some((environment, graphs)) = embedder("kernels on the processor") else {
        return;
    };
    let mut left = Vec::new();
    for embedder in graphs.embedders() {
        let model = &embedder.model;
        let graph = Graph::read(&embedder.graph).unwrap();
        let plan = match Plan::new(&graph, 3, embedder.square.side) {
            Ok(plan) => plan,
            Err(why) => {
                assert!(why.to_string().contains("the CPU does"), "{why}");
                left.push((model.as_str(), why.to_string()));
                continue;
            }
        };
        let reference = graphs.reference(&environment, model).unwrap();
        let expected = Expected::compute(5, plan.input, reference).unwrap();
        let mut engine = Engine::load(Processor::compile(), &plan, 6).unwrap();
        let agreement = check::agree(&mut engine, &expected).unwrap();
        println!("{model}: {agreement:?}");
        assert_eq!(
            (agreement.compared, agreement.wiped),
            (7, plan.widest * 6 * 2)
        );
        // One weight of one layer, and the check says no.
        let mut wrong = plan.clone();
        let middle = wrong.steps.len() / 2;
        wrong.steps[middle]
            .weights
            .iter_mut()
            .step_by(64)
            .for_each(|weight| *weight += 0.05);
        let mut engine = Engine::load(Processor::compile(), &wrong, 6).unwrap();
        let refused = check::agree(&mut engine, &expected).unwrap_err();
        assert!(matches!(refused, CudaError::Differs { .. }), "{refused}");
    }
    println!("left to the CPU: {left:?}");
    let names: Vec<&str> = left.iter().map(|(model, _)| *model).collect();
    assert_eq!(names, ["dlib-resnet-v1"]);
}

/// Every kernel on sizes that fill no tile, against sums written out plainly.
#[test]
fn kernels_are_right_where_their_tiles_end() {
    for (kernel, [ins, outs, side, window, stride, pad]) in [
        (Kernel::Scale, [5, 5, 7, 1, 1, 0]),
        (Kernel::Dense, [3, 13, 9, 3, 2, 1]),
        (Kernel::Dense, [2, 8, 8, 5, 1, 2]),
        (Kernel::Depthwise, [11, 11, 9, 3, 2, 1]),
        (Kernel::Pointwise, [17, 65, 7, 1, 1, 0]),
        (Kernel::Pointwise, [33, 70, 12, 1, 1, 0]),
        (Kernel::Join, [7, 5, 9, 1, 1, 0]),
    ] {
        let step = step(kernel, ins, outs, side, window, stride, pad);
        let input: i32 = ins * side * side;
        let images = check::images(3, input.unsigned_abs() as usize);
        let wanted = processor::plainly(&step, &images, 3);
        let plan = Plan {
            widest: (images.len() / 3).max(wanted.len() / 3),
            input: images.len() / 3,
            output: wanted.len() / 3,
            steps: vec![step],
        };
        let mut engine = Engine::load(Processor::compile(), &plan, 3).unwrap();
        let found = engine.run(&images).unwrap();
        let apart = check::distance(&found, &wanted);
        assert!(apart < TOLERANCE / 10.0, "{kernel:?} {apart:e}");
        assert!(
            engine
                .leftovers()
                .unwrap()
                .iter()
                .all(|number| *number == 0.0)
        );
    }
}

fn step(
    kernel: Kernel,
    ins: i32,
    outs: i32,
    side: i32,
    window: i32,
    stride: i32,
    pad: i32,
) -> Step {
    let out = (side + 2 * pad - window) / stride + 1;
    let out = if kernel == Kernel::Join { 1 } else { out };
    let weights = match kernel {
        Kernel::Scale => 1,
        Kernel::Depthwise => outs * window * window,
        Kernel::Join => ins * side * side * outs,
        _ => ins * outs * window * window,
    };
    let small = |count: i32| -> Vec<f32> {
        let numbers = check::images(1, count.unsigned_abs() as usize);
        numbers.iter().map(|number| number / 128.0 - 1.0).collect()
    };
    Step {
        kernel,
        shape: Shape {
            images: 0,
            in_channels: ins,
            in_height: side,
            in_width: side,
            out_channels: outs,
            out_height: out,
            out_width: out,
            kernel: window,
            stride,
            pad,
        },
        weights: small(weights),
        affine: small(outs * 2),
    }
}
