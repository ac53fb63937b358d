//! The peer: Debezium on a Kafka Connect worker that does nothing else.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::services::{self, Connect};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::{Map, Value};

use super::measure::{self, Cost};
use super::stage::Stage;
use crate::differential::connect::Worker;

/// How often the topic is asked for its length.
const LOOK: Duration = Duration::from_millis(50);
/// Bound on one drain.
const LIMIT: Duration = Duration::from_secs(600);
/// Bound on one answer of the broker.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

pub(super) struct Debezium {
    connect: Connect,
    pub(super) worker: Worker,
    client: ClientConfig,
}

impl Debezium {
    pub(super) fn open(stage: &Stage<'_>) -> Result<Self> {
        let connect = services::debezium()?;
        let worker = Worker::new(&connect)?;
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &stage.kafka.bootstrap_servers).set("group.id", "bench");
        Ok(Debezium { connect, worker, client })
    }

    /// From the post of the connector until its topic holds so many records. The time includes the connector's start, the
    /// CPU what the worker's compiler does meanwhile; memory is the worker's most so far.
    pub(super) fn drain(
        &self,
        stage: &Stage<'_>,
        name: &str,
        config: &Map<String, Value>,
        table: &str,
        records: u64,
    ) -> Result<Cost> {
        let server_before = measure::server_cpu(&stage.postgres)?;
        let cpu_before = measure::cpu(self.connect.pid)?;
        let began = Instant::now();
        self.worker.start(name, config)?;
        let topic = format!("{name}.{table}");
        let mut consumer: BaseConsumer = self.client.create()?;
        loop {
            match length(&consumer, &topic)? {
                Some(length) if length >= records => break,
                Some(_) => {}
                // A client that was told once that there is no such topic may go on saying so.
                None => consumer = self.client.create()?,
            }
            if let Some(failure) = self.worker.failure(name)? {
                bail!("Debezium failed: {failure}");
            }
            ensure!(began.elapsed() < LIMIT, "Debezium did not deliver within {} s", LIMIT.as_secs());
            std::thread::sleep(LOOK);
        }
        let seconds = began.elapsed().as_secs_f64();
        let cpu = measure::cpu(self.connect.pid)? - cpu_before;
        let rss_mib = measure::rss(self.connect.pid).context("the worker's memory")?;
        self.worker.stop(name)?;
        // The walsender ends when the connector has let go.
        std::thread::sleep(Duration::from_secs(1));
        Ok(Cost { seconds, cpu, server_cpu: measure::server_cpu(&stage.postgres)? - server_before, rss_mib })
    }
}

/// `None` without the topic.
fn length(consumer: &BaseConsumer, topic: &str) -> Result<Option<u64>> {
    match consumer.fetch_watermarks(topic, 0, ANSWER_LIMIT) {
        Ok((_, high)) => Ok(Some(high.unsigned_abs())),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error).context("asking for the length of a topic"),
    }
}

fn is_missing(error: &rdkafka::error::KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    matches!(error.rdkafka_error_code(), Some(UnknownPartition | UnknownTopic | UnknownTopicOrPartition))
}
