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
    /// `alert_sent`
    #[serde(rename = "alert_sent")]
    AlertSent,
    /// `account_locked`
    #[serde(rename = "account_locked")]
    AccountLocked,
}

/// What came of a challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActiveLiveness {
    /// The move that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<LivenessAction>,
    /// What was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapse: Option<LivenessLapse>,
    /// Whether one person did what was asked, in order, before the camera.
    pub passed: bool,
    /// For the customer.
    pub told: String,
}

/// Why the security team is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertReason {
    /// `high_risk`
    #[serde(rename = "high_risk")]
    HighRisk,
    /// `account_locked`
    #[serde(rename = "account_locked")]
    AccountLocked,
    /// `sign_count_not_increased`
    #[serde(rename = "sign_count_not_increased")]
    SignCountNotIncreased,
    /// `device_compromised`
    #[serde(rename = "device_compromised")]
    DeviceCompromised,
    /// `duplicate_face`
    #[serde(rename = "duplicate_face")]
    DuplicateFace,
}

/// What one of those asked has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answered {
    /// `pending`
    #[serde(rename = "pending")]
    Pending,
    /// `approved`
    #[serde(rename = "approved")]
    Approved,
    /// `rejected`
    #[serde(rename = "rejected")]
    Rejected,
}

/// An approval as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Names the approval.
    pub approval_id: String,
    /// Those who are asked, without anybody erased since.
    pub approvers: Vec<ApproverState>,
    /// The signed proof, once approved, or rejected with a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefact: Option<Value>,
    /// How many devices each must use.
    pub devices: u64,
    /// When it ends undecided (RFC 3339, UTC).
    pub expires_at: String,
    /// What an answer is made of.
    pub factors: Vec<Factor>,
    /// How many of them must approve.
    pub required: u64,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// As received.
    pub transaction: Transaction,
}

/// A change of an approval, as `GET /api/v1/approvals/{id}/events` tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalChange {
    /// Names the approval.
    pub approval_id: String,
    /// How many gave everything, while it is pending.
    pub approved: u64,
    /// How many rejected.
    pub rejected: u64,
    /// How many must approve.
    pub required: u64,
    /// Where it stands.
    pub status: ApprovalStatus,
}

/// An approval was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalCreated {
    /// Names the approval.
    pub approval_id: String,
    /// For each of several, a challenge of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<Vec<ApproverOptions>>,
    /// When it ends undecided (RFC 3339, UTC).
    pub expires_at: String,
    /// For the browser of the one who is asked; the challenge binds the transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<RequestOptions>,
    /// `pending`, unless an idempotent retry finds it decided.
    pub status: ApprovalStatus,
    /// As received.
    pub transaction: Transaction,
}

/// Asks for the approval of a transaction: `user_id`, or `approvers` and `required`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// Several customers, each once, at most 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<Vec<String>>,
    /// `["passkey"]` if absent; with `"face"`, `"voice"` or both behind it, in this order, each
    /// is asked for those as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factors: Option<Vec<Factor>>,
    /// How many of them must approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<u64>,
    /// What is to be approved.
    pub transaction: Transaction,
    /// The bank's name for its customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
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
    /// `rejected`
    #[serde(rename = "rejected")]
    Rejected,
    /// `cancelled`
    #[serde(rename = "cancelled")]
    Cancelled,
}

/// An answer was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalVerified {
    /// Names the approval.
    pub approval_id: String,
    /// The signed proof of what customers decided, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefact: Option<Value>,
    /// Signed proof of the ledger entry.
    pub receipt: Value,
    /// `pending` where more answers are needed.
    pub status: ApprovalStatus,
}

/// Options for one of several customers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApproverOptions {
    /// For their browser.
    pub options: RequestOptions,
    /// Whom.
    pub user_id: String,
}

/// One of those asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApproverState {
    /// What they did. Once the approval ended: only who rejected is told.
    pub answer: Answered,
    /// Who.
    pub user_id: String,
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

/// One attempt, as remembered. Its receipt says the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// What was attempted.
    pub kind: AttemptKind,
    /// What was compared, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<Modality>,
    /// Names its receipt.
    pub receipt_id: String,
    /// How it ended; a login that was accepted is `verified`.
    pub result: Verdict,
    /// Signals about it.
    pub security_flags: SecurityFlags,
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// Names the verification, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_id: Option<String>,
}

/// What was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptKind {
    /// `login`
    #[serde(rename = "login")]
    Login,
    /// `verification`
    #[serde(rename = "verification")]
    Verification,
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
    /// What kinds of authenticator the page expects, most likely first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<Vec<Hint>>,
    /// Inputs of the `prf` extension. What comes of them stays in the browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prf: Option<PrfInput>,
    /// The bank's name for its customer. Absent: whoever answers with a passkey of
    /// this tenant, as for conditional mediation; the reply names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// A passkey was verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Authenticated {
    /// Credential id (base64url).
    pub credential_id: Base64Url,
    /// The device that logged in.
    pub device_id: String,
    /// When the session ends if it never idles (RFC 3339, UTC).
    pub expires_at: String,
    /// Seconds without an introspection after which it ends before that.
    pub idle_seconds: u64,
    /// Signed proof of the ledger entry.
    pub receipt: Value,
    /// Signals about the login.
    pub security_flags: SecurityFlags,
    /// Names the session.
    pub session_id: String,
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
pub struct AuthenticationResponseWithOptionalUser {
    /// The bank's name for its customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// All members of [`AuthenticationResponse`].
    #[serde(flatten)]
    pub authentication_response: AuthenticationResponse,
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

/// Several payments approved together: the total is their exact sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// ISO 4217 code, of every payment.
    pub currency: String,
    /// 1 to 100.
    pub payments: Vec<BatchPayment>,
    /// Exact decimal sum of the payments.
    pub total: String,
}

/// One payment of a batch, in the batch's currency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchPayment {
    /// Decimal text above zero.
    pub amount: String,
    /// Who is paid.
    pub payee: Payee,
    /// Remittance reference.
    pub reference: String,
}

/// What is challenged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChallengeModality {
    /// `facial`
    #[serde(rename = "facial")]
    Facial,
    /// `voice`
    #[serde(rename = "voice")]
    Voice,
}

/// Asks for a challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeRequest {
    /// What is challenged: a face with moves, if left out, or a voice with digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<ChallengeModality>,
    /// The bank's name for its customer.
    pub user_id: String,
}

/// A client certificate (RFC 8705 §3.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confirmation {
    /// SHA-256 of the certificate (base64url).
    #[serde(rename = "x5t#S256")]
    pub x5t_s256: String,
}

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

/// Describes a device. What is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DescribeDevice {
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Such as `iOS 19`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Such as `mobile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
}

/// A registered credential as a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Authenticator model (hexadecimal).
    pub aaguid: String,
    /// Format of the attestation it was registered with.
    pub attestation_format: String,
    /// Whether that attestation chained to a root of policy.
    pub attestation_trusted: bool,
    /// Whether its key may be copied to other devices.
    pub backup_eligible: bool,
    /// Whether it was, when last seen.
    pub backup_state: bool,
    /// Registered at (RFC 3339, UTC).
    pub created_at: String,
    /// Names it; says nothing of the credential.
    pub device_id: String,
    /// Last used at (RFC 3339, UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// What its owner calls it.
    pub name: String,
    /// Its operating system, as the bank reported.
    pub os: String,
    /// Why, as whoever set the state said.
    pub reason: String,
    /// Sessions open now, idle ones among them.
    pub sessions: u64,
    /// Whether it may be used.
    pub state: DeviceState,
    /// Since when (RFC 3339, UTC); null if it always was active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_since: Option<String>,
    /// Transports, as the browser reported.
    pub transports: Vec<String>,
    /// How far it is to be trusted.
    pub trust: DeviceTrust,
    /// What kind it is, as the bank reported.
    pub r#type: String,
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

/// Whether a device may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceState {
    /// `active`
    #[serde(rename = "active")]
    Active,
    /// `suspended`
    #[serde(rename = "suspended")]
    Suspended,
    /// `revoked`
    #[serde(rename = "revoked")]
    Revoked,
    /// `compromised`
    #[serde(rename = "compromised")]
    Compromised,
}

/// The device has its new state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceStateSet {
    /// Which.
    pub device_id: String,
    /// Signed proof of the ledger entry.
    pub receipt: Value,
    /// Sessions that ended with it.
    pub sessions_ended: u64,
    /// Its state.
    pub state: DeviceState,
}

/// How far a device is to be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceTrust {
    /// What counted.
    pub reasons: Vec<TrustReason>,
    /// 0 to 1.
    pub score: f64,
}

/// A customer's devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Devices {
    /// Oldest first.
    pub devices: Vec<Device>,
    /// A device was compromised and no passkey registered since: ask for a new one.
    pub re_enrollment_required: bool,
    /// The bank's name for its customer.
    pub user_id: String,
}

/// Why a recording is no answer to the digits that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DigitsLapse {
    /// `words_count`
    #[serde(rename = "words_count")]
    WordsCount,
    /// `other_digits`
    #[serde(rename = "other_digits")]
    OtherDigits,
    /// `several_people`
    #[serde(rename = "several_people")]
    SeveralPeople,
}

/// The form of `enroll/submit`, for the OpenAPI document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnrollForm {
    /// JPEG, PNG or WebP of a face, or the first recording of a voice, WAV, FLAC or Opus (in Ogg or WebM);
    /// at most 8 MiB. In place of a picture, the JSON of a `LivenessAnswer`.
    pub biometric_file: String,
    /// Of a voice: the second recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub biometric_file_2: Option<String>,
    /// Of a voice: the third recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub biometric_file_3: Option<String>,
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
    /// What came of a challenge; null where none was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_liveness: Option<ActiveLiveness>,
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
    /// Quality of the sample, 0 to 1; of several the lowest.
    pub quality_score: f64,
    /// Signed proof of the ledger entry.
    pub receipt: Value,
    /// Always `completed`.
    pub status: String,
    /// The bank's name for its customer.
    pub user_id: String,
}

/// One enrolled modality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnrolledModality {
    /// Version of the template's models.
    pub embedding_version: String,
    /// RFC 3339, UTC.
    pub enrollment_date: String,
    /// Which.
    pub modality: Modality,
    /// Quality of the sample, 0 to 1.
    pub quality_score: f64,
    /// Number of the keyed transform that the template is under; 0 for one that was made
    /// before there were any, and not renewed since.
    pub transform: u64,
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

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Factor {
    /// `passkey`
    #[serde(rename = "passkey")]
    Passkey,
    /// `face`
    #[serde(rename = "face")]
    Face,
    /// `voice`
    #[serde(rename = "voice")]
    Voice,
}

/// Where the customer is, as the bank knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Geolocation {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lng: f64,
}

/// Officers' order to the enclave itself: end for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HaltRequest {
    /// The signed order (JWS).
    pub order: Value,
}

/// The enclave has halted, and takes nothing any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Halted {
    /// Its boot key, as the order names it.
    pub boot: String,
    /// Where it stands now.
    pub phase: String,
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

/// `PublicKeyCredentialHint` (WebAuthn Level 3 section 5.8.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hint {
    /// `security-key`
    #[serde(rename = "security-key")]
    SecurityKey,
    /// `client-device`
    #[serde(rename = "client-device")]
    ClientDevice,
    /// `hybrid`
    #[serde(rename = "hybrid")]
    Hybrid,
}

/// A customer's latest attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// At most 32, latest first; all of them are in the audit's events.
    pub attempts: Vec<Attempt>,
    /// The bank's name for its customer.
    pub user_id: String,
}

/// What is said of a token (RFC 7662 section 2.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Introspection {
    /// All members of [`SessionClaims`], or none.
    #[serde(flatten)]
    pub session_claims: Option<SessionClaims>,
    /// Whether the session is open.
    pub active: bool,
}

/// The tenant's public keys (RFC 7517).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JwkSet {
    /// ES256 (`EC`) and ML-DSA-65 (`AKP`, RFC 9964), `kid` the RFC 7638 thumbprint.
    pub keys: Vec<Value>,
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

/// One move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LivenessAction {
    /// `turn_left`
    #[serde(rename = "turn_left")]
    TurnLeft,
    /// `turn_right`
    #[serde(rename = "turn_right")]
    TurnRight,
    /// `look_up`
    #[serde(rename = "look_up")]
    LookUp,
    /// `blink`
    #[serde(rename = "blink")]
    Blink,
}

/// Answers a challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LivenessAnswer {
    /// From the reply of `liveness/challenge`.
    pub challenge_id: String,
    /// 8 to 30 frames in the order they were taken, unmirrored, from before the first move on: JPEG, PNG or WebP of at most 4 million pixels each in base64 (standard or url alphabet), 8 MiB together before encoding.
    pub frames: Vec<String>,
}

/// What the customer is to do before the camera, or to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LivenessChallenge {
    /// The moves, in this order, each followed by a look into the camera; none for a voice.
    pub actions: Vec<LivenessAction>,
    /// Names the challenge: good once, for this customer.
    pub challenge_id: String,
    /// Of a voice: six digits to read one by one, in this order; null for a face.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<String>,
    /// When it ends unanswered (RFC 3339, UTC).
    pub expires_at: String,
    /// Most frames that answer it; 0 for a voice.
    pub frames_max: u64,
    /// Fewest frames that answer it; 0 for a voice, which frames do not answer.
    pub frames_min: u64,
    /// What is challenged.
    pub modality: ChallengeModality,
    /// For the customer.
    pub told: String,
}

/// Why frames are no answer to their challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LivenessLapse {
    /// `frame_repeated`
    #[serde(rename = "frame_repeated")]
    FrameRepeated,
    /// `jumped`
    #[serde(rename = "jumped")]
    Jumped,
    /// `not_frontal`
    #[serde(rename = "not_frontal")]
    NotFrontal,
    /// `several_people`
    #[serde(rename = "several_people")]
    SeveralPeople,
    /// `not_done`
    #[serde(rename = "not_done")]
    NotDone,
    /// `other_move`
    #[serde(rename = "other_move")]
    OtherMove,
    /// `seen_before`
    #[serde(rename = "seen_before")]
    SeenBefore,
}

/// The metadata in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetadataStatus {
    /// Whether credentials are being suspended. They are refused already.
    pub acting: bool,
    /// How many of the models are revoked or compromised now.
    pub compromised: u64,
    /// Every model.
    pub models: Vec<ModelStatus>,
    /// The day by which the next one is there (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<String>,
    /// The number of the last BLOB that was taken; null: none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Whether that day has passed.
    pub overdue: bool,
    /// Credentials that were suspended for their model so far.
    pub suspended: u64,
}

/// What a BLOB changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetadataTaken {
    /// Models that were, and are no more. Their suspended credentials stay so until the bank
    /// resumes them.
    pub cleared: Vec<String>,
    /// Models that are revoked or compromised now and were not before.
    pub compromised: Vec<ModelStatus>,
    /// Models it names.
    pub models: u64,
    /// The day by which the next one is there (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<String>,
    /// Its number.
    pub number: u64,
    /// Whether that day has passed: fetch the next one.
    pub overdue: bool,
    /// The number of the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_number: Option<u64>,
    /// Credentials that were suspended for it.
    pub suspended: u64,
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

/// What is reported of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// Which, 8-4-4-4-12.
    pub aaguid: String,
    /// The compromise that is reported, such as `REVOKED`; null: none is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// Who is paid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payee {
    /// Account of the payee, such as an IBAN.
    pub account: String,
    /// Name of the payee.
    pub name: String,
}

/// One payment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// Decimal text above zero.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Who is paid.
    pub payee: Payee,
    /// Remittance reference.
    pub reference: String,
}

/// What is in force from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyActivated {
    /// Counts from 1.
    pub activation: u64,
    /// SHA-256 of its signed payload, hexadecimal; null: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its receipt.
    pub receipt: Value,
    /// Unit tests that passed before; none where an order went back.
    pub tests: Vec<String>,
    /// The bundle's version; 0: none, the typed rules alone.
    pub version: u64,
}

/// From when on which bundle was in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyActivation {
    /// When.
    pub activated_at: String,
    /// Counts from 1.
    pub activation: u64,
    /// SHA-256 of its signed payload, hexadecimal; null: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The receipt that says so.
    pub receipt_id: String,
    /// Whether an order went back to it.
    pub rollback: bool,
    /// The bundle's version; 0: none, the typed rules alone.
    pub version: u64,
}

/// What a bundle says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyAnswer {
    /// `allow`, `step_up` or `deny`.
    pub effect: String,
    /// Its reasons.
    pub reasons: Vec<String>,
}

/// A recorded decision that would be another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// When it fell.
    pub decided_at: String,
    /// The facts, as the bundle sees them.
    pub input: Value,
    /// The decision's receipt.
    pub receipt_id: String,
    /// What was said.
    pub was: PolicyAnswer,
    /// What this bundle would have said.
    pub would_be: PolicyAnswer,
}

/// What a bundle would have changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyDryRun {
    /// The others, latest first.
    pub changes: Vec<PolicyChange>,
    /// Recorded decisions it was asked about.
    pub decisions: u64,
    /// Unit tests that passed.
    pub tests: Vec<String>,
    /// Of these, how many have the same effect.
    pub unchanged: u64,
}

/// An order to use an earlier bundle again, or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyOrder {
    /// The signed order (JWS), payload `redoubt/policy-rollback/v1`.
    pub order: Value,
}

/// What is and was in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// In force now; null: none ever was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<PolicyActivation>,
    /// The latest activations, latest first.
    pub history: Vec<PolicyActivation>,
    /// Bundles that an order may go back to.
    pub kept: Vec<PolicyVersion>,
}

/// A bundle to try, not signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyTrial {
    /// The bundle (`redoubt/policy-bundle/v1`) as it would be signed.
    pub bundle: Value,
}

/// A bundle to take and put in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyUpload {
    /// The signed bundle (JWS), payload `redoubt/policy-bundle/v1`.
    pub bundle: Value,
}

/// A bundle whose text is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// SHA-256 of its signed payload, hexadecimal.
    pub digest: String,
    /// Its version.
    pub version: u64,
}

/// Inputs of the `prf` extension (section 10.1.4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrfInput {
    /// For whichever credential answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<PrfValues>,
    /// By credential id (base64url); only where the customer is named, and not when
    /// a passkey is made.
    #[serde(rename = "evalByCredential")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_by_credential: Option<Value>,
}

/// One or two inputs, 1 to 256 bytes each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrfValues {
    /// The first.
    pub first: String,
    /// The second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
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
    /// What kinds of authenticator the page expects, most likely first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<Vec<Hint>>,
    /// Inputs of the `prf` extension. What comes of them stays in the browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prf: Option<PrfInput>,
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
    /// Names the passkey as a device.
    pub device_id: String,
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

/// A customer's rejection: signed if `credential` is there, else the bank's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejection {
    /// The answer to options of purpose `rejection`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<AuthenticationResponse>,
    /// Who rejects.
    pub user_id: String,
}

/// The document for `https://RP-ID/.well-known/webauthn` (WebAuthn Level 3 section 5.11).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelatedOrigins {
    /// Pages outside the RP ID's domain that may use its passkeys. Browsers heed
    /// those of the first five names (registrable domain without its suffix).
    pub origins: Vec<String>,
}

/// A template is under another transform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Renewed {
    /// Sealed copies of the template before can be opened until the secrets of this epoch
    /// and of all before are deleted.
    pub epoch: u64,
    /// Of what.
    pub modality: Modality,
    /// Signed proof of the ledger entry.
    pub receipt: Value,
    /// RFC 3339, UTC.
    pub renewed_at: String,
    /// Number of the transform: one more than that of the customer's last template.
    pub transform: u64,
    /// The bank's name for its customer.
    pub user_id: String,
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

/// One alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityAlert {
    /// Always `alert_sent`.
    pub action_taken: ActionTaken,
    /// Of `duplicate_face`: the other customer's name, while there is such a customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_user_id: Option<String>,
    /// Why.
    pub reason: AlertReason,
    /// Names the receipt of what raised it.
    pub receipt_id: String,
    /// Signals about what raised it.
    pub security_flags: SecurityFlags,
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// The bank's name for its customer.
    pub user_id: String,
}

/// Alerts, latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityAlerts {
    /// The latest that match; 1000 are kept at hand, all are in the ledger.
    pub alerts: Vec<SecurityAlert>,
}

/// Signals about the attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityFlags {
    /// Why, in stable words.
    pub anomalies: Vec<String>,
    /// How unusual it was, 0 to 1: from 0.3 on it is watched, from 0.7 on the security
    /// team is told and a match is `suspicious`.
    pub fraud_score: f64,
}

/// An open session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionClaims {
    /// Level of assurance: `urn:redoubt:acr:aal1`, `aal2` or `aal3`.
    pub acr: String,
    /// Methods, by the names of RFC 8176.
    pub amr: Vec<String>,
    /// The tenant.
    pub aud: String,
    /// Login, Unix seconds.
    pub auth_time: u64,
    /// The client certificate it is bound to (RFC 8705).
    pub cnf: Confirmation,
    /// The device that logged in.
    pub device_id: String,
    /// End of the session if it never idles, Unix seconds.
    pub exp: u64,
    /// When a face of the customer last matched, if that is less than five minutes
    /// ago, in Unix seconds. Not a method of this session: it may have matched
    /// anywhere the bank asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_matched_at: Option<u64>,
    /// The appliance.
    pub iss: String,
    /// Digest of the policy in force (hexadecimal).
    pub policy: String,
    /// Names the session.
    pub sid: String,
    /// The bank's name for its customer.
    pub sub: String,
}

/// Sessions ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionsEnded {
    /// How many. 0: there was none.
    pub ended: u64,
    /// Signed proof of the ledger entry; null when a token named no session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Value>,
}

/// Suspends, resumes, revokes or flags a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetDeviceState {
    /// Why; the claim repeats it.
    pub reason: String,
    /// The state from now on. Nothing leads back from `revoked`; from
    /// `compromised` only a new passkey does.
    pub state: DeviceState,
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

/// Answers a challenge that asked for digits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpokenAnswer {
    /// WAV, FLAC or Opus (in Ogg or WebM) of the customer reading the digits one by one, in base64 (standard or url alphabet), at most 8 MiB before encoding.
    pub audio: String,
    /// From the reply of `liveness/challenge` for `voice`.
    pub challenge_id: String,
}

/// What came of digits that a voice was asked to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpokenDigits {
    /// What was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapse: Option<DigitsLapse>,
    /// Whether one person read what was asked, in order.
    pub passed: bool,
    /// For the customer.
    pub told: String,
}

/// A customer in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// What is enrolled.
    pub enrolled: Vec<EnrolledModality>,
    /// Failures in a row that count towards a lock.
    pub failures: u64,
    /// The latest attempt that counted (RFC 3339, UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accepted_at: Option<String>,
    /// Locked until then (RFC 3339, UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<String>,
    /// Logins that were accepted.
    pub logins: u64,
    /// Logins that were refused.
    pub logins_refused: u64,
    /// Passkeys that may be used.
    pub passkeys: u64,
    /// Sessions open now, idle ones among them.
    pub sessions: u64,
    /// Attempts that were suspicious.
    pub suspicious: u64,
    /// The bank's name for its customer.
    pub user_id: String,
    /// Samples that were verified.
    pub verifications: u64,
    /// Samples that were rejected.
    pub verifications_rejected: u64,
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

/// A token in a form, as RFC 7662 and RFC 7009 send it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenForm {
    /// The `session_token` of a login.
    pub token: String,
    /// Not looked at: there is one kind of token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type_hint: Option<String>,
}

/// What is to be approved, exactly: a payment, or a batch of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Transaction {
    /// A [`Payment`].
    Payment(Payment),
    /// A [`Batch`].
    Batch(Batch),
}

/// A ledger's size and root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeHead {
    /// Merkle root, lowercase hexadecimal.
    pub root: String,
    /// Number of entries.
    pub size: u64,
}

/// Why a device is trusted as far as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrustReason {
    /// A stable word.
    pub reason: String,
    /// What it adds to 0.5.
    pub weight: f64,
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
    /// `suspicious`
    #[serde(rename = "suspicious")]
    Suspicious,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// What followed.
    pub action_taken: ActionTaken,
    /// What came of a challenge; null where none was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_liveness: Option<ActiveLiveness>,
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
    /// What came of digits that were to be read; null where none were answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoken_digits: Option<SpokenDigits>,
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
    /// JPEG, PNG or WebP of a face, WAV, FLAC or Opus (in Ogg or WebM) of a voice, in base64 (standard or url alphabet), at most 8 MiB before encoding.
    /// Left out where `liveness` has frames in its place, or `spoken` the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub biometric_data: Option<String>,
    /// The customer's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_info: Option<DeviceInfo>,
    /// Where the customer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geolocation: Option<Geolocation>,
    /// The customer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// Of a face: the answer to a challenge, in place of one picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<LivenessAnswer>,
    /// What is compared.
    pub modality: Modality,
    /// Of a voice, alone or beside a face: the answer to a challenge that asked for digits, in
    /// place of `biometric_data` or `voice_data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoken: Option<SpokenAnswer>,
    /// The bank's name for its customer.
    pub user_id: String,
    /// For `multimodal`, and only then: WAV, FLAC or Opus (in Ogg or WebM) of a voice, while `biometric_data` is the
    /// picture; in base64, both together at most 8 MiB before encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice_data: Option<String>,
}

/// What [`Client::attestation`] may be told.
#[derive(Debug, Clone, Default)]
pub struct AttestationOptions {
    /// What the key is for; serve if absent
    pub purpose: Option<String>,
}

/// What [`Client::security_alerts`] may be told.
#[derive(Debug, Clone, Default)]
pub struct SecurityAlertsOptions {
    /// Most alerts in the reply, 1 to 500; 100 if absent.
    pub limit: Option<String>,
    /// Of this customer.
    pub user_id: Option<String>,
}

/// What [`Client::create_approval`] may be told.
#[derive(Debug, Clone, Default)]
pub struct CreateApprovalOptions {
    /// Makes a retry find the first answer; 1 to 128 visible ASCII characters.
    pub idempotency_key: Option<String>,
}

/// What [`Client::cancel_approval`] may be told.
#[derive(Debug, Clone, Default)]
pub struct CancelApprovalOptions {
    /// Makes a retry find the first answer; 1 to 128 visible ASCII characters.
    pub idempotency_key: Option<String>,
}

/// What [`Client::approval_options`] may be told.
#[derive(Debug, Clone, Default)]
pub struct ApprovalOptionsOptions {
    /// approval if absent
    pub purpose: Option<String>,
}

/// What [`Client::reject_approval`] may be told.
#[derive(Debug, Clone, Default)]
pub struct RejectApprovalOptions {
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

    /// The FIDO metadata in force, and what it says of each model.
    ///
    /// `GET /api/v1/admin/metadata`
    pub async fn get_metadata(&self) -> Result<MetadataStatus, Error> {
        let request = Request::new("GET", "/api/v1/admin/metadata");
        self.json(request, Body::none()).await
    }

    /// Takes a FIDO metadata BLOB as its service signed it, and acts on it.
    ///
    /// `PUT /api/v1/admin/metadata`
    pub async fn put_metadata(&self, body: &str) -> Result<MetadataTaken, Error> {
        let request = Request::new("PUT", "/api/v1/admin/metadata");
        self.json(request, Body::jose(body)).await
    }

    /// Which bundle is in force, and which were.
    ///
    /// `GET /api/v1/admin/policy`
    pub async fn get_policy(&self) -> Result<PolicyStatus, Error> {
        let request = Request::new("GET", "/api/v1/admin/policy");
        self.json(request, Body::none()).await
    }

    /// Takes a signed bundle of Rego, runs its unit tests, and puts it in force.
    ///
    /// `PUT /api/v1/admin/policy`
    pub async fn put_policy(&self, body: &PolicyUpload) -> Result<PolicyActivated, Error> {
        let request = Request::new("PUT", "/api/v1/admin/policy");
        self.json(request, Body::json(body)?).await
    }

    /// Runs a bundle's unit tests, and asks it about recorded decisions. Changes nothing.
    ///
    /// `POST /api/v1/admin/policy/dry-run`
    pub async fn try_policy(&self, body: &PolicyTrial) -> Result<PolicyDryRun, Error> {
        let request = Request::new("POST", "/api/v1/admin/policy/dry-run");
        self.json(request, Body::json(body)?).await
    }

    /// Goes back to an earlier bundle, or to none, by a signed order.
    ///
    /// `POST /api/v1/admin/policy/rollback`
    pub async fn order_policy(&self, body: &PolicyOrder) -> Result<PolicyActivated, Error> {
        let request = Request::new("POST", "/api/v1/admin/policy/rollback");
        self.json(request, Body::json(body)?).await
    }

    /// What the security team is told.
    ///
    /// `GET /api/v1/admin/security-alerts`
    pub async fn security_alerts(
        &self,
        options: &SecurityAlertsOptions,
    ) -> Result<SecurityAlerts, Error> {
        let request = Request::new("GET", "/api/v1/admin/security-alerts")
            .query_if("limit", options.limit.as_deref())
            .query_if("user_id", options.user_id.as_deref());
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

    /// Takes an approval back.
    ///
    /// `POST /api/v1/approvals/{id}/cancel`
    pub async fn cancel_approval(
        &self,
        id: &str,
        options: &CancelApprovalOptions,
    ) -> Result<ApprovalVerified, Error> {
        let request = Request::new("POST", "/api/v1/approvals/{id}/cancel")
            .path("id", id)
            .header_if("Idempotency-Key", options.idempotency_key.as_deref());
        self.json(request, Body::none()).await
    }

    /// An approval's changes until it ends, as server-sent events, or as messages of a
    /// WebSocket for who asks so.
    ///
    /// `GET /api/v1/approvals/{id}/events`
    pub async fn follow_approval(&self, id: &str) -> Result<String, Error> {
        let request = Request::new("GET", "/api/v1/approvals/{id}/events").path("id", id);
        self.text(request, Body::none()).await
    }

    /// Verifies the face that an approval asks for: an attempt like any other.
    ///
    /// `POST /api/v1/approvals/{id}/face`
    pub async fn approval_face(
        &self,
        id: &str,
        body: &VerifyRequest,
    ) -> Result<Verification, Error> {
        let request = Request::new("POST", "/api/v1/approvals/{id}/face").path("id", id);
        self.json(request, Body::json(body)?).await
    }

    /// Options for the next answer of one of those asked.
    ///
    /// `GET /api/v1/approvals/{id}/options`
    pub async fn approval_options(
        &self,
        id: &str,
        user_id: &str,
        options: &ApprovalOptionsOptions,
    ) -> Result<RequestOptions, Error> {
        let request = Request::new("GET", "/api/v1/approvals/{id}/options")
            .path("id", id)
            .query("user_id", user_id)
            .query_if("purpose", options.purpose.as_deref());
        self.json(request, Body::none()).await
    }

    /// A customer rejects.
    ///
    /// `POST /api/v1/approvals/{id}/reject`
    pub async fn reject_approval(
        &self,
        id: &str,
        options: &RejectApprovalOptions,
        body: &Rejection,
    ) -> Result<ApprovalVerified, Error> {
        let request = Request::new("POST", "/api/v1/approvals/{id}/reject")
            .path("id", id)
            .header_if("Idempotency-Key", options.idempotency_key.as_deref());
        self.json(request, Body::json(body)?).await
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

    /// Verifies the voice that an approval asks for: an attempt like any other. A recording or a
    /// cloned voice passes.
    ///
    /// `POST /api/v1/approvals/{id}/voice`
    pub async fn approval_voice(
        &self,
        id: &str,
        body: &VerifyRequest,
    ) -> Result<Verification, Error> {
        let request = Request::new("POST", "/api/v1/approvals/{id}/voice").path("id", id);
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

    /// Hands in the samples of an enrolment: one of a face, three of a voice.
    ///
    /// `POST /api/v1/enroll/submit`
    pub async fn enroll_submit(
        &self,
        enrollment_id: &str,
        session_token: &str,
        samples: &[&[u8]],
    ) -> Result<Enrolled, Error> {
        let request = Request::new("POST", "/api/v1/enroll/submit")
            .query("enrollment_id", enrollment_id)
            .query("session_token", session_token);
        self.json(request, Body::form(samples)).await
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

    /// Puts a customer's template under another keyed transform, without the customer.
    ///
    /// `POST /api/v1/enroll/{user_id}/{modality}/renew`
    pub async fn renew_template(&self, user_id: &str, modality: &str) -> Result<Renewed, Error> {
        let request = Request::new("POST", "/api/v1/enroll/{user_id}/{modality}/renew")
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

    /// Ends this enclave for good, by an order that names its boot.
    ///
    /// `POST /api/v1/halt`
    pub async fn halt(&self, body: &HaltRequest) -> Result<Halted, Error> {
        let request = Request::new("POST", "/api/v1/halt");
        self.json(request, Body::json(body)?).await
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

    /// The tenant's public keys: they verify artefacts and sessions.
    ///
    /// `GET /api/v1/jwks`
    pub async fn jwks(&self) -> Result<JwkSet, Error> {
        let request = Request::new("GET", "/api/v1/jwks");
        self.json(request, Body::none()).await
    }

    /// Draws a challenge for a customer, moves of the face or digits to read; while one is open, the same again.
    ///
    /// `POST /api/v1/liveness/challenge`
    pub async fn liveness_challenge(
        &self,
        body: &ChallengeRequest,
    ) -> Result<LivenessChallenge, Error> {
        let request = Request::new("POST", "/api/v1/liveness/challenge");
        self.json(request, Body::json(body)?).await
    }

    /// Options to use a passkey (`PublicKeyCredentialRequestOptionsJSON`). A `user_id`
    /// that no passkey belongs to gets options of the same shape, the same each time.
    ///
    /// `POST /api/v1/passkeys/authenticate/options`
    pub async fn authenticate_options(
        &self,
        body: &AuthenticateOptions,
    ) -> Result<RequestOptions, Error> {
        let request = Request::new("POST", "/api/v1/passkeys/authenticate/options");
        self.json(request, Body::json(body)?).await
    }

    /// Verifies the use of a passkey (`AuthenticationResponseJSON`, and `user_id` if the options had it).
    ///
    /// `POST /api/v1/passkeys/authenticate/verify`
    pub async fn authenticate_verify(
        &self,
        body: &AuthenticationResponseWithOptionalUser,
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

    /// What to serve at `https://RP-ID/.well-known/webauthn`.
    ///
    /// `GET /api/v1/passkeys/related-origins`
    pub async fn related_origins(&self) -> Result<RelatedOrigins, Error> {
        let request = Request::new("GET", "/api/v1/passkeys/related-origins");
        self.json(request, Body::none()).await
    }

    /// A receipt with its evidence.
    ///
    /// `GET /api/v1/receipts/{id}`
    pub async fn receipt(&self, id: &str) -> Result<Value, Error> {
        let request = Request::new("GET", "/api/v1/receipts/{id}").path("id", id);
        self.json(request, Body::none()).await
    }

    /// Ends every session of the tenant.
    ///
    /// `DELETE /api/v1/sessions`
    pub async fn end_all_sessions(&self) -> Result<SessionsEnded, Error> {
        let request = Request::new("DELETE", "/api/v1/sessions");
        self.json(request, Body::none()).await
    }

    /// A customer in numbers.
    ///
    /// `GET /api/v1/stats/{user_id}`
    pub async fn stats(&self, user_id: &str) -> Result<Stats, Error> {
        let request = Request::new("GET", "/api/v1/stats/{user_id}").path("user_id", user_id);
        self.json(request, Body::none()).await
    }

    /// Erases everything of a customer.
    ///
    /// `DELETE /api/v1/subjects/{user_id}`
    pub async fn erase_subject(&self, user_id: &str) -> Result<Erased, Error> {
        let request = Request::new("DELETE", "/api/v1/subjects/{user_id}").path("user_id", user_id);
        self.json(request, Body::none()).await
    }

    /// A customer's devices.
    ///
    /// `GET /api/v1/subjects/{user_id}/devices`
    pub async fn devices(&self, user_id: &str) -> Result<Devices, Error> {
        let request =
            Request::new("GET", "/api/v1/subjects/{user_id}/devices").path("user_id", user_id);
        self.json(request, Body::none()).await
    }

    /// Describes a device.
    ///
    /// `POST /api/v1/subjects/{user_id}/devices/{device_id}`
    pub async fn describe_device(
        &self,
        user_id: &str,
        device_id: &str,
        body: &DescribeDevice,
    ) -> Result<Device, Error> {
        let request = Request::new("POST", "/api/v1/subjects/{user_id}/devices/{device_id}")
            .path("user_id", user_id)
            .path("device_id", device_id);
        self.json(request, Body::json(body)?).await
    }

    /// Ends every session of one of a customer's devices.
    ///
    /// `DELETE /api/v1/subjects/{user_id}/devices/{device_id}/sessions`
    pub async fn end_device_sessions(
        &self,
        user_id: &str,
        device_id: &str,
    ) -> Result<SessionsEnded, Error> {
        let request = Request::new(
            "DELETE",
            "/api/v1/subjects/{user_id}/devices/{device_id}/sessions",
        )
        .path("user_id", user_id)
        .path("device_id", device_id);
        self.json(request, Body::none()).await
    }

    /// Suspends, resumes, revokes a device, or flags it as compromised.
    ///
    /// `POST /api/v1/subjects/{user_id}/devices/{device_id}/state`
    pub async fn set_device_state(
        &self,
        user_id: &str,
        device_id: &str,
        body: &SetDeviceState,
    ) -> Result<DeviceStateSet, Error> {
        let request = Request::new(
            "POST",
            "/api/v1/subjects/{user_id}/devices/{device_id}/state",
        )
        .path("user_id", user_id)
        .path("device_id", device_id);
        self.json(request, Body::json(body)?).await
    }

    /// Ends every session of a customer.
    ///
    /// `DELETE /api/v1/subjects/{user_id}/sessions`
    pub async fn end_user_sessions(&self, user_id: &str) -> Result<SessionsEnded, Error> {
        let request =
            Request::new("DELETE", "/api/v1/subjects/{user_id}/sessions").path("user_id", user_id);
        self.json(request, Body::none()).await
    }

    /// What a session token stands for (RFC 7662). Which form, the Accept header says: JSON, a
    /// signed introspection (RFC 9701), or the session under two signatures for inner services.
    ///
    /// `POST /api/v1/token/introspect`
    pub async fn introspect(&self, body: &TokenForm) -> Result<Introspection, Error> {
        let request = Request::new("POST", "/api/v1/token/introspect");
        self.json(request, Body::members(body)?).await
    }

    /// Ends the session of a token (RFC 7009). A token that names none is as good as revoked.
    ///
    /// `POST /api/v1/token/revoke`
    pub async fn revoke_token(&self, body: &TokenForm) -> Result<SessionsEnded, Error> {
        let request = Request::new("POST", "/api/v1/token/revoke");
        self.json(request, Body::members(body)?).await
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

    /// A customer's latest attempts.
    ///
    /// `GET /api/v1/verify/history/{user_id}`
    pub async fn history(&self, user_id: &str) -> Result<History, Error> {
        let request =
            Request::new("GET", "/api/v1/verify/history/{user_id}").path("user_id", user_id);
        self.json(request, Body::none()).await
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
