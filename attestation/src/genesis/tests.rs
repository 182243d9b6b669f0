use super::*;
use crate::attester::emulated_root;
use crate::encode::Digest32;
use crate::jwk::OkpEd25519Jwk;
use crate::sign::Es256Signer;
use crate::testkit::{Bench, manifest, officers, signed};
use proptest::prelude::*;
use redoubt_shared::LedgerId;

/// The member to be blamed, and what is done to it.
type Case<T> = (&'static str, fn(&mut T));

fn genesis_error(bytes: &[u8]) -> String {
    Genesis::verify(bytes)
        .expect_err("this manifest must be refused")
        .to_string()
}

fn anchor(name: &str) -> String {
    emulated_root(name).unwrap().0
}

fn peer(name: &str, key: u8) -> PeerEntry {
    PeerEntry {
        name: name.into(),
        key: OkpEd25519Jwk::from_bytes([key; 32]),
        tls_spki_sha256: Digest32([key; 32]),
    }
}

fn config(genesis: Digest32) -> Config {
    Config {
        kind: ConfigType::V1,
        genesis,
        counter: 1,
        server_names: vec!["localhost".into()],
        anchors: Anchors {
            auditor: anchor("auditor"),
            officer: anchor("officer"),
            operator: anchor("operator"),
        },
        tenants: vec![Tenant {
            id: "bank-a".parse().unwrap(),
            name: "Bank A".into(),
            anchor: anchor("bank-a"),
            ledger: LedgerId::from_bytes([1; 16]),
            rp: RelyingParty {
                id: "bank.example".into(),
                name: "Bank".into(),
                origins: vec!["https://bank.example".into()],
                approval_origins: vec!["https://approve.bank.example".into()],
            },
            roles: vec![RoleMapping {
                san: "reader.bank.example".into(),
                role: Role::ReadOnly,
            }],
            default_role: Some(Role::Bank),
        }],
        appliance_ledger: LedgerId::from_bytes([2; 16]),
        policy: Policy {
            face_false_matches_per_million: 100,
            max_failed_attempts: 3,
            lockout_minutes: 30,
            accepted_tiers: vec![Tier::Process],
            enrollment_minutes: 30,
            challenge_seconds: 300,
            approval_seconds: 300,
        },
    }
}

#[test]
fn k_of_n_distinct_officers_make_a_manifest_valid() {
    let (root, _) = emulated_root("root").unwrap();
    let officers = officers(3);
    let mut manifest = manifest(&root, &officers);
    manifest.threshold = 2;
    let verified = Genesis::verify(&signed(&manifest, &[&officers[2], &officers[0]])).unwrap();
    assert_eq!(verified.manifest, manifest);
    assert_eq!(verified.roots().len(), 1);
    let error = genesis_error(&signed(&manifest, &[&officers[1]]));
    assert_eq!(error, "1 officers signed; the genesis manifest asks for 2");
    let error = genesis_error(&signed(&manifest, &[&officers[1], &officers[1]]));
    assert!(error.contains("more than once"), "{error}");
}

#[test]
fn a_foreign_or_wrong_signature_is_refused_by_name() {
    let (root, _) = emulated_root("root").unwrap();
    let officers = officers(1);
    let manifest = manifest(&root, &officers);
    let stranger = (
        "mallory".to_owned(),
        Es256Signer::generate(&crate::entropy::SystemEntropy).unwrap(),
    );
    let error = genesis_error(&signed(&manifest, &[&officers[0], &stranger]));
    assert!(error.contains("no officer \"mallory\""), "{error}");
    let impostor = (officers[0].0.clone(), stranger.1);
    let error = genesis_error(&signed(&manifest, &[&impostor]));
    assert!(error.contains("does not verify"), "{error}");
}

#[test]
fn a_changed_payload_is_refused() {
    let (root, _) = emulated_root("root").unwrap();
    let officers = officers(1);
    let mut manifest = manifest(&root, &officers);
    let good = SignedFile::parse(&signed(&manifest, &[&officers[0]])).unwrap();
    manifest.counter += 1;
    let other = SignedFile::unsigned(&serde_json::to_vec(&manifest).unwrap());
    let mut value = serde_json::to_value(&good).unwrap();
    value["payload"] = serde_json::to_value(&other).unwrap()["payload"].clone();
    let error = genesis_error(&serde_json::to_vec(&value).unwrap());
    assert!(error.contains("does not verify"), "{error}");
}

#[test]
fn each_wrong_member_of_a_manifest_is_named_with_the_remedy() {
    let (root, _) = emulated_root("root").unwrap();
    let officers = officers(2);
    let cases: [Case<Genesis>; 12] = [
        ("name", |g| g.name.clear()),
        ("counter", |g| g.counter = 0),
        ("threshold", |g| g.threshold = 3),
        ("threshold", |g| g.threshold = 0),
        ("officers", |g| g.officers[1].id = g.officers[0].id.clone()),
        ("officers", |g| {
            g.officers[1].key = g.officers[0].key.clone()
        }),
        ("vendor_roots", |g| g.vendor_roots.clear()),
        ("vendor_roots[0].pem", |g| {
            g.vendor_roots[0].pem = "x".into()
        }),
        ("measurements", |g| {
            g.measurements.retain(|m| m.role == MeasuredRole::Worker)
        }),
        ("measurements[0].pcrs[0]", |g| {
            g.measurements[0].pcrs.retain(|i, _| *i > 0)
        }),
        ("measurements[0].pcrs[1]", |g| {
            g.measurements[0].pcrs.insert(1, "AB".repeat(48));
        }),
        ("witnesses[0].name", |g| g.witnesses.push(peer("W", 1))),
    ];
    for (field, change) in cases {
        let mut bent = manifest(&root, &officers);
        change(&mut bent);
        match bent.validate() {
            Err(GenesisError::Field { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn a_hardware_manifest_allows_no_debug_measurement() {
    let (root, _) = emulated_root("root").unwrap();
    let officers = officers(1);
    let mut manifest = manifest(&root, &officers);
    manifest.environment = Environment::Hardware;
    manifest.vendor_roots = vec![VendorRootEntry {
        kind: RootKind::Nitro,
        pem: String::new(),
    }];
    manifest.validate().unwrap();
    manifest.measurements[0].pcrs.insert(2, "0".repeat(96));
    let error = manifest.validate().unwrap_err().to_string();
    assert!(error.contains("debug mode"), "{error}");
}

#[test]
fn an_unknown_member_is_refused() {
    let (root, _) = emulated_root("root").unwrap();
    let officers = officers(1);
    let mut value = serde_json::to_value(manifest(&root, &officers)).unwrap();
    value["allow_everything"] = true.into();
    let error = genesis_error(&signed(&value, &[&officers[0]]));
    assert!(error.contains("allow_everything"), "{error}");
}

#[test]
fn a_configuration_is_valid_for_the_manifest_its_officers_signed_it_for() {
    let (bench, other) = (Bench::new(), Bench::new());
    let config = config(bench.genesis.digest);
    let bytes = signed(&config, &[&bench.officers[0]]);
    let verified = Config::verify(&bytes, &bench.genesis).unwrap();
    assert_eq!(verified.config, config);
    assert_eq!(verified.policy_digest, config.policy.digest());
    let error = Config::verify(&bytes, &other.genesis)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not verify"), "{error}");
    let elsewhere = Config {
        genesis: other.genesis.digest,
        ..config
    };
    let error =
        Config::verify(&signed(&elsewhere, &[&bench.officers[0]]), &bench.genesis).unwrap_err();
    assert!(error.to_string().contains("another manifest"), "{error}");
}

#[test]
fn each_wrong_member_of_a_configuration_is_named_with_the_remedy() {
    let good = config(Digest32([0; 32]));
    good.validate().unwrap();
    let cases: [Case<Config>; 11] = [
        ("counter", |c| c.counter = 0),
        ("server_names", |c| c.server_names.clear()),
        ("tenants", |c| c.tenants.clear()),
        ("policy.max_failed_attempts", |c| {
            c.policy.max_failed_attempts = 6
        }),
        ("policy.max_failed_attempts", |c| {
            c.policy.max_failed_attempts = 0
        }),
        ("policy.accepted_tiers", |c| c.policy.accepted_tiers.clear()),
        ("tenants[1].id", |c| c.tenants.push(c.tenants[0].clone())),
        ("tenants[0].ledger", |c| {
            c.tenants[0].ledger = c.appliance_ledger
        }),
        ("tenants[0].anchor", |c| {
            c.tenants[0].anchor = c.anchors.auditor.clone()
        }),
        ("anchors.officer", |c| c.anchors.officer = "no PEM".into()),
        ("tenants[0].rp.approval_origins", |c| {
            c.tenants[0].rp.approval_origins = vec!["http://bank.example".into()]
        }),
    ];
    for (field, change) in cases {
        let mut bent = good.clone();
        change(&mut bent);
        match bent.validate() {
            Err(GenesisError::Field { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn the_policy_digest_is_that_of_its_canonical_text() {
    let policy = config(Digest32([0; 32])).policy;
    let text = concat!(
        r#"{"accepted_tiers":["process"],"approval_seconds":300,"challenge_seconds":300,"#,
        r#""enrollment_minutes":30,"face_false_matches_per_million":100,"lockout_minutes":30,"#,
        r#""max_failed_attempts":3}"#
    );
    assert_eq!(policy.digest(), crate::encode::sha256(&[text.as_bytes()]));
}

#[test]
fn a_client_policy_pins_one_manifest() {
    let (bench, other) = (Bench::new(), Bench::new());
    let policy = ClientPolicy::pin(&bench.genesis);
    let (again, genesis) = ClientPolicy::verify(&policy.to_json()).unwrap();
    assert_eq!(
        (again, genesis.digest),
        (policy.clone(), bench.genesis.digest)
    );
    let mut swapped = policy.clone();
    swapped.genesis_jws = other.genesis.envelope.clone();
    let error = ClientPolicy::verify(&swapped.to_json())
        .unwrap_err()
        .to_string();
    assert!(error.contains("client policy: genesis:"), "{error}");
    let mut stale = policy;
    stale.minimum_counter = 4;
    let error = ClientPolicy::verify(&stale.to_json())
        .unwrap_err()
        .to_string();
    assert!(error.contains("superseded"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_of_signed_files_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Genesis::verify(&bytes);
        let _ = ClientPolicy::verify(&bytes);
        let _ = crate::artefact::Trust::from_policy(&bytes);
    }
}
