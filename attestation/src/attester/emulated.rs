//! An attester for development: the exact Nitro format, signed by a key in a file.
//!
//! Protects nobody: whoever can read the file can claim any measurement. Its
//! documents chain to their own root, which only a genesis manifest of
//! environment `emulated` may name.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{Issuer, KeyPair};
use time::{Duration, OffsetDateTime};

use super::certificates::{CertificateError, leaf};
use super::{AttestRequest, Attester, AttesterError, check_lengths};
use crate::cbor::Writer;
use crate::cose;
use crate::document::Pcrs;
use crate::encode::sha384;
use crate::entropy::{Entropy, EntropyError, SystemEntropy, draw};
use crate::genesis::{Environment, anchor_der};

const LEAF_LIFE: Duration = Duration::hours(3);
const RENEW_BEFORE: Duration = Duration::minutes(30);
const CLOCK_SLACK: Duration = Duration::minutes(1);
const REGISTERS: u8 = 16;

/// The registers of a program run as an emulated enclave: PCR 0 and 2 measure
/// its bytes, PCR 1 a fixed name; the rest are zero.
pub fn measure(exe_bytes: &[u8]) -> Pcrs {
    let image = extend(exe_bytes);
    let mut pcrs: BTreeMap<u8, Vec<u8>> = (0..REGISTERS).map(|i| (i, vec![0; 48])).collect();
    pcrs.insert(0, image.to_vec());
    pcrs.insert(1, extend(b"redoubt emulated kernel").to_vec());
    pcrs.insert(2, image.to_vec());
    Pcrs(pcrs)
}

/// A register that was zero, extended once with the data's digest.
fn extend(data: &[u8]) -> [u8; 48] {
    sha384(&[&[0; 48], &sha384(&[data])])
}

struct Leaf {
    certificate: Vec<u8>,
    key: EcdsaKeyPair,
    not_after: OffsetDateTime,
}

/// Signs documents with a key in memory.
pub struct EmulatedAttester {
    root: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
    module_id: String,
    pcrs: Pcrs,
    time_offset_ms: i64,
    leaf: Mutex<Option<Leaf>>,
}

impl EmulatedAttester {
    /// From a root and the bytes of the program to claim. `time_offset_ms` moves
    /// the signed clock, so that tests can cross half an hour.
    pub fn dangerous_new(
        root_cert_pem: &str,
        root_key_pem: &str,
        exe_bytes: &[u8],
        time_offset_ms: i64,
    ) -> Result<Self, AttesterError> {
        Self::dangerous_with_pcrs(
            root_cert_pem,
            root_key_pem,
            measure(exe_bytes),
            time_offset_ms,
        )
    }

    /// As [`Self::dangerous_new`], claiming any registers at all.
    pub fn dangerous_with_pcrs(
        root_cert_pem: &str,
        root_key_pem: &str,
        pcrs: Pcrs,
        time_offset_ms: i64,
    ) -> Result<Self, AttesterError> {
        let wrong = |problem: String| CertificateError::new("reading the root", problem);
        let key = KeyPair::from_pem(root_key_pem).map_err(|error| wrong(error.to_string()))?;
        let issuer = Issuer::from_ca_cert_pem(root_cert_pem, key)
            .map_err(|error| wrong(error.to_string()))?;
        let serial: [u8; 8] = draw(&SystemEntropy)?;
        Ok(Self {
            root: anchor_der(root_cert_pem).map_err(wrong)?.to_vec(),
            issuer,
            module_id: format!("i-0emulated-enc{}", hex::encode(serial)),
            pcrs,
            time_offset_ms,
            leaf: Mutex::new(None),
        })
    }

    fn clock(&self) -> Result<OffsetDateTime, AttesterError> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| AttesterError::Clock)?;
        let ms = i128::try_from(since.as_millis()).map_err(|_| AttesterError::Clock)?
            + i128::from(self.time_offset_ms);
        if ms <= 0 {
            return Err(AttesterError::Clock);
        }
        OffsetDateTime::from_unix_timestamp_nanos(ms * 1_000_000).map_err(|_| AttesterError::Clock)
    }

    fn new_leaf(&self, now: OffsetDateTime) -> Result<Leaf, AttesterError> {
        // Certificates count whole seconds, and clocks step back a little.
        let from = now
            .replace_nanosecond(0)
            .map_err(|_| AttesterError::Clock)?
            - CLOCK_SLACK;
        let until = from + LEAF_LIFE;
        let (certificate, pkcs8) = leaf(&self.issuer, &self.module_id, from, until)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &pkcs8)
            .map_err(|error| CertificateError::new("making a leaf", error))?;
        Ok(Leaf {
            certificate,
            key,
            not_after: until,
        })
    }

    fn payload(&self, request: &AttestRequest, now: OffsetDateTime, certificate: &[u8]) -> Vec<u8> {
        let AttestRequest {
            public_key,
            user_data,
            nonce,
        } = request;
        let mut out = Writer::default();
        out.map(9);
        out.text("module_id");
        out.text(&self.module_id);
        out.text("digest");
        out.text("SHA384");
        out.text("timestamp");
        out.uint((now.unix_timestamp_nanos() / 1_000_000) as u64);
        out.text("pcrs");
        out.map(self.pcrs.0.len() as u64);
        for (index, value) in &self.pcrs.0 {
            out.uint((*index).into());
            out.bytes(value);
        }
        out.text("certificate");
        out.bytes(certificate);
        out.text("cabundle");
        out.array(1);
        out.bytes(&self.root);
        out.text("public_key");
        out.bytes_or_null(public_key.as_deref());
        out.text("user_data");
        out.bytes_or_null(user_data.as_deref());
        out.text("nonce");
        out.bytes_or_null(nonce.as_deref());
        out.0
    }
}

impl Entropy for EmulatedAttester {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        SystemEntropy.fill(out)
    }
}

impl Attester for EmulatedAttester {
    fn environment(&self) -> Environment {
        Environment::Emulated
    }

    fn attest(&self, request: &AttestRequest) -> Result<Vec<u8>, AttesterError> {
        check_lengths(request)?;
        let now = self.clock()?;
        let mut slot = self.leaf.lock().unwrap_or_else(PoisonError::into_inner);
        let leaf = match slot.take() {
            Some(leaf) if now + RENEW_BEFORE < leaf.not_after => slot.insert(leaf),
            _ => slot.insert(self.new_leaf(now)?),
        };
        let payload = self.payload(request, now, &leaf.certificate);
        let signature = leaf
            .key
            .sign(&SystemRandom::new(), &cose::es384_signed_bytes(&payload))
            .map_err(|error| CertificateError::new("signing", error))?;
        Ok(cose::encode_es384(&payload, signature.as_ref()))
    }

    fn pcrs(&self) -> Result<Pcrs, AttesterError> {
        Ok(self.pcrs.clone())
    }
}
