//! The models against what the real systems were seen to do.
//!
//! The probes are those behind the observed facts: what a walsender client of PostgreSQL 15.18 was answered, and what
//! Kafka's transactions do under either protocol.

use std::collections::BTreeMap;

use crate::kafka::{Kafka, Record, Refusal, Upto};
use crate::postgres::{Op, Postgres, Row};
use crate::time::SECOND;
use cdcd_pgoutput::message::Message;
use cdcd_pgoutput::replication::Frame;
use std::rc::Rc;

/// A server with a slot, and so many transactions of one row behind it.
fn server(transactions: usize) -> Postgres {
    let mut pg = Postgres::new(1, false);
    assert!(matches!(pg.create_slot(), Some(Ok(_))));
    for id in 0..transactions {
        insert(&mut pg, id as i32, 1);
    }
    pg
}

fn insert(pg: &mut Postgres, id: i32, rows: i32) {
    let xid = pg.begin();
    let lsn = pg.write(64);
    for row in 0..rows {
        let at = (0, id * 100 + row);
        pg.change(xid, lsn, Op::Insert { at, row: Row { v: Some(1), big: 1 } });
    }
    pg.commit(xid);
    pg.show(xid);
}

/// What a client receives from `from` on: commits by their end, and the LSNs of their changes.
fn receive(pg: &mut Postgres, from: u64) -> (Vec<u64>, BTreeMap<u64, usize>, u64) {
    let wire = pg.start(from, 0).expect("the server accepts the start");
    let (mut commits, mut changes, mut keepalive) = (Vec::new(), BTreeMap::new(), 0);
    for now in 1..2_000 {
        pg.pump(wire, now, 0);
        while let Some(frame) = pg.receive(wire, now + SECOND) {
            match Frame::read(&frame).expect("a frame") {
                Frame::Keepalive(found) => keepalive = found.wal_end.0,
                Frame::XLogData(data) => {
                    match cdcd_pgoutput::Decoder::new().decode(data.body).expect("a message") {
                        Message::Commit(commit) => commits.push(commit.end_lsn.0),
                        Message::Insert(_) => *changes.entry(data.wal_start.0).or_default() += 1,
                        _ => {}
                    }
                }
            }
        }
    }
    pg.cut(wire);
    (commits, changes, keepalive)
}

#[test]
fn a_start_beyond_the_log_is_accepted_and_skips_in_silence() {
    let mut pg = server(0);
    let wire = pg.start(0xFF_0000_0000, 0).expect("probe 1: accepted");
    (0..10).for_each(|id| insert(&mut pg, id, 1));
    pg.pump(wire, 1, 0);
    let data = std::iter::from_fn(|| pg.receive(wire, SECOND)).filter(|frame| frame[0] == b'w').count();
    assert_eq!(data, 0, "probe 1: 10 committed rows, 0 delivered");
    pg.acknowledge(wire, 0xFF_0000_0000, 2);
    pg.cut(wire);
    assert_eq!(pg.slot.as_ref().expect("a slot").confirmed, 0xFF_0000_0000, "probe 1b: any LSN is confirmed");
    assert!(receive(&mut pg, 0).0.is_empty(), "probe 1b: and a new start at 0/0 yields nothing");
}

#[test]
fn a_start_below_what_is_confirmed_is_forwarded_in_silence() {
    let mut pg = server(5);
    let (commits, ..) = receive(&mut pg, 0);
    assert_eq!(commits.len(), 5);
    let wire = pg.start(0, 0).expect("accepted");
    pg.acknowledge(wire, commits[2], 1);
    pg.cut(wire);
    assert_eq!(receive(&mut pg, 0).0, commits[3..], "probe 1c");
    assert_eq!(pg.fast_forwards, 2 + 1, "every start at 0/0 was below the slot");
}

#[test]
fn a_slot_goes_back_with_a_crash_and_our_own_position_does_not() {
    let mut pg = server(0);
    pg.checkpoint();
    (0..5).for_each(|id| insert(&mut pg, id, 1));
    let (commits, ..) = receive(&mut pg, 0);
    let wire = pg.start(0, 0).expect("accepted");
    pg.acknowledge(wire, commits[3], 1);
    pg.crash(2, 0);
    assert!(pg.slot.as_ref().expect("a slot").confirmed < commits[3], "probe 2: confirmed_flush_lsn is back");
    assert_eq!(receive(&mut pg, 0).0.len(), 5, "probe 2: from 0/0 all come again");
    assert_eq!(receive(&mut pg, commits[3]).0, commits[4..], "probe 2: from our own end_lsn only the fifth");
}

#[test]
fn rows_of_one_copy_share_an_lsn() {
    let mut pg = server(0);
    insert(&mut pg, 1, 20);
    let (_, changes, _) = receive(&mut pg, 0);
    assert_eq!(changes.values().copied().collect::<Vec<_>>(), [20], "probe 5: 20 rows, 1 LSN");
}

#[test]
fn a_keepalive_passes_log_that_is_not_published() {
    let mut pg = server(1);
    pg.write(8192);
    pg.flushed = pg.lsn;
    let (_, _, keepalive) = receive(&mut pg, 0);
    assert_eq!(keepalive, pg.flushed, "probe 4b");
}

fn record() -> Rc<Record> {
    Rc::new(Record { topic: 0, key: Some(b"k".to_vec()), value: Some(b"v".to_vec()), eid: None })
}

#[test]
fn a_fence_ends_what_is_open_and_refuses_the_fenced() {
    let mut kafka = Kafka::new(1, false);
    let old = kafka.init_producer();
    kafka.produce(old, &[record()], Some(b"old"), 0).expect("not fenced");
    assert_eq!(kafka.stable(0, 0), 0, "an open transaction holds the last stable offset");
    let new = kafka.init_producer();
    assert_eq!(kafka.produce(old, &[record()], None, 0), Err(Refusal::Fenced));
    assert_eq!(kafka.end_txn(old).map(|_| ()), Err(Refusal::Fenced), "a late end carries the old epoch");
    assert_eq!(kafka.fetch(0, 0, 0, 9).0.len(), 0, "what was open is aborted");
    assert_eq!(kafka.stable(0, 0), 2, "one record and the mark of its end");
    assert_eq!(kafka.position(Upto::ListedEnd, 0), None);
    kafka.produce(new, &[], Some(b"new"), 0).expect("not fenced");
    kafka.end_txn(new).expect("not fenced");
    assert_eq!(kafka.position(Upto::ListedEnd, 0), Some(&b"new"[..]));
}

/// A request to end a transaction that comes once more, after the next one has begun.
#[test]
fn a_late_end_tears_the_next_transaction_only_under_the_old_protocol() {
    for (new_protocol, torn) in [(false, true), (true, false)] {
        let mut kafka = Kafka::new(1, new_protocol);
        let first = kafka.init_producer();
        kafka.produce(first, &[record()], None, 0).expect("not fenced");
        let (_, second) = kafka.end_txn(first).expect("not fenced");
        kafka.produce(second, &[record()], None, 0).expect("not fenced");
        let late = kafka.end_txn(first);
        assert_eq!(late.is_ok(), torn, "new protocol: {new_protocol}");
        assert_eq!(kafka.fetch(0, 0, 0, 9).0.len(), if torn { 2 } else { 1 });
    }
}
