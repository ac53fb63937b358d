//! `HoistField`: the whole as the only field of a struct.

use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::value::{Typed, Value};
use super::{Record, Side, Transform, TransformError};
use crate::schema::{Field, Schema};

pub(crate) const OPTIONS: &[&str] = &["field"];

#[derive(Debug, Clone)]
struct HoistField {
    side: Side,
    field: String,
    schemas: SchemaCache,
}

pub(crate) fn make(options: &Options<'_>, side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let field = options.required("field")?.to_owned();
    Ok(Box::new(HoistField { side, field, schemas: SchemaCache::default() }))
}

impl Transform for HoistField {
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError> {
        let old = self.side.of(&record);
        let typed = match &old.schema {
            None => Typed {
                schema: None,
                value: Value::Map(vec![(Value::String(self.field.clone()), old.value.clone())]),
            },
            Some(schema) => {
                let hoisted = self.schemas.of(schema, || {
                    Schema::structure(vec![Field { name: self.field.clone(), schema: Schema::clone(schema) }])
                });
                Typed::new(hoisted, Value::Struct(vec![old.value.clone()]))
            }
        };
        Ok(Some(self.side.with(record, typed)))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
