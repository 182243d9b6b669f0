//! Section 8.3: TPM statements made by a software TPM, and bent ones.

use super::authenticator::*;
use super::cbor_writer::Item;
use super::certificates::*;
use super::expectations::*;
use crate::passkeys::*;

/// What goes into a statement; each field can be bent.
struct Tpm {
    ver: &'static str,
    pub_area: Vec<u8>,
    magic: u32,
    kind: u16,
    /// Made from what has to be attested.
    extra_data: fn(Vec<u8>) -> Vec<u8>,
    name: fn(Vec<u8>) -> Vec<u8>,
    trailing: Vec<u8>,
    certificate: rcgen::CertificateParams,
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// `TPMT_PUBLIC` of a P-256 signing key.
fn ecc_area(point: &[u8]) -> Vec<u8> {
    let (x, y) = point[1..].split_at(32);
    [
        &[0x00, 0x23, 0x00, 0x0b][..],
        &[0, 6, 4, 0x72],
        &sized(&[]),
        &[0x00, 0x10, 0x00, 0x18, 0x00, 0x0b, 0x00, 0x03, 0x00, 0x10],
        &sized(x),
        &sized(y),
    ]
    .concat()
}

/// `TPMT_PUBLIC` of an RSA key with the default exponent.
fn rsa_area(modulus: &[u8]) -> Vec<u8> {
    [
        &[0x00, 0x01, 0x00, 0x0b][..],
        &[0, 6, 4, 0x72],
        &sized(&[]),
        &[0x00, 0x10, 0x00, 0x10, 0x08, 0x00, 0, 0, 0, 0],
        &sized(modulus),
    ]
    .concat()
}

impl Tpm {
    fn certifying(authenticator: &Authenticator) -> Self {
        let pub_area = match &authenticator.key {
            Key::Rsa(pair, ..) => {
                use aws_lc_rs::signature::KeyPair as _;
                rsa_area(
                    pair.public_key()
                        .modulus()
                        .big_endian_without_leading_zero(),
                )
            }
            key => ecc_area(&key.point()),
        };
        Self {
            ver: "2.0",
            pub_area,
            magic: 0xff54_4347,
            kind: 0x8017,
            extra_data: |digest| digest,
            name: |name| name,
            trailing: Vec::new(),
            certificate: tpm_leaf(),
        }
    }

    fn cert_info(&self, to_be_signed: &[u8]) -> Vec<u8> {
        let name = [&[0x00, 0x0b][..], &sha256(&self.pub_area)].concat();
        [
            &self.magic.to_be_bytes()[..],
            &self.kind.to_be_bytes(),
            &sized(b"signer"),
            &sized(&(self.extra_data)(sha256(to_be_signed))),
            &[0; 17],
            &[0; 8],
            &sized(&(self.name)(name)),
            &sized(b"qualified"),
            &self.trailing,
        ]
        .concat()
    }

    fn register(
        &self,
        authenticator: &Authenticator,
    ) -> Result<RegisteredCredential, CeremonyError> {
        let leaf = Authority::new("TPM root").issue(&self.certificate);
        let response = authenticator.register_attested("tpm", |data, hash| {
            let cert_info = self.cert_info(&[data, hash].concat());
            let signature = leaf.key.sign(&cert_info);
            Item::Map(vec![
                (Item::Text("alg"), Item::Int(-7)),
                (Item::Text("sig"), Item::Bytes(signature)),
                (Item::Text("ver"), Item::Text(self.ver)),
                (Item::Text("x5c"), Item::Array(vec![Item::bytes(&leaf.der)])),
                (Item::Text("pubArea"), Item::bytes(&self.pub_area)),
                (Item::Text("certInfo"), Item::Bytes(cert_info)),
            ])
        });
        Registration::default().run(&response)
    }
}

#[test]
fn tpm_statements_over_both_key_types_are_verified() {
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let authenticator = Authenticator::with_key(Key::generate(algorithm));
        let registered = Tpm::certifying(&authenticator)
            .register(&authenticator)
            .unwrap();
        assert_eq!(registered.attestation.kind, AttestationType::AttCa);
        assert_eq!(registered.record.attestation_format, AttestationFormat::Tpm);
    }
}

#[test]
fn each_bent_field_is_refused_for_its_own_reason() {
    let authenticator = Authenticator::new();
    let bent = |bend: &dyn Fn(&mut Tpm)| {
        let mut tpm = Tpm::certifying(&authenticator);
        bend(&mut tpm);
        tpm.register(&authenticator)
    };
    let step = "7.1.22";
    refused(bent(&|tpm| tpm.ver = "1.2"), step, "tpm_version");
    refused(
        bent(&|tpm| tpm.pub_area.push(0)),
        step,
        "tpm_pub_area_malformed",
    );
    refused(
        bent(&|tpm| tpm.pub_area[1] = 0x25),
        step,
        "tpm_pub_area_malformed",
    );
    let other = Key::es256().point();
    refused(
        bent(&|tpm| tpm.pub_area = ecc_area(&other)),
        step,
        "tpm_public_key_mismatch",
    );
    refused(bent(&|tpm| tpm.magic = 0), step, "tpm_magic");
    refused(bent(&|tpm| tpm.kind = 0x8018), step, "tpm_type_not_certify");
    refused(
        bent(&|tpm| tpm.extra_data = |digest| sha256(&digest)),
        step,
        "tpm_extra_data_mismatch",
    );
    refused(
        bent(&|tpm| tpm.name = |name| name[1..].to_vec()),
        step,
        "tpm_name_mismatch",
    );
    refused(
        bent(&|tpm| tpm.trailing = vec![0]),
        step,
        "tpm_cert_info_malformed",
    );
    // objectAttributes: the key stays the same, the certified name does not.
    refused(
        bent(&|tpm| {
            tpm.name = |_| [&[0x00, 0x0b][..], &sha256(b"another object")].concat();
        }),
        step,
        "tpm_name_mismatch",
    );
}

#[test]
fn aik_certificates_must_meet_their_requirements() {
    use rcgen::{BasicConstraints, DnType, ExtendedKeyUsagePurpose, IsCa};
    let authenticator = Authenticator::new();
    let bent = |bend: &dyn Fn(&mut rcgen::CertificateParams)| {
        let mut tpm = Tpm::certifying(&authenticator);
        bend(&mut tpm.certificate);
        tpm.register(&authenticator)
    };
    let step = "7.1.22";
    let named = bent(&|params| params.distinguished_name.push(DnType::CommonName, "TPM"));
    refused(named, step, "tpm_certificate_subject_not_empty");
    for manufacturer in ["414D4400", "id:AMD", "id:ZZZZZZZZ"] {
        let odd = bent(&|params| params.custom_extensions = vec![tpm_alt_name(manufacturer)]);
        refused(odd, step, "tpm_certificate_alt_name");
    }
    let nameless = bent(&|params| params.custom_extensions.clear());
    refused(nameless, step, "tpm_certificate_alt_name");
    let tls =
        bent(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    refused(tls, step, "tpm_certificate_usage");
    let is_ca = bent(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    refused(is_ca, step, "tpm_certificate_is_ca");
    let model = bent(&|params| {
        params
            .custom_extensions
            .push(extension(AAGUID_OID, tlv(&[0x04], &[1; 16])))
    });
    refused(model, step, "tpm_aaguid_mismatch");
}
