//! How far a consumer group is in some topics, without joining it.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::config::ClientConfig;
use crate::error::Error;

/// Bound on one request to the cluster.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// One partition, as the log and the group see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionProgress {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// First offset of the log.
    pub low: i64,
    /// Offset that the next record will get.
    pub high: i64,
    /// Offset that the group would read next; `None` if it has committed nothing.
    pub committed: Option<i64>,
}

/// Asks for all partitions of `topics`; a topic that does not exist has none. Blocks. `config` names the group.
///
/// # Errors
/// [`Error::Client`] if the cluster or the group's coordinator does not answer.
pub fn read(config: &ClientConfig, topics: &[String]) -> Result<Vec<PartitionProgress>, Error> {
    let doing = "asking for the progress of a consumer group";
    let failed = |error| Error::client(doing, error);
    let mut config = config.clone();
    config.set("enable.auto.commit", "false").set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer = config.to_rdkafka().create().map_err(failed)?;
    let metadata = consumer.fetch_metadata(None, REQUEST_TIMEOUT).map_err(failed)?;
    let mut asked = TopicPartitionList::new();
    for topic in metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name())) {
        for partition in topic.partitions() {
            asked.add_partition(topic.name(), partition.id());
        }
    }
    if asked.count() == 0 {
        return Ok(Vec::new());
    }
    let committed = consumer.committed_offsets(asked, REQUEST_TIMEOUT).map_err(failed)?;
    let one = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        let (topic, partition) = (element.topic(), element.partition());
        let (low, high) = consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map_err(failed)?;
        let committed = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok(PartitionProgress { topic: topic.to_owned(), partition, low, high, committed })
    };
    committed.elements().into_iter().map(one).collect()
}

/// First offset and end of one partition's log, as far as records are committed. Blocks.
///
/// # Errors
/// [`Error::Client`] if the partition's leader does not answer.
pub fn log_end(config: &ClientConfig, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
    let failed = |error| Error::client(format!("asking for the end of {topic}-{partition}"), error);
    let mut config = config.clone();
    config.set("isolation.level", "read_committed").set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer = config.to_rdkafka().create().map_err(failed)?;
    consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map_err(failed)
}

/// The first of `topics` that holds a record. Blocks.
///
/// # Errors
/// [`Error::Client`] if the cluster does not answer.
pub fn first_with_records(config: &ClientConfig, topics: &[String]) -> Result<Option<String>, Error> {
    let failed = |error| Error::client("looking for records", error);
    let mut config = config.clone();
    config.set("group.id", "cdcd-unused").set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer = config.to_rdkafka().create().map_err(failed)?;
    let metadata = consumer.fetch_metadata(None, REQUEST_TIMEOUT).map_err(failed)?;
    for topic in metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name())) {
        for partition in topic.partitions() {
            let (low, high) =
                consumer.fetch_watermarks(topic.name(), partition.id(), REQUEST_TIMEOUT).map_err(failed)?;
            if high > low {
                return Ok(Some(topic.name().to_owned()));
            }
        }
    }
    Ok(None)
}
