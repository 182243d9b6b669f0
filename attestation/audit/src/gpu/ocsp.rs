//! Recorded answers about certificates' status (OCSP, RFC 6960), as files.
//!
//! Protects against a device whose certificates NVIDIA has revoked or put on hold:
//! every certificate between the pinned root and the one that the device makes for
//! itself needs an answer `good`, valid at the time asked for, by its own issuer or
//! by a responder that this issuer named. A nonce in an answer proves its age to who
//! asked only, and is passed over: here the answer's own times count.

use std::time::Duration;

use aws_lc_rs::digest;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix;
use x509_cert::ext::{Extension, Extensions};
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus,
    ResponderId, SingleResponse,
};

use super::x509::{Read, signature_holds};

/// Most bytes of an answer.
const RESPONSE_MAX: usize = 64 * 1024;
/// id-pkix-ocsp-basic (RFC 6960 §4.2.1).
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
/// id-kp-OCSPSigning (§4.2.2.2), content of its DER.
const OCSP_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];
/// How long an answer without `nextUpdate` counts, as in NVIDIA's own verifier.
const WITHOUT_NEXT_UPDATE: Duration = Duration::from_secs(3600);

/// Why a device's certificates do not count as good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OcspRefusal {
    /// No OCSP response.
    #[error("answer {0} about certificates is no OCSP response: {1}")]
    Malformed(usize, &'static str),
    /// The responder did not answer.
    #[error("answer {0} says that the responder could not answer")]
    NoAnswer(usize),
    /// The chain is not each certificate, then its issuer.
    #[error("certificate {0} of the device is not signed by the one behind it")]
    Order(usize),
    /// Nobody answered for it.
    #[error("no answer is about certificate {0} of the device")]
    Missing(usize),
    /// Nobody who may answered.
    #[error("the answer about certificate {0} is not signed by its issuer or a responder of it")]
    Responder(usize),
    /// Not of the time asked for.
    #[error("the answer about certificate {0} does not hold at that time")]
    Time(usize),
    /// Revoked, or on hold.
    #[error("certificate {0} of the device is revoked or on hold: {1}")]
    Revoked(usize, &'static str),
    /// The responder does not know it.
    #[error("the responder does not know certificate {0} of the device")]
    Unknown(usize),
}

impl OcspRefusal {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(..) => "ocsp_malformed",
            Self::NoAnswer(_) => "ocsp_no_answer",
            Self::Order(_) => "certificate_order",
            Self::Missing(_) => "ocsp_missing",
            Self::Responder(_) => "ocsp_responder",
            Self::Time(_) => "ocsp_time",
            Self::Revoked(..) => "certificate_revoked",
            Self::Unknown(_) => "ocsp_unknown",
        }
    }
}

/// One answer, read; nothing in it is believed yet.
#[derive(Debug, Clone)]
pub struct Answer {
    /// BasicOCSPResponse as received.
    bytes: Vec<u8>,
    basic: BasicOcspResponse,
    responders: Vec<Read>,
}

impl Answer {
    /// Reads a file (DER), the `at`th that was given.
    pub fn parse(at: usize, bytes: &[u8]) -> Result<Self, OcspRefusal> {
        let malformed = |why| OcspRefusal::Malformed(at, why);
        if bytes.len() > RESPONSE_MAX {
            return Err(malformed("larger than 64 KiB"));
        }
        let outer = OcspResponse::from_der(bytes).map_err(|_| malformed("not its DER"))?;
        if outer.response_status != OcspResponseStatus::Successful {
            return Err(OcspRefusal::NoAnswer(at));
        }
        let inner = outer.response_bytes.ok_or(malformed("it is empty"))?;
        if inner.response_type != BASIC {
            return Err(malformed("another type than basic"));
        }
        let bytes = inner.response.into_bytes();
        let basic = BasicOcspResponse::from_der(&bytes).map_err(|_| malformed("not its DER"))?;
        if has_critical(basic.tbs_response_data.response_extensions.as_ref()) {
            return Err(malformed("a critical extension that is not understood"));
        }
        let certificates = basic.certs.iter().flatten();
        let responders = certificates.map(|one| Read::new(&one.to_der().ok()?));
        let responders: Option<Vec<Read>> = responders.collect();
        Ok(Self {
            responders: responders.ok_or(malformed("a certificate in it"))?,
            bytes,
            basic,
        })
    }

    /// Whether `issuer` signed it, or a responder to whom it gave that right.
    fn is_by(&self, issuer: &Read, at: UnixTime) -> bool {
        let named = self
            .responders
            .iter()
            .filter(|one| may_answer(one, issuer, at));
        std::iter::once(issuer).chain(named).any(|signer| {
            let BasicOcspResponse {
                tbs_response_data,
                signature_algorithm,
                signature,
                certs: _,
            } = &self.basic;
            is_responder(&tbs_response_data.responder_id, signer)
                && signature_holds(signer, &self.bytes, signature_algorithm, signature)
        })
    }
}

fn has_critical(extensions: Option<&Extensions>) -> bool {
    let mut extensions = extensions.into_iter().flatten();
    extensions.any(|one: &Extension| one.critical)
}

/// §4.2.2.2: issued by the very issuer, for signing answers.
fn may_answer(responder: &Read, issuer: &Read, at: UnixTime) -> bool {
    let issuer_der = CertificateDer::from(issuer.der.as_slice());
    let responder_der = CertificateDer::from(responder.der.as_slice());
    let path = || {
        let anchor = webpki::anchor_from_trusted_cert(&issuer_der).ok()?;
        let end = EndEntityCert::try_from(&responder_der).ok()?;
        let anchors = [anchor];
        end.verify_for_usage(
            &[webpki::aws_lc_rs::ECDSA_P384_SHA384],
            &anchors,
            &[],
            at,
            KeyUsage::required(OCSP_SIGNING),
            None,
            None,
        )
        .ok()
        .map(drop)
    };
    let usage = responder
        .certificate
        .tbs_certificate
        .get::<pkix::KeyUsage>();
    let may_sign = match usage {
        Ok(Some((_, usage))) => usage.digital_signature(),
        Ok(None) => true,
        Err(_) => false,
    };
    may_sign && path().is_some()
}

fn is_responder(id: &ResponderId, signer: &Read) -> bool {
    match id {
        ResponderId::ByName(name) => *name == signer.certificate.tbs_certificate.subject,
        ResponderId::ByKey(hash) => signer.key().is_some_and(|key| {
            let own = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &key);
            own.as_ref() == hash.as_bytes()
        }),
    }
}

/// Whether this is the id of a certificate with this serial number and issuer (§4.1.1).
fn is_about(id: &CertId, subject: &Read, issuer: &Read) -> bool {
    let algorithm = match id.hash_algorithm.oid.to_string().as_str() {
        "1.3.14.3.2.26" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "2.16.840.1.101.3.4.2.1" => &digest::SHA256,
        "2.16.840.1.101.3.4.2.2" => &digest::SHA384,
        _ => return false,
    };
    let same = |value: Option<&[u8]>, hash: &[u8]| {
        value.is_some_and(|value| digest::digest(algorithm, value).as_ref() == hash)
    };
    id.serial_number == subject.certificate.tbs_certificate.serial_number
        && same(issuer.name().as_deref(), id.issuer_name_hash.as_bytes())
        && same(
            issuer.key().as_ref().map(|key| &key[..]),
            id.issuer_key_hash.as_bytes(),
        )
}

/// Checks the status of a device's certificates (DER, leaf first, root last) whose
/// path to the pinned root was verified, at a time in Unix milliseconds.
///
/// The leaf is made by the device itself and the root is pinned: nobody is asked
/// about these, unless there is nothing between them.
pub fn check(chain: &[Vec<u8>], answers: &[Answer], at_ms: u64) -> Result<(), OcspRefusal> {
    let chain: Option<Vec<Read>> = chain.iter().map(|der| Read::new(der)).collect();
    let chain = chain.ok_or(OcspRefusal::Order(0))?;
    // Whoever is asked must be the issuer in truth, not only in place.
    let pairs = || chain.iter().zip(chain.iter().skip(1)).enumerate();
    if let Some((at, _)) = pairs().find(|(_, (subject, issuer))| !subject.is_signed_by(issuer)) {
        return Err(OcspRefusal::Order(at));
    }
    let first = usize::from(chain.len() > 2);
    pairs()
        .skip(first)
        .try_for_each(|(at, (subject, issuer))| check_one(at, subject, issuer, answers, at_ms))
}

fn check_one(
    at: usize,
    subject: &Read,
    issuer: &Read,
    answers: &[Answer],
    at_ms: u64,
) -> Result<(), OcspRefusal> {
    let now = UnixTime::since_unix_epoch(Duration::from_millis(at_ms));
    let mut answered = false;
    for answer in answers {
        let about = answer.basic.tbs_response_data.responses.iter();
        for single in about.filter(|single| is_about(&single.cert_id, subject, issuer)) {
            if !answer.is_by(issuer, now) {
                return Err(OcspRefusal::Responder(at));
            }
            check_status(at, single)?;
            let produced = answer.basic.tbs_response_data.produced_at;
            if !holds_at(single, produced, Duration::from_millis(at_ms)) {
                return Err(OcspRefusal::Time(at));
            }
            answered = true;
        }
    }
    match answered {
        true => Ok(()),
        false => Err(OcspRefusal::Missing(at)),
    }
}

/// One `revoked` is enough, whenever it was said.
fn check_status(at: usize, single: &SingleResponse) -> Result<(), OcspRefusal> {
    if has_critical(single.single_extensions.as_ref()) {
        return Err(OcspRefusal::Malformed(
            at,
            "a critical extension that is not understood",
        ));
    }
    match &single.cert_status {
        CertStatus::Good(_) => Ok(()),
        CertStatus::Unknown(_) => Err(OcspRefusal::Unknown(at)),
        CertStatus::Revoked(info) => {
            let hold = info.revocation_reason == Some(pkix::CrlReason::CertificateHold);
            Err(OcspRefusal::Revoked(
                at,
                if hold { "on hold" } else { "revoked" },
            ))
        }
    }
}

fn holds_at(single: &SingleResponse, produced: OcspGeneralizedTime, now: Duration) -> bool {
    let time = |time: OcspGeneralizedTime| time.0.to_unix_duration();
    let from = time(single.this_update);
    let until = match single.next_update {
        Some(next) => time(next),
        None => from.saturating_add(WITHOUT_NEXT_UPDATE),
    };
    from <= now && time(produced) <= now && now <= until
}

#[cfg(test)]
#[path = "ocsp_responders.rs"]
mod responders;
#[cfg(test)]
#[path = "ocsp_tests.rs"]
mod tests;
