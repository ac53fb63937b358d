//! Reads the captured tables as of one moment.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cdcd_capture::catalog::TableFacts;
use cdcd_capture::position::{LsnText, Moment, OpenTransaction, SnapshotProgress, TableProgress};
use cdcd_capture::types::order::KeyOrder;
use cdcd_capture::{Capture, ColumnShape, CommitPoint, Flow, Pace, SnapshotTable, TableShape, chunk_key};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::relation::ReplicaIdentity;
use cdcd_postgres::catalog::{self as pg_catalog, Table};
use cdcd_postgres::connection::{Connection, CopyMessage, Purpose};
use cdcd_postgres::slices::SliceReader;
use cdcd_postgres::snapshot::{OrderColumn, SnapshotReader, TableRows};
use tokio_postgres::Client;

use super::delivery::Delivery;
use super::report::SnapshotBar;
use super::schemas::Schemas;
use super::start::SnapshotNeed;
use super::{catalog, now_ns};
use crate::connector::source::SourceSettings;
use crate::exit::{Exit, Failure};
use crate::shutdown::Shutdown;

/// Bytes of records that are gathered before they are sent: large enough for batches, small beside the
/// producer's own queue.
const OUTBOX_BYTES_MAX: usize = 256 << 10;
/// How long Kafka may take for the last rows.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);

/// How a snapshot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All rows are durable.
    Complete,
    /// The shutdown was asked for; the next start goes on.
    Interrupted,
}

/// A snapshot that is about to be read.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What is read already.
    pub progress: SnapshotProgress,
    /// The slot's exported snapshot, if the attempt reads as of the consistent point.
    pub exported: Option<String>,
}

/// Where streaming starts after everything is prepared.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Everything before it is in Kafka, or will be read by the snapshot.
    pub from: Lsn,
    /// End of the last transaction before it.
    pub last_commit: Option<Lsn>,
    /// Its time, µs since 1970.
    pub last_commit_us: Option<i64>,
    /// The part of the next transaction that is in Kafka, too.
    pub open: Option<OpenTransaction>,
    /// Read this first.
    pub read: Option<Attempt>,
    /// What the attempts of an earlier one have seen.
    pub remembered: Option<SnapshotProgress>,
}

impl Prepared {
    /// Behind a slot that was just made, with the name of the snapshot that it exports.
    pub fn created(
        settings: &SourceSettings,
        tables: &[Table],
        from: Lsn,
        exported: Option<String>,
        snapshot: bool,
    ) -> Self {
        let read = snapshot.then(|| Attempt::first(settings, tables, from, exported));
        Prepared { from, last_commit: None, last_commit_us: None, open: None, read, remembered: None }
    }

    /// What the position must keep of a snapshot. What an interrupted attempt has not committed is the next one's:
    /// its place in the position stays.
    pub fn progress(&self) -> Option<SnapshotProgress> {
        match &self.read {
            Some(attempt) => Some(attempt.progress.clone()),
            None => self.remembered.clone(),
        }
    }

    /// The position to write before anything depends on it, and again when the snapshot is complete.
    pub fn commit_point(&self, snapshot: Option<SnapshotProgress>) -> CommitPoint {
        CommitPoint {
            done_end_lsn: self.from,
            last_commit_lsn: self.last_commit,
            last_commit_us: self.last_commit_us,
            open: self.open.clone(),
            snapshot,
        }
    }

    /// Where the engine starts.
    pub fn start(&self, status_interval: Duration, lineage: u32) -> cdcd_capture::Start {
        cdcd_capture::Start {
            done_end_lsn: self.from,
            last_commit_lsn: self.last_commit,
            last_commit_us: self.last_commit_us,
            open: self.open.clone(),
            snapshot: self.remembered.clone(),
            status_interval_ns: status_interval.as_nanos() as i64,
            lineage,
        }
    }
}

impl Attempt {
    /// The first attempt of a snapshot that is consistent at `lsn`.
    fn first(settings: &SourceSettings, tables: &[Table], lsn: Lsn, exported: Option<String>) -> Self {
        let progress = |table: &Table| TableProgress {
            oid: table.oid,
            name: full_name(table),
            key: Vec::new(),
            parts: Vec::new(),
            done: false,
        };
        let tables = tables.iter().filter(|table| is_read(settings, table)).map(progress).collect();
        let consistent_point = LsnText(lsn);
        let moments = BTreeMap::new();
        let progress = SnapshotProgress { consistent_point, attempt: 1, tables, moments, complete: false };
        Attempt { progress, exported }
    }

    /// What is to be read where the slot exists.
    pub fn resumed(
        settings: &SourceSettings,
        tables: &[Table],
        from: Lsn,
        need: &SnapshotNeed,
    ) -> Option<Self> {
        match need {
            SnapshotNeed::None | SnapshotNeed::Remember(_) => None,
            SnapshotNeed::Read => Some(Attempt::first(settings, tables, from, None)),
            SnapshotNeed::Continue(progress) => Some(Attempt::next(progress.clone())),
        }
    }

    /// The next attempt of one that was interrupted.
    fn next(mut progress: SnapshotProgress) -> Self {
        progress.attempt += 1;
        Attempt { progress, exported: None }
    }
}

/// Reads what the progress does not have yet.
pub(super) async fn run(
    settings: &SourceSettings,
    control: &Client,
    tables: &[Table],
    attempt: &Attempt,
    (capture, schemas): (&mut Capture, &mut Schemas),
    delivery: &mut Delivery<'_>,
    shutdown: &Shutdown,
) -> Result<Ended, Failure> {
    let mut reader = open_reader(settings, attempt.exported.as_deref()).await?;
    let xid = reader.session()?.next_xid().await?;
    let mut progress = attempt.progress.clone();
    if attempt.exported.is_none() {
        let (snapshot, horizon) = reader.session()?.visible().await?;
        progress.moments.insert(progress.attempt, Moment { snapshot, horizon: LsnText(horizon) });
    }
    let left = tables_left(&mut progress, tables);
    tracing::info!(
        tables = left.len(),
        attempt = progress.attempt,
        lsn = %progress.consistent_point.0,
        "snapshot begun"
    );
    let estimate = left.iter().map(|table| table.rows_estimate.max(0.0) as u64).sum();
    let bytes_order = keys_are_ordered_by_bytes(control).await?;
    let mut read = Reading {
        settings,
        control,
        reader,
        capture,
        schemas,
        delivery,
        shutdown,
        shown: SnapshotBar::new(estimate),
        bytes_order,
    };
    read.capture.begin_snapshot(progress, Some(xid));
    let mut unqueued = left.iter();
    let mut queued = VecDeque::new();
    loop {
        while queued.len() < read.reader.sessions() {
            let Some(table) = unqueued.next() else { break };
            queued.push_back(read.queue(table).await?);
        }
        let Some(table) = queued.pop_front() else { break };
        if read.table(table).await? == Ended::Interrupted {
            // What was read counts: the next start goes on behind it.
            read.delivery.finish(read.capture, DRAIN_LIMIT).await?;
            return Ok(Ended::Interrupted);
        }
    }
    let Reading { reader, shown, schemas, capture, delivery, .. } = read;
    capture.end_snapshot(now_ns())?;
    schemas.answer(capture).await?;
    reader.commit().await?;
    delivery.finish(capture, DRAIN_LIMIT).await?;
    shown.finish(left.len());
    Ok(Ended::Complete)
}

/// As many sessions as `snapshot.max.threads` says.
async fn open_reader(settings: &SourceSettings, exported: Option<&str>) -> Result<SliceReader, Failure> {
    let connection = Connection::connect(&settings.database, Purpose::Query).await?;
    let first = SnapshotReader::begin(connection, exported).await?;
    let mut more = Vec::new();
    for _ in 1..settings.snapshot.sessions.get() {
        more.push(Connection::connect(&settings.database, Purpose::Query).await?);
    }
    Ok(SliceReader::begin(first, more, exported).await?)
}

/// The tables that are not done, in the order of the progress. One that is gone, or was made again under its name,
/// has no rows of the consistent point any more; what it has now comes by the stream.
pub fn tables_left<'t>(progress: &mut SnapshotProgress, tables: &'t [Table]) -> Vec<&'t Table> {
    let mut left = Vec::new();
    for known in progress.tables.iter_mut().filter(|known| !known.done) {
        match tables.iter().find(|table| table.oid == known.oid) {
            Some(table) => left.push(table),
            None => {
                tracing::warn!(table = known.name, "the table is gone: its snapshot ends where it is");
                known.done = true;
            }
        }
    }
    left
}

/// Whether the bytes that come from the server are the ones that it orders by.
async fn keys_are_ordered_by_bytes(control: &Client) -> Result<bool, Failure> {
    let row = control
        .query_one("SELECT current_setting('server_encoding')", &[])
        .await
        .map_err(|error| Failure::new(Exit::Dependency, error))?;
    Ok(matches!(row.get::<_, String>(0).as_str(), "UTF8" | "SQL_ASCII"))
}

fn full_name(table: &Table) -> String {
    format!("{}.{}", table.schema, table.name)
}

/// A partitioned table's rows are read once: from its partitions, or from the root if that is published.
fn is_read(settings: &SourceSettings, table: &Table) -> bool {
    let wanted = settings.snapshot.tables.passes(&format!("{}.{}", table.schema, table.name));
    wanted
        && if settings.publication.via_partition_root { !table.is_partition } else { !table.is_partitioned }
}

/// The parts of an attempt.
struct Reading<'a, 'd> {
    settings: &'a SourceSettings,
    control: &'a Client,
    reader: SliceReader,
    capture: &'a mut Capture,
    schemas: &'a mut Schemas,
    delivery: &'a mut Delivery<'d>,
    shutdown: &'a Shutdown,
    shown: SnapshotBar,
    bytes_order: bool,
}

/// A table whose rows are on their way.
struct Queued {
    name: String,
    shape: TableShape,
    facts: TableFacts,
    key: Vec<String>,
}

impl Reading<'_, '_> {
    /// Lets the sessions begin with a table as soon as they are done with those before it.
    async fn queue(&mut self, table: &Table) -> Result<Queued, Failure> {
        let name = full_name(table);
        let (shape, facts) = described(self.control, table).await?;
        let names: Vec<String> = shape.columns.iter().map(|column| column.name.clone()).collect();
        let select = self.settings.snapshot.overrides.get(&name).map(String::as_str);
        let key = if select.is_some() || !table.has_primary_key {
            Vec::new()
        } else {
            self.chunk_key(&shape, &facts.key)
        };
        let order = order_columns(&shape, &key);
        let after = self.capture.snapshot().and_then(|progress| {
            let known = progress.tables.iter().find(|known| known.oid == table.oid)?;
            known.parts.last()?.upto.clone()
        });
        let rows = TableRows {
            schema: &table.schema,
            table: &table.name,
            columns: &names,
            select,
            order: &order,
            after: after.as_deref(),
            upto: None,
        };
        self.reader.queue_table(self.control, &rows).await?;
        Ok(Queued { name, shape, facts, key })
    }

    /// Reads the table at the front of the queue.
    async fn table(&mut self, table: Queued) -> Result<Ended, Failure> {
        let Queued { name, shape, facts, key } = table;
        self.shown.table(&shape.table);
        let at_us = pg_catalog::clock_us(self.control).await?;
        self.capture.begin_snapshot_table(SnapshotTable { shape, facts, key, at_us })?;
        self.schemas.answer(self.capture).await?;
        self.rows(&name).await
    }

    fn chunk_key(&self, shape: &TableShape, primary_key: &[String]) -> Vec<String> {
        let key = chunk_key(shape, primary_key);
        let is_ordered = self.bytes_order || !order_columns(shape, &key).iter().any(|column| column.by_bytes);
        if is_ordered { key } else { Vec::new() }
    }

    async fn rows(&mut self, name: &str) -> Result<Ended, Failure> {
        let mut count = 0u64;
        loop {
            match self.reader.next_row()? {
                Some(CopyMessage::Data(line)) => {
                    self.capture.handle_snapshot_row(line, now_ns())?;
                    self.schemas.answer(self.capture).await?;
                    count += 1;
                    self.shown.row();
                    if self.capture.pending_bytes() >= OUTBOX_BYTES_MAX {
                        while self.delivery.pump(self.capture, Pace::Busy).await? == Flow::Full {
                            self.delivery.relieve(self.capture).await?;
                        }
                    }
                }
                Some(CopyMessage::Done) => break,
                None => {
                    if self.shutdown.is_requested() {
                        return Ok(Ended::Interrupted);
                    }
                    self.reader.fill().await?;
                }
            }
        }
        self.reader.end_table().await?;
        self.capture.end_snapshot_table();
        self.shown.table_done(name, count);
        Ok(Ended::Complete)
    }
}

/// A table as the catalog has it now.
///
/// # Errors
/// [`cdcd_postgres::Error::Control`] or [`cdcd_postgres::Error::Server`].
pub async fn described(
    control: &Client,
    table: &Table,
) -> Result<(TableShape, TableFacts), cdcd_postgres::Error> {
    let columns = pg_catalog::columns(control, table.oid).await?;
    let type_oids: Vec<u32> = columns.iter().map(|column| column.type_oid).collect();
    let facts = catalog::facts(control, table.oid, &columns, &type_oids).await?;
    Ok((shape(table, &columns), facts))
}

/// What the server orders a table's rows by.
pub fn order_columns<'a>(shape: &TableShape, key: &'a [String]) -> Vec<OrderColumn<'a>> {
    let by_bytes = |name: &String| {
        let column = shape.columns.iter().find(|column| &column.name == name);
        column.and_then(|column| KeyOrder::of(column.type_oid)).is_some_and(KeyOrder::needs_collation)
    };
    key.iter().map(|name| OrderColumn { name, by_bytes: by_bytes(name) }).collect()
}

fn shape(table: &Table, columns: &[pg_catalog::Column]) -> TableShape {
    TableShape {
        oid: table.oid,
        schema: table.schema.clone(),
        table: table.name.clone(),
        identity: match table.replica_identity {
            'n' => ReplicaIdentity::Nothing,
            'f' => ReplicaIdentity::Full,
            'i' => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Default,
        },
        columns: columns
            .iter()
            .map(|column| ColumnShape {
                name: column.name.clone(),
                is_identity: column.is_identity,
                type_oid: column.type_oid,
                typmod: column.typmod,
            })
            .collect(),
    }
}
