//! Events of one table, and chains from lines of properties, for the tests of transformations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Chain, Encoder, Form, Header, OptionError, Record, Typed, Value, header_text};
use crate::envelope;
use crate::format::json::{DecimalFormat, JsonWriter};
use crate::schema::{Field, Kind, Schema};
use crate::value::Literal;

pub(super) const KAFKA: &str = "org.apache.kafka.connect.transforms";

/// `id int, name text default 'n', price numeric(5,2), at timestamp, day date`
fn columns() -> Vec<Field> {
    let decimal =
        Schema::new(Kind::Bytes).named("org.apache.kafka.connect.data.Decimal").parameter("scale", "2");
    vec![
        Schema::new(Kind::Int32).field("id"),
        Schema::new(Kind::String).optional(true).default_value(Literal::String("n".into())).field("name"),
        decimal.optional(true).field("price"),
        Schema::new(Kind::Int64).named("io.debezium.time.MicroTimestamp").optional(true).field("at"),
        Schema::new(Kind::Int32).named("org.apache.kafka.connect.data.Date").optional(true).field("day"),
    ]
}

/// A row with everything, or with nulls.
pub(super) fn row(id: i64, name: Option<&str>) -> Value {
    let some = |value: Value| if name.is_some() { value } else { Value::Null };
    Value::Struct(vec![
        Value::Int(id),
        name.map_or(Value::Null, |name| Value::String(name.into())),
        some(Value::Decimal(vec![1, 94], 2)),
        some(Value::Int(1_709_210_096_789_012)),
        some(Value::Int(19_782)),
    ])
}

fn source(schema: &Schema) -> Value {
    let known = |field: &Field| match field.name.as_str() {
        "lsn" => Value::Int(7),
        "table" => Value::String("t".into()),
        "ts_ms" => Value::Int(5),
        _ if field.schema.optional => Value::Null,
        _ => Value::String("x".into()),
    };
    Value::Struct(schema.fields().iter().map(known).collect())
}

/// An event of the table.
pub(super) fn event(op: &str, before: Value, after: Value) -> Record {
    let schema = envelope::schema("srv.public.t", &columns());
    let source =
        schema.fields().iter().find(|field| field.name == "source").map(|field| source(&field.schema));
    let value = Value::Struct(vec![
        before,
        after,
        source.unwrap_or_default(),
        Value::Null,
        Value::String(op.into()),
        Value::Int(1),
        Value::Int(2),
        Value::Int(3),
    ]);
    Record { value: Typed::new(Arc::new(schema), value), ..tombstone() }
}

pub(super) fn insert() -> Record {
    event("c", Value::Null, row(1, Some("a")))
}

pub(super) fn delete() -> Record {
    event("d", row(1, None), Value::Null)
}

pub(super) fn tombstone() -> Record {
    let key = envelope::key_schema("srv.public.t", vec![Schema::new(Kind::Int32).field("id")]);
    Record {
        topic: "srv.public.t".into(),
        key: Typed::new(Arc::new(key), Value::Struct(vec![Value::Int(1)])),
        headers: vec![Header { name: "h".into(), value: Typed::string("v") }],
        ..Record::default()
    }
}

/// A heartbeat: no table, no envelope.
pub(super) fn heartbeat() -> Record {
    let typed = |schema: Schema, value: Value| Typed::new(Arc::new(schema), Value::Struct(vec![value]));
    Record {
        topic: "hb".into(),
        key: typed(envelope::heartbeat_key_schema(), Value::String("srv".into())),
        value: typed(envelope::heartbeat_schema(), Value::Int(9)),
        ..Record::default()
    }
}

/// `key=value` lines; `KAFKA` and `DEBEZIUM` stand for the packages.
pub(super) fn chain(lines: &str) -> Result<Chain, OptionError> {
    let lines = lines.replace("KAFKA", KAFKA).replace("DEBEZIUM", "io.debezium.transforms");
    let pairs = lines.lines().filter_map(|line| line.trim().split_once('='));
    Chain::new(&pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>())
}

/// One transformation called `t`.
pub(super) fn one(class: &str, options: &str) -> Chain {
    let options: Vec<String> =
        options.split_whitespace().map(|option| format!("transforms.t.{option}")).collect();
    chain(&format!("transforms=t\ntransforms.t.type={class}\n{}", options.join("\n"))).unwrap()
}

/// What a chain makes of a record: topic, key, value, and the headers behind the fixture's own.
pub(super) fn text(chain: &mut Chain, record: Record) -> String {
    written(chain, record, false)
}

/// The same with schemas.
pub(super) fn with_schemas(chain: &mut Chain, record: Record) -> String {
    written(chain, record, true)
}

fn written(chain: &mut Chain, record: Record, schemas: bool) -> String {
    let record = match chain.apply(record) {
        Ok(Some(record)) => record,
        Ok(None) => return "dropped".into(),
        Err(error) => return format!("error: {error}"),
    };
    let json = |typed: &Typed| {
        let mut writer = JsonWriter::default();
        match Encoder::new(Form::Json { schemas, decimal: DecimalFormat::Base64 }, true)
            .write(typed, &mut writer)
        {
            Ok(true) => String::from_utf8(writer.as_bytes().to_vec()).unwrap(),
            Ok(false) => "-".into(),
            Err(error) => format!("error: {error}"),
        }
    };
    let mut out = format!("{} {} {}", record.topic, json(&record.key), json(&record.value));
    for header in record.headers.iter().filter(|header| header.name != "h") {
        let text = header_text(&header.value).map(|bytes| String::from_utf8(bytes).unwrap());
        out.push_str(&format!(" {}={}", header.name, text.unwrap_or_else(|| "null".into())));
    }
    out
}
