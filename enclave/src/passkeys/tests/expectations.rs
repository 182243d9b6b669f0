//! Expectations of both ceremonies that a test can bend before use.

use super::authenticator::*;
use crate::passkeys::*;

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
