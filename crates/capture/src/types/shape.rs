//! `box`, `lseg`, `path`, `polygon`, `circle`, `line`, which Debezium knows since 3.7: well-known binary forms with the name of
//! the type, and structs of numbers

use std::sync::LazyLock;

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{FieldName, Literal, ValueWriter};

use super::float::parse_f64;
use super::{ConversionError, Mapping, Params, TypeContext, geometry, point};
use crate::config::Release;

const LINE_STRING: u32 = 2;
const POLYGON: u32 = 3;

static CIRCLE: LazyLock<[FieldName; 2]> =
    LazyLock::new(|| [FieldName::new("center"), FieldName::new("radius")]);
static LINE: LazyLock<[FieldName; 3]> = LazyLock::new(|| ["a", "b", "c"].map(FieldName::new));

/// The mapping of one of these types; `None` for any other, and for all of them before 3.7.
pub(super) fn resolve<W: ValueWriter>(oid: u32, context: &TypeContext<'_>) -> Option<Mapping<W>> {
    if context.modes.release == Release::V3_6 {
        return None;
    }
    let (schema, write): (Schema, super::WriteFn<W>) = match oid {
        601 => (geometry::extended(), write_lseg),
        602 => (geometry::extended(), write_path),
        603 => (geometry::extended(), write_box),
        604 => (geometry::extended(), write_polygon),
        628 => (
            numbers_schema(&["a", "b", "c"], "io.debezium.data.geometry.Line", "Geometry (LINE)"),
            write_line,
        ),
        718 => (circle_schema(), write_circle),
        _ => return None,
    };
    Some(Mapping {
        schema: schema.optional(true),
        write,
        params: Params::default(),
        fallback: Literal::Null,
        unavailable: Literal::Null,
    })
}

fn numbers_schema(names: &[&str], name: &'static str, doc: &'static str) -> Schema {
    let fields = names.iter().map(|name| Schema::new(Kind::Float64).field(*name)).collect();
    Schema::structure(fields).named(name).doc(doc)
}

fn circle_schema() -> Schema {
    Schema::structure(vec![point::schema().field("center"), Schema::new(Kind::Float64).field("radius")])
        .named("io.debezium.data.geometry.Circle")
        .doc("Geometry (CIRCLE)")
}

/// All numbers of the text, whatever stands around them.
fn numbers(text: &[u8]) -> Result<Vec<f64>, ConversionError> {
    let is_between = |byte: &u8| b"()[]{}<>,".contains(byte);
    text.split(is_between).filter(|number| !number.is_empty()).map(parse_f64).collect()
}

fn points(text: &[u8]) -> Result<Vec<[f64; 2]>, ConversionError> {
    let numbers = numbers(text)?;
    let (points, rest) = numbers.as_chunks::<2>();
    if points.is_empty() || !rest.is_empty() {
        return Err(ConversionError::Malformed);
    }
    Ok(points.to_vec())
}

fn wkb(kind: u32, points: &[[f64; 2]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(13 + points.len() * 16);
    bytes.push(1);
    bytes.extend_from_slice(&kind.to_le_bytes());
    if kind == POLYGON {
        // One ring.
        bytes.extend_from_slice(&1u32.to_le_bytes());
    }
    bytes.extend_from_slice(&(points.len() as u32).to_le_bytes());
    for number in points.as_flattened() {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// Reads `[(0,0),(1,1)]`.
fn write_lseg<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let wkb = wkb(LINE_STRING, &points(text)?);
    geometry::write_extended(&wkb, None, &[("type", "lseg")], writer);
    Ok(())
}

/// Reads `((0,0),(1,1))`, which is closed, and `[(0,0),(1,1)]`, which is not.
fn write_path<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let wkb = wkb(LINE_STRING, &points(text)?);
    let closed = if text.starts_with(b"(") { "true" } else { "false" };
    geometry::write_extended(&wkb, None, &[("type", "path"), ("closed", closed)], writer);
    Ok(())
}

/// Reads `(2,2),(0,0)`: two corners that face each other.
fn write_box<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let [[x, y], [far_x, far_y]] = points(text)?.try_into().map_err(|_| ConversionError::Malformed)?;
    let ring = [[x, y], [x, far_y], [far_x, far_y], [far_x, y], [x, y]];
    geometry::write_extended(&wkb(POLYGON, &ring), None, &[("type", "box")], writer);
    Ok(())
}

/// Reads `((0,0),(1,1),(2,0))`.
fn write_polygon<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let mut ring = points(text)?;
    if let (Some(first), Some(last)) = (ring.first().copied(), ring.last().copied())
        && first != last
    {
        ring.push(first);
    }
    geometry::write_extended(&wkb(POLYGON, &ring), None, &[("type", "polygon")], writer);
    Ok(())
}

/// Reads `<(1,2),3>`.
fn write_circle<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let [x, y, length] = numbers(text)?.try_into().map_err(|_| ConversionError::Malformed)?;
    let [center, radius] = &*CIRCLE;
    writer.begin_struct();
    writer.field(center);
    point::write_point(x, y, writer);
    writer.field(radius);
    writer.float64(length);
    writer.end_struct();
    Ok(())
}

/// Reads `{1,-1,0}`: the factors of ax + by + c = 0.
fn write_line<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let factors: [f64; 3] = numbers(text)?.try_into().map_err(|_| ConversionError::Malformed)?;
    writer.begin_struct();
    for (name, factor) in LINE.iter().zip(factors) {
        writer.field(name);
        writer.float64(factor);
    }
    writer.end_struct();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, json};
    use super::*;
    use crate::config::Modes;

    #[test]
    fn shapes_are_what_debezium_3_7_writes() {
        let modes = Modes { release: Release::V3_7, ..Modes::default() };
        let wkb = |wkb: &str, extensions: &str| {
            format!(r#"{{"wkb":"{wkb}","srid":null,"extensions":{{{extensions}}}}}"#)
        };
        for (oid, text, expected) in [
            (
                603,
                "(2,2),(0,0)",
                wkb(
                    "AQMAAAABAAAABQAAAAAAAAAAAABAAAAAAAAAAEAAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAQAAAAAAAAABA",
                    r#""type":"box""#,
                ),
            ),
            (
                601,
                "[(0,0),(1,1)]",
                wkb("AQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAA8D8=", r#""type":"lseg""#),
            ),
            (
                602,
                "((0,0),(1,1),(2,0))",
                wkb(
                    "AQIAAAADAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAA8D8AAAAAAAAAQAAAAAAAAAAA",
                    r#""type":"path","closed":"true""#,
                ),
            ),
            (
                718,
                "<(1,2),3>",
                r#"{"center":{"x":1.0,"y":2.0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":null},"radius":3.0}"#
                    .to_owned(),
            ),
            (628, "{1,-1,0}", r#"{"a":1.0,"b":-1.0,"c":0.0}"#.to_owned()),
        ] {
            check(oid, -1, &modes, &[(text, &expected)]);
        }
    }

    #[test]
    fn polygons_end_where_they_begin() {
        let modes = Modes { release: Release::V3_7, ..Modes::default() };
        let polygon = |text: &str| json(604, -1, &modes, text);
        assert_eq!(polygon("((0,0),(1,1),(2,0))"), polygon("((0,0),(1,1),(2,0),(0,0))"));
        assert!(polygon("((0,0))").is_ok());
    }

    #[test]
    fn what_is_no_shape_is_refused_and_3_6_knows_none() {
        let modes = Modes { release: Release::V3_7, ..Modes::default() };
        for (oid, text) in
            [(603, "(1,2)"), (718, "<(1,2)>"), (628, "{1,2}"), (604, "()"), (601, "[(1)]"), (602, "x")]
        {
            assert_eq!(json(oid, -1, &modes, text), Err(ConversionError::Malformed), "{text}");
        }
        let old = Modes::default();
        let context = TypeContext { modes: &old, typmod: -1, types: &[] };
        assert!(resolve::<cdcd_debezium::format::json::JsonWriter>(603, &context).is_none());
    }
}
