//! What may be asked next, with what a reply gave: links of OpenAPI 3.1.

use utoipa::openapi::RefOr;
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::path::Operation;

/// A parameter of the next request, and where it comes from.
type From = (&'static str, &'static str);
/// Route, operation that follows, its parameters.
type Row = (&'static str, &'static str, &'static [From]);

const APPROVAL: From = ("id", "$response.body#/approval_id");
const ERASURE: &[From] = &[("id", "$response.body#/erasure_id")];
const DEVICE: &[From] = &[
    ("user_id", "$response.body#/user_id"),
    ("device_id", "$response.body#/device_id"),
];
const ASKED: &str = "POST /api/v1/approvals";

const LINKS: &[Row] = &[
    (
        "POST /api/v1/enroll/initiate",
        "enroll_submit",
        &[
            ("enrollment_id", "$response.body#/enrollment_id"),
            ("session_token", "$response.body#/session_token"),
        ],
    ),
    (ASKED, "get_approval", &[APPROVAL]),
    (ASKED, "follow_approval", &[APPROVAL]),
    (ASKED, "verify_approval", &[APPROVAL]),
    (ASKED, "reject_approval", &[APPROVAL]),
    (ASKED, "cancel_approval", &[APPROVAL]),
    (
        "POST /api/v1/passkeys/register/verify",
        "describe_device",
        DEVICE,
    ),
    (
        "POST /api/v1/passkeys/authenticate/verify",
        "end_device_sessions",
        DEVICE,
    ),
    ("DELETE /api/v1/subjects/{user_id}", "get_erasure", ERASURE),
    (
        "DELETE /api/v1/enroll/{user_id}/{modality}",
        "get_erasure",
        ERASURE,
    ),
];

/// Writes a route's links into its successful replies, each named like what follows.
pub(super) fn give(operation: &mut Operation, route: &str) {
    let own = LINKS.iter().filter(|(from, ..)| *from == route);
    for (_, next, parameters) in own {
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response
                && status.starts_with('2')
            {
                let link = link(next, parameters);
                response.links.insert((*next).to_owned(), link.into());
            }
        }
    }
}

fn link(next: &str, parameters: &[From]) -> Link {
    let to = LinkBuilder::new().operation_id(next);
    let given = parameters.iter();
    given
        .fold(to, |link, (name, value)| link.parameter(*name, *value))
        .build()
}
