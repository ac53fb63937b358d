//! Kafka Connect's StringConverter form: what Java's `toString` makes of a struct.
//!
//! It is for people: nulls and quotes are left out, and what a value was cannot be told from it.

use super::java;
use crate::value::{FieldName, Integers, Mark, Slot, ValueWriter};

const DAY_MS: i64 = 86_400_000;

/// Appends records in `Struct.toString`'s form to one buffer.
#[derive(Debug, Default)]
pub struct TextWriter {
    out: Vec<u8>,
    /// Whether the next value or field needs a separator before it.
    separate: bool,
    /// Separators between the values of the open arrays and maps; none inside of structs.
    open: Vec<Open>,
    /// Where the open field begins and whether a separator stands there, to be taken back if its value is null.
    field: (usize, bool),
    integers: Integers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Struct,
    List,
}

impl TextWriter {
    /// All that was written since the last [`TextWriter::clear`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Starts over with an empty buffer that keeps its capacity.
    pub fn clear(&mut self) {
        self.out.clear();
        self.open.clear();
        self.separate = false;
        self.field = (0, false);
    }

    /// Gives capacity back after an unusually large record.
    pub fn shrink_to(&mut self, capacity: usize) {
        self.out.shrink_to(capacity);
    }

    fn value(&mut self) {
        if self.separate && self.open.last() == Some(&Open::List) {
            self.out.extend_from_slice(b", ");
        }
        self.separate = true;
    }

    fn text(&mut self, text: &str) {
        self.value();
        self.out.extend_from_slice(text.as_bytes());
    }

    fn begin(&mut self, head: &str, open: Open) {
        self.text(head);
        self.open.push(open);
        self.separate = false;
    }

    fn end(&mut self, tail: u8) {
        self.out.push(tail);
        self.open.pop();
        self.separate = true;
    }

    /// A float as Java prints it, without the quotes that JSON puts around NaN and the infinities.
    fn float(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.value();
        let start = self.out.len();
        write(&mut self.out);
        if self.out.get(start) == Some(&b'"') {
            self.out.pop();
            self.out.remove(start);
        }
    }
}

impl ValueWriter for TextWriter {
    #[inline]
    fn begin_record(&mut self, prefix: &[u8]) {
        self.out.extend_from_slice(prefix);
        self.open.clear();
        self.separate = false;
    }

    #[inline]
    fn end_record(&mut self, suffix: &[u8]) {
        self.out.extend_from_slice(suffix);
    }

    fn slot(&mut self, slot: Slot) {
        self.integers = slot.integers;
    }

    fn null(&mut self) {
        match self.open.last() {
            Some(Open::List) => self.text("null"),
            // Also in a fragment, whose struct is open elsewhere.
            Some(Open::Struct) | None => {
                let (start, separate) = self.field;
                self.out.truncate(start);
                self.separate = separate;
            }
        }
    }

    fn boolean(&mut self, value: bool) {
        self.text(if value { "true" } else { "false" });
    }

    fn int(&mut self, value: i64) {
        match self.integers {
            Integers::Plain => self.text(itoa::Buffer::new().format(value)),
            Integers::Days => self.text(&java::date_text(value.saturating_mul(DAY_MS))),
            Integers::Milliseconds => self.text(&java::date_text(value)),
        }
    }

    fn float32(&mut self, value: f32) {
        self.float(|out| java::write_f32(out, value));
    }

    fn float64(&mut self, value: f64) {
        self.float(|out| java::write_f64(out, value));
    }

    fn string(&mut self, value: &str) {
        self.text(value);
    }

    fn bytes(&mut self, value: &[u8]) {
        let length = value.len();
        self.text(&format!("java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]"));
    }

    fn decimal(&mut self, unscaled: &[u8], scale: i32) {
        self.text(&java::decimal(unscaled, scale));
    }

    fn begin_struct(&mut self) {
        self.begin("Struct{", Open::Struct);
    }

    fn field(&mut self, name: &FieldName) {
        self.field = (self.out.len(), self.separate);
        if self.separate {
            self.out.push(b',');
        }
        self.out.extend_from_slice(name.as_str().as_bytes());
        self.out.push(b'=');
        self.separate = false;
        self.integers = name.slot().integers;
    }

    fn end_struct(&mut self) {
        self.end(b'}');
    }

    fn begin_array(&mut self, _length: usize) {
        self.begin("[", Open::List);
    }

    fn end_array(&mut self) {
        self.end(b']');
    }

    fn begin_map(&mut self, _length: usize) {
        self.begin("{", Open::List);
    }

    fn map_key(&mut self, key: &str) {
        self.text(key);
        self.out.push(b'=');
        self.separate = false;
    }

    fn end_map(&mut self) {
        self.end(b'}');
    }

    fn fragment(&mut self, fields: &[u8]) {
        if fields.is_empty() {
            return;
        }
        if self.separate {
            self.out.push(b',');
        }
        self.out.extend_from_slice(fields);
        self.separate = true;
    }

    #[inline]
    fn mark(&self) -> Mark {
        Mark {
            length: self.out.len(),
            separate: self.separate,
            depth: self.open.len() as u32,
            field: (self.out.len() - self.field.0) as u32,
            field_separate: self.field.1,
            ..Mark::default()
        }
    }

    fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.length);
        self.open.truncate(mark.depth as usize);
        self.separate = mark.separate;
        self.field = (mark.length - mark.field as usize, mark.field_separate);
    }

    fn take_since(&mut self, mark: Mark, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(self.out.get(mark.length..).unwrap_or_default());
        self.rewind(mark);
    }

    fn take_string(&mut self, mark: Mark) -> Option<String> {
        let text = std::str::from_utf8(self.out.get(mark.length..)?).ok()?.to_owned();
        self.rewind(mark);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Slot;

    #[test]
    fn structs_look_as_java_prints_them() {
        let mut writer = TextWriter::default();
        writer.begin_struct();
        writer.field(&FieldName::new("gone"));
        writer.null();
        writer.field(&FieldName::new("a"));
        writer.int(1);
        writer.field(&FieldName::optional("gone"));
        writer.null();
        writer.field(&FieldName::new("b"));
        writer.string("x,y");
        writer.fragment(b"");
        writer.fragment(b"f=1,g=2");
        writer.field(&FieldName::new("list"));
        writer.begin_array(3);
        writer.float64(f64::NAN);
        writer.null();
        writer.begin_struct();
        writer.field(&FieldName::new("n"));
        writer.boolean(true);
        writer.end_struct();
        writer.end_array();
        writer.field(&FieldName::new("map"));
        writer.begin_map(2);
        writer.map_key("k");
        writer.null();
        writer.map_key("l");
        writer.decimal(&[1, 0x5e], 2);
        writer.end_map();
        writer.field(&FieldName::new("bytes"));
        writer.bytes(&[1, 2, 3]);
        writer.end_struct();
        let text = std::str::from_utf8(writer.as_bytes()).unwrap();
        assert_eq!(
            text,
            "Struct{a=1,b=x,y,f=1,g=2,list=[NaN, null, Struct{n=true}],map={k=null, l=3.50},\
             bytes=java.nio.HeapByteBuffer[pos=0 lim=3 cap=3]}"
        );
    }

    #[test]
    fn fragments_leave_nulls_out_and_dates_are_javas() {
        let mut writer = TextWriter::default();
        let mark = writer.mark();
        writer.begin_record(&[]);
        writer.field(&FieldName::optional("a"));
        writer.null();
        writer.field(&FieldName::new("b"));
        writer.string("x");
        let mut fragment = Vec::new();
        writer.take_since(mark, &mut fragment);
        assert_eq!(fragment, b"b=x");
        let date = crate::schema::Schema::new(crate::schema::Kind::Int32)
            .named("org.apache.kafka.connect.data.Date");
        let name = FieldName::of("d", &date);
        assert_eq!(name.slot(), Slot { integers: Integers::Days, ..Slot::default() });
        writer.field(&name);
        writer.int(19_783);
        let dates = crate::schema::Schema::new(crate::schema::Kind::Array(Box::new(date)));
        writer.field(&FieldName::of("l", &dates));
        writer.begin_array(1);
        writer.int(19_783);
        writer.end_array();
        let text = std::str::from_utf8(writer.as_bytes()).unwrap();
        assert_eq!(text, "d=Fri Mar 01 00:00:00 UTC 2024,l=[Fri Mar 01 00:00:00 UTC 2024]");
    }

    #[test]
    fn a_cleared_writer_starts_over() {
        let mut writer = TextWriter::default();
        for _ in 0..2 {
            assert_eq!(writer.mark(), Mark::default());
            writer.begin_struct();
            writer.field(&FieldName::new("long_name"));
            writer.string("some text");
            writer.end_struct();
            assert_eq!(writer.as_bytes(), b"Struct{long_name=some text}");
            writer.clear();
        }
    }

    #[test]
    fn a_null_after_a_failed_value_takes_the_name_back() {
        let mut writer = TextWriter::default();
        writer.begin_struct();
        writer.field(&FieldName::new("a"));
        writer.int(1);
        writer.field(&FieldName::new("b"));
        let mark = writer.mark();
        writer.begin_struct();
        writer.field(&FieldName::new("c"));
        writer.int(2);
        writer.rewind(mark);
        writer.null();
        writer.end_struct();
        assert_eq!(writer.as_bytes(), b"Struct{a=1}");
    }
}
