//! Transformations within the engine: without trees as with them, and what a dropped record leaves behind.

use std::collections::BTreeMap;

use cdcd_capture::config::{Converter, Heartbeat, JsonOptions, SkippedOperations};
use cdcd_capture::converter::{AvroOptions, NameAdjustment};
use cdcd_capture::{Capture, Config, Error, Flow, Pace, Start};
use cdcd_debezium::format::json::DecimalFormat;
use cdcd_debezium::transform::Chain;
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::message::{Delete, Insert, Message, Old, Origin, Truncate, Update};
use cdcd_pgoutput::relation::ReplicaIdentity;

use crate::harness::{Harness, NOW_NS, Sent, config, row};

/// `key=value` lines.
fn chain(lines: &str) -> Chain {
    let pairs = lines.lines().filter_map(|line| line.trim().split_once('='));
    Chain::new(&pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>())
        .unwrap()
}

fn with(lines: &str) -> Config {
    Config { transforms: chain(lines), ..config() }
}

/// Every operation on a table with a default and on the same one with its full image.
fn all_changes(config: Config) -> Vec<Sent> {
    let mut sent = Vec::new();
    for identity in [ReplicaIdentity::Default, ReplicaIdentity::Full] {
        let mut h = Harness::new(config.clone());
        h.facts.columns[1].default = Some("'dflt'::text".to_owned());
        h.begin();
        h.feed(&Message::Origin(Origin { origin_lsn: Lsn(99), name: "or\"igin" })).unwrap();
        h.h1(identity);
        let row = |id, v| row([Some(id), v]);
        let (one, two, three) = (row("1", Some("a \"b\"")), row("2", None), row("3", Some("ünï")));
        let key_only = row("2", None);
        let insert = |new| Message::Insert(Insert { xid: None, relation: 7, new });
        let full = identity == ReplicaIdentity::Full;
        let old = |full_row, key| if full { Old::Row(full_row) } else { Old::Key(key) };
        h.feed(&insert(one.tuple())).unwrap();
        h.feed(&insert(two.tuple())).unwrap();
        let unchanged = if full { Old::Row(one.tuple()) } else { Old::Absent };
        h.feed(&Message::Update(Update { xid: None, relation: 7, old: unchanged, new: one.tuple() }))
            .unwrap();
        let moved = old(two.tuple(), key_only.tuple());
        h.feed(&Message::Update(Update { xid: None, relation: 7, old: moved, new: three.tuple() })).unwrap();
        let gone = old(three.tuple(), three.tuple());
        h.feed(&Message::Delete(Delete { xid: None, relation: 7, old: gone })).unwrap();
        h.feed(&Message::Truncate(Truncate {
            xid: None,
            cascade: false,
            restart_identity: false,
            relations: vec![7],
        }))
        .unwrap();
        h.commit();
        sent.extend(h.sent());
    }
    sent
}

/// Holds for every record and cannot be known before one comes: it takes the way through trees.
const FORCED: &str = "predicates=never\npredicates.never.type=HasHeaderKey\npredicates.never.name=never\n\
                      transforms.u.predicate=never\ntransforms.u.negate=true";

#[test]
fn unwrapping_without_a_tree_is_unwrapping_with_one() {
    let modes = ["drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"];
    let additions = [
        "",
        "transforms.u.add.fields=op,lsn,source.ts_ms,source,snapshot,sequence,version,connector,name,db,schema,table,txId,\
         xmin,origin,origin_lsn,source.ts_us,source.ts_ns,transaction.id,transaction,ts_ms,ts_us,ts_ns,nowhere",
        "transforms.u.add.headers=op,lsn,source.ts_ms,snapshot,sequence,version,connector,name,db,schema,table,txId,xmin,origin,\
         origin_lsn,source.ts_us,source.ts_ns,transaction.id,ts_ms,ts_us,ts_ns,nowhere\ntransforms.u.add.headers.prefix=x-",
    ];
    let mut compared = 0;
    for mode in modes {
        for added in additions {
            for (schemas, null_as_default, replace) in
                [(true, true, true), (false, true, false), (false, false, true), (true, false, false)]
            {
                let lines = format!(
                    "transforms=u,r\ntransforms.u.type=ExtractNewRecordState\n\
                     transforms.u.delete.tombstone.handling.mode={mode}\n{added}\n\
                     transforms.u.replace.null.with.default={replace}\n\
                     transforms.r.type=RegexRouter\ntransforms.r.regex=srv.(.*)\ntransforms.r.replacement=out.$1"
                );
                let value = JsonOptions { schemas, null_as_default, ..JsonOptions::default() };
                let skipped_operations =
                    SkippedOperations { truncate: false, ..SkippedOperations::default() };
                let config = |lines: &str| Config {
                    transforms: chain(lines),
                    skipped_operations,
                    event_ids: true,
                    value: value.into(),
                    key: value.into(),
                    ..config()
                };
                assert!(chain(&lines).resolve("srv.public.h1").is_some());
                let forced = format!("{lines}\n{FORCED}");
                assert!(chain(&forced).resolve("srv.public.h1").is_none());
                let (planned, trees) = (all_changes(config(&lines)), all_changes(config(&forced)));
                assert!(planned.len() >= 8, "{}", planned.len());
                for (planned, tree) in planned.iter().zip(&trees) {
                    assert_eq!(planned, tree, "{lines}");
                    assert_eq!(planned.topic, "out.public.h1");
                }
                assert_eq!(planned.len(), trees.len(), "{lines}");
                compared += planned.len();
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn a_tree_that_nothing_changes_is_the_record_itself() {
    for (schemas, null_as_default) in [(true, true), (false, false)] {
        let value = JsonOptions { schemas, null_as_default, ..JsonOptions::default() };
        let plain = Config { value: value.into(), key: value.into(), event_ids: true, ..config() };
        let lines = "transforms=d\ntransforms.d.type=DropHeaders\ntransforms.d.headers=none";
        let trees = Config { transforms: chain(lines), ..plain.clone() };
        assert_eq!(all_changes(trees), all_changes(plain));
    }
}

#[test]
fn names_and_decimals_are_written_alike_on_every_way() {
    let json = JsonOptions { decimal: DecimalFormat::Numeric, ..JsonOptions::default() };
    let written = |lines: &str| {
        let mut h = Harness::new(Config {
            topic_prefix: "s-r".to_owned(),
            schema_names: NameAdjustment::Avro,
            field_names: NameAdjustment::Avro,
            key: json.into(),
            value: json.into(),
            ..with(lines)
        });
        h.facts.columns[1].name = "a-b".to_owned();
        h.facts.columns[1].default = Some("1.50".to_owned());
        h.begin();
        let numeric = (10 << 16 | 2) + 4;
        h.table_with_typmods(
            ReplicaIdentity::Default,
            &[("id", true, 23, -1), ("a-b", false, 1700, numeric)],
        );
        let new = row([Some("1"), Some("2.25")]);
        h.feed(&Message::Insert(Insert { xid: None, relation: 7, new: new.tuple() })).unwrap();
        h.sent().remove(0)
    };
    let direct = written("");
    let value = direct.value.as_deref().unwrap();
    for part in [r#""name":"s_r.public.h1.Envelope""#, r#""default":1.50"#, r#""a_b":2.25"#] {
        assert!(value.contains(part), "{part} in {value}");
    }
    assert_eq!(direct.topic, "s-r.public.h1");
    let tree = "transforms=d\ntransforms.d.type=DropHeaders\ntransforms.d.headers=none";
    assert_eq!(written(tree), direct);
    let unwrap = "transforms=u\ntransforms.u.type=ExtractNewRecordState";
    let row = written(unwrap);
    assert_eq!(written(&format!("{unwrap}\n{FORCED}")), row);
    assert!(row.value.unwrap().ends_with(r#""payload":{"id":1,"a_b":2.25}}"#));
}

/// Answers with ids from 1 on; gives what was asked.
fn answer(h: &mut Harness) -> Vec<(String, String)> {
    let mut asked = Vec::new();
    while let Some(request) = h.capture.poll_schema_request().cloned() {
        asked.push((request.subject, request.schema));
        h.capture.handle_schema_id(&asked[asked.len() - 1].0, asked.len() as u32);
    }
    asked
}

/// Key and value.
type Bytes = (Option<Vec<u8>>, Option<Vec<u8>>);

fn bytes(h: &mut Harness) -> Vec<Bytes> {
    let mut records = Vec::new();
    let flow = h.capture.send_records(|record| {
        records.push((record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec)));
        Flow::Taken
    });
    if flow == Flow::Full {
        assert_eq!(records, [], "nothing is offered before its id is known");
    }
    records
}

fn new_row(h: &mut Harness, id: &str) {
    let new = row([Some(id), Some("ab")]);
    h.feed(&Message::Insert(Insert { xid: None, relation: 7, new: new.tuple() })).unwrap();
}

#[test]
fn the_schema_after_the_transforms_is_registered_when_its_first_record_is_there() {
    let avro = Converter::Avro(AvroOptions::default());
    let lines = format!(
        "transforms=u,k,r\n{FORCED}\ntransforms.u.type=ExtractNewRecordState\n\
         transforms.k.type=org.apache.kafka.connect.transforms.ExtractField$Key\ntransforms.k.field=id\n\
         transforms.r.type=RegexRouter\ntransforms.r.regex=.*\ntransforms.r.replacement=one"
    );
    let mut h = Harness::new(Config { key: avro, value: avro, ..with(&lines) });
    h.begin();
    h.h1(ReplicaIdentity::Default);
    assert_eq!(answer(&mut h), [], "nobody knows yet what the transforms leave");
    new_row(&mut h, "-3");
    assert_eq!(bytes(&mut h), []);
    let asked = answer(&mut h);
    let subjects: Vec<_> = asked.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(subjects, ["one-value", "one-key"]);
    assert!(
        asked[0].1.starts_with(r#"{"type":"record","name":"Value","namespace":"srv.public.h1""#),
        "{}",
        asked[0].1
    );
    assert_eq!(asked[1].1, r#""int""#);
    let records = bytes(&mut h);
    assert_eq!(records[0].0.as_deref(), Some(&[0, 0, 0, 0, 2, 5][..]));
    assert_eq!(records[0].1.as_deref(), Some(&[0, 0, 0, 0, 1, 5, 2, 4, b'a', b'b'][..]));
    // The same shape again: nothing is asked, and a tombstone has no value to ask for.
    let old = row([Some("4"), None]);
    h.feed(&Message::Delete(Delete { xid: None, relation: 7, old: Old::Key(old.tuple()) })).unwrap();
    new_row(&mut h, "5");
    h.commit();
    assert_eq!(answer(&mut h), []);
    let records = bytes(&mut h);
    assert_eq!(records[0], (Some(vec![0, 0, 0, 0, 2, 8]), None));
    assert_eq!(records[1].0.as_deref(), Some(&[0, 0, 0, 0, 2, 10][..]));
}

#[test]
fn a_renamed_table_registers_under_the_name_that_its_records_have() {
    let avro = Converter::Avro(AvroOptions::default());
    let lines =
        "transforms=r\ntransforms.r.type=RegexRouter\ntransforms.r.regex=.*\ntransforms.r.replacement=one";
    let mut h = Harness::new(Config { key: avro, value: avro, ..with(lines) });
    h.begin();
    h.h1(ReplicaIdentity::Default);
    let subjects: Vec<_> = answer(&mut h).into_iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects, ["one-value", "one-key"]);
}

#[test]
fn text_and_bytes_are_written_as_their_converters_do() {
    let lines = format!(
        "transforms=u,v\n{FORCED}\ntransforms.u.type=ExtractNewRecordState\n\
         transforms.v.type=org.apache.kafka.connect.transforms.ExtractField$Value\ntransforms.v.field=v"
    );
    let written = |value: Converter, binary: bool| {
        let mut h = Harness::new(Config { key: Converter::Text, value, ..with(&lines) });
        h.begin();
        let kind = if binary { 17 } else { 25 };
        h.table_with_typmods(ReplicaIdentity::Default, &[("id", true, 23, -1), ("v", false, kind, -1)]);
        let new = row([Some("1"), Some(r"\x00ff")]);
        h.feed(&Message::Insert(Insert { xid: None, relation: 7, new: new.tuple() })).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            (source.unwrap_or_default(), error.hint().unwrap_or_default().to_owned())
        })?;
        let null = row([Some("2"), None]);
        h.feed(&Message::Insert(Insert { xid: None, relation: 7, new: null.tuple() })).unwrap();
        Ok(bytes(&mut h))
    };
    let key = |text: &str| Some(text.as_bytes().to_vec());
    let text = written(Converter::Text, false).unwrap();
    assert_eq!(text, [(key("Struct{id=1}"), key(r"\x00ff")), (key("Struct{id=2}"), None)]);
    let plain = written(Converter::Bytes, true).unwrap();
    assert_eq!(plain, [(key("Struct{id=1}"), Some(vec![0, 255])), (key("Struct{id=2}"), None)]);
    let (what, hint): (String, String) = written(Converter::Bytes, false).unwrap_err();
    assert!(what.contains("bytes only") && hint.contains("ExtractField"), "{what} {hint}");
}

#[test]
fn bytes_without_transforms_are_refused() {
    let config = Config { value: Converter::Bytes, ..with("") };
    assert!(matches!(Capture::new(config, Start::at(Lsn(1))).err(), Some(Error::BytesForm)));
}

#[test]
fn a_renamed_table_has_one_topic_and_no_other() {
    let mut h = Harness::new(with(
        "transforms=r\ntransforms.r.type=RegexRouter\ntransforms.r.regex=.*\ntransforms.r.replacement=one",
    ));
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h.feed(&Message::Insert(Insert { xid: None, relation: 7, new: row([Some("1"), None]).tuple() })).unwrap();
    assert_eq!(h.sent()[0].topic, "one");
    assert_eq!(h.capture.topics(), ["one"]);
}

#[test]
fn a_dropped_record_keeps_its_ordinal_and_does_not_hold_the_position() {
    let lines = "transforms=f\ntransforms.f.type=org.apache.kafka.connect.transforms.Filter\ntransforms.f.predicate=t\n\
                 predicates=t\npredicates.t.type=RecordIsTombstone";
    let mut h = Harness::new(Config { event_ids: true, ..with(lines) });
    h.begin();
    h.h1(ReplicaIdentity::Default);
    let (one, two) = (row([Some("1"), None]), row([Some("2"), None]));
    h.feed(&Message::Delete(Delete { xid: None, relation: 7, old: Old::Key(one.tuple()) })).unwrap();
    let update = Update { xid: None, relation: 7, old: Old::Key(one.tuple()), new: two.tuple() };
    h.feed(&Message::Update(update)).unwrap();
    let end = h.commit();
    let sent = h.sent();
    let ids: Vec<&str> = sent
        .iter()
        .flat_map(|sent| sent.headers.iter().filter(|(name, _)| name == "cdcd.eid"))
        .map(|(_, id)| id.as_str())
        .collect();
    // The tombstones had the numbers 1 of their changes.
    assert_eq!(ids, ["0-27363080-0-0", "0-27363080-1-0", "0-27363080-1-2"]);

    let everything = "transforms=f\ntransforms.f.type=org.apache.kafka.connect.transforms.Filter";
    let mut h = Harness::new(with(everything));
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h.feed(&Message::Insert(Insert { xid: None, relation: 7, new: one.tuple() })).unwrap();
    let done = h.commit();
    assert_eq!((h.sent(), done), (vec![], end));
    let point = h.capture.poll_commit(NOW_NS, Pace::Stopping).unwrap();
    assert_eq!(point.done_end_lsn, done);
}

#[test]
fn a_heartbeat_goes_the_same_way() {
    let heartbeat = || Some(Heartbeat { interval_ns: 1, topic: "hb.srv".to_owned() });
    let beat = |config: Config| {
        let mut h = Harness::new(Config { heartbeat: heartbeat(), ..config });
        h.capture.handle_timer(0);
        h.capture.handle_timer(5_000_000);
        h
    };
    let plain = beat(config()).sent();
    let lines = "transforms=u,r\ntransforms.u.type=ExtractNewRecordState\ntransforms.r.type=RegexRouter\n\
                 transforms.r.regex=hb(.*)\ntransforms.r.replacement=beat$1";
    let routed = beat(with(lines)).sent();
    assert_eq!(routed[0].topic, "beat.srv");
    assert_eq!(
        (&routed[0].key, &routed[0].value, &routed[0].headers),
        (&plain[0].key, &plain[0].value, &plain[0].headers)
    );
    let mut broken =
        beat(with("transforms=e\ntransforms.e.type=ExtractField$Value\ntransforms.e.field=after"));
    assert!(broken.sent().is_empty());
    let keepalive =
        cdcd_pgoutput::replication::PrimaryKeepalive { wal_end: Lsn(1), sent_at: 0, reply_requested: false };
    let error = broken.capture.handle_keepalive(&keepalive).unwrap_err();
    assert!(matches!(&error, Error::Transform { table, .. } if table == "hb.srv"), "{error:?}");
}

#[test]
fn an_error_names_the_stage_and_no_value() {
    let mut h =
        Harness::new(with("transforms=x\ntransforms.x.type=ExtractField$Value\ntransforms.x.field=nowhere"));
    h.begin();
    h.h1(ReplicaIdentity::Default);
    let new = row([Some("1"), Some("secret")]);
    let error = h.feed(&Message::Insert(Insert { xid: None, relation: 7, new: new.tuple() })).unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(error.to_string(), "transforming a record of public.h1, at 0/1A18708");
    assert_eq!(source.as_deref(), Some("transforms.x: unknown field: nowhere"));
}

#[test]
fn more_headers_than_there_is_room_for_are_all_written() {
    let mut lines = "transforms=".to_owned();
    lines.push_str(&(0..20).map(|n| format!("h{n}")).collect::<Vec<_>>().join(","));
    for n in 0..20 {
        lines.push_str(&format!(
            "\ntransforms.h{n}.type=InsertHeader\ntransforms.h{n}.header=n{n}\ntransforms.h{n}.value.literal={n}"
        ));
    }
    let mut h = Harness::new(with(&lines));
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h.feed(&Message::Insert(Insert { xid: None, relation: 7, new: row([Some("1"), None]).tuple() })).unwrap();
    let headers = h.sent().remove(0).headers;
    assert_eq!(headers.len(), 24);
    assert_eq!(headers[23], ("n19".to_owned(), "19".to_owned()));
}
