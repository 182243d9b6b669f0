//! Documents that nobody signed, in front of whole manifests.

use super::*;
use crate::genesis::RootKind;
use crate::testkit::Unsigned;

#[test]
fn an_unsigned_document_is_accepted_only_where_the_manifest_names_its_kind() {
    let bench = Bench::naming_unsigned(false);
    let (unsigned, preimage) = bench.unsigned(&bench.binding(Purpose::Serve), SESSION);
    let evidence = (unsigned.document(), preimage);
    let good = appraise(&evidence.0, &evidence.1, &expectation(&bench.genesis)).unwrap();
    assert_eq!(good.environment, Environment::Emulated);
    assert_eq!(good.tier, Tier::Process);
    // An emulated manifest that names another root takes none of it.
    let other = Bench::new();
    let (unsigned, preimage) = other.unsigned(&other.binding(Purpose::Serve), SESSION);
    let evidence = (unsigned.document(), preimage);
    assert_eq!(code(&evidence, &expectation(&other.genesis)), "unsigned");
}

#[test]
fn a_manifest_may_name_a_signing_root_and_unsigned_documents() {
    let bench = Bench::naming_unsigned(true);
    let appraisal = expectation(&bench.genesis);
    let binding = bench.binding(Purpose::Serve);
    assert_eq!(
        code(&bench.attest(&binding, SESSION), &appraisal),
        "accepted"
    );
    let (unsigned, preimage) = bench.unsigned(&binding, SESSION);
    let evidence = (unsigned.document(), preimage.clone());
    assert_eq!(code(&evidence, &appraisal), "accepted");
    let half = Unsigned {
        signature: vec![1; 96],
        ..unsigned
    };
    assert_eq!(
        code(&(half.document(), preimage), &appraisal),
        "unsigned_marker"
    );
}

#[test]
fn an_unsigned_document_passes_no_check_that_a_signed_one_must_pass() {
    let bench = Bench::naming_unsigned(false);
    let appraisal = expectation(&bench.genesis);
    let binding = bench.binding(Purpose::Serve);
    let refused = |change: &dyn Fn(&mut Unsigned)| {
        let (mut unsigned, preimage) = bench.unsigned(&binding, SESSION);
        change(&mut unsigned);
        code(&(unsigned.document(), preimage), &appraisal)
    };
    assert_eq!(refused(&|d| d.said.nonce = None), "wrong_nonce");
    assert_eq!(refused(&|d| d.said.user_data = None), "wrong_user_data");
    assert_eq!(refused(&|d| d.said.public_key = None), "wrong_public_key");
    assert_eq!(refused(&|d| d.pcrs = debug_pcrs()), "debug");
    let other_image = |d: &mut Unsigned| {
        d.pcrs.0.insert(0, vec![9; 48]);
    };
    assert_eq!(refused(&other_image), "measurement_not_allowed");
    // Signed by the emulated root, which this manifest does not name.
    let signed = bench.attest(&binding, SESSION);
    assert_eq!(code(&signed, &appraisal), "not_unsigned");
}

#[test]
fn a_hardware_genesis_takes_no_unsigned_document_whatever_it_names() {
    let bench = Bench::naming_unsigned(false);
    let (unsigned, preimage) = bench.unsigned(&bench.binding(Purpose::Serve), SESSION);
    let evidence = (unsigned.document(), preimage);
    let hardware = |kind, pem: &str| {
        let mut manifest = manifest(&bench.root.0, &bench.officers);
        manifest.environment = Environment::Hardware;
        manifest.vendor_roots = vec![VendorRootEntry {
            kind,
            pem: pem.to_owned(),
        }];
        Genesis::verify(&signed(&manifest, &[&bench.officers[0]]))
    };
    let refused = hardware(RootKind::NitroUnsigned, "").unwrap_err();
    assert!(refused.to_string().contains("vendor_roots[0]"), "{refused}");
    let aws = hardware(RootKind::Nitro, "").unwrap();
    assert_eq!(code(&evidence, &expectation(&aws)), "unsigned");
    // And if validation ever let one through, appraisal would still refuse it.
    let mut smuggled = bench.genesis.clone();
    smuggled.manifest.environment = Environment::Hardware;
    assert_eq!(
        code(&evidence, &expectation(&smuggled)),
        "emulated_under_hardware_genesis"
    );
}
