//! How keys and values are written: Kafka Connect's converters, their options, and the names that they ask for.

use cdcd_debezium::format::avro_schema::{self, MetaData};
use cdcd_debezium::format::json::{DecimalFormat, Frame};
use cdcd_debezium::format::writer::RecordWriter;
use cdcd_debezium::schema::Schema;
use cdcd_debezium::transform::Form;

/// `key.converter` or `value.converter` with its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Converter {
    /// JsonConverter.
    Json(JsonOptions),
    /// AvroConverter: Confluent's wire format; schema ids come by [`crate::Capture::poll_schema_request`].
    Avro(AvroOptions),
    /// StringConverter: what Java's `toString` makes of a struct.
    Text,
    /// ByteArrayConverter: bytes that `transforms` take out of an event.
    Bytes,
}

/// JsonConverter options of the key or the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonOptions {
    /// `schemas.enable`
    pub schemas: bool,
    /// `replace.null.with.default`
    pub null_as_default: bool,
    /// `decimal.format`
    pub decimal: DecimalFormat,
}

impl Default for JsonOptions {
    fn default() -> Self {
        JsonOptions { schemas: true, null_as_default: true, decimal: DecimalFormat::Base64 }
    }
}

impl From<JsonOptions> for Converter {
    fn from(options: JsonOptions) -> Self {
        Converter::Json(options)
    }
}

/// AvroConverter options of the key or the value that bytes and schemas depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvroOptions {
    /// `connect.meta.data`
    pub meta_data: MetaData,
    /// Off with `ignore.default.for.nullables`.
    pub null_as_default: bool,
    /// `key.subject.name.strategy`, `value.subject.name.strategy`
    pub subject: SubjectName,
}

impl Default for AvroOptions {
    fn default() -> Self {
        AvroOptions { meta_data: MetaData::Kept, null_as_default: true, subject: SubjectName::Topic }
    }
}

/// What a schema is registered under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubjectName {
    /// TopicNameStrategy: `<topic>-key`, `<topic>-value`
    #[default]
    Topic,
    /// RecordNameStrategy: the record's full name.
    Record,
    /// TopicRecordNameStrategy: `<topic>-<record's full name>`
    TopicRecord,
}

/// `schema.name.adjustment.mode`, `field.name.adjustment.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameAdjustment {
    /// Names stay what they are.
    #[default]
    None,
    /// What Avro does not allow becomes `_`.
    Avro,
    /// What Avro does not allow, and `_` itself, becomes `_u` with its hexadecimal code.
    AvroUnicode,
}

/// A schema that needs an id before records of it can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaRequest {
    /// Whose schema it is: keys and values may have registries of their own.
    pub half: Half,
    /// What it is registered under.
    pub subject: String,
    /// Avro schema in JSON.
    pub schema: String,
}

/// Which half of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

/// What surrounds records of a schema: known at once, or when its id is.
#[derive(Debug)]
pub(crate) enum Framing {
    Known(Frame),
    Asked(SchemaRequest),
}

impl Converter {
    /// Whether the default stands for null.
    pub(crate) fn null_as_default(&self) -> bool {
        match self {
            Converter::Json(options) => options.null_as_default,
            Converter::Avro(options) => options.null_as_default,
            Converter::Text | Converter::Bytes => false,
        }
    }

    /// How values and schemas that transformations leave are written.
    pub(crate) fn form(&self) -> Form {
        match self {
            Converter::Json(options) => Form::Json { schemas: options.schemas, decimal: options.decimal },
            Converter::Avro(_) => Form::Avro,
            Converter::Text => Form::Text,
            Converter::Bytes => Form::Bytes,
        }
    }

    pub(crate) fn writer(&self) -> RecordWriter {
        match self {
            Converter::Json(options) => RecordWriter::json(options.decimal),
            Converter::Avro(_) => RecordWriter::avro(),
            Converter::Text | Converter::Bytes => RecordWriter::text(),
        }
    }

    /// What surrounds records of `schema` in `topic`.
    pub(crate) fn framing(
        &self,
        half: Half,
        topic: &str,
        schema: &Schema,
    ) -> Result<Framing, avro_schema::InvalidName> {
        Ok(match self {
            Converter::Json(options) if options.schemas => {
                Framing::Known(Frame::with_schema(schema, options.decimal))
            }
            Converter::Json(_) | Converter::Text | Converter::Bytes => Framing::Known(Frame::bare()),
            Converter::Avro(options) => Framing::Asked(options.request(half, topic, schema)?),
        })
    }
}

impl SubjectName {
    pub(crate) fn of(self, half: Half, topic: &str, record: &str) -> String {
        match self {
            SubjectName::Topic => format!("{topic}-{}", if half == Half::Key { "key" } else { "value" }),
            SubjectName::Record => record.to_owned(),
            SubjectName::TopicRecord => format!("{topic}-{record}"),
        }
    }
}

impl NameAdjustment {
    /// A schema's name, in which dots are allowed.
    pub(crate) fn schema(self, name: &str) -> String {
        self.adjust(name, true)
    }

    /// A field's name.
    pub(crate) fn field(self, name: &str) -> String {
        self.adjust(name, false)
    }

    fn adjust(self, name: &str, dots: bool) -> String {
        if self == NameAdjustment::None {
            return name.to_owned();
        }
        let is_plain = |unit: u16, first: bool| {
            let byte = u8::try_from(unit).unwrap_or(0);
            byte.is_ascii_alphabetic()
                || byte == b'_' && self == NameAdjustment::Avro
                || !first && (byte.is_ascii_digit() || dots && byte == b'.')
        };
        let mut adjusted = String::with_capacity(name.len());
        // Java looks at UTF-16 units.
        for (index, unit) in name.encode_utf16().enumerate() {
            let character = char::from_u32(unit.into()).unwrap_or_default();
            if is_plain(unit, index == 0) {
                adjusted.push(character);
            } else if self == NameAdjustment::AvroUnicode {
                // Two zeros before one or two digits and none before three: so do Debezium's names.
                let zeros = if unit <= 0xff { "00" } else { "" };
                adjusted.push_str(&format!("_u{zeros}{unit:x}"));
            } else {
                adjusted.push('_');
                // So that names that differ in a digit at their start stay apart.
                if index == 0 && character.is_ascii_digit() {
                    adjusted.push(character);
                }
            }
        }
        adjusted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_adjusted_as_debezium_does() {
        assert_eq!(NameAdjustment::AvroUnicode.field("a\tłb漢"), "a_u009_u142b_u6f22");
        let check = |mode: NameAdjustment, schema: &str, field: &str| {
            assert_eq!(mode.schema("1a-b_c.dé.Value"), schema);
            assert_eq!(mode.field("1a-b_c.dé"), field);
        };
        check(NameAdjustment::None, "1a-b_c.dé.Value", "1a-b_c.dé");
        check(NameAdjustment::Avro, "_1a_b_c.d_.Value", "_1a_b_c_d_");
        check(
            NameAdjustment::AvroUnicode,
            "_u0031a_u002db_u005fc.d_u00e9.Value",
            "_u0031a_u002db_u005fc_u002ed_u00e9",
        );
    }

    #[test]
    fn subjects_follow_their_strategy() {
        for (strategy, expected) in [
            (SubjectName::Topic, "t-key"),
            (SubjectName::Record, "a.b.Key"),
            (SubjectName::TopicRecord, "t-a.b.Key"),
        ] {
            assert_eq!(strategy.of(Half::Key, "t", "a.b.Key"), expected);
        }
        assert_eq!(SubjectName::Topic.of(Half::Value, "t", "a.b.Envelope"), "t-value");
    }
}
