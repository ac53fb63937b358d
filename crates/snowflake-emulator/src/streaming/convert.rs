//! From the JSON text of one value to the engine's COPY text, checked against the column's type as Snowflake checks it.

mod decimal;
mod instant;

use crate::datatype::DataType;

use decimal::Decimal;
use instant::parse_time;
pub(crate) use instant::{parse_date, parse_instant};

/// How strings in BINARY columns are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum BinaryFormat {
    /// Two hex digits a byte; Snowflake's default.
    #[default]
    Hex,
    /// Base 64 with padding.
    Base64,
    /// The string's own bytes.
    Utf8,
}

/// Appends the COPY text of `json` (the raw JSON text of one value) to `out`.
///
/// # Errors
/// A sentence that says why the value does not fit the type; the value itself is not in it.
pub(super) fn write_value(
    data_type: DataType,
    json: &str,
    binary: BinaryFormat,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let value = Json::of(json)?;
    if matches!(value, Json::Null) {
        out.extend_from_slice(b"\\N");
        return Ok(());
    }
    match data_type {
        DataType::Number { precision, scale } => write_number(&value, precision, scale, out),
        DataType::Float => write_float(&value, out),
        DataType::Varchar { length } => write_varchar(&value, length, out),
        DataType::Binary { length } => write_binary(&value, length, binary, out),
        DataType::Boolean => write_boolean(&value, out),
        DataType::Date | DataType::Time => write_clock(data_type, &value, out),
        DataType::TimestampNtz | DataType::TimestampLtz | DataType::TimestampTz => {
            write_clock(data_type, &value, out)
        }
        DataType::Variant => write_json(json, out),
        DataType::Object => match value {
            Json::Object(_) => write_json(json, out),
            _ => Err(mismatch(&value, "OBJECT")),
        },
        DataType::Array => match value {
            Json::Array(_) => write_json(json, out),
            _ => Err(mismatch(&value, "ARRAY")),
        },
    }
}

/// One JSON value, its scalar parts decoded.
enum Json<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(std::borrow::Cow<'a, str>),
    Array(&'a str),
    Object(&'a str),
}

impl<'a> Json<'a> {
    fn of(json: &'a str) -> Result<Json<'a>, String> {
        Ok(match json.as_bytes().first() {
            Some(b'n') => Json::Null,
            Some(b't') => Json::Bool(true),
            Some(b'f') => Json::Bool(false),
            Some(b'"') => Json::Text(unquote(json)?),
            Some(b'[') => Json::Array(json),
            Some(b'{') => Json::Object(json),
            Some(_) => Json::Number(json),
            None => return Err("empty value".to_owned()),
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Number(_) => "number",
            Json::Text(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }
}

fn mismatch(value: &Json<'_>, wanted: &str) -> String {
    format!("a JSON {} does not convert to {wanted}", value.kind())
}

fn unquote(json: &str) -> Result<std::borrow::Cow<'_, str>, String> {
    let inner =
        json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("unterminated string")?;
    if inner.as_bytes().contains(&b'\\') {
        serde_json::from_str::<String>(json)
            .map(std::borrow::Cow::Owned)
            .map_err(|error| format!("string is not JSON: {error}"))
    } else {
        Ok(std::borrow::Cow::Borrowed(inner))
    }
}

fn write_number(value: &Json<'_>, precision: u8, scale: u8, out: &mut Vec<u8>) -> Result<(), String> {
    let text = match value {
        Json::Number(text) => text,
        Json::Text(text) => text.trim(),
        Json::Bool(true) => "1",
        Json::Bool(false) => "0",
        _ => return Err(mismatch(value, "NUMBER")),
    };
    let decimal = Decimal::parse(text).ok_or_else(|| "string is not a number".to_owned())?;
    decimal
        .write(precision, scale, out)
        .map_err(|()| format!("number is out of range for NUMBER({precision},{scale})"))
}

fn write_float(value: &Json<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let text = match value {
        Json::Number(text) => text,
        Json::Text(text) => text.trim(),
        _ => return Err(mismatch(value, "FLOAT")),
    };
    let float: f64 = match text.to_ascii_lowercase().as_str() {
        "nan" => f64::NAN,
        "inf" | "+inf" | "infinity" => f64::INFINITY,
        "-inf" | "-infinity" => f64::NEG_INFINITY,
        other => other.parse().map_err(|_| "string is not a FLOAT".to_owned())?,
    };
    let text = if float.is_nan() {
        "NaN".to_owned()
    } else if float.is_infinite() {
        if float > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        format!("{float:e}")
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn write_varchar(value: &Json<'_>, length: u32, out: &mut Vec<u8>) -> Result<(), String> {
    let text = match value {
        Json::Null => return Err(mismatch(value, "VARCHAR")),
        Json::Bool(true) => "true",
        Json::Bool(false) => "false",
        Json::Number(text) | Json::Array(text) | Json::Object(text) => text,
        Json::Text(text) => text,
    };
    let limit = usize::try_from(length).unwrap_or(usize::MAX);
    // bytes bound characters from above, so that the count is made only when it can matter
    if text.len() > limit && text.chars().count() > limit {
        return Err(format!("string is longer than VARCHAR({length})"));
    }
    if text.as_bytes().contains(&0) {
        return Err("string holds U+0000, which the emulator's engine cannot store".to_owned());
    }
    escape(text.as_bytes(), out);
    Ok(())
}

fn write_binary(
    value: &Json<'_>,
    length: u32,
    format: BinaryFormat,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    use base64::Engine as _;
    let Json::Text(text) = value else { return Err(mismatch(value, "BINARY")) };
    let bytes = match format {
        BinaryFormat::Hex => {
            unhex(text).ok_or_else(|| "string is not hexadecimal (BINARY_INPUT_FORMAT=HEX)".to_owned())?
        }
        BinaryFormat::Base64 => base64::engine::general_purpose::STANDARD
            .decode(text.as_bytes())
            .map_err(|_| "string is not base64 (BINARY_INPUT_FORMAT=BASE64)".to_owned())?,
        BinaryFormat::Utf8 => text.as_bytes().to_vec(),
    };
    if bytes.len() > usize::try_from(length).unwrap_or(usize::MAX) {
        return Err(format!("value is longer than BINARY({length})"));
    }
    out.extend_from_slice(b"\\\\x");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(nibble.into(), 16).map_or(b'0', |digit| digit as u8));
        }
    }
    Ok(())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits?;
    if digits.len() % 2 != 0 {
        return None;
    }
    Some(
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, nibble| (byte << 4) | nibble)).collect(),
    )
}

fn write_boolean(value: &Json<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let truth = match value {
        Json::Bool(truth) => *truth,
        Json::Number(text) => !Decimal::parse(text).ok_or("string is not a number")?.is_zero(),
        Json::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => true,
            "false" | "f" | "no" | "n" | "off" | "0" => false,
            _ => return Err("string is not a BOOLEAN".to_owned()),
        },
        _ => return Err(mismatch(value, "BOOLEAN")),
    };
    out.push(if truth { b't' } else { b'f' });
    Ok(())
}

fn write_clock(data_type: DataType, value: &Json<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let text = match value {
        Json::Number(text) => text,
        Json::Text(text) => text.trim(),
        _ => return Err(mismatch(value, &data_type.to_string())),
    };
    let clock = match data_type {
        DataType::Date => parse_date(text),
        DataType::Time => parse_time(text),
        _ => parse_instant(text),
    };
    let clock = clock.ok_or_else(|| format!("value is not a {data_type}"))?;
    clock.write(data_type, out);
    Ok(())
}

fn write_json(json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    if json.contains("\\u0000") {
        return Err("value holds U+0000, which the emulator's engine cannot store".to_owned());
    }
    escape(json.as_bytes(), out);
    Ok(())
}

/// COPY's text form: backslash, newline, carriage return and tab are escaped.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut clean_from = 0;
    for (index, byte) in text.iter().enumerate() {
        let letter = match byte {
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => continue,
        };
        out.extend_from_slice(text.get(clean_from..index).unwrap_or_default());
        out.extend_from_slice(&[b'\\', letter]);
        clean_from = index + 1;
    }
    out.extend_from_slice(text.get(clean_from..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datatype::VARCHAR_LENGTH_MAX;

    fn check(data_type: DataType, json: &str, expected: Result<&str, &str>) {
        let mut out = Vec::new();
        let written = write_value(data_type, json, BinaryFormat::Hex, &mut out);
        let written = written.map(|()| String::from_utf8(out).expect("COPY text is UTF-8"));
        match expected {
            Ok(text) => assert_eq!(written.as_deref(), Ok(text), "{data_type} {json}"),
            Err(part) => {
                let error = written.expect_err(json);
                assert!(error.contains(part), "{error:?} does not say {part:?}");
            }
        }
    }

    #[test]
    fn numbers_are_rounded_to_the_scale_and_refused_beyond_the_precision() {
        let number = DataType::Number { precision: 5, scale: 2 };
        check(number, "12", Ok("12.00"));
        check(number, "\"12.345\"", Ok("12.35"));
        check(number, "-12.345", Ok("-12.35"));
        check(number, "1.5e2", Ok("150.00"));
        check(number, "999.994", Ok("999.99"));
        check(number, "999.995", Err("out of range for NUMBER(5,2)"));
        check(number, "\"x\"", Err("not a number"));
        check(number, "true", Ok("1.00"));
        check(number, "[1]", Err("JSON array"));
        let widest = DataType::Number { precision: 38, scale: 0 };
        check(widest, "99999999999999999999999999999999999999", Ok("99999999999999999999999999999999999999"));
        check(widest, "100000000000000000000000000000000000000", Err("out of range"));
    }

    #[test]
    fn floats_take_words_and_digits() {
        check(DataType::Float, "1.5", Ok("1.5e0"));
        check(DataType::Float, "\"NaN\"", Ok("NaN"));
        check(DataType::Float, "\"-inf\"", Ok("-Infinity"));
        check(DataType::Float, "\"abc\"", Err("not a FLOAT"));
    }

    #[test]
    fn strings_are_measured_in_characters_and_escaped() {
        let text = DataType::Varchar { length: VARCHAR_LENGTH_MAX };
        check(text, r#""a\tb\\c\nd""#, Ok(r"a\tb\\c\nd"));
        check(text, r#""plain""#, Ok("plain"));
        check(text, "12.50", Ok("12.50"));
        check(text, r#"{"a":1}"#, Ok(r#"{"a":1}"#));
        check(text, r#""\u0000""#, Err("U+0000"));
        check(DataType::Varchar { length: 3 }, r#""äöü""#, Ok("äöü"));
        check(DataType::Varchar { length: 3 }, r#""abcd""#, Err("longer than VARCHAR(3)"));
    }

    #[test]
    fn null_is_null_in_every_type() {
        for data_type in [DataType::Float, DataType::Variant, DataType::TimestampTz, DataType::Boolean] {
            check(data_type, "null", Ok("\\N"));
        }
    }

    #[test]
    fn json_types_keep_the_text_and_check_the_shape() {
        check(DataType::Variant, r#"{"a":"x\ny"}"#, Ok(r#"{"a":"x\\ny"}"#));
        check(DataType::Object, "[1]", Err("does not convert to OBJECT"));
        check(DataType::Array, "[1]", Ok("[1]"));
    }

    #[test]
    fn booleans_take_the_words_that_snowflake_takes() {
        check(DataType::Boolean, "true", Ok("t"));
        check(DataType::Boolean, "\"Off\"", Ok("f"));
        check(DataType::Boolean, "2", Ok("t"));
        check(DataType::Boolean, "\"maybe\"", Err("not a BOOLEAN"));
    }

    #[test]
    fn binary_is_hexadecimal_unless_told_otherwise() {
        check(DataType::Binary { length: 10 }, "\"00FFa0\"", Ok(r"\\x00ffa0"));
        check(DataType::Binary { length: 10 }, "\"0\"", Err("not hexadecimal"));
        check(DataType::Binary { length: 1 }, "\"0000\"", Err("longer than BINARY(1)"));
        let mut out = Vec::new();
        write_value(DataType::Binary { length: 9 }, "\"AP+g\"", BinaryFormat::Base64, &mut out)
            .expect("base64");
        assert_eq!(out, br"\\x00ffa0");
    }
}
