//! Transactions that are streamed in progress give the events, ids and positions that they give after their commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cdcd_capture::config::TransactionTopic;
use cdcd_capture::spool::{Spool, SpoolError};
use cdcd_capture::{Config, Error, Pace};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::encode::TupleBuffer;
use cdcd_pgoutput::message::{Begin, Commit, Insert, Logical, Message, Origin, Truncate};
use cdcd_pgoutput::relation::{Relation, RelationColumn, ReplicaIdentity};
use proptest::prelude::*;

use crate::harness::{Harness, NOW_NS, Sent, config, row};

type Files = Arc<Mutex<BTreeMap<u32, Vec<u8>>>>;

/// A spool in memory that a test can look at and spoil.
struct Memory(Files);

impl Spool for Memory {
    fn append(&mut self, xid: u32, bytes: &[u8]) -> Result<(), SpoolError> {
        self.0.lock().unwrap().entry(xid).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, xid: u32, offset: u64, into: &mut [u8]) -> Result<usize, SpoolError> {
        let files = self.0.lock().unwrap();
        let rest = files.get(&xid).and_then(|file| file.get(offset as usize..)).unwrap_or_default();
        // Odd pieces, so that records are torn.
        let length = rest.len().min(into.len()).min(101);
        into[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn remove(&mut self, xid: u32) -> Result<(), SpoolError> {
        self.0.lock().unwrap().remove(&xid);
        Ok(())
    }
}

fn settings() -> Config {
    Config {
        event_ids: true,
        transactions: Some(TransactionTopic { name: "srv.transaction".to_owned() }),
        ..config()
    }
}

struct Receiver {
    h: Harness,
    files: Files,
}

impl Receiver {
    fn new() -> Self {
        Receiver::with(Harness::new(settings()))
    }

    fn with(mut h: Harness) -> Self {
        let files = Files::default();
        let spool = Box::new(Memory(files.clone()));
        let bare = std::mem::replace(&mut h.capture, Harness::new(config()).capture);
        h.capture = bare.with_spool(spool);
        Receiver { h, files }
    }

    fn feed(&mut self, lsn: u64, message: &Message<'_>) -> Result<(), Error> {
        self.h.feed_at(lsn, message)?;
        while self.play()? {}
        Ok(())
    }

    fn play(&mut self) -> Result<bool, Error> {
        let played = self.h.capture.handle_spooled(NOW_NS)?;
        if self.h.capture.poll_catalog_request().is_some() {
            let facts = self.h.facts.clone();
            self.h.capture.handle_catalog(&facts)?;
        }
        Ok(played)
    }

    fn spooled(&self) -> Vec<u32> {
        self.files.lock().unwrap().keys().copied().collect()
    }
}

/// What a session does; the place in the list is the place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Insert,
    Truncate,
    Emit,
    AddColumn,
    Savepoint,
    RollbackTo,
    Commit,
    Rollback,
}

/// One change as the server decodes it: `columns` is what the table had then.
#[derive(Debug, Clone, Copy)]
struct Change {
    lsn: u64,
    xid: u32,
    act: Act,
    columns: usize,
}

#[derive(Debug, Default)]
struct Session {
    top: u32,
    /// Subtransactions with the columns that the table had before them.
    savepoints: Vec<(u32, usize)>,
    columns: usize,
    changes: Vec<Change>,
    aborted: Vec<u32>,
    has_emitted: bool,
}

/// Both ways in which a server sends the same log.
struct Server {
    sessions: Vec<Session>,
    next_xid: u32,
    /// How many columns of each table the receiver knows of.
    plain: (Receiver, BTreeMap<u32, usize>),
    streamed: (Receiver, BTreeMap<u32, usize>),
    /// Of a streamed transaction: changes sent, and the columns of its table that were sent with them.
    sent: BTreeMap<u32, (usize, Option<usize>)>,
    /// Changes in memory at which a transaction is streamed.
    block: usize,
}

const COLUMNS: [&str; 6] = ["id", "v", "c2", "c3", "c4", "c5"];

fn relation(oid: u32, columns: usize, xid: Option<u32>) -> Message<'static> {
    let column = |(place, name): (usize, &&'static str)| RelationColumn {
        is_key: place == 0,
        name,
        type_oid: if place == 0 { 23 } else { 25 },
        type_modifier: -1,
    };
    Message::Relation(Relation {
        xid,
        oid,
        namespace: "public",
        name: ["h1", "h2", "h3", "h4"][(oid - 1) as usize],
        replica_identity: ReplicaIdentity::Default,
        columns: COLUMNS.iter().take(columns).enumerate().map(column).collect(),
    })
}

fn values(change: &Change) -> TupleBuffer {
    let id = change.lsn.to_string();
    row((0..change.columns).map(|place| if place == 0 { Some(id.as_str()) } else { Some("x") }))
}

/// The message of a change; in a block with transaction ids as the server gives them.
fn message<'a>(change: &Change, oid: u32, row: &'a TupleBuffer, block: Option<u32>) -> Message<'a> {
    match change.act {
        Act::Truncate => Message::Truncate(Truncate {
            xid: block.map(|_| change.xid),
            cascade: false,
            restart_identity: false,
            relations: vec![oid],
        }),
        Act::Emit => Message::Logical(Logical {
            xid: block,
            transactional: true,
            lsn: Lsn(change.lsn),
            prefix: "p",
            content: b"content",
        }),
        _ => Message::Insert(Insert { xid: block.map(|_| change.xid), relation: oid, new: row.tuple() }),
    }
}

impl Server {
    fn new(block: usize) -> Self {
        Server {
            sessions: (0..4).map(|_| Session { columns: 2, ..Session::default() }).collect(),
            next_xid: 700,
            plain: (Receiver::new(), BTreeMap::new()),
            streamed: (Receiver::new(), BTreeMap::new()),
            sent: BTreeMap::new(),
            block,
        }
    }

    fn act(&mut self, nth: usize, act: Act, lsn: u64) {
        let oid = nth as u32 + 1;
        let session = &mut self.sessions[nth];
        if session.top == 0 {
            self.next_xid += 1;
            session.top = self.next_xid;
        }
        let xid = session.savepoints.last().map_or(session.top, |(xid, _)| *xid);
        match act {
            // The server does not say whether a message was rolled back with a subtransaction: a test of its own.
            Act::Emit if session.savepoints.len() + session.aborted.len() > 0 => {}
            Act::Savepoint | Act::RollbackTo if session.has_emitted => {}
            Act::Insert | Act::Truncate | Act::Emit => {
                session.has_emitted |= act == Act::Emit;
                session.changes.push(Change { lsn, xid, act, columns: session.columns });
                if session.changes.len() - self.sent.get(&session.top).map_or(0, |sent| sent.0) >= self.block
                {
                    self.stream(nth, oid);
                }
            }
            Act::AddColumn => session.columns = (session.columns + 1).min(COLUMNS.len()),
            Act::Savepoint => {
                self.next_xid += 1;
                session.savepoints.push((self.next_xid, session.columns));
            }
            Act::RollbackTo => {
                if let Some((sub, columns)) = session.savepoints.pop() {
                    session.columns = columns;
                    self.abort_sub(nth, sub, lsn);
                }
            }
            Act::Commit => self.commit(nth, oid, lsn),
            Act::Rollback => {
                let session = std::mem::take(&mut self.sessions[nth]);
                if self.sent.remove(&session.top).is_some() {
                    self.abort(session.top, session.top, lsn);
                }
                let before = session.savepoints.first().map_or(session.columns, |(_, columns)| *columns);
                self.sessions[nth].columns = before;
            }
        }
    }

    fn abort(&mut self, xid: u32, sub_xid: u32, lsn: u64) {
        self.streamed.0.feed(lsn, &Message::StreamAbort { xid, sub_xid, abort: None }).unwrap();
    }

    fn abort_sub(&mut self, nth: usize, sub: u32, lsn: u64) {
        let session = &mut self.sessions[nth];
        let sent = self.sent.get_mut(&session.top);
        let was_sent = sent
            .as_ref()
            .is_some_and(|sent| session.changes[..sent.0].iter().any(|change| change.xid == sub));
        if let Some((count, known)) = sent {
            // What is in memory is forgotten, what was sent is taken back, and tables are described again.
            let kept = *count;
            let mut place = 0;
            session.changes.retain(|change| {
                place += 1;
                place <= kept || change.xid != sub
            });
            *known = None;
        } else {
            session.changes.retain(|change| change.xid != sub);
        }
        session.aborted.push(sub);
        let top = session.top;
        if was_sent {
            self.abort(top, sub, lsn);
        }
    }

    /// Sends what is in memory of a transaction in progress.
    fn stream(&mut self, nth: usize, oid: u32) {
        let session = &self.sessions[nth];
        let top = session.top;
        let (count, known) = self.sent.entry(top).or_insert((0, None));
        let receiver = &mut self.streamed.0;
        let Some(first) = session.changes.get(*count) else { return };
        receiver.feed(first.lsn, &Message::StreamStart { xid: top, first: *count == 0 }).unwrap();
        for change in &session.changes[*count..] {
            if change.act != Act::Emit && *known != Some(change.columns) {
                *known = Some(change.columns);
                receiver.feed(0, &relation(oid, change.columns, Some(change.xid))).unwrap();
            }
            receiver.feed(change.lsn, &message(change, oid, &values(change), Some(top))).unwrap();
        }
        receiver.feed(0, &Message::StreamStop).unwrap();
        *count = session.changes.len();
    }

    fn commit(&mut self, nth: usize, oid: u32, lsn: u64) {
        if self.sent.contains_key(&self.sessions[nth].top) {
            self.stream(nth, oid);
        }
        let session = std::mem::take(&mut self.sessions[nth]);
        self.sessions[nth].columns = session.columns;
        let end = Commit { commit_lsn: Lsn(lsn), end_lsn: Lsn(lsn + 4), committed_at: lsn as i64 };
        let survives = |change: &&Change| !session.aborted.contains(&change.xid);
        let changes: Vec<Change> = session.changes.iter().filter(survives).copied().collect();
        send_plain(&mut self.plain, session.top, oid, &changes, end);
        match self.sent.remove(&session.top) {
            None => send_plain(&mut self.streamed, session.top, oid, &changes, end),
            Some((_, known)) => {
                let commit = Message::StreamCommit { xid: session.top, commit: end };
                self.streamed.0.feed(end.end_lsn.0, &commit).unwrap();
                if let Some(known) = known {
                    self.streamed.1.insert(oid, known);
                }
            }
        }
    }
}

/// A transaction after its commit; an empty one is not sent.
fn send_plain(
    (receiver, known): &mut (Receiver, BTreeMap<u32, usize>),
    xid: u32,
    oid: u32,
    changes: &[Change],
    end: Commit,
) {
    let Some(first) = changes.first() else { return };
    let begin = Begin { final_lsn: end.commit_lsn, committed_at: end.committed_at, xid };
    receiver.feed(first.lsn, &Message::Begin(begin)).unwrap();
    for change in changes {
        if change.act != Act::Emit && known.insert(oid, change.columns) != Some(change.columns) {
            receiver.feed(0, &relation(oid, change.columns, None)).unwrap();
        }
        receiver.feed(change.lsn, &message(change, oid, &values(change), None)).unwrap();
    }
    receiver.feed(end.end_lsn.0, &Message::Commit(end)).unwrap();
}

/// Acts of four sessions, streamed from `block` changes on.
fn both(block: usize, acts: &[(usize, Act)]) -> (Vec<Sent>, Server) {
    let mut server = Server::new(block);
    for (place, (nth, act)) in acts.iter().enumerate() {
        server.act(*nth, *act, 1000 + 8 * place as u64);
    }
    let plain = server.plain.0.h.sent();
    let streamed = server.streamed.0.h.sent();
    assert_eq!(plain.len(), streamed.len());
    for (plain, streamed) in plain.iter().zip(&streamed) {
        assert_eq!(plain, streamed);
    }
    (streamed, server)
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop_oneof![
        12 => Just(Act::Insert),
        1 => Just(Act::Truncate),
        1 => Just(Act::Emit),
        2 => Just(Act::AddColumn),
        3 => Just(Act::Savepoint),
        2 => Just(Act::RollbackTo),
        3 => Just(Act::Commit),
        1 => Just(Act::Rollback),
    ];
    proptest::collection::vec((0..4usize, act), 1..160)
}

proptest! {
    /// Keys, values, headers with event ids, transaction metadata: all of it.
    #[test]
    fn streamed_and_whole_transactions_give_equal_events(block in 1..6usize, acts in acts()) {
        let (_, server) = both(block, &acts);
        let mut open: Vec<u32> = server.sent.keys().copied().collect();
        open.sort_unstable();
        prop_assert_eq!(server.streamed.0.spooled(), open);
    }
}

#[test]
fn a_change_in_a_rolled_back_subtransaction_has_no_event_and_no_ordinal() {
    use Act::{Commit, Insert, RollbackTo, Savepoint};
    let acts = [Insert, Savepoint, Insert, Insert, RollbackTo, Insert, Commit].map(|act| (0, act));
    let (sent, server) = both(2, &acts);
    let ids: Vec<String> = sent
        .iter()
        .filter(|sent| sent.topic == "srv.public.h1")
        .map(|sent| sent.headers.iter().find(|(name, _)| name == "cdcd.eid").unwrap().1.clone())
        .collect();
    assert_eq!(ids, ["0-1048-0-0", "0-1048-1-0"]);
    assert!(server.streamed.0.spooled().is_empty());
}

fn start(xid: u32, first: bool) -> Message<'static> {
    Message::StreamStart { xid, first }
}

fn insert(xid: u32, row: &TupleBuffer) -> Message<'_> {
    Message::Insert(Insert { xid: Some(xid), relation: 1, new: row.tuple() })
}

/// A transaction of two changes, up to its commit at 2000.
fn in_progress(receiver: &mut Receiver, xid: u32) {
    let two = row([Some("1"), Some("a")]);
    receiver.feed(1000, &start(xid, true)).unwrap();
    receiver.feed(0, &relation(1, 2, Some(xid))).unwrap();
    receiver.feed(1000, &insert(xid, &two)).unwrap();
    receiver.feed(1008, &insert(xid, &two)).unwrap();
    receiver.feed(0, &Message::StreamStop).unwrap();
}

fn stream_commit(xid: u32, lsn: u64) -> Message<'static> {
    let commit = Commit { commit_lsn: Lsn(lsn), end_lsn: Lsn(lsn + 8), committed_at: 0 };
    Message::StreamCommit { xid, commit }
}

#[test]
fn nothing_leaves_and_nothing_is_acknowledged_before_the_commit() {
    let mut receiver = Receiver::new();
    in_progress(&mut receiver, 7);
    assert!(receiver.h.sent().is_empty() && !receiver.h.capture.in_transaction());
    assert_eq!(receiver.spooled(), [7]);
    receiver.h.keepalive(1500);
    let point = receiver.h.capture.poll_commit(0, Pace::Stopping).unwrap();
    assert_eq!((point.done_end_lsn, point.open), (Lsn(1500), None));
    receiver.h.capture.handle_committed();
    receiver.h.feed_at(2008, &stream_commit(7, 2000)).unwrap();
    assert!(receiver.h.capture.in_transaction(), "an end position waits for the playback");
    while receiver.play().unwrap() {}
    assert_eq!(receiver.h.sent().len(), 4, "BEGIN, two changes, END");
    assert_eq!(receiver.h.capture.poll_commit(0, Pace::Stopping).unwrap().done_end_lsn, Lsn(2008));
}

/// A position in the middle of a playback is the same as in a whole transaction, and either way goes on from there.
#[test]
fn a_cut_transaction_goes_on_by_either_protocol() {
    let two = row([Some("1"), Some("a")]);
    let mut receiver = Receiver::new();
    in_progress(&mut receiver, 7);
    receiver.h.feed_at(2008, &stream_commit(7, 2000)).unwrap();
    while receiver.h.capture.stats().records < 2 {
        assert!(receiver.play().unwrap());
    }
    receiver.h.sent();
    let open = receiver.h.capture.poll_commit(0, Pace::Stopping).unwrap().open.unwrap();
    assert_eq!((open.commit_lsn.0, open.xid, open.ordinal_next), (Lsn(2000), 7, 1));

    let mut again = Receiver::with(Harness::with_open(settings(), open.clone()));
    in_progress(&mut again, 7);
    again.feed(2008, &stream_commit(7, 2000)).unwrap();
    let streamed = again.h.sent();

    let mut whole = Receiver::with(Harness::with_open(settings(), open));
    let begin = Begin { final_lsn: Lsn(2000), committed_at: 0, xid: 7 };
    whole.feed(1000, &Message::Begin(begin)).unwrap();
    whole.feed(0, &relation(1, 2, None)).unwrap();
    for lsn in [1000, 1008] {
        let plain = Message::Insert(Insert { xid: None, relation: 1, new: two.tuple() });
        whole.feed(lsn, &plain).unwrap();
    }
    let Message::StreamCommit { commit, .. } = stream_commit(7, 2000) else { unreachable!() };
    whole.feed(2008, &Message::Commit(commit)).unwrap();
    assert_eq!(whole.h.sent(), streamed);
    assert_eq!(streamed.len(), 2, "one change and END");
}

/// In a stream the server does not say where the commit is on the origin, which is in every event.
#[test]
fn a_transaction_of_an_origin_is_asked_for_in_another_way() {
    let mut receiver = Receiver::new();
    receiver.feed(0, &start(7, true)).unwrap();
    let origin = Message::Origin(Origin { origin_lsn: Lsn(0), name: "elsewhere" });
    assert!(matches!(receiver.feed(900, &origin), Err(Error::Unstreamable { xid: 7, .. })));
}

/// The server gives a streamed message the top-level transaction, whatever subtransaction it belongs to.
#[test]
fn a_message_that_may_have_been_rolled_back_is_asked_for_in_another_way() {
    let emit = |xid| {
        Message::Logical(Logical {
            xid: Some(xid),
            transactional: true,
            lsn: Lsn(1000),
            prefix: "p",
            content: b"",
        })
    };
    let abort = Message::StreamAbort { xid: 7, sub_xid: 8, abort: None };
    let run = |before: bool| {
        let mut receiver = Receiver::new();
        receiver.feed(1000, &start(7, true)).unwrap();
        if before {
            receiver.feed(1000, &emit(7)).unwrap();
        }
        receiver.feed(0, &Message::StreamStop).unwrap();
        receiver.feed(1008, &abort).unwrap();
        if !before {
            receiver.feed(1016, &start(7, false)).unwrap();
            receiver.feed(1016, &emit(7)).unwrap();
            receiver.feed(0, &Message::StreamStop).unwrap();
        }
        receiver.feed(2008, &stream_commit(7, 2000))
    };
    assert!(matches!(run(true), Err(Error::Unstreamable { xid: 7, .. })));
    run(false).unwrap();
}

#[test]
fn a_message_outside_of_transactions_is_sent_at_once() {
    let mut receiver = Receiver::new();
    in_progress(&mut receiver, 7);
    let logical = |xid| {
        Message::Logical(Logical { xid, transactional: false, lsn: Lsn(1200), prefix: "p", content: b"" })
    };
    receiver.feed(1200, &logical(None)).unwrap();
    assert_eq!(receiver.h.sent().len(), 1);
    receiver.feed(1300, &start(7, false)).unwrap();
    receiver.feed(1300, &logical(Some(7))).unwrap();
    assert_eq!(receiver.h.sent().len(), 1);
}

/// Another transaction can be told of a newer shape while this one is in progress: a column list that changed.
#[test]
fn a_description_that_came_later_is_in_force_after_the_playback() {
    let mut receiver = Receiver::new();
    in_progress(&mut receiver, 7);
    let plain = |receiver: &mut Receiver, lsn: u64, describe: bool| {
        let begin = Begin { final_lsn: Lsn(lsn), committed_at: 0, xid: 8 };
        let one = row([Some("2")]);
        receiver.feed(lsn - 8, &Message::Begin(begin)).unwrap();
        if describe {
            receiver.feed(0, &relation(1, 1, None)).unwrap();
        }
        let insert = Message::Insert(Insert { xid: None, relation: 1, new: one.tuple() });
        receiver.feed(lsn - 8, &insert).unwrap();
        let end = Commit { commit_lsn: Lsn(lsn), end_lsn: Lsn(lsn + 8), committed_at: 0 };
        receiver.feed(lsn + 8, &Message::Commit(end)).unwrap();
    };
    plain(&mut receiver, 1500, true);
    receiver.feed(2008, &stream_commit(7, 2000)).unwrap();
    plain(&mut receiver, 2100, false);
    let rows: Vec<String> = receiver
        .h
        .sent()
        .iter()
        .filter(|sent| sent.topic == "srv.public.h1")
        .map(|sent| sent.change().split("-> ").last().unwrap().to_owned())
        .collect();
    assert_eq!(rows, [r#"{"id":2}"#, r#"{"id":1,"v":"a"}"#, r#"{"id":1,"v":"a"}"#, r#"{"id":2}"#]);
}

#[test]
fn what_was_kept_must_be_what_was_written() {
    type Spoil = fn(&mut Vec<u8>);
    let spoils: [(Spoil, &str); 4] = [
        (|file| *file.last_mut().unwrap() ^= 1, "a checksum is wrong"),
        (|file| file.truncate(file.len() - 1), "shorter than what was written"),
        (|file| file[0] = 1, "longer than what is left"),
        (|file| file.clear(), "shorter than what was written"),
    ];
    for (spoil, expected) in spoils {
        let mut receiver = Receiver::new();
        in_progress(&mut receiver, 7);
        spoil(receiver.files.lock().unwrap().get_mut(&7).unwrap());
        let error = receiver.feed(2008, &stream_commit(7, 2000)).unwrap_err();
        assert!(error.to_string().contains("E_SPOOL_CORRUPT"), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_stream_that_breaks_the_rules_is_refused() {
    let refused = |messages: &[Message<'_>]| {
        let mut receiver = Receiver::new();
        let outcome = messages.iter().try_for_each(|message| receiver.feed(1000, message));
        assert!(matches!(outcome, Err(Error::Protocol { .. })), "{messages:?}: {outcome:?}");
    };
    refused(&[start(7, false)]);
    refused(&[start(7, true), Message::StreamStop, start(7, true)]);
    refused(&[start(7, true), start(8, true)]);
    refused(&[Message::StreamStop]);
    refused(&[stream_commit(7, 2000)]);
    refused(&[start(7, true), stream_commit(7, 2000)]);
    let mut unasked = Harness::new(config());
    assert!(matches!(unasked.feed_at(1000, &start(7, true)), Err(Error::Protocol { .. })));
}

/// What a block and its playback allocate does not grow with its changes.
#[test]
fn a_streamed_change_allocates_nothing() {
    let mut h = Harness::new(config());
    let spool = Fixed { bytes: Vec::with_capacity(8 << 20) };
    let bare = std::mem::replace(&mut h.capture, Harness::new(config()).capture);
    h.capture = bare.with_spool(Box::new(spool));
    let two = row([Some("1"), Some("a")]);
    let encoded = |message: &Message<'_>| {
        let mut body = Vec::new();
        cdcd_pgoutput::encode::message(&mut body, message);
        body
    };
    let (begin, change, stop) =
        (encoded(&start(7, true)), encoded(&insert(7, &two)), encoded(&Message::StreamStop));
    let describe = encoded(&relation(1, 2, Some(7)));
    let mut lsn = 30_000_000;
    let mut run = |changes: usize| {
        lsn += 100;
        let commit = encoded(&stream_commit(7, lsn));
        let measured = allocation_counter::measure(|| {
            for body in [&begin, &describe] {
                h.feed_body(body);
            }
            (0..changes).for_each(|_| h.feed_body(&change));
            h.feed_body(&stop);
            h.feed_body(&commit);
            while h.capture.handle_spooled(NOW_NS).unwrap() {
                if h.capture.poll_catalog_request().is_some() {
                    let facts = h.facts.clone();
                    h.capture.handle_catalog(&facts).unwrap();
                }
            }
            h.capture.send_records(|_| cdcd_capture::Flow::Taken);
        });
        measured.count_total
    };
    run(2000);
    run(2000);
    assert_eq!(run(2000), run(100));
}

/// A spool with room for one transaction.
struct Fixed {
    bytes: Vec<u8>,
}

impl Spool for Fixed {
    fn append(&mut self, _: u32, bytes: &[u8]) -> Result<(), SpoolError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, _: u32, offset: u64, into: &mut [u8]) -> Result<usize, SpoolError> {
        let rest = &self.bytes[offset as usize..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn remove(&mut self, _: u32) -> Result<(), SpoolError> {
        self.bytes.clear();
        Ok(())
    }
}
