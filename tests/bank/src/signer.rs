//! Passkeys for load: P-256 keys made beforehand that sign fresh challenges.
//!
//! Written for speed, so that the appliance and not the bank is what a load run
//! measures. It makes registrations of format `none` and ES256 assertions.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{BankError, b64u};

const UP_UV: u8 = 0x05;
const ATTESTED: u8 = 0x40;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;

/// One passkey and its signature counter.
pub struct PremadeKey {
    pair: EcdsaKeyPair,
    credential_id: [u8; 32],
    counter: u32,
    aaguid: [u8; 16],
    flags: u8,
    random: SystemRandom,
}

impl PremadeKey {
    /// A new random key.
    pub fn generate() -> Result<Self, BankError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(no_crypto)?;
        let mut credential_id = [0; 32];
        random.fill(&mut credential_id).map_err(no_crypto)?;
        Ok(Self {
            pair,
            credential_id,
            counter: 0,
            aaguid: [0; 16],
            flags: UP_UV,
            random,
        })
    }

    /// Signatures made so far, as the next assertion counts on.
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// Counts on from another number, as a copied or rewound authenticator would.
    pub fn set_counter(&mut self, counter: u32) {
        self.counter = counter;
    }

    /// Says to be of this model from now on.
    pub fn set_aaguid(&mut self, aaguid: [u8; 16]) {
        self.aaguid = aaguid;
    }

    /// Says from now on to be backup eligible, and backed up.
    pub fn set_backup(&mut self, eligible: bool, backed_up: bool) {
        let flag = |is: bool, flag| if is { flag } else { 0 };
        self.flags = UP_UV | flag(eligible, BACKUP_ELIGIBLE) | flag(backed_up, BACKED_UP);
    }

    /// `RegistrationResponseJSON` for creation options.
    pub fn create(&mut self, origin: &str, options: &Value) -> Result<Value, BankError> {
        let client_data = client_data("webauthn.create", &text(options, "/challenge")?, origin);
        let auth_data = self.registration_data(&text(options, "/rp/id")?);
        let mut attestation = vec![0xa3];
        attestation.extend_from_slice(b"\x63fmt\x64none\x67attStmt\xa0\x68authData");
        push_bytes_head(&mut attestation, auth_data.len());
        attestation.extend_from_slice(&auth_data);
        let id = b64u(&self.credential_id);
        Ok(json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "response": {
                "clientDataJSON": b64u(client_data.as_bytes()),
                "attestationObject": b64u(&attestation),
                "transports": ["internal"],
            },
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
        }))
    }

    /// `AuthenticationResponseJSON` for request options.
    pub fn get(&mut self, origin: &str, options: &Value) -> Result<Value, BankError> {
        let client_data = client_data("webauthn.get", &text(options, "/challenge")?, origin);
        self.get_over(&client_data, options)
    }

    /// The same over client data as given, such as a frame's.
    pub fn get_over(&mut self, client_data: &str, options: &Value) -> Result<Value, BankError> {
        self.counter += 1;
        let auth_data = self.auth_data(&text(options, "/rpId")?, self.flags);
        let mut signed = auth_data.clone();
        signed.extend_from_slice(&Sha256::digest(client_data.as_bytes()));
        let signature = self.pair.sign(&self.random, &signed).map_err(no_crypto)?;
        let id = b64u(&self.credential_id);
        Ok(json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "response": {
                "clientDataJSON": b64u(client_data.as_bytes()),
                "authenticatorData": b64u(&auth_data),
                "signature": b64u(signature.as_ref()),
            },
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
        }))
    }

    fn auth_data(&self, rp_id: &str, flags: u8) -> Vec<u8> {
        let mut data = Sha256::digest(rp_id.as_bytes()).to_vec();
        data.push(flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    fn registration_data(&self, rp_id: &str) -> Vec<u8> {
        let mut data = self.auth_data(rp_id, self.flags | ATTESTED);
        data.extend_from_slice(&self.aaguid);
        data.extend_from_slice(&(self.credential_id.len() as u16).to_be_bytes());
        data.extend_from_slice(&self.credential_id);
        data.extend_from_slice(&self.cose_key());
        data
    }

    /// The public key as COSE_Key: {1: 2, 3: -7, -1: 1, -2: x, -3: y}.
    fn cose_key(&self) -> Vec<u8> {
        let point = &self.pair.public_key().as_ref()[1..];
        let mut key = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".to_vec();
        key.extend_from_slice(&point[..32]);
        key.extend_from_slice(b"\x22\x58\x20");
        key.extend_from_slice(&point[32..]);
        key
    }
}

fn client_data(kind: &str, challenge: &str, origin: &str) -> String {
    format!(
        "{{\"type\":\"{kind}\",\"challenge\":\"{challenge}\",\"origin\":\"{origin}\",\"crossOrigin\":false}}"
    )
}

fn push_bytes_head(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) => out.extend_from_slice(&[0x58, short]),
        Err(_) => {
            out.push(0x59);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
}

fn text(options: &Value, pointer: &str) -> Result<String, BankError> {
    let found = options.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or_else(|| BankError::Unreadable {
            status: 200,
            detail: format!("the WebAuthn options have no {pointer}"),
        })
}

fn no_crypto(_: aws_lc_rs::error::Unspecified) -> BankError {
    BankError::Authenticator("the cryptographic library failed".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::from_b64u;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    #[test]
    fn an_assertion_verifies_under_the_registered_key_and_counts_up() {
        let mut key = PremadeKey::generate().unwrap();
        let options = json!({"challenge": b64u(&[1; 32]), "rpId": "bank.example"});
        let origin = "https://bank.example";
        let first = key.get(origin, &options).unwrap();
        let bytes = |name: &str| from_b64u(first["response"][name].as_str().unwrap()).unwrap();
        let mut signed = bytes("authenticatorData");
        assert_eq!(signed.len(), 37);
        assert_eq!(signed[33..], [0, 0, 0, 1]);
        signed.extend_from_slice(&Sha256::digest(bytes("clientDataJSON")));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.pair.public_key().as_ref())
            .verify(&signed, &bytes("signature"))
            .unwrap();
    }

    #[test]
    fn a_registration_is_read_by_a_foreign_webauthn_library() {
        use passkey::types::ctap2::AuthenticatorData;
        let mut key = PremadeKey::generate().unwrap();
        let options = json!({"challenge": b64u(&[1; 32]), "rp": {"id": "bank.example"}});
        key.create("https://bank.example", &options).unwrap();
        let data = AuthenticatorData::from_slice(&key.registration_data("bank.example")).unwrap();
        let attested = data.attested_credential_data.unwrap();
        assert_eq!(attested.credential_id(), key.credential_id);
    }
}
