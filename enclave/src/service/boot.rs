//! From start to waiting for the officers: measure, read what they signed, make keys.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use redoubt_attestation::attester::{Attester, AttesterError};
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::entropy::EntropyError;
use redoubt_attestation::genesis::{
    Config, Genesis, GenesisError, LivenessMode, MeasuredRole, Policy, VerifiedConfig,
    VerifiedGenesis,
};
use redoubt_shared::Endpoint;
use redoubt_shared::supervise::Phase;

use super::clock::{self, Clock};
use super::passkey_rules::PasskeyRules;
use super::serving::Serving;
use super::unseal::Shares;
use crate::api::{Anchor, ApplianceRole, Grants, RoleMapping, Trust, TrustError};
use crate::biometrics::Space;
use crate::keys::{BootKeySet, CertificateError, Pool};
use crate::ledger::{StoreClient, StoreError, newest_snapshot};
use crate::peers::Peers;
use crate::rego::Evaluators;
use crate::worker_link::Counts;
use crate::worker_link::manifest::Manifest;

/// What `main` chose.
pub struct BootConfig {
    /// Signs documents, gives entropy and time.
    pub attester: Arc<dyn Attester>,
    /// The ledger store.
    pub store: Endpoint,
    /// The worker relay.
    pub worker: Endpoint,
    /// The relay to witnesses and custodians.
    pub peers: Option<Endpoint>,
    /// Bytes of entries after which a snapshot is written.
    pub snapshot_bytes: u64,
    /// The program that rules on tenants' policy.
    pub policy_program: std::path::PathBuf,
}

/// The enclave cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// No documents, entropy or time.
    #[error("attester: {0}")]
    Attester(#[from] AttesterError),
    /// No entropy.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The host gave no genesis or configuration.
    #[error("boot files: {0}")]
    Store(#[from] StoreError),
    /// What it gave is not what officers signed.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// This image runs elsewhere than the manifest says.
    #[error(
        "this enclave runs in the {actual} environment; the genesis manifest is for {expected}"
    )]
    Environment {
        /// Here.
        actual: &'static str,
        /// In the manifest.
        expected: &'static str,
    },
    /// The officers did not allow this image.
    #[error("this enclave measures PCR0 {pcr0}, which the genesis manifest does not allow")]
    Measurement {
        /// Of this image.
        pcr0: String,
    },
    /// The policy asks for more than a model was measured for.
    #[error(
        "policy.{member} is {per_million}, stricter than the calibration table of {model} goes; raise it or extend the table"
    )]
    Calibration {
        /// Of the policy.
        member: &'static str,
        /// Which model.
        model: String,
        /// In the policy.
        per_million: u32,
    },
    /// The policy requires live faces, and no model tells them.
    #[error(
        "policy.passive_liveness requires a model of role face_liveness, and images/models.toml has none; add one or use another mode"
    )]
    NoLiveness,
    /// The policy challenges customers, and no models follow the answer.
    #[error(
        "policy.active_liveness needs models of the roles face_landmarks, face_eyes and face_pose, and images/models.toml has none; add them or leave it out"
    )]
    NoMoves,
    /// The policy asks customers to read digits, and no models hear which.
    #[error(
        "policy.spoken_digits needs models of the roles speech_spectrogram, speech_embedder and spoken_digits, and one of the role voice_embedder, and images/models.toml has none; add them or leave it out"
    )]
    NoDigits,
    /// The policy asks for second opinions, and lets the two be of different tiers.
    #[error(
        "policy.recompute_one_in needs one tier in policy.accepted_tiers: a receipt names one, and a second worker of another could have seen the sample too"
    )]
    MixedTiers,
    /// A tenant's passkey policy asks for what this enclave does not know.
    #[error("configuration: tenant {tenant}: passkeys.{member}: {problem}")]
    Passkeys {
        /// Whose.
        tenant: String,
        /// Which member.
        member: &'static str,
        /// How to mend it.
        problem: String,
    },
    /// A boot key could not be made.
    #[error("boot keys: {0}")]
    Keys(String),
    /// The bootstrap certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The anchors of the configuration are unusable.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Where the enclave stands. A consuming state machine: each step takes the one
/// before it, and there is no way back.
pub(super) enum Stage {
    /// Collecting shares; the store client waits to be used.
    Awaiting { shares: Shares, store: StoreClient },
    /// Replaying.
    Recovering,
    /// Answering.
    Serving(Arc<Serving>),
    /// Answering what was begun, before the secret goes to another enclave.
    HandingOver,
    /// Over.
    Halted,
}

/// The enclave.
pub struct Appliance {
    pub(super) attester: Arc<dyn Attester>,
    pub(super) pool: Arc<Pool>,
    pub(super) clock: Arc<Clock>,
    pub(super) keys: BootKeySet,
    pub(super) genesis: VerifiedGenesis,
    pub(super) config: VerifiedConfig,
    pub(super) manifest: Manifest,
    pub(super) worker: Endpoint,
    pub(super) peers: Peers,
    pub(super) snapshot_bytes: u64,
    pub(super) store: Endpoint,
    pub(super) stage: Mutex<Stage>,
    pub(super) trust: RwLock<Arc<Trust>>,
    /// Unseal documents issued at this boot.
    pub(super) unseal_documents: Mutex<HashSet<Digest32>>,
    pub(super) counters: Counters,
    pub(super) evaluators: Evaluators,
}

/// Counters the supervisor may see: a fixed list of names.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) documents: AtomicU64,
    pub(super) decisions: AtomicU64,
    pub(super) samples: AtomicU64,
    pub(super) workers: Arc<Counts>,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn list(&self) -> Vec<(&'static str, u64)> {
        let Self {
            documents,
            decisions,
            samples,
            workers,
        } = self;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut list = vec![
            ("attestation_documents", read(documents)),
            ("decisions", read(decisions)),
            ("samples", read(samples)),
        ];
        list.extend(workers.list());
        list
    }
}

impl Appliance {
    /// Boots as far as waiting for shares.
    pub async fn boot(config: BootConfig) -> Result<Arc<Self>, BootError> {
        let attester = config.attester;
        let pool = Arc::new(Pool::seed(&*attester)?);
        let clock = Clock::start(&*attester)?;
        let mut store = StoreClient::new(config.store.clone());
        let (genesis_file, config_file) = store.boot_files().await?;
        let genesis = Genesis::verify(&genesis_file)?;
        let verified = Config::verify(&config_file, &genesis)?;
        check_environment(&*attester, &genesis)?;
        let manifest = Manifest::built_in();
        check_calibration(&manifest, &verified.config.policy)?;
        check_liveness(&manifest, verified.config.policy.liveness().mode)?;
        check_moves(&manifest, verified.config.policy.challenges())?;
        check_digits(&manifest, verified.config.policy.digits())?;
        check_tiers(&verified.config.policy)?;
        for tenant in &verified.config.tenants {
            PasskeyRules::new(tenant)?;
        }
        let keys = BootKeySet::generate(&*pool).map_err(|e| BootError::Keys(e.to_string()))?;
        let now_ms = attester.now_ms()?;
        let bootstrap = keys
            .tls
            .self_signed(&verified.config.server_names, now_ms)?;
        let trust = Trust::new(vec![bootstrap], keys.tls.private(), anchors(&verified)?)?;
        let shares = Shares::new(genesis.manifest.threshold);
        if let Some(root) = newest_snapshot(&mut store).await?
            && root.genesis != genesis.digest.0
        {
            tracing::warn!(
                snapshot = %Digest32(root.genesis), given = %genesis.digest,
                "the newest snapshot was sealed under another genesis manifest"
            );
        }
        let peers = Peers::new(config.peers, &genesis.manifest);
        let appliance = Arc::new(Self {
            attester,
            pool,
            clock,
            keys,
            genesis,
            config: verified,
            manifest,
            worker: config.worker,
            peers,
            snapshot_bytes: config.snapshot_bytes,
            store: config.store,
            stage: Mutex::new(Stage::Awaiting { shares, store }),
            trust: RwLock::new(Arc::new(trust)),
            unseal_documents: Mutex::default(),
            counters: Counters::default(),
            evaluators: Evaluators::new(config.policy_program),
        });
        appliance.clone().keep_time();
        Ok(appliance)
    }

    /// Re-reads the attester's time for as long as the enclave lives.
    fn keep_time(self: Arc<Self>) {
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(clock::REREAD);
                if !self.clock.reread(&*self.attester) {
                    self.halt(&"the attester's time and the monotonic clock disagree");
                    return;
                }
            }
        });
    }

    /// The phase the stage stands for.
    pub(super) fn current_phase(&self) -> Phase {
        match &*self.stage() {
            Stage::Awaiting { .. } => Phase::AwaitingUnseal,
            Stage::Recovering => Phase::Recovering,
            Stage::Serving(_) => Phase::Serving,
            Stage::HandingOver => Phase::HandingOver,
            Stage::Halted => Phase::Halted,
        }
    }

    pub(super) fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Stops for good.
    pub(super) fn halt(&self, reason: &dyn std::fmt::Display) {
        tracing::error!(%reason, "halted");
        *self.stage() = Stage::Halted;
    }
}

/// Emulated evidence only under an emulated genesis, and no image the officers
/// did not allow: clients would find out, but better not to start at all.
fn check_environment(attester: &dyn Attester, genesis: &VerifiedGenesis) -> Result<(), BootError> {
    let (actual, expected) = (attester.environment(), genesis.manifest.environment);
    if actual != expected {
        return Err(BootError::Environment {
            actual: actual.name(),
            expected: expected.name(),
        });
    }
    let pcrs = attester.pcrs()?;
    let measures =
        |index: u8, value: &str| pcrs.get(index).is_some_and(|pcr| hex::encode(pcr) == value);
    let allowed = genesis
        .manifest
        .measurements
        .iter()
        .filter(|m| m.role == MeasuredRole::Enclave)
        .any(|m| m.pcrs.iter().all(|(index, value)| measures(*index, value)));
    if allowed {
        return Ok(());
    }
    let pcr0 = pcrs.get(0).map(hex::encode).unwrap_or_default();
    Err(BootError::Measurement { pcr0 })
}

/// A limit stricter than a model's table was measured for could never be met:
/// every genuine customer would be rejected and locked.
fn check_calibration(manifest: &Manifest, policy: &Policy) -> Result<(), BootError> {
    let face = |space| {
        let limit = policy.face_false_matches_per_million;
        ("face_false_matches_per_million", limit, space)
    };
    let voice = |space| {
        let limit = policy.voice_false_matches();
        ("voice_false_matches_per_million", limit, space)
    };
    let voices = manifest.voice_spaces().iter().map(|one| &one.template);
    let mut all = manifest.spaces().iter().map(face).chain(voices.map(voice));
    let beyond = |(_, limit, space): &(_, u32, &Space)| {
        let rate = f64::from(*limit) / 1e6;
        space.threshold(rate).is_none()
    };
    match all.find(beyond) {
        None => Ok(()),
        Some((member, per_million, space)) => Err(BootError::Calibration {
            member,
            model: space.id.clone(),
            per_million,
        }),
    }
}

fn check_liveness(manifest: &Manifest, mode: LivenessMode) -> Result<(), BootError> {
    match mode == LivenessMode::Require && !manifest.has_liveness() {
        true => Err(BootError::NoLiveness),
        false => Ok(()),
    }
}

/// Whoever challenges needs models that follow the answer.
fn check_moves(manifest: &Manifest, mode: LivenessMode) -> Result<(), BootError> {
    match mode != LivenessMode::Off && !manifest.has_moves() {
        true => Err(BootError::NoMoves),
        false => Ok(()),
    }
}

/// A receipt names the one tier of who saw a sample.
fn check_tiers(policy: &Policy) -> Result<(), BootError> {
    let first = policy.accepted_tiers.first();
    let mixed = policy.accepted_tiers.iter().any(|tier| Some(tier) != first);
    match policy.recompute() > 0 && mixed {
        true => Err(BootError::MixedTiers),
        false => Ok(()),
    }
}

/// Whoever asks for digits needs models that hear them, and whose voice it is.
fn check_digits(manifest: &Manifest, mode: LivenessMode) -> Result<(), BootError> {
    let hears = manifest.has_digits() && !manifest.voice_spaces().is_empty();
    match mode != LivenessMode::Off && !hears {
        true => Err(BootError::NoDigits),
        false => Ok(()),
    }
}

/// The client anchors of the configuration.
pub(super) fn anchors(verified: &VerifiedConfig) -> Result<Vec<Anchor>, BootError> {
    use redoubt_attestation::genesis::{Role as Signed, anchor_der};
    let config = &verified.config;
    let role = |role: Signed| match role {
        Signed::Bank => crate::api::Role::Bank,
        Signed::ReadOnly => crate::api::Role::ReadOnly,
    };
    let certificate =
        |pem: &str| anchor_der(pem).map_err(|problem| BootError::Keys(format!("anchor {problem}")));
    let mut anchors = Vec::new();
    for tenant in &config.tenants {
        let roles = tenant
            .roles
            .iter()
            .map(|mapping| RoleMapping {
                san: mapping.san.clone(),
                role: role(mapping.role),
            })
            .collect();
        let grants = Grants::Tenant {
            tenant: tenant.id.clone(),
            roles,
            default_role: tenant.default_role.map(role),
        };
        anchors.push(Anchor {
            certificate: certificate(&tenant.anchor)?,
            grants,
        });
    }
    for (pem, role) in [
        (&config.anchors.auditor, ApplianceRole::Auditor),
        (&config.anchors.officer, ApplianceRole::Officer),
        (&config.anchors.operator, ApplianceRole::Operator),
    ] {
        anchors.push(Anchor {
            certificate: certificate(pem)?,
            grants: Grants::Appliance(role),
        });
    }
    Ok(anchors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_challenged_without_models_that_follow_moves() {
        let without = include_str!("../../../images/models.toml").replace("face_pose", "another");
        let without = without
            .replace("face_eyes", "another")
            .replace("face_landmarks", "another");
        let (with, without) = (Manifest::built_in(), Manifest::parse(&without).unwrap());
        for mode in [
            LivenessMode::Off,
            LivenessMode::Report,
            LivenessMode::Require,
        ] {
            assert!(check_moves(&with, mode).is_ok());
            let refused = check_moves(&without, mode)
                .err()
                .map(|error| error.to_string());
            assert_eq!(refused.is_some(), mode != LivenessMode::Off);
            assert!(refused.is_none_or(|error| error.starts_with("policy.active_liveness needs")));
        }
    }

    #[test]
    fn nobody_is_asked_for_digits_without_models_that_hear_them() {
        let text = include_str!("../../../images/models.toml");
        let model = |role: &str| {
            format!("[[model]]\nid = \"{role}-made\"\nrole = \"{role}\"\ndimension = 10\n")
        };
        let roles = ["speech_spectrogram", "speech_embedder", "spoken_digits"];
        let without = roles.iter().fold(text.to_owned(), |text, role| {
            text.replace(&format!("role = \"{role}\""), "role = \"another\"")
        });
        let made: String = roles.iter().copied().map(model).collect();
        let with = format!("{without}\n{made}");
        let voiceless = with.replace("role = \"voice_embedder\"", "role = \"another\"");
        let voiceless = voiceless.split("[[multimodal]]").next().unwrap().to_owned() + &made;
        let read = |text: &str| Manifest::parse(text).unwrap();
        let (with, without, voiceless) = (read(&with), read(&without), read(&voiceless));
        for mode in [
            LivenessMode::Off,
            LivenessMode::Report,
            LivenessMode::Require,
        ] {
            assert!(check_digits(&with, mode).is_ok());
            for lacking in [&without, &voiceless] {
                let refused = check_digits(lacking, mode).err().map(|e| e.to_string());
                assert_eq!(refused.is_some(), mode != LivenessMode::Off);
                let named = |error: String| error.starts_with("policy.spoken_digits needs models");
                assert!(refused.is_none_or(named));
            }
        }
    }

    #[test]
    fn second_opinions_are_of_one_tier() {
        let refused = |tiers: &[&str], one_in: u32| {
            let policy: Policy = serde_json::from_value(serde_json::json!({
                "face_false_matches_per_million": 100, "max_failed_attempts": 3,
                "lockout_minutes": 30, "accepted_tiers": tiers, "enrollment_minutes": 30,
                "challenge_seconds": 300, "approval_seconds": 300, "recompute_one_in": one_in,
            }))
            .unwrap();
            check_tiers(&policy).err().map(|error| error.to_string())
        };
        let error = refused(&["process", "enclave"], 5).unwrap();
        assert!(error.starts_with("policy.recompute_one_in needs one tier"));
        assert_eq!(refused(&["process", "enclave"], 0), None);
        assert_eq!(refused(&["enclave"], 5), None);
    }

    #[test]
    fn a_limit_that_no_table_reaches_is_refused_by_its_name() {
        let policy = |face: u32, voice: Option<u32>| -> Policy {
            let mut policy = serde_json::json!({
                "face_false_matches_per_million": face, "max_failed_attempts": 3,
                "lockout_minutes": 30, "accepted_tiers": ["process"], "enrollment_minutes": 30,
                "challenge_seconds": 300, "approval_seconds": 300,
            });
            if let Some(voice) = voice {
                policy["voice_false_matches_per_million"] = voice.into();
            }
            serde_json::from_value(policy).unwrap()
        };
        let manifest = Manifest::built_in();
        let refused = |face, voice| match check_calibration(&manifest, &policy(face, voice)) {
            Ok(()) => None,
            Err(error) => Some(error.to_string()),
        };
        assert_eq!(refused(100, None), None);
        assert_eq!(refused(100, Some(1000)), None);
        let error = refused(100, Some(999)).unwrap();
        assert!(
            error.starts_with("policy.voice_false_matches_per_million is 999, stricter than"),
            "{error}"
        );
        let error = refused(1, None).unwrap();
        assert!(
            error.starts_with("policy.face_false_matches_per_million is 1, stricter than"),
            "{error}"
        );
    }
}
