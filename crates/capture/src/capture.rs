use std::collections::BTreeMap;

use cdcd_debezium::envelope::{self, Operation};
use cdcd_debezium::format::json::Frame;
use cdcd_debezium::record::Record;
use cdcd_debezium::source::{self, Fragments, Snapshot};
use cdcd_debezium::topic;
use cdcd_debezium::value::{FieldName, ValueWriter};
use cdcd_pgoutput::message::{Begin, Commit, Message, Origin, Truncate};
use cdcd_pgoutput::relation::Relation;
use cdcd_pgoutput::replication::{PrimaryKeepalive, StandbyStatusUpdate, XLogData};
use cdcd_pgoutput::tuple::CopyRow;
use cdcd_pgoutput::{Decoder, Lsn};

use crate::catalog::{CatalogRequest, TableFacts};
use crate::config::Config;
use crate::error::Error;
use crate::ledger::{Ledger, Token};
use crate::outbox::{ContextHeaders, Entry, Flow, Headers, Outbox, Range};
use crate::plan::{Plan, TableShape};
use crate::progress::Progress;
use crate::row_change::Writer;
use crate::snapshot::{Feed, SnapshotTable};
use crate::stats::Stats;
use crate::transaction::{Transaction, unix_us};

/// Where a capture starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Everything before this LSN is in Kafka.
    pub done_end_lsn: Lsn,
    /// End of the last transaction before it, for `source.sequence`.
    pub last_commit_lsn: Option<Lsn>,
    /// Longest time between two status updates, in nanoseconds.
    pub status_interval_ns: i64,
    /// Counts the accepted discontinuities; written as a header above 0.
    pub lineage: u32,
}

/// The state machine of one connector.
///
/// The run loop gives it frames ([`Capture::handle_xlog_data`], [`Capture::handle_keepalive`]), answers its
/// catalog questions before the next frame, takes its records ([`Capture::send_records`]) and reports their
/// delivery ([`Capture::handle_delivered`]). `now` is nanoseconds since 1970.
pub struct Capture {
    decoder: Decoder,
    copy_row: CopyRow,
    engine: Engine,
}

struct Engine {
    config: Config,
    constants: source::Constants,
    context: ContextHeaders,
    tables: Tables,
    topics: Vec<String>,
    catalog_request: Option<(TableShape, CatalogRequest)>,
    outbox: Outbox,
    ledger: Ledger,
    progress: Progress,
    fragments: Fragments,
    /// Running number of rendered fragments; tables compare theirs with it.
    serial: u64,
    /// Marker and time that the fragments were rendered for, while a snapshot is fed.
    rendered_snapshot: Option<(Snapshot, i64)>,
    transaction: Option<(Transaction, Token)>,
    last_commit_lsn: Option<Lsn>,
    last_boundary: Lsn,
    feed: Option<(Feed, Token)>,
    heartbeat_at: Option<i64>,
    stats: Stats,
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
    pub fn new(config: Config, start: Start) -> Self {
        let constants = source::Constants {
            version: config.connector_version.clone(),
            name: config.topic_prefix.clone(),
            db: config.database.clone(),
            null_as_default: config.value.null_as_default,
        };
        let context = ContextHeaders {
            lineage: (start.lineage > 0).then(|| start.lineage.to_string()),
            values: config.extended_headers.then(|| {
                [config.topic_prefix.clone(), "0".to_owned(), "postgresql".to_owned(), config.run_id.clone()]
            }),
        };
        Capture {
            decoder: Decoder::new(),
            copy_row: CopyRow::default(),
            engine: Engine {
                constants,
                context,
                tables: Tables::default(),
                topics: Vec::new(),
                catalog_request: None,
                outbox: Outbox::default(),
                ledger: Ledger::new(start.done_end_lsn, start.last_commit_lsn),
                progress: Progress::new(start.done_end_lsn, start.status_interval_ns),
                fragments: Fragments::default(),
                serial: 0,
                rendered_snapshot: None,
                transaction: None,
                last_commit_lsn: start.last_commit_lsn,
                last_boundary: start.done_end_lsn,
                feed: None,
                heartbeat_at: None,
                stats: Stats::default(),
                config,
            },
        }
    }

    /// Takes one XLogData frame.
    ///
    /// # Errors
    /// Bytes that are no message, a broken rule of the protocol, a value that cannot be converted: all
    /// definite, and the frame's records are then not to be sent.
    pub fn handle_xlog_data(&mut self, data: &XLogData<'_>, now_ns: i64) -> Result<(), Error> {
        debug_assert!(self.engine.catalog_request.is_none(), "a catalog question waits for its answer");
        let message =
            self.decoder.decode(data.body).map_err(|source| Error::Decode { lsn: data.wal_start, source })?;
        self.engine.stats.messages += 1;
        self.engine.stats.message_bytes += data.body.len() as u64;
        self.engine.apply(&message, data.wal_start, now_ns)
    }

    /// Takes a keepalive.
    ///
    /// # Errors
    /// None at present; a server whose log goes backwards is for the guards at the start.
    pub fn handle_keepalive(&mut self, keepalive: &PrimaryKeepalive) -> Result<(), Error> {
        let engine = &mut self.engine;
        engine.progress.received(keepalive.wal_end);
        if keepalive.reply_requested {
            engine.progress.reply_requested();
        }
        if engine.transaction.is_none() && engine.feed.is_none() {
            engine.ledger.idle_until(keepalive.wal_end);
            engine.last_boundary = engine.last_boundary.max(keepalive.wal_end);
        }
        Ok(())
    }

    /// A question to the catalog that must be answered before the next frame.
    pub fn poll_catalog_request(&self) -> Option<&CatalogRequest> {
        self.engine.catalog_request.as_ref().map(|(_, request)| request)
    }

    /// The answer.
    ///
    /// # Errors
    /// A table that cannot be captured as it is.
    pub fn handle_catalog(&mut self, facts: &TableFacts) -> Result<(), Error> {
        match self.engine.catalog_request.take() {
            Some((shape, _)) => self.engine.plan_table(shape, facts).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Starts to take rows of a snapshot that is consistent at `lsn`; `xid` goes into `source.txId`.
    pub fn begin_snapshot(&mut self, lsn: Lsn, xid: Option<u32>) {
        let token = self.engine.ledger.begin();
        self.engine.feed = Some((Feed::new(lsn, xid), token));
        self.engine.rendered_snapshot = None;
    }

    /// Starts a table of the snapshot.
    ///
    /// # Errors
    /// A table that cannot be captured as it is.
    pub fn begin_snapshot_table(&mut self, table: SnapshotTable) -> Result<(), Error> {
        let index = self.engine.plan_table(table.shape, &table.facts)?;
        if let Some((feed, _)) = &mut self.engine.feed {
            feed.begin_table(index, table.at_us);
        }
        Ok(())
    }

    /// Takes one row in COPY's text format.
    ///
    /// # Errors
    /// A value that cannot be converted.
    pub fn handle_snapshot_row(&mut self, line: &[u8], now_ns: i64) -> Result<(), Error> {
        self.release_row(false, now_ns)?;
        if let Some((feed, _)) = &mut self.engine.feed
            && let Some(table) = feed.table
        {
            feed.hold(line, table);
        }
        Ok(())
    }

    /// The table has no more rows.
    pub fn end_snapshot_table(&mut self) {
        if let Some((feed, _)) = &mut self.engine.feed {
            feed.end_table();
        }
    }

    /// The snapshot has no more tables; streaming goes on at its LSN.
    ///
    /// # Errors
    /// A value of the last row that cannot be converted.
    pub fn end_snapshot(&mut self, now_ns: i64) -> Result<(), Error> {
        self.release_row(true, now_ns)?;
        if let Some((feed, _)) = self.engine.feed.take() {
            self.engine.ledger.close(feed.lsn);
            self.engine.progress.committed();
            self.engine.heartbeat(now_ns);
        }
        Ok(())
    }

    /// Writes a heartbeat if it is time. To be called now and then.
    pub fn handle_timer(&mut self, now_ns: i64) {
        let Some(heartbeat) = &self.engine.config.heartbeat else { return };
        let last = *self.engine.heartbeat_at.get_or_insert(now_ns);
        let due = now_ns >= last.saturating_add(heartbeat.interval_ns);
        if due && self.engine.transaction.is_none() && self.engine.feed.is_none() {
            self.engine.heartbeat(now_ns);
        }
    }

    /// Offers waiting records in order, each with the token that its delivery report must carry.
    pub fn send_records(&mut self, receiver: impl FnMut(Record<'_>, Token) -> Flow) -> Flow {
        self.engine.outbox.send(&self.engine.topics, &self.engine.context, receiver)
    }

    /// Bytes that wait to be sent.
    pub fn pending_bytes(&self) -> usize {
        self.engine.outbox.bytes()
    }

    /// Kafka has `count` records of `token`.
    pub fn handle_delivered(&mut self, token: Token, count: u64) {
        self.engine.ledger.delivered(token, count);
    }

    /// The LSN that a position record should be written for now. `force` overrides the pace.
    pub fn poll_position(&mut self, now_ns: i64, force: bool) -> Option<Lsn> {
        self.engine.progress.poll_position(self.engine.ledger.durable(), now_ns, force)
    }

    /// The position record asked for last is durable in Kafka.
    pub fn handle_position_durable(&mut self) {
        self.engine.progress.handle_position_durable();
    }

    /// A status update that should be sent now.
    pub fn poll_status_update(&mut self, now_ns: i64) -> Option<StandbyStatusUpdate> {
        self.engine.progress.poll_status_update(now_ns)
    }

    /// End LSN of the last transaction that is durable as a whole.
    pub fn durable_commit(&self) -> Option<Lsn> {
        self.engine.ledger.durable_commit()
    }

    /// The LSN up to which everything was received, outside of any transaction.
    pub fn received_boundary(&self) -> Lsn {
        self.engine.last_boundary
    }

    /// Covered by a durable position: what the server may forget.
    pub fn flushed(&self) -> Lsn {
        self.engine.progress.flushed()
    }

    /// Whether every record is durable and no transaction is open.
    pub fn is_settled(&self) -> bool {
        self.engine.outbox.is_empty() && self.engine.ledger.is_settled()
    }

    /// Whether a transaction is being received.
    pub fn in_transaction(&self) -> bool {
        self.engine.transaction.is_some()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.engine.stats
    }

    /// Topics that data has been planned for.
    pub fn topics(&self) -> &[String] {
        &self.engine.topics
    }

    /// Writes the held row of the snapshot.
    fn release_row(&mut self, is_last: bool, now_ns: i64) -> Result<(), Error> {
        let engine = &mut self.engine;
        let Some((feed, token)) = &mut engine.feed else { return Ok(()) };
        let Some(marker) = feed.release(is_last) else { return Ok(()) };
        let (lsn, xid, token) = (feed.lsn, feed.xid, *token);
        let (table, at_us) = (feed.held.table, feed.held.at_us);
        let line = std::mem::take(&mut feed.held.line);
        let row = self.copy_row.split(&line);
        if engine.rendered_snapshot != Some((marker, at_us)) {
            engine.rendered_snapshot = Some((marker, at_us));
            engine.render_fragments(source::Transaction {
                at_us,
                snapshot: marker,
                xid,
                origin: None,
                last_commit_lsn: None,
            });
        }
        let written = engine
            .writer(table, (at_us, xid), token, lsn, now_ns)
            .map_or(Ok(()), |mut writer| writer.insert(row, Operation::Read));
        if let Some((feed, _)) = &mut engine.feed {
            feed.held.line = line;
        }
        written
    }
}

impl Engine {
    fn apply(&mut self, message: &Message<'_>, lsn: Lsn, now_ns: i64) -> Result<(), Error> {
        match message {
            Message::Insert(insert) => {
                let skip = self.config.skipped_operations.create;
                self.change(insert.relation, skip, lsn, now_ns, |w| w.insert(insert.new, Operation::Create))
            }
            Message::Update(update) => {
                // A changed key is a delete and a create, which have skips of their own: the writer decides.
                self.change(update.relation, false, lsn, now_ns, |w| w.update(update.old, update.new))
            }
            Message::Delete(delete) => {
                let skip = self.config.skipped_operations.delete;
                self.change(delete.relation, skip, lsn, now_ns, |w| w.delete(delete.old))
            }
            Message::Begin(begin) => self.begin(begin, lsn),
            Message::Commit(commit) => self.commit(commit),
            Message::Relation(relation) => self.relation(relation),
            Message::Truncate(truncate) => self.truncate(truncate, lsn, now_ns),
            Message::Origin(origin) => self.origin(origin, lsn),
            Message::Type(_) => Ok(()),
            Message::Logical(_) => {
                if let Some((transaction, _)) = &mut self.transaction {
                    transaction.ordinal += 1;
                }
                self.stats.filtered += 1;
                Ok(())
            }
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

    fn begin(&mut self, begin: &Begin, lsn: Lsn) -> Result<(), Error> {
        if self.transaction.is_some() {
            return Err(protocol(lsn, "a transaction begins inside of another"));
        }
        if begin.final_lsn < self.ledger_floor() {
            return Err(protocol(lsn, "a transaction commits before the position we asked for"));
        }
        let transaction = Transaction {
            commit_lsn: begin.final_lsn,
            committed_at_us: unix_us(begin.committed_at),
            xid: begin.xid,
            ordinal: 0,
        };
        self.transaction = Some((transaction, self.ledger.begin()));
        self.render_fragments(source::Transaction {
            at_us: transaction.committed_at_us,
            snapshot: Snapshot::Streaming,
            xid: Some(begin.xid),
            origin: None,
            last_commit_lsn: self.last_commit_lsn.map(|lsn| lsn.0),
        });
        Ok(())
    }

    /// Commit records only move forward; equal to the last end is the next transaction.
    fn ledger_floor(&self) -> Lsn {
        self.last_commit_lsn.unwrap_or(Lsn::ZERO)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), Error> {
        let Some((transaction, _)) = self.transaction.take() else {
            return Err(protocol(commit.commit_lsn, "a commit without a transaction"));
        };
        if transaction.commit_lsn != commit.commit_lsn {
            return Err(protocol(
                commit.commit_lsn,
                "a commit of another transaction than the one that began",
            ));
        }
        self.ledger.commit(commit.end_lsn);
        self.progress.received(commit.end_lsn);
        self.progress.committed();
        self.last_commit_lsn = Some(commit.end_lsn);
        self.last_boundary = self.last_boundary.max(commit.end_lsn);
        self.stats.transactions += 1;
        self.stats.last_commit_at_us = transaction.committed_at_us;
        Ok(())
    }

    fn origin(&mut self, origin: &Origin<'_>, lsn: Lsn) -> Result<(), Error> {
        let Some((transaction, _)) = self.transaction else {
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

    fn render_fragments(&mut self, transaction: source::Transaction<'_>) {
        self.serial += 1;
        self.fragments.render(&self.constants, &transaction, &mut self.outbox.writer);
    }

    fn relation(&mut self, relation: &Relation<'_>) -> Result<(), Error> {
        let shape = TableShape::from_relation(relation);
        self.tables.last = None;
        if let Some(known) = self.tables.by_oid.get(&shape.oid)
            && known.shape == shape
        {
            return Ok(());
        }
        if !self.config.filters.captures(&shape.schema, &shape.table) {
            self.tables.by_oid.insert(shape.oid, Known { shape, plan: None });
            return Ok(());
        }
        let request = CatalogRequest {
            relation: shape.oid,
            table: shape.full_name(),
            type_oids: shape.columns.iter().map(|column| column.type_oid).collect(),
        };
        self.catalog_request = Some((shape, request));
        Ok(())
    }

    fn plan_table(&mut self, shape: TableShape, facts: &TableFacts) -> Result<usize, Error> {
        let name = topic::data_topic(
            &self.config.topic_prefix,
            &self.config.topic_delimiter,
            &shape.schema,
            &shape.table,
        );
        let topic = self.topic_index(&name);
        let plan = Plan::new(&self.config, &shape, facts, (topic, &name))?;
        self.tables.last = None;
        let index = match self.tables.by_oid.get(&shape.oid).and_then(|known| known.plan) {
            Some(index) => index,
            None => self.tables.plans.len(),
        };
        match self.tables.plans.get_mut(index) {
            Some(slot) => *slot = plan,
            None => self.tables.plans.push(plan),
        }
        self.tables.by_oid.insert(shape.oid, Known { shape, plan: Some(index) });
        Ok(index)
    }

    fn topic_index(&mut self, name: &str) -> usize {
        match self.topics.iter().position(|topic| topic == name) {
            Some(index) => index,
            None => {
                self.topics.push(name.to_owned());
                self.topics.len() - 1
            }
        }
    }

    fn change(
        &mut self,
        relation: u32,
        skip: bool,
        lsn: Lsn,
        now_ns: i64,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some((transaction, token)) = &mut self.transaction else {
            return Err(protocol(lsn, "a change without a transaction"));
        };
        transaction.ordinal += 1;
        let (at_us, xid, token) = (transaction.committed_at_us, transaction.xid, *token);
        let table = self.tables.find(relation).ok_or_else(|| {
            protocol(lsn, &format!("a change of relation {relation}, which no Relation message described"))
        })?;
        match table {
            Some(table) if !skip => match self.writer(table, (at_us, Some(xid)), token, lsn, now_ns) {
                Some(mut writer) => write(&mut writer),
                None => Ok(()),
            },
            _ => {
                self.stats.filtered += 1;
                Ok(())
            }
        }
    }

    fn truncate(&mut self, truncate: &Truncate, lsn: Lsn, now_ns: i64) -> Result<(), Error> {
        let skip = self.config.skipped_operations.truncate;
        for relation in &truncate.relations {
            self.change(*relation, skip, lsn, now_ns, |writer| writer.truncate())?;
        }
        // One message is one ordinal, however many tables it names.
        if let Some((transaction, _)) = &mut self.transaction {
            transaction.ordinal = transaction.ordinal + 1 - truncate.relations.len() as u64;
        }
        Ok(())
    }

    fn writer(
        &mut self,
        table: usize,
        transaction: (i64, Option<u32>),
        token: Token,
        lsn: Lsn,
        now_ns: i64,
    ) -> Option<Writer<'_>> {
        let plan = self.tables.plans.get_mut(table)?;
        plan.source.render(self.serial, (&plan.schema, &plan.table), transaction, &mut self.outbox.writer);
        Some(Writer {
            config: &self.config,
            plan,
            source: &mut self.fragments,
            outbox: &mut self.outbox,
            ledger: &mut self.ledger,
            stats: &mut self.stats,
            token,
            lsn,
            now_ns,
        })
    }

    /// Writes a heartbeat; it belongs to an entry of its own that ends where we are.
    fn heartbeat(&mut self, now_ns: i64) {
        let Some(heartbeat) = &self.config.heartbeat else { return };
        self.heartbeat_at = Some(now_ns);
        let topic_name = heartbeat.topic.clone();
        let topic = self.topic_index(&topic_name);
        let key_schema = envelope::heartbeat_key_schema();
        let value_schema = envelope::heartbeat_schema();
        let key_frame = if self.config.key.schemas { Frame::with_schema(&key_schema) } else { Frame::bare() };
        let value_frame =
            if self.config.value.schemas { Frame::with_schema(&value_schema) } else { Frame::bare() };
        let prefix = self.config.topic_prefix.clone();
        let key = self.small_record(&key_frame, "serverName", |writer| writer.string(&prefix));
        let value =
            self.small_record(&value_frame, "ts_ms", |writer| writer.int(now_ns.div_euclid(1_000_000)));
        let token = self.ledger.begin();
        self.ledger.emitted();
        self.ledger.close(self.last_boundary);
        self.outbox.push(Entry { topic, key: Some(key), value: Some(value), headers: Headers::None, token });
        self.stats.records += 1;
    }

    fn small_record(
        &mut self,
        frame: &Frame,
        field: &str,
        write: impl FnOnce(&mut cdcd_debezium::format::json::JsonWriter),
    ) -> Range {
        let writer = &mut self.outbox.writer;
        let start = writer.mark().length;
        writer.begin_record(&frame.prefix);
        writer.begin_struct();
        writer.field(&FieldName::new(field));
        write(writer);
        writer.end_struct();
        writer.end_record(&frame.suffix);
        Range { start, end: writer.mark().length }
    }
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
