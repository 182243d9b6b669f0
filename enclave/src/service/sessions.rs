//! Sessions: opened with a login, asked about often, ended at once.
//!
//! Protects against a token that outlives its use. Whether a session is open is
//! read from the ledger's state each time; only when it was last asked about is
//! kept in memory (`idle`).

use std::sync::Arc;

use redoubt_attestation::encode::{b64u, sha256};
use redoubt_attestation::sign::jws::Protected;
use redoubt_shared::{SessionId, UserId};
use serde_json::{Value, json};

use super::boot::Appliance;
use super::passkey_rules::PasskeyRules;
use super::problems::{commit, internal};
use super::receipts::to_json;
use super::serving::Serving;
use crate::api::{
    Caller, Confirmation, Introspected, Introspection, IntrospectionForm, JwkSet, Problem,
    SessionClaims, SessionScope, SessionToken, SessionsEnded,
};
use crate::core::{Command, DeviceState, OpenSession, Refusal, Reply, Session, TenantState};
use crate::ledger::CommitError;

/// Longest life of a signed introspection, in seconds.
const SIGNED_SECONDS: u64 = 60;
/// `typ` of the session for services behind the gateway.
const HYBRID_TYP: &str = "redoubt-session+jws";
/// `typ` of RFC 9701 §5.
const JWT_TYP: &str = "token-introspection+jwt";

/// A session that is open as far as the ledger knows.
struct Open {
    session: Arc<Session>,
    user: UserId,
    face_ms: Option<u64>,
}

fn hash_of(token: &SessionToken) -> [u8; 32] {
    sha256(&[token.expose().as_bytes()]).0
}

impl Appliance {
    /// A fresh token, and the session that a login opens under it.
    pub(super) fn draw_session(
        &self,
        caller: &Caller,
    ) -> Result<(SessionToken, OpenSession), Problem> {
        let no_entropy = |_| internal("no entropy");
        let token = SessionToken::new(b64u(&self.pool.draw::<32>().map_err(no_entropy)?));
        let (idle_ms, absolute_ms) = self.session_limits();
        let session = OpenSession {
            id: SessionId::from_bytes(self.pool.draw().map_err(no_entropy)?),
            hash: hash_of(&token),
            client: caller.leaf_sha256,
            idle_ms,
            absolute_ms,
        };
        Ok((token, session))
    }

    /// Idle and absolute limit of the policy in force, in milliseconds.
    fn session_limits(&self) -> (u64, u64) {
        let policy = &self.config.config.policy;
        let (idle, absolute) = (policy.session_idle(), policy.session_absolute());
        (u64::from(idle) * 1000, u64::from(absolute) * 60_000)
    }

    pub(super) async fn introspect(
        &self,
        caller: &Caller,
        token: &SessionToken,
        form: IntrospectionForm,
    ) -> Result<Introspected, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let claims = self.session_of(&serving, caller, token, now_ms).await?;
        match (form, claims) {
            (IntrospectionForm::Jwt, claims) => {
                self.signed_introspection(&serving, caller, claims, now_ms)
            }
            (IntrospectionForm::Hybrid, Some((session, idle_ms))) => {
                self.hybrid(&serving, caller, session, idle_ms, now_ms)
            }
            (_, claims) => Ok(Introspected::Json(introspection(claims))),
        }
    }

    /// The token's session with its idle limit in milliseconds, if it is open for
    /// this caller; it counts as used.
    async fn session_of(
        &self,
        serving: &Serving,
        caller: &Caller,
        token: &SessionToken,
        now_ms: u64,
    ) -> Result<Option<(SessionClaims, u64)>, Problem> {
        let (tenant, client, hash) = (caller.tenant.clone(), caller.leaf_sha256, hash_of(token));
        let rules = Arc::clone(&serving.tenant(&tenant)?.rules);
        let found = serving.ledgers.look(move |core| {
            let state = &core.tenants.get(&tenant)?.state;
            open(state, &rules, &hash, &client, now_ms)
        });
        let found = found.await.map_err(|error| commit(error, now_ms))?;
        let Some(open) = found else {
            return Ok(None);
        };
        // A stricter policy than that of the login counts from now on.
        let session = &open.session;
        let (idle_ms, absolute_ms) = self.session_limits();
        let longest_ms = session.opened_ms.saturating_add(absolute_ms);
        let end_ms = session.expires_ms.min(longest_ms);
        let idle_ms = session.idle_ms.min(idle_ms);
        let in_time = now_ms / 1000 < end_ms / 1000
            && serving.idle.touch(hash, session.opened_ms, idle_ms, now_ms);
        Ok(in_time.then(|| (self.claims(caller, &open, end_ms), idle_ms)))
    }

    fn claims(&self, caller: &Caller, open: &Open, end_ms: u64) -> SessionClaims {
        let session = &open.session;
        let assurance = session.assurance();
        SessionClaims {
            iss: self.issuer(),
            sub: open.user.clone(),
            aud: caller.tenant.to_string(),
            auth_time: session.opened_ms / 1000,
            exp: end_ms / 1000,
            sid: session.id,
            device_id: session.device,
            acr: assurance.acr,
            amr: assurance.amr,
            face_matched_at: open.face_ms.map(|at_ms| at_ms / 1000),
            cnf: Confirmation {
                x5t_s256: b64u(&session.client),
            },
            policy: self.config.policy_digest.to_string(),
        }
    }

    fn issuer(&self) -> String {
        let names = &self.config.config.server_names;
        format!("https://{}", names.first().map_or("", String::as_str))
    }

    /// RFC 9701: the introspection in a JWT for whoever asked. Compact serialization
    /// has room for one signature, so ES256.
    fn signed_introspection(
        &self,
        serving: &Serving,
        caller: &Caller,
        claims: Option<(SessionClaims, u64)>,
        now_ms: u64,
    ) -> Result<Introspected, Problem> {
        let payload = json!({
            "iss": self.issuer(),
            "aud": caller.tenant.as_str(),
            "iat": now_ms / 1000,
            "token_introspection": to_json(&introspection(claims))?,
        })
        .to_string();
        let signer = &serving.tenant(&caller.tenant)?.signer;
        let header = Protected::new("ES256", &signer.jwks().0.kid(), Some(JWT_TYP));
        let signed = header
            .sign(payload.as_bytes(), |input| {
                Ok(signer.sign_es256(input)?.to_vec())
            })
            .map_err(|_| internal("an introspection could not be signed"))?;
        let payload = b64u(payload.as_bytes());
        let jwt = format!("{}.{payload}.{}", signed.protected, signed.signature);
        Ok(Introspected::Jwt(jwt))
    }

    /// The session for services behind the gateway, under ES256 and ML-DSA-65.
    fn hybrid(
        &self,
        serving: &Serving,
        caller: &Caller,
        session: SessionClaims,
        idle_ms: u64,
        now_ms: u64,
    ) -> Result<Introspected, Problem> {
        let now = now_ms / 1000;
        let lives = SIGNED_SECONDS.min(idle_ms / 1000);
        let jti: [u8; 16] = self.pool.draw().map_err(|_| internal("no entropy"))?;
        let exp = session.exp.min(now.saturating_add(lives));
        let mut payload = to_json(&session)?;
        payload["iat"] = now.into();
        payload["exp"] = exp.into();
        payload["jti"] = hex::encode(jti).into();
        let payload = payload.to_string();
        let signer = &serving.tenant(&caller.tenant)?.signer;
        let signatures = signer
            .sign_jws(payload.as_bytes(), HYBRID_TYP)
            .map_err(|_| internal("a session could not be signed"))?;
        let payload = b64u(payload.as_bytes());
        let jws = json!({ "payload": payload, "signatures": to_json(&signatures)? });
        Ok(Introspected::Hybrid(jws))
    }

    pub(super) fn jwks(&self, caller: &Caller) -> Result<JwkSet, Problem> {
        let serving = self.serving()?;
        let (es256, mldsa65) = serving.tenant(&caller.tenant)?.signer.jwks();
        let key = |jwk: Value, kid: String, alg: &str| {
            let mut jwk = jwk;
            jwk["kid"] = kid.into();
            jwk["alg"] = alg.into();
            jwk["use"] = "sig".into();
            jwk
        };
        let keys = vec![
            key(to_json(es256)?, es256.kid(), "ES256"),
            key(to_json(mldsa65)?, mldsa65.kid(), "ML-DSA-65"),
        ];
        Ok(JwkSet { keys })
    }

    /// RFC 7009: a token that names no session of this bank is as good as revoked. Any
    /// client of the bank may end it: the one it is bound to may be gone.
    pub(super) async fn revoke_token(
        &self,
        caller: &Caller,
        token: &SessionToken,
    ) -> Result<SessionsEnded, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let command = Command::EndSession {
            hash: hash_of(token),
        };
        let outcome = serving.ledgers.decide(&caller.tenant, command).await;
        let outcome = match outcome {
            Err(CommitError::Refused(Refusal::UnknownSession)) => {
                let (ended, receipt) = (0, None);
                return Ok(SessionsEnded { ended, receipt });
            }
            outcome => outcome.map_err(|error| commit(error, now_ms))?,
        };
        let claim = outcome.claim.ok_or_else(|| internal("no claim"))?;
        let receipt = Some(to_json(&claim.receipt())?);
        Ok(SessionsEnded { ended: 1, receipt })
    }

    pub(super) async fn end_sessions(
        &self,
        caller: &Caller,
        scope: SessionScope,
    ) -> Result<SessionsEnded, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let command = match scope {
            SessionScope::Tenant => Command::EndAllSessions,
            SessionScope::User(user) => Command::EndSessions { user, device: None },
            SessionScope::Device(user, device) => Command::EndSessions {
                user,
                device: Some(device),
            },
        };
        let (reply, claim) = self.decide(&serving, caller, command, now_ms).await?;
        let (Reply::Ended(ended), Some(claim)) = (reply, claim) else {
            return Err(internal("sessions ended without a count or a claim"));
        };
        let receipt = Some(to_json(&claim.receipt())?);
        Ok(SessionsEnded { ended, receipt })
    }
}

/// The session as the ledger has it, if it is this client's and its device may be used.
fn open(
    state: &TenantState,
    rules: &PasskeyRules,
    hash: &[u8; 32],
    client: &[u8; 32],
    now_ms: u64,
) -> Option<Open> {
    let session = state.sessions.get(hash)?;
    let subject = state.subjects.get(&session.subject)?;
    let usable = state.standing(subject, session.device) == DeviceState::Active;
    let denied = || {
        let record = subject.credential_of(session.device);
        record.is_none_or(|record| rules.denies(&record.aaguid))
    };
    let usable = usable && !(rules.denies_any() && denied());
    (session.client == *client && usable).then(|| Open {
        session: Arc::clone(session),
        user: subject.user.clone(),
        face_ms: state.face_matched(&session.subject, now_ms),
    })
}

fn introspection(claims: Option<(SessionClaims, u64)>) -> Introspection {
    let session = claims.map(|(session, _)| session);
    Introspection {
        active: session.is_some(),
        session,
    }
}
