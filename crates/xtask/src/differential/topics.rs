//! Reads all topics of one connector back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Longest wait for one answer of the broker.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How often to look for a topic that is not there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One record as it lies in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
    /// A timestamp that no producer's clock has set: it lies before this program was written.
    pub(super) timestamp_ms: Option<i64>,
}

/// 2025-01-01: what is older comes from the data.
const CLOCKS_BEGIN_MS: i64 = 1_735_689_600_000;

/// One broker.
pub(super) struct Topics {
    consumer: BaseConsumer,
}

impl Topics {
    pub(super) fn open(bootstrap_servers: &str) -> Result<Self> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("group.id", "differential")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "50")
            .create()
            .context("opening a consumer")?;
        Ok(Topics { consumer })
    }

    /// Partitions of all topics whose names begin so, in order of their names.
    fn partitions(&self, prefix: &str) -> Result<Vec<(String, i32)>> {
        let metadata = self.consumer.fetch_metadata(None, ANSWER_LIMIT).context("listing topics")?;
        let mut found: Vec<(String, i32)> = Vec::new();
        for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix)) {
            found.extend(topic.partitions().iter().map(|part| (topic.name().to_owned(), part.id())));
        }
        found.sort();
        Ok(found)
    }

    /// Takes the topics of a case away: a broker with thousands of them answers slowly.
    pub(super) fn remove(&self, bootstrap_servers: &str, prefix: &str) -> Result<()> {
        let mut names: Vec<String> = self.partitions(prefix)?.into_iter().map(|(topic, _)| topic).collect();
        names.dedup();
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .create()
            .context("opening an admin client")?;
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_LIMIT));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let removed = runtime.block_on(admin.delete_topics(&names, &options)).context("removing topics")?;
        for one in removed {
            one.map_err(|(topic, code)| anyhow::anyhow!("removing topic {topic}: {code}"))?;
        }
        Ok(())
    }

    fn assign(&self, partitions: &[(String, i32)]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions {
            list.add_partition_offset(topic, *partition, Offset::Beginning)?;
        }
        self.consumer.assign(&list).context("assigning partitions")
    }

    /// Waits until a record of `topic` satisfies `wanted`; `alive` may end the wait with what went wrong.
    pub(super) fn wait_for(
        &self,
        topic: &str,
        limit: Duration,
        wanted: impl Fn(&[u8]) -> bool,
        mut alive: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        let partitions = loop {
            let found = self.partitions(topic)?;
            if !found.is_empty() {
                break found;
            }
            alive()?;
            if Instant::now() > deadline {
                bail!("topic {topic} was not made within {} s", limit.as_secs());
            }
            std::thread::sleep(LOOK_AGAIN);
        };
        self.assign(&partitions)?;
        let mut looked = Instant::now();
        loop {
            match self.consumer.poll(LOOK_AGAIN) {
                Some(Ok(message)) if message.payload().is_some_and(&wanted) => return Ok(()),
                Some(Err(KafkaError::PartitionEOF(_))) | Some(Ok(_)) | None => {}
                Some(Err(error)) => return Err(error).context(format!("reading {topic}")),
            }
            // Looking after a process costs a request: not at every poll.
            if looked.elapsed() > Duration::from_millis(500) {
                looked = Instant::now();
                alive()?;
            }
            if Instant::now() > deadline {
                bail!("the last record of the case was not in {topic} within {} s", limit.as_secs());
            }
        }
    }

    /// All committed records of topics whose names begin so: topic after topic, partition after partition.
    pub(super) fn read(&self, prefix: &str) -> Result<Vec<Record>> {
        let partitions = self.partitions(prefix)?;
        self.assign(&partitions)?;
        let mut open = partitions.len();
        let mut records = Vec::new();
        let deadline = Instant::now() + ANSWER_LIMIT * 3;
        while open > 0 {
            match self.consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => records.push(record(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => return Err(error).context(format!("reading {prefix}*")),
                None if Instant::now() > deadline => bail!("no end of {prefix}* in sight"),
                None => {}
            }
        }
        // Sorting is stable: order within a partition stays.
        records.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Ok(records)
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    });
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        timestamp_ms: message.timestamp().to_millis().filter(|at| *at < CLOCKS_BEGIN_MS),
    }
}
