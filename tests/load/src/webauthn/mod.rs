//! Passkeys: verification beside the bare signature check, a crowd of customers
//! with three devices each, what the time of a reply tells of a customer, and a whole
//! login beside what no implementation can leave out.

mod crowd;
mod keys;
mod strangers;
mod verification;

use anyhow::Result;

use crate::rows::Row;

pub(crate) fn run() -> Result<Vec<Row>> {
    let mut rows = verification::rows()?;
    rows.extend(crowd::rows()?);
    rows.extend(strangers::rows()?);
    rows.extend(crate::login::run()?);
    Ok(rows)
}
