//! Two signed heads that cannot both be of one history, as a proof anyone can check.
//!
//! Protects everyone against a copy: an appliance that was rolled back and went
//! on, or runs twice, signs heads that contradict each other, and then its own
//! keys accuse it. A proof holds both sides with the documents behind their keys
//! and is judged by the pinned genesis alone. An honest appliance that crashes at
//! any moment leaves nothing here: it signs a head only once its entry is durable,
//! its own term before all others.

use serde::{Deserialize, Serialize};

use crate::appraise;
use crate::artefact::{Boot, KeptDocument, Trust};
use crate::ledger::{Checkpoint, NoteError};

/// Marks the only proof format so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProofType {
    /// `redoubt/contradiction/v1`
    #[serde(rename = "redoubt/contradiction/v1")]
    V1,
}

/// In which way two sides contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// One ledger has two roots at one size.
    TwoRoots,
    /// Two boots went on in one term.
    TwoBootsInOneTerm,
    /// A later term began without what an earlier one had signed.
    Rewound,
}

impl Rule {
    const ALL: [Self; 3] = [Self::TwoRoots, Self::TwoBootsInOneTerm, Self::Rewound];

    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::TwoRoots => "one ledger has two roots at one size",
            Self::TwoBootsInOneTerm => "two boots with different keys went on in one term",
            Self::Rewound => "a later term began without a head that an earlier one had signed",
        }
    }
}

/// A boot's document, and a head it signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Signed note; the later side of `rewound` needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The document of the boot that signed it.
    #[serde(flatten)]
    pub document: KeptDocument,
}

/// The proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Always [`ProofType::V1`].
    #[serde(rename = "type")]
    pub kind: ProofType,
    /// Which rule the sides break.
    pub rule: Rule,
    /// Both sides; for `rewound` the earlier first.
    pub sides: (Side, Side),
}

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// A document.
    #[error("side {side}: {source}")]
    Document {
        /// 1 or 2.
        side: u8,
        /// Why.
        source: appraise::Refusal,
    },
    /// A note.
    #[error("side {side}: {source}")]
    Note {
        /// 1 or 2.
        side: u8,
        /// Why.
        source: NoteError,
    },
    /// Both sides hold, and may both be of one history.
    #[error("the sides do not contradict each other: both may be of one history")]
    NoContradiction,
}

impl ProofError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Document { source, .. } => source.code(),
            Self::Note { .. } => "checkpoint",
            Self::NoContradiction => "no_contradiction",
        }
    }
}

/// A side that was found genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The boot.
    pub boot: Boot,
    /// The head it signed.
    pub head: Option<Checkpoint>,
}

/// Judges a proof by the pinned genesis alone.
pub fn check(proof: &Proof, trust: &Trust) -> Result<(Judged, Judged), ProofError> {
    let first = judge(1, &proof.sides.0, trust)?;
    let second = judge(2, &proof.sides.1, trust)?;
    match breaks(proof.rule, &first, &second) {
        true => Ok((first, second)),
        false => Err(ProofError::NoContradiction),
    }
}

fn judge(side: u8, given: &Side, trust: &Trust) -> Result<Judged, ProofError> {
    let boot = trust
        .boot(&given.document)
        .map_err(|source| ProofError::Document { side, source })?;
    let head = match &given.checkpoint {
        None => None,
        Some(note) => {
            let opened = boot.open(note);
            let opened = opened.map_err(|source| ProofError::Note { side, source })?;
            Some(opened.checkpoint)
        }
    };
    Ok(Judged { boot, head })
}

fn breaks(rule: Rule, first: &Judged, second: &Judged) -> bool {
    match rule {
        Rule::TwoRoots => two_roots(first, second),
        Rule::TwoBootsInOneTerm => two_boots(first, second),
        Rule::Rewound => rewound(first, second),
    }
}

fn two_roots(first: &Judged, second: &Judged) -> bool {
    let (Some(a), Some(b)) = (first.head, second.head) else {
        return false;
    };
    a.ledger == b.ledger && a.size == b.size && a.root != b.root
}

/// Both signed more than the head they found when they began.
fn two_boots(first: &Judged, second: &Judged) -> bool {
    let key = |side: &Judged| side.boot.binding.boot_keys.checkpoint_ed25519.clone();
    let place = |side: &Judged| {
        let binding = &side.boot.binding;
        Some((binding.appliance_ledger()?, binding.term?))
    };
    let (Some(a), Some(b)) = (place(first), place(second)) else {
        return false;
    };
    a == b && key(first) != key(second) && went_on(first) && went_on(second)
}

/// Whether a head stands behind its boot's term entry: every head of a tenant
/// does, and those of the appliance beyond the one that was found.
fn went_on(side: &Judged) -> bool {
    let Some(head) = side.head else { return false };
    let binding = &side.boot.binding;
    if binding.appliance_ledger() != Some(head.ledger) {
        return true;
    }
    binding.head.is_none_or(|found| head.size > found.size)
}

/// The later side's own document shows a head that lacks what the earlier signed.
fn rewound(earlier: &Judged, later: &Judged) -> bool {
    let (old, new) = (&earlier.boot.binding, &later.boot.binding);
    let (Some(head), Some(found)) = (earlier.head, new.head) else {
        return false;
    };
    let one_ledger = new.appliance_ledger() == Some(head.ledger);
    let in_order = old.term.zip(new.term).is_some_and(|(old, new)| old < new);
    let lacks = head.size > found.size || (head.size == found.size && head.root != found.root.0);
    one_ledger && in_order && lacks
}

/// Looks for a contradiction among notes, by the boots of these documents. Notes
/// that no boot signed, and documents that are not of this appliance, are
/// passed over; the caller says so.
pub fn find(notes: &[String], documents: &[KeptDocument], trust: &Trust) -> Option<Proof> {
    let boots: Vec<(&KeptDocument, Boot)> = documents
        .iter()
        .filter_map(|kept| Some((kept, trust.boot(kept).ok()?)))
        .collect();
    let mut sides: Vec<(Side, Judged)> = Vec::new();
    for note in notes {
        for (kept, boot) in &boots {
            if let Ok(opened) = boot.open(note) {
                let side = side(Some(note), kept);
                let head = Some(opened.checkpoint);
                let boot = boot.clone();
                sides.push((side, Judged { boot, head }));
            }
        }
    }
    for (kept, boot) in &boots {
        let (boot, head) = (boot.clone(), None);
        sides.push((side(None, kept), Judged { boot, head }));
    }
    let pairs = sides
        .iter()
        .flat_map(|first| sides.iter().map(move |second| (first, second)));
    pairs
        .flat_map(|pair| Rule::ALL.map(|rule| (rule, pair)))
        .find(|(rule, (first, second))| breaks(*rule, &first.1, &second.1))
        .map(|(rule, (first, second))| Proof {
            kind: ProofType::V1,
            rule,
            sides: (first.0.clone(), second.0.clone()),
        })
}

fn side(note: Option<&String>, kept: &KeptDocument) -> Side {
    Side {
        checkpoint: note.cloned(),
        document: kept.clone(),
    }
}

#[cfg(test)]
#[path = "contradiction_tests.rs"]
mod tests;
