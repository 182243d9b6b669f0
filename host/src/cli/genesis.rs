//! `redoubt genesis init`: officers, secret, shares, manifest.
//!
//! Everything is made in a folder of its own that appears under its name only
//! when complete; an existing ceremony is never touched.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use redoubt_attestation::attester::emulated_root;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{
    Environment, Genesis, GenesisType, MeasuredRole, Measurement, PeerEntry, RootKind,
    VendorRootEntry, VerifiedGenesis,
};
use redoubt_attestation::shares::OfficersSecret;
use serde_json::{Value, json};

use super::ceremony::{
    PUBLIC, SECRET, check_threshold, into_new_folder, new_signers, officers, signed_by,
    write_results,
};
use super::peers::PeerArgs;
use super::{Report, images, now_ms};
use crate::files::write_new;

/// Flags of `redoubt genesis init`.
#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// Folder to make; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The appliance's name, for people
    #[arg(long)]
    name: String,
    /// Number of officers; they are called officer-1, officer-2, ...
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    officers: u8,
    /// How many of them unseal the appliance and sign its configuration
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    threshold: u8,
    /// Make an emulated appliance with an attestation root of its own
    /// (emulated/root.pem, root.key). Protects nobody
    #[arg(long, requires = "enclave_bin", conflicts_with = "enclave_pcrs")]
    emulated: bool,
    /// With --emulated: the enclave's program, to be measured
    #[arg(long, value_name = "FILE", requires = "emulated")]
    enclave_bin: Option<PathBuf>,
    /// With --emulated: the worker's program, to be measured (tier `process`)
    #[arg(long, value_name = "FILE", requires = "emulated")]
    worker_bin: Option<PathBuf>,
    /// Make an emulated appliance for an image that boots in QEMU's emulated Nitro
    /// machine, whose security module signs nothing. Protects nobody
    #[arg(long, requires = "enclave_pcrs", conflicts_with = "emulated")]
    emulated_machine: bool,
    /// Without --emulated: the enclave image's measurements, images/measurements.json or
    /// JSON {"PCR0": hex, ...}
    #[arg(long, value_name = "FILE", required_unless_present = "emulated")]
    enclave_pcrs: Option<PathBuf>,
    /// Without --emulated: the worker image's measurements (tier `enclave`)
    #[arg(long, value_name = "FILE", conflicts_with = "emulated")]
    worker_pcrs: Option<PathBuf>,
    #[command(flatten)]
    peers: PeerArgs,
}

pub(super) fn init(args: &InitArgs) -> anyhow::Result<Report> {
    check_threshold(args.threshold, args.officers)?;
    let genesis = into_new_folder(&args.out, |dir| hold(args, dir))?;
    let out = args.out.display().to_string();
    let json = json!({
        "out": out,
        "genesis": genesis.digest,
        "environment": genesis.manifest.environment,
        "threshold": genesis.manifest.threshold,
        "officers": thumbprints(&genesis),
    });
    Ok(Report::yes(record(&genesis), json))
}

/// The ceremony, into an empty folder.
fn hold(args: &InitArgs, dir: &Path) -> anyhow::Result<VerifiedGenesis> {
    let signers = new_signers((1..=args.officers).map(|n| format!("officer-{n}")))?;
    let secret = OfficersSecret::generate(&SystemEntropy)?;
    let mut manifest = Genesis {
        kind: GenesisType::V1,
        name: args.name.clone(),
        environment: if args.emulated || args.emulated_machine {
            Environment::Emulated
        } else {
            Environment::Hardware
        },
        counter: 1,
        threshold: args.threshold,
        officers: officers(&signers).collect(),
        secret_commitment: secret.commitment(),
        vendor_roots: vec![vendor_root(args, dir)?],
        measurements: measurements(args)?,
        witnesses: vec![],
        witness_policy: None,
        custodians: vec![],
        custodian_threshold: None,
        previous: None,
        created_ms: now_ms(),
    };
    args.peers.put_into(&mut manifest)?;
    manifest.validate()?;
    let genesis = Genesis::verify(&signed_by(&signers, &manifest)?.to_json())?;
    write_results(dir, &genesis, &secret, &signers)?;
    Ok(genesis)
}

fn vendor_root(args: &InitArgs, dir: &Path) -> anyhow::Result<VendorRootEntry> {
    if !args.emulated {
        let kind = if args.emulated_machine {
            RootKind::NitroUnsigned
        } else {
            RootKind::Nitro
        };
        let pem = String::new();
        return Ok(VendorRootEntry { kind, pem });
    }
    let (certificate, key) = emulated_root(&args.name)?;
    let folder = dir.join("emulated");
    DirBuilder::new().mode(0o700).create(&folder)?;
    write_new(&folder.join("root.pem"), certificate.as_bytes(), PUBLIC)?;
    write_new(&folder.join("root.key"), key.as_bytes(), SECRET)?;
    Ok(VendorRootEntry {
        kind: RootKind::NitroEmulated,
        pem: certificate,
    })
}

fn measurements(args: &InitArgs) -> anyhow::Result<Vec<Measurement>> {
    let (enclave, worker) = (MeasuredRole::Enclave, MeasuredRole::Worker);
    let images = [(enclave, &args.enclave_pcrs), (worker, &args.worker_pcrs)];
    let programs = [(enclave, &args.enclave_bin), (worker, &args.worker_bin)];
    let given = |(role, file): (MeasuredRole, &Option<PathBuf>)| Some((role, file.clone()?));
    let images = images.into_iter().filter_map(given);
    let programs = programs.into_iter().filter_map(given);
    images
        .map(|(role, file)| images::image(role, &file))
        .chain(programs.map(|(role, file)| images::program(role, &file)))
        .collect()
}

/// The same, as replies list them.
pub(super) fn thumbprints(genesis: &VerifiedGenesis) -> Vec<Value> {
    let officers = fingerprints(genesis).into_iter();
    officers
        .map(|(id, key)| json!({ "id": id, "key_thumbprint": key }))
        .collect()
}

fn fingerprints(genesis: &VerifiedGenesis) -> Vec<(String, String)> {
    let officers = genesis.manifest.officers.iter();
    officers
        .map(|officer| (officer.id.clone(), officer.key.thumbprint().to_string()))
        .collect()
}

/// A page to print, sign by hand and keep: enough to recognise every file later.
pub(super) fn record(genesis: &VerifiedGenesis) -> String {
    let manifest = &genesis.manifest;
    let mut lines = vec![
        format!("REDOUBT GENESIS RECORD: {}", manifest.name),
        String::new(),
        format!(
            "genesis digest     {}",
            grouped(&genesis.digest.to_string())
        ),
        format!(
            "secret commitment  {}",
            grouped(&manifest.secret_commitment.to_string())
        ),
        format!("environment        {}", manifest.environment.name()),
        format!("counter            {}", manifest.counter),
        format!(
            "created            {} (Unix milliseconds)",
            manifest.created_ms
        ),
        format!(
            "threshold          {} of {}",
            manifest.threshold,
            manifest.officers.len()
        ),
        String::new(),
        "officers' keys (RFC 7638 thumbprints)".into(),
    ];
    for (id, thumbprint) in fingerprints(genesis) {
        lines.push(format!("  {id:<16} {}", grouped(&thumbprint)));
    }
    lines.extend(peers(manifest));
    lines.push(String::new());
    lines.push("allowed measurements".into());
    for measurement in &manifest.measurements {
        let role = match measurement.role {
            MeasuredRole::Enclave => "enclave",
            MeasuredRole::Worker => "worker",
        };
        lines.push(format!("  {role}, tier {}", measurement.tier.name()));
        for (index, value) in &measurement.pcrs {
            lines.push(format!("    PCR{index} {}", grouped(value)));
        }
    }
    if manifest.environment == Environment::Emulated {
        lines.push(String::new());
        let kinds = manifest.vendor_roots.iter().map(|root| root.kind);
        lines.extend(kinds.map(|kind| emulation(kind).to_owned()));
    }
    lines.push(String::new());
    lines.push("Each officer takes OFFICER.key.pem and OFFICER.share.json and removes them".into());
    lines.push("here. Clients pin policy.json. The host gets genesis.json.".into());
    lines.push(String::new());
    lines.join("\n")
}

/// What evidence is worth under a root of an emulated manifest.
const fn emulation(kind: RootKind) -> &'static str {
    match kind {
        RootKind::Nitro => "EMULATED: evidence is the vendor's, but forgeries would pass too.",
        RootKind::NitroEmulated => {
            "EMULATED: evidence is signed by a key in a file. Protects nobody."
        }
        RootKind::NitroUnsigned => "EMULATED: evidence is signed by nobody. Protects nobody.",
    }
}

/// Witnesses and custodians with their keys, where there are any.
fn peers(manifest: &Genesis) -> Vec<String> {
    let mut lines = Vec::new();
    let mut list = |title: String, entries: &[PeerEntry]| {
        lines.extend([String::new(), title]);
        for peer in entries {
            let key = peer.key.thumbprint().to_string();
            lines.push(format!("  {:<16} {}", peer.name, grouped(&key)));
        }
    };
    if let Some(policy) = manifest.witness_policy {
        let (k, n, mode) = (policy.k, manifest.witnesses.len(), policy.mode.name());
        let title = format!("witnesses, {k} of {n} must agree, freshness {mode}");
        list(title, &manifest.witnesses);
    }
    if let Some(threshold) = manifest.custodian_threshold {
        let n = manifest.custodians.len();
        let title = format!("custodians, {threshold} of {n} restore the epoch secret");
        list(title, &manifest.custodians);
    }
    lines
}

/// Hexadecimal in groups of eight, to be compared by eye.
fn grouped(text: &str) -> String {
    let groups: Vec<_> = text
        .as_bytes()
        .chunks(8)
        .map(|group| String::from_utf8_lossy(group))
        .collect();
    groups.join(" ")
}
