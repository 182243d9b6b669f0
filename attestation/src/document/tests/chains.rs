//! Certification paths, honest and not: one refusal for each way to be wrong.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    SignatureAlgorithm,
};
use time::{Duration, OffsetDateTime};

use super::*;

/// A certificate with its key.
struct Made {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn params(name: &str, ca: Option<BasicConstraints>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = match ca {
        Some(_) => vec![KeyUsagePurpose::KeyCertSign],
        None => vec![KeyUsagePurpose::DigitalSignature],
    };
    params.is_ca = ca.map_or(IsCa::ExplicitNoCa, IsCa::Ca);
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(2);
    params.not_after = OffsetDateTime::now_utc() + Duration::hours(2);
    params
}

fn make(
    params: CertificateParams,
    by: Option<&Made>,
    algorithm: &'static SignatureAlgorithm,
) -> Made {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let made = match by {
        None => params.self_signed(&key).unwrap(),
        Some(by) => params.signed_by(&key, &by.issuer).unwrap(),
    };
    Made {
        der: made.der().to_vec(),
        issuer: Issuer::new(params, key),
    }
}

/// Root, two authorities, leaf: each may be changed before it is issued.
struct Chain {
    root: Made,
    authorities: Vec<Made>,
    leaf: Made,
}

const UPPER: usize = 0;
const LOWER: usize = 1;
const LEAF: usize = 2;

fn chain(change: impl Fn(usize, &mut CertificateParams)) -> Chain {
    chain_with(change, |_| &PKCS_ECDSA_P384_SHA384)
}

fn chain_with(
    change: impl Fn(usize, &mut CertificateParams),
    algorithm: impl Fn(usize) -> &'static SignatureAlgorithm,
) -> Chain {
    let ca = || Some(BasicConstraints::Unconstrained);
    let made = |at: usize, mut params: CertificateParams, by: &Made| {
        change(at, &mut params);
        make(params, Some(by), algorithm(at))
    };
    let root = make(params("root", ca()), None, &PKCS_ECDSA_P384_SHA384);
    let upper = made(UPPER, params("upper", ca()), &root);
    let lower = made(LOWER, params("lower", ca()), &upper);
    let leaf = made(LEAF, params("leaf", None), &lower);
    Chain {
        root,
        authorities: vec![upper, lower],
        leaf,
    }
}

impl Chain {
    fn pin(&self) -> VendorRoot {
        VendorRoot::from_der(RootKind::NitroEmulated, &self.root.der)
    }

    fn signed(&self) -> Vec<u8> {
        let bundle = [&self.root].into_iter().chain(&self.authorities);
        let bundle: Vec<&[u8]> = bundle.map(|made| made.der.as_slice()).collect();
        let payload = good_payload()
            .with("certificate", item(|w| w.bytes(&self.leaf.der)))
            .with(
                "cabundle",
                item(|w| {
                    w.array(bundle.len() as u64);
                    bundle.iter().for_each(|der| w.bytes(der));
                }),
            )
            .with("timestamp", item(|w| w.uint(now_ms())))
            .map(false);
        let key = self.leaf.issuer.key();
        let algorithm = match key.algorithm() == &PKCS_ECDSA_P256_SHA256 {
            true => &ECDSA_P256_SHA256_FIXED_SIGNING,
            false => &ECDSA_P384_SHA384_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &key.serialize_der()).unwrap();
        let signature = pair
            .sign(&SystemRandom::new(), &cose::es384_signed_bytes(&payload))
            .unwrap();
        cose::encode_es384(&payload, signature.as_ref())
    }

    fn judged(&self) -> &'static str {
        let verdict = verify(&self.signed(), &self.pin(), Time::OfDocument);
        verdict.map_or_else(|refusal| refusal.code(), |_| "accepted")
    }
}

fn now_ms() -> u64 {
    (OffsetDateTime::now_utc().unix_timestamp() * 1000) as u64
}

/// Every chain of these tests with the name of its verdict.
fn cases() -> Vec<(&'static str, Chain)> {
    let constrained = |at: usize, below: u8| {
        chain(move |here, params| {
            if here == at {
                params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
            }
        })
    };
    let with = |at: usize, change: fn(&mut CertificateParams)| {
        chain(move |here, params| {
            if here == at {
                change(params);
            }
        })
    };
    let critical = |params: &mut CertificateParams| {
        let mut unknown =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        unknown.set_criticality(true);
        params.custom_extensions.push(unknown);
    };
    let expired: fn(&mut CertificateParams) =
        |params| params.not_after = OffsetDateTime::now_utc() - Duration::hours(1);
    let early: fn(&mut CertificateParams) =
        |params| params.not_before = OffsetDateTime::now_utc() + Duration::hours(1);
    let p256 = |at: usize| {
        let pick = move |here| match here == at {
            true => &PKCS_ECDSA_P256_SHA256,
            false => &PKCS_ECDSA_P384_SHA384,
        };
        chain_with(|_, _| {}, pick)
    };
    let mut missing = chain(|_, _| {});
    missing.authorities.remove(LOWER);
    let mut shuffled = chain(|_, _| {});
    shuffled.authorities.reverse();
    // The same names, but the pinned root never signed the upper authority.
    let mut impostor = chain(|_, _| {});
    impostor.root = chain(|_, _| {}).root;
    vec![
        ("accepted", chain(|_, _| {})),
        ("accepted", shuffled),
        ("accepted", constrained(UPPER, 1)),
        ("accepted", constrained(LOWER, 0)),
        ("accepted", with(LEAF, |p| p.key_usages.clear())),
        ("path_too_long", constrained(UPPER, 0)),
        (
            "issuer_not_ca",
            with(UPPER, |p| p.is_ca = IsCa::ExplicitNoCa),
        ),
        ("issuer_not_ca", with(LOWER, |p| p.is_ca = IsCa::NoCa)),
        (
            "issuer_may_not_sign",
            with(LOWER, |p| {
                p.key_usages = vec![KeyUsagePurpose::DigitalSignature]
            }),
        ),
        (
            "issuer_may_not_sign",
            with(UPPER, |p| p.key_usages = vec![KeyUsagePurpose::CrlSign]),
        ),
        (
            "leaf_may_not_sign",
            with(LEAF, |p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
        ),
        (
            "leaf_is_ca",
            with(LEAF, |p| {
                p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)
            }),
        ),
        ("critical_extension", with(LEAF, critical)),
        ("critical_extension", with(LOWER, critical)),
        ("certificate_expired", with(LEAF, expired)),
        ("certificate_expired", with(UPPER, expired)),
        ("certificate_not_yet_valid", with(LEAF, early)),
        ("certificate_not_yet_valid", with(LOWER, early)),
        ("leaf_key_not_p384", p256(LEAF)),
        ("chain_broken", p256(LOWER)),
        (
            "chain_broken",
            with(LEAF, |p| {
                p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
        ),
        ("chain_broken", missing),
        ("chain_broken", impostor),
    ]
}

#[test]
fn each_wrong_path_is_refused_under_its_own_name() {
    for (at, (expected, chain)) in cases().iter().enumerate() {
        assert_eq!(chain.judged(), *expected, "case {at}");
    }
}

#[test]
fn a_genuine_chain_does_not_vouch_for_somebody_elses_root() {
    let (ours, theirs) = (chain(|_, _| {}), chain(|_, _| {}));
    assert_eq!(refusal(&ours.signed(), &theirs.pin()), "root_not_pinned");
}

/// Documents with wrong paths, for other verifiers: bytes, root, verdict.
pub(crate) fn recorded() -> Vec<(Vec<u8>, Vec<u8>, &'static str)> {
    let cases = cases().into_iter();
    cases
        .map(|(expected, chain)| (chain.signed(), chain.root.der.clone(), expected))
        .collect()
}
