//! What goes in and comes out of the sink: facts, actions, and reasons to stop.

use crate::destination::{Channel, RowBatch, TableColumn, TablePlan};
use crate::dlq::DeadLetter;
use crate::merge::MergePlan;
use crate::offset_token::TopicId;
use cdcd_debezium::record::Record;
use std::sync::Arc;

/// An owned partition, for the time of one assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// What is known of a partition when it is assigned.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
    /// The topic's id.
    pub topic_id: TopicId,
    /// Base name of the table that it lands in.
    pub table: String,
    /// First offset in the log.
    pub low: i64,
    /// End of the log now.
    pub high: i64,
    /// Where to start without a token: the group's offset, else by `auto.offset.reset`.
    pub initial: i64,
    /// What the consumer group has committed.
    pub group: Option<GroupOffset>,
    /// Partitions of the topic now.
    pub partitions: i32,
    /// Metadata of all that the group has committed for partitions of the topic: a partition that was added since the
    /// group came to it begins at offset 0, or not at all.
    pub topic_commits: Arc<[String]>,
}

/// A consumer group's commit for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// Next offset to read.
    pub offset: i64,
    /// Metadata of the commit: ours names the topic's id.
    pub metadata: String,
}

/// One fetched record.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Which assignment it belongs to.
    pub id: PartitionId,
    /// The epoch of the [`Action::Start`] that it was fetched under.
    pub epoch: u64,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Kafka's timestamp, milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// Key, value and headers.
    pub record: Record<'a>,
}

/// Why a partition stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReason {
    /// Who is to act.
    pub kind: StopKind,
    /// What happened, without row values.
    pub message: String,
}

impl StopReason {
    pub(crate) fn guard(name: &'static str, message: impl Into<String>) -> Self {
        StopReason { kind: StopKind::Guard(name), message: message.into() }
    }
}

/// Who is to act on a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    /// Going on could lose or tear data: the named guard.
    Guard(&'static str),
    /// The configuration or the rights.
    Config,
    /// A dependency stayed away.
    Dependency,
}

/// Columns of a landing table and of its merged table, where they exist.
#[derive(Debug, Clone, Default)]
pub struct Described {
    /// The landing table's.
    pub landing: Option<Vec<TableColumn>>,
    /// The merged table's.
    pub current: Option<Vec<TableColumn>>,
}

/// Work for whoever drives the sink.
#[derive(Debug)]
pub enum Action {
    /// Ask for the columns of a landing table; answer with [`Sink::handle_described`].
    Describe {
        /// Key for the answer.
        table: String,
        /// The landing table's name.
        landing: String,
        /// The merged table's name, if there is to be one: its columns tell types too.
        current: Option<String>,
    },
    /// Make or alter a table; answer with [`Sink::handle_prepared`].
    Prepare {
        /// Key for the answer.
        table: String,
        /// What to make.
        plan: TablePlan,
    },
    /// Open a channel; answer with [`Sink::handle_opened`].
    Open {
        /// Whose channel.
        id: PartitionId,
        /// The channel.
        channel: Channel,
    },
    /// Fetch from `offset`; tag what comes with `epoch`. Also ends a pause.
    Start {
        /// Which partition.
        id: PartitionId,
        /// Tag for the records.
        epoch: u64,
        /// First offset.
        offset: i64,
    },
    /// Send a batch; answer with [`Sink::handle_appended`].
    Append {
        /// Whose batch.
        id: PartitionId,
        /// The batch.
        batch: RowBatch,
    },
    /// Ask for committed tokens; answer with [`Sink::handle_statuses`].
    Statuses {
        /// Key for the answer.
        table: String,
        /// The channels.
        channels: Vec<Channel>,
    },
    /// Ask Kafka where the log begins and ends now; answer with [`Sink::handle_log_end`].
    LogEnd {
        /// Which partition.
        id: PartitionId,
        /// Epoch for the answer.
        epoch: u64,
    },
    /// Hold back records of a partition.
    Pause(PartitionId),
    /// Deliver them again.
    Resume(PartitionId),
    /// Write a dead letter; answer with [`Sink::handle_dead_lettered`].
    DeadLetter {
        /// Whose record.
        id: PartitionId,
        /// Epoch for the answer.
        epoch: u64,
        /// The letter.
        letter: DeadLetter,
    },
    /// Commit the group's offset; no answer is needed.
    Commit {
        /// Which partition.
        id: PartitionId,
        /// Next offset to read.
        offset: i64,
        /// Metadata: names the topic's id.
        metadata: String,
    },
    /// Read the merge ledger; answer with [`Sink::handle_ledger`].
    Ledger {
        /// Key for the answer.
        table: String,
        /// The table.
        plan: TablePlan,
        /// The channels.
        channels: Vec<String>,
    },
    /// Merge; answer with [`Sink::handle_merged`].
    Merge {
        /// Key for the answer.
        table: String,
        /// What to do.
        plan: MergePlan,
    },
    /// A partition stopped for good. No answer.
    Stopped {
        /// Which.
        id: PartitionId,
        /// Why.
        reason: StopReason,
    },
}
