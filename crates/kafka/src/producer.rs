//! Sends records, and tells which tokens Kafka has.

use std::sync::Mutex;
use std::time::Duration;

use cdcd_debezium::record::Record;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as KafkaHeader, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Statistics};

use crate::config::ClientConfig;
use crate::error::Error;

/// How a record was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It will be delivered, or its failure reported.
    Taken,
    /// The local queue is full: poll, and offer it again.
    Full,
}

/// So many records of one token are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// What was given with the records.
    pub token: u64,
    /// How many.
    pub count: u64,
}

/// An idempotent producer. Delivery reports are collected while [`Producer::poll`] runs.
pub struct Producer {
    inner: BaseProducer<Context>,
}

#[derive(Default)]
struct Context {
    reports: Mutex<Reports>,
}

#[derive(Default)]
struct Reports {
    delivered: Vec<Delivery>,
    failure: Option<Error>,
}

impl ClientContext for Context {
    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client reported");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let Ok(mut reports) = self.reports.lock() else { return };
        match result {
            Ok(_) => {
                let token = token as u64;
                match reports.delivered.last_mut() {
                    Some(last) if last.token == token => last.count += 1,
                    _ => reports.delivered.push(Delivery { token, count: 1 }),
                }
            }
            Err((error, message)) => {
                if reports.failure.is_none() {
                    reports.failure = Some(refused(error.clone(), message));
                }
            }
        }
    }
}

fn refused(error: KafkaError, message: &impl Message) -> Error {
    let topic = message.topic().to_owned();
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
            Error::TooLarge { topic, bytes: length(message.key()) + length(message.payload()) }
        }
        _ => Error::Refused { topic, source: error },
    }
}

impl Producer {
    /// Connects lazily: a wrong address shows when the first record is sent.
    ///
    /// # Errors
    /// [`Error::Client`] for a property that librdkafka does not take.
    pub fn new(config: &ClientConfig) -> Result<Self, Error> {
        let mut config = config.clone();
        config
            .set_default("enable.idempotence", "true")
            .set_default("acks", "all")
            .set_default("compression.type", "lz4")
            .set_default("linger.ms", "5")
            .set_default("batch.size", "1000000")
            .set_default("queue.buffering.max.messages", "100000")
            .set_default("queue.buffering.max.kbytes", "65536")
            // A record is never given up while the process lives: the run loop decides when to stop.
            .set_default("message.timeout.ms", "0")
            // Java's default partitioner for keyed records.
            .set_default("partitioner", "murmur2_random");
        let inner = config
            .to_rdkafka()
            .create_with_context(Context::default())
            .map_err(|error| Error::client("configuring the Kafka producer", error))?;
        Ok(Producer { inner })
    }

    /// Offers a record. Its bytes are copied.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::Refused`] for anything else that is wrong with this record.
    pub fn send(&self, record: &Record<'_>, token: u64) -> Result<Accepted, Error> {
        let mut message: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(record.topic, token as usize);
        if let Some(key) = record.key {
            message = message.key(key);
        }
        if let Some(value) = record.value {
            message = message.payload(value);
        }
        if let Some(partition) = record.partition {
            message = message.partition(partition);
        }
        if !record.headers.is_empty() {
            let headers = record
                .headers
                .iter()
                .fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, header| {
                    headers.insert(KafkaHeader { key: header.name, value: header.value })
                });
            message = message.headers(headers);
        }
        match self.inner.send(message) {
            Ok(()) => Ok(Accepted::Taken),
            Err((error, message)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Ok(Accepted::Full),
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
                    Err(Error::TooLarge {
                        topic: record.topic.to_owned(),
                        bytes: length(message.key) + length(message.payload),
                    })
                }
                _ => Err(Error::Refused { topic: record.topic.to_owned(), source: error }),
            },
        }
    }

    /// Serves librdkafka's queue for at most `timeout`.
    pub fn poll(&self, timeout: Duration) {
        self.inner.poll(timeout);
    }

    /// Moves all delivery reports since the last call into `into`.
    ///
    /// # Errors
    /// The first failed delivery: nothing after it may be taken for durable.
    pub fn take_deliveries(&self, into: &mut Vec<Delivery>) -> Result<(), Error> {
        let Ok(mut reports) = self.inner.context().reports.lock() else { return Ok(()) };
        into.append(&mut reports.delivered);
        match reports.failure.take() {
            None => Ok(()),
            Some(failure) => Err(failure),
        }
    }

    /// Records that are sent and not reported.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.inner.in_flight_count()).unwrap_or(0)
    }
}
