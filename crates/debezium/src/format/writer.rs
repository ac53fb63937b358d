//! A writer of whichever form: for what is written now and then, and to be told apart once before what is written often.

use std::str::Utf8Error;

use super::avro::AvroWriter;
use super::json::{DecimalFormat, JsonWriter};
use super::text::TextWriter;
use crate::value::{FieldName, Mark, Slot, TextPart, ValueWriter};

/// Appends records in one of the written forms to one buffer.
#[derive(Debug)]
pub enum RecordWriter {
    /// JsonConverter's.
    Json(JsonWriter),
    /// AvroConverter's.
    Avro(AvroWriter),
    /// StringConverter's.
    Text(TextWriter),
}

impl Default for RecordWriter {
    fn default() -> Self {
        RecordWriter::Json(JsonWriter::default())
    }
}

/// Calls the same method of whichever writer it is.
macro_rules! each {
    ($self:expr, $writer:ident => $call:expr) => {
        match $self {
            RecordWriter::Json($writer) => $call,
            RecordWriter::Avro($writer) => $call,
            RecordWriter::Text($writer) => $call,
        }
    };
}

impl RecordWriter {
    /// JsonConverter's form.
    pub fn json(decimal: DecimalFormat) -> Self {
        RecordWriter::Json(JsonWriter::new(decimal))
    }

    /// AvroConverter's form.
    pub fn avro() -> Self {
        RecordWriter::Avro(AvroWriter::default())
    }

    /// StringConverter's form.
    pub fn text() -> Self {
        RecordWriter::Text(TextWriter::default())
    }

    /// All that was written since the last [`RecordWriter::clear`].
    pub fn as_bytes(&self) -> &[u8] {
        each!(self, writer => writer.as_bytes())
    }

    /// Starts over with an empty buffer that keeps its capacity.
    pub fn clear(&mut self) {
        each!(self, writer => writer.clear());
    }

    /// Gives capacity back after an unusually large record.
    pub fn shrink_to(&mut self, capacity: usize) {
        each!(self, writer => writer.shrink_to(capacity));
    }

    /// Writes the id of a schema into the frame that begins at `start`, where it was not known yet; other forms than
    /// Avro have no ids.
    pub fn set_schema_id(&mut self, start: usize, schema_id: u32) {
        if let RecordWriter::Avro(writer) = self {
            writer.set_schema_id(start, schema_id);
        }
    }

    /// Whether a null was written where the form has no place for it since this was asked last.
    pub fn take_misplaced_null(&mut self) -> bool {
        match self {
            RecordWriter::Avro(writer) => writer.take_misplaced_null(),
            RecordWriter::Json(_) | RecordWriter::Text(_) => false,
        }
    }
}

impl ValueWriter for RecordWriter {
    #[inline]
    fn begin_record(&mut self, prefix: &[u8]) {
        each!(self, writer => writer.begin_record(prefix));
    }

    #[inline]
    fn end_record(&mut self, suffix: &[u8]) {
        each!(self, writer => writer.end_record(suffix));
    }

    fn slot(&mut self, slot: Slot) {
        each!(self, writer => writer.slot(slot));
    }

    #[inline]
    fn null(&mut self) {
        each!(self, writer => writer.null());
    }

    #[inline]
    fn boolean(&mut self, value: bool) {
        each!(self, writer => writer.boolean(value));
    }

    #[inline]
    fn int(&mut self, value: i64) {
        each!(self, writer => writer.int(value));
    }

    #[inline]
    fn int_with_digits(&mut self, value: i64, digits: &[u8]) {
        each!(self, writer => writer.int_with_digits(value, digits));
    }

    #[inline]
    fn float32(&mut self, value: f32) {
        each!(self, writer => writer.float32(value));
    }

    #[inline]
    fn float64(&mut self, value: f64) {
        each!(self, writer => writer.float64(value));
    }

    #[inline]
    fn string(&mut self, value: &str) {
        each!(self, writer => writer.string(value));
    }

    #[inline]
    fn utf8(&mut self, value: &[u8]) -> Result<(), Utf8Error> {
        each!(self, writer => writer.utf8(value))
    }

    #[inline]
    fn digits_between(&mut self, before: &TextPart, digits: &str, behind: &TextPart) {
        each!(self, writer => writer.digits_between(before, digits, behind));
    }

    #[inline]
    fn bytes(&mut self, value: &[u8]) {
        each!(self, writer => writer.bytes(value));
    }

    #[inline]
    fn decimal(&mut self, unscaled: &[u8], scale: i32) {
        each!(self, writer => writer.decimal(unscaled, scale));
    }

    #[inline]
    fn begin_struct(&mut self) {
        each!(self, writer => writer.begin_struct());
    }

    #[inline]
    fn field(&mut self, name: &FieldName) {
        each!(self, writer => writer.field(name));
    }

    #[inline]
    fn end_struct(&mut self) {
        each!(self, writer => writer.end_struct());
    }

    #[inline]
    fn begin_array(&mut self, length: usize) {
        each!(self, writer => writer.begin_array(length));
    }

    #[inline]
    fn end_array(&mut self) {
        each!(self, writer => writer.end_array());
    }

    #[inline]
    fn begin_map(&mut self, length: usize) {
        each!(self, writer => writer.begin_map(length));
    }

    #[inline]
    fn map_key(&mut self, key: &str) {
        each!(self, writer => writer.map_key(key));
    }

    #[inline]
    fn end_map(&mut self) {
        each!(self, writer => writer.end_map());
    }

    #[inline]
    fn fragment(&mut self, fields: &[u8]) {
        each!(self, writer => writer.fragment(fields));
    }

    #[inline]
    fn mark(&self) -> Mark {
        each!(self, writer => writer.mark())
    }

    #[inline]
    fn rewind(&mut self, mark: Mark) {
        each!(self, writer => writer.rewind(mark));
    }

    fn take_since(&mut self, mark: Mark, into: &mut Vec<u8>) {
        each!(self, writer => writer.take_since(mark, into));
    }

    fn take_string(&mut self, mark: Mark) -> Option<String> {
        each!(self, writer => writer.take_string(mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Kind, Schema};

    #[test]
    fn texts_are_changed_in_every_form() {
        let schema = Schema::new(Kind::String).optional(true);
        let name = FieldName::of("t", &schema);
        for (mut writer, expected) in [
            (RecordWriter::json(DecimalFormat::Base64), &br#"{"t":"ab","t":"x","n":1}"#[..]),
            (RecordWriter::avro(), b"\x02\x04ab\x02\x02x\x02"),
            (RecordWriter::text(), b"Struct{t=ab,t=x,n=1}"),
        ] {
            writer.begin_struct();
            for text in ["abcdef", "x"] {
                writer.field(&name);
                let mark = writer.mark();
                writer.string(text);
                let taken = writer.take_string(mark).unwrap();
                writer.string(&taken.chars().take(2).collect::<String>());
            }
            writer.field(&FieldName::new("n"));
            writer.int(1);
            writer.end_struct();
            assert_eq!(writer.as_bytes(), expected);
        }
    }

    #[test]
    fn what_is_no_text_stays() {
        let mut writer = RecordWriter::json(DecimalFormat::Base64);
        writer.begin_array(2);
        writer.int(1);
        let mark = writer.mark();
        writer.null();
        assert_eq!(writer.take_string(mark), None);
        writer.end_array();
        assert_eq!(writer.as_bytes(), b"[1,null]");
    }
}
