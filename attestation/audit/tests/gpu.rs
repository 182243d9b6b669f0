//! `redoubt-audit gpu` as people run it, over a device and officers of our own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P384_SHA384,
};
use redoubt_attestation::attester::{emulated_root, measure};
use redoubt_attestation::encode::{Digest32, sha256};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{ClientPolicy, Genesis, SignedFile};
use redoubt_attestation::sign::Es256Signer;
use serde_json::{Value, json};
use x509_cert::der::asn1::{BitString, ObjectIdentifier, OctetString};
use x509_cert::der::{DateTime, Decode as _, Encode as _};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId,
    ResponseData, RevokedInfo, SingleResponse, Version,
};

/// When the officers' policy ends, Unix seconds.
const NOT_AFTER_S: u64 = 2_000_000_000;
const NOW: &str = "1900000000";
const NONCE: [u8; 32] = [7; 32];

fn put(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn field(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    [&kind.to_le_bytes()[..], &length.to_le_bytes(), value].concat()
}

/// Request and response of SPDM 1.1, without the signature: measurement n is n, 48 times.
fn report(nonce: &[u8; 32]) -> Vec<u8> {
    let block = |index: u8| [&[index, 1, 51, 0, 1, 48, 0][..], &[index; 48]].concat();
    let record: Vec<u8> = (1..=64).flat_map(block).collect();
    let opaque = [
        field(3, b"590.12\0"),
        field(6, &[0, 0xa5, 0, 0x96, 1, 0, 0, 0]),
        field(11, &[0x55]),
    ]
    .concat();
    [
        &[0x11, 0xe0, 1, 0xff][..],
        nonce,
        &[0],
        &[0x11, 0x60, 0, 0, 64],
        &(record.len() as u32).to_le_bytes()[..3],
        &record,
        &[9; 32],
        &(opaque.len() as u16).to_le_bytes(),
        &opaque,
    ]
    .concat()
}

/// Evidence of a device; its certificate and its root, with the root's key.
struct Device {
    evidence: Value,
    leaf: Certificate,
    root: Certificate,
    root_key: EcdsaKeyPair,
}

fn device(nonce: &[u8; 32]) -> Device {
    let key = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut authority = named("root");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = key();
    let root = authority.self_signed(&root_key).unwrap();
    let root_pkcs8 = root_key.serialize_der();
    let leaf_key = key();
    let issuer = Issuer::new(authority, root_key);
    let leaf = named("device").signed_by(&leaf_key, &issuer).unwrap();
    let signer =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &leaf_key.serialize_der())
            .unwrap();
    let unsigned = report(nonce);
    let signature = signer.sign(&SystemRandom::new(), &unsigned).unwrap();
    let bytes = [&unsigned, signature.as_ref()].concat();
    let chain = leaf.pem() + &root.pem();
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    let evidence = json!({
        "arch": "HOPPER", "nonce": hex::encode(nonce),
        "evidence": base64(&bytes), "certificate": base64(chain.as_bytes()),
    });
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &root_pkcs8);
    Device {
        evidence,
        root_key: key.unwrap(),
        leaf,
        root,
    }
}

/// A file of reference values for these measurements (SPDM's index).
fn rim(version: &str, values: &[(u8, u8)]) -> Vec<u8> {
    let rows: String = values
        .iter()
        .map(|(index, value)| {
            format!(
                "<Resource type='Measurement' index='{}' active='True' alternatives='1' \
                 h:Hash0='{}' name='x' size='48'/>",
                index - 1,
                hex::encode([*value; 48])
            )
        })
        .collect();
    format!(
        "<SoftwareIdentity xmlns='http://standards.iso.org/iso/19770/-2/2015/schema.xsd' \
         xmlns:h='http://www.w3.org/2001/04/xmlenc#sha384'><Meta colloquialVersion='{version}'/>\
         <Payload>{rows}</Payload></SoftwareIdentity>"
    )
    .into_bytes()
}

/// An auditor's desk: a device's evidence, and what officers signed.
struct Desk {
    folder: tempfile::TempDir,
    evidence: String,
    root: String,
    device: Device,
    officer: Es256Signer,
    genesis: Digest32,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = device(&NONCE);
        let officer = Es256Signer::generate(&SystemEntropy).unwrap();
        let (pem, _) = emulated_root("root").unwrap();
        let manifest = json!({
            "type": "redoubt/genesis/v1", "name": "test", "environment": "emulated", "counter": 1,
            "threshold": 1, "officers": [{"id": "officer", "key": officer.jwk()}],
            "secret_commitment": "00".repeat(32),
            "vendor_roots": [{"kind": "nitro_emulated", "pem": pem}],
            "measurements": [{"role": "enclave", "tier": "process", "pcrs": {"0": measure(b"x").to_hex()[&0]}}],
            "witnesses": [], "custodians": [], "created_ms": 1,
        });
        let genesis = Genesis::verify(&signed(&manifest, &officer)).unwrap();
        let policy = ClientPolicy::pin(&genesis).to_json();
        put(folder.path(), "policy.json", &policy);
        let desk = Self {
            evidence: put(
                folder.path(),
                "e.json",
                json!([device.evidence]).to_string().as_bytes(),
            ),
            root: put(folder.path(), "root.pem", device.root.pem().as_bytes()),
            device,
            genesis: genesis.digest,
            folder,
            officer,
        };
        desk.pin(&[]);
        desk
    }

    /// Officers name these files.
    fn pin(&self, files: &[&[u8]]) {
        let digests: Vec<Digest32> = files.iter().map(|file| sha256(&[file])).collect();
        let payload = json!({
            "type": "redoubt/appraisal-policy/v1", "genesis": self.genesis, "counter": 1,
            "not_after_ms": NOT_AFTER_S * 1000, "max_age_ms": 60_000, "withdrawn": [],
            "nvidia_rims": digests,
        });
        let file = signed(&payload, &self.officer);
        put(self.folder.path(), "appraisal.json", &file);
    }

    /// Status, and the report.
    fn judge(&self, files: &[&[u8]], options: &[&str]) -> (Option<i32>, Value) {
        let trust = self.folder.path().to_str().unwrap();
        let mut args: Vec<String> = ["gpu", &self.evidence, "--root", &self.root, "--json"]
            .into_iter()
            .chain(options.iter().copied())
            .map(str::to_owned)
            .collect();
        if !options.contains(&"--at") {
            args.extend(["--at".to_owned(), NOW.to_owned()]);
        }
        for (at, file) in files.iter().enumerate() {
            args.extend([
                "--rim".to_owned(),
                put(self.folder.path(), &format!("rim{at}"), file),
            ]);
        }
        if !files.is_empty() {
            args.extend(["--trust".to_owned(), trust.to_owned()]);
        }
        let out = Command::new(env!("CARGO_BIN_EXE_redoubt-audit"))
            .args(&args)
            .output()
            .unwrap();
        let report = serde_json::from_slice(&out.stdout).unwrap_or_default();
        (out.status.code(), report)
    }

    fn code(&self, files: &[&[u8]], options: &[&str]) -> String {
        let (status, report) = self.judge(files, options);
        assert_eq!(status, Some(i32::from(report["ok"] != true)), "{report}");
        report["code"].as_str().unwrap_or("accepted").to_owned()
    }
}

fn signed(payload: &Value, officer: &Es256Signer) -> Vec<u8> {
    let mut file = SignedFile::unsigned(payload.to_string().as_bytes());
    file.sign("officer", officer).unwrap();
    file.to_json()
}

#[test]
fn a_device_is_judged_by_reference_values_that_officers_named() {
    let desk = Desk::new();
    let driver = rim("590.12", &[(8, 8), (36, 36)]);
    let vbios = rim("96.00.A5.00.01", &[(1, 1), (64, 64)]);
    let files = [&driver[..], &vbios];
    assert_eq!(desk.code(&files, &[]), "rim_not_pinned");
    desk.pin(&files);
    let (_, report) = desk.judge(&files, &[]);
    assert_eq!(report["ok"], true, "{report}");
    let device = &report["devices"][0];
    assert_eq!(device["equal"], json!([1, 8, 36, 64]));
    assert_eq!(device["reference_values_compared"], true);
    let said = report["unverified"].to_string();
    for word in ["revocation", "digest", "--nonce"] {
        assert!(said.contains(word), "{said}");
    }
    // Another value, and a file of another version: named by officers, too.
    let other = rim("96.00.A5.00.01", &[(1, 2), (3, 3), (64, 1)]);
    let newer = rim("590.13", &[(8, 8)]);
    desk.pin(&[&driver, &other, &newer]);
    let (status, report) = desk.judge(&[&driver, &other], &[]);
    assert_eq!(
        (status, &report["code"]),
        (Some(1), &json!("measurement_differs"))
    );
    assert!(
        report["reason"].as_str().unwrap().contains("[1, 64]"),
        "{report}"
    );
    assert_eq!(desk.code(&[&newer, &other], &[]), "rim_missing");
    assert_eq!(desk.code(&[&driver], &[]), "rim_missing");
    assert_eq!(desk.code(&files, &[]), "rim_not_pinned");
}

#[test]
fn a_policy_that_ended_or_that_nobody_signed_names_nothing() {
    let desk = Desk::new();
    let (driver, vbios) = (rim("590.12", &[(8, 8)]), rim("96.00.A5.00.01", &[(1, 1)]));
    let files = [&driver[..], &vbios];
    desk.pin(&files);
    assert_eq!(desk.code(&files, &["--at", "2000000000"]), "accepted");
    assert_eq!(desk.code(&files, &["--at", "2000000001"]), "policy_expired");
    let stranger = Es256Signer::generate(&SystemEntropy).unwrap();
    let desk = Desk {
        officer: stranger,
        ..desk
    };
    desk.pin(&files);
    assert_eq!(desk.code(&files, &[]), "policy_not_signed");
    std::fs::remove_file(desk.folder.path().join("appraisal.json")).unwrap();
    assert_eq!(desk.judge(&files, &[]).0, Some(2));
}

#[test]
fn what_was_not_asked_is_not_called_verified() {
    let desk = Desk::new();
    let (_, report) = desk.judge(&[], &[]);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["devices"][0]["reference_values_compared"], false);
    assert!(report["unverified"].to_string().contains("firmware"));
    let nonce = hex::encode(NONCE);
    let (_, report) = desk.judge(&[], &["--nonce", &nonce]);
    assert_eq!(report["ok"], true);
    assert!(!report["unverified"].to_string().contains("--nonce"));
    assert_eq!(
        desk.code(&[], &["--nonce", &"00".repeat(32)]),
        "wrong_nonce"
    );
    for usage in [
        &["--ocsp", "/nonexistent"],
        &["--nonce", "00"][..],
        &["--at", "x"],
        &["--rim", "x"],
        &["--trust", "x"],
    ] {
        assert_eq!(desk.judge(&[], usage).0, Some(2), "{usage:?}");
    }
    let stranger = device(&NONCE).root.pem();
    put(desk.folder.path(), "root.pem", stranger.as_bytes());
    assert_eq!(desk.code(&[], &[]), "root_not_pinned");
}

/// The root's answer about the device's certificate, from five minutes before [`NOW`].
fn answer(device: &Device, status: CertStatus) -> Vec<u8> {
    let read = |certificate: &Certificate| {
        x509_cert::Certificate::from_der(certificate.der())
            .unwrap()
            .tbs_certificate
    };
    let (leaf, root) = (read(&device.leaf), read(&device.root));
    let sha1 = |value: &[u8]| {
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, value);
        OctetString::new(hash.as_ref()).unwrap()
    };
    let algorithm = |oid| AlgorithmIdentifierOwned {
        oid: ObjectIdentifier::new_unwrap(oid),
        parameters: None,
    };
    let before = Duration::from_secs(NOW.parse::<u64>().unwrap() - 300);
    let before: OcspGeneralizedTime = DateTime::from_unix_duration(before).unwrap().into();
    let key = root
        .subject_public_key_info
        .subject_public_key
        .as_bytes()
        .unwrap();
    let data = ResponseData {
        version: Version::V1,
        produced_at: before,
        responses: vec![SingleResponse {
            cert_id: CertId {
                hash_algorithm: algorithm("1.3.14.3.2.26"),
                issuer_name_hash: sha1(&root.subject.to_der().unwrap()),
                issuer_key_hash: sha1(key),
                serial_number: leaf.serial_number,
            },
            cert_status: status,
            this_update: before,
            next_update: None,
            single_extensions: None,
        }],
        responder_id: ResponderId::ByName(root.subject.clone()),
        response_extensions: None,
    };
    let signed = data.to_der().unwrap();
    let signature = device.root_key.sign(&SystemRandom::new(), &signed).unwrap();
    let basic = BasicOcspResponse {
        tbs_response_data: data,
        signature_algorithm: algorithm("1.2.840.10045.4.3.3"),
        signature: BitString::from_bytes(signature.as_ref()).unwrap(),
        certs: None,
    };
    OcspResponse::successful(basic).unwrap().to_der().unwrap()
}

#[test]
fn a_recorded_answer_says_whether_a_certificate_is_good() {
    let desk = Desk::new();
    let file = |name, status| put(desk.folder.path(), name, &answer(&desk.device, status));
    let good = file("good", CertStatus::good());
    let (_, report) = desk.judge(&[], &["--ocsp", &good]);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["devices"][0]["status_checked"], true);
    assert!(!report["unverified"].to_string().contains("revocation"));
    let revoked = CertStatus::revoked(RevokedInfo {
        revocation_time: DateTime::new(2025, 1, 1, 0, 0, 0).unwrap().into(),
        revocation_reason: None,
    });
    let revoked = file("revoked", revoked);
    assert_eq!(desk.code(&[], &["--ocsp", &revoked]), "certificate_revoked");
    let both = ["--ocsp", &good, "--ocsp", &revoked];
    assert_eq!(desk.code(&[], &both), "certificate_revoked");
    // Two hours later nobody knows.
    let later = ["--ocsp", &good, "--at", "1900007200"];
    assert_eq!(desk.code(&[], &later), "ocsp_time");
    let stranger = device(&NONCE);
    let other = answer(&stranger, CertStatus::good());
    let other = put(desk.folder.path(), "other", &other);
    assert_eq!(desk.code(&[], &["--ocsp", &other]), "ocsp_missing");
    let none = put(desk.folder.path(), "none", b"none");
    assert_eq!(desk.code(&[], &["--ocsp", &none]), "ocsp_malformed");
    assert_eq!(desk.judge(&[], &["--ocsp", "/nonexistent"]).0, Some(2));
}
