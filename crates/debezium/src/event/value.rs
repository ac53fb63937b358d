//! One column's JSON text to the value that it stands for. Decimals stay exact, times stay in their own zone.

use super::schema::{BytesNotation, ColumnType, DateNotation, TimeNotation};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use num_bigint::BigInt;
use std::borrow::Cow;
use std::fmt::Write;

/// The value of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// An unchanged TOAST value that the source did not send.
    Unavailable,
    /// True or false.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// Plain decimal text, never with an exponent, for example `-12.50`.
    Decimal(Cow<'a, str>),
    /// A JSON number as text, or `NaN`, `Infinity`, `-Infinity`.
    Float(&'a str),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// JSON text.
    Json(Cow<'a, str>),
    /// Days since 1970-01-01 in the proleptic Gregorian calendar.
    Date(i64),
    /// Nanoseconds since midnight; 24:00:00 is 86 400 000 000 000.
    Time(i64),
    /// Nanoseconds since 1970-01-01T00:00:00, without zone.
    Timestamp(i128),
    /// An instant as ISO 8601 text in UTC, or `infinity`, `-infinity`.
    Instant(Cow<'a, str>),
}

/// A column's JSON that does not fit its type. Carries no value: rows do not belong into logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the JSON is not {expected}")]
pub struct ValueError {
    /// What the column's type asks for.
    pub expected: &'static str,
}

fn expected<T>(what: &'static str) -> Result<T, ValueError> {
    Err(ValueError { expected: what })
}

/// The forms that `unavailable.value.placeholder` takes in the columns of an event.
#[derive(Debug, Clone)]
pub struct Placeholder {
    forms: Vec<String>,
}

impl Default for Placeholder {
    fn default() -> Self {
        Placeholder::new("__debezium_unavailable_value")
    }
}

impl Placeholder {
    /// The forms of a configured placeholder text.
    pub fn new(text: &str) -> Self {
        let quoted = serde_json::Value::from(text).to_string();
        let map = format!("{{{quoted}:{quoted}}}");
        let hex = text.bytes().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        });
        Placeholder {
            forms: vec![
                format!("\"{}\"", STANDARD.encode(text)),
                format!("\"{hex}\""),
                format!("[{quoted}]"),
                serde_json::Value::from(map.as_str()).to_string(),
                map,
                quoted,
            ],
        }
    }

    fn is(&self, raw: &str) -> bool {
        self.forms.iter().any(|form| form == raw)
    }
}

/// The value of `raw`, the JSON text of one column.
///
/// # Errors
/// When the JSON is not what `kind` asks for.
pub fn decode<'a>(
    kind: ColumnType,
    raw: &'a str,
    placeholder: &Placeholder,
) -> Result<Value<'a>, ValueError> {
    if raw == "null" {
        return Ok(Value::Null);
    }
    if matches!(raw.as_bytes().first(), Some(b'"' | b'[' | b'{')) && placeholder.is(raw) {
        return Ok(Value::Unavailable);
    }
    Ok(match kind {
        ColumnType::Boolean => match raw {
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            _ => return expected("a boolean"),
        },
        ColumnType::Integer { bits } => Value::Integer(integer(raw, bits)?),
        ColumnType::Float { .. } => Value::Float(float(raw)?),
        ColumnType::Decimal { scale, .. } => Value::Decimal(decimal(raw, scale)?),
        ColumnType::VariableDecimal => Value::Decimal(variable_decimal(raw)?),
        ColumnType::DecimalText if is_number(raw) => Value::Decimal(decimal(raw, 0)?),
        ColumnType::DecimalText => Value::Decimal(written_decimal(text(raw)?)?),
        ColumnType::Text => Value::Text(text(raw)?),
        ColumnType::Bytes(notation) => Value::Bytes(bytes(raw, notation)?),
        ColumnType::Json if raw.starts_with('"') => Value::Json(json(text(raw)?)?),
        ColumnType::Json => Value::Json(Cow::Borrowed(raw)),
        ColumnType::Nested => Value::Json(Cow::Borrowed(raw)),
        ColumnType::Date(DateNotation::Days) => Value::Date(integer(raw, 64)?),
        ColumnType::Date(DateNotation::Iso) => Value::Date(iso_to_days(&text(raw)?)?),
        ColumnType::Time(TimeNotation::Iso) => Value::Time(iso_to_time(&text(raw)?)?),
        ColumnType::Time(unit) => match i64::try_from(i128::from(integer(raw, 64)?) * per_unit(unit)) {
            Ok(nanos @ 0..=DAY_NANOS) => Value::Time(nanos),
            _ => return expected("a time of day"),
        },
        ColumnType::Timestamp(TimeNotation::Iso) => Value::Timestamp(iso_to_timestamp(&text(raw)?)?),
        ColumnType::Timestamp(unit) => Value::Timestamp(i128::from(integer(raw, 64)?) * per_unit(unit)),
        ColumnType::ZonedTimestamp => Value::Instant(text(raw)?),
    })
}

const DAY_NANOS: i64 = 86_400_000_000_000;

fn per_unit(unit: TimeNotation) -> i128 {
    match unit {
        TimeNotation::Millis => 1_000_000,
        TimeNotation::Micros => 1_000,
        TimeNotation::Nanos | TimeNotation::Iso => 1,
    }
}

fn integer(raw: &str, bits: u8) -> Result<i64, ValueError> {
    match raw.parse::<i64>() {
        Ok(number) if bits >= 64 || number.unsigned_abs() <= 1 << (bits - 1) => Ok(number),
        _ => expected("an integer in range"),
    }
}

fn float(raw: &str) -> Result<&str, ValueError> {
    match raw {
        "\"NaN\"" => Ok("NaN"),
        "\"Infinity\"" => Ok("Infinity"),
        "\"-Infinity\"" => Ok("-Infinity"),
        _ if is_number(raw) => Ok(raw),
        _ => expected("a number"),
    }
}

fn is_number(raw: &str) -> bool {
    matches!(raw.as_bytes().first(), Some(b'-' | b'0'..=b'9'))
}

/// A JSON string's text, borrowed unless it holds an escape.
fn text(raw: &str) -> Result<Cow<'_, str>, ValueError> {
    let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return expected("a string");
    };
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).map(Cow::Owned).or_else(|_| expected("a string"))
}

fn json(text: Cow<'_, str>) -> Result<Cow<'_, str>, ValueError> {
    match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
        Ok(_) => Ok(text),
        Err(_) => expected("a string that holds JSON"),
    }
}

fn decimal(raw: &str, scale: i32) -> Result<Cow<'_, str>, ValueError> {
    if is_number(raw) {
        // A float-like form would need arithmetic; Connect's NUMERIC format may write an exponent.
        return if raw.bytes().any(|b| matches!(b, b'e' | b'E')) {
            plain_decimal(raw).map(Cow::Owned)
        } else {
            Ok(Cow::Borrowed(raw))
        };
    }
    let encoded = text(raw)?;
    let bytes = STANDARD.decode(encoded.as_bytes()).or_else(|_| expected("a base64 decimal"))?;
    Ok(Cow::Owned(decimal_text(&bytes, scale)?))
}

fn variable_decimal(raw: &str) -> Result<Cow<'_, str>, ValueError> {
    if is_number(raw) || raw.starts_with('"') {
        return decimal(raw, 0);
    }
    let fields: super::Fields<'_> =
        serde_json::from_str(raw).or_else(|_| expected("a structure of scale and value"))?;
    let scale = fields.get("scale").and_then(|scale| scale.parse::<i32>().ok());
    match (scale, fields.get("value")) {
        (Some(scale), Some(value)) => decimal(value, scale),
        _ => expected("a structure of scale and value"),
    }
}

fn written_decimal(text: Cow<'_, str>) -> Result<Cow<'_, str>, ValueError> {
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let points = digits.bytes().filter(|byte| *byte == b'.').count();
    let plain = digits.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
    if plain && points <= 1 && digits.len() > points { Ok(text) } else { expected("a decimal") }
}

/// Longest decimal that we spell out: PostgreSQL's numeric has at most 131072 + 16383 digits.
const DECIMAL_DIGITS_MAX: u32 = 147_456;

/// Big-endian two's complement bytes and a scale, as plain text.
fn decimal_text(bytes: &[u8], scale: i32) -> Result<String, ValueError> {
    if bytes.is_empty() || scale.unsigned_abs() > DECIMAL_DIGITS_MAX {
        return expected("a decimal");
    }
    let unscaled = if bytes.len() <= 16 {
        let fill = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        i128::from_be_bytes(wide).to_string()
    } else {
        BigInt::from_signed_bytes_be(bytes).to_string()
    };
    Ok(shift_point(&unscaled, scale))
}

/// `12345` with scale 2 is `123.45`; with scale -2 it is `1234500`.
fn shift_point(unscaled: &str, scale: i32) -> String {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    let places = scale.unsigned_abs() as usize;
    if scale <= 0 {
        let zeros = if digits == "0" { 0 } else { places };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    let padded = format!("{}{digits}", "0".repeat((places + 1).saturating_sub(digits.len())));
    let (whole, fraction) = padded.split_at(padded.len() - places);
    format!("{sign}{whole}.{fraction}")
}

/// A JSON number with an exponent, as plain text.
fn plain_decimal(raw: &str) -> Result<String, ValueError> {
    let (mantissa, exponent) = raw.split_once(['e', 'E']).unwrap_or((raw, "0"));
    let exponent: i32 = exponent.parse().or_else(|_| expected("a decimal"))?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (sign, whole) = match whole.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", whole),
    };
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let digits = if significant.is_empty() { "0" } else { significant };
    let scale = i64::try_from(fraction.len()).unwrap_or(i64::MAX) - i64::from(exponent);
    match i32::try_from(scale) {
        Ok(scale) if scale.unsigned_abs() <= DECIMAL_DIGITS_MAX => {
            Ok(shift_point(&format!("{sign}{digits}"), scale))
        }
        _ => expected("a decimal"),
    }
}

fn bytes(raw: &str, notation: BytesNotation) -> Result<Vec<u8>, ValueError> {
    let encoded = text(raw)?;
    match notation {
        BytesNotation::Base64 => STANDARD.decode(encoded.as_bytes()).or_else(|_| expected("base64")),
        BytesNotation::Base64Url => URL_SAFE.decode(encoded.as_bytes()).or_else(|_| expected("base64")),
        BytesNotation::Hex => unhex(encoded.as_bytes()),
    }
}

fn unhex(digits: &[u8]) -> Result<Vec<u8>, ValueError> {
    let (pairs, []) = digits.as_chunks::<2>() else { return expected("hexadecimal digits") };
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect::<Option<Vec<u8>>>()
        .ok_or(ValueError { expected: "hexadecimal digits" })
}

/// `2024-02-29`; `None` outside the years 1 to 9999.
pub fn iso_date(days: i64) -> Option<String> {
    let (year, month, day) = civil(days)?;
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// `12:34:56.789012`, the fraction without trailing zeros; `None` outside one day.
pub fn iso_time(nanos: i64) -> Option<String> {
    if !(0..=DAY_NANOS).contains(&nanos) {
        return None;
    }
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let mut out = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let digits = format!("{fraction:09}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    Some(out)
}

/// `2024-02-29 12:34:56.789012`; `None` outside the years 1 to 9999.
pub fn iso_timestamp(nanos: i128) -> Option<String> {
    let day = i128::from(DAY_NANOS);
    let date = iso_date(i64::try_from(nanos.div_euclid(day)).ok()?)?;
    let time = iso_time(i64::try_from(nanos.rem_euclid(day)).ok()?)?;
    Some(format!("{date} {time}"))
}

/// Year, month and day of a day number, by the 400-year cycle of the Gregorian calendar.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    // 0001-01-01 and 9999-12-31.
    if !(-719_162..=2_932_896).contains(&days) {
        return None;
    }
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    Some((year_of_era + era * 400 + i64::from(month <= 2), month, day))
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn iso_to_days(text: &str) -> Result<i64, ValueError> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, text.get(1..).unwrap_or("")),
        Some(b'+') => (1, text.get(1..).unwrap_or("")),
        _ => (1, text),
    };
    let parts: Vec<i64> = digits.split('-').filter_map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [year @ 0..=999_999_999, month @ 1..=12, day @ 1..=31] => {
            Ok(days_from_civil(sign * year, *month, *day))
        }
        _ => expected("an ISO date"),
    }
}

fn iso_to_time(text: &str) -> Result<i64, ValueError> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<i64> = clock.split(':').filter_map(|part| part.parse().ok()).collect();
    let (hour, minute, second) = match parts.as_slice() {
        [hour @ 0..=24, minute @ 0..=59] => (hour, minute, &0),
        [hour @ 0..=24, minute @ 0..=59, second @ 0..=59] => (hour, minute, second),
        _ => return expected("an ISO time"),
    };
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return expected("an ISO time");
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().or_else(|_| expected("an ISO time"))?;
    Ok(((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanos)
}

fn iso_to_timestamp(text: &str) -> Result<i128, ValueError> {
    let Some((date, time)) = text.split_once('T') else { return expected("an ISO timestamp") };
    let days = i128::from(iso_to_days(date)?);
    Ok(days * i128::from(DAY_NANOS) + i128::from(iso_to_time(time)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(kind: ColumnType, raw: &str, wanted: Value<'_>) {
        assert_eq!(decode(kind, raw, &Placeholder::default()), Ok(wanted), "{kind:?} {raw}");
    }

    fn refused(kind: ColumnType, raw: &str) {
        let value = decode(kind, raw, &Placeholder::default());
        assert!(value.is_err(), "{kind:?} {raw} gave {value:?}");
    }

    const DECIMAL2: ColumnType = ColumnType::Decimal { precision: Some(10), scale: 2 };

    #[test]
    fn decimals_are_exact() {
        let decimal = |text: &'static str| Value::Decimal(text.into());
        check(DECIMAL2, r#""SZYC0g==""#, decimal("12345678.90"));
        check(DECIMAL2, r#""AJY=""#, decimal("1.50"));
        check(DECIMAL2, r#""/w==""#, decimal("-0.01"));
        check(DECIMAL2, "12345678.90", decimal("12345678.90"));
        check(DECIMAL2, "1.2E+3", decimal("1200"));
        check(ColumnType::VariableDecimal, r#"{"scale":2,"value":"MDk="}"#, decimal("123.45"));
        check(
            ColumnType::VariableDecimal,
            r#"{"scale":0,"value":"BWvHXi1jEAAA"}"#,
            decimal("100000000000000000000"),
        );
        check(ColumnType::Decimal { precision: None, scale: -2 }, r#""Cg==""#, decimal("1000"));
        refused(DECIMAL2, r#""""#);
        refused(DECIMAL2, r#""not base64""#);
        refused(DECIMAL2, "true");
        check(ColumnType::DecimalText, r#""-123.4500""#, decimal("-123.4500"));
        refused(ColumnType::DecimalText, r#""NAN""#);
        refused(ColumnType::DecimalText, r#""1.2.3""#);
    }

    #[test]
    fn golden_times_of_the_reference() {
        let ns = 1_709_210_096_789_012_000i128;
        check(ColumnType::Timestamp(TimeNotation::Micros), "1709210096789012", Value::Timestamp(ns));
        check(
            ColumnType::Timestamp(TimeNotation::Iso),
            r#""2024-02-29T12:34:56.789012Z""#,
            Value::Timestamp(ns),
        );
        assert_eq!(iso_timestamp(ns).as_deref(), Some("2024-02-29 12:34:56.789012"));
        check(ColumnType::Date(DateNotation::Days), "19782", Value::Date(19782));
        check(ColumnType::Date(DateNotation::Iso), r#""2024-02-29Z""#, Value::Date(19782));
        assert_eq!(iso_date(19782).as_deref(), Some("2024-02-29"));
        check(ColumnType::Time(TimeNotation::Millis), "45296789", Value::Time(45_296_789_000_000));
        assert_eq!(iso_time(45_296_789_000_000).as_deref(), Some("12:34:56.789"));
        check(ColumnType::Date(DateNotation::Iso), r#""-0043-03-15Z""#, Value::Date(-735_160));
        assert_eq!(iso_timestamp(9_223_372_036_825_200_000_000), None, "infinity has no ISO form");
        refused(ColumnType::Time(TimeNotation::Micros), "-1");
        refused(ColumnType::Timestamp(TimeNotation::Iso), r#""2024-02-29""#);
    }

    #[test]
    fn unchanged_toast_is_recognised_in_every_form() {
        for (kind, raw) in [
            (ColumnType::Text, r#""__debezium_unavailable_value""#),
            (ColumnType::Json, r#""__debezium_unavailable_value""#),
            (ColumnType::Bytes(BytesNotation::Base64), r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#),
            (ColumnType::Nested, r#"["__debezium_unavailable_value"]"#),
        ] {
            check(kind, raw, Value::Unavailable);
        }
        check(ColumnType::Text, r#""__debezium""#, Value::Text("__debezium".into()));
    }

    #[test]
    fn text_bytes_json_and_floats() {
        check(ColumnType::Text, r#""a\n\u00e9""#, Value::Text("a\né".into()));
        check(
            ColumnType::Bytes(BytesNotation::Hex),
            r#""00017f80ff""#,
            Value::Bytes(vec![0, 1, 127, 128, 255]),
        );
        refused(ColumnType::Bytes(BytesNotation::Hex), r#""0""#);
        check(ColumnType::Json, r#""{\"a\":1}""#, Value::Json(r#"{"a":1}"#.into()));
        refused(ColumnType::Json, r#""{""#);
        check(ColumnType::Float { bits: 64 }, r#""NaN""#, Value::Float("NaN"));
        check(ColumnType::Float { bits: 64 }, "1.0E-7", Value::Float("1.0E-7"));
        check(ColumnType::Integer { bits: 64 }, "-9223372036854775808", Value::Integer(i64::MIN));
        refused(ColumnType::Integer { bits: 16 }, "40000");
        refused(ColumnType::Integer { bits: 32 }, "1.5");
    }

    proptest! {
        #[test]
        fn days_and_dates_agree(days in -719_162i64..=2_932_896) {
            let text = iso_date(days).expect("in range");
            prop_assert_eq!(iso_to_days(&text), Ok(days));
        }

        #[test]
        fn any_two_s_complement_number_keeps_its_digits(number: i128, scale in 0i32..40) {
            let text = decimal_text(&number.to_be_bytes(), scale).expect("a decimal");
            let digits: String = text.chars().filter(|c| *c != '.').collect();
            prop_assert_eq!(digits.parse::<i128>().ok(), Some(number));
            let wide = decimal_text(&BigInt::from(number).to_signed_bytes_be(), scale);
            prop_assert_eq!(wide, Ok(text));
        }

        #[test]
        fn no_text_makes_the_decoder_panic(raw in ".{0,40}") {
            for kind in [DECIMAL2, ColumnType::VariableDecimal, ColumnType::Json, ColumnType::ZonedTimestamp,
                ColumnType::Time(TimeNotation::Iso), ColumnType::Timestamp(TimeNotation::Iso),
                ColumnType::Date(DateNotation::Iso), ColumnType::Bytes(BytesNotation::Base64Url)] {
                let _ = decode(kind, &raw, &Placeholder::default());
                let quoted = serde_json::Value::from(raw.as_str()).to_string();
                let _ = decode(kind, &quoted, &Placeholder::default());
            }
        }
    }
}
