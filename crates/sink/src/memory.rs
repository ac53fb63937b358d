//! A destination in memory: the model that other destinations are compared with, and the one for simulations.

use crate::config::DeleteMode;
use crate::destination::{
    Audit, Channel, ChannelStatus, Destination, DestinationError, ErrorKind, RowBatch, StoredType,
    TableColumn, TablePlan, operation_name,
};
use crate::merge::{LedgerAnswer, LedgerRow, MergePlan};
use crate::row::{RowEncoder, column};
use cdcd_debezium::event::value::{Value, ValueError, iso_date, iso_time, iso_timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A row: column name to value; NULL is absent.
pub type Row = BTreeMap<String, serde_json::Value>;

/// When accepted batches become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// At once.
    Immediate,
    /// When [`Memory::commit_one`] is called.
    OnDemand,
}

/// A destination in memory.
pub struct Memory {
    state: Mutex<State>,
    commit: Commit,
}

#[derive(Default)]
struct State {
    tables: BTreeMap<String, Table>,
    ledger: BTreeMap<(String, String), LedgerRow>,
    keys: BTreeMap<String, Vec<String>>,
}

#[derive(Default)]
struct Table {
    columns: Vec<TableColumn>,
    rows: Vec<Row>,
    channels: BTreeMap<String, MemoryChannel>,
    /// Newest truncate that was merged; empty at first.
    truncated: String,
    /// `_SEQ` of the newest delete of a key that was purged.
    marks: BTreeMap<Vec<String>, String>,
}

#[derive(Default)]
struct MemoryChannel {
    epoch: u64,
    status: ChannelStatus,
    buffered: Vec<(Vec<Row>, String)>,
    /// End token of the newest accepted batch: an equal batch is a repetition after a lost reply.
    accepted: Option<String>,
}

impl Memory {
    /// An empty destination.
    pub fn new(commit: Commit) -> Self {
        Memory { state: Mutex::default(), commit }
    }

    /// All rows of a table, in commit order.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        self.lock().tables.get(table).map(|table| table.rows.clone()).unwrap_or_default()
    }

    /// Makes the oldest accepted batch of some channel durable. `false` if there is none. `pick` chooses the channel.
    pub fn commit_one(&self, pick: usize) -> bool {
        let mut state = self.lock();
        let waiting: Vec<(String, String)> = state
            .tables
            .iter()
            .flat_map(|(table, inner)| {
                inner.channels.iter().map(move |(name, channel)| (table, name, channel))
            })
            .filter(|(_, _, channel)| !channel.buffered.is_empty())
            .map(|(table, name, _)| (table.clone(), name.clone()))
            .collect();
        let Some((table, name)) = waiting.get(pick % waiting.len().max(1)) else { return false };
        if let Some(table) = state.tables.get_mut(table) {
            table.commit(name);
        }
        true
    }

    /// Counts rows as rejected without inserting them, as a destination does with values that it cannot convert.
    pub fn reject_rows(&self, table: &str, rows: u64) {
        if let Some(table) = self.lock().tables.get_mut(table) {
            for channel in table.channels.values_mut() {
                channel.status.rows_error_count += rows;
            }
        }
    }

    /// Invalidates every open channel, as a failover does: what was not durable is lost.
    pub fn invalidate(&self) {
        for table in self.lock().tables.values_mut() {
            for channel in table.channels.values_mut() {
                channel.epoch = u64::MAX;
                channel.buffered.clear();
                channel.accepted = None;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn commit(&mut self, name: &str) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        if channel.buffered.is_empty() {
            return;
        }
        let (rows, token) = channel.buffered.remove(0);
        channel.status.token = Some(token);
        channel.status.rows_inserted = Some(channel.status.rows_inserted.unwrap_or(0) + rows.len() as u64);
        self.rows.extend(rows);
    }
}

fn missing_table(what: &str, table: &str) -> DestinationError {
    DestinationError::new(ErrorKind::Definite, format!("{what} {table}"), "no such table")
}

impl Destination for Memory {
    async fn describe(&self, table: &str) -> Result<Option<Vec<TableColumn>>, DestinationError> {
        Ok(self.lock().tables.get(table).map(|table| table.columns.clone()))
    }

    async fn prepare(&self, plan: &TablePlan) -> Result<(), DestinationError> {
        let mut state = self.lock();
        let table = state.tables.entry(plan.table.clone()).or_default();
        for column in &plan.columns {
            if table.columns.iter().all(|have| have.name != column.name) {
                table.columns.push(column.clone());
            }
        }
        if let Some(current) = &plan.current {
            state.tables.entry(current.name.clone()).or_default().columns = current.columns.clone();
            state.keys.insert(current.name.clone(), current.keys.clone());
        }
        Ok(())
    }

    async fn open(&self, channel: &Channel) -> Result<ChannelStatus, DestinationError> {
        let mut state = self.lock();
        let table = state
            .tables
            .get_mut(&channel.table)
            .ok_or_else(|| missing_table("opening in", &channel.table))?;
        let inner = table.channels.entry(channel.name.clone()).or_default();
        inner.status.rows_inserted.get_or_insert(0);
        inner.epoch = channel.epoch;
        inner.buffered.clear();
        inner.accepted = None;
        Ok(inner.status.clone())
    }

    async fn append(&self, batch: &RowBatch) -> Result<(), DestinationError> {
        let what = format!("appending to {}", batch.channel.name);
        let mut state = self.lock();
        let table = state
            .tables
            .get_mut(&batch.channel.table)
            .ok_or_else(|| missing_table("appending to", &batch.channel.table))?;
        let stale =
            || DestinationError::new(ErrorKind::Reopen, &what, "the channel was opened by somebody else");
        let channel = table.channels.get_mut(&batch.channel.name).ok_or_else(stale)?;
        if channel.epoch != batch.channel.epoch {
            return Err(stale());
        }
        if channel.accepted.as_ref() == Some(&batch.end_token) {
            return Ok(());
        }
        let rows: Result<Vec<Row>, _> = batch
            .body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(serde_json::from_slice)
            .collect();
        let rows =
            rows.map_err(|error| DestinationError::new(ErrorKind::Definite, &what, error.to_string()))?;
        channel.buffered.push((rows, batch.end_token.clone()));
        channel.accepted = Some(batch.end_token.clone());
        if self.commit == Commit::Immediate {
            table.commit(&batch.channel.name);
        }
        Ok(())
    }

    async fn statuses(&self, channels: &[Channel]) -> Result<Vec<(String, ChannelStatus)>, DestinationError> {
        let state = self.lock();
        let status = |channel: &Channel| {
            let inner = state.tables.get(&channel.table)?.channels.get(&channel.name)?;
            let mut status = inner.status.clone();
            status.problem = (inner.epoch == u64::MAX).then(|| "INVALID".to_owned());
            Some((channel.name.clone(), status))
        };
        Ok(channels.iter().filter_map(status).collect())
    }

    async fn ledger(&self, plan: &TablePlan, channels: &[String]) -> Result<LedgerAnswer, DestinationError> {
        let mut state = self.lock();
        let rows = channels
            .iter()
            .map(|channel| {
                let row = state.ledger.entry((plan.table.clone(), channel.clone())).or_default();
                (channel.clone(), row.clone())
            })
            .collect();
        let base = plan.table.trim_end_matches("__LOG");
        Ok(LedgerAnswer { keys: state.keys.get(base).cloned().unwrap_or_default(), rows })
    }

    async fn merge(&self, plan: &MergePlan) -> Result<(), DestinationError> {
        let mut state = self.lock();
        for range in &plan.ranges {
            let row = state.ledger.get(&(plan.plan.table.clone(), range.channel.clone()));
            if row.map(|row| row.generation) != Some(range.generation) {
                return Err(DestinationError::new(ErrorKind::Conflict, "merging", "the ledger moved on"));
            }
        }
        let Some(current) = plan.plan.current.clone() else { return Ok(()) };
        let log = state.tables.get(&plan.plan.table).map(|table| table.rows.clone()).unwrap_or_default();
        let target = state.tables.entry(current.name.clone()).or_default();
        let mut rows: Vec<&Row> = log.iter().filter(|row| in_ranges(row, plan)).collect();
        rows.sort_by(|a, b| {
            (text(a, column::SEQ), text(a, column::OFFSET))
                .cmp(&(text(b, column::SEQ), text(b, column::OFFSET)))
        });
        let here =
            rows.iter().filter(|row| text(row, column::OP) == "t").map(|row| text(row, column::SEQ)).max();
        if let Some(here) = here.filter(|here| *here > target.truncated.as_str()) {
            target.truncated = here.to_owned();
        }
        let truncated = target.truncated.clone();
        fill_late(&mut target.rows, &log, &rows, plan, &truncated);
        for row in rows.into_iter().filter(|row| text(row, column::OP) != "t") {
            let key: Vec<String> = current.keys.iter().map(|key| text(row, key).to_owned()).collect();
            let seq = text(row, column::SEQ);
            let is_late = target.marks.get(&key).is_some_and(|mark| mark.as_str() > seq);
            if seq <= truncated.as_str() || is_late {
                continue;
            }
            if plan.deletes == DeleteMode::Hard && text(row, column::OP) == "d" {
                target.marks.insert(key, seq.to_owned());
            }
            apply(&mut target.rows, row, &current.keys, &current.audit);
        }
        let gone = |row: &Row| plan.deletes == DeleteMode::Hard && row.contains_key(column::DELETED);
        target.rows.retain(|row| !gone(row) && text(row, column::SEQ) >= truncated.as_str());
        for range in &plan.ranges {
            let row = LedgerRow { merged: range.upto.clone(), generation: range.generation + 1 };
            state.ledger.insert((plan.plan.table.clone(), range.channel.clone()), row);
        }
        Ok(())
    }
}

/// What rows that come later than a newer one of their key tell of columns that the newer one did not know.
fn fill_late(target: &mut [Row], log: &[Row], rows: &[&Row], plan: &MergePlan, truncated: &str) {
    let Some(current) = &plan.plan.current else { return };
    let same = |a: &Row, b: &Row| current.keys.iter().all(|key| a.get(key) == b.get(key));
    let is_late = |known: &Row, row: &Row| {
        let (op, seq) = (text(row, column::OP), text(row, column::SEQ));
        op != "t" && seq > truncated && seq < text(known, column::SEQ) && same(known, row)
    };
    for known in target {
        if !rows.iter().any(|row| is_late(known, row)) {
            continue;
        }
        let upto = text(known, column::SEQ).to_owned();
        let counts = |row: &&Row| {
            let (op, seq) = (text(row, column::OP), text(row, column::SEQ));
            op != "t" && seq > truncated && seq <= upto.as_str() && same(known, row)
        };
        let mut log: Vec<&Row> = log.iter().filter(counts).collect();
        log.sort_by_key(|row| (text(row, column::SEQ), text(row, column::OFFSET)));
        if log.last().is_none_or(|row| text(row, column::SEQ) != upto) {
            continue;
        }
        for column in
            current.columns.iter().filter(|column| may_be_unsent(column, &current.keys, plan.deletes))
        {
            let name = column.name.as_str();
            let knows = |row: &&&Row| {
                let unsent = text(row, column::UNCHANGED).split(',').any(|unsent| unsent == name);
                text(row, column::OP) != "d" && !unsent
            };
            let Some(row) = log.iter().rev().find(knows) else { continue };
            match row.get(name) {
                Some(value) => known.insert(name.to_owned(), value.clone()),
                None => known.remove(name),
            };
        }
    }
}

/// As where the destination is a database: values of variable length, and whatever a delete does not tell.
fn may_be_unsent(column: &TableColumn, keys: &[String], deletes: DeleteMode) -> bool {
    let is_long = matches!(column.stored, StoredType::Text | StoredType::Binary | StoredType::Variant);
    (is_long || deletes == DeleteMode::Soft) && !keys.contains(&column.name)
}

fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(|value| value.as_str()).unwrap_or("")
}

fn in_ranges(row: &Row, plan: &MergePlan) -> bool {
    let offset = text(row, column::OFFSET);
    plan.ranges.iter().any(|range| offset > range.after.as_str() && offset <= range.upto.as_str())
}

/// One log row onto the merged table, in `_SEQ` order: what it does not know stays. There is no clock here, so an audit
/// timestamp stays empty.
fn apply(target: &mut Vec<Row>, change: &Row, keys: &[String], audit: &Audit) {
    let same = |row: &&mut Row| keys.iter().all(|key| row.get(key) == change.get(key));
    let unchanged = text(change, column::UNCHANGED);
    let mut new: Row = change.clone();
    new.retain(|name, _| !matches!(name.as_str(), "_OP" | "_TS" | "_OFFSET" | "_UNCHANGED"));
    let deleted = text(change, column::OP) == "d";
    if let Some(name) = &audit.operation {
        new.insert(name.clone(), operation_name(text(change, column::OP)).into());
    }
    if let Some(source) = &audit.source {
        new.insert(source.name.clone(), source.value.clone().into());
    }
    match target.iter_mut().find(same) {
        Some(row) if text(row, column::SEQ) >= text(change, column::SEQ) => {}
        Some(row) if deleted => {
            row.extend(new.into_iter().filter(|(name, _)| audit.has(name)));
            row.insert(column::SEQ.to_owned(), text(change, column::SEQ).into());
            row.insert(column::DELETED.to_owned(), true.into());
        }
        Some(row) => {
            for name in unchanged.split(',').filter(|name| !name.is_empty()) {
                if let Some(old) = row.get(name) {
                    new.insert(name.to_owned(), old.clone());
                }
            }
            *row = new;
        }
        None => {
            if deleted {
                new.insert(column::DELETED.to_owned(), true.into());
            }
            target.push(new);
        }
    }
}

/// Rows as JSON lines with canonical texts, so that equal values are equal JSON.
#[derive(Debug, Default)]
pub struct MemoryEncoder {
    first: bool,
}

impl RowEncoder for MemoryEncoder {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.first = true;
        out.push(b'{');
    }

    fn field(
        &mut self,
        out: &mut Vec<u8>,
        name: &str,
        _: &StoredType,
        value: &Value<'_>,
    ) -> Result<(), ValueError> {
        let range = ValueError { expected: "a time between the years 1 and 9999" };
        let json = match value {
            Value::Null | Value::Unavailable => return Ok(()),
            Value::Boolean(flag) => (*flag).into(),
            Value::Integer(number) => number.to_string().into(),
            Value::Decimal(text) | Value::Text(text) | Value::Instant(text) => {
                serde_json::Value::from(text.as_ref())
            }
            Value::Float(text) => serde_json::Value::from(*text),
            Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
            Value::Json(text) => serde_json::from_str(text).map_err(|_| ValueError { expected: "JSON" })?,
            Value::Date(days) => iso_date(*days).ok_or(range)?.into(),
            Value::Time(nanos) => iso_time(*nanos).ok_or(range)?.into(),
            Value::Timestamp(nanos) => iso_timestamp(*nanos).ok_or(range)?.into(),
        };
        if !std::mem::take(&mut self.first) {
            out.push(b',');
        }
        out.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(json.to_string().as_bytes());
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"}\n");
    }
}
