//! Section 8: each format's statements, good ones and bent ones.

use super::authenticator::*;
use super::cbor_writer::Item;
use super::certificates::*;
use super::expectations::*;
use crate::passkeys::*;

/// A packed registration whose certificate is bent by `bend`.
fn packed_with(
    bend: impl FnOnce(&mut rcgen::CertificateParams),
) -> Result<RegisteredCredential, CeremonyError> {
    let mut params = packed_leaf();
    bend(&mut params);
    let leaf = Authority::new("root").issue(&params);
    let response = Authenticator::new().register_attested("packed", |data, hash| {
        let signature = leaf.key.sign(&[data, hash].concat());
        Item::Map(vec![alg(-7), sig(signature), x5c(&[&leaf.der])])
    });
    Registration::default().run(&response)
}

#[test]
fn a_none_statement_must_be_empty() {
    for statement in [Item::Map(vec![alg(-7)]), Item::Array(vec![]), Item::Int(0)] {
        let response = Authenticator::new().register_attested("none", |_, _| statement.clone());
        refused(
            Registration::default().run(&response),
            "7.1.22",
            "none_statement_not_empty",
        );
    }
}

#[test]
fn packed_statements_with_certificates_are_verified() {
    let registered = packed_with(|_| {}).unwrap();
    assert_eq!(registered.attestation.kind, AttestationType::BasicOrAttCa);
    assert_eq!(registered.attestation.trust_path.len(), 1);
    assert!(!registered.attestation.trusted, "trust was left open");
}

#[test]
fn packed_certificates_must_meet_their_requirements() {
    use rcgen::{BasicConstraints, DnType, IsCa};
    let step = "7.1.22";
    for (kind, value) in [
        (DnType::CountryName, "DEU"),
        (DnType::OrganizationName, ""),
        (DnType::OrganizationalUnitName, "authenticator attestation"),
        (DnType::CommonName, ""),
    ] {
        let result = packed_with(|params| {
            params.distinguished_name.remove(kind.clone());
            params.distinguished_name.push(kind, value);
        });
        refused(result, step, "packed_certificate_subject");
    }
    let is_ca = packed_with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    refused(is_ca, step, "packed_certificate_is_ca");
    let silent = packed_with(|params| params.is_ca = IsCa::NoCa);
    refused(silent, step, "packed_certificate_is_ca");
    let other_model = packed_with(|params| {
        params.custom_extensions = vec![extension(AAGUID_OID, tlv(&[0x04], &[9; 16]))];
    });
    refused(other_model, step, "packed_aaguid_mismatch");
    let unwrapped = packed_with(|params| {
        params.custom_extensions = vec![extension(AAGUID_OID, AAGUID.to_vec())];
    });
    refused(unwrapped, step, "packed_aaguid_extension_malformed");
    let critical = packed_with(|params| params.custom_extensions[0].set_criticality(true));
    refused(critical, step, "packed_aaguid_extension_malformed");
    packed_with(|params| params.custom_extensions.clear()).unwrap();
    let transports: &[u64] = &[1, 3, 6, 1, 4, 1, 45724, 2, 1, 1];
    packed_with(|params| {
        params
            .custom_extensions
            .push(extension(transports, vec![3, 2, 5, 0x20]))
    })
    .unwrap();
    let octets = packed_with(|params| {
        params
            .custom_extensions
            .push(extension(transports, vec![4, 2, 5, 0x20]))
    });
    refused(octets, step, "packed_transports_extension_malformed");
}

#[test]
fn packed_statements_of_another_shape_are_refused() {
    let leaf = Authority::new("root").issue(&packed_leaf());
    let with = |entries: &dyn Fn(Vec<u8>) -> Vec<(Item, Item)>| {
        let response = Authenticator::new().register_attested("packed", |data, hash| {
            Item::Map(entries(leaf.key.sign(&[data, hash].concat())))
        });
        Registration::default().run(&response)
    };
    let step = "7.1.22";
    refused(
        with(&|_| vec![alg(-7), x5c(&[&leaf.der])]),
        step,
        "packed_syntax",
    );
    refused(
        with(&|s| vec![sig(s), x5c(&[&leaf.der])]),
        step,
        "packed_syntax",
    );
    refused(
        with(&|s| vec![alg(-7), sig(s), x5c(&[])]),
        step,
        "packed_syntax",
    );
    refused(
        with(&|s| vec![alg(-7), sig(s), (Item::Text("more"), Item::Int(1))]),
        step,
        "packed_syntax",
    );
    let ecdaa = (Item::Text("ecdaaKeyId"), Item::Bytes(vec![1]));
    refused(
        with(&|s| vec![alg(-7), sig(s), ecdaa.clone()]),
        step,
        "packed_ecdaa_refused",
    );
    refused(
        with(&|s| vec![alg(-9999), sig(s)]),
        step,
        "packed_algorithm_refused",
    );
    refused(
        with(&|s| vec![alg(-65535), sig(s), x5c(&[&leaf.der])]),
        step,
        "packed_algorithm_refused",
    );
    refused(
        with(&|s| vec![alg(-7), sig(s), x5c(&[b"not a certificate"])]),
        step,
        "packed_certificate_malformed",
    );
    let trailing = [leaf.der.as_slice(), &[0]].concat();
    refused(
        with(&|s| vec![alg(-7), sig(s), x5c(&[&trailing])]),
        step,
        "packed_certificate_malformed",
    );
    refused(
        with(&|_| vec![alg(-7), sig(vec![1]), x5c(&[&leaf.der])]),
        step,
        "packed_signature_invalid",
    );
    refused(
        with(&|s| vec![alg(-8), sig(s), x5c(&[&leaf.der])]),
        step,
        "packed_signature_invalid",
    );
    refused(
        with(&|s| vec![alg(-35), sig(s)]),
        step,
        "packed_self_algorithm_mismatch",
    );
    refused(
        with(&|s| vec![alg(-7), sig(s)]),
        step,
        "packed_self_signature_invalid",
    );
}

#[test]
fn self_attestation_is_policys_to_refuse() {
    let authenticator = Authenticator::new();
    let response = authenticator.register_attested("packed", |data, hash| {
        Item::Map(vec![
            alg(-7),
            sig(authenticator.key.sign(&[data, hash].concat())),
        ])
    });
    let mut expected = Registration::default();
    let registered = expected.run(&response).unwrap();
    assert_eq!(
        registered.attestation.kind,
        AttestationType::SelfAttestation
    );
    expected.attestation.self_attestation = false;
    refused(
        expected.run(&response),
        "7.1.24",
        "self_attestation_refused",
    );
}

/// A U2F registration; `parts` may bend what is signed.
fn u2f(
    authenticator: &Authenticator,
    leaf: &Issued,
    chain: &[&[u8]],
    bend: impl Fn(&mut Vec<u8>),
) -> Result<RegisteredCredential, CeremonyError> {
    let response = authenticator.register_attested("fido-u2f", |data, hash| {
        let point = match &authenticator.key {
            Key::Ec(..) => authenticator.key.point(),
            _ => vec![0; 65],
        };
        let mut message = [
            &[0],
            &data[..32],
            hash,
            &authenticator.credential_id,
            &point,
        ]
        .concat();
        bend(&mut message);
        Item::Map(vec![sig(leaf.key.sign(&message)), x5c(chain)])
    });
    Registration::default().run(&response)
}

#[test]
fn fido_u2f_statements_are_verified() {
    let authenticator = Authenticator::new();
    let leaf = Authority::new("root").issue(&packed_leaf());
    let chain: &[&[u8]] = &[&leaf.der];
    let registered = u2f(&authenticator, &leaf, chain, |_| {}).unwrap();
    assert_eq!(registered.attestation.format, AttestationFormat::FidoU2f);
    for at in [0, 1, 40, 70, 110] {
        let bent = u2f(&authenticator, &leaf, chain, |message| message[at] ^= 1);
        refused(bent, "7.1.22", "u2f_signature_invalid");
    }
    let two = u2f(&authenticator, &leaf, &[&leaf.der, &leaf.der], |_| {});
    refused(two, "7.1.22", "u2f_not_one_certificate");
    let ed25519 = Authenticator::with_key(Key::generate(Algorithm::EdDsa));
    refused(
        u2f(&ed25519, &leaf, chain, |_| {}),
        "7.1.22",
        "u2f_credential_key_not_p256",
    );
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let p384 = packed_leaf().self_signed(&p384).unwrap().der().to_vec();
    let other_curve = u2f(&authenticator, &leaf, &[&p384], |_| {});
    refused(other_curve, "7.1.22", "u2f_certificate_key_not_p256");
}

#[test]
fn compound_statements_hold_at_least_two_that_all_verify() {
    let authenticator = Authenticator::new();
    let part = |format, statement| {
        Item::Map(vec![
            (Item::Text("fmt"), Item::Text(format)),
            (Item::Text("attStmt"), statement),
        ])
    };
    let own = |data: &[u8], hash: &[u8]| {
        let signature = authenticator.key.sign(&[data, hash].concat());
        part("packed", Item::Map(vec![alg(-7), sig(signature)]))
    };
    let none = || part("none", Item::Map(vec![]));
    type Parts<'p> = &'p dyn Fn(&[u8], &[u8]) -> Vec<Item>;
    let run = |make: Parts<'_>| {
        let response =
            authenticator.register_attested("compound", |data, hash| Item::Array(make(data, hash)));
        Registration::default().run(&response)
    };
    let registered = run(&|data, hash| vec![own(data, hash), none()]).unwrap();
    assert_eq!(registered.attestation.parts.len(), 2);
    assert!(!registered.attestation.trusted);
    let step = "7.1.22";
    refused(
        run(&|data, hash| vec![own(data, hash)]),
        step,
        "compound_syntax",
    );
    refused(
        run(&|_, _| vec![none(), Item::Int(1)]),
        step,
        "compound_syntax",
    );
    refused(
        run(&|_, _| vec![none(), part("compound", Item::Array(vec![]))]),
        step,
        "compound_nested",
    );
    refused(
        run(&|_, _| vec![none(), part("unheard-of", Item::Map(vec![]))]),
        step,
        "compound_format_refused",
    );
    refused(
        run(&|_, _| vec![none(), part("android-safetynet", Item::Map(vec![]))]),
        step,
        "compound_format_refused",
    );
    refused(
        run(&|data, hash| vec![none(), own(hash, data)]),
        step,
        "packed_self_signature_invalid",
    );
}
