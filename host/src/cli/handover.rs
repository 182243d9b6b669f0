//! `redoubt handover`: a running enclave gives its secret to another, by an order
//! that officers sign.
//!
//! Protects against an order for something else than was meant: it is made from
//! the evidence of both enclaves, every officer's tool judges the recipient's
//! evidence again before it signs, and nothing is sent but to an attested enclave.
//! Carrying it out may be interrupted anywhere and begun again: what is left to do
//! is read from the enclaves each time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use redoubt_attestation::appraise::{Appraisal, VerifiedAppraisalPolicy, appraise};
use redoubt_attestation::binding::{NonceInput, Purpose};
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::entropy::{SystemEntropy, draw};
use redoubt_attestation::genesis::{SignedFile, SignedFileError, VerifiedGenesis};
use redoubt_attestation::handover::{
    HandoverOrder, HandoverOrderType, ORDER_MAX_MS, RecipientEvidence, boot_key,
};
use redoubt_audit::fetch::{AttestedConnection, ClientIdentity, FetchError, Pinned};
use serde::Deserialize;
use serde_json::json;

use super::memory::{Memory, appraisal};
use super::signing::{self, Kind, Signing};
use super::unseal::pinned;
use super::{Report, now_ms, read_text};
use crate::files::write_atomically;

const GIVE: &str = "/api/v1/handover";
const TAKE: &str = "/api/v1/handover/take";
const POLL: Duration = Duration::from_millis(200);
const MINUTE_MS: u64 = 60_000;

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
struct Ends {
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

/// Flags of `redoubt handover order`.
#[derive(Debug, clap::Args)]
pub(super) struct OrderArgs {
    #[command(flatten)]
    ends: Ends,
    /// For how long it is good, at most a day
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Where the order goes, for `redoubt handover sign`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What officers ask of the waiting enclave beyond the manifest: a signed appraisal policy
    #[arg(long, value_name = "FILE")]
    appraisal: Option<PathBuf>,
}

/// Flags of `redoubt handover sign`.
#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// The order: plain JSON, or one that other officers signed already
    #[arg(long, value_name = "FILE")]
    order: PathBuf,
    /// What officers ask of the waiting enclave beyond the manifest: a signed appraisal policy
    #[arg(long, value_name = "FILE")]
    appraisal: Option<PathBuf>,
    /// This officer's memory file, as `redoubt unseal` keeps it: once it remembers an
    /// appraisal policy, that one or a later one is asked for here too
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
    #[command(flatten)]
    signing: Signing,
}

/// Flags of `redoubt handover run`.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
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

const ORDER: Kind = Kind {
    name: "handover order",
    member: "order",
    complete: "it can be carried out once (redoubt handover run)",
};

pub(super) fn handover(command: &HandoverCommand) -> anyhow::Result<Report> {
    match command {
        HandoverCommand::Order(args) => order(args),
        HandoverCommand::Sign(args) => sign(args),
        HandoverCommand::Run(args) => run(args),
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

fn order(args: &OrderArgs) -> anyhow::Result<Report> {
    let (ends, pins) = (&args.ends, args.ends.pins()?);
    let judged_by = args.appraisal.as_deref();
    let judged_by = judged_by.map(|file| appraisal(file, &pins.next.genesis));
    let judged_by = judged_by.transpose()?;
    let giver = AttestedConnection::open(&ends.from, pins.giver(), Purpose::Serve, None)
        .with_context(|| format!("--from {}", ends.from))?;
    let term = giver
        .binding
        .term
        .filter(|_| giver.reply.phase == "serving");
    let phase = &giver.reply.phase;
    let term =
        term.with_context(|| format!("--from {}: it does not serve, it is {phase}", ends.from))?;
    let recipient = AttestedConnection::open(&ends.to, &pins.next, Purpose::Handover, None)
        .with_context(|| format!("--to {}: no evidence of an enclave that waits", ends.to))?;
    let appliance = giver.binding.appliance_ledger();
    let genesis = &pins.next.genesis;
    let order = HandoverOrder {
        kind: HandoverOrderType::V1,
        order: Digest32(draw(&SystemEntropy)?),
        appliance: appliance.context("the serving enclave names no ledger of the appliance")?,
        genesis: genesis.digest,
        counter: genesis.manifest.counter,
        config: recipient.binding.config,
        giver: boot_key(&giver.binding.boot_keys),
        term,
        recipient: boot_key(&recipient.binding.boot_keys),
        not_after_ms: now_ms() + args.minutes * MINUTE_MS,
        evidence: RecipientEvidence {
            document: recipient.reply.document,
            preimage: recipient.reply.preimage,
            client_nonce: recipient.client_nonce.to_vec(),
            exporter: recipient.exporter,
        },
    };
    order.judge(genesis, now_ms())?;
    let image = recipient_image(&order, genesis, judged_by.as_ref())?;
    write_atomically(&args.out, &serde_json::to_vec_pretty(&order)?)?;
    let out = args.out.display();
    let text = format!(
        "{out}: {}\n{image}\nk officers check both boot keys and the image, and sign it: \
         redoubt handover sign",
        describe(&order)
    );
    Ok(Report::yes(text, facts(&order, &args.out)))
}

/// What an officer is asked to agree to.
fn describe(order: &HandoverOrder) -> String {
    format!(
        "order {}\nledger {}, term {}, boot {}\ngives its secret to boot {}\n\
         manifest {} ({}), configuration {}, good until {} ms",
        order.order,
        order.appliance,
        order.term,
        order.giver,
        order.recipient,
        order.genesis,
        order.counter,
        order.config,
        order.not_after_ms
    )
}

fn facts(order: &HandoverOrder, out: &Path) -> serde_json::Value {
    json!({
        "ok": true,
        "out": out.display().to_string(),
        "order": order.order,
        "giver": order.giver,
        "term": order.term,
        "recipient": order.recipient,
        "not_after_ms": order.not_after_ms,
    })
}

fn sign(args: &SignArgs) -> anyhow::Result<Report> {
    let genesis = args.signing.genesis()?;
    let file = args.order.display().to_string();
    let (signed, payload) = signing::open(&args.order)?;
    let order: HandoverOrder = serde_json::from_slice(&payload).with_context(|| file.clone())?;
    order.judge(&genesis, now_ms()).with_context(|| file)?;
    let image = recipient_image(&order, &genesis, args.judged_by(&genesis)?.as_ref())?;
    let mut report = args.signing.sign(signed, &genesis, &ORDER, |file| {
        Ok(missing(&SignedFile::parse(file)?, &genesis)?)
    })?;
    report.text = format!("{}\n{image}\n{}", describe(&order), report.text);
    Ok(report)
}

impl SignArgs {
    /// The policy this officer judges by; the memory may insist on one.
    fn judged_by(
        &self,
        genesis: &VerifiedGenesis,
    ) -> anyhow::Result<Option<VerifiedAppraisalPolicy>> {
        let given = self.appraisal.as_deref();
        match &self.memory {
            Some(path) => Memory::load(path)?.judge_by(given, genesis, path),
            None => given.map(|file| appraisal(file, genesis)).transpose(),
        }
    }
}

/// Which image the order gives the secret to, in words for an officer; a refusal if
/// the policy withdraws it, or asks for younger evidence.
fn recipient_image(
    order: &HandoverOrder,
    genesis: &VerifiedGenesis,
    policy: Option<&VerifiedAppraisalPolicy>,
) -> anyhow::Result<String> {
    let RecipientEvidence {
        document,
        preimage,
        client_nonce,
        exporter,
    } = &order.evidence;
    let asked = Appraisal {
        genesis,
        minimum_counter: genesis.manifest.counter,
        purpose: Purpose::Handover,
        nonce: NonceInput::Session {
            client_nonce,
            exporter,
        },
        session_spki: None,
        models: None,
        now_ms: now_ms(),
        max_age_ms: Some(ORDER_MAX_MS),
        allow_debug: false,
    };
    let appraised = match policy {
        Some(policy) => policy.appraise(document, preimage, &asked),
        None => appraise(document, preimage, &asked),
    };
    let evidence = appraised.map_err(FetchError::from)?.document;
    let register = |index: u8| {
        evidence
            .pcrs
            .get(index)
            .map(hex::encode)
            .unwrap_or_default()
    };
    let judged = match policy {
        Some(_) => "judged by the appraisal policy",
        None => "judged by the manifest alone: no --appraisal was given",
    };
    Ok(format!(
        "its image: PCR0 {}\n           PCR1 {}\n           PCR2 {}\nits evidence is {} s old, {judged}",
        register(0),
        register(1),
        register(2),
        asked.now_ms.saturating_sub(evidence.timestamp_ms) / 1000,
    ))
}

/// How many signatures lack.
fn missing(signed: &SignedFile, genesis: &VerifiedGenesis) -> Result<usize, SignedFileError> {
    let manifest = &genesis.manifest;
    match signed.verify(&manifest.officers, manifest.threshold.into()) {
        Ok(_) => Ok(0),
        Err(SignedFileError::TooFew { present, needed }) => Ok(needed - present),
        Err(error) => Err(error),
    }
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

fn run(args: &RunArgs) -> anyhow::Result<Report> {
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
                 last entry, end this one too, wherever it runs, and only then unseal with the \
                 officers' shares"
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
