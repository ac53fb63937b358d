//! All channels of the account: opening, appending, status, dropping, and the task of each channel that commits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::watch;

use crate::engine::{self, Engine, RelationName, SchemaName};
use crate::error::{ApiError, SqlError};
use crate::server::Phase;
use crate::settings::SharedSettings;
use crate::streaming::channel::{Batch, Channel, CommitJob, Counters, OpenPolicy, Refusal};
use crate::streaming::committer::{Commit, CommitError, Mode, signed};
use crate::streaming::convert::BinaryFormat;
use crate::streaming::pipe;

/// Channels of one pipe; Snowflake's documented limit.
pub const CHANNELS_PER_PIPE_MAX: usize = 2_000;

/// How long an open waits for a running commit of the same channel before it answers 409.
const OPEN_WAIT: Duration = Duration::from_secs(30);

/// Pause after a commit that the engine refused, so that an engine that is down is not hammered.
const COMMIT_RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A channel by its full name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName {
    /// Database and schema of the pipe.
    pub schema: SchemaName,
    /// The pipe.
    pub pipe: String,
    /// The channel.
    pub channel: String,
}

/// One channel, its table, and the signals around it.
struct Cell {
    name: ChannelName,
    held: tokio::sync::Mutex<Held>,
    /// A batch came in, or a setting changed.
    wake: Notify,
    /// A commit ended.
    settled: Notify,
}

struct Held {
    channel: Channel,
    table: RelationName,
    table_oid: u32,
    created_on_ms: i64,
    dropped: bool,
    /// Opened on a pipe that is invalid: rows are accepted and lost.
    discarding: bool,
    throttle: Throttle,
}

/// Counts what one channel sent in the present second.
#[derive(Debug, Default)]
struct Throttle {
    second: u64,
    requests: u32,
    bytes: u64,
}

impl Throttle {
    fn check(
        &mut self,
        now: Duration,
        bytes: usize,
        settings: &crate::settings::Settings,
    ) -> Result<(), ApiError> {
        if self.second != now.as_secs() {
            *self = Throttle { second: now.as_secs(), ..Throttle::default() };
        }
        self.requests += 1;
        self.bytes += bytes as u64;
        let too_many = settings.append_requests_per_second_max > 0
            && self.requests > settings.append_requests_per_second_max;
        let too_much = settings.append_bytes_per_second_max > 0
            && self.requests > 1
            && self.bytes > settings.append_bytes_per_second_max;
        if too_many || too_much {
            return Err(ApiError::new(
                429,
                "ReceiverSaturated",
                "the channel's rate limit is reached; retry later",
            ));
        }
        Ok(())
    }
}

/// The channels, and what they need to commit.
pub struct Registry {
    engine: Engine,
    settings: Arc<SharedSettings>,
    mode: Mode,
    binary: BinaryFormat,
    started: Instant,
    cells: Mutex<HashMap<ChannelName, Arc<Cell>>>,
    phases: watch::Receiver<Phase>,
}

impl Registry {
    /// Loads the stored channels; each must be opened before it accepts rows.
    ///
    /// # Errors
    /// When the engine fails.
    pub(crate) async fn load(
        engine: Engine,
        settings: Arc<SharedSettings>,
        mode: Mode,
        binary: BinaryFormat,
        phases: watch::Receiver<Phase>,
    ) -> Result<Arc<Registry>, SqlError> {
        let registry = Arc::new(Registry {
            engine,
            settings,
            mode,
            binary,
            started: Instant::now(),
            cells: Mutex::new(HashMap::new()),
            phases,
        });
        let client = registry.engine.client().await?;
        let rows = client
            .query(
                "SELECT ch.database_name, ch.schema_name, ch.pipe_name, ch.channel_name, ch.relation, ch.client_sequencer,
                        ch.committed_token, ch.rows_inserted, ch.rows_parsed, ch.rows_error_count, ch.last_error_message,
                        ch.last_error_offset_upper_bound, ch.last_error_timestamp_ms,
                        (extract(epoch FROM ch.created_at) * 1000)::bigint, c.relname::text
                 FROM _emulator.channels ch LEFT JOIN pg_class c ON c.oid = ch.relation",
                &[],
            )
            .await?;
        for row in &rows {
            let schema = SchemaName { database: row.get(0), schema: row.get(1) };
            let name = ChannelName { schema: schema.clone(), pipe: row.get(2), channel: row.get(3) };
            let counters = Counters {
                rows_inserted: unsigned(row.get(7)),
                rows_parsed: unsigned(row.get(8)),
                rows_error_count: unsigned(row.get(9)),
                last_error_message: row.get(10),
                last_error_offset_upper_bound: row.get(11),
                last_error_timestamp_ms: row.get(12),
                avg_processing_latency_ms: 0,
            };
            let mut channel = Channel::restored(unsigned(row.get(5)), row.get(6), counters);
            let relation: Option<String> = row.get(14);
            if relation.is_none() {
                channel.invalidate("the table was dropped");
            }
            let held = Held {
                channel,
                table: RelationName { schema, name: relation.unwrap_or_default() },
                table_oid: row.get(4),
                created_on_ms: row.get(13),
                dropped: false,
                discarding: false,
                throttle: Throttle::default(),
            };
            registry.adopt(name, held);
        }
        Ok(registry)
    }

    /// Time since the emulator started: the clock of all channels.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Opens a channel, or opens it again.
    ///
    /// # Errors
    /// 404 when the pipe's table is missing, 409 when rows are uncommitted and must not be cut off.
    pub async fn open(
        self: &Arc<Self>,
        name: ChannelName,
        policy: OpenPolicy,
        offset_token: Option<String>,
    ) -> Result<Value, ApiError> {
        let target = pipe::resolve(&self.engine, &name.schema, &name.pipe).await?;
        let discarding = !target.is_table
            || self.settings.read().invalid_pipes.iter().any(|part| name.pipe.contains(part.as_str()));
        let cell = self.cell_for_open(&name, &target)?;
        let deadline = tokio::time::Instant::now() + OPEN_WAIT;
        let mut held = loop {
            let settled = cell.settled.notified();
            let held = cell.held.lock().await;
            if !held.channel.is_committing() {
                break held;
            }
            drop(held);
            if tokio::time::timeout_at(deadline, settled).await.is_err() {
                return Err(ApiError::new(
                    409,
                    "ERR_OPEN_CHANNEL_IN_PROGRESS",
                    "a commit of the channel is still running",
                ));
            }
        };
        if held.dropped {
            return Err(ApiError::new(
                409,
                "ERR_OPEN_CHANNEL_IN_PROGRESS",
                "the channel is being dropped; retry",
            ));
        }
        if held.table_oid != target.oid {
            // the table was replaced: its pipe and its channels are new ones, only the fence goes on
            held.channel = Channel::restored(held.channel.client_sequencer(), None, Counters::default());
            held.table_oid = target.oid;
            held.table = target.table.clone();
            held.created_on_ms = crate::streaming::committer::unix_ms();
            self.forget_stored(&name).await?;
        }
        held.channel.may_open(policy).map_err(refused)?;
        self.store_open(&name, &mut held, offset_token.as_deref()).await?;
        let token = held.channel.continuation_token();
        held.discarding = discarding;
        tracing::info!(
            table = %held.table, pipe = %name.pipe, channel = %name.channel, client_sequencer = held.channel.client_sequencer(),
            committed = held.channel.committed_token(), "channel opened"
        );
        Ok(json!({"next_continuation_token": token, "channel_status": status_of(&name, &held)}))
    }

    /// Accepts rows; gives the next continuation token.
    ///
    /// # Errors
    /// 404 for an unknown channel, else what [`Channel::append`] refuses.
    pub async fn append(&self, name: &ChannelName, token: &str, batch: Batch) -> Result<String, ApiError> {
        let cell = self.cell(name)?;
        let settings = self.settings.read();
        let mut held = cell.held.lock().await;
        if held.dropped {
            return Err(unknown_channel(name));
        }
        held.throttle.check(self.now(), batch.body.len(), &settings)?;
        let batch = if held.discarding {
            Batch { body: bytes::Bytes::new(), end_token: None, ..batch }
        } else {
            batch
        };
        let next = held.channel.append(token, batch, settings.same_token()).map_err(refused)?;
        drop(held);
        cell.wake.notify_one();
        Ok(next)
    }

    /// Commits rows of the ELASTIC channel before it returns: 200 is a durable acknowledgement there.
    ///
    /// # Errors
    /// As [`Registry::open`] and [`Registry::append`].
    pub async fn append_elastic(self: &Arc<Self>, name: &ChannelName, batch: Batch) -> Result<(), ApiError> {
        if self.cell(name).is_err() {
            self.open(name.clone(), OpenPolicy::Discard, None).await?;
        }
        let cell = self.cell(name)?;
        let mut held = cell.held.lock().await;
        let job = CommitJob { client_sequencer: held.channel.client_sequencer(), batches: vec![batch] };
        match self.commit(&cell, &held.table, held.table_oid, &job).await {
            Ok(outcome) => {
                held.channel.handle_committed(&job, &outcome, self.now());
                Ok(())
            }
            Err(CommitError::InvalidPipe(message)) => {
                held.channel.invalidate(&message);
                Err(refused(Refusal::InvalidPipe { message }))
            }
            Err(CommitError::Fenced) => Err(ApiError::new(
                503,
                "ERR_GENERAL_EXCEPTION_RETRY_REQUEST",
                "the channel was opened meanwhile; retry",
            )),
            Err(CommitError::Engine(error)) => Err(error.into()),
        }
    }

    /// The status of those channels of a pipe that exist.
    ///
    /// # Errors
    /// 409 when the pipe is invalid.
    pub async fn statuses(
        &self,
        schema: &SchemaName,
        pipe: &str,
        channels: &[String],
    ) -> Result<Value, ApiError> {
        if channels.len() > CHANNELS_PER_PIPE_MAX {
            return Err(ApiError::new(
                400,
                "ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS",
                format!("{} channels were asked for; {CHANNELS_PER_PIPE_MAX} are the most", channels.len()),
            ));
        }
        let mut statuses = serde_json::Map::new();
        for channel in channels {
            let name =
                ChannelName { schema: schema.clone(), pipe: pipe.to_owned(), channel: channel.clone() };
            let Ok(cell) = self.cell(&name) else { continue };
            let held = cell.held.lock().await;
            if held.dropped {
                continue;
            }
            if held.channel.status_code() == "ERR_PIPE_IN_INVALID_STATE" {
                let message = format!("pipe {pipe} is invalid: its table was dropped or replaced");
                return Err(ApiError::new(409, "ERR_PIPE_IN_INVALID_STATE", message));
            }
            statuses.insert(channel.clone(), status_of(&name, &held));
        }
        Ok(json!({"channel_statuses": statuses}))
    }

    /// Drops a channel with its token; what was accepted and not committed is lost.
    ///
    /// # Errors
    /// 404 for an unknown channel; 409 when rows are uncommitted and `policy` refuses that.
    pub async fn drop_channel(&self, name: &ChannelName, policy: OpenPolicy) -> Result<Value, ApiError> {
        let cell = self.cell(name)?;
        let deadline = tokio::time::Instant::now() + OPEN_WAIT;
        loop {
            let settled = cell.settled.notified();
            let mut held = cell.held.lock().await;
            if !held.channel.is_committing() {
                held.channel.may_open(policy).map_err(refused)?;
                self.forget_stored(name).await?;
                held.dropped = true;
                self.cells().remove(name);
                cell.wake.notify_one();
                return Ok(json!({"last_committed_offset_token": held.channel.committed_token()}));
            }
            drop(held);
            if tokio::time::timeout_at(deadline, settled).await.is_err() {
                return Err(ApiError::new(
                    409,
                    "ERR_CHANNEL_HAS_UNCOMMITTED_DATA",
                    "a commit is still running",
                ));
            }
        }
    }

    /// Marks the channels of tables that are not there any more; called after DDL, so that clients learn it at once.
    pub async fn sweep_invalid(&self) -> Result<(), SqlError> {
        let cells: Vec<Arc<Cell>> = self.cells().values().cloned().collect();
        if cells.is_empty() {
            return Ok(());
        }
        let client = self.engine.client().await?;
        for cell in cells {
            let (table, oid) = {
                let held = cell.held.lock().await;
                (held.table.clone(), held.table_oid)
            };
            let found = engine::find_relation(&**client, &table).await?;
            if found.is_some_and(|relation| relation.oid == oid) {
                continue;
            }
            let mut held = cell.held.lock().await;
            // a running commit finds out by itself
            if held.table_oid == oid && !held.channel.is_committing() {
                held.channel.invalidate(&format!("table {table} was dropped or replaced"));
            }
        }
        Ok(())
    }

    /// Status of every channel, for the control plane.
    pub async fn snapshot(&self) -> Vec<Value> {
        let mut cells: Vec<Arc<Cell>> = self.cells().values().cloned().collect();
        cells.sort_by(|a, b| a.name.cmp(&b.name));
        let mut all = Vec::with_capacity(cells.len());
        for cell in cells {
            let held = cell.held.lock().await;
            let mut status = status_of(&cell.name, &held);
            if let Some(fields) = status.as_object_mut() {
                fields.insert("table_name".to_owned(), json!(held.table.name));
                fields.insert("client_sequencer".to_owned(), json!(held.channel.client_sequencer()));
                fields.insert("uncommitted_batches".to_owned(), json!(held.channel.uncommitted_batches()));
            }
            all.push(status);
        }
        all
    }

    /// Channels with `part` in their name, in order.
    pub fn names(&self, part: &str) -> Vec<ChannelName> {
        let mut names: Vec<ChannelName> =
            self.cells().keys().filter(|name| name.channel.contains(part)).cloned().collect();
        names.sort();
        names
    }

    /// Accepted batches of all channels that are not committed.
    pub async fn uncommitted(&self) -> usize {
        let cells: Vec<Arc<Cell>> = self.cells().values().cloned().collect();
        let mut batches = 0;
        for cell in cells {
            batches += cell.held.lock().await.channel.uncommitted_batches();
        }
        batches
    }

    /// Wakes every committer, after a setting changed.
    pub fn wake_all(&self) {
        for cell in self.cells().values() {
            cell.wake.notify_one();
        }
    }

    /// Forgets every channel, without a word to the engine; the caller has emptied it.
    pub async fn forget_all(&self) {
        let cells: Vec<Arc<Cell>> = self.cells().drain().map(|(_, cell)| cell).collect();
        for cell in cells {
            cell.held.lock().await.dropped = true;
            cell.wake.notify_one();
        }
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<ChannelName, Arc<Cell>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, name: &ChannelName) -> Result<Arc<Cell>, ApiError> {
        self.cells().get(name).cloned().ok_or_else(|| unknown_channel(name))
    }

    fn cell_for_open(
        self: &Arc<Self>,
        name: &ChannelName,
        target: &pipe::Target,
    ) -> Result<Arc<Cell>, ApiError> {
        if let Some(cell) = self.cells().get(name) {
            return Ok(cell.clone());
        }
        let siblings = self
            .cells()
            .keys()
            .filter(|other| other.schema == name.schema && other.pipe == name.pipe)
            .count();
        if siblings >= CHANNELS_PER_PIPE_MAX {
            let message =
                format!("pipe {} has {siblings} channels; {CHANNELS_PER_PIPE_MAX} are the most", name.pipe);
            return Err(ApiError::new(400, "ERR_TOO_MANY_CHANNELS", message));
        }
        let held = Held {
            channel: Channel::restored(0, None, Counters::default()),
            table: target.table.clone(),
            table_oid: target.oid,
            created_on_ms: crate::streaming::committer::unix_ms(),
            dropped: false,
            discarding: false,
            throttle: Throttle::default(),
        };
        Ok(self.adopt(name.clone(), held))
    }

    /// Puts a channel into the map and starts its committer; a channel that came first stays.
    fn adopt(self: &Arc<Self>, name: ChannelName, held: Held) -> Arc<Cell> {
        let mut cells = self.cells();
        let cell = cells.entry(name.clone()).or_insert_with(|| {
            let cell = Arc::new(Cell {
                name,
                held: tokio::sync::Mutex::new(held),
                wake: Notify::new(),
                settled: Notify::new(),
            });
            tokio::spawn(self.clone().run_committer(cell.clone()));
            cell
        });
        cell.clone()
    }

    /// One channel's loop: sleeps until a batch is due, commits it, and goes on until the channel or the emulator ends.
    async fn run_committer(self: Arc<Self>, cell: Arc<Cell>) {
        let mut phases = self.phases.clone();
        loop {
            let phase = *phases.borrow_and_update();
            let stopping = phase != Phase::Running;
            let delay =
                if stopping { Some(Duration::ZERO) } else { self.settings.commit_delay(&cell.name.channel) };
            let mut held = cell.held.lock().await;
            if held.dropped || phase == Phase::Gone {
                return;
            }
            let due = delay.and_then(|delay| held.channel.due_at(delay));
            let job = delay.and_then(|delay| held.channel.take_due(self.now(), delay));
            let target = (held.table.clone(), held.table_oid);
            drop(held);
            match job {
                Some(job) => self.commit_job(&cell, &target.0, target.1, job, stopping).await,
                None if stopping => return,
                None => {
                    let pause = due.map_or(Duration::from_secs(3_600), |due| due.saturating_sub(self.now()));
                    tokio::select! {
                        () = cell.wake.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                        changed = phases.changed() => {
                            if changed.is_err() {
                                return;
                            }
                        }
                    }
                }
            }
        }
    }

    async fn commit_job(
        &self,
        cell: &Cell,
        table: &RelationName,
        table_oid: u32,
        job: CommitJob,
        last: bool,
    ) {
        let result = self.commit(cell, table, table_oid, &job).await;
        let now = self.now();
        let mut held = cell.held.lock().await;
        let pause = match result {
            Ok(outcome) => {
                held.channel.handle_committed(&job, &outcome, now);
                if outcome.rows_errors > 0 {
                    tracing::warn!(
                        %table, channel = %cell.name.channel, rows = outcome.rows_errors,
                        reason = outcome.last_error.as_ref().map(|error| error.0.as_str()), "rows rejected"
                    );
                }
                Duration::ZERO
            }
            Err(CommitError::InvalidPipe(message)) => {
                tracing::warn!(%table, channel = %cell.name.channel, "pipe became invalid: {message}");
                held.channel.invalidate(&message);
                Duration::ZERO
            }
            Err(CommitError::Fenced) => {
                tracing::warn!(%table, channel = %cell.name.channel, "commit fenced by another emulator on this engine");
                held.channel.invalidate("the channel is owned by another emulator on the same engine");
                Duration::ZERO
            }
            Err(CommitError::Engine(error)) => {
                tracing::warn!(%table, channel = %cell.name.channel, %error, "commit failed, will be tried again");
                if last {
                    held.channel.invalidate("the emulator stopped");
                } else {
                    held.channel.handle_commit_failed(job);
                }
                COMMIT_RETRY_PAUSE
            }
        };
        drop(held);
        cell.settled.notify_waiters();
        tokio::time::sleep(pause).await;
    }

    async fn commit(
        &self,
        cell: &Cell,
        table: &RelationName,
        table_oid: u32,
        job: &CommitJob,
    ) -> Result<crate::streaming::channel::CommitOutcome, CommitError> {
        let commit = Commit {
            engine: &self.engine,
            channel: &cell.name,
            table,
            table_oid,
            mode: self.mode,
            binary: self.binary,
        };
        commit.run(job).await
    }

    /// Bumps the stored sequencer, which fences every commit of an older open, and takes over what is stored: a commit that an
    /// emulator before this one had under way may have become durable after this one had read the channel.
    async fn store_open(
        &self,
        name: &ChannelName,
        held: &mut Held,
        offset_token: Option<&str>,
    ) -> Result<(), ApiError> {
        let client = self.engine.client().await?;
        let row = client
            .query_one(
                "INSERT INTO _emulator.channels AS ch
                   (database_name, schema_name, pipe_name, channel_name, relation, client_sequencer, committed_token)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (database_name, schema_name, pipe_name, channel_name) DO UPDATE
                 SET client_sequencer = greatest(ch.client_sequencer + 1, EXCLUDED.client_sequencer),
                     relation = EXCLUDED.relation,
                     committed_token = coalesce(EXCLUDED.committed_token, ch.committed_token)
                 RETURNING client_sequencer, committed_token, rows_inserted, rows_parsed, rows_error_count, last_error_message,
                   last_error_offset_upper_bound, last_error_timestamp_ms",
                &[
                    &name.schema.database,
                    &name.schema.schema,
                    &name.pipe,
                    &name.channel,
                    &held.table_oid,
                    &signed(held.channel.client_sequencer() + 1),
                    &offset_token,
                ],
            )
            .await?;
        let counters = Counters {
            rows_inserted: unsigned(row.get(2)),
            rows_parsed: unsigned(row.get(3)),
            rows_error_count: unsigned(row.get(4)),
            last_error_message: row.get(5),
            last_error_offset_upper_bound: row.get(6),
            last_error_timestamp_ms: row.get(7),
            avg_processing_latency_ms: held.channel.counters().avg_processing_latency_ms,
        };
        held.channel.take_over(unsigned(row.get(0)), row.get(1), counters);
        Ok(())
    }

    async fn forget_stored(&self, name: &ChannelName) -> Result<(), ApiError> {
        let client = self.engine.client().await?;
        client
            .execute(
                "DELETE FROM _emulator.channels
                 WHERE database_name = $1 AND schema_name = $2 AND pipe_name = $3 AND channel_name = $4",
                &[&name.schema.database, &name.schema.schema, &name.pipe, &name.channel],
            )
            .await?;
        Ok(())
    }
}

fn refused(refusal: Refusal) -> ApiError {
    ApiError::new(refusal.status(), refusal.code(), refusal.message())
}

fn unknown_channel(name: &ChannelName) -> ApiError {
    ApiError::new(
        404,
        "ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED",
        format!("channel {} of pipe {} does not exist or is not authorized", name.channel, name.pipe),
    )
}

fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn status_of(name: &ChannelName, held: &Held) -> Value {
    let counters = held.channel.counters();
    json!({
        "database_name": name.schema.database,
        "schema_name": name.schema.schema,
        "pipe_name": name.pipe,
        "channel_name": name.channel,
        "channel_status_code": if held.discarding { "ERR_PIPE_IN_INVALID_STATE" } else { held.channel.status_code() },
        "last_committed_offset_token": held.channel.committed_token(),
        "created_on_ms": held.created_on_ms,
        "rows_inserted": counters.rows_inserted,
        "rows_parsed": counters.rows_parsed,
        "rows_error_count": counters.rows_error_count,
        "rows_errors": counters.rows_error_count,
        "last_error_offset_upper_bound": counters.last_error_offset_upper_bound,
        "last_error_message": counters.last_error_message,
        "last_error_timestamp": counters.last_error_timestamp_ms,
        "last_error_timestamp_ms": counters.last_error_timestamp_ms,
        "snowflake_avg_processing_latency_ms": counters.avg_processing_latency_ms,
    })
}
