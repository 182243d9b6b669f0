//! Registration and login: draw a challenge, spend it, verify, record.

use redoubt_attestation::genesis::RelyingParty;
use redoubt_shared::UserId;

use super::boot::Appliance;
use super::challenges::Ceremony;
use super::customers::{Known, known};
use super::decoys::asked;
use super::problems::internal;
use super::receipts::to_json;
use super::serving::Serving;
use super::watch::flags;
use crate::api::{
    AuthenticateOptions, Authenticated, AuthenticationResponse, Caller, CreationOptions, Presented,
    Problem, RegisterOptions, Registered, RegistrationResponse, RequestOptions, Timestamp,
};
use crate::core::{Command, Reply};
use crate::passkeys::{
    self, Algorithm, Assertion, AssertionExpectation, AttestationPolicy, BackupPolicy,
    CredentialDescriptor, CredentialRecord, CrossOrigin, Identification, Origins,
    RegistrationExpectation, RpEntity, SignCountPolicy, UserEntity, UserPresence, UserVerification,
};

impl Appliance {
    pub(super) async fn register_options(
        &self,
        caller: &Caller,
        request: RegisterOptions,
    ) -> Result<CreationOptions, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let rp = &serving.tenant(&caller.tenant)?.config.rp;
        let known = known(&serving, caller, &request.user_id).await?;
        let fresh = self.pool.draw::<16>().map_err(|_| internal("no entropy"))?;
        let user_handle = known.as_ref().map_or(fresh, |known| known.user_handle);
        let ceremony = Ceremony::Registration { user_handle };
        let challenge =
            self.open_challenge(&serving, caller, &request.user_id, ceremony, now_ms)?;
        let name = request
            .user_name
            .as_ref()
            .map_or(request.user_id.as_str(), |name| name.as_str());
        let user = UserEntity {
            id: user_handle[..].into(),
            name: name.to_owned(),
            display_name: request
                .display_name
                .as_ref()
                .map_or(name, |text| text.as_str())
                .to_owned(),
        };
        let rp = RpEntity {
            id: rp.id.clone(),
            name: rp.name.clone(),
        };
        let mut options = CreationOptions::passkey(rp, user, &challenge, Algorithm::DEFAULT);
        options.timeout = Some(u64::from(self.config.config.policy.challenge_seconds) * 1000);
        options.exclude_credentials =
            descriptors(&known.map_or(Vec::new(), |known| known.usable()));
        Ok(options)
    }

    pub(super) async fn register_verify(
        &self,
        caller: &Caller,
        request: Presented<RegistrationResponse>,
    ) -> Result<Registered, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let rp = serving.tenant(&caller.tenant)?.config.rp.clone();
        let challenge = challenge_of(request.credential.response.client_data_json.as_slice());
        let spent = serving
            .challenges
            .spend(&caller.tenant, &request.user_id, &challenge, now_ms);
        let Some(Ceremony::Registration { user_handle }) = spent else {
            return Err(Problem::registration_failed());
        };
        let registered = verify_registration(&rp, &challenge, &request.credential, now_ms)?;
        let record = registered.record;
        let (id, aaguid) = (record.id.clone(), record.aaguid);
        let format = record.attestation_format.name().to_owned();
        let user = request.user_id.clone();
        let command = Command::RegisterPasskey {
            user,
            user_handle,
            record: Box::new(record),
        };
        let (reply, claim) = self.decide(&serving, caller, command, now_ms).await?;
        let (Reply::Device(device_id), Some(claim)) = (reply, claim) else {
            return Err(internal("a registration without a device or a claim"));
        };
        Ok(Registered {
            verified: true,
            device_id,
            credential_id: id.into(),
            user_id: request.user_id,
            attestation_format: format,
            aaguid: hex::encode(aaguid),
            receipt: to_json(&claim.receipt())?,
        })
    }

    pub(super) async fn authenticate_options(
        &self,
        caller: &Caller,
        request: AuthenticateOptions,
    ) -> Result<RequestOptions, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let rp_id = serving.tenant(&caller.tenant)?.config.rp.id.clone();
        let asked = asked(&serving, caller, &request.user_id).await?;
        let challenge =
            self.open_challenge(&serving, caller, &request.user_id, Ceremony::Login, now_ms)?;
        let allowed = descriptors(&asked.as_known().offered());
        let mut options = RequestOptions::passkey(&rp_id, &challenge, allowed);
        options.timeout = Some(u64::from(self.config.config.policy.challenge_seconds) * 1000);
        Ok(options)
    }

    pub(super) async fn authenticate_verify(
        &self,
        caller: &Caller,
        request: Presented<AuthenticationResponse>,
    ) -> Result<Authenticated, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let rp = &serving.tenant(&caller.tenant)?.config.rp;
        let user = request.user_id.clone();
        let challenge = challenge_of(request.credential.response.client_data_json.as_slice());
        let spent = serving
            .challenges
            .spend(&caller.tenant, &user, &challenge, now_ms);
        if spent != Some(Ceremony::Login) {
            return Err(Problem::authentication_failed());
        }
        let asked = asked(&serving, caller, &user).await?;
        let answer = &request.credential;
        let verified = verify_assertion(&rp.id, &rp.origins, &challenge, answer, asked.as_known());
        let (record, assertion) = match verified.and_then(|verified| asked.settle(verified)) {
            Ok(verified) => verified,
            Err(reason) => {
                if !passkeys::signature_was_checked(reason) {
                    serving.tenant(&caller.tenant)?.decoys.spend_a_check();
                }
                self.decide(
                    &serving,
                    caller,
                    Command::RefuseLogin {
                        user,
                        credential_id: request.credential.raw_id.as_slice().to_vec(),
                        reason,
                    },
                    now_ms,
                )
                .await?;
                return Err(Problem::authentication_failed());
            }
        };
        let (session_token, session) = self.draw_session(caller)?;
        let command = Command::ConcludeLogin {
            user,
            credential_id: record.id.clone(),
            sign_count: assertion.sign_count,
            backup_state: assertion.backup_state,
            user_verified: assertion.user_verified,
            session: Box::new(session),
        };
        let decided = self.decide(&serving, caller, command, now_ms).await;
        let (reply, claim) = decided.map_err(|problem| match problem.is(Problem::no_passkey) {
            // Erased since the assertion was verified: nobody's name any more.
            true => Problem::authentication_failed(),
            false => problem,
        })?;
        let (session, risk, claim) = match (reply, claim) {
            (Reply::Session { session, risk }, Some(claim)) => (session, risk, claim),
            (Reply::Refused, _) => return Err(Problem::authentication_failed()),
            _ => return Err(internal("a login without a session or a claim")),
        };
        Ok(Authenticated {
            verified: true,
            user_id: request.user_id,
            credential_id: record.id.into(),
            session_token,
            expires_at: Timestamp(session.expires_ms),
            idle_seconds: session.idle_ms / 1000,
            session_id: session.id,
            device_id: session.device,
            security_flags: flags(&risk),
            receipt: to_json(&claim.receipt())?,
        })
    }

    fn open_challenge(
        &self,
        serving: &Serving,
        caller: &Caller,
        user: &UserId,
        ceremony: Ceremony,
        now_ms: u64,
    ) -> Result<[u8; 32], Problem> {
        let challenge = self.pool.draw().map_err(|_| internal("no entropy"))?;
        let lifetime_ms = u64::from(self.config.config.policy.challenge_seconds) * 1000;
        let expires_ms = now_ms.saturating_add(lifetime_ms);
        let opened = serving.challenges.open(
            &caller.tenant,
            user,
            ceremony,
            challenge,
            now_ms,
            expires_ms,
        );
        if opened {
            Ok(challenge)
        } else {
            Err(Problem::too_many_requests())
        }
    }
}

fn verify_registration(
    rp: &RelyingParty,
    challenge: &[u8],
    response: &RegistrationResponse,
    now_ms: u64,
) -> Result<passkeys::RegisteredCredential, Problem> {
    let attestation = AttestationPolicy::default();
    let expectation = RegistrationExpectation {
        challenge,
        rp_id: &rp.id,
        origins: Origins::Exactly(&rp.origins),
        cross_origin: CrossOrigin::Refuse,
        user_presence: UserPresence::Required,
        user_verification: UserVerification::Required,
        backup: BackupPolicy::Any,
        algorithms: Algorithm::DEFAULT,
        attestation: &attestation,
        // The core refuses a credential id that is taken, in the same batch that would take it.
        is_registered: &|_| false,
        now_ms,
    };
    passkeys::register(response, &expectation)
        .map_err(|error| Problem::registration_failed().because(error.reason()))
}

/// Verifies an assertion against one of the customer's own passkeys.
pub(super) fn verify_assertion(
    rp_id: &str,
    origins: &[String],
    challenge: &[u8],
    response: &AuthenticationResponse,
    known: &Known,
) -> Result<(CredentialRecord, Assertion), &'static str> {
    let id = response.raw_id.as_slice();
    let record = known
        .passkeys
        .iter()
        .find(|record| record.id == id)
        .ok_or("credential_unknown")?;
    let allowed: Vec<&[u8]> = known
        .passkeys
        .iter()
        .map(|record| record.id.as_slice())
        .collect();
    let expectation = AssertionExpectation {
        challenge,
        rp_id,
        origins: Origins::Exactly(origins),
        cross_origin: CrossOrigin::Refuse,
        user_verification: UserVerification::Required,
        backup: BackupPolicy::Any,
        sign_count: SignCountPolicy::Refuse,
        allow_credentials: &allowed,
        identification: Identification::Before {
            user_handle: &known.user_handle,
        },
        credential: record,
    };
    let assertion = passkeys::assert(response, &expectation).map_err(|error| error.reason())?;
    Ok((record.clone(), assertion))
}

fn descriptors(passkeys: &[CredentialRecord]) -> Vec<CredentialDescriptor> {
    passkeys
        .iter()
        .map(|record| CredentialDescriptor::new(&record.id, &record.transports))
        .collect()
}

/// The challenge a response answers, to look it up by; verification compares it again.
fn challenge_of(client_data_json: &[u8]) -> Vec<u8> {
    #[derive(serde::Deserialize)]
    struct Named {
        challenge: String,
    }
    serde_json::from_slice::<Named>(client_data_json)
        .ok()
        .and_then(|named| redoubt_attestation::encode::from_b64u(&named.challenge).ok())
        .unwrap_or_default()
}
