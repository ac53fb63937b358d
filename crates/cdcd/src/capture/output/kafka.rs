//! Records into Kafka, committed in groups on a thread of their own, so that the stream is looked after meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cdcd_capture::position::{Guarantee, Position};
use cdcd_capture::{Capture, Flow};
use cdcd_debezium::record::Record;
use cdcd_kafka::admin::Admin;
use cdcd_kafka::producer::{Accepted, Guarantee as ProducerGuarantee, Producer};
use tokio::task::JoinHandle;

use super::Store;
use crate::connector::source::{ExactlyOnce, SourceSettings, TopicCreation};
use crate::exit::{Exit, Failure};
use crate::failpoint::reached;

pub(in super::super) struct KafkaOutput {
    producer: Arc<Producer>,
    guarantee: Guarantee,
    /// Whether a transaction has begun; always so after the first record when there are none.
    begun: bool,
    commit: Option<JoinHandle<Result<BTreeMap<String, String>, cdcd_kafka::Error>>>,
    /// Ids of the topics that records went to.
    topic_ids: BTreeMap<String, String>,
    admin: Arc<Admin>,
    creation: TopicCreation,
    /// How many of the capture's topics were seen to.
    topics_ready: usize,
    /// Topics whose ids are not known yet.
    sent_to: Vec<String>,
}

impl Drop for KafkaOutput {
    /// A commit that still runs must not keep the process.
    fn drop(&mut self) {
        self.producer.abandon();
    }
}

impl KafkaOutput {
    pub(super) async fn open(settings: &SourceSettings) -> Result<Self, Failure> {
        let (producer, guarantee) = open_producer(settings).await?;
        Ok(KafkaOutput {
            producer: Arc::new(producer),
            guarantee,
            begun: false,
            commit: None,
            topic_ids: BTreeMap::new(),
            admin: Arc::new(Admin::new(&settings.admin)?),
            creation: settings.topic_creation.clone(),
            topics_ready: 0,
            sent_to: Vec::new(),
        })
    }

    pub(super) fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    pub(super) async fn send(&mut self, capture: &mut Capture) -> Result<Flow, Failure> {
        if self.commit.is_some() {
            return Ok(Flow::Full);
        }
        if capture.pending_bytes() == 0 {
            return Ok(Flow::Taken);
        }
        self.make_topics(capture).await?;
        self.begin()?;
        let producer = &self.producer;
        let mut failure = None;
        reached("records.before");
        let flow = capture.send_records(|record| match producer.send(&record) {
            Ok(Accepted::Taken) => {
                reached("record.after");
                Flow::Taken
            }
            Ok(Accepted::Full) => Flow::Full,
            Err(error) => {
                failure = Some(error);
                Flow::Full
            }
        });
        if let Some(error) = failure {
            return Err(error.into());
        }
        reached("records.after");
        self.producer.poll(Duration::ZERO);
        self.producer.check()?;
        Ok(flow)
    }

    pub(super) fn keep(&mut self, topic: &str, key: &str, value: Option<&[u8]>) -> Result<(), Failure> {
        self.begin()?;
        let key = Some(key.as_bytes());
        let record = Record { topic, partition: Some(0), timestamp_ms: None, key, value, headers: &[] };
        while self.producer.send(&record)? == Accepted::Full {
            self.producer.poll(Duration::from_millis(5));
            self.producer.check()?;
        }
        Ok(())
    }

    pub(super) fn begin_commit(&mut self, store: &Store, mut position: Position) -> Result<(), Failure> {
        self.begin()?;
        let (producer, admin) = (Arc::clone(&self.producer), Arc::clone(&self.admin));
        position.topics.extend(self.topic_ids.clone());
        let (topic, key) = (store.topic.clone(), store.key.clone());
        let new_topics = std::mem::take(&mut self.sent_to);
        self.commit = Some(tokio::task::spawn_blocking(move || {
            let ids = ids_of_new_topics(&producer, &admin, &new_topics)?;
            position.topics.extend(ids.clone());
            let value = position.encode();
            reached("commit.before");
            producer.commit(&Record {
                topic: &topic,
                partition: Some(0),
                timestamp_ms: None,
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &[],
            })?;
            reached("commit.after");
            Ok(ids)
        }));
        self.begun = false;
        Ok(())
    }

    pub(super) fn is_committing(&self) -> bool {
        self.commit.is_some()
    }

    pub(super) async fn committed(&mut self) -> Result<(), Failure> {
        let Some(commit) = &mut self.commit else { return Ok(()) };
        let ended = commit.await;
        self.commit = None;
        self.topic_ids.extend(ended.map_err(|error| Failure::new(Exit::Unexpected, error))??);
        Ok(())
    }

    /// Serves the client's queue, then sleeps.
    pub(super) async fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        self.producer.poll(Duration::ZERO);
        self.producer.check()?;
        tokio::time::sleep(time).await;
        Ok(())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.producer.in_flight()
    }

    fn begin(&mut self) -> Result<(), Failure> {
        if !self.begun {
            reached("begin.before");
            self.producer.begin()?;
            self.begun = true;
            reached("begin.after");
        }
        Ok(())
    }

    /// Makes new topics by `topic.creation.*`; without rules the broker makes them itself.
    async fn make_topics(&mut self, capture: &Capture) -> Result<(), Failure> {
        let topics = capture.topics();
        while let Some(topic) = topics.get(self.topics_ready) {
            if let Some(spec) = self.creation.spec(topic)
                && self.admin.create_topic(&spec).await?
            {
                tracing::info!(topic, partitions = spec.partitions, "topic created");
            }
            self.sent_to.push(topic.clone());
            self.topics_ready += 1;
        }
        Ok(())
    }
}

/// What the broker makes by itself exists once it has taken a record.
fn ids_of_new_topics(
    producer: &Producer,
    admin: &Admin,
    topics: &[String],
) -> Result<BTreeMap<String, String>, cdcd_kafka::Error> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    producer.drain(None)?;
    // Without ids, which old brokers do not have, the guard at the next start has less to go by.
    Ok(admin.topic_ids(topics).unwrap_or_else(|error| {
        tracing::debug!(%error, "the cluster does not tell the ids of topics");
        BTreeMap::new()
    }))
}

/// A producer with transactions if the cluster lets us and nobody said otherwise; it has fenced all others.
async fn open_producer(settings: &SourceSettings) -> Result<(Producer, Guarantee), Failure> {
    if settings.exactly_once != ExactlyOnce::Off {
        let transactional_id = format!("cdcd-{}", settings.name);
        let producer =
            Producer::new(&settings.producer, &ProducerGuarantee::ExactlyOnce { transactional_id })?;
        let producer = Arc::new(producer);
        let fencing = Arc::clone(&producer);
        let fenced = tokio::task::spawn_blocking(move || fencing.fence()).await;
        match fenced.map_err(|error| Failure::new(Exit::Unexpected, error))? {
            Ok(()) => {
                let producer = Arc::into_inner(producer).ok_or_else(|| {
                    Failure::new(Exit::Unexpected, anyhow::anyhow!("the producer is in use"))
                })?;
                return Ok((producer, Guarantee::ExactlyOnce));
            }
            Err(error @ cdcd_kafka::Error::TransactionsRefused { .. })
                if settings.exactly_once == ExactlyOnce::Requested =>
            {
                tracing::warn!(
                    error = Failure::from(error).render(),
                    "AT LEAST ONCE: Kafka refuses transactions, so a crash may repeat events"
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((Producer::new(&settings.producer, &ProducerGuarantee::AtLeastOnce)?, Guarantee::AtLeastOnce))
}
