//! Column types as the reading side needs them: from the Connect schema in a record, or from a configuration.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The columns of a row, in the order of the record's schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowSchema {
    /// Columns in order.
    pub columns: Vec<Column>,
}

impl RowSchema {
    /// The column called `name`, exactly.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// One column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name as in the source.
    pub name: String,
    /// How its JSON is read and what the value is.
    pub kind: ColumnType,
}

/// What a column holds, and how its value is written in the event's JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// JSON `true` or `false`.
    Boolean,
    /// A JSON integer of at most `bits` bits (8, 16, 32, 64).
    Integer {
        /// Width of the source type.
        bits: u8,
    },
    /// A JSON number, or `"NaN"`, `"Infinity"`, `"-Infinity"`; `bits` is 32 or 64.
    Float {
        /// Width of the source type.
        bits: u8,
    },
    /// `org.apache.kafka.connect.data.Decimal`: base64 of a big-endian two's complement number, or a JSON
    /// number (`decimal.format=NUMERIC`).
    Decimal {
        /// `connect.decimal.precision`, where the schema tells it.
        precision: Option<u32>,
        /// Digits after the point; may be negative.
        scale: i32,
    },
    /// `io.debezium.data.VariableScaleDecimal`: `{"scale":…,"value":"base64"}`.
    VariableDecimal,
    /// A JSON string of plain decimal text (`decimal.handling.mode=string` into a numeric column).
    DecimalText,
    /// A JSON string.
    Text,
    /// A JSON string in one of the notations of `binary.handling.mode`.
    Bytes(BytesNotation),
    /// A JSON string that holds JSON text (`io.debezium.data.Json`), or JSON itself.
    Json,
    /// An array, a map or a structure: JSON as it stands in the event.
    Nested,
    /// A day without time zone.
    Date(DateNotation),
    /// A time of day without time zone.
    Time(TimeNotation),
    /// A date and time without time zone.
    Timestamp(TimeNotation),
    /// An instant, as ISO 8601 text in UTC (`io.debezium.time.ZonedTimestamp`).
    ZonedTimestamp,
}

/// `binary.handling.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytesNotation {
    /// `bytes` and `base64`.
    Base64,
    /// `base64-url-safe`.
    Base64Url,
    /// `hex`.
    Hex,
}

/// How a date is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateNotation {
    /// Days since 1970-01-01.
    Days,
    /// `2024-02-29Z`.
    Iso,
}

/// How a time or timestamp is written: units since midnight or since 1970-01-01T00:00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeNotation {
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
    /// ISO 8601 text with a `Z` that means nothing.
    Iso,
}

/// A node of a Kafka Connect schema as JsonConverter writes it.
#[derive(Debug, Deserialize)]
pub(super) struct Node {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) fields: Vec<Node>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) parameters: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) field: Option<String>,
}

impl Node {
    /// The child called `name`.
    pub(super) fn child(&self, name: &str) -> Option<&Node> {
        self.fields.iter().find(|node| node.field.as_deref() == Some(name))
    }

    /// The columns of a struct node; `None` names the field whose type is not known.
    pub(super) fn row(&self, keep: impl Fn(&str) -> bool) -> Result<RowSchema, String> {
        let mut columns = Vec::with_capacity(self.fields.len());
        for node in &self.fields {
            let Some(name) = node.field.as_deref() else { return Err("a field without a name".to_owned()) };
            if keep(name) {
                let kind = node.column_type().map_err(|problem| format!("field {name}: {problem}"))?;
                columns.push(Column { name: name.to_owned(), kind });
            }
        }
        Ok(RowSchema { columns })
    }

    /// The type of a single value.
    pub(super) fn column_type(&self) -> Result<ColumnType, String> {
        if let Some(kind) = self.semantic_type()? {
            return Ok(kind);
        }
        Ok(match self.kind.as_str() {
            "boolean" => ColumnType::Boolean,
            "int8" => ColumnType::Integer { bits: 8 },
            "int16" => ColumnType::Integer { bits: 16 },
            "int32" => ColumnType::Integer { bits: 32 },
            "int64" => ColumnType::Integer { bits: 64 },
            "float" => ColumnType::Float { bits: 32 },
            "double" => ColumnType::Float { bits: 64 },
            "string" => ColumnType::Text,
            "bytes" => ColumnType::Bytes(BytesNotation::Base64),
            "array" | "map" | "struct" => ColumnType::Nested,
            other => return Err(format!("unknown schema type '{other}'")),
        })
    }

    fn semantic_type(&self) -> Result<Option<ColumnType>, String> {
        let Some(name) = self.name.as_deref() else { return Ok(None) };
        Ok(Some(match name {
            "org.apache.kafka.connect.data.Decimal" => ColumnType::Decimal {
                precision: self.number("connect.decimal.precision")?,
                scale: self.number("scale")?.ok_or("a decimal without scale")?,
            },
            "io.debezium.data.VariableScaleDecimal" => ColumnType::VariableDecimal,
            "io.debezium.data.Json" => ColumnType::Json,
            "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => {
                ColumnType::Date(DateNotation::Days)
            }
            "io.debezium.time.IsoDate" => ColumnType::Date(DateNotation::Iso),
            "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => {
                ColumnType::Time(TimeNotation::Millis)
            }
            "io.debezium.time.MicroTime" => ColumnType::Time(TimeNotation::Micros),
            "io.debezium.time.NanoTime" => ColumnType::Time(TimeNotation::Nanos),
            "io.debezium.time.IsoTime" => ColumnType::Time(TimeNotation::Iso),
            "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => {
                ColumnType::Timestamp(TimeNotation::Millis)
            }
            "io.debezium.time.MicroTimestamp" => ColumnType::Timestamp(TimeNotation::Micros),
            "io.debezium.time.NanoTimestamp" => ColumnType::Timestamp(TimeNotation::Nanos),
            "io.debezium.time.IsoTimestamp" => ColumnType::Timestamp(TimeNotation::Iso),
            "io.debezium.time.ZonedTimestamp" => ColumnType::ZonedTimestamp,
            _ => return Ok(None),
        }))
    }

    fn number<N: std::str::FromStr>(&self, parameter: &str) -> Result<Option<N>, String> {
        let Some(text) = self.parameters.as_ref().and_then(|all| all.get(parameter)) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("parameter {parameter} is not a number: '{text}'"))
    }
}
