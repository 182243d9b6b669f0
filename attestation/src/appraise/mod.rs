//! From a document and its preimage to "this is my appliance, now, here".
//!
//! Protects a client, an officer or an enclave against documents that are
//! genuine but not what they are taken for. The policy is data ([`Appraisal`]);
//! the checks run in a fixed order, each once, each with its own refusal.
//!
//! Not covered: whether the measured program is a good one (the officers said so
//! by listing it), and whether its state was rolled back (see the ledger).

mod policy;
mod refusal;

pub use policy::{
    AGE_MAX_MS, AppraisalPolicy, AppraisalPolicyType, PolicyError, PolicyMark,
    VerifiedAppraisalPolicy,
};
pub use refusal::{CHECKS, Refusal};

use crate::binding::{Binding, NonceInput, Purpose, WorkerBinding, user_data};
use crate::document::{self, Document, Pcrs, Time, VerifiedDocument, verify};
use crate::encode::{Digest32, sha256};
use crate::genesis::{Environment, MeasuredRole, RootKind, Tier, VerifiedGenesis};

/// How far a document's clock may be ahead of ours, in milliseconds.
const CLOCK_SLACK_MS: u64 = 60_000;

/// What is expected of a document.
#[derive(Debug, Clone, Copy)]
pub struct Appraisal<'a> {
    /// The pinned manifest: environment, roots, measurements, counter.
    pub genesis: &'a VerifiedGenesis,
    /// Manifests with a lower counter are superseded.
    pub minimum_counter: u64,
    /// What the document must be for. `Worker` appraises a worker, every other
    /// purpose an enclave.
    pub purpose: Purpose,
    /// What its nonce must be made from.
    pub nonce: NonceInput<'a>,
    /// SubjectPublicKeyInfo of the peer of the TLS session at hand, if there is one.
    pub session_spki: Option<&'a [u8]>,
    /// The model manifest it must have loaded, if that matters.
    pub models: Option<Digest32>,
    /// Our time, Unix milliseconds.
    pub now_ms: u64,
    /// How old the document may be; `None` where the nonce alone proves
    /// freshness or where old documents are wanted.
    pub max_age_ms: Option<u64>,
    /// Whether an enclave in debug mode is accepted.
    pub allow_debug: bool,
}

/// What the preimage of a good document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// An enclave's.
    Enclave(Box<Binding>),
    /// A worker's.
    Worker(WorkerBinding),
}

/// A document that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appraised {
    /// What it says.
    pub document: Document,
    /// SHA-256 of its bytes: a name for these bytes, no identity.
    pub document_sha256: Digest32,
    /// Hardware or emulated: whose root signed, if anybody did.
    pub environment: Environment,
    /// Whether anybody signed it: no where an emulated genesis takes such documents.
    pub signed: bool,
    /// Debug mode, which the policy allowed.
    pub debug: bool,
    /// Tier of the measurement it matched.
    pub tier: Tier,
    /// What it binds.
    pub bound: Bound,
}

impl Appraised {
    /// The enclave's binding, if this is an enclave.
    pub fn enclave(&self) -> Option<&Binding> {
        match &self.bound {
            Bound::Enclave(binding) => Some(binding),
            Bound::Worker(_) => None,
        }
    }

    /// The worker's binding, if this is a worker.
    pub fn worker(&self) -> Option<&WorkerBinding> {
        match &self.bound {
            Bound::Worker(binding) => Some(binding),
            Bound::Enclave(_) => None,
        }
    }
}

/// Appraises a document and the preimage served beside it.
pub fn appraise(
    bytes: &[u8],
    preimage: &[u8],
    appraisal: &Appraisal<'_>,
) -> Result<Appraised, Refusal> {
    // Taken apart completely, so that a new expectation cannot be forgotten here.
    let Appraisal {
        genesis,
        minimum_counter,
        purpose,
        nonce,
        session_spki,
        models,
        now_ms,
        max_age_ms,
        allow_debug,
    } = *appraisal;

    // 1. Somebody the officers trust signed these bytes, and at that time its
    //    certificate was valid; or the officers, under an emulated manifest, named
    //    the documents that nobody signs. Nothing else in it means anything before.
    let VerifiedDocument {
        document,
        root,
        debug,
    } = check_signature(bytes, genesis)?;

    // 2. Emulated evidence proves nothing about hardware. The manifest's own
    //    validation refuses such roots already; this holds even if that breaks.
    let environment = check_environment(root, genesis)?;

    // 3. In debug mode the host reads the enclave's memory.
    if debug && !allow_debug {
        return Err(Refusal::Debug);
    }

    // 4. The officers allowed this program.
    let tier = check_measurements(&document.pcrs, role_of(purpose), genesis)?;

    // 5. Made for us, in this session: neither replayed nor relayed.
    if document.nonce.as_deref() != Some(&nonce.hash().0[..]) {
        return Err(Refusal::Nonce);
    }

    // 6. From here on the preimage speaks for the document.
    if document.user_data.as_deref() != Some(&user_data(preimage)[..]) {
        return Err(Refusal::UserData);
    }
    let bound = parse_preimage(preimage, purpose)?;

    // 7. and 8. What it is for, and whose it is.
    match &bound {
        Bound::Enclave(binding) => check_enclave(binding, purpose, genesis, minimum_counter)?,
        Bound::Worker(worker) => check_worker(worker, tier)?,
    }
    check_models(&bound, models)?;

    // 9. The attested key is the one on the other end.
    check_keys(&bound, document.public_key.as_deref(), session_spki)?;

    // 10. Leaves outlive the enclaves they speak of; age is a limit of its own.
    if let Some(max_age_ms) = max_age_ms {
        check_age(document.timestamp_ms, now_ms, max_age_ms)?;
    }

    Ok(Appraised {
        document,
        document_sha256: sha256(&[bytes]),
        environment,
        signed: root != RootKind::NitroUnsigned,
        debug,
        tier,
        bound,
    })
}

const fn role_of(purpose: Purpose) -> MeasuredRole {
    match purpose {
        Purpose::Worker => MeasuredRole::Worker,
        Purpose::Serve | Purpose::Unseal | Purpose::Handover | Purpose::Kms => {
            MeasuredRole::Enclave
        }
    }
}

/// Tries the manifest's roots; the refusal is that of the root the document
/// names, or of the first if it names none of them.
fn check_signature(bytes: &[u8], genesis: &VerifiedGenesis) -> Result<VerifiedDocument, Refusal> {
    let mut first = None;
    for root in genesis.roots() {
        match verify(bytes, root, Time::OfDocument) {
            Err(refusal) if is_anothers(&refusal) => {
                first.get_or_insert(refusal);
            }
            result => return Ok(result?),
        }
    }
    // A verified manifest names at least one root, so there is a refusal.
    Err(first.map_or(Refusal::Environment, Refusal::Document))
}

/// Whether a document that this root refuses may still be another root's.
const fn is_anothers(refusal: &document::Refusal) -> bool {
    use document::{DocumentError, Refusal};
    matches!(
        refusal,
        Refusal::RootNotPinned { .. }
            | Refusal::NotUnsigned
            | Refusal::Document(DocumentError::Unsigned)
    )
}

fn check_environment(root: RootKind, genesis: &VerifiedGenesis) -> Result<Environment, Refusal> {
    match (root, genesis.manifest.environment) {
        (RootKind::NitroEmulated | RootKind::NitroUnsigned, Environment::Hardware) => {
            Err(Refusal::Environment)
        }
        (RootKind::NitroEmulated | RootKind::NitroUnsigned, Environment::Emulated) => {
            Ok(Environment::Emulated)
        }
        // Real hardware under an emulated manifest is still only emulated: the
        // manifest would have accepted a forgery as well.
        (RootKind::Nitro, environment) => Ok(environment),
    }
}

fn check_measurements(
    pcrs: &Pcrs,
    role: MeasuredRole,
    genesis: &VerifiedGenesis,
) -> Result<Tier, Refusal> {
    let measured = pcrs.to_hex();
    let allowed = genesis.manifest.measurements.iter().find(|allowed| {
        allowed.role == role
            && allowed
                .pcrs
                .iter()
                .all(|(index, value)| measured.get(index) == Some(value))
    });
    allowed
        .map(|allowed| allowed.tier)
        .ok_or_else(|| Refusal::Measurement {
            role,
            pcr0: measured.get(&0).cloned().unwrap_or_default(),
        })
}

fn parse_preimage(preimage: &[u8], purpose: Purpose) -> Result<Bound, Refusal> {
    match role_of(purpose) {
        MeasuredRole::Enclave => Binding::parse(preimage).map(Box::new).map(Bound::Enclave),
        MeasuredRole::Worker => WorkerBinding::parse(preimage).map(Bound::Worker),
    }
    .map_err(Refusal::Preimage)
}

fn check_enclave(
    binding: &Binding,
    wanted: Purpose,
    genesis: &VerifiedGenesis,
    minimum_counter: u64,
) -> Result<(), Refusal> {
    // 7. A document for receiving shares must not pass for one that serves.
    if binding.purpose != wanted {
        return Err(Refusal::Purpose {
            found: binding.purpose.name(),
            wanted: wanted.name(),
        });
    }
    // 8. A genuine image that somebody else's officers unsealed is not ours.
    if binding.genesis != genesis.digest {
        return Err(Refusal::OtherGenesis {
            found: binding.genesis,
        });
    }
    let minimum = minimum_counter.max(genesis.manifest.counter);
    if binding.genesis_counter < minimum || genesis.manifest.counter < minimum {
        return Err(Refusal::Counter {
            found: binding.genesis_counter.min(genesis.manifest.counter),
            minimum,
        });
    }
    Ok(())
}

/// A worker has no genesis of its own; what it may claim is its tier, and that
/// is the manifest's to grant.
fn check_worker(worker: &WorkerBinding, allowed: Tier) -> Result<(), Refusal> {
    if worker.tier != allowed {
        return Err(Refusal::Tier {
            said: worker.tier,
            allowed,
        });
    }
    Ok(())
}

fn check_models(bound: &Bound, wanted: Option<Digest32>) -> Result<(), Refusal> {
    let found = match bound {
        Bound::Enclave(binding) => binding.models,
        Bound::Worker(worker) => worker.models,
    };
    match wanted {
        Some(wanted) if wanted != found => Err(Refusal::Models { found }),
        _ => Ok(()),
    }
}

fn check_keys(
    bound: &Bound,
    public_key: Option<&[u8]>,
    session_spki: Option<&[u8]>,
) -> Result<(), Refusal> {
    let (expected, tls_spki) = match bound {
        Bound::Enclave(binding) => (binding.public_key(), &binding.boot_keys.tls_spki),
        Bound::Worker(worker) => (worker.tls_spki.clone(), &worker.tls_spki),
    };
    if public_key != Some(&expected[..]) {
        return Err(Refusal::PublicKey);
    }
    match session_spki {
        Some(spki) if spki != tls_spki => Err(Refusal::SessionKey),
        _ => Ok(()),
    }
}

fn check_age(timestamp_ms: u64, now_ms: u64, max_age_ms: u64) -> Result<(), Refusal> {
    let age_ms = now_ms.saturating_sub(timestamp_ms);
    if age_ms > max_age_ms {
        return Err(Refusal::TooOld { age_ms, max_age_ms });
    }
    let ahead_ms = timestamp_ms.saturating_sub(now_ms);
    if ahead_ms > CLOCK_SLACK_MS {
        return Err(Refusal::FromTheFuture { ahead_ms });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
