//! `HeaderFrom`: fields copied or moved to headers.

use std::sync::Arc;

use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::value::{Nulls, Typed, Value, basics};
use super::{Header, Record, Side, Transform, TransformError};
use crate::schema::Kind;

pub(crate) const OPTIONS: &[&str] = &["fields", "headers", "operation", "replace.null.with.default"];

#[derive(Debug, Clone)]
struct HeaderFrom {
    side: Side,
    /// Field and header.
    names: Vec<(String, String)>,
    moves: bool,
    nulls: Nulls,
    schemas: SchemaCache,
}

pub(crate) fn make(options: &Options<'_>, side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let (fields, headers) = (options.required_list("fields")?, options.required_list("headers")?);
    if fields.len() != headers.len() {
        return Err(options.error("headers", "does not have as many names as fields"));
    }
    options.required("operation")?;
    Ok(Box::new(HeaderFrom {
        side,
        names: fields.into_iter().zip(headers).collect(),
        moves: options.choice("operation", &[("move", true), ("copy", false)])?,
        nulls: Nulls::new(options.boolean("replace.null.with.default", true)?),
        schemas: SchemaCache::default(),
    }))
}

impl Transform for HeaderFrom {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        let old = self.side.of(&record).clone();
        if old.schema.is_none()
            && let Value::Map(entries) = &old.value
        {
            return Ok(Some(self.of_map(record, entries)));
        }
        let row = old.as_struct(if self.moves { "header move" } else { "header copy" })?;
        for (name, header) in &self.names {
            let (field, value) =
                row.field(name).ok_or_else(|| TransformError::new(format!("there is no field {name}")))?;
            let value = Typed::new(Arc::new(field.schema.clone()), self.nulls.get(&field.schema, value));
            record.headers.push(Header { name: header.clone(), value });
        }
        if !self.moves {
            return Ok(Some(record));
        }
        let names = &self.names;
        let stays = |name: &str| !names.iter().any(|(field, _)| field == name);
        let schema = self.schemas.of(row.schema, || {
            let kept = row.fields.iter().filter(|field| stays(&field.name));
            basics(row.schema, Kind::Struct(kept.cloned().collect()))
        });
        let kept = row.iter().filter(|(field, _)| stays(&field.name));
        let values = kept.map(|(field, value)| self.nulls.get(&field.schema, value)).collect();
        Ok(Some(self.side.with(record, Typed::new(schema, Value::Struct(values)))))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

impl HeaderFrom {
    fn of_map(&self, mut record: Record, entries: &[(Value, Value)]) -> Record {
        let mut left = entries.to_vec();
        for (name, header) in &self.names {
            let found = entries.iter().find(|(key, _)| key.as_str() == Some(name));
            let value = found.map(|(_, value)| value.clone()).unwrap_or_default();
            record.headers.push(Header { name: header.clone(), value: Typed { schema: None, value } });
            left.retain(|(key, _)| !self.moves || key.as_str() != Some(name));
        }
        self.side.with(record, Typed { schema: None, value: Value::Map(left) })
    }
}
