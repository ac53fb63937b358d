//! `smallint`, `integer`, `bigint`, `oid`

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::{ConversionError, Mapping, Params, TypeContext, integer};

pub(super) fn int2<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    mapping(Kind::Int16)
}

pub(super) fn int4<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    mapping(Kind::Int32)
}

pub(super) fn int8<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    mapping(Kind::Int64)
}

/// `oid` is unsigned and needs 64 bits.
pub(super) fn oid<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    mapping(Kind::Int64)
}

fn mapping<W: ValueWriter>(kind: Kind) -> Mapping<W> {
    Mapping {
        schema: Schema::new(kind),
        write,
        params: Params::default(),
        fallback: Literal::Int(0),
        unavailable: Literal::Null,
    }
}

fn write<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.int_with_digits(integer(text)?, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn integers_are_json_numbers_in_full_range() {
        check(21, -1, &Default::default(), &[("-32768", "-32768")]);
        check(20, -1, &Default::default(), &[("9223372036854775807", "9223372036854775807")]);
        check(26, -1, &Default::default(), &[("4294967295", "4294967295")]);
    }
}
