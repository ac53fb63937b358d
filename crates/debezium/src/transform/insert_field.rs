//! `InsertField`: topic, partition, timestamp or a fixed text as a field.

use super::extract_new_record_state::with_fields;
use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::value::{Nulls, Typed, Value};
use super::{Record, Side, Transform, TransformError};
use crate::schema::{Kind, Schema};

pub(crate) const OPTIONS: &[&str] = &[
    "topic.field",
    "partition.field",
    "offset.field",
    "timestamp.field",
    "static.field",
    "static.value",
    "replace.null.with.default",
];

#[derive(Debug, Clone)]
struct InsertField {
    side: Side,
    inserted: Vec<(What, String, bool)>,
    nulls: Nulls,
    schemas: SchemaCache,
}

#[derive(Debug, Clone)]
enum What {
    Topic,
    Partition,
    Timestamp,
    Text(Option<String>),
}

pub(crate) fn make(options: &Options<'_>, side: Side) -> Result<Box<dyn Transform>, OptionError> {
    if options.text("offset.field").is_some() {
        return Err(options.error("offset.field", "is for sink connectors: this record has no offset yet"));
    }
    let text = options.raw("static.value").map(str::to_owned);
    let all = [
        ("topic.field", What::Topic),
        ("partition.field", What::Partition),
        ("timestamp.field", What::Timestamp),
        ("static.field", What::Text(text)),
    ];
    let mut inserted = Vec::new();
    for (name, what) in all {
        let Some(field) = options.text(name) else { continue };
        let (field, is_optional) = match field.strip_suffix('!') {
            Some(field) => (field, false),
            None => (field.strip_suffix('?').unwrap_or(field), true),
        };
        inserted.push((what, field.to_owned(), is_optional));
    }
    if inserted.is_empty() {
        return Err(options
            .error("static.field", "nothing is to be inserted")
            .hint("set topic.field, partition.field, timestamp.field, or static.field and static.value"));
    }
    let nulls = Nulls::new(options.boolean("replace.null.with.default", true)?);
    Ok(Box::new(InsertField { side, inserted, nulls, schemas: SchemaCache::default() }))
}

impl What {
    fn schema(&self) -> Schema {
        match self {
            What::Topic | What::Text(_) => Schema::new(Kind::String),
            What::Partition => Schema::new(Kind::Int32),
            What::Timestamp => Schema::new(Kind::Int64).named("org.apache.kafka.connect.data.Timestamp"),
        }
    }

    fn value(&self, record: &Record) -> Value {
        let found = match self {
            What::Topic => Some(Value::String(record.topic.clone())),
            What::Partition => record.partition.map(|partition| Value::Int(partition.into())),
            What::Timestamp => record.timestamp_ms.map(Value::Int),
            What::Text(text) => text.clone().map(Value::String),
        };
        found.unwrap_or_default()
    }
}

impl Transform for InsertField {
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError> {
        let old = self.side.of(&record);
        if old.value.is_null() {
            return Ok(Some(record));
        }
        let inserted = &self.inserted;
        if old.schema.is_none()
            && let Value::Map(entries) = &old.value
        {
            let mut entries = entries.clone();
            for (what, name, _) in inserted {
                entries.retain(|(key, _)| key.as_str() != Some(name));
                entries.push((Value::String(name.clone()), what.value(&record)));
            }
            let typed = Typed { schema: None, value: Value::Map(entries) };
            return Ok(Some(self.side.with(record, typed)));
        }
        let row = old.as_struct("field insertion")?;
        let schema = self.schemas.get(row.schema, || {
            let fields =
                inserted.iter().map(|(what, name, optional)| what.schema().optional(*optional).field(name));
            with_fields(row.schema, fields.collect())
        })?;
        let mut values = row.values(self.nulls);
        values.extend(inserted.iter().map(|(what, ..)| what.value(&record)));
        Ok(Some(self.side.with(record, Typed::new(schema, Value::Struct(values)))))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
