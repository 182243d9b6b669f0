//! A tenant's passkey policy: what its officers decide about authenticators.
//!
//! Protects against a policy that means less than it says: every name is checked
//! when officers sign, and what protects people (user verification, fresh
//! single-use challenges, discoverable keys) has no member here.

use std::collections::BTreeSet;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use super::{GenesisError, anchor_der, require};
use crate::encode::sha256;

const FILE: &str = "configuration";
/// SHA-256 of the DER of GlobalSign Root CA - R3, under which the FIDO Metadata
/// Service signs.
pub const METADATA_ROOT_SHA256: &str =
    "cbb522d7b7f127ad6a0113865bdf1cd4102e7d0759af635a7cf4720dc963c53b";
/// Certificates and AAGUIDs in one list.
const LIST_MOST: usize = 256;

/// Every signature algorithm that can be named, as IANA registered it for COSE.
pub const ALGORITHMS: [&str; 20] = [
    "ES256",
    "ES384",
    "ES512",
    "ES256K",
    "EdDSA",
    "Ed448",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "RS1",
    "ML-DSA-44",
    "ML-DSA-65",
    "ML-DSA-87",
    "ESP256",
    "ESP384",
    "ESP512",
    "Ed25519",
];
/// Every attestation statement format that can be named, as IANA registered it.
pub const FORMATS: [&str; 8] = [
    "none",
    "packed",
    "tpm",
    "android-key",
    SAFETYNET,
    "fido-u2f",
    "apple",
    "compound",
];
const SAFETYNET: &str = "android-safetynet";

/// What a page asks the authenticator to say of itself (WebAuthn Level 3 section 5.4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conveyance {
    /// Nothing.
    None,
    /// Something, maybe through an anonymising CA.
    Indirect,
    /// Its own statement.
    #[default]
    Direct,
    /// Its own statement, with what identifies the one device.
    Enterprise,
}

impl Conveyance {
    /// As options spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Indirect => "indirect",
            Self::Direct => "direct",
            Self::Enterprise => "enterprise",
        }
    }
}

/// What attestation certificates must chain to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttestationTrust {
    /// Nothing: statements are verified, their makers are not.
    #[default]
    Open,
    /// One of these certificates, PEM.
    Roots(Vec<String>),
    /// A root that FIDO metadata names for the model.
    Metadata,
}

/// What to do when a signature counter did not grow (Level 3 section 7.2 step 22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignCountRule {
    /// Refuse.
    #[default]
    Refuse,
    /// Accept, and say so in the claim.
    Report,
}

/// What credentials may be copied to other devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupRule {
    /// Synced and device-bound ones alike.
    #[default]
    Any,
    /// Only those that never leave their device.
    DeviceBoundOnly,
    /// Those that could, as long as they did not.
    NotBackedUp,
}

/// Under which roots FIDO metadata BLOBs count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataSource {
    /// Certificates, PEM.
    pub roots: Vec<String>,
    /// Whether roots other than the service's own ([`METADATA_ROOT_SHA256`]) count.
    #[serde(default)]
    pub accept_other_roots: bool,
}

/// The policy. A member that is left out has the default; so has the whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasskeyPolicy {
    /// Algorithms by their COSE names, most wanted first; absent: the appliance's
    /// own list, in which RS1, ES256K and Ed448 are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<Vec<String>>,
    /// What options ask for.
    pub attestation: Conveyance,
    /// Formats that options name as wanted, most wanted first; a hint to clients.
    pub attestation_formats: Vec<String>,
    /// Formats that are accepted; absent: every current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formats: Option<Vec<String>>,
    /// Why `android-safetynet` is among them although its service has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safetynet_reason: Option<String>,
    /// Whether a statement signed by the credential itself is refused.
    pub refuse_self_attestation: bool,
    /// What attestation certificates must chain to.
    pub trust: AttestationTrust,
    /// Models that alone may register, 8-4-4-4-12; empty: all.
    pub allowed_aaguids: Vec<String>,
    /// Models that may neither register nor be used, 8-4-4-4-12.
    pub denied_aaguids: Vec<String>,
    /// Pages that may frame the relying party's own; empty: none.
    pub cross_origin: Vec<String>,
    /// What to do with a counter that did not grow.
    pub sign_count: SignCountRule,
    /// What may be copied to other devices.
    pub backup: BackupRule,
    /// Where FIDO metadata comes from; absent: none is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataSource>,
}

impl PasskeyPolicy {
    /// Checks every member; `tenant` is its place, such as `tenants[0]`.
    pub(super) fn validate(&self, tenant: &str) -> Result<(), GenesisError> {
        let at = |member: &str| format!("{tenant}.passkeys.{member}");
        if let Some(algorithms) = &self.algorithms {
            names(at("algorithms"), algorithms, &ALGORITHMS, true)?;
        }
        names(
            at("attestation_formats"),
            &self.attestation_formats,
            &FORMATS,
            false,
        )?;
        if let Some(formats) = &self.formats {
            names(at("formats"), formats, &FORMATS, true)?;
        }
        let safetynet = self.accepts(SAFETYNET);
        let reason = self.safetynet_reason.as_deref().map(str::trim);
        require(
            safetynet == reason.is_some_and(|reason| !reason.is_empty()),
            FILE,
            at("safetynet_reason"),
            "say why, if formats names android-safetynet; leave it out if not",
        )?;
        self.check_trust(&at)?;
        let allowed = aaguids(at("allowed_aaguids"), &self.allowed_aaguids)?;
        let denied = aaguids(at("denied_aaguids"), &self.denied_aaguids)?;
        require(
            allowed.is_disjoint(&denied),
            FILE,
            at("denied_aaguids"),
            "a model is in allowed_aaguids too; decide for one of them",
        )?;
        require(
            self.cross_origin.len() <= LIST_MOST && self.cross_origin.iter().all(|o| is_page(o)),
            FILE,
            at("cross_origin"),
            "list at most 256 origins of framing pages, as https://shop.example, without a path",
        )?;
        match &self.metadata {
            Some(source) => source.validate(&at),
            None => Ok(()),
        }
    }

    /// Whether policy names a format; without a list it is not SafetyNet.
    fn accepts(&self, format: &str) -> bool {
        match &self.formats {
            Some(formats) => formats.iter().any(|name| name == format),
            None => format != SAFETYNET,
        }
    }

    /// Where makers have to be proven, nothing that proves none may be accepted.
    fn check_trust(&self, at: &impl Fn(&str) -> String) -> Result<(), GenesisError> {
        if self.trust == AttestationTrust::Open {
            return Ok(());
        }
        if let AttestationTrust::Roots(roots) = &self.trust {
            certificates(at("trust.roots"), roots)?;
        }
        require(
            self.trust != AttestationTrust::Metadata || self.metadata.is_some(),
            FILE,
            at("trust"),
            "metadata decides, so give its roots in passkeys.metadata",
        )?;
        require(
            self.attestation != Conveyance::None,
            FILE,
            at("attestation"),
            "makers have to be proven, so ask for direct, indirect or enterprise",
        )?;
        require(
            !self.accepts("none"),
            FILE,
            at("formats"),
            "makers have to be proven, so list the accepted formats without none",
        )?;
        require(
            self.refuse_self_attestation,
            FILE,
            at("refuse_self_attestation"),
            "makers have to be proven, so set it to true",
        )
    }
}

impl MetadataSource {
    fn validate(&self, at: &impl Fn(&str) -> String) -> Result<(), GenesisError> {
        let found = certificates(at("metadata.roots"), &self.roots)?;
        let own = |der: &CertificateDer<'_>| sha256(&[der]).to_string() == METADATA_ROOT_SHA256;
        require(
            self.accept_other_roots || found.iter().all(own),
            FILE,
            at("metadata.roots"),
            format!(
                "a root is not GlobalSign Root CA - R3 (SHA-256 {METADATA_ROOT_SHA256}), under \
                 which the service signs; if you mean it, set accept_other_roots to true"
            ),
        )
    }
}

fn names(field: String, given: &[String], known: &[&str], some: bool) -> Result<(), GenesisError> {
    let distinct: BTreeSet<&str> = given.iter().map(String::as_str).collect();
    let stray = distinct.iter().find(|name| !known.contains(name));
    let listed = known.join(", ");
    if let Some(stray) = stray {
        let problem = format!("{stray:?} is none of {listed}");
        return Err(GenesisError::field(FILE, field, problem));
    }
    require(
        distinct.len() == given.len() && !(some && given.is_empty()),
        FILE,
        field,
        format!("name each once, and at least one, of {listed}"),
    )
}

fn aaguids(field: String, given: &[String]) -> Result<BTreeSet<[u8; 16]>, GenesisError> {
    let read: Option<BTreeSet<_>> = given.iter().map(|text| aaguid(text)).collect();
    let problem = "list at most 256 AAGUIDs, each once, as 01020304-0506-0708-090a-0b0c0d0e0f10";
    match read {
        Some(read) if read.len() == given.len() && given.len() <= LIST_MOST => Ok(read),
        _ => Err(GenesisError::field(FILE, field, problem)),
    }
}

/// The 16 bytes of an authenticator model's AAGUID, spelt 8-4-4-4-12 in
/// hexadecimal digits.
pub fn aaguid(text: &str) -> Option<[u8; 16]> {
    let lengths = text.split('-').map(str::len);
    if !lengths.eq([8, 4, 4, 4, 12]) {
        return None;
    }
    let mut bytes = [0; 16];
    hex::decode_to_slice(text.replace('-', ""), &mut bytes).ok()?;
    Some(bytes)
}

/// The certificates of a list, DER, each usable as a trust anchor.
fn certificates(
    field: String,
    given: &[String],
) -> Result<Vec<CertificateDer<'static>>, GenesisError> {
    require(
        !given.is_empty() && given.len() <= LIST_MOST,
        FILE,
        field.clone(),
        "list 1 to 256 certificates in PEM",
    )?;
    let read = |(index, pem): (usize, &String)| {
        let der = anchor_der(pem).and_then(|der| match webpki::anchor_from_trusted_cert(&der) {
            Ok(_) => Ok(der.clone().into_owned()),
            Err(error) => Err(format!("is no X.509 v3 certificate: {error}")),
        });
        der.map_err(|problem| GenesisError::field(FILE, format!("{field}[{index}]"), problem))
    };
    given.iter().enumerate().map(read).collect()
}

/// A scheme and a host, with a port or without, and nothing behind them.
fn is_page(origin: &str) -> bool {
    let host = origin.strip_prefix("https://");
    let local = origin.strip_prefix("http://");
    let local = local.filter(|host| *host == "localhost" || host.starts_with("localhost:"));
    host.or(local).is_some_and(|host| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
        !host.is_empty() && host.bytes().all(plain)
    })
}

/// The certificates of a validated list, DER.
pub fn certificates_der(given: &[String]) -> Vec<Vec<u8>> {
    let read = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    let found = given.iter().filter_map(read);
    found.map(|der| der.to_vec()).collect()
}
