//! Documents that nobody signed: taken only whole, and only where they are named.

use super::*;
use crate::testkit::Unsigned;

fn good() -> Unsigned {
    Unsigned::of(b"program", request(48))
}

fn refused(change: impl FnOnce(&mut Unsigned)) -> &'static str {
    let mut document = good();
    change(&mut document);
    refusal(&document.document(), &VendorRoot::unsigned())
}

#[test]
fn a_document_with_every_marker_is_accepted_where_no_signature_is_expected() {
    let bytes = good().document();
    for judge in [verify, verify_twice] {
        let verified = judge(&bytes, &VendorRoot::unsigned(), Time::OfDocument).unwrap();
        assert_eq!(verified.root, RootKind::NitroUnsigned);
        assert_eq!(verified.document.pcrs, crate::attester::measure(b"program"));
        assert_eq!(verified.document.user_data, Some(vec![2; 48]));
        assert!(!verified.debug);
    }
    assert!(says_unsigned(&bytes).unwrap());
}

#[test]
fn it_is_refused_wherever_a_signature_is_due() {
    let bytes = good().document();
    assert_eq!(refusal(&bytes, &VendorRoot::aws_nitro()), "unsigned");
    assert_eq!(refusal(&bytes, &bench().root), "unsigned");
    assert_eq!(Document::parse(&bytes).unwrap_err().code(), "unsigned");
}

#[test]
fn a_signed_document_is_refused_where_no_signature_is_expected() {
    let bytes = bench().attester.attest(&request(48)).unwrap();
    assert_eq!(refusal(&bytes, &VendorRoot::unsigned()), "not_unsigned");
    assert!(!says_unsigned(&bytes).unwrap());
    // Zeros in place of a signature are no marker: the header must say so too.
    let zeros = refused(|document| document.protected = vec![0xa1, 0x01, 0x38, 0x22]);
    assert_eq!(zeros, "not_unsigned");
    let other = refused(|document| document.protected = vec![0xa1, 0x01, 0x21]);
    assert_eq!(other, "not_unsigned");
}

#[test]
fn each_marker_must_be_exactly_what_is_written_there() {
    let bent = |length: usize| {
        let mut bytes = vec![0; length];
        if let Some(last) = bytes.last_mut() {
            *last = 1;
        }
        bytes
    };
    for wrong in [vec![], vec![0; 63], vec![0; 65], vec![0; 96], bent(64)] {
        let signature = refused(|document| document.signature = wrong.clone());
        assert_eq!(signature, "unsigned_marker", "signature {wrong:?}");
        let issuer = refused(|document| document.cabundle = vec![wrong.clone()]);
        let empty = "cabundle_certificate_length";
        assert!([empty, "unsigned_marker"].contains(&issuer), "{wrong:?}");
        let certificate = refused(|document| document.certificate = wrong.clone());
        let empty = "certificate_length";
        assert!([empty, "unsigned_marker"].contains(&certificate));
    }
    let two = refused(|document| document.cabundle = vec![vec![0; 64]; 2]);
    assert_eq!(two, "unsigned_marker");
    assert_eq!(refused(|d| d.cabundle.clear()), "cabundle_empty");
    let short = refused(|document| {
        document.pcrs.0.insert(3, vec![0; 32]);
    });
    assert_eq!(short, "unsigned_marker");
    let error = verify(
        &Unsigned {
            certificate: bent(64),
            ..good()
        }
        .document(),
        &VendorRoot::unsigned(),
        Time::OfDocument,
    );
    assert_eq!(error, Err(Refusal::UnsignedMarker("certificate")));
}

#[test]
fn every_bound_of_a_document_holds_without_a_signature_too() {
    assert_eq!(refused(|d| d.pcrs.0.clear()), "pcr_count");
    let long = refused(|document| document.said.nonce = Some(vec![0; 1025]));
    assert_eq!(long, "nonce_length");
    let mut trailing = good().document();
    trailing.push(0);
    let refusal = |bytes: &[u8]| refusal(bytes, &VendorRoot::unsigned());
    assert_eq!(refusal(&trailing), "trailing_bytes");
    let bytes = good().document();
    for length in 0..bytes.len() {
        assert!(says_unsigned(&bytes[..length]).is_err(), "{length}");
        refusal(&bytes[..length]);
    }
    let too_large = vec![0; DOCUMENT_MAX + 1];
    assert_eq!(refusal(&too_large), "too_large");
}
