use super::*;
use crate::attester::emulated_root;
use crate::encode::Digest32;
use crate::jwk::OkpEd25519Jwk;
use crate::sign::Es256Signer;
use crate::testkit::{Bench, manifest, officers, signed};
use proptest::prelude::*;
use redoubt_shared::LedgerId;

mod passkeys;

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
            retention_days: RETENTION_DAYS,
            passkeys: None,
            policy_signers: None,
            duplicate_faces: None,
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
            session_idle_seconds: None,
            session_absolute_minutes: None,
            second_device_above: None,
            passive_liveness: None,
            active_liveness: None,
            worker_jobs_max: None,
            worker_minutes_max: None,
            recompute_one_in: None,
            spoken_digits: None,
            max_failed_per_device: None,
            max_failed_per_source: None,
            max_failed_per_tenant: None,
            voice_false_matches_per_million: None,
        },
        restore: None,
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
    let cases: [Case<Genesis>; 13] = [
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
            g.vendor_roots[0].kind = RootKind::NitroUnsigned
        }),
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
fn a_tenants_policy_is_never_one_persons_alone() {
    let signer = |id: &str| {
        let (id, key) = newcomer(id);
        Officer {
            id,
            key: key.jwk().clone(),
        }
    };
    let (ada, bert) = (signer("ada"), signer("bert"));
    let judge = |signers: &[&Officer], threshold: u8| {
        let mut config = config(Digest32([0; 32]));
        config.tenants[0].policy_signers = Some(PolicySigners {
            signers: signers.iter().map(|one| (*one).clone()).collect(),
            threshold,
        });
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
        config.validate().map_err(|error| error.to_string())
    };
    judge(&[&ada, &bert], 2).unwrap();
    let ada_again = Officer {
        id: "carl".into(),
        key: ada.key.clone(),
    };
    let other_ada = Officer {
        id: "ada".into(),
        key: bert.key.clone(),
    };
    for (signers, threshold) in [
        (&[&ada, &bert][..], 1),
        (&[&ada, &bert], 3),
        (&[&ada, &bert], 0),
        (&[&ada], 1),
        (&[&ada], 2),
        (&[], 2),
        (&[&ada, &ada_again], 2),
        (&[&ada, &other_ada], 2),
    ] {
        let error = judge(signers, threshold).unwrap_err();
        assert!(error.contains("tenants[0].policy_signers"), "{error}");
    }
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
    let cases: [Case<Config>; 22] = [
        ("counter", |c| c.counter = 0),
        ("server_names", |c| c.server_names.clear()),
        ("tenants", |c| c.tenants.clear()),
        ("policy.max_failed_attempts", |c| {
            c.policy.max_failed_attempts = 6
        }),
        ("policy.max_failed_attempts", |c| {
            c.policy.max_failed_attempts = 0
        }),
        ("policy.max_failed_per_device", |c| {
            c.policy.max_failed_per_device = Some(1001)
        }),
        ("policy.max_failed_per_source", |c| {
            c.policy.max_failed_per_source = Some(0)
        }),
        ("policy.max_failed_per_tenant", |c| {
            c.policy.max_failed_per_tenant = Some(0)
        }),
        ("policy.passive_liveness.percent", |c| {
            let (mode, percent) = (LivenessMode::Report, 100);
            c.policy.passive_liveness = Some(PassiveLiveness { mode, percent });
        }),
        ("policy.worker_jobs_max", |c| {
            c.policy.worker_jobs_max = Some(9)
        }),
        ("policy.worker_minutes_max", |c| {
            c.policy.worker_minutes_max = Some(0)
        }),
        ("policy.recompute_one_in", |c| {
            c.policy.recompute_one_in = Some(1_000_001)
        }),
        ("policy.voice_false_matches_per_million", |c| {
            c.policy.voice_false_matches_per_million = Some(0)
        }),
        ("policy.voice_false_matches_per_million", |c| {
            c.policy.voice_false_matches_per_million = Some(10_001)
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
        ("tenants[0].retention_days", |c| {
            c.tenants[0].retention_days = 0
        }),
        ("tenants[0].retention_days", |c| {
            c.tenants[0].retention_days = 40_000
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

fn with_peers() -> Genesis {
    let (root, _) = emulated_root("root").unwrap();
    let mut genesis = manifest(&root, &officers(1));
    genesis.witnesses = (1..=3).map(|n| peer(&format!("w{n}.example"), n)).collect();
    genesis.witness_policy = Some(WitnessPolicy {
        k: 2,
        f: 0,
        mode: WitnessMode::Lease,
        lease_ms: 2000,
    });
    // One server that is a witness too, and one that is not.
    genesis.custodians = vec![peer("w1.example", 1), peer("c1", 9)];
    genesis.custodian_threshold = Some(2);
    genesis
}

#[test]
fn each_wrong_member_about_peers_is_named_with_the_remedy() {
    let good = with_peers();
    good.validate().unwrap();
    let policy = |g: &mut Genesis, k, f| {
        let policy = g.witness_policy.as_mut().unwrap();
        (policy.k, policy.f) = (k, f);
    };
    type Change = Box<dyn Fn(&mut Genesis)>;
    let cases: Vec<(&str, Change)> = vec![
        (
            "witnesses[1].name",
            Box::new(|g| g.witnesses[1].name = "w1.example".into()),
        ),
        (
            "witnesses[1].name",
            Box::new(|g| g.witnesses[1].name.clear()),
        ),
        (
            "witnesses[1].name",
            Box::new(|g| g.witnesses[1].name = "a".repeat(65)),
        ),
        (
            "witnesses[1].name",
            Box::new(|g| g.witnesses[1].name = "w 1".into()),
        ),
        (
            "witnesses[1].name",
            Box::new(|g| g.witnesses[1].name = "w+1".into()),
        ),
        (
            "witnesses[2].key",
            Box::new(|g| g.witnesses[2].key = g.witnesses[0].key.clone()),
        ),
        (
            "witnesses[2].tls_spki_sha256",
            Box::new(|g| g.witnesses[2].tls_spki_sha256 = Digest32([1; 32])),
        ),
        ("witness_policy", Box::new(|g| g.witness_policy = None)),
        ("witness_policy", Box::new(|g| g.witnesses.clear())),
        // Two of three overlap in one witness, who must not be the one that fails.
        ("witness_policy.k", Box::new(move |g| policy(g, 2, 1))),
        ("witness_policy.k", Box::new(move |g| policy(g, 1, 0))),
        ("witness_policy.k", Box::new(move |g| policy(g, 4, 0))),
        (
            "witness_policy.lease_ms",
            Box::new(|g| g.witness_policy.as_mut().unwrap().lease_ms = 199),
        ),
        (
            "witness_policy.lease_ms",
            Box::new(|g| g.witness_policy.as_mut().unwrap().lease_ms = 60_001),
        ),
        (
            "custodian_threshold",
            Box::new(|g| g.custodian_threshold = None),
        ),
        (
            "custodian_threshold",
            Box::new(|g| g.custodian_threshold = Some(0)),
        ),
        (
            "custodian_threshold",
            Box::new(|g| g.custodian_threshold = Some(3)),
        ),
        ("custodian_threshold", Box::new(|g| g.custodians.clear())),
        (
            "custodians[0]",
            Box::new(|g| g.custodians[0].key = peer("x", 8).key),
        ),
        (
            "custodians[1]",
            Box::new(|g| g.custodians[1].key = peer("x", 2).key),
        ),
    ];
    for (field, change) in cases {
        let mut bent = good.clone();
        change(&mut bent);
        match bent.validate() {
            Err(GenesisError::Field { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    let mut three_of_three = good;
    policy(&mut three_of_three, 3, 2);
    three_of_three.validate().unwrap();
}

#[test]
fn a_lease_that_is_not_said_is_two_seconds() {
    let policy: WitnessPolicy = serde_json::from_str(r#"{"k":1,"f":0,"mode":"strict"}"#).unwrap();
    assert_eq!((policy.lease_ms, policy.mode), (2000, WitnessMode::Strict));
}

#[test]
fn a_manifest_without_peers_reads_and_writes_as_it_always_did() {
    let (root, _) = emulated_root("root").unwrap();
    let officers = officers(1);
    let text = serde_json::to_string(&manifest(&root, &officers)).unwrap();
    assert!(text.contains(r#""witnesses":[],"custodians":[],"created_ms""#));
    for newer in ["witness_policy", "custodian_threshold", "previous"] {
        assert!(!text.contains(newer), "{newer}");
    }
    let mut file = SignedFile::unsigned(text.as_bytes());
    file.sign(&officers[0].0, &officers[0].1).unwrap();
    let verified = Genesis::verify(&file.to_json()).unwrap();
    assert_eq!(verified.digest, crate::encode::sha256(&[text.as_bytes()]));
    let peers = with_peers();
    let again: Genesis = serde_json::from_slice(&serde_json::to_vec(&peers).unwrap()).unwrap();
    assert_eq!(again, peers);
}

/// A pinned manifest of three officers, two of whom decide, and those officers.
fn pinned() -> (VerifiedGenesis, Vec<(String, Es256Signer)>) {
    let (root, _) = emulated_root("root").unwrap();
    let officers = officers(3);
    let mut first = manifest(&root, &officers);
    first.threshold = 2;
    let signed = signed(&first, &[&officers[0], &officers[1]]);
    (Genesis::verify(&signed).unwrap(), officers)
}

fn newcomer(id: &str) -> (String, Es256Signer) {
    let key = Es256Signer::generate(&crate::entropy::SystemEntropy).unwrap();
    (id.into(), key)
}

#[test]
fn a_successor_needs_both_sets_of_officers() {
    let (first, officers) = pinned();
    let new = newcomer("officer-new");
    let mut next = first.manifest.clone();
    next.counter += 1;
    next.previous = Some(first.digest);
    next.threshold = 1;
    next.officers = vec![Officer {
        id: new.0.clone(),
        key: new.1.jwk().clone(),
    }];
    let file = signed(&next, &[&officers[0], &new, &officers[2]]);
    let second = first.successor(&file).unwrap();
    assert_eq!(second.manifest, next);
    // And so on: a second step from there.
    let mut third = next.clone();
    third.counter += 1;
    third.previous = Some(second.digest);
    second.successor(&signed(&third, &[&new])).unwrap();
    assert!(first.successor(&signed(&third, &[&new])).is_err());

    let refused = |by: &[&(String, Es256Signer)]| {
        first.successor(&signed(&next, by)).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&[&new, &officers[1]]),
        "1 officers signed; the genesis manifest asks for 2"
    );
    assert_eq!(
        refused(&[&officers[0], &officers[1]]),
        "0 officers signed; the genesis manifest asks for 1"
    );
    let stranger = newcomer("mallory");
    let error = refused(&[&new, &officers[0], &officers[1], &stranger]);
    assert!(error.contains("no officer \"mallory\""), "{error}");
    let impostor = (officers[1].0.clone(), stranger.1);
    let error = refused(&[&new, &officers[0], &impostor]);
    assert!(error.contains("does not verify"), "{error}");
}

#[test]
fn what_is_no_successor_is_refused_by_member() {
    let (first, officers) = pinned();
    let by = [&officers[0], &officers[1]];
    let mut good = first.manifest.clone();
    good.counter += 1;
    good.previous = Some(first.digest);
    first.successor(&signed(&good, &by)).unwrap();
    let stranger = newcomer("x");
    type Change = Box<dyn Fn(&mut Genesis)>;
    let cases: Vec<(&str, Change)> = vec![
        ("previous", Box::new(|g| g.previous = None)),
        (
            "previous",
            Box::new(|g| g.previous = Some(Digest32([1; 32]))),
        ),
        ("counter", Box::new(|g| g.counter -= 1)),
        (
            "officers",
            Box::new(move |g| g.officers[2].key = stranger.1.jwk().clone()),
        ),
    ];
    for (field, change) in cases {
        let mut bent = good.clone();
        change(&mut bent);
        match first.successor(&signed(&bent, &by)) {
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
    assert_eq!(policy.voice_false_matches(), 1000);
}

#[test]
fn a_policy_that_says_nothing_of_digits_asks_for_none_and_keeps_its_text() {
    let mut policy = config(Digest32([0; 32])).policy;
    assert_eq!(policy.digits(), LivenessMode::Off);
    let text = serde_json::to_string(&policy).unwrap();
    assert!(!text.contains("spoken_digits"));
    let before = policy.digest();
    for (word, mode) in [
        ("off", LivenessMode::Off),
        ("report", LivenessMode::Report),
        ("require", LivenessMode::Require),
    ] {
        let said = format!(r#"{{"mode":"{word}"}}"#);
        policy.spoken_digits = Some(serde_json::from_str(&said).unwrap());
        assert_eq!(policy.digits(), mode);
        assert_ne!(policy.digest(), before);
    }
    for wrong in [
        r#"{"mode":"always"}"#,
        r#"{"mode":"off","percent":9}"#,
        "{}",
    ] {
        assert!(serde_json::from_str::<SpokenDigits>(wrong).is_err());
    }
}

#[test]
fn a_tenant_that_says_nothing_of_duplicates_looks_for_none_and_keeps_its_text() {
    let mut config = config(Digest32([0; 32]));
    assert!(
        !serde_json::to_string(&config)
            .unwrap()
            .contains("duplicate")
    );
    let mut said = |text: &str| {
        config.tenants[0].duplicate_faces = Some(serde_json::from_str(text).unwrap());
        let faces = config.tenants[0].duplicate_faces.unwrap();
        (faces, config.validate().map_err(|error| error.to_string()))
    };
    for (mode, on, refuses) in [
        ("off", false, false),
        ("report", true, false),
        ("refuse", true, true),
    ] {
        let (faces, valid) = said(&format!(r#"{{"mode":"{mode}"}}"#));
        assert_eq!(
            (faces.is_on(), faces.refuses(), valid),
            (on, refuses, Ok(()))
        );
        assert_eq!(
            (faces.false_positives(), faces.refused_per_day()),
            (10_000, 100)
        );
    }
    for (member, highest) in [
        ("false_positives_per_million", 500_000),
        ("max_refused_per_day", 10_000),
    ] {
        for (value, good) in [(0, false), (1, true), (highest, true), (highest + 1, false)] {
            let (_, valid) = said(&format!(r#"{{"mode":"report","{member}":{value}}}"#));
            match valid {
                Ok(()) => assert!(good, "{member} {value}"),
                Err(told) => {
                    assert!(!good, "{told}");
                    assert!(
                        told.contains(&format!("tenants[0].duplicate_faces.{member}")),
                        "{told}"
                    );
                }
            }
        }
    }
    for wrong in [
        r#"{"mode":"always"}"#,
        r#"{"mode":"off","percent":9}"#,
        "{}",
    ] {
        assert!(serde_json::from_str::<DuplicateFaces>(wrong).is_err());
    }
}

#[test]
fn limits_of_sessions_have_bounds_and_a_policy_without_them_keeps_its_digest() {
    let mut config = config(Digest32([0; 32]));
    assert_eq!(config.policy.session_idle(), 300);
    assert_eq!(config.policy.session_absolute(), 720);
    let digest = config.policy.digest();
    for (idle, absolute, field) in [
        (Some(10), Some(1), None),
        (Some(300), Some(720), None),
        (Some(9), None, Some("policy.session_idle_seconds")),
        (Some(301), None, Some("policy.session_idle_seconds")),
        (None, Some(0), Some("policy.session_absolute_minutes")),
        (None, Some(721), Some("policy.session_absolute_minutes")),
    ] {
        config.policy.session_idle_seconds = idle;
        config.policy.session_absolute_minutes = absolute;
        assert_ne!(config.policy.digest(), digest);
        match (config.validate(), field) {
            (Ok(()), None) => {}
            (Err(GenesisError::Field { field: named, .. }), Some(field)) => {
                assert_eq!(named, field);
            }
            other => panic!("{other:?}"),
        }
    }
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

#[test]
fn a_tenant_that_says_nothing_keeps_its_entries_for_seven_years() {
    let mut config = serde_json::to_value(config(Digest32([0; 32]))).unwrap();
    let tenant = config["tenants"][0].as_object_mut().unwrap();
    assert!(tenant.remove("retention_days").is_some());
    let config: Config = serde_json::from_value(config).unwrap();
    assert_eq!(config.tenants[0].retention_days, 2_557);
}

#[test]
fn a_limit_for_a_second_device_is_exact_text_under_a_currency() {
    let good = config(Digest32([0; 32]));
    assert_eq!(good.policy.second_device_limits(), None);
    let with = |currency: &str, limit: &str| {
        let mut config = good.clone();
        config.policy.second_device_above = Some([(currency.into(), limit.into())].into());
        config
    };
    let exact = with("EUR", "1000.01");
    exact.validate().unwrap();
    let limits = exact.policy.second_device_limits().unwrap();
    assert_eq!(limits["EUR"], 10_000_100);
    with("EUR", "0").validate().unwrap();
    for (currency, limit) in [
        ("eur", "1"),
        ("EURO", "1"),
        ("EUR", "1,0"),
        ("EUR", "-1"),
        ("EUR", ""),
    ] {
        assert!(
            with(currency, limit).validate().is_err(),
            "{currency} {limit}"
        );
    }
    // A policy without it has the digest it always had.
    let text = serde_json::to_string(&good.policy).unwrap();
    assert!(!text.contains("second_device_above"));
    assert_ne!(exact.policy.digest(), good.policy.digest());
}
