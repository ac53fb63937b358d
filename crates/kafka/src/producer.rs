//! Sends records, and makes them durable in groups: in Kafka's transactions, or by waiting for deliveries.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cdcd_debezium::record::Record;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as KafkaHeader, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Statistics};

use crate::config::ClientConfig;
use crate::error::Error;
use crate::ffi;

/// How a record was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It will be delivered, or its failure reported.
    Taken,
    /// The local queue is full: poll, and offer it again.
    Full,
}

/// How records become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guarantee {
    /// Each by itself: after a crash some may be sent again.
    AtLeastOnce,
    /// In transactions under this transactional id: all of a commit or nothing.
    ExactlyOnce {
        /// `transactional.id`; the same id fences.
        transactional_id: String,
    },
}

/// Longest that a transaction may stay open; the broker aborts it then. Longer than any commit of ours takes,
/// shorter than a person's patience with consumers that wait for an orphan.
const TRANSACTION_TIMEOUT_MS: &str = "120000";
/// Bound on the broker's answer to a request about a transaction.
const TRANSACTION_PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait for deliveries before looking for failures.
const DRAIN_SLICE: Duration = Duration::from_millis(20);
/// Most records whose sending is hurried. Of more than these, full batches go by themselves, and a hurried client
/// spins while the answers to its requests are awaited.
const HURRIED_MAX: usize = 4_000;
/// How often to look at records that are not hurried …
const UNHURRIED_PAUSE: Duration = Duration::from_millis(1);
/// … and how often nothing may be answered until they are.
const UNHURRIED_LOOKS: u32 = 10;
/// How long to leave a full queue alone.
const FULL_PAUSE: Duration = Duration::from_micros(200);

/// An idempotent producer whose records become durable by [`Producer::commit`].
pub struct Producer {
    inner: BaseProducer<Context>,
    transactional: bool,
    abandoned: AtomicBool,
}

#[derive(Default)]
struct Context {
    failure: Mutex<Option<Error>>,
}

impl ClientContext for Context {
    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client reported");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let Ok(mut failure) = self.failure.lock() else { return };
        failure.get_or_insert_with(|| refused(error.clone(), message));
    }
}

fn refused(error: KafkaError, message: &impl Message) -> Error {
    let topic = message.topic().to_owned();
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
            Error::TooLarge { topic, bytes: length(message.key()) + length(message.payload()) }
        }
        Some(code) if is_fenced(code) => Error::Fenced { source: error },
        _ => Error::Refused { topic, source: error },
    }
}

impl Producer {
    /// Connects lazily: a wrong address shows when the first record is sent.
    ///
    /// # Errors
    /// [`Error::Client`] for a property that librdkafka does not take.
    pub fn new(config: &ClientConfig, guarantee: &Guarantee) -> Result<Self, Error> {
        let mut config = config.clone();
        match guarantee {
            Guarantee::ExactlyOnce { transactional_id } => config
                .set("transactional.id", transactional_id.as_str())
                .set_default("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS),
            // A record is never given up while the process lives: the run loop decides when to stop.
            Guarantee::AtLeastOnce => config.set_default("message.timeout.ms", "0"),
        };
        config
            .set_default("enable.idempotence", "true")
            .set_default("acks", "all")
            .set_default("compression.type", "lz4")
            // Full batches go at once and a commit flushes, so nothing waits for this; while a record that is older waits
            // for an answer to earlier requests, the client spins.
            .set_default("linger.ms", "1000")
            // Only failures are looked at: what is not in flight any more was delivered.
            .set("delivery.report.only.error", "true")
            .set_default("batch.size", "1000000")
            .set_default("queue.buffering.max.messages", "100000")
            .set_default("queue.buffering.max.kbytes", "65536")
            // Java's default partitioner for keyed records.
            .set_default("partitioner", "murmur2_random");
        let inner = config
            .to_rdkafka()
            .create_with_context(Context::default())
            .map_err(|error| Error::client("configuring the Kafka producer", error))?;
        let transactional = matches!(guarantee, Guarantee::ExactlyOnce { .. });
        Ok(Producer { inner, transactional, abandoned: AtomicBool::new(false) })
    }

    /// Fences every other producer with our transactional id and ends what it left open. Blocks.
    ///
    /// # Errors
    /// [`Error::TransactionsRefused`] if the cluster does not let us, definitely.
    pub fn fence(&self) -> Result<(), Error> {
        if !self.transactional {
            return Ok(());
        }
        self.inner.init_transactions(TRANSACTION_PATIENCE).map_err(|source| {
            match source.rdkafka_error_code() {
                Some(code) if is_refused(code) => Error::TransactionsRefused { source },
                _ => transaction_error("fencing other producers", source),
            }
        })
    }

    /// Starts a transaction; everything sent from now on belongs to it. Does nothing without transactions.
    ///
    /// # Errors
    /// [`Error::Fenced`], or any other: the producer is then of no more use.
    pub fn begin(&self) -> Result<(), Error> {
        if !self.transactional {
            return Ok(());
        }
        self.inner.begin_transaction().map_err(|source| transaction_error("beginning a transaction", source))
    }

    /// Makes everything that was sent durable, and `last` with it: in one transaction, or behind it. Blocks.
    ///
    /// # Errors
    /// [`Error::Fenced`], a failed delivery, or an outcome that nobody knows: the producer is then of no more use,
    /// and what was sent is either durable as a whole or, with transactions, not there at all.
    pub fn commit(&self, last: &Record<'_>) -> Result<(), Error> {
        if !self.transactional {
            self.drain(None)?;
        }
        while self.send(last)? == Accepted::Full {
            std::thread::sleep(FULL_PAUSE);
            self.poll(Duration::ZERO);
            self.check()?;
        }
        self.drain(None)?;
        if !self.transactional {
            return Ok(());
        }
        // Nothing is in flight any more, so this does not wait for the client's own slow flush.
        self.inner
            .commit_transaction(TRANSACTION_PATIENCE)
            .map_err(|source| transaction_error("committing a transaction", source))
    }

    /// Makes a running [`Producer::commit`] give up.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Returns when Kafka has everything that was sent. Blocks.
    ///
    /// # Errors
    /// The first failed delivery, or that `limit` has passed.
    pub fn drain(&self, limit: Option<Duration>) -> Result<(), Error> {
        let began = Instant::now();
        self.drain_unhurried()?;
        while self.inner.in_flight_count() > 0 {
            ffi::flush(self.inner.client().native_ptr(), DRAIN_SLICE);
            self.inner.poll(Duration::ZERO);
            self.check()?;
            if limit.is_some_and(|limit| began.elapsed() > limit) {
                let source = KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut);
                return Err(Error::client("waiting for deliveries", source));
            }
        }
        self.check()
    }

    /// Waits while full batches go by themselves: until few records are left, or none was answered for a while.
    fn drain_unhurried(&self) -> Result<(), Error> {
        let (mut left, mut looks) = (self.in_flight(), 0);
        while left > HURRIED_MAX && looks < UNHURRIED_LOOKS {
            std::thread::sleep(UNHURRIED_PAUSE);
            self.inner.poll(Duration::ZERO);
            self.check()?;
            let before = std::mem::replace(&mut left, self.in_flight());
            looks = if left < before { 0 } else { looks + 1 };
        }
        Ok(())
    }

    /// Whether every delivery so far went well.
    ///
    /// # Errors
    /// The first failed delivery: nothing after it may be taken for durable.
    pub fn check(&self) -> Result<(), Error> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(Error::client("waiting for deliveries", KafkaError::Canceled));
        }
        match self.inner.context().failure.lock().map(|mut failure| failure.take()) {
            // A fenced producer drops what it holds; the drop is not the cause.
            Ok(Some(failure)) => Err(match self.inner.client().fatal_error() {
                Some((code, _)) if is_fenced(code) => {
                    Error::Fenced { source: KafkaError::MessageProduction(code) }
                }
                _ => failure,
            }),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Offers a record. Its bytes are copied.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::Refused`] for anything else that is wrong with this record.
    pub fn send(&self, record: &Record<'_>) -> Result<Accepted, Error> {
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(record.topic);
        if let Some(key) = record.key {
            message = message.key(key);
        }
        if let Some(value) = record.value {
            message = message.payload(value);
        }
        if let Some(timestamp) = record.timestamp_ms {
            message = message.timestamp(timestamp);
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
                Some(code) if is_fenced(code) => Err(Error::Fenced { source: error }),
                // What made the transaction fail comes by a delivery report or by its commit.
                Some(RDKafkaErrorCode::State) if self.transactional => {
                    self.check()?;
                    Err(transaction_error("sending in a transaction that has failed", error))
                }
                _ => Err(Error::Refused { topic: record.topic.to_owned(), source: error }),
            },
        }
    }

    /// Serves librdkafka's queue for at most `timeout`.
    pub fn poll(&self, timeout: Duration) {
        self.inner.poll(timeout);
    }

    /// Records that are sent and not reported.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.inner.in_flight_count()).unwrap_or(0)
    }
}

/// Another producer has our transactional id, or the broker took ours for dead.
fn is_fenced(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(code, Fenced | ProducerFenced | InvalidProducerEpoch)
}

/// The cluster has no transactions, or not for us.
fn is_refused(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, TransactionalIdAuthorizationFailed, UnsupportedFeature,
        UnsupportedVersion,
    };
    matches!(
        code,
        ClusterAuthorizationFailed
            | TransactionalIdAuthorizationFailed
            | UnsupportedFeature
            | UnsupportedVersion
    )
}

fn transaction_error(doing: &str, source: KafkaError) -> Error {
    match source.rdkafka_error_code() {
        Some(code) if is_fenced(code) => Error::Fenced { source },
        _ => Error::client(doing, source),
    }
}
