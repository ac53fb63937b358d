//! The one way to write a value, whatever the form.
//!
//! A type says what a value *is* (an integer, text, an unscaled decimal); a [`ValueWriter`] decides how
//! that looks. Writers append to a buffer of their own that is reused from record to record.

use std::str::Utf8Error;

use crate::schema::Schema;

/// Writes the values of one record after the other.
pub trait ValueWriter {
    /// Starts a record; `prefix` is what the form puts before the payload (a rendered schema, a schema id).
    fn begin_record(&mut self, prefix: &[u8]);
    /// Ends a record with what the form puts behind the payload.
    fn end_record(&mut self, suffix: &[u8]);

    /// Tells what is known about the next value where no field's name tells it: a whole record, an item.
    #[inline]
    fn slot(&mut self, slot: Slot) {
        let _ = slot;
    }

    /// SQL NULL, or an absent optional value.
    fn null(&mut self);
    /// A boolean.
    fn boolean(&mut self, value: bool);
    /// An integer of any width; the schema knows the width.
    fn int(&mut self, value: i64);
    /// The same where its decimal digits are at hand, without zeros before them.
    #[inline]
    fn int_with_digits(&mut self, value: i64, digits: &[u8]) {
        let _ = digits;
        self.int(value);
    }
    /// A 32-bit float; NaN and the infinities are legal.
    fn float32(&mut self, value: f32);
    /// A 64-bit float; NaN and the infinities are legal.
    fn float64(&mut self, value: f64);
    /// Text.
    fn string(&mut self, value: &str);
    /// Text that may turn out not to be UTF-8; nothing is written then.
    ///
    /// # Errors
    /// Not UTF-8.
    #[inline]
    fn utf8(&mut self, value: &[u8]) -> Result<(), Utf8Error> {
        self.string(std::str::from_utf8(value)?);
        Ok(())
    }
    /// Text that holds digits between two parts that are known before.
    fn digits_between(&mut self, before: &TextPart, digits: &str, behind: &TextPart) {
        self.string(&format!("{}{digits}{}", before.text, behind.text));
    }
    /// Bytes.
    fn bytes(&mut self, value: &[u8]);
    /// A decimal: big-endian two's complement of minimal length, and the scale that the schema has too.
    fn decimal(&mut self, unscaled: &[u8], scale: i32);

    /// Starts a struct.
    fn begin_struct(&mut self);
    /// Names the next value of the open struct.
    fn field(&mut self, name: &FieldName);
    /// Ends the struct.
    fn end_struct(&mut self);
    /// Starts an array of `length` values.
    fn begin_array(&mut self, length: usize);
    /// Ends the array.
    fn end_array(&mut self);
    /// Starts a map with text keys and `length` entries.
    fn begin_map(&mut self, length: usize);
    /// Names the next entry of the open map.
    fn map_key(&mut self, key: &str);
    /// Ends the map.
    fn end_map(&mut self);

    /// Splices complete fields of the open struct that a writer of the same kind wrote before.
    fn fragment(&mut self, fields: &[u8]);

    /// Length of the buffer, to cut it again with [`ValueWriter::rewind`].
    fn mark(&self) -> Mark;
    /// Forgets everything written since `mark`.
    fn rewind(&mut self, mark: Mark);
    /// Replaces `into` by everything written since `mark`, and forgets it here.
    fn take_since(&mut self, mark: Mark, into: &mut Vec<u8>);
    /// Takes back the one text that was written since `mark`; anything but text stays, and so does text in a form
    /// from which it cannot be read.
    fn take_string(&mut self, mark: Mark) -> Option<String> {
        let _ = mark;
        None
    }
}

/// A place in a writer's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Bytes in the buffer.
    pub length: usize,
    /// Open structs, arrays and maps.
    pub(crate) depth: u32,
    /// Bytes since the open field began, and whether a separator stands there.
    pub(crate) field: u32,
    pub(crate) field_separate: bool,
    pub(crate) separate: bool,
    pub(crate) slot: Slot,
}

/// Whether a value may be null, and where null then stands in its Avro union.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nullable {
    /// No union.
    #[default]
    Never,
    /// `[null, T]`
    First,
    /// `[T, null]`, because the default is a `T`.
    Last,
}

/// What a form without names and types in its bytes must know about the next value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot {
    /// The value itself.
    pub own: Nullable,
    /// Its items, if it is an array or a map.
    pub item: Nullable,
    /// Their items, if they are arrays or maps: there is nothing deeper.
    pub inner: Nullable,
    /// What its integers, or those of its items, mean.
    pub integers: Integers,
}

/// What integers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Integers {
    /// Themselves.
    #[default]
    Plain,
    /// Days since 1970, of `org.apache.kafka.connect.data.Date`.
    Days,
    /// Milliseconds, of `org.apache.kafka.connect.data.Time` and `Timestamp`.
    Milliseconds,
}

/// A part of a text, with what the JSON form makes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextPart {
    text: String,
    json: Vec<u8>,
}

impl TextPart {
    /// Prepares a part.
    pub fn new(text: impl Into<String>) -> Self {
        let mut part = TextPart { text: text.into(), json: Vec::new() };
        part.render();
        part
    }

    /// Prepares another part in the same place.
    pub fn set(&mut self, write: impl FnOnce(&mut String) -> std::fmt::Result) {
        self.text.clear();
        let written = write(&mut self.text);
        debug_assert!(written.is_ok(), "a String takes all that it is given");
        self.render();
    }

    fn render(&mut self) {
        self.json.clear();
        crate::format::json::write_string(&mut self.json, &self.text);
        self.json.pop();
        self.json.remove(0);
    }

    /// The plain text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Escaped, without quotes.
    pub(crate) fn json(&self) -> &[u8] {
        &self.json
    }
}

/// A field's name with the text that the JSON form puts before the value, and with what other forms must know
/// about the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName {
    name: String,
    json: Vec<u8>,
    slot: Slot,
}

impl FieldName {
    /// Prepares the name of a field that is never null.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let mut json = Vec::with_capacity(name.len() + 4);
        json.push(b',');
        crate::format::json::write_string(&mut json, &name);
        json.push(b':');
        FieldName { name, json, slot: Slot::default() }
    }

    /// Prepares the name of a field of this schema.
    pub fn of(name: impl Into<String>, schema: &Schema) -> Self {
        FieldName { slot: schema.slot(), ..FieldName::new(name) }
    }

    /// Prepares the name of an optional field without default.
    pub fn optional(name: impl Into<String>) -> Self {
        FieldName { slot: Slot { own: Nullable::First, ..Slot::default() }, ..FieldName::new(name) }
    }

    /// What is known about the field's value.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The plain name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// `"name":`, and a comma before it behind another field.
    #[inline]
    pub(crate) fn json(&self, separate: bool) -> &[u8] {
        self.json.get(usize::from(!separate)..).unwrap_or_default()
    }
}

/// A value that is known before any row: a default, a placeholder, a stand-in.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// Null.
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
    /// `io.debezium.data.VariableScaleDecimal`.
    VariableScaleDecimal(Vec<u8>, i32),
    /// A map of text to text.
    Map(Vec<(String, String)>),
    /// An array.
    Array(Vec<Literal>),
    /// A struct.
    Struct(Vec<(FieldName, Literal)>),
}

impl Literal {
    /// Writes it.
    pub fn write<W: ValueWriter>(&self, writer: &mut W) {
        match self {
            Literal::Null => writer.null(),
            Literal::Boolean(value) => writer.boolean(*value),
            Literal::Int(value) => writer.int(*value),
            Literal::Float32(value) => writer.float32(*value),
            Literal::Float64(value) => writer.float64(*value),
            Literal::String(value) => writer.string(value),
            Literal::Bytes(value) => writer.bytes(value),
            Literal::Decimal(unscaled, scale) => writer.decimal(unscaled, *scale),
            Literal::VariableScaleDecimal(unscaled, scale) => {
                write_variable_scale_decimal(writer, unscaled, *scale);
            }
            Literal::Map(entries) => {
                writer.begin_map(entries.len());
                for (key, value) in entries {
                    writer.map_key(key);
                    writer.string(value);
                }
                writer.end_map();
            }
            Literal::Array(items) => {
                writer.begin_array(items.len());
                items.iter().for_each(|item| item.write(writer));
                writer.end_array();
            }
            Literal::Struct(fields) => {
                writer.begin_struct();
                for (name, value) in fields {
                    writer.field(name);
                    value.write(writer);
                }
                writer.end_struct();
            }
        }
    }
}

/// Writes a `io.debezium.data.VariableScaleDecimal`: `{scale int32, value bytes}`.
pub fn write_variable_scale_decimal<W: ValueWriter>(writer: &mut W, unscaled: &[u8], scale: i32) {
    static NAMES: std::sync::LazyLock<(FieldName, FieldName)> =
        std::sync::LazyLock::new(|| (FieldName::new("scale"), FieldName::new("value")));
    writer.begin_struct();
    writer.field(&NAMES.0);
    writer.int(scale.into());
    writer.field(&NAMES.1);
    writer.bytes(unscaled);
    writer.end_struct();
}
