//! FIDO metadata: taken, judged at the time of now, acted on.

use serde_json::{Value, json};

use super::{Cx, Decision, unowned};
use crate::core::{Aaguid, Event, ModelsChanged, Refusal, Reply};
use crate::passkeys::metadata::{Condensed, Status, spelt};

/// Takes a BLOB that was verified. That its number does not go back is decided
/// here, whatever it was compared with before.
pub(super) fn take(cx: &Cx<'_>, metadata: Box<Condensed>) -> Result<Decision, Refusal> {
    let seen = metadata.seen();
    let last = cx.state.models.metadata.as_ref();
    let last = last.map(|metadata| metadata.seen());
    if last.is_some_and(|last| last.number > seen.number) {
        return Err(Refusal::MetadataRolledBack);
    }
    if last.is_some_and(|last| last.number == seen.number && last.digest != seen.digest) {
        return Err(Refusal::MetadataForked);
    }
    let (judged, changed) = judgement(cx, &metadata);
    let reply = Reply::Models(Box::new(changed.clone()));
    if last == Some(seen) && changed.is_empty() {
        let events = Vec::new();
        return Ok(Decision { events, reply });
    }
    let now_ms = cx.facts.now_ms;
    let own = json!({
        "number": seen.number,
        "payload_sha256": hex::encode(seen.digest),
        "previous_number": last.map(|last| last.number),
        "next_update": metadata.next_update().map(|day| day.to_string()),
        "overdue": metadata.is_overdue_at(now_ms),
        "compromised": named(&changed.compromised),
        "cleared": changed.cleared.iter().map(spelt).collect::<Vec<_>>(),
    });
    let events = vec![
        unowned(Event::MetadataTaken { metadata }),
        unowned(judged),
        cx.claim_about_nobody("metadata", own),
    ];
    Ok(Decision { events, reply })
}

/// Looks again at what was taken: a report may have come into force since.
pub(super) fn judge(cx: &Cx<'_>) -> Decision {
    let Some(metadata) = cx.state.models.metadata.clone() else {
        return cx.done(Vec::new());
    };
    let (judged, changed) = judgement(cx, &metadata);
    let reply = Reply::Models(Box::new(changed.clone()));
    if changed.is_empty() {
        let events = Vec::new();
        return Decision { events, reply };
    }
    let own = json!({
        "number": metadata.seen().number,
        "compromised": named(&changed.compromised),
        "cleared": changed.cleared.iter().map(spelt).collect::<Vec<_>>(),
    });
    let events = vec![
        unowned(judged),
        cx.claim_about_nobody("metadata_judgement", own),
    ];
    Decision { events, reply }
}

/// What is compromised now, and what of it is new.
fn judgement(cx: &Cx<'_>, metadata: &Condensed) -> (Event, ModelsChanged) {
    let before = &cx.state.models.compromised;
    let now = metadata.compromised_at(cx.facts.now_ms);
    let fresh = now
        .iter()
        .filter(|(aaguid, _)| !before.contains_key(*aaguid));
    let fresh: Vec<(Aaguid, Status)> = fresh.map(|(aaguid, status)| (*aaguid, *status)).collect();
    let cleared = before.keys().filter(|aaguid| !now.contains_key(*aaguid));
    let changed = ModelsChanged {
        cleared: cleared.copied().collect(),
        compromised: fresh,
    };
    let judged = Event::ModelsJudged {
        newly: changed
            .compromised
            .iter()
            .map(|(aaguid, _)| *aaguid)
            .collect(),
        compromised: now.into_iter().collect(),
    };
    (judged, changed)
}

/// Every credential of these models was suspended: says how many.
pub(super) fn conclude(cx: &Cx<'_>, models: &[Aaguid]) -> Decision {
    let acting = &cx.state.models.acting;
    let over = models
        .iter()
        .filter_map(|aaguid| acting.get_key_value(aaguid));
    let over: Vec<(Aaguid, u64)> = over.map(|(aaguid, count)| (*aaguid, *count)).collect();
    if over.is_empty() {
        return cx.done(Vec::new());
    }
    let counts = over
        .iter()
        .map(|(aaguid, count)| json!({ "aaguid": spelt(aaguid), "credentials": count }));
    let own = json!({
        "reason": "model_compromised",
        "models": counts.collect::<Vec<_>>(),
        "credentials": over.iter().map(|(_, count)| count).sum::<u64>(),
    });
    let models = over.into_iter().map(|(aaguid, _)| aaguid).collect();
    cx.done(vec![
        unowned(Event::ModelsActedOn { models }),
        cx.claim_about_nobody("models_suspended", own),
    ])
}

fn named(models: &[(Aaguid, Status)]) -> Vec<Value> {
    let models = models.iter();
    models
        .map(|(aaguid, status)| json!({ "aaguid": spelt(aaguid), "status": status.compromise() }))
        .collect()
}
