//! `bit(n)`, `bit varying(n)`: a boolean for one bit, else little-endian bytes

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::{ConversionError, Mapping, Params, TypeContext};

/// What Debezium gives as the length of an unlimited `bit varying`.
const UNLIMITED: i32 = i32::MAX;

pub(super) fn fixed<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    mapping(if context.typmod > 0 { context.typmod } else { 1 })
}

pub(super) fn varying<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    mapping(if context.typmod > 0 { context.typmod } else { UNLIMITED })
}

fn mapping<W: ValueWriter>(length: i32) -> Mapping<W> {
    if length == 1 {
        return Mapping {
            schema: Schema::new(Kind::Boolean),
            write: |text, _: &Params, writer| {
                match text {
                    b"1" => writer.boolean(true),
                    b"0" => writer.boolean(false),
                    // A bit varying(1) may hold no bit at all.
                    b"" => writer.null(),
                    _ => return Err(ConversionError::Malformed),
                }
                Ok(())
            },
            params: Params::default(),
            fallback: Literal::Boolean(false),
            unavailable: Literal::Null,
        };
    }
    Mapping {
        schema: Schema::new(Kind::Bytes)
            .named("io.debezium.data.Bits")
            .parameter("length", length.to_string()),
        write,
        params: Params::default(),
        fallback: Literal::Bytes(Vec::new()),
        unavailable: Literal::Null,
    }
}

/// The last character is the lowest bit; bytes end at the highest set bit.
fn write<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let mut bytes = vec![0u8; text.len().div_ceil(8)];
    for (position, character) in text.iter().rev().enumerate() {
        match (character, bytes.get_mut(position / 8)) {
            (b'0', _) => {}
            (b'1', Some(byte)) => *byte |= 1 << (position % 8),
            _ => return Err(ConversionError::Malformed),
        }
    }
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    writer.bytes(bytes.get(..used).unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn bits_are_little_endian_and_minimal() {
        check(1560, 5, &Default::default(), &[("10110", "\"Fg==\"")]);
        check(
            1560,
            16,
            &Default::default(),
            &[("0000000100000001", "\"AQE=\""), ("1000000000000000", "\"AIA=\"")],
        );
        check(1562, -1, &Default::default(), &[("", "\"\""), ("000", "\"\"")]);
        check(1560, 1, &Default::default(), &[("1", "true"), ("0", "false")]);
        check(1562, 1, &Default::default(), &[("1", "true"), ("", "null")]);
    }
}
