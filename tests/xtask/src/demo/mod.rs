//! `cargo xtask demo`: the whole story from nothing, each step with its time.

mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::dev::appliance::{Appliance, Plan};
use crate::dev::layout::{self, Layout};
use crate::dev::{self, describe, health, setup};
use crate::process::{self, Process};
use crate::repo::Repo;
use crate::{fetch_one, preflight, programs, say};
use report::Report;

/// Acknowledged receipts after which the power is cut.
const RECEIPTS_BEFORE_KILL: usize = 20;
const LOAD_SECONDS: &str = "120";
const LOAD_PATIENCE: Duration = Duration::from_secs(90);

/// Tells it; whether all was well.
pub(crate) fn run(repo: &Repo, build: bool) -> Result<bool> {
    let path = repo.report_dir("demo").join("report.json");
    let mut report = Report::default();
    let outcome = tell(repo, build, &mut report);
    report.write(&path)?;
    report.print();
    say(&format!("  {}", path.display()));
    outcome.map(|()| report.all_ok())
}

fn tell(repo: &Repo, build: bool, report: &mut Report) -> Result<()> {
    report.step("this machine has every tool", preflight::check)?;
    report.step("models are fetched by pinned digest", || {
        fetch_one(&repo.models_toml())
    })?;
    let media = report.step("sample media are fetched by pinned digest", || {
        fetch_one(&repo.media_toml())
    })?;
    if build {
        report.step("every program is built", || programs::build(repo))?;
    }
    let work = std::env::temp_dir().join(format!("redoubt-demo-{}", std::process::id()));
    layout::private_folder(&work)?;
    let stage = Stage {
        repo,
        media,
        story: work.join("story/report.json"),
        captures: work.join("captures"),
        layout: Layout::open(&work.join("appliance"))?,
    };
    let outcome = stage.tell(report);
    match &outcome {
        Ok(()) => drop(fs::remove_dir_all(&work)),
        Err(_) => say(&format!("  everything is kept in {}", work.display())),
    }
    outcome
}

/// Where the story plays.
struct Stage<'a> {
    repo: &'a Repo,
    media: PathBuf,
    story: PathBuf,
    captures: PathBuf,
    layout: Layout,
}

impl Stage<'_> {
    fn tell(&self, report: &mut Report) -> Result<()> {
        fs::create_dir_all(&self.captures)?;
        fs::create_dir_all(self.story.with_file_name(""))?;
        report.step("officers, identities and configuration are made", || {
            setup::make(self.repo, &self.layout)
        })?;
        let mut plan = Plan {
            layout: self.layout.clone(),
            models: dev::models_of(&self.layout)?,
            port: 0,
            capture: Some(self.captures.join("relayed-bytes")),
        };
        let appliance = self.open(&plan, report)?;
        plan.port = appliance.port;
        report.step("a plain client that pins the CA is answered", || {
            self.plain_client(&appliance)
        })?;
        let told = self.story(report, "one", 0)?;
        report.step(
            "everything is killed with SIGKILL in the middle of load",
            || self.kill_in_load(appliance),
        )?;
        let appliance = self.open(&plan, report)?;
        self.story(report, "two", told)?;
        report.step(
            "every receipt acknowledged before the kill still verifies",
            || self.check_load_receipts(),
        )?;
        report.step(
            "the host's pages are captured, everything ends in order",
            || {
                self.keep_page(&appliance)?;
                appliance.end();
                Ok(())
            },
        )?;
        report.step("the embeddings to look for are computed", || {
            self.add_embeddings(&plan.models)
        })?;
        let found = self.story.with_file_name("blindness.json");
        let searched = report.step(
            "no capture holds a secret, a control run finds each",
            || self.search(&found),
        );
        report.add_blindness(&found)?;
        searched
    }

    fn open(&self, plan: &Plan, report: &mut Report) -> Result<Appliance> {
        let mut appliance = report.step("the enclave boots, measures itself and waits", || {
            Appliance::start(self.repo, plan)
        })?;
        report.step(
            "an officer's share, sealed to the attested key, unseals it",
            || {
                let memory = setup::memory(&self.layout);
                appliance.unseal(self.repo, &setup::share(&self.layout), &memory)
            },
        )?;
        report.step("the auditor verifies it and writes the CA to pin", || {
            appliance.trust(self.repo)
        })?;
        let pids = appliance.pids()?;
        describe::write(&self.layout, &appliance, pids)?;
        Ok(appliance)
    }

    /// Python's own TLS, which nobody here wrote.
    fn plain_client(&self, appliance: &Appliance) -> Result<()> {
        let bank = self.layout.credentials().join("bank");
        let mut python = Command::new("python3");
        python.args(["-I", "-c", include_str!("plain_client.py")]);
        python.arg(format!("{}/openapi.json", appliance.url()));
        python.arg(self.layout.trust().join("ca.pem"));
        python.arg(bank.join("cert.pem")).arg(bank.join("key.pem"));
        process::output_of(&mut python).map(drop)
    }

    fn story(&self, report: &mut Report, part: &str, told: usize) -> Result<usize> {
        let mut bank = self.bank("story");
        bank.arg("--media").arg(&self.media);
        bank.arg("--audit-bin").arg(self.repo.bin("redoubt-audit"));
        bank.arg("--report").arg(&self.story).args(["--part", part]);
        let status = process::wait_in_foreground(&mut bank)?;
        let told = report.add_story(&self.story, told)?;
        ensure!(
            status.success(),
            "the bank's story ended with {status}; its message is above"
        );
        Ok(told)
    }

    fn kill_in_load(&self, appliance: Appliance) -> Result<()> {
        let mut bank = self.bank("load");
        bank.args([
            "--kind",
            "approve",
            "--clients",
            "8",
            "--seconds",
            LOAD_SECONDS,
        ]);
        bank.arg("--receipts").arg(self.load_receipts());
        bank.arg("--json")
            .arg(self.story.with_file_name("load.json"));
        let log = self.story.with_file_name("load.log");
        let mut load = Process::start("redoubt-bank load", &mut bank, &log)?;
        process::wait_for("acknowledged receipts", LOAD_PATIENCE, || {
            load.require_running()?;
            let kept = fs::read(self.load_receipts()).unwrap_or_default();
            let lines = kept.iter().filter(|byte| **byte == b'\n').count();
            Ok((lines >= RECEIPTS_BEFORE_KILL).then_some(()))
        })?;
        self.keep_page(&appliance)?;
        appliance.kill();
        load.kill();
        Ok(())
    }

    fn check_load_receipts(&self) -> Result<()> {
        let mut bank = self.bank("receipts");
        bank.arg("--file").arg(self.load_receipts());
        bank.arg("--audit-bin").arg(self.repo.bin("redoubt-audit"));
        process::output_of(&mut bank).map(|said| say(&format!("         {}", said.trim())))
    }

    /// What the worker computes from the story's samples must not be seen either.
    fn add_embeddings(&self, models: &Path) -> Result<()> {
        let mut conformance = Command::new(self.repo.bin("redoubt-conformance"));
        conformance.arg("embeddings").arg("--models").arg(models);
        conformance.arg("--manifest").arg(self.layout.models_toml());
        conformance
            .arg("--markers")
            .arg(self.story.with_file_name("markers.json"));
        process::output_of(&mut conformance).map(drop)
    }

    fn search(&self, found: &Path) -> Result<()> {
        let mut bank = Command::new(self.repo.bin("redoubt-bank"));
        bank.arg("blindness").arg("--captures");
        bank.args(["relayed-bytes", "pages"].map(|name| self.captures.join(name)));
        bank.arg(self.layout.store()).arg(self.layout.logs());
        bank.arg("--markers")
            .arg(self.story.with_file_name("markers.json"));
        bank.arg("--json").arg(found);
        let status = process::wait_in_foreground(&mut bank)?;
        ensure!(
            status.success(),
            "a capture holds a secret, is empty or fails its control"
        );
        Ok(())
    }

    fn bank(&self, task: &str) -> Command {
        let mut bank = Command::new(self.repo.bin("redoubt-bank"));
        bank.arg(task).arg("--dev").arg(self.layout.dev_json());
        bank
    }

    fn load_receipts(&self) -> PathBuf {
        self.story.with_file_name("load.receipts.jsonl")
    }

    /// Metrics and health as anybody on the host can read them.
    fn keep_page(&self, appliance: &Appliance) -> Result<()> {
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(self.captures.join("pages"));
        let mut file = file?;
        for page in ["/metrics", "/healthz"] {
            std::io::Write::write_all(&mut file, &health::get(appliance.admin_port, page)?)?;
        }
        Ok(())
    }
}
