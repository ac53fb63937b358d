//! What one merge does: which log rows, onto which table, under which ledger generation.

use crate::config::DeleteMode;
use crate::destination::TablePlan;

/// One merge of a log into its current-state table. All in one transaction:
///
/// 1. compare-and-swap the ledger row of every range (`generation` must be unchanged), else nothing happens;
/// 2. take the log rows in `(after, upto]` of each range, drop those below the newest truncate;
/// 3. where the range holds a row that is older than the table's row of its key (partitions were added, and the key
///    has moved), each column takes the newest value that the log knows of it up to the table's `_SEQ`;
/// 4. per key the row with the highest `_SEQ` wins; a column that it does not know (`_UNCHANGED`) takes the newest
///    known value in the range, else stays as it is in the table;
/// 5. apply where it is newer than the table's row; a delete marks the row;
/// 6. remove rows below the newest truncate, and marked rows if deletes are hard. What was removed is remembered beside
///    the table, so that an older change that comes late brings nothing back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePlan {
    /// Unique per attempt; proves whose compare-and-swap succeeded.
    pub id: String,
    /// Log and target.
    pub plan: TablePlan,
    /// What a delete leaves.
    pub deletes: DeleteMode,
    /// Which log rows.
    pub ranges: Vec<MergeRange>,
}

/// The log rows of one channel that a merge takes: `_OFFSET` in `(after, upto]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRange {
    /// The channel, which is the ledger's key.
    pub channel: String,
    /// Exclusive lower end.
    pub after: String,
    /// Inclusive upper end.
    pub upto: String,
    /// The ledger row's generation as last read.
    pub generation: u64,
}

/// What the ledger says about one channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerRow {
    /// `_OFFSET` up to which the log is merged; empty at first.
    pub merged: String,
    /// Number of merges.
    pub generation: u64,
}

/// What the ledger says about a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerAnswer {
    /// Key columns of the merged table, if it was prepared before.
    pub keys: Vec<String>,
    /// One row per channel that was asked for.
    pub rows: Vec<(String, LedgerRow)>,
}

/// `_OFFSET`: `<topic id, 8 hex>:<partition, 5 digits>:<offset, 19 digits>`, so that a range of one partition is a
/// range of texts.
pub fn offset_text(topic_tag: &str, partition: i32, offset: i64) -> String {
    format!("{topic_tag}:{partition:05}:{offset:019}")
}

/// A text below every [`offset_text`] of the partition.
pub fn offset_floor(topic_tag: &str, partition: i32) -> String {
    format!("{topic_tag}:{partition:05}:")
}
