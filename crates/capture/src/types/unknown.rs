//! Types that Debezium does not know, with `include.unknown.datatypes=true`: the text in the binary mode

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::{Mapping, Params, TypeContext, bytea};
use crate::config::BinaryMode;

pub(super) fn map<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let bytes = context.modes.binary == BinaryMode::Bytes;
    Mapping {
        schema: Schema::new(if bytes { Kind::Bytes } else { Kind::String }),
        write: match context.modes.binary {
            BinaryMode::Bytes => |text, _: &Params, writer| {
                writer.bytes(text);
                Ok(())
            },
            BinaryMode::Base64 => |text, _: &Params, writer| bytea::write_base64(text, writer),
            BinaryMode::Base64UrlSafe => |text, _: &Params, writer| bytea::write_base64_url(text, writer),
            BinaryMode::Hex => |text, _: &Params, writer| bytea::write_hex(text, writer),
        },
        params: Params::default(),
        fallback: if bytes { Literal::Bytes(Vec::new()) } else { Literal::String(String::new()) },
        unavailable: context.placeholder(),
    }
}
