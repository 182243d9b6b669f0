//! `redoubt rotate`: a new epoch secret, or new officers, while the appliance serves.
//!
//! Protects against a rotation that stops halfway: what is left to do is read
//! from the appliance each time (its epochs, and the manifest its evidence
//! binds) and from a note beside the new manifest that says from which epoch
//! on, so the same command may be given again after a crash at any point.
//! Every step goes to an attested enclave only. A running enclave goes on to
//! attest under the manifest it was booted with.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use redoubt_attestation::appraise::Refusal;
use redoubt_attestation::binding::Purpose;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::genesis::{ClientPolicy, Genesis, VerifiedConfig, VerifiedGenesis};
use redoubt_attestation::shares::Share;
use redoubt_audit::fetch::{AttestedConnection, ClientIdentity, FetchError, Pinned};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::memory::appraisal;
use super::unseal::{ROUTE as SHARE_ROUTE, ShareReply, pinned, sealed, share};
use super::{Report, read, read_config, read_text};
use crate::files::{sync_folder, write_atomically};

const EPOCHS: &str = "/api/v1/epochs";
const ROTATE: &str = "/api/v1/epochs/rotate";
const POLL: Duration = Duration::from_millis(250);

/// Flags of `redoubt rotate`.
#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// The appliance, https://HOST:PORT
    url: String,
    /// The policy file that pins the genesis before the rotation
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// What officers ask of evidence beyond that manifest: a signed appraisal policy
    #[arg(long, value_name = "FILE")]
    appraisal: Option<PathBuf>,
    /// Certificate of an officer (API access, not the signing key)
    #[arg(long, value_name = "PEM")]
    officer_cert: PathBuf,
    /// Its private key
    #[arg(long, value_name = "PEM")]
    officer_key: PathBuf,
    /// New officers: the successor of the genesis manifest
    #[arg(long, value_name = "FILE", requires = "config")]
    genesis: Option<PathBuf>,
    /// New officers: the configuration they signed
    #[arg(long, value_name = "FILE", requires = "genesis")]
    config: Option<PathBuf>,
    /// New officers: a share of the new secret; repeat, or let each give their own by
    /// the same command
    #[arg(long, value_name = "FILE", requires = "genesis")]
    share: Vec<PathBuf>,
    /// The host's boot folder; gets genesis.json and config.json once the rotation is done
    #[arg(long, value_name = "DIR", requires = "genesis")]
    boot_dir: Option<PathBuf>,
    /// Ask nothing, only write the boot folder's files: for an appliance that restarted
    /// after the change took effect and before they were written
    #[arg(long, requires = "boot_dir")]
    finish: bool,
    /// Seconds to wait for the rotation's end
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
}

/// The answer of `GET /api/v1/epochs`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Epochs {
    epoch: u64,
    #[serde(default)]
    pending_erasures: Value,
    #[serde(default)]
    rotation: Option<UnderWay>,
}

#[derive(Debug, Deserialize)]
struct UnderWay {
    stage: String,
    #[serde(default)]
    shares_received: u32,
    #[serde(default)]
    shares_needed: u32,
}

/// `rotation.json` beside the new manifest.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    genesis: Digest32,
    from_epoch: u64,
}

/// The successor and what goes with it.
struct Change {
    pinned: Pinned,
    config: VerifiedConfig,
    shares: Vec<Share>,
    note: PathBuf,
}

struct Rotation<'a> {
    args: &'a RotateArgs,
    old: Pinned,
    identity: ClientIdentity,
    began: Instant,
}

pub(super) fn rotate(args: &RotateArgs) -> anyhow::Result<Report> {
    let mut old = pinned(&args.policy)?;
    let policy = args.appraisal.as_deref();
    old.appraisal = policy
        .map(|file| appraisal(file, &old.genesis))
        .transpose()?;
    let rotation = Rotation {
        args,
        old,
        identity: ClientIdentity {
            certificates: read_text(&args.officer_cert)?,
            key: read_text(&args.officer_key)?,
        },
        began: Instant::now(),
    };
    match (&args.genesis, &args.config) {
        (Some(genesis), Some(config)) => {
            let change = rotation.change(genesis, config)?;
            if let (true, Some(folder)) = (args.finish, &args.boot_dir) {
                write_boot_files(folder, &change)?;
                let text = format!("{}: written", folder.display());
                return Ok(Report::yes(text, json!({ "ok": true, "boot_dir": folder })));
            }
            rotation.change_officers(&change)
        }
        _ => rotation.new_secret(),
    }
}

impl Rotation<'_> {
    /// Reads and checks every file before anything is asked of the appliance.
    fn change(&self, genesis: &Path, config: &Path) -> anyhow::Result<Change> {
        let bytes = read(genesis)?;
        let next = self
            .next(&bytes)
            .with_context(|| genesis.display().to_string())?;
        let shares = self.args.share.iter().map(|path| share(path, &next));
        Ok(Change {
            note: genesis.with_file_name("rotation.json"),
            shares: shares.collect::<Result<_, _>>()?,
            config: read_config(config, &next)?,
            pinned: Pinned {
                policy: ClientPolicy::pin(&next),
                genesis: next,
                // Officers who change the manifest judge by the manifest.
                appraisal: None,
            },
        })
    }

    /// The manifest to rotate to: a successor of the pinned one, or the pinned one
    /// itself when its clients' policy is in use already.
    fn next(&self, bytes: &[u8]) -> anyhow::Result<VerifiedGenesis> {
        let next = Genesis::verify(bytes)?;
        if next.digest == self.old.genesis.digest {
            return Ok(next);
        }
        Ok(self.old.genesis.successor(bytes)?)
    }

    fn open(&self, pinned: &Pinned, purpose: Purpose) -> Result<AttestedConnection, FetchError> {
        AttestedConnection::open(&self.args.url, pinned, purpose, Some(&self.identity))
    }

    /// The appliance attests under the old manifest until it is started again.
    fn epochs(&self, change: Option<&Change>) -> anyhow::Result<Epochs> {
        let mut enclave = match (self.open(&self.old, Purpose::Serve), change) {
            (Err(error), Some(change)) if is_another(&error) => {
                self.open(&change.pinned, Purpose::Serve)?
            }
            (opened, _) => opened?,
        };
        let body = enclave.get(EPOCHS)?.successful(EPOCHS)?;
        serde_json::from_slice(&body).context("the enclave's answer about its epochs")
    }

    /// Asks for the rotation. An answer that got lost is no failure: the epochs say
    /// what became of it.
    fn ask(&self, body: &Value) -> anyhow::Result<()> {
        let mut enclave = self.open(&self.old, Purpose::Serve)?;
        match enclave.post_json(ROTATE, &serde_json::to_vec(body)?) {
            Ok(reply) if reply.status == 409 => say("a rotation is under way already"),
            Ok(reply) => drop(reply.successful(ROTATE)?),
            Err(FetchError::TimedOut | FetchError::Io(_) | FetchError::Http(_)) => {
                say("no answer; reading the epochs")
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn new_secret(&self) -> anyhow::Result<Report> {
        let before = self.epochs(None)?;
        say(&format!("epoch {}", before.epoch));
        match before.rotation {
            Some(_) => say("a rotation is under way already; waiting for its end"),
            None => self.ask(&json!({}))?,
        }
        let after = self.wait(None, |now| {
            now.epoch > before.epoch && now.rotation.is_none()
        })?;
        Ok(self.report(&after, None))
    }

    fn change_officers(&self, change: &Change) -> anyhow::Result<Report> {
        let after = match self.done(change)? {
            Some(now) => now,
            None => self.carry_out(change)?,
        };
        if let Some(folder) = &self.args.boot_dir {
            write_boot_files(folder, change)?;
        }
        Ok(self.report(&after, Some(change)))
    }

    /// Manifest, shares, and the wait for the end.
    fn carry_out(&self, change: &Change) -> anyhow::Result<Epochs> {
        let from = self.begin(change)?;
        for share in &change.shares {
            if self.give(change, share)? {
                break;
            }
        }
        self.wait(Some(change), |now| {
            now.epoch > from && now.rotation.is_none()
        })
    }

    /// Where it stands, if the new officers' manifest is in force.
    fn done(&self, change: &Change) -> anyhow::Result<Option<Epochs>> {
        let booted_anew = match self.open(&change.pinned, Purpose::Serve) {
            Ok(_) => true,
            Err(error) if is_another(&error) => false,
            Err(error) => return Err(error.into()),
        };
        let now = self.epochs(Some(change))?;
        let from = note(change)?;
        let passed = from.is_some_and(|from| now.epoch > from && now.rotation.is_none());
        Ok((booted_anew || passed).then_some(now))
    }

    /// Hands over the new manifest unless it is there; the epoch this began in.
    fn begin(&self, change: &Change) -> anyhow::Result<u64> {
        let now = self.epochs(Some(change))?;
        let note = Note {
            genesis: change.pinned.genesis.digest,
            from_epoch: now.epoch,
        };
        write_atomically(&change.note, &serde_json::to_vec(&note)?)?;
        match &now.rotation {
            Some(under_way) if under_way.stage == "awaiting_shares" => {
                say("the appliance has a new manifest already");
            }
            _ => {
                self.ask(&json!({
                    "genesis": change.pinned.genesis.envelope,
                    "config": change.config.envelope,
                }))?;
                say("the appliance took the new manifest and configuration");
            }
        }
        Ok(now.epoch)
    }

    /// Seals one share to a fresh document, as unsealing does. Whether it was the last
    /// one needed.
    fn give(&self, change: &Change, share: &Share) -> anyhow::Result<bool> {
        let mut enclave = self.open(&self.old, Purpose::Unseal)?;
        let sealed = sealed(share, &enclave, &change.pinned.genesis, None)?;
        let reply = match enclave.post_json(SHARE_ROUTE, &sealed) {
            // The last share is answered when the rotation is done, which may take long.
            Err(FetchError::TimedOut) => return Ok(true),
            reply => ShareReply::of(reply?)?,
        };
        say(&format!(
            "share {} of {} taken",
            reply.received, reply.needed
        ));
        Ok(reply.received >= reply.needed)
    }

    /// Reads the epochs until `done`; says every change.
    fn wait(
        &self,
        change: Option<&Change>,
        done: impl Fn(&Epochs) -> bool,
    ) -> anyhow::Result<Epochs> {
        let patience = Duration::from_secs(self.args.wait);
        let mut said = String::new();
        loop {
            let state = match self.epochs(change) {
                Ok(now) if done(&now) => return Ok(now),
                Ok(now) => describe(&now),
                Err(error) => format!("waiting: {error:#}"),
            };
            if self.began.elapsed() >= patience {
                bail!(
                    "not done after {patience:?} ({state}); give the same command again to go on"
                );
            }
            if state != said {
                say(&state);
                said = state;
            }
            std::thread::sleep(POLL);
        }
    }

    fn report(&self, after: &Epochs, change: Option<&Change>) -> Report {
        let genesis = change.map(|change| change.pinned.genesis.digest);
        let mut text = format!("rotated: epoch {}", after.epoch);
        if let Some(digest) = genesis {
            text += &format!("\nmanifest {digest}; clients need its policy.json");
        }
        let json = json!({
            "ok": true,
            "epoch": after.epoch,
            "pending_erasures": after.pending_erasures,
            "genesis": genesis,
            "boot_dir": self.args.boot_dir,
        });
        Report::yes(text, json)
    }
}

fn describe(now: &Epochs) -> String {
    match &now.rotation {
        Some(UnderWay {
            stage,
            shares_received,
            shares_needed,
        }) if *shares_needed > 0 => format!(
            "epoch {}, {stage}: {shares_received} of {shares_needed} shares",
            now.epoch
        ),
        Some(under_way) => format!("epoch {}, {}", now.epoch, under_way.stage),
        None => format!("epoch {}", now.epoch),
    }
}

/// Whether it attests, but under another manifest than asked for. What the officers'
/// policy refuses is refused under any manifest.
fn is_another(error: &FetchError) -> bool {
    use Refusal::{PolicyExpired, TooOld, Withdrawn};
    match error {
        FetchError::Refused(Withdrawn { .. } | PolicyExpired { .. } | TooOld { .. }) => false,
        FetchError::Refused(_) | FetchError::Beside(_) | FetchError::Config(_) => true,
        _ => false,
    }
}

/// From which epoch on this change was begun, if it was.
fn note(change: &Change) -> anyhow::Result<Option<u64>> {
    match std::fs::read(&change.note) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let file = change.note.display();
            let note: Note = serde_json::from_slice(&read?).with_context(|| file.to_string())?;
            Ok((note.genesis == change.pinned.genesis.digest).then_some(note.from_epoch))
        }
    }
}

/// Progress, apart from the one answer on standard output.
fn say(line: &str) {
    eprintln!("redoubt: {line}");
}

/// The new manifest last: until it is there, the old pair or a pair that the enclave
/// refuses is found, and the same command mends it.
fn write_boot_files(folder: &Path, change: &Change) -> anyhow::Result<()> {
    for (name, file) in [
        ("config.json", &change.config.envelope),
        ("genesis.json", &change.pinned.genesis.envelope),
    ] {
        write_atomically(&folder.join(name), &file.to_json())?;
    }
    Ok(sync_folder(folder)?)
}
