//! What Connect's SimpleHeaderConverter makes of a value, and what Java prints of one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::value::{Nulls, Typed, Value};
use crate::format::header::java_date;
use crate::format::java;
use crate::schema::{Kind, Schema};

const DAY_MS: i64 = 86_400_000;

/// The bytes of a header; `None` for null.
pub fn header(typed: &Typed) -> Option<Vec<u8>> {
    match &typed.value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Bytes(bytes) => Some(STANDARD.encode(bytes).into_bytes()),
        value => {
            let mut out = String::new();
            append(typed.schema.as_deref(), value, &mut out);
            Some(out.into_bytes())
        }
    }
}

/// A single value as Java's `toString` prints it, dates as Connect prints them, bytes as base64.
pub(crate) fn plain(schema: Option<&Schema>, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bytes(bytes) => STANDARD.encode(bytes),
        value => {
            let mut out = String::new();
            append(schema, value, &mut out);
            out
        }
    }
}

/// What an integer of this schema means in milliseconds since 1970, if it is one of Connect's dates.
pub(crate) fn milliseconds(schema: &Schema, value: i64) -> Option<i64> {
    match schema.name.as_deref() {
        Some("org.apache.kafka.connect.data.Date") => Some(value.saturating_mul(DAY_MS)),
        Some("org.apache.kafka.connect.data.Time" | "org.apache.kafka.connect.data.Timestamp") => Some(value),
        _ => None,
    }
}

fn append(schema: Option<&Schema>, value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => match schema.and_then(|schema| milliseconds(schema, *value)) {
            Some(milliseconds) => out.push_str(&java_date(milliseconds)),
            None => out.push_str(itoa::Buffer::new().format(*value)),
        },
        Value::Float32(value) => float(|bytes| java::write_f32(bytes, *value), out),
        Value::Float64(value) => float(|bytes| java::write_f64(bytes, *value), out),
        Value::String(text) => quoted(text, out),
        Value::Bytes(bytes) => quoted(&STANDARD.encode(bytes), out),
        Value::Decimal(unscaled, scale) => out.push_str(&java::decimal(unscaled, *scale)),
        Value::Array(values) => {
            let items = match schema.map(|schema| &schema.kind) {
                Some(Kind::Array(items)) => Some(items.as_ref()),
                _ => None,
            };
            list(('[', ']'), values, out, |value, out| append(items, value, out));
        }
        Value::Map(entries) => list(('{', '}'), entries, out, |(key, value), out| {
            append(None, key, out);
            out.push(':');
            append(None, value, out);
        }),
        Value::Struct(values) => {
            let fields = schema.map(Schema::fields).unwrap_or_default();
            let members: Vec<_> = fields.iter().zip(values).collect();
            list(('{', '}'), &members, out, |(field, value), out| {
                quoted(&field.name, out);
                out.push(':');
                append(Some(&field.schema), &Nulls::Default.get(&field.schema, value), out);
            });
        }
    }
}

fn list<T>(brackets: (char, char), items: &[T], out: &mut String, mut each: impl FnMut(&T, &mut String)) {
    out.push(brackets.0);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(item, out);
    }
    out.push(brackets.1);
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Java prints NaN and the infinities without the quotes that JSON needs.
fn float(write: impl FnOnce(&mut Vec<u8>), out: &mut String) {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes.retain(|byte| *byte != b'"');
    out.push_str(&String::from_utf8_lossy(&bytes));
}
