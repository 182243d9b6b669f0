//! Rollback and forks where the genesis names witnesses: of three, two must agree.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redoubt_bank::BankError;
use redoubt_bank::receipts::{claims, id};
use redoubt_e2e::peers::Ports;

use super::rollback::alarm;
use super::{appended, logins, on_appends, until_witnessed};
use crate::disk::Disk;
use crate::judge::{judge, keeps_its_word};
use crate::lab::{Kind, Lab};
use crate::outcome::{Case, Verdict};
use crate::running::{End, PATIENCE, Running};
use crate::store::{Act, honest};
use crate::witnesses::LEASE;

const GROUP: &str = "witnesses";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::harmless(GROUP, "rollback_exactly_in_the_unwitnessed_window", window),
        Case::harmless(GROUP, "witnesses_cut_off_longer_than_the_lease", |lab| {
            cut_off(&*lab.other(Kind::Lease)?, true)
        }),
        Case::harmless(GROUP, "witnesses_cut_off_where_each_batch_waits", |lab| {
            cut_off(&*lab.other(Kind::Strict)?, false)
        }),
        Case::harmless(GROUP, "too_few_witnesses_let_through", |lab| {
            let lab = lab.other(Kind::Strict)?;
            too_few(&lab)
        }),
        Case::refused(GROUP, "impostors_in_the_witnesses_places", impostors),
        Case::refused(GROUP, "one_witness_in_all_places", |lab| {
            let lab = lab.other(Kind::Lease)?;
            one_in_all_places(&lab)
        }),
    ];
    for (kind, mode) in [(Kind::Strict, "strict"), (Kind::Lease, "lease")] {
        let name = format!("nothing_attacked_{mode}");
        cases.push(Case::harmless(GROUP, name, move |lab| {
            untouched(&*lab.other(kind)?)
        }));
        for (what, attack) in BOTH {
            let name = format!("{what}_{mode}");
            cases.push(Case::refused(GROUP, name, move |lab| {
                attack(&*lab.other(kind)?)
            }));
        }
    }
    cases
}

type Attack = fn(&Lab) -> Result<Verdict>;

const BOTH: [(&str, Attack); 6] = [
    ("whole_disk_to_the_first_term", |lab| {
        over(lab, &lab.history()?.first)
    }),
    ("whole_disk_to_before_a_payment", |lab| {
        over(lab, &lab.history()?.pending)
    }),
    ("last_batch_dropped_everywhere", last_batch),
    ("acknowledged_into_the_void", void),
    ("second_copy_started_beside_the_first", second_copy),
    ("two_copies_started_at_once", at_once),
];

/// The control: without an attack it serves.
fn untouched(lab: &Lab) -> Result<Verdict> {
    let witnesses = lab.witnesses()?;
    let running = served(lab, &witnesses.ports())?;
    judge(lab, &running, End::Serving)
}

fn over(lab: &Lab, disk: &Disk) -> Result<Verdict> {
    let witnesses = lab.witnesses()?;
    let (running, end) = open_briefly(lab, disk.clone(), &witnesses.ports())?;
    judge(lab, &running, end)
}

/// Opens, and does not wait for witnesses that will never agree.
fn open_briefly(lab: &Lab, disk: Disk, witnesses: &Ports) -> Result<(Running, End)> {
    let running = lab.start_among(disk, honest(), Some(witnesses))?;
    let end = running.unseal(lab, None, Duration::from_secs(6))?;
    Ok((running, end))
}

fn served(lab: &Lab, witnesses: &Ports) -> Result<Running> {
    let (running, end) = lab.open_among(lab.history()?.last.clone(), witnesses)?;
    ensure!(end == End::Serving, "an honest disk: {end:?}");
    Ok(running)
}

/// A batch that witnesses saw is taken back from every ledger.
fn last_batch(lab: &Lab) -> Result<Verdict> {
    let witnesses = lab.witnesses()?;
    let running = served(lab, &witnesses.ports())?;
    let before = running.store.snapshot();
    let seen = logins(lab, &running, 1)?;
    until_witnessed(lab, &running, &seen)?;
    drop(running);
    let (running, end) = open_briefly(lab, before, &witnesses.ports())?;
    judge(lab, &running, end)
}

/// The host acknowledges everything and keeps nothing.
fn void(lab: &Lab) -> Result<Verdict> {
    let witnesses = lab.witnesses()?;
    let running = served(lab, &witnesses.ports())?;
    running
        .store
        .play(on_appends(|| Act::Say(vec![appended()])));
    logins(lab, &running, 2)?;
    std::thread::sleep(LEASE);
    let (running, end) = open_briefly(lab, running.kill(), &witnesses.ports())?;
    judge(lab, &running, end)
}

/// A second enclave on a copy of the disk, while the first one serves.
fn second_copy(lab: &Lab) -> Result<Verdict> {
    let witnesses = lab.witnesses()?;
    let one = served(lab, &witnesses.ports())?;
    logins(lab, &one, 1)?;
    std::thread::sleep(LEASE / 2);
    let (two, end) = lab.open_among(one.store.snapshot(), &witnesses.ports())?;
    if end != End::Serving {
        return judge(lab, &two, end);
    }
    logins(lab, &two, 1)?;
    let stopped = tries(lab, &one, 2 * LEASE)?;
    let Err(error) = stopped else {
        return Ok(Verdict::Failed("both copies acknowledge".into()));
    };
    logins(lab, &two, 1)?;
    let reason = one.halted(Duration::from_secs(3))?.unwrap_or(error);
    Ok(Verdict::Refused(format!("the first copy: {reason}")))
}

/// Logs in until that fails, or for so long. Where the first one gets no answer,
/// the next is told why.
fn tries(lab: &Lab, running: &Running, patience: Duration) -> Result<Result<usize, String>> {
    let began = Instant::now();
    let bank = running.bank(lab, &lab.appliance.banks.a)?;
    let bank = bank.with_deadline(Duration::from_secs(3));
    let (mut acknowledged, mut told) = (0, false);
    while began.elapsed() < patience || told {
        match lab.runtime.block_on(lab.history()?.a().login(&bank)) {
            Ok(_) => (acknowledged, told) = (acknowledged + 1, false),
            Err(BankError::TimedOut(_)) if acknowledged == 0 && !told => told = true,
            Err(error) if acknowledged == 0 => return Ok(Err(error.to_string())),
            Err(_) => break,
        }
    }
    Ok(Ok(acknowledged))
}

/// Two enclaves on copies of one disk, opened in the same moment.
fn at_once(lab: &Lab) -> Result<Verdict> {
    let witnesses = lab.witnesses()?;
    let disk = &lab.history()?.last;
    let open = || open_briefly(lab, disk.clone(), &witnesses.ports());
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(open);
        (open(), other.join())
    });
    let (one, first) = one?;
    let (two, second) = two.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    std::thread::sleep(LEASE);
    let (a, b) = (tries(lab, &one, LEASE / 2)?, tries(lab, &two, LEASE / 2)?);
    let ends = format!("{first:?} and {second:?}");
    Ok(match (a, b) {
        (Ok(_), Ok(_)) => Verdict::Failed(format!("both copies acknowledge: {ends}")),
        (Err(error), Ok(_)) => Verdict::Refused(why(&one, error)?),
        (Ok(_), Err(error)) => Verdict::Refused(why(&two, error)?),
        (Err(error), Err(other)) => {
            let (error, other) = (why(&one, error)?, why(&two, other)?);
            Verdict::Refused(format!("neither goes on: {error}; {other}"))
        }
    })
}

fn why(running: &Running, error: String) -> Result<String> {
    let reason = running.halted(Duration::ZERO)?;
    Ok(reason.map_or(error, |reason| format!("the losing copy: {reason}")))
}

/// The witnesses are cut off, a login goes out under the lease, and is rolled back.
fn window(lab: &Lab) -> Result<Verdict> {
    let lab = &*lab.other(Kind::Lease)?;
    let witnesses = lab.witnesses()?;
    let running = served(lab, &witnesses.ports())?;
    let peers = running.peers.as_ref().context("peers")?;
    let before = running.store.snapshot();
    peers.allow(0);
    let more = logins(lab, &running, 1).context("a login within the lease")?;
    let told = claims(&more[0].receipt)?;
    let window = LEASE.as_millis() as u64;
    if told["freshness"] != "lease" || told["unwitnessed_ms"] != window {
        return Ok(Verdict::Failed(format!(
            "the receipt hides its window: {} {}",
            told["freshness"], told["unwitnessed_ms"]
        )));
    }
    let bank = running.bank(lab, &lab.appliance.banks.a)?;
    let bank = bank.with_deadline(Duration::from_secs(3));
    let lasting = lab.runtime.block_on(bank.receipt(&id(&more[0].receipt)?));
    let Err(refusal) = lasting else {
        return Ok(Verdict::Failed(
            "a lasting receipt without witnesses".into(),
        ));
    };
    ensure!(
        matches!(refusal, BankError::TimedOut(_)) || refusal.code() == Some("not_fresh"),
        "{refusal}"
    );
    drop(running);
    let (running, end) = lab.open_among(before, &witnesses.ports())?;
    match end {
        End::Serving => {}
        other => return judge(lab, &running, other),
    }
    let kept = lab.history()?.receipts.clone();
    if let failed @ Verdict::Failed(_) = keeps_its_word(lab, &running, &kept)? {
        return Ok(failed);
    }
    Ok(match alarm(lab, &running, &more[0].receipt)? {
        Verdict::Refused(text) => Verdict::Harmless(format!(
            "the receipt says unwitnessed_ms {window}; no lasting one was given ({refusal}); \
             after the rollback it opens, and {text}"
        )),
        other => other,
    })
}

/// No witness can be reached: nothing is acknowledged, and it resumes.
fn cut_off(lab: &Lab, wait: bool) -> Result<Verdict> {
    let witnesses = lab.witnesses()?;
    let running = served(lab, &witnesses.ports())?;
    let peers = running.peers.as_ref().context("peers")?;
    peers.allow(0);
    if wait {
        std::thread::sleep(LEASE + LEASE / 4);
    }
    let Err(error) = tries(lab, &running, LEASE)? else {
        return Ok(Verdict::Failed("acknowledged without witnesses".into()));
    };
    peers.allow(usize::MAX);
    let more = resumes(lab, &running)?;
    match keeps_its_word(lab, &running, &more)? {
        Verdict::Harmless(text) => Ok(Verdict::Harmless(format!(
            "the bank saw: {error}; resumes when witnesses answer; {text}"
        ))),
        other => Ok(other),
    }
}

/// One witness of the two needed.
fn too_few(lab: &Lab) -> Result<Verdict> {
    let witnesses = lab.witnesses()?;
    let running = served(lab, &witnesses.ports())?;
    let peers = running.peers.as_ref().context("peers")?;
    peers.allow(1);
    match tries(lab, &running, LEASE)? {
        Ok(_) => Ok(Verdict::Failed("acknowledged with too few".into())),
        Err(error) => {
            peers.allow(2);
            resumes(lab, &running)?;
            Ok(Verdict::Harmless(format!(
                "the bank saw: {error}; resumes with two"
            )))
        }
    }
}

fn resumes(lab: &Lab, running: &Running) -> Result<Vec<crate::history::Kept>> {
    let began = Instant::now();
    loop {
        match logins(lab, running, 1) {
            Ok(more) => return Ok(more),
            Err(error) if began.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Another appliance's witnesses, under the same names.
fn impostors(lab: &Lab) -> Result<Verdict> {
    let witnesses = lab.other(Kind::Strict)?.witnesses()?;
    let lab = lab.other(Kind::Lease)?;
    let (running, end) = open_briefly(&lab, lab.history()?.last.clone(), &witnesses.ports())?;
    judge(&lab, &running, end)
}

/// One true witness, wherever the enclave asks for any.
fn one_in_all_places(lab: &Lab) -> Result<Verdict> {
    let witnesses = lab.witnesses()?;
    let mut ports = witnesses.ports();
    let first = ports.values().next().copied().context("a witness")?;
    ports.values_mut().for_each(|port| *port = first);
    let (running, end) = open_briefly(lab, lab.history()?.last.clone(), &ports)?;
    judge(lab, &running, end)
}
