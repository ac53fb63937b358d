//! Rows of the initial snapshot: they enter by the same door as rows of the stream.
//!
//! One row is held back, because only its successor tells whether it is the last of its table or of all.

use cdcd_debezium::source::Snapshot;
use cdcd_pgoutput::Lsn;

use crate::catalog::TableFacts;
use crate::plan::TableShape;

/// A table that is about to be read.
#[derive(Debug, Clone)]
pub struct SnapshotTable {
    /// Its shape, in the column order of the COPY.
    pub shape: TableShape,
    /// Its catalog facts, read in the same transaction as the rows.
    pub facts: TableFacts,
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
    /// Index of the current table.
    pub(crate) table: Option<usize>,
    pub(crate) held: Held,
    table_at_us: i64,
    tables: u64,
    rows: u64,
    table_rows: u64,
}

/// The row that waits for its successor.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) line: Vec<u8>,
    /// Clock of the server when the table was begun, µs since 1970.
    pub(crate) at_us: i64,
    pub(crate) table: usize,
    first: bool,
    first_in_table: bool,
    last_in_table: bool,
    filled: bool,
}

impl Feed {
    pub(crate) fn new(lsn: Lsn, xid: Option<u32>) -> Self {
        Feed {
            lsn,
            xid,
            table: None,
            held: Held::default(),
            table_at_us: 0,
            tables: 0,
            rows: 0,
            table_rows: 0,
        }
    }

    pub(crate) fn begin_table(&mut self, table: usize, at_us: i64) {
        self.table = Some(table);
        self.table_at_us = at_us;
        self.table_rows = 0;
        self.tables += 1;
    }

    pub(crate) fn end_table(&mut self) {
        self.table = None;
        self.held.last_in_table = self.held.filled && self.table_rows > 0 || self.held.last_in_table;
    }

    /// Keeps `line` until the next row; the row held before must have been written.
    pub(crate) fn hold(&mut self, line: &[u8], table: usize) {
        self.held.line.clear();
        self.held.line.extend_from_slice(line);
        self.held.table = table;
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
