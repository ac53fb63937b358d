//! `cdcd sink`: Kafka into Snowflake.
//!
//! One `select!` over explicit events drives the state machine of `cdcd-sink`; each of its actions becomes one task
//! ([`work`]) whose outcome is an event again. Retries live here, with a budget.

mod letters;
mod retry;
mod work;

use crate::connector::properties::{Properties, PropertyError};
use crate::connector::sink::{Reset, SinkSettings};
use cdcd_kafka::consumer::{Assigned, Batch, Commit, Consumer, Event};
use cdcd_sink::destination::Destination;
use cdcd_sink::offset_token::TopicId;
use cdcd_sink::row::RowEncoder;
use cdcd_sink::stats::Stats;
use cdcd_sink::{Action, Assignment, GroupOffset, Incoming, PartitionId, Sink, StopKind, StopReason};
use cdcd_snowflake::{NdjsonEncoder, Snowflake};
use letters::Letters;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinSet};
use work::Done;

/// How a sink is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct SinkOptions {
    /// End when all that existed at the start is durable and merged.
    pub until_caught_up: bool,
    /// A line of figures on standard error this often.
    pub stats_interval: Option<Duration>,
}

/// Why a sink ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A property, a permission or the environment (exit 2).
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// The destination or Kafka refuses by configuration or rights (exit 2).
    #[error("{0}")]
    Config(String),
    /// A dependency stayed away longer than the retry budget (exit 3).
    #[error("{0}")]
    Dependency(String),
    /// Going on could lose or tear data: a guard's name and what it saw (exit 4).
    #[error("{name}: {message}")]
    Guard {
        /// For example `E_ROWS_REJECTED`.
        name: &'static str,
        /// Partitions and reasons.
        message: String,
    },
    /// A bug, or the machine (exit 1).
    #[error("{0}")]
    Unexpected(String),
}

/// Longest wait for Snowflake when told to stop. What is not durable by then is read again by the next start.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// How often deadlines are looked at: batches, status questions, merges.
const TICK: Duration = Duration::from_millis(50);

/// How long Kafka may be in trouble without a record or an assignment in between.
const KAFKA_PATIENCE: Duration = Duration::from_secs(600);

/// Runs a sink until `shutdown`, a definite error, or (with the option) until it has caught up.
///
/// # Errors
/// See [`SinkError`].
pub async fn run(
    properties: &Properties,
    options: SinkOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), SinkError> {
    let settings = SinkSettings::read(properties)?;
    let snowflake = Snowflake::new(&settings.snowflake)
        .map_err(|error| PropertyError::new(error.setting, error.problem))?;
    run_with(settings, options, Arc::new(snowflake), Box::new(NdjsonEncoder::default()), shutdown).await
}

/// As [`run`], into any destination.
///
/// # Errors
/// See [`SinkError`].
pub async fn run_with<D: Destination + 'static>(
    mut settings: SinkSettings,
    options: SinkOptions,
    destination: Arc<D>,
    encoder: Box<dyn RowEncoder>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), SinkError> {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    settings.sink.until_caught_up = options.until_caught_up;
    let letters = match &settings.dead_letters {
        Some(topic) => Some(Arc::new(Letters::open(&settings.consumer, topic).await?)),
        None => None,
    };
    let (config, topics) = (settings.consumer.clone(), settings.topics.clone());
    let consumer = tokio::task::spawn_blocking(move || Consumer::join(&config, &topics))
        .await
        .map_err(|error| SinkError::Unexpected(error.to_string()))?
        .map_err(|error| kafka_error(&error))?;
    let instance = format!("{}-{}-{}", settings.name, std::process::id(), start_stamp());
    let mut run = Run {
        sink: Sink::new(settings.sink.clone(), instance, encoder),
        settings,
        consumer,
        destination,
        letters,
        tasks: JoinSet::new(),
        owned: BTreeMap::new(),
        ids: BTreeMap::new(),
        opens: BTreeMap::new(),
        assigned_once: false,
        stopping: None,
        kafka_trouble: None,
        started: Instant::now(),
        dependency: None,
    };
    let outcome = run.until_done(options, shutdown).await;
    let Run { consumer, mut tasks, sink, .. } = run;
    tasks.abort_all();
    // Leaving waits for the broker's answer to the last commit.
    if tokio::task::spawn_blocking(move || consumer.leave()).await.is_err() {
        tracing::error!("leaving the consumer group failed");
    }
    let stats = sink.stats();
    tracing::info!(
        records = stats.records,
        rows_durable = stats.rows_durable,
        merges = stats.merges,
        "sink ended"
    );
    outcome
}

struct Run<D: Destination + 'static> {
    sink: Sink,
    settings: SinkSettings,
    consumer: Consumer,
    destination: Arc<D>,
    letters: Option<Arc<Letters>>,
    tasks: JoinSet<Done>,
    owned: BTreeMap<PartitionId, (Arc<str>, i32)>,
    ids: BTreeMap<(Arc<str>, i32), PartitionId>,
    /// The newest open of each channel. An older one that is still tried would drop what was sent since.
    opens: BTreeMap<String, AbortHandle>,
    assigned_once: bool,
    stopping: Option<Instant>,
    kafka_trouble: Option<Instant>,
    started: Instant,
    dependency: Option<String>,
}

impl<D: Destination + 'static> Run<D> {
    async fn until_done(
        &mut self,
        options: SinkOptions,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), SinkError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut figures = Figures::new(options.stats_interval);
        loop {
            while let Some(action) = self.sink.poll_action(self.started.elapsed()) {
                self.begin(action);
            }
            if let Some(outcome) = self.outcome(options) {
                figures.show(&self.sink.stats());
                return outcome;
            }
            tokio::select! {
                biased;
                () = &mut shutdown, if self.stopping.is_none() => {
                    tracing::info!("stopping: draining what was read");
                    self.sink.handle_stopping();
                    self.stopping = Some(Instant::now());
                }
                Some(done) = self.tasks.join_next() => match done {
                    Err(error) if error.is_cancelled() => {}
                    done => self.finish(done)?,
                },
                event = self.consumer.next() => self.consumed(event)?,
                _ = tick.tick() => figures.tick(&self.sink.stats()),
            }
        }
    }

    /// Whether this is the end, and which.
    fn outcome(&mut self, options: SinkOptions) -> Option<Result<(), SinkError>> {
        if let Some(why) = self.dependency.take() {
            return Some(Err(SinkError::Dependency(why)));
        }
        if let Some(since) = self.stopping {
            if self.sink.is_idle() {
                return Some(self.verdict());
            }
            if since.elapsed() > STOP_PATIENCE {
                let message = format!("rows were not durable {} s after the stop", STOP_PATIENCE.as_secs());
                return Some(Err(SinkError::Dependency(message)));
            }
            return None;
        }
        if !self.assigned_once {
            return None;
        }
        let all_stopped = self.sink.running() == 0 && self.sink.stopped().next().is_some();
        if all_stopped || options.until_caught_up && self.sink.is_caught_up() {
            return Some(self.verdict());
        }
        None
    }

    /// A failure of one partition fails the run, even when the others went on.
    fn verdict(&self) -> Result<(), SinkError> {
        let stopped: Vec<(String, &StopReason)> = self
            .sink
            .stopped()
            .map(|(topic, partition, reason)| (format!("{topic}-{partition}: {}", reason.message), reason))
            .collect();
        let Some((_, first)) = stopped.first() else { return Ok(()) };
        let message = stopped.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join("; ");
        Err(match first.kind {
            StopKind::Guard(name) => SinkError::Guard { name, message },
            StopKind::Config => SinkError::Config(message),
            StopKind::Dependency => SinkError::Dependency(message),
        })
    }

    fn consumed(&mut self, event: Option<Event>) -> Result<(), SinkError> {
        match event {
            Some(Event::Records(batch)) => {
                self.kafka_trouble = None;
                self.records(&batch);
            }
            Some(Event::Assigned(partitions)) => {
                self.kafka_trouble = None;
                self.assigned(&partitions)?;
            }
            Some(Event::Revoked) => {
                for id in std::mem::take(&mut self.owned).into_keys() {
                    self.sink.handle_revoked(id);
                }
                self.ids.clear();
                std::mem::take(&mut self.opens).into_values().for_each(|open| open.abort());
                tracing::info!("partitions revoked");
            }
            Some(Event::Trouble(error)) => {
                let since = *self.kafka_trouble.get_or_insert_with(Instant::now);
                tracing::warn!(error = %chain(&error), "Kafka is in trouble");
                if since.elapsed() > KAFKA_PATIENCE {
                    return Err(SinkError::Dependency(chain(&error)));
                }
            }
            Some(Event::Failed(error)) => return Err(kafka_error(&error)),
            None => return Err(SinkError::Unexpected("the consumer ended without a word".to_owned())),
        }
        Ok(())
    }

    fn assigned(&mut self, partitions: &[Assigned]) -> Result<(), SinkError> {
        self.assigned_once = true;
        if partitions.is_empty() {
            tracing::warn!(
                "no partition is assigned: the topics do not exist, or other members have them all"
            );
        }
        let now = self.started.elapsed();
        for one in partitions {
            let initial = match (&one.committed, self.settings.reset) {
                (Some((offset, _)), _) => *offset,
                (None, Reset::Earliest) => one.low,
                (None, Reset::Latest) => one.high,
                (None, Reset::None) => {
                    let problem =
                        format!("is none, and the group has no offset for {}-{}", one.topic, one.partition);
                    return Err(PropertyError::new("consumer.override.auto.offset.reset", problem).into());
                }
            };
            let committed = one.committed.as_ref();
            let assignment = Assignment {
                topic: Arc::clone(&one.topic),
                partition: one.partition,
                topic_id: TopicId(one.topic_id),
                table: self.settings.routes.table(&one.topic),
                low: one.low,
                high: one.high,
                initial,
                group: committed
                    .map(|(offset, metadata)| GroupOffset { offset: *offset, metadata: metadata.clone() }),
                partitions: one.partitions,
                topic_commits: Arc::clone(&one.topic_commits),
            };
            if committed.is_none() && initial > 0 {
                tracing::warn!(
                    topic = %one.topic, partition = one.partition, initial,
                    "the group comes to a partition behind its beginning: what was there before is not landed, unless \
                     the channel knows better"
                );
            }
            tracing::info!(topic = %one.topic, partition = one.partition, low = one.low, high = one.high, "partition assigned");
            let id = self.sink.handle_assigned(&assignment, now);
            self.owned.insert(id, (Arc::clone(&one.topic), one.partition));
            self.ids.insert((Arc::clone(&one.topic), one.partition), id);
        }
        Ok(())
    }

    fn records(&mut self, batch: &Batch) {
        let Some(id) = self.ids.get(&(Arc::clone(&batch.topic), batch.partition)).copied() else { return };
        let now = self.started.elapsed();
        let sink = &mut self.sink;
        batch.for_each(|offset, timestamp_ms, record| {
            let (epoch, partition) = (batch.epoch, batch.partition);
            sink.handle_record(&Incoming { id, epoch, partition, offset, timestamp_ms, record }, now);
        });
        if let Some(end) = batch.end {
            sink.handle_end(id, batch.epoch, end.after_records, end.offset);
        }
    }

    /// Starts the work of an action; what is not asked of the destination is done at once.
    fn begin(&mut self, action: Action) {
        let place = |id: &PartitionId| self.owned.get(id);
        match action {
            Action::Start { id, epoch, offset } => {
                if let Some((topic, partition)) = place(&id) {
                    self.consumer.begin(topic, *partition, epoch, offset);
                }
            }
            Action::LogEnd { id, epoch } => {
                if let Some((topic, partition)) = place(&id) {
                    let (config, topic, partition) =
                        (self.settings.consumer.clone(), Arc::clone(topic), *partition);
                    self.tasks.spawn(async move {
                        let asked = tokio::task::spawn_blocking(move || {
                            cdcd_kafka::progress::log_end(&config, &topic, partition)
                        });
                        let answer = match asked.await {
                            Ok(answer) => answer.map_err(|error| chain(&error)),
                            Err(error) => Err(error.to_string()),
                        };
                        Done::LogEnd { id, epoch, answer }
                    });
                }
            }
            Action::Pause(id) => {
                if let Some((topic, partition)) = place(&id) {
                    self.consumer.pause(topic, *partition);
                }
            }
            Action::Resume(id) => {
                if let Some((topic, partition)) = place(&id) {
                    self.consumer.resume(topic, *partition);
                }
            }
            Action::Commit { id, offset, metadata } => {
                if let Some((topic, partition)) = place(&id) {
                    let topic = Arc::clone(topic);
                    self.consumer.commit(Commit { topic, partition: *partition, offset, metadata });
                }
            }
            Action::Stopped { id, reason } => {
                let (topic, partition) =
                    place(&id).map_or(("", -1), |(topic, partition)| (topic, *partition));
                tracing::error!(topic, partition, kind = ?reason.kind, reason = reason.message, "partition stopped");
            }
            Action::DeadLetter { id, epoch, letter } => {
                tracing::warn!(
                    topic = letter.topic,
                    partition = letter.partition,
                    offset = letter.offset,
                    "dead letter"
                );
                let letters = self.letters.clone();
                self.tasks.spawn(async move {
                    let offset = letter.offset;
                    let written = match letters {
                        Some(letters) => letters.write(letter).await,
                        None => Err("there is no dead letter topic".to_owned()),
                    };
                    Done::DeadLetter { id, epoch, offset, written }
                });
            }
            other => {
                let channel = match &other {
                    Action::Open { channel, .. } => Some(channel.name.clone()),
                    _ => None,
                };
                let Some(task) = work::task(other, Arc::clone(&self.destination)) else { return };
                let handle = self.tasks.spawn(task);
                if let Some(older) = channel.and_then(|channel| self.opens.insert(channel, handle)) {
                    older.abort();
                }
            }
        }
    }

    fn finish(&mut self, done: Result<Done, tokio::task::JoinError>) -> Result<(), SinkError> {
        let done = done.map_err(|error| SinkError::Unexpected(format!("a task ended early: {error}")))?;
        if let Some(error) = done.exhausted() {
            self.dependency = Some(chain(error));
        }
        let now = self.started.elapsed();
        match done {
            Done::Described { table, answer } => self.sink.handle_described(&table, answer),
            Done::Prepared { table, answer } => self.sink.handle_prepared(&table, answer),
            Done::Opened { id, epoch, answer } => self.sink.handle_opened(id, epoch, answer),
            Done::Appended { id, batch, answer } => {
                self.sink.handle_appended(id, batch.channel.epoch, answer, &batch, now);
            }
            Done::Statuses { table, channels, answer } => {
                self.sink.handle_statuses(&table, &channels, answer, now);
            }
            Done::Ledger { table, answer } => self.sink.handle_ledger(&table, answer, now),
            Done::Merged { table, plan, answer } => self.sink.handle_merged(&table, &plan, answer, now),
            Done::LogEnd { id, epoch, answer } => self.sink.handle_log_end(id, epoch, answer),
            Done::DeadLetter { id, epoch, offset, written } => {
                self.sink.handle_dead_lettered(id, epoch, offset, written);
            }
        }
        Ok(())
    }
}

/// The line of figures.
struct Figures {
    interval: Option<Duration>,
    last: (Instant, Stats),
}

impl Figures {
    fn new(interval: Option<Duration>) -> Self {
        Figures { interval, last: (Instant::now(), Stats::default()) }
    }

    fn tick(&mut self, stats: &Stats) {
        if self.interval.is_some_and(|interval| self.last.0.elapsed() >= interval) {
            self.show(stats);
        }
    }

    fn show(&mut self, stats: &Stats) {
        if self.interval.is_none() {
            return;
        }
        let seconds = self.last.0.elapsed().as_secs_f64().max(0.001);
        let per_second = |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds).round();
        eprintln!(
            "sink: {} records ({}/s), {} rows durable ({}/s), {} pending, lag {}, {} batches, {:.1} MB, {} merges, \
             {} reopens, \
             {} dead letters, {} stopped",
            stats.records,
            per_second(stats.records, self.last.1.records),
            stats.rows_durable,
            per_second(stats.rows_durable, self.last.1.rows_durable),
            stats.rows_pending,
            stats.lag_records,
            stats.batches,
            stats.batch_bytes as f64 / 1e6,
            stats.merges,
            stats.reopens,
            stats.dead_letters,
            stats.stopped,
        );
        self.last = (Instant::now(), *stats);
    }
}

fn kafka_error(error: &cdcd_kafka::Error) -> SinkError {
    if error.is_transient() { SinkError::Dependency(chain(error)) } else { SinkError::Config(chain(error)) }
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

/// Tells two runs with one process id apart.
fn start_stamp() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map(|since| since.as_millis()).unwrap_or_default()
}
