//! `redoubt ceremony check`: a record beside the manifest that it is of.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use redoubt_attestation::genesis::{ClientPolicy, VerifiedGenesis};
use serde_json::json;

use crate::cli::ceremony::{RECORD_PAGE, RECORD_TEXT};
use crate::cli::genesis::thumbprints;
use crate::cli::{Report, read, read_genesis, read_text, record};

/// Flags of `redoubt ceremony check`.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The folder of a ceremony, or one record of it (record.html, record.txt)
    #[arg(value_name = "DIR|RECORD")]
    path: PathBuf,
    /// The signed manifest [default: genesis.json beside the record]
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<Report> {
    let whole = args.path.is_dir();
    let folder = match whole {
        true => args.path.clone(),
        false => args.path.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let beside = || folder.join("genesis.json");
    let genesis = read_genesis(&args.genesis.clone().unwrap_or_else(beside))?;
    let checked = match whole {
        true => check_folder(&folder, &genesis)?,
        false => vec![check_record(&args.path, &genesis)?],
    };
    let signers: Vec<String> = genesis.envelope.signers().collect();
    let text = format!(
        "{}\nchecked: {} say what this manifest says, which is signed by {}\n",
        record::text(&genesis),
        checked.join(", "),
        signers.join(", ")
    );
    let json = json!({
        "ok": true,
        "genesis": genesis.digest,
        "counter": genesis.manifest.counter,
        "officers": thumbprints(&genesis),
        "signed_by": signers,
        "checked": checked,
    });
    Ok(Report::yes(text, json))
}

fn check_folder(folder: &Path, genesis: &VerifiedGenesis) -> anyhow::Result<Vec<String>> {
    let mut checked = Vec::new();
    for name in [RECORD_PAGE, RECORD_TEXT] {
        checked.push(check_record(&folder.join(name), genesis)?);
    }
    let policy = folder.join("policy.json");
    let (pinned, _) =
        ClientPolicy::verify(&read(&policy)?).with_context(|| policy.display().to_string())?;
    ensure!(
        pinned.genesis == genesis.digest,
        "{}: pins manifest {}, not {}",
        policy.display(),
        pinned.genesis,
        genesis.digest
    );
    checked.push("policy.json".into());
    Ok(checked)
}

fn check_record(path: &Path, genesis: &VerifiedGenesis) -> anyhow::Result<String> {
    let found = read_text(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let outcome = match path.extension().is_some_and(|end| end == "txt") {
        true => record::check_text(&found, genesis),
        false => record::check_page(&found, genesis),
    };
    outcome.with_context(|| format!("{}: is not the record of this manifest", path.display()))?;
    Ok(name.into_owned())
}
