use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::appraise::CHECKS;
use crate::attester::{Attester, EmulatedAttester, measure};
use crate::binding::{NonceInput, Purpose};
use crate::testkit::{Bench, PROGRAM, officers, signed};

const DAY_MS: u64 = 86_400_000;

/// An appliance of three officers, of whom two are needed.
struct Office {
    bench: Bench,
    officers: Vec<(String, crate::sign::Es256Signer)>,
}

impl Office {
    fn new() -> Self {
        let officers = officers(3);
        let root = crate::attester::emulated_root("root").unwrap();
        let mut manifest = crate::testkit::manifest(&root.0, &officers);
        manifest.threshold = 2;
        let file = signed(&manifest, &[&officers[0], &officers[1]]);
        let bench = Bench {
            genesis: crate::genesis::Genesis::verify(&file).unwrap(),
            attester: EmulatedAttester::dangerous_new(&root.0, &root.1, PROGRAM, 0).unwrap(),
            root,
            ..Bench::new()
        };
        Self { bench, officers }
    }

    fn now(&self) -> u64 {
        self.bench.attester.now_ms().unwrap()
    }

    fn policy(&self) -> Value {
        json!({
            "type": "redoubt/appraisal-policy/v1", "genesis": self.bench.genesis.digest, "counter": 5,
            "not_after_ms": self.now() + DAY_MS, "max_age_ms": 60_000, "withdrawn": [],
        })
    }

    fn verify(&self, policy: &Value, by: &[usize]) -> Result<VerifiedAppraisalPolicy, PolicyError> {
        let by: Vec<_> = by.iter().map(|at| &self.officers[*at]).collect();
        AppraisalPolicy::verify(&signed(policy, &by), &self.bench.genesis)
    }

    fn judged(&self, policy: &VerifiedAppraisalPolicy, later_ms: u64) -> &'static str {
        let binding = self.bench.binding(Purpose::Serve);
        let (document, preimage) = self.bench.attest(&binding, NonceInput::NoSession);
        let appraisal = Appraisal {
            genesis: &self.bench.genesis,
            minimum_counter: 1,
            purpose: Purpose::Serve,
            nonce: NonceInput::NoSession,
            session_spki: None,
            models: None,
            now_ms: self.now() + later_ms,
            max_age_ms: None,
            allow_debug: false,
        };
        match policy.appraise(&document, &preimage, &appraisal) {
            Ok(_) => "accepted",
            Err(refusal) => {
                assert!(refusal.check() < CHECKS.len());
                refusal.code()
            }
        }
    }
}

fn code(result: Result<VerifiedAppraisalPolicy, PolicyError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "accepted")
}

#[test]
fn a_policy_needs_as_many_officers_as_the_manifest_asks_for() {
    let office = Office::new();
    let policy = office.policy();
    assert_eq!(code(office.verify(&policy, &[0, 2])), "accepted");
    assert_eq!(code(office.verify(&policy, &[0, 1, 2])), "accepted");
    for by in [&[][..], &[1], &[1, 1]] {
        assert_eq!(code(office.verify(&policy, by)), "policy_not_signed");
    }
    let strangers = Office::new();
    let file = signed(&policy, &[&strangers.officers[0], &strangers.officers[1]]);
    let verdict = AppraisalPolicy::verify(&file, &office.bench.genesis);
    assert_eq!(code(verdict), "policy_not_signed");
}

#[test]
fn a_policy_of_other_members_or_another_genesis_is_refused() {
    let office = Office::new();
    let refused = |name: &str, value: Value| {
        let mut policy = office.policy();
        policy[name] = value;
        code(office.verify(&policy, &[0, 1]))
    };
    assert_eq!(refused("counter", 0.into()), "policy_malformed");
    assert_eq!(refused("max_age_ms", 0.into()), "policy_malformed");
    assert_eq!(
        refused("max_age_ms", (AGE_MAX_MS + 1).into()),
        "policy_malformed"
    );
    assert_eq!(refused("withdrawn", json!(["00"])), "policy_malformed");
    assert_eq!(refused("allow_debug", true.into()), "policy_malformed");
    assert_eq!(refused("nvidia_rims", json!(["00"])), "policy_malformed");
    assert_eq!(refused("nvidia_rims", Value::Null), "policy_malformed");
    assert_eq!(refused("type", "x".into()), "policy_malformed");
    let other = "00".repeat(32);
    assert_eq!(refused("genesis", other.into()), "policy_other_genesis");
}

#[test]
fn the_counter_never_goes_back() {
    let office = Office::new();
    let with = |counter: u64, age: u64| {
        let mut policy = office.policy();
        policy["counter"] = counter.into();
        policy["max_age_ms"] = age.into();
        office.verify(&policy, &[0, 1]).unwrap()
    };
    let seen = with(5, 1000).mark();
    assert_eq!(code(with(5, 1000).after(None)), "accepted");
    assert_eq!(code(with(6, 1).after(Some(seen))), "accepted");
    assert_eq!(code(with(4, 1000).after(Some(seen))), "policy_rolled_back");
    assert_eq!(code(with(5, 1001).after(Some(seen))), "policy_forked");
    // The same policy again, under other officers' signatures.
    let policy = office.policy();
    let first = office.verify(&policy, &[0, 1]).unwrap().mark();
    let again = office.verify(&policy, &[1, 2]).unwrap();
    assert_eq!(code(again.after(Some(first))), "accepted");
}

#[test]
fn old_evidence_and_old_policies_are_refused_by_trusted_time() {
    let office = Office::new();
    let policy = office.verify(&office.policy(), &[0, 1]).unwrap();
    assert_eq!(office.judged(&policy, 0), "accepted");
    assert_eq!(office.judged(&policy, 50_000), "accepted");
    assert_eq!(office.judged(&policy, 70_000), "too_old");
    assert_eq!(office.judged(&policy, 2 * DAY_MS), "policy_expired");
}

#[test]
fn a_withdrawn_image_is_refused_though_the_manifest_lists_it() {
    let office = Office::new();
    let mut policy = office.policy();
    policy["withdrawn"] = json!([measure(b"another").to_hex()[&0]]);
    let others = office.verify(&policy, &[0, 1]).unwrap();
    assert_eq!(office.judged(&others, 0), "accepted");
    policy["withdrawn"] = json!([measure(PROGRAM).to_hex()[&0]]);
    let ours = office.verify(&policy, &[0, 1]).unwrap();
    assert_eq!(office.judged(&ours, 0), "image_withdrawn");
}

static GENESIS: LazyLock<VerifiedGenesis> = LazyLock::new(|| Bench::new().genesis);

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(AppraisalPolicy::verify(&bytes, &GENESIS).is_err());
    }
}
