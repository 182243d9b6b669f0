//! A software authenticator and the ceremonies it answers.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as lc, KeyPair as _};

use super::cbor_writer::Item;
use crate::passkeys::*;

pub(super) const CHALLENGE: &[u8] = b"0123456789abcdef0123456789abcdef";
pub(super) const RP_ID: &str = "bank.example";
pub(super) const ORIGIN: &str = "https://login.bank.example";
pub(super) const USER_HANDLE: &[u8] = b"handle-of-alice!";
pub(super) const AAGUID: [u8; 16] = *b"a-model-of-ours!";
pub(super) const NOW_MS: u64 = 1_800_000_000_000;

pub(super) const UP: u8 = 0x01;
pub(super) const UV: u8 = 0x04;
pub(super) const BE: u8 = 0x08;
pub(super) const BS: u8 = 0x10;
pub(super) const AT: u8 = 0x40;
pub(super) const ED: u8 = 0x80;

pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// A private key of any algorithm.
pub(super) enum Key {
    Ec(lc::EcdsaKeyPair, i64, i64),
    Ed25519(lc::Ed25519KeyPair, i64),
    Rsa(lc::RsaKeyPair, i64, &'static dyn lc::RsaEncoding),
    MlDsa(lc::PqdsaKeyPair, i64),
}

impl Key {
    pub(super) fn es256() -> Self {
        Self::generate(Algorithm::Es256)
    }

    pub(super) fn generate(algorithm: Algorithm) -> Self {
        use Algorithm as A;
        let alg = algorithm.cose_id();
        let ec = |signing, crv| Self::Ec(lc::EcdsaKeyPair::generate(signing).unwrap(), alg, crv);
        let rsa = |encoding| {
            Self::Rsa(
                lc::RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
                alg,
                encoding,
            )
        };
        let ml_dsa = |signing| Self::MlDsa(lc::PqdsaKeyPair::generate(signing).unwrap(), alg);
        match algorithm {
            A::Es256 | A::Esp256 => ec(&lc::ECDSA_P256_SHA256_ASN1_SIGNING, 1),
            A::Es384 | A::Esp384 => ec(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, 2),
            A::Es512 | A::Esp512 => ec(&lc::ECDSA_P521_SHA512_ASN1_SIGNING, 3),
            A::Es256K => ec(&lc::ECDSA_P256K1_SHA256_ASN1_SIGNING, 8),
            A::EdDsa | A::Ed25519 => Self::Ed25519(lc::Ed25519KeyPair::generate().unwrap(), alg),
            A::Rs256 => rsa(&lc::RSA_PKCS1_SHA256),
            A::Rs384 => rsa(&lc::RSA_PKCS1_SHA384),
            A::Rs512 => rsa(&lc::RSA_PKCS1_SHA512),
            A::Ps256 => rsa(&lc::RSA_PSS_SHA256),
            A::Ps384 => rsa(&lc::RSA_PSS_SHA384),
            A::Ps512 => rsa(&lc::RSA_PSS_SHA512),
            A::MlDsa44 => ml_dsa(&lc::ML_DSA_44_SIGNING),
            A::MlDsa65 => ml_dsa(&lc::ML_DSA_65_SIGNING),
            A::MlDsa87 => ml_dsa(&lc::ML_DSA_87_SIGNING),
            A::Rs1 | A::Ed448 => panic!("aws-lc-rs cannot sign with {}", algorithm.name()),
        }
    }

    /// The public key as an uncompressed point, where it is one.
    pub(super) fn point(&self) -> Vec<u8> {
        match self {
            Self::Ec(pair, ..) => pair.public_key().as_ref().to_vec(),
            _ => panic!("not an elliptic curve key"),
        }
    }

    /// The COSE key, as entries in canonical order.
    pub(super) fn cose_entries(&self) -> Vec<(Item, Item)> {
        let entry = |label, value| (Item::Int(label), value);
        let (kty, alg) = match self {
            Self::Ec(_, alg, _) => (2, alg),
            Self::Ed25519(_, alg) => (1, alg),
            Self::Rsa(_, alg, _) => (3, alg),
            Self::MlDsa(_, alg) => (7, alg),
        };
        let mut entries = vec![entry(1, Item::Int(kty)), entry(3, Item::Int(*alg))];
        match self {
            Self::Ec(_, _, crv) => {
                let point = self.point();
                let (x, y) = point[1..].split_at(point.len() / 2);
                entries.push(entry(-1, Item::Int(*crv)));
                entries.push(entry(-2, Item::bytes(x)));
                entries.push(entry(-3, Item::bytes(y)));
            }
            Self::Ed25519(pair, _) => {
                entries.push(entry(-1, Item::Int(6)));
                entries.push(entry(-2, Item::bytes(pair.public_key().as_ref())));
            }
            Self::Rsa(pair, ..) => {
                let key = pair.public_key();
                let positive = |n: aws_lc_rs::io::Positive<'_>| {
                    Item::bytes(n.big_endian_without_leading_zero())
                };
                entries.push(entry(-1, positive(key.modulus())));
                entries.push(entry(-2, positive(key.exponent())));
            }
            Self::MlDsa(pair, _) => {
                entries.push(entry(-1, Item::bytes(pair.public_key().as_ref())));
            }
        }
        entries
    }

    pub(super) fn cose(&self) -> Vec<u8> {
        Item::Map(self.cose_entries()).encode()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(pair, ..) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair, _) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair, _, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::MlDsa(pair, _) => {
                let mut signature = vec![0; 5000];
                let length = pair.sign(message, &mut signature).unwrap();
                signature.truncate(length);
                signature
            }
        }
    }
}

/// Client data as a browser writes it.
pub(super) fn client_data(kind: &str, challenge: &[u8], origin: &str) -> Vec<u8> {
    let challenge = Base64Url::from(challenge).encode();
    format!(
        r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#
    )
    .into_bytes()
}

/// A credential in a software authenticator.
pub(super) struct Authenticator {
    pub(super) key: Key,
    pub(super) credential_id: Vec<u8>,
    pub(super) aaguid: [u8; 16],
    pub(super) rp_id: &'static str,
    pub(super) flags: u8,
    pub(super) sign_count: u32,
    /// Encoded extension outputs.
    pub(super) extensions: Option<Vec<u8>>,
}

impl Authenticator {
    pub(super) fn new() -> Self {
        Self::with_key(Key::es256())
    }

    pub(super) fn with_key(key: Key) -> Self {
        Self {
            credential_id: sha256(&key.cose()),
            key,
            aaguid: AAGUID,
            rp_id: RP_ID,
            flags: UP | UV,
            sign_count: 1,
            extensions: None,
        }
    }

    fn head(&self, flags: u8) -> Vec<u8> {
        let ed = if self.extensions.is_some() { ED } else { 0 };
        let mut data = sha256(self.rp_id.as_bytes());
        data.push(flags | ed);
        data.extend(self.sign_count.to_be_bytes());
        data
    }

    /// Authenticator data of a registration.
    pub(super) fn attested_data(&self) -> Vec<u8> {
        self.attested_data_with_key(&self.key.cose())
    }

    pub(super) fn attested_data_with_key(&self, cose: &[u8]) -> Vec<u8> {
        let mut data = self.head(self.flags | AT);
        data.extend(self.aaguid);
        data.extend((self.credential_id.len() as u16).to_be_bytes());
        data.extend(&self.credential_id);
        data.extend(cose);
        data.extend(self.extensions.iter().flatten());
        data
    }

    /// Authenticator data of an assertion.
    pub(super) fn assertion_data(&self) -> Vec<u8> {
        let mut data = self.head(self.flags);
        data.extend(self.extensions.iter().flatten());
        data
    }

    /// A registration response with an attestation object made of parts.
    pub(super) fn response(
        &self,
        client_data: Vec<u8>,
        attestation_object: Vec<u8>,
    ) -> RegistrationResponse {
        RegistrationResponse {
            id: self.credential_id.clone().into(),
            raw_id: self.credential_id.clone().into(),
            response: AttestationResponse {
                client_data_json: client_data.into(),
                attestation_object: attestation_object.into(),
                transports: vec!["internal".to_owned(), "hybrid".to_owned()],
            },
            authenticator_attachment: None,
            client_extension_results: serde_json::Value::Null,
            kind: PUBLIC_KEY.to_owned(),
        }
    }

    /// A registration with `none` attestation.
    pub(super) fn register(&self) -> RegistrationResponse {
        self.register_attested("none", |_, _| Item::Map(Vec::new()))
    }

    /// A registration whose statement is made over authenticator data and
    /// client data hash.
    pub(super) fn register_attested(
        &self,
        format: &'static str,
        statement: impl Fn(&[u8], &[u8]) -> Item,
    ) -> RegistrationResponse {
        let client_data = client_data("webauthn.create", CHALLENGE, ORIGIN);
        let data = self.attested_data();
        let statement = statement(&data, &sha256(&client_data));
        self.response(client_data, attestation_object(format, statement, &data))
    }

    /// An assertion.
    pub(super) fn assert(&self) -> AuthenticationResponse {
        self.assert_over(client_data("webauthn.get", CHALLENGE, ORIGIN))
    }

    pub(super) fn assert_over(&self, client_data: Vec<u8>) -> AuthenticationResponse {
        self.assert_with(client_data, self.assertion_data())
    }

    /// An assertion whose signature is good over these very bytes.
    pub(super) fn assert_with(
        &self,
        client_data: Vec<u8>,
        data: Vec<u8>,
    ) -> AuthenticationResponse {
        let signature = self
            .key
            .sign(&[data.as_slice(), &sha256(&client_data)].concat());
        AuthenticationResponse {
            id: self.credential_id.clone().into(),
            raw_id: self.credential_id.clone().into(),
            response: AssertionResponse {
                client_data_json: client_data.into(),
                authenticator_data: data.into(),
                signature: signature.into(),
                user_handle: Some(USER_HANDLE.into()),
            },
            authenticator_attachment: None,
            client_extension_results: serde_json::Value::Null,
            kind: PUBLIC_KEY.to_owned(),
        }
    }

    /// The record of this credential after registration.
    pub(super) fn record(&self) -> CredentialRecord {
        Registration::default()
            .run(&self.register())
            .unwrap()
            .record
    }
}

/// An attestation object, canonical.
pub(super) fn attestation_object(format: &'static str, statement: Item, data: &[u8]) -> Vec<u8> {
    Item::Map(vec![
        (Item::Text("fmt"), Item::Text(format)),
        (Item::Text("attStmt"), statement),
        (Item::Text("authData"), Item::bytes(data)),
    ])
    .encode()
}

/// A registration expectation that can be changed before it is used.
pub(super) struct Registration {
    pub(super) challenge: Vec<u8>,
    pub(super) rp_id: &'static str,
    pub(super) origins: Vec<String>,
    pub(super) cross_origin: CrossOrigin<'static>,
    pub(super) user_presence: UserPresence,
    pub(super) user_verification: UserVerification,
    pub(super) backup: BackupPolicy,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) attestation: AttestationPolicy,
    pub(super) taken: Vec<Vec<u8>>,
    pub(super) now_ms: u64,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            challenge: CHALLENGE.to_vec(),
            rp_id: RP_ID,
            origins: vec![ORIGIN.to_owned()],
            cross_origin: CrossOrigin::Refuse,
            user_presence: UserPresence::Required,
            user_verification: UserVerification::Required,
            backup: BackupPolicy::Any,
            algorithms: Algorithm::all().collect(),
            attestation: AttestationPolicy::default(),
            taken: Vec::new(),
            now_ms: NOW_MS,
        }
    }
}

impl Registration {
    pub(super) fn run(
        &self,
        response: &RegistrationResponse,
    ) -> Result<RegisteredCredential, CeremonyError> {
        let expected = RegistrationExpectation {
            challenge: &self.challenge,
            rp_id: self.rp_id,
            origins: Origins::Exactly(&self.origins),
            cross_origin: self.cross_origin,
            user_presence: self.user_presence,
            user_verification: self.user_verification,
            backup: self.backup,
            algorithms: &self.algorithms,
            attestation: &self.attestation,
            is_registered: &|id| self.taken.iter().any(|taken| taken == id),
            now_ms: self.now_ms,
        };
        register(response, &expected)
    }
}

/// An assertion expectation that can be changed before it is used.
pub(super) struct Login {
    pub(super) challenge: Vec<u8>,
    pub(super) rp_id: &'static str,
    pub(super) origins: Vec<String>,
    pub(super) cross_origin: CrossOrigin<'static>,
    pub(super) user_verification: UserVerification,
    pub(super) backup: BackupPolicy,
    pub(super) sign_count: SignCountPolicy,
    pub(super) allow: Vec<Vec<u8>>,
    pub(super) identification: Identification<'static>,
    pub(super) record: CredentialRecord,
}

impl Login {
    /// Expects an assertion by the registered credential of `authenticator`,
    /// which counts up for it.
    pub(super) fn of(authenticator: &mut Authenticator) -> Self {
        let record = authenticator.record();
        authenticator.sign_count += 1;
        Self {
            challenge: CHALLENGE.to_vec(),
            rp_id: RP_ID,
            origins: vec![ORIGIN.to_owned()],
            cross_origin: CrossOrigin::Refuse,
            user_verification: UserVerification::Required,
            backup: BackupPolicy::Any,
            sign_count: SignCountPolicy::Refuse,
            allow: vec![record.id.clone()],
            identification: Identification::Before {
                user_handle: USER_HANDLE,
            },
            record,
        }
    }

    pub(super) fn run(
        &self,
        response: &AuthenticationResponse,
    ) -> Result<Assertion, CeremonyError> {
        let allow: Vec<&[u8]> = self.allow.iter().map(Vec::as_slice).collect();
        let expected = AssertionExpectation {
            challenge: &self.challenge,
            rp_id: self.rp_id,
            origins: Origins::Exactly(&self.origins),
            cross_origin: self.cross_origin,
            user_verification: self.user_verification,
            backup: self.backup,
            sign_count: self.sign_count,
            allow_credentials: &allow,
            identification: self.identification,
            credential: &self.record,
        };
        assert(response, &expected)
    }
}

/// Asserts that a ceremony was refused at a step for a reason.
#[track_caller]
pub(super) fn refused<T: std::fmt::Debug>(
    result: Result<T, CeremonyError>,
    step: &str,
    reason: &str,
) {
    let error = result.expect_err(&format!("{step} {reason}: was accepted"));
    assert_eq!(
        (error.step(), error.reason()),
        (step, reason),
        "refused elsewhere: {error}"
    );
}
