//! What comes beside a GPU's evidence: reference values (SWID tag, XML), and recorded
//! answers about certificates (OCSP, RFC 6960).

use std::collections::BTreeMap;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P384_SHA384, SerialNumber, SigningKey as _,
};
use redoubt_attestation::encode::sha256;
use redoubt_attestation::nvidia::VerifiedGpu;
use redoubt_audit::gpu::compare::compare;
use redoubt_audit::gpu::ocsp::{Answer, check};
use redoubt_audit::gpu::rim::Rim;
use x509_cert::Certificate;
use x509_cert::der::asn1::{BitString, ObjectIdentifier, OctetString};
use x509_cert::der::{DateTime, Decode, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    AsResponseBytes as _, BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse,
    OcspResponseStatus, ResponderId, ResponseData, SingleResponse, Version,
};

use super::{NOW_MS, Prepared};

/// The XML of one part's file: two values that count, one of two, one that does not.
fn tag(version: &str, first: u8) -> Vec<u8> {
    let resource = |index: u8, active: &str, values: u8| {
        let hashes: String = (0..values)
            .map(|at| format!(" h:Hash{at}=\"{}\"", hex::encode([first + at; 48])))
            .collect();
        format!(
            "<s:Resource type=\"Measurement\" index=\"{index}\" active=\"{active}\" \
             alternatives=\"{values}\"{hashes} name=\"Measurement_{index}\" size=\"48\"/>\n"
        )
    };
    let swid = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <SoftwareIdentity xmlns=\"{swid}\" xmlns:s=\"{swid}\" \
         xmlns:h=\"http://www.w3.org/2001/04/xmlenc#sha384\" name=\"GH100\">\n\
         <!-- of our own --><s:Meta colloquialVersion=\"{version}\" product=\"GH100\"/>\n\
         <s:Payload>\n{}{}{}</s:Payload>\n</SoftwareIdentity>",
        resource(first, "True", 1),
        resource(first + 1, "True", 2),
        resource(first + 2, "False", 1)
    )
    .into_bytes()
}

/// A device that met both files.
fn device() -> VerifiedGpu {
    let values = [(2, 1), (3, 2), (12, 11), (13, 12), (36, 7)];
    let measurements = values.map(|(index, value)| (index, vec![value; 48]));
    VerifiedGpu {
        measurements: BTreeMap::from(measurements),
        driver_version: Some("590.12".into()),
        vbios_version: Some("96.00.A5.00.01".into()),
        firmware: None,
        nvdec0_disabled: true,
        status_checked: true,
    }
}

pub(super) fn rim() -> Prepared {
    let seeds = vec![tag("590.12", 1), tag("96.00.a5.00.01", 11)];
    let kept: Vec<Rim> = seeds
        .iter()
        .map(|seed| Rim::parse(seed).expect("a file of our own is well formed"))
        .collect();
    let device = device();
    assert!(
        compare(&device, &kept).is_ok(),
        "the seeds are what it runs"
    );
    let read = move |input: &[u8]| {
        if let Ok(rim) = Rim::parse(input) {
            for other in &kept {
                let _ = compare(&device, &[rim.clone(), other.clone()]);
            }
        }
    };
    (Box::new(read), seeds)
}

struct Party {
    der: Vec<u8>,
    params: CertificateParams,
    key: KeyPair,
}

impl Party {
    fn new(name: &str, serial: u8, by: Option<&Self>, change: fn(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("entropy");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(vec![serial]));
        change(&mut params);
        let made = match by {
            None => params.self_signed(&key),
            Some(by) => params.signed_by(&key, &Issuer::from_params(&by.params, &by.key)),
        };
        let der = made.expect("a certificate of our own").der().to_vec();
        Self { der, params, key }
    }

    fn read(&self) -> Certificate {
        Certificate::from_der(&self.der).expect("DER of our own")
    }

    /// An answer of this party's, whatever it says.
    fn answers(&self, data: ResponseData) -> Vec<u8> {
        let said = data.to_der().expect("it was read or made here");
        let signature = self.key.sign(&said).expect("a key of our own");
        let basic = BasicOcspResponse {
            tbs_response_data: data,
            // ecdsa-with-SHA384, RFC 5758 section 3.2.
            signature_algorithm: algorithm("1.2.840.10045.4.3.3"),
            signature: BitString::from_bytes(&signature).expect("whole bytes"),
            certs: Some(vec![self.read()]),
        };
        let response = OcspResponse {
            response_status: OcspResponseStatus::Successful,
            response_bytes: Some(basic.to_response_bytes().expect("DER of our own")),
        };
        response.to_der().expect("DER of our own")
    }
}

fn algorithm(oid: &str) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: ObjectIdentifier::new_unwrap(oid),
        parameters: None,
    }
}

fn time(offset_s: i64) -> OcspGeneralizedTime {
    let seconds = (NOW_MS / 1000).saturating_add_signed(offset_s);
    let time = DateTime::from_unix_duration(Duration::from_secs(seconds));
    time.expect("this century").into()
}

/// `good` about a device of the root's, said by this responder.
fn good(device: &Party, root: &Party, responder: &Party) -> ResponseData {
    let issuer = root.read().tbs_certificate;
    let hashed = |bytes: &[u8]| OctetString::new(sha256(&[bytes]).0).expect("32 bytes");
    let key = issuer.subject_public_key_info.subject_public_key;
    let single = SingleResponse {
        cert_id: CertId {
            // id-sha256, RFC 5754 section 2.2.
            hash_algorithm: algorithm("2.16.840.1.101.3.4.2.1"),
            issuer_name_hash: hashed(&issuer.subject.to_der().expect("DER of our own")),
            issuer_key_hash: hashed(key.raw_bytes()),
            serial_number: device.read().tbs_certificate.serial_number,
        },
        cert_status: CertStatus::good(),
        this_update: time(-60),
        next_update: Some(time(60)),
        single_extensions: None,
    };
    ResponseData {
        version: Version::V1,
        responder_id: ResponderId::ByName(responder.read().tbs_certificate.subject),
        produced_at: time(-60),
        responses: vec![single],
        response_extensions: None,
    }
}

pub(super) fn ocsp() -> Prepared {
    let root = Party::new("root", 1, None, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let device = Party::new("device", 2, Some(&root), |_| {});
    let responder = Party::new("responder", 3, Some(&root), |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    });
    let chain = vec![device.der.clone(), root.der.clone()];
    let judge = move |bytes: &[u8]| {
        let answer = Answer::parse(0, bytes)?;
        check(&chain, &[answer], NOW_MS)
    };
    let mut seeds = Vec::new();
    for by in [&root, &responder] {
        let data = good(&device, &root, by);
        seeds.push(data.to_der().expect("DER of our own"));
        let answer = by.answers(data);
        let judged = judge(&answer);
        assert!(judged.is_ok(), "the seed is a good answer: {judged:?}");
        seeds.push(answer);
    }
    // Bent answers are signed again, so that what is behind the signature is reached.
    let read = move |input: &[u8]| {
        let _ = judge(input);
        if let Ok(data) = ResponseData::from_der(input) {
            for by in [&root, &responder] {
                let _ = judge(&by.answers(data.clone()));
            }
        }
    };
    (Box::new(read), seeds)
}
