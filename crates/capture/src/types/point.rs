//! `point`: a struct of its coordinates and their well-known binary form

use std::sync::LazyLock;

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{FieldName, Literal, ValueWriter};

use super::float::parse_f64;
use super::{ConversionError, Mapping, Params, TypeContext};

/// Byte order and type of a point in well-known binary.
const WKB_POINT: [u8; 5] = [1, 1, 0, 0, 0];

static NAMES: LazyLock<[FieldName; 4]> = LazyLock::new(|| {
    [FieldName::new("x"), FieldName::new("y"), FieldName::optional("wkb"), FieldName::optional("srid")]
});

pub(super) fn schema() -> Schema {
    let double = || Schema::new(Kind::Float64);
    Schema::structure(vec![
        double().field("x"),
        double().field("y"),
        Schema::new(Kind::Bytes).optional(true).field("wkb"),
        Schema::new(Kind::Int32).optional(true).field("srid"),
    ])
    .named("io.debezium.data.geometry.Point")
    .doc("Geometry (POINT)")
}

pub(super) fn map<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    let [x, y, binary, srid] = &*NAMES;
    let origin = vec![
        (x.clone(), Literal::Float64(0.0)),
        (y.clone(), Literal::Float64(0.0)),
        (binary.clone(), Literal::Bytes(wkb(0.0, 0.0).to_vec())),
        (srid.clone(), Literal::Null),
    ];
    Mapping {
        schema: schema(),
        write,
        params: Params::default(),
        fallback: Literal::Struct(origin),
        unavailable: Literal::Null,
    }
}

fn wkb(x: f64, y: f64) -> [u8; 21] {
    let mut bytes = [0; 21];
    let parts = WKB_POINT.into_iter().chain(x.to_le_bytes()).chain(y.to_le_bytes());
    for (slot, byte) in bytes.iter_mut().zip(parts) {
        *slot = byte;
    }
    bytes
}

/// Reads `(1.5,-2.25)`.
fn write<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let inner = text.strip_prefix(b"(").and_then(|text| text.strip_suffix(b")"));
    let mut parts = inner.ok_or(ConversionError::Malformed)?.split(|byte| *byte == b',');
    let (Some(first), Some(second), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(ConversionError::Malformed);
    };
    write_point(parse_f64(first)?, parse_f64(second)?, writer);
    Ok(())
}

pub(super) fn write_point<W: ValueWriter>(x: f64, y: f64, writer: &mut W) {
    let [x_name, y_name, binary, srid] = &*NAMES;
    writer.begin_struct();
    writer.field(x_name);
    writer.float64(x);
    writer.field(y_name);
    writer.float64(y);
    writer.field(binary);
    writer.bytes(&wkb(x, y));
    writer.field(srid);
    writer.null();
    writer.end_struct();
}

#[cfg(test)]
mod tests {
    use super::super::ConversionError;
    use super::super::tests::{check, json};

    #[test]
    fn points_carry_coordinates_and_binary_form() {
        check(
            600,
            -1,
            &Default::default(),
            &[("(1.5,-2.25)", r#"{"x":1.5,"y":-2.25,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAALA","srid":null}"#)],
        );
        for text in ["", "(1)", "(1,2,3)", "1,2"] {
            assert_eq!(json(600, -1, &Default::default(), text), Err(ConversionError::Malformed), "{text}");
        }
    }
}
