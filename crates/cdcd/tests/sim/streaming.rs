//! Protocol 2 of the model: transactions sent in progress, block by block, in whatever order the log has their changes.
//!
//! As on real servers (pgoutput, 14 to 18): a table is described once in each streamed transaction and again behind a
//! rolled back subtransaction; a streamed message has the top-level transaction.

use std::collections::{BTreeMap, VecDeque};

use cdcd_capture::spool::{Spool, SpoolError};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::encode;
use cdcd_pgoutput::message::{Commit, Message};

use crate::postgres::{Buffers, Change, Committed, Op, data, frame, relation};

/// Where the ids of subtransactions start that are rolled back.
const SUBTRANSACTIONS: u32 = 1_000_000;

/// What a connection has sent of transactions in progress.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    streams: BTreeMap<u32, Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    changes: usize,
    described: [bool; 2],
}

impl Sent {
    pub(crate) fn has(&self, xid: u32) -> bool {
        self.streams.contains_key(&xid)
    }

    /// The changes below `until` that were not sent yet, as one block; with a rolled back part of its own, and once in a
    /// while a transaction that is rolled back as a whole.
    pub(crate) fn block(
        &mut self,
        (xid, changes): (u32, &[Change]),
        hidden: Option<usize>,
        until: u64,
        out: &mut VecDeque<(u64, Vec<u8>)>,
    ) {
        let is_first = !self.has(xid);
        let stream = self.streams.entry(xid).or_default();
        let end = changes.partition_point(|change| change.lsn < until).max(stream.changes);
        let begin = std::mem::replace(&mut stream.changes, end);
        let Some(first) = changes.get(begin).filter(|_| begin < end) else {
            if is_first {
                self.streams.remove(&xid);
            }
            return;
        };
        out.push_back((0, frame(first.lsn, &Message::StreamStart { xid, first: is_first })));
        for (index, change) in changes.iter().enumerate().take(end).skip(begin) {
            if let Some(change) = change.as_sent().filter(|_| hidden != Some(index)) {
                stream.send((xid, xid), &change, out);
            }
        }
        // A message before a rolled back part could be of that part: such a transaction is not told by protocol 2.
        let is_plain = changes.iter().all(|change| change.op != Op::Message);
        let sent = first.as_sent();
        if let Some(first) = sent.filter(|_| is_plain) {
            stream.send((xid, xid + SUBTRANSACTIONS), &first, out);
        }
        out.push_back((0, frame(0, &Message::StreamStop)));
        if is_plain {
            let sub_xid = xid + SUBTRANSACTIONS;
            out.push_back((0, frame(0, &Message::StreamAbort { xid, sub_xid, abort: None })));
            stream.described = [false; 2];
        }
        if is_first && xid % 5 == 0 {
            let gone = xid + 2 * SUBTRANSACTIONS;
            out.push_back((0, frame(first.lsn, &Message::StreamStart { xid: gone, first: true })));
            if let Some(first) = sent {
                Stream::default().send((gone, gone), &first, out);
            }
            out.push_back((0, frame(0, &Message::StreamStop)));
            out.push_back((0, frame(0, &Message::StreamAbort { xid: gone, sub_xid: gone, abort: None })));
        }
    }

    /// The rest of a transaction and its end.
    pub(crate) fn commit(
        &mut self,
        tx: &Committed,
        described: &mut [bool; 2],
        out: &mut VecDeque<(u64, Vec<u8>)>,
    ) {
        self.block((tx.xid, &tx.changes), tx.hidden, u64::MAX, out);
        let stream = self.streams.remove(&tx.xid).unwrap_or_default();
        for (table, is_described) in described.iter_mut().enumerate() {
            *is_described |= stream.described[table];
        }
        let commit = Commit { commit_lsn: Lsn(tx.commit_lsn), end_lsn: Lsn(tx.end_lsn), committed_at: 0 };
        out.push_back((tx.end_lsn, frame(tx.commit_lsn, &Message::StreamCommit { xid: tx.xid, commit })));
    }
}

impl Stream {
    fn send(&mut self, (top, own): (u32, u32), change: &Change, out: &mut VecDeque<(u64, Vec<u8>)>) {
        let (tables, xid) = match change.op {
            Op::Insert { at, .. } | Op::Update { at, .. } | Op::Delete { at } => (1 << at.0, own),
            Op::Truncate { tables } => (tables, own),
            Op::Message => (0, top),
        };
        for (table, described) in self.described.iter_mut().enumerate() {
            if tables & (1 << table) != 0 && !std::mem::replace(described, true) {
                out.push_back((0, in_block(0, own, &relation(table))));
            }
        }
        out.push_back((0, in_block(change.lsn, xid, &data(change, &mut Buffers::default()).message())));
    }
}

/// A message with a transaction id behind its tag.
fn in_block(lsn: u64, xid: u32, message: &Message<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(96);
    encode::message(&mut body, message);
    body.splice(1..1, xid.to_be_bytes());
    let mut frame = Vec::with_capacity(body.len() + 25);
    encode::xlog_data(&mut frame, lsn, lsn, 0, &body);
    frame
}

/// A capture's spool.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) files: BTreeMap<u32, Vec<u8>>,
    /// Each read finds a bit turned over.
    pub(crate) is_corrupt: bool,
}

impl Spool for Memory {
    fn append(&mut self, xid: u32, bytes: &[u8]) -> Result<(), SpoolError> {
        self.files.entry(xid).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, xid: u32, offset: u64, into: &mut [u8]) -> Result<usize, SpoolError> {
        let rest = self.files.get(&xid).and_then(|file| file.get(offset as usize..)).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        if length > 0 && self.is_corrupt {
            into[length / 2] ^= 1;
        }
        Ok(length)
    }

    fn remove(&mut self, xid: u32) -> Result<(), SpoolError> {
        self.files.remove(&xid);
        Ok(())
    }
}
