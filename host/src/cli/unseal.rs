//! `redoubt unseal`: one officer's share, to exactly one attested boot.
//!
//! Protects the share: it is sealed only after the enclave proved, in this TLS
//! session, that it is an allowed image of the pinned genesis; and what this
//! officer remembers of the ledger goes with it, so that an appliance opened
//! over an older store refuses itself.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use redoubt_attestation::binding::{Head, Purpose};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::VerifiedGenesis;
use redoubt_attestation::shares::{Share, UnsealAad, seal_share};
use redoubt_audit::fetch::{AttestedConnection, Pinned, Reply};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::memory::Memory;
use super::{Report, read};

pub(super) const ROUTE: &str = "/api/v1/unseal/share";
const POLL: Duration = Duration::from_millis(200);

/// Flags of `redoubt unseal`.
#[derive(Debug, clap::Args)]
pub(super) struct UnsealArgs {
    /// The appliance, https://HOST:PORT
    url: String,
    /// The policy file that pins the genesis
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// This officer's share
    #[arg(long, value_name = "FILE")]
    share: PathBuf,
    /// This officer's memory of the highest ledger head [default: beside the share]
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
    /// What officers ask of evidence beyond the manifest: a signed appraisal policy. Once
    /// one was used, this officer's memory asks for it or a later one every time
    #[arg(long, value_name = "FILE")]
    appraisal: Option<PathBuf>,
    /// Another officer's memory file, when it remembers more: all officers of one
    /// unsealing must name the same head
    #[arg(long, value_name = "FILE")]
    agree: Option<PathBuf>,
    /// Seconds to wait for the appliance to serve after the last share
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,
}

/// The enclave's answer to a share.
#[derive(Debug, Deserialize)]
pub(super) struct ShareReply {
    pub(super) received: u64,
    pub(super) needed: u64,
    phase: String,
}

impl ShareReply {
    pub(super) fn of(reply: Reply) -> anyhow::Result<Self> {
        let body = reply.successful(ROUTE)?;
        serde_json::from_slice(&body).context("the enclave's answer to the share")
    }
}

pub(super) fn unseal(args: &UnsealArgs) -> anyhow::Result<Report> {
    let mut pinned = pinned(&args.policy)?;
    let share = share(&args.share, &pinned.genesis)?;
    let beside = || Memory::path_beside(&args.share);
    let memory_path = args.memory.clone().unwrap_or_else(beside);
    let mut memory = Memory::load(&memory_path)?;
    pinned.appraisal = memory.judge_by(args.appraisal.as_deref(), &pinned.genesis, &memory_path)?;
    let head = agreed_head(&memory, args.agree.as_deref())?;
    let answer = give_share(&args.url, &pinned, &share, head)?;
    let mut seen = None;
    let mut phase = answer.phase;
    if answer.received >= answer.needed {
        seen = wait_until_serving(&args.url, &pinned, Duration::from_secs(args.wait))?;
        memory.advance(seen, &memory_path)?;
        phase = "serving".into();
    }
    let text = match seen {
        Some(head) => format!(
            "unsealed: the appliance serves; its ledger has {} entries, root {}\nremembered in {}",
            head.size,
            head.root,
            memory_path.display()
        ),
        None => format!(
            "share {} of {} taken; the appliance waits for other officers",
            answer.received, answer.needed
        ),
    };
    let json = json!({
        "ok": true,
        "officer": share.officer,
        "received": answer.received,
        "needed": answer.needed,
        "phase": phase,
        "head": seen,
        "memory": memory_path.display().to_string(),
    });
    Ok(Report::yes(text, json))
}

/// Reads a policy file and verifies the genesis in it.
pub(super) fn pinned(path: &Path) -> anyhow::Result<Pinned> {
    Pinned::from_policy(&read(path)?).with_context(|| path.display().to_string())
}

/// Reads a share of this manifest's secret.
pub(super) fn share(path: &Path, genesis: &VerifiedGenesis) -> anyhow::Result<Share> {
    let file = path.display();
    let share = Share::parse(&Zeroizing::new(read(path)?)).with_context(|| file.to_string())?;
    let digest = genesis.digest;
    ensure!(
        share.genesis.is_none_or(|of| of == digest),
        "{file}: this share belongs to another genesis manifest than {digest}"
    );
    let mut officers = genesis.manifest.officers.iter();
    ensure!(
        officers.any(|officer| officer.id == share.officer),
        "{file}: {:?} is no officer of genesis manifest {digest}",
        share.officer
    );
    Ok(share)
}

/// The body of a share's request: sealed to this boot of the enclave alone.
pub(super) fn sealed(
    share: &Share,
    enclave: &AttestedConnection,
    genesis: &VerifiedGenesis,
    head: Option<Head>,
) -> anyhow::Result<Vec<u8>> {
    let aad = UnsealAad {
        document: enclave.appraised.document_sha256,
        genesis: genesis.digest,
        counter: genesis.manifest.counter,
        head,
    };
    let recipient = &enclave.binding.boot_keys.unseal_xwing;
    let sealed = seal_share(share, recipient, &aad, &SystemEntropy)?;
    Ok(serde_json::to_vec(&sealed)?)
}

/// The head to name: the one remembered, or another officer's higher one.
fn agreed_head(memory: &Memory, other: Option<&Path>) -> anyhow::Result<Option<Head>> {
    let Some(path) = other else {
        return Ok(memory.head);
    };
    let other = Memory::load(path)?;
    memory
        .check(other.head)
        .with_context(|| format!("--agree {}", path.display()))?;
    Ok(other.head)
}

fn give_share(
    url: &str,
    pinned: &Pinned,
    share: &Share,
    head: Option<Head>,
) -> anyhow::Result<ShareReply> {
    let mut enclave = AttestedConnection::open(url, pinned, Purpose::Unseal, None)?;
    let sealed = sealed(share, &enclave, &pinned.genesis, head)?;
    ShareReply::of(enclave.post_json(ROUTE, &sealed)?)
}

/// Asks for evidence until the enclave serves; returns the head it proves.
fn wait_until_serving(
    url: &str,
    pinned: &Pinned,
    patience: Duration,
) -> anyhow::Result<Option<Head>> {
    let began = Instant::now();
    loop {
        let asked = AttestedConnection::open(url, pinned, Purpose::Serve, None);
        match &asked {
            Ok(enclave) if enclave.reply.phase == "serving" => return Ok(enclave.binding.head),
            Ok(enclave) if enclave.reply.phase == "halted" => bail!(
                "the enclave took the shares and halted: its ledger is not what the officers \
                 remember, or cannot be proven; its log names the reason"
            ),
            _ => {}
        }
        if began.elapsed() >= patience {
            return match asked {
                Ok(enclave) => bail!(
                    "the enclave is still {} after {patience:?}",
                    enclave.reply.phase
                ),
                Err(error) => Err(error).context("waiting for the enclave to serve"),
            };
        }
        std::thread::sleep(POLL);
    }
}
