//! The interface as its users meet it: the document judged by others' tools, the running
//! appliance asked all that the document allows and forbids, the clients, every command
//! of the integrators' guide, and customers in a real browser.

mod ground;
mod guide;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{Outcome, Suite};
use crate::apt::NotHere;
use crate::{chromium, clients, process, python, say};
use ground::Ground;

/// Who asks, and for how many seconds: the bank may do most.
const ASKERS: &[(&str, &str)] = &[("bank", "40"), ("bank-reader", "10"), ("auditor", "10")];
/// So that every run asks the same.
const SEED: &str = "20261122";

impl Suite<'_> {
    /// Everything about the interface, against one appliance.
    pub(super) fn contract(&mut self) -> Result<()> {
        let mut ground = None;
        self.stage("the interface's document and its clients", 60, |suite| {
            suite.media = crate::fetch_one(&suite.repo.media_toml())?;
            let python = python::fetch(suite.repo, python::CONTRACT)?;
            let outcome = suite.document(&python)?;
            ground = Some(Ground::start(suite.repo, python)?);
            Ok(outcome)
        })?;
        let Some(ground) = ground else {
            say("the interface's other tests need an appliance and its clients");
            return Ok(());
        };
        self.stage("bent requests", 100, |suite| suite.bent_requests(&ground))?;
        self.stage(
            "the TypeScript client and the integrators' guide",
            60,
            |suite| {
                let mut outcome = suite.node(&ground, "clients/typescript/dist/test", &[])?;
                outcome.add(suite.guide(&ground)?);
                Ok(outcome)
            },
        )?;
        self.stage("a real browser", 60, |suite| {
            let chromium = chromium::fetch().map_err(|error| NotHere(format!("{error:#}")))?;
            let shots = suite.logs.join("browser");
            let mut settings = vec![
                ("REDOUBT_CHROMIUM", chromium.program),
                ("REDOUBT_SHOTS", shots),
            ];
            settings.extend(
                chromium
                    .libraries
                    .map(|paths| ("REDOUBT_CHROMIUM_LIBRARIES", paths.into())),
            );
            suite.node(&ground, "tests/browser", &settings)
        })
    }

    fn document(&self, python: &Path) -> Result<Outcome> {
        let mut check = Command::new(python);
        check
            .arg("-I")
            .arg(self.repo.root.join("tests/contract/check.py"));
        check.arg(self.repo.root.join("clients/openapi.json"));
        let mut outcome = self.passes("the OpenAPI document and its examples", &mut check)?;
        let other = clients::differences(self.repo)?;
        if !other.is_empty() {
            say(&format!("{}: run `cargo xtask clients`", other.join(", ")));
        }
        let name = "the clients are what the document makes of them";
        outcome.add(Outcome::single(name, other.is_empty()));
        Ok(outcome)
    }

    /// schemathesis, which makes up requests from the document, good and bad ones.
    fn bent_requests(&self, ground: &Ground) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut node = Command::new("node");
        node.arg(ground.sources.join("tests/contract/known.mjs"));
        ground.settings(&mut node, self);
        let known = process::output_of(&mut node)?;
        for (who, seconds) in ASKERS {
            let name = format!("bent requests of {who}");
            let log = self.logs.join(format!("schemathesis-{who}.log"));
            let mut schemathesis = Command::new(&ground.python);
            schemathesis.args(["-m", "schemathesis.cli"]);
            let contract = self.repo.root.join("tests/contract");
            schemathesis
                .arg("--config-file")
                .arg(contract.join("schemathesis.toml"));
            // Its hooks are beside its settings; nothing is compiled into the checkout.
            schemathesis
                .env("REDOUBT_ASKER", who)
                .env("REDOUBT_KNOWN", &known)
                .env("PYTHONPATH", contract)
                .env("PYTHONDONTWRITEBYTECODE", "1");
            schemathesis.args(["run", "--seed", SEED, "--max-time", seconds]);
            schemathesis
                .args(["--url", &ground.url()])
                .arg("--tls-verify")
                .arg(ground.ca());
            let [cert, key] = ground.identity(who);
            schemathesis.arg("--request-cert").arg(cert);
            schemathesis.arg("--request-cert-key").arg(key);
            schemathesis
                .arg("--report-dir")
                .arg(ground.folder.join("schemathesis"));
            schemathesis.arg(self.repo.root.join("clients/openapi.json"));
            schemathesis.current_dir(&ground.folder);
            schemathesis.stdout(Stdio::from(File::create(&log)?));
            let status = process::wait_in_foreground(&mut schemathesis)?;
            if !status.success() {
                say(&format!(
                    "{name}: {status}; what it found is in {}",
                    log.display()
                ));
            }
            outcome.add(Outcome::single(&name, status.success()));
        }
        Ok(outcome)
    }

    /// Node's own test runner over a folder of the assembled sources.
    fn node(&self, ground: &Ground, tests: &str, settings: &[(&str, PathBuf)]) -> Result<Outcome> {
        let log = self.logs.join(format!("{}.log", tests.replace('/', "-")));
        let mut node = Command::new("node");
        node.args(["--test", "--test-reporter=tap"]);
        node.args(tests_in(&ground.sources.join(tests))?);
        ground.settings(&mut node, self);
        node.envs(settings.iter().map(|(name, path)| (name, path)));
        node.current_dir(&ground.folder)
            .stdout(Stdio::from(File::create(&log)?));
        let status = process::wait_in_foreground(&mut node)?;
        let outcome = Outcome::of_tap(&fs::read_to_string(&log)?);
        if !status.success() || outcome.failed > 0 {
            say(&process::log_end(&log));
        }
        if !status.success() && outcome.failed == 0 || outcome == Outcome::default() {
            return Ok(Outcome::single(tests, false));
        }
        Ok(outcome)
    }

    fn guide(&self, ground: &Ground) -> Result<Outcome> {
        let log = self.logs.join("guide.log");
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail"]).arg(&ground.guide.shell);
        let mut typescript = Command::new("node");
        typescript.arg(&ground.guide.typescript);
        let mut outcome = Outcome::default();
        for (name, command) in [
            ("the guide's curl", &mut shell),
            ("the guide's TypeScript", &mut typescript),
        ] {
            let place = ground.folder.join(name.replace(' ', "-"));
            fs::create_dir_all(&place)?;
            ground.settings(command, self);
            let out = File::options().create(true).append(true).open(&log)?;
            command
                .current_dir(place)
                .stdout(out.try_clone()?)
                .stderr(out);
            let well = process::wait_in_foreground(command)?.success();
            if !well {
                say(&process::log_end(&log));
            }
            outcome.add(Outcome::single(name, well));
        }
        Ok(outcome)
    }
}

/// `*.test.js` and `*.test.mjs`.
fn tests_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    let is_test = |path: &PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name.ends_with(".test.js") || name.ends_with(".test.mjs")
    };
    Ok(paths.into_iter().filter(is_test).collect())
}
