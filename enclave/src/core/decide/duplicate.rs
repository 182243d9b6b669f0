//! What follows where a customer's face is another customer's too.

use redoubt_shared::EnrollmentId;
use serde_json::{Value, json};

use super::{Cx, unowned};
use crate::core::{
    AlertKind, DuplicateRules, Event, Modality, Recorded, Refusal, Risk, Searched, SubjectHandle,
};

/// What a search came to, under the rules in force.
#[derive(Clone, Copy)]
pub(super) struct Weighed {
    rules: DuplicateRules,
    searched: Searched,
}

/// Refuses every face while too many were refused as duplicates, whoever's it is: an
/// enrolment that is refused for that tells nothing of its face.
pub(super) fn shut(cx: &Cx<'_>, modality: Modality) -> Result<(), Refusal> {
    let Some(rules) = cx.context.duplicates.filter(|_| modality == Modality::Face) else {
        return Ok(());
    };
    let most = rules.refused_per_day;
    let until_ms = cx.state.duplicates_shut_until(most, cx.facts.now_ms);
    match until_ms.filter(|_| rules.refuse) {
        Some(until_ms) => Err(Refusal::EnrollmentsShut { until_ms }),
        None => Ok(()),
    }
}

/// A search under the rules; none where nobody is looked for.
///
/// # Errors
/// [`Refusal::TemplateMoved`] where one is to be made, again.
pub(super) fn weighed(
    cx: &Cx<'_>,
    modality: Modality,
    searched: Option<&Searched>,
) -> Result<Option<Weighed>, Refusal> {
    let Some(rules) = cx.context.duplicates.filter(|_| modality == Modality::Face) else {
        return Ok(None);
    };
    let searched = *searched.ok_or(Refusal::TemplateMoved)?;
    Ok(Some(Weighed { rules, searched }))
}

impl Weighed {
    /// Whether what was asked of a search holds of this one.
    fn holds(&self) -> bool {
        self.searched.per_million <= self.rules.per_million
    }

    /// Whether the enrolment is refused. A search that finds strangers more often than was
    /// asked refuses nobody: it is told.
    fn refused(&self) -> bool {
        self.rules.refuse && self.holds() && self.searched.found.is_some()
    }

    /// Members of a claim: how many, how well, and whether; nobody's name.
    pub(super) fn tell(&self, own: &mut Value) {
        let Searched {
            people,
            incomparable,
            per_million,
            found,
        } = self.searched;
        own["duplicate_search"] = json!({
            "mode": if self.rules.refuse { "refuse" } else { "report" },
            "people": people,
            "incomparable": incomparable,
            "false_positives_per_million": per_million,
            "as_asked": self.holds(),
            "found": found.is_some(),
        });
        own["alert"] = found
            .map(|other| AlertKind::DuplicateFace { other }.name())
            .into();
    }

    /// What the security team is told, of each of the two: whoever asked cannot erase
    /// what is told of whom they asked for.
    pub(super) fn alerts(&self, cx: &Cx<'_>, whose: SubjectHandle) -> Vec<Recorded> {
        let known = |other: &SubjectHandle| cx.state.subjects.contains_key(other);
        let Some(other) = self.searched.found.filter(known) else {
            return Vec::new();
        };
        let told = [(whose, other), (other, whose)];
        told.map(|(whose, other)| {
            let kind = AlertKind::DuplicateFace { other };
            cx.alert(whose, kind, Risk::default())
        })
        .into()
    }

    /// That this enrolment is over; `None` if it is not refused.
    pub(super) fn refusal(&self, cx: &Cx<'_>, id: EnrollmentId) -> Option<Recorded> {
        let found = self.searched.found.filter(|_| self.refused())?;
        let at_ms = cx.facts.now_ms;
        Some(unowned(Event::DuplicateRefused { id, at_ms, found }))
    }
}
