//! Rego itself (regorus), bounded. Runs only in a process of its own.

use std::num::NonZeroU32;
use std::time::Duration;

use regorus::utils::limits::{ExecutionTimerConfig, LimitError};
use regorus::{Engine, Value};
use serde::Deserialize;

use super::lint;
use super::wire::{Refused, Texts};
use crate::core::{Effect, Ruling};

/// One evaluation. Some microseconds are usual; a busy machine takes its share of this.
pub(super) const BUDGET: Duration = Duration::from_millis(200);
/// The rule that answers.
const ENTRY: &str = "data.redoubt.decision";

/// Modules, ready to rule.
pub(super) struct Loaded(Engine);

/// The one form of an answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    effect: Effect,
    #[serde(default)]
    reasons: Vec<String>,
}

impl Loaded {
    /// Parses modules. Strict: an error of a builtin is an error, not undefined.
    pub(super) fn new(texts: &Texts) -> Result<Self, Refused> {
        let mut engine = Engine::new();
        engine.set_strict_builtin_errors(true);
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: BUDGET,
            check_interval: NonZeroU32::MIN.saturating_add(63),
        });
        for (path, rego) in texts {
            engine
                .add_policy(path.clone(), rego.clone())
                .map_err(|error| Refused::new("does_not_compile", error.to_string()))?;
        }
        Ok(Self(engine))
    }

    /// Looks for what is forbidden, compiles the rest, and runs the unit tests; answers
    /// their names.
    pub(super) fn check(&self) -> Result<Vec<String>, Refused> {
        let broken = |text: String| Refused::new("does_not_compile", text);
        let ast = self.0.get_ast_as_json();
        let tests = lint::check(&ast.map_err(|error| broken(error.to_string()))?)?;
        // What parsing does not look at, such as unsafe variables, shows here.
        let mut engine = self.0.clone();
        engine.set_input(Value::new_object());
        if let Err(error) = engine.eval_rule(ENTRY.to_owned()) {
            return Err(match error.downcast_ref::<LimitError>() {
                Some(limit) => Refused::new("over_budget", limit.to_string()),
                None => broken(error.to_string()),
            });
        }
        for test in &tests {
            let verdict = self.0.clone().eval_rule(test.clone());
            match verdict {
                Ok(Value::Bool(true)) => {}
                Ok(other) => {
                    let said = format!("{test} is {other}, not true");
                    return Err(Refused::new("test_failed", said));
                }
                Err(error) => return Err(Refused::new("test_failed", format!("{test}: {error}"))),
            }
        }
        Ok(tests)
    }

    /// The answer to one input. Errors, undefined and other forms are a no.
    pub(super) fn rule(&self, input: &str) -> Ruling {
        let mut engine = self.0.clone();
        if engine.set_input_json(input).is_err() {
            return Ruling::failed("policy_error");
        }
        match engine.eval_rule(ENTRY.to_owned()) {
            Ok(Value::Undefined) => Ruling::failed("policy_undefined"),
            Ok(value) => read(&value).unwrap_or_else(|| Ruling::failed("policy_malformed")),
            Err(error) if error.is::<LimitError>() => Ruling::failed("policy_budget"),
            Err(_) => Ruling::failed("policy_error"),
        }
    }
}

fn read(value: &Value) -> Option<Ruling> {
    let said: Said = serde_json::from_str(&value.to_json_str().ok()?).ok()?;
    let ruling = Ruling {
        effect: said.effect,
        reasons: said.reasons,
    };
    ruling.fits().then_some(ruling)
}
