//! Counters that the binary exports.

/// What a capture has done since it started. Only grows, except where it says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Replication messages decoded.
    pub messages: u64,
    /// Bytes of these messages.
    pub message_bytes: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// `c` events.
    pub creates: u64,
    /// `u` events.
    pub updates: u64,
    /// `d` events.
    pub deletes: u64,
    /// `t` events.
    pub truncates: u64,
    /// `r` events.
    pub reads: u64,
    /// Records written, tombstones and heartbeats included.
    pub records: u64,
    /// Changes of tables that are not captured, or of skipped operations.
    pub filtered: u64,
    /// Values written as null because they could not be converted (`event.converting.failure.handling.mode`).
    pub conversion_failures: u64,
    /// Commit time of the last transaction, µs since 1970; 0 before the first. A gauge.
    pub last_commit_at_us: i64,
}

impl Stats {
    /// All change events.
    pub fn events(&self) -> u64 {
        self.creates + self.updates + self.deletes + self.truncates + self.reads
    }
}
