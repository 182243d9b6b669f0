//! The configuration: server names, tenants and their anchors, policy.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_shared::{LedgerId, TenantId};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use super::{
    DuplicateFaces, GenesisError, Officer, PasskeyPolicy, SignedFile, Tier, VerifiedGenesis,
    require,
};
use crate::amount::{is_currency, ten_thousandths};
use crate::binding::Head;
use crate::encode::{Digest32, as_text, sha256};
use crate::jcs::to_jcs;

const FILE: &str = "configuration";
/// How long a tenant's entries are kept when its configuration does not say: seven years.
pub const RETENTION_DAYS: u32 = 2_557;
/// Idle limit of a session when the policy does not say, and the most it may say
/// (RTS on SCA art. 4(3)(d): five minutes).
pub const SESSION_IDLE_SECONDS: u32 = 300;
/// Absolute limit of a session when the policy does not say, and the most it may
/// say (NIST SP 800-63B: twelve hours at AAL3).
pub const SESSION_ABSOLUTE_MINUTES: u32 = 720;
/// A century: nobody means more.
const RETENTION_MOST: u32 = 36_525;

/// Marks the only configuration format so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigType {
    /// `redoubt/config/v1`
    #[serde(rename = "redoubt/config/v1")]
    V1,
}

/// Trust anchors of roles that are not a bank CA's to grant, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchors {
    /// Auditors' CA.
    pub auditor: String,
    /// Officers' CA.
    pub officer: String,
    /// Operators' CA.
    pub operator: String,
}

/// WebAuthn relying party of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelyingParty {
    /// Relying party id.
    pub id: String,
    /// Name shown to people.
    pub name: String,
    /// Origins that may register and log in.
    pub origins: Vec<String>,
    /// Origins that may approve.
    pub approval_origins: Vec<String>,
}

/// What a tenant's client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything a bank does.
    Bank,
    /// Reading receipts only.
    ReadOnly,
}

/// The role of a leaf that names this subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleMapping {
    /// DNS name or URI in the leaf.
    pub san: String,
    /// Its role.
    pub role: Role,
}

/// One tenant: one anchor, one ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, for people.
    pub name: String,
    /// CA of its clients, PEM.
    pub anchor: String,
    /// Its ledger.
    #[serde(with = "as_text")]
    pub ledger: LedgerId,
    /// WebAuthn relying party.
    pub rp: RelyingParty,
    /// Roles by name in the leaf.
    pub roles: Vec<RoleMapping>,
    /// Role of leaves that no mapping names; `None` refuses them.
    pub default_role: Option<Role>,
    /// Days for which the sealed entries of its ledger are kept. Proofs of what
    /// is kept never need what is not.
    #[serde(default = "retention_days")]
    pub retention_days: u32,
    /// What its officers decide about authenticators; absent: the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkeys: Option<PasskeyPolicy>,
    /// Who signs its own policy, in Rego; absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_signers: Option<PolicySigners>,
    /// Whether customers are looked for who are there under two names; absent: nobody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_faces: Option<DuplicateFaces>,
}

/// Who signs a tenant's own policy, and how many of them each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySigners {
    /// Their ids and keys: ES256, as officers'.
    pub signers: Vec<Officer>,
    /// How many must sign: at least two, so that nobody changes it alone.
    pub threshold: u8,
}

impl PolicySigners {
    fn validate(&self, tenant: &str) -> Result<(), GenesisError> {
        let ids: BTreeSet<_> = self.signers.iter().map(|one| &one.id).collect();
        let count = self.signers.len();
        let twice = |at: usize| {
            let one = &self.signers[at].key;
            self.signers[..at].iter().any(|other| other.key == *one)
        };
        let distinct = ids.len() == count && !(0..count).any(twice);
        require(
            distinct && (2..=count).contains(&self.threshold.into()),
            FILE,
            format!("{tenant}.policy_signers"),
            "name each signer once, each with a key of their own, and a threshold of 2 at least",
        )
    }
}

fn retention_days() -> u32 {
    RETENTION_DAYS
}

/// Settings of decisions. What protects people has bounds that no file can leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// False matches per million comparisons that a face may be accepted at.
    pub face_false_matches_per_million: u32,
    /// Consecutive failures before a lockout.
    pub max_failed_attempts: u32,
    /// How long it lasts.
    pub lockout_minutes: u32,
    /// Worker tiers whose embeddings count.
    pub accepted_tiers: Vec<Tier>,
    /// How long an enrolment stays open.
    pub enrollment_minutes: u32,
    /// How long a login challenge stays open.
    pub challenge_seconds: u32,
    /// How long an approval stays open.
    pub approval_seconds: u32,
    /// Longest time without a question about a session; [`SESSION_IDLE_SECONDS`] if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_idle_seconds: Option<u32>,
    /// Longest life of a session; [`SESSION_ABSOLUTE_MINUTES`] if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_absolute_minutes: Option<u32>,
    /// Amounts by currency (ISO 4217) above which an approval takes two devices of
    /// the same person, as decimal text; any other currency always takes two. Left
    /// out: one device is always enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_device_above: Option<BTreeMap<String, String>>,
    /// Failed comparisons within the time of a lockout, over all customers, that shut
    /// out one device as the bank reports it; 10 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failed_per_device: Option<u32>,
    /// The same of one network address; 100 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failed_per_source: Option<u32>,
    /// The same of a tenant as a whole; no limit if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failed_per_tenant: Option<u32>,
    /// False matches per million comparisons that a voice may be accepted at; 1000 if
    /// left out, beyond which the voices' calibration does not go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice_false_matches_per_million: Option<u32>,
    /// What a look at the face's texture decides; left out: it is told at 90 percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passive_liveness: Option<PassiveLiveness>,
    /// What the answer to a challenge decides: moves of the head and eyes that are asked
    /// for. Left out: nobody is challenged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_liveness: Option<ActiveLiveness>,
    /// Jobs after which a worker's process is replaced by a fresh one; 10 000 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_jobs_max: Option<u32>,
    /// Minutes after which it is; 360 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_minutes_max: Option<u32>,
    /// Of how many samples one is measured by a second worker as well, which must agree.
    /// Left out or 0: none is, and one worker is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recompute_one_in: Option<u32>,
    /// What the answer to another challenge decides: digits that a voice is asked to read.
    /// Left out: nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoken_digits: Option<SpokenDigits>,
}

/// Whether customers are asked to read digits where their voice is verified, and what
/// follows. Enrolments ask for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpokenDigits {
    /// What follows.
    pub mode: LivenessMode,
}

/// Whether customers are challenged before a camera, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActiveLiveness {
    /// What follows.
    pub mode: LivenessMode,
}

/// Whether each face is looked at for being a live person's, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassiveLiveness {
    /// What follows.
    pub mode: LivenessMode,
    /// From which probability on, in percent, a face counts as live.
    pub percent: u32,
}

/// See [`PassiveLiveness`], [`ActiveLiveness`] and [`SpokenDigits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LivenessMode {
    /// Nobody looks, which saves the network's time.
    Off,
    /// The outcome is told and recorded, and decides nothing.
    Report,
    /// A face that does not count as live is neither enrolled nor accepted; nor is a voice
    /// accepted that did not read its digits.
    Require,
}

/// See [`Policy::max_failed_per_device`].
const FAILED_PER_DEVICE: u32 = 10;
/// See [`Policy::max_failed_per_source`].
const FAILED_PER_SOURCE: u32 = 100;
/// See [`Policy::passive_liveness`].
const LIVENESS_PERCENT: u32 = 90;
/// See [`Policy::voice_false_matches_per_million`].
const VOICE_FALSE_MATCHES: u32 = 1000;
/// See [`Policy::worker_jobs_max`].
const WORKER_JOBS: u32 = 10_000;
/// See [`Policy::worker_minutes_max`].
const WORKER_MINUTES: u32 = 360;

impl Policy {
    /// The limits of `second_device_above` in ten-thousandths.
    pub fn second_device_limits(&self) -> Option<BTreeMap<String, u64>> {
        let limits = self.second_device_above.as_ref()?.iter();
        // Validated; what is no amount would need two devices.
        let exact = |(currency, limit): (&String, &String)| {
            (currency.clone(), ten_thousandths(limit).unwrap_or_default())
        };
        Some(limits.map(exact).collect())
    }

    /// SHA-256 over the policy in JCS.
    pub fn digest(&self) -> Digest32 {
        let text = to_jcs(self).expect("32-bit integers and names always have a canonical form");
        sha256(&[text.as_bytes()])
    }

    /// Failed comparisons that shut out one device.
    pub fn failed_per_device(&self) -> u32 {
        self.max_failed_per_device.unwrap_or(FAILED_PER_DEVICE)
    }

    /// Failed comparisons that shut out one address.
    pub fn failed_per_source(&self) -> u32 {
        self.max_failed_per_source.unwrap_or(FAILED_PER_SOURCE)
    }

    /// Failed comparisons that shut out everybody.
    pub fn failed_per_tenant(&self) -> u32 {
        self.max_failed_per_tenant.unwrap_or(u32::MAX)
    }

    /// What the answer to a challenge decides.
    pub fn challenges(&self) -> LivenessMode {
        let mode = self.active_liveness.map(|active| active.mode);
        mode.unwrap_or(LivenessMode::Off)
    }

    /// What the answer to digits that a voice is asked to read decides.
    pub fn digits(&self) -> LivenessMode {
        let mode = self.spoken_digits.map(|spoken| spoken.mode);
        mode.unwrap_or(LivenessMode::Off)
    }

    /// What a look at the face's texture decides.
    pub fn liveness(&self) -> PassiveLiveness {
        let (mode, percent) = (LivenessMode::Report, LIVENESS_PERCENT);
        let default = PassiveLiveness { mode, percent };
        self.passive_liveness.unwrap_or(default)
    }

    /// False matches per million comparisons that a voice may be accepted at.
    pub fn voice_false_matches(&self) -> u32 {
        self.voice_false_matches_per_million
            .unwrap_or(VOICE_FALSE_MATCHES)
    }

    /// Jobs after which a worker is replaced.
    pub fn worker_jobs(&self) -> u32 {
        self.worker_jobs_max.unwrap_or(WORKER_JOBS)
    }

    /// Minutes after which a worker is replaced.
    pub fn worker_minutes(&self) -> u32 {
        self.worker_minutes_max.unwrap_or(WORKER_MINUTES)
    }

    /// Of how many samples one is measured by a second worker as well; 0: none.
    pub fn recompute(&self) -> u32 {
        self.recompute_one_in.unwrap_or(0)
    }

    /// Longest time without a question about a session, in seconds.
    pub fn session_idle(&self) -> u32 {
        self.session_idle_seconds.unwrap_or(SESSION_IDLE_SECONDS)
    }

    /// Longest life of a session, in minutes.
    pub fn session_absolute(&self) -> u32 {
        self.session_absolute_minutes
            .unwrap_or(SESSION_ABSOLUTE_MINUTES)
    }

    fn validate(&self) -> Result<(), GenesisError> {
        let Self {
            face_false_matches_per_million,
            max_failed_attempts,
            lockout_minutes,
            accepted_tiers,
            enrollment_minutes,
            challenge_seconds,
            approval_seconds,
            session_idle_seconds: _,
            session_absolute_minutes: _,
            second_device_above,
            max_failed_per_device: _,
            max_failed_per_source: _,
            max_failed_per_tenant: _,
            passive_liveness: _,
            active_liveness: _,
            spoken_digits: _,
            voice_false_matches_per_million: _,
            worker_jobs_max: _,
            worker_minutes_max: _,
            recompute_one_in: _,
        } = self;
        let (jobs, minutes) = (self.worker_jobs(), self.worker_minutes());
        let recompute = self.recompute();
        let voice = self.voice_false_matches();
        let live = self.liveness().percent;
        let (device, source) = (self.failed_per_device(), self.failed_per_source());
        let tenant = self.failed_per_tenant();
        let (idle, absolute) = (self.session_idle(), self.session_absolute());
        let bounds = [
            (
                "face_false_matches_per_million",
                face_false_matches_per_million,
                1,
                10_000,
            ),
            ("voice_false_matches_per_million", &voice, 1, 10_000),
            // RTS on SCA art. 4: at most five consecutive failures.
            ("max_failed_attempts", max_failed_attempts, 1, 5),
            ("lockout_minutes", lockout_minutes, 1, 10_080),
            ("enrollment_minutes", enrollment_minutes, 1, 1_440),
            ("challenge_seconds", challenge_seconds, 10, 3_600),
            ("approval_seconds", approval_seconds, 10, 3_600),
            ("session_idle_seconds", &idle, 10, SESSION_IDLE_SECONDS),
            (
                "session_absolute_minutes",
                &absolute,
                1,
                SESSION_ABSOLUTE_MINUTES,
            ),
            ("max_failed_per_device", &device, 1, 1_000),
            ("max_failed_per_source", &source, 1, 1_000_000),
            ("max_failed_per_tenant", &tenant, 1, u32::MAX),
            ("passive_liveness.percent", &live, 1, 99),
            ("worker_jobs_max", &jobs, 10, 1_000_000),
            ("worker_minutes_max", &minutes, 1, 10_080),
            ("recompute_one_in", &recompute, 0, 1_000_000),
        ];
        for (name, value, low, high) in bounds {
            require(
                (low..=high).contains(value),
                FILE,
                format!("policy.{name}"),
                format!("use {low} to {high}"),
            )?;
        }
        for (currency, limit) in second_device_above.iter().flatten() {
            require(
                is_currency(currency) && ten_thousandths(limit).is_some(),
                FILE,
                format!("policy.second_device_above.{currency}"),
                "use decimal text under three capital letters, such as \"EUR\": \"1000.00\"",
            )?;
        }
        require(
            !accepted_tiers.is_empty(),
            FILE,
            "policy.accepted_tiers",
            "list at least one tier",
        )
    }
}

/// A ledger that a restore goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OldLedger {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    #[serde(with = "as_text")]
    pub ledger: LedgerId,
}

/// The officers' order to go on after the end of the ledger was lost: names the
/// head that was found and the highest that anybody remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// How often the appliance was restored, this time included.
    pub count: u32,
    /// The appliance's ledger to go on from.
    #[serde(with = "as_text")]
    pub ledger: LedgerId,
    /// Its head on the disk; the enclave must find exactly this one.
    pub found: Head,
    /// The highest head that is known of it.
    pub lost: Head,
    /// The tenants' ledgers to go on from.
    pub tenants: Vec<OldLedger>,
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Always [`ConfigType::V1`].
    #[serde(rename = "type")]
    pub kind: ConfigType,
    /// Digest of the manifest it belongs to.
    pub genesis: Digest32,
    /// Grows with every new configuration.
    pub counter: u64,
    /// Names and addresses in the TLS leaf.
    pub server_names: Vec<String>,
    /// Anchors of auditors, officers, operators.
    pub anchors: Anchors,
    /// Tenants.
    pub tenants: Vec<Tenant>,
    /// The appliance's own ledger.
    #[serde(with = "as_text")]
    pub appliance_ledger: LedgerId,
    /// Settings of decisions.
    pub policy: Policy,
    /// There once the appliance was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
}

/// A configuration that the manifest's officers signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedConfig {
    /// The configuration.
    pub config: Config,
    /// SHA-256 over the payload as received.
    pub digest: Digest32,
    /// Digest of the policy inside.
    pub policy_digest: Digest32,
    /// The envelope, to be served to clients.
    pub envelope: SignedFile,
}

impl Config {
    /// Reads the signed file and checks it against the manifest's officers.
    pub fn verify(bytes: &[u8], genesis: &VerifiedGenesis) -> Result<VerifiedConfig, GenesisError> {
        let envelope = SignedFile::parse(bytes)?;
        let manifest = &genesis.manifest;
        let payload = envelope.verify(&manifest.officers, manifest.threshold.into())?;
        let config: Config = serde_json::from_slice(&payload)
            .map_err(|source| GenesisError::Json { file: FILE, source })?;
        require(
            config.genesis == genesis.digest,
            FILE,
            "genesis",
            format!(
                "it was signed for another manifest; this one has digest {}",
                genesis.digest
            ),
        )?;
        config.validate()?;
        Ok(VerifiedConfig {
            policy_digest: config.policy.digest(),
            digest: envelope.digest()?,
            config,
            envelope,
        })
    }

    /// Checks every member, signed or not yet.
    pub fn validate(&self) -> Result<(), GenesisError> {
        let Self {
            kind: ConfigType::V1,
            genesis: _,
            counter,
            server_names,
            anchors: _,
            tenants,
            appliance_ledger: _,
            policy,
            restore,
        } = self;
        require(*counter > 0, FILE, "counter", "start at 1")?;
        require(
            !server_names.is_empty() && server_names.iter().all(|name| !name.is_empty()),
            FILE,
            "server_names",
            "list the host names or addresses that clients connect to",
        )?;
        require(!tenants.is_empty(), FILE, "tenants", "list at least one")?;
        policy.validate()?;
        self.check_distinct_names()?;
        restore
            .iter()
            .try_for_each(|restore| self.check_restore(restore))?;
        self.check_distinct_anchors()?;
        tenants.iter().enumerate().try_for_each(|(at, tenant)| {
            require(
                (1..=RETENTION_MOST).contains(&tenant.retention_days),
                FILE,
                format!("tenants[{at}].retention_days"),
                format!("use 1 to {RETENTION_MOST}, or leave it out for {RETENTION_DAYS}"),
            )?;
            check_rp(at, &tenant.rp)?;
            let here = format!("tenants[{at}]");
            if let Some(signers) = &tenant.policy_signers {
                signers.validate(&here)?;
            }
            if let Some(duplicates) = &tenant.duplicate_faces {
                duplicates.validate(&here)?;
            }
            match &tenant.passkeys {
                Some(policy) => policy.validate(&here),
                None => Ok(()),
            }
        })
    }

    fn check_distinct_names(&self) -> Result<(), GenesisError> {
        let mut ids = BTreeMap::new();
        let mut ledgers = BTreeMap::from([(self.appliance_ledger, "appliance_ledger".to_owned())]);
        for (at, tenant) in self.tenants.iter().enumerate() {
            let here = format!("tenants[{at}]");
            if let Some(other) = ids.insert(&tenant.id, here.clone()) {
                return Err(GenesisError::field(
                    FILE,
                    format!("{here}.id"),
                    format!("{other} has the same id"),
                ));
            }
            if let Some(other) = ledgers.insert(tenant.ledger, here.clone()) {
                return Err(GenesisError::field(
                    FILE,
                    format!("{here}.ledger"),
                    format!("{other} has the same ledger"),
                ));
            }
        }
        Ok(())
    }

    /// A restored ledger is a new one: what it goes on from keeps its id.
    fn check_restore(&self, restore: &Restore) -> Result<(), GenesisError> {
        let now = self.tenants.iter().map(|tenant| tenant.ledger);
        let now: Vec<LedgerId> = now.chain([self.appliance_ledger]).collect();
        let old = restore.tenants.iter().map(|old| old.ledger);
        let reused = old.chain([restore.ledger]).any(|old| now.contains(&old));
        require(
            restore.count > 0 && restore.lost.size >= restore.found.size && !reused,
            FILE,
            "restore",
            "count from 1, lost no smaller than found, and a new id for every ledger",
        )
    }

    /// One anchor, one tenant or role: two anchors with one key could not be told apart.
    fn check_distinct_anchors(&self) -> Result<(), GenesisError> {
        let Anchors {
            auditor,
            officer,
            operator,
        } = &self.anchors;
        let mut all = vec![
            ("anchors.auditor".to_owned(), auditor),
            ("anchors.officer".to_owned(), officer),
            ("anchors.operator".to_owned(), operator),
        ];
        for (at, tenant) in self.tenants.iter().enumerate() {
            all.push((format!("tenants[{at}].anchor"), &tenant.anchor));
        }
        let mut seen: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for (field, pem) in all {
            let der = anchor_der(pem)
                .map_err(|problem| GenesisError::field(FILE, field.clone(), problem))?;
            let spki = spki_of(&der)
                .map_err(|problem| GenesisError::field(FILE, field.clone(), problem))?;
            if let Some(other) = seen.insert(spki, field.clone()) {
                return Err(GenesisError::field(
                    FILE,
                    field,
                    format!("{other} has the same key; every anchor needs its own"),
                ));
            }
        }
        Ok(())
    }
}

/// The one certificate of an anchor in PEM.
pub fn anchor_der(pem: &str) -> Result<CertificateDer<'static>, String> {
    let mut found = CertificateDer::pem_slice_iter(pem.as_bytes());
    match (found.next(), found.next()) {
        (Some(Ok(der)), None) => Ok(der),
        (Some(Ok(_)), Some(_)) => {
            Err("holds more than one certificate; give one CA certificate".into())
        }
        _ => Err("is no certificate in PEM; give one CA certificate".into()),
    }
}

/// The SubjectPublicKeyInfo of a certificate in DER.
pub fn spki_of(certificate: &[u8]) -> Result<Vec<u8>, String> {
    let der = CertificateDer::from(certificate);
    match webpki::EndEntityCert::try_from(&der) {
        Ok(certificate) => Ok(certificate.subject_public_key_info().to_vec()),
        Err(error) => Err(format!("is no X.509 v3 certificate: {error}")),
    }
}

fn check_rp(at: usize, rp: &RelyingParty) -> Result<(), GenesisError> {
    let field = |name: &str| format!("tenants[{at}].rp.{name}");
    require(
        !rp.id.is_empty(),
        FILE,
        field("id"),
        "give the registrable domain of the origins",
    )?;
    for (name, origins) in [
        ("origins", &rp.origins),
        ("approval_origins", &rp.approval_origins),
    ] {
        require(
            !origins.is_empty()
                && origins.iter().all(|o| {
                    o.starts_with("https://")
                        || is_localhost(o)
                        || o.starts_with("android:")
                        || o.starts_with("ios:")
                }),
            FILE,
            field(name),
            "list https:// origins (http://localhost is allowed for development)",
        )?;
    }
    Ok(())
}

/// `http://localhost`, with a port or without, and no longer name that begins like it.
fn is_localhost(origin: &str) -> bool {
    origin.strip_prefix("http://localhost").is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix(':')
                .is_some_and(|p| p.parse::<u16>().is_ok())
    })
}
