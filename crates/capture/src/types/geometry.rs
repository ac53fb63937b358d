//! PostGIS's `geometry` and `geography`: their extended well-known binary form, with the SRID that it names; since
//! Debezium 3.7 a geometry has room for what its binary form cannot say

use std::sync::LazyLock;

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{FieldName, Literal, ValueWriter};

use super::bytea::with_hex;
use super::{ConversionError, Mapping, Params, TypeContext};
use crate::config::Release;

/// A flag of the geometry's type: an SRID stands behind it.
const HAS_SRID: u32 = 0x2000_0000;
/// An empty collection, which stands for what is not there.
const EMPTY: [u8; 9] = [1, 7, 0, 0, 0, 0, 0, 0, 0];

static NAMES: LazyLock<[FieldName; 3]> =
    LazyLock::new(|| [FieldName::new("wkb"), FieldName::optional("srid"), FieldName::optional("extensions")]);

pub(super) fn geometry<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let mapping = map("io.debezium.data.geometry.Geometry", "Geometry");
    // Optional in every column: so it is in Debezium.
    let mapping = Mapping { schema: mapping.schema.optional(true), ..mapping };
    match context.modes.release {
        Release::V3_6 => mapping,
        Release::V3_7 => Mapping {
            schema: extended(),
            write: |text, _, writer| {
                with_hex(text, |bytes| {
                    let srid = srid(bytes).ok_or(ConversionError::Malformed)?;
                    write_extended(bytes, srid, &[], writer);
                    Ok(())
                })
            },
            fallback: extended_fallback(),
            ..mapping
        },
    }
}

/// The second version of the schema.
pub(super) fn extended() -> Schema {
    let text = || Box::new(Schema::new(Kind::String));
    Schema::structure(vec![
        Schema::new(Kind::Bytes).field("wkb"),
        Schema::new(Kind::Int32).optional(true).field("srid"),
        Schema::new(Kind::Map(text(), text())).optional(true).field("extensions"),
    ])
    .named("io.debezium.data.geometry.Geometry")
    .version(2)
    .doc("Geometry")
    .optional(true)
}

fn extended_fallback() -> Literal {
    let [wkb, srid, extensions] = &*NAMES;
    Literal::Struct(vec![
        (wkb.clone(), Literal::Bytes(EMPTY.to_vec())),
        (srid.clone(), Literal::Null),
        (extensions.clone(), Literal::Null),
    ])
}

/// A value of [`extended`].
pub(super) fn write_extended<W: ValueWriter>(
    wkb: &[u8],
    srid: Option<i32>,
    extensions: &[(&str, &str)],
    writer: &mut W,
) {
    let [wkb_name, srid_name, extensions_name] = &*NAMES;
    writer.begin_struct();
    writer.field(wkb_name);
    writer.bytes(wkb);
    writer.field(srid_name);
    match srid {
        Some(srid) => writer.int(srid.into()),
        None => writer.null(),
    }
    writer.field(extensions_name);
    if extensions.is_empty() {
        writer.null();
    } else {
        writer.begin_map(extensions.len());
        for (key, value) in extensions {
            writer.map_key(key);
            writer.string(value);
        }
        writer.end_map();
    }
    writer.end_struct();
}

pub(super) fn geography<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    map("io.debezium.data.geometry.Geography", "Geography")
}

fn map<W: ValueWriter>(name: &'static str, doc: &'static str) -> Mapping<W> {
    let [wkb, srid, _] = &*NAMES;
    Mapping {
        schema: Schema::structure(vec![
            Schema::new(Kind::Bytes).field("wkb"),
            Schema::new(Kind::Int32).optional(true).field("srid"),
        ])
        .named(name)
        .doc(doc),
        write,
        params: Params::default(),
        fallback: Literal::Struct(vec![
            (wkb.clone(), Literal::Bytes(EMPTY.to_vec())),
            (srid.clone(), Literal::Null),
        ]),
        unavailable: Literal::Null,
    }
}

/// Reads hexadecimal digits.
fn write<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    with_hex(text, |bytes| {
        let srid = srid(bytes).ok_or(ConversionError::Malformed)?;
        let [wkb_name, srid_name, _] = &*NAMES;
        writer.begin_struct();
        writer.field(wkb_name);
        writer.bytes(bytes);
        writer.field(srid_name);
        match srid {
            Some(srid) => writer.int(srid.into()),
            None => writer.null(),
        }
        writer.end_struct();
        Ok(())
    })
}

/// The SRID if the binary form has one; `None` if it is too short to be one.
fn srid(bytes: &[u8]) -> Option<Option<i32>> {
    let (order, rest) = bytes.split_first()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let is_little = *order == 1;
    let kind = if is_little { u32::from_le_bytes(*kind) } else { u32::from_be_bytes(*kind) };
    if kind & HAS_SRID == 0 {
        return Some(None);
    }
    let srid = rest.first_chunk::<4>()?;
    Some(Some(if is_little { i32::from_le_bytes(*srid) } else { i32::from_be_bytes(*srid) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_srid_stands_behind_the_type_if_its_flag_does() {
        assert_eq!(srid(&EMPTY), Some(None));
        assert_eq!(srid(&[1, 1, 0, 0, 0x20, 0xe6, 0x10, 0, 0]), Some(Some(4326)));
        assert_eq!(srid(&[0, 0x20, 0, 0, 1, 0, 0, 0x10, 0xe6]), Some(Some(4326)));
        assert_eq!(srid(&[1, 1, 0, 0, 0x20, 0xe6]), None);
        assert_eq!(srid(&[]), None);
    }
}
