//! `PartitionRouting`: the partition from fields of the event.

use num_bigint::{BigInt, Sign};

use super::options::{OptionError, Options};
use super::text::milliseconds;
use super::value::{Nulls, StructRef, Value};
use super::{Record, Side, Transform, TransformError};
use crate::schema::{Kind, Schema};

pub(crate) const OPTIONS: &[&str] =
    &["partition.payload.fields", "partition.topic.num", "partition.hash.function"];

#[derive(Debug, Clone)]
struct PartitionRouting {
    /// Each a path from the envelope.
    fields: Vec<Vec<String>>,
    partitions: i32,
    hash: Hash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Java,
    Murmur,
}

pub(crate) fn make(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let number = options.required("partition.topic.num")?;
    let partitions = number.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
        options.error("partition.topic.num", format!("'{number}' is not a positive number"))
    })?;
    let path = |field: &String| field.split('.').map(|step| step.trim().to_owned()).collect();
    Ok(Box::new(PartitionRouting {
        fields: options.required_list("partition.payload.fields")?.iter().map(path).collect(),
        partitions,
        hash: options.choice("partition.hash.function", &[("java", Hash::Java), ("murmur", Hash::Murmur)])?,
    }))
}

impl Transform for PartitionRouting {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        if record.value.value.is_null() || !record.is_envelope() {
            return Ok(Some(record));
        }
        let event = record.value.as_struct("PartitionRouting")?;
        let operation = event.field("op").and_then(|(_, value)| value.as_str()).unwrap_or_default();
        if matches!(operation, "t" | "m") {
            return Ok(Some(record));
        }
        let row = if operation == "d" { "before" } else { "after" };
        let mut total = 0i32;
        let mut found = false;
        for path in &self.fields {
            if let Some((schema, value)) = find(&event, path, row) {
                found = true;
                total = total.wrapping_add(self.hash.of(schema, &value)?);
            }
        }
        if found {
            let positive = total & i32::MAX;
            record.partition = Some(if positive == i32::MAX { 0 } else { positive % self.partitions });
        }
        Ok(Some(record))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

/// A value that is there and not null; `change` is the row that the operation leaves or takes away.
fn find<'a>(event: &StructRef<'a>, path: &[String], row: &str) -> Option<(&'a Schema, Value)> {
    let (last, structs) = path.split_last()?;
    let (schema, mut values) = (event.schema.as_ref(), event.values);
    let mut schema: &Schema = schema;
    let named = |schema: &'a Schema, name: &str| {
        schema
            .fields()
            .iter()
            .position(|field| field.name == name)
            .and_then(|place| Some((place, schema.fields().get(place)?)))
    };
    for step in structs {
        let step = if step == "change" { row } else { step };
        let (place, field) = named(schema, step)?;
        match values.get(place)? {
            Value::Struct(inner) => values = inner,
            _ => return None,
        }
        schema = &field.schema;
    }
    let (place, field) = named(schema, last)?;
    let value = Nulls::Default.get(&field.schema, values.get(place)?);
    (!value.is_null()).then_some((&field.schema, value))
}

impl Hash {
    fn of(self, schema: &Schema, value: &Value) -> Result<i32, TransformError> {
        Ok(match (self, value) {
            (Hash::Java, _) => hash_code(schema, value)?,
            (Hash::Murmur, Value::String(text)) => murmur(text.as_bytes()),
            (Hash::Murmur, _) => murmur(&hash_code(schema, value)?.to_le_bytes()),
        })
    }
}

/// `Object.hashCode` of the Java object that stands for the value.
fn hash_code(schema: &Schema, value: &Value) -> Result<i32, TransformError> {
    let long = |value: i64| (value ^ (value as u64 >> 32) as i64) as i32;
    Ok(match value {
        Value::Null => 0,
        Value::Boolean(value) => {
            if *value {
                1231
            } else {
                1237
            }
        }
        Value::Int(value) => match (milliseconds(schema, *value), &schema.kind) {
            (Some(date), _) => long(date),
            (None, Kind::Int64) => long(*value),
            (None, _) => *value as i32,
        },
        Value::Float32(value) => {
            (if value.is_nan() { f32::NAN.to_bits() & 0x7fc0_0000 } else { value.to_bits() }) as i32
        }
        Value::Float64(value) => {
            long(if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() as i64 })
        }
        Value::String(text) => text.encode_utf16().fold(0, |hash: i32, unit| times_31(hash, unit.into())),
        // A ByteBuffer's, which goes from the end to the start.
        Value::Bytes(bytes) => {
            bytes.iter().rev().fold(1, |hash: i32, byte| times_31(hash, (*byte as i8).into()))
        }
        Value::Decimal(unscaled, scale) => times_31(big_integer(unscaled), *scale),
        Value::Array(values) => {
            let Kind::Array(items) = &schema.kind else { return Err(unhashable()) };
            let mut hash = 1;
            for value in values {
                hash = times_31(hash, hash_code(items, value)?);
            }
            hash
        }
        Value::Map(_) | Value::Struct(_) => return Err(unhashable()),
    })
}

fn unhashable() -> TransformError {
    TransformError::new("partition.payload.fields names a struct or a map, whose hash only Java knows")
        .hint("name fields of simple types, such as change.id")
}

fn times_31(hash: i32, next: i32) -> i32 {
    hash.wrapping_mul(31).wrapping_add(next)
}

fn big_integer(bytes: &[u8]) -> i32 {
    let number = BigInt::from_signed_bytes_be(bytes);
    let words = number.magnitude().to_u32_digits();
    let hash = words.iter().rev().fold(0, |hash, word| times_31(hash, *word as i32));
    if number.sign() == Sign::Minus { hash.wrapping_neg() } else { hash }
}

/// The variant of MurmurHash3 (x64) that Debezium has from Infinispan, with its seed; the upper half of 64 bits.
fn murmur(bytes: &[u8]) -> i32 {
    const SEED: u64 = 9001;
    let mut state = Murmur {
        h1: 0x9368_e53c_2f6a_f274 ^ SEED,
        h2: 0x586d_cd20_8f7c_d3fd ^ SEED,
        c1: 0x87c3_7b91_1142_53d5,
        c2: 0x4cf5_ad43_2745_937f,
    };
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let half = |at: usize| {
            block.iter().skip(at).take(8).rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte))
        };
        state.mix(half(0), half(8));
    }
    if !tail.is_empty() {
        // Bytes of the rest are signed.
        let half = |at: usize| {
            let bytes = tail.iter().skip(at).take(8).enumerate();
            bytes.fold(0u64, |word, (index, byte)| word ^ ((*byte as i8 as u64) << (8 * index)))
        };
        state.mix(half(0), half(8));
    }
    let mut h2 = state.h2 ^ bytes.len() as u64;
    let mut h1 = state.h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = finish(h1);
    h2 = finish(h2);
    (h1.wrapping_add(h2) >> 32) as i32
}

struct Murmur {
    h1: u64,
    h2: u64,
    c1: u64,
    c2: u64,
}

impl Murmur {
    fn mix(&mut self, k1: u64, k2: u64) {
        let k1 = k1.wrapping_mul(self.c1).rotate_left(23).wrapping_mul(self.c2);
        self.h1 = (self.h1 ^ k1).wrapping_add(self.h2);
        self.h2 = self.h2.rotate_left(41);
        let k2 = k2.wrapping_mul(self.c2).rotate_left(23).wrapping_mul(self.c1);
        self.h2 = (self.h2 ^ k2).wrapping_add(self.h1);
        self.h1 = self.h1.wrapping_mul(3).wrapping_add(0x52dc_e729);
        self.h2 = self.h2.wrapping_mul(3).wrapping_add(0x3849_5ab5);
        self.c1 = self.c1.wrapping_mul(5).wrapping_add(0x7b7d_159c);
        self.c2 = self.c2.wrapping_mul(5).wrapping_add(0x6bce_6396);
    }
}

fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by Debezium's own class.
    #[test]
    fn murmur_is_debeziums() {
        for (text, expected) in [
            ("", 89_125_410),
            ("a", -1_119_243_492),
            ("hello", 1_671_093_224),
            ("abcdefghijklmnop", 123_423_003),
            ("abcdefghijklmnopq", -1_899_392_497),
            ("ünïcode🛫 more than sixteen", 246_352_793),
        ] {
            assert_eq!(murmur(text.as_bytes()), expected, "{text}");
        }
        for (number, expected) in
            [(0, 1_805_505_889), (1, -1_931_162_451), (-5, 1_960_881_932), (123_456_789, 1_798_169_500)]
        {
            assert_eq!(Hash::Murmur.of(&Schema::new(Kind::Int32), &Value::Int(number)).unwrap(), expected);
        }
    }

    /// Printed by Java.
    #[test]
    fn hash_codes_are_javas() {
        let decimal =
            |text: &str, scale| Value::Decimal(text.parse::<BigInt>().unwrap().to_signed_bytes_be(), scale);
        for (kind, value, expected) in [
            (Kind::Int32, Value::Int(-5), -5),
            (Kind::Int64, Value::Int(1 << 40), 256),
            (Kind::Boolean, Value::Boolean(true), 1231),
            (Kind::Bytes, decimal("1234", 2), 38_256),
            (Kind::Bytes, decimal("-1234567890123456789012345", 1), -292_950_204),
            (Kind::Float64, Value::Float64(1.5), 1_073_217_536),
            (Kind::Float32, Value::Float32(-2.0), -1_073_741_824),
            (Kind::Bytes, Value::Bytes(vec![200, 1, 2]), 31_688),
            (Kind::String, Value::String("hello".into()), 99_162_322),
        ] {
            assert_eq!(hash_code(&Schema::new(kind), &value).unwrap(), expected, "{value:?}");
        }
    }
}
