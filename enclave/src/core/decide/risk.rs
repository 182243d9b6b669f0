//! What an attempt's risk leads to: it is remembered, and the security team is told.

use redoubt_attestation::amount::ten_thousandths;
use redoubt_attestation::encode::sha256;
use redoubt_shared::VerificationId;
use serde_json::{Value, json};

use super::{Cx, owned};
use crate::core::risk::{Asked, assess, assess_payment};
use crate::core::{
    Act, Activity, Alert, AlertKind, Band, Ending, Event, Moment, Recorded, Risk, SubjectHandle,
    SubjectKey, Tag, Whereabouts,
};

/// Other customers on a device are counted to here.
const OTHERS_MAX: usize = 8;
const PAYEE_DOMAIN: &[u8] = b"redoubt/payee/v1\0";

/// An attempt that ended.
pub(super) struct Noted {
    pub(super) act: Act,
    pub(super) ending: Ending,
    pub(super) from: Whereabouts,
    pub(super) verification: Option<VerificationId>,
    pub(super) risk: Risk,
    /// What else the security team is told of.
    pub(super) alert: Option<AlertKind>,
}

impl Noted {
    /// A login from nowhere in particular.
    pub(super) fn login(ending: Ending, risk: Risk) -> Self {
        Self {
            act: Act::Login,
            ending,
            from: Whereabouts::default(),
            verification: None,
            risk,
            alert: None,
        }
    }

    /// What the security team is told, if anything.
    pub(super) fn alert(&self) -> Option<AlertKind> {
        let high = self.risk.band() == Band::High;
        self.alert.or(high.then_some(AlertKind::HighRisk))
    }

    /// Members of a claim.
    pub(super) fn tell(&self, own: &mut Value) {
        own["fraud_score"] = self.risk.score().into();
        own["anomalies"] = json!(self.risk.names());
        own["alert"] = json!(self.alert().map(AlertKind::name));
    }
}

impl Cx<'_> {
    /// How unusual an attempt of this customer is now.
    pub(super) fn assess(&self, act: Act, handle: SubjectHandle, from: Whereabouts) -> Risk {
        let watch = &self.state.watch;
        let others = from.device.map(|device| self.others_on(device, handle));
        let asked = Asked {
            act,
            at_ms: self.facts.now_ms,
            from,
            others: others.unwrap_or(0),
        };
        match watch.activity(&handle) {
            Some(past) => assess(past, &asked),
            None => assess(&Activity::default(), &asked),
        }
    }

    /// How many other customers used a device.
    pub(super) fn others_on(&self, device: Tag, handle: SubjectHandle) -> usize {
        self.state.watch.others_on(device, handle, OTHERS_MAX)
    }

    /// An attempt, remembered; and an alert, if one is due.
    pub(super) fn noted(&self, handle: SubjectHandle, noted: Noted) -> Vec<Recorded> {
        let alert = noted.alert();
        let alert = alert.map(|kind| self.alert(handle, kind, noted.risk.clone()));
        let moment = Moment {
            at_ms: self.facts.now_ms,
            act: noted.act,
            ending: noted.ending,
            from: noted.from.remembered(),
            risk: noted.risk,
            receipt: self.facts.receipt,
            verification: noted.verification,
        };
        let moment = Box::new(moment);
        let remembered = owned(handle, Event::AttemptNoted { handle, moment });
        std::iter::once(remembered).chain(alert).collect()
    }

    /// An alert; the claim of this command is its evidence.
    pub(super) fn alert(&self, subject: SubjectHandle, kind: AlertKind, risk: Risk) -> Recorded {
        let alert = Alert {
            at_ms: self.facts.now_ms,
            receipt: self.facts.receipt,
            subject,
            kind,
            risk,
        };
        let alert = Box::new(alert);
        owned(subject, Event::AlertRaised { alert })
    }
}

/// A payment as risk sees it.
pub(super) struct Paid {
    payees: Vec<Tag>,
    currency: String,
    /// Of a batch the largest.
    amount: u64,
}

impl Paid {
    /// From the transaction as claims show it; payees are named under the customer's key.
    pub(super) fn of(key: &SubjectKey, transaction: &Value) -> Option<Self> {
        let payments = transaction.get("payments").and_then(Value::as_array);
        let one = std::slice::from_ref(transaction);
        let payments = payments.map_or(one, Vec::as_slice).iter();
        let account =
            |payment: &Value| Some(tag(key, payment.pointer("/payee/account")?.as_str()?));
        let exact = |payment: &Value| ten_thousandths(payment.get("amount")?.as_str()?);
        Some(Self {
            payees: payments.clone().filter_map(account).collect(),
            currency: transaction.get("currency")?.as_str()?.to_owned(),
            amount: payments.filter_map(exact).max()?,
        })
    }

    /// How unusual it is for this customer.
    pub(super) fn assess(&self, cx: &Cx<'_>, handle: SubjectHandle) -> Risk {
        let Some(past) = cx.state.watch.activity(&handle) else {
            return Risk::default();
        };
        let paid = (self.currency.as_str(), self.amount);
        assess_payment(past, cx.facts.now_ms, &self.payees, paid)
    }

    /// Remembered once it is approved.
    pub(super) fn event(self, handle: SubjectHandle) -> Recorded {
        let event = Event::PaymentNoted {
            handle,
            payees: self.payees,
            currency: self.currency,
            amount: self.amount,
        };
        owned(handle, event)
    }
}

/// The key is 32 bytes, so that nothing runs together.
fn tag(key: &SubjectKey, account: &str) -> Tag {
    let digest = sha256(&[PAYEE_DOMAIN, key.expose(), account.as_bytes()]).0;
    let mut tag = [0; 16];
    tag.copy_from_slice(&digest[..16]);
    Tag(tag)
}
