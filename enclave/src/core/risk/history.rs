//! What is remembered of a customer's attempts, bounded.

use std::collections::VecDeque;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use redoubt_shared::{ReceiptId, VerificationId};
use serde::{Deserialize, Serialize};

use super::{Risk, Tag, Whereabouts};
use crate::core::event::Event;
use crate::core::state::{SubjectHandle, TenantState};

/// Moments kept of one customer; the oldest gives way.
pub const HISTORY_MAX: usize = 32;
/// Payees kept of one customer; the one paid longest ago gives way.
const PAYEES_MAX: usize = 64;
/// Currencies kept of one customer; the one used longest ago gives way.
const CURRENCIES_MAX: usize = 16;
/// Alerts kept of one tenant; what gives way stays in the ledger. Half of them at most are
/// of duplicates once there are so many.
const ALERTS_MAX: usize = 1000;

/// What was attempted. Variants are append-only: postcard numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Act {
    /// A login with a passkey.
    Login,
    /// A verification of a face.
    Face,
    /// A verification of a voice.
    Voice,
    /// A verification of a face and a voice together.
    Both,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It counts.
    Accepted,
    /// It was not the customer, as far as could be shown.
    Failed,
    /// It matched, and the risk was high.
    Suspicious,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// What.
    pub act: Act,
    /// How it ended.
    pub ending: Ending,
    /// Whence, without the address, at which no rule looks.
    pub from: Whereabouts,
    /// How unusual it was.
    pub risk: Risk,
    /// Its evidence.
    pub receipt: ReceiptId,
    /// The verification, if it was one.
    pub verification: Option<VerificationId>,
}

/// Attempts since the customer came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Logins that were accepted.
    pub logins: u32,
    /// Logins that were refused.
    pub logins_refused: u32,
    /// Samples that were verified.
    pub faces: u32,
    /// Samples that were rejected.
    pub faces_rejected: u32,
    /// Attempts that were suspicious.
    pub suspicious: u32,
}

/// What is remembered of one customer.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The latest attempts, oldest first.
    pub moments: VecDeque<Moment>,
    /// Payees of approved payments, latest last.
    pub payees: VecDeque<Tag>,
    /// The most that was approved at once, by currency, in ten-thousandths; latest last.
    pub largest: VecDeque<(String, u64)>,
    /// Attempts of all time.
    pub counts: Counts,
}

/// Why the security team is told. Variants are append-only: postcard numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertKind {
    /// The risk of an attempt was high.
    HighRisk,
    /// Failures locked an account.
    AccountLocked,
    /// A signature counter did not move on: somebody may have copied a key
    /// (WebAuthn Level 3 section 6.1.1).
    SignCountNotIncreased,
    /// A device was flagged as compromised.
    DeviceCompromised,
    /// One of two customers with one face, where one of them enrolled, or tried to. Both
    /// have such an alert: neither is erased with the other.
    DuplicateFace {
        /// The other of them.
        other: SubjectHandle,
    },
}

impl AlertKind {
    /// A stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HighRisk => "high_risk",
            Self::AccountLocked => "account_locked",
            Self::SignCountNotIncreased => "sign_count_not_increased",
            Self::DeviceCompromised => "device_compromised",
            Self::DuplicateFace { .. } => "duplicate_face",
        }
    }

    fn is_duplicate(self) -> bool {
        matches!(self, Self::DuplicateFace { .. })
    }
}

/// One thing to tell the security team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// Its evidence: the claim of what raised it.
    pub receipt: ReceiptId,
    /// About whom.
    pub subject: SubjectHandle,
    /// Why.
    pub kind: AlertKind,
    /// How unusual the attempt was.
    pub risk: Risk,
}

type AlertKey = (u64, ReceiptId, SubjectHandle);

/// What is remembered of a tenant's customers. A clone shares everything with its original.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Watch {
    of: OrdMap<SubjectHandle, Arc<Activity>>,
    /// Who was accepted on which device, as far as it is remembered.
    users: OrdSet<(Tag, SubjectHandle)>,
    /// By when, claim and subject: one claim may be told of two.
    alerts: OrdMap<AlertKey, Arc<Alert>>,
}

impl Watch {
    /// What is remembered of a customer.
    pub fn activity(&self, subject: &SubjectHandle) -> Option<&Arc<Activity>> {
        self.of.get(subject)
    }

    /// Everyone, in the order of their handles.
    pub fn activities(&self) -> impl Iterator<Item = (&SubjectHandle, &Arc<Activity>)> {
        self.of.iter()
    }

    /// Alerts, latest first.
    pub fn alerts(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.alerts.values().rev()
    }

    /// How many customers besides this one used a device; counts to `most`.
    pub fn others_on(&self, device: Tag, subject: SubjectHandle, most: usize) -> usize {
        let (first, last) = (SubjectHandle([0; 16]), SubjectHandle([0xff; 16]));
        let users = self.users.range((device, first)..=(device, last));
        users
            .filter(|(_, user)| *user != subject)
            .take(most)
            .count()
    }

    /// Takes over what a snapshot holds of a customer.
    pub(in crate::core) fn keep(&mut self, subject: SubjectHandle, activity: Activity) {
        let devices = activity.moments.iter().filter_map(Moment::known_device);
        self.users.extend(devices.map(|device| (device, subject)));
        self.of.insert(subject, Arc::new(activity));
    }

    /// Takes over an alert; if there are too many one gives way.
    pub(in crate::core) fn raise(&mut self, alert: Alert) {
        let at = (alert.at_ms, alert.receipt, alert.subject);
        self.alerts.insert(at, Arc::new(alert));
        let full = self.alerts.len() > ALERTS_MAX;
        if let Some(gone) = full.then(|| self.alert_that_gives_way()).flatten() {
            self.alerts.remove(&gone);
        }
    }

    /// The oldest alert, of duplicates while those are more than half: enrolments, which
    /// are not throttled, do not push out what attempts raised.
    fn alert_that_gives_way(&self) -> Option<AlertKey> {
        let all = self.alerts.iter();
        let mut duplicates = all.filter(|(_, alert)| alert.kind.is_duplicate());
        let oldest = duplicates.next().map(|(at, _)| *at);
        let many = duplicates.count() >= ALERTS_MAX / 2;
        let any = || self.alerts.get_min().map(|(at, _)| *at);
        oldest.filter(|_| many).or_else(any)
    }

    fn note(&mut self, subject: SubjectHandle, moment: Moment) {
        let mut activity = self.of.get(&subject).cloned().unwrap_or_default();
        let own = Arc::make_mut(&mut activity);
        own.counts.add(&moment);
        let gone = own.gives_way(&moment).and_then(|at| own.moments.remove(at));
        if let Some(device) = gone.and_then(|gone| gone.known_device()) {
            self.users.remove(&(device, subject));
        }
        own.moments.push_back(moment);
        let devices = own.moments.iter().filter_map(Moment::known_device);
        self.users.extend(devices.map(|device| (device, subject)));
        self.of.insert(subject, activity);
    }

    fn pay(&mut self, subject: SubjectHandle, payees: &[Tag], currency: &str, amount: u64) {
        let mut activity = self.of.get(&subject).cloned().unwrap_or_default();
        let own = Arc::make_mut(&mut activity);
        for payee in payees {
            own.payees.retain(|known| known != payee);
            own.payees.push_back(*payee);
        }
        let over = own.payees.len().saturating_sub(PAYEES_MAX);
        own.payees.drain(..over);
        let known = own.largest.iter().position(|(known, _)| known == currency);
        let before = known.and_then(|at| own.largest.remove(at));
        let most = before.map_or(amount, |(_, most)| most.max(amount));
        own.largest.push_back((currency.to_owned(), most));
        let over = own.largest.len().saturating_sub(CURRENCIES_MAX);
        own.largest.drain(..over);
        self.of.insert(subject, activity);
    }
}

impl Moment {
    /// The device, if it is the customer's as far as anybody knows.
    fn known_device(&self) -> Option<Tag> {
        let accepted = self.ending == Ending::Accepted;
        self.from.device.filter(|_| accepted)
    }

    /// What it competes with for memory: logins with logins, failures with failures.
    fn class(&self) -> (Act, bool) {
        (self.act, self.ending == Ending::Accepted)
    }
}

impl Activity {
    /// Which moment gives way to another, if there are too many: the oldest of the
    /// class that has most. So failures, which anybody can cause, do not push out what
    /// the customer did, nor logins, which say no place, what faces said.
    fn gives_way(&self, to: &Moment) -> Option<usize> {
        let size = |class: (Act, bool)| {
            let of = self.moments.iter().chain([to]);
            of.filter(|one| one.class() == class).count()
        };
        let full = self.moments.len() >= HISTORY_MAX;
        let classes = self.moments.iter().map(Moment::class);
        let largest = classes.max_by_key(|class| size(*class)).filter(|_| full)?;
        self.moments.iter().position(|one| one.class() == largest)
    }
}

impl Counts {
    fn add(&mut self, moment: &Moment) {
        let count = match (moment.act, moment.ending) {
            (_, Ending::Suspicious) => &mut self.suspicious,
            (Act::Login, Ending::Accepted) => &mut self.logins,
            (Act::Login, Ending::Failed) => &mut self.logins_refused,
            (Act::Face | Act::Voice | Act::Both, Ending::Accepted) => &mut self.faces,
            (Act::Face | Act::Voice | Act::Both, Ending::Failed) => &mut self.faces_rejected,
        };
        *count = count.saturating_add(1);
    }
}

/// The events of this room. Those of a subject that is gone change nothing.
pub(in crate::core) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::AttemptNoted { handle, moment } if state.subjects.contains_key(handle) => {
            state.watch.note(*handle, Moment::clone(moment));
        }
        Event::PaymentNoted {
            handle,
            payees,
            currency,
            amount,
        } if state.subjects.contains_key(handle) => {
            state.watch.pay(*handle, payees, currency, *amount);
        }
        Event::AlertRaised { alert } if state.subjects.contains_key(&alert.subject) => {
            state.watch.raise(Alert::clone(alert));
        }
        _ => {}
    }
}

/// Forgets a subject that leaves.
pub(in crate::core) fn forget(state: &mut TenantState, handle: &SubjectHandle) {
    let watch = &mut state.watch;
    if let Some(activity) = watch.of.remove(handle) {
        for device in activity.moments.iter().filter_map(Moment::known_device) {
            watch.users.remove(&(device, *handle));
        }
    }
    let others = watch.alerts.iter();
    let others = others.filter(|(_, alert)| alert.subject != *handle);
    watch.alerts = others.map(|(at, alert)| (*at, Arc::clone(alert))).collect();
}
