//! Answers that approve: a passkey's, and a face's or a voice's before it.

use redoubt_attestation::artefact::ChallengeInput;
use redoubt_attestation::encode::sha256;
use redoubt_shared::{ApprovalId, UserId, VerificationId};
use serde_json::{Value, json};

use super::super::passkey::Used;
use super::super::policy::{self, Ruled};
use super::super::risk::Paid;
use super::super::{Cx, Decision, attempt, device, owned, stranger};
use super::{claim, open_for};
use crate::core::{
    AlertKind, Approval, Comparison, Effect, Ending, Event, Grant, GrantedBy, GrantedWith, Input,
    Means, Modality, PolicyPlace, Proof, Recorded, Refusal, Reply, Risk, Subject, SubjectHandle,
};

/// A verified assertion and what its claim must repeat.
pub(in crate::core::decide) struct Given {
    pub(in crate::core::decide) assertion: Value,
    pub(in crate::core::decide) used: Used,
    pub(in crate::core::decide) tenant_keys: [String; 2],
    pub(in crate::core::decide) rp_id: String,
}

impl Given {
    /// What a proof says, and the challenge it answers.
    pub(in crate::core::decide) fn of(proof: Proof) -> (Self, [u8; 32]) {
        let used = Used {
            credential_id: proof.credential_id,
            sign_count: proof.sign_count,
            backup_state: proof.backup_state,
        };
        let given = Self {
            assertion: proof.assertion,
            used,
            tenant_keys: proof.tenant_keys,
            rp_id: proof.rp_id,
        };
        (given, proof.challenge)
    }
}

pub(in crate::core::decide) fn give(
    cx: &Cx<'_>,
    id: ApprovalId,
    user: UserId,
    given: Given,
    answered: [u8; 32],
) -> Result<Decision, Refusal> {
    let (approval, approver, subject) = open_for(cx, id, &user)?;
    let handle = approver.subject;
    if let Some(reason) = given.used.why_not(cx, subject)? {
        return refuse(cx, id, user, &given.used.credential_id, reason);
    }
    let passkey = fresh(approval, handle, subject, &given.used)?;
    let before = approval.passkeys_of(handle).count();
    let last = before + 1 == usize::from(approval.terms.devices);
    match approval.lacks(handle).filter(|_| last) {
        None => {}
        Some(Modality::Face) => return Err(Refusal::FaceNeeded),
        Some(Modality::Voice) => return Err(Refusal::VoiceNeeded),
    }
    // The binding is checked here, not trusted: what the claim will say is what
    // the customer's challenge was made from. Another device may have answered this
    // challenge since it was verified.
    let ask = approver.asks.get(before).ok_or(Refusal::AlreadyAnswered)?;
    if answered != ask.challenge {
        return Err(Refusal::AnsweredMeanwhile);
    }
    let purpose = ChallengeInput::PURPOSE;
    let input = claim::input(cx, approval, &user, &given.rp_id, purpose, ask.nonce);
    if input.challenge().0 != ask.challenge {
        return Err(Refusal::ApprovalExpired);
    }
    let ruled = cx.ruled(handle, input_of(cx, approval, subject, handle, &given.used))?;
    if ruled.denies() || (ruled.effect() == Effect::StepUp && !policy::steps_up(approval.terms)) {
        return Ok(denied(cx, id, (handle, subject), &user, &given.used, ruled));
    }
    let done = |other: SubjectHandle| other != handle && approval.complete(other);
    let others = approval.approvers.iter().filter(|one| done(one.subject));
    let complete = last && others.count() + 1 == usize::from(approval.terms.needed);
    let decision = if complete { "approved" } else { "granted" };
    let mut own = claim::signed(id, decision, approval, &input, given.assertion);
    if !approval.terms.plain() {
        own.insert("version".to_owned(), 2.into());
        own.insert("asked".to_owned(), claim::asked(approval.terms));
    }
    if complete {
        claim::name_keys(&mut own, &given.tenant_keys);
        if !approval.terms.plain() {
            let counted = |grant: &&Grant| grant.by == handle || done(grant.by);
            let earlier = claim::grants(approval.grants.iter().filter(counted));
            own.insert("grants".to_owned(), earlier);
        }
    }
    let copied = given.used.copied(subject);
    claim::name_copied(&mut own, copied);
    let mut own = Value::Object(own);
    ruled.tell(&mut own);
    let claim = cx.claim(handle, "approval", &user, None, own);
    let mut events = given.used.events(cx, handle, subject);
    events.extend(copied.map(|kind| cx.alert(handle, kind, Risk::default())));
    let receipt = cx.facts.receipt;
    events.extend(match complete {
        true => Some(owned(handle, Event::ApprovalGiven { id, receipt })),
        false => granted(cx, id, handle, GrantedWith::Passkey(passkey), &claim),
    });
    // What several people approve says nothing of what one of them usually pays.
    let alone = complete && approval.terms.approvers == 1;
    let paid = Paid::of(&subject.key, &claim::transaction(&approval.transaction_jcs));
    events.extend(paid.filter(|_| alone).map(|paid| paid.event(handle)));
    events.push(ruled.event());
    events.push(claim);
    Ok(Decision {
        events,
        reply: Reply::Granted { complete },
    })
}

/// What policy is asked of an answer; of several people it is told no one's risk.
fn input_of(
    cx: &Cx<'_>,
    approval: &Approval,
    subject: &Subject,
    handle: SubjectHandle,
    used: &Used,
) -> Input {
    let transaction = claim::transaction(&approval.transaction_jcs);
    let risk = match approval.terms.approvers {
        1 => super::risk(cx, handle, &transaction),
        _ => Risk::default(),
    };
    Input {
        place: PolicyPlace::ApprovalAnswer,
        risk,
        device: cx.device_seen(subject, &used.credential_id, None),
        sample: None,
        payment: policy::payment(&transaction),
        asked: Some(approval.terms),
    }
}

/// The tenant's policy said no, or asks for more than this approval does: recorded,
/// and the approval goes on waiting. Nothing counts against the device but a counter that
/// did not move on.
fn denied(
    cx: &Cx<'_>,
    id: ApprovalId,
    (handle, subject): (SubjectHandle, &Subject),
    user: &UserId,
    used: &Used,
    ruled: Ruled,
) -> Decision {
    let copied = used.copied(subject);
    let mut own = json!({
        "approval_id": id.to_string(),
        "decision": "refused",
        "reason": policy::DENIED,
        "alert": copied.map(AlertKind::name),
    });
    if copied.is_some() {
        own["sign_count_grew"] = false.into();
    }
    ruled.tell(&mut own);
    let claim = cx.claim(handle, "approval", user, None, own);
    let mut events = vec![ruled.event()];
    events.extend(used.anomaly(handle, subject));
    events.extend(copied.map(|kind| cx.alert(handle, kind, Risk::default())));
    events.push(claim);
    Decision {
        events,
        reply: Reply::Refused,
    }
}

/// A passkey that this approval has not seen: not of the same person, of which one
/// copy counts, and not of another.
fn fresh(
    approval: &Approval,
    handle: SubjectHandle,
    subject: &Subject,
    used: &Used,
) -> Result<GrantedBy, Refusal> {
    let record = subject.passkeys.get(&used.credential_id);
    let record = record.ok_or(Refusal::UnknownCredential)?;
    let passkey = GrantedBy {
        credential_id: record.id.clone(),
        key: sha256(&[&record.public_key]).0,
        backup_eligible: record.backup_eligible,
    };
    for grant in &approval.grants {
        let Some(seen) = grant.with.passkey() else {
            continue;
        };
        let same = seen.credential_id == passkey.credential_id || seen.key == passkey.key;
        if grant.by != handle && same {
            return Err(Refusal::SharedDevice);
        }
        if grant.by == handle && (same || (seen.backup_eligible && passkey.backup_eligible)) {
            return Err(Refusal::SecondDeviceNeeded);
        }
    }
    Ok(passkey)
}

/// An answer that a claim stands for; nothing else is one.
fn granted(
    cx: &Cx<'_>,
    id: ApprovalId,
    by: SubjectHandle,
    with: GrantedWith,
    claim: &Recorded,
) -> Option<Recorded> {
    let grant = Grant {
        by,
        receipt: cx.facts.receipt,
        claim: claim::digest(claim)?,
        with,
    };
    Some(owned(by, Event::ApprovalGranted { id, grant }))
}

/// The verdict on a face or a voice that an approval asks for: an attempt like any other,
/// and an answer if it was accepted while the approval was open. What the attempt was made
/// with is what it answers: a voice no face, a face no voice, and both together neither.
pub(in crate::core::decide) fn sample(
    cx: &Cx<'_>,
    approval: ApprovalId,
    user: UserId,
    id: VerificationId,
    comparison: &Comparison,
) -> Result<Decision, Refusal> {
    // Erased before its attempt was reserved, which so is a stranger's.
    if stranger::holds(cx, id) {
        return attempt::conclude(cx, user, id, comparison, Some(approval));
    }
    let (asked, _) = cx.subject(&user).map_err(|_| Refusal::NotEnrolled)?;
    let modality = match cx.state.attempted_by(&asked, id) {
        Means::Face => Modality::Face,
        Means::Voice => Modality::Voice,
        Means::Both => return Err(Refusal::UnknownAttempt),
    };
    let mut decision = attempt::conclude(cx, user.clone(), id, comparison, Some(approval))?;
    let Ok((open, approver, _)) = open_for(cx, approval, &user) else {
        return Ok(decision);
    };
    let handle = approver.subject;
    let accepted = matches!(
        decision.reply,
        Reply::Verdict {
            ending: Ending::Accepted,
            ..
        }
    );
    if accepted && open.terms.factors.has(modality) && !open.has(handle, modality) {
        let with = GrantedWith::sample(modality);
        let mut events = decision.events.iter();
        let granted = events.find_map(|event| granted(cx, approval, handle, with.clone(), event));
        decision.events.extend(granted);
    }
    Ok(decision)
}

/// A failed answer: recorded, counted against its device, and the approval goes on
/// waiting.
pub(in crate::core::decide) fn refuse(
    cx: &Cx<'_>,
    id: ApprovalId,
    user: UserId,
    credential_id: &[u8],
    reason: &str,
) -> Result<Decision, Refusal> {
    let (handle, _) = cx.subject(&user)?;
    let kind = device::copied(reason);
    let own = json!({
        "approval_id": id.to_string(),
        "decision": "refused",
        "reason": reason,
        "alert": kind.map(AlertKind::name),
    });
    let counted = device::count_refusal(cx, &user, credential_id, reason);
    let alert = kind.map(|kind| cx.alert(handle, kind, Risk::default()));
    let claim = cx.claim(handle, "approval", &user, None, own);
    Ok(Decision {
        events: counted.into_iter().chain(alert).chain([claim]).collect(),
        reply: Reply::Refused,
    })
}
