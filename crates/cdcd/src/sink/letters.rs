//! The dead letter topic: made when it is missing, written durably one letter at a time.

use super::{SinkError, kafka_error};
use crate::connector::sink::DeadLetterTopic;
use cdcd_debezium::record::{Header, Record};
use cdcd_kafka::ClientConfig;
use cdcd_kafka::admin::{Admin, TopicSpec};
use cdcd_kafka::producer::{Accepted, Guarantee, Producer};
use cdcd_sink::dlq::DeadLetter;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bound on the delivery of one letter.
const DELIVERY_MAX: Duration = Duration::from_secs(60);

/// A producer for letters.
pub(super) struct Letters {
    producer: Arc<Mutex<Producer>>,
    topic: String,
}

impl Letters {
    /// Makes the topic if it is missing, with the consumer's way to the cluster.
    pub(super) async fn open(consumer: &ClientConfig, topic: &DeadLetterTopic) -> Result<Self, SinkError> {
        let mut config = ClientConfig::new(consumer.get("bootstrap.servers").unwrap_or_default());
        for key in SHARED_KEYS {
            if let Some(value) = consumer.get(key) {
                config.set(key, value);
            }
        }
        let admin = Admin::new(&config).map_err(|error| kafka_error(&error))?;
        if admin.topic(&topic.name).map_err(|error| kafka_error(&error))?.is_none() {
            let brokers =
                i32::try_from(admin.brokers().map_err(|error| kafka_error(&error))?).unwrap_or(i32::MAX);
            let spec = TopicSpec {
                name: topic.name.clone(),
                partitions: 1,
                replication_factor: topic.replication_factor.min(brokers.max(1)),
                config: Vec::new(),
            };
            admin.create_topic(&spec).await.map_err(|error| kafka_error(&error))?;
            tracing::info!(topic = topic.name, "dead letter topic created");
        }
        let producer =
            Producer::new(&config, &Guarantee::AtLeastOnce).map_err(|error| kafka_error(&error))?;
        Ok(Letters { producer: Arc::new(Mutex::new(producer)), topic: topic.name.clone() })
    }

    /// Writes one letter; `Ok` means that Kafka has it.
    pub(super) async fn write(&self, letter: DeadLetter) -> Result<(), String> {
        let (producer, topic) = (Arc::clone(&self.producer), self.topic.clone());
        let written = tokio::task::spawn_blocking(move || {
            let producer = producer.lock().unwrap_or_else(PoisonError::into_inner);
            deliver(&producer, &topic, &letter)
        });
        written.await.map_err(|error| error.to_string())?
    }
}

/// How to reach the cluster: the same for a consumer and a producer.
const SHARED_KEYS: &[&str] = &[
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.endpoint.identification.algorithm",
];

fn deliver(producer: &Producer, topic: &str, letter: &DeadLetter) -> Result<(), String> {
    let headers: Vec<Header<'_>> =
        letter.headers.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect();
    let record = Record {
        topic,
        partition: None,
        timestamp_ms: None,
        key: letter.key.as_deref(),
        value: letter.value.as_deref(),
        headers: &headers,
    };
    let started = Instant::now();
    while producer.send(&record).map_err(|error| super::chain(&error))? == Accepted::Full {
        producer.poll(Duration::from_millis(20));
        if started.elapsed() > DELIVERY_MAX {
            return Err("the producer's queue stays full".to_owned());
        }
    }
    producer.drain(Some(DELIVERY_MAX)).map_err(|error| super::chain(&error))
}
