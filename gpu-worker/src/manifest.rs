//! The model manifest (`images/models.toml`) as the worker reads it.
//!
//! Protects against weights or libraries that are not the pinned ones: every
//! file is hashed before use, and the digest of the manifest itself goes into
//! the attestation binding, so that worker and enclave mean the same models.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::pipeline::{NORM_MIN, Square};

/// Why the manifest or a file it names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Could not read a file.
    #[error("{path}: {source}; fetch the models first")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not the manifest format this worker speaks.
    #[error("model manifest: {0}")]
    Format(#[from] toml::de::Error),
    /// Says something impossible.
    #[error("model manifest: {0}")]
    Content(String),
    /// The bytes on disk are not the pinned ones.
    #[error("{path}: SHA-256 is {found}, the manifest pins {pinned}; fetch the file again")]
    Digest {
        /// The file.
        path: PathBuf,
        /// What it hashes to.
        found: String,
        /// What the manifest says.
        pinned: String,
    },
}

#[derive(Debug, Deserialize)]
struct Document {
    format: u32,
    #[serde(default)]
    file: Vec<FileEntry>,
    #[serde(default)]
    model: Vec<ModelEntry>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Deserialize)]
struct FileEntry {
    id: String,
    sha256: String,
    install: String,
}

#[derive(Debug, Deserialize)]
struct ModelEntry {
    id: String,
    role: String,
    file: String,
    dimension: usize,
    #[serde(default)]
    format: Format,
    side: Option<usize>,
    points: Option<[[f32; 2]; 5]>,
    #[serde(default)]
    mean: f32,
    #[serde(default = "one")]
    deviation: f32,
    norm_min: Option<f32>,
}

fn one() -> f32 {
    1.0
}

/// What a model's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A graph of ONNX.
    #[default]
    Onnx,
    /// dlib's face recognition network, as dlib saves it.
    Dlib,
    /// A frozen graph of TensorFlow.
    Tensorflow,
}

#[derive(Debug, Deserialize)]
struct Runtime {
    onnxruntime: String,
}

/// A parsed manifest bound to the folder that holds its files.
#[derive(Debug)]
pub struct Manifest {
    document: Document,
    digest: [u8; 32],
    folder: PathBuf,
}

/// `(colour - mean) / deviation`, of colours 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colours {
    /// Taken off; 0 unless said.
    pub mean: f32,
    /// Divided by; 1 unless said.
    pub deviation: f32,
}

impl Colours {
    /// A square's colours, scaled.
    pub fn of<'a>(&self, square: &'a [f32]) -> Cow<'a, [f32]> {
        let Self { mean, deviation } = *self;
        if mean == 0.0 && deviation == 1.0 {
            return Cow::Borrowed(square);
        }
        square
            .iter()
            .map(|colour| (colour - mean) / deviation)
            .collect()
    }
}

/// A model's verified bytes.
#[derive(Debug)]
pub struct ModelFile {
    /// Manifest id, such as `sface-2021dec`.
    pub id: String,
    /// Length of its embedding (zero where it makes none).
    pub dimension: usize,
    /// What the bytes are.
    pub format: Format,
    /// The square it takes; ArcFace's unless said.
    pub square: Square,
    /// How its colours are scaled before it takes them.
    pub colours: Colours,
    /// Least length of its vector before it is normalised, where it is the first embedder.
    pub norm_min: f32,
    /// The file as pinned.
    pub bytes: Vec<u8>,
}

impl ModelEntry {
    fn square(&self) -> Result<Square, ManifestError> {
        let square = match (self.side, self.points) {
            (None, None) => return Ok(Square::ARCFACE),
            (Some(side), Some(points)) => Square { side, points },
            _ => return Err(self.wrong("side and points belong together")),
        };
        let within = |at: &f32| (0.0..=square.side as f32).contains(at);
        if !(16..=512).contains(&square.side) || !square.points.iter().flatten().all(within) {
            return Err(self.wrong("side must be 16 to 512, and the points must lie within"));
        }
        Ok(square)
    }

    fn colours(&self) -> Result<Colours, ManifestError> {
        let (mean, deviation) = (self.mean, self.deviation);
        if !(mean.is_finite() && deviation.is_normal()) {
            return Err(self.wrong("mean and deviation must be numbers, and deviation not 0"));
        }
        Ok(Colours { mean, deviation })
    }

    fn norm_min(&self) -> Result<f32, ManifestError> {
        let least = self.norm_min.unwrap_or(NORM_MIN);
        match least.is_finite() && least > 0.0 {
            true => Ok(least),
            false => Err(self.wrong("norm_min must be above 0")),
        }
    }

    fn wrong(&self, problem: &str) -> ManifestError {
        ManifestError::Content(format!("model {}: {problem}", self.id))
    }
}

impl Manifest {
    /// Reads `manifest`; its files lie in `folder`.
    pub fn open(manifest: &Path, folder: &Path) -> Result<Self, ManifestError> {
        let text = read(manifest)?;
        Self::parse(&text, folder)
    }

    /// Parses the manifest's bytes.
    pub fn parse(bytes: &[u8], folder: &Path) -> Result<Self, ManifestError> {
        let document: Document = toml::from_slice(bytes)?;
        if document.format != 1 {
            return Err(ManifestError::Content(format!(
                "format {} is not 1; use the worker of the same release",
                document.format
            )));
        }
        Ok(Self {
            document,
            digest: Sha256::digest(bytes).into(),
            folder: folder.to_owned(),
        })
    }

    /// SHA-256 over the manifest's bytes: the models digest of the binding.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Every model of a role, in the manifest's order, verified.
    pub fn models(&self, role: &str) -> Result<Vec<ModelFile>, ManifestError> {
        let entries = self
            .document
            .model
            .iter()
            .filter(|model| model.role == role);
        entries
            .map(|entry| {
                Ok(ModelFile {
                    id: entry.id.clone(),
                    dimension: entry.dimension,
                    format: entry.format,
                    square: entry.square()?,
                    colours: entry.colours()?,
                    norm_min: entry.norm_min()?,
                    bytes: self.file(&entry.file)?,
                })
            })
            .collect()
    }

    /// The inference library's bytes, verified.
    pub fn runtime(&self) -> Result<Vec<u8>, ManifestError> {
        let runtime = self.document.runtime.as_ref();
        let none = || ManifestError::Content("there is no [runtime]".to_owned());
        self.file(&runtime.ok_or_else(none)?.onnxruntime)
    }

    /// A file's bytes, verified.
    pub fn file(&self, file: &str) -> Result<Vec<u8>, ManifestError> {
        let entry = self
            .document
            .file
            .iter()
            .find(|entry| entry.id == file)
            .ok_or_else(|| ManifestError::Content(format!("no [[file]] has the id {file:?}")))?;
        if Path::new(&entry.install).components().count() != 1 || entry.install == ".." {
            return Err(ManifestError::Content(format!(
                "install = {:?} must be a bare file name",
                entry.install
            )));
        }
        let path = self.folder.join(&entry.install);
        let bytes = read(&path)?;
        let found = hex::encode(Sha256::digest(&bytes));
        if found != entry.sha256 {
            return Err(ManifestError::Digest {
                path,
                found,
                pinned: entry.sha256.clone(),
            });
        }
        Ok(bytes)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ManifestError> {
    std::fs::read(path).map_err(|source| ManifestError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(install: &str, sha256: &str) -> String {
        format!(
            "format = 1\n[[file]]\nid = \"f\"\nsha256 = \"{sha256}\"\ninstall = \"{install}\"\n\
             [[model]]\nid = \"m\"\nrole = \"face_embedder\"\nfile = \"f\"\ndimension = 4\n\
             [runtime]\nonnxruntime = \"f\"\n"
        )
    }

    #[test]
    fn a_file_with_other_bytes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("w"), b"weights").unwrap();
        let right = hex::encode(Sha256::digest(b"weights"));
        let good = Manifest::parse(manifest("w", &right).as_bytes(), dir.path()).unwrap();
        assert_eq!(good.models("face_embedder").unwrap()[0].bytes, b"weights");
        let wrong = hex::encode(Sha256::digest(b"other"));
        let bad = Manifest::parse(manifest("w", &wrong).as_bytes(), dir.path()).unwrap();
        assert!(matches!(bad.runtime(), Err(ManifestError::Digest { .. })));
    }

    #[test]
    fn a_file_outside_the_models_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for install in ["../w", "/etc/passwd", "..", "a/b"] {
            let bad = Manifest::parse(manifest(install, "00").as_bytes(), dir.path()).unwrap();
            assert!(
                matches!(bad.runtime(), Err(ManifestError::Content(_))),
                "{install}"
            );
        }
    }

    #[test]
    fn the_committed_embedder_to_add_says_what_the_worker_takes() {
        let dir = tempfile::tempdir().unwrap();
        let text = [
            include_str!("../../images/models.toml"),
            include_str!("../../images/embedders/facenet.toml"),
        ]
        .concat();
        let manifest = Manifest::parse(text.as_bytes(), dir.path()).unwrap();
        let added = manifest.document.model.last().unwrap();
        assert_eq!((added.format, added.dimension), (Format::Tensorflow, 512));
        assert_eq!(added.square().unwrap().side, 160);
        let colours = added.colours().unwrap();
        assert_eq!(
            *colours.of(&[0.0, 127.5, 255.0]),
            [-0.99609375, 0.0, 0.99609375]
        );
        assert_eq!(added.norm_min().unwrap(), NORM_MIN);
    }

    #[test]
    fn colours_and_lengths_that_cannot_be_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("w"), b"weights").unwrap();
        let right = hex::encode(Sha256::digest(b"weights"));
        let with = |more: &str| {
            let said = format!("dimension = 4\n{more}\n");
            let text = manifest("w", &right).replace("dimension = 4\n", &said);
            let manifest = Manifest::parse(text.as_bytes(), dir.path()).unwrap();
            manifest
                .models("face_embedder")
                .map(|mut found| found.remove(0))
        };
        assert_eq!(with("norm_min = 0.5").unwrap().norm_min, 0.5);
        for bad in [
            "deviation = 0.0",
            "mean = nan",
            "deviation = inf",
            "norm_min = 0.0",
            "norm_min = nan",
        ] {
            assert!(matches!(with(bad), Err(ManifestError::Content(_))), "{bad}");
        }
    }

    #[test]
    fn a_square_that_cannot_be_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("w"), b"weights").unwrap();
        let right = hex::encode(Sha256::digest(b"weights"));
        let with = |more: &str| {
            let text = manifest("w", &right).replace("[runtime]", &format!("{more}\n[runtime]"));
            let manifest = Manifest::parse(text.as_bytes(), dir.path()).unwrap();
            manifest.models("face_embedder")
        };
        let points = "points = [[1,1],[9,1],[5,5],[2,8],[8,8]]";
        let good = with(&format!("side = 20\n{points}")).unwrap();
        assert_eq!((good[0].square.side, good[0].format), (20, Format::Onnx));
        for wrong in ["side = 20", points, &format!("side = 4\n{points}")] {
            let refused = with(wrong);
            assert!(matches!(refused, Err(ManifestError::Content(_))), "{wrong}");
        }
        let outside = points.replace("9,1", "91,1");
        assert!(with(&format!("side = 20\n{outside}")).is_err());
    }

    #[test]
    fn the_committed_manifest_parses_and_names_one_detector_and_an_embedder() {
        let text = include_bytes!("../../images/models.toml");
        let manifest = Manifest::parse(text, Path::new("/nonexistent")).unwrap();
        let count = |role| {
            let models = manifest.document.model.iter();
            models.filter(|model| model.role == role).count()
        };
        assert_eq!(count("face_detector"), 1);
        assert!(count("face_embedder") >= 1);
    }
}
