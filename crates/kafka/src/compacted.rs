//! The newest value of each key of a small, compacted topic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::config::ClientConfig;
use crate::error::Error;

/// Bound on reading the whole topic; it holds a handful of records between two compactions.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads all partitions to their ends. An absent topic has no values. Blocks.
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
    for partition in metadata.topics().iter().flat_map(|found| found.partitions()) {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).map_err(failed)?;
    }
    let mut open: BTreeSet<i32> = assignment.elements().iter().map(|element| element.partition()).collect();
    if open.is_empty() {
        return Ok(BTreeMap::new());
    }
    consumer.assign(&assignment).map_err(failed)?;
    let deadline = Instant::now() + READ_TIMEOUT;
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
                open.remove(&partition);
                if open.is_empty() {
                    return Ok(values);
                }
            }
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
            ))) => return Ok(values),
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
