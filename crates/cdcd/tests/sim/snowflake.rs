//! A model of Snowflake: channels that an open takes over, tokens that pass rejected rows, commits that come later,
//! a merge that happens as a whole or not at all.

use std::collections::{BTreeMap, VecDeque};

use cdcd_sink::destination::{
    Channel, ChannelStatus, DestinationError, ErrorKind, RowBatch, StoredType, TableColumn, TablePlan,
};
use cdcd_sink::merge::{LedgerAnswer, LedgerRow, MergePlan};
use cdcd_sink::row::column;
use serde_json::{Map, Value};

use crate::bugs::Bug;
use crate::time::Nanos;

/// A row of a landing table.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogRow {
    pub(crate) op: String,
    pub(crate) seq: String,
    pub(crate) offset: String,
    unchanged: String,
    id: i32,
    v: Option<String>,
    big: Option<String>,
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
    rows: Vec<LogRow>,
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
}

#[derive(Debug, Default)]
pub(crate) struct Landing {
    columns: Option<Vec<TableColumn>>,
    pub(crate) rows: Vec<LogRow>,
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
                    self.rejected.extend(batch.rows.pop().map(|row| row.offset));
                }
                channel.inserted += batch.rows.len() as u64;
                channel.token = Some(batch.token.clone());
                let offsets = batch.rows.iter().map(|row| row.offset.clone()).collect();
                landed.push(Landed { channel: name.clone(), offsets, token: batch.token });
                self.landing.entry(channel.table.clone()).or_default().rows.extend(batch.rows);
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
    pub(crate) fn open(&mut self, process: usize, channel: &Channel, bug: Option<Bug>) -> ChannelStatus {
        let open = self.channels.entry(channel.name.clone()).or_default();
        open.table.clone_from(&channel.table);
        open.takeovers += u32::from(open.owner.is_some_and(|(owner, _)| owner != process));
        if bug != Some(Bug::ZombieAppends) {
            open.owner = Some((process, channel.epoch));
            open.buffered.clear();
        }
        (open.accepted, open.is_invalid) = (None, false);
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
        if !is_owner || open.is_invalid {
            return Err(stale());
        }
        if open.accepted.as_ref() == Some(&batch.end_token) && bug != Some(Bug::AppendedTwice) {
            return Ok(());
        }
        let lines = batch.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let rows: Option<Vec<LogRow>> = lines.map(read_row).collect();
        let rows = rows.ok_or_else(|| error(ErrorKind::Definite, "appending", "a row cannot be read"))?;
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

    pub(crate) fn merge(&mut self, plan: &MergePlan, bug: Option<Bug>) -> Result<(), DestinationError> {
        let table = &plan.plan.table;
        for range in &plan.ranges {
            let row = self.ledger.get(&(table.clone(), range.channel.clone()));
            let generation = row.map(|row| row.generation);
            if generation != Some(range.generation) && bug != Some(Bug::MergeWithoutSwap) {
                return Err(error(ErrorKind::Conflict, "merging", "the ledger moved on"));
            }
        }
        let Some(current) = &plan.plan.current else { return Ok(()) };
        let log = self.landing.get(table).map_or(&[][..], |landing| landing.rows.as_slice());
        let within = |row: &&LogRow| {
            plan.ranges.iter().any(|range| row.offset > range.after && row.offset <= range.upto)
        };
        let mut rows: Vec<&LogRow> = log.iter().filter(within).collect();
        rows.sort_by(|a, b| (&a.seq, &a.offset).cmp(&(&b.seq, &b.offset)));
        let newest = rows.iter().filter(|row| row.op == "t").map(|row| &row.seq).max();
        let truncated = self.truncated.entry(table.clone()).or_default();
        if let Some(newest) = newest.filter(|newest| *newest > truncated) {
            truncated.clone_from(newest);
        }
        let local = String::new();
        let truncated =
            if bug == Some(Bug::TruncateForgotten) { newest.unwrap_or(&local) } else { truncated };
        let target = self.targets.entry(current.name.clone()).or_default();
        if bug == Some(Bug::LastRowOnly) {
            let mut last = BTreeMap::new();
            rows.iter().filter(|row| row.op != "t").for_each(|row| {
                last.insert(row.id, *row);
            });
            rows = last.into_values().collect();
        }
        for row in rows.into_iter().filter(|row| row.op != "t" && row.seq > *truncated) {
            apply(target, row, bug);
        }
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

fn read_row(line: &[u8]) -> Option<LogRow> {
    let mut row: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let mut text = |name: &str| match row.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    Some(LogRow {
        op: text(column::OP)?,
        seq: text(column::SEQ)?,
        offset: text(column::OFFSET)?,
        unchanged: text(column::UNCHANGED).unwrap_or_default(),
        id: text("ID").and_then(|id| id.parse().ok()).unwrap_or(-1),
        v: text("V"),
        big: text("BIG"),
    })
}

/// One log row onto the merged table; rows come in order.
fn apply(target: &mut BTreeMap<i32, TargetRow>, row: &LogRow, bug: Option<Bug>) {
    let old = target.get(&row.id);
    let is_older = old.is_some_and(|old| old.seq >= row.seq);
    if is_older && bug != Some(Bug::OrderByArrival) {
        return;
    }
    if row.op == "d" {
        if bug == Some(Bug::DeleteForgetsOrder) {
            target.remove(&row.id);
        } else if let Some(old) = target.get_mut(&row.id) {
            (old.deleted, old.seq) = (true, row.seq.clone());
        } else {
            let mark = TargetRow { v: None, big: None, seq: row.seq.clone(), deleted: true };
            target.insert(row.id, mark);
        }
        return;
    }
    let keeps = |name: &str| row.unchanged.contains(&format!(",{name},"));
    let big = if keeps("BIG") { old.and_then(|old| old.big.clone()) } else { row.big.clone() };
    let new = TargetRow { v: row.v.clone(), big, seq: row.seq.clone(), deleted: false };
    target.insert(row.id, new);
}
