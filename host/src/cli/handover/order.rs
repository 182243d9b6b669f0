//! Making an order and signing it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use redoubt_attestation::appraise::{VerifiedAppraisalPolicy, appraise};
use redoubt_attestation::binding::Purpose;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::entropy::{SystemEntropy, draw};
use redoubt_attestation::genesis::{SignedFile, VerifiedGenesis};
use redoubt_attestation::handover::{
    HandoverOrder, HandoverOrderType, RecipientEvidence, boot_key,
};
use redoubt_audit::fetch::{AttestedConnection, FetchError};
use serde_json::json;

use super::Ends;
use crate::cli::memory::{Memory, appraisal};
use crate::cli::signing::{self, Kind, Signing};
use crate::cli::{Report, now_ms};
use crate::files::write_atomically;

const MINUTE_MS: u64 = 60_000;

/// Flags of `redoubt handover order`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct OrderArgs {
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
pub(in crate::cli) struct SignArgs {
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

const ORDER: Kind = Kind {
    name: "handover order",
    member: "order",
    complete: "it can be carried out once (redoubt handover run)",
};

pub(super) fn make(args: &OrderArgs) -> anyhow::Result<Report> {
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

pub(super) fn sign(args: &SignArgs) -> anyhow::Result<Report> {
    let genesis = args.signing.genesis()?;
    let file = args.order.display().to_string();
    let (signed, payload) = signing::open(&args.order)?;
    let order: HandoverOrder = serde_json::from_slice(&payload).with_context(|| file.clone())?;
    order.judge(&genesis, now_ms()).with_context(|| file)?;
    let image = recipient_image(&order, &genesis, args.judged_by(&genesis)?.as_ref())?;
    let mut report = args.signing.sign(signed, &genesis, &ORDER, |file| {
        Ok(signing::missing(&SignedFile::parse(file)?, &genesis)?)
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
    let (evidence, asked) = (&order.evidence, order.evidence.appraisal(genesis, now_ms()));
    let (document, preimage) = (&evidence.document, &evidence.preimage);
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
