//! `cargo xtask cuda-check`: for whoever has an NVIDIA GPU.

use std::process::Command;

use anyhow::Result;

use crate::repo::Repo;
use crate::{fetch_one, process, programs};

/// Fetches, builds, and lets the worker compare the device with the processor.
pub(crate) fn run(repo: &Repo, tests: bool) -> Result<bool> {
    let models = fetch_one(&repo.models_toml())?;
    let compiler = fetch_one(&repo.cuda_toml())?;
    programs::build(repo)?;
    let mut check = Command::new(repo.bin("redoubt-worker"));
    check.arg("--cuda-check").arg("--cuda").arg(&compiler);
    check.arg("--models").arg(&models);
    check.arg("--manifest").arg(repo.models_toml());
    let agrees = process::wait_in_foreground(&mut check)?.success();
    if !agrees || !tests {
        return Ok(agrees);
    }
    let mut sealed = programs::cargo(repo, "test");
    sealed.args(["-p", "redoubt-worker", "--test", "process", "--test", "lfw"]);
    sealed.args(["--", "--show-output"]);
    sealed.env("REDOUBT_MODELS_DIR", models);
    sealed.env("REDOUBT_MEDIA_DIR", fetch_one(&repo.media_toml())?);
    sealed.env("REDOUBT_GPU", compiler);
    Ok(process::wait_in_foreground(&mut sealed)?.success())
}
