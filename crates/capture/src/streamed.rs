//! Transactions that the server sends before they end: kept in the spool block by block, played back at their commit.
//!
//! Kept are the messages as protocol 1 has them, without the transaction id; what is played back is therefore what
//! protocol 1 would have sent, and goes the same way from there on.
//! `| length u32 | crc32 u32 | xid u32 | lsn u64 | message (length bytes) |`, big-endian, the checksum over all behind
//! it. Behind a Relation message stands when it came, as u64.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::message::{Begin, Commit};
use cdcd_pgoutput::replication::XLogData;

use crate::error::Error;
use crate::spool::{Spool, SpoolError};

/// Bytes of a block that are gathered before they go to the spool, and least bytes read back at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Room that is kept from one transaction to the next; one huge row must not hold it for ever.
const KEPT_BYTES: usize = 4 * CHUNK_BYTES;
const HEAD_BYTES: usize = 20;
/// The checksum starts behind itself.
const SUMMED_FROM: usize = 8;
const ARRIVAL_BYTES: usize = 8;

/// The transactions in progress of one connection.
#[derive(Default)]
pub(crate) struct Streams {
    spool: Option<Box<dyn Spool>>,
    open: BTreeMap<u32, InProgress>,
    /// Transaction of the block that is being received.
    block: Option<u32>,
    /// Records of the block that are not in the spool yet.
    gathered: Vec<u8>,
    /// Counts Relation messages while transactions are in progress.
    arrivals: u64,
    /// When the newest description in force of a table came, as far as one came meanwhile.
    described: BTreeMap<u32, u64>,
    playback: Option<Playback>,
    chunk: Chunk,
}

/// One transaction in progress.
#[derive(Debug, Default)]
struct InProgress {
    /// In the spool and gathered.
    bytes: u64,
    /// Subtransactions that were rolled back.
    aborted: BTreeSet<u32>,
    has_messages: bool,
    /// Whether a logical decoding message was rolled back is not to be known. The server gives a streamed one the
    /// top-level transaction (pgoutput, PostgreSQL 14 to 18), also if it is of a subtransaction.
    is_ambiguous: bool,
}

/// A transaction that has committed.
#[derive(Debug)]
struct Playback {
    xid: u32,
    commit: Commit,
    transaction: InProgress,
    phase: Phase,
    /// The subtransaction looked up last: changes come in runs.
    last: Option<(u32, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Looks for the first change that was not rolled back.
    Find,
    Play,
}

/// What was read back of the spool.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// The part that is not played back.
    at: usize,
    end: usize,
    /// Of the spool's bytes, how many were read.
    offset: u64,
}

/// One step of a playback.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Nothing to do yet.
    Skip,
    Begin {
        begin: Begin,
        lsn: Lsn,
    },
    /// A message of protocol 1.
    Message {
        lsn: Lsn,
        body: &'a [u8],
    },
    /// A Relation message that is the newest description of its table.
    Relation {
        oid: u32,
        lsn: Lsn,
        body: &'a [u8],
    },
    /// One that is not: the description in force is newer, and is to be in force again afterwards.
    Superseded {
        oid: u32,
        lsn: Lsn,
        body: &'a [u8],
    },
    /// All changes are played back.
    Commit(Commit),
    /// There were none.
    Empty(Commit),
}

impl Streams {
    /// Without a spool nothing is taken.
    pub(crate) fn set_spool(&mut self, spool: Box<dyn Spool>) {
        self.spool = Some(spool);
    }

    /// Whether messages belong to a transaction in progress.
    #[inline]
    pub(crate) fn in_block(&self) -> bool {
        self.block.is_some()
    }

    /// Whether a committed transaction waits to be played back.
    #[inline]
    pub(crate) fn is_playing(&self) -> bool {
        self.playback.is_some()
    }

    /// Keeps one message of a block; `false` if it is not one to be kept.
    pub(crate) fn keep(&mut self, data: &XLogData<'_>) -> Result<bool, Error> {
        let Some(xid) = self.block else { return Ok(false) };
        let broken = |what: &str| Err(protocol(data.wal_start, what));
        let (tag, rest) = match data.body.split_first() {
            Some((tag, rest)) => (*tag, rest),
            None => return broken("an empty message inside of a streamed block"),
        };
        match tag {
            b'I' | b'U' | b'D' | b'T' | b'M' | b'R' | b'Y' => {}
            // In a stream the server leaves out where the commit is on the origin (pgoutput, PostgreSQL 14 to 18).
            b'O' => return Err(unstreamable(xid, data.wal_start, "came from a replication origin")),
            b'E' => return Ok(false),
            _ => return broken("a message that cannot stand inside of a streamed block"),
        }
        let Some((own, message)) = rest.split_first_chunk() else {
            return broken("a message without a transaction id inside of a streamed block");
        };
        let arrival = match tag {
            // Nobody asks for types.
            b'Y' => return Ok(true),
            // One that is not transactional waits for no commit.
            b'M' if message.first().is_some_and(|flags| flags & 1 == 0) => return Ok(false),
            b'M' => {
                self.progress(xid, data.wal_start)?.has_messages = true;
                None
            }
            b'R' => {
                self.arrivals += 1;
                Some(self.arrivals)
            }
            _ => None,
        };
        self.gather(xid, u32::from_be_bytes(*own), data.wal_start, (tag, message), arrival)?;
        Ok(true)
    }

    /// A block begins.
    pub(crate) fn start(&mut self, xid: u32, is_first: bool, lsn: Lsn) -> Result<(), Error> {
        if self.spool.is_none() {
            return Err(protocol(lsn, "the server streams a transaction in progress, and was not asked to"));
        }
        if self.block.is_some() {
            return Err(protocol(lsn, "a streamed block begins inside of another"));
        }
        if self.open.contains_key(&xid) == is_first {
            return Err(protocol(lsn, &format!("a streamed block of {xid} is not the next one of it")));
        }
        self.open.entry(xid).or_default();
        self.block = Some(xid);
        Ok(())
    }

    /// The block ends.
    pub(crate) fn stop(&mut self, lsn: Lsn) -> Result<(), Error> {
        let Some(xid) = self.block.take() else {
            return Err(protocol(lsn, "a streamed block ends that did not begin"));
        };
        self.hand_over(xid)
    }

    /// A transaction, or a part of it, was rolled back.
    pub(crate) fn abort(&mut self, xid: u32, sub_xid: u32, lsn: Lsn) -> Result<(), Error> {
        self.outside(lsn)?;
        if xid == sub_xid {
            self.open.remove(&xid);
            return self.forget(xid);
        }
        if let Some(transaction) = self.open.get_mut(&xid) {
            transaction.aborted.insert(sub_xid);
            transaction.is_ambiguous |= transaction.has_messages;
        }
        Ok(())
    }

    /// A transaction has committed: from now on it is played back.
    pub(crate) fn commit(&mut self, xid: u32, commit: Commit, lsn: Lsn) -> Result<(), Error> {
        self.outside(lsn)?;
        let Some(transaction) = self.open.remove(&xid) else {
            return Err(protocol(lsn, &format!("a streamed transaction {xid} commits that did not begin")));
        };
        if transaction.is_ambiguous {
            let what = "has logical decoding messages and rolled back subtransactions";
            return Err(unstreamable(xid, commit.commit_lsn, what));
        }
        self.chunk.rewind();
        self.playback = Some(Playback { xid, commit, transaction, phase: Phase::Find, last: None });
        Ok(())
    }

    /// A table was described outside of streamed blocks.
    pub(crate) fn describe(&mut self, oid: u32) {
        if !self.open.is_empty() {
            self.arrivals += 1;
            self.described.insert(oid, self.arrivals);
        }
    }

    /// The next step of the playback; `None` if nothing is played back.
    pub(crate) fn step(&mut self) -> Result<Option<Step<'_>>, Error> {
        let (Some(playback), Some(spool)) = (&mut self.playback, &mut self.spool) else { return Ok(None) };
        let Some(record) = self.chunk.next(spool.as_mut(), playback.xid, playback.transaction.bytes)? else {
            return self.end().map(Some);
        };
        let Record { lsn, tag, .. } = record;
        if playback.is_aborted(record.xid) {
            return Ok(Some(Step::Skip));
        }
        if playback.phase == Phase::Find {
            if !matches!(tag, b'I' | b'U' | b'D' | b'T' | b'M') {
                return Ok(Some(Step::Skip));
            }
            playback.phase = Phase::Play;
            let begin = playback.begin(lsn);
            self.chunk.rewind();
            return Ok(Some(begin));
        }
        let body = self.chunk.bytes.get(record.body).unwrap_or_default();
        if tag != b'R' {
            return Ok(Some(Step::Message { lsn, body }));
        }
        let Some((body, oid, arrival)) = split_relation(body) else {
            return Err(corrupt(playback.xid, "a description of a table is too short"));
        };
        let newest = self.described.entry(oid).or_default();
        if *newest > arrival {
            return Ok(Some(Step::Superseded { oid, lsn, body }));
        }
        *newest = arrival;
        Ok(Some(Step::Relation { oid, lsn, body }))
    }

    /// Everything is played back.
    fn end(&mut self) -> Result<Step<'static>, Error> {
        let Some(playback) = self.playback.take() else { return Ok(Step::Skip) };
        self.forget(playback.xid)?;
        self.chunk.shrink();
        Ok(match playback.phase {
            Phase::Find => Step::Empty(playback.commit),
            Phase::Play => Step::Commit(playback.commit),
        })
    }

    /// No block may be open.
    fn outside(&self, lsn: Lsn) -> Result<(), Error> {
        match self.block {
            Some(_) => Err(protocol(lsn, "a streamed transaction ends inside of a block")),
            None => Ok(()),
        }
    }

    fn progress(&mut self, xid: u32, lsn: Lsn) -> Result<&mut InProgress, Error> {
        self.open.get_mut(&xid).ok_or_else(|| protocol(lsn, "a block of a transaction that did not begin"))
    }

    fn gather(
        &mut self,
        xid: u32,
        own: u32,
        lsn: Lsn,
        (tag, message): (u8, &[u8]),
        arrival: Option<u64>,
    ) -> Result<(), Error> {
        let start = self.gathered.len();
        let arrival_bytes = if arrival.is_some() { ARRIVAL_BYTES } else { 0 };
        // The server sends no message above 1 GB.
        let length = 1 + message.len() + arrival_bytes;
        let out = &mut self.gathered;
        out.extend_from_slice(&(length as u32).to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&own.to_be_bytes());
        out.extend_from_slice(&lsn.0.to_be_bytes());
        out.push(tag);
        out.extend_from_slice(message);
        if let Some(arrival) = arrival {
            out.extend_from_slice(&arrival.to_be_bytes());
        }
        let sum = out.get(start + SUMMED_FROM..).map_or(0, crc32fast::hash);
        if let Some(place) = out.get_mut(start + 4..start + SUMMED_FROM) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
        let bytes = (HEAD_BYTES + length) as u64;
        self.progress(xid, lsn)?.bytes += bytes;
        if self.gathered.len() >= CHUNK_BYTES { self.hand_over(xid) } else { Ok(()) }
    }

    fn hand_over(&mut self, xid: u32) -> Result<(), Error> {
        if let Some(spool) = self.spool.as_mut().filter(|_| !self.gathered.is_empty()) {
            spool.append(xid, &self.gathered)?;
        }
        self.gathered.clear();
        self.gathered.shrink_to(KEPT_BYTES);
        Ok(())
    }

    fn forget(&mut self, xid: u32) -> Result<(), Error> {
        if self.open.is_empty() {
            self.described.clear();
        }
        match &mut self.spool {
            Some(spool) => Ok(spool.remove(xid)?),
            None => Ok(()),
        }
    }
}

impl Playback {
    #[inline]
    fn is_aborted(&mut self, xid: u32) -> bool {
        match self.last {
            Some((last, is_aborted)) if last == xid => is_aborted,
            _ => {
                let is_aborted = self.transaction.aborted.contains(&xid);
                self.last = Some((xid, is_aborted));
                is_aborted
            }
        }
    }

    /// Begin as the server sends it in protocol 1: where the first change is.
    fn begin(&self, lsn: Lsn) -> Step<'static> {
        let Commit { commit_lsn, committed_at, .. } = self.commit;
        Step::Begin { begin: Begin { final_lsn: commit_lsn, committed_at, xid: self.xid }, lsn }
    }
}

/// One record of the spool.
struct Record {
    xid: u32,
    lsn: Lsn,
    tag: u8,
    /// Where its message is in the chunk.
    body: Range<usize>,
}

impl Chunk {
    fn rewind(&mut self) {
        (self.at, self.end, self.offset) = (0, 0, 0);
    }

    fn shrink(&mut self) {
        self.rewind();
        self.bytes.truncate(KEPT_BYTES);
        self.bytes.shrink_to(KEPT_BYTES);
    }

    /// The next record of the `total` bytes of `xid`.
    fn next(&mut self, spool: &mut dyn Spool, xid: u32, total: u64) -> Result<Option<Record>, Error> {
        if self.at == self.end && self.offset == total {
            return Ok(None);
        }
        self.fill(spool, xid, total, HEAD_BYTES)?;
        let length = self.bytes.get(self.at..).and_then(|bytes| be_u32(bytes, 0)).unwrap_or_default();
        let size = HEAD_BYTES + length as usize;
        self.fill(spool, xid, total, size)?;
        let record = self.bytes.get(self.at..self.at + size).unwrap_or_default();
        let fields = (be_u32(record, 4), be_u32(record, 8), be_u64(record, 12));
        let ((Some(sum), Some(own), Some(lsn)), Some(summed), Some(tag)) =
            (fields, record.get(SUMMED_FROM..), record.get(HEAD_BYTES))
        else {
            return Err(corrupt(xid, "a record is too short"));
        };
        if crc32fast::hash(summed) != sum {
            return Err(corrupt(xid, "a checksum is wrong"));
        }
        let record =
            Record { xid: own, lsn: Lsn(lsn), tag: *tag, body: self.at + HEAD_BYTES..self.at + size };
        self.at += size;
        Ok(Some(record))
    }

    /// Has at least `size` bytes ready.
    fn fill(&mut self, spool: &mut dyn Spool, xid: u32, total: u64, size: usize) -> Result<(), Error> {
        if self.end - self.at >= size {
            return Ok(());
        }
        let missing = (size - (self.end - self.at)) as u64;
        if missing > total - self.offset {
            return Err(corrupt(xid, "a record is longer than what is left"));
        }
        self.bytes.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.end - self.at);
        if self.bytes.len() < size.max(CHUNK_BYTES) {
            self.bytes.resize(size.max(CHUNK_BYTES), 0);
        }
        while self.end < size {
            let left = usize::try_from(total - self.offset).unwrap_or(usize::MAX);
            let until = self.bytes.len().min(self.end.saturating_add(left));
            let room = self.bytes.get_mut(self.end..until).unwrap_or_default();
            match spool.read(xid, self.offset, room)? {
                0 => return Err(corrupt(xid, "it is shorter than what was written")),
                read => (self.end, self.offset) = (self.end + read, self.offset + read as u64),
            }
        }
        Ok(())
    }
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn be_u64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The message, the table and the arrival of a kept Relation.
fn split_relation(body: &[u8]) -> Option<(&[u8], u32, u64)> {
    let (message, arrival) = body.split_last_chunk()?;
    Some((message, be_u32(message, 1)?, u64::from_be_bytes(*arrival)))
}

#[cold]
fn corrupt(xid: u32, what: &str) -> Error {
    Error::Spool(SpoolError {
        what: format!("E_SPOOL_CORRUPT: what was kept of transaction {xid} is not what was written: {what}"),
        hint: "start again: nothing of it was acknowledged, so the server sends it anew; then look at the disk of \
               cdcd.spool.dir, or set cdcd.streaming=off to do without one"
            .to_owned(),
    })
}

#[cold]
fn unstreamable(xid: u32, lsn: Lsn, what: &'static str) -> Error {
    Error::Unstreamable { xid, lsn, what }
}

#[cold]
fn protocol(lsn: Lsn, what: &str) -> Error {
    Error::Protocol { lsn, what: what.to_owned() }
}
