//! Whose assertion it is, and whether it holds.
//!
//! Protects against another customer's assertion: the credential has to be one
//! that this very account holds, and a user handle, where it names the account,
//! has to be this account's. Neither alone finds anybody.

use std::sync::Arc;

use redoubt_shared::UserId;

use super::passkey_rules::PasskeyRules;
use super::problems::{commit, internal};
use super::serving::Serving;
use crate::api::{AuthenticationResponse, Caller, Problem};
use crate::core::{Subject, TenantState};
use crate::passkeys::{
    self, Assertion, AssertionExpectation, CredentialDescriptor, CredentialRecord, Identification,
    Origins, UserVerification,
};

/// Reason of a model that officers denied, found after the signature.
const DENIED: &str = "aaguid_denied";

/// A customer's passkeys and handle, as the core knows them now.
pub(super) struct Known {
    pub(super) user: UserId,
    pub(super) user_handle: [u8; 16],
    pub(super) passkeys: Vec<CredentialRecord>,
    /// Ids of those that are out of use for good.
    closed: Vec<Vec<u8>>,
    rules: Arc<PasskeyRules>,
    /// Whether the bank named the customer; if not, the user handle has to.
    named: bool,
}

impl Known {
    fn new(state: &TenantState, subject: &Subject, rules: Arc<PasskeyRules>) -> Self {
        let is_closed = |id: &&Vec<u8>| state.device(subject.device_id(id)).state.is_final();
        Self {
            closed: subject.passkeys.keys().filter(is_closed).cloned().collect(),
            user: subject.user.clone(),
            user_handle: subject.user_handle,
            passkeys: subject.passkeys.values().cloned().collect(),
            rules,
            named: true,
        }
    }

    /// What options may name: passkeys that are not out of use for good.
    pub(super) fn usable(&self) -> Vec<CredentialRecord> {
        let all = self.passkeys.iter();
        all.filter(|record| !self.closed.contains(&record.id))
            .cloned()
            .collect()
    }

    /// What login options name. With nothing left to log in with they look as
    /// before, and the login fails.
    pub(super) fn offered(&self) -> Vec<CredentialRecord> {
        let usable = self.usable();
        if usable.is_empty() {
            self.passkeys.clone()
        } else {
            usable
        }
    }
}

/// What the core knows of a customer.
pub(super) async fn known(
    serving: &Serving,
    caller: &Caller,
    user: &UserId,
) -> Result<Option<Known>, Problem> {
    let rules = Arc::clone(&serving.tenant(&caller.tenant)?.rules);
    let (tenant, user) = (caller.tenant.clone(), user.clone());
    serving
        .ledgers
        .look(move |core| {
            let state = &core.tenants.get(&tenant)?.state;
            let (_, subject) = state.subject(&user)?;
            Some(Known::new(state, subject, rules))
        })
        .await
        .map_err(|error| commit(error, 0))
}

/// Whom a login is asked of.
pub(super) enum Asked {
    /// A customer with a passkey at least.
    Customer(Known),
    /// Nobody: made up, so that the reply tells nothing.
    Stranger(Known),
}

impl Asked {
    /// The customer, or who is made up.
    pub(super) fn as_known(&self) -> &Known {
        let (Self::Customer(known) | Self::Stranger(known)) = self;
        known
    }

    /// Nothing that is verified makes a stranger a customer.
    pub(super) fn settle<T>(&self, verified: T) -> Result<T, &'static str> {
        match self {
            Self::Customer(_) => Ok(verified),
            Self::Stranger(_) => Err("user_unknown"),
        }
    }
}

/// The customer that the bank names.
pub(super) async fn asked(
    serving: &Serving,
    caller: &Caller,
    user: &UserId,
) -> Result<Asked, Problem> {
    let service = serving.tenant(&caller.tenant)?;
    // Made up for everybody, so that it takes the same time.
    let imaginary = service.strangers.customer(user);
    let known = known(serving, caller, user).await?;
    if let Some(known) = known.filter(|known| !known.passkeys.is_empty()) {
        return Ok(Asked::Customer(known));
    }
    let (user_handle, record) =
        imaginary.ok_or_else(|| internal("an imaginary customer could not be made"))?;
    Ok(Asked::Stranger(Known {
        user: user.clone(),
        user_handle,
        passkeys: vec![record],
        rules: Arc::clone(&service.rules),
        closed: Vec::new(),
        named: true,
    }))
}

/// The customer that an answer itself names: the account with its user handle,
/// if that very account holds its credential.
pub(super) async fn asked_by_answer(
    serving: &Serving,
    caller: &Caller,
    answer: &AuthenticationResponse,
) -> Result<Asked, Problem> {
    let service = serving.tenant(&caller.tenant)?;
    let rules = Arc::clone(&service.rules);
    let (tenant, id) = (caller.tenant.clone(), answer.raw_id.clone());
    let presented = answer.response.user_handle.as_ref();
    let presented = presented.and_then(|handle| handle.as_slice().try_into().ok());
    // Made up for everybody: it is verified like a customer's.
    let record = service.strangers.credential(id.as_slice());
    let user = "nobody"
        .parse()
        .map_err(|_| internal("no name for nobody"))?;
    let stranger = Known {
        user,
        user_handle: presented.unwrap_or_default(),
        passkeys: vec![record],
        rules: Arc::clone(&rules),
        closed: Vec::new(),
        named: false,
    };
    let found = serving.ledgers.look(move |core| {
        let state = &core.tenants.get(&tenant)?.state;
        let subject = state.account(&presented?, id.as_slice())?;
        Some(Known {
            named: false,
            ..Known::new(state, subject, rules)
        })
    });
    let found = found.await.map_err(|error| commit(error, 0))?;
    Ok(found.map_or(Asked::Stranger(stranger), Asked::Customer))
}

/// Whether an answer that was refused for this reason still owes the time that a
/// signature takes.
pub(super) fn owes_a_check(reason: &str) -> bool {
    reason != DENIED && !passkeys::signature_was_checked(reason)
}

/// Verifies an assertion against one of the customer's own passkeys.
///
/// # Errors
/// The stable reason, for the tenant's audit.
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
    let mut allowed: Vec<&[u8]> = Vec::new();
    if known.named {
        allowed.extend(known.passkeys.iter().map(|record| record.id.as_slice()));
    }
    let user_handle = &known.user_handle;
    let expectation = AssertionExpectation {
        challenge,
        rp_id,
        origins: Origins::Exactly(origins),
        cross_origin: known.rules.cross_origin(),
        user_verification: UserVerification::Required,
        backup: known.rules.backup(),
        sign_count: known.rules.sign_count(),
        allow_credentials: &allowed,
        identification: match known.named {
            true => Identification::Before { user_handle },
            false => Identification::ByUserHandle { user_handle },
        },
        credential: record,
    };
    let assertion = passkeys::assert(response, &expectation).map_err(|error| error.reason())?;
    // Last, so that it takes as long as any other refusal.
    if known.rules.denies(&record.aaguid) {
        return Err(DENIED);
    }
    Ok((record.clone(), assertion))
}

/// As options list them.
pub(super) fn descriptors(passkeys: &[CredentialRecord]) -> Vec<CredentialDescriptor> {
    passkeys
        .iter()
        .map(|record| CredentialDescriptor::new(&record.id, &record.transports))
        .collect()
}
