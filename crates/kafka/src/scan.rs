//! Reads whole topics once, partition by partition in offset order, without a group.

use std::time::{Duration, Instant};

use cdcd_debezium::record::{Header, Record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::config::ClientConfig;
use crate::error::Error;

/// Bound on one question to the cluster.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long no partition may give anything before the scan counts as stuck: longer than a change of leaders.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How long to wait for a record before looking at the clock.
const POLL: Duration = Duration::from_millis(100);
/// Records that wait in librdkafka: enough to keep the reader busy, and bounded for any number of partitions.
const QUEUED_KILOBYTES: &str = "65536";

/// One partition that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// First offset of the log.
    pub low: i64,
    /// End of the log when the scan began, records of open transactions included.
    pub high: i64,
    /// Partitions of the topic.
    pub of: usize,
}

/// Where a record was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index into the partitions that [`Scan::partitions`] gives.
    pub partition: usize,
    /// Offset.
    pub offset: i64,
}

/// All partitions of some topics, about to be read with `isolation.level=read_committed`.
pub struct Scan {
    consumer: BaseConsumer,
    partitions: Vec<Partition>,
}

impl Scan {
    /// Finds the partitions. A topic that does not exist has none. Blocks.
    ///
    /// # Errors
    /// [`Error::Client`] if the cluster does not answer.
    pub fn open(config: &ClientConfig, topics: &[String]) -> Result<Self, Error> {
        let mut config = config.clone();
        config
            .set("group.id", "cdcd-unused")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", QUEUED_KILOBYTES)
            .set("allow.auto.create.topics", "false");
        let failed = |error| Error::client("looking for the topics to read", error);
        let consumer: BaseConsumer = config.to_rdkafka().create().map_err(failed)?;
        let metadata = consumer.fetch_metadata(None, REQUEST_TIMEOUT).map_err(failed)?;
        let mut partitions = Vec::new();
        for topic in metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name())) {
            for partition in topic.partitions() {
                let (name, id) = (topic.name(), partition.id());
                let (low, high) = consumer.fetch_watermarks(name, id, REQUEST_TIMEOUT).map_err(failed)?;
                let of = topic.partitions().len();
                partitions.push(Partition { topic: name.to_owned(), partition: id, low, high, of });
            }
        }
        Ok(Scan { consumer, partitions })
    }

    /// Leaves out what was written before `since_ms` (since 1970).
    ///
    /// # Errors
    /// [`Error::Client`] if the cluster does not answer.
    pub fn since(&mut self, since_ms: i64) -> Result<(), Error> {
        let failed = |error| Error::client("looking for the first record of a time", error);
        let mut times = TopicPartitionList::new();
        for partition in &self.partitions {
            times
                .add_partition_offset(&partition.topic, partition.partition, Offset::Offset(since_ms))
                .map_err(failed)?;
        }
        let found = self.consumer.offsets_for_times(times, REQUEST_TIMEOUT).map_err(failed)?;
        for partition in &mut self.partitions {
            let offset =
                found.find_partition(&partition.topic, partition.partition).map(|found| found.offset());
            partition.low = match offset {
                Some(Offset::Offset(offset)) => offset.max(partition.low),
                // Nothing is so young.
                _ => partition.high,
            };
        }
        Ok(())
    }

    /// What will be read.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Shows every committed record, topic after topic and each partition in offset order, until the end of each
    /// partition was reached once. Blocks.
    ///
    /// # Errors
    /// [`Error::Client`] if a partition cannot be read, or nothing arrives for a minute.
    pub fn run(self, mut show: impl FnMut(Place, &Record<'_>)) -> Result<(), Error> {
        let mut first = 0;
        // The end of a partition is reported by its number alone, so one topic is read at a time.
        for topic in self.partitions.chunk_by(|a, b| a.topic == b.topic) {
            self.run_topic(topic, first, &mut show)?;
            first += topic.len();
        }
        Ok(())
    }

    fn run_topic(
        &self,
        partitions: &[Partition],
        first: usize,
        show: &mut impl FnMut(Place, &Record<'_>),
    ) -> Result<(), Error> {
        let Some(topic) = partitions.first().map(|partition| partition.topic.as_str()) else { return Ok(()) };
        let doing = || format!("reading topic {topic}");
        let mut assignment = TopicPartitionList::new();
        for partition in partitions {
            assignment
                .add_partition_offset(topic, partition.partition, Offset::Offset(partition.low))
                .map_err(|error| Error::client(doing(), error))?;
        }
        self.consumer.assign(&assignment).map_err(|error| Error::client(doing(), error))?;
        let index = |number: i32| partitions.iter().position(|found| found.partition == number);
        let mut open = vec![true; partitions.len()];
        let mut last = Instant::now();
        while open.contains(&true) {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    // Records behind an end that was reported are later than the scan.
                    if let Some(index) =
                        index(message.partition()).filter(|index| open.get(*index) == Some(&true))
                    {
                        let place = Place { partition: first + index, offset: message.offset() };
                        with_record(&message, |record| show(place, record));
                    }
                    last = Instant::now();
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    if let Some(slot) = index(number).and_then(|index| open.get_mut(index)) {
                        *slot = false;
                    }
                    last = Instant::now();
                }
                // Leaders change while brokers restart; librdkafka goes on by itself.
                Some(Err(error)) if !Error::client("", error.clone()).is_transient() => {
                    return Err(Error::client(doing(), error));
                }
                _ if last.elapsed() > IDLE_LIMIT => {
                    let doing = format!("{}: nothing arrived for {} s", doing(), IDLE_LIMIT.as_secs());
                    return Err(Error::client(
                        doing,
                        KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Shows a message as a record; nothing is copied.
fn with_record(message: &BorrowedMessage<'_>, show: impl FnOnce(&Record<'_>)) {
    let headers: Vec<Header<'_>> = match message.headers() {
        Some(headers) => {
            headers.iter().map(|header| Header { name: header.key, value: header.value }).collect()
        }
        None => Vec::new(),
    };
    show(&Record {
        topic: message.topic(),
        partition: Some(message.partition()),
        timestamp_ms: None,
        key: message.key(),
        value: message.payload(),
        headers: &headers,
    });
}
