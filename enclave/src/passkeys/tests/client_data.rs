//! What client data has to say, judged in assertions.

use super::authenticator::*;
use super::expectations::*;
use crate::passkeys::*;

fn alice() -> (Authenticator, Login) {
    let mut authenticator = Authenticator::new();
    let login = Login::of(&mut authenticator);
    (authenticator, login)
}

#[test]
fn client_data_is_judged_step_by_step() {
    let (authenticator, login) = alice();
    let with = |json: &str| login.run(&authenticator.assert_over(json.as_bytes().to_vec()));
    let challenge = Base64Url::from(CHALLENGE).encode();
    let good = format!(r#""type":"webauthn.get","challenge":"{challenge}","origin":"{ORIGIN}""#);
    with(&format!("{{{good}}}")).unwrap();
    with(&format!("\u{feff}{{{good}}}")).unwrap();
    with(&format!(
        r#"{{{good},"future":{{"x":[1]}},"crossOrigin":null}}"#
    ))
    .unwrap();
    with(&format!(r#"{{{good},"tokenBinding":"unused"}}"#)).unwrap();

    let bad = [
        ("{".to_owned(), "7.2.9", "client_data_not_json"),
        ("[]".to_owned(), "7.2.9", "client_data_not_json"),
        (
            format!(r#"["webauthn.get","{challenge}","{ORIGIN}",false,null,null]"#),
            "7.2.9",
            "client_data_not_json",
        ),
        (format!("{{{good}}} x"), "7.2.9", "client_data_not_json"),
        (
            format!(r#"{{{good},"type":"webauthn.get"}}"#),
            "7.2.9",
            "client_data_not_json",
        ),
        (
            format!(r#"{{{good},"challenge":"{challenge}"}}"#),
            "7.2.9",
            "client_data_not_json",
        ),
        (
            format!(r#"{{{good},"crossOrigin":"yes"}}"#),
            "7.2.9",
            "client_data_not_json",
        ),
        (
            format!(r#"{{{good},"tokenBinding":{{"status":"odd"}}}}"#),
            "7.2.9",
            "token_binding_status_unknown",
        ),
        (
            good_but(&good, "webauthn.get", "webauthn.create"),
            "7.2.10",
            "client_data_type_mismatch",
        ),
        (
            good_but(&good, "type", "typo"),
            "7.2.10",
            "client_data_type_mismatch",
        ),
        (
            good_but(&good, &challenge, &format!("{challenge}=")),
            "7.2.11",
            "challenge_mismatch",
        ),
        (
            good_but(&good, &challenge, ""),
            "7.2.11",
            "challenge_mismatch",
        ),
        (
            good_but(&good, "challenge", "x"),
            "7.2.11",
            "challenge_mismatch",
        ),
        (
            good_but(&good, ORIGIN, "https://bank.example"),
            "7.2.12",
            "origin_not_expected",
        ),
        (
            good_but(&good, ORIGIN, "https://login.bank.example/"),
            "7.2.12",
            "origin_not_expected",
        ),
        (
            good_but(&good, ORIGIN, "http://login.bank.example"),
            "7.2.12",
            "origin_not_expected",
        ),
        (
            good_but(&good, "origin", "x"),
            "7.2.12",
            "origin_not_expected",
        ),
        (
            format!(r#"{{{good},"crossOrigin":true}}"#),
            "7.2.13",
            "cross_origin_refused",
        ),
        (
            format!(r#"{{{good},"topOrigin":"{ORIGIN}"}}"#),
            "7.2.14",
            "top_origin_not_expected",
        ),
    ];
    for (json, step, reason) in bad {
        refused(with(&json), step, reason);
    }
    let not_utf8 = authenticator.assert_over(vec![b'{', 0xff, b'}']);
    refused(login.run(&not_utf8), "7.2.8", "client_data_not_utf8");
}

fn good_but(good: &str, from: &str, to: &str) -> String {
    format!("{{{}}}", good.replacen(from, to, 1))
}

#[test]
fn an_empty_expected_challenge_matches_nothing() {
    let (authenticator, mut login) = alice();
    login.challenge = Vec::new();
    let response = authenticator.assert_over(client_data("webauthn.get", b"", ORIGIN));
    refused(login.run(&response), "7.2.11", "challenge_mismatch");
}

#[test]
fn frames_are_accepted_only_below_expected_pages() {
    let (authenticator, mut login) = alice();
    let challenge = Base64Url::from(CHALLENGE).encode();
    let framed = |top: &str| {
        authenticator.assert_over(format!(
            r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{ORIGIN}","crossOrigin":true{top}}}"#
        ).into_bytes())
    };
    let shop = r#","topOrigin":"https://shop.example""#;
    let pages: &'static [String] = Vec::leak(vec!["https://shop.example".to_owned()]);
    login.cross_origin = CrossOrigin::AllowBelow(pages);
    login.run(&framed(shop)).unwrap();
    login.run(&framed("")).unwrap();
    let other = framed(r#","topOrigin":"https://evil.example""#);
    refused(login.run(&other), "7.2.14", "top_origin_not_expected");
    login.cross_origin = CrossOrigin::AllowBelowAnyPage;
    login.run(&other).unwrap();
}
