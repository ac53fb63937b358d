use cdcd_debezium::transform::TransformError;
use cdcd_pgoutput::{DecodeError, Lsn};

use crate::spool::SpoolError;
use crate::types::ConversionError;

/// Why a capture cannot go on. Every one is definite: the same input fails again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server sent bytes that are no message.
    #[error("decoding the message at {lsn}")]
    Decode {
        /// Where in the log.
        lsn: Lsn,
        /// What was wrong.
        source: DecodeError,
    },
    /// The server broke a rule of the protocol.
    #[error("at {lsn}: {what}")]
    Protocol {
        /// Where in the log.
        lsn: Lsn,
        /// Which rule.
        what: String,
    },
    /// A transaction of which a part is in Kafka came back as another one.
    #[error("E_NONDETERMINISTIC_REPLAY: at {lsn}: {what}")]
    Nondeterministic {
        /// Commit of the transaction.
        lsn: Lsn,
        /// What is in Kafka, and what came.
        what: String,
    },
    /// A value that the chosen mode cannot hold.
    #[error("table {table}, column {column}, at {lsn}")]
    Conversion {
        /// `schema.table`
        table: String,
        /// Column name.
        column: String,
        /// Where in the log.
        lsn: Lsn,
        /// Why.
        source: ConversionError,
    },
    /// A change shows that the catalog's answer is not of its time: another capture can go on that is told so
    /// ([`crate::Capture::allow_null`]).
    #[error(
        "table {table}, column {column}, at {lsn}: NULL in a column that was NOT NULL when the catalog was asked"
    )]
    OutdatedFacts {
        /// `schema.table`
        table: String,
        /// Column name.
        column: String,
        /// Where in the log.
        lsn: Lsn,
    },
    /// A record that one of the `transforms` cannot take.
    #[error("transforming a record of {table}, at {lsn}")]
    Transform {
        /// `schema.table`, or the topic of a heartbeat.
        table: String,
        /// Where in the log.
        lsn: Lsn,
        /// Which transformation, and why.
        source: TransformError,
    },
    /// ByteArrayConverter without `transforms`.
    #[error("ByteArrayConverter takes bytes only, and a change event is a struct")]
    BytesForm,
    /// A table that cannot be captured as it is.
    #[error("table {table}: {what}")]
    Table {
        /// `schema.table`
        table: String,
        /// Why.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A table was truncated between two attempts of its snapshot: what is in Kafka of it is of two times, and the
    /// truncate would be wrong for one of them.
    #[error(
        "E_SNAPSHOT_TRUNCATED: table {table} was truncated between two attempts of its snapshot: a part of its rows \
         is older, a part is newer"
    )]
    SnapshotTruncated {
        /// `schema.table`
        table: String,
    },
    /// What was kept of a transaction in progress cannot be kept or given back.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A transaction that protocol 2 does not tell in full; protocol 1 does.
    #[error("at {lsn}: transaction {xid} {what}, which protocol 2 does not tell in full")]
    Unstreamable {
        /// Top-level transaction.
        xid: u32,
        /// Where in the log.
        lsn: Lsn,
        /// What is special about it.
        what: &'static str,
    },
    /// A stored position that cannot be read.
    #[error("the stored position is unreadable: {0}")]
    Position(String),
    /// What was kept of a table that cannot be read.
    #[error("E_POSITION_FORMAT: what was kept under {key} is unreadable: {what}")]
    Facts {
        /// Key of the record.
        key: String,
        /// Why.
        what: String,
    },
}

impl Error {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Table { hint, .. } => Some(hint),
            Error::Spool(error) => Some(&error.hint),
            Error::Unstreamable { .. } => Some("receive it after its commit: cdcd.streaming=off"),
            Error::Transform { source, .. } => source.advice(),
            Error::BytesForm => {
                Some("choose another converter, or transforms that take bytes out of the event")
            }
            Error::Conversion { .. } => Some(
                "choose another mode for the type (decimal.handling.mode, time.precision.mode), or set \
                 event.converting.failure.handling.mode=warn to write null instead",
            ),
            Error::SnapshotTruncated { .. } => Some(
                "start anew with a snapshot under another connector name, or skip truncate events \
                 (skipped.operations=t)",
            ),
            Error::Nondeterministic { .. } => Some(
                "the publication, its row filters or column lists changed inside of this transaction: set them back \
                 for one start, or start anew with a snapshot under another connector name",
            ),
            Error::Facts { .. } => Some(
                "a tombstone under this key (after the connector's name) in the position topic makes the next start \
                 ask the catalog as it is now",
            ),
            _ => None,
        }
    }
}
