//! `money`: `$1,234.56` with `lc_monetary = C`, which our sessions set

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::{ConversionError, Mapping, Params, TypeContext, numeric};
use crate::config::DecimalMode;

/// Fraction digits of `money` in the C locale.
const MONEY_DIGITS: i32 = 2;

pub(super) fn map<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let scale = context.modes.money_fraction_digits;
    let params = Params { scale, ..Params::default() };
    match context.modes.decimal {
        DecimalMode::Precise => Mapping {
            schema: Schema::new(Kind::Bytes).named(numeric::DECIMAL).parameter("scale", scale.to_string()),
            write: |text, params, writer| {
                let amount = rounded(text, params.scale)?;
                numeric::with_unscaled(amount.as_bytes(), Some(params.scale), |unscaled, scale| {
                    writer.decimal(unscaled, scale);
                })
            },
            params,
            fallback: Literal::Decimal(vec![0], scale),
            unavailable: Literal::Null,
        },
        DecimalMode::String => Mapping {
            schema: Schema::new(Kind::String),
            write: |text, params, writer| {
                writer.string(&rounded(text, params.scale)?);
                Ok(())
            },
            params,
            fallback: Literal::String("0.00".to_owned()),
            unavailable: Literal::Null,
        },
        DecimalMode::Double => Mapping {
            schema: Schema::new(Kind::Float64),
            write: |text, params, writer| {
                let amount = rounded(text, params.scale)?;
                writer.float64(amount.parse().map_err(|_| ConversionError::Malformed)?);
                Ok(())
            },
            params,
            fallback: Literal::Float64(0.0),
            unavailable: Literal::Null,
        },
    }
}

/// The amount with `scale` fraction digits, half up.
fn rounded(text: &[u8], scale: i32) -> Result<String, ConversionError> {
    let mut cents: i128 = 0;
    for byte in text {
        match byte {
            b'0'..=b'9' => cents = cents * 10 + i128::from(byte - b'0'),
            b'-' | b'$' | b',' | b'.' | b' ' => {}
            _ => return Err(ConversionError::Malformed),
        }
        if cents > i128::from(u64::MAX) {
            return Err(ConversionError::OutOfRange);
        }
    }
    let sign = if text.contains(&b'-') && cents != 0 { "-" } else { "" };
    let scale = scale.clamp(0, 18);
    let units = match scale - MONEY_DIGITS {
        more if more >= 0 => cents * 10i128.pow(more.unsigned_abs()),
        fewer => {
            let divisor = 10i128.pow(fewer.unsigned_abs());
            (cents + divisor / 2) / divisor
        }
    };
    let one = 10i128.pow(scale.unsigned_abs());
    Ok(match scale {
        0 => format!("{sign}{units}"),
        _ => format!("{sign}{}.{:0width$}", units / one, units % one, width = scale as usize),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::config::{DecimalMode, Modes};

    #[test]
    fn money_in_every_mode() {
        check(790, -1, &Modes::default(), &[("$1,234,567.89", "\"B1vNFQ==\"")]);
        let modes = Modes { decimal: DecimalMode::String, ..Modes::default() };
        check(790, -1, &modes, &[("-$1.50", "\"-1.50\""), ("$0.00", "\"0.00\"")]);
        let modes = Modes { decimal: DecimalMode::Double, ..Modes::default() };
        check(790, -1, &modes, &[("-$1.50", "-1.5")]);
        let modes = Modes { decimal: DecimalMode::String, money_fraction_digits: 1, ..Modes::default() };
        check(790, -1, &modes, &[("$1.25", "\"1.3\""), ("-$1.25", "\"-1.3\"")]);
    }
}
