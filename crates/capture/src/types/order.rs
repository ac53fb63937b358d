//! How PostgreSQL orders keys, for the types of which that can be told from the text.
//!
//! A snapshot reads a table in the order of its key, so that a position can say how far it is. Text is read in the
//! order of its bytes (`COLLATE "C"`), because no other collation can be told here.

use std::cmp::Ordering;

use super::calendar::{Finite, parse_date, parse_timestamp};
use super::{ConversionError, integer};

/// The order of one key column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOrder {
    /// Integers of any width.
    Integer,
    /// The bytes of the text: booleans, UUIDs, bytea in hexadecimal.
    Bytes,
    /// Text under `COLLATE "C"`.
    Text,
    /// The same without the blanks that fill it up.
    PaddedText,
    /// Days; the infinities stand at the ends.
    Date,
    /// Instants; the infinities stand at the ends.
    Timestamp,
    /// Decimals; NaN stands behind infinity.
    Numeric,
}

impl KeyOrder {
    /// The order of a built-in type, if it can be told.
    pub fn of(type_oid: u32) -> Option<Self> {
        Some(match type_oid {
            20 | 21 | 23 | 26 => KeyOrder::Integer,
            16 | 17 | 2950 => KeyOrder::Bytes,
            25 | 1043 => KeyOrder::Text,
            1042 => KeyOrder::PaddedText,
            1082 => KeyOrder::Date,
            1114 | 1184 => KeyOrder::Timestamp,
            1700 => KeyOrder::Numeric,
            _ => return None,
        })
    }

    /// Whether the server must be told to order by bytes.
    pub fn needs_collation(self) -> bool {
        matches!(self, KeyOrder::Text | KeyOrder::PaddedText)
    }

    /// Compares two values in PostgreSQL's text form.
    ///
    /// # Errors
    /// Text that is not of the type.
    pub fn compare(self, a: &[u8], b: &[u8]) -> Result<Ordering, ConversionError> {
        Ok(match self {
            KeyOrder::Integer => integer(a)?.cmp(&integer(b)?),
            KeyOrder::Bytes | KeyOrder::Text => a.cmp(b),
            KeyOrder::PaddedText => without_blanks(a).cmp(without_blanks(b)),
            KeyOrder::Date => day(a)?.cmp(&day(b)?),
            KeyOrder::Timestamp => microsecond(a)?.cmp(&microsecond(b)?),
            KeyOrder::Numeric => numeric(a)?.cmp(&numeric(b)?),
        })
    }
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
    text.get(..end).unwrap_or_default()
}

/// The infinities around what is finite.
fn place<T: Default>(value: Finite<T>) -> (i8, T) {
    match value {
        Finite::Past => (-1, T::default()),
        Finite::Value(value) => (0, value),
        Finite::Future => (1, T::default()),
    }
}

fn day(text: &[u8]) -> Result<(i8, i64), ConversionError> {
    Ok(place(match parse_date(text)? {
        Finite::Value(day) => Finite::Value(day.days_since_1970()),
        Finite::Future => Finite::Future,
        Finite::Past => Finite::Past,
    }))
}

fn microsecond(text: &[u8]) -> Result<(i8, i128), ConversionError> {
    Ok(place(match parse_timestamp(text)? {
        Finite::Value(instant) => Finite::Value(instant.us_since_1970()),
        Finite::Future => Finite::Future,
        Finite::Past => Finite::Past,
    }))
}

/// A decimal number as PostgreSQL prints it.
#[derive(PartialEq, Eq)]
struct Numeric<'a> {
    /// -2 for minus infinity, -1, 0, 1 by sign, 2 for infinity, 3 for NaN.
    class: i8,
    /// Without leading zeros.
    whole: &'a [u8],
    /// Without trailing zeros.
    fraction: &'a [u8],
}

fn numeric(text: &[u8]) -> Result<Numeric<'_>, ConversionError> {
    let special = |class| Ok(Numeric { class, whole: &[], fraction: &[] });
    match text {
        b"NaN" => return special(3),
        b"Infinity" => return special(2),
        b"-Infinity" => return special(-2),
        _ => {}
    }
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let (whole, fraction) = digits.split_at(point);
    let fraction = fraction.strip_prefix(b".").unwrap_or_default();
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(ConversionError::Malformed);
    }
    let first = whole.iter().position(|digit| *digit != b'0').unwrap_or(whole.len());
    let whole = whole.get(first..).unwrap_or_default();
    let last = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |at| at + 1);
    let fraction = fraction.get(..last).unwrap_or_default();
    let class = match (whole.is_empty() && fraction.is_empty(), negative) {
        (true, _) => 0,
        (false, true) => -1,
        (false, false) => 1,
    };
    Ok(Numeric { class, whole, fraction })
}

impl Ord for Numeric<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = || {
            let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(other.whole));
            whole.then_with(|| self.fraction.cmp(other.fraction))
        };
        self.class.cmp(&other.class).then_with(|| match self.class {
            1 => magnitude(),
            -1 => magnitude().reverse(),
            _ => Ordering::Equal,
        })
    }
}

impl PartialOrd for Numeric<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each list is in PostgreSQL's order, as `SELECT … ORDER BY` gives it.
    #[test]
    fn keys_are_ordered_as_postgresql_orders_them() {
        let lists: [(u32, &[&str]); 8] = [
            (20, &["-9223372036854775808", "-1", "0", "7", "10", "9223372036854775807"]),
            (16, &["f", "t"]),
            (17, &["\\x", "\\x00", "\\x0001", "\\x01", "\\xff"]),
            (25, &["", "B", "a", "a b", "ab", "ä"]),
            (1042, &["   ", "a\t ", "ab ", "b  "]),
            (
                1082,
                &[
                    "-infinity",
                    "4713-01-01 BC",
                    "0001-01-01 BC",
                    "0001-01-01",
                    "2026-11-25",
                    "10000-01-01",
                    "infinity",
                ],
            ),
            (
                1184,
                &[
                    "-infinity",
                    "2026-11-25 12:00:00+00",
                    "2026-11-25 12:00:00.5+00",
                    "2026-11-25 12:30:00+00",
                    "10000-01-01 00:00:00+00",
                    "infinity",
                ],
            ),
            (
                1700,
                &[
                    "-Infinity",
                    "-100",
                    "-99.5",
                    "-99.05",
                    "-0.1",
                    "0",
                    "0.000001",
                    "0.5",
                    "0.51",
                    "9",
                    "10",
                    "1234567890123456789012345678901234567890",
                    "Infinity",
                    "NaN",
                ],
            ),
        ];
        for (oid, list) in lists {
            let order = KeyOrder::of(oid).unwrap();
            for (i, a) in list.iter().enumerate() {
                for (j, b) in list.iter().enumerate() {
                    assert_eq!(
                        order.compare(a.as_bytes(), b.as_bytes()),
                        Ok(i.cmp(&j)),
                        "{oid}: {a} and {b}"
                    );
                }
            }
        }
        let numeric = KeyOrder::Numeric;
        assert_eq!(numeric.compare(b"1.50", b"1.5"), Ok(Ordering::Equal));
        assert_eq!(numeric.compare(b"-0.0", b"0"), Ok(Ordering::Equal));
        assert_eq!(numeric.compare(b"1e5", b"1"), Err(ConversionError::Malformed));
        assert_eq!(KeyOrder::of(701), None);
    }
}
