//! `cargo xtask dev`: an appliance kept running, with credentials to use it.

pub(crate) mod appliance;
pub(crate) mod describe;
pub(crate) mod health;
pub(crate) mod layout;
mod lock;
pub(crate) mod setup;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::manifest::Manifest;
use crate::repo::Repo;
use crate::{fetch, preflight, programs, say, signals};
use appliance::{Appliance, Pids, Plan};
use layout::Layout;
use lock::Lock;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A start that fails sooner than this after the last one is not tried again.
const CRASH_LOOP: Duration = Duration::from_secs(3);

/// Runs until somebody asks it to stop.
pub(crate) fn run(repo: &Repo, dir: &Path, port: Option<u16>, build: bool) -> Result<()> {
    preflight::check()?;
    let layout = Layout::open(dir)?;
    let _lock = Lock::take(&layout.lock())?;
    // What an earlier run left says nothing about this one.
    describe::remove(&layout);
    crate::fetch_one(&repo.models_toml())?;
    if build {
        programs::build(repo)?;
    }
    setup::make(repo, &layout)?;
    let mut plan = Plan {
        port: port.unwrap_or_else(|| appliance::free_or_any(last_port(&layout))),
        models: models_of(&layout)?,
        capture: None,
        layout,
    };
    let mut started = Instant::now();
    let mut appliance = open(repo, &plan)?;
    announce(&plan, &mut appliance)?;
    plan.port = appliance.port;
    let mut shown = appliance.pids_now();
    while !signals::asked_to_stop() {
        std::thread::sleep(LOOK_EVERY);
        if let Err(error) = appliance.require_running() {
            say(&format!("{error:#}"));
            anyhow::ensure!(
                started.elapsed() > CRASH_LOOP,
                "it ends as soon as it starts: giving up"
            );
            say("starting it again");
            describe::remove(&plan.layout);
            drop(appliance);
            started = Instant::now();
            appliance = open(repo, &plan)?;
            announce(&plan, &mut appliance)?;
        }
        follow_worker(&plan, &appliance, &mut shown)?;
    }
    say("ending");
    describe::remove(&plan.layout);
    appliance.end();
    Ok(())
}

/// Starts, unseals and has the auditor establish trust.
pub(crate) fn open(repo: &Repo, plan: &Plan) -> Result<Appliance> {
    let mut appliance = Appliance::start(repo, plan)?;
    let share = setup::share(&plan.layout);
    appliance.unseal(repo, &share, &setup::memory(&plan.layout))?;
    appliance.trust(repo)?;
    Ok(appliance)
}

/// The verified folder of the models this appliance attests.
pub(crate) fn models_of(layout: &Layout) -> Result<PathBuf> {
    let manifest = Manifest::read(&layout.models_toml())?;
    let folder = fetch::folder(&manifest)?;
    if !fetch::problems(&manifest, &folder).is_empty() {
        return crate::fetch_one(&layout.models_toml());
    }
    Ok(folder)
}

fn announce(plan: &Plan, appliance: &mut Appliance) -> Result<()> {
    let pids = appliance.pids()?;
    describe::write(&plan.layout, appliance, pids)?;
    say(&format!("serving at {}", appliance.url()));
    say(&format!("  {}", plan.layout.dev_json().display()));
    describe::say_how_to_use(&plan.layout, appliance);
    say("Ctrl-C ends it; the folder keeps its state");
    Ok(())
}

/// The host starts a fresh worker for every session: keeps `dev.json` right.
fn follow_worker(plan: &Plan, appliance: &Appliance, shown: &mut Pids) -> Result<()> {
    let now = appliance.pids_now();
    if now.worker.is_some() && now != *shown {
        describe::write(&plan.layout, appliance, now)?;
        *shown = now;
    }
    Ok(())
}

/// The port of the last run, so that a resumed appliance keeps its address.
fn last_port(layout: &Layout) -> u16 {
    let text = std::fs::read_to_string(layout.run("port")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}
