//! How an attack ended, and the line it leaves in the report.

use serde::Serialize;

use crate::lab::Lab;

/// How an attack ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The enclave, an officer or an auditor said no; the text is theirs.
    Refused(String),
    /// Nothing false was said and nothing acknowledged was lost; the text says how.
    Harmless(String),
    /// The attack got what it wanted.
    Failed(String),
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Group and name of the attack.
    pub name: String,
    /// `refused`, `harmless` or `failed`.
    pub outcome: &'static str,
    /// The exact error, or what was seen.
    pub error: String,
}

/// An attack: answers how it ended, or why it could not be made.
pub type Attack = Box<dyn Fn(&Lab) -> anyhow::Result<Verdict> + Send + Sync>;

/// The one end that is promised of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Refused,
    Harmless,
}

/// An attack and its name.
pub struct Case {
    /// What it is about; tests run one group each.
    pub group: &'static str,
    /// What the host does.
    pub name: String,
    /// It mostly waits, so that it takes no processor from the others.
    pub idle: bool,
    /// It needs sample photographs.
    pub photographs: bool,
    end: End,
    /// Does it.
    pub attack: Attack,
}

impl Case {
    /// An attack that must be refused.
    pub fn refused(
        group: &'static str,
        name: impl Into<String>,
        attack: impl Fn(&Lab) -> anyhow::Result<Verdict> + Send + Sync + 'static,
    ) -> Self {
        Self::new(End::Refused, group, name, attack)
    }

    /// An attack, or none at all, after which everything must go on.
    pub fn harmless(
        group: &'static str,
        name: impl Into<String>,
        attack: impl Fn(&Lab) -> anyhow::Result<Verdict> + Send + Sync + 'static,
    ) -> Self {
        Self::new(End::Harmless, group, name, attack)
    }

    fn new(
        end: End,
        group: &'static str,
        name: impl Into<String>,
        attack: impl Fn(&Lab) -> anyhow::Result<Verdict> + Send + Sync + 'static,
    ) -> Self {
        Self {
            group,
            name: name.into(),
            idle: false,
            photographs: false,
            end,
            attack: Box::new(attack),
        }
    }

    /// Marks a case that waits.
    pub fn waiting(mut self) -> Self {
        self.idle = true;
        self
    }

    /// Marks a case that needs sample photographs.
    pub fn with_photographs(mut self) -> Self {
        self.photographs = true;
        self
    }

    /// Makes the attack.
    pub fn run(&self, lab: &Lab) -> Outcome {
        let _slot = (!self.idle).then(|| lab.slot());
        let verdict = (self.attack)(lab);
        let (outcome, error) = match (verdict, self.end) {
            (Ok(Verdict::Refused(text)), End::Refused) => ("refused", text),
            (Ok(Verdict::Harmless(text)), End::Harmless) => ("harmless", text),
            (Ok(Verdict::Refused(text)), _) => ("failed", format!("it must go on: {text}")),
            (Ok(Verdict::Harmless(text)), _) => ("failed", format!("not refused: {text}")),
            (Ok(Verdict::Failed(text)), _) => ("failed", text),
            // An attack that could not be made shows nothing, so it counts against us.
            (Err(error), _) => ("failed", format!("the attack could not be made: {error:#}")),
        };
        Outcome {
            name: format!("{}::{}", self.group, self.name),
            outcome,
            error,
        }
    }
}

/// Runs cases, a few at once, and tells of each as it ends. In the order given.
pub fn run_all(lab: &Lab, cases: &[Case], tell: impl Fn(&Outcome) + Sync) -> Vec<Outcome> {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let idle = cases.iter().filter(|case| case.idle).count();
    // Waiting cases come first, each on a thread of its own.
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|at| !cases[*at].idle);
    std::thread::scope(|scope| {
        for _ in 0..(crate::lab::AT_ONCE + idle).min(cases.len()) {
            scope.spawn(|| {
                while let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = cases[at].run(lab);
                    tell(&outcome);
                    let mut done = done.lock().unwrap_or_else(|broken| broken.into_inner());
                    done.push((at, outcome));
                }
            });
        }
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(|broken| broken.into_inner());
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}
