//! What must hold, each by itself: the checkers know what the models did, and nothing of how the product works.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use cdcd_capture::position::Position;

use crate::capture_node::{OUTBOX_MAX, QUEUE_MAX};
use crate::kafka::{Entry, Kafka, Record};
use crate::postgres::{Committed, Op, Postgres, Row, Rows};

/// (commit LSN, ordinal, sub)
type Id = (u64, u64, u8);

#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) violation: Option<(&'static str, String)>,
    /// What must come, in this order.
    expected: Vec<Id>,
    next: usize,
    started: bool,
    /// What came before the source's history was cut, from this index on.
    old_tail: Option<(usize, Vec<Id>)>,
    diverged: bool,
    /// Where the source's history was cut.
    cut_at: Option<u64>,
    /// Changes that commit before this may have been read by a snapshot.
    horizon: u64,
    snapshot_keys: BTreeSet<(usize, Vec<u8>)>,
    /// Kafka's records carried out one by one.
    replica: BTreeMap<(usize, i32), (Option<String>, Option<String>)>,
    pub(crate) records: u64,
    /// Events with an id.
    identified: u64,
    /// The newest committed position.
    pub(crate) position: Option<Position>,
    furthest: u64,
    pub(crate) forget_open: bool,
    /// Where the slot was made.
    pub(crate) slot_point: u64,
}

impl Checks {
    pub(crate) fn violate(&mut self, checker: &'static str, what: String) {
        self.violation.get_or_insert((checker, what));
    }

    /// The source committed: these records must come.
    pub(crate) fn source_committed(&mut self, tx: &Committed) {
        for (ordinal, change) in tx.changes.iter().enumerate() {
            for sub in 0..records_of(&change.op) {
                self.expected.push((tx.commit_lsn, ordinal as u64, sub));
            }
        }
    }

    /// The connector begins here.
    pub(crate) fn slot_created(&mut self, point: u64, rows_before: Option<&Rows>) {
        if !std::mem::replace(&mut self.started, true) {
            self.slot_point = point;
            if let Some(rows) = rows_before {
                self.replica = texts(rows);
            }
            self.next = self.expected.partition_point(|id| id.0 < point);
        }
    }

    /// The source lost what commits after `end`.
    pub(crate) fn history_cut(&mut self, end: u64) {
        let keep = self.expected.partition_point(|id| id.0 < end);
        self.cut_at = Some(self.cut_at.map_or(end, |at| at.min(end)));
        if self.old_tail.is_none() {
            self.old_tail = Some((keep, self.expected.split_off(keep)));
        } else {
            self.expected.truncate(keep);
        }
        self.diverged = self.next > self.expected.len();
    }

    /// C1: exactly once, in the order of the source; C5 for Kafka.
    pub(crate) fn kafka_committed(&mut self, records: &[Rc<Record>], position: Option<&[u8]>) {
        if let Some(value) = position {
            match Position::decode(value) {
                Ok(position) => self.positioned(position),
                Err(error) => self.violate("C1", format!("a position that cannot be read: {error}")),
            }
        } else if !records.is_empty() {
            self.violate("C1", "records were committed without a position".to_owned());
        }
        for record in records {
            self.records += 1;
            self.carry_out(record);
            match &record.eid {
                Some(eid) => self.identified(eid),
                None => {
                    let key = (record.topic, record.key.clone().unwrap_or_default());
                    if !self.snapshot_keys.insert(key) {
                        let key =
                            String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
                        self.violate("C1", format!("snapshot row {key} came twice"));
                    }
                }
            }
        }
    }

    fn positioned(&mut self, position: Position) {
        if let Some(snapshot) = &position.snapshot {
            let horizons = snapshot.moments.values().map(|moment| moment.horizon.0.0);
            self.horizon = horizons.fold(self.horizon, u64::max);
        }
        self.furthest = self.furthest.max(position.done_end_lsn.0.0);
        self.position = Some(position);
    }

    fn identified(&mut self, eid: &[u8]) {
        self.identified += 1;
        let Some(id) = read_eid(eid) else {
            return self.violate("C1", format!("event id {eid:?} cannot be read"));
        };
        if let Some((from, tail)) = &self.old_tail
            && (self.next >= self.expected.len() || self.diverged)
            && self.next.checked_sub(*from).and_then(|at| tail.get(at)) == Some(&id)
        {
            self.diverged = true;
            self.next += 1;
            return;
        }
        while self.expected.get(self.next).is_some_and(|want| *want != id && want.0 < self.horizon) {
            self.next += 1;
        }
        match self.expected.get(self.next) {
            Some(want) if *want == id && !self.diverged => self.next += 1,
            want => {
                let seen = self.expected[..self.next.min(self.expected.len())].contains(&id);
                let kind = if seen { "came twice" } else { "came out of turn" };
                let text = format!("event {} {kind}; next would be {:?}", show(&id), want.map(show));
                self.violate("C1", text);
            }
        }
    }

    fn carry_out(&mut self, record: &Record) {
        let Some(value) = &record.value else { return };
        let Ok(event) = serde_json::from_slice::<serde_json::Value>(value) else {
            return self.violate("C1", "a value is no JSON".to_owned());
        };
        let id = |image: &serde_json::Value| image["id"].as_i64().unwrap_or(-1) as i32;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let (before, after) = (&event["before"], &event["after"]);
        match event["op"].as_str() {
            Some("t") => self.replica.retain(|place, _| place.0 != record.topic),
            Some("d") => {
                self.replica.remove(&(record.topic, id(before)));
            }
            _ => {
                let place = (record.topic, id(after));
                let mut row = (text(&after["v"]), text(&after["big"]));
                if row.1.as_deref() == Some("__debezium_unavailable_value") {
                    row.1 = self.replica.get(&place).and_then(|row| row.1.clone());
                }
                self.replica.insert(place, row);
            }
        }
    }

    /// C3: what is acknowledged is in Kafka, is covered by a committed position, and came by this connection.
    pub(crate) fn acknowledged(&mut self, flushed: u64, received: u64) {
        if flushed > self.furthest {
            let text = format!("acknowledged {flushed:x}, committed positions go to {:x}", self.furthest);
            self.violate("C3", text);
        }
        if flushed > received {
            self.violate("C3", format!("acknowledged {flushed:x}, this connection received {received:x}"));
        }
        let waiting = self.expected.get(self.next).filter(|id| id.0 >= self.horizon);
        if let Some(id) = waiting.filter(|id| id.0 < flushed && !self.diverged && self.started) {
            let text = format!("acknowledged {flushed:x}, but {} is not in Kafka", show(id));
            self.violate("C3", text);
        }
    }

    /// C8
    pub(crate) fn bytes_in_flight(&mut self, pending: usize, queued: usize, node: usize) {
        // One message may be added to a full buffer; no event here is longer than a kibibyte.
        if pending > OUTBOX_MAX + 4096 || queued > QUEUE_MAX {
            self.violate("C8", format!("capture {node} holds {pending} and {queued} bytes"));
        }
    }

    /// At the end of the hour.
    pub(crate) fn at_rest(&mut self, kafka: &Kafka, pg: &Postgres, stopped: bool) {
        if !stopped {
            while self.expected.get(self.next).is_some_and(|want| want.0 < self.horizon) {
                self.next += 1;
            }
            if let Some(id) = self.expected.get(self.next) {
                self.violate("C1", format!("{} never came", show(id)));
            }
        }
        self.partitions_in_order(kafka, stopped);
        self.replica_is_the_source(pg, stopped);
    }

    /// C2: each partition by itself, from its bytes.
    fn partitions_in_order(&mut self, kafka: &Kafka, stopped: bool) {
        let mut found = 0;
        for topic in &kafka.topics {
            for log in &topic.partitions {
                let mut last = None;
                for entry in &log.entries {
                    let Entry::Data { txn, record } = entry else { continue };
                    let Some(id) = record.eid.as_deref().and_then(read_eid) else { continue };
                    if !kafka.is_committed(*txn) {
                        continue;
                    }
                    if last.is_some_and(|last| last >= id) {
                        self.violate(
                            "C2",
                            format!("{} stands behind {:?}", show(&id), last.map(|id| show(&id))),
                        );
                    }
                    last = Some(id);
                    found += 1;
                }
            }
        }
        self.records_are_there(found, stopped);
    }

    /// What was committed once must be there still, or a guard must have said that it is not.
    fn records_are_there(&mut self, found: u64, stopped: bool) {
        if !stopped && found < self.identified {
            self.violate(
                "C1",
                format!("{} events are gone from Kafka, and nobody said so", self.identified - found),
            );
        }
    }

    /// C5: Kafka's events carried out give the source's rows at the position.
    fn replica_is_the_source(&mut self, pg: &Postgres, stopped: bool) {
        let Some(position) = &self.position else { return };
        let reads = position.snapshot.as_ref().is_some_and(|snapshot| !snapshot.complete);
        if self.diverged || reads || position.open.is_some() || !self.started {
            return;
        }
        let done = position.done_end_lsn.0.0;
        // Of another history the rows at an LSN say nothing.
        if done < self.horizon || stopped && self.cut_at.is_some_and(|cut| done > cut) {
            return;
        }
        let wanted = texts(&pg.rows_at(done));
        if wanted != self.replica {
            let differs = wanted.iter().find(|(place, row)| self.replica.get(place) != Some(row));
            let too_much = self.replica.keys().find(|place| !wanted.contains_key(place));
            let found = differs.and_then(|(place, _)| self.replica.get(place));
            self.violate("C5", format!("source {differs:?}, Kafka {found:?}, only in Kafka {too_much:?}"));
        }
    }
}

/// Rows as texts.
pub(crate) fn texts(rows: &Rows) -> BTreeMap<(usize, i32), (Option<String>, Option<String>)> {
    let text = |row: &Row| (row.v.map(|v| format!("v{v}")), Some(crate::postgres::big_text(row.big)));
    rows.iter().map(|(place, row)| (*place, text(row))).collect()
}

/// Records that a change becomes.
fn records_of(op: &Op) -> u8 {
    match op {
        Op::Insert { .. } => 1,
        Op::Update { from, at, .. } if from != at => 3,
        Op::Update { .. } => 1,
        Op::Delete { .. } => 2,
        Op::Truncate { tables } => tables.count_ones() as u8,
        Op::Message => 0,
    }
}

pub(crate) fn read_eid(eid: &[u8]) -> Option<Id> {
    let number = |range: std::ops::Range<usize>| {
        eid.get(range).map(|bytes| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    Some((number(4..12)?, number(12..20)?, number(20..21)? as u8))
}

fn show(id: &Id) -> String {
    format!("{:x}/{}.{}", id.0, id.1, id.2)
}
