//! Renewal: a template under another transform, without its customer.

use redoubt_shared::UserId;
use serde_json::json;

use super::{Cx, Decision, owned};
use crate::core::{Event, Modality, Refusal, Reply, SubjectHandle, Template};

/// One entry replaces one template by the other, so that a crash leaves either.
pub(super) fn template(
    cx: &Cx<'_>,
    user: UserId,
    modality: Modality,
    from: u32,
    template: Box<Template>,
) -> Result<Decision, Refusal> {
    let (handle, _) = cx.subject(&user).map_err(|_| Refusal::NotEnrolled)?;
    let before = cx.state.template(&handle, modality);
    let before = before.ok_or(Refusal::NotEnrolled)?;
    // A number is one template's for good, but 0: of those there are none after the first.
    if before.transform != from || before.enrolled_ms != template.enrolled_ms {
        return Err(Refusal::TemplateMoved);
    }
    is_next(cx, &handle, &template)?;
    let own = json!({
        "modality": modality.name(),
        "model": template.model,
        "transform": template.transform,
        "transform_before": from,
        "epoch": cx.context.epoch,
        "depends_on": cx.context.depends_on,
    });
    let claim = cx.claim(handle, "template_renewal", &user, None, own);
    let renewed = match modality {
        Modality::Face => Event::FaceRenewed { handle, template },
        Modality::Voice => Event::VoiceRenewed { handle, template },
    };
    let epoch = cx.context.epoch;
    Ok(Decision {
        events: vec![owned(handle, renewed), claim],
        reply: Reply::Renewed { epoch },
    })
}

/// Whether a template is under the transform that its subject's next one has to be under.
pub(super) fn is_next(
    cx: &Cx<'_>,
    subject: &SubjectHandle,
    template: &Template,
) -> Result<(), Refusal> {
    let next = cx.state.next_transform(subject);
    let is_next = next == Some(template.transform);
    is_next.then_some(()).ok_or(Refusal::TemplateMoved)
}
