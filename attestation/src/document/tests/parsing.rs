//! What is read, and what is refused before any signature is looked at.

use proptest::prelude::*;

use super::*;

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

/// Payloads that are no document's, each with the name of its refusal.
fn malformed_payloads() -> Vec<(&'static str, Payload)> {
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
    let mut cases = vec![
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
    for name in ["public_key", "user_data", "nonce"] {
        let long = good().with(name, item(|w| w.bytes(&[0; 1025])));
        cases.push((
            match name {
                "public_key" => "public_key_length",
                "user_data" => "user_data_length",
                _ => "nonce_length",
            },
            long,
        ));
    }
    for name in [
        "module_id",
        "digest",
        "timestamp",
        "pcrs",
        "certificate",
        "cabundle",
    ] {
        cases.push(("missing_field", good().without(name)));
        cases.push(("duplicate_field", good().again(name)));
    }
    let registers = item(|w| {
        w.map(33);
        (0..33).for_each(|index| {
            w.uint(index);
            w.bytes(&[0; 48]);
        });
    });
    cases.push(("pcr_index", good().with("pcrs", registers)));
    cases
}

#[test]
fn each_malformed_payload_is_refused_for_its_own_reason() {
    for (at, (reason, payload)) in malformed_payloads().into_iter().enumerate() {
        assert_eq!(payload.parsed().unwrap_err(), reason, "case {at}");
    }
}

/// Wrappers that are no COSE_Sign1 of a document, each with the name of its refusal.
fn malformed_wrappers() -> Vec<(&'static str, Vec<u8>)> {
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
    vec![
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
        ("unsigned", wrapped_unsigned(&map)),
        (
            "not_utf8",
            cose::encode_es384(&[0xa1, 0x61, 0xff, 0], &[1; 96]),
        ),
        ("reserved_encoding", vec![0x9c]),
        ("reserved_encoding", vec![0x84, 0x5d]),
        ("truncated", plain[..plain.len() - 1].to_vec()),
        ("truncated", vec![]),
        ("too_large", vec![0; DOCUMENT_MAX + 1]),
    ]
}

/// A document as QEMU's emulated security module writes it.
fn wrapped_unsigned(map: &[u8]) -> Vec<u8> {
    item(|w| {
        w.array(4);
        w.bytes(&[0xa1, 0x01, 0x20]);
        w.map(0);
        w.bytes(map);
        w.bytes(&[0; 64]);
    })
}

#[test]
fn each_malformed_wrapper_is_refused_for_its_own_reason() {
    for (at, (reason, bytes)) in malformed_wrappers().into_iter().enumerate() {
        assert_eq!(
            Document::parse(&bytes).unwrap_err().code(),
            reason,
            "case {at}"
        );
    }
}

/// All of these as documents, for other verifiers.
pub(crate) fn recorded() -> Vec<(Vec<u8>, &'static str)> {
    let payloads = malformed_payloads().into_iter();
    let wrappers = malformed_wrappers().into_iter();
    payloads
        .map(|(reason, payload)| (payload.document(), reason))
        .chain(wrappers.map(|(reason, bytes)| (bytes, reason)))
        .collect()
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
