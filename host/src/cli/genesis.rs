//! `redoubt genesis init`: officers, secret, shares, manifest.
//!
//! Everything is made in a folder of its own that appears under its name only
//! when complete; an existing ceremony is never touched.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use redoubt_attestation::attester::emulated_root;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{
    Environment, Genesis, GenesisType, MeasuredRole, Measurement, Officer, RootKind,
    VendorRootEntry, VerifiedGenesis,
};
use redoubt_attestation::shares::OfficersSecret;
use serde_json::{Value, json};

use super::ceremony::{
    PUBLIC, SECRET, check_threshold, into_new_folder, new_signers, officers, signed_by, write_keys,
    write_public, write_shares,
};
use super::peers::PeerArgs;
use super::record::{self, Said};
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
    /// Without --emulated: the worker image's measurements, the same (tier `enclave`)
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
    Ok(Report::yes(record::text(&genesis), json))
}

/// The ceremony, into an empty folder.
fn hold(args: &InitArgs, dir: &Path) -> anyhow::Result<VerifiedGenesis> {
    let signers = new_signers((1..=args.officers).map(|n| format!("officer-{n}")))?;
    let secret = OfficersSecret::generate(&SystemEntropy)?;
    let founding = Founding {
        name: args.name.clone(),
        kind: match (args.emulated, args.emulated_machine) {
            (true, _) => Kind::Emulated,
            (false, true) => Kind::EmulatedMachine,
            (false, false) => Kind::Hardware,
        },
        threshold: args.threshold,
        officers: officers(&signers).collect(),
        measurements: measurements(args)?,
        peers: &args.peers,
    };
    let manifest = founding.manifest(secret.commitment(), dir)?;
    let genesis = Genesis::verify(&signed_by(&signers, &manifest)?.to_json())?;
    write_keys(dir, &signers)?;
    write_shares(dir, &manifest, genesis.digest, &secret)?;
    write_public(dir, &genesis, &[], &Said::default())?;
    Ok(genesis)
}

/// Where the appliance's evidence comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A vendor's hardware.
    Hardware,
    /// A root made at the ceremony, for programs.
    Emulated,
    /// Nobody: images in QEMU's emulated machine.
    EmulatedMachine,
}

/// What a first manifest is made of.
pub(super) struct Founding<'a> {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) threshold: u8,
    pub(super) officers: Vec<Officer>,
    pub(super) measurements: Vec<Measurement>,
    pub(super) peers: &'a PeerArgs,
}

impl Founding<'_> {
    /// The manifest, not signed yet. An emulated root is made in `dir`.
    pub(super) fn manifest(
        self,
        secret_commitment: Digest32,
        dir: &Path,
    ) -> anyhow::Result<Genesis> {
        let mut manifest = Genesis {
            kind: GenesisType::V1,
            environment: match self.kind {
                Kind::Hardware => Environment::Hardware,
                Kind::Emulated | Kind::EmulatedMachine => Environment::Emulated,
            },
            counter: 1,
            threshold: self.threshold,
            officers: self.officers,
            secret_commitment,
            vendor_roots: vec![vendor_root(self.kind, &self.name, dir)?],
            name: self.name,
            measurements: self.measurements,
            witnesses: vec![],
            witness_policy: None,
            custodians: vec![],
            custodian_threshold: None,
            previous: None,
            created_ms: now_ms(),
        };
        self.peers.put_into(&mut manifest)?;
        manifest.validate()?;
        Ok(manifest)
    }
}

fn vendor_root(kind: Kind, name: &str, dir: &Path) -> anyhow::Result<VendorRootEntry> {
    let without_certificate = |kind| {
        let pem = String::new();
        Ok(VendorRootEntry { kind, pem })
    };
    match kind {
        Kind::Hardware => return without_certificate(RootKind::Nitro),
        Kind::EmulatedMachine => return without_certificate(RootKind::NitroUnsigned),
        Kind::Emulated => {}
    }
    let (certificate, key) = emulated_root(name)?;
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
    let officers = genesis.manifest.officers.iter();
    officers
        .map(|officer| json!({ "id": officer.id, "key_thumbprint": officer.key.thumbprint() }))
        .collect()
}
