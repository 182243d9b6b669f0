//! Documents in every good and bad shape.

mod authenticity;
pub(crate) mod chains;
pub(crate) mod parsing;
mod recorded;
mod unsigned;

use std::collections::BTreeMap;

use super::*;
use crate::attester::{AttestRequest, Attester, EmulatedAttester, emulated_root};
use crate::cbor::Writer;
use crate::conformance::{Verdict, row};
use crate::cose;
use crate::entropy::SystemEntropy;
use crate::genesis::RootKind;

const HOUR_MS: u64 = 3_600_000;

/// A root, its pin, and an attester under it.
struct Bench {
    root: VendorRoot,
    attester: EmulatedAttester,
}

fn bench() -> Bench {
    let (cert, key) = emulated_root("test root").unwrap();
    Bench {
        root: VendorRoot::from_pem(RootKind::NitroEmulated, &cert).unwrap(),
        attester: EmulatedAttester::dangerous_new(&cert, &key, b"program", 0).unwrap(),
    }
}

fn request(length: usize) -> AttestRequest {
    AttestRequest {
        public_key: Some(vec![1; length]),
        user_data: Some(vec![2; length]),
        nonce: Some(vec![3; length]),
    }
}

fn refusal(bytes: &[u8], root: &VendorRoot) -> &'static str {
    verify(bytes, root, Time::OfDocument)
        .expect_err("this document must be refused")
        .code()
}

/// One payload, written field by field, so that each can be written wrongly.
#[derive(Clone)]
struct Payload(Vec<(&'static str, Vec<u8>)>);

fn item(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    write(&mut out);
    out.0
}

fn good_payload() -> Payload {
    let pcrs = item(|w| {
        w.map(16);
        for index in 0..16 {
            w.uint(index);
            w.bytes(&[1; 48]);
        }
    });
    Payload(vec![
        ("module_id", item(|w| w.text("i-1"))),
        ("digest", item(|w| w.text("SHA384"))),
        ("timestamp", item(|w| w.uint(1_700_000_000_000))),
        ("pcrs", pcrs),
        ("certificate", item(|w| w.bytes(&[1; 600]))),
        (
            "cabundle",
            item(|w| {
                w.array(1);
                w.bytes(&[1; 600]);
            }),
        ),
        ("public_key", item(|w| w.bytes_or_null(None))),
        ("user_data", item(|w| w.bytes_or_null(None))),
        ("nonce", item(|w| w.bytes_or_null(None))),
    ])
}

impl Payload {
    fn with(mut self, name: &'static str, value: Vec<u8>) -> Self {
        self.0.iter_mut().find(|(n, _)| *n == name).unwrap().1 = value;
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(n, _)| *n != name);
        self
    }

    /// With this field a second time.
    fn again(self, name: &'static str) -> Self {
        let value = self.0.iter().find(|(n, _)| *n == name).unwrap().1.clone();
        self.and(name, value)
    }

    fn and(mut self, name: &'static str, value: Vec<u8>) -> Self {
        self.0.push((name, value));
        self
    }

    fn map(&self, indefinite: bool) -> Vec<u8> {
        let mut out = Writer::default();
        if indefinite {
            out.0.push(0xbf);
        } else {
            out.map(self.0.len() as u64);
        }
        for (name, value) in &self.0 {
            out.text(name);
            out.0.extend(value);
        }
        if indefinite {
            out.0.push(0xff);
        }
        out.0
    }

    fn document(&self) -> Vec<u8> {
        cose::encode_es384(&self.map(false), &[1; 96])
    }

    fn parsed(&self) -> Result<Document, &'static str> {
        Document::parse(&self.document()).map_err(|error| error.code())
    }
}
