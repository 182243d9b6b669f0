//! Receipts, artefacts of approvals, anchors and checkpoints.

use std::path::Path;

use serde_json::Value;

use super::Second;
use crate::artefact::tests::court::Court;
use crate::artefact::tests::fresh::{Watched, anchor};
use crate::artefact::{Trust, verify_artefact, verify_receipt};
use crate::binding::{NonceInput, Purpose};
use crate::genesis::{ClientPolicy, WitnessMode};
use crate::ledger::{Checkpoint, Receipt};
use crate::testkit::{Bench, Unsigned};

/// Claims changed by a lying enclave, and artefacts changed by anybody.
fn bent_artefacts(court: &Court) -> Vec<Value> {
    let text = |value: &'static str| Value::from(value);
    let zero = "00".repeat(32);
    let changes: Vec<(&str, Value)> = vec![
        ("/transaction/amount", text("250.01")),
        ("/challenge_input/domain", text("x")),
        ("/challenge_input/purpose", text("login")),
        ("/challenge_input/tenant", text("bank-b")),
        ("/challenge_input/user_id", text("customer-2")),
        ("/challenge_input/rp_id", text("evil.example")),
        ("/challenge_input/expires_ms", 2001.into()),
        ("/time_ms", 2001.into()),
        ("/challenge", crate::encode::b64u(&[1; 32]).into()),
        ("/config", zero.clone().into()),
        ("/policy", zero.clone().into()),
        ("/models", zero.clone().into()),
        ("/document", zero.into()),
        ("/environment", text("hardware")),
        ("/tenant", text("bank-b")),
        ("/type", text("verification")),
        ("/decision", text("refused")),
        ("/freshness", text("strict")),
        ("/tenant_key_es256", text("x")),
        ("/assertion/origin", text("https://evil.example")),
        ("/assertion/sign_count", 8.into()),
        ("/assertion/user_verified", false.into()),
        ("/assertion/user_verified", 1.into()),
        ("/assertion/user_verified", text("true")),
        ("/assertion/user_verified", Value::Null),
        ("/assertion/sign_count", 7.0.into()),
        ("/assertion/sign_count", true.into()),
        ("/assertion/credential_id", 1.into()),
        ("/assertion/origin", Value::Null),
        ("/assertion", Value::Array(vec![])),
        ("/time_ms", 1000.0.into()),
        ("/time_ms", true.into()),
        ("/user_id", text("customer 1")),
        ("/tenant", text("Bank-A")),
        ("/tenant", Value::Null),
        ("/decision", Value::Null),
        ("/type", 1.into()),
        ("/tenant_key_es256", Value::Null),
        ("/challenge", text("AAAA")),
        ("/challenge_input/expires_ms", 2000.0.into()),
        ("/challenge_input/rp_id", 1.into()),
        ("/challenge_input/nonce", text("AAAA")),
        ("/challenge_input", Value::Null),
        ("/config", text("00")),
        ("/models", Value::Null),
        ("/freshness", Value::Null),
        ("/assertion/signature", text("AAAA")),
        ("/assertion/public_key_cose", text("oA")),
        ("/assertion/authenticator_data", text("AAAA")),
        ("/assertion/client_data_json", text("e30")),
    ];
    let mut odd = court.claims();
    odd["closes"] = "yes".into();
    let odd = serde_json::to_value(court.artefact(&odd)).unwrap();
    let lies = changes.into_iter().map(|(pointer, value)| {
        let mut claims = court.claims();
        *claims.pointer_mut(pointer).unwrap() = value;
        serde_json::to_value(court.artefact(&claims)).unwrap()
    });
    let good = serde_json::to_value(court.artefact(&court.claims())).unwrap();
    let edits: Vec<(&str, Value)> = vec![
        ("/payload", text("e30")),
        (
            "/signatures/0/signature",
            good["signatures"][2]["signature"].clone(),
        ),
        (
            "/signatures/1/signature",
            good["signatures"][3]["signature"].clone(),
        ),
        (
            "/signatures/2/protected",
            good["signatures"][0]["protected"].clone(),
        ),
        ("/signatures/3/protected", text("e30")),
        ("/signatures", Value::Array(vec![])),
        ("/tenant_keys/0/x", crate::encode::b64u(&[1; 32]).into()),
        ("/receipt/salt", crate::encode::b64u(&[7; 32]).into()),
        ("/receipt/event_index", 1.into()),
        ("/receipt/event_count", 2.into()),
        ("/receipt/tree_size", 2.into()),
        ("/receipt/header", text("00")),
        ("/receipt/type", text("redoubt/receipt/v2")),
        ("/receipt/checkpoint", text("no note")),
        ("/receipt/evidence", Value::Array(vec![])),
        ("/receipt/evidence/0/preimage", text("e30")),
        ("/receipt/evidence/0/document", text("AAAA")),
    ];
    let edited = edits.into_iter().map(|(pointer, value)| {
        let mut bent = good.clone();
        *bent.pointer_mut(pointer).unwrap() = value;
        bent
    });
    let first = good.clone();
    [first, odd].into_iter().chain(lies).chain(edited).collect()
}

#[test]
fn artefacts_and_lies_get_the_same_verdicts() {
    let Some(second) = Second::find("artefacts_and_lies_get_the_same_verdicts") else {
        return;
    };
    let court = Court::new();
    let policy = second.policy(&court);
    let trust = Trust::from_policy(&std::fs::read(&policy).unwrap()).unwrap();
    let several = crate::artefact::tests::several::cases(&court).into_iter();
    let several = several.map(|(_, artefact, _)| serde_json::to_value(artefact).unwrap());
    let cases: Vec<Vec<u8>> = bent_artefacts(&court)
        .into_iter()
        .chain(several)
        .map(|artefact| serde_json::to_vec(&artefact).unwrap())
        .collect();
    let ours: Vec<&str> = cases
        .iter()
        .map(|bytes| verify_artefact(bytes, &trust).map_or_else(|r| r.code(), |_| "accepted"))
        .collect();
    // One plain approval, nine of several answers, a rejection and two batches.
    assert_eq!(ours.iter().filter(|code| **code == "accepted").count(), 13);
    let theirs = second.verdicts(&cases, &[("--policy", &policy)]);
    for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "case {at}");
    }
}

#[test]
fn artefacts_of_every_version_and_algorithm_get_the_same_verdicts() {
    use crate::artefact::tests::{golden::GOLDEN, passkeys};
    let test = "artefacts_of_every_version_and_algorithm_get_the_same_verdicts";
    let Some(second) = Second::find(test) else {
        return;
    };
    for (name, artefact, policy) in GOLDEN {
        let policy = second.put(&format!("{name}.policy"), policy);
        let theirs = second.verdicts(&[artefact.to_vec()], &[("--policy", &policy)]);
        assert_eq!(theirs, ["accepted"], "{name}");
    }
    let court = Court::new();
    let policy = second.policy(&court);
    let trust = Trust::from_policy(&std::fs::read(&policy).unwrap()).unwrap();
    let challenge = court.challenge_input().challenge();
    let mut cases = Vec::new();
    for alg in passkeys::ALL {
        let (passkey, other) = (passkeys::Passkey::new(alg), passkeys::Passkey::new(alg));
        let good = passkey.answer(&challenge, 5);
        let mut bent = vec![good.clone(); 4];
        bent[0].public_key_cose = other.cose;
        bent[1].public_key_cose[4] ^= 1;
        bent[2].public_key_cose.push(0);
        let middle = good.signature.len() / 2;
        bent[3].signature[middle] ^= 1;
        for assertion in std::iter::once(good).chain(bent) {
            let mut claims = court.claims();
            claims["assertion"] = serde_json::json!(assertion);
            cases.push(serde_json::to_vec(&court.artefact(&claims)).unwrap());
        }
    }
    let theirs = second.verdicts(&cases, &[("--policy", &policy)]);
    for (at, (bytes, theirs)) in cases.iter().zip(&theirs).enumerate() {
        let ours = verify_artefact(bytes, &trust).map_or_else(|r| r.code(), |_| "accepted");
        assert_eq!(
            ours,
            theirs,
            "algorithm {} case {}",
            passkeys::ALL[at / 5],
            at % 5
        );
        assert_eq!(ours == "accepted", at % 5 == 0, "case {at}");
    }
}

fn receipts(second: &Second, court: &Court, cases: &[Receipt]) {
    let policy = second.policy(court);
    let trust = Trust::from_policy(&std::fs::read(&policy).unwrap()).unwrap();
    let bytes: Vec<Vec<u8>> = cases
        .iter()
        .map(|r| serde_json::to_vec(r).unwrap())
        .collect();
    let theirs = second.verdicts(&bytes, &[("--policy", &policy)]);
    for (at, (receipt, theirs)) in cases.iter().zip(&theirs).enumerate() {
        let ours = verify_receipt(receipt, &trust).map_or_else(|r| r.code(), |_| "accepted");
        assert_eq!(ours, theirs, "case {at}");
    }
}

#[test]
fn anchors_and_cosignatures_get_the_same_verdicts() {
    let Some(second) = Second::find("anchors_and_cosignatures_get_the_same_verdicts") else {
        return;
    };
    let watched = Watched::new(WitnessMode::Lease);
    let good = watched.receipt("lease", Some(2000), &[0, 2]);
    let bend = |change: &dyn Fn(&mut crate::ledger::anchor::Anchor)| {
        let mut bent = good.clone();
        change(bent.anchor.as_mut().unwrap());
        bent
    };
    let claiming = |name: &str, value: Value| {
        let mut claims = watched.court.common();
        claims["freshness"] = "lease".into();
        claims["unwitnessed_ms"] = 2000.into();
        claims[name] = value;
        watched.claiming(&claims, &[0, 2])
    };
    let stranger = Watched::new(WitnessMode::Lease).receipt("lease", Some(2000), &[0, 2]);
    let cases = [
        good.clone(),
        watched.receipt("lease", Some(2000), &[0, 1, 2]),
        watched.receipt("lease", Some(2000), &[1, 1]),
        watched.receipt("lease", Some(2001), &[0, 2]),
        watched.receipt("lease", None, &[0, 2]),
        watched.receipt("strict", Some(0), &[0, 2]),
        Receipt {
            anchor: None,
            ..good.clone()
        },
        Receipt {
            anchor: stranger.anchor.clone(),
            ..good.clone()
        },
        stranger,
        claiming("unwitnessed_ms", 2000.0.into()),
        claiming("unwitnessed_ms", "2000".into()),
        claiming("unwitnessed_ms", true.into()),
        claiming("unwitnessed_ms", (-2000).into()),
        claiming("unwitnessed_ms", Value::Null),
        claiming("freshness", true.into()),
        claiming("policy", "0".into()),
        bend(&|a| a.event = "AgE".into()),
        bend(&|a| a.salt = crate::encode::b64u(&[7; 32])),
        bend(&|a| a.event_index = 0),
        bend(&|a| a.tree_size = 4),
        bend(&|a| a.leaf_path.clear()),
        bend(&|a| a.event_path.push("00".repeat(32))),
        bend(&|a| a.header.replace_range(0..2, "02")),
        bend(&|a| a.checkpoint = a.checkpoint.replace("\n5\n", "\n6\n")),
        bend(&|a| a.checkpoint.truncate(a.checkpoint.len() - 1)),
    ];
    receipts(&second, &watched.court, &cases);
    let alone = Court::new();
    let mut anchored = alone.receipt(&alone.common().to_string());
    let bare = anchored.clone();
    anchored.anchor = Some(anchor(&alone, &anchored, |_| vec![]));
    receipts(&second, &alone, &[bare, anchored]);
}

/// Claims whose text two readers could understand differently.
#[test]
fn claims_of_two_meanings_are_refused_by_both() {
    let Some(second) = Second::find("claims_of_two_meanings_are_refused_by_both") else {
        return;
    };
    let court = Court::new();
    let common = court.common().to_string();
    let with = |member: &str| court.receipt(&common.replacen('{', &format!("{{{member},"), 1));
    let nested = |depth: usize| format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth));
    let refused = [
        with(r#""type":"approval""#),
        with(r#""\u0074ype":"verification""#),
        with(r#""x":{"amount":"1","amount":"2"}"#),
        with(r#""x":"\ud800""#),
        with(r#""x":1e999"#),
        with(r#""x":NaN"#),
        with(&nested(127)),
        with(&nested(5000)),
    ];
    for (at, receipt) in refused.iter().enumerate() {
        let error = verify_receipt(receipt, &court.trust()).unwrap_err();
        assert_eq!(error.code(), "receipt", "case {at}");
    }
    receipts(&second, &court, &refused);
    let read = [with(r#""x":"\ud83d\ude00""#), with(&nested(126))];
    assert!(
        read.iter()
            .all(|r| verify_receipt(r, &court.trust()).is_ok())
    );
    receipts(&second, &court, &read);
}

/// Numbers that only a lax reader takes for those of the manifest.
#[test]
fn a_claimed_window_of_the_wrong_type_is_refused_by_both() {
    let test = "a_claimed_window_of_the_wrong_type_is_refused_by_both";
    let Some(second) = Second::find(test) else {
        return;
    };
    let watched = Watched::new(WitnessMode::Strict);
    let claiming = |value: Value| {
        let mut claims = watched.court.common();
        claims["freshness"] = "strict".into();
        claims["unwitnessed_ms"] = value;
        watched.claiming(&claims, &[0, 2])
    };
    let lax = [false.into(), 0.0.into(), (-0.0).into(), "".into()].map(claiming);
    let trust = watched.court.trust();
    for receipt in &lax {
        let refused = verify_receipt(receipt, &trust).unwrap_err();
        assert_eq!(refused.code(), "malformed");
    }
    receipts(&second, &watched.court, &lax);
    receipts(&second, &watched.court, &[claiming(0.into())]);
}

#[test]
fn receipts_of_an_emulated_machine_get_the_same_verdicts_and_loud_words() {
    let test = "receipts_of_an_emulated_machine_get_the_same_verdicts_and_loud_words";
    let Some(second) = Second::find(test) else {
        return;
    };
    for signs_too in [false, true] {
        let mut court = Court::of(Bench::naming_unsigned(signs_too));
        let signed = court.receipt(&court.common().to_string());
        let binding = court.bench.binding(Purpose::Serve);
        let (unsigned, preimage) = court.bench.unsigned(&binding, NonceInput::NoSession);
        let bent = |change: &dyn Fn(&mut Unsigned)| {
            let mut unsigned = unsigned.clone();
            change(&mut unsigned);
            (unsigned.document(), preimage.clone())
        };
        let documents = [
            bent(&|_| ()),
            bent(&|d| d.signature = vec![0; 96]),
            bent(&|d| d.certificate = vec![1; 64]),
            bent(&|d| d.protected = vec![0xa1, 0x01, 0x38, 0x22]),
            bent(&|d| d.pcrs = crate::testkit::debug_pcrs()),
            bent(&|d| d.said.nonce = None),
        ];
        let of = |evidence| {
            court.evidence = evidence;
            court.receipt(&court.common().to_string())
        };
        let mut cases: Vec<Receipt> = documents.into_iter().map(of).collect();
        cases.push(signed);
        receipts(&second, &court, &cases);
        let good = second.put("good", &serde_json::to_vec(&cases[0]).unwrap());
        let policy = second.policy(&court);
        let report = &second.reports(&[good], &[("--policy", &policy)])[0];
        assert_eq!(
            (&report["ok"], &report["signed"]),
            (&true.into(), &false.into())
        );
        assert!(
            report["unverified"][0]
                .as_str()
                .unwrap()
                .starts_with("NOBODY SIGNED")
        );
        // The same under a manifest that does not name such documents.
        let hardly = Court::new();
        receipts(&second, &hardly, &cases[..1]);
    }
}

#[test]
fn checkpoints_get_the_same_verdicts() {
    let Some(second) = Second::find("checkpoints_get_the_same_verdicts") else {
        return;
    };
    let court = Court::new();
    let receipt = court.receipt(&court.common().to_string());
    let other = Court::new();
    let note = receipt.checkpoint.clone();
    let (body, lines) = note.split_once("\n\n").unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    let unbound = Checkpoint {
        ledger: "ab".repeat(16).parse().unwrap(),
        size: 1,
        root: [1; 32],
    };
    let forged = other.receipt(&other.common().to_string()).checkpoint;
    let forged = forged.split_once("\n\n").unwrap().1;
    let cases = [
        note.clone(),
        format!("{body}\n\n{}\n", lines[0]),
        format!("{body}\n\n{}\n{}\n", lines[1], lines[0]),
        format!("{body}\n\n{}\n", lines[1]),
        format!("{body}\n\n{forged}"),
        format!("{body}\n\n{}{}\n", forged, lines[0]),
        note.replace("\n1\n", "\n2\n"),
        note.replace("\n1\n", "\n01\n"),
        note.replace("\n1\n", "\n+1\n"),
        note.replace("\u{2014} ", "- "),
        note.trim_end().to_owned(),
        note.replacen("\n\n", "\n", 1),
        note.replacen("redoubt.example/ledger/", "redoubt.example/ledger/0", 1),
        format!("{body}\nmore\n\n{}\n", lines[0]),
        format!("{body}\n\n{}AAAA\n", lines[0]),
        court.bench.note(&unbound),
        String::new(),
    ];
    let trust = court.trust();
    let kept = crate::artefact::KeptDocument::try_from(&receipt.evidence[0]).unwrap();
    let boot = trust.boot(&kept).unwrap();
    let evidence = second.put("evidence.json", &serde_json::to_vec(&receipt).unwrap());
    let policy = second.policy(&court);
    let options = [
        ("--policy", policy.as_path()),
        ("--evidence", &evidence),
        ("--kind", Path::new("checkpoint")),
    ];
    let bytes: Vec<Vec<u8>> = cases.iter().map(|note| note.as_bytes().to_vec()).collect();
    let theirs = second.verdicts(&bytes, &options);
    for (at, (note, theirs)) in cases.iter().zip(&theirs).enumerate() {
        let ours = boot
            .open(note)
            .map_or_else(|error| error.code(), |_| "accepted");
        assert_eq!(ours, theirs, "case {at}");
    }
    // The same note under the boot's key alone proves less, and says so.
    let key = verifier_key(&court);
    let options = [("--key", Path::new(&key))];
    let report = &second.reports(&[second.put("note", note.as_bytes())], &options)[0];
    assert_eq!(report["ok"], true);
    assert!(
        report["unverified"][0]
            .as_str()
            .unwrap()
            .contains("evidence")
    );
}

/// The boot's checkpoint key as C2SP writes it.
fn verifier_key(court: &Court) -> String {
    use base64::Engine as _;
    let name = crate::ledger::checkpoint::origin(crate::testkit::Bench::ledger());
    let public = court.bench.checkpoints.jwk().as_bytes();
    let id = crate::encode::sha256(&[name.as_bytes(), b"\n\x01", public]);
    let data = [&[1], &public[..]].concat();
    let encoded = base64::engine::general_purpose::STANDARD.encode(data);
    format!("{name}+{}+{encoded}", hex::encode(&id.0[..4]))
}

#[test]
fn claims_of_before_an_upgrade_get_the_same_verdicts() {
    let test = "claims_of_before_an_upgrade_get_the_same_verdicts";
    let Some(second) = Second::find(test) else {
        return;
    };
    let line = crate::artefact::tests::line::Line::new();
    let (old, new) = (&line.before.bench.genesis, &line.after.bench.genesis);
    let policy = ClientPolicy::pin_after(new, std::slice::from_ref(old));
    let policy = second.put("line.json", &policy.to_json());
    let cases = line.cases();
    let bytes: Vec<Vec<u8>> = cases
        .iter()
        .map(|(_, receipt)| serde_json::to_vec(receipt).unwrap())
        .collect();
    let theirs = second.verdicts(&bytes, &[("--policy", &policy)]);
    for (at, ((ours, _), theirs)) in cases.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "case {at}");
    }
}
