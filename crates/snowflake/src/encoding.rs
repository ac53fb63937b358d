//! Rows as newline-delimited JSON, in the forms that Snowflake converts without loss.

use base64::Engine;
use cdcd_debezium::event::value::{Value, ValueError, iso_date, iso_time, iso_timestamp};
use cdcd_sink::destination::StoredType;
use cdcd_sink::row::RowEncoder;

/// One JSON object per line; keys are column names. NULL is a missing key.
///
/// Exact numbers go as strings to keep 38 digits, bytes as hexadecimal digits (BINARY_INPUT_FORMAT's default),
/// VARIANT as nested JSON.
#[derive(Debug, Default)]
pub struct NdjsonEncoder {
    first: bool,
}

/// What a TIME column cannot hold: midnight at the end of the day.
const DAY_NANOS: i64 = 86_400_000_000_000;

impl RowEncoder for NdjsonEncoder {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.first = true;
        out.push(b'{');
    }

    fn field(
        &mut self,
        out: &mut Vec<u8>,
        column: &str,
        stored: &StoredType,
        value: &Value<'_>,
    ) -> Result<(), ValueError> {
        if matches!(value, Value::Null | Value::Unavailable) {
            return Ok(());
        }
        if !std::mem::take(&mut self.first) {
            out.push(b',');
        }
        string(out, column);
        out.push(b':');
        write(out, stored, value)
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"}\n");
    }
}

fn write(out: &mut Vec<u8>, stored: &StoredType, value: &Value<'_>) -> Result<(), ValueError> {
    let range = ValueError { expected: "a date or time that Snowflake holds: years 1 to 9999, before 24:00" };
    match value {
        Value::Null | Value::Unavailable => out.extend_from_slice(b"null"),
        Value::Boolean(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Integer(number) if *stored == StoredType::Text => string(out, &number.to_string()),
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Float("NaN") => string(out, "NaN"),
        Value::Float("Infinity") => string(out, "inf"),
        Value::Float("-Infinity") => string(out, "-inf"),
        Value::Float(text) => out.extend_from_slice(text.as_bytes()),
        Value::Decimal(text) | Value::Text(text) => string(out, text),
        Value::Bytes(bytes) => binary(out, stored, bytes),
        Value::Json(text) if *stored == StoredType::Text => string(out, text),
        // Line ends between tokens are the only ones that JSON may hold, and the only thing that would cut a line.
        Value::Json(text) if text.contains(['\n', '\r']) => {
            out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        }
        Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        Value::Date(days) => string(out, &iso_date(*days).ok_or(range)?),
        Value::Time(nanos) if *nanos >= DAY_NANOS => return Err(range),
        Value::Time(nanos) => string(out, &iso_time(*nanos).ok_or(range)?),
        Value::Timestamp(nanos) => string(out, &iso_timestamp(*nanos).ok_or(range)?),
        Value::Instant(text) if is_instant(text) => string(out, text),
        Value::Instant(_) => return Err(range),
    }
    Ok(())
}

/// Four digits of a year and a dash: neither `infinity` nor years outside 0 to 9999.
fn is_instant(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, c, d, b'-', ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_digit()))
}

fn binary(out: &mut Vec<u8>, stored: &StoredType, bytes: &[u8]) {
    if *stored != StoredType::Binary {
        return string(out, &base64::engine::general_purpose::STANDARD.encode(bytes));
    }
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'"');
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.push(b'"');
}

/// A JSON string.
fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let Some(special) = tail.bytes().next() else { break };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = tail.get(1..).unwrap_or("");
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(stored: StoredType, value: Value<'_>) -> Result<String, ValueError> {
        let mut out = Vec::new();
        let mut encoder = NdjsonEncoder::default();
        encoder.begin(&mut out);
        encoder.field(&mut out, "C", &stored, &value)?;
        encoder.end(&mut out);
        Ok(String::from_utf8(out).expect("utf-8"))
    }

    fn check(stored: StoredType, value: Value<'_>, wanted: &str) {
        assert_eq!(line(stored, value).as_deref(), Ok(format!("{wanted}\n").as_str()));
    }

    #[test]
    fn values_in_the_forms_that_snowflake_converts() {
        let number = StoredType::Number { precision: 38, scale: 2 };
        check(number, Value::Decimal("12345678901234567890.12".into()), r#"{"C":"12345678901234567890.12"}"#);
        check(
            StoredType::Number { precision: 38, scale: 0 },
            Value::Integer(i64::MIN),
            r#"{"C":-9223372036854775808}"#,
        );
        check(StoredType::Float, Value::Float("-Infinity"), r#"{"C":"-inf"}"#);
        check(StoredType::Binary, Value::Bytes(vec![0, 255]), r#"{"C":"00FF"}"#);
        check(StoredType::Variant, Value::Json("{\n\"a\":1}".into()), r#"{"C":{ "a":1}}"#);
        check(StoredType::Text, Value::Null, "{}");
        check(StoredType::Date, Value::Date(19782), r#"{"C":"2024-02-29"}"#);
        check(StoredType::Boolean, Value::Boolean(true), r#"{"C":true}"#);
        assert!(line(StoredType::Instant, Value::Instant("infinity".into())).is_err());
        assert!(line(StoredType::Time { precision: 6 }, Value::Time(DAY_NANOS)).is_err());
        assert!(
            line(StoredType::Timestamp { precision: 6 }, Value::Timestamp(9_223_372_036_825_200_000_000))
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_of_json_that_reads_back(text: String) {
            let line = line(StoredType::Text, Value::Text(text.as_str().into())).expect("text");
            prop_assert_eq!(line.matches('\n').count(), 1);
            let back: serde_json::Value = serde_json::from_str(&line).expect("json");
            prop_assert_eq!(back["C"].as_str(), Some(text.as_str()));
        }
    }
}
