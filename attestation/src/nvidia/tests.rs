//! Devices of our own making, honest and not, and reports that others recorded.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
};
use serde_json::{Value, json};

use super::*;
use crate::conformance::{Verdict, gpu_rows};

/// 2026-11-01.
const NOW_MS: u64 = 1_793_491_200_000;
const NONCE: [u8; 32] = [7; 32];
const FIRMWARE: [u8; 48] = [3; 48];

/// A device under a root, an authority and a leaf of our own.
struct Device {
    certificates: Vec<Vec<u8>>,
    key: EcdsaKeyPair,
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=0x7f => vec![short as u8],
        long => vec![0x81, long as u8],
    };
    [&[tag], &length[..], content].concat()
}

/// SEQUENCE { 1, key, SEQUENCE { SHA-384, firmware } }.
fn identity(firmware: &[u8; 48]) -> CustomExtension {
    let digest = [tlv(der::OID, SHA384), tlv(der::OCTET_STRING, firmware)].concat();
    let members = [
        tlv(2, &[1]),
        tlv(der::SEQUENCE, &[]),
        tlv(der::SEQUENCE, &digest),
    ];
    let value = tlv(der::SEQUENCE, &members.concat());
    CustomExtension::from_oid_content(&[2, 23, 133, 5, 4, 1], value)
}

fn certificate(
    name: &str,
    ca: bool,
    by: Option<&Issuer<'_, KeyPair>>,
) -> (Vec<u8>, CertificateParams, KeyPair) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = match ca {
        true => vec![KeyUsagePurpose::KeyCertSign],
        false => vec![KeyUsagePurpose::DigitalSignature],
    };
    match ca {
        true => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        false => params.custom_extensions = vec![identity(&FIRMWARE)],
    }
    let made = match by {
        None => params.self_signed(&key).unwrap(),
        Some(by) => params.signed_by(&key, by).unwrap(),
    };
    (made.der().to_vec(), params, key)
}

impl Device {
    fn new() -> Self {
        let (root, params, key) = certificate("root", true, None);
        let issuer = Issuer::new(params, key);
        let (authority, params, key) = certificate("provisioner", true, Some(&issuer));
        let issuer = Issuer::new(params, key);
        let (leaf, _, key) = certificate("device", false, Some(&issuer));
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &key.serialize_der());
        Self {
            certificates: vec![leaf, authority, root],
            key: key.unwrap(),
        }
    }

    fn root(&self) -> Digest32 {
        sha256(&[self.certificates.last().unwrap()])
    }

    /// Signs a report, whatever it says.
    fn sign(&self, unsigned: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(&SystemRandom::new(), unsigned).unwrap();
        [unsigned, signature.as_ref()].concat()
    }

    fn evidence(&self, parts: &Parts) -> GpuEvidence {
        GpuEvidence {
            arch: Some("HOPPER".into()),
            nonce: NONCE,
            report: self.sign(&parts.bytes()),
            certificates: self.certificates.clone(),
        }
    }

    fn judge(&self, evidence: &GpuEvidence) -> Result<VerifiedGpu, Refusal> {
        let expected = Expected {
            root: self.root(),
            nonce: &NONCE,
            now_ms: NOW_MS,
            revoked: None,
        };
        verify(evidence, &expected)
    }

    fn code(&self, evidence: &GpuEvidence) -> &'static str {
        self.judge(evidence)
            .map_or_else(|refusal| refusal.code(), |_| "accepted")
    }
}

/// A report field by field, so that each can be written wrongly.
#[derive(Clone)]
struct Parts {
    request: Vec<u8>,
    head: Vec<u8>,
    blocks: u8,
    record: Vec<u8>,
    /// Added to the length that is written.
    longer: usize,
    opaque: Vec<u8>,
}

fn block(index: u8, specification: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len() as u16;
    let inner = [&[1][..], &length.to_le_bytes(), value].concat();
    let outer = (inner.len() as u16).to_le_bytes();
    [&[index, specification][..], &outer, &inner].concat()
}

fn field(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = value.len() as u16;
    [&kind.to_le_bytes()[..], &length.to_le_bytes(), value].concat()
}

fn good() -> Parts {
    let opaque = [
        field(6, &[0, 0xa5, 0, 0x96, 1, 0, 0, 0]),
        field(3, b"590.12\0"),
        field(20, &FIRMWARE),
        field(11, &[0xaa]),
        field(999, &[1, 2, 3]),
    ];
    Parts {
        request: [&[0x11, 0xe0, 0x01, 0xff][..], &NONCE, &[0]].concat(),
        head: vec![0x11, 0x60, 0, 0],
        blocks: 2,
        record: [block(1, 1, &[1; 48]), block(64, 1, &[2; 48])].concat(),
        longer: 0,
        opaque: opaque.concat(),
    }
}

impl Parts {
    fn bytes(&self) -> Vec<u8> {
        let record = (self.record.len() + self.longer) as u32;
        let opaque = (self.opaque.len() as u16).to_le_bytes();
        [
            &self.request[..],
            &self.head,
            &[self.blocks],
            &record.to_le_bytes()[..3],
            &self.record,
            &[9; 32],
            &opaque,
            &self.opaque,
        ]
        .concat()
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut bent = self.clone();
        change(&mut bent);
        bent
    }
}

#[test]
fn a_genuine_report_is_accepted_and_says_what_it_measured() {
    let device = Device::new();
    let gpu = device.judge(&device.evidence(&good())).unwrap();
    assert_eq!(gpu.measurements[&64], [2; 48]);
    assert_eq!(gpu.driver_version.as_deref(), Some("590.12"));
    assert_eq!(gpu.vbios_version.as_deref(), Some("96.00.A5.00.01"));
    assert_eq!(gpu.firmware, Some(FIRMWARE));
    assert!(!gpu.status_checked && !gpu.nvdec0_disabled);
    let off = good().with(|p| p.opaque = field(11, &[0x55]));
    assert!(
        device
            .judge(&device.evidence(&off))
            .unwrap()
            .nvdec0_disabled
    );
    // Raw attributes, another slot, and firmware that does not say which it is.
    let plain = good().with(|p| {
        p.request[2] = 3;
        p.request[36] = 0x02;
        p.head[3] = 0x12;
        p.opaque.clear();
    });
    assert_eq!(device.code(&device.evidence(&plain)), "accepted");
}

#[test]
fn each_malformed_report_is_refused_under_its_own_name() {
    let device = Device::new();
    let bent = |change: fn(&mut Parts)| good().with(change);
    let cases = [
        ("spdm_version", bent(|p| p.request[0] = 0x12)),
        ("spdm_version", bent(|p| p.head[0] = 0x10)),
        ("spdm_request_code", bent(|p| p.request[1] = 0xe1)),
        ("spdm_response_code", bent(|p| p.head[1] = 0x7f)),
        ("signature_not_requested", bent(|p| p.request[2] = 0)),
        ("measurements_not_all_requested", bent(|p| p.request[3] = 0)),
        ("slot_mismatch", bent(|p| p.head[3] = 1)),
        ("no_measurements", bent(|p| p.blocks = 0)),
        ("measurement_record_length", bent(|p| p.blocks = 1)),
        ("measurement_record_length", bent(|p| p.blocks = 3)),
        ("measurement_record_length", bent(|p| p.record[2] = 0xff)),
        ("truncated", bent(|p| p.longer = 100_000)),
        ("measurement_specification", bent(|p| p.record[1] = 2)),
        ("measurement_length", bent(|p| p.record[5] = 47)),
        ("measurement_length", bent(|p| p.record[5] = 49)),
        ("measurement_index", bent(|p| p.record[0] = 0)),
        ("measurement_index", bent(|p| p.record[0] = 0xff)),
        ("duplicate_measurement", bent(|p| p.record[0] = 64)),
        ("opaque_truncated", bent(|p| p.opaque.push(0))),
        ("opaque_truncated", bent(|p| p.opaque[2] = 0xff)),
        (
            "duplicate_opaque_field",
            bent(|p| p.opaque.extend(field(3, b"1"))),
        ),
        (
            "opaque_field_form",
            bent(|p| p.opaque.extend(field(20, &[1; 47]))),
        ),
        ("opaque_field_form", bent(|p| p.opaque = field(3, b"\x07"))),
        ("opaque_field_form", bent(|p| p.opaque = field(6, &[0; 7]))),
        ("opaque_field_form", bent(|p| p.opaque = field(11, &[]))),
        (
            "opaque_field_form",
            bent(|p| p.opaque = field(11, &[0x55; 2])),
        ),
        ("wrong_nonce", bent(|p| p.request[4] ^= 1)),
        (
            "firmware_identity",
            bent(|p| p.opaque = field(20, &[4; 48])),
        ),
    ];
    for (at, (expected, parts)) in cases.iter().enumerate() {
        assert_eq!(device.code(&device.evidence(parts)), *expected, "case {at}");
    }
    let mut evidence = device.evidence(&good());
    evidence.report.push(0);
    assert_eq!(device.code(&evidence), "trailing_bytes");
    evidence.report = vec![0x11; 70_000];
    assert_eq!(device.code(&evidence), "too_large");
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    let device = Device::new();
    let good = device.evidence(&good());
    for end in 0..good.report.len() {
        let mut short = good.clone();
        short.report.truncate(end);
        assert_eq!(device.code(&short), "truncated", "{end}");
    }
    for at in 0..good.report.len() {
        let mut bent = good.clone();
        bent.report[at] ^= 1 << (at % 8);
        assert_ne!(device.code(&bent), "accepted", "byte {at}");
    }
}

#[test]
fn a_chain_to_another_root_or_none_is_refused() {
    let (device, other) = (Device::new(), Device::new());
    let good = device.evidence(&good());
    let code = |change: &dyn Fn(&mut GpuEvidence)| {
        let mut bent = good.clone();
        change(&mut bent);
        device.code(&bent)
    };
    assert_eq!(other.code(&good), "root_not_pinned");
    assert_eq!(code(&|e| e.certificates.truncate(1)), "certificate_count");
    assert_eq!(code(&|e| drop(e.certificates.remove(1))), "chain_broken");
    assert_eq!(
        code(&|e| e.certificates[1] = other.certificates[1].clone()),
        "chain_broken"
    );
    assert_eq!(
        code(&|e| e.certificates[0] = e.certificates[1].clone()),
        "leaf_is_ca"
    );
    assert_eq!(
        code(&|e| e.certificates[0].truncate(9)),
        "certificate_malformed"
    );
    assert_eq!(
        code(&|e| e.report = other.sign(&good.report[..good.report.len() - 96])),
        "bad_signature"
    );
    let early = Expected {
        root: device.root(),
        nonce: &NONCE,
        now_ms: 0,
        revoked: None,
    };
    let refused = verify(&good, &early).unwrap_err();
    assert_eq!(refused.code(), "certificate_not_yet_valid");
}

#[test]
fn a_certificate_on_hold_is_refused_where_status_is_checked() {
    let device = Device::new();
    let evidence = device.evidence(&good());
    let judge = |revoked: &BTreeSet<Vec<u8>>| {
        let expected = Expected {
            root: device.root(),
            nonce: &NONCE,
            now_ms: NOW_MS,
            revoked: Some(revoked),
        };
        verify(&evidence, &expected)
    };
    assert!(judge(&BTreeSet::from([vec![1]])).unwrap().status_checked);
    for at in 0..3 {
        let serial = serial_of(&device.certificates[at]).unwrap().to_vec();
        let refused = judge(&BTreeSet::from([serial])).unwrap_err();
        assert_eq!(refused, Refusal::Revoked(at));
    }
}

/// A file with one device.
fn file(evidence: &GpuEvidence) -> Value {
    let pem: String = evidence
        .certificates
        .iter()
        .map(|der| {
            let text = STANDARD.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        })
        .collect();
    json!([{
        "arch": "HOPPER", "nonce": hex::encode(evidence.nonce),
        "evidence": STANDARD.encode(&evidence.report), "certificate": STANDARD.encode(pem),
    }])
}

#[test]
fn files_are_read_device_by_device() {
    let device = Device::new();
    let one = file(&device.evidence(&good()));
    let rows = |value: &Value| {
        let bytes = serde_json::to_vec(value).unwrap();
        let rows = gpu_rows(&bytes, device.root(), NOW_MS, None);
        rows.iter()
            .map(|row| row.reason.unwrap_or("accepted"))
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&one), ["accepted"]);
    assert_eq!(rows(&one[0]), ["accepted"]);
    let with = |name: &str, value: Value| {
        let mut bent = one[0].clone();
        bent[name] = value;
        bent
    };
    let cases = [
        ("wrong_nonce", with("nonce", "00".repeat(32).into())),
        ("encoding", with("nonce", "00".into())),
        ("encoding", with("evidence", "!".into())),
        ("truncated", with("evidence", "".into())),
        ("encoding", with("certificate", "!".into())),
        (
            "certificate_pem",
            with("certificate", STANDARD.encode("x").into()),
        ),
        ("malformed", with("certificate", Value::Null)),
    ];
    for (expected, bent) in &cases {
        assert_eq!(rows(bent), [*expected]);
    }
    let mixed = json!([cases[0].1, one[0], cases[1].1]);
    assert_eq!(rows(&mixed), ["wrong_nonce", "accepted", "encoding"]);
    assert_eq!(rows(&json!([])), ["no_device"]);
    assert_eq!(rows(&json!("x")), ["malformed"]);
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Report::parse(&bytes);
        let _ = GpuEvidence::parse_file(&bytes);
        let _ = firmware_of(&bytes);
        let _ = serial_of(&bytes);
    }

    #[test]
    fn no_damage_to_a_report_makes_the_reader_panic(
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = [good().bytes(), vec![1; 96]].concat();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let _ = Report::parse(&bytes);
    }
}

#[test]
fn recorded_reports_of_real_devices_verify_under_nvidias_root() {
    let Ok(vectors) = std::env::var("REDOUBT_VECTORS") else {
        println!(
            "skipped: recorded_reports_of_real_devices_verify_under_nvidias_root: REDOUBT_VECTORS is not set"
        );
        return;
    };
    let folder = std::path::Path::new(&vectors).join("nvidia");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let pem = String::from_utf8(read("verifier_device_root.pem")).unwrap();
    assert_eq!(root_of_pem(&pem), Ok(NVIDIA_DEVICE_ROOT));
    let rim = String::from_utf8(read("verifier_RIM_root.pem")).unwrap();
    for (name, driver, vbios) in [
        ("hopper_evidence.json", "590.12", "96.00.A5.00.01"),
        (
            "hopper_evidence_cert_hold.json",
            "570.86.10",
            "96.00.AF.00.01",
        ),
    ] {
        let bytes = read(name);
        let row = gpu_rows(&bytes, NVIDIA_DEVICE_ROOT, NOW_MS, None).remove(0);
        assert_eq!((row.verdict, row.reason), (Verdict::Accept, None), "{name}");
        assert_eq!(row.driver_version.as_deref(), Some(driver));
        assert_eq!(row.vbios_version.as_deref(), Some(vbios));
        assert_eq!(row.measurements.unwrap().len(), 64);
        assert!(row.firmware.is_some() && !row.status_checked);
        let other = gpu_rows(&bytes, root_of_pem(&rim).unwrap(), NOW_MS, None);
        assert_eq!(other[0].reason, Some("root_not_pinned"));
        let device = GpuEvidence::parse_file(&bytes).unwrap().remove(0).unwrap();
        // Its own authority on hold: refused once somebody asks.
        let held = BTreeSet::from([serial_of(&device.certificates[1]).unwrap().to_vec()]);
        let asked = gpu_rows(&bytes, NVIDIA_DEVICE_ROOT, NOW_MS, Some(&held));
        assert_eq!(asked[0].reason, Some("certificate_revoked"));
        // A bit in every seventh byte of the report.
        for at in (0..device.report.len()).step_by(7) {
            let mut bent = device.clone();
            bent.report[at] ^= 1 << (at % 8);
            let expected = Expected {
                root: NVIDIA_DEVICE_ROOT,
                nonce: &device.nonce,
                now_ms: NOW_MS,
                revoked: None,
            };
            assert!(verify(&bent, &expected).is_err(), "byte {at}");
        }
    }
}
