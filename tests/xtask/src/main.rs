//! `cargo xtask`: the one command people type. It fetches, builds, demonstrates,
//! keeps a development appliance running and tests. It links none of the other
//! crates, so that it compiles in seconds and can say what a machine lacks.

mod apt;
mod boot;
mod chromium;
mod clients;
mod crate_source;
mod cuda;
mod demo;
mod dev;
mod digest;
mod elf;
mod fetch;
mod fuzz;
mod image;
mod manifest;
mod node;
mod preflight;
mod process;
mod programs;
mod python;
mod registry;
mod repo;
mod signals;
mod softhsm;
mod suite;
mod tools;
mod work;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Build, fetch, demonstrate and test Redoubt.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check that this machine has every tool that is needed
    Preflight,
    /// Fetch models and sample media by pinned digest, verify or list them
    Models {
        #[command(subcommand)]
        action: ModelsAction,
    },
    /// Build every program into target/redoubt-bin
    Build,
    /// Write clients/openapi.json as the gateway serves it, and the clients made from it
    Clients {
        /// Take the document as it is
        #[arg(long)]
        no_build: bool,
    },
    /// Keep an appliance running in a folder, with credentials and curl lines
    Dev {
        /// Its folder; made if absent, resumed if it exists
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Where banks connect [default: the last run's if free, else a free one]
        #[arg(long, value_name = "N")]
        port: Option<u16>,
        /// Use the programs that were built last
        #[arg(long)]
        no_build: bool,
    },
    /// Fetch, build, start the appliance and tell the whole story, each step timed
    Demo {
        /// Use the programs that were built last
        #[arg(long)]
        no_build: bool,
    },
    /// Compare the NVIDIA GPU of this machine with its CPU, and measure both
    CudaCheck {
        /// Also fetch, test and measure the sealed worker's process on it
        #[arg(long)]
        tests: bool,
    },
    /// Format, lints, unit and end-to-end tests, the demo's story, the images and their boots
    Test {
        #[command(flatten)]
        options: suite::Options,
    },
    /// Build the enclave's image and the worker's, say what they measure, compare with
    /// what is committed
    Image {
        #[command(flatten)]
        options: image::Options,
    },
    /// Judge documents or ceremonies that others recorded
    Conformance {
        /// nitro DIR [--root PEM] [--at T] --json OUT, nvidia DIR [--root PEM] [--at T]
        /// [--revoked FILE] --json OUT, or webauthn FILE --json OUT
        #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Do to the real enclave what a hostile host could do; how each attack ended
    Attack {
        /// --json OUT, --only TEXT
        #[arg(num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Kill enclave, host or both under load, over and over; what was lost or went back
    Chaos {
        /// --rounds N, --seed S, --json OUT
        #[arg(num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Boot the real images in emulated Nitro machines, found an appliance on them and
    /// tell a customer's story, a kill and a recovery included
    BootTest(boot::BootArgs),
    /// Bend the inputs of every parser that meets outside bytes; what panicked or hung
    Fuzz {
        /// TARGET or all, --seconds N, --seed S, --json OUT, --input FILE; alone, lists targets
        #[arg(num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Error rates over faces or voices of one's own, through the sealed worker; calibration tables
    Eval {
        /// faces DIR [--pairs FILE] [--setting accurate] --json OUT, voices DIR --json OUT, or
        /// calibrate DIR --out OUT
        #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Measure against a peer or a limit in the same run
    Bench {
        /// [NAME] --json OUT
        #[arg(num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
enum ModelsAction {
    /// Download what is absent
    Fetch,
    /// Check the digests of what is there
    Verify,
    /// List every pinned file and where it is
    List,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    signals::install();
    match run(arguments.task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything was well.
fn run(task: Task) -> Result<bool> {
    if let Task::Preflight = task {
        return preflight::check_all().map(|()| true);
    }
    let repo = repo::Repo::find()?;
    match task {
        Task::Preflight => {}
        Task::Models { action } => return models(&repo, &action),
        Task::Build => programs::build(&repo)?,
        Task::Clients { no_build } => clients::write(&repo, !no_build)?,
        Task::Dev {
            dir,
            port,
            no_build,
        } => dev::run(&repo, &absolute(&dir)?, port, !no_build)?,
        Task::Demo { no_build } => return demo::run(&repo, !no_build),
        Task::Image { options } => return image::run(&repo, &options),
        Task::Test { options } => return suite::run(&repo, &options),
        Task::Conformance { arguments } => return built(&repo, "redoubt-conformance", &arguments),
        Task::Attack { arguments } => {
            models(&repo, &ModelsAction::Fetch)?;
            return built(&repo, "redoubt-attack", &arguments);
        }
        Task::Chaos { arguments } => {
            models(&repo, &ModelsAction::Fetch)?;
            return built(&repo, "redoubt-chaos", &arguments);
        }
        Task::Eval { arguments } => {
            models(&repo, &ModelsAction::Fetch)?;
            return built(&repo, "redoubt-eval", &arguments);
        }
        Task::CudaCheck { tests } => return cuda::run(&repo, tests),
        Task::BootTest(arguments) => return boot::run(&repo, &arguments),
        Task::Fuzz { arguments } => return fuzz::run(&repo, &arguments),
        Task::Bench { arguments } => return bench(&repo, &arguments),
    }
    Ok(true)
}

/// Builds, then becomes one of the programs, in the folder this was called from.
fn built(repo: &repo::Repo, program: &str, arguments: &[OsString]) -> Result<bool> {
    programs::build(repo)?;
    start(repo, &repo.bin_dir(), program, arguments, &[])
}

/// Measures enclave and worker as images hold them; searches beside FAISS.
fn bench(repo: &repo::Repo, arguments: &[OsString]) -> Result<bool> {
    programs::build(repo)?;
    let mut beside = Vec::new();
    if measures_searches(arguments) {
        beside.push(("REDOUBT_FAISS_PYTHON", python::fetch(repo, python::FAISS)?));
    }
    let dir = image::programs(repo)?;
    start(repo, &dir, "redoubt-bench", arguments, &beside)
}

/// Whether that benchmark is named, or none.
fn measures_searches(arguments: &[OsString]) -> bool {
    let mut all = arguments.iter();
    while let Some(argument) = all.next() {
        // Every option has a value, in the same word or the next.
        match argument.to_string_lossy() {
            option if !option.starts_with("--") => return option == "dedup",
            option if !option.contains('=') => drop(all.next()),
            _ => {}
        }
    }
    true
}

/// Becomes a program of a folder, among the others of that folder.
fn start(
    repo: &repo::Repo,
    dir: &Path,
    program: &str,
    arguments: &[OsString],
    environment: &[(&str, PathBuf)],
) -> Result<bool> {
    let mut command = Command::new(dir.join(program));
    command.args(arguments);
    command.env("REDOUBT_BIN_DIR", dir);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    for (name, path) in [
        ("REDOUBT_MODELS_DIR", repo.models_toml()),
        ("REDOUBT_MEDIA_DIR", repo.media_toml()),
    ] {
        let manifest = manifest::Manifest::read(&path)?;
        let folder = fetch::folder(&manifest)?;
        if folder.exists() {
            command.env(name, folder);
        }
    }
    Ok(process::wait_in_foreground(&mut command)?.success())
}

fn absolute(path: &std::path::Path) -> Result<PathBuf> {
    Ok(std::path::absolute(path)?)
}

fn models(repo: &repo::Repo, action: &ModelsAction) -> Result<bool> {
    let mut well = true;
    for path in [repo.models_toml(), repo.media_toml()] {
        let manifest = manifest::Manifest::read(&path)?;
        let folder = fetch::folder(&manifest)?;
        match action {
            ModelsAction::Fetch => {
                fetch_one(&path)?;
            }
            ModelsAction::Verify => {
                let problems = fetch::problems(&manifest, &folder);
                well &= problems.is_empty();
                say(&format!("{}: {}", folder.display(), verdict(&problems)));
            }
            ModelsAction::List => {
                say(&folder.display().to_string());
                for file in &manifest.files {
                    say(&format!("  {}  {}", file.sha256, file.install));
                }
            }
        }
    }
    Ok(well)
}

fn verdict(problems: &[String]) -> String {
    match problems {
        [] => "every file is what is pinned".into(),
        _ => format!("{}; run `cargo xtask models fetch`", problems.join(", ")),
    }
}

/// Fetches one manifest's files, saying so.
fn fetch_one(path: &std::path::Path) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    say(&format!("fetching what {name} pins"));
    let folder = fetch::fetch(path)?;
    say(&format!("  in {}", folder.display()));
    Ok(folder)
}

/// A line of progress.
fn say(line: &str) {
    println!("{line}");
}
