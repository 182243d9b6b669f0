//! `redoubt-eval faces|voices|digits|fusion|liveness|challenges|risk|calibrate`: error rates over data of
//! one's own.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use redoubt_eval::faces::{self, Plan, Start, calibrate};
use redoubt_eval::{challenges, digits, fusion, liveness, risk, voices};

/// Measure error rates.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Faces: LFW's protocol and all pairs, through the sealed worker
    Faces {
        #[command(flatten)]
        what: What,
        /// A list of pairs as LFW has them [default: DIR/pairs.txt if it is there]
        #[arg(long, value_name = "FILE")]
        pairs: Option<PathBuf>,
        /// Where the report goes; a page and what the worker answered go beside it
        #[arg(long, value_name = "OUT")]
        json: PathBuf,
    },
    /// Voices: all pairs of recordings, through the sealed worker
    Voices {
        /// A folder of WAV, FLAC and Opus files for each speaker, at any depth
        dir: PathBuf,
        /// Where the report goes; a page and what the worker answered go beside it
        #[arg(long, value_name = "OUT")]
        json: PathBuf,
    },
    /// Spoken digits: recordings of six, put together of single ones, through the sealed worker
    Digits {
        /// A folder of `DIGIT_SPEAKER_N.wav`, at any depth
        dir: PathBuf,
        /// Where the report goes
        #[arg(long, value_name = "OUT")]
        json: PathBuf,
        /// Recordings for each speaker, of each sort
        #[arg(long, default_value_t = 100)]
        trials: usize,
        /// What is put together of what
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Face and voice together, beside each alone, over the same pairs of chimeric customers
    Fusion {
        /// A folder of images for each person
        faces: PathBuf,
        /// A folder of WAV, FLAC and Opus files for each speaker, at any depth
        voices: PathBuf,
        /// Where the report goes; a page and what the worker answered go beside it
        #[arg(long, value_name = "OUT")]
        json: PathBuf,
        /// Which persons are given which voices, and which recordings are compared
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Passive liveness: people refused and attacks passed, through the sealed worker
    Liveness {
        /// A folder of photographs for each person
        dir: PathBuf,
        /// A folder of photographs for each kind of attack
        #[arg(long, value_name = "DIR")]
        attacks: Option<PathBuf>,
        /// Where the report goes; a page goes beside it
        #[arg(long, value_name = "OUT")]
        json: PathBuf,
    },
    /// Active liveness: recorded answers to challenges, through the sealed worker
    Challenges {
        /// A folder for each recording of a person: frames, and actions.txt
        dir: PathBuf,
        /// The same of attacks; a folder's name begins with its kind and `_`
        #[arg(long, value_name = "DIR")]
        attacks: Option<PathBuf>,
        /// Where the report goes
        #[arg(long, value_name = "OUT")]
        json: PathBuf,
    },
    /// Risk: average precision of the enclave's rules over a published simulation of payments
    Risk {
        /// Where the report goes
        #[arg(long, value_name = "OUT")]
        json: PathBuf,
    },
    /// A calibration table for images/models.toml
    Calibrate {
        #[command(flatten)]
        what: What,
        /// Where the table goes; what the worker answered goes beside it
        #[arg(long, value_name = "OUT")]
        out: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct What {
    /// A folder of images for each person
    dir: PathBuf,
    /// How much time a face gets
    #[arg(long, value_enum, default_value_t = Setting::Default)]
    setting: Setting,
    /// A space of the manifest: a fusion or an embedder with a table of its own [default:
    /// the one templates are made in]
    #[arg(long, value_name = "ID")]
    space: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setting {
    /// As it serves
    Default,
    /// Each face together with its mirror image (the worker's --mirrored)
    Accurate,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redoubt-eval: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Faces { what, pairs, json } => {
            let page = faces::evaluate(&plan(what, pairs, json)?)?;
            println!("a page to look at: {}", page.display());
        }
        Task::Voices { dir, json } => {
            let plan = voices::Plan {
                root: dir,
                report: json,
                start: start(false)?,
            };
            let page = voices::evaluate(&plan)?;
            println!("a page to look at: {}", page.display());
        }
        Task::Digits {
            dir,
            json,
            trials,
            seed,
        } => {
            let plan = digits::Plan {
                root: dir,
                trials,
                seed,
                report: json,
                start: start(false)?,
            };
            let report = digits::evaluate(&plan)?;
            for figure in ["words_found", "words_right", "genuine_accepted"] {
                println!("{figure} {}", report[figure]);
            }
            println!("replay_accepted {}", report["replay_accepted"]);
        }
        Task::Fusion {
            faces,
            voices,
            json,
            seed,
        } => {
            let plan = fusion::Plan {
                faces,
                voices,
                report: json,
                seed,
                start: start(false)?,
            };
            let page = fusion::evaluate(&plan)?;
            println!("a page to look at: {}", page.display());
        }
        Task::Liveness { dir, attacks, json } => {
            let plan = liveness::Plan {
                people: dir,
                attacks,
                report: json,
                start: start(false)?,
            };
            let page = liveness::evaluate(&plan)?;
            println!("a page to look at: {}", page.display());
        }
        Task::Challenges { dir, attacks, json } => {
            let plan = challenges::Plan {
                people: dir,
                attacks,
                report: json,
                start: start(false)?,
            };
            let report = challenges::evaluate(&plan)?;
            println!("bpcer {}\napcer {}", report["bpcer"], report["apcer"]);
        }
        Task::Risk { json } => {
            let figures = risk::evaluate(&risk::Plan::default(), &json)?;
            println!("{:#}", figures["all"]);
        }
        Task::Calibrate { what, out } => {
            let run = faces::run(&plan(what, None, out.clone())?)?;
            let scores = run.samples.scores();
            let kind = match run.space.parts.len() {
                1 => "model",
                _ => "fusion",
            };
            let text = calibrate::text(&run, &scores, &calibrate::table(&scores), kind);
            std::fs::write(&out, &text).with_context(|| out.display().to_string())?;
            print!("{text}");
        }
    }
    Ok(())
}

fn plan(what: What, pairs: Option<PathBuf>, report: PathBuf) -> Result<Plan> {
    Ok(Plan {
        root: what.dir,
        pairs,
        report,
        space: what.space,
        start: start(what.setting == Setting::Accurate)?,
    })
}

fn start(mirrored: bool) -> Result<Start> {
    let folder = |name: &str| {
        let found = std::env::var_os(name).map(PathBuf::from);
        found.with_context(|| format!("{name} is not set; start this with cargo xtask eval"))
    };
    Ok(Start {
        program: folder("REDOUBT_BIN_DIR")?.join("redoubt-worker"),
        models: folder("REDOUBT_MODELS_DIR")?,
        mirrored,
    })
}
