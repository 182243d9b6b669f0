//! The passkey policy of a tenant.

use super::*;

const MODEL: &str = "01020304-0506-0708-090a-0b0c0d0e0f10";

fn with(change: impl FnOnce(&mut PasskeyPolicy)) -> Result<(), GenesisError> {
    let mut config = config(Digest32([0; 32]));
    let mut policy = PasskeyPolicy::default();
    change(&mut policy);
    config.tenants[0].passkeys = Some(policy);
    config.validate()
}

/// A policy under which makers are proven by given roots.
fn proven(policy: &mut PasskeyPolicy) {
    policy.formats = Some(vec!["packed".into()]);
    policy.refuse_self_attestation = true;
    policy.trust = AttestationTrust::Roots(vec![anchor("maker")]);
}

fn source(accept_other_roots: bool) -> Option<MetadataSource> {
    Some(MetadataSource {
        roots: vec![anchor("metadata")],
        accept_other_roots,
    })
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn a_configuration_without_a_policy_keeps_its_bytes() {
    let config = config(Digest32([0; 32]));
    let text = serde_json::to_string(&config).unwrap();
    assert!(!text.contains("passkeys"));
    let read: Config = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    let stated: PasskeyPolicy = serde_json::from_str("{}").unwrap();
    assert_eq!(stated, PasskeyPolicy::default());
}

#[test]
fn what_protects_people_has_no_member() {
    for member in ["user_verification", "challenge_seconds", "resident_key"] {
        let text = format!(r#"{{"{member}": "preferred"}}"#);
        let error = serde_json::from_str::<PasskeyPolicy>(&text).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}

#[test]
fn a_whole_policy_is_accepted() {
    with(|policy| {
        proven(policy);
        policy.algorithms = Some(texts(&["ML-DSA-65", "RS1"]));
        policy.attestation_formats = texts(&["packed", "tpm"]);
        policy.formats = Some(texts(&["packed", "android-safetynet"]));
        policy.safetynet_reason = Some("phones of before 2024".into());
        policy.allowed_aaguids = texts(&[MODEL]);
        policy.cross_origin = texts(&["https://shop.example", "https://shop.example:8443"]);
        policy.metadata = source(true);
        policy.trust = AttestationTrust::Metadata;
    })
    .unwrap();
}

#[test]
fn each_bent_member_is_blamed_by_its_name() {
    type Bend = fn(&mut PasskeyPolicy);
    let cases: [(&str, Bend); 20] = [
        ("algorithms", |p| p.algorithms = Some(vec![])),
        ("algorithms", |p| p.algorithms = Some(texts(&["es256"]))),
        ("algorithms", |p| {
            p.algorithms = Some(texts(&["ES256", "ES256"]))
        }),
        ("attestation_formats", |p| {
            p.attestation_formats = texts(&["fido2"])
        }),
        ("formats", |p| p.formats = Some(vec![])),
        ("formats", |p| p.formats = Some(texts(&["Packed"]))),
        ("safetynet_reason", |p| {
            p.formats = Some(texts(&["android-safetynet"]))
        }),
        ("safetynet_reason", |p| {
            p.formats = Some(texts(&["android-safetynet"]));
            p.safetynet_reason = Some("  ".into());
        }),
        ("safetynet_reason", |p| {
            p.safetynet_reason = Some("because".into())
        }),
        ("trust.roots", |p| p.trust = AttestationTrust::Roots(vec![])),
        ("trust.roots[0]", |p| {
            p.trust = AttestationTrust::Roots(texts(&["no PEM"]))
        }),
        ("trust", |p| {
            proven(p);
            p.trust = AttestationTrust::Metadata;
        }),
        ("attestation", |p| {
            proven(p);
            p.attestation = Conveyance::None;
        }),
        ("formats", |p| {
            proven(p);
            p.formats = None;
        }),
        ("refuse_self_attestation", |p| {
            proven(p);
            p.refuse_self_attestation = false;
        }),
        ("allowed_aaguids", |p| {
            p.allowed_aaguids = texts(&["0102030405060708090a0b0c0d0e0f10"])
        }),
        ("denied_aaguids", |p| {
            p.denied_aaguids = texts(&[MODEL, MODEL])
        }),
        ("denied_aaguids", |p| {
            p.allowed_aaguids = texts(&[MODEL]);
            p.denied_aaguids = texts(&[MODEL]);
        }),
        ("cross_origin", |p| {
            p.cross_origin = texts(&["https://shop.example/"])
        }),
        ("metadata.roots", |p| p.metadata = source(false)),
    ];
    for (member, bend) in cases {
        match with(bend) {
            Err(GenesisError::Field { field, .. }) => {
                assert_eq!(field, format!("tenants[0].passkeys.{member}"));
            }
            other => panic!("{member}: {other:?}"),
        }
    }
}

#[test]
fn a_wrong_name_is_answered_with_the_right_ones() {
    let error = with(|policy| policy.algorithms = Some(texts(&["RSA"]))).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("\"RSA\"") && text.contains("ML-DSA-65, ML-DSA-87"),
        "{text}"
    );
}
