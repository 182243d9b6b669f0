//! A software authenticator.

use aws_lc_rs::digest::{SHA256, digest};

use super::cbor_writer::Item;
use super::expectations::Registration;
pub(super) use super::soft_keys::Key;
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
