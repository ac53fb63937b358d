//! The way back: a value with its schema through any [`ValueWriter`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::TransformError;
use super::value::{Nulls, Typed, Value};
use crate::format::json::{DecimalFormat, Frame};
use crate::schema::{Kind, Schema};
use crate::value::{FieldName, Literal, ValueWriter};

/// Schemas that are kept ready; more than any connector has tables, few enough to forget all at once.
const SHAPES_MAX: usize = 4096;

/// A schema made ready for writing.
#[derive(Debug, Clone)]
pub struct Shape {
    kind: ShapeKind,
    optional: bool,
    default: Option<Literal>,
}

#[derive(Debug, Clone)]
enum ShapeKind {
    Int,
    Float32,
    Float64,
    Boolean,
    String,
    Bytes,
    Array(Box<Shape>),
    Map(Box<Shape>),
    Struct(Vec<(FieldName, Shape)>),
}

impl Shape {
    /// Prepares a schema.
    pub fn new(schema: &Schema) -> Self {
        let kind = match &schema.kind {
            Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => ShapeKind::Int,
            Kind::Float32 => ShapeKind::Float32,
            Kind::Float64 => ShapeKind::Float64,
            Kind::Boolean => ShapeKind::Boolean,
            Kind::String => ShapeKind::String,
            Kind::Bytes => ShapeKind::Bytes,
            Kind::Array(items) => ShapeKind::Array(Box::new(Shape::new(items))),
            Kind::Map(_, values) => ShapeKind::Map(Box::new(Shape::new(values))),
            Kind::Struct(fields) => {
                let fields = fields.iter();
                ShapeKind::Struct(
                    fields.map(|field| (FieldName::new(&field.name), Shape::new(&field.schema))).collect(),
                )
            }
        };
        Shape { kind, optional: schema.optional, default: schema.default.clone() }
    }

    /// Writes a value of the schema, with or without the defaults that stand for nulls.
    ///
    /// # Errors
    /// A value that the schema does not allow.
    pub fn write<W: ValueWriter>(
        &self,
        value: &Value,
        null_as_default: bool,
        writer: &mut W,
    ) -> Result<(), TransformError> {
        self.put(value, Nulls::new(null_as_default), writer)
    }

    fn put<W: ValueWriter>(&self, value: &Value, nulls: Nulls, writer: &mut W) -> Result<(), TransformError> {
        match (&self.kind, value) {
            (_, Value::Null) => return self.write_null(nulls, writer),
            (ShapeKind::Int, Value::Int(value)) => writer.int(*value),
            (ShapeKind::Float32, Value::Float32(value)) => writer.float32(*value),
            (ShapeKind::Float64, Value::Float64(value)) => writer.float64(*value),
            (ShapeKind::Boolean, Value::Boolean(value)) => writer.boolean(*value),
            (ShapeKind::String, Value::String(value)) => writer.string(value),
            (ShapeKind::Bytes, Value::Bytes(value)) => writer.bytes(value),
            (ShapeKind::Bytes, Value::Decimal(unscaled, scale)) => writer.decimal(unscaled, *scale),
            (ShapeKind::Array(items), Value::Array(values)) => {
                writer.begin_array(values.len());
                values.iter().try_for_each(|value| items.put(value, nulls, writer))?;
                writer.end_array();
            }
            (ShapeKind::Map(values), Value::Map(entries)) => {
                write_map(entries, writer, |value, writer| values.put(value, nulls, writer))?;
            }
            (ShapeKind::Struct(fields), Value::Struct(values)) if fields.len() == values.len() => {
                writer.begin_struct();
                for ((name, shape), value) in fields.iter().zip(values) {
                    writer.field(name);
                    shape.put(value, nulls, writer).map_err(|error| error.within(name.as_str()))?;
                }
                writer.end_struct();
            }
            _ => return Err(TransformError::new("a value is not of the type that its schema has")),
        }
        Ok(())
    }

    fn write_null<W: ValueWriter>(&self, nulls: Nulls, writer: &mut W) -> Result<(), TransformError> {
        match &self.default {
            Some(default) if nulls == Nulls::Default => default.write(writer),
            _ if self.optional => writer.null(),
            _ => return Err(TransformError::new("a required value is null")),
        }
        Ok(())
    }
}

fn write_map<W: ValueWriter>(
    entries: &[(Value, Value)],
    writer: &mut W,
    mut write: impl FnMut(&Value, &mut W) -> Result<(), TransformError>,
) -> Result<(), TransformError> {
    writer.begin_map(entries.len());
    for (key, value) in entries {
        let Value::String(key) = key else {
            return Err(TransformError::new("a map has keys that are not text"));
        };
        writer.map_key(key);
        write(value, writer)?;
    }
    writer.end_map();
    Ok(())
}

/// Writes a value that has no schema.
fn write_schemaless<W: ValueWriter>(value: &Value, writer: &mut W) -> Result<(), TransformError> {
    match value {
        Value::Null => writer.null(),
        Value::Boolean(value) => writer.boolean(*value),
        Value::Int(value) => writer.int(*value),
        Value::Float32(value) => writer.float32(*value),
        Value::Float64(value) => writer.float64(*value),
        Value::String(value) => writer.string(value),
        Value::Bytes(value) => writer.bytes(value),
        Value::Decimal(unscaled, scale) => writer.decimal(unscaled, *scale),
        Value::Array(values) => {
            writer.begin_array(values.len());
            values.iter().try_for_each(|value| write_schemaless(value, writer))?;
            writer.end_array();
        }
        Value::Map(entries) => return write_map(entries, writer, write_schemaless),
        Value::Struct(_) => return Err(TransformError::new("a struct has lost its schema")),
    }
    Ok(())
}

/// Writes what a chain leaves, as `JsonConverter` does with these options; schemas are rendered once.
#[derive(Debug)]
pub struct Encoder {
    schemas: bool,
    nulls: Nulls,
    decimal: DecimalFormat,
    ready: BTreeMap<usize, Ready>,
    schemaless: Frame,
}

#[derive(Debug)]
struct Ready {
    /// Keeps the address from being used again.
    _schema: Arc<Schema>,
    shape: Shape,
    frame: Frame,
}

impl Encoder {
    /// `schemas.enable`, `replace.null.with.default` and `decimal.format` of the converter; the last one for the
    /// defaults in schemas, values are the writer's.
    pub fn new(schemas: bool, null_as_default: bool, decimal: DecimalFormat) -> Self {
        let schemaless = match schemas {
            true => Frame { prefix: b"{\"schema\":null,\"payload\":".to_vec(), suffix: b"}".to_vec() },
            false => Frame::bare(),
        };
        Encoder { schemas, nulls: Nulls::new(null_as_default), decimal, ready: BTreeMap::new(), schemaless }
    }

    /// Writes a key or a value with its frame; `false` if it is null altogether: no bytes at all.
    ///
    /// # Errors
    /// A value that its schema does not allow.
    pub fn write<W: ValueWriter>(&mut self, typed: &Typed, writer: &mut W) -> Result<bool, TransformError> {
        let Some(schema) = &typed.schema else {
            if typed.value.is_null() {
                return Ok(false);
            }
            writer.begin_record(&self.schemaless.prefix);
            write_schemaless(&typed.value, writer)?;
            writer.end_record(&self.schemaless.suffix);
            return Ok(true);
        };
        let nulls = self.nulls;
        let ready = self.ready(schema);
        writer.begin_record(&ready.frame.prefix);
        ready.shape.put(&typed.value, nulls, writer)?;
        writer.end_record(&ready.frame.suffix);
        Ok(true)
    }

    fn ready(&mut self, schema: &Arc<Schema>) -> &Ready {
        let address = Arc::as_ptr(schema) as usize;
        if self.ready.len() >= SHAPES_MAX && !self.ready.contains_key(&address) {
            self.ready.clear();
        }
        let (schemas, decimal) = (self.schemas, self.decimal);
        self.ready.entry(address).or_insert_with(|| Ready {
            _schema: Arc::clone(schema),
            shape: Shape::new(schema),
            frame: if schemas { Frame::with_schema(schema, decimal) } else { Frame::bare() },
        })
    }
}
