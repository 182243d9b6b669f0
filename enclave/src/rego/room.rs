//! A policy process: reads questions from standard input, answers on standard output.

use std::io::{Read, Write};
use std::process::ExitCode;

use super::engine::Loaded;
use super::sandbox;
use super::wire::{self, Ask, Refused, Told};
use crate::core::Ruling;

/// The only argument such a process is started with.
pub const ARGUMENT: &str = "rule-on-policy";

/// Seals itself, then answers until there are no more questions. A panic ends the
/// process, without a word of what it was about.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    if sandbox::seal().is_err() {
        return ExitCode::FAILURE;
    }
    match serve(&mut input, &mut output) {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

fn serve(input: &mut impl Read, output: &mut impl Write) -> Option<()> {
    let mut loaded = None;
    loop {
        let mut header = [0; 4];
        if input.read_exact(&mut header).is_err() {
            return Some(());
        }
        let mut body = vec![0; wire::length(header)?];
        input.read_exact(&mut body).ok()?;
        let told = answer(wire::read(&body)?, &mut loaded);
        output.write_all(&wire::framed(&told)?).ok()?;
        output.flush().ok()?;
    }
}

fn answer(ask: Ask, loaded: &mut Option<Loaded>) -> Told {
    let load = |texts, tested: bool| -> Result<(Loaded, Vec<String>), Refused> {
        let fresh = Loaded::new(&texts)?;
        let tests = match tested {
            true => fresh.check()?,
            false => Vec::new(),
        };
        Ok((fresh, tests))
    };
    let fresh = match ask {
        Ask::Rule(input) => {
            let none = || Ruling::failed("policy_error");
            return Told::Ruled(loaded.as_ref().map_or_else(none, |own| own.rule(&input)));
        }
        Ask::Check(texts) => load(texts, true),
        Ask::Load(texts) => load(texts, false),
    };
    match fresh {
        Ok((fresh, tests)) => {
            *loaded = Some(fresh);
            Told::Loaded(tests)
        }
        Err(refused) => Told::Refused(refused),
    }
}
