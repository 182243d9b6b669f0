//! Requests that take long, are given up, or are too many.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::client::Door;
use crate::gateway::Limits;

const LOGIN: &str = "/api/v1/passkeys/authenticate/options";

#[tokio::test]
async fn a_request_past_its_deadline_is_answered_and_still_finishes() {
    let limits = Limits {
        request: Duration::from_millis(150),
        ..Limits::default()
    };
    let door = Door::with(limits).await;
    let answer = door
        .bank()
        .await
        .post(LOGIN, &json!({"user_id": "slow"}))
        .await;
    assert_eq!(answer.problem(), (504, "request_deadline".to_owned()));
    assert_eq!(door.fake.finished.load(Ordering::SeqCst), 0);
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(door.fake.finished.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_no_half_done_work() {
    let door = Door::open().await;
    for http2 in [false, true] {
        let chain = Some(door.world.client_a());
        let mut client = match http2 {
            false => door.http1(chain).await.unwrap(),
            true => door.http2(chain).await.unwrap(),
        };
        let slow = json!({"user_id": "slow"});
        let hung_up = tokio::time::timeout(Duration::from_millis(150), client.post(LOGIN, &slow));
        assert!(hung_up.await.is_err());
        drop(client);
    }
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(door.fake.finished.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_whose_time_is_over_answers_what_it_was_asked() {
    let limits = Limits {
        connection_age: Duration::from_millis(150),
        goodbye: Duration::from_secs(5),
        ..Limits::default()
    };
    let door = Door::with(limits).await;
    for http2 in [false, true] {
        let chain = Some(door.world.client_a());
        let mut client = match http2 {
            false => door.http1(chain).await.unwrap(),
            true => door.http2(chain).await.unwrap(),
        };
        let answer = client.post(LOGIN, &json!({"user_id": "slow"})).await;
        assert_eq!(answer.status(), 200, "http2: {http2}");
    }
}

#[tokio::test]
async fn requests_beyond_the_limit_are_told_to_come_back() {
    let limits = Limits {
        requests: 2,
        ..Limits::default()
    };
    let door = Door::with(limits).await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut client = door.bank().await;
        let body = json!({"user_id": "slow"});
        slow.push(tokio::spawn(async move {
            client.post(LOGIN, &body).await.status()
        }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut client = door.bank().await;
    let answer = client.post(LOGIN, &json!({"user_id": "alice"})).await;
    assert_eq!(answer.problem(), (503, "busy".to_owned()));
    assert_eq!(answer.header("retry-after"), "1");
    for slow in slow {
        assert_eq!(slow.await.unwrap(), 200);
    }
    assert_eq!(
        client
            .post(LOGIN, &json!({"user_id": "alice"}))
            .await
            .status(),
        200
    );
}
