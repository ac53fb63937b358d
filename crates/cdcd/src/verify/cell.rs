//! One text per value, equal on both sides if and only if the values are: exact decimals, microseconds,
//! bytes in hex. Floating point is used for floating point only.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use cdcd_debezium::event::value::Value;
use cdcd_sink::destination::StoredType;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What a value is, whatever its written form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Boolean,
    /// Integers too: a decimal without a fraction.
    Decimal,
    Float32,
    Float64,
    Date,
    Time,
    Timestamp,
    Instant,
    Bytes,
    Json,
    Text,
    /// `char(n)`: trailing blanks mean nothing.
    Padded,
}

/// A value in canonical form; long ones are kept as length and hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell(Option<Box<str>>);

/// Longer values are kept as their hash, so that a chunk of rows stays small.
const SHORT_BYTES_MAX: usize = 96;

impl Cell {
    pub(super) const NULL: Cell = Cell(None);

    fn new(text: String) -> Cell {
        if text.len() <= SHORT_BYTES_MAX {
            return Cell(Some(text.into()));
        }
        let hash = Sha256::digest(text.as_bytes());
        let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Cell(Some(format!("{} bytes, sha256 {hex}…", text.len()).into()))
    }

    pub(super) fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// What cannot be read; carries no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) &'static str);

/// A value of COPY's text format, after its escapes.
pub(super) fn from_source(family: Family, text: Option<&str>, digits: u32) -> Result<Cell, Unreadable> {
    text.map_or(Ok(Cell::NULL), |text| whole_of_source(family, text, digits).map(Cell::new))
}

/// The same, however long; for keys.
pub(super) fn whole_of_source(family: Family, text: &str, digits: u32) -> Result<String, Unreadable> {
    Ok(match family {
        Family::Boolean => boolean(text)?,
        // money arrives as $1,234.50
        Family::Decimal => decimal(&text.replace(['$', ','], ""))?,
        Family::Float32 => float32(text)?,
        Family::Float64 => float64(text)?,
        Family::Date => date(text)?,
        Family::Time => time(text, digits)?,
        Family::Timestamp | Family::Instant => timestamp(text, digits)?,
        Family::Bytes => text.strip_prefix("\\x").ok_or(Unreadable("not bytes in hex"))?.to_lowercase(),
        Family::Json => json(text)?,
        Family::Text => text.to_owned(),
        Family::Padded => text.trim_end_matches(' ').to_owned(),
    })
}

/// A value as the SQL API writes it.
pub(super) fn from_destination(
    family: Family,
    stored: &StoredType,
    text: Option<&str>,
    digits: u32,
) -> Result<Cell, Unreadable> {
    text.map_or(Ok(Cell::NULL), |text| whole(family, stored, text, digits).map(Cell::new))
}

/// The same, however long; for keys.
pub(super) fn whole(
    family: Family,
    stored: &StoredType,
    text: &str,
    digits: u32,
) -> Result<String, Unreadable> {
    let as_text = matches!(stored, StoredType::Text | StoredType::Variant);
    Ok(match family {
        Family::Boolean => boolean(text)?,
        Family::Decimal => decimal(text)?,
        Family::Float32 => float32(text)?,
        Family::Float64 => float64(text)?,
        Family::Date if *stored == StoredType::Date => decimal(text)?,
        Family::Date => date(text)?,
        Family::Time if as_text => time(text, digits)?,
        Family::Timestamp | Family::Instant if as_text => timestamp(text, digits)?,
        // Seconds with a fraction; with a zone the offset follows.
        Family::Time | Family::Timestamp | Family::Instant => {
            micros_of_seconds(text.split(' ').next().unwrap_or_default(), digits)?
        }
        Family::Bytes if as_text => bytes_of_text(text)?,
        Family::Bytes => text.to_lowercase(),
        Family::Json => json(text)?,
        Family::Text => text.to_owned(),
        Family::Padded => text.trim_end_matches(' ').to_owned(),
    })
}

/// A value that was decoded from an event.
pub(super) fn from_event(family: Family, value: &Value<'_>, digits: u32) -> Result<Option<Cell>, Unreadable> {
    match value {
        Value::Null => Ok(Some(Cell::NULL)),
        Value::Unavailable => Ok(None),
        value => whole_of_event(family, value, digits).map(|text| Some(Cell::new(text))),
    }
}

/// The same, however long and never absent; for keys.
pub(super) fn whole_of_event(family: Family, value: &Value<'_>, digits: u32) -> Result<String, Unreadable> {
    Ok(match value {
        Value::Null | Value::Unavailable => return Err(Unreadable("there")),
        Value::Boolean(value) => if *value { "t" } else { "f" }.to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Decimal(text) => decimal(text)?,
        Value::Float(text) if family == Family::Float32 => float32(text)?,
        Value::Float(text) => float64(text)?,
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Value::Json(text) => json(text)?,
        Value::Date(days) => days.to_string(),
        Value::Time(nanos) => cut(i128::from(*nanos).div_euclid(1_000), digits).to_string(),
        Value::Timestamp(nanos) => cut(nanos.div_euclid(1_000), digits).to_string(),
        Value::Instant(text) => timestamp(text, digits)?,
        Value::Text(text) if family == Family::Padded => text.trim_end_matches(' ').to_owned(),
        Value::Text(text) => text.clone().into_owned(),
    })
}

fn boolean(text: &str) -> Result<String, Unreadable> {
    match text {
        "t" | "true" | "TRUE" | "1" => Ok("t".to_owned()),
        "f" | "false" | "FALSE" | "0" => Ok("f".to_owned()),
        _ => Err(Unreadable("not a boolean")),
    }
}

/// Plain decimal text without zeros that mean nothing.
fn decimal(text: &str) -> Result<String, Unreadable> {
    const WRONG: Unreadable = Unreadable("not a decimal");
    let special = ["NaN", "Infinity", "-Infinity"];
    if special.contains(&text) {
        return Ok(text.to_owned());
    }
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let exponent: i32 = exponent.parse().map_err(|_| WRONG)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) || exponent.abs() > 100_000 {
        return Err(WRONG);
    }
    let point = i64::try_from(whole.len()).map_err(|_| WRONG)? + i64::from(exponent);
    let (whole, fraction) = match usize::try_from(point) {
        Ok(point) if point <= digits.len() => digits.split_at(point),
        Ok(point) => return Ok(finish(negative, &format!("{digits:0<point$}"), "")),
        Err(_) => {
            let zeros = usize::try_from(-point).map_err(|_| WRONG)?;
            return Ok(finish(negative, "", &format!("{}{digits}", "0".repeat(zeros))));
        }
    };
    Ok(finish(negative, whole, fraction))
}

fn finish(negative: bool, whole: &str, fraction: &str) -> String {
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    let text = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    if negative && text != "0" { format!("-{text}") } else { text }
}

fn special_float(text: &str) -> Option<&'static str> {
    match text.trim_matches('"').to_ascii_lowercase().as_str() {
        "nan" => Some("NaN"),
        "inf" | "infinity" => Some("Infinity"),
        "-inf" | "-infinity" => Some("-Infinity"),
        _ => None,
    }
}

fn float64(text: &str) -> Result<String, Unreadable> {
    if let Some(special) = special_float(text) {
        return Ok(special.to_owned());
    }
    let value: f64 = text.parse().map_err(|_| Unreadable("not a number"))?;
    // Negative zero is lost on the way through a warehouse.
    Ok(format!("{:?}", value + 0.0))
}

fn float32(text: &str) -> Result<String, Unreadable> {
    if let Some(special) = special_float(text) {
        return Ok(special.to_owned());
    }
    let value: f32 = text.parse().map_err(|_| Unreadable("not a number"))?;
    Ok(format!("{:?}", value + 0.0))
}

/// Days since 1970-01-01 of `2024-02-29`, `0044-03-15 BC`, with or without a final Z.
fn date(text: &str) -> Result<String, Unreadable> {
    if let "infinity" | "-infinity" = text {
        return Ok(text.to_owned());
    }
    days(text).map(|days| days.to_string())
}

fn days(text: &str) -> Result<i64, Unreadable> {
    const WRONG: Unreadable = Unreadable("not a date");
    let (text, before_christ) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text.trim_end_matches('Z'), false),
    };
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.trim_start_matches('+')),
    };
    let mut parts = text.split('-').map(|part| part.parse::<i64>().map_err(|_| WRONG));
    let mut next = || parts.next().unwrap_or(Err(WRONG));
    let (year, month, day) = (next()?, next()?, next()?);
    let year = if before_christ {
        1 - year
    } else if negative {
        -year
    } else {
        year
    };
    // Howard Hinnant's days_from_civil: years start in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Ok(era * 146_097 + day_of_era - 719_468)
}

/// Microseconds of `12:34:56.789`, cut to `digits` of the fraction.
fn time(text: &str, digits: u32) -> Result<String, Unreadable> {
    clock(text.trim_end_matches('Z')).map(|micros| cut(micros, digits).to_string())
}

fn clock(text: &str) -> Result<i128, Unreadable> {
    const WRONG: Unreadable = Unreadable("not a time");
    let mut parts = text.split(':');
    let mut next = || parts.next();
    let number = |part: Option<&str>| part.unwrap_or("0").parse::<i128>().map_err(|_| WRONG);
    let (hours, minutes) = (number(next())?, number(next())?);
    let seconds = micros(next().unwrap_or("0"))?;
    Ok((hours * 3_600 + minutes * 60) * 1_000_000 + seconds)
}

/// Microseconds of a decimal number of seconds; further digits are cut.
fn micros(text: &str) -> Result<i128, Unreadable> {
    const WRONG: Unreadable = Unreadable("not a number of seconds");
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i128 = whole.parse().map_err(|_| WRONG)?;
    let six: String = fraction.chars().chain(std::iter::repeat('0')).take(6).collect();
    let value = whole * 1_000_000 + six.parse::<i128>().map_err(|_| WRONG)?;
    Ok(if negative { -value } else { value })
}

fn micros_of_seconds(text: &str, digits: u32) -> Result<String, Unreadable> {
    micros(text).map(|micros| cut(micros, digits).to_string())
}

/// Microseconds since 1970 of `2024-02-29 12:34:56.789+00`, with `T` and `Z` as well.
fn timestamp(text: &str, digits: u32) -> Result<String, Unreadable> {
    if let "infinity" | "-infinity" = text {
        return Ok(text.to_owned());
    }
    let (text, era) = match text.strip_suffix(" BC") {
        Some(text) => (text, " BC"),
        None => (text, ""),
    };
    let (day, rest) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let rest = rest.trim_end_matches('Z');
    // Both sides write UTC; an offset of zero is all that may follow.
    let (rest, offset) = match rest.find(['+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if offset.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
        return Err(Unreadable("not an instant in UTC"));
    }
    let value = i128::from(days(&format!("{day}{era}"))?) * 86_400_000_000 + clock(rest.trim())?;
    Ok(cut(value, digits).to_string())
}

/// Keeps `digits` of six digits.
fn cut(micros: i128, digits: u32) -> i128 {
    let unit = 10_i128.pow(6_u32.saturating_sub(digits));
    micros.div_euclid(unit) * unit
}

/// Bytes that landed in a text column: hex, base64 or its URL-safe twin.
fn bytes_of_text(text: &str) -> Result<String, Unreadable> {
    let is_hex = text.len().is_multiple_of(2)
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if is_hex {
        return Ok(text.to_owned());
    }
    let bytes =
        STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| Unreadable("not bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Members sorted, blanks gone, numbers as exact decimals.
fn json(text: &str) -> Result<String, Unreadable> {
    const WRONG: Unreadable = Unreadable("not JSON");
    let mut out = String::new();
    let raw: &RawValue = serde_json::from_str(text).map_err(|_| WRONG)?;
    canonical_json(raw.get(), &mut out, 0)?;
    Ok(out)
}

/// Nesting that serde_json itself takes.
const JSON_DEPTH_MAX: u32 = 128;

fn canonical_json(text: &str, out: &mut String, depth: u32) -> Result<(), Unreadable> {
    const WRONG: Unreadable = Unreadable("not JSON");
    if depth > JSON_DEPTH_MAX {
        return Err(Unreadable("JSON that is nested too deep"));
    }
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|_| WRONG)?;
            for (at, (name, value)) in members.iter().enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                out.push_str(&serde_json::Value::from(name.as_str()).to_string());
                out.push(':');
                canonical_json(value.get(), out, depth + 1)?;
            }
            out.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| WRONG)?;
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                canonical_json(item.get(), out, depth + 1)?;
            }
            out.push(']');
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(|_| WRONG)?;
            out.push_str(&serde_json::Value::from(text).to_string());
        }
        Some(b't' | b'f' | b'n') => out.push_str(text),
        Some(_) => out.push_str(&decimal(text)?),
        None => return Err(WRONG),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(family: Family, text: &str) -> Cell {
        from_source(family, Some(text), 6).unwrap()
    }

    fn destination(family: Family, stored: &StoredType, text: &str) -> Cell {
        from_destination(family, stored, Some(text), 6).unwrap()
    }

    #[test]
    fn equal_values_have_one_form_on_both_sides() {
        let number = StoredType::Number { precision: 20, scale: 4 };
        let stamp = StoredType::Timestamp { precision: 6 };
        for (family, text, stored, landed) in [
            (Family::Decimal, "-12.50", &number, "-12.5000"),
            (Family::Decimal, "0.00", &number, "-0"),
            (Family::Decimal, "1234567890123456789.0001", &number, "1234567890123456789.0001"),
            (Family::Boolean, "t", &StoredType::Boolean, "true"),
            (Family::Float64, "1e+20", &StoredType::Float, "100000000000000000000"),
            (Family::Float32, "0.1", &StoredType::Float, "0.10000000149011612"),
            (Family::Date, "2024-02-29", &StoredType::Date, "19782"),
            (Family::Date, "1969-12-31", &StoredType::Date, "-1"),
            (Family::Time, "12:34:56.5", &StoredType::Time { precision: 6 }, "45296.500000000"),
            (Family::Timestamp, "2026-01-01 00:00:02.123456", &stamp, "1767225602.123456000"),
            (Family::Timestamp, "1969-12-31 23:59:59.5", &stamp, "-0.500000000"),
            (Family::Instant, "2026-01-01 00:00:02+00", &StoredType::Instant, "1767225602.000000000 1440"),
            (Family::Bytes, "\\xDEAD", &StoredType::Binary, "DEAD"),
            (Family::Bytes, "\\xdead", &StoredType::Text, "3q0="),
            (
                Family::Json,
                r#"{"b": [1.50, null], "a": "x"}"#,
                &StoredType::Variant,
                "{\n \"a\": \"x\",\n \"b\": [1.5,null]}",
            ),
            (Family::Padded, "ab   ", &StoredType::Text, "ab"),
        ] {
            assert_eq!(source(family, text), destination(family, stored, landed), "{text}");
        }
    }

    #[test]
    fn the_last_digit_counts() {
        let number = StoredType::Number { precision: 38, scale: 10 };
        assert_ne!(
            source(Family::Decimal, "12345678901234567890.0000000001"),
            destination(Family::Decimal, &number, "12345678901234567890.0000000002")
        );
        let stamp = StoredType::Timestamp { precision: 6 };
        assert_ne!(
            source(Family::Timestamp, "2026-01-01 00:00:02.123456"),
            destination(Family::Timestamp, &stamp, "1767225602.123457000")
        );
        let milli = from_source(Family::Timestamp, Some("2026-01-01 00:00:02.123456"), 3).unwrap();
        assert_eq!(milli, from_source(Family::Timestamp, Some("2026-01-01 00:00:02.123999"), 3).unwrap());
    }

    #[test]
    fn long_values_are_compared_by_hash() {
        let (long, other) = ("x".repeat(5_000), format!("{}y", "x".repeat(4_999)));
        assert_ne!(source(Family::Text, &long), source(Family::Text, &other));
        assert!(source(Family::Text, &long).text().unwrap().starts_with("5000 bytes"));
        assert_ne!(source(Family::Text, ""), Cell::NULL);
    }

    #[test]
    fn exponents_and_zeros_are_written_out() {
        for (text, canonical) in
            [("1E3", "1000"), ("1.5e-3", "0.0015"), ("007", "7"), ("-0.0", "0"), (".5", "0.5"), ("1e0", "1")]
        {
            assert_eq!(decimal(text).unwrap(), canonical);
        }
        for wrong in ["", "-", "1.2.3", "x", "1e"] {
            assert!(decimal(wrong).is_err(), "{wrong}");
        }
    }
}
