//! Types that Debezium does not know, with `include.unknown.datatypes=true`: the text in the binary mode

use cdcd_debezium::format::java;
use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::float::parse_f64;
use super::{ConversionError, Mapping, Params, TypeContext, bytea};
use crate::config::BinaryMode;

/// lseg, path, box, polygon, line, circle: Debezium sees them through pgjdbc, which prints their numbers anew.
const GEOMETRIC: [u32; 6] = [601, 602, 603, 604, 628, 718];

pub(super) fn map<W: ValueWriter>(oid: u32, context: &TypeContext<'_>) -> Mapping<W> {
    let bytes = context.modes.binary == BinaryMode::Bytes;
    let write = match (context.modes.binary, GEOMETRIC.contains(&oid)) {
        (BinaryMode::Bytes, false) => |text: &[u8], _: &Params, writer: &mut W| write_bytes(text, writer),
        (BinaryMode::Bytes, true) => {
            |text: &[u8], _: &Params, writer: &mut W| write_bytes(&reprinted(text)?, writer)
        }
        (BinaryMode::Base64, false) => {
            |text: &[u8], _: &Params, writer: &mut W| bytea::write_base64(text, writer)
        }
        (BinaryMode::Base64, true) => {
            |text: &[u8], _: &Params, writer: &mut W| bytea::write_base64(&reprinted(text)?, writer)
        }
        (BinaryMode::Base64UrlSafe, false) => {
            |text: &[u8], _: &Params, writer: &mut W| bytea::write_base64_url(text, writer)
        }
        (BinaryMode::Base64UrlSafe, true) => {
            |text: &[u8], _: &Params, writer: &mut W| bytea::write_base64_url(&reprinted(text)?, writer)
        }
        (BinaryMode::Hex, false) => |text: &[u8], _: &Params, writer: &mut W| bytea::write_hex(text, writer),
        (BinaryMode::Hex, true) => {
            |text: &[u8], _: &Params, writer: &mut W| bytea::write_hex(&reprinted(text)?, writer)
        }
    };
    Mapping {
        schema: Schema::new(if bytes { Kind::Bytes } else { Kind::String }),
        write,
        params: Params::default(),
        fallback: if bytes { Literal::Bytes(Vec::new()) } else { Literal::String(String::new()) },
        unavailable: match context.modes.binary {
            BinaryMode::Bytes => Literal::Bytes(context.modes.unavailable_placeholder.clone()),
            // As for bytea: Debezium has null in both base64 modes.
            BinaryMode::Hex => context.placeholder(),
            BinaryMode::Base64 | BinaryMode::Base64UrlSafe => Literal::Null,
        },
    }
}

fn write_bytes<W: ValueWriter>(text: &[u8], writer: &mut W) -> Result<(), ConversionError> {
    writer.bytes(text);
    Ok(())
}

/// The same text with every number as Java prints it.
fn reprinted(text: &[u8]) -> Result<Vec<u8>, ConversionError> {
    let mut out = Vec::with_capacity(text.len() * 2);
    for part in text.chunk_by(|a, b| is_numeric(*a) && is_numeric(*b)) {
        if part.first().is_some_and(|byte| is_numeric(*byte)) {
            let number = parse_f64(part)?;
            match number.is_finite() {
                true => java::write_f64(&mut out, number),
                false => out.extend_from_slice(part),
            }
        } else {
            out.extend_from_slice(part);
        }
    }
    Ok(out)
}

/// Digits, signs, and the letters of exponents and infinities.
fn is_numeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Modes;
    use cdcd_debezium::format::json::JsonWriter;

    #[test]
    fn an_unchanged_value_is_of_the_columns_kind() {
        let text = |binary| {
            let modes = Modes { binary, include_unknown: true, ..Modes::default() };
            let context = TypeContext { modes: &modes, typmod: -1, types: &[] };
            let mapping: Mapping<JsonWriter> = map(604, &context);
            let mut writer = JsonWriter::default();
            mapping.unavailable.write(&mut writer);
            String::from_utf8(writer.as_bytes().to_vec()).unwrap()
        };
        assert_eq!(text(BinaryMode::Bytes), "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"");
        assert_eq!(text(BinaryMode::Hex), "\"__debezium_unavailable_value\"");
        assert_eq!(text(BinaryMode::Base64), "null");
        assert_eq!(text(BinaryMode::Base64UrlSafe), "null");
    }

    #[test]
    fn geometric_numbers_are_printed_anew() {
        for (text, expected) in [
            ("(2,2),(0,0)", "(2.0,2.0),(0.0,0.0)"),
            ("<(1,2.5),3e+20>", "<(1.0,2.5),3.0E20>"),
            ("[(0,0),(-1,Infinity)]", "[(0.0,0.0),(-1.0,Infinity)]"),
        ] {
            assert_eq!(reprinted(text.as_bytes()).as_deref(), Ok(expected.as_bytes()));
        }
        assert!(reprinted(b"(x,1)").is_err());
    }
}
