use std::collections::BTreeMap;

use proptest::prelude::*;

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

#[test]
fn an_emulated_document_verifies_under_its_own_root_and_no_other() {
    let (ours, theirs) = (bench(), bench());
    let bytes = ours.attester.attest(&request(32)).unwrap();
    let verified = verify(&bytes, &ours.root, Time::OfDocument).unwrap();
    assert_eq!(verified.root, RootKind::NitroEmulated);
    assert!(!verified.debug);
    assert_eq!(verified.document.pcrs, ours.attester.pcrs().unwrap());
    assert_eq!(verified.document.nonce.as_deref(), Some(&[3; 32][..]));
    assert_eq!(refusal(&bytes, &theirs.root), "root_not_pinned");
    assert_eq!(refusal(&bytes, &VendorRoot::aws_nitro()), "root_not_pinned");
}

#[test]
fn fields_of_1024_bytes_are_carried_and_1025_are_refused_on_both_sides() {
    let bench = bench();
    let bytes = bench.attester.attest(&request(1024)).unwrap();
    let verified = verify(&bytes, &bench.root, Time::OfDocument).unwrap();
    assert_eq!(verified.document.user_data.unwrap().len(), 1024);
    assert!(bench.attester.attest(&request(1025)).is_err());
    for name in ["public_key", "user_data", "nonce"] {
        let long = good_payload().with(name, item(|w| w.bytes(&[0; 1025])));
        assert_eq!(long.parsed().unwrap_err(), format!("{name}_length"));
        let full = good_payload().with(name, item(|w| w.bytes(&[0; 1024])));
        full.parsed().unwrap();
    }
}

#[test]
fn optional_fields_may_be_null_absent_or_empty() {
    for name in ["public_key", "user_data", "nonce"] {
        assert_eq!(good_payload().parsed().unwrap().nonce, None);
        good_payload().without(name).parsed().unwrap();
        let empty = good_payload()
            .with(name, item(|w| w.bytes(&[])))
            .parsed()
            .unwrap();
        let fields = [empty.public_key, empty.user_data, empty.nonce];
        assert_eq!(
            fields.into_iter().flatten().collect::<Vec<_>>(),
            [Vec::<u8>::new()],
            "{name}"
        );
    }
}

#[test]
fn sixteen_seventeen_and_thirtytwo_registers_of_each_length_are_accepted() {
    for count in [1u64, 16, 17, 32] {
        for length in [32, 48, 64] {
            let pcrs = item(|w| {
                w.map(count);
                for index in 0..count {
                    w.uint(index);
                    w.bytes(&vec![7; length]);
                }
            });
            let document = good_payload().with("pcrs", pcrs).parsed().unwrap();
            assert_eq!(document.pcrs.0.len() as u64, count);
        }
    }
}

#[test]
fn definite_and_indefinite_maps_say_the_same() {
    let payload = good_payload();
    let definite = Document::parse(&payload.document()).unwrap();
    let pcrs = item(|w| {
        w.0.push(0xbf);
        for index in 0..16 {
            w.uint(index);
            w.bytes(&[1; 48]);
        }
        w.0.push(0xff);
    });
    let cabundle = item(|w| {
        w.0.push(0x9f);
        w.bytes(&[1; 600]);
        w.0.push(0xff);
    });
    let open = payload
        .with("pcrs", pcrs)
        .with("cabundle", cabundle)
        .map(true);
    let indefinite = Document::parse(&cose::encode_es384(&open, &[1; 96])).unwrap();
    assert_eq!(definite, indefinite);
    let unclosed = cose::encode_es384(&open[..open.len() - 1], &[1; 96]);
    assert_eq!(Document::parse(&unclosed).unwrap_err().code(), "truncated");
}

#[test]
fn each_malformed_payload_is_refused_for_its_own_reason() {
    let text = |value: &'static str| item(|w| w.text(value));
    let pcr = |index: u64, length: usize| {
        item(|w| {
            w.map(1);
            w.uint(index);
            w.bytes(&vec![0; length]);
        })
    };
    let twice = item(|w| {
        w.map(2);
        (0..2).for_each(|_| {
            w.uint(3);
            w.bytes(&[0; 48]);
        });
    });
    let bundle = |lengths: &[usize]| {
        item(|w| {
            w.array(lengths.len() as u64);
            lengths.iter().for_each(|length| w.bytes(&vec![0; *length]));
        })
    };
    let good = good_payload;
    let cases = [
        ("module_id_empty", good().with("module_id", text(""))),
        ("wrong_digest", good().with("digest", text("SHA256"))),
        (
            "timestamp_zero",
            good().with("timestamp", item(|w| w.uint(0))),
        ),
        ("wrong_type", good().with("timestamp", text("now"))),
        ("pcr_count", good().with("pcrs", item(|w| w.map(0)))),
        ("pcr_index", good().with("pcrs", pcr(32, 48))),
        ("pcr_index", good().with("pcrs", pcr(256, 48))),
        ("pcr_length", good().with("pcrs", pcr(0, 47))),
        ("pcr_length", good().with("pcrs", pcr(0, 0))),
        ("duplicate_pcr", good().with("pcrs", twice)),
        (
            "certificate_length",
            good().with("certificate", item(|w| w.bytes(&[]))),
        ),
        (
            "certificate_length",
            good().with("certificate", item(|w| w.bytes(&[0; 1025]))),
        ),
        ("wrong_type", good().with("certificate", vec![0xf6])),
        ("cabundle_empty", good().with("cabundle", bundle(&[]))),
        ("cabundle_count", good().with("cabundle", bundle(&[1; 17]))),
        (
            "cabundle_certificate_length",
            good().with("cabundle", bundle(&[600, 0])),
        ),
        (
            "cabundle_certificate_length",
            good().with("cabundle", bundle(&[600, 1025])),
        ),
        (
            "chunked_string",
            good().with("nonce", vec![0x5f, 0x41, 0, 0xff]),
        ),
        ("unknown_field", good().and("extra", vec![0xf6])),
        ("duplicate_field", good().and("nonce", vec![0xf6])),
        ("duplicate_field", good().and("pcrs", pcr(0, 48))),
    ];
    for (reason, payload) in cases {
        assert_eq!(payload.parsed().unwrap_err(), reason);
    }
    for name in [
        "module_id",
        "digest",
        "timestamp",
        "pcrs",
        "certificate",
        "cabundle",
    ] {
        assert_eq!(
            good().without(name).parsed().unwrap_err(),
            "missing_field",
            "{name}"
        );
    }
}

#[test]
fn each_malformed_wrapper_is_refused_for_its_own_reason() {
    let good = good_payload();
    let map = good.map(false);
    let wrapped = |protected: &[u8], unprotected: &[u8], rest: &[u8]| {
        let mut out = Writer::default();
        out.array(4);
        out.bytes(protected);
        out.0.extend(unprotected);
        out.bytes(&map);
        out.bytes(&[1; 96]);
        out.0.extend(rest);
        out.0
    };
    let es384 = [0xa1, 0x01, 0x38, 0x22];
    let plain = wrapped(&es384, &[0xa0], &[]);
    Document::parse(&plain).unwrap();
    Document::parse(&[&[0xd2], &plain[..]].concat()).expect("tag 18");
    Document::parse(&wrapped(&es384, &[0xbf, 0xff], &[])).expect("indefinite empty map");
    let five = item(|w| {
        w.array(5);
        w.bytes(&es384);
        w.map(0);
        w.bytes(&map);
        w.bytes(&[1; 96]);
        w.bytes(&[]);
    });
    let three = item(|w| {
        w.array(3);
        w.bytes(&es384);
        w.map(0);
        w.bytes(&map);
    });
    let cases = [
        ("wrong_tag", [&[0xd1], &plain[..]].concat()),
        ("trailing_bytes", wrapped(&es384, &[0xa0], &[0])),
        (
            "trailing_bytes",
            wrapped(&[0xa1, 0x01, 0x38, 0x22, 0], &[0xa0], &[]),
        ),
        (
            "unprotected_header",
            wrapped(&es384, &[0xa1, 0x04, 0x40], &[]),
        ),
        ("protected_header", wrapped(&[0xa0], &[0xa0], &[])),
        (
            "protected_header",
            wrapped(&[0xa1, 0x04, 0x00], &[0xa0], &[]),
        ),
        (
            "duplicate_algorithm",
            wrapped(&[0xa2, 1, 0x38, 0x22, 1, 0x38, 0x22], &[0xa0], &[]),
        ),
        (
            "wrong_algorithm",
            wrapped(&[0xa1, 0x01, 0x26], &[0xa0], &[]),
        ),
        ("wrong_type", wrapped(&[0x01], &[0xa0], &[])),
        ("wrong_type", vec![0xa0]),
        ("not_cose_sign1", five),
        ("not_cose_sign1", three),
        ("truncated", vec![]),
        ("too_large", vec![0; DOCUMENT_MAX + 1]),
    ];
    for (reason, bytes) in cases {
        assert_eq!(Document::parse(&bytes).unwrap_err().code(), reason);
    }
}

#[test]
fn every_truncation_is_refused_as_one() {
    let bytes = good_payload().document();
    for end in 0..bytes.len() {
        assert_eq!(
            Document::parse(&bytes[..end]).unwrap_err().code(),
            "truncated",
            "{end}"
        );
    }
}

#[test]
fn a_document_that_qemu_left_unsigned_is_refused_for_that() {
    let map = good_payload()
        .with("certificate", item(|w| w.bytes(&[])))
        .with("cabundle", item(|w| w.array(0)))
        .map(false);
    let unsigned = |protected: &[u8], signature: &[u8]| {
        item(|w| {
            w.array(4);
            w.bytes(protected);
            w.map(0);
            w.bytes(&map);
            w.bytes(signature);
        })
    };
    let qemu = unsigned(&[0xa1, 0x01, 0x20], &[0; 64]);
    assert_eq!(refusal(&qemu, &VendorRoot::aws_nitro()), "unsigned");
    // The marker alone, or the missing signature alone, is enough.
    for (protected, signature) in [
        (&[0xa1, 0x01, 0x20][..], &[1; 96][..]),
        (&[0xa1, 0x01, 0x38, 0x22], &[0; 96]),
        (&[0xa1, 0x01, 0x38, 0x22], &[]),
    ] {
        let bytes = unsigned(protected, signature);
        assert_eq!(refusal(&bytes, &VendorRoot::aws_nitro()), "unsigned");
    }
    // Its time can still be asked for by the machine it belongs to.
    assert_eq!(timestamp_of(&qemu).unwrap(), 1_700_000_000_000);
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let bench = bench();
    let bytes = bench.attester.attest(&request(8)).unwrap();
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 1 << (at % 8);
        assert!(
            verify(&bent, &bench.root, Time::OfDocument).is_err(),
            "byte {at}"
        );
    }
}

#[test]
fn a_changed_field_breaks_the_signature() {
    let bench = bench();
    let bytes = bench.attester.attest(&request(8)).unwrap();
    let document = Document::parse(&bytes).unwrap();
    let flip = |needle: &[u8]| {
        let at = bytes
            .windows(needle.len())
            .position(|w| w == needle)
            .unwrap();
        let mut bent = bytes.clone();
        bent[at + needle.len() - 1] ^= 1;
        refusal(&bent, &bench.root)
    };
    assert_eq!(flip(&[1; 8]), "bad_signature", "public_key");
    assert_eq!(flip(&[2; 8]), "bad_signature", "user_data");
    assert_eq!(flip(&[3; 8]), "bad_signature", "nonce");
    assert_eq!(flip(&document.pcrs.0[&0]), "bad_signature", "PCR0");
    assert_eq!(
        flip(document.module_id.as_bytes()),
        "bad_signature",
        "module_id"
    );
    let stamp = [&[0x1b][..], &document.timestamp_ms.to_be_bytes()].concat();
    assert_eq!(flip(&stamp), "bad_signature", "timestamp");
    assert_eq!(flip(&document.cabundle[0]), "root_not_pinned", "root");
    assert_eq!(flip(&document.certificate), "chain_broken", "leaf");
    assert_eq!(
        flip(&bytes[bytes.len() - 96..]),
        "bad_signature",
        "signature"
    );
}

#[test]
fn the_malleable_twin_verifies_since_bytes_are_no_identity() {
    let bench = bench();
    let bytes = bench.attester.attest(&request(8)).unwrap();
    let start = bytes.len() - 96;
    let signature = p384::ecdsa::Signature::from_slice(&bytes[start..]).unwrap();
    let twin = p384::ecdsa::Signature::from_scalars(
        signature.r().to_bytes(),
        (-*signature.s()).to_bytes(),
    )
    .unwrap();
    let mut other = bytes.clone();
    other[start..].copy_from_slice(&twin.to_bytes());
    assert_ne!(bytes, other);
    verify(&other, &bench.root, Time::OfDocument).unwrap();
}

#[test]
fn a_signature_of_another_length_is_refused() {
    let bench = bench();
    let bytes = bench.attester.attest(&request(8)).unwrap();
    let cose = cose::CoseSign1::parse(&bytes).unwrap();
    let short = cose::encode_es384(cose.payload, &cose.signature[..95]);
    assert_eq!(refusal(&short, &bench.root), "signature_length");
}

#[test]
fn certificates_are_judged_at_the_time_asked_for() {
    let bench = bench();
    let bytes = bench.attester.attest(&request(8)).unwrap();
    let made = Document::parse(&bytes).unwrap().timestamp_ms;
    let at = |ms| verify(&bytes, &bench.root, Time::At(ms)).map_err(|refusal| refusal.code());
    at(made).unwrap();
    at(made + 2 * HOUR_MS).unwrap();
    assert_eq!(at(made + 4 * HOUR_MS).unwrap_err(), "certificate_expired");
    assert_eq!(at(made - HOUR_MS).unwrap_err(), "certificate_not_yet_valid");
}

#[test]
fn debug_mode_is_reported() {
    let (cert, key) = emulated_root("test root").unwrap();
    let zero: BTreeMap<u8, Vec<u8>> = (0..16).map(|i| (i, vec![u8::from(i > 2); 48])).collect();
    let attester = EmulatedAttester::dangerous_with_pcrs(&cert, &key, Pcrs(zero), 0).unwrap();
    let root = VendorRoot::from_pem(RootKind::NitroEmulated, &cert).unwrap();
    let bytes = attester.attest(&request(8)).unwrap();
    assert!(verify(&bytes, &root, Time::OfDocument).unwrap().debug);
    let row = row(&bytes, &root, None);
    assert_eq!((row.verdict, row.debug), (Verdict::Accept, Some(true)));
}

#[test]
fn a_leaf_that_is_the_root_itself_is_refused() {
    let (cert, key) = emulated_root("test root").unwrap();
    let root = VendorRoot::from_pem(RootKind::NitroEmulated, &cert).unwrap();
    let der = crate::genesis::anchor_der(&cert).unwrap();
    let payload = good_payload()
        .with("certificate", item(|w| w.bytes(&der)))
        .with(
            "cabundle",
            item(|w| {
                w.array(1);
                w.bytes(&der);
            }),
        )
        .with("timestamp", item(|w| w.uint(bench_now())))
        .map(false);
    let signer = rcgen::KeyPair::from_pem(&key).unwrap();
    let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(
        &aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        &signer.serialize_der(),
    )
    .unwrap();
    let random = aws_lc_rs::rand::SystemRandom::new();
    let signature = pair
        .sign(&random, &cose::es384_signed_bytes(&payload))
        .unwrap();
    let bytes = cose::encode_es384(&payload, signature.as_ref());
    assert_eq!(refusal(&bytes, &root), "chain_broken");
}

fn bench_now() -> u64 {
    bench().attester.now_ms().unwrap()
}

#[test]
fn other_parsers_of_the_field_read_our_documents() {
    use aws_nitro_enclaves_nsm_api::api::AttestationDoc;
    use coset::{CborSerializable, CoseSign1};
    let bench = bench();
    let bytes = bench.attester.attest(&request(40)).unwrap();
    let cose = CoseSign1::from_slice(&bytes).unwrap();
    let theirs = AttestationDoc::from_binary(cose.payload.as_ref().unwrap()).unwrap();
    let ours = Document::parse(&bytes).unwrap();
    assert_eq!(theirs.module_id, ours.module_id);
    assert_eq!(theirs.timestamp, ours.timestamp_ms);
    assert_eq!(theirs.nonce.unwrap().into_vec(), ours.nonce.unwrap());
    assert_eq!(theirs.pcrs.len(), ours.pcrs.0.len());
    assert_eq!(
        cose.tbs_data(&[]),
        cose::CoseSign1::parse(&bytes).unwrap().signed_bytes()
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Document::parse(&bytes);
        let _ = timestamp_of(&bytes);
        let _ = row(&bytes, &VendorRoot::aws_nitro(), None);
    }

    #[test]
    fn no_damage_to_a_document_makes_the_parser_panic(
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = good_payload().document();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let _ = row(&bytes, &VendorRoot::aws_nitro(), Some(1));
    }
}

mod recorded {
    use super::*;
    use serde_json::Value;

    fn vectors(test: &str) -> Option<std::path::PathBuf> {
        let folder = std::env::var("REDOUBT_VECTORS").ok();
        if folder.is_none() {
            println!("skipped: {test}: REDOUBT_VECTORS is not set");
        }
        folder.map(|folder| std::path::Path::new(&folder).join("nitro"))
    }

    #[test]
    fn real_documents_verify_at_their_own_time_against_the_aws_root() {
        let Some(folder) = vectors("real_documents_verify_at_their_own_time_against_the_aws_root")
        else {
            return;
        };
        let index: Vec<Value> =
            serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
        let mut seen = 0;
        for expected in index.iter().filter(|entry| entry["verdict"] == "OK") {
            let name = expected["file"].as_str().unwrap();
            let bytes = std::fs::read(folder.join(name)).unwrap();
            let verified = verify(&bytes, &VendorRoot::aws_nitro(), Time::OfDocument)
                .unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            let document = &verified.document;
            assert_eq!(verified.debug, expected["debug"], "{name}");
            assert_eq!(document.pcrs.0.len() as u64, expected["npcr"], "{name}");
            assert_eq!(document.timestamp_ms, expected["timestamp"], "{name}");
            let nonzero: BTreeMap<String, Value> = document
                .pcrs
                .to_hex()
                .into_iter()
                .filter(|(_, value)| value.bytes().any(|b| b != b'0'))
                .map(|(index, value)| (index.to_string(), value.into()))
                .collect();
            assert_eq!(
                serde_json::to_value(nonzero).unwrap(),
                expected["pcrs"],
                "{name}"
            );
            for (field, value) in [
                ("user_data", &document.user_data),
                ("nonce", &document.nonce),
                ("public_key", &document.public_key),
            ] {
                let said = value.as_ref().map(|v| format!("{}B:", v.len()));
                match (expected[field].as_str(), said) {
                    (Some(text), Some(said)) => assert!(text.starts_with(&said), "{name} {field}"),
                    (None, None) => {}
                    other => panic!("{name} {field}: {other:?}"),
                }
            }
            let late = verify(
                &bytes,
                &VendorRoot::aws_nitro(),
                Time::At(document.timestamp_ms + 24 * HOUR_MS),
            );
            assert_eq!(late.unwrap_err().code(), "certificate_expired", "{name}");
            let mut bent = bytes.clone();
            *bent.last_mut().unwrap() ^= 1;
            assert_eq!(
                refusal(&bent, &VendorRoot::aws_nitro()),
                "bad_signature",
                "{name}"
            );
            seen += 1;
        }
        assert!(seen >= 8, "only {seen} documents were found");
    }

    #[test]
    fn real_signatures_verify_in_the_second_implementation_too() {
        let Some(folder) = vectors("real_signatures_verify_in_the_second_implementation_too")
        else {
            return;
        };
        let name = "ok_2025-09-16_tkhq-rust-sdk_ce1e1c6e.cose";
        let bytes = std::fs::read(folder.join(name)).unwrap();
        verify_twice(&bytes, &VendorRoot::aws_nitro(), Time::OfDocument).unwrap();
    }

    #[test]
    fn recorded_negatives_are_refused_and_the_recorded_twin_verifies() {
        let Some(folder) = vectors("recorded_negatives_are_refused_and_the_recorded_twin_verifies")
        else {
            return;
        };
        let folder = folder.join("negative");
        let judge = |name: &str| {
            row(
                &std::fs::read(folder.join(name)).unwrap(),
                &VendorRoot::aws_nitro(),
                None,
            )
        };
        for (name, reason) in [
            // Its unprotected header is null where a map belongs.
            ("blocky_selfsigned_attestation.cose", "wrong_type"),
            (
                "notaws_2024-12-13_marlinprotocol-oyster-monorepo_d8032479.cose",
                "root_not_pinned",
            ),
        ] {
            let row = judge(name);
            assert_eq!(
                (row.verdict, row.reason),
                (Verdict::Refuse, Some(reason)),
                "{name}"
            );
        }
        let twin = judge(
            "malleable_twin_of_ok_2021-03-17_anjuna-security-go-nitro-attestation_234f1201.cose",
        );
        assert_eq!(twin.verdict, Verdict::Accept, "{:?}", twin.reason);
    }

    #[test]
    fn a_channel_binding_of_the_field_is_found_in_user_data() {
        let Some(folder) = vectors("a_channel_binding_of_the_field_is_found_in_user_data") else {
            return;
        };
        let name = "ok_2023-09-18_evervault-attestation-doc-validation_6f80ac25.cose";
        let document = Document::parse(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        let der = std::fs::read(folder.join("evervault_ga_channel_binding_cert.der")).unwrap();
        let spki = crate::genesis::spki_of(&der).unwrap();
        assert_eq!(document.user_data.unwrap(), spki);
    }
}

#[test]
fn the_emulated_attester_hands_out_entropy_and_its_own_time() {
    let (cert, key) = emulated_root("test root").unwrap();
    let offset =
        EmulatedAttester::dangerous_new(&cert, &key, b"program", 2 * HOUR_MS as i64).unwrap();
    let now = bench_now();
    let ahead = offset.now_ms().unwrap();
    assert!((now + 2 * HOUR_MS - 60_000..now + 2 * HOUR_MS + 60_000).contains(&ahead));
    let (mut a, mut b) = ([0; 32], [0; 32]);
    offset.random(&mut a).unwrap();
    offset.random(&mut b).unwrap();
    assert_ne!(a, b);
    // The same source by its other name.
    crate::entropy::Entropy::fill(&SystemEntropy, &mut a).unwrap();
}
