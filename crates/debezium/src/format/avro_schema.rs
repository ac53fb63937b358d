//! Kafka Connect schemas as the Avro schemas that Confluent's converter registers, byte for byte.
//!
//! Avro has neither semantic names on plain types nor widths below 32 bits, so those stand in properties
//! (`connect.name`, `connect.type` …), in the order in which the converter adds them.

use std::fmt::Write as _;

use serde_json::Value;

use super::java;
use crate::schema::{Kind, Schema};
use crate::value::{Literal, Nullable};

/// Namespace and name of a struct without a name.
const NAMESPACE: &str = "io.confluent.connect.avro";
const UNNAMED: &str = "ConnectDefault";
/// What the converter calls the precision of a decimal that has none.
const PRECISION: i64 = 64;
const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Whether what Avro does not know of a Connect schema is kept in properties (`connect.meta.data`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetaData {
    /// In `connect.*` properties.
    #[default]
    Kept,
    /// Nowhere.
    Dropped,
}

/// A name that Avro does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a name in Avro: letters, digits and '_' only, and no digit first")]
pub struct InvalidName(pub String);

/// Renders the Avro schema of a Connect schema.
///
/// # Errors
/// A record or a field with a name that Avro does not allow.
pub fn render(schema: &Schema, meta_data: MetaData) -> Result<String, InvalidName> {
    let mut renderer = Renderer { out: String::new(), meta_data, defined: Vec::new(), space: None };
    renderer.union(schema)?;
    Ok(renderer.out)
}

/// Whether records of both schemas are the same bytes: the same types, names and order, whatever else they say.
pub fn same_layout(one: &str, other: &str) -> bool {
    let layout = |text: &str| serde_json::from_str(text).ok().map(|schema| layout(&schema, ""));
    layout(one).is_some_and(|one| Some(one) == layout(other))
}

/// What the bytes of a schema depend on, as text: full names, no properties, no documentation, no defaults.
fn layout(schema: &Value, space: &str) -> String {
    let full = |name: &str| match name.contains('.') || space.is_empty() {
        true => name.to_owned(),
        false => format!("{space}.{name}"),
    };
    match schema {
        Value::String(name) if PRIMITIVES.contains(&name.as_str()) => name.clone(),
        Value::String(name) => full(name),
        Value::Array(branches) => {
            let branches: Vec<String> = branches.iter().map(|branch| layout(branch, space)).collect();
            format!("[{}]", branches.join("|"))
        }
        Value::Object(members) => {
            let text = |key: &str| members.get(key).and_then(Value::as_str);
            let inner = |key: &str| members.get(key).map_or_else(String::new, |inner| layout(inner, space));
            match text("type") {
                Some("array") => format!("array<{}>", inner("items")),
                Some("map") => format!("map<{}>", inner("values")),
                Some(kind @ ("record" | "enum" | "fixed")) => {
                    let name = text("name").unwrap_or_default();
                    let space =
                        text("namespace").or(name.rsplit_once('.').map(|(space, _)| space)).unwrap_or(space);
                    let name = if name.contains('.') || space.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{space}.{name}")
                    };
                    let fields = members.get("fields").and_then(Value::as_array).into_iter().flatten();
                    let field = |field: &Value| {
                        let name = field.get("name").and_then(Value::as_str).unwrap_or_default();
                        format!(
                            "{name}:{}",
                            field.get("type").map_or_else(String::new, |inner| layout(inner, space))
                        )
                    };
                    let fields: Vec<String> = fields.map(field).collect();
                    let rest = ["symbols", "size"]
                        .map(|key| members.get(key).map_or_else(String::new, Value::to_string));
                    format!("{kind} {name}{{{}}}{}", fields.join(","), rest.concat())
                }
                _ => inner("type"),
            }
        }
        other => other.to_string(),
    }
}

/// Namespace, if any, and name.
fn split(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once('.') {
        Some((space, name)) => (Some(space), name),
        None => (None, name),
    }
}

struct Renderer<'s> {
    out: String,
    meta_data: MetaData,
    /// Full names of the records that stand in the text already.
    defined: Vec<String>,
    /// Namespace of the record around.
    space: Option<&'s str>,
}

impl<'s> Renderer<'s> {
    fn union(&mut self, schema: &'s Schema) -> Result<(), InvalidName> {
        match (schema.nullable(), &schema.kind) {
            (Nullable::Never, _) => self.node(schema),
            // The converter puts null before a struct whatever its default is; none has one.
            (Nullable::First, _) | (Nullable::Last, Kind::Struct(_)) => {
                self.out.push_str("[\"null\",");
                self.node(schema)?;
                self.out.push(']');
                Ok(())
            }
            (Nullable::Last, _) => {
                self.out.push('[');
                self.node(schema)?;
                self.out.push_str(",\"null\"]");
                Ok(())
            }
        }
    }

    fn node(&mut self, schema: &'s Schema) -> Result<(), InvalidName> {
        if let Kind::Struct(_) = &schema.kind {
            return self.record(schema);
        }
        let mut properties = String::new();
        std::mem::swap(&mut self.out, &mut properties);
        self.properties(schema);
        std::mem::swap(&mut self.out, &mut properties);
        let is_container = matches!(schema.kind, Kind::Array(_) | Kind::Map(..));
        if properties.is_empty() && !is_container {
            self.quote(type_name(&schema.kind));
            return Ok(());
        }
        self.out.push_str("{\"type\":");
        self.quote(type_name(&schema.kind));
        match &schema.kind {
            Kind::Array(items) => {
                self.out.push_str(",\"items\":");
                self.union(items)?;
            }
            Kind::Map(_, values) => {
                self.out.push_str(",\"values\":");
                self.union(values)?;
            }
            _ => {}
        }
        self.out.push_str(&properties);
        self.out.push('}');
        Ok(())
    }

    fn record(&mut self, schema: &'s Schema) -> Result<(), InvalidName> {
        let Kind::Struct(fields) = &schema.kind else { return Ok(()) };
        let (space, name) = schema.name.as_deref().map_or((Some(NAMESPACE), UNNAMED), split);
        let full = space.map_or_else(|| name.to_owned(), |space| format!("{space}.{name}"));
        if self.defined.contains(&full) {
            let is_near = space == self.space;
            self.quote(if is_near { name } else { &full });
            return Ok(());
        }
        self.out.push_str("{\"type\":\"record\",\"name\":");
        self.quote(checked(name)?);
        if space != self.space {
            self.out.push_str(",\"namespace\":");
            self.quote(space.unwrap_or_default());
        }
        self.defined.push(full);
        let around = std::mem::replace(&mut self.space, space);
        self.out.push_str(",\"fields\":[");
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.out.push_str("{\"name\":");
            self.quote(checked(&field.name)?);
            self.out.push_str(",\"type\":");
            self.union(&field.schema)?;
            match &field.schema.default {
                Some(default) if *default != Literal::Null => {
                    self.out.push_str(",\"default\":");
                    self.literal(default);
                }
                _ if field.schema.optional => self.out.push_str(",\"default\":null"),
                _ => {}
            }
            self.out.push('}');
        }
        self.out.push(']');
        self.space = around;
        self.properties(schema);
        self.out.push('}');
        Ok(())
    }

    /// What stands behind the type, each with a comma before it.
    fn properties(&mut self, schema: &Schema) {
        let parameter = |name: &str| {
            let mut found = schema.parameters.iter().filter(|(key, _)| key == name);
            found.next().and_then(|(_, value)| value.parse::<i64>().ok())
        };
        let name = schema.name.as_deref();
        if name == Some(DECIMAL) {
            let scale = parameter("scale").unwrap_or(0);
            let precision = parameter("connect.decimal.precision").unwrap_or(PRECISION);
            self.number("scale", scale);
            self.number("precision", precision);
        }
        if self.meta_data == MetaData::Kept {
            self.meta_data(schema);
        }
        let logical = match name {
            Some(DECIMAL) => "decimal",
            Some("org.apache.kafka.connect.data.Date") => "date",
            Some("org.apache.kafka.connect.data.Time") => "time-millis",
            Some("org.apache.kafka.connect.data.Timestamp") => "timestamp-millis",
            _ => return,
        };
        self.text("logicalType", logical);
    }

    fn meta_data(&mut self, schema: &Schema) {
        if let Some(doc) = &schema.doc {
            self.text("connect.doc", doc);
        }
        if let Some(version) = schema.version {
            self.number("connect.version", version.into());
        }
        if !schema.parameters.is_empty() {
            self.out.push_str(",\"connect.parameters\":{");
            for (index, (name, value)) in schema.parameters.iter().enumerate() {
                if index > 0 {
                    self.out.push(',');
                }
                self.quote(name);
                self.out.push(':');
                self.quote(value);
            }
            self.out.push('}');
        }
        if let Some(default) = schema.default.as_ref().filter(|default| **default != Literal::Null) {
            self.out.push_str(",\"connect.default\":");
            self.literal(default);
        }
        if let Some(name) = &schema.name {
            self.text("connect.name", name);
        }
        match schema.kind {
            Kind::Int8 => self.text("connect.type", "int8"),
            Kind::Int16 => self.text("connect.type", "int16"),
            _ => {}
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.out.push(',');
        self.quote(name);
        self.out.push(':');
        self.quote(value);
    }

    fn number(&mut self, name: &str, value: i64) {
        let written = write!(self.out, ",\"{name}\":{value}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }

    fn literal(&mut self, literal: &Literal) {
        match literal {
            Literal::Null => self.out.push_str("null"),
            Literal::Boolean(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Literal::Int(value) => self.out.push_str(itoa::Buffer::new().format(*value)),
            Literal::Float32(value) => self.float(|out| java::write_f32(out, *value)),
            Literal::Float64(value) => self.float(|out| java::write_f64(out, *value)),
            Literal::String(value) => self.quote(value),
            Literal::Bytes(value) | Literal::Decimal(value, _) => self.quote(&latin1(value)),
            Literal::VariableScaleDecimal(value, scale) => {
                let scale = *scale;
                self.out.push_str("{\"scale\":");
                self.literal(&Literal::Int(scale.into()));
                self.out.push_str(",\"value\":");
                self.quote(&latin1(value));
                self.out.push('}');
            }
            Literal::Array(items) => self.list(b"[]", items.iter(), |this, item| this.literal(item)),
            Literal::Map(entries) => self.list(b"{}", entries.iter(), |this, (key, value)| {
                this.quote(key);
                this.out.push(':');
                this.quote(value);
            }),
            Literal::Struct(fields) => self.list(b"{}", fields.iter(), |this, (name, value)| {
                this.quote(name.as_str());
                this.out.push(':');
                this.literal(value);
            }),
        }
    }

    fn list<T>(
        &mut self,
        [open, close]: &[u8; 2],
        items: impl Iterator<Item = T>,
        write: impl Fn(&mut Self, T),
    ) {
        self.out.push(char::from(*open));
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            write(self, item);
        }
        self.out.push(char::from(*close));
    }

    fn float(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut text = Vec::new();
        write(&mut text);
        self.out.push_str(&String::from_utf8_lossy(&text));
    }

    /// A string as Jackson writes it into characters: every character from U+0020 on stays what it is.
    fn quote(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            let short = match c {
                '"' | '\\' => c,
                '\u{8}' => 'b',
                '\t' => 't',
                '\n' => 'n',
                '\u{c}' => 'f',
                '\r' => 'r',
                '\0'..=' ' if c < ' ' => {
                    let written = write!(self.out, "\\u{:04X}", u32::from(c));
                    debug_assert!(written.is_ok(), "writing to a String cannot fail");
                    continue;
                }
                _ => {
                    self.out.push(c);
                    continue;
                }
            };
            self.out.push('\\');
            self.out.push(short);
        }
        self.out.push('"');
    }
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Int8 | Kind::Int16 | Kind::Int32 => "int",
        Kind::Int64 => "long",
        Kind::Float32 => "float",
        Kind::Float64 => "double",
        Kind::Boolean => "boolean",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Array(_) => "array",
        Kind::Map(..) => "map",
        Kind::Struct(_) => "record",
    }
}

/// One character a byte.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// As Java's Avro does, letters of every alphabet pass; namespaces are not looked at.
fn checked(name: &str) -> Result<&str, InvalidName> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if first && chars.all(|c| c.is_alphanumeric() || c == '_') {
        Ok(name)
    } else {
        Err(InvalidName(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Field;

    fn check(field: Field, expected: &str) {
        let record = Schema::structure(vec![field]).named_without_version("s.R");
        let text = render(&record, MetaData::Kept).unwrap();
        apache_avro::Schema::parse_str(&text).unwrap();
        let start = r#"{"type":"record","name":"R","namespace":"s","fields":["#;
        let inner = text.strip_prefix(start).and_then(|rest| rest.strip_suffix(r#"],"connect.name":"s.R"}"#));
        assert_eq!(inner, Some(expected));
    }

    #[test]
    fn fields_look_as_the_converter_registers_them() {
        check(Schema::new(Kind::Int32).field("a"), r#"{"name":"a","type":"int"}"#);
        check(
            Schema::new(Kind::Int16).optional(true).default_value(Literal::Int(3)).field("a"),
            r#"{"name":"a","type":[{"type":"int","connect.default":3,"connect.type":"int16"},"null"],"default":3}"#,
        );
        check(
            Schema::new(Kind::String).optional(true).field("a"),
            r#"{"name":"a","type":["null","string"],"default":null}"#,
        );
        check(
            Schema::new(Kind::Bytes)
                .named(DECIMAL)
                .parameter("scale", "2")
                .parameter("connect.decimal.precision", "10")
                .default_value(Literal::Decimal(vec![0x96], 2))
                .field("a"),
            concat!(
                r#"{"name":"a","type":{"type":"bytes","scale":2,"precision":10,"connect.version":1,"#,
                r#""connect.parameters":{"scale":"2","connect.decimal.precision":"10"},"connect.default":"#,
                "\"\u{96}\",",
                r#""connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"},"default":"#,
                "\"\u{96}\"}"
            ),
        );
        check(
            Schema::new(Kind::Int64).named("io.debezium.time.MicroTimestamp").field("a"),
            r#"{"name":"a","type":{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}}"#,
        );
        check(
            Schema::new(Kind::Array(Box::new(Schema::new(Kind::Int32).optional(true))))
                .optional(true)
                .field("a"),
            r#"{"name":"a","type":["null",{"type":"array","items":["null","int"]}],"default":null}"#,
        );
    }

    #[test]
    fn a_struct_that_comes_again_is_named() {
        let point = || Schema::structure(vec![Schema::new(Kind::Float64).field("x")]).named("io.geo.Point");
        let row = || {
            let fields = vec![point().field("a"), point().optional(true).field("b")];
            Schema::structure(fields).named_without_version("s.Value").optional(true)
        };
        let schema = Schema::structure(vec![row().field("before"), row().field("after")]).named("s.Envelope");
        let text = render(&schema, MetaData::Kept).unwrap();
        apache_avro::Schema::parse_str(&text).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"type":"record","name":"Envelope","namespace":"s","fields":[{"name":"before","type":["null","#,
                r#"{"type":"record","name":"Value","fields":[{"name":"a","type":{"type":"record","name":"Point","#,
                r#""namespace":"io.geo","fields":[{"name":"x","type":"double"}],"connect.version":1,"#,
                r#""connect.name":"io.geo.Point"}},{"name":"b","type":["null","io.geo.Point"],"default":null}],"#,
                r#""connect.name":"s.Value"}],"default":null},{"name":"after","type":["null","Value"],"#,
                r#""default":null}],"connect.version":1,"connect.name":"s.Envelope"}"#
            )
        );
        let bare = render(&schema, MetaData::Dropped).unwrap();
        assert!(!bare.contains("connect."), "{bare}");
    }

    #[test]
    fn layouts_are_told_apart_from_properties() {
        let row = |kind: Kind, optional: bool| {
            let fields = vec![Schema::new(kind).optional(optional).field("a")];
            let inner = Schema::structure(fields).named("s.Value").optional(true);
            Schema::structure(vec![inner.clone().field("before"), inner.field("after")]).named("s.Envelope")
        };
        let text = |schema: &Schema, meta_data| render(schema, meta_data).unwrap();
        let ours = text(&row(Kind::Int16, true), MetaData::Kept);
        let check = |other: &Schema, expected| {
            assert_eq!(same_layout(&ours, &text(other, MetaData::Dropped)), expected);
        };
        check(&row(Kind::Int16, true), true);
        check(&row(Kind::Int32, true), true);
        check(&row(Kind::Int64, true), false);
        check(&row(Kind::Int16, false), false);
        assert!(!same_layout(&ours, "no JSON"));
        let spelled = ours.replace(r#""name":"Value""#, r#""name":"s.Value","doc":"d""#);
        assert!(same_layout(&ours, &spelled));
        assert!(!same_layout(&ours, &ours.replace(r#""name":"a""#, r#""name":"b""#)));
    }

    #[test]
    fn unnamed_structs_and_bad_names() {
        let schema = Schema::structure(vec![Schema::new(Kind::Boolean).field("ok")]);
        assert_eq!(
            render(&schema, MetaData::Kept).unwrap(),
            r#"{"type":"record","name":"ConnectDefault","namespace":"io.confluent.connect.avro","fields":[{"name":"ok","type":"boolean"}]}"#
        );
        for name in ["a-b", "1a", "", "a b"] {
            let schema = Schema::structure(vec![Schema::new(Kind::Boolean).field(name)]);
            assert_eq!(render(&schema, MetaData::Kept), Err(InvalidName(name.to_owned())));
        }
    }
}
