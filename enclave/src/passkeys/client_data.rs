//! Collected client data (Level 3 §5.8.1): what the browser vouches for.
//!
//! Protects against a reply made for another ceremony, page or frame. The
//! comparisons here are shared by both ceremonies; which step each one is, is
//! the ceremony's word.

use serde::Deserialize;

use super::base64url;
use super::error::Fault;
use super::policy::{CrossOrigin, Origins};

/// Longest client data that is read.
pub const MAX_CLIENT_DATA_BYTES: usize = 16 * 1024;

/// The members a relying party judges; unknown members are allowed by §5.8.1,
/// a second copy of a known one is not.
#[derive(Debug, Deserialize)]
pub(crate) struct ClientData {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    challenge: Option<String>,
    #[serde(default)]
    origin: Option<String>,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: Option<bool>,
    #[serde(rename = "topOrigin", default)]
    top_origin: Option<String>,
    #[serde(rename = "tokenBinding", default)]
    token_binding: Option<serde_json::Value>,
}

impl ClientData {
    /// UTF-8 decode: a leading byte order mark is dropped, and bytes that are
    /// not UTF-8 are refused rather than replaced.
    pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
        if bytes.len() > MAX_CLIENT_DATA_BYTES {
            return Err(Fault::ClientDataTooLong);
        }
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        std::str::from_utf8(bytes).map_err(|_| Fault::ClientDataNotUtf8)
    }

    /// Parses the JSON; Level 2's token binding member may be absent or of any
    /// kind, but a status that Level 2 never defined is refused.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        // An array in member order would deserialize as well.
        require(text.trim_start().starts_with('{'), Fault::ClientDataNotJson)?;
        let parsed: Self = serde_json::from_str(text).map_err(|_| Fault::ClientDataNotJson)?;
        let status = parsed
            .token_binding
            .as_ref()
            .and_then(|binding| binding.get("status"));
        match status {
            Some(status) if status != "present" && status != "supported" => {
                Err(Fault::TokenBindingStatus)
            }
            _ => Ok(parsed),
        }
    }

    pub(crate) fn check_type(&self, expected: &str) -> Result<(), Fault> {
        require(
            self.kind.as_deref() == Some(expected),
            Fault::ClientDataType,
        )
    }

    pub(crate) fn check_challenge(&self, challenge: &[u8]) -> Result<(), Fault> {
        let expected = base64url::encode(challenge);
        require(
            !challenge.is_empty() && self.challenge.as_deref() == Some(expected.as_str()),
            Fault::Challenge,
        )
    }

    pub(crate) fn check_origin(&self, rp_id: &str, origins: &Origins<'_>) -> Result<(), Fault> {
        let expected = self
            .origin
            .as_deref()
            .is_some_and(|origin| origins.accept(rp_id, origin));
        require(expected, Fault::Origin)
    }

    pub(crate) fn check_cross_origin(&self, policy: &CrossOrigin<'_>) -> Result<(), Fault> {
        let framed = self.cross_origin == Some(true);
        require(
            !framed || !matches!(policy, CrossOrigin::Refuse),
            Fault::CrossOrigin,
        )
    }

    pub(crate) fn check_top_origin(&self, policy: &CrossOrigin<'_>) -> Result<(), Fault> {
        let Some(top) = self.top_origin.as_deref() else {
            return Ok(());
        };
        let expected = match policy {
            CrossOrigin::Refuse => false,
            CrossOrigin::AllowBelow(pages) => pages.iter().any(|page| page == top),
            CrossOrigin::AllowBelowAnyPage => true,
        };
        require(expected, Fault::TopOrigin)
    }

    /// The origin the browser named.
    pub(crate) fn origin(&self) -> &str {
        self.origin.as_deref().unwrap_or_default()
    }
}

fn require(holds: bool, otherwise: Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(otherwise) }
}
