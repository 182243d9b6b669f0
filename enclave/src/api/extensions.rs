//! Client extension inputs and hints that a page may ask for.
//!
//! Protects against options that carry anything else: what is passed through to
//! browsers is typed and bounded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::passkeys::Base64Url;

/// Bytes of one input.
const INPUT_MOST: usize = 256;
/// Credentials with inputs of their own.
const CREDENTIALS_MOST: usize = 64;

/// `PublicKeyCredentialHint` (WebAuthn Level 3 section 5.8.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hint {
    /// A key of its own, such as on USB.
    SecurityKey,
    /// What is built into the device.
    ClientDevice,
    /// Another device, such as a phone.
    Hybrid,
}

impl Hint {
    /// As options spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SecurityKey => "security-key",
            Self::ClientDevice => "client-device",
            Self::Hybrid => "hybrid",
        }
    }
}

/// Inputs of the `prf` extension (section 10.1.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    try_from = "RawPrfInput"
)]
pub struct PrfInput {
    /// For whichever credential answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<PrfValues>,
    /// By credential id (base64url); only where the customer is named, and not when
    /// a passkey is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub eval_by_credential: BTreeMap<String, PrfValues>,
}

/// One or two inputs, 1 to 256 bytes each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrfValues {
    /// The first.
    #[schema(value_type = String, min_length = 2, max_length = 342, pattern = "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?$")]
    pub first: Base64Url,
    /// The second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 2, max_length = 342, pattern = "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?$")]
    pub second: Option<Base64Url>,
}

impl PrfValues {
    fn fit(&self) -> bool {
        let mut inputs = std::iter::once(&self.first).chain(&self.second);
        inputs.all(|input| (1..=INPUT_MOST).contains(&input.0.len()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawPrfInput {
    eval: Option<PrfValues>,
    #[serde(default)]
    eval_by_credential: BTreeMap<Base64Url, PrfValues>,
}

impl TryFrom<RawPrfInput> for PrfInput {
    type Error = String;

    fn try_from(raw: RawPrfInput) -> Result<Self, String> {
        let fit = raw
            .eval_by_credential
            .values()
            .chain(&raw.eval)
            .all(PrfValues::fit);
        if !fit {
            return Err(format!("prf: use 1 to {INPUT_MOST} bytes for each input"));
        }
        let mut ids = raw.eval_by_credential.keys();
        if raw.eval_by_credential.len() > CREDENTIALS_MOST || ids.any(|id| id.0.is_empty()) {
            let wrong =
                format!("prf: evalByCredential may name 1 to {CREDENTIALS_MOST} credential ids");
            return Err(wrong);
        }
        let by_credential = raw.eval_by_credential.into_iter();
        Ok(Self {
            eval: raw.eval,
            eval_by_credential: by_credential.map(|(id, of)| (id.encode(), of)).collect(),
        })
    }
}

impl PrfInput {
    /// Whether some input is meant for one credential alone.
    pub fn by_credential(&self) -> bool {
        !self.eval_by_credential.is_empty()
    }
}
