//! `MaskField`: zeros, empty texts or a replacement instead of values.

use num_bigint::BigInt;

use super::options::{OptionError, Options};
use super::text::milliseconds;
use super::value::{Nulls, Typed, Value};
use super::{Record, Side, Transform, TransformError};
use crate::schema::{Kind, Schema};

pub(crate) const OPTIONS: &[&str] = &["fields", "replacement", "replace.null.with.default"];

#[derive(Debug, Clone)]
struct MaskField {
    side: Side,
    fields: Vec<String>,
    replacement: Option<String>,
    nulls: Nulls,
}

pub(crate) fn make(options: &Options<'_>, side: Side) -> Result<Box<dyn Transform>, OptionError> {
    if options.raw("replacement").is_some_and(str::is_empty) {
        return Err(options.error("replacement", "is empty"));
    }
    Ok(Box::new(MaskField {
        side,
        fields: options.required_list("fields")?,
        replacement: options.raw("replacement").map(str::to_owned),
        nulls: Nulls::new(options.boolean("replace.null.with.default", true)?),
    }))
}

impl Transform for MaskField {
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError> {
        let old = self.side.of(&record);
        let row = old.as_struct("mask fields")?;
        let mut values = Vec::with_capacity(row.values.len());
        for (field, value) in row.iter() {
            let value = self.nulls.get(&field.schema, value);
            let is_masked = self.fields.contains(&field.name) && !value.is_null();
            values.push(match (&self.replacement, is_masked) {
                (_, false) => value,
                (None, true) => zero(&field.schema).map_err(|error| error.within(&field.name))?,
                (Some(text), true) => {
                    replaced(&field.schema, text).map_err(|error| error.within(&field.name))?
                }
            });
        }
        let typed = Typed { schema: old.schema.clone(), value: Value::Struct(values) };
        Ok(Some(self.side.with(record, typed)))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

fn is_decimal(schema: &Schema) -> bool {
    schema.name.as_deref() == Some("org.apache.kafka.connect.data.Decimal")
}

/// The scale that a decimal's schema asks for.
fn scale(schema: &Schema) -> i32 {
    let parameter = schema.parameters.iter().find(|(name, _)| name == "scale");
    parameter.and_then(|(_, scale)| scale.parse().ok()).unwrap_or(0)
}

fn zero(schema: &Schema) -> Result<Value, TransformError> {
    Ok(match &schema.kind {
        Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => Value::Int(0),
        Kind::Float32 => Value::Float32(0.0),
        Kind::Float64 => Value::Float64(0.0),
        Kind::Boolean => Value::Boolean(false),
        Kind::String => Value::String(String::new()),
        Kind::Bytes if is_decimal(schema) => Value::Decimal(vec![0], scale(schema)),
        Kind::Array(_) => Value::Array(Vec::new()),
        Kind::Map(..) => Value::Map(Vec::new()),
        Kind::Bytes | Kind::Struct(_) => {
            return Err(TransformError::new("bytes and structs cannot be masked"));
        }
    })
}

fn replaced(schema: &Schema, text: &str) -> Result<Value, TransformError> {
    let wrong = || TransformError::new("the replacement is not a value of the field's type");
    let int = |least: i64, most: i64| -> Result<Value, TransformError> {
        let value: i64 = text.parse().map_err(|_| wrong())?;
        (least..=most).contains(&value).then_some(Value::Int(value)).ok_or_else(wrong)
    };
    if milliseconds(schema, 0).is_some() {
        return Err(TransformError::new("dates and times of Connect cannot be masked with a replacement"));
    }
    match &schema.kind {
        Kind::Int8 => int(i8::MIN.into(), i8::MAX.into()),
        Kind::Int16 => int(i16::MIN.into(), i16::MAX.into()),
        Kind::Int32 => int(i32::MIN.into(), i32::MAX.into()),
        Kind::Int64 => int(i64::MIN, i64::MAX),
        Kind::Float32 => text.parse().map(Value::Float32).map_err(|_| wrong()),
        Kind::Float64 => text.parse().map(Value::Float64).map_err(|_| wrong()),
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bytes if is_decimal(schema) => {
            let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
            let unscaled: BigInt = format!("{integer}{fraction}").parse().map_err(|_| wrong())?;
            // The schema's scale is part of the schema: a replacement of another scale would be read wrongly.
            if fraction.len() as i32 != scale(schema) {
                return Err(wrong());
            }
            Ok(Value::Decimal(unscaled.to_signed_bytes_be(), scale(schema)))
        }
        _ => Err(TransformError::new("a value of this type cannot be masked with a replacement")),
    }
}
