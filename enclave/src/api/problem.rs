//! Every refusal a caller can see (RFC 9457), and what the operator sees instead.
//!
//! Protects against: errors as an oracle and logs as a leak. A problem has one
//! fixed text for the caller and, apart from it, a cause made only of log-safe
//! parts; nothing a request carried can be formatted into either by accident.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::text::Timestamp;

/// A stable code with its status and texts.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Stable, snake_case, part of the contract.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Short summary, the same for every occurrence.
    pub title: &'static str,
    /// What is wrong and how to mend it, unless the occurrence says more.
    pub detail: &'static str,
}

/// A refusal on its way to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: &'static Kind,
    detail: Option<Cow<'static, str>>,
    retry_after: Option<u32>,
    locked_until: Option<Timestamp>,
    internal: Option<Cow<'static, str>>,
}

/// The body of every refusal (RFC 9457, `application/problem+json`).
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// `urn:redoubt:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:redoubt:problem:account_locked")]
    pub type_uri: String,
    /// Short summary of the code.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and how to mend it.
    pub detail: String,
    /// Stable, machine-readable code.
    #[schema(example = "account_locked")]
    pub code: &'static str,
    /// The id of the request, as in the `X-Request-Id` header.
    pub request_id: String,
    /// Only for `account_locked`: when the lock ends (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub locked_until: Option<Timestamp>,
}

/// Text that may reach the operator's log: made of constants, counts and
/// standard error kinds, never of request content.
pub trait LogSafe {
    /// The text.
    fn log_text(&self) -> Cow<'static, str>;
}

impl LogSafe for &'static str {
    fn log_text(&self) -> Cow<'static, str> {
        Cow::Borrowed(self)
    }
}

impl LogSafe for std::io::ErrorKind {
    fn log_text(&self) -> Cow<'static, str> {
        Cow::Owned(self.to_string())
    }
}

impl Problem {
    /// A problem with the texts of its kind.
    pub const fn of(kind: &'static Kind) -> Self {
        Self {
            kind,
            detail: None,
            retry_after: None,
            locked_until: None,
            internal: None,
        }
    }

    /// Says more about this occurrence to the caller.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Tells the caller when to try again, in seconds.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Tells the operator, and only the operator, what was behind it.
    #[must_use]
    pub fn because(mut self, cause: impl LogSafe) -> Self {
        self.internal = Some(cause.log_text());
        self
    }

    /// The lock of `account_locked`, with the time left as `Retry-After`.
    pub fn account_locked(until: Timestamp, now_ms: u64) -> Self {
        let left = until.0.saturating_sub(now_ms).div_ceil(1000);
        let mut problem = Self::of(&LOCKED)
            .detail(format!(
                "Too many failed attempts; locked_until {until}. Try again after that."
            ))
            .retry_after(u32::try_from(left).unwrap_or(u32::MAX).max(1));
        problem.locked_until = Some(until);
        problem
    }

    /// Whether it is of the same kind as another.
    pub fn is(&self, other: fn() -> Self) -> bool {
        self.kind == other().kind
    }

    /// The kind.
    pub const fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.kind.code
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.kind.status
    }

    /// Seconds for the `Retry-After` header.
    pub const fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after
    }

    /// For the operator's log.
    pub fn internal(&self) -> Option<&str> {
        self.internal.as_deref()
    }

    /// The body sent to the caller.
    pub fn body(&self, request_id: &str) -> ProblemBody {
        ProblemBody {
            type_uri: format!("urn:redoubt:problem:{}", self.kind.code),
            title: self.kind.title,
            status: self.kind.status,
            detail: self
                .detail
                .as_deref()
                .unwrap_or(self.kind.detail)
                .to_owned(),
            code: self.kind.code,
            request_id: request_id.to_owned(),
            locked_until: self.locked_until,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code, self.kind.title)
    }
}

impl std::error::Error for Problem {}

static LOCKED: Kind = Kind {
    code: "account_locked",
    status: 423,
    title: "The account is locked",
    detail: "Too many failed attempts. Wait until locked_until, then try again.",
};

macro_rules! kinds {
    ($($konst:ident $make:ident $status:literal $(retry $retry:literal)? $title:literal $detail:literal;)*) => {
        $(
            static $konst: Kind = Kind {
                code: stringify!($make),
                status: $status,
                title: $title,
                detail: $detail,
            };
        )*
        impl Kind {
            /// Every kind there is.
            pub fn all() -> &'static [&'static Kind] {
                static ALL: &[&Kind] = &[&LOCKED, $(&$konst),*];
                ALL
            }
        }
        impl Problem {
            $(
                #[doc = concat!(stringify!($status), ": ", $title, ".")]
                pub const fn $make() -> Self {
                    Self::of(&$konst)$(.retry_after($retry))?
                }
            )*
        }
    };
}

kinds! {
    // the request
    MALFORMED_REQUEST malformed_request 400 "The request is malformed" "The request could not be read; compare it with /openapi.json.";
    INVALID_NONCE invalid_nonce 400 "The nonce is not usable" "Send 8 to 64 bytes as base64url without padding or as hexadecimal.";
    CLIENT_CERTIFICATE_REQUIRED client_certificate_required 401 "A client certificate is required" "Present a client certificate under your tenant's anchor (mutual TLS).";
    ROLE_NOT_ALLOWED role_not_allowed 403 "This certificate may not do that" "Use a certificate whose role includes this operation.";
    ROUTE_NOT_FOUND route_not_found 404 "There is no such route" "See /openapi.json for the routes.";
    METHOD_NOT_ALLOWED method_not_allowed 405 "The route does not know this method" "See the Allow header.";
    REQUEST_TIMEOUT request_timeout 408 "The request took too long to arrive" "Send the request without pauses.";
    BODY_TOO_LARGE body_too_large 413 "The body is too large" "Send a smaller body; samples may have 8 MiB before encoding.";
    UNSUPPORTED_MEDIA_TYPE unsupported_media_type 415 "The content type is not supported" "Send the content type that /openapi.json names for this route.";
    TOO_MANY_REQUESTS too_many_requests 429 retry 1 "Too many requests" "Slow down and try again.";

    // the appliance
    INTERNAL_ERROR internal_error 500 "The appliance failed at this request" "Quote the request id to the operator; what was decided is in the ledger.";
    NOT_SERVING not_serving 503 retry 5 "The appliance does not serve this route now" "Try again when /healthz names a phase that does.";
    WORKER_UNAVAILABLE worker_unavailable 503 retry 2 "No attested worker is available" "Try again shortly.";
    STORE_UNAVAILABLE store_unavailable 503 retry 2 "The ledger store does not answer as it should" "Whatever was reserved stays spent. Try again shortly.";
    NOT_FRESH not_fresh 503 retry 1 "Too few witnesses vouch for this appliance now" "Nothing was released. Try again shortly; if it lasts, the operator's witnesses are out of reach.";
    BUSY busy 503 retry 1 "The appliance is at its limit" "Try again shortly.";
    REQUEST_DEADLINE request_deadline 504 "The request took too long to answer" "Its outcome is in the ledger; read it back before trying again.";

    // handover
    HANDING_OVER handing_over 503 retry 1 "Another enclave is taking over" "This request was not acknowledged. Send it again, with the same Idempotency-Key if it had one.";
    ORDER_NOT_SIGNED order_not_signed 422 "Too few officers signed the order" "Have as many officers of the manifest in force sign it as that manifest asks for.";
    ORDER_OTHER_MANIFEST order_other_manifest 422 "The order is for another manifest" "Make an order under the manifest in force.";
    ORDER_OTHER_LEDGER order_other_ledger 422 "The order is for another appliance" "Make an order that names this appliance's ledger, to an enclave that was booted for it.";
    ORDER_OTHER_GIVER order_other_giver 422 "The order is to another enclave or term" "Make an order to the enclave that serves now.";
    ORDER_OTHER_RECIPIENT order_other_recipient 422 "The order names another enclave" "Make an order that names the boot key of the enclave that is to take over.";
    ORDER_OTHER_CONFIG order_other_config 422 "The order names another configuration" "Boot the other enclave with the configuration in force or a later one, and name its digest in the order.";
    ORDER_RECIPIENT_REFUSED order_recipient_refused 422 "The evidence of the other enclave is refused" "Boot an image that the manifest allows, and make an order with its fresh evidence.";
    ORDER_EXPIRED order_expired 422 "The order is not good now" "Have officers sign one that is good now, and for a day at most.";
    ORDER_SPENT order_spent 409 "The order was obeyed before" "An order is good once; make another one.";
    NO_ENVELOPE no_envelope 409 "Nothing was left for this enclave" "Have the enclave that serves obey an order that names this one, over the store that both use.";

    // unsealing
    SHARE_REFUSED share_refused 422 "The share was refused" "Fetch a fresh unseal document and seal the share to it.";
    UNKNOWN_DOCUMENT unknown_document 409 "This enclave did not issue that document" "Fetch a fresh unseal document from this enclave and seal the share to it.";
    SHARES_DISAGREE shares_disagree 409 "The officers' shares name different heads" "The officers' memory files disagree; find out which history is the appliance's before unsealing.";

    // passkeys
    REGISTRATION_FAILED registration_failed 422 "The passkey could not be registered" "Start again with fresh options.";
    AUTHENTICATION_FAILED authentication_failed 401 "Authentication failed" "Start again with fresh options.";
    CREDENTIAL_EXISTS credential_exists 409 "This credential is already registered" "Use another authenticator or another credential.";
    METADATA_REFUSED metadata_refused 422 "The metadata BLOB is refused" "Fetch the newest one from the FIDO Metadata Service and send it as it is.";
    METADATA_NOT_CONFIGURED metadata_not_configured 409 "No root of metadata is configured" "Have officers sign a configuration that names it, tenants[].passkeys.metadata.";

    // the tenant's own policy
    POLICY_REFUSED policy_refused 422 "The policy is refused" "The detail begins with the reason; docs/policy.md tells what to do about each.";
    POLICY_NOT_CONFIGURED policy_not_configured 409 "Nobody is named who signs the tenant's policy" "Have officers sign a configuration that names them, tenants[].policy_signers.";
    POLICY_DENIED policy_denied 403 "The tenant's own policy does not allow it" "Its reasons are in the audit events.";

    // customers
    NO_PASSKEY no_passkey 409 "No passkey is registered for this user" "Register a passkey first.";

    // devices
    UNKNOWN_DEVICE unknown_device 404 "There is no such device" "Use a device_id of GET /api/v1/subjects/{user_id}/devices.";
    TOO_MANY_DEVICES too_many_devices 409 "The customer has as many passkeys as one may have" "Revoke one with POST /api/v1/subjects/{user_id}/devices/{device_id}/state; after 128 in all, erase and enrol the customer again.";
    DEVICE_CLOSED device_closed 409 "The device is out of use for good" "Have the customer register a new passkey.";
    DEVICE_BARRED device_barred 409 "The device's model is reported as compromised" "Have the customer register a passkey of another model.";

    // biometrics
    CONSENT_REQUIRED consent_required 422 "Consent is required" "Ask the customer, then send consent_given: true.";
    UNSUPPORTED_MODALITY unsupported_modality 422 "This modality is not supported" "Use facial or voice, and to verify also multimodal; for a factor of an approval the one of its route.";
    UNKNOWN_ENROLLMENT unknown_enrollment 404 "There is no such enrolment" "Start one with /api/v1/enroll/initiate.";
    ENROLLMENT_EXPIRED enrollment_expired 410 "The enrolment has expired" "Start again with /api/v1/enroll/initiate.";
    ENROLLMENT_BUSY enrollment_busy 409 retry 1 "A sample of this customer is being worked on" "Wait for its result.";
    ENROLLMENT_CLOSED enrollment_closed 409 "The enrolment is already completed" "Start another one to replace the template.";
    NOT_ENROLLED not_enrolled 409 "This user has no template for the modality" "Enrol the user first.";
    ATTEMPTS_IN_PROGRESS attempts_in_progress 429 retry 1 "All remaining attempts are in progress" "Wait for their results.";
    ENROLLMENTS_SHUT enrollments_shut 429 retry 1 "No face is enrolled for now" "Too many were refused as duplicates within a day; wait as Retry-After says.";
    ATTEMPTS_THROTTLED attempts_throttled 429 retry 1 "Too many failed attempts came from there" "Wait as Retry-After says; this device, this address or the tenant as a whole is out of attempts.";
    NOT_AN_IMAGE not_an_image 422 "The sample is not an image" "Send JPEG, PNG or WebP.";
    TOO_MANY_PIXELS too_many_pixels 422 "The image has too many pixels" "Send a smaller image.";
    NO_FACE no_face 422 "No face was found" "Take the picture again with the face in view.";
    MULTIPLE_FACES multiple_faces 422 "More than one face was found" "Take the picture again with one face in view.";
    FACE_TOO_SMALL face_too_small 422 "The face is too small" "Move closer to the camera.";
    TOO_DARK too_dark 422 "The face is too dark" "Find better light.";
    TOO_BRIGHT too_bright 422 "The face is too bright" "Find softer light.";
    BLURRED blurred 422 "The face is out of focus" "Hold still and take the picture again.";
    NOT_LIVE not_live 422 "This does not look like a live person" "Take the picture again, of the person and not of a print or a screen.";
    CHALLENGE_REQUIRED challenge_required 409 "A challenge must be answered" "Ask for one with POST /api/v1/liveness/challenge and send its frames as liveness, for an enrolment as biometric_file; of a voice, the recording as spoken.";
    CHALLENGES_OFF challenges_off 409 "Policy challenges nobody" "Have officers sign a configuration with policy.active_liveness, for a voice with policy.spoken_digits; or send one picture or recording.";
    UNKNOWN_CHALLENGE unknown_challenge 409 "This challenge is not open for this customer" "It is good once and for a minute; ask for another with POST /api/v1/liveness/challenge.";
    FRAME_COUNT frame_count 400 "That is not as many frames as answer a challenge" "Send 8 to 30 frames.";
    CHALLENGE_FAILED challenge_failed 422 "The challenge was not answered" "The detail says what was missing; ask for another challenge.";
    DUPLICATE_FACE duplicate_face 409 "This face cannot be enrolled under this name" "The enrolment is over; GET /api/v1/admin/security-alerts says why. Tell the person no more than that it did not work.";
    SAMPLE_COUNT sample_count 400 "That is not as many samples as this enrolment takes" "Send one picture for a face; three recordings for a voice, as biometric_file, biometric_file_2 and biometric_file_3.";
    MODALITY_MISMATCH modality_mismatch 422 "The samples are not those of the modality" "For multimodal send a picture in biometric_data and a recording in voice_data; for any other modality no voice_data. Frames of a face stand as liveness in place of the picture, a recording of digits as spoken in place of the recording.";
    NOT_AUDIO not_audio 422 "The sample is not a recording" "Send WAV, FLAC, or Opus in Ogg or WebM, whole.";
    AUDIO_NOT_SUPPORTED audio_not_supported 422 "This kind of recording is not supported" "Record one track of sound, one or two channels at 8 to 96 kHz: WAV, FLAC, or Opus in Ogg or WebM.";
    RECORDING_TOO_LONG recording_too_long 422 "The recording is too long" "Send a minute at most; some seconds are enough.";
    RECORDING_BROKEN recording_broken 422 "The recording holds samples that are no numbers" "Record again.";
    RECORDING_SILENT recording_silent 422 "Nothing is heard" "Check that the microphone is on.";
    RECORDING_CLIPPED recording_clipped 422 "The recording is too loud for its microphone" "Speak more softly or move away from the microphone.";
    TOO_LITTLE_SPEECH too_little_speech 422 "Too little speech was heard" "Speak for some seconds.";
    TOO_QUIET too_quiet 422 "The voice is too quiet" "Speak up or move closer to the microphone.";
    TOO_NOISY too_noisy 422 "There is too much noise behind the voice" "Find a quieter place.";
    RECORDING_REPEATED recording_repeated 422 "Two of the recordings are one" "Record three times.";
    RECORDINGS_DIFFER recordings_differ 422 "The recordings do not sound like one person" "Record again, the customer alone, in a quiet place.";

    // approvals and receipts
    INVALID_TRANSACTION invalid_transaction 422 "The transaction is not acceptable" "Check amount, currency, payee and reference.";
    UNKNOWN_APPROVAL unknown_approval 404 "There is no such approval" "Create one with /api/v1/approvals.";
    APPROVAL_EXPIRED approval_expired 410 "The approval has expired" "Create another one.";
    APPROVAL_REJECTED approval_rejected 409 "The approval was rejected" "Read it with GET /api/v1/approvals/{id}.";
    APPROVAL_CANCELLED approval_cancelled 409 "The approval was cancelled" "Create another one.";
    ANSWERED_MEANWHILE answered_meanwhile 409 "Another device of this customer answered meanwhile" "Fetch options again with GET /api/v1/approvals/{id}/options and have the next device answer those.";
    ALREADY_ANSWERED already_answered 409 "This customer has answered" "Read who is still asked with GET /api/v1/approvals/{id}.";
    SHARED_DEVICE shared_device 409 "Another approver answered with this passkey" "Each approver needs a passkey of their own.";
    SECOND_DEVICE_REQUIRED second_device_required 409 "This amount needs a second device" "Register a second passkey; of passkeys that sync between devices only one counts.";
    FACE_REQUIRED face_required 409 "A face comes before the last passkey" "Verify it with POST /api/v1/approvals/{id}/face.";
    VOICE_REQUIRED voice_required 409 "A voice comes before the last passkey" "Verify it with POST /api/v1/approvals/{id}/voice.";
    TOO_MANY_APPROVALS too_many_approvals 429 retry 600 "The tenant has as many approvals as are kept" "Each is kept until a week after its time, in 512 MiB for all of a tenant: wait until older ones leave, or ask for several payments in one batch.";
    TOO_MANY_LISTENERS too_many_listeners 429 retry 5 "Too many of this tenant listen" "Close a feed, or read GET /api/v1/approvals/{id}.";
    APPROVAL_CLOSED approval_closed 409 "The approval is already decided" "Read it with GET /api/v1/approvals/{id}.";
    IDEMPOTENCY_CONFLICT idempotency_conflict 409 "The idempotency key was used for another request" "Use a fresh key for a different request.";
    UNKNOWN_RECEIPT unknown_receipt 404 "There is no such receipt" "Use a receipt_id of this tenant.";
    RECEIPT_ERASED receipt_erased 410 "The receipt's subject was erased" "The copies handed out before go on verifying.";
    RECEIPT_EXPIRED receipt_expired 410 "The receipt is older than its tenant keeps receipts" "The copies handed out before go on verifying.";
    CHECKPOINT_REFUSED checkpoint_refused 400 "The Redoubt-Checkpoint header is not usable" "Send base64url of a checkpoint note of this tenant's ledger, from one of your receipts, or leave the header out.";
    UNKNOWN_TENANT unknown_tenant 404 "There is no such tenant" "Use a tenant id of this appliance's configuration.";

    // erasure and epochs
    UNKNOWN_SUBJECT unknown_subject 404 "There is no such customer" "Use a user_id that this tenant registered or enrolled and did not erase.";
    UNKNOWN_ERASURE unknown_erasure 404 "There is no such erasure" "Use an erasure_id of this tenant.";
    ROTATION_IN_PROGRESS rotation_in_progress 409 retry 5 "A rotation is under way" "Read GET /api/v1/epochs until it is done.";
    CUSTODIAN_UNAVAILABLE custodian_unavailable 503 retry 5 "A custodian does not take part" "A new epoch needs every custodian that genesis names; bring them up, then try again.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_carry_error_statuses() {
        let mut codes: Vec<_> = Kind::all().iter().map(|kind| kind.code).collect();
        codes.sort_unstable();
        let before = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), before);
        assert!(
            Kind::all()
                .iter()
                .all(|kind| (400..600).contains(&kind.status))
        );
    }

    #[test]
    fn the_cause_stays_with_the_operator() {
        let problem = Problem::store_unavailable().because("store closed the stream");
        let body = serde_json::to_string(&problem.body("r")).unwrap();
        assert!(!body.contains("closed the stream"));
        assert_eq!(problem.internal(), Some("store closed the stream"));
        assert_eq!(problem.retry_after_seconds(), Some(2));
    }

    #[test]
    fn a_lock_says_when_it_ends() {
        let problem = Problem::account_locked(Timestamp(90_500), 60_000);
        assert_eq!(problem.retry_after_seconds(), Some(31));
        let body = serde_json::to_value(problem.body("r")).unwrap();
        assert_eq!(body["locked_until"], "1970-01-01T00:01:30.5Z");
        assert_eq!(body["status"], 423);
    }
}
