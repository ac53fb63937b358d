//! Reading: Kafka key and value bytes to [`ChangeEvent`], in every shape that a topic may carry.
//!
//! | shape | value |
//! |---|---|
//! | schema envelope | `{"schema":…,"payload":{"before","after","source","op",…}}` |
//! | bare envelope | `{"before","after","source","op",…}` |
//! | unwrapped | the row itself, with `__op`, `__deleted`, `__ts_ms` … as ExtractNewRecordState adds them |
//! | simple | `{"operation","before","after"}` |
//! | tombstone | no value |
//!
//! A row stays JSON text borrowed from the record ([`Fields`]); a column is decoded when it is asked for
//! ([`value::decode`]), so that no tree of values is built per event.

mod fields;
mod reader;
pub mod schema;
pub mod value;

pub use fields::Fields;
pub use reader::{EventReader, ReadError, decode_row};

use schema::RowSchema;
use std::sync::Arc;

/// What one Kafka record says.
#[derive(Debug)]
pub enum Event<'a> {
    /// A row changed, or a table was truncated.
    Change(Box<ChangeEvent<'a>>),
    /// No value: the key was deleted, or a compaction hint after a delete event. `key` holds the key's fields.
    Tombstone {
        /// Fields of the key, if the record has one.
        key: Option<Fields<'a>>,
        /// Types of the key's fields, if the key carries its schema.
        key_schema: Option<Arc<RowSchema>>,
    },
    /// A record that carries no row, by design of its writer.
    Skipped(Skipped),
}

/// Why a record carries no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// `__debezium-heartbeat.<prefix>`.
    Heartbeat,
    /// `<prefix>.transaction`: BEGIN and END markers.
    Transaction,
    /// `<prefix>.message`: a logical message (`op` = `m`).
    Message,
}

/// The outer form of a record's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// Debezium's envelope, with or without schema.
    Envelope,
    /// A row without `__deleted`: a tombstone is the only sign of a delete.
    Unwrapped,
    /// A row with `__deleted`: deletes come as rows, a tombstone is only a hint.
    UnwrappedRewritten,
    /// `{"operation","before","after"}`.
    Simple,
}

impl Shape {
    /// One letter, for an offset token: `e`, `u`, `w` or `s`.
    pub fn letter(self) -> char {
        match self {
            Shape::Envelope => 'e',
            Shape::Unwrapped => 'u',
            Shape::UnwrappedRewritten => 'w',
            Shape::Simple => 's',
        }
    }

    /// The shape of a letter that [`Shape::letter`] wrote.
    pub fn from_letter(letter: char) -> Option<Shape> {
        [Shape::Envelope, Shape::Unwrapped, Shape::UnwrappedRewritten, Shape::Simple]
            .into_iter()
            .find(|shape| shape.letter() == letter)
    }
}

/// What happened to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `c`
    Create,
    /// `u`, and an unwrapped row that does not tell its operation.
    Update,
    /// `d`
    Delete,
    /// `r`: a snapshot read.
    Read,
    /// `t`: the whole table.
    Truncate,
}

impl Operation {
    /// Debezium's letter: `c`, `u`, `d`, `r` or `t`.
    pub fn letter(self) -> &'static str {
        match self {
            Operation::Create => "c",
            Operation::Update => "u",
            Operation::Delete => "d",
            Operation::Read => "r",
            Operation::Truncate => "t",
        }
    }
}

/// One change of one row, borrowed from the record's bytes.
#[derive(Debug)]
pub struct ChangeEvent<'a> {
    /// The outer form it came in.
    pub shape: Shape,
    /// What happened.
    pub op: Operation,
    /// Columns and types, if the record carries its schema.
    pub schema: Option<Arc<RowSchema>>,
    /// Fields of the record's key; `None` for a table without a key.
    pub key: Option<Fields<'a>>,
    /// Types of the key's fields, if the key carries its schema.
    pub key_schema: Option<Arc<RowSchema>>,
    /// The row before the change; under the default replica identity only the key columns are real.
    pub before: Option<Fields<'a>>,
    /// The row after the change.
    pub after: Option<Fields<'a>>,
    /// Where and when it happened in the source.
    pub source: Source,
    /// The whole message as JSON text, without its schema.
    pub payload: &'a str,
}

impl<'a> ChangeEvent<'a> {
    /// The row image that the change is about: `before` for a delete, else `after`.
    pub fn row(&self) -> Option<&Fields<'a>> {
        match self.op {
            Operation::Delete => self.before.as_ref().or(self.after.as_ref()),
            Operation::Truncate => None,
            _ => self.after.as_ref(),
        }
    }
}

/// The parts of `source` that a sink needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// WAL position of the change; absent in incremental snapshots and in shapes that do not carry it.
    pub lsn: Option<u64>,
    /// Commit time in the source, microseconds since 1970.
    pub ts_us: Option<i64>,
    /// A snapshot's last row of its table.
    pub ends_table: bool,
}
