//! Records into Kafka, committed in groups on a thread of their own, so that the stream is looked after meanwhile.

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

pub(in super::super) struct KafkaOutput {
    producer: Arc<Producer>,
    guarantee: Guarantee,
    /// Whether a transaction has begun; always so after the first record when there are none.
    begun: bool,
    commit: Option<JoinHandle<Result<(), cdcd_kafka::Error>>>,
    admin: Admin,
    creation: TopicCreation,
    /// How many of the capture's topics were seen to.
    topics_ready: usize,
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
            admin: Admin::new(&settings.admin)?,
            creation: settings.topic_creation.clone(),
            topics_ready: 0,
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
        let flow = capture.send_records(|record| match producer.send(&record) {
            Ok(Accepted::Taken) => Flow::Taken,
            Ok(Accepted::Full) => Flow::Full,
            Err(error) => {
                failure = Some(error);
                Flow::Full
            }
        });
        if let Some(error) = failure {
            return Err(error.into());
        }
        self.producer.poll(Duration::ZERO);
        self.producer.check()?;
        Ok(flow)
    }

    pub(super) fn begin_commit(&mut self, store: &Store, position: &Position) -> Result<(), Failure> {
        self.begin()?;
        let producer = Arc::clone(&self.producer);
        let (topic, key, value) = (store.topic.clone(), store.key.clone(), position.encode());
        self.commit = Some(tokio::task::spawn_blocking(move || {
            producer.commit(&Record {
                topic: &topic,
                partition: Some(0),
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &[],
            })
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
        Ok(ended.map_err(|error| Failure::new(Exit::Unexpected, error))??)
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
            self.producer.begin()?;
            self.begun = true;
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
            self.topics_ready += 1;
        }
        Ok(())
    }
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
