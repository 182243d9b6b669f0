//! The record of a ceremony: a page to print, sign by hand and keep, enough to
//! recognise every file later. As text and as one page of HTML.
//!
//! Protects against a record that says something else than the manifest: all of it
//! is made from the manifest again when it is checked, except what people said of
//! themselves, which only their signatures by hand stand for.

use anyhow::{Context, bail, ensure};
use redoubt_attestation::document::VendorRoot;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::genesis::{
    Environment, Genesis, MeasuredRole, PeerEntry, RootKind, VendorRootEntry, VerifiedGenesis,
};
use time::OffsetDateTime;

mod page;

pub(super) use page::{Said, check_page, page};

struct Section {
    title: String,
    lines: Vec<Line>,
}

enum Line {
    Fact(String, String),
    /// Hexadecimal, to be compared by eye or read aloud.
    Digits(String, String),
    Plain(String),
}

fn fact(label: &str, value: impl ToString) -> Line {
    Line::Fact(label.to_owned(), value.to_string())
}

fn digits(label: impl ToString, value: impl ToString) -> Line {
    Line::Digits(label.to_string(), value.to_string())
}

/// Everything that follows from the manifest.
fn sections(manifest: &Genesis, digest: Digest32) -> Vec<Section> {
    let mut all = vec![appliance(manifest, digest), officers(manifest)];
    all.extend(peers(manifest));
    all.push(roots(manifest));
    all.extend(manifest.measurements.iter().map(|image| {
        let role = match image.role {
            MeasuredRole::Enclave => "enclave",
            MeasuredRole::Worker => "worker",
        };
        let registers = image.pcrs.iter();
        Section {
            title: format!("allowed measurements: {role}, tier {}", image.tier.name()),
            lines: registers
                .map(|(index, value)| digits(format!("PCR{index}"), value))
                .collect(),
        }
    }));
    all.push(keep());
    all
}

fn appliance(manifest: &Genesis, digest: Digest32) -> Section {
    let (k, n) = (manifest.threshold, manifest.officers.len());
    let mut lines = vec![
        digits("genesis digest", digest),
        digits("secret commitment", manifest.secret_commitment),
        fact("environment", manifest.environment.name()),
        fact("counter", manifest.counter),
        fact("created", moment(manifest.created_ms)),
        fact("threshold", format!("{k} of {n} officers")),
    ];
    if let Some(previous) = manifest.previous {
        lines.push(digits("succeeds", previous));
    }
    Section {
        title: "appliance".into(),
        lines,
    }
}

fn officers(manifest: &Genesis) -> Section {
    let officers = manifest.officers.iter();
    Section {
        title: "officers' keys (RFC 7638 thumbprints)".into(),
        lines: officers
            .map(|officer| digits(&officer.id, officer.key.thumbprint()))
            .collect(),
    }
}

/// Witnesses and custodians with their keys, where there are any.
fn peers(manifest: &Genesis) -> Vec<Section> {
    let list = |title: String, entries: &[PeerEntry]| Section {
        title,
        lines: entries
            .iter()
            .map(|peer| digits(&peer.name, peer.key.thumbprint()))
            .collect(),
    };
    let witnesses = manifest.witness_policy.map(|policy| {
        let (k, n, mode) = (policy.k, manifest.witnesses.len(), policy.mode.name());
        let title = format!("witnesses, {k} of {n} must agree, freshness {mode}");
        list(title, &manifest.witnesses)
    });
    let custodians = manifest.custodian_threshold.map(|threshold| {
        let n = manifest.custodians.len();
        let title = format!("custodians, {threshold} of {n} restore the epoch secret");
        list(title, &manifest.custodians)
    });
    witnesses.into_iter().chain(custodians).collect()
}

fn roots(manifest: &Genesis) -> Section {
    let mut lines = Vec::new();
    for entry in &manifest.vendor_roots {
        let name = match entry.kind {
            RootKind::Nitro => "AWS Nitro",
            RootKind::NitroEmulated => "emulated",
            RootKind::NitroUnsigned => "unsigned",
        };
        lines.push(match certificate(entry) {
            Some(digest) => digits(name, digest),
            None => fact(name, "no certificate"),
        });
        if manifest.environment == Environment::Emulated {
            lines.push(Line::Plain(emulation(entry.kind).to_owned()));
        }
    }
    Section {
        title: "vendor roots (SHA-256 of the certificate)".into(),
        lines,
    }
}

fn certificate(entry: &VendorRootEntry) -> Option<Digest32> {
    match (entry.kind, entry.pem.is_empty()) {
        (RootKind::Nitro, true) => VendorRoot::aws_nitro().digest(),
        (RootKind::NitroUnsigned, _) => None,
        (kind, _) => VendorRoot::from_pem(kind, &entry.pem).ok()?.digest(),
    }
}

/// What evidence is worth under a root of an emulated manifest.
const fn emulation(kind: RootKind) -> &'static str {
    match kind {
        RootKind::Nitro => "EMULATED: evidence is the vendor's, but forgeries would pass too.",
        RootKind::NitroEmulated => {
            "EMULATED: evidence is signed by a key in a file. Protects nobody."
        }
        RootKind::NitroUnsigned => "EMULATED: evidence is signed by nobody. Protects nobody.",
    }
}

fn keep() -> Section {
    let lines = [
        "Each officer takes OFFICER.share.json, and OFFICER.key.pem where one was made here,",
        "keeps both apart from each other and from those of others, and removes them here.",
        "Clients, auditors and witnesses pin policy.json. The host gets genesis.json.",
        "Whoever keeps this page compares it later with: redoubt ceremony check FOLDER",
    ];
    Section {
        title: "who keeps what".into(),
        lines: lines.map(|line| Line::Plain(line.into())).into(),
    }
}

/// The record as text.
pub(super) fn text(genesis: &VerifiedGenesis) -> String {
    draft(&genesis.manifest, genesis.digest)
}

/// The same of a manifest that nobody may have signed yet.
pub(super) fn draft(manifest: &Genesis, digest: Digest32) -> String {
    let mut text = format!("REDOUBT GENESIS RECORD: {}\n", manifest.name);
    for section in sections(manifest, digest) {
        text += &format!("\n{}\n", section.title);
        for line in section.lines {
            text += &match line {
                Line::Fact(label, value) => format!("  {label:<18} {value}\n"),
                Line::Digits(label, value) => format!("  {label:<18} {}\n", grouped(&value)),
                Line::Plain(line) => format!("  {line}\n"),
            };
        }
    }
    text
}

/// Refuses a text that is not the manifest's.
pub(super) fn check_text(found: &str, genesis: &VerifiedGenesis) -> anyhow::Result<()> {
    check_lines(found, &text(genesis))
}

fn check_lines(found: &str, expected: &str) -> anyhow::Result<()> {
    let mut lines = (1..).zip(expected.lines());
    let mut here = found.lines();
    for (number, expected) in &mut lines {
        let line = here
            .next()
            .with_context(|| format!("it ends before line {number}"))?;
        if line != expected {
            bail!(
                "line {number} says {:?}; by the manifest it says {:?}",
                without_tags(line),
                without_tags(expected)
            );
        }
    }
    ensure!(
        found == expected,
        "there is more in it than by the manifest"
    );
    Ok(())
}

fn without_tags(line: &str) -> String {
    let mut parts = line.split('<');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('>').map_or("", |(_, text)| text));
    let words = rest.fold(first, |text, part| format!("{text} {part}"));
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Groups of four, as they are read aloud.
fn groups(text: &str) -> impl Iterator<Item = String> {
    let groups = text.as_bytes().chunks(4);
    groups.map(|group| String::from_utf8_lossy(group).into_owned())
}

/// Hexadecimal in groups of four.
pub(super) fn grouped(text: &str) -> String {
    groups(text).collect::<Vec<_>>().join(" ")
}

fn moment(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds);
    at.map_or_else(
        |_| format!("{ms} (Unix milliseconds)"),
        |at| {
            let (year, month, day) = at.to_calendar_date();
            let (hour, minute, _) = at.to_hms();
            let month = u8::from(month);
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
        },
    )
}
