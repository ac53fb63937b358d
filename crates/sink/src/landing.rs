//! One event to the rows of its landing shape.

use crate::action::Incoming;
use crate::config::{Config, Landing, TableMode, Tombstones};
use crate::destination::StoredType;
use crate::merge::offset_text;
use crate::row::{RowEncoder, column};
use crate::sequence::{OrderFacts, SEQUENCE_LEN, lineage_floor, write_sequence};
use crate::table::{Bound, Fit, Table, destination_name};
use cdcd_debezium::event::schema::RowSchema;
use cdcd_debezium::event::value::{Placeholder, Value, ValueError, decode, iso_timestamp};
use cdcd_debezium::event::{ChangeEvent, Event, Fields, Operation, Shape, Source};
use std::borrow::Cow;
use std::sync::Arc;

/// What came of one record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Landed {
    /// This many rows were written.
    Rows(u32),
    /// The record carries no row.
    Nothing,
    /// The table must change first; nothing was written.
    Evolve,
    /// The record cannot be read or written; nothing was written. No row value in the text.
    Malformed(String),
    /// The table and the events do not fit together: not this record's fault alone.
    Clash(String),
}

/// What [`land`] works with, besides the record.
pub(crate) struct Room<'s> {
    pub(crate) config: &'s Config,
    pub(crate) placeholder: &'s Placeholder,
    pub(crate) encoder: &'s mut dyn RowEncoder,
    pub(crate) table: &'s mut Table,
    pub(crate) tag: &'s str,
    pub(crate) out: &'s mut Vec<u8>,
}

/// Writes the rows of one event in a typed landing. `before`: shape and highest LSN of the events before it.
pub(crate) fn land(
    room: &mut Room<'_>,
    event: Event<'_>,
    before: (Option<Shape>, u64),
    at: &Incoming<'_>,
) -> Landed {
    let change = match event {
        Event::Skipped(_) => return Landed::Nothing,
        Event::Tombstone { key, key_schema } => {
            match tombstone(room.config.tombstones, before, key, key_schema) {
                Some(change) => change,
                None => return Landed::Nothing,
            }
        }
        Event::Change(change) => *change,
    };
    if let Some(landed) = learn_keys(room, &change) {
        return landed;
    }
    let start = room.out.len();
    let landed = match room.table.landing {
        Landing::Log => land_log(room, &change, at),
        Landing::IdData => one_row(room, |room, start| id_data(room, &change, at, start)),
        Landing::Variant => return Landed::Nothing,
    };
    match (landed, ends_lineages(room, &change, at)) {
        (Landed::Rows(rows), Some(lineage)) => match one_row(room, |room, _| end_lineages(room, lineage, at))
        {
            Landed::Rows(more) => Landed::Rows(rows + more),
            other => {
                room.out.truncate(start);
                other
            }
        },
        (landed, _) => landed,
    }
}

/// A table that was read again from its beginning, under a new lineage: what was not read again was deleted where nobody
/// saw it. Tells the lineage with the table's last row.
fn ends_lineages(room: &Room<'_>, event: &ChangeEvent<'_>, at: &Incoming<'_>) -> Option<u32> {
    let again =
        event.op == Operation::Read && event.source.ends_table && room.table.mode != TableMode::Append;
    again.then(|| order_facts(at).lineage()).filter(|lineage| *lineage > 0)
}

/// A truncate of all that the lineages before have left. It takes no row of the new one, however late that comes.
fn end_lineages(room: &mut Room<'_>, lineage: u32, at: &Incoming<'_>) -> Result<(), (String, ValueError)> {
    room.encoder.begin(room.out);
    let columns = [
        (column::OP, Operation::Truncate.letter().to_owned()),
        (column::SEQ, lineage_floor(lineage)),
        (column::OFFSET, offset_text(room.tag, at.partition, at.offset)),
    ];
    for (name, text) in columns {
        let value = Value::Text(Cow::Owned(text));
        room.encoder.field(room.out, name, &StoredType::Text, &value).map_err(|e| (name.to_owned(), e))?;
    }
    Ok(())
}

fn order_facts(at: &Incoming<'_>) -> OrderFacts {
    OrderFacts::from_headers(at.record.headers.iter().map(|header| (header.name, header.value)))
}

/// A tombstone as a delete, where it is one.
fn tombstone<'a>(
    policy: Tombstones,
    (shape, lsn): (Option<Shape>, u64),
    key: Option<Fields<'a>>,
    key_schema: Option<Arc<RowSchema>>,
) -> Option<ChangeEvent<'a>> {
    let is_delete = match policy {
        Tombstones::Ignore => false,
        Tombstones::Delete => true,
        Tombstones::Auto => shape == Some(Shape::Unwrapped),
    };
    let key = key.filter(|_| is_delete)?;
    Some(ChangeEvent {
        shape: Shape::Unwrapped,
        op: Operation::Delete,
        schema: key_schema.clone(),
        before: Some(key.clone()),
        key: Some(key),
        key_schema,
        after: None,
        source: Source { lsn: Some(lsn), ..Source::default() },
        payload: "null",
    })
}

/// Key columns come from the record's key, else from the configuration. A current state needs them.
fn learn_keys(room: &mut Room<'_>, event: &ChangeEvent<'_>) -> Option<Landed> {
    let table = &mut *room.table;
    if table.mode == TableMode::Append || table.landing != Landing::Log || event.op == Operation::Truncate {
        return None;
    }
    let told: Vec<String> = match (&event.key, room.config.key_fields.is_empty()) {
        (Some(key), true) => key.iter().map(|(name, _)| destination_name(name)).collect(),
        _ => room.config.key_fields.iter().map(|name| destination_name(name)).collect(),
    };
    if told.is_empty() {
        let message = format!(
            "table {} has no key, so its current rows cannot be told: land it as an append-only log, or name \
             key columns",
            table.base
        );
        return Some(Landed::Clash(message));
    }
    if table.keys.is_empty() {
        table.keys = told;
    } else if table.keys != told {
        let message = format!(
            "the key of table {} was ({}) and is now ({})",
            table.base,
            table.keys.join(", "),
            told.join(", ")
        );
        return Some(Landed::Clash(message));
    }
    None
}

fn land_log(room: &mut Room<'_>, event: &ChangeEvent<'_>, at: &Incoming<'_>) -> Landed {
    if event.op == Operation::Truncate {
        return one_row(room, |room, _| {
            room.encoder.begin(room.out);
            own_columns(room, event, at, "", 0)
        });
    }
    let empty = Fields::default();
    let image = event.row().or(event.key.as_ref()).unwrap_or(&empty);
    match room.table.fit(event.schema.as_ref(), image) {
        Fit::Fits => {}
        Fit::Evolve => return Landed::Evolve,
        Fit::Clash(why) => return Landed::Clash(why),
    }
    if !room.table.current_is_prepared() {
        return Landed::Evolve;
    }
    let start = room.out.len();
    let moved = moved_key(room, event);
    let mut rows = 0;
    if let Some(before) = moved {
        let gone = ChangeEvent {
            shape: event.shape,
            op: Operation::Delete,
            schema: event.schema.clone(),
            key: None,
            key_schema: None,
            before: Some(before.clone()),
            after: None,
            source: event.source.clone(),
            payload: event.payload,
        };
        match one_row(room, |room, _| log_row(room, &gone, before, at, 0)) {
            Landed::Rows(written) => rows += written,
            other => return other,
        }
    }
    match one_row(room, |room, _| log_row(room, event, image, at, u8::from(rows > 0))) {
        Landed::Rows(written) => Landed::Rows(rows + written),
        other => {
            room.out.truncate(start);
            other
        }
    }
}

/// Outside Debezium's envelope a changed key comes as one update: its old row must go.
fn moved_key<'e, 'a>(room: &Room<'_>, event: &'e ChangeEvent<'a>) -> Option<&'e Fields<'a>> {
    if event.shape != Shape::Simple || event.op != Operation::Update {
        return None;
    }
    let (before, after) = (event.before.as_ref()?, event.after.as_ref()?);
    let differs = |source: &str| match (before.get(source), after.get(source)) {
        (Some(old), Some(new)) => old != new,
        _ => false,
    };
    let is_key = |bound: &&Bound| room.table.keys.contains(&bound.target.name);
    room.table.bound().iter().filter(is_key).any(|bound| differs(&bound.source)).then_some(before)
}

fn one_row(
    room: &mut Room<'_>,
    write: impl FnOnce(&mut Room<'_>, usize) -> Result<(), (String, ValueError)>,
) -> Landed {
    let start = room.out.len();
    match write(room, start) {
        Ok(()) => {
            room.encoder.end(room.out);
            Landed::Rows(1)
        }
        Err((column, error)) => {
            room.out.truncate(start);
            Landed::Malformed(format!("column {column}: {error}"))
        }
    }
}

fn log_row(
    room: &mut Room<'_>,
    event: &ChangeEvent<'_>,
    image: &Fields<'_>,
    at: &Incoming<'_>,
    sub: u8,
) -> Result<(), (String, ValueError)> {
    let mut unchanged = String::new();
    room.encoder.begin(room.out);
    // Under the default replica identity a delete knows only its key; the rest would be fillers.
    let only_key = event.op == Operation::Delete && !room.table.keys.is_empty();
    let by_key = event.op == Operation::Delete;
    for (hint, bound) in room.table.bound().iter().enumerate() {
        let in_key = event.key.as_ref().is_some_and(|key| key.get(&bound.source).is_some());
        let is_key = room.table.keys.contains(&bound.target.name) || in_key;
        if by_key && !is_key && (only_key || event.key.is_some()) {
            continue;
        }
        let raw = image.get_near(hint, &bound.source);
        let raw = raw.or_else(|| event.key.as_ref().and_then(|key| key.get(&bound.source)));
        let Some(raw) = raw else { continue };
        let value = decode(bound.kind, raw, room.placeholder).map_err(|e| (bound.source.clone(), e))?;
        if value == Value::Unavailable {
            if unchanged.is_empty() {
                unchanged.push(',');
            }
            unchanged.push_str(&bound.target.name);
            unchanged.push(',');
            continue;
        }
        room.encoder
            .field(room.out, &bound.target.name, &bound.target.stored, &value)
            .map_err(|e| (bound.source.clone(), e))?;
    }
    own_columns(room, event, at, &unchanged, sub)
}

fn own_columns(
    room: &mut Room<'_>,
    event: &ChangeEvent<'_>,
    at: &Incoming<'_>,
    unchanged: &str,
    sub: u8,
) -> Result<(), (String, ValueError)> {
    let mut sequence = String::with_capacity(SEQUENCE_LEN);
    write_sequence(&mut sequence, event, order_facts(at), at.offset, sub);
    let offset = offset_text(room.tag, at.partition, at.offset);
    let ts_us = event.source.ts_us.or_else(|| at.timestamp_ms?.checked_mul(1_000));
    let instant = ts_us.and_then(|us| iso_timestamp(i128::from(us) * 1_000));
    let instant = instant.map(|text| format!("{}Z", text.replace(' ', "T")));
    let text = |text: &str| Value::Text(Cow::Owned(text.to_owned()));
    let columns = [
        (column::OP, StoredType::Text, text(event.op.letter())),
        (column::SEQ, StoredType::Text, text(&sequence)),
        (column::TS, StoredType::Instant, instant.map_or(Value::Null, |ts| Value::Instant(ts.into()))),
        (column::OFFSET, StoredType::Text, text(&offset)),
        (
            column::UNCHANGED,
            StoredType::Text,
            if unchanged.is_empty() { Value::Null } else { text(unchanged) },
        ),
    ];
    for (name, stored, value) in &columns {
        room.encoder.field(room.out, name, stored, value).map_err(|e| ((*name).to_owned(), e))?;
    }
    Ok(())
}

/// `ID`, `DATA` and the log's own columns.
fn id_data(
    room: &mut Room<'_>,
    event: &ChangeEvent<'_>,
    at: &Incoming<'_>,
    _start: usize,
) -> Result<(), (String, ValueError)> {
    let missing = || ("ID".to_owned(), ValueError { expected: "a record with a key" });
    room.encoder.begin(room.out);
    if event.op != Operation::Truncate {
        let id = row_id(room.config, event, at.record.key).ok_or_else(missing)?;
        let named = |e| (column::ID.to_owned(), e);
        room.encoder
            .field(room.out, column::ID, &StoredType::Text, &Value::Text(id.into()))
            .map_err(named)?;
        let data = Value::Json(Cow::Borrowed(event.payload));
        room.encoder
            .field(room.out, column::DATA, &StoredType::Variant, &data)
            .map_err(|e| (column::DATA.to_owned(), e))?;
    }
    own_columns(room, event, at, "", 0)
}

/// Key values as text: configured fields of the row, else the record's key, else the raw key text.
fn row_id(config: &Config, event: &ChangeEvent<'_>, key: Option<&[u8]>) -> Option<String> {
    let text = |raw: &str| match serde_json::from_str::<String>(raw) {
        Ok(text) => Some(text).filter(|text| !text.is_empty()),
        Err(_) if raw == "null" => None,
        Err(_) => Some(raw.to_owned()),
    };
    let join = |parts: Option<Vec<String>>| parts.filter(|all| !all.is_empty()).map(|all| all.join("|"));
    if !config.key_fields.is_empty() {
        let row = event.row()?;
        return join(config.key_fields.iter().map(|name| row.get(name).and_then(text)).collect());
    }
    if let Some(fields) = &event.key {
        return join(fields.iter().map(|(_, raw)| text(raw)).collect());
    }
    let raw = std::str::from_utf8(key?).ok()?;
    text(raw)
}

/// The row of a record in the variant landing. Its value must be JSON, or absent.
pub(crate) fn land_variant(room: &mut Room<'_>, at: &Incoming<'_>) -> Landed {
    let facts = room.config.metadata;
    let content = match at.record.value {
        None if !facts.land_null_values => return Landed::Nothing,
        None => Cow::Borrowed("{}"),
        Some(value) => match content(value, facts.whole_value) {
            Ok(text) => text,
            Err(why) => return Landed::Malformed(why),
        },
    };
    let metadata = metadata(room.config, at).to_string();
    one_row(room, |room, _| {
        room.encoder.begin(room.out);
        for (name, json) in [(column::RECORD_METADATA, metadata.as_str()), (column::RECORD_CONTENT, &content)]
        {
            let value = Value::Json(Cow::Borrowed(json));
            room.encoder
                .field(room.out, name, &StoredType::Variant, &value)
                .map_err(|e| (name.to_owned(), e))?;
        }
        Ok(())
    })
}

fn content(value: &[u8], whole: bool) -> Result<Cow<'_, str>, String> {
    let raw: &serde_json::value::RawValue =
        serde_json::from_slice(value).map_err(|error| format!("the value is not JSON: {error}"))?;
    if whole {
        return Ok(Cow::Borrowed(raw.get()));
    }
    let fields: Result<Fields<'_>, _> = serde_json::from_str(raw.get());
    match fields {
        Ok(fields) if fields.len() == 2 && fields.get("schema").is_some() => {
            Ok(Cow::Borrowed(fields.get("payload").unwrap_or(raw.get())))
        }
        _ => Ok(Cow::Borrowed(raw.get())),
    }
}

fn metadata(config: &Config, at: &Incoming<'_>) -> serde_json::Value {
    use serde_json::{Map, Value};
    let facts = config.metadata;
    let mut members = Map::new();
    if facts.create_time
        && let Some(ms) = at.timestamp_ms
    {
        members.insert("CreateTime".to_owned(), ms.into());
    }
    if facts.topic {
        members.insert("topic".to_owned(), at.record.topic.into());
    }
    if facts.offset_and_partition {
        members.insert("offset".to_owned(), at.offset.into());
        members.insert("partition".to_owned(), at.partition.into());
    }
    if let Some(key) = at.record.key {
        let text = || Value::from(String::from_utf8_lossy(key).into_owned());
        members.insert("key".to_owned(), serde_json::from_slice(key).unwrap_or_else(|_| text()));
    }
    let headers: Map<String, Value> = at
        .record
        .headers
        .iter()
        .filter_map(|header| Some((header.name.to_owned(), std::str::from_utf8(header.value?).ok()?.into())))
        .collect();
    if !headers.is_empty() {
        members.insert("headers".to_owned(), Value::Object(headers));
    }
    Value::Object(members)
}
