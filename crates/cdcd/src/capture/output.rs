//! Where records go: Kafka, standard output, or nowhere.

use std::collections::BTreeMap;
use std::io::{BufWriter, Stdout, Write as _};
use std::time::{Duration, Instant};

use cdcd_capture::position::Position;
use cdcd_capture::{Capture, Flow, Token};
use cdcd_debezium::record::Record;
use cdcd_kafka::admin::Admin;
use cdcd_kafka::producer::{Accepted, Delivery, Producer};

use super::OutputKind;
use super::store::Store;
use crate::connector::source::{SourceSettings, TopicCreation};
use crate::exit::{Exit, Failure};

/// Marks the delivery of a position; tokens of transactions count up from 1 and never get here.
const POSITION_TOKEN: u64 = u64::MAX >> 1;
/// How long the broker may take for a record when nothing else is to be done.
const POLL_SLICE: Duration = Duration::from_millis(5);

pub(super) enum Output {
    Kafka(Box<KafkaOutput>),
    Stdout(BufWriter<Stdout>),
    Null,
}

pub(super) struct KafkaOutput {
    producer: Producer,
    admin: Admin,
    creation: TopicCreation,
    /// How many of the capture's topics were seen to.
    topics_ready: usize,
    deliveries: Vec<Delivery>,
    position_delivered: bool,
}

impl Output {
    pub(super) fn open(kind: OutputKind, settings: &SourceSettings) -> Result<Self, Failure> {
        Ok(match kind {
            OutputKind::Kafka => Output::Kafka(Box::new(KafkaOutput {
                producer: Producer::new(&settings.producer)?,
                admin: Admin::new(&settings.admin)?,
                creation: settings.topic_creation.clone(),
                topics_ready: 0,
                deliveries: Vec::new(),
                position_delivered: false,
            })),
            OutputKind::Stdout => Output::Stdout(BufWriter::new(std::io::stdout())),
            OutputKind::Null => Output::Null,
        })
    }

    /// Whether records become durable, so that positions and acknowledgements make sense.
    pub(super) fn is_durable(&self) -> bool {
        matches!(self, Output::Kafka(_))
    }

    /// Offers all waiting records and takes delivery reports.
    pub(super) async fn send(&mut self, capture: &mut Capture) -> Result<Flow, Failure> {
        match self {
            Output::Kafka(kafka) => kafka.send(capture).await,
            Output::Stdout(out) => {
                let mut failed = None;
                let mut delivered = BTreeMap::new();
                capture.send_records(|record, token| {
                    if let Err(error) = write_line(out, &record) {
                        failed.get_or_insert(error);
                    }
                    *delivered.entry(token).or_insert(0) += 1;
                    Flow::Taken
                });
                let failed = failed.or_else(|| out.flush().err());
                deliver(capture, delivered);
                match failed {
                    None => Ok(Flow::Taken),
                    Some(error) => {
                        Err(Failure::new(Exit::Unexpected, error).context("writing to standard output"))
                    }
                }
            }
            Output::Null => {
                let mut delivered = BTreeMap::new();
                capture.send_records(|_, token| {
                    *delivered.entry(token).or_insert(0) += 1;
                    Flow::Taken
                });
                deliver(capture, delivered);
                Ok(Flow::Taken)
            }
        }
    }

    /// Sends everything that waits and returns when all of it is durable.
    pub(super) async fn drain(&mut self, capture: &mut Capture, limit: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        loop {
            let flow = self.send(capture).await?;
            if flow == Flow::Taken && self.in_flight() == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure::new(
                    Exit::Dependency,
                    anyhow::anyhow!("Kafka did not take all records within {} s", limit.as_secs()),
                )
                .hint("nothing is lost: what was not acknowledged is read again at the next start"));
            }
            self.wait().await;
        }
    }

    /// Lets librdkafka work for a moment.
    pub(super) async fn wait(&self) {
        match self {
            Output::Kafka(kafka) => {
                kafka.producer.poll(Duration::ZERO);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            _ => tokio::task::yield_now().await,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        match self {
            Output::Kafka(kafka) => kafka.producer.in_flight(),
            _ => 0,
        }
    }

    /// Writes a position; its delivery is reported to the capture by [`Output::send`].
    pub(super) fn send_position(&mut self, store: &Store, position: &Position) -> Result<(), Failure> {
        let Output::Kafka(kafka) = self else { return Ok(()) };
        let value = position.encode();
        let record = Record {
            topic: &store.topic,
            partition: Some(0),
            key: Some(store.key.as_bytes()),
            value: Some(&value),
            headers: &[],
        };
        while kafka.producer.send(&record, POSITION_TOKEN)? == Accepted::Full {
            kafka.producer.poll(POLL_SLICE);
        }
        Ok(())
    }

    /// Writes a position before anything else is sent, and returns when it is durable.
    pub(super) async fn write_position(&mut self, store: &Store, position: &Position) -> Result<(), Failure> {
        self.send_position(store, position)?;
        let Output::Kafka(kafka) = self else { return Ok(()) };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !std::mem::take(&mut kafka.position_delivered) {
            kafka.producer.poll(Duration::ZERO);
            kafka.collect(None)?;
            if Instant::now() > deadline {
                let error = anyhow::anyhow!("Kafka did not take the position within 30 s");
                return Err(Failure::new(Exit::Dependency, error));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

impl KafkaOutput {
    async fn send(&mut self, capture: &mut Capture) -> Result<Flow, Failure> {
        self.make_topics(capture).await?;
        let producer = &self.producer;
        let mut failure = None;
        let flow = capture.send_records(|record, token| match producer.send(&record, token.0) {
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
        self.collect(Some(capture))?;
        Ok(flow)
    }

    /// Takes delivery reports; a failed delivery is an error, and nothing after it counts.
    fn collect(&mut self, capture: Option<&mut Capture>) -> Result<(), Failure> {
        self.producer.take_deliveries(&mut self.deliveries)?;
        let mut capture = capture;
        for delivery in self.deliveries.drain(..) {
            match (&mut capture, delivery.token) {
                (Some(capture), POSITION_TOKEN) => capture.handle_position_durable(),
                (None, POSITION_TOKEN) => self.position_delivered = true,
                (Some(capture), token) => capture.handle_delivered(Token(token), delivery.count),
                (None, _) => {}
            }
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

fn deliver(capture: &mut Capture, delivered: BTreeMap<Token, u64>) {
    for (token, count) in delivered {
        capture.handle_delivered(token, count);
    }
}

/// One JSON object with the names that `kcat -J` uses.
fn write_line(out: &mut impl std::io::Write, record: &Record<'_>) -> std::io::Result<()> {
    let text = |bytes: Option<&[u8]>| match bytes {
        None => serde_json::Value::Null,
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
    };
    let headers: Vec<serde_json::Value> =
        record.headers.iter().flat_map(|header| [header.name.into(), text(header.value)]).collect();
    let line = serde_json::json!({
        "topic": record.topic,
        "key": text(record.key),
        "payload": text(record.value),
        "headers": headers,
    });
    writeln!(out, "{line}")
}
