//! One appliance in a folder of its own, and beside it the TypeScript client, the
//! browser's bank and the guide's blocks, assembled and compiled.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::guide::{self, Guide};
use crate::dev::appliance::{Appliance, Plan};
use crate::dev::layout::{Layout, private_folder};
use crate::dev::{self, describe, setup};
use crate::repo::Repo;
use crate::suite::Suite;
use crate::work::Scratch;
use crate::{node, process, say};

/// Everything the stages share.
pub(super) struct Ground {
    appliance: Appliance,
    layout: Layout,
    /// The interpreter with the judges' packages.
    pub(super) python: PathBuf,
    /// The client, compiled, and what uses it, at their places in the repository.
    pub(super) sources: PathBuf,
    pub(super) guide: Guide,
    /// Where programs may write.
    pub(super) folder: PathBuf,
    bin: PathBuf,
    _folder: Scratch,
}

impl Ground {
    /// Assembles, compiles and starts.
    pub(super) fn start(repo: &Repo, python: PathBuf) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("redoubt-contract-{}", std::process::id()));
        private_folder(&folder)?;
        let scratch = Scratch(folder.clone());
        let sources = folder.join("sources");
        let guide = assemble(repo, &sources)?;
        let layout = Layout::open(&folder.join("appliance"))?;
        setup::make(repo, &layout)?;
        let plan = Plan {
            models: dev::models_of(&layout)?,
            layout: layout.clone(),
            port: 0,
            capture: None,
        };
        let mut appliance = dev::open(repo, &plan)?;
        let pids = appliance.pids()?;
        describe::write(&layout, &appliance, pids)?;
        Ok(Self {
            appliance,
            layout,
            python,
            sources,
            guide,
            folder,
            bin: repo.bin_dir(),
            _folder: scratch,
        })
    }

    pub(super) fn url(&self) -> String {
        self.appliance.url()
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.layout.trust().join("ca.pem")
    }

    /// Certificate and key.
    pub(super) fn identity(&self, who: &str) -> [PathBuf; 2] {
        ["cert.pem", "key.pem"].map(|file| self.layout.credentials().join(who).join(file))
    }

    /// What programs are told, by the names that the guide uses.
    pub(super) fn settings(&self, command: &mut Command, suite: &Suite<'_>) {
        let [cert, key] = self.identity("bank");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.bin.display()));
        command.env("REDOUBT_DEV", self.layout.dev_json());
        command.env("REDOUBT", self.url());
        command.env("POLICY", self.layout.policy());
        command.env("CERT", cert).env("KEY", key);
        command.env("CLIENT", self.sources.join("clients/typescript"));
        command.env("PHOTO", suite.media.join("obama.jpg"));
    }
}

fn assemble(repo: &Repo, sources: &Path) -> Result<Guide> {
    let client = sources.join("clients/typescript");
    for part in ["clients/typescript", "tests/browser", "tests/contract"] {
        copy(&repo.root.join(part), &sources.join(part))?;
    }
    symlink(
        node::fetch(repo)?.join("node_modules"),
        sources.join("node_modules"),
    )?;
    let guide = guide::write(&repo.root.join("docs/integrators-guide.md"), &client)?;
    say("  compiling the TypeScript client and the guide");
    let mut compiler = Command::new("node");
    compiler.arg(sources.join("node_modules/typescript/bin/tsc"));
    process::output_of(compiler.arg("-p").arg(&client))?;
    Ok(guide)
}

/// Copies a folder's files, but nothing that was built in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        match entry.file_type()?.is_dir() {
            true if name == "node_modules" || name == "dist" => {}
            true => copy(&entry.path(), &to.join(name))?,
            false => drop(fs::copy(entry.path(), to.join(name))?),
        }
    }
    Ok(())
}
