//! Every shape gives the same table; malformed records stop or go to the dead letter topic.

use crate::world::{Dice, KeyValue, World, lines};
use cdcd_sink::config::{Config, Landing, Malformed, TableMode};
use cdcd_sink::memory::{Commit, Memory};
use std::time::Duration;

const ROW: &str = r#"[{"type":"int32","optional":false,"field":"id"},{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"amount"},{"type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp","field":"at"},{"type":"string","optional":true,"name":"io.debezium.data.Json","field":"doc"}]"#;
const KEY_SCHEMA: &str = r#"{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}]}"#;

/// The same three changes: create 1, update 1, create 2, delete 2.
fn changes() -> Vec<(&'static str, i32, &'static str)> {
    vec![
        ("c", 1, r#"{"id":1,"amount":"SZYC0g==","at":1709210096789012,"doc":"{\"a\":[1]}"}"#),
        ("u", 1, r#"{"id":1,"amount":"/w==","at":1709210096789012,"doc":null}"#),
        ("c", 2, r#"{"id":2,"amount":null,"at":null,"doc":null}"#),
        ("d", 2, r#"{"id":2,"amount":null,"at":null,"doc":null}"#),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Written {
    SchemaEnvelope,
    BareEnvelope,
    Unwrapped,
    Rewritten,
    Simple,
}

fn write(shape: Written) -> Vec<KeyValue> {
    let mut out = Vec::new();
    for (lsn, (op, id, row)) in changes().into_iter().enumerate() {
        let images = if op == "d" {
            format!(r#""before":{row},"after":null"#)
        } else {
            format!(r#""before":null,"after":{row}"#)
        };
        let bare = format!(r#"{{{images},"source":{{"lsn":{lsn}}},"op":"{op}","ts_ms":1}}"#);
        let open_row = row.trim_end_matches('}');
        let bare_key = format!(r#"{{"id":{id}}}"#);
        let deleted = op == "d";
        let (key, value) = match shape {
            Written::SchemaEnvelope => {
                let schema = format!(
                    r#"{{"type":"struct","fields":[{{"type":"struct","fields":{ROW},"optional":true,"field":"before"}},{{"type":"struct","fields":{ROW},"optional":true,"field":"after"}},{{"type":"string","field":"op"}}]}}"#
                );
                let key = format!(r#"{{"schema":{KEY_SCHEMA},"payload":{bare_key}}}"#);
                (key, Some(format!(r#"{{"schema":{schema},"payload":{bare}}}"#)))
            }
            Written::BareEnvelope => (bare_key, Some(bare)),
            Written::Unwrapped => {
                (bare_key, (!deleted).then(|| format!(r#"{open_row},"__op":"{op}","__lsn":{lsn}}}"#)))
            }
            Written::Rewritten => (
                bare_key,
                Some(format!(r#"{open_row},"__op":"{op}","__lsn":{lsn},"__deleted":"{deleted}"}}"#)),
            ),
            Written::Simple => {
                let operation = match op {
                    "c" => "INSERT",
                    "u" => "update",
                    _ => "DELETE",
                };
                (bare_key, Some(format!(r#"{{"operation":"{operation}",{images}}}"#)))
            }
        };
        out.push((Some(key.clone()), value));
        if deleted && matches!(shape, Written::SchemaEnvelope | Written::BareEnvelope) {
            out.push((Some(key), None));
        }
    }
    out
}

fn config() -> Config {
    Config {
        mode: TableMode::Merge,
        batch_age_max: Duration::from_millis(20),
        status_interval: Duration::from_millis(20),
        merge_interval: Duration::from_secs(3600),
        until_caught_up: true,
        ..Config::default()
    }
}

fn land(memory: &Memory, config: Config, topic: &str, log: Vec<KeyValue>) -> (Vec<String>, Vec<String>) {
    let mut world = World::new(config, memory, vec![(topic.to_owned(), vec![log])]);
    world.assign_all();
    world.run(&mut Dice(11), 20_000);
    let stops = world.stops.iter().map(|reason| reason.message.clone()).collect();
    (stops, world.letters.iter().map(|letter| format!("{letter:?}")).collect())
}

#[test]
fn one_data_set_in_all_shapes_gives_one_and_the_same_table() {
    let mut tables = Vec::new();
    for shape in [
        Written::SchemaEnvelope,
        Written::BareEnvelope,
        Written::Unwrapped,
        Written::Rewritten,
        Written::Simple,
    ] {
        let memory = Memory::new(Commit::OnDemand);
        // Events without schema take their types from the existing table; an empty topic position is not needed.
        let (stops, _) =
            land(&memory, config(), "first.public.t", write(Written::SchemaEnvelope)[..1].to_vec());
        assert_eq!(stops, [""; 0]);
        let (stops, _) =
            land(&memory, Config { sink_id: "other".into(), ..config() }, "srv.public.t", write(shape));
        assert_eq!(stops, [""; 0], "{shape:?}");
        tables.push((shape, lines(&memory.rows("T")), memory.rows("T__LOG").len() - 1));
    }
    let wanted = vec![r#"AMOUNT="-0.01" AT="2024-02-29 12:34:56.789012" ID="1""#.to_owned()];
    for (shape, rows, logged) in tables {
        assert_eq!((rows, logged), (wanted.clone(), 4), "{shape:?}");
    }
}

#[test]
fn events_without_any_type_land_as_variants() {
    let memory = Memory::new(Commit::OnDemand);
    let (stops, _) = land(&memory, config(), "srv.public.t", write(Written::BareEnvelope));
    assert_eq!(stops, [""; 0]);
    let rows = memory.rows("T");
    assert_eq!(rows.len(), 5, "four events and a tombstone");
    assert_eq!(rows[0]["RECORD_CONTENT"]["after"]["amount"], "SZYC0g==");
    assert_eq!(rows[0]["RECORD_METADATA"]["offset"], 0);
    assert_eq!(rows[0]["RECORD_METADATA"]["CreateTime"], 1_700_000_000_000i64);
}

#[test]
fn id_data_landing_keeps_the_message_and_merges_by_key() {
    let memory = Memory::new(Commit::OnDemand);
    let config = Config { landing: Landing::IdData, key_fields: vec!["customer_id".into()], ..config() };
    let event = |op: &str, before: &str, after: &str| {
        (None, Some(format!(r#"{{"operation":"{op}","before":{before},"after":{after}}}"#)))
    };
    let (one, two) = (r#"{"customer_id":"c1","name":"é"}"#, r#"{"customer_id":"c2"}"#);
    let log = vec![event("INSERT", "null", one), event("INSERT", "null", two), event("DELETE", two, "null")];
    let (stops, _) = land(&memory, config, "customers", log);
    assert_eq!(stops, [""; 0]);
    let wanted =
        r#"DATA={"after":{"customer_id":"c1","name":"é"},"before":null,"operation":"INSERT"} ID="c1""#;
    assert_eq!(lines(&memory.rows("CUSTOMERS")), [wanted]);
}

#[test]
fn a_changed_key_in_the_simple_shape_removes_the_old_row() {
    let memory = Memory::new(Commit::OnDemand);
    land(&memory, config(), "first.public.t", write(Written::SchemaEnvelope)[..1].to_vec());
    let row = |id: i32| format!(r#"{{"id":{id},"amount":null,"at":null,"doc":null}}"#);
    let log = vec![
        (
            Some(r#"{"id":5}"#.to_owned()),
            Some(format!(r#"{{"operation":"INSERT","before":null,"after":{}}}"#, row(5))),
        ),
        (
            Some(r#"{"id":6}"#.to_owned()),
            Some(format!(r#"{{"operation":"UPDATE","before":{},"after":{}}}"#, row(5), row(6))),
        ),
    ];
    let (stops, _) = land(&memory, Config { sink_id: "other".into(), ..config() }, "srv.public.t", log);
    assert_eq!(stops, [""; 0]);
    let ids: Vec<String> =
        lines(&memory.rows("T")).into_iter().filter(|line| !line.contains("ID=\"1\"")).collect();
    assert_eq!(ids, ["ID=\"6\""]);
}

#[test]
fn a_malformed_record_stops_the_partition_or_becomes_a_dead_letter() {
    let mut log = write(Written::SchemaEnvelope);
    log.insert(2, (Some("{\"id\":9}".to_owned()), Some("{broken".to_owned())));
    let memory = Memory::new(Commit::OnDemand);
    let (stops, _) = land(&memory, config(), "srv.public.t", log.clone());
    assert_eq!(
        stops,
        [
            "record at offset 2 of srv.public.t-0 cannot be read: the value is not a JSON object: key must be a string \
          at line 1 column 2"
        ]
    );

    let memory = Memory::new(Commit::OnDemand);
    let lenient = Config { malformed: Malformed::DeadLetter, ..config() };
    let (stops, letters) = land(&memory, lenient, "srv.public.t", log);
    assert_eq!(stops, [""; 0]);
    assert_eq!(letters.len(), 1);
    assert!(letters[0].contains("__connect.errors.offset"), "{letters:?}");
    assert_eq!(lines(&memory.rows("T")).len(), 1, "the others went on");
}

#[test]
fn a_table_without_key_is_not_merged() {
    let memory = Memory::new(Commit::OnDemand);
    let log = write(Written::SchemaEnvelope).into_iter().map(|(_, value)| (None, value)).collect();
    let (stops, _) = land(&memory, config(), "srv.public.t", log);
    assert!(stops[0].contains("table T has no key"), "{stops:?}");
}

#[test]
fn a_column_that_cannot_hold_the_values_stops_the_partition() {
    let memory = Memory::new(Commit::OnDemand);
    land(&memory, config(), "first.public.t", write(Written::SchemaEnvelope));
    let other = write(Written::SchemaEnvelope)
        .into_iter()
        .map(|(key, value)| (key, value.map(|v| v.replace(r#""scale":"2""#, r#""scale":"4""#))))
        .collect();
    let (stops, _) = land(&memory, Config { sink_id: "other".into(), ..config() }, "srv.public.t", other);
    assert!(stops[0].contains("column AMOUNT is number(10,2)"), "{stops:?}");
}
