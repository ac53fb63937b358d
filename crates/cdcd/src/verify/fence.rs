//! The moment at which both sides are compared: a snapshot of the source, and a sink that has passed it.

use std::time::{Duration, Instant};

use cdcd_kafka::consumer::Topics;
use cdcd_kafka::progress::{self, PartitionProgress};
use cdcd_pgoutput::Lsn;
use cdcd_postgres::connection::{Connection, Purpose};
use cdcd_postgres::snapshot::SnapshotReader;
use cdcd_postgres::sql::PgIdent;
use cdcd_postgres::{control, replication, slot};
use tokio_postgres::Client;

use crate::connector::sink::SinkSettings;
use crate::connector::source::SourceSettings;
use crate::exit::{Exit, Failure};

/// How often the sink is asked for its progress.
const POLL_PAUSE: Duration = Duration::from_millis(250);
/// How often a wait says what it waits for.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// The source as of one LSN.
pub(super) struct Fence {
    /// Transactions that committed before this are in the snapshot, all others are not.
    pub(super) lsn: Lsn,
    /// Changes below this belong to transactions that ended before the fence. Between the two, a change may belong
    /// to a transaction that was still open at the fence.
    pub(super) settled: Lsn,
    pub(super) reader: SnapshotReader,
}

/// Makes a temporary slot for its snapshot, and drops it as soon as the snapshot is held by a transaction.
pub(super) async fn raise(settings: &SourceSettings, control: &Client) -> Result<Fence, Failure> {
    let version = control::server_version(control).await?;
    let mut connection = Connection::connect(&settings.database, Purpose::Replication).await?;
    // Every transaction that runs now has ended when the slot is consistent: its maker waits for them.
    let settled = slot::current_wal_flush_lsn(control).await?;
    let name = format!("cdcd_verify_{}", uuid::Uuid::new_v4().simple());
    tracing::info!(slot = name, "making a temporary slot for the fence (waits for running transactions)");
    let created = replication::create_temporary_slot(&mut connection, &name, version).await?;
    let holder = Connection::connect(&settings.database, Purpose::Query).await?;
    let reader = SnapshotReader::begin(holder, created.snapshot.as_deref()).await?;
    connection.query(&format!("DROP_REPLICATION_SLOT {}", PgIdent::new(&name))).await?;
    tracing::info!(lsn = %created.consistent_point, "fence raised, temporary slot dropped");
    Ok(Fence { lsn: created.consistent_point, settled, reader })
}

/// Waits until the capture has put everything before the fence into Kafka.
pub(super) async fn wait_for_capture(
    settings: &SourceSettings,
    control: &Client,
    fence: Lsn,
    limit: Duration,
) -> Result<(), Failure> {
    let name = &settings.slot.name;
    let mut patience = Patience::new(limit);
    loop {
        let Some(found) = slot::find(control, name).await? else {
            return Err(Failure::new(
                Exit::Dependency,
                anyhow::anyhow!("slot {name} does not exist: the capture has never run"),
            )
            .hint("start cdcd capture first"));
        };
        let confirmed = found.confirmed_flush_lsn.unwrap_or(Lsn::ZERO);
        if confirmed >= fence {
            return Ok(());
        }
        if found.active_pid.is_none() && !has_changes(settings, control, fence).await? {
            return Ok(());
        }
        let state = if found.active_pid.is_some() { "runs" } else { "does not run" };
        let waiting = format!(
            "the capture, which {state}: slot {name} is confirmed up to {confirmed}, the fence is {fence}"
        );
        patience.wait(&waiting).await?;
    }
}

/// Whether the slot of a capture that does not run holds changes before the fence. Looks, and consumes nothing.
async fn has_changes(settings: &SourceSettings, control: &Client, fence: Lsn) -> Result<bool, Failure> {
    let sql = "SELECT EXISTS (SELECT FROM pg_logical_slot_peek_binary_changes($1, $2::text::pg_lsn, NULL, \
               'proto_version', '1', 'publication_names', $3) WHERE get_byte(data, 0) NOT IN (66, 67))";
    let publication = PgIdent::new(&settings.publication.name).to_string();
    match control.query_one(sql, &[&settings.slot.name, &fence.to_string(), &publication]).await {
        Ok(row) => Ok(row.get(0)),
        // It has just been taken by a capture that starts.
        Err(error) if error.code().is_some_and(|code| code.code() == "55006") => Ok(true),
        Err(error) => Err(Failure::new(Exit::Dependency, error).context("looking for changes in the slot")),
    }
}

/// Waits until the sink has made durable everything that is in its topics now.
pub(super) async fn wait_for_sink(
    settings: &SinkSettings,
    topics: Vec<String>,
    limit: Duration,
) -> Result<(), Failure> {
    debug_assert!(matches!(settings.topics, Topics::Names(_) | Topics::Pattern(_)));
    let mut patience = Patience::new(limit);
    let config = settings.consumer.clone();
    let goals = ask(config.clone(), topics.clone()).await?;
    loop {
        let now = ask(config.clone(), topics.clone()).await?;
        let behind: Vec<String> = goals.iter().filter_map(|goal| lag(goal, &now)).collect();
        if behind.is_empty() {
            return Ok(());
        }
        let group = settings.consumer.get("group.id").unwrap_or_default();
        patience.wait(&format!("the sink (group {group}): {}", behind.join(", "))).await?;
    }
}

fn lag(goal: &PartitionProgress, now: &[PartitionProgress]) -> Option<String> {
    let same = now.iter().find(|one| (&one.topic, one.partition) == (&goal.topic, goal.partition))?;
    let done = same.committed.unwrap_or(goal.low);
    (done < goal.high).then(|| format!("{}-{} is at {done} of {}", goal.topic, goal.partition, goal.high))
}

async fn ask(
    config: cdcd_kafka::ClientConfig,
    topics: Vec<String>,
) -> Result<Vec<PartitionProgress>, Failure> {
    let asked = tokio::task::spawn_blocking(move || progress::read(&config, &topics));
    Ok(asked.await.map_err(|error| Failure::new(Exit::Unexpected, error))??)
}

/// A bounded wait that says what it waits for.
struct Patience {
    began: Instant,
    limit: Duration,
    said: Option<Instant>,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Patience { began: Instant::now(), limit, said: None }
    }

    async fn wait(&mut self, what: &str) -> Result<(), Failure> {
        if self.began.elapsed() >= self.limit {
            let message = format!("waited {} s for {what}", self.limit.as_secs());
            return Err(Failure::new(Exit::Dependency, anyhow::anyhow!(message))
                .hint("nothing was compared: start what does not run, or raise --wait"));
        }
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            tracing::info!("waiting for {what}");
            self.said = Some(Instant::now());
        }
        tokio::time::sleep(POLL_PAUSE).await;
        Ok(())
    }
}
