//! Values as a tape of tags: what a table's writers write where a transformation needs the tree.
//!
//! The tape is plain bytes, so that parts which are rendered once can be spliced as in any other form.

use super::value::Value;
use crate::schema::{Kind, Schema};
use crate::value::{FieldName, Mark, ValueWriter};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT32: u8 = 4;
const FLOAT64: u8 = 5;
const STRING: u8 = 6;
const BYTES: u8 = 7;
const DECIMAL: u8 = 8;
const BEGIN: u8 = 9;
const END: u8 = 10;

/// Appends values to a tape. Fields have no names on it: they come in the schema's order.
#[derive(Debug, Default)]
pub struct TapeWriter {
    out: Vec<u8>,
}

impl TapeWriter {
    /// All that was written since the last [`TapeWriter::clear`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Starts over with an empty buffer that keeps its capacity.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    fn sized(&mut self, tag: u8, bytes: &[u8]) {
        self.out.push(tag);
        self.out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.out.extend_from_slice(bytes);
    }
}

impl ValueWriter for TapeWriter {
    fn begin_record(&mut self, prefix: &[u8]) {
        self.out.extend_from_slice(prefix);
    }

    fn end_record(&mut self, suffix: &[u8]) {
        self.out.extend_from_slice(suffix);
    }

    fn null(&mut self) {
        self.out.push(NULL);
    }

    fn boolean(&mut self, value: bool) {
        self.out.push(if value { TRUE } else { FALSE });
    }

    fn int(&mut self, value: i64) {
        self.out.push(INT);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn float32(&mut self, value: f32) {
        self.out.push(FLOAT32);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn float64(&mut self, value: f64) {
        self.out.push(FLOAT64);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn string(&mut self, value: &str) {
        self.sized(STRING, value.as_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.sized(BYTES, value);
    }

    fn decimal(&mut self, unscaled: &[u8], scale: i32) {
        self.sized(DECIMAL, unscaled);
        self.out.extend_from_slice(&scale.to_le_bytes());
    }

    fn begin_struct(&mut self) {
        self.out.push(BEGIN);
    }

    fn field(&mut self, _name: &FieldName) {}

    fn end_struct(&mut self) {
        self.out.push(END);
    }

    fn begin_array(&mut self, _length: usize) {
        self.out.push(BEGIN);
    }

    fn end_array(&mut self) {
        self.out.push(END);
    }

    fn begin_map(&mut self, _length: usize) {
        self.out.push(BEGIN);
    }

    fn map_key(&mut self, key: &str) {
        self.string(key);
    }

    fn end_map(&mut self) {
        self.out.push(END);
    }

    fn fragment(&mut self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
    }

    fn mark(&self) -> Mark {
        Mark { length: self.out.len(), ..Mark::default() }
    }

    fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.length);
    }

    fn take_since(&mut self, mark: Mark, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(self.out.get(mark.length..).unwrap_or_default());
        self.rewind(mark);
    }

    fn take_string(&mut self, mark: Mark) -> Option<String> {
        let written = self.out.get(mark.length..)?;
        let text = match written {
            [STRING, _, _, _, _, text @ ..] => String::from_utf8(text.to_vec()).ok()?,
            _ => return None,
        };
        self.rewind(mark);
        Some(text)
    }
}

/// Reads one value of `schema` from the start of a tape; `None` if the tape is not of that schema.
pub fn read(schema: &Schema, tape: &[u8]) -> Option<Value> {
    let mut reader = Reader { tape };
    let value = reader.value(schema)?;
    reader.tape.is_empty().then_some(value)
}

struct Reader<'a> {
    tape: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.tape.split_first_chunk::<N>()?;
        self.tape = rest;
        Some(*taken)
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        let (taken, rest) = self.tape.split_at_checked(length)?;
        self.tape = rest;
        Some(taken)
    }

    fn at_end(&mut self) -> bool {
        let is_end = self.tape.first() == Some(&END);
        if is_end {
            self.tape = self.tape.get(1..).unwrap_or_default();
        }
        is_end
    }

    fn value(&mut self, schema: &Schema) -> Option<Value> {
        let [tag] = self.take()?;
        Some(match tag {
            NULL => Value::Null,
            FALSE => Value::Boolean(false),
            TRUE => Value::Boolean(true),
            INT => Value::Int(i64::from_le_bytes(self.take()?)),
            FLOAT32 => Value::Float32(f32::from_le_bytes(self.take()?)),
            FLOAT64 => Value::Float64(f64::from_le_bytes(self.take()?)),
            STRING => Value::String(std::str::from_utf8(self.sized()?).ok()?.to_owned()),
            BYTES => Value::Bytes(self.sized()?.to_vec()),
            DECIMAL => {
                let unscaled = self.sized()?.to_vec();
                Value::Decimal(unscaled, i32::from_le_bytes(self.take()?))
            }
            BEGIN => self.nested(schema)?,
            _ => return None,
        })
    }

    fn nested(&mut self, schema: &Schema) -> Option<Value> {
        match &schema.kind {
            Kind::Struct(fields) => {
                let values = fields.iter().map(|field| self.value(&field.schema)).collect::<Option<_>>()?;
                self.at_end().then_some(Value::Struct(values))
            }
            Kind::Array(items) => {
                let mut values = Vec::new();
                while !self.at_end() {
                    values.push(self.value(items)?);
                }
                Some(Value::Array(values))
            }
            Kind::Map(keys, values) => {
                let mut entries = Vec::new();
                while !self.at_end() {
                    entries.push((self.value(keys)?, self.value(values)?));
                }
                Some(Value::Map(entries))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    fn schema() -> Schema {
        let text = || Schema::new(Kind::String).optional(true);
        let map = Kind::Map(Box::new(Schema::new(Kind::String)), Box::new(text()));
        Schema::structure(vec![
            Schema::new(Kind::Boolean).field("b"),
            Schema::new(Kind::Int64).field("i"),
            Schema::new(Kind::Float32).field("f"),
            Schema::new(Kind::Float64).field("d"),
            Schema::new(Kind::Bytes).field("y"),
            Schema::new(Kind::Bytes).named("org.apache.kafka.connect.data.Decimal").field("n"),
            Schema::new(Kind::Array(Box::new(text()))).field("a"),
            Schema::new(map).field("m"),
            Schema::structure(vec![text().field("x")]).field("s"),
        ])
    }

    fn write(writer: &mut TapeWriter) {
        let name = FieldName::new("any");
        let mark = writer.mark();
        writer.field(&name);
        writer.string("spliced");
        let mut fragment = Vec::new();
        writer.take_since(mark, &mut fragment);
        writer.begin_struct();
        writer.boolean(true);
        writer.int(i64::MIN);
        writer.float32(-0.5);
        writer.float64(1e300);
        writer.bytes(&[0, 255]);
        writer.decimal(&[1, 94], 2);
        writer.begin_array(2);
        writer.null();
        writer.string("ü");
        writer.end_array();
        writer.begin_map(1);
        writer.map_key("k");
        let mark = writer.mark();
        writer.string("forgotten");
        assert_eq!(writer.take_string(mark).as_deref(), Some("forgotten"));
        writer.null();
        let last = writer.mark();
        assert_eq!(writer.take_string(last), None);
        writer.end_map();
        writer.begin_struct();
        writer.fragment(&fragment);
        writer.end_struct();
        writer.end_struct();
    }

    #[test]
    fn what_is_written_is_read() {
        let mut writer = TapeWriter::default();
        write(&mut writer);
        let text = |text: &str| Value::String(text.to_owned());
        let expected = Value::Struct(vec![
            Value::Boolean(true),
            Value::Int(i64::MIN),
            Value::Float32(-0.5),
            Value::Float64(1e300),
            Value::Bytes(vec![0, 255]),
            Value::Decimal(vec![1, 94], 2),
            Value::Array(vec![Value::Null, text("ü")]),
            Value::Map(vec![(text("k"), Value::Null)]),
            Value::Struct(vec![text("spliced")]),
        ]);
        assert_eq!(read(&schema(), writer.as_bytes()), Some(expected));
    }

    #[test]
    fn a_tape_of_another_schema_is_nothing() {
        let mut writer = TapeWriter::default();
        write(&mut writer);
        let tape = writer.as_bytes();
        for length in 0..tape.len() {
            assert_eq!(read(&schema(), &tape[..length]), None, "{length}");
        }
        assert_eq!(read(&schema(), &[tape, &[NULL]].concat()), None);
        assert_eq!(read(&Schema::new(Kind::Int64), tape), None);
    }
}
