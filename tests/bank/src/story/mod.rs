//! The story of one customer, told against a running appliance.
//!
//! Part one registers, enrols, verifies, locks and approves; part two comes
//! after everything was killed and started again, and shows that nothing
//! acknowledged was lost and nothing spent came back.

mod part_one;
mod part_two;
mod report;
mod state;

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::client::{Bank, Connection};
use crate::dev::Dev;
use crate::media::Media;
use crate::receipts::Auditor;

pub use report::{Report, Step};
pub use state::State;

/// What a telling of the story needs.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The appliance.
    pub dev: Dev,
    /// Folder of sample photographs.
    pub media: PathBuf,
    /// `redoubt-audit`
    pub audit_bin: PathBuf,
    /// `redoubt-bank`, to run the auditor without sockets.
    pub bank_bin: PathBuf,
    /// The report; part two adds to part one's.
    pub report: PathBuf,
}

/// Which parts to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Up to the kill.
    One,
    /// After the restart.
    Two,
}

impl Setting {
    /// Folder for what the story leaves behind: state, markers, samples, artefact.
    pub fn folder(&self) -> PathBuf {
        let parent = self.report.parent().map(PathBuf::from);
        parent
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or_else(|| ".".into())
    }

    fn bank(&self) -> Result<Bank> {
        Bank::open(&Connection::from_dev(
            &self.dev,
            Some(&self.dev.bank),
            false,
        )?)
    }

    fn second_bank(&self) -> Result<Bank> {
        Bank::open(&Connection::from_dev(
            &self.dev,
            Some(&self.dev.bank2),
            true,
        )?)
    }

    fn auditor(&self) -> Auditor {
        Auditor {
            program: self.audit_bin.clone(),
            trust: self.dev.trust_dir(),
            without_sockets: Some(self.bank_bin.clone()),
        }
    }
}

/// Tells one part, or both without a kill between them. The report is written
/// whatever happens.
pub async fn tell(setting: &Setting, part: Option<Part>) -> Result<()> {
    std::fs::create_dir_all(setting.folder())?;
    let mut report = match part {
        Some(Part::Two) => Report::read(&setting.report)?,
        _ => Report::default(),
    };
    let outcome = tell_into(setting, part, &mut report).await;
    report.write(&setting.report)?;
    outcome
}

async fn tell_into(setting: &Setting, part: Option<Part>, report: &mut Report) -> Result<()> {
    let media = Media::read(&setting.media).context("sample media")?;
    if part != Some(Part::Two) {
        part_one::tell(setting, &media, report).await?;
    }
    if part != Some(Part::One) {
        part_two::tell(setting, &media, report).await?;
    }
    Ok(())
}
