//! `outbox.EventRouter`: rows of an outbox table to a topic by aggregate type.

use std::sync::Arc;

use super::json_payload::{NullFields, expand};
use super::options::{OptionError, Options};
use super::pattern::{Pattern, Replacement};
use super::regex_router::RegexRouter;
use super::value::{Nulls, StructRef, Typed, Value};
use super::{Header, Record, Side, Transform, TransformError};
use crate::schema::{Field, Kind, Schema};

pub(crate) const OPTIONS: &[&str] = &[
    "table.field.event.id",
    "table.field.event.key",
    "table.field.event.type",
    "table.field.event.timestamp",
    "table.field.event.payload",
    "table.field.event.schema.version",
    "table.fields.additional.placement",
    "table.field.additional.missing",
    "table.op.invalid.behavior",
    "table.expand.json.payload",
    "table.json.payload.null.behavior",
    "route.by.field",
    "route.topic.regex",
    "route.topic.replacement",
    "route.tombstone.on.empty.payload",
    "tracing.span.context.field",
    "tracing.operation.name",
    "tracing.with.context.field.only",
];

/// Schemas that are remembered by what they hold, not by their address.
const SCHEMAS_MAX: usize = 256;

#[derive(Debug, Clone)]
struct EventRouter {
    id: String,
    key: String,
    payload: String,
    timestamp: Option<String>,
    version: Option<String>,
    route_by: String,
    router: RegexRouter,
    additional: Vec<Additional>,
    ignore_missing: bool,
    tombstones: bool,
    expand: Option<NullFields>,
    updates: Updates,
    /// Envelopes by the payload's schema and their version.
    envelopes: Vec<(Schema, Option<i64>, Arc<Schema>)>,
    single: Vec<Arc<Schema>>,
}

/// One of `table.fields.additional.placement`.
#[derive(Debug, Clone)]
struct Additional {
    column: String,
    placement: Placement,
    alias: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placement {
    Header,
    Envelope,
    Partition,
}

/// `table.op.invalid.behavior`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Updates {
    Warn,
    Error,
    Fatal,
}

pub(crate) fn make(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let column = |name: &str, default: &str| options.text(name).unwrap_or(default).to_owned();
    let pattern = options.text("route.topic.regex").unwrap_or("(?<routedByValue>.*)");
    let pattern = Pattern::new(&options.key("route.topic.regex"), pattern)?;
    let replacement = options.text("route.topic.replacement").unwrap_or("outbox.event.${routedByValue}");
    let replacement = Replacement::new(&options.key("route.topic.replacement"), replacement, &pattern)?;
    let nulls = options.choice(
        "table.json.payload.null.behavior",
        &[("ignore", NullFields::Ignore), ("optional_bytes", NullFields::OptionalBytes)],
    )?;
    Ok(Box::new(EventRouter {
        id: column("table.field.event.id", "id"),
        key: column("table.field.event.key", "aggregateid"),
        payload: column("table.field.event.payload", "payload"),
        timestamp: options.text("table.field.event.timestamp").map(str::to_owned),
        version: options.text("table.field.event.schema.version").map(str::to_owned),
        route_by: column("route.by.field", "aggregatetype"),
        router: RegexRouter::new(pattern, replacement),
        additional: additional(options)?,
        ignore_missing: options
            .choice("table.field.additional.missing", &[("error", false), ("ignore", true)])?,
        tombstones: options.boolean("route.tombstone.on.empty.payload", false)?,
        expand: options.boolean("table.expand.json.payload", false)?.then_some(nulls),
        updates: options.choice(
            "table.op.invalid.behavior",
            &[("warn", Updates::Warn), ("error", Updates::Error), ("fatal", Updates::Fatal)],
        )?,
        envelopes: Vec::new(),
        single: Vec::new(),
    }))
}

fn additional(options: &Options<'_>) -> Result<Vec<Additional>, OptionError> {
    let name = "table.fields.additional.placement";
    let wrong = |text: &str| {
        options
            .error(name, format!("'{text}' is not column:placement or column:placement:alias"))
            .hint("a placement is header, envelope or partition")
    };
    let list = options.list(name);
    let each = list.iter().map(|text| {
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        let (column, placement, alias) = match parts[..] {
            [column, placement] => (column, placement, column),
            [column, placement, alias] => (column, placement, alias),
            _ => return Err(wrong(text)),
        };
        let placement = match placement.to_ascii_lowercase().as_str() {
            "header" => Placement::Header,
            "envelope" => Placement::Envelope,
            "partition" => Placement::Partition,
            _ => return Err(wrong(text)),
        };
        Ok(Additional { column: column.to_owned(), placement, alias: alias.to_owned() })
    });
    each.collect()
}

impl Transform for EventRouter {
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError> {
        if record.value.value.is_null() {
            return Ok(None);
        }
        if !record.is_envelope() {
            return Ok(Some(record));
        }
        let event = record.value.clone();
        let event = event.as_struct("the outbox router")?;
        match event.field("op").and_then(|(_, value)| value.as_str()) {
            // A truncated outbox says as little as a deleted row of it.
            Some("d" | "t") => return Ok(None),
            Some("u") => return self.refuse_update().map(|()| None),
            _ => {}
        }
        let (field, after) = event.field("after").ok_or_else(|| missing("after"))?;
        let schema = Arc::new(field.schema.clone());
        let row = Typed::new(Arc::clone(&schema), after.clone());
        self.route(record, &event, &row.as_struct("the outbox router")?).map(Some)
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

fn missing(column: &str) -> TransformError {
    TransformError::new(format!("the outbox table has no column {column}"))
        .hint("name its columns with table.field.event.* and route.by.field, and limit the router to it with a predicate")
}

impl EventRouter {
    fn refuse_update(&self) -> Result<(), TransformError> {
        match self.updates {
            Updates::Warn => tracing::warn!("an update of the outbox table was ignored"),
            Updates::Error => tracing::error!("an update of the outbox table was ignored"),
            Updates::Fatal => {
                return Err(TransformError::new(
                    "a row of the outbox table was updated (table.op.invalid.behavior=fatal)",
                ));
            }
        }
        Ok(())
    }

    fn route(
        &mut self,
        mut record: Record,
        event: &StructRef<'_>,
        row: &StructRef<'_>,
    ) -> Result<Record, TransformError> {
        let column = |name: &str| {
            let (field, value) = row.field(name).ok_or_else(|| missing(name))?;
            Ok::<_, TransformError>((field, Nulls::Default.get(&field.schema, value)))
        };
        let (payload_field, payload) = column(&self.payload)?;
        let mut payload_schema = payload_field.schema.clone();
        let mut payload = payload;
        record.timestamp_ms = self.timestamp(event, row)?;
        let (field, value) = column(&self.id)?;
        let id = Typed::new(self.intern(&field.schema), value);
        record.headers.push(Header { name: "id".to_owned(), value: id });
        let (_, topic) = column(&self.route_by)?;
        let Value::String(topic) = topic else {
            return Err(TransformError::new(format!(
                "column {}, which names the topic, is not text",
                self.route_by
            )));
        };
        if let (Some(nulls), Value::String(text)) = (self.expand, &payload) {
            match expand(&self.payload, text, nulls) {
                Some((schema, value)) => (payload_schema, payload) = (schema, value),
                None => tracing::warn!(
                    "the payload of an outbox row is no JSON object that has a schema: it stays text"
                ),
            }
        }
        let is_empty = match &payload {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            _ => false,
        };
        let mut values = vec![payload];
        for additional in self.additional.clone() {
            let found = row.field(&additional.column);
            if found.is_none() && self.ignore_missing {
                continue;
            }
            let (field, value) = found.ok_or_else(|| missing(&additional.column))?;
            let value = Nulls::Default.get(&field.schema, value);
            match (additional.placement, &value) {
                (Placement::Envelope, _) => values.push(value),
                (Placement::Header, _) => {
                    let value = Typed::new(self.intern(&field.schema), value);
                    record.headers.push(Header { name: additional.alias, value });
                }
                (Placement::Partition, Value::Int(number)) if field.schema.kind == Kind::Int32 => {
                    record.partition = i32::try_from(*number).ok();
                }
                (Placement::Partition, _) => {
                    return Err(TransformError::new(format!(
                        "column {} is no int32: it cannot be a partition",
                        field.name
                    )));
                }
            }
        }
        let (field, key) = column(&self.key)?;
        record.key = Typed::new(self.intern(&field.schema), key);
        let has_envelope =
            self.additional.iter().any(|additional| additional.placement == Placement::Envelope);
        record.value = match (is_empty && self.tombstones, has_envelope) {
            (true, _) => Typed::default(),
            (false, true) => Typed::new(self.envelope(row, &payload_schema, &topic)?, Value::Struct(values)),
            (false, false) => Typed::new(self.intern(&payload_schema), values.swap_remove(0)),
        };
        record.topic = self.router.route(&topic);
        Ok(record)
    }

    /// Kafka's timestamp: a column's, or when the event was written.
    fn timestamp(&self, event: &StructRef<'_>, row: &StructRef<'_>) -> Result<Option<i64>, TransformError> {
        let written = || match event.field("ts_ms") {
            Some((_, Value::Int(at))) => Some(*at),
            _ => None,
        };
        let Some(name) = &self.timestamp else { return Ok(written()) };
        let (field, value) = row.field(name).ok_or_else(|| missing(name))?;
        let at = match Nulls::Default.get(&field.schema, value) {
            Value::Null => return Ok(written()),
            Value::Int(at) => at,
            _ => return Err(TransformError::new(format!("column {name} is no timestamp"))),
        };
        match field.schema.name.as_deref() {
            Some("io.debezium.time.Timestamp") => Ok(Some(at)),
            Some("io.debezium.time.MicroTimestamp") => Ok(Some(at / 1000)),
            Some("io.debezium.time.NanoTimestamp") => Ok(Some(at / 1_000_000)),
            other => Err(TransformError::new(format!(
                "column {name} is no timestamp of Debezium, but {}",
                other.unwrap_or("of a type without a name")
            ))),
        }
    }

    fn envelope(
        &mut self,
        row: &StructRef<'_>,
        payload: &Schema,
        topic: &str,
    ) -> Result<Arc<Schema>, TransformError> {
        let version = match &self.version {
            None => None,
            Some(name) => match row.field(name) {
                Some((_, Value::Int(version))) => Some(*version),
                _ => return Err(missing(name)),
            },
        };
        let mut known = self.envelopes.iter();
        if let Some((.., schema)) = known.find(|(of, number, _)| of == payload && *number == version) {
            return Ok(Arc::clone(schema));
        }
        let mut fields = vec![payload.clone().field("payload")];
        for additional in
            self.additional.iter().filter(|additional| additional.placement == Placement::Envelope)
        {
            if let Some((field, _)) = row.field(&additional.column) {
                fields.push(Field { name: additional.alias.clone(), schema: field.schema.clone() });
            }
        }
        let mut schema = Schema::structure(fields).named_without_version(envelope_name(row.schema, topic));
        schema.version = version.map(|version| version as i32);
        let schema = Arc::new(schema);
        if self.envelopes.len() >= SCHEMAS_MAX {
            self.envelopes.clear();
        }
        self.envelopes.push((payload.clone(), version, Arc::clone(&schema)));
        Ok(schema)
    }

    /// The one shared copy of a schema: what is written is prepared by address.
    fn intern(&mut self, schema: &Schema) -> Arc<Schema> {
        if let Some(known) = self.single.iter().find(|known| known.as_ref() == schema) {
            return Arc::clone(known);
        }
        if self.single.len() >= SCHEMAS_MAX {
            self.single.clear();
        }
        let schema = Arc::new(schema.clone());
        self.single.push(Arc::clone(&schema));
        schema
    }
}

/// The row's name with the routed value before its last part.
fn envelope_name(row: &Schema, topic: &str) -> String {
    match row.name.as_deref() {
        None => topic.to_owned(),
        Some(name) => match name.rsplit_once('.') {
            Some((head, last)) => format!("{head}.{topic}.{last}"),
            None => format!("{topic}.{name}"),
        },
    }
}
