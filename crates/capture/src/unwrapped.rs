//! `ExtractNewRecordState` without a tree: what it adds is known when a table's plan is made.

use cdcd_debezium::envelope::Operation;
use cdcd_debezium::format::json::Frame;
use cdcd_debezium::format::writer::RecordWriter;
use cdcd_debezium::schema::{Field, Kind, Schema};
use cdcd_debezium::source::{Constants, Fragments, Scalar, SourceField};
use cdcd_debezium::transform::unwrap::{DELETED, Deletes, Reference, Tombstones, Unwrap};
use cdcd_debezium::value::{FieldName, ValueWriter};

use crate::column::write_columns;
use crate::columns::Columns;
use crate::config::Config;
use crate::converter::Converter;
use crate::error::Error;
use crate::outbox::{Headers, Range, Topics};
use crate::plan::{Plan, Way};
use crate::row_change::{Row, Writer};

/// How the events of one table are unwrapped.
pub(crate) struct Unwrapped {
    deletes: Deletes,
    tombstones: Tombstones,
    mark: Option<FieldName>,
    frame: Frame,
    /// The whole value of a delete that becomes a null with a schema.
    null: Vec<u8>,
    fields: Vec<(FieldName, Added)>,
    /// Numbers of the headers' names.
    headers: Vec<(usize, Added)>,
    /// Of those, the ones that tombstones get.
    operations: Vec<usize>,
}

/// What is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Added {
    Operation,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    Source(SourceField),
    WholeSource,
    /// Of a transaction's block, which is not there.
    Null,
}

impl Unwrapped {
    /// `None` if it takes a tree: fields of rows, nulls that are replaced by another rule than the converter's, or
    /// another form than JSON.
    pub(crate) fn new(
        config: &Config,
        unwrap: &Unwrap,
        envelope: &Schema,
        topics: &mut Topics,
    ) -> Option<Self> {
        let (Converter::Json(_), Converter::Json(options)) = (config.key, config.value) else { return None };
        if unwrap.marks_deletes() && unwrap.replace_null && !options.null_as_default {
            return None;
        }
        let counted = config.transactions.is_some();
        let after = field(envelope, "after")?;
        let mut row = fields(&after.schema).to_vec();
        if unwrap.marks_deletes() {
            row.push(Schema::new(Kind::String).optional(true).field(DELETED));
        }
        let mut added = Vec::new();
        for reference in &unwrap.fields {
            if let Some((schema, what)) = find(reference, envelope, counted)? {
                row.push(schema.field(&reference.name));
                added.push((FieldName::new(&reference.name), what));
            }
        }
        let has_twins = row
            .iter()
            .enumerate()
            .any(|(at, field)| row.iter().skip(at + 1).any(|other| other.name == field.name));
        let mut headers = Vec::new();
        for reference in &unwrap.headers {
            match find(reference, envelope, counted)? {
                Some((_, Added::WholeSource)) => return None,
                Some((_, what)) => headers.push((topics.header(&reference.name), what)),
                None => {}
            }
        }
        let operations = unwrap.headers.iter().filter(|reference| reference.field == "op");
        let schema = Schema { kind: Kind::Struct(row), optional: false, ..after.schema.clone() };
        let frame = |schema: &Schema| match options.schemas {
            true => Frame::with_schema(schema, options.decimal),
            false => Frame::bare(),
        };
        let null = frame(&after.schema);
        (!has_twins).then(|| Unwrapped {
            deletes: unwrap.deletes,
            tombstones: unwrap.tombstones,
            mark: unwrap.marks_deletes().then(|| FieldName::new(DELETED)),
            frame: frame(&schema),
            null: [null.prefix.as_slice(), b"null", &null.suffix].concat(),
            fields: added,
            operations: operations.map(|reference| topics.header(&reference.name)).collect(),
            headers,
        })
    }
}

/// A value that is known as a whole.
fn whole(bytes: &[u8], writer: &mut RecordWriter) -> Range {
    let start = writer.mark().length;
    writer.begin_record(bytes);
    writer.end_record(&[]);
    Range { start, end: writer.mark().length }
}

fn fields(schema: &Schema) -> &[Field] {
    match &schema.kind {
        Kind::Struct(fields) => fields,
        _ => &[],
    }
}

fn field<'a>(schema: &'a Schema, name: &str) -> Option<&'a Field> {
    fields(schema).iter().find(|field| field.name == name)
}

/// What a reference comes to: `None` for a row's field and for what a `counted` event's transaction block holds,
/// `Some(None)` for what no event has.
fn find(reference: &Reference, envelope: &Schema, counted: bool) -> Option<Option<(Schema, Added)>> {
    let name = reference.field.as_str();
    if counted && (name == "transaction" || reference.parent.as_deref() == Some("transaction")) {
        return None;
    }
    let inner = match reference.parent.as_deref() {
        Some("before" | "after") => return None,
        Some(parent) => field(envelope, parent).and_then(|parent| field(&parent.schema, name)),
        None => None,
    };
    if let Some(inner) = inner {
        let source = SourceField::named(name).filter(|_| reference.parent.as_deref() == Some("source"));
        return Some(Some((optional(&inner.schema), source.map_or(Added::Null, Added::Source))));
    }
    let Some(outer) = field(envelope, name) else { return Some(None) };
    let what = match name {
        "op" => Added::Operation,
        "ts_ms" => Added::Milliseconds,
        "ts_us" => Added::Microseconds,
        "ts_ns" => Added::Nanoseconds,
        "source" => Added::WholeSource,
        "transaction" => Added::Null,
        _ => return None,
    };
    Some(Some((optional(&outer.schema), what)))
}

fn optional(schema: &Schema) -> Schema {
    Schema { optional: true, default: None, ..schema.clone() }
}

impl Writer<'_> {
    /// Writes an event without its envelope, if anything of it is left.
    pub(crate) fn unwrapped_event(
        &mut self,
        operation: Operation,
        (before, after): (Option<Row<'_>>, Option<Row<'_>>),
        key: Option<Range>,
        headers: Headers,
    ) -> Result<(), Error> {
        let Way::Unwrapped(plan) = &self.plan.way else { return Ok(()) };
        let value = match (operation, plan.deletes) {
            (Operation::Truncate, _) | (Operation::Delete, Deletes::Drop) => {
                self.drop_record();
                return Ok(());
            }
            (Operation::Delete, Deletes::Tombstone) => None,
            (Operation::Delete, Deletes::Null) => Some(whole(&plan.null, &mut self.outbox.value)),
            (Operation::Delete, Deletes::Rewrite) => Some(self.unwrapped_row(operation, before, "true")?),
            _ => Some(self.unwrapped_row(operation, after, "false")?),
        };
        let added = self.unwrapped_headers(operation);
        self.push(key, value, headers, added);
        Ok(())
    }

    /// Writes the tombstone behind a delete, if it stays.
    pub(crate) fn unwrapped_tombstone(&mut self, key: Option<Range>, headers: Headers) {
        let Way::Unwrapped(plan) = &self.plan.way else { return };
        if plan.tombstones == Tombstones::Drop {
            self.drop_record();
            return;
        }
        let start = self.outbox.added.len();
        for name in &plan.operations {
            let value = self.outbox.header(b"d");
            self.outbox.added.push((*name, Some(value)));
        }
        let added = Range { start, end: self.outbox.added.len() };
        self.push(key, None, headers, added);
    }

    fn unwrapped_row(
        &mut self,
        operation: Operation,
        row: Option<Row<'_>>,
        deleted: &str,
    ) -> Result<Range, Error> {
        let plan = &*self.plan;
        let (Way::Unwrapped(unwrapped), Some(row)) = (&plan.way, row) else {
            return Ok(Range { start: 0, end: 0 });
        };
        let (Columns::Json(columns), RecordWriter::Json(writer)) = (&plan.columns, &mut self.outbox.value)
        else {
            unreachable!("events in another form are not unwrapped")
        };
        let start = writer.mark().length;
        writer.begin_record(&unwrapped.frame.prefix);
        writer.begin_struct();
        let on_failure = self.config.conversion_failure;
        match write_columns(columns, &row.tuple, row.image, on_failure, writer) {
            Ok(failures) => self.stats.conversion_failures += failures,
            Err(error) => return Err(self.conversion_error(error)),
        }
        if let Some(name) = &unwrapped.mark {
            writer.field(name);
            writer.string(deleted);
        }
        for (name, what) in &unwrapped.fields {
            writer.field(name);
            match what.scalar(plan, self.source, self.constants, (operation, self.lsn.0, self.now_ns)) {
                _ if *what == Added::WholeSource => self.source.write(&plan.source, self.lsn.0, writer),
                Scalar::Null => writer.null(),
                Scalar::Int(value) => writer.int(value),
                Scalar::Text(text) => writer.string(text),
            }
        }
        writer.end_struct();
        writer.end_record(&unwrapped.frame.suffix);
        Ok(Range { start, end: writer.mark().length })
    }

    fn unwrapped_headers(&mut self, operation: Operation) -> Range {
        let start = self.outbox.added.len();
        let plan = &*self.plan;
        if let Way::Unwrapped(unwrapped) = &plan.way {
            for (name, what) in &unwrapped.headers {
                let event = (operation, self.lsn.0, self.now_ns);
                let value = match what.scalar(plan, self.source, self.constants, event) {
                    Scalar::Null => None,
                    Scalar::Int(value) => Some(self.outbox.header_int(value)),
                    Scalar::Text(text) => Some(self.outbox.header(text.as_bytes())),
                };
                self.outbox.added.push((*name, value));
            }
        }
        Range { start, end: self.outbox.added.len() }
    }
}

impl Added {
    fn scalar<'a>(
        self,
        plan: &'a Plan,
        source: &'a mut Fragments,
        constants: &'a Constants,
        (operation, lsn, now_ns): (Operation, u64, i64),
    ) -> Scalar<'a> {
        match self {
            Added::Operation => Scalar::Text(operation.letter()),
            Added::Milliseconds => Scalar::Int(now_ns.div_euclid(1_000_000)),
            Added::Microseconds => Scalar::Int(now_ns.div_euclid(1_000)),
            Added::Nanoseconds => Scalar::Int(now_ns),
            Added::Source(field) => source.field(field, constants, (&plan.schema, &plan.table), lsn),
            Added::WholeSource | Added::Null => Scalar::Null,
        }
    }
}
