//! Certificates, responders and answers of our own, each open to change.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SerialNumber,
};
use x509_cert::der::DateTime;
use x509_cert::der::asn1::{BitString, OctetString};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{AsResponseBytes as _, ResponseData, Version};

use super::*;

pub(super) const NOW_S: u64 = 1_793_491_200;

/// A certificate and its key.
pub(super) struct Party {
    pub(super) der: Vec<u8>,
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Authority,
    Device,
    Responder,
}

impl Party {
    pub(super) fn new(name: &str, serial: u8, kind: Kind, by: Option<&Party>) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(vec![serial]));
        match kind {
            Kind::Authority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Kind::Device => params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
            Kind::Responder => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
            }
        }
        let made = match by {
            None => params.self_signed(&key),
            Some(by) => params.signed_by(&key, &Issuer::from_params(&by.params, &by.key)),
        };
        let der = made.unwrap().der().to_vec();
        Self { der, params, key }
    }

    pub(super) fn read(&self) -> Read {
        Read::new(&self.der).unwrap()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let pkcs8 = self.key.serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &pkcs8).unwrap();
        key.sign(&SystemRandom::new(), message)
            .unwrap()
            .as_ref()
            .to_vec()
    }
}

/// Root, authority, provisioner, device: NVIDIA's shape.
pub(super) struct Chain {
    pub(super) root: Party,
    pub(super) authority: Party,
    pub(super) provisioner: Party,
    pub(super) device: Party,
}

impl Chain {
    pub(super) fn new() -> Self {
        let root = Party::new("root", 1, Kind::Authority, None);
        let authority = Party::new("authority", 2, Kind::Authority, Some(&root));
        let provisioner = Party::new("provisioner", 3, Kind::Authority, Some(&authority));
        let device = Party::new("device", 4, Kind::Device, Some(&provisioner));
        Self {
            root,
            authority,
            provisioner,
            device,
        }
    }

    pub(super) fn der(&self) -> Vec<Vec<u8>> {
        [&self.device, &self.provisioner, &self.authority, &self.root]
            .map(|party| party.der.clone())
            .into()
    }

    /// Good answers about everybody that needs one.
    pub(super) fn good(&self) -> [Said<'_>; 2] {
        [
            Said::new(&self.provisioner, &self.authority),
            Said::new(&self.authority, &self.root),
        ]
    }

    pub(super) fn code(&self, said: &[Said]) -> &'static str {
        code(&self.der(), said)
    }
}

pub(super) fn code(chain: &[Vec<u8>], said: &[Said]) -> &'static str {
    let answers = said
        .iter()
        .enumerate()
        .map(|(at, said)| Answer::parse(at, &said.der()));
    let checked = answers
        .collect::<Result<Vec<_>, _>>()
        .and_then(|answers| check(chain, &answers, NOW_S * 1000));
    checked.map_or_else(|refusal| refusal.code(), |()| "good")
}

pub(super) fn time(offset: i64) -> OcspGeneralizedTime {
    let seconds = Duration::from_secs(NOW_S.checked_add_signed(offset).unwrap());
    DateTime::from_unix_duration(seconds).unwrap().into()
}

pub(super) fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

pub(super) fn algorithm(text: &str) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: oid(text),
        parameters: None,
    }
}

pub(super) const SHA1: &str = "1.3.14.3.2.26";
pub(super) const SHA384: &str = "2.16.840.1.101.3.4.2.2";

pub(super) fn id(subject: &Party, issuer: &Party, hash: &str) -> CertId {
    let algorithm_of = match hash {
        SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        _ => &digest::SHA384,
    };
    let hashed = |value: &[u8]| {
        OctetString::new(digest::digest(algorithm_of, value).as_ref().to_vec()).unwrap()
    };
    CertId {
        hash_algorithm: algorithm(hash),
        issuer_name_hash: hashed(&issuer.read().name().unwrap()),
        issuer_key_hash: hashed(&issuer.read().key().unwrap()),
        serial_number: subject.read().certificate.tbs_certificate.serial_number,
    }
}

/// An answer before it is signed, and who signs.
#[derive(Clone)]
pub(super) struct Said<'a> {
    pub(super) data: ResponseData,
    pub(super) signer: &'a Party,
    pub(super) certs: Vec<&'a Party>,
    pub(super) status: OcspResponseStatus,
    pub(super) signature: &'static str,
}

impl<'a> Said<'a> {
    pub(super) fn new(subject: &Party, issuer: &'a Party) -> Self {
        let single = SingleResponse {
            cert_id: id(subject, issuer, SHA1),
            cert_status: CertStatus::good(),
            this_update: time(-60),
            next_update: Some(time(60)),
            single_extensions: None,
        };
        Self {
            data: ResponseData {
                version: Version::V1,
                responder_id: ResponderId::ByName(
                    issuer.read().certificate.tbs_certificate.subject,
                ),
                produced_at: time(-60),
                responses: vec![single],
                response_extensions: None,
            },
            signer: issuer,
            certs: vec![],
            status: OcspResponseStatus::Successful,
            signature: "1.2.840.10045.4.3.3",
        }
    }

    /// By somebody else, whose certificate is in the answer.
    pub(super) fn by(mut self, responder: &'a Party) -> Self {
        let name = responder.read().certificate.tbs_certificate.subject;
        self.data.responder_id = ResponderId::ByName(name);
        self.signer = responder;
        self.certs = vec![responder];
        self
    }

    pub(super) fn with(&self, change: impl FnOnce(&mut ResponseData)) -> Self {
        let mut bent = self.clone();
        change(&mut bent.data);
        bent
    }

    pub(super) fn single(&self, change: impl FnOnce(&mut SingleResponse)) -> Self {
        self.with(|data| change(&mut data.responses[0]))
    }

    pub(super) fn der(&self) -> Vec<u8> {
        let signature = self.signer.sign(&self.data.to_der().unwrap());
        let certs = self.certs.iter().map(|party| party.read().certificate);
        let certs: Vec<_> = certs.collect();
        let basic = BasicOcspResponse {
            tbs_response_data: self.data.clone(),
            signature_algorithm: algorithm(self.signature),
            signature: BitString::from_bytes(&signature).unwrap(),
            certs: (!certs.is_empty()).then_some(certs),
        };
        let response = OcspResponse {
            response_status: self.status,
            response_bytes: Some(basic.to_response_bytes().unwrap()),
        };
        response.to_der().unwrap()
    }
}
