//! Values as a tree, with the Connect schema beside them.

use std::sync::Arc;

use super::TransformError;
use crate::schema::{Field, Kind, Schema};
use crate::value::Literal;

/// A value of Kafka Connect. What it means (a date, an enum) stands in its schema.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Null.
    #[default]
    Null,
    /// Boolean.
    Boolean(bool),
    /// Integer of any width.
    Int(i64),
    /// 32-bit float.
    Float32(f32),
    /// 64-bit float.
    Float64(f64),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Unscaled decimal (big-endian two's complement) with its scale.
    Decimal(Vec<u8>, i32),
    /// Elements.
    Array(Vec<Value>),
    /// Entries in order.
    Map(Vec<(Value, Value)>),
    /// Values in the order of the schema's fields.
    Struct(Vec<Value>),
}

impl Value {
    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        *self == Value::Null
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&Literal> for Value {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Value::Null,
            Literal::Boolean(value) => Value::Boolean(*value),
            Literal::Int(value) => Value::Int(*value),
            Literal::Float32(value) => Value::Float32(*value),
            Literal::Float64(value) => Value::Float64(*value),
            Literal::String(value) => Value::String(value.clone()),
            Literal::Bytes(value) => Value::Bytes(value.clone()),
            Literal::Decimal(unscaled, scale) => Value::Decimal(unscaled.clone(), *scale),
            Literal::VariableScaleDecimal(unscaled, scale) => {
                Value::Struct(vec![Value::Int((*scale).into()), Value::Bytes(unscaled.clone())])
            }
            Literal::Map(entries) => {
                let text = |text: &String| Value::String(text.clone());
                Value::Map(entries.iter().map(|(key, value)| (text(key), text(value))).collect())
            }
            Literal::Array(items) => Value::Array(items.iter().map(Value::from).collect()),
            Literal::Struct(fields) => Value::Struct(fields.iter().map(|(_, value)| value.into()).collect()),
        }
    }
}

/// A value with its schema; without one it is schemaless, as a tombstone is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Typed {
    /// The schema, shared by all values of one shape.
    pub schema: Option<Arc<Schema>>,
    /// The value.
    pub value: Value,
}

impl Typed {
    /// A value of this schema.
    pub fn new(schema: Arc<Schema>, value: Value) -> Self {
        Typed { schema: Some(schema), value }
    }

    /// Text, required or optional.
    pub fn string(text: impl Into<String>) -> Self {
        Typed::new(Arc::new(Schema::new(Kind::String)), Value::String(text.into()))
    }

    /// Schema and fields of a struct that is not null.
    ///
    /// # Errors
    /// Anything else, as Connect's `requireStruct` refuses it.
    pub(crate) fn as_struct(&self, purpose: &str) -> Result<StructRef<'_>, TransformError> {
        match (&self.schema, &self.value) {
            (Some(schema), Value::Struct(values)) => match &schema.kind {
                Kind::Struct(fields) => Ok(StructRef { schema, fields, values }),
                _ => Err(not_a_struct(purpose)),
            },
            _ => Err(not_a_struct(purpose)),
        }
    }
}

fn not_a_struct(purpose: &str) -> TransformError {
    TransformError::new(format!(
        "{purpose} needs a struct, and this record has none (a tombstone, a single value?)"
    ))
    .hint("limit it to other records with a predicate (RecordIsTombstone and negate=true, TopicNameMatches)")
}

/// A struct and its schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StructRef<'a> {
    pub(crate) schema: &'a Arc<Schema>,
    pub(crate) fields: &'a [Field],
    pub(crate) values: &'a [Value],
}

impl<'a> StructRef<'a> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a Field, &'a Value)> {
        self.fields.iter().zip(self.values)
    }

    /// A field by its name.
    pub(crate) fn field(&self, name: &str) -> Option<(&'a Field, &'a Value)> {
        self.iter().find(|(field, _)| field.name == name)
    }

    /// All values, with or without the defaults that stand for nulls.
    pub(crate) fn values(&self, nulls: Nulls) -> Vec<Value> {
        self.iter().map(|(field, value)| nulls.get(&field.schema, value)).collect()
    }
}

/// `replace.null.with.default` of a transformation: what is read where a field is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    Default,
    Keep,
}

impl Nulls {
    pub(crate) fn new(replace: bool) -> Self {
        if replace { Nulls::Default } else { Nulls::Keep }
    }

    pub(crate) fn get(self, schema: &Schema, value: &Value) -> Value {
        match (self, value, &schema.default) {
            (Nulls::Default, Value::Null, Some(default)) => default.into(),
            _ => value.clone(),
        }
    }
}

/// Name, version, documentation and parameters of `source` on another kind: required and without a default.
pub(crate) fn basics(source: &Schema, kind: Kind) -> Schema {
    Schema { kind, optional: false, default: None, ..source.clone_without_kind() }
}

impl Schema {
    fn clone_without_kind(&self) -> Schema {
        Schema {
            kind: Kind::Boolean,
            optional: self.optional,
            name: self.name.clone(),
            version: self.version,
            doc: self.doc.clone(),
            parameters: self.parameters.clone(),
            default: None,
        }
    }

    /// Fields of a struct; none of anything else.
    pub(crate) fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Struct(fields) => fields,
            _ => &[],
        }
    }
}
