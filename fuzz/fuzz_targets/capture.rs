//! Any sequence of messages, answers and commits: no panic, nothing acknowledged that was not committed or not received,
//! and every record is made of the transaction that is open.
#![no_main]

use arbitrary::Arbitrary;
use cdcd_capture::catalog::TableFacts;
use cdcd_capture::{Capture, Config, Flow, Pace, Start};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::encode::{self, TupleBuffer};
use cdcd_pgoutput::message::{Begin, Commit, Delete, Insert, Message, Old, Truncate, Update};
use cdcd_pgoutput::relation::{Relation, RelationColumn, ReplicaIdentity};
use cdcd_pgoutput::replication::{PrimaryKeepalive, XLogData};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Begin,
    Commit,
    Relation { oid: u8, columns: u8 },
    Insert { oid: u8, values: Vec<&'a str> },
    Update { oid: u8, old: Option<Vec<&'a str>>, values: Vec<&'a str> },
    Delete { oid: u8, values: Vec<&'a str> },
    Truncate { oid: u8 },
    Keepalive { ahead: u8 },
    Raw(&'a [u8]),
    Facts { key: bool },
    Send { room: u8 },
    PollCommit { pace: u8 },
    Committed,
    Status,
    Timer { seconds: u8 },
}

struct World {
    capture: Capture,
    lsn: u64,
    now: i64,
    /// Highest position that was handed out for a commit, and is not committed.
    pending: Option<Lsn>,
    committed: Lsn,
    open: bool,
}

const COLUMNS: [&str; 4] = ["id", "a", "b", "c"];

fn row(values: &[&str]) -> TupleBuffer {
    TupleBuffer::text(values.iter().map(|value| Some(*value)))
}

impl World {
    fn give(&mut self, message: &Message<'_>) -> bool {
        let mut body = Vec::new();
        encode::message(&mut body, message);
        self.raw(&body)
    }

    /// Says whether the machine is still of use: an error is for a person, and ends it.
    fn raw(&mut self, body: &[u8]) -> bool {
        self.lsn += 8;
        let data = XLogData { wal_start: Lsn(self.lsn), wal_end: Lsn(self.lsn), sent_at: 0, body };
        self.capture.handle_xlog_data(&data, self.now).is_ok() && self.answer(true)
    }

    fn answer(&mut self, key: bool) -> bool {
        if self.capture.poll_catalog_request().is_none() {
            return true;
        }
        let key = if key { vec!["id".to_owned()] } else { Vec::new() };
        self.capture.handle_catalog(&TableFacts { key, ..TableFacts::default() }).is_ok()
    }

    fn step(&mut self, step: &Step<'_>) -> bool {
        let oid = |oid: &u8| u32::from(*oid % 3) + 1;
        match step {
            Step::Begin => {
                self.open = true;
                let final_lsn = Lsn(self.lsn + 1_000);
                self.give(&Message::Begin(Begin { final_lsn, committed_at: 0, xid: 9 }))
            }
            Step::Commit => {
                self.open = false;
                let (commit_lsn, end_lsn) = (Lsn(self.lsn + 8), Lsn(self.lsn + 16));
                self.give(&Message::Commit(Commit { commit_lsn, end_lsn, committed_at: 0 }))
            }
            Step::Relation { oid: table, columns } => {
                let column = |(index, name): (usize, &&'static str)| RelationColumn {
                    is_key: index == 0,
                    name,
                    type_oid: 25,
                    type_modifier: -1,
                };
                let count = usize::from(*columns % 4) + 1;
                self.give(&Message::Relation(Relation {
                    xid: None,
                    oid: oid(table),
                    namespace: "public",
                    name: "t",
                    replica_identity: ReplicaIdentity::Default,
                    columns: COLUMNS.iter().enumerate().map(column).take(count).collect(),
                }))
            }
            Step::Insert { oid: table, values } => {
                let new = row(values);
                self.give(&Message::Insert(Insert { xid: None, relation: oid(table), new: new.tuple() }))
            }
            Step::Update { oid: table, old, values } => {
                let (new, before) = (row(values), old.as_ref().map(|old| row(old)));
                let old = before.as_ref().map_or(Old::Absent, |old| Old::Row(old.tuple()));
                self.give(&Message::Update(Update { xid: None, relation: oid(table), old, new: new.tuple() }))
            }
            Step::Delete { oid: table, values } => {
                let old = row(values);
                self.give(&Message::Delete(Delete { xid: None, relation: oid(table), old: Old::Key(old.tuple()) }))
            }
            Step::Truncate { oid: table } => self.give(&Message::Truncate(Truncate {
                xid: None,
                relations: vec![oid(table)],
                cascade: false,
                restart_identity: false,
            })),
            Step::Keepalive { ahead } => {
                self.lsn += u64::from(*ahead);
                let keepalive =
                    PrimaryKeepalive { wal_end: Lsn(self.lsn), sent_at: 0, reply_requested: *ahead & 1 == 1 };
                self.capture.handle_keepalive(&keepalive).is_ok()
            }
            Step::Raw(body) => self.raw(body),
            Step::Facts { key } => self.answer(*key),
            Step::Send { room } => {
                let mut left = *room;
                self.capture.send_records(|_| {
                    if left == 0 {
                        return Flow::Full;
                    }
                    left -= 1;
                    Flow::Taken
                });
                true
            }
            Step::PollCommit { pace } => {
                // The run loop asks only when everything was sent and nothing is under way.
                if self.pending.is_none() && self.capture.pending_bytes() == 0 {
                    let pace = [Pace::Busy, Pace::Idle, Pace::Stopping][usize::from(*pace % 3)];
                    if let Some(point) = self.capture.poll_commit(self.now, pace) {
                        assert!(point.done_end_lsn >= self.committed, "a position never goes back");
                        self.pending = Some(point.done_end_lsn);
                    }
                }
                true
            }
            Step::Committed => {
                if let Some(position) = self.pending.take() {
                    self.committed = position;
                    self.capture.handle_committed();
                }
                true
            }
            Step::Status => {
                if let Some(update) = self.capture.poll_status_update(self.now) {
                    assert!(update.flushed <= self.committed, "acknowledged beyond what is committed");
                    assert!(update.written.0 <= self.lsn + 16, "acknowledged beyond what was received");
                }
                true
            }
            Step::Timer { seconds } => {
                self.now += i64::from(*seconds) * 1_000_000_000;
                self.capture.handle_timer(self.now);
                true
            }
        }
    }
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let start = Lsn(1_000);
    let capture = Capture::new(Config::default(), Start::at(start)).expect("a start without a snapshot");
    let mut world = World { capture, lsn: 1_000, now: 1, pending: None, committed: start, open: false };
    for step in &steps {
        if !world.step(step) {
            return;
        }
    }
});
