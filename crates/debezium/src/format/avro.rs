//! Avro in Confluent's wire format: `| 0 | schema id u32 | Avro binary |`.
//!
//! Binary Avro has no names and no types: a writer must know where unions stand. It learns that from the field
//! names ([`crate::value::Slot`]), which the plan of a table makes from the same schema as the text that is registered.

use crate::format::json::Frame;
use crate::value::{FieldName, Mark, Nullable, Slot, TextPart, ValueWriter};

/// First byte of every record.
pub const MAGIC: u8 = 0;
/// Bytes before the Avro value.
pub const PREFIX_BYTES: usize = 5;

/// What stands before a value of the schema with this id in the registry.
pub fn frame(schema_id: u32) -> Frame {
    let [a, b, c, d] = schema_id.to_be_bytes();
    Frame { prefix: vec![MAGIC, a, b, c, d], suffix: Vec::new() }
}

/// Appends records in Avro's binary encoding to one buffer.
#[derive(Debug, Default)]
pub struct AvroWriter {
    out: Vec<u8>,
    /// What is known about the next value.
    next: Slot,
    /// Slots of the open structs, arrays and maps, to go on with when they end.
    around: Vec<Slot>,
    /// Whether a null was written where the schema has none.
    misplaced_null: bool,
}

impl AvroWriter {
    /// All that was written since the last [`AvroWriter::clear`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Starts over with an empty buffer that keeps its capacity.
    pub fn clear(&mut self) {
        self.out.clear();
        self.around.clear();
        self.next = Slot::default();
    }

    /// Gives capacity back after an unusually large record.
    pub fn shrink_to(&mut self, capacity: usize) {
        self.out.shrink_to(capacity);
    }

    /// Whether a null was written where the schema has none since this was asked last: such a record is not Avro.
    pub fn take_misplaced_null(&mut self) -> bool {
        std::mem::take(&mut self.misplaced_null)
    }

    /// Writes the id of a schema into the frame that begins at `start`, where it was not known yet.
    pub fn set_schema_id(&mut self, start: usize, schema_id: u32) {
        if let Some(place) = self.out.get_mut(start + 1..start + PREFIX_BYTES) {
            place.copy_from_slice(&schema_id.to_be_bytes());
        }
    }

    /// The branch of a value that is not null.
    #[inline]
    fn value(&mut self) {
        match self.next.own {
            Nullable::Never => {}
            Nullable::First => self.out.push(2),
            Nullable::Last => self.out.push(0),
        }
    }

    #[inline]
    fn long(&mut self, value: i64) {
        write_long(&mut self.out, value);
    }

    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.long(bytes.len() as i64);
        self.out.extend_from_slice(bytes);
    }

    /// One block that holds all items; the end of the blocks is written behind them.
    fn begin_block(&mut self, length: usize) {
        self.value();
        if length > 0 {
            self.long(length as i64);
        }
        self.around.push(self.next);
        let Slot { item, inner, integers, .. } = self.next;
        self.next = Slot { own: item, item: inner, inner: Nullable::Never, integers };
    }

    fn end_block(&mut self) {
        self.out.push(0);
        self.next = self.around.pop().unwrap_or_default();
    }
}

/// A zigzag integer, seven bits a byte, lowest first.
#[inline]
fn write_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1 ^ value >> 63).cast_unsigned();
    if rest < 0x80 {
        return out.push(rest as u8);
    }
    let mut bytes = [0; 10];
    let mut length = 0;
    for byte in &mut bytes {
        length += 1;
        *byte = rest as u8 & 0x7f;
        rest >>= 7;
        if rest == 0 {
            break;
        }
        *byte |= 0x80;
    }
    out.extend_from_slice(bytes.get(..length).unwrap_or_default());
}

/// Reads what [`write_long`] wrote.
pub(crate) fn read_long(bytes: &mut &[u8]) -> Option<i64> {
    let mut value: u64 = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

impl ValueWriter for AvroWriter {
    #[inline]
    fn begin_record(&mut self, prefix: &[u8]) {
        self.out.extend_from_slice(prefix);
        self.around.clear();
        self.next = Slot::default();
    }

    #[inline]
    fn end_record(&mut self, suffix: &[u8]) {
        self.out.extend_from_slice(suffix);
    }

    fn slot(&mut self, slot: Slot) {
        self.next = slot;
    }

    #[inline]
    fn null(&mut self) {
        match self.next.own {
            Nullable::Never => self.misplaced_null = true,
            Nullable::First => self.out.push(0),
            Nullable::Last => self.out.push(2),
        }
    }

    #[inline]
    fn boolean(&mut self, value: bool) {
        self.value();
        self.out.push(u8::from(value));
    }

    #[inline]
    fn int(&mut self, value: i64) {
        self.value();
        self.long(value);
    }

    fn float32(&mut self, value: f32) {
        self.value();
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn float64(&mut self, value: f64) {
        self.value();
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    fn string(&mut self, value: &str) {
        self.value();
        self.raw(value.as_bytes());
    }

    #[inline]
    fn digits_between(&mut self, before: &TextPart, digits: &str, behind: &TextPart) {
        self.value();
        let parts = [before.as_str(), digits, behind.as_str()];
        self.long(parts.iter().map(|part| part.len() as i64).sum());
        parts.iter().for_each(|part| self.out.extend_from_slice(part.as_bytes()));
    }

    fn bytes(&mut self, value: &[u8]) {
        self.value();
        self.raw(value);
    }

    fn decimal(&mut self, unscaled: &[u8], _scale: i32) {
        self.value();
        self.raw(unscaled);
    }

    #[inline]
    fn begin_struct(&mut self) {
        self.value();
        self.around.push(self.next);
    }

    #[inline]
    fn field(&mut self, name: &FieldName) {
        self.next = name.slot();
    }

    #[inline]
    fn end_struct(&mut self) {
        self.next = self.around.pop().unwrap_or_default();
    }

    fn begin_array(&mut self, length: usize) {
        self.begin_block(length);
    }

    fn end_array(&mut self) {
        self.end_block();
    }

    fn begin_map(&mut self, length: usize) {
        self.begin_block(length);
    }

    fn map_key(&mut self, key: &str) {
        self.raw(key.as_bytes());
    }

    fn end_map(&mut self) {
        self.end_block();
    }

    #[inline]
    fn fragment(&mut self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
    }

    #[inline]
    fn mark(&self) -> Mark {
        Mark { length: self.out.len(), depth: self.around.len() as u32, slot: self.next, ..Mark::default() }
    }

    fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.length);
        self.around.truncate(mark.depth as usize);
        self.next = mark.slot;
    }

    fn take_since(&mut self, mark: Mark, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(self.out.get(mark.length..).unwrap_or_default());
        self.rewind(mark);
    }

    fn take_string(&mut self, mark: Mark) -> Option<String> {
        let written = self.out.get(mark.length..)?;
        let branch = usize::from(mark.slot.own != Nullable::Never);
        let mut rest = written.get(branch..)?;
        let length = usize::try_from(read_long(&mut rest)?).ok()?;
        let text = std::str::from_utf8(rest).ok().filter(|text| text.len() == length)?.to_owned();
        self.rewind(mark);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{self, Operation};
    use crate::format::avro_schema::{MetaData, render};
    use crate::schema::{Kind, Schema};
    use crate::source::{Constants, Fragments, Snapshot, TableFragment, Transaction};
    use crate::value::Literal;
    use apache_avro::types::Value;

    fn read(schema: &Schema, bytes: &[u8]) -> Value {
        let text = render(schema, MetaData::Kept).unwrap();
        let schema = apache_avro::Schema::parse_str(&text).unwrap();
        let mut rest = bytes;
        let value = apache_avro::reader::datum::GenericDatumReader::builder(&schema)
            .build()
            .unwrap()
            .read_value(&mut rest);
        assert!(rest.is_empty(), "all bytes are of the value");
        value.unwrap()
    }

    fn field<'v>(value: &'v Value, name: &str) -> &'v Value {
        let Value::Record(fields) = value else { panic!("{value:?} is no record") };
        &fields.iter().find(|(field, _)| field == name).unwrap().1
    }

    fn some(branch: u32, value: Value) -> Value {
        Value::Union(branch, Box::new(value))
    }

    #[test]
    fn integers_are_zigzag_of_every_length() {
        for value in [0, -1, 1, 63, -64, 64, 8191, 8192, i64::from(i32::MIN), i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_long(&mut out, value);
            let mut rest = out.as_slice();
            assert_eq!(read_long(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
        let mut out = Vec::new();
        write_long(&mut out, -64);
        write_long(&mut out, 64);
        assert_eq!(out, [0x7f, 0x80, 0x01]);
    }

    #[test]
    fn every_kind_reads_back_where_it_may_be_null_and_where_not() {
        let kinds: Vec<(Kind, Literal, Value)> = vec![
            (Kind::Int16, Literal::Int(-3), Value::Int(-3)),
            (Kind::Int64, Literal::Int(i64::MIN), Value::Long(i64::MIN)),
            (Kind::Float32, Literal::Float32(1.5), Value::Float(1.5)),
            (Kind::Float64, Literal::Float64(-2.25), Value::Double(-2.25)),
            (Kind::Boolean, Literal::Boolean(true), Value::Boolean(true)),
            (Kind::String, Literal::String("ünï".into()), Value::String("ünï".into())),
            (Kind::Bytes, Literal::Bytes(vec![0, 255]), Value::Bytes(vec![0, 255])),
        ];
        for (kind, literal, value) in kinds {
            for (optional, default, branch) in
                [(false, None, None), (true, None, Some(1)), (true, Some(literal.clone()), Some(0))]
            {
                let mut schema = Schema::new(kind.clone()).optional(optional);
                schema.default = default;
                let name = FieldName::of("f", &schema);
                let record = Schema::structure(vec![schema.field("f")]).named("s.r");
                let mut writer = AvroWriter::default();
                writer.begin_struct();
                writer.field(&name);
                literal.write(&mut writer);
                writer.end_struct();
                let expected = branch.map_or(value.clone(), |branch| some(branch, value.clone()));
                assert_eq!(field(&read(&record, writer.as_bytes()), "f"), &expected);
                if let Some(branch) = branch {
                    writer.clear();
                    writer.begin_struct();
                    writer.field(&name);
                    writer.null();
                    writer.end_struct();
                    assert_eq!(field(&read(&record, writer.as_bytes()), "f"), &some(1 - branch, Value::Null));
                }
                assert!(!writer.take_misplaced_null());
            }
        }
    }

    #[test]
    fn arrays_maps_and_structs_inside_of_them_read_back() {
        let point =
            || Schema::structure(vec![Schema::new(Kind::Int32).optional(true).field("x")]).named("s.p");
        let points = Schema::new(Kind::Array(Box::new(point().optional(true)))).optional(true);
        let texts = Schema::new(Kind::Map(
            Box::new(Schema::new(Kind::String)),
            Box::new(Schema::new(Kind::String).optional(true)),
        ));
        let (points_name, texts_name) = (FieldName::of("a", &points), FieldName::of("m", &texts));
        let record = Schema::structure(vec![points.field("a"), texts.field("m")]).named("s.r");
        let mut writer = AvroWriter::default();
        writer.begin_struct();
        writer.field(&points_name);
        writer.begin_array(3);
        writer.begin_struct();
        writer.field(&FieldName::optional("x"));
        writer.int(7);
        writer.end_struct();
        writer.null();
        writer.begin_struct();
        writer.field(&FieldName::optional("x"));
        writer.null();
        writer.end_struct();
        writer.end_array();
        writer.field(&texts_name);
        writer.begin_map(2);
        writer.map_key("k");
        writer.string("v");
        writer.map_key("n");
        writer.null();
        writer.end_map();
        writer.end_struct();
        let value = read(&record, writer.as_bytes());
        let point = |x: Value| some(1, Value::Record(vec![("x".into(), x)]));
        let points = Value::Array(vec![
            point(some(1, Value::Int(7))),
            some(0, Value::Null),
            point(some(0, Value::Null)),
        ]);
        assert_eq!(field(&value, "a"), &some(1, points));
        let Value::Map(map) = field(&value, "m") else { panic!("a map") };
        assert_eq!(map.get("k"), Some(&some(1, Value::String("v".into()))));
        assert_eq!(map.get("n"), Some(&some(0, Value::Null)));
        writer.clear();
        writer.begin_struct();
        writer.field(&points_name);
        writer.begin_array(0);
        writer.end_array();
        writer.field(&texts_name);
        writer.begin_map(0);
        writer.end_map();
        writer.end_struct();
        assert_eq!(writer.as_bytes(), [2, 0, 0], "an empty block list is its end alone");
    }

    #[test]
    fn maps_in_an_array_have_nulls_of_their_own() {
        let text = || Schema::new(Kind::String);
        let map = Schema::new(Kind::Map(Box::new(text()), Box::new(text().optional(true))));
        for items_optional in [false, true] {
            let items = map.clone().optional(items_optional);
            let maps = Schema::new(Kind::Array(Box::new(items))).optional(true);
            let name = FieldName::of("a", &maps);
            let record = Schema::structure(vec![maps.field("a")]).named("s.r");
            let mut writer = AvroWriter::default();
            writer.begin_struct();
            writer.field(&name);
            writer.begin_array(2);
            for value in [None, Some("v")] {
                writer.begin_map(1);
                writer.map_key("k");
                match value {
                    None => writer.null(),
                    Some(value) => writer.string(value),
                }
                writer.end_map();
            }
            writer.end_array();
            writer.end_struct();
            let value = read(&record, writer.as_bytes());
            let Value::Union(1, maps) = field(&value, "a") else { panic!("{value:?}") };
            let Value::Array(maps) = maps.as_ref() else { panic!("{maps:?}") };
            let expected = [some(0, Value::Null), some(1, Value::String("v".into()))];
            for (map, expected) in maps.iter().zip(expected) {
                let map = if let Value::Union(1, map) = map { map.as_ref() } else { map };
                let Value::Map(map) = map else { panic!("{map:?}") };
                assert_eq!(map.get("k"), Some(&expected));
            }
            assert!(!writer.take_misplaced_null());
        }
    }

    #[test]
    fn a_null_that_the_schema_forbids_is_told_once() {
        let mut writer = AvroWriter::default();
        writer.begin_struct();
        writer.field(&FieldName::new("f"));
        writer.null();
        assert!(writer.take_misplaced_null());
        assert!(!writer.take_misplaced_null());
    }

    #[test]
    fn a_value_that_failed_half_way_leaves_nothing() {
        let items = Schema::new(Kind::Array(Box::new(Schema::new(Kind::Int32)))).optional(true);
        let name = FieldName::of("a", &items);
        let mut writer = AvroWriter::default();
        writer.begin_struct();
        writer.field(&name);
        let mark = writer.mark();
        writer.begin_array(2);
        writer.int(1);
        writer.rewind(mark);
        writer.null();
        writer.end_struct();
        assert_eq!(writer.as_bytes(), [0]);
    }

    #[test]
    fn an_event_reads_back_behind_its_prefix() {
        let id = Schema::new(Kind::Int32).field("id");
        let note = Schema::new(Kind::String).optional(true).field("note");
        let schema = envelope::schema("cdc.public.t", &[id, note]);
        let constants = Constants {
            version: "3.6.3.Final".into(),
            name: "cdc".into(),
            db: "db".into(),
            null_as_default: true,
        };
        let transaction = Transaction {
            at_us: 1_000_000,
            snapshot: Snapshot::Streaming,
            xid: Some(7),
            origin: None,
            last_commit_lsn: Some(5),
        };
        let mut writer = AvroWriter::default();
        let (mut shared, mut table) = (Fragments::default(), TableFragment::default());
        shared.render(&constants, &transaction, &mut writer);
        table.render(1, ("public", "t"), (1_000_000, Some(7)), &mut writer);
        let mut clock = envelope::Clock::default();
        clock.render(1_234_567, &mut writer);
        let names = &*envelope::NAMES;
        writer.begin_record(&frame(258).prefix);
        writer.begin_struct();
        writer.field(&names.before);
        writer.null();
        writer.field(&names.after);
        writer.begin_struct();
        writer.field(&FieldName::new("id"));
        writer.int(1);
        writer.field(&FieldName::optional("note"));
        writer.null();
        writer.end_struct();
        writer.field(&names.source);
        shared.write(&table, 9, &mut writer);
        envelope::write_tail(&mut writer, None, Operation::Create, &clock);
        writer.end_struct();
        let (prefix, value) = writer.as_bytes().split_at(PREFIX_BYTES);
        assert_eq!(prefix, [0, 0, 0, 1, 2]);
        let value = read(&schema, value);
        assert_eq!(field(&value, "before"), &some(0, Value::Null));
        assert_eq!(field(&value, "op"), &Value::String("c".into()));
        assert_eq!(field(&value, "ts_us"), &some(1, Value::Long(1234)));
        let source = field(&value, "source");
        assert_eq!(field(source, "snapshot"), &some(0, Value::String("false".into())));
        assert_eq!(field(source, "sequence"), &some(1, Value::String("[\"5\",\"9\"]".into())));
        assert_eq!(field(source, "txId"), &some(1, Value::Long(7)));
        assert_eq!(field(source, "origin_lsn"), &some(0, Value::Null));
        assert!(!writer.take_misplaced_null());
    }
}
