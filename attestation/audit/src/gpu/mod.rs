//! `redoubt-audit gpu`: evidence of NVIDIA GPUs, and whether their firmware is what
//! the officers named.

pub mod compare;
pub mod rim;

use std::collections::BTreeSet;
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
use compare::{Compared, RimRefusal};
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
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

const CHECKS: [&str; 2] = [
    "each device's key is under the pinned root and signed its report, by two implementations",
    "each active reference value of driver and VBIOS is met",
];
const NO_NONCE: &str =
    "that the report was made for you: without --nonce its own nonce is believed";
const NO_RIM: &str = "firmware: without --rim a genuine device with any firmware passes";
const NO_STATUS: &str = "revocation: nobody asked whether a certificate is revoked or on hold";
const NO_XMLDSIG: &str = "NVIDIA's signature on the reference values: their digest, which officers signed, stands for it";

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
    let rims = match &args.trust {
        Some(folder) => match reference_values(folder, &args.rim, now_ms)? {
            Ok(rims) => Some(rims),
            Err(report) => return Ok(*report),
        },
        None => None,
    };
    let evidence = read(&args.evidence)?;
    Ok(judge(&evidence, rims.as_deref(), args.nonce, root, now_ms))
}

/// The files that the officers' appraisal policy names, or why they do not count.
fn reference_values(
    folder: &Path,
    files: &[PathBuf],
    now_ms: u64,
) -> Result<Result<Vec<Rim>, Box<Report>>> {
    let genesis = trust::read(folder)?.genesis;
    let policy = read(&folder.join(trust::APPRAISAL))?;
    let no = |code, reason: String| Ok(Err(Box::new(Report::no(&[], None, code, reason))));
    let policy = match AppraisalPolicy::verify(&policy, &genesis) {
        Ok(policy) => policy,
        Err(error) => return no(error.code(), error.to_string()),
    };
    if let Err(refusal) = policy.check_expiry(now_ms) {
        return no(refusal.code(), refusal.to_string());
    }
    let pinned: &BTreeSet<Digest32> = &policy.policy().nvidia_rims;
    let files: Vec<Vec<u8>> = files.iter().map(|path| read(path)).collect::<Result<_>>()?;
    match compare::read(&files, pinned) {
        Ok(rims) => Ok(Ok(rims)),
        Err(refusal) => no(refusal.code(), refusal.to_string()),
    }
}

fn judge(
    bytes: &[u8],
    rims: Option<&[Rim]>,
    nonce: Option<[u8; 32]>,
    root: Digest32,
    now_ms: u64,
) -> Report {
    let devices = match GpuEvidence::parse_file(bytes) {
        Ok(devices) => devices,
        Err(error) => return Report::no(&[], None, error.code(), error),
    };
    let (mut rows, mut first) = (Vec::new(), None);
    for (at, device) in devices.into_iter().enumerate() {
        let judged = judge_device(device, rims, nonce, root, now_ms);
        rows.push(row(&judged));
        if let Err(no) = judged {
            first.get_or_insert((at, no));
        }
    }
    let report = match first {
        None => Report::yes(&CHECKS[..1 + usize::from(rims.is_some())], Value::Null),
        Some((
            at,
            No {
                check,
                code,
                reason,
            },
        )) => Report::no(&CHECKS, check, code, format!("device {at}: {reason}")),
    };
    let mut report = report.unverified(NO_STATUS).unverified(match rims {
        Some(_) => NO_XMLDSIG,
        None => NO_RIM,
    });
    if nonce.is_none() {
        report = report.unverified(NO_NONCE);
    }
    report.facts.insert("devices".to_owned(), rows.into());
    report
}

/// Why a device is refused.
struct No {
    check: Option<usize>,
    code: &'static str,
    reason: String,
}

fn judge_device(
    device: Result<GpuEvidence, EvidenceError>,
    rims: Option<&[Rim]>,
    nonce: Option<[u8; 32]>,
    root: Digest32,
    now_ms: u64,
) -> Result<(VerifiedGpu, Option<Compared>), No> {
    let no = |check, code, reason: String| No {
        check,
        code,
        reason,
    };
    let device = device.map_err(|error| no(None, error.code(), error.to_string()))?;
    let expected = Expected {
        root,
        nonce: nonce.as_ref().unwrap_or(&device.nonce),
        now_ms,
        revoked: None,
    };
    let gpu = nvidia::verify(&device, &expected)
        .map_err(|refusal| no(Some(0), refusal.code(), refusal.to_string()))?;
    let compared = rims.map(|rims| compare::compare(&gpu, rims)).transpose();
    let compared =
        compared.map_err(|refusal: RimRefusal| no(Some(1), refusal.code(), refusal.to_string()))?;
    Ok((gpu, compared))
}

fn row(judged: &Result<(VerifiedGpu, Option<Compared>), No>) -> Value {
    match judged {
        Ok((gpu, compared)) => json!({
            "ok": true,
            "driver_version": gpu.driver_version,
            "vbios_version": gpu.vbios_version,
            "firmware": gpu.firmware.map(hex::encode),
            "reference_values_compared": compared.is_some(),
            "equal": compared.as_ref().map(|compared| &compared.equal),
            "passed_over": compared.as_ref().map(|compared| &compared.passed_over),
            "without_reference_value": compared.as_ref().map(|compared| &compared.without),
        }),
        Err(No { code, reason, .. }) => json!({"ok": false, "code": code, "reason": reason}),
    }
}

fn parse_nonce(text: &str) -> Result<[u8; 32], String> {
    let bytes = hex::decode(text.trim_start_matches("0x")).ok();
    bytes
        .and_then(|bytes| exactly(&bytes).ok())
        .ok_or_else(|| "use 64 hexadecimal digits".to_owned())
}
