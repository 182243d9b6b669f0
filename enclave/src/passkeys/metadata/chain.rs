//! The signer's certificates (RFC 5280), from the JWS header to a given root.
//!
//! Protects against a signer that is not the service: every certificate is issued
//! by the next, each may do what it is used for, the first is for the service's
//! name, the last chains to a root, and all are valid at the caller's time.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::extensions::GeneralName;

use super::super::attestation::x509::Certificate;
use super::super::public_key::KeyMaterial;
use super::{MetadataError, require};

pub(super) struct Path<'a> {
    /// The signer's first.
    certificates: Vec<Certificate<'a>>,
    der: Vec<CertificateDer<'a>>,
    signer_key: KeyMaterial,
}

impl<'a> Path<'a> {
    /// Reads the certificates and checks that each is issued by the next.
    pub(super) fn parse(der: &'a [Vec<u8>]) -> Result<Self, MetadataError> {
        let certificates = der
            .iter()
            .map(|der| Certificate::parse(der).ok_or(MetadataError::Certificate))
            .collect::<Result<Vec<_>, _>>()?;
        let signer = certificates.first().ok_or(MetadataError::NoChain)?;
        let signer_key = signer.public_key().ok_or(MetadataError::Certificate)?;
        for (issued, issuer) in certificates.iter().zip(certificates.iter().skip(1)) {
            require(issued.names_issuer(issuer), MetadataError::Order)?;
            require(issuer.may_sign_certificates(), MetadataError::KeyUsage)?;
        }
        Ok(Self {
            der: der.iter().map(|der| der.as_slice().into()).collect(),
            certificates,
            signer_key,
        })
    }

    pub(super) fn signer_key(&self) -> &KeyMaterial {
        &self.signer_key
    }

    /// Whether the first certificate is for this DNS name and may sign. The common
    /// name does not count (RFC 9525 section 6.3), nor does a wildcard.
    pub(super) fn check_signer(&self, name: &str) -> Result<(), MetadataError> {
        let signer = self.certificates.first().ok_or(MetadataError::NoChain)?;
        let named = signer.alternative_names().iter().any(
            |found| matches!(found, GeneralName::DNSName(dns) if dns.eq_ignore_ascii_case(name)),
        );
        require(named, MetadataError::Signer)?;
        require(signer.may_sign_data(), MetadataError::KeyUsage)
    }

    /// The first moment at which no certificate is still to become valid.
    pub(super) fn first_moment_ms(&self) -> u64 {
        let starts = self.certificates.iter().map(|one| one.validity_ms().0);
        starts.max().unwrap_or_default()
    }

    /// Whether the path ends in a root at a time in Unix milliseconds.
    pub(super) fn chains(&self, roots: &[Vec<u8>], now_ms: u64) -> Result<(), MetadataError> {
        let roots: Vec<CertificateDer<'_>> =
            roots.iter().map(|der| der.as_slice().into()).collect();
        let anchors = anchors(&roots, now_ms)?;
        let (signer, issuers) = self.der.split_first().ok_or(MetadataError::NoChain)?;
        let signer = EndEntityCert::try_from(signer).map_err(reason)?;
        signer
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                issuers,
                UnixTime::since_unix_epoch(Duration::from_millis(now_ms)),
                KeyUsage::server_auth(),
                None,
                None,
            )
            .map(|_| ())
            .map_err(reason)
    }
}

/// The roots that are valid at this time.
fn anchors<'r>(
    roots: &'r [CertificateDer<'_>],
    now_ms: u64,
) -> Result<Vec<TrustAnchor<'r>>, MetadataError> {
    let mut anchors = Vec::new();
    for der in roots {
        let root = Certificate::parse(der).ok_or(MetadataError::BadRoot)?;
        let anchor = anchor_from_trusted_cert(der).map_err(|_| MetadataError::BadRoot)?;
        let (start, end) = root.validity_ms();
        if (start..=end).contains(&now_ms) {
            anchors.push(anchor);
        }
    }
    require(!anchors.is_empty(), MetadataError::RootOutOfTime)?;
    Ok(anchors)
}

fn reason(error: webpki::Error) -> MetadataError {
    use webpki::Error as E;
    match error {
        E::CertExpired { .. } => MetadataError::Expired,
        E::CertNotValidYet { .. } => MetadataError::NotYetValid,
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => MetadataError::Untrusted,
        E::CaUsedAsEndEntity => MetadataError::SignerIsCa,
        E::EndEntityUsedAsCa => MetadataError::IssuerIsNoCa,
        _ => MetadataError::Constraint,
    }
}
