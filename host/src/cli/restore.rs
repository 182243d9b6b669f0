//! `redoubt config restore`: the order by which officers let an appliance go on
//! after its disk lost the end of its ledger. Break-glass: what was lost stays
//! lost, and every receipt from then on says how often that happened.

use std::path::PathBuf;

use anyhow::ensure;
use redoubt_attestation::binding::Head;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::genesis::{OldLedger, Restore};
use serde_json::json;

use super::config::new_ledger;
use super::{Report, read_config, read_genesis};
use crate::files::write_atomically;

/// Flags of `redoubt config restore`.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// The signed genesis manifest
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The present signed configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Entries of the appliance's ledger on the disk, as `redoubt-audit ledger verify` says
    #[arg(long, value_name = "N")]
    found_size: u64,
    /// Its root at that size, hexadecimal
    #[arg(long, value_name = "HEX")]
    found_root: Digest32,
    /// Entries of the highest head that an officer or a witness remembers
    #[arg(long, value_name = "N")]
    lost_size: u64,
    /// The root of that head, hexadecimal
    #[arg(long, value_name = "HEX")]
    lost_root: Digest32,
    /// Where the plain configuration goes, for `redoubt config sign`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn restore(args: &RestoreArgs) -> anyhow::Result<Report> {
    let genesis = read_genesis(&args.genesis)?;
    let old = read_config(&args.config, &genesis)?.config;
    ensure!(
        args.lost_size >= args.found_size,
        "--lost-size {} is below --found-size {}: nothing was lost, start without a restore",
        args.lost_size,
        args.found_size
    );
    let mut config = old.clone();
    config.counter += 1;
    config.appliance_ledger = new_ledger()?;
    for tenant in &mut config.tenants {
        tenant.ledger = new_ledger()?;
    }
    let count = old.restore.as_ref().map_or(0, |restore| restore.count) + 1;
    config.restore = Some(Restore {
        count,
        ledger: old.appliance_ledger,
        found: Head {
            size: args.found_size,
            root: args.found_root,
        },
        lost: Head {
            size: args.lost_size,
            root: args.lost_root,
        },
        tenants: old
            .tenants
            .iter()
            .map(|tenant| OldLedger {
                tenant: tenant.id.clone(),
                ledger: tenant.ledger,
            })
            .collect(),
    });
    config.validate()?;
    let bytes = serde_json::to_vec_pretty(&config)?;
    write_atomically(&args.out, &bytes)?;
    let out = args.out.display().to_string();
    let text = format!(
        "{out}: restore number {count}, {} entries lost.\n\
         Each officer checks both heads, then signs it: redoubt config sign",
        args.lost_size - args.found_size
    );
    let json = json!({ "out": out, "restore_count": count, "counter": config.counter });
    Ok(Report::yes(text, json))
}
