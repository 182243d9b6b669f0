//! Attestation certificates, reduced to the questions §8 asks of them.
//!
//! Protects against a certificate that answers a question twice: parsing is
//! strict and whole, an extension that occurs twice answers nothing.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{KeyUsage, ParsedExtension};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer as _, X509Extension};
use x509_parser::public_key::PublicKey as Spki;
use x509_parser::x509::{X509Name, X509Version};

use super::super::public_key::{Curve, KeyMaterial, strip_zeros};
use super::der::{self, Tag};

/// `id-fido-u2f-ce-transports`.
const TRANSPORTS_EXTENSION: &str = "1.3.6.1.4.1.45724.2.1.1";
/// `id-fido-gen-ce-aaguid`.
const AAGUID_EXTENSION: &str = "1.3.6.1.4.1.45724.1.1.4";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";

/// A parsed certificate.
pub(in super::super) struct Certificate<'a>(X509Certificate<'a>);

/// The AAGUID a certificate was issued for.
pub(super) enum AaguidExtension {
    Absent,
    Malformed,
    Present([u8; 16]),
}

impl<'a> Certificate<'a> {
    /// Parses a certificate that fills `der`.
    pub(in super::super) fn parse(der: &'a [u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        rest.is_empty().then_some(Self(certificate))
    }

    pub(super) fn is_version_3(&self) -> bool {
        self.0.version() == X509Version::V3
    }

    pub(super) fn subject(&self) -> Name<'_> {
        Name(self.0.subject())
    }

    /// The extension with this OID; `None` when absent or there twice.
    pub(super) fn extension(&self, oid: &str) -> Option<&X509Extension<'a>> {
        let oid = parse_oid(oid)?;
        self.0.get_extension_unique(&oid).ok().flatten()
    }

    /// Whether Basic Constraints is there and says CA = FALSE.
    pub(super) fn says_it_is_no_ca(&self) -> bool {
        match self
            .extension(BASIC_CONSTRAINTS)
            .map(X509Extension::parsed_extension)
        {
            Some(ParsedExtension::BasicConstraints(constraints)) => !constraints.ca,
            _ => false,
        }
    }

    /// Whether Extended Key Usage is there and names `oid`.
    pub(super) fn has_extended_key_usage(&self, oid: &str) -> bool {
        let wanted = parse_oid(oid);
        match self
            .extension(EXTENDED_KEY_USAGE)
            .map(X509Extension::parsed_extension)
        {
            Some(ParsedExtension::ExtendedKeyUsage(usage)) => usage
                .other
                .iter()
                .any(|other| Some(other) == wanted.as_ref()),
            _ => false,
        }
    }

    /// The names of the Subject Alternative Name extension.
    pub(in super::super) fn alternative_names(
        &self,
    ) -> &[x509_parser::extensions::GeneralName<'a>] {
        match self
            .extension(SUBJECT_ALT_NAME)
            .map(X509Extension::parsed_extension)
        {
            Some(ParsedExtension::SubjectAlternativeName(names)) => &names.general_names,
            _ => &[],
        }
    }

    /// Whether `issuer` has the name that this certificate gives its issuer.
    pub(in super::super) fn names_issuer(&self, issuer: &Self) -> bool {
        self.0.issuer().as_raw() == issuer.0.subject().as_raw()
    }

    /// Whether Key Usage is absent or has digitalSignature.
    pub(in super::super) fn may_sign_data(&self) -> bool {
        self.allows(|usage| usage.digital_signature())
    }

    /// Whether Key Usage is absent or has keyCertSign.
    pub(in super::super) fn may_sign_certificates(&self) -> bool {
        self.allows(|usage| usage.key_cert_sign())
    }

    fn allows(&self, asked: impl Fn(&KeyUsage) -> bool) -> bool {
        match self.0.key_usage() {
            Ok(usage) => usage.is_none_or(|usage| asked(usage.value)),
            Err(_) => false,
        }
    }

    /// First and last moment of its validity, Unix milliseconds; none before 1970.
    pub(in super::super) fn validity_ms(&self) -> (u64, u64) {
        let validity = self.0.validity();
        let start = u64::try_from(validity.not_before.timestamp()).unwrap_or(0);
        let end = u64::try_from(validity.not_after.timestamp()).unwrap_or(0);
        (
            start.saturating_mul(1000),
            end.saturating_mul(1000).saturating_add(999),
        )
    }

    /// The AAGUID extension: a 16-byte OCTET STRING, never critical.
    pub(super) fn aaguid(&self) -> AaguidExtension {
        let Some(oid) = parse_oid(AAGUID_EXTENSION) else {
            return AaguidExtension::Malformed;
        };
        let extension = match self.0.get_extension_unique(&oid) {
            Ok(None) => return AaguidExtension::Absent,
            Ok(Some(extension)) if !extension.critical => extension,
            _ => return AaguidExtension::Malformed,
        };
        der::only(extension.value, Tag::OCTET_STRING)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(AaguidExtension::Malformed, AaguidExtension::Present)
    }

    /// Whether the FIDO transports extension is absent or a BIT STRING, as its
    /// specification says; some makers shipped it as an OCTET STRING.
    pub(super) fn transports_are_well_formed(&self) -> bool {
        let Some(oid) = parse_oid(TRANSPORTS_EXTENSION) else {
            return false;
        };
        match self.0.get_extension_unique(&oid) {
            Ok(None) => true,
            Ok(Some(extension)) => der::only(extension.value, Tag::BIT_STRING).is_some(),
            Err(_) => false,
        }
    }

    /// The subject's public key, if of a kind that is known here.
    pub(in super::super) fn public_key(&self) -> Option<KeyMaterial> {
        let spki = self.0.public_key();
        let bytes = spki.subject_public_key.data.as_ref();
        match spki.algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.10045.2.1" => {
                let curve = spki.algorithm.parameters.as_ref()?.as_oid().ok()?;
                Some(KeyMaterial::Ec {
                    curve: curve_of(&curve.to_id_string())?,
                    point: bytes.to_vec(),
                })
            }
            "1.2.840.113549.1.1.1" => match spki.parsed().ok()? {
                Spki::RSA(key) => Some(KeyMaterial::Rsa {
                    n: strip_zeros(key.modulus).to_vec(),
                    e: strip_zeros(key.exponent).to_vec(),
                }),
                _ => None,
            },
            "1.3.101.112" => Some(KeyMaterial::Ed25519(bytes.to_vec())),
            "1.3.101.113" => Some(KeyMaterial::Ed448(bytes.to_vec())),
            "2.16.840.1.101.3.4.3.17" | "2.16.840.1.101.3.4.3.18" | "2.16.840.1.101.3.4.3.19" => {
                Some(KeyMaterial::MlDsa(bytes.to_vec()))
            }
            _ => None,
        }
    }
}

fn curve_of(oid: &str) -> Option<Curve> {
    match oid {
        "1.2.840.10045.3.1.7" => Some(Curve::P256),
        "1.3.132.0.34" => Some(Curve::P384),
        "1.3.132.0.35" => Some(Curve::P521),
        "1.3.132.0.10" => Some(Curve::Secp256k1),
        _ => None,
    }
}

fn parse_oid(text: &str) -> Option<Oid<'static>> {
    let arcs: Option<Vec<u64>> = text.split('.').map(|arc| arc.parse().ok()).collect();
    Oid::from(&arcs?).ok()
}

/// A distinguished name.
pub(super) struct Name<'a>(&'a X509Name<'a>);

impl Name<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter_attributes().next().is_none()
    }
    pub(super) fn country(&self) -> Option<&str> {
        self.0.iter_country().next()?.as_str().ok()
    }
    pub(super) fn organization(&self) -> Option<&str> {
        self.0.iter_organization().next()?.as_str().ok()
    }
    pub(super) fn organizational_unit(&self) -> Option<&str> {
        self.0.iter_organizational_unit().next()?.as_str().ok()
    }
    pub(super) fn common_name(&self) -> Option<&str> {
        self.0.iter_common_name().next()?.as_str().ok()
    }
}
