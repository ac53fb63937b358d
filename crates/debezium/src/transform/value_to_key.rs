//! `ValueToKey`: the key from fields of the value.

use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::value::{Nulls, Typed, Value};
use super::{Record, Side, Transform, TransformError};
use crate::schema::Schema;

pub(crate) const OPTIONS: &[&str] = &["fields", "replace.null.with.default"];

#[derive(Debug, Clone)]
struct ValueToKey {
    fields: Vec<String>,
    nulls: Nulls,
    schemas: SchemaCache,
}

pub(crate) fn make(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    Ok(Box::new(ValueToKey {
        fields: options.required_list("fields")?,
        nulls: Nulls::new(options.boolean("replace.null.with.default", true)?),
        schemas: SchemaCache::default(),
    }))
}

impl Transform for ValueToKey {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        if record.value.schema.is_none()
            && let Value::Map(entries) = &record.value.value
        {
            let of = |name: &String| {
                let found = entries.iter().find(|(key, _)| key.as_str() == Some(name));
                (Value::String(name.clone()), found.map(|(_, value)| value.clone()).unwrap_or_default())
            };
            record.key = Typed { schema: None, value: Value::Map(self.fields.iter().map(of).collect()) };
            return Ok(Some(record));
        }
        let row = record.value.as_struct("copying fields from value to key")?;
        let mut fields = Vec::new();
        let mut values = Vec::new();
        for name in &self.fields {
            let (field, value) = row
                .field(name)
                .ok_or_else(|| TransformError::new(format!("the value has no field {name}")))?;
            fields.push(field);
            values.push(self.nulls.get(&field.schema, value));
        }
        let schema = self.schemas.of(row.schema, || Schema::structure(fields.into_iter().cloned().collect()));
        record.key = Typed::new(schema, Value::Struct(values));
        Ok(Some(record))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
