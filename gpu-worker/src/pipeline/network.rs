//! One loaded graph on one thread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use ort::environment::{Environment, ThreadManager};
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionOutputs};
use ort::value::TensorRef;
use redoubt_shared::worker::Embedding;

use crate::onnx::{TensorError, spell_out_slopes};
use crate::sandbox::forbid_files;

/// Why inference could not be set up or run.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The library refused the model, the options or the run.
    #[error("ONNX Runtime: {0}")]
    Runtime(String),
    /// The graph cannot be read.
    #[error(transparent)]
    Graph(#[from] TensorError),
    /// A graph answered with other tensors than it should.
    #[error("model {model}: output {output:?} is missing or has another shape")]
    Output {
        /// Manifest id.
        model: String,
        /// Output name.
        output: String,
    },
}

impl<T> From<ort::Error<T>> for NetworkError {
    fn from(error: ort::Error<T>) -> Self {
        NetworkError::Runtime(error.to_string())
    }
}

/// A graph ready to run. One per thread: running needs `&mut`.
#[derive(Debug)]
pub(crate) struct Network {
    model: String,
    session: Session,
}

impl Network {
    /// Loads a mended graph; `threads` work inside one run.
    pub(crate) fn load(
        environment: &Environment,
        model: &str,
        graph: &[u8],
        threads: usize,
    ) -> Result<Self, NetworkError> {
        Self::load_as_it_comes(environment, model, &spell_out_slopes(graph)?, threads)
    }

    /// The same with its slopes left to the library.
    pub(super) fn load_as_it_comes(
        environment: &Environment,
        model: &str,
        graph: &[u8],
        threads: usize,
    ) -> Result<Self, NetworkError> {
        let session = Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            .with_thread_manager(Helpers)?
            .commit_from_memory(graph)?;
        Ok(Self {
            model: model.to_owned(),
            session,
        })
    }

    /// Runs on one input of this shape and hands the outputs to `read`.
    pub(crate) fn run<T, const AXES: usize>(
        &mut self,
        shape: [usize; AXES],
        numbers: &[f32],
        read: impl FnOnce(&Outputs<'_, '_>) -> Result<T, NetworkError>,
    ) -> Result<T, NetworkError> {
        let tensor = TensorRef::from_array_view((shape, numbers))?;
        let outputs = self.session.run(ort::inputs![tensor])?;
        read(&Outputs {
            model: &self.model,
            outputs: &outputs,
        })
    }
}

/// Norm before normalisation, and the unit vector of the one output.
pub(crate) fn normalised(
    model: &str,
    dimension: usize,
    mut vector: Vec<f32>,
) -> Result<(f32, Embedding), NetworkError> {
    let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if !norm.is_normal() || vector.len() != dimension {
        return Err(NetworkError::Output {
            model: model.to_owned(),
            output: "a vector of ordinary length".to_owned(),
        });
    }
    vector.iter_mut().for_each(|value| *value /= norm);
    let model = model.to_owned();
    Ok((norm, Embedding { model, vector }))
}

static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// Threads that ONNX Runtime asked for so far, beyond those that run networks.
pub fn helper_threads() -> usize {
    HELPERS.load(Ordering::SeqCst)
}

/// Starts the threads that work inside one run, without files from the start.
#[derive(Debug)]
struct Helpers;

impl ThreadManager for Helpers {
    type Thread = JoinHandle<()>;

    fn create(&self, work: impl FnOnce() + Send + 'static) -> ort::Result<Self::Thread> {
        let sealed = || {
            if let Err(error) = forbid_files() {
                tracing::error!(%error, "a helper thread cannot be sealed");
                std::process::abort();
            }
            work();
        };
        let builder = std::thread::Builder::new().name("helper".into());
        let thread = builder
            .spawn(sealed)
            .map_err(|error| ort::Error::new(format!("starting a thread: {error}")))?;
        HELPERS.fetch_add(1, Ordering::SeqCst);
        Ok(thread)
    }

    fn join(thread: Self::Thread) -> ort::Result<()> {
        thread
            .join()
            .map_err(|_| ort::Error::new("a helper thread panicked"))
    }
}

/// The outputs of one run.
#[derive(Debug)]
pub(crate) struct Outputs<'m, 's> {
    model: &'m str,
    outputs: &'m SessionOutputs<'s>,
}

impl Outputs<'_, '_> {
    /// The only output, which must hold `length` numbers.
    pub(crate) fn only(&self, length: usize) -> Result<&[f32], NetworkError> {
        let name = self.outputs.keys().next().unwrap_or_default();
        self.named(name, length)
    }

    /// A named output, which must hold `length` numbers.
    pub(crate) fn named(&self, name: &str, length: usize) -> Result<&[f32], NetworkError> {
        self.outputs
            .get(name)
            .and_then(|value| value.try_extract_tensor::<f32>().ok())
            .map(|(_, data)| data)
            .filter(|data| data.len() == length)
            .ok_or_else(|| NetworkError::Output {
                model: self.model.to_owned(),
                output: name.to_owned(),
            })
    }
}
