//! The ledger's own figures: commits, entries, subjects, restarts.

mod commits;
mod disk;
mod entries;
mod memory;
mod restart;
mod rig;
mod verify;
mod witness;
pub(crate) mod work;

use std::fmt::Arguments;

use anyhow::Result;

use crate::rows::Row;
pub(crate) use memory::Memory;
pub(crate) use rig::Rig;

/// How far the long rows go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Entries of history.
    pub(crate) entries: u64,
    /// Subjects.
    pub(crate) subjects: u64,
}

pub(crate) fn run(limits: Limits) -> Result<Vec<Row>> {
    let rig = Rig::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut rows = Vec::new();
    let mut take = |measured: Vec<Row>| {
        measured.iter().for_each(|row| say(format_args!("{row}")));
        rows.extend(measured);
    };
    take(runtime.block_on(commits::run(&rig))?);
    take(runtime.block_on(commits::run_witnessed(&rig))?);
    take(runtime.block_on(restart::bytes(&rig))?);
    take(runtime.block_on(restart::history(&rig))?);
    take(runtime.block_on(restart::subjects(&rig, limits.subjects))?);
    take(entries::batched(&rig)?);
    take(entries::run(&rig, limits.entries)?);
    Ok(rows)
}

/// A line of progress, beside the rows.
fn say(line: Arguments<'_>) {
    eprintln!("  {line}");
}
