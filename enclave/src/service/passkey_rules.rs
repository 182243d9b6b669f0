//! A tenant's passkey policy as ceremonies need it.
//!
//! Protects against a policy that the officers signed and this enclave reads
//! otherwise: every name becomes a value at boot, or the enclave does not start.
//! User verification, presence and single-use challenges are not policy.

use std::borrow::Cow;

use redoubt_attestation::genesis::{
    ALGORITHMS, AttestationTrust, BackupRule, FORMATS, PasskeyPolicy, RelyingParty, SignCountRule,
    Tenant, aaguid, certificates_der,
};

use super::boot::BootError;
use crate::passkeys::metadata::Condensed;
use crate::passkeys::{
    Algorithm, AttestationFormat, AttestationPolicy, BackupPolicy, CreationOptions, CrossOrigin,
    Origins, RegisteredCredential, RegistrationExpectation, RegistrationResponse, SignCountPolicy,
    TrustAnchors, TrustRoot, UserPresence, UserVerification, register,
};

/// What one tenant's officers decided.
#[derive(Debug)]
pub(super) struct PasskeyRules {
    policy: PasskeyPolicy,
    algorithms: Vec<Algorithm>,
    attestation: AttestationPolicy,
}

impl PasskeyRules {
    /// Of a tenant.
    ///
    /// # Errors
    /// Names tenant and member that this enclave cannot follow.
    pub(super) fn new(tenant: &Tenant) -> Result<Self, BootError> {
        let policy = tenant.passkeys.clone().unwrap_or_default();
        let wrong = |member: &'static str, problem: &str| BootError::Passkeys {
            tenant: tenant.id.to_string(),
            member,
            problem: problem.to_owned(),
        };
        let algorithms = match &policy.algorithms {
            None => Some(Algorithm::DEFAULT.to_vec()),
            Some(names) => names.iter().map(|name| algorithm(name)).collect(),
        };
        let algorithms = algorithms
            .ok_or_else(|| wrong("algorithms", &format!("use {}", ALGORITHMS.join(", "))))?;
        let mut attestation = AttestationPolicy::default();
        if let Some(names) = &policy.formats {
            let read = names
                .iter()
                .map(|name| AttestationFormat::from_identifier(name));
            let formats: Option<Vec<_>> = read.collect();
            attestation.formats =
                formats.ok_or_else(|| wrong("formats", &format!("use {}", FORMATS.join(", "))))?;
        }
        attestation.self_attestation = !policy.refuse_self_attestation;
        let models = |list: &[String]| list.iter().map(|text| aaguid(text)).collect::<Option<_>>();
        attestation.allowed_aaguids = models(&policy.allowed_aaguids)
            .ok_or_else(|| wrong("allowed_aaguids", "one is no AAGUID"))?;
        attestation.denied_aaguids = models(&policy.denied_aaguids)
            .ok_or_else(|| wrong("denied_aaguids", "one is no AAGUID"))?;
        if let AttestationTrust::Roots(roots) = &policy.trust {
            let found = certificates_der(roots);
            let read: Result<Vec<_>, _> =
                found.iter().map(|der| TrustRoot::new(der, None)).collect();
            let read = read.ok().filter(|read| read.len() == roots.len());
            let read = read.ok_or_else(|| wrong("trust", "a root is no certificate in PEM"))?;
            attestation.trust = TrustAnchors::Roots(read);
        }
        Ok(Self {
            policy,
            algorithms,
            attestation,
        })
    }

    /// Algorithms that options offer, most wanted first.
    pub(super) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// What options for a new passkey ask for.
    pub(super) fn ask(&self, options: &mut CreationOptions) {
        options.attestation = self.policy.attestation.name().to_owned();
        options.attestation_formats = self.policy.attestation_formats.clone();
    }

    /// Verifies a registration.
    ///
    /// # Errors
    /// The stable reason, for the operator.
    pub(super) fn register(
        &self,
        rp: &RelyingParty,
        challenge: &[u8],
        response: &RegistrationResponse,
        metadata: Option<&Condensed>,
        now_ms: u64,
    ) -> Result<RegisteredCredential, &'static str> {
        let mut attestation = Cow::Borrowed(&self.attestation);
        if self.policy.trust == AttestationTrust::Metadata {
            let metadata = metadata.ok_or("metadata_missing")?;
            attestation.to_mut().trust = TrustAnchors::Roots(metadata.trust_roots());
        }
        let expectation = RegistrationExpectation {
            challenge,
            rp_id: &rp.id,
            origins: Origins::Exactly(&rp.origins),
            cross_origin: self.cross_origin(),
            user_presence: UserPresence::Required,
            user_verification: UserVerification::Required,
            backup: self.backup(),
            algorithms: &self.algorithms,
            attestation: &attestation,
            // The core refuses a credential id that is taken, in the same batch that would take it.
            is_registered: &|_| false,
            now_ms,
        };
        let registered = register(response, &expectation).map_err(|error| error.reason())?;
        // No format that proves nothing gets here, but the promise is one of its own.
        if self.policy.trust != AttestationTrust::Open && !registered.attestation.trusted {
            return Err("attestation_not_trusted");
        }
        Ok(registered)
    }

    /// Roots of metadata BLOBs, DER; none where officers named none.
    pub(super) fn metadata_roots(&self) -> Option<Vec<Vec<u8>>> {
        let source = self.policy.metadata.as_ref()?;
        Some(certificates_der(&source.roots))
    }

    /// Frames that may hold a ceremony.
    pub(super) fn cross_origin(&self) -> CrossOrigin<'_> {
        match self.policy.cross_origin.as_slice() {
            [] => CrossOrigin::Refuse,
            pages => CrossOrigin::AllowBelow(pages),
        }
    }

    /// What may be copied to other devices.
    pub(super) fn backup(&self) -> BackupPolicy {
        match self.policy.backup {
            BackupRule::Any => BackupPolicy::Any,
            BackupRule::DeviceBoundOnly => BackupPolicy::DeviceBoundOnly,
            BackupRule::NotBackedUp => BackupPolicy::NotBackedUp,
        }
    }

    /// What to do with a counter that did not grow.
    pub(super) fn sign_count(&self) -> SignCountPolicy {
        match self.policy.sign_count {
            SignCountRule::Refuse => SignCountPolicy::Refuse,
            SignCountRule::Report => SignCountPolicy::Report,
        }
    }

    /// Whether a model is denied, for use as for registration: officers who deny it
    /// later mean those that are registered too.
    pub(super) fn denies(&self, aaguid: &[u8; 16]) -> bool {
        self.attestation.denied_aaguids.contains(aaguid)
    }

    /// Whether any model is.
    pub(super) fn denies_any(&self) -> bool {
        !self.attestation.denied_aaguids.is_empty()
    }
}

fn algorithm(name: &str) -> Option<Algorithm> {
    Algorithm::all().find(|algorithm| algorithm.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn officers_may_name_what_there_is_code_for_and_nothing_else() {
        let here: Vec<&str> = Algorithm::all().map(Algorithm::name).collect();
        assert_eq!(here, ALGORITHMS);
        let here: Vec<&str> = AttestationFormat::ALL.iter().map(|f| f.name()).collect();
        assert_eq!(here, FORMATS);
    }
}
