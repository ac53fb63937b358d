//! `boolean`

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::{ConversionError, Mapping, Params, TypeContext};

pub(super) fn map<W: ValueWriter>(_: &TypeContext<'_>) -> Mapping<W> {
    Mapping {
        schema: Schema::new(Kind::Boolean),
        write,
        params: Params::default(),
        fallback: Literal::Boolean(false),
        unavailable: Literal::Null,
    }
}

fn write<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    match text {
        b"t" => writer.boolean(true),
        b"f" => writer.boolean(false),
        _ => return Err(ConversionError::Malformed),
    }
    Ok(())
}
