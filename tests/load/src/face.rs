//! Face verification alone: the 95th percentile beside its bound of 300 ms.

use std::time::Duration;

use anyhow::{Result, bail};
use redoubt_bank::load::{Kind, Plan};
use redoubt_e2e::{Appliance, Environment, Options};

use crate::rows::Row;

const BOUND_MS: f64 = 300.0;

pub(crate) fn run() -> Result<Vec<Row>> {
    let Some(environment) = Environment::with_media("face") else {
        bail!("start this with cargo xtask bench")
    };
    let appliance = Appliance::serving(&environment, Options::default())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let bank = appliance.bank(&appliance.banks.a)?;
    [1usize, 8]
        .into_iter()
        .map(|clients| {
            let dir = tempfile::tempdir()?;
            let plan = Plan {
                kind: Kind::Verify,
                clients,
                duration: Duration::from_secs(10),
                media: environment.media_dir().cloned(),
                receipts: dir.path().join("receipts"),
            };
            let measured = runtime.block_on(redoubt_bank::load::run(&bank, &plan))?;
            if measured.ok == 0 {
                bail!("no verification succeeded: {:?}", measured.errors);
            }
            let name = format!("p95 of a face verification, {clients} clients, against its bound");
            Ok(Row::new(name, measured.p95_ms, BOUND_MS, "ms", measured.ok))
        })
        .collect()
}
