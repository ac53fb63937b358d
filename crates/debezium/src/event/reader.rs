use super::schema::{Node, RowSchema};
use super::value::{Placeholder, decode};
use super::{ChangeEvent, Event, Fields, Operation, Shape, Skipped, Source};
use crate::event::schema::ColumnType;
use crate::event::value::Value;
use serde_json::value::RawValue;
use std::sync::Arc;

/// A record that cannot be read. Always definite: the same bytes fail again. Carries no row value.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not a JSON object where one must stand.
    #[error("the {part} is not {wanted}")]
    Json {
        /// `key`, `value`, or a member of it.
        part: &'static str,
        /// What was wanted there.
        wanted: &'static str,
        /// The parser's own word, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A member that must be there is not, or has the wrong type.
    #[error("the {part} has no usable member {member}")]
    Member {
        /// `key`, `value`, `source`.
        part: &'static str,
        /// The member's name.
        member: &'static str,
    },
    /// The schema in the record has a type that is not known.
    #[error("the schema of the {part}: {problem}")]
    Schema {
        /// `key` or `value`.
        part: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// An operation that does not exist.
    #[error("unknown operation in member {member}")]
    Operation {
        /// `op`, `operation` or `__op`.
        member: &'static str,
    },
}

/// Reads the records of one topic. Keeps the schemas that it met, because each record repeats its schema.
#[derive(Debug, Default)]
pub struct EventReader {
    value_schemas: SchemaCache,
    key_schemas: SchemaCache,
}

impl EventReader {
    /// Reads one record.
    ///
    /// # Errors
    /// When key or value is malformed; the reader stays usable.
    pub fn read<'a>(
        &mut self,
        topic: &str,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Result<Event<'a>, ReadError> {
        if topic.starts_with("__debezium-heartbeat") {
            return Ok(Event::Skipped(Skipped::Heartbeat));
        }
        let (key, key_schema) = self.read_key(key)?;
        let Some(value) = value else { return Ok(Event::Tombstone { key, key_schema }) };
        let mut payload = object("value", value)?;
        let mut text = value;
        let mut schema = None;
        if let Some((schema_raw, payload_raw)) = schema_envelope(&payload) {
            schema = self.value_schemas.resolve("value", schema_raw, value_schema)?;
            if payload_raw == "null" {
                return Ok(Event::Tombstone { key, key_schema });
            }
            text = payload_raw.as_bytes();
            payload = object("value", text)?;
        }
        let known = match &schema {
            Some(RecordSchema::Skipped(why)) => return Ok(Event::Skipped(*why)),
            Some(RecordSchema::Row(row)) => Some(Arc::clone(row)),
            None => None,
        };
        if known.is_none() && is_transaction(&payload) {
            return Ok(Event::Skipped(Skipped::Transaction));
        }
        let event = match shape_of(&payload) {
            Shape::Envelope => envelope(&payload)?,
            Shape::Simple => Some(simple(&payload)?),
            shape => Some(unwrapped(payload, shape)?),
        };
        let Some(mut event) = event else { return Ok(Event::Skipped(Skipped::Message)) };
        event.schema = known;
        event.payload = std::str::from_utf8(text).unwrap_or_default();
        event.key = key;
        event.key_schema = key_schema;
        Ok(Event::Change(Box::new(event)))
    }

    fn read_key<'a>(
        &mut self,
        key: Option<&'a [u8]>,
    ) -> Result<(Option<Fields<'a>>, Option<Arc<RowSchema>>), ReadError> {
        let Some(key) = key else { return Ok((None, None)) };
        // String keys (pipeline D's writer) are not JSON at all: no fields, and no error.
        let Ok(raw) = serde_json::from_slice::<&'a RawValue>(key) else { return Ok((None, None)) };
        if !raw.get().starts_with('{') {
            return Ok((None, None));
        }
        let fields = object("key", key)?;
        let Some((schema_raw, payload_raw)) = schema_envelope(&fields) else {
            return Ok((Some(fields), None));
        };
        if payload_raw == "null" {
            return Ok((None, None));
        }
        let schema = match self.key_schemas.resolve("key", schema_raw, key_schema)? {
            Some(RecordSchema::Row(schema)) => Some(schema),
            _ => None,
        };
        if payload_raw.starts_with('{') {
            return Ok((Some(object("key", payload_raw.as_bytes())?), schema));
        }
        let raw = parse("key", "JSON", payload_raw.as_bytes())?;
        Ok((Some(Fields::single(SINGLE_KEY, raw)), schema))
    }
}

/// The name of a key that is a single value and not a structure.
const SINGLE_KEY: &str = "key";

fn parse<'a, T: serde::Deserialize<'a>>(
    part: &'static str,
    wanted: &'static str,
    bytes: &'a [u8],
) -> Result<T, ReadError> {
    serde_json::from_slice(bytes).map_err(|source| ReadError::Json { part, wanted, source })
}

fn object<'a>(part: &'static str, bytes: &'a [u8]) -> Result<Fields<'a>, ReadError> {
    parse(part, "a JSON object", bytes)
}

/// `{"schema":…,"payload":…}` and nothing else.
fn schema_envelope<'a>(fields: &Fields<'a>) -> Option<(&'a str, &'a str)> {
    match (fields.len(), fields.get("schema"), fields.get("payload")) {
        (2, Some(schema), Some(payload)) => Some((schema, payload)),
        _ => None,
    }
}

fn shape_of(payload: &Fields<'_>) -> Shape {
    let is_string = |name| payload.get(name).is_some_and(|raw| raw.starts_with('"'));
    let has_image = payload.get("before").is_some() || payload.get("after").is_some();
    if is_string("op") && (has_image || payload.get("source").is_some()) {
        Shape::Envelope
    } else if is_string("operation") && has_image {
        Shape::Simple
    } else if payload.get("__deleted").is_some() {
        Shape::UnwrappedRewritten
    } else {
        Shape::Unwrapped
    }
}

fn is_transaction(payload: &Fields<'_>) -> bool {
    matches!(payload.get("status"), Some("\"BEGIN\"" | "\"END\""))
        && payload.get("id").is_some()
        && payload.get("event_count").is_some()
        && payload.get("data_collections").is_some()
}

fn envelope<'a>(payload: &Fields<'a>) -> Result<Option<ChangeEvent<'a>>, ReadError> {
    let op = match payload.get("op") {
        Some("\"c\"") => Operation::Create,
        Some("\"u\"") => Operation::Update,
        Some("\"d\"") => Operation::Delete,
        Some("\"r\"") => Operation::Read,
        Some("\"t\"") => Operation::Truncate,
        Some("\"m\"") => return Ok(None),
        _ => return Err(ReadError::Operation { member: "op" }),
    };
    let event = ChangeEvent {
        source: source(payload.get("source"))?,
        ..change(Shape::Envelope, op, image("before", payload)?, image("after", payload)?)
    };
    require_row(event, "after").map(Some)
}

fn simple<'a>(payload: &Fields<'a>) -> Result<ChangeEvent<'a>, ReadError> {
    let operation = payload.get("operation").unwrap_or("").trim_matches('"').to_ascii_uppercase();
    let op = match operation.as_str() {
        "INSERT" | "CREATE" | "C" | "I" => Operation::Create,
        "UPDATE" | "U" => Operation::Update,
        "DELETE" | "D" => Operation::Delete,
        "READ" | "SNAPSHOT" | "R" => Operation::Read,
        _ => return Err(ReadError::Operation { member: "operation" }),
    };
    let event = change(Shape::Simple, op, image("before", payload)?, image("after", payload)?);
    require_row(event, "after")
}

fn unwrapped(mut row: Fields<'_>, shape: Shape) -> Result<ChangeEvent<'_>, ReadError> {
    let deleted = matches!(row.get("__deleted"), Some("\"true\"" | "true"));
    let op = match (deleted, row.get("__op")) {
        (true, _) | (_, Some("\"d\"")) => Operation::Delete,
        (_, Some("\"c\"")) => Operation::Create,
        (_, Some("\"r\"")) => Operation::Read,
        (_, Some("\"t\"")) => Operation::Truncate,
        (_, Some("\"u\"" | "null") | None) => Operation::Update,
        _ => return Err(ReadError::Operation { member: "__op" }),
    };
    let lsn = row.get("__source_lsn").or_else(|| row.get("__lsn")).and_then(|raw| raw.parse().ok());
    let micros = |name: &str, per: i64| {
        row.get(name).and_then(|raw| raw.parse::<i64>().ok()).and_then(|ts| ts.checked_mul(per))
    };
    let ts_us = micros("__source_ts_us", 1).or_else(|| micros("__source_ts_ms", 1_000));
    row.retain(|name| !is_added_field(name));
    let (before, after) = if op == Operation::Delete { (Some(row), None) } else { (None, Some(row)) };
    Ok(ChangeEvent { source: Source { lsn, ts_us, ends_table: false }, ..change(shape, op, before, after) })
}

fn change<'a>(
    shape: Shape,
    op: Operation,
    before: Option<Fields<'a>>,
    after: Option<Fields<'a>>,
) -> ChangeEvent<'a> {
    let source = Source::default();
    ChangeEvent { shape, op, schema: None, key: None, key_schema: None, before, after, source, payload: "" }
}

fn require_row<'a>(event: ChangeEvent<'a>, member: &'static str) -> Result<ChangeEvent<'a>, ReadError> {
    let needs_after = matches!(event.op, Operation::Create | Operation::Update | Operation::Read);
    if needs_after && event.after.is_none() {
        return Err(ReadError::Member { part: "value", member });
    }
    Ok(event)
}

fn image<'a>(name: &'static str, payload: &Fields<'a>) -> Result<Option<Fields<'a>>, ReadError> {
    match payload.get(name) {
        None | Some("null") => Ok(None),
        Some(raw) => object(name, raw.as_bytes()).map(Some),
    }
}

fn source(raw: Option<&str>) -> Result<Source, ReadError> {
    let Some(raw) = raw.filter(|raw| *raw != "null") else { return Ok(Source::default()) };
    let fields = object("source", raw.as_bytes())?;
    let lsn = match fields.get("lsn") {
        None | Some("null") => None,
        Some(text) => Some(text.parse().map_err(|_| ReadError::Member { part: "source", member: "lsn" })?),
    };
    let number = |name| fields.get(name).and_then(|raw| raw.parse::<i64>().ok());
    let ts_us = number("ts_us").or_else(|| number("ts_ms").and_then(|ms| ms.checked_mul(1_000)));
    let ends_table = matches!(fields.get("snapshot"), Some("\"last\"" | "\"last_in_data_collection\""));
    Ok(Source { lsn, ts_us, ends_table })
}

/// The fields that ExtractNewRecordState adds with its default prefix `__`.
fn is_added_field(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("__") else { return false };
    let rest = rest.strip_prefix("source_").unwrap_or(rest);
    matches!(
        rest,
        "op" | "deleted"
            | "ts_ms"
            | "ts_us"
            | "ts_ns"
            | "lsn"
            | "txId"
            | "xmin"
            | "sequence"
            | "snapshot"
            | "table"
            | "schema"
            | "db"
            | "name"
            | "connector"
            | "version"
            | "transaction_id"
            | "transaction_total_order"
            | "transaction_data_collection_order"
    )
}

#[derive(Debug, Clone)]
enum RecordSchema {
    Row(Arc<RowSchema>),
    Skipped(Skipped),
}

/// The schemas of one topic met so far, newest first. A topic alternates between few: before and after an
/// ALTER TABLE, or the two ends of a replay.
#[derive(Debug, Default)]
struct SchemaCache {
    entries: Vec<(Box<str>, RecordSchema)>,
}

const SCHEMAS_KEPT: usize = 4;

impl SchemaCache {
    fn resolve(
        &mut self,
        part: &'static str,
        raw: &str,
        make: fn(&Node) -> Result<RecordSchema, String>,
    ) -> Result<Option<RecordSchema>, ReadError> {
        if raw == "null" {
            return Ok(None);
        }
        if let Some(at) = self.entries.iter().position(|(text, _)| text.as_ref() == raw) {
            self.entries.swap(0, at);
            return Ok(self.entries.first().map(|(_, schema)| schema.clone()));
        }
        let node: Node = parse(part, "a Connect schema", raw.as_bytes())?;
        let schema = make(&node).map_err(|problem| ReadError::Schema { part, problem })?;
        self.entries.truncate(SCHEMAS_KEPT - 1);
        self.entries.insert(0, (raw.into(), schema.clone()));
        Ok(Some(schema))
    }
}

fn value_schema(node: &Node) -> Result<RecordSchema, String> {
    match node.name.as_deref() {
        Some("io.debezium.connector.common.Heartbeat") => {
            return Ok(RecordSchema::Skipped(Skipped::Heartbeat));
        }
        Some("io.debezium.connector.common.TransactionMetadataValue") => {
            return Ok(RecordSchema::Skipped(Skipped::Transaction));
        }
        Some("io.debezium.connector.postgresql.MessageValue") => {
            return Ok(RecordSchema::Skipped(Skipped::Message));
        }
        _ => {}
    }
    let is_envelope = node.child("op").is_some() || node.child("operation").is_some();
    let row = match node.child("after").or_else(|| node.child("before")) {
        Some(image) if is_envelope => image.row(|_| true)?,
        _ => node.row(|name| !is_added_field(name))?,
    };
    Ok(RecordSchema::Row(Arc::new(row)))
}

fn key_schema(node: &Node) -> Result<RecordSchema, String> {
    if node.kind == "struct" && node.name.as_deref() != Some("io.debezium.data.VariableScaleDecimal") {
        return node.row(|_| true).map(|row| RecordSchema::Row(Arc::new(row)));
    }
    let kind: ColumnType = node.column_type()?;
    let column = super::schema::Column { name: SINGLE_KEY.to_owned(), kind };
    Ok(RecordSchema::Row(Arc::new(RowSchema { columns: vec![column] })))
}

/// Decodes every column of `row` that `schema` names; an absent column is NULL.
///
/// # Errors
/// The first column whose JSON does not fit its type, by name.
pub fn decode_row<'a>(
    schema: &RowSchema,
    row: &Fields<'a>,
    placeholder: &Placeholder,
) -> Result<Vec<Value<'a>>, (String, super::value::ValueError)> {
    let one = |(hint, column): (usize, &super::schema::Column)| match row.get_near(hint, &column.name) {
        None => Ok(Value::Null),
        Some(raw) => decode(column.kind, raw, placeholder).map_err(|e| (column.name.clone(), e)),
    };
    schema.columns.iter().enumerate().map(one).collect()
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
