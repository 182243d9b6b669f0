//! How a test gets its appliance: alone, or shared with the tests of its file
//! that run at the same time.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::Result;

use crate::appliance::{Appliance, Options};
use crate::environment::Environment;

/// What a test needs from outside; without it, it is skipped and says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Programs and models.
    Programs,
    /// Sample photographs too.
    Photographs,
}

impl Needs {
    pub(crate) fn find(self, test: &str) -> Option<Environment> {
        match self {
            Self::Programs => Environment::find(test),
            Self::Photographs => Environment::with_media(test),
        }
    }
}

/// A slot for an appliance that lives as long as a test holds it.
pub struct Shared(Mutex<Weak<Appliance>>);

impl Shared {
    /// An empty slot.
    pub const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    fn get(&self, environment: &Environment) -> Result<Arc<Appliance>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = slot.upgrade() {
            return Ok(running);
        }
        let fresh = Arc::new(Appliance::serving(environment, Options::default())?);
        *slot = Arc::downgrade(&fresh);
        Ok(fresh)
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a behaviour on the shared appliance of its file.
pub fn shared(
    slot: &Shared,
    test: &str,
    needs: Needs,
    behaviour: impl AsyncFnOnce(&Appliance) -> Result<()>,
) {
    let Some(environment) = needs.find(test) else {
        return;
    };
    let appliance = slot.get(&environment).unwrap_or_else(|error| fail(&error));
    if let Err(error) = runtime().block_on(behaviour(&appliance)) {
        appliance.keep_files();
        fail(&error);
    }
}

/// Runs a behaviour on an appliance of its own, serving when it begins.
pub fn alone(
    test: &str,
    needs: Needs,
    options: Options,
    behaviour: impl AsyncFnOnce(&mut Appliance) -> Result<()>,
) {
    let Some(environment) = needs.find(test) else {
        return;
    };
    let appliance = Appliance::serving(&environment, options);
    let mut appliance = appliance.unwrap_or_else(|error| fail(&error));
    if let Err(error) = runtime().block_on(behaviour(&mut appliance)) {
        appliance.keep_files();
        fail(&error);
    }
}

/// Runs a behaviour on whatever `made` makes around an appliance; nothing, if it says
/// that something lacks. Where it fails, files stay and the last lines are shown.
pub fn on<T: AsRef<Appliance>>(
    made: impl FnOnce() -> Result<Option<T>>,
    behaviour: impl AsyncFnOnce(&mut T) -> Result<()>,
) {
    let outcome = runtime().block_on(async {
        let Some(mut whole) = made()? else {
            return Ok(());
        };
        let outcome = behaviour(&mut whole).await;
        if outcome.is_err() {
            let appliance = whole.as_ref();
            appliance.keep_files();
            let logs = appliance.logs().unwrap_or_default();
            let lines: Vec<&str> = logs.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(80)..].join("\n"));
        }
        outcome
    });
    outcome.unwrap_or_else(|error| fail(&error));
}

/// A runtime for one test.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("no runtime: {error}"))
}

fn fail(error: &anyhow::Error) -> ! {
    panic!("{error:?}")
}
