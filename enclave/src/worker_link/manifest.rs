//! The model manifest, compiled in.
//!
//! Protects against a worker that runs other models, and against scores read
//! with another model's calibration: the digest is what the worker's evidence
//! must name, and each space has its own table.

use std::collections::BTreeSet;

use redoubt_attestation::encode::{Digest32, sha256};
use serde::Deserialize;

use crate::biometrics::{
    CalibrationPoint, Multimodal, Part, RECORDINGS_MAX, Space, VoiceSpaces, Weighed,
};

const TEXT: &str = include_str!("../../../images/models.toml");

/// Roles of those that follow the moves of a face.
const MOVES: [&str; 3] = ["face_landmarks", "face_eyes", "face_pose"];

/// Roles of those that hear which digits a voice reads.
const DIGITS: [&str; 3] = ["speech_spectrogram", "speech_embedder", "spoken_digits"];

/// Why the manifest this program was built with cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or a field is missing.
    #[error("images/models.toml: {0}; mend it and build again")]
    Format(#[from] toml::de::Error),
    /// Says something impossible.
    #[error("images/models.toml: {0}; mend it and build again")]
    Content(String),
}

/// A model that turns an aligned face, or a voice, into a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedder {
    /// Manifest id, as embeddings name it.
    pub id: String,
    /// Length of its vectors.
    pub dimension: usize,
}

/// What the enclave needs to know of the models.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    digest: Digest32,
    embedders: Vec<Embedder>,
    voices: Vec<Embedder>,
    voice_spaces: Vec<VoiceSpaces>,
    spaces: Vec<Space>,
    multimodal: Vec<Multimodal>,
    liveness: bool,
    moves: bool,
    digits: bool,
}

#[derive(Deserialize)]
struct Document {
    format: u32,
    #[serde(default)]
    model: Vec<Model>,
    #[serde(default)]
    fusion: Vec<Fusion>,
    #[serde(default)]
    multimodal: Vec<FaceAndVoice>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    role: String,
    dimension: usize,
    #[serde(default)]
    calibration: Vec<Calibration>,
    #[serde(default)]
    enrolled: Option<Enrolled>,
}

/// How a model's templates are made, where they are not made of one sample.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolled {
    id: String,
    recordings: usize,
    calibration: Vec<Calibration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fusion {
    id: String,
    parts: Vec<Part>,
    calibration: Vec<Calibration>,
}

/// How a face's and a voice's cosines become one score.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaceAndVoice {
    id: String,
    face: Weighed,
    voice: Weighed,
    calibration: Vec<Calibration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calibration {
    false_match_rate: f64,
    cosine: f32,
    /// The rate's 95 % interval; there where it was measured.
    #[serde(default)]
    interval: Option<[f64; 2]>,
}

impl Manifest {
    /// The manifest this enclave was built with. Parse it once, at boot.
    pub fn built_in() -> Self {
        Self::parse(TEXT).expect("a constant of this program, which its tests parse")
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ManifestError> {
        let document: Document = toml::from_str(text)?;
        if document.format != 1 {
            return Err(ManifestError::Content(format!(
                "format {} is not 1",
                document.format
            )));
        }
        let looks = |model: &Model| model.role == "face_liveness";
        let liveness = document.model.iter().any(looks);
        let moves = together(&document.model, &MOVES)?;
        let digits = together(&document.model, &DIGITS)?;
        let (voices, models): (Vec<Model>, Vec<Model>) = document
            .model
            .into_iter()
            .partition(|model| model.role == "voice_embedder");
        let models = models.into_iter();
        let models: Vec<Model> = models.filter(|m| m.role == "face_embedder").collect();
        if models.is_empty() {
            return Err(ManifestError::Content("there is no face_embedder".into()));
        }
        let embedders = models.iter().map(embedder);
        let embedders = embedders.collect::<Result<Vec<_>, _>>()?;
        let mut spaces = Vec::new();
        for fusion in document.fusion {
            spaces.push(fused(fusion, &embedders)?);
        }
        for model in models {
            spaces.extend(alone(model, &spaces)?);
        }
        let all = spaces.iter().map(|space| space.id.as_str());
        if all.collect::<BTreeSet<_>>().len() != spaces.len() {
            return Err(ManifestError::Content("two spaces have one id".into()));
        }
        let mut manifest = Self {
            digest: sha256(&[text.as_bytes()]),
            embedders,
            voices: voices.iter().map(embedder).collect::<Result<_, _>>()?,
            voice_spaces: voices
                .into_iter()
                .map(of_voices)
                .collect::<Result<_, _>>()?,
            spaces,
            multimodal: Vec::new(),
            liveness,
            moves,
            digits,
        };
        for both in document.multimodal {
            manifest.multimodal.push(manifest.both(both)?);
        }
        Ok(manifest)
    }

    /// Whether models follow the moves of a face.
    pub fn has_moves(&self) -> bool {
        self.moves
    }

    /// Whether models hear which digits a voice reads.
    pub fn has_digits(&self) -> bool {
        self.digits
    }

    fn both(&self, both: FaceAndVoice) -> Result<Multimodal, ManifestError> {
        let FaceAndVoice {
            id,
            face,
            voice,
            calibration,
        } = both;
        let known = self.space(&face.space).is_some() && self.voice_space(&voice.space).is_some();
        let paired = self.multimodal_of(&face.space, &voice.space).is_some();
        let named = self.multimodal.iter().any(|other| other.id == id)
            || self.space(&id).is_some()
            || self.voice_space(&id).is_some();
        if !known || paired || named {
            return Err(wrong(
                &id,
                "needs an id of its own, a space of faces and one of templates of voices, each two once",
            ));
        }
        let sum = face.weight + voice.weight;
        if !(face.weight > 0.0 && voice.weight > 0.0) || (sum - 1.0).abs() > 1e-6 {
            return Err(wrong(&id, "weights must be above zero, one together"));
        }
        Ok(Multimodal {
            calibration: table(&id, &calibration)?,
            id,
            face,
            voice,
        })
    }

    /// How templates of a face and of a voice are compared together, by the names of their
    /// spaces; none where that was not measured.
    pub fn multimodal_of(&self, face: &str, voice: &str) -> Option<&Multimodal> {
        let mut all = self.multimodal.iter();
        all.find(|both| both.face.space == face && both.voice.space == voice)
    }

    /// The same for templates as they are made now.
    pub fn newest_multimodal(&self) -> Option<&Multimodal> {
        let (face, voice) = (self.spaces.first()?, self.voice_spaces.first()?);
        self.multimodal_of(&face.id, &voice.template.id)
    }

    /// Whether a model tells live faces.
    pub fn has_liveness(&self) -> bool {
        self.liveness
    }

    /// SHA-256 of the manifest's bytes: the `models` of bindings and receipts.
    pub fn digest(&self) -> Digest32 {
        self.digest
    }

    /// Embedders of faces in the manifest's order, which is that of a sample's embeddings.
    pub fn embedders(&self) -> &[Embedder] {
        &self.embedders
    }

    /// Embedders of voices in the manifest's order, which is that of a sample's embeddings.
    pub fn voice_embedders(&self) -> &[Embedder] {
        &self.voices
    }

    /// Where voices can be compared, for each of their embedders; the first is where
    /// templates are made.
    pub fn voice_spaces(&self) -> &[VoiceSpaces] {
        &self.voice_spaces
    }

    /// Where templates of voices of that name were made.
    pub fn voice_space(&self, id: &str) -> Option<&Space> {
        let mut all = self.voice_spaces.iter().map(|spaces| &spaces.template);
        all.find(|space| space.id == id)
    }

    /// Where samples can be compared; the first is where templates are made.
    pub fn spaces(&self) -> &[Space] {
        &self.spaces
    }

    /// Where templates of that name were made.
    pub fn space(&self, id: &str) -> Option<&Space> {
        self.spaces.iter().find(|space| space.id == id)
    }
}

/// Whether there are models of these roles: of all of them, or of none.
fn together(models: &[Model], roles: &[&str; 3]) -> Result<bool, ManifestError> {
    let there = |role: &&&str| models.iter().any(|model| model.role == ***role);
    match roles.iter().filter(there).count() {
        0 => Ok(false),
        3 => Ok(true),
        _ => {
            let [one, two, three] = roles;
            let wrong = format!("{one}, {two} and {three} belong together");
            Err(ManifestError::Content(wrong))
        }
    }
}

fn embedder(model: &Model) -> Result<Embedder, ManifestError> {
    if model.dimension == 0 {
        return Err(wrong(&model.id, "dimension is zero"));
    }
    Ok(Embedder {
        id: model.id.clone(),
        dimension: model.dimension,
    })
}

/// The space of one embedder; none if it is only a part of others and has no table.
fn alone(model: Model, fusions: &[Space]) -> Result<Option<Space>, ManifestError> {
    let is_part = |space: &Space| space.parts.iter().any(|part| part.model == model.id);
    if model.calibration.is_empty() && fusions.iter().any(is_part) {
        return Ok(None);
    }
    own(model).map(Some)
}

/// The space of one embedder by its own table.
fn own(model: Model) -> Result<Space, ManifestError> {
    let calibration = table(&model.id, &model.calibration)?;
    let part = Part {
        model: model.id.clone(),
        weight: 1.0,
    };
    Ok(Space {
        id: model.id,
        parts: vec![part],
        calibration,
    })
}

/// The spaces of one embedder of voices.
fn of_voices(mut model: Model) -> Result<VoiceSpaces, ManifestError> {
    let enrolled = model.enrolled.take();
    let single = own(model)?;
    let Some(enrolled) = enrolled else {
        let template = single.clone();
        return Ok(VoiceSpaces {
            template,
            single,
            recordings: 1,
        });
    };
    if !(2..=RECORDINGS_MAX).contains(&enrolled.recordings) || enrolled.id == single.id {
        return Err(wrong(
            &enrolled.id,
            "enrolled needs an id of its own and 2 or 3 recordings",
        ));
    }
    let template = Space {
        calibration: table(&enrolled.id, &enrolled.calibration)?,
        id: enrolled.id,
        parts: single.parts.clone(),
    };
    Ok(VoiceSpaces {
        template,
        single,
        recordings: enrolled.recordings,
    })
}

fn fused(fusion: Fusion, embedders: &[Embedder]) -> Result<Space, ManifestError> {
    let Fusion {
        id,
        parts,
        calibration,
    } = fusion;
    let known = |part: &Part| embedders.iter().any(|embedder| embedder.id == part.model);
    let distinct: BTreeSet<&str> = parts.iter().map(|part| part.model.as_str()).collect();
    if parts.len() < 2 || distinct.len() != parts.len() || !parts.iter().all(known) {
        return Err(wrong(&id, "parts must be two or more different embedders"));
    }
    let sum: f32 = parts.iter().map(|part| part.weight).sum();
    if !parts.iter().all(|part| part.weight > 0.0) || (sum - 1.0).abs() > 1e-6 {
        return Err(wrong(&id, "weights must be above zero, one together"));
    }
    Ok(Space {
        calibration: table(&id, &calibration)?,
        id,
        parts,
    })
}

/// A calibration, from loose to strict.
fn table(id: &str, entries: &[Calibration]) -> Result<Vec<CalibrationPoint>, ManifestError> {
    if entries.is_empty() {
        return Err(wrong(id, "a calibration table is needed"));
    }
    let possible = |entry: &Calibration| {
        let rate = entry.false_match_rate;
        let within = |[low, high]: [f64; 2]| low <= rate && rate <= high && high <= 1.0;
        (0.0..1.0).contains(&rate)
            && (-1.0..=1.0).contains(&entry.cosine)
            && entry.interval.is_none_or(within)
    };
    let stricter = |pair: &[Calibration]| {
        pair[0].false_match_rate > pair[1].false_match_rate && pair[0].cosine < pair[1].cosine
    };
    if !entries.iter().all(possible) || !entries.windows(2).all(stricter) {
        return Err(wrong(
            id,
            "calibration must run from loose to strict within its ranges",
        ));
    }
    let point = |entry: &Calibration| CalibrationPoint {
        false_match_rate: entry.false_match_rate,
        cosine: entry.cosine,
    };
    Ok(entries.iter().map(point).collect())
}

fn wrong(id: &str, problem: &str) -> ManifestError {
    ManifestError::Content(format!("{id}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_embedder_to_add_makes_a_space_of_its_own() {
        let added = include_str!("../../../images/embedders/facenet.toml");
        let manifest = Manifest::parse(&[TEXT, added].concat()).unwrap();
        let as_it_is = Manifest::built_in();
        assert_eq!(manifest.spaces()[0].id, as_it_is.spaces()[0].id);
        assert!(manifest.space("inception-resnet-v1").is_some());
    }

    #[test]
    fn models_that_follow_moves_belong_together() {
        assert!(Manifest::built_in().has_moves());
        let partly = TEXT.replace("role = \"face_eyes\"", "role = \"another\"");
        let refused = Manifest::parse(&partly);
        assert!(matches!(refused, Err(ManifestError::Content(_))));
        let none = MOVES.iter().fold(TEXT.to_owned(), |text, role| {
            text.replace(&format!("role = \"{role}\""), "role = \"another\"")
        });
        assert!(!Manifest::parse(&none).unwrap().has_moves());
    }

    #[test]
    fn models_that_hear_digits_belong_together() {
        let model =
            |role: &str| format!("[[model]]\nid = \"{role}\"\nrole = \"{role}\"\ndimension = 10\n");
        let text = |roles: &[&str]| {
            let table = "calibration = [{ false_match_rate = 1e-4, cosine = 0.5 }]\n";
            let others: String = roles.iter().copied().map(model).collect();
            format!("format = 1\n{}{table}{others}", model("face_embedder"))
        };
        assert!(!Manifest::parse(&text(&[])).unwrap().has_digits());
        assert!(Manifest::parse(&text(&DIGITS)).unwrap().has_digits());
        for at in 0..DIGITS.len() {
            for few in [&DIGITS[..at], &DIGITS[at + 1..], &DIGITS[at..=at]] {
                let refused = Manifest::parse(&text(few));
                let told = refused.err().map(|error| error.to_string());
                let named = told.is_some_and(|told| told.contains("spoken_digits belong"));
                assert_eq!(named, !few.is_empty(), "{few:?}");
            }
        }
    }

    #[test]
    fn the_compiled_in_manifest_is_usable_and_reaches_one_in_ten_thousand() {
        let manifest = Manifest::built_in();
        let made = &manifest.spaces()[0];
        assert_eq!((made.id.as_str(), made.parts.len()), ("sface-dlib-1", 2));
        assert!(made.threshold(1e-4).is_some() && made.threshold(1e-9).is_none());
        let older = manifest.space("sface-2021dec").unwrap();
        assert_eq!(older.threshold(1e-4), Some(0.415));
        assert_eq!(older.threshold(5e-5), Some(0.466));
        assert_eq!(older.threshold(1e-9), None);
        let dimensions: Vec<_> = manifest.embedders().iter().map(|e| e.dimension).collect();
        assert_eq!(dimensions, [128, 128]);
        assert!(manifest.space("nobody").is_none());
        let ([voice], [space]) = (manifest.voice_embedders(), manifest.voice_spaces()) else {
            panic!("one embedder of voices");
        };
        assert_eq!((voice.dimension, space.recordings), (192, 3));
        assert_eq!(space.single.threshold(1e-3), Some(0.451));
        assert_eq!(space.template.threshold(1e-3), Some(0.499));
        // Not measured: nobody is accepted there by voice alone.
        assert_eq!(space.template.threshold(1e-4), None);
        for id in [&voice.id, &space.template.id] {
            assert!(manifest.space(id).is_none(), "no face is compared there");
        }
        for space in manifest.spaces() {
            assert!(manifest.voice_space(&space.id).is_none(), "nor a voice");
        }
        assert!(manifest.voice_space(&space.template.id).is_some());
        assert!(manifest.voice_space(&voice.id).is_none(), "made of three");
        assert!(manifest.space("dlib-resnet-v1").is_none(), "only a part");
    }

    #[test]
    fn a_fusion_of_what_is_not_there_or_of_no_sound_weights_is_refused() {
        let text = |parts: &str| {
            let model = |id: &str| {
                format!("[[model]]\nid = \"{id}\"\nrole = \"face_embedder\"\ndimension = 2\n")
            };
            format!(
                "format = 1\n{}{}[[fusion]]\nid = \"f\"\nparts = [{parts}]\n\
                 calibration = [{{ false_match_rate = 1e-4, cosine = 0.5 }}]\n",
                model("a"),
                model("b")
            )
        };
        let part = |id: &str, weight: &str| format!("{{ model = \"{id}\", weight = {weight} }}");
        let good = [part("a", "0.25"), part("b", "0.75")].join(",");
        let manifest = Manifest::parse(&text(&good)).unwrap();
        assert_eq!(
            manifest.spaces().len(),
            1,
            "parts need no table of their own"
        );
        for wrong in [
            part("a", "1.0"),
            [part("a", "0.5"), part("a", "0.5")].join(","),
            [part("a", "0.5"), part("c", "0.5")].join(","),
            [part("a", "0.5"), part("b", "0.6")].join(","),
            [part("a", "1.0"), part("b", "0.0")].join(","),
            [part("a", "nan"), part("b", "nan")].join(","),
        ] {
            let refused = Manifest::parse(&text(&wrong));
            assert!(matches!(refused, Err(ManifestError::Content(_))), "{wrong}");
        }
    }

    #[test]
    fn tables_that_do_not_run_from_loose_to_strict_are_refused() {
        let text = |table: &str| {
            format!(
                "format = 1\n[[model]]\nid = \"m\"\nrole = \"face_embedder\"\ndimension = 2\n\
                 calibration = [{table}]\n"
            )
        };
        let entry = |rate: &str, cosine: &str| {
            format!("{{ false_match_rate = {rate}, cosine = {cosine} }}")
        };
        let good = [entry("1e-2", "0.3"), entry("1e-3", "0.4")].join(",");
        assert!(Manifest::parse(&text(&good)).is_ok());
        for wrong in [
            String::new(),
            [entry("1e-3", "0.3"), entry("1e-2", "0.4")].join(","),
            [entry("1e-2", "0.4"), entry("1e-3", "0.3")].join(","),
            entry("1.0", "0.3"),
            entry("nan", "0.3"),
            entry("1e-2", "1.5"),
            "{ false_match_rate = 1e-2, cosine = 0.4, interval = [2e-2, 3e-2] }".into(),
        ] {
            let refused = Manifest::parse(&text(&wrong));
            assert!(matches!(refused, Err(ManifestError::Content(_))), "{wrong}");
        }
    }
}
