//! The secrets to search for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that must not be seen outside.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Markers {
    /// Texts, such as customer ids and payment references.
    #[serde(default)]
    pub texts: Vec<NamedText>,
    /// Byte strings, in base64url.
    #[serde(default)]
    pub bytes: Vec<NamedBytes>,
    /// Sample files.
    #[serde(default)]
    pub images: Vec<NamedImage>,
    /// Embeddings.
    #[serde(default)]
    pub vectors: Vec<NamedVector>,
}

/// A text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedText {
    /// Named in reports instead of the text.
    pub name: String,
    /// At least eight bytes.
    pub value: String,
}

/// A byte string.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedBytes {
    /// Named in reports.
    pub name: String,
    /// Base64url without padding.
    pub value: String,
}

/// An image; any 32-byte window of it counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedImage {
    /// Named in reports.
    pub name: String,
    /// Where its bytes are.
    pub path: PathBuf,
}

/// An embedding.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedVector {
    /// Named in reports.
    pub name: String,
    /// Its components.
    pub values: Vec<f32>,
}

impl Markers {
    /// Adds a text.
    pub fn text(&mut self, name: &str, value: &str) {
        self.texts.push(NamedText {
            name: name.into(),
            value: value.into(),
        });
    }

    /// Adds an image.
    pub fn image(&mut self, name: &str, path: PathBuf) {
        self.images.push(NamedImage {
            name: name.into(),
            path,
        });
    }
}
