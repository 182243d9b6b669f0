//! `redoubt handover`: a running enclave gives its secret to another, by an order
//! that officers sign.
//!
//! Protects against an order for something else than was meant: it is made from
//! the evidence of both enclaves, every officer's tool judges the recipient's
//! evidence again before it signs, and nothing is sent but to an attested enclave.
//! Carrying it out may be interrupted anywhere and begun again: what is left to do
//! is read from the enclaves each time.

mod order;
mod run;

use std::path::PathBuf;

use redoubt_audit::fetch::Pinned;

use super::Report;
use super::unseal::pinned;
use order::{OrderArgs, SignArgs};
use run::RunArgs;

#[derive(Debug, clap::Subcommand)]
pub(super) enum HandoverCommand {
    /// Make the order: from one attested enclave that serves to one that waits
    Order(OrderArgs),
    /// Check an order and sign it; also adds signatures to a signed one
    Sign(SignArgs),
    /// Carry a signed order out; give the same command again after any interruption
    Run(RunArgs),
}

/// The two enclaves.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Ends {
    /// The appliance as it serves, https://HOST:PORT
    #[arg(long, value_name = "URL")]
    from: String,
    /// The enclave that waits, by its own place's door: the host's --standby-listen or
    /// --first-listen, https://HOST:PORT
    #[arg(long, value_name = "URL")]
    to: String,
    /// The policy file that pins the manifest in force
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The policy file that pins the manifest the serving enclave was booted with, if
    /// it took over another since [default: --policy]
    #[arg(long, value_name = "FILE")]
    from_policy: Option<PathBuf>,
}

pub(super) fn handover(command: &HandoverCommand) -> anyhow::Result<Report> {
    match command {
        HandoverCommand::Order(args) => order::make(args),
        HandoverCommand::Sign(args) => order::sign(args),
        HandoverCommand::Run(args) => run::run(args),
    }
}

/// Both policies of the ends.
struct Pins {
    next: Pinned,
    before: Option<Pinned>,
}

impl Ends {
    fn pins(&self) -> anyhow::Result<Pins> {
        let before = self.from_policy.as_deref().map(pinned).transpose()?;
        Ok(Pins {
            next: pinned(&self.policy)?,
            before,
        })
    }
}

impl Pins {
    /// The giver attests under the manifest it was booted with.
    fn giver(&self) -> &Pinned {
        self.before.as_ref().unwrap_or(&self.next)
    }
}
