//! Fault rules and settings of the control plane.

use std::time::Duration;

use serde_json::json;

use crate::harness::{start, token};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_after_apply_has_applied_the_rows() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    let next = token(&fixture.open("T", "c", json!({})).await.ok());
    fixture.post("/_ctl/faults", &json!({"match": {"path": "/rows"}, "drop": "after"})).await.ok();
    let path = fixture.url(&format!(
        "/v2/streaming/data/databases/DB1/schemas/PUBLIC/pipes/T-STREAMING/channels/c/rows?continuationToken={next}&endOffsetToken=1"
    ));
    let lost = fixture
        .http
        .post(&path)
        .header("Authorization", "Bearer x")
        .header("X-Snowflake-Authorization-Token-Type", "PROGRAMMATIC_ACCESS_TOKEN")
        .body("{\"ID\":1}")
        .send()
        .await;
    assert!(lost.is_err(), "the connection is cut without a reply");
    let again = fixture.append("T", "c", &next, "1", "{\"ID\":1}").await;
    assert_eq!(again.code(), (400, "ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER"), "the first one was applied");
    fixture.committed("T", "c", "1").await;
    assert_eq!(fixture.rows("SELECT COUNT(*) FROM t").await, json!([["1"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_before_apply_has_not() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    let next = token(&fixture.open("T", "c", json!({})).await.ok());
    fixture
        .post("/_ctl/faults", &json!({"match": {"channel": "c", "method": "POST"}, "drop": "before"}))
        .await
        .ok();
    let path = fixture.url(&format!(
        "/v2/streaming/data/databases/DB1/schemas/PUBLIC/pipes/T-STREAMING/channels/c/rows?continuationToken={next}&endOffsetToken=1"
    ));
    assert!(fixture.http.post(&path).body("{}").send().await.is_err());
    fixture.append("T", "c", &next, "1", "{\"ID\":1}").await.ok();
    fixture.committed("T", "c", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_bodies_headers_and_delays_are_as_the_rule_says() {
    let fixture = start().await;
    let rules = json!([
        {"match": {"path": "/api/v2/statements"}, "status": 429, "headers": {"Retry-After": "7"}},
        {"match": {"path": "/api/v2/statements"}, "status": 503, "body": "ReceiverSaturated"},
        {"match": {"path": "/api/v2/statements"}, "status": 200, "text": "<html>", "apply": true},
        {"match": {"path": "/api/v2/statements"}, "delay_ms": 300},
    ]);
    fixture.post("/_ctl/faults", &rules).await.ok();
    assert_eq!(fixture.sql("SELECT 1").await.status, 429);
    let bare = fixture.sql("SELECT 1").await;
    assert_eq!((bare.status, &bare.body), (503, &json!("ReceiverSaturated")));
    assert_eq!(fixture.sql("CREATE TABLE applied (id NUMBER)").await.body, json!("<html>"));
    let before = std::time::Instant::now();
    assert_eq!(fixture.rows("SELECT COUNT(*) FROM applied").await, json!([["0"]]));
    assert!(before.elapsed() >= Duration::from_millis(300));
    let listed = fixture.get("/_ctl/faults").await.ok();
    assert!(listed.as_array().is_some_and(|rules| rules.iter().all(|rule| rule["struck"] == 1)), "{listed}");
    assert_eq!(fixture.post("/_ctl/faults", &json!({"staus": 1})).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_can_be_held_and_a_pipe_can_swallow_rows() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    fixture.rows("CREATE TABLE swallow (id NUMBER)").await;
    fixture
        .post("/_ctl/settings", &json!({"hold_commits": ["held"], "invalid_pipes": ["SWALLOW"]}))
        .await
        .ok();
    let held = token(&fixture.open("T", "held", json!({})).await.ok());
    fixture.append("T", "held", &held, "1", "{\"ID\":1}").await.ok();
    let free = token(&fixture.open("T", "free", json!({})).await.ok());
    fixture.append("T", "free", &free, "1", "{\"ID\":2}").await.ok();
    fixture.committed("T", "free", "1").await;
    assert_eq!(fixture.status("T", "held").await["last_committed_offset_token"], json!(null));
    fixture.post("/_ctl/settings", &json!({"hold_commits": []})).await.ok();
    fixture.committed("T", "held", "1").await;

    let opened = fixture.open("SWALLOW", "c", json!({})).await.ok();
    assert_eq!(opened["channel_status"]["channel_status_code"], "ERR_PIPE_IN_INVALID_STATE");
    fixture.append("SWALLOW", "c", &token(&opened), "1", "{\"ID\":1}").await.ok();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(fixture.rows("SELECT COUNT(*) FROM swallow").await, json!([["0"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limits_answer_429() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    fixture.post("/_ctl/settings", &json!({"append_requests_per_second_max": 1})).await.ok();
    let mut next = token(&fixture.open("T", "c", json!({})).await.ok());
    let mut refused = 0;
    for offset in 0..6 {
        let reply = fixture.append("T", "c", &next, &offset.to_string(), "{\"ID\":1}").await;
        match reply.status {
            200 => next = token(&reply.body),
            429 => refused += 1,
            other => panic!("{other}: {}", reply.body),
        }
    }
    assert!(refused >= 3, "only {refused} of 6 appends were refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_forgets_faults_and_on_demand_the_data() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    fixture.open("T", "c", json!({})).await.ok();
    fixture.post("/_ctl/faults", &json!({"times": 0, "status": 500})).await.ok();
    fixture.post("/_ctl/reset", &json!({})).await.ok();
    let state = fixture.get("/_ctl/state").await.ok();
    assert_eq!(state["tables"], json!({"DB1.PUBLIC.T": {"rows": 0, "error_rows": 0}}));
    assert_eq!(state["channels"].as_array().map(Vec::len), Some(1));
    fixture.post("/_ctl/reset", &json!({"data": true})).await.ok();
    let state = fixture.get("/_ctl/state").await.ok();
    assert_eq!((&state["tables"], &state["channels"]), (&json!({}), &json!([])));
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
}
