//! WebAuthn Level 3 JSON, both directions.
//!
//! Protects against nothing by itself: it only gives the browser's JSON types.
//! Unknown members are tolerated here, as the standard asks; every check of
//! meaning is the passkey verifier's.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text::Base64Url;

/// The only credential type there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum CredentialType {
    /// `public-key`
    #[serde(rename = "public-key")]
    PublicKey,
}

/// Who asks for the credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RelyingParty {
    /// The domain.
    pub id: String,
    /// For people.
    pub name: String,
}

/// Whom the credential is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserEntity {
    /// User handle: random, says nothing of the customer (base64url).
    #[schema(value_type = String)]
    pub id: Base64Url,
    /// Account name, for people.
    pub name: String,
    /// Display name, for people.
    pub display_name: String,
}

/// An acceptable kind of key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CredentialParameters {
    /// Always `public-key`.
    #[serde(rename = "type")]
    pub kind: CredentialType,
    /// COSE algorithm identifier.
    pub alg: i64,
}

/// A credential by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CredentialDescriptor {
    /// Always `public-key`.
    #[serde(rename = "type")]
    pub kind: CredentialType,
    /// Credential id (base64url).
    #[schema(value_type = String)]
    pub id: Base64Url,
    /// How the authenticator may be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transports: Vec<String>,
}

/// What the authenticator must be able to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticatorSelection {
    /// `platform` or `cross-platform`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticator_attachment: Option<String>,
    /// `discouraged`, `preferred` or `required`.
    pub resident_key: String,
    /// As `residentKey` is `required`.
    pub require_resident_key: bool,
    /// `required`, `preferred` or `discouraged`.
    pub user_verification: String,
}

/// `PublicKeyCredentialCreationOptionsJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreationOptions {
    /// Who asks.
    pub rp: RelyingParty,
    /// For whom.
    pub user: UserEntity,
    /// Single-use, 32 bytes (base64url).
    #[schema(value_type = String)]
    pub challenge: Base64Url,
    /// Acceptable keys, best first.
    pub pub_key_cred_params: Vec<CredentialParameters>,
    /// Milliseconds until the challenge expires.
    pub timeout: u64,
    /// Credentials the user already has.
    pub exclude_credentials: Vec<CredentialDescriptor>,
    /// What the authenticator must be able to do.
    pub authenticator_selection: AuthenticatorSelection,
    /// `none`, `indirect`, `direct` or `enterprise`.
    pub attestation: String,
}

/// `PublicKeyCredentialRequestOptionsJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestOptions {
    /// Single-use, 32 bytes (base64url).
    #[schema(value_type = String)]
    pub challenge: Base64Url,
    /// Milliseconds until the challenge expires.
    pub timeout: u64,
    /// The relying party's domain.
    pub rp_id: String,
    /// The user's credentials.
    pub allow_credentials: Vec<CredentialDescriptor>,
    /// `required`, `preferred` or `discouraged`.
    pub user_verification: String,
}

/// `RegistrationResponseJSON`.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationResponse {
    /// Credential id (base64url).
    #[schema(value_type = String)]
    pub id: Base64Url,
    /// The same id again.
    #[schema(value_type = String)]
    pub raw_id: Base64Url,
    /// Always `public-key`.
    #[serde(rename = "type")]
    pub kind: CredentialType,
    /// The authenticator's answer.
    pub response: AttestationResponse,
    /// `platform` or `cross-platform`.
    #[serde(default)]
    pub authenticator_attachment: Option<String>,
}

/// `AuthenticatorAttestationResponseJSON`: the members the verifier reads.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttestationResponse {
    /// base64url.
    #[serde(rename = "clientDataJSON")]
    #[schema(value_type = String)]
    pub client_data_json: Base64Url,
    /// base64url.
    #[schema(value_type = String)]
    pub attestation_object: Base64Url,
    /// How the authenticator may be reached.
    #[serde(default)]
    pub transports: Vec<String>,
}

/// `AuthenticationResponseJSON`.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationResponse {
    /// Credential id (base64url).
    #[schema(value_type = String)]
    pub id: Base64Url,
    /// The same id again.
    #[schema(value_type = String)]
    pub raw_id: Base64Url,
    /// Always `public-key`.
    #[serde(rename = "type")]
    pub kind: CredentialType,
    /// The authenticator's answer.
    pub response: AssertionResponse,
    /// `platform` or `cross-platform`.
    #[serde(default)]
    pub authenticator_attachment: Option<String>,
}

/// `AuthenticatorAssertionResponseJSON`.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssertionResponse {
    /// base64url.
    #[serde(rename = "clientDataJSON")]
    #[schema(value_type = String)]
    pub client_data_json: Base64Url,
    /// base64url.
    #[schema(value_type = String)]
    pub authenticator_data: Base64Url,
    /// base64url.
    #[schema(value_type = String)]
    pub signature: Base64Url,
    /// base64url; some authenticators leave it out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub user_handle: Option<Base64Url>,
}
