//! Kafka Connect schemas: what a field is and what it means.

use std::borrow::Cow;

use crate::format::json::{self, DecimalFormat};
use crate::value::{Integers, Literal, Nullable, Slot};

/// The shape of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// 8-bit integer.
    Int8,
    /// 16-bit integer.
    Int16,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// 32-bit float, named `float`.
    Float32,
    /// 64-bit float, named `double`.
    Float64,
    /// Boolean.
    Boolean,
    /// UTF-8 text.
    String,
    /// Bytes.
    Bytes,
    /// List of one element schema.
    Array(Box<Schema>),
    /// Map of key and value schema.
    Map(Box<Schema>, Box<Schema>),
    /// Named fields in order.
    Struct(Vec<Field>),
}

/// One schema node. Field order of its JSON form is Kafka Connect's: type, (items | keys, values | fields),
/// optional, name, version, doc, parameters, default, field.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Shape.
    pub kind: Kind,
    /// Whether null is allowed.
    pub optional: bool,
    /// Semantic name, for example `io.debezium.time.MicroTimestamp`.
    pub name: Option<Cow<'static, str>>,
    /// Version of the semantic name.
    pub version: Option<i32>,
    /// Documentation.
    pub doc: Option<Cow<'static, str>>,
    /// Parameters in order, for example `scale`.
    pub parameters: Vec<(Cow<'static, str>, String)>,
    /// Default value.
    pub default: Option<Literal>,
}

/// One field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Schema.
    pub schema: Schema,
}

impl Schema {
    /// A required schema without a name.
    pub fn new(kind: Kind) -> Self {
        Schema {
            kind,
            optional: false,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            default: None,
        }
    }

    /// A struct of these fields.
    pub fn structure(fields: Vec<Field>) -> Self {
        Schema::new(Kind::Struct(fields))
    }

    /// The same, with a semantic name of version 1.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self.version = Some(1);
        self
    }

    /// The same, with a name and no version.
    pub fn named_without_version(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self.version = None;
        self
    }

    /// The same, with another version.
    pub fn version(mut self, version: i32) -> Self {
        self.version = Some(version);
        self
    }

    /// The same, with a documentation text.
    pub fn doc(mut self, doc: &'static str) -> Self {
        self.doc = Some(Cow::Borrowed(doc));
        self
    }

    /// The same, with one more parameter.
    pub fn parameter(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// The same, optional or not.
    pub fn optional(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    /// The same, with a default.
    pub fn default_value(mut self, default: Literal) -> Self {
        self.default = Some(default);
        self
    }

    /// Makes a field of it.
    pub fn field(self, name: impl Into<String>) -> Field {
        Field { name: name.into(), schema: self }
    }

    /// What a writer must know about a value of this schema.
    pub fn slot(&self) -> Slot {
        let item = self.items().map_or(Nullable::Never, Schema::nullable);
        let inner = self.items().and_then(Schema::items).map_or(Nullable::Never, Schema::nullable);
        let integers = match self.items().unwrap_or(self).name.as_deref() {
            Some("org.apache.kafka.connect.data.Date") => Integers::Days,
            Some("org.apache.kafka.connect.data.Time" | "org.apache.kafka.connect.data.Timestamp") => {
                Integers::Milliseconds
            }
            _ => Integers::Plain,
        };
        Slot { own: self.nullable(), item, inner, integers }
    }

    /// Schema of the items of an array or the values of a map.
    fn items(&self) -> Option<&Schema> {
        match &self.kind {
            Kind::Array(items) | Kind::Map(_, items) => Some(items),
            _ => None,
        }
    }

    /// Whether null is allowed, and where it stands in an Avro union: behind the type of a default.
    pub fn nullable(&self) -> Nullable {
        match &self.default {
            _ if !self.optional => Nullable::Never,
            None | Some(Literal::Null) => Nullable::First,
            Some(_) => Nullable::Last,
        }
    }

    /// Writes the schema as JsonConverter does with `schemas.enable=true`.
    pub fn write_json(&self, out: &mut Vec<u8>, decimal: DecimalFormat) {
        self.write_node(out, decimal, None);
    }

    fn write_node(&self, out: &mut Vec<u8>, decimal: DecimalFormat, field: Option<&str>) {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(self.kind.connect_name().as_bytes());
        out.push(b'"');
        match &self.kind {
            Kind::Array(items) => {
                out.extend_from_slice(b",\"items\":");
                items.write_node(out, decimal, None);
            }
            Kind::Map(keys, values) => {
                out.extend_from_slice(b",\"keys\":");
                keys.write_node(out, decimal, None);
                out.extend_from_slice(b",\"values\":");
                values.write_node(out, decimal, None);
            }
            Kind::Struct(fields) => {
                out.extend_from_slice(b",\"fields\":[");
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    field.schema.write_node(out, decimal, Some(&field.name));
                }
                out.push(b']');
            }
            _ => {}
        }
        self.write_attributes(out, decimal, field);
        out.push(b'}');
    }

    fn write_attributes(&self, out: &mut Vec<u8>, decimal: DecimalFormat, field: Option<&str>) {
        out.extend_from_slice(b",\"optional\":");
        out.extend_from_slice(if self.optional { b"true" } else { b"false" });
        if let Some(name) = &self.name {
            out.extend_from_slice(b",\"name\":");
            json::write_string(out, name);
        }
        if let Some(version) = self.version {
            out.extend_from_slice(b",\"version\":");
            out.extend_from_slice(itoa::Buffer::new().format(version).as_bytes());
        }
        if let Some(doc) = &self.doc {
            out.extend_from_slice(b",\"doc\":");
            json::write_string(out, doc);
        }
        if !self.parameters.is_empty() {
            out.extend_from_slice(b",\"parameters\":{");
            for (index, (name, value)) in self.parameters.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json::write_string(out, name);
                out.push(b':');
                json::write_string(out, value);
            }
            out.push(b'}');
        }
        if let Some(default) = &self.default {
            out.extend_from_slice(b",\"default\":");
            let mut writer = json::JsonWriter::new(decimal);
            default.write(&mut writer);
            out.extend_from_slice(writer.as_bytes());
        }
        if let Some(field) = field {
            out.extend_from_slice(b",\"field\":");
            json::write_string(out, field);
        }
    }
}

impl Kind {
    /// The name that Kafka Connect's JSON schemas use.
    pub fn connect_name(&self) -> &'static str {
        match self {
            Kind::Int8 => "int8",
            Kind::Int16 => "int16",
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Float32 => "float",
            Kind::Float64 => "double",
            Kind::Boolean => "boolean",
            Kind::String => "string",
            Kind::Bytes => "bytes",
            Kind::Array(_) => "array",
            Kind::Map(..) => "map",
            Kind::Struct(_) => "struct",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_node_order_is_kafka_connects() {
        let schema = Schema::structure(vec![
            Schema::new(Kind::Int32).default_value(Literal::Int(0)).field("id"),
            Schema::new(Kind::Bytes)
                .named("org.apache.kafka.connect.data.Decimal")
                .parameter("scale", "2")
                .parameter("connect.decimal.precision", "10")
                .optional(true)
                .field("amount"),
        ])
        .named_without_version("cdc.public.t.Value")
        .optional(true);
        let mut out = Vec::new();
        schema.write_json(&mut out, DecimalFormat::Base64);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"type":"struct","fields":[{"type":"int32","optional":false,"default":0,"field":"id"},"#,
                r#"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"#,
                r#""parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"amount"}],"#,
                r#""optional":true,"name":"cdc.public.t.Value"}"#
            )
        );
    }
}
