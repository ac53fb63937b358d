//! `hstore`: JSON text, or a map

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::{ConversionError, Mapping, Params, TypeContext, utf8};
use crate::config::HstoreMode;

pub(super) fn map<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let placeholder = String::from_utf8_lossy(&context.modes.unavailable_placeholder).into_owned();
    match context.modes.hstore {
        HstoreMode::Json => Mapping {
            schema: Schema::new(Kind::String).named("io.debezium.data.Json"),
            write: write_json,
            params: Params::default(),
            fallback: Literal::String("{}".to_owned()),
            unavailable: Literal::String(json_object(&[(placeholder.clone(), Some(placeholder))])),
        },
        HstoreMode::Map => Mapping {
            schema: Schema::new(Kind::Map(
                Box::new(Schema::new(Kind::String)),
                Box::new(Schema::new(Kind::String).optional(true)),
            )),
            write: write_map,
            params: Params::default(),
            fallback: Literal::Map(Vec::new()),
            unavailable: Literal::Map(vec![(placeholder.clone(), placeholder)]),
        },
    }
}

fn write_json<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.string(&json_object(&parse(utf8(text)?)?));
    Ok(())
}

fn write_map<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let entries = parse(utf8(text)?)?;
    writer.begin_map(entries.len());
    for (key, value) in &entries {
        writer.map_key(key);
        match value {
            Some(value) => writer.string(value),
            None => writer.null(),
        }
    }
    writer.end_map();
    Ok(())
}

fn json_object(entries: &[(String, Option<String>)]) -> String {
    let mut out = b"{".to_vec();
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_quoted(&mut out, key);
        out.push(b':');
        match value {
            Some(value) => write_quoted(&mut out, value),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// A string inside of JSON text: as in JSON, but every character from U+0020 on stays what it is, for only the
/// text as a whole is written as bytes.
fn write_quoted(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    out.push(b'"');
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (plain, after) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let (escaped, after) = after.split_at(1);
        let mut quoted = Vec::new();
        cdcd_debezium::format::json::write_string(&mut quoted, escaped);
        out.extend_from_slice(quoted.get(1..quoted.len() - 1).unwrap_or_default());
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// Reads `"key"=>"value", "key"=>NULL`; quotes and backslashes are escaped by a backslash.
fn parse(text: &str) -> Result<Vec<(String, Option<String>)>, ConversionError> {
    let mut entries = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let after = after.strip_prefix("=>").ok_or(ConversionError::Malformed)?;
        let (value, after) = match after.strip_prefix("NULL") {
            Some(after) => (None, after),
            None => quoted(after).map(|(value, after)| (Some(value), after))?,
        };
        entries.push((key, value));
        rest = match after.strip_prefix(", ") {
            Some(after) => after,
            None if after.is_empty() => after,
            None => return Err(ConversionError::Malformed),
        };
    }
    Ok(entries)
}

fn quoted(text: &str) -> Result<(String, &str), ConversionError> {
    let body = text.strip_prefix('"').ok_or(ConversionError::Malformed)?;
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, body.get(at + 1..).unwrap_or_default())),
            '\\' => value.push(chars.next().ok_or(ConversionError::Malformed)?.1),
            other => value.push(other),
        }
    }
    Err(ConversionError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hstore_text_is_read_with_escapes_and_nulls() {
        let entries = parse(r#""k1"=>"v\"1\\", "k2"=>NULL"#).unwrap();
        assert_eq!(json_object(&entries), r#"{"k1":"v\"1\\","k2":null}"#);
        let entries = parse("\"🛫\"=>\"\n🛫\"").unwrap();
        assert_eq!(json_object(&entries), "{\"🛫\":\"\\n🛫\"}");
        assert_eq!(json_object(&parse("").unwrap()), "{}");
        for bad in ["k", "\"k\"", "\"k\"=>", "\"k\"=>\"v", "\"k\"=>\"v\"x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
