//! A consumer group member on a thread of its own, which starts partitions only where it is told to.
//!
//! A partition that the group assigns is not fetched until [`Consumer::begin`] names an offset. What is fetched is
//! tagged with that call's epoch, so that records from before a seek are recognised however late they come.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::mpsc as commands;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cdcd_debezium::record::{Header, Record};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::config::ClientConfig;
use crate::error::Error;
use crate::ffi;

/// Batches between the thread and its reader. Each is bounded; together they are a quarter second of work.
const EVENTS_MAX: usize = 16;

/// Records in one batch.
const BATCH_RECORDS_MAX: usize = 1_000;

/// Bytes in one batch, after which no further record is added.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Wait for rebalances and errors when no partition has records: the price is this much latency at rest.
const IDLE_POLL: Duration = Duration::from_millis(5);

/// Bound on questions to the cluster when partitions are assigned.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// Bound on a seek. A partition whose fetcher has not started yet refuses; that takes milliseconds.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);

/// What to read.
#[derive(Debug, Clone)]
pub enum Topics {
    /// These.
    Names(Vec<String>),
    /// Every topic whose whole name matches.
    Pattern(String),
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The group gave us partitions. Nothing is fetched before [`Consumer::begin`].
    Assigned(Vec<Assigned>),
    /// The group took all partitions away.
    Revoked,
    /// Records of one partition, in order.
    Records(Batch),
    /// Kafka failed in a way that may pass.
    Trouble(Error),
    /// Kafka failed for good; no more events come.
    Failed(Error),
}

/// One assigned partition.
#[derive(Debug, Clone)]
pub struct Assigned {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Kafka's id of the topic.
    pub topic_id: [u8; 16],
    /// First offset of the log.
    pub low: i64,
    /// End of the log: for committed records.
    pub high: i64,
    /// What the group has committed: next offset and metadata.
    pub committed: Option<(i64, String)>,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Metadata of what the group has committed for any partition of the topic.
    pub topic_commits: Arc<[String]>,
}

/// Records of one partition in one buffer.
#[derive(Debug)]
pub struct Batch {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Epoch of the [`Consumer::begin`] that they were fetched under.
    pub epoch: u64,
    /// Where the log ended after the last record, if its end was reached.
    pub end: Option<LogEnd>,
    buffer: Vec<u8>,
    records: Vec<Meta>,
    headers: Vec<(Range<usize>, Option<Range<usize>>)>,
}

/// Where the client goes on reading a partition.
fn next_offset(consumer: &BaseConsumer<Group>, slot: &Slot) -> Option<i64> {
    let positions = consumer.position().ok()?;
    match positions.find_partition(&slot.topic, slot.partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// The end of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// The first offset after the last record.
    pub after_records: i64,
    /// The offset that comes next. It lies behind what marks the ends of transactions, which are no records and have
    /// offsets all the same.
    pub offset: i64,
}

#[derive(Debug)]
struct Meta {
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

impl Batch {
    fn new(topic: Arc<str>, partition: i32, epoch: u64) -> Self {
        Batch {
            topic,
            partition,
            epoch,
            end: None,
            buffer: Vec::new(),
            records: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Shows each record in order: offset, timestamp in milliseconds since 1970, record.
    pub fn for_each(&self, mut show: impl FnMut(i64, Option<i64>, Record<'_>)) {
        let mut headers = Vec::new();
        let bytes = |range: &Range<usize>| self.buffer.get(range.clone()).unwrap_or_default();
        for meta in &self.records {
            headers.clear();
            headers.extend(self.headers.get(meta.headers.clone()).unwrap_or_default().iter().map(
                |(name, value)| Header {
                    name: std::str::from_utf8(bytes(name)).unwrap_or(""),
                    value: value.as_ref().map(bytes),
                },
            ));
            let record = Record {
                topic: &self.topic,
                partition: Some(self.partition),
                timestamp_ms: None,
                key: meta.key.as_ref().map(bytes),
                value: meta.value.as_ref().map(bytes),
                headers: &headers,
            };
            show(meta.offset, meta.timestamp_ms, record);
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }

    fn push(&mut self, message: &impl Message) {
        let key = message.key().map(|key| self.put(key));
        let value = message.payload().map(|value| self.put(value));
        let first = self.headers.len();
        for header in message.headers().into_iter().flat_map(Headers::iter) {
            let name = self.put(header.key.as_bytes());
            let value = header.value.map(|value| self.put(value));
            self.headers.push((name, value));
        }
        let headers = first..self.headers.len();
        let (offset, timestamp_ms) = (message.offset(), message.timestamp().to_millis());
        self.records.push(Meta { offset, timestamp_ms, key, value, headers });
    }

    fn is_full(&self) -> bool {
        self.records.len() >= BATCH_RECORDS_MAX || self.buffer.len() >= BATCH_BYTES_MAX
    }
}

/// One offset for the group.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Next offset to read.
    pub offset: i64,
    /// Free text beside it.
    pub metadata: String,
}

enum Command {
    Begin { topic: Arc<str>, partition: i32, epoch: u64, offset: i64 },
    Hold { topic: Arc<str>, partition: i32, flow: Flow },
    Commit(Commit),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Paused,
    Running,
}

/// Bound on counting partitions: without an answer each gets the most.
const COUNT_TIMEOUT: Duration = Duration::from_secs(10);

/// Memory for records that were fetched and not taken, over all partitions of the topics.
const QUEUE_KBYTES: usize = 64 << 10;
/// A partition's share of it is at least this.
const QUEUE_KBYTES_MIN: usize = 512;
/// And at most this.
const QUEUE_KBYTES_MAX: usize = 8 << 10;

/// How many partitions the topics have now, whoever owns them; `None` if the cluster does not say.
fn partitions(config: &ClientConfig, topics: &Topics) -> Option<usize> {
    let mut config = config.clone();
    config.set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer = config.to_rdkafka().create().ok()?;
    let metadata = consumer.fetch_metadata(None, COUNT_TIMEOUT).ok()?;
    let wanted: Box<dyn Fn(&str) -> bool> = match topics {
        Topics::Names(names) => Box::new(|name| names.iter().any(|wanted| wanted == name)),
        Topics::Pattern(_) => Box::new(|name| !name.starts_with("__")),
    };
    let found = metadata.topics().iter().filter(|topic| wanted(topic.name()));
    Some(found.map(|topic| topic.partitions().len()).sum())
}

/// A member of a consumer group. Dropping it leaves the group.
pub struct Consumer {
    events: mpsc::Receiver<Event>,
    commands: Option<commands::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    /// Joins the group. Blocks for as long as the cluster does not say how many partitions there are, at most
    /// ten seconds. `config` must hold `bootstrap.servers` and `group.id`.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Client`] when the settings or the topics cannot be used.
    pub fn join(config: &ClientConfig, topics: &Topics) -> Result<Self, Error> {
        let mut config = config.clone();
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Offsets are always named; a position that does not exist must not be replaced in silence.
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            // Every rebalance takes all away and gives anew: one case to get right.
            .set("partition.assignment.strategy", "range,roundrobin")
            .set_default("allow.auto.create.topics", "false")
            // After a crash the partitions wait for this long. Heartbeats come from the client's own thread, so a
            // slow destination never looks like a crash.
            .set_default("session.timeout.ms", "10000")
            .set_default("topic.metadata.refresh.interval.ms", "30000")
            .set_default("fetch.wait.max.ms", "100");
        // What the sink holds back must not pile up in the client. The limit is per partition, the budget is for all.
        let kbytes = QUEUE_KBYTES / partitions(&config, topics).unwrap_or_default().max(1);
        config.set_default(
            "queued.max.messages.kbytes",
            kbytes.clamp(QUEUE_KBYTES_MIN, QUEUE_KBYTES_MAX).to_string(),
        );
        let consumer: BaseConsumer<Group> = config
            .to_rdkafka()
            .create_with_context(Group::default())
            .map_err(|error| Error::client("configuring the Kafka consumer", error))?;
        let names: Vec<String> = match topics {
            Topics::Names(names) => names.clone(),
            Topics::Pattern(pattern) => vec![format!("^({pattern})$")],
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| Error::client("subscribing to topics", error))?;
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let (commands, command_receiver) = commands::channel();
        let worker = Worker {
            consumer: Arc::new(consumer),
            events: event_sender,
            commands: command_receiver,
            slots: BTreeMap::new(),
            waiting: VecDeque::new(),
        };
        let thread = std::thread::Builder::new()
            .name("kafka-consumer".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| Error::Config { key: "threads".to_owned(), problem: error.to_string() })?;
        Ok(Consumer { events, commands: Some(commands), thread: Some(thread) })
    }

    /// The next event; `None` after [`Event::Failed`]. Safe to drop while it waits.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Fetches a partition from `offset` on and tags it with `epoch`. Ends a pause.
    pub fn begin(&self, topic: &Arc<str>, partition: i32, epoch: u64, offset: i64) {
        self.command(Command::Begin { topic: Arc::clone(topic), partition, epoch, offset });
    }

    /// Holds back a partition's records.
    pub fn pause(&self, topic: &Arc<str>, partition: i32) {
        self.command(Command::Hold { topic: Arc::clone(topic), partition, flow: Flow::Paused });
    }

    /// Delivers them again.
    pub fn resume(&self, topic: &Arc<str>, partition: i32) {
        self.command(Command::Hold { topic: Arc::clone(topic), partition, flow: Flow::Running });
    }

    /// Commits an offset: soon, again when partitions are taken away, and when the consumer leaves.
    pub fn commit(&self, commit: Commit) {
        self.command(Command::Commit(commit));
    }

    /// Leaves the group after committing what was asked for. Blocks for as long as the broker takes to answer.
    pub fn leave(mut self) {
        self.end();
    }

    fn command(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // The thread has ended: its last event says why.
            let _ = commands.send(command);
        }
    }

    fn end(&mut self) {
        self.commands = None;
        self.events.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the consumer's thread panicked");
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the callbacks of the client leave for the thread, and what they need from it.
#[derive(Default)]
struct Group {
    rebalances: Mutex<VecDeque<Rebalanced>>,
    commits: Mutex<BTreeMap<(Arc<str>, i32), Commit>>,
}

enum Rebalanced {
    Assigned(Vec<(String, i32)>),
    Revoked,
}

impl ClientContext for Group {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client reported");
    }
}

impl ConsumerContext for Group {
    /// Partitions are assigned paused. They are taken away after a last commit of what is durable.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let outcome = list
                .set_all_offsets(Offset::Beginning)
                .and_then(|()| consumer.assign(list))
                .and_then(|()| consumer.pause(list));
            if let Err(error) = outcome {
                tracing::error!(%error, "taking the assignment failed");
            }
            let all = list.elements().iter().map(|one| (one.topic().to_owned(), one.partition())).collect();
            lock(&self.rebalances).push_back(Rebalanced::Assigned(all));
            return;
        }
        let last: Vec<Commit> = std::mem::take(&mut *lock(&self.commits)).into_values().collect();
        if let Err(error) = commit(consumer, &last, CommitMode::Sync) {
            // The next owner starts from the channel's token; the group's offset is only behind.
            tracing::warn!(%error, "the last commit before a rebalance failed");
        }
        if let Err(error) = consumer.unassign() {
            tracing::error!(%error, "giving up the assignment failed");
        }
        lock(&self.rebalances).push_back(Rebalanced::Revoked);
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => tracing::warn!(%error, "an offset commit failed; the next one covers it"),
        }
    }
}

fn commit(consumer: &BaseConsumer<Group>, commits: &[Commit], mode: CommitMode) -> Result<(), KafkaError> {
    if commits.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::new();
    for one in commits {
        let mut element = list.add_partition(&one.topic, one.partition);
        element.set_offset(Offset::Offset(one.offset))?;
        element.set_metadata(&one.metadata);
    }
    consumer.commit(&list, mode)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One partition that is ours.
struct Slot {
    topic: Arc<str>,
    partition: i32,
    queue: PartitionQueue<Group>,
    epoch: u64,
    flow: Flow,
    /// The first offset after the last record that was taken from the queue.
    after_records: i64,
}

struct Worker {
    consumer: Arc<BaseConsumer<Group>>,
    events: mpsc::Sender<Event>,
    commands: commands::Receiver<Command>,
    slots: BTreeMap<(Arc<str>, i32), Slot>,
    /// Events that found the channel full; nothing more is fetched until they are gone.
    waiting: VecDeque<Event>,
}

/// Why the thread ends.
enum End {
    Left,
    Failed(Error),
}

impl Worker {
    fn run(mut self) {
        let end = loop {
            if let Err(end) = self.turn() {
                break end;
            }
        };
        self.slots.clear();
        let last: Vec<Commit> = lock(&self.consumer.context().commits).values().cloned().collect();
        if let Err(error) = commit(&self.consumer, &last, CommitMode::Sync) {
            tracing::warn!(%error, "the last commit failed");
        }
        if let End::Failed(error) = end {
            let _ = self.events.blocking_send(Event::Failed(error));
        }
    }

    fn turn(&mut self) -> Result<(), End> {
        self.obey()?;
        let fetched = self.waiting.is_empty() && self.fetch()?;
        self.flush();
        // Serves rebalances, commits and errors; records come through the partitions' own queues.
        let wait = if fetched { Duration::ZERO } else { IDLE_POLL };
        let told = match self.consumer.poll(wait) {
            None | Some(Ok(_)) => None,
            Some(Err(error)) => Some(error),
        };
        if let Some(error) = told {
            self.trouble(error)?;
        }
        loop {
            let next = lock(&self.consumer.context().rebalances).pop_front();
            match next {
                Some(Rebalanced::Assigned(partitions)) => self.assigned(&partitions),
                Some(Rebalanced::Revoked) => {
                    self.slots.clear();
                    self.waiting.push_back(Event::Revoked);
                }
                None => return Ok(()),
            }
        }
    }

    fn obey(&mut self) -> Result<(), End> {
        let mut commits: BTreeMap<(Arc<str>, i32), Commit> = BTreeMap::new();
        let end = loop {
            match self.commands.try_recv() {
                Ok(Command::Commit(one)) => {
                    commits.insert((Arc::clone(&one.topic), one.partition), one);
                }
                Ok(Command::Begin { topic, partition, epoch, offset }) => {
                    self.begin(&topic, partition, epoch, offset);
                }
                Ok(Command::Hold { topic, partition, flow }) => {
                    if let Some(slot) = self.slots.get_mut(&(topic, partition)) {
                        slot.flow = flow;
                    }
                }
                Err(commands::TryRecvError::Empty) => break Ok(()),
                Err(commands::TryRecvError::Disconnected) => break Err(End::Left),
            }
        };
        let owned: Vec<Commit> = commits
            .into_values()
            .filter(|one| self.slots.contains_key(&(Arc::clone(&one.topic), one.partition)))
            .collect();
        for one in &owned {
            let key = (Arc::clone(&one.topic), one.partition);
            lock(&self.consumer.context().commits).insert(key, one.clone());
        }
        if let Err(error) = commit(&self.consumer, &owned, CommitMode::Async) {
            tracing::warn!(%error, "an offset commit failed; the next one covers it");
        }
        end
    }

    /// Seeks while the partition is paused, then lets it run.
    fn begin(&mut self, topic: &Arc<str>, partition: i32, epoch: u64, offset: i64) {
        let Some(slot) = self.slots.get_mut(&(Arc::clone(topic), partition)) else { return };
        slot.flow = Flow::Paused;
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let started = Instant::now();
        loop {
            let outcome = self.consumer.seek(topic, partition, Offset::Offset(offset), SEEK_TIMEOUT);
            match outcome.and_then(|()| self.consumer.resume(&list)) {
                Ok(()) => {
                    (slot.epoch, slot.flow, slot.after_records) = (epoch, Flow::Running, offset);
                    return;
                }
                Err(_) if started.elapsed() < SEEK_TIMEOUT => std::thread::sleep(IDLE_POLL),
                Err(error) => {
                    let doing = format!("seeking {topic}-{partition} to {offset}");
                    self.waiting.push_back(Event::Trouble(Error::client(doing, error)));
                    return;
                }
            }
        }
    }

    /// Takes what the running partitions have, a bounded batch each.
    fn fetch(&mut self) -> Result<bool, End> {
        let mut any = false;
        let mut troubles = Vec::new();
        for slot in self.slots.values_mut().filter(|slot| slot.flow == Flow::Running) {
            let mut batch = Batch::new(Arc::clone(&slot.topic), slot.partition, slot.epoch);
            while !batch.is_full() && batch.end.is_none() {
                match slot.queue.poll(Duration::ZERO) {
                    None => break,
                    Some(Ok(message)) => {
                        slot.after_records = message.offset() + 1;
                        batch.push(&message);
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => {
                        let after_records = slot.after_records;
                        let offset = next_offset(&self.consumer, slot).unwrap_or(after_records);
                        batch.end = Some(LogEnd { after_records, offset });
                    }
                    Some(Err(error)) => {
                        troubles.push(error);
                        break;
                    }
                }
            }
            if !batch.is_empty() || batch.end.is_some() {
                any |= !batch.is_empty();
                self.waiting.push_back(Event::Records(batch));
            }
        }
        troubles.into_iter().try_for_each(|error| self.trouble(error))?;
        Ok(any)
    }

    fn flush(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    return;
                }
                // Nobody reads any more; `obey` ends the thread.
                Err(mpsc::error::TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
    }

    fn trouble(&mut self, error: KafkaError) -> Result<(), End> {
        if matches!(error, KafkaError::PartitionEOF(_)) {
            return Ok(());
        }
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let error = Error::client("consuming", error);
        if fatal || !error.is_transient() {
            return Err(End::Failed(error));
        }
        self.waiting.push_back(Event::Trouble(error));
        Ok(())
    }

    fn assigned(&mut self, partitions: &[(String, i32)]) {
        self.slots.clear();
        match self.describe(partitions) {
            Ok(all) => {
                for one in &all {
                    let Some(queue) = self.consumer.split_partition_queue(&one.topic, one.partition) else {
                        continue;
                    };
                    let (topic, partition) = (Arc::clone(&one.topic), one.partition);
                    let slot =
                        Slot { topic, partition, queue, epoch: 0, flow: Flow::Paused, after_records: 0 };
                    self.slots.insert((Arc::clone(&one.topic), partition), slot);
                }
                self.waiting.push_back(Event::Assigned(all));
            }
            // Without these facts no partition can start; the run loop decides how long to bear it.
            Err(error) => self.waiting.push_back(Event::Failed(error)),
        }
    }

    fn describe(&self, partitions: &[(String, i32)]) -> Result<Vec<Assigned>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let mut topics: Vec<String> = partitions.iter().map(|(topic, _)| topic.clone()).collect();
        topics.sort();
        topics.dedup();
        let ids = ffi::topic_ids(self.consumer.client().native_ptr(), &topics, ASK_TIMEOUT)?;
        let topics: BTreeMap<&str, (Arc<str>, [u8; 16])> = topics
            .iter()
            .zip(ids)
            .map(|(topic, id)| (topic.as_str(), (Arc::from(topic.as_str()), id)))
            .collect();
        let counts = self.partition_counts(topics.keys().copied())?;
        let mut list = TopicPartitionList::new();
        for (topic, count) in &counts {
            for partition in 0..*count {
                list.add_partition(topic, partition);
            }
        }
        for (topic, partition) in partitions.iter().filter(|(topic, at)| *at >= counts[topic.as_str()]) {
            list.add_partition(topic, *partition);
        }
        let committed = self
            .consumer
            .committed_offsets(list, ASK_TIMEOUT)
            .map_err(|error| Error::client("asking for the group's offsets", error))?;
        let commits: BTreeMap<&str, Arc<[String]>> =
            counts.keys().map(|topic| (*topic, commits_of(&committed, topic))).collect();
        let mut all = Vec::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            let Some((name, topic_id)) = topics.get(topic.as_str()) else { continue };
            let (low, high) =
                self.consumer.fetch_watermarks(topic, *partition, ASK_TIMEOUT).map_err(|error| {
                    Error::client(format!("asking for the ends of {topic}-{partition}"), error)
                })?;
            let element = committed.find_partition(topic, *partition);
            let committed = element.and_then(|element| match element.offset() {
                Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
                _ => None,
            });
            let (topic, partition) = (Arc::clone(name), *partition);
            let (partitions, topic_commits) =
                (counts[topic.as_ref()].max(partition + 1), Arc::clone(&commits[topic.as_ref()]));
            all.push(Assigned {
                topic,
                partition,
                topic_id: *topic_id,
                low,
                high,
                committed,
                partitions,
                topic_commits,
            });
        }
        Ok(all)
    }

    /// How many partitions each topic has; at least as many as the cluster's metadata here says.
    fn partition_counts<'t>(
        &self,
        topics: impl Iterator<Item = &'t str>,
    ) -> Result<BTreeMap<&'t str, i32>, Error> {
        let count = |topic: &'t str| {
            let metadata = self
                .consumer
                .fetch_metadata(Some(topic), ASK_TIMEOUT)
                .map_err(|error| Error::client(format!("asking for the partitions of {topic}"), error))?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let count = found.map_or(0, |found| found.partitions().len());
            Ok((topic, i32::try_from(count).unwrap_or(i32::MAX)))
        };
        topics.map(count).collect()
    }
}

/// Metadata of what is committed for partitions of a topic.
fn commits_of(committed: &TopicPartitionList, topic: &str) -> Arc<[String]> {
    let elements = committed.elements_for_topic(topic);
    let has_offset = elements.iter().filter(|element| matches!(element.offset(), Offset::Offset(_)));
    has_offset.map(|element| element.metadata().to_owned()).collect()
}
