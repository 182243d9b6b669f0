//! `redoubt-credentials DIR`: client identities for a development appliance.
//!
//! Each identity gets an anchor of its own, because the anchor that validates a
//! client's chain is what tells tenants and offices apart.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};

const DAYS: i64 = 3650;

/// Write an anchor (anchor.pem, anchor.key) and a client certificate under it
/// (cert.pem, key.pem) for each name, into DIR/NAME
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the folders go
    dir: PathBuf,
    /// NAME=SAN, such as bank=back-end.bank.example
    #[arg(required = true, value_parser = name_and_san)]
    identities: Vec<(String, String)>,
}

fn name_and_san(text: &str) -> Result<(String, String), String> {
    let (name, san) = text.split_once('=').ok_or("write NAME=SAN")?;
    Ok((name.into(), san.into()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    for (name, san) in &arguments.identities {
        if let Err(error) = issue(&arguments.dir.join(name), name, san) {
            eprintln!("redoubt-credentials: {name}: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn issue(dir: &Path, name: &str, san: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    let anchor_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    write(dir, "anchor.key", &anchor_key.serialize_pem(), 0o600)?;
    let anchor = CertifiedIssuer::self_signed(anchor_params(name), anchor_key)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let leaf = leaf_params(name, san)?.signed_by(&key, &anchor)?;
    write(dir, "anchor.pem", &anchor.pem(), 0o644)?;
    write(dir, "key.pem", &key.serialize_pem(), 0o600)?;
    write(dir, "cert.pem", &leaf.pem(), 0o644)
}

fn anchor_params(name: &str) -> CertificateParams {
    let mut params = dated(CertificateParams::default());
    let title = format!("Redoubt development anchor: {name}");
    params.distinguished_name.push(DnType::CommonName, title);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(name: &str, san: &str) -> Result<CertificateParams> {
    let mut params = dated(CertificateParams::new([san.to_owned()])?);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn dated(mut params: CertificateParams) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(DAYS);
    params
}

fn write(dir: &Path, name: &str, pem: &str, mode: u32) -> Result<()> {
    let path = dir.join(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let file = options.open(&path);
    let mut file = file.with_context(|| path.display().to_string())?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    Ok(())
}
