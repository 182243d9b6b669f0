//! Questions to people on a terminal.

use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use zeroize::Zeroizing;

/// Somebody who answers, line by line.
pub(super) trait Person {
    /// The answer to a question; none where nobody can be asked.
    fn answer(&mut self, question: &str) -> anyhow::Result<Option<String>>;
    /// Says something.
    fn tell(&mut self, text: &str);
}

/// Whoever sits at the terminal, if there is one.
pub(super) struct Terminal;

impl Person for Terminal {
    fn answer(&mut self, question: &str) -> anyhow::Result<Option<String>> {
        if !is_there() {
            return Ok(None);
        }
        let line = read_line(question)?;
        Ok(Some(line.trim().to_owned()))
    }

    fn tell(&mut self, text: &str) {
        eprintln!("{text}");
    }
}

fn is_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn read_line(question: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut screen = std::io::stderr();
    write!(screen, "{question} ")?;
    screen.flush()?;
    let mut line = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().read_line(&mut line)?;
    ensure!(read > 0, "the terminal was closed");
    Ok(line)
}

/// A secret, typed without echo.
pub(super) fn secret(question: &str) -> anyhow::Result<Zeroizing<String>> {
    ensure!(is_there(), "there is no terminal to type it on");
    let _silent = Silence::begin()?;
    let line = read_line(&format!("{question}:"))?;
    eprintln!();
    Ok(Zeroizing::new(
        line.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

/// A terminal that does not show what is typed, until this ends.
struct Silence;

impl Silence {
    fn begin() -> anyhow::Result<Self> {
        ensure!(echo("-echo")?, "stty cannot hide what is typed");
        Ok(Self)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = echo("echo");
    }
}

fn echo(setting: &str) -> anyhow::Result<bool> {
    let status = Command::new("stty")
        .arg(setting)
        .stdin(Stdio::inherit())
        .status();
    Ok(status.context("stty cannot be run")?.success())
}
