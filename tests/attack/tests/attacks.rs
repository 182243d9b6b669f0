//! The attacks as tests, one group each; `redoubt-attack` makes the same ones.

use redoubt_attack::outcome::run_all;
use redoubt_attack::{Lab, cases};
use redoubt_e2e::Environment;

fn holds(test: &str, group: &str) {
    let Some(lab) = Lab::shared(test) else {
        return;
    };
    let mut cases = cases::group(group);
    cases.retain(|case| !case.photographs || Environment::with_media(test).is_some());
    let outcomes = run_all(&lab, &cases, |outcome| {
        println!("{} {}: {}", outcome.outcome, outcome.name, outcome.error);
    });
    let failed: Vec<_> = outcomes.iter().filter(|o| o.outcome == "failed").collect();
    if !failed.is_empty() {
        lab.appliance.keep_files();
        panic!("{failed:#?}");
    }
}

macro_rules! tests {
    ($($name:ident: $group:literal;)*) => {
        $(#[test]
        fn $name() {
            holds(stringify!($name), $group);
        })*

        #[test]
        fn every_group_has_its_test() {
            let tested = [$($group),*];
            for case in cases::all() {
                assert!(tested.contains(&case.group), "{} has no test", case.group);
            }
        }
    };
}

tests! {
    a_store_that_never_answers_takes_availability_and_nothing_else: "silence";
    no_bit_of_any_record_can_be_flipped: "flip_a_bit";
    no_record_can_be_dropped_moved_or_repeated: "missing_and_moved";
    an_older_state_is_refused_or_never_promised_against: "rollback";
    two_copies_contradict_each_other_and_cannot_be_joined: "fork";
    a_forged_checkpoint_stops_nothing: "alarms";
    one_tenant_s_records_are_not_another_s: "tenants";
    a_lying_store_makes_nothing_acknowledged_untrue: "acknowledgements";
    an_attempt_stays_spent_whenever_the_kill_comes: "reserve";
    of_two_copies_the_witnesses_let_one_go_on: "witnesses";
    an_edited_snapshot_is_refused_or_not_needed: "snapshots";
    a_handover_ends_where_the_giver_ended: "handover";
    no_key_and_nonce_is_used_twice: "nonces";
}
