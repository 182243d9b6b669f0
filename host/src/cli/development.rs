//! `redoubt dev-credentials`: FOR DEVELOPMENT ONLY.
//!
//! Makes every certificate authority on one machine, which is exactly what a
//! real appliance must not have: there each bank and each office brings its own
//! anchor, and no private key of an anchor is ever near the host.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use redoubt_attestation::encode::sha256;
use redoubt_attestation::genesis::{
    Anchors, Config, ConfigType, Policy, RETENTION_DAYS, RelyingParty, Role, RoleMapping, Tenant,
    Tier,
};
use redoubt_shared::TenantId;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::config::new_ledger;
use super::{Report, read_genesis};
use crate::files::write_new;

const OFFICES: [&str; 3] = ["auditor", "officer", "operator"];
const LIFE: Duration = Duration::days(365);
const WARNING: &str = "For development only: every private key lies in this folder.";

/// Flags of `redoubt dev-credentials`.
#[derive(Debug, clap::Args)]
pub(super) struct DevArgs {
    /// Folder for NAME/{anchor.pem, anchor.key, cert.pem, key.pem}, a tenant's
    /// NAME-reader/{cert.pem, key.pem} that may only read, and config.plain.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The signed genesis manifest that the configuration is for
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Tenants, separated by commas
    #[arg(long, value_delimiter = ',', default_values = ["bank-a", "bank-b"])]
    tenants: Vec<TenantId>,
    /// Names and addresses in the appliance's TLS certificate
    #[arg(long, value_delimiter = ',', default_values = ["localhost", "127.0.0.1"])]
    server_names: Vec<String>,
    /// WebAuthn relying party id of every tenant
    #[arg(long, default_value = "localhost")]
    rp_id: String,
    /// Origins that may register and log in
    #[arg(long, value_delimiter = ',', default_values = ["http://localhost:8080", "https://localhost"])]
    origins: Vec<String>,
    /// Origins that may approve [default: those of --origins]
    #[arg(long, value_delimiter = ',')]
    approval_origins: Vec<String>,
}

pub(super) fn issue(args: &DevArgs) -> anyhow::Result<Report> {
    let genesis = read_genesis(&args.genesis)?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let anchor = |name: &str| identity(&args.out, name, &[]);
    let [auditor, officer, operator] = OFFICES;
    let config = Config {
        kind: ConfigType::V1,
        genesis: genesis.digest,
        counter: 1,
        server_names: args.server_names.clone(),
        anchors: Anchors {
            auditor: anchor(auditor)?,
            officer: anchor(officer)?,
            operator: anchor(operator)?,
        },
        tenants: args
            .tenants
            .iter()
            .map(|id| {
                let anchor = identity(&args.out, id.as_str(), &[&reader(id)])?;
                tenant(args, id, anchor)
            })
            .collect::<anyhow::Result<_>>()?,
        appliance_ledger: new_ledger()?,
        policy: policy(),
        restore: None,
    };
    config.validate()?;
    let plain = args.out.join("config.plain.json");
    let payload = serde_json::to_vec_pretty(&config)?;
    write_new(&plain, &payload, 0o644)?;
    let names: Vec<&str> = OFFICES
        .into_iter()
        .chain(args.tenants.iter().map(TenantId::as_str))
        .collect();
    let text = format!(
        "{WARNING}\n{}: certificates for {}\nnext: redoubt config sign --genesis {} --config {} ...",
        args.out.display(),
        names.join(", "),
        args.genesis.display(),
        plain.display()
    );
    let json = json!({
        "out": args.out.display().to_string(),
        "config": plain.display().to_string(),
        "config_sha256": sha256(&[&payload]),
        "identities": names,
        "warning": WARNING,
    });
    Ok(Report::yes(text, json))
}

fn tenant(args: &DevArgs, id: &TenantId, anchor: String) -> anyhow::Result<Tenant> {
    ensure!(
        !OFFICES.contains(&id.as_str()),
        "--tenants {id}: this is an office's name"
    );
    let approval = match args.approval_origins.is_empty() {
        true => &args.origins,
        false => &args.approval_origins,
    };
    Ok(Tenant {
        id: id.clone(),
        name: format!("{id} (development)"),
        anchor,
        ledger: new_ledger()?,
        rp: RelyingParty {
            id: args.rp_id.clone(),
            name: format!("{id} (development)"),
            origins: args.origins.clone(),
            approval_origins: approval.clone(),
        },
        roles: vec![RoleMapping {
            san: format!("{}.example", reader(id)),
            role: Role::ReadOnly,
        }],
        default_role: Some(Role::Bank),
        retention_days: RETENTION_DAYS,
        passkeys: None,
        policy_signers: None,
        duplicate_faces: None,
    })
}

/// The tenant's client that may only read.
fn reader(tenant: &TenantId) -> String {
    format!("{tenant}-reader")
}

fn policy() -> Policy {
    Policy {
        face_false_matches_per_million: 100,
        max_failed_attempts: 3,
        lockout_minutes: 30,
        accepted_tiers: vec![Tier::Process],
        enrollment_minutes: 30,
        challenge_seconds: 300,
        approval_seconds: 300,
        session_idle_seconds: None,
        session_absolute_minutes: None,
        second_device_above: None,
        passive_liveness: None,
        active_liveness: None,
        worker_jobs_max: None,
        worker_minutes_max: None,
        recompute_one_in: None,
        spoken_digits: None,
        max_failed_per_device: None,
        max_failed_per_source: None,
        max_failed_per_tenant: None,
        voice_false_matches_per_million: None,
    }
}

/// An anchor, a client certificate under it, and one more per name of `others`, each
/// in a folder of its own; returns the anchor in PEM.
fn identity(out: &Path, name: &str, others: &[&str]) -> anyhow::Result<String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let key_pem = key.serialize_pem();
    let anchor = CertifiedIssuer::self_signed(anchor_params(name), key)?;
    for leaf in [name].iter().chain(others) {
        client(&out.join(leaf), leaf, &anchor)?;
    }
    for (file, text, mode) in [
        ("anchor.pem", anchor.pem(), 0o644),
        ("anchor.key", key_pem, 0o600),
    ] {
        write_new(&out.join(name).join(file), text.as_bytes(), mode)?;
    }
    Ok(anchor.pem())
}

/// A client certificate and its key.
fn client(dir: &Path, name: &str, anchor: &CertifiedIssuer<'_, KeyPair>) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let leaf = leaf_params(name)?.signed_by(&key, anchor)?;
    write_new(&dir.join("cert.pem"), leaf.pem().as_bytes(), 0o644)?;
    write_new(&dir.join("key.pem"), key.serialize_pem().as_bytes(), 0o600)?;
    Ok(())
}

fn anchor_params(name: &str) -> CertificateParams {
    let mut params = dated(CertificateParams::default());
    let title = format!("{name} anchor, development only");
    params.distinguished_name.push(DnType::CommonName, title);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = dated(CertificateParams::new([format!("{name}.example")])?);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn dated(mut params: CertificateParams) -> CertificateParams {
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = params.not_before + LIFE;
    params
}
