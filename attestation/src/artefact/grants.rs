//! Approvals that took more than one answer: other people, a second device, a face, a voice.
//!
//! Protects against one person counted twice, one device shared by two people, and
//! answers of one approval used in another: each answer is a receipted claim of its
//! own, named by digest in the claim that completed the approval.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_shared::{TenantId, UserId};
use serde::Deserialize;

use super::approval::{SEVERAL, Signed, check_challenge};
use super::trust::Trust;
use super::{Assertion, ChallengeInput, Refusal, verify_receipt};
use crate::encode::{Digest32, sha256};
use crate::ledger::Receipt;

/// Bound on the earlier answers of an approval: 16 people, each with two devices, a face and
/// a voice.
const GRANTS_MAX: usize = 64;
const BACKUP_ELIGIBLE: u8 = 0x08;

/// What the bank asked for, as the claim repeats it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// People who were asked.
    pub approvers: u16,
    /// How many of them must approve.
    pub needed: u16,
    /// Distinct passkeys of each.
    pub devices: u8,
    /// `passkey`, and behind it `face` and `voice` if they were asked for.
    pub factors: Vec<String>,
}

/// An earlier answer, as the completing claim names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    receipt_id: String,
    /// SHA-256 of the claim's text.
    claim: Digest32,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
    receipt_id: String,
    tenant: TenantId,
    approval_id: String,
}

#[derive(Deserialize)]
struct SampleClaims {
    user_id: UserId,
    verdict: String,
    modality: Option<String>,
}

/// One person's answers.
#[derive(Default)]
struct Person {
    passkeys: usize,
    backup_eligible: usize,
    faces: usize,
    voices: usize,
}

/// Counts answers while they are judged.
struct Count<'a> {
    people: BTreeMap<UserId, Person>,
    credentials: BTreeSet<String>,
    keys: BTreeSet<Vec<u8>>,
    challenges: BTreeSet<[u8; 32]>,
    asked: &'a Asked,
}

/// Judges the answers before the last, and whether all together are what was asked
/// for. Returns who approved.
pub(super) fn check(
    completing: &Signed,
    challenge: Digest32,
    receipts: &[Receipt],
    trust: &Trust,
) -> Result<Vec<UserId>, Refusal> {
    let (Some(asked), Some(approval_id), Some(named)) = (
        &completing.asked,
        &completing.approval_id,
        &completing.grants,
    ) else {
        return Err(Refusal::malformed(
            "claims",
            "version 2 without its members",
        ));
    };
    if receipts.len() != named.len() || named.len() > GRANTS_MAX {
        return Err(Refusal::Grants("other receipts than the claim names"));
    }
    let mut count = Count {
        people: BTreeMap::new(),
        credentials: BTreeSet::new(),
        keys: BTreeSet::new(),
        challenges: BTreeSet::new(),
        asked,
    };
    for (index, (receipt, named)) in receipts.iter().zip(named).enumerate() {
        let answer = count.answer(completing, approval_id, receipt, named, trust);
        answer.map_err(|source| Refusal::Answer {
            index,
            source: Box::new(source),
        })?;
    }
    count.passkey(&completing.user_id, &completing.assertion, challenge)?;
    count.complete()
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| Refusal::malformed("grant", error))
}

impl Count<'_> {
    fn answer(
        &mut self,
        completing: &Signed,
        approval_id: &str,
        receipt: &Receipt,
        named: &Named,
        trust: &Trust,
    ) -> Result<(), Refusal> {
        if sha256(&[receipt.claims.as_bytes()]) != named.claim {
            return Err(Refusal::Grants("another claim than the one named"));
        }
        verify_receipt(receipt, trust)?;
        let kind: Kind = read(&receipt.claims)?;
        if kind.receipt_id != named.receipt_id
            || kind.tenant != completing.tenant
            || kind.approval_id != approval_id
        {
            return Err(Refusal::Grants("an answer to another approval"));
        }
        match kind.kind.as_str() {
            "approval" => self.grant(completing, read(&receipt.claims)?),
            "verification" => self.sample(read(&receipt.claims)?),
            _ => Err(Refusal::Grants("a claim that is no answer")),
        }
    }

    fn grant(&mut self, completing: &Signed, grant: Signed) -> Result<(), Refusal> {
        let same = grant.decision == "granted"
            && grant.version == Some(SEVERAL)
            && grant.asked.as_ref() == Some(self.asked)
            && grant.transaction == completing.transaction
            && grant.challenge_input.rp_id == completing.challenge_input.rp_id;
        if !same {
            return Err(Refusal::Grants("an answer to something else"));
        }
        let challenge = check_challenge(&grant, ChallengeInput::PURPOSE)?;
        grant
            .assertion
            .verify(&grant.challenge_input.rp_id, &challenge)?;
        self.passkey(&grant.user_id, &grant.assertion, challenge)
    }

    fn passkey(
        &mut self,
        user: &UserId,
        assertion: &Assertion,
        challenge: Digest32,
    ) -> Result<(), Refusal> {
        let fresh = self.credentials.insert(assertion.credential_id.clone())
            && self.keys.insert(assertion.public_key_cose.clone());
        if !fresh {
            return Err(Refusal::Grants("one passkey counted twice"));
        }
        if !self.challenges.insert(challenge.0) {
            return Err(Refusal::Grants("one challenge answered twice"));
        }
        let person = self.people.entry(user.clone()).or_default();
        person.passkeys += 1;
        let flags = assertion.authenticator_data.get(32).copied();
        if flags.unwrap_or_default() & BACKUP_ELIGIBLE != 0 {
            person.backup_eligible += 1;
        }
        Ok(())
    }

    fn sample(&mut self, sample: SampleClaims) -> Result<(), Refusal> {
        if sample.verdict != "verified" {
            return Err(Refusal::Grants("a face or voice that was not verified"));
        }
        let person = self.people.entry(sample.user_id).or_default();
        match sample.modality.as_deref() {
            // Claims of before voices name none.
            None | Some("facial") => person.faces += 1,
            Some("voice") => person.voices += 1,
            Some(_) => return Err(Refusal::Grants("neither a face nor a voice")),
        }
        Ok(())
    }

    fn complete(self) -> Result<Vec<UserId>, Refusal> {
        let Asked {
            approvers,
            needed,
            devices,
            factors,
        } = self.asked;
        let samples = match factors.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["passkey"] => (0, 0),
            ["passkey", "face"] => (1, 0),
            ["passkey", "voice"] => (0, 1),
            ["passkey", "face", "voice"] => (1, 1),
            _ => {
                return Err(Refusal::malformed(
                    "claims",
                    "factors are passkey, and behind it face, voice or both",
                ));
            }
        };
        let sound = (1..=*approvers).contains(needed) && (1..=2).contains(devices);
        if !sound || self.people.len() != usize::from(*needed) {
            return Err(Refusal::Grants("not as many people as were asked for"));
        }
        let whole = |person: &Person| {
            person.passkeys == usize::from(*devices)
                && (person.faces, person.voices) == samples
                // Copies of one passkey are one device.
                && person.backup_eligible <= 1
        };
        if !self.people.values().all(whole) {
            return Err(Refusal::Grants("somebody lacks a device or a factor"));
        }
        Ok(self.people.into_keys().collect())
    }
}
