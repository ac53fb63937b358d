mod facts;
mod rowless;
mod streaming;

use std::collections::{BTreeMap, VecDeque};

use cdcd_debezium::envelope::{self, Clock, Operation};
use cdcd_debezium::format::avro;
use cdcd_debezium::format::json::Frame;
use cdcd_debezium::format::writer::RecordWriter;
use cdcd_debezium::record::Record;
use cdcd_debezium::source::{self, Fragments, Snapshot};
use cdcd_debezium::topic;
use cdcd_debezium::value::{FieldName, ValueWriter};
use cdcd_pgoutput::message::{Begin, Commit, Message, Origin, Truncate};
use cdcd_pgoutput::relation::Relation;
use cdcd_pgoutput::replication::{PrimaryKeepalive, StandbyStatusUpdate, XLogData};
use cdcd_pgoutput::tuple::{CopyRow, Tuple};
use cdcd_pgoutput::{Decoder, Lsn};

use crate::catalog::{CatalogRequest, TableFacts};
use crate::columns;
use crate::config::Config;
use crate::converter::{Half, SchemaRequest};
use crate::error::Error;
use crate::kept::Memory;
use crate::logical::Messages;
use crate::metadata::Metadata;
use crate::outbox::{ContextHeaders, Entry, Flow, Outbox, Range, Topics};
use crate::plan::{Plan, TableShape, Way};
use crate::position::{OpenTransaction, PrefixHash, SnapshotProgress};
use crate::progress::{CommitPoint, Pace, Progress};
use crate::reread::{Keep, Reread};
use crate::row_change::{EventId, Writer};
use crate::snapshot::{Feed, Held, Reading, SnapshotTable};
use crate::stats::Stats;
use crate::streamed::Streams;
use crate::transaction::{Replay, Transaction, unix_us};
use crate::trees::{self, Transformer};

/// Where a capture starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Everything before this LSN is in Kafka.
    pub done_end_lsn: Lsn,
    /// End of the last transaction before it, for `source.sequence`.
    pub last_commit_lsn: Option<Lsn>,
    /// Its time, µs since 1970, which messages outside of transactions carry.
    pub last_commit_us: Option<i64>,
    /// The part of the next transaction that is in Kafka, too.
    pub open: Option<OpenTransaction>,
    /// The snapshot before it, if it was read in attempts that the stream is not past yet.
    pub snapshot: Option<SnapshotProgress>,
    /// Longest time between two status updates, in nanoseconds.
    pub status_interval_ns: i64,
    /// Counts the accepted discontinuities; written as a header above 0.
    pub lineage: u32,
}

impl Start {
    /// As after a run that committed everything before `lsn`.
    pub fn at(lsn: Lsn) -> Self {
        Start {
            done_end_lsn: lsn,
            last_commit_lsn: None,
            last_commit_us: None,
            open: None,
            snapshot: None,
            status_interval_ns: 10_000_000_000,
            lineage: 0,
        }
    }
}

/// The state machine of one connector.
///
/// The run loop gives it frames ([`Capture::handle_xlog_data`], [`Capture::handle_keepalive`]), answers its
/// catalog questions and then its schema questions before the next frame, takes its records ([`Capture::send_records`]), and makes them durable
/// together with a position when told to ([`Capture::poll_commit`], [`Capture::handle_committed`]). `now` is
/// nanoseconds since 1970.
pub struct Capture {
    decoder: Decoder,
    copy_row: CopyRow,
    engine: Engine,
    streams: Streams,
    /// Descriptions that a streamed transaction has put away until its end.
    superseded: BTreeMap<u32, TableShape>,
}

struct Engine {
    config: Config,
    constants: source::Constants,
    context: ContextHeaders,
    tables: Tables,
    topics: Topics,
    transformer: Option<Transformer>,
    catalog_request: Option<(TableShape, CatalogRequest)>,
    memory: Memory,
    schema_requests: VecDeque<(Framed, SchemaRequest)>,
    heartbeat_frames: [Frame; 2],
    outbox: Outbox,
    progress: Progress,
    fragments: Fragments,
    clock: Clock,
    /// Running number of rendered fragments; tables compare theirs with it.
    serial: u64,
    /// Marker and time that the fragments were rendered for, while a snapshot is fed.
    rendered_snapshot: Option<(Snapshot, i64)>,
    transaction: Option<Transaction>,
    /// Set until the part of a transaction that is in Kafka has passed.
    replay: Option<Replay>,
    lineage: u32,
    /// There if transactions are told.
    metadata: Option<Metadata>,
    messages: Messages,
    last_commit_lsn: Option<Lsn>,
    last_commit_us: Option<i64>,
    last_boundary: Lsn,
    feed: Option<Feed>,
    /// How far the snapshot is, or what its attempts have seen.
    snapshot: Option<SnapshotProgress>,
    reread: Option<Reread>,
    heartbeat_at: Option<i64>,
    /// A heartbeat that could not be transformed: told with the next frame.
    broken: Option<Error>,
    stats: Stats,
}

/// Whose frame needs a schema id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framed {
    Table(usize, Half),
    Heartbeat(Half),
    Transaction(Half),
    Message(Half),
}

/// Tables by OID.
#[derive(Default)]
struct Tables {
    plans: Vec<Plan>,
    by_oid: BTreeMap<u32, Known>,
    /// The OID looked up last: changes come in runs of one table.
    last: Option<(u32, Option<usize>)>,
}

struct Known {
    shape: TableShape,
    /// `None` if the table is not captured.
    plan: Option<usize>,
}

impl Capture {
    /// A capture that goes on at `start`.
    ///
    /// # Errors
    /// [`Error::Position`] if the attempts of a snapshot cannot be read, [`Error::BytesForm`] if
    /// ByteArrayConverter is to write what is no bytes.
    pub fn new(config: Config, start: Start) -> Result<Self, Error> {
        let reread = match &start.snapshot {
            Some(progress) => Reread::new(progress)?,
            None => None,
        };
        let constants = source::Constants {
            version: config.connector_version.clone(),
            name: config.topic_prefix.clone(),
            db: config.database.clone(),
            null_as_default: config.value.null_as_default(),
        };
        let context = ContextHeaders {
            lineage: (start.lineage > 0).then(|| start.lineage.to_string()),
            values: config.extended_headers.then(|| {
                [config.topic_prefix.clone(), "0".to_owned(), "postgresql".to_owned(), config.run_id.clone()]
            }),
        };
        let mut capture = Capture {
            decoder: Decoder::new(),
            copy_row: CopyRow::default(),
            streams: Streams::default(),
            superseded: BTreeMap::new(),
            engine: Engine {
                context,
                tables: Tables::default(),
                topics: Topics::default(),
                transformer: Transformer::new(&config, &constants)?,
                constants,
                catalog_request: None,
                memory: Memory::new(start.lineage),
                schema_requests: VecDeque::new(),
                heartbeat_frames: [Frame::bare(), Frame::bare()],
                outbox: Outbox::new(config.key.writer(), config.value.writer()),
                progress: Progress::new(start.done_end_lsn, start.status_interval_ns),
                fragments: Fragments::default(),
                clock: Clock::default(),
                serial: 0,
                rendered_snapshot: None,
                transaction: None,
                replay: start.open.map(Replay::new),
                lineage: start.lineage,
                metadata: config.transactions.as_ref().map(Metadata::new),
                messages: Messages::new(&config.topic_prefix),
                last_commit_lsn: start.last_commit_lsn,
                last_commit_us: start.last_commit_us,
                last_boundary: start.done_end_lsn,
                feed: None,
                snapshot: start.snapshot.filter(|_| reread.is_some()),
                reread,
                heartbeat_at: None,
                broken: None,
                stats: Stats::default(),
                config,
            },
        };
        capture.engine.frame_heartbeats();
        capture.engine.frame_transactions();
        Ok(capture)
    }

    /// Takes one XLogData frame.
    ///
    /// # Errors
    /// Bytes that are no message, a broken rule of the protocol, a value that cannot be converted: all
    /// definite, and the frame's records are then not to be sent.
    pub fn handle_xlog_data(&mut self, data: &XLogData<'_>, now_ns: i64) -> Result<(), Error> {
        debug_assert!(self.engine.catalog_request.is_none(), "a catalog question waits for its answer");
        debug_assert!(self.engine.schema_request().is_none(), "a schema waits for its id");
        debug_assert!(!self.streams.is_playing(), "a streamed transaction is not played back to its end");
        self.engine.broken.take().map_or(Ok(()), Err)?;
        self.engine.stats.messages += 1;
        self.engine.stats.message_bytes += data.body.len() as u64;
        if self.streams.in_block() && self.streams.keep(data)? {
            return Ok(());
        }
        let message =
            self.decoder.decode(data.body).map_err(|source| Error::Decode { lsn: data.wal_start, source })?;
        if streaming::handle(&mut self.streams, &message, data.wal_start)? {
            return Ok(());
        }
        self.engine.apply(&message, data, now_ns)
    }

    /// Takes a keepalive.
    ///
    /// # Errors
    /// A heartbeat that a transformation could not take; a server whose log goes backwards is for the guards at the
    /// start.
    pub fn handle_keepalive(&mut self, keepalive: &PrimaryKeepalive) -> Result<(), Error> {
        let engine = &mut self.engine;
        engine.broken.take().map_or(Ok(()), Err)?;
        engine.progress.received(keepalive.wal_end);
        if keepalive.reply_requested {
            engine.progress.reply_requested();
        }
        if engine.transaction.is_none() && engine.feed.is_none() {
            engine.last_boundary = engine.last_boundary.max(keepalive.wal_end);
        }
        Ok(())
    }

    /// A question to the catalog that must be answered before the next frame; another may follow its answer.
    pub fn poll_catalog_request(&self) -> Option<&CatalogRequest> {
        self.engine.catalog_request.as_ref().map(|(_, request)| request)
    }

    /// The answer.
    ///
    /// # Errors
    /// A table that cannot be captured as it is.
    pub fn handle_catalog(&mut self, facts: &TableFacts) -> Result<(), Error> {
        match self.engine.catalog_request.take() {
            Some((shape, _)) => self.engine.answered(shape, facts),
            None => Ok(()),
        }
    }

    /// A schema whose id must be told before the next frame, row or timer: of heartbeats and transactions from the start
    /// on, of a table once its catalog question is answered or its snapshot begun, of messages when the first has come;
    /// of what `transforms` leave when a record of it is there, also behind a row of a snapshot and a timer.
    pub fn poll_schema_request(&self) -> Option<&SchemaRequest> {
        self.engine.schema_request()
    }

    /// The id of the schema that was asked for under `subject`.
    pub fn handle_schema_id(&mut self, subject: &str, id: u32) {
        let engine = &mut self.engine;
        let framed = match engine.schema_requests.front() {
            Some((framed, request)) if request.subject == subject => *framed,
            _ => {
                debug_assert!(
                    engine.schema_request().is_some_and(|request| request.subject == subject),
                    "no schema of {subject} was asked for"
                );
                if let Some(transformer) = &mut engine.transformer {
                    transformer.answer(id, &mut engine.outbox);
                }
                return;
            }
        };
        engine.schema_requests.pop_front();
        engine.set_frame(framed, avro::frame(id));
        if engine.schema_requests.is_empty() {
            engine.write_held_message();
        }
    }

    /// Starts to take rows of a snapshot, as far as `progress` does not have them; `xid` goes into `source.txId`.
    pub fn begin_snapshot(&mut self, progress: SnapshotProgress, xid: Option<u32>) {
        let is_continued = progress.tables.iter().any(|table| !table.parts.is_empty());
        self.engine.feed = Some(Feed::new(progress.consistent_point.0, xid, is_continued));
        self.engine.snapshot = Some(progress);
        self.engine.rendered_snapshot = None;
    }

    /// Starts a table of the snapshot. One that an earlier attempt began goes on behind its last key, or from its
    /// start if it has none.
    ///
    /// # Errors
    /// A table that cannot be captured as it is, or whose key is not the one that it was begun with.
    pub fn begin_snapshot_table(&mut self, table: SnapshotTable) -> Result<(), Error> {
        let place = |name: &String| table.shape.columns.iter().position(|column| &column.name == name);
        let places: Option<Vec<usize>> = table.key.iter().map(place).collect();
        let oid = table.shape.oid;
        let facts = self.engine.memory.with_nulls(&table.shape, &table.facts, self.engine.config.field_names);
        self.engine.memory.keep_beside(&table.shape, &facts);
        let plan = self.engine.plan_table(table.shape, &facts)?;
        let (Some(feed), Some(progress)) = (&mut self.engine.feed, &mut self.engine.snapshot) else {
            return Ok(());
        };
        let Some((slot, known)) = progress.tables.iter_mut().enumerate().find(|(_, known)| known.oid == oid)
        else {
            return Ok(());
        };
        let is_continued = !known.parts.is_empty() && !known.key.is_empty();
        match places {
            Some(key) if !is_continued || known.key == table.key => {
                if !is_continued {
                    known.parts.clear();
                    known.key = table.key;
                }
                feed.begin_table(Reading { plan, slot, key }, table.at_us, is_continued);
                Ok(())
            }
            _ => Err(Error::Table {
                table: known.name.clone(),
                what: format!("its key ({}) changed while its snapshot was read", known.key.join(", ")),
                hint: "start anew with a snapshot under another connector name".to_owned(),
            }),
        }
    }

    /// Takes one row in COPY's text format.
    ///
    /// # Errors
    /// A value that cannot be converted.
    pub fn handle_snapshot_row(&mut self, line: &[u8], now_ns: i64) -> Result<(), Error> {
        self.release_row(false, now_ns)?;
        if let Some(feed) = &mut self.engine.feed {
            feed.hold(line);
        }
        Ok(())
    }

    /// The table has no more rows.
    pub fn end_snapshot_table(&mut self) {
        if let (Some(feed), Some(progress)) = (&mut self.engine.feed, &mut self.engine.snapshot)
            && let Some(slot) = feed.end_table()
        {
            progress.advance(slot, None);
        }
    }

    /// The snapshot has no more tables; streaming goes on at its LSN.
    ///
    /// # Errors
    /// A value of the last row that cannot be converted.
    pub fn end_snapshot(&mut self, now_ns: i64) -> Result<(), Error> {
        self.release_row(true, now_ns)?;
        let engine = &mut self.engine;
        if let Some(feed) = engine.feed.take() {
            engine.last_boundary = engine.last_boundary.max(feed.lsn);
            engine.progress.committed();
            engine.heartbeat(now_ns);
        }
        if let Some(progress) = &mut engine.snapshot {
            progress.complete = true;
            engine.reread = Reread::new(progress)?;
        }
        engine.snapshot.take_if(|_| engine.reread.is_none());
        Ok(())
    }

    /// How far the snapshot is, or what its attempts have seen.
    pub fn snapshot(&self) -> Option<&SnapshotProgress> {
        self.engine.snapshot.as_ref()
    }

    /// Writes a heartbeat if it is time, and says whether it was. To be called now and then.
    pub fn handle_timer(&mut self, now_ns: i64) -> bool {
        let Some(heartbeat) = &self.engine.config.heartbeat else { return false };
        let last = *self.engine.heartbeat_at.get_or_insert(now_ns);
        let due = now_ns >= last.saturating_add(heartbeat.interval_ns);
        let beats = due && self.engine.transaction.is_none() && self.engine.feed.is_none();
        if beats {
            self.engine.heartbeat(now_ns);
        }
        beats
    }

    /// Offers waiting records in order; none while a schema waits for its id.
    pub fn send_records(&mut self, receiver: impl FnMut(Record<'_>) -> Flow) -> Flow {
        let engine = &mut self.engine;
        if engine.schema_request().is_some() {
            return Flow::Full;
        }
        let (records, bytes) = (engine.outbox.records(), engine.outbox.bytes());
        let flow = engine.outbox.send(&engine.topics, &engine.context, receiver);
        let sent = records - engine.outbox.records();
        engine.progress.sent(sent as u64, if flow == Flow::Taken { bytes as u64 } else { 0 });
        flow
    }

    /// Bytes that wait to be sent.
    pub fn pending_bytes(&self) -> usize {
        self.engine.outbox.bytes()
    }

    /// The position that should now become durable together with everything that was sent. Nothing more may be
    /// sent until that is done.
    pub fn poll_commit(&mut self, now_ns: i64, pace: Pace) -> Option<CommitPoint> {
        let engine = &mut self.engine;
        if !engine.outbox.is_empty() {
            return None;
        }
        let in_transaction = engine.transaction.is_some();
        if !engine.progress.poll_commit(engine.last_boundary, in_transaction, now_ns, pace) {
            return None;
        }
        // A part that is being replayed is in Kafka as a whole: there is no position inside of it.
        let counts = engine.metadata.as_ref().map(|metadata| &metadata.counts);
        let open = match &engine.replay {
            Some(replay) => Some(replay.part().clone()),
            None => engine.transaction.as_ref().and_then(|transaction| transaction.open(counts)),
        };
        engine.forget_reread();
        if let (Some(feed), Some(progress)) = (&engine.feed, &mut engine.snapshot)
            && let Some((slot, key)) = feed.cursor.get()
        {
            progress.advance(slot, Some(key));
        }
        Some(CommitPoint {
            done_end_lsn: engine.last_boundary,
            last_commit_lsn: engine.last_commit_lsn,
            last_commit_us: engine.last_commit_us,
            open,
            snapshot: engine.snapshot.clone(),
        })
    }

    /// The commit asked for last is durable in Kafka.
    pub fn handle_committed(&mut self) {
        self.engine.progress.handle_committed();
    }

    /// A status update that should be sent now.
    pub fn poll_status_update(&mut self, now_ns: i64) -> Option<StandbyStatusUpdate> {
        self.engine.progress.poll_status_update(now_ns)
    }

    /// The LSN up to which everything was received, outside of any transaction.
    pub fn received_boundary(&self) -> Lsn {
        self.engine.last_boundary
    }

    /// Highest LSN received on this connection: the end of a transaction, or a keepalive's.
    pub fn received(&self) -> Lsn {
        self.engine.progress.highest_received()
    }

    /// Covered by a durable position.
    pub fn flushed(&self) -> Lsn {
        self.engine.progress.flushed()
    }

    /// What the server may be told to forget: covered by a durable position, and received on this connection. A
    /// server takes an LSN beyond its log without a word and skips changes from then on.
    pub fn acknowledgeable(&self) -> Lsn {
        self.engine.progress.acknowledgeable()
    }

    /// Whether a transaction is being received.
    pub fn in_transaction(&self) -> bool {
        self.engine.transaction.is_some() || self.streams.is_playing()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.engine.stats
    }

    /// Topics that data has been planned for.
    pub fn topics(&self) -> &[String] {
        self.engine.topics.names()
    }

    /// Writes the held row of the snapshot.
    fn release_row(&mut self, is_last: bool, now_ns: i64) -> Result<(), Error> {
        let engine = &mut self.engine;
        let Some(feed) = &mut engine.feed else { return Ok(()) };
        let Some(marker) = feed.release(is_last) else { return Ok(()) };
        let (lsn, xid) = (feed.lsn, feed.xid);
        let (plan, at_us) = (feed.held.table.plan, feed.held.at_us);
        let line = std::mem::take(&mut feed.held.line);
        let row = self.copy_row.split(&line);
        if engine.rendered_snapshot != Some((marker, at_us)) {
            engine.rendered_snapshot = Some((marker, at_us));
            engine.last_commit_us = Some(at_us);
            engine.render_fragments(source::Transaction {
                at_us,
                snapshot: marker,
                xid,
                origin: None,
                last_commit_lsn: None,
            });
        }
        let written = engine
            .writer(plan, (at_us, xid), None, lsn, now_ns)
            .map_or(Ok(()), |mut writer| writer.insert(row, Operation::Read));
        if let (Some(feed), Some(progress)) = (&mut engine.feed, &mut engine.snapshot) {
            let Held { table, last_in_table, .. } = &feed.held;
            feed.cursor.set(table.slot, &table.key, &row);
            if *last_in_table || is_last {
                progress.advance(table.slot, None);
                feed.cursor.clear();
            }
            feed.held.line = line;
        }
        written
    }
}

impl Engine {
    fn schema_request(&self) -> Option<&SchemaRequest> {
        let own = self.schema_requests.front().map(|(_, request)| request);
        own.or_else(|| self.transformer.as_ref()?.asks())
    }

    fn apply(&mut self, message: &Message<'_>, data: &XLogData<'_>, now_ns: i64) -> Result<(), Error> {
        let lsn = data.wal_start;
        match message {
            Message::Insert(insert) => {
                let skip = self.count(data)?
                    || self.config.skipped_operations.create
                    || self.was_read(insert.relation, Some(&insert.new))?;
                self.change(insert.relation, skip, lsn, now_ns, |w| w.insert(insert.new, Operation::Create))
            }
            Message::Update(update) => {
                let covered = self.count(data)?;
                let keep = Keep {
                    old: !self.was_read(update.relation, update.old.tuple())?,
                    new: !self.was_read(update.relation, Some(&update.new))?,
                };
                // A changed key is a delete and a create, which have skips of their own: the writer decides.
                self.change(update.relation, covered, lsn, now_ns, |w| w.update(update.old, update.new, keep))
            }
            Message::Delete(delete) => {
                let skip = self.count(data)?
                    || self.config.skipped_operations.delete
                    || self.was_read(delete.relation, delete.old.tuple())?;
                self.change(delete.relation, skip, lsn, now_ns, |w| w.delete(delete.old))
            }
            Message::Begin(begin) => self.begin(begin, lsn),
            Message::Commit(commit) => self.commit(commit, lsn),
            Message::Relation(relation) => self.relation(relation),
            Message::Truncate(truncate) => {
                let skip = self.count(data)? || self.config.skipped_operations.truncate;
                self.truncate(truncate, skip, lsn, now_ns)
            }
            Message::Origin(origin) => self.origin(origin, lsn),
            Message::Type(_) => Ok(()),
            Message::Logical(logical) => self.logical(logical, data, now_ns),
            Message::StreamStart { .. }
            | Message::StreamStop
            | Message::StreamCommit { .. }
            | Message::StreamAbort { .. }
            | Message::TwoPhase(_) => Err(Error::Protocol {
                lsn,
                what: "the server sent a streamed or prepared transaction that was not asked for".to_owned(),
            }),
        }
    }

    /// Whether a snapshot has read the row with what the open transaction did to it.
    #[inline]
    fn was_read(&self, relation: u32, row: Option<&Tuple<'_>>) -> Result<bool, Error> {
        match (&self.reread, &self.transaction, row) {
            (Some(reread), Some(transaction), Some(row)) => reread.has_seen(relation, transaction.xid, row),
            _ => Ok(false),
        }
    }

    /// Counts one data message of the open transaction; says whether it is in Kafka already.
    #[inline]
    fn count(&mut self, data: &XLogData<'_>) -> Result<bool, Error> {
        let Some(transaction) = &mut self.transaction else {
            return Err(protocol(data.wal_start, "a change without a transaction"));
        };
        transaction.count(data.wal_start, data.body);
        match &self.replay {
            None => Ok(false),
            Some(replay) => {
                let covered = replay.covers(transaction)?;
                if !covered {
                    self.replay = None;
                }
                Ok(covered)
            }
        }
    }

    fn begin(&mut self, begin: &Begin, lsn: Lsn) -> Result<(), Error> {
        if self.transaction.is_some() {
            return Err(protocol(lsn, "a transaction begins inside of another"));
        }
        // Commit records only move forward; equal to the last end is the next transaction.
        if begin.final_lsn < self.last_boundary {
            return Err(protocol(
                lsn,
                &format!(
                    "a transaction commits at {}, before what is done: {}",
                    begin.final_lsn, self.last_boundary
                ),
            ));
        }
        let transaction = Transaction {
            commit_lsn: begin.final_lsn,
            committed_at_us: unix_us(begin.committed_at),
            xid: begin.xid,
            ordinal: 0,
            prefix_hash: PrefixHash::default(),
        };
        if let Some(replay) = &self.replay {
            replay.begin(&transaction)?;
        }
        self.transaction = Some(transaction);
        self.ask_again();
        self.render_fragments(source::Transaction {
            at_us: transaction.committed_at_us,
            snapshot: Snapshot::Streaming,
            xid: Some(begin.xid),
            origin: None,
            last_commit_lsn: self.last_commit_lsn.map(|lsn| lsn.0),
        });
        self.begin_metadata(lsn)
    }

    fn commit(&mut self, commit: &Commit, lsn: Lsn) -> Result<(), Error> {
        let Some(transaction) = self.transaction.take() else {
            return Err(protocol(commit.commit_lsn, "a commit without a transaction"));
        };
        if let Some(replay) = self.replay.take() {
            replay.commit(&transaction)?;
        }
        if transaction.commit_lsn != commit.commit_lsn {
            return Err(protocol(
                commit.commit_lsn,
                "a commit of another transaction than the one that began",
            ));
        }
        self.end_metadata(lsn, transaction.committed_at_us)?;
        self.progress.received(commit.end_lsn);
        self.progress.committed();
        self.last_commit_lsn = Some(commit.end_lsn);
        self.last_commit_us = Some(transaction.committed_at_us);
        self.last_boundary = self.last_boundary.max(commit.end_lsn);
        self.stats.transactions += 1;
        self.stats.last_commit_at_us = transaction.committed_at_us;
        Ok(())
    }

    fn origin(&mut self, origin: &Origin<'_>, lsn: Lsn) -> Result<(), Error> {
        let Some(transaction) = self.transaction else {
            return Err(protocol(lsn, "an origin without a transaction"));
        };
        self.render_fragments(source::Transaction {
            at_us: transaction.committed_at_us,
            snapshot: Snapshot::Streaming,
            xid: Some(transaction.xid),
            origin: Some((origin.name, origin.origin_lsn.0)),
            last_commit_lsn: self.last_commit_lsn.map(|lsn| lsn.0),
        });
        Ok(())
    }

    /// The attempts of a snapshot matter no more once the stream is past what they have seen.
    fn forget_reread(&mut self) {
        let boundary = self.last_boundary;
        if self.reread.take_if(|reread| reread.is_over(boundary)).is_some() {
            self.snapshot = None;
            tracing::info!(lsn = %boundary, "the stream is past what the attempts of the snapshot have seen");
        }
    }

    fn render_fragments(&mut self, transaction: source::Transaction<'_>) {
        self.serial += 1;
        columns::render_transaction(
            &mut self.fragments,
            &self.constants,
            &transaction,
            &mut self.outbox.value,
        );
        if let Some(transformer) = &mut self.transformer {
            transformer.render(&transaction);
        }
    }

    fn relation(&mut self, relation: &Relation<'_>) -> Result<(), Error> {
        self.describe(TableShape::from_relation(relation))
    }

    fn plan_table(&mut self, shape: TableShape, facts: &TableFacts) -> Result<usize, Error> {
        let name = topic::data_topic(
            &self.config.topic_prefix,
            &self.config.topic_delimiter,
            &shape.schema,
            &shape.table,
        );
        let mut plan = Plan::new(&self.config, &shape, facts, &name, &mut self.topics)?;
        self.tables.last = None;
        let index = match self.tables.by_oid.get(&shape.oid).and_then(|known| known.plan) {
            Some(index) => index,
            None => self.tables.plans.len(),
        };
        let requests = plan.requests.drain(..);
        self.schema_requests.extend(requests.map(|request| (Framed::Table(index, request.half), request)));
        match self.tables.plans.get_mut(index) {
            Some(slot) => *slot = plan,
            None => self.tables.plans.push(plan),
        }
        self.tables.by_oid.insert(shape.oid, Known { shape, plan: Some(index) });
        Ok(index)
    }

    fn change(
        &mut self,
        relation: u32,
        skip: bool,
        lsn: Lsn,
        now_ns: i64,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(transaction) = &self.transaction else {
            return Err(protocol(lsn, "a change without a transaction"));
        };
        let (at_us, xid) = (transaction.committed_at_us, transaction.xid);
        let id = self.config.event_ids.then_some(EventId {
            lineage: self.lineage,
            commit_lsn: transaction.commit_lsn,
            ordinal: transaction.ordinal - 1,
        });
        let table = self.tables.find(relation).ok_or_else(|| {
            protocol(lsn, &format!("a change of relation {relation}, which no Relation message described"))
        })?;
        match table {
            Some(table) if !skip => match self.writer(table, (at_us, Some(xid)), id, lsn, now_ns) {
                Some(mut writer) => write(&mut writer),
                None => Ok(()),
            },
            _ => {
                self.stats.filtered += 1;
                Ok(())
            }
        }
    }

    /// One message is one ordinal, however many tables it names.
    fn truncate(&mut self, truncate: &Truncate, skip: bool, lsn: Lsn, now_ns: i64) -> Result<(), Error> {
        let mut sub = 0u8;
        for relation in &truncate.relations {
            let skip = match (&self.reread, &self.transaction) {
                (Some(reread), Some(transaction)) if !skip => {
                    reread.has_seen_truncate(*relation, transaction.xid)?
                }
                _ => skip,
            };
            self.change(*relation, skip, lsn, now_ns, |writer| {
                writer.sub = sub;
                writer.truncate()
            })?;
            sub = sub.saturating_add(1);
        }
        Ok(())
    }

    fn writer(
        &mut self,
        table: usize,
        transaction: (i64, Option<u32>),
        id: Option<EventId>,
        lsn: Lsn,
        now_ns: i64,
    ) -> Option<Writer<'_>> {
        let plan = self.tables.plans.get_mut(table)?;
        columns::render_table(plan, self.serial, transaction, &mut self.outbox.value);
        columns::render_clock(&mut self.clock, now_ns, &mut self.outbox.value);
        if let (Way::Trees(trees), Some(transformer)) = (&mut plan.way, &mut self.transformer) {
            transformer.begin(trees, self.serial, (&plan.schema, &plan.table), transaction);
        }
        Some(Writer {
            config: &self.config,
            plan,
            source: &mut self.fragments,
            constants: &self.constants,
            context: &self.context,
            outbox: &mut self.outbox,
            topics: &mut self.topics,
            metadata: self.metadata.as_mut().filter(|_| self.transaction.is_some()),
            transformer: self.transformer.as_mut(),
            stats: &mut self.stats,
            id,
            sub: 0,
            lsn,
            now_ns,
            clock: &self.clock,
        })
    }

    /// Puts schemas around heartbeats, or asks for their ids; transformations have frames of their own.
    fn frame_heartbeats(&mut self) {
        if self.transformer.is_some() {
            return;
        }
        let Some(topic) = self.config.heartbeat.as_ref().map(|heartbeat| heartbeat.topic.clone()) else {
            return;
        };
        let schemas = [envelope::heartbeat_key_schema(), envelope::heartbeat_schema()];
        self.frame(Framed::Heartbeat, &topic, schemas);
    }

    /// Writes a heartbeat.
    fn heartbeat(&mut self, now_ns: i64) {
        let Some(heartbeat) = &self.config.heartbeat else { return };
        debug_assert!(self.schema_requests.is_empty(), "a schema waits for its id");
        self.heartbeat_at = Some(now_ns);
        let topic_name = heartbeat.topic.clone();
        if let Some(transformer) = &mut self.transformer {
            let record = trees::heartbeat(&topic_name, &self.config.topic_prefix, now_ns);
            match transformer.transform(record, Entry::default(), &mut self.outbox, &mut self.topics) {
                Ok(true) => self.stats.records += 1,
                Ok(false) => self.stats.filtered += 1,
                Err(source) => {
                    let lsn = self.last_boundary;
                    self.broken = Some(Error::Transform { table: topic_name, lsn, source });
                }
            }
            return;
        }
        let topic = self.topics.index(&topic_name);
        let [key_frame, value_frame] = &self.heartbeat_frames;
        let prefix = &self.config.topic_prefix;
        let key = small_record(&mut self.outbox.key, key_frame, "serverName", |writer| writer.string(prefix));
        let value = small_record(&mut self.outbox.value, value_frame, "ts_ms", |writer| {
            writer.int(now_ns.div_euclid(1_000_000));
        });
        self.outbox.push(Entry { topic, key: Some(key), value: Some(value), ..Entry::default() });
        self.stats.records += 1;
    }
}

fn small_record(
    writer: &mut RecordWriter,
    frame: &Frame,
    field: &str,
    write: impl FnOnce(&mut RecordWriter),
) -> Range {
    let start = writer.mark().length;
    writer.begin_record(&frame.prefix);
    writer.begin_struct();
    writer.field(&FieldName::new(field));
    write(writer);
    writer.end_struct();
    writer.end_record(&frame.suffix);
    Range { start, end: writer.mark().length }
}

impl Tables {
    /// `None`: never described. `Some(None)`: not captured.
    #[inline]
    fn find(&mut self, oid: u32) -> Option<Option<usize>> {
        match self.last {
            Some((last, plan)) if last == oid => Some(plan),
            _ => {
                let plan = self.by_oid.get(&oid)?.plan;
                self.last = Some((oid, plan));
                Some(plan)
            }
        }
    }
}

#[cold]
fn protocol(lsn: Lsn, what: &str) -> Error {
    Error::Protocol { lsn, what: what.to_owned() }
}
