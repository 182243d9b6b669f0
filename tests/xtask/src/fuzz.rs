//! `cargo xtask fuzz`: the fuzzer, with the crates under test compiled to count
//! which of their edges an input takes.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};

use crate::repo::Repo;
use crate::{process, programs, say};

/// The counting program, beside the plain one of the same name.
const COUNTING: &str = "redoubt-fuzz-counting";

/// Builds it, then becomes it; whether nothing panicked.
pub(crate) fn run(repo: &Repo, arguments: &[OsString]) -> Result<bool> {
    say("building the fuzzer, the crates under test counting their edges");
    let mut cargo = programs::cargo(repo, "build");
    // Another wrapper makes other outputs: those of the plain build stay.
    cargo.env(
        "RUSTC_WORKSPACE_WRAPPER",
        repo.root.join("tests/xtask/count-edges.sh"),
    );
    // One test brings the tests' feature selection, so that dependencies are shared.
    cargo.args(["--bin", "redoubt-fuzz", "--test", "selection"]);
    let made = programs::executables(&mut cargo)?;
    let made = made
        .get("redoubt-fuzz")
        .context("the build made no fuzzer")?;
    std::fs::create_dir_all(repo.bin_dir())?;
    programs::install(made, &repo.bin(COUNTING))?;
    let mut fuzz = Command::new(repo.bin(COUNTING));
    fuzz.args(arguments);
    fuzz.env("REDOUBT_FUZZ_DIR", repo.report_dir("fuzz"));
    Ok(process::wait_in_foreground(&mut fuzz)?.success())
}
