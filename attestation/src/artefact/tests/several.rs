//! Approvals of several answers, batches, and rejections.

use serde_json::{Value, json};

use super::super::*;
use super::court::{Court, transaction};
use super::passkeys::Passkey;
use crate::encode::sha256;
use crate::jcs::to_jcs;
use crate::ledger::Receipt;

/// Who answers, with which passkey and flags; a face without a passkey.
pub(crate) struct Answer<'a> {
    pub(crate) user: &'static str,
    pub(crate) passkey: Option<&'a Passkey>,
    pub(crate) flags: u8,
    pub(crate) nonce: u8,
}

pub(crate) fn by<'a>(user: &'static str, passkey: &'a Passkey, nonce: u8) -> Answer<'a> {
    Answer {
        user,
        passkey: Some(passkey),
        flags: 5,
        nonce,
    }
}

pub(crate) fn face(user: &'static str) -> Answer<'static> {
    Answer {
        user,
        passkey: None,
        flags: 0,
        nonce: 0,
    }
}

/// Of one person with one device, besides a passkey.
pub(crate) fn besides(factors: &[&str]) -> Value {
    let mut all = vec!["passkey"];
    all.extend(factors);
    json!({"approvers": 1, "needed": 1, "devices": 1, "factors": all})
}

pub(crate) fn asked(approvers: u16, needed: u16, devices: u8, face: bool) -> Value {
    let factors: &[&str] = if face {
        &["passkey", "face"]
    } else {
        &["passkey"]
    };
    json!({"approvers": approvers, "needed": needed, "devices": devices, "factors": factors})
}

impl Court {
    fn answer(&self, asked: &Value, answer: &Answer<'_>, at: usize) -> Value {
        let mut claims = self.common();
        claims["user_id"] = answer.user.into();
        claims["receipt_id"] = format!("{at:032x}").into();
        claims["approval_id"] = "approval-1".into();
        let Some(passkey) = answer.passkey else {
            claims["verdict"] = "verified".into();
            return claims;
        };
        let input = ChallengeInput {
            user_id: answer.user.parse().unwrap(),
            nonce: [answer.nonce; 32],
            ..self.challenge_input()
        };
        claims["type"] = "approval".into();
        claims["version"] = 2.into();
        claims["decision"] = "granted".into();
        claims["asked"] = asked.clone();
        claims["transaction"] = transaction();
        claims["challenge"] = crate::encode::b64u(&input.challenge().0).into();
        claims["assertion"] = json!(passkey.answer(&input.challenge(), answer.flags));
        claims["challenge_input"] = json!(input);
        claims
    }

    /// An artefact of all answers, the last one completing; `bend` changes one claim
    /// before it is receipted and named.
    pub(crate) fn several(
        &self,
        asked: &Value,
        answers: &[Answer<'_>],
        bend: impl Fn(usize, &mut Value),
    ) -> Artefact {
        let (last, earlier) = answers.split_last().unwrap();
        let mut grants: Vec<Receipt> = Vec::new();
        let mut named = Vec::new();
        for (at, answer) in earlier.iter().enumerate() {
            let mut claims = self.answer(asked, answer, at);
            bend(at, &mut claims);
            let text = claims.to_string();
            named.push(json!({
                "receipt_id": claims["receipt_id"], "claim": sha256(&[text.as_bytes()]),
            }));
            grants.push(self.receipt(&text));
        }
        let mut claims = self.answer(asked, last, earlier.len());
        claims["decision"] = "approved".into();
        claims["grants"] = named.into();
        claims["tenant_key_es256"] = self.tenant.jwks().0.kid().into();
        claims["tenant_key_mldsa65"] = self.tenant.jwks().1.kid().into();
        bend(earlier.len(), &mut claims);
        let mut artefact = self.artefact_typed(&claims, APPROVAL_V2_TYP);
        artefact.grants = grants;
        artefact
    }

    pub(crate) fn batch(&self, total: &str, amounts: &[&str]) -> Value {
        let payment = |amount: &&str| json!({"amount": amount, "payee": {"name": "P", "account": "A"}, "reference": "R"});
        let payments: Vec<Value> = amounts.iter().map(payment).collect();
        self.paying(json!({"total": total, "currency": "EUR", "payments": payments}))
    }

    /// Claims of an approval of this transaction.
    pub(crate) fn paying(&self, transaction: Value) -> Value {
        let input = ChallengeInput {
            transaction_jcs: to_jcs(&transaction).unwrap(),
            ..self.challenge_input()
        };
        let mut claims = self.claims();
        claims["transaction"] = transaction;
        claims["challenge"] = crate::encode::b64u(&input.challenge().0).into();
        claims["assertion"] = json!(self.assertion(&input.challenge(), 5));
        claims["challenge_input"] = json!(input);
        claims
    }

    pub(crate) fn rejection(&self) -> Value {
        let input = ChallengeInput {
            purpose: ChallengeInput::REJECTION.into(),
            ..self.challenge_input()
        };
        let mut claims = self.claims();
        claims["decision"] = "rejected".into();
        claims["closes"] = false.into();
        claims["challenge"] = crate::encode::b64u(&input.challenge().0).into();
        claims["assertion"] = json!(self.assertion(&input.challenge(), 5));
        claims["challenge_input"] = json!(input);
        claims
    }
}

/// Faces and voices, each for what it is, before one passkey.
fn samples(court: &Court, passkey: &Passkey) -> Vec<(&'static str, Artefact, &'static str)> {
    let answered = |asked: &[&str], with: &[&'static str]| {
        let mut answers: Vec<Answer<'_>> = with.iter().map(|_| face("anna")).collect();
        answers.push(by("anna", passkey, 1));
        court.several(&besides(asked), &answers, |at, claims| {
            if let Some(modality) = with.get(at) {
                claims["modality"] = (*modality).into();
            }
        })
    };
    let cases: [(&'static str, &[&str], &[&'static str], &'static str); 12] = [
        (
            "a voice that was asked for",
            &["voice"],
            &["voice"],
            "accepted",
        ),
        (
            "a face and a voice",
            &["face", "voice"],
            &["voice", "facial"],
            "accepted",
        ),
        ("a face for a voice", &["voice"], &["facial"], "grants"),
        ("a voice for a face", &["face"], &["voice"], "grants"),
        ("no voice", &["voice"], &[], "grants"),
        ("two voices", &["voice"], &["voice", "voice"], "grants"),
        (
            "two voices for both",
            &["face", "voice"],
            &["voice", "voice"],
            "grants",
        ),
        (
            "a voice that nobody asked for",
            &["face"],
            &["facial", "voice"],
            "grants",
        ),
        (
            "both in one for a voice",
            &["voice"],
            &["multimodal"],
            "grants",
        ),
        (
            "both in one for both",
            &["face", "voice"],
            &["multimodal", "multimodal"],
            "grants",
        ),
        (
            "factors in another order",
            &["voice", "face"],
            &["facial", "voice"],
            "malformed",
        ),
        (
            "a factor twice",
            &["voice", "voice"],
            &["voice", "voice"],
            "malformed",
        ),
    ];
    let read = court.several(
        &besides(&["voice"]),
        &[face("anna"), by("anna", passkey, 1)],
        |at, claims| {
            if at == 0 {
                reading(claims);
            }
        },
    );
    cases
        .into_iter()
        .map(|(name, asked, with, code)| (name, answered(asked, with), code))
        .chain([("a voice that read its digits", read, "accepted")])
        .collect()
}

/// Members of a claim about a voice that read the digits it was asked for.
pub(crate) fn reading(claims: &mut Value) {
    claims["modality"] = "voice".into();
    claims["spoken_digits"] = "passed".into();
}

/// Named cases of many kinds, good and bad, for both verifiers.
pub(crate) fn cases(court: &Court) -> Vec<(&'static str, Artefact, &'static str)> {
    let keys: Vec<Passkey> = [-7, -8, -49, -36].into_iter().map(Passkey::new).collect();
    let [a, b, c, d] = [&keys[0], &keys[1], &keys[2], &keys[3]];
    let copied = |user, key, nonce| Answer {
        flags: 13,
        ..by(user, key, nonce)
    };
    let honest = |_: usize, _: &mut Value| {};
    let two = asked(3, 2, 1, false);
    let devices = asked(1, 1, 2, false);
    let with_face = asked(1, 1, 1, true);
    let mut list = vec![
        (
            "two of three",
            court.several(&two, &[by("anna", a, 1), by("ben", b, 2)], honest),
            "accepted",
        ),
        (
            "two devices",
            court.several(&devices, &[by("anna", a, 1), by("anna", b, 2)], honest),
            "accepted",
        ),
        (
            "one copied",
            court.several(&devices, &[copied("anna", a, 1), by("anna", b, 2)], honest),
            "accepted",
        ),
        (
            "a face",
            court.several(&with_face, &[face("anna"), by("anna", a, 1)], honest),
            "accepted",
        ),
        (
            "everything",
            court.several(
                &asked(2, 2, 2, true),
                &[
                    by("ben", a, 1),
                    face("ben"),
                    face("anna"),
                    by("anna", b, 2),
                    by("ben", c, 3),
                    by("anna", d, 4),
                ],
                honest,
            ),
            "accepted",
        ),
        (
            "one of two",
            court.several(&two, &[by("anna", a, 1)], honest),
            "grants",
        ),
        (
            "one person twice",
            court.several(&two, &[by("anna", a, 1), by("anna", b, 2)], honest),
            "grants",
        ),
        (
            "one device, two people",
            court.several(&two, &[by("anna", a, 1), by("ben", a, 2)], honest),
            "grants",
        ),
        (
            "one device twice",
            court.several(&devices, &[by("anna", a, 1), by("anna", a, 2)], honest),
            "grants",
        ),
        (
            "two copies",
            court.several(
                &devices,
                &[copied("anna", a, 1), copied("anna", b, 2)],
                honest,
            ),
            "grants",
        ),
        (
            "one challenge twice",
            court.several(&devices, &[by("anna", a, 1), by("anna", b, 1)], honest),
            "grants",
        ),
        (
            "one device missing",
            court.several(&devices, &[by("anna", a, 1)], honest),
            "grants",
        ),
        (
            "three where two",
            court.several(
                &two,
                &[by("anna", a, 1), by("ben", b, 2), by("cleo", c, 3)],
                honest,
            ),
            "grants",
        ),
        (
            "no face",
            court.several(&with_face, &[by("anna", a, 1)], honest),
            "grants",
        ),
        (
            "another's face",
            court.several(&with_face, &[face("ben"), by("anna", a, 1)], honest),
            "grants",
        ),
        (
            "a face that says so",
            court.several(
                &with_face,
                &[face("anna"), by("anna", a, 1)],
                |at, claims| {
                    if at == 0 {
                        claims["modality"] = "facial".into();
                    }
                },
            ),
            "accepted",
        ),
        (
            "a voice",
            court.several(
                &with_face,
                &[face("anna"), by("anna", a, 1)],
                |at, claims| {
                    if at == 0 {
                        claims["modality"] = "voice".into();
                    }
                },
            ),
            "grants",
        ),
        (
            "two faces",
            court.several(
                &with_face,
                &[face("anna"), face("anna"), by("anna", a, 1)],
                honest,
            ),
            "grants",
        ),
        (
            "nobody needed",
            court.several(&asked(1, 0, 1, false), &[by("anna", a, 1)], honest),
            "grants",
        ),
        (
            "more than asked",
            court.several(
                &asked(1, 2, 1, false),
                &[by("anna", a, 1), by("ben", b, 2)],
                honest,
            ),
            "grants",
        ),
    ];
    list.extend(samples(court, a));
    let pair = || [by("anna", a, 1), by("ben", b, 2)];
    type Bend = fn(&mut Value);
    let bends: [(&'static str, usize, Bend, &'static str); 15] = [
        (
            "another approval",
            0,
            |c| c["approval_id"] = "approval-2".into(),
            "grants",
        ),
        (
            "another amount",
            0,
            |c| c["transaction"]["amount"] = "1.00".into(),
            "grants",
        ),
        (
            "a refused answer",
            0,
            |c| c["decision"] = "refused".into(),
            "grants",
        ),
        (
            "an approved answer",
            0,
            |c| c["decision"] = "approved".into(),
            "grants",
        ),
        (
            "other terms",
            0,
            |c| c["asked"]["needed"] = 1.into(),
            "grants",
        ),
        (
            "another rp",
            0,
            |c| c["challenge_input"]["rp_id"] = "evil.example".into(),
            "grants",
        ),
        (
            "another nonce",
            0,
            |c| c["challenge_input"]["nonce"] = crate::encode::b64u(&[9; 32]).into(),
            "challenge",
        ),
        ("too late", 0, |c| c["time_ms"] = 2001.into(), "expired"),
        (
            "another counter",
            0,
            |c| c["assertion"]["sign_count"] = 8.into(),
            "assertion_contradiction",
        ),
        (
            "another kind",
            0,
            |c| c["type"] = "erasure".into(),
            "grants",
        ),
        (
            "a typeless answer",
            0,
            |c| c["type"] = 1.into(),
            "malformed",
        ),
        (
            "terms without a factor",
            1,
            |c| c["asked"]["factors"] = json!(["face"]),
            "grants",
        ),
        ("no terms", 1, |c| c["asked"] = Value::Null, "malformed"),
        (
            "a float version",
            1,
            |c| c["version"] = 2.0.into(),
            "not_an_approval",
        ),
        (
            "version 3",
            1,
            |c| c["version"] = 3.into(),
            "not_an_approval",
        ),
    ];
    for (name, at, bend, code) in bends {
        let bent = court.several(&two, &pair(), |index, claims| {
            if index == at {
                bend(claims);
            }
        });
        list.push((name, bent, code));
    }
    let good = court.several(&two, &pair(), honest);
    let other = court.several(&two, &[by("cleo", c, 1), by("ben", b, 2)], honest);
    let mut bent = good.clone();
    bent.grants.clear();
    list.push(("its answers taken off", bent, "grants"));
    let mut bent = good.clone();
    bent.grants.push(good.grants[0].clone());
    list.push(("an answer added", bent, "grants"));
    let mut bent = good.clone();
    bent.grants = other.grants.clone();
    list.push(("another's answers", bent, "grants"));
    let mut bent = good.clone();
    bent.grants[0].evidence.clear();
    list.push(("an answer without evidence", bent, "no_evidence"));
    let mut bent = good.clone();
    bent.grants[0].salt = crate::encode::b64u(&[7; 32]);
    list.push(("an answer of no ledger", bent, "receipt"));
    let text: Value = serde_json::from_str(&good.receipt.claims).unwrap();
    let mut bent = court.artefact_typed(&text, APPROVAL_TYP);
    bent.grants = good.grants;
    list.push(("under the typ of one answer", bent, "signatures"));

    list.push((
        "a rejection",
        court.artefact_typed(&court.rejection(), REJECTION_TYP),
        "accepted",
    ));
    list.push((
        "a rejection as approval",
        court.artefact(&court.rejection()),
        "signatures",
    ));
    let mut lie = court.rejection();
    lie["decision"] = "approved".into();
    list.push((
        "a rejection told as approval",
        court.artefact(&lie),
        "challenge",
    ));
    let mut lie = court.claims();
    lie["decision"] = "rejected".into();
    list.push((
        "an approval told as rejection",
        court.artefact_typed(&lie, REJECTION_TYP),
        "challenge",
    ));
    let mut unsigned = court.rejection();
    unsigned["assertion"] = Value::Null;
    list.push((
        "a rejection of the bank's word",
        court.artefact_typed(&unsigned, REJECTION_TYP),
        "not_an_approval",
    ));

    for (name, total, amounts, code) in [
        ("a batch", "300.30", &["100.10", "200.2"][..], "accepted"),
        ("a batch of fractions", "0.3", &["0.1", "0.2"], "accepted"),
        (
            "a wrong total",
            "300.31",
            &["100.10", "200.2"],
            "transaction",
        ),
        ("an empty batch", "0", &[], "transaction"),
        ("nothing paid", "0", &["0", "0"], "transaction"),
        ("a negative payment", "1", &["2", "-1"], "transaction"),
        (
            "beyond 64 bits",
            "999999999999999.9999",
            &["999999999999999.9999", "999999999999999"],
            "transaction",
        ),
    ] {
        list.push((name, court.artefact(&court.batch(total, amounts)), code));
    }
    let many = vec!["1"; 101];
    list.push((
        "101 payments",
        court.artefact(&court.batch("101", &many)),
        "transaction",
    ));
    let mut two_currencies = court.batch("3", &["1", "2"])["transaction"].clone();
    two_currencies["payments"][1]["currency"] = "USD".into();
    list.push((
        "two currencies",
        court.artefact(&court.paying(two_currencies)),
        "transaction",
    ));
    let mut list_like = court.batch("3", &["1", "2"])["transaction"].clone();
    list_like["payments"] = json!({"0": {}});
    list.push((
        "payments that are no list",
        court.artefact(&court.paying(list_like)),
        "transaction",
    ));
    list
}

#[test]
fn what_was_asked_for_is_what_answered() {
    let court = Court::new();
    for (name, artefact, code) in cases(&court) {
        let verdict = court
            .judge(&artefact)
            .map_or_else(|code| code, |_| "accepted");
        assert_eq!(verdict, code, "{name}");
    }
}

#[test]
fn the_verdict_names_the_decision_and_everybody() {
    let court = Court::new();
    let [a, b] = [-7, -35].map(Passkey::new);
    let both = court.several(
        &asked(3, 2, 1, false),
        &[by("anna", &a, 1), by("ben", &b, 2)],
        |_, _| {},
    );
    let verified = court.judge(&both).unwrap();
    assert_eq!(verified.decision, "approved");
    let people: Vec<&str> = verified.people.iter().map(|user| user.as_str()).collect();
    assert_eq!(people, ["anna", "ben"]);
    assert_eq!(verified.asked.unwrap().needed, 2);
    let rejected = court.artefact_typed(&court.rejection(), REJECTION_TYP);
    let rejected = court.judge(&rejected).unwrap();
    let told = (rejected.decision.as_str(), rejected.closes);
    assert_eq!(told, ("rejected", Some(false)));
    assert_eq!(verified.closes, None);
}
