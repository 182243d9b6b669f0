//! What goes through the pipes: a length (u32, big-endian), then postcard.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::core::Ruling;

/// Longest message, in bytes.
pub(super) const MESSAGE_MAX: usize = 256 * 1024;

/// Path and text of modules.
pub(super) type Texts = Vec<(String, String)>;

/// What the appliance asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Compile, look for what is forbidden, run the unit tests, and go on with these.
    Check(Texts),
    /// Go on with these, which were checked before.
    Load(Texts),
    /// Rule on this input, JSON text.
    Rule(String),
}

/// What a process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    /// The modules are loaded; these unit tests passed.
    Loaded(Vec<String>),
    /// The modules are refused.
    Refused(Refused),
    /// A ruling.
    Ruled(Ruling),
}

impl Told {
    /// The ruling, if it is one, within its bounds: whoever tells it is not trusted.
    pub(super) fn ruling(self) -> Option<Ruling> {
        match self {
            Self::Ruled(ruling) if ruling.fits() => Some(ruling),
            _ => None,
        }
    }
}

/// Why modules are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// A stable word.
    pub code: String,
    /// For the author.
    pub detail: String,
}

impl Refused {
    pub(super) fn new(code: &str, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(2000) {
            detail.truncate(end);
        }
        Self {
            code: code.to_owned(),
            detail,
        }
    }
}

/// A message as it goes through a pipe.
pub(super) fn framed(message: &impl Serialize) -> Option<Vec<u8>> {
    let body = postcard::to_stdvec(message).ok()?;
    let length = u32::try_from(body.len()).ok()?;
    let fits = body.len() <= MESSAGE_MAX;
    fits.then(|| [&length.to_be_bytes()[..], &body].concat())
}

/// The length that stands before a body, if that may be read.
pub(super) fn length(header: [u8; 4]) -> Option<usize> {
    let length = u32::from_be_bytes(header) as usize;
    (length <= MESSAGE_MAX).then_some(length)
}

/// A body, whole.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let (message, rest) = postcard::take_from_bytes(body).ok()?;
    rest.is_empty().then_some(message)
}
