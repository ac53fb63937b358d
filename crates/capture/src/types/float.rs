//! `real`, `double precision`

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::{ConversionError, Mapping, Params, TypeContext, utf8};

pub(super) fn float4<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    Mapping {
        schema: Schema::new(Kind::Float32),
        write: |text, _: &Params, writer| {
            writer.float32(utf8(text)?.parse().map_err(|_| ConversionError::Malformed)?);
            Ok(())
        },
        params: Params::default(),
        fallback: Literal::Float32(0.0),
        unavailable: Literal::Null,
    }
}

pub(super) fn float8<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    Mapping {
        schema: Schema::new(Kind::Float64),
        write: |text, _: &Params, writer| {
            writer.float64(parse_f64(text)?);
            Ok(())
        },
        params: Params::default(),
        fallback: Literal::Float64(0.0),
        unavailable: Literal::Null,
    }
}

/// Reads PostgreSQL's float text, with `NaN`, `Infinity` and `-Infinity`.
pub(super) fn parse_f64(text: &[u8]) -> Result<f64, ConversionError> {
    utf8(text)?.parse().map_err(|_| ConversionError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn floats_keep_special_values_and_negative_zero() {
        check(
            701,
            -1,
            &Default::default(),
            &[
                ("1e-07", "1.0E-7"),
                ("-0", "-0.0"),
                ("NaN", "\"NaN\""),
                ("Infinity", "\"Infinity\""),
                ("-Infinity", "\"-Infinity\""),
                ("1.5", "1.5"),
            ],
        );
        check(700, -1, &Default::default(), &[("0.1", "0.1")]);
    }
}
