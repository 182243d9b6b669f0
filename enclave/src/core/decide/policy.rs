//! A tenant's own policy: which bundle is in force, and what its answers lead to.

use redoubt_attestation::amount::ten_thousandths;
use serde_json::{Value, json};

use super::{Cx, Decision, owned, unowned};
use crate::core::bundle::{Activation, Bundle};
use crate::core::device::{KeyCustody, trust};
use crate::core::ruling::{Answer, Decided, DeviceSeen, Effect, Input, PaymentSeen, Question};
use crate::core::{Event, Recorded, Refusal, Ruling, Subject, SubjectHandle, Terms};

/// The reason that claims give where the tenant's policy said no.
pub(super) const DENIED: &str = "policy_denied";

/// Takes a bundle that was verified, compiled and tested.
pub(super) fn take(
    cx: &Cx<'_>,
    bundle: Box<Bundle>,
    signers: &[String],
) -> Result<Decision, Refusal> {
    if bundle.version <= cx.state.bundles.highest {
        return Err(Refusal::BundleRolledBack);
    }
    let activation = activation(cx, bundle.version, Some(bundle.digest), false);
    let claim = told(cx, &activation, signers);
    let event = Event::BundleTaken { bundle, activation };
    Ok(cx.done(vec![unowned(event), claim]))
}

/// Goes back to an earlier bundle, or with version 0 to none, by an order that was
/// given when `after` was the last activation.
pub(super) fn choose(
    cx: &Cx<'_>,
    version: u64,
    after: u64,
    signers: &[String],
) -> Result<Decision, Refusal> {
    let bundles = &cx.state.bundles;
    if bundles.ordinal() != after {
        return Err(Refusal::ActivationMoved);
    }
    let kept = bundles.kept.get(&version);
    if version != 0 && kept.is_none() {
        return Err(Refusal::UnknownBundle);
    }
    let activation = activation(cx, version, kept.map(|bundle| bundle.digest), true);
    let claim = told(cx, &activation, signers);
    Ok(cx.done(vec![unowned(Event::BundleChosen { activation }), claim]))
}

fn activation(cx: &Cx<'_>, version: u64, digest: Option<[u8; 32]>, rollback: bool) -> Activation {
    Activation {
        ordinal: cx.state.bundles.ordinal() + 1,
        version,
        digest,
        at_ms: cx.facts.now_ms,
        receipt: cx.facts.receipt,
        rollback,
    }
}

fn told(cx: &Cx<'_>, activation: &Activation, signers: &[String]) -> Recorded {
    let before = cx.state.bundles.last();
    let own = json!({
        "activation": activation.ordinal,
        "version": activation.version,
        "digest": activation.digest.map(hex::encode),
        "previous_version": before.map_or(0, |before| before.version),
        "rollback": activation.rollback,
        "signers": signers,
    });
    cx.claim_about_nobody("policy_activation", own)
}

/// What the tenant's policy made of a decision that the typed rules allow.
pub(super) struct Ruled(Decided);

impl Ruled {
    pub(super) fn effect(&self) -> Effect {
        self.0.ruling.effect
    }

    pub(super) fn denies(&self) -> bool {
        self.effect() == Effect::Deny
    }

    /// A member of a claim, where a bundle is in force.
    pub(super) fn tell(&self, own: &mut Value) {
        if self.0.bundle.is_some() {
            own["policy_ruling"] = self.0.ruling.to_json();
        }
    }

    /// Remembered, so that another bundle can be tried against it.
    pub(super) fn event(self) -> Recorded {
        let decided = Box::new(self.0);
        owned(decided.subject, Event::Ruled { decided })
    }
}

impl Cx<'_> {
    /// The ruling on these facts. Without a bundle there is none; with one the answer
    /// must have come in, and be its answer to exactly this.
    pub(super) fn ruled(&self, subject: SubjectHandle, input: Input) -> Result<Ruled, Refusal> {
        let active = self.state.bundles.active().map(|bundle| bundle.digest);
        let ruling = match (active, self.answer) {
            (None, _) => Ruling::NONE,
            (Some(_), Some(Answer::Unsettled)) => Ruling::failed("policy_unsettled"),
            (Some(bundle), answer) => {
                let asked = Question {
                    bundle,
                    input: input.clone(),
                };
                match answer {
                    Some(Answer::Given { question, ruling }) if *question == asked => {
                        ruling.clone()
                    }
                    _ => return Err(Refusal::PolicyAsks(Box::new(asked))),
                }
            }
        };
        Ok(Ruled(Decided {
            subject,
            at_ms: self.facts.now_ms,
            receipt: self.facts.receipt,
            bundle: active,
            input,
            ruling,
        }))
    }

    /// What is known of the passkey that signed.
    pub(super) fn device_seen(
        &self,
        subject: &Subject,
        credential_id: &[u8],
        user_verified: Option<bool>,
    ) -> Option<DeviceSeen> {
        let record = subject.passkeys.get(credential_id)?;
        let device = self.state.device(subject.device_id(credential_id));
        let score = trust(record, &device, self.facts.now_ms).score;
        Some(DeviceSeen {
            key: KeyCustody::of(record),
            trust: hundredths(score),
            user_verified,
        })
    }
}

/// A score between 0 and 1.
pub(super) fn hundredths(score: impl Into<f64>) -> u8 {
    (score.into() * 100.0).round().clamp(0.0, 100.0) as u8
}

/// A payment as policy sees it, from the transaction as claims show it.
pub(super) fn payment(transaction: &Value) -> Option<PaymentSeen> {
    let payments = transaction.get("payments").and_then(Value::as_array);
    let total = transaction.get("total").or(transaction.get("amount"))?;
    Some(PaymentSeen {
        currency: transaction.get("currency")?.as_str()?.to_owned(),
        total: ten_thousandths(total.as_str()?)?,
        payments: payments.map_or(1, |all| all.len() as u16),
    })
}

/// Whether an approval asks for more than one passkey, which meets a step-up. A voice does
/// not: a recording of it would.
pub(super) fn steps_up(terms: Terms) -> bool {
    terms.devices > 1 || terms.factors.face
}
