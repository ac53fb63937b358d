//! What one sink is told to do. Plain data; property names are the binary's business.

use crate::destination::Audit;
use cdcd_debezium::event::schema::BytesNotation;
use std::time::Duration;

/// Settings of one sink.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who writes: part of every channel name, so that two sinks never share a channel. The connector's name.
    pub sink_id: String,
    /// Generation of the channels: raising it abandons the old channels and their tokens.
    pub lineage: u32,
    /// Shape of the landing table.
    pub landing: Landing,
    /// What stands beside the landing table.
    pub mode: TableMode,
    /// What a delete leaves in a merged table.
    pub deletes: DeleteMode,
    /// Columns that a view or a merged table has beside the source's. Names as in the destination. Default none.
    pub audit: Audit,
    /// Time between two merges of one table.
    pub merge_interval: Duration,
    /// A batch is closed at this many rows. Default 10 000: status and tokens stay cheap.
    pub batch_rows_max: u32,
    /// A batch is closed before it exceeds this many bytes. Default 3.8 MB: a request of Snowpipe Streaming may
    /// carry 4 MB, by the strictest reading uncompressed.
    pub batch_bytes_max: usize,
    /// A batch is closed when its oldest row is this old.
    pub batch_age_max: Duration,
    /// A batch that was accepted but is not durable after this long stops the partition.
    pub commit_deadline: Duration,
    /// Time between two commits of the consumer group's offsets: they are for display and for a lost channel.
    pub offsets_interval: Duration,
    /// Time between two questions about a table's committed tokens.
    pub status_interval: Duration,
    /// What to do with a record that cannot be read.
    pub malformed: Malformed,
    /// What to do when the destination rejected rows.
    pub rejected: Rejected,
    /// What a record without value means.
    pub tombstones: Tombstones,
    /// Key columns, for topics whose records carry no key. Names as in the source.
    pub key_fields: Vec<String>,
    /// How the writer wrote types that the record does not tell.
    pub modes: Modes,
    /// Debezium's `unavailable.value.placeholder`.
    pub placeholder: String,
    /// Which members RECORD_METADATA has.
    pub metadata: Metadata,
    /// Whether the merges run at once when everything is durable, not only on their interval.
    pub until_caught_up: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            sink_id: "sink".to_owned(),
            lineage: 0,
            landing: Landing::Log,
            mode: TableMode::Append,
            deletes: DeleteMode::Hard,
            audit: Audit::default(),
            merge_interval: Duration::from_secs(60),
            batch_rows_max: 10_000,
            batch_bytes_max: 3_800_000,
            batch_age_max: Duration::from_millis(500),
            commit_deadline: Duration::from_secs(180),
            offsets_interval: Duration::from_secs(5),
            status_interval: Duration::from_millis(250),
            malformed: Malformed::Stop,
            rejected: Rejected::Stop,
            tombstones: Tombstones::Auto,
            key_fields: Vec::new(),
            modes: Modes::default(),
            placeholder: "__debezium_unavailable_value".to_owned(),
            metadata: Metadata::default(),
            until_caught_up: false,
        }
    }
}

/// Shape of the landing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landing {
    /// `<TABLE>__LOG`: one typed column per source column, and `_OP, _SEQ, _TS, _OFFSET, _UNCHANGED`.
    Log,
    /// `RECORD_CONTENT` and `RECORD_METADATA`, as Snowflake's Kafka connector without schematization.
    Variant,
    /// `ID` and `DATA` (the whole message), with the log's own columns.
    IdData,
}

/// What stands beside the landing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableMode {
    /// Nothing: the log is the product.
    Append,
    /// A view that shows the current rows of the log.
    View,
    /// A table that merges keep current.
    Merge,
}

/// What a delete leaves in a merged table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteMode {
    /// Nothing, once no older change of the row can arrive any more.
    Hard,
    /// The row, with `_DELETED` true.
    Soft,
}

/// What to do with a record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Stop its topic-partition.
    Stop,
    /// Write it to the dead letter topic and go on.
    DeadLetter,
}

/// What to do when the destination rejected rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// Stop the topic-partition.
    Stop,
    /// Take the rejections counted so far as known (they stay in the error table) and stop on new ones.
    AcceptKnown,
}

/// What a record without value means in typed landings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstones {
    /// A delete after unwrapped rows without `__deleted`, otherwise a compaction hint.
    Auto,
    /// Always a compaction hint.
    Ignore,
    /// Always a delete.
    Delete,
}

/// How the writer of schemaless events wrote some types: Debezium's modes and their defaults.
#[derive(Debug, Clone, Copy)]
pub struct Modes {
    /// `decimal.handling.mode`.
    pub decimal: DecimalMode,
    /// `time.precision.mode`.
    pub time: TimeMode,
    /// `binary.handling.mode`.
    pub binary: BytesNotation,
}

impl Default for Modes {
    fn default() -> Self {
        Modes { decimal: DecimalMode::Precise, time: TimeMode::Adaptive, binary: BytesNotation::Base64 }
    }
}

/// `decimal.handling.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalMode {
    /// Base64 bytes.
    Precise,
    /// Plain text.
    String,
    /// A JSON number.
    Double,
}

/// `time.precision.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeMode {
    /// Milliseconds up to precision 3, else microseconds.
    Adaptive,
    /// As adaptive, but times of day always in microseconds.
    AdaptiveTimeMicroseconds,
    /// Milliseconds.
    Connect,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
    /// ISO 8601 text.
    IsoString,
}

/// Which members RECORD_METADATA has: Snowflake's `snowflake.metadata.*`.
#[derive(Debug, Clone, Copy)]
pub struct Metadata {
    /// `CreateTime`.
    pub create_time: bool,
    /// `topic`.
    pub topic: bool,
    /// `offset` and `partition`.
    pub offset_and_partition: bool,
    /// Land records without value too, as `{}`.
    pub land_null_values: bool,
    /// Land the whole value, with the level `payload` (`value.converter.schemas.enable=false`).
    pub whole_value: bool,
}

impl Default for Metadata {
    fn default() -> Self {
        Metadata {
            create_time: true,
            topic: true,
            offset_and_partition: true,
            land_null_values: true,
            whole_value: true,
        }
    }
}
