//! Registration and login: draw a challenge, spend it, verify, record.

use redoubt_shared::UserId;
use serde_json::json;

use super::assertions::{Named, descriptors, owes_a_check, verify_assertion};
use super::boot::Appliance;
use super::challenges::Ceremony;
use super::customers::known;
use super::decoys::{asked, asked_by_answer};
use super::metadata::metadata;
use super::problems::internal;
use super::receipts::to_json;
use super::serving::Serving;
use super::watch::flags;
use crate::api::{
    AuthenticateOptions, Authenticated, Caller, CreationOptions, Hint, Presented, PresentedLogin,
    PrfInput, Problem, RegisterOptions, Registered, RegistrationResponse, RelatedOrigins,
    RequestOptions, Timestamp,
};
use crate::core::{Command, Reply};
use crate::passkeys::{Origins, RegisteredCredential, RpEntity, UserEntity};

impl Appliance {
    pub(super) async fn register_options(
        &self,
        caller: &Caller,
        request: RegisterOptions,
    ) -> Result<CreationOptions, Problem> {
        if request.prf.as_ref().is_some_and(PrfInput::by_credential) {
            let wrong = "prf.evalByCredential: a new passkey has no id yet; use prf.eval.";
            return Err(Problem::malformed_request().detail(wrong));
        }
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let tenant = serving.tenant(&caller.tenant)?;
        let (rp, rules) = (&tenant.config.rp, &tenant.rules);
        let known = known(&serving, caller, &request.user_id).await?;
        let fresh = self.pool.draw::<16>().map_err(|_| internal("no entropy"))?;
        let user_handle = known.as_ref().map_or(fresh, |known| known.user_handle);
        let ceremony = Ceremony::Registration { user_handle };
        let challenge =
            self.open_challenge(&serving, caller, Some(&request.user_id), ceremony, now_ms)?;
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
        let mut options = CreationOptions::passkey(rp, user, &challenge, rules.algorithms());
        rules.ask(&mut options);
        options.hints = hints(&request.hints);
        options.extensions = Some(creation_extensions(request.prf.as_ref()));
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
        let tenant = serving.tenant(&caller.tenant)?;
        let challenge = challenge_of(request.credential.response.client_data_json.as_slice());
        let spent =
            serving
                .challenges
                .spend(&caller.tenant, Some(&request.user_id), &challenge, now_ms);
        let Some(Ceremony::Registration { user_handle }) = spent else {
            return Err(Problem::registration_failed());
        };
        let answer = &request.credential;
        let rp = &tenant.config.rp;
        let metadata = metadata(&serving, &caller.tenant).await?;
        let metadata = metadata.as_deref();
        let registered = tenant
            .rules
            .register(rp, &challenge, answer, metadata, now_ms);
        let registered = registered.and_then(|registered| discoverable(answer, registered));
        let record = registered
            .map_err(|reason| Problem::registration_failed().because(reason))?
            .record;
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
        let user = request.user_id.as_ref();
        let allowed = match user {
            Some(user) => descriptors(&asked(&serving, caller, user).await?.as_known().offered()),
            // The authenticator is to find a passkey by itself.
            None => Vec::new(),
        };
        if user.is_none() && request.prf.as_ref().is_some_and(PrfInput::by_credential) {
            let wrong = "prf.evalByCredential: name the customer by user_id, or use prf.eval.";
            return Err(Problem::malformed_request().detail(wrong));
        }
        let challenge = self.open_challenge(&serving, caller, user, Ceremony::Login, now_ms)?;
        let mut options = RequestOptions::passkey(&rp_id, &challenge, allowed);
        options.timeout = Some(u64::from(self.config.config.policy.challenge_seconds) * 1000);
        options.hints = hints(&request.hints);
        options.extensions = request.prf.as_ref().map(|prf| json!({ "prf": prf }));
        Ok(options)
    }

    pub(super) async fn authenticate_verify(
        &self,
        caller: &Caller,
        request: PresentedLogin,
    ) -> Result<Authenticated, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let tenant = serving.tenant(&caller.tenant)?;
        let user = request.user_id.as_ref();
        let challenge = challenge_of(request.credential.response.client_data_json.as_slice());
        let spent = serving
            .challenges
            .spend(&caller.tenant, user, &challenge, now_ms);
        if spent != Some(Ceremony::Login) {
            return Err(Problem::authentication_failed());
        }
        let answer = &request.credential;
        let (asked, named) = match user {
            Some(user) => (asked(&serving, caller, user).await?, Named::ByTheBank),
            None => (
                asked_by_answer(&serving, caller, answer).await?,
                Named::ByTheAnswer,
            ),
        };
        let origins = &tenant.config.rp.origins;
        let known = asked.as_known();
        let verified = verify_assertion(tenant, origins, &challenge, answer, known, named);
        let verified = verified.and_then(|verified| asked.settle(verified));
        let (user_id, (record, assertion)) = match verified {
            Ok(verified) => verified,
            Err(reason) => {
                if owes_a_check(reason) {
                    tenant.decoys.spend_a_check();
                }
                let refuse = match user.cloned() {
                    Some(user) => Command::RefuseLogin {
                        user,
                        credential_id: answer.raw_id.as_slice().to_vec(),
                        reason,
                    },
                    // What an answer says of itself makes nobody's record longer.
                    None => Command::RefuseUnnamedLogin { reason },
                };
                self.decide(&serving, caller, refuse, now_ms).await?;
                return Err(Problem::authentication_failed());
            }
        };
        let (session_token, session) = self.draw_session(caller)?;
        let command = || Command::ConcludeLogin {
            user: user_id.clone(),
            credential_id: record.id.clone(),
            sign_count: assertion.sign_count,
            backup_state: assertion.backup_state,
            user_verified: assertion.user_verified,
            session: Box::new(session.clone()),
        };
        let decided = self.decide_ruled(&serving, caller, command, now_ms).await;
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
            user_id,
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

    pub(super) fn related_origins(&self, caller: &Caller) -> Result<RelatedOrigins, Problem> {
        let serving = self.serving()?;
        let rp = &serving.tenant(&caller.tenant)?.config.rp;
        let mut origins: Vec<String> = Vec::new();
        for origin in rp.origins.iter().chain(&rp.approval_origins) {
            // What is below the RP ID needs no permission; what is no page cannot use it.
            let own = Origins::BelowRpIdOr(&[]).accept(&rp.id, origin);
            if origin.starts_with("https://") && !own && !origins.contains(origin) {
                origins.push(origin.clone());
            }
        }
        Ok(RelatedOrigins { origins })
    }

    fn open_challenge(
        &self,
        serving: &Serving,
        caller: &Caller,
        user: Option<&UserId>,
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

fn hints(asked: &[Hint]) -> Vec<String> {
    asked.iter().map(|hint| hint.name().to_owned()).collect()
}

/// Whether the key became discoverable is asked in any case.
fn creation_extensions(prf: Option<&PrfInput>) -> serde_json::Value {
    match prf {
        Some(prf) => json!({ "credProps": true, "prf": prf }),
        None => json!({ "credProps": true }),
    }
}

/// A client that says the key is none that could be found without a name is
/// believed; one that says nothing is too (options demand a discoverable one).
fn discoverable(
    answer: &RegistrationResponse,
    registered: RegisteredCredential,
) -> Result<RegisteredCredential, &'static str> {
    match answer.client_extension_results.pointer("/credProps/rk") {
        Some(serde_json::Value::Bool(false)) => Err("credential_not_discoverable"),
        _ => Ok(registered),
    }
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
