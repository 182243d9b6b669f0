//! `cargo xtask test`: every check in stages, each with a budget and its time.
//!
//! Budgets are for two cores and an empty target folder. They are printed, not
//! enforced: a slow machine is no failure, a stage that doubled is worth a look.

mod contract;
mod images;
mod outcome;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::apt::NotHere;
use crate::repo::Repo;
use crate::{demo, fetch_one, preflight, process, programs, python, say, softhsm};
use outcome::Outcome;

/// Crates whose tests start whole appliances.
const END_TO_END: &[&str] = &["tests/e2e", "tests/attack"];

/// Kills that every run of the tests makes.
const CHAOS_ROUNDS: &str = "200";

/// Seconds that every run of the tests bends the inputs of each parser.
const FUZZ_SECONDS: &str = "2";

/// Flags of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A file that Debian's archive does not serve any more, such as the kernel's
    /// sources or QEMU's; repeat
    #[arg(long, value_name = "FILE")]
    source_archive: Vec<PathBuf>,
    /// Only the images and their boots
    #[arg(long)]
    images: bool,
    /// Only the interface: its document, bent requests, clients, the guide, a browser;
    /// with the programs that were built last
    #[arg(long, conflicts_with = "images")]
    contract: bool,
}

/// Minutes for everything from nothing.
const BUDGET: f64 = 55.0;

/// Runs every stage, whatever failed before; whether all was well.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<bool> {
    preflight::check()?;
    let start = Instant::now();
    let mut suite = Suite {
        repo,
        start,
        logs: repo.report_dir("test"),
        programs: repo.bin_dir(),
        models: PathBuf::new(),
        media: PathBuf::new(),
        cuda: PathBuf::new(),
        python: PathBuf::new(),
        softhsm: None,
        built: false,
        source_archive: options.source_archive.clone(),
        total: Outcome::default(),
    };
    fs::create_dir_all(&suite.logs)?;
    if options.contract {
        suite.contract()?;
    } else {
        if !options.images {
            suite.stages()?;
        }
        suite.images()?;
    }
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    say("");
    for reason in &suite.total.skipped {
        say(&format!("skipped: {reason}"));
    }
    for name in &suite.total.failures {
        say(&format!("failed: {name}"));
    }
    say(&format!(
        "{minutes:.1} minutes of a budget of {:.0}, from nothing; logs in {}",
        BUDGET,
        suite.logs.display()
    ));
    say(&suite.total.summary());
    Ok(suite.total.failed == 0)
}

struct Suite<'a> {
    repo: &'a Repo,
    start: Instant,
    logs: PathBuf,
    programs: PathBuf,
    models: PathBuf,
    media: PathBuf,
    cuda: PathBuf,
    python: PathBuf,
    softhsm: Option<PathBuf>,
    built: bool,
    source_archive: Vec<PathBuf>,
    total: Outcome,
}

impl Suite<'_> {
    fn stages(&mut self) -> Result<()> {
        let repo = self.repo;
        self.stage("format", 5, |suite| {
            let mut fmt = repo.cargo("fmt");
            fmt.args(["--all", "--check"]);
            suite.passes("format", &mut fmt)
        })?;
        self.stage("models, media, compilers and Python", 60, |suite| {
            suite.models = fetch_one(&repo.models_toml())?;
            suite.media = fetch_one(&repo.media_toml())?;
            suite.cuda = fetch_one(&repo.cuda_toml())?;
            suite.python = python::fetch(repo, python::VERIFIER)?;
            suite.softhsm = softhsm::fetch()?;
            Ok(Outcome::single("models, media, compilers and Python", true))
        })?;
        self.stage("build", 300, |suite| {
            programs::build(repo)?;
            suite.built = true;
            Ok(Outcome::single("build", true))
        })?;
        self.stage("lints", 180, |suite| {
            let mut clippy = programs::cargo(repo, "clippy");
            // Clippy brings its own wrapper.
            clippy.env_remove("RUSTC_WORKSPACE_WRAPPER");
            clippy.args(["--all-targets", "--", "-D", "warnings"]);
            suite.passes("lints", &mut clippy)
        })?;
        if !self.built {
            say("nothing was built, so nothing more can be tested");
            return Ok(());
        }
        let (unit, end_to_end) = test_targets(&repo.root)?;
        self.stage("unit and integration tests", 480, |suite| {
            let mut arguments = vec!["--lib".into(), "--bins".into()];
            arguments.extend(named(&unit));
            suite.cargo_test("unit", &arguments)
        })?;
        self.stage("documentation tests", 30, |suite| {
            suite.cargo_test("documentation", &["--doc".into()])
        })?;
        self.stage("end-to-end tests and attacks", 600, |suite| {
            suite.cargo_test("end-to-end", &named(&end_to_end))
        })?;
        self.stage("bent inputs", 75, Suite::fuzz)?;
        self.stage("kills under load", 150, Suite::chaos)?;
        self.stage("demo story", 60, |_| {
            let well = demo::run(repo, false)?;
            Ok(Outcome::single("demo story", well))
        })?;
        self.contract()
    }

    /// Runs one stage; an error is one failure, a request to stop ends everything.
    fn stage(
        &mut self,
        name: &str,
        budget: u64,
        work: impl FnOnce(&mut Self) -> Result<Outcome>,
    ) -> Result<()> {
        anyhow::ensure!(!crate::signals::asked_to_stop(), "stopped");
        say(&format!("== {name} (budget {budget} s)"));
        let start = Instant::now();
        let outcome = work(self).unwrap_or_else(|error| of_error(name, &error));
        let seconds = start.elapsed().as_secs_f64();
        let over = if seconds > budget as f64 {
            ", over budget"
        } else {
            ""
        };
        say(&format!("   {} in {seconds:.1} s{over}", outcome.summary()));
        self.total.add(outcome);
        Ok(())
    }

    fn passes(&self, name: &str, command: &mut Command) -> Result<Outcome> {
        let status = process::wait_in_foreground(command)?;
        Ok(Outcome::single(name, status.success()))
    }

    /// The stated number of kills, each followed by the question what is gone.
    fn chaos(&mut self) -> Result<Outcome> {
        let mut chaos = Command::new(self.repo.bin("redoubt-chaos"));
        chaos.args(["--rounds", CHAOS_ROUNDS, "--json"]);
        chaos.arg(self.logs.join("chaos.json"));
        self.point_to_files(&mut chaos);
        self.passes("kills under load", &mut chaos)
    }

    /// Every parser for a moment, blindly; `cargo xtask fuzz` searches with counters.
    fn fuzz(&mut self) -> Result<Outcome> {
        let mut fuzz = Command::new(self.repo.bin("redoubt-fuzz"));
        fuzz.args(["all", "--seconds", FUZZ_SECONDS, "--json"]);
        fuzz.arg(self.logs.join("fuzz.json"));
        fuzz.env("REDOUBT_FUZZ_DIR", self.logs.join("fuzz"));
        self.passes("bent inputs", &mut fuzz)
    }

    /// Programs, models, photographs and the Python that were made ready before.
    fn point_to_files(&self, command: &mut Command) {
        command.env("REDOUBT_BIN_DIR", &self.programs);
        command.env("REDOUBT_MODELS_DIR", &self.models);
        command.env("REDOUBT_MEDIA_DIR", &self.media);
        command.env("REDOUBT_CUDA_DIR", &self.cuda);
        command.env("REDOUBT_PYTHON", &self.python);
        if let Some(softhsm) = &self.softhsm {
            command.env("REDOUBT_SOFTHSM", softhsm);
        }
    }

    fn cargo_test(&self, name: &str, arguments: &[String]) -> Result<Outcome> {
        let log = self.logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut cargo = programs::cargo(self.repo, "test");
        cargo.arg("--no-fail-fast").args(arguments);
        cargo.args(["--", "--show-output"]);
        self.point_to_files(&mut cargo);
        cargo.stdout(Stdio::from(file));
        let status = process::wait_in_foreground(&mut cargo)?;
        let text = fs::read(&log)?;
        let text = String::from_utf8_lossy(&text);
        let mut outcome = Outcome::of_cargo_test(&text);
        if outcome.failed > 0 {
            say(&failures_in(&text));
        } else if !status.success() {
            // A program that died, or one that did not compile, counts nothing.
            outcome.add(Outcome::single(
                &format!("{name}: cargo ended with {status}"),
                false,
            ));
            say(&process::log_end(&log));
        }
        Ok(outcome)
    }
}

/// What this machine lacks is no failure of the product's.
fn of_error(name: &str, error: &anyhow::Error) -> Outcome {
    if let Some(NotHere(why)) = error.downcast_ref() {
        return Outcome::skipped(name, why);
    }
    say(&format!("{error:#}"));
    Outcome::single(name, false)
}

/// What the failed tests said.
fn failures_in(text: &str) -> String {
    let mut shown = String::new();
    let mut showing = false;
    for line in text.lines() {
        match line {
            "failures:" => showing = true,
            _ if line.starts_with("test result:") => showing = false,
            _ if showing => shown += &format!("    {line}\n"),
            _ => {}
        }
    }
    shown
}

/// Names of integration tests: those of the other crates, and the end-to-end ones.
fn test_targets(root: &Path) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    #[derive(serde::Deserialize)]
    struct Workspace {
        workspace: Members,
    }
    #[derive(serde::Deserialize)]
    struct Members {
        members: Vec<String>,
    }
    let manifest: Workspace = toml::from_str(&fs::read_to_string(root.join("Cargo.toml"))?)?;
    let (mut unit, mut end_to_end) = (BTreeSet::new(), BTreeSet::new());
    for member in manifest.workspace.members {
        let names = test_names(&root.join(&member).join("tests"))?;
        let into = if END_TO_END.contains(&member.as_str()) {
            &mut end_to_end
        } else {
            &mut unit
        };
        into.extend(names);
    }
    // A name in both places would run twice: it runs with the quick ones.
    end_to_end.retain(|name| !unit.contains(name));
    Ok((unit, end_to_end))
}

/// `NAME.rs` and `NAME/main.rs` in a crate's `tests` folder.
fn test_names(dir: &Path) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_test =
            path.extension().is_some_and(|ext| ext == "rs") || path.join("main.rs").exists();
        if let (true, Some(stem)) = (is_test, path.file_stem()) {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

fn named(tests: &BTreeSet<String>) -> Vec<String> {
    let pair = |name: &String| ["--test".to_owned(), name.clone()];
    tests.iter().flat_map(pair).collect()
}
