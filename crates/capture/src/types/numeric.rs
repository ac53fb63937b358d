//! `numeric`

use std::cell::RefCell;

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter, write_variable_scale_decimal};
use num_bigint::BigInt;

use super::{ConversionError, Mapping, Params, TypeContext, float, utf8};
use crate::config::DecimalMode;

/// Kafka Connect's fixed-point type.
pub(super) const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

/// Digits that always fit an `i128`.
const I128_DIGITS: usize = 38;

thread_local! {
    /// Digits of one value without sign and point, kept from value to value.
    static DIGITS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn map<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let (precision, scale) = precision_and_scale(context.typmod);
    match (context.modes.decimal, precision) {
        (DecimalMode::String, _) => Mapping {
            schema: Schema::new(Kind::String),
            write: write_string,
            params: Params::default(),
            fallback: Literal::String(zero_text(scale)),
            unavailable: context.placeholder(),
        },
        (DecimalMode::Double, _) => Mapping {
            schema: Schema::new(Kind::Float64),
            write: |text, _: &Params, writer| {
                writer.float64(float::parse_f64(text)?);
                Ok(())
            },
            params: Params::default(),
            fallback: Literal::Float64(0.0),
            unavailable: Literal::Null,
        },
        (DecimalMode::Precise, Some(precision)) => Mapping {
            schema: Schema::new(Kind::Bytes)
                .named(DECIMAL)
                .parameter("scale", scale.to_string())
                .parameter("connect.decimal.precision", precision.to_string()),
            write: write_fixed,
            params: Params { scale, ..Params::default() },
            fallback: Literal::Decimal(vec![0], scale),
            unavailable: Literal::Null,
        },
        (DecimalMode::Precise, None) => Mapping {
            schema: Schema::structure(vec![
                Schema::new(Kind::Int32).field("scale"),
                Schema::new(Kind::Bytes).field("value"),
            ])
            .named("io.debezium.data.VariableScaleDecimal")
            .doc("Variable scaled decimal"),
            write: write_variable,
            params: Params::default(),
            fallback: Literal::VariableScaleDecimal(vec![0], 0),
            unavailable: Literal::Null,
        },
    }
}

/// The type modifier holds precision and, in 11 bits with sign, the scale (negative since PostgreSQL 15).
fn precision_and_scale(typmod: i32) -> (Option<i32>, i32) {
    if typmod < 4 {
        return (None, 0);
    }
    let packed = typmod - 4;
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    (Some(packed >> 16 & 0xffff), scale)
}

/// Fraction digits of a column, if its type says how many; a negative scale counts as none.
pub(crate) fn scale(typmod: i32) -> Option<usize> {
    let (precision, scale) = precision_and_scale(typmod);
    precision.map(|_| usize::try_from(scale).unwrap_or(0))
}

fn zero_text(scale: i32) -> String {
    match usize::try_from(scale) {
        Ok(scale) if scale > 0 => format!("0.{}", "0".repeat(scale)),
        _ => "0".to_owned(),
    }
}

fn write_string<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.string(match text {
        b"NaN" => "NAN",
        b"Infinity" => "POSITIVE_INFINITY",
        b"-Infinity" => "NEGATIVE_INFINITY",
        plain => utf8(plain)?,
    });
    Ok(())
}

fn write_fixed<W: ValueWriter>(text: &[u8], params: &Params, writer: &mut W) -> Result<(), ConversionError> {
    with_unscaled(text, Some(params.scale), |unscaled, scale| writer.decimal(unscaled, scale))
}

fn write_variable<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    with_unscaled(text, None, |unscaled, scale| write_variable_scale_decimal(writer, unscaled, scale))
}

/// Gives the unscaled value of `text` as minimal big-endian two's complement, at `scale`, or at the smallest
/// scale from 0 that holds the value.
pub(super) fn with_unscaled(
    text: &[u8],
    scale: Option<i32>,
    use_unscaled: impl FnOnce(&[u8], i32),
) -> Result<(), ConversionError> {
    let (negative, number) = match text.split_first() {
        Some((b'-', number)) => (true, number),
        _ => (false, text),
    };
    if let Some(small) = Small::read(number)
        && let Some((magnitude, scale)) = small.at(scale)
    {
        let value = if negative { -magnitude } else { magnitude };
        // Sign bits that only repeat the first one need no bytes.
        let redundant = ((value ^ value >> 63).leading_zeros() as usize - 1) / 8;
        let bytes = value.to_be_bytes();
        use_unscaled(bytes.get(redundant..).unwrap_or(&bytes), scale);
        return Ok(());
    }
    DIGITS.with_borrow_mut(|digits| {
        let fraction = read_digits(number, digits)?;
        let scale = match scale {
            Some(scale) => {
                rescale(digits, fraction, scale)?;
                scale
            }
            None => {
                let zeros = digits.iter().rev().take(fraction as usize).take_while(|d| **d == b'0').count();
                digits.truncate(digits.len() - zeros);
                fraction - zeros as i32
            }
        };
        if digits.len() <= I128_DIGITS {
            let magnitude = digits.iter().fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
            let bytes = (if negative { -magnitude } else { magnitude }).to_be_bytes();
            use_unscaled(minimal(&bytes), scale);
        } else {
            let magnitude = BigInt::parse_bytes(digits, 10).ok_or(ConversionError::Malformed)?;
            let value = if negative { -magnitude } else { magnitude };
            use_unscaled(&value.to_signed_bytes_be(), scale);
        }
        Ok(())
    })
}

/// A number of few digits, as nearly all are.
struct Small {
    magnitude: i64,
    digits: u32,
    /// How many of the digits stand behind the point.
    fraction: i32,
}

impl Small {
    /// Digits that always fit an `i64`.
    const DIGITS: u32 = 18;

    /// Anything but digits and one point is left to others.
    fn read(number: &[u8]) -> Option<Self> {
        if number.len() > Self::DIGITS as usize {
            return None;
        }
        let (mut magnitude, mut digits, mut point) = (0, 0, None);
        for byte in number {
            match byte {
                b'0'..=b'9' => {
                    magnitude = magnitude * 10 + i64::from(byte - b'0');
                    digits += 1;
                }
                b'.' if point.is_none() => point = Some(digits),
                _ => return None,
            }
        }
        let fraction = point.map_or(0, |point| digits - point) as i32;
        (digits > 0).then_some(Small { magnitude, digits, fraction })
    }

    /// The unscaled value at `scale`, if only zeros are to be added, or at the smallest scale.
    fn at(mut self, scale: Option<i32>) -> Option<(i64, i32)> {
        let Some(scale) = scale else {
            while self.fraction > 0 && self.magnitude % 10 == 0 {
                self.magnitude /= 10;
                self.fraction -= 1;
            }
            return Some((self.magnitude, self.fraction));
        };
        let missing = u32::try_from(scale - self.fraction).ok()?;
        if self.digits + missing > Self::DIGITS {
            return None;
        }
        Some((self.magnitude * 10i64.pow(missing), scale))
    }
}

/// Collects the digits and says how many stand behind the point.
fn read_digits(number: &[u8], digits: &mut Vec<u8>) -> Result<i32, ConversionError> {
    digits.clear();
    let mut point = None;
    for byte in number {
        match byte {
            b'0'..=b'9' => digits.push(*byte),
            b'.' if point.is_none() => point = Some(digits.len()),
            _ if matches!(number, b"NaN" | b"Infinity") => return Err(ConversionError::NotFinite),
            _ => return Err(ConversionError::Malformed),
        }
    }
    if digits.is_empty() {
        return Err(ConversionError::Malformed);
    }
    Ok(point.map_or(0, |point| (digits.len() - point) as i32))
}

/// Adds or removes zeros at the end; a digit that would be lost is an error.
fn rescale(digits: &mut Vec<u8>, fraction: i32, scale: i32) -> Result<(), ConversionError> {
    let missing = scale - fraction;
    if let Ok(missing) = usize::try_from(missing) {
        digits.resize(digits.len() + missing, b'0');
        return Ok(());
    }
    for _ in missing..0 {
        match digits.pop() {
            Some(b'0') | None => {}
            Some(_) => return Err(ConversionError::OutOfRange),
        }
    }
    Ok(())
}

/// Drops leading bytes that only repeat the sign.
fn minimal(bytes: &[u8; 16]) -> &[u8] {
    let redundant = bytes
        .windows(2)
        .take_while(|pair| {
            let negative = pair[1] & 0x80 != 0;
            (pair[0] == 0 && !negative) || (pair[0] == 0xff && negative)
        })
        .count();
    bytes.get(redundant..).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::ConversionError;
    use super::super::tests::{check, json};
    use super::with_unscaled;
    use crate::config::{DecimalMode, Modes};

    fn typmod(precision: i32, scale: i32) -> i32 {
        (precision << 16 | scale & 0x7ff) + 4
    }

    #[test]
    fn precise_with_a_scale_is_connects_decimal() {
        let modes = Modes::default();
        check(
            1700,
            typmod(10, 2),
            &modes,
            &[
                ("12345678.90", "\"SZYC0g==\""),
                ("1.50", "\"AJY=\""),
                ("0.00", "\"AA==\""),
                ("-0.01", "\"/w==\""),
            ],
        );
        check(1700, typmod(3, 5), &modes, &[("0.00123", "\"ew==\"")]);
        check(1700, typmod(5, -2), &modes, &[("12300", "\"ew==\""), ("0", "\"AA==\"")]);
        assert_eq!(json(1700, typmod(10, 2), &modes, "NaN"), Err(ConversionError::NotFinite));
        assert_eq!(json(1700, typmod(10, 2), &modes, "1x"), Err(ConversionError::Malformed));
    }

    #[test]
    fn few_digits_and_many_mean_the_same() {
        let unscaled = |text: &str, scale| {
            let mut found = Vec::new();
            let read = with_unscaled(text.as_bytes(), scale, |bytes, scale| {
                found = [bytes, &[scale as u8]].concat();
            });
            read.map(|()| found)
        };
        for whole in ["0", "7", "127", "128", "255", "256", "32768", "99999999999999"] {
            for fraction in ["", ".0", ".5", ".25", ".125"] {
                for sign in ["", "-"] {
                    for scale in [None, Some(3), Some(5)] {
                        let short = format!("{sign}{whole}{fraction}");
                        let long = format!("{sign}{}{whole}{fraction}", "0".repeat(19));
                        let found = unscaled(&short, scale);
                        assert!(found.is_ok(), "{short}");
                        assert_eq!(found, unscaled(&long, scale), "{short} {scale:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn precise_without_a_scale_strips_trailing_zeros() {
        check(
            1700,
            -1,
            &Modes::default(),
            &[
                ("123.4500", r#"{"scale":2,"value":"MDk="}"#),
                ("-0.00", r#"{"scale":0,"value":"AA=="}"#),
                ("100000000000000000000", r#"{"scale":0,"value":"BWvHXi1jEAAA"}"#),
            ],
        );
    }

    #[test]
    fn huge_numbers_agree_with_small_ones_at_the_border() {
        let modes = Modes::default();
        let small = json(1700, typmod(38, 0), &modes, &"9".repeat(38)).unwrap();
        let padded = json(1700, typmod(39, 0), &modes, &format!("0{}", "9".repeat(38))).unwrap();
        assert_eq!(small, padded);
        assert!(json(1700, -1, &modes, &"9".repeat(131_072)).unwrap().len() > 70_000);
    }

    #[test]
    fn string_and_double_modes() {
        let modes = Modes { decimal: DecimalMode::String, ..Modes::default() };
        check(1700, typmod(10, 2), &modes, &[("12345678.90", "\"12345678.90\""), ("NaN", "\"NAN\"")]);
        let modes = Modes { decimal: DecimalMode::Double, ..Modes::default() };
        check(1700, typmod(10, 2), &modes, &[("1.50", "1.5"), ("NaN", "\"NaN\"")]);
    }
}
