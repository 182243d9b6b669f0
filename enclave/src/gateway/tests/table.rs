//! The route table, walked whole against what it is meant to say.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use http::Request;
use redoubt_shared::supervise::Phase;
use tower::ServiceExt;

use super::fake::Fake;
use super::pki::World;
use crate::api::{ApplianceRole, Identity, Peer, Problem, RequestId, Role};
use crate::gateway::Limits;
use crate::gateway::admit::Exchange;
use crate::gateway::routes::{ALWAYS, table};
use crate::gateway::serve::{SECRETS, Shared, router};
use crate::gateway::tls::Session;

/// Method, path, phases (b a r s o h; o: handing over), who (- none, b bank, r read-only, n tenant
/// without a role, A auditor, O officer, P operator).
const MEANT: &[(&str, &str, &str, &str)] = &[
    ("GET", "/healthz", "barsoh", "-brnAOP"),
    ("GET", "/openapi.json", "barsoh", "-brnAOP"),
    ("GET", "/.well-known/attestation", "arsoh", "-brnAOP"),
    ("POST", "/api/v1/unseal/share", "as", "-brnAOP"),
    ("POST", "/api/v1/passkeys/register/options", "s", "b"),
    ("POST", "/api/v1/passkeys/register/verify", "s", "b"),
    ("POST", "/api/v1/passkeys/authenticate/options", "s", "b"),
    ("POST", "/api/v1/passkeys/authenticate/verify", "s", "b"),
    ("GET", "/api/v1/passkeys/related-origins", "s", "br"),
    ("PUT", "/api/v1/admin/metadata", "s", "b"),
    ("GET", "/api/v1/admin/metadata", "s", "br"),
    ("PUT", "/api/v1/admin/policy", "s", "b"),
    ("GET", "/api/v1/admin/policy", "s", "br"),
    ("POST", "/api/v1/admin/policy/rollback", "s", "b"),
    ("POST", "/api/v1/admin/policy/dry-run", "s", "b"),
    ("POST", "/api/v1/liveness/challenge", "s", "b"),
    ("POST", "/api/v1/enroll/initiate", "s", "b"),
    ("POST", "/api/v1/enroll/submit", "s", "b"),
    ("POST", "/api/v1/verify", "s", "b"),
    ("POST", "/api/v1/approvals", "s", "b"),
    ("GET", "/api/v1/approvals/{id}", "s", "br"),
    ("POST", "/api/v1/approvals/{id}/verify", "s", "b"),
    ("GET", "/api/v1/approvals/{id}/options", "s", "b"),
    ("POST", "/api/v1/approvals/{id}/face", "s", "b"),
    ("POST", "/api/v1/approvals/{id}/voice", "s", "b"),
    ("POST", "/api/v1/approvals/{id}/reject", "s", "b"),
    ("POST", "/api/v1/approvals/{id}/cancel", "s", "b"),
    ("GET", "/api/v1/approvals/{id}/events", "s", "br"),
    ("GET", "/api/v1/receipts/{id}", "s", "brA"),
    ("GET", "/api/v1/audit/events", "s", "brA"),
    ("GET", "/api/v1/audit/export", "s", "brA"),
    ("DELETE", "/api/v1/enroll/{user_id}/{modality}", "s", "b"),
    (
        "POST",
        "/api/v1/enroll/{user_id}/{modality}/renew",
        "s",
        "b",
    ),
    ("DELETE", "/api/v1/subjects/{user_id}", "s", "b"),
    ("GET", "/api/v1/erasures/{id}", "s", "br"),
    ("POST", "/api/v1/epochs/rotate", "s", "O"),
    ("GET", "/api/v1/epochs", "s", "O"),
    ("POST", "/api/v1/handover", "s", "O"),
    ("POST", "/api/v1/handover/take", "a", "O"),
    ("POST", "/api/v1/token/introspect", "s", "b"),
    ("POST", "/api/v1/token/revoke", "s", "b"),
    ("DELETE", "/api/v1/sessions", "s", "b"),
    ("DELETE", "/api/v1/subjects/{user_id}/sessions", "s", "b"),
    (
        "DELETE",
        "/api/v1/subjects/{user_id}/devices/{device_id}/sessions",
        "s",
        "b",
    ),
    ("GET", "/api/v1/jwks", "s", "br"),
    ("GET", "/api/v1/subjects/{user_id}/devices", "s", "br"),
    (
        "POST",
        "/api/v1/subjects/{user_id}/devices/{device_id}",
        "s",
        "b",
    ),
    (
        "POST",
        "/api/v1/subjects/{user_id}/devices/{device_id}/state",
        "s",
        "b",
    ),
    ("GET", "/api/v1/verify/history/{user_id}", "s", "br"),
    ("GET", "/api/v1/stats/{user_id}", "s", "br"),
    ("GET", "/api/v1/admin/security-alerts", "s", "br"),
    ("POST", "/api/v1/halt", "arsoh", "O"),
];

/// A row of the table in `docs/access.md`.
fn documented((method, path, phases, roles): &(&str, &str, &str, &str)) -> String {
    let mark = |held: bool| if held { "yes" } else { "" };
    let phases: Vec<_> = [
        ('b', "booted"),
        ('a', "awaiting unseal"),
        ('r', "recovering"),
        ('s', "serving"),
        ('o', "handing over"),
        ('h', "halted"),
    ]
    .iter()
    .filter(|(letter, _)| phases.contains(*letter))
    .map(|(_, name)| *name)
    .collect();
    let cells: Vec<_> = "-brnAOP"
        .chars()
        .map(|who| mark(roles.contains(who)))
        .collect();
    format!(
        "| `{method} {path}` | {} | {} |",
        cells.join(" | "),
        phases.join(", ")
    )
}

#[test]
fn the_document_says_of_every_route_who_may_use_it() {
    let document = include_str!("../../../../docs/access.md");
    let said: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains(" /"))
        .collect();
    let meant: Vec<_> = MEANT.iter().map(documented).collect();
    assert_eq!(
        said,
        meant,
        "docs/access.md should say:\n{}",
        meant.join("\n")
    );
}

fn phase_letter(phase: Phase) -> char {
    match phase {
        Phase::Booted => 'b',
        Phase::AwaitingUnseal => 'a',
        Phase::Recovering => 'r',
        Phase::Serving => 's',
        Phase::Halted => 'h',
        Phase::HandingOver => 'o',
    }
}

pub(super) fn session(who: char) -> Arc<Session> {
    let tenant = |role| Identity::Tenant {
        tenant: "bank-a".parse().unwrap(),
        role,
    };
    let identity = match who {
        '-' => None,
        'b' => Some(tenant(Some(Role::Bank))),
        'r' => Some(tenant(Some(Role::ReadOnly))),
        'n' => Some(tenant(None)),
        'A' => Some(Identity::Appliance(ApplianceRole::Auditor)),
        'O' => Some(Identity::Appliance(ApplianceRole::Officer)),
        'P' => Some(Identity::Appliance(ApplianceRole::Operator)),
        _ => unreachable!(),
    };
    Arc::new(Session {
        peer: identity.map(|identity| Peer {
            identity,
            leaf_sha256: [1; 32],
            not_after: u64::MAX,
        }),
        exporter: [2; 32],
        http2: false,
    })
}

#[test]
fn the_table_has_exactly_the_routes_that_are_meant() {
    let rows = table::<Fake>();
    let named: Vec<_> = rows
        .iter()
        .map(|row| (row.route.method, row.route.template.as_str()))
        .collect();
    let meant: Vec<_> = MEANT.iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(named, meant);
    // Worked on apart: see there.
    for path in SECRETS {
        assert!(named.contains(&("POST", path)), "{path}");
    }
}

#[tokio::test]
async fn every_route_answers_exactly_its_roles_in_exactly_its_phases() {
    let fake = Fake::new(World::new().trust());
    let shared = Arc::new(Shared::new(fake.clone(), Limits::default()));
    let router = router(&fake, shared);
    let mut walked = 0;
    for (method, template, phases, roles) in MEANT {
        for &phase in ALWAYS {
            for who in "-brnAOP".chars() {
                *fake.phase.lock().unwrap() = phase;
                let expected = if !phases.contains(phase_letter(phase)) {
                    match phase == Phase::HandingOver && phases.contains('s') {
                        true => Some("handing_over"),
                        false => Some("not_serving"),
                    }
                } else if roles.contains(who) {
                    None
                } else if who == '-' {
                    Some("client_certificate_required")
                } else {
                    Some("role_not_allowed")
                };
                let exchange = Arc::new(Exchange {
                    session: session(who),
                    request_id: RequestId::from_bytes([0; 16]),
                    route: OnceLock::new(),
                });
                let request = Request::builder()
                    .method(*method)
                    .uri(
                        template
                            .replace("{id}", &"0".repeat(32))
                            .replace("{user_id}", "alice")
                            .replace("{device_id}", &"0".repeat(32))
                            .replace("{modality}", "facial"),
                    )
                    .extension(exchange.clone())
                    .body(Body::empty())
                    .unwrap();
                let mut response = router.clone().oneshot(request).await.unwrap();
                let problem = response.extensions_mut().remove::<Problem>();
                let stopped = problem.as_ref().map(Problem::code).filter(|code| {
                    let admission = ["client_certificate_required", "role_not_allowed"];
                    admission.contains(code) || ["not_serving", "handing_over"].contains(code)
                });
                assert_eq!(stopped, expected, "{method} {template} {phase:?} {who}");
                let retry = problem.and_then(|problem| problem.retry_after_seconds());
                let later = [Some("not_serving"), Some("handing_over")].contains(&expected);
                assert!(!later || retry.is_some());
                assert_eq!(exchange.route.get().unwrap().template, *template);
                walked += 1;
            }
        }
    }
    assert_eq!(walked, MEANT.len() * 6 * 7);
}
