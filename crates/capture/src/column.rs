//! One column: how its values are written, decided when its table's plan is made, and the writing itself.

use cdcd_debezium::format::header::HeaderWriter;
use cdcd_debezium::schema::{Field, Schema};
use cdcd_debezium::value::{FieldName, Integers, Literal, ValueWriter};
use cdcd_pgoutput::tuple::{Tuple, Value};

use crate::catalog::TableFacts;
use crate::column_rules::{Subject, Transform};
use crate::config::{Config, ConversionFailure, Release};
use crate::converter::Converter;
use crate::defaults;
use crate::plan::ColumnShape;
use crate::types::{ConversionError, Params, TypeContext, WriteFn, resolve, write_value};

/// One column of a row or a key.
pub(crate) struct Column<W> {
    pub(crate) name: FieldName,
    /// Place in the tuple.
    pub(crate) index: usize,
    pub(crate) is_identity: bool,
    write: WriteFn<W>,
    params: Params,
    /// Written for NULL: the default under `replace.null.with.default`, else null.
    null: Literal,
    /// NULL is not possible, as far as the catalog's answer goes.
    is_required: bool,
    /// Written where an old key does not carry the column.
    absent: Literal,
    unavailable: Literal,
    /// What its integers mean in a header.
    integers: Integers,
    transform: Transform,
}

/// What of a tuple is real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image<'a> {
    /// All columns; unchanged TOASTed values may be taken from the old row.
    Full { old: Option<Tuple<'a>> },
    /// Only the columns of the replica identity.
    KeyOnly,
}

/// A conversion that failed, with the column's place.
pub(crate) struct ColumnError {
    pub(crate) column: String,
    pub(crate) error: ConversionError,
}

/// Writes the key's payload.
pub(crate) fn write_key<W: ValueWriter>(
    columns: &[Column<W>],
    tuple: &Tuple<'_>,
    writer: &mut W,
) -> Result<(), ColumnError> {
    writer.begin_struct();
    for column in columns {
        writer.field(&column.name);
        match tuple.get(column.index) {
            Some(Value::Text(text)) => column.convert(text, writer)?,
            _ => column.null.write(writer),
        }
    }
    writer.end_struct();
    Ok(())
}

/// Writes the key as it stands in a header.
pub(crate) fn write_key_header(
    columns: &[Column<HeaderWriter>],
    tuple: &Tuple<'_>,
    writer: &mut HeaderWriter,
) -> Result<(), ColumnError> {
    writer.clear();
    writer.begin_struct();
    for column in columns {
        writer.field(&column.name);
        writer.expect(column.integers);
        match tuple.get(column.index) {
            Some(Value::Text(text)) => column.convert(text, writer)?,
            // A header shows the value itself: the default stands for null in JsonConverter's form only.
            _ => writer.null(),
        }
    }
    writer.end_struct();
    Ok(())
}

/// Writes a row's payload; gives the number of values that became null because they could not be converted.
pub(crate) fn write_row<W: ValueWriter>(
    columns: &[Column<W>],
    tuple: &Tuple<'_>,
    image: Image<'_>,
    on_failure: ConversionFailure,
    writer: &mut W,
) -> Result<u64, ColumnError> {
    writer.begin_struct();
    let failures = write_columns(columns, tuple, image, on_failure, writer)?;
    writer.end_struct();
    Ok(failures)
}

/// The same without the brackets around it.
pub(crate) fn write_columns<W: ValueWriter>(
    columns: &[Column<W>],
    tuple: &Tuple<'_>,
    image: Image<'_>,
    on_failure: ConversionFailure,
    writer: &mut W,
) -> Result<u64, ColumnError> {
    let mut failures = 0;
    let may_rewind = on_failure != ConversionFailure::Fail;
    for column in columns {
        writer.field(&column.name);
        let mut value = tuple.get(column.index);
        match image {
            Image::KeyOnly if !column.is_identity => {
                column.absent.write(writer);
                continue;
            }
            Image::Full { old: Some(old) } if value == Some(Value::UnchangedToast) => {
                value = old.get(column.index);
            }
            _ => {}
        }
        match value {
            Some(Value::Text(text)) if !may_rewind && column.transform.is_none() => {
                column.convert(text, writer)?;
            }
            Some(Value::Text(text)) => {
                let mark = writer.mark();
                match column.convert(text, writer) {
                    Ok(()) if column.transform.is_none() => {}
                    Ok(()) => column.transform.rewrite(mark, writer),
                    Err(error) if !may_rewind => return Err(error),
                    Err(_) => {
                        writer.rewind(mark);
                        writer.null();
                        failures += 1;
                    }
                }
            }
            Some(Value::UnchangedToast) => column.unavailable.write(writer),
            // Binary values are never asked for; a tuple that is too short was refused before.
            Some(Value::Null | Value::Binary(_)) | None if column.is_required => {
                return Err(column.failed(ConversionError::NotNull));
            }
            Some(Value::Null | Value::Binary(_)) | None => column.null.write(writer),
        }
    }
    Ok(failures)
}

impl<W: ValueWriter> Column<W> {
    pub(crate) fn follow_rules(
        &mut self,
        config: &Config,
        table: &str,
        shape: &ColumnShape,
        facts: &TableFacts,
        schema: &mut Schema,
    ) {
        let subject = Subject {
            table,
            column: &shape.name,
            oid: shape.type_oid,
            typmod: shape.typmod,
            types: &facts.types,
            is_serial: config.modes.release == Release::V3_7 && has_sequence(&shape.name, facts),
        };
        self.transform = config.column_rules.apply(&subject, schema);
        self.unavailable = self.transform.literal(std::mem::replace(&mut self.unavailable, Literal::Null));
        // A mask hides the absence of a value too. What stands for null in JsonConverter lies behind all rules, but
        // what fills a required column does not.
        let is_mask = matches!(self.transform, Transform::Replace(_));
        if is_mask {
            self.is_required = false;
            self.null = self.transform.literal(Literal::Null);
        }
        if is_mask || !schema.optional {
            self.absent = self.transform.literal(std::mem::replace(&mut self.absent, Literal::Null));
        }
    }

    #[inline]
    fn convert(&self, text: &[u8], writer: &mut W) -> Result<(), ColumnError> {
        write_value(self.write, &self.params, text, writer).map_err(|error| self.failed(error))
    }

    #[cold]
    fn failed(&self, error: ConversionError) -> ColumnError {
        ColumnError { column: self.name.as_str().to_owned(), error }
    }
}

fn has_sequence(column: &str, facts: &TableFacts) -> bool {
    let facts = facts.columns.iter().find(|facts| facts.name == column);
    facts.and_then(|facts| facts.default.as_deref()).is_some_and(|default| default.contains("nextval("))
}

pub(crate) fn plan<W: ValueWriter>(
    config: &Config,
    (index, shape): (usize, &ColumnShape),
    is_captured: bool,
    facts: &TableFacts,
    converter: &Converter,
) -> Option<(Field, Column<W>)> {
    let context = TypeContext { modes: &config.modes, typmod: shape.typmod, types: &facts.types };
    let mapping = resolve::<W>(shape.type_oid, &context)?;
    // Debezium knows nothing about a column that is filtered out, not even where it is part of the key.
    let column_facts = facts.columns.iter().find(|facts| facts.name == shape.name && is_captured);
    let not_null = column_facts.is_some_and(|facts| facts.not_null);
    let default = column_facts
        .and_then(|facts| facts.default.as_deref())
        .and_then(|expression| defaults::literal(expression, shape.type_oid, &context));
    if converter.null_as_default() && !not_null && default.as_ref().is_some_and(|default| !default.is_exact) {
        tracing::warn!(
            column = shape.name,
            "NULLs of this column are written as a default that the server would not insert, as Debezium does \
             (value.converter.replace.null.with.default=false keeps them null)"
        );
    }
    let default = default.map(|default| default.literal);
    let is_optional = mapping.schema.optional || !not_null;
    let mut schema = mapping.schema.optional(is_optional);
    schema.default.clone_from(&default);
    let null = match &default {
        Some(default) if converter.null_as_default() => default.clone(),
        _ => Literal::Null,
    };
    let is_required = not_null && null == Literal::Null;
    let absent = match default {
        Some(default) if not_null || converter.null_as_default() => default,
        None if not_null => mapping.fallback,
        _ => Literal::Null,
    };
    let name = config.field_names.field(&shape.name);
    let slot = schema.slot();
    let column = Column {
        name: FieldName::of(&name, &schema),
        index,
        is_identity: shape.is_identity,
        write: mapping.write,
        params: mapping.params,
        null,
        is_required,
        absent,
        unavailable: mapping.unavailable,
        integers: slot.integers,
        transform: Transform::None,
    };
    Some((schema.field(name), column))
}
