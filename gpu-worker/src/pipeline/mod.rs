//! One picture to one embedded face: decode → detect → choose → align →
//! quality → embed. Holds nothing between jobs but the networks.
//!
//! *Exactly one face.* A face's prominence is its width, less up to
//! [`EDGE_LOSS`] of it towards the picture's edge. The most prominent face is
//! the subject. Another face of at least [`RIVAL_CONFIDENCE`] refuses the sample
//! when its prominence is at least [`RIVAL_PART`] of the subject's: somebody else
//! posing for the camera (one just as large counts wherever it stands). Lesser
//! ones are passers-by, posters and patterns, and are ignored. Of 807 press
//! photographs this refuses 5; counting every face half as wide would refuse 88.

mod align;
mod alone;
mod decode;
mod detect;
mod frames;
mod liveness;
mod moves;
mod network;
mod pixels;
mod quality;

use std::time::{Duration, Instant};

use ort::environment::Environment;
use redoubt_shared::worker::{Embedding, FaceSample, SampleRefusal, SpokenSample, VoiceSample};

pub use align::Square;
pub use alone::{Alone, Form, Inputs};
pub use decode::{PIXELS_MAX, SIDE_MAX};
pub use network::{NetworkError, helper_threads};
pub use quality::NORM_MIN;

use crate::cuda;
use crate::dlib::{self, DlibError};
use crate::manifest::{Colours, Format, Manifest, ManifestError, ModelFile};
use crate::onnx::{InputSize, TensorError, mend};
use crate::tensorflow::{self, TensorflowError};
use crate::torch::{TorchError, Weights};
use crate::voice::digits::{self, Digits, head::HeadError};
use crate::voice::{Voice, VoiceTimes, campplus};
use align::{align, mirrored};
use detect::{Face, detect};
pub(crate) use network::{Network, normalised};
use pixels::Pixels;

/// Part of its width that a face loses in prominence at the picture's edge.
pub const EDGE_LOSS: f32 = 0.3;
/// A second face this prominent, as a part of the subject's prominence, is a rival.
pub const RIVAL_PART: f32 = 0.7;
/// Least confidence of a rival.
pub const RIVAL_CONFIDENCE: f32 = 0.8;

/// Only the decoding: width and height of a picture, turned upright.
pub fn decoded(image: &[u8]) -> Result<[usize; 2], SampleRefusal> {
    let pixels = decode::decode(image)?;
    Ok([pixels.width, pixels.height])
}

/// Why the pipeline cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The manifest or a file it pins.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A model that cannot be mended.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A model of dlib's that cannot be read.
    #[error(transparent)]
    Dlib(#[from] DlibError),
    /// A frozen graph of TensorFlow that cannot be read.
    #[error(transparent)]
    Tensorflow(#[from] TensorflowError),
    /// ONNX Runtime.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The checkpoint of the voice embedder.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// The head of spoken digits.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Not exactly one detector, no embedder, not exactly one of voices, two of liveness,
    /// or some of those for moves or for spoken digits.
    #[error(
        "model manifest: exactly one face_detector, at least one face_embedder, exactly one \
         voice_embedder, at most one face_liveness, one each of face_landmarks, face_eyes and \
         face_pose or none of them, and one each of speech_spectrogram, speech_embedder and \
         spoken_digits or none of them are needed"
    )]
    Roles,
}

/// Mended graphs, from which each thread builds its own pipeline.
#[derive(Debug)]
pub struct Graphs {
    detector: (String, Vec<u8>),
    embedders: Vec<EmbedderGraph>,
    liveness: Option<(String, Vec<u8>)>,
    moves: Option<moves::Graphs>,
    voice: (String, Vec<u8>),
    digits: Option<digits::Graphs>,
}

/// What turns an aligned face into a vector.
#[derive(Debug)]
pub struct EmbedderGraph {
    /// Manifest id.
    pub model: String,
    /// Numbers in its vector.
    pub dimension: usize,
    /// What it is cut to: planar RGB 0 to 255.
    pub square: Square,
    /// What its colours become before the graph takes them.
    pub colours: Colours,
    /// Least length of its vector, where it is the first.
    pub norm_min: f32,
    /// As ONNX Runtime takes it.
    pub graph: Vec<u8>,
}

impl EmbedderGraph {
    fn read(file: ModelFile) -> Result<Self, PipelineError> {
        let graph = match file.format {
            Format::Onnx => mend(&file.bytes, InputSize::Fixed)?,
            Format::Dlib => dlib::graph(&file.bytes, file.square.side, file.dimension)?,
            Format::Tensorflow => tensorflow::graph(&file.bytes, file.square.side, file.dimension)?,
        };
        Ok(Self {
            model: file.id,
            dimension: file.dimension,
            square: file.square,
            colours: file.colours,
            norm_min: file.norm_min,
            graph,
        })
    }
}

impl Graphs {
    /// Reads, verifies and mends every model the pipeline runs.
    pub fn read(manifest: &Manifest) -> Result<Self, PipelineError> {
        let detectors = manifest.models("face_detector")?;
        let embedders = manifest.models("face_embedder")?;
        let [detector] = detectors.as_slice() else {
            return Err(PipelineError::Roles);
        };
        let voices = manifest.models("voice_embedder")?;
        let [voice] = voices.as_slice() else {
            return Err(PipelineError::Roles);
        };
        let liveness = manifest.models("face_liveness")?;
        if embedders.is_empty() || voice.dimension != campplus::DIMENSION || liveness.len() > 1 {
            return Err(PipelineError::Roles);
        }
        let fixed = |file: &ModelFile| {
            let graph = mend(&file.bytes, InputSize::Fixed)?;
            Ok::<_, PipelineError>((file.id.clone(), graph))
        };
        let embedders = embedders.into_iter().map(EmbedderGraph::read);
        let embedders = embedders.collect::<Result<_, _>>()?;
        let graph = mend(&detector.bytes, InputSize::AnyImage)?;
        Ok(Self {
            detector: (detector.id.clone(), graph),
            embedders,
            liveness: liveness.first().map(fixed).transpose()?,
            moves: moves::Graphs::read(manifest)?,
            voice: (
                voice.id.clone(),
                campplus::graph(&Weights::read(&voice.bytes)?)?,
            ),
            digits: digits::Graphs::read(manifest)?,
        })
    }
}

impl Graphs {
    /// Every embedder, in the manifest's order.
    pub fn embedders(&self) -> &[EmbedderGraph] {
        &self.embedders
    }

    /// An embedder on the CPU, for one square of scaled colours at a time. The environment
    /// must live as long.
    pub fn reference(
        &self,
        environment: &Environment,
        model: &str,
    ) -> Result<impl FnMut(&[f32]) -> Result<Vec<f32>, NetworkError> + use<>, NetworkError> {
        let known = self.embedders.iter().find(|known| known.model == model);
        let known = known.ok_or_else(|| NetworkError::Runtime(model.into()))?;
        let mut network = Network::load(environment, model, &known.graph, 1)?;
        let (dimension, side) = (known.dimension, known.square.side);
        Ok(move |face: &[f32]| {
            network.run([1, 3, side, side], face, |outputs| {
                Ok(outputs.only(dimension)?.to_vec())
            })
        })
    }
}

/// How long each stage of one job took.
#[derive(Debug, Clone, Copy, Default)]
pub struct StageTimes {
    /// Bytes to pixels.
    pub decode: Duration,
    /// Pixels to faces.
    pub detect: Duration,
    /// Face to aligned square, with its quality measures.
    pub align: Duration,
    /// Face with its surroundings to a passive liveness; zero where nobody asked.
    pub liveness: Duration,
    /// Aligned square to embeddings.
    pub embed: Duration,
}

/// The networks of one thread.
#[derive(Debug)]
pub struct Pipeline {
    detector: Network,
    /// What the embedders take, each once; the first is the one quality is measured in.
    squares: Vec<Square>,
    embedders: Vec<Embedder>,
    liveness: Option<Network>,
    moves: Option<moves::Moves>,
    voice: Voice,
    digits: Option<Digits>,
}

#[derive(Debug)]
struct Embedder {
    model: String,
    dimension: usize,
    /// Which of the squares it takes, and that one's side.
    square: usize,
    side: usize,
    colours: Colours,
    norm_min: f32,
    mirrored: bool,
    runner: Runner,
}

/// How a pipeline works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Threads inside one run of a network.
    pub threads: usize,
    /// Whether each face is embedded together with its mirror image, in twice the time.
    pub mirrored: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: 1,
            mirrored: false,
        }
    }
}

/// Where an embedder runs.
#[derive(Debug)]
enum Runner {
    Cpu(Network),
    Gpu(cuda::Handle),
}

impl Pipeline {
    /// Loads the graphs. Embedders run on the GPU where it has one of their name, and
    /// here otherwise.
    pub fn load(
        environment: &Environment,
        graphs: &Graphs,
        settings: Settings,
        gpu: &[(String, cuda::Handle)],
    ) -> Result<Self, NetworkError> {
        let (id, graph) = &graphs.detector;
        let Settings { threads, mirrored } = settings;
        let mut squares = vec![Square::ARCFACE];
        let embedders = graphs.embedders.iter().map(|embedder| {
            let model = &embedder.model;
            let known = squares.iter().position(|known| *known == embedder.square);
            let square = known.unwrap_or_else(|| {
                squares.push(embedder.square);
                squares.len() - 1
            });
            let there = gpu.iter().find(|(name, _)| name == model);
            Ok(Embedder {
                model: model.clone(),
                dimension: embedder.dimension,
                square,
                side: embedder.square.side,
                colours: embedder.colours,
                norm_min: embedder.norm_min,
                mirrored,
                runner: match there {
                    Some((_, handle)) => Runner::Gpu(handle.clone()),
                    None => {
                        let graph = &embedder.graph;
                        Runner::Cpu(Network::load(environment, model, graph, threads)?)
                    }
                },
            })
        });
        Ok(Self {
            embedders: embedders.collect::<Result<_, NetworkError>>()?,
            detector: Network::load(environment, id, graph, threads)?,
            squares,
            liveness: match &graphs.liveness {
                Some((id, graph)) => Some(Network::load(environment, id, graph, threads)?),
                None => None,
            },
            moves: match &graphs.moves {
                Some(graphs) => Some(moves::Moves::load(environment, graphs, threads)?),
                None => None,
            },
            voice: {
                let (id, graph) = &graphs.voice;
                Voice::new(id, Network::load(environment, id, graph, threads)?)
            },
            digits: match &graphs.digits {
                Some(graphs) => Some(Digits::load(environment, graphs, threads)?),
                None => None,
            },
        })
    }

    /// Runs every network once on a blank input, so that lazily made buffers exist.
    pub fn warm_up(&mut self) -> Result<(), NetworkError> {
        for side in [detect::COARSE, detect::FINE] {
            let blank = Pixels {
                width: side,
                height: side,
                rgb: vec![0; side * side * 3],
            };
            detect(&mut self.detector, &blank)?;
        }
        for embedder in &mut self.embedders {
            embedder.run(&vec![0.0; 3 * embedder.side * embedder.side])?;
        }
        if let Some(network) = &mut self.liveness {
            liveness::run(network, &[0.0; 3 * liveness::SIDE * liveness::SIDE])?;
        }
        if let Some(moves) = &mut self.moves {
            moves.warm_up()?;
        }
        if let Some(digits) = &mut self.digits {
            digits.warm_up()?;
        }
        self.voice.warm_up()
    }

    /// One job, with a passive liveness if asked for and a model is loaded. Past
    /// `deadline` the next stage is not begun.
    pub fn face(
        &mut self,
        image: &[u8],
        liveness: bool,
        deadline: Instant,
    ) -> (Result<FaceSample, SampleRefusal>, StageTimes) {
        let mut times = StageTimes::default();
        let outcome = self.stages(image, liveness, deadline, &mut times);
        (outcome, times)
    }

    /// One job with a recording. Past `deadline` the next stage is not begun.
    pub fn voice(
        &mut self,
        audio: &[u8],
        deadline: Instant,
    ) -> (Result<VoiceSample, SampleRefusal>, VoiceTimes) {
        self.voice.sample(audio, deadline)
    }

    /// One job with a recording of spoken digits, where models for them are loaded.
    pub fn spoken(
        &mut self,
        audio: &[u8],
        deadline: Instant,
    ) -> (Result<SpokenSample, SampleRefusal>, VoiceTimes) {
        let mut times = VoiceTimes::default();
        let outcome = match &mut self.digits {
            Some(digits) => self.voice.spoken(digits, audio, deadline, &mut times),
            None => Err(SampleRefusal::NotSupported),
        };
        (outcome, times)
    }

    /// What the head of spoken digits reads of a word's samples at 16 kHz, for comparing
    /// with what it was trained on; `None` without models for it.
    pub fn digit_features(&mut self, word: &[f32]) -> Option<Result<Vec<f32>, NetworkError>> {
        let digits = self.digits.as_mut()?;
        Some(digits.features(word))
    }

    fn stages(
        &mut self,
        image: &[u8],
        liveness: bool,
        deadline: Instant,
        times: &mut StageTimes,
    ) -> Result<FaceSample, SampleRefusal> {
        let mut clock = Clock::start(deadline);
        clock.in_time()?;
        let pixels = decode::decode(image)?;
        times.decode = clock.lap();
        clock.in_time()?;
        let faces = detect(&mut self.detector, &pixels).map_err(failed)?;
        times.detect = clock.lap();
        let face = subject(&faces, &pixels)?;
        let cut = |square| align(&pixels, &face.landmarks, square).ok_or(SampleRefusal::NoFace);
        let mut aligned = vec![cut(&Square::ARCFACE)?];
        let mut measures = quality::measure(&pixels, &face, &aligned[0]);
        quality::gate(&measures)?;
        for square in &self.squares[1..] {
            aligned.push(cut(square)?);
        }
        times.align = clock.lap();
        clock.in_time()?;
        let look = |network| liveness::measure(network, &pixels, &face);
        let network = self.liveness.as_mut().filter(|_| liveness);
        let liveness = network.map(look).transpose()?;
        drop(pixels);
        times.liveness = clock.lap();
        clock.in_time()?;
        let mut embeddings = Vec::with_capacity(self.embedders.len());
        for (at, embedder) in self.embedders.iter_mut().enumerate() {
            let (norm, embedding) = embedder.embed(&aligned[embedder.square]).map_err(failed)?;
            if at == 0 {
                quality::conclude(&mut measures, norm, embedder.norm_min)?;
            }
            embeddings.push(embedding);
        }
        times.embed = clock.lap();
        Ok(FaceSample {
            embeddings,
            quality: measures,
            liveness,
        })
    }
}

impl Embedder {
    /// The network's answer.
    fn run(&mut self, aligned: &[f32]) -> Result<Vec<f32>, NetworkError> {
        let aligned = &*self.colours.of(aligned);
        match &mut self.runner {
            Runner::Cpu(network) => network.run([1, 3, self.side, self.side], aligned, |outputs| {
                Ok(outputs.only(self.dimension)?.to_vec())
            }),
            Runner::Gpu(handle) => handle
                .run(aligned)
                .map_err(|error| NetworkError::Runtime(error.to_string())),
        }
    }

    /// Norm before normalisation, and the unit vector.
    fn embed(&mut self, aligned: &[f32]) -> Result<(f32, Embedding), NetworkError> {
        let mut vector = self.run(aligned)?;
        if self.mirrored {
            let other = self.run(&mirrored(aligned, self.side))?;
            let mean = |(one, other): (&mut f32, f32)| *one = (*one + other) / 2.0;
            vector.iter_mut().zip(other).for_each(mean);
        }
        normalised(&self.model, self.dimension, vector)
    }
}

/// The one face of the sample, or why there is not exactly one.
fn subject(faces: &[Face], image: &Pixels) -> Result<Face, SampleRefusal> {
    let middle = [image.width as f32 / 2.0, image.height as f32 / 2.0];
    let prominence = |face: &Face| {
        let [x, y] = face.centre();
        let away = (x - middle[0]).hypot(y - middle[1]) / middle[0].max(middle[1]);
        face.width * (1.0 - EDGE_LOSS * away.min(1.0))
    };
    let mut ranked: Vec<(f32, &Face)> = faces.iter().map(|face| (prominence(face), face)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let ((most, subject), others) = ranked.split_first().ok_or(SampleRefusal::NoFace)?;
    let rival = |(prominence, face): &(f32, &Face)| {
        *prominence >= RIVAL_PART * most && face.confidence >= RIVAL_CONFIDENCE
    };
    if others.iter().any(rival) {
        return Err(SampleRefusal::ManyFaces);
    }
    Ok(**subject)
}

pub(crate) fn failed(error: NetworkError) -> SampleRefusal {
    tracing::error!(%error, "inference failed");
    SampleRefusal::Failed
}

pub(crate) struct Clock {
    deadline: Instant,
    last: Instant,
}

impl Clock {
    pub(crate) fn start(deadline: Instant) -> Self {
        Self {
            deadline,
            last: Instant::now(),
        }
    }
    pub(crate) fn in_time(&self) -> Result<(), SampleRefusal> {
        if self.last >= self.deadline {
            return Err(SampleRefusal::Deadline);
        }
        Ok(())
    }
    pub(crate) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let lap = now - self.last;
        self.last = now;
        lap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: (usize, usize) = (400, 300);

    fn face(x: f32, width: f32, confidence: f32) -> Face {
        Face {
            x: x - width / 2.0,
            y: 150.0 - width / 2.0,
            width,
            height: width,
            landmarks: [[0.0; 2]; 5],
            confidence,
        }
    }

    fn choose(faces: &[Face]) -> Result<Face, SampleRefusal> {
        let image = Pixels {
            width: IMAGE.0,
            height: IMAGE.1,
            rgb: Vec::new(),
        };
        subject(faces, &image)
    }

    #[test]
    fn the_most_prominent_face_is_the_subject_and_passers_by_do_not_count() {
        assert_eq!(choose(&[]), Err(SampleRefusal::NoFace));
        let alone = face(200.0, 100.0, 0.7);
        assert_eq!(choose(&[alone]), Ok(alone));
        assert_eq!(choose(&[face(300.0, 60.0, 0.95), alone]), Ok(alone));
        assert_eq!(choose(&[face(120.0, 90.0, 0.75), alone]), Ok(alone));
    }

    #[test]
    fn a_second_face_of_like_size_is_refused_wherever_it_stands() {
        let subject = face(200.0, 100.0, 0.9);
        for x in [50.0, 120.0, 300.0, 400.0] {
            let refused = choose(&[subject, face(x, 101.0, 0.9)]);
            assert_eq!(refused, Err(SampleRefusal::ManyFaces), "{x}");
        }
        let side_by_side = [face(100.0, 90.0, 0.9), face(300.0, 70.0, 0.9)];
        assert_eq!(choose(&side_by_side), Err(SampleRefusal::ManyFaces));
    }
}
