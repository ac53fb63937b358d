//! Enums: text with the list of labels

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::ValueWriter;

use super::{Mapping, TypeContext, text};

pub(super) fn map<W: ValueWriter>(context: &TypeContext<'_>, labels: &[String]) -> Mapping<W> {
    let schema =
        Schema::new(Kind::String).named("io.debezium.data.Enum").parameter("allowed", labels.join(","));
    text::mapping(context, schema)
}
