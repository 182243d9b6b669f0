//! §7.1 steps 23 and 24: whether a statement that verifies is believed.
//!
//! Protects against an attestation that is genuine, but somebody else's: with
//! roots given, certificates have to chain to one that policy trusts for this
//! authenticator model. Without roots nothing is claimed: `trusted` stays false.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{AttestationFormat, AttestationType, Statement, Verified};

checks! {
    /// Why a statement that verifies is not accepted.
    TrustError {
        BadRoot = "attestation_root_malformed", "a configured attestation root is not a certificate";
        SelfAttestation = "self_attestation_refused", "policy refuses self attestation";
        NoPath = "attestation_not_trusted", "the attestation certificate does not chain to a trusted root";
        ModelDenied = "aaguid_denied", "policy refuses this authenticator model";
        ModelNotAllowed = "aaguid_not_allowed", "policy does not list this authenticator model";
        ModelUnproven = "aaguid_unproven", "policy lists models, and nothing proves that this is one";
    }
}

/// `tcg-kp-AIKCertificate`, DER contents of 2.23.133.8.3.
const TCG_KP_AIK_CERTIFICATE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x03];

/// What attestation certificates must chain to.
#[derive(Debug, Clone, Default)]
pub enum TrustAnchors {
    /// Trust is left open: statements are verified, their makers are not.
    #[default]
    Open,
    /// Certificates must chain to one of these.
    Roots(Vec<TrustRoot>),
}

/// A trusted attestation certificate, for all models or for one.
#[derive(Debug, Clone)]
pub struct TrustRoot {
    certificate: Vec<u8>,
    aaguid: Option<[u8; 16]>,
}

impl TrustRoot {
    /// Trusts `certificate` (DER) for the model `aaguid`, or for all.
    ///
    /// # Errors
    /// If it is not a certificate.
    pub fn new(certificate: &[u8], aaguid: Option<[u8; 16]>) -> Result<Self, TrustError> {
        let der = CertificateDer::from(certificate);
        anchor_from_trusted_cert(&der).map_err(|_| TrustError::BadRoot)?;
        Ok(Self {
            certificate: certificate.to_vec(),
            aaguid,
        })
    }

    /// The same for a certificate that was read before.
    pub(crate) fn of_read(certificate: &[u8], aaguid: [u8; 16]) -> Self {
        Self {
            certificate: certificate.to_vec(),
            aaguid: Some(aaguid),
        }
    }
}

/// What an accepted statement proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationOutcome {
    /// Its format.
    pub format: AttestationFormat,
    /// Its kind.
    pub kind: AttestationType,
    /// Whether certificates chained to a root of policy: only then is the
    /// AAGUID more than the authenticator's own word.
    pub trusted: bool,
    /// Certificates in DER, the attestation certificate first.
    pub trust_path: Vec<Vec<u8>>,
    /// The parts of a compound statement.
    pub parts: Vec<AttestationOutcome>,
}

/// Assesses what a verification procedure returned.
pub(crate) fn assess(
    verified: Verified,
    statement: &Statement<'_>,
) -> Result<AttestationOutcome, TrustError> {
    let outcome = assess_one(verified, statement)?;
    let policy = statement.policy;
    let aaguid = &statement.credential.aaguid;
    require(
        !policy.denied_aaguids.contains(aaguid),
        TrustError::ModelDenied,
    )?;
    if !policy.allowed_aaguids.is_empty() {
        require(
            policy.allowed_aaguids.contains(aaguid),
            TrustError::ModelNotAllowed,
        )?;
        let claims_suffice = matches!(policy.trust, TrustAnchors::Open);
        require(outcome.trusted || claims_suffice, TrustError::ModelUnproven)?;
    }
    Ok(outcome)
}

fn assess_one(
    verified: Verified,
    statement: &Statement<'_>,
) -> Result<AttestationOutcome, TrustError> {
    let parts: Vec<AttestationOutcome> = verified
        .parts
        .into_iter()
        .map(|part| assess_one(part, statement))
        .collect::<Result<_, _>>()?;
    let trusted = match (verified.format, verified.kind) {
        (AttestationFormat::Compound, _) => parts.iter().all(|part| part.trusted),
        (_, AttestationType::None) => false,
        (_, AttestationType::SelfAttestation) => {
            require(
                statement.policy.self_attestation,
                TrustError::SelfAttestation,
            )?;
            false
        }
        _ => assess_path(verified.format, &verified.trust_path, statement)?,
    };
    Ok(AttestationOutcome {
        format: verified.format,
        kind: verified.kind,
        trusted,
        trust_path: verified.trust_path,
        parts,
    })
}

/// Whether the path ends in a root; an error where roots are given and it
/// does not.
fn assess_path(
    format: AttestationFormat,
    path: &[Vec<u8>],
    statement: &Statement<'_>,
) -> Result<bool, TrustError> {
    let TrustAnchors::Roots(roots) = &statement.policy.trust else {
        return Ok(false);
    };
    let aaguid = statement.credential.aaguid;
    let applicable: Vec<&[u8]> = roots
        .iter()
        .filter(|root| root.aaguid.is_none_or(|model| model == aaguid))
        .map(|root| root.certificate.as_slice())
        .collect();
    let leaf = path.first().ok_or(TrustError::NoPath)?;
    let is_anchor_itself = applicable.contains(&leaf.as_slice());
    require(
        is_anchor_itself || chains(format, path, &applicable, statement.now_ms),
        TrustError::NoPath,
    )?;
    Ok(true)
}

fn chains(format: AttestationFormat, path: &[Vec<u8>], roots: &[&[u8]], now_ms: u64) -> bool {
    let certificates: Vec<CertificateDer<'_>> = path
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let roots: Vec<CertificateDer<'_>> =
        roots.iter().map(|der| CertificateDer::from(*der)).collect();
    let anchors: Vec<TrustAnchor<'_>> = roots
        .iter()
        .filter_map(|der| anchor_from_trusted_cert(der).ok())
        .collect();
    let Some((leaf, intermediates)) = certificates.split_first() else {
        return false;
    };
    let usage = match format {
        AttestationFormat::Tpm => KeyUsage::required(TCG_KP_AIK_CERTIFICATE),
        AttestationFormat::AndroidSafetyNet => KeyUsage::server_auth(),
        _ => KeyUsage::client_auth(),
    };
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now_ms));
    EndEntityCert::try_from(leaf).is_ok_and(|leaf| {
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            intermediates,
            now,
            usage,
            None,
            None,
        )
        .is_ok()
    })
}

fn require(holds: bool, otherwise: TrustError) -> Result<(), TrustError> {
    if holds { Ok(()) } else { Err(otherwise) }
}
