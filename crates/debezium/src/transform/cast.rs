//! `Cast`: other types for fields or for the whole.

use std::sync::Arc;

use num_bigint::BigInt;

use super::options::{OptionError, Options};
use super::schema_cache::SchemaCache;
use super::text::plain;
use super::value::{Nulls, Typed, Value, basics};
use super::{Record, Side, Transform, TransformError};
use crate::schema::{Field, Kind, Schema};
use crate::value::Literal;

pub(crate) const OPTIONS: &[&str] = &["spec", "replace.null.with.default"];

#[derive(Debug, Clone)]
struct Cast {
    side: Side,
    spec: Spec,
    nulls: Nulls,
    schemas: SchemaCache,
}

#[derive(Debug, Clone)]
enum Spec {
    Whole(Kind),
    Fields(Vec<(String, Kind)>),
}

pub(crate) fn make(options: &Options<'_>, side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let mut fields = Vec::new();
    let mut whole = None;
    let list = options.required_list("spec")?;
    for text in &list {
        let kind = |name: &str| kind(name).map_err(|problem| options.error("spec", problem));
        match text.split(':').collect::<Vec<_>>()[..] {
            [name] => whole = Some(kind(name)?),
            [field, name] => fields.push((field.trim().to_owned(), kind(name)?)),
            _ => return Err(options.error("spec", format!("'{text}' is not field:type"))),
        }
    }
    let spec = match whole {
        None => Spec::Fields(fields),
        Some(kind) if list.len() == 1 => Spec::Whole(kind),
        Some(_) => {
            return Err(options.error("spec", "names a type for the whole value and more beside it"));
        }
    };
    let nulls = Nulls::new(options.boolean("replace.null.with.default", true)?);
    Ok(Box::new(Cast { side, spec, nulls, schemas: SchemaCache::default() }))
}

fn kind(name: &str) -> Result<Kind, String> {
    Ok(match name.trim().to_ascii_lowercase().as_str() {
        "int8" => Kind::Int8,
        "int16" => Kind::Int16,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "float32" => Kind::Float32,
        "float64" => Kind::Float64,
        "boolean" => Kind::Boolean,
        "string" => Kind::String,
        other => {
            return Err(format!(
                "'{other}' is not one of int8, int16, int32, int64, float32, float64, boolean, string"
            ));
        }
    })
}

impl Transform for Cast {
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError> {
        let old = self.side.of(&record);
        let Some(schema) = old.schema.as_ref().filter(|_| !old.value.is_null()) else {
            return Ok(Some(record));
        };
        let typed = match &self.spec {
            Spec::Whole(kind) => {
                let value = cast(schema, &old.value, kind)?;
                let schema = self.schemas.get(schema, || {
                    let default = default(schema, kind)?;
                    Ok::<_, TransformError>(Schema {
                        default,
                        ..basics(schema, kind.clone()).optional(schema.optional)
                    })
                })?;
                Typed::new(schema, value)
            }
            Spec::Fields(casts) => {
                let row = old.as_struct("cast types")?;
                let target =
                    |field: &Field| casts.iter().find(|(name, _)| *name == field.name).map(|(_, kind)| kind);
                let schema = self.schemas.get(row.schema, || fields(row.schema, row.fields, target))?;
                let mut values = Vec::with_capacity(row.values.len());
                for (field, value) in row.iter() {
                    let value = self.nulls.get(&field.schema, value);
                    values.push(match target(field) {
                        Some(kind) => {
                            cast(&field.schema, &value, kind).map_err(|error| error.within(&field.name))?
                        }
                        None => value,
                    });
                }
                Typed::new(schema, Value::Struct(values))
            }
        };
        Ok(Some(self.side.with(record, typed)))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

fn fields<'a>(
    schema: &Arc<Schema>,
    fields: &[Field],
    target: impl Fn(&Field) -> Option<&'a Kind>,
) -> Result<Schema, TransformError> {
    let cast = fields.iter().map(|field| match target(field) {
        None => Ok(field.clone()),
        Some(kind) => {
            let default = default(&field.schema, kind)?;
            let schema = Schema { default, ..Schema::new(kind.clone()).optional(field.schema.optional) };
            Ok(schema.field(&field.name))
        }
    });
    let cast = cast.collect::<Result<Vec<_>, TransformError>>()?;
    Ok(Schema { optional: schema.optional, ..basics(schema, Kind::Struct(cast)) })
}

fn default(schema: &Schema, kind: &Kind) -> Result<Option<Literal>, TransformError> {
    let Some(default) = &schema.default else { return Ok(None) };
    Ok(match cast(schema, &default.into(), kind)? {
        Value::Boolean(value) => Some(Literal::Boolean(value)),
        Value::Int(value) => Some(Literal::Int(value)),
        Value::Float32(value) => Some(Literal::Float32(value)),
        Value::Float64(value) => Some(Literal::Float64(value)),
        Value::String(value) => Some(Literal::String(value)),
        _ => None,
    })
}

/// A value as another type, by the rules of Java's number classes.
fn cast(schema: &Schema, value: &Value, kind: &Kind) -> Result<Value, TransformError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    if matches!(value, Value::Array(_) | Value::Map(_) | Value::Struct(_)) {
        return Err(TransformError::new("arrays, maps and structs cannot be cast"));
    }
    if *kind == Kind::String {
        return Ok(Value::String(plain(Some(schema), value)));
    }
    if let Value::String(text) = value {
        return parse(text, kind);
    }
    let number = match value {
        Value::Boolean(value) => Number::Integer(i64::from(*value)),
        Value::Int(value) => Number::Integer(*value),
        Value::Float32(value) => Number::Float(f64::from(*value)),
        Value::Float64(value) => Number::Float(*value),
        Value::Decimal(unscaled, scale) => Number::decimal(unscaled, *scale),
        _ => return Err(TransformError::new("bytes can be cast to string only")),
    };
    Ok(match kind {
        Kind::Int8 => Value::Int((number.int() as i8).into()),
        Kind::Int16 => Value::Int((number.int() as i16).into()),
        Kind::Int32 => Value::Int(number.int().into()),
        Kind::Int64 => Value::Int(number.long()),
        Kind::Float32 => Value::Float32(number.double() as f32),
        Kind::Float64 => Value::Float64(number.double()),
        _ => Value::Boolean(number.long() != 0),
    })
}

enum Number {
    Integer(i64),
    Float(f64),
    /// The integer's low 64 bits, and the nearest double.
    Decimal(i64, f64),
}

impl Number {
    fn decimal(unscaled: &[u8], scale: i32) -> Self {
        let unscaled = BigInt::from_signed_bytes_be(unscaled);
        let double = format!("{unscaled}e{}", -i64::from(scale)).parse().unwrap_or(f64::NAN);
        let power = BigInt::from(10).pow(scale.unsigned_abs());
        let integer = if scale >= 0 { unscaled / power } else { unscaled * power };
        let bytes = integer.to_signed_bytes_le();
        let fill = if integer.sign() == num_bigint::Sign::Minus { 0xff } else { 0 };
        let mut low = [fill; 8];
        low.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
        Number::Decimal(i64::from_le_bytes(low), double)
    }

    fn int(&self) -> i32 {
        match self {
            Number::Integer(value) | Number::Decimal(value, _) => *value as i32,
            Number::Float(value) => *value as i32,
        }
    }

    fn long(&self) -> i64 {
        match self {
            Number::Integer(value) | Number::Decimal(value, _) => *value,
            Number::Float(value) => *value as i64,
        }
    }

    fn double(&self) -> f64 {
        match self {
            Number::Integer(value) => *value as f64,
            Number::Float(value) | Number::Decimal(_, value) => *value,
        }
    }
}

fn parse(text: &str, kind: &Kind) -> Result<Value, TransformError> {
    let wrong = || TransformError::new("the text is no number in the range of the type");
    let integer = |least: i64, most: i64| {
        let value = text.parse::<i64>().ok().filter(|value| (least..=most).contains(value));
        value.map(Value::Int).ok_or_else(wrong)
    };
    match kind {
        Kind::Int8 => integer(i8::MIN.into(), i8::MAX.into()),
        Kind::Int16 => integer(i16::MIN.into(), i16::MAX.into()),
        Kind::Int32 => integer(i32::MIN.into(), i32::MAX.into()),
        Kind::Int64 => integer(i64::MIN, i64::MAX),
        Kind::Float32 => {
            java_float(text).and_then(|text| text.parse().ok()).map(Value::Float32).ok_or_else(wrong)
        }
        Kind::Float64 => {
            java_float(text).and_then(|text| text.parse().ok()).map(Value::Float64).ok_or_else(wrong)
        }
        _ => Ok(Value::Boolean(text.eq_ignore_ascii_case("true"))),
    }
}

/// Java allows blanks around a number and a type's letter behind it, and has its own words for what is no number.
fn java_float(text: &str) -> Option<&str> {
    let text = text.trim();
    let number = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let digits = number.trim_start_matches(['+', '-']);
    (digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || matches!(digits, "NaN" | "Infinity"))
        .then_some(number)
}
