//! The way of a record through transformations that need it as a tree.

use std::sync::Arc;

use cdcd_debezium::envelope::{self, Clock, Operation};
use cdcd_debezium::format::writer::RecordWriter;
use cdcd_debezium::header;
use cdcd_debezium::schema::Schema;
use cdcd_debezium::source::{self, Fragments, TableFragment};
use cdcd_debezium::transaction::Block;
use cdcd_debezium::transform::tape::{self, TapeWriter};
use cdcd_debezium::transform::{Chain, Encoder, Header, Record, TransformError, Typed, Value, header_text};
use cdcd_debezium::value::ValueWriter;
use cdcd_pgoutput::tuple::Tuple;

use crate::column::{Column, ColumnError, write_key, write_row};
use crate::config::{Config, ConversionFailure};
use crate::converter::{self, Converter, SchemaRequest};
use crate::error::Error;
use crate::outbox::{ContextHeaders, Entry, Headers, Outbox, Range, Topics};
use crate::registered::Registered;
use crate::row_change::Row;

/// What a table needs besides its plan.
pub(crate) struct TreePlan {
    /// The topic before all transformations.
    topic: String,
    key: Vec<Column<TapeWriter>>,
    columns: Vec<Column<TapeWriter>>,
    key_schema: Arc<Schema>,
    value_schema: Arc<Schema>,
    source: TableFragment,
}

/// The chain, and what its records are read from and written with.
pub(crate) struct Transformer {
    chain: Chain,
    tape: TapeWriter,
    fragments: Fragments,
    clock: Clock,
    constants: source::Constants,
    keys: Half,
    values: Half,
}

/// How one half of the records is written.
struct Half {
    encoder: Encoder,
    /// There if schemas have ids.
    ids: Option<Registered>,
}

impl TreePlan {
    pub(crate) fn new(
        topic: &str,
        key: Vec<Column<TapeWriter>>,
        columns: Vec<Column<TapeWriter>>,
        (key_schema, value_schema): (&Schema, &Schema),
    ) -> Self {
        TreePlan {
            topic: topic.to_owned(),
            key,
            columns,
            key_schema: Arc::new(key_schema.clone()),
            value_schema: Arc::new(value_schema.clone()),
            source: TableFragment::default(),
        }
    }
}

impl Transformer {
    /// `None` if nothing is to be transformed.
    ///
    /// # Errors
    /// ByteArrayConverter without transformations.
    pub(crate) fn new(config: &Config, constants: &source::Constants) -> Result<Option<Self>, Error> {
        if config.transforms.is_empty() {
            let has_bytes = [config.key, config.value].contains(&Converter::Bytes);
            return if has_bytes { Err(Error::BytesForm) } else { Ok(None) };
        }
        Ok(Some(Transformer {
            chain: config.transforms.clone(),
            tape: TapeWriter::default(),
            fragments: Fragments::default(),
            clock: Clock::default(),
            constants: source::Constants { null_as_default: false, ..constants.clone() },
            keys: Half::new(converter::Half::Key, config.key),
            values: Half::new(converter::Half::Value, config.value),
        }))
    }

    pub(crate) fn render(&mut self, transaction: &source::Transaction<'_>) {
        self.fragments.render(&self.constants, transaction, &mut self.tape);
    }

    /// Starts a change of a table.
    pub(crate) fn begin(
        &mut self,
        plan: &mut TreePlan,
        serial: u64,
        table: (&str, &str),
        transaction: (i64, Option<u32>),
    ) {
        self.tape.clear();
        plan.source.render(serial, table, transaction, &mut self.tape);
    }

    /// Puts a key on the tape.
    pub(crate) fn key(&mut self, plan: &TreePlan, tuple: &Tuple<'_>) -> Result<Range, ColumnError> {
        let start = self.tape.mark().length;
        write_key(&plan.key, tuple, &mut self.tape)?;
        Ok(Range { start, end: self.tape.mark().length })
    }

    /// Puts an event on the tape; gives its place and the number of values that could not be converted.
    pub(crate) fn event(
        &mut self,
        plan: &TreePlan,
        (before, after): (Option<Row<'_>>, Option<Row<'_>>),
        block: Option<Block<'_>>,
        (operation, lsn, now_ns): (Operation, u64, i64),
        on_failure: ConversionFailure,
    ) -> Result<(Range, u64), ColumnError> {
        self.clock.render(now_ns, &mut self.tape);
        let start = self.tape.mark().length;
        let mut failures = 0;
        self.tape.begin_struct();
        for row in [before, after] {
            match row {
                None => self.tape.null(),
                Some(row) => {
                    failures += write_row(&plan.columns, &row.tuple, row.image, on_failure, &mut self.tape)?;
                }
            }
        }
        self.fragments.write(&plan.source, lsn, &mut self.tape);
        envelope::write_tail(&mut self.tape, block, operation, &self.clock);
        self.tape.end_struct();
        Ok((Range { start, end: self.tape.mark().length }, failures))
    }

    /// Transforms a record and puts what is left of it into the outbox; `false` if nothing is.
    pub(crate) fn finish(
        &mut self,
        plan: &TreePlan,
        entry: Entry,
        context: &ContextHeaders,
        outbox: &mut Outbox,
        topics: &mut Topics,
    ) -> Result<bool, TransformError> {
        let read = |schema: &Arc<Schema>, range: Option<Range>| match range {
            None => Typed::default(),
            Some(range) => {
                let bytes = self.tape.as_bytes().get(range.start..range.end).unwrap_or_default();
                let value = tape::read(schema, bytes);
                debug_assert!(value.is_some(), "a plan's writers write what its schema says");
                Typed::new(Arc::clone(schema), value.unwrap_or_default())
            }
        };
        let record = Record {
            topic: plan.topic.clone(),
            key: read(&plan.key_schema, entry.key),
            value: read(&plan.value_schema, entry.value),
            headers: headers(entry.headers, context, outbox),
            ..Record::default()
        };
        self.transform(record, Entry { headers: Headers::Added, ..entry }, outbox, topics)
    }

    /// The same for a record that is made of trees.
    pub(crate) fn transform(
        &mut self,
        record: Record,
        entry: Entry,
        outbox: &mut Outbox,
        topics: &mut Topics,
    ) -> Result<bool, TransformError> {
        let Some(record) = self.chain.apply(record)? else { return Ok(false) };
        let key = self.keys.write(&record.topic, &record.key, &mut outbox.key)?;
        let value = self.values.write(&record.topic, &record.value, &mut outbox.value)?;
        let start = outbox.added.len();
        for header in &record.headers {
            let value = header_text(&header.value).map(|bytes| outbox.header(&bytes));
            let name = topics.header(&header.name);
            outbox.added.push((name, value));
        }
        outbox.push(Entry {
            topic: topics.index(&record.topic),
            partition: record.partition,
            timestamp_ms: record.timestamp_ms,
            key,
            value,
            added: Range { start, end: outbox.added.len() },
            ..entry
        });
        Ok(true)
    }
}

impl Half {
    fn new(half: converter::Half, converter: Converter) -> Self {
        let ids = match converter {
            Converter::Avro(options) => Some(Registered::new(half, options)),
            Converter::Json(_) | Converter::Text | Converter::Bytes => None,
        };
        Half { encoder: Encoder::new(converter.form(), converter.null_as_default()), ids }
    }

    fn write(
        &mut self,
        topic: &str,
        typed: &Typed,
        writer: &mut RecordWriter,
    ) -> Result<Option<Range>, TransformError> {
        let start = writer.mark().length;
        if !self.encoder.write(typed, writer)? {
            return Ok(None);
        }
        if let (Some(ids), Some(schema)) = (&mut self.ids, &typed.schema) {
            ids.frame(topic, schema, start, writer)?;
        }
        Ok(Some(Range { start, end: writer.mark().length }))
    }
}

fn headers(headers: Headers, context: &ContextHeaders, outbox: &Outbox) -> Vec<Header> {
    let key = match headers {
        Headers::NewKey(range) => Some((header::NEW_KEY, range)),
        Headers::OldKey(range) => Some((header::OLD_KEY, range)),
        Headers::None | Headers::Context | Headers::Added => None,
    };
    let text = |name: &str, text: String| Header { name: name.to_owned(), value: Typed::string(text) };
    let key =
        key.map(|(name, range)| text(name, String::from_utf8_lossy(outbox.header_bytes(range)).into_owned()));
    let values = header::CONTEXT.iter().zip(context.values.iter().flatten());
    key.into_iter().chain(values.map(|(name, value)| text(name, value.clone()))).collect()
}

impl Transformer {
    /// A schema whose id a written record lacks.
    pub(crate) fn asks(&self) -> Option<&SchemaRequest> {
        [&self.values, &self.keys].into_iter().find_map(|half| half.ids.as_ref()?.asks())
    }

    /// Takes the answer to [`Transformer::asks`].
    pub(crate) fn answer(&mut self, id: u32, outbox: &mut Outbox) {
        for (half, writer) in [(&mut self.values, &mut outbox.value), (&mut self.keys, &mut outbox.key)] {
            if let Some(ids) = half.ids.as_mut().filter(|ids| ids.asks().is_some()) {
                return ids.answer(id, writer);
            }
        }
    }

    /// A value that `write` puts on the tape, as a tree; the tape is left empty.
    pub(crate) fn tree(
        &mut self,
        schema: Schema,
        write: impl FnOnce(&mut TapeWriter, &mut Fragments),
    ) -> Typed {
        self.tape.clear();
        write(&mut self.tape, &mut self.fragments);
        let schema = Arc::new(schema);
        let value = tape::read(&schema, self.tape.as_bytes());
        debug_assert!(value.is_some(), "what is written is what the schema says");
        self.tape.clear();
        Typed::new(schema, value.unwrap_or_default())
    }
}

/// A heartbeat as trees.
pub(crate) fn heartbeat(topic: &str, server: &str, now_ns: i64) -> Record {
    let typed = |schema: Schema, value: Value| Typed::new(Arc::new(schema), Value::Struct(vec![value]));
    Record {
        topic: topic.to_owned(),
        partition: Some(0),
        key: typed(envelope::heartbeat_key_schema(), Value::String(server.to_owned())),
        value: typed(envelope::heartbeat_schema(), Value::Int(now_ns.div_euclid(1_000_000))),
        ..Record::default()
    }
}
