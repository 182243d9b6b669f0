//! `redoubt-init`: the first process of an enclave image.
//!
//! Protects against an enclave that starts on guessable randomness, that takes
//! orders from outside the measured image, or that lives on after its one
//! program ended. There is no shell and no second program; the image says by
//! holding it whether that program is the enclave or a worker. Arguments,
//! environment and kernel command line are not read; every error and every panic
//! ends the machine.

mod entropy;
mod heartbeat;
mod machine;
mod nsm;
mod program;

use std::fmt::Display;

/// A step that did not work, for the console.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn because(what: &str, error: impl Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

fn main() {
    if std::process::id() != 1 {
        eprintln!("redoubt-init: only the kernel starts this program, as process 1 of an image");
        std::process::exit(2);
    }
    std::panic::set_hook(Box::new(|info| {
        eprintln!("redoubt-init: {info}");
        machine::end();
    }));
    match run() {
        Ok(ended) => eprintln!("redoubt-init: the program ended ({ended}): so does the machine"),
        Err(Failure(text)) => eprintln!("redoubt-init: {text}"),
    }
    machine::end();
}

/// Returns how the image's program ended.
fn run() -> Result<std::process::ExitStatus, Failure> {
    machine::mount_all()?;
    entropy::fill_the_pool()?;
    let parent = heartbeat::find_parent();
    program::run(parent)
}
