//! Whether an assertion holds.
//!
//! Protects against another customer's assertion: the credential has to be one
//! that this very account holds, and a user handle, where it names the account,
//! has to be this account's.

use super::customers::Known;
use super::serving::TenantService;
use crate::api::AuthenticationResponse;
use crate::core::CREDENTIAL_UNKNOWN;
use crate::passkeys::{
    self, Assertion, AssertionExpectation, CredentialDescriptor, CredentialRecord, Identification,
    Origins, UserVerification,
};

/// Reason of a model that officers denied, found after the signature.
const DENIED: &str = "aaguid_denied";

/// Who named the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The bank, before the answer.
    ByTheBank,
    /// The answer itself, by its user handle.
    ByTheAnswer,
}

/// Whether an answer that was refused for this reason still owes the time that a
/// signature takes.
pub(super) fn owes_a_check(reason: &str) -> bool {
    reason != DENIED && !passkeys::signature_was_checked(reason)
}

/// Verifies an assertion against one of the account's own passkeys, on a page of one
/// of these origins.
///
/// # Errors
/// The stable reason, for the tenant's audit.
pub(super) fn verify_assertion(
    tenant: &TenantService,
    origins: &[String],
    challenge: &[u8],
    response: &AuthenticationResponse,
    known: &Known,
    named: Named,
) -> Result<(CredentialRecord, Assertion), &'static str> {
    let id = response.raw_id.as_slice();
    let record = known.passkeys.iter().find(|record| record.id == id);
    let record = record.ok_or(CREDENTIAL_UNKNOWN)?;
    let listed = known.passkeys.iter().map(|record| record.id.as_slice());
    let user_handle = &known.user_handle;
    let (allowed, identification) = match named {
        Named::ByTheBank => (listed.collect(), Identification::Before { user_handle }),
        Named::ByTheAnswer => (Vec::new(), Identification::ByUserHandle { user_handle }),
    };
    let rules = &tenant.rules;
    let expectation = AssertionExpectation {
        challenge,
        rp_id: &tenant.config.rp.id,
        origins: Origins::Exactly(origins),
        cross_origin: rules.cross_origin(),
        user_verification: UserVerification::Required,
        backup: rules.backup(),
        sign_count: rules.sign_count(),
        allow_credentials: &allowed,
        identification,
        credential: record,
    };
    let assertion = passkeys::assert(response, &expectation).map_err(|error| error.reason())?;
    // Last, so that it takes as long as any other refusal.
    if rules.denies(&record.aaguid) {
        return Err(DENIED);
    }
    Ok((record.clone(), assertion))
}

/// As options list them.
pub(super) fn descriptors(passkeys: &[CredentialRecord]) -> Vec<CredentialDescriptor> {
    let all = passkeys.iter();
    all.map(|record| CredentialDescriptor::new(&record.id, &record.transports))
        .collect()
}
