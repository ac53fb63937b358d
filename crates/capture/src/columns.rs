//! The columns of a row or a key with the form that they are written in.
//!
//! The form is chosen once a record, not once a value: each form has columns, writers of types and a loop of its own.

use cdcd_debezium::envelope::{self, Clock, Operation};
use cdcd_debezium::format::avro::AvroWriter;
use cdcd_debezium::format::json::{Frame, JsonWriter};
use cdcd_debezium::format::text::TextWriter;
use cdcd_debezium::format::writer::RecordWriter;
use cdcd_debezium::source::{Constants, Fragments, TableFragment, Transaction};
use cdcd_debezium::transaction::Block;
use cdcd_debezium::value::ValueWriter;
use cdcd_pgoutput::tuple::{Tuple, Value};

use crate::column::{Column, ColumnError, write_key, write_row};
use crate::config::ConversionFailure;
use crate::outbox::Range;
use crate::plan::Plan;
use crate::row_change::Row;

/// Columns in order.
pub(crate) enum Columns {
    Json(Vec<Column<JsonWriter>>),
    Avro(Vec<Column<AvroWriter>>),
    Text(Vec<Column<TextWriter>>),
}

/// An event apart from its form.
pub(crate) struct Event<'a> {
    pub(crate) operation: Operation,
    pub(crate) before: Option<Row<'a>>,
    pub(crate) after: Option<Row<'a>>,
    pub(crate) source: &'a mut Fragments,
    pub(crate) table: &'a TableFragment,
    pub(crate) block: Option<Block<'a>>,
    pub(crate) lsn: u64,
    pub(crate) clock: &'a Clock,
    pub(crate) on_failure: ConversionFailure,
}

/// Where a record was written.
pub(crate) struct Written {
    pub(crate) range: Range,
    /// Values that became null because they could not be converted.
    pub(crate) failures: u64,
}

/// Runs the same code on the columns of a form and the writer of the same form.
macro_rules! together {
    ($columns:expr, $writer:expr, ($c:ident, $w:ident) => $call:expr) => {
        match ($columns, $writer) {
            (Columns::Json($c), RecordWriter::Json($w)) => $call,
            (Columns::Avro($c), RecordWriter::Avro($w)) => $call,
            (Columns::Text($c), RecordWriter::Text($w)) => $call,
            _ => unreachable!("plans and writers are made from the same converters"),
        }
    };
}

/// Runs the same code on the columns of whichever form.
macro_rules! each {
    ($columns:expr, $c:ident => $call:expr) => {
        match $columns {
            Columns::Json($c) => $call,
            Columns::Avro($c) => $call,
            Columns::Text($c) => $call,
        }
    };
}

impl Columns {
    pub(crate) fn is_empty(&self) -> bool {
        each!(self, columns => columns.is_empty())
    }

    /// Whether all of them are part of the replica identity.
    pub(crate) fn are_in_identity(&self) -> bool {
        each!(self, columns => columns.iter().all(|column| column.is_identity))
    }

    /// Whether two rows agree in all of them, byte for byte.
    pub(crate) fn agree(&self, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
        each!(self, columns => columns.iter().all(|column| {
            let new = new.get(column.index);
            new == Some(Value::UnchangedToast) || old.get(column.index) == new
        }))
    }

    /// Writes a key.
    pub(crate) fn write_key(
        &self,
        tuple: &Tuple<'_>,
        frame: &Frame,
        writer: &mut RecordWriter,
    ) -> Result<Range, ColumnError> {
        together!(self, writer, (columns, writer) => framed(frame, writer, |writer| {
            write_key(columns, tuple, writer)
        }))
        .map(|(range, ())| range)
    }

    /// Writes an event.
    pub(crate) fn write_event(
        &self,
        event: Event<'_>,
        frame: &Frame,
        writer: &mut RecordWriter,
    ) -> Result<Written, ColumnError> {
        together!(self, writer, (columns, writer) => framed(frame, writer, |writer| {
            write_event(columns, event, writer)
        }))
        .map(|(range, failures)| Written { range, failures })
    }
}

/// Renders what the events of a transaction share.
pub(crate) fn render_transaction(
    fragments: &mut Fragments,
    constants: &Constants,
    transaction: &Transaction<'_>,
    scratch: &mut RecordWriter,
) {
    match scratch {
        RecordWriter::Json(writer) => fragments.render(constants, transaction, writer),
        RecordWriter::Avro(writer) => fragments.render(constants, transaction, writer),
        RecordWriter::Text(writer) => fragments.render(constants, transaction, writer),
    }
}

/// Renders what the events of a transaction and table share.
pub(crate) fn render_table(
    plan: &mut Plan,
    serial: u64,
    transaction: (i64, Option<u32>),
    scratch: &mut RecordWriter,
) {
    let names = (plan.schema.as_str(), plan.table.as_str());
    match scratch {
        RecordWriter::Json(writer) => plan.source.render(serial, names, transaction, writer),
        RecordWriter::Avro(writer) => plan.source.render(serial, names, transaction, writer),
        RecordWriter::Text(writer) => plan.source.render(serial, names, transaction, writer),
    }
}

/// Renders our clock.
#[inline]
pub(crate) fn render_clock(clock: &mut Clock, now_ns: i64, scratch: &mut RecordWriter) {
    match scratch {
        RecordWriter::Json(writer) => clock.render(now_ns, writer),
        RecordWriter::Avro(writer) => clock.render(now_ns, writer),
        RecordWriter::Text(writer) => clock.render(now_ns, writer),
    }
}

fn framed<W: ValueWriter, T>(
    frame: &Frame,
    writer: &mut W,
    write: impl FnOnce(&mut W) -> Result<T, ColumnError>,
) -> Result<(Range, T), ColumnError> {
    let start = writer.mark().length;
    writer.begin_record(&frame.prefix);
    let written = write(writer)?;
    writer.end_record(&frame.suffix);
    Ok((Range { start, end: writer.mark().length }, written))
}

fn write_event<W: ValueWriter>(
    columns: &[Column<W>],
    event: Event<'_>,
    writer: &mut W,
) -> Result<u64, ColumnError> {
    let names = &*envelope::NAMES;
    let mut failures = 0;
    writer.begin_struct();
    for (name, row) in [(&names.before, &event.before), (&names.after, &event.after)] {
        writer.field(name);
        match row {
            None => writer.null(),
            Some(row) => failures += write_row(columns, &row.tuple, row.image, event.on_failure, writer)?,
        }
    }
    writer.field(&names.source);
    event.source.write(event.table, event.lsn, writer);
    envelope::write_tail(writer, event.block, event.operation, event.clock);
    writer.end_struct();
    Ok(failures)
}
