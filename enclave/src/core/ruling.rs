//! What a tenant's own policy is asked, what it answers, and what is remembered of it.
//!
//! Protects the rules that protect people: the answer comes in as a fact, is taken
//! only for the very question that is decided, and can only make a decision
//! stricter. Nothing here evaluates anything, so a replay does not either.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::approval::Terms;
use super::device::KeyCustody;
use super::event::Event;
use super::risk::{Band, Risk};
use super::state::{SubjectHandle, TenantState};
use redoubt_shared::ReceiptId;

/// Decisions that are remembered of a tenant; the oldest gives way.
pub const DECISIONS_MAX: usize = 512;
const REASONS_MAX: usize = 8;
const REASON_MAX: usize = 64;

/// Where a decision falls. Variants are append-only: postcard numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyPlace {
    /// A passkey login that was verified.
    Login,
    /// A face that matched.
    Face,
    /// An approval that is asked for.
    ApprovalRequest,
    /// A passkey's answer to one, verified.
    ApprovalAnswer,
    /// A voice that matched.
    Voice,
    /// A face and a voice that matched together.
    FaceAndVoice,
}

impl PolicyPlace {
    /// A stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Face => "face",
            Self::ApprovalRequest => "approval_request",
            Self::ApprovalAnswer => "approval_answer",
            Self::Voice => "voice",
            Self::FaceAndVoice => "face_and_voice",
        }
    }
}

/// What is known of the device that signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSeen {
    /// What is known of where it keeps its key.
    pub key: KeyCustody,
    /// Its trust score, in hundredths.
    pub trust: u8,
    /// Whether it verified the user; not told of answers.
    pub user_verified: Option<bool>,
}

/// What is known of a face or voice that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleSeen {
    /// Coarse score, in hundredths.
    pub confidence: u8,
    /// Quality, in hundredths.
    pub quality: u8,
    /// Tier of the worker that saw the sample.
    pub worker_tier: String,
    /// How live a face looked, in hundredths, where somebody looked.
    pub liveness: Option<u8>,
}

/// A payment, without names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentSeen {
    /// ISO 4217 code.
    pub currency: String,
    /// Amount or total, in ten-thousandths.
    pub total: u64,
    /// How many payments it is.
    pub payments: u16,
}

/// The facts of one decision, without names, addresses and templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Where it falls.
    pub place: PolicyPlace,
    /// How unusual it is.
    pub risk: Risk,
    /// Of a login or an answer.
    pub device: Option<DeviceSeen>,
    /// Of a face or voice.
    pub sample: Option<SampleSeen>,
    /// Of an approval.
    pub payment: Option<PaymentSeen>,
    /// Of an approval: what the typed rules ask for.
    pub asked: Option<Terms>,
}

impl Input {
    /// As Rego sees it. What does not apply is left out.
    pub fn to_json(&self) -> Value {
        let mut input = Map::new();
        let mut put = |name: &str, value: Value| input.insert(name.to_owned(), value);
        put("place", self.place.name().into());
        put(
            "risk",
            json!({
                "score": self.risk.score(),
                "band": match self.risk.band() {
                    Band::Low => "low",
                    Band::Medium => "medium",
                    Band::High => "high",
                },
                "signals": self.risk.names(),
            }),
        );
        if let Some(device) = &self.device {
            let mut seen = json!({
                "key": match device.key {
                    KeyCustody::Hardware => "hardware",
                    KeyCustody::Synced => "synced",
                    KeyCustody::Unproven => "unproven",
                },
                "trust": hundredths(device.trust),
            });
            if let Some(verified) = device.user_verified {
                seen["user_verified"] = verified.into();
            }
            put("device", seen);
        }
        if let Some(sample) = &self.sample {
            let mut seen = json!({
                "confidence": hundredths(sample.confidence),
                "quality": hundredths(sample.quality),
                "worker_tier": sample.worker_tier,
            });
            if let Some(liveness) = sample.liveness {
                seen["liveness"] = hundredths(liveness).into();
            }
            put("sample", seen);
        }
        if let Some(payment) = &self.payment {
            put(
                "payment",
                json!({
                    "currency": payment.currency,
                    "total_e4": payment.total,
                    "payments": payment.payments,
                }),
            );
        }
        if let Some(asked) = &self.asked {
            put(
                "asked",
                json!({
                    "approvers": asked.approvers,
                    "needed": asked.needed,
                    "devices": asked.devices,
                    "face": asked.factors.face,
                    "voice": asked.factors.voice,
                }),
            );
        }
        Value::Object(input)
    }
}

fn hundredths(value: u8) -> f64 {
    f64::from(value) / 100.0
}

/// How strict an answer is; the greater of two is the stricter. Variants are
/// append-only: postcard numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing beside what the typed rules ask.
    Allow,
    /// More is needed.
    StepUp,
    /// No.
    Deny,
}

impl Effect {
    /// A stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::StepUp => "step_up",
            Self::Deny => "deny",
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// How strict.
    pub effect: Effect,
    /// The policy's own words, or ours for its failure.
    pub reasons: Vec<String>,
}

impl Ruling {
    /// Where no bundle is active.
    pub const NONE: Self = Self {
        effect: Effect::Allow,
        reasons: Vec::new(),
    };

    /// Whatever goes wrong is a no.
    pub fn failed(why: &str) -> Self {
        Self {
            effect: Effect::Deny,
            reasons: vec![why.to_owned()],
        }
    }

    /// Whether its reasons are words, and so few and short that they may be kept.
    pub fn fits(&self) -> bool {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let word =
            |reason: &String| (1..=REASON_MAX).contains(&reason.len()) && reason.bytes().all(known);
        self.reasons.len() <= REASONS_MAX && self.reasons.iter().all(word)
    }

    /// As claims and replies say it.
    pub fn to_json(&self) -> Value {
        json!({ "effect": self.effect.name(), "reasons": self.reasons })
    }
}

/// What has to be answered before a command can be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// SHA-256 of the bundle that is to answer.
    pub bundle: [u8; 32],
    /// The facts.
    pub input: Input,
}

/// A question with its answer: a fact for the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The bundle's.
    Given {
        /// What was asked.
        question: Question,
        /// What it said.
        ruling: Ruling,
    },
    /// The facts went on changing while it was asked.
    Unsettled,
}

/// A decision as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Whose, or of several the first who was asked.
    pub subject: SubjectHandle,
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// Its claim.
    pub receipt: ReceiptId,
    /// SHA-256 of the bundle that ruled, if one was active.
    pub bundle: Option<[u8; 32]>,
    /// The facts.
    pub input: Input,
    /// The answer.
    pub ruling: Ruling,
}

/// The event of this room. Those of a subject that is gone change nothing.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    if let Event::Ruled { decided } = event
        && state.subjects.contains_key(&decided.subject)
    {
        keep(state, Decided::clone(decided));
    }
}

/// Remembers a decision; the oldest gives way.
pub(super) fn keep(state: &mut TenantState, decided: Decided) {
    let at = (decided.at_ms, decided.receipt);
    state.decisions.insert(at, decided.into());
    let oldest = state.decisions.get_min().map(|(at, _)| *at);
    if let Some(oldest) = oldest.filter(|_| state.decisions.len() > DECISIONS_MAX) {
        state.decisions.remove(&oldest);
    }
}

/// Forgets a subject that leaves.
pub(super) fn forget(state: &mut TenantState, handle: &SubjectHandle) {
    let others = state.decisions.iter();
    let others = others.filter(|(_, decided)| decided.subject != *handle);
    state.decisions = others.map(|(at, decided)| (*at, decided.clone())).collect();
}
