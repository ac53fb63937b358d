//! Counters of one sink. Plain data: whoever runs the sink exports them.

/// Counters since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records handed in that were not old ones.
    pub records: u64,
    /// Bytes of their keys and values.
    pub record_bytes: u64,
    /// Records dropped because a channel had already committed them.
    pub duplicates: u64,
    /// Heartbeats, transaction markers, logical messages and tombstones.
    pub skipped: u64,
    /// Records written to the dead letter topic.
    pub dead_letters: u64,
    /// Rows put into batches.
    pub rows: u64,
    /// Batches accepted.
    pub batches: u64,
    /// Bytes of accepted batches, before compression.
    pub batch_bytes: u64,
    /// Rows that became durable.
    pub rows_durable: u64,
    /// Channels opened again.
    pub reopens: u64,
    /// Merges that committed.
    pub merges: u64,
    /// Tables made or altered.
    pub prepares: u64,
    /// Partitions that stopped.
    pub stopped: u64,
    /// Partitions owned now.
    pub partitions: u64,
    /// Rows in batches that are not durable yet.
    pub rows_pending: u64,
    /// Records between the newest durable one and the end of the log, as last told.
    pub lag_records: u64,
}
