//! Rows of the initial snapshot: they enter by the same door as rows of the stream.
//!
//! One row is held back, because only its successor tells whether it is the last of its table or of all.

use cdcd_debezium::source::Snapshot;
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::tuple::{Tuple, Value};

use crate::catalog::TableFacts;
use crate::plan::TableShape;
use crate::types::order::KeyOrder;

/// A table that is about to be read.
#[derive(Debug, Clone)]
pub struct SnapshotTable {
    /// Its shape, in the column order of the COPY.
    pub shape: TableShape,
    /// Its catalog facts, read in the same transaction as the rows.
    pub facts: TableFacts,
    /// The columns in whose order its rows come ([`chunk_key`]); none if they come in no order.
    pub key: Vec<String>,
    /// The server's clock when the table was begun, µs since 1970.
    pub at_us: i64,
}

/// A snapshot that is being fed.
#[derive(Debug)]
pub(crate) struct Feed {
    /// `source.lsn` of every row.
    pub(crate) lsn: Lsn,
    /// `source.txId` of every row.
    pub(crate) xid: Option<u32>,
    /// The current table.
    pub(crate) table: Option<Reading>,
    pub(crate) held: Held,
    /// The key of the last row that was written, and its table in the progress.
    pub(crate) cursor: Cursor,
    table_at_us: i64,
    tables: u64,
    rows: u64,
    table_rows: u64,
}

/// The table that is being read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Index of its plan.
    pub(crate) plan: usize,
    /// Index in the progress.
    pub(crate) slot: usize,
    /// Places of the columns in whose order it is read.
    pub(crate) key: Vec<usize>,
}

/// How far the rows that were written go.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// Index in the progress, if it is to be recorded.
    slot: Option<usize>,
    key: Vec<Vec<u8>>,
}

impl Cursor {
    /// Takes the key of a row that was written; buffers are used again.
    pub(crate) fn set(&mut self, slot: usize, places: &[usize], row: &Tuple<'_>) {
        self.slot = (!places.is_empty()).then_some(slot);
        self.key.resize_with(places.len(), Vec::new);
        for (value, place) in self.key.iter_mut().zip(places) {
            value.clear();
            if let Some(Value::Text(text)) = row.get(*place) {
                value.extend_from_slice(text);
            }
        }
    }

    /// The table is done: there is nothing to be recorded any more.
    pub(crate) fn clear(&mut self) {
        self.slot = None;
    }

    /// What a position should say.
    pub(crate) fn get(&self) -> Option<(usize, Vec<String>)> {
        let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
        Some((self.slot?, self.key.iter().map(text).collect()))
    }
}

/// The row that waits for its successor.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) line: Vec<u8>,
    /// Clock of the server when the table was begun, µs since 1970.
    pub(crate) at_us: i64,
    pub(crate) table: Reading,
    first: bool,
    first_in_table: bool,
    pub(crate) last_in_table: bool,
    filled: bool,
}

impl Feed {
    /// `is_continued`: an earlier attempt has written rows, so that none is the first any more.
    pub(crate) fn new(lsn: Lsn, xid: Option<u32>, is_continued: bool) -> Self {
        Feed {
            lsn,
            xid,
            table: None,
            held: Held::default(),
            cursor: Cursor::default(),
            table_at_us: 0,
            tables: 0,
            rows: u64::from(is_continued),
            table_rows: 0,
        }
    }

    pub(crate) fn begin_table(&mut self, table: Reading, at_us: i64, is_continued: bool) {
        self.table = Some(table);
        self.table_at_us = at_us;
        self.table_rows = u64::from(is_continued);
        self.tables += 1;
    }

    /// Gives the table in the progress that is done with this, unless its last row is still held.
    pub(crate) fn end_table(&mut self) -> Option<usize> {
        let table = self.table.take()?;
        if self.held.filled && self.held.table.slot == table.slot {
            self.held.last_in_table = true;
            return None;
        }
        Some(table.slot)
    }

    /// Keeps `line` until the next row; the row held before must have been written.
    pub(crate) fn hold(&mut self, line: &[u8]) {
        let Some(table) = &self.table else { return };
        self.held.line.clear();
        self.held.line.extend_from_slice(line);
        if self.held.table != *table {
            self.held.table = table.clone();
        }
        self.held.at_us = self.table_at_us;
        // Debezium gives the mark away only in the first table, and to nobody if that is empty.
        self.held.first = self.rows == 0 && self.tables == 1;
        self.held.first_in_table = self.table_rows == 0;
        self.held.last_in_table = false;
        self.held.filled = true;
        self.rows += 1;
        self.table_rows += 1;
    }

    /// The marker of the held row, if there is one. Last wins over first, and both over their table's.
    pub(crate) fn release(&mut self, is_last: bool) -> Option<Snapshot> {
        if !std::mem::take(&mut self.held.filled) {
            return None;
        }
        Some(if is_last {
            Snapshot::Last
        } else if self.held.first {
            Snapshot::First
        } else if self.held.last_in_table {
            Snapshot::LastInTable
        } else if self.held.first_in_table {
            Snapshot::FirstInTable
        } else {
            Snapshot::Middle
        })
    }
}

/// The columns in whose order a table can be read so that a position can say how far it is: its primary key, if the
/// stream's old rows carry it and its order can be told here. `primary_key` is in key order.
pub fn chunk_key(shape: &TableShape, primary_key: &[String]) -> Vec<String> {
    let usable = |name: &String| {
        let column = shape.columns.iter().find(|column| &column.name == name);
        column.is_some_and(|column| column.is_identity && KeyOrder::of(column.type_oid).is_some())
    };
    if primary_key.iter().all(usable) { primary_key.to_vec() } else { Vec::new() }
}
