//! Transaction metadata and logical decoding messages.

use std::collections::BTreeMap;

use cdcd_capture::config::{BinaryMode, Converter, Modes, NameFilter, TransactionTopic};
use cdcd_capture::converter::AvroOptions;
use cdcd_capture::position::{Counts, OpenTransaction};
use cdcd_capture::{Capture, Config, Error, Pace, Start};
use cdcd_debezium::transform::Chain;
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::message::{Delete, Logical, Message, Old, Update};
use cdcd_pgoutput::relation::ReplicaIdentity;
use serde_json::{Value, json};

use crate::harness::{COMMITTED_AT_US, Harness, Sent, config, insert, row};

fn counted() -> Config {
    let transactions = Some(TransactionTopic { name: "srv.transaction".to_owned() });
    Config { transactions, ..config() }
}

fn message(transactional: bool, prefix: &'static str, content: &'static [u8]) -> Message<'static> {
    Message::Logical(Logical { xid: None, transactional, lsn: Lsn(0), prefix, content })
}

fn value(sent: &Sent) -> Value {
    serde_json::from_str(sent.value.as_deref().unwrap()).unwrap()
}

/// Ends as they are, events by their place: `c 1/1`.
fn told(sent: &[Sent]) -> Vec<String> {
    let mut told = Vec::new();
    for sent in sent.iter().filter(|sent| sent.value.is_some()) {
        let value = value(sent);
        told.push(match value.get("status") {
            Some(status) => {
                format!("{} {} {}", status.as_str().unwrap(), value["event_count"], value["data_collections"])
            }
            None => {
                let block = &value["transaction"];
                let order = (&block["total_order"], &block["data_collection_order"]);
                format!("{} {}/{}", value["op"].as_str().unwrap(), order.0, order.1)
            }
        });
    }
    told
}

#[test]
fn a_transaction_is_told_with_its_ends_and_the_place_of_each_event() {
    let mut h = Harness::new(counted());
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h.feed(&insert(&row([Some("1"), Some("a")]))).unwrap();
    let new = row([Some("2"), Some("a")]);
    h.feed(&Message::Update(Update {
        xid: None,
        relation: 7,
        old: Old::Key(row([Some("1"), None]).tuple()),
        new: new.tuple(),
    }))
    .unwrap();
    h.commit();
    let sent = h.sent();
    assert_eq!(
        told(&sent),
        [
            "BEGIN null null",
            "c 1/1",
            "d 2/2",
            "c 3/3",
            r#"END 3 [{"data_collection":"public.h1","event_count":3}]"#
        ],
        "a changed key is two events, a tombstone none"
    );
    let (begin, end) = (&sent[0], &sent[5]);
    assert_eq!((begin.topic.as_str(), begin.headers.len()), ("srv.transaction", 0));
    assert_eq!(begin.key.as_deref(), Some(r#"{"id":"756:27363080"}"#));
    assert_eq!(
        begin.value.as_deref(),
        Some(
            r#"{"status":"BEGIN","id":"756:27363080","event_count":null,"data_collections":null,"ts_ms":1795170020989}"#
        )
    );
    assert_eq!(value(end)["id"], "756:27363080");
    assert_eq!(value(&sent[1])["transaction"]["id"], "756:27363080");
}

/// A transaction whose first part is in Kafka, as `open` says: what of it is told.
fn resumed(config: Config, open: Option<OpenTransaction>, stop_after: Option<usize>) -> (Harness, Vec<Sent>) {
    let mut h = match open {
        Some(open) => Harness::with_open(config, open),
        None => Harness::new(config),
    };
    let mut sent = Vec::new();
    h.begin();
    h.h1(ReplicaIdentity::Default);
    for step in 0..5 {
        if stop_after == Some(step) {
            sent.append(&mut h.sent());
            return (h, sent);
        }
        match step {
            4 => {}
            1 => h.feed(&message(true, "p", b"x")).unwrap(),
            _ => h.feed(&insert(&row([Some(["1", "2", "3", "4"][step]), None]))).unwrap(),
        }
    }
    h.commit();
    sent.append(&mut h.sent());
    (h, sent)
}

#[test]
fn a_transaction_that_was_cut_anywhere_goes_on_counting_where_it_was() {
    let (_, whole) = resumed(counted(), None, None);
    let all = told(&whole);
    assert_eq!(all.len(), 6);
    assert!(all[5].starts_with("END 4"), "{all:?}");
    for cut in 0..=4 {
        let (mut first, mut parts) = resumed(counted(), None, Some(cut));
        let open = first.capture.poll_commit(0, Pace::Stopping).unwrap().open;
        let open = through_json(open.unwrap());
        assert_eq!(open.ordinal_next, cut as u64);
        let (_, rest) = resumed(counted(), Some(open), None);
        parts.extend(rest);
        assert_eq!(told(&parts), all, "cut behind change {cut}");
    }
}

fn through_json(open: OpenTransaction) -> OpenTransaction {
    serde_json::from_str(&serde_json::to_string(&open).unwrap()).unwrap()
}

#[test]
fn metadata_that_is_switched_on_within_a_cut_transaction_tells_both_of_its_ends_once() {
    let (mut first, _) = resumed(config(), None, Some(2));
    let open = first.capture.poll_commit(0, Pace::Stopping).unwrap().open.unwrap();
    assert_eq!(open.counts, None);
    // Stopped again before anything new: BEGIN is in Kafka now.
    let mut second = Harness::with_open(counted(), open.clone());
    second.begin();
    assert_eq!(told(&second.sent()), ["BEGIN null null"]);
    let again = second.capture.poll_commit(0, Pace::Stopping).unwrap().open.unwrap();
    assert_eq!(again, OpenTransaction { counts: Some(Counts::default()), ..open });
    let (_, rest) = resumed(counted(), Some(again), None);
    assert_eq!(told(&rest), ["c 1/1", "c 2/2", r#"END 2 [{"data_collection":"public.h1","event_count":2}]"#]);
}

#[test]
fn a_position_without_counts_is_read_and_one_is_written_as_before() {
    let text = r#"{"commit_lsn":"0/1","xid":7,"ordinal_next":3,"prefix_hash":"00000000000000ff"}"#;
    let open: OpenTransaction = serde_json::from_str(text).unwrap();
    assert_eq!(open.counts, None);
    assert_eq!(serde_json::to_string(&open).unwrap(), text);
}

#[test]
fn messages_are_counted_together_and_each_is_the_first_of_its_own() {
    let mut h = Harness::new(counted());
    h.begin();
    h.feed(&message(true, "p", b"one")).unwrap();
    h.feed(&message(true, "q", b"two")).unwrap();
    h.commit();
    h.feed(&message(false, "r", b"three")).unwrap();
    let sent = h.sent();
    assert_eq!(
        told(&sent),
        [
            "BEGIN null null",
            "m 1/1",
            "m 2/1",
            r#"END 2 [{"data_collection":"message","event_count":2}]"#,
            "m null/null"
        ]
    );
}

/// The event that Debezium 3.6.3 wrote for such a message.
#[test]
fn a_message_is_debeziums_event_byte_for_byte() {
    let mut h = Harness::new(config());
    h.begin();
    h.feed(&message(true, "only", b"\x00\xffa")).unwrap();
    h.commit();
    let sent = h.sent();
    assert_eq!((sent[0].topic.as_str(), sent[0].headers.len()), ("srv.message", 0));
    assert_eq!(sent[0].key.as_deref(), Some(r#"{"prefix":"only"}"#));
    assert_eq!(
        sent[0].value.as_deref(),
        Some(concat!(
            r#"{"op":"m","ts_ms":1795170021207,"source":{"version":"3.6.3.Final","connector":"postgresql","#,
            r#""name":"srv","ts_ms":1795170020989,"snapshot":"false","db":"app","sequence":"[null,\"27363080\"]","#,
            r#""ts_us":1795170020989740,"ts_ns":1795170020989740000,"schema":"","table":"","txId":756,"#,
            r#""lsn":27363080,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"#,
            r#""message":{"prefix":"only","content":"AP9h"}}"#
        ))
    );
}

#[test]
fn content_follows_the_binary_handling_mode() {
    for (binary, expected) in [
        (BinaryMode::Bytes, "+/8="),
        (BinaryMode::Base64, "+/8="),
        (BinaryMode::Base64UrlSafe, "-_8="),
        (BinaryMode::Hex, "fbff"),
    ] {
        let mut h = Harness::new(Config { modes: Modes { binary, ..Modes::default() }, ..config() });
        h.feed(&message(false, "p", b"\xfb\xff")).unwrap();
        assert_eq!(value(&h.sent()[0])["message"]["content"], expected);
    }
}

#[test]
fn a_message_outside_of_transactions_is_a_commit_of_its_own() {
    let mut h = Harness::new(config());
    h.begin();
    let end = h.commit();
    h.sent();
    h.capture.poll_commit(0, Pace::Stopping).unwrap();
    h.capture.handle_committed();
    h.feed_at(end.0 + 100, &message(false, "p", b"x")).unwrap();
    let source = value(&h.sent()[0])["source"].clone();
    let lsn = end.0 + 100;
    assert_eq!(source["sequence"], json!(format!("[\"{lsn}\",\"{lsn}\"]")));
    assert_eq!(source["txId"], Value::Null);
    assert_eq!(source["ts_us"], json!(COMMITTED_AT_US), "the last commit's");
    let point = h.capture.poll_commit(0, Pace::Stopping).unwrap();
    // From the end of its record on the server does not send it again: it skips what begins before.
    assert_eq!(point.done_end_lsn, Lsn(lsn));
    assert_eq!((point.last_commit_lsn, point.last_commit_us), (Some(Lsn(lsn)), Some(COMMITTED_AT_US)));
    assert_eq!(point.open, None);
    h.capture.handle_committed();
    assert_eq!(h.capture.acknowledgeable(), Lsn(lsn));
    // What begins before is in Kafka: a server that sends it again is not the one that we know.
    let again = h.feed_at(lsn - 1, &message(false, "p", b"x")).unwrap_err();
    assert!(matches!(again, Error::Protocol { .. }), "{again}");
}

#[test]
fn the_time_of_the_last_commit_outlives_a_restart() {
    let start = Start { last_commit_us: Some(5_000), ..Start::at(Lsn(100)) };
    let mut h = Harness::new(config());
    h.capture = Capture::new(config(), start).unwrap();
    h.feed(&message(false, "p", b"x")).unwrap();
    assert_eq!(value(&h.sent()[0])["source"]["ts_us"], json!(5_000));
}

#[test]
fn a_message_that_is_not_wanted_moves_the_position_and_is_not_counted() {
    let patterns = vec![regex::Regex::new("(?i)^(?:noise.*)$").unwrap()];
    let mut h = Harness::new(Config { messages: NameFilter::Exclude(patterns), ..counted() });
    h.feed_at(27_363_000, &message(false, "Noise 1", b"x")).unwrap();
    h.begin();
    h.feed(&message(true, "noise", b"x")).unwrap();
    h.feed(&message(true, "signal", b"x")).unwrap();
    h.commit();
    let sent = h.sent();
    assert_eq!(
        told(&sent),
        ["BEGIN null null", "m 1/1", r#"END 1 [{"data_collection":"message","event_count":1}]"#]
    );
    assert_eq!(value(&sent[1])["source"]["sequence"], r#"["27363000","27363080"]"#);
}

#[test]
fn a_message_in_a_wrong_place_is_a_broken_protocol() {
    let mut h = Harness::new(config());
    assert!(matches!(h.feed(&message(true, "p", b"")), Err(Error::Protocol { .. })));
    h.begin();
    assert!(matches!(h.feed(&message(false, "p", b"")), Err(Error::Protocol { .. })));
}

#[test]
fn avro_asks_for_the_ids_of_messages_when_the_first_comes() {
    let avro = Converter::Avro(AvroOptions::default());
    let mut h = Harness::new(Config { key: avro, value: avro, ..counted() });
    let mut asked = Vec::new();
    let mut answer = |h: &mut Harness| {
        while let Some(request) = h.capture.poll_schema_request().cloned() {
            asked.push(request.subject.clone());
            h.capture.handle_schema_id(&request.subject, asked.len() as u32);
        }
    };
    answer(&mut h);
    h.feed(&message(false, "p", b"xy")).unwrap();
    answer(&mut h);
    h.feed_at(27_363_090, &message(false, "p", b"xy")).unwrap();
    assert!(h.capture.poll_schema_request().is_none());
    let mut keys = Vec::new();
    h.capture.send_records(|record| {
        assert!(record.value.unwrap().starts_with(&[0, 0, 0, 0, 4, 2, b'm']), "{:?}", record.value);
        keys.push(record.key.unwrap().to_vec());
        cdcd_capture::Flow::Taken
    });
    assert_eq!(keys, [[0, 0, 0, 0, 3, 2, 2, b'p'], [0, 0, 0, 0, 3, 2, 2, b'p']]);
    let expected = ["srv.transaction-key", "srv.transaction-value", "srv.message-key", "srv.message-value"];
    assert_eq!(asked, expected);
}

#[test]
fn transformations_see_ends_and_messages_and_the_same_bytes_come_out() {
    let chain = |lines: &[(&str, &str)]| {
        let own: BTreeMap<String, String> =
            lines.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Chain::new(&own).unwrap()
    };
    let run = |config: Config| {
        let mut h = Harness::new(config);
        h.begin();
        h.h1(ReplicaIdentity::Default);
        h.feed(&insert(&row([Some("1"), Some("a")]))).unwrap();
        h.feed(&message(true, "p", b"x")).unwrap();
        h.feed(&Message::Delete(Delete {
            xid: None,
            relation: 7,
            old: Old::Key(row([Some("1"), None]).tuple()),
        }))
        .unwrap();
        h.commit();
        h.feed(&message(false, "q", b"y")).unwrap();
        h.sent()
    };
    let plain = run(counted());
    let same = chain(&[
        ("transforms", "a"),
        ("transforms.a.type", "org.apache.kafka.connect.transforms.InsertHeader"),
        ("transforms.a.header", "h"),
        ("transforms.a.value.literal", "x"),
    ]);
    let mut through = run(Config { transforms: same, ..counted() });
    for sent in &mut through {
        assert_eq!(sent.headers.pop().unwrap().0, "h");
    }
    assert_eq!(through, plain);
    let unwrap = chain(&[
        ("transforms", "u"),
        ("transforms.u.type", "io.debezium.transforms.ExtractNewRecordState"),
        ("transforms.u.add.fields", "transaction.id,transaction.total_order"),
    ]);
    let unwrapped = run(Config { transforms: unwrap, ..counted() });
    assert_eq!(
        unwrapped[1].value.as_deref(),
        Some(r#"{"id":1,"v":"a","__transaction_id":"756:27363080","__transaction_total_order":1}"#)
    );
    let ends = |sent: &[Sent]| -> Vec<Sent> {
        sent.iter().filter(|sent| !sent.topic.ends_with("h1")).cloned().collect()
    };
    assert_eq!(ends(&unwrapped), ends(&plain));
}
