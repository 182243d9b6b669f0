//! Who a certificate makes its holder: anchors, roles, validity.

use std::sync::Arc;

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::json;

use super::client::Door;
use super::pki::{Ca, Chain, Leaf, NOW};
use crate::api::{Anchor, Grants, Role, Trust, TrustError};

const LOGIN: &str = "/api/v1/passkeys/authenticate/options";

/// What a client with this chain gets from a bank route.
async fn outcome(door: &Door, chain: Option<Chain>) -> Result<u16, String> {
    let mut client = door.http1(chain).await?;
    let answer = client.try_post(LOGIN, &json!({"user_id": "alice"})).await?;
    Ok(answer.status())
}

async fn refused(door: &Door, chain: Chain) {
    let before = door.fake.callers.lock().unwrap().len();
    let outcome = outcome(door, Some(chain)).await;
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(door.fake.callers.lock().unwrap().len(), before);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_ca_ends_the_handshake() {
    let door = Door::open().await;
    let stranger = Ca::new("bank a");
    let leaf = Leaf {
        dns: vec!["api.a.example"],
        ..Leaf::default()
    };
    refused(&door, stranger.issue(leaf)).await;
}

#[tokio::test]
async fn tenant_b_s_names_under_anchor_a_are_tenant_a() {
    let door = Door::open().await;
    let chain = door.world.bank_a.issue(Leaf {
        common_name: "bank-b",
        dns: vec!["bank-b", "api.b.example", "api.a.example"],
        ..Leaf::default()
    });
    assert_eq!(outcome(&door, Some(chain)).await, Ok(200));
    let caller = door.fake.callers.lock().unwrap().pop().unwrap();
    assert_eq!(caller.tenant.as_str(), "bank-a");

    let chain = door.world.bank_b.issue(Leaf::default());
    let leaf = chain.certificates[0].clone();
    assert_eq!(outcome(&door, Some(chain)).await, Ok(200));
    let caller = door.fake.callers.lock().unwrap().pop().unwrap();
    assert_eq!(caller.tenant.as_str(), "bank-b");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf);
    assert_eq!(caller.leaf_sha256, digest.as_ref());
}

#[tokio::test]
async fn names_choose_only_among_the_roles_their_own_tenant_recorded() {
    let door = Door::open().await;
    let with = |ca: &Ca, dns: Vec<&'static str>, uri| {
        Some(ca.issue(Leaf {
            dns,
            uri,
            ..Leaf::default()
        }))
    };
    let (a, b) = (&door.world.bank_a, &door.world.bank_b);
    assert_eq!(
        outcome(&door, with(a, vec!["API.a.example"], None)).await,
        Ok(200)
    );
    assert_eq!(
        outcome(&door, with(a, vec![], Some("urn:a:api"))).await,
        Ok(200)
    );
    assert_eq!(
        outcome(&door, with(a, vec![], Some("URN:a:api"))).await,
        Ok(403)
    );
    assert_eq!(
        outcome(&door, with(a, vec![], None)).await,
        Ok(403),
        "no default"
    );
    let both = vec!["api.a.example", "reader.a.example"];
    assert_eq!(
        outcome(&door, with(a, both, None)).await,
        Ok(403),
        "first mapping decides"
    );
    let foreign = with(b, vec!["reader.a.example"], None);
    assert_eq!(
        outcome(&door, foreign).await,
        Ok(200),
        "another tenant's mapping"
    );
    let auditor = door.world.auditor.issue(Leaf {
        dns: vec!["api.a.example"],
        ..Leaf::default()
    });
    assert_eq!(outcome(&door, Some(auditor)).await, Ok(403));
}

#[tokio::test]
async fn validity_is_judged_by_the_appliances_time() {
    let door = Door::open().await;
    let lasting = |from, until| {
        door.world.bank_b.issue(Leaf {
            from,
            until,
            ..Leaf::default()
        })
    };
    refused(&door, lasting(NOW - 100, NOW - 1)).await;
    refused(&door, lasting(NOW + 60, NOW + 100)).await;
    let good = lasting(NOW - 100, NOW + 100);
    assert_eq!(outcome(&door, Some(good.clone())).await, Ok(200));
    *door.fake.now_ms.lock().unwrap() = Some((NOW as u64 + 101) * 1000);
    refused(&door, good.clone()).await;
    *door.fake.now_ms.lock().unwrap() = None;
    refused(&door, good).await;
}

#[tokio::test]
async fn a_connection_ends_with_the_certificate_that_opened_it() {
    let door = Door::open().await;
    let chain = door.world.bank_b.issue(Leaf {
        until: NOW + 1,
        ..Leaf::default()
    });
    let mut client = door.http1(Some(chain)).await.unwrap();
    assert_eq!(
        client
            .post(LOGIN, &json!({"user_id": "alice"}))
            .await
            .status(),
        200
    );
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert!(
        client
            .try_post(LOGIN, &json!({"user_id": "alice"}))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_certificate_for_servers_does_not_open_the_door() {
    let door = Door::open().await;
    let used_for = |usages| {
        door.world.bank_b.issue(Leaf {
            usages,
            ..Leaf::default()
        })
    };
    refused(&door, used_for(vec![ExtendedKeyUsagePurpose::ServerAuth])).await;
    assert_eq!(outcome(&door, Some(used_for(vec![]))).await, Ok(200));
}

#[tokio::test]
async fn a_chain_may_have_intermediates_but_not_many() {
    let door = Door::open().await;
    let first = door.world.bank_b.intermediate("b issuing 1");
    let second = first.intermediate("b issuing 2");
    let chain = second.issue(Leaf::default());
    let complete = chain.clone().with(&second).with(&first);
    assert_eq!(outcome(&door, Some(complete)).await, Ok(200));
    refused(&door, chain.clone().with(&second)).await;
    let long = chain.with(&second).with(&first);
    let long = (0..3).fold(long, |chain, _| chain.with(&first));
    refused(&door, long).await;
}

#[tokio::test]
async fn a_chain_that_two_anchors_validate_is_nobodys() {
    let door = Door::open().await;
    let crossed = door.world.bank_b.intermediate("crossed");
    let chain = crossed.issue(Leaf::default()).with(&crossed);
    assert_eq!(outcome(&door, Some(chain.clone())).await, Ok(200));
    let mut anchors = door.world.anchors();
    anchors.push(Anchor {
        certificate: crossed.certificate.clone(),
        grants: Grants::Tenant {
            tenant: "bank-c".parse().unwrap(),
            roles: vec![],
            default_role: Some(Role::Bank),
        },
    });
    *door.fake.trust.lock().unwrap() = Arc::new(door.world.trust_with(anchors));
    refused(&door, chain).await;
}

#[tokio::test]
async fn renewed_trust_holds_for_new_sessions_and_old_ones_go_on() {
    let door = Door::open().await;
    let mut old = door.bank().await;
    let none = door.world.trust_with(vec![]);
    let renewed = none.server().cert[0].clone();
    *door.fake.trust.lock().unwrap() = Arc::new(none);
    assert_eq!(
        old.post(LOGIN, &json!({"user_id": "alice"})).await.status(),
        200
    );
    refused(&door, door.world.client_a()).await;
    let stream = door.raw(door.config(None, &[])).await.unwrap();
    let (_, connection) = stream.get_ref();
    assert_eq!(connection.peer_certificates().unwrap()[0], renewed);
}

#[test]
fn anchors_that_share_a_key_are_refused() {
    let world = super::pki::World::new();
    let mut anchors = world.anchors();
    anchors[1].certificate = anchors[0].certificate.clone();
    let chain = world.server.issue(Leaf::default());
    let error = Trust::new(chain.certificates, chain.key, anchors).unwrap_err();
    assert!(
        matches!(
            error,
            TrustError::SameKey {
                first: 0,
                second: 1
            }
        ),
        "{error}"
    );
}
