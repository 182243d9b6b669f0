//! §7.1 steps 23 and 24: which chains are trusted once roots are given.

use super::authenticator::*;
use super::cbor_writer::Item;
use super::certificates::*;
use super::expectations::*;
use crate::passkeys::*;

/// A packed registration that shows `chain` behind its leaf.
fn register(
    leaf: &Issued,
    chain: &[&[u8]],
    policy: AttestationPolicy,
    now_ms: u64,
) -> Result<RegisteredCredential, CeremonyError> {
    let response = Authenticator::new().register_attested("packed", |data, hash| {
        let certificates = [&[leaf.der.as_slice()], chain].concat();
        let items = certificates.iter().map(|der| Item::bytes(der)).collect();
        Item::Map(vec![
            (Item::Text("alg"), Item::Int(-7)),
            (
                Item::Text("sig"),
                Item::Bytes(leaf.key.sign(&[data, hash].concat())),
            ),
            (Item::Text("x5c"), Item::Array(items)),
        ])
    });
    let expected = Registration {
        attestation: policy,
        now_ms,
        ..Registration::default()
    };
    expected.run(&response)
}

fn trusting(roots: &[(&[u8], Option<[u8; 16]>)]) -> AttestationPolicy {
    let roots = roots
        .iter()
        .map(|(der, aaguid)| TrustRoot::new(der, *aaguid).unwrap());
    AttestationPolicy {
        trust: TrustAnchors::Roots(roots.collect()),
        ..AttestationPolicy::default()
    }
}

#[test]
fn a_chain_to_a_trusted_root_is_trusted() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle");
    let leaf = middle.issue(&packed_leaf());
    let policy = trusting(&[(&root.der, None)]);
    let registered = register(&leaf, &[&middle.der], policy.clone(), NOW_MS).unwrap();
    assert!(registered.attestation.trusted && registered.record.attestation_trusted);
    assert_eq!(registered.attestation.trust_path.len(), 2);
    register(&leaf, &[&middle.der, &root.der], policy.clone(), NOW_MS).unwrap();
    refused(
        register(&leaf, &[], policy, NOW_MS),
        "7.1.24",
        "attestation_not_trusted",
    );
}

#[test]
fn a_chain_to_another_root_is_refused() {
    let (root, impostor) = (Authority::new("root"), Authority::new("root"));
    let leaf = impostor.issue(&packed_leaf());
    let policy = trusting(&[(&root.der, None)]);
    let shown = register(&leaf, &[&impostor.der], policy, NOW_MS);
    refused(shown, "7.1.24", "attestation_not_trusted");
    let nothing_trusted = trusting(&[]);
    refused(
        register(&leaf, &[], nothing_trusted, NOW_MS),
        "7.1.24",
        "attestation_not_trusted",
    );
}

#[test]
fn the_attestation_certificate_may_be_the_anchor_itself() {
    let leaf = Authority::new("unknown").issue(&packed_leaf());
    let policy = trusting(&[(&leaf.der, None)]);
    assert!(
        register(&leaf, &[], policy, NOW_MS)
            .unwrap()
            .attestation
            .trusted
    );
}

#[test]
fn a_root_for_one_model_vouches_for_no_other() {
    let root = Authority::new("root");
    let leaf = root.issue(&packed_leaf());
    register(&leaf, &[], trusting(&[(&root.der, Some(AAGUID))]), NOW_MS).unwrap();
    let other = trusting(&[(&root.der, Some([1; 16]))]);
    refused(
        register(&leaf, &[], other, NOW_MS),
        "7.1.24",
        "attestation_not_trusted",
    );
}

#[test]
fn certificates_are_judged_at_the_time_that_is_passed_in() {
    let root = Authority::new("root");
    let mut params = packed_leaf();
    params.not_after = rcgen::date_time_ymd(2026, 1, 1);
    let leaf = root.issue(&params);
    let policy = trusting(&[(&root.der, None)]);
    let before = 1_760_000_000_000;
    register(&leaf, &[], policy.clone(), before).unwrap();
    refused(
        register(&leaf, &[], policy, NOW_MS),
        "7.1.24",
        "attestation_not_trusted",
    );
}

#[test]
fn models_on_a_list_have_to_be_proven_where_roots_are_given() {
    let root = Authority::new("root");
    let leaf = root.issue(&packed_leaf());
    let mut policy = trusting(&[(&root.der, None)]);
    policy.allowed_aaguids = vec![AAGUID];
    register(&leaf, &[], policy.clone(), NOW_MS).unwrap();
    let expected = Registration {
        attestation: policy,
        ..Registration::default()
    };
    refused(
        expected.run(&Authenticator::new().register()),
        "7.1.24",
        "aaguid_unproven",
    );
}

#[test]
fn a_root_that_is_no_certificate_is_named() {
    assert_eq!(
        TrustRoot::new(b"nonsense", None).unwrap_err(),
        TrustError::BadRoot
    );
}
