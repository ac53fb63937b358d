use cdcd_capture::config::{ConversionFailure, Converter, Heartbeat, JsonOptions};
use cdcd_capture::converter::{AvroOptions, NameAdjustment, SubjectName};
use cdcd_capture::{Config, Error, Flow};
use cdcd_pgoutput::relation::ReplicaIdentity;

use crate::harness::{Harness, NOW_NS, config, insert, row};

type Written = (Option<Vec<u8>>, Option<Vec<u8>>);

fn avro() -> Converter {
    Converter::Avro(AvroOptions::default())
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

fn written(h: &mut Harness) -> Vec<Written> {
    let mut records = Vec::new();
    h.capture.send_records(|record| {
        records.push((record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec)));
        Flow::Taken
    });
    records
}

fn begun(config: Config) -> Harness {
    let mut h = Harness::new(config);
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h
}

#[test]
fn key_and_value_ask_for_ids_of_their_own_and_carry_them() {
    let mut h = begun(Config { key: avro(), value: avro(), ..config() });
    let asked = answer(&mut h);
    let subjects: Vec<_> = asked.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(subjects, ["srv.public.h1-value", "srv.public.h1-key"]);
    assert_eq!(
        asked[1].1,
        r#"{"type":"record","name":"Key","namespace":"srv.public.h1","fields":[{"name":"id","type":"int"}],"connect.name":"srv.public.h1.Key"}"#
    );
    assert!(asked[0].1.starts_with(r#"{"type":"record","name":"Envelope","namespace":"srv.public.h1","fields":[{"name":"before","type":["null",{"type":"record","name":"Value","#));
    h.feed(&insert(&row([Some("-3"), Some("ab")]))).unwrap();
    h.commit();
    let records = written(&mut h);
    assert_eq!(records[0].0.as_deref(), Some(&[0, 0, 0, 0, 2, 5][..]));
    let value = records[0].1.as_deref().unwrap();
    // Prefix, before = null, after = the row of int -3 and text "ab".
    assert!(value.starts_with(&[0, 0, 0, 0, 1, 0, 2, 5, 2, 4, b'a', b'b']), "{value:?}");
    // Same shape again: nothing is asked.
    h.begin();
    h.h1(ReplicaIdentity::Default);
    assert_eq!(answer(&mut h), []);
}

#[test]
fn converters_are_chosen_apart() {
    let json = Converter::Json(JsonOptions { schemas: false, ..JsonOptions::default() });
    let mut h = begun(Config { key: Converter::Text, value: avro(), ..config() });
    assert_eq!(answer(&mut h).len(), 1);
    h.feed(&insert(&row([Some("1"), None]))).unwrap();
    h.commit();
    let records = written(&mut h);
    assert_eq!(records[0].0.as_deref(), Some(&b"Struct{id=1}"[..]));
    assert_eq!(records[0].1.as_deref().unwrap()[..9], [0, 0, 0, 0, 1, 0, 2, 2, 0]);
    let mut h = begun(Config { key: avro(), value: json, ..config() });
    assert_eq!(answer(&mut h).len(), 1);
    h.feed(&insert(&row([Some("1"), None]))).unwrap();
    h.commit();
    let records = written(&mut h);
    assert_eq!(records[0].0.as_deref(), Some(&[0, 0, 0, 0, 1, 2][..]));
    assert!(records[0].1.as_deref().unwrap().starts_with(br#"{"before":null,"after":{"id":1,"v":null}"#));
}

#[test]
fn nulls_with_defaults_are_the_default_or_null() {
    for (null_as_default, expected) in [(true, &[0, 4, b'd', b'f'][..]), (false, &[2])] {
        let options = AvroOptions { null_as_default, ..AvroOptions::default() };
        let mut h = Harness::new(Config { value: Converter::Avro(options), ..config() });
        h.facts.columns[1].default = Some("'df'::text".to_owned());
        h.begin();
        h.h1(ReplicaIdentity::Default);
        answer(&mut h);
        h.feed(&insert(&row([Some("1"), None]))).unwrap();
        h.commit();
        let records = written(&mut h);
        let value = records[0].1.as_deref().unwrap();
        assert!(value[8..].starts_with(expected), "{value:?}");
    }
}

#[test]
fn heartbeats_ask_before_anything_else() {
    let heartbeat = Some(Heartbeat { interval_ns: 1, topic: "hb".to_owned() });
    let mut h = Harness::new(Config { key: avro(), value: avro(), heartbeat, ..config() });
    let asked = answer(&mut h);
    let subjects: Vec<_> = asked.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(subjects, ["hb-key", "hb-value"]);
    h.capture.handle_timer(NOW_NS);
    h.capture.handle_timer(NOW_NS + 1);
    let records = written(&mut h);
    assert_eq!(records[0].0.as_deref(), Some(&[0, 0, 0, 0, 1, 6, b's', b'r', b'v'][..]));
    assert_eq!(records[0].1.as_deref().unwrap()[..5], [0, 0, 0, 0, 2]);
}

#[test]
fn names_that_avro_refuses_stop_with_what_to_do_or_are_adjusted() {
    let mut h = Harness::new(Config { value: avro(), ..config() });
    h.begin();
    let columns = [("id", true, 23), ("a-b", false, 23)];
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        h.table(ReplicaIdentity::Default, &columns);
    }));
    assert!(refused.is_err());
    let options = AvroOptions { subject: SubjectName::TopicRecord, ..AvroOptions::default() };
    let mut h = Harness::new(Config {
        topic_prefix: "my-srv".to_owned(),
        value: Converter::Avro(options),
        schema_names: NameAdjustment::Avro,
        field_names: NameAdjustment::Avro,
        ..config()
    });
    h.begin();
    h.table(ReplicaIdentity::Default, &columns);
    let (subject, schema) = answer(&mut h).remove(0);
    assert_eq!(subject, "my-srv.public.h1-my_srv.public.h1.Envelope");
    assert!(schema.contains(r#""namespace":"my_srv.public.h1""#) && schema.contains(r#"{"name":"a_b","#));
}

#[test]
fn null_in_a_required_column_is_an_error_and_not_a_broken_record() {
    for (not_null, passes) in [(true, false), (false, true)] {
        let skip = ConversionFailure::Skip;
        let mut h = Harness::new(Config { value: avro(), conversion_failure: skip, ..config() });
        h.facts.columns[1].not_null = not_null;
        h.begin();
        h.table(ReplicaIdentity::Default, &[("id", true, 23), ("v", false, 23)]);
        answer(&mut h);
        let fed = h.feed(&insert(&row([Some("1"), Some("no number")])));
        match fed {
            Ok(()) => assert!(passes),
            Err(error) => assert!(!passes && matches!(error, Error::Table { .. }), "{error}"),
        }
    }
}
