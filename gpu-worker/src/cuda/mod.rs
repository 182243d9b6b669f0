//! The embedder on an NVIDIA GPU: one graph, worked out as a [`Plan`], run by
//! five kernels of our own.
//!
//! Protects against a device that computes something else: before it serves, it
//! must agree with ONNX Runtime to [`TOLERANCE`]. And against faces left in
//! device memory: after every batch whatever was between the layers is
//! overwritten, and so is the page-locked memory on the way there.

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

pub use batches::{Handle, end};
use check::Expected;
pub use check::{Report, TOLERANCE};
pub use plan::Plan;

use crate::onnx::{Graph, TensorError};
use crate::pipeline::{FACE_SIDE, Graphs, NetworkError};
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
    /// The thread of the device cannot be sealed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The thread that owns the device is gone.
    #[error("CUDA: the device has failed; start the worker again")]
    Gone,
}

/// Images in a comparison with the CPU: no multiple of any tile.
const COMPARED: usize = 9;

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

    /// Every embedder on the device, each compared with the CPU first.
    pub fn embedders(
        &self,
        environment: &Environment,
        graphs: &Graphs,
    ) -> Result<Vec<Handle>, CudaError> {
        let start = |(model, graph): (&str, &[u8])| {
            let plan = plan(graph)?;
            let reference = graphs.reference(environment, model)?;
            let expected = Expected::compute(COMPARED, plan.input, reference)?;
            let (context, compiler) = (Arc::clone(&self.context), Arc::clone(&self.compiler));
            let (handle, agreement) = Handle::start(move || {
                let mut engine = engine(&context, &compiler, &plan)?;
                let agreement = check::agree(&mut engine, &expected)?;
                Ok((engine, agreement))
            })?;
            let largest = agreement.largest;
            tracing::info!(model, largest, "the device agrees with the CPU");
            Ok(handle)
        };
        graphs.embedders().map(start).collect()
    }

    /// Compares every embedder with the CPU and measures both.
    pub fn check(
        &self,
        environment: &Environment,
        graphs: &Graphs,
    ) -> Result<Vec<Report>, CudaError> {
        let measure = |(model, graph)| self.report(environment, graphs, model, graph);
        graphs.embedders().map(measure).collect()
    }

    fn report(
        &self,
        environment: &Environment,
        graphs: &Graphs,
        model: &str,
        graph: &[u8],
    ) -> Result<Report, CudaError> {
        let (device, capability) = gpu::describe(&self.context)?;
        let compile = || self.compiler.kernels(capability).map(drop);
        let compile_ms = check::median_ms(3, compile)?;
        let plan = plan(graph)?;
        let mut engine = engine(&self.context, &self.compiler, &plan)?;
        let mut reference = graphs.reference(environment, model)?;
        let expected = Expected::compute(COMPARED, plan.input, &mut reference)?;
        let agreement = check::agree(&mut engine, &expected)?;
        let face = check::images(1, plan.input);
        let cpu_ms = check::median_ms(20, || reference(&face).map(drop))?;
        let mut device_ms = Vec::new();
        for count in [1, 4, 16, BATCH] {
            let faces = check::images(count, plan.input);
            let ms = check::median_ms(100, || engine.run(&faces).map(drop))?;
            device_ms.push((count, ms));
        }
        Ok(Report {
            device,
            compute_capability: format!("{}.{}", capability.0, capability.1),
            model: model.to_owned(),
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

fn plan(graph: &[u8]) -> Result<Plan, CudaError> {
    Ok(Plan::new(&Graph::read(graph)?, 3, FACE_SIDE)?)
}

fn engine(
    context: &Arc<CudaContext>,
    compiler: &Compiler,
    plan: &Plan,
) -> Result<Engine<Gpu>, CudaError> {
    Engine::load(Gpu::new(context, compiler)?, plan, BATCH)
}
