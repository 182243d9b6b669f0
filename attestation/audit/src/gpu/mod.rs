//! `redoubt-audit gpu`: evidence of NVIDIA GPUs, and whether their firmware is what
//! the officers named.

pub mod compare;
pub mod ocsp;
pub mod rim;
mod x509;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Args;
use redoubt_attestation::appraise::AppraisalPolicy;
use redoubt_attestation::encode::{Digest32, exactly};
use redoubt_attestation::nvidia::{
    self, EvidenceError, Expected, GpuEvidence, NVIDIA_DEVICE_ROOT, VerifiedGpu,
};
use serde_json::{Value, json};

use crate::inputs::{parse_time, read, read_text};
use crate::report::Report;
use crate::{sandbox, trust};
use compare::Compared;
use ocsp::Answer;
use rim::Rim;

/// Arguments of `gpu`.
#[derive(Args)]
pub struct GpuArgs {
    /// Evidence as NVIDIA's SDK writes it, JSON.
    evidence: PathBuf,
    /// Device root, PEM; NVIDIA Device Identity CA without it.
    #[arg(long)]
    root: Option<PathBuf>,
    /// Judge at this time (RFC 3339, or Unix seconds); now without it.
    #[arg(long, value_parser = parse_time)]
    at: Option<u64>,
    /// The nonce that you asked with, 64 hexadecimal digits.
    #[arg(long, value_parser = parse_nonce)]
    nonce: Option<[u8; 32]>,
    /// Reference values (SWID tag) of the driver or of the VBIOS; repeatable.
    #[arg(long, requires = "trust")]
    rim: Vec<PathBuf>,
    /// Folder with policy.json and the officers' appraisal.json, which names the
    /// digests of reference values.
    #[arg(long, requires = "rim")]
    trust: Option<PathBuf>,
    /// Recorded answer about a certificate's status (OCSP response, DER); repeatable.
    #[arg(long)]
    ocsp: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

const CHECKS: [&str; 3] = [
    "each device's key is under the pinned root and signed its report, by two implementations",
    "no certificate of a device is revoked or on hold, by recorded answers",
    "each active reference value of driver and VBIOS is met",
];
const NO_NONCE: &str =
    "that the report was made for you: without --nonce its own nonce is believed";
const NO_RIM: &str = "firmware: without --rim a genuine device with any firmware passes";
const NO_STATUS: &str =
    "revocation: without --ocsp nobody asked whether a certificate is revoked or on hold";
const NO_XMLDSIG: &str = "NVIDIA's signature on the reference values: their digest, which officers signed, stands for it";

/// What devices are judged by.
struct Basis {
    root: Digest32,
    now_ms: u64,
    nonce: Option<[u8; 32]>,
    answers: Option<Vec<Answer>>,
    rims: Option<Vec<Rim>>,
}

/// Runs it; sockets are denied first.
pub fn run(args: &GpuArgs) -> Result<Report> {
    sandbox::deny_sockets()?;
    let root = match &args.root {
        Some(path) => nvidia::root_of_pem(&read_text(path)?)
            .map_err(anyhow::Error::msg)
            .with_context(|| path.display().to_string())?,
        None => NVIDIA_DEVICE_ROOT,
    };
    let now_ms = match args.at {
        Some(at) => at,
        None => u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?,
    };
    let answers = read_all(&args.ocsp)?;
    let parsed = answers.iter().enumerate();
    let parsed = parsed.map(|(at, bytes)| Answer::parse(at, bytes)).collect();
    let answers: Vec<Answer> = match parsed {
        Ok(answers) => answers,
        Err(refusal) => return Ok(no(refusal.code(), refusal)),
    };
    let rims = match &args.trust {
        Some(folder) => match reference_values(folder, &args.rim, now_ms)? {
            Ok(rims) => Some(rims),
            Err(report) => return Ok(*report),
        },
        None => None,
    };
    let basis = Basis {
        root,
        now_ms,
        nonce: args.nonce,
        answers: (!args.ocsp.is_empty()).then_some(answers),
        rims,
    };
    Ok(judge(&read(&args.evidence)?, &basis))
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    paths.iter().map(|path| read(path)).collect()
}

fn no(code: &'static str, reason: impl ToString) -> Report {
    Report::no(&[], None, code, reason)
}

/// The files that the officers' appraisal policy names, or why they do not count.
fn reference_values(
    folder: &Path,
    files: &[PathBuf],
    now_ms: u64,
) -> Result<Result<Vec<Rim>, Box<Report>>> {
    let genesis = trust::read(folder)?.genesis;
    let policy = read(&folder.join(trust::APPRAISAL))?;
    let policy = match AppraisalPolicy::verify(&policy, &genesis) {
        Ok(policy) => policy,
        Err(error) => return Ok(Err(Box::new(no(error.code(), error)))),
    };
    if let Err(refusal) = policy.check_expiry(now_ms) {
        return Ok(Err(Box::new(no(refusal.code(), refusal))));
    }
    let rims = compare::read(&read_all(files)?, &policy.policy().nvidia_rims);
    Ok(rims.map_err(|refusal| Box::new(no(refusal.code(), refusal))))
}

fn judge(bytes: &[u8], basis: &Basis) -> Report {
    let devices = match GpuEvidence::parse_file(bytes) {
        Ok(devices) => devices,
        Err(error) => return no(error.code(), error),
    };
    let (mut rows, mut first) = (Vec::new(), None);
    for (at, device) in devices.into_iter().enumerate() {
        let judged = judge_device(device, basis);
        rows.push(row(&judged, basis));
        if let Err(No { code, reason }) = judged {
            first.get_or_insert((code, format!("device {at}: {reason}")));
        }
    }
    let made = [true, basis.answers.is_some(), basis.rims.is_some()];
    let checks: Vec<_> = CHECKS
        .into_iter()
        .zip(made)
        .filter(|(_, made)| *made)
        .collect();
    let checks: Vec<&'static str> = checks.into_iter().map(|(name, _)| name).collect();
    let mut report = match first {
        None => Report::yes(&checks, Value::Null),
        Some((code, reason)) => no(code, reason),
    };
    report.unverified = [
        (basis.nonce.is_none(), NO_NONCE),
        (basis.answers.is_none(), NO_STATUS),
        (basis.rims.is_none(), NO_RIM),
        (basis.rims.is_some(), NO_XMLDSIG),
    ]
    .into_iter()
    .filter_map(|(not, what)| not.then_some(what))
    .collect();
    report.facts.insert("devices".to_owned(), rows.into());
    report
}

/// Why a device is refused.
struct No {
    code: &'static str,
    reason: String,
}

fn judge_device(
    device: Result<GpuEvidence, EvidenceError>,
    basis: &Basis,
) -> Result<(VerifiedGpu, Option<Compared>), No> {
    let refuse = |code, reason: &dyn std::fmt::Display| {
        let reason = reason.to_string();
        No { code, reason }
    };
    let device = device.map_err(|error| refuse(error.code(), &error))?;
    let expected = Expected {
        root: basis.root,
        nonce: basis.nonce.as_ref().unwrap_or(&device.nonce),
        now_ms: basis.now_ms,
        revoked: None,
    };
    let gpu = nvidia::verify(&device, &expected).map_err(|error| refuse(error.code(), &error))?;
    if let Some(answers) = &basis.answers {
        ocsp::check(&device.certificates, answers, basis.now_ms)
            .map_err(|error| refuse(error.code(), &error))?;
    }
    let compared = basis.rims.as_ref().map(|rims| compare::compare(&gpu, rims));
    let compared = compared
        .transpose()
        .map_err(|error| refuse(error.code(), &error))?;
    Ok((gpu, compared))
}

fn row(judged: &Result<(VerifiedGpu, Option<Compared>), No>, basis: &Basis) -> Value {
    match judged {
        Ok((gpu, compared)) => json!({
            "ok": true,
            "driver_version": gpu.driver_version,
            "vbios_version": gpu.vbios_version,
            "firmware": gpu.firmware.map(hex::encode),
            "status_checked": basis.answers.is_some(),
            "reference_values_compared": compared.is_some(),
            "equal": compared.as_ref().map(|compared| &compared.equal),
            "passed_over": compared.as_ref().map(|compared| &compared.passed_over),
            "without_reference_value": compared.as_ref().map(|compared| &compared.without),
        }),
        Err(No { code, reason }) => json!({"ok": false, "code": code, "reason": reason}),
    }
}

fn parse_nonce(text: &str) -> Result<[u8; 32], String> {
    let bytes = hex::decode(text.trim_start_matches("0x")).ok();
    bytes
        .and_then(|bytes| exactly(&bytes).ok())
        .ok_or_else(|| "use 64 hexadecimal digits".to_owned())
}
