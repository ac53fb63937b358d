//! Each transformation on an insert, a delete, a tombstone and a heartbeat.

use std::sync::Arc;

use super::fixture::{chain, delete, event, heartbeat, insert, one, row, text, tombstone, with_schemas};
use super::value::{Typed, Value};
use super::{Encoder, Form, LIST, PREDICATES, Record, markdown};
use crate::format::json::{DecimalFormat, JsonWriter};
use crate::schema::{Kind, Schema};

const ROW: &str = r#"{"id":1,"name":"a","price":"AV4=","at":1709210096789012,"day":19782}"#;

fn unwrap(options: &str) -> super::Chain {
    one("ExtractNewRecordState", options)
}

#[test]
fn unwrapping_knows_every_mode_of_deletes_and_tombstones() {
    let null = "srv.public.t {\"id\":1} null";
    let gone = "srv.public.t {\"id\":1} -";
    let old =
        r#"srv.public.t {"id":1} {"id":1,"name":"n","price":null,"at":null,"day":null,"__deleted":"true"}"#;
    for (mode, deleted, kept) in [
        ("delete.tombstone.handling.mode=drop", "dropped", "dropped"),
        ("delete.tombstone.handling.mode=tombstone", null, "dropped"),
        ("delete.tombstone.handling.mode=rewrite", old, "dropped"),
        ("delete.tombstone.handling.mode=rewrite-with-tombstone", old, gone),
        ("delete.tombstone.handling.mode=delete-to-tombstone", gone, "dropped"),
        ("", null, "dropped"),
        // Debezium 2.
        ("delete.handling.mode=rewrite", old, "dropped"),
        ("delete.handling.mode=rewrite drop.tombstones=false", old, gone),
        ("delete.handling.mode=none", null, "dropped"),
        ("drop.tombstones=false", "dropped", gone),
        ("drop.tombstones=false delete.tombstone.handling.mode=tombstone", null, "dropped"),
    ] {
        let mut chain = unwrap(mode);
        assert_eq!(text(&mut chain, delete()), deleted, "{mode}");
        assert_eq!(text(&mut chain, tombstone()), kept, "{mode}");
        assert_eq!(text(&mut chain, event("t", Value::Null, Value::Null)), "dropped", "{mode}");
        assert_eq!(text(&mut chain, heartbeat()), r#"hb {"serverName":"srv"} {"ts_ms":9}"#, "{mode}");
    }
}

#[test]
fn unwrapping_adds_fields_and_headers_of_the_envelope() {
    let options =
        "add.fields=op,source.lsn,ts_ms:at_ms,nowhere,after.id add.headers=op,table add.headers.prefix=";
    let added = format!(
        "srv.public.t {{\"id\":1}} {},\"__op\":\"c\",\"__source_lsn\":7,\"__at_ms\":1,\"__after_id\":1}} op=c table=t",
        ROW.trim_end_matches('}')
    );
    assert_eq!(text(&mut unwrap(options), insert()), added);
    let keep = "delete.tombstone.handling.mode=rewrite-with-tombstone add.headers=op,table";
    assert_eq!(text(&mut unwrap(keep), tombstone()), "srv.public.t {\"id\":1} - __op=d");
    let twice = text(&mut unwrap("add.fields=op:id add.fields.prefix="), insert());
    assert_eq!(twice, "error: transforms.t: field id is there already");
    let whole = text(&mut unwrap("add.fields=source"), insert());
    assert!(whole.contains(r#""__source":{"version":"x","#), "{whole}");
}

#[test]
fn unwrapping_routes_and_drops_by_what_the_record_says() {
    assert!(text(&mut unwrap("route.by.field=name"), insert()).starts_with("a "));
    assert!(text(&mut unwrap("route.by.field=name"), delete()).starts_with("n "));
    let wrong = text(&mut unwrap("route.by.field=id"), insert());
    assert_eq!(wrong, "error: transforms.t: route.by.field: field id is not text");
    let drop = |options: &str| {
        chain(&format!(
            "transforms=h,t\ntransforms.h.type=InsertHeader\ntransforms.h.header=drop\n\
             transforms.h.value.literal=[\"id\",\"day\"]\ntransforms.t.type=ExtractNewRecordState\n\
             transforms.t.drop.fields.header.name=drop\n{options}"
        ))
        .unwrap()
    };
    let kept =
        r#"srv.public.t {"id":1} {"id":1,"name":"a","price":"AV4=","at":1709210096789012} drop=["id","day"]"#;
    assert_eq!(text(&mut drop(""), insert()), kept, "a required field stays");
    let all = "transforms.t.drop.fields.keep.schema.compatible=false\ntransforms.t.drop.fields.from.key=true";
    let expected = r#"srv.public.t {} {"name":"a","price":"AV4=","at":1709210096789012} drop=["id","day"]"#;
    assert_eq!(text(&mut drop(all), insert()), expected);
}

#[test]
fn an_unwrapped_row_is_required_and_a_deleted_one_optional() {
    let schema = |record: Record| with_schemas(&mut unwrap("add.fields=op"), record);
    let written = schema(insert());
    assert!(written.contains(r#"{"type":"string","optional":true,"field":"__op"}],"optional":false,"name":"srv.public.t.Value"}"#), "{written}");
    let deleted = schema(delete());
    assert!(
        deleted.ends_with(r#""optional":true,"name":"srv.public.t.Value"},"payload":null}"#),
        "{deleted}"
    );
}

/// A class with its options on an insert that was unwrapped; the key and the topic are the fixture's.
#[test]
fn kafkas_transformations_change_rows() {
    for (class, options, expected) in [
        (
            "InsertField$Value",
            "topic.field=topic static.field=s static.value=x timestamp.field=ts partition.field=p",
            r#"{"id":1,"name":"a","price":"AV4=","at":1709210096789012,"day":19782,"topic":"srv.public.t","p":null,"ts":null,"s":"x"}"#,
        ),
        (
            "ReplaceField$Value",
            "exclude=price,at renames=id:key,name:label",
            r#"{"key":1,"label":"a","day":19782}"#,
        ),
        ("ReplaceField$Value", "include=id,name exclude=name", r#"{"id":1}"#),
        (
            "MaskField$Value",
            "fields=id,name,price,day",
            r#"{"id":0,"name":"","price":"AA==","at":1709210096789012,"day":0}"#,
        ),
        (
            "MaskField$Value",
            "fields=id,name replacement=42",
            r#"{"id":42,"name":"42","price":"AV4=","at":1709210096789012,"day":19782}"#,
        ),
        ("HoistField$Value", "field=row", &format!("{{\"row\":{ROW}}}")),
        ("ExtractField$Value", "field=name", r#""a""#),
        ("ExtractField$Value", "field=day", "19782"),
        ("Flatten$Value", "delimiter=_", ROW),
        (
            "Cast$Value",
            "spec=id:string,name:boolean,price:float64,at:int32,day:string",
            r#"{"id":"1","name":false,"price":3.5,"at":2091542036,"day":"2024-02-29"}"#,
        ),
        (
            "TimestampConverter$Value",
            "field=at target.type=string format=yyyy-MM-dd unix.precision=microseconds",
            r#"{"id":1,"name":"a","price":"AV4=","at":"2024-02-29","day":19782}"#,
        ),
        (
            "TimestampConverter$Value",
            "field=at target.type=Time unix.precision=microseconds",
            r#"{"id":1,"name":"a","price":"AV4=","at":45296789,"day":19782}"#,
        ),
        (
            "TimestampConverter$Value",
            "field=day target.type=unix unix.precision=seconds",
            r#"{"id":1,"name":"a","price":"AV4=","at":1709210096789012,"day":1709164800}"#,
        ),
        (
            "TimestampConverter$Value",
            "field=at target.type=Date unix.precision=microseconds",
            r#"{"id":1,"name":"a","price":"AV4=","at":19782,"day":19782}"#,
        ),
        ("SetSchemaMetadata$Value", "schema.name=n", ROW),
    ] {
        let options: Vec<String> =
            options.split_whitespace().map(|option| format!("transforms.t.{option}")).collect();
        let lines = format!(
            "transforms=u,t\ntransforms.u.type=ExtractNewRecordState\ntransforms.t.type=KAFKA.{class}\n{}",
            options.join("\n")
        );
        let found = text(&mut chain(&lines).unwrap(), insert());
        assert_eq!(found, format!("srv.public.t {{\"id\":1}} {expected}"), "{class} {}", options.join(" "));
    }
}

/// What a class makes of a tombstone, which has neither a value nor a schema.
#[test]
fn kafkas_transformations_meet_tombstones_as_connect_does() {
    let same = r#"srv.public.t {"id":1} -"#;
    for (class, options, expected) in [
        ("InsertField$Value", "static.field=s static.value=x", same),
        ("ReplaceField$Value", "exclude=a", same),
        ("Cast$Value", "spec=a:int8", same),
        ("Flatten$Value", "", same),
        ("TimestampConverter$Value", "field=at target.type=unix", same),
        ("SetSchemaMetadata$Value", "schema.name=n", same),
        ("ExtractField$Value", "field=a", same),
        ("HoistField$Value", "field=row", r#"srv.public.t {"id":1} {"row":null}"#),
        ("MaskField$Value", "fields=a", "error"),
        ("ValueToKey", "fields=a", "error"),
        ("HeaderFrom$Value", "fields=a headers=b operation=copy", "error"),
        ("Filter", "", "dropped"),
        ("DropHeaders", "headers=x", same),
    ] {
        let found = text(&mut one(&format!("KAFKA.{class}"), options), tombstone());
        match expected {
            "error" => assert!(found.starts_with("error: transforms.t: "), "{class}: {found}"),
            expected => assert_eq!(found, expected, "{class}"),
        }
    }
}

#[test]
fn kafkas_transformations_change_keys_topics_and_headers() {
    let id_key = |class: &str, options: &str| {
        let found = text(&mut one(class, options), tombstone());
        found
            .strip_prefix("srv.public.t ")
            .and_then(|rest| rest.strip_suffix(" -"))
            .map(str::to_owned)
            .unwrap_or(found)
    };
    assert_eq!(id_key("ExtractField$Key", "field=id"), "1");
    assert_eq!(id_key("HoistField$Key", "field=k"), r#"{"k":{"id":1}}"#);
    assert_eq!(id_key("Cast$Key", "spec=id:string"), r#"{"id":"1"}"#);
    assert_eq!(id_key("ReplaceField$Key", "renames=id:pk"), r#"{"pk":1}"#);
    assert_eq!(id_key("InsertField$Key", "static.field=s! static.value=x"), r#"{"id":1,"s":"x"}"#);
    assert_eq!(id_key("MaskField$Key", "fields=id"), r#"{"id":0}"#);
    assert_eq!(id_key("Flatten$Key", ""), r#"{"id":1}"#);
    let found = text(&mut one("ValueToKey", "fields=op,ts_ms"), insert());
    assert!(found.starts_with(r#"srv.public.t {"op":"c","ts_ms":1} {"before""#), "{found}");
    let found = text(&mut one("ExtractField$Value", "field=source.lsn field.syntax.version=V2"), insert());
    assert_eq!(found, r#"srv.public.t {"id":1} 7"#);
    let found = text(&mut one("RegexRouter", r"regex=srv\.(.*)\.(.*) replacement=$2_$1"), tombstone());
    assert_eq!(found, r#"t_public {"id":1} -"#);
    let found = text(&mut one("HeaderFrom$Key", "fields=id headers=key operation=move"), tombstone());
    assert_eq!(found, "srv.public.t {} - key=1");
    let found = text(&mut one("InsertHeader", "header=a value.literal=1.50"), tombstone());
    assert_eq!(found, r#"srv.public.t {"id":1} - a=1.5"#);
    let mut dropped = one("DropHeaders", "headers=h,other");
    assert!(dropped.apply(tombstone()).unwrap().unwrap().headers.is_empty());
}

#[test]
fn headers_from_fields_look_as_connect_prints_them() {
    let lines = "transforms=u,t\ntransforms.u.type=ExtractNewRecordState\ntransforms.t.type=HeaderFrom$Value\n\
                 transforms.t.fields=price,day,name\ntransforms.t.headers=p,d,n\ntransforms.t.operation=move";
    let found = text(&mut chain(lines).unwrap(), insert());
    assert_eq!(found, r#"srv.public.t {"id":1} {"id":1,"at":1709210096789012} p=3.50 d=2024-02-29 n=a"#);
    let found = text(
        &mut one("HeaderFrom$Value", "fields=after headers=a operation=copy"),
        event("c", Value::Null, row(1, None)),
    );
    assert!(found.ends_with(r#" a={"id":1,"name":"n","price":null,"at":null,"day":null}"#), "{found}");
}

#[test]
fn flattening_joins_names_and_keeps_nulls_below_a_null() {
    let found = text(&mut one("Flatten$Value", ""), delete());
    assert!(found.contains(r#"{"before.id":1,"before.name":"n","before.price":null,"#), "{found}");
    assert!(found.contains(r#""after.id":null,"after.name":"n","#), "{found}");
    assert!(found.contains(r#""source.lsn":7,"#) && found.ends_with(r#""ts_ns":3}"#), "{found}");
    let found = with_schemas(&mut one("Flatten$Value", ""), insert());
    for field in [
        r#"{"type":"int32","optional":true,"field":"after.id"}"#,
        r#"{"type":"string","optional":false,"field":"source.table"}"#,
        r#"{"type":"string","optional":true,"default":"n","field":"after.name"}"#,
    ] {
        assert!(found.contains(field), "{field} is not in {found}");
    }
}

#[test]
fn schemas_get_names_and_versions() {
    let found =
        with_schemas(&mut one("SetSchemaMetadata$Key", "schema.name=k schema.version=3"), tombstone());
    assert!(found.contains(r#""optional":false,"name":"k","version":3},"payload":{"id":1}}"#), "{found}");
    let found = with_schemas(&mut one("SetSchemaMetadata$Value", "schema.name=v"), insert());
    assert!(found.contains(r#""optional":false,"name":"v","version":2},"payload":{"before""#), "{found}");
}

#[test]
fn a_timestamp_router_needs_a_timestamp() {
    let mut chain = one("TimestampRouter", "topic.format=${topic}.${timestamp} timestamp.format=yyyy");
    let with = Record { timestamp_ms: Some(1_709_210_096_789), ..tombstone() };
    assert_eq!(text(&mut chain, with), r#"srv.public.t.2024 {"id":1} -"#);
    assert!(text(&mut chain, tombstone()).starts_with("error: transforms.t: the record has no timestamp"));
}

#[test]
fn tables_merge_into_one_topic_with_the_table_in_the_key() {
    let options = r"topic.regex=srv\.(.*)\..* topic.replacement=all.$1";
    let mut merged = one("ByLogicalTableRouter", options);
    let found = text(&mut merged, tombstone());
    assert_eq!(found, r#"all.public {"id":1,"__dbz__physicalTableIdentifier":"srv.public.t"} -"#);
    let found = with_schemas(&mut merged, insert());
    assert!(
        found.contains(r#""name":"all.public.Key"}"#)
            && found.contains(r#""name":"all.public.Envelope","version":2}"#),
        "{found}"
    );
    assert_eq!(found.matches(r#""name":"all.public.Value","field":"#).count(), 2, "{found}");
    let named = format!(r"{options} key.field.name=k key.field.regex=(.*)\.(.*) key.field.replacement=$2");
    assert_eq!(
        text(&mut one("ByLogicalTableRouter", &named), tombstone()),
        r#"all.public {"id":1,"k":"t"} -"#
    );
    assert_eq!(text(&mut merged, heartbeat()), r#"hb {"serverName":"srv"} {"ts_ms":9}"#);
    let renamed = text(&mut one("ToLogicalTopicRouter", options), tombstone());
    assert_eq!(renamed, r#"all.public {"id":1,"__dbz__sourceIdentifier":"srv.public.t"} -"#);
}

#[test]
fn partitions_come_from_the_row_that_changed() {
    let mut chain =
        one("PartitionRouting", "partition.payload.fields=change.id,change.nowhere partition.topic.num=3");
    let mut partition = |record: Record| chain.apply(record).unwrap().unwrap().partition;
    assert_eq!(partition(event("c", Value::Null, row(5, None))), Some(2));
    assert_eq!(partition(event("d", row(7, None), Value::Null)), Some(1));
    assert_eq!(partition(event("c", Value::Null, row(-1, None))), Some(0));
    assert_eq!(partition(event("t", Value::Null, Value::Null)), None);
    assert_eq!(partition(tombstone()), None);
    let mut whole = one("PartitionRouting", "partition.payload.fields=source partition.topic.num=3");
    assert!(whole.apply(insert()).is_err());
}

fn outbox(op: &str, payload: Option<&str>) -> Record {
    let text = || Schema::new(Kind::String);
    let columns = vec![
        text().field("id"),
        text().field("aggregatetype"),
        text().field("aggregateid"),
        Schema::new(Kind::Int64).named("io.debezium.time.MicroTimestamp").field("at"),
        Schema::new(Kind::Int32).field("place"),
        text().optional(true).named("io.debezium.data.Json").field("payload"),
    ];
    let string = |text: &str| Value::String(text.into());
    let payload = payload.map_or(Value::Null, string);
    let row = Value::Struct(vec![
        string("e1"),
        string("order"),
        string("o1"),
        Value::Int(5_999),
        Value::Int(2),
        payload,
    ]);
    let (before, after) = if op == "d" { (row, Value::Null) } else { (Value::Null, row) };
    let mut record = event(op, before, after);
    record.value.schema = Some(Arc::new(crate::envelope::schema("srv.public.outbox", &columns)));
    record
}

#[test]
fn outbox_rows_become_events_of_their_aggregate() {
    let mut plain = one("EventRouter", "");
    let json = r#"{"a":1}"#;
    assert_eq!(text(&mut plain, outbox("c", Some(json))), r#"outbox.event.order "o1" "{\"a\":1}" id=e1"#);
    for op in ["d", "u"] {
        assert_eq!(text(&mut plain, outbox(op, Some(json))), "dropped");
    }
    assert_eq!(text(&mut plain, tombstone()), "dropped");
    assert_eq!(text(&mut plain, heartbeat()), r#"hb {"serverName":"srv"} {"ts_ms":9}"#);
    assert_eq!(plain.apply(outbox("c", None)).unwrap().unwrap().timestamp_ms, Some(1), "when it was written");
    let fatal = text(&mut one("EventRouter", "table.op.invalid.behavior=fatal"), outbox("u", None));
    assert!(fatal.starts_with("error: transforms.t: "), "{fatal}");
    let missing = text(&mut one("EventRouter", "table.field.event.id=nowhere"), outbox("c", None));
    assert_eq!(missing, "error: transforms.t: the outbox table has no column nowhere");

    let placed = "table.fields.additional.placement=at:envelope:when,place:partition,aggregatetype:header:kind \
                  table.field.event.timestamp=at table.expand.json.payload=true route.topic.replacement=x.${routedByValue}";
    let mut placed = one("EventRouter", placed);
    let found = placed.apply(outbox("c", Some(json))).unwrap().unwrap();
    assert_eq!((found.partition, found.timestamp_ms), (Some(2), Some(5)));
    assert_eq!(found.value.schema.as_ref().unwrap().name.as_deref(), Some("srv.public.outbox.order.Value"));
    let expected = r#"x.order "o1" {"payload":{"a":1},"when":5999} id=e1 kind=order"#;
    assert_eq!(text(&mut placed, outbox("c", Some(json))), expected);

    let mut empty = one("EventRouter", "route.tombstone.on.empty.payload=true");
    assert_eq!(text(&mut empty, outbox("c", None)), r#"outbox.event.order "o1" - id=e1"#);
}

#[test]
fn expressions_filter_and_route() {
    let scripted = |class: &str, expression: &str, more: &str| {
        chain(&format!("transforms=t\ntransforms.t.type=DEBEZIUM.{class}\ntransforms.t.language=cel\n{expression}\n{more}"))
            .unwrap()
    };
    let filter = |condition: &str| scripted("Filter", &format!("transforms.t.condition={condition}"), "");
    for (condition, kept) in [
        ("value.op == 'c' && value.after.id == 1", true),
        ("value.after.name.startsWith('b')", false),
        ("value.before == null", true),
        ("has(value.after.id) && !has(value.after.nowhere)", true),
        ("value.after.price > 3.4 && value.after.price < 3.6", true),
        ("topic == 'srv.public.t' && key.id == 1 && headers.h == 'v'", true),
        ("value.source.table in ['x', 'y']", false),
    ] {
        assert_eq!(text(&mut filter(condition), insert()) != "dropped", kept, "{condition}");
    }
    assert_eq!(text(&mut filter("false"), tombstone()), r#"srv.public.t {"id":1} -"#, "kept without a look");
    let drop = "transforms.t.null.handling.mode=drop";
    assert_eq!(text(&mut scripted("Filter", "transforms.t.condition=true", drop), tombstone()), "dropped");
    let evaluate = "transforms.t.null.handling.mode=evaluate";
    assert_eq!(
        text(&mut scripted("Filter", "transforms.t.condition=value != null", evaluate), tombstone()),
        "dropped"
    );
    let other = "transforms.t.topic.regex=other";
    assert!(text(&mut scripted("Filter", "transforms.t.condition=false", other), insert()) != "dropped");
    let wrong = text(&mut filter("value.after.nowhere == 1"), insert());
    assert_eq!(wrong, "error: transforms.t: the expression asks for nowhere, which the record does not have");
    let wrong = text(&mut filter("value.after.id"), insert());
    assert_eq!(wrong, "error: transforms.t: the condition is neither true nor false");

    let route = |expression: &str| {
        scripted("ContentBasedRouter", &format!("transforms.t.topic.expression={expression}"), "")
    };
    let by_op = "value.op == 'c' ? topic + '.new' : null";
    assert!(text(&mut route(by_op), insert()).starts_with("srv.public.t.new "));
    assert!(text(&mut route(by_op), delete()).starts_with("srv.public.t "));
}

#[test]
fn stages_follow_in_order_and_predicates_choose() {
    let lines = "transforms=a,b,c\npredicates=tomb,topic,header\n\
                 predicates.tomb.type=RecordIsTombstone\npredicates.topic.type=TopicNameMatches\npredicates.topic.pattern=x.*\n\
                 predicates.header.type=HasHeaderKey\npredicates.header.name=h\n\
                 transforms.a.type=RegexRouter\ntransforms.a.regex=srv(.*)\ntransforms.a.replacement=x$1\n\
                 transforms.b.type=KAFKA.Filter\ntransforms.b.predicate=tomb\n\
                 transforms.c.type=InsertHeader\ntransforms.c.header=n\ntransforms.c.value.literal=1\n";
    let mut found = chain(&format!("{lines}transforms.c.predicate=topic")).unwrap();
    assert_eq!(text(&mut found, tombstone()), "dropped");
    assert!(
        text(&mut found, insert()).starts_with("x.public.t ") && text(&mut found, insert()).ends_with(" n=1")
    );
    let mut found = chain(&format!("{lines}transforms.c.predicate=topic\ntransforms.c.negate=true")).unwrap();
    assert!(!text(&mut found, insert()).ends_with(" n=1"));
    assert!(text(&mut found, heartbeat()).ends_with(" n=1"));
    let mut found = chain(&format!("{lines}transforms.c.predicate=header")).unwrap();
    assert!(text(&mut found, insert()).ends_with(" n=1") && !text(&mut found, heartbeat()).ends_with(" n=1"));
}

#[test]
fn wrong_options_name_their_key() {
    let type_of = "transforms=t\ntransforms.t.type=";
    for (lines, key) in [
        ("transforms=t", "transforms.t.type"),
        ("transforms=t,t\ntransforms.t.type=KAFKA.Filter", "transforms"),
        ("predicates=t,t\npredicates.t.type=RecordIsTombstone", "predicates"),
        ("transforms=t\ntransforms.t.type=com.acme.Mine", "transforms.t.type"),
        ("transforms=t\ntransforms.t.type=Filter", "transforms.t.type"),
        ("transforms=t\ntransforms.t.type=InsertField", "transforms.t.type"),
        ("transforms=t\ntransforms.t.type=RegexRouter$Key", "transforms.t.type"),
        (&format!("{type_of}ExtractNewRecordState\ntransforms.t.add.feelds=op"), "transforms.t.add.feelds"),
        (
            &format!("{type_of}ExtractNewRecordState\ntransforms.t.add.fields=a:b:c"),
            "transforms.t.add.fields",
        ),
        (
            &format!("{type_of}ExtractNewRecordState\ntransforms.t.delete.tombstone.handling.mode=x"),
            "transforms.t.delete.tombstone.handling.mode",
        ),
        (&format!("{type_of}RegexRouter\ntransforms.t.regex=a"), "transforms.t.replacement"),
        (
            &format!("{type_of}RegexRouter\ntransforms.t.regex=(\ntransforms.t.replacement=a"),
            "transforms.t.regex",
        ),
        (
            &format!("{type_of}RegexRouter\ntransforms.t.regex=a\ntransforms.t.replacement=$1"),
            "transforms.t.replacement",
        ),
        (&format!("{type_of}Cast$Value\ntransforms.t.spec=a:decimal"), "transforms.t.spec"),
        (&format!("{type_of}Cast$Value\ntransforms.t.spec=int8,a:int8"), "transforms.t.spec"),
        (&format!("{type_of}InsertField$Value"), "transforms.t.static.field"),
        (&format!("{type_of}InsertField$Value\ntransforms.t.offset.field=o"), "transforms.t.offset.field"),
        (&format!("{type_of}MaskField$Value"), "transforms.t.fields"),
        (
            &format!(
                "{type_of}HeaderFrom$Value\ntransforms.t.fields=a\ntransforms.t.headers=a,b\ntransforms.t.operation=copy"
            ),
            "transforms.t.headers",
        ),
        (
            &format!("{type_of}TimestampConverter$Value\ntransforms.t.target.type=string"),
            "transforms.t.format",
        ),
        (
            &format!("{type_of}TimestampConverter$Value\ntransforms.t.target.type=day"),
            "transforms.t.target.type",
        ),
        (
            &format!("{type_of}TimestampRouter\ntransforms.t.timestamp.format=YYYY"),
            "transforms.t.timestamp.format",
        ),
        (&format!("{type_of}SetSchemaMetadata$Value"), "transforms.t.schema.name"),
        (&format!("{type_of}ReplaceField$Value\ntransforms.t.renames=a"), "transforms.t.renames"),
        (
            &format!(
                "{type_of}PartitionRouting\ntransforms.t.partition.topic.num=0\ntransforms.t.partition.payload.fields=a"
            ),
            "transforms.t.partition.topic.num",
        ),
        (
            &format!("{type_of}EventRouter\ntransforms.t.table.fields.additional.placement=a:b"),
            "transforms.t.table.fields.additional.placement",
        ),
        (
            &format!(
                "{type_of}DEBEZIUM.Filter\ntransforms.t.language=jsr223.groovy\ntransforms.t.condition=true"
            ),
            "transforms.t.language",
        ),
        (
            &format!(
                "{type_of}DEBEZIUM.Filter\ntransforms.t.language=cel\ntransforms.t.condition=value.op =="
            ),
            "transforms.t.condition",
        ),
        (
            &format!(
                "{type_of}DEBEZIUM.Filter\ntransforms.t.language=cel\ntransforms.t.condition=valu.op == 'c'"
            ),
            "transforms.t.condition",
        ),
        (&format!("{type_of}KAFKA.Filter\ntransforms.t.predicate=p"), "transforms.t.predicate"),
        (&format!("{type_of}KAFKA.Filter\ntransforms.t.negate=true"), "transforms.t.negate"),
        ("predicates=p\npredicates.p.type=com.acme.Mine", "predicates.p.type"),
        ("predicates=p\npredicates.p.type=TopicNameMatches", "predicates.p.pattern"),
        (
            "predicates=p\npredicates.p.type=TopicNameMatches\npredicates.p.pattern=a(?!b)",
            "predicates.p.pattern",
        ),
    ] {
        let error = chain(lines).unwrap_err();
        assert_eq!(error.key, key, "{lines}: {error}");
    }
    for broken in ["(", ")", "'", "a b", "1 +", "\\", "value.", "[", "{", "a ? b", "..", "\u{0}", "🛫"] {
        let lines =
            format!("{type_of}DEBEZIUM.Filter\ntransforms.t.language=cel\ntransforms.t.condition={broken}");
        assert_eq!(chain(&lines).unwrap_err().key, "transforms.t.condition", "{broken}");
    }
    let unknown = chain("transforms=t\ntransforms.t.type=com.acme.Mine").unwrap_err().hint.unwrap();
    assert!(LIST.iter().all(|entry| unknown.contains(entry.class)), "{unknown}");
    let unknown = chain("predicates=p\npredicates.p.type=com.acme.Mine").unwrap_err().hint.unwrap();
    assert!(PREDICATES.iter().all(|entry| unknown.contains(entry.class)), "{unknown}");
    let groovy = chain(
        "transforms=t\ntransforms.t.type=ContentBasedRouter\ntransforms.t.language=groovy\ntransforms.t.topic.expression=x",
    );
    assert!(groovy.unwrap_err().hint.unwrap().contains("language=cel"));
}

#[test]
fn values_without_a_schema_say_so() {
    let mut writer = JsonWriter::default();
    let map = Value::Map(vec![(Value::String("row".into()), Value::Null)]);
    assert!(
        Encoder::new(Form::Json { schemas: true, decimal: DecimalFormat::Base64 }, true)
            .write(&Typed { schema: None, value: map }, &mut writer)
            .unwrap()
    );
    assert_eq!(writer.as_bytes(), br#"{"schema":null,"payload":{"row":null}}"#);
    let schema = Arc::new(Schema::structure(vec![Schema::new(Kind::Int32).field("a")]));
    let error = Encoder::new(Form::Json { schemas: true, decimal: DecimalFormat::Base64 }, true)
        .write(&Typed::new(schema, Value::Struct(vec![Value::Null])), &mut JsonWriter::default())
        .unwrap_err();
    assert_eq!(error.to_string(), "a: a required value is null");
}

#[test]
fn the_reference_page_has_every_class() {
    let page = include_str!("../../../../docs/transforms.md");
    assert!(page.contains(&markdown()), "docs/transforms.md is to contain:\n{}", markdown());
}
