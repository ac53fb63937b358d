use super::*;

const VALUE_SCHEMA: &str = r#"{"type":"struct","fields":[
 {"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":true,"field":"v"}],"optional":true,"name":"srv.public.t.Value","field":"before"},
 {"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":true,"field":"v"}],"optional":true,"name":"srv.public.t.Value","field":"after"},
 {"type":"string","optional":false,"field":"op"}],"optional":false,"name":"srv.public.t.Envelope","version":2}"#;
const KEY_SCHEMA: &str = r#"{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"optional":false,"name":"srv.public.t.Key"}"#;
const SOURCE: &str = r#"{"version":"3.6.3.Final","ts_ms":1795170020989,"snapshot":"false","ts_us":1795170020989740,"schema":"public","table":"t","txId":756,"lsn":27363080}"#;

fn envelope_text(op: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{SOURCE},"transaction":null,"op":"{op}","ts_ms":1}}"#
    )
}

/// One line per event: shape letter, op, key, row columns, lsn.
fn describe(key: Option<&str>, value: Option<&str>) -> String {
    let mut reader = EventReader::default();
    let event = match reader.read("srv.public.t", key.map(str::as_bytes), value.map(str::as_bytes)) {
        Ok(event) => event,
        Err(error) => return format!("error: {error}"),
    };
    let columns = |fields: &Fields<'_>| {
        fields.iter().map(|(name, raw)| format!("{name}={raw}")).collect::<Vec<_>>().join(",")
    };
    match event {
        Event::Skipped(why) => format!("skipped {why:?}"),
        Event::Tombstone { key, .. } => {
            format!("tombstone {}", key.as_ref().map(columns).unwrap_or_default())
        }
        Event::Change(event) => format!(
            "{} {} [{}] [{}] {:?}",
            event.shape.letter(),
            event.op.letter(),
            event.key.as_ref().map(columns).unwrap_or_default(),
            event.row().map(columns).unwrap_or_default(),
            event.source.lsn
        ),
    }
}

#[test]
fn all_shapes_tell_the_same_change() {
    let bare = envelope_text("u", "null", r#"{"id":1,"v":"a"}"#);
    let wrapped = format!(r#"{{"schema":{VALUE_SCHEMA},"payload":{bare}}}"#);
    let wrapped_key = format!(r#"{{"schema":{KEY_SCHEMA},"payload":{{"id":1}}}}"#);
    let row = "u [id=1] [id=1,v=\"a\"] Some(27363080)";
    assert_eq!(describe(Some(&wrapped_key), Some(&wrapped)), format!("e {row}"));
    assert_eq!(describe(Some(r#"{"id":1}"#), Some(&bare)), format!("e {row}"));
    let unwrapped = r#"{"id":1,"v":"a","__op":"u","__lsn":27363080}"#;
    assert_eq!(describe(Some(r#"{"id":1}"#), Some(unwrapped)), format!("u {row}"));
    let rewritten = r#"{"id":1,"v":"a","__op":"u","__source_lsn":27363080,"__deleted":"false"}"#;
    assert_eq!(describe(Some(r#"{"id":1}"#), Some(rewritten)), format!("w {row}"));
    let simple = r#"{"operation":"update","before":null,"after":{"id":1,"v":"a"}}"#;
    assert_eq!(describe(Some(r#"{"id":1}"#), Some(simple)), "s u [id=1] [id=1,v=\"a\"] None");
}

#[test]
fn deletes_in_all_shapes_and_tombstones() {
    let bare = envelope_text("d", r#"{"id":1,"v":null}"#, "null");
    assert_eq!(describe(Some(r#"{"id":1}"#), Some(&bare)), "e d [id=1] [id=1,v=null] Some(27363080)");
    let rewritten = r#"{"id":1,"v":null,"__deleted":"true"}"#;
    assert_eq!(describe(Some(r#"{"id":1}"#), Some(rewritten)), "w d [id=1] [id=1,v=null] None");
    assert_eq!(describe(Some(r#"{"id":1}"#), None), "tombstone id=1");
    let simple = r#"{"operation":"DELETE","before":{"customer_id":"c1"},"after":null}"#;
    assert_eq!(describe(Some("c1"), Some(simple)), "s d [] [customer_id=\"c1\"] None");
}

#[test]
fn records_without_a_row_are_told_apart() {
    let begin = r#"{"status":"BEGIN","id":"1:2","event_count":null,"data_collections":null,"ts_ms":1}"#;
    assert_eq!(describe(None, Some(begin)), "skipped Transaction");
    assert_eq!(describe(None, Some(&envelope_text("m", "null", "null"))), "skipped Message");
    assert_eq!(describe(None, Some(&envelope_text("t", "null", "null"))), "e t [] [] Some(27363080)");
    let status_row = r#"{"status":"BEGIN","id":"1:2"}"#;
    assert!(describe(None, Some(status_row)).starts_with("u u"), "a table may have such columns");
}

#[test]
fn malformed_records_say_what_is_wrong_without_the_value() {
    assert_eq!(describe(None, Some("{")), "error: the value is not a JSON object");
    assert_eq!(describe(None, Some("[1]")), "error: the value is not a JSON object");
    assert_eq!(
        describe(None, Some(&envelope_text("x", "null", "null"))),
        "error: unknown operation in member op"
    );
    assert_eq!(
        describe(None, Some(&envelope_text("c", "null", "null"))),
        "error: the value has no usable member after"
    );
    let odd = r#"{"schema":{"type":"struct","fields":[{"type":"int128","field":"x"}]},"payload":{"x":1}}"#;
    assert_eq!(
        describe(None, Some(odd)),
        "error: the schema of the value: field x: unknown schema type 'int128'"
    );
}

#[test]
fn a_schema_is_parsed_once_and_its_types_decode_the_row() {
    let mut reader = EventReader::default();
    let wrapped = format!(
        r#"{{"schema":{VALUE_SCHEMA},"payload":{}}}"#,
        envelope_text("c", "null", r#"{"id":7,"v":"x"}"#)
    );
    let mut schemas = Vec::new();
    for _ in 0..2 {
        let Ok(Event::Change(event)) = reader.read("t", None, Some(wrapped.as_bytes())) else {
            panic!("a change");
        };
        let schema = event.schema.clone().expect("schema");
        let values = decode_row(&schema, event.row().expect("row"), &Placeholder::default());
        assert_eq!(values, Ok(vec![Value::Integer(7), Value::Text("x".into())]));
        schemas.push(schema);
    }
    assert!(Arc::ptr_eq(&schemas[0], &schemas[1]));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(key in proptest::option::of(".{0,60}"), value in ".{0,200}") {
        describe(key.as_deref(), Some(&value));
    }

    #[test]
    fn any_cut_of_an_envelope_is_an_error_and_not_a_panic(cut in 0usize..500) {
        let whole = envelope_text("u", r#"{"id":1}"#, r#"{"id":2,"v":"b"}"#);
        let cut = cut % whole.len();
        let told = describe(None, whole.get(..cut));
        proptest::prop_assert!(told.starts_with("error"), "{}", told);
    }
}
