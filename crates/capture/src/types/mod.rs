//! PostgreSQL types: one file a family, one line here.
//!
//! A type reads the text that PostgreSQL sends and tells a [`ValueWriter`] what the value *is*. Modes are
//! resolved here, when a table's plan is made, never per row.

mod array;
mod bit;
mod boolean;
mod bytea;
mod calendar;
mod date;
mod enumeration;
mod float;
mod geometry;
mod hstore;
mod integer;
mod interval;
mod money;
pub(crate) mod numeric;
pub mod order;
mod point;
mod shape;
mod structured;
mod text;
mod time;
mod timestamp;
mod unknown;
mod vector;

use cdcd_debezium::schema::Schema;
use cdcd_debezium::value::{Literal, ValueWriter};

use crate::catalog::{TypeFacts, TypeKind};
use crate::config::Modes;

pub(crate) use bytea::{base64, base64_url, hex};

/// Writes one value from PostgreSQL's text form.
pub type WriteFn<W> = fn(&[u8], &Params, &mut W) -> Result<(), ConversionError>;

/// What a type's writer needs to know about its column, fixed when the plan is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Params {
    /// Decimal scale.
    pub scale: i32,
    /// Fraction digits of a time.
    pub digits: u8,
    /// What stands between the elements, if the value is an array of what `write` writes.
    pub delimiter: Option<u8>,
    /// Whether the elements' schema allows no null.
    pub required: bool,
}

/// Writes one value: with `write`, or with `write` for each element of an array.
#[inline]
pub fn write_value<W: ValueWriter>(
    write: WriteFn<W>,
    params: &Params,
    text: &[u8],
    writer: &mut W,
) -> Result<(), ConversionError> {
    match params.delimiter {
        None => write(text, params, writer),
        Some(delimiter) => array::write(text, delimiter, write, params, writer),
    }
}

/// How a column's values are written, and what stands in for values that are not there.
pub struct Mapping<W> {
    /// Schema of the value; required, but for types that Debezium lets be null in columns that are NOT NULL.
    pub schema: Schema,
    /// Writes a value.
    pub write: WriteFn<W>,
    /// To be given to `write`.
    pub params: Params,
    /// Stands for a NOT NULL column that an old key does not carry.
    pub fallback: Literal,
    /// Stands for an unchanged TOASTed value.
    pub unavailable: Literal,
}

/// A value that the chosen mode cannot hold, or text that the type never prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// The text is not of the type.
    #[error("the text is not a value of the type")]
    Malformed,
    /// Not UTF-8: the database is SQL_ASCII or the server broke its promise.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// NaN or an infinity in a mode that has no such value.
    #[error("NaN or infinity cannot be written in this mode")]
    NotFinite,
    /// A null in an array whose element schema, which is Debezium's, allows none.
    #[error("an array holds NULL, which the schema of its elements does not allow")]
    NullElement,
    /// NULL where the catalog's answer, which is of another time, has NOT NULL.
    #[error("NULL in a column that was NOT NULL when the catalog was asked")]
    NotNull,
    /// Beyond the range of the chosen representation.
    #[error("the value is outside of the range of the chosen mode")]
    OutOfRange,
}

/// What decides a type's mapping.
#[derive(Debug, Clone, Copy)]
pub struct TypeContext<'a> {
    /// Modes of the connector.
    pub modes: &'a Modes,
    /// -1 if the column has none.
    pub typmod: i32,
    /// Catalog facts of types that are not built in.
    pub types: &'a [TypeFacts],
}

impl TypeContext<'_> {
    /// The placeholder for unavailable values as text.
    fn placeholder(&self) -> Literal {
        Literal::String(String::from_utf8_lossy(&self.modes.unavailable_placeholder).into_owned())
    }
}

/// The mapping of a type, or `None` if columns of the type are left out.
pub fn resolve<W: ValueWriter>(oid: u32, context: &TypeContext<'_>) -> Option<Mapping<W>> {
    Some(match oid {
        16 => boolean::map(context),
        17 => bytea::map(context),
        18 | 19 | 25 | 1042 | 1043 => text::plain(context),
        20 => integer::int8(context),
        21 => integer::int2(context),
        23 => integer::int4(context),
        26 => integer::oid(context),
        114 | 3802 => text::named(context, "io.debezium.data.Json"),
        142 => text::named(context, "io.debezium.data.Xml"),
        600 => point::map(context),
        650 | 774 | 829 | 869 => text::plain(context),
        700 => float::float4(context),
        701 => float::float8(context),
        790 => money::map(context),
        1082 => date::map(context),
        1083 => time::map(context),
        1114 => timestamp::without_zone(context),
        1184 => timestamp::with_zone(context),
        1186 => interval::map(context),
        1266 => time::with_zone(context),
        1560 => bit::fixed(context),
        1562 => bit::varying(context),
        1700 => numeric::map(context),
        2950 => text::named(context, "io.debezium.data.Uuid"),
        3614 => text::named(context, "io.debezium.data.Tsvector"),
        3904 | 3906 | 3908 | 3910 | 3912 | 3926 => text::plain(context),
        other => return resolve_by_facts(other, context),
    })
}

fn resolve_by_facts<W: ValueWriter>(oid: u32, context: &TypeContext<'_>) -> Option<Mapping<W>> {
    if let Some(array) = array::resolve(oid, context) {
        return array;
    }
    if let Some(shape) = shape::resolve(oid, context) {
        return Some(shape);
    }
    let facts = context.types.iter().find(|facts| facts.oid == oid);
    match facts.map(|facts| (&facts.kind, facts.name.as_str())) {
        Some((TypeKind::Enum { labels }, _)) => Some(enumeration::map(context, labels)),
        Some((TypeKind::Domain { base_oid, base_typmod }, _)) => {
            let typmod = if context.typmod >= 0 { context.typmod } else { *base_typmod };
            resolve(*base_oid, &TypeContext { typmod, ..*context })
        }
        Some((TypeKind::Base, "citext" | "isbn")) => Some(text::plain(context)),
        Some((TypeKind::Base, "ltree")) => Some(text::named(context, "io.debezium.data.Ltree")),
        Some((TypeKind::Base, "geometry")) => Some(geometry::geometry(context)),
        Some((TypeKind::Base, "geography")) => Some(geometry::geography(context)),
        Some((TypeKind::Base, "halfvec")) => Some(vector::half(context)),
        Some((TypeKind::Base, "vector")) => Some(vector::map(context)),
        Some((TypeKind::Base, "hstore")) => Some(hstore::map(context)),
        _ if context.modes.include_unknown => Some(unknown::map(oid, context)),
        _ => None,
    }
}

/// The text as UTF-8.
#[inline]
fn utf8(text: &[u8]) -> Result<&str, ConversionError> {
    std::str::from_utf8(text).map_err(|_| ConversionError::NotUtf8)
}

/// Digits that always fit an `i64`, whatever bytes stand for them.
const I64_DIGITS: usize = 16;

/// A decimal integer with an optional sign.
#[inline]
fn integer(text: &[u8]) -> Result<i64, ConversionError> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(ConversionError::Malformed);
    }
    if digits.len() <= I64_DIGITS {
        let mut value: i64 = 0;
        let mut is_number = true;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            is_number &= digit <= 9;
            value = value * 10 + i64::from(digit);
        }
        if !is_number {
            return Err(ConversionError::Malformed);
        }
        return Ok(if negative { -value } else { value });
    }
    long_integer(negative, digits)
}

fn long_integer(negative: bool, digits: &[u8]) -> Result<i64, ConversionError> {
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(ConversionError::Malformed);
        }
        // Down, not up: the range below zero is the larger one.
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_sub(i64::from(digit)))
            .ok_or(ConversionError::OutOfRange)?;
    }
    if negative { Ok(value) } else { value.checked_neg().ok_or(ConversionError::OutOfRange) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use cdcd_debezium::format::json::JsonWriter;

    /// JSON of one value of a built-in type in the given modes.
    pub(crate) fn json(oid: u32, typmod: i32, modes: &Modes, text: &str) -> Result<String, ConversionError> {
        let context = TypeContext { modes, typmod, types: &[] };
        let mapping: Mapping<JsonWriter> = resolve(oid, &context).expect("a known type");
        let mut writer = JsonWriter::default();
        write_value(mapping.write, &mapping.params, text.as_bytes(), &mut writer)?;
        Ok(String::from_utf8(writer.as_bytes().to_vec()).unwrap())
    }

    /// Checks many values of one type in the default modes.
    pub(crate) fn check(oid: u32, typmod: i32, modes: &Modes, cases: &[(&str, &str)]) {
        for (text, expected) in cases {
            assert_eq!(json(oid, typmod, modes, text).as_deref(), Ok(*expected), "{text}");
        }
    }

    #[test]
    fn integers_cover_the_whole_range_and_refuse_the_rest() {
        assert_eq!(integer(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(integer(b"9223372036854775808"), Err(ConversionError::OutOfRange));
        assert_eq!(integer(b""), Err(ConversionError::Malformed));
        assert_eq!(integer(b"1x"), Err(ConversionError::Malformed));
    }

    #[test]
    fn unknown_types_are_left_out_unless_asked_for() {
        let mut modes = Modes::default();
        let context = TypeContext { modes: &modes, typmod: -1, types: &[] };
        assert!(resolve::<JsonWriter>(4_000_000, &context).is_none());
        modes.include_unknown = true;
        assert_eq!(json(4_000_000, -1, &modes, "x"), Ok("\"eA==\"".to_owned()));
    }
}
