//! One topic-partition and its channel: opening -> ready -> appending -> durable.

use crate::action::{Action, Assignment, PartitionId, StopReason};
use crate::config::{Config, Landing};
use crate::destination::{Channel, ChannelStatus, RowBatch};
use crate::group::{CommitMetadata, first_partitions};
use crate::merge::offset_text;
use crate::offset_token::{OffsetToken, TopicId, channel_name};
use crate::validation::{Baseline, Doubt, Identity, check_rejected, check_rows, read_token};
use cdcd_debezium::event::{EventReader, Shape};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The table is not usable yet.
    WaitTable,
    /// Reading only to learn the schema that the table will be made from.
    Learning,
    /// The channel is being opened.
    Opening,
    /// Rows flow.
    Ready,
    /// The table must change first: what was sent becomes durable, then the channel is opened again.
    Draining,
    /// Stopped for good.
    Stopped(StopReason),
}

/// Batches that were closed but not accepted yet; more of them pause the partition. Two: one on the wire, one ready.
pub(crate) const PENDING_BATCHES_MAX: usize = 2;

/// Batches that were accepted but are not durable yet; more of them pause the partition. At 3.8 MB each it is
/// about a minute of the 20 MB/s that a channel takes.
const UNDURABLE_BATCHES_MAX: usize = 256;

/// Opens in a row without progress before the partition stops, as in Snowflake's own connector.
const REOPENS_MAX: u32 = 5;

/// A batch that was accepted.
#[derive(Debug)]
struct Undurable {
    first_offset: i64,
    token: OffsetToken,
    accepted_at: Duration,
}

/// The batch that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Building {
    pub(crate) body: Vec<u8>,
    pub(crate) rows: u32,
    pub(crate) first_offset: i64,
    pub(crate) opened_at: Duration,
}

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) topic_id: TopicId,
    pub(crate) tag: String,
    pub(crate) table: String,
    pub(crate) phase: Phase,
    pub(crate) epoch: u64,
    pub(crate) reader: EventReader,
    pub(crate) shape: Option<Shape>,
    /// Highest LSN met.
    pub(crate) lsn: u64,
    lineage: u32,
    channel_name: String,
    low: i64,
    high: i64,
    /// Where to start without a token.
    pub(crate) initial: i64,
    first_partitions: i32,
    /// Next offset to read; everything before it is in a batch, durable, or not to be landed.
    pub(crate) position: i64,
    /// The end of the log as of the start was reached.
    pub(crate) at_end: bool,
    /// Newest durable offset by the channel's token.
    pub(crate) durable: Option<i64>,
    /// The same as a row's `_OFFSET`.
    durable_text: String,
    /// What the group remembers of the channel's token, from before this assignment.
    remembered: Option<i64>,
    baseline: Baseline,
    rows: u64,
    durable_rows: u64,
    last_token: String,
    pub(crate) building: Building,
    pending: VecDeque<(RowBatch, OffsetToken)>,
    in_flight: Option<(i64, OffsetToken)>,
    undurable: VecDeque<Undurable>,
    pub(crate) letters: BTreeSet<i64>,
    reopens: u32,
    /// Rows were not committed in time, and the channel was opened again for it.
    pub(crate) was_overdue: bool,
    /// The token of a batch is committed, and not all of its rows were inserted.
    short: Option<Doubt>,
    pub(crate) committed: Option<i64>,
    /// The group had no offset: nobody tells whether it has taken ours.
    is_new: bool,
    pub(crate) commit_at: Duration,
    pub(crate) paused: bool,
    /// How the channel opened, while the end of the log is asked for.
    pub(crate) opened_as: Option<ChannelStatus>,
}

/// What a channel's word about its token comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// So many rows became durable.
    Durable(u64),
    /// The token is of a batch that we did not send: somebody else has the channel, or had it.
    NotOurs(i64),
}

impl Partition {
    pub(crate) fn new(assignment: &Assignment, config: &Config, epoch: u64, now: Duration) -> Self {
        let Assignment { topic, partition, topic_id, table, low, high, .. } = assignment;
        let known = first_partitions(*topic_id, assignment.topic_commits.iter().map(String::as_str));
        let is_added = assignment.group.is_none() && known.is_some_and(|known| *partition >= known);
        let initial = if is_added { 0 } else { assignment.initial };
        Partition {
            topic: Arc::clone(topic),
            partition: *partition,
            topic_id: *topic_id,
            tag: topic_id.tag(),
            table: table.clone(),
            phase: Phase::WaitTable,
            epoch,
            reader: EventReader::default(),
            shape: None,
            lsn: 0,
            lineage: config.lineage,
            channel_name: channel_name(&config.sink_id, *topic_id, config.lineage, *partition),
            low: *low,
            high: *high,
            initial,
            position: initial,
            first_partitions: known.unwrap_or(assignment.partitions),
            at_end: false,
            durable: None,
            durable_text: String::new(),
            remembered: remembered(assignment, config.lineage),
            baseline: Baseline::default(),
            rows: 0,
            durable_rows: 0,
            last_token: String::new(),
            building: Building::default(),
            pending: VecDeque::new(),
            in_flight: None,
            undurable: VecDeque::new(),
            letters: BTreeSet::new(),
            reopens: 0,
            was_overdue: false,
            short: None,
            // A group offset that exists need not be written again; an initial one is recorded once.
            committed: assignment.group.as_ref().map(|group| group.offset),
            is_new: assignment.group.is_none(),
            commit_at: now,
            paused: false,
            opened_as: None,
        }
    }

    pub(crate) fn channel(&self, table: String) -> Channel {
        Channel { table, name: self.channel_name.clone(), epoch: self.epoch }
    }

    /// Whether only the group can say where the partition began, and it may not have heard: its commits are not
    /// answered.
    pub(crate) fn may_be_unrecorded(&self) -> bool {
        self.is_new && self.durable.is_none() && !self.is_stopped()
    }

    /// Tells the group where the partition begins; to be told again at `again`.
    pub(crate) fn record_beginning(&mut self, id: PartitionId, again: Duration) -> Action {
        let is_open = matches!(self.phase, Phase::Ready | Phase::Draining);
        let offset = if is_open { self.committable() } else { self.initial };
        (self.committed, self.commit_at) = (Some(offset), again);
        Action::Commit { id, offset, metadata: self.commit_metadata() }
    }

    /// What is written beside the group's offset.
    pub(crate) fn commit_metadata(&self) -> String {
        let partitions = Some(self.first_partitions);
        let durable = self.durable.map(|offset| (self.lineage, offset));
        CommitMetadata { topic_id: self.topic_id, partitions, durable }.to_string()
    }

    pub(crate) fn channel_name(&self) -> &str {
        &self.channel_name
    }

    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped(_))
    }

    /// Forgets all that is not durable and starts a new epoch.
    pub(crate) fn begin_epoch(&mut self, epoch: u64, phase: Phase) {
        self.epoch = epoch;
        self.phase = phase;
        self.building = Building::default();
        self.pending.clear();
        self.in_flight = None;
        self.undurable.clear();
        self.letters.clear();
        self.paused = false;
        self.at_end = false;
        self.opened_as = None;
        self.short = None;
    }

    /// Whether rows of a committed token are missing: another open would not bring them.
    pub(crate) fn is_short(&self) -> bool {
        self.short.is_some()
    }

    /// Counts an open without progress; `Err` when there were too many.
    pub(crate) fn count_reopen(&mut self, why: &str) -> Result<(), StopReason> {
        self.reopens += 1;
        if self.reopens > REOPENS_MAX {
            let message = format!("the channel was opened {REOPENS_MAX} times without progress: {why}");
            return Err(StopReason::guard("E_CHANNEL_LOST", message));
        }
        Ok(())
    }

    /// Whether the channel's token lies beyond the log as we know it. What we know is as old as the assignment:
    /// whoever had the channel meanwhile may have gone further.
    pub(crate) fn is_behind(&self, status: &ChannelStatus) -> bool {
        let token = read_token(status.token.as_deref(), self.identity()).ok().flatten();
        token.is_some_and(|token| token.offset + 1 > self.high)
    }

    /// Where the log begins and ends now.
    pub(crate) fn log_ends(&mut self, low: i64, high: i64) {
        (self.low, self.high) = (low, high);
    }

    /// Takes the answer to an open: where to go on, or why not to.
    pub(crate) fn opened(&mut self, status: &ChannelStatus, accept_known: bool) -> Result<(), StopReason> {
        let token = read_token(status.token.as_deref(), self.identity()).map_err(distrust)?;
        let known = token.as_ref().map_or(0, |token| token.errors);
        if accept_known {
            self.baseline.errors = status.rows_error_count;
        } else {
            check_rejected(status, known).map_err(distrust)?;
            self.baseline.errors = status.rows_error_count;
        }
        match &token {
            Some(token) => self.continue_after(token)?,
            None if self.durable.is_some() => {
                return Err(StopReason::guard("E_CHANNEL_LOST", "the channel forgot its offset token"));
            }
            None => self.begin_at_initial()?,
        }
        self.baseline.inserted = status.rows_inserted;
        self.baseline.rows = self.rows;
        self.last_token = status.token.clone().unwrap_or_default();
        self.phase = Phase::Ready;
        Ok(())
    }

    fn continue_after(&mut self, token: &OffsetToken) -> Result<(), StopReason> {
        let from = self.durable.max(self.remembered);
        if let Some(from) = from.filter(|from| *from > token.offset) {
            return Err(distrust(Doubt::WentBack { from, to: token.offset }));
        }
        let next = token.offset + 1;
        // Not compared with our own position: before the first record that is the group's offset, which a log that
        // was cut has lost just the same.
        if next > self.high {
            let message =
                format!("the channel is at offset {} but the log ends at {}", token.offset, self.high);
            return Err(StopReason::guard("E_TOPIC_TRUNCATED", message));
        }
        if next < self.low {
            let message = format!("offsets {next} to {} were deleted before they were landed", self.low - 1);
            return Err(StopReason::guard("E_RETENTION_GAP", message));
        }
        self.is_durable(token.offset);
        self.position = next;
        self.rows = token.rows;
        self.durable_rows = token.rows;
        self.shape = self.shape.or(token.shape);
        self.lsn = self.lsn.max(token.lsn);
        Ok(())
    }

    fn begin_at_initial(&mut self) -> Result<(), StopReason> {
        if self.initial < self.low {
            let (from, upto) = (self.initial, self.low - 1);
            let message = format!(
                "offsets {from} to {upto} were deleted before they were landed; to begin behind them, give the group an \
                 offset for {}-{}",
                self.topic, self.partition
            );
            return Err(StopReason::guard("E_RETENTION_GAP", message));
        }
        if self.initial > self.high {
            let message =
                format!("the group is at offset {} but the log ends at {}", self.initial, self.high);
            return Err(StopReason::guard("E_TOPIC_TRUNCATED", message));
        }
        self.position = self.initial;
        self.rows = 0;
        self.durable_rows = 0;
        Ok(())
    }

    fn identity(&self) -> Identity {
        Identity { topic_id: self.topic_id, partition: self.partition, lineage: self.lineage }
    }

    /// Closes the batch that is being filled, if it holds rows.
    pub(crate) fn close_batch(&mut self, table: String) {
        if self.building.rows == 0 {
            return;
        }
        let building = std::mem::take(&mut self.building);
        self.rows += u64::from(building.rows);
        let token = OffsetToken {
            topic_id: self.topic_id,
            partition: self.partition,
            lineage: self.lineage,
            offset: self.position - 1,
            rows: self.rows,
            errors: self.baseline.errors,
            shape: self.shape,
            lsn: self.lsn,
        };
        let end_token = token.to_string();
        let batch = RowBatch {
            channel: self.channel(table),
            body: Arc::new(building.body),
            rows: building.rows,
            first_offset: building.first_offset,
            last_offset: token.offset,
            start_token: std::mem::replace(&mut self.last_token, end_token.clone()),
            end_token,
        };
        self.pending.push_back((batch, token));
    }

    /// The next batch to send: one at a time, and none that would pass a letter that is still under way.
    pub(crate) fn next_append(&mut self) -> Option<RowBatch> {
        if self.in_flight.is_some() || !matches!(self.phase, Phase::Ready | Phase::Draining) {
            return None;
        }
        if self.undurable.len() >= UNDURABLE_BATCHES_MAX {
            return None;
        }
        let (batch, _) = self.pending.front()?;
        if self.letters.first().is_some_and(|letter| *letter <= batch.last_offset) {
            return None;
        }
        let (batch, token) = self.pending.pop_front()?;
        self.in_flight = Some((batch.first_offset, token));
        Some(batch)
    }

    /// The batch in flight was accepted.
    pub(crate) fn accepted(&mut self, now: Duration) {
        if let Some((first_offset, token)) = self.in_flight.take() {
            self.undurable.push_back(Undurable { first_offset, token, accepted_at: now });
        }
    }

    /// Takes the channel's word about what is committed.
    pub(crate) fn committed_status(&mut self, status: &ChannelStatus) -> Result<Verdict, StopReason> {
        let token = read_token(status.token.as_deref(), self.identity()).map_err(distrust)?;
        check_rejected(status, self.baseline.errors).map_err(distrust)?;
        let Some(token) = token else {
            return match self.durable {
                Some(_) => Err(StopReason::guard("E_CHANNEL_LOST", "the channel forgot its offset token")),
                None => Ok(Verdict::Durable(0)),
            };
        };
        match self.durable {
            Some(from) if token.offset < from => {
                return Err(distrust(Doubt::WentBack { from, to: token.offset }));
            }
            Some(from) if token.offset == from => return Ok(Verdict::Durable(0)),
            _ => {}
        }
        let Some(at) = self.undurable.iter().position(|batch| batch.token == token) else {
            // The commit may overtake the answer to the append.
            let in_flight = self.in_flight.as_ref().is_some_and(|(_, sent)| *sent == token);
            return Ok(if in_flight { Verdict::Durable(0) } else { Verdict::NotOurs(token.offset) });
        };
        self.short = check_rows(status, &token, self.baseline).map_err(distrust)?;
        if self.short.is_some() {
            return Ok(Verdict::Durable(0));
        }
        let before = self.durable_rows;
        self.undurable.drain(..=at);
        self.is_durable(token.offset);
        self.durable_rows = token.rows;
        (self.reopens, self.was_overdue) = (0, false);
        Ok(Verdict::Durable(token.rows.saturating_sub(before)))
    }

    fn is_durable(&mut self, offset: i64) {
        self.durable = Some(offset);
        self.durable_text = offset_text(&self.tag, self.partition, offset);
    }

    /// The newest durable offset as a row's `_OFFSET`.
    pub(crate) fn durable_text(&self) -> Option<&str> {
        self.durable.map(|_| self.durable_text.as_str())
    }

    pub(crate) fn awaits_durability(&self) -> bool {
        !self.undurable.is_empty()
    }

    /// A batch that was waiting for too long when the channel was asked, at `asked_at`.
    pub(crate) fn overdue(&self, asked_at: Duration, deadline: Duration) -> Option<StopReason> {
        let oldest = self.undurable.front()?;
        (asked_at.saturating_sub(oldest.accepted_at) > deadline).then(|| {
            // An open would go on behind the token, without the rows.
            if let Some(doubt) = &self.short {
                return distrust(doubt.clone());
            }
            let message = format!(
                "rows from offset {} on were accepted {} s ago and are still not committed",
                oldest.first_offset,
                deadline.as_secs()
            );
            StopReason::guard("E_NOT_COMMITTED", message)
        })
    }

    /// Nothing is being built, sent or waited for.
    pub(crate) fn is_drained(&self) -> bool {
        self.building.rows == 0
            && self.pending.is_empty()
            && self.in_flight.is_none()
            && self.undurable.is_empty()
            && self.letters.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_BATCHES_MAX || self.undurable.len() >= UNDURABLE_BATCHES_MAX
    }

    pub(crate) fn is_empty_of_pending(&self) -> bool {
        self.pending.is_empty() && self.undurable.len() < UNDURABLE_BATCHES_MAX / 2
    }

    /// The offset that the group may commit: the first record that is not dealt with.
    pub(crate) fn committable(&self) -> i64 {
        let undurable = self.undurable.front().map(|batch| batch.first_offset);
        let in_flight = self.in_flight.as_ref().map(|(first, _)| *first);
        let pending = self.pending.front().map(|(batch, _)| batch.first_offset);
        let building = (self.building.rows > 0).then_some(self.building.first_offset);
        let letter = self.letters.first().copied();
        [undurable, in_flight, pending, building, letter].into_iter().flatten().min().unwrap_or(self.position)
    }

    /// Records between the newest durable one and the end of the log at the start or later.
    pub(crate) fn lag(&self) -> u64 {
        u64::try_from(self.high.max(self.position) - self.committable()).unwrap_or(0)
    }

    /// Rows that were read and are not durable yet.
    pub(crate) fn rows_pending(&self) -> u64 {
        self.rows.saturating_sub(self.durable_rows) + u64::from(self.building.rows)
    }

    pub(crate) fn learns_before_landing(&self, landing: Landing) -> bool {
        landing == Landing::Log && self.phase == Phase::Learning
    }
}

/// The newest token of this channel that the group was told of.
fn remembered(assignment: &Assignment, lineage: u32) -> Option<i64> {
    let commit = CommitMetadata::parse(&assignment.group.as_ref()?.metadata)?;
    let (of, offset) = commit.durable.filter(|_| commit.topic_id == assignment.topic_id)?;
    (of == lineage).then_some(offset)
}

fn distrust(doubt: Doubt) -> StopReason {
    let guard = match doubt {
        Doubt::Rejected { .. } => "E_ROWS_REJECTED",
        Doubt::ForeignToken => "E_FOREIGN_TOKEN",
        Doubt::WentBack { .. } => "E_TOKEN_WENT_BACK",
        Doubt::TooManyRows { .. } | Doubt::TooFewRows { .. } => "E_ROW_COUNT",
    };
    StopReason::guard(guard, doubt.to_string())
}
