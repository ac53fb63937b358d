//! How the rows of one table are written, decided once per table and schema version.

use cdcd_debezium::envelope;
use cdcd_debezium::format::header::{HeaderWriter, Integers};
use cdcd_debezium::format::json::{Frame, JsonWriter};
use cdcd_debezium::schema::{Field, Schema};
use cdcd_debezium::source::TableFragment;
use cdcd_debezium::value::{FieldName, Literal, ValueWriter};
use cdcd_pgoutput::relation::{Relation, ReplicaIdentity};
use cdcd_pgoutput::tuple::{Tuple, Value};

use crate::catalog::TableFacts;
use crate::column_rules::{Subject, TakeBack, Transform};
use crate::config::{Config, ConversionFailure, JsonOptions};
use crate::defaults;
use crate::error::Error;
use crate::outbox::Topics;
use crate::trees::TreePlan;
use crate::types::{ConversionError, Params, TypeContext, WriteFn, resolve, write_value};
use crate::unwrapped::Unwrapped;

/// What Relation said about a table, kept until the catalog has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// OID.
    pub oid: u32,
    /// Schema name.
    pub schema: String,
    /// Table name.
    pub table: String,
    /// Replica identity.
    pub identity: ReplicaIdentity,
    /// Columns in tuple order.
    pub columns: Vec<ColumnShape>,
}

/// One column of a [`TableShape`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnShape {
    /// Name.
    pub name: String,
    /// Part of the replica identity.
    pub is_identity: bool,
    /// OID of the type.
    pub type_oid: u32,
    /// Type modifier, -1 if none.
    pub typmod: i32,
}

impl TableShape {
    pub(crate) fn from_relation(relation: &Relation<'_>) -> Self {
        let columns = relation.columns.iter().map(|column| ColumnShape {
            name: column.name.to_owned(),
            is_identity: column.is_key,
            type_oid: column.type_oid,
            typmod: column.type_modifier,
        });
        TableShape {
            oid: relation.oid,
            schema: relation.namespace.to_owned(),
            table: relation.name.to_owned(),
            identity: relation.replica_identity,
            columns: columns.collect(),
        }
    }

    /// `schema.table`
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }
}

/// One column of a row or a key.
pub(crate) struct Column<W = JsonWriter> {
    pub(crate) name: FieldName,
    /// Place in the tuple.
    index: usize,
    is_identity: bool,
    write: WriteFn<W>,
    params: Params,
    /// Written for NULL: the default under `replace.null.with.default`, else null.
    null: Literal,
    /// Written where an old key does not carry the column.
    absent: Literal,
    unavailable: Literal,
    /// What its integers mean in a header.
    integers: Integers,
    transform: Transform,
}

/// The plan of one table.
pub(crate) struct Plan {
    pub(crate) schema: String,
    pub(crate) table: String,
    /// Index into the capture's topics; means nothing where transformations choose the topic of each record.
    pub(crate) topic: usize,
    pub(crate) identity: ReplicaIdentity,
    pub(crate) columns: Vec<Column>,
    /// Empty if the table has no key.
    pub(crate) key: Vec<Column>,
    /// The key's columns as they stand in the header of a key change.
    pub(crate) key_header: Vec<Column<HeaderWriter>>,
    /// Reused from key change to key change.
    pub(crate) header: HeaderWriter,
    /// Number of columns that a tuple must have.
    pub(crate) width: usize,
    pub(crate) value_frame: Frame,
    pub(crate) key_frame: Frame,
    pub(crate) source: TableFragment,
    pub(crate) way: Way,
}

/// How a table's events become records.
pub(crate) enum Way {
    /// As they are.
    Direct,
    /// Without their envelope: what `transforms` ask for is known beforehand.
    Unwrapped(Box<Unwrapped>),
    /// Through the transformations.
    Trees(Box<TreePlan>),
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

impl Plan {
    pub(crate) fn new(
        config: &Config,
        shape: &TableShape,
        facts: &TableFacts,
        base: &str,
        topics: &mut Topics,
    ) -> Result<Self, Error> {
        let full_name = shape.full_name();
        let key_names = key_columns(config, shape, facts, &full_name);
        let (fields, columns) = plan_columns(config, shape, facts, config.value);
        let is_left_out = |column: &&ColumnShape| {
            config.filters.columns.passes(&format!("{full_name}.{}", column.name))
                && !fields.iter().any(|field| field.name == column.name)
        };
        let left_out: Vec<&str> =
            shape.columns.iter().filter(is_left_out).map(|column| column.name.as_str()).collect();
        if !left_out.is_empty() {
            tracing::warn!(
                table = full_name,
                columns = left_out.join(", "),
                "columns left out: Debezium has no mapping for their types (include.unknown.datatypes=true writes them as text)"
            );
        }
        let (key_fields, key) = plan_key(config, shape, facts, &key_names, config.key)?;
        let (_, key_header) = plan_key(config, shape, facts, &key_names, config.key)?;
        let value_schema = envelope::schema(base, &fields);
        let key_schema = envelope::key_schema(base, key_fields);
        let (topic, way) = match way_without_trees(config, base, &value_schema, topics) {
            Some(known) => known,
            None => {
                let (_, columns) = plan_columns(config, shape, facts, RAW);
                let (_, key) = plan_key(config, shape, facts, &key_names, RAW)?;
                let trees = TreePlan::new(base, key, columns, (&key_schema, &value_schema));
                (0, Way::Trees(Box::new(trees)))
            }
        };
        Ok(Plan {
            schema: shape.schema.clone(),
            table: shape.table.clone(),
            topic,
            way,
            identity: shape.identity,
            columns,
            key,
            key_header,
            header: HeaderWriter::default(),
            width: shape.columns.len(),
            value_frame: frame(config.value, &value_schema),
            key_frame: frame(config.key, &key_schema),
            source: TableFragment::default(),
        })
    }

    /// `schema.table`
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    /// Whether an old key carries the whole key of the event.
    pub(crate) fn key_is_in_identity(&self) -> bool {
        self.key.iter().all(|column| column.is_identity)
    }

    /// Whether the two rows have the same key, byte for byte.
    pub(crate) fn same_key(&self, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
        self.key.iter().all(|column| {
            let new = new.get(column.index);
            new == Some(Value::UnchangedToast) || old.get(column.index) == new
        })
    }

    /// Whether the two rows agree in all captured columns.
    pub(crate) fn same_row(&self, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
        self.columns.iter().all(|column| {
            let new = new.get(column.index);
            new == Some(Value::UnchangedToast) || old.get(column.index) == new
        })
    }
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
pub(crate) fn write_row<W: TakeBack>(
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
pub(crate) fn write_columns<W: TakeBack>(
    columns: &[Column<W>],
    tuple: &Tuple<'_>,
    image: Image<'_>,
    on_failure: ConversionFailure,
    writer: &mut W,
) -> Result<u64, ColumnError> {
    let mut failures = 0;
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
            Some(Value::Text(text)) => {
                let mark = writer.mark();
                match column.convert(text, writer) {
                    Ok(()) => column.transform.rewrite(mark, writer),
                    Err(error) if on_failure == ConversionFailure::Fail => return Err(error),
                    Err(_) => {
                        writer.rewind(mark);
                        writer.null();
                        failures += 1;
                    }
                }
            }
            Some(Value::UnchangedToast) => column.unavailable.write(writer),
            // Binary values are never asked for; a tuple that is too short was refused before.
            Some(Value::Null | Value::Binary(_)) | None => column.null.write(writer),
        }
    }
    Ok(failures)
}

impl<W> Column<W> {
    fn follow_rules(
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
        };
        self.transform = config.column_rules.apply(&subject, schema);
        self.unavailable = self.transform.literal(std::mem::replace(&mut self.unavailable, Literal::Null));
        // A mask hides the absence of a value too. What stands for null in JsonConverter lies behind all rules, but
        // what fills a required column does not.
        let is_mask = matches!(self.transform, Transform::Replace(_));
        if is_mask {
            self.null = self.transform.literal(Literal::Null);
        }
        if is_mask || !schema.optional {
            self.absent = self.transform.literal(std::mem::replace(&mut self.absent, Literal::Null));
        }
    }
}

impl<W: ValueWriter> Column<W> {
    #[inline]
    fn convert(&self, text: &[u8], writer: &mut W) -> Result<(), ColumnError> {
        write_value(self.write, &self.params, text, writer).map_err(|error| self.failed(error))
    }

    #[cold]
    fn failed(&self, error: ConversionError) -> ColumnError {
        ColumnError { column: self.name.as_str().to_owned(), error }
    }
}

fn frame(options: JsonOptions, schema: &Schema) -> Frame {
    if options.schemas { Frame::with_schema(schema) } else { Frame::bare() }
}

/// The topic of all records of a table, and how they are made, if what is to be transformed is known beforehand.
fn way_without_trees(
    config: &Config,
    base: &str,
    envelope: &Schema,
    topics: &mut Topics,
) -> Option<(usize, Way)> {
    let resolved = config.transforms.resolve(base)?;
    let way = match &resolved.unwrap {
        None => Way::Direct,
        Some(unwrap) => Way::Unwrapped(Box::new(Unwrapped::new(config, unwrap, envelope, topics)?)),
    };
    Some((topics.index(&resolved.topic), way))
}

/// Nulls stay nulls: what a transformation sees, and what is written in the end stands for them.
const RAW: JsonOptions = JsonOptions { schemas: false, null_as_default: false };

/// The columns of a row that are captured and have a type that can be written.
fn plan_columns<W: ValueWriter>(
    config: &Config,
    shape: &TableShape,
    facts: &TableFacts,
    options: JsonOptions,
) -> (Vec<Field>, Vec<Column<W>>) {
    let full_name = shape.full_name();
    let captured = shape
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| config.filters.columns.passes(&format!("{full_name}.{}", column.name)));
    let planned = captured.filter_map(|(index, column)| {
        let (mut field, mut planned) = plan_column(config, (index, column), true, facts, options)?;
        planned.follow_rules(config, &full_name, column, facts, &mut field.schema);
        Some((field, planned))
    });
    planned.unzip()
}

/// Names of the key columns in order: `message.key.columns`, else what the catalog says.
fn key_columns(config: &Config, shape: &TableShape, facts: &TableFacts, full_name: &str) -> Vec<String> {
    let configured = config.message_key_columns.iter().find(|entry| entry.table.is_match(full_name));
    if configured.is_none()
        && let Some(names) = primary_key_of_its_time(shape, facts)
    {
        return names;
    }
    let names = configured.map_or(&facts.key, |entry| &entry.columns);
    names.iter().filter(|name| shape.columns.iter().any(|column| &column.name == *name)).cloned().collect()
}

/// The catalog may be ahead of the stream: with the default identity, Relation itself says which columns were the
/// primary key. `None` if both agree, and the catalog knows the order as well.
fn primary_key_of_its_time(shape: &TableShape, facts: &TableFacts) -> Option<Vec<String>> {
    let flagged = || shape.columns.iter().filter(|column| column.is_identity);
    let agrees = flagged().count() == facts.key.len() && flagged().all(|c| facts.key.contains(&c.name));
    if shape.identity != ReplicaIdentity::Default || flagged().next().is_none() || agrees {
        return None;
    }
    Some(flagged().map(|column| column.name.clone()).collect())
}

fn plan_key<W: ValueWriter>(
    config: &Config,
    shape: &TableShape,
    facts: &TableFacts,
    names: &[String],
    options: JsonOptions,
) -> Result<(Vec<Field>, Vec<Column<W>>), Error> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for name in names {
        let Some((index, column)) = shape.columns.iter().enumerate().find(|(_, c)| &c.name == name) else {
            continue;
        };
        let is_captured = config.filters.columns.passes(&format!("{}.{name}", shape.full_name()));
        let planned = plan_column(config, (index, column), is_captured, facts, options);
        let (field, column) = planned.ok_or_else(|| Error::Table {
            table: shape.full_name(),
            what: format!("key column {name} has a type that cannot be written"),
            hint: "set include.unknown.datatypes=true, or choose another key with message.key.columns"
                .to_owned(),
        })?;
        fields.push(field);
        columns.push(column);
    }
    Ok((fields, columns))
}

fn plan_column<W: ValueWriter>(
    config: &Config,
    (index, shape): (usize, &ColumnShape),
    is_captured: bool,
    facts: &TableFacts,
    options: JsonOptions,
) -> Option<(Field, Column<W>)> {
    let context = TypeContext { modes: &config.modes, typmod: shape.typmod, types: &facts.types };
    let mapping = resolve::<W>(shape.type_oid, &context)?;
    // Debezium knows nothing about a column that is filtered out, not even where it is part of the key.
    let column_facts = facts.columns.iter().find(|facts| facts.name == shape.name && is_captured);
    let not_null = column_facts.is_some_and(|facts| facts.not_null);
    let default = column_facts
        .and_then(|facts| facts.default.as_deref())
        .and_then(|expression| defaults::literal(expression, shape.type_oid, &context));
    if options.null_as_default && !not_null && default.as_ref().is_some_and(|default| !default.is_exact) {
        tracing::warn!(
            column = shape.name,
            "NULLs of this column are written as a default that the server would not insert, as Debezium does \
             (value.converter.replace.null.with.default=false keeps them null)"
        );
    }
    let default = default.map(|default| default.literal);
    let mut schema = mapping.schema.optional(!not_null);
    schema.default.clone_from(&default);
    let null = match &default {
        Some(default) if options.null_as_default => default.clone(),
        _ => Literal::Null,
    };
    let absent = match default {
        Some(default) if not_null || options.null_as_default => default,
        None if not_null => mapping.fallback,
        _ => Literal::Null,
    };
    let column = Column {
        name: FieldName::new(&shape.name),
        index,
        is_identity: shape.is_identity,
        write: mapping.write,
        params: mapping.params,
        null,
        absent,
        unavailable: mapping.unavailable,
        integers: match schema.name.as_deref() {
            Some("org.apache.kafka.connect.data.Date") => Integers::Days,
            Some("org.apache.kafka.connect.data.Time" | "org.apache.kafka.connect.data.Timestamp") => {
                Integers::Milliseconds
            }
            _ => Integers::Plain,
        },
        transform: Transform::None,
    };
    Some((schema.field(&shape.name), column))
}
