//! A model of Snowflake: channels that an open takes over, tokens that pass rejected rows, commits that come later,
//! a merge that happens as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::rc::Rc;

use cdcd_sink::destination::{
    Channel, ChannelStatus, DestinationError, ErrorKind, RowBatch, StoredType, TableColumn, TablePlan,
};
use cdcd_sink::merge::{LedgerAnswer, LedgerRow, MergePlan, MergeRange};
use cdcd_sink::offset_token::OffsetToken;
use serde::Deserialize;

use crate::bugs::Bug;
use crate::time::Nanos;

/// A row of a landing table.
#[derive(Debug, Deserialize)]
pub(crate) struct LogRow {
    #[serde(rename = "_OP")]
    op: String,
    #[serde(rename = "_SEQ")]
    seq: String,
    #[serde(rename = "_OFFSET")]
    offset: String,
    #[serde(rename = "_UNCHANGED", default)]
    unchanged: String,
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(rename = "V")]
    v: Option<String>,
    #[serde(rename = "BIG")]
    big: Option<String>,
}

impl LogRow {
    fn place(&self) -> (&str, &str) {
        (&self.seq, &self.offset)
    }

    /// Whether it is of a row: a truncate is not.
    fn is_row(&self) -> bool {
        self.op != "t"
    }

    fn key(&self) -> i32 {
        self.id.parse().unwrap_or(-1)
    }

    fn leaves_out_big(&self) -> bool {
        self.unchanged.contains(",BIG,")
    }
}

/// A row of a merged table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetRow {
    pub(crate) v: Option<String>,
    pub(crate) big: Option<String>,
    seq: String,
    pub(crate) deleted: bool,
}

#[derive(Debug)]
struct Buffered {
    rows: Vec<Rc<LogRow>>,
    token: String,
    commit_at: Nanos,
}

#[derive(Debug, Default)]
struct Open {
    table: String,
    /// Who opened it last: process and epoch. Anybody else's appends are refused.
    owner: Option<(usize, u64)>,
    token: Option<String>,
    inserted: u64,
    errors: u64,
    buffered: VecDeque<Buffered>,
    accepted: Option<String>,
    is_invalid: bool,
    /// How often another process took the channel over.
    takeovers: u32,
    /// Tokens that were committed.
    earlier: Vec<String>,
    /// Process and assignment that opened it last.
    holder: (usize, u32),
    twisted: Option<Twisted>,
}

/// What a commit does to a row without counting it as an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twist {
    Double,
    Lose,
}

/// A commit that did so, and the first open behind it.
#[derive(Debug)]
struct Twisted {
    at: Nanos,
    holder: (usize, u32),
    opened: Option<(Nanos, (usize, u32))>,
}

#[derive(Debug, Default)]
pub(crate) struct Landing {
    columns: Option<Vec<TableColumn>>,
    /// By `_OFFSET`; where a bug writes rows twice, several of one.
    by_offset: BTreeMap<String, Vec<Rc<LogRow>>>,
    by_key: BTreeMap<i32, Vec<Rc<LogRow>>>,
}

impl Landing {
    fn add(&mut self, row: Rc<LogRow>) {
        if row.is_row() {
            self.by_key.entry(row.key()).or_default().push(Rc::clone(&row));
        }
        self.by_offset.entry(row.offset.clone()).or_default().push(row);
    }

    /// Rows in the ranges of a merge, in the order of the source.
    fn within(&self, plan: &MergePlan) -> Vec<&LogRow> {
        let range = |range: &MergeRange| {
            let from = Bound::Excluded(range.after.clone());
            self.by_offset.range((from, Bound::Included(range.upto.clone()))).flat_map(|(_, rows)| rows)
        };
        let mut rows: Vec<&LogRow> = plan.ranges.iter().flat_map(range).map(Rc::as_ref).collect();
        rows.sort_by_key(|row| row.place());
        rows
    }

    /// The newest row of a key behind `after` and up to `upto` that says what the column is.
    fn newest(&self, id: i32, after: &str, upto: &str, says: impl Fn(&LogRow) -> bool) -> Option<&LogRow> {
        let rows = self.by_key.get(&id)?.iter().map(Rc::as_ref);
        let between = rows.filter(|row| row.seq.as_str() > after && row.seq.as_str() <= upto);
        between.filter(|row| row.op != "d" && says(row)).max_by_key(|row| row.place())
    }
}

/// What a commit brought: channel, rows, token.
pub(crate) struct Landed {
    pub(crate) channel: String,
    pub(crate) offsets: Vec<String>,
    pub(crate) token: String,
}

#[derive(Debug, Default)]
pub(crate) struct Snowflake {
    channels: BTreeMap<String, Open>,
    pub(crate) landing: BTreeMap<String, Landing>,
    pub(crate) targets: BTreeMap<String, BTreeMap<i32, TargetRow>>,
    keys: BTreeMap<String, Vec<String>>,
    ledger: BTreeMap<(String, String), LedgerRow>,
    truncated: BTreeMap<String, String>,
    pub(crate) down_until: Nanos,
    /// The next batch loses its last row.
    pub(crate) reject_next: bool,
    /// The next batch is twisted.
    pub(crate) twist_next: Option<Twist>,
    /// The next append is refused.
    pub(crate) refuse_next: Option<ErrorKind>,
    /// Somebody opens each channel before an append.
    pub(crate) channels_contended: bool,
    /// Somebody moves the ledger before each merge.
    pub(crate) ledger_contended: bool,
    /// When a merge of a table failed first for that reason.
    pub(crate) conflicts: BTreeMap<String, Nanos>,
    /// Rows that are in no table, and will not be.
    pub(crate) rejected: Vec<String>,
}

fn error(kind: ErrorKind, what: &str, message: &str) -> DestinationError {
    DestinationError::new(kind, what, message)
}

impl Snowflake {
    pub(crate) fn is_up(&self, now: Nanos) -> bool {
        now >= self.down_until
    }

    /// Commits what is due.
    pub(crate) fn settle(&mut self, now: Nanos) -> Vec<Landed> {
        let mut landed = Vec::new();
        for (name, channel) in &mut self.channels {
            while channel.buffered.front().is_some_and(|batch| batch.commit_at <= now) {
                let Some(mut batch) = channel.buffered.pop_front() else { break };
                if self.reject_next && batch.rows.len() > 1 {
                    self.reject_next = false;
                    channel.errors += 1;
                    self.rejected.extend(batch.rows.pop().map(|row| row.offset.clone()));
                }
                let twist = self.twist_next.take_if(|_| batch.rows.len() > 1);
                if twist == Some(Twist::Lose) {
                    self.rejected.extend(batch.rows.pop().map(|row| row.offset.clone()));
                }
                channel.inserted += batch.rows.len() as u64 + u64::from(twist == Some(Twist::Double));
                channel.twisted = channel.twisted.take().or_else(|| {
                    let holder = channel.holder;
                    twist.map(|_| Twisted { at: now, holder, opened: None })
                });
                channel.token = Some(batch.token.clone());
                channel.earlier.push(batch.token.clone());
                let offsets = batch.rows.iter().map(|row| row.offset.clone()).collect();
                landed.push(Landed { channel: name.clone(), offsets, token: batch.token });
                let landing = self.landing.entry(channel.table.clone()).or_default();
                if let Some(row) = batch.rows.last().filter(|_| twist == Some(Twist::Double)) {
                    landing.add(Rc::clone(row));
                }
                batch.rows.into_iter().for_each(|row| landing.add(row));
            }
        }
        landed
    }

    /// The merged tables exist from the start: the connector took them over.
    pub(crate) fn describe(&self, table: &str) -> Option<Vec<TableColumn>> {
        if table.ends_with("__LOG") {
            return self.landing.get(table).and_then(|landing| landing.columns.clone());
        }
        let column = |name: &str, stored| TableColumn { name: name.to_owned(), stored };
        let number = StoredType::Number { precision: 38, scale: 0 };
        Some(vec![column("ID", number), column("V", StoredType::Text), column("BIG", StoredType::Text)])
    }

    pub(crate) fn prepare(&mut self, plan: &TablePlan) {
        self.landing.entry(plan.table.clone()).or_default().columns = Some(plan.columns.clone());
        if let Some(current) = &plan.current {
            self.keys.insert(plan.table.clone(), current.keys.clone());
        }
    }

    /// Raises the sequencer: older writers are refused, and what they have not committed is dropped.
    pub(crate) fn open(
        &mut self,
        holder: (usize, u32),
        channel: &Channel,
        now: Nanos,
        bug: Option<Bug>,
    ) -> ChannelStatus {
        let process = holder.0;
        let open = self.channels.entry(channel.name.clone()).or_default();
        open.table.clone_from(&channel.table);
        open.takeovers += u32::from(open.owner.is_some_and(|(owner, _)| owner != process));
        if bug != Some(Bug::ZombieAppends) {
            open.owner = Some((process, channel.epoch));
            open.buffered.clear();
        }
        if let Some(twisted) = &mut open.twisted {
            // Who must open takes the counts as they are, however late.
            twisted.opened.get_or_insert((if open.is_invalid { twisted.at } else { now }, holder));
        }
        (open.accepted, open.is_invalid) = (None, false);
        open.holder = holder;
        status(open)
    }

    pub(crate) fn append(
        &mut self,
        process: usize,
        batch: &RowBatch,
        commit_at: Nanos,
        bug: Option<Bug>,
    ) -> Result<(), DestinationError> {
        let stale = || error(ErrorKind::Reopen, "appending", "STALE_CONTINUATION_TOKEN_SEQUENCER");
        let open = self.channels.get_mut(&batch.channel.name).ok_or_else(stale)?;
        let is_owner = open.owner == Some((process, batch.channel.epoch)) || bug == Some(Bug::ZombieAppends);
        if self.channels_contended {
            (open.owner, open.takeovers) = (Some((usize::MAX, 0)), open.takeovers + 1);
            open.buffered.clear();
            return Err(stale());
        }
        if !is_owner || open.is_invalid {
            return Err(stale());
        }
        if open.accepted.as_ref() == Some(&batch.end_token) && bug != Some(Bug::AppendedTwice) {
            return Ok(());
        }
        if let Some(kind) = self.refuse_next.take() {
            return Err(error(kind, "appending", "refused"));
        }
        let lines = batch.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let rows: Result<Vec<Rc<LogRow>>, _> =
            lines.map(|line| serde_json::from_slice(line).map(Rc::new)).collect();
        let rows = rows.map_err(|why| error(ErrorKind::Definite, "appending", &why.to_string()))?;
        let earliest = open.buffered.back().map_or(0, |batch| batch.commit_at);
        let commit_at = commit_at.max(earliest);
        open.buffered.push_back(Buffered { rows, token: batch.end_token.clone(), commit_at });
        open.accepted = Some(batch.end_token.clone());
        Ok(())
    }

    pub(crate) fn statuses(&self, channels: &[Channel]) -> Vec<(String, ChannelStatus)> {
        let status = |channel: &Channel| {
            let open = self.channels.get(&channel.name)?;
            Some((channel.name.clone(), status(open)))
        };
        channels.iter().filter_map(status).collect()
    }

    /// A fail-over: channels must be opened again, and what was not committed is gone.
    pub(crate) fn invalidate(&mut self) {
        for open in self.channels.values_mut() {
            open.is_invalid = true;
            open.buffered.clear();
        }
    }

    /// Somebody else wrote through our channels.
    pub(crate) fn overwrite_tokens(&mut self, token: &str) {
        for open in self.channels.values_mut() {
            open.token = Some(token.to_owned());
            open.is_invalid = true;
            open.buffered.clear();
        }
    }

    /// The channel is as it was at a token before `durable`. `true` if there was one.
    pub(crate) fn go_back(&mut self, channel: &str, durable: i64, invalid: bool) -> bool {
        let Some(open) = self.channels.get_mut(channel) else { return false };
        let is_before =
            |token: &&String| token.parse::<OffsetToken>().is_ok_and(|token| token.offset < durable);
        let Some(token) = open.earlier.iter().rev().find(is_before) else { return false };
        open.token = Some(token.clone());
        if invalid {
            (open.is_invalid, open.accepted) = (true, None);
            open.buffered.clear();
        }
        true
    }

    /// Forgets a channel that has nothing to commit, and whose token the group's offset `next` has passed.
    pub(crate) fn forget(&mut self, channel: &str, next: i64) -> bool {
        let Some(open) = self.channels.get_mut(channel).filter(|open| open.buffered.is_empty()) else {
            return false;
        };
        let token = open.token.as_ref().and_then(|token| token.parse::<OffsetToken>().ok());
        if token.is_none_or(|token| token.offset >= next) {
            return false;
        }
        *open = Open { table: std::mem::take(&mut open.table), is_invalid: true, ..Open::default() };
        true
    }

    pub(crate) fn is_twisted(&self, channel: &str) -> bool {
        self.channels.get(channel).is_some_and(|open| open.twisted.is_some())
    }

    /// Whether a row was doubled or lost that long before `now`, and whoever sent it has had the time to see it.
    pub(crate) fn must_tell(&self, channel: &str, now: Nanos, deadline: Nanos) -> bool {
        let Some(twisted) = self.channels.get(channel).and_then(|open| open.twisted.as_ref()) else {
            return false;
        };
        // An open takes the counts as they are: of what was before it nothing is known any more.
        let in_time =
            twisted.opened.is_none_or(|(at, holder)| holder == twisted.holder && at - twisted.at >= deadline);
        in_time && now - twisted.at > 3 * deadline
    }

    pub(crate) fn token(&self, channel: &str) -> Option<&str> {
        self.channels.get(channel)?.token.as_deref()
    }

    pub(crate) fn takeovers(&self, channel: &str) -> u32 {
        self.channels.get(channel).map_or(0, |open| open.takeovers)
    }

    pub(crate) fn errors(&self) -> u64 {
        self.channels.values().map(|open| open.errors).sum()
    }

    pub(crate) fn ledger(&mut self, plan: &TablePlan, channels: &[String]) -> LedgerAnswer {
        let row = |channel: &String| {
            let row = self.ledger.entry((plan.table.clone(), channel.clone())).or_default();
            (channel.clone(), row.clone())
        };
        let rows = channels.iter().map(row).collect();
        LedgerAnswer { keys: self.keys.get(&plan.table).cloned().unwrap_or_default(), rows }
    }

    pub(crate) fn merge(
        &mut self,
        plan: &MergePlan,
        now: Nanos,
        bug: Option<Bug>,
    ) -> Result<(), DestinationError> {
        let table = &plan.plan.table;
        if self.ledger_contended {
            let current = plan.plan.current.as_ref().map_or(table, |current| &current.name);
            self.conflicts.entry(current.clone()).or_insert(now);
            for range in &plan.ranges {
                self.ledger.entry((table.clone(), range.channel.clone())).or_default().generation += 1;
            }
        }
        for range in &plan.ranges {
            let row = self.ledger.get(&(table.clone(), range.channel.clone()));
            let generation = row.map(|row| row.generation);
            if generation != Some(range.generation) && bug != Some(Bug::MergeWithoutSwap) {
                return Err(error(ErrorKind::Conflict, "merging", "the ledger moved on"));
            }
        }
        let Some(current) = &plan.plan.current else { return Ok(()) };
        let log = self.landing.entry(table.clone()).or_default();
        let mut rows = log.within(plan);
        let newest = rows.iter().filter(|row| !row.is_row()).map(|row| &row.seq).max();
        let truncated = self.truncated.entry(table.clone()).or_default();
        if let Some(newest) = newest.filter(|newest| *newest > truncated) {
            truncated.clone_from(newest);
        }
        let local = String::new();
        let truncated =
            if bug == Some(Bug::TruncateForgotten) { newest.unwrap_or(&local) } else { truncated };
        rows.retain(|row| row.is_row() && row.seq > *truncated);
        let target = self.targets.entry(current.name.clone()).or_default();
        if bug != Some(Bug::LateValueForgotten) {
            fill_late(target, log, &rows, truncated);
        }
        if bug == Some(Bug::LastRowOnly) {
            let last: BTreeMap<i32, &LogRow> = rows.iter().map(|row| (row.key(), *row)).collect();
            rows = last.into_values().collect();
        }
        rows.into_iter().for_each(|row| apply(target, row, bug));
        // A deleted row stays as the mark that keeps older changes out; hard deletes only hide it.
        target.retain(|_, row| row.seq >= *truncated);
        for range in &plan.ranges {
            let row = LedgerRow { merged: range.upto.clone(), generation: range.generation + 1 };
            self.ledger.insert((table.clone(), range.channel.clone()), row);
        }
        Ok(())
    }
}

fn status(open: &Open) -> ChannelStatus {
    ChannelStatus {
        problem: open.is_invalid.then(|| "INVALID".to_owned()),
        token: open.token.clone(),
        rows_inserted: Some(open.inserted),
        rows_error_count: open.errors,
        last_error: (open.errors > 0).then(|| "numeric value is out of range".to_owned()),
        last_error_upper_bound: open.token.clone(),
    }
}

/// Rows that come later than a newer one of their key: what the newer one did not know is told by the log.
fn fill_late(target: &mut BTreeMap<i32, TargetRow>, log: &Landing, rows: &[&LogRow], truncated: &str) {
    let is_late = |row: &&LogRow| target.get(&row.key()).is_some_and(|known| row.seq < known.seq);
    let late: BTreeSet<i32> = rows.iter().copied().filter(is_late).map(LogRow::key).collect();
    for id in late {
        let Some(known) = target.get_mut(&id) else { continue };
        if let Some(row) = log.newest(id, truncated, &known.seq, |_| true) {
            known.v.clone_from(&row.v);
        }
        if let Some(row) = log.newest(id, truncated, &known.seq, |row| !row.leaves_out_big()) {
            known.big.clone_from(&row.big);
        }
    }
}

/// One log row onto the merged table; rows come in order.
fn apply(target: &mut BTreeMap<i32, TargetRow>, row: &LogRow, bug: Option<Bug>) {
    let id = row.key();
    let old = target.get(&id);
    let is_older = old.is_some_and(|old| old.seq >= row.seq);
    if is_older && bug != Some(Bug::OrderByArrival) {
        return;
    }
    if row.op == "d" {
        if bug == Some(Bug::DeleteForgetsOrder) {
            target.remove(&id);
        } else if let Some(old) = target.get_mut(&id) {
            (old.deleted, old.seq) = (true, row.seq.clone());
        } else {
            let mark = TargetRow { v: None, big: None, seq: row.seq.clone(), deleted: true };
            target.insert(id, mark);
        }
        return;
    }
    let big = if row.leaves_out_big() { old.and_then(|old| old.big.clone()) } else { row.big.clone() };
    let new = TargetRow { v: row.v.clone(), big, seq: row.seq.clone(), deleted: false };
    target.insert(id, new);
}
