//! What the test programs printed, counted.
//!
//! Protects against a skipped test that looks like a passed one: a test that
//! prints `skipped: …` is counted and named as skipped.

use std::collections::BTreeSet;

/// Tests counted over one or more programs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Why each was skipped, as the tests say it.
    pub(crate) skipped: Vec<String>,
    /// Names of those that failed.
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    /// A stage that is one check.
    pub(crate) fn single(name: &str, ok: bool) -> Self {
        let mut outcome = Self::default();
        if ok {
            outcome.passed = 1;
        } else {
            outcome.failed = 1;
            outcome.failures.push(name.into());
        }
        outcome
    }

    /// A check that this machine cannot make.
    pub(crate) fn skipped(name: &str, why: &str) -> Self {
        Self {
            skipped: vec![format!("{name}: {why}")],
            ..Self::default()
        }
    }

    /// Counts what `cargo test -- --show-output` printed.
    pub(crate) fn of_cargo_test(text: &str) -> Self {
        let mut outcome = Self::default();
        let mut skipping = BTreeSet::new();
        let mut program = 0;
        let mut test = String::new();
        for line in text.lines() {
            if line.starts_with("running ") {
                program += 1;
            } else if let Some(name) = output_header(line) {
                test = name.to_owned();
            } else if let Some(reason) = line.strip_prefix("skipped: ") {
                // One test may name several things it could not do.
                skipping.insert((program, test.clone()));
                outcome.skipped.push(reason.to_owned());
            } else if let Some(name) = result_of(line, "FAILED") {
                outcome.failed += 1;
                outcome.failures.push(name.to_owned());
            } else if result_of(line, "ok").is_some() {
                outcome.passed += 1;
            } else if let Some((name, why)) = line.split_once(" ... ignored") {
                let name = name.trim_start_matches("test ");
                outcome.skipped.push(format!("{name}: ignored{why}"));
            }
        }
        outcome.passed = outcome.passed.saturating_sub(skipping.len());
        outcome
    }

    /// Counts what `node --test --test-reporter=tap` printed, outermost tests only.
    pub(crate) fn of_tap(text: &str) -> Self {
        let mut outcome = Self::default();
        for line in text.lines() {
            let named = |rest: &str| rest.split_once(" - ").map(|(_, name)| name.to_owned());
            if let Some(name) = line.strip_prefix("not ok ").and_then(named) {
                outcome.failed += 1;
                outcome.failures.push(name);
            } else if let Some(name) = line.strip_prefix("ok ").and_then(named) {
                match name.split_once(" # SKIP ") {
                    Some((name, why)) => outcome.skipped.push(format!("{name}: {why}")),
                    None => outcome.passed += 1,
                }
            }
        }
        outcome
    }

    /// Adds another stage's.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
        self.failures.extend(other.failures);
    }

    /// The last line: `N passed, N failed[, N skipped]`.
    pub(crate) fn summary(&self) -> String {
        let line = format!("{} passed, {} failed", self.passed, self.failed);
        match self.skipped.len() {
            0 => line,
            skipped => format!("{line}, {skipped} skipped"),
        }
    }
}

/// `---- NAME stdout ----`
fn output_header(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// `test NAME ... ok`; a test's own output may stand between.
fn result_of<'a>(line: &'a str, result: &str) -> Option<&'a str> {
    let rest = line.strip_prefix("test ")?.strip_suffix(result)?;
    rest.trim_end()
        .strip_suffix(" ...")
        .map(|name| name.trim_end_matches(" - should panic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
running 4 tests
test ledger::a_rolled_back_store_is_refused ... ok
test nitro::real_documents_verify ... ok
test slow::million ... ignored, takes an hour
test other::breaks ... FAILED

successes:

---- nitro::real_documents_verify stdout ----
skipped: real_documents_verify: REDOUBT_VECTORS is not set

failures:

---- other::breaks stdout ----
assertion failed
test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out

running 1 test
test panics - should panic ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out
";

    #[test]
    fn a_test_that_skips_itself_is_not_counted_as_passed() {
        let outcome = Outcome::of_cargo_test(TEXT);
        assert_eq!((outcome.passed, outcome.failed), (2, 1));
        assert_eq!(outcome.failures, ["other::breaks"]);
        let skipped = [
            "slow::million: ignored, takes an hour",
            "real_documents_verify: REDOUBT_VECTORS is not set",
        ];
        assert_eq!(outcome.skipped, skipped);
        assert_eq!(outcome.summary(), "2 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn tests_of_node_are_counted() {
        let text = "TAP version 13\n# Subtest: a\nok 1 - a\n    not ok 1 - inner\nnot ok 2 - b\nok 3 - c # SKIP no face\n1..3\n";
        let outcome = Outcome::of_tap(text);
        assert_eq!((outcome.passed, outcome.failed), (1, 1));
        assert_eq!(
            (&outcome.failures[0], &outcome.skipped[0]),
            (&"b".into(), &"c: no face".into())
        );
    }

    #[test]
    fn the_summary_names_skips_only_where_there_are_some() {
        let mut outcome = Outcome::single("format", true);
        assert_eq!(outcome.summary(), "1 passed, 0 failed");
        outcome.add(Outcome::single("lints", false));
        assert_eq!(outcome.summary(), "1 passed, 1 failed");
        assert_eq!(outcome.failures, ["lints"]);
    }
}
