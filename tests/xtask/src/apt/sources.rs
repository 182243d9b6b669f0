//! Where this machine gets its Debian packages, as apt's own files say it.
//!
//! Protects against a mirror's name in this repository and against packages of
//! another suite slipping in: what is wanted is derived from what is configured,
//! and suites that were not asked for are left out.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::NotHere;

/// What to take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// Programs and libraries of the running release with its updates; no backports.
    Binaries,
    /// Sources of one suite.
    Sources(&'a str),
}

/// One entry of apt's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Lines of a deb822 stanza, without comments.
    lines: Vec<String>,
}

/// Writes into `dir` the entries of this machine that serve `wanted`.
pub(crate) fn write(wanted: Wanted<'_>, dir: &Path) -> Result<()> {
    let release = codename(&fs::read_to_string("/etc/os-release").unwrap_or_default())
        .ok_or_else(|| lacks("/etc/os-release names no VERSION_CODENAME: this needs Debian"))?;
    let mut entries = Vec::new();
    for (path, text) in configured(Path::new("/etc/apt"))? {
        let is_list = path.ends_with(".list");
        entries.extend(if is_list {
            one_line(&text)
        } else {
            stanzas(&text)
        });
    }
    let taken: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry.serving(wanted, &release))
        .collect();
    if taken.is_empty() {
        let why = format!("/etc/apt names no source of Debian {release}; add one of this suite");
        return Err(lacks(&why));
    }
    fs::write(dir.join("wanted.sources"), taken.join("\n"))?;
    Ok(())
}

fn lacks(why: &str) -> anyhow::Error {
    NotHere(why.into()).into()
}

fn configured(apt: &Path) -> Result<Vec<(String, String)>> {
    let mut paths = vec![apt.join("sources.list")];
    if let Ok(listed) = fs::read_dir(apt.join("sources.list.d")) {
        paths.extend(listed.flatten().map(|entry| entry.path()));
    }
    paths.sort();
    paths.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        path.is_file() && matches!(extension, Some("list" | "sources"))
    });
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok((path.display().to_string(), text))
    };
    paths.iter().map(read).collect()
}

fn codename(os_release: &str) -> Option<String> {
    let line = |line: &str| {
        let name = line.strip_prefix("VERSION_CODENAME=")?;
        Some(name.trim_matches('"').to_owned())
    };
    os_release.lines().find_map(line)
}

/// Entries of the deb822 format.
fn stanzas(text: &str) -> Vec<Entry> {
    let kept = |line: &&str| !line.starts_with('#');
    let blocks = text.split("\n\n");
    blocks
        .map(|block| Entry {
            lines: block.lines().filter(kept).map(str::to_owned).collect(),
        })
        .filter(|entry| entry.field("URIs").is_some())
        .collect()
}

/// Entries of the old format, `deb [options] URI suite components…`, as stanzas.
fn one_line(text: &str) -> Vec<Entry> {
    text.lines().filter_map(one_entry).collect()
}

fn one_entry(line: &str) -> Option<Entry> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let components: Vec<_> = words.collect();
    let mut lines = vec![
        format!("Types: {kind}"),
        format!("URIs: {uri}"),
        format!("Suites: {suite}"),
        format!("Components: {}", components.join(" ")),
    ];
    let signer = |option: &str| option.strip_prefix("signed-by=").map(str::to_owned);
    if let Some(keyring) = options.split_whitespace().find_map(signer) {
        lines.push(format!("Signed-By: {keyring}"));
    }
    Some(Entry { lines })
}

impl Entry {
    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.lines.iter();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }

    /// This entry narrowed to what is wanted, or nothing if it serves none of it.
    fn serving(&self, wanted: Wanted<'_>, release: &str) -> Option<String> {
        if self.field("Enabled") == Some("no") {
            return None;
        }
        let has = |name, word: &str| {
            let words = self.field(name).unwrap_or_default();
            words.split_whitespace().any(|found| found == word)
        };
        if !has("Components", "main") {
            return None;
        }
        let (types, suites) = match wanted {
            Wanted::Binaries => ("deb", self.own_suites(release)),
            // Backports and updates live in the archive that has the release itself.
            Wanted::Sources(suite) if has("Suites", release) => ("deb-src", suite.to_owned()),
            Wanted::Sources(_) => return None,
        };
        if suites.is_empty() || (types == "deb" && !has("Types", "deb")) {
            return None;
        }
        let mut out = format!("Types: {types}\nSuites: {suites}\nComponents: main\n");
        let mut kept = false;
        for line in &self.lines {
            if !line.starts_with([' ', '\t']) {
                kept = ["URIs:", "Signed-By:"]
                    .iter()
                    .any(|name| line.starts_with(name));
            }
            if kept {
                out += line;
                out.push('\n');
            }
        }
        Some(out)
    }

    fn own_suites(&self, release: &str) -> String {
        let listed = self.field("Suites").unwrap_or_default();
        let own = |suite: &&str| {
            let rest = suite.strip_prefix(release);
            matches!(rest, Some("" | "-updates" | "-security"))
        };
        listed
            .split_whitespace()
            .filter(own)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "\
Types: deb
# a remark
URIs: scheme://mirror/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By:
 -----BEGIN
 key
Trusted: yes

Types: deb
URIs: scheme://other/apt
Suites: nodistro
Components: main
";
    const OLD: &str = "\
# deb scheme://mirror/debian bookworm main
deb [arch=amd64 signed-by=/keys/a.gpg] scheme://mirror/debian bookworm main
deb-src scheme://mirror/debian bookworm main
deb scheme://mirror/debian bookworm-backports main
";

    fn taken(entries: Vec<Entry>, wanted: Wanted<'_>) -> Vec<String> {
        let serving = |entry: &Entry| entry.serving(wanted, "bookworm");
        entries.iter().filter_map(serving).collect()
    }

    #[test]
    fn binaries_come_from_the_running_release_without_backports() {
        let expected = "Types: deb\nSuites: bookworm bookworm-updates\nComponents: main\n\
            URIs: scheme://mirror/debian\nSigned-By:\n -----BEGIN\n key\n";
        assert_eq!(taken(stanzas(NEW), Wanted::Binaries), [expected]);
        let expected = "Types: deb\nSuites: bookworm\nComponents: main\n\
            URIs: scheme://mirror/debian\nSigned-By: /keys/a.gpg\n";
        assert_eq!(taken(one_line(OLD), Wanted::Binaries), [expected]);
    }

    #[test]
    fn sources_of_a_suite_come_from_the_archive_of_the_release() {
        let wanted = Wanted::Sources("bookworm-backports");
        let found = taken(stanzas(NEW), wanted);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("Types: deb-src\nSuites: bookworm-backports\n"));
        assert!(!taken(one_line(OLD), wanted).is_empty());
    }

    #[test]
    fn a_disabled_entry_is_left_out() {
        let text = NEW.replacen("Trusted", "Enabled: no\nTrusted", 1);
        assert!(taken(stanzas(&text), Wanted::Binaries).is_empty());
    }

    #[test]
    fn the_release_is_read_as_it_is_written() {
        let text = "NAME=\"Debian\"\nVERSION_CODENAME=bookworm\n";
        assert_eq!(codename(text).as_deref(), Some("bookworm"));
        assert_eq!(codename(""), None);
    }
}
