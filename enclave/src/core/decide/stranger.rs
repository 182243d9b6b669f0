//! Faces and voices tried in a name that nobody has: spent, worked on, recorded and refused like a
//! customer's, so that no reply tells who is one. What is kept is a salted hash of the
//! name, for a month, of a bounded number: the one that would be forgotten first gives way.

use redoubt_shared::{UserId, VerificationId};
use serde_json::{Value, json};

use super::risk::Noted;
use super::{Cx, Decision, owned, unowned};
use crate::core::risk::{Asked, FAILURES, FAILURES_MS, assess};
use crate::core::{
    Activity, AlertKind, Comparison, Ending, Event, KeptBudget, KeptBudgets, Means, Recorded,
    Refusal, Reply, Signal, SubjectHandle, Whereabouts,
};

/// Names that nobody has whose failures are kept. What an erased customer had spent is
/// always kept, and so is a lock: where those are as many, further names start afresh at
/// each try.
const STRANGERS_MAX: usize = 16_384;
/// For how long failures in such a name are kept, and twice a lock at least. A customer's
/// are kept for good.
const KEPT_MS: u64 = 30 * 24 * 3_600_000;
const HANDLE: SubjectHandle = SubjectHandle::NOBODY;

/// An attempt in a stranger's name is under way.
pub(super) fn holds(cx: &Cx<'_>, id: VerificationId) -> bool {
    let nobody = cx.state.subjects.get(&HANDLE);
    nobody.is_some_and(|nobody| nobody.attempts.reserved.contains(&id))
}

pub(super) fn reserve(
    cx: &Cx<'_>,
    user: &UserId,
    means: Means,
    id: VerificationId,
    from: Whereabouts,
) -> Result<Decision, Refusal> {
    let nobody = cx.state.subjects.get(&HANDLE);
    let nobody = nobody.ok_or(Refusal::NotEnrolled)?;
    let kept = kept(cx, user);
    // After a restore everybody is locked.
    let all = nobody.attempts.locked_at(cx.facts.now_ms);
    if let Some(until_ms) = kept.locked_until_ms.or(all) {
        return Err(Refusal::Locked { until_ms });
    }
    if kept.failures >= cx.context.max_failures {
        return Err(Refusal::AttemptsInProgress);
    }
    let begun = Event::AttemptBegun {
        handle: HANDLE,
        id,
        from: from.counted(),
        counts_ms: cx.context.lockout_ms,
    };
    let reserved = Event::AttemptReserved { handle: HANDLE, id };
    let mut events = vec![owned(HANDLE, begun), owned(HANDLE, reserved)];
    events.extend(means.tried(HANDLE, id).map(|tried| owned(HANDLE, tried)));
    let spent = keep(cx, user, kept.failures + 1, None);
    let tried = Event::StrangerTried {
        name: hash(cx, user),
        id,
        act: means.act(),
    };
    let tried = (!spent.is_empty()).then(|| unowned(tried));
    events.extend(spent.into_iter().chain(tried));
    Ok(Decision {
        events,
        reply: Reply::Subject(HANDLE),
    })
}

/// The claim says what a customer's says.
pub(super) fn release(
    cx: &Cx<'_>,
    user: &UserId,
    id: VerificationId,
    worker_tier: Option<&str>,
    own: Value,
) -> Decision {
    let kept = kept(cx, user);
    let mut events = ended(id, None);
    if counts(cx, user, id, &kept) {
        events.extend(keep(cx, user, kept.failures.saturating_sub(1), None));
    }
    events.push(cx.claim(HANDLE, "verification", user, worker_tier, own));
    cx.done(events)
}

/// Whatever was compared, it was not the customer.
pub(super) fn conclude(
    cx: &Cx<'_>,
    user: &UserId,
    (id, means): (VerificationId, Means),
    comparison: &Comparison,
    claim: impl FnOnce(Ending, Option<u64>) -> Value,
) -> Decision {
    let (now_ms, ending) = (cx.facts.now_ms, Ending::Failed);
    // Each is counted since it began; those under way have not failed yet.
    let (kept, name) = (kept(cx, user), hash(cx, user));
    let (spent, counts) = (kept.failures, counts(cx, user, id, &kept));
    let failed = spent.saturating_sub(cx.state.strangers.open(&name));
    let locks = counts && spent.min(failed + 1) >= cx.context.max_failures;
    let locked_until_ms = locks.then(|| now_ms.saturating_add(cx.context.lockout_ms));
    let others = comparison.from.device;
    let others = others.map_or(0, |device| cx.others_on(device, HANDLE));
    let asked = Asked {
        act: means.act(),
        at_ms: now_ms,
        from: comparison.from,
        others,
    };
    let mut risk = assess(&Activity::default(), &asked);
    let since_ms = now_ms.saturating_sub(FAILURES_MS);
    if cx.state.strangers.failed(&name, means.act(), since_ms) >= FAILURES {
        risk.signals.push(Signal::RepeatedFailures);
        risk.signals.sort_unstable();
    }
    let mut noted = Noted {
        act: means.act(),
        ending,
        from: comparison.from,
        verification: Some(id),
        risk: risk.clone(),
        alert: locks.then_some(AlertKind::AccountLocked),
    };
    let mut own = claim(ending, locked_until_ms);
    noted.tell(&mut own);
    // Nobody's account was locked: strangers push no alert out.
    noted.alert = None;
    let tier = Some(comparison.sample.worker_tier.as_str());
    let mut events = ended(id, Some(now_ms));
    if counts {
        events.extend(keep(cx, user, spent, locked_until_ms));
    }
    events.extend(cx.noted(HANDLE, noted));
    events.push(cx.claim(HANDLE, "verification", user, tier, own));
    Decision {
        events,
        reply: Reply::Verdict {
            locked_until_ms,
            ending,
            risk,
            lapse: comparison.lapse(),
        },
    }
}

fn ended(id: VerificationId, failed_ms: Option<u64>) -> Vec<Recorded> {
    let ended = Event::AttemptEnded { id, failed_ms };
    let released = Event::AttemptReleased { handle: HANDLE, id };
    vec![owned(HANDLE, ended), owned(HANDLE, released)]
}

fn kept(cx: &Cx<'_>, user: &UserId) -> KeptBudget {
    let found = cx.state.kept.find(user, cx.facts.now_ms);
    found.map_or(KeptBudget::default(), |(_, kept)| kept)
}

/// Whether what is kept of the name has this attempt in it, and may change with it: not
/// if somebody was enrolled under the name since and left, nor where it is locked.
fn counts(cx: &Cx<'_>, user: &UserId, id: VerificationId, kept: &KeptBudget) -> bool {
    kept.locked_until_ms.is_none() && cx.state.strangers.holds(&id, &hash(cx, user))
}

/// The salt that names are hashed under, drawn anew where nothing is kept.
fn salt(cx: &Cx<'_>) -> [u8; 32] {
    cx.state.kept.salt.unwrap_or(cx.facts.subject_key)
}

fn hash(cx: &Cx<'_>, user: &UserId) -> [u8; 32] {
    KeptBudgets::hash(&salt(cx), user)
}

/// What this name has spent from now on, and what gives way to it; nothing, if nothing can.
fn keep(cx: &Cx<'_>, user: &UserId, failures: u32, locked_until_ms: Option<u64>) -> Vec<Recorded> {
    let (now_ms, lockout_ms, kept) = (cx.facts.now_ms, cx.context.lockout_ms, &cx.state.kept);
    let name = hash(cx, user);
    let lasts = now_ms.saturating_add(KEPT_MS.max(lockout_ms.saturating_mul(2)));
    let budget = KeptBudget {
        failures,
        locked_until_ms,
        expires_ms: match locked_until_ms {
            Some(until_ms) => until_ms,
            None if failures > 0 => lasts,
            // With nothing spent it leaves at the next occasion.
            None => now_ms,
        },
    };
    let told = |name, budget| {
        unowned(Event::BudgetKept {
            salt: salt(cx),
            name,
            budget,
            at_ms: now_ms,
        })
    };
    let few = kept.by_name.len() < STRANGERS_MAX || kept.has_expired(now_ms);
    if few || kept.by_name.contains_key(&name) {
        return vec![told(name, budget)];
    }
    // Locks, and what erased customers had spent, do not last longer than this.
    let last = kept.gives_way(now_ms.saturating_add(lockout_ms));
    let gone = last.map(|last| {
        let nothing = KeptBudget {
            expires_ms: now_ms,
            ..KeptBudget::default()
        };
        [told(last, nothing), told(name, budget)]
    });
    gone.map_or_else(Vec::new, Vec::from)
}

/// Members of a claim about an attempt at which nothing was compared.
pub(super) fn released(id: VerificationId, means: Means, reason: &str) -> Value {
    json!({
        "verification_id": id.to_string(), "modality": means.name(), "verdict": "error", "reason": reason,
    })
}
