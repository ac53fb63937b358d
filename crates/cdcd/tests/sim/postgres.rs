//! A model of PostgreSQL: its log, its one slot, its replication connections, and the things that it does silently.
//!
//! What it does was observed on real servers (`conformance`): a start below `confirmed_flush_lsn` is fast-forwarded, one
//! beyond the end of the log is accepted, an acknowledgement beyond it too; the slot goes back with a crash;
//! transactions come in commit order; rows of one COPY share an LSN.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cdcd::capture::publication::{Published, PublishedTable};
use cdcd_capture::catalog::{ColumnFacts, TableFacts};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::encode::{self, TupleBuffer};
use cdcd_pgoutput::message::{Begin, Commit, Delete, Insert, Logical, Message, Old, Truncate, Update};
use cdcd_pgoutput::relation::{Relation, RelationColumn, ReplicaIdentity};
use cdcd_pgoutput::tuple::Value;
use cdcd_postgres::catalog::Table;
use cdcd_postgres::replication::System;
use cdcd_postgres::slot::SlotInfo;

use crate::streaming::Sent;
use crate::time::{MS, Nanos, SECOND};

/// The tables, by OID less [`FIRST_OID`].
pub(crate) const TABLES: [&str; 2] = ["alpha", "beta"];
pub(crate) const FIRST_OID: u32 = 16_384;
/// The tables with their schema.
pub(crate) const QUALIFIED: [&str; 2] = ["public.alpha", "public.beta"];
/// `wal_sender_timeout`
pub(crate) const SENDER_TIMEOUT: Nanos = 60 * SECOND;
/// Bytes that a connection holds between server and client.
const WINDOW: usize = 6 << 10;

/// Values of a row, as numbers that stand for texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) v: Option<u32>,
    /// Stored out of line: an update that leaves it alone does not send it.
    pub(crate) big: u32,
}

/// A row's place.
pub(crate) type Place = (usize, i32);
pub(crate) type Rows = BTreeMap<Place, Row>;

/// One data message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Insert { at: Place, row: Row },
    Update { from: Place, at: Place, row: Row, sends_big: bool },
    Delete { at: Place },
    Truncate { tables: u8 },
    Message,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) lsn: u64,
    pub(crate) op: Op,
    /// What the publication of its time lets through.
    pub(crate) sent: Option<Op>,
    /// There was no publication: who decodes it meets an error.
    pub(crate) is_orphan: bool,
}

impl Change {
    /// As it is sent.
    pub(crate) fn as_sent(&self) -> Option<Change> {
        self.sent.map(|op| Change { op, ..*self })
    }
}

/// A transaction in the log.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    pub(crate) xid: u32,
    pub(crate) commit_lsn: u64,
    pub(crate) end_lsn: u64,
    pub(crate) changes: Vec<Change>,
    /// A row filter that was changed later hides this change when it is decoded again.
    pub(crate) hidden: Option<usize>,
}

/// A transaction that runs, or whose commit is not visible yet.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) xid: u32,
    pub(crate) changes: Vec<Change>,
    pub(crate) view: BTreeMap<Place, Option<Row>>,
    pub(crate) truncated: u8,
    pub(crate) locks: BTreeSet<Place>,
    pub(crate) committed: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) confirmed: u64,
    /// As of the last checkpoint.
    pub(crate) on_disk: u64,
    pub(crate) plugin: &'static str,
    pub(crate) lost: bool,
    pub(crate) active: Option<u64>,
}

/// A replication connection.
#[derive(Debug)]
pub(crate) struct Wire {
    start: u64,
    next: usize,
    /// Rendered frames of the transaction that is being sent.
    rendered: VecDeque<(u64, Vec<u8>)>,
    pub(crate) inbox: VecDeque<(Nanos, u64, Vec<u8>)>,
    in_flight: usize,
    pub(crate) sent_lsn: u64,
    /// What the client has taken off the connection.
    pub(crate) received: u64,
    described: [bool; 2],
    streamed: Sent,
    last_reply: Nanos,
    reply_asked: bool,
    pub(crate) last_flushed: u64,
    pub(crate) stalled_until: Nanos,
    /// Decoding met a change of a time without publication.
    is_refused: bool,
}

pub(crate) struct Postgres {
    pub(crate) lsn: u64,
    pub(crate) flushed: u64,
    pub(crate) log: Vec<Committed>,
    pub(crate) running: Vec<Running>,
    pub(crate) rows: Rows,
    pub(crate) next_xid: u32,
    pub(crate) slot: Option<Slot>,
    pub(crate) publication: Option<Published>,
    /// OIDs of the tables in the catalog of now.
    pub(crate) oids: [u32; 2],
    pub(crate) system_id: u64,
    pub(crate) timeline: u32,
    pub(crate) history: Vec<(u32, u64)>,
    pub(crate) wires: BTreeMap<u64, Wire>,
    next_wire: u64,
    pub(crate) down_until: Nanos,
    /// Before 14.19, 15.14, 16.10, 17.6: a lower acknowledgement takes the slot back.
    pub(crate) moves_back: bool,
    /// Changes from which on a transaction is sent in progress.
    pub(crate) streams_from: Option<usize>,
    /// The whole world writes nothing more.
    pub(crate) quiet: bool,
    /// Frames that were fast-forwarded over, for the table of what happened.
    pub(crate) fast_forwards: u64,
}

impl Postgres {
    pub(crate) fn new(system_id: u64, moves_back: bool) -> Self {
        Postgres {
            lsn: 0x100_0000,
            flushed: 0x100_0000,
            log: Vec::new(),
            running: Vec::new(),
            rows: Rows::new(),
            next_xid: 740,
            slot: None,
            publication: Some(publication()),
            oids: [FIRST_OID, FIRST_OID + 1],
            system_id,
            timeline: 1,
            history: Vec::new(),
            wires: BTreeMap::new(),
            next_wire: 1,
            down_until: 0,
            moves_back,
            streams_from: None,
            quiet: false,
            fast_forwards: 0,
        }
    }

    pub(crate) fn is_up(&self, now: Nanos) -> bool {
        now >= self.down_until
    }

    /// A record of `bytes` in the log; gives where it starts.
    pub(crate) fn write(&mut self, bytes: u64) -> u64 {
        let at = self.lsn;
        self.lsn += bytes;
        at
    }

    pub(crate) fn begin(&mut self) -> u32 {
        let xid = self.next_xid;
        self.next_xid += 1;
        self.running.push(Running {
            xid,
            changes: Vec::new(),
            view: BTreeMap::new(),
            truncated: 0,
            locks: BTreeSet::new(),
            committed: false,
        });
        xid
    }

    /// Whether nobody else holds the row or its table.
    pub(crate) fn is_free(&self, xid: u32, place: Place) -> bool {
        self.running
            .iter()
            .all(|tx| tx.xid == xid || (!tx.locks.contains(&place) && tx.truncated & (1 << place.0) == 0))
    }

    /// The row as the transaction sees it.
    pub(crate) fn see(&self, tx: &Running, place: Place) -> Option<Row> {
        if let Some(row) = tx.view.get(&place) {
            return *row;
        }
        if tx.truncated & (1 << place.0) != 0 { None } else { self.rows.get(&place).copied() }
    }

    pub(crate) fn change(&mut self, xid: u32, lsn: u64, op: Op) {
        let Some(tx) = self.running.iter_mut().find(|tx| tx.xid == xid) else { return };
        match op {
            Op::Insert { at, row } => {
                tx.view.insert(at, Some(row));
                tx.locks.insert(at);
            }
            Op::Update { from, at, row, .. } => {
                tx.view.insert(from, None);
                tx.view.insert(at, Some(row));
                tx.locks.extend([from, at]);
            }
            Op::Delete { at } => {
                tx.view.insert(at, None);
                tx.locks.insert(at);
            }
            Op::Truncate { tables } => {
                tx.truncated |= tables;
                tx.view.retain(|place, _| tables & (1 << place.0) == 0);
            }
            Op::Message => {}
        }
        let (sent, is_orphan) =
            (passes(self.publication.as_ref(), self.oids, op), self.publication.is_none());
        tx.changes.push(Change { lsn, op, sent, is_orphan });
    }

    /// Writes the commit record and flushes; the transaction is visible only after [`Postgres::show`].
    pub(crate) fn commit(&mut self, xid: u32) -> Option<&Committed> {
        let index = self.running.iter().position(|tx| tx.xid == xid)?;
        let commit_lsn = self.write(48);
        let end_lsn = self.lsn;
        self.flushed = end_lsn;
        let tx = &mut self.running[index];
        tx.committed = true;
        let changes = tx.changes.clone();
        self.log.push(Committed { xid, commit_lsn, end_lsn, changes, hidden: None });
        self.log.last()
    }

    /// Other transactions see it from now on, and may have its locks.
    pub(crate) fn show(&mut self, xid: u32) {
        let Some(index) = self.running.iter().position(|tx| tx.xid == xid && tx.committed) else { return };
        let tx = self.running.remove(index);
        apply(&mut self.rows, &tx.changes);
    }

    /// What a snapshot sees now: rows, `pg_current_snapshot()`, and the end of the log.
    pub(crate) fn snapshot(&self) -> (Rows, String, u64) {
        let running: Vec<u32> = self.running.iter().map(|tx| tx.xid).collect();
        let xmin = running.iter().copied().min().unwrap_or(self.next_xid);
        let list: Vec<String> = running.iter().map(u32::to_string).collect();
        (self.rows.clone(), format!("{xmin}:{}:{}", self.next_xid, list.join(",")), self.lsn)
    }

    /// Rows as of an LSN: all transactions that end at or before it.
    pub(crate) fn rows_at(&self, lsn: u64) -> Rows {
        let mut rows = Rows::new();
        for tx in self.log.iter().take_while(|tx| tx.end_lsn <= lsn) {
            apply(&mut rows, &tx.changes);
        }
        rows
    }

    /// The same for who knows the published changes only.
    pub(crate) fn published_rows_at(&self, lsn: u64) -> Rows {
        let mut rows = Rows::new();
        for tx in self.log.iter().take_while(|tx| tx.end_lsn <= lsn) {
            let sent: Vec<Change> = tx.changes.iter().filter_map(Change::as_sent).collect();
            apply(&mut rows, &sent);
        }
        rows
    }

    /// OIDs of the tables by their names.
    pub(crate) fn catalog(&self) -> BTreeMap<String, u32> {
        QUALIFIED.iter().zip(self.oids).map(|(name, oid)| ((*name).to_owned(), oid)).collect()
    }

    /// Whether the connection is done for, and all of it was read.
    pub(crate) fn is_refused(&self, id: u64) -> bool {
        self.wires.get(&id).is_some_and(|wire| wire.is_refused && wire.inbox.is_empty())
    }

    /// Creates the slot; nothing that runs now may be torn, so it waits for them: `None` while somebody runs.
    pub(crate) fn create_slot(&mut self) -> Option<Result<u64, &'static str>> {
        if self.slot.is_some() {
            return Some(Err("42710"));
        }
        if !self.running.is_empty() {
            return None;
        }
        let point = self.write(32) + 32;
        self.flushed = self.lsn;
        self.slot =
            Some(Slot { confirmed: point, on_disk: point, plugin: "pgoutput", lost: false, active: None });
        Some(Ok(point))
    }

    pub(crate) fn checkpoint(&mut self) {
        self.write(80);
        self.flushed = self.lsn;
        if let Some(slot) = &mut self.slot {
            slot.on_disk = slot.confirmed;
        }
    }

    /// `pg_ctl -m immediate`, and recovery.
    pub(crate) fn crash(&mut self, now: Nanos, for_how_long: Nanos) {
        self.wires.clear();
        self.lsn = self.flushed;
        let visible: Vec<u32> = self.running.iter().filter(|tx| tx.committed).map(|tx| tx.xid).collect();
        visible.into_iter().for_each(|xid| self.show(xid));
        self.running.clear();
        if let Some(slot) = &mut self.slot {
            slot.confirmed = slot.on_disk;
            slot.active = None;
        }
        self.down_until = now + for_how_long;
        self.write(120);
        self.flushed = self.lsn;
    }

    /// The state of an earlier time. `new_timeline`: promoted, as in recovery to a point in time; else an old image.
    pub(crate) fn go_back(&mut self, transactions: usize, new_timeline: bool) {
        self.wires.clear();
        self.running.clear();
        self.log.truncate(transactions);
        let end = self.log.last().map_or(0x100_0000 + 4096, |tx| tx.end_lsn);
        if new_timeline {
            self.history.push((self.timeline, end));
            self.timeline += 1;
        }
        self.rows = self.rows_at(end);
        (self.lsn, self.flushed) = (end, end);
        if let Some(slot) = &mut self.slot {
            slot.confirmed = slot.confirmed.min(end);
            slot.on_disk = slot.on_disk.min(end);
            slot.active = None;
        }
    }

    pub(crate) fn system(&self) -> System {
        System { system_id: self.system_id.to_string(), timeline: self.timeline, wal_end: Lsn(self.flushed) }
    }

    pub(crate) fn slot_info(&self, database: &str) -> Option<SlotInfo> {
        let slot = self.slot.as_ref()?;
        Some(SlotInfo {
            plugin: Some(slot.plugin.to_owned()),
            database: Some(database.to_owned()),
            active_pid: slot.active.map(|_| 4711),
            confirmed_flush_lsn: Some(Lsn(slot.confirmed)),
            restart_lsn: Some(Lsn(slot.confirmed)),
            wal_status: Some(if slot.lost { "lost" } else { "reserved" }.to_owned()),
            invalidation_reason: None,
            conflicting: false,
            temporary: false,
            two_phase: false,
        })
    }

    /// START_REPLICATION. `Err` is the SQLSTATE.
    pub(crate) fn start(&mut self, from: u64, now: Nanos) -> Result<u64, &'static str> {
        let Some(slot) = &mut self.slot else { return Err("42704") };
        if slot.active.is_some_and(|wire| self.wires.contains_key(&wire)) {
            return Err("55006");
        }
        if slot.lost {
            return Err("55000");
        }
        let id = self.next_wire;
        self.next_wire += 1;
        slot.active = Some(id);
        if from < slot.confirmed {
            self.fast_forwards += 1;
        }
        let from = from.max(slot.confirmed);
        let next = self.log.partition_point(|tx| tx.commit_lsn < from);
        let wire = Wire {
            start: from,
            next,
            rendered: VecDeque::new(),
            inbox: VecDeque::new(),
            in_flight: 0,
            sent_lsn: from,
            received: 0,
            described: [false; 2],
            streamed: Sent::default(),
            last_reply: now,
            reply_asked: false,
            last_flushed: 0,
            stalled_until: 0,
            is_refused: false,
        };
        self.wires.insert(id, wire);
        Ok(id)
    }

    /// Sends what there is and what the connection holds. Gives when something arrives.
    pub(crate) fn pump(&mut self, id: u64, now: Nanos, delay: Nanos) -> Option<Nanos> {
        let wire = self.wires.get_mut(&id)?;
        let earliest = wire.inbox.back().map_or(0, |(at, _, _)| *at).max(wire.stalled_until);
        let arrival = (now + delay).max(earliest);
        let mut sent = false;
        while wire.in_flight < WINDOW {
            if wire.rendered.is_empty() {
                // Whatever commits before the start is skipped, also what is yet to commit.
                while self.log.get(wire.next).is_some_and(|tx| tx.commit_lsn < wire.start) {
                    wire.next += 1;
                }
                let Some(tx) = self.log.get(wire.next) else {
                    // Caught up: a keepalive tells how far.
                    if wire.sent_lsn < self.flushed {
                        wire.sent_lsn = self.flushed;
                        let frame = keepalive(wire.sent_lsn, false);
                        wire.in_flight += frame.len();
                        wire.inbox.push_back((arrival, wire.sent_lsn, frame));
                        sent = true;
                    }
                    break;
                };
                if tx.changes.iter().any(|change| change.is_orphan) {
                    wire.is_refused = true;
                    break;
                }
                match self.streams_from {
                    None => render(tx, &mut wire.described, &mut wire.rendered),
                    Some(least) => {
                        let later = self.log.get(wire.next + 1..).unwrap_or_default().iter().take(3);
                        let later = later.map(|tx| (tx.xid, &*tx.changes));
                        let open = self.running.iter().filter(|tx| !tx.committed);
                        for others in later.chain(open.map(|tx| (tx.xid, &*tx.changes))) {
                            let seen = others.1.partition_point(|change| change.lsn < tx.commit_lsn);
                            if seen >= least {
                                wire.streamed.block(others, None, tx.commit_lsn, &mut wire.rendered);
                            }
                        }
                        if wire.streamed.has(tx.xid) || tx.changes.len() >= least {
                            wire.streamed.commit(tx, &mut wire.described, &mut wire.rendered);
                        } else {
                            render(tx, &mut wire.described, &mut wire.rendered);
                        }
                    }
                }
                wire.next += 1;
                // Inside of a transaction keepalives tell of what lies before its commit.
                wire.sent_lsn = wire.sent_lsn.max(tx.commit_lsn);
            }
            let Some((lsn, frame)) = wire.rendered.pop_front() else { break };
            wire.sent_lsn = wire.sent_lsn.max(lsn);
            wire.in_flight += frame.len();
            wire.inbox.push_back((arrival, lsn, frame));
            sent = true;
        }
        sent.then_some(arrival)
    }

    /// The next frame that has arrived.
    pub(crate) fn receive(&mut self, id: u64, now: Nanos) -> Option<Vec<u8>> {
        let wire = self.wires.get_mut(&id)?;
        let (at, _, _) = wire.inbox.front()?;
        if *at > now {
            return None;
        }
        let (_, lsn, frame) = wire.inbox.pop_front()?;
        wire.received = wire.received.max(lsn);
        wire.in_flight -= frame.len();
        Some(frame)
    }

    /// When the next frame arrives.
    pub(crate) fn next_arrival(&self, id: u64) -> Option<Nanos> {
        self.wires.get(&id)?.inbox.front().map(|(at, _, _)| *at)
    }

    /// A standby status update arrives. Nothing is checked: neither against the log's end nor what was sent.
    pub(crate) fn acknowledge(&mut self, id: u64, flushed: u64, now: Nanos) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        (wire.last_reply, wire.reply_asked, wire.last_flushed) = (now, false, flushed);
        let Some(slot) = self.slot.as_mut().filter(|slot| slot.active == Some(id)) else { return };
        if flushed > slot.confirmed || self.moves_back && flushed > 0 {
            slot.confirmed = flushed;
        }
    }

    /// The walsender's timer: asks, and hangs up on who stays silent. `true`: it hung up.
    pub(crate) fn sender_timer(&mut self, id: u64, now: Nanos) -> bool {
        let Some(wire) = self.wires.get_mut(&id) else { return false };
        if now - wire.last_reply > SENDER_TIMEOUT {
            self.cut(id);
            return true;
        }
        if now - wire.last_reply > SENDER_TIMEOUT / 2 && !wire.reply_asked {
            wire.reply_asked = true;
            let at = wire.inbox.back().map_or(0, |(at, _, _)| *at).max(now + MS).max(wire.stalled_until);
            let frame = keepalive(wire.sent_lsn, true);
            wire.in_flight += frame.len();
            wire.inbox.push_back((at, wire.sent_lsn, frame));
        }
        false
    }

    pub(crate) fn cut(&mut self, id: u64) {
        self.wires.remove(&id);
        if let Some(slot) = &mut self.slot {
            slot.active.take_if(|active| *active == id);
        }
    }
}

/// The publication that the connector was set up with.
pub(crate) fn publication() -> Published {
    let table = |oid| PublishedTable { oid, filter: None, columns: None };
    let oids = FIRST_OID..;
    Published {
        oid: 16_500,
        all_tables: false,
        via_root: false,
        operations: ["insert", "update", "delete", "truncate"].map(str::to_owned).to_vec(),
        tables: QUALIFIED.iter().zip(oids).map(|(name, oid)| ((*name).to_owned(), table(oid))).collect(),
    }
}

/// What a publication lets through of a change. A row filter is one that no row passes.
fn passes(publication: Option<&Published>, oids: [u32; 2], op: Op) -> Option<Op> {
    let publication = publication?;
    let has = |table: usize| {
        let found = publication.tables.get(QUALIFIED[table]);
        found.is_some_and(|found| found.oid == oids[table] && found.filter.is_none())
    };
    let (kind, tables) = match op {
        Op::Insert { at, .. } => ("insert", 1 << at.0),
        Op::Update { at, .. } => ("update", 1 << at.0),
        Op::Delete { at } => ("delete", 1 << at.0),
        Op::Truncate { tables } => ("truncate", tables),
        Op::Message => return Some(op),
    };
    let kept = (0..TABLES.len()).filter(|table| tables & (1 << table) != 0 && has(*table));
    let kept: u8 = kept.map(|table| 1 << table).sum();
    let passes = kept != 0 && publication.operations.iter().any(|operation| operation == kind);
    passes.then_some(if matches!(op, Op::Truncate { .. }) { Op::Truncate { tables: kept } } else { op })
}

/// Carries changes out on rows.
pub(crate) fn apply(rows: &mut Rows, changes: &[Change]) {
    for change in changes {
        match change.op {
            Op::Insert { at, row } => {
                rows.insert(at, row);
            }
            Op::Update { from, at, row, .. } => {
                rows.remove(&from);
                rows.insert(at, row);
            }
            Op::Delete { at } => {
                rows.remove(&at);
            }
            Op::Truncate { tables } => rows.retain(|place, _| tables & (1 << place.0) == 0),
            Op::Message => {}
        }
    }
}

fn keepalive(wal_end: u64, reply: bool) -> Vec<u8> {
    let mut frame = vec![b'k'];
    frame.extend_from_slice(&wal_end.to_be_bytes());
    frame.extend_from_slice(&0i64.to_be_bytes());
    frame.push(u8::from(reply));
    frame
}

pub(crate) fn frame(lsn: u64, message: &Message<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(96);
    encode::message(&mut body, message);
    let mut frame = Vec::with_capacity(body.len() + 25);
    encode::xlog_data(&mut frame, lsn, lsn, 0, &body);
    frame
}

fn render(tx: &Committed, described: &mut [bool; 2], out: &mut VecDeque<(u64, Vec<u8>)>) {
    let begin = Begin { final_lsn: Lsn(tx.commit_lsn), committed_at: 0, xid: tx.xid };
    let first = tx.changes.first().map_or(tx.commit_lsn, |change| change.lsn);
    out.push_back((0, frame(first, &Message::Begin(begin))));
    for (index, change) in tx.changes.iter().enumerate() {
        let Some(change) = change.as_sent().filter(|_| tx.hidden != Some(index)) else { continue };
        let tables = match change.op {
            Op::Insert { at, .. } | Op::Update { at, .. } | Op::Delete { at } => 1 << at.0,
            Op::Truncate { tables } => tables,
            Op::Message => 0,
        };
        for (table, described) in described.iter_mut().enumerate() {
            if tables & (1 << table) != 0 && !std::mem::replace(described, true) {
                out.push_back((0, frame(0, &relation(table))));
            }
        }
        out.push_back((0, frame(change.lsn, &data(&change, &mut Buffers::default()).message())));
    }
    let commit = Commit { commit_lsn: Lsn(tx.commit_lsn), end_lsn: Lsn(tx.end_lsn), committed_at: 0 };
    out.push_back((tx.end_lsn, frame(tx.commit_lsn, &Message::Commit(commit))));
}

#[derive(Default)]
pub(crate) struct Buffers {
    old: Option<TupleBuffer>,
    new: Option<TupleBuffer>,
}

pub(crate) struct Data<'b> {
    change: Change,
    buffers: &'b Buffers,
}

pub(crate) fn data<'b>(change: &Change, buffers: &'b mut Buffers) -> Data<'b> {
    match change.op {
        Op::Insert { at, row } => buffers.new = Some(tuple(at.1, &row, true)),
        Op::Update { from, at, row, sends_big } => {
            buffers.old = (from != at).then(|| key_tuple(from.1));
            buffers.new = Some(tuple(at.1, &row, sends_big));
        }
        Op::Delete { at } => buffers.old = Some(key_tuple(at.1)),
        Op::Truncate { .. } | Op::Message => {}
    }
    Data { change: *change, buffers }
}

impl Data<'_> {
    pub(crate) fn message(&self) -> Message<'_> {
        let oid = |at: Place| FIRST_OID + at.0 as u32;
        let old = self.buffers.old.as_ref().map_or(Old::Absent, |old| Old::Key(old.tuple()));
        let new = self.buffers.new.as_ref().map(TupleBuffer::tuple);
        match (self.change.op, new) {
            (Op::Insert { at, .. }, Some(new)) => {
                Message::Insert(Insert { xid: None, relation: oid(at), new })
            }
            (Op::Update { at, .. }, Some(new)) => {
                Message::Update(Update { xid: None, relation: oid(at), old, new })
            }
            (Op::Delete { at }, _) => Message::Delete(Delete { xid: None, relation: oid(at), old }),
            (Op::Truncate { tables }, _) => Message::Truncate(Truncate {
                xid: None,
                cascade: false,
                restart_identity: false,
                relations: (0..2).filter(|t| tables & (1 << t) != 0).map(|t| FIRST_OID + t).collect(),
            }),
            _ => Message::Logical(Logical {
                xid: None,
                transactional: true,
                lsn: Lsn(self.change.lsn),
                prefix: "p",
                content: b"x",
            }),
        }
    }
}

fn tuple(id: i32, row: &Row, sends_big: bool) -> TupleBuffer {
    let (id, v, big) = (id.to_string(), row.v.map(|v| format!("v{v}")), big_text(row.big));
    TupleBuffer::new([
        Value::Text(id.as_bytes()),
        v.as_ref().map_or(Value::Null, |v| Value::Text(v.as_bytes())),
        if sends_big { Value::Text(big.as_bytes()) } else { Value::UnchangedToast },
    ])
}

fn key_tuple(id: i32) -> TupleBuffer {
    TupleBuffer::text([Some(id.to_string().as_str()), None, None])
}

pub(crate) fn big_text(big: u32) -> String {
    format!("b{big}")
}

pub(crate) fn relation(table: usize) -> Message<'static> {
    let column = |name, is_key, type_oid| RelationColumn { is_key, name, type_oid, type_modifier: -1 };
    Message::Relation(Relation {
        xid: None,
        oid: FIRST_OID + table as u32,
        namespace: "public",
        name: TABLES[table],
        replica_identity: ReplicaIdentity::Default,
        columns: vec![column("id", true, 23), column("v", false, 25), column("big", false, 25)],
    })
}

/// The catalog's answer for any of the tables.
pub(crate) fn facts() -> TableFacts {
    let column = |name: &str, not_null| ColumnFacts { name: name.to_owned(), not_null, default: None };
    TableFacts {
        columns: vec![column("id", true), column("v", false), column("big", false)],
        key: vec!["id".to_owned()],
        types: vec![],
    }
}

/// The catalog's list of tables.
pub(crate) fn tables() -> Vec<Table> {
    let table = |(index, name): (usize, &&str)| Table {
        oid: FIRST_OID + index as u32,
        schema: "public".to_owned(),
        name: (*name).to_owned(),
        replica_identity: 'd',
        is_partitioned: false,
        is_partition: false,
        is_unlogged: false,
        has_primary_key: true,
        rows_estimate: 10.0,
    };
    TABLES.iter().enumerate().map(table).collect()
}

/// A row in COPY's text format.
pub(crate) fn copy_line(id: i32, row: &Row) -> Vec<u8> {
    let v = row.v.map_or("\\N".to_owned(), |v| format!("v{v}"));
    format!("{id}\t{v}\t{}\n", big_text(row.big)).into_bytes()
}
