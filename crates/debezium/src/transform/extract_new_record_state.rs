//! `ExtractNewRecordState`: the row instead of the envelope.

use std::sync::Arc;

use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::unwrap::{self, DELETED, Deletes, Reference, Tombstones, Unwrap};
use super::value::{Nulls, StructRef, Typed, Value, basics};
use super::{Header, Record, Resolve, Side, Transform, TransformError};
use crate::schema::{Field, Kind, Schema};

pub(crate) const OPTIONS: &[&str] = unwrap::OPTIONS;

#[derive(Debug, Clone)]
struct ExtractNewRecordState {
    options: Unwrap,
    before: SchemaCache,
    after: SchemaCache,
    marked: SchemaCache,
    extended: SchemaCache,
    dropped: [SchemaCache; 2],
    /// The fields that the schemas in `dropped` are without.
    dropped_names: Vec<String>,
}

pub(crate) fn make(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    Ok(Box::new(ExtractNewRecordState {
        options: Unwrap::new(options)?,
        before: SchemaCache::default(),
        after: SchemaCache::default(),
        marked: SchemaCache::default(),
        extended: SchemaCache::default(),
        dropped: Default::default(),
        dropped_names: Vec::new(),
    }))
}

impl Transform for ExtractNewRecordState {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        let is_tombstone = record.value.value.is_null();
        let is_envelope = record.is_envelope();
        if is_envelope || is_tombstone {
            self.add_headers(&mut record)?;
        }
        if is_tombstone {
            return Ok((self.options.tombstones == Tombstones::Keep).then_some(record));
        }
        if !is_envelope {
            return Ok(Some(record));
        }
        let event = record.value.clone();
        let event = event.as_struct("ExtractNewRecordState")?;
        let before = image(&event, "before", &mut self.before)?;
        let after = image(&event, "after", &mut self.after)?;
        match (before.value.is_null(), after.value.is_null()) {
            // A truncate.
            (true, true) => Ok(None),
            (false, true) => self.deleted(record, &event, before, after),
            (_, false) => self.written(record, &event, after).map(Some),
        }
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }

    fn resolve(&self) -> Resolve<'_> {
        match (&self.options.route_by, &self.options.drop_fields) {
            (None, None) => Resolve::Unwrap(&self.options),
            _ => Resolve::No,
        }
    }
}

impl ExtractNewRecordState {
    fn written(
        &mut self,
        mut record: Record,
        event: &StructRef<'_>,
        row: Typed,
    ) -> Result<Record, TransformError> {
        record.value = if self.options.marks_deletes() { self.mark(row, "false")? } else { row };
        if let Some(topic) = self.route(&record.value)? {
            record.topic = topic;
        }
        record.value = self.extend(record.value, event)?;
        self.drop_fields(record)
    }

    fn deleted(
        &mut self,
        mut record: Record,
        event: &StructRef<'_>,
        before: Typed,
        after: Typed,
    ) -> Result<Option<Record>, TransformError> {
        let topic = self.route(&before);
        record.value = match self.options.deletes {
            Deletes::Drop => return Ok(None),
            Deletes::Null => after,
            Deletes::Tombstone => Typed::default(),
            Deletes::Rewrite => self.mark(before, "true")?,
        };
        if let Some(topic) = topic? {
            record.topic = topic;
        }
        record = self.drop_fields(record)?;
        if !record.value.value.is_null() {
            record.value = self.extend(record.value, event)?;
        }
        Ok(Some(record))
    }

    /// The topic that a column names; a blank one names none.
    fn route(&self, row: &Typed) -> Result<Option<String>, TransformError> {
        let Some(column) = &self.options.route_by else { return Ok(None) };
        let row = row.as_struct("route.by.field")?;
        let found = row.field(column).map(|(field, value)| Nulls::Default.get(&field.schema, value));
        match found {
            None => Err(TransformError::new(format!("route.by.field: there is no field {column}"))),
            Some(Value::String(topic)) => Ok(Some(topic).filter(|topic| !topic.trim().is_empty())),
            Some(Value::Null) => Ok(None),
            Some(_) => Err(TransformError::new(format!("route.by.field: field {column} is not text"))),
        }
    }

    fn mark(&mut self, row: Typed, deleted: &str) -> Result<Typed, TransformError> {
        let row = row.as_struct("field insertion")?;
        let schema = self.marked.get(row.schema, || {
            let mark = Schema::new(Kind::String).optional(true).field(DELETED);
            with_fields(row.schema, vec![mark])
        })?;
        let mut values = row.values(Nulls::new(self.options.replace_null));
        values.push(Value::String(deleted.to_owned()));
        Ok(Typed::new(schema, Value::Struct(values)))
    }

    fn extend(&mut self, row: Typed, event: &StructRef<'_>) -> Result<Typed, TransformError> {
        let row = row.as_struct("source field insertion")?;
        let fields = &self.options.fields;
        let schema = self.extended.get(row.schema, || {
            let added = fields.iter().filter_map(|reference| {
                find(reference, event).map(|(field, _)| optional(&field.schema).field(&reference.name))
            });
            with_fields(row.schema, added.collect())
        })?;
        let mut values = row.values(Nulls::Keep);
        values.extend(fields.iter().filter_map(|reference| find(reference, event)).map(|(_, value)| value));
        Ok(Typed::new(schema, Value::Struct(values)))
    }

    fn add_headers(&self, record: &mut Record) -> Result<(), TransformError> {
        if self.options.headers.is_empty() {
            return Ok(());
        }
        let mut added = Vec::new();
        if record.value.value.is_null() {
            let operations = self.options.headers.iter().filter(|reference| reference.field == "op");
            added.extend(
                operations
                    .map(|reference| Header { name: reference.name.clone(), value: Typed::string("d") }),
            );
        } else {
            let event = record.value.as_struct("add.headers")?;
            for reference in &self.options.headers {
                if let Some((field, value)) = find(reference, &event) {
                    let value = Typed::new(Arc::new(optional(&field.schema)), value);
                    added.push(Header { name: reference.name.clone(), value });
                }
            }
        }
        record.headers.extend(added);
        Ok(())
    }

    fn drop_fields(&mut self, mut record: Record) -> Result<Record, TransformError> {
        let Some(options) = &self.options.drop_fields else { return Ok(record) };
        let header = record.headers.iter().find(|header| header.name == options.header);
        let names: Vec<String> = match header.map(|header| &header.value.value) {
            None | Some(Value::Null) => return Ok(record),
            Some(Value::Array(names)) => {
                names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
            }
            Some(_) => {
                return Err(TransformError::new(format!("header {} is not a list of names", options.header)));
            }
        };
        if names != self.dropped_names {
            self.dropped = Default::default();
            self.dropped_names.clone_from(&names);
        }
        let [keys, values] = &mut self.dropped;
        let stays = |field: &Field| {
            !names.contains(&field.name) || options.keep_schema_compatible && !field.schema.optional
        };
        if options.from_key {
            record.key = without(record.key, stays, keys)?;
        }
        record.value = without(record.value, stays, values)?;
        Ok(record)
    }
}

/// A row image of an event with its schema.
fn image(event: &StructRef<'_>, name: &str, cache: &mut SchemaCache) -> Result<Typed, TransformError> {
    let (field, value) =
        event.field(name).ok_or_else(|| TransformError::new(format!("the event has no field {name}")))?;
    Ok(Typed::new(cache.of(event.schema, || field.schema.clone()), value.clone()))
}

/// The same struct, required and without a default, with more fields.
pub(crate) fn with_fields(schema: &Schema, added: Vec<Field>) -> Result<Schema, TransformError> {
    let mut fields = schema.fields().to_vec();
    for field in added {
        if fields.iter().any(|known| known.name == field.name) {
            return Err(TransformError::new(format!("field {} is there already", field.name))
                .hint("give the added field another name"));
        }
        fields.push(field);
    }
    Ok(basics(schema, Kind::Struct(fields)))
}

fn without(
    typed: Typed,
    stays: impl Fn(&Field) -> bool,
    cache: &mut SchemaCache,
) -> Result<Typed, TransformError> {
    if typed.value.is_null() {
        return Ok(typed);
    }
    let old = typed.as_struct("drop.fields")?;
    if old.fields.iter().all(&stays) {
        return Ok(typed);
    }
    let schema = cache.of(old.schema, || {
        basics(old.schema, Kind::Struct(old.fields.iter().filter(|field| stays(field)).cloned().collect()))
    });
    let values = old.iter().filter(|(field, _)| stays(field));
    let values = values.map(|(field, value)| Nulls::Default.get(&field.schema, value)).collect();
    Ok(Typed::new(schema, Value::Struct(values)))
}

/// A field of the envelope's structs, or else of the envelope itself.
fn find<'a>(reference: &Reference, event: &StructRef<'a>) -> Option<(&'a Field, Value)> {
    if let Some(parent) = &reference.parent {
        let (parent, value) = event.field(parent)?;
        let place = parent.schema.fields().iter().position(|field| field.name == reference.field);
        if let Some(place) = place {
            let value = match value {
                Value::Struct(values) => values.get(place).cloned().unwrap_or_default(),
                _ => Value::Null,
            };
            return parent.schema.fields().get(place).map(|field| (field, value));
        }
    }
    event.field(&reference.field).map(|(field, value)| (field, value.clone()))
}

fn optional(schema: &Schema) -> Schema {
    basics(schema, schema.kind.clone()).optional(true)
}
