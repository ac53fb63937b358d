//! `SetSchemaMetadata`: name and version of the schema.

use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::value::{Nulls, StructRef, Typed, Value};
use super::{Record, Side, Transform, TransformError};
use crate::schema::{Kind, Schema};

pub(crate) const OPTIONS: &[&str] = &["schema.name", "schema.version", "replace.null.with.default"];

#[derive(Debug, Clone)]
struct SetSchemaMetadata {
    side: Side,
    name: Option<String>,
    version: Option<i32>,
    nulls: Nulls,
    schemas: SchemaCache,
}

pub(crate) fn make(options: &Options<'_>, side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let version = match options.text("schema.version") {
        None => None,
        Some(text) => Some(
            text.parse().map_err(|_| options.error("schema.version", format!("'{text}' is not a number")))?,
        ),
    };
    let name = options.text("schema.name").map(str::to_owned);
    if name.is_none() && version.is_none() {
        return Err(options.error("schema.name", "neither a name nor a version is given"));
    }
    let nulls = Nulls::new(options.boolean("replace.null.with.default", true)?);
    Ok(Box::new(SetSchemaMetadata { side, name, version, nulls, schemas: SchemaCache::default() }))
}

impl Transform for SetSchemaMetadata {
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError> {
        let old = self.side.of(&record);
        let Some(schema) = &old.schema else {
            return match old.value {
                Value::Null => Ok(Some(record)),
                _ => Err(TransformError::new("the record has no schema to give a name to")),
            };
        };
        let renamed = self.schemas.of(schema, || {
            let mut renamed = Schema::clone(schema);
            if let Some(name) = &self.name {
                renamed.name = Some(name.clone().into());
            }
            renamed.version = self.version.or(renamed.version);
            renamed
        });
        let value = match (&schema.kind, &old.value) {
            (Kind::Struct(fields), Value::Struct(values)) => {
                Value::Struct(StructRef { schema, fields, values }.values(self.nulls))
            }
            (_, value) => value.clone(),
        };
        Ok(Some(self.side.with(record, Typed::new(renamed, value))))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
