//! The appliance's routes, one function each.

mod error;
mod types;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

pub use error::{BankError, Problem};
pub use types::{
    Approved, Authenticated, DeviceInfo, Enrolled, Enrollment, Payee, PendingApproval, Registered,
    Transaction, Verification,
};

use crate::client::{Bank, Reply, whole};

/// Base64url without padding, the interface's encoding of bytes.
pub fn b64u(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Undoes [`b64u`].
pub fn from_b64u(text: &str) -> Result<Vec<u8>, BankError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| BankError::Unreadable {
            status: 200,
            detail: format!("not base64url: {error}"),
        })
}

/// A WebAuthn response with the user it belongs to, flat as the interface takes it.
pub fn with_user(user: &str, credential: &Value) -> Value {
    let mut body = credential.clone();
    body["user_id"] = json!(user);
    body
}

impl Bank {
    /// Options for creating a passkey.
    pub async fn register_options(&self, user: &str) -> Result<Value, BankError> {
        let body = json!({"user_id": user, "user_name": user, "display_name": user});
        let path = "/api/v1/passkeys/register/options";
        self.post(path, &body).await?.read()
    }

    /// Hands over a new passkey.
    pub async fn register_verify(
        &self,
        user: &str,
        credential: &Value,
    ) -> Result<Registered, BankError> {
        let path = "/api/v1/passkeys/register/verify";
        self.post(path, &with_user(user, credential)).await?.read()
    }

    /// Options for a login.
    pub async fn login_options(&self, user: &str) -> Result<Value, BankError> {
        let path = "/api/v1/passkeys/authenticate/options";
        self.post(path, &json!({"user_id": user})).await?.read()
    }

    /// Hands over a login assertion.
    pub async fn login_verify(
        &self,
        user: &str,
        assertion: &Value,
    ) -> Result<Authenticated, BankError> {
        let path = "/api/v1/passkeys/authenticate/verify";
        self.post(path, &with_user(user, assertion)).await?.read()
    }

    /// Opens an enrolment of the face.
    pub async fn enroll_initiate(
        &self,
        user: &str,
        consent_given: bool,
    ) -> Result<Enrollment, BankError> {
        self.enroll_initiate_with(user, "facial", consent_given)
            .await
    }

    /// Opens an enrolment of `facial` or `voice`.
    pub async fn enroll_initiate_with(
        &self,
        user: &str,
        modality: &str,
        consent_given: bool,
    ) -> Result<Enrollment, BankError> {
        let body = json!({
            "user_id": user,
            "modality": modality,
            "consent_given": consent_given,
            "device_info": DeviceInfo::default(),
        });
        self.post("/api/v1/enroll/initiate", &body).await?.read()
    }

    /// Submits the sample of an enrolment.
    pub async fn enroll_submit(
        &self,
        enrollment: &Enrollment,
        sample: &[u8],
    ) -> Result<Enrolled, BankError> {
        self.enroll_submit_all(enrollment, &[sample]).await
    }

    /// Submits the samples of an enrolment: of a voice there are three.
    pub async fn enroll_submit_all(
        &self,
        enrollment: &Enrollment,
        samples: &[&[u8]],
    ) -> Result<Enrolled, BankError> {
        let path = format!(
            "/api/v1/enroll/submit?enrollment_id={}&session_token={}",
            enrollment.enrollment_id, enrollment.session_token
        );
        let (content_type, body) = multipart(samples);
        let headers = [("content-type", content_type.as_str())];
        self.send(Method::POST, &path, &headers, whole(body))
            .await?
            .read()
    }

    /// Both steps of an enrolment, with consent.
    pub async fn enroll(&self, user: &str, sample: &[u8]) -> Result<Enrolled, BankError> {
        let enrollment = self.enroll_initiate(user, true).await?;
        self.enroll_submit(&enrollment, sample).await
    }

    /// Both steps of a voice's enrolment, with consent.
    pub async fn enroll_voice(
        &self,
        user: &str,
        recordings: &[&[u8]],
    ) -> Result<Enrolled, BankError> {
        let enrollment = self.enroll_initiate_with(user, "voice", true).await?;
        self.enroll_submit_all(&enrollment, recordings).await
    }

    /// Verifies a voice.
    pub async fn verify_voice(
        &self,
        user: &str,
        recording: &[u8],
    ) -> Result<Verification, BankError> {
        let mut body = verify_body(user, recording);
        body["modality"] = json!("voice");
        self.post("/api/v1/verify", &body).await?.read()
    }

    /// Verifies a face and a voice together.
    pub async fn verify_both(
        &self,
        user: &str,
        face: &[u8],
        recording: &[u8],
    ) -> Result<Verification, BankError> {
        let body = both_body(user, face, recording);
        self.post("/api/v1/verify", &body).await?.read()
    }

    /// Verifies a face.
    pub async fn verify(&self, user: &str, sample: &[u8]) -> Result<Verification, BankError> {
        self.verify_raw(user, sample).await?.read()
    }

    /// Verifies a face and keeps the answer as it came.
    pub async fn verify_raw(&self, user: &str, sample: &[u8]) -> Result<Reply, BankError> {
        self.post("/api/v1/verify", &verify_body(user, sample))
            .await
    }

    /// Asks for approval of a payment.
    pub async fn approve(
        &self,
        user: &str,
        transaction: &Transaction,
    ) -> Result<PendingApproval, BankError> {
        let body = json!({"user_id": user, "transaction": transaction});
        self.post("/api/v1/approvals", &body).await?.read()
    }

    /// The same under an idempotency key.
    pub async fn approve_once(
        &self,
        user: &str,
        transaction: &Transaction,
        idempotency_key: &str,
    ) -> Result<PendingApproval, BankError> {
        let body = json!({"user_id": user, "transaction": transaction});
        let headers = [("idempotency-key", idempotency_key)];
        self.post_with("/api/v1/approvals", &body, &headers)
            .await?
            .read()
    }

    /// The state of an approval.
    pub async fn approval(&self, id: &str) -> Result<Value, BankError> {
        self.get(&format!("/api/v1/approvals/{id}")).await?.read()
    }

    /// Hands over the customer's assertion over an approval.
    pub async fn approve_verify(
        &self,
        id: &str,
        user: &str,
        assertion: &Value,
    ) -> Result<Approved, BankError> {
        let path = format!("/api/v1/approvals/{id}/verify");
        self.post(&path, &with_user(user, assertion)).await?.read()
    }

    /// A receipt with its evidence.
    pub async fn receipt(&self, id: &str) -> Result<Value, BankError> {
        self.get(&format!("/api/v1/receipts/{id}")).await?.read()
    }

    /// The attestation document over a nonce, with what it binds.
    pub async fn attestation(&self, nonce: &[u8]) -> Result<Value, BankError> {
        let path = format!("/.well-known/attestation?nonce={}", b64u(nonce));
        self.get(&path).await?.read()
    }
}

impl Bank {
    /// What a customer is to do before the camera.
    pub async fn liveness_challenge(&self, user: &str) -> Result<Value, BankError> {
        let body = json!({ "user_id": user });
        self.post("/api/v1/liveness/challenge", &body).await?.read()
    }

    /// The digits that a customer is to read.
    pub async fn spoken_challenge(&self, user: &str) -> Result<Value, BankError> {
        let body = json!({ "user_id": user, "modality": "voice" });
        self.post("/api/v1/liveness/challenge", &body).await?.read()
    }

    /// Verifies a voice that reads them.
    pub async fn verify_spoken(
        &self,
        user: &str,
        challenge: &str,
        recording: &[u8],
    ) -> Result<Value, BankError> {
        let body = spoken_body(user, challenge, recording);
        self.post("/api/v1/verify", &body).await?.read()
    }

    /// Verifies a customer by a picture and such a recording together.
    pub async fn verify_both_spoken(
        &self,
        user: &str,
        face: &[u8],
        (challenge, recording): (&str, &[u8]),
    ) -> Result<Value, BankError> {
        let mut body = spoken_body(user, challenge, recording);
        body["modality"] = json!("multimodal");
        body["biometric_data"] = b64u(face).into();
        self.post("/api/v1/verify", &body).await?.read()
    }

    /// Verifies a customer by frames that answer a challenge.
    pub async fn verify_live(
        &self,
        user: &str,
        challenge: &str,
        frames: &[Vec<u8>],
    ) -> Result<Value, BankError> {
        let body = live(verify_body(user, &[]), challenge, frames);
        self.post("/api/v1/verify", &body).await?.read()
    }

    /// Verifies a customer by such frames and a recording together.
    pub async fn verify_both_live(
        &self,
        user: &str,
        (challenge, frames): (&str, &[Vec<u8>]),
        recording: &[u8],
    ) -> Result<Value, BankError> {
        let body = live(both_body(user, &[], recording), challenge, frames);
        self.post("/api/v1/verify", &body).await?.read()
    }

    /// Both steps of an enrolment by frames that answer a challenge, with consent.
    pub async fn enroll_live(
        &self,
        user: &str,
        challenge: &str,
        frames: &[Vec<u8>],
    ) -> Result<Enrolled, BankError> {
        let enrollment = self.enroll_initiate(user, true).await?;
        let answer = liveness_answer(challenge, frames).to_string();
        self.enroll_submit(&enrollment, answer.as_bytes()).await
    }
}

fn liveness_answer(challenge: &str, frames: &[Vec<u8>]) -> Value {
    let frames: Vec<String> = frames.iter().map(|frame| b64u(frame)).collect();
    json!({ "challenge_id": challenge, "frames": frames })
}

/// The body of `POST /api/v1/verify`.
pub fn verify_body(user: &str, sample: &[u8]) -> Value {
    json!({
        "user_id": user,
        "modality": "facial",
        "biometric_data": b64u(sample),
        "device_info": {"type": "mobile", "device_id": format!("device of {user}")},
        "geolocation": {"lat": 52.52, "lng": 13.405},
        "ip_address": address_of(user),
    })
}

/// The same of a voice that answers a challenge.
pub fn spoken_body(user: &str, challenge: &str, recording: &[u8]) -> Value {
    let mut body = verify_body(user, &[]);
    body["modality"] = json!("voice");
    body["spoken"] = json!({ "challenge_id": challenge, "audio": b64u(recording) });
    if let Some(members) = body.as_object_mut() {
        members.remove("biometric_data");
    }
    body
}

/// The same of a face and a voice.
pub fn both_body(user: &str, face: &[u8], recording: &[u8]) -> Value {
    let mut body = verify_body(user, face);
    body["modality"] = json!("multimodal");
    body["voice_data"] = b64u(recording).into();
    body
}

/// A request with frames in place of its picture.
fn live(mut body: Value, challenge: &str, frames: &[Vec<u8>]) -> Value {
    body["liveness"] = liveness_answer(challenge, frames);
    if let Some(members) = body.as_object_mut() {
        members.remove("biometric_data");
    }
    body
}

/// An address of a customer's own, of those set aside for tests (RFC 2544).
fn address_of(user: &str) -> String {
    let mixed = user.bytes().fold(7_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    let [_, last, third, fourth] = mixed.to_be_bytes();
    format!("198.{}.{third}.{fourth}", 18 + last % 2)
}

/// File fields `biometric_file`, `biometric_file_2`, …; answers the content type and the
/// body.
pub fn multipart(samples: &[&[u8]]) -> (String, Bytes) {
    const BOUNDARY: &str = "redoubt-bank-boundary-5f1e0c8a";
    let mut body = Vec::new();
    for (at, sample) in samples.iter().enumerate() {
        let name = match at {
            0 => "biometric_file".to_owned(),
            _ => format!("biometric_file_{}", at + 1),
        };
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; \
             filename=\"sample\"\r\ncontent-type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(sample);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (
        format!("multipart/form-data; boundary={BOUNDARY}"),
        body.into(),
    )
}
