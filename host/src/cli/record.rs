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

/// What no manifest holds: where people met, who they are, where each key is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) place: String,
    pub(super) observers: String,
    /// Name and whereabouts of the key, in the manifest's order of officers.
    pub(super) officers: Vec<(String, String)>,
}

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

/// The record as one page of HTML that loads nothing and runs nothing.
pub(super) fn page(genesis: &VerifiedGenesis, said: &Said) -> String {
    let name = escaped(&genesis.manifest.name);
    let place = if said.place.is_empty() {
        "&#160;"
    } else {
        &said.place
    };
    let observers = if said.observers.is_empty() {
        "&#160;"
    } else {
        &said.observers
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\">\n<title>Genesis record: {name}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>Genesis record: {name}</h1>\n<table>\n\
         <tr><th>place</th><td class=\"said\">{place}</td></tr>\n\
         <tr><th>observers</th><td class=\"said\">{observers}</td></tr>\n</table>\n"
    );
    for section in sections(&genesis.manifest, genesis.digest) {
        page += &html(&section);
    }
    page += &participants(genesis, said);
    page + "</body>\n</html>\n"
}

/// Groups of digits on one line of the page.
const LINE: usize = 8;

const STYLE: &str = "
@page { size: A4; margin: 16mm; }
body { font: 10.5pt/1.35 sans-serif; color: #000; background: #fff; max-width: 180mm; margin: auto; }
h1 { font-size: 16pt; } h2 { font-size: 11.5pt; margin: 5mm 0 1mm; }
section { break-inside: avoid; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.8mm 2mm 0.8mm 0; border-bottom: 0.2mm solid #bbb; }
th { width: 40mm; font-weight: normal; }
.digits { font-family: monospace; font-size: 10pt; }
.digits span { display: inline-block; margin-right: 2mm; }
.sign td, .sign th { height: 13mm; vertical-align: bottom; }
p { margin: 0.5mm 0; }
";

fn html(section: &Section) -> String {
    let mut rows = String::new();
    let mut plain = String::new();
    for line in &section.lines {
        match line {
            Line::Fact(label, value) => {
                let (label, value) = (escaped(label), escaped(value));
                rows += &format!("<tr><th>{label}</th><td>{value}</td></tr>\n");
            }
            Line::Digits(label, value) => {
                let label = escaped(label);
                let groups: Vec<_> = groups(value).collect();
                let lines = groups
                    .chunks(LINE)
                    .map(|line| format!("<span>{}</span>", line.join("</span> <span>")));
                let groups = lines.collect::<Vec<_>>().join("<br>");
                rows += &format!("<tr><th>{label}</th><td class=\"digits\">{groups}</td></tr>\n");
            }
            Line::Plain(line) => plain += &format!("<p>{}</p>\n", escaped(line)),
        }
    }
    let title = escaped(&section.title);
    format!("<section>\n<h2>{title}</h2>\n<table>\n{rows}</table>\n{plain}</section>\n")
}

fn participants(genesis: &VerifiedGenesis, said: &Said) -> String {
    let mut rows = String::new();
    let mut lines = String::new();
    for (at, officer) in genesis.manifest.officers.iter().enumerate() {
        let (name, key) = said.officers.get(at).cloned().unwrap_or_default();
        let id = escaped(&officer.id);
        rows += &format!(
            "<tr><th>{id}</th><td class=\"said\">{name}</td><td class=\"said\">{key}</td>\
             <td>{id}.share.json</td></tr>\n"
        );
        lines += &format!("<tr><th>{id}</th><td></td><td></td></tr>\n");
    }
    format!(
        "<section>\n<h2>officers</h2>\n<table>\n\
         <tr><th></th><td>name</td><td>keeps: signing key</td><td>and share</td></tr>\n{rows}</table>\n</section>\n\
         <section>\n<h2>signatures</h2>\n\
         <p>I compared the digits above with those of my own key and of the images I reviewed, and I \
         have taken what is mine.</p>\n<table class=\"sign\">\n\
         <tr><th></th><td>signature</td><td>date</td></tr>\n{lines}\
         <tr><th>observer</th><td></td><td></td></tr>\n</table>\n</section>\n"
    )
}

impl Said {
    /// From what people typed.
    pub(super) fn new(place: &str, observers: &str, officers: &[(String, String)]) -> Self {
        let officers = officers.iter();
        Self {
            place: escaped(place),
            observers: escaped(observers),
            officers: officers
                .map(|(name, key)| (escaped(name), escaped(key)))
                .collect(),
        }
    }

    /// From a page that was made before.
    fn read(page: &str, officers: usize) -> Self {
        let cells = page.split("class=\"said\">").skip(1);
        let mut cells = cells.map(|rest| rest.split('<').next().unwrap_or_default().to_owned());
        let mut next = || {
            cells
                .next()
                .filter(|cell| cell != "&#160;")
                .unwrap_or_default()
        };
        let (place, observers) = (next(), next());
        let officers = (0..officers).map(|_| (next(), next())).collect();
        Self {
            place,
            observers,
            officers,
        }
    }
}

/// Refuses a page that is not the manifest's, naming the first line that differs.
pub(super) fn check_page(found: &str, genesis: &VerifiedGenesis) -> anyhow::Result<()> {
    let said = Said::read(found, genesis.manifest.officers.len());
    check_lines(found, &page(genesis, &said))
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

/// For HTML, on one line.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.trim().chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
