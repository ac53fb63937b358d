//! How the rows of one table are written, decided once per table and schema version.

use cdcd_debezium::envelope;
use cdcd_debezium::format::header::HeaderWriter;
use cdcd_debezium::format::json::{DecimalFormat, Frame};
use cdcd_debezium::schema::{Field, Schema};
use cdcd_debezium::source::TableFragment;
use cdcd_debezium::value::ValueWriter;
use cdcd_pgoutput::relation::{Relation, ReplicaIdentity};
use cdcd_pgoutput::tuple::Tuple;

use crate::catalog::TableFacts;
use crate::column::{self, Column};
use crate::columns::Columns;
use crate::config::Config;
use crate::converter::{Converter, Framing, Half, JsonOptions, SchemaRequest};
use crate::error::Error;
use crate::metadata::Counter;
use crate::outbox::Topics;
use crate::trees::TreePlan;
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

/// The plan of one table.
pub(crate) struct Plan {
    pub(crate) schema: String,
    pub(crate) table: String,
    /// Index into the capture's topics; means nothing where transformations choose the topic of each record.
    pub(crate) topic: usize,
    pub(crate) identity: ReplicaIdentity,
    pub(crate) columns: Columns,
    /// Empty if the table has no key.
    pub(crate) key: Columns,
    /// The key's columns as they stand in the header of a key change.
    pub(crate) key_header: Vec<Column<HeaderWriter>>,
    /// Reused from key change to key change.
    pub(crate) header: HeaderWriter,
    /// Number of columns that a tuple must have.
    pub(crate) width: usize,
    pub(crate) value_frame: Frame,
    pub(crate) key_frame: Frame,
    /// Schemas whose ids the frames lack.
    pub(crate) requests: Vec<SchemaRequest>,
    pub(crate) source: TableFragment,
    pub(crate) way: Way,
    /// Where the table's events are counted.
    pub(crate) counter: Counter,
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

impl Plan {
    pub(crate) fn new(
        config: &Config,
        shape: &TableShape,
        facts: &TableFacts,
        topic_name: &str,
        topics: &mut Topics,
    ) -> Result<Self, Error> {
        let full_name = shape.full_name();
        let key_names = key_columns(config, shape, facts, &full_name);
        let (fields, columns) = match config.value {
            Converter::Json(_) => plan_row(config, shape, facts, Columns::Json),
            Converter::Avro(_) => plan_row(config, shape, facts, Columns::Avro),
            Converter::Text | Converter::Bytes => plan_row(config, shape, facts, Columns::Text),
        };
        let own = &config.key;
        let (key_fields, key) = match own {
            Converter::Json(_) => plan_key(config, shape, facts, &key_names, own, Columns::Json)?,
            Converter::Avro(_) => plan_key(config, shape, facts, &key_names, own, Columns::Avro)?,
            Converter::Text | Converter::Bytes => {
                plan_key(config, shape, facts, &key_names, own, Columns::Text)?
            }
        };
        let (_, key_header) = plan_key(config, shape, facts, &key_names, own, |columns| columns)?;
        let base = config.schema_names.schema(topic_name);
        let (value_schema, key_schema) =
            (envelope::schema(&base, &fields), envelope::key_schema(&base, key_fields));
        let mut surrounded = topic_name.to_owned();
        let (topic, way) = match known_way(config, topic_name, &value_schema, topics) {
            Some((name, way)) => {
                let index = topics.index(&name);
                surrounded = name;
                (index, way)
            }
            None => {
                let (_, columns, _) = plan_columns(config, shape, facts, &RAW);
                let (_, key) = plan_key(config, shape, facts, &key_names, &RAW, |columns| columns)?;
                let schemas = (&key_schema, &value_schema);
                (0, Way::Trees(Box::new(TreePlan::new(topic_name, key, columns, schemas))))
            }
        };
        let mut plan = Plan {
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
            value_frame: Frame::bare(),
            key_frame: Frame::bare(),
            requests: Vec::new(),
            source: TableFragment::default(),
            counter: Counter::default(),
        };
        // What transformations make of the schemas is known when the first record is.
        if !matches!(plan.way, Way::Trees(_)) {
            plan.surround(Half::Value, &config.value, &surrounded, &value_schema)?;
            if !plan.key.is_empty() {
                plan.surround(Half::Key, &config.key, &surrounded, &key_schema)?;
            }
        }
        Ok(plan)
    }

    /// Puts a schema around the records, or asks for its id.
    fn surround(
        &mut self,
        half: Half,
        converter: &Converter,
        topic: &str,
        schema: &Schema,
    ) -> Result<(), Error> {
        match converter.framing(half, topic, schema) {
            Ok(Framing::Known(frame)) => self.set_frame(half, frame),
            Ok(Framing::Asked(request)) => self.requests.push(request),
            Err(error) => {
                return Err(Error::Table {
                    table: self.full_name(),
                    what: error.to_string(),
                    hint:
                        "set field.name.adjustment.mode=avro (or avro_unicode, which keeps all names apart)"
                            .to_owned(),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn set_frame(&mut self, half: Half, frame: Frame) {
        match half {
            Half::Key => self.key_frame = frame,
            Half::Value => self.value_frame = frame,
        }
    }

    /// `schema.table`
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    /// Whether an old key carries the whole key of the event.
    pub(crate) fn key_is_in_identity(&self) -> bool {
        self.key.are_in_identity()
    }

    /// Whether the two rows have the same key, byte for byte.
    pub(crate) fn same_key(&self, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
        self.key.agree(old, new)
    }

    /// Whether the two rows agree in all captured columns.
    pub(crate) fn same_row(&self, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
        self.columns.agree(old, new)
    }
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

/// Nulls stay nulls: what a transformation sees, and what is written in the end stands for them.
const RAW: Converter =
    Converter::Json(JsonOptions { schemas: false, null_as_default: false, decimal: DecimalFormat::Base64 });

/// The topic and the way of a table's events if they are known beforehand.
fn known_way(config: &Config, topic: &str, envelope: &Schema, topics: &mut Topics) -> Option<(String, Way)> {
    if [config.key, config.value].contains(&Converter::Bytes) {
        return None;
    }
    let resolved = config.transforms.resolve(topic)?;
    let way = match &resolved.unwrap {
        None => Way::Direct,
        Some(unwrap) => Way::Unwrapped(Box::new(Unwrapped::new(config, unwrap, envelope, topics)?)),
    };
    Some((resolved.topic, way))
}

/// The columns of a row in their form; says which are left out.
fn plan_row<W: ValueWriter>(
    config: &Config,
    shape: &TableShape,
    facts: &TableFacts,
    of_form: impl FnOnce(Vec<Column<W>>) -> Columns,
) -> (Vec<Field>, Columns) {
    let (fields, columns, left_out) = plan_columns(config, shape, facts, &config.value);
    if !left_out.is_empty() {
        tracing::warn!(
            table = shape.full_name(),
            columns = left_out.join(", "),
            "columns left out: Debezium has no mapping for their types (include.unknown.datatypes=true writes them as text)"
        );
    }
    (fields, of_form(columns))
}

/// The captured columns of a row, and the names of those whose types cannot be written.
fn plan_columns<'s, W: ValueWriter>(
    config: &Config,
    shape: &'s TableShape,
    facts: &TableFacts,
    converter: &Converter,
) -> (Vec<Field>, Vec<Column<W>>, Vec<&'s str>) {
    let full_name = shape.full_name();
    let (mut fields, mut columns, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for (index, column) in shape.columns.iter().enumerate() {
        if !config.filters.columns.passes(&format!("{full_name}.{}", column.name)) {
            continue;
        }
        match column::plan(config, (index, column), true, facts, converter) {
            Some((mut field, mut planned)) => {
                planned.follow_rules(config, &full_name, column, facts, &mut field.schema);
                fields.push(field);
                columns.push(planned);
            }
            None => left_out.push(column.name.as_str()),
        }
    }
    (fields, columns, left_out)
}

fn plan_key<W: ValueWriter, C>(
    config: &Config,
    shape: &TableShape,
    facts: &TableFacts,
    names: &[String],
    converter: &Converter,
    of_form: impl FnOnce(Vec<Column<W>>) -> C,
) -> Result<(Vec<Field>, C), Error> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for name in names {
        let Some((index, column)) = shape.columns.iter().enumerate().find(|(_, c)| &c.name == name) else {
            continue;
        };
        let is_captured = config.filters.columns.passes(&format!("{}.{name}", shape.full_name()));
        let planned = column::plan(config, (index, column), is_captured, facts, converter);
        let (field, column) = planned.ok_or_else(|| Error::Table {
            table: shape.full_name(),
            what: format!("key column {name} has a type that cannot be written"),
            hint: "set include.unknown.datatypes=true, or choose another key with message.key.columns"
                .to_owned(),
        })?;
        fields.push(field);
        columns.push(column);
    }
    Ok((fields, of_form(columns)))
}
