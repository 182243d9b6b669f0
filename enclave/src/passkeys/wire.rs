//! The JSON of Level 3 (§5.1.8 to §5.1.10, §5.4, §5.5): what travels between
//! the bank's page and the appliance.
//!
//! Protects against guessing: member names are the specification's, bytes are
//! base64url, members that a relying party need not understand are tolerated
//! and dropped.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::algorithm::Algorithm;
use super::base64url::Base64Url;

/// The only credential type there is.
pub const PUBLIC_KEY: &str = "public-key";

/// `PublicKeyCredentialRpEntity`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RpEntity {
    /// The RP ID.
    pub id: String,
    /// Name for humans.
    pub name: String,
}

/// `PublicKeyCredentialUserEntityJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserEntity {
    /// The user handle: random, never the bank's own id of the customer.
    pub id: Base64Url,
    /// Account name, shown by authenticators.
    pub name: String,
    /// Name for humans.
    pub display_name: String,
}

/// `PublicKeyCredentialParameters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CredentialParameters {
    /// `public-key`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `COSEAlgorithmIdentifier`.
    pub alg: i64,
}

/// `PublicKeyCredentialDescriptorJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CredentialDescriptor {
    /// `public-key`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The credential id.
    pub id: Base64Url,
    /// How the authenticator can be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transports: Vec<String>,
}

impl CredentialDescriptor {
    /// The descriptor of a credential id.
    #[must_use]
    pub fn new(id: &[u8], transports: &[String]) -> Self {
        Self {
            kind: PUBLIC_KEY.to_owned(),
            id: id.into(),
            transports: transports.to_vec(),
        }
    }
}

/// `AuthenticatorSelectionCriteria`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticatorSelection {
    /// `platform` or `cross-platform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticator_attachment: Option<String>,
    /// `required`, `preferred` or `discouraged`.
    pub resident_key: String,
    /// For Level 1 clients: whether `resident_key` is `required`.
    pub require_resident_key: bool,
    /// `required`, `preferred` or `discouraged`.
    pub user_verification: String,
}

/// `PublicKeyCredentialCreationOptionsJSON`, flat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreationOptions {
    /// The relying party.
    pub rp: RpEntity,
    /// The account.
    pub user: UserEntity,
    /// The challenge.
    pub challenge: Base64Url,
    /// Algorithms, most wanted first.
    pub pub_key_cred_params: Vec<CredentialParameters>,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Credentials the account has already.
    #[serde(default)]
    pub exclude_credentials: Vec<CredentialDescriptor>,
    /// What kind of authenticator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticator_selection: Option<AuthenticatorSelection>,
    /// UI hints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// `none`, `indirect`, `direct` or `enterprise`.
    pub attestation: String,
    /// Formats, most wanted first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestation_formats: Vec<String>,
    /// Client extension inputs, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub extensions: Option<serde_json::Value>,
}

impl CreationOptions {
    /// Options for a discoverable, user-verifying passkey with `algorithms`,
    /// asking for direct attestation; members are public and can be changed.
    #[must_use]
    pub fn passkey(
        rp: RpEntity,
        user: UserEntity,
        challenge: &[u8],
        algorithms: &[Algorithm],
    ) -> Self {
        let parameters = algorithms.iter().map(|algorithm| CredentialParameters {
            kind: PUBLIC_KEY.to_owned(),
            alg: algorithm.cose_id(),
        });
        Self {
            rp,
            user,
            challenge: challenge.into(),
            pub_key_cred_params: parameters.collect(),
            timeout: None,
            exclude_credentials: Vec::new(),
            authenticator_selection: Some(AuthenticatorSelection {
                authenticator_attachment: None,
                resident_key: "required".to_owned(),
                require_resident_key: true,
                user_verification: "required".to_owned(),
            }),
            hints: Vec::new(),
            attestation: "direct".to_owned(),
            attestation_formats: Vec::new(),
            extensions: None,
        }
    }
}

/// `PublicKeyCredentialRequestOptionsJSON`, flat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestOptions {
    /// The challenge.
    pub challenge: Base64Url,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// The RP ID.
    pub rp_id: String,
    /// Credentials that may answer; empty asks for a discoverable one.
    #[serde(default)]
    pub allow_credentials: Vec<CredentialDescriptor>,
    /// `required`, `preferred` or `discouraged`.
    pub user_verification: String,
    /// UI hints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Client extension inputs, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub extensions: Option<serde_json::Value>,
}

impl RequestOptions {
    /// Options that require user verification by one of `allow_credentials`.
    #[must_use]
    pub fn passkey(
        rp_id: &str,
        challenge: &[u8],
        allow_credentials: Vec<CredentialDescriptor>,
    ) -> Self {
        Self {
            challenge: challenge.into(),
            timeout: None,
            rp_id: rp_id.to_owned(),
            allow_credentials,
            user_verification: "required".to_owned(),
            hints: Vec::new(),
            extensions: None,
        }
    }
}

/// `RegistrationResponseJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationResponse {
    /// The credential id.
    pub id: Base64Url,
    /// The same again.
    pub raw_id: Base64Url,
    /// What client and authenticator made.
    pub response: AttestationResponse,
    /// `platform` or `cross-platform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticator_attachment: Option<String>,
    /// Client extension outputs, passed through.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub client_extension_results: serde_json::Value,
    /// `public-key`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `AuthenticatorAttestationResponseJSON`; its convenience copies of what the
/// attestation object says are not read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttestationResponse {
    /// The client data as the browser serialised it.
    #[serde(rename = "clientDataJSON")]
    pub client_data_json: Base64Url,
    /// The attestation object.
    pub attestation_object: Base64Url,
    /// How the authenticator can be reached.
    #[serde(default)]
    pub transports: Vec<String>,
}

/// `AuthenticationResponseJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationResponse {
    /// The credential id.
    pub id: Base64Url,
    /// The same again.
    pub raw_id: Base64Url,
    /// What client and authenticator made.
    pub response: AssertionResponse,
    /// `platform` or `cross-platform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticator_attachment: Option<String>,
    /// Client extension outputs, passed through.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub client_extension_results: serde_json::Value,
    /// `public-key`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `AuthenticatorAssertionResponseJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssertionResponse {
    /// The client data as the browser serialised it.
    #[serde(rename = "clientDataJSON")]
    pub client_data_json: Base64Url,
    /// The authenticator data.
    pub authenticator_data: Base64Url,
    /// The signature over authenticator data and client data hash.
    pub signature: Base64Url,
    /// The user handle, where the authenticator returns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_handle: Option<Base64Url>,
}
