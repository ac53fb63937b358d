//! The newest value of each key of a small, compacted topic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::config::ClientConfig;
use crate::error::Error;

/// Bound on reading the whole topic; it holds a handful of records between two compactions.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an empty fetch before the listed end is taken for a new leader's; its followers ask twice a second.
const LAG_PATIENCE: Duration = Duration::from_secs(5);

/// Reads all partitions to their ends. An absent topic has no values. Blocks.
///
/// The end is the one that ListOffsets tells: a new leader answers that only when it knows all that is committed
/// (KIP-207), while its first fetches may come up empty before the newest records.
///
/// # Errors
/// [`Error::Client`] if the topic cannot be read to its end within a minute.
pub fn read(config: &ClientConfig, topic: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let doing = || format!("reading topic {topic}");
    let mut config = config.clone();
    config
        .set("group.id", "cdcd-unused")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        // The end of the partition is reported with the first empty fetch: do not let the broker wait for more.
        .set("fetch.wait.max.ms", "5")
        .set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer =
        config.to_rdkafka().create().map_err(|error| Error::client("configuring a Kafka consumer", error))?;
    let failed = |error| Error::client(doing(), error);
    let metadata = consumer.fetch_metadata(Some(topic), READ_TIMEOUT).map_err(failed)?;
    let mut assignment = TopicPartitionList::new();
    let mut ends = BTreeMap::new();
    for partition in metadata.topics().iter().flat_map(|found| found.partitions()) {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).map_err(failed)?;
        match consumer.fetch_watermarks(topic, partition.id(), READ_TIMEOUT) {
            Ok((_, end)) => ends.insert(partition.id(), end),
            Err(error) if is_absent(&error) => return Ok(BTreeMap::new()),
            Err(error) => return Err(failed(error)),
        };
    }
    if ends.is_empty() {
        return Ok(BTreeMap::new());
    }
    consumer.assign(&assignment).map_err(failed)?;
    let began = Instant::now();
    let deadline = began + READ_TIMEOUT;
    let mut values = BTreeMap::new();
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let key = message.key().unwrap_or_default().to_vec();
                match message.payload() {
                    Some(value) => values.insert(key, value.to_vec()),
                    None => values.remove(&key),
                };
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                let end = ends.get(&partition).copied().unwrap_or_default();
                if is_before(&consumer, topic, partition, end) && began.elapsed() < LAG_PATIENCE {
                    continue;
                }
                ends.remove(&partition);
                if ends.is_empty() {
                    return Ok(values);
                }
            }
            Some(Err(error)) if is_absent(&error) => return Ok(values),
            Some(Err(error)) => return Err(Error::client(doing(), error)),
            None if Instant::now() > deadline => {
                return Err(Error::client(
                    doing(),
                    KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut),
                ));
            }
            None => {}
        }
    }
}

/// Whether there is no such topic.
fn is_absent(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{UnknownTopic, UnknownTopicOrPartition};
    matches!(error.rdkafka_error_code(), Some(UnknownTopicOrPartition | UnknownTopic))
}

/// Whether the client has yet to read what lies before `end`. Its position covers the marks of transactions, too.
fn is_before(consumer: &BaseConsumer, topic: &str, partition: i32, end: i64) -> bool {
    let position = consumer.position().ok();
    let position =
        position.and_then(|list| list.find_partition(topic, partition).map(|found| found.offset()));
    matches!(position, Some(Offset::Offset(offset)) if offset < end)
}
