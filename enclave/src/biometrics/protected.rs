//! Templates under their keyed transforms: made, compared, renewed.

use redoubt_shared::worker::Embedding;

use super::int8::{self, Probe};
use super::transform::{Owner, Transforms, padded};
use crate::core::Template;

/// Version of [`Template`] records made here: transformed, int8 with a step for each two components.
pub const TEMPLATE_VERSION: u8 = 2;
/// The identity transform, of records of version 1.
const NO_TRANSFORM: u32 = 0;

/// What a template's record says beside the vector.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// 0 to 1.
    pub quality: f32,
    /// Of the worker that saw the samples.
    pub worker_tier: &'a str,
    /// Unix milliseconds.
    pub at_ms: u64,
}

impl Transforms {
    /// An enrolment's embedding to a template under the transform of this number, which is
    /// above 0. `None` if the number or the embedding is zero.
    pub fn protected(
        &self,
        owner: &Owner,
        number: u32,
        embedding: &Embedding,
        made: Made<'_>,
    ) -> Option<Template> {
        let dimension = u16::try_from(embedding.vector.len()).ok()?;
        let (scale, values) = self.encoded(owner, number, &embedding.vector)?;
        Some(Template {
            version: TEMPLATE_VERSION,
            model: embedding.model.clone(),
            transform: number,
            dimension,
            scale,
            values,
            quality: made.quality,
            worker_tier: made.worker_tier.to_owned(),
            enrolled_ms: made.at_ms,
        })
    }

    /// The same template under another transform; everything else of its record stays.
    pub fn renewed(&self, owner: &Owner, template: &Template, number: u32) -> Option<Template> {
        let vector = self.revealed(owner, template)?;
        let (scale, values) = self.encoded(owner, number, &vector)?;
        Some(Template {
            version: TEMPLATE_VERSION,
            model: template.model.clone(),
            transform: number,
            dimension: template.dimension,
            scale,
            values,
            quality: template.quality,
            worker_tier: template.worker_tier.clone(),
            enrolled_ms: template.enrolled_ms,
        })
    }

    /// The embedding that a template keeps, of length 1, as exact as int8 has it: what
    /// anybody with the key can do. `None` if the record is malformed.
    pub fn revealed(&self, owner: &Owner, template: &Template) -> Option<Vec<f32>> {
        let dimension = usize::from(template.dimension);
        if template.transform == NO_TRANSFORM {
            let values = template.values.iter().map(|value| f32::from(*value));
            let values: Vec<f32> = values.collect();
            return (values.len() == dimension).then_some(values);
        }
        let vector = int8::decode(template.scale, &template.values, padded(dimension))?;
        let transform = self.of(owner, template.transform, dimension)?;
        let mut vector = transform.undo(&vector)?;
        vector.truncate(dimension);
        Some(vector)
    }

    /// A sample as it is compared with this template. `None` if they are of different
    /// models or sizes, and for a template without a transform.
    pub fn probe(&self, owner: &Owner, template: &Template, sample: &Embedding) -> Option<Probe> {
        let dimension = usize::from(template.dimension);
        let fits = template.model == sample.model && sample.vector.len() == dimension;
        if !fits || template.transform == NO_TRANSFORM {
            return None;
        }
        let transform = self.of(owner, template.transform, dimension)?;
        let sample = transform.apply(&sample.vector)?;
        Probe::new(&sample, template.scale, &template.values)
    }

    /// Cosine of a template and a sample; `None` if they are of different models or sizes.
    pub fn cosine(&self, owner: &Owner, template: &Template, sample: &Embedding) -> Option<f32> {
        match template.transform {
            NO_TRANSFORM => super::cosine(template, sample),
            _ => {
                let probe = self.probe(owner, template, sample)?;
                Some(probe.cosine(&template.values))
            }
        }
    }

    fn encoded(&self, owner: &Owner, number: u32, vector: &[f32]) -> Option<(f32, Vec<i8>)> {
        let used = vector.iter().any(|value| *value != 0.0);
        if number == NO_TRANSFORM || !used {
            return None;
        }
        let transform = self.of(owner, number, vector.len())?;
        Some(int8::encode(&transform.apply(vector)?))
    }
}

/// The template of whoever has none, of these components: like any other record.
pub fn made_up(model: &str, dimension: u16, components: &[i8], made: Made<'_>) -> Template {
    let components: Vec<f32> = components.iter().map(|value| f32::from(*value)).collect();
    let (scale, values) = int8::encode(&components);
    Template {
        version: TEMPLATE_VERSION,
        model: model.to_owned(),
        transform: 1,
        dimension,
        scale,
        values,
        quality: made.quality,
        worker_tier: made.worker_tier.to_owned(),
        enrolled_ms: made.at_ms,
    }
}
