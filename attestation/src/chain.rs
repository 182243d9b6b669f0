//! Certification paths (RFC 5280 §6.1) from a signing certificate to a pinned root.
//!
//! Protects against a signer that nobody's root vouches for: wrong issuers, leaves
//! that issue, authorities that may not, paths longer than an issuer allows,
//! certificates out of their time. Only ECDSA with SHA-384 on P-384 counts.
//!
//! The root's own validity is not looked at: a trust anchor is a name and a key
//! (§6.1.1 d), and callers pin it by its exact bytes. There is no revocation here.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath};

use crate::der::{Use, allows};
use crate::encode::exactly;

/// DER in front of the uncompressed point of every P-384 SubjectPublicKeyInfo.
const P384_SPKI_PREFIX: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

/// Why a path is not accepted. Whoever sent the certificates is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A certificate cannot be read.
    #[error("a certificate is malformed: {0}")]
    Malformed(Error),
    /// A critical extension that nobody here understands (RFC 5280 §4.2).
    #[error("a certificate has a critical extension that is not understood")]
    CriticalExtension,
    /// A certificate has run out at the time asked for.
    #[error("a certificate had expired at that time")]
    Expired,
    /// A certificate does not hold yet at the time asked for.
    #[error("a certificate was not yet valid at that time")]
    NotYetValid,
    /// The signing certificate is one of an authority.
    #[error("the signing certificate is one of an authority")]
    LeafIsCa,
    /// An issuer has no `cA` in its basic constraints.
    #[error("a certificate is issued by one that is no authority")]
    IssuerNotCa,
    /// `pathLenConstraint` is exceeded.
    #[error("the path has more authorities than one of them allows below it")]
    PathTooLong,
    /// An issuer's key usage lacks `keyCertSign`.
    #[error("an issuer's key may not sign certificates")]
    IssuerMayNotSign,
    /// The leaf's key usage lacks `digitalSignature`.
    #[error("the signing certificate's key may not sign")]
    LeafMayNotSign,
    /// The certificates do not lead to the root.
    #[error("the certificates do not lead to the root: {0}")]
    Broken(Error),
    /// The signing key is not on P-384.
    #[error("the signing certificate holds no P-384 key")]
    LeafKey,
}

impl ChainError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "certificate_malformed",
            Self::CriticalExtension => "critical_extension",
            Self::Expired => "certificate_expired",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::LeafIsCa => "leaf_is_ca",
            Self::IssuerNotCa => "issuer_not_ca",
            Self::PathTooLong => "path_too_long",
            Self::IssuerMayNotSign => "issuer_may_not_sign",
            Self::LeafMayNotSign => "leaf_may_not_sign",
            Self::Broken(_) => "chain_broken",
            Self::LeafKey => "leaf_key_not_p384",
        }
    }
}

impl From<Error> for ChainError {
    fn from(error: Error) -> Self {
        match error {
            Error::CertExpired { .. } => Self::Expired,
            Error::CertNotValidYet { .. } => Self::NotYetValid,
            Error::CaUsedAsEndEntity => Self::LeafIsCa,
            Error::EndEntityUsedAsCa => Self::IssuerNotCa,
            Error::PathLenConstraintViolated => Self::PathTooLong,
            Error::UnsupportedCriticalExtension => Self::CriticalExtension,
            Error::BadDer | Error::BadDerTime => Self::Malformed(error),
            other => Self::Broken(other),
        }
    }
}

fn unreadable(error: Error) -> ChainError {
    match error {
        Error::UnsupportedCriticalExtension => ChainError::CriticalExtension,
        other => ChainError::Malformed(other),
    }
}

/// Walks from `leaf` over any of `intermediates` to `root` (all DER), every
/// certificate but the root valid at `at_ms` (Unix milliseconds). Returns the
/// leaf's public key, an uncompressed P-384 point of 97 bytes.
pub(crate) fn verify<'a>(
    root: &[u8],
    intermediates: impl IntoIterator<Item = &'a [u8]>,
    leaf: &[u8],
    at_ms: u64,
) -> Result<[u8; 97], ChainError> {
    let root = CertificateDer::from(root);
    let anchor = webpki::anchor_from_trusted_cert(&root).map_err(unreadable)?;
    let leaf = CertificateDer::from(leaf);
    let end = EndEntityCert::try_from(&leaf).map_err(unreadable)?;
    let intermediates: Vec<_> = intermediates
        .into_iter()
        .map(CertificateDer::from)
        .collect();
    let anchors = [anchor];
    let path = end.verify_for_usage(
        &[webpki::aws_lc_rs::ECDSA_P384_SHA384],
        &anchors,
        &intermediates,
        UnixTime::since_unix_epoch(Duration::from_millis(at_ms)),
        KeyUsage::client_auth(),
        None,
        None,
    )?;
    check_usages(&path, &leaf)?;
    point_of(&end)
}

/// RFC 5280 §4.2.1.3 and §6.1.4 (n), which webpki leaves to its callers.
fn check_usages(path: &VerifiedPath<'_>, leaf: &[u8]) -> Result<(), ChainError> {
    let mut issuers = path.intermediate_certificates();
    if !issuers.all(|issuer| allows(&issuer.der(), Use::Issue)) {
        return Err(ChainError::IssuerMayNotSign);
    }
    if !allows(leaf, Use::Sign) {
        return Err(ChainError::LeafMayNotSign);
    }
    Ok(())
}

/// The public key of a certificate (DER), whoever issued it: for second opinions.
pub(crate) fn leaf_point(leaf: &[u8]) -> Result<[u8; 97], ChainError> {
    let leaf = CertificateDer::from(leaf);
    point_of(&EndEntityCert::try_from(&leaf).map_err(unreadable)?)
}

fn point_of(leaf: &EndEntityCert<'_>) -> Result<[u8; 97], ChainError> {
    let spki = leaf.subject_public_key_info();
    spki.strip_prefix(&P384_SPKI_PREFIX)
        .and_then(|point| exactly(point).ok())
        .ok_or(ChainError::LeafKey)
}
