//! A software authenticator: the `passkey` crate's client and authenticator.
//!
//! Protects against an appliance tested only against our own reading of
//! WebAuthn: client data, authenticator data and signatures come from elsewhere.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

use passkey::authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod};
use passkey::client::{Client, DefaultClientData, WebauthnError};
use passkey::crypto::coset::{CborSerializable, CoseKey};
use passkey::crypto::rust_crypto::RustCryptoBackend;
use passkey::types::Passkey;
use passkey::types::ctap2::{Aaguid, Ctap2Error};
use passkey::types::webauthn::{
    AuthenticatedPublicKeyCredential, CreatedPublicKeyCredential, CredentialCreationOptions,
    CredentialRequestOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::api::{BankError, b64u, from_b64u};

/// A person who is present and verifies when asked.
struct WillingUser;

type Checked<'t> = Pin<Box<dyn Future<Output = Result<UserCheck, Ctap2Error>> + Send + 't>>;

impl UserValidationMethod for WillingUser {
    type PasskeyItem = Passkey;

    fn check_user<'a, 'life0, 'async_trait>(
        &'life0 self,
        _hint: UiHint<'a, Passkey>,
        presence: bool,
        verification: bool,
    ) -> Checked<'async_trait>
    where
        'a: 'async_trait,
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(std::future::ready(Ok(UserCheck {
            presence,
            verification,
        })))
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(true)
    }
}

type Keys = HashMap<Vec<u8>, Passkey>;

/// One customer's authenticator: the passkeys it holds.
#[derive(Default)]
pub struct SoftwareAuthenticator {
    keys: Keys,
}

/// A passkey at rest, for a bank that goes on after a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredPasskey {
    credential_id: String,
    rp_id: String,
    user_handle: Option<String>,
    counter: Option<u32>,
    key: String,
}

impl SoftwareAuthenticator {
    /// `navigator.credentials.create` at an origin, for options as the appliance sent them.
    pub async fn create(&mut self, origin: &str, options: &Value) -> Result<Value, BankError> {
        let request: CredentialCreationOptions = read_options(options)?;
        let mut client = Client::new(authenticator(std::mem::take(&mut self.keys)));
        let created = client
            .register(parse(origin)?, request, DefaultClientData)
            .await;
        self.keys = client.authenticator().store().clone();
        Ok(registration_json(&created.map_err(refused)?))
    }

    /// `navigator.credentials.get` at an origin, for options as the appliance sent them.
    pub async fn get(&mut self, origin: &str, options: &Value) -> Result<Value, BankError> {
        let request: CredentialRequestOptions = read_options(options)?;
        let mut client = Client::new(authenticator(std::mem::take(&mut self.keys)));
        let signed = client
            .authenticate(parse(origin)?, request, DefaultClientData)
            .await;
        self.keys = client.authenticator().store().clone();
        Ok(authentication_json(&signed.map_err(refused)?))
    }

    /// Its passkeys, to be stored.
    pub fn export(&self) -> Result<Vec<StoredPasskey>, BankError> {
        self.keys.values().map(store).collect()
    }

    /// The authenticator that holds these passkeys.
    pub fn import(stored: &[StoredPasskey]) -> Result<Self, BankError> {
        let keys = stored.iter().map(|passkey| {
            let passkey = load(passkey)?;
            Ok((passkey.credential_id.to_vec(), passkey))
        });
        Ok(Self {
            keys: keys.collect::<Result<_, BankError>>()?,
        })
    }
}

fn authenticator(keys: Keys) -> Authenticator<Keys, WillingUser, RustCryptoBackend> {
    let aaguid = Aaguid::new_empty();
    let mut authenticator = Authenticator::new(aaguid, keys, WillingUser, RustCryptoBackend);
    authenticator.set_make_credentials_with_signature_counter(true);
    authenticator
}

fn read_options<T: serde::de::DeserializeOwned>(options: &Value) -> Result<T, BankError> {
    serde_json::from_value(json!({ "publicKey": options })).map_err(|error| BankError::Unreadable {
        status: 200,
        detail: format!("not WebAuthn options: {error}"),
    })
}

fn parse(origin: &str) -> Result<Url, BankError> {
    Url::parse(origin).map_err(|error| BankError::Authenticator(format!("{origin}: {error}")))
}

fn refused(error: WebauthnError) -> BankError {
    BankError::Authenticator(format!("{error:?}"))
}

/// `RegistrationResponseJSON`
fn registration_json(created: &CreatedPublicKeyCredential) -> Value {
    let response = &created.response;
    json!({
        "id": created.id,
        "rawId": b64u(&created.raw_id),
        "type": "public-key",
        "response": {
            "clientDataJSON": b64u(&response.client_data_json),
            "attestationObject": b64u(&response.attestation_object),
            "authenticatorData": b64u(&response.authenticator_data),
            "publicKey": response.public_key.as_ref().map(|key| b64u(key)),
            "publicKeyAlgorithm": response.public_key_algorithm,
            "transports": response.transports,
        },
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
    })
}

/// `AuthenticationResponseJSON`
fn authentication_json(signed: &AuthenticatedPublicKeyCredential) -> Value {
    let response = &signed.response;
    let mut json = json!({
        "id": signed.id,
        "rawId": b64u(&signed.raw_id),
        "type": "public-key",
        "response": {
            "clientDataJSON": b64u(&response.client_data_json),
            "authenticatorData": b64u(&response.authenticator_data),
            "signature": b64u(&response.signature),
        },
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
    });
    if let Some(handle) = &response.user_handle {
        json["response"]["userHandle"] = json!(b64u(handle));
    }
    json
}

fn store(passkey: &Passkey) -> Result<StoredPasskey, BankError> {
    let key = passkey.key.clone().to_vec();
    Ok(StoredPasskey {
        credential_id: b64u(&passkey.credential_id),
        rp_id: passkey.rp_id.clone(),
        user_handle: passkey.user_handle.as_ref().map(|handle| b64u(handle)),
        counter: passkey.counter,
        key: b64u(&key.map_err(|error| BankError::Authenticator(error.to_string()))?),
    })
}

fn load(stored: &StoredPasskey) -> Result<Passkey, BankError> {
    let key = CoseKey::from_slice(&from_b64u(&stored.key)?)
        .map_err(|error| BankError::Authenticator(error.to_string()))?;
    let handle = stored.user_handle.as_deref().map(from_b64u).transpose()?;
    Ok(Passkey {
        key,
        credential_id: from_b64u(&stored.credential_id)?.into(),
        rp_id: stored.rp_id.clone(),
        user_handle: handle.map(Into::into),
        username: None,
        user_display_name: None,
        counter: stored.counter,
        extensions: Default::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://login.bank.example";

    fn creation_options() -> Value {
        json!({
            "rp": {"id": "bank.example", "name": "A bank"},
            "user": {"id": b64u(b"customer"), "name": "c", "displayName": "C"},
            "challenge": b64u(&[7; 32]),
            "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
            "authenticatorSelection": {"userVerification": "required"},
            "attestation": "none",
        })
    }

    #[tokio::test]
    async fn a_stored_passkey_signs_again_after_it_is_read_back() {
        let mut first = SoftwareAuthenticator::default();
        let created = first.create(ORIGIN, &creation_options()).await.unwrap();
        let stored = serde_json::to_string(&first.export().unwrap()).unwrap();
        let mut second =
            SoftwareAuthenticator::import(&serde_json::from_str::<Vec<_>>(&stored).unwrap())
                .unwrap();
        let options = json!({
            "challenge": b64u(&[9; 32]),
            "rpId": "bank.example",
            "allowCredentials": [{"type": "public-key", "id": created["id"]}],
            "userVerification": "required",
        });
        let signed = second.get(ORIGIN, &options).await.unwrap();
        assert_eq!(signed["id"], created["id"]);
        let client_data =
            from_b64u(signed["response"]["clientDataJSON"].as_str().unwrap()).unwrap();
        let client_data: Value = serde_json::from_slice(&client_data).unwrap();
        assert_eq!(client_data["challenge"], json!(b64u(&[9; 32])));
        assert_eq!(client_data["origin"], ORIGIN);
    }

    #[tokio::test]
    async fn a_foreign_origin_gets_no_signature() {
        let mut authenticator = SoftwareAuthenticator::default();
        let error = authenticator
            .create("https://bank.example.evil.test", &creation_options())
            .await
            .unwrap_err();
        assert!(matches!(error, BankError::Authenticator(_)), "{error}");
    }
}
