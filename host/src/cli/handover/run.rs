//! Carrying an order out.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use redoubt_attestation::binding::Purpose;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::genesis::SignedFile;
use redoubt_attestation::handover::{HandoverOrder, boot_key};
use redoubt_audit::fetch::{AttestedConnection, ClientIdentity, FetchError, Pinned};
use serde::Deserialize;
use serde_json::json;

use super::{Ends, Pins};
use crate::cli::{Report, read_text, signing};

const GIVE: &str = "/api/v1/handover";
const TAKE: &str = "/api/v1/handover/take";
const POLL: Duration = Duration::from_millis(200);

/// Flags of `redoubt handover run`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    ends: Ends,
    /// The signed order
    #[arg(long, value_name = "FILE")]
    order: PathBuf,
    /// Certificate of an officer (API access, not the signing key)
    #[arg(long, value_name = "PEM")]
    officer_cert: PathBuf,
    /// Its private key
    #[arg(long, value_name = "PEM")]
    officer_key: PathBuf,
    /// Seconds to wait for the other enclave to serve
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,
}

struct Run<'a> {
    args: &'a RunArgs,
    pins: Pins,
    identity: ClientIdentity,
    signed: SignedFile,
    order: HandoverOrder,
}

/// The members of a problem that are acted on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Report> {
    let file = args.order.display().to_string();
    let (signed, payload) = signing::open(&args.order)?;
    let order: HandoverOrder = serde_json::from_slice(&payload).with_context(|| file.clone())?;
    let run = Run {
        pins: args.ends.pins()?,
        identity: ClientIdentity {
            certificates: read_text(&args.officer_cert)?,
            key: read_text(&args.officer_key)?,
        },
        signed,
        order,
        args,
    };
    let served = run.taker_serves();
    if !served {
        run.give()?;
        run.take()?;
        run.wait()?;
    }
    let text = format!(
        "handed over: the enclave with boot key {} serves",
        run.order.recipient
    );
    let json = json!({
        "ok": true,
        "order": run.order.order,
        "recipient": run.order.recipient,
        "served_already": served,
    });
    Ok(Report::yes(text, json))
}

impl Run<'_> {
    /// The enclave with this boot key, wherever the host leads to it now.
    fn find(&self, boot: Digest32, pinned: &Pinned) -> Option<AttestedConnection> {
        let ends = &self.args.ends;
        [&ends.from, &ends.to].into_iter().find_map(|url| {
            let opened =
                AttestedConnection::open(url, pinned, Purpose::Serve, Some(&self.identity));
            opened
                .ok()
                .filter(|end| boot_key(&end.binding.boot_keys) == boot)
        })
    }

    fn taker(&self) -> Option<AttestedConnection> {
        self.find(self.order.recipient, &self.pins.next)
    }

    fn taker_serves(&self) -> bool {
        self.taker()
            .is_some_and(|taker| taker.reply.phase == "serving")
    }

    /// The giver, once it is not in the middle of giving any more.
    fn settled_giver(&self) -> Option<AttestedConnection> {
        let (began, patience) = (Instant::now(), Duration::from_secs(self.args.wait));
        loop {
            let giver = self.find(self.order.giver, self.pins.giver());
            let giving = |giver: &AttestedConnection| giver.reply.phase == "handing_over";
            if !giver.as_ref().is_some_and(giving) || began.elapsed() > patience {
                return giver;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Has the giver obey, if it still serves.
    fn give(&self) -> anyhow::Result<()> {
        let giver = self.settled_giver();
        let Some(mut giver) = giver.filter(|giver| giver.reply.phase == "serving") else {
            say("the enclave that the order is to does not serve; looking for what it left");
            return Ok(());
        };
        let taker = self.taker().with_context(|| {
            format!(
                "neither --from nor --to leads to the enclave with boot key {}; start it, or make \
                 an order that names the one that runs",
                self.order.recipient
            )
        })?;
        let body = json!({ "order": self.signed, "config": taker.reply.config });
        let answer = giver.post_json(GIVE, &serde_json::to_vec(&body)?);
        match answer {
            Ok(reply) if reply.status == 200 => say("given; the enclave before has halted"),
            Ok(reply) => match problem(&reply.body) {
                Problem { code, .. } if code == "order_spent" => say("it was given before"),
                Problem { code, detail } => bail!("the order is refused, {code}: {detail}"),
            },
            Err(FetchError::TimedOut | FetchError::Io(_) | FetchError::Http(_)) => {
                say("no answer; waiting for it to end, then looking for what it left");
                self.settled_giver();
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Has the taker look for the envelope.
    fn take(&self) -> anyhow::Result<()> {
        let taker = self.taker();
        let mut taker = taker.with_context(|| {
            format!(
                "the enclave with boot key {} does not answer; if it is gone, unseal another one \
                 with the officers' shares",
                self.order.recipient
            )
        })?;
        let body = json!({ "order": self.order.order });
        let reply = taker.post_json(TAKE, &serde_json::to_vec(&body)?)?;
        match (reply.status, problem(&reply.body)) {
            (202, _) => say("taken; it reads the ledger"),
            (_, Problem { code, .. }) if code == "not_serving" => say("it was taken before"),
            (_, Problem { code, detail }) => bail!(
                "nothing can be taken, {code}: {detail} If the enclave before ended without its \
                 last entry, halt this one (redoubt halt) or wait until the order is over, and \
                 only then unseal with the officers' shares"
            ),
        }
        Ok(())
    }

    fn wait(&self) -> anyhow::Result<()> {
        let (began, patience) = (Instant::now(), Duration::from_secs(self.args.wait));
        loop {
            let phase = self.taker().map(|taker| taker.reply.phase);
            match phase.as_deref() {
                Some("serving") => return Ok(()),
                Some("halted") => bail!(
                    "it halted: the ledger does not end with this handover, or cannot be proven; \
                     its log names the reason"
                ),
                _ => {}
            }
            ensure!(
                began.elapsed() < patience,
                "it is {} after {patience:?}; give the same command again to go on",
                phase.as_deref().unwrap_or("silent")
            );
            std::thread::sleep(POLL);
        }
    }
}

fn problem(body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_default()
}

/// Progress, apart from the one answer on standard output.
fn say(line: &str) {
    eprintln!("redoubt: {line}");
}
