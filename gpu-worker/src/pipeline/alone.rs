//! What a picture needs of the networks and nothing else, for measuring.

use ort::environment::Environment;
use redoubt_shared::worker::SampleRefusal;

use super::align::align;
use super::detect::{self, COARSE, detect};
use super::network::{Network, NetworkError};
use super::{Graphs, Pipeline, Square, decode, failed, liveness, subject};
use crate::manifest::Colours;

/// What each network takes of one picture with one large face.
#[derive(Debug)]
pub struct Inputs {
    searched: detect::Input,
    surroundings: Vec<f32>,
    /// With the square each is cut to.
    aligned: Vec<(Square, Vec<f32>)>,
}

impl Pipeline {
    /// Makes everything ready that the networks take of a picture.
    pub fn inputs(&mut self, image: &[u8]) -> Result<Inputs, SampleRefusal> {
        let pixels = decode::decode(image)?;
        let faces = detect(&mut self.detector, &pixels).map_err(failed)?;
        let face = subject(&faces, &pixels)?;
        let cut = |square: &Square| {
            let cut = align(&pixels, &face.landmarks, square)?;
            Some((*square, cut))
        };
        let aligned: Option<_> = self.squares.iter().map(cut).collect();
        Ok(Inputs {
            searched: detect::Input::new(&pixels, COARSE),
            surroundings: liveness::surroundings(&pixels, &face),
            aligned: aligned.ok_or(SampleRefusal::NoFace)?,
        })
    }
}

/// How the runtime gets a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As the file has it, but for what the runtime would refuse.
    AsItComes,
    /// As it serves.
    AsServed,
}

/// The networks that a verification of one face needs, on one thread.
#[derive(Debug)]
pub struct Alone {
    detector: Network,
    liveness: Option<Network>,
    embedders: Vec<(Network, Square, Colours, usize)>,
}

impl Alone {
    /// Loads them. The environment must live as long.
    pub fn load(
        environment: &Environment,
        graphs: &Graphs,
        form: Form,
    ) -> Result<Self, NetworkError> {
        let load = |id: &str, graph: &[u8]| match form {
            Form::AsItComes => Network::load_as_it_comes(environment, id, graph, 1),
            Form::AsServed => Network::load(environment, id, graph, 1),
        };
        let (id, graph) = &graphs.detector;
        let liveness = graphs.liveness.as_ref();
        let embedders = graphs.embedders.iter().map(|embedder| {
            let network = load(&embedder.model, &embedder.graph)?;
            Ok((
                network,
                embedder.square,
                embedder.colours,
                embedder.dimension,
            ))
        });
        Ok(Self {
            detector: load(id, graph)?,
            liveness: liveness.map(|(id, graph)| load(id, graph)).transpose()?,
            embedders: embedders.collect::<Result<_, NetworkError>>()?,
        })
    }

    /// One look for faces, one at how live the face is, and each embedder once.
    pub fn run(&mut self, inputs: &Inputs) -> Result<(), NetworkError> {
        inputs.searched.run(&mut self.detector, |_| Ok(()))?;
        if let Some(network) = &mut self.liveness {
            liveness::run(network, &inputs.surroundings)?;
        }
        for (network, square, colours, dimension) in &mut self.embedders {
            let cut = inputs.aligned.iter().find(|(known, _)| known == square);
            let Some((Square { side, .. }, face)) = cut else {
                continue;
            };
            network.run([1, 3, *side, *side], &colours.of(face), |outputs| {
                outputs.only(*dimension).map(|_| ())
            })?;
        }
        Ok(())
    }
}
