//! `TimestampConverter`: timestamps as text, numbers, Date, Time or Timestamp.

use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::simple_date_format::DateFormat;
use super::value::{Nulls, Typed, Value, basics};
use super::{Record, Side, Transform, TransformError};
use crate::schema::{Kind, Schema};

pub(crate) const OPTIONS: &[&str] =
    &["field", "target.type", "format", "unix.precision", "replace.null.with.default"];

const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone)]
struct TimestampConverter {
    side: Side,
    field: String,
    target: Form,
    format: Option<DateFormat>,
    /// How many units of `unix` are a millisecond, or milliseconds a unit.
    precision: Precision,
    nulls: Nulls,
    schemas: SchemaCache,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Unix,
    Date,
    Time,
    Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

pub(crate) fn make(options: &Options<'_>, side: Side) -> Result<Box<dyn Transform>, OptionError> {
    options.required("target.type")?;
    let target = options.choice(
        "target.type",
        &[
            ("string", Form::Text),
            ("unix", Form::Unix),
            ("Date", Form::Date),
            ("Time", Form::Time),
            ("Timestamp", Form::Timestamp),
        ],
    )?;
    let format = match options.text("format") {
        None if target == Form::Text => {
            return Err(options.error("format", "is required with target.type=string and missing"));
        }
        None => None,
        Some(text) => Some(DateFormat::new(text).map_err(|problem| options.error("format", problem))?),
    };
    Ok(Box::new(TimestampConverter {
        side,
        field: options.text("field").unwrap_or_default().to_owned(),
        target,
        format,
        precision: options.choice(
            "unix.precision",
            &[
                ("milliseconds", Precision::Milliseconds),
                ("seconds", Precision::Seconds),
                ("microseconds", Precision::Microseconds),
                ("nanoseconds", Precision::Nanoseconds),
            ],
        )?,
        nulls: Nulls::new(options.boolean("replace.null.with.default", true)?),
        schemas: SchemaCache::default(),
    }))
}

impl Form {
    fn of(schema: &Schema) -> Result<Self, TransformError> {
        match (schema.name.as_deref(), &schema.kind) {
            (Some("org.apache.kafka.connect.data.Timestamp"), _) => Ok(Form::Timestamp),
            (Some("org.apache.kafka.connect.data.Date"), _) => Ok(Form::Date),
            (Some("org.apache.kafka.connect.data.Time"), _) => Ok(Form::Time),
            (_, Kind::String) => Ok(Form::Text),
            (_, Kind::Int64) => Ok(Form::Unix),
            _ => Err(TransformError::new(
                "its type is none that timestamps have (string, int64, Date, Time, Timestamp)",
            )),
        }
    }

    fn schema(self, optional: bool) -> Schema {
        let schema = match self {
            Form::Text => Schema::new(Kind::String),
            Form::Unix => Schema::new(Kind::Int64),
            Form::Date => Schema::new(Kind::Int32).named("org.apache.kafka.connect.data.Date"),
            Form::Time => Schema::new(Kind::Int32).named("org.apache.kafka.connect.data.Time"),
            Form::Timestamp => Schema::new(Kind::Int64).named("org.apache.kafka.connect.data.Timestamp"),
        };
        schema.optional(optional)
    }
}

impl TimestampConverter {
    fn convert(&self, form: Form, value: &Value) -> Result<Value, TransformError> {
        let milliseconds = match (form, value) {
            (_, Value::Null) => return Ok(Value::Null),
            (Form::Text, Value::String(text)) => {
                let format = self.format.as_ref().ok_or_else(|| {
                    TransformError::new("the field is text, and there is no format to read it")
                })?;
                format.parse(text).ok_or_else(|| TransformError::new("the text is not of the format"))?
            }
            (Form::Unix, Value::Int(value)) => match self.precision {
                Precision::Seconds => value.saturating_mul(1000),
                Precision::Milliseconds => *value,
                Precision::Microseconds => value / 1000,
                Precision::Nanoseconds => value / 1_000_000,
            },
            (Form::Date, Value::Int(days)) => days.saturating_mul(DAY_MS),
            (Form::Time | Form::Timestamp, Value::Int(value)) => *value,
            _ => return Err(TransformError::new("its value is no timestamp")),
        };
        Ok(match (self.target, &self.format) {
            (Form::Text, Some(format)) => Value::String(format.format(milliseconds)),
            (Form::Text, None) => Value::Null,
            (Form::Unix, _) => Value::Int(match self.precision {
                Precision::Seconds => milliseconds / 1000,
                Precision::Milliseconds => milliseconds,
                Precision::Microseconds => milliseconds.saturating_mul(1000),
                Precision::Nanoseconds => milliseconds.saturating_mul(1_000_000),
            }),
            (Form::Date, _) => Value::Int(milliseconds.div_euclid(DAY_MS)),
            (Form::Time, _) => Value::Int(milliseconds.rem_euclid(DAY_MS)),
            (Form::Timestamp, _) => Value::Int(milliseconds),
        })
    }

    fn whole(&mut self, old: &Typed) -> Result<Typed, TransformError> {
        let Some(schema) = &old.schema else {
            return match old.value {
                Value::Null => Ok(old.clone()),
                _ => Err(TransformError::new("the record has no schema that says what it is")),
            };
        };
        let value = self.convert(Form::of(schema)?, &old.value)?;
        let target = self.target;
        Ok(Typed::new(self.schemas.of(schema, || target.schema(schema.optional)), value))
    }

    fn schema(&self, old: &Schema) -> Schema {
        let fields = old.fields().iter().map(|field| match field.name == self.field {
            true => self.target.schema(field.schema.optional).field(&field.name),
            false => field.clone(),
        });
        Schema { optional: old.optional, ..basics(old, Kind::Struct(fields.collect())) }
    }
}

impl Transform for TimestampConverter {
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError> {
        let old = self.side.of(&record).clone();
        if self.field.is_empty() {
            let typed = self.whole(&old)?;
            return Ok(Some(self.side.with(record, typed)));
        }
        let Some(schema) = &old.schema else {
            return match old.value {
                Value::Null => Ok(Some(record)),
                _ => old.as_struct("converting timestamp formats").map(|_| None),
            };
        };
        let mut schemas = std::mem::take(&mut self.schemas);
        let converted = schemas.of(schema, || self.schema(schema));
        self.schemas = schemas;
        let value = match old.value.is_null() {
            true => Value::Null,
            false => {
                let row = old.as_struct("converting timestamp formats")?;
                let mut values = Vec::with_capacity(row.values.len());
                for (field, value) in row.iter() {
                    let value = self.nulls.get(&field.schema, value);
                    values.push(match field.name == self.field {
                        true => Form::of(&field.schema)
                            .and_then(|form| self.convert(form, &value))
                            .map_err(|error| error.within(&field.name))?,
                        false => value,
                    });
                }
                Value::Struct(values)
            }
        };
        Ok(Some(self.side.with(record, Typed::new(converted, value))))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
