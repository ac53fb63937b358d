//! pgvector's `vector` and `halfvec`: arrays of floats

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::float::parse_f64;
use super::{ConversionError, Mapping, Params, TypeContext};

pub(super) fn map<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    mapping(Kind::Float64, "io.debezium.data.DoubleVector", |text, _, writer| {
        write(text, writer, |number, writer| writer.float64(number))
    })
}

pub(super) fn half<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    mapping(Kind::Float32, "io.debezium.data.FloatVector", |text, _, writer| {
        write(text, writer, |number, writer| writer.float32(number as f32))
    })
}

fn mapping<W: ValueWriter>(kind: Kind, name: &'static str, write: super::WriteFn<W>) -> Mapping<W> {
    Mapping {
        schema: Schema::new(Kind::Array(Box::new(Schema::new(kind)))).named(name),
        write,
        params: Params::default(),
        fallback: Literal::Array(Vec::new()),
        unavailable: Literal::Null,
    }
}

/// Reads `[1,2.5,-3]`.
fn write<W: ValueWriter>(
    text: &[u8],
    writer: &mut W,
    each: impl Fn(f64, &mut W),
) -> Result<(), ConversionError> {
    let inner = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
    let inner = inner.filter(|inner| !inner.is_empty()).ok_or(ConversionError::Malformed)?;
    let numbers = || inner.split(|byte| *byte == b',');
    writer.begin_array(numbers().count());
    for number in numbers() {
        each(parse_f64(number)?, writer);
    }
    writer.end_array();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdcd_debezium::format::json::JsonWriter;

    #[test]
    fn vectors_are_arrays_and_nothing_else_is_a_vector() {
        let json = |text: &str| {
            let mut writer = JsonWriter::default();
            write(text.as_bytes(), &mut writer, |number, writer| writer.float64(number))?;
            Ok(String::from_utf8(writer.as_bytes().to_vec()).unwrap())
        };
        assert_eq!(json("[1,2.5,-3]"), Ok("[1.0,2.5,-3.0]".to_owned()));
        for text in ["", "[]", "1,2", "[1,]", "[x]"] {
            assert_eq!(json(text), Err(ConversionError::Malformed), "{text}");
        }
    }
}
