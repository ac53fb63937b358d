//! What must hold, each by itself: the checkers know what the models did, and nothing of how the product works.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use cdcd_capture::position::{Part, Position, SnapshotProgress};

use cdcd_sink::merge::{MergeRange, offset_text};
use cdcd_sink::offset_token::{OffsetToken, TopicId};

use crate::capture_node::{OUTBOX_MAX, QUEUE_MAX};
use crate::kafka::{Entry, Kafka, Record};
use crate::postgres::{Committed, Op, Place, Postgres, Row, Rows, TABLES};
use crate::snowflake::{Landed, Snowflake};

/// (commit LSN, ordinal, sub)
type Id = (u64, u64, u8);

/// A change of the source.
#[derive(Debug, Clone, Copy)]
struct Expected {
    commit_lsn: u64,
    ordinal: u64,
    xid: u32,
    op: Op,
}

/// An event of Kafka.
#[derive(serde::Deserialize)]
struct Event<'a> {
    op: &'a str,
    #[serde(borrow)]
    before: Option<Image<'a>>,
    #[serde(borrow)]
    after: Option<Image<'a>>,
}

#[derive(serde::Deserialize)]
struct Image<'a> {
    id: i32,
    #[serde(borrow)]
    v: Option<Cow<'a, str>>,
    #[serde(borrow)]
    big: Option<Cow<'a, str>>,
}

#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) violation: Option<(&'static str, String)>,
    /// What must come, in this order.
    expected: Vec<Expected>,
    next: usize,
    /// Records of the next change that have come.
    within: usize,
    /// What attempts of a snapshot saw: running transactions, and the first that had not begun.
    views: BTreeMap<u32, (Vec<u32>, u32)>,
    /// The newest word of a position about a snapshot.
    snapshot: Option<SnapshotProgress>,
    started: bool,
    /// What came before the source's history was cut, from this index on.
    old_tail: Option<(usize, Vec<Expected>)>,
    diverged: bool,
    /// Where the source's history was cut.
    pub(crate) cut_at: Option<u64>,
    /// Changes that commit before this may have been read by a snapshot.
    horizon: u64,
    snapshot_keys: BTreeSet<(usize, Vec<u8>)>,
    /// Kafka's records carried out one by one.
    replica: BTreeMap<(usize, i32), (Option<String>, Option<String>)>,
    /// The same for who knows nothing but Kafka's records.
    mirror: BTreeMap<(usize, i32), (Option<String>, Option<String>)>,
    /// Offset behind the last landed row, by topic id and partition.
    landing: BTreeMap<(TopicId, usize), usize>,
    /// `_OFFSET` up to which each channel is merged.
    merges: BTreeMap<String, String>,
    /// Committed records were taken away by a fault that nobody can see.
    pub(crate) truncated: bool,
    pub(crate) records: u64,
    /// Events with an id.
    identified: u64,
    /// The newest committed position.
    pub(crate) position: Option<Position>,
    furthest: u64,
    pub(crate) forget_open: bool,
    /// Where the slot was made.
    pub(crate) slot_point: u64,
    /// Changes that a publication, changed under way, has kept out of the stream.
    withheld: usize,
}

impl Checks {
    pub(crate) fn violate(&mut self, checker: &'static str, what: String) {
        self.violation.get_or_insert((checker, what));
    }

    /// The source committed: these records must come.
    pub(crate) fn source_committed(&mut self, tx: &Committed) {
        self.withheld += tx.changes.iter().filter(|change| change.sent.is_none()).count();
        for (ordinal, op) in tx.changes.iter().filter_map(|change| change.sent).enumerate() {
            let (commit_lsn, ordinal, xid) = (tx.commit_lsn, ordinal as u64, tx.xid);
            self.expected.push(Expected { commit_lsn, ordinal, xid, op });
        }
    }

    /// The connector begins here.
    pub(crate) fn slot_created(&mut self, point: u64, rows_before: Option<&Rows>) {
        if !std::mem::replace(&mut self.started, true) {
            self.slot_point = point;
            if let Some(rows) = rows_before {
                self.replica = texts(rows);
            }
            self.next = self.expected.partition_point(|change| change.commit_lsn < point);
        }
    }

    /// The source lost what commits after `end`.
    pub(crate) fn history_cut(&mut self, end: u64) {
        let keep = self.expected.partition_point(|change| change.commit_lsn < end);
        self.cut_at = Some(self.cut_at.map_or(end, |at| at.min(end)));
        // What has no records has not come.
        let passed = self.expected.get(keep..self.next).unwrap_or_default();
        if self.within == 0 && passed.iter().all(|change| self.records_of(change).1 == 0) {
            self.next = self.next.min(keep);
        }
        if self.old_tail.is_none() {
            self.old_tail = Some((keep, self.expected.split_off(keep)));
        } else {
            self.expected.truncate(keep);
        }
        self.diverged = self.next + usize::from(self.within > 0) > self.expected.len();
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
            self.snapshot = Some(snapshot.clone());
        }
        self.furthest = self.furthest.max(position.done_end_lsn.0.0);
        self.position = Some(position);
    }

    fn identified(&mut self, eid: &[u8]) {
        self.identified += 1;
        let Some(id) = read_eid(eid) else {
            return self.violate("C1", format!("event id {eid:?} cannot be read"));
        };
        if !self.diverged && self.takes(id, None) {
            return;
        }
        if self.next + usize::from(self.within > 0) >= self.expected.len() || self.diverged {
            let tail = self.old_tail.take();
            let taken = tail.as_ref().is_some_and(|(from, tail)| self.takes(id, Some((*from, tail))));
            self.old_tail = tail;
            if taken {
                self.diverged = true;
                return;
            }
        }
        let before = &self.expected[..self.next.min(self.expected.len())];
        let seen = before.iter().any(|change| (change.commit_lsn, change.ordinal) == (id.0, id.1));
        let kind = if seen { "came twice" } else { "came out of turn" };
        let next =
            self.expected.get(self.next).map(|change| (change.commit_lsn, change.ordinal, self.within));
        self.violate("C1", format!("event {} {kind}; next would be {next:x?}", show(&id)));
    }

    /// Whether `id` is the next record, of the source's history or of what it was before it was cut.
    fn takes(&mut self, id: Id, tail: Option<(usize, &[Expected])>) -> bool {
        loop {
            let change = match tail {
                None => self.expected.get(self.next),
                Some((from, tail)) => self.next.checked_sub(from).and_then(|at| tail.get(at)),
            };
            let Some(change) = change.copied() else { return false };
            let (subs, count) = self.records_of(&change);
            if self.within < count {
                let takes = id == (change.commit_lsn, change.ordinal, subs[self.within]);
                self.within += usize::from(takes);
                return takes;
            }
            (self.next, self.within) = (self.next + 1, 0);
        }
    }

    /// The first change of which a record must still come.
    fn waiting(&mut self) -> Option<Expected> {
        loop {
            let change = *self.expected.get(self.next)?;
            if self.within < self.records_of(&change).1 {
                return Some(change);
            }
            (self.next, self.within) = (self.next + 1, 0);
        }
    }

    /// An attempt of a snapshot began.
    pub(crate) fn snapshot_began(&mut self, attempt: u32, running: Vec<u32>, next_xid: u32) {
        self.views.insert(attempt, (running, next_xid));
    }

    /// Whether the part of a snapshot that the row lies in was read with what `xid` did.
    fn was_read(&self, place: Place, xid: u32) -> bool {
        let Some(table) = self.snapshot.as_ref().and_then(|snapshot| snapshot.tables.get(place.0)) else {
            return false;
        };
        let upto = |part: &&Part| {
            part.upto.as_ref().is_none_or(|key| key[0].parse::<i32>().is_ok_and(|last| place.1 <= last))
        };
        table.parts.iter().find(upto).is_some_and(|part| self.saw(part.attempt, xid))
    }

    fn saw(&self, attempt: u32, xid: u32) -> bool {
        self.views.get(&attempt).is_some_and(|(running, next)| xid < *next && !running.contains(&xid))
    }

    /// The records of a change by their `sub`: without what a snapshot has read already.
    fn records_of(&self, change: &Expected) -> ([u8; 3], usize) {
        let reads = |place| self.was_read(place, change.xid);
        match change.op {
            Op::Insert { at, .. } => ([0; 3], usize::from(!reads(at))),
            Op::Update { from, at, .. } if from != at => {
                ([0, 1, 2], if reads(from) { 0 } else { 2 } + usize::from(!reads(at)))
            }
            Op::Update { at, .. } => ([0; 3], usize::from(!reads(at))),
            Op::Delete { at } => ([0, 1, 0], if reads(at) { 0 } else { 2 }),
            Op::Message => ([0; 3], 0),
            Op::Truncate { tables } => {
                let (mut subs, mut count, mut sub) = ([0; 3], 0, 0);
                for table in (0..TABLES.len()).filter(|table| tables & (1 << table) != 0) {
                    let progress = self.snapshot.as_ref().and_then(|snapshot| snapshot.tables.get(table));
                    let seen = progress.is_some_and(|progress| {
                        let parts = &progress.parts;
                        !parts.is_empty() && parts.iter().all(|part| self.saw(part.attempt, change.xid))
                    });
                    if !seen {
                        subs[count] = sub;
                        count += 1;
                    }
                    sub += 1;
                }
                (subs, count)
            }
        }
    }

    fn carry_out(&mut self, record: &Record) {
        let Some(value) = &record.value else { return };
        let Ok(event) = serde_json::from_slice::<Event<'_>>(value) else {
            return self.violate("C1", "a value is no event".to_owned());
        };
        let place = |image: &Image<'_>| (record.topic, image.id);
        let text = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let mut what = None;
        for rows in [&mut self.replica, &mut self.mirror] {
            match (event.op, &event.before, &event.after) {
                ("t", ..) => rows.retain(|place, _| place.0 != record.topic),
                ("d", Some(before), None) => {
                    rows.remove(&place(before));
                }
                ("c" | "r" | "u", _, Some(after)) => {
                    let mut row = (text(&after.v), text(&after.big));
                    if row.1.as_deref() == Some("__debezium_unavailable_value") {
                        row.1 = rows.get(&place(after)).and_then(|row| row.1.clone());
                    }
                    rows.insert(place(after), row);
                }
                _ => what = Some(format!("an event of operation {} without its row", event.op)),
            }
        }
        if let Some(what) = what {
            self.violate("C1", what);
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
        if let Some(change) = self.waiting().filter(|_| self.started && !self.diverged)
            && change.commit_lsn < flushed
        {
            let text = format!("{:x}/{} is not in Kafka", change.commit_lsn, change.ordinal);
            self.violate("C3", format!("acknowledged {flushed:x}, but {text}"));
        }
    }

    /// C8
    pub(crate) fn bytes_in_flight(&mut self, pending: usize, queued: usize, node: usize) {
        // One message may be added to a full buffer; no event here is longer than a kibibyte.
        if pending > OUTBOX_MAX + 4096 || queued > QUEUE_MAX {
            self.violate("C8", format!("capture {node} holds {pending} and {queued} bytes"));
        }
    }

    /// C8 for rows.
    pub(crate) fn rows_in_flight(&mut self, pending: u64, partitions: usize, node: usize) {
        // 256 batches that are not durable, two that wait, one that is filled, of nine rows.
        if pending > partitions as u64 * 9 * 260 {
            self.violate("C8", format!("sink {node} holds {pending} rows"));
        }
    }

    /// Offsets in `[from, to)` that must become rows.
    fn rows_between<'k>(
        kafka: &'k Kafka,
        place: (usize, usize),
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = usize> + use<'k> {
        let entries = &kafka.topics[place.0].partitions[place.1].entries;
        let to = to.min(entries.len());
        let some = entries.get(from.min(to)..to).unwrap_or_default();
        some.iter().enumerate().filter_map(move |(at, entry)| match entry {
            Entry::Data { txn, record } if record.value.is_some() && kafka.is_committed(*txn) => {
                Some(from + at)
            }
            _ => None,
        })
    }

    /// C4: a channel holds the committed records of its partition, in order, none twice and none left out.
    pub(crate) fn landed(&mut self, kafka: &Kafka, landed: &Landed, rejected: &[String]) {
        let names: Vec<&str> = landed.channel.split('_').collect();
        let (Some(id), Some(partition)) = (names.get(1), names.get(3).and_then(|name| name.parse().ok()))
        else {
            return self.violate("C4", format!("channel {} has no known name", landed.channel));
        };
        let topic = kafka.topics.iter().position(|topic| topic.id.to_string() == *id);
        let Some(topic) = topic.filter(|_| !self.truncated) else { return };
        let key = (kafka.topics[topic].id, partition);
        let mut cursor = self.landing.get(&key).copied().unwrap_or(0);
        let is_rejected = |offset: usize| {
            !rejected.is_empty() && rejected.contains(&offset_text(&id[..8], partition as i32, offset as i64))
        };
        for text in &landed.offsets {
            let Some(offset) = last_number(text) else {
                return self.violate("C4", format!("offset {text} cannot be read"));
            };
            let mut wanted = Self::rows_between(kafka, (topic, partition), cursor, usize::MAX);
            let wanted = wanted.find(|offset| !is_rejected(*offset));
            if wanted != Some(offset) {
                let text =
                    format!("{}-{partition}: offset {offset} landed, next was {wanted:?}", TABLES[topic]);
                return self.violate("C4", text);
            }
            cursor = offset + 1;
        }
        let token: Option<OffsetToken> = landed.token.parse().ok();
        let upto = token.map_or(0, |token| token.offset as usize + 1);
        let mut passed = Self::rows_between(kafka, (topic, partition), cursor, upto);
        if let Some(offset) = passed.find(|offset| !is_rejected(*offset)) {
            let text = format!(
                "{}-{partition}: a token passed offset {offset}, which has not landed",
                TABLES[topic]
            );
            return self.violate("C4", text);
        }
        self.landing.insert(key, cursor.max(upto));
    }

    /// C4 for merges: each takes a channel's rows where the one before has ended.
    pub(crate) fn merged(&mut self, ranges: &[MergeRange]) {
        for range in ranges {
            let before = self.merges.insert(range.channel.clone(), range.upto.clone());
            let follows = match &before {
                Some(before) => *before == range.after,
                None => range.after.ends_with(':'),
            };
            if !follows {
                let text = format!(
                    "{}: a merge begins behind {}, the one before ended at {before:?}",
                    range.channel, range.after
                );
                return self.violate("C4", text);
            }
        }
    }

    /// C4: the group's offset never passes what is durable.
    pub(crate) fn offset_committed(
        &mut self,
        kafka: &Kafka,
        place: (usize, usize),
        id: TopicId,
        offset: i64,
    ) {
        let cursor = self.landing.get(&(id, place.1)).copied().unwrap_or(0);
        if kafka.topics[place.0].id != id || self.truncated {
            return;
        }
        let base = kafka.topics[place.0].partitions[place.1].base;
        let mut open = Self::rows_between(kafka, place, cursor.max(base), offset as usize);
        if let Some(row) = open.next() {
            self.violate(
                "C4",
                format!("{place:?}: the group is at {offset}, but offset {row} has not landed"),
            );
        }
    }

    /// C4, C5 and C7 for the sink: at the end everything has landed and is merged.
    pub(crate) fn landed_all(&mut self, kafka: &Kafka, snow: &Snowflake, stopped: &BTreeSet<(usize, usize)>) {
        for (topic, found) in kafka.topics.iter().enumerate() {
            if stopped.iter().any(|place| place.0 == topic) || self.truncated {
                continue;
            }
            for partition in 0..found.partitions.len() {
                let cursor = self.landing.get(&(found.id, partition)).copied().unwrap_or(0);
                let open = Self::rows_between(kafka, (topic, partition), cursor, usize::MAX).next();
                if let Some(offset) = open {
                    let text =
                        format!("{}-{partition}: offset {offset} has not landed at the end", TABLES[topic]);
                    return self.violate("C7", text);
                }
            }
            self.target_is_mirror(topic, snow);
        }
    }

    fn target_is_mirror(&mut self, topic: usize, snow: &Snowflake) {
        let found: BTreeMap<i32, (Option<String>, Option<String>)> = snow
            .targets
            .get(&TABLES[topic].to_uppercase())
            .into_iter()
            .flatten()
            .filter(|(_, row)| !row.deleted)
            .map(|(id, row)| (*id, (row.v.clone(), row.big.clone())))
            .collect();
        let wanted: BTreeMap<i32, (Option<String>, Option<String>)> = self
            .mirror
            .iter()
            .filter(|(place, _)| place.0 == topic)
            .map(|(place, row)| (place.1, row.clone()))
            .collect();
        if found != wanted {
            let differs = wanted.iter().find(|(id, row)| found.get(id) != Some(row));
            let target = differs.and_then(|(id, _)| found.get(id));
            let too_much = found.keys().find(|id| !wanted.contains_key(id));
            let table = TABLES[topic];
            let text =
                format!("{table}: Kafka {differs:?}, target {target:?}, only in the target {too_much:?}");
            self.violate("C5", text);
        }
    }

    /// At the end of the hour.
    pub(crate) fn at_rest(&mut self, kafka: &Kafka, pg: &Postgres, stopped: bool) {
        if !stopped && let Some(change) = self.waiting() {
            self.violate("C1", format!("{:x}/{} never came", change.commit_lsn, change.ordinal));
        }
        if !stopped && self.withheld > 0 {
            let text = format!("{} changes are in no stream, and nobody said so", self.withheld);
            self.violate("C6", text);
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
        if !stopped && !self.truncated && found < self.identified {
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
        let wanted = texts(&pg.published_rows_at(done));
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

pub(crate) fn read_eid(eid: &[u8]) -> Option<Id> {
    let number = |range: std::ops::Range<usize>| {
        eid.get(range).map(|bytes| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    Some((number(4..12)?, number(12..20)?, number(20..21)? as u8))
}

fn last_number(offset: &str) -> Option<usize> {
    offset.rsplit(':').next()?.parse().ok()
}

pub(crate) fn show_eid(eid: &[u8]) -> String {
    read_eid(eid).map(|id| show(&id)).unwrap_or_default()
}

fn show(id: &Id) -> String {
    format!("{:x}/{}.{}", id.0, id.1, id.2)
}
