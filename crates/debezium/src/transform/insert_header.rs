//! `InsertHeader`: a header with a fixed value.

use num_bigint::BigInt;

use super::options::{OptionError, Options};
use super::value::{Typed, Value};
use super::{Header, Record, Side, Transform, TransformError};

pub(crate) const OPTIONS: &[&str] = &["header", "value.literal"];

#[derive(Debug, Clone)]
struct InsertHeader {
    header: Header,
}

pub(crate) fn make(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let name = options.required("header")?.to_owned();
    let literal = options
        .raw("value.literal")
        .ok_or_else(|| options.error("value.literal", "is required and missing"))?;
    Ok(Box::new(InsertHeader { header: Header { name, value: literal_value(literal) } }))
}

/// Connect reads a literal as null, a boolean, a number or a list of texts where it looks like one, else as text; what
/// it has read is what it writes (`1.50` is 1.5, `007` is 7).
fn literal_value(text: &str) -> Typed {
    let value = match text.trim() {
        "null" => Value::Null,
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        word => match (number(word), serde_json::from_str::<Vec<String>>(word)) {
            (Some(number), _) => number,
            (_, Ok(names)) => Value::Array(names.into_iter().map(Value::String).collect()),
            _ => return Typed::string(text),
        },
    };
    Typed { schema: None, value }
}

/// Digits with a fraction and an exponent that may be absent: an integer if that is what it comes to, else a float.
fn number(word: &str) -> Option<Value> {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i32 =
        exponent.parse().ok().filter(|exponent| (-EXPONENT_MAX..=EXPONENT_MAX).contains(exponent))?;
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if integer.is_empty() || !is_digits(integer) || !is_digits(fraction) {
        return None;
    }
    let sign = if word.starts_with('-') { "-" } else { "" };
    let mut unscaled: BigInt = format!("{sign}{integer}{fraction}").parse().ok()?;
    let scale = fraction.len() as i32 - exponent;
    let power = BigInt::from(10).pow(scale.unsigned_abs());
    match scale > 0 {
        true if &unscaled % &power != BigInt::ZERO => {
            return match word.parse::<f32>() {
                Ok(value) if value.is_finite() => Some(Value::Float32(value)),
                _ => word.parse().map(Value::Float64).ok(),
            };
        }
        true => unscaled /= power,
        false => unscaled *= power,
    }
    Some(match i64::try_from(&unscaled) {
        Ok(value) => Value::Int(value),
        Err(_) => Value::Decimal(unscaled.to_signed_bytes_be(), 0),
    })
}

/// Exponents beyond this are no numbers that anyone writes to a header: they stay text.
const EXPONENT_MAX: i32 = 40;

impl Transform for InsertHeader {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        record.headers.push(self.header.clone());
        Ok(Some(record))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::text::header;

    /// Printed by Connect's `Values`.
    #[test]
    fn literals_are_written_as_connect_reads_them() {
        for (text, expected) in [
            ("", ""),
            ("true", "true"),
            ("TRUE", "TRUE"),
            ("-12", "-12"),
            ("+12", "12"),
            ("007", "7"),
            ("1.50", "1.5"),
            ("1.0", "1"),
            ("3.14159265358979", "3.1415927"),
            ("1e3", "1000"),
            ("1E-3", "0.001"),
            ("-0.0", "0"),
            ("12345678901234567890", "12345678901234567890"),
            ("1234567.891", "1234567.9"),
            ("[ \"x\" , \"y\" ]", "[\"x\",\"y\"]"),
            ("[a,b]", "[a,b]"),
            ("\"quoted\"", "\"quoted\""),
            ("some text: here", "some text: here"),
            (" 5 ", "5"),
            ("1.", "1"),
            (".5", ".5"),
            ("0x10", "0x10"),
            ("-", "-"),
            ("NaN", "NaN"),
        ] {
            let written = header(&literal_value(text)).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(written.as_deref(), Some(expected), "{text}");
        }
        assert_eq!(header(&literal_value("null")), None);
    }
}
