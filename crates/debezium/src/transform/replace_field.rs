//! `ReplaceField`: drops, keeps and renames fields.

use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::value::{Nulls, Typed, Value, basics};
use super::{Record, Side, Transform, TransformError};
use crate::schema::{Field, Kind};

pub(crate) const OPTIONS: &[&str] =
    &["exclude", "include", "renames", "replace.null.with.default", "blacklist", "whitelist"];

#[derive(Debug, Clone)]
struct ReplaceField {
    side: Side,
    exclude: Vec<String>,
    include: Vec<String>,
    renames: Vec<(String, String)>,
    nulls: Nulls,
    schemas: SchemaCache,
}

pub(crate) fn make(options: &Options<'_>, side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let list = |name: &str, old: &str| match options.list(name) {
        list if list.is_empty() => {
            let list = options.list(old);
            if !list.is_empty() {
                tracing::warn!("{} is deprecated: use {name}", options.key(old));
            }
            list
        }
        list => list,
    };
    let rename = |text: &String| match text.split(':').collect::<Vec<_>>()[..] {
        [from, to] => Ok((from.to_owned(), to.to_owned())),
        _ => Err(options.error("renames", format!("'{text}' is not old:new"))),
    };
    Ok(Box::new(ReplaceField {
        side,
        exclude: list("exclude", "blacklist"),
        include: list("include", "whitelist"),
        renames: options.list("renames").iter().map(rename).collect::<Result<_, _>>()?,
        nulls: Nulls::new(options.boolean("replace.null.with.default", true)?),
        schemas: SchemaCache::default(),
    }))
}

impl ReplaceField {
    fn stays(&self, name: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|listed| listed == name);
        !is_in(&self.exclude) && (self.include.is_empty() || is_in(&self.include))
    }

    fn renamed<'a>(&'a self, name: &'a str) -> &'a str {
        self.renames.iter().find(|(from, _)| from == name).map_or(name, |(_, to)| to)
    }
}

impl Transform for ReplaceField {
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError> {
        let old = self.side.of(&record);
        if old.value.is_null() {
            return Ok(Some(record));
        }
        if old.schema.is_none()
            && let Value::Map(entries) = &old.value
        {
            let name = |key: &Value| key.as_str().unwrap_or_default().to_owned();
            let kept = entries.iter().filter(|(key, _)| self.stays(&name(key)));
            let entries =
                kept.map(|(key, value)| (Value::String(self.renamed(&name(key)).to_owned()), value.clone()));
            let typed = Typed { schema: None, value: Value::Map(entries.collect()) };
            return Ok(Some(self.side.with(record, typed)));
        }
        let row = old.as_struct("field replacement")?;
        let mut schemas = std::mem::take(&mut self.schemas);
        let schema = schemas.of(row.schema, || {
            let kept = row.fields.iter().filter(|field| self.stays(&field.name));
            let fields = kept.map(|field| Field {
                name: self.renamed(&field.name).to_owned(),
                schema: field.schema.clone(),
            });
            basics(row.schema, Kind::Struct(fields.collect()))
        });
        self.schemas = schemas;
        let kept = row.iter().filter(|(field, _)| self.stays(&field.name));
        let values = kept.map(|(field, value)| self.nulls.get(&field.schema, value)).collect();
        Ok(Some(self.side.with(record, Typed::new(schema, Value::Struct(values)))))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
