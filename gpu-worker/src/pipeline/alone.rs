//! What a picture needs of the networks and nothing else, for measuring.

use redoubt_shared::worker::SampleRefusal;

use super::align::align;
use super::detect::{self, COARSE, detect};
use super::network::NetworkError;
use super::{Pipeline, decode, failed, liveness, subject};

/// What each network takes of one picture with one large face.
#[derive(Debug)]
pub struct Inputs {
    searched: detect::Input,
    surroundings: Vec<f32>,
    /// One for each of the pipeline's squares.
    aligned: Vec<Vec<f32>>,
}

impl Pipeline {
    /// Makes everything ready that the networks take of a picture.
    pub fn inputs(&mut self, image: &[u8]) -> Result<Inputs, SampleRefusal> {
        let pixels = decode::decode(image)?;
        let faces = detect(&mut self.detector, &pixels).map_err(failed)?;
        let face = subject(&faces, &pixels)?;
        let cut = |square| align(&pixels, &face.landmarks, square).ok_or(SampleRefusal::NoFace);
        Ok(Inputs {
            searched: detect::Input::new(&pixels, COARSE),
            surroundings: liveness::surroundings(&pixels, &face),
            aligned: self.squares.iter().map(cut).collect::<Result<_, _>>()?,
        })
    }

    /// One look for faces, one at how live the face is where there is a network for it,
    /// and each embedder once.
    pub fn networks_alone(&mut self, inputs: &Inputs) -> Result<(), NetworkError> {
        inputs.searched.run(&mut self.detector, |_| Ok(()))?;
        if let Some(network) = &mut self.liveness {
            liveness::run(network, &inputs.surroundings)?;
        }
        for embedder in &mut self.embedders {
            embedder.run(&inputs.aligned[embedder.square])?;
        }
        Ok(())
    }
}
