//! Attestation certificates for test vectors: a CA of our own and leaves that
//! can be bent.

use aws_lc_rs::signature::{self as lc, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair,
};

use super::authenticator::{AAGUID, Key};
use super::cbor_writer::Item;

/// `id-fido-gen-ce-aaguid` as arcs.
pub(super) const AAGUID_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4];
/// `tcg-kp-AIKCertificate`.
pub(super) const AIK_OID: &[u64] = &[2, 23, 133, 8, 3];

/// One DER element.
pub(super) fn tlv(tag: &[u8], contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let mut der = tag.to_vec();
    match length {
        0..0x80 => der.push(length as u8),
        0x80..0x100 => der.extend([0x81, length as u8]),
        _ => der.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    der.extend(contents);
    der
}

/// An extension by arcs and DER value.
pub(super) fn extension(oid: &[u64], value: Vec<u8>) -> CustomExtension {
    CustomExtension::from_oid_content(oid, value)
}

/// A certification authority.
pub(super) struct Authority {
    pub(super) der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certified key.
pub(super) struct Issued {
    pub(super) der: Vec<u8>,
    pub(super) key: Key,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        Self::of(Self::params(name))
    }

    /// A root as described.
    pub(super) fn of(params: CertificateParams) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            der,
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// An intermediate below this authority.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        self.below(Self::params(name))
    }

    /// An intermediate as described.
    pub(super) fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self {
            der,
            issuer: Issuer::new(params, key),
        }
    }

    /// A leaf with a fresh P-256 key.
    pub(super) fn issue(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        self.issue_for(params, &key)
    }

    /// A certificate for a key of any kind.
    pub(super) fn certify(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }

    pub(super) fn issue_for(&self, params: &CertificateParams, key: &KeyPair) -> Issued {
        Issued {
            der: self.certify(params, key),
            key: es256_of(key),
        }
    }
}

/// The same key for signing here.
pub(super) fn es256_of(key: &KeyPair) -> Key {
    let signing = &lc::ECDSA_P256_SHA256_ASN1_SIGNING;
    Key::Ec(
        EcdsaKeyPair::from_pkcs8(signing, &key.serialize_der()).unwrap(),
        -7,
        1,
    )
}

/// A leaf as section 8.2.1 wants it, with the AAGUID extension.
pub(super) fn packed_leaf() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let name = &mut params.distinguished_name;
    name.remove(DnType::CommonName);
    name.push(
        DnType::CountryName,
        DnValue::PrintableString("DE".try_into().unwrap()),
    );
    name.push(DnType::OrganizationName, "Maker");
    name.push(DnType::OrganizationalUnitName, "Authenticator Attestation");
    name.push(DnType::CommonName, "Model 1");
    params.is_ca = IsCa::ExplicitNoCa;
    params.custom_extensions = vec![extension(AAGUID_OID, tlv(&[0x04], &AAGUID))];
    params
}

/// A leaf as section 8.3.1 wants it.
pub(super) fn tpm_leaf() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(AIK_OID.to_vec())];
    params.custom_extensions = vec![tpm_alt_name("id:414D4400")];
    params
}

/// Subject Alternative Name with the directory name of a TPM.
pub(super) fn tpm_alt_name(manufacturer: &str) -> CustomExtension {
    let attribute = |last: u8, value: &str| {
        let oid = tlv(&[0x06], &[0x67, 0x81, 0x05, 0x02, last]);
        let pair = [oid, tlv(&[0x0c], value.as_bytes())].concat();
        tlv(&[0x31], &tlv(&[0x30], &pair))
    };
    let names = [
        attribute(1, manufacturer),
        attribute(2, "model"),
        attribute(3, "id:13"),
    ]
    .concat();
    let directory = tlv(&[0xa4], &tlv(&[0x30], &names));
    let mut extension = extension(&[2, 5, 29, 17], tlv(&[0x30], &directory));
    extension.set_criticality(true);
    extension
}

/// The member `x5c`.
pub(super) fn x5c(chain: &[&[u8]]) -> (Item, Item) {
    let items = chain.iter().map(|der| Item::bytes(der)).collect();
    (Item::Text("x5c"), Item::Array(items))
}

/// The member `alg`.
pub(super) fn alg(id: i64) -> (Item, Item) {
    (Item::Text("alg"), Item::Int(id))
}

/// The member `sig`.
pub(super) fn sig(bytes: Vec<u8>) -> (Item, Item) {
    (Item::Text("sig"), Item::Bytes(bytes))
}
