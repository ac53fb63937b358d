//! `bytea`

use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::{ConversionError, Mapping, Params, TypeContext};
use crate::config::BinaryMode;

thread_local! {
    /// Decoded bytes on their way to the writer, kept from value to value.
    static DECODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn map<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let bytes = context.modes.binary == BinaryMode::Bytes;
    Mapping {
        schema: Schema::new(if bytes { Kind::Bytes } else { Kind::String }),
        write: match context.modes.binary {
            BinaryMode::Bytes => |text, _: &Params, writer| {
                with_decoded(text, |bytes| {
                    writer.bytes(bytes);
                    Ok(())
                })
            },
            BinaryMode::Base64 => {
                |text, _: &Params, writer| with_decoded(text, |bytes| write_base64(bytes, writer))
            }
            BinaryMode::Base64UrlSafe => {
                |text, _: &Params, writer| with_decoded(text, |bytes| write_base64_url(bytes, writer))
            }
            BinaryMode::Hex => |text, _: &Params, writer| {
                let hex = text.strip_prefix(b"\\x").ok_or(ConversionError::Malformed)?;
                writer.string(super::utf8(hex)?);
                Ok(())
            },
        },
        params: Params::default(),
        fallback: if bytes { Literal::Bytes(Vec::new()) } else { Literal::String(String::new()) },
        unavailable: match context.modes.binary {
            BinaryMode::Bytes => Literal::Bytes(context.modes.unavailable_placeholder.clone()),
            // Debezium writes the placeholder only in hex mode and null in both base64 modes.
            BinaryMode::Hex => context.placeholder(),
            BinaryMode::Base64 | BinaryMode::Base64UrlSafe => Literal::Null,
        },
    }
}

/// Decodes `bytea_output = hex`, which our sessions set.
fn with_decoded<R>(
    text: &[u8],
    use_bytes: impl FnOnce(&[u8]) -> Result<R, ConversionError>,
) -> Result<R, ConversionError> {
    with_hex(text.strip_prefix(b"\\x").ok_or(ConversionError::Malformed)?, use_bytes)
}

/// Decodes hexadecimal digits.
pub(super) fn with_hex<R>(
    hex: &[u8],
    use_bytes: impl FnOnce(&[u8]) -> Result<R, ConversionError>,
) -> Result<R, ConversionError> {
    let (pairs, rest) = hex.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ConversionError::Malformed);
    }
    DECODED.with_borrow_mut(|decoded| {
        decoded.clear();
        for [high, low] in pairs {
            decoded.push(nibble(*high)? << 4 | nibble(*low)?);
        }
        use_bytes(decoded)
    })
}

fn nibble(digit: u8) -> Result<u8, ConversionError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(ConversionError::Malformed),
    }
}

pub(super) fn write_base64<W: ValueWriter>(bytes: &[u8], writer: &mut W) -> Result<(), ConversionError> {
    writer.string(&base64(bytes));
    Ok(())
}

pub(super) fn write_base64_url<W: ValueWriter>(bytes: &[u8], writer: &mut W) -> Result<(), ConversionError> {
    writer.string(&base64_url(bytes));
    Ok(())
}

pub(super) fn write_hex<W: ValueWriter>(bytes: &[u8], writer: &mut W) -> Result<(), ConversionError> {
    writer.string(&hex(bytes));
    Ok(())
}

/// Base64 text.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Base64 text in the URL alphabet.
pub(crate) fn base64_url(bytes: &[u8]) -> String {
    URL_SAFE.encode(bytes)
}

/// Hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let hex = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    bytes.iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::config::{BinaryMode, Modes};

    #[test]
    fn bytea_in_every_mode() {
        for (binary, expected, empty) in [
            (BinaryMode::Bytes, "\"AAF/gP8=\"", "\"\""),
            (BinaryMode::Base64, "\"AAF/gP8=\"", "\"\""),
            (BinaryMode::Base64UrlSafe, "\"AAF_gP8=\"", "\"\""),
            (BinaryMode::Hex, "\"00017f80ff\"", "\"\""),
        ] {
            let modes = Modes { binary, ..Modes::default() };
            check(17, -1, &modes, &[("\\x00017f80ff", expected), ("\\x", empty)]);
        }
    }
}
