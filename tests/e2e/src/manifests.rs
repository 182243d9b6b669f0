//! Manifests that follow one another, and images that measure differently.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::appliance::Appliance;
use crate::pki;
use crate::process::run_ok;

/// The one officer of these tests stays: arguments of [`successor`].
pub const STAYS: [&str; 6] = ["--officers", "1", "--threshold", "1", "--keep", "officer-1"];

/// `redoubt genesis successor` of the present manifest into a folder, which is returned.
pub fn successor(appliance: &Appliance, out: &Path, more: &[&str]) -> Result<PathBuf> {
    let genesis = appliance.genesis_dir();
    let mut command = Command::new(appliance.program("redoubt"));
    command.args(["genesis", "successor", "--from"]);
    command.arg(genesis.join("policy.json"));
    command.arg("--officer-key");
    command.arg(genesis.join("officer-1.key.pem"));
    command.arg("--config");
    command.arg(appliance.boot_dir().join("config.json"));
    run_ok(command.arg("--out").arg(out).args(more))?;
    Ok(out.to_path_buf())
}

/// `redoubt rotate`; the officer's credentials go into `dir`.
pub fn rotate(appliance: &Appliance, dir: &Path) -> Result<Command> {
    let officer = pki::write(dir, "officer", &appliance.banks.officer.1)?;
    let mut command = Command::new(appliance.program("redoubt"));
    command.arg("rotate").arg(appliance.url());
    command.arg("--policy").arg(appliance.policy());
    command.arg("--officer-cert").arg(&officer.cert);
    command.arg("--officer-key").arg(&officer.key);
    command.args(["--wait", "60"]);
    Ok(command)
}

/// `redoubt rotate` to a successor, with all its shares.
pub fn change_to(appliance: &Appliance, dir: &Path, next: &Path) -> Result<Command> {
    let mut command = rotate(appliance, dir)?;
    for name in ["genesis", "config"] {
        command.arg(format!("--{name}"));
        command.arg(next.join(format!("{name}.json")));
    }
    for share in shares(next)? {
        command.arg("--share").arg(share);
    }
    command.arg("--boot-dir").arg(appliance.boot_dir());
    Ok(command)
}

/// The shares in a ceremony's folder, by name.
pub fn shares(dir: &Path) -> Result<Vec<PathBuf>> {
    let files = std::fs::read_dir(dir)?.filter_map(Result::ok);
    let paths = files.map(|entry| entry.path());
    let mut shares: Vec<_> = paths
        .filter(|path| path.to_string_lossy().ends_with(".share.json"))
        .collect();
    shares.sort();
    Ok(shares)
}

/// The officer's folder gets what a later ceremony made.
pub fn adopt(appliance: &Appliance, next: &Path) -> Result<()> {
    for name in ["genesis.json", "policy.json", "officer-1.share.json"] {
        std::fs::copy(next.join(name), appliance.genesis_dir().join(name))?;
    }
    Ok(())
}

/// The same program with some bytes behind it: it measures differently.
pub fn another_image(program: &Path, other: &Path) -> Result<PathBuf> {
    std::fs::copy(program, other)?;
    let mut file = std::fs::File::options().append(true).open(other)?;
    file.write_all(b"another image")?;
    Ok(other.to_path_buf())
}
