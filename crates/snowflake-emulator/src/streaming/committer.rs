//! One commit: rows into the table and the offset token into the channel's row, in one transaction of the engine.

use std::hash::Hasher as _;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::Transaction;

use crate::engine::{self, Engine, RelationName, Table};
use crate::error::SqlError;
use crate::streaming::channel::{CommitJob, CommitOutcome};
use crate::streaming::convert::BinaryFormat;
use crate::streaming::evolve;
use crate::streaming::registry::ChannelName;
use crate::streaming::rows::{self, BadRow, Converted, GoodRow};

/// What is done with accepted rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Mode {
    /// Rows are stored in the table.
    #[default]
    Store,
    /// Rows are counted and hashed per channel, for soak tests; tables stay empty.
    Count,
    /// Lines are counted, nothing else: the upper bound of a client's throughput.
    Null,
}

/// Why a commit did not happen.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// The table is gone or is another one: the pipe is invalid.
    InvalidPipe(String),
    /// A newer open owns the channel.
    Fenced,
    /// The engine failed; the job may be tried again.
    Engine(SqlError),
}

impl<E: Into<SqlError>> From<E> for CommitError {
    fn from(error: E) -> CommitError {
        CommitError::Engine(error.into())
    }
}

/// Bytes of COPY text that go to the engine in one message.
const COPY_CHUNK_BYTES: usize = 256 << 10;

/// Rejected rows that one commit keeps for the error table; the counter counts all of them.
const ERROR_ROWS_KEPT_PER_COMMIT_MAX: usize = 10_000;

/// Where a commit goes and how.
pub(crate) struct Commit<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) channel: &'a ChannelName,
    pub(crate) table: &'a RelationName,
    pub(crate) table_oid: u32,
    pub(crate) mode: Mode,
    pub(crate) binary: BinaryFormat,
}

impl Commit<'_> {
    /// Makes the job durable.
    pub(crate) async fn run(&self, job: &CommitJob) -> Result<CommitOutcome, CommitError> {
        let mut client = self.engine.client().await?;
        let tx = client.transaction().await?;
        let outcome = match self.mode {
            Mode::Store => self.store(&tx, job).await?,
            Mode::Count | Mode::Null => self.count(&tx, job).await?,
        };
        self.advance(&tx, job, &outcome).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    async fn store(&self, tx: &Transaction<'_>, job: &CommitJob) -> Result<CommitOutcome, CommitError> {
        let mut table = self.lock_table(tx).await?;
        let mut converted = convert_off_thread(table.clone(), job, self.binary).await?;
        if !converted.unknown_keys.is_empty() {
            evolve::add_columns(tx, self.table, &converted.unknown_keys).await?;
            table = self.lock_table(tx).await?;
            converted = convert_off_thread(table.clone(), job, self.binary).await?;
        }
        let inserted = self.insert(tx, &table, &mut converted).await?;
        if table.error_logging {
            self.log_errors(tx, job, &converted.bad).await?;
        }
        Ok(outcome_of(job, inserted, &converted.bad))
    }

    /// Locks the table against DDL and reads its columns, so that conversion and COPY see the same ones.
    async fn lock_table(&self, tx: &Transaction<'_>) -> Result<Table, CommitError> {
        let gone = || CommitError::InvalidPipe(format!("table {} was dropped or replaced", self.table));
        let found = engine::find_relation(tx, self.table).await?;
        if found.is_none_or(|relation| relation.oid != self.table_oid) {
            return Err(gone());
        }
        let lock = format!("LOCK TABLE {} IN ROW EXCLUSIVE MODE", self.table.to_engine()?);
        match tx.batch_execute(&lock).await {
            Ok(()) => {}
            // dropped between the look-up and the lock
            Err(error) if error.code().is_some_and(|code| code.code() == "42P01") => return Err(gone()),
            Err(error) => return Err(error.into()),
        }
        engine::load_table(tx, self.table_oid).await?.ok_or_else(gone)
    }

    /// COPYs all rows; if the engine refuses the whole, finds the rows that it refuses by halving.
    async fn insert(
        &self,
        tx: &Transaction<'_>,
        table: &Table,
        converted: &mut Converted,
    ) -> Result<u64, CommitError> {
        let columns: Vec<String> = table.columns.iter().map(|column| engine::quote(&column.name)).collect();
        let statement = format!("COPY {} ({}) FROM STDIN", self.table.to_engine()?, columns.join(", "));
        let copy = Bytes::from(std::mem::take(&mut converted.copy));
        let mut inserted = 0;
        let mut pending: Vec<&[GoodRow]> = vec![&converted.rows];
        let mut refused = Vec::new();
        while let Some(rows) = pending.pop() {
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else { continue };
            let part = copy.slice(first.copy.start..last.copy.end);
            tx.batch_execute("SAVEPOINT part").await?;
            match copy_in(tx, &statement, part).await {
                Ok(count) => inserted += count,
                Err(error) if error.as_db_error().is_none() => return Err(error.into()),
                Err(error) => {
                    tx.batch_execute("ROLLBACK TO SAVEPOINT part").await?;
                    if rows.len() == 1 {
                        let message = SqlError::from_engine(&error).message;
                        refused.push(BadRow { message, batch: first.batch, source: first.source.clone() });
                    } else {
                        let (left, right) = rows.split_at(rows.len() / 2);
                        pending.push(right);
                        pending.push(left);
                    }
                }
            }
            tx.batch_execute("RELEASE SAVEPOINT part").await?;
        }
        converted.bad.extend(refused);
        Ok(inserted)
    }

    async fn log_errors(
        &self,
        tx: &Transaction<'_>,
        job: &CommitJob,
        bad: &[BadRow],
    ) -> Result<(), CommitError> {
        for row in bad.iter().take(ERROR_ROWS_KEPT_PER_COMMIT_MAX) {
            let Some(batch) = job.batches.get(row.batch) else { continue };
            let payload = batch.body.get(row.source.clone()).unwrap_or_default();
            let payload = String::from_utf8_lossy(payload).replace('\0', "\\u0000");
            tx.execute(
                "INSERT INTO _emulator.error_rows
                 (relation, pipe_name, channel_name, error_code, error_message, offset_upper_bound, payload)
                 VALUES ($1, $2, $3, '100035', $4, $5, $6)",
                &[
                    &self.table_oid,
                    &self.channel.pipe,
                    &self.channel.channel,
                    &row.message,
                    &batch.end_token,
                    &payload,
                ],
            )
            .await?;
        }
        Ok(())
    }

    async fn count(&self, tx: &Transaction<'_>, job: &CommitJob) -> Result<CommitOutcome, CommitError> {
        let mut outcome = CommitOutcome::default();
        let mut hash = 0_u64;
        for batch in &job.batches {
            for line in rows::lines(&batch.body) {
                outcome.rows_inserted += 1;
                if self.mode == Mode::Count {
                    // fixed keys, and a sum: the same rows give the same figure in any order and any process
                    let mut hasher = std::hash::DefaultHasher::new();
                    hasher.write(batch.body.get(line).unwrap_or_default());
                    hash = hash.wrapping_add(hasher.finish());
                }
            }
        }
        if self.mode == Mode::Count {
            let hash = i64::from_ne_bytes(hash.to_ne_bytes());
            let name = self.channel;
            tx.execute(
                "UPDATE _emulator.channels SET rows_hash = (rows_hash::numeric + $5::bigint
                   - 18446744073709551616 * floor((rows_hash::numeric + $5::bigint + 9223372036854775808) / 18446744073709551616))::bigint
                 WHERE database_name = $1 AND schema_name = $2 AND pipe_name = $3 AND channel_name = $4",
                &[&name.schema.database, &name.schema.schema, &name.pipe, &name.channel, &hash],
            )
            .await?;
        }
        Ok(outcome)
    }

    /// Moves the channel's stored token and counters; a newer open makes this touch no row.
    async fn advance(
        &self,
        tx: &Transaction<'_>,
        job: &CommitJob,
        outcome: &CommitOutcome,
    ) -> Result<(), CommitError> {
        let name = self.channel;
        let (message, upper_bound, at) = match &outcome.last_error {
            Some((message, upper_bound, at)) => (Some(message.as_str()), upper_bound.as_deref(), Some(*at)),
            None => (None, None, None),
        };
        let touched = tx
            .execute(
                "UPDATE _emulator.channels SET committed_token = coalesce($6, committed_token),
                   rows_inserted = rows_inserted + $7, rows_error_count = rows_error_count + $8,
                   rows_parsed = rows_parsed + $7 + $8,
                   last_error_message = coalesce($9, last_error_message),
                   last_error_offset_upper_bound = CASE WHEN $9::text IS NULL THEN last_error_offset_upper_bound ELSE $10 END,
                   last_error_timestamp_ms = coalesce($11, last_error_timestamp_ms)
                 WHERE database_name = $1 AND schema_name = $2 AND pipe_name = $3 AND channel_name = $4
                   AND client_sequencer = $5",
                &[
                    &name.schema.database,
                    &name.schema.schema,
                    &name.pipe,
                    &name.channel,
                    &signed(job.client_sequencer),
                    &job.end_token(),
                    &signed(outcome.rows_inserted),
                    &signed(outcome.rows_errors),
                    &message,
                    &upper_bound,
                    &at,
                ],
            )
            .await?;
        if touched == 1 { Ok(()) } else { Err(CommitError::Fenced) }
    }
}

/// The engine's bigint for a counter.
pub(crate) fn signed(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

async fn copy_in(
    client: &Transaction<'_>,
    statement: &str,
    mut text: Bytes,
) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in::<_, Bytes>(statement).await?;
    futures_util::pin_mut!(sink);
    while !text.is_empty() {
        sink.feed(text.split_to(text.len().min(COPY_CHUNK_BYTES))).await?;
    }
    sink.finish().await
}

/// Conversion is pure computation: above a few rows it leaves the threads that answer requests.
async fn convert_off_thread(
    table: Table,
    job: &CommitJob,
    binary: BinaryFormat,
) -> Result<Converted, CommitError> {
    const SMALL_BYTES: usize = 32 << 10;
    if job.batches.iter().map(|batch| batch.body.len()).sum::<usize>() < SMALL_BYTES {
        return Ok(rows::convert(&table, &job.batches, binary));
    }
    let batches = job.batches.clone();
    tokio::task::spawn_blocking(move || rows::convert(&table, &batches, binary)).await.map_err(|error| {
        CommitError::Engine(SqlError::new("000603", "58000", format!("converting rows: {error}")))
    })
}

fn outcome_of(job: &CommitJob, inserted: u64, bad: &[BadRow]) -> CommitOutcome {
    let last_error = bad.last().map(|row| {
        let upper_bound = job.batches.get(row.batch).and_then(|batch| batch.end_token.clone());
        (row.message.clone(), upper_bound, unix_ms())
    });
    CommitOutcome {
        rows_inserted: inserted,
        rows_errors: bad.len().try_into().unwrap_or(u64::MAX),
        last_error,
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
