use std::collections::BTreeMap;

use cdcd_capture::position::{LsnText, Moment, Part, SnapshotProgress, TableProgress};
use cdcd_capture::{ColumnShape, Config, Pace, SnapshotTable, TableShape};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::relation::ReplicaIdentity;

use cdcd_capture::config::SkippedOperations;
use cdcd_pgoutput::message::{Delete, Insert, Message, Old, Truncate, Update};

use crate::harness::{COMMITTED_AT_US, Harness, NOW_NS, config, row};

fn table(h: &Harness, oid: u32, name: &str) -> SnapshotTable {
    let column = |name: &str, type_oid| ColumnShape {
        name: name.to_owned(),
        is_identity: name == "id",
        type_oid,
        typmod: -1,
    };
    SnapshotTable {
        shape: TableShape {
            oid,
            schema: "public".to_owned(),
            table: name.to_owned(),
            identity: ReplicaIdentity::Default,
            columns: vec![column("id", 23), column("v", 25)],
        },
        facts: h.facts.clone(),
        key: vec!["id".to_owned()],
        at_us: COMMITTED_AT_US,
    }
}

/// So many tables, nothing of which was read.
fn progress(tables: usize) -> SnapshotProgress {
    let table = |index| TableProgress {
        oid: index as u32 + 1,
        name: format!("public.t{index}"),
        key: Vec::new(),
        parts: Vec::new(),
        done: false,
    };
    SnapshotProgress {
        consistent_point: LsnText(Lsn(500)),
        attempt: 1,
        tables: (0..tables).map(table).collect(),
        moments: BTreeMap::new(),
        complete: false,
    }
}

/// Reads tables with so many rows each; gives topic, marker and LSN of each record.
fn markers(rows: &[usize]) -> Vec<String> {
    let mut h = Harness::new(config());
    h.capture.begin_snapshot(progress(rows.len()), Some(9));
    for (index, rows) in rows.iter().enumerate() {
        let table = table(&h, index as u32 + 1, &format!("t{index}"));
        h.capture.begin_snapshot_table(table).unwrap();
        for row in 0..*rows {
            h.capture.handle_snapshot_row(format!("{row}\t\\N\n").as_bytes(), NOW_NS).unwrap();
        }
        h.capture.end_snapshot_table();
    }
    h.capture.end_snapshot(NOW_NS).unwrap();
    let sent = h.sent();
    let marker = |value: &str| {
        let event: serde_json::Value = serde_json::from_str(value).unwrap();
        assert_eq!(event["op"], "r");
        assert_eq!(event["source"]["lsn"], 500);
        assert_eq!(event["source"]["txId"], 9);
        format!(
            "{} {}",
            event["source"]["table"].as_str().unwrap(),
            event["source"]["snapshot"].as_str().unwrap()
        )
    };
    let markers = sent.iter().map(|sent| marker(sent.value.as_deref().unwrap())).collect();
    let point = h.capture.poll_commit(0, Pace::Idle).expect("all rows are sent");
    assert_eq!((point.done_end_lsn, point.open, point.snapshot), (Lsn(500), None, None));
    markers
}

#[test]
fn markers_tell_first_and_last_of_table_and_snapshot() {
    assert_eq!(
        markers(&[3, 3]),
        [
            "t0 first",
            "t0 true",
            "t0 last_in_data_collection",
            "t1 first_in_data_collection",
            "t1 true",
            "t1 last"
        ]
    );
    assert_eq!(markers(&[1]), ["t0 last"]);
    assert_eq!(markers(&[2, 0]), ["t0 first", "t0 last"]);
    assert_eq!(markers(&[1, 1]), ["t0 first", "t1 last"]);
    // "first" belongs to the first table: it is nobody's if that table is empty.
    assert_eq!(markers(&[0, 2, 1]), ["t1 first_in_data_collection", "t1 last_in_data_collection", "t2 last"]);
}

fn read_rows(h: &mut Harness, keys: std::ops::Range<i32>) {
    for key in keys {
        h.capture.handle_snapshot_row(format!("{key}\tread\n").as_bytes(), NOW_NS).unwrap();
    }
}

/// Two attempts: the first has written keys up to 3, the second reads the rest after transactions 100 to 109 but
/// for 105, which was still running.
fn second_attempt() -> Harness {
    let none = SkippedOperations { truncate: false, ..SkippedOperations::default() };
    let config = || Config { skipped_operations: none, ..config() };
    let mut first = Harness::new(config());
    first.capture.begin_snapshot(progress(1), Some(9));
    let read = table(&first, 1, "t0");
    first.capture.begin_snapshot_table(read.clone()).unwrap();
    read_rows(&mut first, 1..5);
    first.sent();
    let mut progress = first.capture.poll_commit(0, Pace::Idle).unwrap().snapshot.unwrap();
    let upto = Some(vec!["3".to_owned()]);
    assert_eq!(progress.tables[0].parts, [Part { attempt: 1, upto }], "row 4 waits for its successor");
    assert!(!progress.tables[0].done && !progress.complete);

    progress.attempt = 2;
    let moment = Moment { snapshot: "105:110:105".to_owned(), horizon: LsnText(Lsn(30_000_000)) };
    progress.moments.insert(2, moment);
    let mut second = Harness::new(config());
    second.capture.begin_snapshot(progress, Some(9));
    second.capture.begin_snapshot_table(read).unwrap();
    read_rows(&mut second, 4..7);
    second.capture.end_snapshot_table();
    second.capture.end_snapshot(NOW_NS).unwrap();
    let markers: Vec<_> = second.sent().iter().map(|sent| sent.value.clone().unwrap()).collect();
    assert_eq!(markers.len(), 3);
    assert!(!markers[0].contains("first"), "the first row was written by the first attempt");
    second
}

/// Runs one transaction that changes rows of the table; gives what is written of it.
fn transaction(h: &mut Harness, xid: u32, messages: &[Message<'_>]) -> Vec<String> {
    h.begin_with(xid);
    h.table_with(1, ReplicaIdentity::Default, &[("id", true, 23), ("v", false, 25)]);
    for message in messages {
        h.feed(message).unwrap();
    }
    h.commit();
    h.changes()
}

#[test]
fn a_change_that_a_later_attempt_has_seen_is_dropped_and_no_other() {
    let mut h = second_attempt();
    let (low, high, next) = (row([Some("2"), None]), row([Some("5"), None]), row([Some("9"), None]));
    let insert = |new| Message::Insert(Insert { xid: None, relation: 1, new });
    let delete = |old| Message::Delete(Delete { xid: None, relation: 1, old: Old::Key(old) });
    let update = |old, new| Message::Update(Update { xid: None, relation: 1, old: Old::Key(old), new });
    let (low, high, next) = (low.tuple(), high.tuple(), next.tuple());
    // Seen by the second attempt: only what it did not read is written.
    assert_eq!(
        transaction(&mut h, 104, &[insert(low), insert(high), delete(high), delete(low), insert(next)]),
        [
            r#"c {"id":2} null -> {"id":2,"v":null}"#,
            r#"d {"id":2} {"id":2,"v":null} -> null"#,
            r#"tombstone {"id":2}"#
        ]
    );
    // Still running then, or later: everything is written.
    for xid in [105, 110, 111] {
        assert_eq!(transaction(&mut h, xid, &[insert(low), insert(high)]).len(), 2, "{xid}");
    }
    // A key that moved between the parts: each image by its own part.
    assert_eq!(
        transaction(&mut h, 106, &[update(low, high)]),
        [r#"d {"id":2} {"id":2,"v":null} -> null"#, r#"tombstone {"id":2}"#]
    );
    assert_eq!(transaction(&mut h, 106, &[update(high, low)]), [r#"c {"id":2} null -> {"id":2,"v":null}"#]);
    assert!(transaction(&mut h, 106, &[update(high, next)]).is_empty());
}

#[test]
fn attempts_are_kept_in_the_position_until_the_stream_is_past_them() {
    let mut h = second_attempt();
    let point = h.capture.poll_commit(0, Pace::Stopping).unwrap();
    assert!(point.snapshot.as_ref().is_some_and(|progress| progress.complete));
    h.capture.handle_committed();
    h.keepalive(29_999_999);
    assert!(h.capture.poll_commit(0, Pace::Stopping).unwrap().snapshot.is_some());
    h.capture.handle_committed();
    h.keepalive(30_000_000);
    assert_eq!(h.capture.poll_commit(0, Pace::Stopping).unwrap().snapshot, None);
}

#[test]
fn a_truncate_between_two_attempts_is_an_error_and_not_a_guess() {
    let truncated = |xid| {
        let mut h = second_attempt();
        h.begin_with(xid);
        h.table_with(1, ReplicaIdentity::Default, &[("id", true, 23), ("v", false, 25)]);
        let relations = vec![1];
        let truncate = Truncate { xid: None, cascade: false, restart_identity: false, relations };
        h.feed(&Message::Truncate(truncate))
    };
    assert!(truncated(110).is_ok());
    let error = truncated(104).unwrap_err();
    assert!(error.to_string().contains("truncated between two attempts"), "{error}");
}
