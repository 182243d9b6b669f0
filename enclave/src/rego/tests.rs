//! Rego as tenants may send it: what is taken, what is not, and what it costs.
//!
//! Promises: docs/PROMISES.md, policy.

use std::time::Instant;

use proptest::prelude::*;
use redoubt_shared::{LedgerId, TenantId};
use serde_json::json;

use super::bundle::{PolicyBundle, PolicyRollback};
use super::engine::{BUDGET, Loaded};
use super::evaluators::{Evaluators, PROCESSES, TRIALS};
use super::wire::{self, Ask, Texts, Told};
use crate::core::{
    Bundle, DeviceSeen, Effect, Input, PaymentSeen, PolicyPlace, Risk, Ruling, SampleSeen, Signal,
    Terms,
};

const PASSES: &str = "\ntest_it_is_there if data.redoubt.decision.effect\n";

fn texts(all: &[&str]) -> Texts {
    let numbered = all.iter().enumerate();
    numbered
        .map(|(at, text)| (format!("{at}.rego"), (*text).to_owned()))
        .collect()
}

fn policy(rules: &str) -> Texts {
    texts(&[&format!("package redoubt\nimport rego.v1\n{rules}{PASSES}")])
}

fn check(texts: &Texts) -> Result<Vec<String>, &'static str> {
    let checked = Loaded::new(texts).and_then(|loaded| loaded.check());
    checked.map_err(|refused| String::leak(refused.code) as &str)
}

fn rule(rules: &str, input: &str) -> Ruling {
    Loaded::new(&policy(rules)).unwrap().rule(input)
}

fn published(name: &str) -> Texts {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policy");
    let text = |name: String| std::fs::read_to_string(format!("{folder}/{name}.rego")).unwrap();
    texts(&[&text(name.to_owned()), &text(format!("{name}_test"))])
}

#[test]
fn the_published_bundles_pass_their_own_tests() {
    assert_eq!(
        check(&published("default")).unwrap(),
        ["data.redoubt_test.test_everything_is_allowed"]
    );
    assert_eq!(check(&published("stricter")).unwrap().len(), 4);
}

#[test]
fn what_is_refused_says_why() {
    let allow = "decision := {\"effect\": \"allow\"}\n";
    assert_eq!(check(&policy(allow)).unwrap().len(), 1);
    for (code, rules) in [
        ("does_not_compile", "decision := {"),
        ("does_not_compile", "decision := x if { y > 1 }"),
        ("no_decision", "verdict := {\"effect\": \"allow\"}"),
        ("test_failed", &format!("{allow}test_no if 1 == 2\n")),
        ("test_failed", &format!("{allow}test_one := 1\n")),
        (
            "test_failed",
            &format!("{allow}test_odd if to_number(\"x\") == 1\n"),
        ),
        ("over_budget", &endless("decision")),
        (
            "test_failed",
            &format!("{allow}{}", endless("test_endless")),
        ),
    ] {
        assert_eq!(check(&policy(rules)), Err(code), "{rules}");
    }
    let untested = texts(&["package redoubt\nimport rego.v1\ndecision := {\"effect\": \"allow\"}"]);
    assert_eq!(check(&untested), Err("no_tests"));
    let twice = format!("{allow}test_two if true\ntest_two if false\n");
    assert_eq!(check(&policy(&twice)), Err("does_not_compile"));
}

#[test]
fn nothing_reaches_for_time_chance_the_network_or_the_machine() {
    for call in [
        "time.now_ns()",
        "rand.intn(\"a\", 10)",
        "http.send({\"method\": \"get\", \"url\": \"https://example.com\"})",
        "opa.runtime()",
        "net.lookup_ip_addr(\"example.com\")",
        "uuid.rfc4122(\"a\")",
        "crypto.sha256(\"a\")",
        "trace(\"a\")",
        "walk({})",
        "no_such_function(1)",
    ] {
        // Where it stands makes no difference, nor that it is never reached.
        for place in [
            format!("x := {call}\n"),
            format!("x if {{ false; count([y | y := [{call}]]) > 0 }}\n"),
            format!("f(a) := {call}\n"),
            format!("x := 1 if {{ every y in [1] {{ {{y: {call}}} }} }}\n"),
        ] {
            let rules = format!("decision := {{\"effect\": \"allow\"}}\n{place}");
            assert_eq!(check(&policy(&rules)), Err("forbidden_builtin"), "{place}");
        }
    }
    // Nor does it in the place of something else.
    for replacement in [
        "startswith as rand.intn",
        "startswith as trace",
        "data.redoubt.f as rand.intn",
        "f as time.now_ns",
        "input.x as 1 with startswith as rand.intn",
    ] {
        let rules = format!(
            "decision := {{\"effect\": \"allow\"}} if startswith(\"a\", 3) with {replacement}\n\
             f(a, b) := true\n"
        );
        assert_eq!(
            check(&policy(&rules)),
            Err("forbidden_builtin"),
            "{replacement}"
        );
    }
    let indirect = "decision := {\"effect\": \"allow\"} if startswith(\"a\", 3) with startswith as rand[\"intn\"]\n";
    assert_eq!(check(&policy(indirect)), Err("does_not_compile"));
    let harmless = "f(a) := a\ndecision := {\"effect\": \"allow\"}\n\
                    test_one if { some case in [{\"a\": 1}]; input.a == 1 with input as case }\n\
                    test_two if lower(\"A\") == \"A\" with lower as f\n";
    assert_eq!(check(&policy(harmless)).unwrap().len(), 3);
    // A name of one's own opens no way to it either.
    let other = "package rand\nimport rego.v1\nintn(a, b) := 4\n";
    let rules = "package redoubt\nimport rego.v1\nimport data.rand\n\
                 decision := {\"effect\": \"allow\"} if rand.intn(\"a\", 1) >= 0\n\
                 test_it if true\n";
    assert_eq!(check(&texts(&[other, rules])), Err("forbidden_builtin"));
}

#[test]
fn whatever_is_not_an_answer_is_a_no() {
    let said = |rules: &str| {
        let Ruling { effect, reasons } = rule(rules, "{\"place\": \"login\"}");
        (effect, reasons.join(" "))
    };
    let no = |why: &str| (Effect::Deny, why.to_owned());
    assert_eq!(
        said("decision := {\"effect\": \"step_up\", \"reasons\": [\"a\"]}"),
        (Effect::StepUp, "a".to_owned())
    );
    for (why, rules) in [
        (
            "policy_undefined",
            "decision := {\"effect\": \"allow\"} if input.place == \"face\"",
        ),
        (
            "policy_error",
            "decision := {\"effect\": \"allow\"} if to_number(\"x\") == 1",
        ),
        (
            "policy_error",
            "decision := {\"effect\": \"allow\"}\ndecision := {\"effect\": \"deny\"}",
        ),
        ("policy_malformed", "decision := true"),
        ("policy_malformed", "decision := {\"effect\": \"Allow\"}"),
        (
            "policy_malformed",
            "decision := {\"effect\": \"allow\", \"more\": 1}",
        ),
        (
            "policy_malformed",
            "decision := {\"effect\": \"allow\", \"reasons\": [\"A b\"]}",
        ),
        (
            "policy_malformed",
            "decision := {\"effect\": \"allow\", \"reasons\": [sprintf(\"%065d\", [1])]}",
        ),
        (
            "policy_malformed",
            "decision := {\"effect\": \"allow\", \"reasons\": numbers.range(1, 9)}",
        ),
    ] {
        assert_eq!(said(rules), no(why), "{rules}");
    }
}

fn endless(name: &str) -> String {
    format!(
        "all := numbers.range(1, 3000)\n\
         {name} if {{ some a in all; some b in all; some c in all; some d in all; a + b + c + d == 0 }}\n"
    )
}

#[test]
fn a_policy_without_an_end_is_stopped_in_its_budget() {
    let begun = Instant::now();
    assert_eq!(
        rule(&endless("decision"), "{}"),
        Ruling::failed("policy_budget")
    );
    // Ten times what is granted: this machine may be busy.
    assert!(begun.elapsed() < BUDGET * 10);
}

#[test]
fn bundles_have_one_form_and_bounds() {
    let tenant: TenantId = "bank".parse().unwrap();
    let module = |path: &str, rego: &str| json!({ "path": path, "rego": rego });
    let ledger = LedgerId::from_bytes([0xab; 16]);
    let read = |tenant: &TenantId, value: serde_json::Value| {
        let read = PolicyBundle::read(value.to_string().as_bytes(), tenant, ledger);
        read.map_err(|error| error.code())
    };
    let bundle = |version: u64, modules: Vec<serde_json::Value>| json!({ "type": "redoubt/policy-bundle/v1", "tenant": "bank", "ledger": "ab".repeat(16), "version": version, "modules": modules });
    let good = || bundle(1, vec![module("a", "package redoubt")]);
    assert!(read(&tenant, good()).is_ok());
    assert_eq!(read(&"other".parse().unwrap(), good()), Err("other_tenant"));
    let mut elsewhere = good();
    elsewhere["ledger"] = "ac".repeat(16).into();
    assert_eq!(read(&tenant, elsewhere), Err("other_ledger"));
    let mut order = json!({ "type": "redoubt/policy-rollback/v1", "tenant": "bank", "ledger": "ab".repeat(16), "version": 0, "after": 1 });
    let back = |order: &serde_json::Value| {
        let order = PolicyRollback::read(order.to_string().as_bytes(), &tenant, ledger);
        order.map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(back(&order), Ok(()));
    order["ledger"] = "ac".repeat(16).into();
    assert_eq!(back(&order), Err("other_ledger"));
    order["ledger"].take();
    assert_eq!(back(&order), Err("not_a_bundle"));
    let mut more = good();
    more["more"] = 1.into();
    for (code, wrong) in [
        ("not_a_bundle", json!([])),
        ("not_a_bundle", more),
        ("bundle_malformed", bundle(0, vec![module("a", "")])),
        ("bundle_malformed", bundle(1, vec![])),
        ("bundle_malformed", bundle(1, vec![module("", "")])),
        (
            "bundle_malformed",
            bundle(1, vec![module("a", ""), module("a", "")]),
        ),
        (
            "bundle_too_large",
            bundle(1, vec![module("a", &"#".repeat(48 * 1024 + 1))]),
        ),
        (
            "bundle_too_large",
            bundle(1, vec![module(&"a".repeat(129), "")]),
        ),
        (
            "bundle_too_large",
            bundle(1, (0..33).map(|at| module(&at.to_string(), "")).collect()),
        ),
    ] {
        assert_eq!(read(&tenant, wrong.clone()), Err(code), "{wrong}");
    }
}

fn inputs() -> impl Strategy<Value = Input> {
    let place = prop_oneof![
        Just(PolicyPlace::Login),
        Just(PolicyPlace::Face),
        Just(PolicyPlace::ApprovalRequest),
        Just(PolicyPlace::ApprovalAnswer),
        Just(PolicyPlace::Voice),
        Just(PolicyPlace::FaceAndVoice),
    ];
    let signals = proptest::sample::subsequence(
        vec![
            Signal::ImpossibleTravel,
            Signal::Velocity,
            Signal::NewPayeeLargeAmount,
        ],
        0..=3,
    );
    let device = proptest::option::of((0..=100u8, any::<Option<bool>>()));
    let face = proptest::option::of((0..=100u8, 0..=100u8));
    let payment = proptest::option::of((any::<u64>(), 1..=100u16));
    let asked = proptest::option::of((1..=16u16, 1..=2u8, any::<[bool; 2]>()));
    let all = (place, signals, device, face, payment, asked);
    all.prop_map(|(place, signals, device, face, payment, asked)| Input {
        place,
        risk: Risk { signals },
        device: device.map(|(trust, user_verified)| DeviceSeen {
            key: crate::core::KeyCustody::Unproven,
            trust,
            user_verified,
        }),
        sample: face.map(|(confidence, quality)| SampleSeen {
            confidence,
            quality,
            worker_tier: "enclave".to_owned(),
            liveness: Some(quality),
        }),
        payment: payment.map(|(total, payments)| PaymentSeen {
            currency: "EUR".to_owned(),
            total,
            payments,
        }),
        asked: asked.map(|(approvers, devices, [face, voice])| Terms {
            approvers,
            needed: 1,
            devices,
            factors: crate::core::Factors { face, voice },
        }),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The default bundle and no bundle are the same.
    #[test]
    fn the_default_bundle_adds_nothing(input in inputs()) {
        let default = Loaded::new(&published("default")).unwrap();
        prop_assert_eq!(default.rule(&input.to_json().to_string()), Ruling::NONE);
    }

    /// Amounts reach the policy exactly, whatever their size.
    #[test]
    fn amounts_are_exact(total in any::<u64>()) {
        let rules = format!("decision := {{\"effect\": \"allow\"}} if input.payment.total_e4 == {total}");
        let input = json!({ "payment": { "total_e4": total } }).to_string();
        prop_assert_eq!(rule(&rules, &input), Ruling::NONE);
        let input = json!({ "payment": { "total_e4": total ^ 1 } }).to_string();
        prop_assert_eq!(rule(&rules, &input), Ruling::failed("policy_undefined"));
    }

    #[test]
    fn no_bytes_make_the_readers_of_the_pipes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = wire::read::<Ask>(&bytes);
        let _ = wire::read::<Told>(&bytes);
    }
}

#[test]
fn a_forged_answer_is_none() {
    let told = |reasons: Vec<String>| {
        let effect = Effect::Allow;
        let sent = Told::Ruled(Ruling { effect, reasons });
        let framed = wire::framed(&sent).unwrap();
        wire::read::<Told>(&framed[4..]).unwrap().ruling()
    };
    let most = vec!["a".repeat(64); 8];
    assert_eq!(told(most.clone()).unwrap().reasons, most);
    for forged in [
        vec!["a".to_owned(); 9],
        vec!["a".repeat(65)],
        vec![String::new()],
        vec!["A".to_owned()],
        vec!["a\n".to_owned()],
        vec!["\u{e4}".to_owned()],
    ] {
        assert_eq!(told(forged.clone()), None, "{forged:?}");
    }
    assert_eq!(Told::Loaded(Vec::new()).ruling(), None);
}

#[tokio::test]
async fn one_check_at_a_time_and_so_many_decisions() {
    let tenant: TenantId = "bank".parse().unwrap();
    let evaluators = Evaluators::new("/nonexistent".into());
    let turn = evaluators.turn(&tenant).unwrap();
    assert!(evaluators.turn(&tenant).is_none());
    assert!(evaluators.turn(&"other".parse().unwrap()).is_some());
    drop(turn);
    assert!(evaluators.turn(&tenant).is_some());
    let bundle = Bundle {
        version: 1,
        digest: [1; 32],
        modules: Vec::new(),
    };
    let slot = evaluators.slot(&tenant);
    let all = slot.places.try_acquire_many(32).unwrap();
    let busy = evaluators.rule(&tenant, &bundle, String::new()).await;
    assert_eq!(busy, Ruling::failed("policy_busy"));
    drop(all);
    let broken = evaluators.rule(&tenant, &bundle, String::new()).await;
    assert_eq!(broken, Ruling::failed("policy_crashed"));
}

/// A program that answers like a policy process whatever it is asked: it loaded, and
/// then yes, so many times.
fn agreeable(dir: &std::path::Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let yes = Ruling {
        effect: Effect::Allow,
        reasons: Vec::new(),
    };
    let mut answers = wire::framed(&Told::Loaded(Vec::new())).unwrap();
    (0..8).for_each(|_| answers.extend(wire::framed(&Told::Ruled(yes.clone())).unwrap()));
    std::fs::write(dir.join("answers"), answers).unwrap();
    let program = dir.join("program");
    let text = format!(
        "#!/bin/sh\ncat '{}/answers'\nexec cat >/dev/null\n",
        dir.display()
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    program
}

fn no_modules() -> Bundle {
    Bundle {
        version: 1,
        digest: [1; 32],
        modules: Vec::new(),
    }
}

fn tenant(number: usize) -> TenantId {
    format!("bank-{number}").parse().unwrap()
}

#[tokio::test]
async fn processes_of_all_tenants_are_bounded_and_the_one_asked_longest_ago_gives_way() {
    let dir = tempfile::tempdir().unwrap();
    let evaluators = Evaluators::new(agreeable(dir.path()));
    let bundle = no_modules();
    let rule = async |number: usize| {
        let tenant = tenant(number);
        evaluators.rule(&tenant, &bundle, "{}".into()).await
    };
    let runs = |number: usize| evaluators.slot(&tenant(number)).runs();
    for number in 0..PROCESSES {
        assert_eq!(rule(number).await.effect, Effect::Allow);
    }
    assert_eq!(evaluators.ruling.available_permits(), 0);
    assert!((0..PROCESSES).all(runs));
    // The first is asked again, so the second is the one asked longest ago.
    assert_eq!(rule(0).await.effect, Effect::Allow);
    assert_eq!(rule(PROCESSES).await.effect, Effect::Allow);
    assert!(runs(0) && !runs(1) && runs(2) && runs(PROCESSES));
    assert_eq!(rule(1).await.effect, Effect::Allow);
    assert!(!runs(2));
    // While all are at work one more waits, and is told in the end.
    let slots: Vec<_> = (0..=PROCESSES)
        .map(|number| evaluators.slot(&tenant(number)))
        .collect();
    let at_work: Vec<_> = slots.iter().map(|slot| slot.work()).collect();
    assert_eq!(
        evaluators.rule(&tenant(99), &bundle, "{}".into()).await,
        Ruling::failed("policy_busy")
    );
    drop(at_work);
    assert_eq!(rule(99).await.effect, Effect::Allow);
}

#[tokio::test]
async fn whoever_waits_already_finds_a_process_that_becomes_idle_and_keeps_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let evaluators = Evaluators::new(agreeable(dir.path()));
    let bundle = no_modules();
    for number in 0..PROCESSES {
        let tenant = tenant(number);
        let ruling = evaluators.rule(&tenant, &bundle, "{}".into()).await;
        assert_eq!(ruling.effect, Effect::Allow);
    }
    let slots: Vec<_> = (0..PROCESSES)
        .map(|number| evaluators.slot(&tenant(number)))
        .collect();
    let mut at_work: Vec<_> = slots.iter().map(|slot| slot.work()).collect();
    let becomes_idle = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        drop(at_work.pop());
        assert_eq!(evaluators.ruling.available_permits(), 0);
    };
    let late = tenant(99);
    let waits = evaluators.rule(&late, &bundle, "{}".into());
    let (ruling, ()) = tokio::join!(waits, becomes_idle);
    assert_eq!(ruling.effect, Effect::Allow);
    assert!(evaluators.slot(&late).runs() && !slots[PROCESSES - 1].runs());
}

#[tokio::test]
async fn checks_of_all_tenants_are_bounded() {
    let evaluators = Evaluators::new("/nonexistent".into());
    let tenant = |number: usize| -> TenantId { format!("bank-{number}").parse().unwrap() };
    let mut turns: Vec<_> = (0..TRIALS)
        .map(|number| evaluators.turn(&tenant(number)).unwrap())
        .collect();
    assert!(evaluators.turn(&tenant(TRIALS)).is_none());
    turns.pop();
    assert!(evaluators.turn(&tenant(TRIALS)).is_some());
}

#[tokio::test]
async fn dry_runs_of_all_tenants_leave_uploads_a_place() {
    let evaluators = Evaluators::new("/nonexistent".into());
    let tenant = |number: usize| -> TenantId { format!("bank-{number}").parse().unwrap() };
    let dry: Vec<_> = (0..PROCESSES)
        .filter_map(|number| evaluators.dry_turn(&tenant(number)))
        .collect();
    assert_eq!(dry.len(), TRIALS - 1);
    assert!(evaluators.turn(&tenant(0)).is_none(), "one for each tenant");
    let upload = evaluators.turn(&tenant(1)).unwrap();
    assert!(evaluators.turn(&tenant(2)).is_none());
    drop((dry, upload));
    // One that finds no place holds none.
    let uploads: Vec<_> = (0..TRIALS)
        .map(|number| evaluators.turn(&tenant(number)).unwrap())
        .collect();
    assert!(evaluators.dry_turn(&tenant(TRIALS)).is_none());
    drop(uploads);
    assert!(evaluators.dry_turn(&tenant(TRIALS)).is_some());
}

#[test]
fn messages_are_read_whole_and_bounded() {
    let framed = wire::framed(&Ask::Rule("{}".to_owned())).unwrap();
    let length = wire::length(framed[..4].try_into().unwrap()).unwrap();
    assert_eq!(length, framed.len() - 4);
    assert_eq!(wire::read(&framed[4..]), Some(Ask::Rule("{}".to_owned())));
    let trailing = [&framed[4..], &[0]].concat();
    assert_eq!(wire::read::<Ask>(&trailing), None);
    assert_eq!(wire::length(u32::MAX.to_be_bytes()), None);
    assert!(wire::framed(&Ask::Rule("x".repeat(wire::MESSAGE_MAX))).is_none());
}
