//! `Flatten`: nested structs as fields with joined names.

use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::value::{Nulls, Typed, Value, basics};
use super::{Record, Side, Transform, TransformError};
use crate::schema::{Field, Kind, Schema};
use crate::value::Literal;

pub(crate) const OPTIONS: &[&str] = &["delimiter"];

#[derive(Debug, Clone)]
struct Flatten {
    side: Side,
    delimiter: String,
    schemas: SchemaCache,
}

pub(crate) fn make(options: &Options<'_>, side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let delimiter = options.raw("delimiter").unwrap_or(".").to_owned();
    Ok(Box::new(Flatten { side, delimiter, schemas: SchemaCache::default() }))
}

impl Transform for Flatten {
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError> {
        let old = self.side.of(&record);
        // Also without a schema: a tombstone passes.
        if old.value.is_null() {
            return Ok(Some(record));
        }
        if old.schema.is_none()
            && let Value::Map(entries) = &old.value
        {
            let mut flat = Vec::new();
            flatten_map(entries, "", &self.delimiter, &mut flat);
            let typed = Typed { schema: None, value: Value::Map(flat) };
            return Ok(Some(self.side.with(record, typed)));
        }
        let row = old.as_struct("flattening")?;
        let delimiter = &self.delimiter;
        let schema = self.schemas.get(row.schema, || {
            let mut fields = Vec::new();
            flatten_schema(row.schema, "", delimiter, row.schema.optional, &mut fields)?;
            Ok::<_, TransformError>(basics(row.schema, Kind::Struct(fields)))
        })?;
        let mut values = Vec::with_capacity(schema.fields().len());
        flatten_value(row.schema, &old.value, &mut values);
        Ok(Some(self.side.with(record, Typed::new(schema, Value::Struct(values)))))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

fn joined(prefix: &str, delimiter: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}{delimiter}{name}") }
}

fn flatten_schema(
    schema: &Schema,
    prefix: &str,
    delimiter: &str,
    optional: bool,
    into: &mut Vec<Field>,
) -> Result<(), TransformError> {
    for field in schema.fields() {
        let name = joined(prefix, delimiter, &field.name);
        let optional = optional || field.schema.optional;
        if matches!(field.schema.kind, Kind::Struct(_)) {
            flatten_schema(&field.schema, &name, delimiter, optional, into)?;
            continue;
        }
        if matches!(field.schema.kind, Kind::Map(..)) {
            return Err(TransformError::new(format!("field {name} is a map, which cannot be flattened")));
        }
        if into.iter().any(|known| known.name == name) {
            return Err(TransformError::new(format!("field {name} is there already")));
        }
        let default: Option<Literal> = field.schema.default.clone();
        let flat = Schema { default, ..basics(&field.schema, field.schema.kind.clone()).optional(optional) };
        into.push(Field { name, schema: flat });
    }
    Ok(())
}

/// Values of all leaves; those below a null are null.
fn flatten_value(schema: &Schema, value: &Value, into: &mut Vec<Value>) {
    let values = match value {
        Value::Struct(values) => values.as_slice(),
        _ => &[],
    };
    for (place, field) in schema.fields().iter().enumerate() {
        let value = values.get(place);
        match &field.schema.kind {
            Kind::Struct(_) => flatten_value(&field.schema, value.unwrap_or(&Value::Null), into),
            _ => into.push(value.map(|value| Nulls::Default.get(&field.schema, value)).unwrap_or_default()),
        }
    }
}

fn flatten_map(entries: &[(Value, Value)], prefix: &str, delimiter: &str, into: &mut Vec<(Value, Value)>) {
    for (key, value) in entries {
        let name = joined(prefix, delimiter, key.as_str().unwrap_or_default());
        match value {
            Value::Map(entries) => flatten_map(entries, &name, delimiter, into),
            value => into.push((Value::String(name), value.clone())),
        }
    }
}
