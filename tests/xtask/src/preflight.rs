//! What must be installed before anything else makes sense.
//!
//! Protects against failing one missing tool at a time: everything that lacks is
//! named in one message, with the one line that installs it. What only building
//! images and later work need does not keep anybody from the demo.

use std::process::Command;

use anyhow::{Result, bail};

use crate::say;

/// A program with the least version that works.
struct Tool {
    name: &'static str,
    probe: &'static [&'static str],
    least: (u32, u32),
    /// Debian packages; empty for Rust, which comes from rustup.
    packages: &'static [&'static str],
    /// Whether fetching and building stop without it.
    vital: bool,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "rustc",
        probe: &["rustc", "--version"],
        least: (1, 92),
        packages: &[],
        vital: true,
    },
    Tool {
        name: "python3",
        probe: &["python3", "--version"],
        least: (3, 11),
        packages: &["python3"],
        vital: true,
    },
    Tool {
        name: "pip (python3 -m pip)",
        probe: &["python3", "-m", "pip", "--version"],
        least: (0, 0),
        packages: &["python3-pip"],
        vital: true,
    },
    Tool {
        name: "venv (python3 -m venv)",
        probe: &["python3", "-c", "import venv, ensurepip"],
        least: (0, 0),
        packages: &["python3-venv"],
        vital: false,
    },
    Tool {
        name: "node",
        probe: &["node", "--version"],
        least: (18, 0),
        packages: &["nodejs"],
        vital: true,
    },
    Tool {
        name: "npm",
        probe: &["npm", "--version"],
        least: (0, 0),
        packages: &["npm"],
        vital: true,
    },
    Tool {
        name: "cc",
        probe: &["cc", "--version"],
        least: (0, 0),
        packages: &["gcc", "libc6-dev"],
        vital: true,
    },
    Tool {
        name: "make",
        probe: &["make", "--version"],
        least: (0, 0),
        packages: &["make"],
        vital: false,
    },
    Tool {
        name: "pkg-config",
        probe: &["pkg-config", "--version"],
        least: (0, 0),
        packages: &["pkg-config"],
        vital: false,
    },
    Tool {
        name: "bc",
        probe: &["bc", "--version"],
        least: (0, 0),
        packages: &["bc"],
        vital: false,
    },
    Tool {
        name: "xz",
        probe: &["xz", "--version"],
        least: (0, 0),
        packages: &["xz-utils"],
        vital: false,
    },
    Tool {
        name: "git",
        probe: &["git", "--version"],
        least: (0, 0),
        packages: &["git"],
        vital: false,
    },
];

/// What a probe showed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// Present; the first line it printed.
    Yes(String),
    /// Not there, or it does not run.
    No,
}

/// Checks every tool; the error names all that lack.
pub(crate) fn check_all() -> Result<()> {
    match complaint(run_probe, running_as_root(), |_| true) {
        None => {
            say(&format!("preflight: {} tools are in place", TOOLS.len()));
            Ok(())
        }
        Some(message) => bail!(message),
    }
}

/// Checks what fetching and building need; the error names all that lack.
pub(crate) fn check() -> Result<()> {
    match complaint(run_probe, running_as_root(), |tool| tool.vital) {
        None => Ok(()),
        Some(message) => bail!(message),
    }
}

/// Checks the tools of these names; the error names all that lack.
pub(crate) fn check_for(names: &[&str]) -> Result<()> {
    match complaint(run_probe, running_as_root(), |tool| {
        names.contains(&tool.name)
    }) {
        None => Ok(()),
        Some(message) => bail!(message),
    }
}

/// The one message, or none if all is well. `probe` answers for the machine.
fn complaint(
    probe: impl Fn(&[&str]) -> Found,
    is_root: bool,
    counts: impl Fn(&Tool) -> bool,
) -> Option<String> {
    let mut lines = Vec::new();
    let mut packages = Vec::new();
    let mut rust = false;
    for tool in TOOLS.iter().filter(|tool| counts(tool)) {
        let Some(problem) = problem_of(tool, &probe(tool.probe)) else {
            continue;
        };
        lines.push(format!("  {}: {problem}", tool.name));
        packages.extend(tool.packages);
        rust |= tool.packages.is_empty();
    }
    if lines.is_empty() {
        return None;
    }
    let install = install_line(&packages, rust, is_root);
    Some(format!(
        "this machine lacks:\n{}\ninstall with:\n  {install}",
        lines.join("\n")
    ))
}

fn problem_of(tool: &Tool, found: &Found) -> Option<String> {
    let (major, minor) = tool.least;
    let Found::Yes(line) = found else {
        return Some("not found".into());
    };
    if tool.least == (0, 0) {
        return None;
    }
    match version_in(line) {
        Some(version) if version >= tool.least => None,
        Some((a, b)) => Some(format!(
            "{a}.{b} is too old, at least {major}.{minor} is needed"
        )),
        None => Some(format!(
            "{line:?} names no version, at least {major}.{minor} is needed"
        )),
    }
}

fn install_line(packages: &[&str], rust: bool, is_root: bool) -> String {
    let mut steps = Vec::new();
    if !packages.is_empty() {
        let sudo = if is_root { "" } else { "sudo " };
        steps.push(format!(
            "{sudo}apt-get update && {sudo}apt-get install -y {}",
            packages.join(" ")
        ));
    }
    if rust {
        steps.push("rustup toolchain install stable && rustup default stable".into());
    }
    steps.join(" && ")
}

/// The first `MAJOR.MINOR` in a line such as `rustc 1.95.0 (…)` or `v20.20.2`.
fn version_in(line: &str) -> Option<(u32, u32)> {
    line.split_whitespace().find_map(|word| {
        let mut parts = word.trim_start_matches('v').split('.');
        let major = parts.next()?.parse().ok()?;
        let digits: String = parts
            .next()?
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        Some((major, digits.parse().ok()?))
    })
}

fn run_probe(command: &[&str]) -> Found {
    let Some((program, arguments)) = command.split_first() else {
        return Found::No;
    };
    match Command::new(program).args(arguments).output() {
        Ok(out) if out.status.success() => {
            let text = String::from_utf8_lossy(&out.stdout);
            Found::Yes(text.lines().next().unwrap_or_default().to_owned())
        }
        _ => Found::No,
    }
}

#[expect(unsafe_code, reason = "the effective user id comes from a system call")]
fn running_as_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(command: &[&str]) -> Found {
        Found::Yes(match command[0] {
            "rustc" => "rustc 1.95.0 (59807616e 2026-04-14)".into(),
            "node" => "v20.20.2".into(),
            _ => "Python 3.11.7".into(),
        })
    }

    #[test]
    fn a_complete_machine_passes() {
        assert_eq!(complaint(good, true, |_| true), None);
    }

    #[test]
    fn one_message_names_everything_missing_and_one_line_installs_it() {
        let bare = |command: &[&str]| match command {
            ["node" | "npm" | "make", ..] | ["python3", "-m", "pip", ..] => Found::No,
            _ => good(command),
        };
        let message = complaint(bare, false, |_| true).expect("four tools lack");
        for name in ["pip", "node", "npm", "make"] {
            assert!(message.contains(&format!("  {name}")), "{message}");
        }
        assert!(!message.contains("  git"), "{message}");
        let line = "sudo apt-get update && sudo apt-get install -y python3-pip nodejs npm make";
        assert!(message.ends_with(line), "{message}");
    }

    #[test]
    fn root_is_not_told_to_use_sudo() {
        let message = complaint(|_| Found::No, true, |_| true).expect("everything lacks");
        assert!(!message.contains("sudo"), "{message}");
        assert!(message.contains("rustup"), "{message}");
    }

    #[test]
    fn what_only_later_work_needs_does_not_stop_a_demo() {
        let no_make = |command: &[&str]| match command[0] {
            "make" | "git" => Found::No,
            _ => good(command),
        };
        assert_eq!(complaint(no_make, true, |tool| tool.vital), None);
        assert!(complaint(no_make, true, |_| true).is_some());
    }

    #[test]
    fn old_versions_are_named_with_what_is_needed() {
        let old = |command: &[&str]| match command[0] {
            "rustc" => Found::Yes("rustc 1.91.1 (abc 2025-11-07)".into()),
            _ => good(command),
        };
        let message = complaint(old, true, |_| true).expect("rustc is old");
        assert!(
            message.contains("1.91 is too old, at least 1.92"),
            "{message}"
        );
    }

    #[test]
    fn versions_are_read_as_tools_print_them() {
        assert_eq!(version_in("v18.0.0"), Some((18, 0)));
        assert_eq!(version_in("Python 3.12.1+"), Some((3, 12)));
        assert_eq!(version_in("rustc 1.92.0-nightly (x)"), Some((1, 92)));
        assert_eq!(version_in("no version"), None);
    }
}
