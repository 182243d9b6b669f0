//! Generated from `clients/openapi.json` by `cargo xtask clients`; do not edit.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Body, Client, Error, Request};

/// What followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionTaken {
    /// `logged`
    #[serde(rename = "logged")]
    Logged,
    /// `account_locked`
    #[serde(rename = "account_locked")]
    AccountLocked,
}

/// An approval as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Names the approval.
    pub approval_id: String,
    /// The signed proof, once approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefact: Option<Value>,
    /// When it ends undecided (RFC 3339, UTC).
    pub expires_at: String,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// As received.
    pub transaction: Transaction,
}

/// An approval was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalCreated {
    /// Names the approval.
    pub approval_id: String,
    /// When it ends undecided (RFC 3339, UTC).
    pub expires_at: String,
    /// For the browser; the challenge binds the transaction.
    pub options: RequestOptions,
    /// `pending`, unless an idempotent retry finds it decided.
    pub status: ApprovalStatus,
    /// As received.
    pub transaction: Transaction,
}

/// Asks for the approval of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// What is to be approved.
    pub transaction: Transaction,
    /// The bank's name for its customer.
    pub user_id: String,
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApprovalStatus {
    /// `pending`
    #[serde(rename = "pending")]
    Pending,
    /// `approved`
    #[serde(rename = "approved")]
    Approved,
    /// `expired`
    #[serde(rename = "expired")]
    Expired,
    /// `failed`
    #[serde(rename = "failed")]
    Failed,
}

/// The customer approved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalVerified {
    /// Names the approval.
    pub approval_id: String,
    /// The signed proof that this customer approved this transaction.
    pub artefact: Value,
    /// Signed proof of the ledger entry.
    pub receipt: Value,
    /// Always `approved`.
    pub status: ApprovalStatus,
}

/// `AuthenticatorAssertionResponseJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssertionResponse {
    /// The authenticator data.
    #[serde(rename = "authenticatorData")]
    pub authenticator_data: Base64Url,
    /// The client data as the browser serialised it.
    #[serde(rename = "clientDataJSON")]
    pub client_data_json: Base64Url,
    /// The signature over authenticator data and client data hash.
    pub signature: Base64Url,
    /// The user handle, where the authenticator returns one.
    #[serde(rename = "userHandle")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_handle: Option<Base64Url>,
}

/// Evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttestationReply {
    /// The CA to pin, once unsealed (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<String>,
    /// The signed configuration (JWS).
    pub config: Value,
    /// COSE attestation document (base64url).
    pub document: Base64Url,
    /// The signed genesis manifest (JWS).
    pub genesis: Value,
    /// The appliance ledger's head, as in the preimage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<TreeHead>,
    /// Always `session`: the nonce binds the TLS exporter.
    pub mode: String,
    /// Where the enclave stands.
    pub phase: String,
    /// JSON whose SHA-384 is the document's `user_data` (base64url).
    pub preimage: Base64Url,
}

/// `AuthenticatorAttestationResponseJSON`; its convenience copies of what the
/// attestation object says are not read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttestationResponse {
    /// The attestation object.
    #[serde(rename = "attestationObject")]
    pub attestation_object: Base64Url,
    /// The client data as the browser serialised it.
    #[serde(rename = "clientDataJSON")]
    pub client_data_json: Base64Url,
    /// How the authenticator can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transports: Option<Vec<String>>,
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// The whole claim.
    pub claims: Value,
    /// Entry of the ledger.
    pub entry: u64,
    /// Event of that entry.
    pub event: u64,
    /// Names its receipt.
    pub receipt_id: String,
    /// When, Unix milliseconds.
    pub time_ms: u64,
    /// `type` of the claim.
    pub r#type: String,
    /// Whose; null if nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// Asks for options to use a passkey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuthenticateOptions {
    /// The bank's name for its customer.
    pub user_id: String,
}

/// A passkey was verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Authenticated {
    /// Credential id (base64url).
    pub credential_id: Base64Url,
    /// When the session ends (RFC 3339, UTC).
    pub expires_at: String,
    /// Signed proof of the ledger entry.
    pub receipt: Value,
    /// Opaque bearer token of the session.
    pub session_token: String,
    /// The bank's name for its customer.
    pub user_id: String,
    /// Always true.
    pub verified: bool,
}

/// `AuthenticationResponseJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuthenticationResponse {
    /// `platform` or `cross-platform`.
    #[serde(rename = "authenticatorAttachment")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticator_attachment: Option<String>,
    /// Client extension outputs, passed through.
    #[serde(rename = "clientExtensionResults")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_extension_results: Option<Value>,
    /// The credential id.
    pub id: Base64Url,
    /// The same again.
    #[serde(rename = "rawId")]
    pub raw_id: Base64Url,
    /// What client and authenticator made.
    pub response: AssertionResponse,
    /// `public-key`.
    pub r#type: String,
}

/// The browser's answer with the customer it is for: the answer's members beside `user_id` as here, or all of them under `credential`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuthenticationResponseWithUser {
    /// The bank's name for its customer.
    pub user_id: String,
    /// All members of [`AuthenticationResponse`].
    #[serde(flatten)]
    pub authentication_response: AuthenticationResponse,
}

/// `AuthenticatorSelectionCriteria`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuthenticatorSelection {
    /// `platform` or `cross-platform`.
    #[serde(rename = "authenticatorAttachment")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticator_attachment: Option<String>,
    /// For Level 1 clients: whether `resident_key` is `required`.
    #[serde(rename = "requireResidentKey")]
    pub require_resident_key: bool,
    /// `required`, `preferred` or `discouraged`.
    #[serde(rename = "residentKey")]
    pub resident_key: String,
    /// `required`, `preferred` or `discouraged`.
    #[serde(rename = "userVerification")]
    pub user_verification: String,
}

/// Bytes that travel as base64url text in JSON.
pub type Base64Url = String;

/// `PublicKeyCredentialCreationOptionsJSON`, flat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreationOptions {
    /// `none`, `indirect`, `direct` or `enterprise`.
    pub attestation: String,
    /// Formats, most wanted first.
    #[serde(rename = "attestationFormats")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation_formats: Option<Vec<String>>,
    /// What kind of authenticator.
    #[serde(rename = "authenticatorSelection")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticator_selection: Option<AuthenticatorSelection>,
    /// The challenge.
    pub challenge: Base64Url,
    /// Credentials the account has already.
    #[serde(rename = "excludeCredentials")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_credentials: Option<Vec<CredentialDescriptor>>,
    /// Client extension inputs, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
    /// UI hints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<Vec<String>>,
    /// Algorithms, most wanted first.
    #[serde(rename = "pubKeyCredParams")]
    pub pub_key_cred_params: Vec<CredentialParameters>,
    /// The relying party.
    pub rp: RpEntity,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// The account.
    pub user: UserEntity,
}

/// `PublicKeyCredentialDescriptorJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CredentialDescriptor {
    /// The credential id.
    pub id: Base64Url,
    /// How the authenticator can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transports: Option<Vec<String>>,
    /// `public-key`.
    pub r#type: String,
}

/// `PublicKeyCredentialParameters`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CredentialParameters {
    /// `COSEAlgorithmIdentifier`.
    pub alg: i64,
    /// `public-key`.
    pub r#type: String,
}

/// A custodian's signed word that it deleted its share of an epoch's secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeletionStatement {
    /// Ed25519 over it, by the custodian's key in the genesis manifest (base64url).
    pub signature: Base64Url,
    /// JSON text of the statement (base64url).
    pub statement: Base64Url,
}

/// The customer's device, as the bank knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// The bank's name for the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Such as `iOS 19`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Such as `mobile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
}

/// The form of `enroll/submit`, for the OpenAPI document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnrollForm {
    /// JPEG, PNG or WebP, at most 8 MiB.
    pub biometric_file: String,
}

/// Starts an enrolment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnrollInitiate {
    /// Must be true: the customer agreed to this enrolment.
    pub consent_given: bool,
    /// The customer's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_info: Option<DeviceInfo>,
    /// What will be enrolled.
    pub modality: Modality,
    /// The bank's name for its customer.
    pub user_id: String,
}

/// An enrolment was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnrollInitiated {
    /// Names the enrolment.
    pub enrollment_id: String,
    /// When the enrolment ends unfinished (RFC 3339, UTC).
    pub expires_at: String,
    /// For the customer.
    pub instructions: String,
    /// Authorizes the submission.
    pub session_token: String,
}

/// An enrolment was completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Version of the template's models.
    pub embedding_version: String,
    /// Always true: templates exist sealed only.
    pub encrypted: bool,
    /// RFC 3339, UTC.
    pub enrollment_date: String,
    /// Names the enrolment.
    pub enrollment_id: String,
    /// 0 to 1, or null when not evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_confidence: Option<f64>,
    /// Whether a live person was seen.
    pub liveness_result: Liveness,
    /// What was enrolled.
    pub modality: Modality,
    /// Quality of the sample, 0 to 1.
    pub quality_score: f64,
    /// Signed proof of the ledger entry.
    pub receipt: Value,
    /// Always `completed`.
    pub status: String,
    /// The bank's name for its customer.
    pub user_id: String,
}

/// Where epochs stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochStatus {
    /// The epoch in force.
    pub epoch: u64,
    /// Erasures that are not dark, over all tenants.
    pub pending_erasures: u64,
    /// The rotation under way, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

/// An erasure took effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Erased {
    /// On whom darkness depends, beside the custodians' deletion.
    pub depends_on: Vec<String>,
    /// Dark once the secrets of this epoch and of all before are deleted.
    pub epoch: u64,
    /// Names the erasure.
    pub erasure_id: String,
    /// The receipt.
    pub receipt: Value,
    /// `pending-epoch`.
    pub status: ErasureStage,
}

/// An erasure as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Erasure {
    /// Since when it is dark (RFC 3339, UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dark_at: Option<String>,
    /// On whom darkness depends.
    pub depends_on: Vec<String>,
    /// Dark once the secrets of this epoch and of all before are deleted.
    pub epoch: u64,
    /// Names the erasure.
    pub erasure_id: String,
    /// When it was asked for (RFC 3339, UTC).
    pub requested_at: String,
    /// What it covers.
    pub scope: ErasureCovers,
    /// The custodians' statements it rests on.
    pub statements: Vec<DeletionStatement>,
    /// How far it is.
    pub status: ErasureStage,
}

/// What an erasure covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErasureCovers {
    /// `modality`
    #[serde(rename = "modality")]
    Modality,
    /// `subject`
    #[serde(rename = "subject")]
    Subject,
}

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErasureStage {
    /// `pending-epoch`
    #[serde(rename = "pending-epoch")]
    PendingEpoch,
    /// `dark`
    #[serde(rename = "dark")]
    Dark,
    /// `depends`
    #[serde(rename = "depends")]
    Depends,
}

/// Claims that matched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventsPage {
    /// In the order of the ledger. Those of erased customers are dark and not here.
    pub events: Vec<AuditEvent>,
    /// First entry of the ledger that is kept; 0 unless the tenant's time for keeping entries is over.
    pub kept_from: u64,
    /// For the next request; null at the end of the ledger or of the time asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Where the customer is, as the bank knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Geolocation {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lng: f64,
}

/// The secret was given away: this enclave has halted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The appliance ledger's head before its last entry.
    pub before: TreeHead,
    /// SHA-256 of the envelope in the store, hexadecimal.
    pub envelope: String,
    /// The order's name, hexadecimal.
    pub order: String,
    /// Boot key of the other enclave, as the order names it.
    pub recipient: String,
}

/// Officers' order to hand over, to the enclave that serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandoverRequest {
    /// The signed configuration that the other enclave booted with (JWS).
    pub config: Value,
    /// The signed order (JWS).
    pub order: Value,
}

/// Where the enclave stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Where the enclave stands.
    pub phase: String,
}

/// Whether a live person was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Liveness {
    /// `not_evaluated`
    #[serde(rename = "not_evaluated")]
    NotEvaluated,
    /// `passed`
    #[serde(rename = "passed")]
    Passed,
    /// `failed`
    #[serde(rename = "failed")]
    Failed,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Modality {
    /// `facial`
    #[serde(rename = "facial")]
    Facial,
    /// `voice`
    #[serde(rename = "voice")]
    Voice,
    /// `multimodal`
    #[serde(rename = "multimodal")]
    Multimodal,
}

/// Who is paid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payee {
    /// Account of the payee, such as an IBAN.
    pub account: String,
    /// Name of the payee.
    pub name: String,
}

/// The body of every refusal (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// Stable, machine-readable code.
    pub code: String,
    /// What is wrong and how to mend it.
    pub detail: String,
    /// Only for `account_locked`: when the lock ends (RFC 3339, UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<String>,
    /// The id of the request, as in the `X-Request-Id` header.
    pub request_id: String,
    /// The HTTP status.
    pub status: u64,
    /// Short summary of the code.
    pub title: String,
    /// `urn:redoubt:problem:` and the code.
    pub r#type: String,
}

/// Asks for options to create a passkey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisterOptions {
    /// Display name the authenticator shows; the account name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The bank's name for its customer.
    pub user_id: String,
    /// Account name the authenticator shows; `user_id` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
}

/// A passkey was registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// Model of the authenticator (UUID).
    pub aaguid: String,
    /// Attestation statement format of the authenticator, such as `none` or `packed`.
    pub attestation_format: String,
    /// Credential id (base64url).
    pub credential_id: Base64Url,
    /// Signed proof of the ledger entry.
    pub receipt: Value,
    /// The bank's name for its customer.
    pub user_id: String,
    /// Always true.
    pub verified: bool,
}

/// `RegistrationResponseJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegistrationResponse {
    /// `platform` or `cross-platform`.
    #[serde(rename = "authenticatorAttachment")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticator_attachment: Option<String>,
    /// Client extension outputs, passed through.
    #[serde(rename = "clientExtensionResults")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_extension_results: Option<Value>,
    /// The credential id.
    pub id: Base64Url,
    /// The same again.
    #[serde(rename = "rawId")]
    pub raw_id: Base64Url,
    /// What client and authenticator made.
    pub response: AttestationResponse,
    /// `public-key`.
    pub r#type: String,
}

/// The browser's answer with the customer it is for: the answer's members beside `user_id` as here, or all of them under `credential`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegistrationResponseWithUser {
    /// The bank's name for its customer.
    pub user_id: String,
    /// All members of [`RegistrationResponse`].
    #[serde(flatten)]
    pub registration_response: RegistrationResponse,
}

/// `PublicKeyCredentialRequestOptionsJSON`, flat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestOptions {
    /// Credentials that may answer; empty asks for a discoverable one.
    #[serde(rename = "allowCredentials")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<Vec<CredentialDescriptor>>,
    /// The challenge.
    pub challenge: Base64Url,
    /// Client extension inputs, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
    /// UI hints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<Vec<String>>,
    /// The RP ID.
    #[serde(rename = "rpId")]
    pub rp_id: String,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// `required`, `preferred` or `discouraged`.
    #[serde(rename = "userVerification")]
    pub user_verification: String,
}

/// The body of `POST /api/v1/epochs/rotate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RotateEpoch {
    /// The configuration for it (JWS); only with `genesis`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
    /// The next genesis manifest (JWS), when officers change; only with `config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<Value>,
}

/// A rotation under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rotation {
    /// The epoch it leads to.
    pub epoch: u64,
    /// New officers' shares needed; 0 when officers stay.
    pub shares_needed: u64,
    /// New officers' shares received, when officers change.
    pub shares_received: u64,
    /// What it is doing: a stable word.
    pub stage: String,
}

/// `PublicKeyCredentialRpEntity`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpEntity {
    /// The RP ID.
    pub id: String,
    /// Name for humans.
    pub name: String,
}

/// Signals about the attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityFlags {
    /// Names of anomalies.
    pub anomalies: Vec<String>,
    /// 0 to 1.
    pub fraud_score: f64,
}

/// A share was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareAccepted {
    /// Shares needed.
    pub needed: u64,
    /// Where the enclave stands.
    pub phase: String,
    /// Shares received so far.
    pub received: u64,
}

/// An officer's share, sealed to this boot's unseal key (HPKE, X-Wing).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareSubmission {
    /// JSON naming document, genesis, counter and head (base64url).
    pub aad: Base64Url,
    /// Sealed share (base64url).
    pub ciphertext: Base64Url,
    /// Encapsulated key (base64url).
    pub enc: Base64Url,
    /// The officer's id in the genesis manifest.
    pub officer: String,
}

/// Officers' word to the enclave that waits: take what was left by this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TakeRequest {
    /// The order's name, hexadecimal.
    pub order: String,
}

/// The secret was taken: this enclave reads the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TakingOver {
    /// The appliance ledger's head before the last entry of the other enclave.
    pub before: TreeHead,
    /// Where the enclave stands.
    pub phase: String,
}

/// What is to be approved, exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// Decimal text above zero.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Who is paid.
    pub payee: Payee,
    /// Remittance reference.
    pub reference: String,
}

/// A ledger's size and root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeHead {
    /// Merkle root, lowercase hexadecimal.
    pub root: String,
    /// Number of entries.
    pub size: u64,
}

/// `PublicKeyCredentialUserEntityJSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserEntity {
    /// Name for humans.
    #[serde(rename = "displayName")]
    pub display_name: String,
    /// The user handle: random, never the bank's own id of the customer.
    pub id: Base64Url,
    /// Account name, shown by authenticators.
    pub name: String,
}

/// What the comparison said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// `verified`
    #[serde(rename = "verified")]
    Verified,
    /// `rejected`
    #[serde(rename = "rejected")]
    Rejected,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// What followed.
    pub action_taken: ActionTaken,
    /// Coarse on purpose; 0 to 1.
    pub confidence_score: f64,
    /// Null when not evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_passed: Option<bool>,
    /// What was compared.
    pub modality: Modality,
    /// Whether the sample passed the quality gate.
    pub quality_passed: bool,
    /// Signed proof of the ledger entry.
    pub receipt: Value,
    /// What the comparison said.
    pub result: Verdict,
    /// Signals about the attempt.
    pub security_flags: SecurityFlags,
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// The bank's name for its customer.
    pub user_id: String,
    /// Names the attempt.
    pub verification_id: String,
}

/// Compares a sample with the customer's template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// JPEG, PNG or WebP in base64 (standard or url alphabet), at most 8 MiB before encoding.
    pub biometric_data: String,
    /// The customer's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_info: Option<DeviceInfo>,
    /// Where the customer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geolocation: Option<Geolocation>,
    /// The customer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// What is compared.
    pub modality: Modality,
    /// The bank's name for its customer.
    pub user_id: String,
}

/// What [`Client::attestation`] may be told.
#[derive(Debug, Clone, Default)]
pub struct AttestationOptions {
    /// What the key is for; serve if absent
    pub purpose: Option<String>,
}

/// What [`Client::create_approval`] may be told.
#[derive(Debug, Clone, Default)]
pub struct CreateApprovalOptions {
    /// Makes a retry find the first answer; 1 to 128 visible ASCII characters.
    pub idempotency_key: Option<String>,
}

/// What [`Client::audit_events`] may be told.
#[derive(Debug, Clone, Default)]
pub struct AuditEventsOptions {
    /// `type` of the claim, for instance `verification`.
    pub r#type: Option<String>,
    /// Of this customer.
    pub user_id: Option<String>,
    /// Not before this time (RFC 3339).
    pub from: Option<String>,
    /// Before this time (RFC 3339).
    pub to: Option<String>,
    /// `next` of the reply before.
    pub after: Option<String>,
    /// Most claims in the reply, 1 to 500; 100 if absent.
    pub limit: Option<String>,
    /// Whose ledger. Needed for auditors; a tenant's own otherwise.
    pub tenant: Option<String>,
}

/// What [`Client::audit_export`] may be told.
#[derive(Debug, Clone, Default)]
pub struct AuditExportOptions {
    /// First entry; 0 if absent.
    pub from: Option<String>,
    /// Most entries, 1 to 256; 64 if absent.
    pub limit: Option<String>,
    /// Whose ledger. Needed for auditors; a tenant's own otherwise.
    pub tenant: Option<String>,
}

impl Client {
    /// Evidence: a fresh attestation document bound to this TLS session.
    ///
    /// `GET /.well-known/attestation`
    pub async fn attestation(
        &self,
        nonce: &str,
        options: &AttestationOptions,
    ) -> Result<AttestationReply, Error> {
        let request = Request::new("GET", "/.well-known/attestation")
            .query("nonce", nonce)
            .query_if("purpose", options.purpose.as_deref());
        self.json(request, Body::none()).await
    }

    /// Asks for a customer's approval of a transaction.
    ///
    /// `POST /api/v1/approvals`
    pub async fn create_approval(
        &self,
        options: &CreateApprovalOptions,
        body: &ApprovalRequest,
    ) -> Result<ApprovalCreated, Error> {
        let request = Request::new("POST", "/api/v1/approvals")
            .header_if("Idempotency-Key", options.idempotency_key.as_deref());
        self.json(request, Body::json(body)?).await
    }

    /// An approval as it stands.
    ///
    /// `GET /api/v1/approvals/{id}`
    pub async fn get_approval(&self, id: &str) -> Result<Approval, Error> {
        let request = Request::new("GET", "/api/v1/approvals/{id}").path("id", id);
        self.json(request, Body::none()).await
    }

    /// Hands in the customer's answer (`AuthenticationResponseJSON` and `user_id`).
    ///
    /// `POST /api/v1/approvals/{id}/verify`
    pub async fn verify_approval(
        &self,
        id: &str,
        body: &AuthenticationResponseWithUser,
    ) -> Result<ApprovalVerified, Error> {
        let request = Request::new("POST", "/api/v1/approvals/{id}/verify").path("id", id);
        self.json(request, Body::json(body)?).await
    }

    /// Claims of a tenant's ledger, by filter, page by page.
    ///
    /// `GET /api/v1/audit/events`
    pub async fn audit_events(&self, options: &AuditEventsOptions) -> Result<EventsPage, Error> {
        let request = Request::new("GET", "/api/v1/audit/events")
            .query_if("type", options.r#type.as_deref())
            .query_if("user_id", options.user_id.as_deref())
            .query_if("from", options.from.as_deref())
            .query_if("to", options.to.as_deref())
            .query_if("after", options.after.as_deref())
            .query_if("limit", options.limit.as_deref())
            .query_if("tenant", options.tenant.as_deref());
        self.json(request, Body::none()).await
    }

    /// Entries of a tenant's ledger with what checks them, as JSON Lines.
    ///
    /// `GET /api/v1/audit/export`
    pub async fn audit_export(&self, options: &AuditExportOptions) -> Result<String, Error> {
        let request = Request::new("GET", "/api/v1/audit/export")
            .query_if("from", options.from.as_deref())
            .query_if("limit", options.limit.as_deref())
            .query_if("tenant", options.tenant.as_deref());
        self.text(request, Body::none()).await
    }

    /// Starts an enrolment.
    ///
    /// `POST /api/v1/enroll/initiate`
    pub async fn enroll_initiate(&self, body: &EnrollInitiate) -> Result<EnrollInitiated, Error> {
        let request = Request::new("POST", "/api/v1/enroll/initiate");
        self.json(request, Body::json(body)?).await
    }

    /// Hands in the sample of an enrolment.
    ///
    /// `POST /api/v1/enroll/submit`
    pub async fn enroll_submit(
        &self,
        enrollment_id: &str,
        session_token: &str,
        body: Vec<u8>,
    ) -> Result<Enrolled, Error> {
        let request = Request::new("POST", "/api/v1/enroll/submit")
            .query("enrollment_id", enrollment_id)
            .query("session_token", session_token);
        self.json(request, Body::form(&body)).await
    }

    /// Erases one modality of a customer.
    ///
    /// `DELETE /api/v1/enroll/{user_id}/{modality}`
    pub async fn erase_modality(&self, user_id: &str, modality: &str) -> Result<Erased, Error> {
        let request = Request::new("DELETE", "/api/v1/enroll/{user_id}/{modality}")
            .path("user_id", user_id)
            .path("modality", modality);
        self.json(request, Body::none()).await
    }

    /// Where epochs stand.
    ///
    /// `GET /api/v1/epochs`
    pub async fn epoch_status(&self) -> Result<EpochStatus, Error> {
        let request = Request::new("GET", "/api/v1/epochs");
        self.json(request, Body::none()).await
    }

    /// Begins a new epoch, and changes officers if the request names new ones.
    ///
    /// `POST /api/v1/epochs/rotate`
    pub async fn rotate_epoch(&self, body: &RotateEpoch) -> Result<EpochStatus, Error> {
        let request = Request::new("POST", "/api/v1/epochs/rotate");
        self.json(request, Body::json(body)?).await
    }

    /// An erasure as it stands.
    ///
    /// `GET /api/v1/erasures/{id}`
    pub async fn get_erasure(&self, id: &str) -> Result<Erasure, Error> {
        let request = Request::new("GET", "/api/v1/erasures/{id}").path("id", id);
        self.json(request, Body::none()).await
    }

    /// Gives the secret to the enclave that an officers' order names, and halts.
    ///
    /// `POST /api/v1/handover`
    pub async fn hand_over(&self, body: &HandoverRequest) -> Result<HandedOver, Error> {
        let request = Request::new("POST", "/api/v1/handover");
        self.json(request, Body::json(body)?).await
    }

    /// Takes what another enclave left for this one in the store.
    ///
    /// `POST /api/v1/handover/take`
    pub async fn take_over(&self, body: &TakeRequest) -> Result<TakingOver, Error> {
        let request = Request::new("POST", "/api/v1/handover/take");
        self.json(request, Body::json(body)?).await
    }

    /// Options to use a passkey (`PublicKeyCredentialRequestOptionsJSON`).
    ///
    /// `POST /api/v1/passkeys/authenticate/options`
    pub async fn authenticate_options(
        &self,
        body: &AuthenticateOptions,
    ) -> Result<RequestOptions, Error> {
        let request = Request::new("POST", "/api/v1/passkeys/authenticate/options");
        self.json(request, Body::json(body)?).await
    }

    /// Verifies the use of a passkey (`AuthenticationResponseJSON` and `user_id`).
    ///
    /// `POST /api/v1/passkeys/authenticate/verify`
    pub async fn authenticate_verify(
        &self,
        body: &AuthenticationResponseWithUser,
    ) -> Result<Authenticated, Error> {
        let request = Request::new("POST", "/api/v1/passkeys/authenticate/verify");
        self.json(request, Body::json(body)?).await
    }

    /// Options to create a passkey (`PublicKeyCredentialCreationOptionsJSON`).
    ///
    /// `POST /api/v1/passkeys/register/options`
    pub async fn register_options(&self, body: &RegisterOptions) -> Result<CreationOptions, Error> {
        let request = Request::new("POST", "/api/v1/passkeys/register/options");
        self.json(request, Body::json(body)?).await
    }

    /// Registers the created passkey (`RegistrationResponseJSON` and `user_id`).
    ///
    /// `POST /api/v1/passkeys/register/verify`
    pub async fn register_verify(
        &self,
        body: &RegistrationResponseWithUser,
    ) -> Result<Registered, Error> {
        let request = Request::new("POST", "/api/v1/passkeys/register/verify");
        self.json(request, Body::json(body)?).await
    }

    /// A receipt with its evidence.
    ///
    /// `GET /api/v1/receipts/{id}`
    pub async fn receipt(&self, id: &str) -> Result<Value, Error> {
        let request = Request::new("GET", "/api/v1/receipts/{id}").path("id", id);
        self.json(request, Body::none()).await
    }

    /// Erases everything of a customer.
    ///
    /// `DELETE /api/v1/subjects/{user_id}`
    pub async fn erase_subject(&self, user_id: &str) -> Result<Erased, Error> {
        let request = Request::new("DELETE", "/api/v1/subjects/{user_id}").path("user_id", user_id);
        self.json(request, Body::none()).await
    }

    /// Hands in one officer's share, sealed to this boot's unseal key.
    ///
    /// `POST /api/v1/unseal/share`
    pub async fn submit_share(&self, body: &ShareSubmission) -> Result<ShareAccepted, Error> {
        let request = Request::new("POST", "/api/v1/unseal/share");
        self.json(request, Body::json(body)?).await
    }

    /// Compares a sample with the customer's template.
    ///
    /// `POST /api/v1/verify`
    pub async fn verify(&self, body: &VerifyRequest) -> Result<Verification, Error> {
        let request = Request::new("POST", "/api/v1/verify");
        self.json(request, Body::json(body)?).await
    }

    /// Where the enclave stands.
    ///
    /// `GET /healthz`
    pub async fn health(&self) -> Result<Health, Error> {
        let request = Request::new("GET", "/healthz");
        self.json(request, Body::none()).await
    }

    /// This document.
    ///
    /// `GET /openapi.json`
    pub async fn openapi(&self) -> Result<Value, Error> {
        let request = Request::new("GET", "/openapi.json");
        self.json(request, Body::none()).await
    }
}
