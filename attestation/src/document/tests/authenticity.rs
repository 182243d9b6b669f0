//! Signature, chain, time, mode.

use super::*;

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
    assert_eq!(refusal(&bytes, &root), "leaf_is_ca");
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
