use cdcd_capture::column_rules::{Action, ColumnRules};
use cdcd_capture::config::{Heartbeat, JsonOptions, SkippedOperations};
use cdcd_capture::position::OpenTransaction;
use cdcd_capture::{Config, Error, Flow, Pace};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::encode::TupleBuffer;
use cdcd_pgoutput::message::{Begin, Commit, Delete, Message, Old, Truncate, Update};
use cdcd_pgoutput::relation::ReplicaIdentity;
use cdcd_pgoutput::tuple::Value;

use crate::harness::{Harness, config, insert, row};

fn update<'a>(old: Old<'a>, new: &'a TupleBuffer) -> Message<'a> {
    Message::Update(Update { xid: None, relation: 7, old, new: new.tuple() })
}

fn delete(old: Old<'_>) -> Message<'_> {
    Message::Delete(Delete { xid: None, relation: 7, old })
}

fn started(identity: ReplicaIdentity) -> Harness {
    let mut h = Harness::new(config());
    h.begin();
    h.h1(identity);
    h
}

/// The event that Debezium 3.6.3 wrote for this insert (apart from the transaction block, which is off).
#[test]
fn an_insert_is_debeziums_event_byte_for_byte() {
    let mut h = started(ReplicaIdentity::Default);
    h.feed(&insert(&row([Some("1"), Some("a")]))).unwrap();
    let sent = h.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].topic, "srv.public.h1");
    assert_eq!(sent[0].key.as_deref(), Some(r#"{"id":1}"#));
    assert_eq!(
        sent[0].value.as_deref(),
        Some(concat!(
            r#"{"before":null,"after":{"id":1,"v":"a"},"source":{"version":"3.6.3.Final","connector":"postgresql","#,
            r#""name":"srv","ts_ms":1795170020989,"snapshot":"false","db":"app","sequence":"[null,\"27363080\"]","#,
            r#""ts_us":1795170020989740,"ts_ns":1795170020989740000,"schema":"public","table":"h1","txId":756,"#,
            r#""lsn":27363080,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"c","#,
            r#""ts_ms":1795170021207,"ts_us":1795170021207940,"ts_ns":1795170021207940471}"#
        ))
    );
    let header = |name: &str, value: &str| (format!("__debezium.context.{name}"), value.to_owned());
    assert_eq!(
        sent[0].headers,
        [
            header("connectorLogicalName", "srv"),
            header("taskId", "0"),
            header("connectorName", "postgresql"),
            header("runId", "run")
        ]
    );
}

#[test]
fn sequence_names_the_last_commit_of_this_history() {
    let mut h = started(ReplicaIdentity::Default);
    let end = h.commit();
    h.begin();
    h.feed(&insert(&row([Some("1"), None]))).unwrap();
    let value = h.sent()[0].value.clone().unwrap();
    assert!(value.contains(&format!(r#""sequence":"[\"{0}\",\"{0}\"]""#, end.0)), "{value}");
}

#[test]
fn default_identity_fills_the_before_of_a_delete_and_adds_a_tombstone() {
    let mut h = started(ReplicaIdentity::Default);
    h.feed(&delete(Old::Key(row([Some("1"), None]).tuple()))).unwrap();
    assert_eq!(h.changes(), [r#"d {"id":1} {"id":1,"v":null} -> null"#, r#"tombstone {"id":1}"#]);
}

#[test]
fn full_identity_gives_both_images() {
    let mut h = started(ReplicaIdentity::Full);
    let old = row([Some("1"), Some("a")]);
    h.feed(&update(Old::Row(old.tuple()), &row([Some("1"), Some("b")]))).unwrap();
    h.feed(&delete(Old::Row(old.tuple()))).unwrap();
    assert_eq!(
        h.changes(),
        [
            r#"u {"id":1} {"id":1,"v":"a"} -> {"id":1,"v":"b"}"#,
            r#"d {"id":1} {"id":1,"v":"a"} -> null"#,
            r#"tombstone {"id":1}"#
        ]
    );
}

#[test]
fn a_changed_key_is_delete_tombstone_create_with_each_others_key() {
    let mut h = started(ReplicaIdentity::Default);
    let old = row([Some("1"), None]);
    h.feed(&update(Old::Key(old.tuple()), &row([Some("2"), Some("a")]))).unwrap();
    let sent = h.sent();
    let changes: Vec<String> = sent.iter().map(|sent| sent.change()).collect();
    assert_eq!(
        changes,
        [
            r#"d {"id":1} {"id":1,"v":null} -> null"#,
            r#"tombstone {"id":1}"#,
            r#"c {"id":2} null -> {"id":2,"v":"a"}"#
        ]
    );
    let first = |at: usize| (sent[at].headers[0].0.as_str(), sent[at].headers[0].1.as_str());
    assert_eq!(first(0), ("__debezium.newkey", r#"{"id":2}"#));
    assert_eq!(first(1), ("__debezium.newkey", r#"{"id":2}"#));
    assert_eq!(first(2), ("__debezium.oldkey", r#"{"id":1}"#));
    assert_eq!(sent[0].headers.len(), 5);
}

/// Kafka Connect's SimpleHeaderConverter prints numbers where JsonConverter prints base64.
#[test]
fn a_decimal_key_is_a_number_in_the_header_of_its_change() {
    let mut h = Harness::new(config());
    h.begin();
    h.table_with_typmods(
        ReplicaIdentity::Default,
        &[("id", true, 1700, (10 << 16 | 2) + 4), ("v", false, 25, -1)],
    );
    let old = row([Some("1.50"), None]);
    h.feed(&update(Old::Key(old.tuple()), &row([Some("3.50"), Some("a")]))).unwrap();
    let sent = h.sent();
    assert_eq!(sent[0].key.as_deref(), Some(r#"{"id":"AJY="}"#));
    assert_eq!(sent[0].headers[0].1, r#"{"id":3.50}"#);
    assert_eq!(sent[2].headers[0].1, r#"{"id":1.50}"#);
}

#[test]
fn each_part_of_a_key_change_is_skipped_by_its_own_letter() {
    let changes = |letter: char| {
        let skipped_operations = SkippedOperations {
            create: letter == 'c',
            update: letter == 'u',
            delete: letter == 'd',
            truncate: true,
        };
        let mut h = Harness::new(Config { skipped_operations, ..config() });
        h.begin();
        h.h1(ReplicaIdentity::Default);
        h.feed(&update(Old::Absent, &row([Some("1"), Some("b")]))).unwrap();
        let old = row([Some("1"), None]);
        h.feed(&update(Old::Key(old.tuple()), &row([Some("2"), Some("a")]))).unwrap();
        h.sent().iter().map(|sent| sent.change().split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(changes('c'), ["u", "d", "tombstone"]);
    assert_eq!(changes('u'), ["d", "tombstone", "c"]);
    assert_eq!(changes('d'), ["u", "c"]);
}

/// The catalog is asked when a Relation message comes, which may be long after the table has changed again.
#[test]
fn the_key_is_the_one_of_the_stream_where_the_catalog_is_ahead() {
    let mut h = Harness::new(config());
    h.facts.key = vec!["v".to_owned()];
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h.feed(&delete(Old::Key(row([Some("1"), None]).tuple()))).unwrap();
    assert_eq!(h.changes(), [r#"d {"id":1} {"id":1,"v":null} -> null"#, r#"tombstone {"id":1}"#]);
}

#[test]
fn rules_touch_the_row_and_never_the_key() {
    let all = |pattern: &str| vec![regex::Regex::new(pattern).unwrap()];
    let column_rules = ColumnRules {
        actions: vec![(all("^public\\.h1\\.v$"), Action::Mask(3))],
        propagate_columns: all("^public\\.h1\\.id$"),
        propagate_types: Vec::new(),
    };
    let value = JsonOptions::default().into();
    let mut h = Harness::new(Config { column_rules, value, ..config() });
    h.facts.key = vec!["v".to_owned()];
    h.begin();
    h.h1(ReplicaIdentity::Full);
    h.feed(&insert(&row([Some("1"), Some("secret")]))).unwrap();
    h.feed(&insert(&row([Some("2"), None]))).unwrap();
    let sent = h.sent();
    assert_eq!(sent[0].change(), r#"c {"v":"secret"} null -> {"id":1,"v":"***"}"#);
    assert_eq!(sent[1].change(), r#"c {"v":null} null -> {"id":2,"v":"***"}"#);
    let value = sent[0].value.as_deref().unwrap();
    assert!(value.contains(r#""parameters":{"masked":"true"},"field":"v""#), "{value}");
    let propagated = r#"{"__debezium.source.column.type":"INT4","__debezium.source.column.length":"10","#;
    assert!(value.contains(propagated), "{value}");
}

#[test]
fn unchanged_toast_is_the_placeholder_or_the_old_value_under_full() {
    let new = TupleBuffer::new([Value::Text(b"1"), Value::UnchangedToast]);
    let mut h = started(ReplicaIdentity::Default);
    h.feed(&update(Old::Absent, &new)).unwrap();
    assert_eq!(h.changes(), [r#"u {"id":1} null -> {"id":1,"v":"__debezium_unavailable_value"}"#]);
    let mut h = started(ReplicaIdentity::Full);
    h.feed(&update(Old::Row(row([Some("1"), Some("long")]).tuple()), &new)).unwrap();
    assert_eq!(h.changes(), [r#"u {"id":1} {"id":1,"v":"long"} -> {"id":1,"v":"long"}"#]);
}

#[test]
fn a_table_without_key_has_null_keys_and_null_tombstones() {
    let mut h = Harness::new(config());
    h.facts.key.clear();
    h.begin();
    h.h1(ReplicaIdentity::Full);
    h.feed(&delete(Old::Row(row([Some("1"), Some("a")]).tuple()))).unwrap();
    let sent = h.sent();
    assert_eq!((&sent[0].key, &sent[1].key, &sent[1].value), (&None, &None, &None));
}

#[test]
fn an_identity_without_the_key_never_gives_a_false_key() {
    let mut h = Harness::new(config());
    h.begin();
    h.table(ReplicaIdentity::Index, &[("id", false, 23), ("v", true, 25)]);
    let error = h.feed(&delete(Old::Key(row([None, Some("a")]).tuple()))).unwrap_err();
    assert!(matches!(error, Error::Table { .. }), "{error}");
    assert!(error.hint().unwrap().contains("REPLICA IDENTITY"));
}

#[test]
fn truncate_is_skipped_unless_asked_for() {
    let truncate = Message::Truncate(Truncate {
        xid: None,
        cascade: false,
        restart_identity: false,
        relations: vec![7],
    });
    let mut h = started(ReplicaIdentity::Default);
    h.feed(&truncate).unwrap();
    assert!(h.sent().is_empty());
    let none = SkippedOperations { create: false, update: false, delete: false, truncate: false };
    let mut h = Harness::new(Config { skipped_operations: none, ..config() });
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h.feed(&truncate).unwrap();
    assert_eq!(h.changes(), ["t - null -> null"]);
}

#[test]
fn schemas_stand_before_the_payload_when_enabled() {
    let with = JsonOptions::default().into();
    let mut h = Harness::new(Config { key: with, value: with, ..config() });
    h.facts.columns[1].default = Some("'dflt'::text".to_owned());
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h.feed(&insert(&row([Some("1"), None]))).unwrap();
    let sent = h.sent();
    assert_eq!(
        sent[0].key.as_deref(),
        Some(concat!(
            r#"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"optional":false,"#,
            r#""name":"srv.public.h1.Key"},"payload":{"id":1}}"#
        ))
    );
    let value = sent[0].value.as_deref().unwrap();
    assert!(value.starts_with(concat!(
        r#"{"schema":{"type":"struct","fields":[{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},"#,
        r#"{"type":"string","optional":true,"default":"dflt","field":"v"}],"optional":true,"name":"srv.public.h1.Value","field":"before"},"#
    )));
    assert!(value.contains(r#""name":"event.block","version":1,"field":"transaction"}"#));
    assert!(value.contains(
        r#""optional":false,"name":"srv.public.h1.Envelope","version":2},"payload":{"before":null,"#
    ));
    // A real NULL becomes the default under replace.null.with.default, as JsonConverter does.
    assert!(value.contains(r#""after":{"id":1,"v":"dflt"}"#));
}

/// The end of the last transaction, and the part of the open one, that a commit would cover now.
fn commit_point(h: &mut Harness) -> Option<(Lsn, Option<u64>)> {
    let point = h.capture.poll_commit(0, Pace::Stopping)?;
    Some((point.done_end_lsn, point.open.map(|open| open.ordinal_next)))
}

#[test]
fn a_commit_covers_what_was_sent_and_nothing_is_acknowledged_before_it() {
    let mut h = started(ReplicaIdentity::Default);
    h.feed(&insert(&row([Some("1"), None]))).unwrap();
    assert_eq!(commit_point(&mut h), None, "a record was not sent");
    h.sent();
    assert_eq!(commit_point(&mut h), Some((Lsn(100), Some(1))));
    h.feed(&insert(&row([Some("2"), None]))).unwrap();
    let end = h.commit();
    h.keepalive(end.0 + 50);
    h.sent();
    assert_eq!(commit_point(&mut h), None, "one at a time");
    assert_eq!(h.capture.flushed(), Lsn(100));
    h.capture.handle_committed();
    assert_eq!(h.capture.flushed(), Lsn(100), "a part of a transaction moves nothing");
    assert_eq!(commit_point(&mut h), Some((Lsn(end.0 + 50), None)));
    h.capture.handle_committed();
    assert_eq!(h.capture.flushed(), Lsn(end.0 + 50));
}

/// Feeds one transaction of three inserts; gives the keys that were sent.
fn three_inserts(h: &mut Harness) -> Result<Vec<String>, Error> {
    h.begin();
    h.h1(ReplicaIdentity::Default);
    for key in ["1", "2", "3"] {
        h.feed(&insert(&row([Some(key), None])))?;
    }
    h.commit();
    Ok(h.sent().into_iter().filter_map(|sent| sent.key).collect())
}

#[test]
fn a_cut_transaction_goes_on_behind_the_part_that_is_in_kafka() {
    let mut first = started(ReplicaIdentity::Default);
    first.feed(&insert(&row([Some("1"), None]))).unwrap();
    first.feed(&insert(&row([Some("2"), None]))).unwrap();
    first.sent();
    let open = first.capture.poll_commit(0, Pace::Stopping).unwrap().open.unwrap();
    assert_eq!(open.ordinal_next, 2);

    let mut second = Harness::with_open(config(), open.clone());
    assert_eq!(three_inserts(&mut second).unwrap(), [r#"{"id":3}"#]);
    // The same part must come again …
    let mut longer = open.clone();
    longer.ordinal_next = 3;
    let mut other = open.clone();
    other.xid += 1;
    let mut beyond = open;
    beyond.ordinal_next = 4;
    for wrong in [longer, other, beyond] {
        // … or nothing goes on.
        let error = three_inserts_or_error(wrong);
        assert!(matches!(error, Error::Nondeterministic { .. }), "{error}");
    }
}

fn three_inserts_or_error(open: OpenTransaction) -> Error {
    let mut h = Harness::with_open(config(), open);
    let begin = Begin { final_lsn: Lsn(27_363_080), committed_at: 0, xid: 756 };
    if let Err(error) = h.feed(&Message::Begin(begin)) {
        return error;
    }
    h.h1(ReplicaIdentity::Default);
    for key in ["1", "2", "3"] {
        if let Err(error) = h.feed(&insert(&row([Some(key), None]))) {
            return error;
        }
    }
    let commit = Commit { commit_lsn: Lsn(27_363_080), end_lsn: Lsn(27_363_088), committed_at: 0 };
    h.feed(&Message::Commit(commit)).unwrap_err()
}

#[test]
fn a_heartbeat_before_the_replay_keeps_the_open_part_in_the_position() {
    let mut first = started(ReplicaIdentity::Default);
    first.feed(&insert(&row([Some("1"), None]))).unwrap();
    first.sent();
    let open = first.capture.poll_commit(0, Pace::Stopping).unwrap().open.unwrap();
    let heartbeat = Some(Heartbeat { interval_ns: 1, topic: "hb".to_owned() });
    let mut second = Harness::with_open(Config { heartbeat, ..config() }, open.clone());
    second.capture.handle_timer(0);
    second.keepalive(200);
    second.capture.handle_timer(1);
    assert_eq!(second.sent().len(), 1);
    let point = second.capture.poll_commit(0, Pace::Idle).unwrap();
    assert_eq!((point.done_end_lsn, point.open), (Lsn(200), Some(open)));
}

#[test]
fn event_ids_count_changes_before_any_filter_and_number_their_records() {
    let skip = SkippedOperations { create: true, truncate: false, ..SkippedOperations::default() };
    let mut h = Harness::new(Config { event_ids: true, skipped_operations: skip, ..config() });
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h.feed(&insert(&row([Some("1"), None]))).unwrap();
    h.feed(&delete(Old::Key(row([Some("1"), None]).tuple()))).unwrap();
    let new = row([Some("3"), Some("a")]);
    h.feed(&update(Old::Key(row([Some("2"), None]).tuple()), &new)).unwrap();
    let relations = vec![7];
    let truncate = Truncate { xid: None, cascade: false, restart_identity: false, relations };
    h.feed(&Message::Truncate(truncate)).unwrap();
    let ids: Vec<String> = h.sent().into_iter().map(|sent| sent.headers.last().unwrap().1.clone()).collect();
    let at = 27_363_080;
    // The create of the changed key is skipped, too.
    let expected = ["1-0", "1-1", "2-0", "2-1", "3-0"].map(|id| format!("0-{at}-{id}"));
    assert_eq!(ids, expected);
}

#[test]
fn a_full_receiver_is_offered_the_same_record_again() {
    let mut h = started(ReplicaIdentity::Default);
    h.feed(&insert(&row([Some("1"), None]))).unwrap();
    h.feed(&insert(&row([Some("2"), None]))).unwrap();
    let mut taken = 0;
    let flow = h.capture.send_records(|_| {
        taken += 1;
        if taken == 2 { Flow::Full } else { Flow::Taken }
    });
    assert_eq!(flow, Flow::Full);
    assert_eq!(h.changes(), [r#"c {"id":2} null -> {"id":2,"v":null}"#]);
}

#[test]
fn broken_rules_of_the_protocol_stop_the_capture() {
    let mut h = Harness::new(config());
    assert!(matches!(h.feed(&insert(&row([Some("1")]))), Err(Error::Protocol { .. })));
    let mut h = started(ReplicaIdentity::Default);
    assert!(matches!(h.feed(&insert(&row([Some("1")]))), Err(Error::Protocol { .. })));
    let begin = Begin { final_lsn: Lsn(1), committed_at: 0, xid: 1 };
    assert!(matches!(h.feed(&Message::Begin(begin)), Err(Error::Protocol { .. })));
}

#[test]
fn a_value_that_cannot_be_converted_names_its_table_and_column() {
    let mut h = started(ReplicaIdentity::Default);
    let error = h.feed(&insert(&row([Some("x"), None]))).unwrap_err();
    assert_eq!(error.to_string(), "table public.h1, column id, at 0/1A18708");
}

#[test]
fn a_lineage_above_0_is_a_header_behind_debeziums() {
    let mut h = Harness::with_lineage(config(), 2);
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h.feed(&insert(&row([Some("1"), None]))).unwrap();
    assert_eq!(h.sent()[0].headers[4], ("cdcd.lineage".to_owned(), "2".to_owned()));
}
