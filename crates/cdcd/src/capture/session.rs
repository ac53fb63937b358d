//! One life of a capture between two failures.

use std::collections::BTreeMap;
use std::time::Duration;

use cdcd_capture::Capture;
use cdcd_capture::kept::KeptFacts;
use cdcd_capture::position::{Guarantee, Position, SnapshotProgress};
use cdcd_pgoutput::Lsn;
use cdcd_postgres::catalog::{self, Table};
use cdcd_postgres::connection::{Connection, Purpose};
use cdcd_postgres::replication::{self, SlotOptions, System};
use cdcd_postgres::{control, publication, slot};
use tokio_postgres::Client;

use super::delivery::Delivery;
use super::facts::Disproved;
use super::output::Output;
use super::publication::{self as watched, Published, Watch};
use super::report::StatsLine;
use super::schemas::Schemas;
use super::snapshot::{self, Attempt, Ended, Prepared};
use super::spool::FileSpool;
use super::start::{self, Accept, Decision, Facts};
use super::store::{Identity, Kept, Store};
use super::stream::Stream;
use super::{CaptureOptions, EndPosition, OutputKind, durability, identity, now_ns, protocol, takeover};
use crate::connector::source::{SnapshotMode, SourceSettings};
use crate::exit::{Exit, Failure};
use crate::failpoint::reached;
use crate::shutdown::Shutdown;

/// What one life leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// Streaming or the snapshot was reached once: failures may now be retried.
    pub(super) has_run: bool,
    /// The position names this process.
    has_claimed: bool,
    /// The same since the last failure.
    pub(super) ran_since_failure: bool,
    /// `--endpos now`, resolved by the first life.
    end: Option<Lsn>,
    disproved: Disproved,
    /// How durable Kafka is, for the log.
    durability: Option<&'static str>,
    /// Transactions are received in progress.
    is_streaming: bool,
    /// One came that only protocol 1 can tell.
    has_refused_streaming: bool,
    /// Schema ids do not change from life to life.
    schemas: Option<Schemas>,
}

/// The open parts.
struct Session<'s> {
    settings: &'s SourceSettings,
    options: &'s CaptureOptions,
    shutdown: &'s Shutdown,
    control: Client,
    replication: Connection,
    output: Output,
    store: Store,
    identity: Identity,
    /// As the position keeps them.
    stream_options: String,
    spool: Option<FileSpool>,
    server_version: u32,
    tables: Vec<Table>,
    /// What earlier processes were told about tables …
    facts: KeptFacts,
    /// … which counts up to here.
    log_end: Lsn,
}

/// Runs until the end or a failure. One that says that another process took over is looked into.
pub(super) async fn run(
    settings: &SourceSettings,
    options: &CaptureOptions,
    shutdown: &Shutdown,
    life: &mut Life,
) -> Result<(), Failure> {
    let outcome = open_and_run(settings, options, shutdown, life).await;
    match outcome.map_err(|failure| life.disproved.learn(failure)) {
        Err(failure) if takeover::is_fenced(&failure) => Err(look_for_successor(settings, failure).await),
        Err(failure) if failure.exit == Exit::Guard && life.has_claimed => {
            let position = Store::new(settings).peek(settings).await;
            Err(takeover::judge_guard(settings, failure, position))
        }
        Err(mut failure) if life.is_streaming && protocol::is_unstreamable(&failure) => {
            tracing::warn!("from here on each transaction is received after its commit (protocol 1)");
            life.has_refused_streaming = true;
            failure.transient = true;
            Err(failure)
        }
        outcome => outcome,
    }
}

async fn open_and_run(
    settings: &SourceSettings,
    options: &CaptureOptions,
    shutdown: &Shutdown,
    life: &mut Life,
) -> Result<(), Failure> {
    let store = Store::new(settings);
    life.has_claimed = false;
    life.is_streaming = false;
    if life.has_run && options.output == OutputKind::Kafka {
        // Somebody may have taken over meanwhile; fencing would take it back.
        takeover::refuse_if_taken_over(settings, store.peek(settings).await?.as_ref())?;
    }
    if options.output == OutputKind::Kafka && life.durability.is_none() {
        life.durability = Some(durability::check(settings).await?);
    }
    // Fence before reading: an older process could still commit after our read.
    reached("fence.before");
    let mut output = Output::open(options.output, settings).await?;
    reached("fence.after");
    let kept = if output.is_durable() { store.read(settings).await? } else { Kept::default() };
    let facts_kept = kept.facts.read()?;
    let mut position = kept.position;
    reached("read-position.after");
    takeover::check_guarantee(settings, output.guarantee(), position.as_ref())?;
    if let Some(position) = &mut position {
        reached("claim.before");
        claim(settings, &store, &mut output, position).await?;
        reached("claim.after");
        life.has_claimed = true;
    }
    let control = control::connect(&settings.database, settings.query_timeout).await?;
    let server_version = control::server_version(&control).await?;
    check_wal_level(&control).await?;
    let mut replication = Connection::connect(&settings.database, Purpose::Replication).await?;
    let system = replication::identify_system(&mut replication).await?;
    let tables = captured_tables(settings, &control).await?;
    let slot = slot::find(&control, &settings.slot.name).await?;
    let (cluster_id, trace) = match (output.is_durable(), &position, &slot) {
        (false, ..) => (String::new(), None),
        (true, None, Some(_)) => (store.cluster_id(settings).await?, store.trace(settings).await?),
        (true, ..) => (store.cluster_id(settings).await?, None),
    };
    let history = timeline_history(&mut replication, &system, position.as_ref()).await?;
    let facts = Facts {
        system: &system,
        history: &history,
        position: position.as_ref(),
        slot: slot.as_ref(),
        cluster_id: &cluster_id,
        trace: trace.as_deref(),
    };
    // Consent is for one start, and a start that has run is one.
    let accept = if life.has_run { Accept::default() } else { options.accept };
    let decision = start::decide(settings, &facts, accept)?;
    let mut topics = BTreeMap::new();
    if let Some(position) = &position {
        topics = store.check_topics(settings, position, accept).await?;
        watched::check(settings, &control, kept.publication, accept.loss || accept.lineage).await?;
    }
    if life.end.is_none() {
        life.end = match options.end {
            None => None,
            Some(EndPosition::Lsn(lsn)) => Some(lsn),
            Some(EndPosition::Now) => Some(slot::current_wal_flush_lsn(&control).await?),
        };
    }
    let protocol = protocol::choose(settings, server_version, life.has_refused_streaming, position.as_ref())?;
    life.is_streaming = protocol.spool.is_some();
    let mut identity = identity(&control, &system, &decision, &protocol.stream_options).await?;
    identity.guarantee = output.guarantee();
    identity.writer.clone_from(&settings.capture.run_id);
    identity.writer_epoch = position.as_ref().map_or(1, |position| position.writer_epoch);
    identity.cluster_id = cluster_id;
    identity.topics = topics;
    let session = Session {
        settings,
        options,
        shutdown,
        control,
        replication,
        output,
        store,
        identity,
        stream_options: protocol.stream_options,
        spool: protocol.spool,
        server_version,
        tables,
        facts: facts_kept,
        log_end: system.wal_end,
    };
    session.run(decision, life).await
}

impl Session<'_> {
    async fn run(mut self, decision: Decision, life: &mut Life) -> Result<(), Failure> {
        self.ensure_publication().await?;
        identity::set(&self.control, &self.tables, &self.settings.publication.identities).await?;
        let published = Published::now(self.settings, &self.control).await?;
        if let Some(published) = &published {
            self.output.keep(&self.store.topic, &self.store.publication_key, Some(&published.encode()))?;
        }
        if matches!(&decision, Decision::CreateSlot { snapshot: true, .. })
            && self.waits(self.settings.snapshot.delay, "snapshot.delay.ms").await
        {
            return Ok(());
        }
        let prepared = self.prepare(decision).await?;
        life.has_run = true;
        life.ran_since_failure = true;
        let start = prepared.start(self.status_interval().await?, self.identity.lineage);
        let mut capture = Capture::new(self.settings.capture.clone(), start)?;
        let tables: Vec<u32> = self.tables.iter().map(|table| table.oid).collect();
        capture.remember(std::mem::take(&mut self.facts), self.log_end, &tables);
        life.disproved.tell(&mut capture);
        if let Some(spool) = self.spool.take() {
            capture = capture.with_spool(Box::new(spool));
        }
        let schemas = match &mut life.schemas {
            Some(schemas) => schemas,
            none => none.insert(Schemas::new(self.settings)?),
        };
        schemas.answer(&mut capture).await?;
        if let Some(attempt) = &prepared.read {
            let mut delivery =
                Delivery { output: &mut self.output, store: &self.store, identity: &self.identity };
            let ended = snapshot::run(
                self.settings,
                &self.control,
                &self.tables,
                attempt,
                (&mut capture, schemas),
                &mut delivery,
                self.shutdown,
            )
            .await?;
            if ended == Ended::Interrupted {
                tracing::warn!("snapshot interrupted: the next start goes on with it");
                return Ok(());
            }
            self.write_position(&prepared, capture.snapshot().cloned()).await?;
            let delay = self.settings.snapshot.streaming_delay;
            let only = self.settings.snapshot.mode == SnapshotMode::InitialOnly;
            if !only && self.waits(delay, "streaming.delay.ms").await {
                return Ok(());
            }
        }
        if self.settings.snapshot.mode == SnapshotMode::InitialOnly {
            tracing::info!("snapshot.mode=initial_only: the snapshot is complete");
            return Ok(());
        }
        let watch = Watch::new(published, now_ns());
        let durability = life.durability.unwrap_or("none");
        tracing::info!(slot = self.settings.slot.name, lsn = %prepared.from, durability, "starting to stream");
        self.stream(prepared.from, (&mut capture, schemas), watch, life.end).await
    }

    /// Waits as long as a property says; `true` if the end was asked for meanwhile.
    async fn waits(&self, delay: Option<Duration>, property: &str) -> bool {
        let Some(delay) = delay else { return false };
        tracing::info!(property, wait_ms = delay.as_millis() as u64, "waiting");
        tokio::select! {
            () = tokio::time::sleep(delay) => false,
            () = self.shutdown.requested() => true,
        }
    }

    async fn stream(
        mut self,
        from: Lsn,
        (capture, schemas): (&mut Capture, &mut Schemas),
        watch: Watch,
        end: Option<Lsn>,
    ) -> Result<(), Failure> {
        self.start_replication(from).await?;
        tracing::info!(slot = self.settings.slot.name, lsn = %from, "streaming");
        let stream = Stream {
            connection: self.replication,
            settings: self.settings,
            control: &self.control,
            capture,
            schemas,
            watch,
            delivery: Delivery { output: &mut self.output, store: &self.store, identity: &self.identity },
            end,
            stats: StatsLine::new(self.options.stats_interval),
        };
        stream.run(self.shutdown).await?;
        if let Some(end) = end.filter(|_| self.output.is_durable()) {
            confirm_end(&self.control, &self.settings.slot.name, end).await?;
        }
        if self.settings.slot.drop_on_stop {
            slot::drop(&self.control, &self.settings.slot.name).await?;
            tracing::info!(slot = self.settings.slot.name, "slot dropped (slot.drop.on.stop)");
        }
        Ok(())
    }

    /// Starts the stream; a slot that is still in use is waited for.
    async fn start_replication(&mut self, from: Lsn) -> Result<(), Failure> {
        let name = &self.settings.slot.name;
        let mut retries = 0;
        loop {
            reached("start-replication.before");
            let started = replication::start(&mut self.replication, name, from, &self.stream_options).await;
            match started {
                Ok(()) => {
                    reached("start-replication.after");
                    return self.check_again(from).await;
                }
                Err(error) if error.code() == Some("55006") && retries < self.settings.slot.max_retries => {
                    retries += 1;
                    let wait = self.wait_for_slot(retries).await?;
                    tracing::warn!(
                        slot = name,
                        retries,
                        wait_ms = wait.as_millis() as u64,
                        "slot is in use, waiting"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.shutdown.requested() => return Err(error.into()),
                    }
                }
                Err(error) if error.code() == Some("55006") => {
                    return Err(Failure::guard(
                        "E_SLOT_ACTIVE",
                        format!("slot {name} is used by another process after {retries} attempts: {error}"),
                    )
                    .hint("two consumers of one slot take each other's changes: stop the other one, or choose another slot.name"));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// G8: a server process that serves a process of ours which is gone or fenced is ended; anything else is
    /// waited for. Without fencing a living process could be the other side, and two would end each other for ever.
    async fn wait_for_slot(&self, retries: u32) -> Result<Duration, Failure> {
        let settings = self.settings;
        if self.identity.guarantee == Guarantee::ExactlyOnce
            && slot::evict(&self.control, &settings.slot.name, &settings.database.application_name).await?
        {
            tracing::warn!(slot = settings.slot.name, "ended the server process of our predecessor");
            return Ok(Duration::from_millis(100));
        }
        // Our own predecessor may need a moment to notice that its client is gone.
        Ok(if retries == 1 { Duration::from_millis(500) } else { settings.slot.retry_delay })
    }

    /// G5 once more: between the first look and the start somebody could have advanced the slot. Nothing was
    /// acknowledged yet, so what is confirmed now is not from us.
    async fn check_again(&self, from: Lsn) -> Result<(), Failure> {
        let found = slot::find(&self.control, &self.settings.slot.name).await?;
        match found.and_then(|slot| slot.confirmed_flush_lsn) {
            Some(confirmed) if self.output.is_durable() => {
                start::slot_is_not_ahead(self.settings, confirmed, from)
            }
            _ => Ok(()),
        }
    }

    async fn status_interval(&self) -> Result<Duration, Failure> {
        let timeout = control::wal_sender_timeout(&self.control).await?;
        let configured = self.settings.status_interval;
        Ok(start::status_interval(configured, timeout))
    }

    async fn ensure_publication(&self) -> Result<(), Failure> {
        let published: Vec<(String, String)> = self
            .tables
            .iter()
            .filter(|table| !table.is_unlogged && !table.is_partition)
            .map(|table| (table.schema.clone(), table.name.clone()))
            .collect();
        let wanted = &self.settings.publication;
        let outcome = publication::ensure(
            &self.control,
            &publication::Wanted {
                name: &wanted.name,
                auto_create: wanted.auto_create,
                tables: &published,
                via_partition_root: wanted.via_partition_root,
                publish: wanted.publish.as_deref(),
            },
        )
        .await?;
        match outcome {
            publication::Outcome::Used => {}
            done => tracing::info!(publication = wanted.name, ?done, "publication made to fit"),
        }
        Ok(())
    }

    /// Creates the slot if need be, and makes the first position durable before anything depends on it.
    async fn prepare(&mut self, decision: Decision) -> Result<Prepared, Failure> {
        let prepared = match decision {
            Decision::CreateSlot { snapshot, replace, .. } => {
                if replace {
                    slot::drop(&self.control, &self.settings.slot.name).await?;
                    tracing::warn!(slot = self.settings.slot.name, "the invalidated slot was dropped");
                }
                let options = SlotOptions { failover: self.settings.slot.failover };
                let name = &self.settings.slot.name;
                tracing::info!(slot = name, "creating the slot (waits for running transactions)");
                let created =
                    replication::create_slot(&mut self.replication, name, options, self.server_version)
                        .await?;
                tracing::info!(slot = name, lsn = %created.consistent_point, "slot created");
                let tables = &self.tables;
                Prepared::created(self.settings, tables, created.consistent_point, created.snapshot, snapshot)
            }
            Decision::Resume { from, last_commit, last_commit_us, open, snapshot, .. } => Prepared {
                from,
                last_commit,
                last_commit_us,
                open,
                read: Attempt::resumed(self.settings, &self.tables, from, &snapshot),
                remembered: snapshot.remembered(),
            },
        };
        let progress = prepared.progress();
        self.write_position(&prepared, progress).await?;
        Ok(prepared)
    }

    /// Where we start becomes durable, and that it is we who start there.
    async fn write_position(
        &mut self,
        prepared: &Prepared,
        snapshot: Option<SnapshotProgress>,
    ) -> Result<(), Failure> {
        let point = prepared.commit_point(snapshot);
        let position = self.store.position(&self.identity, point);
        reached("first-position.before");
        self.output.begin_commit(&self.store, position)?;
        position_written(&mut self.output).await?;
        reached("first-position.after");
        Ok(())
    }
}

/// How long Kafka may take for the first position.
const POSITION_LIMIT: Duration = Duration::from_secs(60);

/// Tells everybody that it is us now, at once: who was fenced looks for it.
async fn claim(
    settings: &SourceSettings,
    store: &Store,
    output: &mut Output,
    position: &mut Position,
) -> Result<(), Failure> {
    let claimed = takeover::claim(position, &settings.capture.run_id, output.guarantee());
    output.begin_commit(store, claimed)?;
    position_written(output).await
}

/// Waits for the commit of a position, but not for ever.
async fn position_written(output: &mut Output) -> Result<(), Failure> {
    tokio::time::timeout(POSITION_LIMIT, output.committed()).await.unwrap_or_else(|_| {
        let error = anyhow::anyhow!("Kafka did not take the position within {} s", POSITION_LIMIT.as_secs());
        let mut failure = Failure::new(Exit::Dependency, error);
        failure.transient = true;
        Err(failure)
    })
}

async fn look_for_successor(settings: &SourceSettings, failure: Failure) -> Failure {
    let position = Store::new(settings).peek(settings).await;
    takeover::judge_fenced(settings, failure, position)
}

/// Asked for only when the position was made on an earlier timeline.
async fn timeline_history(
    replication: &mut Connection,
    system: &System,
    position: Option<&Position>,
) -> Result<Vec<(u32, Lsn)>, Failure> {
    match position {
        Some(position) if position.timeline < system.timeline => {
            Ok(replication::timeline_history(replication, system.timeline).await?)
        }
        _ => Ok(Vec::new()),
    }
}

async fn check_wal_level(control: &Client) -> Result<(), Failure> {
    let row = control
        .query_one("SELECT current_setting('wal_level')", &[])
        .await
        .map_err(|error| Failure::new(Exit::Dependency, error))?;
    match row.get::<_, String>(0).as_str() {
        "logical" => Ok(()),
        other => Err(Failure::configuration(format!("wal_level is {other}, and logical decoding needs logical"))
            .hint("ALTER SYSTEM SET wal_level = 'logical'; then restart the server (on RDS: rds.logical_replication = 1)")),
    }
}

async fn captured_tables(settings: &SourceSettings, control: &Client) -> Result<Vec<Table>, Failure> {
    let tables = catalog::tables(control).await?;
    let captured: Vec<Table> = tables
        .into_iter()
        .filter(|table| settings.capture.filters.captures(&table.schema, &table.name))
        .collect();
    for table in &captured {
        let name = format!("{}.{}", table.schema, table.name);
        if table.is_unlogged {
            tracing::warn!(table = name, "unlogged table: PostgreSQL publishes no changes of it");
        } else if table.replica_identity == 'd' && !table.has_primary_key && !table.is_partitioned {
            tracing::warn!(
                table = name,
                "table without primary key: PostgreSQL will refuse its UPDATE and DELETE until REPLICA IDENTITY FULL is set"
            );
        }
    }
    if captured.is_empty() {
        tracing::warn!("no table matches the include and exclude lists yet");
    }
    Ok(captured)
}

async fn identity(
    control: &Client,
    system: &System,
    decision: &Decision,
    options: &str,
) -> Result<Identity, Failure> {
    let row = control
        .query_one("SELECT oid FROM pg_database WHERE datname = current_database()", &[])
        .await
        .map_err(|error| Failure::new(Exit::Dependency, error))?;
    Ok(Identity {
        system_id: system.system_id.clone(),
        timeline: system.timeline,
        db_oid: row.get(0),
        stream_options: options.to_owned(),
        guarantee: Guarantee::AtLeastOnce,
        cluster_id: String::new(),
        topics: BTreeMap::new(),
        writer: String::new(),
        writer_epoch: 0,
        lineage: match decision {
            Decision::CreateSlot { lineage, .. } | Decision::Resume { lineage, .. } => *lineage,
        },
    })
}

/// The server must have taken the last acknowledgement before the command may say that it is done.
async fn confirm_end(control: &Client, slot_name: &str, end: Lsn) -> Result<(), Failure> {
    let mut confirmed = None;
    for _ in 0..100 {
        confirmed = slot::find(control, slot_name).await?.and_then(|slot| slot.confirmed_flush_lsn);
        if confirmed.is_some_and(|lsn| lsn >= end) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(Failure::new(
        Exit::Unexpected,
        anyhow::anyhow!(
            "slot {slot_name} is confirmed up to {confirmed:?} only, not up to the end position {end}"
        ),
    ))
}
