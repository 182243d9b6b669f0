//! `redoubt ceremony`: founds an appliance, question by question.
//!
//! Protects against a ceremony that is lost half way: each answer, each new key and
//! each signature is on disk before the next step, in a draft beside the folder to be
//! made; the same command goes on where it stopped. From the moment the manifest is
//! written nothing in it changes any more, and the folder gets its name only when
//! every officer has signed.

mod answers;
mod check;
mod questions;

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use redoubt_attestation::encode::sha256;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{Genesis, Officer, SignedFile, VerifiedGenesis};
use redoubt_attestation::shares::OfficersSecret;
use serde_json::json;

use super::ask::{Person, Terminal};
use super::ceremony::{
    RECORD_PAGE, Signers, officers, refuse_existing, write_public, write_shares,
};
use super::genesis::{Founding, thumbprints};
use super::record::{self, grouped};
use super::signing::OfficerKey;
use super::{Report, read};
use crate::files::{sync_folder, write_atomically};
use answers::Answers;

/// Flags of `redoubt ceremony`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct CeremonyArgs {
    #[command(subcommand)]
    command: Option<CeremonyCommand>,
    /// Folder to make; its draft, OUT.draft, is gone on with if the ceremony was interrupted
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
    /// Answers, a JSON object by the questions' names; what is not in it is asked
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum CeremonyCommand {
    /// Compare a record with the manifest it is of, digit by digit
    Check(check::CheckArgs),
}

pub(super) fn ceremony(args: &CeremonyArgs) -> anyhow::Result<Report> {
    match (&args.command, &args.out) {
        (Some(CeremonyCommand::Check(args)), _) => check::check(args),
        (None, Some(out)) => hold(out, args.answers.as_deref(), &mut Terminal),
        (None, None) => anyhow::bail!("--out DIR is missing"),
    }
}

fn hold(out: &Path, given: Option<&Path>, person: &mut dyn Person) -> anyhow::Result<Report> {
    refuse_existing(out)?;
    let draft = Draft::open(out)?;
    let mut answers = Answers::open(draft.notes("answers.json"), given, person)?;
    let (mut signed, keys) = match draft.begun()? {
        Some(signed) => {
            answers.person.tell("going on where it was interrupted");
            (signed, Signers::new())
        }
        None => draft.begin(&mut answers)?,
    };
    draft.sign(&mut signed, keys, &mut answers)?;
    let genesis = Genesis::verify(&signed.to_json())?;
    let ids = genesis.manifest.officers.iter().map(|officer| &*officer.id);
    let said = questions::said(ids, &answers)?;
    write_public(&draft.dir, &genesis, &[], &said)?;
    draft.finish(out)?;
    Ok(report(out, &genesis))
}

fn report(out: &Path, genesis: &VerifiedGenesis) -> Report {
    let page = out.join(RECORD_PAGE);
    let text = format!(
        "{}\nPrint {} and sign it by hand.\n",
        record::text(genesis),
        page.display()
    );
    let json = json!({
        "out": out.display().to_string(),
        "genesis": genesis.digest,
        "environment": genesis.manifest.environment,
        "threshold": genesis.manifest.threshold,
        "officers": thumbprints(genesis),
        "record": page.display().to_string(),
    });
    Report::yes(text, json)
}

/// A ceremony that is not over.
struct Draft {
    dir: PathBuf,
    _alone: File,
}

impl Draft {
    fn open(out: &Path) -> anyhow::Result<Self> {
        let mut name = out.as_os_str().to_owned();
        name.push(".draft");
        let dir = PathBuf::from(name);
        let notes = dir.join(NOTES);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&notes);
        made.with_context(|| notes.display().to_string())?;
        let lock = File::create(notes.join("lock"))?;
        ensure!(
            lock.try_lock().is_ok(),
            "{}: somebody holds this ceremony already",
            dir.display()
        );
        Ok(Self { dir, _alone: lock })
    }

    /// What only this command needs.
    fn notes(&self, name: &str) -> PathBuf {
        self.dir.join(NOTES).join(name)
    }

    /// The manifest with the signatures it has, if it is written.
    fn begun(&self) -> anyhow::Result<Option<SignedFile>> {
        let file = self.notes(SIGNED);
        if !file.exists() {
            return Ok(None);
        }
        let signed = SignedFile::parse(&read(&file)?);
        Ok(Some(signed.with_context(|| file.display().to_string())?))
    }

    /// Everything is asked, then everything is made; the manifest is written last.
    fn begin(&self, answers: &mut Answers<'_>) -> anyhow::Result<(SignedFile, Signers)> {
        let (plan, keys) = questions::ask(&self.dir, answers)?;
        answers.none_left()?;
        questions::confirm(answers)?;
        self.clear()?;
        let founding = Founding {
            name: plan.name,
            kind: plan.kind,
            threshold: plan.threshold,
            officers: officers(&keys).collect(),
            measurements: plan.measurements,
            peers: &plan.peers,
        };
        let secret = OfficersSecret::generate(&SystemEntropy)?;
        let manifest = founding.manifest(secret.commitment(), &self.dir)?;
        let payload = serde_json::to_vec(&manifest)?;
        write_shares(&self.dir, &manifest, sha256(&[&payload]), &secret)?;
        sync_folder(&self.dir)?;
        let signed = SignedFile::unsigned(&payload);
        self.keep(&signed)?;
        Ok((signed, keys))
    }

    /// What an attempt that did not get as far as the manifest left; nobody has it.
    fn clear(&self) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(".share.json") {
                std::fs::remove_file(path)?;
            } else if path.ends_with("emulated") {
                std::fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    fn keep(&self, signed: &SignedFile) -> anyhow::Result<()> {
        write_atomically(&self.notes(SIGNED), &signed.to_json())?;
        Ok(sync_folder(&self.notes(""))?)
    }

    /// Everybody signs; whoever has is not asked again. `keys` are those at hand.
    fn sign(
        &self,
        signed: &mut SignedFile,
        keys: Signers,
        answers: &mut Answers<'_>,
    ) -> anyhow::Result<()> {
        let manifest: Genesis = serde_json::from_slice(&signed.payload()?)?;
        let digest = signed.digest()?;
        answers.person.tell(&record::draft(&manifest, digest));
        let digest = grouped(&digest.to_string());
        let have: Vec<String> = signed.signers().collect();
        let mut keys: BTreeMap<String, OfficerKey> = keys.into_iter().collect();
        for Officer { id, key: expected } in &manifest.officers {
            if have.contains(id) {
                continue;
            }
            let key = match keys.remove(id) {
                Some(key) => key,
                None => questions::key(&self.dir, id, answers)?,
            };
            ensure!(
                key.jwk() == expected,
                "{id}: this is another key than at the beginning of the ceremony"
            );
            let question = format!("{id}: the manifest's digest is\n  {digest}\nEnter signs it:");
            answers.person.answer(&question)?;
            key.sign(signed, id)?;
            self.keep(signed)?;
        }
        Ok(())
    }

    fn finish(self, out: &Path) -> anyhow::Result<()> {
        sync_folder(&self.dir)?;
        std::fs::rename(&self.dir, out).with_context(|| out.display().to_string())?;
        let _ = std::fs::remove_dir_all(out.join(NOTES));
        Ok(())
    }
}

const NOTES: &str = ".ceremony";
const SIGNED: &str = "manifest.signed.json";

#[cfg(test)]
mod tests;
