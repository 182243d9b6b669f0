//! The record as one page of HTML, to be printed: it loads nothing and runs nothing.

use redoubt_attestation::genesis::VerifiedGenesis;

use super::{Line, Section, check_lines, groups, sections};

/// What no manifest holds: where people met, who they are, where each key is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Said {
    place: String,
    observers: String,
    /// Name and whereabouts of the key, in the manifest's order of officers.
    officers: Vec<(String, String)>,
}

/// The record as one page of HTML that loads nothing and runs nothing.
pub(in crate::cli) fn page(genesis: &VerifiedGenesis, said: &Said) -> String {
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
    pub(in crate::cli) fn new(place: &str, observers: &str, officers: &[(String, String)]) -> Self {
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
pub(in crate::cli) fn check_page(found: &str, genesis: &VerifiedGenesis) -> anyhow::Result<()> {
    let said = Said::read(found, genesis.manifest.officers.len());
    check_lines(found, &page(genesis, &said))
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
