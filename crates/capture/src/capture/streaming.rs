//! Streamed transactions: kept while they are in progress, played back through the engine at their commit.

use cdcd_pgoutput::message::Message;
use cdcd_pgoutput::relation::Relation;
use cdcd_pgoutput::replication::XLogData;
use cdcd_pgoutput::{Decoder, Lsn};

use super::{Capture, Engine, Known};
use crate::error::Error;
use crate::plan::TableShape;
use crate::spool::Spool;
use crate::streamed::{Step, Streams};

impl Capture {
    /// The same with a place for transactions in progress; without one they are refused.
    pub fn with_spool(mut self, spool: Box<dyn Spool>) -> Self {
        self.streams.set_spool(spool);
        self
    }

    /// Takes the next message of a streamed transaction that has committed; `false` if none waits. To be called until
    /// then before the next frame, with catalog and schema questions answered in between.
    ///
    /// # Errors
    /// As [`Capture::handle_xlog_data`], and what was kept is not what was written.
    #[inline]
    pub fn handle_spooled(&mut self, now_ns: i64) -> Result<bool, Error> {
        if !self.streams.is_playing() && self.superseded.is_empty() {
            return Ok(false);
        }
        self.play(now_ns).map(|()| true)
    }

    fn play(&mut self, now_ns: i64) -> Result<(), Error> {
        let Capture { decoder, engine, streams, superseded, .. } = self;
        let Some(step) = streams.step()? else {
            return superseded.pop_first().map_or(Ok(()), |(_, shape)| engine.describe(shape));
        };
        match step {
            Step::Skip => Ok(()),
            Step::Begin { begin, lsn } => engine.begin(&begin, lsn),
            Step::Message { lsn, body } => engine.apply_body(decoder, lsn, body, now_ns),
            Step::Relation { oid, lsn, body } => {
                superseded.remove(&oid);
                engine.apply_body(decoder, lsn, body, now_ns)
            }
            Step::Superseded { oid, lsn, body } => {
                if let Some(known) = engine.tables.by_oid.get(&oid) {
                    superseded.entry(oid).or_insert_with(|| known.shape.clone());
                }
                engine.apply_body(decoder, lsn, body, now_ns)
            }
            Step::Commit(commit) => engine.commit(&commit, commit.end_lsn),
            Step::Empty(commit) => {
                engine.pass_empty(commit.end_lsn);
                Ok(())
            }
        }
    }
}

/// What a message has to do with streams in progress; the others are the engine's.
pub(super) fn handle(streams: &mut Streams, message: &Message<'_>, lsn: Lsn) -> Result<bool, Error> {
    match message {
        Message::StreamStart { xid, first } => streams.start(*xid, *first, lsn)?,
        Message::StreamStop => streams.stop(lsn)?,
        Message::StreamAbort { xid, sub_xid, .. } => streams.abort(*xid, *sub_xid, lsn)?,
        Message::StreamCommit { xid, commit } => streams.commit(*xid, *commit, lsn)?,
        Message::Relation(Relation { oid, .. }) => {
            streams.describe(*oid);
            return Ok(false);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

impl Engine {
    fn apply_body(&mut self, decoder: &mut Decoder, lsn: Lsn, body: &[u8], now_ns: i64) -> Result<(), Error> {
        let message = decoder.decode(body).map_err(|source| Error::Decode { lsn, source })?;
        self.apply(&message, &XLogData { wal_start: lsn, wal_end: lsn, sent_at: 0, body }, now_ns)
    }

    /// A transaction of which nothing is left: protocol 1 does not send such a one (PostgreSQL 15 and later).
    fn pass_empty(&mut self, end_lsn: Lsn) {
        self.progress.received(end_lsn);
        self.last_boundary = self.last_boundary.max(end_lsn);
    }

    /// A table is what `shape` says from here on.
    pub(super) fn describe(&mut self, shape: TableShape) -> Result<(), Error> {
        self.tables.last = None;
        if let Some(reread) = &mut self.reread {
            reread.relation(&shape)?;
        }
        if let Some(known) = self.tables.by_oid.get(&shape.oid)
            && known.shape == shape
        {
            return Ok(());
        }
        if !self.config.filters.captures(&shape.schema, &shape.table) {
            self.tables.by_oid.insert(shape.oid, Known { shape, plan: None });
            return Ok(());
        }
        self.plan_or_ask(shape)
    }
}
