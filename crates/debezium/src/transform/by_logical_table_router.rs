//! `ByLogicalTableRouter`: several tables to one topic, with the table in the key. `ToLogicalTopicRouter` is its name after
//! Debezium 3.6.

use super::options::{OptionError, Options};
use super::pattern::{Pattern, Replacement};
use super::schema_cache::SchemaCache;
use super::value::{Nulls, StructRef, Typed, Value};
use super::{Record, Side, Transform, TransformError};
use crate::schema::{Kind, Schema};

pub(crate) const OPTIONS: &[&str] = &[
    "topic.regex",
    "topic.replacement",
    "key.enforce.uniqueness",
    "key.field.name",
    "key.field.regex",
    "key.field.replacement",
    "schema.name.adjustment.mode",
    "logical.table.cache.size",
];

pub(crate) const NEW_OPTIONS: &[&str] = &[
    "topic.regex",
    "topic.replacement",
    "key.enforce.uniqueness",
    "key.field.name",
    "key.field.regex",
    "key.field.replacement",
    "schema.name.adjustment.mode",
    "logical.destination.cache.size",
];

#[derive(Debug, Clone)]
struct ByLogicalTableRouter {
    topic: (Pattern, Replacement),
    /// The key's additional field, if keys get one.
    key_field: Option<String>,
    /// What its value is made by; without it, it is the old topic.
    table: Option<(Pattern, Replacement)>,
    adjust: fn(&str) -> String,
    keys: SchemaCache,
    rows: SchemaCache,
    envelopes: SchemaCache,
}

pub(crate) fn make(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    router(options, "__dbz__physicalTableIdentifier")
}

pub(crate) fn make_new(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    router(options, "__dbz__sourceIdentifier")
}

fn router(options: &Options<'_>, key_field: &str) -> Result<Box<dyn Transform>, OptionError> {
    let pair = |regex: &str, replacement: &str| -> Result<(Pattern, Replacement), OptionError> {
        let pattern = Pattern::new(&options.key(regex), options.required(regex)?)?;
        let text = options.required(replacement)?;
        let replacement = Replacement::new(&options.key(replacement), text, &pattern)?;
        Ok((pattern, replacement))
    };
    let table = match options.text("key.field.regex") {
        None => None,
        Some(_) => Some(pair("key.field.regex", "key.field.replacement")?),
    };
    let key_field = options.text("key.field.name").unwrap_or(key_field);
    let is_unique = options.boolean("key.enforce.uniqueness", true)?;
    Ok(Box::new(ByLogicalTableRouter {
        topic: pair("topic.regex", "topic.replacement")?,
        key_field: is_unique.then(|| key_field.to_owned()),
        table,
        adjust: options.choice(
            "schema.name.adjustment.mode",
            &[("none", str::to_owned as fn(&str) -> String), ("avro", avro_name)],
        )?,
        keys: SchemaCache::default(),
        rows: SchemaCache::default(),
        envelopes: SchemaCache::default(),
    }))
}

/// What an Avro name cannot hold becomes `_`.
fn avro_name(name: &str) -> String {
    let adjust = |(index, c): (usize, char)| match c {
        'A'..='Z' | 'a'..='z' | '_' => c,
        '0'..='9' | '.' if index > 0 => c,
        _ => '_',
    };
    name.chars().enumerate().map(adjust).collect()
}

impl Transform for ByLogicalTableRouter {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        let Some(topic) =
            self.topic.0.replace(&record.topic, &self.topic.1).filter(|topic| !topic.is_empty())
        else {
            return Ok(Some(record));
        };
        if !record.key.value.is_null() {
            record.key = self.key(&record, &topic)?;
        } else {
            record.key = Typed::default();
        }
        if !record.value.value.is_null() && record.is_envelope() {
            record.value = self.envelope(&record.value, &topic)?;
        }
        record.topic = topic;
        Ok(Some(record))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

impl ByLogicalTableRouter {
    fn key(&mut self, record: &Record, topic: &str) -> Result<Typed, TransformError> {
        let old = record.key.as_struct("updating schema")?;
        let (field, adjust) = (&self.key_field, self.adjust);
        let schema = self.keys.of(old.schema, || {
            let mut fields = old.fields.to_vec();
            fields.extend(field.as_ref().map(|name| Schema::new(Kind::String).field(name)));
            renamed(old.schema, Kind::Struct(fields), adjust(&format!("{topic}.Key")))
        });
        let mut values = old.values(Nulls::Default);
        if self.key_field.is_some() {
            let table = self.table.as_ref().and_then(|(pattern, by)| pattern.replace(&record.topic, by));
            values.push(Value::String(table.unwrap_or_else(|| record.topic.clone())));
        }
        Ok(Typed::new(schema, Value::Struct(values)))
    }

    fn envelope(&mut self, old: &Typed, topic: &str) -> Result<Typed, TransformError> {
        let old = old.as_struct("updating schema")?;
        let is_row = |name: &str| matches!(name, "before" | "after");
        let Some((row, _)) = old.field("before").or_else(|| old.field("after")) else {
            return Err(TransformError::new("the event has no row"));
        };
        let adjust = self.adjust;
        let row = self.rows.of(old.schema, || {
            renamed(&row.schema, row.schema.kind.clone(), adjust(&format!("{topic}.Value")))
        });
        let schema = self.envelopes.of(old.schema, || {
            let fields = old.fields.iter().map(|field| match is_row(&field.name) {
                true => Schema::clone(&row).field(&field.name),
                false => field.clone(),
            });
            renamed(old.schema, Kind::Struct(fields.collect()), adjust(&format!("{topic}.Envelope")))
        });
        let values = old.iter().map(|(field, value)| {
            let value = Nulls::Default.get(&field.schema, value);
            match (&field.schema.kind, &value) {
                (Kind::Struct(fields), Value::Struct(values)) if is_row(&field.name) => {
                    // As they are, where other routers put defaults: seen in Debezium 3.6.3.
                    Value::Struct(StructRef { schema: &row, fields, values }.values(Nulls::Keep))
                }
                _ => value,
            }
        });
        Ok(Typed::new(schema, Value::Struct(values.collect())))
    }
}

/// The same schema with other fields and another name.
fn renamed(schema: &Schema, kind: Kind, name: String) -> Schema {
    Schema {
        kind,
        optional: schema.optional,
        name: Some(name.into()),
        version: schema.version,
        doc: schema.doc.clone(),
        parameters: schema.parameters.clone(),
        default: None,
    }
}
