//! A handover over a host that shows the taker something else than the giver wrote.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use redoubt_attestation::binding::Binding;
use redoubt_attestation::encode::{Digest32, from_b64u, sha256};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::handover::boot_key;
use redoubt_attestation::shares::{Envelope, EnvelopeAad, OfficersSecret, envelope_ledger};
use redoubt_bank::{Bank, Connection, Reply};
use redoubt_e2e::handover::{Papers, read};
use redoubt_e2e::peers::Ports;
use redoubt_e2e::process::{run, run_ok};
use redoubt_shared::LedgerId;
use redoubt_shared::store::StoredRecord;
use serde_json::Value;

use super::rollback::show;
use super::{logins, on_appends, served};
use crate::disk::Disk;
use crate::judge::{judge, keeps_its_word};
use crate::lab::{Kind, Lab};
use crate::outcome::{Case, Verdict};
use crate::record::Sealed;
use crate::running::{End, PATIENCE, Running};
use crate::store::{Act, honest};

const GROUP: &str = "handover";
/// What an order is good for that the host wants to outlast.
const SHORT: Duration = Duration::from_secs(5);

pub(super) fn cases() -> Vec<Case> {
    let mut cases = alone();
    for (kind, mode) in [(Kind::Strict, "strict"), (Kind::Lease, "lease")] {
        for (what, cut) in [("cosigned", false), ("kept_from_witnesses", true)] {
            let name = format!("in_reserve_with_its_last_entry_{what}_{mode}");
            cases.push(Case::refused(GROUP, name, move |lab| {
                among_witnesses(&*lab.other(kind)?, cut)
            }));
        }
    }
    cases
}

fn alone() -> Vec<Case> {
    vec![
        Case::refused(GROUP, "in_reserve_and_halted_by_officers", |lab| {
            in_reserve(lab, true)
        }),
        Case::refused(GROUP, "in_reserve_until_the_order_s_end", |lab| {
            in_reserve(lab, false)
        }),
        Case::harmless(GROUP, "shown_as_it_was_written", |lab| {
            Given::new(lab)?.taken(lab, |given| Ok(given.disk.clone()))
        }),
        Case::refused(GROUP, "the_last_entry_hidden", |lab| {
            Given::new(lab)?.taken(lab, |given| {
                let mut disk = given.disk.clone();
                disk.edit(lab.ledgers().appliance).pop();
                Ok(disk)
            })
        }),
        Case::refused(GROUP, "an_older_disk_with_the_envelope", |lab| {
            Given::new(lab)?.taken(lab, |given| {
                let mut disk = lab.history()?.last.clone();
                *disk.edit(given.ledger) = given.disk.records(given.ledger).to_vec();
                Ok(disk)
            })
        }),
        Case::refused(GROUP, "the_envelope_shown_after_the_order_s_end", |lab| {
            Given::good_for(lab, Some(SHORT))?.taken(lab, |given| {
                std::thread::sleep(SHORT);
                Ok(given.disk.clone())
            })
        }),
        Case::refused(
            GROUP,
            "a_giver_that_learns_of_a_rollback_while_it_drains",
            learns,
        ),
        Case::refused(GROUP, "another_enclave_went_on", |lab| {
            Given::new(lab)?.taken(lab, |given| Ok(served(lab, given.disk.clone())?.kill()))
        }),
        Case::refused(GROUP, "the_envelope_given_to_a_third_enclave", to_a_third),
        Case::refused(GROUP, "an_envelope_of_the_host_s_own", |lab| {
            Given::new(lab)?.taken(lab, Given::forged)
        }),
        Case::refused(GROUP, "an_envelope_with_one_bit_flipped", |lab| {
            Given::new(lab)?.taken(lab, |given| {
                let mut disk = given.disk.clone();
                let record = disk.edit(given.ledger).first_mut().context("no envelope")?;
                *record.bytes.last_mut().context("no bytes")? ^= 1;
                Ok(disk)
            })
        }),
    ]
}

/// The giver has written its last entry, and the taker was shown nothing of it yet.
struct Given {
    giver: Running,
    taker: Running,
    papers: Papers,
    signed: PathBuf,
    order: Value,
    /// Where the envelope stands.
    ledger: LedgerId,
    /// What the giver wrote.
    disk: Disk,
    kept: Vec<crate::history::Kept>,
}

impl Given {
    fn new(lab: &Lab) -> Result<Self> {
        Self::good_for(lab, None)
    }

    /// Without witnesses.
    fn good_for(lab: &Lab, time: Option<Duration>) -> Result<Self> {
        Self::of(lab, time, None, false)
    }

    /// By an order that is good for so long, if not for what the tool makes it.
    /// `cut`: witnesses hear nothing from the moment in which the giver is told.
    fn of(lab: &Lab, time: Option<Duration>, witnesses: Option<&Ports>, cut: bool) -> Result<Self> {
        let giver = lab.start_among(lab.history()?.last.clone(), honest(), witnesses)?;
        let end = giver.unseal(lab, None, PATIENCE)?;
        ensure!(end == End::Serving, "an honest disk: {end:?}");
        let kept = logins(lab, &giver, 1)?;
        let taker = lab.start_among(giver.store.snapshot(), honest(), witnesses)?;
        let papers = Papers::new(&lab.appliance, &lab.place()?)?;
        let signed = papers.signed(&giver.url(), &taker.url())?;
        if let Some(time) = time {
            let ends = now_ms()? + u64::try_from(time.as_millis())?;
            let mut order = payload(&read(&signed)?)?;
            order["not_after_ms"] = ends.into();
            let file = papers.sign_blindly(&order)?;
            std::fs::write(&signed, serde_json::to_vec(&file)?)?;
        }
        let officer = officer(lab, &giver)?;
        let file = read(&signed)?;
        if cut {
            giver.peers.as_ref().context("peers")?.allow(0);
        }
        let given = lab.runtime.block_on(papers.give(&officer, &file))?;
        ensure!(given.status == 200, "{given:?}");
        let order = payload(&file)?;
        let digest = |name: &str| serde_json::from_value::<Digest32>(order[name].clone());
        let (recipient, name) = (digest("recipient")?, digest("order")?);
        let disk = giver.store.snapshot();
        Ok(Self {
            ledger: envelope_ledger(lab.ledgers().appliance, &recipient, &name),
            giver,
            taker,
            papers,
            signed,
            order,
            disk,
            kept,
        })
    }

    /// The disk without what the giver wrote last.
    fn hidden(&self, lab: &Lab) -> Disk {
        let mut disk = self.disk.clone();
        disk.edit(lab.ledgers().appliance).pop();
        disk.ledgers.remove(&self.ledger);
        disk
    }

    /// Shows the taker a disk, and has it take.
    fn taken(self, lab: &Lab, show: impl FnOnce(&Self) -> Result<Disk>) -> Result<Verdict> {
        let disk = show(&self)?;
        self.taker.store.edit(|shown| *shown = disk);
        let mut command = self
            .papers
            .run(&self.giver.url(), &self.taker.url(), &self.signed);
        let output = run(command.args(["--wait", "20"]))?;
        if output.status.success() {
            return keeps_its_word(lab, &self.taker, &self.kept);
        }
        if let Some(reason) = self.taker.halted(Duration::from_millis(100))? {
            return judge(lab, &self.taker, End::Halted(reason));
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let named = ["no_envelope", "order_expired"];
        ensure!(named.iter().any(|code| said.contains(code)), "{said}");
        Ok(Verdict::Refused(said.trim().to_owned()))
    }

    /// A disk with an envelope that carries a secret of the host's.
    fn forged(&self) -> Result<Disk> {
        let preimage = self.order["evidence"]["preimage"].as_str();
        let preimage = from_b64u(preimage.context("preimage")?)?;
        let keys = Binding::parse(&preimage)?.boot_keys;
        let mut disk = self.disk.clone();
        let record = disk.edit(self.ledger).first_mut().context("no envelope")?;
        let mut sealed = Sealed::read(&record.bytes)?;
        let carried: Value = serde_json::from_slice(&sealed.ciphertext)?;
        // All that the giver said beside the secret, to the letter.
        let aad = from_b64u(carried["aad"].as_str().context("aad")?)?;
        let aad: EnvelopeAad = serde_json::from_slice(&aad)?;
        let secret = OfficersSecret::generate(&SystemEntropy)?;
        let envelope = Envelope::seal(&secret, &keys.unseal_xwing, &aad, &SystemEntropy)?;
        sealed.ciphertext = envelope.to_json();
        sealed.header[37..].copy_from_slice(&sha256(&[&sealed.ciphertext]).0);
        record.bytes = sealed.write()?;
        Ok(disk)
    }
}

/// The disk goes back before the giver opens; a bank shows what it was told before, in
/// the moment in which the giver is told to hand over.
fn learns(lab: &Lab) -> Result<Verdict> {
    let history = lab.history()?;
    let told = history.receipts.iter().rev().find(|kept| kept.of_a);
    let note = told.context("no receipt")?.receipt["checkpoint"].as_str();
    let note = note.context("no checkpoint")?;
    let giver = served(lab, history.pending.clone())?;
    let taker = lab.start(giver.store.snapshot())?;
    let papers = Papers::new(&lab.appliance, &lab.place()?)?;
    let signed = read(&papers.signed(&giver.url(), &taker.url())?)?;
    let (officer, bank) = (
        officer(lab, &giver)?,
        giver.bank(lab, &lab.appliance.banks.b)?,
    );
    // Both wait behind a batch that the store is slow to acknowledge.
    let slow = || Act::Late(Duration::from_millis(1500));
    giver.store.play(on_appends(slow));
    let pause = || std::thread::sleep(Duration::from_millis(400));
    let given = std::thread::scope(|scope| -> Result<Reply> {
        scope.spawn(|| Ok::<_, anyhow::Error>(lab.runtime.block_on(history.b().login(&bank))));
        pause();
        scope.spawn(|| show(lab, &giver, note));
        pause();
        lab.runtime.block_on(papers.give(&officer, &signed))
    })?;
    let envelopes = giver.store.snapshot().ledgers.len() - history.pending.ledgers.len();
    Ok(
        match (giver.halted(PATIENCE)?, given.status.as_u16(), envelopes) {
            (None, ..) => Verdict::Failed("it never learned of the rollback".into()),
            (Some(reason), 503 | 504, 0) => Verdict::Refused(reason),
            (Some(_), status, left) => {
                Verdict::Failed(format!("it gave: {status}, {left} envelopes"))
            }
        },
    )
}

fn officer(lab: &Lab, at: &Running) -> Result<Bank> {
    Bank::open(&Connection {
        url: at.url(),
        ca: lab.appliance.ca()?,
        client: Some(lab.appliance.banks.officer.1.clone()),
        http2: false,
    })
}

/// A host keeps the taker in reserve: officers hear that it is gone, and unseal a third
/// enclave over a disk without the last entry; then the taker is shown everything.
fn in_reserve(lab: &Lab, halted: bool) -> Result<Verdict> {
    let given = Given::good_for(lab, (!halted).then_some(SHORT))?;
    if halted {
        // Before they unseal another, officers end it: its own answer says that it did.
        let (url, papers) = (given.taker.url(), &given.papers);
        run_ok(&mut papers.halt(&url, &papers.halt_order(&url)?))?;
    }
    let third = served(lab, given.hidden(lab))?;
    if !halted {
        // Or they wait until the order is over.
        std::thread::sleep(SHORT);
    }
    let disk = given.disk.clone();
    given.taker.store.edit(|shown| *shown = disk);
    let output = run(&mut given.papers.take(&given.taker.url(), &given.order["order"]))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = if halted {
        "not_serving"
    } else {
        "order_expired"
    };
    if !said.contains(expected) {
        return Ok(Verdict::Failed(format!("both may serve: {said}")));
    }
    logins(lab, &third, 1)?;
    Ok(Verdict::Refused(said))
}

/// The same where witnesses look on, and nobody halts or waits.
fn among_witnesses(lab: &Lab, cut: bool) -> Result<Verdict> {
    let witnesses = lab.witnesses()?;
    let given = Given::of(lab, None, Some(&witnesses.ports()), cut)?;
    let third = lab.start_among(given.hidden(lab), honest(), Some(&witnesses.ports()))?;
    let first = third.unseal(lab, None, Duration::from_secs(8))?;
    let disk = given.disk.clone();
    given.taker.store.edit(|shown| *shown = disk);
    let (from, to) = (given.giver.url(), given.taker.url());
    let mut command = given.papers.run(&from, &to, &given.signed);
    let took = run(command.args(["--wait", "8"]))?.status.success();
    let goes_on = |running: &Running| logins(lab, running, 1).is_ok();
    let ends = [
        first == End::Serving && goes_on(&third),
        took && goes_on(&given.taker),
    ];
    let why = [&third, &given.taker].map(|running| running.halted(Duration::ZERO));
    let why: Vec<String> = why
        .into_iter()
        .filter_map(|why| why.ok().flatten())
        .collect();
    Ok(match ends {
        [true, true] => Verdict::Failed("both serve".into()),
        // The third's term is introduced: availability is the host's to take.
        [false, false] => Verdict::Refused(format!("neither serves: {first:?}; {why:?}")),
        _ => Verdict::Refused(why.join("; ")),
    })
}

/// What officers signed.
fn payload(signed: &Value) -> Result<Value> {
    let payload = from_b64u(signed["payload"].as_str().context("payload")?)?;
    Ok(serde_json::from_slice(&payload)?)
}

fn now_ms() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_millis())?)
}

/// A third enclave of the same image finds the envelope where its own would stand.
fn to_a_third(lab: &Lab) -> Result<Verdict> {
    let given = Given::new(lab)?;
    let third = lab.start(given.disk.clone())?;
    let evidence = given.papers.evidence(&third.url())?;
    let own = boot_key(&Binding::parse(&evidence)?.boot_keys);
    let name = serde_json::from_value(given.order["order"].clone())?;
    let ledger = envelope_ledger(lab.ledgers().appliance, &own, &name);
    let mut disk = given.disk.clone();
    let record = given
        .disk
        .records(given.ledger)
        .first()
        .context("no envelope")?;
    let mut sealed = Sealed::read(&record.bytes)?;
    sealed.header[1..17].copy_from_slice(ledger.as_bytes());
    let bytes = sealed.write()?;
    disk.edit(ledger).push(StoredRecord {
        ledger,
        index: 0,
        bytes,
    });
    third.store.edit(|shown| *shown = disk);
    let output = run(&mut given.papers.take(&third.url(), &given.order["order"]))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let refused = said.contains("no_envelope") && said.contains("not for this enclave");
    Ok(match refused {
        true => Verdict::Refused(said),
        false => Verdict::Failed(said),
    })
}
