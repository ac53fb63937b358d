//! `ExtractField`: one field instead of the whole.

use std::sync::Arc;

use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::value::{Nulls, Typed, Value};
use super::{Record, Side, Transform, TransformError};
use crate::schema::Schema;

pub(crate) const OPTIONS: &[&str] = &["field", "field.syntax.version", "replace.null.with.default"];

#[derive(Debug, Clone)]
struct ExtractField {
    side: Side,
    /// One name, or the steps of a path (`field.syntax.version=V2`).
    path: Vec<String>,
    nulls: Nulls,
    schemas: SchemaCache,
}

pub(crate) fn make(options: &Options<'_>, side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let field = options.required("field")?;
    let is_path = options.choice("field.syntax.version", &[("V1", false), ("V2", true)])?;
    let path = match is_path {
        false => vec![field.to_owned()],
        true => steps(field).map_err(|problem| options.error("field", problem))?,
    };
    let nulls = Nulls::new(options.boolean("replace.null.with.default", true)?);
    Ok(Box::new(ExtractField { side, path, nulls, schemas: SchemaCache::default() }))
}

/// The steps of a path: names between dots, in backticks where they hold dots themselves.
fn steps(path: &str) -> Result<Vec<String>, String> {
    let mut steps = Vec::new();
    let mut rest = path;
    loop {
        let (step, behind) = match rest.strip_prefix('`') {
            Some(quoted) => quoted.split_once('`').ok_or("has a backtick that nothing closes")?,
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        if step.is_empty() {
            return Err(format!("'{path}' has an empty step"));
        }
        steps.push(step.to_owned());
        match behind.strip_prefix('.') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Ok(steps),
            None => return Err(format!("'{path}' has text behind a closing backtick")),
        }
    }
}

impl ExtractField {
    fn schema(&self, whole: &Schema) -> Result<Schema, TransformError> {
        let mut schema = whole;
        for step in &self.path {
            let field = schema.fields().iter().find(|field| &field.name == step);
            schema = field
                .map(|field| &field.schema)
                .ok_or_else(|| TransformError::new(format!("unknown field: {}", self.path.join("."))))?;
        }
        Ok(schema.clone())
    }

    fn value(&self, schema: &Schema, value: &Value) -> Value {
        let (mut schema, mut value) = (schema, value.clone());
        for step in &self.path {
            let place = schema.fields().iter().position(|field| &field.name == step);
            let (Some(place), Value::Struct(values)) = (place, value) else { return Value::Null };
            let Some(field) = schema.fields().get(place) else { return Value::Null };
            value = self.nulls.get(&field.schema, values.get(place).unwrap_or(&Value::Null));
            schema = &field.schema;
        }
        value
    }

    fn of_map(&self, value: &Value) -> Value {
        let mut value = value.clone();
        for step in &self.path {
            let Value::Map(entries) = value else { return Value::Null };
            let found = entries.into_iter().find(|(key, _)| key.as_str() == Some(step));
            value = found.map(|(_, value)| value).unwrap_or_default();
        }
        value
    }
}

impl Transform for ExtractField {
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError> {
        let old = self.side.of(&record);
        let typed = match &old.schema {
            None => match &old.value {
                Value::Null | Value::Map(_) => Typed { schema: None, value: self.of_map(&old.value) },
                _ => old.as_struct("field extraction").map(|_| Typed::default())?,
            },
            Some(schema) => {
                if !old.value.is_null() {
                    old.as_struct("field extraction")?;
                }
                let mut schemas = std::mem::take(&mut self.schemas);
                let extracted = schemas.get(schema, || self.schema(schema));
                self.schemas = schemas;
                Typed::new(extracted?, self.value(&Arc::clone(schema), &old.value))
            }
        };
        Ok(Some(self.side.with(record, typed)))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_keep_dots_in_a_step() {
        assert_eq!(steps("a.b").unwrap(), ["a", "b"]);
        assert_eq!(steps("`a.b`.c").unwrap(), ["a.b", "c"]);
        for wrong in ["", "a.", "`a", "`a`b"] {
            assert!(steps(wrong).is_err(), "{wrong}");
        }
    }
}
