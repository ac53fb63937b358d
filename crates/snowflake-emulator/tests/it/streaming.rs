//! Channels over HTTP, against the engine.

use std::time::Duration;

use serde_json::json;

use crate::harness::{start, start_with, token};

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_queryable_once_their_token_is_committed() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER, note VARCHAR, v VARIANT, at TIMESTAMP_TZ)").await;
    let first = token(&fixture.open("T", "c", json!({})).await.ok());
    let rows =
        "{\"id\":1,\"NOTE\":\"a\\tb\",\"V\":{\"x\":[1,2]},\"AT\":\"2026-01-01T00:00:00Z\"}\n\n{\"ID\":2}\n";
    let second = token(&fixture.append("T", "c", &first, "10", rows).await.ok());
    assert_eq!(second, "1_2");
    let status = fixture.committed("T", "c", "10").await;
    assert_eq!((status["rows_inserted"].as_u64(), status["rows_error_count"].as_u64()), (Some(2), Some(0)));
    let data = fixture.rows("SELECT id, note, v:x[1]::NUMBER, at FROM t ORDER BY id").await;
    assert_eq!(data, json!([["1", "a\tb", "2", "1767225600.000000000 1440"], ["2", null, null, null]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reopen_fences_the_older_writer_and_loses_what_was_not_committed() {
    let fixture = start_with(|config| config.settings.commit_delay_ms = 600_000).await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    let old = token(&fixture.open("T", "c", json!({})).await.ok());
    let old = token(&fixture.append("T", "c", &old, "1", "{\"ID\":1}").await.ok());
    let refused = fixture.open("T", "c", json!({"fail_on_uncommitted_rows": true})).await;
    assert_eq!(refused.code(), (409, "ERR_CHANNEL_HAS_UNCOMMITTED_DATA"));
    let reopened = fixture.open("T", "c", json!({})).await.ok();
    assert_eq!(reopened["channel_status"]["last_committed_offset_token"], json!(null));
    let stale = fixture.append("T", "c", &old, "2", "{\"ID\":2}").await;
    assert_eq!(stale.code(), (400, "STALE_CONTINUATION_TOKEN_SEQUENCER"));
    fixture.post("/_ctl/settings", &json!({"commit_delay_ms": 0})).await.ok();
    fixture.append("T", "c", &token(&reopened), "3", "{\"ID\":3}").await.ok();
    fixture.committed("T", "c", "3").await;
    assert_eq!(fixture.rows("SELECT id FROM t").await, json!([["3"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_keeps_exactly_the_committed_rows_and_their_token() {
    let mut fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    let next = token(&fixture.open("T", "c", json!({})).await.ok());
    let next = token(&fixture.append("T", "c", &next, "1", "{\"ID\":1}").await.ok());
    fixture.committed("T", "c", "1").await;
    fixture.post("/_ctl/settings", &json!({"hold_commits": ["c"]})).await.ok();
    let next = token(&fixture.append("T", "c", &next, "2", "{\"ID\":2}").await.ok());
    fixture.crash_and_restart().await;
    assert_eq!(fixture.status("T", "c").await["last_committed_offset_token"], "1");
    let refused = fixture.append("T", "c", &next, "3", "{\"ID\":3}").await;
    assert_eq!(refused.code(), (400, "ERR_CHANNEL_MUST_BE_REOPENED"));
    let reopened = fixture.open("T", "c", json!({})).await.ok();
    assert_eq!(reopened["next_continuation_token"], "2_1");
    assert_eq!(reopened["channel_status"]["last_committed_offset_token"], "1");
    assert_eq!(fixture.rows("SELECT id FROM t").await, json!([["1"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_are_counted_explained_and_kept_for_the_error_table() {
    let fixture = start().await;
    fixture
        .rows("CREATE TABLE t (id NUMBER(5,0) NOT NULL, name VARCHAR(3), d DATE) ERROR_LOGGING = TRUE")
        .await;
    let next = token(&fixture.open("T", "c", json!({})).await.ok());
    let rows = "{\"ID\":1,\"NAME\":\"abc\"}\n{\"ID\":123456}\n{\"NAME\":\"x\"}\n{\"ID\":2,\"NAME\":\"long\"}\n{\"ID\":3,\"D\":\"soon\"}";
    fixture.append("T", "c", &next, "7", rows).await.ok();
    let status = fixture.committed("T", "c", "7").await;
    assert_eq!(status["rows_inserted"], 1);
    assert_eq!(status["rows_error_count"], 4);
    assert_eq!(status["rows_parsed"], 5);
    assert_eq!(status["last_error_offset_upper_bound"], "7");
    assert_eq!(status["last_error_message"], "column D: value is not a DATE");
    let errors = fixture
        .rows(
            "SELECT error_data:ID::NUMBER, error_metadata:error_message::STRING FROM TABLE(ERROR_TABLE('T'))",
        )
        .await;
    assert_eq!(errors.as_array().map(Vec::len), Some(4));
    assert_eq!(errors[0], json!(["123456", "column ID: number is out of range for NUMBER(5,0)"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_only_the_engine_refuses_is_found_among_good_ones() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER, v VARIANT)").await;
    let next = token(&fixture.open("T", "c", json!({})).await.ok());
    // a surrogate half: JSON for the reader, but nothing that jsonb can hold
    let rows: Vec<String> = (0..50)
        .map(|id| format!("{{\"ID\":{id},\"V\":{}}}", if id == 33 { "\"\\ud800\"" } else { "1" }))
        .collect();
    fixture.append("T", "c", &next, "50", &rows.join("\n")).await.ok();
    let status = fixture.committed("T", "c", "50").await;
    assert_eq!((status["rows_inserted"].as_u64(), status["rows_error_count"].as_u64()), (Some(49), Some(1)));
    assert_eq!(fixture.rows("SELECT COUNT(*) FROM t WHERE id = 33").await, json!([["0"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_or_replaced_table_makes_its_channels_invalid_until_they_are_opened() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    let next = token(&fixture.open("T", "c", json!({})).await.ok());
    let next = token(&fixture.append("T", "c", &next, "5", "{\"ID\":5}").await.ok());
    fixture.committed("T", "c", "5").await;
    fixture.rows("CREATE OR REPLACE TABLE t (id NUMBER)").await;
    assert_eq!(fixture.append("T", "c", &next, "6", "{}").await.code(), (409, "ERR_PIPE_IN_INVALID_STATE"));
    assert_eq!(fixture.statuses("T", &["c"]).await.code(), (409, "ERR_PIPE_IN_INVALID_STATE"));
    let reopened = fixture.open("T", "c", json!({})).await.ok();
    assert_eq!(
        reopened["channel_status"]["last_committed_offset_token"],
        json!(null),
        "the new table's pipe is new"
    );
    fixture.append("T", "c", &token(&reopened), "1", "{\"ID\":1}").await.ok();
    fixture.committed("T", "c", "1").await;
    fixture.rows("DROP TABLE t").await;
    assert_eq!(
        fixture.open("T", "c", json!({})).await.code(),
        (404, "ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_may_come_and_go_while_a_channel_is_open() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER, old VARCHAR)").await;
    let next = token(&fixture.open("T", "c", json!({})).await.ok());
    let next = token(&fixture.append("T", "c", &next, "1", "{\"ID\":1,\"OLD\":\"a\"}").await.ok());
    fixture.committed("T", "c", "1").await;
    fixture.rows("ALTER TABLE t ADD COLUMN IF NOT EXISTS a NUMBER, b VARCHAR").await;
    fixture.rows("ALTER TABLE t DROP COLUMN old").await;
    fixture.append("T", "c", &next, "2", "{\"ID\":2,\"OLD\":\"x\",\"A\":7,\"B\":\"y\"}").await.ok();
    fixture.committed("T", "c", "2").await;
    assert_eq!(
        fixture.rows("SELECT * FROM t ORDER BY id").await,
        json!([["1", null, null], ["2", "7", "y"]])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evolving_table_takes_unknown_keys_as_columns() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER) ENABLE_SCHEMA_EVOLUTION = TRUE").await;
    let next = token(&fixture.open("T", "c", json!({})).await.ok());
    fixture.append("T", "c", &next, "1", "{\"ID\":1,\"day\":\"2026-04-13\",\"n\":1.5}").await.ok();
    fixture.committed("T", "c", "1").await;
    assert_eq!(fixture.rows("SELECT id, day, n FROM t").await, json!([["1", "20556", "1.5"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_channel_forgets_its_token_and_statuses_leave_out_what_is_not_there() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    fixture.open("T", "c", json!({"offset_token": "77"})).await.ok();
    assert_eq!(fixture.status("T", "c").await["last_committed_offset_token"], "77");
    let path = "/v2/streaming/databases/DB1/schemas/PUBLIC/pipes/T-STREAMING/channels/c";
    let dropped = fixture.send(fixture.http.delete(fixture.url(path))).await.ok();
    assert_eq!(dropped["last_committed_offset_token"], "77");
    assert_eq!(fixture.statuses("T", &["c", "d"]).await.ok(), json!({"channel_statuses": {}}));
    let reopened = fixture.open("T", "c", json!({})).await.ok();
    assert_eq!(reopened["channel_status"]["last_committed_offset_token"], json!(null));
    let unknown = fixture.append("T", "nobody", "1_1", "1", "{}").await;
    assert_eq!(unknown.code(), (404, "ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_the_limit_are_refused_and_spend_no_token() {
    let fixture = start_with(|config| {
        config.settings.append_bytes_max = 1_000;
        config.settings.append_uncompressed_bytes_max = 2_000;
    })
    .await;
    fixture.rows("CREATE TABLE t (id NUMBER, s VARCHAR)").await;
    let next = token(&fixture.open("T", "c", json!({})).await.ok());
    let row = format!("{{\"ID\":1,\"S\":\"{}\"}}", "x".repeat(1_500));
    assert_eq!(fixture.append("T", "c", &next, "1", &row).await.status, 413);
    let bomb = format!("{{\"ID\":1,\"S\":\"{}\"}}", "x".repeat(100_000));
    let packed = zstd::encode_all(bomb.as_bytes(), 3).expect("compressed");
    let path = format!(
        "/v2/streaming/data/databases/DB1/schemas/PUBLIC/pipes/T-STREAMING/channels/c/rows?continuationToken={next}&offsetToken=1"
    );
    let request = fixture.http.post(fixture.url(&path)).header("Content-Encoding", "zstd").body(packed);
    assert_eq!(fixture.send(request).await.status, 413);
    let packed = zstd::encode_all(row.as_bytes(), 3).expect("compressed");
    let request = fixture.http.post(fixture.url(&path)).header("Content-Encoding", "zstd").body(packed);
    fixture.send(request).await.ok();
    fixture.committed("T", "c", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_elastic_channel_answers_when_rows_are_stored() {
    let fixture = start_with(|config| config.settings.commit_delay_ms = 600_000).await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    let path = "/v2/streaming/data/databases/DB1/schemas/PUBLIC/pipes/T-STREAMING/channels/ELASTIC/rows";
    fixture.send(fixture.http.post(fixture.url(path)).body("{\"ID\":1}")).await.ok();
    assert_eq!(fixture.rows("SELECT id FROM t").await, json!([["1"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_commits_what_was_accepted() {
    let mut fixture = start_with(|config| config.settings.commit_delay_ms = 600_000).await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    let next = token(&fixture.open("T", "c", json!({})).await.ok());
    fixture.append("T", "c", &next, "1", "{\"ID\":1}").await.ok();
    fixture.emulator.take().expect("it runs").stop().await;
    let again = cdcd_snowflake_emulator::Emulator::start(fixture.config.clone()).await.expect("starts");
    fixture.emulator = Some(again);
    assert_eq!(fixture.status("T", "c").await["last_committed_offset_token"], "1");
    assert_eq!(fixture.rows("SELECT id FROM t").await, json!([["1"]]));
    tokio::time::timeout(Duration::from_secs(15), fixture.emulator.take().expect("it runs").stop())
        .await
        .expect("it stops in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_an_emulator_before_this_one_is_seen_or_fenced_by_an_open() {
    let older = start().await;
    older.rows("CREATE TABLE t (id NUMBER)").await;
    let next = token(&older.open("T", "c", json!({})).await.ok());
    // this one has read the channel before the older one's commit
    let newer = start_with(|config| config.engine.clone_from(&older.config.engine)).await;
    older.append("T", "c", &next, "1", "{\"ID\":1}").await.ok();
    let next = token(&older.append("T", "c", "1_2", "2", "{\"ID\":2}").await.ok());
    older.committed("T", "c", "2").await;
    let opened = newer.open("T", "c", json!({})).await.ok();
    assert_eq!(opened["channel_status"]["last_committed_offset_token"], "2");
    assert_eq!(opened["channel_status"]["rows_inserted"], 2);
    assert_eq!(opened["next_continuation_token"], "2_1");
    // and the older one's next commit does not become durable
    older.append("T", "c", &next, "3", "{\"ID\":3}").await.ok();
    newer.append("T", "c", &token(&opened), "9", "{\"ID\":9}").await.ok();
    newer.committed("T", "c", "9").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(newer.rows("SELECT id FROM t ORDER BY id").await, json!([["1"], ["2"], ["9"]]));
}
