//! `text`, `varchar`, `char`, `name`, and all types that are written as the text PostgreSQL prints

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::{ConversionError, Mapping, Params, TypeContext};

/// Text without a semantic name.
pub(super) fn plain<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    mapping(context, Schema::new(Kind::String))
}

/// Text with a semantic name, such as `io.debezium.data.Json`.
pub(super) fn named<W: ValueWriter>(context: &TypeContext<'_>, name: &'static str) -> Mapping<W> {
    mapping(context, Schema::new(Kind::String).named(name))
}

pub(super) fn mapping<W: ValueWriter>(context: &TypeContext<'_>, schema: Schema) -> Mapping<W> {
    Mapping {
        schema,
        write,
        params: Params::default(),
        fallback: Literal::String(String::new()),
        unavailable: context.placeholder(),
    }
}

#[inline]
fn write<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.utf8(text).map_err(|_| ConversionError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::super::ConversionError;
    use super::super::tests::{check, json};

    #[test]
    fn text_is_kept_as_it_is() {
        check(1042, 9, &Default::default(), &[("ab   ", "\"ab   \"")]);
        check(114, -1, &Default::default(), &[("{ \"a\" : 1 }", r#""{ \"a\" : 1 }""#)]);
        check(3802, -1, &Default::default(), &[("null", "\"null\"")]);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        let modes = Default::default();
        assert!(json(25, -1, &modes, "ok").is_ok());
        let context = super::TypeContext { modes: &modes, typmod: -1, types: &[] };
        let mapping = super::plain::<cdcd_debezium::format::json::JsonWriter>(&context);
        let mut writer = Default::default();
        assert_eq!((mapping.write)(b"\xff", &mapping.params, &mut writer), Err(ConversionError::NotUtf8));
    }
}
