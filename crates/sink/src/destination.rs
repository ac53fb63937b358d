//! The port: what a sink asks of the place where rows go. One implementation is one crate.

use crate::merge::{LedgerAnswer, MergePlan};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// A place for rows: tables with channels that remember offset tokens.
///
/// Each call is one attempt; retries belong to the caller. Implementations are checked by
/// [`crate::destination_suite`].
pub trait Destination: Send + Sync {
    /// The columns of `table`, or `None` if there is no such table.
    fn describe(
        &self,
        table: &str,
    ) -> impl Future<Output = Result<Option<Vec<TableColumn>>, DestinationError>> + Send;

    /// Makes the landing table, its missing columns, and what stands beside it. Idempotent.
    fn prepare(&self, plan: &TablePlan) -> impl Future<Output = Result<(), DestinationError>> + Send;

    /// Opens a channel under `epoch`: fences older writers, drops their uncommitted rows, tells the committed token.
    fn open(&self, channel: &Channel)
    -> impl Future<Output = Result<ChannelStatus, DestinationError>> + Send;

    /// Sends one batch on the channel's open of the same epoch. `Ok` means accepted, not durable. After a transient
    /// error the same batch may be sent again; it is never applied twice.
    fn append(&self, batch: &RowBatch) -> impl Future<Output = Result<(), DestinationError>> + Send;

    /// What is durable, per channel; all channels belong to one table. An unknown channel is left out.
    fn statuses(
        &self,
        channels: &[Channel],
    ) -> impl Future<Output = Result<Vec<(String, ChannelStatus)>, DestinationError>> + Send;

    /// How far each channel's log rows are merged, and the merged table's keys. Makes missing rows of channels.
    fn ledger(
        &self,
        plan: &TablePlan,
        channels: &[String],
    ) -> impl Future<Output = Result<LedgerAnswer, DestinationError>> + Send;

    /// Carries out one merge: all of it or nothing.
    fn merge(&self, plan: &MergePlan) -> impl Future<Output = Result<(), DestinationError>> + Send;
}

/// One channel, as opened by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The landing table.
    pub table: String,
    /// The channel's name.
    pub name: String,
    /// Number of this open; a batch of an older one is refused.
    pub epoch: u64,
}

/// What a destination says about a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelStatus {
    /// `None` when the channel is usable, else the destination's code for why not.
    pub problem: Option<String>,
    /// The newest committed token.
    pub token: Option<String>,
    /// Rows inserted since the channel was made, if told.
    pub rows_inserted: Option<u64>,
    /// Rows rejected since the channel was made; never falls.
    pub rows_error_count: u64,
    /// The destination's last word about a rejected row.
    pub last_error: Option<String>,
    /// No row after this token was rejected.
    pub last_error_upper_bound: Option<String>,
}

/// Rows for one channel, encoded, with the tokens that go with them.
#[derive(Debug, Clone)]
pub struct RowBatch {
    /// Where they go.
    pub channel: Channel,
    /// The encoded rows.
    pub body: Arc<Vec<u8>>,
    /// Number of rows.
    pub rows: u32,
    /// Kafka offset of the first row.
    pub first_offset: i64,
    /// Kafka offset up to which the batch accounts for all records.
    pub last_offset: i64,
    /// Token before the first row.
    pub start_token: String,
    /// Token to commit with the last row.
    pub end_token: String,
}

/// One column of a destination table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Name in the destination.
    pub name: String,
    /// Its type.
    pub stored: StoredType,
}

/// Column types, as far as a sink tells them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredType {
    /// True or false.
    Boolean,
    /// Exact decimal.
    Number {
        /// Digits in all, at most 38.
        precision: u32,
        /// Digits after the point.
        scale: u32,
    },
    /// 64-bit floating point.
    Float,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// Day.
    Date,
    /// Time of day with this many fraction digits.
    Time {
        /// 0 to 9.
        precision: u32,
    },
    /// Date and time without zone.
    Timestamp {
        /// 0 to 9.
        precision: u32,
    },
    /// Date and time with zone.
    Instant,
    /// JSON.
    Variant,
    /// A type that a sink does not write.
    Other(String),
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoredType::Boolean => f.write_str("boolean"),
            StoredType::Number { precision, scale } => write!(f, "number({precision},{scale})"),
            StoredType::Float => f.write_str("float"),
            StoredType::Text => f.write_str("text"),
            StoredType::Binary => f.write_str("binary"),
            StoredType::Date => f.write_str("date"),
            StoredType::Time { precision } => write!(f, "time({precision})"),
            StoredType::Timestamp { precision } => write!(f, "timestamp({precision})"),
            StoredType::Instant => f.write_str("timestamp with zone"),
            StoredType::Variant => f.write_str("variant"),
            StoredType::Other(name) => f.write_str(name),
        }
    }
}

/// A landing table and what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePlan {
    /// The landing table.
    pub table: String,
    /// Columns that it must have; others stay.
    pub columns: Vec<TableColumn>,
    /// The current rows, if they are wanted.
    pub current: Option<CurrentState>,
}

/// The object that shows the current rows of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentState {
    /// Its name.
    pub name: String,
    /// A view, or a table that merges keep current.
    pub kind: CurrentKind,
    /// Key columns.
    pub keys: Vec<String>,
    /// All business columns, keys included.
    pub columns: Vec<TableColumn>,
    /// Columns about the newest change of the row, none of them among `columns`.
    pub audit: Audit,
}

/// Columns about the newest change of a row, beside its values. Each is there if it has a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// Holds the operation, as [`operation_name`] writes it.
    pub operation: Option<String>,
    /// Holds the time, in UTC, of the merge that wrote the row; in a view the time of the change.
    pub timestamp: Option<String>,
    /// Holds one text in every row.
    pub source: Option<Constant>,
}

/// A column and what it holds in every row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// The column.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Audit {
    /// The columns with their types, in the order in which a table gets them.
    pub fn columns(&self) -> Vec<TableColumn> {
        let column = |name: &String, stored| TableColumn { name: name.clone(), stored };
        let operation = self.operation.iter().map(|name| column(name, StoredType::Text));
        let time = StoredType::Timestamp { precision: 9 };
        let timestamp = self.timestamp.iter().map(|name| column(name, time.clone()));
        let source = self.source.iter().map(|constant| column(&constant.name, StoredType::Text));
        operation.chain(timestamp).chain(source).collect()
    }

    /// Whether one of the columns has this name.
    pub fn has(&self, name: &str) -> bool {
        let source = self.source.as_ref().map(|constant| &constant.name);
        [self.operation.as_ref(), self.timestamp.as_ref(), source]
            .into_iter()
            .flatten()
            .any(|own| own == name)
    }
}

/// The letters of `_OP` and the names that [`Audit::operation`] holds.
pub const OPERATION_NAMES: [(&str, &str); 4] =
    [("c", "CREATE"), ("u", "UPDATE"), ("d", "DELETE"), ("r", "READ")];

/// What [`Audit::operation`] holds for a letter that has no name.
pub const OPERATION_UNKNOWN: &str = "UNKNOWN";

/// The name of an operation, for example `CREATE` for `c`.
pub fn operation_name(letter: &str) -> &'static str {
    OPERATION_NAMES.iter().find(|(own, _)| *own == letter).map_or(OPERATION_UNKNOWN, |(_, name)| name)
}

/// See [`CurrentState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CurrentKind {
    /// Computed when it is read.
    View,
    /// Written by merges.
    Table,
}

/// Why a destination did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {message}")]
pub struct DestinationError {
    /// What was asked, with the object's name.
    pub what: String,
    /// The destination's answer, or what went wrong on the way to it. No row value and no secret.
    pub message: String,
    /// What may be done about it.
    pub kind: ErrorKind,
    /// How long the destination asks to wait, if it says so.
    pub retry_after: Option<std::time::Duration>,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DestinationError {
    /// An error without cause.
    pub fn new(kind: ErrorKind, what: impl Into<String>, message: impl Into<String>) -> Self {
        DestinationError { what: what.into(), message: message.into(), kind, retry_after: None, source: None }
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        self.kind == ErrorKind::Transient
    }
}

/// What may be done about a [`DestinationError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later.
    Transient,
    /// The channel must be opened again.
    Reopen,
    /// The batch is larger than the destination takes.
    TooLarge,
    /// Somebody else changed the ledger first.
    Conflict,
    /// Wrong configuration or missing rights.
    Config,
    /// It will not succeed.
    Definite,
}
