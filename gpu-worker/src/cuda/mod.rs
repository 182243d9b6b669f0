//! The embedder on an NVIDIA GPU: one graph, worked out as a [`Plan`], run by
//! five kernels of our own.
//!
//! Protects against a device that computes something else: before it serves, it
//! must agree with ONNX Runtime to [`TOLERANCE`]. And against faces left in
//! device memory: after every batch whatever was between the layers is
//! overwritten, and so is the page-locked memory on the way there. What a failed
//! device keeps, and registers and shared memory of the last blocks, are not.

mod batches;
pub mod check;
pub mod compiler;
pub mod engine;
mod gpu;
pub mod plan;

use std::path::Path;
use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError};
use ort::environment::Environment;

pub use batches::Handle;
use check::Expected;
pub use check::{Report, TOLERANCE};
pub use plan::Plan;

use crate::onnx::{Graph, TensorError};
use crate::pipeline::{EmbedderGraph, Graphs, NetworkError};
use crate::sandbox::SandboxError;
use compiler::{CompileError, Compiler};
use engine::Engine;
use gpu::Gpu;
use plan::PlanError;

/// The most images in one batch.
pub const BATCH: usize = 32;

/// Why the GPU cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// No driver library.
    #[error("CUDA: no NVIDIA driver is installed here; leave out --cuda to use the CPU")]
    NoDriver,
    /// The driver.
    #[error("CUDA: {0}")]
    Driver(#[from] DriverError),
    /// The compiler.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The model file.
    #[error(transparent)]
    Model(#[from] TensorError),
    /// The graph.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The CPU's answer to compare with.
    #[error(transparent)]
    Reference(#[from] NetworkError),
    /// The answers differ.
    #[error(
        "CUDA: an embedding differs from the CPU's by {found:.1e} of its length, at most \
         {TOLERANCE:.0e} is allowed; this device is not used"
    )]
    Differs {
        /// Largest distance seen, as a part of the CPU's vector's length.
        found: f64,
    },
    /// Something of a batch stayed in device memory.
    #[error("CUDA: device memory still holds something of the last batch; this device is not used")]
    Leftovers,
    /// No thread for the device.
    #[error("CUDA: starting a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A kernel's variables spill into device memory, which nothing wipes.
    #[error("CUDA: the kernel {0} spills on this device; leave out --cuda to use the CPU")]
    Spills(&'static str),
    /// The thread of the device cannot be sealed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The thread that owns the device is gone.
    #[error("CUDA: the device has failed; start the worker again")]
    Gone,
}

/// Different images in a comparison with the CPU: no multiple of any tile.
const COMPARED: usize = 9;

/// An embedder's plan, and what the CPU makes of the images to compare.
#[derive(Debug)]
pub struct Compared {
    model: String,
    plan: Plan,
    expected: Expected,
}

impl Compared {
    /// Every embedder there are kernels for, run on the CPU. The others stay there,
    /// and the log says why; if all do, the first one's reason is the error.
    pub fn all(environment: &Environment, graphs: &Graphs) -> Result<Vec<Self>, CudaError> {
        let (mut compared, mut left) = (Vec::new(), Vec::new());
        for EmbedderGraph {
            model,
            square,
            graph,
            ..
        } in graphs.embedders()
        {
            let plan = match Plan::new(&Graph::read(graph)?, 3, square.side) {
                Ok(plan) => plan,
                Err(why) => {
                    tracing::warn!(model, %why, "this embedder stays on the CPU");
                    left.push(why);
                    continue;
                }
            };
            let reference = graphs.reference(environment, model)?;
            compared.push(Self {
                model: model.clone(),
                expected: Expected::compute(COMPARED, plan.input, reference)?,
                plan,
            });
        }
        match left.into_iter().next() {
            Some(why) if compared.is_empty() => Err(why.into()),
            _ => Ok(compared),
        }
    }
}

/// The first GPU, and the compiler for it.
pub struct Cuda {
    context: Arc<CudaContext>,
    compiler: Arc<Compiler>,
}

impl Cuda {
    /// Opens the device; the compiler's libraries lie in `folder`.
    pub fn open(folder: &Path) -> Result<Self, CudaError> {
        Ok(Self {
            compiler: Arc::new(Compiler::load(folder)?),
            context: gpu::open()?,
        })
    }

    /// These embedders on the device by name, each compared with the CPU first.
    pub fn embedders(&self, all: Vec<Compared>) -> Result<Vec<(String, Handle)>, CudaError> {
        let start = |compared: Compared| {
            let (context, compiler) = (Arc::clone(&self.context), Arc::clone(&self.compiler));
            let model = compared.model.clone();
            let (handle, agreement) = Handle::start(move || {
                let mut engine = engine(&context, &compiler, &compared.plan)?;
                let agreement = check::agree(&mut engine, &compared.expected)?;
                Ok((engine, agreement))
            })?;
            let largest = agreement.largest;
            tracing::info!(model, largest, "the device agrees with the CPU");
            Ok((model, handle))
        };
        all.into_iter().map(start).collect()
    }

    /// Compares every embedder with the CPU and measures both.
    pub fn check(
        &self,
        environment: &Environment,
        graphs: &Graphs,
    ) -> Result<Vec<Report>, CudaError> {
        let all = Compared::all(environment, graphs)?;
        all.into_iter()
            .map(|compared| {
                let reference = graphs.reference(environment, &compared.model)?;
                self.report(compared, reference)
            })
            .collect()
    }

    fn report(
        &self,
        compared: Compared,
        mut reference: impl FnMut(&[f32]) -> Result<Vec<f32>, NetworkError>,
    ) -> Result<Report, CudaError> {
        let (device, capability) = gpu::describe(&self.context)?;
        let compile = || self.compiler.kernels(capability).map(drop);
        let compile_ms = check::median_ms(3, compile)?;
        let mut engine = engine(&self.context, &self.compiler, &compared.plan)?;
        let agreement = check::agree(&mut engine, &compared.expected)?;
        let face = check::images(1, engine.input());
        let cpu_ms = check::median_ms(20, || reference(&face).map(drop))?;
        let mut device_ms = Vec::new();
        for count in [1, 4, 16, BATCH] {
            let faces = check::images(count, engine.input());
            let ms = check::median_ms(100, || engine.run(&faces).map(drop))?;
            device_ms.push((count, ms));
        }
        Ok(Report {
            device,
            compute_capability: format!("{}.{}", capability.0, capability.1),
            model: compared.model,
            compile_ms,
            compared: agreement.compared,
            largest_difference: agreement.largest,
            tolerance: TOLERANCE,
            wiped: agreement.wiped,
            cpu_ms,
            device_ms,
        })
    }
}

fn engine(
    context: &Arc<CudaContext>,
    compiler: &Compiler,
    plan: &Plan,
) -> Result<Engine<Gpu>, CudaError> {
    Engine::load(Gpu::new(context, compiler)?, plan, BATCH)
}
