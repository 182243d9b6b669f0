//! Who signed, and whether that counts now.

use rcgen::{
    BasicConstraints, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
};

use super::*;

fn signed_under(params: &CertificateParams) -> Result<Metadata, MetadataError> {
    let service = Service::with(params, &rcgen::PKCS_ECDSA_P256_SHA256);
    service.verify(&service.blob(&payload()))
}

#[test]
fn the_signer_has_the_services_name_and_the_right_to_sign() {
    let change = |change: fn(&mut CertificateParams)| {
        let mut params = signer_params();
        change(&mut params);
        signed_under(&params)
    };
    let named = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, SIGNER);
        signed_under(&params)
    };
    named("MDS.fidoalliance.org").unwrap();
    for other in [
        "mds.fidoalliance.org.evil.example",
        "*.fidoalliance.org",
        "fidoalliance.org",
    ] {
        refused(named(other), "signer_name_mismatch");
    }
    change(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]).unwrap();
    let only_encrypts = change(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    refused(only_encrypts, "key_usage_refused");
    let authority = change(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    refused(authority, "signer_is_ca");
    let other_purpose = change(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    });
    refused(other_purpose, "certificate_constraint");
    let unknown = change(|params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
    });
    refused(unknown, "certificate_constraint");
}

#[test]
fn a_key_of_another_curve_is_no_es256_key() {
    let service = Service::with(&signer_params(), &rcgen::PKCS_ECDSA_P384_SHA384);
    refused(
        service.verify(&service.blob(&payload())),
        "algorithm_mismatch",
    );
}

#[test]
fn issuers_are_authorities_that_may_sign_this_deep() {
    let under = |change: fn(&mut CertificateParams)| {
        let root = Authority::new("root");
        let mut params = Authority::params("middle");
        change(&mut params);
        let middle = root.below(params);
        let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
        let service = Service::below(root, middle, &signer_params(), algorithm);
        service.verify(&service.blob(&payload()))
    };
    under(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]).unwrap();
    let no_authority = under(|params| params.is_ca = IsCa::ExplicitNoCa);
    refused(no_authority, "issuer_is_no_ca");
    let no_issuer = under(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    refused(no_issuer, "key_usage_refused");
    let expired = under(|params| params.not_after = rcgen::date_time_ymd(2026, 6, 1));
    refused(expired, "certificate_expired");

    let root = Authority::new("root");
    let mut shallow = Authority::params("shallow");
    shallow.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let shallow = root.below(shallow);
    let middle = shallow.intermediate("middle");
    let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
    let service = Service::below(root, middle, &signer_params(), algorithm);
    let chain = [&service.signer[..], &service.middle.der, &shallow.der];
    let header = service.header_with(&chain).to_string();
    let blob = service.sign(&header, &payload().to_string());
    refused(service.verify(&blob), "certificate_constraint");
}

#[test]
fn the_chain_is_in_order_and_ends_in_a_given_root() {
    let service = Service::new();
    let (signer, middle, root) = (&service.signer, &service.middle.der, &service.root.der);
    let shown = |chain: &[&[u8]]| {
        let header = service.header_with(chain).to_string();
        service.verify(&service.sign(&header, &payload().to_string()))
    };
    shown(&[signer, middle, root]).unwrap();
    refused(shown(&[signer]), "root_not_trusted");
    refused(shown(&[signer, root]), "x5c_out_of_order");
    refused(shown(&[signer, middle, middle]), "x5c_out_of_order");
    refused(shown(&[middle, signer]), "x5c_out_of_order");
    // Everything is the same except the keys.
    let impostor = Service::new();
    let roots = vec![service.root.der.clone()];
    let blob = impostor.blob(&payload());
    let judged = verify(
        blob.as_bytes(),
        &Expectation {
            roots: &roots,
            signer: SIGNER,
            now_ms: NOW_MS,
            last: None,
            overdue: Overdue::Accept,
        },
    );
    refused(judged, "root_not_trusted");
    let mixed = impostor
        .header_with(&[&impostor.signer, middle])
        .to_string();
    let mixed = impostor.sign(&mixed, &payload().to_string());
    refused(service.verify(&mixed), "root_not_trusted");
}

#[test]
fn certificates_are_judged_at_the_time_that_is_passed_in() {
    let service = Service::new();
    let blob = service.blob(&payload());
    let at = |now_ms| service.verify_as(&blob, |expected| expected.now_ms = now_ms);
    let (first, last) = (1_767_225_600_000, 1_798_761_600_000);
    at(first).unwrap();
    at(last).unwrap();
    refused(at(first - 1000), "certificate_not_yet_valid");
    refused(at(last + 1000), "certificate_expired");
    refused(at(u64::MAX), "root_out_of_time");

    let mut params = Authority::params("root");
    params.not_after = rcgen::date_time_ymd(2026, 6, 1);
    let root = Authority::of(params);
    let middle = root.intermediate("middle");
    let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
    let service = Service::below(root, middle, &signer_params(), algorithm);
    let judged = service.verify(&service.blob(&payload()));
    refused(judged, "root_out_of_time");
}

#[test]
fn a_root_that_is_no_certificate_is_named() {
    let service = Service::new();
    let blob = service.blob(&payload());
    let none = service.verify_as(&blob, |expected| expected.roots = &[]);
    refused(none, "root_out_of_time");
    let nonsense = vec![b"nonsense".to_vec()];
    let roots: &[Vec<u8>] = &nonsense;
    let expected = Expectation {
        roots,
        signer: SIGNER,
        now_ms: NOW_MS,
        last: None,
        overdue: Overdue::Accept,
    };
    refused(verify(blob.as_bytes(), &expected), "root_malformed");
}
