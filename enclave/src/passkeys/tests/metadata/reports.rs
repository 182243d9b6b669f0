//! Which report decides, and what a model's roots vouch for.

use super::super::authenticator::{AAGUID as OWN_AAGUID, Authenticator, NOW_MS as CEREMONY_MS};
use super::super::cbor_writer::Item;
use super::super::certificates::{alg, packed_leaf, sig, x5c};
use super::super::expectations::{Registration, refused as ceremony_refused};
use super::*;
use crate::passkeys::metadata::Entry;
use crate::passkeys::{AttestationPolicy, TrustAnchors};

fn entry(change: impl FnOnce(&mut Value)) -> Entry {
    let service = Service::new();
    let mut payload = payload();
    change(&mut payload["entries"][0]);
    let metadata = service.verify(&service.blob(&payload)).unwrap();
    metadata.entries.into_iter().next().unwrap()
}

/// Reports as (status, day or nothing).
fn compromised(reports: &[(&str, &str)]) -> Option<&'static str> {
    let reports: Vec<Value> = reports
        .iter()
        .map(|(status, day)| match day.is_empty() {
            true => json!({"status": status}),
            false => json!({"status": status, "effectiveDate": day}),
        })
        .collect();
    let entry = entry(|entry| entry["statusReports"] = json!(reports));
    let found = entry
        .status_at(NOW_MS)
        .and_then(|found| found.status.compromise());
    assert_eq!(entry.is_compromised_at(NOW_MS), found.is_some());
    found
}

#[test]
fn every_compromise_counts_under_its_own_name() {
    for name in [
        "REVOKED",
        "USER_VERIFICATION_BYPASS",
        "ATTESTATION_KEY_COMPROMISE",
        "USER_KEY_REMOTE_COMPROMISE",
        "USER_KEY_PHYSICAL_COMPROMISE",
    ] {
        assert_eq!(compromised(&[(name, "2026-06-15")]), Some(name));
        assert_eq!(
            compromised(&[(name, "2026-06-16")]),
            None,
            "not in force yet"
        );
    }
    for harmless in [
        "NOT_FIDO_CERTIFIED",
        "FIDO_CERTIFIED_L3plus",
        "UPDATE_AVAILABLE",
        "NEW",
    ] {
        assert_eq!(compromised(&[(harmless, "2026-01-01")]), None);
    }
    assert_eq!(compromised(&[]), None);
}

#[test]
fn the_newest_report_in_force_decides_wherever_it_stands() {
    let (good, bad) = ("FIDO_CERTIFIED_L1", "REVOKED");
    let (early, late, future) = ("2025-01-01", "2026-01-01", "2027-01-01");
    for reversed in [false, true] {
        let ordered = |mut reports: Vec<(&'static str, &'static str)>| {
            if reversed {
                reports.reverse();
            }
            compromised(&reports)
        };
        assert_eq!(ordered(vec![(good, early), (bad, late)]), Some(bad));
        assert_eq!(ordered(vec![(bad, early), (good, late)]), None);
        assert_eq!(ordered(vec![(bad, early), (good, future)]), Some(bad));
        assert_eq!(ordered(vec![(good, early), (bad, future)]), None);
        assert_eq!(ordered(vec![(good, late), (bad, late)]), Some(bad));
        // Without a date: a compromise stays, a certification clears nothing.
        assert_eq!(ordered(vec![(bad, ""), (good, late)]), Some(bad));
        assert_eq!(ordered(vec![(bad, early), (good, "")]), Some(bad));
        // An update on offer is not in the customer's hand.
        for other in ["UPDATE_AVAILABLE", "FIPS140_CERTIFIED_L2", "NEW"] {
            assert_eq!(ordered(vec![(bad, early), (other, late)]), Some(bad));
        }
    }
}

#[test]
fn roots_are_read_as_the_field_spells_them() {
    let root = Authority::new("maker");
    let text = STANDARD.encode(&root.der);
    let (head, tail) = text.split_at(64);
    let spellings = json!([format!("\n\t{head}\r\n {tail}"), text, "nonsense", ""]);
    let entry = entry(|entry| {
        entry["metadataStatement"]["attestationRootCertificates"] = spellings;
    });
    assert_eq!(entry.roots, [root.der.clone(), root.der]);
    assert_eq!(entry.unreadable_roots, 2);
    assert_eq!(entry.trust_roots().len(), 2);
}

#[test]
fn a_models_roots_vouch_for_that_model_alone() {
    let maker = Authority::new("maker");
    let register = |aaguid: [u8; 16]| {
        let entry = entry(|entry| {
            entry["aaguid"] = json!(uuid::Uuid::from_bytes(aaguid).to_string());
            let root = STANDARD.encode(&maker.der);
            entry["metadataStatement"]["attestationRootCertificates"] = json!([root]);
        });
        let leaf = maker.issue(&packed_leaf());
        let response = Authenticator::new().register_attested("packed", |data, hash| {
            let signature = leaf.key.sign(&[data, hash].concat());
            Item::Map(vec![alg(-7), sig(signature), x5c(&[&leaf.der])])
        });
        let expected = Registration {
            attestation: AttestationPolicy {
                trust: TrustAnchors::Roots(entry.trust_roots()),
                ..AttestationPolicy::default()
            },
            now_ms: CEREMONY_MS,
            ..Registration::default()
        };
        expected.run(&response)
    };
    assert!(register(OWN_AAGUID).unwrap().attestation.trusted);
    ceremony_refused(register([9; 16]), "7.1.24", "attestation_not_trusted");
}
