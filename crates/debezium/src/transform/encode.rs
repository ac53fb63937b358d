//! The way back: a value with its schema through any [`ValueWriter`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::TransformError;
use super::value::{Nulls, Typed, Value};
use crate::format::avro;
use crate::format::json::{DecimalFormat, Frame};
use crate::schema::{Kind, Schema};
use crate::value::{FieldName, Literal, Slot, ValueWriter};

/// Schemas that are kept ready; more than any connector has tables, few enough to forget all at once.
const SHAPES_MAX: usize = 4096;

/// A schema made ready for writing.
#[derive(Debug, Clone)]
pub struct Shape {
    kind: ShapeKind,
    slot: Slot,
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
                    fields
                        .map(|field| (FieldName::of(&field.name, &field.schema), Shape::new(&field.schema)))
                        .collect(),
                )
            }
        };
        Shape { kind, slot: schema.slot(), optional: schema.optional, default: schema.default.clone() }
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
        self.put_alone(value, Nulls::new(null_as_default), writer)
    }

    /// Puts a value that no field names.
    fn put_alone<W: ValueWriter>(
        &self,
        value: &Value,
        nulls: Nulls,
        writer: &mut W,
    ) -> Result<(), TransformError> {
        writer.slot(self.slot);
        self.put(value, nulls, writer)
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
                values.iter().try_for_each(|value| items.put_alone(value, nulls, writer))?;
                writer.end_array();
            }
            (ShapeKind::Map(values), Value::Map(entries)) => {
                write_map(entries, writer, |value, writer| values.put_alone(value, nulls, writer))?;
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

/// What the converter makes of values and their schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JsonConverter's.
    Json {
        /// `schemas.enable`
        schemas: bool,
        /// `decimal.format`, for the defaults in schemas: values are the writer's.
        decimal: DecimalFormat,
    },
    /// AvroConverter's; the schema's id in the frame is left 0, for whoever knows it
    /// ([`crate::format::writer::RecordWriter::set_schema_id`]).
    Avro,
    /// StringConverter's.
    Text,
    /// ByteArrayConverter's: bytes as they are, and nothing else.
    Bytes,
}

impl Form {
    fn frame(self, schema: Option<&Schema>) -> Frame {
        match (self, schema) {
            (Form::Json { schemas: true, decimal }, Some(schema)) => Frame::with_schema(schema, decimal),
            (Form::Json { schemas: true, .. }, None) => {
                Frame { prefix: b"{\"schema\":null,\"payload\":".to_vec(), suffix: b"}".to_vec() }
            }
            (Form::Avro, _) => avro::frame(0),
            (Form::Json { .. } | Form::Text | Form::Bytes, _) => Frame::bare(),
        }
    }
}

/// Writes what a chain leaves, as the converter of a [`Form`] does; schemas are rendered once.
#[derive(Debug)]
pub struct Encoder {
    form: Form,
    nulls: Nulls,
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
    /// The form, and whether defaults stand for nulls (`replace.null.with.default`).
    pub fn new(form: Form, null_as_default: bool) -> Self {
        Encoder {
            form,
            nulls: Nulls::new(null_as_default),
            ready: BTreeMap::new(),
            schemaless: form.frame(None),
        }
    }

    /// Writes a key or a value with its frame; `false` if it is null altogether: no bytes at all.
    ///
    /// # Errors
    /// A value that its schema does not allow, or that the form cannot hold.
    pub fn write<W: ValueWriter>(&mut self, typed: &Typed, writer: &mut W) -> Result<bool, TransformError> {
        // Only JSON has a way to say that a value is null and of which schema.
        let is_json = matches!(self.form, Form::Json { .. });
        if typed.value.is_null() && (typed.schema.is_none() || !is_json) {
            return Ok(false);
        }
        if self.form == Form::Bytes {
            return write_bytes(&typed.value, writer);
        }
        let Some(schema) = &typed.schema else {
            if self.form == Form::Avro {
                return Err(TransformError::new("a value without a schema cannot be written in Avro")
                    .hint("choose JsonConverter, or another transformation"));
            }
            writer.begin_record(&self.schemaless.prefix);
            write_schemaless(&typed.value, writer)?;
            writer.end_record(&self.schemaless.suffix);
            return Ok(true);
        };
        let nulls = self.nulls;
        let ready = self.ready(schema);
        writer.begin_record(&ready.frame.prefix);
        ready.shape.put_alone(&typed.value, nulls, writer)?;
        writer.end_record(&ready.frame.suffix);
        Ok(true)
    }

    fn ready(&mut self, schema: &Arc<Schema>) -> &Ready {
        let address = Arc::as_ptr(schema) as usize;
        if self.ready.len() >= SHAPES_MAX && !self.ready.contains_key(&address) {
            self.ready.clear();
        }
        let form = self.form;
        self.ready.entry(address).or_insert_with(|| Ready {
            _schema: Arc::clone(schema),
            shape: Shape::new(schema),
            frame: form.frame(Some(schema)),
        })
    }
}

fn write_bytes<W: ValueWriter>(value: &Value, writer: &mut W) -> Result<bool, TransformError> {
    let Value::Bytes(bytes) = value else {
        return Err(TransformError::new("ByteArrayConverter takes bytes only")
            .hint("take the bytes out with a transformation (ExtractField, EventRouter), or choose another converter"));
    };
    writer.begin_record(bytes);
    writer.end_record(&[]);
    Ok(true)
}
