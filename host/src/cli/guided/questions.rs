//! What a founding ceremony asks, and what is a good answer.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{LEASE_MS, MeasuredRole, Measurement};
use redoubt_attestation::sign::Es256Signer;

use super::NOTES;
use super::answers::Answers;
use crate::cli::ceremony::{SECRET, Signers};
use crate::cli::genesis::Kind;
use crate::cli::images;
use crate::cli::peers::{Freshness, PeerArgs, entry};
use crate::cli::record::Said;
use crate::cli::signing::OfficerKey;
use crate::cli::token;
use crate::files::{sync_folder, write_new};

/// The answer that makes a key.
const NEW: &str = "new";
const NONE: &str = "none";

/// What was answered, but for the officers' keys.
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) threshold: u8,
    pub(super) measurements: Vec<Measurement>,
    pub(super) peers: PeerArgs,
}

/// Asks everything. New keys are in `dir` before this returns.
pub(super) fn ask(dir: &Path, answers: &mut Answers<'_>) -> anyhow::Result<(Plan, Signers)> {
    let name = answers.get("name", "The appliance's name", None, |text| {
        ensure!((1..=128).contains(&text.len()), "use 1 to 128 bytes");
        Ok(text.to_owned())
    })?;
    let free = |text: &str| Ok(text.to_owned());
    answers.get(
        "place",
        "Where this is held (for the record)",
        Some(""),
        free,
    )?;
    answers.get("observers", "Who looks on (for the record)", Some(""), free)?;
    let question = "hardware, emulated (programs) or emulated_machine (images in QEMU)";
    let kind = answers.get("environment", question, Some("hardware"), kind)?;
    let measurements = measurements(kind, answers)?;
    let count = answers.get("officers", "How many officers", None, number(1, 255))?;
    let question = "How many of them unseal and sign";
    let threshold = answers.get("threshold", question, None, number(1, count.into()))?;
    let peers = peers(answers)?;
    let plan = Plan {
        name,
        kind,
        threshold,
        measurements,
        peers,
    };
    let mut keys = Signers::new();
    for id in (1..=count).map(|n| format!("officer-{n}")) {
        answers.get(
            &format!("{id}.name"),
            &format!("Name of {id}"),
            Some(""),
            free,
        )?;
        let key = distinct_key(dir, &id, &keys, answers)?;
        keys.push((id, key));
    }
    Ok((plan, keys))
}

fn kind(text: &str) -> anyhow::Result<Kind> {
    match text {
        "hardware" => Ok(Kind::Hardware),
        "emulated" => Ok(Kind::Emulated),
        "emulated_machine" => Ok(Kind::EmulatedMachine),
        _ => anyhow::bail!("write hardware, emulated or emulated_machine"),
    }
}

/// A number in a range, both ends included.
fn number(low: u64, high: u64) -> impl Fn(&str) -> anyhow::Result<u8> {
    move |text| {
        let number: u64 = text.parse().context("write a number")?;
        ensure!((low..=high).contains(&number), "write {low} to {high}");
        Ok(u8::try_from(number)?)
    }
}

fn measurements(kind: Kind, answers: &mut Answers<'_>) -> anyhow::Result<Vec<Measurement>> {
    let measured = |role| {
        move |file: &str| match kind {
            Kind::Emulated => images::program(role, Path::new(file)),
            Kind::Hardware | Kind::EmulatedMachine => images::image(role, Path::new(file)),
        }
    };
    let what = match kind {
        Kind::Emulated => "program file",
        _ => "measurements, as cargo xtask image --json writes them",
    };
    let question = format!("The enclave's {what}");
    let enclave = answers.get("enclave", &question, None, measured(MeasuredRole::Enclave))?;
    let question = format!("The worker's {what}, or none");
    let worker = answers.get("worker", &question, Some(NONE), |text| match text {
        NONE => Ok(None),
        file => measured(MeasuredRole::Worker)(file).map(Some),
    })?;
    Ok([Some(enclave), worker].into_iter().flatten().collect())
}

fn peers(answers: &mut Answers<'_>) -> anyhow::Result<PeerArgs> {
    let list = "entries of redoubt-audit witness --init, files separated by commas, or none";
    let witness = answers.get(
        "witnesses",
        &format!("Witnesses: {list}"),
        Some(NONE),
        files,
    )?;
    let mut peers = PeerArgs {
        witness,
        witness_k: None,
        witness_f: 0,
        freshness: Freshness::Strict,
        lease_ms: 2000,
        custodian: vec![],
        custodian_threshold: None,
    };
    let n = peers.witness.len() as u64;
    if n > 0 {
        let question = "How many of them may fail or lie";
        peers.witness_f = answers.get("witness_f", question, Some("0"), number(0, n - 1))?;
        let fewest = (n + u64::from(peers.witness_f)) / 2 + 1;
        let question = "How many of them must agree";
        let default = fewest.to_string();
        let k = answers.get("witness_k", question, Some(&default), number(fewest, n))?;
        peers.witness_k = Some(k);
        let question = "Answers are strict, or go out within a lease";
        peers.freshness = answers.get("freshness", question, Some("strict"), |text| {
            Freshness::from_str(text, false).map_err(|_| anyhow::anyhow!("write strict or lease"))
        })?;
        let question = "How long a witness's word is good for, milliseconds";
        peers.lease_ms = answers.get("lease_ms", question, Some("2000"), |text| {
            let ms = text.parse().context("write a number")?;
            ensure!(LEASE_MS.contains(&ms), "write 200 to 60000");
            Ok(ms)
        })?;
    }
    let question = format!("Custodians: {list}");
    peers.custodian = answers.get("custodians", &question, Some(NONE), files)?;
    let n = peers.custodian.len() as u64;
    if n > 0 {
        let question = "How many of them restore the epoch secret";
        let default = (n / 2 + 1).to_string();
        let t = answers.get(
            "custodian_threshold",
            question,
            Some(&default),
            number(1, n),
        )?;
        peers.custodian_threshold = Some(t);
    }
    Ok(peers)
}

/// Entries of peers that can be read and differ.
fn files(text: &str) -> anyhow::Result<Vec<PathBuf>> {
    if text == NONE || text.is_empty() {
        return Ok(vec![]);
    }
    let files: Vec<PathBuf> = text.split(',').map(|file| file.trim().into()).collect();
    let mut keys = BTreeSet::new();
    for file in &files {
        let peer = entry(file)?;
        let new = keys.insert(peer.key.thumbprint().to_string());
        ensure!(new, "{}: this key was named before", file.display());
    }
    Ok(files)
}

/// An officer's key, which no other officer has.
fn distinct_key(
    dir: &Path,
    id: &str,
    others: &Signers,
    answers: &mut Answers<'_>,
) -> anyhow::Result<OfficerKey> {
    let opened = RefCell::new(None);
    answers.get(&format!("{id}.key"), &question(id), Some(NEW), |place| {
        let key = open(dir, id, place)?;
        let same = others.iter().find(|(_, other)| other.jwk() == key.jwk());
        if let Some((other, _)) = same {
            anyhow::bail!("the same key as that of {other}: one key, one voice");
        }
        opened.replace(Some(key));
        Ok(())
    })?;
    opened.into_inner().context("no key")
}

/// The key that was named when the ceremony began.
pub(super) fn key(dir: &Path, id: &str, answers: &mut Answers<'_>) -> anyhow::Result<OfficerKey> {
    answers.get(&format!("{id}.key"), &question(id), None, |place| {
        open(dir, id, place)
    })
}

fn question(id: &str) -> String {
    format!(
        "Key of {id}: new, a file, or \
         pkcs11:token=LABEL;object=LABEL?module-path=FILE (its PIN is asked for)"
    )
}

fn open(dir: &Path, id: &str, place: &str) -> anyhow::Result<OfficerKey> {
    if place != NEW {
        return OfficerKey::open(place);
    }
    let file = dir.join(format!("{id}.key.pem"));
    if !file.exists() {
        let pem = Es256Signer::generate(&SystemEntropy)?.expose_pkcs8_pem()?;
        // Half a key must not be taken for one.
        let partial = dir.join(NOTES).join("new.key.pem");
        if partial.exists() {
            std::fs::remove_file(&partial)?;
        }
        write_new(&partial, pem.as_bytes(), SECRET)?;
        std::fs::rename(&partial, &file)?;
        sync_folder(dir)?;
    }
    OfficerKey::open(&file.to_string_lossy())
}

/// Shows every answer; whoever sits at a terminal says that they are right.
pub(super) fn confirm(answers: &mut Answers<'_>) -> anyhow::Result<()> {
    let summary = answers.summary();
    answers
        .person
        .tell(&format!("\nThis is what will be signed:\n{summary}"));
    let said = answers.person.answer("Is all of it right? Write yes:")?;
    ensure!(
        said.is_none_or(|said| said == "yes"),
        "stopped before anything was signed; the answers are kept in the draft, remove it to \
         begin anew"
    );
    Ok(())
}

/// What the record says of people.
pub(super) fn said<'o>(
    officers: impl Iterator<Item = &'o str>,
    answers: &Answers<'_>,
) -> anyhow::Result<Said> {
    let officers = officers.map(|id| {
        let key = answers.text(&format!("{id}.key"));
        let place = match &*key {
            NEW => format!("{id}.key.pem, made here"),
            uri if uri.starts_with(token::SCHEME) => token::described(uri)?,
            file => format!("file {file}"),
        };
        Ok((answers.text(&format!("{id}.name")), place))
    });
    let officers: Vec<_> = officers.collect::<anyhow::Result<_>>()?;
    Ok(Said::new(
        &answers.text("place"),
        &answers.text("observers"),
        &officers,
    ))
}
